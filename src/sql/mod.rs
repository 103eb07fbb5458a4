//! Tenants' own SQL: read-only statements that a tenant writes, over what its session reads.
//!
//! Four walls, each of which would do for what is known to go wrong (`ARCHITECTURE.md` says of what kind that is):
//! views with the tenant as a literal, behind names that nobody can guess (`bound`); an authorizer that allows by
//! name (`authorizer`); a guard that looks at each plan (`plan`); limits (`limits`). Each connection serves one
//! scope for its whole life, and texts of errors are made here (`problem`).

mod authorizer;
mod bound;
mod deserialize;
mod expansion;
mod functions;
mod limits;
mod memory;
mod plan;
mod problem;
mod rows;
#[cfg(test)]
mod tests;

pub use limits::{SqlCancel, SqlLimits};
pub use plan::PlanStep;
pub use rows::{SqlColumn, SqlRow, SqlRows, SqlStream};

pub(crate) use bound::{Bound, IsHome, Key, Seen, Unfit};
pub(crate) use limits::FixedLimits;

use rusqlite::Statement;
use rusqlite::types::ToSqlOutput;
use serde::de::DeserializeOwned;

use self::bound::Failed;
use self::rows::Running;
use crate::entity::{Value, json_of};
use crate::error::{Error, Result};
use crate::session::Core;

/// A statement of a tenant's own SQL. Made by [`Session::sql`](crate::Session::sql), which says what it sees.
#[must_use = "a statement runs when its result is asked for: `rows`, `all`, `first`, `stream`"]
pub struct Sql<'s> {
    core: &'s Core<'static>,
    limits: &'s SqlLimits,
    text: &'s str,
    positional: Vec<Value>,
    named: Vec<(String, Value)>,
    cancel: Option<SqlCancel>,
}

impl<'s> Sql<'s> {
    pub(crate) fn new(core: &'s Core<'static>, limits: &'s SqlLimits, text: &'s str) -> Self {
        Self { core, limits, text, positional: Vec::new(), named: Vec::new(), cancel: None }
    }

    /// Gives the next parameter its value: the first call the first one, `?1` or `?`, and so on. Ids and UUIDs are given as
    /// text, times as the views show them, booleans as 0 and 1, and nested values as JSON.
    pub fn bind(mut self, value: impl Into<Value>) -> Self {
        self.positional.push(value.into());
        self
    }

    /// Gives a named parameter its value: `:name`, `@name` or `$name`, as it stands in the text.
    pub fn bind_named(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.named.push((name.into(), value.into()));
        self
    }

    /// Lets another thread end the statement.
    pub fn cancel_with(mut self, cancel: &SqlCancel) -> Self {
        self.cancel = Some(cancel.clone());
        self
    }

    /// The whole result.
    ///
    /// # Errors
    ///
    /// - [`Error::Sql`] for a text that is no valid statement, or a value that can't be computed;
    /// - [`Error::AccessDenied`] for what is not allowed, which is noted in the user's log;
    /// - [`Error::LimitExceeded`] and [`Error::Cancelled`];
    /// - [`Error::InvalidInput`] for parameters that do not fit the text;
    /// - what every read can meet.
    pub fn rows(self) -> Result<SqlRows> {
        self.stream(SqlRows::collect)
    }

    /// All rows as a Rust type; [`SqlRow::to`] says how.
    ///
    /// # Errors
    ///
    /// As [`rows`](Self::rows), and [`Error::InvalidInput`] for a row that does not fit the type.
    pub fn all<T: DeserializeOwned>(self) -> Result<Vec<T>> {
        self.stream(|rows| {
            let mut all = Vec::new();
            while let Some(row) = rows.next_as()? {
                all.push(row);
            }
            Ok(all)
        })
    }

    /// The first row as a Rust type, if there is one.
    ///
    /// # Errors
    ///
    /// As [`all`](Self::all).
    pub fn first<T: DeserializeOwned>(self) -> Result<Option<T>> {
        self.stream(|rows| rows.next_as())
    }

