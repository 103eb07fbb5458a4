use tenantry::Choice;

#[derive(Choice)]
enum Status<const N: usize> {
    Open,
}

fn main() {}
