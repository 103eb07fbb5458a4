//! Whose records ids are: what the report of a tenant's misses asks. The one statement of reads that looks
//! at rows of any tenant; only the administration of a store asks, and never for what the rows hold.

use rusqlite::Row;
use uuid::Uuid;

use super::sql::{Param, Statement};
use super::table::Table;
use crate::entity::{StoredUuid, Value};
use crate::error::Result;
use crate::identity::TenantKey;

/// Which of these ids are records, and whose: one pass over the index of ids, however many are asked for.
/// Rows of tenants whose home the file is not are copies, or on their way.
pub(crate) fn owners<'t>(
    table: &'t Table,
    ids: impl IntoIterator<Item = Uuid>,
) -> (Statement<'t>, impl Fn(&Row<'_>) -> Result<(Uuid, TenantKey)>) {
    let sql = format!(
        "SELECT t._id, t._tenant FROM {} AS t INDEXED BY {} WHERE t._tenant >= 0 \
         AND t._id IN (SELECT value FROM json_each(?1)) \
         AND EXISTS (SELECT 1 FROM _log_head AS l WHERE l.tenant = t._tenant)",
        table.name, table.id_index
    );
    let list = ids.into_iter().map(|id| format!("\"{id}\"")).collect::<Vec<_>>().join(",");
    let params = vec![Param::Owned(Value::Text(format!("[{list}]")))];
    (Statement::new(sql, params), |row| {
        Ok((row.get::<_, StoredUuid>(0)?.0, TenantKey::from_stored(row.get(1)?)?))
    })
}
