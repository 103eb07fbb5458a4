//! Opening: find out what the file is before anything is written to it, then make or load it.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use rusqlite::{Connection, ErrorCode};
use uuid::Uuid;

use super::cipher::{self, Cipher};
use super::connection;
use crate::commit::{Clock, Randomness};
use crate::entity::Definition;
use crate::error::{Error, KeyProblem, Result};
use crate::quota::Quota;
use crate::schema::{
    self, APPLICATION_ID, Catalog, FORMAT_VERSION, NewFile, NewSpread, Partitioning, Role, ToRegister,
};

/// The one name of a store's file, whatever links lead to it.
pub(super) fn canonical(path: &Path) -> Result<PathBuf> {
    match path.canonicalize() {
        Ok(path) => Ok(path),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let name = path
                .file_name()
                .ok_or_else(|| Error::invalid("path", format!("{} names no file", path.display())))?;
            let folder = match path.parent() {
                Some(folder) if !folder.as_os_str().is_empty() => folder,
                _ => Path::new("."),
            };
            let folder = folder.canonicalize().map_err(|error| match error.kind() {
                ErrorKind::NotFound => {
                    Error::invalid("path", format!("the folder {} does not exist", folder.display()))
                }
                _ => Error::io(folder.display().to_string(), error),
            })?;
            Ok(folder.join(name))
        }
        Err(error) => Err(Error::io(path.display().to_string(), error)),
    }
}

/// What SQLCipher encrypts at a time, and so what an encrypted file is a multiple of.
const CIPHER_PAGE: u64 = 4096;

/// Refuses what is not a store, by its header alone, before SQLite touches it. Of a file that is to be encrypted
/// that tells little: [`inspect_encrypted`] does the rest.
/// <https://sqlite.org/fileformat2.html#the_database_header>
pub(super) fn inspect(path: &Path, encrypted: bool) -> Result<()> {
    let mut header = [0; 100];
    let mut file = File::open(path).map_err(|error| Error::io(path.display().to_string(), error))?;
    let length = file.metadata().map_err(|error| Error::io(path.display().to_string(), error))?.len();
    if length == 0 {
        return Err(Error::corrupt(format!(
            "{} is empty, so it is not a store; delete it and open the path again to make one",
            path.display()
        )));
    }
    let foreign = || Error::corrupt(format!("{} is not a SQLite database, or is encrypted", path.display()));
    file.read_exact(&mut header).map_err(|_| foreign())?;
    if !header.starts_with(b"SQLite format 3\0") {
        // What every header has besides: such a file was a plain one, and its beginning is damaged.
        if header[21..24] == [64, 32, 32] {
            return Err(foreign());
        }
        return match (length.is_multiple_of(CIPHER_PAGE), encrypted) {
            (true, true) => Ok(()),
            (true, false) => Err(Error::Key { path: path.to_owned(), problem: NO_KEY }),
            (false, true) => Err(Error::corrupt(format!(
                "{} is cut off, or is no store: it is no whole number of encrypted pages; restore it from a backup",
                path.display()
            ))),
            (false, false) => Err(foreign()),
        };
    }
    let number = |at: usize| u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    if number(68) != APPLICATION_ID.cast_unsigned() {
        return Err(Error::corrupt(format!(
            "{} is a SQLite database of another application, not a Tenantry store",
            path.display()
        )));
    }
    if encrypted {
        return Err(Error::Key { path: path.to_owned(), problem: KeyProblem::NotEncrypted });
    }
    check_version(number(60).cast_signed())?;
    let page_size = match u16::from_be_bytes([header[16], header[17]]) {
        1 => 65_536,
        size => u64::from(size),
    };
    // Before a checkpoint is through, the rest of the pages is in the WAL.
    let has_wal = fs::metadata(with_suffix(path, "-wal")).is_ok_and(|wal| wal.len() > 0);
    if !has_wal && length < u64::from(number(28)) * page_size {
        return Err(Error::corrupt(format!(
            "{} is cut off: it is shorter than its header says; restore it from a backup",
            path.display()
        )));
    }
    Ok(())
}

/// What a file without a header that can be read lacks.
const NO_KEY: KeyProblem =
    if cfg!(feature = "sqlcipher") { KeyProblem::Missing } else { KeyProblem::Unsupported };

