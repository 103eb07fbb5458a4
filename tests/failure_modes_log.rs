//! Rows 26 to 40 of the known failures of tenancy layers: the log, sessions that end, transactions
//! and connections. `failure_modes.rs` has the others, and says which rows have no test and why.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod engine;

use std::collections::HashSet;
use std::sync::Barrier;
use std::thread;

use tenantry::{
    AuditEntry, ChainProblem, Entity, Error, Fields, Id, LogRetention, OrganizationId, Role, Store,
    TenantSession, Timestamp, UserId, Uuid,
};

#[derive(Debug, Clone, PartialEq, Entity)]
#[entity(unique(slug))]
struct Task {
    slug: String,
    points: i64,
    #[entity(on_delete = cascade)]
    parent: Option<Id<Task>>,
}

#[derive(Debug, Clone, PartialEq, Entity)]
#[entity(tenancy = organization, author)]
struct Ticket {
    title: String,
}

#[derive(Debug, Clone, PartialEq, Entity)]
#[entity(tenancy = reference, unique(name))]
struct Handle {
    name: String,
}

fn builder() -> tenantry::Builder {
    engine::builder().entity::<Task>().entity::<Ticket>().entity::<Handle>()
}

fn user(store: &Store, id: &str) -> TenantSession {
    store.session(&store.users().get_or_create(&UserId::new(id).unwrap()).unwrap()).unwrap()
}

fn task(slug: &str) -> Task {
    Task { slug: slug.to_owned(), points: 1, parent: None }
}

fn two() -> (Store, TenantSession, TenantSession) {
    let store = builder().temporary().unwrap();
    let (ada, grace) = (user(&store, "ada"), user(&store, "grace"));
    (store, ada, grace)
}

fn log(session: &TenantSession) -> Vec<AuditEntry> {
    session.audit().entity("task").list().unwrap()
}

fn assert_clean(store: &Store) {
    let report = store.check().unwrap();
    assert!(report.is_clean(), "{report}");
}

/// The audit log is read unscoped: jeremylongshore/qmd-team-intent-kb#169.
#[test]
fn row_26_a_log_holds_the_tenants_own_entries_only() {
    let (_store, ada, grace) = two();
    let id = ada.insert(&task("a")).unwrap();
    ada.patch(id, Task::POINTS.set(2)).unwrap();
    assert!(grace.audit().of(id).list().unwrap().is_empty());
    assert!(grace.audit().record(id.uuid()).list().unwrap().is_empty());
    assert!(grace.audit().entity("task").list().unwrap().is_empty());
    assert!(
        grace.audit().since(Timestamp::UNIX_EPOCH).list().unwrap().iter().all(|e| e.action == "user.create")
    );
    grace.insert(&task("g")).unwrap();
    let numbers: Vec<u64> = grace.audit().list().unwrap().iter().map(|entry| entry.number).collect();
    assert_eq!(numbers, [1, 2], "numbers count per tenant");
    assert_eq!(grace.audit().page(1).unwrap().entries.len(), 1);
    assert!(grace.audit().after(2).list().unwrap().is_empty(), "the next log is not reached");
    assert!(grace.audit().newest_first().after(1).list().unwrap().is_empty(), "nor the one before");
    assert_eq!(grace.audit().verify().unwrap().entries, 2);
}

/// An entry survives a rollback, or is lost in one: Cyoda/cyoda-go#470.
#[test]
fn row_27_entries_share_the_fate_of_their_changes() {
    let (store, ada, _) = two();
    let before = ada.audit().verify().unwrap();
    let failed = ada.transaction(|tx| {
        tx.insert(&task("gone"))?;
        Err::<(), _>(Error::aborted("back"))
    });
    assert!(failed.is_err());
    assert!(ada.insert_many(&[task("one"), task("two"), task("one")]).is_err());
    assert_eq!(ada.audit().verify().unwrap(), before, "nothing of it is in the log");
    ada.transaction(|tx| {
        tx.insert(&task("kept"))?;
        assert!(tx.insert(&task("kept")).is_err());
        let inner = tx.transaction(|inner| {
            inner.insert(&task("inner"))?;
            Err::<(), _>(Error::aborted("back"))
        });
        assert!(inner.is_err());
        tx.insert(&task("last"))
    })
    .unwrap();
    assert_eq!((log(&ada).len(), ada.count::<Task>().unwrap()), (2, 2));
    assert!(ada.audit().verify().unwrap().is_intact());
    assert_clean(&store);
}

