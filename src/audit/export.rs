//! Entries for other programs: JSON Lines and CloudEvents. `docs/audit-export.md` has the form.

use std::io::Write;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension};
use serde::ser::{SerializeMap, SerializeStruct};
use serde::{Serialize, Serializer};
use sha2::{Digest, Sha256};

use super::{AuditEntry, Change};
use crate::entity::{Value, hex, json_of};
use crate::error::{Error, Result};
use crate::identity::TenantKey;

/// The greatest integer that every reader of JSON keeps: RFC 8259, section 6.
const INTEGER_MAX: u64 = (1 << 53) - 1;

/// An entry as a line holds it.
struct Line<'e>(&'e AuditEntry);

impl Serialize for Line<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let entry = self.0;
        let mut line = serializer.serialize_struct("entry", 16)?;
        line.serialize_field("number", &entry.number)?;
        line.serialize_field("transaction", &entry.transaction)?;
        line.serialize_field("time", &entry.time.to_string())?;
        // Always beyond 2^53, so text.
        line.serialize_field("clock", &entry.clock.to_string())?;
        line.serialize_field("device", &entry.device.to_string())?;
        line.serialize_field("actor", &entry.actor)?;
        line.serialize_field("admin", &entry.admin)?;
        line.serialize_field("reason", &entry.reason)?;
        line.serialize_field("action", &entry.action)?;
        line.serialize_field("entity", &entry.entity)?;
        line.serialize_field("record", &entry.record.map(|record| record.to_string()))?;
        line.serialize_field("outcome", &entry.outcome)?;
        line.serialize_field("definition", &entry.definition_version)?;
        line.serialize_field("undoes", &entry.undoes)?;
        line.serialize_field("hash", &hex(&entry.hash))?;
        let changes = entry.changes.as_ref().map(|changes| changes.iter().map(Changed).collect::<Vec<_>>());
        line.serialize_field("changes", &changes)?;
        line.end()
    }
}

struct Changed<'e>(&'e Change);

impl Serialize for Changed<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let change = self.0;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("column", &change.column)?;
        if change.redacted {
            map.serialize_entry("redacted", &true)?;
        } else {
            map.serialize_entry("before", &Exact(&change.before))?;
            map.serialize_entry("after", &Exact(&change.after))?;
        }
        map.end()
    }
}

/// A value without loss: as JSON has it, or as an object whose first key says what it is.
struct Exact<'v>(&'v Value);

impl Serialize for Exact<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::None => serializer.serialize_unit(),
            Value::Boolean(boolean) => serializer.serialize_bool(*boolean),
            Value::Integer(integer) if integer.unsigned_abs() <= INTEGER_MAX => {
                serializer.serialize_i64(*integer)
            }
            Value::Integer(integer) => tagged(serializer, "integer", &integer.to_string()),
            Value::Real(real) if real.is_finite() => serializer.serialize_f64(*real),
            Value::Real(real) => {
                tagged(serializer, "real", if *real > 0.0 { "Infinity" } else { "-Infinity" })
            }
            Value::Text(text) => serializer.serialize_str(text),
            Value::Bytes(bytes) => tagged(serializer, "bytes", &hex(bytes)),
            Value::Uuid(uuid) => tagged(serializer, "uuid", &uuid.to_string()),
            Value::Time(time) => tagged(serializer, "time", &time.to_string()),
            Value::Nested(nested) => {
                let mut map = serializer.serialize_map(None)?;
                map.serialize_entry("messagepack", &hex(nested.as_bytes()))?;
                // For people: JSON has less than MessagePack.
                map.serialize_entry("json", &json_of(nested.as_bytes()))?;
                map.end()
            }
        }
    }
}

fn tagged<S: Serializer>(serializer: S, kind: &str, text: &str) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(1))?;
    map.serialize_entry(kind, text)?;
    map.end()
}

/// An entry as an event of CloudEvents 1.0, in its JSON format.
#[derive(Serialize)]
struct CloudEvent<'e> {
    specversion: &'static str,
    id: String,
    source: &'e str,
    #[serde(rename = "type")]
    kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    /// Of the extension of that name.
    sequence: String,
    datacontenttype: &'static str,
    data: Line<'e>,
}

/// How an export writes each entry.
#[derive(Debug)]
pub(crate) enum Form {
    JsonLines,
    /// With the log's name.
    CloudEvents {
        source: String,
    },
}

impl Form {
    /// One line.
    pub(crate) fn write(&self, writer: &mut impl Write, entry: &AuditEntry) -> Result<()> {
        let line = match self {
            Form::JsonLines => serde_json::to_vec(&Line(entry)),
            Form::CloudEvents { source } => serde_json::to_vec(&event(source, entry)),
        };
        let mut line = line.map_err(|error| Error::io("an audit entry in JSON", error))?;
        line.push(b'\n');
        writer.write_all(&line).map_err(|error| Error::io("the audit log's export", error))
    }
}

fn event<'e>(source: &'e str, entry: &'e AuditEntry) -> CloudEvent<'e> {
    CloudEvent {
        specversion: "1.0",
        // Of this entry and no other in the world, also where copies of a log went on apart.
        id: hex(&entry.hash),
        source,
        kind: format!("tenantry.audit.{}", entry.action),
        // RFC 3339 has no years before 0.
        time: (entry.time >= YEAR_0).then(|| entry.time.to_string()),
        subject: entry
            .entity
            .as_deref()
            .zip(entry.record)
            .map(|(entity, record)| format!("{}/{record}", encoded(entity))),
        // Numbers have 40 bits, and sequences are compared as text.
        sequence: format!("{:013}", entry.number),
        datacontenttype: "application/json",
        data: Line(entry),
    }
}

const YEAR_0: Timestamp = Timestamp::constant(-62_167_219_200, 0);

/// Percent-encoded but for what RFC 3986 leaves as it is: a context attribute must not hold every character.
fn encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

/// What a log is called elsewhere: made of its random origin, so that no two have one name and it tells nothing.
pub(crate) fn source(connection: &Connection, tenant: TenantKey) -> Result<String> {
    let sql = "SELECT origin FROM _log_head WHERE tenant = ?1";
    let origin: Option<[u8; 32]> =
        connection.prepare_cached(sql)?.query_row([tenant.get()], |row| row.get(0)).optional()?;
    let origin = origin.ok_or_else(|| Error::corrupt("a tenant has no log"))?;
    let hash: [u8; 32] = Sha256::new().chain_update(b"tenantry-log-1").chain_update(origin).finalize().into();
    let mut name = [0; 16];
    name.copy_from_slice(&hash[..16]);
    Ok(format!("urn:uuid:{}", uuid::Builder::from_custom_bytes(name).into_uuid()))
}
