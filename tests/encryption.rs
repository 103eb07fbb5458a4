//! Stores that are encrypted at rest: what is refused and left as it was, that nothing can be read in the raw files, and
//! that a store has one key or the other whenever a process that gives it another one is killed.

#![cfg(feature = "sqlcipher")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tenantry::{
    Builder, Entity, Error, Key, KeyProblem, OrganizationId, Partitioning, Role, Store, TenantSession, UserId,
};

#[derive(Debug, Clone, PartialEq, Entity)]
#[entity(unique(title))]
struct Task {
    title: String,
    #[entity(secret)]
    note: String,
}

#[derive(Debug, Clone, PartialEq, Entity)]
#[entity(tenancy = reference)]
struct CanaryReference {
    name: String,
}

const A: [u8; 32] = *b"the first key of 32 bytes: 1...A";
const B: [u8; 32] = *b"another key of 32 bytes: 2.....B";
/// What must not be found anywhere.
const CANARIES: [&str; 8] = [
    "canary-title",
    "canary-note",
    "canary-user",
    "canary-organization",
    "canary-name",
    "CanaryReference",
    "_rows_",
    "CREATE TABLE",
];

fn builder() -> Builder {
    Store::builder()
        .entity::<Task>()
        .entity::<CanaryReference>()
        .open_timeout(Duration::from_millis(50))
        .wait_timeout(Duration::from_secs(4))
}

fn keyed(key: [u8; 32]) -> Builder {
    builder().encryption_key(Key::raw(key))
}

fn user_id(id: &str) -> UserId {
    UserId::new(id).unwrap()
}

fn user(store: &Store, id: &str) -> TenantSession {
    store.session(&store.users().get_or_create(&user_id(id)).unwrap()).unwrap()
}

fn task(title: impl Into<String>) -> Task {
    Task { title: title.into(), note: "canary-note".into() }
}

/// Something of everything that a store holds, with canaries in it.
fn furnish(store: &Store) {
    let session = user(store, "canary-user");
    for number in 0..200 {
        session.insert(&task(format!("canary-title {number} {}", "x".repeat(100)))).unwrap();
    }
    let acme = OrganizationId::new("canary-organization").unwrap();
    store.organizations().create(&acme).unwrap();
    store.organizations().add_member(&acme, &user_id("canary-user"), Role::Member).unwrap();
    store.reference().insert(&CanaryReference { name: "canary-name".into() }).unwrap();
}

fn assert_furnished(store: &Store) {
    let report = store.check().unwrap();
    assert!(report.is_clean(), "{report}");
    let session = user(store, "canary-user");
    assert_eq!(session.count::<Task>().unwrap(), 200);
    assert_eq!(store.reference().list::<CanaryReference>().unwrap().len(), 1);
    assert!(session.audit().verify().unwrap().is_intact());
}

/// A closed store, and the folder that it lies in.
fn closed(key: [u8; 32]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    let store = keyed(key).open(&path).unwrap();
    user(&store, "ada").insert(&task("kept")).unwrap();
    store.close().unwrap();
    (folder, path)
}

/// Every file of a store but its lock.
fn files(path: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let folder = if path.is_dir() { path } else { path.parent().unwrap() };
    fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file() && path.extension().is_none_or(|extension| extension != "lock"))
        .map(|path| (path.clone(), fs::read(&path).unwrap()))
        .collect()
}

fn contains(bytes: &[u8], text: &[u8]) -> bool {
    bytes.windows(text.len()).any(|window| window == text)
}

fn assert_nothing_readable(path: &Path, at_least: usize) {
    let files = files(path);
    assert!(files.len() >= at_least, "{:?}", files.keys());
    for (path, bytes) in files {
        for canary in CANARIES.iter().map(|text| text.as_bytes()).chain([&A[..], &B[..], b"SQLite format 3"])
        {
            let found = contains(&bytes, canary);
            assert!(!found, "{} holds {:?}", path.display(), String::from_utf8_lossy(canary));
        }
    }
}

