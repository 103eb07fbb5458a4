//! Callers that write at the same time share commits, and none of them can tell.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod engine;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Barrier, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use tenantry::{Durability, Entity, Error, Result, Store, TenantSession, Timestamp, UserId};

#[derive(Debug, Clone, PartialEq, Entity)]
#[entity(unique(title))]
struct Task {
    title: String,
}

fn task(title: impl Into<String>) -> Task {
    Task { title: title.into() }
}

fn user(store: &Store, id: &str) -> TenantSession {
    store.session(&store.users().create(&UserId::new(id).unwrap()).unwrap()).unwrap()
}

fn titles(session: &TenantSession) -> Vec<String> {
    let mut titles: Vec<String> =
        session.list::<Task>().unwrap().into_iter().map(|task| task.value.title).collect();
    titles.sort();
    titles
}

/// Runs on many threads at once; the first panic is the test's.
fn together(threads: usize, run: impl Fn(usize) + Sync) {
    let barrier = Barrier::new(threads);
    thread::scope(|scope| {
        let handles: Vec<_> = (0..threads)
            .map(|number| {
                let (barrier, run) = (&barrier, &run);
                scope.spawn(move || {
                    barrier.wait();
                    run(number);
                })
            })
            .collect();
        for handle in handles {
            if let Err(panic) = handle.join() {
                resume_unwind(panic);
            }
        }
    });
}

/// The store holds what was acknowledged, and the log says so once for each caller.
fn verify(store: &Store, sessions: &[TenantSession], acknowledged: &[Vec<String>]) {
    for (session, acknowledged) in sessions.iter().zip(acknowledged) {
        let mut wanted = acknowledged.clone();
        wanted.sort();
        assert_eq!(titles(session), wanted);
        assert_eq!(session.count::<Task>().unwrap(), wanted.len() as u64);
        let mut transactions: BTreeMap<u64, Vec<String>> = BTreeMap::new();
        for entry in session.audit().action("insert").list().unwrap() {
            let title = entry.change(Task::TITLE).unwrap().unwrap().after.unwrap();
            transactions.entry(entry.transaction).or_default().push(title);
        }
        let mut logged: Vec<String> = transactions.values().flatten().cloned().collect();
        logged.sort();
        assert_eq!(logged, wanted, "one entry for each, and none for what was undone");
        for titles in transactions.values() {
            let caller = |title: &String| title.split('/').next().unwrap().to_owned();
            assert!(titles.iter().all(|title| caller(title) == caller(&titles[0])), "{titles:?}");
        }
    }
    let report = store.check().unwrap();
    assert!(report.is_clean(), "{report}");
}

#[test]
fn failures_and_panics_stay_with_their_caller() {
    for durability in [Durability::Full, Durability::Normal] {
        let store = engine::builder().entity::<Task>().durability(durability).temporary().unwrap();
        let sessions: Vec<_> = (0..4).map(|number| user(&store, &format!("user-{number}"))).collect();
        for session in &sessions {
            session.insert(&task("taken/0")).unwrap();
        }
        let acknowledged: Vec<_> =
            sessions.iter().map(|_| std::sync::Mutex::new(vec!["taken/0".to_owned()])).collect();
        together(12, |thread| {
            let (session, acknowledged) = (&sessions[thread % 4], &acknowledged[thread % 4]);
            for step in 0..40 {
                let name = |part: &str| format!("{thread}-{step}/{part}");
                match step % 5 {
                    0 | 1 => {
                        session.insert(&task(name("a"))).unwrap();
                        acknowledged.lock().unwrap().push(name("a"));
                    }
                    2 => {
                        let many = [task(name("a")), task(name("b")), task("taken/0")];
                        let error = session.insert_many(&many).unwrap_err();
                        assert!(matches!(error, Error::Unique { .. }), "{error}");
                    }
                    3 => {
                        session
                            .transaction(|tx| {
                                tx.insert(&task(name("a")))?;
                                assert!(tx.insert(&task("taken/0")).is_err());
                                tx.insert(&task(name("b"))).map(drop)
                            })
                            .unwrap();
                        acknowledged.lock().unwrap().extend([name("a"), name("b")]);
                    }
                    _ => {
                        let panic = catch_unwind(AssertUnwindSafe(|| {
                            session.transaction(|tx| {
                                tx.insert(&task(name("a")))?;
                                resume_unwind(Box::new("on purpose"));
                                #[allow(unreachable_code)]
                                Ok(())
                            })
                        }));
                        assert_eq!(panic.unwrap_err().downcast_ref(), Some(&"on purpose"));
                    }
                }
            }
        });
        let acknowledged: Vec<_> = acknowledged.into_iter().map(|list| list.into_inner().unwrap()).collect();
        verify(&store, &sessions, &acknowledged);
        let commits = store.stats().unwrap().commits;
        assert!(commits.batches.max > 1, "commits were shared: {commits:?}");
        assert_eq!(commits.failures, 0);
    }
}