/// Bulk writes leave no audit: paper-trail-gem/paper_trail#1532, jazzband/django-auditlog#515.
#[test]
fn row_28_bulk_changes_have_one_entry_per_record() {
    let (store, ada, _) = two();
    let ids = ada.insert_many(&[task("a"), task("b"), task("c")]).unwrap();
    ada.update_where(Task::POINTS.eq(1), Task::POINTS.set(5)).unwrap();
    ada.patch(ids[1], Task::PARENT.set(ids[0])).unwrap();
    ada.patch(ids[2], Task::PARENT.set(ids[1])).unwrap();
    ada.delete(ids[0]).unwrap();
    for action in ["insert", "update", "delete"] {
        let records: Vec<Uuid> = ada
            .audit()
            .entity("task")
            .action(action)
            .list()
            .unwrap()
            .iter()
            .filter_map(|e| e.record)
            .collect();
        let distinct: HashSet<&Uuid> = records.iter().collect();
        let expected = if action == "update" { 5 } else { 3 };
        assert_eq!((records.len(), distinct.len()), (expected, 3), "{action}");
    }
    let points: Vec<_> = log(&ada).iter().filter_map(|e| e.change(Task::POINTS).unwrap()).collect();
    assert_eq!(
        points.iter().filter(|change| (change.before, change.after) == (Some(1), Some(5))).count(),
        3,
        "{points:?}"
    );
    assert_clean(&store);
}

/// The audit call can't join the transaction: teamhanko/hanko#683.
#[test]
fn row_29_entries_of_one_transaction_name_it() {
    let (_store, ada, _) = two();
    ada.transaction(|tx| {
        let id = tx.insert(&task("a"))?;
        assert!(ada.audit().of(id).list()?.is_empty(), "nobody sees an entry before the commit");
        tx.patch(id, Task::POINTS.set(2))
    })
    .unwrap();
    ada.insert(&task("b")).unwrap();
    let entries = log(&ada);
    let transactions: Vec<u64> = entries.iter().map(|entry| entry.transaction).collect();
    assert_eq!(transactions, [entries[0].number, entries[0].number, entries[2].number]);
}

/// A hash chain is rewritten whole, with no anchor outside: librefang/librefang#2415.
#[test]
fn row_30_a_head_kept_elsewhere_shows_a_rewritten_chain() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    let store = builder().open(&path).unwrap();
    let ada = user(&store, "ada");
    ada.insert(&task("a")).unwrap();
    let early = ada.audit().verify().unwrap();
    ada.insert(&task("b")).unwrap();
    let kept = ada.audit().head().unwrap();
    store.close().unwrap();
    // The chain again as it was one entry ago, with a head to match: consistent by itself.
    let raw = engine::look(&path);
    let sql = "DROP TRIGGER _audit_stays; \
               DELETE FROM _audit WHERE key = (SELECT max(key) FROM _audit); \
               UPDATE _log_head SET next = next - 1, (hash, clock) = (SELECT hash, clock FROM _audit ORDER BY key DESC LIMIT 1) \
               WHERE tenant = 1;";
    raw.execute_batch(sql).unwrap();
    drop(raw);
    let store = builder().open(&path).unwrap();
    let ada = user(&store, "ada");
    let now = ada.audit().verify().unwrap();
    assert!(now.is_intact(), "the chain alone can't tell");
    assert_eq!((now.head, now.entries), (early.head, early.entries));
    let now = ada.audit().verify_against(&kept).unwrap();
    assert_eq!(
        now.problems,
        [ChainProblem::Truncated { last: 2, anchored: 3 }],
        "the head that was kept can"
    );
    assert!(!store.check().unwrap().is_clean(), "and so can the rows");
}

