//! Counters and histograms, in memory.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hashlink::LruCache;
use hdrhistogram::Histogram;

use super::Operation;
use super::noted::Noted;
use super::stats::{OperationStats, Summary, TenantStats};
use crate::identity::TenantKey;

/// Locks that recorders share: more than threads that are likely to meet.
const SHARDS: usize = 16;
/// Tenants that are measured by themselves, in each shard.
const TENANTS_MAX: usize = 64;

/// Values and how often they came.
pub(crate) struct Counter(Option<Histogram<u64>>);

impl Default for Counter {
    fn default() -> Self {
        // Two digits; it grows with the largest value. It fails only for more than five digits.
        Self(Histogram::new(2).ok())
    }
}

impl Counter {
    pub(crate) fn record(&mut self, value: u64) {
        if let Some(histogram) = &mut self.0 {
            // A histogram that resizes takes every value.
            let _ = histogram.record(value);
        }
    }

    pub(crate) fn record_time(&mut self, time: Duration) {
        self.record(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    }

    pub(crate) fn add(&mut self, other: &Self) {
        if let (Some(histogram), Some(other)) = (&mut self.0, &other.0) {
            let _ = histogram.add(other);
        }
    }

    fn summary<T: Default>(&self, value: impl Fn(u64) -> T) -> Summary<T> {
        let Some(histogram) = self.0.as_ref().filter(|histogram| !histogram.is_empty()) else {
            return Summary::default();
        };
        let at = |quantile| value(histogram.value_at_quantile(quantile));
        Summary {
            count: histogram.len(),
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            max: value(histogram.max()),
        }
    }
}

pub(crate) fn summary_of_sizes(counter: &Counter) -> Summary<u64> {
    counter.summary(|size| size)
}

pub(crate) fn summary_of_times(counter: &Counter) -> Summary<Duration> {
    counter.summary(Duration::from_nanos)
}

/// What somebody did.
#[derive(Default)]
struct Measure {
    by_operation: [u64; Operation::ALL.len()],
    errors: [u64; 2],
    times: [Counter; 2],
    waits: Counter,
    batches: Counter,
    cached: [u64; 2],
}

/// An operation that has ended.
pub(super) struct Operated {
    pub(super) operation: Operation,
    pub(super) time: Duration,
    pub(super) failed: bool,
    pub(super) noted: Noted,
}

impl Measure {
    fn record(&mut self, what: &Operated) {
        let side = usize::from(what.operation.is_read());
        self.by_operation[what.operation as usize] += 1;
        self.errors[side] += u64::from(what.failed);
        self.times[side].record_time(what.time);
        if let Some(wait) = what.noted.wait {
            self.waits.record_time(wait);
        }
        if let Some(callers) = what.noted.batch {
            self.batches.record(callers);
        }
        if let Some(hit) = what.noted.cached {
            self.cached[usize::from(hit)] += 1;
        }
    }

    fn add(&mut self, other: &Self) {
        for (count, more) in self.by_operation.iter_mut().zip(other.by_operation) {
            *count += more;
        }
        for side in [0, 1] {
            self.errors[side] += other.errors[side];
            self.times[side].add(&other.times[side]);
        }
    }

    /// Reads and writes.
    fn stats(&self) -> (OperationStats, OperationStats) {
        let side = |read: bool| {
            let by_operation = Operation::ALL
                .into_iter()
                .filter(|operation| operation.is_read() == read)
                .map(|operation| (operation, self.by_operation[operation as usize]))
                .filter(|(_, count)| *count > 0)
                .collect();
            let latency = summary_of_times(&self.times[usize::from(read)]);
            OperationStats {
                count: latency.count,
                errors: self.errors[usize::from(read)],
                latency,
                by_operation,
            }
        };
        (side(true), side(false))
    }
}

/// What all tenants did, and each of those that did anything lately.
pub(super) struct Measures([Mutex<Shard>; SHARDS]);

struct Shard {
    total: Measure,
    tenants: LruCache<TenantKey, Measure>,
}

impl Default for Measures {
    fn default() -> Self {
        let shard = || Shard { total: Measure::default(), tenants: LruCache::new(TENANTS_MAX) };
        Self(std::array::from_fn(|_| Mutex::new(shard())))
    }
}

impl Measures {
    fn shard(&self, lane: TenantKey) -> &Mutex<Shard> {
        &self.0[usize::try_from(lane.get()).unwrap_or(0) % SHARDS]
    }

    pub(super) fn record(&self, lane: TenantKey, what: &Operated) {
        let mut shard = self.shard(lane).lock().unwrap_or_else(PoisonError::into_inner);
        shard.total.record(what);
        shard.tenants.entry(lane).or_insert_with(Measure::default).record(what);
    }

    pub(super) fn totals(&self) -> (OperationStats, OperationStats) {
        let mut total = Measure::default();
        for shard in &self.0 {
            total.add(&shard.lock().unwrap_or_else(PoisonError::into_inner).total);
        }
        total.stats()
    }

    /// All but what it holds.
    pub(super) fn of(&self, lane: TenantKey) -> TenantStats {
        let mut shard = self.shard(lane).lock().unwrap_or_else(PoisonError::into_inner);
        let Some(measure) = shard.tenants.get(&lane) else { return TenantStats::default() };
        let (reads, writes) = measure.stats();
        TenantStats {
            reads,
            writes,
            waits: summary_of_times(&measure.waits),
            batches: summary_of_sizes(&measure.batches),
            cache_hits: measure.cached[1],
            cache_misses: measure.cached[0],
            ..TenantStats::default()
        }
    }
}