#[test]
fn a_panic_in_another_callers_work_reaches_its_owner() {
    // The clock panics within the work, whoever runs it.
    let calls = std::sync::Arc::new(AtomicUsize::new(0));
    let armed = std::sync::Arc::new(AtomicBool::new(false));
    let (counter, switch) = (calls.clone(), armed.clone());
    let store = engine::builder()
        .entity::<Task>()
        .clock(move || {
            if switch.load(Ordering::Acquire) && counter.fetch_add(1, Ordering::AcqRel) % 7 == 6 {
                resume_unwind(Box::new("clock"));
            }
            Timestamp::now()
        })
        .temporary()
        .unwrap();
    let sessions: Vec<_> = (0..8).map(|number| user(&store, &format!("user-{number}"))).collect();
    armed.store(true, Ordering::Release);
    let acknowledged: Vec<_> = sessions.iter().map(|_| std::sync::Mutex::new(Vec::new())).collect();
    let panics = AtomicUsize::new(0);
    together(8, |thread| {
        for step in 0..60 {
            let title = format!("{thread}-{step}/a");
            match catch_unwind(AssertUnwindSafe(|| sessions[thread].insert(&task(title.clone())))) {
                Ok(outcome) => {
                    outcome.unwrap();
                    acknowledged[thread].lock().unwrap().push(title);
                }
                Err(panic) => {
                    assert_eq!(panic.downcast_ref(), Some(&"clock"));
                    panics.fetch_add(1, Ordering::AcqRel);
                }
            }
        }
    });
    armed.store(false, Ordering::Release);
    let acknowledged: Vec<_> = acknowledged.into_iter().map(|list| list.into_inner().unwrap()).collect();
    verify(&store, &sessions, &acknowledged);
    let (kept, panics) = (acknowledged.iter().map(Vec::len).sum::<usize>(), panics.into_inner());
    assert_eq!(kept + panics, 480);
    assert!(panics > 30, "{panics}");
}

/// Holds the writer in a transaction until told to let go.
fn held<R>(session: &TenantSession, meanwhile: impl FnOnce() -> R) -> R {
    let (holds, holding) = mpsc::channel();
    let (lets_go, letting_go) = mpsc::channel();
    thread::scope(|scope| {
        scope.spawn(move || {
            session
                .transaction(|tx| {
                    tx.insert(&task("held/0"))?;
                    holds.send(()).map_err(Error::aborted)?;
                    letting_go.recv().map_err(Error::aborted)
                })
                .unwrap()
        });
        holding.recv().unwrap();
        let outcome = meanwhile();
        lets_go.send(()).unwrap();
        outcome
    })
}

