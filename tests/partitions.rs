//! Stores of several files: the same promises, tenants that move while they are used, and files that
//! are missing, damaged or of another store.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod engine;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use tenantry::{
    Builder, Entity, Error, Id, Organization, OrganizationId, Partitioning, Role, Store, TenantSession, User,
    UserId,
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
    parent: Option<Id<Task>>,
}

#[derive(Debug, Clone, PartialEq, Entity)]
#[entity(tenancy = organization, author)]
struct Ticket {
    title: String,
    assignee: Option<UserId>,
}

#[derive(Debug, Clone, PartialEq, Entity)]
#[entity(tenancy = member)]
struct Note {
    text: String,
    ticket: Option<Id<Ticket>>,
}

fn builder() -> Builder {
    engine::builder()
        .entity::<Currency>()
        .entity::<Task>()
        .entity::<Ticket>()
        .entity::<Note>()
        .wait_timeout(Duration::from_secs(3))
}

fn task(title: impl ToString) -> Task {
    Task { title: title.to_string(), price: None, parent: None }
}

fn user(store: &Store, id: &str) -> User {
    store.users().get_or_create(&UserId::new(id).unwrap()).unwrap()
}

fn session(store: &Store, id: &str) -> TenantSession {
    store.session(&user(store, id)).unwrap()
}

fn organization(store: &Store, id: &str, members: &[&str]) -> Organization {
    let organization = store.organizations().create(&OrganizationId::new(id).unwrap()).unwrap();
    for member in members {
        store.organizations().add_member(&organization, &user(store, member), Role::Member).unwrap();
    }
    organization
}

fn titles(session: &TenantSession) -> Vec<String> {
    session.list::<Task>().unwrap().into_iter().map(|record| record.value.title).collect()
}

fn assert_clean(store: &Store) {
    let report = store.check().unwrap();
    assert!(report.is_clean(), "{report}");
}

fn place(store: &Store, id: &str) -> String {
    store.partitions().of_user(&UserId::new(id).unwrap()).unwrap().unwrap().name
}

/// A partition that is not the user's, made by a user who lives there.
fn elsewhere(store: &Store, id: &str) -> String {
    let home = place(store, id);
    (0..)
        .map(|number| user(store, &format!("neighbour {number}")))
        .map(|user| place(store, user.id.as_str()))
        .find(|name| *name != home)
        .unwrap()
}

#[test]
fn tenants_are_spread_and_each_is_whole_in_one_file() {
    let store = builder().partitions(4).temporary().unwrap();
    for number in 0..40 {
        let session = session(&store, &format!("user {number}"));
        for task_number in 0..3 {
            session.insert(&task(task_number)).unwrap();
        }
    }
    let acme = organization(&store, "acme", &["user 1", "user 2"]);
    for id in ["user 1", "user 2"] {
        let session = session(&store, id).in_organization(&acme).unwrap();
        let assignee = Some(UserId::new("user 2").unwrap());
        let ticket = session.insert(&Ticket { title: id.to_owned(), assignee }).unwrap();
        session.insert(&Note { text: id.to_owned(), ticket: Some(ticket) }).unwrap();
        assert_eq!(session.query::<Ticket>().mine().count().unwrap(), 1);
        assert_eq!(session.count::<Note>().unwrap(), 1);
        let entries = session.audit().list().unwrap();
        let actors: BTreeSet<_> = entries.iter().filter_map(|entry| entry.actor.clone()).collect();
        assert!(actors.iter().any(|actor| actor.as_str() == id), "actors have names where they do not live");
    }
    let partitions = store.partitions().list().unwrap();
    assert_eq!(partitions.len(), 4);
    assert_eq!(partitions.iter().map(|partition| partition.tenants).sum::<u64>(), 41);
    assert!(partitions.iter().all(|partition| partition.tenants > 2), "{partitions:?}");
    let stats = store.stats().unwrap();
    assert_eq!((stats.tenants, stats.rows), (43, 40 * 3 + 4));
    assert_eq!((stats.partitions.count, stats.partitions.open), (4, 4));
    assert_clean(&store);
}

