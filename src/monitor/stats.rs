//! What `Store::stats` tells.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Operation;

/// How values are distributed. All are 0 where there are none. Percentiles are exact to 1 %.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Summary<T> {
    /// How many values.
    pub count: u64,
    /// Half of the values are at most this.
    pub p50: T,
    /// 90 % are at most this.
    pub p90: T,
    /// 99 % are at most this.
    pub p99: T,
    /// The largest.
    pub max: T,
}

/// Reads, or writes, of the store or of one tenant, since the store was opened.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct OperationStats {
    /// How many there were.
    pub count: u64,
    /// How many of them failed.
    pub errors: u64,
    /// How long they took, waiting included.
    pub latency: Summary<Duration>,
    /// How many there were of each kind.
    pub by_operation: BTreeMap<Operation, u64>,
}

/// What the writer did, since the store was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct CommitStats {
    /// How many callers shared each commit; `count` is the number of commits.
    pub batches: Summary<u64>,
    /// How long callers waited for their turn, those who waited.
    pub waits: Summary<Duration>,
    /// Callers who wait now.
    pub waiting: usize,
    /// Commits that failed, and with them everything that they held.
    pub failures: u64,
    /// Callers who gave up waiting.
    pub timeouts: u64,
}

/// The read connections now, and since the store was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct ReaderStats {
    /// Connections that can be in use at once, of all pools.
    pub size: usize,
    /// Connections in use.
    pub in_use: usize,
    /// Reads that wait for one.
    pub waiting: usize,
    /// Reads that had to wait.
    pub waited: u64,
    /// Reads that gave up waiting.
    pub timeouts: u64,
}

/// The rows in memory now, and since the store was opened. All 0 without
/// [`Builder::cache`](crate::Builder::cache).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct CacheStats {
    /// Rows in memory.
    pub rows: usize,
    /// What they take, keys and links included.
    pub bytes: usize,
    /// Records that were found in memory.
    pub hits: u64,
    /// Records that were not.
    pub misses: u64,
}

/// The partitions of a store; none of a store that is one file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct PartitionStats {
    /// How many there are.
    pub count: usize,
    /// How many of them are open now.
    pub open: usize,
    /// The names of those that could not be read, and whose rows and bytes are not in the sums.
    pub unreadable: Vec<String>,
}

/// What a store holds, and did since it was opened. Made by [`Store::stats`](crate::Store::stats).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Stats {
    /// Users, organizations and members.
    pub tenants: u64,
    /// Rows of all entities.
    pub rows: u64,
    /// What they count: their values and 64 bytes for each row.
    pub bytes: u64,
    /// Reads; 0 without [`Builder::monitor`](crate::Builder::monitor).
    pub reads: OperationStats,
    /// Writes; 0 without [`Builder::monitor`](crate::Builder::monitor).
    pub writes: OperationStats,
    /// What the writer did. Of a store that is open only for reading, nothing.
    pub commits: CommitStats,
    /// The read connections.
    pub readers: ReaderStats,
    /// The rows in memory.
    pub cache: CacheStats,
    /// The files that tenants are spread over, if they are.
    pub partitions: PartitionStats,
}

/// What a user or an organization holds, and did since the store was opened. An organization's
/// includes its members' own records and all of their sessions in it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct TenantStats {
    /// Rows of all entities.
    pub rows: u64,
    /// What they count: their values and 64 bytes for each row.
    pub bytes: u64,
    /// Reads; 0 without [`Builder::monitor`](crate::Builder::monitor), and of tenants that were not
    /// among the last thousand that did anything.
    pub reads: OperationStats,
    /// Writes; 0 in the same cases.
    pub writes: OperationStats,
    /// How long its writes waited for their turn, those that waited; 0 in the same cases.
    pub waits: Summary<Duration>,
    /// How many callers, of all tenants, shared each of its commits; 0 in the same cases.
    pub batches: Summary<u64>,
    /// Records that were found in memory; 0 in the same cases.
    pub cache_hits: u64,
    /// Records that were looked for there and read from the file; 0 in the same cases.
    pub cache_misses: u64,
}
