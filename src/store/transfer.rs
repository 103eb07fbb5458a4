//! Rows on their way between the files of a store: copies of the reference records from the catalog
//! to partitions, and everything of a tenant that moves.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use rusqlite::types::Value as SqlValue;
use rusqlite::{Connection, params, params_from_iter};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::cache::keep;
use crate::commit::{Committer, RowHead, Unit, Writer, load_rows, still_referred};
use crate::entity::{Tenancy, UuidText};
use crate::error::{Error, Result};
use crate::identity::TenantKey;
use crate::schema::{Catalog, partitions};
use crate::statement::transfer::{self as statement, ID, RID, VERSION, WholeRow};
use crate::statement::{self as door, Table};

/// Rows of one transaction, so that others can write in between.
const BATCH: u32 = 500;

/// The store's own tables with one row for each tenant, or each tenant and entity.
const BY_TENANT: [&str; 3] = ["_row_head", "_log_head", "_audit_checkpoint"];

/// A table whose keys are `tenant << 40 | number`, and its columns, the key first.
struct Numbered {
    table: &'static str,
    columns: &'static str,
}

impl Numbered {
    fn target(&self) -> String {
        format!("{} ({})", self.table, self.columns)
    }
}

/// Without the place in the file, which is another one in each.
const ENTRIES: Numbered = Numbered {
    table: "_audit",
    columns: "key, txn, actor, admin, device, clock, time, action, entity, record, outcome, definition, undoes, reason, \
              commitment, previous, hash, salt, body",
};
/// Where an entry names people.
const ENTRY_ACTORS: Range<usize> = 2..4;
/// Who read what.
const READS: Numbered = Numbered {
    table: "_audit_read",
    columns: "key, actor, admin, time, reason, entity, kind, count, records",
};
/// Where a read names people.
const READ_ACTORS: Range<usize> = 1..3;
const MISSES: Numbered = Numbered { table: "_audit_miss", columns: "key, actor, entity, record, time" };

fn tables_of(catalog: &Catalog, tenancy: Tenancy) -> impl Iterator<Item = &Table> {
    catalog.tables().iter().map(|table| &**table).filter(move |table| table.definition.tenancy() == tenancy)
}

fn integer(row: &WholeRow, column: usize) -> i64 {
    match row.get(column) {
        Some(SqlValue::Integer(integer)) => *integer,
        _ => 0,
    }
}

fn id(row: &WholeRow) -> Result<Uuid> {
    match row.get(ID) {
        Some(SqlValue::Text(text)) => UuidText::parse(text.as_bytes()),
        _ => None,
    }
    .ok_or_else(|| Error::corrupt("a row has no id"))
}

/// The tenant's rows of an entity, a batch at a time, in the order of their keys.
fn each_batch(
    connection: &Connection,
    table: &Table,
    tenant: TenantKey,
    mut visit: impl FnMut(Vec<WholeRow>) -> Result<()>,
) -> Result<()> {
    let mut after = tenant.first();
    loop {
        let rows = statement::rows_after(table, tenant, after, BATCH).all(connection, keep)?;
        let Some(last) = rows.last() else { return Ok(()) };
        after = integer(last, RID);
        visit(rows)?;
    }
}

/// All reference records of one moment.
pub(super) struct Reference {
    version: i64,
    /// By position in the catalog.
    tables: Vec<(usize, ReferenceTable)>,
}

struct ReferenceTable {
    rows: Vec<WholeRow>,
    head: RowHead,
}

/// Reads them in the catalog, within a snapshot.
pub(super) fn read_reference(connection: &Connection, catalog: &Catalog) -> Result<Reference> {
    let version = partitions::reference_version(connection)?;
    let mut tables = Vec::new();
    for (position, table) in catalog.tables().iter().enumerate() {
        if table.definition.tenancy() != Tenancy::Reference {
            continue;
        }
        let mut rows = Vec::new();
        each_batch(connection, table, TenantKey::REFERENCE, |mut batch| {
            rows.append(&mut batch);
            Ok(())
        })?;
        let head = load_rows(connection, TenantKey::REFERENCE, table.key)?;
        tables.push((position, ReferenceTable { rows, head }));
    }
    Ok(Reference { version, tables })
}

