//! How much one statement may take, and what stops it.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use rusqlite::limits::Limit;

use super::memory;
use crate::error::{Error, Result};

/// Steps of SQLite's machine between two looks at the clock: some 10 microseconds.
const STEPS: i32 = 1_000;

/// What one statement of a tenant's own SQL may take. Given to
/// [`Builder::sql_limits`](crate::Builder::sql_limits) for all sessions, or to
/// [`Session::with_sql_limits`](crate::Session::with_sql_limits) for one.
///
/// A statement that reaches one ends with [`Error::LimitExceeded`](crate::Error::LimitExceeded), which names it.
///
/// | limit | default | what it bounds |
/// |---|---:|---|
/// | `run_time` | 5 s | from preparing the statement to the last row, the time that the caller takes for a row included |
/// | `rows` | 1,000,000 | rows of the result |
/// | `result_bytes` | 64 MiB | values of the result: texts and bytes by their length, others 8 |
/// | `memory` | 256 MiB | what SQLite takes in this process while the statement runs |
/// | `statement_bytes` | 64 KiB | the statement's text |
/// | `expression_depth` | 100 | how deep expressions nest |
/// | `value_bytes` | 256 KiB | any text, bytes, or stored row that the statement touches |
///
/// A statement that SQLite would make too large of a short text, with common table expressions or columns of subqueries
/// that are named again and again, ends with the limit `statement size`, which is fixed.
///
/// ```
/// use std::time::Duration;
/// use tenantry::{SqlLimits, Store};
/// # fn main() -> tenantry::Result<()> {
/// let limits = SqlLimits::new().run_time(Duration::from_millis(200)).rows(10_000);
/// let store = Store::builder().sql_limits(limits).temporary()?;
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub struct SqlLimits {
    run_time: Duration,
    pub(super) rows: u64,
    pub(super) result_bytes: u64,
    memory: u64,
    statement_bytes: u32,
    expression_depth: u32,
    value_bytes: u32,
}

impl Default for SqlLimits {
    fn default() -> Self {
        Self {
            run_time: Duration::from_secs(5),
            rows: 1_000_000,
            result_bytes: 64 << 20,
            memory: 256 << 20,
            statement_bytes: 64 << 10,
            expression_depth: 100,
            value_bytes: 256 << 10,
        }
    }
}

impl SqlLimits {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// How long a statement may run. SQLite looks at the clock between two steps of its machine, and one step, such
    /// as a search in a long text (`instr`, `replace`), can take some tenths of a second at the default `value_bytes`.
    pub fn run_time(mut self, time: Duration) -> Self {
        self.run_time = time;
        self
    }

    /// How many rows a result may have.
    pub fn rows(mut self, rows: u64) -> Self {
        self.rows = rows;
        self
    }

    /// How many bytes the values of a result may have.
    pub fn result_bytes(mut self, bytes: u64) -> Self {
        self.result_bytes = bytes;
        self
    }

    /// How much memory SQLite may take while a statement runs, for sorting above all. SQLite counts the whole
    /// process's, so what others take meanwhile counts too: leave room for them.
    pub fn memory(mut self, bytes: u64) -> Self {
        self.memory = bytes;
        self
    }

    /// How long a statement may be, in bytes; 1 MiB at most.
    pub fn statement_bytes(mut self, bytes: u32) -> Self {
        self.statement_bytes = bytes.min(1 << 20);
        self
    }

    /// How deep expressions may nest; 1,000 at most, which is SQLite's own limit.
    pub fn expression_depth(mut self, depth: u32) -> Self {
        self.expression_depth = depth.clamp(1, 1_000);
        self
    }

    /// How long any one value may be that a statement makes or reads, and any stored row of a table that it reads;
    /// from 1 KiB to 1 GB. What SQLite does within one step, which nothing can interrupt, takes longer with longer
    /// values.
    pub fn value_bytes(mut self, bytes: u32) -> Self {
        self.value_bytes = bytes.clamp(1 << 10, 1_000_000_000);
        self
    }

