//! Who writes next. Callers queue by tenant, round robin; whoever holds the writer leads: it runs
//! the work of others that wait beside its own, commits once for all, answers them, and only then
//! hands the writer on, so that they can be in the next batch.
//!
//! Work of a single verb is owned and runs on the leader's thread. A transaction's closure borrows
//! from its caller, so its caller gets the writer itself, with nothing uncommitted in it: nobody
//! who was answered late waits for somebody else's closure, and a closure that waits for another
//! caller's commit finds it done.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::Writer;
use super::checkpoint::Checkpoints;
use super::unit::{Actor, Unit};
use crate::error::{Error, Result};
use crate::identity::TenantKey;
use crate::lanes::{Lanes, Ticket};
use crate::monitor::{CommitStats, Counter, noted, summary_of_sizes, summary_of_times};
use crate::sync::atomic::AtomicI64;
use crate::sync::thread::{self, ThreadId};
use crate::sync::{Mutex, MutexGuard};

/// Callers whose work one commit holds at most.
const BATCH_MAX: usize = 256;
/// Callers of one tenant in it, so that who comes in late does not wait for all of another's; few
/// where a test tries many schedules of few threads.
pub(super) const BATCH_SHARE: usize = if cfg!(all(test, shuttle)) { 2 } else { 32 };
/// Nobody joins a transaction that is older; in tests, which look into batches, much older.
const BATCH_TIME: Duration = if cfg!(test) { Duration::from_secs(10) } else { Duration::from_millis(5) };
/// How often a leader looks for company that does not come.
const POLLS: usize = 3;
/// How long closing waits for reads that are under way.
const CLOSING_TIME: Duration = Duration::from_secs(1);

/// One caller's work, to be run by whoever leads; whether it is to be kept.
type Work = Box<dyn FnOnce(&mut Unit) -> bool + Send>;

/// Where a caller finds the outcome of its work: a result, or a panic.
type Answer<R> = Arc<Mutex<Option<thread::Result<Result<R>>>>>;

/// Owns the writer and lends it to one leader at a time.
pub(crate) struct Committer {
    queue: Mutex<Queue>,
    wait_max: Duration,
    /// Which state of the reference records the file holds.
    reference: Arc<AtomicI64>,
    record_bytes_max: usize,
    pub(super) checkpoints: Checkpoints,
}

struct Queue {
    slot: Slot,
    lanes: Lanes<Waiting>,
    /// How many callers the last commit answered.
    last_batch: usize,
    counts: CommitTotals,
}

/// What happened since the store was opened, in one file or in several.
#[derive(Default)]
pub(crate) struct CommitTotals {
    batches: Counter,
    waits: Counter,
    waiting: usize,
    failures: u64,
    timeouts: u64,
}

impl CommitTotals {
    pub(crate) fn add(&mut self, other: &Self) {
        self.batches.add(&other.batches);
        self.waits.add(&other.waits);
        self.waiting += other.waiting;
        self.failures += other.failures;
        self.timeouts += other.timeouts;
    }

    pub(crate) fn stats(&self) -> CommitStats {
        CommitStats {
            batches: summary_of_sizes(&self.batches),
            waits: summary_of_times(&self.waits),
            waiting: self.waiting,
            failures: self.failures,
            timeouts: self.timeouts,
        }
    }
}

/// Where the writer is.
enum Slot {
    Free(Box<Writer>),
    Lent(ThreadId),
    Closed,
}

/// Somebody who waits; without work, for the writer itself.
struct Waiting {
    since: Instant,
    thread: ThreadId,
    ticket: Arc<Ticket<Told>>,
    work: Option<Work>,
}

/// What a waiting caller is told.
pub(super) enum Told {
    /// To lead, beginning with its own work.
    Lead(Box<Writer>, Option<Work>),
    /// Its work was run, and committed with so many callers' or lost.
    Done(Result<usize>),
}