/// Whether a partition has copies of all reference records, if it has those of this moment.
pub(super) fn same_reference(partition: &Connection, main: &Connection, catalog: &Catalog) -> Result<bool> {
    let (copies, records) = (read_reference(partition, catalog)?, read_reference(main, catalog)?);
    let same = |((_, copy), (_, record)): (&(usize, ReferenceTable), &(usize, ReferenceTable))| {
        copy.rows == record.rows
    };
    Ok(copies.version != records.version || copies.tables.iter().zip(&records.tables).all(same))
}

/// Makes a partition's copies the same. The transaction must be alone: it puts off foreign keys, so
/// that records that are replaced may be referred to meanwhile.
pub(super) fn write_reference(unit: &mut Unit, catalog: &Catalog, reference: Reference) -> Result<()> {
    // https://sqlite.org/pragma.html#pragma_defer_foreign_keys: until the next commit.
    unit.connection()?.execute_batch("PRAGMA defer_foreign_keys = ON")?;
    let mut inserted = Vec::new();
    for (position, wanted) in reference.tables {
        let table = &*catalog.tables()[position];
        let mut known: HashMap<i64, WholeRow> = HashMap::new();
        each_batch(unit.connection()?, table, TenantKey::REFERENCE, |rows| {
            known.extend(rows.into_iter().map(|row| (integer(&row, RID), row)));
            Ok(())
        })?;
        let same = |row: &WholeRow, known: &WholeRow| {
            (integer(row, VERSION), row.get(ID)) == (integer(known, VERSION), known.get(ID))
        };
        let mut new = Vec::new();
        for row in wanted.rows {
            match known.remove(&integer(&row, RID)) {
                Some(former) if same(&row, &former) => {}
                Some(former) => {
                    door::delete(table, TenantKey::REFERENCE, id(&former)?).execute(unit.connection()?)?;
                    new.push(row);
                }
                None => new.push(row),
            }
        }
        for former in known.values() {
            door::delete(table, TenantKey::REFERENCE, id(former)?).execute(unit.connection()?)?;
        }
        let head = unit.rows(TenantKey::REFERENCE, table.key)?;
        head.follow(&wanted.head);
        inserted.push((table, new));
    }
    for (table, rows) in inserted {
        for row in rows {
            statement::insert_whole(table, &row).execute(unit.connection()?)?;
        }
    }
    unit.set_reference_version(reference.version);
    Ok(())
}

/// Takes the copies of these records out of a partition, unless somebody's record refers to one.
pub(super) fn release(unit: &mut Unit, catalog: &Catalog, records: &[(&Table, Uuid)]) -> Result<()> {
    let connection = unit.connection()?;
    for (table, record) in records {
        for referring in
            catalog.tables().iter().filter(|table| table.definition.tenancy() != Tenancy::Reference)
        {
            for column in referring.references_to(table.entity()) {
                if statement::held_by_anyone(referring, column, *record)
                    .first(connection, |_| Ok(()))?
                    .is_some()
                {
                    return Err(still_referred(table));
                }
            }
        }
    }
    // Among themselves they may refer to each other in a circle.
    connection.execute_batch("PRAGMA defer_foreign_keys = ON")?;
    for (table, record) in records {
        door::delete(table, TenantKey::REFERENCE, *record).execute(connection)?;
    }
    unit.set_reference_version(NO_VERSION);
    Ok(())
}

/// Copies that have to be made anew.
pub(super) const NO_VERSION: i64 = -1;

