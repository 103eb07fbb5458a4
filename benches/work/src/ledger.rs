//! What the audited sides compute for every change, without storing it: a UUIDv7 that is greater
//! than the tenant's last one, the payload, the entry with its place in the tenant's hash chain, and
//! the numbers kept for the tenant. A side stores the row, the [`Entry`] and the [`Head`], all in
//! one transaction.

use std::borrow::Cow;

use anyhow::{Result, ensure};
use jiff::Timestamp;
use rmp::encode;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::task::Task;

/// The device that is named in every entry.
pub const DEVICE: [u8; 16] = [7; 16];

/// The key of a tenant in the tables.
#[must_use]
pub fn key(tenant: usize) -> i64 {
    tenant as i64 + 1
}

/// What is kept for a tenant, so that a change needs not look for it in rows and entries.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Head {
    /// Rows.
    pub count: i64,
    /// Bytes of the rows.
    pub bytes: i64,
    /// The number of the next entry.
    pub next: i64,
    /// The hash of the last entry.
    pub hash: [u8; 32],
    /// The clock of the last entry.
    pub clock: i64,
    /// The last id that was given out.
    pub last_id: u128,
}

impl Head {
    /// Of a tenant that has nothing yet.
    #[must_use]
    pub fn new(tenant: i64) -> Self {
        let first = tenant.to_be_bytes()[7];
        Self { count: 0, bytes: 0, next: 1, hash: [first; 32], clock: 0, last_id: 0 }
    }
}

/// The heads in memory, for sides that have one writer; and where random bytes come from.
#[derive(Debug)]
pub struct Heads {
    heads: Vec<Head>,
    random: Random,
}

impl Heads {
    /// Of tenants that have nothing yet.
    #[must_use]
    pub fn new(tenants: usize) -> Self {
        Self { heads: (0..tenants).map(|tenant| Head::new(key(tenant))).collect(), random: Random::default() }
    }

    /// The ledger of one transaction. Give its head to [`keep`](Self::keep) once it has committed.
    pub fn begin(&mut self, tenant: usize) -> Ledger<'_> {
        Ledger::new(key(tenant), self.heads[tenant].clone(), &mut self.random)
    }

    /// Remembers the head of a transaction that has committed.
    pub fn keep(&mut self, tenant: usize, head: Head) {
        self.heads[tenant] = head;
    }
}

/// Random bytes, asked for in larger pieces: one system call for each would cost more than SHA-256.
#[derive(Debug)]
pub struct Random {
    buffer: [u8; 1024],
    used: usize,
}

impl Default for Random {
    fn default() -> Self {
        Self { buffer: [0; 1024], used: 1024 }
    }
}

impl Random {
    fn fill(&mut self) -> Result<[u8; 16]> {
        if self.used + 16 > self.buffer.len() {
            getrandom::fill(&mut self.buffer)?;
            self.used = 0;
        }
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&self.buffer[self.used..self.used + 16]);
        self.used += 16;
        Ok(bytes)
    }
}

/// A row as it is stored, which an update and a deletion read first.
#[derive(Debug)]
pub struct Stored {
    /// Its version.
    pub version: i64,
    /// Its values.
    pub task: Task,
    /// Its tags as they are stored.
    pub tags: Vec<u8>,
}

/// An audit entry and its payload.
#[derive(Debug, Serialize, Deserialize)]
pub struct Entry {
    /// Place in the tenant's log.
    pub number: i64,
    /// The number of the first entry of the same transaction.
    pub txn: i64,
    /// Greater than the clock of the entry before.
    pub clock: i64,
    /// Microseconds since 1970.
    pub time: i64,
    /// `insert`, `update` or `delete`.
    pub action: Cow<'static, str>,
    /// The id of the task.
    pub record: Uuid,
    /// The hash of salt and payload.
    pub commitment: [u8; 32],
    /// The hash of the entry before.
    pub previous: [u8; 32],
    /// The hash of all of the above.
    pub hash: [u8; 32],
    /// Random bytes.
    pub salt: [u8; 16],
    /// What has changed, as MessagePack.
    pub payload: Vec<u8>,
}

/// The ledger of one transaction of one tenant.
#[derive(Debug)]
pub struct Ledger<'r> {
    /// The key of the tenant.
    pub tenant: i64,
    /// What the transaction has made of the tenant's head so far.
    pub head: Head,
    txn: i64,
    now: Timestamp,
    random: &'r mut Random,
}

impl<'r> Ledger<'r> {
    /// From the head as the last transaction left it.
    pub fn new(tenant: i64, head: Head, random: &'r mut Random) -> Self {
        let txn = head.next;
        Self { tenant, head, txn, now: Timestamp::now(), random }
    }

