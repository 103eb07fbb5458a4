//! A session from a token ends with it, wherever it is in use.

use std::sync::mpsc;
use std::time::Duration;

use serde_json::json;
use tenantry::{Entity, Error, Role, SqlLimits, Store, StoreRole, TenantSession};

use crate::support::{Kind, LEEWAY, NOON, Task, Ticket, World, claims, claims_with, organization, task};

#[derive(Debug, Entity)]
#[entity(tenancy = member)]
struct Note {
    text: String,
}

/// A world whose clock is on the last moment of Ada's session.
fn last_moment(world: &World) -> TenantSession {
    let kind = Kind::hs256();
    let session = world.enter(&kind.verifier, &kind.token(&claims())).unwrap();
    world.clock.set_micros(end() * 1_000_000 - 1);
    session
}

fn end() -> i64 {
    NOON + 60 + LEEWAY
}

#[track_caller]
fn expired<T: std::fmt::Debug>(result: tenantry::Result<T>) {
    assert!(matches!(result, Err(Error::Expired)), "{result:?}");
}

#[test]
fn every_verb_ends_with_the_token() {
    for builder in [Store::builder(), Store::builder().cache(1 << 20), Store::builder().partitions(2)] {
        let world = World::of(builder);
        let session = last_moment(&world);
        let id = session.insert(&task("Dig")).unwrap();
        // Into the cache, if there is one.
        session.get(id).unwrap();
        session.get(id).unwrap();
        world.clock.set(end());
        expired(session.get(id));
        expired(session.find(id));
        expired(session.get_many(&[id]));
        expired(session.exists(id));
        expired(session.count::<Task>());
        expired(session.list::<Task>());
        expired(session.query::<Task>().page(1));
        expired(session.query::<Task>().iter().map(drop));
        expired(session.query::<Task>().filter(Task::TITLE.eq("Dig")).count());
        expired(session.insert(&task("Plant")));
        expired(session.insert_many(&[task("Plant")]));
        expired(session.update(id, &task("Plant")));
        expired(session.patch(id, Task::TITLE.set("Plant")));
        expired(session.upsert(id, &task("Plant")));
        expired(session.delete(id));
        expired(session.dynamic("task").unwrap().count());
        expired(session.transaction(|_| Ok(())));
        expired(session.read(|_| Ok(())));
        expired(session.audit().list());
        expired(session.audit().page(1));
        expired(session.audit().verify());
        expired(session.sql("SELECT 1").rows());
        expired(session.sql("SELECT 1").explain());
        expired(session.in_organization(&organization("acme")));
        // The store's own session goes on, and has nothing of what was refused.
        let own = world.store.session(&world.ada).unwrap();
        assert_eq!(
            own.list::<Task>().unwrap().iter().map(|task| task.title.as_str()).collect::<Vec<_>>(),
            ["Dig"]
        );
        assert!(world.store.check().unwrap().is_clean());
    }
}

#[test]
fn what_is_made_from_a_session_ends_with_it() {
    let world = World::new();
    let session = last_moment(&world);
    let clone = session.clone();
    let limited = session.with_sql_limits(SqlLimits::default());
    let inside = session.in_organization(&organization("acme")).unwrap();
    let inside_clone = inside.clone();
    inside.insert(&Ticket { title: "Oil".to_owned() }).unwrap();
    let (query, audit, sql) = (session.query::<Task>(), session.audit(), session.sql("SELECT 1"));
    world.clock.set(end());
    expired(clone.count::<Task>());
    expired(limited.sql("SELECT 1").rows());
    expired(inside.count::<Ticket>());
    expired(inside_clone.list::<Ticket>());
    expired(inside.role());
    expired(inside.members(None, 10));
    expired(inside.private_audit().list());
    expired(inside.sql("SELECT 1").rows());
    expired(query.list());
    expired(audit.list());
    expired(sql.rows());
}

