//! The one door: every statement that touches an entity's table is compiled here, and every
//! entry takes the tenant.
//!
//! Two predicates hold in all of them: `_tenant = ?1`, and, where rows are read through the
//! table itself, the tenant's own range of its primary key. The caller's filter stands in
//! parentheses beside them, so no `OR` gets out. `tests` walks the plans of every shape.

pub(crate) mod check;
mod condition;
pub(crate) mod ddl;
mod owners;
mod path;
mod select;
mod sql;
mod table;
#[cfg(test)]
mod tests;
pub(crate) mod transfer;
mod view;
mod write;

pub(crate) use owners::owners;
pub(crate) use select::{Aggregate, Joined, Select};

pub(crate) use table::{Inbound, Table};
pub(crate) use view::{Reached, View, log_view};
pub(crate) use write::{
    NewRow, Stored, dangling, delete, exists, get, insert, matching_ids, raw, referring, same_values, update,
};

use crate::identity::TenantKey;

/// The tenant whose rows a statement reaches, and the organization that a member's soft
/// references point into.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reach {
    pub(crate) tenant: TenantKey,
    pub(crate) organization: Option<TenantKey>,
}