#[test]
fn who_waits_too_long_gives_up_and_nothing_of_it_is_done_later() {
    let store =
        engine::builder().entity::<Task>().wait_timeout(Duration::from_millis(100)).temporary().unwrap();
    let (ada, grace) = (user(&store, "ada"), user(&store, "grace"));
    held(&ada, || {
        let began = Instant::now();
        let error = grace.insert(&task("late/0")).unwrap_err();
        assert!(matches!(error, Error::Busy { .. }) && error.is_retryable(), "{error}");
        assert!(began.elapsed() >= Duration::from_millis(100));
        let outcome = grace.transaction(|tx| tx.insert(&task("late/1")));
        assert!(matches!(outcome, Err(Error::Busy { .. })));
        // Reading waits for no writer.
        assert_eq!(ada.count::<Task>().unwrap(), 0);
    });
    grace.insert(&task("now/0")).unwrap();
    verify(&store, &[ada, grace], &[vec!["held/0".into()], vec!["now/0".into()]]);
    assert_eq!(store.stats().unwrap().commits.timeouts, 2);
}

#[test]
fn a_call_from_within_a_transaction_is_answered_and_never_waits_for_itself() {
    let timeout = Duration::from_millis(300);
    let store = engine::builder().entity::<Task>().wait_timeout(timeout).temporary().unwrap();
    let ada = user(&store, "ada");
    let outcome: Result<()> = ada.transaction(|tx| {
        tx.insert(&task("in/0"))?;
        let began = Instant::now();
        assert!(matches!(ada.insert(&task("in/1")), Err(Error::Busy { .. })));
        assert!(matches!(ada.transaction(|_| Ok(())), Err(Error::Busy { .. })));
        assert!(matches!(store.users().create(&UserId::new("eve")?), Err(Error::Busy { .. })));
        assert!(began.elapsed() < timeout, "at once");
        // A session reads what is committed; the handle reads what it did.
        assert_eq!((ada.count::<Task>()?, tx.count::<Task>()?), (0, 1));
        // Another thread that this one waits for gets its answer too.
        let other = thread::scope(|scope| scope.spawn(|| ada.insert(&task("out/0"))).join().unwrap());
        assert!(matches!(other, Err(Error::Busy { .. })));
        Ok(())
    });
    outcome.unwrap();
    assert_eq!(titles(&ada), ["in/0"]);
}

#[test]
fn a_closure_can_wait_for_those_who_came_before_it() {
    let store = engine::builder().entity::<Task>().temporary().unwrap();
    let (ada, grace) = (user(&store, "ada"), user(&store, "grace"));
    for round in 0..50 {
        let (done, is_done) = mpsc::channel();
        thread::scope(|scope| {
            let (ada, grace) = (&ada, &grace);
            scope.spawn(move || {
                grace.insert(&task(format!("{round}/0"))).unwrap();
                done.send(()).unwrap();
            });
            // Whether hers comes first or not: this must not wait for ever.
            let outcome: Result<()> = ada.transaction(|_| {
                let _ = is_done.recv_timeout(Duration::from_millis(5));
                Ok(())
            });
            outcome.unwrap();
        });
    }
    assert_eq!(grace.count::<Task>().unwrap(), 50);
}

#[test]
fn a_light_tenant_is_served_among_a_flood() {
    let store = engine::builder().entity::<Task>().temporary().unwrap();
    let (light, heavy) = (user(&store, "light"), user(&store, "heavy"));
    let (done, written) = (AtomicBool::new(false), AtomicUsize::new(0));
    let mut worst = 0;
    thread::scope(|scope| {
        for thread in 0..8 {
            let (heavy, done, written) = (&heavy, &done, &written);
            scope.spawn(move || {
                let mut number = 0;
                while !done.load(Ordering::Acquire) {
                    let title = |part: &str| task(format!("{thread}-{number}/{part}"));
                    if thread % 2 == 0 {
                        heavy.insert(&title("a")).unwrap();
                    } else {
                        heavy.transaction(|tx| tx.insert(&title("a"))).unwrap();
                    }
                    written.fetch_add(1, Ordering::AcqRel);
                    number += 1;
                }
            });
        }
        for number in 0..100 {
            let before = written.load(Ordering::Acquire);
            light.insert(&task(format!("{number}/a"))).unwrap();
            worst = worst.max(written.load(Ordering::Acquire) - before);
        }
        done.store(true, Ordering::Release);
    });
    // A batch that was under way, one closure's commit, and a thread that was slow to wake.
    assert!(worst < 200, "{worst} writes of the other tenant came before one of hers");
    assert_eq!(light.count::<Task>().unwrap(), 100);
}

