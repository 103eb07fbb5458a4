//! Choosing entities and settings, and opening.

use std::any::TypeId;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::Connection;

#[cfg(feature = "sqlcipher")]
use super::Key;
use super::cipher::Cipher;
use super::connection::Durability;
use super::file::StoreFile;
use super::inner::{Inner, Parts, Types};
use super::part::{Part, Settings};
use super::spread::{CATALOG, Spread};
use super::{Store, connection, lock, open};
use crate::cache::Cache;
use crate::commit::{Clock, Randomness};
use crate::entity::{Definition, Entity};
use crate::error::{Error, Result};
use crate::monitor::{Monitor, Monitoring};
use crate::quota::Quota;
use crate::schema::partitions;
use crate::schema::{FileKey, Partitioning, Role};
use crate::sql::SqlLimits;

/// What opening a path gives: the claim on it, its entities, and a connection that writes if it is to.
struct Claimed {
    claim: lock::Claim,
    file: Arc<StoreFile>,
    opened: open::Opened,
    connection: Option<Connection>,
    /// What the partitions of a catalog are encrypted with.
    partitions_key: Option<FileKey>,
}

/// Longer is for ever, and still a time that can be added to now.
const TIMEOUT_MAX: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// Partitions that are open at once: with their readers well below the files that a process may have
/// open by default.
const PARTITIONS_OPEN: usize = 32;
/// Connections for reading of each partition; the main file's are the store's own.
const PARTITION_READERS: u32 = 4;
/// The same for tenants' own SQL.
const PARTITION_SQL: u32 = 4;
/// More files than anybody spreads tenants over by number.
const PARTITIONS_MAX: u32 = 1_000;

/// More connections than a process can have files open.
const READERS_MAX: u32 = 1_024;

/// Chooses how a store is opened. Made by [`Store::builder`].
#[must_use]
pub struct Builder {
    definitions: Vec<Definition>,
    types: Vec<(TypeId, String)>,
    quotas: Vec<(String, Quota)>,
    open_timeout: Duration,
    write_timeout: Duration,
    readers: u32,
    sql_connections: u32,
    sql_limits: SqlLimits,
    record_bytes_max: usize,
    durability: Durability,
    cache_bytes: usize,
    monitoring: Option<Monitoring>,
    read_only: bool,
    partitioning: Option<Partitioning>,
    partitions_open: usize,
    clock: Clock,
    randomness: Randomness,
    #[cfg(feature = "sqlcipher")]
    key: Option<Key>,
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
    pub(super) fn new() -> Self {
        Self {
            definitions: Vec::new(),
            types: Vec::new(),
            quotas: Vec::new(),
            open_timeout: Duration::from_secs(2),
            write_timeout: Duration::from_secs(10),
            readers: 8,
            sql_connections: 8,
            sql_limits: SqlLimits::default(),
            record_bytes_max: 256 * 1024,
            durability: Durability::Full,
            cache_bytes: 0,
            monitoring: None,
            read_only: false,
            partitioning: None,
            partitions_open: PARTITIONS_OPEN,
            clock: Arc::new(Timestamp::now),
            randomness: Arc::new(|bytes| {
                getrandom::fill(bytes).map_err(|error| Error::io("the system's randomness", error))
            }),
            #[cfg(feature = "sqlcipher")]
            key: None,
        }
    }

    /// Adds an entity. The file gets its table the first time; afterwards the definition must be
    /// the one that the file holds.
    pub fn entity<E: Entity>(mut self) -> Self {
        self.types.push((TypeId::of::<E>(), E::ENTITY_NAME.to_owned()));
        self.definition(E::definition())
    }

    /// Adds an entity that is defined at run time; reach it with
    /// [`Verbs::dynamic`](crate::Verbs::dynamic).
    pub fn definition(mut self, definition: Definition) -> Self {
        self.definitions.push(definition);
        self
    }

