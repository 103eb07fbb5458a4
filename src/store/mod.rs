//! The store: an open file, its connections, its entities, and who may reach what.

mod access;
mod connection;
mod directory;
mod lock;
mod open;

use std::any::TypeId;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use jiff::Timestamp;

pub(crate) use access::Grant;
use access::Grants;
use connection::Pooled;
pub(crate) use connection::Snapshot;
pub use directory::{Organizations, Users};

use crate::audit::misses::{self, Miss, Pending};
use crate::check::Report;
use crate::commit::{Actor, Clock, Committer, Event, Randomness, Unit, Writer};
use crate::entity::{Definition, Entity};
use crate::error::{Error, Result};
use crate::identity::{OrganizationId, TenantKey, UserId};
use crate::schema::{Catalog, identities};
use crate::scope::Scope;
use crate::session::{OrganizationSession, ReferenceSession, TenantSession};
use crate::statement::Table;

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

pub(crate) struct Inner {
    path: PathBuf,
    catalog: Catalog,
    types: HashMap<TypeId, Arc<Table>>,
    /// None once the store is closed.
    readers: RwLock<Option<connection::Pool>>,
    /// None for a store that is open only for reading.
    committer: Option<Arc<Committer>>,
    pub(crate) grants: Grants,
    pending: Mutex<Pending>,
    refusals: Mutex<Vec<Refusal>>,
    clock: Clock,
    closed: AtomicBool,
    claim: Mutex<Option<lock::Claim>>,
    _folder: Option<tempfile::TempDir>,
}

/// A refused access that is not in the log yet.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) user: TenantKey,
    pub(crate) outcome: &'static str,
    /// What was asked for: a column-like name and an id.
    pub(crate) what: Option<(&'static str, String)>,
}

/// What opening a path needs and gives: the claim on it, its entities, and the writer if it writes.
type Claimed = (lock::Claim, open::Opened, Option<Arc<Committer>>);

/// Chooses how a store is opened. Made by [`Store::builder`].
#[must_use]
pub struct Builder {
    definitions: Vec<Definition>,
    types: Vec<(TypeId, String)>,
    open_timeout: Duration,
    write_timeout: Duration,
    readers: u32,
    record_bytes_max: usize,
    read_only: bool,
    clock: Clock,
    randomness: Randomness,
}

impl std::fmt::Debug for Builder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Builder")
            .field("definitions", &self.definitions)
            .field("read_only", &self.read_only)
            .finish_non_exhaustive()
    }
}

impl Builder {
    fn new() -> Self {
        Self {
            definitions: Vec::new(),
            types: Vec::new(),
            open_timeout: Duration::from_secs(2),
            write_timeout: Duration::from_secs(10),
            readers: 8,
            record_bytes_max: 256 * 1024,
            read_only: false,
            clock: Arc::new(Timestamp::now),
            randomness: Arc::new(|bytes| {
                getrandom::fill(bytes).map_err(|error| Error::io("the system's randomness", error))
            }),
        }
    }

    /// Adds an entity. The file gets its table the first time; afterwards the definition must be
    /// the one that the file holds.
    pub fn entity<E: Entity>(mut self) -> Self {
        self.types.push((TypeId::of::<E>(), E::NAME.to_owned()));
        self.definition(E::definition())
    }

    /// Adds an entity that is defined at run time; reach it with
    /// [`Verbs::dynamic`](crate::Verbs::dynamic).
    pub fn definition(mut self, definition: Definition) -> Self {
        self.definitions.push(definition);
        self
    }

    /// How long opening waits for another process that writes the store. 2 seconds by default.
    pub fn open_timeout(mut self, timeout: Duration) -> Self {
        self.open_timeout = timeout;
        self
    }

    /// How long a write waits for the ones before it, and a read for a connection, before they
    /// answer [`Error::Busy`]. 10 seconds by default.
    pub fn wait_timeout(mut self, timeout: Duration) -> Self {
        self.write_timeout = timeout;
        self
    }

    /// How many reads can run at once. 8 by default; at least 1.
    pub fn readers(mut self, connections: u32) -> Self {
        self.readers = connections.max(1);
        self
    }

    /// The most bytes that the values of one record may have. 256 KiB by default.
    pub fn record_bytes_max(mut self, bytes: usize) -> Self {
        self.record_bytes_max = bytes;
        self
    }

