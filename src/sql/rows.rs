//! Rows of a result.

use std::ops::Range;
use std::sync::Arc;

use fallible_streaming_iterator::FallibleStreamingIterator;
use rusqlite::types::ValueRef;
use rusqlite::{CachedStatement, Column, Row, Rows};
use serde::de::DeserializeOwned;

use super::bound::{Bound, Failed, Moment};
use super::deserialize;
use super::limits::SqlLimits;
use crate::entity::Value;
use crate::error::{Error, Result};

/// A column of a result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqlColumn {
    name: Box<str>,
    declared: Option<Box<str>>,
}

impl SqlColumn {
    pub(super) fn new(column: &Column<'_>) -> Self {
        Self { name: column.name().into(), declared: column.decl_type().map(Into::into) }
    }

    #[cfg(test)]
    pub(super) fn named(name: &str) -> Self {
        Self { name: name.into(), declared: None }
    }

    /// The column's name: what stands behind `AS`, or what SQLite makes of the expression.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// `INTEGER`, `REAL`, `TEXT` or `BLOB`, where the column is one of a table and no expression. Times and nested
    /// values are expressions. Each value has a type of its own, as always in SQLite.
    #[must_use]
    pub fn declared_type(&self) -> Option<&str> {
        self.declared.as_deref()
    }
}

/// One row of a result. Its values are [`Value::None`], [`Value::Integer`], [`Value::Real`], [`Value::Text`] or
/// [`Value::Bytes`]. `Debug` names the columns and leaves the values out: they may come from secret columns.
#[derive(Clone, PartialEq)]
pub struct SqlRow {
    columns: Arc<[SqlColumn]>,
    values: Vec<Value>,
}

impl SqlRow {
    /// The values, in the order of the columns.
    #[must_use]
    pub fn values(&self) -> &[Value] {
        &self.values
    }

    /// The value of a column by its position, from 0.
    #[must_use]
    pub fn get(&self, position: usize) -> Option<&Value> {
        self.values.get(position)
    }

    /// The value of the first column of this name.
    #[must_use]
    pub fn get_named(&self, name: &str) -> Option<&Value> {
        let position = self.columns.iter().position(|column| column.name() == name)?;
        self.values.get(position)
    }

    /// The row as a Rust type: a struct or map by the names of the columns, a tuple by their order, anything else from
    /// the only column. Text is read as JSON where a list, a map or a struct is wanted, and integers 0 and 1 where a
    /// boolean is.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidInput`](crate::Error::InvalidInput) if the row does not fit the type.
    pub fn to<T: DeserializeOwned>(&self) -> Result<T> {
        deserialize::row(&self.columns, self.values.iter().map(borrowed))
    }
}

impl std::fmt::Debug for SqlRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.columns.iter().map(SqlColumn::name)).finish()
    }
}

/// A value that came from SQLite.
pub(super) fn borrowed(value: &Value) -> ValueRef<'_> {
    match value {
        Value::Integer(integer) => ValueRef::Integer(*integer),
        Value::Real(real) => ValueRef::Real(*real),
        Value::Text(text) => ValueRef::Text(text.as_bytes()),
        Value::Bytes(bytes) => ValueRef::Blob(bytes),
        // There are no others in a row.
        _ => ValueRef::Null,
    }
}

/// A whole result. `Debug` names the columns and counts the rows.
#[derive(Clone, PartialEq)]
pub struct SqlRows {
    columns: Arc<[SqlColumn]>,
    rows: Vec<SqlRow>,
}

impl std::fmt::Debug for SqlRows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqlRows").field("columns", &self.columns).field("rows", &self.rows.len()).finish()
    }
}

impl SqlRows {
    pub(super) fn collect(stream: &mut SqlStream<'_>) -> Result<Self> {
        let columns = Arc::clone(&stream.columns);
        let mut rows = Vec::new();
        while let Some(row) = stream.next()? {
            rows.push(row);
        }
        Ok(Self { columns, rows })
    }

    /// The columns, also of a result without rows.
    #[must_use]
    pub fn columns(&self) -> &[SqlColumn] {
        &self.columns
    }

    /// The rows, in order.
    #[must_use]
    pub fn rows(&self) -> &[SqlRow] {
        &self.rows
    }

    /// How many rows there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are no rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

impl IntoIterator for SqlRows {
    type Item = SqlRow;
    type IntoIter = std::vec::IntoIter<SqlRow>;
    fn into_iter(self) -> Self::IntoIter {
        self.rows.into_iter()
    }
}

impl<'r> IntoIterator for &'r SqlRows {
    type Item = &'r SqlRow;
    type IntoIter = std::slice::Iter<'r, SqlRow>;
    fn into_iter(self) -> Self::IntoIter {
        self.rows.iter()
    }
}

/// A result while it is read, row by row. Made by [`Sql::stream`](crate::Sql::stream).
pub struct SqlStream<'s> {
    columns: Arc<[SqlColumn]>,
    rows: Rows<'s>,
    /// Whether the next row is the first one, which was read to see whether the statement runs.
    is_first: bool,
    count: u64,
    bytes: u64,
    done: bool,
    limits: &'s SqlLimits,
    bound: &'s Bound,
    text: &'s str,
    /// Whether the session is still good.
    check: &'s dyn Fn() -> Result<()>,
}