    /// What every tenant may have of an entity, except those with a quota of their own. No limit by
    /// default. The file does not hold it: name it at each opening.
    ///
    /// Opening answers [`Error::Schema`] if the store has no such entity.
    pub fn quota(mut self, entity: impl Into<String>, quota: Quota) -> Self {
        self.quotas.push((entity.into(), quota));
        self
    }

    /// How long opening waits for another process that writes the store. 2 seconds by default.
    pub fn open_timeout(mut self, timeout: Duration) -> Self {
        self.open_timeout = timeout.min(TIMEOUT_MAX);
        self
    }

    /// How long a write waits for the ones before it, and a read for a connection, before they
    /// answer [`Error::Busy`]. 10 seconds by default; a read waits at least one.
    pub fn wait_timeout(mut self, timeout: Duration) -> Self {
        self.write_timeout = timeout.min(TIMEOUT_MAX);
        self
    }

    /// How many reads can run at once; one user or organization has at most three quarters of
    /// them, if there are three or more. 8 by default; at least 1 and at most 1,024.
    pub fn readers(mut self, connections: u32) -> Self {
        self.readers = connections.clamp(1, READERS_MAX);
        self
    }

    /// How many connections for tenants' own SQL there are, in use or kept for the scope that they serve; one user or
    /// organization has at most three quarters of them in use, if there are three or more. 8 by default; at least 1 and
    /// at most 1,024.
    pub fn sql_connections(mut self, connections: u32) -> Self {
        self.sql_connections = connections.clamp(1, READERS_MAX);
        self
    }

    /// What a statement of a tenant's own SQL may take, unless its session says otherwise.
    pub fn sql_limits(mut self, limits: SqlLimits) -> Self {
        self.sql_limits = limits;
        self
    }

    /// The most bytes that the values of one record may have. 256 KiB by default.
    pub fn record_bytes_max(mut self, bytes: usize) -> Self {
        self.record_bytes_max = bytes;
        self
    }

    /// What an answered write survives. [`Durability::Full`] by default.
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// Keeps records that were read by id in memory, at most so many bytes, half of them for one
    /// tenant; 0, the default, keeps none. It pays where the same records are read again and again: a
    /// hit asks SQLite nothing, a miss copies the row besides reading it. A store that is open only for
    /// reading keeps none, since another process writes it.
    pub fn cache(mut self, bytes: usize) -> Self {
        self.cache_bytes = bytes;
        self
    }

    /// Counts and times every operation, for [`Store::stats`] and `tracing`. Off by default.
    pub fn monitor(mut self, monitoring: Monitoring) -> Self {
        self.monitoring = Some(monitoring);
        self
    }

    /// Opens the store for reading only: also beside a process that writes it. Every write
    /// answers [`Error::ReadOnly`].
    pub fn read_only(mut self) -> Self {
        self.read_only = true;
        self
    }

    /// Spreads users and organizations over so many SQLite files in a folder, at least 1 and at most
    /// 1,000, each with its own writer: for stores that would grow too large for one file, and so that a
    /// damaged file takes only its own tenants down (but for the folder's `catalog.db`, which says who
    /// lives where). One file writes more in a second; choose this
    /// for size, not for speed. The path is that of the folder. A store that exists keeps the number that
    /// it was made with; see [`Partitions::repartition`](crate::Partitions::repartition).
    pub fn partitions(mut self, files: u32) -> Self {
        self.partitioning = Some(Partitioning::Fixed(files.clamp(1, PARTITIONS_MAX)));
        self
    }

    /// Gives each user and each organization (with its members' private records) a SQLite file of its
    /// own, in a folder: tenants that can be backed up, moved and deleted as files.
    pub fn partition_per_tenant(mut self) -> Self {
        self.partitioning = Some(Partitioning::PerTenant);
        self
    }

