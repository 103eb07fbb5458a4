//! What the store does, and for whom: counts and latencies of operations, spans, slow operations.
//! Off unless [`Builder::monitor`](crate::Builder::monitor) asks for it; what the writer and the
//! readers count of themselves is always there.

mod measures;
pub(crate) mod noted;
mod stats;

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use sha2::Digest;
use tracing::field::Empty;
use uuid::Uuid;

use measures::Measures;
pub(crate) use measures::{Counter, summary_of_sizes, summary_of_times};
pub use stats::{
    CacheStats, CommitStats, OperationStats, PartitionStats, ReaderStats, Stats, Summary, TenantStats,
};

use crate::error::Result;
use crate::identity::TenantKey;
use crate::scope::Scope;

/// Slow operations that are kept.
const SLOW_MAX: usize = 256;

/// What is watched; given to [`Builder::monitor`](crate::Builder::monitor).
///
/// ```
/// use std::time::Duration;
/// use tenantry::{Monitoring, Store};
/// # fn main() -> tenantry::Result<()> {
/// let store = Store::builder().monitor(Monitoring::new().slower_than(Duration::from_millis(50))).temporary()?;
/// assert_eq!(store.stats()?.writes.count, 0);
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct Monitoring {
    slow: Option<Duration>,
    names: bool,
}

impl Monitoring {
    /// Counts and latencies, of the store and of each tenant.
    pub fn new() -> Self {
        Self::default()
    }

    /// Also keeps the last operations that took longer, and tells them to `tracing` as warnings.
    pub fn slower_than(mut self, time: Duration) -> Self {
        self.slow = Some(time);
        self
    }

    /// Names tenants by their ids in spans and slow operations. Without it they appear as a hash
    /// that is the same within one store and tells nothing without its file.
    pub fn tenant_names(mut self) -> Self {
        self.names = true;
        self
    }
}

/// What an operation does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Operation {
    /// `insert`, `insert_at`, `insert_many`.
    Insert,
    /// `update`, `patch`, and changes of many by a query.
    Update,
    /// `upsert`, `upsert_on`.
    Upsert,
    /// `delete`, also of many by a query.
    Delete,
    /// `get`, `find`, `get_many`, `exists` of an id.
    Get,
    /// `list`, `page`, `first`, `one`, a batch of `iter`, and joins.
    List,
    /// `count`, `exists` of a query, sums and groups.
    Count,
    /// A statement of a tenant's own SQL, from the wait for a connection to the last row.
    Sql,
    /// A transaction's closure, from the wait for the writer to the commit. What it does itself is
    /// counted too.
    Transaction,
}

impl Operation {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Insert,
        Self::Update,
        Self::Upsert,
        Self::Delete,
        Self::Get,
        Self::List,
        Self::Count,
        Self::Sql,
        Self::Transaction,
    ];

    /// Its name in spans and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Insert => "insert",
            Self::Update => "update",
            Self::Upsert => "upsert",
            Self::Delete => "delete",
            Self::Get => "get",
            Self::List => "list",
            Self::Count => "count",
            Self::Sql => "sql",
            Self::Transaction => "transaction",
        }
    }

    pub(crate) fn is_read(self) -> bool {
        matches!(self, Self::Get | Self::List | Self::Count | Self::Sql)
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An operation that took longer than [`Monitoring::slower_than`] says.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SlowOperation {
    /// What it did.
    pub operation: Operation,
    /// The entity; empty for a transaction and for SQL.
    pub entity: String,
    /// For whom: a hash, or the ids with [`Monitoring::tenant_names`].
    pub tenant: String,
    /// How long it took, waiting included.
    pub time: Duration,
    /// Whether it failed.
    pub failed: bool,
}

/// Watches the operations of a store.
pub(crate) struct Monitor {
    device: Uuid,
    monitoring: Option<Monitoring>,
    measures: Measures,
    slow: Mutex<VecDeque<SlowOperation>>,
}

impl Monitor {
    pub(crate) fn new(device: Uuid, monitoring: Option<Monitoring>) -> Self {
        Self { device, monitoring, measures: Measures::default(), slow: Mutex::default() }
    }

    /// Runs an operation and notes how it went. When nobody watches it only runs it.
    #[inline]
    pub(crate) fn observe<R>(
        &self,
        operation: Operation,
        entity: &str,
        scope: &Scope,
        run: impl FnOnce() -> Result<R>,
    ) -> Result<R> {
        if self.monitoring.is_none() && !tracing::enabled!(tracing::Level::DEBUG) {
            return run();
        }
        self.observed(operation, entity, scope, run)
    }

    fn observed<R>(
        &self,
        operation: Operation,
        entity: &str,
        scope: &Scope,
        run: impl FnOnce() -> Result<R>,
    ) -> Result<R> {
        let span = tracing::debug_span!("tenantry", operation = operation.as_str(), entity, tenant = Empty);
        if !span.is_disabled() {
            span.record("tenant", self.name(scope));
        }
        // Of the operation within which this one runs.
        let outer = noted::replace(noted::Noted::default());
        let began = Instant::now();
        let outcome = span.in_scope(run);
        let time = began.elapsed();
        let noted = noted::replace(outer);
        if let Some(monitoring) = &self.monitoring {
            let failed = outcome.is_err();
            let what = measures::Operated { operation, time, failed, noted };
            self.measures.record(scope.lane(), &what);
            emit(operation, entity, time, failed);
            if monitoring.slow.is_some_and(|slow| time > slow) {
                self.note_slow(operation, entity, scope, time, failed);
            }
        }
        outcome
    }

    fn note_slow(&self, operation: Operation, entity: &str, scope: &Scope, time: Duration, failed: bool) {
        let tenant = self.name(scope);
        tracing::warn!(operation = operation.as_str(), entity, tenant, ?time, failed, "a slow operation");
        let mut slow = self.slow.lock().unwrap_or_else(PoisonError::into_inner);
        if slow.len() == SLOW_MAX {
            slow.pop_front();
        }
        slow.push_back(SlowOperation { operation, entity: entity.to_owned(), tenant, time, failed });
    }

    /// How a tenant appears in spans.
    fn name(&self, scope: &Scope) -> String {
        if self.monitoring.as_ref().is_some_and(|monitoring| monitoring.names) {
            return scope.name();
        }
        let hash: [u8; 32] = scope.fingerprint().chain_update(self.device.as_bytes()).finalize().into();
        hash[..8].iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The last slow operations, oldest first.
    pub(crate) fn slow(&self) -> Vec<SlowOperation> {
        self.slow.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// Reads and writes of all tenants.
    pub(crate) fn totals(&self) -> (OperationStats, OperationStats) {
        self.measures.totals()
    }

    /// What one tenant did: all but what it holds.
    pub(crate) fn of(&self, lane: TenantKey) -> TenantStats {
        self.measures.of(lane)
    }
}

/// Tells the `metrics` facade. Tenants are no label there: their number has no bound.
#[cfg(feature = "metrics")]
fn emit(operation: Operation, entity: &str, time: Duration, failed: bool) {
    let outcome = if failed { "error" } else { "ok" };
    metrics::histogram!(
        "tenantry_operation_seconds",
        "operation" => operation.as_str(), "entity" => entity.to_owned(), "outcome" => outcome
    )
    .record(time.as_secs_f64());
}

#[cfg(not(feature = "metrics"))]
fn emit(_: Operation, _: &str, _: Duration, _: bool) {}
