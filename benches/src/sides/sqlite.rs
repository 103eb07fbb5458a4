//! What the sides over rusqlite have in common: the work itself, on one connection.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use jiff::Timestamp;
use rusqlite::types::ToSql;
use rusqlite::{Connection, OptionalExtension, Row, params};
use uuid::Uuid;
use work::ledger::{Chain, DEVICE, key};
use work::{AuditTotals, Durability, Entry, Head, Heads, Ledger, Record, Status, Stored, Task, sql};

/// Opens a connection with the settings that all sides over SQLite share.
pub(crate) fn open(path: &Path, durability: Durability, cache: i64) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    set(&connection, durability, cache)?;
    Ok(connection)
}

pub(crate) fn set(connection: &Connection, durability: Durability, cache: i64) -> rusqlite::Result<()> {
    connection.set_prepared_statement_cache_capacity(64);
    for (name, value) in sql::PRAGMAS {
        // Some answer with a row.
        connection.pragma_update_and_check(None, name, value, |_| Ok(())).optional()?;
    }
    connection.pragma_update(None, "synchronous", durability.pragma())?;
    connection.pragma_update(None, "cache_size", cache)
}

/// Makes the tables and the tenants.
pub(crate) fn create(connection: &mut Connection, tenants: usize, audited: bool) -> Result<()> {
    let transaction = connection.transaction()?;
    transaction.execute_batch(sql::ROWS)?;
    if audited {
        transaction.execute_batch(sql::AUDIT)?;
    }
    for tenant in 0..tenants {
        let name = format!("user-{tenant}");
        transaction.prepare_cached(sql::NEW_TENANT)?.execute(params![key(tenant), name])?;
        if audited {
            let head = Head::new(key(tenant));
            transaction.prepare_cached(sql::NEW_ROW_HEAD)?.execute([key(tenant)])?;
            transaction.prepare_cached(sql::NEW_LOG_HEAD)?.execute(params![key(tenant), head.hash])?;
        }
    }
    Ok(transaction.commit()?)
}

/// Runs one transaction of one tenant. With a ledger, its head is stored before the commit and
/// given back after it.
pub(crate) fn transaction<'c, R>(
    connection: &'c Connection,
    tenant: usize,
    ledger: impl FnOnce() -> Result<Option<Ledger<'c>>>,
    run: impl FnOnce(&mut Write<'c>) -> Result<R>,
) -> Result<(R, Option<Head>)> {
    connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
    let outcome = (|| {
        let written = write(connection, tenant, ledger()?, run)?;
        connection.prepare_cached("COMMIT")?.execute([])?;
        Ok(written)
    })();
    if outcome.is_err() {
        connection.execute_batch("ROLLBACK")?;
    }
    outcome
}

/// Within a transaction: the writes of one tenant, and the head that they leave.
fn write<'c, R>(
    connection: &'c Connection,
    tenant: usize,
    ledger: Option<Ledger<'c>>,
    run: impl FnOnce(&mut Write<'c>) -> Result<R>,
) -> Result<(R, Option<Head>)> {
    let mut write = Write { connection, tenant: key(tenant), ledger };
    let result = run(&mut write)?;
    let head = write.ledger.map(|ledger| ledger.head);
    if let Some(head) = &head {
        write_head(connection, key(tenant), head)?;
    }
    Ok((result, head))
}

/// Inserts rows of several tenants in one transaction.
pub(crate) fn load(
    connection: &Connection,
    heads: &mut Heads,
    audited: bool,
    rows: &[(usize, Task)],
) -> Result<Vec<Uuid>> {
    let transaction = connection.unchecked_transaction()?;
    let ids = rows.iter().map(|(tenant, task)| {
        let ledger = audited.then(|| heads.begin(*tenant));
        let (id, head) = write(connection, *tenant, ledger, |write| write.insert(task))?;
        head.into_iter().for_each(|head| heads.keep(*tenant, head));
        Ok(id)
    });
    let ids = ids.collect::<Result<_>>()?;
    transaction.commit()?;
    Ok(ids)
}

