//! The access log: who read which records of entities that ask for it. Noted in memory and written in
//! batches, apart from the chain: a few seconds of it are lost if the process is killed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use rusqlite::types::Value as SqlValue;
use rusqlite::{Connection, OptionalExtension, Row, params};
use uuid::Uuid;

use super::AuditEntry;
use crate::commit::Actor;
use crate::entity::time_from_micros;
use crate::error::{Error, Result};
use crate::identity::{TenantKey, UserId};
use crate::schema::identities;

/// Entries that are kept of one tenant; older ones go.
pub(crate) const KEPT_MAX: i64 = 100_000;
/// How long they are kept: a year.
const KEPT_TIME: SignedDuration = SignedDuration::from_hours(365 * 24);
/// Records that an entry names; of more it only tells how many there were.
pub(crate) const NAMED_MAX: usize = 100;
/// Entries that wait in memory before they are written.
const PENDING_MAX: usize = 256;
/// Entries of one user or organization that wait at most, while nobody can write them; then they are
/// added up. Not of all together: what others do must not make a tenant's log less exact.
const WAITING_MAX: usize = 1_024;
/// How long an entry waits in memory, if anything happens on the store.
const PENDING_TIME: Duration = Duration::from_secs(2);

/// How records were read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ReadKind {
    /// By id: `get`, `find`, `get_many`, `exists`. What was not there is not here but on the list of misses.
    Get,
    /// `list`, `page`, `first`, `one`, a batch of `iter`.
    List,
    /// As the ones that other records refer to, in a join.
    Join,
    /// `count`, and `exists` of a query.
    Count,
    /// A sum, an average, the least or the greatest value, or how often each value occurs.
    Aggregate,
    /// By a statement of SQL; which records it looked at is not known.
    Sql,
    /// In the audit log, which tells what changed.
    Log,
}

impl ReadKind {
    const ALL: [Self; 7] =
        [Self::Get, Self::List, Self::Join, Self::Count, Self::Aggregate, Self::Sql, Self::Log];

    /// Its name in the log.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::List => "list",
            Self::Join => "join",
            Self::Count => "count",
            Self::Aggregate => "aggregate",
            Self::Sql => "sql",
            Self::Log => "log",
        }
    }
}

impl fmt::Display for ReadKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// That somebody read a tenant's records of an entity, as its access log holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReadEntry {
    /// The entry's number in the tenant's access log, from 1. The oldest entries go in time, so the
    /// first number is not always 1.
    pub number: u64,
    /// When it happened.
    pub time: Timestamp,
    /// In whose name; `None` for the application itself, and for a user whose id was erased.
    pub actor: Option<UserId>,
    /// The store admin who did it, when one acted for the tenant.
    pub admin: Option<UserId>,
    /// Why, as the store admin said.
    pub reason: Option<String>,
    /// The entity of the records.
    pub entity: String,
    /// How they were read.
    pub kind: ReadKind,
    /// How many records were shown; `None` where none was by itself, as in a sum.
    pub count: Option<u64>,
    /// The ids of the records, if they were no more than 100.
    pub records: Vec<Uuid>,
}

/// What was read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Found {
    /// How many records; none where none was shown by itself.
    pub(crate) count: Option<u64>,
    ids: Vec<Uuid>,
}

impl Found {
    /// Of which nothing more is known.
    pub(crate) const UNKNOWN: Self = Self { count: None, ids: Vec::new() };

    /// So far none.
    pub(crate) fn none() -> Self {
        Self { count: Some(0), ids: Vec::new() }
    }

    pub(crate) fn add(&mut self, id: Uuid) {
        self.count = self.count.map(|count| count + 1);
        if self.ids.len() <= NAMED_MAX {
            self.ids.push(id);
        }
    }

    /// Their ids, if they are so few.
    fn named(&self) -> Option<&[Uuid]> {
        let named = !self.ids.is_empty() && self.ids.len() <= NAMED_MAX;
        named.then_some(&self.ids)
    }

    /// The records of both, of which none is named any more.
    fn add_up(&mut self, other: &Self) {
        self.count = self.count.zip(other.count).map(|(one, other)| one + other);
        self.ids = Vec::new();
    }
}

/// Of which records a log has told, of entities that ask for it: its entries hold what changed.
#[derive(Debug)]
pub(crate) struct Told {
    entities: Vec<(String, BTreeSet<Uuid>)>,
    /// Entries that may still be shown.
    left: u64,
}

impl Told {
    /// Of these entities, by so many entries.
    pub(crate) fn new(entities: impl Iterator<Item = String>, left: u64) -> Self {
        Self { entities: entities.map(|entity| (entity, BTreeSet::new())).collect(), left }
    }

