//! The one error type: what happened, where, and what to do.

use std::path::PathBuf;

use crate::quota::QuotaKind;

/// The result of every fallible call.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A boxed cause, as [`std::error::Error::source`] returns it.
pub(crate) type Cause = Box<dyn std::error::Error + Send + Sync>;

/// What went wrong, where, and what to do about it.
///
/// Match on the variant; the text is for people and may change. No text ever holds another
/// tenant's data or the value of a secret column.
///
/// [`source`](std::error::Error::source) is empty for errors of constraints, access and SQL, since
/// SQLite's own text names hidden tables; it holds the cause for I/O and damage.
///
/// ```
/// use tenantry::{Error, UserId};
/// # fn main() -> tenantry::Result<()> {
/// let store = tenantry::Store::temporary()?;
/// let nobody = UserId::new("nobody")?;
/// assert!(matches!(store.session(&nobody), Err(Error::UnknownUser { .. })));
/// # Ok(()) }
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No such record. A record of another tenant and a record that does not exist are the same.
    #[error("no {entity} has this id")]
    NotFound {
        /// The entity that was searched.
        entity: String,
    },
    /// [`Query::one`](crate::Query::one) found more than one record.
    #[error("more than one {entity} matches; narrow the filter or use `first`")]
    NotUnique {
        /// The entity that was searched.
        entity: String,
    },
    /// The record has another version than the one that the change expected.
    #[error(
        "the {entity} has version {actual}, not {expected}: it changed since it was read; read it again and repeat the change"
    )]
    Conflict {
        /// The entity of the record.
        entity: String,
        /// The version that the caller named.
        expected: u64,
        /// The version that the record has.
        actual: u64,
    },
    /// Another record of the same tenant already has these values.
    #[error("another {entity} already has this {}", columns.join(", "))]
    Unique {
        /// The entity of the record.
        entity: String,
        /// The columns that have to be unique together.
        columns: Vec<String>,
    },
    /// A reference names a record that is not there, or a record is still referred to.
    #[error("{entity}.{column}: {problem}")]
    Reference {
        /// The entity that holds the reference.
        entity: String,
        /// The column that holds it.
        column: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The database refused a value that no more exact error describes.
    #[error("a constraint of {entity} refused the change")]
    Constraint {
        /// The entity of the record.
        entity: String,
    },
    /// A value, name or argument that cannot be accepted.
    #[error("{field}: {problem}")]
    InvalidInput {
        /// The field, column or argument.
        field: String,
        /// What is wrong with it and what would be right.
        problem: String,
    },
    /// The session does not reach this entity or may not do this.
    #[error("access denied: {reason}")]
    AccessDenied {
        /// Why, in the caller's own terms.
        reason: String,
    },
    /// No user has this id.
    #[error("there is no user {user:?}; create it with `store.users().create(..)`")]
    UnknownUser {
        /// The id that was asked for.
        user: String,
    },
    /// No organization has this id. Only calls on the store itself tell so; a session is told
    /// [`NotMember`](Error::NotMember) whether or not the organization exists.
    #[error("there is no organization {organization:?}; create it with `store.organizations().create(..)`")]
    UnknownOrganization {
        /// The id that was asked for.
        organization: String,
    },
    /// A user or organization with this id exists already.
    #[error("{id:?} exists already")]
    Exists {
        /// The id that is taken.
        id: String,
    },
    /// The user is not a member of the organization, or no longer.
    #[error("{user:?} is not a member of {organization:?}")]
    NotMember {
        /// The user.
        user: String,
        /// The organization.
        organization: String,
    },
    /// There is no open invitation, whether or not the organization exists.
    #[error("{user:?} has no open invitation of {organization:?}")]
    NotInvited {
        /// The user.
        user: String,
        /// The organization.
        organization: String,
    },
    /// The user or organization is disabled.
    #[error("{id:?} is disabled")]
    Disabled {
        /// The id of the user or organization.
        id: String,
    },
    /// A bearer token was refused. The text says no more, since it may reach whoever sent the token; the reason is for
    /// the application's operator.
    #[error("the token was refused")]
    Token {
        /// What is wrong with it.
        reason: TokenProblem,
    },
    /// The token from which the session was made has expired; nothing of the call was kept.
    #[error("the session's token has expired; begin a new session with a new one")]
    Expired,
    /// The store is open for writing elsewhere.
    #[error("{} is open for writing {holder}", path.display())]
    Locked {
        /// The store's file.
        path: PathBuf,
        /// Who holds it, and what to do.
        holder: &'static str,
    },
    /// The store's encryption key is missing or another one, or there is nothing to use one for.
    #[error("{}: {problem}", path.display())]
    Key {
        /// The store's file.
        path: PathBuf,
        /// What is wrong with the key.
        problem: KeyProblem,
    },
    /// The store is busy; the call changed nothing and may be repeated.
    #[error("busy: {reason}")]
    Busy {
        /// What it waits for.
        reason: &'static str,
    },
    /// The store, or the folder that holds it, can only be read.
    #[error("{reason}")]
    ReadOnly {
        /// What cannot be written, and what to do.
        reason: String,
    },
    /// The disk, or the room that SQLite has in the file, is full. Nothing of the call was kept.
    #[error("the disk is full; nothing of this call was kept: make room and repeat it")]
    Full,
    /// The operating system failed to read or write. Nothing of the call was kept.
    #[error("input or output failed on {what}")]
    Io {
        /// What was read or written.
        what: String,
        /// The cause.
        source: Cause,
    },
    /// The file is damaged, or is not a store.
    #[error("{what}")]
    Corrupt {
        /// What is wrong with the file, and what to do.
        what: String,
        /// The cause, where there is one.
        source: Option<Cause>,
    },
    /// The definitions contradict each other or the file.
    #[error("schema: {problem}")]
    Schema {
        /// What is wrong and what to do.
        problem: String,
    },
    /// A statement of a tenant's own SQL is not valid, or meets a value for which it is not.
    #[error("SQL: {problem}")]
    Sql {
        /// What is wrong, in the tenant's own terms: `no such table: taks`.
        problem: String,
    },
    /// A statement was ended by its [`SqlCancel`](crate::SqlCancel).
    #[error("the statement was cancelled")]
    Cancelled,
    /// A limit was reached.
    #[error("{limit}: {problem}")]
    LimitExceeded {
        /// The limit's name.
        limit: &'static str,
        /// What reached it and what to do.
        problem: String,
    },
    /// The call would take the tenant's rows of an entity above their [`Quota`](crate::Quota).
    /// Nothing of it was kept; a transaction goes on.
    #[error(
        "the quota of {entity} is {max} {what} and this would make it {total}; nothing of this call was kept: delete some first, or have the quota raised"
    )]
    QuotaExceeded {
        /// The entity.
        entity: String,
        /// Whether it is about rows or their bytes.
        what: QuotaKind,
        /// The most that the tenant may have.
        max: u64,
        /// What it would have had.
        total: u64,
    },
    /// A bundle can not be imported. Nothing of it was kept.
    #[error("the bundle is not taken in: {problem}")]
    Bundle {
        /// Why.
        problem: crate::BundleProblem,
    },
    /// A transaction's closure gave up with an error of its own, made by [`Error::aborted`].
    #[error("the transaction was given up: {source}")]
    Aborted {
        /// The closure's own error.
        source: Cause,
    },
    /// The store was closed.
    #[error("the store is closed; open it again")]
    Closed,
}

