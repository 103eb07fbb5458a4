//! Rust types that can stand in one column.

use std::marker::PhantomData;

use jiff::Timestamp;
use rusqlite::types::{FromSql, ValueRef};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::definition::{ColumnDefinition, ColumnKind, OnDelete};
use super::record::Id;
use super::value::{Nested, UuidText, Value, decode_nested};
use super::{Definition, Entity};
use crate::error::{Error, Result};
use crate::identity::UserId;

/// A Rust type that is stored in one column.
///
/// Implemented for integers, floats, `bool`, `String`, `Vec<u8>`, `Option`, [`Timestamp`],
/// [`Uuid`], [`UserId`], [`Id`], enums that derive [`Choice`](derive@crate::Choice), and, through the
/// derive of [`Entity`], for every serde type as MessagePack.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can not be stored in a column",
    note = "derive `tenantry::Choice` for an enum of plain variants",
    note = "write #[entity(nested)] above the field to store any serde type as MessagePack"
)]
pub trait Field: Sized {
    /// The type without its `Option`, if it has one.
    type Inner: Field;
    /// Whether the column may hold no value.
    #[doc(hidden)]
    const OPTIONAL: bool = false;
    /// What the column holds.
    #[doc(hidden)]
    fn kind() -> ColumnKind;
    /// The value as it is stored; the error is the problem with it.
    #[doc(hidden)]
    fn to_value(&self) -> Result<Value, String>;
    /// The value as it was stored; the error is the problem with it.
    #[doc(hidden)]
    fn from_raw(raw: Raw<'_>) -> Result<Self, String>;
}

/// A stored value while it is being decoded.
#[doc(hidden)]
#[derive(Clone, Copy)]
pub struct Raw<'r>(ValueRef<'r>);

/// What passes through these may be secret.
macro_rules! show_nothing_of {
    ($($type:ty),*) => {$(
        impl std::fmt::Debug for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(concat!(stringify!($type), "(..)"))
            }
        }
    )*};
}
show_nothing_of!(Raw<'_>, Encoder, Decoder<'_, '_>);

impl<'r> Raw<'r> {
    pub(crate) fn new(value: ValueRef<'r>) -> Self {
        Self(value)
    }

    #[inline]
    pub fn is_none(self) -> bool {
        matches!(self.0, ValueRef::Null)
    }

    #[inline]
    pub fn text(self) -> Result<&'r str, String> {
        match self.0 {
            ValueRef::Text(bytes) => {
                std::str::from_utf8(bytes).map_err(|_| "holds text that is not UTF-8".to_owned())
            }
            _ => Err(self.mismatch("text")),
        }
    }

    #[inline]
    fn integer(self) -> Result<i64, String> {
        match self.0 {
            ValueRef::Integer(integer) => Ok(integer),
            _ => Err(self.mismatch("an integer")),
        }
    }

    #[inline]
    fn bytes(self) -> Result<&'r [u8], String> {
        match self.0 {
            ValueRef::Blob(bytes) => Ok(bytes),
            _ => Err(self.mismatch("bytes")),
        }
    }

    #[inline]
    fn real(self) -> Result<f64, String> {
        match self.0 {
            ValueRef::Real(real) => Ok(real),
            _ => Err(self.mismatch("a float")),
        }
    }

    #[cold]
    fn mismatch(self, wanted: &str) -> String {
        let found = match self.0 {
            ValueRef::Null => "no value",
            ValueRef::Integer(_) => "an integer",
            ValueRef::Real(_) => "a float",
            ValueRef::Text(_) => "text",
            ValueRef::Blob(_) => "bytes",
        };
        format!("holds {found} where {wanted} was expected")
    }

    /// The value as the column's kind says.
    pub(crate) fn to_value(self, kind: &ColumnKind) -> Result<Value, String> {
        if self.is_none() {
            return Ok(Value::None);
        }
        Ok(match kind {
            ColumnKind::Boolean => Value::Boolean(bool::from_raw(self)?),
            ColumnKind::Integer => Value::Integer(self.integer()?),
            ColumnKind::Real => Value::Real(self.real()?),
            ColumnKind::Text | ColumnKind::Choice(_) | ColumnKind::Member => {
                Value::Text(self.text()?.to_owned())
            }
            ColumnKind::Bytes => Value::Bytes(self.bytes()?.to_vec()),
            ColumnKind::Uuid | ColumnKind::Reference { .. } => Value::Uuid(Uuid::from_raw(self)?),
            ColumnKind::Time => Value::Time(Timestamp::from_raw(self)?),
            ColumnKind::Nested => Value::Nested(Nested::from_stored(self.bytes()?.to_vec())),
        })
    }
}

