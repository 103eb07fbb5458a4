//! What a record was, rebuilt from what its log says of it.

use std::collections::HashMap;

use rusqlite::types::Value as SqlValue;

use super::log::OK;
use super::{AuditEntry, Change};
use crate::entity::{Cells, ColumnDefinition, Decoder, Definition, Fields, Model, Value};
use crate::statement::Table;

/// What a record was at some moment, as far as the log says. Made by [`Audit::state_at`](crate::Audit::state_at) and
/// [`Audit::history`](crate::Audit::history).
///
/// ```
/// # use tenantry::{Entity, StateAt, Store, UserId};
/// # #[derive(Debug, PartialEq, Entity)] struct Task { title: String }
/// # fn main() -> tenantry::Result<()> {
/// # let store = Store::builder().entity::<Task>().temporary()?;
/// # let session = store.session(&store.users().create(&UserId::new("ada")?)?)?;
/// let id = session.insert(&Task { title: "Tea".into() })?;
/// let then = session.audit().newest_first().list()?[0].time;
/// session.delete(id)?;
/// assert_eq!(session.audit().state_at(id, then)?, StateAt::Whole(Task { title: "Tea".into() }));
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum StateAt<M> {
    /// There was no such record.
    Absent,
    /// The record, with all its columns.
    Whole(M),
    /// There was a record, and the log does not say all of it.
    Partial {
        /// The columns whose values are known.
        known: Fields,
        /// The others, in the order of the entity's definition, and why each is not.
        missing: Vec<MissingColumn>,
    },
    /// Every column's value is known, and together they are no `M` of today's program.
    Unreadable {
        /// The columns.
        fields: Fields,
        /// What does not fit.
        problem: String,
    },
    /// The log begins later, and says nothing.
    Unknown,
}

impl<M> StateAt<M> {
    /// The record, if all of it is known.
    #[must_use]
    pub fn value(&self) -> Option<&M> {
        match self {
            StateAt::Whole(value) => Some(value),
            _ => None,
        }
    }

    /// The record, if all of it is known.
    #[must_use]
    pub fn into_value(self) -> Option<M> {
        match self {
            StateAt::Whole(value) => Some(value),
            _ => None,
        }
    }

    /// Whether there was a record; none if the log does not say.
    #[must_use]
    pub fn existed(&self) -> Option<bool> {
        match self {
            StateAt::Absent => Some(false),
            StateAt::Unknown => None,
            _ => Some(true),
        }
    }
}

/// A column whose value the log does not say.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct MissingColumn {
    /// The column's name.
    pub column: String,
    /// Why.
    pub why: Missing,
}

/// Why a log does not say a column's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Missing {
    /// The column is secret, so its values never were in the log.
    Secret,
    /// What said it was taken out: by retention or erasure.
    Deleted,
    /// It was written under another definition of the entity, which had no such column, or another kind of values.
    Definition,
}

/// One change of a record, and what it made of it. Made by [`Audit::history`](crate::Audit::history).
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Version<M> {
    /// The version that the record had from then on, from 1; none if it was deleted, or if the log begins later than the
    /// record.
    pub version: Option<u64>,
    /// Who did it, when, and how each column changed.
    pub entry: AuditEntry,
    /// The record as it was from then on.
    pub state: StateAt<M>,
}

/// What an entry makes of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    Insert,
    Update,
    Delete,
}

impl Step {
    /// None of an entry that changed nothing of a record.
    pub(crate) fn of(entry: &AuditEntry) -> Option<Self> {
        if entry.outcome != OK || entry.record.is_none() {
            return None;
        }
        match entry.action.as_str() {
            "insert" => Some(Step::Insert),
            "update" => Some(Step::Update),
            "delete" => Some(Step::Delete),
            _ => None,
        }
    }
}

/// A column's value, or why it is not known.
type Cell = Result<Value, Missing>;

#[derive(Debug)]
enum Presence {
    Unknown,
    Absent,
    Present { version: Option<u64> },
}

