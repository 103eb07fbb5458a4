//! Administering a store: audited work across tenants, never without a reason.

mod report;

use std::fmt;
use std::sync::Arc;

pub use report::{TenantReport, TenantReportPage};

use crate::audit::{MissQuery, MissReport};
use crate::commit::{Actor, Authority};
use crate::entity::{Entity, Fields};
use crate::error::{Error, Result};
use crate::identity::{OrganizationId, StoreRole, TenantName, UserId, validate_reason};
use crate::schema::identities;
use crate::scope::Scope;
use crate::session::{Limits, OrganizationSession, ReferenceSession, TenantSession};
use crate::store::{By, Grant, Inner, Looked, Organizations, Refusal, Right, Users};

/// A store admin's session. Made by [`Store::admin`](crate::Store::admin) and `Store::admin_from_token` (feature
/// `jwt`), which check the user's role, and by nothing else; it stops working, at its next call, when the
/// role is taken away, the user is disabled, or the token expires.
///
/// Whatever it does with a tenant is an entry in that tenant's log, which the tenant can read, with
/// the admin's name and the reason: changes as they are, and looks as `access`. Lists of users and
/// organizations are entries in the admin's own log, and so is whom it looked for in vain. There is no
/// call that reads the rows of all tenants: [reports](Self::report) hold one aggregate for each.
///
/// A look that can't be put on record does not happen. So its sessions read only where they could write:
/// while a thread has a transaction open, through its handle, and else with [`Error::Busy`].
///
/// ```
/// # use tenantry::{Entity, Store, StoreRole, UserId};
/// # #[derive(Entity)] struct Task { title: String }
/// # fn main() -> tenantry::Result<()> {
/// # let store = Store::builder().entity::<Task>().temporary()?;
/// let ada = store.users().create(&UserId::new("ada")?)?;
/// let root = store.users().create(&UserId::new("root")?)?;
/// store.users().set_role(&root, StoreRole::Admin)?;
///
/// let admin = store.admin(&root, "ticket 4711: a task is missing")?;
/// let found = admin.session(&ada)?.list::<Task>()?;
/// admin.users().disable(&ada)?;
///
/// let log = admin.session(&ada)?.audit().newest_first().list()?;
/// let disabled = log.iter().find(|entry| entry.action == "user.disable").unwrap();
/// assert_eq!(disabled.admin, Some(root.id));
/// assert_eq!(disabled.reason.as_deref(), Some("ticket 4711: a task is missing"));
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct AdminSession {
    store: Arc<Inner>,
    authority: Arc<Authority>,
    grant: Arc<Grant>,
    /// Of the token that it was made from.
    limits: Option<Arc<Limits>>,
}

impl AdminSession {
    /// Checks that the user is a store admin, and puts the opening on record in the admin's log.
    pub(crate) fn open(
        store: &Arc<Inner>,
        user: &UserId,
        reason: &str,
        limits: Option<Arc<Limits>>,
    ) -> Result<Self> {
        validate_reason(reason)?;
        store.check_open()?;
        if store.is_read_only() {
            return Err(Error::ReadOnly {
                reason: "administering puts each look on record, and the store is open only for reading"
                    .to_owned(),
            });
        }
        let (scope, grant, found) = store.read(|connection| {
            let found = identities::find_user(connection, user)?;
            let grant = store.grants.take(found.key, Right::Administer);
            // Looked up again, now that the grant is taken.
            let found = identities::find_user(connection, user)?;
            let scope = Scope::User { user: user.clone(), key: found.key, mark: found.mark };
            Ok((scope, grant, found.value))
        })?;
        let refused = match found {
            _ if found.disabled => Some(("disabled", Error::Disabled { id: user.to_string() })),
            _ if found.role != StoreRole::Admin => {
                let reason = format!("{:?} is no admin of the store", user.as_str());
                Some(("not_admin", Error::AccessDenied { reason }))
            }
            _ => None,
        };
        if let Some((outcome, error)) = refused {
            let actor = Actor { user: scope.mark(), admin: None };
            let refusal =
                Refusal { user: grant.tenant, actor, outcome, what: Some(("admin", user.to_string())) };
            return Err(store.refuse(refusal, error));
        }
        let mark = scope.mark().ok_or(Error::Closed)?;
        let authority = Authority { admin: user.clone(), mark, reason: reason.to_owned() };
        let session = Self { store: Arc::clone(store), authority: Arc::new(authority), grant, limits };
        session.store.look_at_all(&session.by(), "admin")?;
        Ok(session)
    }

    fn by(&self) -> By {
        let actor = Actor { user: Some(self.authority.mark), admin: Some(Arc::clone(&self.authority)) };
        By {
            actor,
            name: Some(self.authority.admin.clone()),
            grants: Arc::new([Arc::clone(&self.grant)]),
            limits: self.limits.clone(),
        }
    }

    /// The admin.
    #[must_use]
    pub fn admin(&self) -> &UserId {
        &self.authority.admin
    }

