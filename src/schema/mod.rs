//! The store's own tables, and the definitions that the file holds.

mod catalog;
pub(crate) mod identities;
pub(crate) mod partitions;

pub(crate) use catalog::Catalog;
pub use partitions::Partitioning;
pub(crate) use partitions::{FileKey, Role};

use std::collections::BTreeSet;

use rusqlite::{Connection, OptionalExtension, params};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::entity::Definition;
use crate::error::{Error, Result};
use crate::quota::Quota;
use crate::statement::Table;

/// "Tnty": in the SQLite header of every store (<https://sqlite.org/pragma.html#pragma_application_id>).
pub(crate) const APPLICATION_ID: i32 = 0x546e_7479;
/// In the header's `user_version`. A program refuses files of a later format.
pub(crate) const FORMAT_VERSION: i32 = 1;

/// The store's own tables.
const CONTROL: &str = include_str!("../../schema.sql");

/// A table, index, trigger or view: its kind, its name, and the SQL that made it.
pub(crate) type Object = (String, String, Option<String>);

/// What the schema holds.
pub(crate) fn objects(connection: &Connection) -> Result<BTreeSet<Object>> {
    let mut statement = connection.prepare("SELECT type, name, sql FROM sqlite_schema")?;
    let objects = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    Ok(objects.collect::<rusqlite::Result<_>>()?)
}

/// What the schema should hold: the same statements, run on an empty database in memory.
pub(crate) fn expected_objects(catalog: &Catalog) -> Result<BTreeSet<Object>> {
    let scratch = Connection::open_in_memory()?;
    scratch.execute_batch(CONTROL)?;
    for table in catalog.tables() {
        scratch.execute_batch(&table.create_sql())?;
    }
    objects(&scratch)
}

/// What a new file is.
pub(crate) enum NewFile {
    /// A whole store, or the catalog of one: random bytes for the log of the reference records, and
    /// how a catalog spreads its tenants.
    Store {
        origin: [u8; 32],
        spread: Option<NewSpread>,
    },
    Partition,
}

/// How a new catalog spreads its tenants.
pub(crate) struct NewSpread {
    pub(crate) partitioning: Partitioning,
    pub(crate) salt: [u8; 32],
    /// What its partitions are encrypted with.
    pub(crate) key: Option<FileKey>,
}

/// Makes the store's own tables in an empty database, in one transaction.
pub(crate) fn create(connection: &mut Connection, file: &NewFile, device: Uuid, now: i64) -> Result<()> {
    let transaction = connection.transaction()?;
    transaction.execute_batch(CONTROL)?;
    let role = match file {
        NewFile::Store { spread: None, .. } => Role::File,
        NewFile::Store { spread: Some(_), .. } => Role::Catalog,
        NewFile::Partition => Role::Partition,
    };
    transaction.execute(
        "INSERT INTO _store (one, role, device, definitions, created) VALUES (1, ?1, ?2, ?3, ?4)",
        params![role.as_str(), device.as_bytes(), hash_of(std::iter::empty()), now],
    )?;
    if let NewFile::Store { origin, spread } = file {
        crate::commit::create_log(&transaction, crate::identity::TenantKey::REFERENCE, *origin)?;
        if let Some(spread) = spread {
            partitions::create(&transaction, spread)?;
        }
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", FORMAT_VERSION)?;
    transaction.commit()?;
    Ok(())
}

/// What the file is of a store.
pub(crate) fn role(connection: &Connection) -> Result<Role> {
    let role: String = connection.query_row("SELECT role FROM _store", [], |row| row.get(0))?;
    [Role::File, Role::Catalog, Role::Partition]
        .into_iter()
        .find(|known| known.as_str() == role)
        .ok_or_else(|| Error::corrupt("the file does not say what it is of a store"))
}

/// What erasing has left to do in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rest {
    Nothing,
    /// To build the file anew, without what is in pages that nothing uses any more.
    Rebuild,
    /// To empty the log of writes, which still holds what was in the file before.
    EmptyLog,
}

