//! Moving the write-ahead log into the database file beside the writers: a thread of its own does most of it. It can't finish while others append, and only
//! a log that is moved as a whole begins anew (<https://sqlite.org/wal.html#ckpt>), so the writer
//! itself moves the little that is left, between two transactions.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use rusqlite::Connection;

use crate::error::Result;

/// Pages that the log gains before they are moved: 32 MiB.
const PAGES: i32 = 8_000;

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
type Open = Box<dyn FnOnce(&Path) -> Result<Connection> + Send>;

/// When the log is moved, and the thread that does it.
pub(crate) struct Checkpoints {
    path: PathBuf,
    /// The pages in the log when it was moved last.
    moved_at: AtomicI32,
    /// Whether the writer is to move the rest.
    unfinished: Arc<AtomicBool>,
    worker: Mutex<Worker>,
}

enum Worker {
    /// Most stores are closed before their log is long.
    NotYet(Open),
    Runs(SyncSender<()>, JoinHandle<()>),
    Stopped,
}

impl Checkpoints {
    pub(crate) fn new(path: &Path, open: impl FnOnce(&Path) -> Result<Connection> + Send + 'static) -> Self {
        Self {
            path: path.to_owned(),
            moved_at: AtomicI32::new(0),
            unfinished: Arc::default(),
            worker: Mutex::new(Worker::NotYet(Box::new(open))),
        }
    }

    /// After a commit on this thread: wakes the worker if the log has become long.
    pub(super) fn note(&self) {
        // A commit that wrote nothing tells nothing.
        let Some(pages) = PAGES_IN_LOG.take() else { return };
        let moved_at = self.moved_at.load(Ordering::Relaxed);
        if pages < moved_at {
            // It began anew.
            self.moved_at.store(0, Ordering::Relaxed);
        } else if pages >= moved_at.saturating_add(PAGES) {
            self.moved_at.store(pages, Ordering::Relaxed);
            self.wake();
        }
    }

    fn wake(&self) {
        let mut worker = self.worker.lock().unwrap_or_else(PoisonError::into_inner);
        *worker = match std::mem::replace(&mut *worker, Worker::Stopped) {
            Worker::NotYet(open) => self.start(open),
            other => other,
        };
        match &*worker {
            // A full channel means that it has been asked already.
            Worker::Runs(sender, _) => drop(sender.try_send(())),
            // No thread could be started, and none is needed to close.
            Worker::NotYet(_) | Worker::Stopped => self.unfinished.store(true, Ordering::Release),
        }
    }

    fn start(&self, open: Open) -> Worker {
        let (sender, receiver) = sync_channel(1);
        let (path, unfinished) = (self.path.clone(), Arc::clone(&self.unfinished));
        let name = "tenantry-checkpoint".to_owned();
        match std::thread::Builder::new().name(name).spawn(move || work(&path, open, &receiver, &unfinished))
        {
            Ok(handle) => Worker::Runs(sender, handle),
            Err(error) => {
                tracing::warn!(%error, "no thread for checkpoints: the writer makes them itself");
                Worker::Stopped
            }
        }
    }

    /// Before a transaction: moves what the worker could not.
    pub(super) fn finish(&self, connection: &Connection) {
        if self.unfinished.swap(false, Ordering::AcqRel)
            && let Err(error) = checkpoint(connection)
        {
            tracing::warn!(%error, "a checkpoint failed");
        }
    }

    /// Ends the worker.
    pub(super) fn stop(&self) {
        let worker = std::mem::replace(
            &mut *self.worker.lock().unwrap_or_else(PoisonError::into_inner),
            Worker::Stopped,
        );
        if let Worker::Runs(sender, handle) = worker {
            drop(sender);
            // It catches nothing that it could panic with, and a panic there ends only itself.
            let _ = handle.join();
        }
    }
}

fn work(path: &Path, open: Open, asked: &Receiver<()>, unfinished: &AtomicBool) {
    let connection = open(path)
        .inspect_err(
            |error| tracing::warn!(%error, "no connection for checkpoints: the writer makes them itself"),
        )
        .ok();
    while asked.recv().is_ok() {
        if let Some(Err(error)) = connection.as_ref().map(checkpoint) {
            tracing::warn!(%error, "a checkpoint in the background failed");
        }
        unfinished.store(true, Ordering::Release);
    }
}

/// Moves what no reader still needs, without waiting for anybody.
/// <https://sqlite.org/pragma.html#pragma_wal_checkpoint>
fn checkpoint(connection: &Connection) -> Result<()> {
    connection.prepare_cached("PRAGMA wal_checkpoint(PASSIVE)")?.query_row([], |_| Ok(()))?;
    Ok(())
}
