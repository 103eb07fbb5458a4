//! The tables that a script makes, as entities.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row};
use tenantry::{ColumnDefinition, ColumnKind, Definition, IndexDefinition, Tenancy, Value};

use crate::script::Record;

/// What is known of a table after the whole script.
#[derive(Debug, Default)]
struct Survey {
    /// Names, declared types, and of what types values there have been.
    columns: Vec<(String, String, BTreeSet<String>)>,
    indexes: BTreeSet<(Vec<String>, bool)>,
}

/// Runs a script's statements, and gives an entity for each table that there has been.
pub fn survey(records: &[Record], tenancy: Tenancy) -> Vec<Definition> {
    let plain = Connection::open_in_memory().unwrap();
    let mut tables = BTreeMap::<String, Survey>::new();
    for record in records {
        let Record::Statement { line, succeeds, sql } = record else { continue };
        let outcome = plain.execute_batch(sql);
        assert_eq!(outcome.is_ok(), *succeeds, "line {line}: {sql}: {outcome:?}");
        for table in names(&plain) {
            look(&plain, &table, tables.entry(table.clone()).or_default());
        }
    }
    tables.into_iter().map(|(name, survey)| define(name, survey, tenancy)).collect()
}

/// The tables that there are now.
pub fn names(plain: &Connection) -> Vec<String> {
    all(plain, "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name", |row| row.get(0))
}

fn look(plain: &Connection, table: &str, survey: &mut Survey) {
    let columns = format!("SELECT name, type, pk FROM pragma_table_info('{table}')");
    let columns: Vec<(String, String, bool)> =
        all(plain, &columns, |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)));
    survey.columns.resize_with(columns.len(), Default::default);
    for ((name, declared, key), known) in columns.into_iter().zip(&mut survey.columns) {
        let types: Vec<String> =
            all(plain, &format!("SELECT DISTINCT typeof(\"{name}\") FROM \"{table}\""), |row| row.get(0));
        known.2.extend(types);
        if key {
            survey.indexes.insert((vec![name.clone()], true));
        }
        (known.0, known.1) = (name, declared);
    }
    let indexes = format!("SELECT name, \"unique\" FROM pragma_index_list('{table}')");
    for (index, unique) in all(plain, &indexes, |row| Ok((row.get::<_, String>(0)?, row.get(1)?))) {
        let columns = all(plain, &format!("SELECT name FROM pragma_index_info('{index}')"), |row| row.get(0));
        survey.indexes.insert((columns, unique));
    }
}

fn define(name: String, survey: Survey, tenancy: Tenancy) -> Definition {
    let mut definition = Definition::new(name, tenancy);
    for (column, declared, types) in survey.columns {
        let kind = kind(&declared, &types);
        definition = definition.column(ColumnDefinition::new(column, kind).optional());
    }
    for (columns, unique) in survey.indexes {
        definition = match unique {
            true => definition.unique(columns),
            false => definition.index(IndexDefinition::new(columns)),
        };
    }
    definition
}

/// Of the values, since a column of SQLite's takes any; of the declared type if there never was one.
fn kind(declared: &str, types: &BTreeSet<String>) -> ColumnKind {
    let types: Vec<&str> = types.iter().map(String::as_str).filter(|name| *name != "null").collect();
    match types[..] {
        ["integer"] => ColumnKind::Integer,
        ["real"] | ["integer", "real"] => ColumnKind::Real,
        ["text"] => ColumnKind::Text,
        ["blob"] => ColumnKind::Bytes,
        // https://sqlite.org/datatype3.html, section 3.1
        [] if declared.contains("INT") => ColumnKind::Integer,
        [] if declared.contains("CHAR") || declared.contains("TEXT") => ColumnKind::Text,
        _ => panic!("no kind of column keeps {types:?} of a column declared as {declared:?}"),
    }
}

/// The rows of a plain database.
pub fn rows(plain: &Connection, sql: &str) -> rusqlite::Result<Vec<Vec<Value>>> {
    let mut statement = plain.prepare(sql)?;
    let count = statement.column_count();
    let mut rows = statement.query([])?;
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        all.push((0..count).map(|column| Ok(value(row.get_ref(column)?))).collect::<rusqlite::Result<_>>()?);
    }
    Ok(all)
}

fn value(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Null => Value::None,
        ValueRef::Integer(integer) => Value::Integer(integer),
        ValueRef::Real(real) => Value::Real(real),
        ValueRef::Text(text) => Value::Text(String::from_utf8(text.to_vec()).unwrap()),
        ValueRef::Blob(bytes) => Value::Bytes(bytes.to_vec()),
    }
}

fn all<R>(plain: &Connection, sql: &str, of: impl FnMut(&Row<'_>) -> rusqlite::Result<R>) -> Vec<R> {
    let mut statement = plain.prepare(sql).unwrap();
    statement.query_map([], of).unwrap().collect::<rusqlite::Result<_>>().unwrap()
}
