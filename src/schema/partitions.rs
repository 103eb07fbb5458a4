//! A store of several files, as its catalog describes it: which partitions there are, who lives in
//! which, and what still has to follow in one of them.

use std::fmt;

use rusqlite::{Connection, OptionalExtension, params};
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};
use crate::identity::TenantKey;
use crate::schema::NewSpread;

/// What a file is of a store: its `_store.role`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// All of it.
    File,
    Catalog,
    Partition,
}

impl Role {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Role::File => "file",
            Role::Catalog => "catalog",
            Role::Partition => "partition",
        }
    }
}

/// How the tenants of a store are spread over files.
///
/// ```
/// # use tenantry::{Partitioning, Store};
/// # fn main() -> tenantry::Result<()> {
/// let store = Store::builder().partitions(4).temporary()?;
/// assert_eq!(store.partitions().partitioning()?, Partitioning::Fixed(4));
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Partitioning {
    /// One file holds all.
    Single,
    /// A catalog and so many files, over which users and organizations are spread by a hash.
    Fixed(u32),
    /// A catalog, and a file for each user and each organization.
    PerTenant,
}

impl fmt::Display for Partitioning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Partitioning::Single => f.write_str("one file"),
            Partitioning::Fixed(files) => write!(f, "{files} partitions"),
            Partitioning::PerTenant => f.write_str("a file for each tenant"),
        }
    }
}

/// The partitioning that a catalog holds, and the salt of its hashes.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    pub(crate) partitioning: Partitioning,
    salt: [u8; 32],
}

impl Layout {
    /// The name of the file in which a new user or organization lives.
    pub(crate) fn place(&self, kind: &str, id: &str) -> String {
        match self.partitioning {
            Partitioning::Fixed(partitions) => {
                let hash = self.hash(&[kind.as_bytes(), id.as_bytes()]);
                let mut number = [0; 8];
                number.copy_from_slice(&hash[..8]);
                let number = u64::from_be_bytes(number) % u64::from(partitions);
                self.name(&[b"partition", &number.to_be_bytes()])
            }
            Partitioning::PerTenant | Partitioning::Single => self.name(&[kind.as_bytes(), id.as_bytes()]),
        }
    }

    fn name(&self, parts: &[&[u8]]) -> String {
        let hash = self.hash(parts);
        let digits: String = hash[..8].iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{PREFIX}{digits}{SUFFIX}")
    }

    fn hash(&self, parts: &[&[u8]]) -> [u8; 32] {
        let mut hash = Sha256::new_with_prefix(self.salt);
        for part in parts {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        hash.finalize().into()
    }
}

const PREFIX: &str = "tenants-";
const SUFFIX: &str = ".db";

/// Whether a file in a store's folder is called as partitions are.
pub(crate) fn is_name(name: &str) -> bool {
    name.starts_with(PREFIX) && name.ends_with(SUFFIX)
}

/// Writes the layout of a new catalog.
pub(crate) fn create(connection: &Connection, new: &NewSpread) -> Result<()> {
    let sql = "INSERT INTO _layout (one, partitions, salt, next, key) VALUES (1, ?1, ?2, 1, ?3)";
    let key = new.key.as_ref().map(|key| key.0);
    connection.execute(sql, params![stored(new.partitioning), new.salt, key])?;
    Ok(())
}

/// The key of an encrypted store's partitions.
pub(crate) struct FileKey(pub(crate) [u8; 32]);

impl fmt::Debug for FileKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FileKey(..)")
    }
}

/// What the partitions of a catalog are encrypted with, if they are.
pub(crate) fn file_key(connection: &Connection) -> Result<Option<FileKey>> {
    let key: Option<[u8; 32]> = connection.query_row("SELECT key FROM _layout", [], |row| row.get(0))?;
    Ok(key.map(FileKey))
}

fn stored(partitioning: Partitioning) -> Option<u32> {
    match partitioning {
        Partitioning::Fixed(partitions) => Some(partitions),
        Partitioning::PerTenant | Partitioning::Single => None,
    }
}

pub(crate) fn layout(connection: &Connection) -> Result<Layout> {
    let found = connection
        .prepare_cached("SELECT partitions, salt FROM _layout")?
        .query_row([], |row| Ok((row.get::<_, Option<u32>>(0)?, row.get(1)?)))
        .optional()?;
    let (partitions, salt) =
        found.ok_or_else(|| Error::corrupt("the catalog does not say how tenants are spread"))?;
    Ok(Layout { partitioning: partitions.map_or(Partitioning::PerTenant, Partitioning::Fixed), salt })
}

/// New tenants are spread otherwise from now on.
pub(crate) fn set_partitioning(connection: &Connection, partitioning: Partitioning) -> Result<()> {
    connection.execute("UPDATE _layout SET partitions = ?1", params![stored(partitioning)])?;
    Ok(())
}

