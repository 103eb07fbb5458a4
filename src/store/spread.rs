//! A store of several files: which file a tenant lives in, the files that are open, and what keeps
//! each of them in step with the catalog.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, TryLockError};

use hashlink::LinkedHashMap;
use uuid::Uuid;

use super::arrival::Unborn;
use super::change::{self, Intent};
use super::cipher::Cipher;
use super::file::StoreFile;
use super::lock::Claim;
use super::part::{Part, Settings};
use super::{Durability, connection, erase, open, transfer};
use crate::commit::{self, Actor, CommitTotals};
use crate::error::{Error, KeyProblem, Result};
use crate::identity::TenantKey;
use crate::leave::erase::Errand;
use crate::monitor::ReaderStats;
use crate::schema::partitions::{self, IntentKind, StoredIntent, StoredPartition};
use crate::schema::{Catalog, NewFile, Role};
use crate::statement::Table;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{Mutex, MutexGuard};

/// Locks that keep a file from being opened twice, or opened while it closes.
const OPENING: usize = 16;
/// Homes that are remembered; then those that nobody uses go.
const SEATS_MAX: usize = 100_000;

/// Where a tenant's home is, as long as it does not move.
#[derive(Debug)]
pub(crate) struct Seat {
    partition: i64,
    moved: AtomicBool,
}

/// A tenant's home in an open file. As long as there is one, the file stays open and what it holds of
/// the tenant stays in it.
#[derive(Clone)]
pub(crate) struct Place {
    pub(crate) part: Arc<Part>,
    seat: Arc<Seat>,
}

impl Place {
    /// Whether the tenant still lives there: looked up when nobody else can write to the file, the
    /// answer stays true for as long.
    pub(crate) fn is_current(&self) -> bool {
        !self.seat.moved.load(Ordering::Acquire)
    }
}

pub(super) struct Spread {
    folder: PathBuf,
    /// The catalog's file, and the entities that every file holds.
    main: Arc<Part>,
    catalog: Arc<Catalog>,
    pub(super) settings: Settings,
    device: Uuid,
    /// What every partition is encrypted with.
    cipher: Option<Arc<Cipher>>,
    /// The least recently used first.
    open: Mutex<LinkedHashMap<i64, Arc<Part>>>,
    open_max: usize,
    opening: [Mutex<()>; OPENING],
    seats: Mutex<Seats>,
    /// Tenants that this process moves now, and those that have moved and are still read at their former
    /// home: nobody is to clear that.
    moving: Mutex<HashMap<TenantKey, Option<Arc<Seat>>>>,
    /// Held while something is cleared, so that no tenant moves back to where its rows are going.
    clearing: Mutex<()>,
    /// Held while tenants are spread otherwise: not by two at once.
    pub(super) spreading: Mutex<()>,
    /// What files did that are closed by now.
    retired: Mutex<(CommitTotals, ReaderStats)>,
    /// Changes that were carried out for good, and can be forgotten with the next one.
    done: Mutex<Vec<i64>>,
}

#[derive(Default)]
struct Seats {
    by_home: HashMap<TenantKey, Arc<Seat>>,
    /// How many homes have moved: a place that was looked up before one of them is not kept.
    moves: u64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What they guard is whole between any two statements.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The same, if nobody holds it.
pub(super) fn try_lock<T>(mutex: &Mutex<T>) -> Option<MutexGuard<'_, T>> {
    match mutex.try_lock() {
        Ok(guard) => Some(guard),
        Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}

impl Spread {
    pub(super) fn new(
        folder: &Path,
        main: Arc<Part>,
        catalog: Arc<Catalog>,
        settings: Settings,
        device: Uuid,
        cipher: Option<Arc<Cipher>>,
        open_max: usize,
    ) -> Self {
        Self {
            folder: folder.to_owned(),
            main,
            catalog,
            settings,
            device,
            cipher,
            open: Mutex::default(),
            open_max,
            opening: std::array::from_fn(|_| Mutex::default()),
            seats: Mutex::default(),
            moving: Mutex::default(),
            clearing: Mutex::default(),
            spreading: Mutex::default(),
            retired: Mutex::default(),
            done: Mutex::default(),
        }
    }

