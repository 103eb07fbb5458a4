//! What the test suites of other tenancy layers check, on the typed and dynamic verbs: ids that
//! look alike, equal ids in different kinds, aborted transactions, cascades, and secrets.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod engine;

use std::collections::HashSet;

use tenantry::{Entity, Error, Fields, Id, OrganizationId, Role, Store, TenantSession, UserId, column};

#[derive(Debug, Clone, PartialEq, Entity)]
struct Folder {
    name: String,
    #[entity(on_delete = cascade)]
    parent: Option<Id<Folder>>,
}

#[derive(Debug, Clone, PartialEq, Entity)]
struct File {
    name: String,
    #[entity(on_delete = cascade)]
    folder: Option<Id<Folder>>,
    #[entity(on_delete = set_null)]
    origin: Option<Id<Folder>>,
    keeps: Option<Id<Folder>>,
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
}

#[derive(Debug, Clone, PartialEq, Entity)]
#[entity(unique(pin), unique(label))]
struct Vault {
    label: String,
    #[entity(secret)]
    pin: String,
    #[entity(secret)]
    code: u64,
}

fn builder() -> tenantry::Builder {
    engine::builder()
        .entity::<Folder>()
        .entity::<File>()
        .entity::<Ticket>()
        .entity::<Note>()
        .entity::<Vault>()
}

fn user(store: &Store, id: &str) -> TenantSession {
    store.session(&store.users().get_or_create(&UserId::new(id).unwrap()).unwrap()).unwrap()
}

fn two() -> (Store, TenantSession, TenantSession) {
    let store = builder().temporary().unwrap();
    let (ada, grace) = (user(&store, "ada"), user(&store, "grace"));
    (store, ada, grace)
}

fn folder(name: &str) -> Folder {
    Folder { name: name.to_owned(), parent: None }
}

fn file(name: &str) -> File {
    File { name: name.to_owned(), folder: None, origin: None, keeps: None }
}

fn assert_clean(store: &Store) {
    let report = store.check().unwrap();
    assert!(report.is_clean(), "{report}");
}

#[test]
fn stores_and_sessions_cross_threads() {
    fn crosses<T: Send + Sync + Clone + 'static>(_: &T) {}
    let (store, ada, _) = two();
    crosses(&store);
    crosses(&ada);
    crosses(&store.reference());
}

/// Ids are compared byte for byte: no case folding, normal form, trimming or number.
#[test]
fn ids_that_look_alike_are_different_tenants() {
    let store = builder().temporary().unwrap();
    let alike = ["a", "A", "a ", " a", "á", "a\u{301}", "а", "1", "01", "1.0", "a\u{200b}", "ａ"];
    for id in alike {
        let session = user(&store, id);
        assert!(session.list::<Folder>().unwrap().is_empty(), "{id:?}");
        session.insert(&folder(id)).unwrap();
        store.organizations().create(&OrganizationId::new(id).unwrap()).unwrap();
    }
    for id in alike {
        assert_eq!(user(&store, id).query::<Folder>().one().unwrap().name, id);
        let absent = user(&store, id).in_organization(&OrganizationId::new(id).unwrap());
        assert!(matches!(absent, Err(Error::NotMember { .. })));
    }
    assert_eq!(store.users().list(None, 100).unwrap().len(), alike.len());
    assert_clean(&store);
}

#[test]
fn equal_ids_of_different_kinds_are_different_tenants() {
    let store = builder().temporary().unwrap();
    let acme = user(&store, "acme");
    let organization = OrganizationId::new("acme").unwrap();
    store.organizations().create(&organization).unwrap();
    assert!(acme.in_organization(&organization).is_err(), "having its name is no membership");
    store.organizations().add_member(&organization, acme.user(), Role::Member).unwrap();
    let inside = acme.in_organization(&organization).unwrap();
    acme.insert(&folder("the user's")).unwrap();
    let ticket = inside.insert(&Ticket { title: "the organization's".into(), assignee: None }).unwrap();
    inside.insert(&Note { text: "the member's".into() }).unwrap();
    let actions = |entries: Vec<tenantry::AuditEntry>| {
        entries.into_iter().map(|entry| entry.entity.unwrap_or(entry.action)).collect::<Vec<_>>()
    };
    assert_eq!(actions(acme.audit().list().unwrap()), ["user.create", "session", "folder"]);
    assert_eq!(actions(inside.audit().list().unwrap()), ["organization.create", "member.add", "ticket"]);
    assert_eq!(actions(inside.private_audit().list().unwrap()), ["note"]);
    assert!(matches!(acme.dynamic("ticket"), Err(Error::AccessDenied { .. })));
    assert!(matches!(inside.dynamic("folder"), Err(Error::AccessDenied { .. })));
    store.users().disable(&acme.user().clone()).unwrap();
    assert!(matches!(inside.get(ticket), Err(Error::Disabled { .. })));
    assert!(!store.organizations().get(&organization).unwrap().disabled, "the user alone was disabled");
    assert_clean(&store);
}

