//! Rows as Rust types, through serde.

use std::fmt;

use rusqlite::types::ValueRef;
use serde::de::value::{MapDeserializer, SeqDeserializer, StrDeserializer};
use serde::de::{self, DeserializeOwned, Deserializer, Expected, IntoDeserializer, Unexpected, Visitor};
use serde::forward_to_deserialize_any;

use super::rows::SqlColumn;
use crate::error::{Error, Result};

/// One row as a type.
pub(super) fn row<'r, T: DeserializeOwned>(
    columns: &[SqlColumn],
    values: impl Iterator<Item = ValueRef<'r>>,
) -> Result<T> {
    T::deserialize(Row { columns, values: values.map(Cell) })
        .map_err(|Problem(problem)| Error::invalid("row", format!("does not fit the type: {problem}")))
}

/// Why a row does not fit, without the row's values: they may be secret.
#[derive(Debug)]
struct Problem(String);

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Problem {}

impl de::Error for Problem {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Problem(message.to_string())
    }

    fn invalid_type(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Problem(format!("found {}, expected {expected}", kind(&unexpected)))
    }

    fn invalid_value(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Problem(format!("found {} out of range, expected {expected}", kind(&unexpected)))
    }

    fn unknown_variant(_: &str, expected: &'static [&'static str]) -> Self {
        Problem(format!("found another text, expected one of {}", expected.join(", ")))
    }
}

fn kind(unexpected: &Unexpected<'_>) -> &'static str {
    match unexpected {
        Unexpected::Bool(_) => "a boolean",
        Unexpected::Unsigned(_) | Unexpected::Signed(_) => "an integer",
        Unexpected::Float(_) => "a float",
        Unexpected::Char(_) | Unexpected::Str(_) => "text",
        Unexpected::Bytes(_) => "bytes",
        Unexpected::Unit | Unexpected::Option => "no value",
        Unexpected::Seq => "a list",
        Unexpected::Map => "a map",
        _ => "something else",
    }
}

struct Row<'c, V> {
    columns: &'c [SqlColumn],
    values: V,
}

impl<'r, V: Iterator<Item = Cell<'r>>> Row<'_, V> {
    /// The value of the only column.
    fn only(mut self) -> Result<Cell<'r>, Problem> {
        match self.values.next() {
            Some(cell) if self.columns.len() == 1 => Ok(cell),
            _ => Err(Problem(format!(
                "the type takes one column and the row has {}; use a struct or a tuple",
                self.columns.len()
            ))),
        }
    }
}

macro_rules! from_only_column {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
            self.only()?.$method(visitor)
        }
    )*};
}

