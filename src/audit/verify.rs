//! Proving that a log was not touched. `docs/audit-format.md` says the same in words, and
//! `docs/verify_audit.py` in another language.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension};

use super::anchor::{Anchor, LogName};
use super::chain::{Hash, SALT_BYTES, commitment};
use super::checkpoint::{Checkpoint, EXPIRE};
use super::log::StoredEntry;
use crate::error::{Error, Result};
use crate::identity::TenantKey;

/// What recomputing a log found.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verification {
    /// How many entries were recomputed.
    pub entries: u64,
    /// The hash of the newest entry.
    pub head: [u8; 32],
    /// Up to which number retention has deleted entries; 0 if it has deleted none. The log says so itself,
    /// in an entry `audit.expire`.
    pub expired_entries: u64,
    /// Up to which number it has deleted payloads.
    pub expired_payloads: u64,
    /// What does not add up, in the order of the log.
    pub problems: Vec<ChainProblem>,
}

impl Verification {
    /// Whether every entry, payload and link is as it was written.
    #[must_use]
    pub fn is_intact(&self) -> bool {
        self.problems.is_empty()
    }
}

/// A place where a log does not add up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChainProblem {
    /// An entry's content is not what its hash covers.
    #[error("entry {number} was changed")]
    Changed {
        /// The entry's number.
        number: u64,
    },
    /// An entry does not follow the one before it.
    #[error("entry {number} does not follow the entry before it: one was removed, inserted or moved")]
    Broken {
        /// The entry's number.
        number: u64,
    },
    /// A payload is not the one that its entry is bound to.
    #[error("the payload of entry {number} was changed")]
    PayloadChanged {
        /// The entry's number.
        number: u64,
    },
    /// A payload is gone without a checkpoint that says so.
    #[error("the payload of entry {number} is missing")]
    PayloadMissing {
        /// The entry's number.
        number: u64,
    },
    /// The log ends elsewhere than its head says.
    #[error(
        "the log ends at entry {last} and its head says otherwise: entries were removed or added at the end"
    )]
    Head {
        /// The number of the last entry that is there.
        last: u64,
    },
    /// What is said to have been deleted on purpose is not what the log's newest entry `audit.expire` says.
    #[error(
        "entries up to {entries} and payloads up to {payloads} are said to have expired, and the log does not say so"
    )]
    Checkpoint {
        /// Up to which number entries are said to have expired.
        entries: u64,
        /// Up to which number payloads are.
        payloads: u64,
    },
    /// The anchor is of another log, or this log was begun anew.
    #[error("the anchor is of another log ({anchored}), or this one was begun anew")]
    OtherLog {
        /// The log that the anchor names.
        anchored: LogName,
    },
    /// The log ends before the anchor.
    #[error("the log ends at entry {last} and had {anchored} when the anchor was made: its end was cut off")]
    Truncated {
        /// The number of the last entry that is there.
        last: u64,
        /// The number of the anchor's entry.
        anchored: u64,
    },
    /// The anchor's entry is another one now.
    #[error("entry {number} is not the one that it was when the anchor was made: the log was written anew")]
    Rewritten {
        /// The number of the anchor's entry.
        number: u64,
    },
    /// The anchor's entry has been deleted by retention, so that there is nothing to compare. Use one that
    /// was made later.
    #[error(
        "the anchor is of entry {number}, which has expired with all up to {entries}: it proves nothing any more"
    )]
    AnchorExpired {
        /// The number of the anchor's entry.
        number: u64,
        /// Up to which number entries have expired.
        entries: u64,
    },
}

/// Where a log begins and ends.
#[derive(Debug)]
pub(crate) struct Ends {
    pub(crate) origin: Hash,
    pub(crate) next: i64,
    pub(crate) hash: Hash,
    clock: i64,
}

/// Recomputes a log.
pub(crate) fn verify(connection: &Connection, tenant: TenantKey) -> Result<Verification> {
    Ok(walk(connection, tenant, None)?.0)
}

/// Recomputes a log and compares it with what was kept of it.
pub(crate) fn verify_against(
    connection: &Connection,
    tenant: TenantKey,
    log: &LogName,
    anchor: &Anchor,
) -> Result<Verification> {
    let (mut verification, walk) = walk(connection, tenant, Some(anchor.number))?;
    let last = unsigned(walk.last);
    let problem = if *log != anchor.log || walk.ends.origin != anchor.origin {
        Some(ChainProblem::OtherLog { anchored: anchor.log.clone() })
    } else if anchor.number > last {
        Some(ChainProblem::Truncated { last, anchored: anchor.number })
    } else {
        match walk.anchored {
            Some(hash) if hash == anchor.hash => None,
            Some(_) => Some(ChainProblem::Rewritten { number: anchor.number }),
            None if anchor.number < verification.expired_entries => Some(ChainProblem::AnchorExpired {
                number: anchor.number,
                entries: verification.expired_entries,
            }),
            None => Some(ChainProblem::Rewritten { number: anchor.number }),
        }
    };
    verification.problems.extend(problem);
    Ok(verification)
}

/// Where a log stands.
pub(crate) fn head(
    connection: &Connection,
    tenant: TenantKey,
    log: LogName,
    time: Timestamp,
) -> Result<Anchor> {
    let ends = ends(connection, tenant)?;
    Ok(Anchor { log, origin: ends.origin, number: unsigned(ends.next - 1), hash: ends.hash, time })
}

