//! Connections for reading, lent to sessions.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;
#[cfg(feature = "sqlcipher")]
use std::time::Instant;

use rusqlite::Connection;

use super::connection;
use super::file::StoreFile;
use super::pool::{self, Lent, Texts};
use super::spread::Place;
use crate::error::{Error, Result};
use crate::identity::TenantKey;
use crate::monitor::ReaderStats;
use crate::sync::RwLock;
#[cfg(feature = "sqlcipher")]
use crate::sync::RwLockWriteGuard;
use crate::sync::atomic::{AtomicBool, Ordering};

/// Any of them serves anybody. What moves to a reader and back is a pointer.
type Pool = pool::Pool<(), Box<Connection>>;

const TEXTS: Texts = Texts {
    share: "this user or organization has its share of the read connections in use; drop iterators that are done, or raise `Builder::readers`",
    all: "every read connection is in use; try again",
};

/// Which connections a tenant reads on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum PoolClass {
    /// Those that all tenants share: each has at most three quarters of them at a time.
    #[default]
    Shared,
    /// So many of its own, and none of the shared ones: for a tenant that reads so much that others
    /// would notice.
    Own {
        /// How many; at least 1.
        readers: u32,
    },
}

/// The tenants that read on connections of their own, in whichever file they live.
#[derive(Default)]
pub(crate) struct Classes {
    own: RwLock<HashMap<TenantKey, usize>>,
    /// Whether there are any: most stores have none, and no lock to take.
    has_own: AtomicBool,
}

impl Classes {
    /// How many connections of its own a tenant has, if any.
    fn of(&self, lane: TenantKey) -> Option<usize> {
        self.own.read().unwrap_or_else(PoisonError::into_inner).get(&lane).copied()
    }

    pub(super) fn set(&self, lane: TenantKey, class: PoolClass) {
        let mut own = self.own.write().unwrap_or_else(PoisonError::into_inner);
        match class {
            PoolClass::Shared => drop(own.remove(&lane)),
            PoolClass::Own { readers } => {
                own.insert(lane, usize::try_from(readers.max(1)).unwrap_or(usize::MAX));
                // Once there were any, pools may have to be closed.
                self.has_own.store(true, Ordering::Release);
            }
        }
    }
}

/// All connections for reading of a file.
pub(crate) struct Readers {
    file: Arc<StoreFile>,
    wait_max: Duration,
    shared: Arc<Pool>,
    /// None once the store is closed.
    own: RwLock<Option<HashMap<TenantKey, Arc<Pool>>>>,
    classes: Arc<Classes>,
}

impl Readers {
    pub(super) fn new(file: &Arc<StoreFile>, size: u32, wait_max: Duration, classes: Arc<Classes>) -> Self {
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        Self {
            file: Arc::clone(file),
            wait_max,
            shared: Pool::new(size, Pool::share_of(size), wait_max, TEXTS),
            own: RwLock::new(Some(HashMap::new())),
            classes,
        }
    }

    /// A connection; waits until one is free and it is the tenant's turn.
    pub(crate) fn get(&self, lane: TenantKey) -> Result<Reader> {
        while self.classes.has_own.load(Ordering::Acquire) {
            let Some(own) = self.own(lane) else { break };
            match own.get(lane, ()) {
                // It became another one meanwhile: look again. In a closed store there is none.
                Err(Error::Closed) => {}
                outcome => return self.opened(outcome?),
            }
        }
        self.opened(self.shared.get(lane, ())?)
    }

    /// One that can't be opened leaves its place to others.
    fn opened(&self, mut lent: Lent<(), Box<Connection>>) -> Result<Reader> {
        if lent.connection.is_none() {
            lent.connection = Some(Box::new(connection::reader(&self.file)?));
        }
        Ok(Reader { lent, place: None })
    }

