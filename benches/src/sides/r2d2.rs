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
use work::{AuditTotals, Heads, Ledger, Record, Setup, Side, Task, sql};

use super::sqlite::{self, Write};

pub(crate) struct R2d2<const AUDITED: bool> {
    pool: Pool<SqliteConnectionManager>,
    /// While rows are loaded.
    heads: Heads,
}

pub(crate) struct Worker<const AUDITED: bool> {
    pool: Pool<SqliteConnectionManager>,
    random: Random,
}

impl<const AUDITED: bool> Side for R2d2<AUDITED> {
    type Worker = Worker<AUDITED>;

    fn create(setup: &Setup) -> Result<Option<Self>> {
        let path = setup.folder.join("r2d2.db");
        let durability = setup.durability;
        // Once, alone: a journal mode is changed by one connection at a time.
        let mut first = sqlite::open(&path, durability, sql::WRITER_CACHE)?;
        sqlite::create(&mut first, setup.tenants, AUDITED)?;
        let manager = SqliteConnectionManager::file(path).with_init(move |connection| {
            connection.busy_timeout(Duration::from_secs(30))?;
            sqlite::set(connection, durability, sql::WRITER_CACHE)
        });
        Ok(Some(Self { pool: Pool::new(manager)?, heads: Heads::new(setup.tenants) }))
    }

    fn load(&mut self, rows: &[(usize, Task)]) -> Result<Vec<Uuid>> {
        sqlite::load(&*self.pool.get()?, &mut self.heads, AUDITED, rows)
    }

    fn worker(&self) -> Result<Self::Worker> {
        Ok(Worker { pool: self.pool.clone(), random: Random::default() })
    }

    fn audit_totals(&self) -> Result<Option<AuditTotals>> {
        AUDITED.then(|| sqlite::audit_totals(&*self.pool.get()?)).transpose()
    }
}

impl<const AUDITED: bool> Worker<AUDITED> {
    fn transaction<R>(&mut self, tenant: usize, run: impl FnOnce(&mut Write<'_>) -> Result<R>) -> Result<R> {
        let pooled = self.pool.get()?;
        let (connection, random) = (&*pooled, &mut self.random);
        let ledger = || {
            let head = AUDITED.then(|| sqlite::read_head(connection, key(tenant))).transpose()?;
            Ok(head.map(move |head| Ledger::new(key(tenant), head, random)))
        };
        Ok(sqlite::transaction(connection, tenant, ledger, run)?.0)
    }

    /// A single change. Without an audit log it is a single statement, and needs no transaction.
    fn change<R>(&mut self, tenant: usize, run: impl FnOnce(&mut Write<'_>) -> Result<R>) -> Result<R> {
        if AUDITED {
            return self.transaction(tenant, run);
        }
        run(&mut Write { connection: &*self.pool.get()?, tenant: key(tenant), ledger: None })
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
        sqlite::count(&*self.pool.get()?, tenant, AUDITED)
    }

    fn task(row: Record) -> Task {
        row.task
    }
}
