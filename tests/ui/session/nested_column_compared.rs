use tenantry::{Entity, Filter, Order};

#[derive(Entity)]
struct Task {
    tags: Vec<String>,
}

fn tagged() -> Filter<Task> {
    Task::TAGS.eq(vec!["garden".to_owned()])
}

fn by_tags() -> Order<Task> {
    Task::TAGS.asc()
}

fn main() {}
