//! From where to where a log is read: times, transactions and pages as ranges of its numbers.
//!
//! A log has no index but its numbers, since every other would cost each insert a page. It needs none for times: `clock`
//! grows with every number, so whatever is asked of it is found by halving.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension};

use super::log::LogQuery;
use crate::error::{Error, Result};
use crate::identity::TenantKey;

/// Keys of one tenant's log, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub(super) first: i64,
    pub(super) last: i64,
}

const NEWEST: &str = "SELECT max(key) FROM _audit WHERE key BETWEEN ?1 AND ?2";
const SINCE: &str = "SELECT key FROM _audit WHERE key BETWEEN ?1 AND ?2 AND time >= ?3 ORDER BY key LIMIT 1";

/// What never becomes less from one entry of a log to the next.
#[derive(Debug, Clone, Copy)]
enum Growing {
    Clock,
    Transaction,
}

impl Growing {
    /// Finds the next entry, and how far it has come.
    fn next(self) -> &'static str {
        match self {
            Growing::Clock => {
                "SELECT key, clock FROM _audit WHERE key BETWEEN ?1 AND ?2 ORDER BY key LIMIT 1"
            }
            Growing::Transaction => {
                "SELECT key, txn FROM _audit WHERE key BETWEEN ?1 AND ?2 ORDER BY key LIMIT 1"
            }
        }
    }
}

impl Span {
    /// A whole log, also what will be added to it.
    pub(crate) fn whole(tenant: TenantKey) -> Self {
        Self { first: tenant.first(), last: tenant.last() }
    }

    /// What a query asks for of a log as it is now; none if that is nothing.
    pub(crate) fn of(connection: &Connection, tenant: TenantKey, query: &LogQuery) -> Result<Option<Self>> {
        let newest: Option<i64> = connection
            .prepare_cached(NEWEST)?
            .query_row([tenant.first(), tenant.last()], |row| row.get(0))?;
        let Some(newest) = newest else { return Ok(None) };
        let mut span = Self { first: tenant.first(), last: newest };
        if let Some(after) = query.after {
            let key = tenant.first() | number("after", after)?;
            if query.newest_first { span.last = span.last.min(key - 1) } else { span.first = key + 1 }
        }
        if let Some(transaction) = query.transaction {
            let number = number("transaction", transaction)?;
            // Where no transaction begins with it, there is none of this number.
            let Some(first) = span.first_at_least(connection, Growing::Transaction, number)? else {
                return Ok(None);
            };
            span.first = span.first.max(first);
            span.end_before(span.first_at_least(connection, Growing::Transaction, number + 1)?);
        }
        // Of the whole log, since an entry outside the rest of the query may be the one that begins or ends the range.
        let log = Self { first: tenant.first(), last: newest };
        if let Some(since) = query.since {
            match log.first_since(connection, ceiling(since))? {
                Some(first) => span.first = span.first.max(first),
                None => return Ok(None),
            }
        }
        if let Some(until) = query.until {
            span.end_before(log.first_since(connection, ceiling(until))?);
        }
        Ok((span.first <= span.last).then_some(span))
    }

    /// Everything that had happened in a log by a time.
    pub(crate) fn by(connection: &Connection, tenant: TenantKey, time: Timestamp) -> Result<Self> {
        let mut span = Self::whole(tenant);
        span.end_before(span.first_since(connection, floor(time).saturating_add(1))?);
        Ok(span)
    }

    /// The number of the last entry that can be in it.
    pub(crate) fn last_number(self) -> i64 {
        self.last & ((1 << TenantKey::NUMBER_BITS) - 1)
    }

    /// What is left after the entry of a number, in the direction of reading.
    pub(crate) fn after(self, number: u64, newest_first: bool) -> Self {
        let key = (self.first >> TenantKey::NUMBER_BITS << TenantKey::NUMBER_BITS)
            | i64::try_from(number).unwrap_or(i64::MAX) & ((1 << TenantKey::NUMBER_BITS) - 1);
        if newest_first { Self { last: key - 1, ..self } } else { Self { first: key + 1, ..self } }
    }

    fn end_before(&mut self, key: Option<i64>) {
        if let Some(key) = key {
            self.last = self.last.min(key - 1);
        }
    }

