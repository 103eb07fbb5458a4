//! The store: an open file, its connections, its entities, and who may reach what.

mod access;
mod arrival;
mod builder;
mod change;
mod cipher;
pub(crate) mod connection;
mod directory;
mod erase;
mod file;
mod inner;
mod invitations;
mod lock;
mod moves;
mod open;
mod part;
mod pool;
mod quotas;
mod readers;
mod retention;
mod scopes;
mod scrub;
mod spread;
mod sql;
#[cfg(test)]
mod tests;
#[cfg(feature = "jwt")]
mod token;
mod transfer;

use std::path::Path;
use std::sync::Arc;

pub(crate) use access::{By, Grant, Right};
pub(crate) use arrival::{ARRIVED, Arrival, NewMember, Newcomer, Profile};
pub use builder::Builder;
#[cfg(feature = "sqlcipher")]
pub use cipher::Key;
pub use connection::Durability;
pub use directory::{Organizations, Users};
pub(crate) use file::StoreFile;
pub(crate) use inner::{Begun, Inner, Looked, Refusal};
pub use moves::{MoveProgress, Partition, Partitions, RepartitionProgress};
pub use readers::PoolClass;
pub(crate) use readers::Snapshot;
pub use retention::{ExpiredLog, LogRetention};
pub(crate) use scopes::Asking;
pub(crate) use sql::SqlReader;

use crate::admin::AdminSession;
use crate::check::Report;
use crate::commit::Actor;
use crate::entity::Definition;
use crate::error::{Error, Result};
use crate::identity::UserId;
use crate::leave::Scrub;
use crate::monitor::{SlowOperation, Stats};
use crate::scope::Scope;
use crate::session::{ReferenceSession, TenantSession};

/// An open store: one SQLite file that many tenants share and none of them sees the others in.
///
/// Cheap to clone, and `Send + Sync`: open a file once and hand out clones. The last one to go
/// closes the file; [`close`](Self::close) does so earlier and reports failures.
///
/// ```
/// use tenantry::{Entity, Store, UserId};
///
/// #[derive(Debug, PartialEq, Entity)]
/// struct Task {
///     title: String,
/// }
///
/// # fn main() -> tenantry::Result<()> {
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("app.db");
/// let store = Store::builder().entity::<Task>().open(&path)?;
/// let ada = store.users().create(&UserId::new("ada")?)?;
/// let grace = store.users().create(&UserId::new("grace")?)?;
///
/// let id = store.session(&ada)?.insert(&Task { title: "Water the plants".into() })?;
/// assert_eq!(store.session(&ada)?.get(id)?.title, "Water the plants");
/// assert!(store.session(&grace)?.find(id)?.is_none());
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct Store {
    pub(crate) inner: Arc<Inner>,
}

