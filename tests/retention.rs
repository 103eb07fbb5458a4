//! Retention: payloads and entries that expire, the log that says so itself, and anchors kept elsewhere.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod engine;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use tenantry::{
    Anchor, AuditEntry, Builder, ChainProblem, Entity, Error, ExpiredLog, LogName, LogRetention,
    OrganizationId, Quota, Role, Store, TenantName, TenantSession, Timestamp, UserId, Value,
};

#[derive(Debug, Clone, PartialEq, Entity)]
struct Task {
    title: String,
    points: i64,
}

#[derive(Debug, Clone, PartialEq, Entity)]
#[entity(tenancy = organization, author)]
struct Ticket {
    title: String,
}

#[derive(Debug, Clone, PartialEq, Entity)]
#[entity(tenancy = member)]
struct Note {
    text: String,
}

#[derive(Debug, Clone, PartialEq, Entity)]
#[entity(tenancy = reference)]
struct Currency {
    code: String,
}

/// Days since some morning; tests turn it on.
#[derive(Clone, Default)]
struct Days(Arc<AtomicI64>);

fn day(number: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + number * 86_400).unwrap()
}

impl Days {
    fn turn_to(&self, number: i64) {
        self.0.store(number, Ordering::Relaxed);
    }
}

fn builder(days: &Days) -> Builder {
    let days = days.clone();
    engine::builder()
        .entity::<Task>()
        .entity::<Ticket>()
        .entity::<Note>()
        .entity::<Currency>()
        .clock(move || day(days.0.load(Ordering::Relaxed)))
}

fn id(name: &str) -> UserId {
    UserId::new(name).unwrap()
}

fn acme() -> OrganizationId {
    OrganizationId::new("acme").unwrap()
}

fn session(store: &Store, name: &str) -> TenantSession {
    store.session(&store.users().get_or_create(&id(name)).unwrap()).unwrap()
}

fn task(title: &str) -> Task {
    Task { title: title.into(), points: 1 }
}

fn payloads_before(number: i64) -> LogRetention {
    LogRetention { payloads_before: Some(day(number)), ..LogRetention::default() }
}

fn entries_before(number: i64) -> LogRetention {
    LogRetention { entries_before: Some(day(number)), ..LogRetention::default() }
}

fn gone(expired: ExpiredLog) -> (u64, u64) {
    (expired.payloads, expired.entries)
}

fn assert_clean(store: &Store) {
    let report = store.check().unwrap();
    assert!(report.is_clean(), "{report}");
}

/// Numbers, with a minus where the payload is gone.
fn outline(entries: &[AuditEntry]) -> Vec<i64> {
    let number = |entry: &AuditEntry| i64::try_from(entry.number).unwrap();
    entries.iter().map(|e| if e.changes.is_some() { number(e) } else { -number(e) }).collect()
}

/// One entry on each of the first days: the user, then tasks.
fn ten_days(store: &Store, days: &Days) -> TenantSession {
    let session = session(store, "ada");
    for number in 1..10 {
        days.turn_to(number);
        session.insert(&task(&format!("of day {number}"))).unwrap();
    }
    session
}

