//! The tenants whose SQL is tried: Ada, a user and a member of acme, and others who hold what would show.

use std::fmt::Debug;
use std::time::Duration;

use tenantry::tenancy::Scope;
use tenantry::{
    Builder, Entity, Error, Id, OrganizationId, OrganizationSession, Role, Session, SqlLimits, Store,
    TenantSession, UserId,
};

use crate::engine::shown;

#[derive(Debug, Clone, PartialEq, Entity)]
#[entity(tenancy = reference, unique(code))]
pub struct Currency {
    pub code: String,
}

#[derive(Debug, Clone, PartialEq, Entity)]
pub struct Project {
    pub name: String,
    pub parent: Option<Id<Project>>,
}

#[derive(Debug, Clone, PartialEq, Entity)]
#[entity(index(status, amount), unique(title))]
pub struct Task {
    pub title: String,
    pub status: String,
    pub amount: i64,
    /// JSON, if all is well.
    pub detail: String,
    /// One character, if all is well.
    pub mark: String,
    pub size: i64,
    pub project: Option<Id<Project>>,
    pub currency: Option<Id<Currency>>,
}

#[derive(Debug, Clone, PartialEq, Entity)]
#[entity(tenancy = organization, author)]
pub struct Ticket {
    pub title: String,
    pub assignee: Option<UserId>,
}

#[derive(Debug, Clone, PartialEq, Entity)]
#[entity(tenancy = member)]
pub struct Note {
    pub text: String,
    pub ticket: Option<Id<Ticket>>,
}

/// In every text of somebody else.
pub const CANARY: &str = "xyzzy";

pub fn builder() -> Builder {
    crate::engine::builder()
        .entity::<Currency>()
        .entity::<Project>()
        .entity::<Task>()
        .entity::<Ticket>()
        .entity::<Note>()
        .wait_timeout(Duration::from_secs(1))
        .sql_limits(SqlLimits::new().run_time(Duration::from_secs(20)))
}

pub fn user_id(id: &str) -> UserId {
    UserId::new(id).unwrap()
}

pub fn user(store: &Store, id: &str) -> TenantSession {
    store.session(&store.users().get_or_create(&user_id(id)).unwrap()).unwrap()
}

pub fn member(store: &Store, organization: &str, id: &str, role: Role) -> OrganizationSession {
    let session = user(store, id);
    let organization = OrganizationId::new(organization).unwrap();
    let _ = store.organizations().create(&organization);
    let _ = store.organizations().add_member(&organization, session.user(), role);
    session.in_organization(&organization).unwrap()
}

pub fn task(title: &str, amount: i64) -> Task {
    Task {
        title: title.to_owned(),
        status: "open".to_owned(),
        amount,
        detail: r#"{"a":[1,2]}"#.to_owned(),
        mark: "x".to_owned(),
        size: 1,
        project: None,
        currency: None,
    }
}

/// One on which every expression fails that can.
pub fn trap(title: &str) -> Task {
    Task {
        detail: format!("{{{CANARY}"),
        mark: CANARY.to_owned(),
        size: 1_000_000_000,
        ..task(title, i64::MIN)
    }
}

pub struct World {
    pub store: Store,
    pub ada: TenantSession,
    pub grace: TenantSession,
    /// Ada, an administrator of it.
    pub acme: OrganizationSession,
    pub projects: Vec<Id<Project>>,
    pub tasks: Vec<Id<Task>>,
    pub tickets: Vec<Id<Ticket>>,
    pub currencies: Vec<Id<Currency>>,
}

