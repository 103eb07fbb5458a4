//! The functions that make stored values readable in views. Tenants can call them too.

use std::collections::{BTreeMap, HashSet};

use jiff::Timestamp;
use rusqlite::Connection;
use rusqlite::functions::{Context, FunctionFlags};
use rusqlite::types::ValueRef;
use serde_json::{Value as Json, json};
use uuid::Uuid;

use crate::audit::payload::read_payload;
use crate::entity::{Value, hex, json_of, time_from_micros, time_of};

/// All of them take one value; a value that they can't read gives none.
type Function = fn(ValueRef<'_>) -> Option<String>;

pub(super) const FUNCTIONS: [(&str, Function); 5] = [
    ("utc_text", utc_text),
    ("uuid_text", uuid_text),
    ("uuid_time", uuid_time),
    ("messagepack_json", messagepack_json),
    ("audit_json", audit_json),
];

pub(super) fn register(connection: &Connection) -> rusqlite::Result<()> {
    // Innocuous: they have no effect and tell nothing but of their argument (https://sqlite.org/c3ref/c_deterministic.html).
    let flags =
        FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC | FunctionFlags::SQLITE_INNOCUOUS;
    for (name, left, right) in [("trim", true, true), ("ltrim", true, false), ("rtrim", false, true)] {
        connection.create_scalar_function(name, 2, flags, move |context: &Context<'_>| {
            trim(context, left, right)
        })?;
    }
    for (name, function) in FUNCTIONS {
        connection.create_scalar_function(name, 1, flags, move |context: &Context<'_>| {
            Ok(function(context.get_raw(0)))
        })?;
    }
    Ok(())
}

/// SQLite's own, but that it takes time by the sum of its lengths and not by their product, since nothing can interrupt it.
fn trim(context: &Context<'_>, left: bool, right: bool) -> rusqlite::Result<Option<String>> {
    let (Some(text), Some(of)) = (text(context.get_raw(0))?, text(context.get_raw(1))?) else {
        return Ok(None);
    };
    let of: HashSet<char> = of.chars().collect();
    let mut rest = text.as_str();
    if left {
        rest = rest.trim_start_matches(|c| of.contains(&c));
    }
    if right {
        rest = rest.trim_end_matches(|c| of.contains(&c));
    }
    Ok(Some(rest.to_owned()))
}

/// A value as text, as SQLite makes one of it.
fn text(value: ValueRef<'_>) -> rusqlite::Result<Option<String>> {
    Ok(match value {
        ValueRef::Null => None,
        ValueRef::Integer(integer) => Some(integer.to_string()),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
        ValueRef::Real(real) => {
            // How a float is written only SQLite knows.
            let scratch = Connection::open_in_memory()?;
            Some(scratch.query_row("SELECT CAST(?1 AS TEXT)", [real], |row| row.get(0))?)
        }
    })
}

/// Microseconds since the Unix epoch as a time in UTC. With a space and not a `T`, it compares rightly with what
/// SQLite's own date functions give, which read it too (<https://sqlite.org/lang_datefunc.html>).
fn utc_text(value: ValueRef<'_>) -> Option<String> {
    match value {
        ValueRef::Integer(microseconds) => time_from_micros(microseconds).map(text_of),
        _ => None,
    }
}

pub(super) fn text_of(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M:%S.%6fZ").to_string()
}

fn uuid_text(value: ValueRef<'_>) -> Option<String> {
    match value {
        ValueRef::Blob(bytes) => Uuid::from_slice(bytes).ok().map(|uuid| uuid.to_string()),
        _ => None,
    }
}

/// When a UUIDv7 was made.
fn uuid_time(value: ValueRef<'_>) -> Option<String> {
    let uuid = match value {
        ValueRef::Text(text) => Uuid::try_parse_ascii(text).ok()?,
        ValueRef::Blob(bytes) => Uuid::from_slice(bytes).ok()?,
        _ => return None,
    };
    Some(text_of(time_of(uuid)))
}

fn messagepack_json(value: ValueRef<'_>) -> Option<String> {
    match value {
        ValueRef::Blob(bytes) => json_of(bytes).map(|json| json.to_string()),
        _ => None,
    }
}

/// What an audit entry says of each column: the value before and after, or that it is secret.
fn audit_json(value: ValueRef<'_>) -> Option<String> {
    let ValueRef::Blob(body) = value else { return None };
    let changes = read_payload(body).ok()?;
    let columns: BTreeMap<String, Json> = changes
        .into_iter()
        .map(|change| {
            let said = if change.redacted {
                json!({ "redacted": true })
            } else {
                json!({ "before": plain(&change.before), "after": plain(&change.after) })
            };
            (change.column, said)
        })
        .collect();
    serde_json::to_string(&columns).ok()
}

