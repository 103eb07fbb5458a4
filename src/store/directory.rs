//! Users, organizations and memberships, managed by the application itself. Each change is an
//! entry in the log of the tenant that it is about.

use std::sync::Arc;

use jiff::Timestamp;
use rusqlite::Connection;

use super::access::{By, Right};
use super::change::{Change, Mirror, created_user};
use super::invitations::{demoted, keeps_an_admin};
use super::quotas::Owner;
use super::{ExpiredLog, Inner, LogRetention, PoolClass, absent_as_none};
use crate::commit::Unit;
use crate::entity::{Tenancy, Value};
use crate::error::{Error, Result};
use crate::identity::{
    Membership, Organization, OrganizationId, Role, StoreRole, TenantKey, User, UserId, validate_name,
};
use crate::leave::Erasure;
use crate::monitor::TenantStats;
use crate::quota::{Quota, Usage};
use crate::schema::identities::{self, StoredUser};

/// The store's users. Made by [`Store::users`](crate::Store::users).
///
/// ```
/// # use tenantry::{Store, UserId};
/// # fn main() -> tenantry::Result<()> {
/// let store = Store::temporary()?;
/// let ada = store.users().create(&UserId::new("ada")?)?;
/// store.users().rename(&ada, "Ada Lovelace")?;
/// assert_eq!(store.users().list(None, 10)?[0].name, "Ada Lovelace");
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct Users<'s> {
    store: &'s Arc<Inner>,
    by: By,
}

impl<'s> Users<'s> {
    pub(crate) fn new(store: &'s Arc<Inner>, by: By) -> Self {
        Self { store, by }
    }

