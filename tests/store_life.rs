//! The life of an open store: who may open it beside whom, what closing leaves, what a kill in the
//! middle of writes leaves, and what injected time and randomness make exact.
//!
//! Other processes are this test binary again, running the one test `child` under an environment
//! variable that tells it what to do.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod engine;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use tenantry::{Builder, Entity, Error, Id, OrganizationId, Role, Store, TenantSession, Timestamp, UserId};

#[derive(Debug, Clone, PartialEq, Entity)]
#[entity(unique(title))]
struct Task {
    title: String,
}

const TASK: &str = "TENANTRY_TEST_CHILD";
const PATH: &str = "TENANTRY_TEST_PATH";

fn builder() -> Builder {
    engine::builder().entity::<Task>()
}

fn user(store: &Store, id: &str) -> TenantSession {
    store.session(&store.users().get_or_create(&UserId::new(id).unwrap()).unwrap()).unwrap()
}

fn task(title: impl ToString) -> Task {
    Task { title: title.to_string() }
}

fn assert_clean(store: &Store) {
    let report = store.check().unwrap();
    assert!(report.is_clean(), "{report}");
}

/// A child that is killed if its test ends early.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

impl Process {
    fn start(task: &str, path: &Path) -> Self {
        let command = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child", "--nocapture", "--test-threads", "1"])
            .env(TASK, task)
            .env(PATH, path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        Self(command.unwrap())
    }

    /// The lines that the child writes for its parent, without the test harness's own.
    fn lines(&mut self) -> impl Iterator<Item = String> + use<> {
        let lines = BufReader::new(self.0.stdout.take().unwrap()).lines();
        lines
            .map_while(Result::ok)
            .filter_map(|line| line.split_once("say ").map(|(_, said)| said.to_owned()))
    }
}

fn say(text: impl std::fmt::Display) {
    println!("say {text}");
    std::io::stdout().flush().unwrap();
}

/// What another process does; nothing when the tests are run as usual.
#[test]
fn child() {
    let (Ok(what), Ok(path)) = (std::env::var(TASK), std::env::var(PATH)) else { return };
    let wait = || std::io::stdin().read_line(&mut String::new()).unwrap();
    match what.as_str() {
        "open" => {
            let store = builder().open(path).unwrap();
            say("open");
            wait();
            store.close().unwrap();
        }
        "try" => match builder().open_timeout(Duration::from_millis(200)).open(path) {
            Ok(_) => say("opened"),
            Err(Error::Locked { .. }) => say("locked"),
            Err(error) => say(format!("{error:?}")),
        },
        "read" => {
            let store = builder().read_only().open(path).unwrap();
            let ada = store.session(&UserId::new("ada").unwrap()).unwrap();
            say(ada.count::<Task>().unwrap());
            wait();
            match ada.count::<Task>() {
                Ok(count) => say(count),
                Err(Error::Disabled { .. }) => say("disabled"),
                Err(error) => say(format!("{error:?}")),
            }
        }
        "write" => {
            let store = builder().open(path).unwrap();
            let start = Barrier::new(3);
            thread::scope(|scope| {
                for name in ["ada", "grace", "joan"] {
                    let (session, start) = (user(&store, name), &start);
                    scope.spawn(move || {
                        start.wait();
                        for number in 0.. {
                            let ids = session
                                .transaction(|tx| {
                                    let a = tx.insert(&task(format!("{number}a")))?;
                                    Ok([a, tx.insert(&task(format!("{number}b")))?])
                                })
                                .unwrap();
                            say(format!("{name} {} {}", ids[0], ids[1]));
                        }
                    });
                }
            });
        }
        other => panic!("no such task: {other}"),
    }
}

#[test]
fn a_store_is_opened_for_writing_once_in_a_process() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    let store = builder().open(&path).unwrap();
    let begin = Instant::now();
    assert!(matches!(builder().open(&path), Err(Error::Locked { .. })));
    assert!(begin.elapsed() < Duration::from_secs(1), "waiting for oneself has no end");
    let clone = store.clone();
    drop(store);
    assert!(matches!(builder().open(&path), Err(Error::Locked { .. })), "a clone keeps it open");
    drop(clone);
    let session = user(&builder().open(&path).unwrap(), "ada");
    assert!(matches!(builder().open(&path), Err(Error::Locked { .. })), "and so does a session");
    drop(session);
    builder().open(&path).unwrap();
}

