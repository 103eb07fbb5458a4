//! Each way in which a bundle is refused, by its typed error, with nothing changed; and who is on record.

use std::io::Read;

use tenantry::{
    BundleProblem, ColumnDefinition, ColumnKind, Error, Fields, Finding, ImportOptions, Quota, Role, Store,
    StoreRole, UserId,
};

use super::pack::{Pack, edit, edit_logs, open, seal};
use super::world::{acme, builder, definitions, furnish, user};
use super::{
    COUNTED, all_along, assert_others_untouched, bundle_of_acme, bundle_of_user, dump, look_as_user,
};

fn furnished(seed: u64) -> Store {
    let store = builder(0).temporary().unwrap();
    furnish(&store, seed, 200);
    store
}

/// What a store answers that then holds what it held before.
fn refused(store: &Store, bundle: &[u8], options: &ImportOptions) -> Error {
    let before = dump(store, &[]);
    let error = store.users().import(&mut &bundle[..], options).unwrap_err();
    assert_eq!(dump(store, &[]), before, "{error}");
    println!("{error}");
    error
}

fn problem(store: &Store, bundle: &[u8], options: &ImportOptions) -> BundleProblem {
    match refused(store, bundle, options) {
        Error::Bundle { problem } => problem,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_id_that_is_taken_and_another_one() {
    let store = furnished(31);
    let ada = bundle_of_user(&store, "ada");
    assert!(matches!(refused(&store, &ada, &all_along()), Error::Exists { id } if id == "ada"));
    let before = dump(&store, &COUNTED);
    let imported = store.users().import(&mut &ada[..], &all_along().under("ada-2")).unwrap();
    assert_eq!(imported.id, "ada-2");
    assert_others_untouched(&before, &dump(&store, &COUNTED));
    assert_eq!(look_as_user(&store, "ada-2").before_import(), look_as_user(&store, "ada"));
    let report = store.check().unwrap();
    assert!(report.is_clean(), "{report}");
    // Each goes its own way.
    let session = store.session(&user("ada-2")).unwrap();
    session.dynamic("left one").unwrap().insert(Fields::new()).unwrap();
    let last = session.audit().newest_first().list().unwrap().remove(0);
    assert_eq!(last.actor, Some(user("ada-2")));
    let import = session.audit().action("tenant.import").list().unwrap().remove(0);
    let renamed = import.changes.unwrap().into_iter().find(|change| change.column == "id").unwrap();
    assert_eq!((renamed.before, renamed.after), ("ada".into(), "ada-2".into()));
    assert_ne!(look_as_user(&store, "ada").log.len(), session.audit().list().unwrap().len());
    assert!(store.users().import(&mut &ada[..], &all_along().under("")).is_err());
}

#[test]
fn a_bundle_of_another_kind_of_tenant() {
    let here = furnished(32);
    let there = builder(0).temporary().unwrap();
    let acme = bundle_of_acme(&here);
    assert!(matches!(
        problem(&there, &acme, &all_along()),
        BundleProblem::Kind { found, wanted: "user" } if found == "organization"
    ));
    assert_eq!(
        problem(&there, b"PK\x03\x04 and so on, for long enough", &all_along()),
        BundleProblem::NotABundle
    );
    let mut newer = acme.clone();
    newer[16] = 2;
    assert_eq!(problem(&there, &newer, &all_along()), BundleProblem::Version { found: 2 });
}

#[test]
fn definitions_that_do_not_fit() {
    let here = furnished(33);
    let ada = bundle_of_user(&here, "ada");
    let mut others = definitions();
    others[3] = others[3].clone().column(ColumnDefinition::new("more", ColumnKind::Text).optional());
    let there =
        others.into_iter().fold(super::engine::builder(), tenantry::Builder::definition).temporary().unwrap();
    assert!(matches!(
        problem(&there, &ada, &all_along()),
        BundleProblem::Definition { entity, difference } if entity == "task" && difference.contains("\"more\" is new here")
    ));
    let there = super::engine::builder().temporary().unwrap();
    assert!(matches!(problem(&there, &ada, &all_along()), BundleProblem::Definition { .. }));
}

#[test]
fn what_is_not_there_can_come_along() {
    let here = furnished(34);
    let there = builder(5).temporary().unwrap();
    let ada = bundle_of_user(&here, "ada");
    let BundleProblem::MissingReferences { missing } = problem(&there, &ada, &ImportOptions::new()) else {
        panic!()
    };
    assert!(!missing.is_empty() && missing.iter().all(|(entity, _)| entity == "country"), "{missing:?}");
    let imported =
        there.users().import(&mut &ada[..], &ImportOptions::new().with_reference_records()).unwrap();
    // With those that they refer to in turn: the planet at least.
    assert!(imported.reference_records > missing.len() as u64);
    let log = there.reference().audit().list().unwrap();
    assert_eq!(log.len() as u64, imported.reference_records);
    assert!(log.iter().all(|entry| entry.action == "insert" && entry.actor.is_none()));

    let bundle = bundle_of_acme(&here);
    let before = dump(&there, &[]);
    let outcome = there.organizations().import(&mut &bundle[..], &all_along_but_users());
    let Err(Error::Bundle { problem: BundleProblem::MissingUsers { users } }) = outcome else { panic!() };
    assert_eq!(users, [user("grace"), user("linus")]);
    assert_eq!(dump(&there, &[]), before);
    there.organizations().import(&mut &bundle[..], &all_along()).unwrap();
    let log = there.session(&user("grace")).unwrap().audit().list().unwrap();
    assert_eq!(log.iter().map(|entry| entry.action.as_str()).collect::<Vec<_>>(), ["user.create"]);

    // Another record has the unique value of one that would come along.
    let there = builder(5).temporary().unwrap();
    for code in ["NO", "SE", "DK", "FI"] {
        there.reference().dynamic("country").unwrap().insert(Fields::new().with("code", code)).unwrap();
    }
    let refused = refused(&there, &ada, &all_along());
    assert!(matches!(refused, Error::Unique { entity, .. } if entity == "country"));
}

fn all_along_but_users() -> ImportOptions {
    ImportOptions::new().with_reference_records().with_quotas()
}

#[test]
fn quotas_are_the_stores_unless_they_come_along() {
    let here = builder(0).temporary().unwrap();
    here.users().create(&user("ada")).unwrap();
    let session = here.session(&user("ada")).unwrap();
    let lefts = session.dynamic("left one").unwrap();
    for _ in 0..5 {
        lefts.insert(Fields::new()).unwrap();
    }
    // What is there stays above it.
    let own = Quota::none().rows(3);
    here.users().set_quota(&user("ada"), "left one", Some(own)).unwrap();
    let ada = bundle_of_user(&here, "ada");

    let narrow = builder(0).quota("left one", Quota::none().rows(4)).temporary().unwrap();
    let refused = refused(&narrow, &ada, &ImportOptions::new());
    assert!(matches!(refused, Error::QuotaExceeded { max: 4, total: 5, .. }), "{refused:?}");
    for (options, wanted, is_own) in
        [(ImportOptions::new().with_quotas(), own, true), (ImportOptions::new(), Quota::none(), false)]
    {
        let there = builder(0).temporary().unwrap();
        there.users().import(&mut &ada[..], &options).unwrap();
        let usage = there.users().usage(&user("ada"), "left one").unwrap();
        assert_eq!((usage.rows, usage.quota, usage.own), (5, wanted, is_own));
        let report = there.check().unwrap();
        assert!(report.is_clean(), "{report}");
        // Also later, and when it has left again.
        there.users().set_quota(&user("ada"), "left one", Some(Quota::none().rows(9))).unwrap();
        assert!(there.check().unwrap().is_clean());
        let again = bundle_of_user(&there, "ada");
        let next = builder(0).temporary().unwrap();
        next.users().import(&mut &again[..], &options).unwrap();
        assert!(next.check().unwrap().is_clean());
    }
}

/// The first frame of rows that an edit is for.
fn edit_rows(bundle: &[u8], mut change: impl FnMut(&str, &mut Vec<Pack>)) -> Vec<u8> {
    edit(bundle, |frame| {
        if frame[0].text() == "rows" {
            let entity = frame[1].text().to_owned();
            change(&entity, frame[2].items());
        }
    })
}

#[test]
fn values_that_an_insert_would_refuse() {
    let here = builder(0).temporary().unwrap();
    here.users().create(&user("ada")).unwrap();
    let session = here.session(&user("ada")).unwrap();
    let tasks = session.dynamic("task").unwrap();
    let whole = |text: &str| {
        let nested = tenantry::Nested::new(&[1, 2, 3]).unwrap();
        Fields::new()
            .with("flag", true)
            .with("text", text)
            .with("real", 1.5)
            .with("choice", "red")
            .with("nested", nested)
    };
    let parent = tasks.insert(whole("one")).unwrap();
    tasks.insert(whole("two").with("parent", parent)).unwrap();
    let ada = bundle_of_user(&here, "ada");
    let there = builder(0).temporary().unwrap();
    // Columns follow number, id, version, time and author.
    let column = |name: &str| {
        let position = definitions()[3].columns().iter().position(|column| column.name() == name);
        5 + position.unwrap()
    };
    let with = |name: &str, value: Pack| {
        let at = column(name);
        edit_rows(&ada, |_, rows| rows[1].items()[at] = value.clone())
    };
    let answer = |bundle: &[u8]| refused(&there, bundle, &ImportOptions::new());
    let invalid = |bundle: &[u8], wanted: &str| match answer(bundle) {
        Error::InvalidInput { field, .. } => assert_eq!(field, wanted),
        other => panic!("{other:?}"),
    };
    invalid(&with("real", Pack::Real(f64::NAN.to_bits())), "real");
    invalid(&with("text", Pack::Text("a\0b".into())), "text");
    invalid(&with("text", Pack::Nil), "text");
    invalid(&with("text", Pack::Integer(1)), "text");
    invalid(&with("choice", Pack::Text("blue".into())), "choice");
    invalid(&with("flag", Pack::Integer(1)), "flag");
    let malformed = |bundle: &[u8]| match answer(bundle) {
        Error::Bundle { problem: BundleProblem::Malformed { what, .. } } => what,
        other => panic!("{other:?}"),
    };
    malformed(&with("real", Pack::Real((-0.0f64).to_bits())));
    let deep = [vec![0x91; 100_000], vec![0xc0]].concat();
    malformed(&with("nested", Pack::Extension(3, deep)));
    malformed(&with("nested", Pack::Extension(3, vec![0xdd, 0xff, 0xff, 0xff, 0xff])));
    malformed(&with("nested", Pack::Extension(3, vec![1, 2])));
    malformed(&with("time", Pack::Extension(2, vec![0x7f; 8])));
    let head = |at: usize, value: Pack| edit_rows(&ada, |_, rows| rows[1].items()[at] = value.clone());
    let uuid = |text: &str| Pack::Extension(1, text.parse::<tenantry::Uuid>().unwrap().as_bytes().to_vec());
    assert_eq!(
        malformed(&head(1, uuid("bf5b7e2c-4d0e-4a52-9d1d-0a6d7e3c1f11"))),
        "a record's id is not a UUIDv7"
    );
    malformed(&head(0, Pack::Integer(1)));
    malformed(&head(0, Pack::Integer(1 << 40)));
    malformed(&head(2, Pack::Integer(0)));
    malformed(&head(3, Pack::Integer(i64::MAX.into())));
    malformed(&head(4, Pack::Text("grace".into())));
    let twin = edit_rows(&ada, |_, rows| {
        let id = rows[0].list()[1].clone();
        rows[1].items()[1] = id;
    });
    assert_eq!(malformed(&twin), "two records have one id");
    assert!(
        matches!(answer(&with("text", Pack::Text("one".into()))), Error::Unique { columns, .. } if columns == ["text"])
    );
    let nobody = uuid("01a20dab-e1c5-7fef-94ad-e2bc71d2eb94");
    assert!(
        matches!(answer(&with("parent", nobody.clone())), Error::Reference { column, .. } if column == "parent")
    );
    malformed(&with("country", nobody));
    // It is as valid as what the log says, and something else.
    let other = answer(&with("text", Pack::Text("three".into())));
    let Error::Bundle { problem: BundleProblem::Contradiction { finding: Finding::Row { .. } } } = other
    else {
        panic!("{other:?}")
    };
    let narrow = builder(0).record_bytes_max(40).temporary().unwrap();
    assert!(matches!(refused(&narrow, &ada, &ImportOptions::new()), Error::LimitExceeded { .. }));
}

#[test]
fn logs_whose_chain_does_not_verify() {
    let here = furnished(36);
    let ada = bundle_of_user(&here, "ada");
    let there = builder(0).temporary().unwrap();
    let columns = 19;
    for column in 0..columns {
        let changed = edit(&ada, |frame| {
            if frame[0].text() == "log" {
                let entry = frame[1].items()[3].items();
                entry[column] = match &entry[column] {
                    Pack::Nil => Pack::Integer(1),
                    Pack::Integer(integer) => Pack::Integer(integer + 1),
                    Pack::Text(text) => Pack::Text(format!("{text}x")),
                    Pack::Bytes(bytes) => Pack::Bytes(bytes.iter().map(|byte| byte ^ 1).collect()),
                    other => panic!("{other:?}"),
                };
            }
        });
        let error = refused(&there, &changed, &all_along());
        assert!(matches!(error, Error::Bundle { .. }), "column {column}: {error:?}");
    }
    // The last entries are gone, and the head says nothing of it.
    let shorter = edit(&ada, |frame| {
        if frame[0].text() == "log" {
            frame[1].items().pop();
        }
        if frame[0].text() == "end" {
            let Pack::Integer(entries) = frame[2] else { panic!() };
            frame[2] = Pack::Integer(entries - 1);
        }
    });
    assert!(matches!(
        problem(&there, &shorter, &all_along()),
        BundleProblem::Contradiction { finding: Finding::Chain { .. } }
    ));
}

/// Whoever writes a bundle can make the chain hold. What the store's own reading relies on is looked at by itself.
#[test]
fn logs_whose_chain_verifies_and_says_what_no_store_writes() {
    let here = builder(0).temporary().unwrap();
    here.users().create(&user("ada")).unwrap();
    let session = here.session(&user("ada")).unwrap();
    for _ in 0..3 {
        session.dynamic("left one").unwrap().insert(Fields::new()).unwrap();
    }
    here.users().set_quota(&user("ada"), "left one", Some(Quota::none().rows(7))).unwrap();
    let ada = bundle_of_user(&here, "ada");
    let there = builder(0).temporary().unwrap();
    let with = |number: i128, column: usize, value: Pack| {
        edit_logs(&ada, |entry| {
            if entry[0].integer() == number {
                entry[column] = value.clone();
            }
        })
    };
    assert_eq!(edit_logs(&ada, |_| ()), ada, "the chain of the test is the store's");
    // A bundle can say that the application was somebody else, or that somebody had another reason.
    let other = builder(0).temporary().unwrap();
    other.users().import(&mut &with(2, 13, Pack::Text("why not".into()))[..], &all_along()).unwrap();
    assert!(other.check().unwrap().is_clean());

    let malformed = |bundle: &[u8]| match problem(&there, bundle, &all_along()) {
        BundleProblem::Malformed { what, .. } => what,
        other => panic!("{other:?}"),
    };
    // The transaction, the clock and the time: what grows in a log, grows.
    for (column, value) in [(1, 0), (1, 4), (5, 5), (5, i64::MAX), (6, i64::MAX)] {
        malformed(&with(3, column, Pack::Integer(value.into())));
    }
    malformed(&with(3, 0, Pack::Integer(2)));
    malformed(&with(3, 4, Pack::Text("no device".into())));
    malformed(&with(3, 2, Pack::Bytes(vec![1; 16])));
    let unreadable =
        |bundle: &[u8]| assert_eq!(problem(&there, bundle, &all_along()), BundleProblem::Unreadable);
    unreadable(&with(3, 4, Pack::Bytes(vec![1; 15])));
    unreadable(&with(3, 18, Pack::Bytes(vec![0x81, 0xa1])));
    unreadable(&with(3, 12, Pack::Integer(-1)));
    // What is there is not what happened.
    let contradicts = |bundle: &[u8]| match problem(&there, bundle, &all_along()) {
        BundleProblem::Contradiction { finding } => println!("{finding}"),
        other => panic!("{other:?}"),
    };
    contradicts(&with(3, 7, Pack::Text("update".into())));
    contradicts(&with(3, 7, Pack::Text("delete".into())));
    contradicts(&with(3, 9, Pack::Bytes(vec![7; 16])));
    contradicts(&with(5, 7, Pack::Text("quota.forgotten".into())));
}

#[test]
fn marks_that_are_somebody_elses_here() {
    let store = furnished(37);
    let ada = bundle_of_user(&store, "ada");
    let other = edit(&ada, |frame| {
        if frame[0].text() == "actors" {
            frame[1].items()[0].items()[1] = Pack::Text("grace".into());
        }
    });
    let answer = problem(&store, &other, &all_along().under("eve"));
    assert_eq!(answer, BundleProblem::Actor { named: "grace".into() });
}

#[test]
fn what_is_larger_than_allowed() {
    let here = furnished(38);
    let ada = bundle_of_user(&here, "ada");
    let there = builder(0).temporary().unwrap();
    let options = all_along().bytes_max(ada.len() as u64 - 1);
    assert!(matches!(
        problem(&there, &ada, &options),
        BundleProblem::TooLarge { limit: "bytes of the bundle", .. }
    ));
    let options = all_along().frame_bytes_max(100);
    assert!(matches!(
        problem(&there, &ada, &options),
        BundleProblem::TooLarge { limit: "bytes of a frame", max: 100 }
    ));
    // What a header claims is not believed.
    let claims = edit(&ada, |frame| {
        if frame[0].text() == "bundle" {
            frame[6] = Pack::Integer(u32::MAX.into());
        }
    });
    assert!(matches!(
        problem(&there, &claims, &all_along()),
        BundleProblem::TooLarge { limit: "members", max: 10_000 }
    ));
    let options = all_along().members_max(u32::MAX);
    assert!(matches!(problem(&there, &claims, &options), BundleProblem::Malformed { .. }));
    there.users().import(&mut &ada[..], &all_along().bytes_max(ada.len() as u64)).unwrap();
}

/// Gives some bytes, and then fails.
struct Failing<'b>(&'b [u8]);

impl Read for Failing<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self.0.read(buffer)? {
            0 => Err(std::io::Error::other("the network is gone")),
            // A few at a time.
            read => Ok(read),
        }
    }
}

