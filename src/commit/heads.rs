//! What the writer must know of a tenant without looking at its rows: next numbers, counts,
//! bytes, the log's head, the last id.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use rusqlite::{Connection, OptionalExtension, params};
use uuid::Uuid;

use crate::audit::chain::Hash;
use crate::error::{Error, Result};
use crate::identity::TenantKey;
use crate::quota::{Quota, QuotaKind};

/// Tenants whose heads are remembered; then the memory starts afresh.
const REMEMBERED_MAX: usize = 100_000;

/// Where a tenant's log and ids stand.
#[derive(Debug, Clone)]
pub(crate) struct LogHead {
    pub(crate) next: i64,
    pub(crate) hash: Hash,
    pub(crate) clock: i64,
    pub(crate) last_id: Uuid,
    /// Whether the tenant was erased, so that nothing follows.
    pub(crate) closed: bool,
    /// The caller's work that last appended, and the number of the first entry of that work.
    pub(crate) work: u64,
    pub(crate) first: i64,
}

/// Where a tenant's rows of one entity stand.
#[derive(Debug, Clone)]
pub(crate) struct RowHead {
    pub(crate) next: i64,
    pub(crate) count: i64,
    pub(crate) bytes: i64,
    /// The greatest id so far, while rows lie in the order of their ids; then, for good, none.
    pub(crate) last_id: Option<Uuid>,
    /// The tenant's own quota.
    pub(crate) quota: Option<Quota>,
    /// Whether the file has a row for it.
    stored: bool,
}

impl RowHead {
    /// That of a tenant that has had no row of the entity.
    pub(crate) fn empty() -> Self {
        Self { next: 1, count: 0, bytes: 0, last_id: Some(Uuid::nil()), quota: None, stored: false }
    }

    /// Becomes that of the same rows in another file.
    pub(crate) fn follow(&mut self, other: &Self) {
        *self = Self { stored: self.stored, ..other.clone() };
    }

    /// Counts what a change adds to the rows or, below 0, takes away. Beyond the tenant's own quota,
    /// or else the entity's, whatever adds is refused; whatever does not never is.
    pub(crate) fn add(&mut self, entity: &str, quota: Quota, rows: i64, bytes: i64) -> Result<()> {
        let quota = self.quota.unwrap_or(quota);
        let (count, size) = (self.count + rows, self.bytes + bytes);
        let limits =
            [(QuotaKind::Rows, quota.rows, rows, count), (QuotaKind::Bytes, quota.bytes, bytes, size)];
        for (what, max, added, total) in limits {
            let total = total.unsigned_abs();
            if let Some(max) = max.filter(|max| added > 0 && total > *max) {
                return Err(Error::QuotaExceeded { entity: entity.to_owned(), what, max, total });
            }
        }
        (self.count, self.bytes) = (count, size);
        Ok(())
    }
}

type RowKey = (TenantKey, i64);

/// A head in memory.
#[derive(Debug, Clone)]
struct Kept<T> {
    head: T,
    /// The savepoint within which its former state went to the journal.
    saved: u64,
    /// Whether the file has to follow at the commit.
    dirty: bool,
}

/// A head as it was before; none if memory did not have it.
#[derive(Debug)]
enum Before {
    Log(TenantKey, Option<Kept<LogHead>>),
    Rows(RowKey, Option<Kept<RowHead>>),
}

/// Heads by tenant, and by tenant and entity. The writer remembers them from one transaction to
/// the next; a journal of former states follows SQLite's rollbacks.
#[derive(Debug, Default)]
pub(crate) struct Heads {
    logs: HashMap<TenantKey, Kept<LogHead>>,
    rows: HashMap<RowKey, Kept<RowHead>>,
    journal: Vec<Before>,
    savepoint: u64,
}

/// A place in the journal.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mark(usize);

