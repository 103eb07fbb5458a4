//! Batches that are exactly known: a transaction is held open until everybody waits, and then
//! commits with all of them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use super::super::{Actor, Unit};
use super::{assert_clean, committer, count, insert, note_definition, store, user, with_writer};
use crate::identity::TenantKey;
use crate::{
    ColumnDefinition, ColumnKind, Definition, Error, Fields, Id, OnDelete, Result, Store, Tenancy,
    TenantSession,
};

/// What one caller does.
type Call<'c, R> = Box<dyn FnOnce() -> R + Send + 'c>;

/// Opens a transaction, has every call wait behind it in this order, each on its own thread, and
/// commits: how that ended, and the calls.
fn together<R: Send>(
    session: &TenantSession,
    first: impl FnOnce(&mut Unit) -> Result<()>,
    calls: Vec<Call<'_, R>>,
) -> (Result<()>, Vec<thread::Result<R>>) {
    let committer = committer(session);
    let mut unit = committer.begin(TenantKey::REFERENCE, Actor::default()).unwrap();
    first(&mut unit).unwrap();
    thread::scope(|scope| {
        let mut threads = Vec::new();
        for call in calls {
            threads.push(scope.spawn(call));
            while committer.stats().waiting < threads.len() {
                thread::yield_now();
            }
        }
        let outcome = unit.commit();
        (outcome, threads.into_iter().map(thread::ScopedJoinHandle::join).collect())
    })
}

fn is_lost<R>(outcome: &thread::Result<Result<R>>) -> bool {
    matches!(outcome, Ok(Err(error)) if error.is_retryable())
}

#[test]
fn who_waits_shares_one_commit() {
    let store = store();
    let users = ["ada", "grace", "joan"].map(|id| user(&store, id));
    let commits = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&commits);
    with_writer(&users[0], |connection| {
        let count = move || {
            counted.fetch_add(1, Ordering::Relaxed);
            false
        };
        connection.commit_hook(Some(count)).unwrap();
    });
    let before = commits.load(Ordering::Relaxed);
    let calls = (0..30).map(|number| {
        let session = &users[number % 3];
        Box::new(move || insert(session, number)) as Call<'_, _>
    });
    let (outcome, answers) = together(&users[0], |_| Ok(()), calls.collect());
    outcome.unwrap();
    assert!(answers.iter().all(|answer| matches!(answer, Ok(Ok(_)))), "{answers:?}");
    assert_eq!(commits.load(Ordering::Relaxed) - before, 1);
    for session in &users {
        assert_eq!(session.dynamic("note").unwrap().count().unwrap(), 10);
        // Each caller's entries are a transaction of their own, whoever committed it.
        let log = session.audit().action("insert").list().unwrap();
        assert!(log.iter().all(|entry| entry.transaction == entry.number), "{log:?}");
    }
    assert_clean(&store);
}

/// An error tells of a state, so it may not come before that state can be seen.
#[test]
fn what_an_error_speaks_of_is_committed_when_it_is_told() {
    let store = store();
    let ada = user(&store, "ada");
    let (first, gone) = (insert(&ada, "first").unwrap(), insert(&ada, "gone").unwrap());
    let notes = || ada.dynamic("note").unwrap();
    let calls: Vec<Call<'_, ()>> = vec![
        Box::new(|| {
            insert(&ada, "x").unwrap();
        }),
        Box::new(|| {
            assert!(matches!(insert(&ada, "x"), Err(Error::Unique { .. })));
            assert_eq!(count(&ada, "x"), 1, "the record that is in the way");
        }),
        Box::new(|| {
            notes().update(first, Fields::new().with("text", "second")).unwrap();
        }),
        Box::new(|| {
            let fields = Fields::new().with("text", "third");
            assert!(matches!(notes().update(first.at(1), fields), Err(Error::Conflict { actual: 2, .. })));
            assert_eq!(notes().get(first).unwrap().version, 2);
        }),
        Box::new(|| notes().delete(gone).unwrap()),
        Box::new(|| {
            assert!(matches!(notes().delete(gone), Err(Error::NotFound { .. })));
            assert!(!notes().exists(gone).unwrap());
        }),
    ];
    // The commit takes its time, so that an answer before it would find the old state.
    let slow = |unit: &mut Unit| {
        let wait = || {
            thread::sleep(std::time::Duration::from_millis(50));
            false
        };
        unit.connection()?.commit_hook(Some(wait))?;
        Ok(())
    };
    let (outcome, answers) = together(&ada, slow, calls);
    outcome.unwrap();
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    assert_clean(&store);
}