#[test]
fn a_failed_opening_leaves_the_path_free() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    fs::write(&path, "no store").unwrap();
    assert!(matches!(builder().open(&path), Err(Error::Corrupt { .. })));
    fs::remove_file(&path).unwrap();
    builder().open(&path).unwrap().close().unwrap();
}

#[test]
fn another_process_waits_and_then_finds_the_store_locked() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    let mut other = Process::start("open", &path);
    assert_eq!(other.lines().next().as_deref(), Some("open"));
    let begin = Instant::now();
    let refused = builder().open_timeout(Duration::from_millis(300)).open(&path);
    assert!(matches!(refused, Err(Error::Locked { .. })));
    assert!(begin.elapsed() >= Duration::from_millis(300));
    // It closes while this one waits.
    let mut input = other.0.stdin.take().unwrap();
    let closing = thread::spawn(move || {
        thread::sleep(Duration::from_millis(200));
        writeln!(input).unwrap();
    });
    let store = builder().open_timeout(Duration::from_secs(20)).open(&path).unwrap();
    closing.join().unwrap();
    let mut third = Process::start("try", &path);
    assert_eq!(third.lines().next().as_deref(), Some("locked"));
    store.close().unwrap();
    let mut fourth = Process::start("try", &path);
    assert_eq!(fourth.lines().next().as_deref(), Some("opened"));
}

#[test]
fn a_reader_beside_the_writer_sees_commits_and_revocations() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    let store = builder().open(&path).unwrap();
    let ada = user(&store, "ada");
    ada.insert(&task(1)).unwrap();
    for (revoke, expected) in [(false, "2"), (true, "disabled")] {
        let mut reader = Process::start("read", &path);
        let mut lines = reader.lines();
        let first = if revoke { "2" } else { "1" };
        assert_eq!(lines.next().as_deref(), Some(first));
        if revoke {
            store.users().disable(ada.user()).unwrap();
        } else {
            ada.insert(&task(2)).unwrap();
        }
        writeln!(reader.0.stdin.as_ref().unwrap()).unwrap();
        assert_eq!(lines.next().as_deref(), Some(expected));
    }
}

#[test]
fn a_read_only_store_refuses_every_write() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    let writer = builder().open(&path).unwrap();
    let acme = OrganizationId::new("acme").unwrap();
    let ada = user(&writer, "ada");
    writer.organizations().create(&acme).unwrap();
    writer.organizations().add_member(&acme, ada.user(), Role::Admin).unwrap();
    let id = ada.insert(&task(1)).unwrap();
    let store = builder().read_only().open(&path).unwrap();
    let session = store.session(ada.user()).unwrap();
    assert_eq!(session.get(id).unwrap().title, "1");
    let read_only = |error: Error| assert!(matches!(error, Error::ReadOnly { .. }), "{error:?}");
    read_only(session.insert(&task(2)).unwrap_err());
    read_only(session.patch(id, Task::TITLE.set("x")).unwrap_err());
    read_only(session.delete(id).unwrap_err());
    read_only(session.query::<Task>().delete().unwrap_err());
    read_only(session.transaction(|tx| tx.get(id)).unwrap_err());
    read_only(store.users().create(&UserId::new("x").unwrap()).unwrap_err());
    read_only(store.users().disable(ada.user()).unwrap_err());
    read_only(store.organizations().remove_member(&acme, ada.user()).unwrap_err());
    assert!(
        session.find(Id::<Task>::from_uuid(tenantry::Uuid::nil())).unwrap().is_none(),
        "a miss is not noted"
    );
    assert!(matches!(
        session.in_organization(&OrganizationId::new("x").unwrap()),
        Err(Error::NotMember { .. })
    ));
    let inside = session.in_organization(&acme).unwrap();
    ada.insert(&task("later")).unwrap();
    assert_eq!(session.count::<Task>().unwrap(), 2, "each call sees what is committed");
    // Revocations by the writer hold for a store that knows of them only through the file.
    writer.organizations().remove_member(&acme, ada.user()).unwrap();
    assert!(matches!(inside.role(), Err(Error::NotMember { .. })));
    writer.users().disable(ada.user()).unwrap();
    assert!(matches!(session.get(id), Err(Error::Disabled { .. })));
    assert!(matches!(session.query::<Task>().iter().map(drop), Err(Error::Disabled { .. })));
    assert!(matches!(session.audit().list(), Err(Error::Disabled { .. })));
    assert_clean(&store);
    store.close().unwrap();
    writer.close().unwrap();
}

