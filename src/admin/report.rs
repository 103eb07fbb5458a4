//! Reports across tenants: one aggregate for each, asked of each as its own session would.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::AdminSession;
use crate::entity::{Column, Entity, Field, Model, Tenancy};
use crate::error::{Error, Result};
use crate::identity::{TenantKey, TenantName};
use crate::query::{Filter, Number, Ordered};
use crate::schema::identities::{self, Owning};
use crate::scope::Scope;
use crate::session::{Query, Session};
use crate::statement::Table;
use crate::store::{Looked, Right};
use crate::tenancy;

/// Tenants of one page at most: each gets an entry in its log.
const PAGE_MAX: u32 = 1_000;

/// An aggregate of an entity's records, grouped by the tenant that owns them. Made by
/// [`AdminSession::report`]; each tenant of a page finds an entry in its log.
///
/// ```
/// # use tenantry::{Entity, Store, StoreRole, TenantName, UserId};
/// # #[derive(Entity)] struct Task { title: String, done: bool }
/// # fn main() -> tenantry::Result<()> {
/// # let store = Store::builder().entity::<Task>().temporary()?;
/// let ada = store.users().create(&UserId::new("ada")?)?;
/// let root = store.users().create(&UserId::new("root")?)?;
/// store.users().set_role(&root, StoreRole::Admin)?;
/// store.session(&ada)?.insert(&Task { title: "Dig".into(), done: false })?;
///
/// let admin = store.admin(&root, "monthly report")?;
/// let open = admin.report::<Task>()?.filter(Task::DONE.eq(false)).count(100)?;
/// assert_eq!(open.tenants[0], (TenantName::User(ada.id), 1));
/// assert_eq!(open.next, None);
/// # Ok(()) }
/// ```
#[must_use]
pub struct TenantReport<'a, M> {
    admin: &'a AdminSession,
    table: &'a Arc<Table>,
    filter: Option<Filter<M>>,
    after: Option<TenantName>,
    only: Option<Vec<TenantName>>,
}

/// A page of a report.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct TenantReportPage<T> {
    /// Each tenant, in the order of the names, and its value.
    pub tenants: Vec<(TenantName, T)>,
    /// Give it to [`TenantReport::after`] for the next page; `None` after the last one.
    pub next: Option<TenantName>,
}

impl<'a, M: Model> TenantReport<'a, M> {
    pub(super) fn new(admin: &'a AdminSession, table: &'a Arc<Table>) -> Result<Self> {
        if table.definition.tenancy() == Tenancy::Reference {
            return Err(Error::invalid(
                "entity",
                format!("{:?} belongs to nobody; read it in any session", table.entity()),
            ));
        }
        Ok(Self { admin, table, filter: None, after: None, only: None })
    }

    /// Keeps the records that match this too.
    pub fn filter(mut self, filter: Filter<M>) -> Self {
        self.filter = Some(match self.filter.take() {
            Some(other) => other.and(filter),
            None => filter,
        });
        self
    }

    /// Tenants that come after this one.
    pub fn after(mut self, tenant: &TenantName) -> Self {
        self.after = Some(tenant.clone());
        self
    }

    /// These tenants and no others; also members who have left.
    pub fn only(mut self, tenants: impl IntoIterator<Item = TenantName>) -> Self {
        self.only = Some(tenants.into_iter().collect());
        self
    }

    /// How many records each of at most `limit` tenants has; a page has at most 1,000.
    ///
    /// # Errors
    ///
    /// [`Error::AccessDenied`] once the role was taken away; [`Error::InvalidInput`] for a filter that
    /// does not fit, a page of no tenants, or a named tenant that can't own such records;
    /// [`Error::UnknownUser`], [`Error::UnknownOrganization`] or [`Error::NotMember`] for one that is
    /// not there.
    pub fn count(&self, limit: u32) -> Result<TenantReportPage<u64>> {
        self.each("count", limit, |query| query.count())
    }

