//! Stores of several files under calls that meet each other: moves of the same tenant, reference
//! records that go, files that are of another time, processes that only read.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod engine;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::Duration;

use tenantry::{
    Builder, Entity, Error, Id, OrganizationId, Partitioning, Role, Store, TenantSession, User, UserId,
};

#[derive(Debug, Clone, PartialEq, Entity)]
#[entity(tenancy = reference, unique(code))]
struct Currency {
    code: String,
}

#[derive(Debug, Clone, PartialEq, Entity)]
#[entity(unique(title))]
struct Task {
    title: String,
    price: Option<Id<Currency>>,
}

fn builder() -> Builder {
    engine::builder().entity::<Currency>().entity::<Task>().wait_timeout(Duration::from_secs(5))
}

fn task(title: impl ToString) -> Task {
    Task { title: title.to_string(), price: None }
}

fn user(store: &Store, id: &str) -> User {
    store.users().get_or_create(&UserId::new(id).unwrap()).unwrap()
}

fn session(store: &Store, id: &str) -> TenantSession {
    store.session(&user(store, id)).unwrap()
}

fn currency(code: &str) -> Currency {
    Currency { code: code.to_owned() }
}

fn assert_clean(store: &Store) {
    let report = store.check().unwrap();
    assert!(report.is_clean(), "{report}");
}

fn place(store: &Store, id: &str) -> String {
    store.partitions().of_user(&UserId::new(id).unwrap()).unwrap().unwrap().name
}

/// A user in each partition, in the order in which the store goes through them.
fn residents(store: &Store, partitions: usize) -> Vec<String> {
    let mut number = 0;
    while store.partitions().list().unwrap().len() < partitions {
        user(store, &format!("resident {number}"));
        number += 1;
    }
    let names: Vec<String> = store.partitions().list().unwrap().into_iter().map(|part| part.name).collect();
    names
        .iter()
        .map(|name| {
            (0..number)
                .map(|number| format!("resident {number}"))
                .find(|id| place(store, id) == *name)
                .unwrap()
        })
        .collect()
}

/// Long enough for another thread to come to where it waits.
fn pause() {
    thread::sleep(Duration::from_millis(150));
}

/// Holds the writer of a user's partition until the answer is dropped.
fn hold<'s>(scope: &'s thread::Scope<'s, '_>, session: TenantSession) -> Sender<()> {
    let (began, wait) = channel();
    let (release, released) = channel::<()>();
    scope.spawn(move || {
        session
            .transaction(|_| {
                began.send(()).unwrap();
                let _ = released.recv();
                Ok(())
            })
            .unwrap()
    });
    wait.recv().unwrap();
    release
}

#[test]
fn of_two_moves_of_one_tenant_the_later_does_not_start_from_where_it_was() {
    let store = &builder().partitions(3).temporary().unwrap();
    let residents = residents(store, 3);
    let ada = user(store, &residents[0]);
    let names: Vec<String> = residents.iter().map(|id| place(store, id)).collect();
    session(store, &residents[0]).insert(&task("dig")).unwrap();
    thread::scope(|scope| {
        let held = hold(scope, session(store, &residents[2]));
        // The partition is behind, so the move waits for its writer, and has looked up the home by then.
        store.reference().insert(&currency("EUR")).unwrap();
        let late = scope.spawn(|| store.partitions().move_user(&ada, &names[2], |_| {}));
        pause();
        store.partitions().move_user(&ada, &names[1], |_| {}).unwrap();
        drop(held);
        let late = late.join().unwrap();
        assert!(matches!(late, Ok(()) | Err(Error::Busy { .. })), "{late:?}");
    });
    assert_eq!(store.session(&ada).unwrap().count::<Task>().unwrap(), 1);
    assert_clean(store);
}

