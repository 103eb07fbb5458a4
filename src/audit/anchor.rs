//! What can be kept elsewhere of a log, to find later what the log alone can't show: that its end was
//! cut off, or that all of it was written anew.

use std::fmt::{self, Write as _};
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::chain::Hash;
use crate::error::{Error, Result};
use crate::identity::{OrganizationId, TenantName, UserId};

/// What the text form begins with; another encoding would have another number.
const FORM: &str = "tenantry-anchor-1";
/// Bytes of the checksum, which is against mistakes in copying and not against forgery.
const CHECK_BYTES: usize = 8;

/// Whose log it is.
///
/// As text it is `user:ada`, `organization:acme`, `member:acme/ada` or `reference`. Bytes of ids other
/// than letters, digits and `-._~@` are written `%` and two hexadecimal digits.
///
/// ```
/// # use tenantry::{LogName, TenantName, UserId};
/// let log = LogName::Tenant(TenantName::User(UserId::new("ada l")?));
/// assert_eq!(log.to_string(), "user:ada%20l");
/// # Ok::<(), tenantry::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LogName {
    /// A tenant's own.
    Tenant(TenantName),
    /// That of the reference entities.
    Reference,
}

impl fmt::Display for LogName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LogName::Tenant(TenantName::User(user)) => write!(f, "user:{}", escaped(user.as_str())),
            LogName::Tenant(TenantName::Organization(organization)) => {
                write!(f, "organization:{}", escaped(organization.as_str()))
            }
            LogName::Tenant(TenantName::Member { organization, user }) => {
                write!(f, "member:{}/{}", escaped(organization.as_str()), escaped(user.as_str()))
            }
            LogName::Reference => f.write_str("reference"),
        }
    }
}

impl FromStr for LogName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let unknown = || Error::invalid("log", "is not the name of a log, such as `user:ada`");
        let id = |text: &str| unescaped(text).ok_or_else(unknown);
        if text == "reference" {
            return Ok(LogName::Reference);
        }
        Ok(LogName::Tenant(match text.split_once(':').ok_or_else(unknown)? {
            ("user", user) => TenantName::User(UserId::new(id(user)?)?),
            ("organization", organization) => {
                TenantName::Organization(OrganizationId::new(id(organization)?)?)
            }
            ("member", both) => {
                let (organization, user) = both.split_once('/').ok_or_else(unknown)?;
                let organization = OrganizationId::new(id(organization)?)?;
                TenantName::Member { organization, user: UserId::new(id(user)?)? }
            }
            _ => return Err(unknown()),
        }))
    }
}

/// A point in a log, to be kept elsewhere. Made by [`Audit::head`](crate::Audit::head) and given to
/// [`Audit::verify_against`](crate::Audit::verify_against).
///
/// Its text form is one line that can be printed, mailed, or written to another system, with a checksum
/// against mistakes in copying; spaces and line breaks between its words do not matter. It tells no
/// content of the log. It is not secret, and it is worth something only where whoever can write the
/// store's file can't write it.
///
/// ```
/// use tenantry::{Anchor, Store, UserId};
///
/// # fn main() -> tenantry::Result<()> {
/// let store = Store::temporary()?;
/// let session = store.session(&store.users().create(&UserId::new("ada")?)?)?;
/// let kept: String = session.audit().head()?.to_string();
/// // Much later.
/// let anchor: Anchor = kept.parse()?;
/// assert!(session.audit().verify_against(&anchor)?.is_intact());
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[non_exhaustive]
pub struct Anchor {
    /// Whose log it is of.
    pub log: LogName,
    /// The log's origin: random bytes that stand before its first entry.
    pub origin: [u8; 32],
    /// The number of the newest entry; 0 if there was none.
    pub number: u64,
    /// The hash of that entry; the origin if there was none.
    pub hash: [u8; 32],
    /// When the anchor was made, in microseconds.
    pub time: Timestamp,
}

impl Anchor {
    /// The text without its checksum.
    fn unchecked(&self) -> String {
        let mut text = format!("{FORM} {} {} {} ", self.log, self.number, self.time);
        hex(&mut text, &self.origin);
        text.push(' ');
        hex(&mut text, &self.hash);
        text
    }
}

impl fmt::Display for Anchor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = self.unchecked();
        let check = Sha256::digest(&text);
        text.push(' ');
        hex(&mut text, &check[..CHECK_BYTES]);
        f.write_str(&text)
    }
}

