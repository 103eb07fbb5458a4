//! What other programs read of a tenant: the same that its sessions do.

use std::collections::BTreeMap;

use rusqlite::Connection;
use rusqlite::types::Value as SqlValue;
use serde_json::{Value as Json, json};
use tenantry::{AuditEntry, Error, Fields, Nested, Record, Store, Value};

use super::pack::Pack;
use super::world::{Dice, acme, builder, furnish, user};

/// Nested values in the tests have neither bytes nor keys.
fn json_of_nested(nested: &Nested) -> Json {
    fn json(value: &Pack) -> Json {
        match value {
            Pack::Nil => Json::Null,
            Pack::Boolean(boolean) => (*boolean).into(),
            Pack::Integer(integer) => {
                u64::try_from(*integer).map_or_else(|_| (*integer as i64).into(), Json::from)
            }
            Pack::Real(bits) => f64::from_bits(*bits).into(),
            Pack::Text(text) => text.as_str().into(),
            Pack::List(items) => items.iter().map(json).collect(),
            other => panic!("{other:?}"),
        }
    }
    json(&Pack::read(&mut nested.as_bytes()).unwrap())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// As `docs/audit-export.md` says.
fn in_json(value: &Value) -> Json {
    match value {
        Value::None => Json::Null,
        Value::Boolean(boolean) => (*boolean).into(),
        Value::Integer(integer) if integer.unsigned_abs() < 1 << 53 => (*integer).into(),
        Value::Integer(integer) => json!({ "integer": integer.to_string() }),
        Value::Real(real) if *real == f64::INFINITY => json!({ "real": "Infinity" }),
        Value::Real(real) if *real == f64::NEG_INFINITY => json!({ "real": "-Infinity" }),
        Value::Real(real) => (*real).into(),
        Value::Text(text) => text.as_str().into(),
        Value::Bytes(bytes) => json!({ "bytes": hex(bytes) }),
        Value::Uuid(uuid) => json!({ "uuid": uuid.to_string() }),
        Value::Time(time) => json!({ "time": time.to_string() }),
        Value::Nested(nested) => {
            json!({ "messagepack": hex(nested.as_bytes()), "json": json_of_nested(nested) })
        }
        other => panic!("{other:?}"),
    }
}

/// As the documentation of `export_sqlite` says.
fn in_sql(value: &Value) -> SqlValue {
    match value {
        Value::None => SqlValue::Null,
        Value::Boolean(boolean) => i64::from(*boolean).into(),
        Value::Integer(integer) => (*integer).into(),
        Value::Real(real) => (*real).into(),
        Value::Text(text) => text.clone().into(),
        Value::Bytes(bytes) => bytes.clone().into(),
        Value::Uuid(uuid) => uuid.to_string().into(),
        Value::Time(time) => time.to_string().into(),
        Value::Nested(nested) => json_of_nested(nested).to_string().into(),
        other => panic!("{other:?}"),
    }
}

/// Everything that sessions read of what leaves: records by entity and member, and logs by member.
struct Read {
    records: BTreeMap<(String, Option<String>), Vec<Record<Fields>>>,
    logs: BTreeMap<Option<String>, Vec<AuditEntry>>,
}

fn read_user(store: &Store, id: &str) -> Read {
    let session = store.session(&user(id)).unwrap();
    let records = ["task", "left one", "Right; DROP"]
        .map(|entity| ((entity.to_owned(), None), session.dynamic(entity).unwrap().list().unwrap()));
    Read { records: records.into(), logs: [(None, session.audit().list().unwrap())].into() }
}

fn read_acme(store: &Store) -> Read {
    let mut read = Read { records: BTreeMap::new(), logs: BTreeMap::new() };
    for member in store.organizations().members(&acme(), None, 100).unwrap() {
        let session = store.session(&member.user).unwrap().in_organization(&acme()).unwrap();
        let name = Some(member.user.to_string());
        read.records.insert(("ticket".to_owned(), None), session.dynamic("ticket").unwrap().list().unwrap());
        read.records
            .insert(("note".to_owned(), name.clone()), session.dynamic("note").unwrap().list().unwrap());
        read.logs.insert(None, session.audit().list().unwrap());
        read.logs.insert(name, session.private_audit().list().unwrap());
    }
    read
}

fn assert_lines(lines: &[u8], read: &Read) {
    let lines: Vec<Json> =
        std::str::from_utf8(lines).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&lines[0]["tenantry"], &lines[0]["version"]), (&"export".into(), &1.into()));
    let text = |json: &Json| json.as_str().map(str::to_owned);
    let mut found = BTreeMap::new();
    for line in lines.iter().filter(|line| line.get("record").is_some()) {
        let record = &line["record"];
        let place = (text(&record["entity"]).unwrap(), text(&line["member"]), text(&record["id"]).unwrap());
        assert!(found.insert(place, record).is_none());
    }
    let mut rows = 0;
    for ((entity, member), records) in &read.records {
        for record in records {
            rows += 1;
            let line = found.remove(&(entity.clone(), member.clone(), record.id.to_string())).unwrap();
            assert_eq!(line["version"], record.version);
            assert_eq!(line["created"], record.created.to_string());
            assert_eq!(line["updated"], record.updated.to_string());
            assert_eq!(text(&line["author"]), record.author.as_ref().map(ToString::to_string));
            for (column, value) in record.value.iter() {
                assert_eq!(line["values"][column], in_json(value), "{entity}.{column}");
            }
        }
    }
    assert!(found.is_empty(), "{found:?}");
    let mut entries = 0;
    for (member, log) in &read.logs {
        let written = lines.iter().filter(|line| text(&line["member"]) == *member);
        let written: Vec<&Json> = written.filter_map(|line| line.get("entry")).collect();
        assert_eq!(written.len(), log.len());
        entries += log.len();
        for (line, entry) in written.iter().zip(log) {
            assert_eq!((&line["number"], &line["hash"]), (&entry.number.into(), &hex(&entry.hash).into()));
            assert_eq!(line["action"], entry.action.as_str());
            assert_eq!(text(&line["actor"]), entry.actor.as_ref().map(ToString::to_string));
            for (position, change) in entry.changes.iter().flatten().enumerate() {
                let said = &line["changes"][position];
                assert_eq!(said["column"], change.column.as_str());
                if change.redacted {
                    assert_eq!(said["redacted"], true);
                } else {
                    assert_eq!(said["before"], in_json(&change.before));
                    assert_eq!(said["after"], in_json(&change.after));
                }
            }
        }
    }
    let end = &lines.last().unwrap()["end"];
    assert_eq!((&end["rows"], &end["entries"]), (&rows.into(), &entries.into()));
    let references = lines.iter().filter(|line| line.get("reference").is_some()).count();
    assert_eq!(end["references"], references);
}