    /// How many partitions are kept open, at least 1; 32 by default. The one that was used least
    /// recently is closed for another, but never one in use: so many can be open and more, if so many
    /// are needed at once.
    pub fn partitions_open(mut self, files: usize) -> Self {
        self.partitions_open = files.max(1);
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

    /// The key that the store is encrypted with, or is to be if it is made: all of its files, and what SQLite keeps
    /// beside them. A plain store stays so, and is refused with a key; [`Store::rekey`] changes the key of an
    /// encrypted one.
    #[cfg(feature = "sqlcipher")]
    pub fn encryption_key(mut self, key: Key) -> Self {
        self.key = Some(key);
        self
    }

    /// Opens the file, or makes it if there is none. It takes as long as building files anew if somebody was
    /// erased and that was cut off ([`Store::scrub`]).
    ///
    /// # Errors
    ///
    /// - [`Error::Locked`] if another process, or this one, has it open for writing.
    /// - [`Error::Corrupt`] if it is damaged, empty, or not a store; nothing of it is changed.
    /// - [`Error::Schema`] if a newer version of Tenantry wrote it, if the definitions
    ///   contradict each other or the file, or if a quota is for an entity that it does not hold.
    /// - [`Error::ReadOnly`] if the file or its folder can't be written.
    /// - [`Error::InvalidInput`] if the path names a folder or a folder on it is missing.
    /// - [`Error::Key`] if it is encrypted with another key, or no key was given, or one for a plain store.
    pub fn open(self, path: impl AsRef<Path>) -> Result<Store> {
        self.open_in(path.as_ref(), None)
    }

    /// Opens a new store in a temporary folder that goes with it. With the feature `sqlcipher` it is encrypted, with a
    /// random key that nobody keeps unless one was given: what a killed process leaves behind tells nothing.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn temporary(self) -> Result<Store> {
        #[cfg(feature = "sqlcipher")]
        let this = Self { key: Some(self.key.map_or_else(Key::random, Ok)?), ..self };
        #[cfg(not(feature = "sqlcipher"))]
        let this = self;
        let folder =
            tempfile::tempdir().map_err(|error| Error::io("the folder for temporary files", error))?;
        let name = if this.partitioning.is_some() { "store" } else { "store.db" };
        let path = folder.path().join(name);
        this.open_in(&path, Some(folder))
    }

    fn open_in(mut self, path: &Path, folder: Option<tempfile::TempDir>) -> Result<Store> {
        for definition in &self.definitions {
            definition.validate()?;
        }
        let definitions = std::mem::take(&mut self.definitions);
        let (path, file, role) = self.locate(path)?;
        let Claimed { claim, file, opened, connection, partitions_key } = if self.read_only {
            self.claim_reading(&file, role, definitions)?
        } else {
            self.claim_writing(&file, role, definitions)?
        };
        let partitions_cipher = partitions_key.map(|key| Cipher::of(&key)).transpose()?.map(Arc::new);
        let types = self
            .types
            .iter()
            .map(|(id, name)| Ok((*id, Arc::clone(opened.catalog.get(name)?))))
            .collect::<Result<Types>>()?;
        let classes = Arc::default();
        let caches = self.cache_bytes > 0 && !self.read_only;
        let cache = caches.then(|| Arc::new(Cache::new(self.cache_bytes)));
        let settings = |durability, readers, sql| Settings {
            durability,
            readers,
            sql,
            wait_timeout: self.write_timeout,
            record_bytes_max: self.record_bytes_max,
            clock: Arc::clone(&self.clock),
            randomness: Arc::clone(&self.randomness),
            cache: cache.clone(),
            classes: Arc::clone(&classes),
        };
        let main_settings = settings(self.durability_of(role), self.readers, self.sql_connections);
        let committer = connection
            .map(|connection| Part::committer_of(&file, connection, opened.device, &main_settings))
            .transpose()?;
        let main = Arc::new(Part::new(file, claim, committer, &main_settings));
        let catalog = Arc::new(opened.catalog);
        let spread = (role == Role::Catalog).then(|| {
            let (readers, sql) =
                (self.readers.min(PARTITION_READERS), self.sql_connections.min(PARTITION_SQL));
            let settings = settings(self.durability, readers, sql);
            Spread::new(
                &path,
                Arc::clone(&main),
                Arc::clone(&catalog),
                settings,
                opened.device,
                partitions_cipher,
                self.partitions_open,
            )
        });
        tracing::debug!(entities = catalog.tables().len(), read_only = self.read_only, "store opened");
        let store = Store {
            inner: Arc::new(Inner::new(Parts {
                path,
                catalog,
                types,
                main,
                spread,
                classes,
                sql_limits: self.sql_limits,
                cache,
                monitor: Monitor::new(opened.device, self.monitoring),
                clock: self.clock,
                #[cfg(feature = "sqlcipher")]
                durability: main_settings.durability,
                #[cfg(feature = "sqlcipher")]
                wait_timeout: self.write_timeout,
                folder,
            })),
        };
        store.inner.finish_moves()?;
        store.inner.finish_erasures();
        Ok(store)
    }

