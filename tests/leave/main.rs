//! Leaving a store, and arriving in another: whole, the same, and unnoticed by everybody else.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../engine/mod.rs"]
mod engine;
mod erased;
mod mutants;
mod pack;
mod problems;
mod readable;
mod world;

use std::collections::BTreeMap;

use pack::Said;
use proptest::prelude::*;
use rusqlite::types::Value as SqlValue;
use tenantry::{AuditEntry, Fields, ImportOptions, Record, Store, Timestamp};
use world::{SECRET, acme, builder, furnish, user};

fn bundle_of_user(store: &Store, id: &str) -> Vec<u8> {
    let mut bundle = Vec::new();
    let exported = store.users().export(&user(id), &mut bundle).unwrap();
    assert_eq!(exported.bytes, bundle.len() as u64);
    assert_eq!(exported.digest.unwrap(), bundle[bundle.len() - 32..]);
    bundle
}

fn bundle_of_acme(store: &Store) -> Vec<u8> {
    let mut bundle = Vec::new();
    store.organizations().export(&acme(), &mut bundle).unwrap();
    bundle
}

/// Everything that may come along does.
fn all_along() -> ImportOptions {
    ImportOptions::new().with_reference_records().creating_users().with_quotas()
}

/// The files of a store.
fn files(store: &Store) -> Vec<std::path::PathBuf> {
    let path = store.path();
    if path.is_file() {
        return vec![path.to_owned()];
    }
    let mut files = vec![path.join("catalog.db")];
    files.extend(store.partitions().list().unwrap().into_iter().map(|partition| partition.path));
    files
}

type Rows = Vec<Vec<SqlValue>>;

/// Every row of every table of every file, but for the tables named.
fn dump(store: &Store, without: &[&str]) -> BTreeMap<(String, String), Rows> {
    let mut dump = BTreeMap::new();
    for file in files(store) {
        let connection = engine::look(&file);
        let mut names = connection.prepare("SELECT name FROM sqlite_schema WHERE type = 'table'").unwrap();
        let names: Vec<String> = names.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
        for name in names.into_iter().filter(|name| !without.contains(&name.as_str())) {
            let order = if name == "_home" { "" } else { " ORDER BY 1, 2" };
            let mut statement = connection.prepare(&format!("SELECT * FROM \"{name}\"{order}")).unwrap();
            let columns = statement.column_count();
            let rows = statement
                .query_map([], |row| (0..columns).map(|column| row.get(column)).collect())
                .unwrap()
                .map(Result::unwrap)
                .collect();
            dump.insert((file.display().to_string(), name), rows);
        }
    }
    dump
}

/// What everybody but the newcomers has: the rows that were there are the same rows.
fn assert_others_untouched(
    before: &BTreeMap<(String, String), Rows>,
    after: &BTreeMap<(String, String), Rows>,
) {
    for (place, rows) in before {
        let now = &after[place];
        for row in rows {
            assert!(now.contains(row), "{place:?}: {row:?} is another one");
        }
    }
}

/// What changes with every newcomer, and is nobody's.
const COUNTED: [&str; 5] = ["_layout", "_intent", "_store", "_log_head", "_partition"];

/// What a session sees of all of its records and of its log.
#[derive(Debug, PartialEq)]
struct Seen {
    records: BTreeMap<String, Vec<Record<Fields>>>,
    log: Vec<AuditEntry>,
    private: Vec<AuditEntry>,
}

fn look_as_user(store: &Store, id: &str) -> Seen {
    let session = store.session(&user(id)).unwrap();
    let records = ["task", "left one", "Right; DROP"]
        .map(|entity| (entity.to_owned(), session.dynamic(entity).unwrap().list().unwrap()));
    Seen { records: records.into(), log: session.audit().list().unwrap(), private: vec![] }
}

fn look_as_member(store: &Store, id: &str) -> Option<Seen> {
    let session = store.session(&user(id)).unwrap().in_organization(&acme()).ok()?;
    let records = ["ticket", "note"]
        .map(|entity| (entity.to_owned(), session.dynamic(entity).unwrap().list().unwrap()));
    let (log, private) = (session.audit().list().unwrap(), session.private_audit().list().unwrap());
    Some(Seen { records: records.into(), log, private })
}

