//! The canonical encoding of an entry, its commitment and its hash: `docs/audit-format.md`.

use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::identity::Mark;

pub(crate) type Hash = [u8; 32];

/// What an entry is bound to, in the order of its encoding.
#[derive(Debug, Clone)]
pub(crate) struct Link<'a> {
    pub(crate) number: i64,
    pub(crate) txn: i64,
    pub(crate) actor: Option<Mark>,
    pub(crate) admin: Option<Mark>,
    pub(crate) device: Uuid,
    pub(crate) clock: i64,
    pub(crate) time: i64,
    pub(crate) action: &'a str,
    pub(crate) entity: Option<&'a str>,
    pub(crate) record: Option<Uuid>,
    pub(crate) outcome: &'a str,
    pub(crate) definition: Option<i64>,
    pub(crate) undoes: Option<i64>,
    pub(crate) reason: Option<&'a str>,
    pub(crate) commitment: Hash,
    pub(crate) previous: Hash,
}

impl Link<'_> {
    pub(crate) fn hash(&self) -> Hash {
        let mut bytes = Vec::with_capacity(256);
        bytes.extend_from_slice(b"tenantry-audit-1");
        bytes.extend_from_slice(&self.number.to_be_bytes());
        bytes.extend_from_slice(&self.txn.to_be_bytes());
        optional(&mut bytes, self.actor.map(|mark| mark.0));
        optional(&mut bytes, self.admin.map(|mark| mark.0));
        bytes.extend_from_slice(self.device.as_bytes());
        bytes.extend_from_slice(&self.clock.to_be_bytes());
        bytes.extend_from_slice(&self.time.to_be_bytes());
        text(&mut bytes, self.action);
        optional_text(&mut bytes, self.entity);
        optional(&mut bytes, self.record.map(Uuid::into_bytes));
        text(&mut bytes, self.outcome);
        optional(&mut bytes, self.definition.map(i64::to_be_bytes));
        optional(&mut bytes, self.undoes.map(i64::to_be_bytes));
        optional_text(&mut bytes, self.reason);
        bytes.extend_from_slice(&self.commitment);
        bytes.extend_from_slice(&self.previous);
        Sha256::digest(&bytes).into()
    }
}

fn optional<const N: usize>(bytes: &mut Vec<u8>, value: Option<[u8; N]>) {
    match value {
        Some(value) => {
            bytes.push(1);
            bytes.extend_from_slice(&value);
        }
        None => bytes.push(0),
    }
}

fn optional_text(bytes: &mut Vec<u8>, value: Option<&str>) {
    match value {
        Some(value) => {
            bytes.push(1);
            text(bytes, value);
        }
        None => bytes.push(0),
    }
}

/// Length first, so that no two entries have one encoding.
fn text(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend_from_slice(&(text.len() as u64).to_be_bytes());
    bytes.extend_from_slice(text.as_bytes());
}

/// With a salt of another length the same bytes could be cut elsewhere into salt and body.
pub(crate) const SALT_BYTES: usize = 16;

/// Binds an entry to its payload; the salt keeps a deleted payload from being guessed.
pub(crate) fn commitment(salt: &[u8], body: &[u8]) -> Hash {
    Sha256::new().chain_update(b"tenantry-payload-1").chain_update(salt).chain_update(body).finalize().into()
}