/// A partition as the catalog names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoredPartition {
    pub(crate) key: i64,
    pub(crate) name: String,
    /// Users and organizations that live in it.
    pub(crate) homes: u64,
    /// The last change that the catalog has forgotten, since the partition has carried it out.
    pub(crate) forgotten: i64,
}

const PARTITION: &str = "SELECT p.key, p.name, (SELECT count(*) FROM _home AS h WHERE h.partition = p.key), p.forgotten FROM _partition AS p";

fn partition(row: &rusqlite::Row<'_>) -> rusqlite::Result<StoredPartition> {
    let homes = row.get::<_, i64>(2)?.unsigned_abs();
    Ok(StoredPartition { key: row.get(0)?, name: row.get(1)?, homes, forgotten: row.get(3)? })
}

pub(crate) fn all(connection: &Connection) -> Result<Vec<StoredPartition>> {
    let mut statement = connection.prepare_cached(&format!("{PARTITION} ORDER BY p.key"))?;
    let partitions = statement.query_map([], partition)?.collect::<rusqlite::Result<_>>()?;
    Ok(partitions)
}

/// The partition of a key, unless it is gone.
pub(crate) fn lookup(connection: &Connection, key: i64) -> Result<Option<StoredPartition>> {
    let mut statement = connection.prepare_cached(&format!("{PARTITION} WHERE p.key = ?1"))?;
    Ok(statement.query_row([key], partition).optional()?)
}

pub(crate) fn find(connection: &Connection, key: i64) -> Result<StoredPartition> {
    lookup(connection, key)?
        .ok_or_else(|| Error::corrupt("the catalog names a partition that it does not describe"))
}

/// The partition of a name, described if it is new.
pub(crate) fn find_or_create(connection: &Connection, name: &str) -> Result<i64> {
    if let Some(key) = find_named(connection, name)? {
        return Ok(key);
    }
    let mut key = [0; 8];
    key.copy_from_slice(&Sha256::digest(name)[..8]);
    let key = i64::from_be_bytes(key) & i64::MAX;
    connection
        .prepare_cached("INSERT INTO _partition (key, name) VALUES (?1, ?2)")?
        .execute(params![key, name])?;
    Ok(key)
}

pub(crate) fn find_named(connection: &Connection, name: &str) -> Result<Option<i64>> {
    let sql = "SELECT key FROM _partition WHERE name = ?1";
    Ok(connection.prepare_cached(sql)?.query_row([name], |row| row.get(0)).optional()?)
}

pub(crate) fn forget(connection: &Connection, key: i64) -> Result<()> {
    connection.execute("DELETE FROM _former WHERE partition = ?1", [key])?;
    connection.execute("DELETE FROM _partition WHERE key = ?1", [key])?;
    Ok(())
}

/// In which partition a user or an organization lives.
pub(crate) fn home(connection: &Connection, tenant: TenantKey) -> Result<Option<i64>> {
    let sql = "SELECT partition FROM _home WHERE tenant = ?1";
    Ok(connection.prepare_cached(sql)?.query_row([tenant.get()], |row| row.get(0)).optional()?)
}

pub(crate) fn set_home(connection: &Connection, tenant: TenantKey, partition: i64) -> Result<()> {
    let sql = "INSERT INTO _home (tenant, partition) VALUES (?1, ?2) \
               ON CONFLICT (tenant) DO UPDATE SET partition = excluded.partition";
    connection.prepare_cached(sql)?.execute([tenant.get(), partition])?;
    Ok(())
}

/// Users and organizations and where they live: those after one of them, at most `limit`.
pub(crate) fn homes(connection: &Connection, after: i64, limit: u32) -> Result<Vec<(TenantKey, i64)>> {
    let sql = "SELECT tenant, partition FROM _home WHERE tenant > ?1 ORDER BY tenant LIMIT ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params![after, limit])?;
    let mut homes = Vec::new();
    while let Some(row) = rows.next()? {
        homes.push((TenantKey::from_stored(row.get(0)?)?, row.get(1)?));
    }
    Ok(homes)
}

/// Something of a tenant is in this partition, or will be, and stays in its pages when it goes from there.
pub(crate) fn note_former(connection: &Connection, tenant: TenantKey, partition: i64) -> Result<()> {
    let sql = "INSERT INTO _former (tenant, partition) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
    connection.prepare_cached(sql)?.execute([tenant.get(), partition])?;
    Ok(())
}

/// Where else something of a tenant may be.
pub(crate) fn former(connection: &Connection, tenant: TenantKey) -> Result<Vec<i64>> {
    let mut statement = connection.prepare_cached("SELECT partition FROM _former WHERE tenant = ?1")?;
    let partitions = statement.query_map([tenant.get()], |row| row.get(0))?;
    Ok(partitions.collect::<rusqlite::Result<_>>()?)
}

