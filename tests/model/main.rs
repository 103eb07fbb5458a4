//! The model test: whatever the tenants of one store do, each sees what it would see alone.
//!
//! The model of a tenant is a private map in memory (`tenant.rs`). Random steps (`steps.rs`) run
//! on the store and on the models: every verb, through derived types and by name, in transactions
//! that commit, fail and panic, in sessions of users and of organizations' members, with ids of
//! other tenants among the ones that are tried, while memberships end and users are disabled. After
//! every step the answers are compared: values, order, counts, errors, ids, audit entries.
//!
//! A case runs its steps in several [`Setting`]s: interleaved on one thread, and with each world of
//! tenants on a thread of its own, five of them or sixteen; with a cache or without one.
//! `TENANTRY_MODEL_CASES` sets the number of cases; 256 without it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, unreachable_pub, missing_docs)]

mod spec;
mod steps;
mod tenant;
mod world;

use std::cell::Cell;
use std::ops::Range;

use proptest::collection::vec;
use proptest::test_runner::{Config, TestRunner};
use tenantry::{Store, UserId};

use steps::{Step, step};
use world::{Rumours, USERS, World};

/// How a store is opened and reached.
#[derive(Debug, Clone, Copy)]
struct Setting {
    /// Worlds of tenants.
    worlds: usize,
    /// Each world on a thread of its own, or one step after the other.
    threaded: bool,
    /// Bytes of rows in memory.
    cache: usize,
}

/// So few that some rows have to go.
const CACHE: usize = 24 << 10;

/// Users of their own, and organizations of users who are in several of them.
fn worlds(store: &Store, count: usize) -> Vec<World> {
    for user in USERS {
        store.users().create(&UserId::new(user).unwrap()).unwrap();
    }
    (0..count)
        .map(|number| match number {
            0 => World::user(store, "zoë"),
            1 => World::user(store, "ZOË"),
            2 => World::organization(store, "acme", &["ada", "grace", "linus"]),
            3 => World::organization(store, "ada", &["ada", "barbara"]),
            4 => World::organization(store, "Acme", &["Ada", "grace"]),
            _ if number % 2 == 0 => World::user(store, &format!("user-{number}")),
            _ => World::organization(store, &format!("organization-{number}"), &["grace", "Ada", "ada "]),
        })
        .collect()
}

/// Runs steps, each in its world; how many callers the largest commit had.
fn run(steps: &[(usize, Step)], setting: Setting) -> u64 {
    let store = spec::builder().cache(setting.cache).temporary().unwrap();
    let mut worlds = worlds(&store, setting.worlds);
    let rumours = Rumours::default();
    if setting.threaded {
        std::thread::scope(|scope| {
            for (number, world) in worlds.iter_mut().enumerate() {
                let (store, rumours) = (&store, &rumours);
                scope.spawn(move || {
                    let own = steps.iter().filter(|(world, _)| *world == number);
                    own.for_each(|(_, step)| world.step(store, step, rumours))
                });
            }
        });
    } else {
        for (world, step) in steps {
            worlds[*world].step(&store, step, &rumours);
        }
    }
    worlds.iter().for_each(World::compare);
    let report = store.check().unwrap();
    assert!(report.is_clean(), "{report}");
    store.stats().unwrap().commits.batches.max
}

fn cases() -> u32 {
    std::env::var("TENANTRY_MODEL_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(256)
}

/// Runs cases of so many steps in so many worlds.
fn check(cases: u32, worlds: usize, steps: Range<usize>, case: impl Fn(&[(usize, Step)])) {
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 2_000, ..Config::default() };
    TestRunner::new(config)
        .run(&vec((0..worlds, step(true)), steps), |steps| {
            case(&steps);
            Ok(())
        })
        .unwrap_or_else(|failure| panic!("{failure}"));
}

#[test]
fn each_tenant_sees_what_it_would_see_alone() {
    check(cases(), 5, 1..80, |steps| {
        let (one, other) = if steps.len() % 2 == 0 { (0, CACHE) } else { (CACHE, 0) };
        run(steps, Setting { worlds: 5, threaded: false, cache: one });
        run(steps, Setting { worlds: 5, threaded: true, cache: other });
    });
}

/// The same for sixteen threads at once, which share commits.
#[test]
fn sixteen_threads_see_what_each_would_see_alone() {
    let largest = Cell::new(0);
    check(cases().div_ceil(16), 16, 160..240, |steps| {
        let cache = if steps.len() % 2 == 0 { CACHE } else { 0 };
        let batch = run(steps, Setting { worlds: 16, threaded: true, cache });
        largest.set(batch.max(largest.get()));
    });
    assert!(largest.get() > 2, "no commit was shared by more than {}", largest.get());
}
