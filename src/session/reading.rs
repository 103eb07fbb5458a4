//! What a read verb has read: noted for the access log, if the entity asks for it.
//!
//! Every read of records passes [`Core::observe_read`] or, for a second entity, [`Core::noting`]: nothing
//! else makes a [`Reading`], and without one no connection is lent for records and no row is decoded.

use rusqlite::{Connection, Row};
use uuid::Uuid;

use super::{Core, Executor};
use crate::audit::reads::{Found, Read, ReadKind, Told};
use crate::entity::{Cells, Decoder, Id, Model, Record, StoredUuid, time_from_micros, time_of};
use crate::error::{Error, Result};
use crate::identity::{TenantKey, UserId};
use crate::monitor::Operation;
use crate::statement::Table;

/// Collects what a read finds; nothing, for an entity that does not ask.
#[derive(Debug)]
pub(crate) struct Reading {
    found: Option<Found>,
}

impl Reading {
    fn of(table: &Table, kind: ReadKind) -> Self {
        let found = table.definition.audits_reads().then(|| match kind {
            ReadKind::Get | ReadKind::List | ReadKind::Join => Found::none(),
            _ => Found::UNKNOWN,
        });
        Self { found }
    }

    /// A record was seen.
    pub(super) fn found(&mut self, id: Uuid) {
        if let Some(found) = &mut self.found {
            found.add(id);
        }
    }

    /// The record in a row, whose columns begin at `first`.
    pub(super) fn decode<M: Model>(
        &mut self,
        table: &Table,
        row: &Row<'_>,
        first: usize,
    ) -> Result<Record<M>> {
        self.decode_cells(table, Cells::Row(row), first)
    }

    /// The same, of a row that may come from memory.
    pub(super) fn decode_cells<M: Model>(
        &mut self,
        table: &Table,
        row: Cells<'_, '_>,
        first: usize,
    ) -> Result<Record<M>> {
        let StoredUuid(uuid) = row.get(first)?;
        self.found(uuid);
        let version: i64 = row.get(first + 1)?;
        let updated: i64 = row.get(first + 2)?;
        let author: Option<String> = if table.definition.has_author() { row.get(first + 3)? } else { None };
        Ok(Record {
            id: Id::from_uuid(uuid),
            version: u64::try_from(version)
                .map_err(|_| Error::corrupt("the store holds a negative version"))?,
            created: time_of(uuid),
            updated: time_from_micros(updated)
                .ok_or_else(|| Error::corrupt("the store holds a time out of range"))?,
            author: author
                .map(UserId::new)
                .transpose()
                .map_err(|_| Error::corrupt("the store holds an invalid user id"))?,
            value: M::decode_row(&table.definition, Decoder::new(row, first + table.head_columns()))?,
        })
    }
}

impl Core<'_> {
    /// Runs a read of an entity's records: watched if the store is monitored, noted if the entity asks for it.
    pub(super) fn observe_read<R>(
        &self,
        operation: Operation,
        kind: ReadKind,
        table: &Table,
        run: impl FnOnce(&mut Reading) -> Result<R>,
    ) -> Result<R> {
        self.noting(kind, table, |reading| self.observe(operation, table, || run(reading)))
    }

    /// Runs a read that reads records of this entity too.
    pub(super) fn noting<R>(
        &self,
        kind: ReadKind,
        table: &Table,
        run: impl FnOnce(&mut Reading) -> Result<R>,
    ) -> Result<R> {
        let mut reading = Reading::of(table, kind);
        let result = run(&mut reading);
        if let Some(found) = reading.found {
            let seen = found.count.is_some_and(|count| count > 0);
            // An id that is not there is a miss, and a read that failed has told nothing; but code of the
            // entity's own may have seen a record before it failed.
            let told = result.is_ok() && !matches!(kind, ReadKind::Get | ReadKind::Join);
            if seen || told {
                let tenant = self.scope.reads(table.definition.tenancy())?.tenant;
                self.note(tenant, table.entity(), kind, found);
                self.flush_if_free();
            }
        }
        result
    }

    /// Notes a read of a tenant's records, of an entity that asks for it.
    fn note(&self, tenant: TenantKey, entity: &str, kind: ReadKind, found: Found) {
        let (entity, time) = (entity.to_owned(), self.store.now());
        self.store
            .note_read(self.home_of(tenant), Read { tenant, actor: self.actor(), entity, kind, found, time });
    }

    /// Notes a statement of SQL, by the entities that it reads and whose records they are.
    pub(crate) fn note_sql<'e>(&self, read: impl IntoIterator<Item = &'e (TenantKey, String)>) {
        let mut noted = false;
        for (tenant, entity) in read {
            self.note(*tenant, entity, ReadKind::Sql, Found::UNKNOWN);
            noted = true;
        }
        if noted {
            self.flush_if_free();
        }
    }

    /// Reads entries of a tenant's log, of which so many are shown, and notes of which records they tell.
    pub(super) fn read_entries<R>(
        &self,
        tenant: TenantKey,
        shown: Option<u32>,
        read: impl FnOnce(&Connection, &mut Told) -> Result<R>,
    ) -> Result<R> {
        let tables = self.store.catalog().tables().iter();
        let asking = tables.filter(|table| table.definition.audits_reads());
        let mut told =
            Told::new(asking.map(|table| table.entity().to_owned()), shown.map_or(u64::MAX, u64::from));
        let result = self.read_log(|connection| read(connection, &mut told));
        let mut noted = false;
        for (entity, found) in told.found() {
            self.note(tenant, &entity, ReadKind::Log, found);
            noted = true;
        }
        if noted {
            self.flush_if_free();
        }
        result
    }

    /// Where the log of a tenant of this scope is.
    pub(super) fn home_of(&self, tenant: TenantKey) -> TenantKey {
        if tenant == TenantKey::REFERENCE { tenant } else { self.scope.lane() }
    }

    /// Writes what waits if it is time; not in a transaction, which holds the writer.
    pub(super) fn flush_if_free(&self) {
        if !matches!(self.executor, Executor::Unit(_)) {
            self.store.flush_if_due();
        }
    }
}
