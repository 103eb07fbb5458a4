//! Quotas by name: what is refused, what never is, and that a refusal leaves nothing behind. That every
//! verb keeps to them, whatever came before, is in `tests/model`.

#![allow(clippy::unwrap_used, clippy::panic)]

mod engine;

use std::sync::Barrier;

use tenantry::{
    Builder, Entity, Error, Fields, Id, OrganizationId, Quota, QuotaKind, Result, Role, Store, TenantSession,
    Timestamp, UserId, Value,
};

#[derive(Debug, Clone, PartialEq, Entity)]
struct Album {
    name: String,
}

#[derive(Debug, Clone, PartialEq, Entity)]
#[entity(unique(title))]
struct Photo {
    title: String,
    image: Vec<u8>,
    #[entity(on_delete = cascade)]
    album: Option<Id<Album>>,
    #[entity(on_delete = set_null)]
    cover_of: Option<Id<Album>>,
}

#[derive(Debug, Clone, PartialEq, Entity)]
#[entity(tenancy = organization)]
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

fn photo(title: &str, bytes: usize) -> Photo {
    Photo { title: title.to_owned(), image: vec![7; bytes], album: None, cover_of: None }
}

/// What `photo` counts, with a title of one letter.
const fn counted(bytes: u64) -> u64 {
    64 + 1 + bytes
}

fn builder() -> Builder {
    engine::builder()
        .entity::<Album>()
        .entity::<Photo>()
        .entity::<Ticket>()
        .entity::<Note>()
        .entity::<Currency>()
}

fn user(store: &Store, id: &str) -> TenantSession {
    store.session(&store.users().create(&UserId::new(id).unwrap()).unwrap()).unwrap()
}

fn ada(quota: Quota) -> (Store, TenantSession) {
    let store = builder().quota("photo", quota).temporary().unwrap();
    let ada = user(&store, "ada");
    (store, ada)
}

/// Which quota refused, its number, and the number that it would have become.
#[track_caller]
fn refused<T: std::fmt::Debug>(result: Result<T>) -> (QuotaKind, u64, u64) {
    match result {
        Err(Error::QuotaExceeded { what, max, total, .. }) => (what, max, total),
        other => panic!("not refused: {other:?}"),
    }
}

fn assert_clean(store: &Store) {
    let report = store.check().unwrap();
    assert!(report.is_clean(), "{report}");
}

/// Everything that a tenant can see of itself.
fn state(store: &Store, session: &TenantSession) -> impl PartialEq + std::fmt::Debug {
    (
        session.list::<Photo>().unwrap(),
        session.list::<Album>().unwrap(),
        session.audit().list().unwrap(),
        store.users().usage(session.user(), "photo").unwrap(),
        store.users().usage(session.user(), "album").unwrap(),
    )
}

#[test]
fn a_refused_verb_leaves_nothing_behind() {
    let (store, ada) = ada(Quota::none().rows(2).bytes(1_000));
    let first = ada.insert(&photo("a", 100)).unwrap();
    ada.insert(&photo("b", 100)).unwrap();
    let before = state(&store, &ada);

    assert_eq!(refused(ada.insert(&photo("c", 0))), (QuotaKind::Rows, 2, 3));
    assert_eq!(refused(ada.insert_at(&photo("c", 0), Timestamp::UNIX_EPOCH)), (QuotaKind::Rows, 2, 3));
    assert_eq!(refused(ada.insert_many(&[photo("c", 0), photo("d", 0)])), (QuotaKind::Rows, 2, 3));
    assert_eq!(refused(ada.upsert_on(&["title"], &photo("c", 0))), (QuotaKind::Rows, 2, 3));
    let unused = Id::from_uuid("0190f3a0-7c1e-7000-8000-000000000001".parse().unwrap());
    assert_eq!(refused(ada.upsert(unused, &photo("c", 0))), (QuotaKind::Rows, 2, 3));
    let fields = Fields::new().with("title", "c").with("image", Value::Bytes(Vec::new()));
    assert_eq!(refused(ada.dynamic("photo").unwrap().insert(fields)), (QuotaKind::Rows, 2, 3));

    let large = (QuotaKind::Bytes, 1_000, counted(100) + counted(900));
    assert_eq!(refused(ada.update(first, &photo("a", 900))), large);
    assert_eq!(refused(ada.patch(first, Photo::IMAGE.set(vec![0; 900]))), large);
    assert_eq!(refused(ada.upsert(first, &photo("a", 900))), large);
    assert_eq!(refused(ada.upsert_on(&["title"], &photo("a", 900))), large);
    assert_eq!(refused(ada.update_where(Photo::TITLE.eq("a"), Photo::IMAGE.set(vec![0; 900]))), large);

    assert_eq!(state(&store, &ada), before);
    assert_clean(&store);
}

