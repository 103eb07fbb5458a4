//! The access log: every way to read records of an entity that asks for it leaves a note, with who, when and
//! which; nothing else does; and it stays each tenant's own.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod engine;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use tenantry::{
    Audit, Builder, ColumnDefinition, ColumnKind, Definition, Entity, Error, Fields, Id, MissKind, MissQuery,
    OrganizationId, OrganizationSession, ReadEntry, ReadKind, Role, Store, StoreRole, Tenancy, TenantName,
    TenantSession, Timestamp, UserId, Uuid, column,
};

#[derive(Debug, Clone, PartialEq, Entity)]
#[entity(audit_reads)]
struct Patient {
    name: String,
}

#[derive(Debug, Clone, PartialEq, Entity)]
#[entity(audit_reads, unique(text))]
struct Finding {
    text: String,
    points: i64,
    patient: Option<Id<Patient>>,
    /// Whoever joins it reads no patient.
    task: Option<Id<Task>>,
}

/// Whose reads nobody asks for.
#[derive(Debug, Clone, PartialEq, Entity)]
struct Task {
    title: String,
    finding: Option<Id<Finding>>,
}

#[derive(Debug, Clone, PartialEq, Entity)]
#[entity(tenancy = organization, audit_reads, author)]
struct Ticket {
    title: String,
}

#[derive(Debug, Clone, PartialEq, Entity)]
#[entity(tenancy = member, audit_reads)]
struct Note {
    text: String,
    ticket: Option<Id<Ticket>>,
}

#[derive(Debug, Clone, PartialEq, Entity)]
#[entity(tenancy = reference, audit_reads, unique(code))]
struct Currency {
    code: String,
}

fn sample() -> Definition {
    Definition::new("lab sample", Tenancy::User)
        .column(ColumnDefinition::new("text", ColumnKind::Text))
        .column(ColumnDefinition::new("points", ColumnKind::Integer).default(0_i64))
        .audit_reads(true)
}

fn builder() -> Builder {
    engine::builder()
        .entity::<Patient>()
        .entity::<Task>()
        .entity::<Finding>()
        .entity::<Ticket>()
        .entity::<Note>()
        .entity::<Currency>()
        .definition(sample())
}

fn user(id: &str) -> UserId {
    UserId::new(id).unwrap()
}

fn session(store: &Store, id: &str) -> TenantSession {
    let user = store.users().create(&user(id)).unwrap();
    store.session(&user).unwrap()
}

fn organization(store: &Store, members: &[&TenantSession]) -> Vec<OrganizationSession> {
    let acme = store.organizations().create(&OrganizationId::new("acme").unwrap()).unwrap().id;
    members
        .iter()
        .map(|member| {
            store.organizations().add_member(&acme, member.user(), Role::Member).unwrap();
            member.in_organization(&acme).unwrap()
        })
        .collect()
}

fn finding(text: &str, patient: Option<Id<Patient>>) -> Finding {
    Finding { text: text.to_owned(), points: 1, patient, task: None }
}

/// What an entry says, but for who and when.
type Said = (String, ReadKind, Option<u64>, BTreeSet<Uuid>);

fn said(entry: &ReadEntry) -> Said {
    (entry.entity.clone(), entry.kind, entry.count, entry.records.iter().copied().collect())
}

fn of<E: Entity>(kind: ReadKind, ids: &[Id<E>]) -> Said {
    let count = matches!(kind, ReadKind::Get | ReadKind::List | ReadKind::Join | ReadKind::Log)
        .then_some(ids.len() as u64);
    (E::ENTITY_NAME.to_owned(), kind, count, ids.iter().map(|id| id.uuid()).collect())
}

/// Reads of a user's log since the last call.
struct Watch<'s> {
    session: &'s TenantSession,
    seen: u64,
}

impl<'s> Watch<'s> {
    fn new(session: &'s TenantSession) -> Self {
        let seen = session.audit().reads().list().unwrap().last().map_or(0, |entry| entry.number);
        Self { session, seen }
    }

    fn new_entries(&mut self) -> Vec<Said> {
        let entries = self.session.audit().reads().after(self.seen).list().unwrap();
        for entry in &entries {
            assert_eq!(entry.number, self.seen + 1, "numbers have no gaps");
            self.seen += 1;
            assert_eq!(entry.actor.as_ref(), Some(self.session.user()));
            assert_eq!((&entry.admin, &entry.reason), (&None, &None));
        }
        let mut entries: Vec<Said> = entries.iter().map(said).collect();
        entries.sort();
        entries
    }
}

/// Verbs that were walked, as `file: name`.
type Walked = BTreeSet<&'static str>;

macro_rules! walk {
    ($walked:ident, $watch:ident: $($name:literal => $read:expr, [$($said:expr),*];)*) => {
        $(
            #[allow(clippy::redundant_closure_call)]
            (|| -> tenantry::Result<()> { $read; Ok(()) })().unwrap_or_else(|error| panic!("{}: {error}", $name));
            let mut expected: Vec<Said> = vec![$($said),*];
            expected.sort();
            assert_eq!($watch.new_entries(), expected, "{}", $name);
            $walked.insert($name);
        )*
    };
}

