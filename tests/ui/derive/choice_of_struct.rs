use tenantry::Choice;

#[derive(Choice)]
struct Task {
    title: String,
}

fn main() {}
