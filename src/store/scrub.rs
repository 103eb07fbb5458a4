//! No byte of what was erased stays in a file. SQLite only notes that pages, or parts of them, are free; so each file
//! that held something of it is built anew by `VACUUM`, in which all that is still there is written once more, and its
//! log of writes, which holds what was there before, is moved into it and cut off.
//!
//! What is to be done is in the file, from the transaction that erased on, and in a store of several files the catalog
//! knows of which: whoever is cut off goes on when the store is opened next.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::connection;
use super::inner::Inner;
use super::part::Part;
use super::spread::{Holding, Spread};
use crate::commit::Actor;
use crate::error::Result;
use crate::identity::TenantKey;
use crate::leave::Scrub;
use crate::schema::partitions::{self, IntentKind};
use crate::schema::{self, Rest};

/// How long those who read an old state are waited for, while nobody writes.
const WAIT: Duration = Duration::from_secs(1);
/// How often it is looked whether they are done.
const POLL: Duration = Duration::from_millis(5);

impl Inner {
    /// Goes on with what was cut off.
    pub(super) fn finish_erasures(&self) {
        if self.is_read_only() {
            return;
        }
        match self.scrub() {
            Ok(scrub) if scrub.is_done() => {}
            Ok(scrub) => tracing::warn!(files = scrub.left, "files hold bytes of what was erased for now"),
            Err(error) => tracing::warn!(%error, "files hold bytes of what was erased for now"),
        }
    }

    /// Scrubs all files in which something may be left.
    pub(super) fn scrub(&self) -> Result<Scrub> {
        self.check_open()?;
        self.check_alone()?;
        self.main().committer()?;
        let _one_at_a_time = self.scrubbing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut scrub = Scrub::default();
        let parts = match self.spread() {
            Some(spread) => self.scrub_parts(spread, &mut scrub),
            None => Ok(()),
        };
        if self.read(schema::rest)? != Rest::Nothing {
            // Intents that wait for a partition name whom they are about, and come from here.
            scrub.count(scrub_file(self.main(), scrub.is_done())?);
        }
        parts.map(|()| scrub)
    }

    fn scrub_parts(&self, spread: &Spread, scrub: &mut Scrub) -> Result<()> {
        let mut outcome = Ok(());
        let mut done = Vec::new();
        for (key, intent) in self.read(partitions::to_scrub)? {
            match self.scrub_part(spread, key) {
                Ok(is_done) => {
                    scrub.count(is_done);
                    done.extend(is_done.then_some((key, intent)));
                }
                Err(error) => {
                    tracing::warn!(%error, "a partition holds bytes of what was erased for now");
                    scrub.left += 1;
                    outcome = outcome.and(Err(error));
                }
            }
        }
        if !done.is_empty() {
            let mut unit = self.begin_main(Actor::default())?;
            unit.alone();
            spread.forget_done(unit.connection()?)?;
            for (key, intent) in done {
                partitions::scrubbed(unit.connection()?, key, intent)?;
            }
            unit.commit()?;
        }
        outcome
    }

    fn scrub_part(&self, spread: &Spread, key: i64) -> Result<bool> {
        let part = spread.part(key)?;
        spread.follow(&part, Holding::Nothing)?;
        spread.finish_clearing(&part)?;
        let intents = self.read(|catalog| partitions::intents(catalog, key))?;
        let changes = intents.iter().filter(|intent| intent.kind != IntentKind::Clear);
        // What was carried out before the store was opened is still on the catalog's list, with ids.
        let applied = part.applied.load(Ordering::Acquire);
        spread.note_done(&part, changes.map(|intent| intent.number).filter(|number| *number <= applied));
        scrub_file(&part, true).map_err(|error| part.name_in(error))
    }
}

impl Scrub {
    fn count(&mut self, is_done: bool) {
        if is_done {
            self.files += 1;
        } else {
            self.left += 1;
        }
    }
}

/// Builds a file anew and empties its log of writes, unless somebody reads an old state. `last`: if so, nothing is to
/// follow in it.
fn scrub_file(part: &Part, last: bool) -> Result<bool> {
    part.committer()?.exclusive(TenantKey::REFERENCE, |writer| {
        let writer = writer.connection();
        let rebuilder = connection::rebuilder(part.file())?;
        if schema::rest(writer)? == Rest::Rebuild {
            // Beside an old reader the log would only grow, by the whole file, each time.
            if !empty_log(&rebuilder)? {
                return Ok(false);
            }
            rebuilder.execute_batch("VACUUM")?;
            #[cfg(test)]
            crate::crash::moment();
            schema::set_rest(writer, Rest::EmptyLog)?;
            #[cfg(test)]
            crate::crash::moment();
        }
        if !empty_log(&rebuilder)? {
            return Ok(false);
        }
        #[cfg(test)]
        crate::crash::moment();
        schema::set_rest(writer, if last { Rest::Nothing } else { Rest::Rebuild })?;
        Ok(last)
    })
}

/// Moves the log of writes into the file and cuts it off, if nobody reads a state from before its end.
/// <https://sqlite.org/pragma.html#pragma_wal_checkpoint>
fn empty_log(connection: &Connection) -> Result<bool> {
    connection.busy_timeout(POLL)?;
    let until = Instant::now() + WAIT;
    loop {
        let busy: bool = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
        if !busy || Instant::now() >= until {
            return Ok(!busy);
        }
        // Others that move the log are not waited for by SQLite.
        thread::sleep(POLL);
    }
}