/// Rows and entries of a tenant, as its heads have it.
pub(super) fn size(connection: &Connection, tenant: TenantKey) -> Result<u64> {
    let sql = "SELECT ifnull((SELECT sum(count) FROM _row_head WHERE tenant = ?1), 0) \
               + ifnull((SELECT next - 1 FROM _log_head WHERE tenant = ?1), 0) \
               - ifnull((SELECT entries FROM _audit_checkpoint WHERE tenant = ?1), 0)";
    let size: i64 = connection.prepare_cached(sql)?.query_row([tenant.get()], |row| row.get(0))?;
    Ok(size.unsigned_abs())
}

/// Copies all rows and entries of a tenant, as a snapshot of its home has them, into a file that holds
/// nothing of it; tells how many rows and entries each batch had. The number of the last entry.
pub(super) fn copy(
    source: &Connection,
    target: &Committer,
    catalog: &Catalog,
    tenancy: Tenancy,
    tenant: TenantKey,
    progress: &mut dyn FnMut(u64),
) -> Result<i64> {
    for table in tables_of(catalog, tenancy) {
        each_batch(source, table, tenant, |rows| {
            target.exclusive(tenant, |writer| {
                in_transaction(writer, |connection| {
                    rows.iter().try_for_each(|row| {
                        statement::insert_whole(table, row).execute(connection)?;
                        Ok(())
                    })
                })
            })?;
            progress(rows.len() as u64);
            Ok(())
        })?;
    }
    copy_entries(source, target, tenant, 0, progress)
}

/// Copies what a tenant's access log has and the target does not, and takes out of that what is gone.
pub(super) fn copy_reads(source: &Connection, target: &Committer, tenant: TenantKey) -> Result<()> {
    let ends = |connection: &Connection| -> Result<(Option<i64>, Option<i64>)> {
        let sql = "SELECT min(key), max(key) FROM _audit_read WHERE key BETWEEN ?1 AND ?2";
        let ends = [tenant.first(), tenant.last()];
        Ok(connection.prepare_cached(sql)?.query_row(ends, |row| Ok((row.get(0)?, row.get(1)?)))?)
    };
    let kept = ends(source)?.0.unwrap_or(tenant.last());
    let mut last = target.exclusive(tenant, |writer| {
        in_transaction(writer, |connection| {
            connection
                .execute("DELETE FROM _audit_read WHERE key BETWEEN ?1 AND ?2", [tenant.first(), kept - 1])?;
            Ok(ends(connection)?.1.unwrap_or(tenant.first()))
        })
    })?;
    loop {
        let rows = numbered(source, &READS, last, tenant.last())?;
        let Some(row) = rows.last() else { return Ok(()) };
        last = integer(row, 0);
        let actors = actors(source, &rows, READ_ACTORS)?;
        target.exclusive(tenant, |writer| {
            in_transaction(writer, |connection| {
                insert_all(connection, &READS.target(), &rows)?;
                insert_actors(connection, &actors)
            })
        })?;
    }
}

fn copy_entries(
    source: &Connection,
    target: &Committer,
    tenant: TenantKey,
    after: i64,
    progress: &mut dyn FnMut(u64),
) -> Result<i64> {
    let mut last = tenant.first() | after;
    loop {
        let rows = numbered(source, &ENTRIES, last, tenant.last())?;
        let Some(row) = rows.last() else {
            return Ok(last - tenant.first());
        };
        last = integer(row, 0);
        let actors = actors(source, &rows, ENTRY_ACTORS)?;
        target.exclusive(tenant, |writer| {
            in_transaction(writer, |connection| {
                insert_all(connection, &ENTRIES.target(), &rows)?;
                insert_actors(connection, &actors)
            })
        })?;
        progress(rows.len() as u64);
    }
}

/// Whom entries name in these columns, with the ids, as far as the file knows them.
fn actors(source: &Connection, entries: &[WholeRow], columns: Range<usize>) -> Result<Vec<WholeRow>> {
    let marks: HashSet<&[u8]> = entries
        .iter()
        .flat_map(|entry| &entry[columns.clone()])
        .filter_map(|value| match value {
            SqlValue::Blob(mark) => Some(&mark[..]),
            _ => None,
        })
        .collect();
    let mut named = Vec::new();
    for mark in marks {
        named.append(&mut rows(source, "SELECT mark, id FROM _actor WHERE mark = ?1", [mark])?);
    }
    Ok(named)
}