#[test]
fn the_error_says_what_to_do_and_is_not_for_a_retry() {
    let (_store, ada) = ada(Quota::none().rows(0));
    let error = ada.insert(&photo("a", 0)).unwrap_err();
    assert!(!error.is_retryable());
    assert_eq!(
        error.to_string(),
        "the quota of photo is 0 rows and this would make it 1; nothing of this call was kept: delete some first, or have the quota raised"
    );
}

#[test]
fn exactly_the_quota_fits() {
    let (store, ada) = ada(Quota::none().bytes(counted(10) + counted(20)));
    let first = ada.insert(&photo("a", 10)).unwrap();
    ada.insert(&photo("b", 20)).unwrap();
    ada.patch(first, Photo::IMAGE.set(vec![1; 10])).unwrap();
    let (_, max, total) = refused(ada.patch(first, Photo::IMAGE.set(vec![1; 11])));
    assert_eq!(total, max + 1);
    assert_eq!(store.users().usage(ada.user(), "photo").unwrap().bytes, max);
}

/// What is there stays and can shrink, however low the quota; only what grows is refused.
#[test]
fn below_what_is_there_only_growth_is_refused() {
    let (store, ada) = ada(Quota::none());
    let album = ada.insert(&Album { name: "x".into() }).unwrap();
    let ids = ada.insert_many(&[photo("a", 50), photo("b", 50), photo("c", 50), photo("d", 50)]).unwrap();
    ada.patch(ids[2], Photo::ALBUM.set(album)).unwrap();
    ada.patch(ids[3], Photo::COVER_OF.set(album)).unwrap();
    store.users().set_quota(ada.user(), "photo", Some(Quota::none().rows(0).bytes(0))).unwrap();

    ada.update(ids[0], &photo("A", 50)).unwrap(); // another value of the same size
    ada.patch(ids[0], Photo::IMAGE.set(vec![0; 49])).unwrap();
    ada.upsert(ids[0], &photo("a", 48)).unwrap();
    ada.upsert_on(&["title"], &photo("a", 47)).unwrap();
    assert_eq!(ada.update_where(Photo::TITLE.ne(""), Photo::IMAGE.set(vec![0; 47])).unwrap(), 4);
    assert_eq!(refused(ada.patch(ids[0], Photo::IMAGE.set(vec![0; 48]))).0, QuotaKind::Bytes);
    ada.delete(ids[1]).unwrap();
    // With an album goes a photo, and another one lets go of it.
    ada.delete(album).unwrap();
    assert_eq!(ada.count::<Photo>().unwrap(), 2);
    assert_eq!(ada.get(ids[3]).unwrap().cover_of, None);
    assert_eq!(refused(ada.insert(&photo("e", 0))), (QuotaKind::Rows, 0, 3));
    assert_eq!(ada.delete_where(Photo::TITLE.ne("")).unwrap(), 2);
    assert_eq!(store.users().usage(ada.user(), "photo").unwrap().bytes, 0);
    assert_clean(&store);
}

