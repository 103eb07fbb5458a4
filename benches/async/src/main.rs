//! The sides over SQLx: started by the benchmark's runner, which says what to do next.

mod database;
mod entities;
mod sea_orm;
mod sqlx;

use anyhow::{Result, bail};
use work::process::{locked_versions, serve};
use work::{Contender, Run, Setup, Side};

fn main() -> Result<()> {
    let mut versions = locked_versions(include_str!("../Cargo.lock"), &["sqlx", "sea-orm", "libsqlite3-sys"]);
    versions.push(("SQLite".to_owned(), database::sqlite_version()?));
    for (name, _) in &mut versions {
        if name.to_lowercase().contains("sqlite") {
            name.push_str(" of these two");
        }
    }
    serve(&versions, |setup| match &*setup.side {
        "sqlx" => create::<sqlx::Sqlx<true>>(setup),
        "sqlx-plain" => create::<sqlx::Sqlx<false>>(setup),
        "sea-orm" => create::<sea_orm::SeaOrm<true>>(setup),
        "sea-orm-plain" => create::<sea_orm::SeaOrm<false>>(setup),
        side => bail!("there is no side {side:?}"),
    })
}

fn create<S: Side + 'static>(setup: &Setup) -> Result<Option<Box<dyn Run>>> {
    Ok(Contender::<S>::create(setup)?.map(|contender| Box::new(contender) as Box<dyn Run>))
}