    /// The tenant's own pool, made or closed if its class has changed; what is in use stays so.
    pub(super) fn own(&self, lane: TenantKey) -> Option<Arc<Pool>> {
        let size = self.classes.of(lane);
        let known = match &*self.own.read().unwrap_or_else(PoisonError::into_inner) {
            Some(own) => own.get(&lane).map(Arc::clone),
            None => return None,
        };
        if known.as_ref().map(|pool| pool.size) == size {
            return known;
        }
        let mut own = self.own.write().unwrap_or_else(PoisonError::into_inner);
        let own = own.as_mut()?;
        let former = match size {
            None => own.remove(&lane),
            Some(size) => own.insert(lane, Pool::new(size, size, self.wait_max, TEXTS)),
        };
        if let Some(former) = former {
            former.close();
        }
        own.get(&lane).map(Arc::clone)
    }

    pub(super) fn add_stats(&self, stats: &mut ReaderStats) {
        let own = self.own.read().unwrap_or_else(PoisonError::into_inner);
        for pool in own.iter().flat_map(HashMap::values).chain([&self.shared]) {
            pool.add_stats(stats);
        }
    }

    /// Closes all connections and opens none until the answer is dropped.
    #[cfg(feature = "sqlcipher")]
    pub(super) fn pause(&self, until: Instant) -> Result<Paused<'_>> {
        // Nobody gets a pool of its own meanwhile.
        let own = self.own.write().unwrap_or_else(PoisonError::into_inner);
        let pools: Vec<_> =
            own.iter().flat_map(HashMap::values).chain([&self.shared]).map(Arc::clone).collect();
        let pools = pools.iter().map(|pool| pool.pause(until)).collect::<Result<_>>()?;
        Ok(Paused { _pools: pools, _own: own })
    }

    /// Lends none any more. Whether all had come back.
    pub(super) fn close(&self) -> bool {
        let own = self.own.write().unwrap_or_else(PoisonError::into_inner).take();
        let in_use =
            own.iter().flat_map(HashMap::values).chain([&self.shared]).filter(|pool| !pool.close()).count();
        in_use == 0
    }
}

/// No connection is open or opened while it lives.
#[cfg(feature = "sqlcipher")]
pub(super) struct Paused<'r> {
    _pools: Vec<pool::Paused<(), Box<Connection>>>,
    _own: RwLockWriteGuard<'r, Option<HashMap<TenantKey, Arc<Pool>>>>,
}

/// A connection that is lent; dropping it gives it back.
pub(crate) struct Reader {
    lent: Lent<(), Box<Connection>>,
    /// Keeps the file open, and the tenant in it.
    pub(super) place: Option<Place>,
}

impl Reader {
    pub(crate) fn connection(&self) -> Result<&Connection> {
        // There but for a moment while it is opened and while it goes back.
        self.lent.connection.as_deref().ok_or(Error::Closed)
    }

    /// Says of which file an error speaks.
    pub(crate) fn name_in(&self, error: Error) -> Error {
        match &self.place {
            Some(place) => place.part.name_in(error),
            None => error,
        }
    }
}

/// A connection within a read transaction, which sees one state of the store.
pub(crate) struct Snapshot(Reader);

impl Snapshot {
    pub(super) fn begin(reader: Reader) -> Result<Self> {
        reader.connection()?.prepare_cached("BEGIN")?.execute([])?;
        Ok(Self(reader))
    }

    pub(crate) fn connection(&self) -> Result<&Connection> {
        self.0.connection()
    }

    pub(crate) fn name_in(&self, error: Error) -> Error {
        self.0.name_in(error)
    }
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        // The connection goes back to the pool, where the next one must not find an old state.
        let Some(connection) = self.0.lent.connection.take_if(|connection| !connection.is_autocommit())
        else {
            return;
        };
        match connection.prepare_cached("COMMIT").and_then(|mut commit| commit.execute([])) {
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(%error, "a read connection kept its snapshot, and was closed");
                return;
            }
        }
        self.0.lent.connection = Some(connection);
    }
}

#[cfg(all(test, shuttle))]
mod schedules;
