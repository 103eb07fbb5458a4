//! The tables: Markdown that reads well in a terminal too.

use std::fmt::Write as _;

use work::Durability;
use work::window::Traffic;

use crate::measure::{Curve, Section, Single, Size, Spread, Windows, curves, median};
use crate::sides::{BASELINE, Kind, TENANTRY};

/// A table whose columns are padded to one width.
pub(crate) struct Table(Vec<Vec<String>>);

impl Table {
    pub(crate) fn new<T: Into<String>>(head: impl IntoIterator<Item = T>) -> Self {
        Self(vec![head.into_iter().map(Into::into).collect()])
    }

    pub(crate) fn row<T: Into<String>>(&mut self, cells: impl IntoIterator<Item = T>) {
        self.0.push(cells.into_iter().map(Into::into).collect());
    }

    pub(crate) fn text(&self) -> String {
        let columns = 0..self.0[0].len();
        let width = |column: usize| self.0.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = columns.clone().map(width).collect();
        // Numbers stand to the right.
        let is_number = |cell: &str| cell.starts_with(|first: char| first.is_ascii_digit() || first == '–');
        let numbers: Vec<bool> =
            columns.map(|column| self.0[1..].iter().all(|row| is_number(&row[column]))).collect();
        let mut text = String::new();
        for (line, row) in self.0.iter().enumerate() {
            for ((cell, width), number) in row.iter().zip(&widths).zip(&numbers) {
                let space = " ".repeat(width - cell.chars().count());
                let (before, after) = if *number { (&*space, "") } else { ("", &*space) };
                let _ = write!(text, "| {before}{cell}{after} ");
            }
            text.push_str("|\n");
            if line == 0 {
                for (width, number) in widths.iter().zip(&numbers) {
                    let end = if *number { ':' } else { '-' };
                    let _ = write!(text, "| {}{end} ", "-".repeat(width.saturating_sub(1)));
                }
                text.push_str("|\n");
            }
        }
        text
    }
}

/// A list of names and values.
pub(crate) fn facts(facts: &[(String, String)]) -> String {
    facts.iter().fold(String::new(), |text, (name, value)| text + &format!("- {name}: {value}\n"))
}

/// Three digits that matter.
pub(crate) fn number(value: f64) -> String {
    match value {
        value if value >= 1_000.0 => whole(value.round() as usize),
        value if value >= 100.0 => format!("{value:.0}"),
        value if value >= 10.0 => format!("{value:.1}"),
        value => format!("{value:.2}"),
    }
}

/// How tenants' own SQL is compared.
pub(crate) fn sql_method() -> &'static str {
    "The same statements through `session.sql` and by hand, with `_tenant = ?` for each table, on a bare read-only connection \
     with the same settings to the same file, which holds ten more tenants; slices in turn, one thread. Statements stay \
     prepared on both sides, unless each has another text.\n"
}

pub(crate) fn whole(value: usize) -> String {
    let digits = value.to_string();
    let groups = digits.as_bytes().rchunks(3).rev();
    groups.filter_map(|group| std::str::from_utf8(group).ok()).collect::<Vec<_>>().join(",")
}

pub(crate) fn ratio(spread: Option<Spread>) -> String {
    spread.map_or_else(
        || "–".to_owned(),
        |Spread { median, least, most }| {
            format!("{} ({} to {})", number(median), number(least), number(most))
        },
    )
}

/// Everything that was measured at one durability.
pub(crate) fn section(section: &Section) -> String {
    let durability = match section.durability {
        Durability::Full => "Every commit synced to disk (`synchronous=FULL`)",
        Durability::Normal => "Commits that survive a kill of the process (`synchronous=NORMAL`)",
    };
    let subject = if section.variants { ": settings of Tenantry" } else { "" };
    let mut text = format!("## {durability}{subject}\n");
    if !section.missing.is_empty() {
        let names: Vec<&str> = section.missing.iter().map(|kind| kind.name).collect();
        let names = names.join(", ");
        let _ = write!(
            text,
            "\nNot here, since their commits wait for the disk or do not survive a kill: {names}.\n"
        );
    }
    if section.sides.is_empty() {
        return text;
    }
    if !section.single.is_empty() {
        text.push_str("\n### One thread, one operation at a time\n");
        text.push_str(&single(section));
    }
    for windows in &section.windows {
        match windows.plan.traffic {
            Traffic::Neighbours if windows.plan.threads == 1 => {}
            Traffic::Neighbours => text.push_str(&neighbours(section, windows)),
            Traffic::Insert | Traffic::Mixed => text.push_str(&threads(section, windows)),
        }
    }
    text
}