impl Heads {
    pub(super) fn log(&mut self, connection: &Connection, tenant: TenantKey) -> Result<&mut LogHead> {
        let kept = match self.logs.entry(tenant) {
            Entry::Occupied(entry) => {
                let kept = entry.into_mut();
                if kept.saved != self.savepoint {
                    self.journal.push(Before::Log(tenant, Some(kept.clone())));
                    kept.saved = self.savepoint;
                }
                kept
            }
            Entry::Vacant(entry) => {
                let head = load_log(connection, tenant)?;
                self.journal.push(Before::Log(tenant, None));
                entry.insert(Kept { head, saved: self.savepoint, dirty: false })
            }
        };
        kept.dirty = true;
        Ok(&mut kept.head)
    }

    pub(super) fn rows(
        &mut self,
        connection: &Connection,
        tenant: TenantKey,
        entity: i64,
    ) -> Result<&mut RowHead> {
        let key = (tenant, entity);
        let kept = match self.rows.entry(key) {
            Entry::Occupied(entry) => {
                let kept = entry.into_mut();
                if kept.saved != self.savepoint {
                    self.journal.push(Before::Rows(key, Some(kept.clone())));
                    kept.saved = self.savepoint;
                }
                kept
            }
            Entry::Vacant(entry) => {
                let head = load_rows(connection, tenant, entity)?;
                self.journal.push(Before::Rows(key, None));
                entry.insert(Kept { head, saved: self.savepoint, dirty: false })
            }
        };
        kept.dirty = true;
        Ok(&mut kept.head)
    }

    /// Gives a tenant a quota of its own; the one before. It goes to the file at once, so that the
    /// commits of all other changes have no more to write.
    pub(super) fn set_quota(
        &mut self,
        connection: &Connection,
        tenant: TenantKey,
        entity: i64,
        quota: Option<Quota>,
    ) -> Result<Option<Quota>> {
        let head = self.rows(connection, tenant, entity)?;
        let (rows_max, bytes_max) = quota.map(Quota::stored).unzip();
        let sql = "INSERT INTO _row_head (tenant, entity, next, count, bytes, rows_max, bytes_max) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) \
                   ON CONFLICT (tenant, entity) DO UPDATE SET rows_max = ?6, bytes_max = ?7";
        connection.prepare_cached(sql)?.execute(params![
            tenant.get(),
            entity,
            head.next,
            head.count,
            head.bytes,
            rows_max,
            bytes_max
        ])?;
        head.stored = true;
        Ok(std::mem::replace(&mut head.quota, quota))
    }

    /// A place to come back to. Former states are journaled anew from here on.
    pub(super) fn mark(&mut self) -> Mark {
        self.savepoint += 1;
        Mark(self.journal.len())
    }

    /// Brings back what was there at a mark.
    pub(super) fn roll_back_to(&mut self, mark: Mark) {
        for before in self.journal.drain(mark.0..).rev() {
            match before {
                Before::Log(key, Some(kept)) => drop(self.logs.insert(key, kept)),
                Before::Log(key, None) => drop(self.logs.remove(&key)),
                Before::Rows(key, Some(kept)) => drop(self.rows.insert(key, kept)),
                Before::Rows(key, None) => drop(self.rows.remove(&key)),
            }
        }
    }

    /// Brings back what was there when the transaction began.
    pub(super) fn roll_back(&mut self) {
        self.roll_back_to(Mark(0));
    }

    /// Writes the heads that the transaction touched, each once.
    pub(super) fn store(&mut self, connection: &Connection) -> Result<()> {
        for before in &self.journal {
            match before {
                Before::Log(tenant, _) => {
                    if let Some(kept) = self.logs.get_mut(tenant).filter(|kept| kept.dirty) {
                        store_log(connection, *tenant, &kept.head)?;
                        kept.dirty = false;
                    }
                }
                Before::Rows(key, _) => {
                    if let Some(kept) = self.rows.get_mut(key).filter(|kept| kept.dirty) {
                        store_rows(connection, *key, &kept.head)?;
                        kept.head.stored = true;
                        kept.dirty = false;
                    }
                }
            }
        }
        Ok(())
    }

