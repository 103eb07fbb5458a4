//! Where a command works: the store, the session, and the records that an id's part names.

use std::time::Duration;

use tenantry::tenancy::{ReadIn, Scope};
use tenantry::{Entity, Error, Id, OrganizationSession, Record, Session, Store, TenantSession, Uuid};

use crate::cli::Cli;
use crate::failure::{Failure, Outcome};
use crate::model;
use crate::output::short_id;

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Access {
    Read,
    Write,
    /// Writes, and makes the store if there is none.
    Create,
}

pub(crate) fn open(cli: &Cli, access: Access) -> Outcome<Store> {
    let path = &cli.store;
    if access != Access::Create && !path.exists() {
        return Err(Failure::store(format!(
            "there is no store at {}; `todo import FILE` or `todo users add NAME` makes one, --store PATH names another",
            path.display()
        )));
    }
    let opened = if cli.read_only {
        model::builder().read_only().open(path)
    } else if access == Access::Read {
        // A reader that may also write gets its misses and refusals on record, so that is tried
        // first; but nobody should wait for a writer in order to read.
        match model::builder().open_timeout(Duration::ZERO).open(path) {
            Err(Error::Locked { .. } | Error::ReadOnly { .. }) => model::builder().read_only().open(path),
            opened => opened,
        }
    } else {
        model::builder().open(path)
    };
    opened.map_err(|error| match error {
        // What is wrong with the path or the file is a problem of the store, not of the command.
        Error::InvalidInput { problem, .. } => Failure::store(problem),
        Error::Corrupt { what, .. } => Failure::store(what),
        Error::Schema { problem } => {
            Failure::store(format!("{} is not a store of this app: {problem}", path.display()))
        }
        other => other.into(),
    })
}

/// A session for one's own records, or within an organization.
pub(crate) enum Place {
    Own(TenantSession),
    Shared(OrganizationSession),
}

impl Place {
    pub(crate) fn enter(cli: &Cli, access: Access) -> Outcome<Self> {
        let store = open(cli, access)?;
        let user = cli.user.as_ref().ok_or_else(|| {
            Failure::usage("who are you? Add --as USER or set TODO_USER; `todo users` lists the users")
        })?;
        let session = store.session(user)?;
        Ok(match &cli.org {
            None => Place::Own(session),
            Some(organization) => Place::Shared(session.in_organization(organization)?),
        })
    }
}

/// What a user types for an id: all of it, or the beginning or end of its digits.
#[derive(Debug, Clone)]
pub(crate) enum IdPart {
    Whole(Uuid),
    Digits(String),
}

impl IdPart {
    pub(crate) fn parse(text: &str) -> Outcome<Self> {
        if let Ok(uuid) = text.parse() {
            return Ok(IdPart::Whole(uuid));
        }
        let digits = text.replace('-', "").to_ascii_lowercase();
        if digits.len() < 4 || digits.len() > 32 || !digits.chars().all(|c| c.is_ascii_hexdigit()) {
            return Err(Failure::usage(format!(
                "{text:?} is no id: give at least 4 of its hexadecimal digits, from its beginning or end"
            )));
        }
        Ok(IdPart::Digits(digits))
    }

    pub(crate) fn matches(&self, id: Uuid) -> bool {
        match self {
            IdPart::Whole(uuid) => *uuid == id,
            IdPart::Digits(digits) => {
                let id = id.simple().to_string();
                id.starts_with(digits) || id.ends_with(digits)
            }
        }
    }

    pub(crate) fn not_found(&self, what: &str) -> Failure {
        let id = match self {
            IdPart::Whole(uuid) => uuid.to_string(),
            IdPart::Digits(digits) => digits.clone(),
        };
        Failure::refused(format!(
            "you have no {what} {id}; `todo list` and `todo note list` show the ids (shared ones with --org)"
        ))
    }

    /// An error if several ids fit.
    pub(crate) fn only<T>(&self, mut found: Vec<T>, id: impl Fn(&T) -> Uuid) -> Outcome<Option<T>> {
        if found.len() > 1 {
            let ids: Vec<String> = found.iter().take(5).map(|one| short_id(id(one))).collect();
            return Err(Failure::refused(format!(
                "that id fits {} records ({}{}); give more of its digits",
                found.len(),
                ids.join(", "),
                if found.len() > 5 { ", …" } else { "" }
            )));
        }
        Ok(found.pop())
    }
}

pub(crate) fn find<S, E>(session: &Session<S>, part: &IdPart) -> Outcome<Option<Record<E>>>
where
    S: Scope,
    E::Tenancy: ReadIn<S>,
    E: Entity,
{
    if let IdPart::Whole(uuid) = part {
        return Ok(session.find(Id::<E>::from_uuid(*uuid))?);
    }
    let mut found = Vec::new();
    for record in session.query::<E>().iter()? {
        let record = record?;
        if part.matches(record.id.uuid()) {
            found.push(record);
        }
    }
    part.only(found, |record| record.id.uuid())
}