fn single(section: &Section) -> String {
    let baseline = section.baseline();
    let head = || std::iter::once("").chain(section.single.iter().map(|single| single.operation.name()));
    let row = |side: usize, cell: &dyn Fn(&Single) -> String| {
        let name = section.sides[side].name.to_owned();
        std::iter::once(name).chain(section.single.iter().map(cell)).collect::<Vec<_>>()
    };
    let mut text = String::new();
    if let Some(baseline) = baseline {
        let mut ratios = Table::new(head());
        for side in (0..section.sides.len()).filter(|side| *side != baseline) {
            ratios.row(row(side, &|single| {
                ratio(Spread::of_ratios(&single.micros[side], &single.micros[baseline]))
            }));
        }
        let _ = write!(
            text,
            "\nTime by the time of `{}`: **below 1 is faster**. Median of the rounds (smallest to largest).\n\n{}",
            section.baseline_name(),
            ratios.text()
        );
    }
    let mut micros = Table::new(head());
    for side in 0..section.sides.len() {
        micros.row(row(side, &|single| number(median(single.micros[side].iter().copied()))));
    }
    let _ = write!(text, "\nMicroseconds per operation, median of the rounds.\n\n{}", micros.text());
    text
}

/// A latency, in microseconds: the median over the rounds, so that one bad moment of the machine
/// does not stand for all.
fn latency(windows: &Windows, side: usize, kind: usize, quantile: f64) -> f64 {
    median(windows.latencies(side, kind, quantile))
}

fn worst(windows: &Windows, side: usize, kind: usize) -> f64 {
    windows.rounds[side].iter().map(|window| window.latencies[kind].micros(1.0)).fold(0.0, f64::max)
}

fn threads(section: &Section, windows: &Windows) -> String {
    let kinds = windows.plan.traffic.kinds();
    let mut head: Vec<String> =
        ["", "operations/s", "throughput ratio", "fairness"].map(str::to_owned).into();
    for kind in kinds {
        head.extend(["p50", "p99", "max"].map(|column| format!("{kind} {column}, µs")));
    }
    let mut table = Table::new(head);
    let throughputs = |side: usize| -> Vec<f64> {
        windows.rounds[side].iter().map(work::window::Window::throughput).collect()
    };
    for (side, kind) in section.sides.iter().enumerate() {
        let throughput = throughputs(side);
        let ratios =
            section.baseline().and_then(|baseline| Spread::of_ratios(&throughput, &throughputs(baseline)));
        let fairness = median(windows.rounds[side].iter().map(work::window::Window::fairness));
        let mut row =
            vec![kind.name.to_owned(), number(median(throughput)), ratio(ratios), format!("{fairness:.2}")];
        for kind in 0..kinds.len() {
            row.push(number(latency(windows, side, kind, 0.5)));
            row.push(number(latency(windows, side, kind, 0.99)));
            row.push(number(worst(windows, side, kind)));
        }
        table.row(row);
    }
    let name = capital(&windows.name);
    format!(
        "\n### {name}\n\nThroughput by that of `{}`: **above 1 is more**. Fairness: operations of the slowest \
         thread by those of the fastest.\n\n{}",
        section.baseline_name(),
        table.text()
    )
}

fn neighbours(section: &Section, beside: &Windows) -> String {
    let Some(alone) = section.alone() else { return String::new() };
    let kinds = beside.plan.traffic.kinds();
    let mut text = format!(
        "\n### {}\n\nA light tenant inserts and gets one row every 5 ms, alone, and beside another tenant that {} \
         threads flood with inserts. Latencies of the light tenant, and how many times longer they are beside \
         the flood.\n",
        capital(&beside.name),
        beside.plan.threads - 1
    );
    for (number_of_kind, kind) in kinds.iter().enumerate() {
        let mut table =
            Table::new(["", "p50 alone", "beside", "ratio", "p99 alone", "beside", "ratio"].map(|column| {
                if column == "p50 alone" { format!("{kind}, µs: {column}") } else { column.to_owned() }
            }));
        for (side, side_kind) in section.sides.iter().enumerate() {
            let mut row = vec![side_kind.name.to_owned()];
            for quantile in [0.5, 0.99] {
                row.push(number(latency(alone, side, number_of_kind, quantile)));
                row.push(number(latency(beside, side, number_of_kind, quantile)));
                row.push(ratio(section.beside_alone(beside, side, number_of_kind, quantile)));
            }
            table.row(row);
        }
        let _ = write!(text, "\n{}", table.text());
    }
    text
}

