use tenantry::{Entity, Id};

#[derive(Entity)]
#[entity(tenancy = team)]
struct Task {
    #[entity(on_delete = delete)]
    parent: Option<Id<Task>>,
}

fn main() {}
