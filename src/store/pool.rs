//! Connections that are lent. A tenant has at most its share of them, and those who wait are served
//! tenant by tenant, so one that asks without end leaves others their own.

use std::sync::{Arc, PoisonError};
use std::time::Duration;
#[cfg(feature = "sqlcipher")]
use std::time::Instant;

use crate::error::{Error, Result};
use crate::identity::TenantKey;
use crate::lanes::{Lanes, Ticket};
use crate::monitor::ReaderStats;
use crate::sync::{Mutex, MutexGuard};

/// The first call waits while its connection is opened.
pub(super) const WAIT_MIN: Duration = Duration::from_secs(1);

/// How often a pool that pauses looks whether its connections have come back.
#[cfg(feature = "sqlcipher")]
const LOOK: Duration = Duration::from_millis(1);

/// What the pool's errors say.
#[derive(Debug, Clone, Copy)]
pub(super) struct Texts {
    /// To a tenant that has its share in use.
    pub(super) share: &'static str,
    /// To one that found none free.
    pub(super) all: &'static str,
}

/// Connections `C`, each of which serves the callers of one key `K`.
pub(crate) struct Pool<K, C> {
    pub(super) size: usize,
    /// How many of them one tenant may hold.
    share: usize,
    wait_max: Duration,
    texts: Texts,
    state: Mutex<State<K, C>>,
}

struct State<K, C> {
    /// Those that nobody uses, the one that has waited longest first.
    idle: Vec<(K, C)>,
    /// Whose the ones in use are.
    holders: Vec<TenantKey>,
    waiting: Lanes<Waiting<K, C>>,
    waited: u64,
    timeouts: u64,
    closed: bool,
    /// While it is, nobody is lent any.
    paused: bool,
}

struct Waiting<K, C> {
    key: K,
    ticket: Arc<Ticket<Given<C>>>,
}

/// What somebody who waits is given.
enum Given<C> {
    Place(Place<C>),
    Closed,
}

/// The leave to hold a connection: one of the key, or none, which is to be opened. One of another key may have
/// to go for it; it is closed where no lock is held.
struct Place<C> {
    own: Option<C>,
    _other: Option<C>,
}

/// How many of the connections in use are a tenant's.
fn held(holders: &[TenantKey], lane: TenantKey) -> usize {
    holders.iter().filter(|holder| **holder == lane).count()
}

impl<K: Copy + PartialEq, C> State<K, C> {
    /// Notes a holder and finds a connection for it, among so many at most.
    fn place(&mut self, lane: TenantKey, key: K, size: usize) -> Place<C> {
        self.holders.push(lane);
        if let Some(position) = self.idle.iter().rposition(|(other, _)| *other == key) {
            return Place { own: Some(self.idle.remove(position).1), _other: None };
        }
        let full = self.idle.len() + self.holders.len() > size && !self.idle.is_empty();
        Place { own: None, _other: full.then(|| self.idle.remove(0).1) }
    }
}

impl<K: Copy + PartialEq, C> Pool<K, C> {
    pub(super) fn new(size: usize, share: usize, wait_max: Duration, texts: Texts) -> Arc<Self> {
        let state = State {
            idle: Vec::new(),
            holders: Vec::new(),
            waiting: Lanes::default(),
            waited: 0,
            timeouts: 0,
            closed: false,
            paused: false,
        };
        Arc::new(Self { size, share, wait_max: wait_max.max(WAIT_MIN), texts, state: Mutex::new(state) })
    }

    /// The share of a tenant where all have the same: three quarters. With two, whoever reads while it
    /// iterates needs both.
    pub(super) fn share_of(size: usize) -> usize {
        if size < 3 { size } else { size - (size / 4).max(1) }
    }

    fn lock(&self) -> MutexGuard<'_, State<K, C>> {
        // Nothing that can panic runs under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place, with a connection of the key if one is idle; waits until it is the tenant's turn.
    pub(crate) fn get(self: &Arc<Self>, lane: TenantKey, key: K) -> Result<Lent<K, C>> {
        let ticket = {
            let mut state = self.lock();
            if state.closed {
                return Err(Error::Closed);
            }
            if state.waiting.is_empty()
                && !state.paused
                && state.holders.len() < self.size
                && held(&state.holders, lane) < self.share
            {
                let place = state.place(lane, key, self.size);
                drop(state);
                return Ok(self.lend(lane, key, place));
            }
            let ticket = Arc::new(Ticket::default());
            state.waiting.push(lane, Waiting { key, ticket: Arc::clone(&ticket) });
            state.waited += 1;
            // Others may wait for their own share, and not for a connection.
            self.serve(&mut state);
            ticket
        };
        match self.wait(lane, &ticket)? {
            Given::Place(place) => Ok(self.lend(lane, key, place)),
            Given::Closed => Err(Error::Closed),
        }
    }