fn write_head(connection: &Connection, tenant: i64, head: &Head) -> Result<()> {
    connection.prepare_cached(sql::ROW_HEAD)?.execute(params![tenant, head.count, head.bytes])?;
    connection.prepare_cached(sql::LOG_HEAD)?.execute(params![
        tenant,
        head.next,
        head.hash,
        head.clock,
        head.last_id.to_be_bytes()
    ])?;
    Ok(())
}

/// The head as the file has it.
pub(crate) fn read_head(connection: &Connection, tenant: i64) -> Result<Head> {
    Ok(connection.prepare_cached(sql::READ_HEAD)?.query_row([tenant], |row| {
        Ok(Head {
            count: row.get(0)?,
            bytes: row.get(1)?,
            next: row.get(2)?,
            hash: row.get(3)?,
            clock: row.get(4)?,
            last_id: u128::from_be_bytes(row.get(5)?),
        })
    })?)
}

/// Writes of one tenant: within a transaction, or a single statement that is one by itself.
pub(crate) struct Write<'c> {
    pub(crate) connection: &'c Connection,
    pub(crate) tenant: i64,
    /// None for the sides without an audit log.
    pub(crate) ledger: Option<Ledger<'c>>,
}

impl Write<'_> {
    pub(crate) fn insert(&mut self, task: &Task) -> Result<Uuid> {
        let (id, now) = match &mut self.ledger {
            Some(ledger) => (ledger.new_id()?, ledger.now()),
            None => (Uuid::now_v7(), Timestamp::now().as_microsecond()),
        };
        let tags = rmp_serde::to_vec(&task.tags)?;
        self.connection.prepare_cached(sql::INSERT)?.execute(params![
            self.tenant,
            id.as_bytes(),
            now,
            task.title,
            task.status.text(),
            task.due.map(Timestamp::as_microsecond),
            task.points,
            tags,
            task.body
        ])?;
        if let Some(ledger) = &mut self.ledger {
            let entry = ledger.insert(id, task, &tags)?;
            self.audit(&entry)?;
        }
        Ok(id)
    }

    pub(crate) fn update(&mut self, id: Uuid, task: &Task) -> Result<()> {
        let before = self.before(id)?;
        let now =
            self.ledger.as_ref().map_or_else(|| Timestamp::now().as_microsecond(), |ledger| ledger.now());
        let tags = rmp_serde::to_vec(&task.tags)?;
        let changed = self.connection.prepare_cached(sql::UPDATE)?.execute(params![
            self.tenant,
            id.as_bytes(),
            now,
            task.title,
            task.status.text(),
            task.due.map(Timestamp::as_microsecond),
            task.points,
            tags,
            task.body
        ])?;
        ensure!(changed == 1, "no such task");
        if let (Some(ledger), Some(before)) = (&mut self.ledger, before) {
            let entry = ledger.update(id, &before, task, &tags)?;
            self.audit(&entry)?;
        }
        Ok(())
    }

    pub(crate) fn delete(&mut self, id: Uuid) -> Result<()> {
        let before = self.before(id)?;
        let changed =
            self.connection.prepare_cached(sql::DELETE)?.execute(params![self.tenant, id.as_bytes()])?;
        ensure!(changed == 1, "no such task");
        if let (Some(ledger), Some(before)) = (&mut self.ledger, before) {
            let entry = ledger.delete(id, &before)?;
            self.audit(&entry)?;
        }
        Ok(())
    }

    /// The row as it is, for the log.
    fn before(&self, id: Uuid) -> Result<Option<Stored>> {
        if self.ledger.is_none() {
            return Ok(None);
        }
        let mut statement = self.connection.prepare_cached(sql::GET)?;
        let mut rows = statement.query(params![self.tenant, id.as_bytes()])?;
        let row = rows.next()?.context("no such task")?;
        Ok(Some(Stored { version: row.get(1)?, task: task(row)?, tags: row.get(7)? }))
    }

    fn audit(&self, entry: &Entry) -> Result<()> {
        self.connection.prepare_cached(sql::ENTRY)?.execute(params![
            self.tenant,
            entry.number,
            entry.txn,
            DEVICE,
            entry.clock,
            entry.time,
            entry.action,
            entry.record.as_bytes(),
            entry.commitment,
            entry.previous,
            entry.hash,
            entry.salt,
            entry.payload
        ])?;
        Ok(())
    }
}