/// Every verb that reads, each with the entries that it leaves.
fn walk(session: &TenantSession, walked: &mut Walked) {
    use ReadKind::{Aggregate, Count, Get, Join, List, Log, Sql};
    let patient = session.insert(&Patient { name: "p".into() }).unwrap();
    let [a, b, c] = ["a", "b", "c"].map(|text| session.insert(&finding(text, Some(patient))).unwrap());
    session.insert(&Task { title: "t".into(), finding: Some(a) }).unwrap();
    let gone = Id::<Finding>::from_uuid(Uuid::from_u128(7));
    let all = [a, b, c];
    let query = || session.query::<Finding>();
    let filtered = || query().filter(Finding::TEXT.ne("c"));
    let mut watch = Watch::new(session);
    assert_eq!(watch.new_entries(), [], "inserting is no reading");
    walk! { walked, watch:
        "verbs: get" => session.get(a)?, [of(Get, &[a])];
        "verbs: find" => session.find(b)?, [of(Get, &[b])];
        "verbs: find of none" => session.find(gone)?, [];
        "verbs: get of none" => assert!(session.get(gone).is_err()), [];
        "verbs: get_many" => session.get_many(&[a, gone, b])?, [of(Get, &[a, b])];
        "verbs: exists" => session.exists(a)?, [of(Get, &[a])];
        "verbs: exists of none" => session.exists(gone)?, [];
        "verbs: count" => session.count::<Finding>()?, [of::<Finding>(Count, &[])];
        "verbs: list" => session.list::<Finding>()?, [of(List, &all)];
        "verbs: read" => session.read(|view| { view.get(a)?; view.list::<Finding>()?; view.count::<Finding>() })?,
            [of(Get, &[a]), of(List, &all), of::<Finding>(Count, &[])];
        "query: list" => filtered().list()?, [of(List, &[a, b])];
        "query: list of none" => query().filter(Finding::TEXT.eq("x")).list()?, [of::<Finding>(List, &[])];
        "query: page" => {
            let page = query().page(2)?;
            assert_eq!(page.records.len(), 2);
            query().after(&page.next.unwrap()).page(2)?
        }, [of(List, &[a, b]), of(List, &[c])];
        "query: first" => query().first()?, [of(List, &[a])];
        "query: one" => query().filter(Finding::TEXT.eq("b")).one()?, [of(List, &[b])];
        "query: iter" => query().iter()?.count(), [of(List, &all)];
        "query: count" => filtered().count()?, [of::<Finding>(Count, &[])];
        "query: exists" => filtered().exists()?, [of::<Finding>(Count, &[])];
        "query: sum" => query().sum(Finding::POINTS)?, [of::<Finding>(Aggregate, &[])];
        "query: average" => query().average(Finding::POINTS)?, [of::<Finding>(Aggregate, &[])];
        "query: min" => query().min(Finding::TEXT)?, [of::<Finding>(Aggregate, &[])];
        "query: max" => query().max(Finding::TEXT)?, [of::<Finding>(Aggregate, &[])];
        "query: group_count" => query().group_count(Finding::TEXT)?, [of::<Finding>(Aggregate, &[])];
        "query: joined list" => query().with(Finding::PATIENT).list()?,
            [of(List, &all), ("patient".to_owned(), Join, Some(3), BTreeSet::from([patient.uuid()]))];
        "query: joined page" => query().with(Finding::PATIENT).page(1)?, [of(List, &[a]), of(Join, &[patient])];
        "query: join of another entity" => session.query::<Task>().with(Task::FINDING).list()?, [of(Join, &[a])];
        "query: join of nothing" => query().with(Finding::TASK).list()?, [of(List, &all)];
        "history: list" => session.audit().of(a).list()?, [of(Log, &[a])];
        "history: page" => session.audit().entity("finding").newest_first().page(2)?, [of(Log, &[b, c])];
        "history: iter" => assert_eq!(session.audit().record(a.uuid()).iter()?.count(), 1), [of(Log, &[a])];
        "history: history" => session.audit().history(a)?, [of(Log, &[a])];
        "history: state_at" => session.audit().state_at(b, Timestamp::now())?, [of(Log, &[b])];
        "history: state_at before" => session.audit().state_at(b, Timestamp::UNIX_EPOCH)?, [];
        "history: records" => session.audit().entity("finding").records()?, [of(Log, &all)];
        "history: export_json_lines" => session.audit().of(c).export_json_lines(&mut Vec::new())?, [of(Log, &[c])];
        "history: export_cloud_events" => session.audit().of(c).export_cloud_events(&mut Vec::new())?,
            [of(Log, &[c])];
        "history: refusals" => session.audit().refusals()?, [];
        "history: refusals_every" => session.audit().refusals_every(Duration::from_secs(1))?, [];
        "history: head" => drop(session.audit().head()?), [];
        "history: verify_against" => session.audit().verify_against(&session.audit().head()?)?, [];
        "history: verify" => session.audit().verify()?, [];
        "sql: rows" => session.sql("SELECT text FROM finding").rows()?, [of::<Finding>(Sql, &[])];
        "sql: all" => session.sql("SELECT text FROM finding").all::<String>()?, [of::<Finding>(Sql, &[])];
        "sql: first" => session.sql("SELECT count(*) FROM finding").first::<u64>()?, [of::<Finding>(Sql, &[])];
        "sql: stream" => session.sql("SELECT text FROM finding").stream(|_| Ok(()))?, [of::<Finding>(Sql, &[])];
        "sql: explain" => session.sql("SELECT text FROM finding").explain()?, [];
    }
    // In a transaction, and also if nothing of it stays.
    let outcome = session.transaction(|tx| {
        tx.get(a)?;
        tx.transaction(|inner| {
            inner.list::<Finding>()?;
            inner.count::<Finding>()
        })?;
        Err::<(), _>(Error::aborted("never mind"))
    });
    assert!(outcome.is_err());
    assert_eq!(
        watch.new_entries(),
        [of(Get, &[a]), of(List, &all), of::<Finding>(Count, &[])],
        "what was read was read"
    );
    walked.insert("transaction: transaction");
    // Nothing of an entity that does not ask.
    session.list::<Task>().unwrap();
    session.query::<Task>().min(Task::TITLE).unwrap();
    session.sql("SELECT title FROM task").all::<String>().unwrap();
    assert_eq!(watch.new_entries(), []);
}