#[test]
fn closing_answers_everyone_who_waits() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    let store = engine::builder().entity::<Task>().open(&path).unwrap();
    let sessions: Vec<_> = (0..6).map(|number| user(&store, &format!("user-{number}"))).collect();
    let acknowledged: Vec<_> = sessions.iter().map(|_| std::sync::Mutex::new(Vec::new())).collect();
    together(7, |thread| {
        if thread == 6 {
            thread::sleep(Duration::from_millis(30));
            store.close().unwrap();
            return;
        }
        for step in 0.. {
            let title = format!("{thread}-{step}/a");
            match sessions[thread].insert(&task(title.clone())) {
                Ok(_) => acknowledged[thread].lock().unwrap().push(title),
                Err(Error::Closed) => break,
                Err(other) => panic!("{other}"),
            }
        }
    });
    drop((sessions, store));
    let store = engine::builder().entity::<Task>().open(&path).unwrap();
    let sessions: Vec<_> = (0..6)
        .map(|number| store.session(&UserId::new(format!("user-{number}")).unwrap()).unwrap())
        .collect();
    let acknowledged: Vec<_> = acknowledged.into_iter().map(|list| list.into_inner().unwrap()).collect();
    verify(&store, &sessions, &acknowledged);
}

#[test]
fn no_entry_of_a_session_follows_the_one_that_ends_it() {
    for round in 0..20 {
        let store = engine::builder().entity::<Task>().temporary().unwrap();
        let ada = user(&store, "ada");
        together(5, |thread| {
            if thread == 4 {
                thread::sleep(Duration::from_millis(round % 5));
                store.users().disable(ada.user()).unwrap();
                return;
            }
            for step in 0.. {
                match ada.insert(&task(format!("{thread}-{step}/a"))) {
                    Ok(_) => {}
                    Err(Error::Disabled { .. }) => break,
                    Err(other) => panic!("{other}"),
                }
            }
        });
        store.users().enable(ada.user()).unwrap();
        let log = store.session(ada.user()).unwrap().audit().list().unwrap();
        let end = log.iter().position(|entry| entry.action == "user.disable").unwrap();
        assert!(log[end..].iter().all(|entry| entry.action != "insert"));
        assert!(store.check().unwrap().is_clean());
    }
}

#[test]
fn the_log_of_writes_ahead_stays_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    let store = engine::builder().entity::<Task>().durability(Durability::Normal).open(&path).unwrap();
    let sessions: Vec<_> = (0..4).map(|number| user(&store, &format!("user-{number}"))).collect();
    let filler = "x".repeat(20_000);
    let wal = folder.path().join("app.db-wal");
    let largest = AtomicUsize::new(0);
    together(4, |thread| {
        for step in 0..1_000 {
            sessions[thread].insert(&task(format!("{thread}-{step}/{filler}"))).unwrap();
            let size = std::fs::metadata(&wal).map_or(0, |wal| usize::try_from(wal.len()).unwrap());
            largest.fetch_max(size, Ordering::AcqRel);
        }
    });
    // 4,000 rows with their entries are some 40,000 pages.
    let (largest, mebibyte) = (largest.into_inner(), 1 << 20);
    assert!(largest > 30 * mebibyte, "{largest}: the log was long enough to be moved");
    assert!(largest < 120 * mebibyte, "{largest}: it began anew");
    store.close().unwrap();
    drop((sessions, store));
    let store = engine::builder().entity::<Task>().open(&path).unwrap();
    assert!(store.check().unwrap().is_clean());
}
