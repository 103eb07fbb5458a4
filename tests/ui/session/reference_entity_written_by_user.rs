use tenantry::{Entity, Result, TenantSession};

#[derive(Entity)]
#[entity(tenancy = reference)]
struct Currency {
    code: String,
}

fn read(session: &TenantSession) -> Result<u64> {
    session.query::<Currency>().count() // this is fine
}

fn write(session: &TenantSession, currency: &Currency) -> Result<()> {
    session.insert(currency)?;
    Ok(())
}

fn main() {}