#[test]
fn payloads_go_then_entries_and_the_log_says_so_and_verifies() {
    let days = Days::default();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    let store = builder(&days).open(&path).unwrap();
    let ada = ten_days(&store, &days);
    let before = ada.audit().list().unwrap();
    assert_eq!(gone(store.users().expire_log(&id("ada"), payloads_before(3)).unwrap()), (3, 0));
    let now = ada.audit().list().unwrap();
    assert_eq!(outline(&now), [-1, -2, -3, 4, 5, 6, 7, 8, 9, 10, 11]);
    assert_eq!(now[3..10], before[3..]);
    let verification = ada.audit().verify().unwrap();
    assert!(verification.is_intact(), "{verification:?}");
    assert_eq!((verification.expired_payloads, verification.expired_entries), (3, 0));
    assert_clean(&store);

    let both = LogRetention { payloads_before: Some(day(7)), entries_before: Some(day(5)) };
    assert_eq!(gone(store.users().expire_log(&id("ada"), both).unwrap()), (4, 5));
    let now = ada.audit().list().unwrap();
    assert_eq!(outline(&now), [-6, -7, 8, 9, 10, 11, 12]);
    let stated = now.last().unwrap();
    assert_eq!((stated.action.as_str(), stated.outcome.as_str()), ("audit.expire", "ok"));
    assert_eq!((&stated.entity, &stated.record, &stated.actor), (&None, &None, &None));
    let changes = stated.changes.as_ref().unwrap();
    let names: Vec<&str> = changes.iter().map(|change| change.column.as_str()).collect();
    assert_eq!(names, ["origin", "payloads", "entries", "hash"]);
    assert_eq!((&changes[1].before, &changes[1].after), (&Value::Integer(3), &Value::Integer(7)));
    assert_eq!((&changes[2].before, &changes[2].after), (&Value::Integer(0), &Value::Integer(5)));
    assert_eq!(changes[3].after, Value::Bytes(before[4].hash.to_vec()));
    let verification = ada.audit().verify().unwrap();
    assert!(verification.is_intact(), "{verification:?}");
    assert_eq!((verification.expired_payloads, verification.expired_entries), (7, 5));
    assert_eq!(verification.entries, 7);
    assert_clean(&store);

    // It goes on, also after the store was closed.
    drop(ada);
    store.close().unwrap();
    let store = builder(&days).open(&path).unwrap();
    let ada = session(&store, "ada");
    ada.insert(&task("later")).unwrap();
    // Records whose beginning nobody knows any more are changed and deleted as others.
    let first = ada.query::<Task>().first().unwrap().unwrap();
    ada.patch(first.id, Task::POINTS.set(2)).unwrap();
    let second = ada.list::<Task>().unwrap()[1].id;
    ada.delete(second).unwrap();
    assert!(ada.audit().verify().unwrap().is_intact());
    assert_clean(&store);
    // All that is there can go; what says so stays.
    days.turn_to(20);
    assert_eq!(gone(store.users().expire_log(&id("ada"), entries_before(20)).unwrap()), (8, 10));
    assert_eq!(outline(&ada.audit().list().unwrap()), [16]);
    assert!(ada.audit().verify().unwrap().is_intact());
    assert_clean(&store);
}

#[test]
fn check_still_finds_changed_rows_where_the_log_tells_of_them() {
    let days = Days::default();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    let store = builder(&days).open(&path).unwrap();
    let ada = ten_days(&store, &days);
    store.users().set_quota(&id("ada"), "task", Some(Quota::none().rows(100))).unwrap();
    let old = ada.query::<Task>().first().unwrap().unwrap().id;
    days.turn_to(11);
    ada.patch(old, Task::POINTS.set(7)).unwrap();
    store.users().expire_log(&id("ada"), entries_before(10)).unwrap();
    assert_clean(&store);
    store.close().unwrap();
    for (statement, found) in [
        ("UPDATE _rows_task SET points = 8 WHERE points = 7", true),
        ("UPDATE _rows_task SET _version = 0 WHERE points = 7", true),
        ("UPDATE _rows_task SET _updated = _updated - 1 WHERE points = 7", true),
        ("DELETE FROM _rows_task WHERE points = 7", true),
        ("DELETE FROM _rows_task WHERE title = 'of day 2'", true), // by the count
        // Nothing knows of it any more.
        ("UPDATE _rows_task SET title = 'of DAY 2' WHERE title = 'of day 2'", false),
    ] {
        let copy = folder.path().join("copy.db");
        std::fs::copy(&path, &copy).unwrap();
        let raw = engine::look(&copy);
        assert_eq!(raw.execute(statement, []).unwrap(), 1, "{statement}");
        drop(raw);
        let report = builder(&days).open(&copy).unwrap().check().unwrap();
        assert_eq!(!report.is_clean(), found, "{statement}: {report}");
    }
}

