//! redb with a table for the rows under (tenant, id), one that is the index (tenant, status, due),
//! and the audit log and the heads in tables of their own. Values are encoded by postcard.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use jiff::Timestamp;
use redb::{Database, ReadableDatabase, ReadableTable, Table, TableDefinition, WriteTransaction};
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use work::ledger::{Chain, key};
use work::operation::LIST;
use work::{AuditTotals, Durability, Entry, Head, Heads, Ledger, Record, Setup, Side, Status, Stored, Task};

const TASKS: TableDefinition<'_, (i64, u128), &[u8]> = TableDefinition::new("task");
/// Whether it is done, when it is due, and the id.
type DueKey = (i64, bool, Option<i64>, u128);
const DUE: TableDefinition<'_, DueKey, ()> = TableDefinition::new("task_due");
const HEADS: TableDefinition<'_, i64, &[u8]> = TableDefinition::new("head");
const LOG: TableDefinition<'_, (i64, i64), &[u8]> = TableDefinition::new("audit");

#[derive(Serialize)]
struct NewRow<'t> {
    version: i64,
    updated: i64,
    title: &'t str,
    status: Status,
    due: Option<i64>,
    points: i64,
    tags: &'t [String],
    body: &'t str,
}

#[derive(Deserialize)]
struct Row {
    version: i64,
    updated: i64,
    title: String,
    status: Status,
    due: Option<i64>,
    points: i64,
    tags: Vec<String>,
    body: String,
}

impl Row {
    fn task(self) -> Result<Task> {
        Ok(Task {
            title: self.title,
            status: self.status,
            due: self.due.map(Timestamp::from_microsecond).transpose()?,
            points: self.points,
            tags: self.tags,
            body: self.body,
        })
    }

    fn record(self, id: u128) -> Result<Record> {
        let (version, updated) = (self.version, self.updated);
        Record::new(Uuid::from_u128(id), version, updated, self.task()?)
    }
}

fn due_key(tenant: i64, id: u128, status: Status, due: Option<i64>) -> DueKey {
    (tenant, status == Status::Done, due, id)
}

pub(crate) struct Redb<const AUDITED: bool> {
    database: Arc<Database>,
    heads: Arc<Mutex<Heads>>,
    tenants: usize,
}

#[derive(Clone)]
pub(crate) struct Worker<const AUDITED: bool> {
    database: Arc<Database>,
    heads: Arc<Mutex<Heads>>,
}

impl<const AUDITED: bool> Side for Redb<AUDITED> {
    type Worker = Worker<AUDITED>;

    fn create(setup: &Setup) -> Result<Option<Self>> {
        if setup.durability == Durability::Normal {
            // Its only cheaper commit is lost with the process.
            return Ok(None);
        }
        let database = Database::create(setup.folder.join("redb.db"))?;
        let transaction = database.begin_write()?;
        transaction.open_table(TASKS)?;
        transaction.open_table(DUE)?;
        transaction.open_table(LOG)?;
        {
            let mut heads = transaction.open_table(HEADS)?;
            for tenant in 0..if AUDITED { setup.tenants } else { 0 } {
                let head = postcard::to_allocvec(&Head::new(key(tenant)))?;
                heads.insert(key(tenant), &*head)?;
            }
        }
        transaction.commit()?;
        let heads = Arc::new(Mutex::new(Heads::new(setup.tenants)));
        Ok(Some(Self { database: Arc::new(database), heads, tenants: setup.tenants }))
    }

    fn load(&mut self, rows: &[(usize, Task)]) -> Result<Vec<Uuid>> {
        let mut heads = self.heads.lock().unwrap_or_else(PoisonError::into_inner);
        let transaction = self.database.begin_write()?;
        let ids = rows.iter().map(|(tenant, task)| {
            let ledger = AUDITED.then(|| heads.begin(*tenant));
            let (id, head) = write(&transaction, *tenant, ledger, |write| write.insert(task))?;
            head.into_iter().for_each(|head| heads.keep(*tenant, head));
            Ok(id)
        });
        let ids = ids.collect::<Result<_>>()?;
        transaction.commit()?;
        Ok(ids)
    }

    fn worker(&self) -> Result<Self::Worker> {
        Ok(Worker { database: Arc::clone(&self.database), heads: Arc::clone(&self.heads) })
    }