    /// Why this session acts.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.authority.reason
    }

    /// The same session, for another reason.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidInput`], as [`Store::admin`](crate::Store::admin).
    pub fn with_reason(&self, reason: &str) -> Result<Self> {
        validate_reason(reason)?;
        let authority = Authority { reason: reason.to_owned(), ..(*self.authority).clone() };
        Ok(Self { authority: Arc::new(authority), ..self.clone() })
    }

    /// Users: list, create, rename, disable, quotas, roles.
    #[must_use]
    pub fn users(&self) -> Users<'_> {
        Users::new(&self.store, self.by())
    }

    /// Organizations and their members.
    #[must_use]
    pub fn organizations(&self) -> Organizations<'_> {
        Organizations::new(&self.store, self.by())
    }

    /// A session with one user's records, also of a disabled one. Its entries name the user and the
    /// admin; each read is one too.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownUser`]; [`Error::AccessDenied`] once the role was taken away, as with every
    /// call here.
    pub fn session(&self, user: &impl AsRef<UserId>) -> Result<TenantSession> {
        let by = self.by();
        by.check()?;
        let found = self.store.user_scope(user.as_ref());
        let (scope, grant, _) = self.store.found(&by, "session", found)?;
        let grants = vec![grant, Arc::clone(&self.grant)];
        let session =
            TenantSession::new(Arc::clone(&self.store), scope, grants, Some(Arc::clone(&self.authority)))
                .limited(self.limits.clone());
        session.core().account("session", None, None)?;
        Ok(session)
    }

    /// A session with an organization's records and one member's own in it.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownUser`], or [`Error::NotMember`].
    pub fn session_in(
        &self,
        organization: &impl AsRef<OrganizationId>,
        member: &impl AsRef<UserId>,
    ) -> Result<OrganizationSession> {
        self.session(member)?.in_organization(organization)
    }

    /// The session that writes reference entities, in this admin's name. What it does and looks at is
    /// in their log.
    ///
    /// # Errors
    ///
    /// [`Error::AccessDenied`] once the role was taken away.
    pub fn reference(&self) -> Result<ReferenceSession> {
        self.by().check()?;
        let (store, grants) = (Arc::clone(&self.store), vec![Arc::clone(&self.grant)]);
        let session =
            ReferenceSession::new(store, Scope::Reference, grants, Some(Arc::clone(&self.authority)));
        let session = session.limited(self.limits.clone());
        session.core().account("session", None, None)?;
        Ok(session)
    }

    /// Which ids a tenant was asked for that it does not have, and whether they are another tenant's, so
    /// that an attack is visible. The tenant finds an entry in its log. An organization's misses are of
    /// the records that its members share; those of private records are with the member.
    ///
    /// It looks through the ids of all records of the entities that were asked for, once.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownUser`], [`Error::UnknownOrganization`] or [`Error::NotMember`] for a tenant that
    /// is not there; [`Error::AccessDenied`] once the role was taken away.
    ///
    /// ```
    /// # use tenantry::{Entity, MissKind, MissQuery, Store, StoreRole, TenantName, UserId};
    /// # #[derive(Entity)] struct Task { title: String }
    /// # fn main() -> tenantry::Result<()> {
    /// # let store = Store::builder().entity::<Task>().temporary()?;
    /// # let ada = store.users().create(&UserId::new("ada")?)?;
    /// # let eve = store.users().create(&UserId::new("eve")?)?;
    /// # let root = store.users().create(&UserId::new("root")?)?;
    /// # store.users().set_role(&root, StoreRole::Admin)?;
    /// let id = store.session(&ada)?.insert(&Task { title: "Dig".into() })?;
    /// assert!(store.session(&eve)?.find(id)?.is_none());
    ///
    /// let admin = store.admin(&root, "ticket 4712: eve tries ids")?;
    /// let report = admin.misses(&TenantName::User(eve.id), &MissQuery::new())?;
    /// assert_eq!(report.groups[0].count(MissKind::Foreign), 1);
    /// # Ok(()) }
    /// ```
    pub fn misses(&self, tenant: &TenantName, query: &MissQuery) -> Result<MissReport> {
        let by = self.by();
        by.check()?;
        let found = self.store.read(|connection| identities::owning(connection, tenant));
        let owning = self.store.found(&by, "misses", found)?;
        let home = owning.organization.unwrap_or(owning.key);
        let looked = Looked { by: "misses", entity: None };
        self.store.account(&by.actor, home, &[owning.key], &looked, || by.check())?;
        self.store.misses(home, owning.key, query)
    }

    /// One aggregate for each owner of an entity's records: how many, the sum, the smallest.
    ///
    /// # Errors
    ///
    /// [`Error::Schema`] if the entity is not registered; [`Error::InvalidInput`] for a reference
    /// entity, whose records belong to nobody.
    pub fn report<E: Entity>(&self) -> Result<TenantReport<'_, E>> {
        TenantReport::new(self, self.store.table_of::<E>()?)
    }

    /// The same of an entity by name.
    ///
    /// # Errors
    ///
    /// As [`report`](Self::report).
    pub fn report_of(&self, entity: &str) -> Result<TenantReport<'_, Fields>> {
        TenantReport::new(self, self.store.catalog().get(entity)?)
    }
}

impl fmt::Debug for AdminSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AdminSession")
            .field("admin", &self.authority.admin)
            .field("reason", &self.authority.reason)
            .finish_non_exhaustive()
    }
}