fn walk_dynamic(session: &TenantSession, walked: &mut Walked) {
    use ReadKind::{Aggregate, Count, Get, List, Sql};
    let samples = session.dynamic("lab sample").unwrap();
    let insert = |text: &str| samples.insert(Fields::new().with("text", text)).unwrap();
    let (a, b) = (insert("a"), insert("b"));
    let said = |kind, ids: &[Id<Fields>]| {
        let count = matches!(kind, Get | List).then_some(ids.len() as u64);
        ("lab sample".to_owned(), kind, count, ids.iter().map(|id| id.uuid()).collect())
    };
    let mut watch = Watch::new(session);
    walk! { walked, watch:
        "dynamic: get" => samples.get(a)?, [said(Get, &[a])];
        "dynamic: find" => samples.find(b)?, [said(Get, &[b])];
        "dynamic: get_many" => samples.get_many(&[a, b])?, [said(Get, &[a, b])];
        "dynamic: exists" => samples.exists(a)?, [said(Get, &[a])];
        "dynamic: count" => samples.count()?, [said(Count, &[])];
        "dynamic: list" => samples.list()?, [said(List, &[a, b])];
        "query: group_count_by" => samples.query().group_count_by(&column("text"))?, [said(Aggregate, &[])];
        "dynamic: sql" => session.sql("SELECT text FROM \"lab sample\"").rows()?, [said(Sql, &[])];
    }
}

#[test]
fn every_way_to_read_leaves_a_note() {
    for (name, builder) in [
        ("one file", builder()),
        ("with rows in memory", builder().cache(1 << 20)),
        ("several files", builder().partitions(2)),
    ] {
        let store = builder.temporary().unwrap();
        let mut walked = Walked::new();
        walk(&session(&store, "ada"), &mut walked);
        walk(&session(&store, "grace"), &mut walked);
        walk_dynamic(&session(&store, "linus"), &mut walked);
        let report = store.check().unwrap();
        assert!(report.is_clean(), "{name}: {report}");
        every_verb_was_walked(&walked);
    }
}

/// Verbs that read no record, or lead to those that do.
const OTHERS: [(&str, &[&str]); 9] = [
    (
        "verbs",
        &[
            "id",
            "dynamic",
            "insert",
            "insert_at",
            "insert_many",
            "update",
            "patch",
            "upsert",
            "upsert_on",
            "delete",
            "query",
            "update_where",
            "delete_where",
        ],
    ),
    (
        "dynamic",
        &[
            "definition",
            "insert",
            "insert_at",
            "insert_many",
            "update",
            "patch",
            "upsert",
            "upsert_on",
            "delete",
            "query",
        ],
    ),
    ("query", &["filter", "order_by", "limit", "after", "mine", "patch", "delete", "with"]),
    (
        "mod",
        &[
            "transaction",
            "read",
            "audit",
            "user",
            "in_organization",
            "organization",
            "role",
            "members",
            "private_audit",
            "expire_log",
        ],
    ),
    (
        "history",
        &[
            "of",
            "entity",
            "record",
            "actor",
            "admin",
            "outcome",
            "transaction",
            "action",
            "since",
            "until",
            "newest_first",
            "after",
            "reads",
        ],
    ),
    (
        "reads",
        &["of", "entity", "record", "actor", "since", "until", "newest_first", "after", "list", "page"],
    ),
    ("sql", &["sql", "with_sql_limits", "bind", "bind_named", "cancel_with"]),
    (
        "manage",
        &[
            "manage",
            "leave",
            "invitations",
            "accept_invitation",
            "decline_invitation",
            "organization",
            "members",
            "invite",
            "withdraw_invitation",
            "set_role",
            "remove_member",
            "rename",
            "member_records",
        ],
    ),
    ("transaction", &[]),
];