fn insert_actors(connection: &Connection, actors: &[WholeRow]) -> Result<()> {
    let sql = "INSERT INTO _actor (mark, id) VALUES (?1, ?2) ON CONFLICT (mark) DO NOTHING";
    let mut statement = connection.prepare_cached(sql)?;
    for actor in actors {
        statement.execute(params_from_iter(actor))?;
    }
    Ok(())
}

/// Brings a copy up to date with a later state of its home, which the log's entries since then tell.
/// How many there were.
pub(super) fn catch_up(
    source: &Connection,
    target: &Committer,
    catalog: &Catalog,
    tenant: TenantKey,
    copied: &mut i64,
) -> Result<u64> {
    let entries = numbered_count(source, tenant, *copied)?;
    if entries == 0 {
        return Ok(0);
    }
    let sql = "SELECT DISTINCT entity, record FROM _audit WHERE key > ?1 AND key <= ?2 AND entity IS NOT NULL AND record IS NOT NULL";
    let mut statement = source.prepare_cached(sql)?;
    let changed = statement
        .query_map([tenant.first() | *copied, tenant.last()], |row| {
            Ok((row.get::<_, String>(0)?, Uuid::from_bytes(row.get(1)?)))
        })?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    // First all go, since unique values may have changed hands.
    for batch in changed.chunks(BATCH as usize) {
        target.exclusive(tenant, |writer| {
            in_transaction(writer, |connection| {
                batch.iter().try_for_each(|(entity, record)| {
                    door::delete(catalog.get(entity)?, tenant, *record).execute(connection)?;
                    Ok(())
                })
            })
        })?;
    }
    for batch in changed.chunks(BATCH as usize) {
        let mut rows = Vec::with_capacity(batch.len());
        for (entity, record) in batch {
            let table = &**catalog.get(entity)?;
            rows.extend(
                statement::whole(table, tenant, *record).first(source, keep)?.map(|row| (table, row)),
            );
        }
        target.exclusive(tenant, |writer| {
            in_transaction(writer, |connection| {
                rows.iter().try_for_each(|(table, row)| {
                    statement::insert_whole(table, row).execute(connection)?;
                    Ok(())
                })
            })
        })?;
    }
    *copied = copy_entries(source, target, tenant, *copied, &mut |_| {})?;
    Ok(entries)
}

/// Copies what has one row for each tenant, and the misses, in place of what was there.
pub(super) fn copy_heads(source: &Connection, target: &Committer, tenant: TenantKey) -> Result<()> {
    let mut heads = Vec::new();
    for table in BY_TENANT {
        heads.push((
            table,
            rows(source, &format!("SELECT * FROM {table} WHERE tenant = ?1"), [tenant.get()])?,
        ));
    }
    let mut misses = Vec::new();
    let mut last = tenant.first();
    loop {
        let mut rows = numbered(source, &MISSES, last, tenant.last())?;
        let Some(row) = rows.last() else { break };
        last = integer(row, 0);
        misses.append(&mut rows);
    }
    target.exclusive(tenant, |writer| {
        writer.forget(&[tenant]);
        in_transaction(writer, |connection| {
            for (table, rows) in &heads {
                connection.execute(&format!("DELETE FROM {table} WHERE tenant = ?1"), [tenant.get()])?;
                insert_all(connection, table, rows)?;
            }
            connection.execute(
                "DELETE FROM _audit_miss WHERE key BETWEEN ?1 AND ?2",
                [tenant.first(), tenant.last()],
            )?;
            insert_all(connection, &MISSES.target(), &misses)
        })
    })
}