    pub(super) fn path_of(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    #[cfg(test)]
    pub(super) fn file_named(&self, name: &str) -> (PathBuf, Option<Arc<Cipher>>) {
        (self.path_of(name), self.cipher.clone())
    }

    /// A user's or an organization's home, in step with the catalog.
    pub(super) fn place(&self, home: TenantKey) -> Result<Place> {
        let seat = self.seat(home)?;
        let part = self.part(seat.partition)?;
        self.follow(&part, Holding::Nothing)?;
        Ok(Place { part, seat })
    }

    /// In which partition a user or an organization lives now.
    pub(super) fn home(&self, home: TenantKey) -> Result<i64> {
        let reader = self.main.readers.get(TenantKey::REFERENCE)?;
        partitions::home(reader.connection()?, home)?.ok_or_else(homeless)
    }

    fn seat(&self, home: TenantKey) -> Result<Arc<Seat>> {
        if self.main.is_read_only() {
            // Another process moves tenants, and does not tell.
            return Ok(Arc::new(Seat { partition: self.home(home)?, moved: AtomicBool::new(false) }));
        }
        loop {
            let moves = {
                let seats = lock(&self.seats);
                if let Some(seat) = seats.by_home.get(&home) {
                    return Ok(Arc::clone(seat));
                }
                seats.moves
            };
            let partition = self.home(home)?;
            let mut seats = lock(&self.seats);
            if seats.moves != moves {
                continue;
            }
            if seats.by_home.len() >= SEATS_MAX {
                seats.by_home.retain(|_, seat| Arc::strong_count(seat) > 1);
            }
            let seat = seats
                .by_home
                .entry(home)
                .or_insert_with(|| Arc::new(Seat { partition, moved: AtomicBool::new(false) }));
            return Ok(Arc::clone(seat));
        }
    }

    /// A home has moved, as the catalog already says. Who looks it up from now on finds the new one;
    /// the former seat, which those have who are still at work there.
    pub(super) fn moved(&self, home: TenantKey) -> Option<Arc<Seat>> {
        let mut seats = lock(&self.seats);
        seats.moves += 1;
        let seat = seats.by_home.remove(&home)?;
        seat.moved.store(true, Ordering::Release);
        Some(seat)
    }

    /// An open partition; opened if it is not.
    pub(super) fn part(&self, key: i64) -> Result<Arc<Part>> {
        if let Some(part) = lock(&self.open).to_back(&key) {
            return Ok(Arc::clone(part));
        }
        let stored = {
            let reader = self.main.readers.get(TenantKey::REFERENCE)?;
            partitions::find(reader.connection()?, key)?
        };
        self.known_part(&stored)
    }

    /// The same of a partition that the catalog may be about to name.
    pub(super) fn known_part(&self, stored: &StoredPartition) -> Result<Arc<Part>> {
        let key = stored.key;
        let _opening = lock(self.stripe(key));
        if let Some(part) = lock(&self.open).to_back(&key) {
            return Ok(Arc::clone(part));
        }
        let part = Arc::new(self.open(stored)?);
        lock(&self.open).insert(key, Arc::clone(&part));
        self.shrink(key);
        Ok(part)
    }

    fn stripe(&self, key: i64) -> &Mutex<()> {
        &self.opening[usize::try_from(key).unwrap_or(0) % OPENING]
    }

    /// Closes the files that were used least recently and that nobody uses, down to the bound. The
    /// caller holds the lock for opening `opened`.
    fn shrink(&self, opened: i64) {
        let mut passed = HashSet::from([opened]);
        loop {
            let candidate = {
                let open = lock(&self.open);
                if open.len() <= self.open_max {
                    return;
                }
                let unused =
                    |(key, part): &(&i64, &Arc<Part>)| Arc::strong_count(part) == 1 && !passed.contains(*key);
                open.iter().find(unused).map(|(key, _)| *key)
            };
            let Some(key) = candidate else { return };
            passed.insert(key);
            // While it closes, nobody opens it again.
            let same = std::ptr::eq(self.stripe(key), self.stripe(opened));
            let closing = if same { None } else { try_lock(self.stripe(key)) };
            if !same && closing.is_none() {
                continue;
            }
            let part = {
                let mut open = lock(&self.open);
                match open.get(&key) {
                    Some(part) if Arc::strong_count(part) == 1 => open.remove(&key),
                    _ => None,
                }
            };
            if let Some(part) = part {
                self.retire(part);
            }
        }
    }

    /// Closes a file and keeps what it did.
    fn retire(&self, part: Arc<Part>) {
        let mut retired = lock(&self.retired);
        let (commits, readers) = &mut *retired;
        part.add_stats(commits, readers);
        // Connections that are not there any more.
        readers.size = 0;
        drop(retired);
        drop(part);
    }

    /// What all partitions did, and those that are open now.
    pub(super) fn add_stats(&self, commits: &mut CommitTotals, readers: &mut ReaderStats) -> usize {
        {
            let retired = lock(&self.retired);
            commits.add(&retired.0);
            readers.waited += retired.1.waited;
            readers.timeouts += retired.1.timeouts;
        }
        let open = self.open_parts();
        for part in &open {
            part.add_stats(commits, readers);
        }
        open.len()
    }

    fn open(&self, stored: &StoredPartition) -> Result<Part> {
        let (intents, decided, reference) = {
            let reader = self.main.readers.get(TenantKey::REFERENCE)?;
            let catalog = reader.connection()?;
            let decided = partitions::decided(catalog)?;
            (partitions::intents(catalog, stored.key)?, decided, partitions::reference_version(catalog)?)
        };
        let path = self.path_of(&stored.name);
        let named = |error| match error {
            Error::Key { problem, .. } => {
                Error::corrupt(format!("partition {}: {}", path.display(), strange(problem)))
            }
            Error::Corrupt { what, source } => {
                Error::Corrupt { what: format!("partition {}: {what}", path.display()), source }
            }
            other => other,
        };
        let is_new = !path.exists();
        if is_new {
            if stored.homes > 0 {
                return Err(Error::corrupt(format!(
                    "partition {} is missing: restore it from a backup; tenants in other partitions are not affected",
                    path.display()
                )));
            }
            if self.main.is_read_only() {
                return Err(Error::Busy {
                    reason: "the store is being changed by another process; try again",
                });
            }
            let cipher = self.cipher.as_deref();
            open::create(&path, cipher, &self.settings.clock, &NewFile::Partition, self.device)?;
        }
        let mut claim = Claim::reading(&path);
        self.inspect(&mut claim, &path).map_err(named)?;
        let file = Arc::new(StoreFile::new(&path, self.cipher.clone()));
        let mut part = if self.main.is_read_only() {
            let reader = connection::reader(&file)?;
            open::load_partition_read_only(&reader, &path, &self.catalog, self.device).map_err(named)?;
            Part::new(file, claim, None, &self.settings)
        } else {
            let mut connection = connection::writer(&file, self.settings.durability).map_err(named)?;
            open::load_partition(&mut connection, &path, &self.catalog, self.device).map_err(named)?;
            if is_new {
                // What was decided before has nowhere to go.
                partitions::set_applied(&connection, decided - 1)?;
            }
            let applied = partitions::applied(&connection)?;
            if applied < stored.forgotten
                || applied >= decided
                || partitions::reference_version(&connection)? > reference
            {
                return Err(named(Error::corrupt(
                    "it and the catalog are of different times: restore both from one backup",
                )));
            }
            let committer = Part::committer_of(&file, connection, self.device, &self.settings)?;
            let part = Part::new(file, claim, Some(committer), &self.settings);
            part.applied.store(applied, Ordering::Release);
            let last = intents.iter().map(|intent| intent.number).max().unwrap_or(0);
            part.decided.store(last, Ordering::Release);
            part
        };
        part.key = Some(stored.key);
        Ok(part)
    }

    /// Looks at a partition before anything is written to it. It has no key of its own that anybody could give.
    fn inspect(&self, claim: &mut Claim, path: &Path) -> Result<()> {
        claim.inspect(|path| open::inspect(path, self.cipher.is_some()))?;
        match &self.cipher {
            Some(cipher) => open::inspect_encrypted(path, cipher),
            None => Ok(()),
        }
    }

    /// Carries out what was decided in the catalog and has not happened in the partition, and brings
    /// its copies of the reference records up to date. Two loads when there is nothing to do.
    pub(super) fn follow(&self, part: &Part, holding: Holding) -> Result<()> {
        let version = self.main.reference_version();
        if self.main.is_read_only() || part.is_caught_up() && part.reference_version() == version {
            return Ok(());
        }
        let released = part.reference_version() == transfer::NO_VERSION;
        if self.is_writing() {
            // A transaction of this very thread may hold the writer. What sessions read beside it is what
            // was committed when it began.
            return if released { Err(RELEASED) } else { Ok(()) };
        }
        // Whoever took copies out holds the catalog's writer until it is known whether they come back.
        let _settled = match holding {
            Holding::Nothing if released => {
                Some(self.main.committer()?.begin(TenantKey::REFERENCE, Actor::default())?)
            }
            Holding::Nothing | Holding::Catalog => None,
        };
        // Records of somebody who arrives may refer to reference records that come only now.
        let mut unit = part.committer()?.begin_unchecked(TenantKey::REFERENCE, Actor::default())?;
        if holding == Holding::Nothing && !released && part.reference_version() == transfer::NO_VERSION {
            // They were taken out during the wait for the writer.
            drop(unit);
            return self.follow(part, holding);
        }
        let Some(key) = part.key else { return Ok(()) };
        // After the wait for the writer, which whoever changes an identity holds until it is carried out.
        let (intents, reference) = {
            let snapshot = super::Snapshot::begin(self.main.readers.get(TenantKey::REFERENCE)?)?;
            let connection = snapshot.connection()?;
            let stale = part.reference_version() != partitions::reference_version(connection)?;
            let reference =
                if stale { Some(transfer::read_reference(connection, &self.catalog)?) } else { None };
            (partitions::intents(connection, key)?, reference)
        };
        let applied = partitions::applied(unit.connection()?)?;
        // Nobody decides anything for the partition without its writer; a decision that was not
        // committed is none, and its number is given out again.
        let decided = intents.iter().map(|intent| intent.number).max().unwrap_or(0).max(applied);
        part.decided.store(decided, Ordering::Release);
        let (clear, changes): (Vec<_>, Vec<_>) =
            intents.into_iter().partition(|intent| intent.kind == IntentKind::Clear);
        for intent in changes.iter().filter(|intent| intent.number > applied) {
            if intent.kind == IntentKind::Erase {
                erase::apply(&mut unit, &Errand::from_bytes(&intent.body)?, &self.catalog, intent.number)?;
            } else {
                change::apply(&mut unit, &Intent::from_bytes(&intent.body)?, intent.number)?;
            }
        }
        if let Some(reference) = reference {
            transfer::write_reference(&mut unit, &self.catalog, reference)
                .map_err(|error| part.name_in(error))?;
        }
        unit.commit()?;
        part.applied.fetch_max(decided, Ordering::AcqRel);
        self.note_done(part, changes.iter().map(|intent| intent.number));
        if let Err(error) = self.clear_left(part, &clear, try_lock(&self.clearing)) {
            // It is in nobody's way.
            tracing::warn!(%error, "what a move has left behind stays for now");
        }
        Ok(())
    }

    /// Whether nobody needs what is left of a tenant where it does not live.
    pub(super) fn may_clear(&self, home: TenantKey) -> bool {
        match lock(&self.moving).get(&home) {
            None => true,
            Some(Some(seat)) => Arc::strong_count(seat) == 1,
            Some(None) => false,
        }
    }

    /// Clears what is left in a partition of tenants that have moved away from it.
    pub(super) fn finish_clearing(&self, part: &Part) -> Result<()> {
        let Some(key) = part.key else { return Ok(()) };
        let intents = {
            let reader = self.main.readers.get(TenantKey::REFERENCE)?;
            partitions::intents(reader.connection()?, key)?
        };
        let clear: Vec<_> = intents.into_iter().filter(|intent| intent.kind == IntentKind::Clear).collect();
        self.clear_left(part, &clear, Some(lock(&self.clearing)))
    }

    /// Clears what nobody needs any more. Without the lock somebody else is about to.
    fn clear_left(
        &self,
        part: &Part,
        intents: &[StoredIntent],
        clearing: Option<MutexGuard<'_, ()>>,
    ) -> Result<()> {
        let Some(_clearing) = clearing else { return Ok(()) };
        for intent in intents {
            if !self.are_done(&[intent.number]) && self.may_clear(intent.tenant) {
                let unborn = Unborn::from_bytes(&intent.body)?;
                self.clear(part, intent.tenant, intent.number, unborn.as_ref())?;
            }
        }
        Ok(())
    }

    /// Whether all of these intents were carried out, and are only not forgotten yet.
    pub(super) fn are_done(&self, intents: &[i64]) -> bool {
        let done = lock(&self.done);
        intents.iter().all(|number| done.contains(number))
    }

    /// Keeps a tenant where it is, as long as the answer lives.
    pub(super) fn stay(&self, home: TenantKey) -> Result<Staying<'_>> {
        self.begin_move(home)?;
        Ok(Staying { spread: self, home })
    }