#[test]
fn stores_and_readers_that_can_not() {
    let here = furnished(39);
    let ada = bundle_of_user(&here, "ada");
    let there = builder(0).temporary().unwrap();
    let before = dump(&there, &[]);
    let outcome = there.users().import(&mut Failing(&ada[..ada.len() / 2]), &all_along());
    assert!(matches!(outcome, Err(Error::Io { .. })), "{outcome:?}");
    assert_eq!(dump(&there, &[]), before);

    let busy = here
        .session(&user("ada"))
        .unwrap()
        .transaction(|_| here.users().import(&mut &ada[..], &all_along().under("within")));
    assert!(matches!(busy, Err(Error::Busy { .. })), "{busy:?}");
    let path = there.path().to_owned();
    let reading = builder(0).read_only().open(&path).unwrap();
    let outcome = reading.users().import(&mut &ada[..], &all_along());
    assert!(matches!(outcome, Err(Error::ReadOnly { .. })), "{outcome:?}");
    // Whoever only reads can still let go.
    let reading = builder(0).read_only().open(here.path()).unwrap();
    assert_eq!(bundle_of_user(&reading, "ada"), ada);
}

#[test]
fn an_administrator_is_on_record_for_both() {
    let here = furnished(40);
    let root = here.users().create(&UserId::new("root").unwrap()).unwrap();
    here.users().set_role(&root, StoreRole::Admin).unwrap();
    let admin = here.admin(&root, "moving day").unwrap();
    let mut ada = Vec::new();
    admin.users().export(&user("ada"), &mut ada).unwrap();
    let last = |store: &Store, id: &str| {
        store.session(&user(id)).unwrap().audit().newest_first().list().unwrap().remove(0)
    };
    let entry = last(&here, "ada");
    assert_eq!((entry.action.as_str(), entry.admin.as_ref()), ("access", Some(&root.id)));
    assert_eq!(entry.reason.as_deref(), Some("moving day"));
    let mut bundle = Vec::new();
    admin.organizations().export(&acme(), &mut bundle).unwrap();
    let inside = here.session(&user("grace")).unwrap().in_organization(&acme()).unwrap();
    for log in [inside.audit(), inside.private_audit()] {
        assert_eq!(log.newest_first().list().unwrap()[0].action, "access");
    }

    for partitions in [0, 2] {
        let there = if partitions > 0 { builder(0).partitions(partitions) } else { builder(0) };
        let there = there.temporary().unwrap();
        there.users().create(&root).unwrap();
        there.users().set_role(&root, StoreRole::Admin).unwrap();
        let admin = there.admin(&root, "settling in").unwrap();
        // A bundle whose log names an administrator of the other store, whose id is here another's.
        admin.users().import(&mut &ada[..], &all_along()).unwrap();
        admin.organizations().import(&mut &bundle[..], &all_along()).unwrap();
        let entry = last(&there, "ada");
        assert_eq!((entry.action.as_str(), entry.admin.as_ref()), ("tenant.import", Some(&root.id)));
        assert_eq!(entry.reason.as_deref(), Some("settling in"));
        assert_eq!(last(&there, "grace").admin, Some(root.id.clone()), "who was created for it");
        let report = there.check().unwrap();
        assert!(report.is_clean(), "{report}");
    }
}