    /// The heads of a tenant's rows are gone from the file. Memory holds nothing of them that the file lacked.
    pub(super) fn forget_rows(&mut self, tenant: TenantKey) {
        self.rows.retain(|(other, _), _| *other != tenant);
    }

    /// Remembers nothing of these tenants.
    pub(super) fn forget(&mut self, tenants: &[TenantKey]) {
        self.logs.retain(|tenant, _| !tenants.contains(tenant));
        self.rows.retain(|(tenant, _), _| !tenants.contains(tenant));
    }

    /// The transaction was committed.
    pub(super) fn committed(&mut self) {
        self.journal.clear();
        self.savepoint += 1;
        if self.logs.len() + self.rows.len() > REMEMBERED_MAX {
            self.logs.clear();
            self.rows.clear();
        }
    }
}

fn store_log(connection: &Connection, tenant: TenantKey, head: &LogHead) -> Result<()> {
    let sql =
        "UPDATE _log_head SET next = ?2, hash = ?3, clock = ?4, last_id = ?5, closed = ?6 WHERE tenant = ?1";
    connection.prepare_cached(sql)?.execute(params![
        tenant.get(),
        head.next,
        head.hash,
        head.clock,
        head.last_id.as_bytes(),
        head.closed
    ])?;
    Ok(())
}

fn store_rows(connection: &Connection, (tenant, entity): RowKey, head: &RowHead) -> Result<()> {
    let sql = if head.stored {
        "UPDATE _row_head SET next = ?3, count = ?4, bytes = ?5, last_id = ?6 WHERE tenant = ?1 AND entity = ?2"
    } else {
        "INSERT INTO _row_head (tenant, entity, next, count, bytes, last_id) VALUES (?1, ?2, ?3, ?4, ?5, ?6)"
    };
    connection.prepare_cached(sql)?.execute(params![
        tenant.get(),
        entity,
        head.next,
        head.count,
        head.bytes,
        head.last_id.as_ref().map(Uuid::as_bytes)
    ])?;
    Ok(())
}

/// The head of rows that came from elsewhere, of a tenant that the writer knows nothing of yet.
pub(crate) fn put_rows(
    connection: &Connection,
    tenant: TenantKey,
    entity: i64,
    head: &RowHead,
) -> Result<()> {
    store_rows(connection, (tenant, entity), head)?;
    let (rows_max, bytes_max) = head.quota.map(Quota::stored).unzip();
    let sql = "UPDATE _row_head SET rows_max = ?3, bytes_max = ?4 WHERE tenant = ?1 AND entity = ?2";
    connection.prepare_cached(sql)?.execute(params![tenant.get(), entity, rows_max, bytes_max])?;
    Ok(())
}

fn load_log(connection: &Connection, tenant: TenantKey) -> Result<LogHead> {
    let sql = "SELECT next, hash, clock, last_id, closed FROM _log_head WHERE tenant = ?1";
    let head = connection
        .prepare_cached(sql)?
        .query_row([tenant.get()], |row| {
            Ok(LogHead {
                next: row.get(0)?,
                hash: row.get(1)?,
                clock: row.get(2)?,
                last_id: Uuid::from_bytes(row.get(3)?),
                closed: row.get(4)?,
                work: 0,
                first: 0,
            })
        })
        .optional()?;
    head.ok_or_else(|| Error::corrupt("a tenant has no log"))
}

/// A tenant that has had no row of the entity has no head.
pub(crate) fn load_rows(connection: &Connection, tenant: TenantKey, entity: i64) -> Result<RowHead> {
    let sql = "SELECT next, count, bytes, rows_max, bytes_max, last_id FROM _row_head WHERE tenant = ?1 AND entity = ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([tenant.get(), entity])?;
    let Some(row) = rows.next()? else { return Ok(RowHead::empty()) };
    let own: Option<i64> = row.get(3)?;
    Ok(RowHead {
        next: row.get(0)?,
        count: row.get(1)?,
        bytes: row.get(2)?,
        last_id: row.get::<_, Option<_>>(5)?.map(Uuid::from_bytes),
        quota: own.map(|rows_max| Quota::from_stored(rows_max, row.get(4)?)).transpose()?,
        stored: true,
    })
}