/// One person's private records in one organization are not theirs in another.
#[test]
fn members_records_stay_in_their_organization() {
    let store = builder().temporary().unwrap();
    let ada = user(&store, "ada");
    let [first, second] = ["first", "second"].map(|id| {
        let organization = store.organizations().create(&OrganizationId::new(id).unwrap()).unwrap();
        store.organizations().add_member(&organization, ada.user(), Role::Admin).unwrap();
        ada.in_organization(&organization).unwrap()
    });
    let note = first.insert(&Note { text: "n".into() }).unwrap();
    let ticket = first.insert(&Ticket { title: "t".into(), assignee: Some(ada.user().clone()) }).unwrap();
    assert!(second.find(note).unwrap().is_none() && second.find(ticket).unwrap().is_none());
    assert!(matches!(second.delete(note), Err(Error::NotFound { .. })));
    assert_eq!(second.query::<Ticket>().mine().count().unwrap(), 0);
    let grace = user(&store, "grace");
    let foreign = Ticket { title: "t".into(), assignee: Some(grace.user().clone()) };
    assert!(matches!(first.insert(&foreign), Err(Error::Reference { .. })), "not a member here");
    assert_clean(&store);
}

/// Cascades, clearing and restriction with the same ids in both tenants: each ends at its own.
#[test]
fn a_deletion_takes_along_nothing_of_another_tenant() {
    let (store, ada, grace) = two();
    let ids: Vec<Id<Folder>> = ada.insert_many(&[folder("root"), folder("inner"), folder("kept")]).unwrap();
    for (session, keeps) in [(&ada, None), (&grace, Some(ids[2]))] {
        session.upsert(ids[2], &folder("kept")).unwrap();
        session.upsert(ids[0], &folder("root")).unwrap();
        session.upsert(ids[1], &Folder { name: "inner".into(), parent: Some(ids[0]) }).unwrap();
        session.insert(&File { folder: Some(ids[1]), ..file("goes along") }).unwrap();
        session.insert(&File { origin: Some(ids[0]), keeps, ..file("stays") }).unwrap();
    }
    ada.delete(ids[0]).unwrap();
    ada.delete(ids[2]).unwrap();
    let names = |session: &TenantSession| {
        session.list::<File>().unwrap().into_iter().map(|file| file.value.name).collect::<Vec<_>>()
    };
    assert_eq!((ada.count::<Folder>().unwrap(), names(&ada)), (0, vec!["stays".to_owned()]));
    assert_eq!(ada.query::<File>().one().unwrap().origin, None);
    assert_eq!((grace.count::<Folder>().unwrap(), names(&grace).len()), (3, 2));
    assert!(grace.list::<File>().unwrap()[1].origin.is_some());
    assert!(
        matches!(grace.delete(ids[2]), Err(Error::Reference { entity, column, .. }) if entity == "file" && column == "keeps")
    );
    assert_clean(&store);
}

#[test]
fn after_an_aborted_transaction_everybody_goes_on() {
    let (store, ada, grace) = two();
    for round in 0..5 {
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            ada.transaction(|tx| -> tenantry::Result<()> {
                tx.insert(&folder("gone"))?;
                panic!("in the closure");
            })
        }));
        assert!(panicked.is_err());
        let missing = Id::from_uuid("0190f3a0-7c1e-7cc3-98c4-dc0c0c07398f".parse().unwrap());
        let refused = ada.transaction(|tx| {
            tx.insert(&folder("gone too"))?;
            tx.insert(&Folder { parent: Some(missing), ..folder("refused") })
        });
        assert!(matches!(refused, Err(Error::Reference { .. })));
        grace.insert(&folder("g")).unwrap();
        assert_eq!((ada.count::<Folder>().unwrap(), grace.count::<Folder>().unwrap()), (0, round + 1));
    }
    assert!(ada.audit().entity("folder").list().unwrap().is_empty());
    assert_clean(&store);
}

#[test]
fn a_bulk_change_that_fails_at_the_last_record_changes_none() {
    let (store, ada, _) = two();
    let vault = |label: &str| Vault { label: label.into(), pin: label.into(), code: 1 };
    ada.insert_many(&[vault("a"), vault("b"), vault("c")]).unwrap();
    let before = ada.audit().verify().unwrap();
    assert!(matches!(ada.query::<Vault>().patch(Vault::LABEL.set("same")), Err(Error::Unique { .. })));
    let kept = ada.insert(&folder("kept")).unwrap();
    ada.insert(&folder("free")).unwrap();
    ada.insert(&File { keeps: Some(kept), ..file("f") }).unwrap();
    assert!(matches!(ada.query::<Folder>().delete(), Err(Error::Reference { .. })));
    assert_eq!(ada.count::<Folder>().unwrap(), 2);
    let labels: HashSet<String> = ada.list::<Vault>().unwrap().into_iter().map(|v| v.value.label).collect();
    assert_eq!(labels, HashSet::from(["a", "b", "c"].map(str::to_owned)));
    assert_eq!(ada.audit().verify().unwrap().entries, before.entries + 3);
    assert_clean(&store);
}

const SECRET: &str = "hunter2-the-secret";