impl Store {
    /// Chooses entities and settings before opening.
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// Opens a file with the entities that it already holds, which are then reached by name; or
    /// makes it if there is none. Use [`builder`](Self::builder) for typed entities.
    ///
    /// # Errors
    ///
    /// As [`Builder::open`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::builder().open(path)
    }

    /// Opens a new store in a temporary folder that goes with it: for tests and demonstrations.
    ///
    /// # Errors
    ///
    /// As [`Builder::open`].
    pub fn temporary() -> Result<Self> {
        Self::builder().temporary()
    }

    /// A session bound to one user: the way to that user's records.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownUser`], or [`Error::Disabled`], which is noted in the user's log.
    pub fn session(&self, user: &impl AsRef<UserId>) -> Result<TenantSession> {
        let id = user.as_ref();
        let (scope, grant, disabled) = self.inner.user_scope(id)?;
        if disabled {
            let user = grant.tenant;
            let actor = Actor { user: scope.mark(), admin: None };
            let refusal = Refusal { user, actor, outcome: "disabled", what: None };
            return Err(self.inner.refuse(refusal, Error::Disabled { id: id.to_string() }));
        }
        Ok(TenantSession::new(Arc::clone(&self.inner), scope, vec![grant], None))
    }

    /// A session for administering the store, if the user is a store admin
    /// ([`Users::set_role`]). The reason stands in the log of every tenant that it touches; opening it
    /// is an entry in the admin's own.
    ///
    /// # Errors
    ///
    /// [`Error::AccessDenied`] if the user is no store admin and [`Error::Disabled`], which are noted
    /// in the user's log; [`Error::UnknownUser`]; [`Error::InvalidInput`] for a reason that is empty, of
    /// more than 1,000 bytes or with control characters; [`Error::ReadOnly`] in a store that can't put
    /// it on record.
    pub fn admin(&self, user: &impl AsRef<UserId>, reason: &str) -> Result<AdminSession> {
        AdminSession::open(&self.inner, user.as_ref(), reason, None)
    }

    /// The session that writes reference entities, as the application itself.
    #[must_use]
    pub fn reference(&self) -> ReferenceSession {
        ReferenceSession::new(Arc::clone(&self.inner), Scope::Reference, Vec::new(), None)
    }

    /// Users: create, rename, disable, list.
    pub fn users(&self) -> Users<'_> {
        Users::new(&self.inner, By::default())
    }

    /// Organizations and their members.
    pub fn organizations(&self) -> Organizations<'_> {
        Organizations::new(&self.inner, By::default())
    }

    /// The definitions of all entities that the store holds.
    #[must_use]
    pub fn definitions(&self) -> Vec<&Definition> {
        self.inner.catalog().tables().iter().map(|table| &table.definition).collect()
    }

    /// Over which files tenants are spread, which lives where, and moving them.
    pub fn partitions(&self) -> Partitions<'_> {
        Partitions::new(&self.inner)
    }

    /// The store's file, or the folder of one with partitions.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.inner.path()
    }

    /// What the store holds, and did since it was opened. The sums over all tenants take time in
    /// proportion to their number.
    ///
    /// # Errors
    ///
    /// What every read can meet.
    pub fn stats(&self) -> Result<Stats> {
        self.inner.stats()
    }

    /// The last operations that took longer than [`Monitoring::slower_than`](crate::Monitoring)
    /// says, oldest first.
    #[must_use]
    pub fn slow_operations(&self) -> Vec<SlowOperation> {
        self.inner.monitor.slow()
    }

    /// Verifies the whole store: the file, foreign keys, the owner of every row, counts and
    /// bytes against the rows, rows against the audit log, and every log's chain.
    ///
    /// It reads everything, in one snapshot, beside reads and writes.
    ///
    /// # Errors
    ///
    /// Only failures to look; what is found is in the report.
    pub fn check(&self) -> Result<Report> {
        self.inner.flush();
        self.inner.check_files()
    }

    /// Builds files anew in which bytes of erased users and organizations may be left, and empties their logs of
    /// writes; does nothing if there are none. Erasing does so itself, and so does opening: call it when an
    /// [`Erasure`](crate::Erasure) was not scrubbed, once whoever read an old state is done.
    ///
    /// Nobody writes to a file while it is built anew, in time that grows with the file, and callers wait or are told
    /// [`Error::Busy`]; reads go on. It needs room for the file's content twice: in the log of writes beside it, and in
    /// the folder for temporary files (<https://sqlite.org/tempfiles.html>), where other tenants' rows lie meanwhile.
    ///
    /// # Errors
    ///
    /// [`Error::Full`] if there is no room for that; [`Error::Busy`] if writers keep it from beginning;
    /// [`Error::Corrupt`] or [`Error::Io`] if a partition can't be opened, once the others are done. Whatever it
    /// is, the next call begins with what is left.
    ///
    /// ```
    /// # use tenantry::{Entity, Store, UserId};
    /// # #[derive(Entity)] struct Task { title: String }
    /// # fn main() -> tenantry::Result<()> {
    /// # let store = Store::builder().entity::<Task>().temporary()?;
    /// let ada = store.users().create(&UserId::new("ada")?)?;
    /// store.session(&ada)?.insert(&Task { title: "Dig".into() })?;
    /// let erased = store.users().erase(&ada)?;
    /// if !erased.scrubbed {
    ///     assert!(store.scrub()?.is_done());
    /// }
    /// # Ok(()) }
    /// ```
    pub fn scrub(&self) -> Result<Scrub> {
        self.inner.scrub()
    }

    /// Encrypts the store anew, with another key. Nobody reads or writes meanwhile: who wants to waits, as long as
    /// [`Builder::wait_timeout`] says. A kill at any moment leaves the store with the one key or the other.
    ///
    /// A single file is written whole; then the pages with the former key are taken out of the file and its log, at
    /// the latest when it is closed, unless another process that reads keeps them: close those first, and open them with the
    /// new key. Of a store of several files only the catalog is written, which holds the key of the partitions:
    /// that one stays, so whoever had the former key *and* a copy of the catalog can still read partitions.
    ///
    /// ```
    /// # use tenantry::{Key, Store};
    /// # fn main() -> tenantry::Result<()> {
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let path = folder.path().join("app.db");
    /// let store = Store::builder().encryption_key(Key::raw([1; 32])).open(&path)?;
    /// store.rekey(Key::raw([2; 32]))?;
    /// store.close()?;
    /// assert!(Store::builder().encryption_key(Key::raw([1; 32])).open(&path).is_err());
    /// assert!(Store::builder().encryption_key(Key::raw([2; 32])).open(&path).is_ok());
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// - [`Error::Key`] for a store that is not encrypted.
    /// - [`Error::Busy`] if transactions, iterators or streams stay open; nothing was changed.
    /// - [`Error::Full`] and [`Error::Io`]: the store has the key that it had, or the one or the other if
    ///   it answers [`Error::Closed`] afterwards.
    #[cfg(feature = "sqlcipher")]
    pub fn rekey(&self, key: Key) -> Result<()> {
        self.inner.rekey(&key)
    }

    /// Closes the store for all clones and sessions, whose next call answers
    /// [`Error::Closed`]. Waits for an open transaction; moves the write-ahead log into the file.
    ///
    /// # Errors
    ///
    /// [`Error::Busy`] if a transaction stays open, or what SQLite meets while it closes.
    pub fn close(&self) -> Result<()> {
        self.inner.close()
    }
}

#[cfg(test)]
impl Store {
    /// A look into a file past the library: the main one, or a partition.
    pub(crate) fn look(&self, partition: Option<&str>) -> rusqlite::Connection {
        let (path, cipher) = match partition {
            Some(name) => self.inner.spread().unwrap().file_named(name),
            None => (self.inner.main().path().to_owned(), self.inner.main().file().cipher()),
        };
        let connection = rusqlite::Connection::open(path).unwrap();
        cipher.iter().for_each(|cipher| cipher.unlock(&connection).unwrap());
        connection
    }
}

fn absent_as_none<T>(result: Result<T>) -> Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(Error::UnknownUser { .. } | Error::UnknownOrganization { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}
