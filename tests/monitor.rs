//! What the store tells of itself: counts, latencies, slow operations, spans, metrics.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod engine;

use std::thread;
use std::time::Duration;

use tenantry::{Entity, Error, Monitoring, Operation, OrganizationId, Role, Store, TenantSession, UserId};

#[derive(Debug, Clone, PartialEq, Entity)]
#[entity(unique(title))]
struct Task {
    title: String,
}

#[derive(Debug, Clone, PartialEq, Entity)]
#[entity(tenancy = member)]
struct Note {
    text: String,
}

fn task(title: &str) -> Task {
    Task { title: title.to_owned() }
}

fn open(monitoring: Option<Monitoring>) -> Store {
    let builder = engine::builder().entity::<Task>().entity::<Note>();
    match monitoring {
        Some(monitoring) => builder.monitor(monitoring).temporary().unwrap(),
        None => builder.temporary().unwrap(),
    }
}

fn user(store: &Store, id: &str) -> TenantSession {
    store.session(&store.users().create(&UserId::new(id).unwrap()).unwrap()).unwrap()
}

#[test]
fn every_operation_is_counted_for_its_tenant() {
    let store = open(Some(Monitoring::new()));
    let (ada, grace) = (user(&store, "ada"), user(&store, "grace"));
    let id = ada.insert(&task("a")).unwrap();
    ada.insert_many(&[task("b"), task("c")]).unwrap();
    assert!(matches!(ada.insert(&task("a")), Err(Error::Unique { .. })));
    ada.patch(id, Task::TITLE.set("d")).unwrap();
    ada.upsert_on(&["title"], &task("b")).unwrap();
    ada.get(id).unwrap();
    ada.find(id).unwrap();
    ada.list::<Task>().unwrap();
    ada.query::<Task>().page(2).unwrap();
    assert_eq!(ada.query::<Task>().iter().unwrap().count(), 3);
    ada.count::<Task>().unwrap();
    ada.transaction(|tx| tx.delete(id)).unwrap();
    grace.count::<Task>().unwrap();

    let of_ada = store.users().stats(ada.user()).unwrap();
    let writes: Vec<(Operation, u64)> = of_ada.writes.by_operation.iter().map(|(op, n)| (*op, *n)).collect();
    assert_eq!(
        writes,
        [
            (Operation::Insert, 3),
            (Operation::Update, 1),
            (Operation::Upsert, 1),
            (Operation::Delete, 1),
            (Operation::Transaction, 1)
        ]
    );
    let reads: Vec<(Operation, u64)> = of_ada.reads.by_operation.iter().map(|(op, n)| (*op, *n)).collect();
    assert_eq!(reads, [(Operation::Get, 2), (Operation::List, 3), (Operation::Count, 1)]);
    assert_eq!((of_ada.writes.count, of_ada.writes.errors, of_ada.reads.errors), (7, 1, 0));
    assert_eq!(of_ada.rows, 2);
    assert_eq!(of_ada.bytes, 2 * (64 + 1));
    let latency = of_ada.writes.latency;
    assert!(latency.count == 7 && latency.p50 > Duration::ZERO, "{latency:?}");
    assert!(latency.p50 <= latency.p90 && latency.p90 <= latency.p99 && latency.p99 <= latency.max);

    let of_grace = store.users().stats(grace.user()).unwrap();
    assert_eq!((of_grace.reads.count, of_grace.writes.count, of_grace.rows), (1, 0, 0));
    let all = store.stats().unwrap();
    assert_eq!((all.tenants, all.rows, all.bytes), (2, 2, of_ada.bytes));
    assert_eq!((all.reads.count, all.writes.count, all.writes.errors), (7, 7, 1));
    // Two users, and five transactions that were kept.
    assert_eq!((all.commits.batches.count, all.commits.batches.max, all.commits.failures), (7, 1, 0));
    assert_eq!((all.readers.size, all.readers.in_use, all.readers.timeouts), (8, 0, 0));
}

#[test]
fn an_organization_includes_its_members_own() {
    let store = open(Some(Monitoring::new()));
    let ada = user(&store, "ada");
    let club = store.organizations().create(&OrganizationId::new("club").unwrap()).unwrap();
    store.organizations().add_member(&club, ada.user(), Role::Member).unwrap();
    let session = ada.in_organization(&club).unwrap();
    session.insert(&Note { text: "private".to_owned() }).unwrap();
    let stats = store.organizations().stats(&club).unwrap();
    assert_eq!((stats.rows, stats.bytes, stats.writes.count), (1, 71, 1));
    let own = store.users().stats(ada.user()).unwrap();
    assert_eq!((own.rows, own.writes.count), (0, 0));
    assert!(matches!(
        store.organizations().stats(&OrganizationId::new("none").unwrap()),
        Err(Error::UnknownOrganization { .. })
    ));
}

