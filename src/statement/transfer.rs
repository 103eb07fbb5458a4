//! Whole rows of one tenant, for carrying them from one file of a store to another. The columns of
//! `SELECT *` are those of the table as it is created, which is the same in every file.

use rusqlite::types::Value as SqlValue;
use uuid::Uuid;

use super::sql::{Param, Statement};
use super::table::Table;
use crate::identity::TenantKey;

/// A row as it lies in its table.
pub(crate) type WholeRow = Vec<SqlValue>;

/// Where the key, the id and the version stand in a whole row.
pub(crate) const RID: usize = 0;
pub(crate) const ID: usize = 2;
pub(crate) const VERSION: usize = 3;

/// The tenant's rows whose keys follow `after`, at most `limit`.
pub(crate) fn rows_after(table: &Table, tenant: TenantKey, after: i64, limit: u32) -> Statement<'_> {
    let sql = format!(
        "SELECT * FROM {} AS t NOT INDEXED WHERE t._tenant = ?1 AND t._rid BETWEEN ?2 AND ?3 ORDER BY t._rid LIMIT {limit}",
        table.name
    );
    Statement::new(sql, range(tenant, after.max(tenant.first()) + 1, tenant.last()))
}

/// The row of an id.
pub(crate) fn whole(table: &Table, tenant: TenantKey, id: Uuid) -> Statement<'_> {
    let sql = format!(
        "SELECT * FROM {} AS t INDEXED BY {} WHERE t._tenant = ?1 AND t._id = ?2",
        table.name, table.id_index
    );
    Statement::new(sql, vec![Param::Integer(tenant.get()), Param::id(id)])
}

/// How many rows the tenant has, counted.
pub(crate) fn count(table: &Table, tenant: TenantKey) -> Statement<'_> {
    let sql = format!(
        "SELECT count(*) FROM {} AS t NOT INDEXED WHERE t._tenant = ?1 AND t._rid BETWEEN ?2 AND ?3",
        table.name
    );
    Statement::new(sql, range(tenant, tenant.first(), tenant.last()))
}

/// A row as it was in another file, of the tenant that it names.
pub(crate) fn insert_whole<'t>(table: &'t Table, row: &WholeRow) -> Statement<'t> {
    let marks = vec!["?"; row.len()].join(", ");
    let params = row.iter().cloned().map(Param::Stored).collect();
    Statement::new(format!("INSERT INTO {} VALUES ({marks})", table.name), params)
}

/// The tenant's rows up to a key go.
pub(crate) fn delete_until(table: &Table, tenant: TenantKey, last: i64) -> Statement<'_> {
    let sql = format!(
        "DELETE FROM {} AS t NOT INDEXED WHERE t._tenant = ?1 AND t._rid BETWEEN ?2 AND ?3",
        table.name
    );
    Statement::new(sql, range(tenant, tenant.first(), last.min(tenant.last())))
}

/// A row of the tenant's whose reference in this column names no record of the same tenant; none if the
/// column holds no such references.
pub(crate) fn without_target(table: &Table, column: usize, tenant: TenantKey) -> Option<Statement<'_>> {
    let physical = &table.columns[column];
    let target = physical.target.as_ref()?;
    if target.soft || target.tenancy != table.definition.tenancy() {
        return None;
    }
    let sql = format!(
        "SELECT 1 FROM {} AS t NOT INDEXED WHERE t._tenant = ?1 AND t._rid BETWEEN ?2 AND ?3 AND t.{name} IS NOT NULL \
         AND NOT EXISTS (SELECT 1 FROM {} AS s INDEXED BY {} WHERE s._tenant = ?1 AND s._id = t.{name}) LIMIT 1",
        table.name,
        target.table,
        target.id_index,
        name = physical.name
    );
    Some(Statement::new(sql, range(tenant, tenant.first(), tenant.last())))
}

fn range(tenant: TenantKey, first: i64, last: i64) -> Vec<Param<'static>> {
    vec![Param::Integer(tenant.get()), Param::Integer(first), Param::Integer(last)]
}

/// A row if anybody's record of this entity refers to a reference record: only the application itself
/// asks, before it deletes one.
pub(crate) fn held_by_anyone(table: &Table, column: usize, id: Uuid) -> Statement<'_> {
    let sql =
        format!("SELECT 1 FROM {} AS t WHERE t.{} = ?1 LIMIT 1", table.name, table.columns[column].name);
    Statement::new(sql, vec![Param::id(id)])
}
