use tenantry::Choice;

#[derive(Choice)]
#[choice(rename_all = "camelCase", rename_all = "lowercase", rename = "s")]
enum Status {
    #[choice(rename, text = "o")]
    Open,
    #[choice(rename = done)]
    Done,
}

fn main() {}
