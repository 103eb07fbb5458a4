//! SQLx with the statements that the hand-written side has, too.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use jiff::Timestamp;
use sqlx::{Connection, SqliteConnection};
use uuid::Uuid;
use work::ledger::{DEVICE, key};
use work::{AuditTotals, Entry, Ledger, Record, Setup, Side, Stored, Task, sql};

use crate::database::{Database, Row};

pub(crate) struct Sqlx<const AUDITED: bool>(Arc<Database>);

pub(crate) struct Worker<const AUDITED: bool>(Arc<Database>);

impl<const AUDITED: bool> Side for Sqlx<AUDITED> {
    type Worker = Worker<AUDITED>;

    fn create(setup: &Setup) -> Result<Option<Self>> {
        Ok(Some(Self(Database::create(setup, AUDITED)?)))
    }

    fn load(&mut self, rows: &[(usize, Task)]) -> Result<Vec<Uuid>> {
        load(&self.0, AUDITED, rows)
    }

    fn worker(&self) -> Result<Self::Worker> {
        Ok(Worker(Arc::clone(&self.0)))
    }

    fn audit_totals(&self) -> Result<Option<AuditTotals>> {
        AUDITED.then(|| self.0.runtime.block_on(self.0.audit_totals())).transpose()
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

    async fn insert(&mut self, task: &Task) -> Result<Uuid> {
        let id = match &mut self.ledger {
            Some(ledger) => ledger.new_id()?,
            None => Uuid::now_v7(),
        };
        let tags = rmp_serde::to_vec(&task.tags)?;
        sqlx::query(sql::INSERT)
            .bind(self.tenant)
            .bind(&id.as_bytes()[..])
            .bind(self.now())
            .bind(&*task.title)
            .bind(task.status.text())
            .bind(task.due.map(Timestamp::as_microsecond))
            .bind(task.points)
            .bind(&*tags)
            .bind(&*task.body)
            .execute(&mut *self.connection)
            .await?;
        if let Some(ledger) = &mut self.ledger {
            let entry = ledger.insert(id, task, &tags)?;
            self.audit(&entry).await?;
        }
        Ok(id)
    }

    async fn update(&mut self, id: Uuid, task: &Task) -> Result<()> {
        let before = self.before(id).await?;
        let tags = rmp_serde::to_vec(&task.tags)?;
        let done = sqlx::query(sql::UPDATE)
            .bind(self.tenant)
            .bind(&id.as_bytes()[..])
            .bind(self.now())
            .bind(&*task.title)
            .bind(task.status.text())
            .bind(task.due.map(Timestamp::as_microsecond))
            .bind(task.points)
            .bind(&*tags)
            .bind(&*task.body)
            .execute(&mut *self.connection)
            .await?;
        ensure!(done.rows_affected() == 1, "no such task");
        if let (Some(ledger), Some(before)) = (&mut self.ledger, before) {
            let entry = ledger.update(id, &before, task, &tags)?;
            self.audit(&entry).await?;
        }
        Ok(())
    }

    async fn delete(&mut self, id: Uuid) -> Result<()> {
        let before = self.before(id).await?;
        let delete = sqlx::query(sql::DELETE).bind(self.tenant).bind(&id.as_bytes()[..]);
        let done = delete.execute(&mut *self.connection).await?;
        ensure!(done.rows_affected() == 1, "no such task");
        if let (Some(ledger), Some(before)) = (&mut self.ledger, before) {
            let entry = ledger.delete(id, &before)?;
            self.audit(&entry).await?;
        }
        Ok(())
    }

    /// The row as it is, for the log.
    async fn before(&mut self, id: Uuid) -> Result<Option<Stored>> {
        if self.ledger.is_none() {
            return Ok(None);
        }
        get(self.connection, self.tenant, id).await?.stored().map(Some)
    }

    async fn audit(&mut self, entry: &Entry) -> Result<()> {
        sqlx::query(sql::ENTRY)
            .bind(self.tenant)
            .bind(entry.number)
            .bind(entry.txn)
            .bind(&DEVICE[..])
            .bind(entry.clock)
            .bind(entry.time)
            .bind(&*entry.action)
            .bind(&entry.record.as_bytes()[..])
            .bind(&entry.commitment[..])
            .bind(&entry.previous[..])
            .bind(&entry.hash[..])
            .bind(&entry.salt[..])
            .bind(&*entry.payload)
            .execute(&mut *self.connection)
            .await?;
        Ok(())
    }

    async fn write_head(&mut self) -> Result<()> {
        let Some(ledger) = &self.ledger else { return Ok(()) };
        let head = &ledger.head;
        sqlx::query(sql::ROW_HEAD)
            .bind(self.tenant)
            .bind(head.count)
            .bind(head.bytes)
            .execute(&mut *self.connection)
            .await?;
        sqlx::query(sql::LOG_HEAD)
            .bind(self.tenant)
            .bind(head.next)
            .bind(&head.hash[..])
            .bind(head.clock)
            .bind(&head.last_id.to_be_bytes()[..])
            .execute(&mut *self.connection)
            .await?;
        Ok(())
    }
}

/// Inserts rows of several tenants in one transaction.
pub(crate) fn load(database: &Database, audited: bool, rows: &[(usize, Task)]) -> Result<Vec<Uuid>> {
    database.runtime.block_on(async {
        let mut heads = database.heads.lock().await;
        let mut connection = database.writer.acquire().await?;
        let mut transaction = (*connection).begin_with("BEGIN IMMEDIATE").await?;
        let mut ids = Vec::with_capacity(rows.len());
        for (tenant, task) in rows {
            let ledger = audited.then(|| heads.begin(*tenant));
            let mut write = Write { connection: &mut transaction, tenant: key(*tenant), ledger };
            ids.push(write.insert(task).await?);
            write.write_head().await?;
            if let Some(ledger) = write.ledger {
                let head = ledger.head;
                heads.keep(*tenant, head);
            }
        }
        transaction.commit().await?;
        Ok(ids)
    })
}

type Columns = (Vec<u8>, i64, i64, String, String, Option<i64>, i64, Vec<u8>, String);

fn row((id, version, updated, title, status, due, points, tags, body): Columns) -> Row {
    Row { id, version, updated, title, status, due, points, tags, body }
}

async fn get(connection: &mut SqliteConnection, tenant: i64, id: Uuid) -> Result<Row> {
    let query = sqlx::query_as(sql::GET).bind(tenant).bind(&id.as_bytes()[..]);
    Ok(row(query.fetch_optional(connection).await?.context("no such task")?))
}

fn records(rows: Vec<Columns>) -> Result<Vec<Record>> {
    rows.into_iter().map(|columns| row(columns).record()).collect()
}

impl<const AUDITED: bool> Worker<AUDITED> {
    fn transaction<R>(&self, tenant: usize, run: impl AsyncFnOnce(&mut Write<'_>) -> Result<R>) -> Result<R> {
        self.0.runtime.block_on(async {
            let mut heads = self.0.heads.lock().await;
            let mut connection = self.0.writer.acquire().await?;
            let mut transaction = (*connection).begin_with("BEGIN IMMEDIATE").await?;
            let ledger = AUDITED.then(|| heads.begin(tenant));
            let mut write = Write { connection: &mut transaction, tenant: key(tenant), ledger };
            let result = run(&mut write).await?;
            write.write_head().await?;
            let head = write.ledger.map(|ledger| ledger.head);
            transaction.commit().await?;
            if let Some(head) = head {
                heads.keep(tenant, head);
            }
            Ok(result)
        })
    }

    /// A single change. Without an audit log it is a single statement, and needs no transaction.
    fn change<R>(&self, tenant: usize, run: impl AsyncFnOnce(&mut Write<'_>) -> Result<R>) -> Result<R> {
        if AUDITED {
            return self.transaction(tenant, run);
        }
        self.0.runtime.block_on(async {
            let mut connection = self.0.writer.acquire().await?;
            run(&mut Write { connection: &mut connection, tenant: key(tenant), ledger: None }).await
        })
    }
}

impl<const AUDITED: bool> work::Worker for Worker<AUDITED> {
    type Row = Record;

    fn insert(&mut self, tenant: usize, task: &Task) -> Result<Uuid> {
        self.change(tenant, async |write| write.insert(task).await)
    }

    fn insert_many(&mut self, tenant: usize, tasks: &[Task]) -> Result<Vec<Uuid>> {
        self.transaction(tenant, async |write| {
            let mut ids = Vec::with_capacity(tasks.len());
            for task in tasks {
                ids.push(write.insert(task).await?);
            }
            Ok(ids)
        })
    }

    fn update(&mut self, tenant: usize, id: Uuid, task: &Task) -> Result<()> {
        self.change(tenant, async |write| write.update(id, task).await)
    }

    fn delete(&mut self, tenant: usize, id: Uuid) -> Result<()> {
        self.change(tenant, async |write| write.delete(id).await)
    }

    fn delete_many(&mut self, tenant: usize, ids: &[Uuid]) -> Result<()> {
        self.transaction(tenant, async |write| {
            for id in ids {
                write.delete(*id).await?;
            }
            Ok(())
        })
    }

    fn get(&mut self, tenant: usize, id: Uuid) -> Result<Record> {
        self.0.runtime.block_on(async {
            let mut connection = self.0.readers.acquire().await?;
            get(&mut connection, key(tenant), id).await?.record()
        })
    }

    fn gets(&mut self, tenant: usize, ids: &[Uuid]) -> Result<Vec<Record>> {
        self.0.runtime.block_on(async {
            let mut transaction = self.0.readers.begin().await?;
            let mut records = Vec::with_capacity(ids.len());
            for id in ids {
                records.push(get(&mut transaction, key(tenant), *id).await?.record()?);
            }
            transaction.commit().await?;
            Ok(records)
        })
    }

    fn newest(&mut self, tenant: usize) -> Result<Vec<Record>> {
        let query = sqlx::query_as(sql::NEWEST).bind(key(tenant));
        records(self.0.runtime.block_on(query.fetch_all(&self.0.readers))?)
    }

    fn due(&mut self, tenant: usize, before: Timestamp) -> Result<Vec<Record>> {
        let query = sqlx::query_as(sql::DUE).bind(key(tenant)).bind(before.as_microsecond());
        records(self.0.runtime.block_on(query.fetch_all(&self.0.readers))?)
    }

    fn scan(&mut self, tenant: usize) -> Result<Vec<Record>> {
        let query = sqlx::query_as(sql::SCAN).bind(key(tenant));
        records(self.0.runtime.block_on(query.fetch_all(&self.0.readers))?)
    }

    fn count(&mut self, tenant: usize) -> Result<u64> {
        let query = sqlx::query_scalar(if AUDITED { sql::KEPT_COUNT } else { sql::COUNT }).bind(key(tenant));
        let count: i64 = self.0.runtime.block_on(query.fetch_one(&self.0.readers))?;
        Ok(u64::try_from(count)?)
    }

    fn task(row: Record) -> Task {
        row.task
    }
}