fn task(row: &Row<'_>) -> Result<Task> {
    Ok(Task {
        title: row.get(3)?,
        status: Status::of(row.get_ref(4)?.as_str()?),
        due: row.get::<_, Option<i64>>(5)?.map(Timestamp::from_microsecond).transpose()?,
        points: row.get(6)?,
        tags: rmp_serde::from_slice(row.get_ref(7)?.as_blob()?)?,
        body: row.get(8)?,
    })
}

fn record(row: &Row<'_>) -> Result<Record> {
    Record::new(Uuid::from_bytes(row.get(0)?), row.get(1)?, row.get(2)?, task(row)?)
}

pub(crate) fn get(connection: &Connection, tenant: usize, id: Uuid) -> Result<Record> {
    let mut statement = connection.prepare_cached(sql::GET)?;
    let mut rows = statement.query(params![key(tenant), id.as_bytes()])?;
    record(rows.next()?.context("no such task")?)
}

pub(crate) fn gets(connection: &Connection, tenant: usize, ids: &[Uuid]) -> Result<Vec<Record>> {
    connection.prepare_cached("BEGIN")?.execute([])?;
    let records = ids.iter().map(|id| get(connection, tenant, *id)).collect();
    connection.prepare_cached("COMMIT")?.execute([])?;
    records
}

/// Records of one of the statements that give many.
pub(crate) fn list(connection: &Connection, sql: &str, params: &[&dyn ToSql]) -> Result<Vec<Record>> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params)?;
    let mut records = Vec::new();
    while let Some(row) = rows.next()? {
        records.push(record(row)?);
    }
    Ok(records)
}

/// How many rows a tenant has: the kept number if there is one.
pub(crate) fn count(connection: &Connection, tenant: usize, audited: bool) -> Result<u64> {
    let sql = if audited { sql::KEPT_COUNT } else { sql::COUNT };
    let count = connection.prepare_cached(sql)?.query_row([key(tenant)], |row| row.get::<_, i64>(0))?;
    Ok(u64::try_from(count)?)
}

/// Follows every tenant's chain and counts what is there.
pub(crate) fn audit_totals(connection: &Connection) -> Result<AuditTotals> {
    let one = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0));
    let mut totals =
        AuditTotals { bytes: one("SELECT sum(bytes) FROM row_head")?, entries: 0, payload_bytes: 0 };
    let mut statement = connection.prepare(sql::LOG)?;
    for tenant in 1..=one("SELECT max(key) FROM tenant")? {
        let mut chain = Chain::new(tenant);
        let mut rows = statement.query([tenant])?;
        while let Some(row) = rows.next()? {
            chain.follow(&Entry {
                number: row.get(0)?,
                txn: row.get(1)?,
                clock: row.get(2)?,
                time: row.get(3)?,
                action: row.get::<_, String>(4)?.into(),
                record: Uuid::from_bytes(row.get(5)?),
                commitment: row.get(6)?,
                previous: row.get(7)?,
                hash: row.get(8)?,
                salt: row.get(9)?,
                payload: row.get(10)?,
            })?;
        }
        totals.payload_bytes += chain.payload_bytes;
        totals.entries += chain.finish(&read_head(connection, tenant)?)?;
    }
    Ok(totals)
}
