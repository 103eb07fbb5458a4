//! Connections for reading, lent to sessions. A tenant has at most its share of them, and those who
//! wait are served tenant by tenant, so one that reads without end leaves others their own.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use rusqlite::Connection;

use super::connection;
use super::spread::Place;
use crate::error::{Error, Result};
use crate::identity::TenantKey;
use crate::lanes::{Lanes, Ticket};
use crate::monitor::ReaderStats;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{Mutex, MutexGuard, RwLock};

/// The first read waits while its connection is opened.
const WAIT_MIN: Duration = Duration::from_secs(1);

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
    shared: Arc<Pool>,
    /// None once the store is closed.
    own: RwLock<Option<HashMap<TenantKey, Arc<Pool>>>>,
    classes: Arc<Classes>,
}

pub(super) struct Pool {
    path: PathBuf,
    size: usize,
    /// How many of them one tenant may hold.
    share: usize,
    wait_max: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    #[allow(clippy::vec_box)] // what moves to a reader and back is a pointer
    idle: Vec<Box<Connection>>,
    /// Whose the ones in use are.
    holders: Vec<TenantKey>,
    waiting: Lanes<Arc<Ticket<Given>>>,
    waited: u64,
    timeouts: u64,
    closed: bool,
}

/// How many of the connections in use are a tenant's.
fn held(holders: &[TenantKey], lane: TenantKey) -> usize {
    holders.iter().filter(|holder| **holder == lane).count()
}

/// What somebody who waits is given: a connection, or the leave to open one.
enum Given {
    Connection(Box<Connection>),
    Place,
    Closed,
}

impl Readers {
    pub(super) fn new(path: &Path, size: u32, wait_max: Duration, classes: Arc<Classes>) -> Self {
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        // With two, whoever reads while it iterates needs both.
        let share = if size < 3 { size } else { size - (size / 4).max(1) };
        Self {
            shared: Pool::new(path, size, share, wait_max),
            own: RwLock::new(Some(HashMap::new())),
            classes,
        }
    }

    /// A connection; waits until one is free and it is the tenant's turn.
    pub(crate) fn get(&self, lane: TenantKey) -> Result<Reader> {
        while self.classes.has_own.load(Ordering::Acquire) {
            let Some(own) = self.own(lane) else { break };
            match Pool::get(&own, lane) {
                // It became another one meanwhile: look again. In a closed store there is none.
                Err(Error::Closed) => {}
                outcome => return outcome,
            }
        }
        Pool::get(&self.shared, lane)
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
            Some(size) => own.insert(lane, Pool::new(&self.shared.path, size, size, self.shared.wait_max)),
        };
        if let Some(former) = former {
            former.close();
        }
        own.get(&lane).map(Arc::clone)
    }

    pub(super) fn add_stats(&self, stats: &mut ReaderStats) {
        let own = self.own.read().unwrap_or_else(PoisonError::into_inner);
        for pool in own.iter().flat_map(HashMap::values).chain([&self.shared]) {
            let state = pool.lock();
            stats.size += pool.size;
            stats.in_use += state.holders.len();
            stats.waiting += state.waiting.len();
            stats.waited += state.waited;
            stats.timeouts += state.timeouts;
        }
    }

    /// Lends none any more. Whether all had come back.
    pub(super) fn close(&self) -> bool {
        let own = self.own.write().unwrap_or_else(PoisonError::into_inner).take();
        let in_use =
            own.iter().flat_map(HashMap::values).chain([&self.shared]).filter(|pool| !pool.close()).count();
        in_use == 0
    }
}

