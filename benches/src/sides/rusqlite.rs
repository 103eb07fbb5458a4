//! What Tenantry's verbs do, written out by hand with rusqlite, as one would for one application:
//! an appended rowid, statements from the cache, heads in memory, one connection that writes
//! behind a mutex, and a reading connection for each thread. It knows its columns at compile time
//! and checks no sessions: what a library can at best come near to.
//!
//! Without the audit log it is rusqlite as most programs use it.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use jiff::Timestamp;
use rusqlite::Connection;
use rusqlite::types::ToSql;
use uuid::Uuid;
use work::ledger::key;
use work::{AuditTotals, Durability, Heads, Record, Setup, Side, Task, sql};

use super::sqlite::{self, Write};

pub(crate) struct Rusqlite<const AUDITED: bool> {
    path: PathBuf,
    durability: Durability,
    writer: Arc<Mutex<Writer>>,
}

struct Writer {
    connection: Connection,
    heads: Heads,
}

pub(crate) struct Worker<const AUDITED: bool> {
    writer: Arc<Mutex<Writer>>,
    reader: Connection,
}

impl<const AUDITED: bool> Side for Rusqlite<AUDITED> {
    type Worker = Worker<AUDITED>;

    fn create(setup: &Setup) -> Result<Option<Self>> {
        let path = setup.folder.join("hand.db");
        let mut connection = sqlite::open(&path, setup.durability, sql::WRITER_CACHE)?;
        sqlite::create(&mut connection, setup.tenants, AUDITED)?;
        let writer = Writer { connection, heads: Heads::new(setup.tenants) };
        Ok(Some(Self { path, durability: setup.durability, writer: Arc::new(Mutex::new(writer)) }))
    }

    fn load(&mut self, rows: &[(usize, Task)]) -> Result<Vec<Uuid>> {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let Writer { connection, heads } = &mut *writer;
        sqlite::load(connection, heads, AUDITED, rows)
    }

    fn worker(&self) -> Result<Self::Worker> {
        let reader = sqlite::open(&self.path, self.durability, sql::READER_CACHE)?;
        Ok(Worker { writer: Arc::clone(&self.writer), reader })
    }

    fn audit_totals(&self) -> Result<Option<AuditTotals>> {
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        AUDITED.then(|| sqlite::audit_totals(&writer.connection)).transpose()
    }
}

impl<const AUDITED: bool> Worker<AUDITED> {
    fn transaction<R>(&self, tenant: usize, run: impl FnOnce(&mut Write<'_>) -> Result<R>) -> Result<R> {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let Writer { connection, heads } = &mut *writer;
        let current = &mut *heads;
        let ledger = move || Ok(AUDITED.then(move || current.begin(tenant)));
        let (result, head) = sqlite::transaction(connection, tenant, ledger, run)?;
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
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        run(&mut Write { connection: &writer.connection, tenant: key(tenant), ledger: None })
    }

    fn list(&self, sql: &str, params: &[&dyn ToSql]) -> Result<Vec<Record>> {
        sqlite::list(&self.reader, sql, params)
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
        sqlite::get(&self.reader, tenant, id)
    }

    fn gets(&mut self, tenant: usize, ids: &[Uuid]) -> Result<Vec<Record>> {
        sqlite::gets(&self.reader, tenant, ids)
    }

    fn newest(&mut self, tenant: usize) -> Result<Vec<Record>> {
        self.list(sql::NEWEST, &[&key(tenant)])
    }

    fn due(&mut self, tenant: usize, before: Timestamp) -> Result<Vec<Record>> {
        self.list(sql::DUE, &[&key(tenant), &before.as_microsecond()])
    }

    fn scan(&mut self, tenant: usize) -> Result<Vec<Record>> {
        self.list(sql::SCAN, &[&key(tenant)])
    }

    fn count(&mut self, tenant: usize) -> Result<u64> {
        sqlite::count(&self.reader, tenant, AUDITED)
    }

    fn task(row: Record) -> Task {
        row.task
    }
}