/// The public verbs of sessions, as their source has them: one that is new has to be walked above, or to be
/// named as one that reads nothing.
fn every_verb_was_walked(walked: &Walked) {
    let source = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files: Vec<_> = std::fs::read_dir(source.join("session"))
        .unwrap()
        .map(|file| file.unwrap().path())
        .filter(|path| path.is_file())
        .map(|path| (path.file_stem().unwrap().to_str().unwrap().to_owned(), path))
        .collect();
    files.push(("sql".to_owned(), source.join("sql/mod.rs")));
    let mut found = 0;
    for (file, path) in files {
        let others = OTHERS.iter().find(|(name, _)| *name == file).map_or(&[][..], |(_, others)| *others);
        for line in std::fs::read_to_string(&path).unwrap().lines() {
            let Some(rest) = line.strip_prefix("    pub fn ") else { continue };
            let name = &rest[..rest.find(['(', '<']).unwrap()];
            found += 1;
            assert!(
                others.contains(&name) || walked.contains(format!("{file}: {name}").as_str()),
                "{file}: {name} is a new verb: walk it, or say that it reads no record"
            );
        }
    }
    assert!(found > 60, "only {found} verbs were found in the source");
}

#[test]
fn statements_of_sql_are_noted_whichever_way_they_name_a_table() {
    let store = builder().temporary().unwrap();
    let ada = session(&store, "ada");
    let patient = ada.insert(&Patient { name: "p".into() }).unwrap();
    ada.insert(&finding("a", Some(patient))).unwrap();
    let mut watch = Watch::new(&ada);
    for (text, entities) in [
        ("SELECT count(*) FROM Finding", &["finding"][..]),
        ("SELECT 1 FROM \"finding\"", &["finding"]),
        ("SELECT 1 FROM [FINDING] AS x", &["finding"]),
        ("WITH x AS (SELECT * FROM finding) SELECT count(*) FROM x", &["finding"]),
        ("WITH task AS (SELECT * FROM finding) SELECT count(*) FROM task", &["finding"]),
        ("SELECT EXISTS (SELECT 1 FROM patient)", &["patient"]),
        ("SELECT title, (SELECT name FROM patient) FROM task", &["patient"]),
        ("SELECT 1 FROM task WHERE title IN (SELECT text FROM finding)", &["finding"]),
        ("SELECT count(*) FROM task JOIN finding USING (id)", &["finding"]),
        ("SELECT count(*) FROM task NATURAL JOIN finding", &["finding"]),
        ("SELECT count(*) FROM finding JOIN patient USING (id)", &["finding", "patient"]),
        ("SELECT count(*) FROM finding AS a NATURAL JOIN finding AS b", &["finding"]),
        ("SELECT 1 FROM task UNION ALL SELECT 2 FROM patient", &["patient"]),
        ("SELECT title FROM task ORDER BY (SELECT max(points) FROM finding)", &["finding"]),
        ("SELECT f.text FROM finding f LEFT JOIN patient p ON p.id = f.patient", &["finding", "patient"]),
        ("SELECT count(*) FROM audit", &["finding", "lab sample", "patient"]),
        ("SELECT changes FROM audit", &["finding", "lab sample", "patient"]),
        ("SELECT title FROM task", &[]),
        ("SELECT 'finding', 1 AS patient", &[]),
    ] {
        // Prepared, and again from the statements that are kept.
        for _ in 0..2 {
            ada.sql(text).rows().unwrap_or_else(|error| panic!("{text}: {error}"));
            let noted: Vec<String> = watch.new_entries().into_iter().map(|(entity, ..)| entity).collect();
            assert_eq!(noted, entities, "{text}");
        }
    }
    // One that fails on a value has told whether there is one.
    let telling = "SELECT CASE WHEN text = 'a' THEN abs(-9223372036854775808) END FROM finding";
    assert!(ada.sql(telling).rows().is_err());
    assert_eq!(watch.new_entries().len(), 1, "a statement that fails on a value");
    assert!(ada.sql("SELECT text FROM finding WHERE").rows().is_err());
    assert!(ada.sql("SELECT text FROM finding WHERE id = ?1").rows().is_err());
    assert_eq!(watch.new_entries(), [], "what does not run reads nothing");
}

