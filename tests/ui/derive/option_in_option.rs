use tenantry::Entity;

#[derive(Entity)]
struct Task {
    title: Option<Option<String>>,
}

fn main() {}
