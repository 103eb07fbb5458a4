use tenantry::Entity;

#[derive(Entity)]
#[entity(table = "tasks", secret)]
struct Task {
    #[entity(unique)]
    title: String,
}

fn main() {}