/// What is wrong with the key of a store.
///
/// ```
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("app.db");
/// // What an encrypted store looks like from outside: random bytes, in pages of 4 KiB.
/// std::fs::write(&path, [0x5a; 8192]).unwrap();
/// let error = tenantry::Store::open(&path).unwrap_err();
/// assert!(matches!(error, tenantry::Error::Key { .. }), "{error}");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyProblem {
    /// The file is not encrypted with this key; or it is damaged at its beginning, or no store, which nobody can
    /// tell apart without the right key.
    Wrong,
    /// The file seems to be encrypted, and no key was given.
    Missing,
    /// A key was given for a store that is not encrypted.
    NotEncrypted,
    /// The file seems to be encrypted, and this program was built without the feature `sqlcipher`.
    Unsupported,
}

impl std::fmt::Display for KeyProblem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Wrong => "the encryption key is not the one of this file, or the file is damaged or no store",
            Self::Missing => {
                "this seems to be an encrypted store: give its key with `Builder::encryption_key`; without it there is no way to tell"
            }
            Self::NotEncrypted => "the store is not encrypted: open it without a key",
            Self::Unsupported => {
                "this seems to be an encrypted store: build the program with Tenantry's feature `sqlcipher` and give the key"
            }
        })
    }
}

/// Why a token was refused. For whoever runs the application: told to a stranger, it would help to forge a better one.
///
/// Claims are named as the `TokenVerifier` names them, and nothing else of a token is in here.
///
/// ```
/// use tenantry::{Error, TokenProblem};
/// let error = Error::Token { reason: TokenProblem::UnknownKey };
/// assert_eq!(error.to_string(), "the token was refused");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenProblem {
    /// It is longer than any token is read.
    #[error("it is longer than {max} bytes")]
    TooLong {
        /// The most that is read.
        max: usize,
    },
    /// It is not three parts of base64url, of which the first two are JSON objects.
    #[error("it is not a signed token in compact form")]
    Malformed,
    /// It is encrypted, or holds another token.
    #[error("it is encrypted, compressed or nested")]
    Encrypted,
    /// A member of its header or claims is there twice.
    #[error("a member is there twice")]
    Duplicate,
    /// Its header asks for what is not done: an extension, or a key that comes with the token.
    #[error("its header has {member:?}, which is not accepted")]
    Header {
        /// The member.
        member: &'static str,
    },
    /// Its `typ` is that of another kind of token.
    #[error("it is of another type")]
    Type,
    /// Its `alg` is not the algorithm of the key.
    #[error("its algorithm is not that of the key")]
    Algorithm,
    /// It names a key that the set does not have: fetch the set again, but not more often than once in some minutes,
    /// since anybody can send such a token.
    #[error("it names a key that is not in the set")]
    UnknownKey,
    /// It names no key, and the set has several.
    #[error("it names no key, and there are several")]
    UnnamedKey,
    /// The signature does not fit.
    #[error("the signature does not fit")]
    Signature,
    /// A claim that is asked for is not there.
    #[error("the claim {claim:?} is missing")]
    Missing {
        /// The claim.
        claim: String,
    },
    /// A claim has a value of another kind than it should.
    #[error("the claim {claim:?} has no valid value")]
    Claim {
        /// The claim.
        claim: String,
    },
    /// It has expired.
    #[error("it has expired")]
    Expired,
    /// It is not valid yet.
    #[error("it is not valid yet")]
    NotYet,
    /// It says that it was made in the future.
    #[error("it was made in the future")]
    Future,
    /// It is from somebody else than the verifier trusts.
    #[error("it is from another issuer")]
    Issuer,
    /// It is for somebody else.
    #[error("it is for another audience")]
    Audience,
}

