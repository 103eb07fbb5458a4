//! SQLite connections: how they are opened and hardened.

use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::cipher::Cipher;
use super::file::StoreFile;
use crate::error::{Error, Result};

/// What a write that was answered survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// A power loss, an operating system's crash and a kill of the process: every commit waits for
    /// the disk. Callers that write at the same time share the wait.
    #[default]
    Full,
    /// A kill of the process, and not a power loss or an operating system's crash: the last
    /// commits before one can be lost, whole, newest first. The file is never damaged and never
    /// holds half of a transaction.
    Normal,
}

impl Durability {
    fn synchronous(self) -> &'static str {
        match self {
            Durability::Full => "FULL",
            Durability::Normal => "NORMAL",
        }
    }
}

/// How long SQLite waits for a lock of another process before it says that it is busy.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// The same before another key is given.
#[cfg(feature = "sqlcipher")]
const REKEY_TIMEOUT: Duration = Duration::from_millis(500);
/// What the file of the write-ahead log may keep.
const LOG_BYTES: i64 = 96 << 20;
/// Statements that a connection keeps prepared.
const STATEMENTS: usize = 128;
/// The same, of a connection for one tenant's own SQL.
pub(crate) const SQL_STATEMENTS: usize = 32;

/// Neither URI names, which could turn locking off, nor a file made by opening it.
const READ_WRITE: OpenFlags = OpenFlags::SQLITE_OPEN_READ_WRITE.union(OpenFlags::SQLITE_OPEN_NO_MUTEX);
const READ_ONLY: OpenFlags = OpenFlags::SQLITE_OPEN_READ_ONLY.union(OpenFlags::SQLITE_OPEN_NO_MUTEX);

/// Opens a file with its key and the settings that every connection has.
fn open(path: &Path, cipher: Option<&Cipher>, flags: OpenFlags) -> Result<Connection> {
    let connection = Connection::open_with_flags(path, flags)?;
    if let Some(cipher) = cipher {
        cipher.unlock(&connection)?;
    }
    harden(&connection)?;
    Ok(connection)
}

fn open_file(file: &StoreFile, flags: OpenFlags) -> Result<Connection> {
    open(file.path(), file.cipher().as_deref(), flags)
}

/// The settings of every connection.
fn harden(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    // https://sqlite.org/security.html: no writes to the schema or to shadow tables by SQL, no
    // functions with side effects from views, no text in double quotes.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DML, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DDL, false)?;
    connection.pragma_update(None, "cell_size_check", true)?;
    connection.pragma_update(None, "mmap_size", 0)?;
    connection.pragma_update(None, "temp_store", "MEMORY")
}

/// The connection of the writer.
pub(crate) fn writer(file: &StoreFile, durability: Durability) -> Result<Connection> {
    let connection = open_file(file, READ_WRITE)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    // REPLACE in the audit log would else pass the trigger that refuses deletion.
    connection.pragma_update(None, "recursive_triggers", true)?;
    connection.pragma_update(None, "cache_size", -65_536)?; // KiB
    // https://sqlite.org/pragma.html#pragma_synchronous
    connection.pragma_update(None, "synchronous", durability.synchronous())?;
    let mode: String = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    if mode != "wal" {
        return Err(Error::io(
            "the store's file",
            format!(
                "the file system offers no shared memory for SQLite's WAL mode (it stays in mode {mode})"
            ),
        ));
    }
    // A reader can keep the log from beginning anew; once it does, the file shrinks to this.
    connection.pragma_update(None, "journal_size_limit", LOG_BYTES)?;
    // Instead of SQLite's own checkpoints, which make the writer wait.
    crate::commit::observe_log(&connection);
    Ok(connection)
}

/// A connection that moves the write-ahead log into the file, beside the writer.
pub(crate) fn checkpointer(file: &StoreFile) -> Result<Connection> {
    let connection = open_file(file, READ_WRITE)?;
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    Ok(connection)
}

/// A connection that builds a file anew. What SQLite puts aside for that can be as large as the file, and so is a file
/// too; but not of an encrypted one, since it need not be.
pub(crate) fn rebuilder(file: &StoreFile) -> Result<Connection> {
    let connection = checkpointer(file)?;
    if file.cipher().is_none() {
        connection.pragma_update(None, "temp_store", "FILE")?;
    }
    Ok(connection)
}

/// A connection that encrypts the file anew. All of it goes into the write-ahead log, so that is emptied first.
#[cfg(feature = "sqlcipher")]
pub(crate) fn rekeyer(file: &StoreFile) -> Result<Connection> {
    let connection = open_file(file, READ_WRITE)?;
    // Other tools alone can be in the way, and readers and writers wait meanwhile.
    connection.busy_timeout(REKEY_TIMEOUT)?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    Ok(connection)
}

/// A connection for a look at a file that nothing of the look changes, nor a file beside it.
pub(crate) fn untouching(path: &Path, cipher: &Cipher) -> Result<Connection> {
    let flags = READ_ONLY.union(OpenFlags::SQLITE_OPEN_URI);
    let connection = Connection::open_with_flags(uri(path) + "?immutable=1", flags)?;
    cipher.unlock(&connection)?;
    Ok(connection)
}

/// The same for a file with a log of writes beside it, which it reads too.
pub(crate) fn looking(path: &Path, cipher: &Cipher) -> Result<Connection> {
    let connection = Connection::open_with_flags(path, READ_ONLY)?;
    cipher.unlock(&connection)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    Ok(connection)
}

/// A path as a URI: <https://sqlite.org/uri.html>.
fn uri(path: &Path) -> String {
    let mut uri = "file:".to_owned();
    let text = path.as_os_str().as_encoded_bytes();
    // A drive of Windows.
    if !text.starts_with(b"/") {
        uri.push('/');
    }
    for byte in text {
        match byte {
            b'\\' if cfg!(windows) => uri.push('/'),
            byte if byte.is_ascii_alphanumeric() || b"/-_.:".contains(byte) => uri.push(char::from(*byte)),
            byte => uri.push_str(&format!("%{byte:02X}")),
        }
    }
    uri
}

/// A connection to an empty file that becomes a store. It is no WAL yet, so that the file is
/// whole by itself once the transaction is.
pub(crate) fn creator(path: &Path, cipher: Option<&Cipher>) -> Result<Connection> {
    let connection = open(path, cipher, READ_WRITE)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "synchronous", "EXTRA")?;
    Ok(connection)
}

/// A read-only connection.
pub(crate) fn reader(file: &StoreFile) -> Result<Connection> {
    let connection = open_file(file, READ_ONLY)?;
    connection.pragma_update(None, "cache_size", -8_192)?; // KiB
    connection.pragma_update(None, "query_only", true)?;
    Ok(connection)
}

/// A read-only connection for one tenant's own SQL, for as long as it lives.
pub(crate) fn sql(file: &StoreFile) -> Result<Connection> {
    let connection = open_file(file, READ_ONLY)?;
    for (setting, on) in [
        (DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_FTS3_TOKENIZER, false),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_ATTACH_CREATE, false),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_ATTACH_WRITE, false),
        // A plan that was looked at does not change with the values of parameters (https://sqlite.org/queryplanner-ng.html#qpstab).
        (DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true),
    ] {
        connection.set_db_config(setting, on)?;
    }
    connection.set_prepared_statement_cache_capacity(SQL_STATEMENTS);
    // Such an index would be made of all tenants' rows.
    connection.pragma_update(None, "automatic_index", false)?;
    connection.pragma_update(None, "cache_size", -2_048)?; // KiB
    connection.pragma_update(None, "cache_spill", false)?;
    Ok(connection)
}
