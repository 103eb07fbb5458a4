//! A tenant's log, read through its session.

use jiff::Timestamp;
use uuid::Uuid;

use super::{Core, Reads};
use crate::audit::log::{self, LogQuery};
use crate::audit::{AuditEntry, Verification, verify};
use crate::entity::{Entity, Id, Tenancy};
use crate::error::{Error, Result};
use crate::identity::TenantKey;

/// A tenant's log, narrowed by filters. Made by `audit()` of a session.
///
/// ```
/// # use tenantry::{Entity, Store, UserId};
/// # #[derive(Entity)] struct Task { title: String }
/// # fn main() -> tenantry::Result<()> {
/// # let store = Store::builder().entity::<Task>().temporary()?;
/// # let session = store.session(&store.users().create(&UserId::new("ada")?)?)?;
/// let id = session.insert(&Task { title: "Tea".into() })?;
/// let history = session.audit().of(id).list()?;
/// assert_eq!(history[0].action, "insert");
/// assert!(session.audit().verify()?.is_intact());
/// # Ok(()) }
/// ```
#[derive(Clone)]
#[must_use]
pub struct Audit<'s> {
    core: &'s Core<'s>,
    /// Each tenant has a log of its own; the tenancy of its records says which tenant.
    tenancy: Tenancy,
    query: LogQuery,
}

/// A page of a log.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct AuditPage {
    /// The entries.
    pub entries: Vec<AuditEntry>,
    /// Give it to [`Audit::after`] for the next page; `None` after the last one.
    pub next: Option<u64>,
}

impl<'s> Audit<'s> {
    pub(super) fn new(core: &'s Core<'s>, tenancy: Tenancy) -> Self {
        Self { core, tenancy, query: LogQuery::default() }
    }

    /// Entries about one record.
    pub fn of<E: Entity>(self, id: Id<E>) -> Self {
        self.entity(E::ENTITY_NAME).record(id.uuid())
    }

    /// Entries about records of one entity.
    pub fn entity(mut self, name: impl Into<String>) -> Self {
        self.query.entity = Some(name.into());
        self
    }

    /// Entries about the record of this id, of whichever entity.
    pub fn record(mut self, id: Uuid) -> Self {
        self.query.record = Some(id);
        self
    }

    /// Entries of one action, such as `delete`.
    pub fn action(mut self, action: impl Into<String>) -> Self {
        self.query.action = Some(action.into());
        self
    }

    /// Entries at or after a time.
    pub fn since(mut self, time: Timestamp) -> Self {
        self.query.since = Some(time);
        self
    }

    /// Entries before a time.
    pub fn until(mut self, time: Timestamp) -> Self {
        self.query.until = Some(time);
        self
    }

    /// The last entry first; without it, the first one.
    pub fn newest_first(mut self) -> Self {
        self.query.newest_first = true;
        self
    }

    /// Entries that come after the one of this number, in the direction of reading.
    pub fn after(mut self, number: u64) -> Self {
        self.query.after = Some(number);
        self
    }

    /// Who read the records, of entities that ask for it. The filters are its own.
    pub fn reads(&self) -> Reads<'s> {
        Reads::new(self.core, self.tenancy)
    }

    /// All entries.
    ///
    /// # Errors
    ///
    /// What every read can meet: the session has ended, the store is closed, busy or damaged.
    pub fn list(&self) -> Result<Vec<AuditEntry>> {
        Ok(self.read(&self.query)?.0)
    }

    /// At most `size` entries, and where the next page begins.
    ///
    /// # Errors
    ///
    /// As [`list`](Self::list).
    pub fn page(&self, size: u32) -> Result<AuditPage> {
        if size == 0 {
            return Err(Error::invalid("size", "a page has at least one entry"));
        }
        let query = LogQuery { limit: Some(u64::from(size)), ..self.query.clone() };
        let (entries, more) = self.read(&query)?;
        let next = if more { entries.last().map(|entry| entry.number) } else { None };
        Ok(AuditPage { entries, next })
    }

    /// Recomputes the whole log, whatever the filters: every commitment, hash and link.
    ///
    /// # Errors
    ///
    /// As [`list`](Self::list); a log that does not verify is an `Ok` that says where.
    pub fn verify(&self) -> Result<Verification> {
        let tenant = self.tenant()?;
        self.core.source()?.read_log(|connection| verify::verify(connection, tenant))
    }

    fn tenant(&self) -> Result<TenantKey> {
        self.core.account("audit", Some(self.tenancy), None)?;
        Ok(self.core.scope.reads(self.tenancy)?.tenant)
    }

    /// The entries, and whether there are more than the query's limit. They tell what records held, which is noted
    /// of entities that ask for it.
    fn read(&self, query: &LogQuery) -> Result<(Vec<AuditEntry>, bool)> {
        let tenant = self.tenant()?;
        let limit = query.limit;
        let query = LogQuery { limit: limit.map(|limit| limit.saturating_add(1)), ..query.clone() };
        let mut entries = self.core.read_log(|connection| log::read(connection, tenant, &query))?;
        let more = limit.is_some_and(|limit| entries.len() as u64 > limit);
        if more {
            entries.pop();
        }
        self.core.note_entries(tenant, &entries);
        Ok((entries, more))
    }
}

impl std::fmt::Debug for Audit<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Audit").field(&self.query).finish()
    }
}
