//! The tables and statements of the sides over SQLite, as one would write them by hand for one
//! application: an appended rowid, an integer tenant column, indexes that lead with it.

/// The tables of every side.
pub const ROWS: &str = "
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
CREATE INDEX task_status ON task (tenant, status, due);";

/// The tables that the audited sides have besides.
pub const AUDIT: &str = "
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
    hash       BLOB    NOT NULL,
    salt       BLOB    NOT NULL,
    body       BLOB    NOT NULL
) STRICT;
CREATE UNIQUE INDEX audit_tenant ON audit (tenant, number);";

/// What every connection is set to but for `synchronous` and the size of its cache.
pub const PRAGMAS: [(&str, &str); 3] =
    [("journal_mode", "WAL"), ("foreign_keys", "ON"), ("temp_store", "MEMORY")];
/// The cache of a connection that writes, in KiB as SQLite wants them.
pub const WRITER_CACHE: i64 = -65_536;
/// The cache of a connection that only reads.
pub const READER_CACHE: i64 = -8_192;

/// A new tenant.
pub const NEW_TENANT: &str = "INSERT INTO tenant VALUES (?1, ?2)";
/// Its head for rows.
pub const NEW_ROW_HEAD: &str = "INSERT INTO row_head VALUES (?1, 0, 0)";
/// Its head for entries.
pub const NEW_LOG_HEAD: &str = "INSERT INTO log_head VALUES (?1, 1, ?2, 0, zeroblob(16))";

/// A new row.
pub const INSERT: &str = "INSERT INTO task \
    (tenant, id, version, updated, title, status, due, points, tags, body) \
    VALUES (?1, ?2, 1, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
/// New values.
pub const UPDATE: &str = "UPDATE task SET version = version + 1, updated = ?3, title = ?4, status = ?5, \
    due = ?6, points = ?7, tags = ?8, body = ?9 WHERE tenant = ?1 AND id = ?2";
/// A row less.
pub const DELETE: &str = "DELETE FROM task WHERE tenant = ?1 AND id = ?2";
/// One row.
pub const GET: &str = "SELECT id, version, updated, title, status, due, points, tags, body FROM task \
    WHERE tenant = ?1 AND id = ?2";
/// The newest rows. The limit is written out: since SQLite plans by it, a statement whose limit is
/// a parameter is prepared anew whenever that is bound, which takes a quarter of the time.
pub const NEWEST: &str = "SELECT id, version, updated, title, status, due, points, tags, body FROM task \
    WHERE tenant = ?1 ORDER BY id DESC LIMIT 50";
/// Open rows before a time.
pub const DUE: &str = "SELECT id, version, updated, title, status, due, points, tags, body FROM task \
    WHERE tenant = ?1 AND status = 'open' AND due < ?2 ORDER BY due DESC, number DESC LIMIT 50";
/// All rows.
pub const SCAN: &str = "SELECT id, version, updated, title, status, due, points, tags, body FROM task \
    WHERE tenant = ?1 ORDER BY id";
/// The kept number.
pub const KEPT_COUNT: &str = "SELECT count FROM row_head WHERE tenant = ?1";
/// The number where none is kept.
pub const COUNT: &str = "SELECT count(*) FROM task WHERE tenant = ?1";

/// The audit entry with its payload.
pub const ENTRY: &str = "INSERT INTO audit (tenant, number, txn, actor, device, clock, time, action, \
    entity, record, outcome, definition, commitment, previous, hash, salt, body) \
    VALUES (?1, ?2, ?3, ?1, ?4, ?5, ?6, ?7, 'task', ?8, 'ok', 1, ?9, ?10, ?11, ?12, ?13)";
/// The head for rows.
pub const ROW_HEAD: &str = "UPDATE row_head SET count = ?2, bytes = ?3 WHERE tenant = ?1";
/// The head for entries.
pub const LOG_HEAD: &str =
    "UPDATE log_head SET next = ?2, hash = ?3, clock = ?4, last_id = ?5 WHERE tenant = ?1";
/// Both heads.
pub const READ_HEAD: &str = "SELECT count, bytes, next, hash, clock, last_id \
    FROM row_head JOIN log_head USING (tenant) WHERE tenant = ?1";
/// The entries of a tenant.
pub const LOG: &str = "SELECT number, txn, clock, time, action, record, commitment, previous, hash, salt, \
    body FROM audit WHERE tenant = ?1 ORDER BY number";
