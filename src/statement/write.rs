//! Statements on one record, and those that find the records of a bulk change.

use rusqlite::Row;
use uuid::Uuid;

use super::sql::{Builder, Param, Statement};
use super::table::Table;
use super::{Reach, Select};
use crate::entity::{Raw, Value};
use crate::error::{Error, Result};
use crate::identity::TenantKey;
use crate::query::{Comparison, Node, Spec};

/// A record for a reader, by id.
pub(crate) fn get(table: &Table, reach: Reach, id: Uuid) -> Result<Statement<'_>> {
    let mut params = Vec::with_capacity(3);
    params.push(Param::Integer(reach.tenant.get()));
    if table.has_soft() {
        params.push(Param::Integer(soft_target(reach)?.get()));
    }
    params.push(Param::id(id));
    Ok(Statement::new(&*table.get_sql, params))
}

/// The organization that soft references read through. A member's reach always has one.
pub(super) fn soft_target(reach: Reach) -> Result<TenantKey> {
    reach
        .organization
        .ok_or_else(|| Error::AccessDenied { reason: "the session is not within an organization".to_owned() })
}

/// A record as it is stored, before a change.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub(crate) version: i64,
    pub(crate) updated: i64,
    pub(crate) values: Vec<Value>,
}

/// The record as it is stored: soft references too are what was written.
pub(crate) fn raw<'t>(
    table: &'t Table,
    tenant: TenantKey,
    id: Uuid,
) -> (Statement<'t>, impl Fn(&Row<'_>) -> Result<Stored> + 't) {
    let statement = Statement::new(&*table.raw_sql, vec![Param::Integer(tenant.get()), Param::id(id)]);
    (statement, |row| {
        let values = table
            .definition
            .columns()
            .iter()
            .enumerate()
            .map(|(position, column)| {
                Raw::new(row.get_ref(position + 2)?)
                    .to_value(column.kind())
                    .map_err(|problem| Error::schema(format!("column {:?} {problem}", column.name())))
            })
            .collect::<Result<_>>()?;
        Ok(Stored { version: row.get(0)?, updated: row.get(1)?, values })
    })
}

/// Whether the tenant has a record of this id.
pub(crate) fn exists(table: &Table, tenant: TenantKey, id: Uuid) -> Statement<'_> {
    let sql = format!(
        "SELECT 1 FROM {} AS t INDEXED BY {} WHERE t._tenant = ?1 AND t._id = ?2",
        table.name, table.id_index
    );
    Statement::new(sql, vec![Param::Integer(tenant.get()), Param::id(id)])
}

/// What an insert writes beside the values.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NewRow<'a> {
    pub(crate) number: i64,
    pub(crate) id: Uuid,
    pub(crate) version: i64,
    pub(crate) updated: i64,
    pub(crate) author: Option<&'a str>,
}

/// A new row.
pub(crate) fn insert<'t>(
    table: &'t Table,
    tenant: TenantKey,
    head: NewRow<'_>,
    values: &'t [Value],
) -> Result<Statement<'t>> {
    let mut params = vec![
        Param::Integer(tenant.at(head.number)?),
        Param::Integer(tenant.get()),
        Param::id(head.id),
        Param::Integer(head.version),
        Param::Integer(head.updated),
    ];
    if table.definition.has_author() {
        params.push(Param::Owned(head.author.into()));
    }
    params.extend(values.iter().map(Param::Borrowed));
    Ok(Statement::new(&*table.insert_sql, params))
}

/// New values for some columns of one row.
pub(crate) fn update<'t>(
    table: &'t Table,
    tenant: TenantKey,
    id: Uuid,
    version: i64,
    updated: i64,
    changes: &[(usize, &'t Value)],
) -> Statement<'t> {
    let mut sql = Builder::default();
    sql.push("UPDATE ").push(&table.name).push(" INDEXED BY ").push(&table.id_index).push(" SET _version = ");
    sql.bind(Param::Integer(version)).push(", _updated = ").bind(Param::Integer(updated));
    for (position, value) in changes {
        sql.push(", ").push(&table.columns[*position].name).push(" = ").bind(Param::Borrowed(value));
    }
    sql.push(" WHERE _tenant = ").bind(Param::Integer(tenant.get())).push(" AND _id = ").bind(Param::id(id));
    sql.finish()
}

/// One row less.
pub(crate) fn delete(table: &Table, tenant: TenantKey, id: Uuid) -> Statement<'_> {
    let sql =
        format!("DELETE FROM {} INDEXED BY {} WHERE _tenant = ?1 AND _id = ?2", table.name, table.id_index);
    Statement::new(sql, vec![Param::Integer(tenant.get()), Param::id(id)])
}

/// A row if any reference of the table's rows, whoever owns them, names a row that is not there.
pub(crate) fn dangling(table: &Table) -> Statement<'_> {
    // https://sqlite.org/pragma.html#pragma_foreign_key_check
    Statement::new(format!("PRAGMA foreign_key_check({})", table.name), Vec::new())
}

/// The ids of the tenant's rows whose reference in this column names `id`, oldest first.
pub(crate) fn referring(table: &Table, column: usize, tenant: TenantKey, id: Uuid) -> Statement<'_> {
    let name = &table.columns[column].name;
    let declared = table.definition.columns()[column].name();
    // The table makes an index for each hard reference, so there always is one.
    let index = table
        .indexes
        .iter()
        .find(|index| index.columns[0].0 == declared)
        .map_or(&table.id_index, |index| &index.name);
    let sql = format!(
        "SELECT t._id FROM {} AS t INDEXED BY {index} WHERE t._tenant = ?1 AND t.{name} = ?2 ORDER BY t._id",
        table.name
    );
    Statement::new(sql, vec![Param::Integer(tenant.get()), Param::id(id)])
}

/// The ids of the records that a bulk change is for, oldest first.
pub(crate) fn matching_ids<'t>(table: &'t Table, reach: Reach, spec: &'t Spec) -> Result<Statement<'t>> {
    Select { table, reach, spec, after: None, heads: false }.ids()
}

/// The rows that have these values in these columns; none can if one of them has no value.
pub(crate) fn same_values(table: &Table, positions: &[usize], values: &[Value]) -> Option<Spec> {
    let mut filter: Option<Node> = None;
    for &position in positions {
        let value = values[position].clone();
        if value.is_none() {
            return None;
        }
        let column = table.definition.columns()[position].name().to_owned().into();
        let condition = Node::Compare { column, comparison: Comparison::Eq, value };
        filter = Some(match filter {
            Some(all) => all.and(condition),
            None => condition,
        });
    }
    Some(Spec { filter, limit: Some(1), ..Spec::default() })
}

impl Table {
    /// Which declared columns a row would have had in common with another one: SQLite names
    /// them in its message, which goes no further (https://sqlite.org/rescode.html#constraint_unique).
    pub(crate) fn unique_violation(&self, error: &rusqlite::Error) -> Option<Vec<String>> {
        let rusqlite::Error::SqliteFailure(_, Some(message)) = error else { return None };
        let table = format!("_rows_{}", self.entity());
        self.indexes.iter().filter(|index| index.unique).find_map(|index| {
            let columns =
                index.columns.iter().map(|(name, _)| format!(", {table}.{name}")).collect::<String>();
            (*message == format!("UNIQUE constraint failed: {table}._tenant{columns}"))
                .then(|| index.columns.iter().map(|(name, _)| name.clone()).collect())
        })
    }
}
