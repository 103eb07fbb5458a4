//! The process ends at every moment between two commits of a change in turn: of moving a user or an
//! organization, of spreading a store otherwise, of changing who exists, of deleting a reference
//! record, of deleting what has expired of logs, of taking a bundle in. Whatever the moment, the store opens, is
//! clean, and every tenant is whole in one file.
//!
//! The process that ends is this test binary again, running the one test `child`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::{
    AuditEntry, Builder, Durability, Entity, Error, Id, ImportOptions, LogRetention, OrganizationId,
    Partitioning, Record, Result, Role, Store, StoreRole, TenantSession, Timestamp, UserId,
};

#[derive(Debug, Clone, PartialEq, Entity)]
#[entity(tenancy = reference, unique(code))]
pub(super) struct Currency {
    pub(super) code: String,
}

#[derive(Debug, Clone, PartialEq, Entity)]
pub(super) struct Task {
    pub(super) title: String,
    pub(super) price: Option<Id<Currency>>,
    pub(super) parent: Option<Id<Task>>,
}

#[derive(Debug, Clone, PartialEq, Entity)]
#[entity(tenancy = organization, author)]
pub(super) struct Ticket {
    pub(super) title: String,
}

#[derive(Debug, Clone, PartialEq, Entity)]
#[entity(tenancy = member)]
pub(super) struct Note {
    pub(super) text: String,
}

/// What an admin of the store does.
const ADMIN: &str = "an admin changes who exists";
const CHANGE: &str = "TENANTRY_TEST_CHANGE";
const MOMENT: &str = "TENANTRY_TEST_MOMENT";
const FOLDER: &str = "TENANTRY_TEST_FOLDER";
/// More moments than any change has.
pub(super) const MOMENTS_MAX: usize = 400;

pub(super) fn builder(durability: Durability) -> Builder {
    let builder = Store::builder();
    #[cfg(feature = "sqlcipher")]
    let builder = builder.encryption_key(crate::Key::raw([5; 32]));
    builder.entity::<Currency>().entity::<Task>().entity::<Ticket>().entity::<Note>().durability(durability)
}

pub(super) fn user_id(id: &str) -> UserId {
    UserId::new(id).unwrap()
}

pub(super) fn acme() -> OrganizationId {
    OrganizationId::new("acme").unwrap()
}

pub(super) fn session(store: &Store, id: &str) -> TenantSession {
    store.session(&user_id(id)).unwrap()
}

/// Two users, an organization of both, and reference records, in three partitions.
fn furnish(folder: &Path) {
    let store = builder(Durability::Full).partitions(3).open(folder).unwrap();
    let kept = store.reference().insert(&Currency { code: "EUR".into() }).unwrap();
    store.reference().insert(&Currency { code: "USD".into() }).unwrap();
    for id in ["ada", "grace"] {
        store.users().create(&user_id(id)).unwrap();
        let mut parent = None;
        for number in 0..5 {
            let title = format!("{id} {number}");
            parent = Some(session(&store, id).insert(&Task { title, price: Some(kept), parent }).unwrap());
        }
    }
    store.organizations().create(&acme()).unwrap();
    for id in ["ada", "grace"] {
        store.organizations().add_member(&acme(), &user_id(id), Role::Member).unwrap();
        let session = session(&store, id).in_organization(&acme()).unwrap();
        session.insert(&Ticket { title: id.into() }).unwrap();
        session.insert(&Note { text: id.into() }).unwrap();
    }
    store.users().create(&user_id("root")).unwrap();
    store.users().set_role(&user_id("root"), StoreRole::Admin).unwrap();
    // Logs of which something has expired move as others do.
    let third = session(&store, "ada").audit().list().unwrap()[2].time;
    let old = LogRetention { payloads_before: Some(Timestamp::now()), entries_before: Some(third) };
    assert!(store.users().expire_log(&user_id("ada"), old).unwrap().entries == 2);
    assert!(store.organizations().expire_log(&acme(), old).unwrap().payloads > 2);
    session(&store, "ada").insert(&Task { title: "after".into(), price: Some(kept), parent: None }).unwrap();
    // The hashes are salted, so one partition could be everybody's.
    let mut neighbours = 0;
    while store.partitions().list().unwrap().len() < 2 {
        store.users().create(&user_id(&format!("neighbour {neighbours}"))).unwrap();
        neighbours += 1;
    }
    store.close().unwrap();
}