#[test]
fn a_log_is_of_whose_records_they_are() {
    for builder in [builder(), builder().partition_per_tenant()] {
        let store = builder.temporary().unwrap();
        let (ada, grace) = (session(&store, "ada"), session(&store, "grace"));
        let members = organization(&store, &[&ada, &grace]);
        let ticket = members[0].insert(&Ticket { title: "t".into() }).unwrap();
        let note = members[1].insert(&Note { text: "n".into(), ticket: Some(ticket) }).unwrap();
        let euro = store.reference().insert(&Currency { code: "EUR".into() }).unwrap();
        members[1].get(ticket).unwrap();
        members[1].query::<Note>().with(Note::TICKET).list().unwrap();
        members[1].sql("SELECT text, ticket FROM note").rows().unwrap();
        grace.get(euro).unwrap();
        store.reference().list::<Currency>().unwrap();
        let read = |audit: Audit<'_>| -> Vec<(Option<String>, Said)> {
            let entries = audit.reads().list().unwrap();
            entries.iter().map(|entry| (entry.actor.as_ref().map(ToString::to_string), said(entry))).collect()
        };
        let by_grace = |said| (Some("grace".to_owned()), said);
        let shared = [by_grace(of(ReadKind::Get, &[ticket])), by_grace(of(ReadKind::Join, &[ticket]))];
        assert_eq!(read(members[0].audit()), shared, "every member sees who read what they share");
        assert_eq!(read(members[1].audit()), shared);
        assert_eq!(read(members[0].private_audit()), []);
        assert_eq!(
            read(members[1].private_audit()),
            [by_grace(of(ReadKind::List, &[note])), by_grace(of::<Note>(ReadKind::Sql, &[]))]
        );
        assert_eq!(
            read(store.reference().audit()),
            [by_grace(of(ReadKind::Get, &[euro])), (None, of(ReadKind::List, &[euro]))]
        );
        assert_eq!(read(ada.audit()), []);
        assert_eq!(read(grace.audit()), []);
    }
}

/// What administrators read is in the log of whose records it is, with their names and the reason.
#[test]
fn administrators_are_named_with_their_reason() {
    for builder in [builder(), builder().partition_per_tenant()] {
        let store = builder.temporary().unwrap();
        let (ada, grace) = (session(&store, "ada"), session(&store, "grace"));
        let root = session(&store, "root");
        store.users().set_role(root.user(), StoreRole::Admin).unwrap();
        let members = organization(&store, &[&ada, &grace]);
        let organizations = store.organizations();
        organizations.set_role(members[0].organization(), ada.user(), Role::Admin).unwrap();
        let patient = grace.insert(&Patient { name: "p".into() }).unwrap();
        let note = members[1].insert(&Note { text: "n".into(), ticket: None }).unwrap();
        let admin = store.admin(root.user(), "ticket 7").unwrap();
        admin.session(grace.user()).unwrap().get(patient).unwrap();
        admin.session(grace.user()).unwrap().sql("SELECT name FROM patient").rows().unwrap();
        let counts = admin.report::<Patient>().unwrap().count(10).unwrap();
        assert_eq!(counts.tenants.iter().map(|(_, count)| count).sum::<u64>(), 1);
        let records = members[0].manage().unwrap().member_records(grace.user(), "she is ill").unwrap();
        records.list::<Note>().unwrap();
        let by = |audit: Audit<'_>| -> Vec<_> {
            let entries = audit.reads().list().unwrap();
            let name = |user: &Option<UserId>| user.as_ref().map(ToString::to_string);
            entries
                .iter()
                .map(|entry| (name(&entry.actor), name(&entry.admin), entry.reason.clone(), said(entry)))
                .collect()
        };
        let text = |text: &str| Some(text.to_owned());
        let by_root = |actor: &str, said| (text(actor), text("root"), text("ticket 7"), said);
        assert_eq!(
            by(grace.audit()),
            [
                by_root("grace", of(ReadKind::Get, &[patient])),
                by_root("grace", of::<Patient>(ReadKind::Sql, &[])),
                by_root("root", of::<Patient>(ReadKind::Count, &[])),
            ]
        );
        // Who has no records was asked too.
        assert_eq!(by(ada.audit()), [by_root("root", of::<Patient>(ReadKind::Count, &[]))]);
        assert_eq!(ada.audit().action("access").list().unwrap().len(), 1, "a report is one look at each");
        assert_eq!(
            by(members[1].private_audit()),
            [(text("ada"), text("ada"), text("she is ill"), of(ReadKind::List, &[note]))]
        );
        assert_eq!(grace.audit().reads().actor(root.user()).list().unwrap().len(), 3);
        assert_eq!(grace.audit().reads().actor(grace.user()).list().unwrap().len(), 2);
        // Reading the access log is itself a look.
        let looks = grace.audit().action("access").list().unwrap().len();
        assert_eq!(admin.session(grace.user()).unwrap().audit().reads().list().unwrap().len(), 3);
        assert_eq!(grace.audit().action("access").list().unwrap().len(), looks + 2);
        // So is the report of misses.
        assert!(grace.find(Id::<Task>::from_uuid(Uuid::from_u128(7))).unwrap().is_none());
        let report = admin.misses(&TenantName::User(grace.user().clone()), &MissQuery::new()).unwrap();
        assert_eq!(report.groups[0].count(MissKind::Unknown), 1);
        assert_eq!(grace.audit().action("access").list().unwrap().len(), looks + 3);
    }
}

