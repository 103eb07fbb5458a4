//! One open SQLite file of a store: its connections for reading, and its writer.

use std::path::Path;
use std::sync::{Arc, PoisonError};
use std::time::Duration;
#[cfg(feature = "sqlcipher")]
use std::time::Instant;

use rusqlite::Connection;
use uuid::Uuid;

use super::connection::{self, Durability};
use super::file::StoreFile;
use super::lock::Claim;
use super::readers::{Classes, Readers};
use super::sql::{self, SqlPool};
#[cfg(feature = "sqlcipher")]
use super::{Key, cipher, open};
use crate::cache::Cache;
#[cfg(feature = "sqlcipher")]
use crate::commit::NotReconnected;
use crate::commit::{Checkpoints, Clock, CommitTotals, Committer, Randomness, Writer};
#[cfg(feature = "sqlcipher")]
use crate::error::KeyProblem;
use crate::error::{Error, Result};
use crate::monitor::ReaderStats;
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicI64, Ordering};

/// How the files of a store are opened.
pub(super) struct Settings {
    pub(super) durability: Durability,
    pub(super) readers: u32,
    /// Connections for tenants' own SQL.
    pub(super) sql: u32,
    pub(super) wait_timeout: Duration,
    pub(super) record_bytes_max: usize,
    pub(super) clock: Clock,
    pub(super) randomness: Randomness,
    /// Rows of all files: a tenant's key is the same in each.
    pub(super) cache: Option<Arc<Cache>>,
    pub(super) classes: Arc<Classes>,
}

/// An open file.
pub(crate) struct Part {
    file: Arc<StoreFile>,
    pub(super) readers: Readers,
    pub(super) sql: Arc<SqlPool>,
    /// None for a store that is open only for reading.
    committer: Option<Arc<Committer>>,
    claim: Mutex<Option<Claim>>,
    /// Of a partition: its key in the catalog.
    pub(super) key: Option<i64>,
    /// Of a partition: the last change that was decided for it in the catalog, and the last one that
    /// was carried out in it.
    pub(super) decided: AtomicI64,
    pub(super) applied: AtomicI64,
}

impl Part {
    pub(super) fn new(
        file: Arc<StoreFile>,
        claim: Claim,
        committer: Option<Arc<Committer>>,
        settings: &Settings,
    ) -> Self {
        let classes = Arc::clone(&settings.classes);
        Self {
            readers: Readers::new(&file, settings.readers, settings.wait_timeout, classes),
            file,
            sql: sql::pool(settings.sql, settings.wait_timeout),
            committer,
            claim: Mutex::new(Some(claim)),
            key: None,
            decided: AtomicI64::new(0),
            applied: AtomicI64::new(0),
        }
    }

    /// The file's writer, on a connection that has loaded its definitions.
    pub(super) fn committer_of(
        file: &Arc<StoreFile>,
        connection: Connection,
        device: Uuid,
        settings: &Settings,
    ) -> Result<Arc<Committer>> {
        let writer = Writer::new(
            connection,
            Arc::clone(&settings.clock),
            Arc::clone(&settings.randomness),
            device,
            settings.record_bytes_max,
            settings.cache.clone(),
        )?;
        let file = Arc::clone(file);
        let checkpoints = Checkpoints::new(move || connection::checkpointer(&file));
        Ok(Arc::new(Committer::new(writer, settings.wait_timeout, checkpoints)))
    }

    pub(super) fn path(&self) -> &Path {
        self.file.path()
    }

    pub(super) fn file(&self) -> &StoreFile {
        &self.file
    }

    pub(crate) fn is_read_only(&self) -> bool {
        self.committer.is_none()
    }

    pub(crate) fn committer(&self) -> Result<&Arc<Committer>> {
        self.committer
            .as_ref()
            .ok_or_else(|| Error::ReadOnly { reason: "the store is open only for reading".to_owned() })
    }

