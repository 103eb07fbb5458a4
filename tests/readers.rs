//! Who reads on which connection: shares, waiting, pools of their own, and read scopes.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod engine;

use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use tenantry::{Entity, Error, OrganizationId, PoolClass, Role, Store, TenantSession, UserId};

#[derive(Debug, Clone, PartialEq, Entity)]
struct Task {
    title: String,
}

fn store(readers: u32) -> Store {
    let timeout = Duration::from_secs(1);
    engine::builder().entity::<Task>().readers(readers).wait_timeout(timeout).temporary().unwrap()
}

fn user(store: &Store, id: &str) -> TenantSession {
    let user = store.users().create(&UserId::new(id).unwrap()).unwrap();
    let session = store.session(&user).unwrap();
    session.insert(&Task { title: id.to_owned() }).unwrap();
    session
}

#[test]
fn a_tenant_that_holds_its_share_leaves_others_theirs() {
    let store = store(4);
    let (ada, grace) = (user(&store, "ada"), user(&store, "grace"));
    let held: Vec<_> = (0..3).map(|_| ada.query::<Task>().iter().unwrap()).collect();
    // Her fourth read waits, and gives up with a reason.
    let error = ada.list::<Task>().unwrap_err();
    assert!(matches!(error, Error::Busy { .. }) && error.is_retryable(), "{error}");
    assert!(error.to_string().contains("share"), "{error}");
    // Another user's read does not even wait; nor does the application's.
    assert_eq!(grace.list::<Task>().unwrap().len(), 1);
    assert_eq!(store.users().list(None, 10).unwrap().len(), 2);
    drop(held);
    assert_eq!(ada.list::<Task>().unwrap().len(), 1);
}

#[test]
fn readers_that_wait_are_served_when_connections_come_back() {
    let store = store(2);
    let (ada, grace) = (user(&store, "ada"), user(&store, "grace"));
    let held: Vec<_> = (0..2).map(|_| ada.query::<Task>().iter()).filter_map(Result::ok).collect();
    assert_eq!(held.len(), 2);
    let (waits, waiting) = channel();
    thread::scope(|scope| {
        let readers: Vec<_> = (0..8)
            .map(|number| {
                let session = if number % 2 == 0 { &ada } else { &grace };
                let waits = waits.clone();
                scope.spawn(move || {
                    waits.send(()).unwrap();
                    session.list::<Task>().map(|tasks| tasks.len())
                })
            })
            .collect();
        for _ in 0..8 {
            waiting.recv().unwrap();
        }
        drop(held);
        for reader in readers {
            assert_eq!(reader.join().unwrap().unwrap(), 1);
        }
    });
}

#[test]
fn closing_answers_readers_that_wait() {
    let store = store(1);
    let ada = user(&store, "ada");
    let held = ada.query::<Task>().iter().unwrap();
    thread::scope(|scope| {
        let waiting = scope.spawn(|| ada.list::<Task>());
        thread::sleep(Duration::from_millis(100));
        store.close().unwrap();
        assert!(matches!(waiting.join().unwrap(), Err(Error::Closed)));
    });
    drop(held);
    assert!(matches!(ada.list::<Task>(), Err(Error::Closed)));
}

#[test]
fn a_pool_of_its_own_is_beside_the_shared_one() {
    let store = store(1);
    let (ada, grace) = (user(&store, "ada"), user(&store, "grace"));
    store.users().set_pool(ada.user(), PoolClass::Own { readers: 2 }).unwrap();
    let held: Vec<_> = (0..2).map(|_| ada.query::<Task>().iter().unwrap()).collect();
    assert!(matches!(ada.list::<Task>(), Err(Error::Busy { .. })));
    assert_eq!(grace.list::<Task>().unwrap().len(), 1);
    // Back to the shared ones; what is in use is read to its end.
    store.users().set_pool(ada.user(), PoolClass::Shared).unwrap();
    assert_eq!(ada.list::<Task>().unwrap().len(), 1);
    for records in held {
        assert_eq!(records.map(Result::unwrap).count(), 1);
    }
    let club = store.organizations().create(&OrganizationId::new("club").unwrap()).unwrap();
    store.organizations().add_member(&club, ada.user(), Role::Member).unwrap();
    store.organizations().set_pool(&club, PoolClass::Own { readers: 0 }).unwrap();
    assert_eq!(ada.in_organization(&club).unwrap().members(None, 9).unwrap().len(), 1);
    let nobody = UserId::new("nobody").unwrap();
    let outcome = store.users().set_pool(&nobody, PoolClass::Shared);
    assert!(matches!(outcome, Err(Error::UnknownUser { .. })));
}

#[test]
fn a_read_scope_sees_one_moment() {
    let store = store(4);
    let ada = user(&store, "ada");
    let id = ada
        .read(|view| {
            let before = view.count::<Task>()?;
            let id = ada.insert(&Task { title: "late".into() })?;
            assert_eq!(view.count::<Task>()?, before);
            assert_eq!(view.list::<Task>()?.len() as u64, before);
            assert_eq!(view.query::<Task>().iter()?.count() as u64, before);
            assert!(view.find(id)?.is_none());
            assert_eq!(view.get_many(&[id])?, [None]);
            // The session itself goes on beside it.
            assert_eq!(ada.count::<Task>()?, before + 1);
            Ok(id)
        })
        .unwrap();
    assert_eq!(ada.get(id).unwrap().title, "late");
    // What the types can't refuse is refused when it runs.
    let outcome = ada.read(|view| {
        let tasks = view.dynamic("task")?;
        tasks.delete(tenantry::Id::from_uuid(id.uuid()))
    });
    assert!(matches!(outcome, Err(Error::AccessDenied { .. })));
    assert!(ada.exists(id).unwrap());
}

#[test]
fn a_read_scope_ends_with_its_session_and_gives_its_connection_back() {
    let store = store(1);
    let ada = user(&store, "ada");
    let outcome = ada.read(|view| {
        store.users().disable(ada.user()).map_err(Error::aborted)?;
        view.count::<Task>()
    });
    // With one connection, disabling has to find a free one: writes do not need any.
    assert!(matches!(outcome, Err(Error::Disabled { .. })), "{outcome:?}");
    let grace = user(&store, "grace");
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        grace.read(|_| -> tenantry::Result<()> { std::panic::resume_unwind(Box::new("on purpose")) })
    }));
    assert!(panic.is_err());
    assert_eq!(grace.count::<Task>().unwrap(), 1);
    grace.insert(&Task { title: "after".into() }).unwrap();
    assert_eq!(grace.count::<Task>().unwrap(), 2, "the connection does not keep its old state");
}
