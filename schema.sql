-- The tables that every Tenantry store has, whatever its entities. Read from top to bottom they
-- explain the file: who owns rows, who exists, what the entities are, what the writer must know,
-- and what happened.
--
-- Names that begin with an underscore are the library's. An entity called `task` adds the table
-- `_rows_task`, indexes `_id_task`, `_index1_task`…, a trigger `_fixed_task` and a plain view `task` for people.
-- Times are integer microseconds since the Unix epoch, UTC. Every table is STRICT.

-- One row: what this file is. The SQLite header also says so: application_id is 0x54_6E_74_79
-- ("Tnty") and user_version is the format version.
CREATE TABLE _store (
    one         INTEGER PRIMARY KEY CHECK (one = 1),
    device      BLOB    NOT NULL CHECK (length(device) = 16),      -- a random UUID of this copy of the store
    definitions BLOB    NOT NULL CHECK (length(definitions) = 32), -- SHA-256 of all definitions below
    created     INTEGER NOT NULL
) STRICT;

-- Who can own rows. Each owner gets a small integer key which leads every key, index and foreign
-- key of the tables it owns rows in: one column, one predicate, one rule. Keys are never reused
-- (a trigger refuses deletion). Rows are numbered `tenant << 40 | number`, so 23 bits are left.
--   user          one user's private rows
--   organization  rows that an organization's members share
--   member        one user's private rows within one organization
--   reference     rows that belong to nobody and that everyone reads; its key is 0
CREATE TABLE _tenant (
    key          INTEGER PRIMARY KEY CHECK (key BETWEEN 0 AND 8388607),
    kind         TEXT NOT NULL CHECK (kind IN ('user', 'organization', 'member', 'reference'))
) STRICT;

CREATE TABLE _user (
    key      INTEGER PRIMARY KEY REFERENCES _tenant (key),
    id       TEXT    NOT NULL UNIQUE,           -- compared byte for byte
    name     TEXT    NOT NULL,
    role     TEXT    NOT NULL DEFAULT 'user' CHECK (role IN ('user', 'admin')),
    disabled INTEGER NOT NULL DEFAULT 0 CHECK (disabled IN (0, 1)),
    created  INTEGER NOT NULL
) STRICT;

CREATE TABLE _organization (
    key      INTEGER PRIMARY KEY REFERENCES _tenant (key),
    id       TEXT    NOT NULL UNIQUE,
    name     TEXT    NOT NULL,
    disabled INTEGER NOT NULL DEFAULT 0 CHECK (disabled IN (0, 1)),
    created  INTEGER NOT NULL
) STRICT;

-- A user within an organization. The row, and with it the member's key, outlives the membership:
-- whoever comes back finds their own private rows again, and nobody else ever does.
CREATE TABLE _member (
    key          INTEGER PRIMARY KEY REFERENCES _tenant (key),
    organization INTEGER NOT NULL REFERENCES _organization (key),
    user         INTEGER NOT NULL REFERENCES _user (key),
    role         TEXT    NOT NULL CHECK (role IN ('member', 'admin')),
    active       INTEGER NOT NULL CHECK (active IN (0, 1)),
    created      INTEGER NOT NULL,
    UNIQUE (organization, user)
) STRICT;
CREATE INDEX _member_user ON _member (user);

CREATE TRIGGER _tenant_stays BEFORE DELETE ON _tenant
BEGIN SELECT RAISE(ABORT, 'tenant keys are never reused, so their rows stay'); END;
CREATE TRIGGER _tenant_fixed BEFORE UPDATE ON _tenant
BEGIN SELECT RAISE(ABORT, 'a tenant never changes'); END;

-- What the store knows of each entity: its definition, as JSON.
CREATE TABLE _entity (
    key        INTEGER PRIMARY KEY,
    name       TEXT    NOT NULL UNIQUE,
    version    INTEGER NOT NULL,                -- of the definition; audit entries name it
    definition TEXT    NOT NULL
) STRICT;

-- One small row per tenant and entity: what the writer must know without looking at the rows.
-- Maintained in the transaction of every change; `Store::check` compares it with the rows.
CREATE TABLE _row_head (
    tenant INTEGER NOT NULL REFERENCES _tenant (key),
    entity INTEGER NOT NULL REFERENCES _entity (key),
    next   INTEGER NOT NULL,                    -- the number of the next row
    count  INTEGER NOT NULL CHECK (count >= 0),
    bytes  INTEGER NOT NULL CHECK (bytes >= 0),
    -- The greatest id so far, while rows lie in the order of their ids; then, for good, none.
    last_id BLOB CHECK (length(last_id) = 16),
    PRIMARY KEY (tenant, entity)
) STRICT, WITHOUT ROWID;

-- One small row per tenant: where its log and its ids stand.
CREATE TABLE _log_head (
    tenant  INTEGER PRIMARY KEY REFERENCES _tenant (key),
    origin  BLOB    NOT NULL CHECK (length(origin) = 32), -- random; the entry before the first one
    next    INTEGER NOT NULL,                             -- the number of the next entry
    hash    BLOB    NOT NULL CHECK (length(hash) = 32),   -- of the newest entry, or the origin
    clock   INTEGER NOT NULL,                             -- the newest hybrid logical clock
    last_id BLOB    NOT NULL CHECK (length(last_id) = 16) -- the newest id; the next one is greater
) STRICT;

