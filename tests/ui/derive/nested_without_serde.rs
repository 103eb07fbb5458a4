use tenantry::Entity;

struct Place {
    _street: String,
}

#[derive(Entity)]
struct Task {
    #[entity(nested)]
    place: Place,
}

fn main() {}