/// An intent leaves traces in a partition, which are to be scrubbed.
pub(crate) fn set_scrub(connection: &Connection, partition: i64, intent: i64) -> Result<()> {
    let sql = "UPDATE _partition SET scrub = ?2 WHERE key = ?1";
    connection.prepare_cached(sql)?.execute([partition, intent])?;
    Ok(())
}

/// Partitions with traces of those who were erased, and by which intent last.
pub(crate) fn to_scrub(connection: &Connection) -> Result<Vec<(i64, i64)>> {
    let sql = "SELECT key, scrub FROM _partition WHERE scrub IS NOT NULL ORDER BY key";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// A partition was scrubbed of what was erased up to an intent.
pub(crate) fn scrubbed(connection: &Connection, partition: i64, intent: i64) -> Result<()> {
    let sql = "UPDATE _partition SET scrub = NULL WHERE key = ?1 AND scrub = ?2";
    connection.prepare_cached(sql)?.execute([partition, intent])?;
    Ok(())
}

/// What an intent is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IntentKind {
    Change,
    Erase,
    Clear,
}

impl IntentKind {
    fn as_str(self) -> &'static str {
        match self {
            IntentKind::Change => "change",
            IntentKind::Erase => "erase",
            IntentKind::Clear => "clear",
        }
    }
}

/// Something that has to follow in a partition.
pub(crate) struct StoredIntent {
    pub(crate) number: i64,
    pub(crate) tenant: TenantKey,
    pub(crate) kind: IntentKind,
    pub(crate) body: Vec<u8>,
}

/// Notes what has to follow in a partition; the intent's number.
pub(crate) fn intend(
    connection: &Connection,
    partition: i64,
    tenant: TenantKey,
    kind: IntentKind,
    body: &[u8],
) -> Result<i64> {
    let sql = "UPDATE _layout SET next = next + 1 RETURNING next - 1";
    let number: i64 = connection.prepare_cached(sql)?.query_row([], |row| row.get(0))?;
    let sql = "INSERT INTO _intent (number, partition, tenant, kind, body) VALUES (?1, ?2, ?3, ?4, ?5)";
    connection.prepare_cached(sql)?.execute(params![number, partition, tenant.get(), kind.as_str(), body])?;
    Ok(number)
}

/// What has to follow in a partition, in the order in which it was decided.
pub(crate) fn intents(connection: &Connection, partition: i64) -> Result<Vec<StoredIntent>> {
    let sql = "SELECT number, tenant, kind, body FROM _intent WHERE partition = ?1 ORDER BY number";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([partition])?;
    let mut intents = Vec::new();
    while let Some(row) = rows.next()? {
        let kind = match row.get::<_, String>(2)?.as_str() {
            "change" => IntentKind::Change,
            "erase" => IntentKind::Erase,
            _ => IntentKind::Clear,
        };
        intents.push(StoredIntent {
            number: row.get(0)?,
            tenant: TenantKey::from_stored(row.get(1)?)?,
            kind,
            body: row.get(3)?,
        });
    }
    Ok(intents)
}

/// The partitions in which something is left that has to go.
pub(crate) fn to_clear(connection: &Connection) -> Result<Vec<i64>> {
    let mut statement = connection.prepare("SELECT DISTINCT partition FROM _intent WHERE kind = 'clear'")?;
    let partitions = statement.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    Ok(partitions)
}

/// An intent was carried out, for good.
pub(crate) fn done(connection: &Connection, number: i64) -> Result<()> {
    let sql = "UPDATE _partition SET forgotten = max(forgotten, ?1) \
               WHERE key = (SELECT partition FROM _intent WHERE number = ?1 AND kind <> 'clear')";
    connection.prepare_cached(sql)?.execute([number])?;
    connection.prepare_cached("DELETE FROM _intent WHERE number = ?1")?.execute([number])?;
    Ok(())
}

/// How much was decided so far: the number of the next intent.
pub(crate) fn decided(connection: &Connection) -> Result<i64> {
    Ok(connection.prepare_cached("SELECT next FROM _layout")?.query_row([], |row| row.get(0))?)
}

/// In a partition: the last change that was carried out in it.
pub(crate) fn applied(connection: &Connection) -> Result<i64> {
    Ok(connection.prepare_cached("SELECT applied FROM _store")?.query_row([], |row| row.get(0))?)
}

pub(crate) fn set_applied(connection: &Connection, number: i64) -> Result<()> {
    connection.prepare_cached("UPDATE _store SET applied = ?1")?.execute([number])?;
    Ok(())
}

/// The version of a file's reference records.
pub(crate) fn reference_version(connection: &Connection) -> Result<i64> {
    Ok(connection.prepare_cached("SELECT reference FROM _store")?.query_row([], |row| row.get(0))?)
}

pub(crate) fn set_reference_version(connection: &Connection, version: i64) -> Result<()> {
    connection.prepare_cached("UPDATE _store SET reference = ?1")?.execute([version])?;
    Ok(())
}