    /// What a prepared statement depends on; connections are told apart by it.
    pub(super) fn fixed(&self) -> FixedLimits {
        FixedLimits { expression_depth: self.expression_depth, value_bytes: self.value_bytes }
    }

    pub(super) fn check_text(&self, text: &str) -> Result<()> {
        if text.len() <= self.statement_bytes as usize {
            return Ok(());
        }
        Err(exceeded(
            "statement length",
            format!("the statement has {} bytes and may have {}", text.len(), self.statement_bytes),
        ))
    }

    pub(super) fn describe_depth(&self) -> Error {
        exceeded(
            "expression depth",
            format!("an expression nests deeper than {}; split it up", self.expression_depth),
        )
    }

    pub(super) fn describe_size(&self) -> Error {
        exceeded(
            "statement size",
            "the statement is too large once SQLite has put its common table expressions and subqueries in their places; \
             name them less often"
                .to_owned(),
        )
    }

    pub(super) fn describe_value(&self) -> Error {
        exceeded(
            "value size",
            format!(
                "a value or a stored row is longer than {} bytes; `SqlLimits::value_bytes` raises it",
                self.value_bytes
            ),
        )
    }

    pub(super) fn describe_rows(&self) -> Error {
        exceeded("rows", format!("the result has more than {} rows; add a LIMIT or stream less", self.rows))
    }

    pub(super) fn describe_bytes(&self) -> Error {
        exceeded(
            "result bytes",
            format!("the result has more than {} bytes; select fewer columns or rows", self.result_bytes),
        )
    }
}

fn exceeded(limit: &'static str, problem: String) -> Error {
    Error::LimitExceeded { limit, problem }
}

/// The limits that hold when a statement is prepared, so that one that is kept obeys them too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FixedLimits {
    expression_depth: u32,
    value_bytes: u32,
}

impl FixedLimits {
    /// <https://sqlite.org/limits.html>, and why each is lower than it could be: what a statement of one tenant can
    /// make the process do before anything asks the clock.
    pub(super) fn apply(self, connection: &Connection) -> rusqlite::Result<()> {
        let number = |value: u32| i32::try_from(value).unwrap_or(i32::MAX);
        for (limit, value) in [
            (Limit::SQLITE_LIMIT_LENGTH, number(self.value_bytes)),
            // The text's own check says more; the plan is asked for with a longer text.
            (Limit::SQLITE_LIMIT_SQL_LENGTH, 2 << 20),
            (Limit::SQLITE_LIMIT_COLUMN, 500),
            (Limit::SQLITE_LIMIT_EXPR_DEPTH, number(self.expression_depth)),
            (Limit::SQLITE_LIMIT_COMPOUND_SELECT, 100),
            (Limit::SQLITE_LIMIT_VDBE_OP, 100_000),
            (Limit::SQLITE_LIMIT_FUNCTION_ARG, 100),
            (Limit::SQLITE_LIMIT_ATTACHED, 0),
            // Matching takes time to the power of the wildcards.
            (Limit::SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 100),
            (Limit::SQLITE_LIMIT_VARIABLE_NUMBER, 1_000),
            (Limit::SQLITE_LIMIT_TRIGGER_DEPTH, 1),
            (Limit::SQLITE_LIMIT_WORKER_THREADS, 0),
        ] {
            connection.set_limit(limit, value)?;
        }
        Ok(())
    }
}

/// Stops a statement from another thread.
///
/// ```
/// use tenantry::{Error, SqlCancel, Store, UserId};
/// # fn main() -> tenantry::Result<()> {
/// # let store = Store::temporary()?;
/// # let session = store.session(&store.users().create(&UserId::new("ada")?)?)?;
/// let cancel = SqlCancel::new();
/// let handle = cancel.clone(); // for a button, or another thread
/// handle.cancel();
/// let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";
/// assert!(matches!(session.sql(endless).cancel_with(&cancel).rows(), Err(Error::Cancelled)));
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, Default)]
pub struct SqlCancel(Arc<AtomicBool>);

