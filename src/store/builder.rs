//! Choosing entities and settings, and opening.

use std::any::TypeId;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::Connection;

use super::connection::Durability;
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
use crate::schema::{Partitioning, Role};
use crate::sql::SqlLimits;

/// What opening a path gives: the claim on it, its entities, and a connection that writes if it is to.
type Claimed = (lock::Claim, open::Opened, Option<Connection>);

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
        let name = if self.partitioning.is_some() { "store" } else { "store.db" };
        let path = folder.path().join(name);
        self.open_in(&path, Some(folder))
    }

    fn open_in(mut self, path: &Path, folder: Option<tempfile::TempDir>) -> Result<Store> {
        for definition in &self.definitions {
            definition.validate()?;
        }
        let definitions = std::mem::take(&mut self.definitions);
        let (path, file, role) = self.locate(path)?;
        let (claim, opened, connection) = if self.read_only {
            self.claim_reading(&file, role, definitions)?
        } else {
            self.claim_writing(&file, role, definitions)?
        };
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
        let main = Arc::new(Part::new(&file, claim, committer, &main_settings));
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
        claim.inspect(open::inspect)?;
        let load = |reader: &Connection| {
            let opened = open::load_read_only(path, role, reader, definitions, &self.quotas)?;
            self.check_layout(reader, role)?;
            Ok(opened)
        };
        let opened = connection::reader(path).and_then(|reader| load(&reader)).map_err(
            // SQLite reads a WAL database through a file beside it, which somebody has to be able
            // to make (https://sqlite.org/wal.html#readonly).
            |error| match error {
                Error::Io { .. } => Error::ReadOnly {
                    reason: format!(
                        "{} can not be read: SQLite has to make {}-shm beside it, so allow writing to its folder or copy the file to another one",
                        path.display(),
                        path.display()
                    ),
                },
                other => other,
            },
        )?;
        Ok((claim, opened, None))
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
        if !path.exists() {
            if role == Role::Catalog {
                check_vacant(path)?;
            }
            let partitioning = self.partitioning.unwrap_or(Partitioning::Single);
            open::create_store(path, partitioning, &self.clock, &self.randomness)?;
        }
        claim.inspect(open::inspect)?;
        let mut connection = connection::writer(path, self.durability_of(role))?;
        let opened = open::load(path, role, &mut connection, definitions, &self.quotas)?;
        self.check_layout(&connection, role)?;
        Ok((claim, opened, Some(connection)))
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