/// What is known of a log while it is read from its beginning.
struct Walk {
    ends: Ends,
    checkpoint: Checkpoint,
    /// Whether there is a row that says so.
    has_checkpoint: bool,
    /// The entry before the next one.
    last: i64,
    previous: Hash,
    clock: i64,
    count: u64,
    /// The newest entry that states a checkpoint, and what it states; none if its payload can't be read.
    stated: Option<(i64, Option<Checkpoint>)>,
    /// The number of the entry whose hash is asked for, and that hash.
    wanted: Option<u64>,
    anchored: Option<Hash>,
    problems: Vec<ChainProblem>,
}

fn walk(connection: &Connection, tenant: TenantKey, wanted: Option<u64>) -> Result<(Verification, Walk)> {
    let ends = ends(connection, tenant)?;
    let stored = Checkpoint::load(connection, tenant, ends.origin)?;
    let checkpoint = stored.unwrap_or(Checkpoint::none(ends.origin));
    let mut walk = Walk {
        last: checkpoint.entries,
        previous: checkpoint.hash,
        clock: 0,
        count: 0,
        stated: None,
        wanted,
        anchored: None,
        problems: Vec::new(),
        has_checkpoint: stored.is_some(),
        checkpoint,
        ends,
    };
    walk.reach(checkpoint.entries, checkpoint.hash);
    StoredEntry::each(connection, tenant, |entry| {
        walk.visit(&entry);
        Ok(())
    })?;
    walk.finish();
    let verification = Verification {
        entries: walk.count,
        head: walk.previous,
        expired_entries: unsigned(checkpoint.entries),
        expired_payloads: unsigned(checkpoint.payloads),
        problems: std::mem::take(&mut walk.problems),
    };
    Ok((verification, walk))
}

impl Walk {
    fn visit(&mut self, entry: &StoredEntry) {
        let first = self.count == 0;
        self.count += 1;
        let (number, expired) = (entry.number, self.checkpoint.entries);
        let n = unsigned(number);
        if first && (1..=expired).contains(&number) {
            // Said to be gone, and not deleted yet: the oldest go first, so the rest still leads to the
            // checkpoint.
            self.last = number - 1;
            self.previous = if number == 1 { self.ends.origin } else { entry.previous };
        } else if self.last < expired && number > expired {
            self.meet_checkpoint();
        }
        if number != self.last + 1 || entry.previous != self.previous {
            self.problems.push(ChainProblem::Broken { number: n });
        }
        if entry.link().hash() != entry.hash {
            self.problems.push(ChainProblem::Changed { number: n });
        }
        self.check_payload(entry);
        if entry.action == EXPIRE {
            self.stated = Some((number, Checkpoint::stated_by(entry)));
        }
        (self.last, self.previous, self.clock) = (number, entry.hash, entry.clock);
        if number == expired {
            self.meet_checkpoint();
        }
        self.reach(number, entry.hash);
    }

    fn check_payload(&mut self, entry: &StoredEntry) {
        let number = unsigned(entry.number);
        match (&entry.salt, &entry.body) {
            (Some(salt), Some(body))
                if salt.len() == SALT_BYTES && commitment(salt, body) == entry.commitment => {}
            (None, None) if entry.number <= self.checkpoint.payloads => {}
            (None, None) => self.problems.push(ChainProblem::PayloadMissing { number }),
            // Half of one is none that was written.
            _ => self.problems.push(ChainProblem::PayloadChanged { number }),
        }
    }

    /// From here on the log is what follows the checkpoint, whatever of the expired is left.
    fn meet_checkpoint(&mut self) {
        if (self.last, self.previous) != (self.checkpoint.entries, self.checkpoint.hash) {
            let number = unsigned(self.checkpoint.entries);
            self.problems.push(ChainProblem::Broken { number });
        }
        (self.last, self.previous) = (self.checkpoint.entries, self.checkpoint.hash);
    }

    fn reach(&mut self, number: i64, hash: Hash) {
        if self.wanted == Some(unsigned(number)) {
            self.anchored = Some(hash);
        }
    }

    fn finish(&mut self) {
        let ends = &self.ends;
        if (self.last + 1, self.previous, self.clock) != (ends.next, ends.hash, ends.clock) {
            self.problems.push(ChainProblem::Head { last: unsigned(self.last) });
        }
        let Checkpoint { entries, payloads, .. } = self.checkpoint;
        let is_stated = match &self.stated {
            None => !self.has_checkpoint,
            Some((number, stated)) => {
                self.has_checkpoint
                    && *stated == Some(self.checkpoint)
                    && (0..=payloads).contains(&entries)
                    && payloads < *number
            }
        };
        if !is_stated {
            let (entries, payloads) = (unsigned(entries), unsigned(payloads));
            self.problems.push(ChainProblem::Checkpoint { entries, payloads });
        }
    }
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

/// Where a log begins and ends, as its head says.
pub(crate) fn ends(connection: &Connection, tenant: TenantKey) -> Result<Ends> {
    let sql = "SELECT origin, next, hash, clock FROM _log_head WHERE tenant = ?1";
    let ends = connection
        .prepare_cached(sql)?
        .query_row([tenant.get()], |row| {
            Ok(Ends { origin: row.get(0)?, next: row.get(1)?, hash: row.get(2)?, clock: row.get(3)? })
        })
        .optional()?;
    ends.ok_or_else(|| Error::corrupt("a tenant has no log"))
}