#[test]
fn nothing_new_to_delete_leaves_no_entry_and_the_future_is_refused() {
    let days = Days::default();
    let store = builder(&days).temporary().unwrap();
    let ada = ten_days(&store, &days);
    let users = store.users();
    let (refused, length) =
        (users.expire_log(&id("ada"), payloads_before(10)), ada.audit().list().unwrap().len());
    assert!(
        matches!(&refused, Err(Error::InvalidInput { field, .. }) if field == "payloads_before"),
        "{refused:?}"
    );
    let refused = users.expire_log(&id("ada"), entries_before(10));
    assert!(
        matches!(&refused, Err(Error::InvalidInput { field, .. }) if field == "entries_before"),
        "{refused:?}"
    );
    let unknown = users.expire_log(&id("nobody"), entries_before(1));
    assert!(matches!(unknown, Err(Error::UnknownUser { .. })));
    for nothing in [LogRetention::default(), payloads_before(-5), entries_before(0)] {
        assert_eq!(users.expire_log(&id("ada"), nothing).unwrap(), ExpiredLog::default(), "{nothing:?}");
    }
    assert_eq!(ada.audit().list().unwrap().len(), length);
    // A time further back than what has gone already.
    users.expire_log(&id("ada"), entries_before(4)).unwrap();
    let length = ada.audit().list().unwrap().len();
    for again in [entries_before(4), entries_before(2), payloads_before(3)] {
        assert_eq!(users.expire_log(&id("ada"), again).unwrap(), ExpiredLog::default(), "{again:?}");
    }
    assert_eq!(ada.audit().list().unwrap().len(), length);
    // Nobody does anything any more, and entries expire each day: it comes to an end.
    for number in 10..200 {
        days.turn_to(number);
        users.expire_log(&id("ada"), entries_before(number - 5)).unwrap();
        assert!(ada.audit().verify().unwrap().is_intact());
    }
    let left = ada.audit().list().unwrap();
    assert!(left.len() < 10 && left.iter().all(|entry| entry.action == "audit.expire"), "{left:#?}");
    assert!(left.iter().all(|entry| entry.time <= day(15)), "it goes on for ever: {left:#?}");
}

#[test]
fn an_organization_s_logs_go_with_those_of_its_members_and_the_reference_log_by_itself() {
    let days = Days::default();
    let store = builder(&days).temporary().unwrap();
    let (ada, _grace) = (session(&store, "ada"), session(&store, "grace"));
    store.organizations().create(&acme()).unwrap();
    for name in ["ada", "grace"] {
        store.organizations().add_member(&acme(), &id(name), Role::Member).unwrap();
        let inside = session(&store, name).in_organization(&acme()).unwrap();
        inside.insert(&Note { text: name.into() }).unwrap();
        inside.insert(&Ticket { title: name.into() }).unwrap();
    }
    store.reference().insert(&Currency { code: "EUR".into() }).unwrap();
    store.organizations().remove_member(&acme(), &id("grace")).unwrap();
    days.turn_to(2);
    // The organization, two members, three entries each about what they did, and one about the end.
    assert_eq!(gone(store.organizations().expire_log(&acme(), entries_before(1)).unwrap()), (8, 8));
    let inside = ada.in_organization(&acme()).unwrap();
    for log in [inside.audit(), inside.private_audit()] {
        assert_eq!(log.list().unwrap().len(), 1, "{log:?}");
        assert!(log.verify().unwrap().is_intact());
    }
    assert_eq!(store.reference().audit().list().unwrap().len(), 1);
    assert_eq!(gone(store.reference().expire_log(payloads_before(1)).unwrap()), (1, 0));
    assert!(store.reference().audit().verify().unwrap().is_intact());
    assert_eq!(ada.audit().list().unwrap().len(), 1, "users' own logs are theirs");
    store.organizations().add_member(&acme(), &id("grace"), Role::Member).unwrap();
    let inside = session(&store, "grace").in_organization(&acme()).unwrap();
    assert_eq!(inside.private_audit().list().unwrap()[0].action, "audit.expire");
    assert_clean(&store);
    let unknown = store.organizations().expire_log(&OrganizationId::new("other").unwrap(), entries_before(1));
    assert!(matches!(unknown, Err(Error::UnknownOrganization { .. })));
}

