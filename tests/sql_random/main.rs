//! Random statements of a tenant's own SQL: what others hold changes nothing, and the tenant's own data answers as it would
//! in a database of its own.
//!
//! `TENANTRY_SQL_CASES` sets how many statements each property tries.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, missing_docs)]

#[path = "../engine/mod.rs"]
mod engine;
mod grammar;
mod world;

use std::cell::Cell;
use std::fmt::Write as _;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use tenantry::{Error, Value};

use grammar::Grammar;
use world::{Others, World, ask, plain, world};

/// The same statements each time, unless many are asked for: those are other ones in every run.
fn runner() -> TestRunner {
    let wanted = std::env::var("TENANTRY_SQL_CASES").ok().and_then(|cases| cases.parse().ok());
    let config = Config {
        cases: wanted.unwrap_or(2_000),
        max_shrink_iters: 20_000,
        failure_persistence: None,
        ..Config::default()
    };
    match wanted {
        Some(_) => TestRunner::new(config),
        None => TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha)),
    }
}

fn tapes() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..160)
}

/// Everything that a statement tells.
fn told(world: &World, sql: &str) -> String {
    let mut told = String::new();
    match world.session.sql(sql).rows() {
        Ok(rows) => {
            let names: Vec<&str> = rows.columns().iter().map(|column| column.name()).collect();
            let _ = writeln!(told, "{names:?}");
            for row in &rows {
                let _ = writeln!(told, "{:?}", row.values());
            }
        }
        Err(error) => {
            let _ = writeln!(told, "{error}");
        }
    }
    match world.session.sql(sql).explain() {
        Ok(steps) => {
            for step in steps {
                let _ = writeln!(told, "{} {} {}", step.id, step.parent, step.detail);
            }
        }
        Err(error) => {
            let _ = writeln!(told, "{error}");
        }
    }
    told
}

#[test]
fn what_others_hold_changes_no_result_no_error_and_no_plan() {
    let worlds: Vec<Vec<World>> = [3, 4]
        .map(|seed| [Others::None, Others::Few, Others::Many].map(|others| world(seed, others)).into())
        .into();
    let (count, failed) = (Cell::new(0), Cell::new(0));
    let outcome = runner().run(&(tapes(), 0..worlds.len()), |(tape, seed)| {
        let sql = Grammar::statement(&tape, false);
        let alone = told(&worlds[seed][0], &sql);
        count.set(count.get() + 1);
        failed.set(failed.get() + u32::from(!alone.starts_with('[')));
        prop_assert!(!alone.starts_with("access denied"), "{sql}\n{alone}");
        for world in &worlds[seed][1..] {
            let beside = told(world, &sql);
            prop_assert!(alone == beside, "{sql}\nalone:\n{alone}\nbeside others:\n{beside}");
        }
        Ok(())
    });
    println!("{} statements, {} of which end with an error", count.get(), failed.get());
    outcome.unwrap_or_else(|error| panic!("{error}"));
}

/// The rows in an order that does not depend on how they were found. Equal numbers are one, whichever a set kept.
fn sorted(rows: Vec<Vec<Value>>) -> Vec<String> {
    let shown = |value: Value| match value {
        Value::Integer(integer) => format!("{:?}", integer as f64),
        // Zero has two signs, which are equal too.
        Value::Real(real) => format!("{:?}", real + 0.0),
        other => format!("{other:?}"),
    };
    let mut rows: Vec<String> =
        rows.into_iter().map(|row| row.into_iter().map(shown).collect::<Vec<_>>().join(" | ")).collect();
    rows.sort();
    rows
}

#[test]
fn a_tenant_gets_what_a_database_of_its_own_would_answer() {
    let worlds: Vec<_> = [3, 4]
        .map(|seed| {
            let world = world(seed, Others::Many);
            let plain = plain(&world.session);
            (world, plain)
        })
        .into();
    let (count, rows, failed) = (Cell::new(0), Cell::new(0), Cell::new(0));
    let outcome = runner().run(&(tapes(), 0..worlds.len()), |(tape, seed)| {
        let (world, plain) = &worlds[seed];
        let sql = Grammar::statement(&tape, true);
        let ours = world.session.sql(&sql).rows();
        let theirs = ask(plain, &sql);
        count.set(count.get() + 1);
        match (ours, theirs) {
            (Ok(ours), Ok(theirs)) => {
                rows.set(rows.get() + u32::from(!ours.is_empty()));
                let ours = sorted(ours.into_iter().map(|row| row.values().to_vec()).collect());
                let theirs = sorted(theirs);
                prop_assert!(ours == theirs, "{sql}\nas the tenant: {ours:#?}\nalone: {theirs:#?}");
            }
            (Err(error), Ok(_)) => {
                // A value can fail for a row that another plan does not come to. Nothing else may.
                let failed_value =
                    matches!(&error, Error::LimitExceeded { limit: "value size" | "rows", .. })
                        || matches!(&error, Error::Sql { problem } if FAILURES.contains(&problem.as_str()));
                prop_assert!(failed_value, "{sql}\n{error}");
                failed.set(failed.get() + 1);
            }
            (Ok(_), Err(error)) => {
                let text = error.to_string();
                prop_assert!(
                    FAILURES.iter().any(|failure| text.contains(failure)) || text.contains("too big"),
                    "{sql}\n{text}"
                );
                failed.set(failed.get() + 1);
            }
            (Err(_), Err(_)) => failed.set(failed.get() + 1),
        }
        Ok(())
    });
    println!(
        "{} statements, {} of which give rows and {} end with an error on either side",
        count.get(),
        rows.get(),
        failed.get()
    );
    outcome.unwrap_or_else(|error| panic!("{error}"));
}

/// What values can do.
const FAILURES: [&str; 6] = [
    "integer overflow",
    "malformed JSON",
    "bad JSON path: '$['",
    "ESCAPE expression must be a single character",
    "string or blob too big",
    "LIKE or GLOB pattern too complex",
];