/// Everything that tenants can tell of themselves.
#[derive(Debug, PartialEq)]
struct Seen {
    tasks: Vec<Vec<Record<Task>>>,
    tickets: Vec<Record<Ticket>>,
    notes: Vec<Vec<Record<Note>>>,
    logs: Vec<Vec<AuditEntry>>,
}

fn look(store: &Store) -> Seen {
    let mut seen = Seen { tasks: vec![], tickets: vec![], notes: vec![], logs: vec![] };
    for id in ["ada", "grace"] {
        let session = session(store, id);
        seen.tasks.push(session.list().unwrap());
        seen.logs.push(session.audit().list().unwrap());
        let inside = session.in_organization(&acme()).unwrap();
        seen.tickets = inside.list().unwrap();
        seen.notes.push(inside.list().unwrap());
        seen.logs.push(inside.audit().list().unwrap());
        seen.logs.push(inside.private_audit().list().unwrap());
    }
    seen
}

fn another_partition(store: &Store, not: &str) -> String {
    store
        .partitions()
        .list()
        .unwrap()
        .into_iter()
        .map(|partition| partition.name)
        .find(|name| name != not)
        .unwrap()
}

/// Where the bundles of those lie who arrive.
fn bundle_of(store: &Path, who: &str) -> PathBuf {
    store.parent().unwrap().join(format!("{who}.bundle"))
}

/// A user and an organization of another store, with records that nobody has here.
fn write_bundles(folder: &Path) {
    let elsewhere = builder(Durability::Full).temporary().unwrap();
    let currency = elsewhere.reference().insert(&Currency { code: "NOK".into() }).unwrap();
    for id in ["linus", "ada", "newcomer"] {
        elsewhere.users().create(&user_id(id)).unwrap();
    }
    let session = session(&elsewhere, "newcomer");
    let mut parent = None;
    for number in 0..3 {
        let title = format!("brought {number}");
        parent = Some(session.insert(&Task { title, price: Some(currency), parent }).unwrap());
    }
    let club = OrganizationId::new("club").unwrap();
    elsewhere.organizations().create(&club).unwrap();
    for id in ["ada", "linus"] {
        elsewhere.organizations().add_member(&club, &user_id(id), Role::Member).unwrap();
        let inside = elsewhere.session(&user_id(id)).unwrap().in_organization(&club).unwrap();
        inside.insert(&Ticket { title: format!("brought by {id}") }).unwrap();
        inside.insert(&Note { text: format!("brought by {id}") }).unwrap();
    }
    let mut user = fs::File::create(bundle_of(folder, "user")).unwrap();
    elsewhere.users().export(&user_id("newcomer"), &mut user).unwrap();
    let mut organization = fs::File::create(bundle_of(folder, "organization")).unwrap();
    elsewhere.organizations().export(&club, &mut organization).unwrap();
}

