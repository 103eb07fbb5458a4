//! The queue in many schedules: callers of two tenants whose work stays, fails, panics, or makes SQLite
//! end the transaction, and transactions of their own, while commits fail, waits end, the store is
//! closed, a session is ended. That nobody waits for ever, shuttle itself finds.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::super::queue::BATCH_SHARE;
use super::{assert_clean, insert, note_definition, user, with_writer};
use crate::commit::Unit;
use crate::sync::schedules::{any, explore, thread};
use crate::{Builder, Durability, Error, Fields, Result, Store, TenantSession, Value};

fn builder() -> Builder {
    // No schedule ends with a power loss.
    Store::builder().definition(note_definition()).durability(Durability::Normal)
}

/// Two callers for ada and two for grace.
fn sessions(store: &Store) -> Vec<TenantSession> {
    let (ada, grace) = (user(store, "ada"), user(store, "grace"));
    vec![ada.clone(), ada, grace.clone(), grace]
}

/// Runs each caller on a thread of its own; what they return, in their order.
fn together<R: Send + 'static>(
    callers: &[TenantSession],
    call: impl Fn(usize, &TenantSession) -> R + Send + Sync + 'static,
) -> Vec<R> {
    let call = Arc::new(call);
    let threads: Vec<_> = callers
        .iter()
        .enumerate()
        .map(|(number, session)| {
            let (call, session) = (Arc::clone(&call), session.clone());
            thread::spawn(move || call(number, &session))
        })
        .collect();
    threads.into_iter().map(|thread| thread.join().unwrap()).collect()
}

/// Inserts a note and goes on in the same work, which counts how often it runs.
fn write(
    session: &TenantSession,
    text: &str,
    ran: &Arc<AtomicUsize>,
    then: impl FnOnce(&mut Unit) -> Result<()> + Send + 'static,
) -> thread::Result<Result<()>> {
    let (values, ran) = (vec![Value::from(text)], Arc::clone(ran));
    let table = Arc::clone(session.core().store.catalog().get("note").unwrap());
    catch_unwind(AssertUnwindSafe(|| {
        session.core().write(move |changes| {
            ran.fetch_add(1, Ordering::Relaxed);
            changes.insert(&table, values, None)?;
            then(changes.unit)
        })
    }))
}

/// What a caller's work comes to, apart from what others do.
#[derive(Debug, Clone, Copy)]
enum Call {
    Stays,
    Fails,
    Panics,
    /// SQLite ends the transaction, as it does on a full disk.
    Ends,
    /// The writer goes to the caller's own thread.
    Transaction,
    TransactionFails,
}
use Call::{Ends, Fails, Panics, Stays, Transaction, TransactionFails};

impl Call {
    /// Makes the call; whether it was told that the note is there.
    fn run(self, session: &TenantSession, text: &str) -> bool {
        let ran = Arc::new(AtomicUsize::new(0));
        let outcome = match self {
            Stays => write(session, text, &ran, |_| Ok(())),
            Fails => write(session, text, &ran, |_| Err(Error::aborted("on purpose"))),
            Panics => write(session, text, &ran, |_| resume_unwind(Box::new("on purpose"))),
            Ends => write(session, text, &ran, |unit| Ok(unit.connection()?.execute_batch("ROLLBACK")?)),
            Transaction | TransactionFails => Ok(session.transaction(|tx| {
                ran.fetch_add(1, Ordering::Relaxed);
                tx.dynamic("note")?.insert(Fields::new().with("text", text))?;
                if matches!(self, Transaction) { Ok(()) } else { Err(Error::aborted("on purpose")) }
            })),
        };
        assert_eq!(ran.load(Ordering::Relaxed), 1, "{self:?}");
        match (self, outcome) {
            (Stays | Transaction, Ok(Ok(()))) => true,
            (Panics, Err(panic)) if panic.downcast_ref() == Some(&"on purpose") => false,
            (Fails | TransactionFails, Ok(Err(Error::Aborted { .. }))) => false,
            (Stays | Fails | Ends | Transaction, Ok(Err(error))) if is_lost(&error) => false,
            (call, outcome) => panic!("{call:?} ended as {outcome:?}"),
        }
    }
}