    pub(super) fn begin_move(&self, home: TenantKey) -> Result<()> {
        // Who clears what it left somewhere is done, and from here on nobody does but the move itself.
        let _clearing = lock(&self.clearing);
        let mut moving = lock(&self.moving);
        let read = |seat: &Arc<Seat>| Arc::strong_count(seat) > 1;
        if moving.get(&home).is_some_and(|former| former.as_ref().is_none_or(read)) {
            return Err(Error::Busy {
                reason: "the tenant is being moved, or is still read where it was moved away from; try again",
            });
        }
        moving.insert(home, None);
        Ok(())
    }

    /// The seat of those who are still at work at the former home.
    pub(super) fn end_move(&self, home: TenantKey, former: Option<Arc<Seat>>) {
        let mut moving = lock(&self.moving);
        match former {
            Some(seat) => moving.insert(home, Some(seat)),
            None => moving.remove(&home),
        };
    }

    /// Takes everything of a tenant that does not live there out of a partition, and the intent with it;
    /// of one that has not arrived, its name too.
    pub(super) fn clear(
        &self,
        part: &Part,
        home: TenantKey,
        intent: i64,
        unborn: Option<&Unborn>,
    ) -> Result<()> {
        let lives = {
            let reader = self.main.readers.get(TenantKey::REFERENCE)?;
            partitions::home(reader.connection()?, home)?
        };
        match unborn {
            None if lives.is_none() => return Err(homeless()),
            _ if lives == part.key => {}
            None => transfer::clear(part.committer()?, &self.catalog, home)?,
            Some(unborn) => {
                transfer::clear(part.committer()?, &self.catalog, home)?;
                transfer::clear_names(part.committer()?, home, &unborn.users)?;
            }
        }
        lock(&self.done).push(intent);
        Ok(())
    }

