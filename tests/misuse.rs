//! What an application can do wrong without losing more than the call itself: closures that panic,
//! settings and sizes at the end of their ranges, sessions that end while they are in use.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod engine;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tenantry::{
    ColumnDefinition, ColumnKind, Definition, Entity, Error, Fields, Id, OnDelete, Order, Store, Tenancy,
    TenantSession, Timestamp, UserId, column,
};

#[derive(Debug, Clone, PartialEq, Entity)]
struct Task {
    title: String,
}

fn task(title: impl ToString) -> Task {
    Task { title: title.to_string() }
}

fn user(store: &Store, id: &str) -> TenantSession {
    store.session(&store.users().get_or_create(&UserId::new(id).unwrap()).unwrap()).unwrap()
}

fn assert_clean(store: &Store) {
    let report = store.check().unwrap();
    assert!(report.is_clean(), "{report}");
}

#[test]
fn a_clock_that_panics_does_not_take_the_writer_along() {
    let broken = Arc::new(AtomicBool::new(false));
    let clock = {
        let broken = Arc::clone(&broken);
        move || if broken.load(Ordering::Relaxed) { panic!("no time") } else { Timestamp::UNIX_EPOCH }
    };
    let store = engine::builder()
        .entity::<Task>()
        .clock(clock)
        .wait_timeout(Duration::from_secs(1))
        .temporary()
        .unwrap();
    let ada = user(&store, "ada");
    broken.store(true, Ordering::Relaxed);
    catch_unwind(AssertUnwindSafe(|| ada.insert(&task("Dig")))).unwrap_err();
    broken.store(false, Ordering::Relaxed);
    ada.insert(&task("Plant")).unwrap();
    assert_eq!(ada.count::<Task>().unwrap(), 1);
    assert_clean(&store);
    store.close().unwrap();
}

#[test]
fn a_step_that_panics_in_a_transaction_is_undone_whole() {
    let broken = Arc::new(AtomicBool::new(false));
    let randomness = {
        let broken = Arc::clone(&broken);
        move |bytes: &mut [u8]| {
            assert!(!broken.load(Ordering::Relaxed), "no randomness");
            getrandom::fill(bytes).unwrap();
        }
    };
    let store = engine::builder().entity::<Task>().randomness(randomness).temporary().unwrap();
    let ada = user(&store, "ada");
    broken.store(true, Ordering::Relaxed);
    let (mut kept, mut panicked) = (0, 0);
    ada.transaction(|tx| {
        // The store asks for random bytes in pieces: some inserts still find some, and one meets
        // the panic between its row and its entry.
        for number in 0..100 {
            match catch_unwind(AssertUnwindSafe(|| tx.insert(&task(number)))) {
                Ok(inserted) => {
                    inserted?;
                    kept += 1;
                }
                Err(_) => panicked += 1,
            }
        }
        Ok(())
    })
    .unwrap();
    broken.store(false, Ordering::Relaxed);
    assert!(kept > 0 && panicked > 0);
    assert_eq!(ada.list::<Task>().unwrap().len(), kept);
    assert_eq!(ada.audit().action("insert").list().unwrap().len(), kept);
    assert_clean(&store);
}

#[test]
fn timeouts_and_sizes_at_the_ends_of_their_ranges_are_taken() {
    for timeout in [Duration::ZERO, Duration::MAX] {
        let store = engine::builder()
            .entity::<Task>()
            .wait_timeout(timeout)
            .open_timeout(timeout)
            .record_bytes_max(usize::MAX)
            .temporary()
            .unwrap();
        let ada = user(&store, "ada");
        ada.insert(&task("Dig")).unwrap();
        assert_eq!(ada.list::<Task>().unwrap().len(), 1);
    }
    let store = engine::builder().entity::<Task>().readers(u32::MAX).temporary().unwrap();
    assert_eq!(user(&store, "ada").count::<Task>().unwrap(), 0);
}

#[test]
fn nobody_is_in_the_log_after_being_disabled() {
    let store = engine::builder().entity::<Task>().temporary().unwrap();
    for number in 0..150 {
        let ada = user(&store, &format!("ada{number}"));
        let id = UserId::new(format!("ada{number}")).unwrap();
        let ready = std::sync::Barrier::new(5);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    ready.wait();
                    while ada.insert(&task("Dig")).is_ok() {}
                });
            }
            ready.wait();
            thread::sleep(Duration::from_millis(2));
            store.users().disable(&id).unwrap();
        });
        store.users().enable(&id).unwrap();
        let log = store.session(&id).unwrap().audit().newest_first().list().unwrap();
        let actions: Vec<&str> = log.iter().take(2).map(|entry| entry.action.as_str()).collect();
        assert_eq!(actions, ["user.enable", "user.disable"], "an insert came after the end");
    }
}

