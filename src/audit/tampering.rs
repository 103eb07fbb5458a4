//! Whatever somebody does to a log with a tool of their own, verifying finds it: over ten thousand random
//! changes of one store, each taken back afterwards. Once on the store's own tables, whose types and
//! constraints refuse some of them, and once on tables that take anything.
//!
//! Two things are no part of a log: where an entry lies in the file (`_audit.seq`), and the newest id of its
//! tenant (`_log_head.last_id`).

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use jiff::Timestamp;
use rusqlite::types::Value as Raw;
use rusqlite::{Connection, params};

use super::anchor::LogName;
use super::chain::Hash;
use super::checkpoint::Checkpoint;
use super::log::StoredEntry;
use super::verify::{ends, head, verify, verify_against};
use super::{ChainProblem, Verification};
use crate::commit::{Actor, Authority};
use crate::identity::{Mark, TenantKey};
use crate::{
    Builder, Entity, Error, LogRetention, OrganizationId, Quota, Result, Role, Store, TenantName,
    TenantSession, UserId,
};

#[derive(Debug, Clone, PartialEq, Entity)]
struct Task {
    title: String,
    points: i64,
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

/// Random changes, of both stores together.
const CHANGES: usize = 12_000;

/// All that an entry consists of but the place where it lies.
const ENTRY: [&str; 19] = [
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
    "salt",
    "body",
];
const HEAD: [&str; 5] = ["tenant", "origin", "next", "hash", "clock"];
const CHECKPOINT: [&str; 4] = ["tenant", "payloads", "entries", "hash"];

fn builder(clock: &Arc<AtomicI64>) -> Builder {
    let clock = Arc::clone(clock);
    Store::builder()
        .entity::<Task>()
        .entity::<Ticket>()
        .entity::<Note>()
        .entity::<Currency>()
        .clock(move || second(clock.fetch_add(1, Ordering::Relaxed)))
}

fn second(number: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + number).unwrap()
}

fn user(id: &str) -> UserId {
    UserId::new(id).unwrap()
}

fn acme() -> OrganizationId {
    OrganizationId::new("acme").unwrap()
}

fn session(store: &Store, id: &str) -> TenantSession {
    store.session(&store.users().get_or_create(&user(id)).unwrap()).unwrap()
}

/// Logs of every kind: with and without retention, one whose retention was cut off in the middle, one
/// without entries, one that an admin wrote in.
fn history(path: &Path) {
    let clock = Arc::default();
    let store = builder(&clock).open(path).unwrap();
    store.organizations().create(&acme()).unwrap();
    store.reference().insert(&Currency { code: "EUR".into() }).unwrap();
    for id in ["ada", "grace", "linus"] {
        let session = session(&store, id);
        store.organizations().add_member(&acme(), &user(id), Role::Member).unwrap();
        let tasks: Vec<Task> = (0..4).map(|points| Task { title: format!("of {id}"), points }).collect();
        let ids = session.insert_many(&tasks).unwrap();
        session.patch(ids[0], Task::POINTS.set(7)).unwrap();
        session.delete(ids[1]).unwrap();
        store.users().set_quota(&user(id), "task", Some(Quota::none().rows(9))).unwrap();
        if id != "linus" {
            let inside = session.in_organization(&acme()).unwrap();
            inside.insert(&Ticket { title: id.into() }).unwrap();
            inside.insert(&Note { text: id.into() }).unwrap();
        }
    }
    let now = second(clock.load(Ordering::Relaxed));
    let patched = session(&store, "ada").audit().action("update").list().unwrap()[0].time;
    let all = LogRetention { payloads_before: Some(now), entries_before: Some(patched) };
    let expired = store.users().expire_log(&user("ada"), all).unwrap();
    assert!(expired.entries > 2 && expired.payloads > expired.entries, "{expired:?}");
    session(&store, "ada").insert(&Task { title: "later".into(), points: 0 }).unwrap();
    let expired = store.organizations().expire_log(&acme(), all).unwrap();
    assert!(expired.payloads > 0, "{expired:?}");
    // Grace's is stated, and nothing deleted yet.
    let grace = store.inner.read(|connection| key(connection, "grace")).unwrap();
    store
        .inner
        .write(grace, admin(&store, "linus"), |unit| {
            let origin = ends(unit.connection()?, grace)?.origin;
            let hash = hash_at(unit.connection()?, grace, 3);
            let stated = Checkpoint { origin, payloads: 5, entries: 3, hash };
            unit.expire(grace, &stated)
        })
        .unwrap();
    let report = store.check().unwrap();
    assert!(report.is_clean(), "{report}");
    store.close().unwrap();
}

