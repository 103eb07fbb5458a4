//! Erasing users and organizations: nothing of them answers, no byte of their content is left in the files, and
//! nothing of anybody else's is another than before.
//!
//! Files are copied by another process, this test binary again: if this one read them while it has the store open,
//! closing its handle would drop SQLite's locks.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use tenantry::{
    AuditEntry, Builder, Entity, Error, Id, LogRetention, OrganizationId, OrganizationSession, Partitioning,
    Quota, Record, Role, Store, StoreRole, TenantSession, Timestamp, User, UserId, Uuid,
};

#[derive(Debug, Clone, PartialEq, Entity)]
#[entity(tenancy = reference, unique(code))]
struct Currency {
    code: String,
}

#[derive(Debug, Clone, PartialEq, Entity)]
#[entity(unique(code), index(title, number), audit_reads)]
struct Document {
    code: String,
    title: String,
    number: i64,
    body: String,
    bytes: Vec<u8>,
    tags: Vec<String>,
    #[entity(secret)]
    password: String,
    price: Option<Id<Currency>>,
    #[entity(on_delete = restrict)]
    parent: Option<Id<Document>>,
}

#[derive(Debug, Clone, PartialEq, Entity)]
#[entity(tenancy = organization, author)]
struct Ticket {
    title: String,
    assignee: Option<UserId>,
}

#[derive(Debug, Clone, PartialEq, Entity)]
#[entity(tenancy = member)]
struct Note {
    text: String,
    ticket: Option<Id<Ticket>>,
}

/// Every value of those who are erased begins so, then comes what it is, then a semicolon.
const CANARY: &str = "LEAVER~";

fn canary(what: &str) -> String {
    format!("{CANARY}{what};")
}

/// A number whose eight bytes, as SQLite stores them, are a canary.
const CANARY_NUMBER: i64 = i64::from_be_bytes(*b"LEAVER~;");

/// Longer than a page, so that it lies on pages of its own.
fn canary_long(what: &str) -> String {
    canary(what).repeat(1_500)
}

fn builder() -> Builder {
    Store::builder()
        .entity::<Currency>()
        .entity::<Document>()
        .entity::<Ticket>()
        .entity::<Note>()
        .cache(1 << 20)
        .wait_timeout(Duration::from_secs(5))
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Layout {
    File,
    Three,
    EachItsOwn,
}

const LAYOUTS: [Layout; 3] = [Layout::File, Layout::Three, Layout::EachItsOwn];

/// A store in a folder of its own, and the folder.
fn open(folder: &Path, layout: Layout) -> Store {
    let path = path_in(folder, layout);
    match layout {
        Layout::File => builder().open(path),
        Layout::Three => builder().partitions(3).open(path),
        Layout::EachItsOwn => builder().partition_per_tenant().open(path),
    }
    .unwrap()
}

fn path_in(folder: &Path, layout: Layout) -> PathBuf {
    folder.join(if layout == Layout::File { "app.db" } else { "store" })
}

fn user(store: &Store, id: &str) -> User {
    store.users().get_or_create(&UserId::new(id).unwrap()).unwrap()
}

fn session(store: &Store, id: &str) -> TenantSession {
    store.session(&user(store, id)).unwrap()
}

fn acme() -> OrganizationId {
    OrganizationId::new("acme").unwrap()
}

fn inside(store: &Store, id: &str) -> OrganizationSession {
    session(store, id).in_organization(&acme()).unwrap()
}

fn document(words: impl Fn(&str) -> String, number: i64, price: Option<Id<Currency>>) -> Document {
    Document {
        code: words(&format!("code {number}")),
        title: words("title"),
        number,
        body: words("body").repeat(if number % 10 == 0 { 1_500 } else { 1 }),
        bytes: words("bytes").into_bytes(),
        tags: vec![words("tag"), words("tags")],
        password: words("password"),
        price,
        parent: None,
    }
}

fn harmless(what: &str) -> String {
    format!("nothing of note: {what}")
}

const LEAVER: &str = "LEAVER~id;";
const STAYS: &str = "grace";

/// One who will leave and one who stays, whose rows and entries lie among each other.
fn furnish(store: &Store) {
    let euro = store.reference().insert(&Currency { code: "EUR".into() }).unwrap();
    let (leaver, stays) = (session(store, LEAVER), session(store, STAYS));
    store.users().rename(leaver.user(), &canary("name")).unwrap();
    store.users().set_quota(leaver.user(), Document::ENTITY_NAME, Some(Quota::none().rows(1_000))).unwrap();
    store.users().set_quota(stays.user(), Document::ENTITY_NAME, Some(Quota::none().rows(500))).unwrap();
    let mut parent = None;
    for number in 0..60 {
        let price = (number % 2 == 0).then_some(euro);
        let mut mine = document(canary, number, price);
        mine.number = CANARY_NUMBER;
        mine.parent = parent;
        let id = leaver.insert(&mine).unwrap();
        let other = stays.insert(&document(harmless, number, price)).unwrap();
        match number % 5 {
            // What a row held before, and rows that are gone already.
            0 => {
                leaver
                    .patch(
                        id,
                        Document::TITLE.set(canary("former")).and(Document::BODY.set(canary_long("once"))),
                    )
                    .unwrap();
                leaver.patch(id, Document::TITLE.set("x").and(Document::BODY.set("x"))).unwrap();
                stays.patch(other, Document::TITLE.set("y")).unwrap();
            }
            1 => {
                leaver.delete(id).unwrap();
                stays.delete(other).unwrap();
            }
            _ => parent = Some(id),
        }
    }
    // A circle.
    let first = leaver.query::<Document>().first().unwrap().unwrap();
    leaver.patch(first.id, Document::PARENT.set(parent)).unwrap();
    assert!(leaver.in_organization(&OrganizationId::new(canary("refused")).unwrap()).is_err());
    assert!(leaver.get(Id::<Document>::from_uuid(MISSED)).is_err());
    assert!(stays.get(Id::<Document>::from_uuid(MISSED_BY_OTHER)).is_err());
    // Writes what waits in memory.
    assert!(store.check().unwrap().is_clean());
}

/// The canaries of a user; the number's has no name.
const KINDS: [&str; 14] = [
    "id", "name", "", "code", "title", "body", "bytes", "tag", "tags", "password", "former", "once",
    "refused", "missed",
];

const MISSED: Uuid = Uuid::from_bytes(*b"LEAVER~missed;\x00\x00");
const MISSED_BY_OTHER: Uuid = Uuid::from_bytes(*b"asked elsewhere\x00");

/// Makes the organization of both, with records of all kinds.
fn found(store: &Store) {
    store.organizations().create(&acme()).unwrap();
    for id in [LEAVER, STAYS] {
        store.organizations().add_member(&acme(), &user(store, id), Role::Member).unwrap();
    }
    let (leaver, stays) = (inside(store, LEAVER), inside(store, STAYS));
    for number in 0..20 {
        let assignee = Some(user(store, LEAVER).id);
        let ticket = stays.insert(&Ticket { title: harmless("ticket"), assignee }).unwrap();
        let by = leaver.insert(&Ticket { title: harmless("by the leaver"), assignee: None }).unwrap();
        leaver.insert(&Note { text: canary("note"), ticket: Some(by) }).unwrap();
        stays.insert(&Note { text: harmless("note"), ticket: Some(ticket) }).unwrap();
        if number == 3 {
            leaver.insert(&Note { text: canary_long("long note"), ticket: None }).unwrap();
        }
    }
}

const FROM: &str = "TENANTRY_TEST_FROM";
const TO: &str = "TENANTRY_TEST_TO";

/// What the other process does; nothing when the tests are run as usual.
#[test]
fn child_that_copies() {
    let (Ok(from), Ok(to)) = (std::env::var(FROM), std::env::var(TO)) else { return };
    copy(Path::new(&from), Path::new(&to));
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target)
        } else {
            let _ = fs::copy(&path, &target).unwrap();
        }
    }
}

