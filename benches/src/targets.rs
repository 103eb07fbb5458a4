//! What Tenantry is to reach, and what this run says of it.

use std::fmt::Write as _;

use work::operation::SCOPE;
use work::window::{Traffic, Window};
use work::{Durability, Operation};

use crate::measure::{Section, Spread, Windows};
use crate::report::{Table, number, ratio};
use crate::sides::{BASELINE, Kind, POOL, TENANTRY};

/// From here on a ratio to another side is level with it.
const LEVEL: f64 = 0.95;

pub(crate) enum Wanted {
    Level,
    AtLeast(f64),
    AtMost(f64),
}

impl Wanted {
    pub(crate) fn text(&self) -> String {
        match self {
            Wanted::Level => "level".to_owned(),
            Wanted::AtLeast(bound) => format!("≥ {bound}"),
            Wanted::AtMost(bound) => format!("≤ {bound}"),
        }
    }

    fn verdict(&self, measured: f64) -> &'static str {
        let met = match self {
            Wanted::Level => measured >= LEVEL,
            Wanted::AtLeast(bound) => measured >= *bound,
            Wanted::AtMost(bound) => measured <= *bound,
        };
        if met { "met" } else { "**missed**" }
    }
}

/// Whether a figure is what is wanted.
pub(crate) fn of_ratio(wanted: &Wanted, measured: f64) -> &'static str {
    wanted.verdict(measured)
}

/// The targets of one durability that were measured: what, wanted, measured.
fn targets(section: &Section) -> Vec<(String, Wanted, Spread)> {
    let (Some(tenantry), Some(baseline)) = (section.side(TENANTRY), section.baseline()) else {
        return Vec::new();
    };
    let full = section.durability == Durability::Full;
    let mut targets = Vec::new();
    let mut add = |what: String, wanted: Wanted, measured: Option<Spread>| {
        targets.extend(measured.map(|measured| (what, wanted, measured)));
    };
    let micros = |operation: Operation, side: usize| {
        let single = section.single.iter().find(|single| single.operation == operation);
        single.map(|single| single.micros[side].clone()).unwrap_or_default()
    };
    for operation in [Operation::Insert, Operation::Update, Operation::Delete, Operation::InsertMany] {
        let bulk = operation == Operation::InsertMany;
        let wanted = if full || bulk { Wanted::Level } else { Wanted::AtLeast(1.5) };
        let speeds = Spread::of_ratios(&micros(operation, baseline), &micros(operation, tenantry));
        add(format!("{}, 1 thread: throughput", operation.name()), wanted, speeds);
    }
    for windows in &section.windows {
        let Windows { name, plan, rounds } = windows;
        let of = |side: usize, value: fn(&Window) -> f64| rounds[side].iter().map(value).collect::<Vec<_>>();
        let throughput =
            |other| Spread::of_ratios(&of(tenantry, Window::throughput), &of(other, Window::throughput));
        match (plan.traffic, plan.threads) {
            (Traffic::Insert, 4) if full => {
                add(format!("{name}: throughput"), Wanted::AtLeast(2.0), throughput(baseline));
            }
            (Traffic::Insert, 16) => {
                if full {
                    add(format!("{name}: throughput"), Wanted::AtLeast(3.5), throughput(baseline));
                    let pool = section.side(POOL).and_then(throughput);
                    add(format!("{name}: throughput by that of `{POOL}`"), Wanted::AtLeast(8.0), pool);
                }
                let p99 = |window: &Window| window.latencies[0].micros(0.99);
                let longer = Spread::of_ratios(&of(tenantry, p99), &of(baseline, p99));
                add(format!("{name}: p99"), Wanted::AtMost(0.5), longer);
                let fairness = Spread::of(of(tenantry, Window::fairness));
                add(format!("{name}: slowest thread by fastest"), Wanted::AtLeast(0.9), fairness);
            }
            (Traffic::Neighbours, 2..) => {
                for (kind, what) in plan.traffic.kinds().iter().enumerate() {
                    let longer = section.beside_alone(windows, tenantry, kind, 0.99);
                    let what = format!("a light tenant's {what} beside a flood: p99 by that alone");
                    add(what, Wanted::AtMost(3.0), longer);
                }
            }
            _ => {}
        }
    }
    for (operation, most) in [(Operation::Get, 1.1), (Operation::Newest, 0.6), (Operation::Scan, 0.25)] {
        let longer = Spread::of_ratios(&micros(operation, tenantry), &micros(operation, baseline));
        add(format!("{}: time", operation.name()), Wanted::AtMost(most), longer);
    }
    let one: Vec<f64> = micros(Operation::Gets, tenantry).iter().map(|all| all / SCOPE as f64).collect();
    let longer = Spread::of_ratios(&one, &micros(Operation::Get, baseline));
    add(
        format!("one of {}: time by that of a get alone", Operation::Gets.name()),
        Wanted::AtMost(0.8),
        longer,
    );
    add("count: µs".to_owned(), Wanted::AtMost(2.0), Spread::of(micros(Operation::Count, tenantry)));
    targets
}

