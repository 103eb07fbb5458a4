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
    session.query::<Task>().filter(Project::NAME.eq("garden")).count()
}

fn main() {}
