//! What the report of misses says of ids, in one file and in several.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use uuid::Uuid;

use crate::identity::TenantKey;
use crate::schema::identities;
use crate::{
    Builder, ColumnDefinition, ColumnKind, Definition, Error, Fields, Id, MissGroup, MissKind, MissQuery,
    MissReport, OnDelete, OrganizationId, Role, Store, Tenancy, TenantName, TenantSession, UserId,
};

fn builder() -> Builder {
    let reference = ColumnKind::Reference { entity: "task".into(), on_delete: OnDelete::Cascade };
    let text = || ColumnDefinition::new("text", ColumnKind::Text);
    Store::builder()
        .definition(
            Definition::new("task", Tenancy::User)
                .column(text())
                .column(ColumnDefinition::new("parent", reference).optional()),
        )
        .definition(Definition::new("note", Tenancy::Member).column(text()))
        .definition(Definition::new("ticket", Tenancy::Organization).column(text()))
}

fn session(store: &Store, id: &str) -> TenantSession {
    store.session(&store.users().create(&UserId::new(id).unwrap()).unwrap()).unwrap()
}

fn fields(text: &str) -> Fields {
    Fields::new().with("text", text)
}

fn key(store: &Store, user: &str) -> TenantKey {
    let id = UserId::new(user).unwrap();
    store.inner.read(|connection| Ok(identities::find_user(connection, &id)?.key)).unwrap()
}

fn misses(store: &Store, user: &str, query: &MissQuery) -> MissReport {
    let key = key(store, user);
    store.inner.misses(key, key, query).unwrap()
}

/// Each id of a group: how often, what it is, whether it was deleted.
fn told(group: &MissGroup) -> Vec<(Uuid, u64, MissKind, bool)> {
    group.ids.iter().map(|id| (id.record, id.requests, id.kind, id.was_deleted)).collect()
}

fn sorted<T: Ord>(mut all: Vec<T>) -> Vec<T> {
    all.sort();
    all
}

#[test]
fn an_id_is_unknown_or_was_deleted_or_is_somebody_elses() {
    for (name, builder) in [
        ("one file", builder()),
        ("several", builder().partitions(4)),
        ("one for each", builder().partition_per_tenant().partitions_open(2)),
    ] {
        let store = builder.temporary().unwrap();
        let ada = session(&store, "ada");
        let tasks = ada.dynamic("task").unwrap();
        let others: Vec<Id<Fields>> = (0..12)
            .map(|n| {
                session(&store, &format!("user-{n}")).dynamic("task").unwrap().insert(fields("x")).unwrap()
            })
            .collect();
        let parent = tasks.insert(fields("parent")).unwrap();
        let child = tasks.insert(fields("child").with("parent", parent)).unwrap();
        let kept = tasks.insert(fields("kept")).unwrap();
        tasks.delete(parent).unwrap();
        // Made by the choice of its id: another one has had it too.
        let chosen = others[0];
        tasks.upsert(chosen, fields("chosen")).unwrap();
        tasks.delete(chosen).unwrap();
        let unknown = Id::from_uuid(Uuid::from_u128(7));
        // One of the tenant's own that will be inserted under its id.
        let later = tasks.insert(fields("later")).unwrap();
        tasks.delete(later).unwrap();
        for id in others.iter().chain([&parent, &child, &unknown, &unknown, &later]) {
            assert!(tasks.find(*id).unwrap().is_none());
        }
        assert!(tasks.find(kept).unwrap().is_some());
        assert!(matches!(tasks.patch(unknown, fields("x")), Err(Error::NotFound { .. })));
        assert!(!tasks.exists(others[1]).unwrap());
        tasks.upsert(later, fields("later")).unwrap();
        let report = misses(&store, "ada", &MissQuery::new());
        assert!(report.unreadable.is_empty());
        let [group] = &report.groups[..] else { panic!("{name}: {report:?}") };
        let mut expected = vec![
            (parent.uuid(), 1, MissKind::Deleted, true),
            (child.uuid(), 1, MissKind::Deleted, true),
            (unknown.uuid(), 3, MissKind::Unknown, false),
            (later.uuid(), 1, MissKind::Own, true),
            (chosen.uuid(), 1, MissKind::Foreign, true),
            (others[1].uuid(), 2, MissKind::Foreign, false),
        ];
        expected.extend(others[2..].iter().map(|id| (id.uuid(), 1, MissKind::Foreign, false)));
        assert_eq!(told(group), sorted(expected), "{name}");
        assert_eq!((group.entity.as_str(), group.requests), ("task", 19));
        assert_eq!(group.actor, Some(UserId::new("ada").unwrap()));
        assert_eq!(group.count(MissKind::Foreign), 12);
        assert!(group.ids.iter().all(|id| id.owners.is_empty()), "whose it is, nobody asked");
        // Whose they are, if it is asked.
        let report = misses(&store, "ada", &MissQuery::new().name_owners());
        let owners = |id: Id<Fields>| {
            report.groups[0].ids.iter().find(|missed| missed.record == id.uuid()).unwrap().owners.clone()
        };
        assert_eq!(owners(others[3]), [TenantName::User(UserId::new("user-3").unwrap())]);
        assert!(owners(unknown).is_empty() && owners(later).is_empty() && owners(parent).is_empty());
        // Nobody else is said to have missed anything.
        assert_eq!(misses(&store, "user-3", &MissQuery::new()), MissReport::default());
    }
}