impl World {
    /// Ada has records, and nobody else has any.
    pub fn new(store: Store) -> Self {
        let currencies = ["EUR", "USD"].map(|code| Currency { code: code.into() });
        let currencies = store.reference().insert_many(&currencies).unwrap();
        let (ada, grace) = (user(&store, "ada"), user(&store, "grace"));
        let acme = member(&store, "acme", "ada", Role::Admin);
        let root = ada.insert(&Project { name: "house".into(), parent: None }).unwrap();
        let garden = ada.insert(&Project { name: "garden".into(), parent: Some(root) }).unwrap();
        let tasks = ada
            .insert_many(&[
                Task { project: Some(garden), currency: Some(currencies[0]), ..task("dig", 5) },
                Task { project: Some(garden), ..task("plant", 7) },
                Task { status: "done".into(), currency: Some(currencies[1]), ..task("rest", -3) },
            ])
            .unwrap();
        let tickets = ["roof", "door"].map(|title| Ticket { title: title.into(), assignee: None });
        let tickets = acme.insert_many(&tickets).unwrap();
        acme.insert(&Note { text: "mine".into(), ticket: Some(tickets[0]) }).unwrap();
        let projects = vec![root, garden];
        Self { store, ada, grace, acme, projects, tasks, tickets, currencies }
    }

    /// Others insert what would change an answer if it were seen: the same titles and the same ids, and values on which
    /// expressions fail; so do Ada's colleagues in acme with their private records, and Ada in another organization.
    pub fn crowd(&self) {
        for other in [&self.grace, &user(&self.store, "first"), &user(&self.store, "zoe")] {
            let project = |position: usize, parent| {
                other.upsert(self.projects[position], &Project { name: CANARY.into(), parent })
            };
            project(0, None).unwrap();
            project(1, Some(self.projects[0])).unwrap();
            for (id, title) in self.tasks.iter().zip(["dig", "plant", "rest"]) {
                let (project, currency) = (Some(self.projects[1]), Some(self.currencies[0]));
                other.upsert(*id, &Task { project, currency, ..trap(title) }).unwrap();
            }
            for number in 0..20 {
                other.insert(&Task { amount: number, ..trap(&format!("{CANARY} {number}")) }).unwrap();
            }
        }
        let umbrella = member(&self.store, "umbrella", "grace", Role::Admin);
        let second = member(&self.store, "umbrella", "ada", Role::Member);
        for other in [&umbrella, &second] {
            for id in &self.tickets {
                other.upsert(*id, &Ticket { title: CANARY.into(), assignee: None }).unwrap();
            }
            other.insert(&Note { text: CANARY.into(), ticket: Some(self.tickets[0]) }).unwrap();
        }
        // Who is in acme is for its members to see; what they keep there for themselves is not.
        let joan = member(&self.store, "acme", "joan", Role::Member);
        joan.insert(&Note { text: CANARY.into(), ticket: Some(self.tickets[0]) }).unwrap();
    }
}

/// All that a statement tells: its result or error, and its plan.
pub fn told<S: Scope>(session: &Session<S>, sql: &str) -> String {
    format!("{}\n{:?}", shown(&session.sql(sql).rows()), session.sql(sql).explain())
}

/// What statements tell a session before others have anything is what they tell afterwards.
pub fn unmoved<S: Scope>(session: &Session<S>, statements: &[impl AsRef<str>], change: impl FnOnce()) {
    let before: Vec<String> = statements.iter().map(|sql| told(session, sql.as_ref())).collect();
    change();
    for (sql, before) in statements.iter().zip(&before) {
        let after = told(session, sql.as_ref());
        assert_eq!(&after, before, "{}", sql.as_ref());
        assert!(!after.contains(CANARY), "{}: {after}", sql.as_ref());
    }
}

pub fn texts<S: Scope>(session: &Session<S>, sql: &str) -> Vec<String> {
    session.sql(sql).all().unwrap_or_else(|error| panic!("{sql}: {error}"))
}

pub fn count<S: Scope>(session: &Session<S>, sql: &str) -> i64 {
    session.sql(sql).first().unwrap_or_else(|error| panic!("{sql}: {error}")).unwrap()
}

pub fn problem(outcome: tenantry::Result<impl Debug>) -> String {
    match outcome {
        Err(Error::Sql { problem }) => problem,
        other => panic!("{other:?}"),
    }
}