#[test]
fn a_copy_of_a_reference_record_does_not_come_back_while_it_is_deleted() {
    let store = &builder().partitions(2).temporary().unwrap();
    let residents = residents(store, 2);
    let euro = store.reference().insert(&currency("EUR")).unwrap();
    let sessions: Vec<TenantSession> = residents.iter().map(|id| session(store, id)).collect();
    sessions.iter().for_each(|session| assert_eq!(session.count::<Currency>().unwrap(), 1));
    thread::scope(|scope| {
        let first = hold(scope, sessions[0].clone());
        let second = hold(scope, sessions[1].clone());
        // Both partitions are behind from here on.
        store.reference().insert(&currency("USD")).unwrap();
        let deletion = scope.spawn(|| store.reference().delete(euro));
        pause();
        let reading = scope.spawn(|| sessions[0].count::<Currency>());
        pause();
        // The deletion takes the copies out of the first partition, and waits for the second.
        drop(first);
        pause();
        let priced = scope.spawn(|| sessions[0].insert(&Task { price: Some(euro), ..task("pay") }));
        pause();
        drop(second);
        let (deleted, priced) = (deletion.join().unwrap(), priced.join().unwrap());
        reading.join().unwrap().unwrap();
        assert!(deleted.is_err() || priced.is_err(), "a record refers to one that is gone");
    });
    sessions.iter().for_each(|session| assert_eq!(session.count::<Currency>().unwrap(), 1));
    assert_clean(store);
}

#[test]
fn a_store_is_checked_with_few_connections() {
    for readers in [1, 2, 3] {
        let store = builder().partitions(2).readers(readers).temporary().unwrap();
        residents(&store, 2);
        assert_clean(&store);
    }
}

#[test]
fn a_process_that_reads_follows_those_who_move() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app");
    let store = builder().partitions(2).open(&path).unwrap();
    let residents = residents(&store, 2);
    let ada = user(&store, &residents[0]);
    let names: Vec<String> = residents.iter().map(|id| place(&store, id)).collect();
    let writing = store.session(&ada).unwrap();
    writing.insert(&task("dig")).unwrap();
    let reading_store = builder().read_only().open(&path).unwrap();
    let reading = reading_store.session(&ada).unwrap();
    for round in 0..4 {
        store.partitions().move_user(&ada, &names[(round + 1) % 2], |_| {}).unwrap();
        writing.insert(&task(round)).unwrap();
        let wanted = round as u64 + 2;
        assert_eq!(reading.count::<Task>().unwrap(), wanted);
        assert_eq!(reading.list::<Task>().unwrap().len() as u64, wanted);
        assert_eq!(reading.read(|view| view.count::<Task>()).unwrap(), wanted);
        assert_eq!(reading.audit().list().unwrap().len() as u64, wanted + 1);
        assert_eq!(reading_store.users().stats(&ada).unwrap().rows, wanted);
    }
    // Also into files that are removed and made anew.
    for round in 0..3 {
        store.partitions().repartition(Partitioning::PerTenant, |_| {}).unwrap();
        assert_eq!(reading.count::<Task>().unwrap(), 5 + 2 * round);
        writing.insert(&task(format!("alone {round}"))).unwrap();
        store.partitions().repartition(Partitioning::Fixed(2), |_| {}).unwrap();
        writing.insert(&task(format!("together {round}"))).unwrap();
        assert_eq!(reading.count::<Task>().unwrap(), 7 + 2 * round);
    }
}

#[test]
fn a_process_that_reads_all_the_time_never_sees_half_of_a_tenant() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app");
    let store = &builder().partitions(2).open(&path).unwrap();
    let residents = residents(store, 2);
    let ada = &user(store, &residents[0]);
    let names: Vec<String> = residents.iter().map(|id| place(store, id)).collect();
    let tasks: Vec<Task> = (0..300).map(task).collect();
    store.session(ada).unwrap().insert_many(&tasks).unwrap();
    let reading = builder().read_only().open(&path).unwrap();
    let (moving, moved) = channel::<()>();
    thread::scope(|scope| {
        scope.spawn(move || {
            for round in 0..12 {
                store.partitions().move_user(ada, &names[(round + 1) % 2], |_| {}).unwrap();
            }
            drop(moving);
        });
        let session = reading.session(ada).unwrap();
        while moved.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {
            assert_eq!(session.count::<Task>().unwrap(), 300);
            assert_eq!(session.list::<Task>().unwrap().len(), 300);
        }
    });
}

#[test]
fn a_refusal_that_can_not_be_recorded_keeps_no_other_from_being() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app");
    let (lost, residents) = {
        let store = builder().partitions(2).open(&path).unwrap();
        let residents = residents(&store, 2);
        (store.partitions().list().unwrap().remove(0), residents)
    };
    fs::remove_file(&lost.path).unwrap();
    let store = builder().open(&path).unwrap();
    let nowhere = OrganizationId::new("nowhere").unwrap();
    for id in &residents {
        assert!(session(&store, id).in_organization(&nowhere).is_err());
    }
    let entries = session(&store, &residents[1]).audit().list().unwrap();
    assert_eq!(entries.last().unwrap().outcome, "not_member", "{entries:#?}");
}