/// The writer is free between batches, and what others write meanwhile stays.
#[test]
fn a_long_log_goes_in_batches() {
    let days = Days::default();
    let store = builder(&days).temporary().unwrap();
    let ada = session(&store, "ada");
    let tasks: Vec<Task> = (0..1_600).map(|number| task(&number.to_string())).collect();
    ada.insert_many(&tasks).unwrap();
    days.turn_to(2);
    let commits = || store.stats().unwrap().commits.batches.count;
    let before = commits();
    let both = LogRetention { payloads_before: Some(day(1)), entries_before: Some(day(1)) };
    assert_eq!(gone(store.users().expire_log(&id("ada"), payloads_before(1)).unwrap()), (1_601, 0));
    assert_eq!(commits() - before, 1 + 4, "one that says so, and 500 at a time");
    assert_eq!(gone(store.users().expire_log(&id("ada"), both).unwrap()), (0, 1_601));
    assert_eq!(commits() - before, 2 * (1 + 4));
    assert!(ada.audit().verify().unwrap().is_intact());
    assert_clean(&store);
}

/// An open store whose file somebody changes with another tool, the triggers away.
fn tampered(days: &Days, path: &Path, statements: &str) -> Store {
    let raw = engine::look(path);
    raw.execute_batch("DROP TRIGGER _audit_fixed; DROP TRIGGER _audit_stays").unwrap();
    raw.execute_batch(statements).unwrap();
    drop(raw);
    builder(days).open(path).unwrap()
}

/// Ada, who is tenant 1, on day 10, after payloads of 7 and 5 entries have expired.
fn with_expired(run: impl Fn(&Days, &Path)) {
    let days = Days::default();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    let store = builder(&days).open(&path).unwrap();
    ten_days(&store, &days);
    let both = LogRetention { payloads_before: Some(day(7)), entries_before: Some(day(5)) };
    store.users().expire_log(&id("ada"), both).unwrap();
    session(&store, "ada").insert(&task("after")).unwrap();
    assert_clean(&store);
    store.close().unwrap();
    run(&days, &path);
}

#[test]
fn a_checkpoint_that_the_log_does_not_state_is_found() {
    let statements = [
        // Deletes what nobody decided to delete, and says that it was decided.
        "DELETE FROM _audit WHERE key = (1 << 40) + 6; \
         UPDATE _audit_checkpoint SET entries = 6, hash = (SELECT previous FROM _audit WHERE key = (1 << 40) + 7)",
        "UPDATE _audit SET salt = NULL, body = NULL WHERE key = (1 << 40) + 8; UPDATE _audit_checkpoint SET payloads = 8",
        "UPDATE _audit_checkpoint SET payloads = 8",
        "UPDATE _audit_checkpoint SET payloads = 6",
        "UPDATE _audit_checkpoint SET entries = 4",
        "UPDATE _audit_checkpoint SET hash = zeroblob(32)",
        "DELETE FROM _audit_checkpoint",
        // All but the last entry, with that which states the checkpoint.
        "DELETE FROM _audit WHERE key < (1 << 40) + 12; \
         UPDATE _audit_checkpoint SET (payloads, entries, hash) = (SELECT 11, 11, previous FROM _audit)",
        // The statement's own payload.
        "UPDATE _audit SET salt = NULL, body = NULL WHERE key = (1 << 40) + 11",
        "UPDATE _audit SET salt = NULL, body = NULL WHERE key = (1 << 40) + 11; UPDATE _audit_checkpoint SET payloads = 11",
        // No entry that is left hangs on it.
        "UPDATE _log_head SET origin = zeroblob(32)",
    ];
    for statement in statements {
        with_expired(|days, path| {
            let store = tampered(days, path, statement);
            let verification = session(&store, "ada").audit().verify().unwrap();
            assert!(!verification.is_intact(), "{statement}");
            assert!(
                verification
                    .problems
                    .iter()
                    .any(|problem| matches!(problem, ChainProblem::Checkpoint { .. })),
                "{statement}: {verification:?}"
            );
            assert!(!store.check().unwrap().is_clean(), "{statement}");
        });
    }
    // A log that never expired, and of which somebody says that it did.
    let days = Days::default();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    let store = builder(&days).open(&path).unwrap();
    ten_days(&store, &days);
    store.close().unwrap();
    let statement = "INSERT INTO _audit_checkpoint SELECT 1, 3, 3, hash FROM _audit WHERE key = (1 << 40) + 3; \
                     DELETE FROM _audit WHERE key <= (1 << 40) + 3";
    let store = tampered(&days, &path, statement);
    let verification = session(&store, "ada").audit().verify().unwrap();
    assert_eq!(verification.problems, [ChainProblem::Checkpoint { entries: 3, payloads: 3 }]);
}