/// Whether the caller was told that a commit failed: by SQLite itself if it led, which the hook of
/// these tests has refuse with a constraint.
fn is_lost(error: &Error) -> bool {
    matches!(error, Error::Busy { .. } | Error::Constraint { .. })
}

/// What each caller was told is there, and nothing else, is there; and the writer goes on from it.
fn assert_kept(store: &Store, callers: &[TenantSession], told: Vec<Vec<String>>) {
    let mut wanted: HashMap<_, Vec<String>> = HashMap::new();
    for (session, texts) in callers.iter().zip(told) {
        wanted.entry(session.user().clone()).or_default().extend(texts);
    }
    for (id, mut wanted) in wanted {
        let session = user(store, id.as_str());
        // The next number, count and link of the chain come from the heads in memory.
        insert(&session, "last").unwrap();
        wanted.push("last".to_owned());
        let notes = session.dynamic("note").unwrap().list().unwrap();
        let mut got: Vec<_> = notes.iter().map(|note| note.get("text").unwrap().clone()).collect();
        assert_eq!(got.last(), Some(&Value::from("last")));
        wanted.sort_unstable();
        got.sort_unstable_by_key(|text| format!("{text:?}"));
        assert_eq!(got, wanted.into_iter().map(Value::from).collect::<Vec<_>>(), "{id}");
    }
    assert_clean(store);
}

/// Callers that make two of these calls each, by chance.
fn mix(calls: &'static [Call], commits_fail: bool) {
    let store = builder().temporary().unwrap();
    let callers = sessions(&store);
    let broken = Arc::new(AtomicBool::new(commits_fail));
    let (refuses, commits) = (Arc::clone(&broken), AtomicUsize::new(0));
    with_writer(&callers[0], |connection| {
        let refuse =
            move || commits.fetch_add(1, Ordering::Relaxed) % 2 == 1 && refuses.load(Ordering::Relaxed);
        connection.commit_hook(Some(refuse)).unwrap();
    });
    let told = together(&callers, |number, session| {
        let texts = (0..2).map(|step| format!("{number}-{step}"));
        texts.filter(|text| any(calls).run(session, text)).collect()
    });
    broken.store(false, Ordering::Relaxed);
    assert_kept(&store, &callers, told);
}

#[test]
fn everyone_is_answered_once_and_what_is_told_is_kept() {
    explore(300, || mix(&[Stays, Stays, Fails, Panics, Transaction, TransactionFails], false));
}

#[test]
fn work_that_ends_the_transaction_ends_it_for_those_in_it() {
    explore(300, || mix(&[Stays, Stays, Panics, Ends, Transaction], false));
}

#[test]
fn a_commit_that_fails_is_told_to_all_who_share_it() {
    explore(300, || mix(&[Stays, Stays, Stays, Fails, Panics, Transaction], true));
}

#[test]
fn whoever_gave_up_waiting_was_not_served() {
    explore(300, || {
        let store = builder().wait_timeout(Duration::from_millis(1)).temporary().unwrap();
        let callers = sessions(&store);
        let told = together(&callers, |number, session| {
            let mut kept = Vec::new();
            for step in 0..2 {
                let (text, ran) = (format!("{number}-{step}"), Arc::default());
                match write(session, &text, &ran, |_| Ok(())).unwrap() {
                    Ok(()) => kept.push(text),
                    Err(Error::Busy { .. }) => continue,
                    Err(other) => panic!("{other}"),
                }
                assert_eq!(ran.load(Ordering::Relaxed), 1);
            }
            kept
        });
        assert_kept(&store, &callers, told);
    });
}