/// A value as a view shows it, in JSON.
fn plain(value: &Value) -> Json {
    match value {
        Value::None => Json::Null,
        Value::Boolean(boolean) => json!(boolean),
        Value::Integer(integer) => json!(integer),
        Value::Real(real) => json!(real),
        Value::Text(text) => json!(text),
        Value::Bytes(bytes) => json!(hex(bytes)),
        Value::Uuid(uuid) => json!(uuid.to_string()),
        Value::Time(time) => json!(text_of(*time)),
        Value::Nested(nested) => json_of(nested.as_bytes()).unwrap_or(Json::Null),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn values_are_readable() {
        let micros = |v| utc_text(ValueRef::Integer(v)).unwrap();
        assert_eq!(micros(0), "1970-01-01 00:00:00.000000Z");
        assert_eq!(micros(-1), "1969-12-31 23:59:59.999999Z");
        assert_eq!(micros(1_700_000_000_123_456), "2023-11-14 22:13:20.123456Z");
        assert_eq!(utc_text(ValueRef::Integer(i64::MAX)), None);
        let id = Uuid::try_parse("018bcfe5-687b-7000-8000-000000000000").unwrap();
        assert_eq!(uuid_text(ValueRef::Blob(id.as_bytes())).unwrap(), id.to_string());
        let made = uuid_time(ValueRef::Text(id.to_string().as_bytes())).unwrap();
        assert_eq!(made, "2023-11-14 22:13:20.123000Z");
    }

    #[test]
    fn nested_values_of_every_kind_become_json() {
        let value = (1, -2.5, "x", Some(true), None::<u8>, vec![BTreeMap::from([(7, "seven")])]);
        let packed = rmp_serde::to_vec(&value).unwrap();
        let json = messagepack_json(ValueRef::Blob(&packed)).unwrap();
        assert_eq!(json, r#"[1,-2.5,"x",true,null,[{"7":"seven"}]]"#);
        // A bin of two bytes, and an extension.
        assert_eq!(messagepack_json(ValueRef::Blob(&[0xc4, 2, 0xab, 0x01])).unwrap(), "\"ab01\"");
        assert_eq!(messagepack_json(ValueRef::Blob(&[0xd4, 5, 0xff])).unwrap(), "[5,\"ff\"]");
        // An array that says to have four thousand million items.
        assert_eq!(messagepack_json(ValueRef::Blob(&[0xdd, 0xff, 0xff, 0xff, 0xff])), None);
    }

    #[test]
    fn values_that_would_take_all_memory_or_the_stack_are_none() {
        let keys = [vec![0x81; 60], vec![0xa1, b'a'], vec![0xc0; 60]].concat();
        let arrays = [vec![0x91; 1_000], vec![0xc0]].concat();
        let deep = [vec![0x91; 100], vec![0xc0]].concat();
        for function in [messagepack_json as Function, audit_json] {
            assert_eq!(function(ValueRef::Blob(&keys)), None);
            assert_eq!(function(ValueRef::Blob(&arrays)), None);
        }
        assert_eq!(messagepack_json(ValueRef::Blob(&deep)).unwrap().len(), 204);
    }

    #[test]
    fn trimming_is_sqlites_own_and_quick() {
        let (ours, theirs) = (Connection::open_in_memory().unwrap(), Connection::open_in_memory().unwrap());
        register(&ours).unwrap();
        for of in ["'xa'", "''", "'0'", "NULL", "5", "'ä é'", "x'78'"] {
            for value in ["'xaxbxax'", "''", "NULL", "2.50", "1e20", "-5005", "'ää ö é'", "x'7861'", "'   '"]
            {
                for name in ["trim", "ltrim", "rtrim"] {
                    let sql = format!("SELECT quote({name}({value}, {of}))");
                    let ask = |c: &Connection| c.query_row(&sql, [], |row| row.get::<_, String>(0)).unwrap();
                    assert_eq!(ask(&ours), ask(&theirs), "{sql}");
                }
            }
        }
        let long = "SELECT length(trim(printf('%.200000c', 'a') || 'b', printf('%.100000c', 'c') || 'ab'))";
        let began = std::time::Instant::now();
        assert_eq!(ours.query_row(long, [], |row| row.get::<_, i64>(0)).unwrap(), 0);
        assert!(began.elapsed() < std::time::Duration::from_secs(1));
    }

    proptest! {
        #[test]
        fn any_bytes_give_json_or_none(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            for function in [messagepack_json as Function, audit_json, uuid_text, uuid_time, utc_text] {
                if let Some(text) = function(ValueRef::Blob(&bytes)) {
                    prop_assert!(!text.is_empty());
                }
            }
            if let Some(json) = messagepack_json(ValueRef::Blob(&bytes)) {
                prop_assert!(serde_json::from_str::<Json>(&json).is_ok(), "{json}");
            }
        }
    }
}
