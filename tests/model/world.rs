//! A world: tenants that only one thread reaches, their sessions, and the model of each. Worlds
//! run beside each other on one store, and each must see exactly what its model says.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use proptest::sample::Index;
use tenantry::{
    AdminSession, AuditEntry, Cursor, Dynamic, Error, Exported, Fields, Filter, Id, ImportOptions, Imported,
    LogRetention, Order, OrganizationId, OrganizationSession, QuotaKind, ReadEntry, ReadKind, Record, Result,
    Role, Store, Target, Tenancy, TenantSession, Timestamp, Upserted, Usage, UserId, Uuid, Value, Verbs,
    column,
};

use crate::spec::{CHOICES, Kind, Limits, READ, SPECS, Spec, TypedVerbs, Values, fields, quota};
use crate::steps::{
    Condition, End, Ending, Expect, From, Pick, Room, Seed, SortBy, Sorting, Step, TEXTS, Verb,
};
use crate::tenant::{Entry, Failure, Row, Surroundings, Tenant};

/// Ids that some tenant has or had: every other tenant tries them.
pub type Rumours = Mutex<Vec<Uuid>>;

/// All users of the store, so that a member reference can name one who is no member.
pub const USERS: [&str; 6] = ["ada", "grace", "linus", "barbara", "Ada", "ada "];

/// The store's admin.
pub const ROOT: &str = "root";

/// What verbs met, and how often: what no step ever reaches is not tested.
pub static MET: Mutex<BTreeMap<String, u64>> = Mutex::new(BTreeMap::new());

fn met(what: String) {
    *MET.lock().unwrap().entry(what).or_default() += 1;
}

pub enum World {
    User { user: UserId, session: TenantSession, tenant: Tenant, disabled: bool },
    Organization { organization: OrganizationId, members: Vec<Member>, tenant: Tenant },
}

pub struct Member {
    user: UserId,
    session: OrganizationSession,
    private: Tenant,
    active: bool,
}

/// Everything that a step needs beside the verbs.
struct Context<'a> {
    spec: &'static Spec,
    actor: &'a str,
    around: Surroundings,
    rumours: &'a Rumours,
    typed: bool,
}

fn failure(error: &Error) -> Failure {
    match error {
        Error::NotFound { .. } => Failure::NotFound,
        Error::NotUnique { .. } => Failure::NotUnique,
        Error::Conflict { expected, actual, .. } => {
            Failure::Conflict { expected: *expected, actual: *actual }
        }
        Error::Unique { columns, .. } => Failure::Unique(columns.clone()),
        Error::Reference { column, .. } => {
            let known = SPECS.iter().flat_map(|spec| spec.columns).find(|known| known.name == column);
            Failure::Reference(known.unwrap_or_else(|| panic!("{error}")).name)
        }
        Error::NotMember { .. } | Error::Disabled { .. } | Error::UnknownUser { .. } => Failure::Ended,
        Error::QuotaExceeded { entity, what, max, total } => Failure::Quota {
            entity: entity.clone(),
            bytes: *what == QuotaKind::Bytes,
            max: *max,
            total: *total,
        },
        other => panic!("an error that no tenant alone would meet: {other:?}"),
    }
}

fn told<T>(result: Result<T>) -> Result<T, Failure> {
    result.map_err(|error| failure(&error))
}

impl World {
    pub fn user(store: &Store, id: &str) -> Self {
        let user = store.users().create(&UserId::new(id).unwrap()).unwrap();
        let session = store.session(&user).unwrap();
        let mut tenant = Tenant::default();
        tenant.log.push(identity("user.create", [("id", Value::None, Value::from(id))]));
        World::User { user: user.id, session, tenant, disabled: false }
    }

    pub fn organization(store: &Store, id: &str, users: &[&str]) -> Self {
        let organization = store.organizations().create(&OrganizationId::new(id).unwrap()).unwrap().id;
        let mut tenant = Tenant::default();
        tenant.log.push(identity("organization.create", [("id", Value::None, Value::from(id))]));
        let members = users
            .iter()
            .map(|user| {
                let user = UserId::new(user).unwrap();
                store.organizations().add_member(&organization, &user, Role::Member).unwrap();
                tenant.log.push(joined(&user));
                let session = store.session(&user).unwrap().in_organization(&organization).unwrap();
                Member { user, session, private: Tenant::default(), active: true }
            })
            .collect();
        World::Organization { organization, members, tenant }
    }