    /// When the transaction began, in microseconds.
    #[must_use]
    pub fn now(&self) -> i64 {
        self.now.as_microsecond()
    }

    /// A UUIDv7, greater than the tenant's last one.
    ///
    /// # Errors
    ///
    /// If the system has no random bytes.
    pub fn new_id(&mut self) -> Result<Uuid> {
        let random = u128::from_be_bytes(self.random.fill()?);
        let fresh = u128::try_from(self.now.as_millisecond())? << 80
            | 7 << 76
            | (random >> 64 & 0xfff) << 64
            | 0b10 << 62
            | random & ((1 << 62) - 1);
        let last = self.head.last_id;
        let id = if fresh >> 80 > last >> 80 { fresh } else { last + 1 + (random & 0xffff_ffff) };
        self.head.last_id = id;
        Ok(Uuid::from_u128(id))
    }

    /// The entry of an inserted task.
    ///
    /// # Errors
    ///
    /// If the system has no random bytes.
    pub fn insert(&mut self, id: Uuid, task: &Task, tags: &[u8]) -> Result<Entry> {
        self.head.count += 1;
        self.head.bytes += size(task, tags);
        let payload = whole(task, tags, true)?;
        self.entry("insert", id, payload)
    }

    /// The entry of an updated task.
    ///
    /// # Errors
    ///
    /// If the system has no random bytes.
    pub fn update(&mut self, id: Uuid, before: &Stored, after: &Task, tags: &[u8]) -> Result<Entry> {
        self.head.bytes += size(after, tags) - size(&before.task, &before.tags);
        let payload = changes(before, after, tags)?;
        self.entry("update", id, payload)
    }

    /// The entry of a deleted task.
    ///
    /// # Errors
    ///
    /// If the system has no random bytes.
    pub fn delete(&mut self, id: Uuid, before: &Stored) -> Result<Entry> {
        self.head.count -= 1;
        self.head.bytes -= size(&before.task, &before.tags);
        let payload = whole(&before.task, &before.tags, false)?;
        self.entry("delete", id, payload)
    }

    fn entry(&mut self, action: &'static str, record: Uuid, payload: Vec<u8>) -> Result<Entry> {
        let salt = self.random.fill()?;
        let commitment = commitment(&salt, &payload);
        let head = &mut self.head;
        let mut entry = Entry {
            number: head.next,
            txn: self.txn,
            clock: (self.now.as_millisecond() << 16).max(head.clock + 1),
            time: self.now.as_microsecond(),
            action: Cow::Borrowed(action),
            record,
            commitment,
            previous: head.hash,
            hash: [0; 32],
            salt,
            payload,
        };
        entry.hash = hash(self.tenant, &entry);
        head.next += 1;
        head.clock = entry.clock;
        head.hash = entry.hash;
        Ok(entry)
    }
}

fn commitment(salt: &[u8], payload: &[u8]) -> [u8; 32] {
    Sha256::new().chain_update(b"payload").chain_update(salt).chain_update(payload).finalize().into()
}

fn hash(tenant: i64, entry: &Entry) -> [u8; 32] {
    let mut bytes = Vec::with_capacity(256);
    bytes.extend_from_slice(b"hand-written-audit");
    for number in [entry.number, entry.txn, tenant, entry.clock, entry.time, 1] {
        bytes.extend_from_slice(&number.to_be_bytes());
    }
    bytes.extend_from_slice(&DEVICE);
    for text in [&*entry.action, "task", "ok"] {
        bytes.extend_from_slice(&(text.len() as u64).to_be_bytes());
        bytes.extend_from_slice(text.as_bytes());
    }
    bytes.extend_from_slice(entry.record.as_bytes());
    bytes.extend_from_slice(&entry.commitment);
    bytes.extend_from_slice(&entry.previous);
    Sha256::digest(&bytes).into()
}

/// The chain of one tenant, entry by entry, in the order of their numbers: what a side that has
/// skipped part of the work would fail.
#[derive(Debug)]
pub struct Chain {
    tenant: i64,
    next: i64,
    hash: [u8; 32],
    /// Bytes of the payloads so far.
    pub payload_bytes: i64,
}

impl Chain {
    /// Before the first entry.
    #[must_use]
    pub fn new(tenant: i64) -> Self {
        let head = Head::new(tenant);
        Self { tenant, next: head.next, hash: head.hash, payload_bytes: 0 }
    }

