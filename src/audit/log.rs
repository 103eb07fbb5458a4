//! Reading one tenant's log.

use jiff::Timestamp;
use rusqlite::types::Value as SqlValue;
use rusqlite::{Connection, Row};
use uuid::Uuid;

use super::chain::{Hash, Link};
use super::payload::read_payload;
use super::{AuditEntry, Change};
use crate::entity::time_from_micros;
use crate::error::{Error, Result};
use crate::identity::{Mark, TenantKey, UserId};

/// Which entries of a log are asked for.
#[derive(Debug, Clone, Default)]
pub(crate) struct LogQuery {
    pub(crate) entity: Option<String>,
    pub(crate) record: Option<Uuid>,
    pub(crate) action: Option<String>,
    pub(crate) since: Option<Timestamp>,
    pub(crate) until: Option<Timestamp>,
    pub(crate) after: Option<u64>,
    pub(crate) newest_first: bool,
    pub(crate) limit: Option<u64>,
}

/// One tenant's entries, in the order of its log.
pub(crate) fn read(connection: &Connection, tenant: TenantKey, query: &LogQuery) -> Result<Vec<AuditEntry>> {
    let mut sql = String::from(SELECT);
    let mut params: Vec<SqlValue> = vec![tenant.first().into(), tenant.last().into()];
    let mut condition = |text: &str, value: SqlValue| {
        params.push(value);
        sql.push_str(" AND ");
        sql.push_str(text);
        sql.push_str(" ?");
        sql.push_str(&params.len().to_string());
    };
    if let Some(entity) = &query.entity {
        condition("a.entity =", entity.clone().into());
    }
    if let Some(record) = &query.record {
        condition("a.record =", record.as_bytes().to_vec().into());
    }
    if let Some(action) = &query.action {
        condition("a.action =", action.clone().into());
    }
    if let Some(since) = &query.since {
        condition("a.time >=", since.as_microsecond().into());
    }
    if let Some(until) = &query.until {
        condition("a.time <", until.as_microsecond().into());
    }
    if let Some(after) = query.after {
        let number = i64::try_from(after).ok().filter(|n| *n < 1 << TenantKey::NUMBER_BITS);
        let number = number.ok_or_else(|| Error::invalid("after", "is not the number of an entry"))?;
        condition(if query.newest_first { "a.key <" } else { "a.key >" }, (tenant.first() | number).into());
    }
    sql.push_str(if query.newest_first { " ORDER BY a.key DESC" } else { " ORDER BY a.key" });
    if let Some(limit) = query.limit {
        sql.push_str(" LIMIT ");
        sql.push_str(&limit.min(i64::MAX as u64).to_string());
    }
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(rusqlite::params_from_iter(&params))?;
    let mut entries = Vec::new();
    while let Some(row) = rows.next()? {
        entries.push(StoredEntry::read(row)?.into_entry(row)?);
    }
    Ok(entries)
}

/// The log's columns, the payload's, and the actors' ids.
const SELECT: &str = "SELECT a.key, a.txn, a.actor, a.admin, a.device, a.clock, a.time, a.action, a.entity, a.record, a.outcome, \
     a.definition, a.undoes, a.reason, a.commitment, a.previous, a.hash, a.salt, a.body, u.id, d.id \
     FROM _audit AS a LEFT JOIN _actor AS u ON u.mark = a.actor LEFT JOIN _actor AS d ON d.mark = a.admin \
     WHERE a.key BETWEEN ?1 AND ?2";

/// An entry as it is stored.
pub(crate) struct StoredEntry {
    pub(super) number: i64,
    txn: i64,
    pub(crate) actor: Option<Mark>,
    admin: Option<Mark>,
    device: Uuid,
    pub(super) clock: i64,
    pub(crate) time: i64,
    pub(crate) action: String,
    pub(crate) entity: Option<String>,
    pub(crate) record: Option<Uuid>,
    pub(crate) outcome: String,
    definition: Option<i64>,
    undoes: Option<i64>,
    reason: Option<String>,
    pub(super) commitment: Hash,
    pub(super) previous: Hash,
    pub(super) hash: Hash,
    pub(super) payload: Option<(Vec<u8>, Vec<u8>)>,
}

impl StoredEntry {
    fn read(row: &Row<'_>) -> Result<Self> {
        let salt: Option<Vec<u8>> = row.get(17)?;
        let body: Option<Vec<u8>> = row.get(18)?;
        Ok(Self {
            number: row.get::<_, i64>(0)? & ((1 << TenantKey::NUMBER_BITS) - 1),
            txn: row.get(1)?,
            actor: row.get(2)?,
            admin: row.get(3)?,
            device: Uuid::from_bytes(row.get(4)?),
            clock: row.get(5)?,
            time: row.get(6)?,
            action: row.get(7)?,
            entity: row.get(8)?,
            record: row.get::<_, Option<[u8; 16]>>(9)?.map(Uuid::from_bytes),
            outcome: row.get(10)?,
            definition: row.get(11)?,
            undoes: row.get(12)?,
            reason: row.get(13)?,
            commitment: row.get(14)?,
            previous: row.get(15)?,
            hash: row.get(16)?,
            payload: salt.zip(body),
        })
    }

    /// Every entry of a tenant, in order.
    pub(crate) fn each(
        connection: &Connection,
        tenant: TenantKey,
        mut visit: impl FnMut(StoredEntry) -> Result<()>,
    ) -> Result<()> {
        let mut statement = connection.prepare_cached(&format!("{SELECT} ORDER BY a.key"))?;
        let mut rows = statement.query([tenant.first(), tenant.last()])?;
        while let Some(row) = rows.next()? {
            visit(StoredEntry::read(row)?)?;
        }
        Ok(())
    }

    pub(super) fn link(&self) -> Link<'_> {
        Link {
            number: self.number,
            txn: self.txn,
            actor: self.actor,
            admin: self.admin,
            device: self.device,
            clock: self.clock,
            time: self.time,
            action: &self.action,
            entity: self.entity.as_deref(),
            record: self.record,
            outcome: &self.outcome,
            definition: self.definition,
            undoes: self.undoes,
            reason: self.reason.as_deref(),
            commitment: self.commitment,
            previous: self.previous,
        }
    }

    pub(crate) fn changes(&self) -> Result<Option<Vec<Change>>> {
        let Some((_, body)) = &self.payload else { return Ok(None) };
        read_payload(body).map(Some).map_err(|_| Error::corrupt("an audit payload is damaged"))
    }

    fn into_entry(self, row: &Row<'_>) -> Result<AuditEntry> {
        let id = |column| -> Result<Option<UserId>> {
            let text: Option<String> = row.get(column)?;
            text.map(UserId::new).transpose()
        };
        let changes = self.changes()?;
        let number = |stored: i64| {
            u64::try_from(stored).map_err(|_| Error::corrupt("an audit entry holds a negative number"))
        };
        Ok(AuditEntry {
            number: number(self.number)?,
            transaction: number(self.txn)?,
            actor: id(19)?,
            admin: id(20)?,
            device: self.device,
            clock: number(self.clock)?,
            time: time_from_micros(self.time)
                .ok_or_else(|| Error::corrupt("an audit entry holds a time out of range"))?,
            action: self.action,
            entity: self.entity,
            record: self.record,
            outcome: self.outcome,
            definition_version: self.definition.map(number).transpose()?,
            undoes: self.undoes.map(number).transpose()?,
            reason: self.reason,
            changes,
            hash: self.hash,
        })
    }
}