#[test]
fn an_iterator_stops_when_its_session_ends() {
    let store = engine::builder().entity::<Task>().temporary().unwrap();
    let ada = user(&store, "ada");
    let tasks: Vec<Task> = (0..1000).map(task).collect();
    ada.insert_many(&tasks).unwrap();
    let mut records = ada.query::<Task>().iter().unwrap();
    records.next().unwrap().unwrap();
    store.users().disable(ada.user()).unwrap();
    let rest: Vec<_> = records.collect();
    assert!(rest.len() < 999, "{} more records after the user was disabled", rest.len());
    assert!(matches!(rest.last(), Some(Err(Error::Disabled { .. }))));
}

#[test]
fn closing_does_not_wait_for_an_iterator() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let store = engine::builder().entity::<Task>().open(&path).unwrap();
    let ada = user(&store, "ada");
    ada.insert_many(&(0..200).map(task).collect::<Vec<_>>()).unwrap();
    let mut records = ada.query::<Task>().iter().unwrap();
    records.next().unwrap().unwrap();
    ada.insert(&task("later")).unwrap();
    let begun = Instant::now();
    store.close().unwrap();
    assert!(begun.elapsed() < Duration::from_secs(5), "closing took {:?}", begun.elapsed());
    drop(records);
    drop((ada, store));
    let again = engine::builder().entity::<Task>().open(&path).unwrap();
    assert_eq!(user(&again, "ada").count::<Task>().unwrap(), 201);
}

#[test]
fn defaults_survive_reopening_or_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let definition = |reals: &[f64]| {
        reals.iter().enumerate().fold(
            Definition::new("thing", Tenancy::User),
            |definition, (number, real)| {
                definition
                    .column(ColumnDefinition::new(format!("c{number}"), ColumnKind::Real).default(*real))
            },
        )
    };
    for round in 0..20 {
        let reals: Vec<f64> = (0..80)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                f64::from_bits(state)
            })
            .filter(|real| real.is_finite())
            .collect();
        let path = folder.path().join(format!("{round}.db"));
        drop(engine::builder().definition(definition(&reals)).open(&path).unwrap());
        drop(engine::builder().definition(definition(&reals)).open(&path).unwrap());
    }
    for real in [f64::INFINITY, f64::NEG_INFINITY, f64::NAN] {
        let path = folder.path().join("never.db");
        let error = engine::builder().definition(definition(&[real])).open(&path).unwrap_err();
        assert!(matches!(error, Error::Schema { .. }), "{error:?}");
        assert!(!path.exists());
    }
}

#[test]
fn a_time_that_no_id_can_hold_is_refused() {
    let store = engine::builder().entity::<Task>().temporary().unwrap();
    let ada = user(&store, "ada");
    for time in [Timestamp::MIN, Timestamp::from_millisecond(-1).unwrap()] {
        let error = ada.insert_at(&task("Dig"), time).unwrap_err();
        assert!(matches!(&error, Error::InvalidInput { field, .. } if field == "created"), "{error:?}");
    }
    for time in [Timestamp::UNIX_EPOCH, Timestamp::MAX] {
        let id = ada.insert_at(&task("Dig"), time).unwrap();
        assert_eq!(ada.get(id).unwrap().created.as_millisecond(), time.as_millisecond());
        ada.patch(id, Task::TITLE.set("Plant")).unwrap();
    }
    assert_eq!(ada.count::<Task>().unwrap(), 2);
    assert_clean(&store);
}

#[test]
fn a_page_of_nothing_is_refused() {
    let store = engine::builder().entity::<Task>().temporary().unwrap();
    let ada = user(&store, "ada");
    ada.insert(&task("Dig")).unwrap();
    assert!(matches!(ada.query::<Task>().page(0), Err(Error::InvalidInput { .. })));
    assert!(matches!(ada.audit().page(0), Err(Error::InvalidInput { .. })));
}

#[test]
fn queries_of_any_size_are_answered_or_refused_by_name() {
    let store = engine::builder().entity::<Task>().temporary().unwrap();
    let ada = user(&store, "ada");
    ada.insert_many(&(0..5).map(task).collect::<Vec<_>>()).unwrap();
    assert_eq!(ada.query::<Task>().limit(u64::MAX).list().unwrap().len(), 5);
    assert_eq!(ada.query::<Task>().page(u32::MAX).unwrap().records.len(), 5);
    assert_eq!(ada.query::<Task>().limit(u64::MAX).iter().unwrap().count(), 5);
    let ids: Vec<Id<Task>> = (0..100_000_u128).map(|n| Id::from_uuid(tenantry::Uuid::from_u128(n))).collect();
    assert_eq!(ada.get_many(&ids).unwrap().into_iter().flatten().count(), 0);
    let many = ada.query::<Task>().filter(tenantry::Record::<Task>::ID.is_in(ids)).list();
    assert!(matches!(many, Err(Error::LimitExceeded { .. })));
    let orders = |count: usize| -> Order<Task> {
        (1..count).fold(Task::TITLE.asc(), |order, _| order.then(Task::TITLE.asc()))
    };
    for count in [2, 30, 300, 600, 2_500] {
        let query = ada.query::<Task>().order_by(orders(count));
        let outcome = query.page(2).and_then(|page| query.clone().after(&page.next.unwrap()).page(2));
        match outcome {
            Ok(page) => assert_eq!(page.records[0].title, "2"),
            Err(error) => assert!(matches!(error, Error::LimitExceeded { .. }), "{count}: {error:?}"),
        }
    }
}

