//! The values that columns hold, whatever made the definition.

use jiff::Timestamp;
use rmp::Marker;
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

    /// Whether bytes from elsewhere are one MessagePack value that serde can read: whole, with nothing
    /// behind it, and not nested deeper than `rmp_serde` goes. It takes no room for what lengths claim.
    pub(crate) fn is_well_formed(bytes: &[u8]) -> bool {
        // How many values are missing at each level.
        let mut missing: Vec<u64> = vec![1];
        let mut rest = bytes;
        while let Some(left) = missing.last_mut() {
            if *left == 0 {
                missing.pop();
                continue;
            }
            *left -= 1;
            let Some(inside) = skip_one(&mut rest) else { return false };
            if inside > 0 {
                if missing.len() > NESTED_DEPTH_MAX {
                    return false;
                }
                missing.push(inside);
            }
        }
        rest.is_empty()
    }
}

/// As deep as `rmp_serde` writes and reads.
const NESTED_DEPTH_MAX: usize = 1024;

/// Goes past a value, or the opening of a list or map; how many values are inside.
fn skip_one(rest: &mut &[u8]) -> Option<u64> {
    fn length(rest: &mut &[u8], size: usize) -> Option<u64> {
        let (bytes, after) = rest.split_at_checked(size)?;
        *rest = after;
        Some(bytes.iter().fold(0, |length, byte| length << 8 | u64::from(*byte)))
    }
    let marker = Marker::from_u8(*rest.first()?);
    *rest = rest.get(1..)?;
    let (content, inside) = match marker {
        Marker::FixPos(_) | Marker::FixNeg(_) | Marker::Null | Marker::True | Marker::False => (0, 0),
        Marker::U8 | Marker::I8 => (1, 0),
        Marker::U16 | Marker::I16 => (2, 0),
        Marker::U32 | Marker::I32 | Marker::F32 => (4, 0),
        Marker::U64 | Marker::I64 | Marker::F64 => (8, 0),
        Marker::FixStr(length) => {
            let (text, after) = rest.split_at_checked(length.into())?;
            *rest = after;
            return std::str::from_utf8(text).ok().map(|_| 0);
        }
        Marker::Str8 | Marker::Str16 | Marker::Str32 => {
            let size = [1, 2, 4][usize::from(marker.to_u8() - Marker::Str8.to_u8())];
            let length = usize::try_from(length(rest, size)?).ok()?;
            let (text, after) = rest.split_at_checked(length)?;
            *rest = after;
            return std::str::from_utf8(text).ok().map(|_| 0);
        }
        Marker::Bin8 => (length(rest, 1)?, 0),
        Marker::Bin16 => (length(rest, 2)?, 0),
        Marker::Bin32 => (length(rest, 4)?, 0),
        Marker::FixExt1 => (2, 0),
        Marker::FixExt2 => (3, 0),
        Marker::FixExt4 => (5, 0),
        Marker::FixExt8 => (9, 0),
        Marker::FixExt16 => (17, 0),
        Marker::Ext8 => (length(rest, 1)? + 1, 0),
        Marker::Ext16 => (length(rest, 2)? + 1, 0),
        Marker::Ext32 => (length(rest, 4)? + 1, 0),
        Marker::FixArray(length) => (0, length.into()),
        Marker::Array16 => (0, length(rest, 2)?),
        Marker::Array32 => (0, length(rest, 4)?),
        Marker::FixMap(length) => (0, 2 * u64::from(length)),
        Marker::Map16 => (0, 2 * length(rest, 2)?),
        Marker::Map32 => (0, 2 * length(rest, 4)?),
        Marker::Reserved => return None,
    };
    *rest = rest.get(usize::try_from(content).ok()?..)?;
    Some(inside)
}

/// Decodes stored MessagePack; the problem names types and never values.
pub(crate) fn decode_nested<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    rmp_serde::from_slice(bytes)
        .map_err(|_| format!("the stored MessagePack is not a {}", std::any::type_name::<T>()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use serde::Deserialize;

    use super::*;

    #[test]
    fn nested_values_from_elsewhere_are_looked_through() {
        let value = (1, -2.5, "x", Some(true), None::<u8>, vec![BTreeMap::from([(7, "seven")])], u64::MAX);
        let packed = rmp_serde::to_vec(&value).unwrap();
        assert!(Nested::is_well_formed(&packed));
        for length in 0..packed.len() {
            assert!(!Nested::is_well_formed(&packed[..length]));
        }
        assert!(!Nested::is_well_formed(&[&packed[..], &[0xc0]].concat()));
        // Four thousand million items; a marker that nobody uses; text that is no UTF-8; too deep.
        for bad in [&[0xdd, 0xff, 0xff, 0xff, 0xff][..], &[0xc1], &[0xa1, 0xff], &[0xd9, 1, 0xff], &[]] {
            assert!(!Nested::is_well_formed(bad), "{bad:?}");
        }
        let deep = |depth| [vec![0x91; depth], vec![0xc0]].concat();
        assert!(Nested::is_well_formed(&deep(1_024)));
        assert!(!Nested::is_well_formed(&deep(100_000)));
    }

    proptest! {
        #[test]
        fn what_is_well_formed_is_what_serde_reads(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let mut deserializer = rmp_serde::Deserializer::from_read_ref(&bytes[..]);
            let read = serde::de::IgnoredAny::deserialize(&mut deserializer).is_ok();
            let whole = read && rmp_serde::from_slice::<serde::de::IgnoredAny>(&bytes).is_ok();
            if Nested::is_well_formed(&bytes) {
                prop_assert!(whole, "{bytes:?}");
            }
        }
    }
}
