//! `docs/verify_audit.py`, which knows nothing but `docs/audit-format.md`, finds what the library finds,
//! and nothing else: in good stores and in tampered ones. No file, however hostile, makes it fail without a word.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicI64, Ordering};

use rusqlite::types::Value;
use rusqlite::{Connection, params};
use tenantry::{
    Anchor, Builder, Entity, Error, Finding, LogRetention, OrganizationId, Result, Role, Store, StoreRole,
    TenantSession, Timestamp, UserId, Verification,
};

#[derive(Debug, Clone, PartialEq, Entity)]
struct Task {
    title: String,
    due: Option<Timestamp>,
    tags: Vec<String>,
    #[entity(secret)]
    pin: String,
}

#[derive(Debug, Clone, PartialEq, Entity)]
#[entity(tenancy = organization, author)]
struct Ticket {
    title: String,
}

#[derive(Debug, Clone, PartialEq, Entity)]
#[entity(tenancy = member)]
struct Note {
    text: String,
}

#[derive(Debug, Clone, PartialEq, Entity)]
#[entity(tenancy = reference)]
struct Currency {
    code: String,
}

/// Ids that need to be escaped in the names of logs.
const USERS: [&str; 3] = ["ada@example.org", "grace l/é %", "linus"];
const ORGANIZATION: &str = "acme & söhne";

fn builder() -> Builder {
    let seconds = AtomicI64::new(1_700_000_000);
    Store::builder()
        .entity::<Task>()
        .entity::<Ticket>()
        .entity::<Note>()
        .entity::<Currency>()
        .clock(move || Timestamp::from_second(seconds.fetch_add(1, Ordering::Relaxed)).unwrap())
}

fn id(name: &str) -> UserId {
    UserId::new(name).unwrap()
}

fn organization() -> OrganizationId {
    OrganizationId::new(ORGANIZATION).unwrap()
}

fn task(title: &str) -> Task {
    Task { title: title.into(), due: None, tags: vec!["a".into()], pin: "1234".into() }
}

fn session(store: &Store, name: &str) -> TenantSession {
    store.session(&store.users().get_or_create(&id(name)).unwrap()).unwrap()
}

/// The time of the entry of this number.
fn time_of(session: &TenantSession, number: usize) -> Timestamp {
    session.audit().list().unwrap()[number - 1].time
}

fn furnish(store: &Store) {
    store.organizations().create(&organization()).unwrap();
    store.reference().insert(&Currency { code: "EUR".into() }).unwrap();
    for name in USERS {
        let session = session(store, name);
        for title in ["one", "two", "three"] {
            session.insert(&task(title)).unwrap();
        }
        let first = session.query::<Task>().first().unwrap().unwrap();
        session.patch(first.id, Task::PIN.set("99").and(Task::DUE.set(Timestamp::UNIX_EPOCH))).unwrap();
        session.delete(first.id).unwrap();
        store.organizations().add_member(&organization(), &id(name), Role::Member).unwrap();
        let inside = session.in_organization(&organization()).unwrap();
        inside.insert(&Ticket { title: name.into() }).unwrap();
        if name != USERS[2] {
            inside.insert(&Note { text: name.into() }).unwrap();
        }
    }
    let ada = session(store, USERS[0]);
    let old =
        LogRetention { payloads_before: Some(time_of(&ada, 5)), entries_before: Some(time_of(&ada, 3)) };
    let expired = store.users().expire_log(&id(USERS[0]), old).unwrap();
    assert_eq!((expired.payloads, expired.entries), (4, 2));
    ada.insert(&task("later")).unwrap();
    let inside = ada.in_organization(&organization()).unwrap();
    let old = LogRetention {
        payloads_before: inside.audit().list().unwrap().last().map(|entry| entry.time),
        ..LogRetention::default()
    };
    assert!(store.organizations().expire_log(&organization(), old).unwrap().payloads > 0);
    store.organizations().remove_member(&organization(), &id(USERS[1])).unwrap();
    assert!(matches!(
        session(store, USERS[1]).in_organization(&organization()),
        Err(Error::NotMember { .. })
    ));
    store.organizations().add_member(&organization(), &id(USERS[1]), Role::Admin).unwrap();
    store.users().set_role(&id(USERS[2]), StoreRole::Admin).unwrap();
    let admin = store.admin(&id(USERS[2]), "asked to, by „grace“").unwrap();
    admin.session(&id(USERS[1])).unwrap().insert(&task("for grace")).unwrap();
    let old = LogRetention { payloads_before: Some(time_of(&session(store, USERS[1]), 3)), ..old };
    assert_eq!(admin.users().expire_log(&id(USERS[1]), old).unwrap().payloads, 2);
}

