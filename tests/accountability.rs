//! A walk over every public method through which rows can be touched. The list of them comes from the
//! sources, so that a method that is added and not walked fails here.
//!
//! Each is called by the tenant itself, whose log has to grow by exactly what it changed, and by a store
//! admin in the tenant's name, of whom each call has to leave an entry.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod engine;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tenantry::{
    Entity, Error, Fields, Id, OrganizationId, OrganizationSession, Result, Role, Store, StoreRole,
    TenantSession, Timestamp, UserId, Uuid, column,
};

#[derive(Debug, Clone, PartialEq, Entity)]
#[entity(unique(title))]
struct Task {
    title: String,
    points: i64,
    project: Option<Id<Project>>,
}

#[derive(Debug, Clone, PartialEq, Entity)]
struct Project {
    name: String,
}

#[derive(Debug, Clone, PartialEq, Entity)]
#[entity(tenancy = organization)]
struct Ticket {
    title: String,
}

#[derive(Debug, Clone, PartialEq, Entity)]
#[entity(tenancy = member)]
struct Note {
    text: String,
}

/// The sources in which the methods of sessions stand, and the types whose methods they are.
const SOURCES: &[(&str, &[&str])] = &[
    (include_str!("../src/session/mod.rs"), &["Session", "TenantSession", "OrganizationSession"]),
    (include_str!("../src/session/manage.rs"), &["TenantSession", "OrganizationSession"]),
    (include_str!("../src/session/verbs.rs"), &["Verbs"]),
    (include_str!("../src/session/dynamic.rs"), &["Dynamic"]),
    (include_str!("../src/session/query.rs"), &["Query", "Joined"]),
    (include_str!("../src/session/transaction.rs"), &["Transaction"]),
    (include_str!("../src/session/sql.rs"), &["Session"]),
    (include_str!("../src/session/history.rs"), &["Audit"]),
    (include_str!("../src/session/reads.rs"), &["Reads"]),
    (include_str!("../src/sql/mod.rs"), &["Sql"]),
    (include_str!("../src/leave/mod.rs"), &["TenantSession"]),
];

/// Methods that narrow, name or begin something, and touch no row of anybody.
const TOUCHING_NOTHING: &[&str] = &[
    "Audit::action",
    "Audit::actor",
    "Audit::admin",
    "Audit::after",
    "Audit::entity",
    "Audit::newest_first",
    "Audit::of",
    "Audit::outcome",
    "Audit::reads",
    "Audit::record",
    "Audit::since",
    "Audit::transaction",
    "Audit::until",
    "Dynamic::definition",
    "Dynamic::query",
    "OrganizationSession::organization",
    "OrganizationSession::private_audit",
    "OrganizationSession::user",
    "Query::after",
    "Query::filter",
    "Query::limit",
    "Query::mine",
    "Query::order_by",
    "Query::with",
    "Reads::actor",
    "Reads::after",
    "Reads::entity",
    "Reads::newest_first",
    "Reads::of",
    "Reads::record",
    "Reads::since",
    "Reads::until",
    "Session::audit",
    "Session::sql",
    "Session::with_sql_limits",
    "Sql::bind",
    "Sql::bind_named",
    "Sql::cancel_with",
    "TenantSession::user",
    "Verbs::dynamic",
    "Verbs::query",
];

/// `Type::method` of every public method of these types.
fn methods() -> BTreeSet<String> {
    let mut methods = BTreeSet::new();
    for (source, types) in SOURCES {
        let mut current = None;
        for line in source.lines() {
            if let Some(rest) = line.strip_prefix("impl") {
                current = type_of(rest).filter(|name| types.contains(&name.as_str()));
            } else if let (Some(name), Some(rest)) = (&current, line.strip_prefix("    pub fn ")) {
                let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap();
                methods.insert(format!("{name}::{}", &rest[..end]));
            }
        }
    }
    methods
}