fn copy_by_other_process(from: &Path, to: &Path) {
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child_that_copies", "--test-threads", "1"])
        .env(FROM, from)
        .env(TO, to)
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
}

/// Which canaries are in any file of a folder, as they lie there now.
fn traces(folder: &Path) -> BTreeSet<String> {
    traces_in(folder, "")
}

/// The same of the files whose names begin so.
fn traces_in(folder: &Path, prefix: &str) -> BTreeSet<String> {
    let copies = tempfile::tempdir().unwrap();
    let to = copies.path().join("copy");
    copy_by_other_process(folder, &to);
    let mut found = BTreeSet::new();
    search(&to, prefix, &mut found);
    found
}

fn search(folder: &Path, prefix: &str, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            search(&path, prefix, found);
            continue;
        }
        if !path.file_name().unwrap().to_str().unwrap().starts_with(prefix) {
            continue;
        }
        let bytes = fs::read(&path).unwrap();
        for at in memchr_all(&bytes, CANARY.as_bytes()) {
            let what = &bytes[at + CANARY.len()..(at + CANARY.len() + 20).min(bytes.len())];
            let what = what.split(|byte| *byte == b';').next().unwrap();
            let end = what.iter().position(|byte| !byte.is_ascii_lowercase() && *byte != b' ');
            found.insert(String::from_utf8_lossy(&what[..end.unwrap_or(what.len())]).trim().to_owned());
        }
    }
}

fn memchr_all<'b>(bytes: &'b [u8], needle: &'b [u8]) -> impl Iterator<Item = usize> + 'b {
    let first = needle[0];
    bytes
        .iter()
        .enumerate()
        .filter(move |(at, byte)| **byte == first && bytes[*at..].starts_with(needle))
        .map(|(at, _)| at)
}

/// Everything that one who stays can tell.
#[derive(Debug, PartialEq)]
struct Seen {
    documents: Vec<Record<Document>>,
    log: Vec<AuditEntry>,
    verified: bool,
    counts: (u64, u64),
    order: Vec<Id<Document>>,
}

fn look(store: &Store) -> Seen {
    let session = session(store, STAYS);
    let usage = store.users().usage(session.user(), Document::ENTITY_NAME).unwrap();
    Seen {
        documents: session.list().unwrap(),
        log: session.audit().list().unwrap(),
        verified: session.audit().verify().unwrap().is_intact(),
        counts: (usage.rows, usage.bytes),
        order: session
            .query::<Document>()
            .order_by(Document::TITLE.asc())
            .list()
            .unwrap()
            .into_iter()
            .map(|record| record.id)
            .collect(),
    }
}

/// How many misses and reads the files note of tenants, of those that were erased or of others.
fn noted(folder: &Path, layout: Layout, erased: bool) -> i64 {
    let path = path_in(folder, layout);
    let files = match layout {
        Layout::File => vec![path],
        Layout::Three | Layout::EachItsOwn => {
            fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect()
        }
    };
    let of = |table: &str| {
        format!("(SELECT count(*) FROM {table} JOIN _log_head ON tenant = key >> 40 WHERE closed = {erased})")
    };
    let sql = format!("SELECT {} + {}", of("_audit_miss"), of("_audit_read"));
    let databases = files.iter().filter(|path| path.extension().is_some_and(|extension| extension == "db"));
    let count = |path| -> i64 {
        let file = rusqlite::Connection::open(path).unwrap();
        file.query_row(&sql, [], |row| row.get(0)).unwrap()
    };
    databases.map(count).sum()
}

