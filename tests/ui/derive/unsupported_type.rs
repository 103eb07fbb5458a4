use tenantry::Entity;

struct Place {
    _street: String,
}

#[derive(Entity)]
struct Task {
    place: Place,
}

fn main() {}
