//! Statements and how they are written; see `corpus/README.md`.

use std::path::Path;

use serde_json::Value as Json;
use tenantry::Value;

use crate::world::World;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    User,
    Organization,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    Refused,
    Error,
    Own,
    Limit,
}

/// What an organization's entities are called instead of a user's.
const ORGANIZATIONS: [(&str, &str); 4] =
    [("task", "ticket"), ("TASK", "TICKET"), ("Task", "Ticket"), ("project", "board")];

#[derive(Debug, Clone)]
pub enum Bind {
    None,
    Positional(Vec<Value>),
    Named(Vec<(String, Value)>),
}

#[derive(Debug, Clone)]
pub struct Attack {
    pub file: String,
    pub what: String,
    pub expected: Option<Expected>,
    pub scope: Option<Scope>,
    /// As it is written, until it is resolved.
    bound: String,
    pub bind: Bind,
    pub text: String,
    /// The statement with its placeholders.
    pub template: String,
}

impl Attack {
    fn new(file: &str, what: &str) -> Self {
        Self {
            file: file.to_owned(),
            what: what.to_owned(),
            expected: None,
            scope: None,
            bound: String::new(),
            bind: Bind::None,
            text: String::new(),
            template: String::new(),
        }
    }

    /// The statement for a store, from a session.
    pub fn resolved(&self, world: &World, scope: Scope) -> Self {
        let resolve = |text: &str| {
            let text = match scope {
                Scope::User => text.to_owned(),
                Scope::Organization => {
                    ORGANIZATIONS.iter().fold(text.to_owned(), |text, (users, own)| text.replace(users, own))
                }
            };
            expand(
                &world.placeholders(scope).iter().fold(text, |text, (name, value)| text.replace(name, value)),
            )
        };
        let bind = if self.bound.is_empty() { Bind::None } else { bind(&resolve(&self.bound)) };
        Self { text: resolve(&self.template), bind, ..self.clone() }
    }

    /// Whether it is there to run for ever, or to take everything.
    pub fn is_endless(&self) -> bool {
        self.expected == Some(Expected::Limit) || self.what.starts_with("dos-")
    }

    /// Whether its values are of the clock or of chance.
    pub fn is_of_the_moment(&self) -> bool {
        let text = self.text.to_ascii_lowercase();
        ["random", "'now'", "current_", "julianday()"].iter().any(|word| text.contains(word))
    }
}

fn bind(json: &str) -> Bind {
    match serde_json::from_str(json).unwrap_or_else(|error| panic!("{json}: {error}")) {
        Json::Array(values) => Bind::Positional(values.iter().map(value).collect()),
        Json::Object(values) => {
            Bind::Named(values.iter().map(|(name, json)| (name.clone(), value(json))).collect())
        }
        other => panic!("neither a list nor an object: {other}"),
    }
}

fn value(json: &Json) -> Value {
    match json {
        Json::Null => Value::None,
        Json::String(text) => Value::from(text.as_str()),
        Json::Number(number) => {
            number.as_i64().map_or_else(|| Value::from(number.as_f64().unwrap()), Value::from)
        }
        other => panic!("no value of SQL: {other}"),
    }
}

/// `{u+0000}` and `{repeat 3 ab}`.
fn expand(text: &str) -> String {
    let (mut expanded, mut rest) = (String::new(), text);
    while let Some(at) = rest.find('{') {
        let (before, from) = rest.split_at(at);
        expanded.push_str(before);
        let end = from.find('}').unwrap_or(0);
        let replacement = replacement(from.get(1..end).unwrap_or(""));
        let taken = if replacement.is_some() { end + 1 } else { 1 };
        expanded.push_str(replacement.as_deref().unwrap_or("{"));
        rest = &from[taken..];
    }
    expanded + rest
}

fn replacement(inner: &str) -> Option<String> {
    if let Some(digits) = inner.strip_prefix("u+") {
        return char::from_u32(u32::from_str_radix(digits, 16).ok()?).map(String::from);
    }
    let (count, text) = inner.strip_prefix("repeat ")?.split_once(' ')?;
    Some(text.repeat(count.parse().ok()?))
}

/// The statements of `corpus/`.
pub fn own() -> Vec<Attack> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sql_attacks/corpus");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "sql"))
        .collect();
    files.sort();
    files.iter().flat_map(|path| parse(path)).collect()
}

fn parse(path: &Path) -> Vec<Attack> {
    let file = path.file_stem().unwrap().to_string_lossy().into_owned();
    let text = std::fs::read_to_string(path).unwrap();
    let mut attacks = Vec::new();
    for part in text.split("\n;;\n").filter(|part| !part.is_empty()) {
        let (first, mut rest) = part.split_once('\n').unwrap_or((part, ""));
        let what = first.strip_prefix("-- ").unwrap_or_else(|| panic!("{file}: no comment above {part:?}"));
        let mut attack = Attack::new(&file, what);
        while let Some((line, after)) = rest.split_once('\n').or(Some((rest, ""))) {
            if !attack.read_line(line) {
                break;
            }
            rest = after;
        }
        rest.clone_into(&mut attack.template);
        attacks.push(attack);
    }
    attacks
}

impl Attack {
    /// Whether a line says something of the statement.
    fn read_line(&mut self, line: &str) -> bool {
        let Some((name, said)) = line.strip_prefix("-- ").and_then(|line| line.split_once(": ")) else {
            return false;
        };
        match (name, said) {
            ("expect", "refused") => self.expected = Some(Expected::Refused),
            ("expect", "error") => self.expected = Some(Expected::Error),
            ("expect", "own") => self.expected = Some(Expected::Own),
            ("expect", "limit") => self.expected = Some(Expected::Limit),
            // Before, SQLite gives no value.
            ("expect", "limit since 3.53") => {
                let since = rusqlite::version_number() >= 3_053_000;
                self.expected = Some(if since { Expected::Limit } else { Expected::Own });
            }
            ("in", "user") => self.scope = Some(Scope::User),
            ("in", "organization") => self.scope = Some(Scope::Organization),
            ("bind", json) => json.clone_into(&mut self.bound),
            _ => panic!("{}: what is {line:?}?", self.file),
        }
        true
    }
}

/// A corpus that is no part of the repository: lines `-- name`, and a statement below each.
pub fn foreign() -> Option<Vec<Attack>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/attacks/attacks.sql");
    let text = std::fs::read_to_string(path).ok()?;
    let mut attacks: Vec<Attack> = Vec::new();
    for line in text.split('\n') {
        match (line.strip_prefix("-- "), attacks.last_mut()) {
            (Some(name), _) => attacks.push(Attack::new("foreign", name)),
            (None, Some(attack)) if attack.template.is_empty() => line.clone_into(&mut attack.template),
            (None, Some(attack)) if !line.is_empty() => {
                attack.template = format!("{}\n{line}", attack.template)
            }
            _ => {}
        }
    }
    for attack in &mut attacks {
        attack.template = attack.template.replace("__rls_", "_rows_").replace("__RLS_", "_ROWS_");
    }
    Some(attacks)
}