fn assert_clean(store: &Store) {
    let report = store.check().unwrap();
    assert!(report.is_clean(), "{report}");
}

/// The independent verifier finds nothing wrong with any log, those of who was erased too.
fn assert_verified_by_others(store: &Path) {
    let ask =
        "import sqlite3, sys; sys.exit(sys.version_info < (3, 8) or sqlite3.sqlite_version_info < (3, 37))";
    if !Command::new("python3").args(["-c", ask]).output().is_ok_and(|output| output.status.success()) {
        println!("skipped: there is no python3 of version 3.8 with SQLite 3.37, or newer");
        return;
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/verify_audit.py");
    let output = Command::new("python3").arg(script).arg(store).output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn no_byte_of_a_user_is_left_and_nothing_else_changes() {
    for layout in LAYOUTS {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path(), layout);
        furnish(&store);
        let before = look(&store);
        let there = traces(folder.path());
        for what in KINDS {
            assert!(there.contains(what), "{layout:?}: {what:?} was not there: {there:?}");
        }
        let old = session(&store, LEAVER);
        let ids: Vec<Id<Document>> = old.list::<Document>().unwrap().iter().map(|record| record.id).collect();
        let entries = old.audit().list().unwrap();

        let erased = store.users().erase(old.user()).unwrap();
        assert_eq!(erased.rows, ids.len() as u64);
        assert_eq!(erased.payloads, entries.len() as u64);
        assert!(erased.scrubbed);
        assert_eq!(traces(folder.path()), BTreeSet::new(), "{layout:?}");

        // Nobody is there.
        let unknown = |error: Error| assert!(matches!(&error, Error::UnknownUser { .. }), "{error:?}");
        unknown(old.get(ids[0]).unwrap_err());
        unknown(old.list::<Document>().unwrap_err());
        unknown(old.insert(&document(harmless, 1, None)).unwrap_err());
        unknown(old.transaction(|_| Ok(())).unwrap_err());
        unknown(old.audit().list().unwrap_err());
        unknown(old.sql("SELECT 1").all::<(i64,)>().unwrap_err());
        unknown(old.in_organization(&acme()).map(drop).unwrap_err());
        unknown(store.session(old.user()).map(drop).unwrap_err());
        unknown(store.users().get(old.user()).unwrap_err());
        unknown(store.users().erase(old.user()).unwrap_err());
        unknown(store.users().usage(old.user(), Document::ENTITY_NAME).unwrap_err());
        assert_eq!(store.users().list(None, 10).unwrap().len(), 1);
        assert_eq!(store.stats().unwrap().tenants, 1);
        assert_eq!(look(&store), before, "{layout:?}");
        assert_clean(&store);
        assert!(noted(folder.path(), layout, false) > 0 && noted(folder.path(), layout, true) == 0);

        // The id is free, and whoever has it next begins with nothing.
        let new = session(&store, LEAVER);
        assert_eq!(store.users().get(new.user()).unwrap().name, "");
        assert_eq!(new.count::<Document>().unwrap(), 0);
        assert!(ids.iter().all(|id| new.find(*id).unwrap().is_none()));
        assert_eq!(new.audit().list().unwrap().len(), 1);
        assert!(!store.users().usage(new.user(), Document::ENTITY_NAME).unwrap().own);
        unknown(old.count::<Document>().unwrap_err());
        new.insert(&document(harmless, 1, None)).unwrap();
        assert_eq!(new.sql("SELECT count(*) FROM document").all::<(u64,)>().unwrap(), [(1,)]);
        assert!(store.users().erase(new.user()).unwrap().scrubbed);
        assert_eq!(traces(folder.path()), BTreeSet::new(), "{layout:?}");
        assert_eq!(look(&store), before, "{layout:?}");
        store.close().unwrap();
        let store = open(folder.path(), layout);
        assert_eq!(look(&store), before, "{layout:?}");
        assert_clean(&store);
        assert_eq!(traces(folder.path()), BTreeSet::new(), "{layout:?}");
    }
}

#[test]
fn what_organizations_say_of_a_person_is_theirs() {
    for layout in LAYOUTS {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path(), layout);
        furnish(&store);
        found(&store);
        let (old, stays) = (inside(&store, LEAVER), inside(&store, STAYS));
        store
            .organizations()
            .invite(&OrganizationId::new("beta").unwrap(), old.user(), Role::Admin, None)
            .unwrap_err();
        let beta = store.organizations().create(&OrganizationId::new("beta").unwrap()).unwrap();
        store.organizations().invite(&beta, old.user(), Role::Admin, None).unwrap();
        let tickets = stays.list::<Ticket>().unwrap();
        let notes = stays.list::<Note>().unwrap();
        let log = stays.audit().list().unwrap();
        let before = look(&store);
        let rows = session(&store, LEAVER).count::<Document>().unwrap() + old.count::<Note>().unwrap();
        assert!(traces(folder.path()).contains("long note"), "{layout:?}");

        let erased = store.users().erase(old.user()).unwrap();
        assert_eq!(erased.rows, rows);
        assert!(erased.scrubbed);
        // The id is in the organizations' records and logs, and nowhere else.
        assert_eq!(traces(folder.path()), BTreeSet::from(["id".to_owned()]), "{layout:?}");
        assert!(matches!(old.list::<Note>(), Err(Error::UnknownUser { .. })));
        assert!(matches!(old.list::<Ticket>(), Err(Error::UnknownUser { .. })));
        assert_eq!(stays.list::<Ticket>().unwrap(), tickets);
        assert_eq!(stays.list::<Note>().unwrap(), notes);
        assert_eq!(look(&store), before);
        let members: Vec<UserId> =
            store.organizations().members(&acme(), None, 10).unwrap().into_iter().map(|m| m.user).collect();
        assert_eq!(members, [stays.user().clone()]);
        assert_eq!(stays.sql("SELECT user FROM members").all::<(String,)>().unwrap(), [(STAYS.to_owned(),)]);
        let now = stays.audit().list().unwrap();
        let mut entries = now.iter();
        for was in &log {
            let is = entries.next().unwrap();
            let mut expected = was.clone();
            expected.actor.take_if(|actor| actor == old.user());
            assert_eq!(*is, expected);
        }
        assert_eq!(entries.map(|entry| entry.action.as_str()).collect::<Vec<_>>(), ["member.remove"]);
        assert!(stays.audit().verify().unwrap().is_intact());
        assert!(stays.private_audit().verify().unwrap().is_intact());
        assert_clean(&store);
        // Retention passes over the log of a member who is not there any more.
        let old =
            LogRetention { payloads_before: Some(Timestamp::now()), entries_before: Some(Timestamp::now()) };
        assert!(store.organizations().expire_log(&acme(), old).unwrap().entries > 0);
        assert_clean(&store);

        // Whoever has the id next is no member, is not invited, and finds no notes once a member.
        let new = session(&store, LEAVER);
        assert!(matches!(new.in_organization(&acme()), Err(Error::NotMember { .. })));
        assert!(new.invitations(None, 10).unwrap().is_empty());
        store.organizations().add_member(&acme(), new.user(), Role::Member).unwrap();
        let new = new.in_organization(&acme()).unwrap();
        assert_eq!(new.count::<Note>().unwrap(), 0);
        assert!(new.private_audit().list().unwrap().is_empty());
        assert_clean(&store);
        store.close().unwrap();
        assert_verified_by_others(&path_in(folder.path(), layout));
    }
}

