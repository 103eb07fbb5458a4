//! Runs the sides in turns and keeps what was measured.
//!
//! All sides run within one run of the program and in small turns, so that what else the machine
//! does meets all of them. A ratio is taken within a round, and the tables show the median of the
//! rounds' ratios with the smallest and the largest.
//!
//! A result is one only if the work was the same: after the single operations, and again at the
//! end, every side must hold the same rows, in the same order, and the audited ones as many
//! entries with payloads of the same length.

use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use work::contender::{Slice, Totals};
use work::task::Dice;
use work::window::{Plan, Traffic, Window};
use work::{Durability, Operation, Run, Setup};

use crate::options::Settings;
use crate::sides::{BASELINE, Kind, TENANTRY};

/// Turns of a side within a round of single operations.
const SLICES: usize = 20;
/// Rows of a tenant that are loaded in turn in the scale run, where one would take too long.
pub(crate) const FEW: usize = 4;
/// How many times as many operations a round has where commits do not wait for the disk: enough for
/// several checkpoints.
pub(crate) const MORE: usize = 5;
/// Threads that flood a tenant beside the light one.
const FLOOD: usize = 8;
const NEIGHBOURS: &str = "noisy neighbour";

/// What was measured at one durability.
pub(crate) struct Section {
    pub(crate) durability: Durability,
    /// Whether it is about Tenantry with other settings.
    pub(crate) variants: bool,
    pub(crate) sides: Vec<&'static Kind>,
    /// Sides that do not offer this durability.
    pub(crate) missing: Vec<&'static Kind>,
    pub(crate) single: Vec<Single>,
    pub(crate) windows: Vec<Windows>,
    /// Versions of what lives in other programs.
    pub(crate) versions: Vec<(String, String)>,
}

/// An operation, one at a time.
pub(crate) struct Single {
    pub(crate) operation: Operation,
    /// Microseconds per operation, of each side in each round.
    pub(crate) micros: Vec<Vec<f64>>,
}

/// Several threads for a fixed time.
pub(crate) struct Windows {
    pub(crate) name: String,
    pub(crate) plan: Plan,
    /// Of each side in each round.
    pub(crate) rounds: Vec<Vec<Window>>,
}

/// A median with the smallest and the largest number.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
}

/// The median alone.
pub(crate) fn median(numbers: impl IntoIterator<Item = f64>) -> f64 {
    Spread::of(numbers).map_or(f64::NAN, |spread| spread.median)
}

impl Spread {
    pub(crate) fn of(numbers: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut numbers: Vec<f64> = numbers.into_iter().collect();
        numbers.sort_by(f64::total_cmp);
        Some(Self {
            median: *numbers.get(numbers.len() / 2)?,
            least: *numbers.first()?,
            most: *numbers.last()?,
        })
    }

    /// Of the ratios of one side's numbers to another's, round by round.
    pub(crate) fn of_ratios(numbers: &[f64], others: &[f64]) -> Option<Self> {
        Self::of(numbers.iter().zip(others).map(|(number, other)| number / other))
    }
}

impl Section {
    /// The place of a side.
    pub(crate) fn side(&self, name: &str) -> Option<usize> {
        self.sides.iter().position(|kind| kind.name == name)
    }

    /// The side that ratios are to.
    pub(crate) fn baseline_name(&self) -> &'static str {
        if self.variants { TENANTRY } else { BASELINE }
    }

    /// Its place.
    pub(crate) fn baseline(&self) -> Option<usize> {
        self.side(self.baseline_name())
    }

    /// The light tenant without a flood.
    pub(crate) fn alone(&self) -> Option<&Windows> {
        let is_alone = |plan: &Plan| plan.traffic == Traffic::Neighbours && plan.threads == 1;
        self.windows.iter().find(|windows| is_alone(&windows.plan))
    }

    /// A latency of the light tenant beside a flood by that alone.
    pub(crate) fn beside_alone(
        &self,
        beside: &Windows,
        side: usize,
        kind: usize,
        quantile: f64,
    ) -> Option<Spread> {
        let alone = self.alone()?.latencies(side, kind, quantile);
        Spread::of_ratios(&beside.latencies(side, kind, quantile), &alone)
    }
}