/// Takes everything of a user, or of an organization and its members, out of a file. What it is called
/// stays, since keys are never reused.
pub(super) fn clear(target: &Committer, catalog: &Catalog, home: TenantKey) -> Result<()> {
    let tenants = target.exclusive(home, |writer| {
        let sql = "SELECT key FROM _tenant WHERE key = ?1 UNION ALL SELECT key FROM _member WHERE organization = ?1";
        let mut statement = writer.connection().prepare(sql)?;
        let keys = statement.query_map([home.get()], |row| row.get(0))?.collect::<rusqlite::Result<Vec<i64>>>()?;
        keys.into_iter().map(TenantKey::from_stored).collect::<Result<Vec<_>>>()
    })?;
    for tenant in &tenants {
        // First of all the file is no home of theirs any more.
        target.exclusive(home, |writer| {
            writer.forget(&[*tenant]);
            in_transaction(writer, |connection| {
                for table in ["_row_head", "_log_head"] {
                    connection.execute(&format!("DELETE FROM {table} WHERE tenant = ?1"), [tenant.get()])?;
                }
                Ok(())
            })
        })?;
        for table in catalog.tables() {
            if table.definition.tenancy() != Tenancy::Reference {
                clear_rows(target, table, *tenant)?;
            }
        }
        clear_log(target, *tenant)?;
    }
    target.exclusive(home, |writer| {
        writer.connection().execute("DELETE FROM _member WHERE organization = ?1", [home.get()])?;
        Ok(())
    })
}

fn clear_rows(target: &Committer, table: &Table, tenant: TenantKey) -> Result<()> {
    loop {
        let more = target.exclusive(tenant, |writer| {
            let rows =
                statement::rows_after(table, tenant, tenant.first(), BATCH).all(writer.connection(), keep)?;
            let Some(last) = rows.last() else { return Ok(false) };
            statement::delete_until(table, tenant, integer(last, RID)).execute(writer.connection())?;
            Ok(true)
        })?;
        if !more {
            return Ok(());
        }
    }
}

/// The log's triggers let only go what a checkpoint covers, and so one does. No chain states it, and nobody
/// asks: the log has no head in this file any more, and a head that comes here brings its own checkpoint.
fn clear_log(target: &Committer, tenant: TenantKey) -> Result<()> {
    loop {
        let more = target.exclusive(tenant, |writer| {
            in_transaction(writer, |connection| {
                let rows = numbered(connection, &ENTRIES, tenant.first(), tenant.last())?;
                let last = rows.last().map(|row| integer(row, 0));
                if let Some(last) = last {
                    let number = last - tenant.first();
                    connection.execute(
                        "INSERT INTO _audit_checkpoint (tenant, payloads, entries, hash) VALUES (?1, ?2, ?2, zeroblob(32)) \
                         ON CONFLICT (tenant) DO UPDATE SET payloads = excluded.payloads, entries = excluded.entries",
                        [tenant.get(), number],
                    )?;
                    connection.execute("DELETE FROM _audit WHERE key BETWEEN ?1 AND ?2", [tenant.first(), last])?;
                } else {
                    connection.execute("DELETE FROM _audit_checkpoint WHERE tenant = ?1", [tenant.get()])?;
                    for table in [&MISSES, &READS] {
                        let sql = format!("DELETE FROM {} WHERE key BETWEEN ?1 AND ?2", table.table);
                        connection.execute(&sql, [tenant.first(), tenant.last()])?;
                    }
                }
                Ok(last.is_some())
            })
        })?;
        if !more {
            return Ok(());
        }
    }
}

/// A hash over the rows and the log of a tenant, to compare two files by.
pub(super) fn digest(
    connection: &Connection,
    catalog: &Catalog,
    tenancy: Tenancy,
    tenant: TenantKey,
) -> Result<[u8; 32]> {
    let mut hash = Sha256::new();
    for table in tables_of(catalog, tenancy) {
        hash.update(table.entity());
        each_batch(connection, table, tenant, |rows| {
            rows.iter().for_each(|row| add_row(&mut hash, row));
            Ok(())
        })?;
    }
    let mut last = tenant.first();
    loop {
        let rows = numbered(connection, &ENTRIES, last, tenant.last())?;
        let Some(row) = rows.last() else { return Ok(hash.finalize().into()) };
        last = integer(row, 0);
        rows.iter().for_each(|row| add_row(&mut hash, row));
    }
}

