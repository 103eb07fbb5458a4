//! Moving the write-ahead log into the database file beside the writers: a thread of its own does
//! most of it, in passes of which each is shorter than the one before. It can't finish while others
//! append, and only a log that is moved as a whole begins anew (<https://sqlite.org/wal.html#ckpt>),
//! so the writer itself moves the little that is left, between two transactions.

use std::cell::Cell;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::Connection;

use crate::error::Result;

/// Pages that the log gains before they are moved: 32 MiB.
const PAGES: i32 = 8_000;
/// With so many, 64 MiB, the log is to begin anew: the writer does not stop for less.
const PAGES_LONG: i64 = 16_000;
/// With so many, 96 MiB, writers wait until the thread is done: it may have no processor beside them.
const PAGES_MAX: i32 = 24_000;
/// How long at most.
const WAIT_MAX: Duration = Duration::from_secs(1);
/// Pages that the writer may move: it takes about as long as one commit that waits for the disk.
const REST: i64 = 1_000;
/// Passes of the thread, at most.
const PASSES: usize = 4;

thread_local! {
    /// The pages in the log after the commit that this thread made last, until somebody has asked.
    static PAGES_IN_LOG: Cell<Option<i32>> = const { Cell::new(None) };
}

/// Lets a connection's commits tell how long the log is; SQLite's own checkpoints end with it
/// (<https://sqlite.org/c3ref/wal_hook.html>).
pub(crate) fn observe_log(connection: &Connection) {
    connection.wal_hook(Some(|_, pages| {
        PAGES_IN_LOG.set(Some(pages));
        Ok(())
    }));
}

/// Opens the connection of the thread.
type Open = Arc<dyn Fn() -> Result<Connection> + Send + Sync>;

/// When the log is moved, and the thread that does it.
pub(crate) struct Checkpoints {
    open: Open,
    /// The pages in the log after the last commit, and when it was moved last.
    pages: AtomicI32,
    moved_at: AtomicI32,
    phase: Arc<Phase>,
    worker: Mutex<Worker>,
}

/// Whose turn it is. Two that move the log at once are in each other's way.
#[derive(Default)]
struct Phase {
    turn: Mutex<Turn>,
    changed: Condvar,
}

#[derive(Clone, Copy, PartialEq, Eq, Default)]
enum Turn {
    #[default]
    Nobody,
    Worker,
    /// To move the rest.
    Writer,
}

impl Phase {
    fn lock(&self) -> MutexGuard<'_, Turn> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, turn: Turn) {
        *self.lock() = turn;
        self.changed.notify_all();
    }
}

enum Worker {
    /// Most stores are closed before their log is long.
    NotYet,
    Runs(SyncSender<()>, JoinHandle<()>),
    Stopped,
}

impl Checkpoints {
    pub(crate) fn new(open: impl Fn() -> Result<Connection> + Send + Sync + 'static) -> Self {
        Self {
            open: Arc::new(open),
            pages: AtomicI32::new(0),
            moved_at: AtomicI32::new(0),
            phase: Arc::default(),
            worker: Mutex::new(Worker::NotYet),
        }
    }

    /// After a commit on this thread: wakes the worker if the log has become long.
    pub(super) fn note(&self) {
        // A commit that wrote nothing tells nothing.
        let Some(pages) = PAGES_IN_LOG.take() else { return };
        self.pages.store(pages, Ordering::Relaxed);
        let moved_at = self.moved_at.load(Ordering::Relaxed);
        if pages < moved_at {
            // It began anew.
            self.moved_at.store(0, Ordering::Relaxed);
        } else if pages >= moved_at.saturating_add(PAGES) && *self.phase.lock() == Turn::Nobody {
            self.phase.set(Turn::Worker);
            self.moved_at.store(pages, Ordering::Relaxed);
            self.wake();
        }
    }

