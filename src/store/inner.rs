//! What an open store is made of: connections, entities, grants, and what waits to be recorded.

use std::any::TypeId;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::access::{By, Grants};
use super::change::Mirror;
use super::part::Part;
use super::readers::{Classes, PoolClass, Reader, Snapshot};
use super::spread::{Holding, Place, Spread, Writing};
use super::sql::Generations;
use super::transfer;
#[cfg(feature = "sqlcipher")]
use super::{Durability, Key};
use crate::audit::misses::{self, Miss, Pending, Sorting};
use crate::audit::reads::{self, Read};
use crate::audit::{MissQuery, MissReport};
use crate::cache::Cache;
use crate::check::{Finding, Report};
use crate::commit::{self, Actor, Clock, CommitTotals, Copies, Event, Unit};
use crate::entity::{Entity, Tenancy};
use crate::error::{Error, Result};
use crate::identity::{Mark, TenantKey};
use crate::monitor::{Monitor, ReaderStats, Stats, TenantStats};
use crate::schema::partitions::{self, StoredPartition};
use crate::schema::{Catalog, identities};
use crate::sql::SqlLimits;
use crate::statement::Table;

/// How often a moment is looked for in which nobody changes who exists.
const CHECKS: usize = 20;
/// How often ids are looked for while tenants move.
const LOOKS: usize = 3;
/// How many refused tokens are remembered.
#[cfg(feature = "jwt")]
const NOTED_TOKENS: usize = 1_024;
/// How long a process that only reads waits before it looks again where a tenant is.
const POLL: Duration = Duration::from_millis(1);

/// Entities by their Rust type. Every verb looks here, so with a quick hash.
pub(super) type Types = HashMap<TypeId, Arc<Table>, hashlink::DefaultHashBuilder>;

pub(crate) struct Inner {
    path: PathBuf,
    catalog: Arc<Catalog>,
    types: Types,
    /// The only file, or the catalog of a folder.
    main: Arc<Part>,
    /// The partitions, if there are any.
    spread: Option<Spread>,
    classes: Arc<Classes>,
    pub(super) sql_limits: SqlLimits,
    pub(super) generations: Generations,
    cache: Option<Arc<Cache>>,
    pub(crate) monitor: Monitor,
    pub(crate) grants: Grants,
    pending: Mutex<Pending>,
    reads: Mutex<reads::Pending>,
    pub(super) refusals: Mutex<Vec<Refusal>>,
    /// Refused tokens that are in their users' logs, by hash, so that sending one again writes nothing.
    #[cfg(feature = "jwt")]
    pub(super) noted_tokens: Mutex<hashlink::LruCache<[u8; 32], ()>>,
    clock: Clock,
    closed: AtomicBool,
    /// Held while files are scrubbed.
    pub(super) scrubbing: Mutex<()>,
    /// How the main file is opened anew.
    #[cfg(feature = "sqlcipher")]
    durability: Durability,
    #[cfg(feature = "sqlcipher")]
    wait_timeout: Duration,
    _folder: Option<tempfile::TempDir>,
}

/// What opening found and made.
pub(super) struct Parts {
    pub(super) path: PathBuf,
    pub(super) catalog: Arc<Catalog>,
    pub(super) types: Types,
    pub(super) main: Arc<Part>,
    pub(super) spread: Option<Spread>,
    pub(super) classes: Arc<Classes>,
    pub(super) sql_limits: SqlLimits,
    pub(super) cache: Option<Arc<Cache>>,
    pub(super) monitor: Monitor,
    pub(super) clock: Clock,
    #[cfg(feature = "sqlcipher")]
    pub(super) durability: Durability,
    #[cfg(feature = "sqlcipher")]
    pub(super) wait_timeout: Duration,
    pub(super) folder: Option<tempfile::TempDir>,
}

/// An open transaction, and what keeps its file and its thread to it.
pub(crate) struct Begun {
    pub(crate) unit: Unit,
    pub(crate) kept: Kept,
}

