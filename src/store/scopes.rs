//! From names to scopes: who may reach what, looked up and kept as grants.

use std::sync::Arc;

use super::absent_as_none;
use super::access::{Grant, Right};
use super::inner::{Inner, Refusal};
use crate::commit::Actor;
use crate::error::{Error, Result};
use crate::identity::{Mark, OrganizationId, TenantName, UserId};
use crate::schema::identities::{self, StoredUser};
use crate::scope::Scope;

/// Who asks for a scope within an organization.
pub(crate) struct Asking<'a> {
    pub(crate) user: &'a UserId,
    pub(crate) mark: Mark,
    pub(crate) grant: Arc<Grant>,
    /// Who acts, and an administrator's authority, which opens what is disabled.
    pub(crate) actor: Actor,
}

impl Inner {
    /// A user's own scope, the grant that it rests on, and whether the user is disabled.
    pub(crate) fn user_scope(&self, id: &UserId) -> Result<(Scope, Arc<Grant>, bool)> {
        self.read(|connection| {
            let StoredUser { key, mark, .. } = identities::find_user(connection, id)?;
            let grant = self.grants.take(key, Right::Reach);
            // Looked up again, now that the grant is taken.
            let disabled = identities::find_user(connection, id)?.value.disabled;
            Ok((Scope::User { user: id.clone(), key, mark }, grant, disabled))
        })
    }

    /// The scope of a user within an organization, and the grants that it rests on.
    pub(crate) fn member_scope(
        &self,
        asking: Asking<'_>,
        organization: &OrganizationId,
    ) -> Result<(Scope, Vec<Arc<Grant>>)> {
        let Asking { user, mark, grant: user_grant, actor } = asking;
        let user_key = user_grant.tenant;
        let opens_disabled = actor.admin.is_some();
        let outcome = self.read(|connection| {
            // An organization that does not exist and one that the user is not in are the same.
            let Some(found) = absent_as_none(identities::find_organization(connection, organization))? else {
                return Ok(Err("not_member"));
            };
            let Some(member) = identities::find_member(connection, found.key, user_key)? else {
                return Ok(Err("not_member"));
            };
            let mut grants = vec![user_grant];
            grants.extend([found.key, member.key].map(|key| self.grants.take(key, Right::Reach)));
            // Looked up again, now that the grants are taken.
            match identities::find_member(connection, found.key, user_key)? {
                Some(member) if member.active => {}
                _ => return Ok(Err("not_member")),
            }
            if !opens_disabled && identities::find_organization(connection, organization)?.value.disabled {
                return Ok(Err("disabled"));
            }
            let scope = Scope::Organization {
                user: user.clone(),
                user_key,
                mark,
                organization: organization.clone(),
                organization_key: found.key,
                member_key: member.key,
            };
            Ok(Ok((scope, grants)))
        })?;
        outcome.map_err(|outcome| {
            let error = match outcome {
                "disabled" => Error::Disabled { id: organization.to_string() },
                _ => Error::NotMember { user: user.to_string(), organization: organization.to_string() },
            };
            let what = Some(("organization", organization.to_string()));
            self.refuse(Refusal { user: user_key, actor, outcome, what }, error)
        })
    }

    /// One member's private rows, for an admin of the organization, and the grant on the member.
    pub(crate) fn inspection(
        &self,
        admin: (&UserId, &Scope),
        member: &UserId,
        organization: &OrganizationId,
    ) -> Result<(Scope, Arc<Grant>)> {
        let not_member =
            || Error::NotMember { user: member.to_string(), organization: organization.to_string() };
        let (admin, scope) = admin;
        let (Some(admin_key), Some(mark), Some(organization_key)) =
            (scope.user_key(), scope.mark(), scope.organization_key())
        else {
            return Err(not_member());
        };
        self.read(|connection| {
            // A user who does not exist and one who is no member are the same.
            let Some(user) = absent_as_none(identities::find_user(connection, member))? else {
                return Err(not_member());
            };
            let active = || -> Result<_> {
                let found = identities::find_member(connection, organization_key, user.key)?;
                Ok(found.filter(|member| member.active))
            };
            let key = active()?.ok_or_else(not_member)?.key;
            let grant = self.grants.take(key, Right::Reach);
            active()?.ok_or_else(not_member)?;
            let name = TenantName::Member { organization: organization.clone(), user: member.clone() };
            let scope = Scope::Administered {
                admin: admin.clone(),
                admin_key,
                mark,
                name,
                key,
                organization_key: Some(organization_key),
            };
            Ok((scope, grant))
        })
    }
}