/// How many rows a tenant has of an entity: one lookup.
pub(crate) fn count(connection: &Connection, tenant: TenantKey, entity: i64) -> Result<u64> {
    let sql = "SELECT count FROM _row_head WHERE tenant = ?1 AND entity = ?2";
    let count: Option<i64> =
        connection.prepare_cached(sql)?.query_row([tenant.get(), entity], |row| row.get(0)).optional()?;
    unsigned_count(count)
}

/// Users, organizations and members; all rows; all bytes.
pub(crate) fn totals(connection: &Connection) -> Result<(u64, u64, u64)> {
    // Without those that were erased, of which keys and logs stay, and keys of those that did not arrive.
    let sql = "SELECT (SELECT count(*) FROM _user WHERE id IS NOT NULL) + (SELECT count(*) FROM _organization WHERE id IS NOT NULL) \
               + (SELECT count(*) FROM _member AS m JOIN _user AS u ON u.key = m.user JOIN _organization AS o ON o.key = m.organization \
                  WHERE u.id IS NOT NULL AND o.id IS NOT NULL), ifnull(sum(count), 0), ifnull(sum(bytes), 0) FROM _row_head";
    let row =
        connection.prepare_cached(sql)?.query_row([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    Ok((unsigned_count(Some(row.0))?, unsigned_count(Some(row.1))?, unsigned_count(Some(row.2))?))
}

/// The rows and bytes of those who live in a partition: reference records there are copies.
pub(crate) fn totals_at_home(connection: &Connection) -> Result<(u64, u64)> {
    let sql = "SELECT ifnull(sum(count), 0), ifnull(sum(bytes), 0) FROM _row_head WHERE tenant > 0";
    let row = connection.prepare_cached(sql)?.query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok((unsigned_count(Some(row.0))?, unsigned_count(Some(row.1))?))
}

/// The rows and bytes of a user or an organization, with its members' own.
pub(crate) fn totals_of(connection: &Connection, home: TenantKey) -> Result<(u64, u64)> {
    let sql = "SELECT ifnull(sum(count), 0), ifnull(sum(bytes), 0) FROM _row_head \
               WHERE tenant = ?1 OR tenant IN (SELECT key FROM _member WHERE organization = ?1)";
    let row =
        connection.prepare_cached(sql)?.query_row([home.get()], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok((unsigned_count(Some(row.0))?, unsigned_count(Some(row.1))?))
}

/// A stored count; none is 0.
pub(crate) fn unsigned_count(count: Option<i64>) -> Result<u64> {
    u64::try_from(count.unwrap_or(0)).map_err(|_| Error::corrupt("the store holds a negative count"))
}

/// Whether the file is a tenant's home.
pub(crate) fn has_log(connection: &Connection, tenant: TenantKey) -> Result<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM _log_head WHERE tenant = ?1)";
    Ok(connection.prepare_cached(sql)?.query_row([tenant.get()], |row| row.get(0))?)
}

/// Whether a tenant was erased.
pub(crate) fn is_closed(connection: &Connection, tenant: TenantKey) -> Result<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM _log_head WHERE tenant = ?1 AND closed = 1)";
    Ok(connection.prepare_cached(sql)?.query_row([tenant.get()], |row| row.get(0))?)
}

/// The log of a new tenant.
pub(crate) fn create_log(connection: &Connection, tenant: TenantKey, origin: Hash) -> Result<()> {
    connection.execute(
        "INSERT INTO _log_head (tenant, origin, next, hash, clock, last_id) VALUES (?1, ?2, 1, ?2, 0, zeroblob(16))",
        params![tenant.get(), origin],
    )?;
    Ok(())
}
