use tenantry::{Entity, Result, TenantSession};

#[derive(Entity)]
#[entity(tenancy = member)]
struct Draft {
    text: String,
}

fn drafts(session: &TenantSession) -> Result<u64> {
    session.query::<Draft>().count()
}

fn main() {}
