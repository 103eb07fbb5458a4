//! Everything of a tenant as JSON Lines, for people and other programs: one object a line, of which the
//! first says what it is and the last that it is whole.

use std::io::{BufWriter, Write};

use serde::Serialize;
use serde_json::{Map, Value as Json, json};

use super::Exported;
use super::source::{Leaving, References, Source, definition_of, reference_values};
use crate::audit::export::{Exact, Line};
use crate::audit::log::StoredEntry;
use crate::entity::{Value, time_from_micros, time_of};
use crate::error::{Error, Result};
use crate::statement::Table;
use crate::statement::check::CheckedRow;

/// The form that is written.
const VERSION: u32 = 1;

pub(super) fn write(source: &Source, out: &mut dyn Write) -> Result<Exported> {
    let mut lines = Lines { out: BufWriter::new(out), bytes: 0 };
    let entities = source.entities().into_iter().map(|table| {
        let definition: Json = serde_json::from_str(&definition_of(table).to_json()).unwrap_or_default();
        json!({ "name": table.entity(), "version": table.version, "definition": definition })
    });
    lines.put(&json!({
        "tenantry": "export",
        "version": VERSION,
        "kind": source.kind.as_str(),
        "id": source.id,
        "name": source.name,
        "created": time(source.created)?,
        "entities": entities.collect::<Vec<_>>(),
    }))?;
    for member in source.members() {
        let (user, role, active) = (&member.user, member.role.as_str(), member.active);
        let created = time(member.created)?;
        lines.put(
            &json!({ "member": { "user": user, "role": role, "active": active, "created": created } }),
        )?;
    }
    let mut references = References::default();
    let (mut rows, mut entries) = (0, 0);
    for tenant in &source.tenants {
        for table in source.entities_of(tenant.tenancy) {
            source.rows(table, tenant, |row| {
                rows += 1;
                references.note(source.catalog(), table, &row.values);
                lines.put(&record(table, tenant, &source.as_read(table, row)?)?)
            })?;
        }
        StoredEntry::each_readable(source.connection()?, tenant.key, |read| {
            entries += 1;
            let mut line = object([("member", tenant.member.as_ref().map(|member| json!(member.user)))]);
            line.insert("entry".to_owned(), in_json(&Line(&read))?);
            lines.put(&line.into())
        })?;
    }
    references.close(source.connection()?, source.catalog())?;
    for (entity, id) in references.iter() {
        let table = source.catalog().get(entity)?;
        let values = values(table, &reference_values(source.connection()?, table, id)?)?;
        lines.put(&json!({ "reference": { "entity": entity, "id": id, "values": values } }))?;
    }
    let count = references.len();
    lines.put(&json!({ "end": { "rows": rows, "entries": entries, "references": count } }))?;
    lines.out.flush().map_err(failed)?;
    Ok(Exported { rows, entries, bytes: lines.bytes, digest: None })
}

struct Lines<'w> {
    out: BufWriter<&'w mut dyn Write>,
    bytes: u64,
}

impl Lines<'_> {
    fn put(&mut self, line: &Json) -> Result<()> {
        let mut text = line.to_string();
        text.push('\n');
        self.bytes += text.len() as u64;
        self.out.write_all(text.as_bytes()).map_err(failed)
    }
}

fn failed(error: std::io::Error) -> Error {
    Error::io("the export", error)
}

pub(super) fn time(microseconds: i64) -> Result<String> {
    time_from_micros(microseconds)
        .map(|time| time.to_string())
        .ok_or_else(|| Error::corrupt("the store holds a time out of range"))
}

/// An object of what is there.
fn object<const N: usize>(fields: [(&str, Option<Json>); N]) -> Map<String, Json> {
    fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

fn record(table: &Table, tenant: &Leaving, row: &CheckedRow) -> Result<Json> {
    let member = tenant.member.as_ref().map(|member| json!(member.user));
    let fields = object([
        ("entity", Some(json!(table.entity()))),
        ("id", Some(json!(row.id))),
        ("version", Some(json!(row.version))),
        ("created", Some(json!(time_of(row.id).to_string()))),
        ("updated", Some(json!(time(row.updated)?))),
        ("author", row.author.as_ref().map(|author| json!(author))),
        ("values", Some(values(table, &row.values)?)),
    ]);
    Ok(object([("member", member), ("record", Some(fields.into()))]).into())
}

fn values(table: &Table, values: &[Value]) -> Result<Json> {
    let mut columns = Map::new();
    for (column, value) in table.definition.columns().iter().zip(values) {
        columns.insert(column.name().to_owned(), in_json(&Exact(value))?);
    }
    Ok(columns.into())
}

fn in_json(value: &impl Serialize) -> Result<Json> {
    serde_json::to_value(value).map_err(|error| Error::io("a value in JSON", error))
}