    pub(crate) fn inner(&self) -> &'s Arc<Inner> {
        self.store
    }

    pub(crate) fn by(&self) -> &By {
        &self.by
    }

    pub(crate) fn key(&self, id: &UserId, by: &str) -> Result<TenantKey> {
        // Whoever may not ask any more does not learn who exists.
        self.by.check()?;
        let found = self.store.read(|connection| Ok(identities::find_user(connection, id)?.key));
        self.store.found(&self.by, by, found)
    }

    /// Changes something of a user; what a refusal tells an administrator is on record too.
    fn change<R>(
        &self,
        id: &UserId,
        verb: &str,
        decide: impl FnOnce(&mut Unit) -> Result<(Change, R)>,
    ) -> Result<R> {
        self.told(id, verb, self.store.change(&self.by, decide))
    }

    /// What a refusal tells an administrator is on record too.
    fn told<R>(&self, id: &UserId, verb: &str, outcome: Result<R>) -> Result<R> {
        if self.by.is_told(&outcome) {
            self.look(id, verb)?;
        }
        outcome
    }

    /// The user's key; an administrator's look is on record.
    pub(super) fn look(&self, id: &UserId, by: &str) -> Result<TenantKey> {
        let key = self.key(id, by)?;
        self.store.look(&self.by, key, &[key], by).map(|()| key)
    }

    pub(super) fn now(&self) -> Timestamp {
        self.store.now()
    }

    pub(super) fn read<R>(&self, read: impl FnOnce(&Connection) -> Result<R>) -> Result<R> {
        self.store.read(read)
    }

    /// Creates a user.
    ///
    /// # Errors
    ///
    /// [`Error::Exists`] if the id is taken.
    pub fn create(&self, id: &impl AsRef<UserId>) -> Result<User> {
        let id = id.as_ref();
        self.change(id, "user.create", |unit| {
            let (mark, created) = (unit.new_mark()?, unit.now());
            let key = identities::create_tenant(unit.connection()?, "user")?;
            identities::create_user(unit.connection()?, key, mark, id, created.as_microsecond())?;
            Ok((
                created_user(key, mark, id),
                User { id: id.clone(), name: String::new(), role: StoreRole::User, disabled: false, created },
            ))
        })
    }

    /// The user of an id.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownUser`].
    pub fn get(&self, id: &impl AsRef<UserId>) -> Result<User> {
        self.look(id.as_ref(), "user.get")?;
        self.store.read(|connection| Ok(identities::find_user(connection, id.as_ref())?.value))
    }

    /// The user of an id, created if there is none.
    ///
    /// # Errors
    ///
    /// What every write can meet.
    pub fn get_or_create(&self, id: &impl AsRef<UserId>) -> Result<User> {
        match absent_as_none(self.get(id))? {
            Some(user) => Ok(user),
            None => match self.create(id) {
                Err(Error::Exists { .. }) => self.get(id),
                other => other,
            },
        }
    }

    /// Changes a user's display name.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownUser`], or [`Error::InvalidInput`] for a name of more than 1,000 bytes or
    /// with control characters.
    pub fn rename(&self, id: &impl AsRef<UserId>, name: &str) -> Result<()> {
        validate_name(name)?;
        self.change(id.as_ref(), "user.rename", |unit| {
            let user = identities::find_user(unit.connection()?, id.as_ref())?;
            identities::rename_user(unit.connection()?, user.key, name)?;
            Ok((Change::new(user.key, "user.rename").field("name", user.value.name, name).name(), ()))
        })
    }

    /// Makes a user a store admin, who can be given an [`AdminSession`](crate::AdminSession), or no
    /// longer one; sessions that rest on the role stop at their next call.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownUser`].
    pub fn set_role(&self, id: &impl AsRef<UserId>, role: StoreRole) -> Result<()> {
        self.change(id.as_ref(), "user.role", |unit| {
            let user = identities::find_user(unit.connection()?, id.as_ref())?;
            identities::set_user_role(unit.connection()?, user.key, role)?;
            let change =
                Change::new(user.key, "user.role").field("role", user.value.role.as_str(), role.as_str());
            Ok((
                if role == StoreRole::Admin { change } else { change.revoke(user.key, Right::Administer) },
                (),
            ))
        })
    }

    /// Disables a user: no new sessions, and the ones there are stop at their next call.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownUser`].
    pub fn disable(&self, id: &impl AsRef<UserId>) -> Result<()> {
        self.set_disabled(id.as_ref(), true)
    }

    /// Lets a disabled user in again; sessions from before stay ended.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownUser`].
    pub fn enable(&self, id: &impl AsRef<UserId>) -> Result<()> {
        self.set_disabled(id.as_ref(), false)
    }

    fn set_disabled(&self, id: &UserId, disabled: bool) -> Result<()> {
        let action = if disabled { "user.disable" } else { "user.enable" };
        self.change(id, action, |unit| {
            let user = identities::find_user(unit.connection()?, id)?;
            identities::disable_user(unit.connection()?, user.key, disabled)?;
            let change = Change::new(user.key, action).field("disabled", user.value.disabled, disabled);
            Ok((if disabled { change.revoke(user.key, Right::Reach) } else { change }, ()))
        })
    }

    /// Erases a user, for good: the records of entities of tenancy `user`, the private ones in every organization,
    /// what the logs of these say of contents, quotas, memberships, the display name and the id. Sessions end, and
    /// from then on everything answers as if the user had never been; the id can be given to somebody new, who shares
    /// nothing with who had it before.
    ///
    /// What stays: entries of the user's logs without contents, so that their chains verify, the last of which says
    /// `tenant.erase`; and what others wrote or had written of the user, which is theirs: an organization's records
    /// that name the id as author or in a column, and its log. They seem to name whoever has the id next, to whom a
    /// token also lets in that was issued before: better give it to nobody. Copies outside of the store stay too: backups,
    /// exports, what the disk keeps of former contents of files.
    ///
    /// It is one transaction (in a store of several files one decision, which is followed in each whatever
    /// happens meanwhile), after which nobody reaches anything of it. Then no byte of it is left in the files either, once
    /// they are built anew, of which [`Store::scrub`](crate::Store::scrub) says more; [`Erasure::scrubbed`] tells
    /// whether that is done.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownUser`]; [`Error::Busy`] while the user or one of its organizations is being moved to another
    /// partition. None once the user is erased: if files can't be scrubbed now, `scrubbed` says so.
    ///
    /// ```
    /// # use tenantry::{Entity, Error, Store, UserId};
    /// # #[derive(Entity)] struct Task { title: String }
    /// # fn main() -> tenantry::Result<()> {
    /// # let store = Store::builder().entity::<Task>().temporary()?;
    /// let ada = store.users().create(&UserId::new("ada")?)?;
    /// let session = store.session(&ada)?;
    /// session.insert(&Task { title: "Dig".into() })?;
    ///
    /// let erased = store.users().erase(&ada)?;
    /// assert_eq!((erased.rows, erased.payloads, erased.scrubbed), (1, 2, true));
    /// assert!(matches!(session.count::<Task>(), Err(Error::UnknownUser { .. })));
    /// assert!(matches!(store.users().get(&ada), Err(Error::UnknownUser { .. })));
    /// # Ok(()) }
    /// ```
    pub fn erase(&self, id: &impl AsRef<UserId>) -> Result<Erasure> {
        self.store.found(&self.by, "tenant.erase", self.store.erase_user(&self.by, id.as_ref()))
    }

    /// A page of users in the order of their ids: those after `after`, at most `limit`.
    ///
    /// # Errors
    ///
    /// What every read can meet.
    pub fn list(&self, after: Option<&UserId>, limit: u32) -> Result<Vec<User>> {
        self.store.look_at_all(&self.by, "user.list")?;
        self.store.read(|connection| identities::users(connection, after, limit))
    }

    /// Which connections the user's sessions read on, until the store is closed. It is how a user who
    /// reads much can be kept from slowing others, or the other way round.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownUser`].
    pub fn set_pool(&self, id: &impl AsRef<UserId>, class: PoolClass) -> Result<()> {
        let key = self.look(id.as_ref(), "pool")?;
        self.store.set_pool(key, class);
        Ok(())
    }

    /// Gives a user a quota of its own for an entity of tenancy `user`, in place of the one that every
    /// user has; `None` takes it away again. What is there already stays, also above it.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownUser`]; [`Error::Schema`] if the store has no such entity;
    /// [`Error::InvalidInput`] if it has another tenancy.
    ///
    /// ```
    /// # use tenantry::{Entity, Error, Quota, Store, UserId};
    /// # #[derive(Entity)] struct Task { title: String }
    /// # fn main() -> tenantry::Result<()> {
    /// # let store = Store::builder().entity::<Task>().temporary()?;
    /// let ada = store.users().create(&UserId::new("ada")?)?;
    /// store.users().set_quota(&ada, "task", Some(Quota::none().rows(1)))?;
    /// let session = store.session(&ada)?;
    /// session.insert(&Task { title: "Dig".into() })?;
    /// let second = session.insert(&Task { title: "Plant".into() });
    /// assert!(matches!(second, Err(Error::QuotaExceeded { max: 1, .. })));
    /// # Ok(()) }
    /// ```
    pub fn set_quota(&self, id: &impl AsRef<UserId>, entity: &str, quota: Option<Quota>) -> Result<()> {
        let key = self.key(id.as_ref(), "quota.set")?;
        let set = self.store.set_quota(&self.by, Owner::at_home(key, Tenancy::User), entity, quota);
        self.told(id.as_ref(), "quota.set", set)
    }

    /// What a user has of an entity of tenancy `user`, and may have.
    ///
    /// # Errors
    ///
    /// As [`set_quota`](Self::set_quota).
    pub fn usage(&self, id: &impl AsRef<UserId>, entity: &str) -> Result<Usage> {
        let key = self.look(id.as_ref(), "usage")?;
        self.store.usage(Owner::at_home(key, Tenancy::User), entity)
    }

    /// What a user's own records are, and what its sessions did since the store was opened.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownUser`].
    pub fn stats(&self, id: &impl AsRef<UserId>) -> Result<TenantStats> {
        let key = self.look(id.as_ref(), "stats")?;
        self.store.stats_of(key)
    }

    /// Deletes of a user's log what need not be kept any longer: payloads, or whole entries. The log says so
    /// itself and stays verifiable. It takes several transactions, so that others can write in between; if it
    /// ends in the middle, the next call finishes it.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownUser`]; [`Error::InvalidInput`] for a time in the future; [`Error::Corrupt`] if the
    /// log does not verify, of which nothing is deleted then; [`Error::Busy`] while the user is being moved
    /// to another partition.
    ///
    /// ```
    /// # use tenantry::{Entity, LogRetention, Store, Timestamp, UserId};
    /// # #[derive(Entity)] struct Task { title: String }
    /// # fn main() -> tenantry::Result<()> {
    /// # let store = Store::builder().entity::<Task>().temporary()?;
    /// let ada = store.users().create(&UserId::new("ada")?)?;
    /// let session = store.session(&ada)?;
    /// session.insert(&Task { title: "Tea".into() })?;
    /// let old = LogRetention { payloads_before: Some(Timestamp::now()), ..LogRetention::default() };
    /// assert_eq!(store.users().expire_log(&ada, old)?.payloads, 2);
    /// assert!(session.audit().list()?[1].changes.is_none());
    /// assert!(session.audit().verify()?.is_intact());
    /// # Ok(()) }
    /// ```
    pub fn expire_log(&self, id: &impl AsRef<UserId>, retention: LogRetention) -> Result<ExpiredLog> {
        let key = self.key(id.as_ref(), "audit.expire")?;
        let expired = self.store.expire_logs(&self.by, key, &[key], retention);
        self.told(id.as_ref(), "audit.expire", expired)
    }

    /// The organizations that a user is a member of, and the role in each.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownUser`].
    pub fn organizations(&self, id: &impl AsRef<UserId>) -> Result<Vec<(OrganizationId, Role)>> {
        let key = self.look(id.as_ref(), "memberships")?;
        self.store.read(|connection| identities::memberships(connection, key))
    }
}

