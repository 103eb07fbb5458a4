use tenantry::Entity;

#[derive(Entity)]
#[entity(tenancy = member, author)]
struct Task {
    title: String,
}

fn main() {}
