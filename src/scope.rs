//! What a session reaches: the tenants of one user, or of one organization and a member in it.

use sha2::{Digest, Sha256};

use crate::entity::Tenancy;
use crate::error::{Error, Result};
use crate::identity::{Mark, OrganizationId, TenantKey, TenantName, UserId};
use crate::statement::Reach;

/// The tenants that one session reaches, and who acts.
#[derive(Debug, Clone)]
pub(crate) enum Scope {
    /// A user's own entities.
    User { user: UserId, key: TenantKey, mark: Mark },
    /// An organization's entities and one member's private ones.
    Organization {
        user: UserId,
        user_key: TenantKey,
        mark: Mark,
        organization: OrganizationId,
        organization_key: TenantKey,
        member_key: TenantKey,
    },
    /// One tenant's rows, which an administrator reads.
    Administered {
        admin: UserId,
        admin_key: TenantKey,
        mark: Mark,
        name: TenantName,
        key: TenantKey,
        /// A member's.
        organization_key: Option<TenantKey>,
    },
    /// Reference entities, written by the application itself.
    Reference,
}

impl Scope {
    /// Who acts; nobody when the application itself does.
    pub(crate) fn user(&self) -> Option<&UserId> {
        match self {
            Scope::User { user, .. } | Scope::Organization { user, .. } => Some(user),
            Scope::Administered { admin, .. } => Some(admin),
            Scope::Reference => None,
        }
    }

    pub(crate) fn user_key(&self) -> Option<TenantKey> {
        match self {
            Scope::User { key, .. } => Some(*key),
            Scope::Organization { user_key, .. } => Some(*user_key),
            Scope::Administered { admin_key, .. } => Some(*admin_key),
            Scope::Reference => None,
        }
    }

    /// By what logs name who acts.
    pub(crate) fn mark(&self) -> Option<Mark> {
        match self {
            Scope::User { mark, .. }
            | Scope::Organization { mark, .. }
            | Scope::Administered { mark, .. } => Some(*mark),
            Scope::Reference => None,
        }
    }

    pub(crate) fn organization_key(&self) -> Option<TenantKey> {
        match self {
            Scope::Organization { organization_key, .. } => Some(*organization_key),
            Scope::Administered { organization_key, .. } => *organization_key,
            Scope::User { .. } | Scope::Reference => None,
        }
    }

    /// Whose turn it takes when it waits: a user's or an organization's, however many sessions and
    /// threads it has.
    pub(crate) fn lane(&self) -> TenantKey {
        match self {
            Scope::User { key, .. } => *key,
            Scope::Organization { organization_key, .. } => *organization_key,
            Scope::Administered { key, organization_key, .. } => organization_key.unwrap_or(*key),
            Scope::Reference => TenantKey::REFERENCE,
        }
    }

    /// The tenants whose rows it reaches.
    pub(crate) fn tenants(&self) -> (TenantKey, Option<TenantKey>) {
        match self {
            Scope::User { key, .. } | Scope::Administered { key, .. } => (*key, None),
            Scope::Organization { organization_key, member_key, .. } => {
                (*organization_key, Some(*member_key))
            }
            Scope::Reference => (TenantKey::REFERENCE, None),
        }
    }

    /// The tenant whose rows of a tenancy the session reads. The types decide this for derived
    /// entities; for dynamic ones it is decided here.
    pub(crate) fn reads(&self, tenancy: Tenancy) -> Result<Reach> {
        let (tenant, organization) = match (self, tenancy) {
            (_, Tenancy::Reference) => (TenantKey::REFERENCE, None),
            (Scope::User { key, .. }, Tenancy::User) => (*key, None),
            (Scope::Organization { organization_key, .. }, Tenancy::Organization) => {
                (*organization_key, None)
            }
            (Scope::Organization { organization_key, member_key, .. }, Tenancy::Member) => {
                (*member_key, Some(*organization_key))
            }
            (Scope::Administered { name, key, organization_key, .. }, _) if name.tenancy() == tenancy => {
                (*key, *organization_key)
            }
            _ => {
                return Err(Error::AccessDenied {
                    reason: format!("{} does not reach entities of tenancy `{tenancy}`", self.describe()),
                });
            }
        };
        Ok(Reach { tenant, organization })
    }

    /// The tenant whose rows of a tenancy the session writes.
    pub(crate) fn writes(&self, tenancy: Tenancy) -> Result<Reach> {
        match (self, tenancy) {
            (Scope::User { .. } | Scope::Organization { .. }, Tenancy::Reference) => {
                Err(Error::AccessDenied {
                    reason: "reference entities are written through `store.reference()` only".to_owned(),
                })
            }
            (Scope::Administered { .. }, _) => {
                Err(Error::AccessDenied { reason: format!("{} only reads", self.describe()) })
            }
            (Scope::User { .. } | Scope::Organization { .. } | Scope::Reference, _) => self.reads(tenancy),
        }
    }

    /// Who it is for, in the application's own words.
    pub(crate) fn name(&self) -> String {
        match self {
            Scope::User { user, .. } => user.to_string(),
            Scope::Organization { user, organization, .. } => format!("{user} in {organization}"),
            Scope::Administered { admin, name, .. } => format!("{admin} for {name}"),
            Scope::Reference => "the application".to_owned(),
        }
    }

    /// What cursors are bound to: names, never keys, which would tell of other tenants.
    pub(crate) fn fingerprint(&self) -> Sha256 {
        let mut hash = Sha256::new();
        let parts = match self {
            Scope::User { user, .. } => vec![user.as_str(), ""],
            Scope::Organization { user, organization, .. } => vec![user.as_str(), organization.as_str()],
            Scope::Administered { admin, name, .. } => match name {
                TenantName::User(user) => vec![admin.as_str(), user.as_str(), "", ""],
                TenantName::Organization(organization) => vec![admin.as_str(), "", organization.as_str(), ""],
                TenantName::Member { organization, user } => {
                    vec![admin.as_str(), user.as_str(), organization.as_str(), ""]
                }
            },
            Scope::Reference => vec!["", ""],
        };
        for part in parts {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        hash
    }

    fn describe(&self) -> &'static str {
        match self {
            Scope::User { .. } => "a user's session",
            Scope::Organization { .. } => "a session in an organization",
            Scope::Administered { .. } => "an administrator's session for one tenant",
            Scope::Reference => "the reference session",
        }
    }
}