/// Deleting an organization cascades its audit away: SaaSy-Solutions/mockforge#872.
#[test]
fn row_31_an_organization_is_disabled_and_its_log_stays() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    let store = builder().open(&path).unwrap();
    let (ada, acme) = (user(&store, "ada"), OrganizationId::new("acme").unwrap());
    store.organizations().create(&acme).unwrap();
    store.organizations().add_member(&acme, ada.user(), Role::Admin).unwrap();
    ada.in_organization(&acme).unwrap().insert(&Ticket { title: "t".into() }).unwrap();
    store.organizations().disable(&acme).unwrap();
    assert!(matches!(ada.in_organization(&acme), Err(Error::Disabled { .. })));
    store.close().unwrap();
    // Another tool that deletes the owner, with and without foreign keys.
    let raw = engine::look(&path);
    for keys in [false, true] {
        raw.pragma_update(None, "foreign_keys", keys).unwrap();
        assert!(raw.execute("DELETE FROM _tenant WHERE kind = 'organization'", []).is_err());
        assert!(raw.execute("DELETE FROM _audit", []).is_err());
        assert!(raw.execute("UPDATE _audit SET salt = NULL, body = NULL", []).is_err());
    }
    drop(raw);
    let store = builder().open(&path).unwrap();
    store.organizations().enable(&acme).unwrap();
    let session = user(&store, "ada").in_organization(&acme).unwrap();
    let actions: Vec<String> =
        session.audit().list().unwrap().into_iter().map(|entry| entry.action).collect();
    assert_eq!(
        actions,
        ["organization.create", "member.add", "insert", "organization.disable", "organization.enable"]
    );
    assert_clean(&store);
}

/// Erasure breaks the chain: 2witstudios/PageSpace#541.
#[test]
fn row_32_a_log_verifies_without_payloads_that_a_checkpoint_covers() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    let store = builder().open(&path).unwrap();
    let ada = user(&store, "ada");
    let id = ada.insert(&task("forget me")).unwrap();
    let then = Timestamp::now();
    ada.patch(id, Task::POINTS.set(7)).unwrap();
    let old = LogRetention { payloads_before: Some(then), ..LogRetention::default() };
    assert_eq!(store.users().expire_log(ada.user(), old).unwrap().payloads, 2);
    store.close().unwrap();
    let raw = engine::look(&path);
    assert!(
        raw.execute("UPDATE _audit SET salt = NULL, body = NULL WHERE key >> 40 = 1", []).is_err(),
        "the third is not covered"
    );
    drop(raw);
    let store = builder().open(&path).unwrap();
    let ada = user(&store, "ada");
    assert!(ada.audit().verify().unwrap().is_intact());
    let entries = ada.audit().of(id).list().unwrap();
    assert_eq!(entries[0].changes, None);
    let change = entries[1].change(Task::POINTS).unwrap().unwrap();
    assert_eq!((change.before, change.after), (Some(1), Some(7)));
    assert_clean(&store);
}