impl Committer {
    pub(crate) fn new(writer: Writer, wait_max: Duration, checkpoints: Checkpoints) -> Self {
        let (reference, record_bytes_max) = (Arc::clone(&writer.reference), writer.record_bytes_max);
        let queue = Queue {
            slot: Slot::Free(Box::new(writer)),
            lanes: Lanes::default(),
            last_batch: 1,
            counts: CommitTotals::default(),
        };
        Self { queue: Mutex::new(queue), wait_max, reference, record_bytes_max, checkpoints }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        // Nothing that can panic runs under the lock.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs work in a transaction of its own, as far as it can tell: at once if nobody writes, and
    /// else in a batch with others, whose failures do not touch it.
    pub(crate) fn run<R: Send + 'static>(
        self: &Arc<Self>,
        lane: TenantKey,
        actor: Actor,
        work: impl FnOnce(&mut Unit) -> Result<R> + Send + 'static,
    ) -> Result<R> {
        // In a statement of its own, so that the lock goes before the work begins.
        let free = self.lock().take_free()?;
        if let Some(writer) = free {
            let mut unit = Unit::begin(Arc::clone(self), writer)?;
            unit.enter(actor)?;
            let result = work(&mut unit)?;
            unit.commit()?;
            return Ok(result);
        }
        let answer = Answer::default();
        let work = pack(actor, work, Arc::clone(&answer));
        let shared = match self.wait(lane, Some(work)) {
            Ok(None) => Ok(()),
            Ok(Some((writer, None))) => {
                self.hand_over(writer);
                Ok(())
            }
            Ok(Some((writer, Some(work)))) => {
                let mut unit = Unit::begin(Arc::clone(self), writer)?;
                if work(&mut unit) {
                    unit.commit()?;
                }
                Ok(())
            }
            Err(error) => Err(error),
        };
        let answer = answer.lock().unwrap_or_else(PoisonError::into_inner).take();
        match answer {
            // However the commit ended: it is the caller's own.
            Some(Err(panic)) => resume_unwind(panic),
            Some(Ok(result)) => shared.and(result),
            None => shared.and(Err(Error::LOST)),
        }
    }

    /// Waits for the writer and begins a transaction on the caller's own thread.
    pub(crate) fn begin(self: &Arc<Self>, lane: TenantKey, actor: Actor) -> Result<Unit> {
        let mut unit = Unit::begin(Arc::clone(self), self.take(lane)?)?;
        unit.enter(actor)?;
        Ok(unit)
    }

    /// The same with foreign keys off: for rows that others in the file may refer to already, though they come
    /// only now. SQLite counts violations of a transaction, and with such rows would count wrong.
    pub(crate) fn begin_unchecked(self: &Arc<Self>, lane: TenantKey, actor: Actor) -> Result<Unit> {
        let mut unit = Unit::begin_unchecked(Arc::clone(self), self.take(lane)?)?;
        unit.enter(actor)?;
        Ok(unit)
    }

    /// Lends the writer with no transaction open and foreign keys off: for rows that come from another
    /// file, or go, in many transactions, of which only all together leave no reference dangling.
    pub(crate) fn exclusive<R>(
        &self,
        lane: TenantKey,
        work: impl FnOnce(&mut Writer) -> Result<R>,
    ) -> Result<R> {
        let mut lent = Exclusive { committer: self, writer: Some(self.take(lane)?) };
        let writer = lent.writer.as_deref_mut().ok_or(Error::Closed)?;
        roll_back_rest(&writer.connection)?;
        writer.connection.pragma_update(None, "foreign_keys", false)?;
        #[cfg(test)]
        crate::crash::moment();
        let result = work(writer);
        #[cfg(test)]
        crate::crash::moment();
        result
    }

    /// Lets the file be changed with nobody writing and no checkpoint under way, and goes on with another connection.
    #[cfg(feature = "sqlcipher")]
    pub(crate) fn reconnect(&self, work: impl FnOnce() -> Result<Connection, NotReconnected>) -> Result<()> {
        let mut lent = Exclusive { committer: self, writer: Some(self.take(TenantKey::REFERENCE)?) };
        let writer = lent.writer.as_deref_mut().ok_or(Error::Closed)?;
        roll_back_rest(&writer.connection)?;
        self.checkpoints.rest();
        match work() {
            Ok(connection) => {
                writer.connection = connection;
                Ok(())
            }
            Err(NotReconnected::Kept(error)) => Err(error),
            Err(NotReconnected::Lost(error)) => {
                lent.writer = None;
                self.end();
                Err(error)
            }
        }
    }

    /// Everything that was committed is on the disk afterwards, with `Durability::Normal`: a commit that
    /// syncs the log syncs what is in it already. A checkpoint would sync nothing as long as somebody
    /// reads an old state (<https://sqlite.org/pragma.html#pragma_synchronous>).
    pub(crate) fn sync(&self) -> Result<()> {
        let writer = self.take(TenantKey::REFERENCE)?;
        let synced = writer.connection.execute_batch(
            "PRAGMA synchronous = FULL; UPDATE _store SET applied = applied; PRAGMA synchronous = NORMAL",
        );
        self.hand_over(writer);
        Ok(synced?)
    }

    pub(crate) fn reference_version(&self) -> i64 {
        self.reference.load(Ordering::Acquire)
    }

