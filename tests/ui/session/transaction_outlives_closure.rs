use tenantry::{Entity, Result, TenantSession};

#[derive(Entity)]
struct Task {
    title: String,
}

fn keep(session: &TenantSession, task: &Task) -> Result<()> {
    let mut kept = None;
    session.transaction(|tx| {
        kept = Some(tx);
        Ok(())
    })?;
    if let Some(tx) = kept {
        tx.insert(task)?;
    }
    Ok(())
}

fn hand_out(session: &TenantSession, task: &Task) -> Result<()> {
    let tx = session.transaction(|tx| Ok(tx))?;
    tx.insert(task)?;
    Ok(())
}

fn main() {}
