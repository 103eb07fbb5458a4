use tenantry::{Entity, Result, TenantSession};

#[derive(Entity)]
#[entity(tenancy = organization)]
struct Ticket {
    title: String,
}

fn tickets(session: &TenantSession) -> Result<u64> {
    session.query::<Ticket>().count()
}

fn open(session: &TenantSession, ticket: &Ticket) -> Result<()> {
    session.insert(ticket)?;
    Ok(())
}

fn main() {}