    /// A catalog decides what follows in partitions, and so is always synced.
    fn durability_of(&self, role: Role) -> Durability {
        if role == Role::Catalog { Durability::Full } else { self.durability }
    }

    /// The path that the store is known by, its main file, and what that has to be.
    fn locate(&self, path: &Path) -> Result<(PathBuf, PathBuf, Role)> {
        let path = open::canonical(path)?;
        let is_folder = path.is_dir();
        if self.partitioning.is_none() && !is_folder {
            return Ok((path.clone(), path, Role::File));
        }
        let catalog = path.join(CATALOG);
        match self.partitioning {
            None if !catalog.exists() => Err(Error::invalid(
                "path",
                format!(
                    "{} is a folder without a store; name a file in it, or choose partitions",
                    path.display()
                ),
            )),
            Some(_) if path.is_file() => Err(Error::invalid(
                "path",
                format!("{} is a file, and a store with partitions is a folder", path.display()),
            )),
            _ => Ok((path, catalog, Role::Catalog)),
        }
    }

    fn claim_reading(&self, path: &Path, role: Role, definitions: Vec<Definition>) -> Result<Claimed> {
        if !path.exists() {
            return Err(Error::invalid(
                "path",
                format!(
                    "{} does not exist, and a store that is open only for reading is not made",
                    path.display()
                ),
            ));
        }
        let mut claim = lock::Claim::reading(path);
        // SQLite reads a WAL database through a file beside it, which somebody has to be able to make
        // (https://sqlite.org/wal.html#readonly).
        let unreadable = |error| match error {
            Error::Io { .. } => Error::ReadOnly {
                reason: format!(
                    "{} can not be read: SQLite has to make {}-shm beside it, so allow writing to its folder or copy the file to another one",
                    path.display(),
                    path.display()
                ),
            },
            other => other,
        };
        let file = self.inspect(&mut claim, path, None).map_err(unreadable)?;
        let load = |reader: &Connection| {
            let opened = open::load_read_only(path, role, reader, definitions, &self.quotas)?;
            self.check_layout(reader, role)?;
            Ok((opened, partitions_key(reader, role)?))
        };
        let (opened, partitions_key) =
            connection::reader(&file).and_then(|reader| load(&reader)).map_err(unreadable)?;
        Ok(Claimed { claim, file, opened, connection: None, partitions_key })
    }

