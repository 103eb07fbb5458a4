//! What can be chosen on the command line.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use clap::{Args, Parser, Subcommand, ValueEnum};
use work::Durability;

use crate::measure;
use crate::sides::{self, Kind};

/// Compares Tenantry with hand-written rusqlite and other ways to store the same rows, prints the
/// tables and writes docs/benchmarks.md with its plots.
#[derive(Debug, Parser)]
pub(crate) struct Command {
    #[command(subcommand)]
    pub(crate) other: Option<Other>,
    #[command(flatten)]
    pub(crate) options: Options,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Other {
    /// The same few operations with more and more tenants and rows; writes
    /// docs/benchmarks-scale.md
    Scale(Scale),
    /// Instructions per operation, counted by valgrind, compared with the recorded ones
    Instructions {
        /// Record the counts in place of the old ones
        #[arg(long)]
        record: bool,
    },
    /// Tenants' own SQL by the same SQL by hand; writes docs/benchmarks-sql.md
    Sql(Sql),
    /// What `instructions` counts
    #[command(hide = true)]
    Count { side: String, operation: String, inserts: usize },
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Options {
    /// Small sizes and few rounds: a smoke run, whose numbers mean little and are not written
    #[arg(long)]
    pub(crate) quick: bool,
    /// Only the operation of this name
    #[arg(long)]
    only: Option<String>,
    /// Only this side; can be repeated. Ratios need "rusqlite" among them
    #[arg(long = "side")]
    sides: Vec<String>,
    /// Tenants [default: 50]
    #[arg(long)]
    tenants: Option<usize>,
    /// Rows of each tenant [default: 1000]
    #[arg(long)]
    rows: Option<usize>,
    /// Rounds; in each of them every operation is measured once on every side [default: 5]
    #[arg(long)]
    rounds: Option<usize>,
    /// Inserts in a round, one at a time; other operations in proportion [default: 200]
    #[arg(long)]
    inserts: Option<usize>,
    /// Milliseconds for which threads run in a round [default: 500]
    #[arg(long)]
    window: Option<u64>,
    /// Numbers of threads
    #[arg(long, value_delimiter = ',', default_values_t = [1, 4, 16])]
    threads: Vec<usize>,
    /// What an answered write survives
    #[arg(long, value_enum, default_value_t = Durabilities::Both)]
    durability: Durabilities,
    /// Folder for the data files [default: the system's temporary folder]
    #[arg(long)]
    pub(crate) dir: Option<PathBuf>,
    /// Folder for the report and its plots [default: the project's docs, and none if --quick]
    #[arg(long)]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Scale {
    /// Rows in all, for the largest sizes
    #[arg(long, default_value_t = 1_000_000)]
    pub(crate) rows: usize,
    /// Rounds
    #[arg(long, default_value_t = 5)]
    pub(crate) rounds: usize,
    /// Inserts in a round; other operations in proportion
    #[arg(long, default_value_t = 200)]
    pub(crate) inserts: usize,
    /// A side; can be repeated [default: tenantry and rusqlite]
    #[arg(long = "side")]
    sides: Vec<String>,
    /// Folder for the data files [default: the system's temporary folder]
    #[arg(long)]
    pub(crate) dir: Option<PathBuf>,
    /// Folder for the report and its plots [default: the project's docs]
    #[arg(long)]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Sql {
    /// Rounds
    #[arg(long, default_value_t = 7)]
    pub(crate) rounds: usize,
    /// Rows of the largest tenant; another one has a tenth
    #[arg(long, default_value_t = 100_000)]
    pub(crate) rows: usize,
    /// Folder for the data file [default: the system's temporary folder]
    #[arg(long)]
    pub(crate) dir: Option<PathBuf>,
    /// Folder for the report [default: the project's docs]
    #[arg(long)]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Durabilities {
    Full,
    Normal,
    Both,
}

/// What a run does: the options with nothing left open.
pub(crate) struct Settings {
    pub(crate) sides: Vec<&'static Kind>,
    pub(crate) only: Option<String>,
    pub(crate) tenants: usize,
    pub(crate) rows: usize,
    pub(crate) rounds: usize,
    pub(crate) inserts: usize,
    pub(crate) window: Duration,
    pub(crate) threads: Vec<usize>,
    pub(crate) durabilities: Vec<Durability>,
}

impl Settings {
    /// Whether an operation is to be measured.
    pub(crate) fn wants(&self, name: &str) -> bool {
        self.only.as_ref().is_none_or(|only| only == name)
    }
}

impl Options {
    pub(crate) fn settings(&self) -> Result<Settings> {
        let or =
            |chosen: Option<usize>, quick, normal| chosen.unwrap_or(if self.quick { quick } else { normal });
        let settings = Settings {
            sides: find(&self.sides)?,
            only: self.only.clone(),
            tenants: or(self.tenants, 16, 50),
            rows: or(self.rows, 100, 1_000),
            rounds: or(self.rounds, 2, 5),
            inserts: or(self.inserts, 40, 200),
            window: Duration::from_millis(self.window.unwrap_or(if self.quick { 50 } else { 500 })),
            threads: self.threads.clone(),
            durabilities: match self.durability {
                Durabilities::Full => vec![Durability::Full],
                Durabilities::Normal => vec![Durability::Normal],
                Durabilities::Both => vec![Durability::Full, Durability::Normal],
            },
        };
        let most = settings.threads.iter().copied().max().unwrap_or(0);
        ensure!(most > 0, "--threads needs numbers above 0");
        ensure!(settings.rounds > 0 && settings.rows > 0, "--rounds and --rows need numbers above 0");
        if let Some(only) = &self.only {
            let names = measure::names(&settings);
            ensure!(names.contains(only), "--only: there is no {only:?}, but {}", names.join("; "));
        }
        let needed = measure::tenants_needed(&settings);
        ensure!(
            settings.tenants >= needed,
            "--tenants: at least {needed} are needed, since each thread works for tenants of its own"
        );
        Ok(settings)
    }
}

impl Scale {
    pub(crate) fn sides(&self) -> Result<Vec<&'static Kind>> {
        if self.sides.is_empty() {
            return find(&[sides::TENANTRY.to_owned(), sides::BASELINE.to_owned()]);
        }
        find(&self.sides)
    }
}

/// The sides of these names, in the order of the tables; all if there are none.
fn find(names: &[String]) -> Result<Vec<&'static Kind>> {
    for name in names {
        if sides::find(name).is_none() {
            let known: Vec<&str> = sides::ALL.iter().map(|kind| kind.name).collect();
            bail!("--side: there is no {name:?}, but {}", known.join(", "));
        }
    }
    Ok(sides::ALL
        .iter()
        .filter(|kind| names.is_empty() || names.iter().any(|name| name == kind.name))
        .collect())
}
