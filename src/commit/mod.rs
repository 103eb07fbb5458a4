//! The write path: one connection, one writer at a time, one transaction per caller.

mod change;
mod heads;
mod unit;

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rusqlite::Connection;
use uuid::Uuid;

pub(crate) use change::{Changes, Content, Upsert, row_bytes};
use heads::Heads;
pub(crate) use heads::{count, create_log, unsigned_count};
pub(crate) use unit::{Actor, Event, Savepoint, Unit};

use crate::error::{Error, Result};

/// How long closing waits for reads that are under way.
const CLOSING_TIME: Duration = Duration::from_secs(1);

/// Tells the time.
pub(crate) type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;
/// Fills a buffer with random bytes.
pub(crate) type Randomness = Arc<dyn Fn(&mut [u8]) -> Result<()> + Send + Sync>;

/// The writer's connection and what it remembers between transactions.
pub(crate) struct Writer {
    connection: Connection,
    heads: Heads,
    clock: Clock,
    random: Random,
    device: Uuid,
    record_bytes_max: usize,
}

impl Writer {
    pub(crate) fn new(
        connection: Connection,
        clock: Clock,
        randomness: Randomness,
        device: Uuid,
        record_bytes_max: usize,
    ) -> Self {
        Self {
            connection,
            heads: Heads::default(),
            clock,
            random: Random::new(randomness),
            device,
            record_bytes_max,
        }
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

/// Lends the writer to one caller at a time.
pub(crate) struct Committer {
    slot: Mutex<Slot>,
    returned: Condvar,
    wait_max: Duration,
}

/// Where the writer is when nobody writes.
enum Slot {
    Free(Box<Writer>),
    Lent(ThreadId),
    Closed,
}

impl Committer {
    pub(crate) fn new(writer: Writer, wait_max: Duration) -> Self {
        Self { slot: Mutex::new(Slot::Free(Box::new(writer))), returned: Condvar::new(), wait_max }
    }

    /// Waits for the writer and begins a transaction.
    pub(crate) fn begin(self: &Arc<Self>, actor: Actor) -> Result<Unit> {
        let writer = self.take()?;
        Unit::begin(Arc::clone(self), writer, actor)
    }

    fn lock(&self) -> MutexGuard<'_, Slot> {
        // Nothing that can panic runs under the lock.
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> Result<Box<Writer>> {
        let deadline = Instant::now() + self.wait_max;
        let mut slot = self.lock();
        loop {
            match std::mem::replace(&mut *slot, Slot::Lent(thread::current().id())) {
                Slot::Free(writer) => return Ok(writer),
                Slot::Closed => {
                    *slot = Slot::Closed;
                    return Err(Error::Closed);
                }
                Slot::Lent(holder) => {
                    *slot = Slot::Lent(holder);
                    if holder == thread::current().id() {
                        return Err(Error::Busy {
                            reason: "a transaction is open on this thread; write through its handle",
                        });
                    }
                    let Some(left) = deadline.checked_duration_since(Instant::now()) else {
                        return Err(Error::Busy { reason: "another transaction is still open; try again" });
                    };
                    slot = self.returned.wait_timeout(slot, left).unwrap_or_else(PoisonError::into_inner).0;
                }
            }
        }
    }

    fn give_back(&self, writer: Box<Writer>) {
        *self.lock() = Slot::Free(writer);
        self.returned.notify_one();
    }

    /// Whether a writer would have to wait; for work that can wait itself.
    pub(crate) fn is_busy(&self) -> bool {
        !matches!(*self.lock(), Slot::Free(_))
    }

    /// Moves the log into the database file and closes the connection. No write begins afterwards.
    pub(crate) fn close(&self) -> Result<()> {
        let writer = match self.take() {
            Ok(writer) => writer,
            Err(Error::Closed) => return Ok(()),
            Err(error) => return Err(error),
        };
        *self.lock() = Slot::Closed;
        self.returned.notify_all();
        // https://sqlite.org/pragma.html#pragma_wal_checkpoint: a reader can keep it from
        // finishing, and then the next opening does the rest. An iterator would not end by waiting.
        writer.connection.busy_timeout(CLOSING_TIME)?;
        writer.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
        writer.connection.close().map_err(|(_, error)| error)?;
        Ok(())
    }
}

impl std::fmt::Debug for Committer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Committer").finish_non_exhaustive()
    }
}