fn admin(store: &Store, id: &str) -> Actor {
    let mark = store
        .inner
        .read(|c| Ok(c.query_row("SELECT mark FROM _user WHERE id = ?1", [id], |row| row.get(0))?));
    let mark: Mark = mark.unwrap();
    let authority = Authority { admin: user(id), mark, reason: "asked to".into() };
    Actor { user: None, admin: Some(Arc::new(authority)) }
}

fn key(connection: &Connection, id: &str) -> Result<TenantKey> {
    TenantKey::from_stored(
        connection.query_row("SELECT key FROM _user WHERE id = ?1", [id], |row| row.get(0))?,
    )
}

fn hash_at(connection: &Connection, tenant: TenantKey, number: i64) -> Hash {
    let sql = "SELECT hash FROM _audit WHERE key = ?1";
    connection.query_row(sql, [tenant.first() | number], |row| row.get(0)).unwrap()
}

/// Numbers that are the same in every run (splitmix64).
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).unwrap()
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }
}

/// Rows by table.
type Image = BTreeMap<&'static str, Vec<Vec<String>>>;

/// One store that is changed and changed back.
struct Victim {
    connection: Connection,
    tenants: Vec<TenantKey>,
    /// What logs say has expired.
    stated: Vec<(TenantKey, Checkpoint)>,
    original: Image,
}

impl Victim {
    /// The store's own tables, or ones without types, constraints and unique keys.
    fn open(path: &Path, takes_anything: bool) -> Self {
        let connection = Connection::open(path).unwrap();
        connection.pragma_update(None, "foreign_keys", false).unwrap();
        connection.pragma_update(None, "synchronous", "OFF").unwrap();
        let texts = |sql: &str| -> Vec<String> {
            let mut statement = connection.prepare(sql).unwrap();
            statement.query_map([], |row| row.get(0)).unwrap().map(std::result::Result::unwrap).collect()
        };
        for name in texts("SELECT name FROM sqlite_schema WHERE type = 'trigger'") {
            connection.execute_batch(&format!("DROP TRIGGER \"{name}\"")).unwrap();
        }
        if takes_anything {
            for (table, columns) in tables() {
                // Heads and checkpoints are found by their tenant; that alone keeps its type.
                let typed = columns.join(", ").replace("tenant,", "tenant INTEGER PRIMARY KEY,");
                let (before, after) = match table {
                    "_audit" => ("seq INTEGER PRIMARY KEY, ", ""),
                    "_log_head" => ("", ", last_id"),
                    _ => ("", ""),
                };
                let columns = columns.join(", ");
                connection
                    .execute_batch(&format!(
                        "CREATE TABLE held ({before}{typed}{after}); INSERT INTO held ({columns}) SELECT {columns} FROM {table}; \
                         DROP TABLE {table}; ALTER TABLE held RENAME TO {table};"
                    ))
                    .unwrap();
            }
            connection.execute_batch("CREATE INDEX by_key ON _audit (key)").unwrap();
        }
        let tenants: Vec<TenantKey> = {
            let mut statement = connection.prepare("SELECT tenant FROM _log_head").unwrap();
            let keys = statement.query_map([], |row| row.get(0)).unwrap();
            keys.map(|key| TenantKey::from_stored(key.unwrap()).unwrap()).collect()
        };
        let mut victim = Self { connection, tenants, stated: Vec::new(), original: Image::new() };
        for tenant in &victim.tenants {
            let origin = ends(&victim.connection, *tenant).unwrap().origin;
            let stated = Checkpoint::load(&victim.connection, *tenant, origin).unwrap();
            victim.stated.extend(stated.map(|stated| (*tenant, stated)));
        }
        victim.original = victim.image();
        victim
    }

