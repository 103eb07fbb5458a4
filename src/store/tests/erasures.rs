//! The process ends at every moment of an erasure in turn. Whatever the moment, the next opening finds whoever it was
//! as a whole, or finishes, until no byte of its content is left; nothing of anybody else's is another than before.

use std::fs;
use std::path::{Path, PathBuf};

use super::crashes::{MOMENTS_MAX, Note, Task, Ticket, acme, builder, copy, run, session, user_id};
use crate::commit::{Actor, Event};
use crate::store::Refusal;
use crate::{AuditEntry, Durability, Error, Record, Role, Store};

const CANARY: &str = "LEAVER~";
const USER: &str = "erase a user";
const ORGANIZATION: &str = "erase an organization";

fn path_in(folder: &Path, spread: bool) -> PathBuf {
    folder.join(if spread { "store" } else { "app.db" })
}

/// Two who stay, one who leaves, an organization of all, each with records.
fn furnish(folder: &Path, spread: bool, what: &str) {
    fs::create_dir(folder).unwrap();
    let builder = builder(Durability::Full);
    let builder = if spread { builder.partitions(3) } else { builder };
    let store = builder.open(path_in(folder, spread)).unwrap();
    store.organizations().create(&acme()).unwrap();
    for id in ["ada", "grace", "leaver"] {
        store.users().create(&user_id(id)).unwrap();
        store.organizations().add_member(&acme(), &user_id(id), Role::Member).unwrap();
        let words = |own: bool, what: &str| format!("{}{what}", if own { CANARY } else { "" });
        let session = session(&store, id);
        let mut parent = None;
        for number in 0..5 {
            let title = words(what == USER && id == "leaver", &format!("task {number}"));
            parent = Some(session.insert(&Task { title, price: None, parent }).unwrap());
        }
        let inside = session.in_organization(&acme()).unwrap();
        inside.insert(&Ticket { title: words(what == ORGANIZATION, "ticket") }).unwrap();
        let text = words(what == ORGANIZATION || id == "leaver", "note").repeat(1_000);
        inside.insert(&Note { text }).unwrap();
    }
    // The hashes are salted, so one partition could be everybody's.
    let mut neighbours = 0;
    while spread && store.partitions().list().unwrap().len() < 2 {
        store.users().create(&user_id(&format!("neighbour {neighbours}"))).unwrap();
        neighbours += 1;
    }
    store.close().unwrap();
}

/// What those who stay can tell, and of the organization, if it is there.
#[derive(Debug, PartialEq)]
struct Seen {
    tasks: Vec<Vec<Record<Task>>>,
    logs: Vec<Vec<AuditEntry>>,
    tickets: Option<Vec<Record<Ticket>>>,
    notes: Vec<Vec<Record<Note>>>,
}

fn look(store: &Store) -> Seen {
    let mut seen = Seen { tasks: vec![], logs: vec![], tickets: None, notes: vec![] };
    for id in ["ada", "grace"] {
        let session = session(store, id);
        seen.tasks.push(session.list().unwrap());
        seen.logs.push(session.audit().list().unwrap());
        if store.organizations().get(&acme()).is_ok() {
            let inside = session.in_organization(&acme()).unwrap();
            seen.notes.push(inside.list().unwrap());
            seen.logs.push(inside.private_audit().list().unwrap());
            seen.tickets = Some(inside.list().unwrap());
        }
    }
    seen
}

/// Whether who leaves is there; as a whole, if so.
fn is_there(store: &Store, what: &str) -> bool {
    if what == USER {
        match store.session(&user_id("leaver")) {
            Ok(session) => {
                assert_eq!(session.count::<Task>().unwrap(), 5);
                assert_eq!(session.in_organization(&acme()).unwrap().list::<Note>().unwrap().len(), 1);
                assert!(session.audit().list().unwrap().iter().all(|entry| entry.changes.is_some()));
                true
            }
            Err(Error::UnknownUser { .. }) => false,
            Err(error) => panic!("{error}"),
        }
    } else {
        store.organizations().get(&acme()).is_ok()
    }
}

