//! The model test: whatever the tenants of one store do, each sees what it would see alone.
//!
//! The model of a tenant is a private map in memory (`tenant.rs`). Random steps (`steps.rs`) run
//! on the store and on the models: every verb, through derived types and by name, in transactions
//! that commit, fail and panic, in sessions of users and of organizations' members, with ids of
//! other tenants among the ones that are tried, while memberships end, users are disabled, quotas
//! change, tenants are erased and begin anew under the same id, others leave and arrive as copies, and a store admin acts in tenants' names. After every step the answers are compared: values, order, counts, bytes, errors, ids, audit
//! entries.
//!
//! A case runs its steps in several [`Setting`]s: interleaved on one thread, and with each world of
//! tenants on a thread of its own, five of them or sixteen; with a cache or without one; in one file, or in
//! several, among which tenants move all the time.
//! `TENANTRY_MODEL_CASES` sets the number of cases; 256 without it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, unreachable_pub, missing_docs)]

#[path = "../engine/mod.rs"]
mod engine;
mod spec;
mod steps;
mod tenant;
mod world;

use std::cell::Cell;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::collection::vec;
use proptest::strategy::Strategy;
use proptest::test_runner::{Config, TestRunner};
use tenantry::{Durability, Error, Partitioning, Store, StoreRole, UserId};

use steps::{Step, growth, step};
use world::{ROOT, Rumours, USERS, World, while_busy};

/// The files that a store is spread over.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Files {
    One,
    Few,
    /// One for each tenant, of which few are open; they move into each other's.
    Each,
}

/// How a store is opened and reached.
#[derive(Debug, Clone, Copy)]
struct Setting {
    files: Files,
    /// Worlds of tenants.
    worlds: usize,
    /// Each world on a thread of its own, or one step after the other.
    threaded: bool,
    /// Bytes of rows in memory.
    cache: usize,
    durability: Durability,
}

const PLAIN: Setting =
    Setting { files: Files::One, worlds: 5, threaded: false, cache: 0, durability: Durability::Full };

/// So few that some rows have to go.
const CACHE: usize = 24 << 10;

/// Users of their own, and organizations of users who are in several of them.
fn worlds(store: &Store, count: usize) -> Vec<World> {
    for user in USERS {
        store.users().create(&UserId::new(user).unwrap()).unwrap();
    }
    let root = store.users().create(&UserId::new(ROOT).unwrap()).unwrap();
    store.users().set_role(&root, StoreRole::Admin).unwrap();
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
    let builder = spec::builder().cache(setting.cache).durability(setting.durability);
    let builder = match setting.files {
        Files::One => builder,
        Files::Few => builder.partitions(3),
        Files::Each => builder.partition_per_tenant().partitions_open(6),
    };
    let store = builder.temporary().unwrap();
    let mut worlds = worlds(&store, setting.worlds);
    let rumours = Rumours::default();
    if setting.threaded {
        let working = AtomicUsize::new(worlds.len());
        std::thread::scope(|scope| {
            for (number, world) in worlds.iter_mut().enumerate() {
                let (store, rumours, working) = (&store, &rumours, &working);
                scope.spawn(move || {
                    let _working = Working(working);
                    let own = steps.iter().filter(|(world, _)| *world == number);
                    own.for_each(|(_, step)| world.step(store, step, rumours))
                });
            }
            if setting.files != Files::One {
                (0..)
                    .take_while(|_| working.load(Ordering::Relaxed) > 0)
                    .for_each(|number| while_busy(|| moved_beside(move_one(&store, number))));
            }
        });
    } else {
        for (number, (world, step)) in steps.iter().enumerate() {
            worlds[*world].step(&store, step, &rumours);
            if setting.files != Files::One && number % 4 == 0 {
                while_busy(|| move_one(&store, number));
            }
        }
    }
    let ids: Vec<_> = worlds.iter().map(World::ids).collect();
    for (number, world) in worlds.iter().enumerate() {
        let others = ids.iter().enumerate().filter(|(other, _)| *other != number).flat_map(|(_, ids)| ids);
        world.compare(&others.filter(|id| !ids[number].contains(id)).copied().collect());
    }
    let report = store.check().unwrap();
    assert!(report.is_clean(), "{report}");
    store.stats().unwrap().commits.batches.max
}