/// Refuses what is not a store of this key, before anything is written.
///
/// A file that lies alone is read as if it could never change (<https://sqlite.org/uri.html#uriimmutable>): without locks,
/// and nothing appears beside it. One with a log of writes has to be read with that, also since a store that got
/// another key and was not closed has it only there; then SQLite may make the log's index anew.
pub(super) fn inspect_encrypted(path: &Path, cipher: &Cipher) -> Result<()> {
    let has_log = || fs::metadata(with_suffix(path, "-wal")).is_ok_and(|log| log.len() > 0);
    if !has_log() {
        match inspect_header(path, connection::untouching(path, cipher)?) {
            // Another process began to write meanwhile.
            Err(Error::Key { .. } | Error::Corrupt { .. }) if has_log() => {}
            outcome => return outcome,
        }
    }
    inspect_header(path, connection::looking(path, cipher)?)
}

fn inspect_header(path: &Path, connection: Connection) -> Result<()> {
    let number = |name| connection.query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, i32>(0));
    let application = number("application_id").map_err(|error| match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt) => Error::corrupt(format!(
            "{} is cut off: it is shorter than its header says; restore it from a backup",
            path.display()
        )),
        Some(ErrorCode::NotADatabase) => wrong_key(path),
        _ => Error::from(error),
    })?;
    if application != APPLICATION_ID {
        return Err(Error::corrupt(format!(
            "{} is an encrypted SQLite database of another application, not a Tenantry store",
            path.display()
        )));
    }
    check_version(number("user_version")?)
}

fn wrong_key(path: &Path) -> Error {
    Error::Key { path: path.to_owned(), problem: KeyProblem::Wrong }
}

/// Whether the file, with what is in its log, is encrypted with a key.
#[cfg(feature = "sqlcipher")]
pub(super) fn check_key(path: &Path, cipher: &Cipher) -> Result<()> {
    inspect_header(path, connection::looking(path, cipher)?)
}

fn check_version(version: i32) -> Result<()> {
    match version {
        FORMAT_VERSION => Ok(()),
        newer if newer > FORMAT_VERSION => Err(Error::schema(format!(
            "the file has format {newer} and this program knows up to {FORMAT_VERSION}: it was written by a newer version of Tenantry; update the program"
        ))),
        _ => Err(Error::corrupt("the file has a format version that no Tenantry has written")),
    }
}

pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Why nothing could be made in a folder.
pub(super) fn not_made(folder: &Path, error: std::io::Error) -> Error {
    match error.kind() {
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => Error::ReadOnly {
            reason: format!("no store can be made in {}: the folder can not be written", folder.display()),
        },
        _ => Error::io(folder.display().to_string(), error),
    }
}

/// Makes a new store beside its final name and moves it there whole. The claim on the path keeps
/// others from doing the same, so what lies there already was left by a program that ended meanwhile.
pub(super) fn create(
    path: &Path,
    cipher: Option<&Cipher>,
    clock: &Clock,
    new: &NewFile,
    device: Uuid,
) -> Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    for suffix in [".new-journal", ".new"] {
        // If one can't be removed, making the file anew says why.
        let _ = fs::remove_file(with_suffix(&folder.join(&name), suffix));
    }
    let file = tempfile::Builder::new()
        .prefix(&name)
        .suffix(".new")
        .rand_bytes(0)
        .tempfile_in(folder)
        .map_err(|error| not_made(folder, error))?;
    // Closes the plain handle, before SQLite has locks that this would drop.
    let file = file.into_temp_path();
    let mut connection = connection::creator(&file, cipher)?;
    schema::create(&mut connection, new, device, clock().as_microsecond())?;
    connection.close().map_err(|(_, error)| error)?;
    #[cfg(test)]
    crate::crash::moment();
    file.persist_noclobber(path).map_err(|error| match error.error.kind() {
        ErrorKind::AlreadyExists => {
            Error::Busy { reason: "another program made the file in this moment; open it again" }
        }
        _ => Error::io(path.display().to_string(), error.error),
    })?;
    Ok(())
}

/// Makes a new store: a file, or the catalog of a folder.
pub(super) fn create_store(
    path: &Path,
    cipher: Option<&Cipher>,
    partitioning: Partitioning,
    clock: &Clock,
    randomness: &Randomness,
) -> Result<()> {
    let mut device = [0; 16];
    let mut origin = [0; 32];
    randomness(&mut device)?;
    randomness(&mut origin)?;
    let spread = match partitioning {
        Partitioning::Single => None,
        Partitioning::Fixed(_) | Partitioning::PerTenant => {
            let mut salt = [0; 32];
            randomness(&mut salt)?;
            // The catalog keeps the key of the partitions, so that its own is the only one that ever changes.
            let key = cipher.map(|_| cipher::new_key()).transpose()?;
            Some(NewSpread { partitioning, salt, key })
        }
    };
    let device = uuid::Builder::from_random_bytes(device).into_uuid();
    create(path, cipher, clock, &NewFile::Store { origin, spread }, device)
}

