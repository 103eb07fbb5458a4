use tenantry::Entity;

#[derive(Entity)]
enum Status {
    Open,
    Done,
}

fn main() {}