#[test]
fn others_write_while_somebody_arrives_in_several_files() {
    let here = furnished(41);
    let ada = bundle_of_user(&here, "ada");
    let acme_bundle = bundle_of_acme(&here);
    let there = builder(0).partitions(1).temporary().unwrap();
    there.users().create(&user("busy")).unwrap();
    there.organizations().create(&tenantry::OrganizationId::new("other").unwrap()).unwrap();
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        // Also if something fails.
        struct Done<'d>(&'d std::sync::atomic::AtomicBool);
        impl Drop for Done<'_> {
            fn drop(&mut self) {
                self.0.store(true, std::sync::atomic::Ordering::Relaxed);
            }
        }
        let is_done = Done(&done);
        let others = scope.spawn(|| {
            let session = there.session(&user("busy")).unwrap();
            let mut written = 0;
            while !done.load(std::sync::atomic::Ordering::Relaxed) || written < 20 {
                session.dynamic("left one").unwrap().insert(Fields::new()).unwrap();
                let planet = Fields::new().with("name", format!("planet {written}"));
                there.reference().dynamic("planet").unwrap().insert(planet).unwrap();
                written += 1;
                if written % 5 == 0 {
                    let report = there.check().unwrap();
                    assert!(report.is_clean(), "{report}");
                }
            }
            written
        });
        let arrivals = [
            scope.spawn(|| there.users().import(&mut &ada[..], &all_along()).map(drop)),
            scope.spawn(|| there.users().import(&mut &ada[..], &all_along().under("twin")).map(drop)),
            scope.spawn(|| there.organizations().import(&mut &acme_bundle[..], &all_along()).map(drop)),
        ];
        for arrival in arrivals {
            // Two that bring the same user or the same reference records can meet.
            let outcome = arrival.join().unwrap();
            assert!(
                matches!(outcome, Ok(()) | Err(Error::Exists { .. } | Error::Unique { .. })),
                "{outcome:?}"
            );
        }
        drop(is_done);
        assert!(others.join().unwrap() >= 20);
    });
    let report = there.check().unwrap();
    assert!(report.is_clean(), "{report}");
    let session = there.session(&user("busy")).unwrap();
    assert!(session.audit().verify().unwrap().is_intact());
    drop(there.organizations().add_member(
        &tenantry::OrganizationId::new("other").unwrap(),
        &user("busy"),
        Role::Member,
    ));
}

