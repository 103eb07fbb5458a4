//! Diesel on the same tables, through its query builder: one connection that writes behind a
//! mutex, heads in memory, and a reading connection for each thread.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, ensure};
use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use jiff::Timestamp;
use uuid::Uuid;
use work::ledger::{DEVICE, key};
use work::operation::LIST;
use work::{AuditTotals, Durability, Entry, Heads, Ledger, Record, Setup, Side, Status, Stored, Task, sql};

use super::sqlite;

diesel::table! {
    task (number) {
        number -> BigInt,
        tenant -> BigInt,
        id -> Binary,
        version -> BigInt,
        updated -> BigInt,
        title -> Text,
        status -> Text,
        due -> Nullable<BigInt>,
        points -> BigInt,
        tags -> Binary,
        body -> Text,
    }
}

diesel::table! {
    row_head (tenant) {
        tenant -> BigInt,
        count -> BigInt,
        bytes -> BigInt,
    }
}

diesel::table! {
    log_head (tenant) {
        tenant -> BigInt,
        next -> BigInt,
        hash -> Binary,
        clock -> BigInt,
        last_id -> Binary,
    }
}

diesel::table! {
    audit (seq) {
        seq -> BigInt,
        tenant -> BigInt,
        number -> BigInt,
        txn -> BigInt,
        actor -> Nullable<BigInt>,
        device -> Binary,
        clock -> BigInt,
        time -> BigInt,
        action -> Text,
        entity -> Text,
        record -> Binary,
        outcome -> Text,
        definition -> BigInt,
        commitment -> Binary,
        previous -> Binary,
        hash -> Binary,
        salt -> Binary,
        body -> Binary,
    }
}

#[derive(Insertable)]
#[diesel(table_name = task)]
struct NewRow<'t> {
    tenant: i64,
    id: &'t [u8],
    version: i64,
    #[diesel(embed)]
    values: Values<'t>,
}

#[derive(Insertable, AsChangeset)]
#[diesel(table_name = task, treat_none_as_null = true)]
struct Values<'t> {
    updated: i64,
    title: &'t str,
    status: &'t str,
    due: Option<i64>,
    points: i64,
    tags: &'t [u8],
    body: &'t str,
}

impl<'t> Values<'t> {
    fn new(task: &'t Task, tags: &'t [u8], updated: i64) -> Self {
        Self {
            updated,
            title: &task.title,
            status: task.status.text(),
            due: task.due.map(Timestamp::as_microsecond),
            points: task.points,
            tags,
            body: &task.body,
        }
    }
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = task)]
struct Row {
    id: Vec<u8>,
    version: i64,
    updated: i64,
    title: String,
    status: String,
    due: Option<i64>,
    points: i64,
    tags: Vec<u8>,
    body: String,
}

impl Row {
    fn stored(self) -> Result<Stored> {
        let task = Task {
            title: self.title,
            status: Status::of(&self.status),
            due: self.due.map(Timestamp::from_microsecond).transpose()?,
            points: self.points,
            tags: rmp_serde::from_slice(&self.tags)?,
            body: self.body,
        };
        Ok(Stored { version: self.version, task, tags: self.tags })
    }

    fn record(self) -> Result<Record> {
        let (id, updated) = (Uuid::from_slice(&self.id)?, self.updated);
        let stored = self.stored()?;
        Record::new(id, stored.version, updated, stored.task)
    }
}

pub(crate) struct Diesel<const AUDITED: bool> {
    path: PathBuf,
    durability: Durability,
    writer: Arc<Mutex<Writer>>,
}

struct Writer {
    connection: SqliteConnection,
    heads: Heads,
}

pub(crate) struct Worker<const AUDITED: bool> {
    writer: Arc<Mutex<Writer>>,
    reader: SqliteConnection,
}

fn open(path: &Path, durability: Durability, cache: i64) -> Result<SqliteConnection> {
    let mut connection = SqliteConnection::establish(path.to_str().context("a path in UTF-8")?)?;
    // What rusqlite and SQLx set by themselves.
    connection.batch_execute("PRAGMA busy_timeout = 5000")?;
    for (name, value) in sql::PRAGMAS {
        connection.batch_execute(&format!("PRAGMA {name} = {value}"))?;
    }
    let synchronous = durability.pragma();
    connection.batch_execute(&format!("PRAGMA synchronous = {synchronous}; PRAGMA cache_size = {cache}"))?;
    Ok(connection)
}

impl<const AUDITED: bool> Side for Diesel<AUDITED> {
    type Worker = Worker<AUDITED>;

    fn create(setup: &Setup) -> Result<Option<Self>> {
        let path = setup.folder.join("diesel.db");
        let mut first = sqlite::open(&path, setup.durability, sql::WRITER_CACHE)?;
        sqlite::create(&mut first, setup.tenants, AUDITED)?;
        let connection = open(&path, setup.durability, sql::WRITER_CACHE)?;
        let writer = Writer { connection, heads: Heads::new(setup.tenants) };
        Ok(Some(Self { path, durability: setup.durability, writer: Arc::new(Mutex::new(writer)) }))
    }

