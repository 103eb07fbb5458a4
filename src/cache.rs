//! Rows in memory, as they were last read by id, kept apart by tenant.
//!
//! A hit must be what SQLite would answer in that moment, whatever readers and writers do meanwhile:
//!
//! - Before a commit, the writer marks every tenant whose rows it changes, and takes those rows out.
//!   While the mark stands, lookups of that tenant go to SQLite and bring nothing back.
//! - A lookup that misses notes the tenant's generation before it reads, and the row comes in only
//!   if that generation still stands and no mark does: so the row read is the newest.
//!
//! Marks and generations are kept for each part of the records that has a lock of its own.
//!
//! Nothing is ever kept of records that are not there.

use std::sync::{Arc, PoisonError};

use hashlink::{LinkedHashMap, LruCache};
use rusqlite::Row;
use rusqlite::types::Value as SqlValue;
use uuid::Uuid;

use crate::error::Result;
use crate::identity::TenantKey;
use crate::monitor::CacheStats;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{Mutex, MutexGuard};

/// Locks, each for a part of the records.
const SHARDS: usize = 16;
/// What a row takes beside its values: keys, links, pointers.
const OVERHEAD: usize = 160;

/// A row as it came from SQLite.
pub(crate) type CachedRow = Arc<[SqlValue]>;

/// An entity and a record's id.
type Key = (i64, Uuid);

pub(crate) struct Cache {
    shards: [Mutex<Shard>; SHARDS],
    /// Bytes that a shard may hold, and one tenant in it.
    shard_max: usize,
    tenant_max: usize,
    hits: AtomicU64,
    misses: AtomicU64,
}

#[derive(Default)]
struct Shard {
    /// The least recently used first.
    tenants: LinkedHashMap<TenantKey, Tenant>,
    bytes: usize,
    /// Never the same for two states of a tenant.
    generation: u64,
}

struct Tenant {
    rows: LruCache<Key, CachedRow>,
    bytes: usize,
    generation: u64,
    /// Whether a commit that changes its rows is under way.
    marked: bool,
}

/// What a lookup finds.
pub(crate) enum Lookup {
    Hit(CachedRow),
    /// Read the row, and give it back with this.
    Miss(Ticket),
    /// Its tenant is about to change.
    Unknown,
}

/// The leave to bring in a row, while the tenant's generation stands.
pub(crate) struct Ticket {
    tenant: TenantKey,
    key: Key,
    generation: u64,
}

impl Cache {
    /// At most so many bytes; one tenant has at most half of them.
    pub(crate) fn new(bytes: usize) -> Self {
        Self {
            shards: std::array::from_fn(|_| Mutex::default()),
            shard_max: bytes / SHARDS,
            tenant_max: bytes / SHARDS / 2,
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
        }
    }

    fn shard(&self, tenant: TenantKey, id: Uuid) -> MutexGuard<'_, Shard> {
        // The end of an id is random.
        let shard = (u128::from(tenant.get().unsigned_abs()) ^ id.as_u128()) % SHARDS as u128;
        let shard = &self.shards[usize::try_from(shard).unwrap_or(0)];
        // Nothing that can panic runs under the lock.
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn look(&self, tenant: TenantKey, entity: i64, id: Uuid) -> Lookup {
        let key = (entity, id);
        let mut shard = self.shard(tenant, id);
        if let Some(known) = shard.tenants.to_back(&tenant) {
            if known.marked {
                return Lookup::Unknown;
            }
            if let Some(row) = known.rows.get(&key) {
                self.hits.fetch_add(1, Ordering::Relaxed);
                return Lookup::Hit(Arc::clone(row));
            }
        }
        self.misses.fetch_add(1, Ordering::Relaxed);
        let generation = shard.enter(tenant).generation;
        Lookup::Miss(Ticket { tenant, key, generation })
    }

    /// Brings in a row that was read after the lookup missed it.
    pub(crate) fn fill(&self, ticket: Ticket, row: CachedRow) {
        let size = size_of_row(&row);
        let mut shard = self.shard(ticket.tenant, ticket.key.1);
        let Some(tenant) = shard.tenants.get_mut(&ticket.tenant) else { return };
        if size > self.tenant_max || tenant.marked || tenant.generation != ticket.generation {
            return;
        }
        let mut freed = tenant.rows.insert(ticket.key, row).map_or(0, |former| size_of_row(&former));
        tenant.bytes += size;
        tenant.bytes -= freed;
        while tenant.bytes > self.tenant_max {
            let Some((_, oldest)) = tenant.rows.remove_lru() else { break };
            tenant.bytes -= size_of_row(&oldest);
            freed += size_of_row(&oldest);
        }
        shard.bytes += size;
        shard.bytes -= freed;
        shard.shrink(self.shard_max);
    }