/// What each log says of itself.
fn each_log<T>(store: &Store, ask: impl Fn(&tenantry::Audit<'_>) -> Result<T>) -> Result<Vec<T>> {
    let mut answers = vec![ask(&store.reference().audit())?];
    for (position, name) in USERS.iter().enumerate() {
        let session = store.session(&id(name))?;
        answers.push(ask(&session.audit())?);
        let inside = session.in_organization(&organization())?;
        answers.push(ask(&inside.private_audit())?);
        if position == 0 {
            answers.push(ask(&inside.audit())?);
        }
    }
    Ok(answers)
}

fn heads(store: &Store) -> Vec<Anchor> {
    each_log(store, |log| log.head()).unwrap()
}

/// Whether the library finds nothing wrong with any log, also compared with what was kept of it.
fn library_says_intact(store: &Store, anchors: &[Anchor]) -> bool {
    let of_logs = |finding: &Finding| {
        matches!(
            finding,
            Finding::Chain { .. }
                | Finding::Owner { .. }
                | Finding::Home { .. }
                | Finding::Damaged { .. }
                | Finding::Partition { .. }
        )
    };
    let checked = match store.check() {
        Ok(report) => !report.findings.iter().any(of_logs),
        Err(Error::Corrupt { .. }) => false,
        Err(error) => panic!("{error}"),
    };
    let compared = |log: &tenantry::Audit<'_>| -> Result<Verification> {
        let name = log.head()?.log;
        match anchors.iter().find(|anchor| anchor.log == name) {
            Some(anchor) => log.verify_against(anchor),
            None => log.verify(),
        }
    };
    let verified = match each_log(store, compared) {
        Ok(logs) => logs.iter().all(Verification::is_intact),
        Err(Error::Corrupt { .. }) => false,
        Err(error) => panic!("{error}"),
    };
    checked && verified
}

struct Said {
    code: i32,
    text: String,
}

/// Runs the independent verifier.
fn python(store: &Path, anchors: &[Anchor]) -> Said {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/verify_audit.py");
    let mut command = Command::new("python3");
    command.arg(script).arg(store);
    for anchor in anchors {
        command.arg("--anchor").arg(anchor.to_string());
    }
    let output = command.output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    let code = output.status.code().unwrap();
    assert!((0..=2).contains(&code) && !text.trim().is_empty(), "{code}: {text:?}");
    assert!(!text.contains("Traceback"), "{text}");
    Said { code, text }
}

/// Without Python there is nothing to compare.
fn has_python() -> bool {
    let ask =
        "import sqlite3, sys; sys.exit(sys.version_info < (3, 8) or sqlite3.sqlite_version_info < (3, 37))";
    let found =
        Command::new("python3").args(["-c", ask]).output().is_ok_and(|output| output.status.success());
    if !found {
        println!("skipped: there is no python3 of version 3.8 with SQLite 3.37, or newer");
    }
    found
}

/// What lies where a store is, with the sizes.
fn files(path: &Path) -> Vec<(PathBuf, u64)> {
    let folder = if path.is_dir() { path } else { path.parent().unwrap() };
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = files.map(|path| (path.clone(), fs::metadata(path).unwrap().len())).collect();
    files.sort();
    files
}

