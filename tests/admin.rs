//! Administrators: of an organization and of the store. Each claim of what they may do, of what is on
//! record of it, and of when it ends.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod engine;

use std::sync::Mutex;
use std::time::Duration;

use tenantry::{
    AuditEntry, Entity, Error, Id, OrganizationId, OrganizationSession, Quota, Role, SqlLimits, Store,
    StoreRole, TenantName, TenantSession, Timestamp, UserId, column,
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
#[entity(tenancy = organization, author)]
struct Ticket {
    title: String,
    cost: f64,
}

#[derive(Debug, Clone, PartialEq, Entity)]
#[entity(tenancy = member)]
struct Note {
    text: String,
}

#[derive(Debug, Clone, PartialEq, Entity)]
#[entity(tenancy = reference)]
struct Currency {
    code: String,
}

fn user(id: &str) -> UserId {
    UserId::new(id).unwrap()
}

fn organization(id: &str) -> OrganizationId {
    OrganizationId::new(id).unwrap()
}

fn task(title: &str, points: i64) -> Task {
    Task { title: title.into(), points, project: None }
}

/// Ada and Grace; Acme with Ada as its admin and Grace as a member; Root, who administers the store.
fn world(partitions: Option<u32>) -> Store {
    let mut builder = engine::builder()
        .entity::<Project>()
        .entity::<Task>()
        .entity::<Ticket>()
        .entity::<Note>()
        .entity::<Currency>();
    if let Some(count) = partitions {
        builder = builder.partitions(count);
    }
    let store = builder.temporary().unwrap();
    for id in ["ada", "grace", "root"] {
        store.users().create(&user(id)).unwrap();
    }
    let acme = organization("acme");
    store.organizations().create(&acme).unwrap();
    store.organizations().add_member(&acme, &user("ada"), Role::Admin).unwrap();
    store.organizations().add_member(&acme, &user("grace"), Role::Member).unwrap();
    store.users().set_role(&user("root"), StoreRole::Admin).unwrap();
    store
}

/// The same in one file and in several.
fn worlds() -> Vec<Store> {
    vec![world(None), world(Some(3))]
}

fn own(store: &Store, id: &str) -> TenantSession {
    store.session(&user(id)).unwrap()
}

fn inside(store: &Store, id: &str) -> OrganizationSession {
    own(store, id).in_organization(&organization("acme")).unwrap()
}

fn last(log: Vec<AuditEntry>) -> AuditEntry {
    log.into_iter().next_back().unwrap()
}

fn actions(log: &[AuditEntry]) -> Vec<&str> {
    log.iter().map(|entry| entry.action.as_str()).collect()
}

#[test]
fn only_a_store_admin_gets_a_session_and_refusals_are_on_record() {
    for store in worlds() {
        let refused = store.admin(&user("ada"), "curious");
        assert!(matches!(refused, Err(Error::AccessDenied { .. })));
        let entry = last(own(&store, "ada").audit().list().unwrap());
        assert_eq!((entry.action.as_str(), entry.outcome.as_str()), ("session", "not_admin"));

        assert!(matches!(store.admin(&user("nobody"), "curious"), Err(Error::UnknownUser { .. })));
        for reason in ["", " \t ", "two\nlines", &"x".repeat(1_001)] {
            assert!(
                matches!(store.admin(&user("root"), reason), Err(Error::InvalidInput { .. })),
                "{reason:?}"
            );
        }
        store.users().disable(&user("root")).unwrap();
        assert!(matches!(store.admin(&user("root"), "work"), Err(Error::Disabled { .. })));
        store.users().enable(&user("root")).unwrap();

        let admin = store.admin(&user("root"), "work").unwrap();
        assert_eq!((admin.admin().as_str(), admin.reason()), ("root", "work"));
        let entry = last(own(&store, "root").audit().list().unwrap());
        assert_eq!((entry.action.as_str(), entry.reason.as_deref()), ("access", Some("work")));
        assert!(store.check().unwrap().is_clean(), "{}", store.check().unwrap());
    }
}

#[test]
fn everything_ends_with_the_role_or_the_user() {
    for store in worlds() {
        for end in ["role", "user"] {
            let admin = store.admin(&user("root"), "work").unwrap();
            let session = admin.session(&user("ada")).unwrap();
            let in_acme = admin.session_in(&organization("acme"), &user("ada")).unwrap();
            let reference = admin.reference().unwrap();
            let report = admin.report::<Task>().unwrap();
            session.count::<Task>().unwrap();
            match end {
                "role" => store.users().set_role(&user("root"), StoreRole::User).unwrap(),
                _ => store.users().disable(&user("root")).unwrap(),
            }
            let denied = |outcome: Result<(), Error>, what: &str| {
                assert!(matches!(outcome, Err(Error::AccessDenied { .. })), "{end}: {what}: {outcome:?}");
            };
            denied(session.count::<Task>().map(drop), "a read");
            denied(session.insert(&task("late", 1)).map(drop), "a write");
            denied(session.transaction(|tx| tx.insert(&task("late", 1))).map(drop), "a transaction");
            denied(session.audit().list().map(drop), "the log");
            denied(session.sql("SELECT 1").all::<i64>().map(drop), "a statement");
            denied(in_acme.list::<Ticket>().map(drop), "an organization's session");
            denied(reference.insert(&Currency { code: "EUR".into() }).map(drop), "a reference record");
            denied(report.count(10).map(drop), "a report");
            denied(admin.session(&user("ada")).map(drop), "a new session");
            denied(admin.reference().map(drop), "a reference session");
            denied(admin.users().disable(&user("ada")), "a change");
            denied(admin.users().get(&user("ada")).map(drop), "a look");
            denied(admin.users().list(None, 10).map(drop), "a list");
            denied(admin.users().set_quota(&user("ada"), "task", Some(Quota::none().rows(1))), "a quota");
            denied(admin.organizations().rename(&organization("acme"), "x"), "an organization");
            store.users().enable(&user("root")).unwrap();
            store.users().set_role(&user("root"), StoreRole::Admin).unwrap();
        }
        // The tenant's own sessions go on, and nothing was written.
        assert_eq!(own(&store, "ada").count::<Task>().unwrap(), 0);
        assert!(!store.users().get(&user("ada")).unwrap().disabled);
    }
}

#[test]
fn a_changed_record_names_the_tenant_the_admin_and_the_reason() {
    for store in worlds() {
        let admin = store.admin(&user("root"), "ticket 1").unwrap();
        let id = admin.session(&user("ada")).unwrap().insert(&task("Tea", 3)).unwrap();
        let entry = last(own(&store, "ada").audit().of(id).list().unwrap());
        assert_eq!(entry.action, "insert");
        assert_eq!((entry.actor, entry.admin), (Some(user("ada")), Some(user("root"))));
        assert_eq!(entry.reason.as_deref(), Some("ticket 1"));

        let other = admin.with_reason("ticket 2").unwrap();
        let ticket = other
            .session_in(&organization("acme"), &user("grace"))
            .unwrap()
            .insert(&Ticket { title: "Leak".into(), cost: 1.5 })
            .unwrap();
        let record = inside(&store, "ada").get(ticket).unwrap();
        assert_eq!(record.author, Some(user("grace")));
        let entry = last(inside(&store, "ada").audit().of(ticket).list().unwrap());
        assert_eq!((entry.actor, entry.admin), (Some(user("grace")), Some(user("root"))));
        assert_eq!(entry.reason.as_deref(), Some("ticket 2"));

        admin.reference().unwrap().insert(&Currency { code: "EUR".into() }).unwrap();
        let entry = last(store.reference().audit().list().unwrap());
        assert_eq!((entry.actor, entry.admin), (Some(user("root")), Some(user("root"))));
        assert_eq!(own(&store, "ada").count::<Currency>().unwrap(), 1);

        // By SQL, too.
        let told: Vec<(String, String, String)> = own(&store, "ada")
            .sql("SELECT actor, admin, reason FROM audit WHERE action = 'insert'")
            .all()
            .unwrap();
        assert_eq!(told, [("ada".to_owned(), "root".to_owned(), "ticket 1".to_owned())]);
        assert!(store.check().unwrap().is_clean(), "{}", store.check().unwrap());
    }
}

#[test]
fn a_disabled_user_is_reached_by_an_admin_and_by_nobody_else() {
    for store in worlds() {
        let id = own(&store, "ada").insert(&task("Tea", 3)).unwrap();
        let admin = store.admin(&user("root"), "work").unwrap();
        admin.users().disable(&user("ada")).unwrap();
        assert!(matches!(store.session(&user("ada")), Err(Error::Disabled { .. })));
        assert_eq!(admin.session(&user("ada")).unwrap().get(id).unwrap().title, "Tea");
        admin.organizations().disable(&organization("acme")).unwrap();
        assert!(own(&store, "grace").in_organization(&organization("acme")).is_err());
        admin.session_in(&organization("acme"), &user("grace")).unwrap().list::<Ticket>().unwrap();
    }
}

/// A call of an administrator, and whose log has to tell of it, how often at least.
type Call<'a> = (&'a str, &'a dyn Fn() -> Result<(), Error>);

fn each_leaves_an_entry(calls: &[Call<'_>], length: &dyn Fn() -> usize) {
    for (name, call) in calls {
        let before = length();
        call().unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(length() > before, "{name} left no entry");
    }
}

#[test]
fn each_verb_of_an_admins_session_leaves_an_entry_in_the_tenants_log() {
    for store in worlds() {
        let ada = own(&store, "ada");
        let project = ada.insert(&Project { name: "Garden".into() }).unwrap();
        let id = ada.insert(&Task { project: Some(project), ..task("Tea", 3) }).unwrap();
        let missing: Id<Task> = Id::from_uuid(tenantry::Uuid::from_u128(7));
        let admin = store.admin(&user("root"), "work").unwrap();
        let session = admin.session(&user("ada")).unwrap();
        let length = || ada.audit().list().unwrap().len();
        let fields = || tenantry::Fields::new().with("title", "Dynamic").with("points", 1_i64);
        let tasks = || session.dynamic("task").unwrap();
        each_leaves_an_entry(
            &[
                ("admin.session", &|| admin.session(&user("ada")).map(drop)),
                ("get", &|| session.get(id).map(drop)),
                ("find", &|| session.find(id).map(drop)),
                ("find, missing", &|| session.find(missing).map(drop)),
                ("get_many", &|| session.get_many(&[id]).map(drop)),
                ("exists", &|| session.exists(id).map(drop)),
                ("count", &|| session.count::<Task>().map(drop)),
                ("list", &|| session.list::<Task>().map(drop)),
                ("query.list", &|| session.query::<Task>().list().map(drop)),
                ("query.page", &|| session.query::<Task>().page(5).map(drop)),
                ("query.first", &|| session.query::<Task>().first().map(drop)),
                ("query.one", &|| session.query::<Task>().one().map(drop)),
                ("query.iter", &|| session.query::<Task>().iter()?.try_for_each(|record| record.map(drop))),
                ("query.exists", &|| session.query::<Task>().exists().map(drop)),
                ("query.count", &|| session.query::<Task>().filter(Task::POINTS.gt(1)).count().map(drop)),
                ("query.sum", &|| session.query::<Task>().sum(Task::POINTS).map(drop)),
                ("query.average", &|| session.query::<Task>().average(Task::POINTS).map(drop)),
                ("query.min", &|| session.query::<Task>().min(Task::POINTS).map(drop)),
                ("query.max", &|| session.query::<Task>().max(Task::POINTS).map(drop)),
                ("query.group_count", &|| session.query::<Task>().group_count(Task::TITLE).map(drop)),
                ("joined.list", &|| session.query::<Task>().with(Task::PROJECT).list().map(drop)),
                ("joined.page", &|| session.query::<Task>().with(Task::PROJECT).page(5).map(drop)),
                ("read", &|| session.read(|view| view.list::<Task>()).map(drop)),
                ("transaction", &|| session.transaction(|tx| tx.list::<Task>()).map(drop)),
                ("transaction, given up", &|| {
                    let gone = session.transaction(|tx| {
                        tx.list::<Task>()?;
                        Err::<(), _>(Error::aborted("no"))
                    });
                    assert!(gone.is_err());
                    Ok(())
                }),
                ("sql", &|| session.sql("SELECT count(*) FROM task").all::<i64>().map(drop)),
                ("sql.explain", &|| session.sql("SELECT title FROM task").explain().map(drop)),
                ("sql.stream", &|| {
                    session.sql("SELECT title FROM task").stream(|rows| rows.next().map(drop))
                }),
                ("audit.list", &|| session.audit().list().map(drop)),
                ("audit.page", &|| session.audit().page(3).map(drop)),
                ("audit.iter", &|| session.audit().iter()?.try_for_each(|entry| entry.map(drop))),
                ("audit.history", &|| session.audit().history(id).map(drop)),
                ("audit.state_at", &|| session.audit().state_at(id, Timestamp::UNIX_EPOCH).map(drop)),
                ("audit.records", &|| session.audit().records().map(drop)),
                ("audit.refusals", &|| session.audit().refusals().map(drop)),
                ("audit.refusals_every", &|| {
                    session.audit().refusals_every(Duration::from_secs(1)).map(drop)
                }),
                ("audit.export_json_lines", &|| session.audit().export_json_lines(&mut Vec::new()).map(drop)),
                ("audit.export_cloud_events", &|| {
                    session.audit().export_cloud_events(&mut Vec::new()).map(drop)
                }),
                ("audit.verify", &|| session.audit().verify().map(drop)),
                ("invitations", &|| session.invitations(None, 10).map(drop)),
                ("dynamic.get", &|| tasks().get(Id::from_uuid(id.uuid())).map(drop)),
                ("dynamic.find", &|| tasks().find(Id::from_uuid(id.uuid())).map(drop)),
                ("dynamic.get_many", &|| tasks().get_many(&[Id::from_uuid(id.uuid())]).map(drop)),
                ("dynamic.exists", &|| tasks().exists(Id::from_uuid(id.uuid())).map(drop)),
                ("dynamic.count", &|| tasks().count().map(drop)),
                ("dynamic.list", &|| tasks().list().map(drop)),
                ("dynamic.group_count_by", &|| tasks().query().group_count_by(&column("title")).map(drop)),
                ("insert", &|| session.insert(&task("Dig", 1)).map(drop)),
                ("insert, refused", &|| {
                    assert!(session.insert(&task("Dig", 1)).is_err());
                    Ok(())
                }),
                ("insert_at", &|| session.insert_at(&task("Old", 1), Timestamp::UNIX_EPOCH).map(drop)),
                ("insert_many", &|| session.insert_many(&[task("A", 1), task("B", 1)]).map(drop)),
                ("update", &|| session.update(id, &task("Tea", 4)).map(drop)),
                ("update, missing", &|| {
                    assert!(session.update(missing, &task("Tea", 4)).is_err());
                    Ok(())
                }),
                ("patch", &|| session.patch(id, Task::POINTS.set(5)).map(drop)),
                ("upsert", &|| session.upsert(id, &task("Tea", 6)).map(drop)),
                ("upsert_on", &|| session.upsert_on(&[Task::TITLE.name()], &task("Tea", 7)).map(drop)),
                ("update_where, none", &|| {
                    session.query::<Task>().filter(Task::POINTS.eq(99)).patch(Task::POINTS.set(1)).map(drop)
                }),
                ("delete_where, none", &|| {
                    session.query::<Task>().filter(Task::POINTS.eq(99)).delete().map(drop)
                }),
                ("dynamic.insert", &|| tasks().insert(fields()).map(drop)),
                ("dynamic.upsert_on", &|| tasks().upsert_on(&["title"], fields()).map(drop)),
                ("delete", &|| session.delete(id)),
                ("delete, missing", &|| {
                    assert!(session.delete(missing).is_err());
                    Ok(())
                }),
            ],
            &length,
        );
        let log = ada.audit().list().unwrap();
        let admins: Vec<_> = log.iter().filter(|entry| entry.admin.is_some()).collect();
        assert!(
            admins
                .iter()
                .all(|entry| entry.admin == Some(user("root")) && entry.reason.as_deref() == Some("work"))
        );
        assert!(ada.audit().verify().unwrap().is_intact());
        assert!(store.check().unwrap().is_clean(), "{}", store.check().unwrap());
    }
}

#[test]
fn each_call_on_users_and_organizations_leaves_an_entry_in_the_log_of_whom_it_touches() {
    for store in worlds() {
        let ada = own(&store, "ada");
        let inside_acme = inside(&store, "ada");
        let admin = store.admin(&user("root"), "work").unwrap();
        let acme = organization("acme");
        let quota = Some(Quota::none().rows(100));
        each_leaves_an_entry(
            &[
                ("get", &|| admin.users().get(&user("ada")).map(drop)),
                ("get_or_create", &|| admin.users().get_or_create(&user("ada")).map(drop)),
                ("rename", &|| admin.users().rename(&user("ada"), "Ada")),
                ("usage", &|| admin.users().usage(&user("ada"), "task").map(drop)),
                ("stats", &|| admin.users().stats(&user("ada")).map(drop)),
                ("organizations", &|| admin.users().organizations(&user("ada")).map(drop)),
                ("invitations", &|| admin.users().invitations(&user("ada"), None, 10).map(drop)),
                ("set_quota", &|| admin.users().set_quota(&user("ada"), "task", quota)),
                ("set_role", &|| admin.users().set_role(&user("ada"), StoreRole::User)),
                ("report", &|| admin.report::<Task>()?.count(100).map(drop)),
                ("report.sum", &|| admin.report::<Task>()?.sum(Task::POINTS, 100).map(drop)),
                ("report_of", &|| admin.report_of("task")?.count(100).map(drop)),
            ],
            &|| ada.audit().list().unwrap().len(),
        );
        each_leaves_an_entry(
            &[
                ("get", &|| admin.organizations().get(&acme).map(drop)),
                ("rename", &|| admin.organizations().rename(&acme, "Acme")),
                ("usage", &|| admin.organizations().usage(&acme, "ticket").map(drop)),
                ("stats", &|| admin.organizations().stats(&acme).map(drop)),
                ("members", &|| admin.organizations().members(&acme, None, 10).map(drop)),
                ("invite", &|| admin.organizations().invite(&acme, &user("carl"), Role::Member, None)),
                ("invitations", &|| admin.organizations().invitations(&acme, None, 10).map(drop)),
                ("withdraw", &|| admin.organizations().withdraw_invitation(&acme, &user("carl"))),
                ("set_quota", &|| admin.organizations().set_quota(&acme, "ticket", quota)),
                ("set_role", &|| admin.organizations().set_role(&acme, &user("grace"), Role::Member)),
                ("report", &|| admin.report::<Ticket>()?.count(100).map(drop)),
                ("session_in", &|| admin.session_in(&acme, &user("grace")).map(drop)),
            ],
            &|| inside_acme.audit().list().unwrap().len(),
        );
        each_leaves_an_entry(
            &[
                ("member_usage", &|| {
                    admin.organizations().member_usage(&acme, &user("ada"), "note").map(drop)
                }),
                ("set_member_quota", &|| {
                    admin.organizations().set_member_quota(&acme, &user("ada"), "note", quota)
                }),
                ("report", &|| admin.report::<Note>()?.count(100).map(drop)),
                ("session_in", &|| admin.session_in(&acme, &user("ada")).map(drop)),
            ],
            &|| inside_acme.private_audit().list().unwrap().len(),
        );
        each_leaves_an_entry(
            &[
                ("users", &|| admin.users().list(None, 10).map(drop)),
                ("organizations", &|| admin.organizations().list(None, 10).map(drop)),
            ],
            &|| own(&store, "root").audit().list().unwrap().len(),
        );
        // What names nobody touches nobody: others' logs stay as they are.
        let grace = own(&store, "grace").audit().list().unwrap();
        admin.users().rename(&user("ada"), "A. L.").unwrap();
        admin.session(&user("ada")).unwrap().list::<Task>().unwrap();
        assert_eq!(own(&store, "grace").audit().list().unwrap(), grace);
        assert!(store.check().unwrap().is_clean(), "{}", store.check().unwrap());
    }
}

#[test]
fn what_the_application_does_itself_names_no_admin() {
    let store = world(None);
    store.users().rename(&user("ada"), "Ada").unwrap();
    store.users().list(None, 10).unwrap();
    let log = own(&store, "ada").audit().list().unwrap();
    assert_eq!(actions(&log), ["user.create", "user.rename"]);
    assert!(log.iter().all(|entry| entry.admin.is_none() && entry.reason.is_none() && entry.actor.is_none()));
}

#[test]
fn reports_hold_one_aggregate_for_each_tenant_in_pages() {
    for store in worlds() {
        let admin = store.admin(&user("root"), "report").unwrap();
        for (id, points) in [("ada", vec![1, 5]), ("grace", vec![7])] {
            for (number, points) in points.into_iter().enumerate() {
                own(&store, id).insert(&task(&number.to_string(), points)).unwrap();
            }
        }
        let name = |id: &str| TenantName::User(user(id));
        let report = || admin.report::<Task>().unwrap();
        let all = report().count(10).unwrap();
        assert_eq!(all.tenants, [(name("ada"), 2), (name("grace"), 1), (name("root"), 0)]);
        assert_eq!(all.next, None);
        let first = report().count(2).unwrap();
        assert_eq!((first.tenants.len(), &first.next), (2, &Some(name("grace"))));
        let second = report().after(&first.next.unwrap()).count(2).unwrap();
        assert_eq!((second.tenants, second.next), (vec![(name("root"), 0)], None));
        assert_eq!(report().sum(Task::POINTS, 2).unwrap().tenants, [(name("ada"), 6), (name("grace"), 7)]);
        assert_eq!(report().average(Task::POINTS, 1).unwrap().tenants, [(name("ada"), Some(3.0))]);
        assert_eq!(report().min(Task::POINTS, 1).unwrap().tenants, [(name("ada"), Some(1))]);
        assert_eq!(report().max(Task::POINTS, 1).unwrap().tenants, [(name("ada"), Some(5))]);
        let filtered =
            report().filter(Task::POINTS.gt(4)).only([name("grace"), name("ada")]).count(10).unwrap();
        assert_eq!(filtered.tenants, [(name("ada"), 1), (name("grace"), 1)]);
        let dynamic = admin.report_of("task").unwrap().filter(column("points").gt(4_i64)).count(10).unwrap();
        assert_eq!(dynamic.tenants, [(name("ada"), 1), (name("grace"), 1), (name("root"), 0)]);

        inside(&store, "ada").insert(&Ticket { title: "Leak".into(), cost: 2.5 }).unwrap();
        inside(&store, "grace").insert(&Note { text: "psst".into() }).unwrap();
        let acme = organization("acme");
        let tickets = admin.report::<Ticket>().unwrap().sum(Ticket::COST, 10).unwrap();
        assert_eq!(tickets.tenants, [(TenantName::Organization(acme.clone()), 2.5)]);
        let member = |id: &str| TenantName::Member { organization: acme.clone(), user: user(id) };
        let notes = admin.report::<Note>().unwrap().count(10).unwrap();
        assert_eq!(notes.tenants, [(member("ada"), 0), (member("grace"), 1)]);
        let notes = admin.report::<Note>().unwrap().after(&member("ada")).count(10).unwrap();
        assert_eq!(notes.tenants, [(member("grace"), 1)]);

        assert!(matches!(admin.report::<Currency>(), Err(Error::InvalidInput { .. })));
        assert!(matches!(report().count(0), Err(Error::InvalidInput { .. })));
        assert!(matches!(report().after(&member("ada")).count(1), Err(Error::InvalidInput { .. })));
        assert!(matches!(report().only([name("nobody")]).count(1), Err(Error::UnknownUser { .. })));
    }
}

#[test]
fn invitations_make_members_and_tell_nobody_who_exists() {
    for store in worlds() {
        let acme = organization("acme");
        let admin = inside(&store, "ada").manage().unwrap();
        // The same for somebody who exists and somebody who does not.
        store.users().create(&user("carl")).unwrap();
        admin.invite(&user("carl"), Role::Member, None).unwrap();
        admin.invite(&user("nobody"), Role::Admin, None).unwrap();
        let open = admin.invitations(None, 10).unwrap();
        assert_eq!(open.iter().map(|i| i.user.as_str()).collect::<Vec<_>>(), ["carl", "nobody"]);
        assert!(matches!(admin.invite(&user("grace"), Role::Member, None), Err(Error::Exists { .. })));
        assert!(matches!(
            admin.invite(&user("carl"), Role::Member, Some(Timestamp::UNIX_EPOCH)),
            Err(Error::InvalidInput { .. })
        ));

        let carl = own(&store, "carl");
        assert_eq!(carl.invitations(None, 10).unwrap()[0].organization, acme);
        let unknown = carl.accept_invitation(&organization("nowhere")).unwrap_err();
        assert!(matches!(unknown, Error::NotInvited { .. }));
        assert!(matches!(own(&store, "grace").accept_invitation(&acme), Err(Error::NotInvited { .. })));
        let session = carl.accept_invitation(&acme).unwrap();
        assert_eq!(session.role().unwrap(), Role::Member);
        assert!(carl.invitations(None, 10).unwrap().is_empty());
        assert!(matches!(carl.accept_invitation(&acme), Err(Error::NotInvited { .. })));

        // Somebody who is created later finds the invitation.
        store.users().create(&user("nobody")).unwrap();
        own(&store, "nobody").decline_invitation(&acme).unwrap();
        assert!(own(&store, "nobody").accept_invitation(&acme).is_err());
        admin.invite(&user("eve"), Role::Member, None).unwrap();
        admin.withdraw_invitation(&user("eve")).unwrap();
        assert!(matches!(admin.withdraw_invitation(&user("eve")), Err(Error::NotInvited { .. })));

        let log = inside(&store, "ada").audit().list().unwrap();
        let told: Vec<_> = log
            .iter()
            .skip(3)
            .map(|entry| (entry.action.as_str(), entry.actor.as_ref().map(UserId::as_str)))
            .collect();
        assert_eq!(
            told,
            [
                ("invitation.create", Some("ada")),
                ("invitation.create", Some("ada")),
                ("member.add", Some("carl")),
                ("invitation.decline", Some("nobody")),
                ("invitation.create", Some("ada")),
                ("invitation.withdraw", Some("ada")),
            ]
        );
        assert!(store.check().unwrap().is_clean(), "{}", store.check().unwrap());
    }
}

#[test]
fn an_invitation_ends_by_the_clock() {
    let now = std::sync::Arc::new(Mutex::new(Timestamp::from_second(1_000_000).unwrap()));
    let clock = std::sync::Arc::clone(&now);
    let store = engine::builder().clock(move || *clock.lock().unwrap()).temporary().unwrap();
    let (ada, grace) =
        (store.users().create(&user("ada")).unwrap(), store.users().create(&user("grace")).unwrap());
    let acme = store.organizations().create(&organization("acme")).unwrap();
    store.organizations().add_member(&acme, &ada, Role::Admin).unwrap();
    let admin = store.session(&ada).unwrap().in_organization(&acme).unwrap().manage().unwrap();
    admin.invite(&grace, Role::Member, Some(Timestamp::from_second(1_000_060).unwrap())).unwrap();
    let session = store.session(&grace).unwrap();
    assert_eq!(session.invitations(None, 10).unwrap().len(), 1);
    *now.lock().unwrap() = Timestamp::from_second(1_000_060).unwrap();
    assert!(session.invitations(None, 10).unwrap().is_empty());
    assert!(matches!(session.accept_invitation(&acme), Err(Error::NotInvited { .. })));
}

#[test]
fn an_organizations_admin_manages_members_until_the_role_ends() {
    for store in worlds() {
        let acme = organization("acme");
        assert!(matches!(inside(&store, "grace").manage(), Err(Error::AccessDenied { .. })));
        let entry = last(own(&store, "grace").audit().list().unwrap());
        assert_eq!((entry.action.as_str(), entry.outcome.as_str()), ("session", "not_admin"));

        let admin = inside(&store, "ada").manage().unwrap();
        assert_eq!(admin.members(None, 10).unwrap().len(), 2);
        for outcome in [admin.set_role(&user("ada"), Role::Member), admin.remove_member(&user("ada"))] {
            assert!(matches!(outcome, Err(Error::AccessDenied { .. })), "the only admin: {outcome:?}");
        }
        assert!(matches!(inside(&store, "ada").leave(), Err(Error::AccessDenied { .. })));
        for id in ["nobody", "root"] {
            let outcome = admin.set_role(&user(id), Role::Member);
            assert!(matches!(outcome, Err(Error::NotMember { .. })), "{id}: {outcome:?}");
            assert!(matches!(admin.remove_member(&user(id)), Err(Error::NotMember { .. })));
        }
        admin.rename("Acme Inc.").unwrap();
        admin.set_role(&user("grace"), Role::Admin).unwrap();
        let second = inside(&store, "grace").manage().unwrap();
        let records = admin.member_records(&user("grace"), "audit").unwrap();
        second.set_role(&user("ada"), Role::Member).unwrap();
        let denied = |outcome: Result<(), Error>| {
            assert!(matches!(outcome, Err(Error::AccessDenied { .. })), "{outcome:?}");
        };
        denied(admin.members(None, 10).map(drop));
        denied(admin.invite(&user("carl"), Role::Member, None));
        denied(admin.set_role(&user("grace"), Role::Member));
        denied(admin.rename("mine again"));
        denied(admin.member_records(&user("grace"), "still").map(drop));
        denied(records.list::<Note>().map(drop));
        // A member's own session goes on.
        inside(&store, "ada").leave().unwrap();
        assert!(own(&store, "ada").in_organization(&acme).is_err());
        assert!(store.check().unwrap().is_clean(), "{}", store.check().unwrap());
    }
}

#[test]
fn reading_a_members_records_is_on_record_and_only_reading() {
    for store in worlds() {
        let grace = inside(&store, "grace");
        let id = grace.insert(&Note { text: "psst".into() }).unwrap();
        let admin = inside(&store, "ada").manage().unwrap();
        let length = || grace.private_audit().list().unwrap().len();
        let records = admin.member_records(&user("grace"), "case 7").unwrap();
        each_leaves_an_entry(
            &[
                ("member_records", &|| admin.member_records(&user("grace"), "case 7").map(drop)),
                ("get", &|| records.get(id).map(drop)),
                ("list", &|| records.list::<Note>().map(drop)),
                ("count", &|| records.count::<Note>().map(drop)),
                ("sql", &|| records.sql("SELECT text FROM note").all::<String>().map(drop)),
                ("audit", &|| records.audit().list().map(drop)),
            ],
            &length,
        );
        assert_eq!(records.get(id).unwrap().text, "psst");
        let entry = last(grace.private_audit().list().unwrap());
        assert_eq!((entry.action.as_str(), entry.entity.as_deref()), ("access", Some("note")));
        assert_eq!((entry.actor, entry.admin), (Some(user("ada")), Some(user("ada"))));
        assert_eq!(entry.reason.as_deref(), Some("case 7"));

        // Neither by name, nor another tenancy, nor in a transaction.
        let fields = tenantry::Fields::new().with("text", "forged");
        let notes = records.dynamic("note").unwrap();
        assert!(matches!(notes.insert(fields.clone()), Err(Error::AccessDenied { .. })));
        assert!(matches!(notes.patch(Id::from_uuid(id.uuid()), fields), Err(Error::AccessDenied { .. })));
        assert!(matches!(notes.delete(Id::from_uuid(id.uuid())), Err(Error::AccessDenied { .. })));
        assert!(matches!(notes.query().delete(), Err(Error::AccessDenied { .. })));
        let within = records.transaction(|tx| tx.dynamic("note")?.delete(Id::from_uuid(id.uuid())));
        assert!(matches!(within, Err(Error::AccessDenied { .. })));
        for entity in ["ticket", "task"] {
            assert!(matches!(records.dynamic(entity), Err(Error::AccessDenied { .. })), "{entity}");
            assert!(records.sql(&format!("SELECT * FROM {entity}")).all::<i64>().is_err());
        }
        assert!(records.with_sql_limits(SqlLimits::default()).sql("SELECT 1").all::<i64>().is_ok());
        assert_eq!(grace.get(id).unwrap().text, "psst");
        // Somebody who is no member, and somebody who does not exist.
        for other in ["root", "nobody"] {
            let refused = admin.member_records(&user(other), "case 7");
            assert!(matches!(refused, Err(Error::NotMember { .. })), "{other}");
        }
        // It ends with the membership.
        admin.remove_member(&user("grace")).unwrap();
        assert!(matches!(records.list::<Note>(), Err(Error::AccessDenied { .. })));
        assert!(store.check().unwrap().is_clean(), "{}", store.check().unwrap());
    }
}

#[test]
fn a_store_that_is_only_read_gives_no_admin_a_session() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    let store = engine::builder().open(&path).unwrap();
    let root = store.users().create(&user("root")).unwrap();
    store.users().set_role(&root, StoreRole::Admin).unwrap();
    let reading = engine::builder().read_only().open(&path).unwrap();
    assert!(matches!(reading.admin(&root, "work"), Err(Error::ReadOnly { .. })));
}
