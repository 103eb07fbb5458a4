//! Reading one tenant's log.

use std::ops::ControlFlow;

use jiff::Timestamp;
use rusqlite::types::Value as SqlValue;
use rusqlite::{Connection, Row};
use uuid::Uuid;

use super::chain::{Hash, Link};
use super::payload::read_payload;
use super::reads::Told;
use super::span::Span;
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
    pub(crate) actor: Option<UserId>,
    pub(crate) admin: Option<UserId>,
    pub(crate) outcome: Option<String>,
    /// Only what was refused, for whichever reason.
    pub(crate) refused: bool,
    pub(crate) transaction: Option<u64>,
    pub(crate) since: Option<Timestamp>,
    pub(crate) until: Option<Timestamp>,
    pub(crate) after: Option<u64>,
    pub(crate) newest_first: bool,
    pub(crate) limit: Option<u64>,
}

/// One tenant's entries, in the order of its log.
pub(crate) fn read(
    (connection, told): (&Connection, &mut Told),
    tenant: TenantKey,
    query: &LogQuery,
) -> Result<Vec<AuditEntry>> {
    let mut entries = Vec::new();
    if let Some(span) = Span::of(connection, tenant, query)? {
        each((connection, told), span, query, |entry| {
            entries.push(entry);
            Ok(ControlFlow::Continue(()))
        })?;
    }
    Ok(entries)
}

/// Visits the entries of a span that the query asks for, until it is told to stop. Where the span begins and ends is the
/// span's affair: the query's times, transaction and `after` are in it already. What they tell of is on record.
pub(crate) fn each(
    (connection, told): (&Connection, &mut Told),
    span: Span,
    query: &LogQuery,
    mut visit: impl FnMut(AuditEntry) -> Result<ControlFlow<()>>,
) -> Result<()> {
    let (sql, params) = statement(span, query);
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(rusqlite::params_from_iter(&params))?;
    while let Some(row) = rows.next()? {
        let entry = StoredEntry::read(row)?.into_entry(row)?;
        told.entry(&entry);
        if visit(entry)?.is_break() {
            break;
        }
    }
    Ok(())
}

fn statement(span: Span, query: &LogQuery) -> (String, Vec<SqlValue>) {
    let mut sql = String::from(SELECT);
    let mut params: Vec<SqlValue> = vec![span.first.into(), span.last.into()];
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
    // Subqueries, so that the planner can't begin with those whom all the logs of the file name.
    if let Some(actor) = &query.actor {
        condition("(SELECT id FROM _actor WHERE mark = a.actor) =", actor.as_str().to_owned().into());
    }
    if let Some(admin) = &query.admin {
        condition("(SELECT id FROM _actor WHERE mark = a.admin) =", admin.as_str().to_owned().into());
    }
    if let Some(outcome) = &query.outcome {
        condition("a.outcome =", outcome.clone().into());
    }
    if query.refused {
        condition("a.outcome <>", OK.to_owned().into());
    }
    sql.push_str(if query.newest_first { " ORDER BY a.key DESC" } else { " ORDER BY a.key" });
    if let Some(limit) = query.limit {
        params.push(i64::try_from(limit).unwrap_or(i64::MAX).into());
        sql.push_str(" LIMIT ?");
        sql.push_str(&params.len().to_string());
    }
    (sql, params)
}

/// The outcome of everything that happened.
pub(super) const OK: &str = "ok";

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
    pub(super) salt: Option<Vec<u8>>,
    pub(super) body: Option<Vec<u8>>,
}

impl StoredEntry {
    fn read(row: &Row<'_>) -> Result<Self> {
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
            salt: row.get(17)?,
            body: row.get(18)?,
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
        let Some(body) = &self.body else { return Ok(None) };
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever statistics say, the planner has no other way to begin.
    #[test]
    fn every_query_is_a_search_in_the_tenants_own_range() {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(include_str!("../../schema.sql")).unwrap();
        // Of a file whose many entries all were made by the same few.
        let statistics = "ANALYZE; DELETE FROM sqlite_stat1; \
            INSERT INTO sqlite_stat1 VALUES ('_actor', '_actor', '2 1'), ('_audit', 'sqlite_autoindex__audit_1', '1000000000 1'); \
            ANALYZE sqlite_schema";
        connection.execute_batch(statistics).unwrap();
        let user = UserId::new("ada").unwrap();
        let all = LogQuery {
            entity: Some("task".to_owned()),
            record: Some(Uuid::nil()),
            action: Some("update".to_owned()),
            actor: Some(user.clone()),
            admin: Some(user),
            outcome: Some("ok".to_owned()),
            refused: true,
            limit: Some(5),
            ..LogQuery::default()
        };
        let backwards = LogQuery { newest_first: true, ..all.clone() };
        let tenant = TenantKey::from_stored(7).unwrap();
        for query in [LogQuery::default(), all, backwards] {
            let (sql, params) = statement(Span::whole(tenant), &query);
            let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
            let steps: Vec<String> = statement
                .query_map(rusqlite::params_from_iter(&params), |row| row.get(3))
                .unwrap()
                .collect::<rusqlite::Result<_>>()
                .unwrap();
            assert_eq!(steps[0], "SEARCH a USING INDEX sqlite_autoindex__audit_1 (key>? AND key<?)", "{sql}");
            for step in &steps[1..] {
                let known = step.ends_with("USING PRIMARY KEY (mark=?) LEFT-JOIN")
                    || step.ends_with("USING PRIMARY KEY (mark=?)")
                    || step.starts_with("CORRELATED SCALAR SUBQUERY");
                assert!(known, "{step} in {sql}");
            }
        }
    }
}