-- Who did what to which record, when, with what outcome, and what changed. The key is
-- `tenant << 40 | number`, so one tenant's log is one range; numbers count per tenant, because a
-- shared sequence would tell of other tenants. Each entry holds the hash of the one before it and
-- its own (docs/audit-format.md has the encoding).
--
-- Entries lie in the order in which they came, whoever's they are, and are found by an index: put in
-- their places among those of all tenants they would make SQLite move other entries, which costs
-- three pages in the log of writes instead of two, and none that callers of one commit share.
--
-- `salt` and `body` are the payload: field by field, before and after, as MessagePack. Secret
-- columns are named without their values. A payload can be taken out (erasure, retention) and the
-- chain still verifies, since entries hold only its commitment; the salt keeps anyone from
-- guessing it. Nothing else is ever updated.
CREATE TABLE _audit (
    seq           INTEGER PRIMARY KEY, -- no meaning, and never shown
    key           INTEGER NOT NULL UNIQUE,
    txn           INTEGER NOT NULL,   -- the number of the first entry of the same transaction
    actor         INTEGER,            -- key of the user who did it; NULL: the application itself
    admin         INTEGER,            -- key of the store admin behind it
    device        BLOB    NOT NULL,   -- where it happened
    clock         INTEGER NOT NULL,   -- hybrid logical clock: milliseconds << 16 | counter
    time          INTEGER NOT NULL,
    action        TEXT    NOT NULL,   -- insert, update, delete; user.create, member.add, …
    entity        TEXT,
    record        BLOB,               -- id of the record
    outcome       TEXT    NOT NULL,   -- ok, or the reason of a refusal
    definition    INTEGER,            -- version of the entity's definition
    undoes        INTEGER,            -- number of the entry that this one takes back
    commitment    BLOB    NOT NULL CHECK (length(commitment) = 32), -- hash of salt and payload
    previous      BLOB    NOT NULL CHECK (length(previous) = 32),
    hash          BLOB    NOT NULL CHECK (length(hash) = 32),
    salt          BLOB    CHECK (length(salt) = 16),
    body          BLOB,
    CHECK ((salt IS NULL) = (body IS NULL))
) STRICT;

-- Up to which entry of a tenant's log payloads, or whole entries, have been deleted on purpose.
CREATE TABLE _audit_checkpoint (
    tenant   INTEGER PRIMARY KEY REFERENCES _tenant (key),
    payloads INTEGER NOT NULL,                           -- numbers up to this one may lack a payload
    entries  INTEGER NOT NULL,                           -- numbers up to this one may be gone
    hash     BLOB    NOT NULL CHECK (length(hash) = 32), -- of the last entry that may be gone
    CHECK (entries <= payloads)
) STRICT;

-- An INSERT trigger would make every insert keep a journal of its own, so none refuses REPLACE here,
-- which deletes the row that stands in its way (https://sqlite.org/lang_conflict.html): the writer
-- has recursive_triggers on, and with it REPLACE meets `_audit_stays`. What another tool does so, the
-- chain shows.
CREATE TRIGGER _audit_fixed BEFORE UPDATE ON _audit
WHEN NEW.body IS NOT NULL
     OR (NEW.seq, NEW.key, NEW.txn, NEW.actor, NEW.admin, NEW.device, NEW.clock, NEW.time, NEW.action,
         NEW.entity, NEW.record, NEW.outcome, NEW.definition, NEW.undoes, NEW.commitment, NEW.previous, NEW.hash)
     IS NOT
        (OLD.seq, OLD.key, OLD.txn, OLD.actor, OLD.admin, OLD.device, OLD.clock, OLD.time, OLD.action,
         OLD.entity, OLD.record, OLD.outcome, OLD.definition, OLD.undoes, OLD.commitment, OLD.previous, OLD.hash)
     OR NOT EXISTS (SELECT 1 FROM _audit_checkpoint
                    WHERE tenant = OLD.key >> 40 AND OLD.key & 1099511627775 <= payloads)
BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
CREATE TRIGGER _audit_stays BEFORE DELETE ON _audit
WHEN NOT EXISTS (SELECT 1 FROM _audit_checkpoint
                 WHERE tenant = OLD.key >> 40 AND OLD.key & 1099511627775 <= entries)
BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;

-- Requests for ids that the tenant does not have. Written in batches, not chained, bounded per
-- tenant. A report for administrators tells afterwards which of them were another tenant's.
CREATE TABLE _audit_miss (
    key    INTEGER PRIMARY KEY,                 -- tenant << 40 | number
    entity TEXT    NOT NULL,
    record BLOB    NOT NULL,
    time   INTEGER NOT NULL
) STRICT;

INSERT INTO _tenant (key, kind) VALUES (0, 'reference');
