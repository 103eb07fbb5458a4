use tenantry::Choice;

#[derive(Choice)]
enum Status {}

fn main() {}