    /// All that the format binds, wherever it lies: types and bytes.
    fn image(&self) -> Image {
        let mut image = Image::new();
        for (table, columns) in tables() {
            let values: Vec<String> =
                columns.iter().map(|column| format!("typeof({column}) || ' ' || hex({column})")).collect();
            let sql = format!("SELECT {} FROM {table} ORDER BY {}", values.join(", "), columns[0]);
            let mut statement = self.connection.prepare_cached(&sql).unwrap();
            let rows =
                statement.query_map([], |row| (0..columns.len()).map(|at| row.get(at)).collect()).unwrap();
            image.insert(table, rows.map(std::result::Result::unwrap).collect());
        }
        image
    }

    /// Whether all that differs is gone, and is what a log says has expired, oldest first. It has just
    /// not been deleted before.
    fn only_expired(&self) -> bool {
        let (now, then) = (self.image(), &self.original);
        let tables = ["_log_head", "_audit_checkpoint"];
        let left: BTreeMap<&str, &Vec<String>> = now["_audit"].iter().map(|row| (&*row[0], row)).collect();
        let payload = ENTRY.len() - 2;
        let mut kept = Vec::new();
        let as_stated = then["_audit"].iter().all(|row| {
            let key = row[0].strip_prefix("integer ").unwrap();
            let key = (0..key.len()).step_by(2).map(|at| u8::from_str_radix(&key[at..at + 2], 16).unwrap());
            let key: i64 = String::from_utf8(key.collect()).unwrap().parse().unwrap();
            let (tenant, number) = (key >> TenantKey::NUMBER_BITS, key & ((1 << TenantKey::NUMBER_BITS) - 1));
            let stated = self.stated.iter().find(|(of, _)| of.get() == tenant).map(|(_, stated)| stated);
            match left.get(&*row[0]) {
                None => stated.is_some_and(|stated| number <= stated.entries) && !kept.contains(&tenant),
                Some(now) => {
                    kept.push(tenant);
                    let gone = now[payload..].iter().all(|value| value == "null ");
                    let may_go = stated.is_some_and(|stated| number <= stated.payloads);
                    **now == *row || gone && may_go && now[..payload] == row[..payload]
                }
            }
        });
        as_stated && left.len() == now["_audit"].len() && tables.iter().all(|table| now[table] == then[table])
    }

    fn keys(&self) -> Vec<i64> {
        let mut statement = self.connection.prepare_cached("SELECT key FROM _audit ORDER BY key").unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().map(std::result::Result::unwrap).collect()
    }

    /// Whether verifying some log finds something; those of these keys first.
    fn found(&self, touched: &[i64]) -> bool {
        let hint =
            |tenant: &&TenantKey| touched.iter().any(|key| key >> TenantKey::NUMBER_BITS == tenant.get());
        let (first, rest): (Vec<&TenantKey>, Vec<&TenantKey>) = self.tenants.iter().partition(hint);
        first.into_iter().chain(rest).any(|tenant| is_found(&verify(&self.connection, *tenant)))
    }
}