#[test]
fn good_stores_are_intact_for_both() {
    if !has_python() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for (name, builder) in [
        ("one.db", builder()),
        ("three", builder().partitions(3)),
        ("many", builder().partition_per_tenant()),
    ] {
        let path = folder.path().join(name);
        let store = builder.open(&path).unwrap();
        furnish(&store);
        let anchors = heads(&store);
        session(&store, USERS[2]).insert(&task("after")).unwrap();
        assert!(library_says_intact(&store, &anchors), "{name}");
        let verified = each_log(&store, |log| log.verify()).unwrap();
        let entries: u64 = verified.iter().map(|log| log.entries).sum();
        // As it is while it is open, and once it is closed, when reading leaves nothing behind.
        for open in [true, false] {
            let before = files(&path);
            let said = python(&path, &anchors);
            assert_eq!(
                (said.code, said.text.trim()),
                (0, &*format!("8 logs, {entries} entries: intact")),
                "{name}"
            );
            assert!(open || files(&path) == before, "{before:?}, {:?}", files(&path));
            store.close().unwrap();
        }
    }
}

/// Numbers that are the same in every run (splitmix64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % end as u64).unwrap()
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }
}

/// What an attacker does to the file, the triggers away meanwhile. Ada's log is that of tenant ADA, of which 2 entries
/// and 4 payloads have expired, and Linus's that of tenant LINUS.
const STATEMENTS: [&str; 44] = [
    // Nothing at all, or nothing that matters.
    "SELECT 1",
    "UPDATE _audit SET seq = -seq",
    "UPDATE _log_head SET last_id = randomblob(16)",
    "UPDATE _user SET name = 'somebody else'",
    // Entries that are gone, more, or others.
    "DELETE FROM _audit WHERE key = (LINUS << 40) + 1",
    "DELETE FROM _audit WHERE key = (LINUS << 40) + 3",
    "DELETE FROM _audit WHERE key = (SELECT max(key) FROM _audit WHERE key >> 40 = LINUS)",
    "DELETE FROM _audit WHERE key >> 40 = LINUS",
    "DELETE FROM _audit",
    "INSERT INTO _audit SELECT NULL, LINUS << 40, ALL FROM _audit WHERE key = (LINUS << 40) + 2",
    "INSERT INTO _audit SELECT NULL, (LINUS << 40) + 900, ALL FROM _audit WHERE key = (LINUS << 40) + 2",
    "INSERT INTO _audit SELECT NULL, (4000 << 40) + 1, ALL FROM _audit WHERE key = (LINUS << 40) + 2",
    "INSERT INTO _audit SELECT NULL, (ADA << 40) + 1, ALL FROM _audit WHERE key = (ADA << 40) + 3",
    "UPDATE _audit SET key = -key WHERE key = (LINUS << 40) + 2",
    "UPDATE _audit SET key = CASE key & 0xff WHEN 2 THEN (LINUS << 40) + 100 ELSE key END WHERE key >> 40 = LINUS",
    "UPDATE _audit SET actor = NULL WHERE actor IS NOT NULL",
    "UPDATE _audit SET admin = actor WHERE key = (LINUS << 40) + 3",
    "UPDATE _audit SET reason = '' WHERE key = (LINUS << 40) + 3",
    "UPDATE _audit SET entity = NULL WHERE key = (LINUS << 40) + 3",
    "UPDATE _audit SET outcome = outcome || char(0)",
    "UPDATE _audit SET action = CAST(x'ff' AS TEXT) WHERE key = (LINUS << 40) + 3",
    "UPDATE _audit SET device = x'00' WHERE key = (LINUS << 40) + 3",
    "UPDATE _audit SET record = zeroblob(17) WHERE key = (LINUS << 40) + 3",
    "UPDATE _audit SET time = 9223372036854775807, clock = -9223372036854775807 - 1 WHERE key = (LINUS << 40) + 3",
    // Payloads.
    "UPDATE _audit SET body = zeroblob(5000000) WHERE key = (LINUS << 40) + 3",
    "UPDATE _audit SET salt = NULL, body = NULL WHERE key = (LINUS << 40) + 3",
    "UPDATE _audit SET salt = randomblob(16) WHERE key = (LINUS << 40) + 3",
    "PRAGMA ignore_check_constraints = ON; UPDATE _audit SET body = x'80' WHERE body IS NULL",
    "PRAGMA ignore_check_constraints = ON; \
     UPDATE _audit SET salt = CAST(salt || substr(body, 1, 1) AS BLOB), body = substr(body, 2) WHERE key = (LINUS << 40) + 3",
    // Heads and checkpoints.
    "UPDATE _log_head SET clock = clock + 1",
    "UPDATE _log_head SET next = 9223372036854775807",
    "UPDATE _log_head SET origin = zeroblob(32) WHERE tenant = ADA",
    "UPDATE _log_head SET tenant = 900 WHERE tenant = LINUS",
    "DELETE FROM _log_head WHERE tenant = LINUS",
    "DELETE FROM _audit_checkpoint WHERE tenant = ADA",
    "UPDATE _audit_checkpoint SET payloads = 9223372036854775807",
    "UPDATE _audit_checkpoint SET entries = -9223372036854775807 - 1",
    "UPDATE _audit_checkpoint SET hash = zeroblob(32)",
    "INSERT INTO _audit_checkpoint SELECT LINUS, 0, 0, origin FROM _log_head WHERE tenant = LINUS",
    "INSERT INTO _audit_checkpoint SELECT LINUS, 3, 3, hash FROM _audit WHERE key = (LINUS << 40) + 3; \
     DELETE FROM _audit WHERE key >> 40 = LINUS AND key & 0xff <= 3",
    "UPDATE _audit SET salt = NULL, body = NULL WHERE action = 'audit.expire'",
    "UPDATE _audit_checkpoint SET payloads = 1000; UPDATE _audit SET salt = NULL, body = NULL WHERE action = 'audit.expire'",
    // Found by what was kept elsewhere alone.
    "DELETE FROM _audit WHERE key > (LINUS << 40) + 4 AND key >> 40 = LINUS; \
     UPDATE _log_head SET next = 5, (hash, clock) = (SELECT hash, clock FROM _audit WHERE key = (LINUS << 40) + 4) WHERE tenant = LINUS",
    "DELETE FROM _audit WHERE key >> 40 = LINUS; UPDATE _log_head SET next = 1, hash = origin, clock = 0 WHERE tenant = LINUS",
];