#[test]
fn no_byte_of_an_organization_is_left() {
    for layout in LAYOUTS {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path(), layout);
        let id = OrganizationId::new(canary("organization")).unwrap();
        let other = store.organizations().create(&OrganizationId::new("other").unwrap()).unwrap();
        store.organizations().create(&id).unwrap();
        store.organizations().rename(&id, &canary("name")).unwrap();
        for member in ["ada", STAYS] {
            for organization in [&id, &other.id] {
                store.organizations().add_member(organization, &user(&store, member), Role::Admin).unwrap();
            }
            session(&store, member).insert(&document(harmless, 1, None)).unwrap();
        }
        store.organizations().invite(&id, &UserId::new("linus").unwrap(), Role::Member, None).unwrap();
        store
            .organizations()
            .set_member_quota(&id, &user(&store, "ada"), Note::ENTITY_NAME, Some(Quota::none().rows(9)))
            .unwrap();
        let inside = |organization: &OrganizationId, member: &str| {
            session(&store, member).in_organization(organization).unwrap()
        };
        for member in ["ada", STAYS] {
            for (organization, words) in [(&id, canary as fn(&str) -> String), (&other.id, harmless)] {
                let inside = inside(organization, member);
                let assignee = Some(user(&store, member).id);
                let ticket = inside.insert(&Ticket { title: words("ticket"), assignee }).unwrap();
                inside.insert(&Note { text: words("note").repeat(900), ticket: Some(ticket) }).unwrap();
            }
        }
        store.organizations().remove_member(&id, &user(&store, "ada")).unwrap();
        let there = traces(folder.path());
        for what in ["organization", "name", "ticket", "note"] {
            assert!(there.contains(what), "{layout:?}: {what}: {there:?}");
        }
        let before = look(&store);
        let kept = inside(&other.id, "ada");
        let (tickets, notes) = (kept.list::<Ticket>().unwrap(), kept.list::<Note>().unwrap());
        let old = inside(&id, STAYS);

        let erased = store.organizations().erase(&id).unwrap();
        assert_eq!((erased.rows, erased.scrubbed), (4, true));
        assert_eq!(traces(folder.path()), BTreeSet::new(), "{layout:?}");
        let not_member = |error: Error| assert!(matches!(&error, Error::NotMember { .. }), "{error:?}");
        not_member(old.list::<Ticket>().unwrap_err());
        not_member(old.insert(&Note { text: String::new(), ticket: None }).unwrap_err());
        not_member(old.audit().list().unwrap_err());
        let unknown =
            |error: Error| assert!(matches!(&error, Error::UnknownOrganization { .. }), "{error:?}");
        unknown(store.organizations().get(&id).unwrap_err());
        unknown(store.organizations().erase(&id).unwrap_err());
        unknown(store.organizations().members(&id, None, 1).unwrap_err());
        assert_eq!(look(&store), before);
        assert_eq!((kept.list::<Ticket>().unwrap(), kept.list::<Note>().unwrap()), (tickets, notes));
        assert_eq!(store.users().organizations(&user(&store, "ada")).unwrap().len(), 1);
        assert_clean(&store);

        store.organizations().create(&id).unwrap();
        store.organizations().add_member(&id, &user(&store, "ada"), Role::Member).unwrap();
        let new = inside(&id, "ada");
        assert_eq!((new.count::<Ticket>().unwrap(), new.count::<Note>().unwrap()), (0, 0));
        assert_eq!(new.audit().list().unwrap().len(), 2);
        not_member(old.list::<Ticket>().unwrap_err());
        // A user goes after an organization that it was in.
        assert!(store.users().erase(&user(&store, "ada")).unwrap().scrubbed);
        assert_clean(&store);
        store.close().unwrap();
        assert_verified_by_others(&path_in(folder.path(), layout));
    }
}