    pub(super) fn entry(&mut self, entry: &AuditEntry) {
        if self.entities.is_empty() || self.left == 0 {
            return;
        }
        self.left = self.left.saturating_sub(1);
        let (Some(entity), Some(record), Some(_)) = (&entry.entity, entry.record, &entry.changes) else {
            return;
        };
        if let Some((_, records)) = self.entities.iter_mut().find(|(asking, _)| asking == entity) {
            records.insert(record);
        }
    }

    /// The entities of which it has, and which records.
    pub(crate) fn found(self) -> impl Iterator<Item = (String, Found)> {
        self.entities.into_iter().filter(|(_, records)| !records.is_empty()).map(|(entity, records)| {
            let mut found = Found::none();
            records.into_iter().for_each(|id| found.add(id));
            (entity, found)
        })
    }
}

/// An access that is not written yet.
#[derive(Debug)]
pub(crate) struct Read {
    /// Whose records.
    pub(crate) tenant: TenantKey,
    pub(crate) actor: Actor,
    pub(crate) entity: String,
    pub(crate) kind: ReadKind,
    pub(crate) found: Found,
    pub(crate) time: Timestamp,
}

impl Read {
    /// Whether two differ in nothing but the records and the time.
    fn is_like(&self, other: &Self) -> bool {
        let who = |read: &Self| {
            let admin = read.actor.admin.as_ref().map(|admin| (admin.mark, admin.reason.clone()));
            (read.tenant, read.kind, read.actor.user, admin)
        };
        self.entity == other.entity && who(self) == who(other)
    }
}

/// Accesses that are not written yet, by the home of whose records were read.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    by_home: BTreeMap<TenantKey, Vec<Read>>,
    /// How many they are together.
    count: usize,
    since: Option<Instant>,
}

impl Pending {
    pub(crate) fn note(&mut self, home: TenantKey, read: Read) {
        self.since.get_or_insert_with(Instant::now);
        let waiting = self.by_home.entry(home).or_default();
        if waiting.len() >= WAITING_MAX
            && let Some(like) = waiting.iter_mut().rev().find(|like| like.is_like(&read))
        {
            like.found.add_up(&read.found);
            return;
        }
        // There are only so many that differ.
        waiting.push(read);
        self.count += 1;
    }

    /// Whether it is time to write them.
    pub(crate) fn is_due(&self) -> bool {
        self.count >= PENDING_MAX || self.since.is_some_and(|since| since.elapsed() >= PENDING_TIME)
    }

    pub(crate) fn homes(&self) -> Vec<TenantKey> {
        self.by_home.keys().copied().collect()
    }

    pub(crate) fn take(&mut self, home: TenantKey) -> Vec<Read> {
        let taken = self.by_home.remove(&home).unwrap_or_default();
        self.count -= taken.len();
        if self.by_home.is_empty() {
            self.since = None;
        }
        taken
    }

    /// They could not be written: they come before those that have been noted since.
    pub(crate) fn give_back(&mut self, home: TenantKey, taken: Vec<Read>) {
        let since = self.take(home);
        // Not before they have waited again.
        self.since = Some(Instant::now());
        self.count += taken.len();
        self.by_home.insert(home, taken);
        since.into_iter().for_each(|read| self.note(home, read));
    }
}

/// Appends accesses to each tenant's own range, and drops what is more or older than a tenant keeps.
pub(crate) fn store(connection: &Connection, reads: &[Read]) -> Result<()> {
    let mut tenants = BTreeMap::new();
    for read in reads {
        if let Some(authority) = &read.actor.admin {
            identities::name_actor(connection, authority.mark, &authority.admin)?;
        }
        insert(connection, read)?;
        tenants.insert(read.tenant, read.time);
    }
    tenants.into_iter().try_for_each(|(tenant, time)| trim(connection, tenant, time))
}

fn insert(connection: &Connection, read: &Read) -> Result<()> {
    let newest: Option<i64> = connection
        .prepare_cached("SELECT max(key) FROM _audit_read WHERE key BETWEEN ?1 AND ?2")?
        .query_row([read.tenant.first(), read.tenant.last()], |row| row.get(0))?;
    let authority = read.actor.admin.as_deref();
    let records = read.found.named().map(|ids| ids.iter().flat_map(|id| *id.as_bytes()).collect::<Vec<u8>>());
    let sql = "INSERT INTO _audit_read (key, time, actor, admin, reason, entity, kind, count, records) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
    connection.prepare_cached(sql)?.execute(params![
        newest.unwrap_or(read.tenant.first()) + 1,
        read.time.as_microsecond(),
        read.actor.user,
        authority.map(|authority| authority.mark),
        authority.map(|authority| &authority.reason),
        read.entity,
        read.kind.as_str(),
        read.found.count.map(u64::cast_signed),
        records,
    ])?;
    Ok(())
}