const COLUMNS: &str = "txn, actor, admin, device, clock, time, action, entity, record, outcome, definition, undoes, reason, \
                       commitment, previous, hash, salt, body";

fn key(connection: &Connection, name: &str) -> i64 {
    connection.query_row("SELECT key FROM _user WHERE id = ?1", [name], |row| row.get(0)).unwrap()
}

/// Drops the triggers and puts them back afterwards.
fn with_triggers_away(path: &Path, tamper: impl FnOnce(&Connection)) {
    let connection = Connection::open(path).unwrap();
    connection.pragma_update(None, "foreign_keys", false).unwrap();
    connection.pragma_update(None, "synchronous", "OFF").unwrap();
    let triggers: Vec<(String, String)> = {
        let mut statement =
            connection.prepare("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'").unwrap();
        statement
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
            .unwrap()
            .map(|row| row.unwrap())
            .collect()
    };
    for (name, _) in &triggers {
        connection.execute_batch(&format!("DROP TRIGGER \"{name}\"")).unwrap();
    }
    tamper(&connection);
    for (_, sql) in &triggers {
        connection.execute_batch(sql).unwrap();
    }
}

/// Any bit of any column of any entry, head or checkpoint.
fn flip(connection: &Connection, dice: &mut Dice) -> String {
    let (table, key, columns) = dice.pick(&[
        ("_audit", "seq", COLUMNS),
        ("_audit", "seq", COLUMNS),
        ("_log_head", "tenant", "origin, next, hash, clock"),
        ("_audit_checkpoint", "tenant", "payloads, entries, hash"),
    ]);
    let column = dice.pick(&columns.split(", ").map(str::trim).collect::<Vec<_>>());
    let sql = format!("SELECT {key}, {column} FROM {table} WHERE {column} IS NOT NULL");
    let rows: Vec<(i64, Value)> = {
        let mut statement = connection.prepare(&sql).unwrap();
        statement
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
            .unwrap()
            .map(|row| row.unwrap())
            .collect()
    };
    if rows.is_empty() {
        return format!("nothing: {table}.{column} holds no value");
    }
    let (row, value) = &rows[dice.below(rows.len())];
    let mut flipped = |mut bytes: Vec<u8>| {
        if let Some(at) = bytes.len().checked_sub(1).map(|last| dice.below(last + 1)) {
            bytes[at] ^= 1 << dice.below(8);
        }
        bytes
    };
    let (place, value) = match value {
        Value::Integer(integer) => ("?2", Value::Integer(integer ^ 1 << dice.below(63))),
        Value::Text(text) => ("CAST(?2 AS TEXT)", Value::Blob(flipped(text.clone().into_bytes()))),
        Value::Blob(bytes) => ("?2", Value::Blob(flipped(bytes.clone()))),
        other => ("?2", other.clone()),
    };
    let sql = format!("UPDATE OR IGNORE {table} SET {column} = {place} WHERE {key} = ?1");
    connection.pragma_update(None, "ignore_check_constraints", true).unwrap();
    connection.execute(&sql, params![row, value]).unwrap();
    format!("{table}.{column} of {row}")
}