    fn load(&mut self, rows: &[(usize, Task)]) -> Result<Vec<Uuid>> {
        let connection = sqlite::open(&self.path, self.durability, sql::WRITER_CACHE)?;
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        sqlite::load(&connection, &mut writer.heads, AUDITED, rows)
    }

    fn worker(&self) -> Result<Self::Worker> {
        let reader = open(&self.path, self.durability, sql::READER_CACHE)?;
        Ok(Worker { writer: Arc::clone(&self.writer), reader })
    }

    fn audit_totals(&self) -> Result<Option<AuditTotals>> {
        let open = || sqlite::open(&self.path, self.durability, sql::READER_CACHE);
        AUDITED.then(|| sqlite::audit_totals(&open()?)).transpose()
    }
}

/// Writes of one tenant.
struct Write<'c> {
    connection: &'c mut SqliteConnection,
    tenant: i64,
    ledger: Option<Ledger<'c>>,
}

impl Write<'_> {
    fn now(&self) -> i64 {
        self.ledger.as_ref().map_or_else(|| Timestamp::now().as_microsecond(), |ledger| ledger.now())
    }

    fn insert(&mut self, new: &Task) -> Result<Uuid> {
        let id = match &mut self.ledger {
            Some(ledger) => ledger.new_id()?,
            None => Uuid::now_v7(),
        };
        let tags = rmp_serde::to_vec(&new.tags)?;
        let values = Values::new(new, &tags, self.now());
        diesel::insert_into(task::table)
            .values(NewRow { tenant: self.tenant, id: id.as_bytes(), version: 1, values })
            .execute(self.connection)?;
        if let Some(ledger) = &mut self.ledger {
            let entry = ledger.insert(id, new, &tags)?;
            self.audit(&entry)?;
        }
        Ok(id)
    }

    fn update(&mut self, id: Uuid, new: &Task) -> Result<()> {
        let before = self.before(id)?;
        let tags = rmp_serde::to_vec(&new.tags)?;
        let values = Values::new(new, &tags, self.now());
        let row =
            task::table.filter(task::tenant.eq(self.tenant)).filter(task::id.eq(id.as_bytes().as_slice()));
        let changed = diesel::update(row)
            .set((task::version.eq(task::version + 1), values))
            .execute(self.connection)?;
        ensure!(changed == 1, "no such task");
        if let (Some(ledger), Some(before)) = (&mut self.ledger, before) {
            let entry = ledger.update(id, &before, new, &tags)?;
            self.audit(&entry)?;
        }
        Ok(())
    }

    fn delete(&mut self, id: Uuid) -> Result<()> {
        let before = self.before(id)?;
        let row =
            task::table.filter(task::tenant.eq(self.tenant)).filter(task::id.eq(id.as_bytes().as_slice()));
        let changed = diesel::delete(row).execute(self.connection)?;
        ensure!(changed == 1, "no such task");
        if let (Some(ledger), Some(before)) = (&mut self.ledger, before) {
            let entry = ledger.delete(id, &before)?;
            self.audit(&entry)?;
        }
        Ok(())
    }

    /// The row as it is, for the log.
    fn before(&mut self, id: Uuid) -> Result<Option<Stored>> {
        if self.ledger.is_none() {
            return Ok(None);
        }
        get(self.connection, self.tenant, id)?.stored().map(Some)
    }

    fn audit(&mut self, entry: &Entry) -> Result<()> {
        diesel::insert_into(audit::table)
            .values((
                audit::tenant.eq(self.tenant),
                audit::number.eq(entry.number),
                audit::txn.eq(entry.txn),
                audit::actor.eq(self.tenant),
                audit::device.eq(DEVICE.as_slice()),
                audit::clock.eq(entry.clock),
                audit::time.eq(entry.time),
                audit::action.eq(&*entry.action),
                audit::entity.eq("task"),
                audit::record.eq(entry.record.as_bytes().as_slice()),
                audit::outcome.eq("ok"),
                audit::definition.eq(1),
                audit::commitment.eq(entry.commitment.as_slice()),
                audit::previous.eq(entry.previous.as_slice()),
                audit::hash.eq(entry.hash.as_slice()),
                audit::salt.eq(entry.salt.as_slice()),
                audit::body.eq(&entry.payload),
            ))
            .execute(self.connection)?;
        Ok(())
    }

    fn write_head(&mut self) -> Result<()> {
        let Some(ledger) = &self.ledger else { return Ok(()) };
        let head = &ledger.head;
        diesel::update(row_head::table.find(self.tenant))
            .set((row_head::count.eq(head.count), row_head::bytes.eq(head.bytes)))
            .execute(self.connection)?;
        diesel::update(log_head::table.find(self.tenant))
            .set((
                log_head::next.eq(head.next),
                log_head::hash.eq(head.hash.as_slice()),
                log_head::clock.eq(head.clock),
                log_head::last_id.eq(head.last_id.to_be_bytes().as_slice()),
            ))
            .execute(self.connection)?;
        Ok(())
    }
}

