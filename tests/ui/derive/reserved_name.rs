use tenantry::Entity;

#[derive(Entity)]
struct _Task {
    _title: String,
    #[entity(column = "_id")]
    id: String,
}

fn main() {}