impl Windows {
    /// A latency of a side in each round, in microseconds.
    pub(crate) fn latencies(&self, side: usize, kind: usize, quantile: f64) -> Vec<f64> {
        self.rounds[side].iter().map(|window| window.latencies[kind].micros(quantile)).collect()
    }
}

/// The names of all operations of a run.
pub(crate) fn names(settings: &Settings) -> Vec<String> {
    let single = Operation::ALL.iter().map(|operation| operation.name().to_owned());
    let windows = windows(settings, false).into_iter().map(|(name, _)| name);
    let mut names: Vec<String> = single.chain(windows).collect();
    names.dedup();
    names
}

/// How many tenants the operations need that were chosen.
pub(crate) fn tenants_needed(settings: &Settings) -> usize {
    let windows = windows(settings, false).into_iter().filter(|(name, _)| settings.wants(name));
    windows.map(|(_, plan)| plan.tenants()).max().unwrap_or(1)
}

fn operations(variants: bool) -> Vec<Operation> {
    if variants {
        return vec![Operation::Insert, Operation::Get, Operation::GetAgain];
    }
    Operation::ALL.into_iter().filter(|operation| *operation != Operation::GetAgain).collect()
}

fn windows(settings: &Settings, variants: bool) -> Vec<(String, Plan)> {
    let name = |what: &str, threads| match threads {
        1 => format!("{what}, 1 thread"),
        _ => format!("{what}, {threads} threads"),
    };
    let plan = |traffic, threads, time| Plan { traffic, threads, time };
    let insert =
        |threads: &usize| (name("insert", *threads), plan(Traffic::Insert, *threads, settings.window));
    let most = settings.threads.iter().max();
    if variants {
        return most.map(insert).into_iter().collect();
    }
    let mut windows: Vec<(String, Plan)> = settings.threads.iter().map(insert).collect();
    if let Some(most) = most {
        windows.push((name("mixed", *most), plan(Traffic::Mixed, *most, settings.window)));
    }
    // The light tenant does little: it needs longer.
    for threads in [1, 1 + FLOOD] {
        windows.push((NEIGHBOURS.to_owned(), plan(Traffic::Neighbours, threads, settings.window * 2)));
    }
    windows
}

/// Sides that run, with where they are in the tables.
struct Field {
    kinds: Vec<&'static Kind>,
    contenders: Vec<Box<dyn Run>>,
    missing: Vec<&'static Kind>,
    versions: Vec<(String, String)>,
    dice: Dice,
}

