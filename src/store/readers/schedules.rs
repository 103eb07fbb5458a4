//! The pool in many schedules. That nobody waits for ever, shuttle itself finds.

use std::collections::HashMap;
use std::sync::Mutex;

use super::*;
use crate::store::pool::WAIT_MIN;
use crate::sync::schedules::{explore, thread};

/// With three connections a tenant has two.
const SIZE: u32 = 3;
const SHARE: usize = 2;
const LONG: Duration = Duration::from_secs(10);

fn tenant(key: i64) -> TenantKey {
    TenantKey::from_stored(key).unwrap()
}

/// A database, whatever is in it.
fn database() -> (tempfile::TempDir, Arc<StoreFile>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("any.db");
    Connection::open(&path).unwrap().execute_batch("CREATE TABLE t (x)").unwrap();
    (folder, Arc::new(StoreFile::new(&path, None)))
}

/// The connections of one pool that are in use.
#[derive(Default)]
struct InUse(Mutex<HashMap<TenantKey, usize>>);

impl InUse {
    fn read(&self, readers: &Readers, lane: TenantKey) -> Result<()> {
        let reader = readers.get(lane)?;
        {
            let mut by = self.0.lock().unwrap();
            *by.entry(lane).or_default() += 1;
            assert!(by[&lane] <= SHARE, "{by:?}");
            assert!(by.values().sum::<usize>() <= SIZE as usize, "{by:?}");
        }
        reader.connection()?.query_row("SELECT count(*) FROM t", [], |_| Ok(()))?;
        thread::yield_now();
        *self.0.lock().unwrap().get_mut(&lane).unwrap() -= 1;
        Ok(())
    }
}

/// Threads of these tenants that read twice each, beside one that does something else.
fn together(readers: &Arc<Readers>, tenants: &[i64], beside: impl FnOnce(&Readers)) -> Vec<Result<()>> {
    let in_use = Arc::new(InUse::default());
    let threads: Vec<_> = tenants
        .iter()
        .map(|key| {
            let (readers, in_use, lane) = (Arc::clone(readers), Arc::clone(&in_use), tenant(*key));
            thread::spawn(move || [in_use.read(&readers, lane), in_use.read(&readers, lane)])
        })
        .collect();
    beside(readers);
    threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
}

fn stats(readers: &Readers) -> ReaderStats {
    let mut stats = ReaderStats::default();
    readers.add_stats(&mut stats);
    stats
}

fn set_class(readers: &Readers, lane: TenantKey, class: PoolClass) {
    readers.classes.set(lane, class);
    readers.own(lane);
}

/// Nobody is left, and every place is free again.
fn assert_whole(readers: &Readers) {
    let free = stats(readers);
    assert_eq!((free.in_use, free.waiting), (0, 0));
    let lent = [1, 1, 2].map(|key| readers.get(tenant(key)).unwrap());
    assert_eq!(stats(readers).in_use, lent.len());
}

#[test]
fn everyone_is_served_and_nobody_has_more_than_the_share() {
    let (_folder, path) = database();
    explore(500, move || {
        let readers = Arc::new(Readers::new(&path, SIZE, LONG, Arc::default()));
        together(&readers, &[1, 1, 1, 2, 2], |_| {}).into_iter().for_each(Result::unwrap);
        assert_whole(&readers);
    });
}

#[test]
fn whoever_holds_a_share_leaves_the_rest_to_others() {
    let (_folder, path) = database();
    explore(500, move || {
        let readers = Arc::new(Readers::new(&path, SIZE, LONG, Arc::default()));
        let held = [1, 1].map(|key| readers.get(tenant(key)).unwrap());
        let other = Arc::clone(&readers);
        let waits = thread::spawn(move || other.get(tenant(1)).map(drop));
        together(&readers, &[2, 2, 3], |_| {}).into_iter().for_each(Result::unwrap);
        drop(held);
        waits.join().unwrap().unwrap();
        assert_whole(&readers);
    });
}

#[test]
fn whoever_gave_up_waiting_leaves_no_place_taken() {
    let (_folder, path) = database();
    explore(500, move || {
        let readers = Arc::new(Readers::new(&path, SIZE, WAIT_MIN, Arc::default()));
        for outcome in together(&readers, &[1, 1, 1, 2, 2], |_| {}) {
            assert!(matches!(outcome, Ok(()) | Err(Error::Busy { .. })), "{outcome:?}");
        }
        assert_whole(&readers);
    });
}

#[test]
fn closing_in_the_middle_is_told_to_everyone() {
    let (_folder, path) = database();
    explore(500, move || {
        let readers = Arc::new(Readers::new(&path, SIZE, LONG, Arc::default()));
        for outcome in together(&readers, &[1, 1, 1, 2, 2], |readers| {
            readers.close();
        }) {
            assert!(matches!(outcome, Ok(()) | Err(Error::Closed)), "{outcome:?}");
        }
        assert!(matches!(readers.get(tenant(1)), Err(Error::Closed)));
        assert!(readers.close());
    });
}

#[test]
fn a_connection_that_can_not_be_opened_leaves_its_place_to_others() {
    let (_folder, file) = database();
    let path = Arc::new(StoreFile::new(&file.path().with_extension("missing"), None));
    explore(500, move || {
        let readers = Arc::new(Readers::new(&path, SIZE, LONG, Arc::default()));
        assert!(together(&readers, &[1, 1, 1, 2, 2], |_| {}).iter().all(Result::is_err));
        assert_eq!((stats(&readers).in_use, stats(&readers).waiting), (0, 0));
    });
}

#[test]
fn a_tenant_is_served_while_its_pool_becomes_another() {
    let (_folder, path) = database();
    explore(500, move || {
        let readers = Arc::new(Readers::new(&path, SIZE, LONG, Arc::default()));
        let change = |readers: &Readers| {
            set_class(readers, tenant(1), PoolClass::Own { readers: 1 });
            set_class(readers, tenant(1), PoolClass::Own { readers: 2 });
            set_class(readers, tenant(1), PoolClass::Shared);
        };
        let outcomes = together(&readers, &[1, 1, 2], change);
        outcomes.into_iter().for_each(Result::unwrap);
        assert_whole(&readers);
    });
}