impl Seen {
    /// Without what came with the import.
    fn before_import(mut self) -> Self {
        for log in [&mut self.log, &mut self.private] {
            if let Some(last) = log.pop() {
                assert_eq!((last.action.as_str(), last.outcome.as_str()), ("tenant.import", "ok"));
            }
        }
        self
    }
}

fn store_of(order: usize, partitions: u32) -> Store {
    match partitions {
        0 => builder(order),
        99 => builder(order).partition_per_tenant(),
        partitions => builder(order).partitions(partitions),
    }
    .temporary()
    .unwrap()
}

fn round_trip(seed: u64, from: u32, to: u32) {
    let here = store_of(0, from);
    furnish(&here, seed, 160);
    assert!(here.check().unwrap().is_clean());
    let there = store_of(usize::try_from(seed % 8).unwrap(), to);
    // Others are there already.
    there.users().create(&user("somebody")).unwrap();
    there.session(&user("somebody")).unwrap().dynamic("left one").unwrap().insert(Fields::new()).unwrap();
    let before = dump(&there, &COUNTED);

    let ada = bundle_of_user(&here, "ada");
    assert_eq!(ada, bundle_of_user(&here, "ada"), "the same tenant gives the same bytes");
    let imported = there.users().import(&mut &ada[..], &all_along()).unwrap();
    assert_eq!(imported.digest, ada[ada.len() - 32..]);
    let report = there.check().unwrap();
    assert!(report.is_clean(), "{report}");
    assert_eq!(Said::of(&bundle_of_user(&there, "ada")).before_import(), Said::of(&ada));
    let seen = look_as_user(&there, "ada");
    assert_eq!(seen.before_import(), look_as_user(&here, "ada"));

    let bundle = bundle_of_acme(&here);
    let imported = there.organizations().import(&mut &bundle[..], &all_along()).unwrap();
    assert_eq!(imported.users, [user("grace"), user("linus")], "ada was a user already");
    let report = there.check().unwrap();
    assert!(report.is_clean(), "{report}");
    assert_eq!(Said::of(&bundle_of_acme(&there)).before_import(), Said::of(&bundle));
    for id in ["ada", "grace", "linus"] {
        let (seen, wanted) = (look_as_member(&there, id), look_as_member(&here, id));
        assert_eq!(seen.map(Seen::before_import), wanted, "{id}");
    }
    assert_others_untouched(&before, &dump(&there, &COUNTED));

    // Life goes on: ids are greater than those that came, and the log follows.
    let session = there.session(&user("ada")).unwrap();
    let last = session.dynamic("left one").unwrap().list().unwrap().last().map(|record| record.id);
    let next = session.dynamic("left one").unwrap().insert(Fields::new()).unwrap();
    let in_future = last.is_some_and(|last| session.get_created(last) > Timestamp::now());
    assert!(in_future || last.is_none_or(|last| last < next));
    assert!(session.audit().verify().unwrap().is_intact());
    let report = there.check().unwrap();
    assert!(report.is_clean(), "{report}");
}

trait Created {
    fn get_created(&self, id: tenantry::Id<Fields>) -> Timestamp;
}

impl Created for tenantry::TenantSession {
    fn get_created(&self, id: tenantry::Id<Fields>) -> Timestamp {
        self.dynamic("left one").unwrap().get(id).unwrap().created
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, failure_persistence: None, max_shrink_iters: 0, ..ProptestConfig::default() })]

    #[test]
    fn what_arrives_is_what_left(seed: u64, from in 0usize..4, to in 0usize..4) {
        let kinds = [0, 1, 3, 99];
        round_trip(seed, kinds[from], kinds[to]);
    }
}