#[test]
fn a_commit_that_fails_keeps_nothing_of_anybody_and_tells_everybody() {
    let store = store();
    let (ada, grace) = (user(&store, "ada"), user(&store, "grace"));
    insert(&ada, "kept").unwrap();
    let refuse = |unit: &mut Unit| Ok(unit.connection()?.commit_hook(Some(|| true))?);
    let calls: Vec<Call<'_, Result<()>>> = vec![
        Box::new(|| insert(&ada, "x").map(drop)),
        Box::new(|| insert(&grace, "x").map(drop)),
        // What it saw was never committed, so it is not told of it.
        Box::new(|| insert(&ada, "x").map(drop)),
        Box::new(|| ada.core().write(|_| panic!("in the work"))),
        Box::new(|| grace.dynamic("note")?.insert_many([Fields::new().with("text", "y")]).map(drop)),
    ];
    let (outcome, answers) = together(&ada, refuse, calls);
    outcome.unwrap_err();
    for position in [0, 1, 2, 4] {
        assert!(is_lost(&answers[position]), "{position}: {:?}", answers[position]);
    }
    assert_eq!(answers[3].as_ref().unwrap_err().downcast_ref(), Some(&"in the work"));
    // Removing the hook needs a transaction, which it would refuse.
    let unit = committer(&ada).begin(TenantKey::REFERENCE, Actor::default()).unwrap();
    unit.connection().unwrap().commit_hook(None::<fn() -> bool>).unwrap();
    unit.commit().unwrap();
    assert_eq!((count(&ada, "x"), count(&grace, "x"), count(&grace, "y")), (0, 0, 0));
    assert_clean(&store);
    // The heads in memory are those of the file: numbers and the chain go on from there.
    insert(&ada, "x").unwrap();
    insert(&grace, "x").unwrap();
    assert_eq!(ada.dynamic("note").unwrap().count().unwrap(), 2);
    assert_clean(&store);
}

/// Room for so many more pages, for the writer alone.
fn room(session: &TenantSession, pages: i64) {
    with_writer(session, |connection| {
        let now: i64 = connection.query_row("PRAGMA page_count", [], |row| row.get(0)).unwrap();
        connection.query_row(&format!("PRAGMA max_page_count = {}", now + pages), [], |_| Ok(())).unwrap();
    });
}

const PLENTY: i64 = 1 << 30;

#[test]
fn work_that_makes_sqlite_end_the_transaction_ends_it_for_all_and_is_told_why() {
    let store = store();
    let (ada, grace) = (user(&store, "ada"), user(&store, "grace"));
    insert(&ada, "kept").unwrap();
    room(&ada, 10);
    let large = "x".repeat(200_000);
    let calls: Vec<Call<'_, Result<()>>> = vec![
        Box::new(|| insert(&ada, "a").map(drop)),
        Box::new(|| insert(&grace, &large).map(drop)),
        // Not run yet when the transaction ends: it begins the next one.
        Box::new(|| insert(&ada, "b").map(drop)),
    ];
    let (outcome, answers) = together(&ada, |_| Ok(()), calls);
    assert!(outcome.unwrap_err().is_retryable());
    assert!(is_lost(&answers[0]), "{:?}", answers[0]);
    assert!(matches!(answers[1], Ok(Err(Error::Full))), "{:?}", answers[1]);
    assert!(matches!(answers[2], Ok(Ok(()))), "{:?}", answers[2]);
    assert_eq!(
        (count(&ada, "a"), count(&ada, "b"), grace.dynamic("note").unwrap().count().unwrap()),
        (0, 1, 0)
    );
    assert_clean(&store);
    room(&ada, PLENTY);
    insert(&grace, &large).unwrap();
    insert(&ada, "a").unwrap();
    assert_clean(&store);
}