/// The type of an inherent `impl`, whose line begins with `rest`.
fn type_of(rest: &str) -> Option<String> {
    if rest.contains(" for ") {
        return None;
    }
    let mut depth = 0_u32;
    let name = rest.trim_start_matches(|c: char| {
        match c {
            '<' => depth += 1,
            '>' => depth -= 1,
            _ => return depth > 0 || c == ' ',
        }
        true
    });
    Some(name.chars().take_while(|c| c.is_alphanumeric()).collect())
}

/// What a call leaves in the tenant's log when the tenant itself makes it.
type Walk<'w, S> = Vec<(&'static str, usize, Box<dyn Fn(&S) -> Result<()> + 'w>)>;

struct World {
    store: Store,
    acme: OrganizationId,
}

fn user(id: &str) -> UserId {
    UserId::new(id).unwrap()
}

fn task(title: &str) -> Task {
    Task { title: title.into(), points: 3, project: None }
}

impl World {
    fn new(partitions: Option<u32>) -> Self {
        let mut builder =
            engine::builder().entity::<Project>().entity::<Task>().entity::<Ticket>().entity::<Note>();
        if let Some(count) = partitions {
            builder = builder.partitions(count);
        }
        let store = builder.temporary().unwrap();
        for id in ["ada", "grace", "root"] {
            store.users().create(&user(id)).unwrap();
        }
        store.users().set_role(&user("root"), StoreRole::Admin).unwrap();
        let acme = OrganizationId::new("acme").unwrap();
        for id in ["acme", "guild", "union"] {
            let organization = store.organizations().create(&OrganizationId::new(id).unwrap()).unwrap();
            store.organizations().add_member(&organization, &user("ada"), Role::Admin).unwrap();
        }
        store.organizations().add_member(&acme, &user("grace"), Role::Admin).unwrap();
        Self { store, acme }
    }

    fn ada(&self) -> TenantSession {
        self.store.session(&user("ada")).unwrap()
    }
}

/// Calls each by the tenant itself, and then by an admin.
fn walk<S>(walk: &Walk<'_, S>, own: &S, by_admin: &S, log: &dyn Fn() -> Vec<tenantry::AuditEntry>) {
    for (name, changes, call) in walk {
        let before = log().len();
        call(own).unwrap_or_else(|error| panic!("{name}: {error}"));
        let entries = &log()[before..];
        assert_eq!(entries.len(), *changes, "{name} by the tenant: {entries:#?}");
        assert!(
            entries.iter().all(|entry| entry.admin.is_none() && entry.actor == Some(user("ada"))),
            "{name}"
        );

        let before = log().len();
        call(by_admin).unwrap_or_else(|error| panic!("{name} by an admin: {error}"));
        let entries = &log()[before..];
        assert!(!entries.is_empty(), "{name} by an admin left no entry");
        for entry in entries {
            assert_eq!(entry.admin, Some(user("root")), "{name}: {entry:?}");
            assert_eq!((entry.actor.as_ref(), entry.reason.as_deref()), (Some(&user("ada")), Some("walk")));
        }
        let changed = entries.iter().filter(|entry| entry.action != "access").count();
        assert_eq!(changed, *changes, "{name} by an admin: {entries:#?}");
    }
}

fn given_up<T>(outcome: Result<T>) -> Result<()> {
    assert!(matches!(outcome, Err(Error::Aborted { .. })));
    Ok(())
}

