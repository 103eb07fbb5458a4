//! The values that columns hold, whatever made the definition.

use jiff::Timestamp;
use rusqlite::ToSql;
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSqlOutput, Value as SqlValue, ValueRef};
use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use crate::error::{Error, Result};

/// One column's value, as dynamic records, audit entries and defaults hold it.
///
/// ```
/// use tenantry::Value;
/// assert_eq!(Value::from("tea"), Value::Text("tea".to_owned()));
/// assert_eq!(Value::from(None::<i64>), Value::None);
/// ```
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub enum Value {
    /// No value.
    #[default]
    None,
    /// True or false.
    Boolean(bool),
    /// A 64-bit signed integer.
    Integer(i64),
    /// A 64-bit float; never NaN.
    Real(f64),
    /// Text without U+0000.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// A UUID; ids and references are these.
    Uuid(Uuid),
    /// A point in time, to the microsecond.
    Time(Timestamp),
    /// A list, map or struct, as MessagePack.
    Nested(Nested),
}

impl Value {
    /// Whether this is [`Value::None`].
    #[must_use]
    pub fn is_none(&self) -> bool {
        matches!(self, Value::None)
    }

    /// What the value is called in messages.
    pub(crate) fn type_name(&self) -> &'static str {
        match self {
            Value::None => "no value",
            Value::Boolean(_) => "a boolean",
            Value::Integer(_) => "an integer",
            Value::Real(_) => "a float",
            Value::Text(_) => "text",
            Value::Bytes(_) => "bytes",
            Value::Uuid(_) => "a UUID",
            Value::Time(_) => "a time",
            Value::Nested(_) => "a nested value",
        }
    }

    /// How SQLite stores the value.
    pub(crate) fn stored(&self) -> ToSqlOutput<'_> {
        ToSqlOutput::Borrowed(match self {
            Value::None => ValueRef::Null,
            Value::Boolean(boolean) => ValueRef::Integer(i64::from(*boolean)),
            Value::Integer(integer) => ValueRef::Integer(*integer),
            Value::Real(real) => ValueRef::Real(*real),
            Value::Text(text) => ValueRef::Text(text.as_bytes()),
            Value::Bytes(bytes) => ValueRef::Blob(bytes),
            Value::Uuid(uuid) => return ToSqlOutput::Owned(SqlValue::Text(uuid.to_string())),
            Value::Time(time) => ValueRef::Integer(time.as_microsecond()),
            Value::Nested(nested) => ValueRef::Blob(&nested.0),
        })
    }

    /// The same, on its own.
    pub(crate) fn to_sql(&self) -> SqlValue {
        match self.stored() {
            ToSqlOutput::Owned(value) => value,
            ToSqlOutput::Borrowed(ValueRef::Integer(integer)) => SqlValue::Integer(integer),
            ToSqlOutput::Borrowed(ValueRef::Real(real)) => SqlValue::Real(real),
            ToSqlOutput::Borrowed(ValueRef::Text(text)) => {
                SqlValue::Text(String::from_utf8_lossy(text).into_owned())
            }
            ToSqlOutput::Borrowed(ValueRef::Blob(bytes)) => SqlValue::Blob(bytes.to_vec()),
            _ => SqlValue::Null,
        }
    }

    /// Bytes that count towards a tenant's size: the content, 8 for what has a fixed size.
    pub(crate) fn size(&self) -> usize {
        match self {
            Value::None => 0,
            Value::Boolean(_) | Value::Integer(_) | Value::Real(_) | Value::Time(_) => 8,
            Value::Text(text) => text.len(),
            Value::Bytes(bytes) => bytes.len(),
            Value::Uuid(_) => 16,
            Value::Nested(nested) => nested.0.len(),
        }
    }
}

macro_rules! from {
    ($($source:ty => |$v:ident| $value:expr),* $(,)?) => {$(
        impl From<$source> for Value {
            fn from($v: $source) -> Self {
                $value
            }
        }
    )*};
}

from! {
    bool => |v| Value::Boolean(v),
    i64 => |v| Value::Integer(v),
    i32 => |v| Value::Integer(v.into()),
    u32 => |v| Value::Integer(v.into()),
    f64 => |v| Value::Real(v),
    &str => |v| Value::Text(v.to_owned()),
    String => |v| Value::Text(v),
    Vec<u8> => |v| Value::Bytes(v),
    Uuid => |v| Value::Uuid(v),
    Timestamp => |v| Value::Time(v),
    Nested => |v| Value::Nested(v),
    crate::UserId => |v| Value::Text(v.into()),
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Value::None, Into::into)
    }
}

impl<M> From<super::Id<M>> for Value {
    fn from(id: super::Id<M>) -> Self {
        Value::Uuid(id.uuid())
    }
}

/// A UUID as it lies in an entity's table: the text of RFC 9562, which sorts as the bytes do.
#[derive(Debug, Clone, Copy)]
pub(crate) struct UuidText([u8; Self::LENGTH]);

impl UuidText {
    pub(crate) const LENGTH: usize = 36;

    #[inline]
    pub(crate) fn new(uuid: Uuid) -> Self {
        let mut text = [0; Self::LENGTH];
        uuid.hyphenated().encode_lower(&mut text);
        Self(text)
    }

    /// None for any other text, also for other ways to write a UUID: it would not be found by its own.
    #[inline]
    pub(crate) fn parse(text: &[u8]) -> Option<Uuid> {
        if text.len() != Self::LENGTH || text.iter().any(u8::is_ascii_uppercase) {
            return None;
        }
        Uuid::try_parse_ascii(text).ok()
    }
}

impl ToSql for UuidText {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(ValueRef::Text(&self.0)))
    }
}

/// The UUID of a text in an entity's table.
pub(crate) struct StoredUuid(pub(crate) Uuid);

impl FromSql for StoredUuid {
    #[inline]
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        match value {
            ValueRef::Text(text) => UuidText::parse(text).map(Self).ok_or(FromSqlError::InvalidType),
            _ => Err(FromSqlError::InvalidType),
        }
    }
}

/// One MessagePack value: how lists, maps and structs are stored in a column.
///
/// ```
/// use tenantry::Nested;
/// # fn main() -> tenantry::Result<()> {
/// let tags = Nested::new(&["garden", "urgent"])?;
/// assert_eq!(tags.decode::<Vec<String>>()?, ["garden", "urgent"]);
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Nested(Vec<u8>);

impl Nested {
    /// Encodes a value through serde. Structs become arrays of their fields.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidInput`] if the value's own `Serialize` fails.
    pub fn new<T: Serialize + ?Sized>(value: &T) -> Result<Self> {
        // Without what that says, which may hold the value.
        rmp_serde::to_vec(value)
            .map(Self)
            .map_err(|_| Error::invalid("nested value", "its own `Serialize` fails"))
    }

    /// Decodes the value through serde.
    ///
    /// # Errors
    ///
    /// [`Error::Schema`] if the stored value is not a `T`.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T> {
        decode_nested(&self.0)
            .map_err(|problem| Error::schema(format!("a nested value can not be read: {problem}")))
    }

    /// The MessagePack bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub(crate) fn from_stored(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

/// Decodes stored MessagePack; the problem names types and never values.
pub(crate) fn decode_nested<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    rmp_serde::from_slice(bytes)
        .map_err(|_| format!("the stored MessagePack is not a {}", std::any::type_name::<T>()))
}