/// What can be compared at once, at any size but for the counting: the heads of a tenant, and whether
/// rows and entries are as many as they say.
pub(super) fn outline(
    connection: &Connection,
    catalog: &Catalog,
    tenancy: Tenancy,
    tenant: TenantKey,
) -> Result<Vec<WholeRow>> {
    let mut outline = Vec::new();
    for table in BY_TENANT {
        let sql = format!("SELECT * FROM {table} WHERE tenant = ?1 ORDER BY 1, 2");
        outline.append(&mut rows(connection, &sql, [tenant.get()])?);
    }
    let mut counts = Vec::new();
    for table in tables_of(catalog, tenancy) {
        let count = statement::count(table, tenant).first(connection, |row| Ok(row.get(0)?))?;
        counts.push(SqlValue::Integer(count.unwrap_or(0)));
    }
    for Numbered { table, .. } in [&ENTRIES, &READS] {
        let sql = format!("SELECT count(*), max(key) FROM {table} WHERE key BETWEEN ?1 AND ?2");
        outline.append(&mut rows(connection, &sql, [tenant.first(), tenant.last()])?);
    }
    outline.push(counts);
    Ok(outline)
}

fn add_row(hash: &mut Sha256, row: &WholeRow) {
    for value in row {
        let (kind, bytes): (u8, &[u8]) = match value {
            SqlValue::Null => (0, &[]),
            SqlValue::Integer(integer) => (1, &integer.to_be_bytes()),
            SqlValue::Real(real) => (2, &real.to_bits().to_be_bytes()),
            SqlValue::Text(text) => (3, text.as_bytes()),
            SqlValue::Blob(bytes) => (4, bytes),
        };
        hash.update([kind]);
        hash.update((bytes.len() as u64).to_be_bytes());
        hash.update(bytes);
    }
}

fn in_transaction<R>(writer: &mut Writer, work: impl FnOnce(&Connection) -> Result<R>) -> Result<R> {
    // Whatever fails, the writer rolls back when it is given back.
    let connection = writer.connection();
    connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
    let result = work(connection)?;
    #[cfg(test)]
    crate::crash::moment();
    connection.prepare_cached("COMMIT")?.execute([])?;
    Ok(result)
}

fn rows(connection: &Connection, sql: &str, params: impl rusqlite::Params) -> Result<Vec<WholeRow>> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(keep::<WholeRow>(row)?);
    }
    Ok(found)
}

fn numbered(connection: &Connection, table: &Numbered, after: i64, last: i64) -> Result<Vec<WholeRow>> {
    let Numbered { table, columns } = table;
    let sql =
        format!("SELECT {columns} FROM {table} WHERE key > ?1 AND key <= ?2 ORDER BY key LIMIT {BATCH}");
    rows(connection, &sql, [after, last])
}

fn numbered_count(connection: &Connection, tenant: TenantKey, after: i64) -> Result<u64> {
    let sql = "SELECT count(*) FROM _audit WHERE key > ?1 AND key <= ?2";
    let count: i64 = connection
        .prepare_cached(sql)?
        .query_row(params![tenant.first() | after, tenant.last()], |row| row.get(0))?;
    Ok(count.unsigned_abs())
}

/// Into a table, or into some of its columns.
fn insert_all(connection: &Connection, into: &str, rows: &[WholeRow]) -> Result<()> {
    let Some(first) = rows.first() else { return Ok(()) };
    let marks = vec!["?"; first.len()].join(", ");
    let mut statement = connection.prepare_cached(&format!("INSERT INTO {into} VALUES ({marks})"))?;
    for row in rows {
        statement.execute(params_from_iter(row))?;
    }
    Ok(())
}
