//! Reading the log: filters and pages against a plain list, what a record was at any time against a private map, refused
//! attempts, and exports.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod engine;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::Value as Json;
use tenantry::{
    AsNested, Audit, AuditEntry, ChangedRecord, ColumnDefinition, ColumnKind, Definition, Entity, Error,
    Fields, Id, LogRetention, Missing, Nested, Organization, OrganizationId, OrganizationSession, Role,
    StateAt, Store, StoreRole, Tenancy, TenantSession, Timestamp, UserId, Uuid, Value,
};

#[derive(Debug, Clone, PartialEq, Entity)]
struct Task {
    title: String,
    points: i64,
    weight: f64,
    due: Option<Timestamp>,
    tags: Vec<String>,
    raw: Option<Vec<u8>>,
}

#[derive(Debug, Clone, PartialEq, Entity)]
#[entity(tenancy = organization, author)]
struct Ticket {
    title: String,
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

#[derive(Debug, Clone, PartialEq, Entity)]
struct Login {
    site: String,
    #[entity(secret)]
    password: Option<String>,
}

fn memo() -> Definition {
    Definition::new("memo", Tenancy::User)
        .column(ColumnDefinition::new("text", ColumnKind::Text))
        .column(ColumnDefinition::new("stars", ColumnKind::Integer).optional())
}

fn builder() -> tenantry::Builder {
    engine::builder()
        .entity::<Task>()
        .entity::<Ticket>()
        .entity::<Note>()
        .entity::<Currency>()
        .entity::<Login>()
        .definition(memo())
}

fn task(title: &str, points: i64) -> Task {
    Task { title: title.to_owned(), points, weight: 0.5, due: None, tags: Vec::new(), raw: None }
}

fn user(store: &Store, id: &str) -> TenantSession {
    store.session(&store.users().get_or_create(&UserId::new(id).unwrap()).unwrap()).unwrap()
}

fn at(micros: i64) -> Timestamp {
    Timestamp::from_microsecond(micros).unwrap()
}

/// A clock that only moves when it is told to.
#[derive(Clone)]
struct Hand(Arc<AtomicI64>);

const START: i64 = 1_700_000_000_000_000;

impl Hand {
    fn new() -> Self {
        Self(Arc::new(AtomicI64::new(START)))
    }

    fn now(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }

    fn turn(&self, micros: i64) {
        self.0.fetch_add(micros, Ordering::SeqCst);
    }

    fn give(&self, builder: tenantry::Builder) -> tenantry::Builder {
        let hand = self.clone();
        builder.clock(move || at(hand.now()))
    }
}

/// A step of the clock: often none, or within a millisecond, sometimes back.
fn turn() -> impl Strategy<Value = i64> {
    prop_oneof![
        4 => Just(0_i64),
        6 => 1_i64..3_000,
        4 => 1_000_i64..5_000_000,
        2 => -3_000_i64..0,
        1 => -10_000_000_i64..0,
    ]
}

#[derive(Debug, Clone)]
enum Step {
    Insert { who: usize, entity: usize },
    Change { who: usize, which: usize },
    Delete { who: usize, which: usize },
    Several { who: usize, count: usize },
    Knock { who: usize, name: usize },
    Refused { who: usize },
    Currency,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..3_usize, 0..4_usize).prop_map(|(who, entity)| Step::Insert { who, entity }),
        6 => (0..3_usize, 0..20_usize).prop_map(|(who, which)| Step::Change { who, which }),
        2 => (0..3_usize, 0..20_usize).prop_map(|(who, which)| Step::Delete { who, which }),
        2 => (0..3_usize, 0..4_usize).prop_map(|(who, count)| Step::Several { who, count }),
        2 => (0..3_usize, 0..4_usize).prop_map(|(who, name)| Step::Knock { who, name }),
        1 => (0..3_usize).prop_map(|who| Step::Refused { who }),
        1 => Just(Step::Currency),
    ]
}

/// Three users, two of them in an organization, and what each made.
struct World {
    store: Store,
    users: Vec<TenantSession>,
    acme: Organization,
    tasks: Vec<Vec<Id<Task>>>,
    /// Every record that was ever made in a log.
    own: HashMap<String, BTreeSet<Uuid>>,
}

impl World {
    fn new(store: Store) -> Self {
        let users: Vec<TenantSession> = ["ada", "grace", "eve"].map(|id| user(&store, id)).into();
        let acme = store.organizations().create(&OrganizationId::new("acme").unwrap()).unwrap();
        for id in ["ada", "grace"] {
            let user = store.users().get_or_create(&UserId::new(id).unwrap()).unwrap();
            store.organizations().add_member(&acme, &user, Role::Member).unwrap();
        }
        Self { store, users, acme, tasks: vec![Vec::new(); 3], own: HashMap::new() }
    }

    fn member(&self, who: usize) -> Option<OrganizationSession> {
        (who < 2).then(|| self.users[who].in_organization(&self.acme).unwrap())
    }

    fn note(&mut self, log: impl ToString, record: Uuid) {
        self.own.entry(log.to_string()).or_default().insert(record);
    }

    fn run(&mut self, step: &Step) {
        match *step {
            Step::Insert { who, entity: 0 } => {
                let id = self.users[who].insert(&task("new", 1)).unwrap();
                self.tasks[who].push(id);
                self.note(who, id.uuid());
            }
            Step::Insert { who, entity: 1 } => {
                let memo = self.users[who].dynamic("memo").unwrap();
                let id = memo.insert(Fields::new().with("text", "memo")).unwrap();
                self.note(who, id.uuid());
            }
            Step::Insert { who, entity } => {
                let Some(member) = self.member(who) else { return };
                if entity == 2 {
                    let id = member.insert(&Ticket { title: "new".to_owned() }).unwrap();
                    self.note("acme", id.uuid());
                } else {
                    let id = member.insert(&Note { text: "new".to_owned() }).unwrap();
                    self.note(format!("note {who}"), id.uuid());
                }
            }
            Step::Change { who, which } => {
                if let Some(id) = self.tasks[who].get(which) {
                    self.users[who].patch(*id, Task::POINTS.set(i64::try_from(which).unwrap())).unwrap();
                }
            }
            Step::Delete { who, which } => {
                if which < self.tasks[who].len() {
                    let id = self.tasks[who].remove(which);
                    self.users[who].delete(id).unwrap();
                }
            }
            Step::Several { who, count } => {
                let ids = self.users[who]
                    .transaction(|tx| {
                        (0..count).map(|n| tx.insert(&task("many", n as i64))).collect::<Result<Vec<_>, _>>()
                    })
                    .unwrap();
                ids.iter().for_each(|id| self.note(who, id.uuid()));
                self.tasks[who].extend(ids);
            }
            Step::Knock { who, name } => {
                let id = OrganizationId::new(format!("other {name}")).unwrap();
                assert!(self.users[who].in_organization(&id).is_err());
            }
            Step::Refused { who } => {
                assert!(self.users[who].sql("DELETE FROM task").all::<BTreeMap<String, i64>>().is_err());
            }
            Step::Currency => {
                let id = self.store.reference().insert(&Currency { code: "EUR".to_owned() }).unwrap();
                self.note("reference", id.uuid());
            }
        }
    }

