//! The protocol of readers and the writer in many schedules.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use super::tests::{record, row, tenant, version};
use super::{Arc, Cache, Lookup, TenantKey};
use crate::commit::Actor;
use crate::sync::schedules::{any, exhaust, explore, thread};
use crate::{ColumnDefinition, ColumnKind, Definition, Durability, Fields, Store, Tenancy, UserId};

/// Versions of two records of one tenant, as committed.
type Database = [AtomicI64; 2];

/// Looks a record up as a session does; no answer is older than the commit before the question.
fn read(cache: &Cache, database: &Database, id: usize) {
    let committed = || database[id].load(Ordering::Relaxed);
    let before = committed();
    match cache.look(tenant(1), 1, record(id as u128)) {
        Lookup::Hit(row) => assert!((before..=committed()).contains(&version(&row)), "{before} is committed"),
        Lookup::Miss(ticket) => {
            let read = committed();
            thread::yield_now();
            cache.fill(ticket, row(read, 10));
        }
        Lookup::Unknown => {}
    }
}

/// Writes a record as a commit does.
fn write(cache: &Cache, database: &Database, id: usize, fails: bool) {
    let changed = [(tenant(1), 1, record(id as u128))];
    cache.mark(&changed);
    thread::yield_now();
    if !fails {
        database[id].fetch_add(1, Ordering::Relaxed);
    }
    thread::yield_now();
    cache.settle(&changed);
}

fn assert_fresh(cache: &Cache, database: &Database) {
    for (id, committed) in database.iter().enumerate() {
        if let Lookup::Hit(row) = cache.look(tenant(1), 1, record(id as u128)) {
            assert_eq!(version(&row), committed.load(Ordering::Relaxed));
        }
    }
}

#[test]
fn no_hit_is_stale() {
    explore(5_000, || {
        let shared = Arc::new((Cache::new(1 << 20), Database::default()));
        let threads: Vec<_> = (0..3)
            .map(|_| {
                let shared = Arc::clone(&shared);
                thread::spawn(move || (0..3).for_each(|_| read(&shared.0, &shared.1, any(&[0, 1]))))
            })
            .collect();
        for _ in 0..3 {
            write(&shared.0, &shared.1, any(&[0, 1]), any(&[true, false]));
        }
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_fresh(&shared.0, &shared.1);
    });
}

/// In every schedule that there is.
#[test]
fn no_hit_is_stale_beside_a_commit() {
    exhaust(|| {
        let shared = Arc::new((Cache::new(1 << 20), Database::default()));
        let other = Arc::clone(&shared);
        let reader = thread::spawn(move || (0..2).for_each(|_| read(&other.0, &other.1, 0)));
        write(&shared.0, &shared.1, 0, false);
        reader.join().unwrap();
        assert_fresh(&shared.0, &shared.1);
    });
}

/// The same with the store's own reads and commits, some of which fail.
#[test]
fn no_record_is_older_than_what_sqlite_holds() {
    explore(200, || {
        let note =
            Definition::new("note", Tenancy::User).column(ColumnDefinition::new("text", ColumnKind::Text));
        let builder = Store::builder().definition(note).durability(Durability::Normal).cache(1 << 20);
        let store = builder.temporary().unwrap();
        let user = store.users().create(&UserId::new("ada").unwrap()).unwrap();
        let session = store.session(&user).unwrap();
        let text = |text: &str| Fields::new().with("text", text);
        let id = session.dynamic("note").unwrap().insert(text("kept")).unwrap();
        let refuses = Arc::new(AtomicBool::new(false));
        let hook = Arc::clone(&refuses);
        let unit = store.inner.begin(TenantKey::REFERENCE, Actor::default()).unwrap().unit;
        unit.connection().unwrap().commit_hook(Some(move || hook.load(Ordering::Relaxed))).unwrap();
        unit.commit().unwrap();
        let threads = [0, 1].map(|_| {
            let session = session.clone();
            thread::spawn(move || {
                let notes = session.dynamic("note").unwrap();
                for _ in 0..3 {
                    // A list is never from memory.
                    let before = notes.list().unwrap()[0].version;
                    let note = notes.get(id).unwrap();
                    assert!(note.version >= before, "version {} after {before}", note.version);
                    assert_eq!(note.get("text"), Some(&"kept".into()));
                }
            })
        });
        for fails in [false, true, false] {
            refuses.store(fails, Ordering::Relaxed);
            let changed =
                session.dynamic("note").unwrap().patch(id, text(if fails { "lost" } else { "kept" }));
            assert_eq!(changed.is_err(), fails);
        }
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        refuses.store(false, Ordering::Relaxed);
        assert_eq!(session.dynamic("note").unwrap().get(id).unwrap().version, 3);
    });
}
