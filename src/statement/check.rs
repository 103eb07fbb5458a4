//! What `Store::check` reads of entity tables: every tenant's range in turn, and the one query
//! that looks across tenants, for rows that belong to none.

use rusqlite::Row;
use uuid::Uuid;

use super::sql::{Param, Statement};
use super::table::Table;
use crate::entity::{Raw, StoredUuid, Tenancy, Value};
use crate::error::{Error, Result};
use crate::identity::TenantKey;
use crate::schema::Role;

/// A row as it is stored.
pub(crate) struct CheckedRow {
    pub(crate) number: i64,
    pub(crate) id: Uuid,
    pub(crate) version: i64,
    pub(crate) updated: i64,
    pub(crate) author: Option<String>,
    pub(crate) values: Vec<Value>,
}

/// Every row in a tenant's range.
pub(crate) fn rows<'t>(
    table: &'t Table,
    tenant: TenantKey,
) -> (Statement<'t>, impl Fn(&Row<'_>) -> Result<CheckedRow> + 't) {
    let columns = table.columns.iter().map(|column| format!(", t.{}", column.name)).collect::<String>();
    let author = if table.definition.has_author() { "t._author" } else { "NULL" };
    let sql = format!(
        "SELECT t._rid & 1099511627775, t._id, t._version, t._updated, {author}{columns} FROM {} AS t NOT INDEXED WHERE t._tenant = ?1 AND t._rid BETWEEN ?2 AND ?3 ORDER BY t._rid",
        table.name
    );
    let params =
        vec![Param::Integer(tenant.get()), Param::Integer(tenant.first()), Param::Integer(tenant.last())];
    (Statement::new(sql, params), |row| {
        let values = table.definition.columns().iter().enumerate().map(|(position, column)| {
            Raw::new(row.get_ref(position + 5)?).to_value(column.kind()).map_err(|problem| {
                Error::corrupt(format!("{}.{}: a row {problem}", table.entity(), column.name()))
            })
        });
        Ok(CheckedRow {
            number: row.get(0)?,
            id: row.get::<_, StoredUuid>(1)?.0,
            version: row.get(2)?,
            updated: row.get(3)?,
            author: row.get(4)?,
            values: values.collect::<Result<_>>()?,
        })
    })
}

/// How many rows belong to no tenant whose home the file is, or to one of another kind. A partition's
/// reference records are copies.
///
/// Tenants that move in or out are not looked at.
pub(crate) fn without_owner<'t>(table: &'t Table, role: Role, moving: &str) -> Statement<'t> {
    let copies = role == Role::Partition && table.definition.tenancy() == Tenancy::Reference;
    let home =
        if copies { "" } else { " OR NOT EXISTS (SELECT 1 FROM _log_head AS l WHERE l.tenant = t._tenant)" };
    let sql = format!(
        "SELECT count(*) FROM {} AS t LEFT JOIN _tenant AS k ON k.key = t._tenant WHERE (k.kind IS NOT '{}' OR t._rid >> 40 IS NOT t._tenant{home}) AND t._tenant NOT IN ({moving}) AND t._rid <> -1",
        table.name,
        table.definition.tenancy()
    );
    Statement::new(sql, Vec::new())
}

/// How many rows of nobody there are: one.
pub(crate) fn of_nobody(table: &Table) -> Statement<'_> {
    Statement::new(
        format!("SELECT count(*) FROM {} AS t WHERE t._rid = -1 AND t._tenant = -1", table.name),
        Vec::new(),
    )
}
