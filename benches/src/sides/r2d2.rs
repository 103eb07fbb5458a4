//! The same work as the hand-written side, but every thread takes a connection for reading and
//! writing from a pool, as in many web applications. SQLite's locks decide who writes, so what is
//! kept for a tenant is read within each transaction.

use std::time::Duration;

use anyhow::Result;
use jiff::Timestamp;
use r2d2::Pool;
use r2d2_sqlite::SqliteConnectionManager;
use uuid::Uuid;
use work::ledger::{Random, key};
use work::{AuditTotals, Ledger, Record, Setup, Side, Task, sql};

use super::sqlite::{self, Write};

pub(crate) struct R2d2 {
    pool: Pool<SqliteConnectionManager>,
}

pub(crate) struct Worker {
    pool: Pool<SqliteConnectionManager>,
    random: Random,
}

impl Side for R2d2 {
    type Worker = Worker;

    fn create(setup: &Setup) -> Result<Option<Self>> {
        let path = setup.folder.join("r2d2.db");
        let durability = setup.durability;
        // Once, alone: a journal mode is changed by one connection at a time.
        let mut first = sqlite::open(&path, durability, sql::WRITER_CACHE)?;
        sqlite::create(&mut first, setup.tenants, true)?;
        let manager = SqliteConnectionManager::file(path).with_init(move |connection| {
            connection.busy_timeout(Duration::from_secs(30))?;
            sqlite::set(connection, durability, sql::WRITER_CACHE)
        });
        Ok(Some(Self { pool: Pool::new(manager)? }))
    }

    fn worker(&self) -> Result<Worker> {
        Ok(Worker { pool: self.pool.clone(), random: Random::default() })
    }

    fn audit_totals(&self) -> Result<Option<AuditTotals>> {
        sqlite::audit_totals(&*self.pool.get()?).map(Some)
    }
}

impl Worker {
    fn transaction<R>(&mut self, tenant: usize, run: impl FnOnce(&mut Write<'_>) -> Result<R>) -> Result<R> {
        let pooled = self.pool.get()?;
        let (connection, random) = (&*pooled, &mut self.random);
        let read = || sqlite::read_head(connection, key(tenant));
        let (result, _) = sqlite::transaction(
            connection,
            tenant,
            || Ok(Some(Ledger::new(key(tenant), read()?, random))),
            run,
        )?;
        Ok(result)
    }
}

impl work::Worker for Worker {
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
        sqlite::get(&*self.pool.get()?, tenant, id)
    }

    fn gets(&mut self, tenant: usize, ids: &[Uuid]) -> Result<Vec<Record>> {
        sqlite::gets(&*self.pool.get()?, tenant, ids)
    }

    fn newest(&mut self, tenant: usize) -> Result<Vec<Record>> {
        sqlite::list(&*self.pool.get()?, sql::NEWEST, &[&key(tenant)])
    }

    fn due(&mut self, tenant: usize, before: Timestamp) -> Result<Vec<Record>> {
        let before = before.as_microsecond();
        sqlite::list(&*self.pool.get()?, sql::DUE, &[&key(tenant), &before])
    }

    fn scan(&mut self, tenant: usize) -> Result<Vec<Record>> {
        sqlite::list(&*self.pool.get()?, sql::SCAN, &[&key(tenant)])
    }

    fn count(&mut self, tenant: usize) -> Result<u64> {
        sqlite::count(&*self.pool.get()?, tenant, true)
    }

    fn task(row: Record) -> Task {
        row.task
    }
}