#[test]
fn heads_are_those_of_the_file_when_sqlite_ends_the_transaction_of_a_leader() {
    let store = store();
    let ada = user(&store, "ada");
    insert(&ada, "kept").unwrap();
    let large = "x".repeat(200_000);
    room(&ada, 10);
    let failed = insert(&ada, &large);
    assert!(matches!(failed, Err(Error::Full)), "{failed:?}");
    let in_closure = |ignore: bool| {
        ada.transaction(|tx| {
            let notes = tx.dynamic("note")?;
            for number in 0..5 {
                notes.insert(Fields::new().with("text", format!("lost {number}")))?;
            }
            let full = notes.insert(Fields::new().with("text", large.clone()));
            assert!(matches!(full, Err(Error::Full)), "{full:?}");
            assert!(notes.count().is_err() || notes.insert(Fields::new().with("text", "after")).is_err());
            if ignore { Ok(()) } else { full.map(drop) }
        })
    };
    assert!(matches!(in_closure(false), Err(Error::Full)));
    assert!(matches!(in_closure(true), Err(Error::Busy { .. })));
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        ada.transaction(|tx| {
            tx.dynamic("note")?.insert(Fields::new().with("text", "lost"))?;
            tx.dynamic("note")?.insert(Fields::new().with("text", large.clone())).unwrap();
            Ok(())
        })
    }));
    assert!(panicked.is_err());
    room(&ada, PLENTY);
    insert(&ada, "later").unwrap();
    assert_eq!(ada.dynamic("note").unwrap().count().unwrap(), 2);
    assert_eq!(ada.dynamic("note").unwrap().list().unwrap().len(), 2);
    assert_clean(&store);
}

/// What one caller's work sets on the connection does not outlast it.
#[test]
fn references_are_checked_at_once_after_a_deletion_that_panicked() {
    let refers = |to: &str| ColumnKind::Reference { entity: to.to_owned(), on_delete: OnDelete::Cascade };
    let knot = Definition::new("knot", Tenancy::User)
        .column(ColumnDefinition::new("next", refers("knot")).optional());
    let broken = Arc::new(AtomicBool::new(false));
    let randomness = {
        let broken = Arc::clone(&broken);
        move |bytes: &mut [u8]| {
            assert!(!broken.load(Ordering::Relaxed), "no randomness");
            getrandom::fill(bytes).unwrap();
        }
    };
    let store = Store::builder().definition(knot).randomness(randomness).temporary().unwrap();
    let ada = user(&store, "ada");
    let knots = ada.dynamic("knot").unwrap();
    // More entries than there is randomness at hand for.
    let mut circle = vec![knots.insert(Fields::new()).unwrap()];
    for number in 0..100 {
        circle.push(knots.insert(Fields::new().with("next", circle[number])).unwrap());
    }
    knots.patch(circle[0], Fields::new().with("next", circle[100])).unwrap();
    let nowhere = Id::<Fields>::from_uuid(uuid::Uuid::from_u128(7 << 76 | 0b10 << 62 | 1));
    ada.transaction(|tx| {
        let knots = tx.dynamic("knot")?;
        broken.store(true, Ordering::Relaxed);
        catch_unwind(AssertUnwindSafe(|| knots.delete(circle[0]))).unwrap_err();
        broken.store(false, Ordering::Relaxed);
        let dangling = knots.insert(Fields::new().with("next", nowhere));
        assert!(matches!(dangling, Err(Error::Reference { .. })), "{dangling:?}");
        knots.insert(Fields::new()).map(drop)
    })
    .unwrap();
    assert_eq!(knots.count().unwrap(), 102);
    assert_clean(&store);
}

/// Somebody who gave up waiting is not there for a leader to find.
#[test]
fn work_of_a_caller_that_gave_up_is_not_run() {
    let store = Store::builder()
        .definition(note_definition())
        .wait_timeout(std::time::Duration::from_millis(50))
        .temporary()
        .unwrap();
    let ada = user(&store, "ada");
    let unit = committer(&ada).begin(TenantKey::REFERENCE, Actor::default()).unwrap();
    thread::scope(|scope| {
        let late = scope.spawn(|| insert(&ada, "late"));
        assert!(matches!(late.join().unwrap(), Err(Error::Busy { .. })));
    });
    assert_eq!(committer(&ada).stats().waiting, 0);
    unit.commit().unwrap();
    insert(&ada, "next").unwrap();
    assert_eq!((count(&ada, "late"), count(&ada, "next")), (0, 1));
    assert_clean(&store);
}