/// What a stream is made of.
pub(super) struct Running<'s> {
    pub(super) limits: &'s SqlLimits,
    pub(super) bound: &'s Bound,
    pub(super) text: &'s str,
    pub(super) check: &'s dyn Fn() -> Result<()>,
}

impl<'s> SqlStream<'s> {
    /// Runs a statement up to its first row.
    pub(super) fn begin(
        statement: &'s mut CachedStatement<'_>,
        columns: Arc<[SqlColumn]>,
        running: Running<'s>,
    ) -> Result<Self, Failed> {
        let Running { limits, bound, text, check } = running;
        let rows = statement.raw_query();
        let mut stream = Self {
            columns,
            rows,
            is_first: true,
            count: 0,
            bytes: 0,
            done: false,
            limits,
            bound,
            text,
            check,
        };
        stream.advance()?;
        Ok(stream)
    }

    /// The columns, also of a result without rows.
    #[must_use]
    pub fn columns(&self) -> &[SqlColumn] {
        &self.columns
    }

    /// The next row; none after the last one.
    ///
    /// # Errors
    ///
    /// [`Error::LimitExceeded`], [`Error::Cancelled`], [`Error::Sql`] for a value that can't be computed, and what every
    /// read can meet.
    #[allow(clippy::should_implement_trait)] // an iterator can't end with an error
    pub fn next(&mut self) -> Result<Option<SqlRow>> {
        let columns = Arc::clone(&self.columns);
        self.next_with(|values| Ok(SqlRow { values: values.map(owned).collect(), columns }))
    }

    /// The next row as a Rust type; [`SqlRow::to`] says how. None after the last one.
    ///
    /// # Errors
    ///
    /// As [`next`](Self::next), and [`Error::InvalidInput`] for a row that does not fit the type.
    pub fn next_as<T: DeserializeOwned>(&mut self) -> Result<Option<T>> {
        let columns = Arc::clone(&self.columns);
        self.next_with(|values| deserialize::row(&columns, values))
    }

    fn next_with<R>(&mut self, decode: impl FnOnce(&mut Values<'_, '_>) -> Result<R>) -> Result<Option<R>> {
        // Also for the first row, which may have taken its time.
        (self.check)()?;
        if !std::mem::take(&mut self.is_first) {
            self.advance().map_err(|failed| match failed {
                Failed::Error(error) | Failed::Refused(error) => error,
                // Of a statement that runs SQLite keeps the schema.
                Failed::Stale => Error::Busy { reason: "the schema of the file has changed; try again" },
            })?;
        }
        let Some(row) = self.rows.get() else { return Ok(None) };
        self.count += 1;
        if self.count > self.limits.rows {
            return Err(self.limits.describe_rows());
        }
        let mut values = Values { row, columns: 0..self.columns.len(), bytes: self.bytes };
        let decoded = decode(&mut values)?;
        self.bytes = values.bytes;
        if self.bytes > self.limits.result_bytes {
            return Err(self.limits.describe_bytes());
        }
        Ok(Some(decoded))
    }

    /// Goes on to the next row, if there is one.
    fn advance(&mut self) -> Result<(), Failed> {
        if self.done {
            return Ok(());
        }
        let outcome = self.rows.advance();
        self.done = outcome.is_err() || self.rows.get().is_none();
        outcome.map_err(|error| self.bound.failure(&error, self.text, self.limits, Moment::Running))
    }
}

/// The values of a row, each asked for once, and their bytes together with those of the rows before.
struct Values<'r, 's> {
    row: &'r Row<'s>,
    columns: Range<usize>,
    bytes: u64,
}

impl<'r> Iterator for Values<'r, '_> {
    type Item = ValueRef<'r>;

    fn next(&mut self) -> Option<ValueRef<'r>> {
        // There are as many columns as the statement has.
        let value = self.row.get_ref(self.columns.next()?).ok()?;
        self.bytes += match value {
            ValueRef::Null => 0,
            ValueRef::Integer(_) | ValueRef::Real(_) => 8,
            ValueRef::Text(bytes) | ValueRef::Blob(bytes) => bytes.len() as u64,
        };
        Some(value)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.columns.size_hint()
    }
}

impl std::fmt::Debug for SqlStream<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqlStream")
            .field("columns", &self.columns)
            .field("count", &self.count)
            .finish_non_exhaustive()
    }
}

fn owned(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Null => Value::None,
        ValueRef::Integer(integer) => Value::Integer(integer),
        ValueRef::Real(real) => Value::Real(real),
        // SQLite's text can hold any bytes, such as those of a cast: what is no text is bytes.
        ValueRef::Text(text) => match std::str::from_utf8(text) {
            Ok(text) => Value::Text(text.to_owned()),
            Err(_) => Value::Bytes(text.to_vec()),
        },
        ValueRef::Blob(bytes) => Value::Bytes(bytes.to_vec()),
    }
}