macro_rules! integers {
    ($($integer:ty),*) => {$(
        impl Field for $integer {
            type Inner = Self;
            fn kind() -> ColumnKind {
                ColumnKind::Integer
            }
            fn to_value(&self) -> Result<Value, String> {
                // Without the value: the column may be secret.
                i64::try_from(*self).map(Value::Integer).map_err(|_| "is larger than a 64-bit signed integer".to_owned())
            }
            #[inline]
            fn from_raw(raw: Raw<'_>) -> Result<Self, String> {
                Self::try_from(raw.integer()?).map_err(|_| concat!("holds an integer out of the range of ", stringify!($integer)).to_owned())
            }
        }
    )*};
}
integers!(i8, i16, i32, i64, isize, u8, u16, u32, u64, usize);

impl Field for bool {
    type Inner = Self;
    fn kind() -> ColumnKind {
        ColumnKind::Boolean
    }
    fn to_value(&self) -> Result<Value, String> {
        Ok(Value::Boolean(*self))
    }
    #[inline]
    fn from_raw(raw: Raw<'_>) -> Result<Self, String> {
        match raw.integer()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err("holds an integer where a boolean was expected".to_owned()),
        }
    }
}

impl Field for f64 {
    type Inner = Self;
    fn kind() -> ColumnKind {
        ColumnKind::Real
    }
    fn to_value(&self) -> Result<Value, String> {
        Ok(Value::Real(*self))
    }
    #[inline]
    fn from_raw(raw: Raw<'_>) -> Result<Self, String> {
        raw.real()
    }
}

impl Field for f32 {
    type Inner = Self;
    fn kind() -> ColumnKind {
        ColumnKind::Real
    }
    fn to_value(&self) -> Result<Value, String> {
        Ok(Value::Real(f64::from(*self)))
    }
    #[allow(clippy::cast_possible_truncation)] // every f32 survives the way through f64
    #[inline]
    fn from_raw(raw: Raw<'_>) -> Result<Self, String> {
        Ok(raw.real()? as f32)
    }
}

impl Field for String {
    type Inner = Self;
    fn kind() -> ColumnKind {
        ColumnKind::Text
    }
    fn to_value(&self) -> Result<Value, String> {
        Ok(Value::Text(self.clone()))
    }
    #[inline]
    fn from_raw(raw: Raw<'_>) -> Result<Self, String> {
        Ok(raw.text()?.to_owned())
    }
}

impl Field for Vec<u8> {
    type Inner = Self;
    fn kind() -> ColumnKind {
        ColumnKind::Bytes
    }
    fn to_value(&self) -> Result<Value, String> {
        Ok(Value::Bytes(self.clone()))
    }
    #[inline]
    fn from_raw(raw: Raw<'_>) -> Result<Self, String> {
        Ok(raw.bytes()?.to_vec())
    }
}

impl Field for Uuid {
    type Inner = Self;
    fn kind() -> ColumnKind {
        ColumnKind::Uuid
    }
    fn to_value(&self) -> Result<Value, String> {
        Ok(Value::Uuid(*self))
    }
    #[inline]
    fn from_raw(raw: Raw<'_>) -> Result<Self, String> {
        match raw.0 {
            ValueRef::Text(text) => {
                UuidText::parse(text).ok_or_else(|| "holds text that is not a UUID".to_owned())
            }
            _ => Err(raw.mismatch("a UUID")),
        }
    }
}

