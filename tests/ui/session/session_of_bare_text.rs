use tenantry::{Result, Store};

fn open(store: &Store) -> Result<()> {
    store.session("ada")?;
    Ok(())
}

fn main() {}