/// Its newest entry stays, so that numbers go on.
fn trim(connection: &Connection, tenant: TenantKey, now: Timestamp) -> Result<()> {
    let (first, last) = (tenant.first(), tenant.last());
    let newest: Option<i64> = connection
        .prepare_cached("SELECT max(key) FROM _audit_read WHERE key BETWEEN ?1 AND ?2")?
        .query_row([first, last], |row| row.get(0))?;
    let Some(newest) = newest else { return Ok(()) };
    let oldest = now.saturating_sub(KEPT_TIME).unwrap_or(Timestamp::MIN);
    // They lie in the order of time, but for a clock that was set back.
    let young: Option<i64> = connection
        .prepare_cached(
            "SELECT key FROM _audit_read WHERE key BETWEEN ?1 AND ?2 AND time >= ?3 ORDER BY key LIMIT 1",
        )?
        .query_row([first, last, oldest.as_microsecond()], |row| row.get(0))
        .optional()?;
    let kept = young.unwrap_or(newest).max(newest - KEPT_MAX + 1);
    connection
        .prepare_cached("DELETE FROM _audit_read WHERE key BETWEEN ?1 AND ?2")?
        .execute([first, kept - 1])?;
    Ok(())
}

/// Which entries of an access log are asked for.
#[derive(Debug, Clone, Default)]
pub(crate) struct ReadQuery {
    pub(crate) entity: Option<String>,
    pub(crate) record: Option<Uuid>,
    pub(crate) actor: Option<UserId>,
    pub(crate) since: Option<Timestamp>,
    pub(crate) until: Option<Timestamp>,
    pub(crate) after: Option<u64>,
    pub(crate) newest_first: bool,
    pub(crate) limit: Option<u64>,
}

const SELECT: &str = "SELECT r.key, r.time, a.id, d.id, r.reason, r.entity, r.kind, r.count, r.records FROM _audit_read AS r \
     LEFT JOIN _actor AS a ON a.mark = r.actor LEFT JOIN _actor AS d ON d.mark = r.admin WHERE r.key BETWEEN ?1 AND ?2";

/// One tenant's entries, in the order of its access log.
pub(crate) fn read(connection: &Connection, tenant: TenantKey, query: &ReadQuery) -> Result<Vec<ReadEntry>> {
    let mut sql = String::from(SELECT);
    let mut params: Vec<SqlValue> = vec![tenant.first().into(), tenant.last().into()];
    // `?` stands for the value, once or more often.
    let mut condition = |text: &str, value: SqlValue| {
        params.push(value);
        sql.push_str(" AND ");
        sql.push_str(&text.replace('?', &format!("?{}", params.len())));
    };
    if let Some(entity) = &query.entity {
        condition("r.entity = ?", entity.clone().into());
    }
    if let Some(record) = &query.record {
        condition("instr(r.records, ?) > 0", record.as_bytes().to_vec().into());
    }
    if let Some(actor) = &query.actor {
        condition("(a.id = ? OR d.id = ?)", actor.to_string().into());
    }
    if let Some(since) = &query.since {
        condition("r.time >= ?", since.as_microsecond().into());
    }
    if let Some(until) = &query.until {
        condition("r.time < ?", until.as_microsecond().into());
    }
    if let Some(after) = query.after {
        let number = i64::try_from(after).ok().filter(|n| *n < 1 << TenantKey::NUMBER_BITS);
        let number = number.ok_or_else(|| Error::invalid("after", "is not the number of an entry"))?;
        condition(
            if query.newest_first { "r.key < ?" } else { "r.key > ?" },
            (tenant.first() | number).into(),
        );
    }
    sql.push_str(if query.newest_first { " ORDER BY r.key DESC" } else { " ORDER BY r.key" });
    if let Some(limit) = query.limit {
        sql.push_str(" LIMIT ");
        sql.push_str(&limit.min(i64::MAX as u64).to_string());
    }
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(rusqlite::params_from_iter(&params))?;
    let mut entries = Vec::new();
    while let Some(row) = rows.next()? {
        entries.push(entry(row)?);
    }
    Ok(entries)
}

