//! One open write transaction: row changes, their audit entries and heads, all or nothing.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use jiff::Timestamp;
use rusqlite::{Connection, params};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Writer;
use super::heads::{self, Mark as HeadMark, RowHead};
use super::queue::{Committer, Company, gather, roll_back_rest};
use crate::audit::chain::{Hash, Link, commitment};
use crate::audit::checkpoint::{Checkpoint, EXPIRE};
use crate::entity::truncate_to_micros;
use crate::error::{Error, Result};
use crate::identity::{Mark, TenantKey, UserId};
use crate::monitor::noted;
use crate::quota::Quota;
use crate::schema::{identities, partitions};

/// Who acts in a transaction; nobody when the application itself does.
#[derive(Debug, Clone, Default)]
pub(crate) struct Actor {
    /// In whose name.
    pub(crate) user: Option<Mark>,
    /// The administrator who does it.
    pub(crate) admin: Option<Arc<Authority>>,
}

/// Who administers, and why.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Authority {
    pub(crate) admin: UserId,
    pub(crate) mark: Mark,
    pub(crate) reason: String,
}

/// What an audit entry says, apart from what the log itself adds.
#[derive(Debug)]
pub(crate) struct Event<'a> {
    pub(crate) action: &'a str,
    pub(crate) outcome: &'a str,
    pub(crate) entity: Option<(&'a str, i64)>,
    pub(crate) record: Option<Uuid>,
    pub(crate) payload: Vec<u8>,
}

/// An open write transaction. It holds the work of the caller that leads it and of others that
/// joined, one after the other. Dropped without a commit, it rolls back, tells the others, and
/// hands the writer on: also when a closure panics.
pub(crate) struct Unit {
    committer: Arc<Committer>,
    /// There until the transaction ends.
    writer: Option<Box<Writer>>,
    pub(super) company: Company,
    actor: Actor,
    now: Timestamp,
    savepoints: usize,
    /// Whether others are kept out.
    alone: bool,
    reference: Option<Reference>,
    /// What follows the commit before anybody else can write; nobody joins after it.
    then: Option<Box<dyn FnOnce() + Send>>,
}

/// The version of the reference records that a transaction leaves.
#[derive(Debug, Clone, Copy)]
enum Reference {
    Next,
    Of(i64),
}

/// A place to come back to; heads in memory are not in SQLite's hands.
pub(crate) struct Savepoint {
    heads: HeadMark,
    name: String,
}

impl Unit {
    pub(super) fn begin(committer: Arc<Committer>, writer: Box<Writer>) -> Result<Self> {
        // Whole before anything can fail or panic, so that dropping it hands the writer on.
        let mut unit = Self {
            committer,
            writer: Some(writer),
            company: Company::default(),
            actor: Actor::default(),
            now: Timestamp::UNIX_EPOCH,
            savepoints: 0,
            alone: false,
            reference: None,
            then: None,
        };
        let committer = Arc::clone(&unit.committer);
        let connection = &unit.writer()?.connection;
        // If the last transaction could not even be rolled back.
        roll_back_rest(connection)?;
        committer.checkpoints.finish(connection);
        connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        Ok(unit)
    }

    /// What follows is the work of this caller.
    pub(super) fn enter(&mut self, actor: Actor) -> Result<()> {
        let writer = self.writer()?;
        writer.works += 1;
        let clock = Arc::clone(&writer.clock);
        self.actor = actor;
        self.now = truncate_to_micros(clock());
        Ok(())
    }

    fn writer(&mut self) -> Result<&mut Writer> {
        self.writer.as_deref_mut().ok_or(Error::Closed)
    }

    /// The connection, within the transaction.
    pub(crate) fn connection(&self) -> Result<&Connection> {
        let writer = self.writer.as_deref().ok_or(Error::Closed)?;
        if writer.connection.is_autocommit() {
            // SQLite itself ends the transaction on some errors (https://sqlite.org/lang_transaction.html).
            return Err(Error::LOST);
        }
        Ok(&writer.connection)
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.now
    }

    pub(crate) fn record_bytes_max(&self) -> usize {
        self.writer.as_ref().map_or(0, |writer| writer.record_bytes_max)
    }

    /// Whether another caller's work may join the transaction.
    pub(super) fn takes_more(&self) -> bool {
        !self.alone && self.then.is_none() && self.connection().is_ok()
    }

    /// Runs the work of another caller; whether it stays.
    pub(super) fn guest(&mut self, work: impl FnOnce(&mut Self) -> bool) -> bool {
        let kept = self.savepoint().and_then(|savepoint| {
            if work(self) {
                return self.release(savepoint).map(|()| true);
            }
            self.roll_back_to(savepoint).map(|()| false)
        });
        // If even that fails, the transaction is over for all.
        kept.unwrap_or(true)
    }

