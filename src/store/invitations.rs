//! Invitations: an organization names a user, who becomes a member by accepting. Each step is an entry
//! in the organization's log.

use jiff::Timestamp;

use super::access::{By, Right};
use super::change::{Change, Mirror};
use super::directory::{Organizations, Users, join};
use super::{Inner, absent_as_none};
use crate::entity::Value;
use crate::error::{Error, Result};
use crate::identity::{Invitation, OrganizationId, Role, TenantKey, UserId};
use crate::schema::identities::{self, StoredUser};

/// Invitations that an organization may have open, so that none can fill the file with them.
const OPEN_MAX: i64 = 10_000;

impl Organizations<'_> {
    /// Invites a user, who need not exist yet, to become a member by
    /// [accepting](crate::TenantSession::accept_invitation). Inviting again replaces the invitation.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownOrganization`]; [`Error::Exists`] if the user is a member already;
    /// [`Error::InvalidInput`] if `expires` is in the past; [`Error::LimitExceeded`] at 10,000 open
    /// invitations.
    pub fn invite(
        &self,
        organization: &impl AsRef<OrganizationId>,
        user: &impl AsRef<UserId>,
        role: Role,
        expires: Option<Timestamp>,
    ) -> Result<()> {
        let (organization, user) = (organization.as_ref(), user.as_ref());
        self.change(organization, "invitation.create", |unit| {
            let (connection, now) = (unit.connection()?, unit.now());
            let key = identities::find_organization(connection, organization)?.key;
            if expires.is_some_and(|expires| expires <= now) {
                return Err(Error::invalid("expires", "is in the past"));
            }
            if let Some(invited) = absent_as_none(identities::find_user(connection, user))?
                && identities::find_member(connection, key, invited.key)?.is_some_and(|member| member.active)
            {
                return Err(Error::Exists { id: user.to_string() });
            }
            if identities::count_other_invitations(connection, key, user)? >= OPEN_MAX
                && identities::remove_expired_invitations(connection, key, now)? == 0
            {
                return Err(Error::LimitExceeded {
                    limit: "invitations",
                    problem: format!("an organization can have {OPEN_MAX} open; withdraw some first"),
                });
            }
            identities::invite(connection, key, user, role, now, expires)?;
            let change = Change::new(key, "invitation.create")
                .field("user", Value::None, user.clone())
                .field("role", Value::None, role.as_str());
            Ok((change, ()))
        })
    }

    /// Takes an invitation back.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownOrganization`], or [`Error::NotInvited`].
    pub fn withdraw_invitation(
        &self,
        organization: &impl AsRef<OrganizationId>,
        user: &impl AsRef<UserId>,
    ) -> Result<()> {
        let (organization, user) = (organization.as_ref(), user.as_ref());
        self.change(organization, "invitation.withdraw", |unit| {
            let key = identities::find_organization(unit.connection()?, organization)?.key;
            let change = end(unit.connection()?, key, organization, user, "invitation.withdraw")?;
            Ok((change, ()))
        })
    }

    /// A page of the invitations that are open, in the order of the users' ids.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownOrganization`].
    pub fn invitations(
        &self,
        organization: &impl AsRef<OrganizationId>,
        after: Option<&UserId>,
        limit: u32,
    ) -> Result<Vec<Invitation>> {
        let key = self.look(organization.as_ref(), "invitations")?;
        let (now, after) = (self.now(), after.map_or("", UserId::as_str));
        self.read(|connection| identities::invitations(connection, Ok(key), now, after, limit))
    }
}

impl Users<'_> {
    /// A page of the invitations to a user, in the order of the organizations' ids.
    ///
    /// # Errors
    ///
    /// What every read can meet.
    pub fn invitations(
        &self,
        user: &impl AsRef<UserId>,
        after: Option<&OrganizationId>,
        limit: u32,
    ) -> Result<Vec<Invitation>> {
        let user = user.as_ref();
        self.look(user, "invitations")?;
        let (now, after) = (self.now(), after.map_or("", OrganizationId::as_str));
        self.read(|connection| identities::invitations(connection, Err(user), now, after, limit))
    }
}

impl Inner {
    /// The user becomes a member, as the open invitation says.
    pub(crate) fn accept_invitation(
        self: &std::sync::Arc<Self>,
        by: &By,
        user: &UserId,
        organization: &OrganizationId,
    ) -> Result<()> {
        self.change(by, |unit| {
            let now = unit.now();
            // An organization that does not exist and one that has not invited are the same.
            let key = invited(unit.connection()?, organization, user)?;
            let invitation = identities::find_invitation(unit.connection()?, key, user)?
                .filter(|invitation| invitation.expires.is_none_or(|expires| expires > now))
                .ok_or_else(|| not_invited(user, organization))?;
            identities::remove_invitation(unit.connection()?, key, user)?;
            let invited: StoredUser = identities::find_user(unit.connection()?, user)?;
            let member = join(unit, key, &invited, invitation.role)?;
            let change = Change::new(key, "member.add")
                .field("user", Value::None, user.clone())
                .field("role", Value::None, invitation.role.as_str())
                .mirror(Mirror::member(
                    member,
                    key,
                    (invited.key, invited.mark, user),
                    invitation.role,
                    true,
                ));
            Ok((change, ()))
        })
    }

    /// The user does not become a member.
    pub(crate) fn decline_invitation(
        self: &std::sync::Arc<Self>,
        by: &By,
        user: &UserId,
        organization: &OrganizationId,
    ) -> Result<()> {
        self.change(by, |unit| {
            let key = invited(unit.connection()?, organization, user)?;
            Ok((end(unit.connection()?, key, organization, user, "invitation.decline")?, ()))
        })
    }
}

fn not_invited(user: &UserId, organization: &OrganizationId) -> Error {
    Error::NotInvited { user: user.to_string(), organization: organization.to_string() }
}

/// The organization that has invited the user and is not disabled.
fn invited(
    connection: &rusqlite::Connection,
    organization: &OrganizationId,
    user: &UserId,
) -> Result<TenantKey> {
    absent_as_none(identities::find_organization(connection, organization))?
        .filter(|found| !found.value.disabled)
        .map(|found| found.key)
        .ok_or_else(|| not_invited(user, organization))
}

/// An invitation goes without a member.
fn end(
    connection: &rusqlite::Connection,
    key: TenantKey,
    organization: &OrganizationId,
    user: &UserId,
    action: &'static str,
) -> Result<Change> {
    let invitation =
        identities::find_invitation(connection, key, user)?.ok_or_else(|| not_invited(user, organization))?;
    identities::remove_invitation(connection, key, user)?;
    Ok(Change::new(key, action).field("user", user.clone(), Value::None).field(
        "role",
        invitation.role.as_str(),
        Value::None,
    ))
}

/// What a member who acts for themselves, or for their organization, must leave it with.
pub(super) fn keeps_an_admin(
    connection: &rusqlite::Connection,
    by: &By,
    organization: TenantKey,
    role: Role,
) -> Result<()> {
    let is_member = by.actor.user.is_some() && by.actor.admin.is_none();
    if is_member && role == Role::Admin && identities::count_admins(connection, organization)? < 2 {
        return Err(Error::AccessDenied {
            reason: "an organization keeps an admin: make somebody else one first".to_owned(),
        });
    }
    Ok(())
}

/// A member can't administer any more.
pub(super) fn demoted(change: Change, member: TenantKey, role: Role) -> Change {
    match role {
        Role::Admin => change,
        Role::Member => change.revoke(member, Right::Administer),
    }
}