    fn wait(&self, lane: TenantKey, ticket: &Arc<Ticket<Given<C>>>) -> Result<Given<C>> {
        if let Some(given) = ticket.wait_for(self.wait_max) {
            return Ok(given);
        }
        let mut state = self.lock();
        if state.waiting.remove(lane, |other| Arc::ptr_eq(&other.ticket, ticket)).is_some() {
            state.timeouts += 1;
            let has_share = held(&state.holders, lane) >= self.share;
            return Err(Error::Busy { reason: if has_share { self.texts.share } else { self.texts.all } });
        }
        drop(state);
        // It was given in this moment.
        Ok(ticket.wait())
    }

    fn lend(self: &Arc<Self>, lane: TenantKey, key: K, place: Place<C>) -> Lent<K, C> {
        Lent { pool: Arc::clone(self), lane, key, connection: place.own }
    }

    /// Gives what is free to those who wait and may have it.
    fn serve(&self, state: &mut State<K, C>) {
        while !state.paused && state.holders.len() < self.size {
            let State { waiting, holders, .. } = &mut *state;
            let may = |lane, _: &_| held(holders, lane) < self.share;
            let Some((lane, waiting)) = waiting.next_where(may) else { return };
            let place = state.place(lane, waiting.key, self.size);
            waiting.ticket.give(Given::Place(place));
        }
    }

    fn take_back(&self, lane: TenantKey, key: K, connection: Option<C>) {
        let mut state = self.lock();
        if let Some(position) = state.holders.iter().position(|holder| *holder == lane) {
            state.holders.swap_remove(position);
        }
        if state.closed || state.paused {
            return;
        }
        state.idle.extend(connection.map(|connection| (key, connection)));
        if !state.waiting.is_empty() {
            self.serve(&mut state);
        }
    }

    pub(super) fn add_stats(&self, stats: &mut ReaderStats) {
        let state = self.lock();
        stats.size += self.size;
        stats.in_use += state.holders.len();
        stats.waiting += state.waiting.len();
        stats.waited += state.waited;
        stats.timeouts += state.timeouts;
    }

    /// Closes all connections and opens none until the answer is dropped; who asks for one waits. An error if some
    /// that are in use do not come back in time.
    #[cfg(feature = "sqlcipher")]
    pub(super) fn pause(self: &Arc<Self>, until: Instant) -> Result<Paused<K, C>> {
        let idle = {
            let mut state = self.lock();
            state.paused = true;
            std::mem::take(&mut state.idle)
        };
        drop(idle);
        // From here on the pool resumes however this ends.
        let paused = Paused(Arc::clone(self));
        while !self.lock().holders.is_empty() {
            if Instant::now() >= until {
                return Err(Error::Busy {
                    reason: "connections for reading are in use; end iterators and streams that are done, and try again",
                });
            }
            std::thread::sleep(LOOK);
        }
        Ok(paused)
    }

    /// Lends none any more. Whether all had come back.
    pub(super) fn close(&self) -> bool {
        let mut state = self.lock();
        state.closed = true;
        state.idle.clear();
        while let Some(waiting) = state.waiting.next() {
            waiting.ticket.give(Given::Closed);
        }
        state.holders.is_empty()
    }
}

/// A pool that lends nothing for now.
#[cfg(feature = "sqlcipher")]
pub(super) struct Paused<K: Copy + PartialEq, C>(Arc<Pool<K, C>>);

#[cfg(feature = "sqlcipher")]
impl<K: Copy + PartialEq, C> Drop for Paused<K, C> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.paused = false;
        self.0.serve(&mut state);
    }
}

/// A place that is held, and its connection; dropping it gives both back.
pub(crate) struct Lent<K: Copy + PartialEq, C> {
    pool: Arc<Pool<K, C>>,
    lane: TenantKey,
    key: K,
    /// None until it is opened, if there was none; and if it is not to be used again.
    pub(crate) connection: Option<C>,
}

impl<K: Copy + PartialEq, C> Drop for Lent<K, C> {
    fn drop(&mut self) {
        self.pool.take_back(self.lane, self.key, self.connection.take());
    }
}