/// A record while its changes are gone through, the oldest first.
#[derive(Debug)]
pub(crate) struct Rebuild<'t> {
    table: &'t Table,
    presence: Presence,
    cells: HashMap<String, Cell>,
    /// What holds for the columns that no entry has named.
    rest: Cell,
}

impl<'t> Rebuild<'t> {
    /// `whole` says whether the log has every entry since its beginning.
    pub(crate) fn new(table: &'t Table, whole: bool) -> Self {
        let presence = if whole { Presence::Absent } else { Presence::Unknown };
        Self { table, presence, cells: HashMap::new(), rest: Err(Missing::Deleted) }
    }

    pub(crate) fn apply(&mut self, step: Step, entry: &AuditEntry) {
        match step {
            Step::Insert => {
                self.presence = Presence::Present { version: Some(1) };
                let same = entry.definition_version == u64::try_from(self.table.version).ok();
                // An insert names every column that has a value.
                self.forget(if same { Ok(Value::None) } else { Err(Missing::Definition) });
                self.set(entry.changes.as_deref());
            }
            Step::Update => {
                self.presence = match self.presence {
                    Presence::Present { version } => Presence::Present { version: version.map(|v| v + 1) },
                    Presence::Unknown | Presence::Absent => {
                        self.forget(Err(Missing::Deleted));
                        Presence::Present { version: None }
                    }
                };
                self.set(entry.changes.as_deref());
            }
            Step::Delete => {
                self.presence = Presence::Absent;
                self.forget(Err(Missing::Deleted));
            }
        }
    }

    fn forget(&mut self, rest: Cell) {
        self.cells.clear();
        self.rest = rest;
    }

    fn set(&mut self, changes: Option<&[Change]>) {
        let Some(changes) = changes else {
            // Any column may have changed.
            return self.forget(Err(Missing::Deleted));
        };
        for change in changes {
            let cell = if change.redacted { Err(Missing::Secret) } else { Ok(change.after.clone()) };
            self.cells.insert(change.column.clone(), cell);
        }
    }

    pub(crate) fn version(&self) -> Option<u64> {
        match self.presence {
            Presence::Present { version } => version,
            Presence::Unknown | Presence::Absent => None,
        }
    }

    pub(crate) fn state<M: Model>(&self) -> StateAt<M> {
        match self.presence {
            Presence::Unknown => return StateAt::Unknown,
            Presence::Absent => return StateAt::Absent,
            Presence::Present { .. } => {}
        }
        let definition = &self.table.definition;
        let mut values = Vec::new();
        let mut missing = Vec::new();
        for column in definition.columns() {
            match self.cell(column) {
                Ok(value) => values.push(value),
                Err(why) => missing.push(MissingColumn { column: column.name().to_owned(), why }),
            }
        }
        if missing.is_empty() {
            return decode(definition, values);
        }
        let is_known = |column: &&ColumnDefinition| missing.iter().all(|gone| gone.column != column.name());
        let known = definition.columns().iter().filter(is_known).map(ColumnDefinition::name);
        StateAt::Partial { known: known.zip(values).collect(), missing }
    }

    /// The value of a column, if it fits what the column is today.
    fn cell(&self, column: &ColumnDefinition) -> Cell {
        let cell = self.cells.get(column.name()).unwrap_or(&self.rest).clone();
        let mut value = cell.map_err(|why| if column.is_secret() { Missing::Secret } else { why })?;
        column.accept(&mut value).map_err(|_| Missing::Definition)?;
        Ok(value)
    }
}

