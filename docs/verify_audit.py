#!/usr/bin/env python3
"""Verifies the audit logs of a Tenantry store, by docs/audit-format.md alone.

    python3 verify_audit.py app.db
    python3 verify_audit.py folder-of-a-store-with-partitions --anchor "tenantry-anchor-1 user:ada ..."

It only reads, needs nothing but Python 3.8 or newer with SQLite 3.37 or newer, and shares no code with
the library. Look at a store that is closed, or at a copy: what changes meanwhile in another of several
files looks like a mistake.

It prints what it found and ends with 0 if every log is intact, 1 if something is wrong, and 2 if it
could not look.
"""

import argparse
import hashlib
import json
import os
import re
import sqlite3
import struct
import sys
import urllib.parse

APPLICATION = 0x546E7479
VERSION = 1
NUMBER_BITS = 40
NUMBERS = (1 << NUMBER_BITS) - 1
HASH, ID, SALT = 32, 16, 16
EXPIRE = "audit.expire"
ANCHOR = "tenantry-anchor-1"
# What is said of one log, at most: a damaged one can have millions of problems.
TOLD_MAX = 100

# The tables that are read, and what of them.
TABLES = {
    "_store": ["role", "applied"],
    "_tenant": ["key", "kind"],
    "_user": ["key", "id"],
    "_organization": ["key", "id"],
    "_member": ["key", "organization", "user"],
    "_log_head": ["tenant", "origin", "next", "hash", "clock"],
    "_audit_checkpoint": ["tenant", "payloads", "entries", "hash"],
    "_audit": [
        "key", "txn", "actor", "admin", "device", "clock", "time", "action", "entity", "record", "outcome",
        "definition", "undoes", "reason", "commitment", "previous", "hash", "salt", "body",
    ],
    "_home": ["tenant", "partition"],
    "_partition": ["key", "name"],
    "_intent": ["number", "partition", "tenant", "kind"],
}


class CanNotLook(Exception):
    """Why a store, or an anchor, can't be looked at."""


class Damaged(Exception):
    """A value that no store writes there."""


class Text(bytes):
    """The bytes of a TEXT value; those of a BLOB are bytes."""


# Values, each of the one type that it may have. SQLite's integers have 64 bits.


def integer(value, what):
    if type(value) is not int:
        raise Damaged("%s is no integer" % what)
    return value


def blob(value, length, what):
    if type(value) is not bytes or (length is not None and len(value) != length):
        raise Damaged("%s is not made of %s bytes" % (what, "some" if length is None else length))
    return value


def text(value, what):
    if type(value) is not Text:
        raise Damaged("%s is no text" % what)
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        raise Damaged("%s is no text in UTF-8" % what)


def optional(value, read, *rest):
    return None if value is None else read(value, *rest)


# The encoding of an entry.


def put_integer(value):
    return struct.pack(">q", value)


def put_text(value):
    encoded = value.encode("utf-8")
    return struct.pack(">Q", len(encoded)) + encoded


def put_bytes(value):
    return value


def put_optional(value, put):
    return b"\0" if value is None else b"\1" + put(value)


class Entry:
    """A row of `_audit`, each value of the type that it has to be."""

    def __init__(self, row):
        row = dict(zip(TABLES["_audit"], row))
        self.number = integer(row["key"], "key") & NUMBERS
        here = "%%s of entry %d" % self.number
        self.txn = integer(row["txn"], here % "txn")
        self.actor = optional(row["actor"], blob, ID, here % "actor")
        self.admin = optional(row["admin"], blob, ID, here % "admin")
        self.device = blob(row["device"], ID, here % "device")
        self.clock = integer(row["clock"], here % "clock")
        self.time = integer(row["time"], here % "time")
        self.action = text(row["action"], here % "action")
        self.entity = optional(row["entity"], text, here % "entity")
        self.record = optional(row["record"], blob, ID, here % "record")
        self.outcome = text(row["outcome"], here % "outcome")
        self.definition = optional(row["definition"], integer, here % "definition")
        self.undoes = optional(row["undoes"], integer, here % "undoes")
        self.reason = optional(row["reason"], text, here % "reason")
        self.commitment = blob(row["commitment"], HASH, here % "commitment")
        self.previous = blob(row["previous"], HASH, here % "previous")
        self.hash = blob(row["hash"], HASH, here % "hash")
        self.salt = optional(row["salt"], blob, None, here % "salt")
        self.body = optional(row["body"], blob, None, here % "body")

    def computed_hash(self):
        return hashlib.sha256(
            b"".join(
                (
                    b"tenantry-audit-1",
                    put_integer(self.number),
                    put_integer(self.txn),
                    put_optional(self.actor, put_bytes),
                    put_optional(self.admin, put_bytes),
                    self.device,
                    put_integer(self.clock),
                    put_integer(self.time),
                    put_text(self.action),
                    put_optional(self.entity, put_text),
                    put_optional(self.record, put_bytes),
                    put_text(self.outcome),
                    put_optional(self.definition, put_integer),
                    put_optional(self.undoes, put_integer),
                    put_optional(self.reason, put_text),
                    self.commitment,
                    self.previous,
                )
            )
        ).digest()

    def computed_commitment(self):
        return hashlib.sha256(b"tenantry-payload-1" + self.salt + self.body).digest()