impl SqlCancel {
    /// One that has not been cancelled.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Ends every statement that was given this, now and later, with [`Error::Cancelled`](crate::Error::Cancelled).
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Whether it has been cancelled.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// Why a statement was stopped.
const RUNS: u8 = 0;
const CANCELLED: u8 = 1;
const RUN_TIME: u8 = 2;
const MEMORY: u8 = 3;

/// What SQLite asks while a statement runs: whether it may go on. Made once for a connection, since most statements
/// are over before it is asked.
#[derive(Default)]
pub(super) struct Meter {
    run_time: AtomicU64,
    memory: AtomicU64,
    cancel: Mutex<Option<SqlCancel>>,
    has_cancel: AtomicBool,
    /// Since the first look: when the statement has to end, and how much memory is too much.
    bounds: Mutex<Option<(Option<Instant>, u64)>>,
    stopped: AtomicU8,
}

impl Meter {
    /// Lets SQLite ask.
    pub(super) fn install(connection: &Connection) -> rusqlite::Result<Arc<Self>> {
        let meter = Arc::new(Self::default());
        let asked = Arc::clone(&meter);
        connection.progress_handler(STEPS, Some(move || asked.must_stop()))?;
        Ok(meter)
    }

    /// Whether it is time to stop.
    pub(super) fn must_stop(&self) -> bool {
        let mut bounds = self.bounds.lock().unwrap_or_else(PoisonError::into_inner);
        let (until, memory_max) = *bounds.get_or_insert_with(|| {
            let run_time = Duration::from_nanos(self.run_time.load(Ordering::Relaxed));
            let memory_max = memory::used().saturating_add(self.memory.load(Ordering::Relaxed));
            (Instant::now().checked_add(run_time), memory_max)
        });
        let why = if self.is_cancelled() {
            CANCELLED
        } else if until.is_some_and(|until| Instant::now() >= until) {
            RUN_TIME
        } else if memory::used() > memory_max {
            MEMORY
        } else {
            return false;
        };
        self.stopped.store(why, Ordering::Relaxed);
        true
    }

    fn is_cancelled(&self) -> bool {
        let cancel = || self.cancel.lock().unwrap_or_else(PoisonError::into_inner);
        self.has_cancel.load(Ordering::Relaxed) && cancel().as_ref().is_some_and(SqlCancel::is_cancelled)
    }
}

impl Meter {
    /// Watches one statement from here to the drop, also while it is being prepared, since SQLite asks then too.
    pub(super) fn watch(&self, limits: &SqlLimits, cancel: Option<&SqlCancel>) -> Result<Watch<'_>> {
        if cancel.is_some_and(SqlCancel::is_cancelled) {
            return Err(Error::Cancelled);
        }
        self.run_time.store(u64::try_from(limits.run_time.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
        self.memory.store(limits.memory, Ordering::Relaxed);
        if let Some(cancel) = cancel {
            *self.cancel.lock().unwrap_or_else(PoisonError::into_inner) = Some(cancel.clone());
            self.has_cancel.store(true, Ordering::Relaxed);
        }
        *self.bounds.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.stopped.store(RUNS, Ordering::Relaxed);
        Ok(Watch(self))
    }

    /// Why the statement was stopped, if it was.
    pub(super) fn why(&self, limits: &SqlLimits) -> Option<Error> {
        match self.stopped.load(Ordering::Relaxed) {
            CANCELLED => Some(Error::Cancelled),
            RUN_TIME => {
                Some(exceeded("run time", format!("the statement ran longer than {:?}", limits.run_time)))
            }
            MEMORY => Some(exceeded(
                "memory",
                format!("the statement took more than {} bytes; sort or group fewer rows", limits.memory),
            )),
            _ => None,
        }
    }
}

/// A statement that is watched.
pub(super) struct Watch<'m>(&'m Meter);

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        if self.0.has_cancel.swap(false, Ordering::Relaxed) {
            self.0.cancel.lock().unwrap_or_else(PoisonError::into_inner).take();
        }
    }
}
