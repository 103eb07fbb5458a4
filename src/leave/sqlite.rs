//! Everything of a tenant as a SQLite file that any tool reads: a table for each entity, with readable
//! columns and no tenant in them, unique sets, indexes and foreign keys; the log; the reference records that
//! are referred to.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use rusqlite::types::Value as SqlValue;
use rusqlite::{Connection, params, params_from_iter};

use super::Exported;
use super::json_lines::time;
use super::source::{Leaving, References, Source, definition_of, reference_values};
use crate::audit::export::changes_json;
use crate::audit::log::StoredEntry;
use crate::entity::{ColumnKind, Direction, Tenancy, Value, hex, json_of, time_of};
use crate::error::{Error, Result};
use crate::statement::Table;
use crate::statement::check::CheckedRow;

/// Writes the file under another name and moves it into place whole.
pub(super) fn write(source: &Source, path: &Path) -> Result<Exported> {
    let exists =
        || Error::invalid("path", format!("{} exists already; choose another, or remove it", path.display()));
    if fs::symlink_metadata(path).is_ok() {
        return Err(exists());
    }
    let failed = |error: std::io::Error| Error::io(path.display().to_string(), error);
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let file = tempfile::Builder::new().prefix(".").suffix(".new").tempfile_in(folder).map_err(failed)?;
    // Closes the plain handle, before SQLite has locks that this would drop.
    let file = file.into_temp_path();
    let connection = crate::store::connection::creator(&file, None)?;
    let (rows, entries) = fill(source, &connection)?;
    connection.close().map_err(|(_, error)| error)?;
    let bytes = fs::metadata(&file).map_err(failed)?.len();
    file.persist_noclobber(path).map_err(|error| match error.error.kind() {
        std::io::ErrorKind::AlreadyExists => exists(),
        _ => failed(error.error),
    })?;
    Ok(Exported { rows, entries, bytes, digest: None })
}

fn fill(source: &Source, connection: &Connection) -> Result<(u64, u64)> {
    // Rows come in the order of entities and not of their references, which are looked at in the end.
    connection.pragma_update(None, "foreign_keys", false)?;
    let transaction = connection.unchecked_transaction()?;
    let shapes: Vec<Shape<'_>> =
        source.entities().into_iter().map(|table| Shape::of(source, table)).collect();
    connection.execute_batch(OWN_TABLES)?;
    for shape in &shapes {
        connection.execute_batch(&shape.create_sql())?;
    }
    about(source, connection)?;
    let mut references = References::default();
    let (mut rows, mut entries) = (0, 0);
    for tenant in &source.tenants {
        for shape in shapes.iter().filter(|shape| shape.table.definition.tenancy() == tenant.tenancy) {
            source.rows(shape.table, tenant, |row| {
                rows += 1;
                references.note(source.catalog(), shape.table, &row.values);
                shape.insert(
                    connection,
                    tenant.member.as_ref().map(|member| &*member.user),
                    &source.as_read(shape.table, row)?,
                )
            })?;
        }
        entries += log(source, connection, tenant)?;
    }
    references.close(source.connection()?, source.catalog())?;
    let by_name: HashMap<&str, &Shape<'_>> =
        shapes.iter().map(|shape| (shape.table.entity(), shape)).collect();
    for (entity, id) in references.iter() {
        let Some(shape) = by_name.get(entity) else { continue };
        let values = reference_values(source.connection()?, shape.table, id)?;
        let row = CheckedRow { number: 0, id, version: 0, updated: 0, author: None, values };
        shape.insert(connection, None, &row)?;
    }
    let dangling: Option<String> = {
        let mut statement = connection.prepare("PRAGMA foreign_key_check")?;
        let mut rows = statement.query([])?;
        rows.next()?.map(|row| row.get(0)).transpose()?
    };
    if dangling.is_some() {
        return Err(Error::corrupt("a record refers to one that is not there; run `Store::check`"));
    }
    transaction.commit()?;
    Ok((rows, entries))
}