    /// Opens the store for reading only: also beside a process that writes it. Every write
    /// answers [`Error::ReadOnly`].
    pub fn read_only(mut self) -> Self {
        self.read_only = true;
        self
    }

    /// Where the store takes the time from; for tests that need it exact.
    pub fn clock(mut self, clock: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Where the store takes random bytes from; for tests that need them exact. Ids and the
    /// audit log's salts are made of these.
    pub fn randomness(mut self, fill: impl Fn(&mut [u8]) + Send + Sync + 'static) -> Self {
        self.randomness = Arc::new(move |bytes| {
            fill(bytes);
            Ok(())
        });
        self
    }

    /// Opens the file, or makes it if there is none.
    ///
    /// # Errors
    ///
    /// - [`Error::Locked`] if another process, or this one, has it open for writing.
    /// - [`Error::Corrupt`] if it is damaged, empty, or not a store; nothing of it is changed.
    /// - [`Error::Schema`] if a newer version of Tenantry wrote it, or if the definitions
    ///   contradict each other or the file.
    /// - [`Error::ReadOnly`] if the file or its folder can't be written.
    /// - [`Error::InvalidInput`] if the path names a folder or a folder on it is missing.
    pub fn open(self, path: impl AsRef<Path>) -> Result<Store> {
        self.open_in(path.as_ref(), None)
    }

    /// Opens a new store in a temporary folder that goes with it.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn temporary(self) -> Result<Store> {
        let folder =
            tempfile::tempdir().map_err(|error| Error::io("the folder for temporary files", error))?;
        let path = folder.path().join("store.db");
        self.open_in(&path, Some(folder))
    }

    fn open_in(mut self, path: &Path, folder: Option<tempfile::TempDir>) -> Result<Store> {
        for definition in &self.definitions {
            definition.validate()?;
        }
        let definitions = std::mem::take(&mut self.definitions);
        let path = open::canonical(path)?;
        let (claim, opened, committer) = if self.read_only {
            self.claim_reading(&path, definitions)?
        } else {
            self.claim_writing(&path, definitions)?
        };
        let types = self
            .types
            .iter()
            .map(|(id, name)| Ok((*id, Arc::clone(opened.catalog.get(name)?))))
            .collect::<Result<HashMap<_, _>>>()?;
        let readers = connection::pool(&path, self.readers, self.write_timeout)?;
        tracing::debug!(entities = opened.catalog.tables().len(), read_only = self.read_only, "store opened");
        Ok(Store {
            inner: Arc::new(Inner {
                path,
                catalog: opened.catalog,
                types,
                readers: RwLock::new(Some(readers)),
                committer,
                grants: Grants::default(),
                pending: Mutex::default(),
                refusals: Mutex::default(),
                clock: self.clock,
                closed: AtomicBool::new(false),
                claim: Mutex::new(Some(claim)),
                _folder: folder,
            }),
        })
    }

    fn claim_reading(&self, path: &Path, definitions: Vec<Definition>) -> Result<Claimed> {
        if !path.exists() {
            return Err(Error::invalid(
                "path",
                format!(
                    "{} does not exist, and a store that is open only for reading is not made",
                    path.display()
                ),
            ));
        }
        let claim = lock::Claim::reading(path);
        open::inspect_claimed(path, &claim)?;
        let opened = open::load_read_only(&connection::reader(path)?, definitions)?;
        Ok((claim, opened, None))
    }