#[test]
fn both_find_the_same_in_tampered_stores() {
    if !has_python() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let original = folder.path().join("app.db");
    let store = builder().open(&original).unwrap();
    furnish(&store);
    let anchors = heads(&store);
    store.close().unwrap();
    let (mut dice, mut intact, mut found) = (Dice(1), 0, 0);
    for number in 0..STATEMENTS.len() + 60 {
        let path = folder.path().join(format!("{number}.db"));
        fs::copy(&original, &path).unwrap();
        let mut what = String::new();
        with_triggers_away(&path, |connection| {
            what = match STATEMENTS.get(number) {
                Some(statement) => {
                    let (ada, linus) = (key(connection, USERS[0]), key(connection, USERS[2]));
                    let statement = statement.replace("ALL", COLUMNS).replace("ADA", &ada.to_string());
                    let statement = statement.replace("LINUS", &linus.to_string());
                    connection
                        .execute_batch(&statement)
                        .unwrap_or_else(|error| panic!("{statement}: {error}"));
                    statement
                }
                None => flip(connection, &mut dice),
            };
        });
        // With anchors they find all that they find without, and what is found with them alone.
        let both: [&[Anchor]; 2] = [&[], &anchors];
        let known = (4..STATEMENTS.len() - 2).contains(&number);
        for anchors in
            both.into_iter().skip(usize::from(known)).take(if number < STATEMENTS.len() { 2 } else { 1 })
        {
            let store = builder().read_only().open(&path).unwrap();
            let library = library_says_intact(&store, anchors);
            drop(store);
            let said = python(&path, anchors);
            assert_ne!(said.code, 2, "{what}: {}", said.text);
            assert_eq!(
                library,
                said.code == 0,
                "{what}: the library says {library}, and Python {}",
                said.text
            );
            if library {
                intact += 1;
            } else {
                found += 1;
            }
        }
        fs::remove_file(path).unwrap();
    }
    println!("{intact} intact for both, {found} not");
    assert!(intact >= 10 && found > 80, "{intact} intact, {found} not");
}