impl Pool {
    fn new(path: &Path, size: usize, share: usize, wait_max: Duration) -> Arc<Self> {
        let wait_max = wait_max.max(WAIT_MIN);
        Arc::new(Self { path: path.to_owned(), size, share, wait_max, state: Mutex::default() })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that can panic runs under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn get(self: &Arc<Self>, lane: TenantKey) -> Result<Reader> {
        let ticket = {
            let mut state = self.lock();
            if state.closed {
                return Err(Error::Closed);
            }
            if state.waiting.is_empty()
                && state.holders.len() < self.size
                && held(&state.holders, lane) < self.share
            {
                state.holders.push(lane);
                let idle = state.idle.pop();
                drop(state);
                return self.lend(lane, idle);
            }
            let ticket = Arc::new(Ticket::default());
            state.waiting.push(lane, Arc::clone(&ticket));
            state.waited += 1;
            // Others may wait for their own share, and not for a connection.
            self.serve(&mut state);
            ticket
        };
        match self.wait(lane, &ticket)? {
            Given::Connection(connection) => self.lend(lane, Some(connection)),
            Given::Place => self.lend(lane, None),
            Given::Closed => Err(Error::Closed),
        }
    }

    fn wait(&self, lane: TenantKey, ticket: &Arc<Ticket<Given>>) -> Result<Given> {
        if let Some(given) = ticket.wait_for(self.wait_max) {
            return Ok(given);
        }
        let mut state = self.lock();
        if state.waiting.remove(lane, |other| Arc::ptr_eq(other, ticket)).is_some() {
            state.timeouts += 1;
            return Err(if held(&state.holders, lane) >= self.share {
                Error::Busy {
                    reason: "this user or organization has its share of the read connections in use; drop iterators that are done, or raise `Builder::readers`",
                }
            } else {
                Error::Busy { reason: "every read connection is in use; try again" }
            });
        }
        drop(state);
        // It was given in this moment.
        Ok(ticket.wait())
    }

    /// The holder is noted already; a connection that can't be opened leaves its place to others.
    fn lend(self: &Arc<Self>, lane: TenantKey, connection: Option<Box<Connection>>) -> Result<Reader> {
        let mut reader = Reader { pool: Arc::clone(self), lane, connection, place: None };
        if reader.connection.is_none() {
            reader.connection = Some(Box::new(connection::reader(&self.path)?));
        }
        Ok(reader)
    }

    /// Gives what is free to those who wait and may have it.
    fn serve(&self, state: &mut State) {
        while state.holders.len() < self.size {
            let State { waiting, holders, .. } = &mut *state;
            let may = |lane, _: &_| held(holders, lane) < self.share;
            let Some((lane, ticket)) = waiting.next_where(may) else { return };
            state.holders.push(lane);
            ticket.give(state.idle.pop().map_or(Given::Place, Given::Connection));
        }
    }

    fn take_back(&self, lane: TenantKey, connection: Option<Box<Connection>>) {
        let mut state = self.lock();
        if let Some(position) = state.holders.iter().position(|holder| *holder == lane) {
            state.holders.swap_remove(position);
        }
        if state.closed {
            return;
        }
        state.idle.extend(connection);
        if !state.waiting.is_empty() {
            self.serve(&mut state);
        }
    }

    fn close(&self) -> bool {
        let mut state = self.lock();
        state.closed = true;
        state.idle.clear();
        while let Some(ticket) = state.waiting.next() {
            ticket.give(Given::Closed);
        }
        state.holders.is_empty()
    }
}

/// A connection that is lent; dropping it gives it back.
pub(crate) struct Reader {
    pool: Arc<Pool>,
    lane: TenantKey,
    /// There but for a moment while it is opened and while it goes back.
    connection: Option<Box<Connection>>,
    /// Keeps the file open, and the tenant in it.
    pub(super) place: Option<Place>,
}

impl Reader {
    pub(crate) fn connection(&self) -> Result<&Connection> {
        self.connection.as_deref().ok_or(Error::Closed)
    }

    /// Says of which file an error speaks.
    pub(crate) fn name_in(&self, error: Error) -> Error {
        match &self.place {
            Some(place) => place.part.name_in(error),
            None => error,
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.pool.take_back(self.lane, self.connection.take());
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
        let Some(connection) = self.0.connection.take_if(|connection| !connection.is_autocommit()) else {
            return;
        };
        match connection.prepare_cached("COMMIT").and_then(|mut commit| commit.execute([])) {
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(%error, "a read connection kept its snapshot, and was closed");
                return;
            }
        }
        self.0.connection = Some(connection);
    }
}

#[cfg(all(test, shuttle))]
mod schedules;
