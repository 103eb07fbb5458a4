//! Requests for ids that a tenant does not have: noted in memory, written in batches, and told apart
//! afterwards for the administration of a store.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rusqlite::{Connection, params};
use uuid::Uuid;

use crate::entity::time_from_micros;
use crate::error::{Error, Result};
use crate::identity::{Mark, TenantKey, TenantName, UserId};
use crate::schema::Catalog;
use crate::statement;

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
    /// Who asked.
    pub(crate) actor: Option<Mark>,
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

/// Appends misses to each tenant's own range, and drops what is more than a tenant may keep.
pub(crate) fn store(connection: &Connection, misses: &[Miss]) -> Result<()> {
    for miss in misses {
        let newest: Option<i64> = connection
            .prepare_cached("SELECT max(key) FROM _audit_miss WHERE key BETWEEN ?1 AND ?2")?
            .query_row([miss.tenant.first(), miss.tenant.last()], |row| row.get(0))?;
        let key = newest.unwrap_or(miss.tenant.first()) + 1;
        let sql = "INSERT INTO _audit_miss (key, actor, entity, record, time) VALUES (?1, ?2, ?3, ?4, ?5)";
        connection.prepare_cached(sql)?.execute(params![
            key,
            miss.actor,
            miss.entity,
            miss.record.as_bytes(),
            miss.time.as_microsecond()
        ])?;
        connection
            .prepare_cached("DELETE FROM _audit_miss WHERE key BETWEEN ?1 AND ?2")?
            .execute([miss.tenant.first(), key - KEPT_MAX])?;
    }
    Ok(())
}

/// Which of a tenant's misses a report is about, and what it tells of them.
///
/// ```
/// use tenantry::MissQuery;
/// # use tenantry::Timestamp;
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let midnight: Timestamp = "2026-11-24T00:00:00Z".parse()?;
/// let query = MissQuery::new().since(midnight).window(std::time::Duration::from_secs(600));
/// # let _ = query;
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct MissQuery {
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    window: Duration,
    name_owners: bool,
}

impl Default for MissQuery {
    fn default() -> Self {
        Self { since: None, until: None, window: Duration::from_secs(3_600), name_owners: false }
    }
}

impl MissQuery {
    /// All that are kept, by the hour, without the names of others.
    pub fn new() -> Self {
        Self::default()
    }

    /// Misses at or after a time.
    pub fn since(mut self, time: Timestamp) -> Self {
        self.since = Some(time);
        self
    }

    /// Misses before a time.
    pub fn until(mut self, time: Timestamp) -> Self {
        self.until = Some(time);
        self
    }

    /// How long a time one group is about; an hour without it, and at least a microsecond.
    pub fn window(mut self, window: Duration) -> Self {
        self.window = window;
        self
    }

    /// Says whose the records of others are.
    pub fn name_owners(mut self) -> Self {
        self.name_owners = true;
        self
    }

    pub(crate) fn names_owners(&self) -> bool {
        self.name_owners
    }
}

/// Which ids a tenant was asked for that it does not have, and what they are.
///
/// A tenant's last 1,000 misses are kept. What an id is now is told: a record that another tenant had when it was
/// asked for, and has deleted since, is unknown.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct MissReport {
    /// By time, then entity, then who asked.
    pub groups: Vec<MissGroup>,
    /// The partitions that could not be looked in: what is said to be unknown may be in one of them.
    pub unreadable: Vec<String>,
}

/// Misses of one entity, by one user, of one window of time.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct MissGroup {
    /// The entity that was asked for.
    pub entity: String,
    /// Who asked; `None` for the application itself, and for a user whose id was erased.
    pub actor: Option<UserId>,
    /// When the first one was asked for.
    pub first: Timestamp,
    /// When the last one was.
    pub last: Timestamp,
    /// How often any was asked for.
    pub requests: u64,
    /// The ids, each once, in their order.
    pub ids: Vec<MissedId>,
}

impl MissGroup {
    /// How many ids are of a kind. Many of other tenants', in a short time, are what an attack looks like.
    #[must_use]
    pub fn count(&self, kind: MissKind) -> usize {
        self.ids.iter().filter(|id| id.kind == kind).count()
    }
}

/// An id that was asked for in vain.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct MissedId {
    /// The id.
    pub record: Uuid,
    /// How often it was asked for.
    pub requests: u64,
    /// What it is now.
    pub kind: MissKind,
    /// Whether the tenant had a record of this id and deleted it, as its log says.
    pub was_deleted: bool,
    /// Whose it is, if the report was asked to say so. More than one, if somebody chose the same id.
    pub owners: Vec<TenantName>,
}

/// What an id that a tenant does not have is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum MissKind {
    /// No record of the entity has it.
    Unknown,
    /// It was the tenant's own and was deleted.
    Deleted,
    /// The tenant has it by now: it was inserted later.
    Own,
    /// It is another tenant's. So is one that the tenant itself has deleted too: ids can be chosen.
    Foreign,
}

/// A tenant's misses, not told apart yet: entity, who asked, id, time.
pub(crate) struct Noted {
    entity: String,
    actor: Option<UserId>,
    record: Uuid,
    time: Timestamp,
}