#[test]
fn unwatched_only_the_writer_and_the_readers_count() {
    let store = open(None);
    let ada = user(&store, "ada");
    ada.insert(&task("a")).unwrap();
    ada.list::<Task>().unwrap();
    let stats = store.stats().unwrap();
    assert_eq!((stats.reads.count, stats.writes.count), (0, 0));
    assert_eq!((stats.rows, stats.commits.batches.count), (1, 2));
    assert!(store.slow_operations().is_empty());
}

#[test]
fn callers_that_wait_are_counted_and_share_commits() {
    let store = open(None);
    let sessions: Vec<_> = (0..8).map(|number| user(&store, &format!("user-{number}"))).collect();
    let before = store.stats().unwrap().commits;
    thread::scope(|scope| {
        for session in &sessions {
            scope.spawn(move || {
                for number in 0..50 {
                    session.insert(&task(&number.to_string())).unwrap();
                }
            });
        }
    });
    let after = store.stats().unwrap().commits;
    let commits = after.batches.count - before.batches.count;
    assert!(commits < 400 && after.batches.max > 1, "{after:?}");
    assert!(after.waits.count > 0 && after.waits.max >= after.waits.p50 && after.waiting == 0, "{after:?}");
}

#[test]
fn slow_operations_are_kept_with_a_hash_or_a_name() {
    let all = || Monitoring::new().slower_than(Duration::ZERO);
    let store = open(Some(all()));
    let ada = user(&store, "ada");
    ada.insert(&task("a")).unwrap();
    assert!(ada.insert(&task("a")).is_err());
    let slow = store.slow_operations();
    assert_eq!(slow.len(), 2);
    assert_eq!(
        (slow[0].operation, slow[0].entity.as_str(), slow[0].failed),
        (Operation::Insert, "task", false)
    );
    assert!(slow[1].failed && slow[1].time > Duration::ZERO);
    assert!(!slow[0].tenant.contains("ada") && slow[0].tenant.len() == 16, "{}", slow[0].tenant);
    assert_eq!(slow[0].tenant, slow[1].tenant);
    for _ in 0..300 {
        ada.count::<Task>().unwrap();
    }
    assert_eq!(store.slow_operations().len(), 256, "only the last ones are kept");

    let store = open(Some(all().tenant_names()));
    user(&store, "ada").count::<Task>().unwrap();
    assert_eq!(store.slow_operations()[0].tenant, "ada");
}

#[cfg(feature = "metrics")]
#[test]
fn the_metrics_facade_is_told() {
    use metrics_util::debugging::{DebugValue, DebuggingRecorder};
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    metrics::with_local_recorder(&recorder, || {
        let store = open(Some(Monitoring::new()));
        let ada = user(&store, "ada");
        ada.insert(&task("a")).unwrap();
        assert!(ada.insert(&task("a")).is_err());
    });
    let mut told: Vec<(Vec<String>, usize)> = snapshotter
        .snapshot()
        .into_vec()
        .into_iter()
        .map(|(key, _, _, value)| {
            assert_eq!(key.key().name(), "tenantry_operation_seconds");
            let labels = key.key().labels().map(|label| label.value().to_owned()).collect();
            let DebugValue::Histogram(values) = value else { panic!("{value:?}") };
            (labels, values.len())
        })
        .collect();
    told.sort();
    let labels = |outcome: &str| ["insert", "task", outcome].map(str::to_owned).to_vec();
    assert_eq!(told, [(labels("error"), 1), (labels("ok"), 1)]);
}

#[test]
fn waits_shared_commits_and_rows_in_memory_are_told_of_each_tenant() {
    let store =
        engine::builder().entity::<Task>().monitor(Monitoring::new()).cache(1 << 20).temporary().unwrap();
    let (ada, grace) = (user(&store, "ada"), user(&store, "grace"));
    let id = ada.insert(&task("a")).unwrap();
    for _ in 0..3 {
        ada.get(id).unwrap();
    }
    let stats = |session: &TenantSession| store.users().stats(session.user()).unwrap();
    let of_ada = stats(&ada);
    assert_eq!((of_ada.cache_hits, of_ada.cache_misses), (2, 1));
    assert_eq!((of_ada.waits.count, of_ada.batches.count, of_ada.batches.max), (0, 1, 1));
    // Grace waits for a transaction of Ada's that holds the writer, and her commit is her own or shared.
    thread::scope(|scope| {
        ada.transaction(|tx| {
            tx.insert(&task("b"))?;
            scope.spawn(|| grace.insert(&task("c")).unwrap());
            while store.stats()?.commits.waiting == 0 {
                thread::yield_now();
            }
            thread::sleep(Duration::from_millis(5));
            tx.insert(&task("d")).map(drop)
        })
        .unwrap();
    });
    let of_grace = stats(&grace);
    assert_eq!((of_grace.waits.count, of_grace.batches.count, of_grace.cache_misses), (1, 1, 0));
    assert!(of_grace.waits.max >= Duration::from_millis(5), "{:?}", of_grace.waits);
    assert_eq!(stats(&ada).batches.count, 2, "a transaction is one commit, whatever it does");
    assert_eq!(stats(&ada).waits.count, 0);
}