/// What somebody changed must not go as if it had been all right.
#[test]
fn a_log_that_does_not_verify_keeps_everything() {
    with_expired(|days, path| {
        let store = tampered(days, path, "UPDATE _audit SET outcome = 'no' WHERE key = (1 << 40) + 6");
        let kept = session(&store, "ada").audit().list().unwrap();
        days.turn_to(12);
        let refused = store.users().expire_log(&id("ada"), entries_before(11));
        assert!(matches!(refused, Err(Error::Corrupt { .. })), "{refused:?}");
        assert_eq!(session(&store, "ada").audit().list().unwrap(), kept);
    });
}

#[test]
fn anchors_name_their_log_and_say_what_they_prove() {
    let days = Days::default();
    let store = builder(&days).temporary().unwrap();
    let ada = ten_days(&store, &days);
    let grace = session(&store, "grace");
    store.organizations().create(&acme()).unwrap();
    store.organizations().add_member(&acme(), &id("ada"), Role::Member).unwrap();
    let inside = ada.in_organization(&acme()).unwrap();
    let reference = store.reference();
    let logs = [ada.audit(), grace.audit(), inside.audit(), inside.private_audit(), reference.audit()];
    let anchors: Vec<Anchor> = logs.iter().map(|log| log.head().unwrap()).collect();
    let names: Vec<String> = anchors.iter().map(|anchor| anchor.log.to_string()).collect();
    assert_eq!(names, ["user:ada", "user:grace", "organization:acme", "member:acme/ada", "reference"]);
    let numbers: Vec<u64> = anchors.iter().map(|anchor| anchor.number).collect();
    assert_eq!(numbers, [10, 1, 2, 0, 0]);
    assert!(anchors.iter().all(|anchor| anchor.time == day(9)));
    for (here, log) in logs.iter().enumerate() {
        for (there, anchor) in anchors.iter().enumerate() {
            let kept: Anchor = anchor.to_string().parse().unwrap();
            let problems = log.verify_against(&kept).unwrap().problems;
            if here == there {
                assert_eq!(problems, []);
            } else {
                assert_eq!(problems, [ChainProblem::OtherLog { anchored: anchor.log.clone() }]);
            }
        }
    }
    // An anchor of a log of the same name in another store.
    let other = session(&builder(&days).temporary().unwrap(), "ada").audit().head().unwrap();
    let problems = ada.audit().verify_against(&other).unwrap().problems;
    assert_eq!(problems, [ChainProblem::OtherLog { anchored: LogName::Tenant(TenantName::User(id("ada"))) }]);

    // It grows, and expires: entries up to 5, then up to the anchor's own, then beyond it.
    inside.insert(&Note { text: "first".into() }).unwrap();
    assert!(inside.private_audit().verify_against(&anchors[3]).unwrap().is_intact());
    store.users().expire_log(&id("ada"), entries_before(5)).unwrap();
    assert!(ada.audit().verify_against(&anchors[0]).unwrap().is_intact());
    days.turn_to(10);
    store.users().expire_log(&id("ada"), entries_before(9)).unwrap();
    assert!(ada.audit().verify_against(&anchors[0]).unwrap().is_intact());
    days.turn_to(11);
    ada.insert(&task("one more")).unwrap();
    days.turn_to(13);
    let last = ada.audit().head().unwrap();
    store.users().expire_log(&id("ada"), entries_before(10)).unwrap();
    let verification = ada.audit().verify_against(&anchors[0]).unwrap();
    let entries = verification.expired_entries;
    assert!(entries > 10 && ada.audit().verify().unwrap().is_intact());
    assert_eq!(verification.problems, [ChainProblem::AnchorExpired { number: 10, entries }]);
    assert!(ada.audit().verify_against(&last).unwrap().is_intact());
    let json: Anchor = serde_json::from_str(&serde_json::to_string(&last).unwrap()).unwrap();
    assert_eq!(json, last);
}