/// Opening fails in both modes and leaves every file as it was.
fn refused(path: &Path, open: impl Fn() -> Builder, expected: impl Fn(&Error) -> bool) -> Error {
    let before = files(path);
    let error = open().open(path).unwrap_err();
    assert!(expected(&error), "{error:?}");
    assert!(files(path) == before, "opening changed a file that it refused");
    let reading = open().read_only().open(path).unwrap_err();
    assert!(expected(&reading), "reading: {reading:?}");
    assert!(files(path) == before, "reading changed a file that it refused");
    for text in [error.to_string(), format!("{error:?}"), format!("{:?}", open())] {
        for key in [A, B] {
            let digits: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
            assert!(!text.contains(&*String::from_utf8_lossy(&key)) && !text.contains(&digits), "{text}");
        }
    }
    error
}

fn has(problem: KeyProblem) -> impl Fn(&Error) -> bool {
    move |error| matches!(error, Error::Key { problem: found, .. } if *found == problem)
}

/// A look into an encrypted file, past the library.
fn raw(path: &Path, key: [u8; 32]) -> Connection {
    let connection = Connection::open(path).unwrap();
    let digits: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
    connection.pragma_update(None, "key", format!("x'{digits}'")).unwrap();
    connection
}

#[test]
fn an_encrypted_store_is_made_closed_and_opened_again() {
    for partitions in [None, Some(3)] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app");
        let open = || match partitions {
            Some(partitions) => keyed(A).partitions(partitions),
            None => keyed(A),
        };
        let store = open().open(&path).unwrap();
        furnish(&store);
        store.close().unwrap();
        let store = open().open(&path).unwrap();
        assert_furnished(&store);
        let beside = open().read_only().open(&path).unwrap();
        assert_eq!(beside.session(&user_id("canary-user")).unwrap().count::<Task>().unwrap(), 200);
        let sql = user(&store, "canary-user").sql("SELECT count(*) FROM task").rows().unwrap();
        assert_eq!(sql.len(), 1);
    }
}

#[test]
fn another_key_no_key_and_a_key_for_a_plain_store_are_refused_by_name() {
    let (_folder, path) = closed(A);
    refused(&path, || keyed(B), has(KeyProblem::Wrong));
    refused(&path, || builder().encryption_key(Key::passphrase("a guess")), has(KeyProblem::Wrong));
    let error = refused(&path, builder, has(KeyProblem::Missing));
    assert!(error.to_string().contains("encryption_key"), "{error}");
    // The first is the store's even while another `Store` of this process has it open.
    let store = keyed(A).open(&path).unwrap();
    for open in [keyed(B), builder()] {
        let error = open.read_only().open(&path).unwrap_err();
        assert!(matches!(error, Error::Key { .. } | Error::Corrupt { .. }), "{error:?}");
    }
    assert_eq!(user(&store, "ada").count::<Task>().unwrap(), 1);
    drop(store);

    let folder = tempfile::tempdir().unwrap();
    let plain = folder.path().join("plain.db");
    builder().open(&plain).unwrap().close().unwrap();
    refused(&plain, || keyed(A), has(KeyProblem::NotEncrypted));
    let empty = builder().encryption_key(Key::passphrase("")).open(folder.path().join("new.db")).unwrap_err();
    assert!(matches!(empty, Error::InvalidInput { .. }), "{empty:?}");
    assert!(!folder.path().join("new.db").exists());
}

/// The feature adds something and changes nothing else.
#[test]
fn a_store_without_a_key_is_a_plain_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plain.db");
    let store = builder().open(&path).unwrap();
    furnish(&store);
    store.close().unwrap();
    assert!(fs::read(&path).unwrap().starts_with(b"SQLite format 3\0"));
    let plain = Connection::open(&path).unwrap();
    assert_eq!(plain.query_row("SELECT count(*) FROM task", [], |row| row.get(0)), Ok(200));
    assert_furnished(&builder().open(&path).unwrap());
}

#[test]
fn a_temporary_store_is_encrypted_with_a_key_that_nobody_keeps() {
    for partitions in [None, Some(2)] {
        let open = match partitions {
            Some(partitions) => builder().partitions(partitions),
            None => builder(),
        };
        let store = open.temporary().unwrap();
        furnish(&store);
        assert_furnished(&store);
        assert_nothing_readable(store.path(), 3);
    }
}

