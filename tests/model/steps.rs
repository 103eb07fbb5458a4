//! Random steps. Choices are indices, so that a failing case shrinks to few and small ones.

use proptest::prelude::*;
use proptest::sample::Index;

#[derive(Debug, Clone)]
pub struct Step {
    /// Which session of the world acts, on which of its entities.
    pub session: Index,
    pub entity: Index,
    /// Through the derived type, where there is one, or by name.
    pub typed: bool,
    /// By a store admin, in the tenant's name.
    pub admin: bool,
    pub verb: Verb,
}

#[derive(Debug, Clone)]
pub enum Verb {
    Insert(Seed),
    InsertMany(Vec<Seed>),
    Get(Pick),
    GetMany(Vec<Pick>),
    Exists(Pick),
    Update(Pick, Expect, Seed),
    Patch(Pick, Expect, Vec<Index>, Seed),
    Upsert(Pick, Seed),
    UpsertOn(Seed),
    Delete(Pick, Expect),
    Query(Condition, Sorting, End),
    UpdateWhere(Condition, Index, Seed),
    DeleteWhere(Condition, Option<u64>),
    Transaction(Vec<Step>, Ending),
    /// Somebody else's sessions: a member goes or comes back, a user is disabled or enabled.
    Revoke(Index),
    /// The application gives the tenant another quota of the entity, or takes its own away.
    SetQuota(Option<Room>),
    /// The tenant is erased, and one of the same id made, which begins with nothing.
    Erase,
    /// The tenant leaves as a bundle, and arrives under another id, as a copy that goes again.
    Leave,
    /// The application lets all that the tenant's logs hold so far expire.
    Expire,
}

/// How many more rows and bytes a tenant may have than it has.
pub type Room = (Option<i64>, Option<i64>);

/// What a row's values are made of.
#[derive(Debug, Clone)]
pub struct Seed {
    pub text: Index,
    pub points: i64,
    pub choice: bool,
    pub time: Option<i64>,
    pub references: [Option<Pick>; 3],
    pub member: Option<Index>,
    pub secret: bool,
}