impl Field for Timestamp {
    type Inner = Self;
    fn kind() -> ColumnKind {
        ColumnKind::Time
    }
    fn to_value(&self) -> Result<Value, String> {
        Ok(Value::Time(*self))
    }
    #[inline]
    fn from_raw(raw: Raw<'_>) -> Result<Self, String> {
        super::time_from_micros(raw.integer()?).ok_or_else(|| "holds a time out of range".to_owned())
    }
}

impl Field for UserId {
    type Inner = Self;
    fn kind() -> ColumnKind {
        ColumnKind::Member
    }
    fn to_value(&self) -> Result<Value, String> {
        Ok(Value::Text(self.as_str().to_owned()))
    }
    #[inline]
    fn from_raw(raw: Raw<'_>) -> Result<Self, String> {
        UserId::new(raw.text()?).map_err(|_| "holds an invalid user id".to_owned())
    }
}

impl<E: Entity> Field for Id<E> {
    type Inner = Self;
    fn kind() -> ColumnKind {
        ColumnKind::Reference { entity: E::ENTITY_NAME.to_owned(), on_delete: OnDelete::Restrict }
    }
    fn to_value(&self) -> Result<Value, String> {
        Ok(Value::Uuid(self.uuid()))
    }
    #[inline]
    fn from_raw(raw: Raw<'_>) -> Result<Self, String> {
        Uuid::from_raw(raw).map(Id::from_uuid)
    }
}

/// `Inner = T` and not `T::Inner`: an `Option<Option<T>>` has no column.
impl<T: Field<Inner = T>> Field for Option<T> {
    type Inner = T;
    const OPTIONAL: bool = true;
    fn kind() -> ColumnKind {
        T::kind()
    }
    fn to_value(&self) -> Result<Value, String> {
        self.as_ref().map_or(Ok(Value::None), T::to_value)
    }
    #[inline]
    fn from_raw(raw: Raw<'_>) -> Result<Self, String> {
        if raw.is_none() { Ok(None) } else { T::from_raw(raw).map(Some) }
    }
}

/// The type of the column handle of a nested field: any serde type, stored as MessagePack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AsNested<T>(pub T);

impl<T> From<T> for AsNested<T> {
    fn from(value: T) -> Self {
        AsNested(value)
    }
}

impl<T: Serialize + DeserializeOwned> Field for AsNested<T> {
    type Inner = Self;
    fn kind() -> ColumnKind {
        ColumnKind::Nested
    }
    fn to_value(&self) -> Result<Value, String> {
        encode_nested(&self.0)
    }
    #[inline]
    fn from_raw(raw: Raw<'_>) -> Result<Self, String> {
        decode_nested(raw.bytes()?).map(AsNested)
    }
}

fn encode_nested<T: Serialize>(value: &T) -> Result<Value, String> {
    Nested::new(value).map(Value::Nested).map_err(|_| "its own `Serialize` fails".to_owned())
}

/// Collects a record's values in the order of its definition.
#[doc(hidden)]
pub struct Encoder {
    values: Vec<Value>,
}

impl Encoder {
    pub(crate) fn encode<E: Entity>(entity: &E, columns: usize) -> Result<Vec<Value>> {
        let mut encoder = Encoder { values: Vec::with_capacity(columns) };
        entity.encode(&mut encoder)?;
        Ok(encoder.values)
    }

    /// No bound `Field` here and in [`Decoder::value`]: the derive names the trait by itself, so
    /// that one mistake is one message.
    pub fn value(&mut self, column: &'static str, value: Result<Value, String>) -> Result<()> {
        self.values.push(value.map_err(|problem| Error::invalid(column, problem))?);
        Ok(())
    }

    pub fn nested<T: Serialize>(&mut self, column: &'static str, value: &T) -> Result<()> {
        self.values.push(encode_nested(value).map_err(|problem| Error::invalid(column, problem))?);
        Ok(())
    }

    pub fn nested_option<T: Serialize>(&mut self, column: &'static str, value: &Option<T>) -> Result<()> {
        match value {
            Some(value) => self.nested(column, value),
            None => {
                self.values.push(Value::None);
                Ok(())
            }
        }
    }
}

/// Hands out a stored record's values in the order of its definition.
#[doc(hidden)]
pub struct Decoder<'r, 's> {
    row: Cells<'r, 's>,
    next: usize,
}