impl Field {
    fn start(sides: &[&'static Kind], setup: &Setup) -> Result<Self> {
        let mut field = Self {
            kinds: Vec::new(),
            contenders: Vec::new(),
            missing: Vec::new(),
            versions: Vec::new(),
            dice: Dice::new(&[2]),
        };
        for kind in sides {
            let folder = setup.folder.join(kind.name);
            std::fs::create_dir(&folder)?;
            let started = kind
                .start(&Setup { side: kind.name.to_owned(), folder, ..setup.clone() })
                .with_context(|| format!("{} cannot be made", kind.name))?;
            match started.contender {
                Some(contender) => {
                    field.kinds.push(kind);
                    field.contenders.push(contender);
                }
                None => field.missing.push(kind),
            }
            for version in started.versions {
                if !field.versions.contains(&version) {
                    field.versions.push(version);
                }
            }
        }
        Ok(field)
    }

    /// Calls every side once, in an order that is drawn anew each time: none is always the one that
    /// follows another's work in the background.
    fn each<R>(&mut self, mut call: impl FnMut(&mut dyn Run) -> Result<R>) -> Result<Vec<(usize, R)>> {
        let mut order: Vec<usize> = (0..self.contenders.len()).collect();
        order.sort_by_cached_key(|_| self.dice.roll(usize::MAX));
        order
            .into_iter()
            .map(|side| {
                let result = call(&mut *self.contenders[side])
                    .with_context(|| format!("{} has failed", self.kinds[side].name))?;
                Ok((side, result))
            })
            .collect()
    }

    /// Calls all sides at the same time, for what is not timed.
    fn at_once<R: Send>(&mut self, call: impl Fn(&mut dyn Run) -> Result<R> + Sync) -> Result<Vec<R>> {
        let call = &call;
        thread::scope(|scope| {
            let contenders = self.contenders.iter_mut();
            let running: Vec<_> =
                contenders.map(|contender| scope.spawn(move || call(&mut **contender))).collect();
            let sides = running.into_iter().zip(&self.kinds);
            sides
                .map(|(thread, kind)| {
                    let result = thread.join().map_err(|_| anyhow!("a thread panicked"))?;
                    result.with_context(|| format!("{} has failed", kind.name))
                })
                .collect()
        })
    }

    /// One round of single operations: microseconds per operation of each side.
    fn round(&mut self, operation: Operation, inserts: usize) -> Result<Vec<f64>> {
        let mut taken = vec![(Duration::ZERO, 0); self.contenders.len()];
        for number in 0..SLICES {
            let slice = Slice { operation, inserts, number, of: SLICES };
            for (side, (time, steps)) in self.each(|contender| contender.slice(slice))? {
                taken[side].0 += time;
                taken[side].1 += steps;
            }
        }
        Ok(taken.into_iter().map(|(time, steps)| time.as_secs_f64() * 1e6 / steps as f64).collect())
    }

    /// All sides must hold the same. Once threads have run for a fixed time, faster sides have
    /// more entries: then each has been compared with its own answers only.
    fn compare(&mut self, same_entries: bool) -> Result<Totals> {
        let totals = self.at_once(|contender| contender.totals())?;
        let Some(first) = totals.first().cloned() else { anyhow::bail!("no side offers this durability") };
        let mut audit = None;
        for (kind, totals) in self.kinds.iter().zip(totals) {
            let name = kind.name;
            ensure!(
                (totals.rows, &totals.digest) == (first.rows, &first.digest),
                "{} and {name} hold different rows",
                self.kinds[0].name
            );
            ensure!(totals.audit.is_some() == kind.audited, "{name} has no audit log, or one too many");
            if let Some(totals) = totals.audit {
                let expected = *audit.get_or_insert(totals);
                let same = if same_entries { totals == expected } else { totals.bytes == expected.bytes };
                ensure!(same, "the audited work of {name} differs: {totals:?} and {expected:?}");
            }
        }
        Ok(first)
    }
}

/// Measures everything at one durability, or a little of Tenantry's variants; none if nothing of
/// it was chosen. Reads are the same at each durability.
pub(crate) fn section(
    settings: &Settings,
    durability: Durability,
    variants: bool,
    reads: bool,
    folder: &Path,
) -> Result<Option<Section>> {
    let takes_part = |kind: &&&'static Kind| match variants {
        true => kind.variant || [TENANTRY, BASELINE].contains(&kind.name),
        false => !kind.variant,
    };
    let sides: Vec<&'static Kind> = settings.sides.iter().filter(takes_part).copied().collect();
    let mut operations = operations(variants);
    operations.retain(|operation| settings.wants(operation.name()) && (reads || operation.writes()));
    let mut windows = windows(settings, variants);
    windows.retain(|(name, _)| settings.wants(name));
    if sides.iter().all(|kind| kind.variant != variants) || operations.is_empty() && windows.is_empty() {
        return Ok(None);
    }
    let folder = tempfile::tempdir_in(folder)?;
    let mut field = Field::start(&sides, &setup(&folder, settings.tenants, durability))?;
    let sides = field.kinds.len();
    let mut section = Section {
        durability,
        variants,
        sides: field.kinds.clone(),
        missing: field.missing.clone(),
        single: operations
            .into_iter()
            .map(|operation| Single { operation, micros: vec![Vec::new(); sides] })
            .collect(),
        windows: windows
            .into_iter()
            .map(|(name, plan)| Windows { name, plan, rounds: vec![Vec::new(); sides] })
            .collect(),
        versions: field.versions.clone(),
    };
    if sides == 0 {
        return Ok(Some(section));
    }
    let inserts = match durability {
        Durability::Full => settings.inserts,
        Durability::Normal => settings.inserts * MORE,
    };
    eprintln!("{durability:?}: {sides} sides, loading {} rows each", settings.tenants * settings.rows);
    field.at_once(|contender| contender.load(settings.rows, 1))?;
    // The first round only warms up.
    for round in 0..=settings.rounds {
        eprintln!("{durability:?}: single operations, round {round} of {}", settings.rounds);
        for Single { operation, micros } in &mut section.single {
            for (side, taken) in field.round(*operation, inserts)?.into_iter().enumerate() {
                if round > 0 {
                    micros[side].push(taken);
                }
            }
        }
    }
    field.compare(true)?;
    for round in 0..if section.windows.is_empty() { 0 } else { settings.rounds } {
        eprintln!("{durability:?}: threads, round {} of {}", round + 1, settings.rounds);
        for Windows { plan, rounds, .. } in &mut section.windows {
            for (side, window) in field.each(|contender| contender.window(*plan))? {
                rounds[side].push(window);
            }
        }
    }
    let totals = field.compare(false)?;
    eprintln!("{durability:?}: all sides hold the same {} rows", totals.rows);
    Ok(Some(section))
}

