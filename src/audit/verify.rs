//! Proving that a log was not touched.

use rusqlite::{Connection, OptionalExtension};

use super::chain::{Hash, commitment};
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
}

/// Where a log begins, ends, and what of it is gone on purpose.
struct Ends {
    origin: Hash,
    next: i64,
    hash: Hash,
    clock: i64,
    payloads: i64,
    entries: i64,
    checkpoint: Option<Hash>,
}

pub(crate) fn verify(connection: &Connection, tenant: TenantKey) -> Result<Verification> {
    let ends = ends(connection, tenant)?;
    let mut problems = Vec::new();
    let mut previous = ends.checkpoint.unwrap_or(ends.origin);
    let mut last = ends.entries;
    // A log whose entries are gone keeps its clock.
    let mut clock = ends.clock;
    let mut count = 0;
    StoredEntry::each(connection, tenant, |entry| {
        count += 1;
        let number = unsigned(entry.number);
        if entry.number <= ends.entries {
            // Covered by a checkpoint and not deleted yet: the chain begins behind it.
            return Ok(());
        }
        if entry.number != last + 1 || entry.previous != previous {
            problems.push(ChainProblem::Broken { number });
        }
        if entry.link().hash() != entry.hash {
            problems.push(ChainProblem::Changed { number });
        }
        match &entry.payload {
            Some((salt, body)) if commitment(salt, body) != entry.commitment => {
                problems.push(ChainProblem::PayloadChanged { number })
            }
            None if entry.number > ends.payloads => problems.push(ChainProblem::PayloadMissing { number }),
            _ => {}
        }
        previous = entry.hash;
        last = entry.number;
        clock = entry.clock;
        Ok(())
    })?;
    if last + 1 != ends.next || previous != ends.hash || clock != ends.clock {
        problems.push(ChainProblem::Head { last: unsigned(last) });
    }
    Ok(Verification { entries: count, head: previous, problems })
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

fn ends(connection: &Connection, tenant: TenantKey) -> Result<Ends> {
    let sql = "SELECT h.origin, h.next, h.hash, h.clock, ifnull(c.payloads, 0), ifnull(c.entries, 0), c.hash \
               FROM _log_head AS h LEFT JOIN _audit_checkpoint AS c ON c.tenant = h.tenant WHERE h.tenant = ?1";
    let ends = connection
        .prepare_cached(sql)?
        .query_row([tenant.get()], |row| {
            Ok(Ends {
                origin: row.get(0)?,
                next: row.get(1)?,
                hash: row.get(2)?,
                clock: row.get(3)?,
                payloads: row.get(4)?,
                entries: row.get(5)?,
                checkpoint: row.get(6)?,
            })
        })
        .optional()?;
    ends.ok_or_else(|| Error::corrupt("a tenant has no log"))
}