#[test]
fn secrets_leave_with_their_owner_and_not_in_the_log() {
    let store = store_of(0, 0);
    furnish(&store, 5, 300);
    let bundle = bundle_of_user(&store, "ada");
    let holds = |bytes: &[u8]| bytes.windows(SECRET.len()).any(|window| window == SECRET.as_bytes());
    assert!(holds(&bundle));
    for body in pack::open(&bundle) {
        let is_log = body[..8].windows(3).any(|window| window == b"log");
        assert!(!(is_log && holds(&body)));
    }
}

#[test]
fn a_user_exports_what_is_its_own_and_no_more() {
    let store = store_of(0, 0);
    furnish(&store, 7, 200);
    let session = store.session(&user("ada")).unwrap();
    let entries = session.audit().list().unwrap().len();
    let mut bundle = Vec::new();
    session.export(&mut bundle).unwrap();
    assert_eq!(bundle, bundle_of_user(&store, "ada"));
    assert_eq!(session.audit().list().unwrap().len(), entries, "a read leaves no entry");
    // Nothing in it depends on others: neither keys nor numbers nor names.
    let alone = store_of(0, 0);
    alone.users().import(&mut &bundle[..], &all_along()).unwrap();
    for name in ["grace", "linus"] {
        let text = String::from_utf8_lossy(&bundle).into_owned();
        assert!(!text.contains(name), "{name}");
    }
    store.users().disable(&user("ada")).unwrap();
    assert!(session.export(&mut Vec::new()).is_err());
    // The application can still let the user go.
    store.users().export(&user("ada"), &mut Vec::new()).unwrap();
}

#[test]
fn an_export_is_a_read_of_entities_that_ask_for_it() {
    let asking = world::definitions().into_iter().map(|definition| {
        let asks = definition.name() == "left one";
        definition.audit_reads(asks)
    });
    let here = asking.fold(engine::builder(), tenantry::Builder::definition).temporary().unwrap();
    here.users().create(&user("ada")).unwrap();
    let session = here.session(&user("ada")).unwrap();
    for _ in 0..2 {
        session.dynamic("left one").unwrap().insert(Fields::new()).unwrap();
    }
    let folder = tempfile::tempdir().unwrap();
    let mut bundle = Vec::new();
    session.export(&mut bundle).unwrap();
    session.export_json_lines(&mut Vec::new()).unwrap();
    here.users().export_sqlite(&user("ada"), folder.path().join("ada.db")).unwrap();
    let reads = session.audit().reads().list().unwrap();
    let said = reads.iter().map(|read| (read.entity.as_str(), read.kind, read.count, read.actor.clone()));
    let (kind, ada) = (tenantry::ReadKind::Export, Some(user("ada")));
    assert_eq!(
        said.collect::<Vec<_>>(),
        [
            ("left one", kind, Some(2), ada.clone()),
            ("left one", kind, Some(2), ada),
            ("left one", kind, Some(2), None)
        ]
    );
    // Who is told of reads is each store's own affair.
    let there = store_of(0, 0);
    there.users().import(&mut &bundle[..], &all_along()).unwrap();
    assert_eq!(Said::of(&bundle_of_user(&there, "ada")).before_import(), Said::of(&bundle));
}

#[test]
fn rows_of_more_than_a_frame_come_whole() {
    let here = store_of(0, 0);
    let there = store_of(0, 2);
    here.users().create(&user("ada")).unwrap();
    let session = here.session(&user("ada")).unwrap();
    let tasks = session.dynamic("task").unwrap();
    for number in 0..60 {
        let text = format!("{number} {}", "x".repeat(number * 400));
        tasks.insert(Fields::new().with("flag", true).with("text", text)).unwrap();
    }
    let large = "y".repeat(200 * 1024);
    tasks.insert(Fields::new().with("flag", true).with("text", large)).unwrap();
    let bundle = bundle_of_user(&here, "ada");
    assert!(pack::open(&bundle).len() > 20);
    there.users().import(&mut &bundle[..], &all_along()).unwrap();
    assert_eq!(look_as_user(&there, "ada").before_import(), look_as_user(&here, "ada"));
    assert_eq!(Said::of(&bundle_of_user(&there, "ada")).before_import(), Said::of(&bundle));
}
