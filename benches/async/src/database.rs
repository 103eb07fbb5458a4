//! The database of both sides: one connection that writes, a pool that reads, a runtime.

use std::sync::Arc;

use anyhow::{Context, Result};
use jiff::Timestamp;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
use sqlx::{Connection, SqliteConnection, SqlitePool};
use tokio::runtime::Runtime;
use tokio::sync::Mutex;
use uuid::Uuid;
use work::ledger::{Chain, key};
use work::{AuditTotals, Entry, Head, Heads, Record, Setup, Status, Stored, Task, sql};

/// As many as the largest number of threads: the hand-written side has one for each, too.
const READERS: u32 = 16;

/// What all workers of a side share.
pub(crate) struct Database {
    pub(crate) runtime: Runtime,
    /// Of one connection.
    pub(crate) writer: SqlitePool,
    pub(crate) readers: SqlitePool,
    /// Held by whoever writes.
    pub(crate) heads: Mutex<Heads>,
    pub(crate) tenants: usize,
}

impl Database {
    pub(crate) fn create(setup: &Setup, audited: bool) -> Result<Arc<Self>> {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let (writer, readers) = runtime.block_on(async {
            let writer = pool(setup, sql::WRITER_CACHE, 1).await?;
            let mut connection = writer.acquire().await?;
            make(&mut connection, setup.tenants, audited).await?;
            drop(connection);
            anyhow::Ok((writer, pool(setup, sql::READER_CACHE, READERS).await?))
        })?;
        let heads = Mutex::new(Heads::new(setup.tenants));
        Ok(Arc::new(Self { runtime, writer, readers, heads, tenants: setup.tenants }))
    }

    /// Follows every tenant's chain and counts what is there.
    pub(crate) async fn audit_totals(&self) -> Result<AuditTotals> {
        let one = async |sql: &'static str| sqlx::query_scalar::<_, i64>(sql).fetch_one(&self.readers).await;
        let mut totals = AuditTotals {
            bytes: one("SELECT sum(bytes) FROM row_head").await?,
            entries: 0,
            payload_bytes: 0,
        };
        for tenant in (0..self.tenants).map(key) {
            let mut chain = Chain::new(tenant);
            let rows: Vec<LogRow> = sqlx::query_as(sql::LOG).bind(tenant).fetch_all(&self.readers).await?;
            for row in rows {
                chain.follow(&entry(row)?)?;
            }
            let (count, bytes, next, hash, clock, last_id): (i64, i64, i64, Vec<u8>, i64, Vec<u8>) =
                sqlx::query_as(sql::READ_HEAD).bind(tenant).fetch_one(&self.readers).await?;
            let last_id = u128::from_be_bytes(last_id.as_slice().try_into()?);
            let head = Head { count, bytes, next, hash: hash.as_slice().try_into()?, clock, last_id };
            totals.payload_bytes += chain.payload_bytes;
            totals.entries += chain.finish(&head)?;
        }
        Ok(totals)
    }
}

type LogRow = (i64, i64, i64, i64, String, Vec<u8>, Vec<u8>, Vec<u8>, Vec<u8>, Vec<u8>, Vec<u8>);

fn entry(row: LogRow) -> Result<Entry> {
    let (number, txn, clock, time, action, record, commitment, previous, hash, salt, payload) = row;
    Ok(Entry {
        number,
        txn,
        clock,
        time,
        action: action.into(),
        record: Uuid::from_slice(&record)?,
        commitment: commitment.as_slice().try_into()?,
        previous: previous.as_slice().try_into()?,
        hash: hash.as_slice().try_into()?,
        salt: salt.as_slice().try_into()?,
        payload,
    })
}

async fn pool(setup: &Setup, cache: i64, connections: u32) -> Result<SqlitePool> {
    let mut options =
        SqliteConnectOptions::new().filename(setup.folder.join("async.db")).create_if_missing(true);
    for (name, value) in sql::PRAGMAS {
        options = options.pragma(name, value);
    }
    options =
        options.pragma("synchronous", setup.durability.pragma()).pragma("cache_size", cache.to_string());
    // A test of each connection that is handed out would be a statement more for each operation.
    let pool = SqlitePoolOptions::new().max_connections(connections).test_before_acquire(false);
    Ok(pool.connect_with(options).await?)
}

async fn make(connection: &mut SqliteConnection, tenants: usize, audited: bool) -> Result<()> {
    let mut transaction = connection.begin().await?;
    sqlx::raw_sql(sql::ROWS).execute(&mut *transaction).await?;
    if audited {
        sqlx::raw_sql(sql::AUDIT).execute(&mut *transaction).await?;
    }
    for tenant in 0..tenants {
        let (key, name) = (key(tenant), format!("user-{tenant}"));
        sqlx::query(sql::NEW_TENANT).bind(key).bind(name).execute(&mut *transaction).await?;
        if audited {
            let hash = Head::new(key).hash;
            sqlx::query(sql::NEW_ROW_HEAD).bind(key).execute(&mut *transaction).await?;
            sqlx::query(sql::NEW_LOG_HEAD).bind(key).bind(&hash[..]).execute(&mut *transaction).await?;
        }
    }
    Ok(transaction.commit().await?)
}

pub(crate) fn sqlite_version() -> Result<String> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().worker_threads(1).build()?;
    runtime.block_on(async {
        let mut connection = SqliteConnection::connect("sqlite::memory:").await?;
        let version = sqlx::query_scalar("SELECT sqlite_version()").fetch_one(&mut connection).await;
        version.context("SQLite tells no version")
    })
}

/// A row of a task's table.
pub(crate) struct Row {
    pub(crate) id: Vec<u8>,
    pub(crate) version: i64,
    pub(crate) updated: i64,
    pub(crate) title: String,
    pub(crate) status: String,
    pub(crate) due: Option<i64>,
    pub(crate) points: i64,
    pub(crate) tags: Vec<u8>,
    pub(crate) body: String,
}

impl Row {
    pub(crate) fn stored(self) -> Result<Stored> {
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

    pub(crate) fn record(self) -> Result<Record> {
        let (id, updated) = (Uuid::from_slice(&self.id)?, self.updated);
        let stored = self.stored()?;
        Record::new(id, stored.version, updated, stored.task)
    }
}