    fn each<T>(
        &self,
        by: &str,
        limit: u32,
        ask: impl Fn(&Query<'_, tenancy::Inspection, M>) -> Result<T>,
    ) -> Result<TenantReportPage<T>> {
        let limit = limit.min(PAGE_MAX);
        if limit == 0 {
            return Err(Error::invalid("limit", "a page has at least one tenant"));
        }
        let mut owners = self.owners(limit)?;
        let more = owners.len() > limit as usize;
        owners.truncate(limit as usize);
        self.account(by, &owners)?;
        let next = if more { owners.last().map(|owning| owning.name.clone()) } else { None };
        let tenants = owners
            .into_iter()
            .map(|owning| {
                let name = owning.name.clone();
                self.ask(owning, &ask).map(|value| (name, value))
            })
            .collect::<Result<_>>()?;
        Ok(TenantReportPage { tenants, next })
    }

    /// One more than asked for, which tells whether there is a next page.
    fn owners(&self, limit: u32) -> Result<Vec<Owning>> {
        let tenancy = self.table.definition.tenancy();
        let after = self.after.as_ref();
        if let Some(other) =
            after.into_iter().chain(self.only.iter().flatten()).find(|name| name.tenancy() != tenancy)
        {
            return Err(Error::invalid(
                "tenant",
                format!(
                    "{:?} has tenancy `{tenancy}`, and {other} owns no such records",
                    self.table.entity()
                ),
            ));
        }
        let by = self.admin.by();
        by.check()?;
        let wanted = limit.saturating_add(1);
        let owners = self.admin.store.read(|connection| match &self.only {
            None => identities::owners(connection, tenancy, after, wanted),
            Some(names) => {
                let mut names: Vec<&TenantName> = names.iter().filter(|name| Some(*name) > after).collect();
                names.sort();
                names.dedup();
                names.truncate(wanted as usize);
                names.into_iter().map(|name| identities::owning(connection, name)).collect()
            }
        });
        self.admin.store.found(&by, "report", owners)
    }

    /// An entry in each tenant's log, before anything is looked at; in a store of one file, in one
    /// transaction.
    fn account(&self, by: &str, owners: &[Owning]) -> Result<()> {
        let store = &self.admin.store;
        let looked = Looked { by, entity: Some((self.table.entity(), self.table.version)) };
        let mut by_home: BTreeMap<TenantKey, Vec<TenantKey>> = BTreeMap::new();
        for owning in owners {
            let home = owning.organization.unwrap_or(owning.key);
            let home = if store.is_spread() { home } else { TenantKey::REFERENCE };
            by_home.entry(home).or_default().push(owning.key);
        }
        let by = self.admin.by();
        for (home, tenants) in by_home {
            store.account(&by.actor, home, &tenants, &looked, || by.check())?;
        }
        Ok(())
    }

    fn ask<T>(
        &self,
        owning: Owning,
        ask: impl Fn(&Query<'_, tenancy::Inspection, M>) -> Result<T>,
    ) -> Result<T> {
        let admin = self.admin;
        let scope = Scope::Administered {
            admin: admin.authority.admin.clone(),
            admin_key: admin.grant.tenant,
            mark: admin.authority.mark,
            name: owning.name,
            key: owning.key,
            organization_key: owning.organization,
        };
        let store = &admin.store;
        let grants = vec![store.grants.take(owning.key, Right::Reach), Arc::clone(&admin.grant)];
        let authority = Some(Arc::clone(&admin.authority));
        let session = Session::<tenancy::Inspection>::new(Arc::clone(store), scope, grants, authority)
            .accounted()
            .limited(admin.limits.clone());
        let mut query = Query::new(session.core(), Ok(self.table));
        if let Some(filter) = &self.filter {
            query = query.filter(filter.clone());
        }
        ask(&query)
    }
}

impl<E: Entity> TenantReport<'_, E> {
    /// The sum of a column of each tenant's records; 0 where none has a value.
    ///
    /// # Errors
    ///
    /// As [`count`](Self::count), and [`Error::LimitExceeded`] if a sum does not fit.
    pub fn sum<F>(
        &self,
        column: Column<E, F>,
        limit: u32,
    ) -> Result<TenantReportPage<<F::Inner as Number>::Sum>>
    where
        F: Field,
        F::Inner: Number,
        <F::Inner as Number>::Sum: Default,
    {
        self.each("sum", limit, |query| query.sum(column))
    }

    /// The average of a column of each tenant's records.
    ///
    /// # Errors
    ///
    /// As [`count`](Self::count).
    pub fn average<F>(&self, column: Column<E, F>, limit: u32) -> Result<TenantReportPage<Option<f64>>>
    where
        F: Field,
        F::Inner: Number,
    {
        self.each("average", limit, |query| query.average(column))
    }

    /// The smallest value of a column of each tenant's records.
    ///
    /// # Errors
    ///
    /// As [`count`](Self::count).
    pub fn min<F>(&self, column: Column<E, F>, limit: u32) -> Result<TenantReportPage<Option<F::Inner>>>
    where
        F: Field,
        F::Inner: Ordered,
    {
        self.each("min", limit, |query| query.min(column))
    }

    /// The largest value of a column of each tenant's records.
    ///
    /// # Errors
    ///
    /// As [`count`](Self::count).
    pub fn max<F>(&self, column: Column<E, F>, limit: u32) -> Result<TenantReportPage<Option<F::Inner>>>
    where
        F: Field,
        F::Inner: Ordered,
    {
        self.each("max", limit, |query| query.max(column))
    }
}

impl<M> fmt::Debug for TenantReport<'_, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TenantReport").field("entity", &self.table.entity()).finish_non_exhaustive()
    }
}