    /// Tells an open partition of a change that was decided without its writer, and carries it out.
    pub(super) fn tell(&self, part: &Part, number: i64) -> Result<()> {
        // Whoever follows meanwhile holds the writer until it has noted what it saw, which may be less.
        let writing = part.committer()?.begin(TenantKey::REFERENCE, Actor::default())?;
        part.decided.fetch_max(number, Ordering::AcqRel);
        drop(writing);
        self.follow(part, Holding::Nothing)
    }

    /// Changes were carried out. With `Durability::Normal` a power loss could still undo that, and then
    /// the catalog, which is always synced, must know of them.
    pub(super) fn note_done(&self, part: &Part, numbers: impl IntoIterator<Item = i64>) {
        let mut numbers = numbers.into_iter().peekable();
        if numbers.peek().is_some() && self.sync(part).is_ok() {
            lock(&self.done).extend(numbers);
        }
    }

    /// What was committed in a partition survives a power loss from here on.
    pub(super) fn sync(&self, part: &Part) -> Result<()> {
        match self.settings.durability {
            Durability::Full => Ok(()),
            Durability::Normal => part.committer()?.sync(),
        }
    }

    /// Forgets the intents that were carried out for good.
    pub(super) fn forget_done(&self, catalog: &rusqlite::Connection) -> Result<()> {
        let done = std::mem::take(&mut *lock(&self.done));
        done.into_iter().try_for_each(|number| partitions::done(catalog, number))
    }

