use tenantry::{Entity, Id};

#[derive(Entity)]
struct Task {
    #[entity(default = "")]
    tags: Vec<String>,
    #[entity(nested, on_delete = cascade)]
    parent: Option<Id<Task>>,
}

fn main() {}