    pub(crate) fn record_bytes_max(&self) -> usize {
        self.record_bytes_max
    }

    fn take(&self, lane: TenantKey) -> Result<Box<Writer>> {
        let free = self.lock().take_free()?;
        match free {
            Some(writer) => Ok(writer),
            None => match self.wait(lane, None)? {
                Some((writer, _)) => Ok(writer),
                None => Err(Error::LOST),
            },
        }
    }

    /// Queues. The writer, with the work that was not run yet; or none once it was run.
    fn wait(&self, lane: TenantKey, work: Option<Work>) -> Result<Option<(Box<Writer>, Option<Work>)>> {
        let ticket = Arc::new(Ticket::default());
        let since = Instant::now();
        {
            let mut queue = self.lock();
            if let Some(writer) = queue.take_free()? {
                return Ok(Some((writer, work)));
            }
            let thread = thread::current().id();
            queue.lanes.push(lane, Waiting { since, thread, ticket: Arc::clone(&ticket), work });
        }
        let told = match ticket.wait_for(self.wait_max) {
            Some(told) => told,
            None => {
                let mut queue = self.lock();
                if queue.lanes.remove(lane, |waiting| Arc::ptr_eq(&waiting.ticket, &ticket)).is_some() {
                    queue.counts.timeouts += 1;
                    return Err(Error::Busy { reason: "other transactions took too long; try again" });
                }
                drop(queue);
                // A leader has taken the work by now, and will say how it ended.
                ticket.wait()
            }
        };
        noted::wait(since.elapsed());
        match told {
            Told::Lead(writer, work) => Ok(Some((writer, work))),
            Told::Done(outcome) => {
                noted::batch(outcome?);
                Ok(None)
            }
        }
    }

    /// Work that may join a transaction in which each tenant has so many callers already.
    pub(super) fn next_work(
        &self,
        shares: &HashMap<TenantKey, usize>,
    ) -> Option<(TenantKey, Arc<Ticket<Told>>, Work)> {
        let mut queue = self.lock();
        let (lane, waiting) = queue.lanes.next_where(|lane, first| {
            first.work.is_some() && shares.get(&lane).is_none_or(|count| *count < BATCH_SHARE)
        })?;
        queue.counts.waits.record_time(waiting.since.elapsed());
        waiting.work.map(|work| (lane, waiting.ticket, work))
    }

    pub(super) fn last_batch(&self) -> usize {
        self.lock().last_batch
    }

    /// Notes how many callers a commit answered.
    pub(super) fn note_batch(&self, callers: usize) {
        let mut queue = self.lock();
        queue.last_batch = callers;
        queue.counts.batches.record(callers as u64);
    }

    pub(super) fn note_failure(&self) {
        self.lock().counts.failures += 1;
    }

    #[cfg(test)]
    pub(crate) fn stats(&self) -> CommitStats {
        let mut totals = CommitTotals::default();
        self.add_stats(&mut totals);
        totals.stats()
    }

    pub(crate) fn add_stats(&self, totals: &mut CommitTotals) {
        let queue = self.lock();
        totals.add(&queue.counts);
        totals.waiting += queue.lanes.len();
    }

    /// Gives the writer, with no transaction open, to whoever's turn it is.
    pub(super) fn hand_over(&self, writer: Box<Writer>) {
        let mut queue = self.lock();
        match queue.lanes.next() {
            Some(waiting) => {
                queue.slot = Slot::Lent(waiting.thread);
                queue.counts.waits.record_time(waiting.since.elapsed());
                waiting.ticket.give(Told::Lead(writer, waiting.work));
            }
            None => queue.slot = Slot::Free(writer),
        }
    }

    /// Gives a writer back that had foreign keys off.
    pub(super) fn restore(&self, writer: Box<Writer>) {
        let restored = roll_back_rest(&writer.connection)
            .and_then(|()| Ok(writer.connection.pragma_update(None, "foreign_keys", true)?));
        match restored {
            Ok(()) => self.hand_over(writer),
            Err(error) => {
                // Nobody may write without foreign keys.
                tracing::warn!(%error, "a writer could not be restored, and its file is closed");
                self.end();
            }
        }
    }

    /// Whether a writer would have to wait; for work that can wait itself.
    pub(crate) fn is_busy(&self) -> bool {
        !matches!(self.lock().slot, Slot::Free(_))
    }

