//! What an organization's admin may do: members, invitations, roles, and reading a member's private
//! records on record.

use std::sync::Arc;

use jiff::Timestamp;

use super::{Core, OrganizationSession, Session, TenantSession};
use crate::commit::Authority;
use crate::error::{Error, Result};
use crate::identity::{Invitation, Membership, OrganizationId, Role, UserId, validate_reason};
use crate::store::{By, Grant, Organizations, Refusal, Right, Users};
use crate::tenancy;

/// One member's private records in an organization, as an admin of the organization reads them: with
/// the verbs that read, and none that writes. Made by [`OrganizationAdmin::member_records`].
pub type MemberRecords = Session<tenancy::Inspection>;

/// The rights of an organization's admin. Made by [`OrganizationSession::manage`]; it stops working,
/// at its next call, when the session does or the role is taken away.
///
/// ```
/// # use tenantry::{OrganizationId, Role, Store, UserId};
/// # fn main() -> tenantry::Result<()> {
/// # let store = Store::temporary()?;
/// let ada = store.users().create(&UserId::new("ada")?)?;
/// let grace = store.users().create(&UserId::new("grace")?)?;
/// let acme = store.organizations().create(&OrganizationId::new("acme")?)?;
/// store.organizations().add_member(&acme, &ada, Role::Admin)?;
///
/// let admin = store.session(&ada)?.in_organization(&acme)?.manage()?;
/// admin.invite(&grace, Role::Member, None)?;
/// let session = store.session(&grace)?.accept_invitation(&acme)?;
/// assert_eq!(session.role()?, Role::Member);
/// assert!(session.manage().is_err());
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct OrganizationAdmin {
    session: OrganizationSession,
    by: By,
}

impl OrganizationSession {
    /// The rights of an admin, if the user is one in this organization.
    ///
    /// # Errors
    ///
    /// [`Error::AccessDenied`] if not, which is noted in the user's own log.
    pub fn manage(&self) -> Result<OrganizationAdmin> {
        let core = self.core();
        let (_, member) = core.scope.tenants();
        let grant = core.store.grants.take(member.ok_or(Error::Closed)?, Right::Administer);
        // Looked up now that the grant is taken.
        if self.role()? != Role::Admin {
            let reason =
                format!("{:?} is no admin of {:?}", self.user().as_str(), self.organization().as_str());
            let what = Some(("organization", self.organization().to_string()));
            let user = core.scope.user_key().ok_or(Error::Closed)?;
            let refusal = Refusal { user, actor: core.actor(), outcome: "not_admin", what };
            return Err(core.store.refuse(refusal, Error::AccessDenied { reason }));
        }
        let by = core.by([grant]);
        Ok(OrganizationAdmin { session: self.clone(), by })
    }

    /// Ends the user's own membership.
    ///
    /// # Errors
    ///
    /// [`Error::AccessDenied`] for the organization's only admin.
    pub fn leave(&self) -> Result<()> {
        let core = self.core();
        Organizations::new(&core.store, core.by([])).remove_member(self.organization(), self.user())
    }
}

impl TenantSession {
    /// A page of the invitations to this user, in the order of the organizations' ids.
    ///
    /// # Errors
    ///
    /// What every read can meet.
    pub fn invitations(&self, after: Option<&OrganizationId>, limit: u32) -> Result<Vec<Invitation>> {
        let core = self.core();
        core.check_for_reading()?;
        Users::new(&core.store, core.by([])).invitations(self.user(), after, limit)
    }

    /// Becomes a member, and gives a session in the organization.
    ///
    /// # Errors
    ///
    /// [`Error::NotInvited`] if there is no open invitation, whether or not the organization exists.
    pub fn accept_invitation(
        &self,
        organization: &impl AsRef<OrganizationId>,
    ) -> Result<OrganizationSession> {
        let core = self.core();
        core.check()?;
        core.admit(organization.as_ref())?;
        let accepted = core.store.accept_invitation(&core.by([]), self.user(), organization.as_ref());
        core.told("invitation.accept", accepted)?;
        self.in_organization(organization)
    }

    /// Does not become a member.
    ///
    /// # Errors
    ///
    /// [`Error::NotInvited`].
    pub fn decline_invitation(&self, organization: &impl AsRef<OrganizationId>) -> Result<()> {
        let core = self.core();
        core.check()?;
        core.admit(organization.as_ref())?;
        let declined = core.store.decline_invitation(&core.by([]), self.user(), organization.as_ref());
        core.told("invitation.decline", declined)
    }
}

impl Core<'static> {
    /// What a refusal tells an administrator who acts in the user's name is on record too.
    fn told<R>(&self, by: &str, outcome: Result<R>) -> Result<R> {
        if outcome.is_err() {
            self.account(by, None, None)?;
        }
        outcome
    }

    /// Who changes memberships through this session, and by what grants.
    fn by<const N: usize>(&self, more: [Arc<Grant>; N]) -> By {
        By {
            actor: self.actor(),
            name: self.scope.user().cloned(),
            grants: self.grants.iter().cloned().chain(more).collect(),
            limits: self.limits().cloned(),
        }
    }
}