/// What is no store of the key is refused as long as nothing was written to it.
#[test]
fn what_is_no_encrypted_store_is_refused_and_kept() {
    let is_corrupt = |error: &Error| matches!(error, Error::Corrupt { .. });
    let (folder, path) = closed(A);
    let whole = fs::read(&path).unwrap();
    let other = folder.path().join("other.db");
    let foreign = raw(&other, A);
    foreign.execute_batch("CREATE TABLE t (a); INSERT INTO t VALUES (1)").unwrap();
    drop(foreign);
    let error = refused(&other, || keyed(A), is_corrupt);
    assert!(error.to_string().contains("another application"), "{error}");
    for length in [0, 1, 15, 99, 100, 4095, 4097, whole.len() - 1] {
        fs::write(&other, &whole[..length]).unwrap();
        refused(&other, || keyed(A), is_corrupt);
    }
    for length in [4096, 8192, whole.len() / 8192 * 4096, whole.len() - 4096] {
        fs::write(&other, &whole[..length]).unwrap();
        let error = refused(&other, || keyed(A), is_corrupt);
        assert!(error.to_string().contains("cut off"), "{error}");
    }
    fs::write(&other, vec![0x5a; 8192]).unwrap();
    refused(&other, || keyed(A), has(KeyProblem::Wrong));
    for (version, newer) in [(2, true), (0, false)] {
        fs::write(&other, &whole).unwrap();
        raw(&other, A).pragma_update(None, "user_version", version).unwrap();
        raw(&other, A).query_row("PRAGMA journal_mode = DELETE", [], |_| Ok(())).unwrap();
        let expected =
            |error: &Error| if newer { matches!(error, Error::Schema { .. }) } else { is_corrupt(error) };
        refused(&other, || keyed(A), expected);
    }
}

/// A store that was not closed: what it holds is in the log of writes, and so may its key be.
#[test]
fn a_store_that_was_not_closed_keeps_its_file_and_its_log_when_it_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (path, copied) = (folder.path().join("app.db"), folder.path().join("copy"));
    let store = keyed(A).open(&path).unwrap();
    furnish(&store);
    fs::create_dir(&copied).unwrap();
    for suffix in ["", "-wal"] {
        fs::copy(folder.path().join(format!("app.db{suffix}")), copied.join(format!("app.db{suffix}")))
            .unwrap();
    }
    let path = copied.join("app.db");
    let durable = || {
        let mut files = files(&path);
        assert!(files.contains_key(&copied.join("app.db-wal")));
        // SQLite's index of the log, which holds no content, can be made anew at any time.
        files.remove(&copied.join("app.db-shm"));
        files
    };
    let before = durable();
    for open in [keyed(B), builder(), keyed(B).read_only()] {
        let error = open.open(&path).unwrap_err();
        assert!(matches!(error, Error::Key { .. }), "{error:?}");
        assert!(durable() == before, "opening changed a file that it refused");
    }
    assert_furnished(&keyed(A).open(&path).unwrap());
}

/// Each bit of the first page is part of what is authenticated, its salt of what the key is made with.
#[test]
fn a_flipped_bit_in_the_first_page_is_refused_and_in_another_found() {
    let (folder, path) = closed(A);
    let whole = fs::read(&path).unwrap();
    let other = folder.path().join("other.db");
    for bit in (0..8 * 4096).step_by(397) {
        let mut bytes = whole.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        fs::write(&other, &bytes).unwrap();
        let error = keyed(A).read_only().open(&other).unwrap_err();
        assert!(has(KeyProblem::Wrong)(&error), "bit {bit}: {error:?}");
        assert!(fs::read(&other).unwrap() == bytes, "bit {bit}: the file was changed");
    }
    for page in 1..whole.len() / 4096 {
        let mut bytes = whole.clone();
        bytes[page * 4096 + 100] ^= 1;
        fs::write(&other, &bytes).unwrap();
        let found = match keyed(A).read_only().open(&other) {
            Ok(store) => store.check().is_err() || !store.check().unwrap().is_clean(),
            Err(_) => true,
        };
        assert!(found, "page {page}");
    }
}

#[test]
fn nothing_can_be_read_in_the_raw_files() {
    for (partitions, passphrase) in [(None, false), (None, true), (Some(2), false)] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app");
        let key = if passphrase { Key::passphrase("canary-passphrase") } else { Key::raw(A) };
        let open = builder().encryption_key(key);
        let open = match partitions {
            Some(partitions) => open.partitions(partitions),
            None => open,
        };
        let store = open.open(&path).unwrap();
        furnish(&store);
        user(&store, "canary-user").sql("SELECT * FROM task ORDER BY note").rows().unwrap();
        // With the log of writes, and the index of it.
        assert_nothing_readable(&path, 3);
        store.close().unwrap();
        assert_nothing_readable(&path, 1);
        assert!(files(&path).values().all(|bytes| !contains(bytes, b"canary-passphrase")));
    }
}

