//! The model test: whatever the tenants of one store do, each sees what it would see alone.
//!
//! The model of a tenant is a private map in memory (`tenant.rs`). Random steps (`steps.rs`) run
//! on the store and on the models: every verb, through derived types and by name, in transactions
//! that commit, fail and panic, in sessions of users and of organizations' members, with ids of
//! other tenants among the ones that are tried, while memberships end, users are disabled and quotas
//! change. After every step the answers are compared: values, order, counts, bytes, errors, ids, audit
//! entries.
//!
//! A case runs its steps twice: interleaved on one thread, and with each world of tenants on a
//! thread of its own; one of the two with a cache. `TENANTRY_MODEL_CASES` sets the number of cases; 256 without it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, unreachable_pub, missing_docs)]

mod spec;
mod steps;
mod tenant;
mod world;

use proptest::collection::vec;
use proptest::strategy::Strategy;
use proptest::test_runner::{Config, TestRunner};
use tenantry::{Builder, Durability, Store, UserId};

use steps::{Step, growth, step};
use world::{Rumours, USERS, World};

/// Two users of their own, and three organizations of users who are in several of them.
fn worlds(store: &Store) -> Vec<World> {
    let mut worlds = vec![World::user(store, "zoë"), World::user(store, "ZOË")];
    for user in USERS {
        store.users().create(&UserId::new(user).unwrap()).unwrap();
    }
    worlds.push(World::organization(store, "acme", &["ada", "grace", "linus"]));
    worlds.push(World::organization(store, "ada", &["ada", "barbara"]));
    worlds.push(World::organization(store, "Acme", &["Ada", "grace"]));
    worlds
}

const WORLDS: usize = 5;
/// One user and one organization.
const FEW: std::ops::Range<usize> = 1..3;

fn finish(store: &Store, worlds: &[World]) {
    worlds.iter().for_each(World::compare);
    let report = store.check().unwrap();
    assert!(report.is_clean(), "{report}");
}

fn interleaved(builder: Builder, steps: &[(usize, Step)]) {
    let store = builder.temporary().unwrap();
    let mut worlds = worlds(&store);
    let rumours = Rumours::default();
    for (world, step) in steps {
        worlds[*world].step(&store, step, &rumours);
    }
    finish(&store, &worlds);
}

fn threaded(builder: Builder, steps: &[(usize, Step)]) {
    let store = builder.temporary().unwrap();
    let mut worlds = worlds(&store);
    let rumours = Rumours::default();
    std::thread::scope(|scope| {
        for (number, world) in worlds.iter_mut().enumerate() {
            let (store, rumours) = (&store, &rumours);
            scope.spawn(move || {
                steps
                    .iter()
                    .filter(|(world, _)| *world == number)
                    .for_each(|(_, step)| world.step(store, step, rumours))
            });
        }
    });
    finish(&store, &worlds);
}

/// Runs as many cases as asked for, or else so many.
fn run<S: Strategy>(cases: u32, strategy: &S, case: impl Fn(S::Value)) -> u32 {
    let asked = std::env::var("TENANTRY_MODEL_CASES").ok().and_then(|cases| cases.parse().ok());
    let cases = asked.unwrap_or(cases);
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 2_000, ..Config::default() };
    TestRunner::new(config)
        .run(strategy, |input| {
            case(input);
            Ok(())
        })
        .unwrap_or_else(|failure| panic!("{failure}"));
    cases
}

#[test]
fn each_tenant_sees_what_it_would_see_alone() {
    run(256, &vec((0..WORLDS, step(true)), 1..80), |steps| {
        // One of them with rows in memory, few enough that some have to go.
        let (one, other) = if steps.len().is_multiple_of(2) { (0, 24 << 10) } else { (24 << 10, 0) };
        interleaved(spec::builder().cache(one), &steps);
        threaded(spec::builder().cache(other), &steps);
    });
}

/// The same, where tenants hold more and every verb that grows what they hold meets a quota.
#[test]
fn quotas_and_kept_numbers_are_those_of_the_rows() {
    let steps = vec((FEW, growth(true)), 1..120);
    let cases = run(256, &steps, |steps| interleaved(spec::builder().durability(Durability::Normal), &steps));
    if cases < 256 {
        return;
    }
    // What no step reached was not tested.
    let met = world::MET.lock().unwrap();
    let insertions = ["Insert", "InsertMany", "Upsert", "UpsertOn"];
    let changes = ["Update", "Patch", "UpdateWhere"];
    let rows = insertions.map(|verb| (verb, "too many rows"));
    let bytes = insertions.into_iter().chain(changes).map(|verb| (verb, "too many bytes"));
    let deletions = [("Delete", "others go along"), ("Delete", "references are cleared")];
    for (verb, what) in rows.into_iter().chain(bytes).chain(deletions) {
        for place in ["alone", "in a transaction"] {
            assert!(met.contains_key(&format!("{verb} {place}: {what}")), "{verb} {place}: {what}: {met:#?}");
        }
    }
}
