//! What one tenant may have of an entity, whoever asks for it.

use std::sync::Arc;

use super::Inner;
use super::directory::record;
use crate::commit::{self, Actor, unsigned_count};
use crate::entity::{Tenancy, Value};
use crate::error::{Error, Result};
use crate::identity::TenantKey;
use crate::quota::{Quota, Usage};
use crate::statement::Table;

impl Inner {
    /// Gives a tenant of this tenancy a quota of its own, or takes it away.
    pub(super) fn set_quota(
        &self,
        (tenant, tenancy): (TenantKey, Tenancy),
        entity: &str,
        quota: Option<Quota>,
    ) -> Result<()> {
        let table = self.owned(tenancy, entity)?;
        self.write(Actor::default(), |unit| {
            let before = unit.set_quota(tenant, table.key, quota)?;
            let (rows_before, bytes_before) = before.map(Quota::stored).unzip();
            let (rows, bytes) = quota.map(Quota::stored).unzip();
            record(
                unit,
                tenant,
                "quota.set",
                &[
                    ("entity", entity.into(), entity.into()),
                    ("rows", Value::from(rows_before), Value::from(rows)),
                    ("bytes", Value::from(bytes_before), Value::from(bytes)),
                ],
            )
        })
    }

    /// What a tenant of this tenancy has, and may have.
    pub(super) fn usage(&self, (tenant, tenancy): (TenantKey, Tenancy), entity: &str) -> Result<Usage> {
        let table = self.owned(tenancy, entity)?;
        let head = self.read(|connection| commit::load_rows(connection, tenant, table.key))?;
        Ok(Usage {
            rows: unsigned_count(Some(head.count))?,
            bytes: unsigned_count(Some(head.bytes))?,
            quota: head.quota.unwrap_or(self.catalog().quota(table)),
            own: head.quota.is_some(),
        })
    }

    /// An entity of which a tenant of this tenancy owns rows.
    fn owned(&self, tenancy: Tenancy, entity: &str) -> Result<&Arc<Table>> {
        let table = self.catalog().get(entity)?;
        let other = table.definition.tenancy();
        if other == tenancy {
            return Ok(table);
        }
        Err(Error::invalid(
            "entity",
            format!("{entity:?} has tenancy `{other}`; a quota here is for an entity of tenancy `{tenancy}`"),
        ))
    }
}