/// A cached session outlives its user: msgbyte/tianji#287, get-convex/better-auth#434.
#[test]
fn row_33_a_session_ends_with_its_user_or_membership() {
    let store = builder().temporary().unwrap();
    let (ada, acme) = (user(&store, "ada"), OrganizationId::new("acme").unwrap());
    store.organizations().create(&acme).unwrap();
    store.organizations().add_member(&acme, ada.user(), Role::Member).unwrap();
    let inside = ada.in_organization(&acme).unwrap();
    let copy = inside.clone();
    let ticket = inside.insert(&Ticket { title: "t".into() }).unwrap();
    store.organizations().remove_member(&acme, ada.user()).unwrap();
    for session in [&inside, &copy] {
        assert!(matches!(session.get(ticket), Err(Error::NotMember { .. })));
        assert!(matches!(session.list::<Ticket>(), Err(Error::NotMember { .. })));
        assert!(matches!(session.count::<Ticket>(), Err(Error::NotMember { .. })));
        assert!(matches!(session.query::<Ticket>().iter().map(drop), Err(Error::NotMember { .. })));
        assert!(matches!(session.audit().list(), Err(Error::NotMember { .. })));
        assert!(matches!(session.audit().verify(), Err(Error::NotMember { .. })));
        assert!(matches!(session.role(), Err(Error::NotMember { .. })));
        assert!(matches!(session.members(None, 9), Err(Error::NotMember { .. })));
        assert!(matches!(session.transaction(|_| Ok(())), Err(Error::NotMember { .. })));
    }
    ada.insert(&task("her own is not affected")).unwrap();
    store.organizations().add_member(&acme, ada.user(), Role::Member).unwrap();
    let inside = ada.in_organization(&acme).unwrap();
    let kept = ada.query::<Task>();
    store.users().disable(ada.user()).unwrap();
    assert!(matches!(kept.list(), Err(Error::Disabled { .. })), "a query made before the user was disabled");
    assert!(
        matches!(inside.get(ticket), Err(Error::Disabled { .. })),
        "sessions in organizations end as well"
    );
    assert!(matches!(ada.in_organization(&acme), Err(Error::Disabled { .. })));
    assert!(matches!(ada.audit().list(), Err(Error::Disabled { .. })));
    store.users().enable(ada.user()).unwrap();
    assert!(matches!(inside.get(ticket), Err(Error::Disabled { .. })), "and do not come back by themselves");
    let again = user(&store, "ada").in_organization(&acme).unwrap();
    store.organizations().disable(&acme).unwrap();
    assert!(matches!(again.get(ticket), Err(Error::Disabled { .. })));
    assert_clean(&store);
}

/// Insert skips the hooks that other verbs run: SeaQL/sea-orm#1138.
#[test]
fn row_34_every_verb_that_writes_is_on_record() {
    let (store, ada, _) = two();
    let tasks = ada.dynamic("task").unwrap();
    let fields = |slug: &str| Fields::new().with("slug", slug).with("points", 1_i64);
    let mut expected = 0;
    let mut step = |verb: &str, entries: usize| {
        expected += entries;
        assert_eq!(log(&ada).len(), expected, "{verb}");
    };
    let id = ada.insert(&task("1")).unwrap();
    step("insert", 1);
    ada.insert_at(&task("2"), Timestamp::UNIX_EPOCH).unwrap();
    step("insert_at", 1);
    ada.insert_many(&[task("3"), task("4")]).unwrap();
    step("insert_many", 2);
    ada.update(id, &task("one")).unwrap();
    step("update", 1);
    ada.patch(id, Task::POINTS.set(2)).unwrap();
    step("patch", 1);
    ada.upsert(id, &task("uno")).unwrap();
    step("upsert of a record", 1);
    ada.upsert(Id::from_uuid(Uuid::from_u128(0x0190_f3a0_7c1e_7cc3_98c4_dc0c_0c07_398f)), &task("5"))
        .unwrap();
    step("upsert of a new record", 1);
    ada.upsert_on(&["slug"], &task("uno")).unwrap();
    step("upsert_on", 1);
    let key = tasks.insert(fields("6")).unwrap();
    step("dynamic insert", 1);
    tasks.insert_at(fields("7"), Timestamp::UNIX_EPOCH).unwrap();
    step("dynamic insert_at", 1);
    tasks.insert_many([fields("8"), fields("9")]).unwrap();
    step("dynamic insert_many", 2);
    tasks.update(key, fields("six")).unwrap();
    step("dynamic update", 1);
    tasks.patch(key, Fields::new().with("points", 3_i64)).unwrap();
    step("dynamic patch", 1);
    tasks.upsert(key, fields("sechs")).unwrap();
    step("dynamic upsert", 1);
    tasks.upsert_on(&["slug"], fields("sechs")).unwrap();
    step("dynamic upsert_on", 1);
    tasks.delete(key).unwrap();
    step("dynamic delete", 1);
    assert_eq!(ada.update_where(Task::SLUG.is_in(["3", "4"]), Task::POINTS.set(4)).unwrap(), 2);
    step("update_where", 2);
    assert_eq!(tasks.query().filter(tenantry::column("points").eq(4_i64)).delete().unwrap(), 2);
    step("dynamic bulk delete", 2);
    ada.transaction(|tx| tx.delete(id)).unwrap();
    step("delete in a transaction", 1);
    let left = ada.count::<Task>().unwrap();
    ada.query::<Task>().delete().unwrap();
    step("bulk delete", usize::try_from(left).unwrap());
    assert_clean(&store);
}

