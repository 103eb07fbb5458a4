//! How many rows and bytes a tenant may have of an entity.

use std::fmt;

use crate::error::{Error, Result};

/// How many rows of an entity a tenant may have, and how many bytes.
///
/// [`Builder::quota`](crate::Builder::quota) sets what every tenant may have of an entity, and
/// [`Users::set_quota`](crate::Users::set_quota),
/// [`Organizations::set_quota`](crate::Organizations::set_quota) and
/// [`Organizations::set_member_quota`](crate::Organizations::set_member_quota) what one tenant may
/// have instead. A tenant's quota is about its own rows alone, so it tells nothing of others.
///
/// **Only growth is refused**, with [`Error::QuotaExceeded`]: a verb that ends above the quota and
/// has added to the number that is above it. Deleting, with all that goes along, and updates to what
/// is not larger always work, also where the quota is lower than what is there already. A refused
/// verb changes nothing, and in a transaction the transaction goes on.
///
/// Each verb counts by itself, also within a transaction. `insert_many` is refused at the first row
/// that does not fit. A bulk change counts when all of its records are changed, so their order does
/// not matter.
///
/// A row counts 64 bytes and its values: text, bytes and nested values their length in bytes, UUIDs and
/// references 16, no value 0, all others 8.
///
/// ```
/// use tenantry::{Entity, Error, Quota, QuotaKind, Store, UserId};
///
/// #[derive(Entity)]
/// struct Photo {
///     image: Vec<u8>,
/// }
///
/// # fn main() -> tenantry::Result<()> {
/// let quota = Quota::none().rows(100).bytes(10_000);
/// let store = Store::builder().entity::<Photo>().quota(Photo::ENTITY_NAME, quota).temporary()?;
/// let ada = store.users().create(&UserId::new("ada")?)?;
/// let session = store.session(&ada)?;
/// session.insert(&Photo { image: vec![0; 9_000] })?;
///
/// let large = Photo { image: vec![0; 2_000] };
/// let refused = session.insert(&large);
/// assert!(matches!(refused, Err(Error::QuotaExceeded { what: QuotaKind::Bytes, max: 10_000, .. })));
/// assert_eq!(session.count::<Photo>()?, 1);
///
/// store.users().set_quota(&ada, Photo::ENTITY_NAME, Some(quota.bytes(20_000)))?;
/// session.insert(&large)?;
/// assert_eq!(store.users().usage(&ada, Photo::ENTITY_NAME)?.bytes, 9_000 + 2_000 + 2 * 64);
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Quota {
    /// The most rows; `None` for no limit.
    pub rows: Option<u64>,
    /// The most bytes; `None` for no limit.
    pub bytes: Option<u64>,
}

impl Quota {
    /// No limit.
    #[must_use]
    pub const fn none() -> Self {
        Self { rows: None, bytes: None }
    }

    /// At most so many rows.
    #[must_use]
    pub const fn rows(mut self, max: u64) -> Self {
        self.rows = Some(max);
        self
    }

    /// At most so many bytes.
    #[must_use]
    pub const fn bytes(mut self, max: u64) -> Self {
        self.bytes = Some(max);
        self
    }

    /// As the file and the log hold it: the greatest integer for no limit, which nobody can reach.
    pub(crate) fn stored(self) -> (i64, i64) {
        let stored = |max: Option<u64>| max.and_then(|max| i64::try_from(max).ok()).unwrap_or(i64::MAX);
        (stored(self.rows), stored(self.bytes))
    }

    pub(crate) fn from_stored(rows: i64, bytes: i64) -> Result<Self> {
        let max = |stored: i64| match u64::try_from(stored) {
            Err(_) => Err(Error::corrupt("the store holds a negative quota")),
            Ok(_) if stored == i64::MAX => Ok(None),
            Ok(max) => Ok(Some(max)),
        };
        Ok(Self { rows: max(rows)?, bytes: max(bytes)? })
    }
}

/// What of a [`Quota`] a change would exceed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum QuotaKind {
    /// The number of rows.
    Rows,
    /// Their bytes.
    Bytes,
}

impl fmt::Display for QuotaKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            QuotaKind::Rows => "rows",
            QuotaKind::Bytes => "bytes",
        })
    }
}

/// What a tenant has of an entity, and may have. Made by [`Users::usage`](crate::Users::usage),
/// [`Organizations::usage`](crate::Organizations::usage) and
/// [`Organizations::member_usage`](crate::Organizations::member_usage).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Usage {
    /// The rows there are.
    pub rows: u64,
    /// The bytes that they count.
    pub bytes: u64,
    /// The quota that holds: the tenant's own, or else the entity's.
    pub quota: Quota,
    /// Whether it is the tenant's own.
    pub own: bool,
}