    /// Runs one step on the store and on the model, and compares.
    pub fn step(&mut self, store: &Store, step: &Step, rumours: &Rumours) {
        match self {
            World::User { user, session, tenant, disabled } => {
                let specs: Vec<_> = SPECS.iter().filter(|spec| spec.tenancy == Tenancy::User).collect();
                let admin = step.admin.then(|| administer(store));
                let users = || admin.as_ref().map_or_else(|| store.users(), AdminSession::users);
                tenant.admin = admin.as_ref().map(|_| ROOT);
                if let Verb::Revoke(_) = step.verb {
                    *disabled = !*disabled;
                    if *disabled {
                        users().disable(user).unwrap();
                    } else {
                        users().enable(user).unwrap();
                        assert_eq!(
                            told(session.count_of("task")),
                            Err(Failure::Ended),
                            "a stale session stays ended"
                        );
                        *session = store.session(user).unwrap();
                    }
                    let action = if *disabled { "user.disable" } else { "user.enable" };
                    let change = [("disabled", Value::from(!*disabled), Value::from(*disabled))];
                    tenant.log.push(done_by(tenant.admin, identity(action, change)));
                } else if let Verb::Erase = step.verb {
                    let erased = while_busy(|| users().erase(user));
                    assert_eq!(erased.rows, rows(tenant, &specs));
                    assert_eq!(told(session.count_of("task")), Err(Failure::Ended));
                    users().create(user).unwrap();
                    *session = store.session(user).unwrap();
                    *disabled = false;
                    tenant.erased();
                    let created = identity("user.create", [("id", Value::None, user.clone().into())]);
                    tenant.log.push(done_by(tenant.admin, created));
                } else if let Verb::Leave = step.verb {
                    user_leaves(store, user, rows(tenant, &specs));
                } else if let Verb::SetQuota(room) = step.verb {
                    let spec = *step.entity.get(&specs);
                    let limits = limits(tenant, spec, room);
                    users().set_quota(user, spec.name, limits.map(quota)).unwrap();
                    set_quota(tenant, spec, limits);
                } else if let Verb::Expire = step.verb {
                    let expired = while_busy(|| users().expire_log(user, so_far()));
                    assert_eq!(expired.entries, expire(tenant));
                } else if *disabled && admin.is_none() {
                    assert_eq!(told(session.count_of("task")), Err(Failure::Ended));
                    assert_eq!(told(session.transaction(|_| Ok(()))), Err(Failure::Ended));
                } else {
                    let around = Surroundings::default();
                    let mut parties = Parties {
                        actor: user.as_str(),
                        around,
                        own: tenant,
                        private: None,
                        in_transaction: false,
                    };
                    let acting = admin.as_ref().map(|admin| admin.session(user).unwrap());
                    let acting = acting.as_ref().unwrap_or(session);
                    run(acting, &specs, step, &mut parties, rumours, &|f| acting.transaction(f));
                    let reading = if *disabled { acting } else { session };
                    compare_log(&reading.audit().list().unwrap(), tenant);
                }
                for spec in specs {
                    compare_usage(store.users().usage(user, spec.name), tenant, spec);
                }
            }
            World::Organization { organization, members, tenant } => {
                if let Verb::Revoke(member) = &step.verb {
                    let member = member.get(members);
                    let (user, was) = (member.user.clone(), member.active);
                    let member = members.iter_mut().find(|m| m.user == user).unwrap();
                    if was {
                        store.organizations().remove_member(organization, &user).unwrap();
                        tenant.log.push(identity(
                            "member.remove",
                            [
                                ("user", user.clone().into(), Value::None),
                                ("role", "member".into(), Value::None),
                            ],
                        ));
                    } else {
                        store.organizations().add_member(organization, &user, Role::Member).unwrap();
                        tenant.log.push(joined(&user));
                        member.session = store.session(&user).unwrap().in_organization(organization).unwrap();
                    }
                    member.active = !was;
                    return;
                }
                if let Verb::Erase = step.verb {
                    let admin = step.admin.then(|| administer(store));
                    let by = admin.as_ref().map(|_| ROOT);
                    let changing =
                        admin.as_ref().map_or_else(|| store.organizations(), AdminSession::organizations);
                    let erased = while_busy(|| changing.erase(organization));
                    let specs: Vec<_> = SPECS.iter().collect();
                    let private: u64 = members.iter().map(|member| rows(&member.private, &specs)).sum();
                    assert_eq!(erased.rows, rows(tenant, &specs) + private);
                    changing.create(organization).unwrap();
                    tenant.admin = by;
                    tenant.erased();
                    let id = Value::from(organization.as_str());
                    tenant.log.push(done_by(by, identity("organization.create", [("id", Value::None, id)])));
                    for member in members {
                        assert_eq!(told(member.session.count_of("ticket")), Err(Failure::Ended));
                        changing.add_member(organization, &member.user, Role::Member).unwrap();
                        tenant.log.push(done_by(by, joined(&member.user)));
                        let session = store.session(&member.user).unwrap();
                        member.session = session.in_organization(organization).unwrap();
                        member.private.erased();
                        member.active = true;
                    }
                    return;
                }
                if let Verb::Leave = step.verb {
                    let specs: Vec<_> = SPECS.iter().collect();
                    let private: u64 = members.iter().map(|member| rows(&member.private, &specs)).sum();
                    organization_leaves(store, organization, rows(tenant, &specs) + private);
                    return;
                }
                if let Verb::Expire = step.verb {
                    let admin = step.admin.then(|| administer(store));
                    let organizations =
                        admin.as_ref().map_or_else(|| store.organizations(), AdminSession::organizations);
                    let expired = while_busy(|| organizations.expire_log(organization, so_far()));
                    let logs = std::iter::once(tenant).chain(members.iter_mut().map(|m| &mut m.private));
                    let entries = logs.map(|log| {
                        log.admin = admin.as_ref().map(|_| ROOT);
                        expire(log)
                    });
                    assert_eq!(expired.entries, entries.sum::<u64>());
                    return;
                }
                let around = Surroundings {
                    soft_targets: BTreeSet::new(),
                    members: members.iter().filter(|m| m.active).map(|m| m.user.to_string()).collect(),
                };
                let admin = step.admin.then(|| administer(store));
                let by = admin.as_ref().map(|_| ROOT);
                tenant.admin = by;
                let at = step.session.index(members.len());
                let member = &mut members[at];
                member.private.admin = by;
                let organizations = store.organizations();
                if !member.active {
                    let by_admin = admin.map(|admin| admin.session_in(organization, &member.user));
                    assert!(by_admin.is_none_or(|by_admin| by_admin.is_err()));
                    assert_eq!(told(member.session.count_of("ticket")), Err(Failure::Ended));
                    let usage = organizations.member_usage(organization, &member.user, "note");
                    assert_eq!(told(usage), Err(Failure::Ended));
                    return;
                }
                let changing =
                    admin.as_ref().map_or_else(|| store.organizations(), AdminSession::organizations);
                let specs: Vec<_> = SPECS
                    .iter()
                    .filter(|s| matches!(s.tenancy, Tenancy::Organization | Tenancy::Member))
                    .collect();
                if let Verb::SetQuota(room) = step.verb {
                    let spec = *step.entity.get(&specs);
                    if spec.tenancy == Tenancy::Member {
                        let limits = limits(&member.private, spec, room);
                        let (user, quota) = (&member.user, limits.map(quota));
                        changing.set_member_quota(organization, user, spec.name, quota).unwrap();
                        set_quota(&mut member.private, spec, limits);
                    } else {
                        let limits = limits(tenant, spec, room);
                        changing.set_quota(organization, spec.name, limits.map(quota)).unwrap();
                        set_quota(tenant, spec, limits);
                    }
                    return;
                }
                let mut parties = Parties {
                    actor: member.user.as_str(),
                    around,
                    own: tenant,
                    private: Some(&mut member.private),
                    in_transaction: false,
                };
                let session = &member.session;
                let acting =
                    admin.as_ref().map(|admin| admin.session_in(organization, &member.user).unwrap());
                let acting = acting.as_ref().unwrap_or(session);
                run(acting, &specs, step, &mut parties, rumours, &|f| acting.transaction(f));
                compare_log(&session.audit().list().unwrap(), tenant);
                compare_log(&session.private_audit().list().unwrap(), &mut member.private);
                for spec in specs {
                    if spec.tenancy == Tenancy::Member {
                        let usage = organizations.member_usage(organization, &member.user, spec.name);
                        compare_usage(usage, &member.private, spec);
                    } else {
                        compare_usage(organizations.usage(organization, spec.name), tenant, spec);
                    }
                }
            }
        }
    }