#[test]
fn closing_in_the_middle_keeps_what_was_told() {
    explore(300, || {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.db");
        let store = builder().open(&path).unwrap();
        let callers = sessions(&store);
        let other = store.clone();
        let closing = thread::spawn(move || other.close().unwrap());
        let told = together(&callers, |number, session| {
            let mut kept = Vec::new();
            for step in 0..2 {
                let text = format!("{number}-{step}");
                match insert(session, &text) {
                    Ok(_) => kept.push(text),
                    Err(Error::Closed) => {}
                    Err(other) => panic!("{other}"),
                }
            }
            kept
        });
        closing.join().unwrap();
        assert!(matches!(insert(&callers[0], "late"), Err(Error::Closed)));
        assert_kept(&builder().open(&path).unwrap(), &callers, told);
    });
}

#[test]
fn a_tenant_has_its_share_of_a_batch() {
    explore(100, || {
        let store = builder().temporary().unwrap();
        let (ada, grace) = (user(&store, "ada"), user(&store, "grace"));
        let mut callers = vec![ada; 6];
        callers.push(grace);
        let commits = Arc::new(AtomicUsize::new(0));
        with_writer(&callers[0], |connection| {
            let commits = Arc::clone(&commits);
            let count = move || {
                commits.fetch_add(1, Ordering::Relaxed);
                false
            };
            connection.commit_hook(Some(count)).unwrap();
        });
        // Who ran in which transaction, in order.
        let runs: Arc<Mutex<Vec<(usize, usize)>>> = Arc::default();
        let noted = Arc::clone(&runs);
        together(&callers, move |number, session| {
            let (commits, runs, ran) = (Arc::clone(&commits), Arc::clone(&noted), Arc::default());
            write(session, &number.to_string(), &ran, move |_| {
                runs.lock().unwrap().push((commits.load(Ordering::Relaxed), number));
                Ok(())
            })
            .unwrap()
            .unwrap();
        });
        let runs = runs.lock().unwrap();
        assert_eq!(runs.len(), 7);
        for batch in runs.chunk_by(|one, next| one.0 == next.0) {
            // Whoever leads comes first.
            let guests = &batch[1..];
            assert!(guests.iter().filter(|(_, number)| *number < 6).count() <= BATCH_SHARE, "{runs:?}");
        }
        assert_clean(&store);
    });
}

#[test]
fn nothing_of_a_session_follows_its_end() {
    explore(300, || {
        let store = builder().temporary().unwrap();
        let callers = sessions(&store);
        let other = store.clone();
        let (ended, seen) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let end = Arc::clone(&ended);
        let ending = thread::spawn(move || {
            let ada = crate::UserId::new("ada").unwrap();
            other.users().disable(&ada).unwrap();
            end.store(true, Ordering::Relaxed);
        });
        let told = together(&callers, move |number, session| {
            let mut kept = Vec::new();
            for step in 0..2 {
                let (late, text) = (ended.load(Ordering::Relaxed), format!("{number}-{step}"));
                match insert(session, &text) {
                    Ok(_) if number < 2 && late => panic!("wrote after the end of the session"),
                    Ok(_) => kept.push(text),
                    Err(Error::Disabled { .. }) if number < 2 => seen.store(true, Ordering::Relaxed),
                    Err(other) => panic!("{other}"),
                }
            }
            kept
        });
        ending.join().unwrap();
        let ada = callers[0].core().scope.user_key().unwrap();
        let last: String = callers[0]
            .core()
            .store
            .read(|connection| {
                let sql = "SELECT action FROM _audit WHERE key BETWEEN ?1 AND ?2 ORDER BY key DESC LIMIT 1";
                Ok(connection.query_row(sql, [ada.first(), ada.last()], |row| row.get(0))?)
            })
            .unwrap();
        assert_eq!(last, "user.disable");
        store.users().enable(callers[0].user()).unwrap();
        assert_kept(&store, &callers, told);
    });
}