#[test]
fn groups_are_by_entity_actor_and_window() {
    let time = Arc::new(AtomicI64::new(1_700_000_000));
    let clock = Arc::clone(&time);
    let builder = builder().clock(move || Timestamp::from_second(clock.load(Ordering::Relaxed)).unwrap());
    let store = builder.temporary().unwrap();
    let acme = store.organizations().create(&OrganizationId::new("acme").unwrap()).unwrap().id;
    let members = ["ada", "grace"].map(|id| {
        let user = session(&store, id);
        store.organizations().add_member(&acme, user.user(), Role::Member).unwrap();
        user.in_organization(&acme).unwrap()
    });
    let note = members[1].dynamic("note").unwrap().insert(fields("hers")).unwrap();
    let ticket = members[1].dynamic("ticket").unwrap().insert(fields("both's")).unwrap();
    members[1].dynamic("ticket").unwrap().delete(ticket).unwrap();
    for minute in 0..6 {
        time.store(1_700_000_000 + 60 * minute, Ordering::Relaxed);
        let member = &members[usize::from(minute == 5)];
        assert!(member.dynamic("ticket").unwrap().find(ticket).unwrap().is_none());
        assert!(members[0].dynamic("note").unwrap().find(note).unwrap().is_none());
    }
    let home =
        store.inner.read(|connection| Ok(identities::find_organization(connection, &acme)?.key)).unwrap();
    let query = || MissQuery::new().window(Duration::from_secs(240));
    let report = store.inner.misses(home, home, &query()).unwrap();
    let group = |group: &MissGroup| {
        (group.entity.clone(), group.actor.as_ref().unwrap().to_string(), group.requests, group.ids.len())
    };
    let groups: Vec<_> = report.groups.iter().map(group).collect();
    // 1,700,000,000 is 160 seconds before the end of a window of 240.
    let ticket_by = |who: &str, requests| ("ticket".to_owned(), who.to_owned(), requests, 1);
    assert_eq!(groups, [ticket_by("ada", 3), ticket_by("ada", 2), ticket_by("grace", 1)]);
    assert!(report.groups.iter().all(|group| group.ids[0].kind == MissKind::Deleted));
    assert_eq!(report.groups[1].first, Timestamp::from_second(1_700_000_180).unwrap());
    assert_eq!(report.groups[1].last, Timestamp::from_second(1_700_000_240).unwrap());
    let since = Timestamp::from_second(1_700_000_180).unwrap();
    let report = store.inner.misses(home, home, &query().since(since)).unwrap();
    assert_eq!(report.groups.iter().map(|group| group.requests).sum::<u64>(), 3);
    let report = store.inner.misses(home, home, &query().until(since)).unwrap();
    assert_eq!(report.groups.iter().map(|group| group.requests).sum::<u64>(), 3);
    // A member's own misses are with the member, not with the organization.
    let ada = key(&store, "ada");
    let member = store
        .inner
        .read(|connection| Ok(identities::find_member(connection, home, ada)?.unwrap().key))
        .unwrap();
    let report = store.inner.misses(home, member, &MissQuery::new().name_owners()).unwrap();
    let [notes] = &report.groups[..] else { panic!("{report:?}") };
    assert_eq!(told(notes), [(note.uuid(), 6, MissKind::Foreign, false)]);
    assert_eq!(
        notes.ids[0].owners,
        [TenantName::Member { organization: acme.clone(), user: UserId::new("grace").unwrap() }]
    );
}

#[test]
fn a_partition_that_is_not_there_is_named_in_the_report() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let store = builder().partition_per_tenant().open(&path).unwrap();
    let (ada, grace) = (session(&store, "ada"), session(&store, "grace"));
    let hers = grace.dynamic("task").unwrap().insert(fields("hers")).unwrap();
    assert!(ada.dynamic("task").unwrap().find(hers).unwrap().is_none());
    let place = store.partitions().of_user(&UserId::new("grace").unwrap()).unwrap().unwrap();
    store.close().unwrap();
    std::fs::remove_file(&place.path).unwrap();
    let store = builder().open(&path).unwrap();
    let report = misses(&store, "ada", &MissQuery::new());
    assert_eq!(report.unreadable, [place.name]);
    assert_eq!(report.groups[0].ids[0].kind, MissKind::Unknown);
}
