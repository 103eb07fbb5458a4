//! What a token allows the sessions that are made from it. It can only be less than the store's records grant.

use std::fmt;

use jiff::Timestamp;

use crate::commit::Clock;
use crate::error::{Error, Result};
use crate::identity::{OrganizationId, Role};

/// Shared by a session, its clones, its transactions and read scopes, the sessions in organizations and the rights of
/// administrators that are made from it.
#[cfg_attr(not(feature = "jwt"), allow(dead_code))] // nothing else makes one
pub(crate) struct Limits {
    /// From then on nothing works.
    pub(crate) expires: Timestamp,
    /// The only organization, if the token names one.
    pub(crate) organization: Option<OrganizationId>,
    /// The greatest role, if tokens speak of roles.
    pub(crate) role: Option<Role>,
    /// The store's.
    pub(crate) clock: Clock,
}

impl Limits {
    /// Whether the token is still good.
    pub(crate) fn check(&self) -> Result<()> {
        if (self.clock)() < self.expires { Ok(()) } else { Err(Error::Expired) }
    }

    pub(super) fn allow(&self, organization: &OrganizationId) -> bool {
        self.organization.as_ref().is_none_or(|only| only == organization)
    }

    /// Whether an organization's admin stays one.
    pub(super) fn allow_admin(&self) -> bool {
        self.role.is_none_or(|role| role == Role::Admin)
    }

    /// Whether a store's admin stays one: only if the token says so, and is for no single organization.
    #[cfg(feature = "jwt")]
    pub(crate) fn allow_store_admin(&self) -> bool {
        self.role == Some(Role::Admin) && self.organization.is_none()
    }
}

impl fmt::Debug for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limits")
            .field("expires", &self.expires)
            .field("organization", &self.organization)
            .field("role", &self.role)
            .finish_non_exhaustive()
    }
}