/// Names that no entity has.
const OWN_TABLES: &str = "
CREATE TABLE _export (name TEXT PRIMARY KEY NOT NULL, value TEXT NOT NULL) STRICT;
CREATE TABLE members (
    \"user\" TEXT PRIMARY KEY NOT NULL, role TEXT NOT NULL, active INTEGER NOT NULL, created TEXT NOT NULL
) STRICT;
CREATE TABLE audit (
    number INTEGER PRIMARY KEY NOT NULL, txn INTEGER NOT NULL, actor TEXT, admin TEXT, device TEXT NOT NULL,
    clock INTEGER NOT NULL, time TEXT NOT NULL, action TEXT NOT NULL, entity TEXT, record TEXT,
    outcome TEXT NOT NULL, definition INTEGER, undoes INTEGER, reason TEXT, changes TEXT, hash TEXT NOT NULL
) STRICT;
CREATE TABLE private_audit (
    member TEXT NOT NULL REFERENCES members (\"user\"),
    number INTEGER NOT NULL, txn INTEGER NOT NULL, actor TEXT, admin TEXT, device TEXT NOT NULL,
    clock INTEGER NOT NULL, time TEXT NOT NULL, action TEXT NOT NULL, entity TEXT, record TEXT,
    outcome TEXT NOT NULL, definition INTEGER, undoes INTEGER, reason TEXT, changes TEXT, hash TEXT NOT NULL,
    PRIMARY KEY (member, number)
) STRICT;
";

/// Who left, and who is in the organization.
fn about(source: &Source, connection: &Connection) -> Result<()> {
    let mut statement = connection.prepare("INSERT INTO _export (name, value) VALUES (?1, ?2)")?;
    let created = time(source.created)?;
    for (name, value) in [
        ("form", "1"),
        ("kind", source.kind.as_str()),
        ("id", &source.id),
        ("name", &source.name),
        ("created", &created),
    ] {
        statement.execute([name, value])?;
    }
    for table in source.entities() {
        statement.execute([&format!("definition of {}", table.entity()), &definition_of(table).to_json()])?;
    }
    let mut statement = connection
        .prepare("INSERT INTO members (\"user\", role, active, created) VALUES (?1, ?2, ?3, ?4)")?;
    for member in source.members() {
        statement.execute(params![
            member.user,
            member.role.as_str(),
            member.active,
            time(member.created)?
        ])?;
    }
    Ok(())
}

fn log(source: &Source, connection: &Connection, tenant: &Leaving) -> Result<u64> {
    let columns = "number, txn, actor, admin, device, clock, time, action, entity, record, outcome, definition, undoes, reason, changes, hash";
    let marks = (1..=16).map(|number| format!("?{number}")).collect::<Vec<_>>().join(", ");
    let sql = match &tenant.member {
        None => format!("INSERT INTO audit ({columns}) VALUES ({marks})"),
        Some(_) => format!("INSERT INTO private_audit ({columns}, member) VALUES ({marks}, ?17)"),
    };
    let mut statement = connection.prepare(&sql)?;
    let mut entries = 0;
    let integer = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    StoredEntry::each_readable(source.connection()?, tenant.key, |entry| {
        entries += 1;
        let mut values: Vec<SqlValue> = vec![
            integer(entry.number).into(),
            integer(entry.transaction).into(),
            entry.actor.map(String::from).into(),
            entry.admin.map(String::from).into(),
            entry.device.to_string().into(),
            integer(entry.clock).into(),
            entry.time.to_string().into(),
            entry.action.into(),
            entry.entity.into(),
            entry.record.map(|record| record.to_string()).into(),
            entry.outcome.into(),
            entry.definition_version.map(integer).into(),
            entry.undoes.map(integer).into(),
            entry.reason.into(),
            entry.changes.as_deref().map(changes_json).transpose()?.into(),
            hex(&entry.hash).into(),
        ];
        values.extend(tenant.member.as_ref().map(|member| SqlValue::from(member.user.clone())));
        statement.execute(params_from_iter(values))?;
        Ok(())
    })?;
    Ok(entries)
}

/// An entity as a table of its own.
struct Shape<'s> {
    table: &'s Table,
    /// Where references point, by column.
    targets: Vec<Option<&'s Table>>,
    insert: String,
}

impl<'s> Shape<'s> {
    fn of(source: &'s Source, table: &'s Table) -> Self {
        let targets = table.definition.columns().iter().map(|column| match column.kind() {
            ColumnKind::Reference { entity, .. } => source.catalog().get(entity).ok().map(|table| &**table),
            _ => None,
        });
        let mut shape = Self { table, targets: targets.collect(), insert: String::new() };
        shape.insert = shape.insert_sql();
        shape
    }

    fn is_of_members(&self) -> bool {
        self.table.definition.tenancy() == Tenancy::Member
    }

    fn own(&self, name: &str) -> String {
        own(self.table, name)
    }

    /// The columns that every record has.
    fn own_columns(&self) -> Vec<String> {
        let mut columns = Vec::new();
        if self.is_of_members() {
            columns.push(self.own("member"));
        }
        columns.push(self.own("id"));
        if self.table.definition.tenancy() != Tenancy::Reference {
            columns.extend(["version", "created", "updated"].map(|name| self.own(name)));
        }
        if self.table.definition.has_author() {
            columns.push(self.own("author"));
        }
        columns
    }

