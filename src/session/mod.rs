//! The public verbs: sessions, transactions, queries.

mod dynamic;
mod entries;
mod history;
mod limits;
mod manage;
mod query;
mod reading;
mod reads;
mod records;
mod sql;
mod transaction;
mod verbs;

use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

use rusqlite::Connection;
use uuid::Uuid;

pub use dynamic::Dynamic;
pub use entries::AuditEntries;
pub use history::{Audit, AuditPage, ChangedRecord};
pub(crate) use limits::Limits;
pub use manage::{MemberRecords, OrganizationAdmin};
pub use query::{Joined, JoinedPage, Page, Pair, Query};
pub(crate) use reading::Reading;
pub use reads::{ReadPage, Reads};
pub use records::Records;
pub use transaction::Transaction;
pub use verbs::{Upserted, Verbs};

use crate::cache::Cache;
use crate::commit::{self, Actor, Authority, Changes, Unit};
use crate::entity::{Tenancy, Value};
use crate::error::{Error, Result};
use crate::identity::{OrganizationId, Role, TenantKey, UserId};
use crate::monitor::Operation;
use crate::query::Spec;
use crate::schema::identities;
use crate::scope::Scope;
use crate::sql::SqlLimits;
use crate::statement::{Reach, Select, Table};
use crate::store::{
    Asking, Begun, By, ExpiredLog, Grant, Inner, LogRetention, Looked, Refusal, Right, Snapshot,
};
use crate::tenancy;

/// A session bound to one tenant scope; see [`TenantSession`] and [`OrganizationSession`].
///
/// Cheap to clone, `Send + Sync`. Its verbs are those of [`Verbs`]. It stops working, at its next
/// call, when its user is disabled or its membership ends; and one from a token, with all that was made
/// from it, when the token expires.
pub struct Session<S: tenancy::Scope> {
    verbs: Verbs<'static, S>,
    sql_limits: SqlLimits,
}

/// A session bound to one user: reads and writes that user's records, and reads reference
/// entities. Made by [`Store::session`](crate::Store::session).
pub type TenantSession = Session<tenancy::User>;

/// A session bound to one user within one organization: reads and writes the organization's
/// records and the member's own. Made by [`TenantSession::in_organization`].
pub type OrganizationSession = Session<tenancy::Organization>;

/// The session that writes reference entities, as the application itself. Made by
/// [`Store::reference`](crate::Store::reference).
pub type ReferenceSession = Session<tenancy::Reference>;

impl<S: tenancy::Scope> Session<S> {
    pub(crate) fn new(
        store: Arc<Inner>,
        scope: Scope,
        grants: Vec<Arc<Grant>>,
        authority: Option<Arc<Authority>>,
    ) -> Self {
        let sql_limits = store.sql_limits();
        let (scope, grants) = (Arc::new(scope), grants.into());
        let core = Core {
            store,
            scope,
            grants,
            authority,
            accounted: false,
            limits: None,
            executor: Executor::Store,
        };
        Self { verbs: Verbs::new(core), sql_limits }
    }

    /// The same session of an administrator, whose looks are on record already.
    pub(crate) fn accounted(mut self) -> Self {
        self.verbs.core.accounted = true;
        self
    }

    /// The same session with what its token allows.
    pub(crate) fn limited(mut self, limits: Option<Arc<Limits>>) -> Self {
        self.verbs.core.limits = limits;
        self
    }