    /// Before a commit that changes these rows. [`settle`](Self::settle) must follow.
    pub(crate) fn mark(&self, changed: &[(TenantKey, i64, Uuid)]) {
        for (tenant, entity, id) in changed {
            let mut shard = self.shard(*tenant, *id);
            shard.generation += 1;
            let generation = shard.generation;
            let known = shard.enter(*tenant);
            known.generation = generation;
            known.marked = true;
            let freed = known.rows.remove(&(*entity, *id)).map_or(0, |row| size_of_row(&row));
            known.bytes -= freed;
            shard.bytes -= freed;
        }
    }

    /// After the commit, or after it failed.
    pub(crate) fn settle(&self, changed: &[(TenantKey, i64, Uuid)]) {
        for (tenant, _, id) in changed {
            let mut shard = self.shard(*tenant, *id);
            let Some(known) = shard.tenants.get_mut(tenant) else { continue };
            known.marked = false;
            if known.rows.is_empty() {
                // Tickets for it are worth nothing any more: the next entry has another generation.
                shard.tenants.remove(tenant);
            }
        }
    }

    /// Takes out all rows of a tenant that nobody reaches any more.
    pub(crate) fn forget(&self, tenant: TenantKey) {
        for shard in &self.shards {
            let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(former) = shard.tenants.remove(&tenant) {
                shard.bytes -= former.bytes;
            }
        }
    }

    pub(crate) fn stats(&self) -> CacheStats {
        let shards = self.shards.iter().map(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner));
        let (rows, bytes) = shards.fold((0, 0), |(rows, bytes), shard| {
            (
                rows + shard.tenants.values().map(|tenant| tenant.rows.len()).sum::<usize>(),
                bytes + shard.bytes,
            )
        });
        CacheStats {
            rows,
            bytes,
            hits: self.hits.load(Ordering::Relaxed),
            misses: self.misses.load(Ordering::Relaxed),
        }
    }
}

impl Shard {
    /// The tenant's place, made if there is none.
    fn enter(&mut self, tenant: TenantKey) -> &mut Tenant {
        let Self { tenants, generation, .. } = self;
        tenants.entry(tenant).or_insert_with(|| {
            *generation += 1;
            Tenant { rows: LruCache::new_unbounded(), bytes: 0, generation: *generation, marked: false }
        })
    }

    /// Forgets rows, of the tenant that was used least recently first.
    fn shrink(&mut self, max: usize) {
        while self.bytes > max {
            let Some((&key, oldest)) = self.tenants.iter_mut().find(|(_, tenant)| !tenant.rows.is_empty())
            else {
                return;
            };
            let Some((_, row)) = oldest.rows.remove_lru() else { return };
            let size = size_of_row(&row);
            oldest.bytes -= size;
            self.bytes -= size;
            if oldest.rows.is_empty() && !oldest.marked {
                self.tenants.remove(&key);
            }
        }
        // Places of tenants that only ever missed would add up.
        while self.tenants.len() > max / OVERHEAD + 1 {
            match self.tenants.iter().find(|(_, tenant)| !tenant.marked).map(|(key, _)| *key) {
                Some(key) => {
                    if let Some(tenant) = self.tenants.remove(&key) {
                        self.bytes -= tenant.bytes;
                    }
                }
                None => return,
            }
        }
    }
}

fn size_of_row(row: &CachedRow) -> usize {
    let values = row.iter().map(|value| match value {
        SqlValue::Text(text) => text.capacity(),
        SqlValue::Blob(bytes) => bytes.capacity(),
        SqlValue::Null | SqlValue::Integer(_) | SqlValue::Real(_) => 0,
    });
    OVERHEAD + row.len() * size_of::<SqlValue>() + values.sum::<usize>()
}

/// All columns of a row.
pub(crate) fn keep<C: FromIterator<SqlValue>>(row: &Row<'_>) -> Result<C> {
    let columns = row.as_ref().column_count();
    Ok((0..columns).map(|column| row.get(column)).collect::<rusqlite::Result<_>>()?)
}

