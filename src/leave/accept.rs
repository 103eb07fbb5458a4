//! Single rows, entries and reference records of a bundle on their way into the store's tables.

use std::collections::BTreeMap;

use rusqlite::types::Value as SqlValue;
use rusqlite::{Connection, OptionalExtension, params};
use uuid::Uuid;

use super::form::{CheckpointPart, LogPart, ReferenceItem, RowItem};
use super::problem::BundleProblem;
use crate::audit::log::{ENTRY_COLUMNS, entry_column};
use crate::commit::{Changes, Copies, NO_TARGET, RowHead, Unit, check_size, row_bytes};
use crate::entity::{Value, time_from_micros, time_of};
use crate::error::{Error, Result};
use crate::identity::{Mark, TenantKey, UserId};
use crate::quota::Quota;
use crate::schema::Catalog;
use crate::scope::Scope;
use crate::statement::{self as door, NewRow, Table, transfer as statement};

/// What a bundle may number records, their versions and entries up to: half of what there is, so that whoever arrives
/// goes on for as long as anybody, and what is done to it can always be written down.
pub(super) const NUMBER_MAX: i64 = 1 << (TenantKey::NUMBER_BITS - 1);

/// Rows of one tenant and entity, as they come.
pub(super) struct Rows<'t> {
    pub(super) table: &'t Table,
    pub(super) tenant: TenantKey,
    pub(super) head: RowHead,
    pub(super) quota: Quota,
    pub(super) record_bytes_max: usize,
    /// Whether they lie in the order of their ids.
    pub(super) in_order: bool,
}

impl Rows<'_> {
    pub(super) fn accept(&mut self, row: &mut RowItem, frame: u64) -> Result<()> {
        let refuse = |what| Err(BundleProblem::Malformed { frame, what }.into());
        if row.number < self.head.next || row.number >= NUMBER_MAX {
            return refuse("its records are not in the order of their numbers");
        }
        if !(1..NUMBER_MAX).contains(&row.version) || time_from_micros(row.updated).is_none() {
            return refuse("a record's version or time of change is not valid");
        }
        let author = row.author.as_deref();
        if author.is_some_and(|id| !self.table.definition.has_author() || UserId::new(id).is_err()) {
            return refuse("a record's author is not valid");
        }
        accept(self.table, row.id, &mut row.values, self.record_bytes_max, frame)
    }

    pub(super) fn insert(&mut self, connection: &Connection, row: &RowItem, frame: u64) -> Result<()> {
        let size = row_bytes(&row.values);
        self.head.add(self.table.entity(), self.quota, 1, size)?;
        self.head.next = row.number + 1;
        self.in_order &= self.head.last_id.is_some_and(|last| last < row.id);
        self.head.last_id = self.head.last_id.max(Some(row.id));
        let head = NewRow {
            number: row.number,
            id: row.id,
            version: row.version,
            updated: row.updated,
            author: row.author.as_deref(),
        };
        let inserted = door::insert(self.table, self.tenant, head, &row.values)?.execute(connection);
        inserted.map(drop).map_err(|error| refused(self.table, &error, frame))
    }
}

/// Accepts a record's values as an insert does, if they are in the form in which they are stored.
pub(super) fn accept(
    table: &Table,
    id: Uuid,
    values: &mut [Value],
    record_bytes_max: usize,
    frame: u64,
) -> Result<()> {
    let refuse = |what| Err(BundleProblem::Malformed { frame, what }.into());
    if id.get_version_num() != 7 {
        return refuse("a record's id is not a UUIDv7");
    }
    for (column, value) in table.definition.columns().iter().zip(values.iter_mut()) {
        let before = match value {
            Value::Real(real) => Some(real.to_bits()),
            _ => None,
        };
        column.accept(value)?;
        if let (Some(before), Value::Real(real)) = (before, value)
            && before != real.to_bits()
        {
            return refuse("a float is not as it is stored");
        }
    }
    check_size(values, record_bytes_max)
}

