use tenantry::{Entity, Result, TenantSession};

#[derive(Entity)]
struct Task {
    title: String,
}

fn count(session: &TenantSession) -> Result<u64> {
    session.query::<Task>().filter("title = 'x' OR 1 = 1").count()
}

fn main() {}