    /// Everything that each session of the world sees.
    /// Every id that its tenants ever had.
    pub fn ids(&self) -> BTreeSet<Uuid> {
        let of = |tenant: &Tenant| tenant.ids.iter().map(|(_, id)| *id).collect::<Vec<_>>();
        match self {
            World::User { tenant, .. } => of(tenant).into_iter().collect(),
            World::Organization { members, tenant, .. } => {
                members.iter().flat_map(|member| of(&member.private)).chain(of(tenant)).collect()
            }
        }
    }

    /// Compares everything at the end. The ids are those of others.
    pub fn compare(&self, others: &BTreeSet<Uuid>) {
        match self {
            World::User { user, session, tenant, disabled: false } => {
                for spec in SPECS.iter().filter(|spec| spec.tenancy == Tenancy::User) {
                    compare_rows(session, spec, tenant, None);
                }
                let rows = tenant.rows(Spec::of("project")).count();
                compare_reads(&session.audit().reads().list().unwrap(), user, "project", rows, others);
                assert!(session.audit().verify().unwrap().is_intact());
            }
            World::User { .. } => {}
            World::Organization { members, tenant, .. } => {
                let mut active: Vec<&str> = members
                    .iter()
                    .filter(|member| member.active)
                    .map(|member| member.user.as_str())
                    .collect();
                active.sort_unstable();
                for member in members.iter().filter(|member| member.active) {
                    let named = member.session.sql("SELECT user FROM members ORDER BY user").all::<String>();
                    assert_eq!(named.unwrap(), active);
                    for spec in SPECS.iter().filter(|spec| spec.tenancy == Tenancy::Organization) {
                        compare_rows(&member.session, spec, tenant, None);
                    }
                    compare_rows(&member.session, Spec::of("note"), &member.private, Some(tenant));
                    let rows = member.private.rows(Spec::of("note")).count();
                    let reads = member.session.private_audit().reads().list().unwrap();
                    compare_reads(&reads, &member.user, "note", rows, others);
                    assert_eq!(member.session.audit().reads().list().unwrap(), []);
                    assert!(member.session.audit().verify().unwrap().is_intact());
                    assert!(member.session.private_audit().verify().unwrap().is_intact());
                }
            }
        }
    }
}

/// How many records a tenant has.
fn rows(tenant: &Tenant, specs: &[&'static Spec]) -> u64 {
    specs.iter().map(|spec| tenant.size(spec).0).sum()
}

fn limits(tenant: &Tenant, spec: &Spec, room: Option<Room>) -> Option<Limits> {
    let (rows, bytes) = tenant.size(spec);
    let max = |size: u64, room: Option<i64>| room.map(|room| size.saturating_add_signed(room));
    room.map(|room| (max(rows, room.0), max(bytes, room.1)))
}

fn set_quota(tenant: &mut Tenant, spec: &'static Spec, limits: Option<Limits>) {
    let before = match limits {
        Some(limits) => tenant.quotas.insert(spec.name, limits),
        None => tenant.quotas.remove(spec.name),
    };
    // The log says of no limit that it is the greatest number, and nothing of no quota.
    let logged = |limits: Option<Limits>| {
        let max = |max: Option<u64>| Value::Integer(max.map_or(i64::MAX, |max| max as i64));
        limits.map_or((Value::None, Value::None), |(rows, bytes)| (max(rows), max(bytes)))
    };
    let (before, after) = (logged(before), logged(limits));
    let entity = Value::from(spec.name);
    let changes =
        [("entity", entity.clone(), entity), ("rows", before.0, after.0), ("bytes", before.1, after.1)];
    tenant.log.push(done_by(tenant.admin, identity("quota.set", changes)));
}

fn so_far() -> LogRetention {
    LogRetention { entries_before: Some(Timestamp::now()), ..LogRetention::default() }
}

/// What a log held goes, and it says so, unless it holds nothing but that already. How many entries.
fn expire(tenant: &mut Tenant) -> u64 {
    if tenant.looks == 0 && tenant.log.iter().all(|entry| entry.action == "audit.expire") {
        // What an admin asks for is on record all the same.
        tenant.looks = usize::from(tenant.admin.is_some());
        return 0;
    }
    let gone = tenant.log.len() + tenant.looks;
    tenant.looks = 0;
    tenant.log = vec![done_by(tenant.admin, identity("audit.expire", []))];
    gone as u64
}

/// A log does not shrink while its tenant moves, and a tenant does not move while its log shrinks.
pub fn while_busy<T>(mut call: impl FnMut() -> Result<T>) -> T {
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        match call() {
            Err(Error::Busy { .. }) if Instant::now() < until => std::thread::sleep(Duration::from_millis(1)),
            outcome => return outcome.unwrap(),
        }
    }
}

/// A user leaves, and arrives under another id; the copy is the same, and then it goes. Nobody else notices,
/// nor does the user.
fn user_leaves(store: &Store, user: &UserId, rows: u64) {
    let mut bundle = Vec::new();
    let exported = while_busy(|| {
        bundle.clear();
        store.users().export(user, &mut bundle)
    });
    assert_eq!(exported.rows, rows);
    let copy = UserId::new(format!("{user} elsewhere")).unwrap();
    let options = ImportOptions::new().under(copy.as_str()).with_quotas();
    if arrived(|| store.users().import(&mut &bundle[..], &options), &exported) {
        let (here, there) = (store.session(&copy).unwrap(), &exported);
        let log = here.audit().list().unwrap();
        assert_eq!(log.last().unwrap().action, "tenant.import");
        assert_eq!(log.len() as u64, there.entries + 1);
        assert!(here.audit().verify().unwrap().is_intact());
        drop(here);
        assert_eq!(while_busy(|| store.users().erase(&copy)).rows, rows);
    }
}

fn organization_leaves(store: &Store, organization: &OrganizationId, rows: u64) {
    let mut bundle = Vec::new();
    let exported = while_busy(|| {
        bundle.clear();
        store.organizations().export(organization, &mut bundle)
    });
    assert_eq!(exported.rows, rows);
    let copy = OrganizationId::new(format!("{organization} elsewhere")).unwrap();
    // Other worlds may erase users meanwhile who are members, or have been.
    let options = ImportOptions::new().under(copy.as_str()).with_quotas();
    if arrived(|| store.organizations().import(&mut &bundle[..], &options), &exported) {
        assert_eq!(while_busy(|| store.organizations().erase(&copy)).rows, rows);
    }
}