fn capital(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// The sides and what they are.
pub(crate) fn sides(kinds: &[&'static Kind]) -> String {
    let mut table = Table::new(["side", "what", "audit log, hash chain, kept counts"]);
    for kind in kinds {
        table.row([kind.name, kind.what, if kind.audited { "yes" } else { "no" }]);
    }
    table.text()
}

/// What a curve's last size costs by its first: 1 is flat.
fn growth(kinds: &[&'static Kind], sizes: &[Size]) -> String {
    let mut text = String::new();
    for Curve { title, sizes, .. } in curves(sizes) {
        let (Some(first), Some(last)) = (sizes.first(), sizes.last()) else { continue };
        let mut table = Table::new(std::iter::once("").chain(kinds.iter().map(|kind| kind.name)));
        for (operation, single) in first.single.iter().enumerate() {
            let grown = |side| number(last.micros(operation, side) / first.micros(operation, side));
            table.row(std::iter::once(single.operation.name().to_owned()).chain((0..kinds.len()).map(grown)));
        }
        let _ = write!(
            text,
            "\n## {title}\n\nTime at {} tenants × {} rows by that at {} × {}; 1 is flat.\n\n{}",
            whole(last.tenants),
            whole(last.rows),
            whole(first.tenants),
            whole(first.rows),
            table.text()
        );
    }
    text
}

/// The tables of the scale run.
pub(crate) fn sizes(kinds: &[&'static Kind], sizes: &[Size]) -> String {
    let baseline = kinds.iter().position(|kind| kind.name == BASELINE);
    let mut text = growth(kinds, sizes);
    let Some(first) = sizes.first() else { return text };
    for (number_of_operation, single) in first.single.iter().enumerate() {
        let mut head = vec!["tenants".to_owned(), "rows of each".to_owned()];
        head.extend(kinds.iter().map(|kind| format!("{}, µs", kind.name)));
        head.extend(
            kinds.iter().filter(|kind| kind.name != BASELINE).map(|kind| format!("{}, ratio", kind.name)),
        );
        let mut table = Table::new(head);
        for size in sizes {
            let micros = &size.single[number_of_operation].micros;
            let mut row = vec![whole(size.tenants), whole(size.rows)];
            row.extend((0..kinds.len()).map(|side| number(size.micros(number_of_operation, side))));
            for (side, _) in kinds.iter().enumerate().filter(|(_, kind)| kind.name != BASELINE) {
                row.push(ratio(
                    baseline.and_then(|baseline| Spread::of_ratios(&micros[side], &micros[baseline])),
                ));
            }
            table.row(row);
        }
        let _ = write!(text, "\n## {}\n\n{}", capital(single.operation.name()), table.text());
    }
    text
}

/// How the tables of the main run came about.
pub(crate) fn method() -> String {
    format!(
        "All sides do the same work on the same rows of about 200 bytes, made from the same seed: tasks with an \
         index for each tenant by status and time. Rows are loaded as they arrive in life, one of each tenant in \
         turn, so that those of one tenant lie together only where a side puts them together; peers load rows \
         of several tenants in one transaction, and Tenantry each row in one of its own.\n\n\
         The audited sides write, in the same transaction as the change, an audit entry with a hash \
         chain of its tenant and a payload of what was before and after, and keep the tenant's counts; their count reads a kept \
         number. The `-plain` sides do none of that, and stand beside them: `{TENANTRY}` always does it. Ratios are to `{BASELINE}`, \
         the same audited work written by hand, and among Tenantry's settings to `{TENANTRY}`.\n\n\
         The sides run in one run of the program and take turns in small slices, in an order drawn anew each time, so that what else the machine \
         does meets all of them. A ratio is taken within a round; the tables have the median of the rounds with the \
         smallest and the largest. Threads run for a fixed time, each for tenants of its own. Latencies are the median over \
         the rounds of each round's percentile; the maximum is that of all rounds. The run counts only if at the end all \
         sides hold the same rows in the same order, the audited ones entries for every answered write, and no \
         count differs from what was answered.\n\n\
         SQLx and SeaORM need another version of SQLite's bindings than Tenantry, and one program can link only \
         one. They run in a program of their own, which the runner starts and tells which slice comes next; the time is \
         taken there, by the same code. Their pools are called from plain threads that wait for the answer.\n\n\
         Tenantry's settings are compared in sections of their own. There, `get one of 200` reads a few rows again and \
         again, which the cache holds, and `get` any row, which it mostly does not.\n"
    )
}