fn entry(row: &Row<'_>) -> Result<ReadEntry> {
    let damaged = |what: &str| Error::corrupt(format!("an entry of the access log {what}"));
    let user = |column| -> Result<Option<UserId>> {
        row.get::<_, Option<String>>(column)?.map(UserId::new).transpose()
    };
    let number = row.get::<_, i64>(0)? & ((1 << TenantKey::NUMBER_BITS) - 1);
    let kind: String = row.get(6)?;
    let records: Option<Vec<u8>> = row.get(8)?;
    Ok(ReadEntry {
        number: number.unsigned_abs(),
        time: time_from_micros(row.get(1)?).ok_or_else(|| damaged("holds a time out of range"))?,
        actor: user(2)?,
        admin: user(3)?,
        reason: row.get(4)?,
        entity: row.get(5)?,
        kind: ReadKind::ALL
            .into_iter()
            .find(|known| known.as_str() == kind)
            .ok_or_else(|| damaged("is of a kind that is not known"))?,
        count: row.get::<_, Option<i64>>(7)?.map(i64::unsigned_abs),
        records: records
            .unwrap_or_default()
            .chunks(16)
            .map(|bytes| Uuid::from_slice(bytes).map_err(|_| damaged("holds half an id")))
            .collect::<Result<_>>()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_of(home: TenantKey, second: i64) -> Read {
        let mut found = Found::none();
        found.add(Uuid::from_u128(7));
        Read {
            tenant: home,
            actor: Actor::default(),
            entity: "task".to_owned(),
            kind: ReadKind::Get,
            found,
            time: Timestamp::from_second(second).unwrap(),
        }
    }

    fn tenant(key: i64) -> TenantKey {
        TenantKey::from_stored(key).unwrap()
    }

    fn table() -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(include_str!("../../schema.sql")).unwrap();
        connection
    }

    #[test]
    fn what_can_not_be_written_is_added_up_and_never_dropped() {
        let (mut pending, ada, grace) = (Pending::default(), tenant(1), tenant(2));
        let count = WAITING_MAX as i64 + 500;
        (0..count).for_each(|second| pending.note(ada, read_of(ada, second)));
        pending.note(grace, read_of(grace, 0));
        assert!(pending.is_due());
        let taken = pending.take(ada);
        assert_eq!(taken.len(), WAITING_MAX);
        let total: u64 = taken.iter().map(|read| read.found.count.unwrap()).sum();
        assert_eq!(total, count.unsigned_abs(), "each is in the sum");
        assert_eq!(taken.last().unwrap().found.named(), None, "a sum names no record");
        // Those of another kind, or of somebody else, are not added to them.
        pending.note(ada, Read { kind: ReadKind::List, ..read_of(ada, 0) });
        pending.give_back(ada, taken);
        let taken = pending.take(ada);
        assert_eq!(taken.len(), WAITING_MAX + 1);
        assert_eq!(taken.last().unwrap().kind, ReadKind::List, "they keep their order");
        assert_eq!((pending.homes(), pending.count), (vec![grace], 1));
    }

    #[test]
    fn a_tenant_keeps_so_many_and_for_so_long() {
        let (connection, ada, grace) = (table(), tenant(1), tenant(2));
        store(&connection, &[read_of(ada, 0), read_of(ada, 10), read_of(grace, 0)]).unwrap();
        let numbers = |of| -> Vec<u64> {
            read(&connection, of, &ReadQuery::default()).unwrap().iter().map(|entry| entry.number).collect()
        };
        assert_eq!(numbers(ada), [1, 2]);
        // As if there were as many as may be: the next number is what counts.
        let sql = "UPDATE _audit_read SET key = key + ?2 WHERE key = ?1";
        connection.execute(sql, [ada.first() + 2, KEPT_MAX - 1]).unwrap();
        let year = KEPT_TIME.as_secs();
        store(&connection, &[read_of(ada, 20)]).unwrap();
        assert_eq!(numbers(ada), [KEPT_MAX as u64 + 1, KEPT_MAX as u64 + 2]);
        store(&connection, &[read_of(ada, 20 + year)]).unwrap();
        assert_eq!(numbers(ada), [KEPT_MAX as u64 + 2, KEPT_MAX as u64 + 3], "one that is as old as may be");
        store(&connection, &[read_of(ada, 21 + 2 * year)]).unwrap();
        assert_eq!(numbers(ada), [KEPT_MAX as u64 + 4]);
        assert_eq!(numbers(grace), [1], "another tenant's stay");
    }

    #[test]
    fn few_records_are_named_and_many_are_counted() {
        let (connection, ada) = (table(), tenant(1));
        for records in [0, 1, NAMED_MAX, NAMED_MAX + 1, 3 * NAMED_MAX] {
            let mut found = Found::none();
            (0..records).for_each(|id| found.add(Uuid::from_u128(id as u128)));
            store(&connection, &[Read { found, ..read_of(ada, 0) }]).unwrap();
            let query = ReadQuery { newest_first: true, limit: Some(1), ..ReadQuery::default() };
            let entry = read(&connection, ada, &query).unwrap().remove(0);
            assert_eq!(entry.count, Some(records as u64));
            assert_eq!(entry.records.len(), if records > NAMED_MAX { 0 } else { records });
        }
    }
}