#[test]
fn entities_of_no_column_and_of_the_most_columns_work() {
    let wide = (0..90).fold(Definition::new("wide", Tenancy::User), |definition, number| {
        definition.column(ColumnDefinition::new(format!("c{number}"), ColumnKind::Integer).optional())
    });
    let store = engine::builder()
        .definition(Definition::new("bare", Tenancy::User))
        .definition(wide)
        .temporary()
        .unwrap();
    let ada = user(&store, "ada");
    let bare = ada.dynamic("bare").unwrap();
    let id = bare.insert(Fields::new()).unwrap();
    assert_eq!(bare.update(id, Fields::new()).unwrap(), 2);
    assert_eq!(bare.patch(id, Fields::new()).unwrap(), 3);
    assert!(bare.insert(Fields::new().with("x", 1_i64)).is_err());
    assert_eq!(bare.query().page(1).unwrap().records.len(), 1);
    let wide = ada.dynamic("wide").unwrap();
    let full: Fields = (0..90).map(|number| (format!("c{number}"), i64::MAX)).collect();
    let id = wide.insert(full.clone()).unwrap();
    assert_eq!(wide.get(id).unwrap().value, full);
    assert_eq!(wide.query().filter(column("c89").eq(i64::MAX)).count().unwrap(), 1);
    wide.delete(id).unwrap();
    bare.delete(id_of(&bare)).unwrap();
    assert_clean(&store);
}

fn id_of(bare: &tenantry::Dynamic<'_, tenantry::tenancy::User>) -> Id<Fields> {
    bare.list().unwrap()[0].id
}

#[test]
fn what_an_ended_creation_left_is_cleared_away() {
    let folder = tempfile::tempdir().unwrap();
    for name in [".store.db.new", ".store.db.new-journal"] {
        std::fs::write(folder.path().join(name), b"half of a store").unwrap();
    }
    let store = engine::builder().entity::<Task>().open(folder.path().join("store.db")).unwrap();
    user(&store, "ada").insert(&task("Dig")).unwrap();
    assert_clean(&store);
    store.close().unwrap();
    let names = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
    let left: Vec<_> = names.filter(|name| name.to_string_lossy().contains(".new")).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn threads_that_open_one_path_together_find_one_writer_and_whole_readers() {
    let folder = tempfile::tempdir().unwrap();
    for round in 0..10 {
        let path = folder.path().join(format!("{round}.db"));
        let ready = std::sync::Barrier::new(4);
        let opened: Vec<Result<Store, Error>> = thread::scope(|scope| {
            let open = || {
                ready.wait();
                engine::builder().entity::<Task>().open(&path)
            };
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(open)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let (stores, errors): (Vec<_>, Vec<_>) = opened.into_iter().partition(Result::is_ok);
        assert_eq!(stores.len(), 1);
        assert!(errors.iter().all(|error| matches!(error, Err(Error::Locked { .. }))));
        let store = stores.into_iter().next().unwrap().unwrap();
        user(&store, "ada").insert(&task("Dig")).unwrap();
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let reader = engine::builder().entity::<Task>().read_only().open(&path).unwrap();
                    assert_eq!(user(&reader, "ada").count::<Task>().unwrap(), 1);
                });
            }
            user(&store, "grace").insert(&task("Plant")).unwrap();
        });
        assert_clean(&store);
    }
}

#[test]
fn reference_records_in_a_circle_stay_while_a_tenant_refers_to_one() {
    let refers = |to: &str, on_delete| ColumnKind::Reference { entity: to.to_owned(), on_delete };
    let currency = Definition::new("currency", Tenancy::Reference)
        .column(ColumnDefinition::new("next", refers("currency", OnDelete::Cascade)).optional());
    let price = Definition::new("price", Tenancy::User)
        .column(ColumnDefinition::new("currency", refers("currency", OnDelete::Restrict)));
    let store = engine::builder().definition(currency).definition(price).temporary().unwrap();
    let ada = user(&store, "ada");
    let reference = store.reference();
    let currencies = reference.dynamic("currency").unwrap();
    let first = currencies.insert(Fields::new()).unwrap();
    let second = currencies.insert(Fields::new().with("next", first)).unwrap();
    currencies.patch(first, Fields::new().with("next", second)).unwrap();
    let prices = ada.dynamic("price").unwrap();
    let price = prices.insert(Fields::new().with("currency", second)).unwrap();
    let refused = |outcome| assert!(matches!(outcome, Err(Error::Reference { .. })), "{outcome:?}");
    refused(currencies.delete(first));
    reference
        .transaction(|tx| {
            refused(tx.dynamic("currency")?.delete(first));
            Ok(())
        })
        .unwrap();
    assert_eq!(currencies.count().unwrap(), 2);
    assert_clean(&store);
    prices.delete(price).unwrap();
    currencies.delete(first).unwrap();
    assert_eq!(currencies.count().unwrap(), 0);
    assert_clean(&store);
}