    fn claim_writing(&self, path: &Path, definitions: Vec<Definition>) -> Result<Claimed> {
        let claim = lock::Claim::writing(path, self.open_timeout)?;
        if path.exists() {
            open::inspect_claimed(path, &claim)?;
        } else {
            // Definitions that contradict each other leave no file behind.
            crate::schema::plan(Vec::new(), definitions.clone())?;
            open::create(path, &self.clock, &self.randomness)?;
        }
        let mut connection = connection::writer(path)?;
        let opened = open::load(&mut connection, definitions)?;
        let writer = Writer::new(
            connection,
            Arc::clone(&self.clock),
            Arc::clone(&self.randomness),
            opened.device,
            self.record_bytes_max,
        );
        Ok((claim, opened, Some(Arc::new(Committer::new(writer, self.write_timeout)))))
    }
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
        let (scope, grant) = self
            .inner
            .read(|connection| {
                let key = identities::find_user(connection, id)?.key;
                let grant = self.inner.grants.take(key);
                if identities::find_user(connection, id)?.value.disabled {
                    return Ok(Err(key));
                }
                Ok(Ok((Scope::User { user: id.clone(), key }, grant)))
            })?
            .map_err(|key| {
                self.inner.refuse(
                    Refusal { user: key, outcome: "disabled", what: None },
                    Error::Disabled { id: id.to_string() },
                )
            })?;
        Ok(TenantSession::new(Arc::clone(&self.inner), scope, vec![grant]))
    }

    pub(crate) fn session_in(
        inner: &Arc<Inner>,
        user: &UserId,
        user_grant: Arc<Grant>,
        organization: &OrganizationId,
    ) -> Result<OrganizationSession> {
        let user_key = user_grant.tenant;
        let not_member =
            || Error::NotMember { user: user.to_string(), organization: organization.to_string() };
        let outcome = inner.read(|connection| {
            // An organization that does not exist and one that the user is not in are the same.
            let Some(found) = absent_as_none(identities::find_organization(connection, organization))? else {
                return Ok(Err("not_member"));
            };
            let Some(member) = identities::find_member(connection, found.key, user_key)? else {
                return Ok(Err("not_member"));
            };
            let grants = vec![user_grant, inner.grants.take(found.key), inner.grants.take(member.key)];
            // Looked up again, now that the grants are taken.
            match identities::find_member(connection, found.key, user_key)? {
                Some(member) if member.active => {}
                _ => return Ok(Err("not_member")),
            }
            if identities::find_organization(connection, organization)?.value.disabled {
                return Ok(Err("disabled"));
            }
            let scope = Scope::Organization {
                user: user.clone(),
                user_key,
                organization: organization.clone(),
                organization_key: found.key,
                member_key: member.key,
            };
            Ok(Ok((scope, grants)))
        })?;
        match outcome {
            Ok((scope, grants)) => Ok(OrganizationSession::new(Arc::clone(inner), scope, grants)),
            Err(outcome) => {
                let error = if outcome == "disabled" {
                    Error::Disabled { id: organization.to_string() }
                } else {
                    not_member()
                };
                let what = Some(("organization", organization.to_string()));
                Err(inner.refuse(Refusal { user: user_key, outcome, what }, error))
            }
        }
    }

    /// The session that writes reference entities, as the application itself.
    #[must_use]
    pub fn reference(&self) -> ReferenceSession {
        ReferenceSession::new(Arc::clone(&self.inner), Scope::Reference, Vec::new())
    }

    /// Users: create, rename, disable, list.
    pub fn users(&self) -> Users<'_> {
        Users::new(&self.inner)
    }

    /// Organizations and their members.
    pub fn organizations(&self) -> Organizations<'_> {
        Organizations::new(&self.inner)
    }

    /// The definitions of all entities that the store holds.
    #[must_use]
    pub fn definitions(&self) -> Vec<&Definition> {
        self.inner.catalog.tables().iter().map(|table| &table.definition).collect()
    }

    /// The store's file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.inner.path
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
        crate::check::check(&*self.inner.snapshot()?, &self.inner.catalog)
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

impl Inner {
    pub(crate) fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    pub(crate) fn table_of<E: Entity>(&self) -> Result<&Arc<Table>> {
        self.types.get(&TypeId::of::<E>()).ok_or_else(|| {
            Error::schema(format!(
                "entity {:?} is not registered: add `.entity::<{}>()` to the builder",
                E::NAME,
                std::any::type_name::<E>()
            ))
        })
    }

    pub(crate) fn now(&self) -> Timestamp {
        (self.clock)()
    }

    pub(crate) fn is_read_only(&self) -> bool {
        self.committer.is_none()
    }

    fn check_open(&self) -> Result<()> {
        if self.closed.load(Ordering::Acquire) { Err(Error::Closed) } else { Ok(()) }
    }

    /// A connection for reading.
    pub(crate) fn reader(&self) -> Result<Pooled> {
        let readers = self.readers.read().unwrap_or_else(PoisonError::into_inner);
        Ok(readers.as_ref().ok_or(Error::Closed)?.get()?)
    }

    pub(crate) fn read<R>(&self, read: impl FnOnce(&rusqlite::Connection) -> Result<R>) -> Result<R> {
        read(&*self.reader()?)
    }

    /// A connection that sees one state of the store until it is dropped.
    pub(crate) fn snapshot(&self) -> Result<Snapshot> {
        Snapshot::begin(self.reader()?)
    }