/// An id: of a row that the tenant has, or had, or one of another tenant, or none at all.
#[derive(Debug, Clone)]
pub struct Pick {
    pub from: From,
    pub index: Index,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum From {
    Own,
    Known,
    Foreign,
    Nowhere,
}

#[derive(Debug, Clone, Copy)]
pub enum Expect {
    Any,
    Right,
    Wrong,
}

#[derive(Debug, Clone)]
pub enum Condition {
    All,
    TextIs(Index),
    TextContains(&'static str),
    PointsBelow(i64),
    TimeAtLeast(i64),
    TimeMissing,
    Not(Box<Condition>),
    And(Box<Condition>, Box<Condition>),
    Or(Box<Condition>, Box<Condition>),
}

#[derive(Debug, Clone, Copy)]
pub struct Sorting {
    pub by: SortBy,
    pub descending: bool,
    pub then_text: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum SortBy {
    Default,
    Created,
    Text,
    Points,
    Time,
}

#[derive(Debug, Clone, Copy)]
pub enum End {
    List(Option<u64>),
    Pages(u32),
    First,
    One,
    Count,
    Exists,
    Iterate,
    Aggregates,
    Groups,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Ending {
    Commit,
    Fail,
    Panic,
}

/// Short texts that clash, hold LIKE's wildcards, quotes, and letters outside of ASCII.
pub const TEXTS: [&str; 9] = ["a", "b", "A", "a%", "_", "it's \"x\"", "größe", "", "a\\b"];
pub const TIMES: [i64; 4] = [-5_000_001, 0, 1_700_000_000_000_000, 1_700_000_000_000_001];

fn pick() -> impl Strategy<Value = Pick> {
    let from = prop_oneof![8 => Just(From::Own), 1 => Just(From::Known), 2 => Just(From::Foreign), 1 => Just(From::Nowhere)];
    (from, any::<Index>()).prop_map(|(from, index)| Pick { from, index })
}

fn own() -> impl Strategy<Value = Pick> {
    any::<Index>().prop_map(|index| Pick { from: From::Own, index })
}

fn seed() -> impl Strategy<Value = Seed> {
    seed_of(pick)
}

fn seed_of<P: Strategy<Value = Pick>>(pick: impl Fn() -> P) -> impl Strategy<Value = Seed> {
    let reference = || proptest::option::weighted(0.4, pick());
    (
        any::<Index>(),
        -3_i64..4,
        any::<bool>(),
        proptest::option::of(proptest::sample::select(&TIMES[..])),
        [reference(), reference(), reference()],
        proptest::option::weighted(0.4, any::<Index>()),
        any::<bool>(),
    )
        .prop_map(|(text, points, choice, time, references, member, secret)| Seed {
            text,
            points,
            choice,
            time,
            references,
            member,
            secret,
        })
}

fn condition() -> impl Strategy<Value = Condition> {
    let leaf = prop_oneof![
        Just(Condition::All),
        any::<Index>().prop_map(Condition::TextIs),
        proptest::sample::select(&["a", "%", "_", "A", "ö", "\\", ""][..]).prop_map(Condition::TextContains),
        (-3_i64..4).prop_map(Condition::PointsBelow),
        proptest::sample::select(&TIMES[..]).prop_map(Condition::TimeAtLeast),
        Just(Condition::TimeMissing),
    ];
    leaf.prop_recursive(2, 6, 2, |inner| {
        prop_oneof![
            inner.clone().prop_map(|c| Condition::Not(Box::new(c))),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| Condition::And(Box::new(a), Box::new(b))),
            (inner.clone(), inner).prop_map(|(a, b)| Condition::Or(Box::new(a), Box::new(b))),
        ]
    })
}

fn sorting() -> impl Strategy<Value = Sorting> {
    let by = proptest::sample::select(
        &[SortBy::Default, SortBy::Created, SortBy::Text, SortBy::Points, SortBy::Time][..],
    );
    (by, any::<bool>(), any::<bool>()).prop_map(|(by, descending, then_text)| Sorting {
        by,
        descending,
        then_text,
    })
}

fn end() -> impl Strategy<Value = End> {
    prop_oneof![
        proptest::option::of(0_u64..4).prop_map(End::List),
        (1_u32..4).prop_map(End::Pages),
        Just(End::First),
        Just(End::One),
        Just(End::Count),
        Just(End::Exists),
        Just(End::Iterate),
        Just(End::Aggregates),
        Just(End::Groups),
    ]
}

/// Close to what there is, so that the next steps reach it; or below.
fn room() -> impl Strategy<Value = Room> {
    let bytes = proptest::sample::select(&[-90_i64, 0, 4, 90, 200][..]);
    (proptest::option::weighted(0.4, -1_i64..3), proptest::option::weighted(0.7, bytes))
}

fn verb(transactions: bool) -> BoxedStrategy<Verb> {
    let expect = || proptest::sample::select(&[Expect::Any, Expect::Any, Expect::Right, Expect::Wrong][..]);
    let simple = prop_oneof![
        6 => seed().prop_map(Verb::Insert),
        1 => proptest::collection::vec(seed(), 0..4).prop_map(Verb::InsertMany),
        2 => pick().prop_map(Verb::Get),
        1 => proptest::collection::vec(pick(), 0..4).prop_map(Verb::GetMany),
        1 => pick().prop_map(Verb::Exists),
        3 => (pick(), expect(), seed()).prop_map(|(p, e, s)| Verb::Update(p, e, s)),
        3 => (pick(), expect(), proptest::collection::vec(any::<Index>(), 0..3), seed()).prop_map(|(p, e, c, s)| Verb::Patch(p, e, c, s)),
        2 => (pick(), seed()).prop_map(|(p, s)| Verb::Upsert(p, s)),
        2 => seed().prop_map(Verb::UpsertOn),
        3 => (pick(), expect()).prop_map(|(p, e)| Verb::Delete(p, e)),
        5 => (condition(), sorting(), end()).prop_map(|(c, s, e)| Verb::Query(c, s, e)),
        1 => (condition(), any::<Index>(), seed()).prop_map(|(c, i, s)| Verb::UpdateWhere(c, i, s)),
        1 => (condition(), proptest::option::of(0_u64..3)).prop_map(|(c, l)| Verb::DeleteWhere(c, l)),
    ];
    if !transactions {
        return simple.boxed();
    }
    let inner = proptest::collection::vec(step(false), 0..5);
    let ending =
        || proptest::sample::select(&[Ending::Commit, Ending::Commit, Ending::Fail, Ending::Panic][..]);
    let nested = (proptest::collection::vec(step(false), 0..4), ending(), any::<Index>(), any::<Index>())
        .prop_map(|(steps, ending, session, entity)| Step {
            session,
            entity,
            typed: false,
            admin: false,
            verb: Verb::Transaction(steps, ending),
        });
    prop_oneof![
        30 => simple,
        4 => (inner, proptest::option::of(nested), ending()).prop_map(|(mut steps, nested, ending)| {
            steps.extend(nested);
            Verb::Transaction(steps, ending)
        }),
        // Files are built anew, which takes its time.
        1 => prop_oneof![6 => any::<Index>().prop_map(Verb::Revoke), 2 => Just(Verb::Erase), 1 => Just(Verb::Leave)],
        1 => proptest::option::weighted(0.8, room()).prop_map(Verb::SetQuota),
        1 => Just(Verb::Expire),
    ]
    .boxed()
}

pub fn step(transactions: bool) -> BoxedStrategy<Step> {
    step_of(verb(transactions))
}

/// Steps by every verb that can make rows or bytes more or fewer, and quotas that they meet.
pub fn growth(transactions: bool) -> BoxedStrategy<Step> {
    let seed = || seed_of(own);
    let columns = || proptest::collection::vec(any::<Index>(), 1..4);
    let many = || prop_oneof![2 => Just(Condition::All), 1 => condition()];
    let simple = prop_oneof![
        6 => seed().prop_map(Verb::Insert),
        2 => proptest::collection::vec(seed(), 1..4).prop_map(Verb::InsertMany),
        4 => (own(), seed()).prop_map(|(p, s)| Verb::Update(p, Expect::Any, s)),
        4 => (own(), columns(), seed()).prop_map(|(p, c, s)| Verb::Patch(p, Expect::Any, c, s)),
        3 => (pick(), seed()).prop_map(|(p, s)| Verb::Upsert(p, s)),
        3 => seed().prop_map(Verb::UpsertOn),
        4 => own().prop_map(|p| Verb::Delete(p, Expect::Any)),
        5 => (many(), any::<Index>(), seed()).prop_map(|(c, i, s)| Verb::UpdateWhere(c, i, s)),
        1 => (condition(), Just(Some(2))).prop_map(|(c, l)| Verb::DeleteWhere(c, l)),
    ];
    if !transactions {
        return step_of(simple.boxed());
    }
    let ending =
        proptest::sample::select(&[Ending::Commit, Ending::Commit, Ending::Commit, Ending::Fail][..]);
    let inner = proptest::collection::vec(growth(false), 1..6);
    let verb = prop_oneof![
        12 => simple,
        4 => (inner, ending).prop_map(|(steps, ending)| Verb::Transaction(steps, ending)),
        4 => proptest::option::weighted(0.8, room()).prop_map(Verb::SetQuota),
    ];
    step_of(verb.boxed())
}

fn step_of(verb: BoxedStrategy<Verb>) -> BoxedStrategy<Step> {
    (any::<Index>(), any::<Index>(), any::<bool>(), proptest::bool::weighted(0.1), verb)
        .prop_map(|(session, entity, typed, admin, verb)| Step { session, entity, typed, admin, verb })
        .boxed()
}
