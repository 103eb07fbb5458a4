//! Choosing entities and settings, and opening.

use std::any::TypeId;
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::connection::Durability;
use super::inner::{Inner, Parts};
use super::readers::Readers;
use super::{Store, connection, lock, open};
use crate::cache::Cache;
use crate::commit::{Checkpoints, Clock, Committer, Randomness, Writer};
use crate::entity::{Definition, Entity};
use crate::error::{Error, Result};
use crate::monitor::{Monitor, Monitoring};
use crate::quota::Quota;

/// What opening a path needs and gives: the claim on it, its entities, and the writer if it writes.
type Claimed = (lock::Claim, open::Opened, Option<Arc<Committer>>, Option<Arc<Cache>>);

/// Longer is for ever, and still a time that can be added to now.
const TIMEOUT_MAX: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

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
    record_bytes_max: usize,
    durability: Durability,
    cache_bytes: usize,
    monitoring: Option<Monitoring>,
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
    pub(super) fn new() -> Self {
        Self {
            definitions: Vec::new(),
            types: Vec::new(),
            quotas: Vec::new(),
            open_timeout: Duration::from_secs(2),
            write_timeout: Duration::from_secs(10),
            readers: 8,
            record_bytes_max: 256 * 1024,
            durability: Durability::Full,
            cache_bytes: 0,
            monitoring: None,
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
        let path = folder.path().join("store.db");
        self.open_in(&path, Some(folder))
    }

    fn open_in(mut self, path: &Path, folder: Option<tempfile::TempDir>) -> Result<Store> {
        for definition in &self.definitions {
            definition.validate()?;
        }
        let definitions = std::mem::take(&mut self.definitions);
        let path = open::canonical(path)?;
        let (claim, opened, committer, cache) = if self.read_only {
            self.claim_reading(&path, definitions)?
        } else {
            self.claim_writing(&path, definitions)?
        };
        let types = self
            .types
            .iter()
            .map(|(id, name)| Ok((*id, Arc::clone(opened.catalog.get(name)?))))
            .collect::<Result<HashMap<_, _>>>()?;
        let readers = Readers::new(&path, self.readers, self.write_timeout);
        tracing::debug!(entities = opened.catalog.tables().len(), read_only = self.read_only, "store opened");
        Ok(Store {
            inner: Arc::new(Inner::new(Parts {
                path,
                catalog: opened.catalog,
                types,
                readers,
                committer,
                cache,
                monitor: Monitor::new(opened.device, self.monitoring),
                clock: self.clock,
                claim,
                folder,
            })),
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
        let mut claim = lock::Claim::reading(path);
        claim.inspect(open::inspect)?;
        let opened = connection::reader(path).and_then(|reader| open::load_read_only(&reader, definitions, &self.quotas)).map_err(
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
        Ok((claim, opened, None, None))
    }

    fn claim_writing(&self, path: &Path, definitions: Vec<Definition>) -> Result<Claimed> {
        let mut claim = lock::Claim::writing(path, self.open_timeout)?;
        if !path.exists() {
            // Definitions that contradict each other leave no file behind.
            crate::schema::plan(Vec::new(), definitions.clone(), &self.quotas)?;
            open::create(path, &self.clock, &self.randomness)?;
        }
        claim.inspect(open::inspect)?;
        let mut connection = connection::writer(path, self.durability)?;
        let opened = open::load(&mut connection, definitions, &self.quotas)?;
        let cache = (self.cache_bytes > 0).then(|| Arc::new(Cache::new(self.cache_bytes)));
        let writer = Writer::new(
            connection,
            Arc::clone(&self.clock),
            Arc::clone(&self.randomness),
            opened.device,
            self.record_bytes_max,
            cache.clone(),
        );
        let checkpoints = Checkpoints::new(path, connection::checkpointer);
        let committer = Committer::new(writer, self.write_timeout, checkpoints);
        Ok((claim, opened, Some(Arc::new(committer)), cache))
    }
}
