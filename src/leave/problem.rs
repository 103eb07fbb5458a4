//! Why a bundle is not taken in.

use std::fmt;

use uuid::Uuid;

use super::frame::VERSION;
use crate::check::Finding;
use crate::error::Error;
use crate::identity::UserId;

/// Why a bundle can not be imported. Nothing of it was kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BundleProblem {
    /// It does not begin as bundles do.
    #[error("it does not begin as a bundle does")]
    NotABundle,
    /// It was written in another format.
    #[error("it has format {found} and this program reads format {VERSION}")]
    Version {
        /// The format's number.
        found: u8,
    },
    /// It ends before its last frame does.
    #[error("it was cut off")]
    Truncated,
    /// Something follows its last frame.
    #[error("something follows its end")]
    Trailing,
    /// A frame is not the one that was written in this place.
    #[error("frame {frame} is damaged, or not in its place")]
    Checksum {
        /// The frame's number, from 1.
        frame: u64,
    },
    /// A frame's checksum holds, and its content is not what a store writes.
    #[error("frame {frame}: {what}")]
    Malformed {
        /// The frame's number, from 1.
        frame: u64,
        /// What is wrong.
        what: &'static str,
    },
    /// It is larger than the options allow.
    #[error("{limit}: {max} are allowed; see `ImportOptions`")]
    TooLarge {
        /// What is limited.
        limit: &'static str,
        /// The most of it.
        max: u64,
    },
    /// It holds a tenant of another kind than was asked for.
    #[error("it holds a tenant of kind `{found}`, not of kind `{wanted}`")]
    Kind {
        /// The kind in the bundle.
        found: String,
        /// The kind that was asked for.
        wanted: &'static str,
    },
    /// An entity of the bundle is not one of the store's, or is defined otherwise.
    #[error("entity {entity:?}: {difference}")]
    Definition {
        /// The entity.
        entity: String,
        /// The first thing in which the definitions differ; `there` is the bundle and `here` the store.
        difference: String,
    },
    /// Its records, counts and logs contradict each other, or a log's chain does not verify.
    #[error("it contradicts itself: {finding}")]
    Contradiction {
        /// What [`Store::check`](crate::Store::check) says of what it holds.
        finding: Finding,
    },
    /// A log holds an entry that its sessions could not read.
    #[error("a log holds an entry that can not be read")]
    Unreadable,
    /// Records refer to reference records that the store does not have.
    #[error(
        "its records refer to reference records that the store does not have ({}); import them with `ImportOptions::with_reference_records`", Listed(.missing)
    )]
    MissingReferences {
        /// The entity and the id of each, at most 100.
        missing: Vec<(String, Uuid)>,
    },
    /// Members of the organization are no users of the store.
    #[error(
        "members of the organization are no users of the store ({}); create them with `ImportOptions::creating_users`", Listed(.users)
    )]
    MissingUsers {
        /// The users, at most 100.
        users: Vec<UserId>,
    },
    /// Its log names somebody by a mark that in this store is another one's.
    #[error("its log names {named:?} by a mark that in this store is another user's")]
    Actor {
        /// Whom the bundle names.
        named: String,
    },
}

/// How many of what is missing are named.
pub(super) const LISTED_MAX: usize = 100;

/// The first few of a list.
struct Listed<'l, T>(&'l [T]);

impl<T: fmt::Debug> fmt::Display for Listed<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 5;
        for (position, item) in self.0.iter().take(SHOWN).enumerate() {
            write!(f, "{}{item:?}", if position > 0 { ", " } else { "" })?;
        }
        if self.0.len() > SHOWN { write!(f, ", and {} more", self.0.len() - SHOWN) } else { Ok(()) }
    }
}

impl From<BundleProblem> for Error {
    fn from(problem: BundleProblem) -> Self {
        Error::Bundle { problem }
    }
}
