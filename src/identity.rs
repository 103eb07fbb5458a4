//! Who exists: users, organizations, memberships and roles, and the keys they are interned to.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::entity::Tenancy;
use crate::error::{Error, Result};

/// The longest id, in bytes of UTF-8.
const ID_BYTES_MAX: usize = 255;

/// Non-empty, at most 255 bytes of UTF-8, no control characters.
fn validate_id(field: &'static str, id: &str) -> Result<()> {
    if id.is_empty() {
        return Err(Error::invalid(field, "an id must not be empty"));
    }
    if id.len() > ID_BYTES_MAX {
        return Err(Error::invalid(
            field,
            format!("an id has at most {ID_BYTES_MAX} bytes, this one has {}", id.len()),
        ));
    }
    if id.chars().any(char::is_control) {
        return Err(Error::invalid(field, "an id must not hold control characters"));
    }
    Ok(())
}

/// A display name: at most 1,000 bytes, no control characters; may be empty.
pub(crate) fn validate_name(name: &str) -> Result<()> {
    if name.len() > 1000 {
        return Err(Error::invalid("name", "a display name has at most 1000 bytes"));
    }
    if name.chars().any(char::is_control) {
        return Err(Error::invalid("name", "a display name must not hold control characters"));
    }
    Ok(())
}

macro_rules! validated_id {
    ($(#[$doc:meta])* $name:ident, $field:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// Validates an id: not empty, at most 255 bytes of UTF-8, no control characters.
            ///
            /// # Errors
            ///
            /// [`Error::InvalidInput`] that says which of the rules is broken.
            pub fn new(id: impl AsRef<str>) -> Result<Self> {
                let id = id.as_ref();
                validate_id($field, id)?;
                Ok(Self(id.into()))
            }

            /// The id as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({:?})", stringify!($name), self.as_str())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = Error;
            fn from_str(id: &str) -> Result<Self> {
                Self::new(id)
            }
        }

        impl TryFrom<String> for $name {
            type Error = Error;
            fn try_from(id: String) -> Result<Self> {
                Self::new(id)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.as_str().to_owned()
            }
        }

        impl AsRef<$name> for $name {
            fn as_ref(&self) -> &$name {
                self
            }
        }
    };
}

validated_id! {
    /// A user's id, validated: not empty, at most 255 bytes of UTF-8, no control characters.
    ///
    /// Ids are compared byte for byte and need not be in a Unicode normal form: `"é"` in one code
    /// point and in two are two ids, as are `"ada"` and `"Ada"`. Normalise before you make one if
    /// your users type them.
    ///
    /// ```
    /// # use tenantry::UserId;
    /// assert!(UserId::new("ada@example.org").is_ok());
    /// assert!(UserId::new("").is_err());
    /// assert!(UserId::new("line\nbreak").is_err());
    /// ```
    UserId, "user"
}

validated_id! {
    /// An organization's id, validated and compared as a [`UserId`] is.
    ///
    /// ```
    /// # use tenantry::OrganizationId;
    /// assert_eq!(OrganizationId::new("acme").unwrap().as_str(), "acme");
    /// ```
    OrganizationId, "organization"
}

/// What a user may do in an organization.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Reads and writes the organization's records.
    Member,
    /// May also manage the organization's members.
    Admin,
}

impl Role {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Role::Member => "member",
            Role::Admin => "admin",
        }
    }

    pub(crate) fn from_stored(text: &str) -> Result<Self> {
        match text {
            "member" => Ok(Role::Member),
            "admin" => Ok(Role::Admin),
            _ => Err(Error::corrupt("the store holds an unknown role")),
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a user may do in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StoreRole {
    /// Reaches their own records, and those of the organizations that they are a member of.
    #[default]
    User,
    /// May also be given an [`AdminSession`](crate::AdminSession).
    Admin,
}

impl StoreRole {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            StoreRole::User => "user",
            StoreRole::Admin => "admin",
        }
    }

    pub(crate) fn from_stored(text: &str) -> Result<Self> {
        match text {
            "user" => Ok(StoreRole::User),
            "admin" => Ok(StoreRole::Admin),
            _ => Err(Error::corrupt("the store holds an unknown role")),
        }
    }
}

impl fmt::Display for StoreRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The owner of rows, by name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TenantName {
    /// A user, who owns records of tenancy `user`.
    User(UserId),
    /// An organization, which owns records of tenancy `organization`.
    Organization(OrganizationId),
    /// A user within an organization, who owns records of tenancy `member`.
    Member {
        /// The organization.
        organization: OrganizationId,
        /// The user, who may have left.
        user: UserId,
    },
}

impl TenantName {
    /// The tenancy of the records that it owns.
    #[must_use]
    pub fn tenancy(&self) -> Tenancy {
        match self {
            TenantName::User(_) => Tenancy::User,
            TenantName::Organization(_) => Tenancy::Organization,
            TenantName::Member { .. } => Tenancy::Member,
        }
    }
}

impl fmt::Display for TenantName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TenantName::User(user) => user.fmt(f),
            TenantName::Organization(organization) => organization.fmt(f),
            TenantName::Member { organization, user } => write!(f, "{user} in {organization}"),
        }
    }
}