/// The store's organizations and their members. Made by
/// [`Store::organizations`](crate::Store::organizations).
///
/// ```
/// # use tenantry::{OrganizationId, Role, Store, UserId};
/// # fn main() -> tenantry::Result<()> {
/// let store = Store::temporary()?;
/// let ada = store.users().create(&UserId::new("ada")?)?;
/// let acme = store.organizations().create(&OrganizationId::new("acme")?)?;
/// store.organizations().add_member(&acme, &ada, Role::Admin)?;
/// let session = store.session(&ada)?.in_organization(&acme)?;
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct Organizations<'s> {
    store: &'s Arc<Inner>,
    by: By,
}

impl<'s> Organizations<'s> {
    pub(crate) fn new(store: &'s Arc<Inner>, by: By) -> Self {
        Self { store, by }
    }

    pub(crate) fn inner(&self) -> &'s Arc<Inner> {
        self.store
    }

    pub(crate) fn by(&self) -> &By {
        &self.by
    }

    pub(crate) fn key(&self, id: &OrganizationId, by: &str) -> Result<TenantKey> {
        self.by.check()?;
        let found = self.store.read(|connection| Ok(identities::find_organization(connection, id)?.key));
        self.store.found(&self.by, by, found)
    }

    /// The organization's key; an administrator's look is on record.
    pub(super) fn look(&self, id: &OrganizationId, by: &str) -> Result<TenantKey> {
        let key = self.key(id, by)?;
        self.store.look(&self.by, key, &[key], by).map(|()| key)
    }

    pub(super) fn now(&self) -> Timestamp {
        self.store.now()
    }

    pub(super) fn read<R>(&self, read: impl FnOnce(&Connection) -> Result<R>) -> Result<R> {
        self.store.read(read)
    }

    /// Changes something of an organization.
    pub(super) fn change<R>(
        &self,
        id: &OrganizationId,
        verb: &str,
        decide: impl FnOnce(&mut Unit) -> Result<(Change, R)>,
    ) -> Result<R> {
        self.told(id, verb, self.store.change(&self.by, decide))
    }

    /// What a refusal tells an administrator is on record too.
    fn told<R>(&self, id: &OrganizationId, verb: &str, outcome: Result<R>) -> Result<R> {
        if self.by.is_told(&outcome) {
            self.look(id, verb)?;
        }
        outcome
    }

    /// Creates an organization without members.
    ///
    /// # Errors
    ///
    /// [`Error::Exists`] if the id is taken.
    pub fn create(&self, id: &impl AsRef<OrganizationId>) -> Result<Organization> {
        let id = id.as_ref();
        self.change(id, "organization.create", |unit| {
            let (connection, created) = (unit.connection()?, unit.now());
            let key = identities::create_tenant(connection, "organization")?;
            identities::create_organization(connection, key, id, created.as_microsecond())?;
            let change = Change::new(key, "organization.create")
                .field("id", Value::None, id.as_str())
                .mirror(Mirror::Organization { key: key.get(), id: Some(id.clone()) });
            Ok((change, Organization { id: id.clone(), name: String::new(), disabled: false, created }))
        })
    }

    /// The organization of an id.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownOrganization`].
    pub fn get(&self, id: &impl AsRef<OrganizationId>) -> Result<Organization> {
        self.look(id.as_ref(), "organization.get")?;
        self.store.read(|connection| Ok(identities::find_organization(connection, id.as_ref())?.value))
    }

    /// Changes an organization's display name.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownOrganization`], or [`Error::InvalidInput`] for a name of more than 1,000
    /// bytes or with control characters.
    pub fn rename(&self, id: &impl AsRef<OrganizationId>, name: &str) -> Result<()> {
        validate_name(name)?;
        self.change(id.as_ref(), "organization.rename", |unit| {
            let organization = identities::find_organization(unit.connection()?, id.as_ref())?;
            identities::rename_organization(unit.connection()?, organization.key, name)?;
            let change = Change::new(organization.key, "organization.rename");
            Ok((change.field("name", organization.value.name, name), ()))
        })
    }

    /// Disables an organization: no new sessions in it, and the ones there are stop at their
    /// next call.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownOrganization`].
    pub fn disable(&self, id: &impl AsRef<OrganizationId>) -> Result<()> {
        self.set_disabled(id.as_ref(), true)
    }

    /// Lets members of a disabled organization in again; sessions from before stay ended.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownOrganization`].
    pub fn enable(&self, id: &impl AsRef<OrganizationId>) -> Result<()> {
        self.set_disabled(id.as_ref(), false)
    }

    fn set_disabled(&self, id: &OrganizationId, disabled: bool) -> Result<()> {
        let action = if disabled { "organization.disable" } else { "organization.enable" };
        self.change(id, action, |unit| {
            let organization = identities::find_organization(unit.connection()?, id)?;
            identities::disable_organization(unit.connection()?, organization.key, disabled)?;
            let change = Change::new(organization.key, action).field(
                "disabled",
                organization.value.disabled,
                disabled,
            );
            Ok((if disabled { change.revoke(organization.key, Right::Reach) } else { change }, ()))
        })
    }

    /// Erases an organization, as [`Users::erase`] does a user: its records, its members' private ones in it, what the
    /// logs of these say of contents, memberships, the name and the id. Its members stay users.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownOrganization`], and as [`Users::erase`].
    ///
    /// ```
    /// # use tenantry::{Error, OrganizationId, Role, Store, UserId};
    /// # fn main() -> tenantry::Result<()> {
    /// # let store = Store::temporary()?;
    /// # let ada = store.users().create(&UserId::new("ada")?)?;
    /// let acme = store.organizations().create(&OrganizationId::new("acme")?)?;
    /// store.organizations().add_member(&acme, &ada, Role::Admin)?;
    /// store.organizations().erase(&acme)?;
    /// assert!(matches!(store.organizations().get(&acme), Err(Error::UnknownOrganization { .. })));
    /// assert!(store.users().organizations(&ada)?.is_empty());
    /// # Ok(()) }
    /// ```
    pub fn erase(&self, id: &impl AsRef<OrganizationId>) -> Result<Erasure> {
        self.store.found(&self.by, "tenant.erase", self.store.erase_organization(&self.by, id.as_ref()))
    }

    /// Which connections sessions in the organization read on, until the store is closed.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownOrganization`].
    pub fn set_pool(&self, id: &impl AsRef<OrganizationId>, class: PoolClass) -> Result<()> {
        let key = self.look(id.as_ref(), "pool")?;
        self.store.set_pool(key, class);
        Ok(())
    }

    /// Gives an organization a quota of its own for an entity of tenancy `organization`, in place of
    /// the one that every organization has; `None` takes it away again. What is there already stays,
    /// also above it.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownOrganization`]; [`Error::Schema`] if the store has no such entity;
    /// [`Error::InvalidInput`] if it has another tenancy.
    pub fn set_quota(
        &self,
        id: &impl AsRef<OrganizationId>,
        entity: &str,
        quota: Option<Quota>,
    ) -> Result<()> {
        let key = self.key(id.as_ref(), "quota.set")?;
        let set = self.store.set_quota(&self.by, Owner::at_home(key, Tenancy::Organization), entity, quota);
        self.told(id.as_ref(), "quota.set", set)
    }

    /// What an organization has of an entity of tenancy `organization`, and may have.
    ///
    /// # Errors
    ///
    /// As [`set_quota`](Self::set_quota).
    pub fn usage(&self, id: &impl AsRef<OrganizationId>, entity: &str) -> Result<Usage> {
        let key = self.look(id.as_ref(), "usage")?;
        self.store.usage(Owner::at_home(key, Tenancy::Organization), entity)
    }

    /// Gives one member a quota of its own for an entity of tenancy `member`, in place of the one that
    /// every member of every organization has; `None` takes it away again. There is none for all of an
    /// organization's members together, since it would tell them of each other's private records.
    ///
    /// # Errors
    ///
    /// [`Error::NotMember`], [`Error::UnknownOrganization`] or [`Error::UnknownUser`];
    /// [`Error::Schema`] if the store has no such entity; [`Error::InvalidInput`] if it has another
    /// tenancy.
    pub fn set_member_quota(
        &self,
        organization: &impl AsRef<OrganizationId>,
        user: &impl AsRef<UserId>,
        entity: &str,
        quota: Option<Quota>,
    ) -> Result<()> {
        let owner = self.member(organization.as_ref(), user.as_ref(), "quota.set")?;
        let set = self.store.set_quota(&self.by, owner, entity, quota);
        self.told(organization.as_ref(), "quota.set", set)
    }

    /// What one member has of an entity of tenancy `member`, and may have.
    ///
    /// # Errors
    ///
    /// As [`set_member_quota`](Self::set_member_quota).
    pub fn member_usage(
        &self,
        organization: &impl AsRef<OrganizationId>,
        user: &impl AsRef<UserId>,
        entity: &str,
    ) -> Result<Usage> {
        let owner = self.member(organization.as_ref(), user.as_ref(), "usage")?;
        self.store.look(&self.by, owner.home, &[owner.tenant], "usage")?;
        self.store.usage(owner, entity)
    }

    fn member(&self, organization: &OrganizationId, user: &UserId, by: &str) -> Result<Owner> {
        self.by.check()?;
        let found = self.store.read(|connection| {
            let (home, _, member) = active_member(connection, organization, user)?;
            Ok(Owner { home, tenant: member.key, tenancy: Tenancy::Member })
        });
        self.told(organization, by, found)
    }

    /// Deletes of an organization's log, and of those of all who are or were its members, what need not be
    /// kept any longer, as [`Users::expire_log`] does. What went, of all of them.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownOrganization`], and as [`Users::expire_log`]; logs that came before the one that
    /// failed are done.
    pub fn expire_log(&self, id: &impl AsRef<OrganizationId>, retention: LogRetention) -> Result<ExpiredLog> {
        let home = self.key(id.as_ref(), "audit.expire")?;
        let members = self.store.read(|connection| identities::all_members(connection, home))?;
        let members = members.into_iter().map(|(member, ..)| member.key);
        let logs: Vec<TenantKey> = std::iter::once(home).chain(members).collect();
        let expired = self.store.expire_logs(&self.by, home, &logs, retention);
        self.told(id.as_ref(), "audit.expire", expired)
    }

    /// What an organization and its members hold, and what sessions in it did since the store was
    /// opened.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownOrganization`].
    pub fn stats(&self, id: &impl AsRef<OrganizationId>) -> Result<TenantStats> {
        let key = self.look(id.as_ref(), "stats")?;
        self.store.stats_of(key)
    }

    /// A page of organizations in the order of their ids: those after `after`, at most `limit`.
    ///
    /// # Errors
    ///
    /// What every read can meet.
    pub fn list(&self, after: Option<&OrganizationId>, limit: u32) -> Result<Vec<Organization>> {
        self.store.look_at_all(&self.by, "organization.list")?;
        self.store.read(|connection| identities::organizations(connection, after, limit))
    }

    /// Makes a user a member. Somebody who was one before finds their own private records again.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownOrganization`], [`Error::UnknownUser`], or [`Error::Exists`] if the user is
    /// a member already.
    pub fn add_member(
        &self,
        organization: &impl AsRef<OrganizationId>,
        user: &impl AsRef<UserId>,
        role: Role,
    ) -> Result<()> {
        let (organization, user) = (organization.as_ref(), user.as_ref());
        self.change(organization, "member.add", |unit| {
            let organization = identities::find_organization(unit.connection()?, organization)?.key;
            let added = identities::find_user(unit.connection()?, user)?;
            let key = join(unit, organization, &added, role)?;
            identities::remove_invitation(unit.connection()?, organization, user)?;
            let change = Change::new(organization, "member.add")
                .field("user", Value::None, user.clone())
                .field("role", Value::None, role.as_str())
                .mirror(Mirror::member(key, organization, (added.key, added.mark, Some(user)), role, true));
            Ok((change, ()))
        })
    }

    /// Changes a member's role.
    ///
    /// # Errors
    ///
    /// [`Error::NotMember`], [`Error::UnknownOrganization`] or [`Error::UnknownUser`].
    pub fn set_role(
        &self,
        organization: &impl AsRef<OrganizationId>,
        user: &impl AsRef<UserId>,
        role: Role,
    ) -> Result<()> {
        let (organization, user) = (organization.as_ref(), user.as_ref());
        self.change(organization, "member.role", |unit| {
            let (organization, StoredUser { key: user_key, mark, .. }, member) =
                active_member(unit.connection()?, organization, user)?;
            if role != Role::Admin {
                keeps_an_admin(unit.connection()?, &self.by, organization, member.role)?;
            }
            identities::update_member(unit.connection()?, member.key, role, true)?;
            let change = Change::new(organization, "member.role")
                .field("user", user.clone(), user.clone())
                .field("role", member.role.as_str(), role.as_str())
                .mirror(Mirror::member(member.key, organization, (user_key, mark, Some(user)), role, true));
            Ok((demoted(change, member.key, role), ()))
        })
    }

    /// Ends a membership: the user's sessions in the organization stop at their next call. Their
    /// private records stay, for nobody else, and are there again if they come back.
    ///
    /// # Errors
    ///
    /// [`Error::NotMember`], [`Error::UnknownOrganization`] or [`Error::UnknownUser`].
    pub fn remove_member(
        &self,
        organization: &impl AsRef<OrganizationId>,
        user: &impl AsRef<UserId>,
    ) -> Result<()> {
        let (organization, user) = (organization.as_ref(), user.as_ref());
        self.change(organization, "member.remove", |unit| {
            let (organization, StoredUser { key: user_key, mark, .. }, member) =
                active_member(unit.connection()?, organization, user)?;
            keeps_an_admin(unit.connection()?, &self.by, organization, member.role)?;
            identities::update_member(unit.connection()?, member.key, member.role, false)?;
            let change = Change::new(organization, "member.remove")
                .field("user", user.clone(), Value::None)
                .field("role", member.role.as_str(), Value::None)
                .mirror(Mirror::member(
                    member.key,
                    organization,
                    (user_key, mark, Some(user)),
                    member.role,
                    false,
                ))
                .revoke(member.key, Right::Reach);
            Ok((change, ()))
        })
    }

    /// A page of members in the order of their users' ids: those after `after`, at most `limit`.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownOrganization`].
    pub fn members(
        &self,
        organization: &impl AsRef<OrganizationId>,
        after: Option<&UserId>,
        limit: u32,
    ) -> Result<Vec<Membership>> {
        let key = self.look(organization.as_ref(), "members")?;
        self.store.read(|connection| identities::members(connection, key, after, limit))
    }
}

