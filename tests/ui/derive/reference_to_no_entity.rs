use tenantry::{Entity, Id};

struct Project {
    _name: String,
}

#[derive(Entity)]
struct Task {
    project: Id<Project>,
}

fn main() {}
