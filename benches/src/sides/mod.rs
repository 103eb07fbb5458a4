//! The sides of the comparison. Each has a file of its own and does the work of [`work::Worker`].

use ::tenantry::{Builder, Monitoring};
use anyhow::Result;
use work::{Contender, Run, Setup, Side};

#[cfg(feature = "peers")]
mod diesel;
#[cfg(feature = "peers")]
mod native_db;
#[cfg(feature = "peers")]
mod r2d2;
#[cfg(feature = "peers")]
mod redb;
#[cfg(feature = "peers")]
mod remote;
mod rusqlite;
mod sqlite;
mod tenantry;

/// The side that all ratios are to.
pub(crate) const BASELINE: &str = "rusqlite";
/// The side that it is all about.
pub(crate) const TENANTRY: &str = "tenantry";
/// A pool of connections that write.
pub(crate) const POOL: &str = "r2d2";

/// A side that can be chosen.
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    /// For the report.
    pub(crate) what: &'static str,
    /// Whether it keeps an audit log and counts, as Tenantry does.
    pub(crate) audited: bool,
    /// Whether it is Tenantry with other settings, which has tables of its own.
    pub(crate) variant: bool,
    /// Those settings.
    store: fn(Builder) -> Builder,
    start: fn(&Setup) -> Result<Started>,
}

/// A side that was asked to begin.
pub(crate) struct Started {
    /// None if it does not offer the durability.
    pub(crate) contender: Option<Box<dyn Run>>,
    /// Versions of what it is made of, if it is not made of this program's.
    pub(crate) versions: Vec<(String, String)>,
}

impl Kind {
    const fn new(
        name: &'static str,
        what: &'static str,
        audited: bool,
        start: fn(&Setup) -> Result<Started>,
    ) -> Self {
        Self { name, what, audited, variant: false, store: |builder| builder, start }
    }

    const fn variant(name: &'static str, what: &'static str, store: fn(Builder) -> Builder) -> Self {
        Self { variant: true, store, ..Self::new(name, what, true, local::<tenantry::Tenantry>) }
    }

    /// The same without the audit log.
    pub(crate) fn plain(&self) -> String {
        format!("{}-plain", self.name)
    }

    pub(crate) fn start(&self, setup: &Setup) -> Result<Started> {
        (self.start)(setup)
    }
}

fn local<S: Side + 'static>(setup: &Setup) -> Result<Started> {
    let contender = Contender::<S>::create(setup)?.map(|contender| Box::new(contender) as Box<dyn Run>);
    Ok(Started { contender, versions: Vec::new() })
}

/// The side of a name.
pub(crate) fn find(name: &str) -> Option<&'static Kind> {
    ALL.iter().find(|kind| kind.name == name)
}

/// All sides in the order of the tables. `-plain` is without audit log and kept counts.
#[rustfmt::skip] // A table.
pub(crate) const ALL: &[Kind] = &[
    Kind::new(TENANTRY, "Tenantry", true, local::<tenantry::Tenantry>),
    Kind::variant("tenantry-cache", "Tenantry with `cache` of 256 KiB, which is about one row of a hundred", |store| store.cache(256 << 10)),
    Kind::variant("tenantry-monitor", "Tenantry with `monitor`", |store| store.monitor(Monitoring::new())),
    Kind::variant("tenantry-partitions", "Tenantry in 4 partitions", |store| store.partitions(4)),
    Kind::variant("tenantry-files", "Tenantry with a file for each tenant, 32 of them open", |store| store.partition_per_tenant()),
    Kind::new(BASELINE, "hand-written rusqlite, one writer behind a mutex", true, local::<rusqlite::Rusqlite<true>>),
    Kind::new("rusqlite-plain", "hand-written rusqlite, one writer behind a mutex", false, local::<rusqlite::Rusqlite<false>>),
    #[cfg(feature = "peers")]
    Kind::new(POOL, "rusqlite, a pool of writers with `busy_timeout`", true, local::<r2d2::R2d2<true>>),
    #[cfg(feature = "peers")]
    Kind::new("r2d2-plain", "rusqlite, a pool of writers with `busy_timeout`", false, local::<r2d2::R2d2<false>>),
    #[cfg(feature = "peers")]
    Kind::new("diesel", "Diesel on SQLite, one writer behind a mutex", true, local::<diesel::Diesel<true>>),
    #[cfg(feature = "peers")]
    Kind::new("diesel-plain", "Diesel on SQLite, one writer behind a mutex", false, local::<diesel::Diesel<false>>),
    #[cfg(feature = "peers")]
    Kind::new("sqlx", "SQLx on SQLite, one writer and a pool of readers", true, remote::start),
    #[cfg(feature = "peers")]
    Kind::new("sqlx-plain", "SQLx on SQLite, one writer and a pool of readers", false, remote::start),
    #[cfg(feature = "peers")]
    Kind::new("sea-orm", "SeaORM on SQLite, one writer and a pool of readers", true, remote::start),
    #[cfg(feature = "peers")]
    Kind::new("sea-orm-plain", "SeaORM on SQLite, one writer and a pool of readers", false, remote::start),
    #[cfg(feature = "peers")]
    Kind::new("redb", "redb with an index written by hand", true, local::<redb::Redb<true>>),
    #[cfg(feature = "peers")]
    Kind::new("redb-plain", "redb with an index written by hand", false, local::<redb::Redb<false>>),
    #[cfg(feature = "peers")]
    Kind::new("native_db", "native_db with a secondary key", true, local::<native_db::NativeDb<true>>),
    #[cfg(feature = "peers")]
    Kind::new("native_db-plain", "native_db with a secondary key", false, local::<native_db::NativeDb<false>>),
];