#[test]
fn a_store_opens_again_as_it_was_made() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app");
    {
        let store = builder().partitions(2).open(&path).unwrap();
        session(&store, "ada").insert(&task("dig")).unwrap();
        assert_clean(&store);
    }
    for path in [&path, &path.join(".")] {
        let store = builder().open(path).unwrap();
        assert_eq!(store.partitions().partitioning().unwrap(), Partitioning::Fixed(2));
        assert_eq!(titles(&session(&store, "ada")), ["dig"]);
    }
    let error = builder().partitions(3).open(&path).unwrap_err().to_string();
    assert!(error.contains("2 partitions") && error.contains("repartition"), "{error}");
    let error = builder().open(path.join("catalog.db")).unwrap_err().to_string();
    assert!(error.contains("open the folder"), "{error}");
    let partition = partition_files(&path).remove(0);
    let error = builder().open(&partition).unwrap_err().to_string();
    // Of an encrypted one nobody but the catalog has the key.
    let told = if cfg!(feature = "sqlcipher") { "not the one of this file" } else { "open the folder" };
    assert!(error.contains(told), "{error}");
    // An entity that is new reaches every partition.
    let store = builder()
        .definition(
            tenantry::Definition::new("extra", tenantry::Tenancy::User)
                .column(tenantry::ColumnDefinition::new("text", tenantry::ColumnKind::Text)),
        )
        .open(&path)
        .unwrap();
    let extra = tenantry::Fields::new().with("text", "x");
    session(&store, "ada").dynamic("extra").unwrap().insert(extra).unwrap();
    assert_clean(&store);
}

#[test]
fn a_folder_or_a_file_in_the_wrong_place_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let error = builder().open(folder.path()).unwrap_err().to_string();
    assert!(error.contains("folder without a store"), "{error}");
    let file = folder.path().join("app.db");
    drop(builder().open(&file).unwrap());
    let error = builder().partitions(2).open(&file).unwrap_err().to_string();
    assert!(error.contains("is a file"), "{error}");
    let nowhere = folder.path().join("not").join("there");
    assert!(matches!(builder().partitions(2).open(nowhere), Err(Error::InvalidInput { .. })));
    let error = builder().partitions(2).read_only().open(folder.path().join("none")).unwrap_err().to_string();
    assert!(error.contains("does not exist"), "{error}");
}

#[test]
fn a_store_that_lost_its_catalog_is_not_taken_for_a_new_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app");
    session(&builder().partitions(2).open(&path).unwrap(), "ada").insert(&task("dig")).unwrap();
    fs::remove_file(path.join("catalog.db")).unwrap();
    for open in [|path: &Path| builder().partitions(2).open(path), |path: &Path| builder().open(path)] {
        assert!(open(&path).is_err());
    }
    let error = builder().partitions(2).open(&path).unwrap_err().to_string();
    assert!(error.contains("catalog.db is missing") && error.contains("backup"), "{error}");
    assert!(!path.join("catalog.db").exists());
}

fn partition_files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            let name = path.file_name().unwrap().to_string_lossy();
            name.starts_with("tenants-") && name.ends_with(".db")
        })
        .collect();
    files.sort();
    files
}