    /// Nobody else's work joins the transaction: it puts off constraints, or is one of two.
    pub(crate) fn alone(&mut self) {
        self.alone = true;
    }

    /// What follows is done by others.
    pub(crate) fn act_as(&mut self, actor: Actor) {
        self.actor = actor;
    }

    /// What follows happened at this time, and is a change by itself.
    pub(crate) fn at(&mut self, time: Timestamp) {
        self.now = time;
        if let Some(writer) = &mut self.writer {
            writer.works += 1;
        }
    }

    /// Reference records are others than before.
    pub(crate) fn change_reference(&mut self) {
        self.reference.get_or_insert(Reference::Next);
    }

    /// The file's copies of the reference records are of this version.
    pub(crate) fn set_reference_version(&mut self, version: i64) {
        self.reference = Some(Reference::Of(version));
    }

    /// Runs what must come right after the commit, before the next transaction begins.
    pub(crate) fn after_commit(&mut self, then: impl FnOnce() + Send + 'static) {
        self.then = Some(Box::new(then));
    }

    /// Commits with the work of those who wait, and answers only when SQLite has.
    pub(crate) fn commit(mut self) -> Result<()> {
        let committer = Arc::clone(&self.committer);
        gather(&committer, &mut self);
        let outcome = self.commit_all();
        if let Err(error) = &outcome {
            self.roll_back();
            committer.note_failure();
            self.company.answer(|| Err(error.for_another()));
        } else {
            let callers = 1 + self.company.len();
            committer.note_batch(callers);
            noted::batch(callers);
            self.company.answer(|| Ok(callers));
        }
        outcome // dropping hands the writer on, after the others have been answered
    }

    fn commit_all(&mut self) -> Result<()> {
        self.connection()?;
        let Some(writer) = self.writer.as_deref_mut() else { return Err(Error::Closed) };
        writer.heads.store(&writer.connection)?;
        let reference = match self.reference {
            None => None,
            Some(Reference::Of(version)) => Some(version),
            Some(Reference::Next) => Some(partitions::reference_version(&writer.connection)? + 1),
        };
        if let Some(version) = reference {
            partitions::set_reference_version(&writer.connection, version)?;
        }
        #[cfg(test)]
        crate::crash::moment();
        match &writer.cache {
            None => drop(writer.connection.prepare_cached("COMMIT")?.execute([])?),
            Some(cache) => {
                cache.mark(&writer.changed);
                let commit = || writer.connection.prepare_cached("COMMIT")?.execute([]);
                let outcome = commit();
                cache.settle(&writer.changed);
                writer.changed.clear();
                outcome?;
            }
        }
        #[cfg(test)]
        crate::crash::moment();
        writer.heads.committed();
        if let Some(version) = reference {
            writer.reference.store(version, Ordering::Release);
        }
        self.committer.checkpoints.note();
        if let Some(then) = self.then.take() {
            then();
        }
        Ok(())
    }

    fn roll_back(&mut self) {
        let Some(writer) = self.writer.as_deref_mut() else { return };
        writer.heads.roll_back();
        writer.changed.clear();
        if !writer.connection.is_autocommit()
            && let Err(error) = writer.connection.execute_batch("ROLLBACK")
        {
            tracing::warn!(%error, "a transaction could not be rolled back; the next one tries again");
        }
    }

    /// Runs several steps as one: if they fail, nothing of them stays, and the transaction goes on.
    pub(crate) fn nested<R>(&mut self, steps: impl FnOnce(&mut Self) -> Result<R>) -> Result<R> {
        let savepoint = self.savepoint()?;
        // A panic between a row and its entry may be caught within the transaction.
        match catch_unwind(AssertUnwindSafe(|| steps(self))) {
            Ok(Ok(result)) => {
                self.release(savepoint)?;
                Ok(result)
            }
            Ok(Err(error)) => {
                self.roll_back_to(savepoint)?;
                Err(error)
            }
            Err(panic) => {
                if let Err(error) = self.roll_back_to(savepoint) {
                    tracing::warn!(%error, "the transaction was rolled back after a panic");
                }
                resume_unwind(panic)
            }
        }
    }

    pub(crate) fn savepoint(&mut self) -> Result<Savepoint> {
        let name = format!("s{}", self.savepoints);
        self.connection()?.prepare_cached(&format!("SAVEPOINT {name}"))?.execute([])?;
        self.savepoints += 1;
        let heads = self.writer()?.heads.mark();
        Ok(Savepoint { heads, name })
    }