    /// Takes the copies of reference records out of all partitions; an error if a record in one of them
    /// refers to one. Until the catalog has committed or given up, those partitions hold copies of no
    /// version, so whoever uses one next brings them back as they then are.
    pub(super) fn release(&self, records: &[(&Table, Uuid)]) -> Result<()> {
        let (all, to_clear) = {
            let reader = self.main.readers.get(TenantKey::REFERENCE)?;
            (partitions::all(reader.connection()?)?, partitions::to_clear(reader.connection()?)?)
        };
        // Where nobody lives, and nobody moves to, nobody's record refers to anything.
        for stored in all.into_iter().filter(|stored| stored.homes > 0 || to_clear.contains(&stored.key)) {
            let part = self.part(stored.key)?;
            self.finish_clearing(&part)?;
            let mut unit = part.committer()?.begin(TenantKey::REFERENCE, Actor::default())?;
            unit.alone();
            transfer::release(&mut unit, &self.catalog, records).map_err(|error| part.name_in(error))?;
            unit.commit()?;
        }
        Ok(())
    }

    /// The rows and bytes of tenants in a partition.
    pub(super) fn totals(&self, name: &str) -> Result<(u64, u64)> {
        self.look_in(name, commit::totals_at_home)
    }

    /// Reads in a partition's file, which needs no place among those that are open.
    pub(super) fn look_in<R>(
        &self,
        name: &str,
        look: impl FnOnce(&rusqlite::Connection) -> Result<R>,
    ) -> Result<R> {
        let path = self.path_of(name);
        let _claim = Claim::reading(&path);
        look(&connection::reader(&StoreFile::new(&path, self.cipher.clone()))?)
    }