#[test]
fn file_names_tell_nothing_of_who_lives_there() {
    let folder = tempfile::tempdir().unwrap();
    let names = |app: &str| {
        let path = folder.path().join(app);
        let store = builder().partition_per_tenant().open(&path).unwrap();
        session(&store, "ada").insert(&task("dig")).unwrap();
        drop(store);
        partition_files(&path).iter().map(|path| path.file_name().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let (one, other) = (names("one"), names("other"));
    assert_eq!((one.len(), other.len()), (1, 1));
    // The same id in two stores: names are salted, so nobody can try ids.
    assert_ne!(one, other);
}

#[test]
fn few_files_are_open_however_many_there_are() {
    let store = builder().partition_per_tenant().partitions_open(3).temporary().unwrap();
    let sessions: Vec<_> = (0..12).map(|number| session(&store, &number.to_string())).collect();
    thread::scope(|scope| {
        for offset in 0..4 {
            let sessions = &sessions;
            scope.spawn(move || {
                for round in 0..20 {
                    let session = &sessions[(offset * 3 + round * 5) % 12];
                    session.insert(&task(format!("{offset} {round}"))).unwrap();
                    assert!(session.count::<Task>().unwrap() > 0);
                }
            });
        }
    });
    assert!(store.stats().unwrap().partitions.open <= 4, "{:?}", store.stats().unwrap().partitions);
    assert_eq!(store.stats().unwrap().rows, 80);
    // One that is in use stays open.
    let mut kept: Vec<_> =
        sessions[..6].iter().map(|session| session.query::<Task>().iter().unwrap()).collect();
    assert!(store.stats().unwrap().partitions.open >= 6);
    for records in &mut kept {
        assert!(records.next().is_some());
    }
    drop(kept);
    session(&store, "0").insert(&task("again")).unwrap();
    session(&store, "one more").insert(&task("again")).unwrap();
    assert!(store.stats().unwrap().partitions.open <= 3);
    assert_clean(&store);
}

#[test]
fn a_missing_or_damaged_partition_takes_only_its_own_tenants_down() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app");
    let (ada, others, lost) = {
        let store = builder().partitions(3).open(&path).unwrap();
        session(&store, "ada").insert(&task("dig")).unwrap();
        let others: Vec<String> = (0..12)
            .map(|number| format!("user {number}"))
            .filter(|id| {
                session(&store, id).insert(&task(id)).unwrap();
                place(&store, id) != place(&store, "ada")
            })
            .collect();
        (
            user(&store, "ada"),
            others,
            store.partitions().of_user(&UserId::new("ada").unwrap()).unwrap().unwrap(),
        )
    };
    let saved = fs::read(&lost.path).unwrap();
    let check_others = |store: &Store| {
        for id in &others {
            assert_eq!(titles(&session(store, id)), std::slice::from_ref(id));
        }
    };
    for damage in ["missing", "empty", "foreign", "garbage"] {
        match damage {
            "missing" => fs::remove_file(&lost.path).unwrap(),
            "empty" => fs::write(&lost.path, []).unwrap(),
            "foreign" => {
                // Another store's partition.
                let other = builder().partitions(1).open(folder.path().join("other")).unwrap();
                session(&other, "ada").insert(&task("theirs")).unwrap();
                let theirs = other.partitions().list().unwrap().remove(0).path;
                drop(other);
                fs::copy(theirs, &lost.path).unwrap();
            }
            _ => {
                let mut bytes = saved.clone();
                for byte in bytes.iter_mut().skip(100).step_by(7) {
                    *byte ^= 0x5a;
                }
                fs::write(&lost.path, bytes).unwrap();
            }
        }
        let store = builder().open(&path).unwrap();
        check_others(&store);
        let session = store.session(&ada).unwrap();
        for error in [
            session.list::<Task>().map(drop).unwrap_err(),
            session.insert(&task("x")).map(drop).unwrap_err(),
            session.transaction(|_| Ok(())).unwrap_err(),
        ] {
            let text = error.to_string();
            assert!(matches!(error, Error::Corrupt { .. }), "{damage}: {text}");
            assert!(text.contains(&lost.name), "{damage}: {text}");
        }
        assert!(store.users().rename(&ada, "Ada").is_err());
        assert_eq!(store.users().get(&ada).unwrap().name, "", "half of a change was kept");
        if damage == "garbage" {
            // Access can be ended all the same.
            store.users().disable(&ada).unwrap();
            assert!(matches!(store.session(&ada), Err(Error::Disabled { .. })));
            assert!(matches!(session.count::<Task>(), Err(Error::Disabled { .. })));
            assert!(store.users().enable(&ada).is_err(), "giving access waits for the file");
        }
        let report = store.check().unwrap();
        assert!(report.to_string().contains(&lost.name), "{report}");
        assert_eq!(
            store.stats().unwrap().partitions.unreadable,
            // Another store's has another key, if it is encrypted.
            if damage == "foreign" && !cfg!(feature = "sqlcipher") {
                vec![]
            } else {
                vec![lost.name.clone()]
            }
        );
        drop(store);
    }
    for suffix in ["-wal", "-shm"] {
        let _ = fs::remove_file(format!("{}{suffix}", lost.path.display()));
    }
    fs::write(&lost.path, saved).unwrap();
    let store = builder().open(&path).unwrap();
    store.users().enable(&ada).unwrap();
    let session = store.session(&ada).unwrap();
    assert_eq!(titles(&session), ["dig"]);
    let log = session.audit().list().unwrap();
    let actions: Vec<&str> = log.iter().map(|entry| entry.action.as_str()).collect();
    assert_eq!(actions, ["user.create", "insert", "user.disable", "user.enable"]);
    assert_clean(&store);
}

#[test]
fn reference_records_are_the_same_everywhere() {
    let store = builder().partitions(3).temporary().unwrap();
    let euro = store.reference().insert(&Currency { code: "EUR".into() }).unwrap();
    let sessions: Vec<_> = (0..9).map(|number| session(&store, &number.to_string())).collect();
    for session in &sessions {
        assert_eq!(session.get(euro).unwrap().code, "EUR");
        session.insert(&Task { price: Some(euro), ..task("pay") }).unwrap();
    }
    store.reference().update(euro, &Currency { code: "EURO".into() }).unwrap();
    let dollar = store.reference().insert(&Currency { code: "EUR".into() }).unwrap();
    for session in &sessions {
        let (_, price) = session.query::<Task>().with(Task::PRICE).list().unwrap().remove(0);
        assert_eq!(price.unwrap().value.code, "EURO");
        assert_eq!(session.count::<Currency>().unwrap(), 2);
    }
    // Held by rows in all partitions; a refusal changes nothing anywhere.
    assert!(matches!(store.reference().delete(euro), Err(Error::Reference { .. })));
    for session in &sessions {
        assert_eq!(session.count::<Currency>().unwrap(), 2);
        assert_eq!(session.get(euro).unwrap().code, "EURO");
    }
    let kept = store.reference().transaction(|tx| {
        tx.delete(dollar)?;
        Err::<(), _>(Error::aborted("no"))
    });
    assert!(kept.is_err());
    assert_eq!(sessions[0].count::<Currency>().unwrap(), 2);
    store.reference().delete(dollar).unwrap();
    for session in &sessions {
        assert!(session.find(dollar).unwrap().is_none());
        assert_eq!(session.count::<Currency>().unwrap(), 1);
        let late = session.insert(&Task { price: Some(dollar), ..task("late") });
        assert!(matches!(late, Err(Error::Reference { .. })), "{late:?}");
    }
    assert_clean(&store);
}

#[test]
fn a_transaction_is_of_one_tenant_and_says_so() {
    let store = builder().partitions(3).temporary().unwrap();
    let ada = session(&store, "ada");
    let others: Vec<_> = (0..6).map(|number| session(&store, &number.to_string())).collect();
    ada.transaction(|tx| {
        tx.insert(&task("one"))?;
        for other in &others {
            let error = other.insert(&task("other")).unwrap_err();
            assert!(matches!(error, Error::Busy { .. }) && error.to_string().contains("handle"), "{error}");
            assert!(other.transaction(|_| Ok(())).is_err());
            assert_eq!(other.count::<Task>()?, 0, "reads go on");
        }
        assert!(store.users().create(&UserId::new("late")?).is_err());
        assert!(store.reference().insert(&Currency { code: "EUR".into() }).is_err());
        assert!(store.partitions().repartition(Partitioning::PerTenant, |_| {}).is_err());
        Ok(())
    })
    .unwrap();
    assert_eq!(titles(&ada), ["one"]);
    others[0].insert(&task("other")).unwrap();
    assert_clean(&store);
}

/// A user with rows that refer to each other, a log, misses, and an organization's member.
fn furnish(store: &Store, id: &str, rows: usize) -> Vec<Id<Task>> {
    let euro = store.reference().query::<Currency>().first().unwrap().map(|record| record.id);
    let euro = euro.unwrap_or_else(|| store.reference().insert(&Currency { code: "EUR".into() }).unwrap());
    let session = session(store, id);
    let mut parent = None;
    (0..rows)
        .map(|number| {
            let id = session.insert(&Task { price: Some(euro), parent, ..task(number) }).unwrap();
            parent = Some(id);
            if number % 3 == 0 {
                session.patch(id, Task::TITLE.set(format!("{number} again"))).unwrap();
            }
            id
        })
        .collect()
}

#[test]
fn a_user_moves_and_nothing_of_it_changes() {
    for mode in ["fixed", "per tenant"] {
        let builder =
            if mode == "fixed" { builder().partitions(3) } else { builder().partition_per_tenant() };
        let store = builder.cache(1 << 20).temporary().unwrap();
        let ids = furnish(&store, "ada", 30);
        let ada = session(&store, "ada");
        ada.get(ids[3]).unwrap();
        assert!(ada.find(Id::<Task>::from_uuid(tenantry::Uuid::from_u128(7))).unwrap().is_none());
        let to = elsewhere(&store, "ada");
        let before = (ada.list::<Task>().unwrap(), ada.audit().list().unwrap());
        let page = ada.query::<Task>().page(10).unwrap();
        let mut last = None;
        store.partitions().move_user(&user(&store, "ada"), &to, |progress| last = Some(progress)).unwrap();
        let last = last.unwrap();
        assert_eq!((last.copied, last.total), (30 + 41, 30 + 41));
        assert_eq!(place(&store, "ada"), to);
        assert_eq!((ada.list::<Task>().unwrap(), ada.audit().list().unwrap()), before);
        assert_eq!(ada.query::<Task>().after(&page.next.unwrap()).page(10).unwrap().records.len(), 10);
        assert!(ada.audit().verify().unwrap().is_intact());
        assert!(matches!(ada.insert(&task("1")), Err(Error::Unique { .. })));
        let next = ada.insert(&task("next")).unwrap();
        assert!(next > *ids.last().unwrap());
        ada.patch(ids[4], Task::TITLE.set("4 anew")).unwrap();
        assert_eq!(ada.get(ids[4]).unwrap().title, "4 anew");
        assert_clean(&store);
        // There and back again.
        for _ in 0..2 {
            let to = elsewhere(&store, "ada");
            store.partitions().move_user(&user(&store, "ada"), &to, |_| {}).unwrap();
            ada.insert(&task(format!("in {to}"))).unwrap();
        }
        assert_eq!(ada.count::<Task>().unwrap(), 33);
        assert_clean(&store);
    }
}

#[test]
fn an_organization_moves_with_its_members() {
    let store = builder().partitions(3).temporary().unwrap();
    let acme = organization(&store, "acme", &["ada", "grace", "linus"]);
    for id in ["ada", "grace", "linus"] {
        let session = session(&store, id).in_organization(&acme).unwrap();
        let ticket = session
            .insert(&Ticket { title: id.to_owned(), assignee: Some(UserId::new("ada").unwrap()) })
            .unwrap();
        session.insert(&Note { text: id.to_owned(), ticket: Some(ticket) }).unwrap();
    }
    store.organizations().remove_member(&acme, &user(&store, "linus")).unwrap();
    let home = store.partitions().of_organization(&acme).unwrap().unwrap().name;
    let to = (0..)
        .map(|number| place(&store, user(&store, &number.to_string()).id.as_str()))
        .find(|name| *name != home)
        .unwrap();
    store.partitions().move_organization(&acme, &to, |_| {}).unwrap();
    assert_eq!(store.partitions().of_organization(&acme).unwrap().unwrap().name, to);
    let grace = session(&store, "grace").in_organization(&acme).unwrap();
    assert_eq!((grace.count::<Ticket>().unwrap(), grace.count::<Note>().unwrap()), (3, 1));
    assert!(grace.list::<Note>().unwrap()[0].ticket.is_some());
    assert!(session(&store, "linus").in_organization(&acme).is_err());
    store.organizations().add_member(&acme, &user(&store, "linus"), Role::Admin).unwrap();
    let linus = session(&store, "linus").in_organization(&acme).unwrap();
    assert_eq!(linus.list::<Note>().unwrap()[0].text, "linus");
    assert!(
        linus.audit().verify().unwrap().is_intact() && linus.private_audit().verify().unwrap().is_intact()
    );
    assert_clean(&store);
}

#[test]
fn who_moves_reads_and_writes_all_the_time() {
    let store = builder().partitions(4).temporary().unwrap();
    furnish(&store, "ada", 600);
    let (done, store) = (AtomicBool::new(false), &store);
    let written = thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let session = session(store, "ada");
            let mut written = 600;
            while !done.load(Ordering::Relaxed) {
                if written % 5 == 0 {
                    session.transaction(|tx| tx.insert(&task(format!("new {written}")))).unwrap();
                } else {
                    let id = session.insert(&task(format!("new {written}"))).unwrap();
                    session.patch(id, Task::TITLE.set(format!("newer {written}"))).unwrap();
                }
                written += 1;
                assert_eq!(session.count::<Task>().unwrap(), written);
            }
            written
        });
        let reader = scope.spawn(|| {
            let session = session(store, "ada");
            let mut least = 0;
            while !done.load(Ordering::Relaxed) {
                let (count, rows) = session
                    .read(|view| Ok((view.count::<Task>()?, view.list::<Task>()?.len() as u64)))
                    .unwrap();
                assert_eq!(count, rows, "half of a tenant");
                assert!(count >= least.max(600), "rows went");
                least = count;
                let streamed =
                    session.query::<Task>().iter().unwrap().map(Result::unwrap).fold(0, |sum, _| sum + 1);
                assert!(streamed >= least);
            }
        });
        for _ in 0..6 {
            let to = elsewhere(store, "ada");
            store.partitions().move_user(&user(store, "ada"), &to, |_| {}).unwrap();
        }
        done.store(true, Ordering::Relaxed);
        reader.join().unwrap();
        writer.join().unwrap()
    });
    let ada = session(store, "ada");
    assert_eq!(ada.count::<Task>().unwrap(), written);
    assert_eq!(ada.list::<Task>().unwrap().len() as u64, written);
    assert_clean(store);
}

