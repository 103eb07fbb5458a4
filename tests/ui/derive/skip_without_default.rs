use tenantry::Entity;

struct Cache;

#[derive(Entity)]
struct Task {
    #[entity(skip)]
    cache: Cache,
}

fn main() {}