#[test]
fn a_reader_holds_scrubbing_up_and_not_erasing() {
    for layout in LAYOUTS {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path(), layout);
        furnish(&store);
        found(&store);
        let before = look(&store);
        let stays = inside(&store, STAYS);
        assert_eq!(stays.sql("SELECT count(*) FROM members").all::<(i64,)>().unwrap(), [(2,)]);
        // Of the same tenant, so that it is in the same file in every layout.
        let leaver = session(&store, LEAVER);
        leaver
            .read(|view| {
                assert!(view.count::<Document>()? > 0);
                let erased = store.users().erase(leaver.user())?;
                assert!(!erased.scrubbed && erased.rows > 0, "{layout:?}: {erased:?}");
                assert!(store.session(leaver.user()).is_err());
                assert_eq!(stays.sql("SELECT user FROM members").all::<(String,)>()?, [(STAYS.to_owned(),)]);
                // That is what is there without it.
                assert!(traces(folder.path()).contains("body"), "{layout:?}");
                let scrub = store.scrub()?;
                assert_eq!((scrub.is_done(), scrub.left > 0), (false, true));
                if layout == Layout::File {
                    // Built anew beside a reader, the whole file would be in the log of writes, each time.
                    let other = rusqlite::Connection::open(path_in(folder.path(), layout)).unwrap();
                    let due: i64 = other.query_row("SELECT scrub FROM _store", [], |row| row.get(0)).unwrap();
                    assert_eq!(due, 1);
                }
                assert_eq!(look(&store), before, "{layout:?}");
                Ok(())
            })
            .unwrap();
        assert!(traces(folder.path()).contains("body"), "{layout:?}");
        let scrub = store.scrub().unwrap();
        assert!(scrub.is_done() && scrub.files > 0, "{layout:?}: {scrub:?}");
        assert_eq!(traces(folder.path()), BTreeSet::from(["id".to_owned()]), "{layout:?}");
        assert_eq!(store.scrub().unwrap().files, 0, "there is nothing left to do");
        assert_eq!(look(&store), before, "{layout:?}");
        assert_clean(&store);
    }
}

#[test]
fn what_another_process_held_up_is_done_when_the_store_is_opened() {
    for layout in LAYOUTS {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path(), layout);
        furnish(&store);
        let before = look(&store);
        let reading = builder().read_only().open(path_in(folder.path(), layout)).unwrap();
        let read = session_of(&reading, LEAVER);
        read.read(|view| {
            assert!(view.count::<Document>()? > 0);
            assert!(!store.users().erase(read.user())?.scrubbed);
            Ok(())
        })
        .unwrap();
        let unknown = |error: Error| assert!(matches!(&error, Error::UnknownUser { .. }), "{error:?}");
        unknown(read.count::<Document>().unwrap_err());
        unknown(read.list::<Document>().unwrap_err());
        reading.close().unwrap();
        store.close().unwrap();
        assert!(traces(folder.path()).contains("body"), "{layout:?}");
        let store = open(folder.path(), layout);
        assert_eq!(traces(folder.path()), BTreeSet::new(), "{layout:?}");
        assert_eq!(look(&store), before, "{layout:?}");
        assert_clean(&store);
    }
}

fn session_of(store: &Store, id: &str) -> TenantSession {
    store.session(&UserId::new(id).unwrap()).unwrap()
}

#[test]
fn what_moves_have_left_behind_goes_too() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), Layout::Three);
    // The hashes are salted, so one partition could be everybody's.
    let mut number = 0;
    while store.partitions().list().unwrap().len() < 3 {
        user(&store, &format!("neighbour {number}"));
        number += 1;
    }
    furnish(&store);
    found(&store);
    let leaver = user(&store, LEAVER);
    let elsewhere = |not: &str| {
        let mut all = store.partitions().list().unwrap().into_iter().map(|partition| partition.name);
        all.find(|name| name != not).unwrap()
    };
    let home = store.partitions().of_user(&leaver).unwrap().unwrap().name;
    store.partitions().move_user(&leaver, &elsewhere(&home), |_| {}).unwrap();
    let home = store.partitions().of_organization(&acme()).unwrap().unwrap().name;
    store.partitions().move_organization(&acme(), &elsewhere(&home), |_| {}).unwrap();
    let before = look(&store);
    assert!(store.users().erase(&leaver).unwrap().scrubbed);
    assert_eq!(traces(folder.path()), BTreeSet::from(["id".to_owned()]));
    assert_eq!(look(&store), before);
    assert_clean(&store);
    // Logs without a user move as others do, and so do those of members.
    for partitioning in [Partitioning::PerTenant, Partitioning::Fixed(2)] {
        store.partitions().repartition(partitioning, |_| {}).unwrap();
        assert_clean(&store);
        assert_eq!(look(&store), before);
    }
    // The words of the organization are all that names the leaver, wherever it has lived.
    store.organizations().erase(&acme()).unwrap();
    assert_eq!(traces(folder.path()), BTreeSet::new());
    assert_clean(&store);
    store.partitions().repartition(Partitioning::PerTenant, |_| {}).unwrap();
    store.close().unwrap();
    let store = builder().open(path_in(folder.path(), Layout::Three)).unwrap();
    assert_eq!(look(&store), before);
    assert_clean(&store);
}

