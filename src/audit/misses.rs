//! Requests for ids that a tenant does not have, noted in memory and written in batches.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use rusqlite::{Connection, params};
use uuid::Uuid;

use crate::commit::is_closed;
use crate::error::Result;
use crate::identity::TenantKey;

/// Misses that are kept of one tenant; older ones go.
const KEPT_MAX: i64 = 1_000;
/// Misses that wait in memory before they are written.
const PENDING_MAX: usize = 256;
/// Misses that wait in memory at most, while nobody can write them; more are not noted.
const WAITING_MAX: usize = 4_096;
/// How long a miss waits in memory, if anything happens on the store.
const PENDING_TIME: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub(crate) struct Miss {
    /// Where the tenant lives.
    pub(crate) home: TenantKey,
    pub(crate) tenant: TenantKey,
    pub(crate) entity: String,
    pub(crate) record: Uuid,
    pub(crate) time: Timestamp,
}

/// Misses that are not written yet.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    misses: Vec<Miss>,
    since: Option<Instant>,
}

impl Pending {
    pub(crate) fn note(&mut self, miss: Miss) {
        self.since.get_or_insert_with(Instant::now);
        if self.misses.len() < WAITING_MAX {
            self.misses.push(miss);
        }
    }

    /// Whether it is time to write them.
    pub(crate) fn is_due(&self) -> bool {
        self.misses.len() >= PENDING_MAX || self.since.is_some_and(|since| since.elapsed() >= PENDING_TIME)
    }

    pub(crate) fn take(&mut self) -> Vec<Miss> {
        self.since = None;
        std::mem::take(&mut self.misses)
    }
}

/// Appends misses to each tenant's own range, unless it was erased meanwhile, and drops what is more than a tenant may keep.
pub(crate) fn store(connection: &Connection, misses: &[Miss]) -> Result<()> {
    for miss in misses {
        if is_closed(connection, miss.tenant)? {
            continue;
        }
        let newest: Option<i64> = connection
            .prepare_cached("SELECT max(key) FROM _audit_miss WHERE key BETWEEN ?1 AND ?2")?
            .query_row([miss.tenant.first(), miss.tenant.last()], |row| row.get(0))?;
        let key = newest.unwrap_or(miss.tenant.first()) + 1;
        connection
            .prepare_cached("INSERT INTO _audit_miss (key, entity, record, time) VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![key, miss.entity, miss.record.as_bytes(), miss.time.as_microsecond()])?;
        connection
            .prepare_cached("DELETE FROM _audit_miss WHERE key BETWEEN ?1 AND ?2")?
            .execute([miss.tenant.first(), key - KEPT_MAX])?;
    }
    Ok(())
}