/// A tenant's misses, oldest first.
pub(crate) fn read(connection: &Connection, tenant: TenantKey, query: &MissQuery) -> Result<Vec<Noted>> {
    let sql = "SELECT m.entity, a.id, m.record, m.time FROM _audit_miss AS m LEFT JOIN _actor AS a ON a.mark = m.actor \
               WHERE m.key BETWEEN ?1 AND ?2 AND m.time >= ?3 AND m.time < ?4 ORDER BY m.key";
    let since = query.since.map_or(i64::MIN, Timestamp::as_microsecond);
    let until = query.until.map_or(i64::MAX, Timestamp::as_microsecond);
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([tenant.first(), tenant.last(), since, until])?;
    let mut noted = Vec::new();
    while let Some(row) = rows.next()? {
        noted.push(Noted {
            entity: row.get(0)?,
            actor: row.get::<_, Option<String>>(1)?.map(UserId::new).transpose()?,
            record: Uuid::from_bytes(row.get(2)?),
            time: time_from_micros(row.get(3)?)
                .ok_or_else(|| Error::corrupt("a miss holds a time out of range"))?,
        });
    }
    Ok(noted)
}

/// What ids are, by entity.
#[derive(Debug, Default)]
pub(crate) struct Sorting {
    ids: BTreeMap<String, BTreeSet<Uuid>>,
    deleted: HashSet<(String, Uuid)>,
    owners: HashMap<(String, Uuid), BTreeSet<TenantKey>>,
}

impl Sorting {
    pub(crate) fn of(noted: &[Noted]) -> Self {
        let mut ids: BTreeMap<String, BTreeSet<Uuid>> = BTreeMap::new();
        for miss in noted {
            ids.entry(miss.entity.clone()).or_default().insert(miss.record);
        }
        Self { ids, ..Self::default() }
    }

    /// Finds out which the tenant has deleted, by its log.
    pub(crate) fn look_in_log(&mut self, connection: &Connection, tenant: TenantKey) -> Result<()> {
        let sql = "SELECT record FROM _audit WHERE key BETWEEN ?1 AND ?2 AND entity = ?3 AND action = 'delete' AND outcome = 'ok'";
        let mut statement = connection.prepare_cached(sql)?;
        for (entity, ids) in &self.ids {
            let mut rows = statement.query(params![tenant.first(), tenant.last(), entity])?;
            while let Some(row) = rows.next()? {
                let record = row.get::<_, Option<[u8; 16]>>(0)?.map(Uuid::from_bytes);
                self.deleted.extend(
                    record.filter(|record| ids.contains(record)).map(|record| (entity.clone(), record)),
                );
            }
        }
        Ok(())
    }

    /// Finds out which are records of those who live in a file: one pass over each entity's ids.
    pub(crate) fn look_in_rows(&mut self, connection: &Connection, catalog: &Catalog) -> Result<()> {
        for (entity, ids) in &self.ids {
            let (statement, decode) = statement::owners(catalog.get(entity)?, ids.iter().copied());
            for (record, owner) in statement.all(connection, decode)? {
                self.owners.entry((entity.clone(), record)).or_default().insert(owner);
            }
        }
        Ok(())
    }

    /// Others who have any of them.
    pub(crate) fn others(&self, tenant: TenantKey) -> BTreeSet<TenantKey> {
        self.owners.values().flatten().copied().filter(|owner| *owner != tenant).collect()
    }

    /// The report, with the names of others as far as they are given.
    pub(crate) fn report(
        &self,
        tenant: TenantKey,
        noted: Vec<Noted>,
        query: &MissQuery,
        names: &HashMap<TenantKey, TenantName>,
    ) -> Vec<MissGroup> {
        let window = i64::try_from(query.window.as_micros()).unwrap_or(i64::MAX).max(1);
        let mut groups: BTreeMap<_, (Timestamp, Timestamp, BTreeMap<Uuid, u64>)> = BTreeMap::new();
        for Noted { entity, actor, record, time } in noted {
            let key = (time.as_microsecond().div_euclid(window), entity, actor);
            let (first, last, ids) = groups.entry(key).or_insert_with(|| (time, time, BTreeMap::new()));
            (*first, *last) = ((*first).min(time), (*last).max(time));
            *ids.entry(record).or_default() += 1;
        }
        let groups = groups.into_iter().map(|((_, entity, actor), (first, last, ids))| {
            let requests = ids.values().sum();
            let missed = |(record, requests)| self.missed(tenant, &entity, record, requests, names);
            let ids = ids.into_iter().map(missed).collect();
            MissGroup { entity: entity.clone(), actor, first, last, requests, ids }
        });
        groups.collect()
    }

    fn missed(
        &self,
        tenant: TenantKey,
        entity: &str,
        record: Uuid,
        requests: u64,
        names: &HashMap<TenantKey, TenantName>,
    ) -> MissedId {
        let key = (entity.to_owned(), record);
        let was_deleted = self.deleted.contains(&key);
        let owners = self.owners.get(&key);
        let has = |test: &dyn Fn(&TenantKey) -> bool| owners.is_some_and(|owners| owners.iter().any(test));
        let kind = if has(&|owner| *owner == tenant) {
            MissKind::Own
        } else if has(&|_| true) {
            MissKind::Foreign
        } else if was_deleted {
            MissKind::Deleted
        } else {
            MissKind::Unknown
        };
        let owners = owners.into_iter().flatten().filter_map(|owner| names.get(owner).cloned()).collect();
        MissedId { record, requests, kind, was_deleted, owners }
    }
}