/// The first look at a file names it in a URI.
#[test]
fn a_path_of_any_characters_is_the_path() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["a?mode=memory", "a#b", "a%41b", "ä 表 🦀", "a&immutable=0", "'a\"b", "file:a"] {
        let path = folder.path().join(name);
        keyed(A).open(&path).unwrap().close().unwrap();
        assert!(keyed(A).read_only().open(&path).is_ok(), "{name}");
        assert!(has(KeyProblem::Wrong)(&keyed(B).open(&path).unwrap_err()), "{name}");
    }
    // And no other: but for what SQLite keeps beside them.
    let beside = |path: &PathBuf| ["-wal", "-shm"].iter().any(|end| path.to_string_lossy().ends_with(end));
    assert_eq!(files(&folder.path().join("a#b")).keys().filter(|path| !beside(path)).count(), 7);
}

/// A store that another one of this process, or of another process, has given another key.
#[test]
fn a_store_that_only_reads_has_to_be_opened_anew_after_another_key() {
    let (_folder, path) = closed(A);
    let store = keyed(A).open(&path).unwrap();
    let reading = keyed(A).read_only().open(&path).unwrap();
    let session = reading.session(&user_id("ada")).unwrap();
    assert_eq!(session.count::<Task>().unwrap(), 1);
    store.rekey(Key::raw(B)).unwrap();
    user(&store, "ada").insert(&task("later")).unwrap();
    let error = session.list::<Task>().unwrap_err();
    assert!(error.to_string().contains("another key since it was opened"), "{error}");
    for _ in 0..3 {
        let error = session.list::<Task>().unwrap_err();
        assert!(matches!(error, Error::Corrupt { .. } | Error::Io { .. }), "{error:?}");
    }
    drop((session, reading));
    let reading = keyed(B).read_only().open(&path).unwrap();
    assert_eq!(reading.session(&user_id("ada")).unwrap().count::<Task>().unwrap(), 2);
    assert!(store.check().unwrap().is_clean());
}

/// A passphrase is derived as SQLCipher itself does it.
#[test]
fn any_tool_made_with_sqlcipher_4_opens_the_file_with_the_passphrase() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    let open = |passphrase: &str| builder().encryption_key(Key::passphrase(passphrase)).open(&path);
    let store = open("correct horse 'battery\" staple").unwrap();
    furnish(&store);
    store.close().unwrap();
    let began = Instant::now();
    let tool = Connection::open(&path).unwrap();
    tool.pragma_update(None, "key", "correct horse 'battery\" staple").unwrap();
    assert_eq!(tool.query_row("SELECT count(*) FROM task", [], |row| row.get(0)), Ok(200));
    println!("SQLCipher derives in {:?}", began.elapsed());
    drop(tool);
    assert!(has(KeyProblem::Wrong)(&open("correct horse").unwrap_err()));
    assert_furnished(&open("correct horse 'battery\" staple").unwrap());
}

#[test]
fn a_store_gets_another_key_and_goes_on() {
    for partitions in [None, Some(3)] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app");
        let open = |key: Key| {
            let open = builder().encryption_key(key);
            match partitions {
                Some(partitions) => open.partitions(partitions),
                None => open,
            }
        };
        let store = open(Key::raw(A)).open(&path).unwrap();
        furnish(&store);
        let main = if partitions.is_some() { path.join("catalog.db") } else { path.clone() };
        let session = user(&store, "canary-user");
        assert_eq!(session.sql("SELECT title FROM task").rows().unwrap().len(), 200);
        for key in [Key::raw(B), Key::passphrase("one"), Key::passphrase("two"), Key::raw(B)] {
            store.rekey(key).unwrap();
            // Pages of the former key are neither in the log of writes nor in the file.
            assert_eq!(fs::metadata(format!("{}-wal", main.display())).map_or(0, |log| log.len()), 0);
            // What is open goes on: reading, writing, SQL, looking up who exists.
            let id = session.insert(&task("between")).unwrap();
            assert_eq!(session.sql("SELECT title FROM task").rows().unwrap().len(), 201);
            session.delete(id).unwrap();
            assert_furnished(&store);
            assert_nothing_readable(&path, 1);
        }
        assert!(raw(&main, A).query_row("SELECT 1 FROM _store", [], |_| Ok(())).is_err());
        store.close().unwrap();
        refused(&path, || open(Key::raw(A)), has(KeyProblem::Wrong));
        assert_furnished(&open(Key::raw(B)).open(&path).unwrap());
        // No page of the former key is left: SQLCipher checks each one.
        let pages: Vec<String> = raw(&main, B)
            .prepare("PRAGMA cipher_integrity_check")
            .unwrap()
            .query_map([], |row| row.get(0))
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap();
        assert_eq!(pages, Vec::<String>::new());
    }
}

