use tenantry::Entity;

#[derive(Entity)]
struct Task {
    #[entity(skip, column = "c", default = 1)]
    cache: i64,
    #[entity(secret)]
    #[entity(skip)]
    token: String,
}

fn main() {}