    /// Runs a check on every log there is.
    fn each_log(&self, mut check: impl FnMut(&str, Audit<'_>)) {
        for (who, session) in self.users.iter().enumerate() {
            check(&who.to_string(), session.audit());
            if let Some(member) = self.member(who) {
                check("acme", member.audit());
                check(&format!("note {who}"), member.private_audit());
            }
        }
        check("reference", self.store.reference().audit());
    }
}

/// A random choice of filters; indices choose among what a log holds.
#[derive(Debug, Clone)]
struct Filters {
    entity: Option<usize>,
    record: Option<usize>,
    action: Option<usize>,
    actor: Option<usize>,
    outcome: Option<usize>,
    since: Option<(usize, i64)>,
    until: Option<(usize, i64)>,
    transaction: Option<usize>,
    after: Option<u64>,
    size: u32,
}

fn filters() -> impl Strategy<Value = Filters> {
    let rarely = |max| proptest::option::weighted(0.2, 0..max);
    let time = || proptest::option::weighted(0.5, (0..80_usize, -1_i64..2));
    (
        (rarely(80_usize), rarely(80_usize), rarely(80_usize), rarely(5_usize), rarely(80_usize)),
        (time(), time(), rarely(80_usize), rarely(80_usize), 1..30_u32),
    )
        .prop_map(
            |((entity, record, action, actor, outcome), (since, until, transaction, after, size))| Filters {
                entity,
                record,
                action,
                actor,
                outcome,
                since,
                until,
                transaction,
                after: after.map(|after| after as u64),
                size,
            },
        )
}

impl Filters {
    /// The log narrowed by these filters, and what they leave of all its entries.
    fn apply<'s>(&self, mut log: Audit<'s>, all: &[AuditEntry]) -> (Audit<'s>, Vec<AuditEntry>) {
        let pick = |index: usize| &all[index % all.len()];
        let mut left: Vec<&AuditEntry> = all.iter().collect();
        let time = |(index, shift): (usize, i64)| at(pick(index).time.as_microsecond() + shift);
        // The first entry of that time or later begins a range, and ends one.
        let first = |time: Timestamp| {
            all.iter().find(|entry| entry.time >= time).map_or(u64::MAX, |entry| entry.number)
        };
        if let Some(entity) = self.entity {
            let entity = pick(entity).entity.clone().unwrap_or_else(|| "task".to_owned());
            log = log.entity(entity.as_str());
            left.retain(|entry| entry.entity.as_ref() == Some(&entity));
        }
        if let Some(record) = self.record {
            let record = pick(record).record.unwrap_or_default();
            log = log.record(record);
            left.retain(|entry| entry.record == Some(record));
        }
        if let Some(action) = self.action {
            let action = pick(action).action.clone();
            log = log.action(action.as_str());
            left.retain(|entry| entry.action == action);
        }
        if let Some(actor) = self.actor {
            let actor = UserId::new(["ada", "grace", "eve", "nobody", "Ada"][actor]).unwrap();
            log = log.actor(&actor);
            left.retain(|entry| entry.actor.as_ref() == Some(&actor));
        }
        if let Some(outcome) = self.outcome {
            let outcome = pick(outcome).outcome.clone();
            log = log.outcome(outcome.as_str());
            left.retain(|entry| entry.outcome == outcome);
        }
        if let Some(since) = self.since.map(time) {
            log = log.since(since);
            left.retain(|entry| entry.number >= first(since));
        }
        if let Some(until) = self.until.map(time) {
            log = log.until(until);
            left.retain(|entry| entry.number < first(until));
        }
        if let Some(transaction) = self.transaction {
            let transaction = pick(transaction).transaction;
            log = log.transaction(transaction);
            left.retain(|entry| entry.transaction == transaction);
        }
        (log, left.into_iter().cloned().collect())
    }

    fn check(&self, log: &Audit<'_>, all: &[AuditEntry]) {
        let (log, left) = self.apply(log.clone(), all);
        for newest_first in [false, true] {
            let mut left = left.clone();
            let mut log = log.clone();
            if newest_first {
                left.reverse();
                log = log.newest_first();
            }
            assert_eq!(log.list().unwrap(), left, "{self:?}");
            let streamed: Vec<AuditEntry> = log.iter().unwrap().collect::<Result<_, _>>().unwrap();
            assert_eq!(streamed, left, "{self:?}");
            let mut paged = Vec::new();
            let mut page = log.page(self.size).unwrap();
            loop {
                assert!(page.entries.len() <= self.size as usize);
                paged.extend(page.entries);
                let Some(next) = page.next else { break };
                page = log.clone().after(next).page(self.size).unwrap();
                assert!(!page.entries.is_empty(), "a next page holds something: {self:?}");
            }
            assert_eq!(paged, left, "{self:?}");
            check_records(&log.records().unwrap(), &left);
            if let Some(after) = self.after {
                left.retain(|entry| if newest_first { entry.number < after } else { entry.number > after });
                assert_eq!(log.after(after).list().unwrap(), left, "{self:?}");
            }
        }
    }
}

/// The records that entries changed, counted by hand.
fn check_records(found: &[ChangedRecord], entries: &[AuditEntry]) {
    let mut expected: BTreeMap<(&str, Uuid), Vec<u64>> = BTreeMap::new();
    for entry in entries {
        if let (Some(entity), Some(record)) = (&entry.entity, entry.record) {
            expected.entry((entity.as_str(), record)).or_default().push(entry.number);
        }
    }
    assert!(found.is_sorted_by_key(|record| record.first));
    assert_eq!(found.len(), expected.len());
    for record in found {
        let numbers = &expected[&(record.entity.as_str(), record.record)];
        let (first, last) = (numbers.iter().min(), numbers.iter().max());
        assert_eq!((Some(&record.first), Some(&record.last)), (first, last));
        assert_eq!(record.changes, numbers.len() as u64);
    }
}

