//! Retention: what a log need not keep any longer goes, payloads or whole entries, and the log says so
//! itself. First one transaction states in the log what goes, and only then it goes, oldest first, in
//! batches: after each of them, and wherever the process ends, the log verifies, and the next call
//! finishes what is left.

use jiff::Timestamp;
use rusqlite::{Connection, params};

use super::access::By;
use super::inner::Inner;
use super::spread::Spread;
use crate::audit::checkpoint::{Checkpoint, EXPIRE};
use crate::audit::log::LogQuery;
use crate::audit::span::Span;
use crate::audit::verify;
use crate::entity::truncate_to_micros;
use crate::error::{Error, Result};
use crate::identity::TenantKey;

/// Entries of one transaction, so that others can write in between; few where tests end between two.
const BATCH: u32 = if cfg!(test) { 3 } else { 500 };

/// What of a log is to go; by default nothing.
///
/// Entries go from the oldest on, up to the first one that is not from before the time. The log stays
/// verifiable: it says in an entry `audit.expire` what has gone, and that entry and its payload stay until
/// a newer one says more. Anchors of entries that are gone prove nothing any more, so make new ones.
///
/// Deleted payloads and entries are out of reach of every session and of SQL; like all that SQLite
/// deletes, their bytes may stay in free parts of the file until something else is written there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LogRetention {
    /// Payloads of entries from before this time go: what changed, with the values. Who did what, when and
    /// to which record stays.
    pub payloads_before: Option<Timestamp>,
    /// Entries from before this time go, with their payloads.
    pub entries_before: Option<Timestamp>,
}

/// What has gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct ExpiredLog {
    /// Payloads, with those of entries that went.
    pub payloads: u64,
    /// Entries.
    pub entries: u64,
}

impl LogRetention {
    /// Nobody knows yet what will happen by then, so it can't be too old to keep.
    fn check(&self, now: Timestamp) -> Result<()> {
        for (field, time) in
            [("payloads_before", self.payloads_before), ("entries_before", self.entries_before)]
        {
            if time.is_some_and(|time| time > now) {
                return Err(Error::invalid(field, "is in the future; only what is past can expire"));
            }
        }
        Ok(())
    }
}

/// Keeps a tenant where it is: a move copies the log while it is being written, not while it shrinks.
struct Settled<'s> {
    spread: &'s Spread,
    home: TenantKey,
}

impl Drop for Settled<'_> {
    fn drop(&mut self) {
        self.spread.end_move(self.home, None);
    }
}

impl Inner {
    /// Deletes what has expired of the logs of tenants that live in one home.
    pub(crate) fn expire_logs(
        &self,
        by: &By,
        home: TenantKey,
        tenants: &[TenantKey],
        retention: LogRetention,
    ) -> Result<ExpiredLog> {
        by.check()?;
        retention.check(truncate_to_micros(self.now()))?;
        self.check_alone()?;
        self.main().committer()?;
        let _settled = match self.spread() {
            Some(spread) if home != TenantKey::REFERENCE => {
                spread.begin_move(home)?;
                Some(Settled { spread, home })
            }
            _ => None,
        };
        let mut expired = ExpiredLog::default();
        for tenant in tenants {
            self.state_expiry(by, home, *tenant, retention)?;
            self.delete_expired(by, home, *tenant, &mut expired)?;
        }
        Ok(expired)
    }

    /// Says in the log what is to go, if there is anything new.
    fn state_expiry(
        &self,
        by: &By,
        home: TenantKey,
        tenant: TenantKey,
        retention: LogRetention,
    ) -> Result<()> {
        let snapshot = self.snapshot(home)?;
        let connection = snapshot.connection()?;
        let known = Checkpoint::known(connection, tenant)?;
        let wanted = advance(connection, tenant, known, retention)?;
        if wanted == known {
            drop(snapshot);
            // Whatever an administrator asks for is on record.
            return self.look(by, home, &[tenant], EXPIRE);
        }
        // What was tampered with must not go as if it had been all right.
        if !verify::verify(connection, tenant)?.is_intact() {
            return Err(Error::corrupt(
                "a log does not verify, so nothing of it was deleted; run `Store::check`",
            ));
        }
        drop(snapshot);
        self.write(home, by.actor.clone(), |unit| {
            by.check()?;
            // Somebody else may have gone further meanwhile, and then has deleted it too.
            if Checkpoint::known(unit.connection()?, tenant)? != known {
                return Ok(());
            }
            unit.expire(tenant, &wanted)
        })
    }

