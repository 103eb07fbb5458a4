//! Instructions per operation, which a busy machine does not change: valgrind counts two runs of
//! different lengths, and their difference leaves what the set-up costs out.
//!
//! They are compared with those in `instructions.txt`, which `--record` writes anew. They depend on
//! the compiler and on the processor that valgrind shows to the program.

use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use work::contender::Slice;
use work::{Durability, Operation, Setup};

use crate::report::Table;
use crate::sides::{self, BASELINE, TENANTRY};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/instructions.txt");
const RECORDED: &str = include_str!("../instructions.txt");
const OPERATIONS: [Operation; 3] = [Operation::Insert, Operation::Get, Operation::Count];
/// How far a count may lie from the recorded one.
const TOLERANCE: f64 = 0.03;
const TENANTS: usize = 5;
const ROWS: usize = 200;

/// Counts, prints and compares; or records.
pub(crate) fn compare(record: bool) -> Result<()> {
    if Command::new("valgrind").arg("--version").output().is_err() {
        println!("valgrind is not installed: no instructions were counted");
        return Ok(());
    }
    let mut table = Table::new(["operation", TENANTRY, BASELINE, "ratio"]);
    let mut lines =
        String::from("# Instructions per operation: `tenantry-bench instructions --record` writes them\n");
    let mut astray = Vec::new();
    for operation in OPERATIONS {
        let mut counts = [0; 2];
        for (count, side) in counts.iter_mut().zip([TENANTRY, BASELINE]) {
            *count = per_operation(side, operation)?;
            lines.push_str(&format!("{side} {} {count}\n", operation.name()));
            let line = format!("{side} {} ", operation.name());
            let known = RECORDED.lines().find_map(|known| known.strip_prefix(&line)?.parse::<u64>().ok());
            match known {
                Some(known) if (*count as f64 / known as f64 - 1.0).abs() <= TOLERANCE => {}
                Some(known) => {
                    astray.push(format!("{side}, {}: {count}, recorded {known}", operation.name()))
                }
                None => astray.push(format!("{side}, {}: {count}, not recorded", operation.name())),
            }
        }
        let [tenantry, baseline] = counts;
        table.row([
            operation.name().to_owned(),
            tenantry.to_string(),
            baseline.to_string(),
            format!("{:.2}", tenantry as f64 / baseline as f64),
        ]);
    }
    print!("{}", table.text());
    if record {
        std::fs::write(FILE, lines).context("the counts cannot be recorded")?;
    } else if !astray.is_empty() {
        bail!(
            "more than {:.0} % from what is recorded (`--record` records anew):\n{}",
            TOLERANCE * 100.0,
            astray.join("\n")
        );
    }
    Ok(())
}

fn per_operation(side: &str, operation: Operation) -> Result<u64> {
    let (short, long) = (counted(side, operation, 40)?, counted(side, operation, 240)?);
    Ok((long.0 - short.0) / (long.1 - short.1))
}

/// Instructions of a whole run, and how many operations it did.
fn counted(side: &str, operation: Operation, scale: usize) -> Result<(u64, u64)> {
    // Of single reads a round has more.
    let inserts = if operation.writes() { scale * 5 } else { scale };
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(std::env::current_exe()?)
        .args(["count", side, operation.name(), &inserts.to_string()])
        .output()?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "the counted run failed:\n{errors}");
    let collected = errors
        .lines()
        .find_map(|line| line.split_once("Collected :")?.1.trim().parse().ok())
        .with_context(|| format!("valgrind said nothing of instructions:\n{errors}"))?;
    let steps = String::from_utf8_lossy(&output.stdout).trim().parse().context("no number of operations")?;
    Ok((collected, steps))
}

/// What is counted: one side and one operation, without turns.
pub(crate) fn count(side: &str, operation: &str, inserts: usize) -> Result<()> {
    let kind = sides::find(side).context("no such side")?;
    let operation =
        Operation::ALL.into_iter().find(|known| known.name() == operation).context("no such operation")?;
    let folder = tempfile::tempdir()?;
    let setup = Setup {
        side: side.to_owned(),
        folder: folder.path().to_owned(),
        tenants: TENANTS,
        durability: Durability::Full,
    };
    let mut contender = kind.start(&setup)?.contender.context("the side does not offer this durability")?;
    contender.load(ROWS, 1)?;
    let (_, steps) = contender.slice(Slice { operation, inserts, number: 0, of: 1 })?;
    println!("{steps}");
    Ok(())
}
