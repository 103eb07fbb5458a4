//! What a token allows the sessions that are made from it. It can only be less than the store's records grant.

use jiff::Timestamp;

use crate::identity::{OrganizationId, Role};

/// Shared by a session, its clones, its transactions and read scopes, and the sessions in organizations made from it.
#[derive(Debug)]
#[cfg_attr(not(feature = "jwt"), allow(dead_code))] // nothing else makes one
pub(crate) struct Limits {
    /// From then on nothing works.
    pub(crate) expires: Timestamp,
    /// The only organization, if the token names one.
    pub(crate) organization: Option<OrganizationId>,
    /// The greatest role, if tokens speak of roles.
    pub(crate) role: Option<Role>,
}

impl Limits {
    pub(super) fn are_over(&self, now: Timestamp) -> bool {
        now >= self.expires
    }

    pub(super) fn allow(&self, organization: &OrganizationId) -> bool {
        self.organization.as_ref().is_none_or(|only| only == organization)
    }

    pub(super) fn allow_admin(&self) -> bool {
        self.role.is_none_or(|role| role == Role::Admin)
    }
}