/// A row, where SQLite stands or from memory.
#[derive(Clone, Copy)]
pub(crate) enum Cells<'r, 's> {
    Row(&'r rusqlite::Row<'s>),
    Kept(&'r [rusqlite::types::Value]),
}

impl<'r> Cells<'r, '_> {
    #[inline]
    pub(crate) fn get_ref(self, column: usize) -> rusqlite::Result<ValueRef<'r>> {
        match self {
            Cells::Row(row) => row.get_ref(column),
            Cells::Kept(values) => {
                values.get(column).map(ValueRef::from).ok_or(rusqlite::Error::InvalidColumnIndex(column))
            }
        }
    }

    #[inline]
    pub(crate) fn get<T: FromSql>(self, column: usize) -> rusqlite::Result<T> {
        T::column_result(self.get_ref(column)?).map_err(rusqlite::Error::from)
    }
}

impl<'r, 's> Decoder<'r, 's> {
    #[inline]
    pub(crate) fn new(row: Cells<'r, 's>, first: usize) -> Self {
        Self { row, next: first }
    }

    #[inline]
    fn raw(&mut self) -> Result<Raw<'r>> {
        let value = self.row.get_ref(self.next)?;
        self.next += 1;
        Ok(Raw::new(value))
    }

    #[inline]
    pub fn value<T>(
        &mut self,
        column: &'static str,
        from_raw: fn(Raw<'_>) -> Result<T, String>,
    ) -> Result<T> {
        from_raw(self.raw()?).map_err(|problem| unreadable(column, &problem))
    }

    pub fn nested<T: for<'de> Deserialize<'de>>(&mut self, column: &'static str) -> Result<T> {
        let raw = self.raw()?;
        raw.bytes().and_then(decode_nested).map_err(|problem| unreadable(column, &problem))
    }

    pub fn nested_option<T: for<'de> Deserialize<'de>>(&mut self, column: &'static str) -> Result<Option<T>> {
        let raw = self.raw()?;
        if raw.is_none() {
            return Ok(None);
        }
        raw.bytes().and_then(decode_nested).map(Some).map_err(|problem| unreadable(column, &problem))
    }

    pub(crate) fn values(mut self, definition: &Definition) -> Result<Vec<Value>> {
        definition
            .columns()
            .iter()
            .map(|column| {
                self.raw()?.to_value(column.kind()).map_err(|problem| unreadable(column.name(), &problem))
            })
            .collect()
    }
}

#[cold]
fn unreadable(column: &str, problem: &str) -> Error {
    Error::schema(format!("column {column:?} can not be read: it {problem}"))
}

/// What the derive makes of a column: `F::kind()` and `F::OPTIONAL`.
#[doc(hidden)]
pub fn column_of(name: &'static str, kind: ColumnKind, optional: bool) -> ColumnDefinition {
    let column = ColumnDefinition::new(name, kind);
    if optional { column.optional() } else { column }
}

/// Column types that refer to a record: [`Id`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a reference",
    note = "`on_delete` belongs to fields of type `Id<Other>` or `Option<Id<Other>>`"
)]
pub trait Refers: Field {}
impl<E: Entity> Refers for Id<E> {}

/// What the derive makes of a reference with `on_delete`.
#[doc(hidden)]
pub fn reference_of<F>(name: &'static str, on_delete: OnDelete) -> ColumnDefinition
where
    F: Field,
    F::Inner: Refers,
{
    let mut column = column_of(name, F::kind(), F::OPTIONAL);
    if let ColumnKind::Reference { on_delete: action, .. } = &mut column.kind {
        *action = on_delete;
    }
    column
}

/// A typed handle of a column; the derive makes one constant for each field.
pub struct Column<M, F> {
    name: &'static str,
    marker: PhantomData<fn() -> (M, F)>,
}

impl<M, F> Column<M, F> {
    #[doc(hidden)]
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        Self { name, marker: PhantomData }
    }

    /// The column's name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }
}

impl<M, F> Clone for Column<M, F> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<M, F> Copy for Column<M, F> {}
impl<M, F> std::fmt::Debug for Column<M, F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Column({})", self.name)
    }
}