    fn create_sql(&self) -> String {
        let definition = &self.table.definition;
        let (name, id, member) = (quote(definition.name()), self.own("id"), self.own("member"));
        let mut sql = format!("CREATE TABLE {name} (\n");
        if self.is_of_members() {
            let _ = writeln!(
                sql,
                "    {member} TEXT NOT NULL REFERENCES members (\"user\"),\n    {id} TEXT NOT NULL,"
            );
        } else {
            let _ = writeln!(sql, "    {id} TEXT PRIMARY KEY NOT NULL,");
        }
        if definition.tenancy() != Tenancy::Reference {
            let (version, created, updated) = (self.own("version"), self.own("created"), self.own("updated"));
            let _ = writeln!(
                sql,
                "    {version} INTEGER NOT NULL,\n    {created} TEXT NOT NULL,\n    {updated} TEXT NOT NULL,"
            );
        }
        if definition.has_author() {
            let _ = writeln!(sql, "    {} TEXT,", self.own("author"));
        }
        for column in definition.columns() {
            let _ = write!(sql, "    {} {}", quote(column.name()), sql_type(column.kind()));
            sql.push_str(if column.is_optional() { ",\n" } else { " NOT NULL,\n" });
        }
        if self.is_of_members() {
            let _ = writeln!(sql, "    PRIMARY KEY ({member}, {id}),");
        }
        for (column, target) in definition.columns().iter().zip(&self.targets) {
            let Some(target) = target else { continue };
            let (column, name, id) = (quote(column.name()), quote(target.entity()), own(target, "id"));
            let _ = match target.definition.tenancy() {
                Tenancy::Member => {
                    let whose = own(target, "member");
                    writeln!(sql, "    FOREIGN KEY ({member}, {column}) REFERENCES {name} ({whose}, {id}),")
                }
                _ => writeln!(sql, "    FOREIGN KEY ({column}) REFERENCES {name} ({id}),"),
            };
        }
        // The last comma of the list.
        sql.truncate(sql.len() - 2);
        sql.push_str("\n) STRICT;\n");
        for (number, index) in definition.indexes().iter().enumerate() {
            let unique = if index.is_unique() { "UNIQUE " } else { "" };
            let own = if self.is_of_members() { Some(member.clone()) } else { None };
            let columns = index.columns().map(|(column, direction)| match direction {
                Direction::Asc => quote(column),
                Direction::Desc => format!("{} DESC", quote(column)),
            });
            let columns = own.into_iter().chain(columns).collect::<Vec<_>>().join(", ");
            let index = quote(&format!("_index{}_{}", number + 1, definition.name()));
            let _ = writeln!(sql, "CREATE {unique}INDEX {index} ON {name} ({columns});");
        }
        sql
    }

    fn insert_sql(&self) -> String {
        let columns = self.table.definition.columns().iter().map(|column| quote(column.name()));
        let columns: Vec<String> = self.own_columns().into_iter().chain(columns).collect();
        let marks = vec!["?"; columns.len()].join(", ");
        format!("INSERT INTO {} ({}) VALUES ({marks})", quote(self.table.entity()), columns.join(", "))
    }

    fn insert(&self, connection: &Connection, member: Option<&str>, row: &CheckedRow) -> Result<()> {
        let definition = &self.table.definition;
        let mut values: Vec<SqlValue> = Vec::new();
        values.extend(member.map(|member| SqlValue::Text(member.to_owned())));
        values.push(SqlValue::Text(row.id.to_string()));
        if definition.tenancy() != Tenancy::Reference {
            values.push(SqlValue::Integer(row.version));
            values.push(SqlValue::Text(time_of(row.id).to_string()));
            values.push(SqlValue::Text(time(row.updated)?));
        }
        if definition.has_author() {
            values.push(row.author.clone().into());
        }
        values.extend(row.values.iter().map(shown));
        connection.prepare_cached(&self.insert)?.execute(params_from_iter(values))?;
        Ok(())
    }
}

/// What a column of every record is called beside the entity's own.
fn own(table: &Table, name: &str) -> String {
    let taken = table.definition.columns().iter().any(|column| column.name().eq_ignore_ascii_case(name));
    quote(&if taken { format!("_{name}") } else { name.to_owned() })
}

fn sql_type(kind: &ColumnKind) -> &'static str {
    match kind {
        ColumnKind::Boolean | ColumnKind::Integer => "INTEGER",
        ColumnKind::Real => "REAL",
        ColumnKind::Bytes => "BLOB",
        _ => "TEXT",
    }
}

/// A value as a person reads it.
fn shown(value: &Value) -> SqlValue {
    match value {
        Value::None => SqlValue::Null,
        Value::Boolean(boolean) => SqlValue::Integer((*boolean).into()),
        Value::Integer(integer) => SqlValue::Integer(*integer),
        Value::Real(real) => SqlValue::Real(*real),
        Value::Text(text) => SqlValue::Text(text.clone()),
        Value::Bytes(bytes) => SqlValue::Blob(bytes.clone()),
        Value::Uuid(uuid) => SqlValue::Text(uuid.to_string()),
        Value::Time(time) => SqlValue::Text(time.to_string()),
        Value::Nested(nested) => SqlValue::Text(json_of(nested.as_bytes()).unwrap_or_default().to_string()),
    }
}

fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
