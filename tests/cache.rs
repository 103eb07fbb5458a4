//! Rows in memory: what a reader finds there is what the store holds in that moment.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod engine;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use tenantry::{Entity, Error, Store, TenantSession, UserId};

#[derive(Debug, Clone, PartialEq, Entity)]
struct Counter {
    name: String,
    value: i64,
}

fn counter(value: i64) -> Counter {
    Counter { name: "visits".to_owned(), value }
}

fn user(store: &Store, id: &str) -> TenantSession {
    store.session(&store.users().create(&UserId::new(id).unwrap()).unwrap()).unwrap()
}

fn store() -> Store {
    engine::builder().entity::<Counter>().cache(1 << 20).temporary().unwrap()
}

#[test]
fn records_are_found_in_memory_until_they_change() {
    let store = store();
    let (ada, grace) = (user(&store, "ada"), user(&store, "grace"));
    let id = ada.insert(&counter(1)).unwrap();
    let read = ada.get(id).unwrap();
    assert_eq!(ada.get(id).unwrap(), read);
    assert_eq!((store.stats().unwrap().cache.hits, store.stats().unwrap().cache.misses), (1, 1));
    // Another tenant finds nothing there, by the same id.
    assert!(grace.find(id).unwrap().is_none());
    assert_eq!(store.stats().unwrap().cache.hits, 1);
    ada.patch(id, Counter::VALUE.set(2)).unwrap();
    assert_eq!((ada.get(id).unwrap().value.value, ada.get(id).unwrap().version), (2, 2));
    // What a transaction that failed would have made of it is not seen; within it, it is.
    let outcome = ada.transaction(|tx| {
        tx.patch(id, Counter::VALUE.set(3))?;
        assert_eq!(tx.get(id)?.value.value, 3);
        assert_eq!(ada.get(id)?.value.value, 2);
        Err::<(), _>(Error::aborted("on purpose"))
    });
    assert!(outcome.is_err());
    assert_eq!(ada.get(id).unwrap().value.value, 2);
    ada.delete(id).unwrap();
    assert!(ada.find(id).unwrap().is_none());
    store.users().disable(ada.user()).unwrap();
    assert!(matches!(ada.get(id), Err(Error::Disabled { .. })));
    assert_eq!(store.stats().unwrap().cache.bytes, 0);
}

#[test]
fn a_read_is_never_older_than_the_last_answered_write() {
    let store = store();
    let session = user(&store, "ada");
    let ids: Vec<_> = (0..4).map(|_| session.insert(&counter(0)).unwrap()).collect();
    let answered: Vec<AtomicU64> = ids.iter().map(|_| AtomicU64::new(1)).collect();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let readers: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    let mut last = [0; 4];
                    while !done.load(Ordering::Acquire) {
                        for (position, id) in ids.iter().enumerate() {
                            let least = answered[position].load(Ordering::Acquire);
                            let record = session.get(*id).unwrap();
                            assert!(record.version >= least, "{} after {least}", record.version);
                            assert!(record.version >= last[position], "it went back");
                            assert_eq!(record.version, u64::try_from(record.value.value).unwrap() + 1);
                            last[position] = record.version;
                        }
                    }
                })
            })
            .collect();
        for round in 1..=300 {
            for (id, answered) in ids.iter().zip(&answered) {
                let version = session.patch(*id, Counter::VALUE.set(round)).unwrap();
                answered.store(version, Ordering::Release);
            }
        }
        done.store(true, Ordering::Release);
        readers.into_iter().for_each(|reader| reader.join().unwrap());
    });
    assert!(store.stats().unwrap().cache.hits > 0);
}

#[test]
fn memory_is_bounded_and_shared_out() {
    let store = engine::builder().entity::<Counter>().cache(256 << 10).temporary().unwrap();
    let (ada, grace) = (user(&store, "ada"), user(&store, "grace"));
    let of_grace = grace.insert(&counter(7)).unwrap();
    grace.get(of_grace).unwrap();
    let rows: Vec<_> = (0..2_000).map(counter).collect();
    for id in ada.insert_many(&rows).unwrap() {
        ada.get(id).unwrap();
    }
    let cache = store.stats().unwrap().cache;
    assert!(cache.bytes <= 128 << 10, "one tenant has at most half: {cache:?}");
    assert!(cache.rows > 100, "{cache:?}");
    grace.get(of_grace).unwrap();
    assert_eq!(store.stats().unwrap().cache.hits, cache.hits + 1, "another's flood left hers there");
}
