use tenantry::Choice;

#[derive(Choice)]
enum Status {
    Open,
    Done(u32),
    Moved { to: String },
}

fn main() {}