/// What erasing has left to do in the file.
pub(crate) fn rest(connection: &Connection) -> Result<Rest> {
    match connection.query_row("SELECT scrub FROM _store", [], |row| row.get(0))? {
        0 => Ok(Rest::Nothing),
        1 => Ok(Rest::Rebuild),
        2 => Ok(Rest::EmptyLog),
        _ => Err(Error::corrupt("the file does not say what erasing has left to do in it")),
    }
}

pub(crate) fn set_rest(connection: &Connection, rest: Rest) -> Result<()> {
    let stored = match rest {
        Rest::Nothing => 0,
        Rest::Rebuild => 1,
        Rest::EmptyLog => 2,
    };
    connection.prepare_cached("UPDATE _store SET scrub = ?1")?.execute([stored])?;
    Ok(())
}

/// The device that the file names.
pub(crate) fn device(connection: &Connection) -> Result<Uuid> {
    let bytes: Vec<u8> = connection.query_row("SELECT device FROM _store", [], |row| row.get(0))?;
    Uuid::from_slice(&bytes).map_err(|_| Error::corrupt("the store's device id is damaged"))
}

/// A definition as the file holds it.
#[derive(Debug)]
pub(crate) struct StoredDefinition {
    pub(crate) key: i64,
    pub(crate) version: i64,
    pub(crate) definition: Definition,
}

/// The definitions in the file, after comparing them with the hash that the file holds.
pub(crate) fn load(connection: &Connection) -> Result<Vec<StoredDefinition>> {
    let mut statement = connection.prepare("SELECT key, version, definition FROM _entity ORDER BY key")?;
    let mut rows = statement.query([])?;
    let mut stored = Vec::new();
    while let Some(row) = rows.next()? {
        let json: String = row.get(2)?;
        stored.push(StoredDefinition {
            key: row.get(0)?,
            version: row.get(1)?,
            definition: Definition::from_json(&json)?,
        });
    }
    let hash: Option<Vec<u8>> =
        connection.query_row("SELECT definitions FROM _store", [], |row| row.get(0)).optional()?;
    if hash.as_deref() != Some(&hash_of(stored.iter().map(|s| &s.definition))) {
        return Err(Error::corrupt(
            "the store's definitions were changed by another program; restore the file from a backup",
        ));
    }
    Ok(stored)
}

/// SHA-256 over the hashes of all definitions in the order of their keys.
fn hash_of<'d>(definitions: impl Iterator<Item = &'d Definition>) -> [u8; 32] {
    definitions.fold(Sha256::new(), |hash, definition| hash.chain_update(definition.hash())).finalize().into()
}

/// Positions in the catalog of what a file has to be told.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct ToRegister {
    /// Entities that it does not hold.
    pub(crate) new: Vec<usize>,
    /// Those of which it holds another definition, of the same records.
    pub(crate) changed: Vec<usize>,
}

impl ToRegister {
    pub(crate) fn is_empty(&self) -> bool {
        self.new.is_empty() && self.changed.is_empty()
    }
}

/// The catalog of the file's entities and the wanted ones, with the quotas of some; what of it the
/// file does not know.
pub(crate) fn plan(
    stored: Vec<StoredDefinition>,
    wanted: Vec<Definition>,
    quotas: &[(String, Quota)],
) -> Result<(Catalog, ToRegister)> {
    let mut all = stored;
    let mut unknown = ToRegister::default();
    for definition in wanted {
        definition.validate()?;
        match all.iter().position(|s| s.definition.name() == definition.name()) {
            Some(position) if all[position].definition == definition => {}
            Some(position) if all[position].definition.is_like(&definition) => {
                all[position].definition = definition;
                unknown.changed.push(position);
            }
            Some(position) => {
                let known = &all[position];
                return Err(Error::schema(format!(
                    "entity {:?} is defined otherwise in the file: {}; changing an entity that a store holds is not supported yet",
                    definition.name(),
                    difference(&known.definition, &definition)
                )));
            }
            None => {
                unknown.new.push(all.len());
                let key = all.last().map_or(1, |last| last.key + 1);
                all.push(StoredDefinition { key, version: 1, definition });
            }
        }
    }
    let mut catalog = Catalog::new(all)?;
    catalog.set_quotas(quotas)?;
    Ok((catalog, unknown))
}

