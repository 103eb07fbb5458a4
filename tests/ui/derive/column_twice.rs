use tenantry::Entity;

#[derive(Entity)]
struct Task {
    title: String,
    #[entity(column = "Title")]
    heading: String,
}

fn main() {}