/// Of a user's own session, each as many times as it is called: a call leaves things as it found them.
fn of_a_user(id: Id<Task>, project: Id<Project>) -> Walk<'static, TenantSession> {
    fn call(
        walk: &mut Walk<'static, TenantSession>,
        name: &'static str,
        changes: usize,
        call: impl Fn(&TenantSession) -> Result<()> + 'static,
    ) {
        walk.push((name, changes, Box::new(call)));
    }
    let dynamic = Id::<Fields>::from_uuid(id.uuid());
    let missing = Id::<Task>::from_uuid(Uuid::from_u128(7));
    let fields = || Fields::new().with("title", "by name").with("points", 1_i64);
    let mut all = Vec::new();
    let walk = &mut all;

    call(walk, "Verbs::insert", 2, |s| s.insert(&task("new")).and_then(|id| s.delete(id)));
    call(walk, "Verbs::insert_at", 2, |s| {
        s.insert_at(&task("old"), Timestamp::UNIX_EPOCH).and_then(|id| s.delete(id))
    });
    call(walk, "Verbs::insert_many", 4, |s| {
        s.insert_many(&[task("a"), task("b")])?.into_iter().try_for_each(|id| s.delete(id))
    });
    call(walk, "Verbs::get", 0, move |s| s.get(id).map(drop));
    call(walk, "Verbs::find", 0, move |s| s.find(id).map(drop));
    call(walk, "Verbs::find", 0, move |s| s.find(missing).map(drop));
    call(walk, "Verbs::get_many", 0, move |s| s.get_many(&[id, missing]).map(drop));
    call(walk, "Verbs::exists", 0, move |s| s.exists(id).map(drop));
    call(walk, "Verbs::count", 0, |s| s.count::<Task>().map(drop));
    call(walk, "Verbs::list", 0, |s| s.list::<Task>().map(drop));
    call(walk, "Verbs::update", 1, move |s| s.update(id, &task("tea")).map(drop));
    call(walk, "Verbs::update", 0, move |s| {
        assert!(matches!(s.update(missing, &task("tea")), Err(Error::NotFound { .. })));
        Ok(())
    });
    call(walk, "Verbs::patch", 1, move |s| s.patch(id, Task::POINTS.set(5)).map(drop));
    call(walk, "Verbs::upsert", 1, move |s| s.upsert(id, &task("tea")).map(drop));
    call(walk, "Verbs::upsert_on", 1, |s| s.upsert_on(&[Task::TITLE.name()], &task("tea")).map(drop));
    call(walk, "Verbs::update_where", 1, |s| {
        s.update_where(Task::TITLE.eq("tea"), Task::POINTS.set(4)).map(drop)
    });
    call(walk, "Verbs::update_where", 0, |s| {
        s.update_where(Task::POINTS.eq(99), Task::POINTS.set(1)).map(drop)
    });
    call(walk, "Verbs::delete_where", 0, |s| s.delete_where(Task::POINTS.eq(99)).map(drop));
    call(walk, "Verbs::delete", 0, move |s| {
        assert!(matches!(s.delete(missing), Err(Error::NotFound { .. })));
        Ok(())
    });
    call(walk, "Verbs::delete", 2, |s| s.insert(&task("gone")).and_then(|id| s.delete(id)));

    call(walk, "Query::list", 0, |s| s.query::<Task>().list().map(drop));
    call(walk, "Query::page", 0, |s| s.query::<Task>().page(5).map(drop));
    call(walk, "Query::first", 0, |s| s.query::<Task>().first().map(drop));
    call(walk, "Query::one", 0, |s| s.query::<Task>().one().map(drop));
    call(walk, "Query::iter", 0, |s| s.query::<Task>().iter()?.try_for_each(|record| record.map(drop)));
    call(walk, "Query::exists", 0, |s| s.query::<Task>().exists().map(drop));
    call(walk, "Query::count", 0, |s| s.query::<Task>().filter(Task::POINTS.gt(1)).count().map(drop));
    call(walk, "Query::sum", 0, |s| s.query::<Task>().sum(Task::POINTS).map(drop));
    call(walk, "Query::average", 0, |s| s.query::<Task>().average(Task::POINTS).map(drop));
    call(walk, "Query::min", 0, |s| s.query::<Task>().min(Task::POINTS).map(drop));
    call(walk, "Query::max", 0, |s| s.query::<Task>().max(Task::POINTS).map(drop));
    call(walk, "Query::group_count", 0, |s| s.query::<Task>().group_count(Task::TITLE).map(drop));
    call(walk, "Query::group_count_by", 0, |s| {
        s.dynamic("task")?.query().group_count_by(&column("title")).map(drop)
    });
    call(walk, "Query::patch", 1, |s| s.query::<Task>().patch(Task::POINTS.set(8)).map(drop));
    call(walk, "Query::delete", 0, |s| s.query::<Task>().filter(Task::POINTS.eq(99)).delete().map(drop));
    call(walk, "Joined::list", 0, |s| s.query::<Task>().with(Task::PROJECT).list().map(drop));
    call(walk, "Joined::page", 0, |s| s.query::<Task>().with(Task::PROJECT).page(5).map(drop));

    call(walk, "Dynamic::insert", 2, move |s| {
        let tasks = s.dynamic("task")?;
        tasks.insert(fields()).and_then(|id| tasks.delete(id))
    });
    call(walk, "Dynamic::insert_at", 2, move |s| {
        let tasks = s.dynamic("task")?;
        tasks.insert_at(fields(), Timestamp::UNIX_EPOCH).and_then(|id| tasks.delete(id))
    });
    call(walk, "Dynamic::insert_many", 2, move |s| {
        let tasks = s.dynamic("task")?;
        tasks.insert_many([fields()])?.into_iter().try_for_each(|id| tasks.delete(id))
    });
    call(walk, "Dynamic::get", 0, move |s| s.dynamic("task")?.get(dynamic).map(drop));
    call(walk, "Dynamic::find", 0, move |s| s.dynamic("task")?.find(dynamic).map(drop));
    call(walk, "Dynamic::get_many", 0, move |s| s.dynamic("task")?.get_many(&[dynamic]).map(drop));
    call(walk, "Dynamic::exists", 0, move |s| s.dynamic("task")?.exists(dynamic).map(drop));
    call(walk, "Dynamic::count", 0, |s| s.dynamic("task")?.count().map(drop));
    call(walk, "Dynamic::list", 0, |s| s.dynamic("task")?.list().map(drop));
    call(walk, "Dynamic::update", 1, move |s| {
        s.dynamic("task")?.update(dynamic, Fields::new().with("title", "tea").with("points", 1_i64)).map(drop)
    });
    call(walk, "Dynamic::patch", 1, move |s| {
        s.dynamic("task")?.patch(dynamic, Fields::new().with("points", 2_i64)).map(drop)
    });
    call(walk, "Dynamic::upsert", 1, move |s| {
        s.dynamic("task")?.upsert(dynamic, Fields::new().with("title", "tea").with("points", 1_i64)).map(drop)
    });
    call(walk, "Dynamic::upsert_on", 1, |s| {
        let fields = Fields::new().with("title", "tea").with("points", 1_i64);
        s.dynamic("task")?.upsert_on(&["title"], fields).map(drop)
    });
    call(walk, "Dynamic::delete", 2, move |s| {
        let tasks = s.dynamic("task")?;
        tasks.insert(fields()).and_then(|id| tasks.delete(id))
    });

    call(walk, "Session::read", 0, |s| s.read(|view| view.list::<Task>()).map(drop));
    call(walk, "Session::transaction", 0, |s| s.transaction(|tx| tx.list::<Task>()).map(drop));
    call(walk, "Session::transaction", 2, |s| s.transaction(|tx| tx.delete(tx.insert(&task("within"))?)));
    call(walk, "Session::transaction", 0, |s| {
        given_up(s.transaction(|tx| {
            tx.insert(&task("never"))?;
            Err::<(), _>(Error::aborted("no"))
        }))
    });
    call(walk, "Transaction::transaction", 1, move |s| {
        s.transaction(|tx| {
            given_up(tx.transaction(|inner| {
                inner.delete(id)?;
                Err::<(), _>(Error::aborted("no"))
            }))?;
            tx.transaction(|inner| inner.patch(id, Task::POINTS.set(6)).map(drop))
        })
    });

    call(walk, "Sql::rows", 0, |s| s.sql("SELECT * FROM task").rows().map(drop));
    call(walk, "Sql::all", 0, |s| s.sql("SELECT count(*) FROM task").all::<i64>().map(drop));
    call(walk, "Sql::first", 0, |s| s.sql("SELECT count(*) FROM task").first::<i64>().map(drop));
    call(walk, "Sql::stream", 0, |s| s.sql("SELECT title FROM task").stream(|rows| rows.next().map(drop)));
    call(walk, "Sql::explain", 0, |s| s.sql("SELECT title FROM task").explain().map(drop));

    call(walk, "Audit::list", 0, |s| s.audit().list().map(drop));
    call(walk, "Audit::page", 0, |s| s.audit().page(3).map(drop));
    call(walk, "Audit::iter", 0, |s| s.audit().iter()?.try_for_each(|entry| entry.map(drop)));
    call(walk, "Audit::history", 0, move |s| s.audit().history(id).map(drop));
    call(walk, "Audit::state_at", 0, move |s| s.audit().state_at(id, Timestamp::UNIX_EPOCH).map(drop));
    call(walk, "Audit::records", 0, |s| s.audit().records().map(drop));
    call(walk, "Audit::refusals", 0, |s| s.audit().refusals().map(drop));
    call(walk, "Audit::refusals_every", 0, |s| s.audit().refusals_every(Duration::from_secs(1)).map(drop));
    call(walk, "Audit::export_json_lines", 0, |s| s.audit().export_json_lines(&mut Vec::new()).map(drop));
    call(walk, "Audit::export_cloud_events", 0, |s| s.audit().export_cloud_events(&mut Vec::new()).map(drop));
    call(walk, "Audit::verify", 0, |s| s.audit().verify().map(drop));
    call(walk, "Audit::head", 0, |s| s.audit().head().map(drop));
    call(walk, "Audit::verify_against", 0, |s| s.audit().verify_against(&s.audit().head()?).map(drop));

    call(walk, "Reads::list", 0, |s| s.audit().reads().list().map(drop));
    call(walk, "Reads::page", 0, |s| s.audit().reads().page(3).map(drop));

    call(walk, "TenantSession::export", 0, |s| s.export(&mut Vec::new()).map(drop));
    call(walk, "TenantSession::export_json_lines", 0, |s| s.export_json_lines(&mut Vec::new()).map(drop));
    call(walk, "TenantSession::export_sqlite", 0, |s| {
        let folder = tempfile::tempdir().unwrap();
        s.export_sqlite(folder.path().join("ada.db")).map(drop)
    });

    call(walk, "TenantSession::invitations", 0, |s| s.invitations(None, 10).map(drop));
    // A reference within the tenant goes with what it refers to only if that says so.
    call(walk, "Verbs::patch", 2, move |s| {
        s.patch(id, Task::PROJECT.set(Some(project)))?;
        assert!(matches!(s.delete(project), Err(Error::Reference { .. })));
        s.patch(id, Task::PROJECT.set(None)).map(drop)
    });
    all
}