#[test]
fn a_transaction_ends_with_the_token() {
    let world = World::new();
    let session = last_moment(&world);
    let outcome = session.transaction(|tx| {
        let id = tx.insert(&task("Dig"))?;
        world.clock.set(end());
        expired(tx.get(id));
        expired(tx.get_many(&[id]));
        expired(tx.exists(id));
        expired(tx.count::<Task>());
        expired(tx.list::<Task>());
        expired(tx.query::<Task>().iter().map(drop));
        expired(tx.insert(&task("Plant")));
        expired(tx.patch(id, Task::TITLE.set("Plant")));
        expired(tx.delete(id));
        expired(tx.transaction(|inner| inner.insert(&task("Rest"))));
        // It makes no difference that the closure goes on.
        Ok(())
    });
    expired(outcome);
    assert_eq!(world.store.session(&world.ada).unwrap().count::<Task>().unwrap(), 0, "it was rolled back");
    // Nothing in it fails, and it is too late all the same.
    world.clock.set(end() - 1);
    expired(session.transaction(|tx| {
        let id = tx.insert(&task("Dig"));
        world.clock.set(end());
        id
    }));
    assert_eq!(world.store.session(&world.ada).unwrap().count::<Task>().unwrap(), 0);
    // The writer is free, and the log has nothing of it.
    world.store.session(&world.ada).unwrap().insert(&task("Plant")).unwrap();
    assert!(world.store.check().unwrap().is_clean());
}

#[test]
fn a_read_scope_ends_with_the_token() {
    let world = World::new();
    let session = last_moment(&world);
    let id = session.insert(&task("Dig")).unwrap();
    session
        .read(|view| {
            view.get(id)?;
            world.clock.set(end());
            expired(view.get(id));
            expired(view.get_many(&[id]));
            expired(view.count::<Task>());
            expired(view.list::<Task>());
            Ok(())
        })
        .unwrap();
}

#[test]
fn an_iterator_ends_with_the_token() {
    let world = World::new();
    let session = last_moment(&world);
    session.insert_many(&vec![task("Dig"); 100]).unwrap();
    let mut all = session.query::<Task>().iter().unwrap();
    let log = session.audit();
    let mut entries = log.iter().unwrap();
    for _ in 0..10 {
        all.next().unwrap().unwrap();
        entries.next().unwrap().unwrap();
    }
    world.clock.set(end());
    // Also the records and entries of the batch that it holds already.
    expired(all.next().unwrap());
    expired(entries.next().unwrap());
    assert!(all.next().is_none() && entries.next().is_none());
    world.clock.set(end() - 1);
    assert!(all.next().is_none() && entries.next().is_none(), "an end is an end");
    assert_eq!(session.query::<Task>().iter().unwrap().count(), 100);
}

#[test]
fn a_stream_of_sql_ends_with_the_token() {
    let world = World::new();
    let session = last_moment(&world);
    session.insert_many(&vec![task("Dig"); 10]).unwrap();
    let outcome = session.sql("SELECT title FROM task").stream(|rows| {
        rows.next()?.unwrap();
        world.clock.set(end());
        expired(rows.next());
        rows.next().map(drop)
    });
    expired(outcome);
    world.clock.set(end() - 1);
    // Before the first row is given.
    expired(session.sql("SELECT title FROM task").stream(|rows| {
        world.clock.set(end());
        rows.next()
    }));
}

/// Work that waits for its turn while the token expires is not done.
#[test]
fn the_queue_of_writers_ends_with_the_token() {
    let world = World::of(Store::builder().wait_timeout(Duration::from_secs(20)));
    let session = last_moment(&world);
    let grace = world.store.session(&tenantry::UserId::new("grace").unwrap()).unwrap();
    std::thread::scope(|scope| {
        let (begun, wait) = mpsc::channel();
        let waiting = &session;
        let clock = &world.clock;
        grace
            .transaction(|tx| {
                tx.insert(&task("Plant"))?;
                let verb = scope.spawn({
                    let begun = begun.clone();
                    move || {
                        begun.send(()).unwrap();
                        waiting.insert(&task("Dig"))
                    }
                });
                let transaction = scope.spawn(move || {
                    begun.send(()).unwrap();
                    waiting.transaction(|tx| tx.insert(&task("Dig")))
                });
                wait.recv().unwrap();
                wait.recv().unwrap();
                // They may come a moment later; then they find the token expired at once.
                std::thread::sleep(Duration::from_millis(100));
                assert!(!verb.is_finished() && !transaction.is_finished(), "both wait for the writer");
                clock.set(end());
                Ok((verb, transaction))
            })
            .map(|(verb, transaction)| {
                expired(verb.join().unwrap());
                expired(transaction.join().unwrap());
            })
            .unwrap();
    });
    assert_eq!(world.store.session(&world.ada).unwrap().count::<Task>().unwrap(), 0);
    assert_eq!(grace.count::<Task>().unwrap(), 1);
}