    pub(crate) fn core(&self) -> &Core<'static> {
        &self.verbs.core
    }

    /// Runs several verbs as one: commits if the closure returns `Ok`, rolls back if it returns
    /// `Err` or panics. Nobody sees the changes before the commit; reads through the handle do, and
    /// reads through a session, on whatever thread, see what is committed.
    ///
    /// While the closure runs, write through its handle: a write through a session on the same
    /// thread answers [`Error::Busy`].
    ///
    /// # Errors
    ///
    /// What the closure returns; wrap an error of your own in [`Error::aborted`].
    ///
    /// ```
    /// # use tenantry::{Entity, Store, UserId, Error};
    /// # #[derive(Entity)] struct Task { title: String }
    /// # fn main() -> tenantry::Result<()> {
    /// # let store = Store::builder().entity::<Task>().temporary()?;
    /// # let session = store.session(&store.users().create(&UserId::new("ada")?)?)?;
    /// session.transaction(|tx| {
    ///     tx.insert(&Task { title: "Dig".into() })?;
    ///     tx.insert(&Task { title: "Plant".into() })
    /// })?;
    /// assert_eq!(session.count::<Task>()?, 2);
    /// # Ok(()) }
    /// ```
    pub fn transaction<R>(&self, run: impl FnOnce(&Transaction<'_, S>) -> Result<R>) -> Result<R> {
        let core = self.core();
        core.store.monitor.observe(Operation::Transaction, "", &core.scope, || self.run_transaction(run))
    }

    fn run_transaction<R>(&self, run: impl FnOnce(&Transaction<'_, S>) -> Result<R>) -> Result<R> {
        let core = self.core();
        core.account("transaction", None, None)?;
        let Begun { unit, kept } = core.begin()?;
        let unit = Mutex::new(unit);
        let outcome = { run(&Transaction::new(Verbs::new(core.within(Executor::Unit(&unit))))) };
        let unit = unit.into_inner().unwrap_or_else(PoisonError::into_inner);
        // What is not committed when the session's token expires is not kept; and what a session rests on can
        // end meanwhile in another file.
        let result = match outcome.and_then(|result| core.check().map(|()| result)) {
            Ok(result) => unit.commit().map(|()| result),
            Err(error) => {
                drop(unit);
                Err(error)
            }
        };
        drop(kept);
        core.store.flush_if_due();
        result
    }
}

impl<S: tenancy::Scope> Session<S> {
    /// Reads several things of one moment: whatever others commit meanwhile, the closure does not
    /// see it. It is also the quickest way to make many small reads. Writing through it does not
    /// compile.
    ///
    /// # Errors
    ///
    /// What the closure returns, and what every read can meet.
    ///
    /// ```
    /// # use tenantry::{Entity, Store, UserId};
    /// # #[derive(Entity)] struct Task { title: String }
    /// # fn main() -> tenantry::Result<()> {
    /// # let store = Store::builder().entity::<Task>().temporary()?;
    /// # let session = store.session(&store.users().create(&UserId::new("ada")?)?)?;
    /// # session.insert(&Task { title: "Dig".into() })?;
    /// let (count, tasks) = session.read(|view| Ok((view.count::<Task>()?, view.list::<Task>()?)))?;
    /// assert_eq!(count, tasks.len() as u64);
    /// # Ok(()) }
    /// ```
    ///
    /// ```compile_fail,E0277
    /// # use tenantry::{Entity, TenantSession};
    /// # #[derive(Entity)] struct Task { title: String }
    /// fn write(session: &TenantSession) -> tenantry::Result<tenantry::Id<Task>> {
    ///     session.read(|view| view.insert(&Task { title: "Dig".into() }))
    /// }
    /// ```
    pub fn read<R>(&self, read: impl FnOnce(&Verbs<'_, tenancy::View<S>>) -> Result<R>) -> Result<R> {
        let core = self.core();
        let Source::Snapshot(snapshot) = core.source()? else { return Err(NESTED) };
        let snapshot = Mutex::new(snapshot);
        read(&Verbs::new(core.within(Executor::View(&snapshot))))
    }

    /// The log of what this session is for: the user's, the organization's, or that of the
    /// reference entities.
    pub fn audit(&self) -> Audit<'_> {
        let tenancy = match &*self.core().scope {
            Scope::User { .. } => Tenancy::User,
            Scope::Organization { .. } => Tenancy::Organization,
            Scope::Administered { name, .. } => name.tenancy(),
            Scope::Reference => Tenancy::Reference,
        };
        Audit::new(self.core(), tenancy)
    }
}

impl ReferenceSession {
    /// Deletes of the log of the reference entities what need not be kept any longer, as
    /// [`Users::expire_log`](crate::Users::expire_log) does.
    ///
    /// # Errors
    ///
    /// As [`Users::expire_log`](crate::Users::expire_log).
    pub fn expire_log(&self, retention: LogRetention) -> Result<ExpiredLog> {
        let (core, log) = (self.core(), TenantKey::REFERENCE);
        core.check()?;
        let by = By {
            actor: core.actor(),
            name: None,
            grants: Arc::clone(&core.grants),
            limits: core.limits.clone(),
        };
        core.store.expire_logs(&by, log, &[log], retention)
    }
}

impl TenantSession {
    /// The user.
    #[must_use]
    pub fn user(&self) -> &UserId {
        self.core().user()
    }

    /// A session within an organization, if the user is a member of it.
    ///
    /// # Errors
    ///
    /// [`Error::NotMember`], whether or not the organization exists; [`Error::Disabled`] if
    /// it is; [`Error::AccessDenied`] if the session is from a token that is for another organization. All are
    /// noted in the user's own log.
    pub fn in_organization(&self, organization: &impl AsRef<OrganizationId>) -> Result<OrganizationSession> {
        let (core, organization) = (self.core(), organization.as_ref());
        core.check()?;
        core.admit(organization)?;
        let (grant, mark) = core.grants.first().zip(core.scope.mark()).ok_or(Error::Closed)?;
        let asking = Asking { user: core.user(), mark, grant: Arc::clone(grant), actor: core.actor() };
        let (scope, mut grants) = core.store.member_scope(asking, organization)?;
        // What an administrator's session rests on beside.
        grants.extend(core.grants.iter().filter(|grant| grant.right == Right::Administer).cloned());
        let session =
            OrganizationSession::new(Arc::clone(&core.store), scope, grants, core.authority.clone())
                .limited(core.limits.clone());
        session.core().account("session", None, None)?;
        Ok(session)
    }
}

impl OrganizationSession {
    /// The user.
    #[must_use]
    pub fn user(&self) -> &UserId {
        self.core().user()
    }

    /// The organization.
    #[must_use]
    pub fn organization(&self) -> &OrganizationId {
        match &*self.core().scope {
            Scope::Organization { organization, .. } => organization,
            // The type of the session says which scope it has.
            Scope::User { .. } | Scope::Administered { .. } | Scope::Reference => {
                unreachable!("a session in an organization has an organization")
            }
        }
    }

    /// The user's role in the organization, now; in a session from a token, the lesser of that and the token's.
    ///
    /// # Errors
    ///
    /// [`Error::NotMember`] if the membership has ended.
    pub fn role(&self) -> Result<Role> {
        let core = self.core();
        let not_member = || Error::NotMember {
            user: self.user().to_string(),
            organization: self.organization().to_string(),
        };
        let (Some(organization), Some(user)) = (core.scope.organization_key(), core.scope.user_key()) else {
            return Err(not_member());
        };
        core.check()?;
        core.account("role", Some(Tenancy::Organization), None)?;
        core.store.read(|connection| {
            core.check_in(connection)?;
            identities::find_member(connection, organization, user)?
                .filter(|m| m.active)
                .map(|m| core.narrowed(m.role))
                .ok_or_else(not_member)
        })
    }

    /// A page of the organization's members in the order of their users' ids.
    ///
    /// # Errors
    ///
    /// What every read can meet.
    pub fn members(&self, after: Option<&UserId>, limit: u32) -> Result<Vec<crate::Membership>> {
        let Some(organization) = self.core().scope.organization_key() else { return Ok(Vec::new()) };
        let core = self.core();
        core.check()?;
        core.account("members", Some(Tenancy::Organization), None)?;
        core.store.read(|connection| {
            core.check_in(connection)?;
            identities::members(connection, organization, after, limit)
        })
    }

    /// The log of the member's own records within the organization.
    pub fn private_audit(&self) -> Audit<'_> {
        Audit::new(self.core(), Tenancy::Member)
    }
}