/// Of a session in an organization; what it does with the organization's own records.
fn of_a_member() -> Walk<'static, OrganizationSession> {
    vec![
        (
            "Verbs::insert",
            2,
            Box::new(|s: &OrganizationSession| {
                let ticket = s.insert(&Ticket { title: "Leak".into() })?;
                s.delete(ticket)
            }),
        ),
        ("Verbs::list", 0, Box::new(|s: &OrganizationSession| s.list::<Ticket>().map(drop))),
        ("OrganizationSession::role", 0, Box::new(|s: &OrganizationSession| s.role().map(drop))),
        (
            "OrganizationSession::members",
            0,
            Box::new(|s: &OrganizationSession| s.members(None, 10).map(drop)),
        ),
        ("OrganizationSession::manage", 0, Box::new(|s: &OrganizationSession| s.manage().map(drop))),
        ("Audit::list", 0, Box::new(|s: &OrganizationSession| s.audit().list().map(drop))),
        (
            "Sql::all",
            0,
            Box::new(|s: &OrganizationSession| s.sql("SELECT title FROM ticket").all::<String>().map(drop)),
        ),
    ]
}

/// The same of the member's own records in it.
fn of_a_member_alone() -> Walk<'static, OrganizationSession> {
    vec![
        (
            "Verbs::insert",
            2,
            Box::new(|s: &OrganizationSession| {
                let note = s.insert(&Note { text: "psst".into() })?;
                s.delete(note)
            }),
        ),
        ("Verbs::list", 0, Box::new(|s: &OrganizationSession| s.list::<Note>().map(drop))),
        ("Audit::list", 0, Box::new(|s: &OrganizationSession| s.private_audit().list().map(drop))),
        (
            "Sql::all",
            0,
            Box::new(|s: &OrganizationSession| s.sql("SELECT text FROM note").all::<String>().map(drop)),
        ),
    ]
}