#[test]
fn a_move_that_panics_or_fails_leaves_nothing_behind() {
    let store = builder().partitions(2).temporary().unwrap();
    let residents = residents(&store, 2);
    let ada = user(&store, &residents[0]);
    let to = place(&store, &residents[1]);
    let session = store.session(&ada).unwrap();
    session.insert_many(&(0..20).map(task).collect::<Vec<_>>()).unwrap();
    let panic =
        catch_unwind(AssertUnwindSafe(|| store.partitions().move_user(&ada, &to, |_| panic!("enough"))));
    assert!(panic.is_err());
    assert_clean(&store);
    // The callback uses the store.
    let mut calls = 0;
    store
        .partitions()
        .move_user(&ada, &to, |_| {
            calls += 1;
            session.insert(&task(format!("meanwhile {calls}"))).unwrap();
            store.users().rename(&ada, &format!("Ada {calls}")).unwrap();
            store.reference().insert(&currency(&calls.to_string())).unwrap();
            assert!(matches!(store.partitions().move_user(&ada, &to, |_| {}), Err(Error::Busy { .. })));
            assert_clean(&store);
        })
        .unwrap();
    assert_eq!(session.count::<Task>().unwrap(), 20 + calls);
    assert_eq!(place(&store, ada.id.as_str()), to);
    assert_clean(&store);
}

#[test]
fn unique_values_change_hands_while_their_tenant_moves() {
    let store = builder().partitions(2).temporary().unwrap();
    let residents = residents(&store, 2);
    let ada = user(&store, &residents[0]);
    let session = store.session(&ada).unwrap();
    let ids = session.insert_many(&(0..1_200).map(task).collect::<Vec<_>>()).unwrap();
    let mut changed = false;
    store
        .partitions()
        .move_user(&ada, &place(&store, &residents[1]), |progress| {
            if progress.copied < 1_200 || std::mem::replace(&mut changed, true) {
                return;
            }
            session
                .transaction(|tx| {
                    for (number, id) in ids.iter().enumerate() {
                        tx.patch(*id, Task::TITLE.set(format!("on the way {number}")))?;
                    }
                    for (number, id) in ids.iter().enumerate() {
                        tx.patch(*id, Task::TITLE.set(((number + 700) % 1_200).to_string()))?;
                    }
                    Ok(())
                })
                .unwrap();
        })
        .unwrap();
    assert_eq!(session.get(ids[0]).unwrap().title, "700");
    assert_clean(&store);
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
    }
}

#[test]
fn files_of_different_times_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let (path, saved) = (folder.path().join("app"), folder.path().join("saved"));
    let part = {
        let store = builder().partitions(1).open(&path).unwrap();
        let euro = store.reference().insert(&currency("EUR")).unwrap();
        session(&store, "ada").insert(&Task { price: Some(euro), ..task("dig") }).unwrap();
        store.partitions().list().unwrap().remove(0)
    };
    copy(&path, &saved);
    let mut names = vec![part.name.as_str(), "catalog.db"];
    for _ in 0..2 {
        let old = names.pop().unwrap();
        fs::remove_dir_all(&path).unwrap();
        copy(&saved, &path);
        {
            let store = builder().open(&path).unwrap();
            let acme = store.organizations().create(&OrganizationId::new("acme").unwrap()).unwrap();
            store.organizations().add_member(&acme, &user(&store, "grace"), Role::Member).unwrap();
            let ada = session(&store, "ada");
            ada.delete_where(Task::TITLE.eq("dig")).unwrap();
            let euro = store.reference().query::<Currency>().first().unwrap().unwrap();
            store.reference().delete(euro.id).unwrap();
        }
        fs::copy(saved.join(old), path.join(old)).unwrap();
        let store = builder().open(&path).unwrap();
        let error = session(&store, "ada").list::<Task>().unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, Error::Corrupt { .. }), "{old}: {text}");
        assert!(text.contains(&part.name) && text.contains("backup"), "{old}: {text}");
        assert!(store.check().unwrap().to_string().contains(&part.name));
    }
}