/// BEGIN and COMMIT land on different connections: tauri-apps/plugins-workspace#886.
#[test]
fn row_35_a_transaction_stays_on_one_connection() {
    let (store, ada, grace) = two();
    let id = ada.insert(&task("counter")).unwrap();
    thread::scope(|scope| {
        for _ in 0..4 {
            let (ada, grace) = (ada.clone(), grace.clone());
            scope.spawn(move || {
                for _ in 0..25 {
                    ada.transaction(|tx| {
                        let points = tx.get(id)?.points;
                        tx.patch(id, Task::POINTS.set(points + 1))
                    })
                    .unwrap();
                    grace.insert(&Task { slug: format!("{:?}", thread::current().id()), ..task("") }).ok();
                }
            });
        }
    });
    assert_eq!(ada.get(id).unwrap().points, 101);
    assert_eq!(grace.count::<Task>().unwrap(), 4);
    assert_clean(&store);
}

/// Two accounts on one desktop read each other's data: alex-soldatkin/payload-expo-tauri#9.
#[test]
fn row_36_the_next_account_on_the_same_file_finds_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    let store = builder().open(&path).unwrap();
    user(&store, "ada").insert(&task("ada's")).unwrap();
    store.close().unwrap();
    let store = builder().open(&path).unwrap();
    let grace = user(&store, "grace");
    assert!(grace.list::<Task>().unwrap().is_empty() && grace.count::<Task>().unwrap() == 0);
    assert_eq!(grace.audit().list().unwrap().len(), 1);
    grace.insert(&task("ada's")).unwrap();
    assert_eq!(user(&store, "ada").count::<Task>().unwrap(), 1);
}

/// A read transaction that upgrades gets SQLITE_BUSY_SNAPSHOT: NatLabRockies/torc#282.
#[test]
fn row_37_a_transaction_may_read_first_and_write_later() {
    let (_store, ada, grace) = two();
    let (begun, barrier) = (Barrier::new(2), Barrier::new(2));
    thread::scope(|scope| {
        scope.spawn(|| {
            begun.wait();
            barrier.wait();
            grace.insert(&task("waits for its turn")).unwrap();
        });
        ada.transaction(|tx| {
            assert_eq!(tx.count::<Task>()?, 0);
            begun.wait();
            barrier.wait();
            thread::sleep(std::time::Duration::from_millis(30));
            tx.insert(&task("after reading"))
        })
        .unwrap();
    });
    assert_eq!((ada.count::<Task>().unwrap(), grace.count::<Task>().unwrap()), (1, 1));
}

/// WAL is set on each pooled connection and races: UniClipboard/UniClipboard#221.
#[test]
fn row_38_connections_opened_together_do_not_race() {
    for _ in 0..5 {
        let store = builder().readers(16).temporary().unwrap();
        let ada = user(&store, "ada");
        let start = Barrier::new(17);
        thread::scope(|scope| {
            for _ in 0..16 {
                scope.spawn(|| {
                    start.wait();
                    for _ in 0..5 {
                        ada.list::<Task>().unwrap();
                    }
                });
            }
            start.wait();
            for number in 0..5 {
                ada.insert(&task(&number.to_string())).unwrap();
            }
        });
        assert_eq!(ada.count::<Task>().unwrap(), 5);
    }
}

/// Unique per tenant and unique for all can't both be said: pocketbase/pocketbase#5005.
#[test]
fn row_40_unique_per_tenant_and_unique_for_all() {
    let (store, ada, grace) = two();
    ada.insert(&task("same")).unwrap();
    grace.insert(&task("same")).unwrap();
    assert!(matches!(ada.insert(&task("same")), Err(Error::Unique { columns, .. }) if columns == ["slug"]));
    let handle = Handle { name: "one for all".into() };
    let id = store.reference().insert(&handle).unwrap();
    assert!(matches!(store.reference().insert(&handle), Err(Error::Unique { .. })));
    assert_eq!(ada.get(id).unwrap(), grace.get(id).unwrap());
}
