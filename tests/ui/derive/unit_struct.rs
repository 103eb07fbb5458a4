use tenantry::Entity;

#[derive(Entity)]
struct Task;

fn main() {}