fn import(store: &Store, who: &str) -> Result<()> {
    let mut bundle = fs::File::open(bundle_of(store.path(), who)).unwrap();
    let options = ImportOptions::new().with_reference_records().creating_users();
    let outcome = match who {
        "user" => store.users().import(&mut bundle, &options),
        _ => store.organizations().import(&mut bundle, &options),
    };
    match outcome {
        Ok(_) | Err(Error::Exists { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Who arrives is there with everything, or nothing of it is, in none of the files.
fn assert_all_or_nothing(store: &Store, folder: &Path, what: &str) {
    let arrived = match what {
        "import a user" => store.users().get(&user_id("newcomer")).is_ok(),
        _ => store.organizations().get(&OrganizationId::new("club").unwrap()).is_ok(),
    };
    if arrived && what == "import a user" {
        let tasks = session(store, "newcomer").list::<Task>().unwrap();
        assert!(tasks.len() == 3 && tasks.iter().all(|task| task.title.starts_with("brought")));
    } else if arrived {
        for id in ["ada", "linus"] {
            let inside = session(store, id).in_organization(&OrganizationId::new("club").unwrap()).unwrap();
            assert_eq!(inside.list::<Ticket>().unwrap().len(), 2);
            assert_eq!(inside.list::<Note>().unwrap()[0].text, format!("brought by {id}"));
            session(store, id).audit().verify().unwrap();
        }
    }
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let strings = |connection: &rusqlite::Connection, sql: &str| -> Vec<String> {
        let mut statement = connection.prepare(sql).unwrap();
        let found = statement.query_map([], |row| row.get(0)).unwrap().map(|text| text.unwrap());
        found.collect()
    };
    let catalog = store.look(None);
    let known = strings(&catalog, "SELECT id FROM _user UNION SELECT id FROM _organization");
    assert_eq!(known.iter().any(|id| ["newcomer", "club"].contains(&id.as_str())), arrived);
    let named = strings(&catalog, "SELECT hex(mark) FROM _actor");
    for file in files.filter(|file| file.starts_with("tenants-") && file.ends_with(".db")) {
        let connection = store.look(Some(&file));
        let here = strings(&connection, "SELECT id FROM _user UNION SELECT id FROM _organization");
        assert!(here.iter().all(|id| known.contains(id)), "{file}: {here:?}");
        let marks = strings(&connection, "SELECT hex(mark) FROM _actor");
        assert!(marks.iter().all(|mark| named.contains(mark)), "{file}: {marks:?}");
        for table in ["_rows_Task", "_rows_Ticket", "_rows_Note"] {
            let column = if table == "_rows_Note" { "text" } else { "title" };
            let sql = format!("SELECT {column} FROM {table} WHERE {column} LIKE 'brought%'");
            assert!(arrived || strings(&connection, &sql).is_empty(), "{file}: {table}");
        }
    }
}

pub(super) fn change(store: &Store, what: &str) -> Result<()> {
    let partitions = store.partitions();
    match what {
        "import a user" => import(store, "user"),
        "import an organization" => import(store, "organization"),
        "move a user" => {
            let to = another_partition(store, &partitions.of_user(&user_id("ada"))?.unwrap().name);
            partitions.move_user(&user_id("ada"), &to, |_| {})
        }
        "move an organization" => {
            let to = another_partition(store, &partitions.of_organization(&acme())?.unwrap().name);
            partitions.move_organization(&acme(), &to, |_| {})
        }
        "spread otherwise" => partitions.repartition(Partitioning::PerTenant, |_| {}),
        "change who exists" => {
            store.users().get_or_create(&user_id("linus"))?;
            match store.organizations().add_member(&acme(), &user_id("linus"), Role::Admin) {
                Ok(()) | Err(Error::Exists { .. }) => {}
                Err(error) => return Err(error),
            }
            store.users().rename(&user_id("linus"), "Linus")?;
            store.organizations().remove_member(&acme(), &user_id("linus"))
        }
        ADMIN => {
            let admin = store.admin(&user_id("root"), "work")?;
            admin.users().get_or_create(&user_id("linus"))?;
            match admin.organizations().add_member(&acme(), &user_id("linus"), Role::Admin) {
                Ok(()) | Err(Error::Exists { .. }) => {}
                Err(error) => return Err(error),
            }
            admin.organizations().remove_member(&acme(), &user_id("linus"))
        }
        "delete a reference record" => {
            match store.reference().query::<Currency>().filter(Currency::CODE.eq("USD")).first()? {
                Some(record) => store.reference().delete(record.id),
                None => Ok(()),
            }
        }
        "erase a user" => match store.users().erase(&user_id("leaver")) {
            Ok(_) | Err(Error::UnknownUser { .. }) => Ok(()),
            Err(error) => Err(error),
        },
        "erase an organization" => match store.organizations().erase(&acme()) {
            Ok(_) | Err(Error::UnknownOrganization { .. }) => Ok(()),
            Err(error) => Err(error),
        },
        "expire logs" => {
            let now = Some(Timestamp::now());
            let old = LogRetention { payloads_before: now, entries_before: now };
            for id in ["ada", "grace"] {
                store.users().expire_log(&user_id(id), old)?;
            }
            store.organizations().expire_log(&acme(), old).map(drop)
        }
        other => panic!("{other}"),
    }
}

/// What the other process does; nothing when the tests are run as usual.
#[test]
fn child() {
    let (Ok(what), Ok(folder)) = (std::env::var(CHANGE), std::env::var(FOLDER)) else { return };
    let (what, durability) = what.split_once('|').unwrap();
    let durability = if durability == "full" { Durability::Full } else { Durability::Normal };
    let store = builder(durability).open(folder).unwrap();
    crate::crash::arm(std::env::var(MOMENT).unwrap().parse().unwrap());
    change(&store, what).unwrap();
    // Closing is another matter.
    crate::crash::arm(0);
}

/// Whether the process came to its end.
pub(super) fn run(what: &str, durability: &str, moment: usize, folder: &Path) -> bool {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "store::tests::crashes::child", "--nocapture", "--test-threads", "1"])
        .env(CHANGE, format!("{what}|{durability}"))
        .env(MOMENT, moment.to_string())
        .env(FOLDER, folder)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap()
        .success()
}

pub(super) fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, &target).unwrap();
        }
    }
}