    pub(crate) fn release(&mut self, savepoint: Savepoint) -> Result<()> {
        self.savepoints -= 1;
        self.connection()?.prepare_cached(&format!("RELEASE {}", savepoint.name))?.execute([])?;
        Ok(())
    }

    pub(crate) fn roll_back_to(&mut self, savepoint: Savepoint) -> Result<()> {
        self.savepoints -= 1;
        self.writer()?.heads.roll_back_to(savepoint.heads);
        let name = savepoint.name;
        // After a failure that ended the whole transaction there is nothing to return to; the
        // failure itself is the answer, and every later step is refused.
        let Ok(connection) = self.connection() else { return Ok(()) };
        let undone = (|| {
            connection.prepare_cached(&format!("ROLLBACK TO {name}"))?.execute([])?;
            connection.prepare_cached(&format!("RELEASE {name}"))?.execute([])
        })();
        if undone.is_err() {
            // The rows would no longer be those of the heads in memory: nothing of them may stay.
            connection.execute_batch("ROLLBACK")?;
        }
        undone.map(drop).map_err(Error::from)
    }

    /// The head of a tenant's rows of an entity.
    pub(crate) fn rows(&mut self, tenant: TenantKey, entity: i64) -> Result<&mut RowHead> {
        let writer = self.writer()?;
        writer.heads.rows(&writer.connection, tenant, entity)
    }

    /// Gives a tenant a quota of its own, or takes it away; the one before.
    pub(crate) fn set_quota(
        &mut self,
        tenant: TenantKey,
        entity: i64,
        quota: Option<Quota>,
    ) -> Result<Option<Quota>> {
        self.connection()?;
        let writer = self.writer()?;
        writer.heads.set_quota(&writer.connection, tenant, entity, quota)
    }

    /// A new id: UUIDv7 (RFC 9562, section 6.2, method 2), greater than the tenant's last one
    /// unless it is for another time than now.
    pub(crate) fn new_id(&mut self, tenant: TenantKey, created: Option<Timestamp>) -> Result<Uuid> {
        let random: [u8; 16] = self.writer()?.random.fill()?;
        if let Some(created) = created {
            if created < Timestamp::UNIX_EPOCH {
                return Err(Error::invalid("created", "is before 1970, which no UUIDv7 can hold"));
            }
            return Ok(uuid_v7(milliseconds(created), u128::from_be_bytes(random)));
        }
        let now = milliseconds(self.now);
        let writer = self.writer()?;
        let head = writer.heads.log(&writer.connection, tenant)?;
        let (last_time, last_random) = parts(head.last_id);
        let id = if now > last_time {
            uuid_v7(now, u128::from_be_bytes(random))
        } else {
            // The clock stood still or went back: count on from the last id by a random step, so
            // that the next id can't be told from this one.
            let step = 1 + (u128::from_be_bytes(random) & 0xffff_ffff);
            match last_random + step {
                next if next < 1 << RANDOM_BITS => uuid_v7(last_time, next),
                _ => uuid_v7(last_time + 1, u128::from_be_bytes(random)),
            }
        };
        head.last_id = id;
        Ok(id)
    }

    /// A row is another one, or gone, once the transaction commits.
    pub(crate) fn changes(&mut self, tenant: TenantKey, entity: i64, id: Uuid) -> Result<()> {
        let writer = self.writer()?;
        if writer.cache.is_some() {
            writer.changed.push((tenant, entity, id));
        }
        Ok(())
    }

    /// Appends to a tenant's log.
    pub(crate) fn audit(&mut self, tenant: TenantKey, event: &Event<'_>) -> Result<()> {
        self.connection()?;
        let (now, actor) = (self.now, self.actor.clone());
        let authority = actor.admin.as_deref();
        if let Some(authority) = authority {
            // A log names no admin whom its file does not know; users are known where they belong.
            identities::name_actor(self.connection()?, authority.mark, &authority.admin)?;
        }
        let writer = self.writer()?;
        let salt: [u8; 16] = writer.random.fill()?;
        let (works, device) = (writer.works, writer.device);
        let head = writer.heads.log(&writer.connection, tenant)?;
        let number = head.next;
        if head.work != works {
            (head.work, head.first) = (works, number);
        }
        let txn = head.first;
        // A hybrid logical clock: physical milliseconds, then a counter, never backwards.
        // The last time that it can hold is in the year 6429; then it stands still.
        let physical = i64::try_from(milliseconds(now)).unwrap_or(i64::MAX).min(i64::MAX >> 16) << 16;
        let clock = physical.max(head.clock.saturating_add(1));
        let link = Link {
            number,
            txn,
            actor: actor.user,
            admin: authority.map(|authority| authority.mark),
            device,
            clock,
            time: now.as_microsecond(),
            action: event.action,
            entity: event.entity.map(|(name, _)| name),
            record: event.record,
            outcome: event.outcome,
            definition: event.entity.map(|(_, version)| version),
            undoes: None,
            reason: authority.map(|authority| authority.reason.as_str()),
            commitment: commitment(&salt, &event.payload),
            previous: head.hash,
        };
        let hash = link.hash();
        append(&writer.connection, tenant, &link, hash, &salt, &event.payload)?;
        head.next += 1;
        head.clock = clock;
        head.hash = hash;
        Ok(())
    }