/// Whether it did: with a quota of its own taken away, a tenant can have more than anybody may bring.
fn arrived(mut import: impl FnMut() -> Result<Imported>, exported: &Exported) -> bool {
    let outcome = while_busy(|| match import() {
        Err(Error::Busy { reason }) => Err(Error::Busy { reason }),
        other => Ok(other),
    });
    match outcome {
        Ok(imported) => {
            assert_eq!((imported.rows, imported.entries), (exported.rows, exported.entries));
            assert_eq!(Some(imported.digest), exported.digest);
            true
        }
        Err(Error::QuotaExceeded { .. }) => false,
        Err(other) => panic!("{other:?}"),
    }
}

fn administer(store: &Store) -> AdminSession {
    store.admin(&UserId::new(ROOT).unwrap(), "model").unwrap()
}

/// What a store admin does to a tenant is in the admin's own name.
fn done_by(admin: Option<&str>, entry: Entry) -> Entry {
    let admin = admin.map(str::to_owned);
    Entry { actor: admin.clone(), admin, ..entry }
}

/// The kept numbers are those of the rows, after every step.
fn compare_usage(usage: Result<Usage>, tenant: &Tenant, spec: &Spec) {
    let usage = usage.unwrap();
    assert_eq!((usage.rows, usage.bytes), tenant.size(spec), "{}", spec.name);
    let own = tenant.quotas.contains_key(spec.name);
    assert_eq!((usage.quota, usage.own), (quota(tenant.limits(spec)), own), "{}", spec.name);
}

/// The tenants that a session reaches.
struct Parties<'a> {
    actor: &'a str,
    around: Surroundings,
    own: &'a mut Tenant,
    private: Option<&'a mut Tenant>,
    in_transaction: bool,
}

impl Parties<'_> {
    fn tenant(&mut self, spec: &Spec) -> &mut Tenant {
        match (&mut self.private, spec.tenancy) {
            (Some(private), Tenancy::Member) => private,
            _ => self.own,
        }
    }

    fn save(&self) -> (Tenant, Option<Tenant>) {
        (self.own.clone(), self.private.as_deref().cloned())
    }

    /// Undoes what happened since, except that ids which were seen stay known.
    fn restore(&mut self, (own, private): (Tenant, Option<Tenant>)) {
        self.own.restore(own);
        if let (Some(tenant), Some(private)) = (&mut self.private, private) {
            tenant.restore(private);
        }
    }
}

trait CountOf {
    fn count_of(&self, entity: &str) -> Result<u64>;
}

impl<S: TypedVerbs> CountOf for tenantry::Session<S> {
    fn count_of(&self, entity: &str) -> Result<u64> {
        self.dynamic(entity)?.count()
    }
}

type Run<'a, S> = dyn FnOnce(&tenantry::Transaction<'_, S>) -> Result<()> + 'a;
type Begin<'a, S> = dyn Fn(Box<Run<'_, S>>) -> Result<()> + 'a;

/// Runs one step with the verbs of a session or a transaction.
fn run<S: TypedVerbs>(
    verbs: &Verbs<'_, S>,
    specs: &[&'static Spec],
    step: &Step,
    parties: &mut Parties<'_>,
    rumours: &Rumours,
    begin: &Begin<'_, S>,
) {
    if let Verb::Transaction(steps, ending) = &step.verb {
        let before = parties.save();
        let outermost = !std::mem::replace(&mut parties.in_transaction, true);
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            begin(Box::new(|tx| {
                for step in steps {
                    run(tx, specs, step, parties, rumours, &|f| tx.transaction(f));
                }
                match ending {
                    Ending::Commit => Ok(()),
                    Ending::Fail => Err(Error::aborted("on purpose")),
                    Ending::Panic => std::panic::resume_unwind(Box::new("on purpose")),
                }
            }))
        }));
        parties.in_transaction = !outermost;
        match (ending, outcome) {
            (Ending::Commit, Ok(Ok(()))) => {}
            (Ending::Fail, Ok(Err(Error::Aborted { .. }))) => parties.restore(before),
            // Caught here, so that an outer transaction goes on without the inner one.
            (Ending::Panic, Err(reason)) if reason.downcast_ref() == Some(&"on purpose") => {
                parties.restore(before)
            }
            (_, Err(reason)) => std::panic::resume_unwind(reason),
            (ending, outcome) => panic!("{ending:?} ended as {outcome:?}"),
        }
        return;
    }
    let spec = step.entity.get(specs);
    let mut around = parties.around.clone();
    if spec.tenancy == Tenancy::Member {
        around.soft_targets = parties.own.ids_of(Spec::of("ticket"));
    }
    let context = Context { spec, actor: parties.actor, around, rumours, typed: step.typed };
    let dynamic = verbs.dynamic(spec.name).unwrap();
    let place = if parties.in_transaction { "in a transaction" } else { "alone" };
    let tenant = parties.tenant(spec);
    let logged = tenant.log.len();
    let outcome = context.verb(verbs, &dynamic, tenant, &step.verb);
    note_met(&step.verb, place, outcome, &tenant.log[logged..]);
    // The order within one verb is the engine's own affair; comparisons sort it.
    tenant.log[logged..].sort_by_key(|entry| format!("{:?}{:?}", entry.entity, entry.record));
    assert_eq!(told(dynamic.count()), Ok(tenant.rows(spec).count() as u64));
    if let Some(count) = S::count(verbs, spec.name) {
        assert_eq!(told(count), Ok(tenant.rows(spec).count() as u64));
    }
}

fn note_met(verb: &Verb, place: &str, outcome: Result<(), Failure>, entries: &[Entry]) {
    let verb_name = format!("{verb:?}");
    let name = verb_name.split('(').next().unwrap();
    if let Err(Failure::Quota { bytes, .. }) = outcome {
        met(format!("{name} {place}: too many {}", if bytes { "bytes" } else { "rows" }));
    }
    if let Verb::Delete(..) = verb {
        let deleted = entries.iter().filter(|entry| entry.action == "delete").count();
        if deleted > 1 {
            met(format!("Delete {place}: others go along"));
        }
        if deleted < entries.len() {
            met(format!("Delete {place}: references are cleared"));
        }
    }
}

