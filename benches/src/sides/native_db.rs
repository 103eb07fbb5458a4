//! native_db with a primary key of (tenant, id) and a secondary one of (tenant, status, due), and
//! the audit log and the heads as models of their own.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use jiff::Timestamp;
use native_db::transaction::{RTransaction, RwTransaction};
use native_db::{Builder, Database, Key, Models, ToKey, native_db};
use native_model::{Model, native_model};
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use work::ledger::{Chain, key};
use work::operation::LIST;
use work::{AuditTotals, Durability, Entry, Head, Heads, Ledger, Record, Setup, Side, Status, Stored, Task};

/// Parts of a key in the order of their bytes.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Bytes(Vec<u8>);

impl ToKey for Bytes {
    fn to_key(&self) -> Key {
        Key::new(self.0.clone())
    }

    fn key_names() -> Vec<String> {
        vec!["Bytes".to_owned()]
    }
}

fn row_key(tenant: i64, id: u128) -> Bytes {
    let mut bytes = Vec::with_capacity(24);
    bytes.extend_from_slice(&tenant.to_be_bytes());
    bytes.extend_from_slice(&id.to_be_bytes());
    Bytes(bytes)
}

/// Times lie after 1970, so their bytes are in their order.
fn due_key(tenant: i64, status: Status, due: Option<i64>, id: u128) -> Bytes {
    let mut bytes = Vec::with_capacity(34);
    bytes.extend_from_slice(&tenant.to_be_bytes());
    bytes.push(u8::from(status == Status::Done));
    bytes.push(u8::from(due.is_some()));
    bytes.extend_from_slice(&due.unwrap_or(0).to_be_bytes());
    bytes.extend_from_slice(&id.to_be_bytes());
    Bytes(bytes)
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[native_model(id = 1, version = 1)]
#[native_db(primary_key(by_id -> Bytes), secondary_key(by_due -> Bytes, unique))]
struct Row {
    tenant: i64,
    id: u128,
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
    fn new(tenant: i64, id: u128, version: i64, updated: i64, task: &Task) -> Self {
        Self {
            tenant,
            id,
            version,
            updated,
            title: task.title.clone(),
            status: task.status,
            due: task.due.map(Timestamp::as_microsecond),
            points: task.points,
            tags: task.tags.clone(),
            body: task.body.clone(),
        }
    }

    fn by_id(&self) -> Bytes {
        row_key(self.tenant, self.id)
    }

    fn by_due(&self) -> Bytes {
        due_key(self.tenant, self.status, self.due, self.id)
    }

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

    fn record(self) -> Result<Record> {
        let (id, version, updated) = (self.id, self.version, self.updated);
        Record::new(Uuid::from_u128(id), version, updated, self.task()?)
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[native_model(id = 2, version = 1)]
#[native_db(primary_key(place -> Bytes))]
struct Logged {
    tenant: i64,
    entry: Entry,
}

impl Logged {
    fn place(&self) -> Bytes {
        log_key(self.tenant, self.entry.number)
    }
}

fn log_key(tenant: i64, number: i64) -> Bytes {
    Bytes([tenant.to_be_bytes(), number.to_be_bytes()].concat())
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[native_model(id = 3, version = 1)]
#[native_db]
struct Kept {
    #[primary_key]
    tenant: i64,
    head: Head,
}

pub(crate) struct NativeDb<const AUDITED: bool> {
    database: Arc<Database<'static>>,
    heads: Arc<Mutex<Heads>>,
    tenants: usize,
}

pub(crate) struct Worker<const AUDITED: bool> {
    database: Arc<Database<'static>>,
    heads: Arc<Mutex<Heads>>,
}

impl<const AUDITED: bool> Side for NativeDb<AUDITED> {
    type Worker = Worker<AUDITED>;

    fn create(setup: &Setup) -> Result<Option<Self>> {
        if setup.durability == Durability::Normal {
            // Every commit waits for the disk.
            return Ok(None);
        }
        let mut models = Models::new();
        models.define::<Row>()?;
        models.define::<Logged>()?;
        models.define::<Kept>()?;
        // The database borrows them for as long as it lives, which is as long as this program.
        let models: &'static Models = Box::leak(Box::new(models));
        let database = Builder::new().create(models, setup.folder.join("native.db"))?;
        if AUDITED {
            let transaction = database.rw_transaction()?;
            for tenant in (0..setup.tenants).map(key) {
                transaction.insert(Kept { tenant, head: Head::new(tenant) })?;
            }
            transaction.commit()?;
        }
        let heads = Arc::new(Mutex::new(Heads::new(setup.tenants)));
        Ok(Some(Self { database: Arc::new(database), heads, tenants: setup.tenants }))
    }

    fn load(&mut self, rows: &[(usize, Task)]) -> Result<Vec<Uuid>> {
        let mut heads = self.heads.lock().unwrap_or_else(PoisonError::into_inner);
        let transaction = self.database.rw_transaction()?;
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
        let transaction = self.database.r_transaction()?;
        let mut totals = AuditTotals { bytes: 0, entries: 0, payload_bytes: 0 };
        for tenant in (0..self.tenants).map(key) {
            let mut chain = Chain::new(tenant);
            let scan = transaction.scan().primary::<Logged>()?;
            for logged in scan.range(log_key(tenant, 0)..=log_key(tenant, i64::MAX))? {
                chain.follow(&logged?.entry)?;
            }
            let Kept { head, .. } = transaction.get().primary(tenant)?.context("no head")?;
            totals.bytes += head.bytes;
            totals.payload_bytes += chain.payload_bytes;
            totals.entries += chain.finish(&head)?;
        }
        Ok(Some(totals))
    }
}

/// An open transaction of one tenant.
struct Write<'t, 'd> {
    tenant: i64,
    transaction: &'t RwTransaction<'d>,
    ledger: Option<Ledger<'t>>,
}

impl Write<'_, '_> {
    fn now(&self) -> i64 {
        self.ledger.as_ref().map_or_else(|| Timestamp::now().as_microsecond(), |ledger| ledger.now())
    }

    /// The row as it is: native_db's updates and deletions ask for it.
    fn before(&self, id: Uuid) -> Result<Row> {
        self.transaction.get().primary(row_key(self.tenant, id.as_u128()))?.context("no such task")
    }

    fn insert(&mut self, task: &Task) -> Result<Uuid> {
        let id = match &mut self.ledger {
            Some(ledger) => ledger.new_id()?,
            None => Uuid::now_v7(),
        };
        self.transaction.insert(Row::new(self.tenant, id.as_u128(), 1, self.now(), task))?;
        if let Some(ledger) = &mut self.ledger {
            let entry = ledger.insert(id, task, &rmp_serde::to_vec(&task.tags)?)?;
            self.audit(entry)?;
        }
        Ok(id)
    }

    fn update(&mut self, id: Uuid, task: &Task) -> Result<()> {
        let before = self.before(id)?;
        let after = Row::new(self.tenant, id.as_u128(), before.version + 1, self.now(), task);
        self.transaction.update(before.clone(), after)?;
        if let Some(ledger) = &mut self.ledger {
            let entry = ledger.update(id, &stored(before)?, task, &rmp_serde::to_vec(&task.tags)?)?;
            self.audit(entry)?;
        }
        Ok(())
    }

    fn delete(&mut self, id: Uuid) -> Result<()> {
        let before = self.transaction.remove(self.before(id)?)?;
        if let Some(ledger) = &mut self.ledger {
            let entry = ledger.delete(id, &stored(before)?)?;
            self.audit(entry)?;
        }
        Ok(())
    }

    fn audit(&mut self, entry: Entry) -> Result<()> {
        Ok(self.transaction.insert(Logged { tenant: self.tenant, entry })?)
    }
}

fn stored(row: Row) -> Result<Stored> {
    let tags = rmp_serde::to_vec(&row.tags)?;
    Ok(Stored { version: row.version, task: row.task()?, tags })
}

/// Within a transaction: the writes of one tenant, and the head that they leave.
fn write<R>(
    transaction: &RwTransaction<'_>,
    tenant: usize,
    ledger: Option<Ledger<'_>>,
    run: impl FnOnce(&mut Write<'_, '_>) -> Result<R>,
) -> Result<(R, Option<Head>)> {
    let mut write = Write { tenant: key(tenant), transaction, ledger };
    let result = run(&mut write)?;
    let head = write.ledger.map(|ledger| ledger.head);
    if let Some(head) = &head {
        transaction.upsert(Kept { tenant: key(tenant), head: head.clone() })?;
    }
    Ok((result, head))
}

impl<const AUDITED: bool> Worker<AUDITED> {
    fn transaction<R>(&self, tenant: usize, run: impl FnOnce(&mut Write<'_, '_>) -> Result<R>) -> Result<R> {
        // One transaction writes at a time; the heads are those of the last one.
        let mut heads = AUDITED.then(|| self.heads.lock().unwrap_or_else(PoisonError::into_inner));
        let transaction = self.database.rw_transaction()?;
        let ledger = heads.as_mut().map(|heads| heads.begin(tenant));
        let (result, head) = write(&transaction, tenant, ledger, run)?;
        transaction.commit()?;
        if let (Some(heads), Some(head)) = (&mut heads, head) {
            heads.keep(tenant, head);
        }
        Ok(result)
    }
}

fn get(transaction: &RTransaction<'_>, tenant: usize, id: Uuid) -> Result<Record> {
    let row: Row = transaction.get().primary(row_key(key(tenant), id.as_u128()))?.context("no such task")?;
    row.record()
}

/// All keys of a tenant's rows.
fn rows_of(tenant: usize) -> std::ops::RangeInclusive<Bytes> {
    row_key(key(tenant), 0)..=row_key(key(tenant), u128::MAX)
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
        get(&self.database.r_transaction()?, tenant, id)
    }

    fn gets(&mut self, tenant: usize, ids: &[Uuid]) -> Result<Vec<Record>> {
        let transaction = self.database.r_transaction()?;
        ids.iter().map(|id| get(&transaction, tenant, *id)).collect()
    }

    fn newest(&mut self, tenant: usize) -> Result<Vec<Record>> {
        let transaction = self.database.r_transaction()?;
        let scan = transaction.scan().primary::<Row>()?;
        scan.range(rows_of(tenant))?.rev().take(LIST).map(|row| row?.record()).collect()
    }

    fn due(&mut self, tenant: usize, before: Timestamp) -> Result<Vec<Record>> {
        let transaction = self.database.r_transaction()?;
        let bound = |due| due_key(key(tenant), Status::Open, Some(due), 0);
        let scan = transaction.scan().secondary::<Row>(RowKey::by_due)?;
        scan.range(bound(0)..bound(before.as_microsecond()))?
            .rev()
            .take(LIST)
            .map(|row| row?.record())
            .collect()
    }

    fn scan(&mut self, tenant: usize) -> Result<Vec<Record>> {
        let transaction = self.database.r_transaction()?;
        let scan = transaction.scan().primary::<Row>()?;
        scan.range(rows_of(tenant))?.map(|row| row?.record()).collect()
    }

    fn count(&mut self, tenant: usize) -> Result<u64> {
        let transaction = self.database.r_transaction()?;
        if AUDITED {
            let kept: Kept = transaction.get().primary(key(tenant))?.context("no such tenant")?;
            return Ok(u64::try_from(kept.head.count)?);
        }
        Ok(transaction.scan().primary::<Row>()?.range(rows_of(tenant))?.count() as u64)
    }

    fn task(row: Record) -> Task {
        row.task
    }
}
