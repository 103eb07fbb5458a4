use tenantry::{Entity, OrganizationSession, Result};

#[derive(Entity)]
struct Diary {
    text: String,
}

fn read(session: &OrganizationSession) -> Result<u64> {
    session.query::<Diary>().count()
}

fn write(session: &OrganizationSession, diary: &Diary) -> Result<()> {
    session.insert(diary)?;
    Ok(())
}

fn main() {}
