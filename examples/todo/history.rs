//! The audit log, for people.

use serde_json::{Value as Json, json};
use tenantry::{Audit, AuditEntry, Change, Uuid, Value};

use crate::cli::{Cli, History};
use crate::failure::{Failure, Outcome};
use crate::model;
use crate::output::{self, Style, Terminal, plural, short_id};
use crate::place::{Access, IdPart, Place};

pub(crate) fn run(cli: &Cli, history: &History, out: &mut Terminal) -> Outcome {
    let part = history.id.as_deref().map(IdPart::parse).transpose()?;
    match Place::enter(cli, Access::Read)? {
        Place::Own(_) if history.private => {
            Err(Failure::usage("--private is for notes in an organization: it needs --org ORG"))
        }
        Place::Own(session) => read(session.audit(), part, history.limit, out),
        Place::Shared(session) if history.private => read(session.private_audit(), part, history.limit, out),
        Place::Shared(session) => read(session.audit(), part, history.limit, out),
    }
}

fn read(audit: Audit<'_>, part: Option<IdPart>, limit: u32, out: &mut Terminal) -> Outcome {
    let mut log = audit.clone().newest_first();
    if let Some(part) = part {
        log = log.record(record(&audit, &part)?);
    }
    let page = log.page(limit)?;
    if out.json {
        let entries: Vec<Json> = page.entries.iter().map(entry_json).collect();
        out.json(&json!({ "entries": entries, "more": page.next.is_some() }));
        return Ok(());
    }
    if page.entries.is_empty() {
        out.line("Nothing has happened yet.");
        return Ok(());
    }
    let rows = page
        .entries
        .iter()
        .map(|entry| {
            let what = match &entry.entity {
                Some(entity) => format!("{} {}", entry.action, entity.replace('_', " ")),
                None => entry.action.clone(),
            };
            let refused = entry.outcome != "ok";
            let what = if refused { format!("{what}: {}", entry.outcome) } else { what };
            vec![
                out.cell(output::moment(entry.time), Some(Style::Dim)),
                out.cell(entry.actor.as_ref().map_or("the app", |user| user.as_str()), None),
                out.cell(what, refused.then_some(Style::Red)),
                out.cell(entry.record.map(short_id).unwrap_or_default(), Some(Style::Dim)),
                out.cell(changes_text(entry), None),
            ]
        })
        .collect();
    out.table(&["When", "Who", "What", "Record", "Before → after"], rows);
    let shown = plural(page.entries.len() as u64, "entry").replace("entrys", "entries");
    let more = if page.next.is_some() { "; older ones with a higher --limit" } else { "" };
    let line = out.style(Style::Dim, format!("{shown}{more}"));
    out.line(line);
    Ok(())
}

/// The record that an id names, in the log: a deleted record is in no table any more.
fn record(audit: &Audit<'_>, part: &IdPart) -> Outcome<Uuid> {
    let mut found: Vec<Uuid> = Vec::new();
    let mut log = audit.clone();
    if let IdPart::Whole(uuid) = part {
        log = log.record(*uuid);
    }
    let mut after = None;
    loop {
        let page = match after {
            Some(number) => log.clone().after(number),
            None => log.clone(),
        }
        .page(1000)?;
        for id in page.entries.iter().filter_map(|entry| entry.record) {
            if part.matches(id) && !found.contains(&id) {
                found.push(id);
            }
        }
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    part.only(found, |id| *id)?.ok_or_else(|| part.not_found("record in the history with the id"))
}

fn changes_text(entry: &AuditEntry) -> String {
    let Some(changes) = &entry.changes else { return "(erased)".to_owned() };
    let lines: Vec<String> = changes
        .iter()
        .filter_map(|change| {
            let column = &change.column;
            if change.redacted {
                return Some(format!("{column}: (secret)"));
            }
            let (before, after) = (value_text(change, &change.before), value_text(change, &change.after));
            match (before.as_str(), after.as_str()) {
                ("", "") => None,
                ("", after) => Some(format!("{column}: {after}")),
                (before, "") => Some(format!("{column}: {before} → none")),
                (before, after) => Some(format!("{column}: {before} → {after}")),
            }
        })
        .collect();
    // A deletion or an insertion names every column; its first ones say which record it was.
    if entry.action == "update" {
        lines.join("\n")
    } else {
        lines.into_iter().take(3).collect::<Vec<_>>().join("\n")
    }
}

fn value_text(change: &Change, value: &Value) -> String {
    let text = match value {
        Value::None => String::new(),
        Value::Boolean(value) => value.to_string(),
        Value::Integer(value) => value.to_string(),
        Value::Real(value) => value.to_string(),
        Value::Text(text) if change.column == "tags" => model::split_tags(text).join(", "),
        Value::Text(text) => text.clone(),
        Value::Bytes(bytes) => plural(bytes.len() as u64, "byte"),
        Value::Uuid(id) => short_id(*id),
        Value::Time(time) => output::due(*time),
        Value::Nested(nested) => match nested.decode::<Json>() {
            Ok(Json::Array(items)) if items.is_empty() => String::new(),
            Ok(Json::Array(items)) => plural(items.len() as u64, "item"),
            Ok(other) => other.to_string(),
            Err(_) => "(unreadable)".to_owned(),
        },
        _ => String::new(),
    };
    output::shorten(&text, 60)
}

fn value_json(value: &Value) -> Json {
    match value {
        Value::Boolean(value) => json!(value),
        Value::Integer(value) => json!(value),
        Value::Real(value) => json!(value),
        Value::Text(text) => json!(text),
        Value::Uuid(id) => json!(id),
        Value::Time(time) => json!(time),
        Value::Nested(nested) => nested.decode().unwrap_or(Json::Null),
        Value::Bytes(bytes) => json!(bytes),
        _ => Json::Null,
    }
}

fn entry_json(entry: &AuditEntry) -> Json {
    let changes: Option<Vec<Json>> = entry.changes.as_ref().map(|changes| {
        changes
            .iter()
            .map(|change| {
                json!({
                    "column": change.column, "before": value_json(&change.before),
                    "after": value_json(&change.after), "secret": change.redacted,
                })
            })
            .collect()
    });
    json!({
        "number": entry.number, "transaction": entry.transaction, "time": entry.time, "actor": entry.actor,
        "action": entry.action, "outcome": entry.outcome, "entity": entry.entity, "record": entry.record,
        "changes": changes,
    })
}
