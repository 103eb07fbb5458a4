//! One writing process for each store, and one writing `Store` for each process.

use std::collections::HashMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::error::{Error, Result};

/// What this process has open, by canonical path.
static OPEN: LazyLock<Mutex<HashMap<PathBuf, Handles>>> = LazyLock::new(Mutex::default);

#[derive(Debug, Default)]
struct Handles {
    writer: bool,
    readers: usize,
    /// How many of them may have SQLite connections by now.
    connected: usize,
}

/// A path that this process has open, and the lock that keeps other writers out.
#[derive(Debug)]
pub(crate) struct Claim {
    path: PathBuf,
    writer: bool,
    lock: Option<File>,
    connected: bool,
}

impl Claim {
    /// For reading; never refused.
    pub(crate) fn reading(path: &Path) -> Self {
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        let handles = open.entry(path.to_owned()).or_default();
        handles.readers += 1;
        Self { path: path.to_owned(), writer: false, lock: None, connected: false }
    }

    /// For writing: refused at once if this process writes it already, after `timeout` if another
    /// one does.
    pub(crate) fn writing(path: &Path, timeout: Duration) -> Result<Self> {
        let mut claim = {
            let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
            let handles = open.entry(path.to_owned()).or_default();
            if handles.writer {
                return Err(Error::Locked {
                    path: path.to_owned(),
                    holder: "in this process; clone that `Store` instead of opening it twice",
                });
            }
            handles.writer = true;
            Self { path: path.to_owned(), writer: true, lock: None, connected: false }
        };
        claim.lock = Some(lock_file(path, timeout)?);
        Ok(claim)
    }

    /// Looks at the file before SQLite does, unless this process has it open already: closing a
    /// plain handle would drop SQLite's POSIX locks (<https://sqlite.org/howtocorrupt.html>,
    /// section 2.2). No other thread opens it meanwhile. Connections come after this.
    pub(crate) fn inspect(&mut self, inspect: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        let handles = open.entry(self.path.clone()).or_default();
        if handles.connected == 0 {
            inspect(&self.path)?;
        }
        handles.connected += 1;
        self.connected = true;
        Ok(())
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        // The lock first: whoever finds the path free can take it.
        self.lock = None;
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(handles) = open.get_mut(&self.path) {
            handles.connected -= usize::from(self.connected);
            if self.writer {
                handles.writer = false;
            } else {
                handles.readers -= 1;
            }
            if !handles.writer && handles.readers == 0 {
                open.remove(&self.path);
            }
        }
    }
}

/// Locks the file beside the store, never the store itself: SQLite locks that.
fn lock_file(path: &Path, timeout: Duration) -> Result<File> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let lock_path = PathBuf::from(name);
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(&lock_path).map_err(|error| match error.kind() {
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => Error::ReadOnly {
            reason: format!(
                "{} can not be created, so the store can not be written: allow writing to its folder, or open it with `Builder::read_only`",
                lock_path.display()
            ),
        },
        _ => Error::io(lock_path.display().to_string(), error),
    })?;
    let deadline = Instant::now() + timeout;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => {
                thread::sleep(Duration::from_millis(10))
            }
            Err(TryLockError::WouldBlock) => {
                return Err(Error::Locked {
                    path: path.to_owned(),
                    holder: "by another process; close it there, wait longer with `Builder::open_timeout`, or open it with `Builder::read_only`",
                });
            }
            Err(TryLockError::Error(error)) => return Err(Error::io(lock_path.display().to_string(), error)),
        }
    }
}