impl Context<'_> {
    fn pick(&self, tenant: &Tenant, entity: &str, pick: &Pick) -> Uuid {
        let known = tenant.ids.iter().filter(|(name, _)| *name == entity).map(|(_, id)| *id);
        let known: Vec<Uuid> = match pick.from {
            From::Own => tenant.ids_of(Spec::of(entity)).into_iter().collect(),
            _ => known.collect(),
        };
        let rumours = self.rumours.lock().unwrap();
        match pick.from {
            From::Own | From::Known if !known.is_empty() => *pick.index.get(&known),
            From::Foreign if !rumours.is_empty() => *pick.index.get(&rumours),
            // A valid UUIDv7 that nobody has.
            _ => {
                Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0000 | pick.index.index(1 << 20) as u128)
            }
        }
    }

    fn values(&self, tenant: &Tenant, seed: &Seed) -> Values {
        let mut references = seed.references.iter();
        let columns = self.spec.columns.iter().map(|column| {
            let value = match column.kind {
                Kind::Text if column.secret => seed.secret.then_some("secret canary").into(),
                Kind::Text => Value::from(*seed.text.get(&TEXTS[..])),
                Kind::Integer => seed.points.into(),
                Kind::Choice => CHOICES[usize::from(seed.choice)].into(),
                Kind::Time => seed.time.map(time).into(),
                Kind::Reference { to, soft, .. } => match references.next().and_then(Option::as_ref) {
                    None => Value::None,
                    Some(pick) if soft && pick.from == From::Own && !self.around.soft_targets.is_empty() => {
                        let targets: Vec<Uuid> = self.around.soft_targets.iter().copied().collect();
                        Value::Uuid(*pick.index.get(&targets))
                    }
                    Some(pick) => Value::Uuid(self.pick(tenant, to, pick)),
                },
                Kind::Member => seed.member.as_ref().map(|user| *user.get(&USERS[..])).into(),
            };
            (column.name, value)
        });
        columns.collect()
    }

    fn expected(&self, tenant: &Tenant, id: Uuid, expect: Expect) -> Option<u64> {
        let version = tenant.row(self.spec, id).map_or(1, |row| row.version);
        match expect {
            Expect::Any => None,
            Expect::Right => Some(version),
            Expect::Wrong => Some(version + 1),
        }
    }

    /// A new row: its id is the store's choice and must be new, version 7 and the tenant's greatest.
    fn inserted(&self, tenant: &mut Tenant, id: Uuid, values: Values) {
        assert_eq!(id.get_version_num(), 7);
        assert!(tenant.ids.iter().all(|(_, known)| *known != id), "an id was given twice");
        tenant.insert(self.spec, id, values, self.actor);
        self.rumours.lock().unwrap().push(id);
    }

    fn verb<S: TypedVerbs>(
        &self,
        verbs: &Verbs<'_, S>,
        dynamic: &Dynamic<'_, S>,
        tenant: &mut Tenant,
        verb: &Verb,
    ) -> Result<(), Failure> {
        let spec = self.spec;
        match verb {
            Verb::Insert(seed) => {
                let values = self.values(tenant, seed);
                let wanted = tenant.check_insert(spec, None, &values, &self.around);
                let typed = if self.typed { S::insert(verbs, spec.name, &values) } else { None };
                let got = told(typed.unwrap_or_else(|| dynamic.insert(fields(&values)).map(Id::uuid)));
                assert_eq!(got.as_ref().err(), wanted.as_ref().err(), "insert {values:?}");
                if let Ok(id) = got {
                    self.inserted(tenant, id, values);
                }
                wanted
            }
            Verb::InsertMany(seeds) => {
                let before = tenant.clone();
                let rows: Vec<Values> = seeds.iter().map(|seed| self.values(tenant, seed)).collect();
                let got = told(dynamic.insert_many(rows.iter().map(fields)));
                // References among the new rows are not possible, clashes among them are.
                let mut scratch = tenant.clone();
                let mut wanted = Ok(());
                for (number, values) in rows.iter().enumerate() {
                    wanted = scratch.check_insert(spec, None, values, &self.around);
                    if wanted.is_err() {
                        break;
                    }
                    scratch.insert(spec, Uuid::from_u128(number as u128 + 1), values.clone(), self.actor);
                }
                assert_eq!(got.as_ref().err(), wanted.as_ref().err());
                match got {
                    Ok(ids) => ids
                        .into_iter()
                        .zip(rows)
                        .for_each(|(id, values)| self.inserted(tenant, id.uuid(), values)),
                    Err(_) => *tenant = before,
                }
                wanted
            }
            Verb::Get(pick) => {
                let id = self.pick(tenant, spec.name, pick);
                let wanted = tenant
                    .row(spec, id)
                    .map(|row| (row.version, self.shown(&row.values)))
                    .ok_or(Failure::NotFound);
                let typed = if self.typed { S::get(verbs, spec.name, id) } else { None };
                let got = typed.unwrap_or_else(|| {
                    dynamic.get(Id::from_uuid(id)).map(|record| (record.version, values_of(spec, &record)))
                });
                assert_eq!(told(got), wanted);
                assert_eq!(
                    dynamic.find(Id::from_uuid(id)).unwrap().is_some(),
                    tenant.row(spec, id).is_some()
                );
                Ok(())
            }
            Verb::GetMany(picks) => {
                let ids: Vec<Uuid> = picks.iter().map(|pick| self.pick(tenant, spec.name, pick)).collect();
                let got =
                    told(dynamic.get_many(&ids.iter().map(|id| Id::from_uuid(*id)).collect::<Vec<_>>()))
                        .unwrap();
                assert_eq!(got.len(), ids.len());
                for (id, record) in ids.iter().zip(got) {
                    assert_eq!(record.map(|r| r.version), tenant.row(spec, *id).map(|row| row.version));
                }
                Ok(())
            }
            Verb::Exists(pick) => {
                let id = self.pick(tenant, spec.name, pick);
                assert_eq!(told(dynamic.exists(Id::from_uuid(id))), Ok(tenant.row(spec, id).is_some()));
                Ok(())
            }
            Verb::Update(pick, expect, seed) => {
                let id = self.pick(tenant, spec.name, pick);
                let values = self.values(tenant, seed);
                let expected = self.expected(tenant, id, *expect);
                let typed =
                    if self.typed { S::update(verbs, spec.name, id, expected, &values) } else { None };
                let got =
                    told(typed.unwrap_or_else(|| dynamic.update(target(id, expected), fields(&values))));
                let wanted = tenant
                    .all_or_none(|t| t.update(spec, id, expected, |v| *v = values, self.actor, &self.around));
                assert_eq!(got, wanted);
                wanted.map(drop)
            }
            Verb::Patch(pick, expect, columns, seed) => {
                let id = self.pick(tenant, spec.name, pick);
                let expected = self.expected(tenant, id, *expect);
                let changes = self.some_columns(tenant, columns, seed);
                let got = told(dynamic.patch(target(id, expected), fields(&changes)));
                let wanted = tenant.all_or_none(|t| {
                    t.update(spec, id, expected, |v| v.extend(changes), self.actor, &self.around)
                });
                assert_eq!(got, wanted);
                wanted.map(drop)
            }
            Verb::Upsert(pick, seed) => {
                let id = self.pick(tenant, spec.name, pick);
                let values = self.values(tenant, seed);
                let got = told(dynamic.upsert(Id::from_uuid(id), fields(&values)));
                if tenant.row(spec, id).is_some() {
                    let wanted = tenant
                        .all_or_none(|t| t.update(spec, id, None, |v| *v = values, self.actor, &self.around));
                    assert_eq!(got, wanted.clone().map(|_| Upserted::Updated(Id::from_uuid(id))));
                    wanted.map(drop)
                } else {
                    // An id of another tenant, too, is free here.
                    let wanted = tenant.check_insert(spec, Some(id), &values, &self.around);
                    assert_eq!(got, wanted.clone().map(|()| Upserted::Inserted(Id::from_uuid(id))));
                    if got.is_ok() {
                        tenant.insert(spec, id, values, self.actor);
                    }
                    wanted
                }
            }
            Verb::UpsertOn(seed) => {
                let values = self.values(tenant, seed);
                let Some(unique) = spec.unique else {
                    assert!(matches!(
                        dynamic.upsert_on(&["points"], fields(&values)),
                        Err(Error::InvalidInput { .. })
                    ));
                    return Ok(());
                };
                let got = told(dynamic.upsert_on(&[unique], fields(&values)));
                let same =
                    tenant.rows(spec).find(|row| row.values[unique] == values[unique]).map(|row| row.id);
                match same {
                    Some(id) => {
                        let wanted = tenant.all_or_none(|t| {
                            t.update(spec, id, None, |v| *v = values, self.actor, &self.around)
                        });
                        assert_eq!(got, wanted.clone().map(|_| Upserted::Updated(Id::from_uuid(id))));
                        wanted.map(drop)
                    }
                    None => {
                        let wanted = tenant.check_insert(spec, None, &values, &self.around);
                        assert_eq!(got.as_ref().err(), wanted.as_ref().err());
                        if let Ok(upserted) = got {
                            self.inserted(tenant, upserted.id().uuid(), values);
                        }
                        wanted
                    }
                }
            }
            Verb::Delete(pick, expect) => {
                let id = self.pick(tenant, spec.name, pick);
                let expected = self.expected(tenant, id, *expect);
                let typed =
                    if self.typed && expected.is_none() { S::delete(verbs, spec.name, id) } else { None };
                let got = told(typed.unwrap_or_else(|| dynamic.delete(target(id, expected))));
                let wanted = tenant.all_or_none(|t| t.delete(spec, id, expected, self.actor));
                assert_eq!(got, wanted);
                wanted.map(drop)
            }
            Verb::Query(condition, sorting, end) => {
                self.query(dynamic, tenant, condition, *sorting, *end);
                Ok(())
            }
            Verb::UpdateWhere(condition, column, seed) => {
                let changes = self.some_columns(tenant, std::slice::from_ref(column), seed);
                let got = told(self.filtered(dynamic, condition).patch(fields(&changes)));
                let ids: Vec<Uuid> = self.matching(tenant, condition).iter().map(|row| row.id).collect();
                let wanted = tenant.all_or_none(|tenant| {
                    for id in &ids {
                        let change = |values: &mut Values| values.extend(changes.clone());
                        tenant.update(spec, *id, None, change, self.actor, &self.around)?;
                    }
                    Ok(ids.len() as u64)
                });
                assert_eq!(got, wanted);
                wanted.map(drop)
            }
            Verb::DeleteWhere(condition, limit) => {
                let mut query = self.filtered(dynamic, condition);
                let mut ids: Vec<Uuid> = self.matching(tenant, condition).iter().map(|row| row.id).collect();
                if let Some(limit) = limit {
                    query = query.limit(*limit);
                    ids.truncate(*limit as usize);
                }
                let got = told(query.delete());
                let wanted = tenant.all_or_none(|tenant| {
                    for id in &ids {
                        match tenant.delete(spec, *id, None, self.actor) {
                            Ok(()) | Err(Failure::NotFound) => {}
                            Err(failure) => return Err(failure),
                        }
                    }
                    Ok(ids.len() as u64)
                });
                assert_eq!(got, wanted);
                wanted.map(drop)
            }
            Verb::Transaction(..)
            | Verb::Revoke(_)
            | Verb::SetQuota(_)
            | Verb::Expire
            | Verb::Erase
            | Verb::Leave => Ok(()),
        }
    }

    fn some_columns(&self, tenant: &Tenant, columns: &[Index], seed: &Seed) -> Values {
        let values = self.values(tenant, seed);
        columns
            .iter()
            .map(|index| index.get(self.spec.columns).name)
            .map(|name| (name, values[name].clone()))
            .collect()
    }

    /// As a reader sees them: a soft reference is none once its target is gone.
    fn shown(&self, values: &Values) -> Values {
        show(self.spec, values, &self.around.soft_targets)
    }

    fn text_column(&self) -> &'static str {
        self.spec.columns[0].name
    }

    fn time_column(&self) -> Option<&'static str> {
        self.spec.columns.iter().find(|column| column.kind == Kind::Time).map(|column| column.name)
    }

    fn has_points(&self) -> bool {
        self.spec.columns.iter().any(|column| column.name == "points")
    }

    fn holds(&self, condition: &Condition, row: &Row) -> bool {
        let Value::Text(text) = &row.values[self.text_column()] else { unreachable!() };
        let at = |column: Option<&str>| {
            column
                .and_then(|column| if let Value::Time(time) = row.values[column] { Some(time) } else { None })
        };
        match condition {
            Condition::All => true,
            Condition::TextIs(index) => text == index.get(&TEXTS[..]),
            Condition::TextContains(part) => text.contains(part),
            Condition::PointsBelow(points) => {
                !self.has_points() || matches!(row.values["points"], Value::Integer(p) if p < *points)
            }
            Condition::TimeAtLeast(from) => {
                self.time_column().is_none() || at(self.time_column()).is_some_and(|t| t >= time(*from))
            }
            Condition::TimeMissing => self.time_column().is_none() || at(self.time_column()).is_none(),
            Condition::Not(inner) => !self.holds(inner, row),
            Condition::And(a, b) => self.holds(a, row) && self.holds(b, row),
            Condition::Or(a, b) => self.holds(a, row) || self.holds(b, row),
        }
    }

    fn filter(&self, condition: &Condition) -> Filter<Fields> {
        let text = || column(self.text_column());
        let all = || column("_version").ge(0);
        match condition {
            Condition::All => all(),
            Condition::TextIs(index) => text().eq(*index.get(&TEXTS[..])),
            Condition::TextContains(part) => text().contains(*part),
            Condition::PointsBelow(points) if self.has_points() => column("points").lt(*points),
            Condition::TimeAtLeast(from) if self.time_column().is_some() => {
                column(self.time_column().unwrap()).ge(time(*from))
            }
            Condition::TimeMissing if self.time_column().is_some() => {
                column(self.time_column().unwrap()).is_none()
            }
            Condition::PointsBelow(_) | Condition::TimeAtLeast(_) | Condition::TimeMissing => all(),
            Condition::Not(inner) => !self.filter(inner),
            Condition::And(a, b) => self.filter(a).and(self.filter(b)),
            Condition::Or(a, b) => self.filter(a).or(self.filter(b)),
        }
    }

    fn filtered<'d, S: TypedVerbs>(
        &self,
        dynamic: &Dynamic<'d, S>,
        condition: &Condition,
    ) -> tenantry::Query<'d, S, Fields> {
        match condition {
            Condition::All => dynamic.query(),
            other => dynamic.query().filter(self.filter(other)),
        }
    }

    /// The matching rows, oldest id first.
    fn matching<'t>(&self, tenant: &'t Tenant, condition: &Condition) -> Vec<&'t Row> {
        tenant.rows(self.spec).filter(|row| self.holds(condition, row)).collect()
    }

    /// The order that the library promises: the columns, then insertion, which turns round with
    /// the last column.
    fn sort(&self, rows: &mut [&Row], sorting: Sorting) -> Option<Order<Fields>> {
        let name = match sorting.by {
            SortBy::Text => self.text_column(),
            SortBy::Points if self.has_points() => "points",
            SortBy::Time if self.time_column().is_some() => self.time_column().unwrap(),
            SortBy::Created => {
                rows.sort_by_key(|row| row.id);
                if sorting.descending {
                    rows.reverse();
                }
                return Some(if sorting.descending {
                    column("_created").desc()
                } else {
                    column("_created").asc()
                });
            }
            _ => return None,
        };
        let then = sorting.then_text && name != self.text_column();
        rows.sort_by(|a, b| {
            let key = |row: &Row| rank(&row.values[name]);
            let by_name = key(a).cmp(&key(b));
            let by_name = if sorting.descending { by_name.reverse() } else { by_name };
            let by_text = if then {
                rank(&a.values[self.text_column()]).cmp(&rank(&b.values[self.text_column()]))
            } else {
                std::cmp::Ordering::Equal
            };
            let by_number =
                if sorting.descending && !then { b.number.cmp(&a.number) } else { a.number.cmp(&b.number) };
            by_name.then(by_text).then(by_number)
        });
        let order = if sorting.descending { column(name).desc() } else { column(name).asc() };
        Some(if then { order.then(column(self.text_column()).asc()) } else { order })
    }

    fn query<S: TypedVerbs>(
        &self,
        dynamic: &Dynamic<'_, S>,
        tenant: &Tenant,
        condition: &Condition,
        sorting: Sorting,
        end: End,
    ) {
        let mut rows = self.matching(tenant, condition);
        let mut query = self.filtered(dynamic, condition);
        if let Some(order) = self.sort(&mut rows, sorting) {
            query = query.order_by(order);
        }
        let check = |records: &[Record<Fields>], rows: &[&Row]| {
            let got: Vec<Uuid> = records.iter().map(|record| record.id.uuid()).collect();
            let wanted: Vec<Uuid> = rows.iter().map(|row| row.id).collect();
            assert_eq!(got, wanted, "{} where {condition:?} by {sorting:?}", self.spec.name);
            for (record, row) in records.iter().zip(rows) {
                assert_eq!(values_of(self.spec, record), self.shown(&row.values));
                assert_eq!(
                    (record.version, record.author.as_ref().map(UserId::to_string)),
                    (row.version, row.author.clone())
                );
            }
        };
        match end {
            End::List(limit) => {
                if let Some(limit) = limit {
                    query = query.limit(limit);
                    rows.truncate(limit as usize);
                }
                check(&told(query.list()).unwrap(), &rows);
            }
            End::Pages(size) => {
                let mut records = Vec::new();
                let mut next: Option<Cursor> = None;
                loop {
                    let query = next.as_ref().map_or(query.clone(), |cursor| {
                        query.clone().after(&cursor.to_string().parse().unwrap())
                    });
                    let page = told(query.page(size)).unwrap();
                    assert!(page.records.len() <= size as usize);
                    records.extend(page.records);
                    next = page.next;
                    if next.is_none() {
                        break;
                    }
                }
                check(&records, &rows);
            }
            End::First => check(
                &told(query.first()).unwrap().into_iter().collect::<Vec<_>>(),
                &rows[..rows.len().min(1)],
            ),
            End::One => {
                let wanted = match rows.len() {
                    0 => Err(Failure::NotFound),
                    1 => Ok(rows[0].id),
                    _ => Err(Failure::NotUnique),
                };
                assert_eq!(told(query.one()).map(|record| record.id.uuid()), wanted);
            }
            End::Count => assert_eq!(told(query.count()), Ok(rows.len() as u64)),
            End::Exists => assert_eq!(told(query.exists()), Ok(!rows.is_empty())),
            End::Iterate => check(&told(query.iter()).unwrap().collect::<Result<Vec<_>>>().unwrap(), &rows),
            End::Aggregates if self.has_points() => {
                let points = tenantry::Column::<Fields, i64>::new("points");
                let all: Vec<i64> = rows
                    .iter()
                    .map(|row| if let Value::Integer(p) = row.values["points"] { p } else { unreachable!() })
                    .collect();
                assert_eq!(told(query.sum(points)), Ok(all.iter().sum()));
                assert_eq!(told(query.min(points)), Ok(all.iter().min().copied()));
                assert_eq!(told(query.max(points)), Ok(all.iter().max().copied()));
                let average = told(query.average(points)).unwrap();
                assert_eq!(
                    average,
                    (!all.is_empty()).then(|| all.iter().sum::<i64>() as f64 / all.len() as f64)
                );
            }
            End::Aggregates => {}
            End::Groups => {
                let mut wanted: BTreeMap<String, u64> = BTreeMap::new();
                for row in &rows {
                    if let Value::Text(text) = &row.values[self.text_column()] {
                        *wanted.entry(text.clone()).or_default() += 1;
                    }
                }
                let wanted: Vec<(Value, u64)> =
                    wanted.into_iter().map(|(text, count)| (text.into(), count)).collect();
                assert_eq!(told(query.group_count_by(&column(self.text_column()))), Ok(wanted));
            }
        }
    }
}