/// What it means that the database refuses a row.
pub(super) fn refused(table: &Table, error: &rusqlite::Error, frame: u64) -> Error {
    use rusqlite::ffi;
    match error.sqlite_extended_error_code() {
        Some(ffi::SQLITE_CONSTRAINT_UNIQUE | ffi::SQLITE_CONSTRAINT_PRIMARYKEY) => {
            match table.unique_violation(error) {
                Some(columns) => Error::Unique { entity: table.entity().to_owned(), columns },
                None => BundleProblem::Malformed { frame, what: "two records have one id" }.into(),
            }
        }
        Some(code) if code & 0xff == ffi::SQLITE_CONSTRAINT => {
            Error::Constraint { entity: table.entity().to_owned() }
        }
        _ => match error {
            rusqlite::Error::SqliteFailure(code, _) => rusqlite::Error::SqliteFailure(*code, None).into(),
            _ => Error::Constraint { entity: table.entity().to_owned() },
        },
    }
}

/// The newest id that the store gave out by itself, as far as rows and log tell: later than the log's
/// clock are only those that were given another time.
pub(super) struct Newest {
    pub(super) milliseconds: i64,
    pub(super) id: Uuid,
}

impl Newest {
    pub(super) fn of(log: &LogPart) -> Self {
        Self { milliseconds: log.clock >> 16, id: Uuid::nil() }
    }

    pub(super) fn note(&mut self, id: Uuid) {
        if id.get_version_num() == 7 && time_of(id).as_millisecond() <= self.milliseconds {
            self.id = self.id.max(id);
        }
    }
}

/// The record that an entry is about.
pub(super) fn record_of(entry: &[SqlValue]) -> Option<Uuid> {
    match entry.get(entry_column::RECORD) {
        Some(SqlValue::Blob(bytes)) => Uuid::from_slice(bytes).ok(),
        _ => None,
    }
}

/// Entries of one log, as they come. Whatever reads a log relies on what grows in it.
pub(super) struct Entries {
    pub(super) tenant: TenantKey,
    pub(super) number: i64,
    pub(super) transaction: i64,
    pub(super) clock: i64,
}

impl Entries {
    pub(super) fn insert(
        &mut self,
        connection: &Connection,
        mut entry: Vec<SqlValue>,
        frame: u64,
    ) -> Result<()> {
        let refuse = |what| Error::from(BundleProblem::Malformed { frame, what });
        let integer = |column: usize| match entry.get(column) {
            Some(SqlValue::Integer(integer)) => Ok(*integer),
            _ => Err(refuse("a log's entry is not valid")),
        };
        let number = integer(entry_column::NUMBER)?;
        let (transaction, clock) = (integer(entry_column::TRANSACTION)?, integer(entry_column::CLOCK)?);
        if !(self.number + 1..NUMBER_MAX).contains(&number) {
            return Err(refuse("a log's entries are not in the order of their numbers"));
        }
        let milliseconds = integer(entry_column::TIME)?.div_euclid(1_000);
        let in_time = clock > self.clock && milliseconds <= clock >> 16;
        if !in_time || !(self.transaction.max(1)..=number).contains(&transaction) {
            return Err(refuse("a log's entries are not in the order of their clocks and transactions"));
        }
        (self.number, self.transaction, self.clock) = (number, transaction, clock);
        entry[entry_column::NUMBER] = SqlValue::Integer(self.tenant.at(number)?);
        let marks = vec!["?"; entry.len()].join(", ");
        let sql = format!("INSERT INTO _audit ({ENTRY_COLUMNS}) VALUES ({marks})");
        let inserted = connection.prepare_cached(&sql)?.execute(rusqlite::params_from_iter(&entry));
        match inserted {
            Ok(_) => Ok(()),
            Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::ConstraintViolation) => {
                Err(refuse("a log's entry is not valid"))
            }
            Err(error) => Err(error.into()),
        }
    }
}