/// What a log from another store calls somebody goes with who has that id here.
#[test]
fn whoever_arrived_can_be_erased() {
    const CANARY: &str = "canary-q7-somebody";
    let here = builder(0).temporary().unwrap();
    here.users().create(&user(CANARY)).unwrap();
    here.users().create(&user("grace")).unwrap();
    let session = here.session(&user(CANARY)).unwrap();
    session.dynamic("left one").unwrap().insert(Fields::new()).unwrap();
    here.organizations().create(&acme()).unwrap();
    for id in [CANARY, "grace"] {
        here.organizations().add_member(&acme(), &user(id), Role::Member).unwrap();
    }
    let tickets = session.in_organization(&acme()).unwrap();
    let ticket = Fields::new().with("flag", true).with("text", "ours");
    tickets.dynamic("ticket").unwrap().insert(ticket).unwrap();
    let (bundle, acme_bundle) = (bundle_of_user(&here, CANARY), bundle_of_acme(&here));
    for partitions in [0, 3] {
        let empty = || if partitions > 0 { builder(0).partitions(partitions) } else { builder(0) };
        let there = empty().temporary().unwrap();
        there.users().import(&mut &bundle[..], &all_along()).unwrap();
        assert!(there.users().erase(&user(CANARY)).unwrap().scrubbed);
        for file in super::files(&there) {
            let bytes = std::fs::read(&file).unwrap();
            let found = bytes.windows(CANARY.len()).any(|window| window == CANARY.as_bytes());
            assert!(!found, "{}", file.display());
        }
        // An organization that names the user in its log, and nobody who is a member.
        let there = empty().temporary().unwrap();
        there.users().import(&mut &bundle[..], &all_along()).unwrap();
        there.organizations().import(&mut &acme_bundle[..], &all_along()).unwrap();
        there.users().erase(&user(CANARY)).unwrap();
        for file in super::files(&there) {
            let connection = rusqlite::Connection::open(&file).unwrap();
            let sql = "SELECT count(*) FROM _actor WHERE id = ?1";
            let named: u32 = connection.query_row(sql, [CANARY], |row| row.get(0)).unwrap();
            assert_eq!(named, 0, "{}", file.display());
        }
        let report = there.check().unwrap();
        assert!(report.is_clean(), "{report}");
        // And it leaves again, with what is left.
        let again = bundle_of_acme(&there);
        let next = empty().temporary().unwrap();
        next.organizations().import(&mut &again[..], &all_along()).unwrap();
        assert!(next.check().unwrap().is_clean());
    }
}