    /// Checks that this is the next entry.
    ///
    /// # Errors
    ///
    /// If its number, its hash, or what it says of the entry before or of its payload is wrong.
    pub fn follow(&mut self, entry: &Entry) -> Result<()> {
        ensure!(
            entry.number == self.next
                && entry.previous == self.hash
                && entry.commitment == commitment(&entry.salt, &entry.payload)
                && entry.hash == hash(self.tenant, entry),
            "the chain of tenant {} breaks at entry {}",
            self.tenant,
            entry.number
        );
        self.next += 1;
        self.hash = entry.hash;
        self.payload_bytes += i64::try_from(entry.payload.len())?;
        Ok(())
    }

    /// Checks that this is the head that belongs to the entries; how many there were.
    ///
    /// # Errors
    ///
    /// If it is not.
    pub fn finish(self, head: &Head) -> Result<i64> {
        ensure!(
            head.next == self.next && head.hash == self.hash,
            "the head of tenant {} is not that of its last entry",
            self.tenant
        );
        Ok(self.next - 1)
    }
}

/// What Tenantry counts: the content, 8 bytes for numbers and times, 64 for the row.
fn size(task: &Task, tags: &[u8]) -> i64 {
    let due = if task.due.is_some() { 8 } else { 0 };
    (task.title.len() + task.status.text().len() + due + 8 + tags.len() + task.body.len() + 64) as i64
}

/// The payload of an insert or a deletion, in Tenantry's form.
fn whole(task: &Task, tags: &[u8], inserted: bool) -> Result<Vec<u8>> {
    let mut payload = Vec::with_capacity(256);
    encode::write_map_len(&mut payload, if task.due.is_some() { 6 } else { 5 })?;
    let mut change = |name: &str, write: &dyn Fn(&mut Vec<u8>) -> Result<()>| -> Result<()> {
        encode::write_str(&mut payload, name)?;
        encode::write_array_len(&mut payload, 2)?;
        if inserted {
            encode::write_nil(&mut payload)?;
            write(&mut payload)
        } else {
            write(&mut payload)?;
            Ok(encode::write_nil(&mut payload)?)
        }
    };
    change("title", &|out| Ok(encode::write_str(out, &task.title)?))?;
    change("status", &|out| Ok(encode::write_str(out, task.status.text())?))?;
    if task.due.is_some() {
        change("due", &|out| write_due(out, task.due))?;
    }
    change("points", &|out| encode::write_sint(out, task.points).map(drop).map_err(Into::into))?;
    change("tags", &|out| write_ext(out, 3, tags))?;
    change("body", &|out| Ok(encode::write_str(out, &task.body)?))?;
    Ok(payload)
}

/// The payload of an update: the columns that differ, before and after.
fn changes(stored: &Stored, after: &Task, tags: &[u8]) -> Result<Vec<u8>> {
    let before = &stored.task;
    let mut body = Vec::with_capacity(512);
    let mut count = 0;
    let mut name = |body: &mut Vec<u8>, name| -> Result<()> {
        count += 1;
        encode::write_str(body, name)?;
        encode::write_array_len(body, 2)?;
        Ok(())
    };
    if before.title != after.title {
        name(&mut body, "title")?;
        encode::write_str(&mut body, &before.title)?;
        encode::write_str(&mut body, &after.title)?;
    }
    if before.status != after.status {
        name(&mut body, "status")?;
        encode::write_str(&mut body, before.status.text())?;
        encode::write_str(&mut body, after.status.text())?;
    }
    if before.due != after.due {
        name(&mut body, "due")?;
        write_due(&mut body, before.due)?;
        write_due(&mut body, after.due)?;
    }
    if before.points != after.points {
        name(&mut body, "points")?;
        encode::write_sint(&mut body, before.points)?;
        encode::write_sint(&mut body, after.points)?;
    }
    if before.tags != after.tags {
        name(&mut body, "tags")?;
        write_ext(&mut body, 3, &stored.tags)?;
        write_ext(&mut body, 3, tags)?;
    }
    if before.body != after.body {
        name(&mut body, "body")?;
        encode::write_str(&mut body, &before.body)?;
        encode::write_str(&mut body, &after.body)?;
    }
    let mut payload = Vec::with_capacity(body.len() + 5);
    encode::write_map_len(&mut payload, count)?;
    payload.extend_from_slice(&body);
    Ok(payload)
}

fn write_due(out: &mut Vec<u8>, due: Option<Timestamp>) -> Result<()> {
    match due {
        Some(due) => write_ext(out, 2, &due.as_microsecond().to_be_bytes()),
        None => Ok(encode::write_nil(out)?),
    }
}

fn write_ext(out: &mut Vec<u8>, kind: i8, bytes: &[u8]) -> Result<()> {
    encode::write_ext_meta(out, u32::try_from(bytes.len())?, kind)?;
    out.extend_from_slice(bytes);
    Ok(())
}