class Checkpoint:
    """Up to which number of a log payloads, and entries, are gone on purpose."""

    def __init__(self, origin, payloads, entries, last_hash):
        self.origin, self.payloads, self.entries, self.hash = origin, payloads, entries, last_hash

    def same(self, other):
        return (self.origin, self.payloads, self.entries, self.hash) == (
            other.origin, other.payloads, other.entries, other.hash,
        )


# As much of MessagePack as payloads are made of; nothing in them is nested.


class Payload:
    def __init__(self, body):
        self.body, self.at = body, 0

    def take(self, count):
        taken = self.body[self.at : self.at + count]
        if len(taken) != count:
            raise Damaged("the payload ends too early")
        self.at += count
        return taken

    def unsigned(self, count):
        return int.from_bytes(self.take(count), "big")

    def length(self, fixed, wide):
        """Of a map, an array or a text: from the first byte, or from the bytes after it."""
        first = self.unsigned(1)
        for low, high in fixed:
            if low <= first <= high:
                return first - low
        if first in wide:
            return self.unsigned(wide[first])
        raise Damaged("the payload holds something else than it should")

    def name(self):
        length = self.length([(0xA0, 0xBF)], {0xD9: 1, 0xDA: 2, 0xDB: 4})
        return text(Text(self.take(length)), "a name in a payload")

    def value(self):
        first = self.body[self.at : self.at + 1]
        if not first:
            raise Damaged("the payload ends too early")
        first = first[0]
        if 0xA0 <= first <= 0xBF or first in (0xD9, 0xDA, 0xDB):
            return self.name()
        self.at += 1
        if first <= 0x7F:
            return first
        if first >= 0xE0:
            return first - 0x100
        if first == 0xC0:
            return None
        if first in (0xC2, 0xC3):
            return first == 0xC3
        if first == 0xCB:
            return struct.unpack(">d", self.take(8))[0]
        if first in (0xCC, 0xCD, 0xCE, 0xCF):
            return self.unsigned(1 << (first - 0xCC))
        if first in (0xD0, 0xD1, 0xD2, 0xD3):
            return int.from_bytes(self.take(1 << (first - 0xD0)), "big", signed=True)
        if first in (0xC4, 0xC5, 0xC6):
            return self.take(self.unsigned(1 << (first - 0xC4)))
        raise Damaged("the payload holds something else than it should")

    def changes(self):
        """Names, and the values before and after."""
        found = []
        for _ in range(self.length([(0x80, 0x8F)], {0xDE: 2, 0xDF: 4})):
            name = self.name()
            if self.length([(0x90, 0x9F)], {0xDC: 2, 0xDD: 4}) != 2:
                raise Damaged("the payload holds something else than it should")
            found.append((name, self.value(), self.value()))
        if self.at != len(self.body):
            raise Damaged("the payload goes on after its end")
        return found


def stated_checkpoint(entry):
    """What an entry `audit.expire` says is gone; None if it can't be read."""
    try:
        changes = Payload(entry.body or b"").changes()
        if [name for name, _, _ in changes] != ["origin", "payloads", "entries", "hash"]:
            return None
        origin, payloads, entries, last_hash = (after for _, _, after in changes)
        return Checkpoint(
            blob(origin, HASH, "origin"),
            integer(payloads, "payloads"),
            integer(entries, "entries"),
            blob(last_hash, HASH, "hash"),
        )
    except Damaged:
        return None


