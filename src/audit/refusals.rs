//! What was refused, grouped so that an attack stands out.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use super::AuditEntry;
use crate::entity::{Value, time_from_micros};
use crate::error::{Error, Result};
use crate::identity::UserId;

/// Refusals of one kind. Made by [`Audit::refusals`](crate::Audit::refusals).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refusals {
    /// When the window began that these are of, if windows were asked for.
    pub window: Option<Timestamp>,
    /// What was tried, as the log calls it, such as `session`.
    pub action: String,
    /// Why it was refused: `not_member`, `not_admin`, `disabled`, `not_allowed`.
    pub outcome: String,
    /// Of what: `organization`, `sql`, or a record's entity; none if it was of the tenant itself, or is not known.
    pub what: Option<String>,
    /// In whose name it was tried.
    pub actor: Option<UserId>,
    /// The store admin who tried it.
    pub admin: Option<UserId>,
    /// How many there were.
    pub count: u64,
    /// When the first of them happened.
    pub first: Timestamp,
    /// When the last of them happened.
    pub last: Timestamp,
    /// What was asked for, such as each organization's id, and how often: the most frequent first, and then by name.
    pub targets: Vec<(String, u64)>,
    /// How many of them no longer say what was asked for, since their payloads were deleted.
    pub without_payload: u64,
}

/// What the refusals of a group have in common, in the order of its fields.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Kind {
    window: Option<i64>,
    action: String,
    outcome: String,
    what: Option<String>,
    actor: Option<UserId>,
    admin: Option<UserId>,
}

#[derive(Debug)]
struct Group {
    count: u64,
    first: Timestamp,
    last: Timestamp,
    targets: BTreeMap<String, u64>,
    without_payload: u64,
}

/// Refusals while a log is read.
#[derive(Debug, Default)]
pub(crate) struct Grouping {
    /// Microseconds.
    window: Option<i64>,
    groups: BTreeMap<Kind, Group>,
}

impl Grouping {
    pub(crate) fn by_window(window: Duration) -> Result<Self> {
        let micros = i64::try_from(window.as_micros()).ok().filter(|micros| *micros > 0);
        let micros = micros.ok_or_else(|| {
            Error::invalid("window", "must be a microsecond or longer, and not longer than time itself")
        })?;
        Ok(Self { window: Some(micros), ..Self::default() })
    }

    pub(crate) fn add(&mut self, entry: AuditEntry) {
        let (what, target) = asked(&entry);
        let kind = Kind {
            window: self.window.map(|window| entry.time.as_microsecond().div_euclid(window) * window),
            action: entry.action,
            outcome: entry.outcome,
            what,
            actor: entry.actor,
            admin: entry.admin,
        };
        let group = self.groups.entry(kind).or_insert_with(|| Group {
            count: 0,
            first: entry.time,
            last: entry.time,
            targets: BTreeMap::new(),
            without_payload: 0,
        });
        group.count += 1;
        group.first = group.first.min(entry.time);
        group.last = group.last.max(entry.time);
        group.without_payload += u64::from(entry.changes.is_none());
        if let Some(target) = target {
            *group.targets.entry(target).or_default() += 1;
        }
    }

    /// By window, the most frequent kind first; what is equal in both, by the rest of the kind.
    pub(crate) fn finish(self) -> Vec<Refusals> {
        let mut groups: Vec<(Kind, Group)> = self.groups.into_iter().collect();
        groups.sort_by(|(a, one), (b, other)| a.window.cmp(&b.window).then(other.count.cmp(&one.count)));
        groups
            .into_iter()
            .map(|(kind, group)| {
                let mut targets: Vec<(String, u64)> = group.targets.into_iter().collect();
                targets.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
                Refusals {
                    // The first one began before any time that there is.
                    window: kind.window.map(|micros| time_from_micros(micros).unwrap_or(Timestamp::MIN)),
                    action: kind.action,
                    outcome: kind.outcome,
                    what: kind.what,
                    actor: kind.actor,
                    admin: kind.admin,
                    count: group.count,
                    first: group.first,
                    last: group.last,
                    targets,
                    without_payload: group.without_payload,
                }
            })
            .collect()
    }
}

/// What a refused entry asked for: a record, or what its payload names.
fn asked(entry: &AuditEntry) -> (Option<String>, Option<String>) {
    if let Some(entity) = &entry.entity {
        return (Some(entity.clone()), entry.record.map(|record| record.to_string()));
    }
    match entry.changes.iter().flatten().next() {
        Some(change) => {
            let target = match &change.after {
                Value::Text(text) => Some(text.clone()),
                Value::Uuid(uuid) => Some(uuid.to_string()),
                _ => None,
            };
            (Some(change.column.clone()), target)
        }
        None => (None, None),
    }
}