fn tables() -> [(&'static str, &'static [&'static str]); 3] {
    [("_audit", &ENTRY), ("_log_head", &HEAD), ("_audit_checkpoint", &CHECKPOINT)]
}

fn is_found(result: &Result<Verification>) -> bool {
    match result {
        Ok(verification) => !verification.is_intact(),
        Err(error) => matches!(error, Error::Corrupt { .. }),
    }
}

/// Another value: another bit, another length, or another type with the same bytes.
fn other(dice: &mut Dice, value: &Raw) -> (Raw, bool) {
    let flipped = |dice: &mut Dice, mut bytes: Vec<u8>| {
        match (dice.below(6), bytes.len()) {
            (0, _) => bytes.push(u8::try_from(dice.below(256)).unwrap()),
            (1, 1..) => drop(bytes.pop()),
            (_, 0) => bytes.push(0),
            (_, length) => bytes[dice.below(length)] ^= 1 << dice.below(8),
        }
        bytes
    };
    let retype = dice.below(6) == 0;
    match value {
        Raw::Null => {
            let values =
                [Raw::Integer(0), Raw::Text(String::new()), Raw::Blob(Vec::new()), Raw::Blob(vec![7; 16])];
            (values[dice.below(values.len())].clone(), false)
        }
        _ if dice.below(12) == 0 => (Raw::Null, false),
        Raw::Integer(number) if retype => {
            let real = Raw::Real(*number as f64);
            let values = [Raw::Text(number.to_string()), real, Raw::Blob(number.to_be_bytes().to_vec())];
            (values[dice.below(values.len())].clone(), false)
        }
        Raw::Integer(number) => (Raw::Integer(number ^ 1 << dice.below(64)), false),
        Raw::Real(real) => (Raw::Real(real + 1.0), false),
        Raw::Text(text) if retype => (Raw::Blob(text.clone().into_bytes()), false),
        // As text it may be no UTF-8, which only SQL can write.
        Raw::Text(text) => (Raw::Blob(flipped(dice, text.clone().into_bytes())), true),
        Raw::Blob(bytes) if retype => (Raw::Blob(bytes.clone()), true),
        Raw::Blob(bytes) => (Raw::Blob(flipped(dice, bytes.clone())), false),
    }
}

/// One change; what it was, and the keys that it touched.
fn tamper(victim: &Victim, dice: &mut Dice, keys: &[i64]) -> rusqlite::Result<(String, Vec<i64>)> {
    let connection = &victim.connection;
    let (key, second) = (dice.pick(keys), dice.pick(keys));
    let tenant = key >> TenantKey::NUMBER_BITS;
    let of_log: Vec<i64> =
        keys.iter().copied().filter(|key| key >> TenantKey::NUMBER_BITS == tenant).collect();
    let other_tenant = dice.pick(&victim.tenants).get();
    let all = ENTRY[1..].join(", ");
    let run = |sql: &str| connection.prepare_cached(sql)?.execute([]).map(drop);
    let change = |dice: &mut Dice, table: &str, column: &str, which: (&str, i64)| -> rusqlite::Result<()> {
        let (name, number) = which;
        let sql = format!("SELECT {column} FROM {table} WHERE {name} = ?1");
        let value: Raw = connection.prepare_cached(&sql)?.query_row([number], |row| row.get(0))?;
        let (value, as_text) = other(dice, &value);
        let value_sql = if as_text { "CAST(?2 AS TEXT)" } else { "?2" };
        let sql = format!("UPDATE {table} SET {column} = {value_sql} WHERE {name} = ?1");
        connection.prepare_cached(&sql)?.execute(params![number, value]).map(drop)
    };
    let what = match dice.below(24) {
        0..10 => {
            let column = dice.pick(&ENTRY);
            change(dice, "_audit", column, ("key", key))?;
            format!("{column} of an entry")
        }
        10 => {
            let column = dice.pick(&HEAD);
            change(dice, "_log_head", column, ("tenant", other_tenant))?;
            return Ok((format!("{column} of the head of {other_tenant}"), vec![other_tenant << 40]));
        }
        11 => {
            let column = dice.pick(&CHECKPOINT);
            let sql = "SELECT tenant FROM _audit_checkpoint ORDER BY tenant LIMIT 1 OFFSET ?1";
            let which = connection.query_row(sql, [dice.below(3) as i64], |row| row.get(0))?;
            change(dice, "_audit_checkpoint", column, ("tenant", which))?;
            return Ok((format!("{column} of the checkpoint of {which}"), vec![which << 40]));
        }
        12 => {
            run(&format!("DELETE FROM _audit WHERE key = {key}"))?;
            "an entry is gone".to_owned()
        }
        13 => {
            let (from, to) = (key.min(second), key.max(second));
            run(&format!("DELETE FROM _audit WHERE key BETWEEN {from} AND {to}"))?;
            format!("entries up to {to} are gone")
        }
        14 => {
            let number = dice.pick(&[0, 1, 2, 5, of_log.len() as i64 + 1, 400, (1 << 40) - 1]);
            let there = dice.pick(&[tenant, tenant, other_tenant]) << 40 | number;
            run(&format!(
                "INSERT INTO _audit (key, {all}) SELECT {there}, {all} FROM _audit WHERE key = {key}"
            ))?;
            return Ok((format!("{key} is there again as {there}"), vec![there]));
        }
        15 | 16 => {
            // Also between logs; by way of a number that nobody has.
            let way = "UPDATE _audit SET key = ?2 WHERE key = ?1";
            for (from, to) in [(key, -7), (second, key), (-7, second)] {
                connection.prepare_cached(way)?.execute([from, to])?;
            }
            format!("changed places with {second}")
        }
        17 => {
            let to = dice.pick(&[tenant, other_tenant]) << 40 | dice.below(40) as i64;
            run(&format!("UPDATE _audit SET key = {to} WHERE key = {key}"))?;
            return Ok((format!("{key} is {to} now"), vec![key, to]));
        }
        18 => {
            let by = dice.pick(&[1, -1, 7]);
            let order = if by > 0 { "max" } else { "min" };
            // One after the other, so that no two have one key in between.
            let mut left = of_log.clone();
            left.sort_by_key(|key| if order == "max" { -key } else { *key });
            for key in left {
                run(&format!("UPDATE _audit SET key = key + {by} WHERE key = {key}"))?;
            }
            format!("all numbers of {tenant} by {by}")
        }
        19 => {
            run(&format!(
                "UPDATE _audit SET (salt, body) = (SELECT salt, body FROM _audit WHERE key = {second}) WHERE key = {key}"
            ))?;
            format!("the payload of {second}")
        }
        20 => {
            run(dice.pick(&[
                "UPDATE _audit SET salt = NULL, body = NULL WHERE key = KEY",
                "UPDATE _audit SET salt = NULL WHERE key = KEY",
                "UPDATE _audit SET body = NULL WHERE key = KEY",
                "UPDATE _audit SET salt = x'00', body = x'80' WHERE key = KEY AND body IS NULL",
                // The same bytes, cut elsewhere.
                "UPDATE _audit SET salt = CAST(salt || substr(body, 1, 1) AS BLOB), body = substr(body, 2) WHERE key = KEY",
                "UPDATE _audit SET salt = substr(salt, 1, 15), body = CAST(substr(salt, 16) || body AS BLOB) WHERE key = KEY",
            ])
            .replace("KEY", &key.to_string())
            .as_str())?;
            "a payload, or half of it".to_owned()
        }
        21 => {
            let column = dice.pick(&ENTRY[1..]);
            run(&format!(
                "UPDATE _audit SET {column} = (SELECT {column} FROM _audit WHERE key = {second}) WHERE key = {key}"
            ))?;
            format!("{column} of {second}")
        }
        22 => {
            run(dice
                .pick(&[
                    "DELETE FROM _audit_checkpoint WHERE tenant = TENANT",
                    "DELETE FROM _log_head WHERE tenant = TENANT",
                    "DELETE FROM _audit WHERE key >> 40 = TENANT",
                    "INSERT INTO _audit_checkpoint (tenant, payloads, entries, hash) SELECT TENANT, 0, 0, origin FROM _log_head WHERE tenant = TENANT",
                    "UPDATE _audit_checkpoint SET payloads = payloads + 1 WHERE tenant = TENANT",
                    "UPDATE _log_head SET clock = clock + 1 WHERE tenant = TENANT",
                ])
                .replace("TENANT", &other_tenant.to_string())
                .as_str())?;
            return Ok((format!("a head, a checkpoint, a log of {other_tenant}"), vec![other_tenant << 40]));
        }
        _ => {
            // The oldest go, under a checkpoint that the chain does not state.
            let upto = dice.pick(&of_log);
            let number = upto & ((1 << TenantKey::NUMBER_BITS) - 1);
            run(&format!("DELETE FROM _audit_checkpoint WHERE tenant = {tenant}"))?;
            run(&format!(
                "INSERT INTO _audit_checkpoint (tenant, payloads, entries, hash) SELECT {tenant}, {number}, {number}, hash FROM _audit WHERE key = {upto}"
            ))?;
            run(&format!("DELETE FROM _audit WHERE key >> 40 = {tenant} AND key <= {upto}"))?;
            format!("a checkpoint that nobody stated, at {number}")
        }
    };
    Ok((format!("{key}: {what}"), vec![key, second]))
}

#[test]
fn every_tampering_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    history(&path);
    let (mut changes, mut missed) = (0, Vec::new());
    for takes_anything in [false, true] {
        let victim = Victim::open(&path, takes_anything);
        assert!(!victim.found(&[]), "it verifies before anybody touches it");
        assert!(victim.tenants.len() >= 8, "{:?}", victim.tenants);
        let keys = victim.keys();
        let mut dice = Dice(1 + u64::from(takes_anything));
        let (mut made, mut refused, mut same) = (0, 0, 0);
        while made < CHANGES / 2 {
            victim.connection.execute_batch("SAVEPOINT tampering").unwrap();
            match tamper(&victim, &mut dice, &keys) {
                Err(error) => {
                    let code = error.sqlite_error_code();
                    use rusqlite::ErrorCode::{ConstraintViolation, TypeMismatch};
                    assert!(matches!(code, Some(ConstraintViolation | TypeMismatch)), "{error}");
                    refused += 1;
                }
                Ok((_, touched)) if victim.found(&touched) => made += 1,
                Ok(_) if victim.only_expired() => same += 1,
                Ok((what, _)) => {
                    made += 1;
                    missed.push(what);
                }
            }
            victim.connection.execute_batch("ROLLBACK TO tampering; RELEASE tampering").unwrap();
        }
        assert_eq!(victim.image(), victim.original);
        changes += made;
        println!(
            "{made} changes made, {} not found; besides {refused} that SQLite refused, and {same} that change nothing or delete what the log says has expired: {}",
            missed.len(),
            if takes_anything { "tables that take anything" } else { "the store's own tables" }
        );
    }
    assert!(missed.is_empty(), "{} not found: {missed:#?}", missed.len());
    assert!(changes >= 10_000);
}

/// Where entries lie in the file is nobody's business, and a log says nothing of it.
#[test]
fn the_place_of_an_entry_is_no_part_of_a_log() {
    with_victim(|victim| {
        victim.connection.execute_batch("UPDATE _audit SET seq = -seq").unwrap();
        assert_eq!(victim.image(), victim.original);
        assert!(!victim.found(&[]));
    });
}

fn with_victim(run: impl FnOnce(&Victim)) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    history(&path);
    run(&Victim::open(&path, false));
}