/// Keeps a file open, and its thread to one transaction.
pub(crate) struct Kept {
    _place: Option<Place>,
    _writing: Option<Writing>,
}

/// A refused access that is not in the log yet.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) user: TenantKey,
    pub(crate) actor: Actor,
    pub(crate) outcome: &'static str,
    /// What was asked for: a column-like name and an id.
    pub(crate) what: Option<(&'static str, String)>,
}

/// What an administrator looks at.
pub(crate) struct Looked<'a> {
    /// By which verb.
    pub(crate) by: &'a str,
    /// The entity and the version of its definition.
    pub(crate) entity: Option<(&'a str, i64)>,
}

impl Looked<'_> {
    pub(crate) fn write(&self, unit: &mut Unit, tenants: &[TenantKey]) -> Result<()> {
        let mut payload = crate::audit::payload::PayloadWriter::new();
        payload.change("by", &crate::Value::None, &self.by.into());
        let payload = payload.finish();
        for tenant in tenants {
            let event = Event {
                action: "access",
                outcome: "ok",
                entity: self.entity,
                record: None,
                payload: payload.clone(),
            };
            unit.audit(*tenant, &event)?;
        }
        Ok(())
    }
}

impl Inner {
    pub(super) fn new(parts: Parts) -> Self {
        Self {
            path: parts.path,
            catalog: parts.catalog,
            types: parts.types,
            main: parts.main,
            spread: parts.spread,
            classes: parts.classes,
            sql_limits: parts.sql_limits,
            generations: Generations::default(),
            cache: parts.cache,
            monitor: parts.monitor,
            grants: Grants::default(),
            pending: Mutex::default(),
            reads: Mutex::default(),
            refusals: Mutex::default(),
            #[cfg(feature = "jwt")]
            noted_tokens: Mutex::new(hashlink::LruCache::new(NOTED_TOKENS)),
            clock: parts.clock,
            closed: AtomicBool::new(false),
            scrubbing: Mutex::default(),
            #[cfg(feature = "sqlcipher")]
            durability: parts.durability,
            #[cfg(feature = "sqlcipher")]
            wait_timeout: parts.wait_timeout,
            _folder: parts.folder,
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    pub(crate) fn table_of<E: Entity>(&self) -> Result<&Arc<Table>> {
        self.types.get(&TypeId::of::<E>()).ok_or_else(|| {
            Error::schema(format!(
                "entity {:?} is not registered: add `.entity::<{}>()` to the builder",
                E::ENTITY_NAME,
                std::any::type_name::<E>()
            ))
        })
    }

    pub(crate) fn now(&self) -> Timestamp {
        (self.clock)()
    }

    #[cfg(feature = "jwt")]
    pub(super) fn clock(&self) -> &Clock {
        &self.clock
    }

    pub(crate) fn is_read_only(&self) -> bool {
        self.main.is_read_only()
    }

    pub(crate) fn check_open(&self) -> Result<()> {
        if self.closed.load(Ordering::Acquire) { Err(Error::Closed) } else { Ok(()) }
    }

    /// The only file, or the catalog of a folder.
    pub(crate) fn main(&self) -> &Part {
        &self.main
    }

    pub(super) fn spread(&self) -> Option<&Spread> {
        self.spread.as_ref()
    }

    /// Whether identities and reference records are in another file than tenants' records.
    pub(crate) fn is_spread(&self) -> bool {
        self.spread.is_some()
    }

    /// The home of a user or an organization, if that is not the main file.
    pub(super) fn place(&self, home: TenantKey) -> Result<Option<Place>> {
        match &self.spread {
            Some(spread) if home != TenantKey::REFERENCE => {
                self.check_open()?;
                spread.place(home).map(Some)
            }
            _ => Ok(None),
        }
    }

    pub(super) fn part<'p>(&'p self, place: &'p Option<Place>) -> &'p Part {
        place.as_ref().map_or(&self.main, |place| &place.part)
    }

    /// A connection for reading.
    pub(crate) fn reader(&self, lane: TenantKey) -> Result<Reader> {
        let place = self.place(lane)?;
        let mut reader =
            self.part(&place).readers.get(lane).map_err(|error| self.part(&place).name_in(error))?;
        reader.place = place;
        Ok(reader)
    }

    /// Gives a tenant read connections of its own, or the shared ones.
    pub(super) fn set_pool(&self, lane: TenantKey, class: PoolClass) {
        self.classes.set(lane, class);
        self.main.readers.own(lane);
        for part in self.spread.iter().flat_map(Spread::open_parts) {
            part.readers.own(lane);
        }
    }

    /// Reads who exists, as the application itself.
    pub(crate) fn read<R>(&self, read: impl FnOnce(&rusqlite::Connection) -> Result<R>) -> Result<R> {
        read(self.reader(TenantKey::REFERENCE)?.connection()?)
    }

    /// Whether another process moves tenants from file to file.
    pub(crate) fn is_moved_by_others(&self) -> bool {
        self.is_spread() && self.is_read_only()
    }

    /// A connection that sees one state of a tenant's file until it is dropped.
    pub(crate) fn snapshot(&self, lane: TenantKey) -> Result<Snapshot> {
        self.at_home(lane, || {
            let snapshot = Snapshot::begin(self.reader(lane)?)?;
            let there = !self.is_moved_by_others() || is_home(snapshot.connection()?, lane)?;
            Ok(there.then_some(snapshot))
        })
    }

    /// Does what gives none if a tenant is not at home in the file where it was looked for; that can be where another
    /// process moves it.
    pub(super) fn at_home<T>(&self, lane: TenantKey, look: impl Fn() -> Result<Option<T>>) -> Result<T> {
        let others = self.spread.as_ref().filter(|_| self.is_read_only() && lane != TenantKey::REFERENCE);
        let Some(spread) = others else { return look()?.ok_or(Error::Closed) };
        let until = Instant::now() + spread.settings.wait_timeout;
        loop {
            let home = spread.home(lane)?;
            match look() {
                Ok(Some(found)) => return Ok(found),
                Ok(None) if Instant::now() >= until => {
                    return Err(Error::Busy {
                        reason: "another process moves the tenant or ended while it changed the store; try again, or open the store for writing once",
                    });
                }
                Ok(None) => {
                    spread.discard(home);
                    thread::sleep(POLL);
                }
                // It may have moved, and the file have been removed.
                Err(error) if spread.home(lane)? == home => return Err(error),
                Err(_) => {}
            }
        }
    }

    /// Rows in memory, if the store keeps any of a tenancy. Copies of reference records come to each
    /// file at its own time, and so stay out.
    pub(crate) fn cache(&self, tenancy: Tenancy) -> Option<&Cache> {
        if tenancy == Tenancy::Reference && self.is_spread() {
            return None;
        }
        self.cache.as_deref()
    }

    /// Takes out of memory what nobody reaches any more.
    pub(super) fn forget_rows(&self, tenants: impl Iterator<Item = TenantKey>) {
        if let Some(cache) = &self.cache {
            tenants.for_each(|tenant| cache.forget(tenant));
        }
    }

    pub(super) fn stats(&self) -> Result<Stats> {
        let (reads, writes) = self.monitor.totals();
        let cache = self.cache.as_ref().map(|cache| cache.stats()).unwrap_or_default();
        let mut stats = Stats { reads, writes, cache, ..Stats::default() };
        let (mut commits, mut readers) = (CommitTotals::default(), ReaderStats::default());
        self.main.add_stats(&mut commits, &mut readers);
        (stats.tenants, stats.rows, stats.bytes) = self.read(commit::totals)?;
        if let Some(spread) = &self.spread {
            stats.partitions.open = spread.add_stats(&mut commits, &mut readers);
            let all = self.read(partitions::all)?;
            stats.partitions.count = all.len();
            for stored in all.into_iter().filter(|stored| stored.homes > 0) {
                // Without a place among those that are open, which are those that tenants need.
                match spread.totals(&stored.name) {
                    Ok((rows, bytes)) => {
                        stats.rows += rows;
                        stats.bytes += bytes;
                    }
                    Err(error) => {
                        tracing::warn!(%error, "a partition is not in the sums");
                        stats.partitions.unreadable.push(stored.name);
                    }
                }
            }
        }
        (stats.commits, stats.readers) = (commits.stats(), readers);
        Ok(stats)
    }

    /// Of a user or an organization, by its key.
    pub(super) fn stats_of(&self, home: TenantKey) -> Result<TenantStats> {
        let (rows, bytes) = commit::totals_of(self.snapshot(home)?.connection()?, home)?;
        Ok(TenantStats { rows, bytes, ..self.monitor.of(home) })
    }

    /// Clears what moves have left behind that ended with the process.
    pub(super) fn finish_moves(&self) -> Result<()> {
        let Some(spread) = self.spread.as_ref().filter(|_| !self.is_read_only()) else { return Ok(()) };
        for key in self.read(partitions::to_clear)? {
            // A partition that can't be opened is its own tenants' affair.
            let cleared = spread.part(key).and_then(|part| spread.follow(&part, Holding::Nothing));
            if let Err(error) = cleared {
                tracing::warn!(%error, "what a move has left behind stays for now");
            }
        }
        Ok(())
    }

    pub(super) fn check_files(&self) -> Result<Report> {
        self.flush();
        let mut report =
            crate::check::check(self.snapshot(TenantKey::REFERENCE)?.connection()?, &self.catalog)?;
        let Some(spread) = &self.spread else { return Ok(report) };
        for StoredPartition { key, name, .. } in self.read(partitions::all)? {
            // As it is by now: it may be gone.
            let lived_in = || -> Result<Option<StoredPartition>> {
                let stored = self.read(|connection| partitions::lookup(connection, key))?;
                Ok(stored.filter(|stored| stored.homes > 0))
            };
            let Some(stored) = lived_in()? else { continue };
            if let Err(error) = self.check_partition(spread, &stored, &mut report)
                && lived_in()?.is_some()
            {
                report.findings.push(Finding::Partition { name, problem: error.to_string() });
            }
        }
        Ok(report)
    }

    fn check_partition(&self, spread: &Spread, stored: &StoredPartition, report: &mut Report) -> Result<()> {
        let part = spread.known_part(stored)?;
        spread.follow(&part, Holding::Nothing)?;
        let (main, there) = self.snapshots(&part)?;
        let (main, there) = (main.connection()?, there.connection()?);
        crate::check::check_partition(there, main, &self.catalog, stored, report)?;
        if !transfer::same_reference(there, main, &self.catalog)? {
            let problem = "its copies of the reference records are not the same as the catalog's".to_owned();
            report.findings.push(Finding::Partition { name: stored.name.clone(), problem });
        }
        Ok(())
    }

    /// States of the catalog and of a partition between which nothing was decided.
    fn snapshots(&self, part: &Part) -> Result<(Snapshot, Snapshot)> {
        for _ in 0..CHECKS {
            let decided = self.read(partitions::decided)?;
            let there = Snapshot::begin(part.readers.get(TenantKey::REFERENCE)?)?;
            // A snapshot is of the moment of its first read.
            partitions::applied(there.connection()?)?;
            let main = self.snapshot(TenantKey::REFERENCE)?;
            if partitions::decided(main.connection()?)? == decided {
                return Ok((main, there));
            }
        }
        Err(Error::Busy { reason: "users and memberships change all the time; try again" })
    }

    /// One state of a user or an organization: of what the store knows of it, and of the file that it
    /// lives in, if that is another one.
    pub(crate) fn whole_snapshot(&self, home: TenantKey) -> Result<(Snapshot, Option<Snapshot>)> {
        if self.spread.is_none() {
            return Ok((self.snapshot(home)?, None));
        }
        for _ in 0..CHECKS {
            let decided = self.read(partitions::decided)?;
            let there = self.snapshot(home)?;
            // A snapshot is of the moment of its first read.
            partitions::applied(there.connection()?)?;
            let main = self.snapshot(TenantKey::REFERENCE)?;
            if partitions::decided(main.connection()?)? == decided {
                return Ok((main, Some(there)));
            }
        }
        Err(Error::Busy { reason: "users and memberships change all the time; try again" })
    }

    /// Waits for the writer of a tenant's file and begins a transaction on this thread.
    pub(crate) fn begin(&self, lane: TenantKey, actor: Actor) -> Result<Begun> {
        self.check_open()?;
        self.check_alone()?;
        loop {
            let place = self.place(lane)?;
            let unit = self.part(&place).committer()?.begin(lane, actor.clone())?;
            // Again, now that nobody else writes: it could have moved meanwhile.
            if place.as_ref().is_none_or(Place::is_current) {
                let writing = self.spread.as_ref().map(Spread::enter);
                return Ok(Begun { unit, kept: Kept { _place: place, _writing: writing } });
            }
        }
    }

    /// A transaction within another one of this thread would be none of it, and could wait for it.
    pub(super) fn check_alone(&self) -> Result<()> {
        match &self.spread {
            Some(spread) if spread.is_writing() => Err(Error::NESTED),
            _ => Ok(()),
        }
    }

    /// Waits for the writer of the main file and begins a transaction of the application itself.
    pub(super) fn begin_main(&self, actor: Actor) -> Result<Unit> {
        self.check_open()?;
        self.check_alone()?;
        self.main.committer()?.begin(TenantKey::REFERENCE, actor)
    }

    /// Runs one transaction, wherever the writer is.
    pub(crate) fn run<R: Send + 'static>(
        &self,
        lane: TenantKey,
        actor: Actor,
        work: impl FnOnce(&mut Unit) -> Result<R> + Send + 'static,
    ) -> Result<R> {
        self.check_open()?;
        if self.spread.is_none() {
            return self.main.committer()?.run(lane, actor, work);
        }
        self.check_alone()?;
        let mut work = work;
        loop {
            let place = self.place(lane)?;
            let part = self.part(&place);
            let there = place.clone();
            let outcome = part.committer()?.run(lane, actor.clone(), move |unit| {
                // Again, now that nobody else writes: it could have moved meanwhile.
                if there.as_ref().is_none_or(Place::is_current) {
                    return work(unit).map(Ok);
                }
                Ok(Err(work))
            });
            match outcome.map_err(|error| part.name_in(error))? {
                Ok(result) => return Ok(result),
                Err(again) => work = again,
            }
        }
    }

    /// Runs one transaction in a tenant's home, and in its turn: what the store notes of it.
    pub(crate) fn write<R>(
        &self,
        home: TenantKey,
        actor: Actor,
        write: impl FnOnce(&mut Unit) -> Result<R>,
    ) -> Result<R> {
        let Begun { mut unit, kept } = self.begin(home, actor)?;
        let result = write(&mut unit)?;
        unit.commit()?;
        drop(kept);
        Ok(result)
    }

    /// The partition in which a tenant lives, or a new one is to live; as it was without that.
    pub(super) fn partition_for(
        &self,
        unit: &Unit,
        home: TenantKey,
        mirror: &Mirror,
    ) -> Result<StoredPartition> {
        let connection = unit.connection()?;
        if let Some(partition) = partitions::home(connection, home)? {
            return partitions::find(connection, partition);
        }
        let layout = partitions::layout(connection)?;
        let name = match mirror {
            Mirror::User { id: Some(id), .. } => layout.place("user", id.as_str()),
            Mirror::Organization { id: Some(id), .. } => layout.place("organization", id.as_str()),
            Mirror::Nothing
            | Mirror::User { .. }
            | Mirror::Organization { .. }
            | Mirror::Member { .. }
            | Mirror::Several(_) => {
                return Err(super::spread::homeless());
            }
        };
        let partition = partitions::find_or_create(connection, &name)?;
        let partition = partitions::find(connection, partition)?;
        partitions::set_home(connection, home, partition.key)?;
        Ok(partition)
    }

    /// Puts on record, in the logs of those who are concerned, that an administrator looks at what
    /// belongs to them: before it happens, and not at all if it can't be put on record.
    pub(crate) fn account(
        &self,
        actor: &Actor,
        home: TenantKey,
        tenants: &[TenantKey],
        looked: &Looked<'_>,
        is_good: impl FnOnce() -> Result<()>,
    ) -> Result<()> {
        if actor.admin.is_none() || tenants.is_empty() {
            return Ok(());
        }
        self.write(home, actor.clone(), |unit| {
            // Again, now that nobody else writes: the right may have ended while this waited.
            is_good()?;
            looked.write(unit, tenants)
        })
    }

    /// The same of a user's or an organization's own affairs.
    pub(crate) fn look(&self, by: &By, home: TenantKey, tenants: &[TenantKey], verb: &str) -> Result<()> {
        by.check()?;
        self.account(&by.actor, home, tenants, &Looked { by: verb, entity: None }, || by.check())
    }

    /// Whom an administrator looked for in vain is in the administrator's own log.
    pub(crate) fn found<T>(&self, by: &By, verb: &str, outcome: Result<T>) -> Result<T> {
        if outcome.is_err() {
            self.look_at_all(by, verb)?;
        }
        outcome
    }

    /// The same of a list, which is in the administrator's own log.
    pub(crate) fn look_at_all(&self, by: &By, verb: &str) -> Result<()> {
        match by.grants.first() {
            Some(own) => self.look(by, own.tenant, &[own.tenant], verb),
            None => Ok(()),
        }
    }

    /// Puts a refusal on record in the log of the user who was refused, and gives the error back.
    pub(crate) fn refuse(&self, refusal: Refusal, error: Error) -> Error {
        if !self.is_read_only() {
            tracing::warn!(outcome = refusal.outcome, "access refused");
            self.record(refusal);
        }
        error
    }

    /// Notes that a tenant asked for a record that it does not have.
    pub(crate) fn note_miss(
        &self,
        home: TenantKey,
        tenant: TenantKey,
        actor: Option<Mark>,
        entity: &str,
        record: uuid::Uuid,
    ) {
        if !self.is_read_only() {
            let miss = Miss { home, tenant, actor, entity: entity.to_owned(), record, time: self.now() };
            self.pending.lock().unwrap_or_else(PoisonError::into_inner).note(miss);
        }
    }

    /// Writes what waits in memory if it is time, and if nobody else is writing.
    pub(crate) fn flush_if_due(&self) {
        let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = if refusals.is_empty() { Vec::new() } else { std::mem::take(&mut *refusals) };
        drop(refusals);
        for refusal in waiting {
            if self.is_free(refusal.user) {
                self.record(refusal);
            } else {
                self.refusals.lock().unwrap_or_else(PoisonError::into_inner).push(refusal);
            }
        }
        let due = self.pending.lock().unwrap_or_else(PoisonError::into_inner).is_due();
        if due && (self.is_spread() || self.is_free(TenantKey::REFERENCE)) {
            self.flush_misses(|home| self.is_free(home));
        }
        if self.pending_reads().is_due() {
            self.flush_reads(|home| self.is_free(home));
        }
    }

    fn pending_reads(&self) -> MutexGuard<'_, reads::Pending> {
        self.reads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that somebody read a tenant's records, of an entity that asks for it. `home` is where the
    /// tenant lives.
    pub(crate) fn note_read(&self, home: TenantKey, read: Read) {
        if !self.is_read_only() {
            self.pending_reads().note(home, read);
        }
    }

    /// Writes what is noted of a user or an organization, so that its access log tells of all that was
    /// read before.
    pub(crate) fn flush_reads_of(&self, home: TenantKey) -> Result<()> {
        if self.is_read_only() { Ok(()) } else { self.write_reads(home, &[home]) }
    }

    fn flush_reads(&self, now: impl Fn(TenantKey) -> bool) {
        let homes = self.pending_reads().homes();
        // In one file they are one transaction.
        let together = [homes.as_slice()];
        let batches: Vec<&[TenantKey]> =
            if self.is_spread() { homes.chunks(1).collect() } else { together.to_vec() };
        for batch in batches {
            let Some(home) = batch.first().copied().filter(|home| now(*home)) else { continue };
            let lane = if self.is_spread() { home } else { TenantKey::REFERENCE };
            if let Err(error) = self.write_reads(lane, batch) {
                tracing::warn!(%error, "who read what could not be recorded yet");
            }
        }
    }

    /// Taken only once nobody else writes there: whoever has waited for the writer finds written what
    /// others have taken.
    fn write_reads(&self, lane: TenantKey, homes: &[TenantKey]) -> Result<()> {
        let mut taken = Vec::new();
        let written = self.write(lane, Actor::default(), |unit| {
            taken.extend(homes.iter().map(|home| (*home, self.pending_reads().take(*home))));
            let connection = unit.connection()?;
            taken.iter().try_for_each(|(_, reads)| reads::store(connection, reads))
        });
        if written.is_err() {
            let mut pending = self.pending_reads();
            taken.into_iter().for_each(|(home, reads)| pending.give_back(home, reads));
        }
        written
    }

    /// Whether nobody writes in a tenant's file, so that what the store notes there waits for nobody.
    fn is_free(&self, home: TenantKey) -> bool {
        let free = || -> Result<bool> {
            self.check_alone()?;
            Ok(!self.part(&self.place(home)?).committer()?.is_busy())
        };
        // Why it could not be looked at, writing there will tell.
        free().unwrap_or_else(|error| matches!(error, Error::Corrupt { .. }))
    }

    pub(super) fn flush(&self) {
        if !self.is_read_only() {
            let refusals = std::mem::take(&mut *self.refusals.lock().unwrap_or_else(PoisonError::into_inner));
            refusals.into_iter().for_each(|refusal| self.record(refusal));
            self.flush_misses(|_| true);
            self.flush_reads(|_| true);
        }
    }

    fn flush_misses(&self, now: impl Fn(TenantKey) -> bool) {
        let misses = self.pending.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut by_home: BTreeMap<TenantKey, Vec<Miss>> = BTreeMap::new();
        for miss in misses {
            // In one file they are one transaction.
            let home = if self.is_spread() { miss.home } else { TenantKey::REFERENCE };
            by_home.entry(home).or_default().push(miss);
        }
        for (home, misses) in by_home {
            if !now(home) {
                let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
                misses.into_iter().for_each(|miss| pending.note(miss));
                continue;
            }
            let stored =
                self.write(home, Actor::default(), |unit| misses::store(unit.connection()?, &misses));
            if matches!(stored, Err(Error::Busy { .. })) {
                let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
                misses.into_iter().for_each(|miss| pending.note(miss));
            } else if let Err(error) = stored {
                // Misses are a report, not a promise: losing some is better than failing a read.
                tracing::warn!(%error, lost = misses.len(), "misses could not be recorded");
            }
        }
    }

    /// Which ids a tenant was asked for that it does not have, and what they are; `home` is where it lives. It looks
    /// at the ids of every tenant's records, so it is for the administration of a store alone.
    ///
    /// # Errors
    ///
    /// What every read can meet. A partition that can't be read is named in the report.
    pub(crate) fn misses(&self, home: TenantKey, tenant: TenantKey, query: &MissQuery) -> Result<MissReport> {
        if !self.is_read_only() {
            self.flush_misses(|_| true);
        }
        for _ in 1..LOOKS {
            let before = self.spread.as_ref().map(Spread::moves);
            let report = self.look_for_misses(home, tenant, query)?;
            // Who moves from a file that was not looked in yet to one that was would not be found.
            if self.spread.as_ref().map(Spread::moves) == before {
                return Ok(report);
            }
        }
        self.look_for_misses(home, tenant, query)
    }

    fn look_for_misses(&self, home: TenantKey, tenant: TenantKey, query: &MissQuery) -> Result<MissReport> {
        let snapshot = self.snapshot(home)?;
        let noted = misses::read(snapshot.connection()?, tenant, query)?;
        let mut sorting = Sorting::of(&noted);
        sorting.look_in_log(snapshot.connection()?, tenant)?;
        drop(snapshot);
        self.read(|connection| sorting.look_in_rows(connection, &self.catalog))?;
        let mut unreadable = Vec::new();
        if let Some(spread) = &self.spread {
            for stored in self.read(partitions::all)?.into_iter().filter(|stored| stored.homes > 0) {
                let look =
                    |connection: &rusqlite::Connection| sorting.look_in_rows(connection, &self.catalog);
                if let Err(error) = spread.look_in(&stored.name, look) {
                    tracing::warn!(%error, "a partition is not in a report of misses");
                    unreadable.push(stored.name);
                }
            }
        }
        let mut names = HashMap::new();
        if query.names_owners() {
            for owner in sorting.others(tenant) {
                if let Some(name) = self.read(|connection| identities::name_of(connection, owner))? {
                    names.insert(owner, name);
                }
            }
        }
        Ok(MissReport { groups: sorting.report(tenant, noted, query, &names), unreadable })
    }

    /// Refusals wait only while this thread itself holds the writer, or the disk fails.
    fn record(&self, refusal: Refusal) {
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
        let recorded = self.write(refusal.user, refusal.actor.clone(), |unit| {
            // A log that has come to its end takes no more.
            if commit::is_closed(unit.connection()?, refusal.user)? {
                return Ok(());
            }
            unit.audit(refusal.user, &event)
        });
        match recorded {
            Ok(()) => {}
            Err(error @ Error::Corrupt { .. }) => {
                tracing::warn!(%error, "a refusal is in no log, since the log itself can not be reached");
            }
            Err(error) => {
                tracing::warn!(%error, "a refusal could not be recorded yet");
                self.refusals.lock().unwrap_or_else(PoisonError::into_inner).push(refusal);
            }
        }
    }

    #[cfg(feature = "sqlcipher")]
    pub(super) fn rekey(&self, key: &Key) -> Result<()> {
        self.check_open()?;
        self.check_alone()?;
        self.main.rekey(key, self.durability, self.wait_timeout / 2)
    }

    pub(super) fn close(&self) -> Result<()> {
        if self.closed.load(Ordering::Acquire) {
            return Ok(());
        }
        self.flush();
        if let Some(spread) = &self.spread {
            spread.close()?;
            self.forget_done();
        }
        let outcome = self.main.close();
        if let Err(Error::Busy { .. }) = outcome {
            return outcome; // A transaction is open: the store stays so too.
        }
        self.closed.store(true, Ordering::Release);
        outcome
    }

    /// All partitions are closed, and with that everything in them is on the disk.
    fn forget_done(&self) {
        let (Some(spread), Ok(mut unit)) = (&self.spread, self.begin_main(Actor::default())) else { return };
        let forgotten = unit.connection().and_then(|connection| spread.forget_done(connection));
        unit.alone();
        if let Err(error) = forgotten.and_then(|()| unit.commit()) {
            tracing::warn!(%error, "what was carried out stays on the catalog's list, and is looked at again");
        }
    }
}

/// Whether a file is a tenant's home: it has the log, which comes last and goes first. Its
/// copies of the reference records are not there while one is being deleted.
pub(super) fn is_home(connection: &rusqlite::Connection, tenant: TenantKey) -> Result<bool> {
    // The reference records have the log in the main file.
    Ok(tenant == TenantKey::REFERENCE
        || commit::has_log(connection, tenant)?
            && partitions::reference_version(connection)? != transfer::NO_VERSION)
}

impl Copies for Inner {
    fn release(&self, records: &[(&Table, uuid::Uuid)]) -> Result<()> {
        self.spread.as_ref().map_or(Ok(()), |spread| spread.release(records))
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