#[test]
fn both_find_what_was_done_to_a_store_of_several_files() {
    if !has_python() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let original = folder.path().join("store");
    let store = builder().partition_per_tenant().open(&original).unwrap();
    furnish(&store);
    let anchors = heads(&store);
    let file_of = |name: &str| store.partitions().of_user(&id(name)).unwrap().unwrap().name;
    let (ada, linus) = (file_of(USERS[0]), file_of(USERS[2]));
    let acme = store.partitions().of_organization(&organization()).unwrap().unwrap().name;
    store.close().unwrap();
    let cases: [(&str, &str, bool); 12] = [
        ("catalog.db", "SELECT 1", true),
        (&ada, "SELECT 1", true),
        ("catalog.db", "UPDATE _audit SET time = time + 1", false),
        (&ada, "UPDATE _audit SET time = time + 1 WHERE key = (SELECT max(key) FROM _audit)", false),
        (&linus, "DELETE FROM _audit WHERE key = (SELECT max(key) FROM _audit)", false),
        (&acme, "UPDATE _audit_checkpoint SET payloads = payloads + 1", false),
        (&acme, "UPDATE _audit SET body = x'80' WHERE body IS NOT NULL", false),
        (&linus, "DELETE FROM _audit; DELETE FROM _log_head", false),
        (
            &linus,
            "INSERT INTO _log_head SELECT 1, origin, 1, origin, 0, zeroblob(16) FROM _log_head LIMIT 1",
            false,
        ),
        ("catalog.db", "DELETE FROM _home WHERE tenant = (SELECT key FROM _user WHERE id = 'linus')", false),
        (
            "catalog.db",
            "UPDATE _home SET partition = (SELECT partition FROM _home WHERE tenant = (SELECT key FROM _user WHERE id = 'ada@example.org')) \
             WHERE tenant = (SELECT key FROM _user WHERE id = 'linus')",
            false,
        ),
        (&linus, "UPDATE _log_head SET next = next + 1", false),
    ];
    for (number, (file, statement, intact)) in cases.into_iter().enumerate() {
        let path = folder.path().join(number.to_string());
        fs::create_dir(&path).unwrap();
        for entry in fs::read_dir(&original).unwrap() {
            let from = entry.unwrap().path();
            fs::copy(&from, path.join(from.file_name().unwrap())).unwrap();
        }
        with_triggers_away(&path.join(file), |connection| connection.execute_batch(statement).unwrap());
        let said = python(&path, &anchors);
        assert_eq!(said.code == 0, intact, "{file}, {statement}: {}", said.text);
        let store = builder().open(&path).unwrap();
        assert_eq!(library_says_intact(&store, &anchors), intact, "{file}, {statement}");
    }
    // A file that is gone takes its own tenants' logs down.
    fs::remove_file(original.join(&linus)).unwrap();
    let said = python(&original, &[]);
    assert_eq!(said.code, 1, "{}", said.text);
    assert!(said.text.contains("user:linus: its file can not be looked at"), "{}", said.text);
    // A partition alone is no store, and neither is a folder without a catalog.
    assert_eq!(python(&original.join(&ada), &[]).code, 2);
    fs::remove_file(original.join("catalog.db")).unwrap();
    assert_eq!(python(&original, &[]).code, 2);
}

/// Whatever a file holds, there is an answer of a line or a few.
#[test]
fn hostile_files_and_anchors_are_answered() {
    if !has_python() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let original = folder.path().join("app.db");
    let store = builder().open(&original).unwrap();
    furnish(&store);
    let anchor = heads(&store).remove(1);
    store.close().unwrap();
    let path = folder.path().join("hostile.db");
    let loose = |table: &str, columns: &str| {
        format!(
            "CREATE TABLE held AS SELECT * FROM {table}; DROP TABLE {table}; ALTER TABLE held RENAME TO {table}; {columns}"
        )
    };
    let endless = "WITH RECURSIVE endless(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM endless) SELECT x";
    for (statement, code) in [
        ("DROP TABLE _audit".to_owned(), 2),
        ("DROP TABLE _audit_checkpoint".to_owned(), 2),
        ("DROP TABLE _log_head".to_owned(), 2),
        ("DROP TABLE _intent".to_owned(), 2),
        ("ALTER TABLE _audit RENAME COLUMN hash TO other".to_owned(), 2),
        (format!("DROP TABLE _log_head; CREATE VIEW _log_head AS {endless} AS tenant FROM endless"), 2),
        ("DROP TABLE _store; CREATE VIRTUAL TABLE _store USING fts5(role, applied)".to_owned(), 2),
        ("DROP TABLE _home; CREATE TABLE _home (tenant, partition AS (zeroblob(900000000)))".to_owned(), 2),
        ("PRAGMA user_version = 2".to_owned(), 2),
        ("PRAGMA application_id = 1".to_owned(), 2),
        ("DELETE FROM _store".to_owned(), 1),
        ("UPDATE _store SET role = 'partition'".to_owned(), 2),
        ("UPDATE _user SET id = CAST(x'c3' AS TEXT) WHERE id = 'linus'".to_owned(), 1),
        ("DELETE FROM _user WHERE id = 'linus'".to_owned(), 1),
        (loose("_log_head", "UPDATE _log_head SET origin = 7"), 1),
        (loose("_log_head", "UPDATE _log_head SET tenant = 'x' || tenant"), 1),
        (loose("_log_head", "UPDATE _log_head SET next = 1.5"), 1),
        (loose("_audit_checkpoint", "UPDATE _audit_checkpoint SET entries = 'two'"), 1),
        (loose("_audit_checkpoint", "UPDATE _audit_checkpoint SET hash = CAST(hash AS TEXT)"), 1),
        (loose("_audit", "UPDATE _audit SET key = 'k' WHERE rowid = 3"), 1),
        (loose("_audit", "UPDATE _audit SET key = NULL WHERE rowid = 3"), 1),
        (loose("_audit", "UPDATE _audit SET txn = txn + 0.5"), 1),
        (loose("_audit", "UPDATE _audit SET action = CAST(action AS BLOB)"), 1),
        (loose("_audit", "UPDATE _audit SET salt = CAST(hex(salt) AS TEXT)"), 1),
        (loose("_audit", "UPDATE _audit SET body = 1"), 1),
        (loose("_audit", "UPDATE _audit SET record = 'text'"), 1),
    ] {
        fs::copy(&original, &path).unwrap();
        let raw = Connection::open(&path).unwrap();
        let triggers =
            "SELECT group_concat('DROP TRIGGER ' || name, ';') FROM sqlite_schema WHERE type = 'trigger'";
        let triggers: String = raw.query_row(triggers, [], |row| row.get(0)).unwrap();
        raw.execute_batch(&triggers).unwrap();
        raw.execute_batch("PRAGMA foreign_keys = OFF; PRAGMA legacy_alter_table = ON").unwrap();
        raw.execute_batch(&statement).unwrap_or_else(|error| panic!("{statement}: {error}"));
        drop(raw);
        let said = python(&path, &[]);
        assert_eq!(said.code, code, "{statement}: {}", said.text);
        let library = builder().read_only().open(&path).map(|store| library_says_intact_or_not(&store));
        assert!(!matches!(library, Ok(true)), "{statement}: the library finds nothing");
    }
    damaged_files(&original, &path);
    bad_anchors(&original, &anchor);
}

