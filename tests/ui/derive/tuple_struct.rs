use tenantry::Entity;

#[derive(Entity)]
struct Task(String);

fn main() {}