/// Each change of which one guard alone tells.
#[test]
fn what_only_one_guard_finds() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    history(&path);
    let victim = Victim::open(&path, true);
    let ada = key(&victim.connection, "ada").unwrap();
    let linus = key(&victim.connection, "linus").unwrap();
    let empty =
        victim.tenants.iter().copied().find(|tenant| ends(&victim.connection, *tenant).unwrap().next == 1);
    let (linus_first, ada_first) = (linus.first(), ada.first());
    let all = ENTRY[1..].join(", ");
    let empty = empty.unwrap().get();
    for (what, statement) in [
        (
            "number 0",
            format!(
                "INSERT INTO _audit (key, {all}) SELECT {linus_first}, {all} FROM _audit WHERE key = {linus_first} + 2"
            ),
        ),
        (
            "another salt",
            format!(
                "UPDATE _audit SET salt = CAST(salt || substr(body, 1, 1) AS BLOB), body = substr(body, 2) WHERE key = {linus_first} + 2"
            ),
        ),
        (
            "half a payload",
            format!(
                "UPDATE _audit SET body = x'80' WHERE key = (SELECT min(key) FROM _audit WHERE key > {ada_first} AND body IS NULL)"
            ),
        ),
        ("an empty log's clock", format!("UPDATE _log_head SET clock = 1 WHERE tenant = {empty}")),
        (
            "the origin, of which no entry tells any more",
            format!("UPDATE _log_head SET origin = randomblob(32) WHERE tenant = {}", ada.get()),
        ),
        ("what is said to be gone and is left", {
            let grace = key(&victim.connection, "grace").unwrap().first();
            format!("UPDATE _audit SET outcome = 'no' WHERE key = {grace} + 2")
        }),
    ] {
        victim.connection.execute_batch("SAVEPOINT tampering").unwrap();
        victim.connection.execute_batch(&statement).unwrap();
        assert_ne!(victim.image(), victim.original, "{what}");
        assert!(victim.found(&[]), "{what}");
        victim.connection.execute_batch("ROLLBACK TO tampering; RELEASE tampering").unwrap();
    }
}