impl OrganizationAdmin {
    fn check(&self) -> Result<()> {
        self.by.check()?;
        // In a store that another process writes, memory can't tell.
        if self.session.core().store.is_read_only() && self.session.role()? != Role::Admin {
            return Err(Error::AccessDenied { reason: "the right to administer has ended".to_owned() });
        }
        Ok(())
    }

    fn organizations(&self) -> Result<Organizations<'_>> {
        self.check()?;
        Ok(Organizations::new(&self.session.core().store, self.by.clone()))
    }

    /// The organization.
    #[must_use]
    pub fn organization(&self) -> &OrganizationId {
        self.session.organization()
    }

    /// A page of the members in the order of their ids.
    ///
    /// # Errors
    ///
    /// [`Error::AccessDenied`] once the role is taken away, as with every call here.
    pub fn members(&self, after: Option<&UserId>, limit: u32) -> Result<Vec<Membership>> {
        self.organizations()?.members(self.organization(), after, limit)
    }

    /// Invites a user, who need not exist yet; inviting again replaces the invitation.
    ///
    /// # Errors
    ///
    /// As [`Organizations::invite`].
    pub fn invite(&self, user: &impl AsRef<UserId>, role: Role, expires: Option<Timestamp>) -> Result<()> {
        self.organizations()?.invite(self.organization(), user, role, expires)
    }

    /// Takes an invitation back.
    ///
    /// # Errors
    ///
    /// [`Error::NotInvited`].
    pub fn withdraw_invitation(&self, user: &impl AsRef<UserId>) -> Result<()> {
        self.organizations()?.withdraw_invitation(self.organization(), user)
    }

    /// A page of the invitations that are open, in the order of the users' ids.
    ///
    /// # Errors
    ///
    /// What every read can meet.
    pub fn invitations(&self, after: Option<&UserId>, limit: u32) -> Result<Vec<Invitation>> {
        self.organizations()?.invitations(self.organization(), after, limit)
    }

    /// Changes a member's role.
    ///
    /// # Errors
    ///
    /// [`Error::NotMember`], also for a user who does not exist; [`Error::AccessDenied`] for the only
    /// admin.
    pub fn set_role(&self, user: &impl AsRef<UserId>, role: Role) -> Result<()> {
        let outcome = self.organizations()?.set_role(self.organization(), user, role);
        self.unknown_as_no_member(user.as_ref(), outcome)
    }

    /// Ends a membership. The member's private records stay, for nobody else.
    ///
    /// # Errors
    ///
    /// As [`set_role`](Self::set_role).
    pub fn remove_member(&self, user: &impl AsRef<UserId>) -> Result<()> {
        let outcome = self.organizations()?.remove_member(self.organization(), user);
        self.unknown_as_no_member(user.as_ref(), outcome)
    }

    /// Changes the organization's display name.
    ///
    /// # Errors
    ///
    /// As [`Organizations::rename`].
    pub fn rename(&self, name: &str) -> Result<()> {
        self.organizations()?.rename(self.organization(), name)
    }

    /// Reads a member's private records in this organization. That it was opened, and each read, is an
    /// entry in the member's private log, with the reason.
    ///
    /// # Errors
    ///
    /// [`Error::NotMember`], also for a user who does not exist; [`Error::InvalidInput`] for a reason
    /// that is empty, of more than 1,000 bytes or with control characters; [`Error::ReadOnly`] in a
    /// store that can't put it on record.
    pub fn member_records(&self, user: &impl AsRef<UserId>, reason: &str) -> Result<MemberRecords> {
        validate_reason(reason)?;
        self.check()?;
        let core = self.session.core();
        let (scope, grant) =
            core.store.inspection((self.session.user(), &core.scope), user.as_ref(), self.organization())?;
        let grants = self.by.grants.iter().cloned().chain([grant]).collect();
        let mark = core.scope.mark().ok_or(Error::Closed)?;
        // A store admin who acts in the name of the organization's admin answers for it.
        let (admin, mark) = match &self.by.actor.admin {
            Some(authority) => (&authority.admin, authority.mark),
            None => (self.session.user(), mark),
        };
        let authority = Authority { admin: admin.clone(), mark, reason: reason.to_owned() };
        let records = MemberRecords::new(Arc::clone(&core.store), scope, grants, Some(Arc::new(authority)))
            .limited(core.limits().cloned());
        records.core().account("session", None, None)?;
        Ok(records)
    }

    /// Who exists is nothing that an organization's admin learns.
    fn unknown_as_no_member<T>(&self, user: &UserId, outcome: Result<T>) -> Result<T> {
        outcome.map_err(|error| match error {
            Error::UnknownUser { .. } => {
                Error::NotMember { user: user.to_string(), organization: self.organization().to_string() }
            }
            other => other,
        })
    }
}

impl std::fmt::Debug for OrganizationAdmin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("OrganizationAdmin").field(&self.session).finish()
    }
}