fn get(connection: &mut SqliteConnection, tenant: i64, id: Uuid) -> Result<Row> {
    Ok(task::table
        .filter(task::tenant.eq(tenant))
        .filter(task::id.eq(id.as_bytes().as_slice()))
        .select(Row::as_select())
        // Not `first`, which binds a limit: SQLite would prepare the statement anew each time.
        .get_result(connection)?)
}

fn records(rows: Vec<Row>) -> Result<Vec<Record>> {
    rows.into_iter().map(Row::record).collect()
}

impl<const AUDITED: bool> Worker<AUDITED> {
    fn transaction<R>(&self, tenant: usize, run: impl FnOnce(&mut Write<'_>) -> Result<R>) -> Result<R> {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let Writer { connection, heads } = &mut *writer;
        let (result, head) = connection.immediate_transaction::<_, anyhow::Error, _>(|connection| {
            let ledger = AUDITED.then(|| heads.begin(tenant));
            let mut write = Write { connection, tenant: key(tenant), ledger };
            let result = run(&mut write)?;
            write.write_head()?;
            Ok((result, write.ledger.map(|ledger| ledger.head)))
        })?;
        if let Some(head) = head {
            heads.keep(tenant, head);
        }
        Ok(result)
    }

    /// A single change. Without an audit log it is a single statement, and needs no transaction.
    fn change<R>(&self, tenant: usize, run: impl FnOnce(&mut Write<'_>) -> Result<R>) -> Result<R> {
        if AUDITED {
            return self.transaction(tenant, run);
        }
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        run(&mut Write { connection: &mut writer.connection, tenant: key(tenant), ledger: None })
    }
}

impl<const AUDITED: bool> work::Worker for Worker<AUDITED> {
    type Row = Record;

    fn insert(&mut self, tenant: usize, task: &Task) -> Result<Uuid> {
        self.change(tenant, |write| write.insert(task))
    }

    fn insert_many(&mut self, tenant: usize, tasks: &[Task]) -> Result<Vec<Uuid>> {
        self.transaction(tenant, |write| tasks.iter().map(|task| write.insert(task)).collect())
    }

    fn update(&mut self, tenant: usize, id: Uuid, task: &Task) -> Result<()> {
        self.change(tenant, |write| write.update(id, task))
    }

    fn delete(&mut self, tenant: usize, id: Uuid) -> Result<()> {
        self.change(tenant, |write| write.delete(id))
    }

    fn delete_many(&mut self, tenant: usize, ids: &[Uuid]) -> Result<()> {
        self.transaction(tenant, |write| ids.iter().try_for_each(|id| write.delete(*id)))
    }

    fn get(&mut self, tenant: usize, id: Uuid) -> Result<Record> {
        get(&mut self.reader, key(tenant), id)?.record()
    }

    fn gets(&mut self, tenant: usize, ids: &[Uuid]) -> Result<Vec<Record>> {
        self.reader
            .transaction(|reader| ids.iter().map(|id| get(reader, key(tenant), *id)?.record()).collect())
    }

    fn newest(&mut self, tenant: usize) -> Result<Vec<Record>> {
        let query = task::table.filter(task::tenant.eq(key(tenant))).order(task::id.desc());
        records(query.limit(LIST as i64).select(Row::as_select()).load(&mut self.reader)?)
    }

    fn due(&mut self, tenant: usize, before: Timestamp) -> Result<Vec<Record>> {
        let query = task::table
            .filter(task::tenant.eq(key(tenant)))
            .filter(task::status.eq(Status::Open.text()))
            .filter(task::due.lt(before.as_microsecond()))
            .order((task::due.desc(), task::number.desc()));
        records(query.limit(LIST as i64).select(Row::as_select()).load(&mut self.reader)?)
    }

    fn scan(&mut self, tenant: usize) -> Result<Vec<Record>> {
        let query = task::table.filter(task::tenant.eq(key(tenant))).order(task::id);
        records(query.select(Row::as_select()).load(&mut self.reader)?)
    }

    fn count(&mut self, tenant: usize) -> Result<u64> {
        let count: i64 = if AUDITED {
            row_head::table.find(key(tenant)).select(row_head::count).get_result(&mut self.reader)?
        } else {
            task::table.filter(task::tenant.eq(key(tenant))).count().get_result(&mut self.reader)?
        };
        Ok(u64::try_from(count)?)
    }

    fn task(row: Record) -> Task {
        row.task
    }
}
