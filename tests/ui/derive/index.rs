use tenantry::Entity;

#[derive(Entity)]
#[entity(index())]
#[entity(unique)]
#[entity(index(titel))]
#[entity(index(tags), unique(cache))]
#[entity(index(title, title desc))]
#[entity(unique(title desc))]
#[entity(index(title descending))]
struct Task {
    title: String,
    tags: Vec<String>,
    #[entity(skip)]
    cache: String,
}

fn main() {}
