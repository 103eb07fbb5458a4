//! What a suite runs on: plain stores, or with the feature `sqlcipher` encrypted ones.

#![allow(dead_code, unreachable_pub, clippy::unwrap_used)] // Not every suite looks into files.

use std::path::Path;

use rusqlite::Connection;
use tenantry::{Builder, Error, SqlRow, SqlRows, Store};

/// Of every store that is made here, so that another process opens it too.
#[cfg(feature = "sqlcipher")]
const KEY: [u8; 32] = *b"the key of the stores of tests..";

/// In place of [`Store::builder`].
#[cfg(not(feature = "sqlcipher"))]
pub fn builder() -> Builder {
    Store::builder()
}

/// In place of [`Store::builder`].
#[cfg(feature = "sqlcipher")]
pub fn builder() -> Builder {
    Store::builder().encryption_key(tenantry::Key::raw(KEY))
}

/// Looks into a file past the library, as another tool does that has the key.
#[cfg(not(feature = "sqlcipher"))]
pub fn look(path: impl AsRef<Path>) -> Connection {
    Connection::open(path).unwrap()
}

/// Looks into a file past the library, as another tool does that has the key.
#[cfg(feature = "sqlcipher")]
pub fn look(path: impl AsRef<Path>) -> Connection {
    let path = path.as_ref();
    let catalog = path.with_file_name("catalog.db");
    if path.file_name() == catalog.file_name() || !catalog.exists() {
        return keyed(path, KEY);
    }
    // The catalog keeps the key of the partitions.
    keyed(path, keyed(&catalog, KEY).query_row("SELECT key FROM _layout", [], |row| row.get(0)).unwrap())
}

/// All that a result tells: `Debug` leaves the values out, since they may be secret.
pub fn shown(outcome: &Result<SqlRows, Error>) -> String {
    match outcome {
        Ok(rows) => {
            let values: Vec<_> = rows.rows().iter().map(SqlRow::values).collect();
            format!("{:?} {values:?}", rows.columns())
        }
        Err(error) => format!("{error:?}"),
    }
}

#[cfg(feature = "sqlcipher")]
fn keyed(path: &Path, key: [u8; 32]) -> Connection {
    let connection = Connection::open(path).unwrap();
    let digits: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
    connection.pragma_update(None, "key", format!("x'{digits}'")).unwrap();
    connection
}