#[test]
fn what_was_decided_before_a_kill_names_nobody_afterwards() {
    let root = tempfile::tempdir().unwrap();
    let (folder, copy) = (root.path().join("folder"), root.path().join("copy"));
    fs::create_dir(&folder).unwrap();
    let store = open(&folder, Layout::Three);
    furnish(&store);
    // As a kill would leave it: the catalog still lists what partitions have carried out.
    copy_by_other_process(&folder, &copy);
    let killed = open(&copy, Layout::Three);
    let before = look(&killed);
    assert!(killed.users().erase(&UserId::new(LEAVER).unwrap()).unwrap().scrubbed);
    assert_eq!(traces(&copy), BTreeSet::new());
    assert_eq!(look(&killed), before);
    assert_clean(&killed);
}

#[test]
fn who_is_on_the_way_is_not_erased() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), Layout::EachItsOwn);
    furnish(&store);
    found(&store);
    let leaver = user(&store, LEAVER);
    let to = store.partitions().of_user(&user(&store, STAYS)).unwrap().unwrap().name;
    let busy = |refused: tenantry::Result<tenantry::Erasure>| {
        assert!(matches!(refused, Err(Error::Busy { .. })), "{refused:?}");
    };
    let mut asked = 0;
    store
        .partitions()
        .move_user(&leaver, &to, |_| {
            asked += 1;
            busy(store.users().erase(&leaver))
        })
        .unwrap();
    // Neither while an organization is, in which it has records.
    store
        .partitions()
        .move_organization(&acme(), &to, |_| {
            asked += 1;
            busy(store.users().erase(&leaver))
        })
        .unwrap();
    assert!(asked > 1);
    assert_clean(&store);
    assert!(store.users().erase(&leaver).unwrap().scrubbed);
    assert_eq!(traces(folder.path()), BTreeSet::from(["id".to_owned()]));
    assert_clean(&store);
}

#[test]
fn statistics_of_what_was_erased_go() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), Layout::File);
    furnish(&store);
    let other_tool = rusqlite::Connection::open(path_in(folder.path(), Layout::File)).unwrap();
    other_tool.execute_batch("ANALYZE").unwrap();
    let tables = || -> i64 {
        let sql = "SELECT count(*) FROM sqlite_schema WHERE name LIKE 'sqlite_stat%'";
        other_tool.query_row(sql, [], |row| row.get(0)).unwrap()
    };
    assert!(tables() > 0);
    assert!(store.users().erase(&user(&store, LEAVER)).unwrap().scrubbed);
    assert_eq!(tables(), 0);
    assert_clean(&store);
}

#[test]
fn a_partition_that_can_not_be_opened_follows_once_it_can() {
    for used_first in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path(), Layout::EachItsOwn);
        furnish(&store);
        let before = look(&store);
        let leaver = user(&store, LEAVER);
        let home = store.partitions().of_user(&leaver).unwrap().unwrap();
        store.close().unwrap();
        let aside = folder.path().join("aside.db");
        fs::rename(&home.path, &aside).unwrap();
        let store = open(folder.path(), Layout::EachItsOwn);
        let erased = store.users().erase(&leaver).unwrap();
        assert_eq!((erased.rows, erased.scrubbed), (0, false));
        assert!(matches!(store.session(&leaver), Err(Error::UnknownUser { .. })));
        assert!(matches!(store.scrub(), Err(Error::Corrupt { .. })));
        assert_eq!(look(&store), before);
        fs::rename(&aside, &home.path).unwrap();
        if used_first {
            // The id is free, and lives in a file of the same name.
            let new = session(&store, LEAVER);
            assert_eq!(new.audit().list().unwrap().len(), 1);
            assert_eq!(new.count::<Document>().unwrap(), 0);
            assert_clean(&store);
        }
        assert!(store.scrub().unwrap().is_done());
        let id = used_first.then(|| "id".to_owned());
        assert_eq!(traces(folder.path()), BTreeSet::from_iter(id));
        assert_eq!(look(&store), before);
        assert_clean(&store);
    }
}

#[test]
fn an_intent_that_waited_is_not_left_in_the_catalog() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), Layout::EachItsOwn);
    furnish(&store);
    found(&store);
    let leaver = user(&store, LEAVER);
    let home = store.partitions().of_organization(&acme()).unwrap().unwrap();
    store.close().unwrap();
    let aside = folder.path().join("aside.db");
    fs::rename(&home.path, &aside).unwrap();
    let store = open(folder.path(), Layout::EachItsOwn);
    assert!(!store.users().erase(&leaver).unwrap().scrubbed);
    let in_catalog = || traces_in(folder.path(), "catalog");
    assert_eq!(
        in_catalog(),
        BTreeSet::from(["id".to_owned()]),
        "the organization's log is yet to say who left"
    );
    fs::rename(&aside, &home.path).unwrap();
    assert!(store.scrub().unwrap().is_done());
    assert_eq!(in_catalog(), BTreeSet::new());
    assert_eq!(traces(folder.path()), BTreeSet::from(["id".to_owned()]));
    assert_clean(&store);
}