/// A thread that is at work, and is not when it panics.
struct Working<'a>(&'a AtomicUsize);

impl Drop for Working<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One of the users and organizations moves to one of the partitions; now and then the whole store is
/// spread otherwise.
fn move_one(store: &Store, number: usize) -> tenantry::Result<()> {
    let partitions = store.partitions();
    if number % 40 == 39 {
        let partitioning = if number % 80 == 39 { Partitioning::Fixed(2) } else { Partitioning::PerTenant };
        return partitions.repartition(partitioning, |_| {});
    }
    let users = store.users().list(None, 1_000).unwrap();
    let organizations = store.organizations().list(None, 1_000).unwrap();
    let names = partitions.list().unwrap();
    let to = &names[number * 7 % names.len()].name;
    let home = number * 5 % (users.len() + organizations.len());
    match users.get(home) {
        Some(user) => partitions.move_user(user, to, |_| {}),
        None => partitions.move_organization(&organizations[home - users.len()], to, |_| {}),
    }
}

/// Whom others erase meanwhile is not there to be moved.
fn moved_beside(outcome: tenantry::Result<()>) -> tenantry::Result<()> {
    match outcome {
        Err(Error::UnknownUser { .. } | Error::UnknownOrganization { .. }) => Ok(()),
        outcome => outcome,
    }
}

fn cases() -> u32 {
    std::env::var("TENANTRY_MODEL_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(256)
}

/// Runs so many cases of steps.
fn check<S: Strategy<Value = Vec<(usize, Step)>>>(cases: u32, steps: S, case: impl Fn(&[(usize, Step)])) {
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 2_000, ..Config::default() };
    TestRunner::new(config)
        .run(&steps, |steps| {
            case(&steps);
            Ok(())
        })
        .unwrap_or_else(|failure| panic!("{failure}"));
}

/// Steps in so many worlds.
fn steps(worlds: usize, count: Range<usize>) -> impl Strategy<Value = Vec<(usize, Step)>> {
    vec((0..worlds, step(true)), count)
}

#[test]
fn each_tenant_sees_what_it_would_see_alone() {
    check(cases(), steps(5, 1..80), |steps| {
        let (one, other) = if steps.len() % 2 == 0 { (0, CACHE) } else { (CACHE, 0) };
        run(steps, Setting { cache: one, ..PLAIN });
        run(steps, Setting { threaded: true, cache: other, ..PLAIN });
    });
}

/// The same for sixteen threads at once, which share commits.
#[test]
fn sixteen_threads_see_what_each_would_see_alone() {
    let largest = Cell::new(0);
    check(cases().div_ceil(16), steps(16, 160..240), |steps| {
        let cache = if steps.len() % 2 == 0 { CACHE } else { 0 };
        let batch = run(steps, Setting { worlds: 16, threaded: true, cache, ..PLAIN });
        largest.set(batch.max(largest.get()));
    });
    assert!(largest.get() > 2, "no commit was shared by more than {}", largest.get());
}

/// The same in stores of several files, while tenants move from one to another.
#[test]
fn tenants_that_move_see_what_each_would_see_alone() {
    check(cases().div_ceil(16), steps(5, 1..80), |steps| {
        let cache = if steps.len() % 2 == 0 { CACHE } else { 0 };
        let (one, other) =
            if steps.len() % 4 < 2 { (Files::Few, Files::Each) } else { (Files::Each, Files::Few) };
        run(steps, Setting { files: one, cache, ..PLAIN });
        run(steps, Setting { files: other, threaded: true, cache, ..PLAIN });
    });
    check(cases().div_ceil(64), steps(16, 160..240), |steps| {
        let cache = if steps.len() % 2 == 0 { CACHE } else { 0 };
        let files = if steps.len() % 4 < 2 { Files::Few } else { Files::Each };
        run(steps, Setting { files, worlds: 16, threaded: true, cache, ..PLAIN });
    });
}

/// The same, where one user and one organization hold more and every verb that grows what they hold
/// meets a quota.
#[test]
fn quotas_and_kept_numbers_are_those_of_the_rows() {
    let cases = cases();
    check(cases, vec((1..3_usize, growth(true)), 1..120), |steps| {
        run(steps, Setting { durability: Durability::Normal, ..PLAIN });
    });
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
