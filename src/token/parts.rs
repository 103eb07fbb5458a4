//! The compact form of a token, read so that there is one way to read it.

use std::collections::HashSet;
use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value as Json};

use crate::error::TokenProblem;

/// The longest token that is read, in bytes.
pub(super) const LENGTH_MAX: usize = 8_192;

/// A token's parts; nothing of them has been checked but their form.
pub(super) struct Parts<'t> {
    pub(super) header: Map<String, Json>,
    /// What the signature is over.
    pub(super) signed: &'t str,
    claims: &'t str,
    pub(super) signature: &'t str,
}

impl<'t> Parts<'t> {
    pub(super) fn split(token: &'t str) -> Result<Self, TokenProblem> {
        if token.len() > LENGTH_MAX {
            return Err(TokenProblem::TooLong { max: LENGTH_MAX });
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(TokenProblem::Malformed)?;
        let (header, claims) = signed.split_once('.').ok_or(TokenProblem::Malformed)?;
        if claims.contains('.') {
            // The compact form of JSON Web Encryption has five parts (RFC 7516, section 7.1).
            let encrypted = claims.matches('.').count() == 2;
            return Err(if encrypted { TokenProblem::Encrypted } else { TokenProblem::Malformed });
        }
        Ok(Parts { header: object(header)?, signed, claims, signature })
    }

    /// Only of a token whose signature fits.
    pub(super) fn claims(&self) -> Result<Map<String, Json>, TokenProblem> {
        object(self.claims)
    }
}

/// A part that is base64url of a JSON object, in which no member is there twice: two readers could take one
/// or the other.
fn object(part: &str) -> Result<Map<String, Json>, TokenProblem> {
    let bytes = base64url(part).ok_or(TokenProblem::Malformed)?;
    unique_members(&bytes)?;
    serde_json::from_slice(&bytes).map_err(|_| TokenProblem::Malformed)
}

/// RFC 4648, section 5, without padding. Each sequence of bytes has exactly one form.
pub(super) fn base64url(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3 + 2);
    for group in text.as_bytes().chunks(4) {
        let mut bits = 0u32;
        for &character in group {
            bits = bits << 6 | sextet(character)?;
        }
        let [_, first, second, third] = (bits << (6 * (4 - group.len()))).to_be_bytes();
        match (group.len(), second, third) {
            (4, ..) => bytes.extend([first, second, third]),
            // What is left over of the last character has to be zero.
            (3, _, 0) => bytes.extend([first, second]),
            (2, 0, 0) => bytes.push(first),
            _ => return None,
        }
    }
    Some(bytes)
}

fn sextet(character: u8) -> Option<u32> {
    Some(u32::from(match character {
        b'A'..=b'Z' => character - b'A',
        b'a'..=b'z' => character - b'a' + 26,
        b'0'..=b'9' => character - b'0' + 52,
        b'-' => 62,
        b'_' => 63,
        _ => return None,
    }))
}

const TWICE: &str = "a member is there twice";

/// At any depth. `serde_json` itself keeps the last one.
pub(super) fn unique_members(json: &[u8]) -> Result<(), TokenProblem> {
    match serde_json::from_slice::<Unique>(json) {
        Ok(Unique) => Ok(()),
        Err(error) if error.is_data() && error.to_string().starts_with(TWICE) => Err(TokenProblem::Duplicate),
        Err(_) => Err(TokenProblem::Malformed),
    }
}

/// Any JSON, of which only the names of members are looked at.
struct Unique;

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Unique.deserialize(deserializer)
    }
}

impl<'de> DeserializeSeed<'de> for Unique {
    type Value = Self;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Unique {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }
    fn visit_bool<E>(self, _: bool) -> Result<Self, E> {
        Ok(self)
    }
    fn visit_i64<E>(self, _: i64) -> Result<Self, E> {
        Ok(self)
    }
    fn visit_u64<E>(self, _: u64) -> Result<Self, E> {
        Ok(self)
    }
    fn visit_f64<E>(self, _: f64) -> Result<Self, E> {
        Ok(self)
    }
    fn visit_str<E>(self, _: &str) -> Result<Self, E> {
        Ok(self)
    }
    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(self)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self, A::Error> {
        while list.next_element::<Unique>()?.is_some() {}
        Ok(self)
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self, A::Error> {
        let mut names = HashSet::new();
        while let Some(name) = map.next_key::<String>()? {
            if !names.insert(name) {
                return Err(A::Error::custom(TWICE));
            }
            map.next_value::<Unique>()?;
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64url_has_one_form() {
        // RFC 4648, section 10, without padding.
        for (text, bytes) in
            [("", ""), ("Zg", "f"), ("Zm8", "fo"), ("Zm9v", "foo"), ("Zm9vYg", "foob"), ("Zm9vYmE", "fooba")]
        {
            assert_eq!(base64url(text).as_deref(), Some(bytes.as_bytes()), "{text}");
        }
        assert_eq!(base64url("-_8"), Some(vec![0xfb, 0xff]));
        for bad in ["Z", "Zm9vY", "Zg==", "Zh", "Zm9", "Zm8+", "Zm8/", "Zm 8", "Zm8\n", "Zé"] {
            assert_eq!(base64url(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn members_are_unique_at_any_depth() {
        for good in [r#"{"a":1,"b":{"a":1}}"#, r#"[{"a":1},{"a":1}]"#, r#"{"a":[null,true,-1,1.5,"x"]}"#] {
            assert_eq!(unique_members(good.as_bytes()), Ok(()), "{good}");
        }
        for bad in [r#"{"a":1,"a":1}"#, r#"{"b":{"a":1,"a":2}}"#, r#"{"b":[{"a":1,"\u0061":2}]}"#] {
            assert_eq!(unique_members(bad.as_bytes()), Err(TokenProblem::Duplicate), "{bad}");
        }
        let deep = format!("{}{}", "[".repeat(4_000), "]".repeat(4_000));
        assert_eq!(unique_members(deep.as_bytes()), Err(TokenProblem::Malformed), "too deep, and no crash");
        assert_eq!(unique_members(b"{\"a\":1e400}"), Err(TokenProblem::Malformed));
    }
}