#[test]
fn logs_expire_in_stores_of_several_files_and_move_there_and_back() {
    let days = Days::default();
    let folder = tempfile::tempdir().unwrap();
    let store = builder(&days).partitions(3).open(folder.path().join("store")).unwrap();
    let ada = ten_days(&store, &days);
    for number in 0..20 {
        session(&store, &format!("neighbour {number}"));
    }
    store.organizations().create(&acme()).unwrap();
    store.organizations().add_member(&acme(), &id("ada"), Role::Member).unwrap();
    ada.in_organization(&acme()).unwrap().insert(&Note { text: "mine".into() }).unwrap();
    store.reference().insert(&Currency { code: "EUR".into() }).unwrap();
    days.turn_to(20);
    let both = LogRetention { payloads_before: Some(day(7)), entries_before: Some(day(5)) };
    assert_eq!(gone(store.users().expire_log(&id("ada"), both).unwrap()), (7, 5));
    assert_eq!(gone(store.organizations().expire_log(&acme(), entries_before(15)).unwrap()), (3, 3));
    assert_eq!(gone(store.reference().expire_log(entries_before(15)).unwrap()), (1, 1));
    let anchor = ada.audit().head().unwrap();
    let partitions = store.partitions();
    let home = partitions.of_user(&id("ada")).unwrap().unwrap().name;
    let other = partitions.list().unwrap().into_iter().map(|p| p.name).find(|name| *name != home).unwrap();
    let mut refused = 0;
    for to in [&other, &home] {
        partitions
            .move_user(&id("ada"), to, |_| {
                let busy = store.users().expire_log(&id("ada"), entries_before(7));
                refused += usize::from(matches!(busy, Err(Error::Busy { .. })));
            })
            .unwrap();
        partitions.move_organization(&acme(), to, |_| {}).unwrap();
        assert!(ada.audit().verify_against(&anchor).unwrap().is_intact());
        let inside = ada.in_organization(&acme()).unwrap();
        assert!(inside.audit().verify().unwrap().is_intact());
        assert_eq!(inside.private_audit().verify().unwrap().expired_entries, 1);
        assert_clean(&store);
    }
    assert!(refused > 0, "a log does not shrink while it moves");
    assert_eq!(gone(store.users().expire_log(&id("ada"), entries_before(7)).unwrap()), (0, 2));
    partitions.move_user(&id("ada"), &other, |_| {}).unwrap();
    assert!(ada.audit().verify_against(&anchor).unwrap().is_intact());
    assert_clean(&store);
    // The reference log is the catalog's.
    assert!(store.reference().audit().verify().unwrap().is_intact());
}

#[test]
fn a_store_that_is_only_read_deletes_nothing() {
    with_expired(|days, path| {
        let store = builder(days).read_only().open(path).unwrap();
        days.turn_to(12);
        let refused = store.users().expire_log(&id("ada"), entries_before(11));
        assert!(matches!(refused, Err(Error::ReadOnly { .. })), "{refused:?}");
        assert!(store.session(&id("ada")).unwrap().audit().head().unwrap().number > 0);
    });
}