/// Each tenant's rows and entries are in one of the files, and so is its log's head.
fn assert_whole_in_one_place(folder: &Path) {
    let mut homes = std::collections::BTreeMap::<i64, usize>::new();
    let store = builder(Durability::Full).read_only().open(folder).unwrap();
    let names = store.partitions().list().unwrap().into_iter().map(|partition| Some(partition.name));
    for name in names.chain([None]) {
        let connection = store.look(name.as_deref());
        let sql = "SELECT tenant FROM _log_head UNION SELECT key >> 40 FROM _audit UNION SELECT tenant FROM _row_head WHERE tenant > 0 \
                   UNION SELECT _tenant FROM _rows_Task WHERE _tenant > 0 UNION SELECT _tenant FROM _rows_Ticket WHERE _tenant > 0 \
                   UNION SELECT _tenant FROM _rows_Note WHERE _tenant > 0";
        let mut statement = connection.prepare(sql).unwrap();
        for tenant in statement.query_map([], |row| row.get(0)).unwrap() {
            *homes.entry(tenant.unwrap()).or_default() += 1;
        }
    }
    assert!(homes.len() >= 6 && homes.values().all(|files| *files == 1), "{homes:?}");
}

/// Nothing is on record twice: a user is made once, and who is added has not been a member.
fn assert_once_each(store: &Store) {
    let linus = session(store, "linus").audit().list().unwrap();
    assert_eq!(linus.iter().filter(|entry| entry.action == "user.create").count(), 1, "{linus:#?}");
    let about = |entry: &&AuditEntry| {
        let user = crate::Value::Text("linus".into());
        entry.changes.iter().flatten().any(|change| [&change.before, &change.after].contains(&&user))
    };
    let acme = session(store, "ada").in_organization(&acme()).unwrap().audit().list().unwrap();
    let actions: Vec<&str> = acme.iter().filter(about).map(|entry| entry.action.as_str()).collect();
    let alternate = ["member.add", "member.remove"].into_iter().cycle().take(actions.len());
    assert!(!actions.is_empty() && actions.iter().copied().eq(alternate), "{actions:?}");
}

/// Whatever carried a change of the admin's out, its entry says who did it and why.
fn assert_by_admin(store: &Store) {
    let acme = session(store, "ada").in_organization(&acme()).unwrap().audit().list().unwrap();
    let members = acme.into_iter().filter(|entry| entry.action.starts_with("member.")).skip(2);
    let linus = session(store, "linus").audit().list().unwrap();
    for entry in linus.into_iter().chain(members) {
        assert_eq!(
            (&entry.actor, &entry.admin),
            (&Some(user_id("root")), &Some(user_id("root"))),
            "{entry:?}"
        );
        assert_eq!(entry.reason.as_deref(), Some("work"));
    }
}