#[test]
fn a_closed_store_answers_closed_and_leaves_one_whole_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    let store = builder().open(&path).unwrap();
    let ada = user(&store, "ada");
    let id = ada.insert(&task(1)).unwrap();
    let clone = store.clone();
    store.close().unwrap();
    store.close().unwrap();
    let closed = |error: Error| assert!(matches!(error, Error::Closed), "{error:?}");
    closed(ada.get(id).unwrap_err());
    closed(ada.insert(&task(2)).unwrap_err());
    closed(ada.query::<Task>().count().unwrap_err());
    closed(ada.query::<Task>().iter().map(drop).unwrap_err());
    closed(ada.transaction(|_| Ok(())).unwrap_err());
    closed(ada.audit().list().unwrap_err());
    closed(clone.session(ada.user()).map(drop).unwrap_err());
    closed(clone.users().list(None, 1).unwrap_err());
    closed(clone.users().create(&UserId::new("x").unwrap()).unwrap_err());
    closed(clone.check().unwrap_err());
    let wal = folder.path().join("app.db-wal");
    assert!(fs::metadata(&wal).map_or(0, |wal| wal.len()) == 0, "the log is in the file");
    // The file by itself is the store.
    let copy = folder.path().join("copy.db");
    fs::copy(&path, &copy).unwrap();
    for path in [&copy, &path] {
        let store = builder().open(path).unwrap();
        assert_eq!(user(&store, "ada").get(id).unwrap().title, "1");
        assert_clean(&store);
    }
    assert!(matches!(ada.get(id), Err(Error::Closed)), "reopening does not revive old sessions");
}

#[test]
fn closing_waits_for_an_open_transaction() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    let store = builder().open(&path).unwrap();
    let ada = user(&store, "ada");
    let begun = Barrier::new(2);
    thread::scope(|scope| {
        scope.spawn(|| {
            ada.transaction(|tx| {
                begun.wait();
                thread::sleep(Duration::from_millis(100));
                tx.insert(&task("in time"))
            })
            .unwrap();
        });
        begun.wait();
        store.close().unwrap();
    });
    let store = builder().open(&path).unwrap();
    assert_eq!(user(&store, "ada").count::<Task>().unwrap(), 1);
    assert_clean(&store);
}

/// Every write that was answered is there after a kill, and no transaction is there by half.
#[test]
fn a_kill_in_the_middle_of_writes_loses_nothing_that_was_answered() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    for round in 0..4_usize {
        let mut process = Process::start("write", &path);
        let mut lines = process.lines();
        let mut answered: Vec<String> = lines.by_ref().take(5 + 17 * round).collect();
        process.0.kill().unwrap();
        process.0.wait().unwrap();
        // What was said before the kill and not read yet counts as well.
        answered.extend(lines.filter(|line| line.split(' ').nth(2).is_some_and(|id| id.len() == 36)));
        assert!(answered.len() >= 5 + 17 * round);
        let store = builder().open(&path).unwrap();
        for line in &answered {
            let parts: Vec<&str> = line.split(' ').collect();
            let session = user(&store, parts[0]);
            for id in &parts[1..] {
                assert!(session.exists(id.parse::<Id<Task>>().unwrap()).unwrap(), "{line}");
            }
        }
        for name in ["ada", "grace", "joan"] {
            assert_eq!(user(&store, name).count::<Task>().unwrap() % 2, 0, "both of a transaction or none");
        }
        assert_clean(&store);
        store.close().unwrap();
        fs::remove_file(&path).unwrap();
    }
}