#[test]
fn filters_and_pages() {
    let time = Arc::new(AtomicI64::new(1_700_000_000));
    let clock = Arc::clone(&time);
    let at = |second: i64| Timestamp::from_second(1_700_000_000 + second).unwrap();
    let store = builder()
        .clock(move || Timestamp::from_second(clock.load(Ordering::Relaxed)).unwrap())
        .temporary()
        .unwrap();
    let (ada, grace) = (session(&store, "ada"), session(&store, "grace"));
    let members = organization(&store, &[&ada, &grace]);
    let tickets = [0, 1].map(|n| members[0].insert(&Ticket { title: n.to_string() }).unwrap());
    for second in 0..10 {
        time.store(1_700_000_000 + second, Ordering::Relaxed);
        let member = &members[usize::from(second % 3 == 0)];
        member.get(tickets[usize::try_from(second % 2).unwrap()]).unwrap();
    }
    let audit = members[0].audit();
    let numbers = |entries: Vec<ReadEntry>| entries.iter().map(|entry| entry.number).collect::<Vec<_>>();
    let reads = audit.reads();
    assert_eq!(numbers(reads.clone().actor(&user("grace")).list().unwrap()), [1, 4, 7, 10]);
    assert!(reads.clone().actor(&user("nobody")).list().unwrap().is_empty());
    assert_eq!(numbers(reads.clone().of(tickets[1]).list().unwrap()), [2, 4, 6, 8, 10]);
    assert_eq!(numbers(reads.clone().of(tickets[1]).actor(&user("grace")).list().unwrap()), [4, 10]);
    assert_eq!(numbers(reads.clone().since(at(7)).list().unwrap()), [8, 9, 10]);
    assert_eq!(numbers(reads.clone().until(at(2)).list().unwrap()), [1, 2]);
    assert!(reads.clone().entity("note").list().unwrap().is_empty());
    assert_eq!(reads.clone().list().unwrap()[3].time, at(3));
    let page = reads.clone().newest_first().page(4).unwrap();
    assert_eq!(numbers(page.entries), [10, 9, 8, 7]);
    let page = reads.clone().newest_first().after(page.next.unwrap()).page(6).unwrap();
    assert_eq!((numbers(page.entries), page.next), (vec![6, 5, 4, 3, 2, 1], None));
    assert!(matches!(reads.clone().page(0), Err(Error::InvalidInput { .. })));
    assert!(matches!(reads.clone().after(u64::MAX).list(), Err(Error::InvalidInput { .. })));
    // Many at once are counted, and none of them is named.
    let many: Vec<Ticket> = (0..150).map(|n| Ticket { title: n.to_string() }).collect();
    members[0].insert_many(&many).unwrap();
    members[0].list::<Ticket>().unwrap();
    let last = reads.newest_first().page(1).unwrap().entries.remove(0);
    assert_eq!((last.count, last.records.len()), (Some(152), 0));
}

#[test]
fn reading_can_be_recorded_from_some_day_on_and_until_another() {
    let folder = tempfile::tempdir().unwrap();
    let plain = || {
        Definition::new("lab sample", Tenancy::User).column(ColumnDefinition::new("text", ColumnKind::Text))
    };
    for (number, spread) in [false, true].into_iter().enumerate() {
        let path = folder.path().join(format!("store{number}"));
        let open = |definition: Option<Definition>| {
            let builder = engine::builder();
            let builder = if spread && !path.exists() { builder.partitions(1) } else { builder };
            let builder = definition.into_iter().fold(builder, Builder::definition);
            let store = builder.open(&path).unwrap();
            let report = store.check().unwrap();
            assert!(report.is_clean(), "{report}");
            store
        };
        let noted = |store: &Store| {
            let ada = store.session(&user("ada")).unwrap();
            ada.dynamic("lab sample").unwrap().list().unwrap();
            ada.audit().reads().list().unwrap().len()
        };
        let store = open(Some(plain()));
        store.users().create(&user("ada")).unwrap();
        assert_eq!(noted(&store), 0);
        store.close().unwrap();
        let store = open(Some(plain().audit_reads(true)));
        assert_eq!(noted(&store), 1);
        let place = store.partitions().of_user(&user("ada")).unwrap();
        store.close().unwrap();
        if let Some(place) = place {
            // What every file of a store holds of its entities is the same.
            let file = engine::look(place.path);
            let stored: String =
                file.query_row("SELECT definition FROM _entity", [], |row| row.get(0)).unwrap();
            assert!(stored.contains("audit_reads"), "{stored}");
        }
        // A program that does not name the entity leaves it as it is.
        let store = open(None);
        assert_eq!(noted(&store), 2);
        store.close().unwrap();
        // Whoever only reads decides nothing, and nothing is noted of it.
        let store = engine::builder().definition(plain()).read_only().open(&path).unwrap();
        assert_eq!(noted(&store), 2);
        store.close().unwrap();
        let store = open(None);
        assert_eq!(noted(&store), 3);
        store.close().unwrap();
        let store = open(Some(plain()));
        assert_eq!(noted(&store), 3, "what was noted stays");
        store.close().unwrap();
        // Nothing else of a definition can change so.
        let other = plain().column(ColumnDefinition::new("more", ColumnKind::Text)).audit_reads(true);
        assert!(matches!(engine::builder().definition(other).open(&path), Err(Error::Schema { .. })));
    }
}

