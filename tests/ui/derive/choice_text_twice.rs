use tenantry::Choice;

#[derive(Choice)]
enum Status {
    Open,
    #[choice(rename = "open")]
    Reopened,
    Done,
    DONE,
}

fn main() {}