fn assert_file(path: &std::path::Path, read: &Read) {
    let file = Connection::open(path).unwrap();
    let check: String = file.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(check, "ok");
    let dangling =
        file.prepare("PRAGMA foreign_key_check").unwrap().query_map([], |_| Ok(())).unwrap().count();
    assert_eq!(dangling, 0);
    let columns: Vec<String> = file
        .prepare("SELECT lower(p.name) FROM sqlite_schema AS s, pragma_table_info(s.name) AS p WHERE s.type = 'table'")
        .unwrap()
        .query_map([], |row| row.get(0))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert!(!columns.iter().any(|name| name.contains("tenant")), "{columns:?}");
    let mut expected = BTreeMap::<&str, usize>::new();
    for ((entity, member), records) in &read.records {
        *expected.entry(entity).or_default() += records.len();
        for record in records {
            let (id, own) = if entity == "Right; DROP" { ("_id", "\"_id\"") } else { ("id", "\"id\"") };
            let sql = match member {
                None => format!("SELECT * FROM \"{entity}\" WHERE {own} = ?1"),
                Some(_) => format!("SELECT * FROM \"{entity}\" WHERE {own} = ?1 AND member = ?2"),
            };
            let mut statement = file.prepare(&sql).unwrap();
            let parameters = [Some(record.id.to_string()), member.clone()];
            let parameters = parameters.iter().flatten();
            let mut rows = statement.query(rusqlite::params_from_iter(parameters)).unwrap();
            let row = rows.next().unwrap().unwrap();
            let get = |name: &str| row.get::<_, SqlValue>(name).unwrap();
            assert_eq!(get(id), record.id.to_string().into());
            assert_eq!(get("version"), i64::try_from(record.version).unwrap().into());
            assert_eq!(get("updated"), record.updated.to_string().into());
            if entity == "ticket" {
                assert_eq!(get("author"), record.author.as_ref().unwrap().to_string().into());
            }
            for (column, value) in record.value.iter() {
                assert_eq!(get(column), in_sql(value), "{entity}.{column}");
            }
        }
    }
    let count = |sql: &str| -> usize {
        let count: u32 = file.query_row(sql, [], |row| row.get(0)).unwrap();
        count as usize
    };
    for (entity, records) in expected {
        assert_eq!(count(&format!("SELECT count(*) FROM \"{entity}\"")), records);
    }
    let private: usize =
        read.logs.iter().filter(|(member, _)| member.is_some()).map(|(_, log)| log.len()).sum();
    assert_eq!(count("SELECT count(*) FROM private_audit"), private);
    assert_eq!(count("SELECT count(*) FROM audit"), read.logs[&None].len());
    let last = read.logs[&None].last().unwrap();
    let hash: String =
        file.query_row("SELECT hash FROM audit ORDER BY number DESC", [], |row| row.get(0)).unwrap();
    assert_eq!(hash, hex(&last.hash));
    // Unique sets hold there too.
    let again = "INSERT INTO country (id, code) SELECT 'other', code FROM country";
    assert!(count("SELECT count(*) FROM country") == 0 || file.execute(again, []).is_err());
}