/// The organization's key, the user's, and the membership.
fn active_member(
    connection: &Connection,
    organization: &OrganizationId,
    user: &UserId,
) -> Result<(TenantKey, StoredUser, identities::StoredMember)> {
    let organization_key = identities::find_organization(connection, organization)?.key;
    let stored = identities::find_user(connection, user)?;
    identities::find_member(connection, organization_key, stored.key)?
        .filter(|member| member.active)
        .map(|member| (organization_key, stored, member))
        .ok_or_else(|| Error::NotMember { user: user.to_string(), organization: organization.to_string() })
}

/// Makes a user a member, whom they stay if they were one before; the member's key.
pub(super) fn join(
    unit: &mut Unit,
    organization: TenantKey,
    user: &StoredUser,
    role: Role,
) -> Result<TenantKey> {
    let connection = unit.connection()?;
    match identities::find_member(connection, organization, user.key)? {
        Some(member) if member.active => Err(Error::Exists { id: user.value.id.to_string() }),
        Some(member) => {
            identities::update_member(connection, member.key, role, true)?;
            Ok(member.key)
        }
        None => {
            let key = identities::create_tenant(connection, "member")?;
            let now = unit.now().as_microsecond();
            identities::create_member(connection, key, organization, user.key, role, now)?;
            Ok(key)
        }
    }
}
