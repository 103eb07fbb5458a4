//! What an attacker with a SQLite tool does to a closed store, `Store::check` finds, and `verify`
//! where it is the log: hundreds of random changes with a fixed seed, one at a time.
//!
//! Out of reach by design: the value of a secret column, which the log does not hold (its length
//! counts in the tenant's bytes); and a chain that is rewritten whole with its head, or cut off, which only
//! an anchor that was kept elsewhere shows. `audit::tampering` tries that, and many thousands of changes more.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod engine;

use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::types::Value;
use rusqlite::{Connection, params};
use tenantry::{
    Builder, Entity, Error, Id, OrganizationId, Quota, Role, Store, Timestamp, UserId, Verification,
};

#[derive(Debug, Clone, PartialEq, Entity)]
struct Project {
    name: String,
}

#[derive(Debug, Clone, PartialEq, Entity)]
#[entity(unique(title))]
struct Task {
    title: String,
    points: i64,
    weight: f64,
    done: bool,
    due: Option<Timestamp>,
    raw: Vec<u8>,
    tags: Vec<String>,
    #[entity(on_delete = cascade)]
    project: Option<Id<Project>>,
    #[entity(secret)]
    pin: String,
}

#[derive(Debug, Clone, PartialEq, Entity)]
#[entity(tenancy = organization, author)]
struct Ticket {
    title: String,
    assignee: Option<UserId>,
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

/// Physical tables, and the columns whose content the log holds.
const ROWS: [(&str, &[&str]); 5] = [
    ("_rows_project", &["name"]),
    ("_rows_task", &["title", "points", "weight", "done", "due", "raw", "tags", "project"]),
    ("_rows_ticket", &["title", "assignee", "_author"]),
    ("_rows_note", &["text"]),
    ("_rows_currency", &["code"]),
];

/// A UUID that no row has.
const OTHER_ID: &str = "(SELECT lower(substr(h, 1, 8) || '-' || substr(h, 9, 4) || '-' || substr(h, 13, 4) || '-' || \
                        substr(h, 17, 4) || '-' || substr(h, 21)) FROM (SELECT hex(randomblob(16)) AS h))";

const ENTRY: [&str; 17] = [
    "key",
    "txn",
    "actor",
    "admin",
    "device",
    "clock",
    "time",
    "action",
    "entity",
    "record",
    "outcome",
    "definition",
    "undoes",
    "reason",
    "commitment",
    "previous",
    "hash",
];

fn builder() -> Builder {
    engine::builder()
        .entity::<Project>()
        .entity::<Task>()
        .entity::<Ticket>()
        .entity::<Note>()
        .entity::<Currency>()
}

fn task(number: i64, project: Option<Id<Project>>) -> Task {
    Task {
        title: format!("task {number}"),
        points: number,
        weight: 0.5,
        done: false,
        due: (number % 2 == 0).then_some(Timestamp::UNIX_EPOCH),
        raw: vec![1, 2, 3],
        tags: vec!["a".to_owned()],
        project,
        pin: "1234".to_owned(),
    }
}

/// A store with a history on every tenancy, closed.
fn history(path: &Path) {
    let store = builder().open(path).unwrap();
    let acme = OrganizationId::new("acme").unwrap();
    store.organizations().create(&acme).unwrap();
    store.reference().insert(&Currency { code: "EUR".into() }).unwrap();
    for name in ["ada", "grace"] {
        let user = store.users().create(&UserId::new(name).unwrap()).unwrap();
        store.organizations().add_member(&acme, &user, Role::Member).unwrap();
        let session = store.session(&user).unwrap();
        let project = session.insert(&Project { name: format!("of {name}") }).unwrap();
        let doomed = session.insert(&Project { name: "doomed".into() }).unwrap();
        session.insert(&task(100, Some(doomed))).unwrap();
        let ids = session.insert_many(&[task(1, Some(project)), task(2, None), task(3, None)]).unwrap();
        session.patch(ids[0], Task::POINTS.set(7).and(Task::DONE.set(true))).unwrap();
        session.delete(ids[1]).unwrap();
        session.delete(doomed).unwrap();
        let inside = session.in_organization(&acme).unwrap();
        let ticket = inside.insert(&Ticket { title: name.into(), assignee: Some(user.id.clone()) }).unwrap();
        inside.patch(ticket, Ticket::ASSIGNEE.clear()).unwrap();
        inside.insert(&Ticket { title: "open".into(), assignee: Some(user.id.clone()) }).unwrap();
        inside.insert(&Note { text: name.into() }).unwrap();
        store.users().set_quota(&user, "task", Some(Quota::none().rows(1_000))).unwrap();
    }
    assert!(store.check().unwrap().is_clean());
    store.close().unwrap();
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

    fn sign(&mut self) -> i64 {
        self.pick(&[1, -1])
    }

    /// A value that differs, in a form that the column takes.
    fn other(&mut self, value: Value, column: &str) -> Value {
        match value {
            Value::Null => match column {
                "entity" | "assignee" | "_author" | "reason" => Value::Text("ada".into()),
                "record" | "actor" | "admin" => Value::Blob(vec![7; 16]),
                "project" => Value::Text(tenantry::Uuid::from_bytes([7; 16]).to_string()),
                _ => Value::Integer(1),
            },
            Value::Integer(0 | 1) if column == "done" => {
                Value::Integer(i64::from(value == Value::Integer(0)))
            }
            Value::Integer(number) => {
                Value::Integer(number + self.sign() * self.pick(&[1, 2, 1000, 1 << 30]))
            }
            Value::Real(real) => Value::Real(real + 1.5),
            Value::Text(mut id) if column == "_id" || column == "project" => {
                let last = id.pop().unwrap();
                let digits: Vec<char> = "0123456789abcdef".chars().filter(|digit| *digit != last).collect();
                id.push(self.pick(&digits));
                Value::Text(id)
            }
            Value::Text(text) if text.is_empty() || self.below(2) == 0 => Value::Text(text + "x"),
            Value::Text(text) => Value::Text(text.chars().skip(1).collect()),
            Value::Blob(mut bytes) => {
                let at = self.below(bytes.len());
                bytes[at] ^= 1 << self.below(8);
                Value::Blob(bytes)
            }
        }
    }
}

fn keys(connection: &Connection, sql: &str) -> Vec<i64> {
    let mut statement = connection.prepare(sql).unwrap();
    statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

fn edit(connection: &Connection, dice: &mut Dice, table: &str, key: (&str, i64), column: &str) {
    let (name, number) = key;
    let sql = format!("SELECT {column} FROM {table} WHERE {name} = ?1");
    let value: Value = connection.query_row(&sql, [number], |row| row.get(0)).unwrap();
    let sql = format!("UPDATE {table} SET {column} = ?2 WHERE {name} = ?1");
    assert_eq!(connection.execute(&sql, params![number, dice.other(value, column)]).unwrap(), 1);
}

/// One change of the log; what it was and whose log it was.
fn tamper_log(connection: &Connection, dice: &mut Dice, kind: usize) -> (String, i64) {
    let entries = keys(connection, "SELECT key FROM _audit");
    let key = dice.pick(&entries);
    let tenant = key >> 40;
    let last = *entries.iter().filter(|other| *other >> 40 == tenant).max().unwrap();
    let run = |sql: &str| {
        let sql = sql.replace("KEY", &key.to_string()).replace("LAST", &last.to_string());
        connection.execute_batch(&sql.replace("TENANT", &tenant.to_string())).unwrap();
    };
    let columns = format!("{}, salt, body", ENTRY[1..].join(", "));
    let what = match kind % 12 {
        0..4 => {
            let column = ENTRY[1 + dice.below(ENTRY.len() - 1)];
            edit(connection, dice, "_audit", ("key", key), column);
            format!("column {column} of an entry")
        }
        4 => {
            run("UPDATE _audit SET key = LAST + 1 WHERE key = KEY AND key < LAST; \
                 UPDATE _audit SET key = key + 1 WHERE key = KEY AND key = LAST;");
            "an entry got another number".to_owned()
        }
        5 => {
            run("DELETE FROM _audit WHERE key = KEY");
            "an entry is gone with its payload".to_owned()
        }
        6 => {
            run(&format!("INSERT INTO _audit SELECT NULL, LAST + 1, {columns} FROM _audit WHERE key = KEY"));
            "an entry is there twice".to_owned()
        }
        7 => {
            let other = dice.pick(&entries.iter().copied().filter(|other| *other != key).collect::<Vec<_>>());
            run(&format!(
                "CREATE TEMP TABLE held AS SELECT * FROM _audit; DELETE FROM _audit WHERE key IN (KEY, {other}); \
                 INSERT INTO _audit SELECT NULL, {other}, {columns} FROM held WHERE key = KEY; \
                 INSERT INTO _audit SELECT NULL, KEY, {columns} FROM held WHERE key = {other};"
            ));
            "two entries changed places".to_owned()
        }
        8 => {
            let column = dice.pick(&["salt", "body"]);
            edit(connection, dice, "_audit", ("key", key), column);
            format!("{column} of a payload")
        }
        9 => {
            run(dice.pick(&[
                "UPDATE _audit SET salt = NULL, body = NULL WHERE key = KEY",
                "REPLACE INTO _audit SELECT * FROM _audit WHERE key = KEY; UPDATE _audit SET body = x'80' WHERE key = KEY",
            ]));
            "a payload is gone, or another one".to_owned()
        }
        10 => {
            let column = dice.pick(&["next", "hash", "origin"]);
            edit(connection, dice, "_log_head", ("tenant", tenant), column);
            format!("{column} of a log's head")
        }
        _ => {
            run(dice.pick(&[
                "DELETE FROM _audit WHERE key >> 40 = TENANT",
                "DELETE FROM _log_head WHERE tenant = TENANT",
                "DELETE FROM _audit WHERE key = LAST; \
                 UPDATE _log_head SET next = next - 1 WHERE tenant = TENANT",
            ]));
            "a log, its head or its end is gone".to_owned()
        }
    };
    (format!("{what} (key {key})"), tenant)
}

/// One change of rows or of their heads.
fn tamper_rows(connection: &Connection, dice: &mut Dice, kind: usize) -> String {
    let (table, columns) = dice.pick(&ROWS);
    let key = dice.pick(&keys(connection, &format!("SELECT _rid FROM {table} WHERE _rid >= 0")));
    let tenant = key >> 40;
    let run = |sql: &str| {
        let sql = sql.replace("ROWS", table).replace("KEY", &key.to_string());
        connection.execute_batch(&sql.replace("TENANT", &tenant.to_string())).unwrap();
    };
    let all: Vec<String> = {
        let statement = connection.prepare(&format!("SELECT * FROM {table}")).unwrap();
        statement.column_names().into_iter().skip(3).map(|name| format!("\"{name}\"")).collect()
    };
    let (all, next) = (all.join(", "), "(SELECT max(_rid) + 1 FROM ROWS WHERE _rid >> 40 = TENANT)");
    let what = match kind % 9 {
        0..3 => {
            let column = dice.pick(columns);
            edit(connection, dice, table, ("_rid", key), column);
            format!("column {column}")
        }
        3 => {
            let column = dice.pick(&["_version", "_updated", "_id"]);
            edit(connection, dice, table, ("_rid", key), column);
            format!("column {column}")
        }
        4 => {
            run("DELETE FROM ROWS WHERE _rid = KEY");
            "a row is gone".to_owned()
        }
        5 => {
            // Unique values and foreign keys are an attacker's own affair: without indexes.
            run("DROP INDEX IF EXISTS _index1_task");
            // An index that foreign keys point at can't go without making them meaningless.
            let id = if table == "_rows_project" || dice.below(2) == 0 { OTHER_ID } else { "_id" };
            if id == "_id" {
                let (id, key) = (table.replace("_rows_", "_id_"), table.replace("_rows_", "_key_"));
                run(&format!("DROP INDEX {id}; DROP INDEX IF EXISTS {key}"));
            }
            run(&format!(
                "INSERT INTO ROWS (_rid, _tenant, _id, {all}) SELECT {next}, _tenant, {id}, {all} FROM ROWS WHERE _rid = KEY"
            ));
            "a row is there twice".to_owned()
        }
        6 => {
            let kind = "(SELECT kind FROM _tenant WHERE key = TENANT)";
            let others = keys(
                connection,
                &format!(
                    "SELECT key FROM _tenant WHERE key <> {tenant} AND key >= 0 ORDER BY kind = {} DESC, key",
                    kind.replace("TENANT", &tenant.to_string())
                ),
            );
            let other = if dice.below(3) > 0 { others[0] } else { dice.pick(&others) };
            run(&format!(
                "UPDATE OR IGNORE ROWS SET _tenant = {other}, _rid = ({other} << 40) + 900 + (_rid & 255) WHERE _rid = KEY"
            ));
            if connection.changes() == 0 {
                run("DELETE FROM ROWS WHERE _rid = KEY"); // its unique values are taken there
            }
            format!("a row of {tenant} belongs to {other}")
        }
        7 => {
            let entity = table.replace("_rows_", "");
            // A quota was given of tasks alone.
            let columns: &[_] =
                if entity == "task" { &["count", "bytes", "rows_max"] } else { &["count", "bytes"] };
            let column = dice.pick(columns);
            let by = dice.pick(&["+ 1", "+ 1000", "* 2"]);
            let which =
                format!("tenant = {tenant} AND entity = (SELECT key FROM _entity WHERE name = '{entity}')");
            run(&format!("UPDATE _row_head SET {column} = {column} {by} WHERE {which}"));
            format!("{column} {by} of the rows' head")
        }
        _ => {
            run("DELETE FROM _row_head WHERE tenant = TENANT");
            "the heads of a tenant's rows are gone".to_owned()
        }
    };
    format!("{table} {key}: {what}")
}

/// The verification of a tenant's log through a session that reaches it.
fn verify(store: &Store, connection: &Connection, tenant: i64) -> tenantry::Result<Verification> {
    let id = |sql: &str| connection.query_row(sql, [tenant], |row| row.get::<_, String>(0)).ok();
    let acme = OrganizationId::new("acme").unwrap();
    let session = |id: String| store.session(&UserId::new(id).unwrap());
    if tenant == 0 {
        store.reference().audit().verify()
    } else if let Some(user) = id("SELECT id FROM _user WHERE key = ?1") {
        session(user)?.audit().verify()
    } else if id("SELECT id FROM _organization WHERE key = ?1").is_some() {
        session("ada".to_owned())?.in_organization(&acme)?.audit().verify()
    } else {
        let member =
            id("SELECT u.id FROM _member AS m JOIN _user AS u ON u.key = m.user WHERE m.key = ?1").unwrap();
        session(member)?.in_organization(&acme)?.private_audit().verify()
    }
}

/// A copy of the store that is changed while its triggers are away, as an attacker would.
fn tampered<T>(
    original: &Path,
    folder: &Path,
    number: usize,
    tamper: impl FnOnce(&Connection) -> T,
) -> (PathBuf, Connection, T) {
    let path = folder.join(format!("{number}.db"));
    fs::copy(original, &path).unwrap();
    let connection = engine::look(&path);
    connection.pragma_update(None, "foreign_keys", false).unwrap();
    connection.pragma_update(None, "synchronous", "OFF").unwrap();
    let triggers: Vec<(String, String)> = {
        let mut statement =
            connection.prepare("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'").unwrap();
        statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap().map(Result::unwrap).collect()
    };
    assert!(triggers.len() >= 9, "{triggers:?}");
    for (name, _) in &triggers {
        connection.execute_batch(&format!("DROP TRIGGER \"{name}\"")).unwrap();
    }
    let outcome = tamper(&connection);
    for (_, sql) in &triggers {
        connection.execute_batch(sql).unwrap();
    }
    (path, connection, outcome)
}

fn with_history(run: impl FnOnce(&Path, &Path)) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    history(&path);
    run(&path, folder.path());
}

/// Found, be it by an answer that the file is damaged where a value can't even be read.
fn finds<T>(result: &tenantry::Result<T>, found: impl Fn(&T) -> bool) -> bool {
    match result {
        Ok(answer) => found(answer),
        Err(error) => matches!(error, Error::Corrupt { .. }),
    }
}

#[test]
fn a_store_that_nobody_touched_is_clean() {
    with_history(|original, folder| {
        let (path, connection, ()) = tampered(original, folder, 0, |_| ());
        let store = builder().read_only().open(path).unwrap();
        assert!(store.check().unwrap().is_clean(), "{}", store.check().unwrap());
        for tenant in keys(&connection, "SELECT key FROM _tenant WHERE key >= 0") {
            assert!(verify(&store, &connection, tenant).unwrap().is_intact());
        }
    });
}

#[test]
fn every_change_of_the_log_is_found() {
    with_history(|original, folder| {
        let (mut dice, mut missed) = (Dice(1), Vec::new());
        for number in 0..360 {
            let (path, connection, (what, tenant)) =
                tampered(original, folder, number, |connection| tamper_log(connection, &mut dice, number));
            let store = builder().read_only().open(&path).unwrap();
            if !finds(&store.check(), |report| !report.is_clean()) {
                missed.push(format!("{number}, by check: {what}"));
            }
            if !finds(&verify(&store, &connection, tenant), |log| !log.is_intact()) {
                missed.push(format!("{number}, by verify: {what}"));
            }
            drop((store, connection));
            fs::remove_file(path).unwrap();
        }
        assert!(missed.is_empty(), "not found: {missed:#?}");
    });
}

#[test]
fn every_change_of_rows_and_heads_is_found() {
    with_history(|original, folder| {
        let (mut dice, mut missed) = (Dice(2), Vec::new());
        for number in 0..360 {
            let (path, connection, what) =
                tampered(original, folder, number, |connection| tamper_rows(connection, &mut dice, number));
            let store = builder().read_only().open(&path).unwrap();
            if !finds(&store.check(), |report| !report.is_clean()) {
                missed.push(format!("{number}: {what}"));
            }
            drop((store, connection));
            fs::remove_file(path).unwrap();
        }
        assert!(missed.is_empty(), "not found: {missed:#?}");
    });
}

/// What a tool can do without dropping a trigger first.
#[test]
fn triggers_refuse_changes_of_the_log_and_of_a_rows_tenant() {
    with_history(|path, _| {
        let connection = engine::look(path);
        // As on the writer's own connection; where a tool does without, the chain shows what it did.
        connection.pragma_update(None, "recursive_triggers", true).unwrap();
        for statement in [
            "UPDATE _audit SET time = time + 1",
            "UPDATE _audit SET rowid = rowid + 1000",
            "UPDATE _rows_task SET rowid = rowid + (1 << 40)",
            "UPDATE _audit SET hash = zeroblob(32) WHERE key = (SELECT min(key) FROM _audit)",
            "DELETE FROM _audit",
            "DELETE FROM _audit WHERE key = (SELECT max(key) FROM _audit)",
            "UPDATE _audit SET body = x'80'",
            "UPDATE _audit SET salt = NULL, body = NULL",
            "REPLACE INTO _audit SELECT * FROM _audit",
            "DELETE FROM _tenant",
            "UPDATE _tenant SET kind = 'user'",
            "UPDATE _tenant SET key = key + 100",
            "UPDATE _rows_task SET _tenant = _tenant",
            "UPDATE _rows_task SET _tenant = _tenant + 1",
            "UPDATE _rows_task SET _rid = _rid + 100, _tenant = _tenant",
            "UPDATE _rows_task SET _id = replace(_id, '7', '8')",
            "UPDATE _rows_task SET done = 2",
            "UPDATE _rows_task SET project = 'x'",
            "UPDATE _rows_task SET points = 'many'",
            "INSERT INTO _rows_project SELECT _rid + 100, _tenant + 1, replace(_id, '7', '8'), 1, 1, 'x' FROM _rows_project",
        ] {
            for foreign_keys in [false, true] {
                connection.pragma_update(None, "foreign_keys", foreign_keys).unwrap();
                assert!(connection.execute(statement, []).is_err(), "{statement}");
            }
        }
        drop(connection);
        assert!(builder().read_only().open(path).unwrap().check().unwrap().is_clean());
    });
}

/// What somebody did to the file with another tool, and what the report must name.
#[test]
fn check_names_what_was_done_to_the_schema_and_the_heads() {
    for (statements, named) in [
        ("DROP TRIGGER _audit_fixed", "trigger _audit_fixed is missing"),
        ("DROP TRIGGER _fixed_task", "trigger _fixed_task is missing"),
        ("DROP INDEX _id_task", "index _id_task is missing"),
        ("DELETE FROM _rows_task WHERE _rid = -1", "row of nobody in task is missing"),
        ("DROP VIEW task", "view task is missing"),
        ("DROP VIEW task; CREATE VIEW task AS SELECT 1", "view task was changed"),
        ("CREATE INDEX quick ON _rows_task (title)", "index quick is not the store's own"),
        // Statistics hold samples of every tenant's values.
        ("ANALYZE", "table sqlite_stat1 is not the store's own"),
        ("UPDATE _log_head SET clock = clock + 1", "its head says otherwise"),
        ("UPDATE _log_head SET next = next + 1", "its head says otherwise"),
        (
            "INSERT INTO _audit SELECT NULL, key | 5000 << 40, txn, actor, admin, device, clock, time, action, entity, record, \
          outcome, definition, undoes, reason, commitment, previous, hash, salt, body FROM _audit LIMIT 1",
            "1 rows of the audit log have no tenant",
        ),
        (
            "UPDATE _actor SET id = 'linus' WHERE id = 'ada'",
            "1 marks that are a user's, and the logs would name somebody else",
        ),
        (
            "UPDATE _actor SET id = CASE id WHEN 'ada' THEN 'grace' ELSE 'ada' END",
            "2 marks that are a user's, and the logs would name somebody else",
        ),
        (
            "PRAGMA foreign_keys = OFF; DELETE FROM _actor WHERE id = 'grace'",
            "1 marks that a log names, and the store does not know",
        ),
        ("UPDATE _row_head SET count = count + 1", "count is kept as"),
        ("UPDATE _row_head SET last_id = zeroblob(16)", "order of ids is kept as 1"),
        ("UPDATE _row_head SET rows_max = rows_max + 1", "user ada, task: the tenant's own quota is not"),
        (
            "UPDATE _row_head SET rows_max = NULL, bytes_max = NULL",
            "user ada, task: the tenant's own quota is not",
        ),
        (
            "UPDATE _row_head SET rows_max = 9, bytes_max = 9",
            "member grace of acme, note: the tenant's own quota is not",
        ),
    ] {
        with_history(|path, _| {
            let connection = engine::look(path);
            connection.execute_batch(statements).unwrap();
            drop(connection);
            let report = builder().read_only().open(path).unwrap().check().unwrap();
            assert!(report.to_string().contains(named), "{statements}: {report}");
        });
    }
}

/// A finding names the entry, so that an operator can look at it.
#[test]
fn problems_name_the_entry() {
    use tenantry::ChainProblem::{Broken, Changed, Head, PayloadChanged, PayloadMissing};
    let third = "(SELECT key FROM _audit WHERE key >> 40 = (SELECT key FROM _user WHERE id = 'ada') AND key & 0xffffffffff = 3)";
    for (statement, wanted) in [
        ("UPDATE _audit SET time = time + 1 WHERE key = ENTRY", vec![Changed { number: 3 }]),
        ("UPDATE _audit SET body = x'80' WHERE key = ENTRY", vec![PayloadChanged { number: 3 }]),
        ("UPDATE _audit SET salt = NULL, body = NULL WHERE key = ENTRY", vec![PayloadMissing { number: 3 }]),
        ("DELETE FROM _audit WHERE key = ENTRY", vec![Broken { number: 4 }]),
        ("DELETE FROM _audit WHERE key > ENTRY AND key <= LAST", vec![Head { last: 3 }]),
    ] {
        with_history(|path, _| {
            let connection = engine::look(path);
            let triggers =
                "SELECT group_concat('DROP TRIGGER ' || name, ';') FROM sqlite_schema WHERE type = 'trigger'";
            let triggers: String = connection.query_row(triggers, [], |row| row.get(0)).unwrap();
            connection.execute_batch(&triggers).unwrap();
            connection.pragma_update(None, "foreign_keys", false).unwrap();
            let key: i64 = connection.query_row(&format!("SELECT {third}"), [], |row| row.get(0)).unwrap();
            let last: i64 = connection
                .query_row("SELECT max(key) FROM _audit WHERE key >> 40 = ?1 >> 40", [key], |row| row.get(0))
                .unwrap();
            assert!(last > key, "there are entries behind it");
            let statements = statement.replace("ENTRY", &key.to_string()).replace("LAST", &last.to_string());
            connection.execute_batch(&statements).unwrap();
            drop(connection);
            let store = builder().read_only().open(path).unwrap();
            let session = store.session(&UserId::new("ada").unwrap()).unwrap();
            let verification = session.audit().verify().unwrap();
            assert_eq!(verification.problems, wanted, "{statement}");
            let there = session.audit().list().map_or(verification.entries, |entries| entries.len() as u64);
            assert_eq!(verification.entries, there);
        });
    }
}