fn check_filters(builder: tenantry::Builder, steps: &[(i64, Step)], filters: &[Filters]) {
    let hand = Hand::new();
    let mut world = World::new(hand.give(builder).temporary().unwrap());
    for (turn, step) in steps {
        hand.turn(*turn);
        world.run(step);
    }
    world.each_log(|name, log| {
        let all = log.list().unwrap();
        let numbers: Vec<u64> = all.iter().map(|entry| entry.number).collect();
        assert_eq!(numbers, (1..=all.len() as u64).collect::<Vec<_>>(), "the whole log of {name}");
        let records: BTreeSet<Uuid> = all.iter().filter_map(|entry| entry.record).collect();
        assert_eq!(records, world.own.get(name).cloned().unwrap_or_default(), "only its own records: {name}");
        if !all.is_empty() {
            filters.iter().for_each(|filters| filters.check(&log, &all));
        }
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn filters_leave_what_a_plain_list_would(
        steps in vec((turn(), step()), 1..60),
        filters in vec(filters(), 4..10),
    ) {
        check_filters(builder(), &steps, &filters);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn filters_are_the_same_in_several_files(
        steps in vec((turn(), step()), 1..40),
        filters in vec(filters(), 3..6),
    ) {
        check_filters(builder().partitions(3), &steps, &filters);
    }
}

/// Batches begin small and grow, and stop where values are large: nothing is left out between two of them.
#[test]
fn an_iterator_gives_each_entry_once_over_many_batches() {
    let store = builder().temporary().unwrap();
    let ada = user(&store, "ada");
    ada.insert_many(&(0..5_000).map(|n| task("many", n)).collect::<Vec<_>>()).unwrap();
    for n in 0..12 {
        let raw = Some(vec![7; 250_000]);
        ada.insert(&Task { raw, ..task("large", n) }).unwrap();
    }
    let all = ada.audit().list().unwrap();
    for log in [ada.audit(), ada.audit().newest_first()] {
        let mut streamed = Vec::new();
        for entry in log.iter().unwrap() {
            // What is added meanwhile is not there yet: it would never end.
            if streamed.len() % 1_000 == 0 {
                ada.insert(&task("meanwhile", 0)).unwrap();
            }
            streamed.push(entry.unwrap());
        }
        streamed.retain(|entry| entry.number <= all.len() as u64);
        streamed.sort_by_key(|entry| entry.number);
        assert_eq!(streamed, all);
    }
    let before = ada.audit().list().unwrap().len();
    let mut iterator = ada.audit().iter().unwrap();
    ada.insert(&task("later", 0)).unwrap();
    assert_eq!(iterator.by_ref().count(), before);
    assert!(iterator.next().is_none());
}

/// Each batch looks anew for where the tenant lives.
#[test]
fn an_iterator_goes_on_where_its_tenant_moves() {
    let store = builder().partitions(4).temporary().unwrap();
    let id = UserId::new("ada").unwrap();
    let ada = user(&store, "ada");
    let home = store.partitions().of_user(&id).unwrap().unwrap().name;
    let elsewhere = (0..)
        .map(|n| UserId::new(format!("neighbour {n}")).unwrap())
        .map(|id| {
            user(&store, id.as_str());
            store.partitions().of_user(&id).unwrap().unwrap().name
        })
        .find(|name| *name != home)
        .unwrap();
    ada.insert_many(&(0..3_000).map(|n| task("many", n)).collect::<Vec<_>>()).unwrap();
    let all = ada.audit().list().unwrap();
    let mut entries = ada.audit().iter().unwrap();
    let mut streamed: Vec<AuditEntry> = entries.by_ref().take(100).collect::<Result<_, _>>().unwrap();
    store.partitions().move_user(&store.users().get(&id).unwrap(), &elsewhere, |_| {}).unwrap();
    streamed.extend(entries.map(Result::unwrap));
    assert_eq!(streamed, all);
    assert_eq!(store.partitions().of_user(&id).unwrap().unwrap().name, elsewhere);
}

/// A session that has ended gives no more entries, also within an iteration.
#[test]
fn an_iterator_ends_with_its_session() {
    let store = builder().temporary().unwrap();
    let ada = user(&store, "ada");
    ada.insert_many(&(0..500).map(|n| task("many", n)).collect::<Vec<_>>()).unwrap();
    let mut entries = ada.audit().iter().unwrap();
    assert!(entries.next().unwrap().is_ok());
    let id = UserId::new("ada").unwrap();
    store.users().disable(&id).unwrap();
    let errors: Vec<Error> = entries.filter_map(Result::err).collect();
    assert!(matches!(errors[..], [Error::Disabled { .. }]), "{errors:?}");
}

#[test]
fn the_last_and_the_first_time_are_times_too() {
    let store = builder().temporary().unwrap();
    let ada = user(&store, "ada");
    let id = ada.insert(&task("one", 1)).unwrap();
    let count = |log: Audit<'_>| log.list().unwrap().len();
    for (time, since) in [(Timestamp::MIN, 2), (Timestamp::UNIX_EPOCH, 2), (Timestamp::MAX, 0)] {
        assert_eq!((count(ada.audit().since(time)), count(ada.audit().until(time))), (since, 2 - since));
        let known = ada.audit().state_at(id, time).unwrap();
        assert_eq!(known.existed(), Some(since == 0));
    }
    // Between two microseconds no entry begins.
    let time = ada.audit().list().unwrap()[1].time;
    let between = Timestamp::from_nanosecond(time.as_nanosecond() + 1).unwrap();
    assert_eq!(count(ada.audit().since(between)), 0);
    assert_eq!(count(ada.audit().until(between)), 2);
    assert_eq!(ada.audit().state_at(id, between).unwrap().existed(), Some(true));
    for number in [0, 1, 7, 1 << 40, u64::MAX] {
        let log = ada.audit().transaction(number);
        assert_eq!(log.list().map_or(0, |entries| entries.len()), usize::from(number == 1), "{number}");
    }
}

/// Clocks that are wrong by thousands of years are clocks too.
#[test]
fn a_log_of_the_last_years_that_there_are_is_found() {
    let last = Timestamp::MAX.as_microsecond();
    for now in
        [-5_000_000_000, 0, (i64::MAX >> 16) * 1_000, (i64::MAX >> 16) * 1_000 + 2_000, last - 3_000_000]
    {
        let hand = Hand::new();
        hand.turn(now - START);
        let store = hand.give(builder()).temporary().unwrap();
        let ada = user(&store, "ada");
        for n in 0..3 {
            hand.turn(1_000);
            ada.insert(&task("late", n)).unwrap();
        }
        let all = ada.audit().list().unwrap();
        for (index, entry) in all.iter().enumerate() {
            assert_eq!(ada.audit().since(entry.time).list().unwrap(), all[index..], "{now}");
            assert_eq!(ada.audit().until(entry.time).list().unwrap(), all[..index], "{now}");
        }
        assert!(ada.audit().verify().unwrap().is_intact());
    }
}

// ---- What a record was ----------------------------------------------------------------------

fn tasks() -> impl Strategy<Value = Task> {
    let text = "[a-zäß😀]{0,6}";
    (
        text,
        any::<i64>(),
        any::<f64>(),
        proptest::option::of(0..START),
        vec(text, 0..3),
        proptest::option::of(vec(any::<u8>(), 0..4)),
    )
        .prop_map(|(title, points, weight, due, tags, raw)| Task {
            title,
            points,
            // The store holds neither NaN nor the sign of zero.
            weight: if weight.is_nan() || weight == 0.0 { 0.0 } else { weight },
            due: due.map(at),
            tags,
            raw,
        })
}

#[derive(Debug, Clone)]
enum Deed {
    Insert(Task),
    Update(usize, Task),
    Patch(usize, i64),
    Delete(usize),
    Again(usize, Task),
    Memo(usize, Option<i64>),
    MemoGone(usize),
    Knock,
    Other(Task),
    Together(usize, Task, i64),
}

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        3 => tasks().prop_map(Deed::Insert),
        3 => (0..6_usize, tasks()).prop_map(|(which, task)| Deed::Update(which, task)),
        3 => (0..6_usize, any::<i64>()).prop_map(|(which, points)| Deed::Patch(which, points)),
        2 => (0..6_usize).prop_map(Deed::Delete),
        2 => (0..6_usize, tasks()).prop_map(|(which, task)| Deed::Again(which, task)),
        3 => (0..4_usize, proptest::option::of(any::<i64>())).prop_map(|(which, stars)| Deed::Memo(which, stars)),
        1 => (0..4_usize).prop_map(Deed::MemoGone),
        1 => Just(Deed::Knock),
        2 => tasks().prop_map(Deed::Other),
        2 => (0..6_usize, tasks(), any::<i64>()).prop_map(|(which, task, points)| Deed::Together(which, task, points)),
    ]
}

/// What one log should hold, by a private map: each entry's time, and what it made of which record.
#[derive(Default)]
struct Told {
    entries: Vec<(i64, Option<Uuid>, Made)>,
}

#[derive(Debug, Clone, PartialEq)]
enum Made {
    Nothing,
    Task(Option<Task>),
    Memo(Option<Fields>),
}

impl Told {
    fn push(&mut self, time: i64, record: Option<Uuid>, made: Made) {
        self.entries.push((time, record, made));
    }

    /// What a record was by a time: before the first entry that came later.
    fn at(&self, record: Uuid, nanoseconds: i128) -> Option<&Made> {
        self.entries
            .iter()
            .take_while(|(time, ..)| i128::from(*time) * 1_000 <= nanoseconds)
            .filter(|(_, about, _)| *about == Some(record))
            .map(|(.., made)| made)
            .last()
    }

    fn now(&self, record: Uuid) -> Option<&Made> {
        self.entries.iter().rfind(|(_, about, _)| *about == Some(record)).map(|(.., made)| made)
    }
}

fn fields(text: &str, stars: Option<i64>) -> Fields {
    Fields::new().with("text", text).with("stars", stars)
}

fn check_states(builder: tenantry::Builder, deeds: &[(i64, Deed)]) {
    let hand = Hand::new();
    let store = hand.give(builder).temporary().unwrap();
    let (ada, grace) = (user(&store, "ada"), user(&store, "grace"));
    let memos = ada.dynamic("memo").unwrap();
    let mut told = Told::default();
    told.push(START, None, Made::Nothing);
    let (mut tasks, mut memo_ids): (Vec<Id<Task>>, Vec<Id<Fields>>) = (Vec::new(), Vec::new());
    for (turn, deed) in deeds {
        hand.turn(*turn);
        let now = hand.now();
        let alive = |which: usize, told: &Told| {
            let id = *tasks.get(which)?;
            match told.now(id.uuid()) {
                Some(Made::Task(Some(task))) => Some((id, task.clone())),
                _ => None,
            }
        };
        match deed {
            Deed::Insert(task) => {
                let id = ada.insert(task).unwrap();
                tasks.push(id);
                told.push(now, Some(id.uuid()), Made::Task(Some(task.clone())));
            }
            Deed::Update(which, task) => {
                let Some((id, _)) = alive(*which, &told) else { continue };
                ada.update(id, task).unwrap();
                told.push(now, Some(id.uuid()), Made::Task(Some(task.clone())));
            }
            Deed::Patch(which, points) => {
                let Some((id, task)) = alive(*which, &told) else { continue };
                ada.patch(id, Task::POINTS.set(*points)).unwrap();
                told.push(now, Some(id.uuid()), Made::Task(Some(Task { points: *points, ..task })));
            }
            Deed::Delete(which) => {
                let Some((id, _)) = alive(*which, &told) else { continue };
                ada.delete(id).unwrap();
                told.push(now, Some(id.uuid()), Made::Task(None));
            }
            // Under the same id, whether it is there or gone.
            Deed::Again(which, task) => {
                let Some(id) = tasks.get(*which) else { continue };
                ada.upsert(*id, task).unwrap();
                told.push(now, Some(id.uuid()), Made::Task(Some(task.clone())));
            }
            Deed::Memo(which, stars) => match memo_ids.get(*which) {
                Some(id) => {
                    memos.upsert(*id, fields("again", *stars)).unwrap();
                    told.push(now, Some(id.uuid()), Made::Memo(Some(fields("again", *stars))));
                }
                None => {
                    let id = memos.insert(fields("new", *stars)).unwrap();
                    memo_ids.push(id);
                    told.push(now, Some(id.uuid()), Made::Memo(Some(fields("new", *stars))));
                }
            },
            Deed::MemoGone(which) => {
                let Some(id) = memo_ids.get(*which) else { continue };
                if memos.find(*id).unwrap().is_some() {
                    memos.delete(*id).unwrap();
                    told.push(now, Some(id.uuid()), Made::Memo(None));
                }
            }
            Deed::Knock => {
                assert!(ada.in_organization(&OrganizationId::new("acme").unwrap()).is_err());
                told.push(now, None, Made::Nothing);
            }
            // Somebody else has a record of the same id.
            Deed::Other(task) => {
                if let Some(id) = tasks.first() {
                    grace.upsert(*id, task).unwrap();
                }
                grace.insert(task).unwrap();
            }
            Deed::Together(which, task, points) => {
                let Some((id, _)) = alive(*which, &told) else { continue };
                ada.transaction(|tx| {
                    tx.update(id, task)?;
                    tx.patch(id, Task::POINTS.set(*points))
                })
                .unwrap();
                told.push(now, Some(id.uuid()), Made::Task(Some(task.clone())));
                told.push(now, Some(id.uuid()), Made::Task(Some(Task { points: *points, ..task.clone() })));
            }
        }
    }
    assert_eq!(ada.audit().list().unwrap().len(), told.entries.len(), "the private map knows every entry");
    let mut moments: BTreeSet<i128> = BTreeSet::new();
    for (time, ..) in &told.entries {
        let nanoseconds = i128::from(*time) * 1_000;
        moments.extend([nanoseconds - 1, nanoseconds, nanoseconds + 1, nanoseconds + 999_999]);
    }
    for moment in moments {
        let time = Timestamp::from_nanosecond(moment).unwrap();
        for id in &tasks {
            let state = ada.audit().state_at(*id, time).unwrap();
            let expected = match told.at(id.uuid(), moment) {
                Some(Made::Task(Some(task))) => StateAt::Whole(task.clone()),
                _ => StateAt::Absent,
            };
            assert_eq!(state, expected, "at {time}");
        }
        for id in &memo_ids {
            let state = ada.audit().entity("memo").state_at(*id, time).unwrap();
            let expected = match told.at(id.uuid(), moment) {
                Some(Made::Memo(Some(fields))) => StateAt::Whole(fields.clone()),
                _ => StateAt::Absent,
            };
            assert_eq!(state, expected, "at {time}");
        }
    }
    for id in &tasks {
        let history = ada.audit().history(*id).unwrap();
        let made: Vec<(i64, Option<Task>)> = told
            .entries
            .iter()
            .filter(|(_, about, _)| *about == Some(id.uuid()))
            .map(|(time, _, made)| match made {
                Made::Task(task) => (*time, task.clone()),
                other => panic!("{other:?}"),
            })
            .collect();
        let found: Vec<(i64, Option<Task>)> = history
            .iter()
            .map(|version| (version.entry.time.as_microsecond(), version.state.value().cloned()))
            .collect();
        assert_eq!(found, made);
        assert!(history.iter().all(|version| version.state.existed() == Some(version.version.is_some())));
        let last = history.last().and_then(|version| version.version);
        assert_eq!(last, ada.find(*id).unwrap().map(|record| record.version));
    }
    assert!(grace.audit().verify().unwrap().is_intact() && store.check().unwrap().is_clean());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_records_state_is_what_a_private_map_had_at_any_moment(deeds in vec((turn(), deed()), 1..40)) {
        check_states(builder(), &deeds);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn states_are_the_same_in_several_files(deeds in vec((turn(), deed()), 1..30)) {
        check_states(builder().partitions(3), &deeds);
    }
}

#[test]
fn every_kind_of_log_tells_the_history_of_its_own_records() {
    let store = builder().temporary().unwrap();
    let world = World::new(store);
    let member = world.member(0).unwrap();
    let ticket = member.insert(&Ticket { title: "a".to_owned() }).unwrap();
    world.member(1).unwrap().patch(ticket, Ticket::TITLE.set("b")).unwrap();
    let note = member.insert(&Note { text: "n".to_owned() }).unwrap();
    let currency = world.store.reference().insert(&Currency { code: "EUR".to_owned() }).unwrap();

    let history = member.audit().history(ticket).unwrap();
    let actors: Vec<&str> = history.iter().filter_map(|v| Some(v.entry.actor.as_ref()?.as_str())).collect();
    assert_eq!(actors, ["ada", "grace"]);
    assert_eq!(member.private_audit().history(note).unwrap().len(), 1);
    assert_eq!(world.store.reference().audit().history(currency).unwrap().len(), 1);
    // Another member's private log holds nothing of it, and another log than a record's own says so.
    assert!(world.member(1).unwrap().private_audit().history(note).unwrap().is_empty());
    assert!(matches!(member.audit().history(note), Err(Error::InvalidInput { .. })));
    assert!(matches!(
        member.private_audit().state_at(ticket, Timestamp::now()),
        Err(Error::InvalidInput { .. })
    ));
    assert!(matches!(world.users[0].audit().history(currency), Err(Error::InvalidInput { .. })));
    let dynamic = Id::<Fields>::from_uuid(ticket.uuid());
    assert!(matches!(member.audit().history(dynamic), Err(Error::InvalidInput { .. })), "which entity?");
    assert_eq!(member.audit().entity("ticket").history(dynamic).unwrap().len(), 2);
    assert!(matches!(member.audit().entity("tickets").history(dynamic), Err(Error::Schema { .. })));
}

#[test]
fn what_was_secret_is_missing_and_nothing_is_guessed() {
    let store = builder().temporary().unwrap();
    let ada = user(&store, "ada");
    let open = ada.insert(&Login { site: "a".to_owned(), password: None }).unwrap();
    let now = Timestamp::now;
    // It never had a password, so it is known not to have one.
    let state = ada.audit().state_at(open, now()).unwrap();
    assert_eq!(state.into_value().unwrap(), Login { site: "a".to_owned(), password: None });
    ada.patch(open, Login::PASSWORD.set("hunter2".to_owned())).unwrap();
    ada.patch(open, Login::SITE.set("b")).unwrap();
    let StateAt::Partial { known, missing } = ada.audit().state_at(open, now()).unwrap() else { panic!() };
    assert_eq!(known, Fields::new().with("site", "b"));
    assert_eq!((missing[0].column.as_str(), missing[0].why, missing.len()), ("password", Missing::Secret, 1));
    assert!(!format!("{:?}", ada.audit().history(open).unwrap()).contains("hunter2"));
}

#[test]
fn what_retention_took_is_missing_and_nothing_is_guessed() {
    let hand = Hand::new();
    let store = hand.give(builder()).temporary().unwrap();
    let ada = user(&store, "ada");
    // Entry 2 inserts, 3 and 4 change, 5 inserts another, 6 deletes it.
    let turn = |micros| hand.turn(micros);
    turn(1_000_000);
    let id = ada.insert(&task("one", 1)).unwrap();
    for points in [2, 3] {
        turn(1_000_000);
        ada.patch(id, Task::POINTS.set(points)).unwrap();
    }
    turn(1_000_000);
    let other = ada.insert(&task("other", 1)).unwrap();
    turn(1_000_000);
    ada.delete(other).unwrap();
    let time = |entry: i64| at(START + 1_000_000 * (entry - 1));
    assert_eq!(ada.audit().list().unwrap()[5].time, time(6));
    assert_eq!(ada.audit().state_at(id, time(3)).unwrap().value().unwrap().points, 2);

    let old = LogRetention { payloads_before: Some(time(4)), ..LogRetention::default() };
    assert_eq!(store.users().expire_log(ada.user(), old).unwrap().payloads, 3);
    assert!(ada.audit().verify().unwrap().is_intact());
    assert_eq!(ada.audit().state_at(id, time(1)).unwrap(), StateAt::Absent, "the entries are still there");
    let StateAt::Partial { known, missing } = ada.audit().state_at(id, time(3)).unwrap() else { panic!() };
    assert_eq!((known, missing.len()), (Fields::new(), 6));
    assert!(missing.iter().all(|column| column.why == Missing::Deleted));
    let StateAt::Partial { known, missing } = ada.audit().state_at(id, time(4)).unwrap() else { panic!() };
    assert_eq!((known, missing.len()), (Fields::new().with("points", 3_i64), 5));
    let history = ada.audit().history(id).unwrap();
    assert_eq!(
        history.iter().map(|version| version.version).collect::<Vec<_>>(),
        [Some(1), Some(2), Some(3)]
    );
    assert_eq!(history[0].entry.changes, None);
    assert_eq!(history[0].entry.change(Task::POINTS).unwrap(), None);
    assert_eq!(ada.audit().state_at(other, time(5)).unwrap().value().unwrap().title, "other");
    assert_eq!(ada.audit().state_at(other, time(6)).unwrap(), StateAt::Absent);

    let old = LogRetention { entries_before: Some(time(4)), ..old };
    assert_eq!(store.users().expire_log(ada.user(), old).unwrap().entries, 3);
    assert!(ada.audit().verify().unwrap().is_intact());
    assert_eq!(ada.audit().state_at(id, time(3)).unwrap(), StateAt::Unknown, "the log begins later");
    assert_eq!(ada.audit().state_at(id, time(3)).unwrap().existed(), None);
    let StateAt::Partial { known, .. } = ada.audit().state_at(id, time(4)).unwrap() else { panic!() };
    assert_eq!(known, Fields::new().with("points", 3_i64));
    assert_eq!(ada.audit().history(id).unwrap()[0].version, None, "which one it was, nobody knows");
    assert_eq!(ada.audit().state_at(other, time(5)).unwrap().value().unwrap().title, "other");
    let numbers: Vec<u64> = ada.audit().since(time(2)).list().unwrap().iter().map(|e| e.number).collect();
    assert_eq!(numbers, [4, 5, 6, 7, 8], "the last two say what has expired");
    assert!(ada.audit().transaction(2).list().unwrap().is_empty());
}

#[test]
fn changes_are_typed_whatever_the_column() {
    let store = builder().temporary().unwrap();
    let ada = user(&store, "ada");
    let id = ada.insert(&Task { raw: Some(vec![1]), ..task("one", 1) }).unwrap();
    let due = at(START);
    let whole = Task { due: Some(due), tags: vec!["a".to_owned()], raw: None, ..task("one", 1) };
    ada.update(id, &whole).unwrap();
    let entry = ada.audit().of(id).newest_first().list().unwrap().remove(0);
    let tags = entry.change(Task::TAGS).unwrap().unwrap();
    assert_eq!((tags.before, tags.after), (Some(AsNested(vec![])), Some(AsNested(vec!["a".to_owned()]))));
    let when = entry.change(Task::DUE).unwrap().unwrap();
    assert_eq!((when.before, when.after), (None, Some(due)));
    let raw = entry.change(Task::RAW).unwrap().unwrap();
    assert_eq!((raw.before, raw.after), (Some(vec![1]), None));
    assert_eq!(entry.change(Task::TITLE).unwrap(), None, "it stayed as it was");
    // By name, as of a column that the program no longer has.
    let raw = entry.change_of("raw").unwrap();
    assert_eq!(raw.typed::<Option<Vec<u8>>>().unwrap().unwrap().before, Some(vec![1]));
    assert!(matches!(raw.typed::<i64>(), Err(Error::Schema { .. })));
    assert!(entry.change_of("title").is_none());
    assert!(matches!(entry.change(Ticket::TITLE), Err(Error::Schema { .. })), "another entity's column");
    let login = ada.insert(&Login { site: "a".to_owned(), password: Some("hunter2".to_owned()) }).unwrap();
    let entry = ada.audit().of(login).list().unwrap().remove(0);
    assert_eq!(entry.change(Login::PASSWORD).unwrap(), None);
    assert_eq!(entry.change_of("password").unwrap().typed::<String>().unwrap(), None);
}

// ---- Refusals -------------------------------------------------------------------------------

#[test]
fn an_attack_stands_out_among_refusals() {
    let hand = Hand::new();
    let world = World::new(hand.give(builder()).temporary().unwrap());
    let (ada, eve) = (&world.users[0], &world.users[2]);
    let minute = 60_000_000;
    for n in 0..40 {
        hand.turn(minute / 20);
        let guess = OrganizationId::new(format!("guess {}", n % 30)).unwrap();
        assert!(eve.in_organization(&guess).is_err());
    }
    assert!(eve.in_organization(&world.acme).is_err());
    assert!(eve.sql("DELETE FROM task").all::<BTreeMap<String, i64>>().is_err());
    let entries = eve.audit().list().unwrap();
    let refused: Vec<&AuditEntry> = entries.iter().filter(|entry| entry.outcome != "ok").collect();
    assert_eq!(refused.len(), 42);

    let groups = eve.audit().refusals().unwrap();
    assert_eq!(groups.len(), 2, "{groups:?}");
    let guessing = &groups[0];
    assert_eq!((guessing.outcome.as_str(), guessing.what.as_deref()), ("not_member", Some("organization")));
    assert_eq!((guessing.action.as_str(), guessing.count, guessing.without_payload), ("session", 41, 0));
    assert_eq!(guessing.actor.as_ref().unwrap().as_str(), "eve");
    assert_eq!((guessing.first, guessing.last), (refused[0].time, refused[40].time));
    assert_eq!(guessing.targets.len(), 31);
    let expected = [("guess 0", 2), ("guess 1", 2)].map(|(id, count)| (id.to_owned(), count));
    assert_eq!(guessing.targets[..2], expected, "the most frequent first, and then by name");
    assert_eq!(guessing.targets.last().unwrap().1, 1);
    assert_eq!((groups[1].outcome.as_str(), groups[1].what.as_deref()), ("not_allowed", Some("sql")));

    // Filters narrow them, and windows show when.
    let half = refused[20].time;
    let count = |log: Audit<'_>| log.refusals().unwrap().iter().map(|group| group.count).sum::<u64>();
    assert_eq!(count(eve.audit().until(half)) + count(eve.audit().since(half)), 42);
    assert_eq!(count(eve.audit().outcome("not_allowed")), 1);
    assert_eq!(count(eve.audit().actor(&UserId::new("ada").unwrap())), 0);
    let windows = eve.audit().refusals_every(Duration::from_secs(60)).unwrap();
    assert_eq!(windows.iter().map(|group| group.count).sum::<u64>(), 42);
    assert!(windows.iter().all(|group| {
        let begins = group.window.unwrap().as_microsecond();
        begins % minute == 0
            && begins <= group.first.as_microsecond()
            && group.last.as_microsecond() < begins + minute
    }));
    assert!(windows.is_sorted_by_key(|group| group.window));
    assert!(windows.iter().any(|group| group.count == 20));
    assert_eq!(eve.audit().refusals_every(Duration::from_secs(1 << 40)).unwrap().len(), 2);
    assert!(matches!(eve.audit().refusals_every(Duration::ZERO), Err(Error::InvalidInput { .. })));
    assert!(matches!(eve.audit().refusals_every(Duration::MAX), Err(Error::InvalidInput { .. })));

    // Nothing of it is in anybody else's log.
    assert!(ada.audit().refusals().unwrap().is_empty());
    assert!(world.member(0).unwrap().audit().refusals().unwrap().is_empty());
    assert_eq!(eve.audit().refusals().unwrap(), groups, "always in the same order");
}

#[test]
fn a_disabled_user_is_refused_without_a_target() {
    let store = builder().temporary().unwrap();
    let id = UserId::new("ada").unwrap();
    let ada = store.users().create(&id).unwrap();
    store.users().disable(&id).unwrap();
    for _ in 0..3 {
        assert!(store.session(&ada).is_err());
    }
    store.users().enable(&id).unwrap();
    let groups = store.session(&ada).unwrap().audit().refusals().unwrap();
    assert_eq!((groups.len(), groups[0].outcome.as_str(), groups[0].count), (1, "disabled", 3));
    assert_eq!((groups[0].what.as_deref(), groups[0].targets.len()), (None, 0));
}

/// What an administrator does for a tenant is found by who it was, and each look at the log is one entry in it.
#[test]
fn an_administrators_work_is_found_and_each_look_is_one_entry() {
    let store = builder().temporary().unwrap();
    let (ada, root) = (user(&store, "ada"), UserId::new("root").unwrap());
    user(&store, "root");
    assert!(matches!(store.admin(&root, "curious"), Err(Error::AccessDenied { .. })));
    store.users().set_role(&root, StoreRole::Admin).unwrap();
    let id = ada.insert(&task("one", 1)).unwrap();
    let admin = store.admin(&root, "a ticket").unwrap();
    let session = admin.session(&UserId::new("ada").unwrap()).unwrap();
    session.patch(id, Task::POINTS.set(2)).unwrap();

    let length = || ada.audit().list().unwrap().len();
    let log = || session.audit();
    let looks: [&dyn Fn() -> Result<(), Error>; 9] = [
        &|| log().list().map(drop),
        &|| log().page(2).map(drop),
        &|| log().iter()?.try_for_each(|entry| entry.map(drop)),
        &|| log().history(id).map(drop),
        &|| log().state_at(id, Timestamp::now()).map(drop),
        &|| log().records().map(drop),
        &|| log().refusals().map(drop),
        &|| log().export_json_lines(&mut Vec::new()).map(drop),
        &|| log().export_cloud_events(&mut Vec::new()).map(drop),
    ];
    for (number, look) in looks.iter().enumerate() {
        let before = length();
        look().unwrap();
        assert_eq!(length(), before + 1, "look {number}");
    }
    let by_root = ada.audit().admin(&root).list().unwrap();
    let by_hand: Vec<AuditEntry> =
        ada.audit().list().unwrap().into_iter().filter(|entry| entry.admin.as_ref() == Some(&root)).collect();
    assert!(by_root.len() > looks.len() && by_root == by_hand, "{by_root:?}");
    assert!(by_root.iter().all(|entry| entry.reason.as_deref() == Some("a ticket")));
    assert_eq!(ada.audit().admin(&UserId::new("ada").unwrap()).list().unwrap(), []);
    check_exports(&ada.audit());
    // A look changes nothing of a record.
    assert_eq!(ada.audit().history(id).unwrap().len(), 2);
    assert_eq!(ada.audit().records().unwrap().len(), 1);
    assert!(ada.audit().refusals().unwrap().is_empty());
    // Who tried before having the role finds it in their own log.
    let refused = user(&store, "root").audit().refusals().unwrap();
    assert_eq!((refused.len(), refused[0].outcome.as_str(), refused[0].count), (1, "not_admin", 1));
}

// ---- Exports --------------------------------------------------------------------------------

/// Reads a value as `docs/audit-export.md` says.
fn value(json: &Json) -> Value {
    let bytes = |text: &Json| {
        let text = text.as_str().unwrap();
        (0..text.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
            .collect::<Vec<u8>>()
    };
    match json {
        Json::Null => Value::None,
        Json::Bool(boolean) => Value::Boolean(*boolean),
        Json::String(text) => Value::Text(text.clone()),
        Json::Number(number) if number.is_f64() => Value::Real(number.as_f64().unwrap()),
        Json::Number(number) => {
            let integer = number.as_i64().unwrap();
            assert!(integer.unsigned_abs() < 1 << 53, "{integer} would be lost in a double");
            Value::Integer(integer)
        }
        Json::Object(tagged) => {
            let text = |key: &str| tagged[key].as_str().unwrap();
            if tagged.contains_key("integer") {
                Value::Integer(text("integer").parse().unwrap())
            } else if tagged.contains_key("real") {
                Value::Real(text("real").parse().unwrap())
            } else if tagged.contains_key("bytes") {
                Value::Bytes(bytes(&tagged["bytes"]))
            } else if tagged.contains_key("uuid") {
                Value::Uuid(text("uuid").parse().unwrap())
            } else if tagged.contains_key("time") {
                Value::Time(text("time").parse().unwrap())
            } else {
                let packed = bytes(&tagged["messagepack"]);
                let nested = Nested::new(&rmp_serde::from_slice::<Vec<String>>(&packed).unwrap()).unwrap();
                assert_eq!(nested.as_bytes(), packed);
                assert_eq!(
                    tagged["json"],
                    serde_json::to_value(nested.decode::<Vec<String>>().unwrap()).unwrap()
                );
                Value::Nested(nested)
            }
        }
        Json::Array(_) => panic!("no value is written as an array: {json}"),
    }
}

fn lines(bytes: &[u8]) -> Vec<Json> {
    let text = std::str::from_utf8(bytes).unwrap();
    assert!(text.is_empty() || text.ends_with('\n'));
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Every field of an entry stands in its line.
fn check_line(line: &Json, entry: &AuditEntry) {
    let text = |field: &str| line[field].as_str().map(str::to_owned);
    assert_eq!(line["number"], entry.number);
    assert_eq!(line["transaction"], entry.transaction);
    assert_eq!(text("time").unwrap().parse::<Timestamp>().unwrap(), entry.time);
    assert_eq!(text("clock").unwrap(), entry.clock.to_string());
    assert_eq!(text("device").unwrap(), entry.device.to_string());
    assert_eq!(text("actor"), entry.actor.as_ref().map(ToString::to_string));
    assert_eq!(text("admin"), entry.admin.as_ref().map(ToString::to_string));
    assert_eq!(text("reason"), entry.reason);
    assert_eq!(text("action").unwrap(), entry.action);
    assert_eq!(text("entity"), entry.entity);
    assert_eq!(text("record"), entry.record.map(|record| record.to_string()));
    assert_eq!(text("outcome").unwrap(), entry.outcome);
    assert_eq!(line["definition"].as_u64(), entry.definition_version);
    assert_eq!(line["undoes"].as_u64(), entry.undoes);
    let hash: String = entry.hash.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(text("hash").unwrap(), hash);
    let Some(changes) = &entry.changes else { return assert!(line["changes"].is_null()) };
    let written = line["changes"].as_array().unwrap();
    assert_eq!(written.len(), changes.len());
    for (written, change) in written.iter().zip(changes) {
        assert_eq!(written["column"], change.column.as_str());
        if change.redacted {
            assert_eq!(written.as_object().unwrap().len(), 2);
            assert_eq!(written["redacted"], true);
        } else {
            assert_eq!(
                (value(&written["before"]), value(&written["after"])),
                (change.before.clone(), change.after.clone())
            );
        }
    }
    assert_eq!(line.as_object().unwrap().len(), 16, "no field but those");
}

/// What the specification asks of an event in JSON: https://github.com/cloudevents/spec, version 1.0.
fn check_event(event: &Json) {
    let event = event.as_object().unwrap();
    let text = |name: &str| event.get(name).map(|value| value.as_str().unwrap());
    for required in ["id", "source", "specversion", "type"] {
        assert!(!text(required).unwrap().is_empty(), "{required}");
    }
    assert_eq!(text("specversion"), Some("1.0"));
    let source = text("source").unwrap().strip_prefix("urn:uuid:").unwrap();
    assert_eq!(source.parse::<Uuid>().unwrap().to_string(), source, "an absolute URI");
    assert!(event["data"].is_object() && !event.contains_key("data_base64"));
    assert_eq!(text("datacontenttype"), Some("application/json"));
    for (name, value) in event.iter().filter(|(name, _)| *name != "data") {
        assert!(
            name.len() <= 20 && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()),
            "{name}"
        );
        let value = value.as_str().unwrap();
        assert!(!value.is_empty(), "{name}");
        assert!(value.chars().all(|c| !c.is_control() && !is_noncharacter(c)), "{name}: {value:?}");
    }
    if let Some(time) = text("time") {
        assert_rfc_3339(time);
    }
}

fn is_noncharacter(c: char) -> bool {
    let code = u32::from(c);
    code & 0xfffe == 0xfffe || (0xfdd0..=0xfdef).contains(&code)
}

fn assert_rfc_3339(time: &str) {
    let shape: String = time.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    let fraction = shape.strip_prefix("0000-00-00T00:00:00").unwrap().strip_suffix('Z').unwrap();
    let digits = fraction.strip_prefix('.').unwrap_or("0");
    assert!(!digits.is_empty() && digits.chars().all(|c| c == '0'), "{time}");
    assert!(fraction.is_empty() || fraction.starts_with('.'), "{time}");
}

fn check_exports(log: &Audit<'_>) {
    let entries = log.list().unwrap();
    let mut bytes = Vec::new();
    assert_eq!(log.export_json_lines(&mut bytes).unwrap(), entries.len() as u64);
    let written = lines(&bytes);
    assert_eq!(written.len(), entries.len());
    for (line, entry) in written.iter().zip(&entries) {
        check_line(line, entry);
    }
    let mut bytes = Vec::new();
    assert_eq!(log.export_cloud_events(&mut bytes).unwrap(), entries.len() as u64);
    let events = lines(&bytes);
    for (event, (line, entry)) in events.iter().zip(written.iter().zip(&entries)) {
        check_event(event);
        assert_eq!(&event["data"], line, "the same object");
        assert_eq!(event["id"], line["hash"]);
        assert_eq!(event["type"], format!("tenantry.audit.{}", entry.action));
        assert_eq!(event.get("time"), line.get("time"));
        let subject =
            entry.entity.as_ref().zip(entry.record).map(|(entity, record)| format!("{entity}/{record}"));
        assert_eq!(event.get("subject").map(|subject| subject.as_str().unwrap().to_owned()), subject);
    }
    let sequences: Vec<&str> = events.iter().map(|event| event["sequence"].as_str().unwrap()).collect();
    assert!(sequences.is_sorted() && sequences.len() == entries.len());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn exports_hold_every_entry_without_loss(steps in vec((turn(), step()), 1..30), values in vec(tasks(), 1..6)) {
        let hand = Hand::new();
        let mut world = World::new(hand.give(builder()).temporary().unwrap());
        for (turn, step) in &steps {
            hand.turn(*turn);
            world.run(step);
        }
        for value in &values {
            let id = world.users[0].insert(value).unwrap();
            world.users[0].patch(id, Task::POINTS.set(i64::MIN)).unwrap();
        }
        let mut sources = BTreeMap::new();
        world.each_log(|name, log| {
            check_exports(&log);
            let mut bytes = Vec::new();
            log.export_cloud_events(&mut bytes).unwrap();
            for event in lines(&bytes) {
                sources.entry(event["source"].to_string()).or_insert_with(BTreeSet::new).insert(name.to_owned());
            }
        });
        prop_assert!(sources.values().all(|names| names.len() == 1), "a log has a source of its own: {sources:?}");
    }
}

#[test]
fn values_at_the_edges_are_exported_without_loss() {
    let store = builder().temporary().unwrap();
    let ada = user(&store, "ada");
    let edge = 1_i64 << 53;
    for points in [0, edge - 1, edge, -edge, 1 - edge, i64::MAX, i64::MIN] {
        for weight in
            [0.0, 1.0, -1.5, f64::MAX, f64::MIN_POSITIVE, f64::INFINITY, f64::NEG_INFINITY, 0.1 + 0.2]
        {
            ada.insert(&Task { weight, ..task("\u{1}\u{2028}\"\\😀\n", points) }).unwrap();
        }
    }
    for due in [Timestamp::MIN, Timestamp::MAX, Timestamp::UNIX_EPOCH, at(-1)] {
        let raw = Some((0..=255).collect());
        ada.insert(&Task { due: Some(due), raw, tags: vec!["ä".to_owned()], ..task("", 1) }).unwrap();
    }
    check_exports(&ada.audit());
    // Filters hold for exports, and their order.
    check_exports(&ada.audit().action("insert"));
    let mut bytes = Vec::new();
    assert_eq!(ada.audit().action("none").export_json_lines(&mut bytes).unwrap(), 0);
    assert!(bytes.is_empty());
}

#[test]
fn secrets_are_in_no_export() {
    let store = builder().temporary().unwrap();
    let ada = user(&store, "ada");
    let id = ada.insert(&Login { site: "a".to_owned(), password: Some("canary-1".to_owned()) }).unwrap();
    ada.patch(id, Login::PASSWORD.set("canary-2".to_owned())).unwrap();
    let mut bytes = Vec::new();
    ada.audit().export_json_lines(&mut bytes).unwrap();
    ada.audit().export_cloud_events(&mut bytes).unwrap();
    let text = String::from_utf8(bytes).unwrap();
    assert!(!text.contains("canary"));
    assert_eq!(text.matches(r#"{"column":"password","redacted":true}"#).count(), 4);
}

/// A name in which not every character may stand in an attribute of an event.
#[test]
fn any_entity_is_a_subject() {
    let name = "a/b %\u{ffff}ä";
    let odd = Definition::new(name, Tenancy::User).column(ColumnDefinition::new("x", ColumnKind::Integer));
    let hand = Hand::new();
    hand.turn(-62_200_000_000_000_000 - START);
    let store = hand.give(builder().definition(odd)).temporary().unwrap();
    let ada = user(&store, "ada");
    let id = ada.dynamic(name).unwrap().insert(Fields::new().with("x", 1_i64)).unwrap();
    let mut bytes = Vec::new();
    ada.audit().entity(name).export_cloud_events(&mut bytes).unwrap();
    let event = lines(&bytes).remove(0);
    check_event(&event);
    assert_eq!(event["subject"], format!("a%2Fb%20%25%EF%BF%BF%C3%A4/{id}"));
    assert_eq!(event.get("time"), None, "RFC 3339 has no year -2");
    assert!(event["data"]["time"].as_str().unwrap().starts_with('-'));
}

/// A writer that fails ends the export with its error.
#[test]
fn a_full_disk_ends_an_export() {
    struct Full(usize);
    impl std::io::Write for Full {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 = self.0.checked_sub(bytes.len()).ok_or(std::io::ErrorKind::StorageFull)?;
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let store = builder().temporary().unwrap();
    let ada = user(&store, "ada");
    ada.insert_many(&(0..100).map(|n| task("many", n)).collect::<Vec<_>>()).unwrap();
    assert!(matches!(ada.audit().export_json_lines(&mut Full(5_000)), Err(Error::Io { .. })));
    assert!(matches!(ada.audit().export_cloud_events(&mut Full(5_000)), Err(Error::Io { .. })));
    assert_eq!(ada.audit().export_json_lines(&mut Full(1 << 20)).unwrap(), 101);
}

#[test]
fn a_number_within_a_transaction_is_no_transactions() {
    let store = engine::builder().entity::<Ticket>().temporary().unwrap();
    let ada = store.users().create(&UserId::new("ada").unwrap()).unwrap();
    let acme = store.organizations().create(&OrganizationId::new("acme").unwrap()).unwrap();
    store.organizations().add_member(&acme, &ada, Role::Member).unwrap();
    let session = store.session(&ada).unwrap().in_organization(&acme).unwrap();
    session
        .transaction(|tx| {
            let ticket = |title: &str| Fields::new().with("title", title);
            tx.dynamic(Ticket::ENTITY_NAME)?.insert_many(["a", "b", "c"].map(ticket)).map(drop)
        })
        .unwrap();
    let of = |number| session.audit().transaction(number).list().unwrap().len();
    assert_eq!([of(1), of(2), of(3), of(4), of(5), of(6)], [1, 1, 3, 0, 0, 0]);
}