#[test]
fn json_lines_and_sqlite_are_what_sessions_read() {
    let mut dice = Dice::new(23);
    for partitions in [0, 3] {
        let builder = builder(1);
        let builder = if partitions > 0 { builder.partitions(partitions) } else { builder };
        let store = builder.temporary().unwrap();
        furnish(&store, dice.next(), 250);
        // Somebody who has left is nobody's session any more; the model of it is the bundle.
        drop(store.organizations().add_member(&acme(), &user("linus"), tenantry::Role::Member));
        let folder = tempfile::tempdir().unwrap();

        let session = store.session(&user("ada")).unwrap();
        let mut lines = Vec::new();
        let exported = session.export_json_lines(&mut lines).unwrap();
        assert_eq!(exported.bytes, lines.len() as u64);
        let read = read_user(&store, "ada");
        assert_lines(&lines, &read);
        let path = folder.path().join("ada.db");
        let exported = session.export_sqlite(&path).unwrap();
        assert_eq!(exported.bytes, std::fs::metadata(&path).unwrap().len());
        assert_file(&path, &read);

        let mut lines = Vec::new();
        store.organizations().export_json_lines(&acme(), &mut lines).unwrap();
        let read = read_acme(&store);
        assert_lines(&lines, &read);
        let path = folder.path().join("acme.db");
        store.organizations().export_sqlite(&acme(), &path).unwrap();
        assert_file(&path, &read);

        // Nothing else is left in the folder, and what is there is not written over.
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
        let before = std::fs::read(&path).unwrap();
        let refused = store.users().export_sqlite(&user("ada"), &path);
        assert!(matches!(refused, Err(Error::InvalidInput { .. })), "{refused:?}");
        assert_eq!(std::fs::read(&path).unwrap(), before);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
        let nowhere = folder.path().join("none").join("ada.db");
        assert!(store.users().export_sqlite(&user("ada"), nowhere).is_err());
    }
}
