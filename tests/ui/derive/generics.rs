use tenantry::Entity;

#[derive(Entity)]
struct Task<T>
where
    T: Clone,
{
    title: T,
}

fn main() {}