    /// Reads the result row by row, holding one at a time. The connection is the session's until the closure returns.
    ///
    /// # Errors
    ///
    /// As [`rows`](Self::rows), and what the closure returns.
    ///
    /// ```
    /// # use tenantry::{Entity, Store, UserId};
    /// # #[derive(Entity)] struct Task { title: String }
    /// # fn main() -> tenantry::Result<()> {
    /// # let store = Store::builder().entity::<Task>().temporary()?;
    /// # let session = store.session(&store.users().create(&UserId::new("ada")?)?)?;
    /// # session.insert(&Task { title: "Dig".into() })?;
    /// let mut longest = 0;
    /// session.sql("SELECT length(title) FROM task").stream(|rows| {
    ///     while let Some(row) = rows.next()? {
    ///         longest = longest.max(row.to::<usize>()?);
    ///     }
    ///     Ok(())
    /// })?;
    /// assert_eq!(longest, 3);
    /// # Ok(()) }
    /// ```
    pub fn stream<R>(self, read: impl FnOnce(&mut SqlStream<'_>) -> Result<R>) -> Result<R> {
        let mut read = Some(read);
        self.run(|bound| {
            // Before it is prepared, which takes its time too, and in which SQLite asks the meter.
            let _watch = bound.meter().watch(self.limits, self.cancel.as_ref())?;
            let (mut statement, known) = bound.prepare(self.text, self.limits)?;
            self.bind_to(&mut statement)?;
            let check = || self.core.check();
            let running = Running { limits: self.limits, bound, text: self.text, check: &check };
            let begun = rows::SqlStream::begin(&mut statement, known.columns, running);
            // Also if it fails, since that can depend on a value; not if it is run again on another connection.
            if !matches!(begun, Err(Failed::Stale)) {
                self.core.note_sql(&*known.reads);
            }
            let mut stream = begun?;
            // Once: it is run again only if there is no first row, because the connection was of no use any more.
            let read = read.take().ok_or(Error::Closed)?;
            Ok(read(&mut stream)?)
        })
    }

    /// What SQLite would do to answer, in the tenant's own names, as `EXPLAIN QUERY PLAN` tells it. It does not depend on other
    /// tenants' data, nor on statistics.
    ///
    /// # Errors
    ///
    /// As [`rows`](Self::rows).
    pub fn explain(self) -> Result<Vec<PlanStep>> {
        self.run(|bound| {
            let _watch = bound.meter().watch(self.limits, self.cancel.as_ref())?;
            bound.explain(self.text, self.limits)
        })
    }

    /// Runs on the scope's connection; again on a new one, if it turns out to be too old.
    fn run<R>(&self, mut run: impl FnMut(&Bound) -> Result<R, Failed>) -> Result<R> {
        self.limits.check_text(self.text)?;
        self.core.observe_sql(|| {
            for _ in 0..ATTEMPTS {
                let lent = self.core.sql_connection(self.limits.fixed())?;
                match run(lent.bound()?) {
                    Ok(result) => return Ok(result),
                    Err(Failed::Stale) => lent.discard(),
                    Err(Failed::Error(error)) => return Err(lent.name_in(error)),
                    Err(Failed::Refused(error)) => {
                        drop(lent);
                        return Err(self.core.refused_sql(error));
                    }
                }
            }
            Err(Error::Busy { reason: "the schema of the file changes all the time; try again" })
        })
    }

    fn bind_to(&self, statement: &mut Statement<'_>) -> Result<()> {
        let count = statement.parameter_count();
        let mut bound = vec![false; count];
        let mut set = |statement: &mut Statement<'_>, index: usize, value: &Value| -> Result<()> {
            bound[index - 1] = true;
            Ok(statement.raw_bind_parameter(index, parameter(value))?)
        };
        for (position, value) in self.positional.iter().enumerate() {
            if position >= count {
                return Err(Error::invalid(
                    "parameters",
                    format!("the statement takes {count} and was given {}", self.positional.len()),
                ));
            }
            set(statement, position + 1, value)?;
        }
        for (name, value) in &self.named {
            let index = statement.parameter_index(name)?.ok_or_else(|| {
                Error::invalid(
                    "parameters",
                    format!("the statement has no {name:?}; the name begins with `:`, `@` or `$`"),
                )
            })?;
            set(statement, index, value)?;
        }
        match bound.iter().position(|bound| !bound) {
            None => Ok(()),
            Some(position) => {
                let name = statement
                    .parameter_name(position + 1)
                    .map_or_else(|| format!("?{}", position + 1), str::to_owned);
                Err(Error::invalid("parameters", format!("{name} was given no value")))
            }
        }
    }
}

/// How often a connection may turn out to be too old.
const ATTEMPTS: usize = 5;

/// A value as the views show it.
fn parameter(value: &Value) -> ToSqlOutput<'_> {
    use rusqlite::types::{Value as Sql, ValueRef};
    match value {
        Value::Time(time) => ToSqlOutput::Owned(Sql::Text(functions::text_of(*time))),
        Value::Nested(nested) => json_of(nested.as_bytes())
            .map_or(ToSqlOutput::Borrowed(ValueRef::Null), |json| {
                ToSqlOutput::Owned(Sql::Text(json.to_string()))
            }),
        other => other.stored(),
    }
}

impl std::fmt::Debug for Sql<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Without values: they may be secret.
        f.debug_struct("Sql").field("text", &self.text).finish_non_exhaustive()
    }
}