    /// How many homes have moved in this process.
    pub(super) fn moves(&self) -> u64 {
        lock(&self.seats).moves
    }

    /// The files that are open.
    pub(super) fn open_parts(&self) -> Vec<Arc<Part>> {
        lock(&self.open).values().map(Arc::clone).collect()
    }

    /// Closes all files; the first error. Where a transaction is open, that file and those after it stay
    /// open, and the store does.
    pub(super) fn close(&self) -> Result<()> {
        let mut outcome = Ok(());
        loop {
            let Some((key, part)) = lock(&self.open).front().map(|(key, part)| (*key, Arc::clone(part)))
            else {
                return outcome;
            };
            match part.close() {
                Err(Error::Busy { reason }) => return Err(Error::Busy { reason }),
                other => outcome = outcome.and(other),
            }
            lock(&self.open).remove(&key);
        }
    }

    /// Closes one file, if nobody uses it, and removes it before anybody opens it again: for one that
    /// nobody lives in. Whether it is gone.
    pub(super) fn remove(&self, stored: &StoredPartition) -> Result<bool> {
        let _opening = lock(self.stripe(stored.key));
        let part = {
            let mut open = lock(&self.open);
            match open.get(&stored.key) {
                Some(part) if Arc::strong_count(part) > 1 => return Ok(false),
                _ => open.remove(&stored.key),
            }
        };
        if let Some(part) = part {
            self.retire(part);
        }
        let path = self.path_of(&stored.name);
        // A partition that nobody lives in may lack its file.
        for suffix in ["", "-wal", "-shm"] {
            remove_file(&open::with_suffix(&path, suffix))?;
        }
        Ok(true)
    }