    /// Says in a tenant's log what may be gone of it from now on. Only then triggers let it go, and the log
    /// verifies without it.
    pub(crate) fn expire(&mut self, tenant: TenantKey, wanted: &Checkpoint) -> Result<()> {
        let connection = self.connection()?;
        let payload = wanted.payload(&Checkpoint::known(connection, tenant)?);
        wanted.store(connection, tenant)?;
        self.audit(tenant, &Event { action: EXPIRE, outcome: "ok", entity: None, record: None, payload })
    }

    /// By what logs name a new user.
    pub(crate) fn new_mark(&mut self) -> Result<Mark> {
        Ok(Mark(self.writer()?.random.fill()?))
    }

    /// The empty log of a new tenant, in the file that is its home.
    pub(crate) fn create_log(&mut self, tenant: TenantKey) -> Result<()> {
        let origin: [u8; 32] = self.writer()?.random.fill()?;
        heads::create_log(self.connection()?, tenant, origin)
    }
}

impl Drop for Unit {
    fn drop(&mut self) {
        // Also when SQLite has ended the transaction: the heads in memory still hold its work. After
        // a commit there is nothing to take back.
        self.roll_back();
        self.company.answer(|| Err(Error::LOST));
        if let Some(writer) = self.writer.take() {
            self.committer.hand_over(writer);
        }
    }
}

fn append(
    connection: &Connection,
    tenant: TenantKey,
    link: &Link<'_>,
    hash: Hash,
    salt: &[u8],
    payload: &[u8],
) -> Result<()> {
    let key = tenant.at(link.number)?;
    let sql = "INSERT INTO _audit (key, txn, actor, admin, device, clock, time, action, entity, record, outcome, definition, undoes, reason, commitment, previous, hash, salt, body) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19)";
    connection.prepare_cached(sql)?.execute(params![
        key,
        link.txn,
        link.actor,
        link.admin,
        link.device.as_bytes(),
        link.clock,
        link.time,
        link.action,
        link.entity,
        link.record.as_ref().map(Uuid::as_bytes),
        link.outcome,
        link.definition,
        link.undoes,
        link.reason,
        link.commitment,
        link.previous,
        hash,
        salt,
        payload
    ])?;
    Ok(())
}

/// Random bits of a UUIDv7: 12 behind the version and 62 behind the variant.
const RANDOM_BITS: u32 = 74;

fn milliseconds(time: Timestamp) -> u64 {
    u64::try_from(time.as_millisecond()).unwrap_or(0).min((1 << 48) - 1)
}

/// RFC 9562, section 5.7: 48 bits of milliseconds, version 7, 12 random bits, variant 10, 62 more.
fn uuid_v7(milliseconds: u64, random: u128) -> Uuid {
    let random = random & ((1 << RANDOM_BITS) - 1);
    let high = random >> 62;
    let low = random & ((1 << 62) - 1);
    Uuid::from_u128(u128::from(milliseconds) << 80 | 7 << 76 | high << 64 | 0b10 << 62 | low)
}

/// The milliseconds and the random bits of a UUIDv7.
fn parts(id: Uuid) -> (u64, u128) {
    let bits = id.as_u128();
    let random = (bits >> 64 & 0xfff) << 62 | (bits & ((1 << 62) - 1));
    (u64::try_from(bits >> 80).unwrap_or(u64::MAX), random)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_version_7_and_come_apart_again() {
        let random = 0x2ab_cdef_0123_4567_89ab_u128;
        let id = uuid_v7(0x0190_f3a0_7c1e, random);
        assert_eq!(id.get_version_num(), 7);
        assert_eq!(id.get_variant(), uuid::Variant::RFC4122);
        assert_eq!(parts(id), (0x0190_f3a0_7c1e, random & ((1 << 74) - 1)));
        assert_eq!(crate::entity::time_of(id).as_millisecond(), 0x0190_f3a0_7c1e);
    }
}