#[test]
fn an_admin_is_forgotten_wherever_logs_name_it_and_erases_on_record() {
    for layout in LAYOUTS {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path(), layout);
        let admin = user(&store, LEAVER);
        let second = user(&store, "second admin");
        for admin in [&admin, &second] {
            store.users().set_role(admin, StoreRole::Admin).unwrap();
        }
        for number in 0..6 {
            let id = format!("user {number}");
            session(&store, &id).insert(&document(harmless, 1, None)).unwrap();
            let acting = store.admin(&admin, "looking").unwrap();
            assert_eq!(acting.session(&user(&store, &id)).unwrap().count::<Document>().unwrap(), 1);
        }
        let named = |store: &Store| {
            let log = session(store, "user 0").audit().list().unwrap();
            log.iter().filter(|entry| entry.admin.is_some()).count()
        };
        assert!(named(&store) > 0);
        store.users().set_role(&admin, StoreRole::User).unwrap();
        let acting = store.admin(&second, "asked to leave").unwrap();
        assert!(acting.users().erase(&admin).unwrap().scrubbed);
        if layout == Layout::File {
            let file = rusqlite::Connection::open(path_in(folder.path(), layout)).unwrap();
            let sql = "SELECT group_concat(action || ' by ' || id || ': ' || reason, ', ' ORDER BY key) FROM _audit \
                       JOIN _actor ON mark = admin WHERE key >> 40 = (SELECT tenant FROM _log_head WHERE closed = 1)";
            let last: String = file.query_row(sql, [], |row| row.get(0)).unwrap();
            let by = "by second admin: asked to leave";
            assert_eq!(last, format!("audit.expire {by}, tenant.erase {by}"));
        }
        assert_eq!(traces(folder.path()), BTreeSet::new(), "{layout:?}");
        assert_eq!(named(&store), 0, "the entries are there and name nobody");
        assert!(session(&store, "user 0").audit().verify().unwrap().is_intact());
        assert_clean(&store);
        // An admin whose own rights end by it.
        let own = store.admin(&second, "goes as well").unwrap();
        assert!(own.users().erase(&second).unwrap().scrubbed);
        assert!(matches!(own.users().erase(&user(&store, "user 0")), Err(Error::AccessDenied { .. })));
        assert!(matches!(acting.session(&user(&store, "user 0")), Err(Error::AccessDenied { .. })));
        assert_clean(&store);
    }
}

#[test]
fn others_work_on_while_somebody_leaves_who_is_at_work() {
    for layout in LAYOUTS {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path(), layout);
        furnish(&store);
        let leaver = session(&store, LEAVER);
        let ended = AtomicBool::new(false);
        let inserted = thread::scope(|scope| {
            let at_work: Vec<_> = (0..3)
                .map(|thread| {
                    let (leaver, ended) = (&leaver, &ended);
                    scope.spawn(move || {
                        for number in 0.. {
                            let new = document(canary, 1_000 * (thread + 1) + number, None);
                            let outcome = match number % 3 {
                                0 => leaver.insert(&new).map(drop),
                                1 => leaver.list::<Document>().map(drop),
                                _ => leaver.get(Id::<Document>::from_uuid(MISSED)).map(drop),
                            };
                            match outcome {
                                Ok(()) | Err(Error::NotFound { .. }) => {}
                                Err(Error::UnknownUser { .. }) => break,
                                Err(other) => panic!("{other}"),
                            }
                        }
                        assert!(ended.load(Ordering::Acquire), "a session ended before its user was erased");
                    })
                })
                .collect();
            let other = scope.spawn(|| {
                let stays = session(&store, STAYS);
                let mut inserted = 0;
                while !ended.load(Ordering::Acquire) {
                    stays.insert(&document(harmless, 10_000 + inserted, None)).unwrap();
                    inserted += 1;
                }
                // Statements that were prepared before the file was built anew.
                stays.list::<Document>().unwrap();
                assert!(stays.sql("SELECT count(*) FROM document").all::<(i64,)>().is_ok());
                inserted
            });
            thread::sleep(Duration::from_millis(100));
            ended.store(true, Ordering::Release);
            store.users().erase(leaver.user()).unwrap();
            at_work.into_iter().for_each(|thread| thread.join().unwrap());
            other.join().unwrap()
        });
        assert!(inserted > 0);
        assert!(store.scrub().unwrap().is_done());
        // Writes what waits in memory.
        assert_clean(&store);
        assert_eq!(noted(folder.path(), layout, true), 0, "{layout:?}");
        assert_eq!(traces(folder.path()), BTreeSet::new(), "{layout:?}");
    }
}

/// What the other process does; nothing when the tests are run as usual.
#[test]
fn child_that_erases() {
    let Ok(path) = std::env::var(ERASE_IN) else { return };
    let store = builder().open(path).unwrap();
    println!("opened");
    let erased = store.users().erase(&UserId::new(LEAVER).unwrap()).unwrap();
    println!("scrubbed: {}, then: {:?}", erased.scrubbed, store.scrub().map_err(|error| error.to_string()));
}

const ERASE_IN: &str = "TENANTRY_TEST_ERASE_IN";