    fn wake(&self) {
        let mut worker = self.worker.lock().unwrap_or_else(PoisonError::into_inner);
        *worker = match std::mem::replace(&mut *worker, Worker::Stopped) {
            Worker::NotYet => self.start(),
            other => other,
        };
        match &*worker {
            Worker::Runs(sender, _) if sender.try_send(()).is_ok() => {}
            // No thread could be started, and none is needed to close.
            _ => self.phase.set(Turn::Writer),
        }
    }

    fn start(&self) -> Worker {
        let (sender, receiver) = sync_channel(1);
        let (open, phase) = (Arc::clone(&self.open), Arc::clone(&self.phase));
        let name = "tenantry-checkpoint".to_owned();
        match std::thread::Builder::new().name(name).spawn(move || work(&open, &receiver, &phase)) {
            Ok(handle) => Worker::Runs(sender, handle),
            Err(error) => {
                tracing::warn!(%error, "no thread for checkpoints: the writer makes them itself");
                Worker::Stopped
            }
        }
    }

    /// Before a transaction: moves what the worker could not.
    pub(super) fn finish(&self, connection: &Connection) {
        {
            let mut turn = self.phase.lock();
            if *turn == Turn::Worker && self.pages.load(Ordering::Relaxed) >= PAGES_MAX {
                let changed = &self.phase.changed;
                let waited = changed.wait_timeout_while(turn, WAIT_MAX, |turn| *turn == Turn::Worker);
                turn = waited.unwrap_or_else(PoisonError::into_inner).0;
            }
            if *turn != Turn::Writer {
                return;
            }
            *turn = Turn::Nobody;
        }
        if let Err(error) = checkpoint(connection) {
            tracing::warn!(%error, "a checkpoint failed");
        }
    }

    /// Ends the worker.
    pub(super) fn stop(&self) {
        self.end(Worker::Stopped);
    }

    /// Ends the worker and closes its connection; another one takes its place once there is something to do. Nobody
    /// commits meanwhile.
    #[cfg(feature = "sqlcipher")]
    pub(super) fn rest(&self) {
        self.end(Worker::NotYet);
        self.phase.set(Turn::Nobody);
    }

    fn end(&self, then: Worker) {
        let worker =
            std::mem::replace(&mut *self.worker.lock().unwrap_or_else(PoisonError::into_inner), then);
        if let Worker::Runs(sender, handle) = worker {
            drop(sender);
            // It catches nothing that it could panic with, and a panic there ends only itself.
            let _ = handle.join();
        }
    }
}

fn work(open: &Open, asked: &Receiver<()>, phase: &Phase) {
    let connection = open()
        .inspect_err(
            |error| tracing::warn!(%error, "no connection for checkpoints: the writer makes them itself"),
        )
        .ok();
    while asked.recv().is_ok() {
        phase.set(match connection.as_ref().map(move_most) {
            Some(Ok(false)) => Turn::Nobody,
            Some(Ok(true)) | None => Turn::Writer,
            Some(Err(error)) => {
                tracing::warn!(%error, "a checkpoint in the background failed");
                Turn::Writer
            }
        });
    }
}

/// Passes over the log; over a long one until little is left, or as much as before. Whether it is
/// long.
fn move_most(connection: &Connection) -> Result<bool> {
    let (mut moved, mut gained) = (0, i64::MAX);
    for _ in 0..PASSES {
        let (pages, all) = checkpoint(connection)?;
        if pages < PAGES_LONG {
            return Ok(false);
        }
        let before = std::mem::replace(&mut gained, pages - moved);
        if !all || gained <= REST || gained > before / 4 * 3 {
            break;
        }
        moved = pages;
    }
    Ok(true)
}

/// Moves what no reader still needs, without waiting for anybody: the pages in the log, and whether
/// all of them are moved now. <https://sqlite.org/pragma.html#pragma_wal_checkpoint>
fn checkpoint(connection: &Connection) -> Result<(i64, bool)> {
    let mut statement = connection.prepare_cached("PRAGMA wal_checkpoint(PASSIVE)")?;
    Ok(statement.query_row([], |row| {
        let (pages, moved): (i64, i64) = (row.get(1)?, row.get(2)?);
        Ok((pages, pages == moved))
    })?)
}