/// What one bundle says, no other bytes say, though their checksums hold.
#[test]
fn the_same_in_another_form() {
    let here = builder(0).temporary().unwrap();
    here.users().create(&user("ada")).unwrap();
    let session = here.session(&user("ada")).unwrap();
    for _ in 0..3 {
        session.dynamic("left one").unwrap().insert(Fields::new()).unwrap();
    }
    let ada = bundle_of_user(&here, "ada");
    let there = builder(0).temporary().unwrap();
    assert_eq!(problem(&there, &[&ada[..], &[0xc0]].concat(), &all_along()), BundleProblem::Trailing);
    let malformed = |bundle: &[u8]| match problem(&there, bundle, &all_along()) {
        BundleProblem::Malformed { what, .. } => what,
        other => panic!("{other:?}"),
    };
    // The rows in two frames, of which the first is not full.
    let bodies: Vec<Vec<u8>> = open(&ada);
    let is_rows = |body: &&Vec<u8>| Pack::read(&mut &body[..]).unwrap().list()[0].text() == "rows";
    let at = bodies.iter().position(|body| is_rows(&body)).unwrap();
    let written = |frame: &Pack| {
        let mut body = Vec::new();
        frame.write(&mut body);
        body
    };
    let Pack::List(frame) = Pack::read(&mut &bodies[at][..]).unwrap() else { panic!() };
    let part = |rows: &[Pack]| {
        written(&Pack::List(vec![frame[0].clone(), frame[1].clone(), Pack::List(rows.to_vec())]))
    };
    let rows = frame[2].list();
    let mut split = bodies.clone();
    split.splice(at..=at, [part(&rows[..1]), part(&rows[1..])]);
    let split = edit(&seal(&split), |frame| {
        if frame[0].text() == "end" {
            let Pack::Integer(frames) = frame[4] else { panic!() };
            frame[4] = Pack::Integer(frames + 1);
        }
    });
    assert_eq!(malformed(&split), "its items are not as many as a frame holds");
    // A number in two bytes that has room in one: the row's own, which follows the array's marker.
    let row = written(&rows[0]);
    let mut longer = bodies.clone();
    let start = longer[at].windows(row.len()).position(|window| window == row).unwrap();
    assert_eq!(longer[at][start + 1], 1);
    longer[at].splice(start + 1..start + 2, [0xcc, 1]);
    assert_eq!(malformed(&seal(&longer)), "an item is not written as a store writes it");
}