#[test]
fn an_iterator_from_before_a_move_reads_on_and_what_it_reads_goes_later() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app");
    let store = builder().partitions(2).wait_timeout(Duration::from_millis(200)).open(&path).unwrap();
    furnish(&store, "ada", 100);
    let ada = session(&store, "ada");
    let (home, to) = (place(&store, "ada"), elsewhere(&store, "ada"));
    let mut records = ada.query::<Task>().iter().unwrap();
    records.next().unwrap().unwrap();
    store.partitions().move_user(&user(&store, "ada"), &to, |_| {}).unwrap();
    ada.insert(&task("after")).unwrap();
    assert_clean(&store);
    // Back is only possible once nobody reads there.
    assert!(matches!(
        store.partitions().move_user(&user(&store, "ada"), &home, |_| {}),
        Err(Error::Busy { .. })
    ));
    assert_eq!(records.by_ref().map(Result::unwrap).fold(0, |sum, _| sum + 1), 99);
    drop(records);
    store.partitions().move_user(&user(&store, "ada"), &home, |_| {}).unwrap();
    assert_eq!(ada.count::<Task>().unwrap(), 101);
    assert_clean(&store);
}

#[test]
fn a_store_is_spread_otherwise_while_it_is_used() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app");
    let store = builder().partitions(2).open(&path).unwrap();
    let acme = organization(&store, "acme", &["0", "1"]);
    session(&store, "0")
        .in_organization(&acme)
        .unwrap()
        .insert(&Ticket { title: "shared".into(), assignee: None })
        .unwrap();
    for number in 0..20 {
        session(&store, &number.to_string()).insert(&task(number)).unwrap();
    }
    let all =
        [Partitioning::Fixed(5), Partitioning::PerTenant, Partitioning::Fixed(1), Partitioning::Fixed(3)];
    for partitioning in all {
        let mut last = None;
        store.partitions().repartition(partitioning, |progress| last = Some(progress)).unwrap();
        assert_eq!(last.map(|last| (last.done, last.total)), Some((21, 21)));
        assert_eq!(store.partitions().partitioning().unwrap(), partitioning);
        let used = store.partitions().list().unwrap();
        match partitioning {
            Partitioning::Fixed(files) => assert!(used.len() <= files as usize),
            _ => assert_eq!(used.len(), 21),
        }
        assert_eq!(partition_files(&path).len(), used.len(), "files that nobody lives in are gone");
        for number in 0..20 {
            assert_eq!(titles(&session(&store, &number.to_string())), [number.to_string()]);
        }
        assert_eq!(session(&store, "1").in_organization(&acme).unwrap().count::<Ticket>().unwrap(), 1);
        assert_clean(&store);
    }
    // Who lives elsewhere than the hash says goes there.
    let to = elsewhere(&store, "0");
    store.partitions().move_user(&user(&store, "0"), &to, |_| {}).unwrap();
    store.partitions().repartition(Partitioning::Fixed(3), |_| {}).unwrap();
    assert_ne!(place(&store, "0"), to);
    assert!(matches!(
        store.partitions().repartition(Partitioning::Single, |_| {}),
        Err(Error::InvalidInput { .. })
    ));
    drop(store);
    assert_clean(&builder().open(&path).unwrap());
}

#[test]
fn another_process_reads_beside_the_writer() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app");
    let store = builder().partitions(2).open(&path).unwrap();
    session(&store, "ada").insert(&task("dig")).unwrap();
    let reading = builder().read_only().open(&path).unwrap();
    let ada = reading.session(&user(&store, "ada")).unwrap();
    assert_eq!(titles(&ada), ["dig"]);
    session(&store, "ada").insert(&task("plant")).unwrap();
    assert_eq!(titles(&ada), ["dig", "plant"]);
    assert!(matches!(ada.insert(&task("x")), Err(Error::ReadOnly { .. })));
    assert!(matches!(
        reading.partitions().repartition(Partitioning::PerTenant, |_| {}),
        Err(Error::ReadOnly { .. })
    ));
    store.partitions().repartition(Partitioning::Fixed(3), |_| {}).unwrap();
    assert_eq!(reading.partitions().partitioning().unwrap(), Partitioning::Fixed(3));
    assert_eq!(titles(&ada), ["dig", "plant"]);
    store.users().disable(&user(&store, "ada")).unwrap();
    assert!(matches!(ada.count::<Task>(), Err(Error::Disabled { .. })));
    assert!(matches!(builder().open(&path), Err(Error::Locked { .. })));
}