    /// Moves the log into the database file and closes the connection. No write begins afterwards.
    pub(crate) fn close(&self) -> Result<()> {
        let writer = match self.take(TenantKey::REFERENCE) {
            Ok(writer) => writer,
            Err(Error::Closed) => return Ok(()),
            Err(error) => return Err(error),
        };
        self.end();
        self.checkpoints.stop();
        // https://sqlite.org/pragma.html#pragma_wal_checkpoint: a reader can keep it from
        // finishing, and then the next opening does the rest. An iterator would not end by waiting.
        writer.connection.busy_timeout(CLOSING_TIME)?;
        writer.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
        writer.connection.close().map_err(|(_, error)| error)?;
        Ok(())
    }
}

impl Committer {
    /// Nobody writes any more.
    fn end(&self) {
        let mut queue = self.lock();
        queue.slot = Slot::Closed;
        while let Some(waiting) = queue.lanes.next() {
            waiting.ticket.give(Told::Done(Err(Error::Closed)));
        }
    }
}

impl Queue {
    /// The writer, if nobody holds it. An error if it can't be waited for.
    fn take_free(&mut self) -> Result<Option<Box<Writer>>> {
        let this = thread::current().id();
        match std::mem::replace(&mut self.slot, Slot::Lent(this)) {
            Slot::Free(writer) => Ok(Some(writer)),
            Slot::Closed => {
                self.slot = Slot::Closed;
                Err(Error::Closed)
            }
            Slot::Lent(holder) => {
                self.slot = Slot::Lent(holder);
                if holder == this {
                    return Err(Error::NESTED);
                }
                Ok(None)
            }
        }
    }
}

/// Why a writer has no other connection.
#[cfg(feature = "sqlcipher")]
#[derive(Debug)]
pub(crate) enum NotReconnected {
    /// Nothing has changed, and the one that it has still serves.
    Kept(Error),
    /// That one does not serve any more either.
    Lost(Error),
}

/// A writer that is lent outside of transactions; it goes back as it was.
struct Exclusive<'c> {
    committer: &'c Committer,
    writer: Option<Box<Writer>>,
}

impl Drop for Exclusive<'_> {
    fn drop(&mut self) {
        if let Some(writer) = self.writer.take() {
            self.committer.restore(writer);
        }
    }
}

/// What was begun and not committed goes.
pub(super) fn roll_back_rest(connection: &Connection) -> Result<()> {
    if !connection.is_autocommit() {
        connection.execute_batch("ROLLBACK")?;
    }
    Ok(())
}

/// Work that keeps its outcome for its caller, also when it panics.
fn pack<R: Send + 'static>(
    actor: Actor,
    work: impl FnOnce(&mut Unit) -> Result<R> + Send + 'static,
    answer: Answer<R>,
) -> Work {
    Box::new(move |unit| {
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            unit.enter(actor)?;
            work(unit)
        }));
        let keep = matches!(outcome, Ok(Ok(_)));
        *answer.lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome);
        keep
    })
}

/// The callers that share a transaction beside its leader.
#[derive(Default)]
pub(super) struct Company {
    tickets: Vec<Arc<Ticket<Told>>>,
    shares: HashMap<TenantKey, usize>,
}

impl Company {
    pub(super) fn len(&self) -> usize {
        self.tickets.len()
    }

    /// Tells everyone how the transaction ended.
    pub(super) fn answer(&mut self, outcome: impl Fn() -> Result<usize>) {
        for ticket in self.tickets.drain(..) {
            ticket.give(Told::Done(outcome()));
        }
    }
}

/// Runs the work of others that wait, in the leader's transaction.
pub(super) fn gather(committer: &Committer, unit: &mut Unit) {
    let wanted = committer.last_batch().saturating_sub(1);
    let began = Instant::now();
    let mut polls = 0;
    while unit.takes_more() && unit.company.len() + 1 < BATCH_MAX && began.elapsed() < BATCH_TIME {
        match committer.next_work(&unit.company.shares) {
            Some((lane, ticket, work)) => {
                polls = 0;
                // An error, too, speaks of what others in this transaction did: it is told once that
                // is committed. Only whoever made SQLite end the transaction knows already.
                if unit.guest(work) || unit.connection().is_ok() {
                    *unit.company.shares.entry(lane).or_insert(0) += 1;
                    unit.company.tickets.push(ticket);
                } else {
                    ticket.give(Told::Done(Ok(0)));
                }
            }
            // Those whom the last commit answered are likely to be back in a moment.
            None if polls < POLLS && unit.company.len() < wanted => {
                polls += 1;
                thread::yield_now();
            }
            None => break,
        }
    }
}

impl std::fmt::Debug for Committer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Committer").finish_non_exhaustive()
    }
}