fn time(microseconds: i64) -> Timestamp {
    Timestamp::from_microsecond(microseconds).unwrap()
}

fn target(id: Uuid, expected: Option<u64>) -> Target<Fields> {
    let id = Id::from_uuid(id);
    match expected {
        Some(version) => id.at(version),
        None => id.into(),
    }
}

/// No value before every value; text by bytes.
fn rank(value: &Value) -> (u8, i64, String) {
    match value {
        Value::None => (0, 0, String::new()),
        Value::Integer(integer) => (1, *integer, String::new()),
        Value::Time(time) => (1, time.as_microsecond(), String::new()),
        Value::Text(text) => (1, 0, text.clone()),
        other => panic!("{other:?} is not sorted by here"),
    }
}

fn values_of(spec: &Spec, record: &Record<Fields>) -> Values {
    spec.columns.iter().map(|column| (column.name, record.get(column.name).unwrap().clone())).collect()
}

fn show(spec: &Spec, values: &Values, soft_targets: &BTreeSet<Uuid>) -> Values {
    let mut shown = values.clone();
    for column in spec.columns {
        if let (Kind::Reference { soft: true, .. }, Value::Uuid(id)) = (&column.kind, &values[column.name])
            && !soft_targets.contains(id)
        {
            shown.insert(column.name, Value::None);
        }
    }
    shown
}