impl Error {
    /// Wraps an application's own error, so that a transaction's closure can return it: the
    /// transaction rolls back and the caller finds it in `source()`.
    ///
    /// ```
    /// # use tenantry::{Store, UserId, Error};
    /// # fn main() -> tenantry::Result<()> {
    /// # let store = Store::temporary()?;
    /// # let ada = store.users().create(&UserId::new("ada")?)?;
    /// let session = store.session(&ada)?;
    /// let outcome = session.transaction(|_| Err::<(), _>(Error::aborted("not today")));
    /// assert!(matches!(outcome, Err(Error::Aborted { .. })));
    /// # Ok(()) }
    /// ```
    pub fn aborted(source: impl Into<Cause>) -> Self {
        Error::Aborted { source: source.into() }
    }

    /// Whether repeating the same call may succeed without changing it.
    ///
    /// ```
    /// assert!(tenantry::Error::Full.is_retryable());
    /// assert!(!tenantry::Error::Closed.is_retryable());
    /// ```
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self, Error::Busy { .. } | Error::Locked { .. } | Error::Full | Error::Io { .. })
    }

    /// A transaction within another one.
    pub(crate) const NESTED: Self =
        Error::Busy { reason: "a transaction is open on this thread; write through its handle" };

    /// What is told whoever would write to the log of a tenant that is not there any more.
    pub(crate) const ERASED: Self =
        Error::Busy { reason: "the user or organization was erased in this moment; look it up again" };

    /// What callers are told whose work was undone because the transaction that they shared ended.
    pub(crate) const LOST: Self = Error::Busy {
        reason: "the transaction was rolled back with others after a failure; nothing of this call was kept: repeat it",
    };

    /// What a caller is told whose work shared a commit that failed for this reason.
    pub(crate) fn for_another(&self) -> Self {
        match self {
            Error::Full => Error::Full,
            _ => Self::LOST,
        }
    }

    pub(crate) fn invalid(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Error::InvalidInput { field: field.into(), problem: problem.into() }
    }

    pub(crate) fn schema(problem: impl Into<String>) -> Self {
        Error::Schema { problem: problem.into() }
    }

    pub(crate) fn corrupt(what: impl Into<String>) -> Self {
        Error::Corrupt { what: what.into(), source: None }
    }

    pub(crate) fn io(what: impl Into<String>, source: impl Into<Cause>) -> Self {
        Error::Io { what: what.into(), source: source.into() }
    }
}