impl FromStr for Anchor {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let damaged =
            || Error::invalid("anchor", "is not an anchor as it was written; look for the original");
        let words: Vec<&str> = text.split_ascii_whitespace().collect();
        let [FORM, log, number, time, origin, hash, _] = words[..] else { return Err(damaged()) };
        let anchor = Self {
            log: log.parse().map_err(|_| damaged())?,
            origin: unhex(origin).ok_or_else(damaged)?,
            number: number.parse().map_err(|_| damaged())?,
            hash: unhex(hash).ok_or_else(damaged)?,
            time: time.parse().map_err(|_| damaged())?,
        };
        // With the checksum, and in the one way in which each is written.
        if anchor.to_string() == words.join(" ") { Ok(anchor) } else { Err(damaged()) }
    }
}

impl TryFrom<String> for Anchor {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Anchor> for String {
    fn from(anchor: Anchor) -> String {
        anchor.to_string()
    }
}

fn hex(text: &mut String, bytes: &[u8]) {
    for byte in bytes {
        // Writing to a `String` never fails.
        let _ = write!(text, "{byte:02x}");
    }
}

fn unhex(text: &str) -> Option<Hash> {
    let mut bytes = [0; 32];
    if text.len() != 2 * bytes.len() || !text.is_ascii() {
        return None;
    }
    for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = u8::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(bytes)
}

fn escaped(id: &str) -> String {
    let mut text = String::with_capacity(id.len());
    for byte in id.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~@".contains(&byte) {
            text.push(char::from(byte));
        } else {
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}

fn unescaped(text: &str) -> Option<String> {
    let (mut bytes, mut rest) = (Vec::with_capacity(text.len()), text.bytes());
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let digits = [rest.next()?, rest.next()?];
                u8::from_str_radix(str::from_utf8(&digits).ok()?, 16).ok()?
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn anchor(log: LogName, number: u64) -> Anchor {
        let time = Timestamp::from_microsecond(1_700_000_000_123_456).unwrap();
        Anchor { log, origin: [0xa5; 32], number, hash: [0x0f; 32], time }
    }

    fn id() -> impl Strategy<Value = String> {
        "[^\\p{Cc}]{1,40}".prop_filter("too long", |id| id.len() <= 255)
    }

    fn log() -> impl Strategy<Value = LogName> {
        prop_oneof![
            Just(LogName::Reference),
            id().prop_map(|id| LogName::Tenant(TenantName::User(UserId::new(id).unwrap()))),
            id().prop_map(|id| LogName::Tenant(TenantName::Organization(OrganizationId::new(id).unwrap()))),
            (id(), id()).prop_map(|(organization, user)| LogName::Tenant(TenantName::Member {
                organization: OrganizationId::new(organization).unwrap(),
                user: UserId::new(user).unwrap(),
            })),
        ]
    }

    #[test]
    fn the_text_is_the_one_that_is_documented() {
        let text = anchor(LogName::Tenant(TenantName::User(UserId::new("ada/é").unwrap())), 7).to_string();
        let (form, check) = text.rsplit_once(' ').unwrap();
        assert_eq!(
            form,
            format!(
                "tenantry-anchor-1 user:ada%2F%C3%A9 7 2023-11-14T22:13:20.123456Z {} {}",
                "a5".repeat(32),
                "0f".repeat(32)
            )
        );
        assert_eq!(check.len(), 16);
    }

    proptest! {
        #[test]
        fn an_anchor_is_read_as_it_was_written(log in log(), number in any::<u64>()) {
            let anchor = anchor(log, number);
            let text = anchor.to_string();
            prop_assert!(!text.contains(['\n', '\r']), "one line");
            prop_assert_eq!(&text.parse::<Anchor>().unwrap(), &anchor);
            let mailed = format!("\r\n  {}\r\n", text.replace(' ', "\r\n\t"));
            prop_assert_eq!(&mailed.parse::<Anchor>().unwrap(), &anchor);
            let json = serde_json::to_string(&anchor).unwrap();
            prop_assert_eq!(serde_json::from_str::<Anchor>(&json).unwrap(), anchor);
        }

        #[test]
        fn a_text_with_a_mistake_is_refused(log in log(), at in any::<prop::sample::Index>(), other in any::<char>()) {
            let text = anchor(log, 12_345).to_string();
            let mut characters: Vec<char> = text.chars().collect();
            let at = at.index(characters.len());
            prop_assume!(characters[at] != other && !(characters[at] == ' ' && other.is_ascii_whitespace()));
            characters[at] = other;
            let changed: String = characters.iter().collect();
            prop_assert!(changed.parse::<Anchor>().is_err(), "{changed}");
            characters.remove(at);
            prop_assert!(characters.iter().collect::<String>().parse::<Anchor>().is_err());
            prop_assert!(text[..at].parse::<Anchor>().is_err());
        }
    }
}