    /// The first entry that happened at a time or later. With it a range of times begins or ends, whatever the entries
    /// behind it say: those came later, though the clock of the computer may have been set back meanwhile.
    fn first_since(self, connection: &Connection, micros: i64) -> Result<Option<i64>> {
        // No entry's clock is behind its time, so none before this one can be it. The rest is a few steps, since the
        // clock is ahead of the time only after the computer's was set back, and in a burst of 2^16 entries.
        let clock = micros.div_euclid(1_000).clamp(0, CLOCK_MS_MAX) << CLOCK_COUNTER_BITS;
        let Some(first) = self.first_at_least(connection, Growing::Clock, clock)? else { return Ok(None) };
        let found = connection.prepare_cached(SINCE)?.query_row([first, self.last, micros], |row| row.get(0));
        Ok(found.optional()?)
    }

    /// The first entry in which what grows has come so far.
    fn first_at_least(self, connection: &Connection, what: Growing, least: i64) -> Result<Option<i64>> {
        // Numbers may be missing in a log that was tampered with, so each step looks for the next one.
        let mut statement = connection.prepare_cached(what.next())?;
        let (mut low, mut high, mut found) = (self.first, self.last, None);
        while low <= high {
            let middle = low + (high - low) / 2;
            let next: Option<(i64, i64)> =
                statement.query_row([middle, high], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
            match next {
                Some((key, value)) if value < least => low = key + 1,
                Some((key, _)) => {
                    found = Some(key);
                    high = middle - 1;
                }
                None => high = middle - 1,
            }
        }
        Ok(found)
    }
}

/// A hybrid logical clock counts in its low bits.
const CLOCK_COUNTER_BITS: u32 = 16;
const CLOCK_MS_MAX: i64 = i64::MAX >> CLOCK_COUNTER_BITS;

fn number(field: &str, number: u64) -> Result<i64> {
    i64::try_from(number)
        .ok()
        .filter(|number| *number < 1 << TenantKey::NUMBER_BITS)
        .ok_or_else(|| Error::invalid(field, "is not the number of an entry"))
}

/// Entries have whole microseconds, and a time that is asked for may not.
fn floor(time: Timestamp) -> i64 {
    i64::try_from(time.as_nanosecond().div_euclid(1_000)).unwrap_or(i64::MAX)
}

fn ceiling(time: Timestamp) -> i64 {
    i64::try_from(-(-time.as_nanosecond()).div_euclid(1_000)).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn log(entries: &[(i64, i64, i64)]) -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(include_str!("../../schema.sql")).unwrap();
        let sql = "INSERT INTO _audit (key, txn, device, clock, time, action, outcome, commitment, previous, hash) \
                   VALUES (?1, 1, x'', ?2, ?3, 'insert', 'ok', zeroblob(32), zeroblob(32), zeroblob(32))";
        for entry in entries {
            connection.execute(sql, (entry.0, entry.1, entry.2)).unwrap();
        }
        connection
    }

    #[test]
    fn every_step_is_a_search_in_the_tenants_own_range() {
        let connection = log(&[]);
        connection.execute_batch("ANALYZE").unwrap();
        for sql in [NEWEST, SINCE, Growing::Clock.next(), Growing::Transaction.next()] {
            let step: String = connection
                .query_row(
                    &format!("EXPLAIN QUERY PLAN {sql}"),
                    rusqlite::params_from_iter([0_i64, 1, 2].iter().take(sql.matches('?').count())),
                    |row| row.get(3),
                )
                .unwrap();
            let plain = step.replace("COVERING ", "");
            assert_eq!(
                plain, "SEARCH _audit USING INDEX sqlite_autoindex__audit_1 (key>? AND key<?)",
                "{sql}"
            );
        }
    }

    proptest! {
        /// Also where numbers are missing, and beside the logs of others.
        #[test]
        fn halving_finds_what_looking_at_each_would(
            steps in proptest::collection::vec((1..4_i64, 0..5_000_i64, 0..3_i64), 0..40),
            asked in 0..60_000_i64,
        ) {
            let tenant = TenantKey::from_stored(3).unwrap();
            let (mut number, mut time, mut clock) = (0, 0, 0);
            let mut own = Vec::new();
            for (step, later, kind) in steps {
                number += step;
                // Now and then back.
                time = if kind == 0 { (time - later).max(0) } else { time + later };
                clock = (clock + 1).max((time / 1_000) << CLOCK_COUNTER_BITS);
                own.push((tenant.first() | number, clock, time));
            }
            let others = [(tenant.first() - 1, i64::MAX, i64::MAX), (tenant.last() + 2, i64::MAX, i64::MAX)];
            let connection = log(&[own.as_slice(), &others].concat());
            let found = Span::whole(tenant).first_since(&connection, asked).unwrap();
            let expected = own.iter().find(|(.., time)| *time >= asked).map(|(key, ..)| *key);
            prop_assert_eq!(found, expected);
        }
    }
}