#[test]
fn a_key_is_not_changed_where_it_can_not_be() {
    let folder = tempfile::tempdir().unwrap();
    let plain = builder().open(folder.path().join("plain.db")).unwrap();
    assert!(has(KeyProblem::NotEncrypted)(&plain.rekey(Key::raw(A)).unwrap_err()));
    let (_folder, path) = closed(A);
    let reading = keyed(A).read_only().open(&path).unwrap();
    assert!(matches!(reading.rekey(Key::raw(B)), Err(Error::ReadOnly { .. })));
    drop(reading);

    let store = keyed(A).wait_timeout(Duration::from_millis(200)).open(&path).unwrap();
    let session = user(&store, "ada");
    assert!(matches!(store.rekey(Key::passphrase("")), Err(Error::InvalidInput { .. })));
    let mut records = session.query::<Task>().iter().unwrap();
    records.next().unwrap().unwrap();
    assert!(matches!(store.rekey(Key::raw(B)), Err(Error::Busy { .. })), "an iterator is open");
    drop(records);
    let within = session.transaction(|_| store.rekey(Key::raw(B)));
    assert!(matches!(within, Err(Error::Busy { .. })), "a transaction is open on this thread");
    session.insert(&task("goes on")).unwrap();
    store.close().unwrap();
    assert!(matches!(store.rekey(Key::raw(B)), Err(Error::Closed)));
    assert_eq!(user(&keyed(A).open(&path).unwrap(), "ada").count::<Task>().unwrap(), 2);
}

/// SQLCipher says nothing of a transaction that could not be written; the file does.
#[test]
fn a_store_goes_on_with_its_key_if_it_could_not_be_given_another() {
    for partitions in [None, Some(2)] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app");
        let (open, main) = match partitions {
            Some(partitions) => (keyed(A).partitions(partitions), path.join("catalog.db")),
            None => (keyed(A), path.clone()),
        };
        let store = open.open(&path).unwrap();
        furnish(&store);
        let tool = raw(&main, A);
        tool.execute_batch("BEGIN IMMEDIATE").unwrap();
        let error = store.rekey(Key::raw(B)).unwrap_err();
        assert!(error.is_retryable(), "{error:?}");
        drop(tool);
        user(&store, "canary-user")
            .update_where(Task::TITLE.starts_with("canary"), Task::NOTE.set("x"))
            .unwrap();
        user(&store, "another");
        assert_furnished(&store);
        store.close().unwrap();
        let store = keyed(A).open(&path).unwrap();
        assert_furnished(&store);
        store.rekey(Key::raw(B)).unwrap();
        assert_furnished(&store);
        store.close().unwrap();
        assert_furnished(&keyed(B).open(&path).unwrap());
    }
}

/// Who reads and writes meanwhile waits, and meets nothing else.
#[test]
fn a_key_is_changed_under_readers_and_writers() {
    for partitions in [None, Some(2)] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app");
        let open = match partitions {
            Some(partitions) => keyed(A).partitions(partitions),
            None => keyed(A),
        };
        let store = open.open(&path).unwrap();
        furnish(&store);
        let ended = AtomicBool::new(false);
        let written = thread::scope(|scope| {
            let work = |name: &'static str| {
                let (store, ended) = (store.clone(), &ended);
                move || {
                    let session = user(&store, name);
                    let mut written = 0;
                    while !ended.load(Ordering::Relaxed) {
                        session.insert(&task(format!("{name} {written}"))).unwrap();
                        written += 1;
                        assert_eq!(session.count::<Task>().unwrap(), written);
                        assert_eq!(session.sql("SELECT id FROM task").rows().unwrap().len() as u64, written);
                    }
                    written
                }
            };
            let threads = ["ada", "grace", "linus"].map(|name| scope.spawn(work(name)));
            for round in 0..10_u8 {
                store.rekey(Key::raw([round; 32])).unwrap();
                thread::sleep(Duration::from_millis(20));
            }
            ended.store(true, Ordering::Relaxed);
            threads.map(|thread| thread.join().unwrap())
        });
        assert!(written.iter().all(|written| *written > 0), "{written:?}");
        assert_furnished(&store);
        store.close().unwrap();
        let store = keyed([9; 32]).open(&path).unwrap();
        assert_eq!(user(&store, "ada").count::<Task>().unwrap(), written[0]);
    }
}

