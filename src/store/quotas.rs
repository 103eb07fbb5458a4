//! What one tenant may have of an entity, whoever asks for it.

use std::sync::Arc;

use super::Inner;
use super::access::By;
use crate::audit::payload::PayloadWriter;
use crate::commit::{self, Event, unsigned_count};
use crate::entity::{Tenancy, Value};
use crate::error::{Error, Result};
use crate::identity::TenantKey;
use crate::quota::{Quota, Usage};
use crate::statement::Table;

/// A tenant, and where it lives.
#[derive(Debug, Clone, Copy)]
pub(super) struct Owner {
    pub(super) home: TenantKey,
    pub(super) tenant: TenantKey,
    pub(super) tenancy: Tenancy,
}

impl Owner {
    /// A user or an organization.
    pub(super) fn at_home(tenant: TenantKey, tenancy: Tenancy) -> Self {
        Self { home: tenant, tenant, tenancy }
    }
}

impl Inner {
    /// Gives a tenant a quota of its own, or takes it away.
    pub(super) fn set_quota(&self, by: &By, owner: Owner, entity: &str, quota: Option<Quota>) -> Result<()> {
        let table = self.owned(owner.tenancy, entity)?;
        self.write(owner.home, by.actor.clone(), |unit| {
            by.check()?;
            let before = unit.set_quota(owner.tenant, table.key, quota)?;
            let (rows_before, bytes_before) = before.map(Quota::stored).unzip();
            let (rows, bytes) = quota.map(Quota::stored).unzip();
            let mut payload = PayloadWriter::new();
            payload.change("entity", &entity.into(), &entity.into());
            payload.change("rows", &Value::from(rows_before), &Value::from(rows));
            payload.change("bytes", &Value::from(bytes_before), &Value::from(bytes));
            let payload = payload.finish();
            let event = Event { action: "quota.set", outcome: "ok", entity: None, record: None, payload };
            unit.audit(owner.tenant, &event)
        })
    }

    /// What a tenant has, and may have.
    pub(super) fn usage(&self, owner: Owner, entity: &str) -> Result<Usage> {
        let table = self.owned(owner.tenancy, entity)?;
        let head = commit::load_rows(self.snapshot(owner.home)?.connection()?, owner.tenant, table.key)?;
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