/// A user of the store.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct User {
    /// The id, which never changes.
    pub id: UserId,
    /// The display name.
    pub name: String,
    /// What the user may do in the store.
    pub role: StoreRole,
    /// Whether sessions are refused.
    pub disabled: bool,
    /// When the user was created.
    pub created: Timestamp,
}

impl AsRef<UserId> for User {
    fn as_ref(&self) -> &UserId {
        &self.id
    }
}

/// An organization of the store.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Organization {
    /// The id, which never changes.
    pub id: OrganizationId,
    /// The display name.
    pub name: String,
    /// Whether sessions are refused.
    pub disabled: bool,
    /// When the organization was created.
    pub created: Timestamp,
}

impl AsRef<OrganizationId> for Organization {
    fn as_ref(&self) -> &OrganizationId {
        &self.id
    }
}

/// A user within an organization.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Membership {
    /// The user.
    pub user: UserId,
    /// The user's display name.
    pub name: String,
    /// The user's role in the organization.
    pub role: Role,
    /// When the user first joined.
    pub created: Timestamp,
}

/// Why an administrator acts: not empty, at most 1,000 bytes, no control characters.
pub(crate) fn validate_reason(reason: &str) -> Result<()> {
    if reason.trim().is_empty() {
        return Err(Error::invalid("reason", "say why: it stands in the log of whoever is concerned"));
    }
    if reason.len() > 1000 {
        return Err(Error::invalid("reason", "a reason has at most 1000 bytes"));
    }
    if reason.chars().any(char::is_control) {
        return Err(Error::invalid("reason", "a reason must not hold control characters"));
    }
    Ok(())
}

/// Random bytes by which logs name a user: `_actor` in `schema.sql`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct Mark(pub(crate) [u8; 16]);

impl rusqlite::ToSql for Mark {
    fn to_sql(&self) -> rusqlite::Result<rusqlite::types::ToSqlOutput<'_>> {
        self.0.to_sql()
    }
}

impl rusqlite::types::FromSql for Mark {
    fn column_result(value: rusqlite::types::ValueRef<'_>) -> rusqlite::types::FromSqlResult<Self> {
        <[u8; 16]>::column_result(value).map(Mark)
    }
}

/// An invitation to become a member of an organization.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Invitation {
    /// The organization.
    pub organization: OrganizationId,
    /// The organization's display name.
    pub organization_name: String,
    /// Who is invited; a user of this id need not exist yet.
    pub user: UserId,
    /// The role that they will have.
    pub role: Role,
    /// When they were invited.
    pub created: Timestamp,
    /// Until when they can accept.
    pub expires: Option<Timestamp>,
}

/// The owner of rows as a small integer, never reused and never shown to a tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct TenantKey(i64);

impl TenantKey {
    /// The owner of reference rows: nobody.
    pub(crate) const REFERENCE: TenantKey = TenantKey(0);

    /// Rows are numbered `tenant << 40 | number`, which leaves 23 bits for the tenant.
    pub(crate) const NUMBER_BITS: u32 = 40;
    pub(crate) const MAX: i64 = (1 << 23) - 1;

    /// From the `_tenant` table, and nowhere else.
    pub(crate) fn from_stored(key: i64) -> Result<Self> {
        if (0..=Self::MAX).contains(&key) {
            Ok(TenantKey(key))
        } else {
            Err(Error::corrupt("the store holds a tenant key out of range"))
        }
    }

    pub(crate) fn get(self) -> i64 {
        self.0
    }

    /// The first key of this tenant's range in a table keyed `tenant << 40 | number`.
    pub(crate) fn first(self) -> i64 {
        self.0 << Self::NUMBER_BITS
    }

    /// The last key of this tenant's range.
    pub(crate) fn last(self) -> i64 {
        self.first() | ((1 << Self::NUMBER_BITS) - 1)
    }

    /// The key of this tenant's row or entry of a number.
    pub(crate) fn at(self, number: i64) -> Result<i64> {
        if (1..1 << Self::NUMBER_BITS).contains(&number) {
            Ok(self.first() | number)
        } else {
            Err(Error::LimitExceeded {
                limit: "rows per tenant",
                problem: "a tenant can number 2^40 rows of an entity".to_owned(),
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_validated() {
        assert!(UserId::new("a".repeat(255)).is_ok());
        assert!(UserId::new("a".repeat(256)).is_err());
        assert!(UserId::new("é".repeat(128)).is_err(), "bytes count, not characters");
        for bad in ["", "a\0b", "a\u{7f}", "a\u{85}b", "\n"] {
            assert!(UserId::new(bad).is_err(), "{bad:?}");
        }
        assert_ne!(UserId::new("\u{e9}").unwrap(), UserId::new("e\u{301}").unwrap());
        assert!(serde_json::from_str::<UserId>("\"\"").is_err(), "deserialising validates too");
    }

    #[test]
    fn ranges_of_tenants_do_not_meet() {
        let (a, b) = (TenantKey(7), TenantKey(8));
        assert!(a.last() < b.first());
        assert_eq!(a.at(1).unwrap() >> TenantKey::NUMBER_BITS, 7);
        assert!(a.at(0).is_err() && a.at(1 << 40).is_err());
        assert!(TenantKey(TenantKey::MAX).last() > 0);
    }
}