fn decode<M: Model>(definition: &Definition, values: Vec<Value>) -> StateAt<M> {
    let stored: Vec<SqlValue> = values.iter().map(Value::to_sql).collect();
    match M::decode_row(definition, Decoder::new(Cells::Kept(&stored), 0)) {
        Ok(value) => StateAt::Whole(value),
        Err(error) => StateAt::Unreadable {
            fields: Fields::from_values(definition, values),
            problem: error.to_string(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entity::{ColumnKind, Tenancy, time_from_micros};
    use uuid::Uuid;

    /// An entity whose definition is the second one: `size` was text and `color` was not there.
    fn table() -> Table {
        let definition = Definition::new("shirt", Tenancy::User)
            .column(ColumnDefinition::new("name", ColumnKind::Text))
            .column(ColumnDefinition::new("size", ColumnKind::Integer))
            .column(ColumnDefinition::new("color", ColumnKind::Text).optional());
        Table::new(1, 2, definition, |_| Tenancy::User)
    }

    fn entry(action: &str, definition: u64, changes: &[(&str, Value)]) -> AuditEntry {
        let change = |(column, after): &(&str, Value)| Change {
            column: (*column).to_owned(),
            before: Value::None,
            after: after.clone(),
            redacted: false,
        };
        AuditEntry {
            number: 1,
            transaction: 1,
            actor: None,
            admin: None,
            device: Uuid::nil(),
            clock: 0,
            time: time_from_micros(0).unwrap(),
            action: action.to_owned(),
            entity: Some("shirt".to_owned()),
            record: Some(Uuid::nil()),
            outcome: OK.to_owned(),
            definition_version: Some(definition),
            undoes: None,
            reason: None,
            changes: Some(changes.iter().map(change).collect()),
            hash: [0; 32],
        }
    }

    fn state(table: &Table, entries: &[AuditEntry]) -> StateAt<Fields> {
        let mut rebuild = Rebuild::new(table, true);
        for entry in entries {
            rebuild.apply(Step::of(entry).unwrap(), entry);
        }
        rebuild.state()
    }

    fn missing(state: StateAt<Fields>) -> Vec<(String, Missing)> {
        let StateAt::Partial { missing, .. } = state else { panic!("{state:?}") };
        missing.into_iter().map(|missing| (missing.column, missing.why)).collect()
    }

    #[test]
    fn what_was_written_under_another_definition_is_taken_where_it_fits() {
        let table = table();
        let old =
            entry("insert", 1, &[("name", "a".into()), ("size", "M".into()), ("fabric", "wool".into())]);
        let gone = |column: &str| (column.to_owned(), Missing::Definition);
        assert_eq!(missing(state(&table, std::slice::from_ref(&old))), [gone("size"), gone("color")]);
        let size = entry("update", 2, &[("size", 5_i64.into())]);
        assert_eq!(missing(state(&table, &[old.clone(), size.clone()])), [gone("color")]);
        let color = entry("update", 2, &[("color", Value::None)]);
        let whole = Fields::new().with("name", "a").with("size", 5_i64).with("color", Value::None);
        assert_eq!(state(&table, &[old, size, color]), StateAt::Whole(whole.clone()));
        // Under the same definition a column that an insert does not name had no value.
        let new = entry("insert", 2, &[("name", "a".into()), ("size", 5_i64.into())]);
        assert_eq!(state(&table, &[new]), StateAt::Whole(whole));
    }

    /// A required column without a value, as no record of this definition had it.
    #[test]
    fn a_value_that_the_definition_refuses_is_missing() {
        let new = entry("insert", 2, &[("size", 5_i64.into())]);
        assert_eq!(missing(state(&table(), &[new])), [("name".to_owned(), Missing::Definition)]);
    }

    #[test]
    fn what_was_refused_is_no_step() {
        let refused = AuditEntry { outcome: "not_allowed".to_owned(), ..entry("update", 2, &[]) };
        assert_eq!(Step::of(&refused), None);
        assert_eq!(Step::of(&entry("read", 2, &[])), None);
        assert_eq!(Step::of(&AuditEntry { record: None, ..entry("insert", 2, &[]) }), None);
        assert_eq!(Step::of(&entry("delete", 2, &[])), Some(Step::Delete));
    }
}
