use tenantry::Entity;

#[derive(Entity)]
union Number {
    small: u8,
    large: u64,
}

fn main() {}
