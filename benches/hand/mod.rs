//! What Tenantry's verbs do, written out by hand with rusqlite, as one would for one application:
//! an appended rowid, an integer tenant column, indexes that lead with it, statements from the
//! cache, heads in memory, a hash chain for each tenant. It knows its columns at compile time,
//! checks no sessions and has one connection for reading: what a library can at best come near to.

use std::collections::HashMap;
use std::hint::black_box;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use jiff::Timestamp;
use rmp::encode;
use rusqlite::{Connection, Row, params};
use sha2::{Digest, Sha256};
use tenantry::Uuid;

use crate::{Side, Status, Task, Totals};

const SCHEMA: &str = "
CREATE TABLE tenant (key INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE task (
    number  INTEGER PRIMARY KEY,
    tenant  INTEGER NOT NULL REFERENCES tenant (key),
    id      BLOB    NOT NULL,
    version INTEGER NOT NULL,
    updated INTEGER NOT NULL,
    title   TEXT    NOT NULL,
    status  TEXT    NOT NULL,
    due     INTEGER,
    points  INTEGER NOT NULL,
    tags    BLOB    NOT NULL,
    body    TEXT    NOT NULL
) STRICT;
CREATE UNIQUE INDEX task_id ON task (tenant, id);
CREATE INDEX task_status ON task (tenant, status, due);
CREATE TABLE row_head (
    tenant INTEGER PRIMARY KEY REFERENCES tenant (key),
    count  INTEGER NOT NULL,
    bytes  INTEGER NOT NULL
) STRICT;
CREATE TABLE log_head (
    tenant  INTEGER PRIMARY KEY REFERENCES tenant (key),
    next    INTEGER NOT NULL,
    hash    BLOB    NOT NULL,
    clock   INTEGER NOT NULL,
    last_id BLOB    NOT NULL
) STRICT;
CREATE TABLE audit (
    seq        INTEGER PRIMARY KEY,
    tenant     INTEGER NOT NULL,
    number     INTEGER NOT NULL,
    txn        INTEGER NOT NULL,
    actor      INTEGER,
    device     BLOB    NOT NULL,
    clock      INTEGER NOT NULL,
    time       INTEGER NOT NULL,
    action     TEXT    NOT NULL,
    entity     TEXT    NOT NULL,
    record     BLOB    NOT NULL,
    outcome    TEXT    NOT NULL,
    definition INTEGER NOT NULL,
    commitment BLOB    NOT NULL,
    previous   BLOB    NOT NULL,
    hash       BLOB    NOT NULL
) STRICT;
CREATE UNIQUE INDEX audit_tenant ON audit (tenant, number);
CREATE TABLE audit_payload (
    seq  INTEGER PRIMARY KEY REFERENCES audit (seq),
    salt BLOB NOT NULL,
    body BLOB NOT NULL
) STRICT;";

const GET: &str = "SELECT id, version, updated, title, status, due, points, tags, body FROM task \
                   WHERE tenant = ?1 AND id = ?2";
const NEWEST: &str = "SELECT id, version, updated, title, status, due, points, tags, body FROM task \
                      WHERE tenant = ?1 ORDER BY id DESC LIMIT ?2";
const SCAN: &str = "SELECT id, version, updated, title, status, due, points, tags, body FROM task \
                    WHERE tenant = ?1 ORDER BY id LIMIT ?2";
const DEVICE: [u8; 16] = [7; 16];

#[derive(Debug, Clone)]
struct Head {
    count: i64,
    bytes: i64,
    next: i64,
    hash: [u8; 32],
    clock: i64,
    last_id: u128,
}

/// One row, with what the library's record has.
#[derive(Debug)]
#[allow(dead_code)] // it is read to be given away
struct Record {
    id: Uuid,
    version: i64,
    created: Timestamp,
    updated: Timestamp,
    task: Task,
}

pub(crate) struct Hand {
    writer: Connection,
    reader: Connection,
    heads: HashMap<i64, Head>,
    random: Random,
}

struct Random {
    buffer: [u8; 1024],
    used: usize,
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

impl Hand {
    pub(crate) fn create(path: &Path, tenants: usize) -> Result<Self> {
        let writer = Connection::open(path)?;
        writer.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
        let reader = Connection::open(path)?;
        for (connection, cache) in [(&writer, -65_536), (&reader, -8_192)] {
            connection.set_prepared_statement_cache_capacity(64);
            connection.pragma_update(None, "synchronous", "FULL")?;
            connection.pragma_update(None, "foreign_keys", true)?;
            connection.pragma_update(None, "cache_size", cache)?;
            connection.pragma_update(None, "temp_store", "MEMORY")?;
        }
        writer.execute_batch(SCHEMA)?;
        let mut heads = HashMap::new();
        for tenant in 0..tenants as i64 {
            let key = tenant + 1;
            let head = Head {
                count: 0,
                bytes: 0,
                next: 1,
                hash: [u8::try_from(key % 251)?; 32],
                clock: 0,
                last_id: 0,
            };
            writer.execute("INSERT INTO tenant VALUES (?1, ?2)", params![key, format!("user-{tenant}")])?;
            writer.execute("INSERT INTO row_head VALUES (?1, 0, 0)", [key])?;
            writer.execute(
                "INSERT INTO log_head VALUES (?1, 1, ?2, 0, zeroblob(16))",
                params![key, head.hash],
            )?;
            heads.insert(key, head);
        }
        Ok(Self { writer, reader, heads, random: Random { buffer: [0; 1024], used: 1024 } })
    }

    /// One transaction of one tenant.
    fn transaction<R>(&mut self, tenant: usize, run: impl FnOnce(&mut Write<'_>) -> Result<R>) -> Result<R> {
        let tenant = tenant as i64 + 1;
        let head = self.heads.get(&tenant).context("no such tenant")?.clone();
        let now = Timestamp::now();
        self.writer.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        let txn = head.next;
        let mut write = Write { connection: &self.writer, random: &mut self.random, tenant, head, txn, now };
        let outcome = run(&mut write).and_then(|result| {
            let head = write.head;
            self.writer
                .prepare_cached("UPDATE row_head SET count = ?2, bytes = ?3 WHERE tenant = ?1")?
                .execute(params![tenant, head.count, head.bytes])?;
            self.writer
                .prepare_cached(
                    "UPDATE log_head SET next = ?2, hash = ?3, clock = ?4, last_id = ?5 WHERE tenant = ?1",
                )?
                .execute(params![tenant, head.next, head.hash, head.clock, head.last_id.to_be_bytes()])?;
            self.writer.prepare_cached("COMMIT")?.execute([])?;
            Ok((result, head))
        });
        match outcome {
            Ok((result, head)) => {
                self.heads.insert(tenant, head);
                Ok(result)
            }
            Err(error) => {
                self.writer.execute_batch("ROLLBACK")?;
                Err(error)
            }
        }
    }

    fn records(&self, tenant: usize, sql: &str, limit: i64) -> Result<Vec<Record>> {
        let mut statement = self.reader.prepare_cached(sql)?;
        let mut rows = statement.query([tenant as i64 + 1, limit])?;
        let mut records = Vec::new();
        while let Some(row) = rows.next()? {
            records.push(record(row)?);
        }
        Ok(records)
    }
}

/// An open transaction.
struct Write<'h> {
    connection: &'h Connection,
    random: &'h mut Random,
    tenant: i64,
    head: Head,
    txn: i64,
    now: Timestamp,
}

impl Write<'_> {
    fn insert(&mut self, task: &Task) -> Result<Uuid> {
        let id = self.new_id()?;
        let tags = rmp_serde::to_vec(&task.tags)?;
        self.connection
            .prepare_cached(
                "INSERT INTO task (tenant, id, version, updated, title, status, due, points, tags, body) \
                 VALUES (?1, ?2, 1, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            )?
            .execute(params![
                self.tenant,
                id.as_bytes(),
                self.now.as_microsecond(),
                task.title,
                spelled(task.status),
                task.due.map(Timestamp::as_microsecond),
                task.points,
                tags,
                task.body
            ])?;
        self.head.count += 1;
        self.head.bytes += size(task, &tags);
        let payload = whole(task, &tags, true)?;
        self.audit("insert", id, &payload)?;
        Ok(id)
    }

    fn update(&mut self, id: Uuid, after: &Task) -> Result<()> {
        let (version, before, old_tags) = self.stored(id)?;
        let tags = rmp_serde::to_vec(&after.tags)?;
        self.connection
            .prepare_cached(
                "UPDATE task SET version = ?3, updated = ?4, title = ?5, status = ?6, due = ?7, points = ?8, \
                 tags = ?9, body = ?10 WHERE tenant = ?1 AND id = ?2",
            )?
            .execute(params![
                self.tenant,
                id.as_bytes(),
                version + 1,
                self.now.as_microsecond(),
                after.title,
                spelled(after.status),
                after.due.map(Timestamp::as_microsecond),
                after.points,
                tags,
                after.body
            ])?;
        self.head.bytes += size(after, &tags) - size(&before, &old_tags);
        let mut body = Vec::new();
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
            encode::write_str(&mut body, spelled(before.status))?;
            encode::write_str(&mut body, spelled(after.status))?;
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
            write_ext(&mut body, 3, &old_tags)?;
            write_ext(&mut body, 3, &tags)?;
        }
        if before.body != after.body {
            name(&mut body, "body")?;
            encode::write_str(&mut body, &before.body)?;
            encode::write_str(&mut body, &after.body)?;
        }
        let mut payload = Vec::with_capacity(body.len() + 5);
        encode::write_map_len(&mut payload, count)?;
        payload.extend_from_slice(&body);
        self.audit("update", id, &payload)
    }

    fn delete(&mut self, id: Uuid) -> Result<()> {
        let (_, before, tags) = self.stored(id)?;
        self.connection
            .prepare_cached("DELETE FROM task WHERE tenant = ?1 AND id = ?2")?
            .execute(params![self.tenant, id.as_bytes()])?;
        self.head.count -= 1;
        self.head.bytes -= size(&before, &tags);
        let payload = whole(&before, &tags, false)?;
        self.audit("delete", id, &payload)
    }

    fn stored(&self, id: Uuid) -> Result<(i64, Task, Vec<u8>)> {
        let mut statement = self.connection.prepare_cached(GET)?;
        let mut rows = statement.query(params![self.tenant, id.as_bytes()])?;
        let row = rows.next()?.context("no such task")?;
        Ok((row.get(1)?, task(row)?, row.get(7)?))
    }

    /// A UUIDv7, greater than the tenant's last one.
    fn new_id(&mut self) -> Result<Uuid> {
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

    fn audit(&mut self, action: &str, record: Uuid, payload: &[u8]) -> Result<()> {
        let salt = self.random.fill()?;
        let commitment: [u8; 32] =
            Sha256::new().chain_update(b"payload").chain_update(salt).chain_update(payload).finalize().into();
        let head = &mut self.head;
        let clock = (self.now.as_millisecond() << 16).max(head.clock + 1);
        let time = self.now.as_microsecond();
        let mut bytes = Vec::with_capacity(256);
        bytes.extend_from_slice(b"hand-written-audit");
        for number in [head.next, self.txn, self.tenant, clock, time, 1] {
            bytes.extend_from_slice(&number.to_be_bytes());
        }
        bytes.extend_from_slice(&DEVICE);
        for text in [action, "task", "ok"] {
            bytes.extend_from_slice(&(text.len() as u64).to_be_bytes());
            bytes.extend_from_slice(text.as_bytes());
        }
        bytes.extend_from_slice(record.as_bytes());
        bytes.extend_from_slice(&commitment);
        bytes.extend_from_slice(&head.hash);
        let hash: [u8; 32] = Sha256::digest(&bytes).into();
        self.connection
            .prepare_cached(
                "INSERT INTO audit (tenant, number, txn, actor, device, clock, time, action, entity, record, \
                 outcome, definition, commitment, previous, hash) \
                 VALUES (?1, ?2, ?3, ?1, ?4, ?5, ?6, ?7, 'task', ?8, 'ok', 1, ?9, ?10, ?11)",
            )?
            .execute(params![
                self.tenant,
                head.next,
                self.txn,
                DEVICE,
                clock,
                time,
                action,
                record.as_bytes(),
                commitment,
                head.hash,
                hash
            ])?;
        let seq = self.connection.last_insert_rowid();
        self.connection
            .prepare_cached("INSERT INTO audit_payload (seq, salt, body) VALUES (?1, ?2, ?3)")?
            .execute(params![seq, salt, payload])?;
        head.next += 1;
        head.clock = clock;
        head.hash = hash;
        Ok(())
    }
}

fn spelled(status: Status) -> &'static str {
    match status {
        Status::Open => "open",
        Status::Done => "done",
    }
}

fn task(row: &Row<'_>) -> Result<Task> {
    Ok(Task {
        title: row.get(3)?,
        status: match row.get_ref(4)?.as_str()? {
            "open" => Status::Open,
            _ => Status::Done,
        },
        due: row.get::<_, Option<i64>>(5)?.map(Timestamp::from_microsecond).transpose()?,
        points: row.get(6)?,
        tags: rmp_serde::from_slice(row.get_ref(7)?.as_blob()?)?,
        body: row.get(8)?,
    })
}

fn record(row: &Row<'_>) -> Result<Record> {
    let id = Uuid::from_bytes(row.get(0)?);
    Ok(Record {
        id,
        version: row.get(1)?,
        created: Timestamp::from_millisecond(i64::try_from(id.as_u128() >> 80)?)?,
        updated: Timestamp::from_microsecond(row.get(2)?)?,
        task: task(row)?,
    })
}

/// What the library counts: the content, 8 bytes for numbers and times, 64 for the row.
fn size(task: &Task, tags: &[u8]) -> i64 {
    let due = if task.due.is_some() { 8 } else { 0 };
    (task.title.len() + spelled(task.status).len() + due + 8 + tags.len() + task.body.len() + 64) as i64
}

/// The payload of an insert or a deletion, in the library's own form.
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
    change("status", &|out| Ok(encode::write_str(out, spelled(task.status))?))?;
    if task.due.is_some() {
        change("due", &|out| write_due(out, task.due))?;
    }
    change("points", &|out| encode::write_sint(out, task.points).map(drop).map_err(Into::into))?;
    change("tags", &|out| write_ext(out, 3, tags))?;
    change("body", &|out| Ok(encode::write_str(out, &task.body)?))?;
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

impl Side for Hand {
    fn insert(&mut self, tenant: usize, task: &Task) -> Result<Uuid> {
        self.transaction(tenant, |write| write.insert(task))
    }

    fn insert_many(&mut self, tenant: usize, tasks: &[Task]) -> Result<Vec<Uuid>> {
        self.transaction(tenant, |write| tasks.iter().map(|task| write.insert(task)).collect())
    }

    fn update(&mut self, tenant: usize, id: Uuid, task: &Task) -> Result<()> {
        self.transaction(tenant, |write| write.update(id, task))
    }

    fn delete(&mut self, tenant: usize, id: Uuid) -> Result<()> {
        self.transaction(tenant, |write| write.delete(id))
    }

    fn delete_many(&mut self, tenant: usize, ids: &[Uuid]) -> Result<()> {
        self.transaction(tenant, |write| ids.iter().try_for_each(|id| write.delete(*id)))
    }

    fn get(&mut self, tenant: usize, id: Uuid) -> Result<()> {
        let mut statement = self.reader.prepare_cached(GET)?;
        let mut rows = statement.query(params![tenant as i64 + 1, id.as_bytes()])?;
        black_box(record(rows.next()?.context("no such task")?)?);
        Ok(())
    }

    fn newest(&mut self, tenant: usize) -> Result<()> {
        black_box(self.records(tenant, NEWEST, 50)?);
        Ok(())
    }

    fn page(&mut self, tenant: usize) -> Result<()> {
        let mut records = self.records(tenant, NEWEST, 51)?;
        records.truncate(50);
        let next = records.last().map(|record| record.id);
        black_box((records, next));
        Ok(())
    }

    fn scan(&mut self, tenant: usize) -> Result<()> {
        black_box(self.records(tenant, SCAN, i64::MAX)?);
        Ok(())
    }

    fn tasks(&mut self, tenant: usize) -> Result<(Vec<Task>, Vec<Task>)> {
        let tasks = |records: Vec<Record>| records.into_iter().map(|record| record.task).collect();
        Ok((tasks(self.records(tenant, SCAN, i64::MAX)?), tasks(self.records(tenant, NEWEST, 50)?)))
    }

    fn count(&mut self, tenant: usize) -> Result<u64> {
        let mut statement = self.reader.prepare_cached("SELECT count FROM row_head WHERE tenant = ?1")?;
        Ok(u64::try_from(statement.query_row([tenant as i64 + 1], |row| row.get::<_, i64>(0))?)?)
    }

    fn totals(self: Box<Self>) -> Result<Totals> {
        let one = |sql: &str| self.writer.query_row(sql, [], |row| row.get::<_, i64>(0));
        ensure!(
            one("SELECT count(*) FROM task")? == one("SELECT sum(count) FROM row_head")?,
            "the hand-written heads are wrong"
        );
        Ok(Totals {
            rows: one("SELECT count(*) FROM task")?,
            bytes: one("SELECT sum(bytes) FROM row_head")?,
            entries: one("SELECT count(*) FROM audit")?,
            payloads: one("SELECT count(*) FROM audit_payload")?,
            payload_bytes: one("SELECT sum(length(body)) FROM audit_payload")?,
        })
    }
}