    fn audit_totals(&self) -> Result<Option<AuditTotals>> {
        if !AUDITED {
            return Ok(None);
        }
        let transaction = self.database.begin_read()?;
        let (heads, log) = (transaction.open_table(HEADS)?, transaction.open_table(LOG)?);
        let mut totals = AuditTotals { bytes: 0, entries: 0, payload_bytes: 0 };
        for tenant in (0..self.tenants).map(key) {
            let mut chain = Chain::new(tenant);
            for entry in log.range((tenant, 0)..=(tenant, i64::MAX))? {
                chain.follow(&postcard::from_bytes::<Entry>(entry?.1.value())?)?;
            }
            let head: Head = postcard::from_bytes(heads.get(tenant)?.context("no head")?.value())?;
            totals.bytes += head.bytes;
            totals.payload_bytes += chain.payload_bytes;
            totals.entries += chain.finish(&head)?;
        }
        Ok(Some(totals))
    }
}

/// An open transaction of one tenant.
struct Write<'t> {
    tenant: i64,
    tasks: Table<'t, (i64, u128), &'static [u8]>,
    due: Table<'t, DueKey, ()>,
    log: Table<'t, (i64, i64), &'static [u8]>,
    ledger: Option<Ledger<'t>>,
}

impl Write<'_> {
    fn put(&mut self, id: u128, version: i64, task: &Task) -> Result<()> {
        let updated =
            self.ledger.as_ref().map_or_else(|| Timestamp::now().as_microsecond(), |ledger| ledger.now());
        let due = task.due.map(Timestamp::as_microsecond);
        let row = NewRow {
            version,
            updated,
            title: &task.title,
            status: task.status,
            due,
            points: task.points,
            tags: &task.tags,
            body: &task.body,
        };
        self.tasks.insert((self.tenant, id), &*postcard::to_allocvec(&row)?)?;
        self.due.insert(due_key(self.tenant, id, task.status, due), ())?;
        Ok(())
    }

    /// Takes the row out of the tables; what it was.
    fn take(&mut self, id: u128) -> Result<Stored> {
        let row: Row = {
            let row = self.tasks.remove((self.tenant, id))?.context("no such task")?;
            postcard::from_bytes(row.value())?
        };
        self.due.remove(due_key(self.tenant, id, row.status, row.due))?;
        let version = row.version;
        let task = row.task()?;
        let tags = if self.ledger.is_some() { rmp_serde::to_vec(&task.tags)? } else { Vec::new() };
        Ok(Stored { version, task, tags })
    }

    fn insert(&mut self, task: &Task) -> Result<Uuid> {
        let id = match &mut self.ledger {
            Some(ledger) => ledger.new_id()?,
            None => Uuid::now_v7(),
        };
        self.put(id.as_u128(), 1, task)?;
        if let Some(ledger) = &mut self.ledger {
            let entry = ledger.insert(id, task, &rmp_serde::to_vec(&task.tags)?)?;
            self.audit(&entry)?;
        }
        Ok(id)
    }

    fn update(&mut self, id: Uuid, task: &Task) -> Result<()> {
        let before = self.take(id.as_u128())?;
        self.put(id.as_u128(), before.version + 1, task)?;
        if let Some(ledger) = &mut self.ledger {
            let entry = ledger.update(id, &before, task, &rmp_serde::to_vec(&task.tags)?)?;
            self.audit(&entry)?;
        }
        Ok(())
    }

    fn delete(&mut self, id: Uuid) -> Result<()> {
        let before = self.take(id.as_u128())?;
        if let Some(ledger) = &mut self.ledger {
            let entry = ledger.delete(id, &before)?;
            self.audit(&entry)?;
        }
        Ok(())
    }

    fn audit(&mut self, entry: &Entry) -> Result<()> {
        self.log.insert((self.tenant, entry.number), &*postcard::to_allocvec(entry)?)?;
        Ok(())
    }
}