    /// Deletes what the log says is to go, also what an earlier call could not.
    fn delete_expired(
        &self,
        by: &By,
        home: TenantKey,
        tenant: TenantKey,
        expired: &mut ExpiredLog,
    ) -> Result<()> {
        let mut after = tenant.first();
        while let Some((first, last)) = self.next_expired(home, tenant, after, Part::Entries)? {
            after = last;
            let had_payload = self.write(home, by.actor.clone(), |unit| {
                let sql = "DELETE FROM _audit WHERE key BETWEEN ?1 AND ?2 RETURNING body IS NOT NULL";
                let connection = unit.connection()?;
                let mut statement = connection.prepare_cached(sql)?;
                let rows = statement.query_map([first, last], |row| row.get(0))?;
                Ok(rows.collect::<rusqlite::Result<Vec<bool>>>()?)
            })?;
            expired.entries += had_payload.len() as u64;
            expired.payloads += had_payload.into_iter().filter(|had| *had).count() as u64;
        }
        while let Some((first, last)) = self.next_expired(home, tenant, after, Part::Payloads)? {
            after = last;
            expired.payloads += self.write(home, by.actor.clone(), |unit| {
                let sql = "UPDATE _audit SET salt = NULL, body = NULL \
                           WHERE key BETWEEN ?1 AND ?2 AND body IS NOT NULL";
                Ok(unit.connection()?.prepare_cached(sql)?.execute([first, last])? as u64)
            })?;
        }
        Ok(())
    }

    /// The next few that are still there: the first and the last key. Looked for without the writer.
    fn next_expired(
        &self,
        home: TenantKey,
        tenant: TenantKey,
        after: i64,
        part: Part,
    ) -> Result<Option<(i64, i64)>> {
        let snapshot = self.snapshot(home)?;
        let connection = snapshot.connection()?;
        let known = Checkpoint::known(connection, tenant)?;
        let (until, which) = match part {
            Part::Entries => (known.entries, ""),
            Part::Payloads => (known.payloads, "AND body IS NOT NULL "),
        };
        let sql = format!(
            "SELECT min(key), max(key) FROM (SELECT key FROM _audit WHERE key > ?1 AND key <= ?2 {which}ORDER BY key LIMIT {BATCH})"
        );
        let keys: (Option<i64>, Option<i64>) = connection
            .prepare_cached(&sql)?
            .query_row([after, tenant.first() | until], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(keys.0.zip(keys.1))
    }
}

/// What of an entry goes.
#[derive(Clone, Copy)]
enum Part {
    Entries,
    Payloads,
}

/// What is to have gone.
fn advance(
    connection: &Connection,
    tenant: TenantKey,
    known: Checkpoint,
    retention: LogRetention,
) -> Result<Checkpoint> {
    let until = |from: i64, before: Option<Timestamp>| match before {
        Some(time) => expires_until(connection, tenant, from, time),
        None => Ok(from),
    };
    let entries = until(known.entries, retention.entries_before)?;
    let payloads = until(known.payloads, retention.payloads_before)?.max(entries);
    let hash = if entries == known.entries {
        known.hash
    } else {
        let sql = "SELECT hash FROM _audit WHERE key = ?1";
        connection.prepare_cached(sql)?.query_row([tenant.at(entries)?], |row| row.get(0))?
    };
    Ok(Checkpoint { origin: known.origin, payloads, entries, hash })
}

/// The last of the entries after a number that are all from before a time. Where there are only those
/// that tell of earlier deletions, none: else each deletion would leave an entry for the next to delete,
/// and so on for ever.
fn expires_until(connection: &Connection, tenant: TenantKey, from: i64, time: Timestamp) -> Result<i64> {
    let query = LogQuery { until: Some(time), ..LogQuery::default() };
    let until = Span::of(connection, tenant, &query)?.map_or(0, Span::last_number);
    let (first, last) = (tenant.first() | from, tenant.first() | until);
    let sql = "SELECT EXISTS (SELECT 1 FROM _audit WHERE key > ?1 AND key <= ?2 AND action <> ?3)";
    let worth: bool =
        connection.prepare_cached(sql)?.query_row(params![first, last, EXPIRE], |row| row.get(0))?;
    Ok(if worth { until } else { from })
}
