use tenantry::Entity;

#[derive(Entity)]
#[entity(name)]
#[entity(author = true)]
#[entity(tenancy = "user")]
#[entity(crate = tenantry)]
#[entity(index = "title", unique("title"))]
#[entity]
struct Task {
    #[entity(column = title)]
    title: String,
    #[entity(default)]
    done: bool,
    #[entity(default = Color::Red)]
    color: String,
    #[entity(default = 'c')]
    letter: String,
    #[entity(default = 9223372036854775808)]
    number: i64,
    #[entity(secret = true)]
    password: String,
}

fn main() {}