fn compare_rows<S: TypedVerbs>(
    session: &tenantry::Session<S>,
    spec: &'static Spec,
    tenant: &Tenant,
    organization: Option<&Tenant>,
) {
    let targets = organization.map(|tenant| tenant.ids_of(Spec::of("ticket"))).unwrap_or_default();
    let records = session.dynamic(spec.name).unwrap().list().unwrap();
    let got: Vec<_> =
        records.iter().map(|record| (record.id.uuid(), record.version, values_of(spec, record))).collect();
    let wanted: Vec<_> =
        tenant.rows(spec).map(|row| (row.id, row.version, show(spec, &row.values, &targets))).collect();
    assert_eq!(got, wanted);
    // The same through the tenant's own SQL.
    let sql = format!("SELECT id, \"{}\" FROM \"{}\" ORDER BY id", spec.columns[0].name, spec.name);
    let selected = session.sql(&sql).rows().unwrap();
    let selected: Vec<_> = selected.into_iter().map(|row| row.get(0).cloned().unwrap()).collect();
    let mut ids: Vec<_> = wanted.iter().map(|(id, ..)| id.to_string()).collect();
    ids.sort();
    assert_eq!(selected, ids.into_iter().map(Value::Text).collect::<Vec<_>>());
}

/// The access log: who, of what, in which order; and the two reads that were made last.
fn compare_reads(reads: &[ReadEntry], user: &UserId, entity: &str, rows: usize, others: &BTreeSet<Uuid>) {
    assert!(READ.contains(&entity));
    for (position, read) in reads.iter().enumerate() {
        assert_eq!(read.number, position as u64 + 1);
        // The application lets the tenant leave.
        let reader = (read.kind != ReadKind::Export).then_some(user);
        assert_eq!(read.actor.as_ref(), reader);
        assert!(read.admin.as_ref().is_none_or(|admin| admin.as_str() == ROOT));
        assert_eq!(read.admin.is_some(), read.reason.is_some());
        assert_eq!(read.entity, entity);
        assert!(read.records.iter().all(|id| !others.contains(id)), "a record of somebody else was read");
    }
    let last: Vec<_> = reads[reads.len() - 2..].iter().map(|read| (read.kind, read.count)).collect();
    assert_eq!(last, [(ReadKind::List, Some(rows as u64)), (ReadKind::Sql, None)]);
}

