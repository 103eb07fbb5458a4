use tenantry::Entity;

#[derive(Entity)]
struct Task {
    #[entity(on_delete = cascade)]
    project: String,
}

fn main() {}
