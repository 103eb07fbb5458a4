//! Erasing a user or an organization: what goes from a file, in one transaction, and what stays.
//!
//! Rows, their heads and quotas, misses, payloads, ids and names go. Of a log the entries stay, without payloads, so
//! that its chain verifies; an entry that says what went and one that says that the tenant was erased are the last.
//! SQLite only forgets where all that was: `store/scrub.rs` builds the file anew without it.

use std::sync::Arc;

use jiff::Timestamp;
use rusqlite::Connection;
use serde::{Deserialize, Serialize};

use crate::audit::checkpoint::Checkpoint;
use crate::audit::payload::PayloadWriter;
use crate::commit::{self, Actor, Authority, Event, Unit};
use crate::entity::{Tenancy, Value, time_from_micros};
use crate::error::{Error, Result};
use crate::identity::{Mark, Role, TenantKey, UserId};
use crate::schema::{self, Catalog, Rest, identities};
use crate::statement::transfer::delete_until;

/// The action of the last entry of an erased tenant's log.
pub(crate) const ERASE: &str = "tenant.erase";

/// Tables keyed as rows are, of what the store itself notes of a tenant.
const NOTED: [&str; 2] = ["_audit_miss", "_audit_read"];

/// What erasing a user or an organization took away. Made by [`Users::erase`](crate::Users::erase) and
/// [`Organizations::erase`](crate::Organizations::erase).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Erasure {
    /// Records.
    pub rows: u64,
    /// Payloads of logs: what changed, with the values.
    pub payloads: u64,
    /// Whether no byte of it is left in the store's files: neither of this, nor of what was erased before. If not,
    /// it is out of everybody's reach all the same, and [`Store::scrub`](crate::Store::scrub) tries again.
    pub scrubbed: bool,
}

/// How far the store's files are scrubbed of what was erased. Made by [`Store::scrub`](crate::Store::scrub).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Scrub {
    /// Files that were scrubbed.
    pub files: u64,
    /// Files in which something may be left, since somebody still reads what was there before, or since they can't
    /// be opened.
    pub left: u64,
}

impl Scrub {
    /// Whether no byte of what was erased is left in the store's files.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.left == 0
    }
}

/// What went from one file, or from several.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counts {
    pub(crate) rows: u64,
    pub(crate) payloads: u64,
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.rows += other.rows;
        self.payloads += other.payloads;
    }
}

/// Who is erased.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) enum Whose {
    User { key: i64, mark: Mark },
    Organization { key: i64 },
}

impl Whose {
    pub(crate) fn key(self) -> Result<TenantKey> {
        match self {
            Whose::User { key, .. } | Whose::Organization { key } => TenantKey::from_stored(key),
        }
    }

    /// By which logs that came from other stores name it, as the file that says who exists has it.
    pub(crate) fn other_marks(self, connection: &Connection) -> Result<Vec<Mark>> {
        match self {
            Whose::User { mark, .. } => identities::other_marks(connection, mark),
            Whose::Organization { .. } => Ok(Vec::new()),
        }
    }

    fn forget(self, connection: &Connection) -> Result<()> {
        match self {
            Whose::User { mark, .. } => identities::forget_user(connection, self.key()?, mark),
            Whose::Organization { .. } => identities::forget_organization(connection, self.key()?),
        }
    }
}

/// A membership that ends with its user, as the organization's log says it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Ended {
    pub(crate) organization: i64,
    pub(crate) user: UserId,
    pub(crate) role: Role,
}

/// What is to be done in one file where a user or an organization lives or has lived.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Errand {
    whose: Whose,
    /// The tenants whose rows and payloads go, of those that live there.
    tenants: Vec<i64>,
    ended: Option<Ended>,
    /// By which logs that came from other stores name the user.
    marks: Vec<Mark>,
    /// When it was decided, in microseconds.
    time: i64,
    actor: Option<Mark>,
    /// The id behind that mark.
    name: Option<UserId>,
    authority: Option<Authority>,
}

impl Errand {
    pub(crate) fn new(
        whose: Whose,
        tenants: Vec<TenantKey>,
        ended: Option<Ended>,
        time: i64,
        actor: &Actor,
        name: Option<&UserId>,
    ) -> Self {
        let tenants = tenants.into_iter().map(TenantKey::get).collect();
        let (name, authority) = (name.cloned(), actor.admin.as_deref().cloned());
        Self { whose, tenants, ended, marks: Vec::new(), time, actor: actor.user, name, authority }
    }

    /// Also what logs from other stores call the user goes.
    pub(crate) fn naming(self, marks: Vec<Mark>) -> Self {
        Self { marks, ..self }
    }

    /// Takes the id and the name out of a file, and ends memberships.
    pub(crate) fn forget(&self, connection: &Connection) -> Result<()> {
        identities::forget_marks(connection, &self.marks)?;
        self.whose.forget(connection)
    }