fn setup(folder: &tempfile::TempDir, tenants: usize, durability: Durability) -> Setup {
    Setup { side: String::new(), folder: folder.path().to_owned(), tenants, durability }
}

/// One size of the scale run: microseconds per operation, of each side in each round.
pub(crate) struct Size {
    pub(crate) tenants: usize,
    /// Of each tenant.
    pub(crate) rows: usize,
    pub(crate) single: Vec<Single>,
}

impl Size {
    /// Microseconds of an operation on a side, median of the rounds.
    pub(crate) fn micros(&self, operation: usize, side: usize) -> f64 {
        median(self.single[operation].micros[side].iter().copied())
    }
}

/// Sizes of which one quantity grows.
pub(crate) struct Curve<'s> {
    pub(crate) file: &'static str,
    pub(crate) title: &'static str,
    pub(crate) sizes: Vec<&'s Size>,
    /// That quantity.
    pub(crate) place: fn(&Size) -> usize,
}

/// The scale run's two questions.
pub(crate) fn curves(sizes: &[Size]) -> Vec<Curve<'_>> {
    let most = sizes.iter().map(|size| size.tenants * size.rows).max().unwrap_or(0);
    let by_tenants = sizes.iter().filter(|size| size.tenants * size.rows == most).collect();
    let by_rows = sizes.iter().filter(|size| size.tenants == 1).collect();
    let mut curves = vec![
        Curve {
            file: "scale-tenants.svg",
            title: "The same rows in more and more tenants",
            sizes: by_tenants,
            place: |size| size.tenants,
        },
        Curve {
            file: "scale-rows.svg",
            title: "One tenant with more and more rows",
            sizes: by_rows,
            place: |size| size.rows,
        },
    ];
    for Curve { sizes, place, .. } in &mut curves {
        sizes.sort_by_key(|size| place(size));
    }
    curves.retain(|curve| curve.sizes.len() > 1);
    curves
}

/// Measures a few operations at one size.
pub(crate) fn size(
    sides: &[&'static Kind],
    tenants: usize,
    rows: usize,
    (rounds, inserts): (usize, usize),
    folder: &Path,
) -> Result<Size> {
    let folder = tempfile::tempdir_in(folder)?;
    eprintln!("{tenants} tenants with {rows} rows each: loading");
    let mut field = Field::start(sides, &setup(&folder, tenants, Durability::Full))?;
    field.at_once(|contender| contender.load(rows, FEW))?;
    let operations = [Operation::Insert, Operation::Get, Operation::Newest, Operation::Count];
    let mut single = operations.map(|operation| Single { operation, micros: vec![Vec::new(); sides.len()] });
    for round in 0..=rounds {
        eprintln!("{tenants} tenants with {rows} rows each: round {round} of {rounds}");
        for Single { operation, micros } in &mut single {
            for (side, taken) in field.round(*operation, inserts)?.into_iter().enumerate() {
                if round > 0 {
                    micros[side].push(taken);
                }
            }
        }
    }
    field.compare(true)?;
    Ok(Size { tenants, rows, single: single.into() })
}