class Log:
    """One tenant's log, recomputed."""

    def __init__(self, connection, tenant, name, wanted=()):
        self.connection, self.tenant, self.name = connection, tenant, name
        self.problems, self.count, self.left_out, self.is_read = [], 0, 0, False
        # Hashes of entries that anchors speak of.
        self.hashes = dict.fromkeys(wanted)
        self.origin, self.checkpoint, self.last, self.previous = None, None, 0, None

    def problem(self, what):
        if len(self.problems) < TOLD_MAX:
            self.problems.append(what)
        else:
            self.left_out += 1

    def one(self, table):
        sql = "SELECT %s FROM %s WHERE tenant = ?" % (", ".join(TABLES[table][1:]), table)
        return self.connection.execute(sql, (self.tenant,)).fetchone()

    def verify(self):
        try:
            self.walk()
            self.is_read = True
        except Damaged as damaged:
            self.problem("can not be read: %s" % damaged)

    def walk(self):
        head = self.one("_log_head")
        if head is None:
            raise Damaged("there is no head")
        origin = blob(head[0], HASH, "origin of the head")
        following = integer(head[1], "next of the head")
        newest = blob(head[2], HASH, "hash of the head")
        newest_clock = integer(head[3], "clock of the head")
        kept = self.one("_audit_checkpoint")
        if kept is None:
            checkpoint = Checkpoint(origin, 0, 0, origin)
        else:
            checkpoint = Checkpoint(
                origin,
                integer(kept[0], "payloads of the checkpoint"),
                integer(kept[1], "entries of the checkpoint"),
                blob(kept[2], HASH, "hash of the checkpoint"),
            )
        self.origin, self.checkpoint = origin, checkpoint
        expired = checkpoint.entries
        self.last, self.previous = expired, checkpoint.hash
        self.reach(expired, checkpoint.hash)
        clock, stated = 0, None
        first, last = self.tenant << NUMBER_BITS, self.tenant << NUMBER_BITS | NUMBERS
        sql = "SELECT %s FROM _audit WHERE key BETWEEN ? AND ? ORDER BY key" % ", ".join(TABLES["_audit"])
        for row in self.connection.execute(sql, (first, last)):
            entry = Entry(row)
            number = entry.number
            if self.count == 0 and 1 <= number <= expired:
                # It may be gone and is not yet; what is left has to lead to the checkpoint.
                self.last = number - 1
                self.previous = origin if number == 1 else entry.previous
            elif self.last < expired < number:
                self.meet(checkpoint)
            self.count += 1
            if number != self.last + 1 or entry.previous != self.previous:
                self.problem(
                    "entry %d does not follow the entry before it: one was removed, inserted or moved" % number
                )
            if entry.computed_hash() != entry.hash:
                self.problem("entry %d was changed" % number)
            self.check_payload(entry, checkpoint)
            if entry.action == EXPIRE:
                stated = (number, stated_checkpoint(entry))
            self.last, self.previous, clock = number, entry.hash, entry.clock
            if number == expired:
                self.meet(checkpoint)
            self.reach(number, entry.hash)
        if (self.last + 1, self.previous, clock) != (following, newest, newest_clock):
            self.problem(
                "the log ends at entry %d and its head says otherwise: entries were removed or added at the end"
                % self.last
            )
        self.check_checkpoint(kept is not None, stated)

    def meet(self, checkpoint):
        if (self.last, self.previous) != (checkpoint.entries, checkpoint.hash):
            self.problem("what is left of the expired entries does not lead to the checkpoint")
        self.last, self.previous = checkpoint.entries, checkpoint.hash

    def reach(self, number, entry_hash):
        if number in self.hashes:
            self.hashes[number] = entry_hash

    def check_payload(self, entry, checkpoint):
        if entry.salt is None and entry.body is None:
            if entry.number > checkpoint.payloads:
                self.problem("the payload of entry %d is missing" % entry.number)
        elif entry.salt is None or entry.body is None or len(entry.salt) != SALT:
            self.problem("the payload of entry %d was changed" % entry.number)
        elif entry.computed_commitment() != entry.commitment:
            self.problem("the payload of entry %d was changed" % entry.number)

    def check_checkpoint(self, is_kept, stated):
        checkpoint = self.checkpoint
        if stated is None:
            right = not is_kept
        else:
            number, said = stated
            right = (
                is_kept
                and said is not None
                and said.same(checkpoint)
                and 0 <= checkpoint.entries <= checkpoint.payloads < number
            )
        if not right:
            self.problem(
                "entries up to %d and payloads up to %d are said to have expired, and the log does not say so"
                % (checkpoint.entries, checkpoint.payloads)
            )

    def compare(self, anchor):
        if not self.is_read:
            return
        if anchor.origin != self.origin:
            self.problem("the anchor is of another log of this name, or this one was begun anew")
        elif anchor.number > self.last:
            self.problem(
                "the log ends at entry %d and had %d when the anchor was made: its end was cut off"
                % (self.last, anchor.number)
            )
        elif self.hashes[anchor.number] is None and anchor.number < self.checkpoint.entries:
            self.problem(
                "the anchor is of entry %d, which has expired with all up to %d: it proves nothing any more"
                % (anchor.number, self.checkpoint.entries)
            )
        elif self.hashes[anchor.number] != anchor.hash:
            self.problem(
                "entry %d is not the one that it was when the anchor was made: the log was written anew"
                % anchor.number
            )


