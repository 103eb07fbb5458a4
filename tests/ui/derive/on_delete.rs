use tenantry::{Entity, Id};

#[derive(Entity)]
struct Task {
    #[entity(on_delete = set_null)]
    project: Id<Task>,
    #[entity(on_delete = cascade, default = "none")]
    parent: Option<Id<Task>>,
}

fn main() {}