/// Those that begin or end a membership: each once by the tenant and once by an admin, in the log of the
/// organization.
const MEMBERSHIPS: &[&str] = &[
    "OrganizationSession::leave",
    "TenantSession::accept_invitation",
    "TenantSession::decline_invitation",
    "TenantSession::in_organization",
];

fn memberships(world: &World, session: &TenantSession, organization: &str, admin: Option<UserId>) {
    let organization = OrganizationId::new(organization).unwrap();
    let organizations = world.store.organizations();
    organizations.add_member(&organization, &user("grace"), Role::Admin).unwrap();
    let grace = world.store.session(&user("grace")).unwrap().in_organization(&organization).unwrap();
    let grown = |what: &str, call: &dyn Fn() -> Result<()>, changes: usize| {
        let before = grace.audit().list().unwrap().len();
        call().unwrap_or_else(|error| panic!("{what}: {error}"));
        let entries = grace.audit().list().unwrap().split_off(before);
        let (looks, changed): (Vec<_>, Vec<_>) = entries.iter().partition(|entry| entry.action == "access");
        assert_eq!(changed.len(), changes, "{what}: {changed:#?}");
        assert!(entries.iter().all(|entry| entry.admin == admin), "{what}: {entries:#?}");
        assert_eq!(looks.is_empty(), admin.is_none() || what.contains("decline"), "{what}: {entries:#?}");
    };
    grown("leave", &|| session.in_organization(&organization)?.leave(), 1);
    organizations.invite(&organization, &user("ada"), Role::Admin, None).unwrap();
    grown("decline_invitation", &|| session.decline_invitation(&organization), 1);
    organizations.invite(&organization, &user("ada"), Role::Admin, None).unwrap();
    grown("accept_invitation", &|| session.accept_invitation(&organization).map(drop), 1);
}