class Anchor:
    """A point in a log that was kept elsewhere."""

    FORM = re.compile(
        r"%s (reference|(?:user|organization|member):[-._~@%%/A-Za-z0-9]+) (0|[1-9][0-9]{0,19}) (\S+) "
        r"([0-9a-f]{64}) ([0-9a-f]{64}) ([0-9a-f]{16})" % ANCHOR,
        re.ASCII,
    )

    def __init__(self, written):
        words = " ".join(written.split())
        match = self.FORM.fullmatch(words)
        unchecked, _, check = words.rpartition(" ")
        if not match or hashlib.sha256(unchecked.encode("utf-8")).hexdigest()[:16] != check:
            raise CanNotLook("this is not an anchor as it was written: %s" % written)
        self.log, number, self.time, origin, newest, _ = match.groups()
        self.number, self.origin, self.hash = int(number), bytes.fromhex(origin), bytes.fromhex(newest)


def escaped(id_text):
    return urllib.parse.quote(id_text.encode("utf-8"), safe="-._~@")


# Files.


def state_of(path):
    """When and how a file and its log of writes were changed; None for what is not there."""

    def look(name):
        try:
            found = os.stat(name)
            return found.st_size, found.st_mtime_ns
        except OSError:
            return None

    return look(path), look(path + "-wal")


def open_file(path):
    """A connection that can only read, and that runs nothing which the file asks for."""
    if not os.path.isfile(path):
        raise CanNotLook("there is no file %s" % path)
    # Without anything in the log of writes all is in the file, and "immutable" keeps SQLite from making one to read.
    state = state_of(path)
    still = not state[1] or state[1][0] == 0
    address = "file:%s?mode=ro%s" % (urllib.parse.quote(os.path.abspath(path)), "&immutable=1" if still else "")
    try:
        connection = sqlite3.connect(address, uri=True, isolation_level=None)
        connection.text_factory = Text
        for statement in (
            "PRAGMA trusted_schema = OFF", "PRAGMA cell_size_check = ON", "PRAGMA mmap_size = 0", "BEGIN",
        ):
            connection.execute(statement).fetchall()
        application = connection.execute("PRAGMA application_id").fetchone()[0]
        version = connection.execute("PRAGMA user_version").fetchone()[0]
    except sqlite3.Error as error:
        raise CanNotLook("%s can not be read by SQLite %s: %s" % (path, sqlite3.sqlite_version, error))
    if application != APPLICATION:
        raise CanNotLook("%s is not a store" % path)
    if version != VERSION:
        raise CanNotLook("%s has format version %s, and this program knows %d" % (path, version, VERSION))
    check_tables(connection, path)
    return connection, state if still else None