/// What is gone is the oldest, and the log says so before anything goes.
fn assert_expired_as_stated(logs: &[Vec<AuditEntry>], wanted: &[Vec<AuditEntry>]) {
    for (log, wanted) in logs.iter().zip(wanted) {
        let newest = wanted.last().unwrap().number;
        let states = log.last().unwrap().number > newest;
        let kept: Vec<u64> =
            log.iter().map(|entry| entry.number).filter(|number| *number <= newest).collect();
        let oldest = wanted.len() - kept.len();
        assert!(kept.iter().copied().eq(wanted[oldest..].iter().map(|entry| entry.number)), "{kept:?}");
        assert!(states || log == wanted, "{log:#?}");
    }
}

fn at_every_moment(what: &str, durability: &str) {
    at_moments(what, durability, 1);
}

fn at_moments(what: &str, durability: &str, step: usize) {
    let root = tempfile::tempdir().unwrap();
    let template = root.path().join("template");
    furnish(&template);
    write_bundles(&template);
    let wanted = look(&builder(Durability::Full).open(&template).unwrap());
    let who_exists = ["change who exists", ADMIN].contains(&what);
    for moment in (1..MOMENTS_MAX).step_by(step) {
        let folder = root.path().join(moment.to_string());
        copy(&template, &folder);
        let came_to_its_end = run(what, durability, moment, &folder);
        {
            let store =
                builder(Durability::Full).open(&folder).unwrap_or_else(|e| panic!("{what} {moment}: {e}"));
            let report = store.check().unwrap();
            assert!(report.is_clean(), "{what}, moment {moment}: {report}");
            let mut seen = look(&store);
            if what == "expire logs" {
                assert_expired_as_stated(&seen.logs, &wanted.logs);
                seen.logs.clone_from(&wanted.logs);
            }
            if who_exists {
                // What the organization's log says of others is not what this is about.
                for (log, wanted) in seen.logs.iter_mut().zip(&wanted.logs) {
                    log.truncate(wanted.len());
                }
            }
            assert_eq!(seen, wanted, "{what}, moment {moment}");
            if what.starts_with("import") {
                assert_all_or_nothing(&store, &folder, what);
            }
            // What was not finished is finished when it is asked for again.
            if !came_to_its_end {
                change(&store, what)
                    .unwrap_or_else(|error| panic!("{what}, again after moment {moment}: {error}"));
                assert_eq!(store.check().unwrap().to_string().split(": ").nth(1), Some("clean"));
                if what.starts_with("import") {
                    assert_all_or_nothing(&store, &folder, what);
                }
            }
            if what == "expire logs" {
                for log in look(&store).logs {
                    assert!(log.iter().all(|entry| entry.action == "audit.expire"), "{moment}: {log:#?}");
                    assert!(log.last().unwrap().changes.is_some());
                }
            }
            if who_exists {
                // Partitions look at the catalog again, also at what they have carried out.
                store.reference().insert(&Currency { code: "JPY".into() }).unwrap();
                assert_once_each(&store);
            }
            if what == ADMIN {
                assert_by_admin(&store);
            }
            store.close().unwrap();
        }
        assert_whole_in_one_place(&folder);
        fs::remove_dir_all(&folder).unwrap();
        if came_to_its_end {
            assert!(moment > 4, "{what} has no moments");
            return;
        }
    }
    panic!("{what} does not end");
}

#[test]
fn a_user_that_moves() {
    at_every_moment("move a user", "full");
    at_every_moment("move a user", "normal");
}

#[test]
fn an_organization_that_moves() {
    at_every_moment("move an organization", "full");
}

#[test]
fn a_store_that_is_spread_otherwise() {
    // Its moves are those of the others.
    at_moments("spread otherwise", "full", 5);
}

#[test]
fn logs_that_expire() {
    at_every_moment("expire logs", "full");
    at_every_moment("expire logs", "normal");
}

#[test]
fn a_change_of_who_exists() {
    at_every_moment("change who exists", "full");
    at_every_moment("change who exists", "normal");
}

#[test]
fn a_change_that_an_admin_makes() {
    at_every_moment(ADMIN, "full");
}

#[test]
fn a_reference_record_that_goes() {
    at_every_moment("delete a reference record", "full");
}

#[test]
fn a_user_that_arrives() {
    at_every_moment("import a user", "full");
    at_every_moment("import a user", "normal");
}

#[test]
fn an_organization_that_arrives() {
    at_every_moment("import an organization", "full");
}