    /// Whether everything that was decided for it has been carried out in it.
    pub(super) fn is_caught_up(&self) -> bool {
        self.decided.load(Ordering::Acquire) <= self.applied.load(Ordering::Acquire)
    }

    /// Which state of the reference records the file holds.
    pub(super) fn reference_version(&self) -> i64 {
        self.committer.as_ref().map_or(0, |committer| committer.reference_version())
    }

    pub(super) fn add_stats(&self, commits: &mut CommitTotals, readers: &mut ReaderStats) {
        if let Some(committer) = &self.committer {
            committer.add_stats(commits);
        }
        self.readers.add_stats(readers);
    }

    /// Encrypts the file anew. Nobody reads or writes it meanwhile: who wants to waits. A kill at any moment leaves it
    /// with the one key or the other, since all pages are written in one transaction.
    #[cfg(feature = "sqlcipher")]
    pub(super) fn rekey(&self, key: &Key, durability: Durability, wait: Duration) -> Result<()> {
        let committer = self.committer()?;
        let path = self.path().to_owned();
        let Some(old) = self.file.cipher() else {
            return Err(Error::Key { path, problem: KeyProblem::NotEncrypted });
        };
        let new = Arc::new(key.for_file(self.path())?);
        committer.reconnect(|| {
            let until = Instant::now() + wait;
            let _readers = self.readers.pause(until).map_err(NotReconnected::Kept)?;
            let _sql = self.sql.pause(until).map_err(NotReconnected::Kept)?;
            let rekeyed = cipher::rekey(&self.file, &new);
            // Not what that says counts, but what the file holds.
            if let Err(error) = open::check_key(self.path(), &new) {
                let error = rekeyed.err().unwrap_or(error);
                return Err(match open::check_key(self.path(), &old) {
                    Ok(()) => NotReconnected::Kept(not_rekeyed(error)),
                    Err(_) => NotReconnected::Lost(error),
                });
            }
            self.file.set_cipher(new);
            let connection = connection::writer(&self.file, durability).map_err(NotReconnected::Lost)?;
            empty_log(&connection);
            Ok(connection)
        })
    }

    /// Closes the file. The writer first: if a transaction stays open, the file does so too.
    pub(super) fn close(&self) -> Result<()> {
        let outcome = self.committer.as_ref().map_or(Ok(()), |committer| committer.close());
        if let Err(Error::Busy { .. }) = outcome {
            return outcome;
        }
        let (read, sql) = (self.readers.close(), self.sql.close());
        if read && sql {
            // Otherwise the path stays claimed until the last iterator over it is gone.
            self.claim.lock().unwrap_or_else(PoisonError::into_inner).take();
        }
        outcome
    }

    /// Says of which file an error speaks.
    pub(crate) fn name_in(&self, error: Error) -> Error {
        if self.key.is_none() {
            return error;
        }
        let name = self.path().display();
        match error {
            Error::Corrupt { what, source } => {
                Error::Corrupt { what: format!("partition {name}: {what}"), source }
            }
            Error::Io { what, source } => Error::Io { what: format!("partition {name} ({what})"), source },
            other => other,
        }
    }
}

/// A key that opens nothing is no reason that a caller can do anything about; that nothing was written is one.
#[cfg(feature = "sqlcipher")]
fn not_rekeyed(error: Error) -> Error {
    match error {
        Error::Key { .. } => {
            Error::io("encrypting the store anew", "it has the key that it had: nothing was changed")
        }
        other => other,
    }
}

/// Takes what was encrypted with the former key out of the file and its log.
#[cfg(feature = "sqlcipher")]
fn empty_log(connection: &Connection) {
    let busy = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, bool>(0));
    if !matches!(busy, Ok(false)) {
        tracing::warn!(
            "another process reads the store: pages with the former key stay in it until a later checkpoint"
        );
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            tracing::warn!(%error, "a file did not close cleanly; the next opening recovers it");
        }
    }
}
