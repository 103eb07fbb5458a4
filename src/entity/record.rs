//! Stored records and their ids.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;
use std::ops::Deref;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

use super::Model;
use super::definition::Definition;
use super::value::Value;
use crate::error::{Error, Result};
use crate::identity::UserId;

/// The id of a record of `M`: a UUIDv7 (RFC 9562), made by the store, ordered by time within a
/// tenant. An id is not a permission: in another tenant's session it names nothing.
///
/// ```
/// # use tenantry::{Id, Fields};
/// let id: Id<Fields> = "0190f3a0-7c1e-7cc3-98c4-dc0c0c07398f".parse()?;
/// assert_eq!(id.to_string(), "0190f3a0-7c1e-7cc3-98c4-dc0c0c07398f");
/// # Ok::<(), tenantry::Error>(())
/// ```
pub struct Id<M> {
    uuid: Uuid,
    marker: PhantomData<fn() -> M>,
}

impl<M> Id<M> {
    /// An id from a UUID that was stored elsewhere.
    #[must_use]
    pub const fn from_uuid(uuid: Uuid) -> Self {
        Self { uuid, marker: PhantomData }
    }

    /// The UUID.
    #[must_use]
    pub const fn uuid(self) -> Uuid {
        self.uuid
    }

    /// This record, but only if it still has this version: for
    /// [`update`](crate::Verbs::update), [`patch`](crate::Verbs::patch) and
    /// [`delete`](crate::Verbs::delete).
    #[must_use]
    pub const fn at(self, version: u64) -> Target<M> {
        Target { id: self, expected: Some(version) }
    }
}

impl<M> Clone for Id<M> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<M> Copy for Id<M> {}
impl<M> PartialEq for Id<M> {
    fn eq(&self, other: &Self) -> bool {
        self.uuid == other.uuid
    }
}
impl<M> Eq for Id<M> {}
impl<M> PartialOrd for Id<M> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl<M> Ord for Id<M> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.uuid.cmp(&other.uuid)
    }
}
impl<M> Hash for Id<M> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.uuid.hash(state);
    }
}
impl<M> fmt::Debug for Id<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Id({})", self.uuid)
    }
}
impl<M> fmt::Display for Id<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.uuid.fmt(f)
    }
}
impl<M> std::str::FromStr for Id<M> {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        text.parse().map(Self::from_uuid).map_err(|_| Error::invalid("id", format!("{text:?} is not a UUID")))
    }
}
impl<M> Serialize for Id<M> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.uuid.serialize(serializer)
    }
}
impl<'de, M> Deserialize<'de> for Id<M> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Uuid::deserialize(deserializer).map(Self::from_uuid)
    }
}

/// Which record a change is for: an [`Id`] alone, or an id and the version that it must have.
pub struct Target<M> {
    pub(crate) id: Id<M>,
    pub(crate) expected: Option<u64>,
}

impl<M> fmt::Debug for Target<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target").field("id", &self.id).field("expected", &self.expected).finish()
    }
}
impl<M> Clone for Target<M> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<M> Copy for Target<M> {}

impl<M> From<Id<M>> for Target<M> {
    fn from(id: Id<M>) -> Self {
        Target { id, expected: None }
    }
}

/// The record, if it still has the version that was read.
impl<M> From<&Record<M>> for Target<M> {
    fn from(record: &Record<M>) -> Self {
        record.id.at(record.version)
    }
}

/// One stored row: what the store knows of it, and the value.
///
/// `Debug` shows the columns without the values of those that are secret, whatever the value's own `Debug` shows;
/// of dynamic records, names only.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub struct Record<M> {
    /// The id, unique within the tenant.
    pub id: Id<M>,
    /// 1 when inserted, one more with each change.
    pub version: u64,
    /// When it was inserted, to the millisecond: the time in the id.
    pub created: Timestamp,
    /// When it was last changed.
    pub updated: Timestamp,
    /// Who inserted it, where the entity declares `author`.
    pub author: Option<UserId>,
    /// The value.
    pub value: M,
}

impl<M: Model> fmt::Debug for Record<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Record")
            .field("id", &self.id)
            .field("version", &self.version)
            .field("created", &self.created)
            .field("updated", &self.updated)
            .field("author", &self.author)
            .field("value", &Shown(&self.value))
            .finish()
    }
}

/// A record's value as it may be shown.
struct Shown<'v, M>(&'v M);

impl<M: Model> fmt::Debug for Shown<'_, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.show(f)
    }
}

impl<M> Deref for Record<M> {
    type Target = M;
    fn deref(&self) -> &M {
        &self.value
    }
}

/// The time in a UUIDv7: 48 bits of milliseconds (RFC 9562, section 5.7).
#[inline]
pub(crate) fn time_of(id: Uuid) -> Timestamp {
    let bytes = id.as_bytes();
    let mut milliseconds = [0; 8];
    milliseconds[2..].copy_from_slice(&bytes[..6]);
    // 48 bits of milliseconds reach the year 10889; what jiff can't hold is clamped.
    Timestamp::from_millisecond(i64::from_be_bytes(milliseconds)).unwrap_or(Timestamp::MAX)
}

/// The values of a dynamic record, by column. `Debug` leaves the values out: which columns are secret, only the store
/// knows.
///
/// ```
/// use tenantry::{Fields, Value};
/// let fields = Fields::new().with("title", "Water the plants").with("done", false);
/// assert_eq!(fields.get("done"), Some(&Value::Boolean(false)));
/// ```
#[derive(Clone, PartialEq, Default)]
pub struct Fields(BTreeMap<String, Value>);

impl fmt::Debug for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fields ")?;
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Fields {
    /// No values.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a column's value.
    #[must_use]
    pub fn with(mut self, column: impl Into<String>, value: impl Into<Value>) -> Self {
        self.set(column, value);
        self
    }

    /// Sets a column's value.
    pub fn set(&mut self, column: impl Into<String>, value: impl Into<Value>) {
        self.0.insert(column.into(), value.into());
    }

    /// A column's value, if it is set.
    #[must_use]
    pub fn get(&self, column: &str) -> Option<&Value> {
        self.0.get(column)
    }

    /// The columns and their values, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    pub(crate) fn from_values(definition: &Definition, values: Vec<Value>) -> Self {
        Self(definition.columns().iter().map(|c| c.name().to_owned()).zip(values).collect())
    }

    /// In the definition's order, with defaults where a column is not set.
    pub(crate) fn into_values(mut self, definition: &Definition) -> Result<Vec<Value>> {
        let values = definition
            .columns()
            .iter()
            .map(|column| match self.0.remove(column.name()) {
                Some(value) => value,
                None => {
                    column.default.as_ref().map_or(Value::None, super::definition::DefaultValue::to_value)
                }
            })
            .collect();
        match self.0.pop_first() {
            None => Ok(values),
            Some((name, _)) => Err(unknown_column(definition, &name)),
        }
    }

    pub(crate) fn into_changes(self, definition: &Definition) -> Result<Vec<(usize, Value)>> {
        self.0
            .into_iter()
            .map(|(name, value)| match definition.position(&name) {
                Some(position) => Ok((position, value)),
                None => Err(unknown_column(definition, &name)),
            })
            .collect()
    }
}

pub(crate) fn unknown_column(definition: &Definition, name: &str) -> Error {
    let known = definition.columns().iter().map(super::ColumnDefinition::name).collect::<Vec<_>>().join(", ");
    Error::invalid(name, format!("{} has no such column; it has {known}", definition.name()))
}

impl<K: Into<String>, V: Into<Value>> FromIterator<(K, V)> for Fields {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        Self(pairs.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}