impl<'de, 'r, I: Iterator<Item = Cell<'r>>> Deserializer<'de> for Row<'_, I> {
    type Error = Problem;

    from_only_column! {
        deserialize_bool deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128
        deserialize_f32 deserialize_f64 deserialize_char deserialize_str deserialize_string
        deserialize_bytes deserialize_byte_buf deserialize_unit deserialize_identifier
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        self.deserialize_map(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        let names = self.columns.iter().map(SqlColumn::name);
        visitor.visit_map(MapDeserializer::new(names.zip(self.values)))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Problem> {
        self.deserialize_map(visitor)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        visitor.visit_seq(SeqDeserializer::new(self.values))
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, length: usize, visitor: V) -> Result<V::Value, Problem> {
        if length != self.columns.len() {
            return Err(Problem(format!("the row has {} columns, expected {length}", self.columns.len())));
        }
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, Problem> {
        self.deserialize_tuple(length, visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        if self.columns.len() == 1 {
            self.only()?.deserialize_option(visitor)
        } else {
            visitor.visit_some(self)
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Problem> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Problem> {
        self.only()?.deserialize_enum(name, variants, visitor)
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Problem> {
        self.only()?.deserialize_unit_struct(name, visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        visitor.visit_unit()
    }
}

/// One value.
struct Cell<'r>(ValueRef<'r>);

impl IntoDeserializer<'_, Problem> for Cell<'_> {
    type Deserializer = Self;
    fn into_deserializer(self) -> Self {
        self
    }
}

impl Cell<'_> {
    /// A list, a map or a struct, which is text in JSON.
    fn json<'de, V: Visitor<'de>>(
        self,
        read: impl FnOnce(serde_json::Value, V) -> serde_json::Result<V::Value>,
        visitor: V,
    ) -> Result<V::Value, Problem> {
        match self.0 {
            ValueRef::Text(text) => {
                let json = serde_json::from_slice(text).map_err(|_| {
                    Problem("found text that is no JSON, expected a list or a map".to_owned())
                })?;
                // Without serde_json's own text, which holds values.
                read(json, visitor).map_err(|_| Problem("the JSON in a column has another shape".to_owned()))
            }
            _ => self.deserialize_any(visitor),
        }
    }
}

impl<'de> Deserializer<'de> for Cell<'_> {
    type Error = Problem;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        match self.0 {
            ValueRef::Null => visitor.visit_unit(),
            ValueRef::Integer(integer) => visitor.visit_i64(integer),
            ValueRef::Real(real) => visitor.visit_f64(real),
            ValueRef::Text(text) => match std::str::from_utf8(text) {
                Ok(text) => visitor.visit_str(text),
                Err(_) => visitor.visit_bytes(text),
            },
            ValueRef::Blob(bytes) => visitor.visit_bytes(bytes),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        match self.0 {
            ValueRef::Integer(integer @ (0 | 1)) => visitor.visit_bool(integer == 1),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        if matches!(self.0, ValueRef::Null) { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Problem> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Problem> {
        let text = match self.0 {
            ValueRef::Text(text) => std::str::from_utf8(text).ok(),
            _ => None,
        };
        match text {
            Some(text) if variants.contains(&text) => {
                visitor.visit_enum(StrDeserializer::<Problem>::new(text))
            }
            _ => self.json(|json, visitor| json.deserialize_enum(name, variants, visitor), visitor),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        match self.0 {
            ValueRef::Blob(bytes) => visitor.visit_seq(SeqDeserializer::new(bytes.iter().copied())),
            _ => self.json(|json, visitor| json.deserialize_seq(visitor), visitor),
        }
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, length: usize, visitor: V) -> Result<V::Value, Problem> {
        self.json(|json, visitor| json.deserialize_tuple(length, visitor), visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, Problem> {
        self.json(|json, visitor| json.deserialize_tuple_struct(name, length, visitor), visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        self.json(|json, visitor| json.deserialize_map(visitor), visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Problem> {
        self.json(|json, visitor| json.deserialize_struct(name, fields, visitor), visitor)
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct identifier
        ignored_any
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;

    use super::*;
    use crate::entity::Value;
    use crate::sql::rows::borrowed;

    fn read<T: DeserializeOwned>(cells: &[(&str, Value)]) -> Result<T> {
        let columns: Vec<SqlColumn> = cells.iter().map(|(name, _)| SqlColumn::named(name)).collect();
        row(&columns, cells.iter().map(|(_, value)| borrowed(value)))
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Status {
        Open,
        Done,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct Task {
        title: String,
        done: bool,
        status: Status,
        amount: Option<f64>,
        tags: Vec<String>,
        payload: Vec<u8>,
        due: Option<jiff::Timestamp>,
    }

    #[test]
    fn structs_take_columns_by_name() {
        let task: Task = read(&[
            ("due", "2026-11-24 10:00:00.000001Z".into()),
            ("title", "Dig".into()),
            ("done", 1_i64.into()),
            ("status", "done".into()),
            ("amount", 2_i64.into()),
            ("tags", "[\"a\",\"b\"]".into()),
            ("payload", vec![1_u8, 2].into()),
            ("more", Value::None),
        ])
        .unwrap();
        let due = "2026-11-24T10:00:00.000001Z".parse().ok();
        let tags = vec!["a".to_owned(), "b".to_owned()];
        let payload = vec![1, 2];
        let title = "Dig".to_owned();
        assert_eq!(
            task,
            Task { title, done: true, status: Status::Done, amount: Some(2.0), tags, payload, due }
        );
    }

    #[test]
    fn tuples_scalars_options_and_maps_take_what_fits() {
        let two = [("a", Value::from(1_i64)), ("b", Value::from("x"))];
        assert_eq!(read::<(i64, String)>(&two).unwrap(), (1, "x".to_owned()));
        assert_eq!(read::<i64>(&two[..1]).unwrap(), 1);
        assert_eq!(read::<Option<i64>>(&[("a", Value::None)]).unwrap(), None);
        assert_eq!(read::<Option<(i64, String)>>(&two).unwrap(), Some((1, "x".to_owned())));
        let map: BTreeMap<String, serde_json::Value> = read(&two).unwrap();
        assert_eq!(map["b"], "x");
        assert_eq!(read::<serde_json::Value>(&two).unwrap()["a"], 1);
    }

    #[test]
    fn errors_name_what_is_wrong_and_no_value() {
        for problem in [
            read::<i64>(&[("a", "canary".into())]).unwrap_err(),
            read::<(i64,)>(&[("a", "canary".into())]).unwrap_err(),
            read::<u8>(&[("a", 54_321_i64.into())]).unwrap_err(),
            read::<Status>(&[("a", "canary".into())]).unwrap_err(),
            read::<BTreeMap<String, Vec<i64>>>(&[("a", "[\"canary\"]".into())]).unwrap_err(),
            read::<i64>(&[("a", 1_i64.into()), ("b", 2_i64.into())]).unwrap_err(),
            read::<(i64, i64)>(&[("a", 1_i64.into())]).unwrap_err(),
        ] {
            let text = problem.to_string();
            assert!(text.starts_with("row: does not fit the type"), "{text}");
            assert!(!text.contains("canary") && !text.contains("54321"), "{text}");
        }
    }
}