/// For each measured row of a section, a number of each side in each round: more is better.
fn speeds(section: &Section) -> Vec<(String, Vec<Vec<f64>>)> {
    let mut speeds = Vec::new();
    for single in &section.single {
        let of = |micros: &Vec<f64>| micros.iter().map(|micros| 1.0 / micros).collect();
        speeds.push((single.operation.name().to_owned(), single.micros.iter().map(of).collect()));
    }
    for Windows { name, plan, rounds } in &section.windows {
        let (name, value): (_, fn(&Window) -> f64) = match plan.traffic {
            Traffic::Insert | Traffic::Mixed => (name.clone(), Window::throughput),
            Traffic::Neighbours if plan.threads == 1 => continue,
            Traffic::Neighbours => ("a light tenant's insert beside a flood: p99".to_owned(), |window| {
                1.0 / window.latencies[0].micros(0.99)
            }),
        };
        speeds.push((name, rounds.iter().map(|rounds| rounds.iter().map(value).collect()).collect()));
    }
    speeds
}

/// Tenantry by each other side that does the same work.
fn peers(section: &Section) -> String {
    let Some(tenantry) = section.side(TENANTRY) else { return String::new() };
    let is_peer = |(_, kind): &(usize, &&'static Kind)| kind.audited && kind.name != TENANTRY;
    let peers: Vec<_> = section.sides.iter().enumerate().filter(is_peer).collect();
    let mut table = Table::new(std::iter::once("").chain(peers.iter().map(|(_, kind)| kind.name)));
    let (mut cells, mut misses, mut missed) = (0, 0, Vec::new());
    for (name, speeds) in speeds(section) {
        let ahead =
            |side: usize| Spread::of_ratios(&speeds[tenantry], &speeds[side]).map(|ahead| ahead.median);
        let (mut row, mut behind) = (vec![name.clone()], Vec::new());
        for (side, kind) in &peers {
            let Some(same) = ahead(*side) else { continue };
            cells += 1;
            let mut cell = number(same);
            if same < LEVEL {
                behind.push(kind.name);
                cell.push_str(" missed");
            }
            if let Some(plain) = section.side(&kind.plain()).and_then(ahead) {
                let _ = write!(cell, " ({})", number(plain));
            }
            row.push(cell);
        }
        table.row(row);
        if !behind.is_empty() {
            misses += behind.len();
            missed.push(format!("{name} ({})", behind.join(", ")));
        }
    }
    let behind = if missed.is_empty() { String::new() } else { format!("; missed: {}", missed.join("; ")) };
    format!(
        "How many times faster `{TENANTRY}` is than each side that writes the same audit entry, and in brackets \
         than that side without one. Level or ahead ({LEVEL} or more) in {} of {cells}{behind}.\n\n{}",
        cells - misses,
        table.text()
    )
}

/// Both, of all sections.
pub(crate) fn text(sections: &[Section]) -> String {
    let compared = |section: &&Section| !section.variants && section.baseline().is_some();
    let compared: Vec<&Section> =
        sections.iter().filter(compared).filter(|section| section.side(TENANTRY).is_some()).collect();
    if compared.is_empty() {
        return String::new();
    }
    let mut text = format!(
        "## Targets\n\nAgainst `{BASELINE}` where nothing else is named; level is {LEVEL} or more. Median of the \
         rounds (smallest to largest).\n"
    );
    for section in compared {
        let mut table = Table::new(["", "target", "measured", "verdict"]);
        for (what, wanted, measured) in targets(section) {
            let verdict = wanted.verdict(measured.median).to_owned();
            table.row([what, wanted.text(), ratio(Some(measured)), verdict]);
        }
        let durability = section.durability.pragma();
        let _ = write!(text, "\n### `synchronous={durability}`\n\n{}\n{}", table.text(), peers(section));
    }
    text
}