    /// Whether logs anywhere may name the user.
    pub(crate) fn is_named_anywhere(&self) -> bool {
        !self.marks.is_empty()
    }

    /// The same where nobody lives of whom something goes.
    pub(crate) fn elsewhere(&self) -> Self {
        Self { tenants: Vec::new(), ended: None, ..self.clone() }
    }

    pub(crate) fn tenants(&self) -> impl Iterator<Item = TenantKey> {
        self.tenants.iter().filter_map(|key| TenantKey::from_stored(*key).ok())
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self> {
        rmp_serde::from_slice(bytes).map_err(|_| Error::corrupt("the catalog holds a damaged intent"))
    }

    pub(crate) fn to_bytes(&self) -> Result<Vec<u8>> {
        rmp_serde::to_vec(self).map_err(|error| Error::io("an intent", error))
    }

    pub(crate) fn time(&self) -> Timestamp {
        time_from_micros(self.time).unwrap_or(Timestamp::UNIX_EPOCH)
    }

    /// Does it, in a transaction that nobody else joins: it puts off foreign keys until the commit.
    pub(crate) fn carry_out(&self, unit: &mut Unit, catalog: &Catalog) -> Result<Counts> {
        if let Some((mark, id)) = self.actor.zip(self.name.as_ref()) {
            identities::name_actor(unit.connection()?, mark, id)?;
        }
        unit.act_as(Actor { user: self.actor, admin: self.authority.clone().map(Arc::new) });
        // Rows refer to each other, in circles too (https://sqlite.org/pragma.html#pragma_defer_foreign_keys).
        unit.connection()?.execute_batch("PRAGMA defer_foreign_keys = ON")?;
        let mut counts = Counts::default();
        for tenant in &self.tenants {
            counts += take_out(unit, catalog, TenantKey::from_stored(*tenant)?)?;
        }
        if let Some(Ended { organization, user, role }) = &self.ended {
            let mut payload = PayloadWriter::new();
            payload.change("user", &user.clone().into(), &Value::None);
            payload.change("role", &role.as_str().into(), &Value::None);
            note(unit, TenantKey::from_stored(*organization)?, "member.remove", payload)?;
        }
        self.forget(unit.connection()?)?;
        // Samples of values, if another tool has run `ANALYZE`.
        schema::drop_statistics(unit.connection()?)?;
        schema::set_rest(unit.connection()?, Rest::Rebuild)?;
        Ok(counts)
    }
}

fn note(unit: &mut Unit, tenant: TenantKey, action: &str, payload: PayloadWriter) -> Result<()> {
    let event = Event { action, outcome: "ok", entity: None, record: None, payload: payload.finish() };
    unit.audit(tenant, &event)
}

/// Takes everything of a tenant out of its home, and ends its log.
fn take_out(unit: &mut Unit, catalog: &Catalog, tenant: TenantKey) -> Result<Counts> {
    let connection = unit.connection()?;
    if commit::is_closed(connection, tenant)? {
        // A member of an organization that was erased before its user, or the other way round.
        return Ok(Counts::default());
    }
    let mut rows = 0;
    // Only of the right tenancy are there any.
    for table in catalog.tables().iter().filter(|table| table.definition.tenancy() != Tenancy::Reference) {
        rows += delete_until(table, tenant, tenant.last()).execute(connection)? as u64;
    }
    for table in NOTED {
        let sql = format!("DELETE FROM {table} WHERE key BETWEEN ?1 AND ?2");
        connection.execute(&sql, [tenant.first(), tenant.last()])?;
    }
    connection.execute("DELETE FROM _row_head WHERE tenant = ?1", [tenant.get()])?;
    unit.forget_rows(tenant)?;
    let payloads = take_payloads(unit, tenant)?;
    let mut payload = PayloadWriter::new();
    for (name, count) in [("rows", rows), ("payloads", payloads)] {
        payload.change(name, &Value::None, &Value::Integer(i64::try_from(count).unwrap_or(i64::MAX)));
    }
    note(unit, tenant, ERASE, payload)?;
    unit.close_log(tenant)?;
    Ok(Counts { rows, payloads })
}

/// Takes the payloads out of a log, which says so itself; how many there were.
fn take_payloads(unit: &mut Unit, tenant: TenantKey) -> Result<u64> {
    let connection = unit.connection()?;
    let keys = [tenant.first(), tenant.last()];
    let sql = "SELECT max(key) FROM _audit WHERE key BETWEEN ?1 AND ?2";
    let last: Option<i64> = connection.query_row(sql, keys, |row| row.get(0))?;
    let Some(last) = last else { return Ok(0) };
    let known = Checkpoint::known(connection, tenant)?;
    unit.expire(tenant, &Checkpoint { payloads: last - tenant.first(), ..known })?;
    let sql = "UPDATE _audit SET salt = NULL, body = NULL WHERE key BETWEEN ?1 AND ?2 AND body IS NOT NULL";
    Ok(unit.connection()?.execute(sql, [tenant.first(), last])? as u64)
}