#[test]
fn administrators_end_with_the_token() {
    let world = World::of(Store::builder().entity::<Note>());
    let kind = Kind::hs256();
    let kind = Kind { verifier: kind.verifier.clone().role_claim("role"), ..kind };
    world.store.users().set_role(&world.ada, StoreRole::Admin).unwrap();
    let token = kind.token(&claims_with(&json!({ "role": "admin" })));
    let acme = organization("acme");
    let session = world.enter(&kind.verifier, &token).unwrap();
    let manager = session.in_organization(&acme).unwrap().manage().unwrap();
    let records = manager.member_records(&world.ada, "a test").unwrap();
    let admin = world.store.admin_from_token(&kind.verifier, &token, "a test").unwrap();
    let (inside, member) = (admin.session(&world.ada).unwrap(), admin.session_in(&acme, &world.ada).unwrap());
    let reference = admin.reference().unwrap();
    let again = admin.with_reason("another").unwrap();
    world.clock.set(end() - 1);
    let grace = tenantry::UserId::new("grace").unwrap();
    manager.invite(&grace, Role::Member, None).unwrap();
    assert_eq!(records.count::<Note>().unwrap(), 0);
    inside.count::<Task>().unwrap();
    admin.users().list(None, 10).unwrap();

    let own = world.store.admin(&world.ada, "a look").unwrap();
    let entries = || own.session(&world.ada).unwrap().audit().list().unwrap().len();
    let before = entries();
    world.clock.set(end());
    expired(manager.members(None, 10));
    expired(manager.invite(&grace, Role::Member, None));
    expired(manager.set_role(&world.ada, Role::Member));
    expired(manager.remove_member(&world.ada));
    expired(manager.member_records(&world.ada, "a test").map(drop));
    expired(manager.rename("Acme"));
    expired(records.count::<Note>());
    expired(records.list::<Note>());
    expired(inside.count::<Task>());
    expired(inside.insert(&task("Dig")));
    expired(inside.transaction(|_| Ok(())));
    expired(member.count::<Ticket>());
    expired(reference.audit().list());
    for admin in [&admin, &again] {
        expired(admin.users().list(None, 10));
        expired(admin.users().disable(&grace));
        expired(admin.users().set_role(&grace, StoreRole::Admin));
        expired(admin.organizations().create(&organization("new")));
        expired(admin.session(&world.ada).map(drop));
        expired(admin.session_in(&acme, &world.ada).map(drop));
        expired(admin.reference().map(drop));
        expired(admin.report::<Task>().unwrap().count(10));
    }
    expired(session.accept_invitation(&acme).map(drop));
    expired(session.invitations(None, 10));
    // What an administrator could not do is not on record as done: only this look, and its session, are.
    assert_eq!(entries() - before, 2);
    assert!(world.store.check().unwrap().is_clean());
}

/// The session lasts as the token does, to the microsecond, and each token has its own end.
#[test]
fn sessions_of_several_tokens_end_apart() {
    let world = World::new();
    let kind = Kind::hs256();
    let of = |exp: i64| {
        let token = kind.token(&claims_with(&json!({ "exp": exp })));
        world.enter(&kind.verifier, &token).unwrap()
    };
    let (short, long) = (of(NOON + 10), of(NOON + 20));
    world.clock.set_micros((NOON + 10 + LEEWAY) * 1_000_000 - 1);
    short.count::<Task>().unwrap();
    world.clock.set(NOON + 10 + LEEWAY);
    expired(short.count::<Task>());
    long.count::<Task>().unwrap();
    world.clock.set(NOON + 20 + LEEWAY);
    expired(long.count::<Task>());
    assert!(!Error::Expired.is_retryable());
    assert!(world.refusals().is_empty(), "an end is no refusal");
}