fn identity<const N: usize>(action: &str, changes: [(&str, Value, Value); N]) -> Entry {
    Entry {
        actor: None,
        admin: None,
        action: action.to_owned(),
        entity: None,
        record: None,
        changes: changes
            .into_iter()
            .map(|(name, before, after)| (name.to_owned(), Some((before, after))))
            .collect(),
    }
}

fn joined(user: &UserId) -> Entry {
    identity(
        "member.add",
        [("user", Value::None, user.clone().into()), ("role", Value::None, "member".into())],
    )
}

/// The log says what happened, once each, and nothing else; and that an admin looked, whenever one did.
fn compare_log(got: &[AuditEntry], tenant: &mut Tenant) {
    let wanted = &tenant.log;
    let looks = got.iter().filter(|entry| entry.action == "access").count();
    assert!(
        if tenant.admin.is_some() { looks > tenant.looks } else { looks == tenant.looks },
        "{looks} looks"
    );
    tenant.looks = looks;
    assert!(got.windows(2).all(|pair| pair[1].number == pair[0].number + 1 && pair[1].clock > pair[0].clock));
    let mut got: Vec<Entry> = got
        .iter()
        .inspect(|entry| {
            assert_eq!(entry.outcome, "ok");
            assert_eq!(entry.reason.is_some(), entry.admin.is_some());
        })
        .filter(|entry| entry.action != "access")
        .map(|entry| Entry {
            actor: entry.actor.as_ref().map(UserId::to_string),
            admin: entry.admin.as_ref().map(UserId::to_string),
            action: entry.action.clone(),
            entity: entry.entity.clone(),
            record: entry.record,
            changes: entry
                .changes
                .iter()
                .flatten()
                // Hashes and numbers, which verifying compares.
                .filter(|_| entry.action != "audit.expire")
                .map(|change| {
                    (
                        change.column.clone(),
                        (!change.redacted).then(|| (change.before.clone(), change.after.clone())),
                    )
                })
                .collect(),
        })
        .collect();
    assert_eq!(got.len(), wanted.len(), "{got:#?}\n{wanted:#?}");
    let mut wanted = wanted.to_vec();
    // Entries of one verb come in the engine's order.
    for entries in [&mut got, &mut wanted] {
        entries.sort_by_key(|entry| format!("{entry:?}"));
    }
    assert_eq!(got, wanted);
}