def check_tables(connection, path):
    """Real tables with plain columns: a view or a generated column could compute anything, for ever."""
    try:
        for table, columns in TABLES.items():
            found = connection.execute(
                "SELECT type, sql FROM sqlite_master WHERE name = ? COLLATE NOCASE", (table,)
            ).fetchall()
            plain = len(found) == 1 and found[0][0] == b"table"
            if not plain or not re.match(rb"CREATE TABLE\b", found[0][1] or b"", re.IGNORECASE):
                raise CanNotLook("%s has no table %s" % (path, table))
            info = connection.execute("PRAGMA table_xinfo(%s)" % table).fetchall()
            there = {bytes(row[1]).decode("utf-8", "replace").lower(): row[6] for row in info}
            for column in columns:
                if there.get(column) != 0:
                    raise CanNotLook("%s has no plain column %s.%s" % (path, table, column))
    except sqlite3.Error as error:
        raise CanNotLook("%s can not be read: %s" % (path, error))


def rows(connection, sql, *readers):
    """Rows of values of these types."""
    for row in connection.execute(sql):
        yield tuple(read(value, "a value of `%s`" % sql) for read, value in zip(readers, row))


def role_of(connection):
    found = list(rows(connection, "SELECT role, applied FROM _store", text, integer))
    if len(found) != 1:
        raise Damaged("_store does not say what the file is")
    return found[0]


class Store:
    """One file, or a folder of several."""

    def __init__(self, path):
        self.problems, self.logs = [], []
        folder = path if os.path.isdir(path) else None
        self.still = {}
        self.main = self.open(os.path.join(folder, "catalog.db") if folder else path)
        role, _ = role_of(self.main)
        if role != ("catalog" if folder else "file"):
            raise CanNotLook("%s is a part of a store: give the folder of a store with partitions" % path)
        self.names(folder is not None)
        # Where each log is: the file, by tenant.
        self.files = {None: self.main}
        self.homes = dict.fromkeys(self.name_of) if folder is None else {0: None}
        # Tenants of whom something may be left in a file, or may not have come there yet.
        self.leaving, self.coming = {None: set()}, set()
        if folder is not None:
            self.spread(folder)

    def open(self, path):
        connection, state = open_file(path)
        if state:
            self.still[path] = state
        return connection

    def check_still(self):
        """What was taken for a file that nobody writes has to be one until the end."""
        for path, state in self.still.items():
            if state_of(path) != state:
                raise CanNotLook("%s was changed by somebody meanwhile; look again" % path)

    def names(self, several_files):
        main = self.main
        # Without an id there is nobody any more, of whom a log may be left.
        users = dict(rows(main, "SELECT key, id FROM _user WHERE id IS NOT NULL", integer, text))
        organizations = dict(rows(main, "SELECT key, id FROM _organization WHERE id IS NOT NULL", integer, text))
        self.name_of = {0: "reference"}
        self.members = {}
        for key, user in users.items():
            self.name_of[key] = "user:" + escaped(user)
        for key, organization in organizations.items():
            self.name_of[key] = "organization:" + escaped(organization)
        for key, organization, user in rows(
            main, "SELECT key, organization, user FROM _member", integer, integer, integer
        ):
            self.members.setdefault(organization, []).append(key)
            if organization in organizations and user in users:
                self.name_of[key] = "member:%s/%s" % (escaped(organizations[organization]), escaped(users[user]))
        sql = "SELECT key FROM _user UNION ALL SELECT key FROM _organization UNION ALL SELECT key FROM _member"
        known = {key for (key,) in rows(main, sql, integer)}
        for (key,) in rows(main, "SELECT key FROM _tenant WHERE key >= 0", integer):
            if key not in self.name_of and (key in known or not several_files):
                self.name_of[key] = "tenant:%d" % key
                if key not in known:
                    self.problems.append("tenant:%d: nothing says who that is" % key)

    def household(self, home):
        """Who lives together."""
        return [home] + self.members.get(home, [])

    def spread(self, folder):
        names = dict(rows(self.main, "SELECT key, name FROM _partition", integer, text))
        for key, name in names.items():
            # The name comes from the file, and must not lead out of the folder.
            if not re.fullmatch(r"tenants-[0-9a-z]+\.db", name, re.ASCII):
                self.problems.append("a partition has a name that no store gives: %r" % name)
                continue
            path = os.path.join(folder, name)
            homes = [h for h, p in self.home_rows() if p == key]
            if not homes and not os.path.exists(path):
                continue
            try:
                connection = self.open(path)
                role, applied = role_of(connection)
                if role != "partition":
                    raise CanNotLook("%s is not a partition" % path)
            except (CanNotLook, Damaged, sqlite3.Error) as error:
                self.problems.append("partition %s: %s" % (name, error))
                continue
            self.files[key], self.leaving[key] = connection, set()
            for number, partition, tenant, kind in rows(
                self.main, "SELECT number, partition, tenant, kind FROM _intent", integer, integer, integer, text
            ):
                if partition == key and kind == "clear":
                    self.leaving[key].update(self.household(tenant))
                elif partition == key and number > applied:
                    self.coming.update(self.household(tenant))
        for home, partition in self.home_rows():
            for tenant in self.household(home):
                self.homes[tenant] = partition
        for tenant, name in self.name_of.items():
            if tenant not in self.homes:
                self.problems.append("%s: the catalog does not say where it lives" % name)

    def home_rows(self):
        return list(rows(self.main, "SELECT tenant, partition FROM _home", integer, integer))

    def verify(self, anchors):
        for tenant, partition in sorted(self.homes.items()):
            name = self.name_of.get(tenant, "tenant:%d" % tenant)
            connection = self.files.get(partition)
            if connection is None:
                self.problems.append("%s: its file can not be looked at" % name)
                continue
            here = [anchor for anchor in anchors if anchor.log == name]
            log = Log(connection, tenant, name, [anchor.number for anchor in here])
            if tenant in self.coming and log.one("_log_head") is None:
                continue
            self.logs.append(log)
            log.verify()
            for anchor in here:
                log.compare(anchor)
        known = set(self.name_of.values())
        for anchor in anchors:
            if anchor.log not in known:
                self.problems.append("%s: there is an anchor, and no such log" % anchor.log)
        for partition, connection in self.files.items():
            self.strangers(partition, connection)

    def strangers(self, partition, connection):
        """Logs, and entries, that are where nobody looks for them."""
        allowed = self.leaving[partition]
        heads = set()
        for (tenant,) in rows(connection, "SELECT tenant FROM _log_head", integer):
            heads.add(tenant)
            if tenant in allowed:
                continue
            if tenant not in self.homes:
                self.problems.append("there is a log of tenant %d, who does not exist" % tenant)
            elif self.homes[tenant] != partition:
                self.problems.append("%s: it is also in a file that is not its home" % self.name_of[tenant])
        lost = 0
        for (key,) in connection.execute("SELECT key FROM _audit"):
            tenant = integer(key, "a key of _audit") >> NUMBER_BITS
            lost += tenant not in heads and tenant not in allowed
        if lost:
            self.problems.append("%d entries are of no log" % lost)

    def all_problems(self):
        for problem in self.problems:
            yield problem
        for log in self.logs:
            for problem in log.problems:
                yield "%s: %s" % (log.name, problem)
            if log.left_out:
                yield "%s: and %d more" % (log.name, log.left_out)


