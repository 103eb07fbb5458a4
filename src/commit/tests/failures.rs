//! Commits that fail while several callers share them.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::thread;

use super::{assert_clean, insert, store, user, with_writer};
use crate::{Error, Quota, Store, TenantSession};

fn users(store: &Store) -> Vec<TenantSession> {
    (0..8).map(|number| user(store, &format!("user-{number}"))).collect()
}

fn on_all(sessions: &[TenantSession], run: impl Fn(usize, &TenantSession) + Sync) {
    let barrier = Barrier::new(sessions.len());
    thread::scope(|scope| {
        for (number, session) in sessions.iter().enumerate() {
            let (barrier, run) = (&barrier, &run);
            scope.spawn(move || {
                barrier.wait();
                run(number, session);
            });
        }
    });
}

#[test]
fn a_full_disk_fails_those_whose_work_was_lost_and_nobody_else() {
    let store = store();
    let sessions = users(&store);
    let pages = |connection: &rusqlite::Connection, count: i64| {
        connection.query_row(&format!("PRAGMA max_page_count = {count}"), [], |_| Ok(())).unwrap();
    };
    with_writer(&sessions[0], |connection| {
        let now: i64 = connection.query_row("PRAGMA page_count", [], |row| row.get(0)).unwrap();
        pages(connection, now + 400);
    });
    let acknowledged: Vec<_> = sessions.iter().map(|_| Mutex::new(Vec::new())).collect();
    let (full, lost) = (AtomicUsize::new(0), AtomicUsize::new(0));
    on_all(&sessions, |number, session| {
        let mut failures = 0;
        for step in 0.. {
            let text = format!("{number}-{step}-{}", "x".repeat(4_000));
            match insert(session, &text) {
                Ok(_) => acknowledged[number].lock().unwrap().push(text),
                Err(error) => {
                    assert!(error.is_retryable(), "{error}");
                    match error {
                        Error::Full => full.fetch_add(1, Ordering::AcqRel),
                        Error::Busy { .. } => lost.fetch_add(1, Ordering::AcqRel),
                        other => panic!("{other}"),
                    };
                    failures += 1;
                    if failures == 20 {
                        break;
                    }
                }
            }
        }
    });
    assert_eq!(full.into_inner() + lost.into_inner(), 160);
    with_writer(&sessions[0], |connection| pages(connection, 1 << 30));
    for (session, acknowledged) in sessions.iter().zip(acknowledged) {
        let mut rows: Vec<String> = acknowledged.into_inner().unwrap();
        insert(session, "there is room again").unwrap();
        rows.push("there is room again".to_owned());
        let notes = session.dynamic("note").unwrap().list().unwrap();
        let texts: Vec<_> = notes.iter().map(|note| note.get("text").cloned().unwrap()).collect();
        let rows: Vec<_> = rows.into_iter().map(crate::Value::Text).collect();
        assert_eq!(texts, rows);
    }
    assert_clean(&store);
}

#[test]
fn a_commit_that_fails_is_answered_to_everyone_in_it() {
    let store = store();
    let sessions = users(&store);
    let broken = Arc::new(AtomicBool::new(false));
    with_writer(&sessions[0], |connection| {
        let broken = Arc::clone(&broken);
        connection.commit_hook(Some(move || broken.load(Ordering::Acquire))).unwrap();
    });
    for round in 0..20 {
        broken.store(true, Ordering::Release);
        let busy = AtomicUsize::new(0);
        on_all(&sessions, |_, session| match insert(session, "lost") {
            Ok(_) => panic!("told Ok for lost work"),
            Err(Error::Busy { .. }) => drop(busy.fetch_add(1, Ordering::AcqRel)),
            // What SQLite says of the hook, to whoever led.
            Err(Error::Constraint { .. }) => {}
            Err(other) => panic!("{other}"),
        });
        broken.store(false, Ordering::Release);
        on_all(&sessions, |_, session| assert!(insert(session, round).is_ok()));
    }
    let stats = store.stats().unwrap();
    assert!(stats.commits.failures >= 20, "{stats:?}");
    assert_eq!(stats.rows, 160);
    for session in &sessions {
        assert_eq!(session.dynamic("note").unwrap().count().unwrap(), 20);
    }
    assert_clean(&store);
}

#[test]
fn a_quota_whose_commit_failed_does_not_hold() {
    let store = store();
    let ada = user(&store, "ada");
    let broken = Arc::new(AtomicBool::new(false));
    with_writer(&ada, |connection| {
        let broken = Arc::clone(&broken);
        connection.commit_hook(Some(move || broken.load(Ordering::Acquire))).unwrap();
    });
    let set = |rows| store.users().set_quota(ada.user(), "note", Some(Quota::none().rows(rows)));
    for rows in 0..4 {
        // There is no head at first, then one in the file, then one with a quota.
        broken.store(true, Ordering::Release);
        assert!(set(rows).is_err());
        broken.store(false, Ordering::Release);
        insert(&ada, rows).unwrap();
        set(rows + 2).unwrap();
    }
    assert!(matches!(insert(&ada, 4).and(insert(&ada, 5)), Err(Error::QuotaExceeded { max: 5, .. })));
    assert_clean(&store);
}