#[test]
fn what_waits_is_written_by_whoever_asks_and_at_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    let store = builder().wait_timeout(Duration::from_millis(100)).open(&path).unwrap();
    let ada = session(&store, "ada");
    let grace = session(&store, "grace");
    let id = ada.insert(&Patient { name: "p".into() }).unwrap();
    // More than are kept one by one while nobody can write.
    grace
        .transaction(|tx| {
            for _ in 0..1_500 {
                ada.get(id)?;
            }
            assert!(
                matches!(ada.audit().reads().list(), Err(Error::Busy { .. })),
                "this thread writes already"
            );
            tx.insert(&Patient { name: "q".into() }).map(|_| ())
        })
        .unwrap();
    let entries = ada.audit().reads().list().unwrap();
    assert_eq!(entries.len(), 1_024);
    assert_eq!(entries.iter().map(|entry| entry.count.unwrap()).sum::<u64>(), 1_500, "none is lost");
    assert_eq!(entries[0].records, [id.uuid()]);
    assert!(entries[1_023].records.is_empty(), "an entry that stands for many names none");
    ada.get(id).unwrap();
    store.close().unwrap();
    let store = builder().open(&path).unwrap();
    assert_eq!(store.session(&user("ada")).unwrap().audit().reads().list().unwrap().len(), 1_025);
    assert_eq!(store.session(&user("grace")).unwrap().audit().reads().list().unwrap(), []);
}

#[test]
fn what_could_not_be_written_is_not_lost() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    let store = builder().open(&path).unwrap();
    let ada = session(&store, "ada");
    let id = ada.insert(&Patient { name: "p".into() }).unwrap();
    ada.get(id).unwrap();
    let other = engine::look(&path);
    other
        .execute_batch("CREATE TRIGGER no BEFORE INSERT ON _audit_read BEGIN SELECT RAISE(ABORT, 'no'); END")
        .unwrap();
    assert!(ada.audit().reads().list().is_err());
    ada.list::<Patient>().unwrap();
    other.execute_batch("DROP TRIGGER no").unwrap();
    let kinds: Vec<ReadKind> = ada.audit().reads().list().unwrap().iter().map(|entry| entry.kind).collect();
    assert_eq!(kinds, [ReadKind::Get, ReadKind::List]);
}

/// Somebody else writes what waits, in this very moment, and comes after the one who asks.
#[test]
fn who_asks_sees_what_others_are_about_to_write() {
    let store = builder().temporary().unwrap();
    let (ada, grace) = (session(&store, "ada"), session(&store, "grace"));
    let id = ada.insert(&Patient { name: "p".into() }).unwrap();
    let waiting = |count| {
        let until = Instant::now() + Duration::from_secs(10);
        while store.stats().unwrap().commits.waiting < count {
            assert!(Instant::now() < until, "nobody waits to write what is noted");
            std::thread::yield_now();
        }
    };
    std::thread::scope(|scope| {
        let asked = grace
            .transaction(|_| {
                ada.get(id)?;
                let asked = scope.spawn(|| ada.audit().reads().list().unwrap().len());
                waiting(1);
                scope.spawn(|| store.check().unwrap());
                waiting(2);
                Ok(asked)
            })
            .unwrap();
        assert_eq!(asked.join().unwrap(), 1);
    });
}

/// What each of two users reads is the same whether the other one is there or not.
#[test]
fn others_change_nothing_of_a_log() {
    let run = |others: bool| {
        let store = builder().temporary().unwrap();
        let ada = session(&store, "ada");
        let grace = session(&store, "grace");
        let id = ada.insert(&Patient { name: "p".into() }).unwrap();
        let hers = grace.insert(&Patient { name: "q".into() }).unwrap();
        std::thread::scope(|scope| {
            if others {
                for _ in 0..2 {
                    scope.spawn(|| {
                        for _ in 0..600 {
                            grace.get(hers).unwrap();
                            grace.list::<Patient>().unwrap();
                        }
                    });
                }
            }
            let mut seen = Vec::new();
            for round in 0..60 {
                ada.get(id).unwrap();
                if round % 7 == 0 {
                    let entries = ada.audit().reads().list().unwrap();
                    assert_eq!(entries.len(), round + 1, "all of her own, at once");
                    seen.extend(entries.iter().map(|entry| (entry.number, entry.kind, entry.count)));
                }
            }
            seen
        })
    };
    assert_eq!(run(false), run(true));
}