/// Within a transaction: the writes of one tenant, and the head that they leave.
fn write<R>(
    transaction: &WriteTransaction,
    tenant: usize,
    ledger: Option<Ledger<'_>>,
    run: impl FnOnce(&mut Write<'_>) -> Result<R>,
) -> Result<(R, Option<Head>)> {
    let mut write = Write {
        tenant: key(tenant),
        tasks: transaction.open_table(TASKS)?,
        due: transaction.open_table(DUE)?,
        log: transaction.open_table(LOG)?,
        ledger,
    };
    let result = run(&mut write)?;
    let head = write.ledger.map(|ledger| ledger.head);
    if let Some(head) = &head {
        transaction.open_table(HEADS)?.insert(key(tenant), &*postcard::to_allocvec(head)?)?;
    }
    Ok((result, head))
}

impl<const AUDITED: bool> Worker<AUDITED> {
    fn transaction<R>(&self, tenant: usize, run: impl FnOnce(&mut Write<'_>) -> Result<R>) -> Result<R> {
        // redb lets one transaction write at a time; the heads are those of the last one.
        let mut heads = AUDITED.then(|| self.heads.lock().unwrap_or_else(PoisonError::into_inner));
        let transaction = self.database.begin_write()?;
        let ledger = heads.as_mut().map(|heads| heads.begin(tenant));
        let (result, head) = write(&transaction, tenant, ledger, run)?;
        transaction.commit()?;
        if let (Some(heads), Some(head)) = (&mut heads, head) {
            heads.keep(tenant, head);
        }
        Ok(result)
    }
}

fn get(tasks: &impl ReadableTable<(i64, u128), &'static [u8]>, tenant: i64, id: u128) -> Result<Record> {
    let row = tasks.get((tenant, id))?.context("no such task")?;
    postcard::from_bytes::<Row>(row.value())?.record(id)
}

impl<const AUDITED: bool> work::Worker for Worker<AUDITED> {
    type Row = Record;

    fn insert(&mut self, tenant: usize, task: &Task) -> Result<Uuid> {
        self.transaction(tenant, |write| write.insert(task))
    }

    fn insert_many(&mut self, tenant: usize, tasks: &[Task]) -> Result<Vec<Uuid>> {
        self.transaction(tenant, |write| tasks.iter().map(|task| write.insert(task)).collect())
    }

    fn update(&mut self, tenant: usize, id: Uuid, task: &Task) -> Result<()> {
        self.transaction(tenant, |write| write.update(id, task))
    }

    fn delete(&mut self, tenant: usize, id: Uuid) -> Result<()> {
        self.transaction(tenant, |write| write.delete(id))
    }

    fn delete_many(&mut self, tenant: usize, ids: &[Uuid]) -> Result<()> {
        self.transaction(tenant, |write| ids.iter().try_for_each(|id| write.delete(*id)))
    }

    fn get(&mut self, tenant: usize, id: Uuid) -> Result<Record> {
        get(&self.database.begin_read()?.open_table(TASKS)?, key(tenant), id.as_u128())
    }

    fn gets(&mut self, tenant: usize, ids: &[Uuid]) -> Result<Vec<Record>> {
        let tasks = self.database.begin_read()?.open_table(TASKS)?;
        ids.iter().map(|id| get(&tasks, key(tenant), id.as_u128())).collect()
    }

    fn newest(&mut self, tenant: usize) -> Result<Vec<Record>> {
        let tasks = self.database.begin_read()?.open_table(TASKS)?;
        let range = tasks.range((key(tenant), 0)..=(key(tenant), u128::MAX))?;
        range
            .rev()
            .take(LIST)
            .map(|row| {
                let (key, row) = row?;
                postcard::from_bytes::<Row>(row.value())?.record(key.value().1)
            })
            .collect()
    }

    fn due(&mut self, tenant: usize, before: Timestamp) -> Result<Vec<Record>> {
        let transaction = self.database.begin_read()?;
        let (tasks, due) = (transaction.open_table(TASKS)?, transaction.open_table(DUE)?);
        let bound = |due| due_key(key(tenant), 0, Status::Open, Some(due));
        let range = due.range(bound(i64::MIN)..bound(before.as_microsecond()))?;
        range.rev().take(LIST).map(|found| get(&tasks, key(tenant), found?.0.value().3)).collect()
    }

    fn scan(&mut self, tenant: usize) -> Result<Vec<Record>> {
        let tasks = self.database.begin_read()?.open_table(TASKS)?;
        let range = tasks.range((key(tenant), 0)..=(key(tenant), u128::MAX))?;
        range
            .map(|row| {
                let (key, row) = row?;
                postcard::from_bytes::<Row>(row.value())?.record(key.value().1)
            })
            .collect()
    }

    fn count(&mut self, tenant: usize) -> Result<u64> {
        let transaction = self.database.begin_read()?;
        if AUDITED {
            let heads = transaction.open_table(HEADS)?;
            let head: Head =
                postcard::from_bytes(heads.get(key(tenant))?.context("no such tenant")?.value())?;
            return Ok(u64::try_from(head.count)?);
        }
        let tasks = transaction.open_table(TASKS)?;
        Ok(tasks.range((key(tenant), 0)..=(key(tenant), u128::MAX))?.count() as u64)
    }

    fn task(row: Record) -> Task {
        row.task
    }
}
