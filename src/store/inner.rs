//! What an open store is made of: connections, entities, grants, and what waits to be recorded.

use std::any::TypeId;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;

use super::access::Grants;
use super::lock::Claim;
use super::readers::{PoolClass, Reader, Readers, Snapshot};
use crate::audit::misses::{self, Miss, Pending};
use crate::cache::Cache;
use crate::commit::{self, Actor, Clock, Committer, Event, Unit};
use crate::entity::Entity;
use crate::error::{Error, Result};
use crate::identity::TenantKey;
use crate::monitor::{Monitor, Stats, TenantStats};
use crate::schema::Catalog;
use crate::statement::Table;

pub(crate) struct Inner {
    path: PathBuf,
    catalog: Catalog,
    /// Every verb looks here, so with a quick hash.
    types: HashMap<TypeId, Arc<Table>, hashlink::DefaultHashBuilder>,
    readers: Readers,
    /// None for a store that is open only for reading.
    committer: Option<Arc<Committer>>,
    cache: Option<Arc<Cache>>,
    pub(crate) monitor: Monitor,
    pub(crate) grants: Grants,
    pending: Mutex<Pending>,
    refusals: Mutex<Vec<Refusal>>,
    clock: Clock,
    closed: AtomicBool,
    claim: Mutex<Option<Claim>>,
    _folder: Option<tempfile::TempDir>,
}

/// What opening found and made.
pub(super) struct Parts {
    pub(super) path: PathBuf,
    pub(super) catalog: Catalog,
    pub(super) types: HashMap<TypeId, Arc<Table>>,
    pub(super) readers: Readers,
    pub(super) committer: Option<Arc<Committer>>,
    pub(super) cache: Option<Arc<Cache>>,
    pub(super) monitor: Monitor,
    pub(super) clock: Clock,
    pub(super) claim: Claim,
    pub(super) folder: Option<tempfile::TempDir>,
}

/// A refused access that is not in the log yet.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) user: TenantKey,
    pub(crate) outcome: &'static str,
    /// What was asked for: a column-like name and an id.
    pub(crate) what: Option<(&'static str, String)>,
}

impl Inner {
    pub(super) fn new(parts: Parts) -> Self {
        Self {
            path: parts.path,
            catalog: parts.catalog,
            types: parts.types.into_iter().collect(),
            readers: parts.readers,
            committer: parts.committer,
            cache: parts.cache,
            monitor: parts.monitor,
            grants: Grants::default(),
            pending: Mutex::default(),
            refusals: Mutex::default(),
            clock: parts.clock,
            closed: AtomicBool::new(false),
            claim: Mutex::new(Some(parts.claim)),
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

    pub(crate) fn is_read_only(&self) -> bool {
        self.committer.is_none()
    }

    fn check_open(&self) -> Result<()> {
        if self.closed.load(Ordering::Acquire) { Err(Error::Closed) } else { Ok(()) }
    }

    /// A connection for reading.
    pub(crate) fn reader(&self, lane: TenantKey) -> Result<Reader> {
        self.readers.get(lane)
    }

    /// Gives a tenant read connections of its own, or the shared ones.
    pub(super) fn set_pool(&self, lane: TenantKey, class: PoolClass) {
        self.readers.set_class(lane, class);
    }

    /// Reads as the application itself.
    pub(crate) fn read<R>(&self, read: impl FnOnce(&rusqlite::Connection) -> Result<R>) -> Result<R> {
        read(self.reader(TenantKey::REFERENCE)?.connection()?)
    }

    /// A connection that sees one state of the store until it is dropped.
    pub(crate) fn snapshot(&self, lane: TenantKey) -> Result<Snapshot> {
        Snapshot::begin(self.reader(lane)?)
    }

    /// Rows in memory, if the store keeps any.
    pub(crate) fn cache(&self) -> Option<&Cache> {
        self.cache.as_deref()
    }

    pub(super) fn stats(&self) -> Result<Stats> {
        let (tenants, rows, bytes) = self.read(commit::totals)?;
        let (reads, writes) = self.monitor.totals();
        let commits = self.committer.as_ref().map(|committer| committer.stats()).unwrap_or_default();
        let cache = self.cache.as_ref().map(|cache| cache.stats()).unwrap_or_default();
        Ok(Stats { tenants, rows, bytes, reads, writes, commits, readers: self.readers.stats(), cache })
    }

    /// Of a user or an organization, by its key.
    pub(super) fn stats_of(&self, home: TenantKey) -> Result<TenantStats> {
        let (rows, bytes) = self.read(|connection| commit::totals_of(connection, home))?;
        let (reads, writes) = self.monitor.of(home);
        Ok(TenantStats { rows, bytes, reads, writes })
    }

    pub(crate) fn committer(&self) -> Result<&Arc<Committer>> {
        self.check_open()?;
        self.committer
            .as_ref()
            .ok_or_else(|| Error::ReadOnly { reason: "the store is open only for reading".to_owned() })
    }

    /// Waits for the writer and begins a transaction on this thread.
    pub(crate) fn begin(&self, lane: TenantKey, actor: Actor) -> Result<Unit> {
        self.committer()?.begin(lane, actor)
    }

    /// Runs one transaction, wherever the writer is.
    pub(crate) fn run<R: Send + 'static>(
        &self,
        lane: TenantKey,
        actor: Actor,
        work: impl FnOnce(&mut Unit) -> Result<R> + Send + 'static,
    ) -> Result<R> {
        self.committer()?.run(lane, actor, work)
    }

    /// Runs one transaction: of the application itself, or what the store notes of a user, in whose
    /// turn it waits then.
    pub(crate) fn write<R>(&self, actor: Actor, write: impl FnOnce(&mut Unit) -> Result<R>) -> Result<R> {
        let mut unit = self.begin(actor.user.unwrap_or(TenantKey::REFERENCE), actor)?;
        let result = write(&mut unit)?;
        unit.commit()?;
        Ok(result)
    }

    /// Runs one transaction that ends sessions: those that reach the tenant which it returns.
    /// They end before anybody else can write, so no entry of theirs follows the one of their end.
    pub(super) fn write_revoking(
        self: &Arc<Self>,
        write: impl FnOnce(&mut Unit) -> Result<TenantKey>,
    ) -> Result<()> {
        self.write(Actor::default(), |unit| {
            let tenant = write(unit)?;
            let store = Arc::clone(self);
            unit.after_commit(move || store.grants.revoke(tenant));
            Ok(())
        })
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

    pub(super) fn flush(&self) {
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

    pub(super) fn close(&self) -> Result<()> {
        if self.closed.load(Ordering::Acquire) {
            return Ok(());
        }
        self.flush();
        let outcome = self.committer.as_ref().map_or(Ok(()), |committer| committer.close());
        if let Err(Error::Busy { .. }) = outcome {
            return outcome; // A transaction is open: the store stays so too.
        }
        self.closed.store(true, Ordering::Release);
        if self.readers.close() {
            // Otherwise the path stays claimed until the last iterator over it is gone.
            self.claim.lock().unwrap_or_else(PoisonError::into_inner).take();
        }
        outcome
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