    fn claim_writing(&self, path: &Path, role: Role, definitions: Vec<Definition>) -> Result<Claimed> {
        let new_folder = path.parent().filter(|folder| role == Role::Catalog && !folder.exists());
        if !path.exists() {
            // Definitions that contradict each other leave no file behind.
            crate::schema::plan(Vec::new(), definitions.clone(), &self.quotas)?;
        }
        if let Some(folder) = new_folder {
            std::fs::create_dir(folder).map_err(|error| open::not_made(folder, error))?;
        }
        let mut claim = lock::Claim::writing(path, self.open_timeout)?;
        let mut cipher = None;
        if !path.exists() {
            if role == Role::Catalog {
                check_vacant(path)?;
            }
            let partitioning = self.partitioning.unwrap_or(Partitioning::Single);
            cipher = self.cipher_for_new()?;
            open::create_store(path, cipher.as_ref(), partitioning, &self.clock, &self.randomness)?;
        }
        let file = self.inspect(&mut claim, path, cipher)?;
        let mut connection = connection::writer(&file, self.durability_of(role))?;
        let opened = open::load(path, role, &mut connection, definitions, &self.quotas)?;
        self.check_layout(&connection, role)?;
        let partitions_key = partitions_key(&connection, role)?;
        Ok(Claimed { claim, file, opened, connection: Some(connection), partitions_key })
    }

    /// Looks at a file before anything is written to it. A file that was just made comes with what encrypts it, which
    /// takes time to find again.
    fn inspect(&self, claim: &mut lock::Claim, path: &Path, made: Option<Cipher>) -> Result<Arc<StoreFile>> {
        claim.inspect(|path| open::inspect(path, self.is_encrypted()))?;
        let cipher = match made {
            Some(cipher) => Some(cipher),
            None => self.cipher_for(path)?,
        };
        if let Some(cipher) = &cipher {
            open::inspect_encrypted(path, cipher)?;
        }
        Ok(Arc::new(StoreFile::new(path, cipher.map(Arc::new))))
    }

    #[cfg(feature = "sqlcipher")]
    fn is_encrypted(&self) -> bool {
        self.key.is_some()
    }

    #[cfg(feature = "sqlcipher")]
    fn cipher_for_new(&self) -> Result<Option<Cipher>> {
        self.key.as_ref().map(Key::for_new_file).transpose()
    }

    #[cfg(feature = "sqlcipher")]
    fn cipher_for(&self, path: &Path) -> Result<Option<Cipher>> {
        self.key.as_ref().map(|key| key.for_file(path)).transpose()
    }

    /// The store must be spread as the caller expects.
    fn check_layout(&self, connection: &Connection, role: Role) -> Result<()> {
        if role == Role::File {
            return Ok(());
        }
        let layout = partitions::layout(connection)?;
        match self.partitioning {
            Some(wanted) if wanted != layout.partitioning => Err(Error::schema(format!(
                "the store is spread over {}, not over {wanted}: open it without saying so, and use `store.partitions().repartition(..)` to change it",
                layout.partitioning
            ))),
            _ => Ok(()),
        }
    }
}

/// Without the feature there are no keys.
#[cfg(not(feature = "sqlcipher"))]
#[allow(clippy::unused_self, clippy::unnecessary_wraps)]
impl Builder {
    fn is_encrypted(&self) -> bool {
        false
    }

    fn cipher_for_new(&self) -> Result<Option<Cipher>> {
        Ok(None)
    }

    fn cipher_for(&self, _path: &Path) -> Result<Option<Cipher>> {
        Ok(None)
    }
}

fn partitions_key(connection: &Connection, role: Role) -> Result<Option<FileKey>> {
    if role == Role::Catalog { partitions::file_key(connection) } else { Ok(None) }
}

/// A folder in which a catalog is missing is no place for a new store.
fn check_vacant(catalog: &Path) -> Result<()> {
    let Some(folder) = catalog.parent() else { return Ok(()) };
    let failed = |error| Error::io(folder.display().to_string(), error);
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        if partitions::is_name(&name.to_string_lossy()) {
            return Err(Error::corrupt(format!(
                "{} is missing, and there are partitions of a store in its folder: restore it from a backup",
                catalog.display()
            )));
        }
    }
    Ok(())
}