#[cfg(all(test, shuttle))]
mod schedules;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(super) fn tenant(key: i64) -> TenantKey {
        TenantKey::from_stored(key).unwrap()
    }

    pub(super) fn row(version: i64, length: usize) -> CachedRow {
        Arc::from([SqlValue::Integer(version), SqlValue::Text("x".repeat(length))])
    }

    /// All of one part, so that they meet.
    pub(super) fn record(id: u128) -> Uuid {
        Uuid::from_u128(id * SHARDS as u128)
    }

    pub(super) fn version(row: &CachedRow) -> i64 {
        match row[0] {
            SqlValue::Integer(version) => version,
            _ => unreachable!(),
        }
    }

    #[test]
    fn a_row_that_was_read_before_a_commit_stays_out_after_it() {
        let cache = Cache::new(1 << 20);
        let (ada, id) = (tenant(1), record(1));
        let Lookup::Miss(early) = cache.look(ada, 1, id) else { panic!("nothing was kept") };
        cache.mark(&[(ada, 1, id)]);
        assert!(matches!(cache.look(ada, 1, id), Lookup::Unknown));
        cache.settle(&[(ada, 1, id)]);
        // Somebody else brings the tenant's place back.
        let Lookup::Miss(late) = cache.look(ada, 1, id) else { panic!("nothing was kept") };
        cache.fill(early, row(1, 10));
        assert!(matches!(cache.look(ada, 1, id), Lookup::Miss(_)));
        cache.fill(late, row(2, 10));
        assert!(matches!(cache.look(ada, 1, id), Lookup::Hit(row) if version(&row) == 2));
    }

    /// What readers and one writer do, step by step, in any order.
    #[derive(Debug, Clone)]
    enum Step {
        Look {
            reader: usize,
            tenant: i64,
            id: u128,
        },
        /// The reader's snapshot of the row, after its lookup.
        Read {
            reader: usize,
        },
        Fill {
            reader: usize,
        },
        Mark {
            tenant: i64,
            id: u128,
        },
        Commit,
        Fail,
        Settle,
    }

    fn step() -> impl Strategy<Value = Step> {
        let reader = 0..3_usize;
        prop_oneof![
            4 => (reader.clone(), 1..3_i64, 0..3_u128).prop_map(|(reader, tenant, id)| Step::Look { reader, tenant, id }),
            3 => reader.clone().prop_map(|reader| Step::Read { reader }),
            3 => reader.prop_map(|reader| Step::Fill { reader }),
            2 => (1..3_i64, 0..3_u128).prop_map(|(tenant, id)| Step::Mark { tenant, id }),
            2 => Just(Step::Commit),
            1 => Just(Step::Fail),
            2 => Just(Step::Settle),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, cases: 2_000, ..ProptestConfig::default() })]
        #[test]
        fn a_hit_is_what_the_database_holds(steps in proptest::collection::vec(step(), 1..120), max in 0..4_usize) {
            let cache = Cache::new(max * 16 * 400);
            let mut database: std::collections::HashMap<(i64, u128), i64> = Default::default();
            // A lookup that missed, of which row, and what was read then.
            type Missed = (Ticket, (i64, u128), Option<i64>);
            let mut readers: [Option<Missed>; 3] = [None, None, None];
            let mut writing: Option<(i64, u128, bool)> = None;
            for step in steps {
                match step {
                    Step::Look { reader, tenant: t, id } => match cache.look(tenant(t), 1, record(id)) {
                        Lookup::Hit(row) => prop_assert_eq!(version(&row), *database.get(&(t, id)).unwrap_or(&0)),
                        Lookup::Miss(ticket) => readers[reader] = Some((ticket, (t, id), None)),
                        Lookup::Unknown => prop_assert!(writing.is_some_and(|(writes, ..)| writes == t)),
                    },
                    Step::Read { reader } => if let Some((_, key, read @ None)) = &mut readers[reader] {
                        *read = Some(*database.get(key).unwrap_or(&0));
                    },
                    Step::Fill { reader } => if let Some((ticket, key, Some(read))) = readers[reader].take() {
                        cache.fill(ticket, row(read, usize::try_from(key.1).unwrap() * 100));
                    },
                    Step::Mark { tenant: t, id } => if writing.is_none() {
                        cache.mark(&[(tenant(t), 1, record(id))]);
                        writing = Some((t, id, false));
                    },
                    Step::Commit => if let Some((t, id, done @ false)) = &mut writing {
                        *database.entry((*t, *id)).or_insert(0) += 1;
                        *done = true;
                    },
                    Step::Fail => if let Some((_, _, done)) = &mut writing { *done = true; },
                    Step::Settle => if let Some((t, id, true)) = writing {
                        cache.settle(&[(tenant(t), 1, record(id))]);
                        writing = None;
                    },
                }
                let stats = cache.stats();
                prop_assert!(stats.bytes <= max * 16 * 400);
                let held: usize = cache.shards.iter().map(|shard| shard.lock().unwrap().tenants.values()
                    .flat_map(|tenant| tenant.rows.iter()).map(|(_, row)| size_of_row(row)).sum::<usize>()).sum();
                prop_assert_eq!(stats.bytes, held);
            }
        }
    }
}