#[test]
fn a_log_moves_with_its_tenant() {
    let store = builder().partitions(3).temporary().unwrap();
    let ada = session(&store, "ada");
    let grace = session(&store, "grace");
    // So many that somebody lives in each file.
    (0..20).for_each(|n| drop(session(&store, &format!("user-{n}"))));
    assert_eq!(store.partitions().list().unwrap().len(), 3);
    let members = organization(&store, &[&ada, &grace]);
    let ticket = members[0].insert(&Ticket { title: "t".into() }).unwrap();
    for _ in 0..700 {
        members[1].get(ticket).unwrap();
    }
    members[0].insert(&Note { text: "n".into(), ticket: None }).unwrap();
    members[0].list::<Note>().unwrap();
    let mut before =
        (members[0].audit().reads().list().unwrap(), members[0].private_audit().reads().list().unwrap());
    assert_eq!((before.0.len(), before.1.len()), (700, 1));
    let acme = OrganizationId::new("acme").unwrap();
    let place = |store: &Store| store.partitions().of_organization(&acme).unwrap().unwrap().name;
    for _ in 0..3 {
        let here = place(&store);
        let others: Vec<String> = store
            .partitions()
            .list()
            .unwrap()
            .into_iter()
            .map(|p| p.name)
            .filter(|name| *name != here)
            .collect();
        for to in others {
            // What is read meanwhile comes along too.
            let mut read = 0;
            let mut read_on = |_| {
                members[1].get(ticket).unwrap();
                read = members[1].audit().reads().list().unwrap().len();
            };
            store.partitions().move_organization(&acme, &to, &mut read_on).unwrap();
            let reads = members[0].audit().reads().list().unwrap();
            assert!(read > before.0.len());
            assert_eq!(reads.len(), read);
            before.0 = reads;
            let after = (
                members[1].audit().reads().list().unwrap(),
                members[0].private_audit().reads().list().unwrap(),
            );
            assert_eq!(after, before);
            let report = store.check().unwrap();
            assert!(report.is_clean(), "{report}");
        }
    }
    members[0].get(ticket).unwrap();
    let last = members[0].audit().reads().newest_first().page(1).unwrap().entries.remove(0);
    assert_eq!(last.number, before.0.len() as u64 + 1);
}

/// Entries that are too old go at the former home while they are being copied.
#[test]
fn what_goes_meanwhile_does_not_come_along() {
    let time = Arc::new(AtomicI64::new(1_700_000_000));
    let clock = Arc::clone(&time);
    let store = builder()
        .clock(move || Timestamp::from_second(clock.load(Ordering::Relaxed)).unwrap())
        .partitions(2)
        .temporary()
        .unwrap();
    let ada = session(&store, "ada");
    let id = ada.insert(&Patient { name: "p".into() }).unwrap();
    (0..10).for_each(|n| drop(session(&store, &format!("user-{n}"))));
    (0..20).for_each(|_| drop(ada.get(id).unwrap()));
    assert_eq!(ada.audit().reads().list().unwrap().len(), 20);
    let here = store.partitions().of_user(ada.user()).unwrap().unwrap().name;
    let to = store.partitions().list().unwrap().into_iter().find(|other| other.name != here).unwrap();
    let two_years = 2 * 365 * 24 * 3_600;
    let mut later = |_| {
        time.fetch_add(two_years, Ordering::Relaxed);
        ada.get(id).unwrap();
        assert_eq!(ada.audit().reads().list().unwrap().len(), 1);
    };
    store.partitions().move_user(ada.user(), &to.name, &mut later).unwrap();
    let left = ada.audit().reads().list().unwrap();
    assert_eq!(left.len(), 1);
    assert!(left[0].number > 20);
}

#[test]
fn what_an_erased_tenant_read_is_gone_and_what_waited_is_never_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    let store = builder().open(&path).unwrap();
    let ada = store.users().create(&user("ada")).unwrap();
    let session = store.session(&ada).unwrap();
    session.list::<Finding>().unwrap();
    assert_eq!(session.audit().reads().list().unwrap().len(), 1);
    // In memory.
    session.list::<Finding>().unwrap();
    store.users().erase(&ada).unwrap();
    store.close().unwrap();
    let file = engine::look(&path);
    let left: i64 = file.query_row("SELECT count(*) FROM _audit_read", [], |row| row.get(0)).unwrap();
    assert_eq!(left, 0);
}