    /// Opens a file anew for who uses it next: another process may have removed it and made another.
    pub(super) fn discard(&self, key: i64) {
        lock(&self.open).remove(&key);
    }

    /// Notes that this thread has a transaction open, for as long as the answer lives: a transaction
    /// in another file would not be part of it, and could wait for one that waits for this.
    pub(super) fn enter(&self) -> Writing {
        let store = std::ptr::from_ref(self).addr();
        WRITING.with_borrow_mut(|writing| writing.push(store));
        Writing { store }
    }

    /// Whether this thread has a transaction of this store open.
    pub(super) fn is_writing(&self) -> bool {
        let store = std::ptr::from_ref(self).addr();
        WRITING.with_borrow(|writing| writing.contains(&store))
    }
}

/// A tenant does not move meanwhile.
pub(super) struct Staying<'s> {
    spread: &'s Spread,
    home: TenantKey,
}

impl Drop for Staying<'_> {
    fn drop(&mut self) {
        self.spread.end_move(self.home, None);
    }
}

fn remove_file(path: &Path) -> Result<()> {
    #[cfg(test)]
    crate::crash::moment();
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::io(path.display().to_string(), error))
        }
        _ => Ok(()),
    }
}

const RELEASED: Error = Error::Busy {
    reason: "reference records are being deleted, and a transaction is open on this thread; read through its handle",
};

/// What the thread that brings a partition up to date holds already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Holding {
    Nothing,
    /// The catalog's writer.
    Catalog,
}

thread_local! {
    /// The stores in which this thread has a transaction open.
    static WRITING: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
}

/// This thread has a transaction open.
pub(crate) struct Writing {
    store: usize,
}

impl Drop for Writing {
    fn drop(&mut self) {
        WRITING.with_borrow_mut(|writing| {
            if let Some(position) = writing.iter().rposition(|store| *store == self.store) {
                writing.swap_remove(position);
            }
        });
    }
}

/// What a partition is whose key is not the one that the catalog keeps.
fn strange(problem: KeyProblem) -> &'static str {
    match problem {
        KeyProblem::NotEncrypted => {
            "it is not encrypted, as the rest of the store is; put the right file in its place"
        }
        KeyProblem::Missing | KeyProblem::Unsupported => {
            "it is not a SQLite database, or is encrypted, as the rest of the store is not; put the right file in its place"
        }
        KeyProblem::Wrong => "it is damaged or belongs to another store; restore it from a backup",
    }
}

pub(super) fn homeless() -> Error {
    Error::corrupt("the catalog does not say where a tenant lives; restore it from a backup")
}

/// The file in the folder that holds what is not in a partition.
pub(super) const CATALOG: &str = "catalog.db";

/// What a file of the wrong role is, and what to open instead.
pub(super) fn wrong_role(path: &Path, found: Role) -> Error {
    let what = match found {
        Role::File => "is a whole store, and not a part of this one",
        Role::Catalog => "is the catalog of a store of several files: open the folder that it is in",
        Role::Partition => {
            "is a partition of a store of several files: open the folder that holds the store's catalog"
        }
    };
    Error::schema(format!("{} {what}", path.display()))
}
