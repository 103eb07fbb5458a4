//! What of a log is gone on purpose, and the entry of the log that says so. The row of
//! `_audit_checkpoint` is what SQL and triggers look at; anybody who writes the file could write it, so it
//! is worth nothing unless the newest `audit.expire` of the chain states the same.

use rusqlite::{Connection, OptionalExtension, params};

use super::chain::Hash;
use super::log::StoredEntry;
use super::payload::PayloadWriter;
use super::verify;
use crate::entity::Value;
use crate::error::Result;
use crate::identity::TenantKey;

/// The action of entries that state a checkpoint.
pub(crate) const EXPIRE: &str = "audit.expire";

/// Up to which number of a log what is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Checkpoint {
    /// The log's own: nothing else holds it once the first entry is gone.
    pub(crate) origin: Hash,
    pub(crate) payloads: i64,
    pub(crate) entries: i64,
    /// Of the last entry that may be gone; the origin if none may.
    pub(crate) hash: Hash,
}

impl Checkpoint {
    /// Nothing is gone.
    pub(crate) fn none(origin: Hash) -> Self {
        Self { origin, payloads: 0, entries: 0, hash: origin }
    }

    /// That of a log with this origin, if it has one.
    pub(crate) fn load(connection: &Connection, tenant: TenantKey, origin: Hash) -> Result<Option<Self>> {
        let sql = "SELECT payloads, entries, hash FROM _audit_checkpoint WHERE tenant = ?1";
        let row = connection.prepare_cached(sql)?.query_row([tenant.get()], |row| {
            Ok(Self { origin, payloads: row.get(0)?, entries: row.get(1)?, hash: row.get(2)? })
        });
        Ok(row.optional()?)
    }

    /// What a log says is gone.
    pub(crate) fn known(connection: &Connection, tenant: TenantKey) -> Result<Self> {
        let origin = verify::ends(connection, tenant)?.origin;
        Ok(Self::load(connection, tenant, origin)?.unwrap_or(Self::none(origin)))
    }

    /// From here on triggers let go what it covers. Worth nothing without the entry that states it:
    /// `Unit::expire` writes both.
    pub(crate) fn store(&self, connection: &Connection, tenant: TenantKey) -> Result<()> {
        let sql = "INSERT INTO _audit_checkpoint (tenant, payloads, entries, hash) VALUES (?1, ?2, ?3, ?4) \
                   ON CONFLICT (tenant) DO UPDATE SET payloads = ?2, entries = ?3, hash = ?4";
        connection.prepare_cached(sql)?.execute(params![
            tenant.get(),
            self.payloads,
            self.entries,
            self.hash
        ])?;
        Ok(())
    }

    /// The payload of the entry that states it.
    pub(crate) fn payload(&self, before: &Self) -> Vec<u8> {
        let mut payload = PayloadWriter::new();
        let bytes = |hash: &Hash| Value::Bytes(hash.to_vec());
        payload.change("origin", &bytes(&before.origin), &bytes(&self.origin));
        payload.change("payloads", &before.payloads.into(), &self.payloads.into());
        payload.change("entries", &before.entries.into(), &self.entries.into());
        payload.change("hash", &bytes(&before.hash), &bytes(&self.hash));
        payload.finish()
    }

    /// The one that an entry states; none if it states none, or its payload is gone.
    pub(crate) fn stated_by(entry: &StoredEntry) -> Option<Self> {
        let changes = entry.changes().ok()??;
        let [origin, payloads, entries, hash] = &changes[..] else { return None };
        let number = |change: &super::Change, column: &str| match change.after {
            Value::Integer(number) if change.column == column => Some(number),
            _ => None,
        };
        let hash_of = |change: &super::Change, column: &str| match &change.after {
            Value::Bytes(bytes) if change.column == column => Hash::try_from(&bytes[..]).ok(),
            _ => None,
        };
        Some(Self {
            origin: hash_of(origin, "origin")?,
            payloads: number(payloads, "payloads")?,
            entries: number(entries, "entries")?,
            hash: hash_of(hash, "hash")?,
        })
    }
}