pub(super) fn put_log(
    connection: &Connection,
    tenant: TenantKey,
    log: &LogPart,
    last_id: Uuid,
) -> Result<()> {
    if let Some(checkpoint) = &log.checkpoint {
        let sql = "INSERT INTO _audit_checkpoint (tenant, payloads, entries, hash) VALUES (?1, ?2, ?3, ?4)";
        let CheckpointPart { payloads, entries, hash } = checkpoint;
        connection.execute(sql, params![tenant.get(), payloads, entries, hash])?;
    }
    let sql =
        "INSERT INTO _log_head (tenant, origin, next, hash, clock, last_id) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    let last_id = last_id.as_bytes();
    connection.execute(sql, params![tenant.get(), log.origin, log.next, log.hash, log.clock, last_id])?;
    Ok(())
}

/// Whose marks are, as the store knows it, or else as a bundle says.
pub(super) fn believed(
    connection: &Connection,
    actors: &BTreeMap<Mark, Option<String>>,
) -> Result<BTreeMap<Mark, Option<String>>> {
    let mut believed = BTreeMap::new();
    for (mark, id) in actors {
        let known: Option<Option<String>> = connection
            .prepare_cached("SELECT id FROM _actor WHERE mark = ?1")?
            .query_row([mark], |row| row.get(0))
            .optional()?;
        if let (Some(Some(known)), Some(named)) = (&known, id)
            && known != named
        {
            return Err(BundleProblem::Actor { named: named.clone() }.into());
        }
        believed.insert(*mark, known.unwrap_or_else(|| id.clone()));
    }
    Ok(believed)
}

/// Says whose the marks in the logs are. Where the store says otherwise, it is believed: of one whose id was
/// erased nobody knows it again.
pub(super) fn name_actors(connection: &Connection, actors: &BTreeMap<Mark, Option<String>>) -> Result<()> {
    let sql = "INSERT INTO _actor (mark, id) VALUES (?1, ?2) ON CONFLICT (mark) DO NOTHING";
    let mut statement = connection.prepare_cached(sql)?;
    for (mark, id) in believed(connection, actors)? {
        statement.execute(params![mark, id])?;
    }
    Ok(())
}

/// Every reference within the tenant names a record that is there.
pub(super) fn check_targets(connection: &Connection, table: &Table, tenant: TenantKey) -> Result<()> {
    for position in 0..table.definition.columns().len() {
        let Some(statement) = statement::without_target(table, position, tenant) else { continue };
        if statement.first(connection, |_| Ok(()))?.is_some() {
            return Err(Error::Reference {
                entity: table.entity().to_owned(),
                column: table.definition.columns()[position].name().to_owned(),
                problem: NO_TARGET,
            });
        }
    }
    Ok(())
}

pub(super) fn has_reference(connection: &Connection, table: &Table, id: Uuid) -> Result<bool> {
    Ok(door::exists(table, TenantKey::REFERENCE, id).first(connection, |_| Ok(()))?.is_some())
}

/// Inserts reference records that the store does not have, as the application itself.
pub(super) fn bring_along(
    unit: &mut Unit,
    catalog: &Catalog,
    copies: &dyn Copies,
    missing: Vec<(String, ReferenceItem)>,
) -> Result<u64> {
    let mut brought = 0;
    for (entity, item) in missing {
        let table = &**catalog.get(&entity)?;
        if !has_reference(unit.connection()?, table, item.id)? {
            Changes { unit, catalog, scope: &Scope::Reference, copies }.upsert(
                table,
                item.id,
                item.values,
            )?;
            brought += 1;
        }
    }
    Ok(brought)
}

/// What the check of a store could not even read.
pub(super) fn unreadable(error: Error) -> Error {
    match error {
        Error::Corrupt { .. } | Error::Schema { .. } | Error::InvalidInput { .. } => {
            BundleProblem::Unreadable.into()
        }
        other => other,
    }
}
