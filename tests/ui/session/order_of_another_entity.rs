use tenantry::{Entity, Result, TenantSession};

#[derive(Entity)]
struct Task {
    title: String,
}

#[derive(Entity)]
struct Project {
    name: String,
}

fn count(session: &TenantSession) -> Result<u64> {
    session.query::<Task>().order_by(Project::NAME.asc()).count()
}

fn main() {}