/// The meaning of a SQLite failure outside constraints, from its result code alone
/// (<https://sqlite.org/rescode.html>): its text names tables that a tenant must not learn of.
impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode as Code;
        match error.sqlite_error_code() {
            Some(Code::DiskFull) => Error::Full,
            Some(Code::DatabaseBusy | Code::DatabaseLocked | Code::FileLockingProtocolFailed) => {
                Error::Busy { reason: "another connection holds the database; try again" }
            }
            Some(Code::ReadOnly) => {
                Error::ReadOnly { reason: "the store's file or folder can not be written".to_owned() }
            }
            Some(Code::PermissionDenied | Code::CannotOpen) => {
                Error::io("the store's file", without_text(&error))
            }
            Some(Code::DatabaseCorrupt) => Error::Corrupt {
                what: "the store's file is damaged; restore it from a backup".to_owned(),
                source: Some(without_text(&error)),
            },
            Some(Code::NotADatabase) => Error::Corrupt {
                what: "the file is not a SQLite database, or is encrypted, or was given another key since it was opened".to_owned(),
                source: Some(without_text(&error)),
            },
            Some(Code::TooBig) => Error::LimitExceeded {
                limit: "value size",
                problem: "a value is longer than SQLite can hold".to_owned(),
            },
            Some(Code::ConstraintViolation) => {
                Error::Constraint { entity: "the store's own tables".to_owned() }
            }
            Some(_) => Error::io("the store's database", without_text(&error)),
            None => Error::Corrupt {
                what: "the store's file holds a value of an unexpected type".to_owned(),
                source: None,
            },
        }
    }
}

/// The result code as a cause, without SQLite's message.
fn without_text(error: &rusqlite::Error) -> Cause {
    match error {
        rusqlite::Error::SqliteFailure(code, _) => Box::new(*code),
        _ => "SQLite failed outside a statement".into(),
    }
}