#[test]
fn a_kill_at_any_time_is_followed_by_the_rest() {
    let root = tempfile::tempdir().unwrap();
    let template = root.path().join("template");
    fs::create_dir(&template).unwrap();
    let (before, rows) = {
        let store = open(&template, Layout::File);
        furnish(&store);
        for id in [LEAVER, STAYS] {
            let quota = Some(Quota::none().rows(10_000));
            store.users().set_quota(&user(&store, id), Document::ENTITY_NAME, quota).unwrap();
        }
        for number in 0..10 {
            for (id, words) in [(LEAVER, canary as fn(&str) -> String), (STAYS, harmless)] {
                let many: Vec<Document> =
                    (0..100).map(|of| document(words, 1_001 + number * 100 + of, None)).collect();
                session(&store, id).insert_many(&many).unwrap();
            }
        }
        let before = look(&store);
        let rows = session(&store, LEAVER).count::<Document>().unwrap();
        store.close().unwrap();
        (before, rows)
    };
    let mut ends = [0; 3];
    for round in 0..20 {
        let folder = root.path().join(round.to_string());
        copy(&template, &folder);
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child_that_erases", "--nocapture", "--test-threads", "1"])
            .env(ERASE_IN, path_in(&folder, Layout::File))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
        output.find(|line| line.as_ref().unwrap().contains("opened")).unwrap().unwrap();
        thread::sleep(Duration::from_millis(round * 10));
        child.kill().unwrap();
        let came_to_its_end = child.wait().unwrap().success();
        drop(output);
        let store = open(&folder, Layout::File);
        match store.session(&UserId::new(LEAVER).unwrap()) {
            Ok(leaver) => {
                assert_eq!(leaver.count::<Document>().unwrap(), rows);
                assert!(leaver.audit().list().unwrap().iter().all(|entry| entry.changes.is_some()));
                ends[0] += 1;
            }
            Err(Error::UnknownUser { .. }) => {
                assert_eq!(traces(&folder), BTreeSet::new());
                ends[if came_to_its_end { 2 } else { 1 }] += 1;
            }
            Err(error) => panic!("{error}"),
        }
        assert_eq!(look(&store), before);
        assert_clean(&store);
        store.close().unwrap();
        fs::remove_dir_all(&folder).unwrap();
        if came_to_its_end {
            break;
        }
    }
    println!("killed before it was decided: {}, after: {}, not: {}", ends[0], ends[1], ends[2]);
    assert!(ends[1] > 0, "no kill came in between: {ends:?}");
}

#[test]
fn check_finds_who_is_neither_there_nor_erased() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), Layout::File);
    furnish(&store);
    found(&store);
    store.users().erase(&user(&store, LEAVER)).unwrap();
    let file = rusqlite::Connection::open(path_in(folder.path(), Layout::File)).unwrap();
    let erased = "(SELECT max(tenant) FROM _log_head WHERE closed = 1 AND tenant IN (SELECT key FROM _user))";
    for (tampered, back) in [
        (
            format!("UPDATE _log_head SET closed = 0 WHERE tenant = {erased}"),
            "UPDATE _log_head SET closed = 1 WHERE tenant IN (SELECT key FROM _user WHERE id IS NULL)"
                .to_owned(),
        ),
        (
            format!("UPDATE _user SET id = 'back' WHERE key = {erased}"),
            format!("UPDATE _user SET id = NULL WHERE key = {erased}"),
        ),
        (
            "UPDATE _log_head SET closed = 1 - closed WHERE tenant IN (SELECT key FROM _member)".to_owned(),
            "UPDATE _log_head SET closed = 1 - closed WHERE tenant IN (SELECT key FROM _member)".to_owned(),
        ),
        (
            format!(
                "UPDATE _log_head SET closed = 1 WHERE tenant IN (SELECT key FROM _user WHERE id = '{STAYS}')"
            ),
            format!(
                "UPDATE _log_head SET closed = 0 WHERE tenant IN (SELECT key FROM _user WHERE id = '{STAYS}')"
            ),
        ),
    ] {
        assert!(file.execute(&tampered, []).unwrap() > 0);
        let report = store.check().unwrap();
        assert!(report.to_string().contains("erased"), "{tampered}: {report}");
        file.execute(&back, []).unwrap();
        assert_clean(&store);
    }
}

/// A limit on the size of files, as a full disk would, ends the copying of what is there and not the erasing before it.
#[cfg(unix)]
#[test]
fn a_file_that_can_not_be_built_anew_stays_due() {
    let folder = tempfile::tempdir().unwrap();
    let path = path_in(folder.path(), Layout::File);
    {
        let store = open(folder.path(), Layout::File);
        session(&store, LEAVER).insert(&document(canary, 1, None)).unwrap();
        let stays = session(&store, STAYS);
        for number in 0..200 {
            stays
                .insert(&Document { body: "much ".repeat(30_000), ..document(harmless, number, None) })
                .unwrap();
        }
        store.close().unwrap();
    }
    // In the log of writes each page has 24 bytes beside it: as many as the file has don't fit, and few do. `sh` counts
    // in blocks of 512 bytes; a write that fails must not end the process.
    let blocks = fs::metadata(&path).unwrap().len() / 512 + 128;
    let limited = format!("trap '' XFSZ && ulimit -f {blocks} && exec \"$0\" \"$@\"");
    let output = Command::new("sh")
        .args(["-c", &limited])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "child_that_erases", "--nocapture", "--test-threads", "1"])
        .env(ERASE_IN, &path)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    if !said.contains("opened") {
        println!("skipped: no process can be limited here: {output:?}");
        return;
    }
    assert!(said.contains("scrubbed: false, then: Err("), "{output:?}");
    let reading = builder().read_only().open(&path).unwrap();
    assert!(reading.session(&UserId::new(LEAVER).unwrap()).is_err(), "it is erased all the same");
    reading.close().unwrap();
    assert!(traces(folder.path()).contains("title"));
    let store = open(folder.path(), Layout::File);
    assert_eq!(traces(folder.path()), BTreeSet::new());
    assert_eq!(store.scrub().unwrap().files, 0);
    assert_eq!(session(&store, STAYS).count::<Document>().unwrap(), 200);
    assert_clean(&store);
}
