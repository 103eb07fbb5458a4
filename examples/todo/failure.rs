//! Why a command stops: one line for people, and the exit code.

use std::fmt;

use tenantry::Error;

/// The meaning of the exit codes, as `todo --help` lists them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Exit {
    Refused = 1,
    Usage = 2,
    Store = 3,
}

#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    pub(crate) message: String,
}

pub(crate) type Outcome<T = ()> = Result<T, Failure>;

impl Failure {
    pub(crate) fn refused(message: impl Into<String>) -> Self {
        Self { exit: Exit::Refused, message: message.into() }
    }

    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self { exit: Exit::Usage, message: message.into() }
    }

    pub(crate) fn store(message: impl Into<String>) -> Self {
        Self { exit: Exit::Store, message: message.into() }
    }

    /// Says first what was being done.
    pub(crate) fn within(self, context: impl fmt::Display) -> Self {
        Self { message: format!("{context}: {}", self.message), ..self }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// The library tells programmers what to do next; this tells the app's users.
impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match &error {
            Error::NotFound { entity } => Failure::refused(format!(
                "no {} of yours has this id; `todo list` and `todo note list` show the ids",
                entity.replace('_', " ")
            )),
            Error::Conflict { .. } => Failure::refused(
                "somebody changed it in this moment; look at it again and repeat the command",
            ),
            Error::UnknownUser { user } => Failure::refused(format!(
                "there is no user {user:?}; `todo users` lists them, and `todo users add {user}` adds one"
            )),
            Error::UnknownOrganization { organization } => Failure::refused(format!(
                "there is no organization {organization:?}; `todo orgs` lists them, and `todo orgs add {organization}` adds one"
            )),
            Error::NotMember { user, organization } => Failure::refused(format!(
                "{user:?} is not a member of {organization:?}; an admin of it can add them with `todo orgs join {organization} {user}`"
            )),
            Error::Reference { column, .. } if column == "assignee" => Failure::refused(
                "only a member of the organization can be given a task; `todo orgs` lists them",
            ),
            Error::LimitExceeded { limit: "record size", .. } => {
                Failure::refused("it is larger than the 256 KiB that a record may have; shorten it")
            }
            Error::Disabled { .. }
            | Error::Exists { .. }
            | Error::AccessDenied { .. }
            | Error::Unique { .. }
            | Error::NotUnique { .. }
            | Error::Reference { .. }
            | Error::Constraint { .. }
            | Error::LimitExceeded { .. }
            | Error::QuotaExceeded { .. } => Failure::refused(error.to_string()),
            Error::InvalidInput { .. } => Failure::usage(error.to_string()),
            Error::Locked { path, .. } => Failure::store(format!(
                "{} is being written by another program; wait until it is done (list, show, count and history work meanwhile)",
                path.display()
            )),
            Error::ReadOnly { .. } => Failure::store(
                "the store can only be read here: leave out --read-only, or make the file and its folder writable",
            ),
            Error::Io { what, source } => {
                Failure::store(format!("{what} can not be read or written: {source}"))
            }
            _ => Failure::store(error.to_string()),
        }
    }
}
