//! Plots, as SVG: bars for sides, curves for sizes.

use std::ops::Range;
use std::path::Path;

use anyhow::{Result, anyhow};
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use work::window::{Traffic, Window};

use crate::measure::{self, Curve, Section, Size, Spread};
use crate::sides::{BASELINE, Kind, TENANTRY};

type Canvas<'a> = DrawingArea<SVGBackend<'a>, Shift>;

const FONT: &str = "sans-serif";
const INK: RGBColor = RGBColor(40, 44, 52);
const PANEL_WIDTH: u32 = 460;
const BAR: i32 = 20;

/// A quantity of several sides.
struct Panel {
    title: String,
    bars: Vec<(&'static Kind, Spread)>,
}

fn color(kind: &Kind) -> RGBColor {
    match kind.name {
        TENANTRY => RGBColor(214, 90, 49),
        BASELINE => RGBColor(38, 84, 124),
        _ if kind.audited => RGBColor(132, 153, 173),
        _ => RGBColor(203, 211, 219),
    }
}

/// The plots of one durability; their file names and titles.
pub(crate) fn section(section: &Section, folder: &Path) -> Result<Vec<(String, String)>> {
    if section.variants {
        return Ok(Vec::new());
    }
    let suffix = section.durability.pragma().to_lowercase();
    let mut files = Vec::new();
    let mut add = |name: &str, title: &str, note: &str, panels: Vec<Panel>| -> Result<()> {
        let panels: Vec<Panel> = panels.into_iter().filter(|panel| !panel.bars.is_empty()).collect();
        if !panels.is_empty() {
            let file = format!("{name}-{suffix}.svg");
            draw(&folder.join(&file), &format!("{title}: {note}"), &panels)?;
            files.push((file, title.to_owned()));
        }
        Ok(())
    };
    let single = |writes: bool| {
        let wanted = section.single.iter().filter(move |single| single.operation.writes() == writes);
        wanted
            .map(|single| Panel {
                title: single.operation.name().to_owned(),
                bars: bars(section, |side| Spread::of(single.micros[side].iter().copied())),
            })
            .collect()
    };
    let time = "µs per operation, shorter is better";
    add("writes", "Writes on one thread", time, single(true))?;
    add("reads", "Reads on one thread", time, single(false))?;
    let windows = |traffic: Traffic, what: &str, value: &dyn Fn(&Window) -> f64| -> Vec<Panel> {
        let wanted = section.windows.iter().filter(|windows| windows.plan.traffic == traffic);
        wanted
            .map(|windows| Panel {
                title: format!("{}{what}", windows.name),
                bars: bars(section, |side| Spread::of(windows.rounds[side].iter().map(value))),
            })
            .collect()
    };
    let mut throughput = windows(Traffic::Insert, "", &Window::throughput);
    throughput.extend(windows(Traffic::Mixed, "", &Window::throughput));
    add("throughput", "Throughput of threads", "operations per second, longer is better", throughput)?;
    let p99 = |window: &Window| window.latencies[0].micros(0.99);
    let mut latency = windows(Traffic::Insert, ": insert p99", &p99);
    latency.extend(windows(Traffic::Mixed, ": read p99", &p99));
    latency.extend(windows(Traffic::Mixed, ": write p99", &|window| window.latencies[1].micros(0.99)));
    add("latency", "Latency among threads", "µs, shorter is better", latency)?;
    let mut neighbours = windows(Traffic::Neighbours, ": insert p99", &p99);
    for (panel, when) in neighbours.iter_mut().zip(["alone", "beside a flood"]) {
        panel.title = format!("insert p99 {when}");
    }
    add("neighbours", "A light tenant", "µs, shorter is better", neighbours)?;
    Ok(files)
}

fn bars(section: &Section, value: impl Fn(usize) -> Option<Spread>) -> Vec<(&'static Kind, Spread)> {
    let sides = section.sides.iter().enumerate();
    sides.filter_map(|(side, kind)| Some((*kind, value(side)?))).collect()
}

/// Panels in two columns. Each has a scale of its own, which is logarithmic if its values lie far
/// apart.
fn draw(path: &Path, title: &str, panels: &[Panel]) -> Result<()> {
    let sides = panels.iter().map(|panel| panel.bars.len()).max().unwrap_or(0) as u32;
    let height = 44 + sides * BAR as u32;
    let lines = panels.len().div_ceil(2) as u32;
    let size = (2 * PANEL_WIDTH, 44 + lines * height);
    let root = SVGBackend::new(path, size).into_drawing_area();
    let draw = || -> Result<(), Box<dyn std::error::Error>> {
        root.fill(&WHITE)?;
        root.draw(&Text::new(title.to_owned(), (16, 14), (FONT, 17).into_font().color(&INK)))?;
        for (number, panel) in panels.iter().enumerate() {
            let (line, column) = (number as u32 / 2, number as u32 % 2);
            let left = (column * PANEL_WIDTH) as i32;
            let top = (44 + line * height) as i32;
            draw_panel(&root.clone().shrink((left, top), (PANEL_WIDTH, height)), panel)?;
        }
        root.present()?;
        Ok(())
    };
    draw().map_err(|error| anyhow!("{} cannot be drawn: {error}", path.display()))
}

fn draw_panel(area: &Canvas<'_>, panel: &Panel) -> Result<(), Box<dyn std::error::Error>> {
    const NAMES: i32 = 116;
    const VALUES: i32 = 72;
    let room = f64::from(PANEL_WIDTH as i32 - NAMES - VALUES);
    let most = panel.bars.iter().map(|(_, spread)| spread.most).fold(f64::MIN_POSITIVE, f64::max);
    let least = panel.bars.iter().map(|(_, spread)| spread.median).fold(most, f64::min);
    let logarithmic = least > 0.0 && most / least > 50.0;
    let length = |value: f64| {
        let share = if logarithmic {
            // The shortest bar is still one.
            let low = least / 2.0;
            (value.max(low) / low).ln() / (most / low).ln()
        } else {
            value / most
        };
        (share * room) as i32
    };
    let scale = if logarithmic { " (logarithmic)" } else { "" };
    let heading = (FONT, 14).into_font().style(FontStyle::Bold).color(&INK);
    area.draw(&Text::new(format!("{}{scale}", panel.title), (16, 6), heading))?;
    for (number, (kind, spread)) in panel.bars.iter().enumerate() {
        let top = 28 + number as i32 * BAR;
        let middle = top + BAR / 2 - 2;
        let at = |h, v| (FONT, 12).into_font().color(&INK).pos(Pos::new(h, v));
        area.draw(&Text::new(kind.name, (NAMES - 6, middle), at(HPos::Right, VPos::Center)))?;
        let end = NAMES + length(spread.median);
        area.draw(&Rectangle::new([(NAMES, top), (end, top + BAR - 5)], color(kind).filled()))?;
        let (low, high) = (NAMES + length(spread.least), NAMES + length(spread.most));
        area.draw(&PathElement::new([(low, middle), (high, middle)], INK.mix(0.6)))?;
        let value = (high.max(end) + 5, middle);
        area.draw(&Text::new(short(spread.median), value, at(HPos::Left, VPos::Center)))?;
    }
    Ok(())
}

fn short(value: f64) -> String {
    match value {
        value if value >= 10_000.0 => format!("{:.0}k", value / 1e3),
        value if value >= 1_000.0 => format!("{:.1}k", value / 1e3),
        value if value >= 10.0 || value.fract() == 0.0 => format!("{value:.0}"),
        value => format!("{value:.2}"),
    }
}

/// Curves over sizes; their file names and titles.
pub(crate) fn sizes(
    kinds: &[&'static Kind],
    sizes: &[Size],
    folder: &Path,
) -> Result<Vec<(&'static str, &'static str)>> {
    let draw = |curve: &Curve<'_>| {
        curves(&folder.join(curve.file), kinds, curve)
            .map_err(|error| anyhow!("{} cannot be drawn: {error}", curve.file))?;
        Ok((curve.file, curve.title))
    };
    measure::curves(sizes).iter().map(draw).collect()
}

fn curves(path: &Path, kinds: &[&'static Kind], curve: &Curve<'_>) -> Result<(), Box<dyn std::error::Error>> {
    let Curve { title, sizes, place, .. } = curve;
    let root = SVGBackend::new(path, (920, 720)).into_drawing_area();
    root.fill(&WHITE)?;
    let title = format!("{title}: µs per operation, lower is better");
    let root = root.titled(&title, (FONT, 18).into_font().color(&INK))?;
    for (number, area) in root.split_evenly((2, 2)).iter().enumerate() {
        let Some(single) = sizes[0].single.get(number) else { break };
        let values =
            |side: usize| sizes.iter().map(move |size| (place(size) as f64, size.micros(number, side)));
        let all: Vec<(f64, f64)> = (0..kinds.len()).flat_map(values).collect();
        let across = range(all.iter().map(|(place, _)| *place));
        let up = decades(range(all.iter().map(|(_, value)| *value)));
        let mut chart = ChartBuilder::on(area)
            .caption(single.operation.name(), (FONT, 15).into_font().color(&INK))
            .margin(12)
            .x_label_area_size(28)
            .y_label_area_size(52)
            .build_cartesian_2d(across.log_scale(), up.log_scale())?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .x_label_formatter(&|value| short(*value))
            .y_label_formatter(&|value| short(*value))
            .draw()?;
        for (side, kind) in kinds.iter().enumerate() {
            let color = color(kind);
            chart
                .draw_series(LineSeries::new(values(side), color.stroke_width(2)))?
                .label(kind.name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], color.stroke_width(2)));
            chart.draw_series(values(side).map(|point| Circle::new(point, 3, color.filled())))?;
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperLeft)
            .background_style(WHITE.mix(0.8))
            .draw()?;
    }
    root.present()?;
    Ok(())
}

/// Whole decades, so that the axis has labels.
fn decades(range: Range<f64>) -> Range<f64> {
    10f64.powf(range.start.log10().floor())..10f64.powf(range.end.log10().ceil())
}

fn range(values: impl Iterator<Item = f64> + Clone) -> Range<f64> {
    let least = values.clone().fold(f64::INFINITY, f64::min);
    let most = values.fold(0.0, f64::max);
    least..most
}