/// Every text that the library makes of a secret column: errors, `Debug`, entries, the file.
#[test]
fn secrets_stay_out_of_errors_debug_output_and_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    let store = builder().open(&path).unwrap();
    let ada = user(&store, "ada");
    let vault = |label: &str| Vault { label: label.into(), pin: SECRET.into(), code: 7_777_777 };
    let id = ada.insert(&vault("one")).unwrap();
    let other = ada.insert(&Vault { pin: "other".into(), ..vault("two") }).unwrap();
    let dynamic = ada.dynamic("vault").unwrap();
    let key = Id::<Fields>::from_uuid(id.uuid());
    let big = u64::MAX - 7_777;
    let nul = format!("{SECRET}\0");
    let errors = [
        ada.insert(&vault("three")).unwrap_err(),
        ada.patch(other, Vault::PIN.set(SECRET)).unwrap_err(),
        ada.patch(other, Vault::PIN.set(nul.clone())).unwrap_err(),
        ada.patch(other, Vault::CODE.set(big)).unwrap_err(),
        ada.insert(&Vault { code: big, ..vault("four") }).unwrap_err(),
        ada.query::<Vault>().filter(Vault::CODE.eq(big)).list().unwrap_err(),
        ada.query::<Vault>().filter(Vault::PIN.eq(nul)).list().unwrap_err(),
        dynamic.patch(key, Fields::new().with("code", SECRET)).unwrap_err(),
        dynamic.query().filter(column("code").eq(SECRET)).list().unwrap_err(),
    ];
    let mut texts: Vec<String> = errors.iter().map(|error| format!("{error} {error:?}")).collect();
    ada.patch(id, Vault::CODE.set(8_888_888_u64)).unwrap();
    texts.push(format!("{:?}", Vault::PIN.set(SECRET)));
    texts.push(format!("{:?}", Vault::PIN.eq(SECRET).or(!Vault::PIN.contains(SECRET))));
    let query = ada.query::<Vault>().filter(Vault::PIN.eq(SECRET)).order_by(Vault::PIN.asc());
    texts.push(format!("{query:?} {:?}", query.iter().unwrap()));
    texts.push(format!("{:?}", ada.query::<Vault>().order_by(Vault::PIN.desc()).page(1).unwrap_err()));
    texts.push(format!("{ada:?} {store:?} {dynamic:?}"));
    ada.delete(id).unwrap();
    texts.push(format!("{:?}", ada.audit().list().unwrap()));
    for text in &texts {
        assert!(!text.contains(SECRET) && !text.contains(&big.to_string()), "{text}");
        assert!(!text.contains("7777777") && !text.contains("8888888"), "{text}");
    }
    let changes = ada.audit().of(id).list().unwrap();
    let redacted =
        |entry: usize| changes[entry].changes.as_ref().unwrap().iter().filter(|c| c.redacted).count();
    assert_eq!((redacted(0), redacted(1), redacted(2)), (2, 1, 2), "that they changed is on record");
    assert_eq!(changes[1].change(Vault::CODE).unwrap(), None);
    store.close().unwrap();
    let raw = engine::look(&path);
    let mut statement =
        raw.prepare("SELECT body FROM _audit UNION ALL SELECT record FROM _audit_miss").unwrap();
    let bodies: Vec<Vec<u8>> =
        statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    assert!(bodies.len() >= 5);
    let number = 7_777_777_u32.to_be_bytes();
    for body in bodies {
        assert!(!body.windows(SECRET.len()).any(|window| window == SECRET.as_bytes()));
        assert!(!body.windows(4).any(|window| window == number));
    }
}

#[test]
fn errors_hold_nothing_of_another_tenant() {
    let (store, ada, grace) = two();
    let private = "a-private-name";
    let theirs = ada.insert(&folder(private)).unwrap();
    ada.insert(&Vault { label: private.into(), pin: private.into(), code: 1 }).unwrap();
    grace.insert(&Vault { label: "g".into(), pin: "g".into(), code: 1 }).unwrap();
    let errors = [
        grace.get(theirs).map(drop).unwrap_err(),
        grace.update(theirs, &folder("x")).map(drop).unwrap_err(),
        grace.delete(theirs.at(1)).unwrap_err(),
        grace.insert(&Folder { parent: Some(theirs), ..folder("x") }).map(drop).unwrap_err(),
        grace.insert(&Vault { label: "g".into(), pin: "p".into(), code: 1 }).map(drop).unwrap_err(),
        grace.query::<Folder>().one().map(drop).unwrap_err(),
        grace.dynamic("_rows_folder").map(drop).unwrap_err(),
        store.session(&UserId::new("nobody").unwrap()).map(drop).unwrap_err(),
    ];
    for error in errors {
        let mut text = format!("{error} {error:?}");
        let mut source = std::error::Error::source(&error);
        while let Some(cause) = source {
            text.push_str(&format!("{cause} {cause:?}"));
            source = cause.source();
        }
        for hidden in [private, "ada", &theirs.to_string(), "_tenant", "_rid", "SELECT"] {
            assert!(!text.contains(hidden), "{hidden}: {text}");
        }
    }
}