impl<S: tenancy::Scope> Deref for Session<S> {
    type Target = Verbs<'static, S>;
    fn deref(&self) -> &Self::Target {
        &self.verbs
    }
}

impl<S: tenancy::Scope> Clone for Session<S> {
    fn clone(&self) -> Self {
        Self { verbs: Verbs::new(self.core().clone()), sql_limits: self.sql_limits }
    }
}

impl<S: tenancy::Scope> fmt::Debug for Session<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Session").field(&self.core().scope).finish()
    }
}

/// Everything that the verbs of sessions and transactions have in common.
#[derive(Clone)]
pub(crate) struct Core<'x> {
    pub(crate) store: Arc<Inner>,
    pub(crate) scope: Arc<Scope>,
    grants: Arc<[Arc<Grant>]>,
    /// Of an administrator who acts for the tenant.
    authority: Option<Arc<Authority>>,
    /// Whether what it looks at is on record already.
    accounted: bool,
    /// Of the token that the session was made from.
    limits: Option<Arc<Limits>>,
    executor: Executor<'x>,
}

/// Where statements run.
#[derive(Clone, Copy)]
enum Executor<'x> {
    /// Each verb by itself: reads on a pooled connection, writes in a transaction of their own.
    Store,
    /// Reads only, of one state of the store.
    View(&'x Mutex<Snapshot>),
    /// In an open transaction.
    Unit(&'x Mutex<Unit>),
}

/// A connection for several reads in a row.
pub(crate) enum Source<'x> {
    Snapshot(Snapshot),
    View(&'x Mutex<Snapshot>),
    Unit(&'x Mutex<Unit>),
}

const NESTED: Error =
    Error::Busy { reason: "the transaction or read scope is in use by the call that this one was made from" };

/// The open transaction or read scope. Never waits: whoever holds it is further up this very call,
/// or on another thread that was handed it. A mutex rather than a cell, so that sessions, which
/// never hold one, are `Send + Sync`.
fn borrow<T>(open: &Mutex<T>) -> Result<MutexGuard<'_, T>> {
    match open.try_lock() {
        Ok(open) => Ok(open),
        Err(TryLockError::Poisoned(poisoned)) => Ok(poisoned.into_inner()),
        Err(TryLockError::WouldBlock) => Err(NESTED),
    }
}

impl<'x> Core<'x> {
    /// The same session, whose statements run elsewhere.
    fn within<'y>(&self, executor: Executor<'y>) -> Core<'y> {
        Core {
            store: Arc::clone(&self.store),
            scope: Arc::clone(&self.scope),
            grants: Arc::clone(&self.grants),
            authority: self.authority.clone(),
            accounted: self.accounted,
            limits: self.limits.clone(),
            executor,
        }
    }

    fn user(&self) -> &UserId {
        match self.scope.user() {
            Some(user) => user,
            // Only sessions of users offer this.
            None => unreachable!("a session of a user has a user"),
        }
    }

    /// Whether the session is still good.
    pub(crate) fn check(&self) -> Result<()> {
        self.check_time()?;
        match self.grants.iter().position(|grant| grant.is_revoked()) {
            None => Ok(()),
            Some(position) => Err(self.ended(position)),
        }
    }

    /// Whether the session's token is still good.
    fn check_time(&self) -> Result<()> {
        self.limits.as_ref().map_or(Ok(()), |limits| limits.check())
    }

    /// Whether the session's token is for this organization. To be asked before anything is looked up, so that the answer
    /// tells nothing of the organization.
    fn admit(&self, organization: &OrganizationId) -> Result<()> {
        if self.limits.as_ref().is_none_or(|limits| limits.allow(organization)) {
            return Ok(());
        }
        let error = Error::AccessDenied { reason: "the token is for another organization".to_owned() };
        Err(self.refused(("organization", organization.to_string()), error))
    }

    /// Whether the session may use what the store's records grant its user as an administrator.
    pub(crate) fn may_act_as_admin(&self) -> bool {
        self.limits.as_ref().is_none_or(|limits| limits.allow_admin())
    }

    /// What the session's token allows.
    pub(crate) fn limits(&self) -> Option<&Arc<Limits>> {
        self.limits.as_ref()
    }

    /// A role of the store's records, or less.
    fn narrowed(&self, granted: Role) -> Role {
        if self.may_act_as_admin() { granted } else { Role::Member }
    }

    /// Puts a refusal on record in the user's log, and gives the error back.
    pub(crate) fn refused(&self, what: (&'static str, String), error: Error) -> Error {
        match self.scope.user_key() {
            Some(user) => {
                let refusal = Refusal { user, actor: self.actor(), outcome: "not_allowed", what: Some(what) };
                self.store.refuse(refusal, error)
            }
            // The application itself has no log of its own.
            None => error,
        }
    }

    /// Whether it is still good, now that it has waited for a connection. In a store that another process
    /// writes, memory can't tell: ask the file.
    fn check_in(&self, connection: &Connection) -> Result<()> {
        if !self.store.is_read_only() {
            return self.check();
        }
        if self.store.is_spread() {
            return self.store.read(|catalog| self.check_grants(catalog));
        }
        self.check_grants(connection)
    }

    /// Whether the session is still good, before a read on a connection of its own.
    fn check_for_reading(&self) -> Result<()> {
        self.check()?;
        if self.store.is_read_only() {
            return self.store.read(|catalog| self.check_grants(catalog));
        }
        Ok(())
    }

    fn check_grants(&self, connection: &Connection) -> Result<()> {
        for (position, grant) in self.grants.iter().enumerate() {
            if identities::is_disabled(connection, grant.tenant)? && self.authority.is_none() {
                return Err(self.ended(position));
            }
        }
        Ok(())
    }

    /// Why a session has ended: its grants are for the user, the organization, the membership, and
    /// what an administrator needs beside.
    fn ended(&self, position: usize) -> Error {
        let administers = matches!(*self.scope, Scope::Administered { .. });
        if administers || self.grants[position].right == Right::Administer {
            return Error::AccessDenied {
                reason: "the right to administer has ended, or the tenant is not there any more".to_owned(),
            };
        }
        match (&*self.scope, position) {
            (Scope::Organization { organization, .. }, 1) => Error::Disabled { id: organization.to_string() },
            (Scope::Organization { user, organization, .. }, 2) => {
                Error::NotMember { user: user.to_string(), organization: organization.to_string() }
            }
            _ => Error::Disabled { id: self.user().to_string() },
        }
    }

    fn actor(&self) -> Actor {
        Actor {
            user: self.scope.mark().or_else(|| self.authority.as_ref().map(|by| by.mark)),
            admin: self.authority.clone(),
        }
    }

    fn begin(&self) -> Result<Begun> {
        self.check()?;
        let begun = self.store.begin(self.scope.lane(), self.actor())?;
        // Again, now that nobody else writes: a revocation comes before or after, not during.
        self.check()?;
        Ok(begun)
    }

    /// Reads records. Who reads them passes [`observe_read`](Self::observe_read) and has a `Reading`.
    pub(crate) fn read<R>(
        &self,
        reading: &mut Reading,
        read: impl FnOnce(&Connection, &mut Reading) -> Result<R>,
    ) -> Result<R> {
        self.connected(|connection| read(connection, reading))
    }

    /// Reads what is no record: logs.
    pub(crate) fn read_log<R>(&self, read: impl FnOnce(&Connection) -> Result<R>) -> Result<R> {
        self.connected(read)
    }

    fn connected<R>(&self, read: impl FnOnce(&Connection) -> Result<R>) -> Result<R> {
        match self.executor {
            // The file and what is in it must be of one moment.
            Executor::Store if self.store.is_moved_by_others() => self.source()?.read_log(read),
            Executor::Store => {
                self.check()?;
                let reader = self.store.reader(self.scope.lane())?;
                let connection = reader.connection()?;
                self.check_in(connection)?;
                read(connection).map_err(|error| reader.name_in(error))
            }
            Executor::View(view) => {
                self.check()?;
                read(borrow(view)?.connection()?)
            }
            Executor::Unit(unit) => read(self.open(unit)?.connection()?),
        }
    }

    /// The open transaction, while the session is good: that ends in another file, if at all.
    fn open<'u>(&self, unit: &'u Mutex<Unit>) -> Result<MutexGuard<'u, Unit>> {
        self.check()?;
        borrow(unit)
    }

    /// Runs a write: in a transaction of its own, or as one step of the open one. It owns what it
    /// needs, since another caller that commits at the same moment may run it.
    pub(crate) fn write<R: Send + 'static>(
        &self,
        write: impl FnOnce(&mut Changes<'_>) -> Result<R> + Send + 'static,
    ) -> Result<R> {
        match self.executor {
            Executor::Store => {
                self.check()?;
                let session = self.within(Executor::Store);
                let result = self.store.run(self.scope.lane(), self.actor(), move |unit| {
                    // Again, now that nobody else writes: a revocation comes before or after.
                    session.check()?;
                    write(&mut session.changes(unit))
                })?;
                self.store.flush_if_due();
                Ok(result)
            }
            Executor::View(_) => Err(Error::AccessDenied {
                reason: "a read scope only reads; write through the session or in a transaction".to_owned(),
            }),
            Executor::Unit(unit) => self.open(unit)?.nested(|unit| write(&mut self.changes(unit))),
        }
    }

    fn changes<'u>(&'u self, unit: &'u mut Unit) -> Changes<'u> {
        Changes { unit, catalog: self.store.catalog(), scope: &self.scope, copies: &*self.store }
    }

    /// A connection that sees one state of the store through all reads.
    pub(crate) fn source(&self) -> Result<Source<'x>> {
        match self.executor {
            Executor::Store => {
                self.check()?;
                let snapshot = self.store.snapshot(self.scope.lane())?;
                self.check_in(snapshot.connection()?)?;
                Ok(Source::Snapshot(snapshot))
            }
            Executor::View(view) => {
                self.check()?;
                Ok(Source::View(view))
            }
            Executor::Unit(unit) => {
                self.check()?;
                Ok(Source::Unit(unit))
            }
        }
    }

    /// A query of one tenant's rows.
    fn select<'t>(
        &self,
        table: &'t Table,
        reach: Reach,
        spec: &'t Spec,
        after: Option<&'t [Value]>,
    ) -> Select<'t> {
        // A transaction writes the heads when it commits.
        let heads = !matches!(self.executor, Executor::Unit(_));
        Select { table, reach, spec, after, heads }
    }

    /// How many rows a tenant has, from the head that every change keeps.
    fn count(&self, reading: &mut Reading, tenant: TenantKey, entity: i64) -> Result<u64> {
        match self.executor {
            Executor::Store | Executor::View(_) => {
                self.read(reading, |connection, _| commit::count(connection, tenant, entity))
            }
            Executor::Unit(unit) => {
                commit::unsigned_count(Some(self.open(unit)?.rows(tenant, entity)?.count))
            }
        }
    }

    /// Runs an operation, watched if the store is monitored, and on record if an administrator does it.
    fn observe<R>(&self, operation: Operation, table: &Table, run: impl FnOnce() -> Result<R>) -> Result<R> {
        if self.authority.is_none() || self.accounted {
            return self.store.monitor.observe(operation, table.entity(), &self.scope, run);
        }
        let account = || {
            let tenancy = table.definition.tenancy();
            self.account(operation.as_str(), Some(tenancy), Some((table.entity(), table.version)))
        };
        // A change is on record by itself, once there is one.
        let changes = !operation.is_read();
        if !changes {
            account()?;
        }
        let outcome = self.store.monitor.observe(operation, table.entity(), &self.scope, run);
        if changes && outcome.is_err() {
            account()?;
        }
        outcome
    }

    /// Puts on record that an administrator looks at what this session reaches of a tenancy, or at all of it.
    pub(crate) fn account(
        &self,
        by: &str,
        tenancy: Option<Tenancy>,
        entity: Option<(&str, i64)>,
    ) -> Result<()> {
        if self.authority.is_none() || self.accounted {
            return Ok(());
        }
        self.check()?;
        let tenants: Vec<TenantKey> = match tenancy {
            Some(tenancy) => vec![self.scope.reads(tenancy)?.tenant],
            None => {
                let (tenant, member) = self.scope.tenants();
                [tenant].into_iter().chain(member).collect()
            }
        };
        // Everybody reads reference records; whoever may write them is in their log.
        let writes_reference = matches!(*self.scope, Scope::Reference);
        let tenants: Vec<TenantKey> = tenants
            .into_iter()
            .filter(|tenant| *tenant != TenantKey::REFERENCE || writes_reference)
            .collect();
        let looked = Looked { by, entity };
        match self.executor {
            Executor::Unit(unit) => looked.write(&mut *borrow(unit)?, &tenants),
            Executor::Store | Executor::View(_) => {
                self.store.account(&self.actor(), self.scope.lane(), &tenants, &looked, || self.check())
            }
        }
    }

    /// The rows in memory, where they may be asked: what a transaction or a read scope sees is a
    /// matter of its own, and a soft reference changes with another tenant's rows.
    fn cache(&self, table: &Table) -> Option<&Cache> {
        match self.executor {
            Executor::Store if !table.has_soft() => self.store.cache(table.definition.tenancy()),
            _ => None,
        }
    }

    /// Notes a miss by id, and gives the error back.
    pub(crate) fn missed(&self, table: &Table, id: Uuid) -> Error {
        // What an administrator asks for is in the log.
        if self.authority.is_none()
            && let Ok(reach) = self.scope.reads(table.definition.tenancy())
        {
            self.store.note_miss(self.scope.lane(), reach.tenant, self.scope.mark(), table.entity(), id);
            self.flush_if_free();
        }
        Error::NotFound { entity: table.entity().to_owned() }
    }
}

impl Source<'_> {
    /// Reads records, as [`Core::read`] does.
    pub(crate) fn read<R>(
        &self,
        reading: &mut Reading,
        read: impl FnOnce(&Connection, &mut Reading) -> Result<R>,
    ) -> Result<R> {
        self.read_log(|connection| read(connection, reading))
    }

    /// Reads what is no record: logs.
    pub(crate) fn read_log<R>(&self, read: impl FnOnce(&Connection) -> Result<R>) -> Result<R> {
        match self {
            Source::Snapshot(snapshot) => {
                read(snapshot.connection()?).map_err(|error| snapshot.name_in(error))
            }
            Source::View(view) => read(borrow(view)?.connection()?),
            Source::Unit(unit) => read(borrow(unit)?.connection()?),
        }
    }
}
