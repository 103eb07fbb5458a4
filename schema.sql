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
    role        TEXT    NOT NULL CHECK (role IN ('file', 'catalog', 'partition')), -- the whole store, or which part of it
    device      BLOB    NOT NULL CHECK (length(device) = 16),      -- a random UUID of this copy of the store
    definitions BLOB    NOT NULL CHECK (length(definitions) = 32), -- SHA-256 of all definitions below
    created     INTEGER NOT NULL,
    reference   INTEGER NOT NULL DEFAULT 0,  -- of a catalog or partition: the version of its reference records
    applied     INTEGER NOT NULL DEFAULT 0,  -- of a partition: the last intent that was carried out in it
    -- What erasing somebody has left to do in this file, of whose rows there are bytes in pages that nothing uses any
    -- more: 1, to build the file anew, and then 2, to empty its log of writes.
    scrub       INTEGER NOT NULL DEFAULT 0 CHECK (scrub IN (0, 1, 2))
) STRICT;

-- Who can own rows. Each owner gets a small integer key which leads every key, index and foreign
-- key of the tables it owns rows in: one column, one predicate, one rule. Keys are never reused
-- (a trigger refuses deletion), not even those of erased tenants, of which a log without contents stays. Rows are numbered `tenant << 40 | number`, so 23 bits are left.
--   user          one user's private rows
--   organization  rows that an organization's members share
--   member        one user's private rows within one organization
--   reference     rows that belong to nobody and that everyone reads; its key is 0
--   nobody        one row in each entity's table that nobody ever reads; its key is -1. SQLite skips the rest of
--                 some joins if a table is empty (https://sqlite.org/opcode.html#IfEmpty), which would tell a tenant
--                 who has no rows whether others have any.
CREATE TABLE _tenant (
    key          INTEGER PRIMARY KEY CHECK (key BETWEEN -1 AND 8388607),
    kind         TEXT NOT NULL CHECK (kind IN ('user', 'organization', 'member', 'reference', 'nobody'))
) STRICT;

-- Whom logs name. An entry names people by their mark, 16 random bytes that tell nothing of how many
-- others there are and never change, so that a log can be verified by itself, in any store, and
-- still once somebody's id is gone.
CREATE TABLE _actor (
    mark BLOB PRIMARY KEY CHECK (length(mark) = 16),
    id   TEXT                                   -- of the user; NULL once it was erased
) STRICT, WITHOUT ROWID;

CREATE TABLE _user (
    key      INTEGER PRIMARY KEY REFERENCES _tenant (key),
    mark     BLOB    NOT NULL UNIQUE REFERENCES _actor (mark),
    id       TEXT    UNIQUE,                    -- compared byte for byte; NULL once the user was erased
    name     TEXT    NOT NULL,
    role     TEXT    NOT NULL DEFAULT 'user' CHECK (role IN ('user', 'admin')),
    was_admin INTEGER NOT NULL DEFAULT 0 CHECK (was_admin IN (0, 1)), -- 1: any partition's logs may name it
    disabled INTEGER NOT NULL DEFAULT 0 CHECK (disabled IN (0, 1)),
    created  INTEGER NOT NULL
) STRICT;

CREATE TABLE _organization (
    key      INTEGER PRIMARY KEY REFERENCES _tenant (key),
    id       TEXT    UNIQUE,                    -- NULL once the organization was erased
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

-- Whom an organization has invited and who has not answered. The user need not exist yet: whether one does
-- is nothing that an organization learns by inviting.
CREATE TABLE _invitation (
    organization INTEGER NOT NULL REFERENCES _organization (key),
    user         TEXT    NOT NULL,               -- the id
    role         TEXT    NOT NULL CHECK (role IN ('member', 'admin')),
    created      INTEGER NOT NULL,
    expires      INTEGER,
    PRIMARY KEY (organization, user)
) STRICT, WITHOUT ROWID;
CREATE INDEX _invitation_user ON _invitation (user);

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
--
-- `rows_max` and `bytes_max` are the tenant's own quota: what `count` and `bytes` may grow to. The
-- greatest integer stands for no limit. NULL: it has none, and the entity's holds, which the program
-- names when it opens the store.
CREATE TABLE _row_head (
    tenant INTEGER NOT NULL REFERENCES _tenant (key),
    entity INTEGER NOT NULL REFERENCES _entity (key),
    next   INTEGER NOT NULL,                    -- the number of the next row
    count  INTEGER NOT NULL CHECK (count >= 0),
    bytes  INTEGER NOT NULL CHECK (bytes >= 0),
    -- The greatest id so far, while rows lie in the order of their ids; then, for good, none.
    last_id BLOB CHECK (length(last_id) = 16),
    rows_max  INTEGER CHECK (rows_max >= 0),
    bytes_max INTEGER CHECK (bytes_max >= 0),
    PRIMARY KEY (tenant, entity),
    CHECK ((rows_max IS NULL) = (bytes_max IS NULL))
) STRICT, WITHOUT ROWID;

-- One small row per tenant: where its log and its ids stand.
CREATE TABLE _log_head (
    tenant  INTEGER PRIMARY KEY REFERENCES _tenant (key),
    origin  BLOB    NOT NULL CHECK (length(origin) = 32), -- random; the entry before the first one
    next    INTEGER NOT NULL,                             -- the number of the next entry
    hash    BLOB    NOT NULL CHECK (length(hash) = 32),   -- of the newest entry, or the origin
    clock   INTEGER NOT NULL,                             -- the newest hybrid logical clock
    last_id BLOB    NOT NULL CHECK (length(last_id) = 16), -- the newest id; the next one is greater
    closed  INTEGER NOT NULL DEFAULT 0 CHECK (closed IN (0, 1)) -- 1: the tenant was erased; its last entry says so
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
    actor         BLOB    CHECK (length(actor) = 16), -- mark of the user in whose name it was done; NULL: the application itself
    admin         BLOB    CHECK (length(admin) = 16), -- mark of the store admin who did it
    device        BLOB    NOT NULL,   -- where it happened
    clock         INTEGER NOT NULL,   -- hybrid logical clock: milliseconds << 16 | counter
    time          INTEGER NOT NULL,
    action        TEXT    NOT NULL,   -- insert, update, delete; user.create, member.add, …
    entity        TEXT,
    record        BLOB,               -- id of the record
    outcome       TEXT    NOT NULL,   -- ok, or the reason of a refusal
    definition    INTEGER,            -- version of the entity's definition
    undoes        INTEGER,            -- number of the entry that this one takes back
    reason        TEXT,               -- why, as the admin said
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
         NEW.entity, NEW.record, NEW.outcome, NEW.definition, NEW.undoes, NEW.reason, NEW.commitment, NEW.previous, NEW.hash)
     IS NOT
        (OLD.seq, OLD.key, OLD.txn, OLD.actor, OLD.admin, OLD.device, OLD.clock, OLD.time, OLD.action,
         OLD.entity, OLD.record, OLD.outcome, OLD.definition, OLD.undoes, OLD.reason, OLD.commitment, OLD.previous, OLD.hash)
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
    actor  BLOB    CHECK (length(actor) = 16),  -- mark of the user who asked; NULL: the application itself
    entity TEXT    NOT NULL,
    record BLOB    NOT NULL,
    time   INTEGER NOT NULL
) STRICT;

-- Who read a tenant's records, of entities that ask for it. Written in batches, not chained, bounded
-- per tenant: the oldest go once there are too many, or when they are too old and new ones come.
CREATE TABLE _audit_read (
    key     INTEGER PRIMARY KEY,                -- tenant << 40 | number
    time    INTEGER NOT NULL,
    actor   BLOB    CHECK (length(actor) = 16), -- mark of the user in whose name; NULL: the application itself
    admin   BLOB    CHECK (length(admin) = 16), -- mark of the store admin who did it
    reason  TEXT,                               -- why, as the admin said
    entity  TEXT    NOT NULL,
    kind    TEXT    NOT NULL,                   -- get, list, join, count, aggregate, sql, log, export
    count   INTEGER CHECK (count >= 0),         -- how many records; NULL where none is shown by itself
    records BLOB    CHECK (length(records) % 16 = 0) -- their ids, one after the other; NULL: too many, or none
) STRICT;

-- A store of several files is a folder: a catalog and partitions, each with all of these tables.
-- Users, organizations, memberships and reference records are the catalog's. The records and the log
-- of a user, or of an organization and its members, are in one partition, their home. A partition
-- names the tenants that something in it speaks of, without display names, and it is the home of
-- those whose log head is in it; its reference records are copies. The tables that follow are used
-- in the catalog only.

-- How new tenants are spread. File names and places come from salted hashes, so that neither tells
-- an id nor can be chosen by choosing an id.
CREATE TABLE _layout (
    one        INTEGER PRIMARY KEY CHECK (one = 1),
    partitions INTEGER CHECK (partitions > 0),        -- NULL: one for each user and organization
    salt       BLOB    NOT NULL CHECK (length(salt) = 32),
    next       INTEGER NOT NULL,                      -- the number of the next intent
    key        BLOB    CHECK (length(key) = 32)       -- of an encrypted store: what its partitions are encrypted with
) STRICT;

CREATE TABLE _partition (
    key       INTEGER PRIMARY KEY,                    -- of the name's hash, so that a file never gets another's
    name      TEXT    NOT NULL UNIQUE,                -- of the file, in the catalog's folder
    forgotten INTEGER NOT NULL DEFAULT 0,             -- the last change whose intent is gone: a file without it is too old
    scrub     INTEGER                                 -- the last erasure whose traces may still be in the file; NULL: none
) STRICT;

-- In which partition a user or an organization lives. Everything that moves changes this one row.
CREATE TABLE _home (
    tenant    INTEGER PRIMARY KEY REFERENCES _tenant (key),
    partition INTEGER NOT NULL REFERENCES _partition (key)
) STRICT;
CREATE INDEX _home_partition ON _home (partition);

-- Where else a tenant has lived, or began to move to. Something of it, or of its members, may be left there: an id, and
-- bytes in pages that nothing uses any more. Whoever is erased is looked for there too.
CREATE TABLE _former (
    tenant    INTEGER NOT NULL REFERENCES _tenant (key),
    partition INTEGER NOT NULL REFERENCES _partition (key),
    PRIMARY KEY (tenant, partition)
) STRICT, WITHOUT ROWID;
CREATE INDEX _former_partition ON _former (partition);

-- What was decided here and has to follow in a partition. No commit spans two files in WAL mode
-- (https://sqlite.org/lang_attach.html), so the decision is written down first, and whoever opens the
-- partition next carries out what is left.
--   change  an identity changed: the body says what the partition has to know, and the log's entry
--   erase   somebody was erased: the body says whose rows and payloads have to go, and what is forgotten
--   clear   what the partition holds of a tenant that does not live there is to go: a copy that
--           was not finished, or what was left behind by one that moved away
CREATE TABLE _intent (
    number    INTEGER PRIMARY KEY,
    partition INTEGER NOT NULL REFERENCES _partition (key),
    tenant    INTEGER NOT NULL REFERENCES _tenant (key),
    kind      TEXT    NOT NULL CHECK (kind IN ('change', 'erase', 'clear')),
    body      BLOB    NOT NULL
) STRICT;
CREATE INDEX _intent_partition ON _intent (partition, number);

INSERT INTO _tenant (key, kind) VALUES (0, 'reference'), (-1, 'nobody');
