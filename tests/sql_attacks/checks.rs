//! What no answer may hold.

use std::collections::BTreeSet;

use tenantry::{Uuid, Value};

use crate::Outcome;
use crate::corpus::Attack;
use crate::world::{AMOUNT, HEAD, TAIL, World, YEAR};

/// What of other tenants is recognisable.
pub struct Marks {
    /// Parts of texts, in lower case.
    parts: Vec<String>,
    ids: BTreeSet<Uuid>,
    /// How many rows there are of everybody's, or of another tenant's.
    counts: BTreeSet<i64>,
}

/// Parts of names that only the library uses, in lower case.
const INTERNAL: [&str; 3] = ["_rows_", "_tenant", "_id_"];
/// Whole names, which others may end with.
const TABLES: [&str; 7] = ["_audit", "_user", "_member", "_organization", "_store", "_row_head", "_log_head"];

/// What a statement itself says may be said back to it.
pub struct Allowed {
    text: String,
}

impl Allowed {
    pub fn by(attack: &Attack) -> Self {
        Self { text: format!("{} {:?}", attack.text, attack.bind).to_lowercase() }
    }

    pub fn nothing() -> Self {
        Self { text: String::new() }
    }

    fn has(&self, part: &str) -> bool {
        self.text.contains(part)
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Marks {
    pub fn of(world: &World) -> Self {
        let mut parts = Vec::new();
        for mark in [HEAD, TAIL] {
            parts.push(mark.to_lowercase());
            // As they are, in small and in capital letters.
            parts.extend(
                [mark.to_owned(), mark.to_lowercase(), mark.to_uppercase()].map(|mark| hex(mark.as_bytes())),
            );
            parts.push(mark.to_lowercase().chars().rev().collect());
        }
        parts.push(YEAR.to_owned());
        Self { parts, ids: world.foreign.ids.clone(), counts: world.counts() }
    }

    /// What is wrong with an answer.
    pub fn look_at(&self, outcome: &Outcome, what: &str, allowed: &Allowed) -> Vec<String> {
        let mut problems = Vec::new();
        let mut look = |bytes: &[u8]| problems.extend(self.look_at_bytes(bytes, what, allowed));
        match outcome {
            Outcome::Rows { columns, rows } => {
                for (name, declared) in columns {
                    look(name.as_bytes());
                    look(declared.as_deref().unwrap_or("").as_bytes());
                }
                for value in rows.iter().flatten() {
                    match value {
                        Value::Text(text) => look(text.as_bytes()),
                        Value::Bytes(bytes) => look(bytes),
                        _ => {}
                    }
                }
                problems
                    .extend(rows.iter().flatten().filter_map(|value| self.look_at_number(value, allowed)));
            }
            Outcome::Plan(steps) => steps.iter().for_each(|(_, _, detail)| look(detail.as_bytes())),
            Outcome::Error { texts, .. } => texts.iter().for_each(|text| look(text.as_bytes())),
        }
        problems.dedup();
        problems.truncate(5);
        problems
    }

    pub fn look_at_text(&self, text: &str, what: &str, allowed: &Allowed) -> Vec<String> {
        self.look_at_bytes(text.as_bytes(), what, allowed)
    }

    fn look_at_number(&self, value: &Value, allowed: &Allowed) -> Option<String> {
        let is_marked = match value {
            Value::Integer(integer) => self.counts.contains(integer) && !allowed.has(&integer.to_string()),
            Value::Real(real) => (AMOUNT..AMOUNT + 1_000.0).contains(real),
            _ => false,
        };
        is_marked.then(|| format!("a number of others': {value:?}"))
    }

    fn look_at_bytes(&self, bytes: &[u8], what: &str, allowed: &Allowed) -> Vec<String> {
        let lower = bytes.to_ascii_lowercase();
        let text = String::from_utf8_lossy(&lower);
        let has = |part: &str| text.contains(part) && !allowed.has(part);
        let mut problems: Vec<String> = self
            .parts
            .iter()
            .filter(|part| has(part))
            .map(|part| format!("{what}: a mark of others, {part:?}: {}", near(&text, part)))
            .collect();
        for name in INTERNAL
            .iter()
            .filter(|name| has(name))
            .chain(TABLES.iter().filter(|name| has(name) && is_whole(&text, name)))
        {
            problems.push(format!("{what}: an internal name, {name}: {}", near(&text, name)));
        }
        if let Some(name) = hidden(&lower).filter(|name| !allowed.has(name)) {
            problems.push(format!("{what}: a hidden view's name, {name}"));
        }
        if let Some(id) = self.id_in(&lower, bytes).filter(|id| !allowed.has(&id.to_string())) {
            problems.push(format!("{what}: the id of a record of others, {id}"));
        }
        problems
    }

    /// As text, with and without hyphens, and as bytes.
    fn id_in(&self, lower: &[u8], bytes: &[u8]) -> Option<Uuid> {
        let texts = lower.windows(36).filter(|text| text[8] == b'-' && text[13] == b'-');
        let digits = lower.windows(32).filter(|text| text.iter().all(u8::is_ascii_hexdigit));
        let written = texts.chain(digits).filter_map(|text| Uuid::try_parse_ascii(text).ok());
        let raw = bytes.windows(16).filter_map(|bytes| Uuid::from_slice(bytes).ok());
        written.chain(raw).find(|id| self.ids.contains(id))
    }
}

fn near(text: &str, part: &str) -> String {
    let at = text.find(part).unwrap_or(0);
    let before = text[..at].chars().rev().take(60).collect::<Vec<_>>();
    before.into_iter().rev().chain(text[at..].chars().take(80)).collect()
}

/// Whether a name stands somewhere by itself, and not as the end of another one.
fn is_whole(text: &str, name: &str) -> bool {
    text.match_indices(name).any(|(at, _)| !text[..at].ends_with(|c: char| c.is_alphanumeric()))
}

/// An underscore and 32 hexadecimal digits.
fn hidden(lower: &[u8]) -> Option<String> {
    lower
        .windows(33)
        .find(|name| name[0] == b'_' && name[1..].iter().all(u8::is_ascii_hexdigit))
        .map(|name| String::from_utf8_lossy(name).into_owned())
}
