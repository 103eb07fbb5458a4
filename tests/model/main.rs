//! The model test: whatever the tenants of one store do, each sees what it would see alone.
//!
//! The model of a tenant is a private map in memory (`tenant.rs`). Random steps (`steps.rs`) run
//! on the store and on the models: every verb, through derived types and by name, in transactions
//! that commit, fail and panic, in sessions of users and of organizations' members, with ids of
//! other tenants among the ones that are tried, while memberships end and users are disabled. After
//! every step the answers are compared: values, order, counts, errors, ids, audit entries.
//!
//! A case runs its steps twice: interleaved on one thread, and with each world of tenants on a
//! thread of its own; one of the two with a cache. `TENANTRY_MODEL_CASES` sets the number of cases; 256 without it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, unreachable_pub, missing_docs)]

mod spec;
mod steps;
mod tenant;
mod world;

use proptest::collection::vec;
use proptest::test_runner::{Config, TestRunner};
use tenantry::{Store, UserId};

use steps::{Step, step};
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

fn finish(store: &Store, worlds: &[World]) {
    worlds.iter().for_each(World::compare);
    let report = store.check().unwrap();
    assert!(report.is_clean(), "{report}");
}

fn interleaved(steps: &[(usize, Step)], cache: usize) {
    let store = spec::builder().cache(cache).temporary().unwrap();
    let mut worlds = worlds(&store);
    let rumours = Rumours::default();
    for (world, step) in steps {
        worlds[*world].step(&store, step, &rumours);
    }
    finish(&store, &worlds);
}

fn threaded(steps: &[(usize, Step)], cache: usize) {
    let store = spec::builder().cache(cache).temporary().unwrap();
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

#[test]
fn each_tenant_sees_what_it_would_see_alone() {
    let cases =
        std::env::var("TENANTRY_MODEL_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(256);
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 2_000, ..Config::default() };
    let strategy = vec((0..WORLDS, step(true)), 1..80);
    TestRunner::new(config)
        .run(&strategy, |steps| {
            // One of them with rows in memory, few enough that some have to go.
            let (one, other) = if steps.len() % 2 == 0 { (0, 24 << 10) } else { (24 << 10, 0) };
            interleaved(&steps, one);
            threaded(&steps, other);
            Ok(())
        })
        .unwrap_or_else(|failure| panic!("{failure}"));
}
