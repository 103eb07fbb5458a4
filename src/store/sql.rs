//! Connections for tenants' own SQL, lent to sessions: kept by scope, least recently used first to go, and ended by
//! a change of what they were made of.

use std::collections::HashMap;
use std::sync::PoisonError;
use std::time::Duration;

use rusqlite::Connection;

use super::inner::{Inner, is_home};
use super::part::Part;
use super::pool::{Lent, Pool, Texts};
use super::spread::Place;
use crate::entity::Tenancy;
use crate::error::{Error, Result};
use crate::identity::TenantKey;
use crate::schema::{self, identities};
use crate::scope::Scope;
use crate::sql::{Bound, FixedLimits, IsHome, Key, Seen, SqlLimits, Unfit};
use crate::statement::log_view;
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicU64, Ordering};

/// What moves to a session and back is a pointer.
pub(super) type SqlPool = Pool<Key, Box<Bound>>;

const TEXTS: Texts = Texts {
    share: "this user or organization has its share of the SQL connections in use; end streams that are done, or raise `Builder::sql_connections`",
    all: "every SQL connection is in use; try again",
};

pub(super) fn pool(size: u32, wait_max: Duration) -> std::sync::Arc<SqlPool> {
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    SqlPool::new(size, SqlPool::share_of(size), wait_max, TEXTS)
}

/// Takes out of a file what `ANALYZE` put there, which another tool must have called.
fn drop_statistics(part: &Part, lane: TenantKey) -> Result<()> {
    if part.is_read_only() {
        return Err(Error::ReadOnly {
            reason: "the file holds statistics of `ANALYZE`, which hold values of all tenants and would choose the plans of their SQL; open it for writing and ask there once, or drop the tables sqlite_stat1 and sqlite_stat4".to_owned(),
        });
    }
    tracing::warn!("another tool has run ANALYZE on the store's file; its statistics are dropped");
    part.committer()?.exclusive(lane, |writer| schema::drop_statistics(writer.connection()))
}

/// How often what an organization's connections were made of has changed: its members, and the names of users.
#[derive(Default)]
pub(super) struct Generations {
    all: AtomicU64,
    own: Mutex<HashMap<TenantKey, u64>>,
}

impl Generations {
    fn of(&self, home: TenantKey) -> (u64, u64) {
        let own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        (self.all.load(Ordering::Acquire), own.get(&home).copied().unwrap_or(0))
    }

    /// Something of a user or an organization has changed.
    pub(super) fn advance(&self, home: TenantKey) {
        *self.own.lock().unwrap_or_else(PoisonError::into_inner).entry(home).or_default() += 1;
    }

    /// Something that any organization may show has changed.
    pub(super) fn advance_all(&self) {
        self.all.fetch_add(1, Ordering::AcqRel);
    }
}

/// A connection that is lent; dropping it gives it back.
pub(crate) struct SqlReader {
    lent: Lent<Key, Box<Bound>>,
    /// Keeps the file open, and the tenant in it.
    place: Option<Place>,
    /// Whether it may serve the scope again.
    keep: bool,
}

impl SqlReader {
    pub(crate) fn bound(&self) -> Result<&Bound> {
        self.lent.connection.as_deref().ok_or(Error::Closed)
    }

    /// Closes the connection.
    pub(crate) fn discard(mut self) {
        self.keep = false;
    }

    /// Says of which file an error speaks.
    pub(crate) fn name_in(&self, error: Error) -> Error {
        match &self.place {
            Some(place) => place.part.name_in(error),
            None => error,
        }
    }
}

impl Drop for SqlReader {
    fn drop(&mut self) {
        if !self.keep {
            self.lent.connection = None;
        }
    }
}

impl Inner {
    /// A connection for a scope's own SQL; waits until it is the tenant's turn.
    pub(crate) fn sql(&self, scope: &Scope, fixed: FixedLimits) -> Result<SqlReader> {
        self.check_open()?;
        self.at_home(scope.lane(), || self.sql_of(scope, fixed))
    }

    /// None if another process has moved the tenant meanwhile.
    fn sql_of(&self, scope: &Scope, fixed: FixedLimits) -> Result<Option<SqlReader>> {
        let lane = scope.lane();
        let place = self.place(lane)?;
        let part = self.part(&place);
        let key = Key { tenants: scope.tenants(), fixed };
        let mut lent = part.sql.get(lane, key).map_err(|error| part.name_in(error))?;
        // Only an organization's connections show what changes outside of its records.
        let generation =
            scope.organization_key().map_or((0, 0), |organization| self.generations.of(organization));
        lent.connection = lent.connection.take().filter(|bound| bound.generation == generation);
        if lent.connection.is_none() {
            let home = |connection: &Connection| is_home(connection, lane);
            let looked_up = self.is_moved_by_others().then_some(&home as IsHome<'_>);
            let opened = Bound::open(part.file(), &self.seen(scope)?, fixed, generation, looked_up);
            match opened.map_err(|error| part.name_in(error))? {
                Ok(bound) => lent.connection = Some(Box::new(bound)),
                Err(Unfit::NotAtHome) => return Ok(None),
                Err(Unfit::Statistics) => {
                    drop(lent);
                    drop_statistics(part, lane)?;
                    return self.sql_of(scope, fixed);
                }
            }
        }
        // What another process changes, nobody says here: who the members are, and where the tenant lives.
        let keep = !self.is_read_only() || scope.organization_key().is_none() && !self.is_spread();
        Ok(Some(SqlReader { lent, place, keep }))
    }

    /// What a scope's statements see: the entities that its verbs read, the log, an organization's members.
    fn seen(&self, scope: &Scope) -> Result<Seen> {
        let mut views = Vec::new();
        for table in self.catalog().tables() {
            // Entities that the session does not reach are not there.
            if let Ok(reach) = scope.reads(table.definition.tenancy()) {
                views.push(table.view(reach));
            }
        }
        let log = |name: &str, tenant: TenantKey, tenancy: Tenancy| {
            let tables = self.catalog().tables().iter().map(|table| &**table);
            log_view(name, tenant, tables.filter(|table| table.definition.tenancy() == tenancy))
        };
        let members = match scope {
            Scope::User { key, .. } => {
                views.push(log("audit", *key, Tenancy::User));
                None
            }
            Scope::Organization { organization_key, member_key, .. } => {
                views.push(log("audit", *organization_key, Tenancy::Organization));
                views.push(log("private_audit", *member_key, Tenancy::Member));
                let all = |connection: &Connection| {
                    identities::members(connection, *organization_key, None, u32::MAX)
                };
                Some(self.read(all)?)
            }
            Scope::Administered { key, name, .. } => {
                views.push(log("audit", *key, name.tenancy()));
                None
            }
            Scope::Reference => {
                views.push(log("audit", TenantKey::REFERENCE, Tenancy::Reference));
                None
            }
        };
        Ok(Seen { views, members })
    }

    /// What a statement may take, unless the session says otherwise.
    pub(crate) fn sql_limits(&self) -> SqlLimits {
        self.sql_limits
    }
}