/// A bulk change counts at its end, so that it does not matter which record comes first.
#[test]
fn a_bulk_change_may_grow_before_it_shrinks() {
    for titles in [["a", "b"], ["b", "a"]] {
        let (store, ada) = ada(Quota::none().bytes(counted(10) + counted(90)));
        for title in titles {
            ada.insert(&photo(title, if title == "a" { 10 } else { 90 })).unwrap();
        }
        ada.query::<Photo>().patch(Photo::IMAGE.set(vec![1; 50])).unwrap();
        let before = state(&store, &ada);
        let (what, max, total) = refused(ada.query::<Photo>().patch(Photo::IMAGE.set(vec![2; 51])));
        assert_eq!((what, total), (QuotaKind::Bytes, max + 2));
        assert_eq!(state(&store, &ada), before);
        assert_clean(&store);
    }
}

#[test]
fn a_transaction_goes_on_after_a_refusal() {
    let (store, ada) = ada(Quota::none().rows(2));
    let old = ada.insert(&photo("a", 0)).unwrap();
    ada.transaction(|tx| {
        tx.insert(&photo("b", 0))?;
        assert_eq!(refused(tx.insert(&photo("c", 0))), (QuotaKind::Rows, 2, 3));
        assert_eq!(refused(tx.insert_many(&[photo("c", 0)])), (QuotaKind::Rows, 2, 3));
        assert_eq!(tx.count::<Photo>()?, 2);
        // Each verb counts by itself: room comes first.
        tx.delete(old)?;
        tx.insert(&photo("c", 0))?;
        let inner = tx.transaction(|inner| {
            inner.delete_where(Photo::TITLE.eq("b"))?;
            inner.insert(&photo("d", 0))?;
            Err::<(), _>(Error::aborted("no"))
        });
        assert!(inner.is_err());
        // What the inner one made room for is taken back with it.
        assert_eq!(refused(tx.insert(&photo("d", 0))), (QuotaKind::Rows, 2, 3));
        Ok(())
    })
    .unwrap();
    let titles: Vec<String> = ada.list::<Photo>().unwrap().iter().map(|p| p.title.clone()).collect();
    assert_eq!(titles, ["b", "c"]);
    assert!(ada.transaction(|tx| tx.insert(&photo("d", 0))).is_err());
    assert_clean(&store);
}