/// A report with anything in it, of whatever kind.
fn library_says_intact_or_not(store: &Store) -> bool {
    store.check().is_ok_and(|report| report.is_clean())
}

fn damaged_files(original: &Path, path: &PathBuf) {
    let whole = fs::read(original).unwrap();
    let mut dice = Dice(3);
    assert_eq!(python(&original.with_file_name("absent.db"), &[]).code, 2);
    for bytes in [Vec::new(), b"text".to_vec(), vec![0; 100_000], whole[..whole.len() / 2].to_vec()] {
        fs::write(path, bytes).unwrap();
        assert_ne!(python(path, &[]).code, 0);
    }
    // Pages of noise: what is left of the logs may be all of it, but there is an answer.
    for _ in 0..30 {
        let mut bytes = whole.clone();
        let at = dice.below(bytes.len() / 4096) * 4096 + dice.below(3) * 100;
        for byte in bytes.iter_mut().skip(at).take(400) {
            *byte = u8::try_from(dice.below(256)).unwrap();
        }
        fs::write(path, bytes).unwrap();
        let _ = python(path, &[]);
    }
}

fn bad_anchors(original: &Path, anchor: &Anchor) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/verify_audit.py");
    let with = |anchor: &str| {
        let output =
            Command::new("python3").arg(&script).arg(original).arg("--anchor").arg(anchor).output().unwrap();
        assert!(!String::from_utf8_lossy(&output.stderr).contains("Traceback"));
        output.status.code().unwrap()
    };
    let text = anchor.to_string();
    assert_eq!(with(&text), 0);
    assert_eq!(with(&format!("\n {}\r\n", text.replace(' ', "\n  "))), 0, "as a mail brings it");
    for bad in ["", "anchor", &text[1..], &text[..text.len() - 1], &text.replace("user:", "users:")] {
        assert_eq!(with(bad), 2, "{bad}");
        assert!(bad.parse::<Anchor>().is_err(), "{bad}");
    }
    // Of a log that is not there.
    let other = builder().temporary().unwrap();
    let anchor = session(&other, "nobody else").audit().head().unwrap();
    assert_eq!(with(&anchor.to_string()), 1);
    let anchor = session(&other, USERS[0]).audit().head().unwrap();
    assert_eq!(with(&anchor.to_string()), 1);
}