#[test]
fn every_public_method_that_can_touch_rows_is_walked_and_on_record() {
    let mut walked: BTreeMap<&str, usize> = BTreeMap::new();
    for world in [World::new(None), World::new(Some(3))] {
        let ada = world.ada();
        let project = ada.insert(&Project { name: "Garden".into() }).unwrap();
        let id = ada.insert(&task("tea")).unwrap();
        let admin = world.store.admin(&user("root"), "walk").unwrap();
        let user_walk = of_a_user(id, project);
        let as_ada = admin.session(&user("ada")).unwrap();
        walk(&user_walk, &ada, &as_ada, &|| world.ada().audit().list().unwrap());

        let (inside, as_member) =
            (ada.in_organization(&world.acme).unwrap(), admin.session_in(&world.acme, &user("ada")).unwrap());
        let (member_walk, alone) = (of_a_member(), of_a_member_alone());
        walk(&member_walk, &inside, &as_member, &|| inside.audit().list().unwrap());
        walk(&alone, &inside, &as_member, &|| inside.private_audit().list().unwrap());
        memberships(&world, &ada, "guild", None);
        memberships(&world, &as_ada, "union", Some(user("root")));

        let names = user_walk.iter().map(|(name, ..)| *name);
        let names = names.chain(member_walk.iter().chain(&alone).map(|(name, ..)| *name));
        for name in names.chain(MEMBERSHIPS.iter().copied()).chain(TOUCHING_NOTHING.iter().copied()) {
            *walked.entry(name).or_default() += 1;
        }
        assert!(ada.audit().verify().unwrap().is_intact());
        let report = world.store.check().unwrap();
        assert!(report.is_clean(), "{report}");
    }
    let walked: BTreeSet<String> = walked.into_keys().map(str::to_owned).collect();
    let there = methods();
    assert!(there.len() > 80, "the sources could not be read: {there:?}");
    let (missing, gone): (Vec<_>, Vec<_>) =
        (there.difference(&walked).collect(), walked.difference(&there).collect());
    assert!(missing.is_empty(), "public methods that are not walked: {missing:?}");
    assert!(gone.is_empty(), "methods that are walked and not there: {gone:?}");
}