/// Recomputes a log from a number on, as one who knows the format does, and its head.
fn recompute(connection: &Connection, tenant: TenantKey, from: i64) {
    let mut links = Vec::new();
    let mut previous = ends(connection, tenant).unwrap().origin;
    StoredEntry::each(connection, tenant, |entry| {
        let mut link = entry.link();
        if link.number >= from {
            link.previous = previous;
            link.commitment =
                super::chain::commitment(entry.salt.as_deref().unwrap(), entry.body.as_deref().unwrap());
        }
        previous = if link.number >= from { link.hash() } else { entry.hash };
        links.push((link.number, link.commitment, link.previous, previous, link.clock));
        Ok(())
    })
    .unwrap();
    for (number, commitment, previous, hash, clock) in links {
        let sql = "UPDATE _audit SET commitment = ?2, previous = ?3, hash = ?4 WHERE key = ?1";
        connection.execute(sql, params![tenant.first() | number, commitment, previous, hash]).unwrap();
        let sql = "UPDATE _log_head SET next = ?2, hash = ?3, clock = ?4 WHERE tenant = ?1";
        connection.execute(sql, params![tenant.get(), number + 1, hash, clock]).unwrap();
    }
}

/// What the chain alone can't show, an anchor does: a log that is cut off with a head to match, and one
/// that is written anew, with right hashes.
#[test]
fn an_anchor_finds_what_the_chain_alone_can_not() {
    with_victim(|victim| {
        let connection = &victim.connection;
        let linus = key(connection, "linus").unwrap();
        let name = LogName::Tenant(TenantName::User(user("linus")));
        let anchor = head(connection, linus, name.clone(), second(0)).unwrap();
        let last = i64::try_from(anchor.number).unwrap();
        let against = || verify_against(connection, linus, &name, &anchor).unwrap().problems;
        assert_eq!(against(), []);
        // One of the same beginning under another name, such as a copy that somebody imported.
        let copied = verify_against(connection, linus, &LogName::Reference, &anchor).unwrap().problems;
        assert_eq!(copied, [ChainProblem::OtherLog { anchored: name.clone() }]);
        let attempt = |change: &dyn Fn(), found: ChainProblem| {
            connection.execute_batch("SAVEPOINT tampering").unwrap();
            change();
            let alone = verify(connection, linus).unwrap();
            assert!(alone.is_intact(), "{found}: the chain alone can't tell: {alone:?}");
            assert_eq!(against(), [found]);
            connection.execute_batch("ROLLBACK TO tampering; RELEASE tampering").unwrap();
        };
        for cut in 1..last {
            let end = u64::try_from(last - cut).unwrap();
            attempt(
                &|| {
                    let sql = "DELETE FROM _audit WHERE key BETWEEN ?1 AND ?2";
                    connection.execute(sql, [linus.first() | (last - cut + 1), linus.last()]).unwrap();
                    recompute(connection, linus, last);
                },
                ChainProblem::Truncated { last: end, anchored: anchor.number },
            );
        }
        for number in 1..=last {
            let rewritten = ChainProblem::Rewritten { number: anchor.number };
            for statement in [
                "UPDATE _audit SET outcome = 'no' WHERE key = ?1",
                "UPDATE _audit SET body = x'80' WHERE key = ?1",
                "UPDATE _audit SET actor = randomblob(16) WHERE key = ?1",
            ] {
                let change = || {
                    connection.execute(statement, [linus.first() | number]).unwrap();
                    recompute(connection, linus, number);
                };
                attempt(&change, rewritten.clone());
            }
        }
        // Cut off, and others in the place of what is gone.
        attempt(
            &|| {
                let sql = "UPDATE _audit SET time = time + 1 WHERE key > ?1 AND key <= ?2";
                connection.execute(sql, [linus.first() | 3, linus.last()]).unwrap();
                recompute(connection, linus, 4);
            },
            ChainProblem::Rewritten { number: anchor.number },
        );
        // From another origin.
        attempt(
            &|| {
                let sql = "UPDATE _log_head SET origin = randomblob(32) WHERE tenant = ?1";
                connection.execute(sql, [linus.get()]).unwrap();
                recompute(connection, linus, 1);
            },
            ChainProblem::OtherLog { anchored: name.clone() },
        );
    });
}
