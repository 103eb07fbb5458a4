//! The audit log: what entries say, reading them back, and proving that none was touched.

mod anchor;
pub(crate) mod chain;
pub(crate) mod checkpoint;
pub(crate) mod export;
pub(crate) mod log;
pub(crate) mod misses;
pub(crate) mod payload;
pub(crate) mod reads;
pub(crate) mod refusals;
pub(crate) mod span;
pub(crate) mod state;
#[cfg(test)]
mod tampering;
pub(crate) mod verify;

pub use anchor::{Anchor, LogName};
pub use misses::{MissGroup, MissKind, MissQuery, MissReport, MissedId};
pub use reads::{ReadEntry, ReadKind};
pub use refusals::Refusals;
pub use state::{Missing, MissingColumn, StateAt, Version};
pub use verify::{ChainProblem, Verification};

use jiff::Timestamp;
use rusqlite::types::ValueRef;
use uuid::Uuid;

use crate::entity::{Column, Entity, Field, Raw, Value};
use crate::error::{Error, Result};
use crate::identity::UserId;

/// One thing that happened, as the log holds it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct AuditEntry {
    /// The entry's number in the tenant's log, from 1.
    pub number: u64,
    /// The number of the first entry of the same transaction.
    pub transaction: u64,
    /// In whose name it was done; `None` for the application itself, and for a user whose id was erased.
    pub actor: Option<UserId>,
    /// The store admin who did it, when one acted for the tenant.
    pub admin: Option<UserId>,
    /// The copy of the store on which it happened.
    pub device: Uuid,
    /// Hybrid logical clock: milliseconds since the Unix epoch `<< 16`, and a counter.
    pub clock: u64,
    /// When it happened.
    pub time: Timestamp,
    /// `insert`, `update` or `delete`; or what happened to the tenant itself, such as
    /// `member.add`.
    pub action: String,
    /// The entity of the record.
    pub entity: Option<String>,
    /// The id of the record.
    pub record: Option<Uuid>,
    /// `ok`, or why it was refused.
    pub outcome: String,
    /// The version of the entity's definition at the time.
    pub definition_version: Option<u64>,
    /// The number of the entry that this one takes back.
    pub undoes: Option<u64>,
    /// Why, as the store admin said.
    pub reason: Option<String>,
    /// What changed, by column; `None` once the payload was deleted.
    pub changes: Option<Vec<Change>>,
    /// The entry's hash, which covers the one before it.
    pub hash: [u8; 32],
}

/// How one column changed.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Change {
    /// The column's name.
    pub column: String,
    /// The value before; none before an insert.
    pub before: Value,
    /// The value after; none after a delete.
    pub after: Value,
    /// Whether the column is secret, so that both values were left out.
    pub redacted: bool,
}

/// How one typed column changed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TypedChange<T> {
    /// The value before; `None` if there was none.
    pub before: Option<T>,
    /// The value after; `None` if there is none.
    pub after: Option<T>,
}

impl AuditEntry {
    /// How one typed column changed, if it did and is not secret. Of an entry without a payload that is not known: its
    /// [`changes`](Self::changes) are none.
    ///
    /// A nested column's values are [`AsNested`](crate::AsNested).
    ///
    /// # Errors
    ///
    /// [`Error::Schema`] if the values recorded then do not fit the column's type today, or if the
    /// entry is of another entity.
    ///
    /// ```
    /// # use tenantry::{Entity, Store, UserId};
    /// # #[derive(Entity)] struct Task { title: String, done: bool }
    /// # fn main() -> tenantry::Result<()> {
    /// # let store = Store::builder().entity::<Task>().temporary()?;
    /// # let session = store.session(&store.users().create(&UserId::new("ada")?)?)?;
    /// let id = session.insert(&Task { title: "Tea".into(), done: false })?;
    /// session.patch(id, Task::DONE.set(true))?;
    /// let last = session.audit().of(id).newest_first().list()?.remove(0);
    /// let done = last.change(Task::DONE)?.unwrap();
    /// assert_eq!((done.before, done.after), (Some(false), Some(true)));
    /// # Ok(()) }
    /// ```
    pub fn change<E: Entity, F: Field>(&self, column: Column<E, F>) -> Result<Option<TypedChange<F::Inner>>> {
        if self.entity.as_deref() != Some(E::ENTITY_NAME) {
            return Err(Error::schema(format!("the entry is not about {:?}", E::ENTITY_NAME)));
        }
        self.change_of(column.name()).map_or(Ok(None), Change::typed::<F>)
    }

    /// How the column of a name changed, if it did: also one that the entity no longer has.
    ///
    /// ```
    /// # use tenantry::{Entity, Store, UserId, Value};
    /// # #[derive(Entity)] struct Task { title: String }
    /// # fn main() -> tenantry::Result<()> {
    /// # let store = Store::builder().entity::<Task>().temporary()?;
    /// # let session = store.session(&store.users().create(&UserId::new("ada")?)?)?;
    /// let id = session.insert(&Task { title: "Tea".into() })?;
    /// let entry = session.audit().of(id).list()?.remove(0);
    /// let change = entry.change_of("title").unwrap();
    /// assert_eq!(change.after, Value::from("Tea"));
    /// assert_eq!(change.typed::<String>()?.unwrap().after.unwrap(), "Tea");
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn change_of(&self, column: &str) -> Option<&Change> {
        self.changes.iter().flatten().find(|change| change.column == column)
    }
}

impl Change {
    /// Bytes that its values take.
    pub(crate) fn size(&self) -> usize {
        self.before.size() + self.after.size()
    }

    /// The change in a Rust type, as a column's: `String`, [`Id`](crate::Id), [`AsNested`](crate::AsNested) and so on. None
    /// of a secret column, whose values are not there.
    ///
    /// # Errors
    ///
    /// [`Error::Schema`] if the values do not fit the type.
    pub fn typed<F: Field>(&self) -> Result<Option<TypedChange<F::Inner>>> {
        if self.redacted {
            return Ok(None);
        }
        let typed = |value: &Value| {
            if value.is_none() {
                return Ok(None);
            }
            F::Inner::from_raw(Raw::new(ValueRef::from(&value.to_sql())))
                .map(Some)
                .map_err(|problem| Error::schema(format!("column {:?} {problem}", self.column)))
        };
        Ok(Some(TypedChange { before: typed(&self.before)?, after: typed(&self.after)? }))
    }
}