fn assert_no_byte_is_left(folder: &Path, when: &str) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            assert_no_byte_is_left(&path, when);
            continue;
        }
        let bytes = fs::read(&path).unwrap();
        let found = bytes.windows(CANARY.len()).any(|window| window == CANARY.as_bytes());
        assert!(!found, "{when}: {} holds what was erased", path.display());
    }
}

fn at_every_moment(what: &str, spread: bool, durability: &str) {
    let root = tempfile::tempdir().unwrap();
    let template = root.path().join("template");
    furnish(&template, spread, what);
    let wanted = look(&builder(Durability::Full).open(path_in(&template, spread)).unwrap());
    let (mut whole, mut gone) = (0, 0);
    for moment in 1..MOMENTS_MAX {
        let when = format!("{what}, spread: {spread}, moment {moment}");
        let folder = root.path().join(moment.to_string());
        copy(&template, &folder);
        let came_to_its_end = run(what, durability, moment, &path_in(&folder, spread));
        let store = builder(Durability::Full)
            .open(path_in(&folder, spread))
            .unwrap_or_else(|error| panic!("{when}: {error}"));
        let there = is_there(&store, what);
        assert!(!(there && came_to_its_end), "{when}");
        if there {
            whole += 1;
            assert_eq!(look(&store), wanted, "{when}");
            super::crashes::change(&store, what).unwrap();
        } else {
            gone += 1;
        }
        assert_eq!(store.scrub().unwrap().files, 0, "{when}: something was left to do");
        let report = store.check().unwrap();
        assert!(report.is_clean(), "{when}: {report}");
        let seen = look(&store);
        if what == ORGANIZATION {
            assert_eq!(seen.tickets, None, "{when}");
            assert_eq!(seen.tasks, wanted.tasks, "{when}");
        } else {
            assert_eq!(seen, wanted, "{when}");
        }
        store.close().unwrap();
        assert_no_byte_is_left(&folder, &when);
        fs::remove_dir_all(&folder).unwrap();
        if came_to_its_end {
            assert!(whole > 0 && gone > 4, "{when}: {whole} before it was decided, {gone} after");
            return;
        }
    }
    panic!("{what} does not end");
}

#[test]
fn nothing_follows_the_last_entry_of_a_log() {
    let store = builder(Durability::Full).temporary().unwrap();
    store.users().create(&user_id("leaver")).unwrap();
    let late = session(&store, "leaver");
    let (key, mark) = store
        .inner
        .read(|connection| {
            let found = crate::schema::identities::find_user(connection, &user_id("leaver"))?;
            Ok((found.key, found.mark))
        })
        .unwrap();
    store.users().erase(&user_id("leaver")).unwrap();
    // Who looked the user up before, and comes to write only now.
    let event =
        || Event { action: "session", outcome: "disabled", entity: None, record: None, payload: vec![0x80] };
    let written = store.inner.write(key, Actor::default(), |unit| unit.audit(key, &event()));
    assert!(matches!(written, Err(Error::Busy { .. })), "{written:?}");
    let actor = Actor { user: Some(mark), admin: None };
    let refusal = Refusal { user: key, actor, outcome: "disabled", what: None };
    store.inner.refuse(refusal, Error::Closed);
    assert!(store.inner.refusals.lock().unwrap().is_empty(), "it waits for ever");
    store.inner.note_miss(key, key, None, "Task", crate::Uuid::from_u128(7));
    let report = store.check().unwrap();
    assert!(report.is_clean(), "{report}");
    let misses: i64 = store
        .inner
        .read(
            |connection| Ok(connection.query_row("SELECT count(*) FROM _audit_miss", [], |row| row.get(0))?),
        )
        .unwrap();
    assert_eq!(misses, 0);
    assert!(matches!(late.audit().list(), Err(Error::UnknownUser { .. })));
}

#[test]
fn a_user_in_one_file() {
    at_every_moment(USER, false, "full");
    at_every_moment(USER, false, "normal");
}

#[test]
fn a_user_in_several_files() {
    at_every_moment(USER, true, "full");
    at_every_moment(USER, true, "normal");
}

#[test]
fn an_organization() {
    at_every_moment(ORGANIZATION, false, "full");
    at_every_moment(ORGANIZATION, true, "full");
}
