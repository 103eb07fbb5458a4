//! Administrators: of an organization and of the store. Each claim of what they may do, of what is on
//! record of it, and of when it ends.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod engine;

use std::sync::Mutex;

use tenantry::{
    AuditEntry, Entity, Error, Id, ImportOptions, LogRetention, OrganizationId, OrganizationSession, Quota,
    Role, SqlLimits, Store, StoreRole, TenantName, TenantSession, Timestamp, UserId, column,
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
fn each_call_on_users_and_organizations_leaves_an_entry_in_the_log_of_whom_it_touches() {
    for store in worlds() {
        let ada = own(&store, "ada");
        let inside_acme = inside(&store, "ada");
        let admin = store.admin(&user("root"), "work").unwrap();
        let acme = organization("acme");
        let quota = Some(Quota::none().rows(100));
        let (nothing, now) = (LogRetention::default(), Some(Timestamp::now()));
        let payloads = LogRetention { payloads_before: now, ..nothing };
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
                ("expire_log, nothing", &|| admin.users().expire_log(&user("ada"), nothing).map(drop)),
                ("expire_log", &|| admin.users().expire_log(&user("ada"), payloads).map(drop)),
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
                ("expire_log, nothing", &|| admin.organizations().expire_log(&acme, nothing).map(drop)),
                ("expire_log", &|| admin.organizations().expire_log(&acme, payloads).map(drop)),
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
        // What somebody who has left wrote is nobody else's to read.
        let refused = admin.member_records(&user("grace"), "case 7");
        assert!(matches!(refused, Err(Error::NotMember { .. })), "{refused:?}");
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

/// What happened to a tenant's log beyond the entries that were there before: action, actor, admin, reason.
fn news(log: &[AuditEntry], before: usize) -> Vec<(String, String, String, String)> {
    let name = |id: &Option<UserId>| id.as_ref().map_or("-".to_owned(), ToString::to_string);
    log[before..]
        .iter()
        .map(|entry| {
            let reason = entry.reason.clone().unwrap_or_default();
            (entry.action.clone(), name(&entry.actor), name(&entry.admin), reason)
        })
        .collect()
}

fn news_of(action: &str, actor: &str, admin: &str, reason: &str) -> (String, String, String, String) {
    (action.to_owned(), actor.to_owned(), admin.to_owned(), reason.to_owned())
}

#[test]
fn a_store_admin_who_manages_as_a_member_is_named_as_the_admin() {
    for store in worlds() {
        let grace = inside(&store, "grace");
        grace.insert(&Note { text: "psst".into() }).unwrap();
        let admin = store.admin(&user("root"), "ticket 9").unwrap();
        let acting = admin.session_in(&organization("acme"), &user("ada")).unwrap();
        let managing = acting.manage().unwrap();
        let before = grace.private_audit().list().unwrap().len();
        let records = managing.member_records(&user("grace"), "case 7").unwrap();
        records.list::<Note>().unwrap();
        let told = news(&grace.private_audit().list().unwrap(), before);
        assert_eq!(told, vec![news_of("access", "ada", "root", "case 7"); 2]);

        let before = grace.audit().list().unwrap().len();
        managing.members(None, 10).unwrap();
        managing.invite(&user("carl"), Role::Member, None).unwrap();
        let told = news(&grace.audit().list().unwrap(), before);
        let expected = ["access", "invitation.create"].map(|by| news_of(by, "ada", "root", "ticket 9"));
        assert_eq!(told, expected);

        // It ends with the store admin's role, and with the member's.
        store.users().set_role(&user("root"), StoreRole::User).unwrap();
        assert!(matches!(managing.members(None, 10), Err(Error::AccessDenied { .. })));
        assert!(matches!(records.list::<Note>(), Err(Error::AccessDenied { .. })));
        assert!(matches!(acting.role(), Err(Error::AccessDenied { .. })));
        assert!(store.check().unwrap().is_clean(), "{}", store.check().unwrap());
    }
}

#[test]
fn what_a_refusal_tells_an_admin_is_on_record() {
    for store in worlds() {
        let acme = organization("acme");
        let inside_acme = inside(&store, "ada");
        let ada = own(&store, "ada");
        let admin = store.admin(&user("root"), "work").unwrap();
        let quota = Some(Quota::none().rows(100));
        let refused = |outcome: Result<(), Error>| {
            assert!(outcome.is_err());
            Ok(())
        };
        let organizations = || admin.organizations();
        each_leaves_an_entry(
            &[
                ("create", &|| refused(organizations().create(&acme).map(drop))),
                ("add_member", &|| refused(organizations().add_member(&acme, &user("ada"), Role::Member))),
                ("add nobody", &|| refused(organizations().add_member(&acme, &user("x"), Role::Member))),
                ("set_role", &|| refused(organizations().set_role(&acme, &user("root"), Role::Member))),
                ("remove_member", &|| refused(organizations().remove_member(&acme, &user("root")))),
                ("invite", &|| refused(organizations().invite(&acme, &user("ada"), Role::Member, None))),
                ("withdraw", &|| refused(organizations().withdraw_invitation(&acme, &user("ada")))),
                ("member_usage", &|| {
                    refused(organizations().member_usage(&acme, &user("root"), "note").map(drop))
                }),
                ("set_member_quota", &|| {
                    refused(organizations().set_member_quota(&acme, &user("root"), "note", quota))
                }),
            ],
            &|| inside_acme.audit().list().unwrap().len(),
        );
        let session = admin.session(&user("ada")).unwrap();
        each_leaves_an_entry(
            &[
                ("create", &|| refused(admin.users().create(&user("ada")).map(drop))),
                ("accept", &|| refused(session.accept_invitation(&acme).map(drop))),
                ("decline", &|| refused(session.decline_invitation(&acme))),
                ("in_organization", &|| refused(session.in_organization(&organization("x")).map(drop))),
                ("set_pool", &|| admin.users().set_pool(&user("ada"), tenantry::PoolClass::Shared)),
            ],
            &|| ada.audit().list().unwrap().len(),
        );
        each_leaves_an_entry(
            &[("set_pool", &|| admin.organizations().set_pool(&acme, tenantry::PoolClass::Shared))],
            &|| inside_acme.audit().list().unwrap().len(),
        );
        // Whom it did not find is in the admin's own log.
        each_leaves_an_entry(
            &[
                ("get", &|| refused(admin.users().get(&user("x")).map(drop))),
                ("rename", &|| refused(admin.users().rename(&user("x"), "X"))),
                ("set_quota", &|| refused(admin.users().set_quota(&user("x"), "task", quota))),
                ("session", &|| refused(admin.session(&user("x")).map(drop))),
                ("organization", &|| refused(admin.organizations().get(&organization("x")).map(drop))),
                ("disable", &|| refused(admin.organizations().disable(&organization("x")))),
            ],
            &|| own(&store, "root").audit().list().unwrap().len(),
        );
        assert!(store.check().unwrap().is_clean(), "{}", store.check().unwrap());
    }
}

#[test]
fn reference_records_that_an_admin_looks_for_are_on_record_too() {
    for store in worlds() {
        let admin = store.admin(&user("root"), "work").unwrap();
        let id = store.reference().insert(&Currency { code: "EUR".into() }).unwrap();
        let reference = admin.reference().unwrap();
        each_leaves_an_entry(
            &[
                ("reference", &|| admin.reference().map(drop)),
                ("list", &|| reference.list::<Currency>().map(drop)),
                ("audit", &|| reference.audit().list().map(drop)),
                ("transaction", &|| reference.transaction(|_| Ok(()))),
                ("sql", &|| reference.sql("SELECT 1").all::<i64>().map(drop)),
                ("delete, missing", &|| {
                    let missing: Id<Currency> = Id::from_uuid(tenantry::Uuid::from_u128(7));
                    assert!(reference.delete(missing).is_err());
                    Ok(())
                }),
                ("delete", &|| reference.delete(id)),
            ],
            &|| store.reference().audit().list().unwrap().len(),
        );
        assert!(store.check().unwrap().is_clean(), "{}", store.check().unwrap());
    }
}

#[test]
fn whoever_has_ended_learns_nothing_more() {
    for store in worlds() {
        let admin = store.admin(&user("root"), "work").unwrap();
        let manage = inside(&store, "ada").manage().unwrap();
        let session = own(&store, "grace");
        let before = own(&store, "ada").audit().list().unwrap();
        store.users().set_role(&user("root"), StoreRole::User).unwrap();
        store.organizations().set_role(&organization("acme"), &user("ada"), Role::Member).unwrap();
        store.users().disable(&user("grace")).unwrap();
        let quota = Some(Quota::none().rows(100));
        let denied = |outcome: Result<(), Error>, what: &str| {
            assert!(matches!(outcome, Err(Error::AccessDenied { .. })), "{what}: {outcome:?}");
        };
        for id in ["ada", "nobody"] {
            let id = user(id);
            denied(admin.users().export(&id, &mut Vec::new()).map(drop), "export");
            denied(admin.users().export_json_lines(&id, &mut Vec::new()).map(drop), "export_json_lines");
            denied(admin.users().erase(&id).map(drop), "erase");
            let none: &[u8] = &[];
            denied(admin.users().import(&mut { none }, &ImportOptions::new()).map(drop), "import");
            denied(admin.organizations().import(&mut { none }, &ImportOptions::new()).map(drop), "import");
            denied(admin.users().get(&id).map(drop), "get");
            denied(admin.users().get_or_create(&id).map(drop), "get_or_create");
            denied(admin.users().create(&id).map(drop), "create");
            denied(admin.users().rename(&id, "x"), "rename");
            denied(admin.users().usage(&id, "task").map(drop), "usage");
            denied(admin.users().stats(&id).map(drop), "stats");
            denied(admin.users().organizations(&id).map(drop), "organizations");
            denied(admin.users().invitations(&id, None, 1).map(drop), "invitations");
            denied(admin.users().set_quota(&id, "task", quota), "set_quota");
            denied(admin.users().set_pool(&id, tenantry::PoolClass::Shared), "set_pool");
            denied(admin.users().set_role(&id, StoreRole::Admin), "set_role");
            denied(admin.users().expire_log(&id, LogRetention::default()).map(drop), "expire_log");
            denied(admin.session(&id).map(drop), "session");
            denied(manage.member_records(&id, "work").map(drop), "member_records");
            denied(manage.set_role(&id, Role::Admin), "a member's role");
            denied(manage.remove_member(&id), "remove_member");
            denied(manage.invite(&id, Role::Member, None), "invite");
            denied(manage.withdraw_invitation(&id), "withdraw");
        }
        denied(manage.invitations(None, 1).map(drop), "open invitations");
        for id in ["acme", "nowhere"] {
            let id = organization(id);
            denied(admin.organizations().get(&id).map(drop), "get");
            denied(admin.organizations().create(&id).map(drop), "create");
            denied(admin.organizations().usage(&id, "ticket").map(drop), "usage");
            denied(admin.organizations().stats(&id).map(drop), "stats");
            denied(admin.organizations().members(&id, None, 1).map(drop), "members");
            denied(admin.organizations().invitations(&id, None, 1).map(drop), "invitations");
            denied(admin.organizations().set_quota(&id, "ticket", quota), "set_quota");
            denied(admin.organizations().set_pool(&id, tenantry::PoolClass::Shared), "set_pool");
            denied(admin.organizations().member_usage(&id, &user("ada"), "note").map(drop), "member_usage");
            denied(admin.organizations().set_member_quota(&id, &user("ada"), "note", quota), "member quota");
            denied(admin.organizations().expire_log(&id, LogRetention::default()).map(drop), "expire_log");
            let ended =
                |outcome: Result<(), Error>| matches!(outcome, Err(Error::Disabled { id }) if id == "grace");
            assert!(ended(session.accept_invitation(&id).map(drop)));
            assert!(ended(session.decline_invitation(&id)));
        }
        assert!(matches!(session.invitations(None, 1), Err(Error::Disabled { .. })));
        assert_eq!(own(&store, "ada").audit().list().unwrap(), before);
    }
}

#[derive(Debug, Clone, PartialEq, Entity)]
#[entity(tenancy = member)]
struct Remark {
    ticket: Option<Id<Ticket>>,
}

#[test]
fn records_of_the_organization_beside_a_members_own_are_on_record_there() {
    for builder in [engine::builder(), engine::builder().partitions(2)] {
        let store = builder.entity::<Ticket>().entity::<Remark>().temporary().unwrap();
        for id in ["ada", "root"] {
            store.users().create(&user(id)).unwrap();
        }
        let acme = store.organizations().create(&organization("acme")).unwrap();
        store.organizations().add_member(&acme, &user("ada"), Role::Admin).unwrap();
        store.users().set_role(&user("root"), StoreRole::Admin).unwrap();
        let ada = inside(&store, "ada");
        let ticket = ada.insert(&Ticket { title: "Leak".into(), cost: 1.0 }).unwrap();
        ada.insert(&Remark { ticket: Some(ticket) }).unwrap();
        let acting = store.admin(&user("root"), "work").unwrap().session_in(&acme, &user("ada")).unwrap();
        for length in [&|| ada.audit().list().unwrap().len(), &|| ada.private_audit().list().unwrap().len()]
            as [&dyn Fn() -> usize; 2]
        {
            each_leaves_an_entry(
                &[
                    ("joined.list", &|| acting.query::<Remark>().with(Remark::TICKET).list().map(drop)),
                    ("joined.page", &|| acting.query::<Remark>().with(Remark::TICKET).page(2).map(drop)),
                    ("sql", &|| acting.sql("SELECT 1").all::<i64>().map(drop)),
                    ("transaction", &|| acting.transaction(|_| Ok(()))),
                ],
                length,
            );
        }
    }
}

/// Holds the writer of everybody's file, lets `first` wait for it and then `second`, and gives the
/// second's answer.
fn one_after_the_other<R: Send>(
    store: &Store,
    first: impl FnOnce() + Send,
    second: impl FnOnce() -> R + Send,
) -> R {
    let pause = || std::thread::sleep(std::time::Duration::from_millis(100));
    std::thread::scope(|scope| {
        own(store, "grace")
            .transaction(|tx| {
                tx.insert(&task("Hold", 1))?;
                scope.spawn(first);
                pause();
                let second = scope.spawn(second);
                pause();
                Ok(second)
            })
            .unwrap()
            .join()
            .unwrap()
    })
}

#[test]
fn whoever_waits_for_the_writer_while_the_role_ends_sees_nothing() {
    type Look = (&'static str, fn(&tenantry::AdminSession) -> Result<(), Error>);
    let looks: [Look; 7] = [
        ("get", |admin| admin.users().get(&user("ada")).map(drop)),
        ("members", |admin| admin.organizations().members(&organization("acme"), None, 1).map(drop)),
        ("list", |admin| admin.users().list(None, 10).map(drop)),
        ("session", |admin| admin.session(&user("ada")).map(drop)),
        ("set_quota", |admin| admin.users().set_quota(&user("ada"), "task", Some(Quota::none().rows(1)))),
        ("report", |admin| admin.report::<Task>()?.count(5).map(drop)),
        ("rename", |admin| admin.users().rename(&user("ada"), "Ada")),
    ];
    for (name, look) in looks {
        is_refused(name, |store| {
            let admin = store.admin(&user("root"), "work").unwrap();
            move || look(&admin)
        });
    }
    type LookInside = (&'static str, fn(&OrganizationSession) -> Result<(), Error>);
    let looks: [LookInside; 4] = [
        ("role", |session| session.role().map(drop)),
        ("members", |session| session.members(None, 1).map(drop)),
        ("list", |session| session.list::<Ticket>().map(drop)),
        ("sql", |session| session.sql("SELECT 1").all::<i64>().map(drop)),
    ];
    for (name, look) in looks {
        is_refused(name, |store| {
            let admin = store.admin(&user("root"), "work").unwrap();
            let session = admin.session_in(&organization("acme"), &user("ada")).unwrap();
            move || look(&session)
        });
    }
}

/// What waits for the writer behind the end of the admin's role is refused and leaves no entry.
fn is_refused<L: FnOnce() -> Result<(), Error> + Send>(name: &str, prepare: impl Fn(&Store) -> L) {
    for _ in 0..5 {
        let store = world(None);
        let look = prepare(&store);
        let logs =
            || [own(&store, "ada").audit().list().unwrap(), inside(&store, "ada").audit().list().unwrap()];
        let before = logs();
        let end = || store.users().set_role(&user("root"), StoreRole::User).unwrap();
        let outcome = one_after_the_other(&store, end, look);
        let ended = last(own(&store, "root").audit().list().unwrap());
        assert_eq!(ended.action, "user.role", "{name}");
        match outcome {
            Err(Error::AccessDenied { .. }) => return assert_eq!(logs(), before, "{name}"),
            // On a busy machine it may have come first after all.
            Ok(()) => assert!(logs().iter().flatten().all(|entry| entry.time <= ended.time), "{name}"),
            other => panic!("{name}: {other:?}"),
        }
    }
    panic!("{name} never came second");
}

#[test]
fn an_open_transaction_in_another_file_ends_with_the_role() {
    let builder = engine::builder().entity::<Project>().entity::<Task>().partition_per_tenant();
    let store = builder.temporary().unwrap();
    for id in ["ada", "root"] {
        store.users().create(&user(id)).unwrap();
    }
    type Verb = fn(&tenantry::Transaction<'_, tenantry::tenancy::User>) -> Result<(), Error>;
    let at_end: [Verb; 3] =
        [|tx| tx.insert(&task("Late", 1)).map(drop), |tx| tx.list::<Task>().map(drop), |_| Ok(())];
    for verb in at_end {
        store.users().set_role(&user("root"), StoreRole::Admin).unwrap();
        let session = store.admin(&user("root"), "work").unwrap().session(&user("ada")).unwrap();
        let outcome = session.transaction(|tx| {
            tx.insert(&task("Early", 1))?;
            std::thread::scope(|scope| {
                scope
                    .spawn(|| store.users().set_role(&user("root"), StoreRole::User).unwrap())
                    .join()
                    .unwrap();
            });
            verb(tx)
        });
        assert!(matches!(outcome, Err(Error::AccessDenied { .. })), "{outcome:?}");
        assert_eq!(own(&store, "ada").count::<Task>().unwrap(), 0);
    }
    assert!(store.check().unwrap().is_clean(), "{}", store.check().unwrap());
}

#[test]
fn an_organization_keeps_an_admin_whoever_comes_first() {
    for store in worlds() {
        for round in 0..10 {
            let acme = organization(&format!("round {round}"));
            store.organizations().create(&acme).unwrap();
            for id in ["ada", "grace"] {
                store.organizations().add_member(&acme, &user(id), Role::Admin).unwrap();
            }
            let session = |id: &str| own(&store, id).in_organization(&acme).unwrap();
            let (ada, grace) = (session("ada").manage().unwrap(), session("grace").manage().unwrap());
            std::thread::scope(|scope| {
                if round % 2 == 0 {
                    scope.spawn(|| ada.set_role(&user("grace"), Role::Member));
                    scope.spawn(|| grace.set_role(&user("ada"), Role::Member));
                } else {
                    scope.spawn(|| session("ada").leave());
                    scope.spawn(|| session("grace").leave());
                }
            });
            let admins = store
                .organizations()
                .members(&acme, None, 10)
                .unwrap()
                .into_iter()
                .filter(|member| member.role == Role::Admin)
                .count();
            assert_eq!(admins, 1);
        }
    }
}

#[test]
fn in_a_process_that_only_reads_a_right_ends_where_it_was_taken_away() {
    for partitions in [None, Some(2)] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app");
        let mut builder = engine::builder();
        if let Some(count) = partitions {
            builder = builder.partitions(count);
        }
        let store = builder.open(&path).unwrap();
        for id in ["ada", "grace"] {
            store.users().create(&user(id)).unwrap();
        }
        let acme = store.organizations().create(&organization("acme")).unwrap();
        for id in ["ada", "grace"] {
            store.organizations().add_member(&acme, &user(id), Role::Admin).unwrap();
        }
        store.organizations().invite(&acme, &user("carl"), Role::Member, None).unwrap();
        let reading = engine::builder().read_only().open(&path).unwrap();
        let admin = inside(&reading, "ada").manage().unwrap();
        assert_eq!(admin.members(None, 10).unwrap().len(), 2);
        assert_eq!(admin.invitations(None, 10).unwrap().len(), 1);
        let refused = admin.member_records(&user("grace"), "work");
        assert!(matches!(refused, Err(Error::ReadOnly { .. })), "{refused:?}");
        store.organizations().set_role(&acme, &user("ada"), Role::Member).unwrap();
        let denied = admin.members(None, 10);
        assert!(matches!(denied, Err(Error::AccessDenied { .. })), "{denied:?}");
        let denied = admin.invitations(None, 10);
        assert!(matches!(denied, Err(Error::AccessDenied { .. })), "{denied:?}");
        let session = own(&reading, "grace");
        assert!(session.invitations(None, 10).unwrap().is_empty());
        store.users().disable(&user("grace")).unwrap();
        let ended = session.invitations(None, 10);
        assert!(matches!(ended, Err(Error::Disabled { .. })), "{ended:?}");
    }
}

#[test]
fn invitations_that_have_expired_do_not_keep_others_out() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    let now = std::sync::Arc::new(Mutex::new(Timestamp::from_second(1_000_000).unwrap()));
    let open = || {
        let clock = std::sync::Arc::clone(&now);
        engine::builder().clock(move || *clock.lock().unwrap()).open(&path).unwrap()
    };
    let store = open();
    let acme = store.organizations().create(&organization("acme")).unwrap();
    store.close().unwrap();
    engine::look(&path)
        .execute_batch(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10000)
             INSERT INTO _invitation SELECT (SELECT key FROM _organization), 'user ' || i, 'member', 0,
                 CASE WHEN i > 1 THEN 1000060000000 END FROM n;",
        )
        .unwrap();
    let store = open();
    let invite = |id: &str| store.organizations().invite(&acme, &user(id), Role::Member, None);
    assert!(matches!(invite("carl"), Err(Error::LimitExceeded { .. })));
    // To replace one makes them no more.
    invite("user 1").unwrap();
    *now.lock().unwrap() = Timestamp::from_second(1_000_060).unwrap();
    invite("carl").unwrap();
    let open = store.organizations().invitations(&acme, None, 10).unwrap();
    assert_eq!(open.iter().map(|one| one.user.as_str()).collect::<Vec<_>>(), ["carl", "user 1"]);
}

#[test]
fn logs_name_the_admin_wherever_a_tenant_moves_and_whenever_it_is_opened() {
    let folder = tempfile::tempdir().unwrap();
    let builder = || engine::builder().entity::<Project>().entity::<Task>();
    let store = builder().partitions(5).open(folder.path().join("store")).unwrap();
    for id in ["ada", "grace", "root", "a", "b", "c", "d", "e", "f", "g"] {
        store.users().create(&user(id)).unwrap();
    }
    store.users().set_role(&user("root"), StoreRole::Admin).unwrap();
    let admin = store.admin(&user("root"), "ticket 4").unwrap();
    admin.session(&user("ada")).unwrap().insert(&task("Tea", 1)).unwrap();
    admin.users().rename(&user("ada"), "Ada").unwrap();
    let log = own(&store, "ada").audit().list().unwrap();
    let told: Vec<_> = news(&log, 1);
    assert_eq!(
        told,
        [
            news_of("access", "ada", "root", "ticket 4"),
            news_of("insert", "ada", "root", "ticket 4"),
            news_of("user.rename", "root", "root", "ticket 4"),
        ]
    );
    for partition in store.partitions().list().unwrap() {
        if store.partitions().of_user(&user("ada")).unwrap().unwrap().name != partition.name {
            store.partitions().move_user(&user("ada"), &partition.name, |_| {}).unwrap();
            assert_eq!(own(&store, "ada").audit().list().unwrap(), log);
        }
    }
    drop(admin);
    store.close().unwrap();
    let store = builder().open(folder.path().join("store")).unwrap();
    assert_eq!(own(&store, "ada").audit().list().unwrap(), log);
    assert!(own(&store, "ada").audit().verify().unwrap().is_intact());
    assert!(store.check().unwrap().is_clean(), "{}", store.check().unwrap());
}

#[test]
fn a_look_that_was_undone_leaves_its_transaction_in_the_log() {
    for store in worlds() {
        let session = store.admin(&user("root"), "work").unwrap().session(&user("ada")).unwrap();
        let before = own(&store, "ada").audit().list().unwrap().len();
        session
            .transaction(|tx| {
                let inner = tx.transaction(|inner| {
                    inner.list::<Task>()?;
                    Err::<(), _>(Error::aborted("undone"))
                });
                assert!(inner.is_err());
                Ok(())
            })
            .unwrap();
        let told = news(&own(&store, "ada").audit().list().unwrap(), before);
        assert_eq!(told, [news_of("access", "ada", "root", "work")]);
    }
}

#[test]
fn records_that_are_read_one_after_the_other_end_with_the_role() {
    for store in worlds() {
        let ada = own(&store, "ada");
        let tasks: Vec<Task> = (0..200).map(|number| task(&number.to_string(), number)).collect();
        ada.insert_many(&tasks).unwrap();
        let session = store.admin(&user("root"), "work").unwrap().session(&user("ada")).unwrap();
        let query = session.query::<Task>();
        let before = ada.audit().list().unwrap().len();
        let mut records = query.iter().unwrap();
        records.next().unwrap().unwrap();
        assert_eq!(ada.audit().list().unwrap().len(), before + 1);
        session
            .read(|view| {
                view.count::<Task>()?;
                store.users().set_role(&user("root"), StoreRole::User)?;
                assert!(matches!(view.count::<Task>(), Err(Error::AccessDenied { .. })));
                Ok(())
            })
            .unwrap();
        let rest: Vec<_> = records.collect();
        assert!(rest.len() < 199 && matches!(rest.last(), Some(Err(Error::AccessDenied { .. }))));
        assert!(matches!(query.count(), Err(Error::AccessDenied { .. })));
        store.users().set_role(&user("root"), StoreRole::Admin).unwrap();
        // A role that comes back does not bring sessions back.
        assert!(matches!(query.count(), Err(Error::AccessDenied { .. })));
    }
}

#[test]
fn nothing_is_seen_that_can_not_be_put_on_record() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    let builder = || {
        engine::builder()
            .entity::<Project>()
            .entity::<Task>()
            .entity::<Ticket>()
            .entity::<Currency>()
            .cache(1 << 20)
    };
    let store = builder().open(&path).unwrap();
    for id in ["ada", "root"] {
        store.users().create(&user(id)).unwrap();
    }
    let acme = store.organizations().create(&organization("acme")).unwrap();
    store.organizations().add_member(&acme, &user("ada"), Role::Admin).unwrap();
    store.users().set_role(&user("root"), StoreRole::Admin).unwrap();
    let ada = own(&store, "ada");
    let id = ada.insert(&task("Tea", 3)).unwrap();
    ada.get(id).unwrap();
    let admin = store.admin(&user("root"), "work").unwrap();
    let session = admin.session(&user("ada")).unwrap();
    let acting = admin.session_in(&acme, &user("ada")).unwrap();
    let reference = admin.reference().unwrap();
    let query = session.query::<Task>();
    let mut begun = query.iter().unwrap();
    let before = ada.audit().list().unwrap();
    // As if the disk were full for these entries.
    engine::look(&path)
        .execute_batch(
            "CREATE TRIGGER no_more BEFORE INSERT ON _audit WHEN NEW.action IN ('access', 'quota.set')
             BEGIN SELECT RAISE(ABORT, 'no'); END",
        )
        .unwrap();
    let unseen: Vec<(&str, Result<(), Error>)> = vec![
        ("get", session.get(id).map(drop)),
        ("exists", session.exists(id).map(drop)),
        ("get_many", session.get_many(&[id]).map(drop)),
        ("list", session.list::<Task>().map(drop)),
        ("page", query.page(1).map(drop)),
        ("iter", begun.next().unwrap().map(drop)),
        ("count", session.count::<Task>().map(drop)),
        ("sum", query.sum(Task::POINTS).map(drop)),
        ("groups", query.group_count(Task::TITLE).map(drop)),
        ("joined", query.clone().with(Task::PROJECT).list().map(drop)),
        ("read", session.read(|view| view.get(id)).map(drop)),
        ("transaction", session.transaction(|tx| tx.get(id)).map(drop)),
        ("sql", session.sql("SELECT title FROM task").all::<String>().map(drop)),
        ("explain", session.sql("SELECT title FROM task").explain().map(drop)),
        ("audit", session.audit().list().map(drop)),
        ("verify", session.audit().verify().map(drop)),
        ("invitations", session.invitations(None, 1).map(drop)),
        ("in_organization", session.in_organization(&acme).map(drop)),
        ("role", acting.role().map(drop)),
        ("members", acting.members(None, 1).map(drop)),
        ("private_audit", acting.private_audit().list().map(drop)),
        ("manage", acting.manage().map(drop)),
        ("reference", reference.list::<Currency>().map(drop)),
        ("session", admin.session(&user("ada")).map(drop)),
        ("user", admin.users().get(&user("ada")).map(drop)),
        ("users", admin.users().list(None, 1).map(drop)),
        ("usage", admin.users().usage(&user("ada"), "task").map(drop)),
        ("quota", admin.users().set_quota(&user("ada"), "task", None)),
        ("organization", admin.organizations().get(&acme).map(drop)),
        ("report", admin.report::<Task>().unwrap().count(5).map(drop)),
        ("admin", store.admin(&user("root"), "work").map(drop)),
    ];
    for (name, outcome) in unseen {
        assert!(matches!(outcome, Err(Error::Constraint { .. })), "{name}: {outcome:?}");
    }
    // What a refusal would have told is not told either.
    let twice = session.insert(&task("Tea", 3));
    assert!(twice.is_err() && !matches!(twice, Err(Error::Unique { .. })), "{twice:?}");
    let missing = session.delete(Id::<Task>::from_uuid(tenantry::Uuid::from_u128(7)));
    assert!(missing.is_err() && !matches!(missing, Err(Error::NotFound { .. })), "{missing:?}");
    let member = admin.organizations().add_member(&acme, &user("ada"), Role::Member);
    assert!(member.is_err() && !matches!(member, Err(Error::Exists { .. })), "{member:?}");
    let nobody = admin.users().get(&user("nobody"));
    assert!(nobody.is_err() && !matches!(nobody, Err(Error::UnknownUser { .. })), "{nobody:?}");
    let refused = session.accept_invitation(&acme);
    assert!(refused.is_err() && !matches!(refused, Err(Error::NotInvited { .. })), "{refused:?}");
    assert_eq!(ada.audit().list().unwrap(), before);
    // The tenant's own session needs no such entry.
    ada.insert(&task("Dig", 1)).unwrap();
}

#[test]
fn an_organizations_admin_is_told_the_same_of_a_stranger_and_of_nobody() {
    for store in worlds() {
        store.users().create(&user("some1")).unwrap();
        let admin = inside(&store, "ada").manage().unwrap();
        let log = || inside(&store, "ada").audit().list().unwrap();
        let told = ["some1", "nobdy"].map(|id| {
            let before = log().len();
            let answers = [
                admin.set_role(&user(id), Role::Admin),
                admin.remove_member(&user(id)),
                admin.withdraw_invitation(&user(id)),
                admin.member_records(&user(id), "work").map(drop),
                admin.invite(&user(id), Role::Member, None),
                admin.invite(&user(id), Role::Admin, None),
                admin.withdraw_invitation(&user(id)),
                admin.withdraw_invitation(&user(id)),
            ];
            let entries: Vec<String> = log()[before..]
                .iter()
                .map(|entry| {
                    let number = entry.number - before as u64;
                    format!("{number} {} {} {:?}", entry.action, entry.outcome, entry.changes)
                })
                .collect();
            format!("{answers:?} {entries:#?}").replace(id, "whoever")
        });
        assert_eq!(told[0], told[1]);
        // An organization that has not invited, and one that does not exist.
        store.organizations().create(&organization("globex")).unwrap();
        let stranger = own(&store, "some1");
        let log = || stranger.audit().list().unwrap();
        let told = ["globex", "nowher"].map(|id| {
            let before = log().len();
            let answers = [
                stranger.accept_invitation(&organization(id)).map(drop),
                stranger.decline_invitation(&organization(id)),
                stranger.in_organization(&organization(id)).map(drop),
            ];
            let entries: Vec<String> = log()[before..]
                .iter()
                .map(|entry| format!("{} {} {:?}", entry.action, entry.outcome, entry.changes))
                .collect();
            format!("{answers:?} {entries:#?}").replace(id, "wherever")
        });
        assert_eq!(told[0], told[1]);
    }
}

#[test]
fn an_invitation_gives_what_it_says_once_and_only_to_whom_it_names() {
    for store in worlds() {
        let acme = organization("acme");
        store.users().create(&user("carl")).unwrap();
        let admin = inside(&store, "ada").manage().unwrap();
        let carl = own(&store, "carl");
        // The last word counts.
        admin.invite(&user("carl"), Role::Admin, None).unwrap();
        admin.invite(&user("carl"), Role::Member, None).unwrap();
        assert!(matches!(own(&store, "root").accept_invitation(&acme), Err(Error::NotInvited { .. })));
        assert!(matches!(own(&store, "root").decline_invitation(&acme), Err(Error::NotInvited { .. })));
        let session = carl.accept_invitation(&acme).unwrap();
        assert_eq!(session.role().unwrap(), Role::Member);
        assert!(matches!(session.manage(), Err(Error::AccessDenied { .. })));
        // Whoever is sent away does not come back by the same invitation.
        admin.remove_member(&user("carl")).unwrap();
        assert!(matches!(carl.accept_invitation(&acme), Err(Error::NotInvited { .. })));
        // Nor by one that the organization has replaced by making them a member itself.
        admin.invite(&user("carl"), Role::Admin, None).unwrap();
        store.organizations().add_member(&acme, &user("carl"), Role::Member).unwrap();
        store.organizations().remove_member(&acme, &user("carl")).unwrap();
        assert!(matches!(carl.accept_invitation(&acme), Err(Error::NotInvited { .. })));
        // A disabled organization takes nobody, and does not say that it is there.
        admin.invite(&user("carl"), Role::Member, None).unwrap();
        store.organizations().disable(&acme).unwrap();
        assert!(carl.invitations(None, 10).unwrap().is_empty());
        assert!(matches!(carl.accept_invitation(&acme), Err(Error::NotInvited { .. })));
        assert!(matches!(carl.decline_invitation(&acme), Err(Error::NotInvited { .. })));
        assert!(matches!(admin.members(None, 1), Err(Error::AccessDenied { .. })));
        assert!(store.check().unwrap().is_clean(), "{}", store.check().unwrap());
    }
}

#[test]
fn a_store_admin_can_leave_an_organization_without_one() {
    for store in worlds() {
        let acme = organization("acme");
        let admin = store.admin(&user("root"), "closing down").unwrap();
        admin.organizations().set_role(&acme, &user("ada"), Role::Member).unwrap();
        admin.organizations().set_role(&acme, &user("grace"), Role::Admin).unwrap();
        admin.session_in(&acme, &user("grace")).unwrap().leave().unwrap();
        let entry = last(inside(&store, "ada").audit().action("member.remove").list().unwrap());
        assert_eq!((entry.actor, entry.admin), (Some(user("grace")), Some(user("root"))));
        assert!(own(&store, "grace").in_organization(&acme).is_err());
    }
}

#[test]
fn a_look_needs_the_writer_that_its_own_thread_holds() {
    for store in worlds() {
        let session = store.admin(&user("root"), "work").unwrap().session(&user("ada")).unwrap();
        session
            .transaction(|tx| {
                tx.insert(&task("Tea", 1))?;
                assert!(matches!(session.list::<Task>(), Err(Error::Busy { .. })));
                assert_eq!(tx.list::<Task>()?.len(), 1);
                Ok(())
            })
            .unwrap();
        assert_eq!(session.list::<Task>().unwrap().len(), 1);
    }
}

#[test]
fn nobody_acts_without_a_reason() {
    let store = world(None);
    let admin = store.admin(&user("root"), "work").unwrap();
    let managing = inside(&store, "ada").manage().unwrap();
    let longest = "x".repeat(1_000);
    for reason in ["", " \t ", "two\nlines", &format!("{longest}x")] {
        let refused = admin.with_reason(reason);
        assert!(matches!(refused, Err(Error::InvalidInput { .. })), "{reason:?}");
        let refused = managing.member_records(&user("grace"), reason);
        assert!(matches!(refused, Err(Error::InvalidInput { .. })), "{reason:?}");
    }
    assert_eq!(inside(&store, "grace").private_audit().list().unwrap(), []);
    admin.with_reason(&longest).unwrap().session(&user("ada")).unwrap();
    assert_eq!(last(own(&store, "ada").audit().list().unwrap()).reason, Some(longest.clone()));
    managing.member_records(&user("grace"), &longest).unwrap();
}

#[test]
fn managing_ends_with_whatever_it_rests_on() {
    type End = (&'static str, fn(&Store));
    let ends: [End; 5] = [
        ("the user", |store| store.users().disable(&user("ada")).unwrap()),
        ("the organization", |store| store.organizations().disable(&organization("acme")).unwrap()),
        ("the membership", |store| {
            store.organizations().remove_member(&organization("acme"), &user("ada")).unwrap_or_else(
                |error| {
                    panic!("the application itself is not bound: {error}");
                },
            );
        }),
        ("the role", |store| {
            store.organizations().set_role(&organization("acme"), &user("ada"), Role::Member).unwrap();
        }),
        ("the user, who is back", |store| {
            store.users().disable(&user("ada")).unwrap();
            store.users().enable(&user("ada")).unwrap();
        }),
    ];
    for (what, end) in ends {
        for store in worlds() {
            let managing = inside(&store, "ada").manage().unwrap();
            let records = managing.member_records(&user("grace"), "case 7").unwrap();
            let query = records.query::<Note>();
            end(&store);
            let denied = |outcome: Result<(), Error>| {
                assert!(matches!(outcome, Err(Error::AccessDenied { .. })), "{what}: {outcome:?}");
            };
            denied(managing.members(None, 10).map(drop));
            denied(managing.invitations(None, 10).map(drop));
            denied(managing.invite(&user("carl"), Role::Admin, None));
            denied(managing.set_role(&user("grace"), Role::Admin));
            denied(managing.member_records(&user("grace"), "case 7").map(drop));
            denied(records.list::<Note>().map(drop));
            denied(records.audit().list().map(drop));
            denied(records.sql("SELECT 1").all::<i64>().map(drop));
            denied(records.read(|view| view.count::<Note>()).map(drop));
            denied(records.transaction(|tx| tx.count::<Note>()).map(drop));
            denied(query.count().map(drop));
        }
    }
}

#[test]
fn a_page_of_a_report_has_a_thousand_tenants_at_most() {
    let store = engine::builder().entity::<Project>().entity::<Task>().temporary().unwrap();
    for number in 0..1_001 {
        store.users().create(&user(&format!("{number:04}"))).unwrap();
    }
    store.users().set_role(&user("1000"), StoreRole::Admin).unwrap();
    let admin = store.admin(&user("1000"), "work").unwrap();
    let page = admin.report::<Task>().unwrap().count(u32::MAX).unwrap();
    assert_eq!((page.tenants.len(), page.next), (1_000, Some(TenantName::User(user("0999")))));
}

#[test]
fn whoever_waits_for_a_reader_while_the_right_ends_sees_nothing() {
    let store = engine::builder().entity::<Project>().entity::<Task>().readers(1).temporary().unwrap();
    for id in ["ada", "grace", "root"] {
        store.users().create(&user(id)).unwrap();
    }
    store.users().set_role(&user("root"), StoreRole::Admin).unwrap();
    let admin = store.admin(&user("root"), "work").unwrap().session(&user("ada")).unwrap();
    let pause = || std::thread::sleep(std::time::Duration::from_millis(100));
    let (ada, grace) = (own(&store, "ada"), own(&store, "grace"));
    let waiting = |wait: &(dyn Fn() -> Result<(), Error> + Sync), end: &dyn Fn() -> Result<(), Error>| {
        std::thread::scope(|scope| {
            let waiting = grace.read(|view| {
                view.count::<Task>()?;
                let waiting = scope.spawn(wait);
                pause();
                end()?;
                pause();
                Ok(waiting)
            });
            waiting.unwrap().join().unwrap()
        })
    };
    let outcome = waiting(&|| admin.list::<Task>().map(drop), &|| {
        store.users().set_role(&user("root"), StoreRole::User)
    });
    assert!(matches!(outcome, Err(Error::AccessDenied { .. })), "{outcome:?}");
    let outcome = waiting(&|| ada.read(|_| Ok(())), &|| store.users().disable(&user("ada")));
    assert!(matches!(outcome, Err(Error::Disabled { .. })), "{outcome:?}");
    // Not for want of time: nobody waits longer than that for nothing.
    let outcome = waiting(&|| grace.list::<Task>().map(drop), &|| Ok(()));
    assert!(outcome.is_ok(), "{outcome:?}");
}

#[test]
fn an_open_transaction_in_an_organization_ends_with_the_user_at_its_next_verb() {
    let builder = engine::builder().entity::<Ticket>().partition_per_tenant();
    let store = builder.temporary().unwrap();
    store.users().create(&user("ada")).unwrap();
    let acme = store.organizations().create(&organization("acme")).unwrap();
    store.organizations().add_member(&acme, &user("ada"), Role::Admin).unwrap();
    let session = inside(&store, "ada");
    let ticket = || Ticket { title: "Late".into(), cost: 1.0 };
    let outcome = session.transaction(|tx| {
        let id = tx.insert(&ticket())?;
        std::thread::scope(|scope| {
            scope.spawn(|| store.users().disable(&user("ada")).unwrap()).join().unwrap();
        });
        let ended = |outcome: Result<(), Error>| {
            assert!(matches!(outcome, Err(Error::Disabled { .. })), "{outcome:?}");
        };
        ended(tx.insert(&ticket()).map(drop));
        ended(tx.get(id).map(drop));
        ended(tx.get_many(&[id]).map(drop));
        ended(tx.count::<Ticket>().map(drop));
        ended(tx.list::<Ticket>().map(drop));
        ended(tx.delete(id));
        Ok(())
    });
    assert!(matches!(outcome, Err(Error::Disabled { .. })), "{outcome:?}");
    store.users().enable(&user("ada")).unwrap();
    assert_eq!(inside(&store, "ada").count::<Ticket>().unwrap(), 0);
}
