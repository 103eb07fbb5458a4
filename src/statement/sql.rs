//! SQL text with its parameters, and the only place where it meets a connection.

use std::borrow::Cow;
use std::fmt::Write as _;

use rusqlite::types::{ToSqlOutput, Value as SqlValue, ValueRef};
use rusqlite::{Connection, Row, ToSql};
use uuid::Uuid;

use crate::entity::{UuidText, Value};
use crate::error::Result;

/// One parameter.
#[derive(Debug, Clone)]
pub(crate) enum Param<'v> {
    Integer(i64),
    Uuid(UuidText),
    Borrowed(&'v Value),
    Owned(Value),
    /// As it lies in another file.
    Stored(SqlValue),
}

impl Param<'_> {
    pub(super) fn id(uuid: Uuid) -> Self {
        Param::Uuid(UuidText::new(uuid))
    }
}

impl ToSql for Param<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self {
            Param::Integer(integer) => ToSqlOutput::Borrowed(ValueRef::Integer(*integer)),
            Param::Uuid(text) => return text.to_sql(),
            Param::Borrowed(value) => value.stored(),
            Param::Owned(value) => value.stored(),
            Param::Stored(value) => ToSqlOutput::Borrowed(value.into()),
        })
    }
}

/// A statement that touches an entity's table, bound to one tenant.
#[derive(Debug)]
pub(crate) struct Statement<'t> {
    sql: Cow<'t, str>,
    params: Vec<Param<'t>>,
}

impl<'t> Statement<'t> {
    pub(super) fn new(sql: impl Into<Cow<'t, str>>, params: Vec<Param<'t>>) -> Self {
        Self { sql: sql.into(), params }
    }

    /// The parameters that the text names: the target of soft references, ?2, may stand nowhere.
    fn params_of(&self, statement: &rusqlite::Statement<'_>) -> rusqlite::ParamsFromIter<&[Param<'t>]> {
        let named = self.params.len().min(statement.parameter_count());
        rusqlite::params_from_iter(&self.params[..named])
    }

    pub(crate) fn execute(&self, connection: &Connection) -> rusqlite::Result<usize> {
        #[cfg(test)]
        super::tests::record(&self.sql, &self.params);
        let mut statement = connection.prepare_cached(&self.sql)?;
        let params = self.params_of(&statement);
        statement.execute(params)
    }

    /// Decodes every row.
    pub(crate) fn all<T>(
        &self,
        connection: &Connection,
        mut decode: impl FnMut(&Row<'_>) -> Result<T>,
    ) -> Result<Vec<T>> {
        #[cfg(test)]
        super::tests::record(&self.sql, &self.params);
        let mut statement = connection.prepare_cached(&self.sql)?;
        let params = self.params_of(&statement);
        let mut rows = statement.query(params)?;
        let mut decoded = Vec::new();
        while let Some(row) = rows.next()? {
            decoded.push(decode(row)?);
        }
        Ok(decoded)
    }

    /// Decodes the first row.
    pub(crate) fn first<T>(
        &self,
        connection: &Connection,
        decode: impl FnOnce(&Row<'_>) -> Result<T>,
    ) -> Result<Option<T>> {
        #[cfg(test)]
        super::tests::record(&self.sql, &self.params);
        let mut statement = connection.prepare_cached(&self.sql)?;
        let params = self.params_of(&statement);
        let mut rows = statement.query(params)?;
        rows.next()?.map(decode).transpose()
    }
}

/// Text that grows together with its parameters.
#[derive(Debug, Default)]
pub(super) struct Builder<'v> {
    text: String,
    params: Vec<Param<'v>>,
}

impl<'v> Builder<'v> {
    pub(super) fn push(&mut self, text: &str) -> &mut Self {
        self.text.push_str(text);
        self
    }

    /// Adds a parameter and its place in the text.
    pub(super) fn bind(&mut self, param: Param<'v>) -> &mut Self {
        self.params.push(param);
        let _ = write!(self.text, "?{}", self.params.len()); // writing to a String can't fail
        self
    }

    /// Adds a parameter that the text names itself, by its number.
    pub(super) fn param(&mut self, param: Param<'v>) -> &mut Self {
        self.params.push(param);
        self
    }

    pub(super) fn finish(self) -> Statement<'v> {
        Statement::new(self.text, self.params)
    }
}
