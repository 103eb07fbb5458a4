//! The write path: one connection, transactions that several callers share, one queue.
//!
//! `queue` decides who holds the writer; a caller that holds it is the leader of a `unit`, an open
//! transaction, and runs the work of callers that wait beside its own before it commits once for
//! all. `heads` is what the writer remembers of each tenant, `change` what a record becomes, and
//! `checkpoint` moves the write-ahead log into the file meanwhile.

mod change;
mod checkpoint;
mod heads;
mod queue;
#[cfg(test)]
mod tests;
mod unit;

use std::sync::Arc;

use jiff::Timestamp;
use rusqlite::Connection;
use uuid::Uuid;

pub(crate) use change::{
    Changes, Content, Copies, NO_TARGET, Upsert, check_size, row_bytes, still_referred, unique_set,
};
pub(crate) use checkpoint::{Checkpoints, observe_log};
use heads::Heads;
pub(crate) use heads::{
    RowHead, count, create_log, has_log, is_closed, load_rows, put_rows, totals, totals_at_home, totals_of,
    unsigned_count,
};
#[cfg(feature = "sqlcipher")]
pub(crate) use queue::NotReconnected;
pub(crate) use queue::{CommitTotals, Committer};
pub(crate) use unit::{Actor, Authority, Event, Savepoint, Unit};

use crate::cache::Cache;
use crate::error::Result;
use crate::identity::TenantKey;
use crate::schema::partitions;
use crate::sync::atomic::AtomicI64;

/// Tells the time.
pub(crate) type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;
/// Fills a buffer with random bytes.
pub(crate) type Randomness = Arc<dyn Fn(&mut [u8]) -> Result<()> + Send + Sync>;

/// The writer's connection and what it remembers between transactions.
pub(crate) struct Writer {
    connection: Connection,
    heads: Heads,
    /// Callers whose work it has run; the log tells one's entries from another's by it.
    works: u64,
    clock: Clock,
    random: Random,
    device: Uuid,
    record_bytes_max: usize,
    cache: Option<Arc<Cache>>,
    /// The rows that the transaction changes, for the cache.
    changed: Vec<(TenantKey, i64, Uuid)>,
    /// Which state of the reference records the file holds.
    reference: Arc<AtomicI64>,
}

impl Writer {
    pub(crate) fn new(
        connection: Connection,
        clock: Clock,
        randomness: Randomness,
        device: Uuid,
        record_bytes_max: usize,
        cache: Option<Arc<Cache>>,
    ) -> Result<Self> {
        let reference = partitions::reference_version(&connection)?;
        Ok(Self {
            connection,
            heads: Heads::default(),
            works: 0,
            clock,
            random: Random::new(randomness),
            device,
            record_bytes_max,
            cache,
            changed: Vec::new(),
            reference: Arc::new(AtomicI64::new(reference)),
        })
    }

    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Remembers nothing of tenants whose rows were changed without it.
    pub(crate) fn forget(&mut self, tenants: &[TenantKey]) {
        self.heads.forget(tenants);
    }
}

/// Random bytes, asked for in larger pieces: one system call for each would cost more than SHA-256.
struct Random {
    source: Randomness,
    buffer: [u8; 1024],
    used: usize,
}

impl Random {
    fn new(source: Randomness) -> Self {
        Self { source, buffer: [0; 1024], used: 1024 }
    }

    fn fill<const N: usize>(&mut self) -> Result<[u8; N]> {
        if self.used + N > self.buffer.len() {
            (self.source)(&mut self.buffer)?;
            self.used = 0;
        }
        let mut bytes = [0; N];
        bytes.copy_from_slice(&self.buffer[self.used..self.used + N]);
        self.buffer[self.used..self.used + N].fill(0);
        self.used += N;
        Ok(bytes)
    }
}
