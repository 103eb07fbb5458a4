//! One open SQLite file of a store: its connections for reading, and its writer.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use rusqlite::Connection;
use uuid::Uuid;

use super::connection::{self, Durability};
use super::lock::Claim;
use super::readers::{Classes, Readers};
use super::sql::{self, SqlPool};
use crate::cache::Cache;
use crate::commit::{Checkpoints, Clock, CommitTotals, Committer, Randomness, Writer};
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
    path: PathBuf,
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
        path: &Path,
        claim: Claim,
        committer: Option<Arc<Committer>>,
        settings: &Settings,
    ) -> Self {
        let classes = Arc::clone(&settings.classes);
        Self {
            path: path.to_owned(),
            readers: Readers::new(path, settings.readers, settings.wait_timeout, classes),
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
        path: &Path,
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
        let checkpoints = Checkpoints::new(path, connection::checkpointer);
        Ok(Arc::new(Committer::new(writer, settings.wait_timeout, checkpoints)))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn is_read_only(&self) -> bool {
        self.committer.is_none()
    }

    pub(crate) fn committer(&self) -> Result<&Arc<Committer>> {
        self.committer
            .as_ref()
            .ok_or_else(|| Error::ReadOnly { reason: "the store is open only for reading".to_owned() })
    }

    /// Removes what another tool's `ANALYZE` has left in the file.
    pub(super) fn drop_statistics(&self) -> Result<()> {
        if self.is_read_only() {
            return Err(Error::ReadOnly {
                reason: "the file holds statistics of all tenants' values, which another tool made by ANALYZE and which \
                         would change plans; a program that has the store open for writing removes them at its next SQL"
                    .to_owned(),
            });
        }
        connection::drop_statistics(&self.path)
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
        let name = self.path.display();
        match error {
            Error::Corrupt { what, source } => {
                Error::Corrupt { what: format!("partition {name}: {what}"), source }
            }
            Error::Io { what, source } => Error::Io { what: format!("partition {name} ({what})"), source },
            other => other,
        }
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            tracing::warn!(%error, "a file did not close cleanly; the next opening recovers it");
        }
    }
}
