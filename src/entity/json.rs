//! Nested values in JSON.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Value as Json, json};

/// Bytes as text: two hexadecimal digits each.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// How deep values nest that are shown: as deep as `serde_json` reads them. A tenant can give any bytes, and each level
/// takes from the thread's stack.
const DEPTH_MAX: usize = 128;

/// What a nested value looks like in JSON; none if it is no MessagePack, or too deep.
pub(crate) fn json_of(messagepack: &[u8]) -> Option<Json> {
    let mut deserializer = rmp_serde::Deserializer::from_read_ref(messagepack);
    deserializer.set_max_depth(DEPTH_MAX);
    Plain::deserialize(&mut deserializer).ok().map(|plain| plain.0)
}

/// Any MessagePack value in JSON, which has no bytes (they become hexadecimal digits), no keys but text, and neither
/// infinities nor NaN.
struct Plain(Json);

impl<'de> Deserialize<'de> for Plain {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PlainVisitor).map(Plain)
    }
}

struct PlainVisitor;

impl<'de> Visitor<'de> for PlainVisitor {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_bool<E>(self, v: bool) -> Result<Json, E> {
        Ok(json!(v))
    }
    fn visit_i64<E>(self, v: i64) -> Result<Json, E> {
        Ok(json!(v))
    }
    fn visit_u64<E>(self, v: u64) -> Result<Json, E> {
        Ok(json!(v))
    }
    fn visit_f64<E>(self, v: f64) -> Result<Json, E> {
        Ok(json!(v))
    }
    fn visit_str<E>(self, v: &str) -> Result<Json, E> {
        Ok(json!(v))
    }
    fn visit_bytes<E>(self, v: &[u8]) -> Result<Json, E> {
        Ok(json!(hex(v)))
    }
    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }
    fn visit_none<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }
    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Json, D::Error> {
        deserializer.deserialize_any(self)
    }
    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Json, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Json, A::Error> {
        // Without room for as many as it says to have: that is the writer's word.
        let mut items = Vec::new();
        while let Some(Plain(item)) = sequence.next_element()? {
            items.push(item);
        }
        Ok(Json::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Json, A::Error> {
        let mut map = serde_json::Map::new();
        while let Some((Plain(key), Plain(value))) = entries.next_entry()? {
            let key = match key {
                Json::String(text) => text,
                // As text each level would double what is in it.
                Json::Array(_) | Json::Object(_) => return Err(de::Error::custom("a key that is no text")),
                other => other.to_string(),
            };
            map.insert(key, value);
        }
        Ok(Json::Object(map))
    }
}