const CHILD: &str = "TENANTRY_TEST_REKEYS";

/// What the other process does; nothing when the tests are run as usual.
#[test]
fn child() {
    let Ok(path) = std::env::var(CHILD) else { return };
    let store = keyed(A).open(path).or_else(|_| keyed(B).open(std::env::var(CHILD).unwrap())).unwrap();
    println!("ready");
    for key in [B, A].into_iter().cycle() {
        store.rekey(Key::raw(key)).unwrap();
    }
}

/// Kills a process that gives the store one key and another, again and again.
#[cfg(unix)]
#[test]
fn a_kill_leaves_the_one_key_or_the_other() {
    use std::io::{BufRead, BufReader};
    for (partitions, rounds) in [(None, 15), (Some(2), 6)] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app");
        let open = |key| match partitions {
            Some(partitions) => keyed(key).partitions(partitions),
            None => keyed(key),
        };
        let store = open(A).open(&path).unwrap();
        furnish(&store);
        drop(store);
        let mut keys = [0, 0];
        for round in 0..rounds {
            let mut child = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "child", "--nocapture", "--test-threads", "1"])
                .env(CHILD, &path)
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
            assert!(lines.any(|line| line.unwrap().contains("ready")), "round {round}");
            thread::sleep(Duration::from_micros(1_100 * round));
            child.kill().unwrap();
            child.wait().unwrap();
            let opened = [A, B].map(|key| open(key).read_only().open(&path).is_ok());
            assert!(opened[0] != opened[1], "round {round}: {opened:?}");
            keys[usize::from(opened[1])] += 1;
            let store = open(if opened[0] { A } else { B }).open(&path).unwrap();
            assert_furnished(&store);
            assert_eq!(
                store.partitions().partitioning().unwrap() == Partitioning::Single,
                partitions.is_none()
            );
        }
        println!("{partitions:?}: killed with the keys {keys:?}");
    }
}

/// Connections are cheap: the key is derived once for each opening.
#[test]
fn a_passphrase_is_derived_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    let open =
        || builder().encryption_key(Key::passphrase("slow to derive")).readers(12).open(&path).unwrap();
    drop(open());
    let began = Instant::now();
    let store = open();
    let opening = began.elapsed();
    let session = user(&store, "ada");
    let id = session.insert(&task("one")).unwrap();
    let began = Instant::now();
    let iterators: Vec<_> = (0..9).map(|_| session.query::<Task>().iter().unwrap()).collect();
    let connections = began.elapsed();
    println!("opened in {opening:?}, and {} connections in {connections:?}", iterators.len());
    assert!(iterators.into_iter().all(|mut records| records.next().unwrap().unwrap().id == id));
    // Each derivation by itself would take most of what opening did.
    assert!(connections < opening, "{connections:?} for connections, {opening:?} for opening");
}

#[test]
fn whoever_is_erased_is_gone_from_encrypted_files_too() {
    for partitions in [None, Some(3)] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store");
        let open = |key| match partitions {
            Some(count) => keyed(key).partitions(count).open(&path),
            None => keyed(key).open(&path),
        };
        let store = open(A).unwrap();
        furnish(&store);
        user(&store, "other").insert(&task("stays")).unwrap();
        let erased = store.users().erase(&user_id("canary-user")).unwrap();
        assert!(erased.rows >= 200 && erased.scrubbed, "{erased:?}");
        store.rekey(Key::raw(B)).unwrap();
        let report = store.check().unwrap();
        assert!(report.is_clean(), "{report}");
        store.close().unwrap();
        let store = open(B).unwrap();
        assert!(matches!(store.session(&user_id("canary-user")), Err(Error::UnknownUser { .. })));
        assert_eq!(user(&store, "other").count::<Task>().unwrap(), 1);
    }
}