/// Callers that share a commit are refused each alone, and no more of them get in than there is room.
#[test]
fn callers_at_the_same_time_share_the_room() {
    const THREADS: usize = 8;
    let (store, ada) = ada(Quota::none().rows(50));
    let grace = user(&store, "grace");
    let start = Barrier::new(THREADS);
    let inserted: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                let (session, start) = (if thread == 0 { &grace } else { &ada }, &start);
                scope.spawn(move || {
                    start.wait();
                    let outcomes = (0..20).map(|n| session.insert(&photo(&format!("{thread}/{n}"), 9)));
                    let kept = outcomes.map(|outcome| match outcome {
                        Ok(_) => true,
                        Err(Error::QuotaExceeded { max: 50, total: 51, .. }) => false,
                        Err(other) => panic!("{other:?}"),
                    });
                    kept.filter(|kept| *kept).count()
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(inserted, 50 + 20);
    assert_eq!((ada.count::<Photo>().unwrap(), grace.count::<Photo>().unwrap()), (50, 20));
    assert_clean(&store);
}

/// One tenant's rows and quota are nothing to another, nor one entity's to another.
#[test]
fn quotas_are_apart() {
    let (store, ada) = ada(Quota::none().rows(1));
    let grace = user(&store, "grace");
    ada.insert(&photo("a", 0)).unwrap();
    refused(ada.insert(&photo("b", 0)));
    grace.insert(&photo("a", 0)).unwrap();
    ada.insert(&Album { name: "x".into() }).unwrap();

    store.users().set_quota(grace.user(), "photo", Some(Quota::none())).unwrap();
    grace.insert_many(&[photo("b", 0), photo("c", 0)]).unwrap();
    refused(ada.insert(&photo("b", 0)));
    let logged = |session: &TenantSession| session.audit().action("quota.set").list().unwrap().len();
    assert_eq!((logged(&ada), logged(&grace)), (0, 1));
}

#[test]
fn an_own_quota_stands_in_place_of_the_default_and_stays_in_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    let default = Quota::none().rows(2).bytes(10_000);
    let store = builder().quota("photo", default).open(&path).unwrap();
    let ada = user(&store, "ada");
    let usage = || store.users().usage(ada.user(), "photo").unwrap();
    assert_eq!((usage().rows, usage().bytes, usage().quota, usage().own), (0, 0, default, false));

    // Whole, not one number of it; also before there is any row.
    store.users().set_quota(ada.user(), "photo", Some(Quota::none().rows(3))).unwrap();
    assert_eq!((usage().quota, usage().own), (Quota::none().rows(3), true));
    ada.insert_many(&[photo("a", 9_000), photo("b", 9_000), photo("c", 0)]).unwrap();
    assert_eq!(refused(ada.insert(&photo("d", 0))), (QuotaKind::Rows, 3, 4));
    store.users().set_quota(ada.user(), "photo", None).unwrap();
    assert_eq!(refused(ada.insert(&photo("d", 0))), (QuotaKind::Rows, 2, 4));
    // A number beyond what SQLite can hold is no limit.
    store.users().set_quota(ada.user(), "photo", Some(Quota::none().rows(u64::MAX).bytes(18_250))).unwrap();
    assert_eq!(usage().quota, Quota::none().bytes(18_250));

    let max = i64::MAX;
    let logged: Vec<Vec<(String, Value, Value)>> = ada
        .audit()
        .action("quota.set")
        .list()
        .unwrap()
        .into_iter()
        .inspect(|entry| assert_eq!((entry.actor.as_ref(), entry.outcome.as_str()), (None, "ok")))
        .map(|entry| entry.changes.unwrap().into_iter().map(|c| (c.column, c.before, c.after)).collect())
        .collect();
    let entry = |before: [Option<i64>; 2], after: [Option<i64>; 2]| {
        vec![
            ("entity".to_owned(), Value::from("photo"), Value::from("photo")),
            ("rows".to_owned(), before[0].into(), after[0].into()),
            ("bytes".to_owned(), before[1].into(), after[1].into()),
        ]
    };
    let (none, three, last) = ([None, None], [Some(3), Some(max)], [Some(max), Some(18_250)]);
    assert_eq!(logged, [entry(none, three), entry(three, none), entry(none, last)]);
    assert_clean(&store);
    store.close().unwrap();

    // The file holds the tenant's own, and no default.
    let store = builder().open(&path).unwrap();
    let ada = store.session(&UserId::new("ada").unwrap()).unwrap();
    assert_eq!(refused(ada.insert(&photo("d", 100))).1, 18_250);
    store.users().set_quota(ada.user(), "photo", None).unwrap();
    ada.insert(&photo("d", 100)).unwrap();
    store.close().unwrap();
    let store = builder().quota("photo", default).read_only().open(&path).unwrap();
    let usage = store.users().usage(&UserId::new("ada").unwrap(), "photo").unwrap();
    assert_eq!((usage.rows, usage.quota, usage.own), (4, default, false));
    let set = store.users().set_quota(&UserId::new("ada").unwrap(), "photo", None);
    assert!(matches!(set, Err(Error::ReadOnly { .. })));
}

#[test]
fn organizations_and_members_have_their_own() {
    let store = builder()
        .quota("ticket", Quota::none().rows(2))
        .quota("note", Quota::none().rows(1))
        .temporary()
        .unwrap();
    let acme = store.organizations().create(&OrganizationId::new("acme").unwrap()).unwrap();
    let within = |id: &str| {
        let session = user(&store, id);
        store.organizations().add_member(&acme, session.user(), Role::Member).unwrap();
        session.in_organization(&acme).unwrap()
    };
    let (ada, grace) = (within("ada"), within("grace"));
    let ticket = || Ticket { title: "x".into() };
    let note = || Note { text: "x".into() };
    ada.insert(&ticket()).unwrap();
    grace.insert(&ticket()).unwrap();
    assert_eq!(refused(ada.insert(&ticket())), (QuotaKind::Rows, 2, 3));
    store.organizations().set_quota(&acme, "ticket", Some(Quota::none().rows(3))).unwrap();
    ada.insert(&ticket()).unwrap();
    assert_eq!(store.organizations().usage(&acme, "ticket").unwrap().rows, 3);

    // A member's private rows count for that member alone.
    ada.insert(&note()).unwrap();
    refused(ada.insert(&note()));
    grace.insert(&note()).unwrap();
    let organizations = store.organizations();
    organizations.set_member_quota(&acme, ada.user(), "note", Some(Quota::none().rows(2))).unwrap();
    ada.insert(&note()).unwrap();
    refused(grace.insert(&note()));
    assert_eq!(organizations.member_usage(&acme, ada.user(), "note").unwrap().rows, 2);
    assert_eq!(organizations.member_usage(&acme, grace.user(), "note").unwrap().quota.rows, Some(1));
    // Each in the log of the tenant whose it is.
    let actions = |audit: tenantry::Audit<'_>| audit.action("quota.set").list().unwrap().len();
    assert_eq!(actions(ada.audit()), 1);
    assert_eq!((actions(ada.private_audit()), actions(grace.private_audit())), (1, 0));

    store.organizations().remove_member(&acme, ada.user()).unwrap();
    let gone = store.organizations().set_member_quota(&acme, ada.user(), "note", None);
    assert!(matches!(gone, Err(Error::NotMember { .. })));
    assert_clean(&store);
}

#[test]
fn reference_entities_have_the_default() {
    let store = builder().quota("currency", Quota::none().rows(1)).temporary().unwrap();
    let currency = |code: &str| Currency { code: code.to_owned() };
    store.reference().insert(&currency("EUR")).unwrap();
    assert_eq!(refused(store.reference().insert(&currency("GBP"))), (QuotaKind::Rows, 1, 2));
}

#[test]
fn quotas_of_nothing_are_refused() {
    let store = builder().temporary().unwrap();
    let ada = user(&store, "ada");
    let acme = store.organizations().create(&OrganizationId::new("acme").unwrap()).unwrap();
    store.organizations().add_member(&acme, ada.user(), Role::Member).unwrap();
    let (users, organizations) = (store.users(), store.organizations());
    let quota = Some(Quota::none().rows(1));
    for outcome in [
        users.set_quota(ada.user(), "ticket", quota),
        users.set_quota(ada.user(), "currency", quota),
        organizations.set_quota(&acme, "note", quota),
        organizations.set_member_quota(&acme, ada.user(), "ticket", quota),
        users.usage(ada.user(), "note").map(drop),
    ] {
        assert!(
            matches!(&outcome, Err(Error::InvalidInput { field, .. }) if field == "entity"),
            "{outcome:?}"
        );
    }
    assert!(matches!(users.set_quota(ada.user(), "nothing", quota), Err(Error::Schema { .. })));
    let nobody = UserId::new("nobody").unwrap();
    assert!(matches!(users.set_quota(&nobody, "photo", quota), Err(Error::UnknownUser { .. })));
    let nowhere = OrganizationId::new("nowhere").unwrap();
    let unknown = organizations.set_quota(&nowhere, "ticket", quota);
    assert!(matches!(unknown, Err(Error::UnknownOrganization { .. })));
    assert!(ada.audit().action("quota.set").list().unwrap().is_empty());

    // A quota of an entity that is not there leaves no file behind.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    let opened = builder().quota("fotos", Quota::none()).open(&path);
    assert!(matches!(opened, Err(Error::Schema { .. })));
    assert!(!path.exists());
}