def printable(line):
    """Ids and names come from the file: no control characters reach a terminal."""
    return "".join(c if c.isprintable() else "\\x%02x" % ord(c) for c in line)


def verify(path, written_anchors, as_json):
    anchors = [Anchor(written) for written in written_anchors]
    store = Store(path)
    store.verify(anchors)
    store.check_still()
    problems = [printable(problem) for problem in store.all_problems()]
    entries = sum(log.count for log in store.logs)
    if as_json:
        print(json.dumps({"logs": len(store.logs), "entries": entries, "problems": problems}))
    else:
        for problem in problems:
            print(problem)
        found = "intact" if not problems else "%d problems" % len(problems)
        print("%d logs, %d entries: %s" % (len(store.logs), entries, found))
    return 1 if problems else 0


def main():
    parser = argparse.ArgumentParser(description="Verifies the audit logs of a Tenantry store.")
    parser.add_argument("store", help="the file, or the folder of a store with partitions")
    parser.add_argument("--anchor", action="append", default=[], help="an anchor that was kept elsewhere")
    parser.add_argument("--json", action="store_true", help="print what was found as one JSON object")
    arguments = parser.parse_args()
    try:
        return verify(arguments.store, arguments.anchor, arguments.json)
    except Damaged as damaged:
        print("the store is damaged: %s" % printable(str(damaged)))
        return 1
    except CanNotLook as problem:
        print(printable(str(problem)), file=sys.stderr)
    except Exception as error:  # Whatever a hostile file leads to is told in a line.
        print("could not look: %s: %s" % (type(error).__name__, printable(str(error))), file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