/// Bytes that look random and are the same in every run.
fn randomness() -> impl Fn(&mut [u8]) + Send + Sync + 'static {
    let state = AtomicU64::new(1);
    move |bytes: &mut [u8]| {
        for byte in bytes {
            let next = state.load(Ordering::Relaxed).wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            state.store(next, Ordering::Relaxed);
            *byte = next.to_be_bytes()[0];
        }
    }
}

fn at(milliseconds: i64) -> Timestamp {
    Timestamp::from_millisecond(milliseconds).unwrap()
}

#[test]
fn injected_time_and_randomness_make_everything_the_same() {
    let run = || {
        let time = AtomicI64::new(1_700_000_000_000);
        let clock = move || at(time.fetch_add(7, Ordering::Relaxed));
        let store = builder().clock(clock).randomness(randomness()).temporary().unwrap();
        let ada = user(&store, "ada");
        let ids: Vec<Id<Task>> = (0..20).map(|number| ada.insert(&task(number)).unwrap()).collect();
        ada.update(ids[3], &task("changed")).unwrap();
        ada.delete(ids[5]).unwrap();
        let log = ada.audit().list().unwrap();
        (ids, ada.list::<Task>().unwrap(), log, ada.audit().verify().unwrap().head)
    };
    assert_eq!(run(), run());
}

#[test]
fn ids_rise_when_the_clock_stands_still_or_goes_back() {
    let time = Arc::new(AtomicI64::new(1_700_000_000_000));
    let clock = Arc::clone(&time);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    let open = || {
        let clock = Arc::clone(&clock);
        builder().clock(move || at(clock.load(Ordering::Relaxed))).open(&path).unwrap()
    };
    let mut ids: Vec<Id<Task>> = Vec::new();
    for (round, step) in [0, -60_000, 1, -1, 120_000].into_iter().enumerate() {
        time.fetch_add(step, Ordering::Relaxed);
        // Reopened each time, so that the last id comes from the file.
        let store = open();
        let ada = user(&store, "ada");
        for number in 0..20 {
            ids.push(ada.insert(&task(format!("{round} {number}"))).unwrap());
        }
        let listed: Vec<Id<Task>> = ada.list::<Task>().unwrap().iter().map(|record| record.id).collect();
        assert_eq!(listed, ids);
        let log = ada.audit().list().unwrap();
        assert!(log.windows(2).all(|pair| pair[0].clock < pair[1].clock), "and so does the log's clock");
        assert_clean(&store);
    }
    assert!(ids.windows(2).all(|pair| pair[0] < pair[1]));
}

#[test]
fn a_record_over_the_size_limit_is_refused_whole() {
    let store = builder().record_bytes_max(100).temporary().unwrap();
    let ada = user(&store, "ada");
    let id = ada.insert(&task("x".repeat(100))).unwrap();
    let refused = |error: Error| {
        assert!(matches!(error, Error::LimitExceeded { limit: "record size", .. }), "{error:?}")
    };
    refused(ada.insert(&task("y".repeat(101))).unwrap_err());
    refused(ada.insert(&task("é".repeat(51))).unwrap_err());
    refused(ada.patch(id, Task::TITLE.set("z".repeat(101))).unwrap_err());
    refused(ada.insert_many(&[task("fits"), task("y".repeat(101))]).unwrap_err());
    assert_eq!((ada.count::<Task>().unwrap(), ada.get(id).unwrap().version), (1, 1));
    assert_clean(&store);
}
