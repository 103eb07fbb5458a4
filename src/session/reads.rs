//! A tenant's access log, read through its session.

use jiff::Timestamp;
use uuid::Uuid;

use super::Core;
use crate::audit::ReadEntry;
use crate::audit::reads::{self, ReadQuery};
use crate::entity::{Entity, Id, Tenancy};
use crate::error::{Error, Result};
use crate::identity::UserId;

/// A tenant's access log, narrowed by filters: who read its records, of entities that ask for it. Made
/// by [`Audit::reads`](crate::Audit::reads).
///
/// It is apart from the audit log and its chain, and is written in batches: it tells of everything that
/// was read before it is asked, but what was read in the last seconds is lost if the process is killed.
/// A tenant keeps its last 100,000 entries, each for a year at most: older ones go when others come.
/// While nobody can write, more than 1,024 that wait are added up, so that one entry stands for several
/// reads of one kind and names no records.
///
/// Not noted are ids that were not there, what a change tells by failing or by changing nothing, and what is read
/// through a store that is open only for reading.
///
/// ```
/// # use tenantry::{Entity, ReadKind, Store, UserId};
/// #[derive(Entity)]
/// #[entity(audit_reads)]
/// struct Diagnosis { text: String }
///
/// # fn main() -> tenantry::Result<()> {
/// # let store = Store::builder().entity::<Diagnosis>().temporary()?;
/// # let session = store.session(&store.users().create(&UserId::new("ada")?)?)?;
/// let id = session.insert(&Diagnosis { text: "Hay fever".into() })?;
/// session.get(id)?;
/// let reads = session.audit().reads().of(id).list()?;
/// assert_eq!(reads[0].kind, ReadKind::Get);
/// assert_eq!(reads[0].actor, Some(UserId::new("ada")?));
/// # Ok(()) }
/// ```
#[derive(Clone)]
#[must_use]
pub struct Reads<'s> {
    core: &'s Core<'s>,
    /// Each tenant has a log of its own; the tenancy of its records says which tenant.
    tenancy: Tenancy,
    query: ReadQuery,
}

/// A page of an access log.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReadPage {
    /// The entries.
    pub entries: Vec<ReadEntry>,
    /// Give it to [`Reads::after`] for the next page; `None` after the last one.
    pub next: Option<u64>,
}

impl<'s> Reads<'s> {
    pub(super) fn new(core: &'s Core<'s>, tenancy: Tenancy) -> Self {
        Self { core, tenancy, query: ReadQuery::default() }
    }

    /// Entries that name one record. Those that were of more than 100 records at once name none.
    pub fn of<E: Entity>(self, id: Id<E>) -> Self {
        self.entity(E::ENTITY_NAME).record(id.uuid())
    }

    /// Entries about records of one entity.
    pub fn entity(mut self, name: impl Into<String>) -> Self {
        self.query.entity = Some(name.into());
        self
    }

    /// Entries that name the record of this id, of whichever entity.
    pub fn record(mut self, id: Uuid) -> Self {
        self.query.record = Some(id);
        self
    }

    /// What was read in this user's name, or by this user as a store admin.
    pub fn actor(mut self, user: &impl AsRef<UserId>) -> Self {
        self.query.actor = Some(user.as_ref().clone());
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

    /// All entries.
    ///
    /// # Errors
    ///
    /// [`Error::Busy`] if what waits to be written can't be, as in a transaction of the same thread; and
    /// what every read can meet.
    pub fn list(&self) -> Result<Vec<ReadEntry>> {
        self.read(&self.query)
    }

    /// At most `size` entries, and where the next page begins.
    ///
    /// # Errors
    ///
    /// As [`list`](Self::list).
    pub fn page(&self, size: u32) -> Result<ReadPage> {
        if size == 0 {
            return Err(Error::invalid("size", "a page has at least one entry"));
        }
        let query = ReadQuery { limit: Some(u64::from(size) + 1), ..self.query.clone() };
        let mut entries = self.read(&query)?;
        let more = entries.len() > size as usize;
        entries.truncate(size as usize);
        let next = if more { entries.last().map(|entry| entry.number) } else { None };
        Ok(ReadPage { entries, next })
    }

    fn read(&self, query: &ReadQuery) -> Result<Vec<ReadEntry>> {
        self.core.check()?;
        self.core.account("reads", Some(self.tenancy), None)?;
        let tenant = self.core.scope.reads(self.tenancy)?.tenant;
        self.core.store.flush_reads_of(self.core.home_of(tenant))?;
        self.core.read_log(|connection| reads::read(connection, tenant, query))
    }
}

impl std::fmt::Debug for Reads<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Reads").field(&self.query).finish()
    }
}
