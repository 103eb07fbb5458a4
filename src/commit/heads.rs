//! What the writer must know of a tenant without looking at its rows: next numbers, counts,
//! bytes, the log's head, the last id.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension, params};
use uuid::Uuid;

use crate::audit::chain::Hash;
use crate::error::{Error, Result};
use crate::identity::TenantKey;

/// Tenants whose heads are remembered; then the memory starts afresh.
const REMEMBERED_MAX: usize = 100_000;

/// Where a tenant's log and ids stand.
#[derive(Debug, Clone)]
pub(crate) struct LogHead {
    pub(crate) next: i64,
    pub(crate) hash: Hash,
    pub(crate) clock: i64,
    pub(crate) last_id: Uuid,
}

/// Where a tenant's rows of one entity stand.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RowHead {
    pub(crate) next: i64,
    pub(crate) count: i64,
    pub(crate) bytes: i64,
    /// Whether the file has a row for it.
    stored: bool,
}

type RowKey = (TenantKey, i64);

/// Heads by tenant, and by tenant and entity. The writer remembers the committed ones; a
/// transaction has those that it touched, and they are stored when it commits.
#[derive(Debug, Clone, Default)]
pub(crate) struct Heads {
    logs: HashMap<TenantKey, LogHead>,
    rows: HashMap<RowKey, RowHead>,
}

impl Heads {
    pub(super) fn log(
        &mut self,
        committed: &Heads,
        connection: &Connection,
        tenant: TenantKey,
    ) -> Result<&mut LogHead> {
        match self.logs.entry(tenant) {
            std::collections::hash_map::Entry::Occupied(entry) => Ok(entry.into_mut()),
            std::collections::hash_map::Entry::Vacant(entry) => {
                let head = match committed.logs.get(&tenant) {
                    Some(head) => head.clone(),
                    None => load_log(connection, tenant)?,
                };
                Ok(entry.insert(head))
            }
        }
    }

    pub(super) fn rows(
        &mut self,
        committed: &Heads,
        connection: &Connection,
        tenant: TenantKey,
        entity: i64,
    ) -> Result<&mut RowHead> {
        match self.rows.entry((tenant, entity)) {
            std::collections::hash_map::Entry::Occupied(entry) => Ok(entry.into_mut()),
            std::collections::hash_map::Entry::Vacant(entry) => {
                let head = match committed.rows.get(&(tenant, entity)) {
                    Some(head) => *head,
                    None => load_rows(connection, tenant, entity)?,
                };
                Ok(entry.insert(head))
            }
        }
    }

    /// Writes the heads that a transaction touched.
    pub(super) fn store(&mut self, connection: &Connection) -> Result<()> {
        for (tenant, head) in &self.logs {
            let sql = "UPDATE _log_head SET next = ?2, hash = ?3, clock = ?4, last_id = ?5 WHERE tenant = ?1";
            connection.prepare_cached(sql)?.execute(params![
                tenant.get(),
                head.next,
                head.hash,
                head.clock,
                head.last_id.as_bytes()
            ])?;
        }
        for ((tenant, entity), head) in &mut self.rows {
            let sql = if head.stored {
                "UPDATE _row_head SET next = ?3, count = ?4, bytes = ?5 WHERE tenant = ?1 AND entity = ?2"
            } else {
                "INSERT INTO _row_head (tenant, entity, next, count, bytes) VALUES (?1, ?2, ?3, ?4, ?5)"
            };
            connection.prepare_cached(sql)?.execute(params![
                tenant.get(),
                entity,
                head.next,
                head.count,
                head.bytes
            ])?;
            head.stored = true;
        }
        Ok(())
    }

    /// Takes over what a transaction committed.
    pub(super) fn absorb(&mut self, committed: Heads) {
        if self.logs.len() + self.rows.len() > REMEMBERED_MAX {
            *self = Heads::default();
        }
        self.logs.extend(committed.logs);
        self.rows.extend(committed.rows);
    }
}

fn load_log(connection: &Connection, tenant: TenantKey) -> Result<LogHead> {
    let sql = "SELECT next, hash, clock, last_id FROM _log_head WHERE tenant = ?1";
    let head = connection
        .prepare_cached(sql)?
        .query_row([tenant.get()], |row| {
            Ok(LogHead {
                next: row.get(0)?,
                hash: row.get(1)?,
                clock: row.get(2)?,
                last_id: Uuid::from_bytes(row.get(3)?),
            })
        })
        .optional()?;
    head.ok_or_else(|| Error::corrupt("a tenant has no log"))
}

fn load_rows(connection: &Connection, tenant: TenantKey, entity: i64) -> Result<RowHead> {
    let sql = "SELECT next, count, bytes FROM _row_head WHERE tenant = ?1 AND entity = ?2";
    let head = connection
        .prepare_cached(sql)?
        .query_row([tenant.get(), entity], |row| {
            Ok(RowHead { next: row.get(0)?, count: row.get(1)?, bytes: row.get(2)?, stored: true })
        })
        .optional()?;
    Ok(head.unwrap_or(RowHead { next: 1, count: 0, bytes: 0, stored: false }))
}

/// How many rows a tenant has of an entity: one lookup.
pub(crate) fn count(connection: &Connection, tenant: TenantKey, entity: i64) -> Result<u64> {
    let sql = "SELECT count FROM _row_head WHERE tenant = ?1 AND entity = ?2";
    let count: Option<i64> =
        connection.prepare_cached(sql)?.query_row([tenant.get(), entity], |row| row.get(0)).optional()?;
    unsigned_count(count)
}

/// A stored count; none is 0.
pub(crate) fn unsigned_count(count: Option<i64>) -> Result<u64> {
    u64::try_from(count.unwrap_or(0)).map_err(|_| Error::corrupt("the store holds a negative count"))
}

/// The log of a new tenant.
pub(crate) fn create_log(connection: &Connection, tenant: TenantKey, origin: Hash) -> Result<()> {
    connection.execute(
        "INSERT INTO _log_head (tenant, origin, next, hash, clock, last_id) VALUES (?1, ?2, 1, ?2, 0, zeroblob(16))",
        params![tenant.get(), origin],
    )?;
    Ok(())
}
