use tenantry::Entity;

#[derive(Entity)]
#[entity(name = "task", name = "todo")]
#[entity(tenancy = user)]
#[entity(tenancy = member)]
struct Task {
    #[entity(secret, default = "", secret)]
    title: String,
}

fn main() {}