/// Tells the file what it does not know of the catalog. Runs inside the opening's transaction.
pub(crate) fn register(connection: &Connection, catalog: &Catalog, unknown: &ToRegister) -> Result<()> {
    let tables = |positions: &'_ [usize]| -> Vec<&Table> {
        positions
            .iter()
            .filter_map(|&position| catalog.tables().get(position))
            .map(|table| &**table)
            .collect()
    };
    for table in tables(&unknown.changed) {
        connection.execute(
            "UPDATE _entity SET definition = ?2 WHERE key = ?1",
            params![table.key, table.definition.to_json()],
        )?;
    }
    let new = tables(&unknown.new);
    for table in &new {
        add(connection, table)?;
    }
    // Rows of nobody refer to rows of nobody, in circles too; until the commit.
    connection.pragma_update(None, "defer_foreign_keys", true)?;
    for table in &new {
        connection.execute_batch(&table.nobody_sql())?;
    }
    let hash = hash_of(catalog.tables().iter().map(|table| &table.definition));
    connection.execute("UPDATE _store SET definitions = ?1", params![hash])?;
    Ok(())
}

fn add(connection: &Connection, table: &Table) -> Result<()> {
    connection.execute(
        "INSERT INTO _entity (key, name, version, definition) VALUES (?1, ?2, ?3, ?4)",
        params![table.key, table.entity(), table.version, table.definition.to_json()],
    )?;
    connection.execute_batch(&table.create_sql())?;
    Ok(())
}

/// The first thing in which two definitions of one name differ.
pub(crate) fn difference(stored: &Definition, wanted: &Definition) -> String {
    if stored.tenancy() != wanted.tenancy() {
        return format!("there its tenancy is `{}`, here `{}`", stored.tenancy(), wanted.tenancy());
    }
    if stored.has_author() != wanted.has_author() {
        return format!("`author` is declared only {}", if stored.has_author() { "there" } else { "here" });
    }
    for column in stored.columns() {
        match wanted.columns().iter().find(|c| c.name() == column.name()) {
            None => return format!("column {:?} is missing here", column.name()),
            Some(other) if other != column => {
                return format!("column {:?} is declared differently", column.name());
            }
            Some(_) => {}
        }
    }
    if let Some(added) = wanted.columns().iter().find(|c| stored.position(c.name()).is_none()) {
        return format!("column {:?} is new here", added.name());
    }
    if stored.columns() != wanted.columns() {
        return "its columns stand in another order".to_owned();
    }
    "its indexes differ".to_owned()
}

/// Tables of statistics, which `ANALYZE` makes (<https://sqlite.org/lang_analyze.html>): they hold samples of all
/// tenants' values, and would choose the plans of tenants' own SQL. No statement of the store's own needs them.
fn statistics(connection: &Connection) -> Result<Vec<String>> {
    let sql =
        "SELECT name FROM main.sqlite_schema WHERE type = 'table' AND name LIKE 'sqlite\\_stat%' ESCAPE '\\'";
    let mut statement = connection.prepare(sql)?;
    let names = statement.query_map([], |row| row.get(0))?;
    Ok(names.collect::<rusqlite::Result<_>>()?)
}

pub(crate) fn has_statistics(connection: &Connection) -> Result<bool> {
    Ok(!statistics(connection)?.is_empty())
}

/// Takes them out of the file again.
pub(crate) fn drop_statistics(connection: &Connection) -> Result<()> {
    for table in statistics(connection)? {
        connection.execute_batch(&format!("DROP TABLE main.{table}"))?;
    }
    Ok(())
}
