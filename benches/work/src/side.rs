//! What a side of the comparison has to offer. Sides differ in how they do it, not in what.

use std::path::PathBuf;

use anyhow::Result;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::task::Task;

/// What an answered write survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Durability {
    /// A power loss: every commit is synced to disk.
    Full,
    /// A kill of the process.
    Normal,
}

impl Durability {
    /// The value of `PRAGMA synchronous`.
    #[must_use]
    pub fn pragma(self) -> &'static str {
        match self {
            Durability::Full => "FULL",
            Durability::Normal => "NORMAL",
        }
    }
}

/// What a side is made with.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Setup {
    /// The name of the side.
    pub side: String,
    /// Its own empty folder.
    pub folder: PathBuf,
    /// How many tenants there are, numbered from 0.
    pub tenants: usize,
    /// What an answered write survives.
    pub durability: Durability,
}

/// One way to do the work: a database with its tables and tenants.
pub trait Side: Sized + Send + Sync {
    /// One thread's access.
    type Worker: Worker;

    /// Makes the file; `None` if this side does not offer the durability.
    ///
    /// # Errors
    ///
    /// If it cannot.
    fn create(setup: &Setup) -> Result<Option<Self>>;

    /// Inserts rows of several tenants, in this order; their ids. Before there is any worker, and
    /// by whatever is fast.
    ///
    /// # Errors
    ///
    /// If a write fails.
    fn load(&mut self, rows: &[(usize, Task)]) -> Result<Vec<Uuid>>;

    /// Nothing more will be loaded.
    ///
    /// # Errors
    ///
    /// If the side cannot be made ready.
    fn loaded(&mut self) -> Result<()> {
        Ok(())
    }

    /// Access for one more thread.
    ///
    /// # Errors
    ///
    /// If there can be no more.
    fn worker(&self) -> Result<Self::Worker>;

    /// What an audited side has kept beside the rows, after checking it; `None` for others.
    ///
    /// # Errors
    ///
    /// If it does not agree with the rows.
    fn audit_totals(&self) -> Result<Option<AuditTotals>>;
}

/// The operations. Every write is a transaction; every read gives whole records.
pub trait Worker: Send {
    /// What a read gives.
    type Row;

    /// Inserts a task; its new id.
    fn insert(&mut self, tenant: usize, task: &Task) -> Result<Uuid>;
    /// Inserts tasks in one transaction.
    fn insert_many(&mut self, tenant: usize, tasks: &[Task]) -> Result<Vec<Uuid>>;
    /// Replaces a task.
    fn update(&mut self, tenant: usize, id: Uuid, task: &Task) -> Result<()>;
    /// Deletes a task.
    fn delete(&mut self, tenant: usize, id: Uuid) -> Result<()>;
    /// Deletes tasks in one transaction.
    fn delete_many(&mut self, tenant: usize, ids: &[Uuid]) -> Result<()>;
    /// One task.
    fn get(&mut self, tenant: usize, id: Uuid) -> Result<Self::Row>;
    /// Several tasks, one after the other, in one snapshot.
    fn gets(&mut self, tenant: usize, ids: &[Uuid]) -> Result<Vec<Self::Row>>;
    /// The [`LIST`](crate::operation::LIST) tasks that were inserted last, the newest first.
    fn newest(&mut self, tenant: usize) -> Result<Vec<Self::Row>>;
    /// [`LIST`](crate::operation::LIST) open tasks that are due before a time, the latest first.
    fn due(&mut self, tenant: usize, before: Timestamp) -> Result<Vec<Self::Row>>;
    /// All tasks of a tenant, the oldest first.
    fn scan(&mut self, tenant: usize) -> Result<Vec<Self::Row>>;
    /// How many tasks a tenant has.
    fn count(&mut self, tenant: usize) -> Result<u64>;
    /// The values of a row, to compare the sides at the end.
    fn task(row: Self::Row) -> Task;
}

/// What the audited sides keep beside the rows, and have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditTotals {
    /// Bytes of all rows, from the kept numbers.
    pub bytes: i64,
    /// Audit entries of tasks.
    pub entries: i64,
    /// Bytes of their payloads.
    pub payload_bytes: i64,
}