/// What an opened file holds.
pub(super) struct Opened {
    pub(super) catalog: Catalog,
    pub(super) device: Uuid,
}

/// Loads the definitions and adds the ones that are new, in one transaction.
pub(super) fn load(
    path: &Path,
    role: Role,
    connection: &mut Connection,
    wanted: Vec<Definition>,
    quotas: &[(String, Quota)],
) -> Result<Opened> {
    check_role(connection, path, role)?;
    let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    let (catalog, unknown) = schema::plan(load_stored(&transaction)?, wanted, quotas)?;
    if !unknown.is_empty() {
        schema::register(&transaction, &catalog, &unknown)?;
    }
    let device = schema::device(&transaction)?;
    transaction.commit()?;
    Ok(Opened { catalog, device })
}

/// Loads the definitions of a store that is only read; wanted ones must be there.
pub(super) fn load_read_only(
    path: &Path,
    role: Role,
    connection: &Connection,
    wanted: Vec<Definition>,
    quotas: &[(String, Quota)],
) -> Result<Opened> {
    check_role(connection, path, role)?;
    // Whose reads are recorded is a matter of whoever writes.
    let (catalog, unknown) = schema::plan(load_stored(connection)?, wanted, quotas)?;
    if let Some(table) = unknown.new.first().and_then(|&position| catalog.tables().get(position)) {
        return Err(Error::schema(format!(
            "the file does not hold the entity {:?}, and it is open only for reading",
            table.entity()
        )));
    }
    Ok(Opened { catalog, device: schema::device(connection)? })
}

/// Refuses a file that is another part of a store, or another store's.
fn check_role(connection: &Connection, path: &Path, wanted: Role) -> Result<()> {
    check_version(connection.query_row("PRAGMA user_version", [], |row| row.get(0))?)?;
    let found = damaged(schema::role(connection))?;
    if found == wanted { Ok(()) } else { Err(super::spread::wrong_role(path, found)) }
}

/// Brings the entities of a partition in step with the catalog's.
pub(super) fn load_partition(
    connection: &mut Connection,
    path: &Path,
    catalog: &Catalog,
    device: Uuid,
) -> Result<()> {
    let unknown = check_partition(connection, path, catalog, device)?;
    if !unknown.is_empty() {
        let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        schema::register(&transaction, catalog, &unknown)?;
        transaction.commit()?;
    }
    Ok(())
}

pub(super) fn load_partition_read_only(
    connection: &Connection,
    path: &Path,
    catalog: &Catalog,
    device: Uuid,
) -> Result<()> {
    let unknown = check_partition(connection, path, catalog, device)?;
    match unknown.new.first().and_then(|&position| catalog.tables().get(position)) {
        None => Ok(()),
        Some(table) => Err(Error::schema(format!(
            "{} does not hold the entity {:?} yet, and it is open only for reading: open the store for writing once",
            path.display(),
            table.entity()
        ))),
    }
}

/// What a partition does not know of the catalog's entities: it has the first so many.
fn check_partition(
    connection: &Connection,
    path: &Path,
    catalog: &Catalog,
    device: Uuid,
) -> Result<ToRegister> {
    check_role(connection, path, Role::Partition)?;
    if schema::device(connection)? != device {
        return Err(Error::corrupt("it belongs to another store; put the right file in its place"));
    }
    let stored = load_stored(connection)?;
    let same = stored.iter().zip(catalog.tables()).all(|(stored, table)| {
        (stored.key, stored.version) == (table.key, table.version)
            && stored.definition.is_like(&table.definition)
    });
    if !same || stored.len() > catalog.tables().len() {
        return Err(Error::corrupt(
            "its entities are not those of the catalog; one of the two files is of another time",
        ));
    }
    let both = stored.iter().zip(catalog.tables()).enumerate();
    let changed = both.filter(|(_, (stored, table))| stored.definition != table.definition);
    Ok(ToRegister {
        changed: changed.map(|(position, _)| position).collect(),
        new: (stored.len()..catalog.tables().len()).collect(),
    })
}

/// The header again, through SQLite: a newer program may have changed it in the WAL.
fn load_stored(connection: &Connection) -> Result<Vec<schema::StoredDefinition>> {
    check_version(connection.query_row("PRAGMA user_version", [], |row| row.get(0))?)?;
    damaged(schema::load(connection))
}

fn damaged<T>(read: Result<T>) -> Result<T> {
    read.map_err(|error| match error {
        Error::Io { source, .. } => Error::Corrupt {
            what: "the store's own tables are damaged; restore the file from a backup".to_owned(),
            source: Some(source),
        },
        other => other,
    })
}