    /// Begins a transaction on the writer.
    pub(crate) fn begin(&self, actor: Actor) -> Result<Unit> {
        self.check_open()?;
        match &self.committer {
            Some(committer) => committer.begin(actor),
            None => Err(Error::ReadOnly { reason: "the store is open only for reading".to_owned() }),
        }
    }

    /// Runs one transaction.
    pub(crate) fn write<R>(&self, actor: Actor, write: impl FnOnce(&mut Unit) -> Result<R>) -> Result<R> {
        let mut unit = self.begin(actor)?;
        let result = write(&mut unit)?;
        unit.commit()?;
        Ok(result)
    }

    /// Puts a refusal on record in the log of the user who was refused, and gives the error back.
    pub(crate) fn refuse(&self, refusal: Refusal, error: Error) -> Error {
        if !self.is_read_only() {
            tracing::warn!(outcome = refusal.outcome, "access refused");
            self.refusals.lock().unwrap_or_else(PoisonError::into_inner).push(refusal);
            self.flush_refusals();
        }
        error
    }

    /// Notes that a tenant asked for a record that it does not have.
    pub(crate) fn note_miss(&self, tenant: TenantKey, entity: &str, record: uuid::Uuid) {
        if !self.is_read_only() {
            let miss = Miss { tenant, entity: entity.to_owned(), record, time: self.now() };
            self.pending.lock().unwrap_or_else(PoisonError::into_inner).note(miss);
        }
    }

    /// Writes what waits in memory if it is time, and if nobody else is writing.
    pub(crate) fn flush_if_due(&self) {
        if !self.refusals.lock().unwrap_or_else(PoisonError::into_inner).is_empty() {
            self.flush_refusals();
        }
        let due = self.pending.lock().unwrap_or_else(PoisonError::into_inner).is_due();
        if due && self.committer.as_ref().is_some_and(|committer| !committer.is_busy()) {
            self.flush_misses();
        }
    }

    fn flush(&self) {
        if !self.is_read_only() {
            self.flush_refusals();
            self.flush_misses();
        }
    }

    fn flush_misses(&self) {
        let misses = self.pending.lock().unwrap_or_else(PoisonError::into_inner).take();
        if misses.is_empty() {
            return;
        }
        if let Err(error) = self.write(Actor::default(), |unit| misses::store(unit.connection()?, &misses)) {
            // Misses are a report, not a promise: losing some is better than failing a read.
            tracing::warn!(%error, lost = misses.len(), "misses could not be recorded");
        }
    }

    /// Refusals wait only while this thread itself holds the writer, or the disk fails.
    fn flush_refusals(&self) {
        let refusals = std::mem::take(&mut *self.refusals.lock().unwrap_or_else(PoisonError::into_inner));
        for (number, refusal) in refusals.iter().enumerate() {
            let mut payload = crate::audit::payload::PayloadWriter::new();
            if let Some((what, id)) = &refusal.what {
                payload.change(what, &crate::Value::None, &crate::Value::Text(id.clone()));
            }
            let event = Event {
                action: "session",
                outcome: refusal.outcome,
                entity: None,
                record: None,
                payload: payload.finish(),
            };
            let actor = Actor { user: Some(refusal.user) };
            if let Err(error) = self.write(actor, |unit| unit.audit(refusal.user, &event)) {
                tracing::warn!(%error, "a refusal could not be recorded yet");
                let mut waiting = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
                waiting.extend(refusals.into_iter().skip(number));
                return;
            }
        }
    }

    fn close(&self) -> Result<()> {
        if self.closed.load(Ordering::Acquire) {
            return Ok(());
        }
        self.flush();
        if let Some(committer) = &self.committer {
            committer.close()?;
        }
        self.closed.store(true, Ordering::Release);
        let readers = self.readers.write().unwrap_or_else(PoisonError::into_inner).take();
        let in_use =
            readers.is_some_and(|readers| readers.state().connections > readers.state().idle_connections);
        if !in_use {
            // Otherwise the path stays claimed until the last iterator over it is gone.
            self.claim.lock().unwrap_or_else(PoisonError::into_inner).take();
        }
        Ok(())
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            tracing::warn!(%error, "the store did not close cleanly; the next opening recovers it");
        }
    }
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("path", &self.path).finish_non_exhaustive()
    }
}

fn absent_as_none<T>(result: Result<T>) -> Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(Error::UnknownUser { .. } | Error::UnknownOrganization { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}
