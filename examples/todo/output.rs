//! What the user sees: tables and lines for people, JSON for programs.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write as _};

use comfy_table::{Attribute, Cell, Color, ContentArrangement, Table, presets};
use serde_json::{Value as Json, json};
use tenantry::{Timestamp, Uuid};

use crate::failure::Failure;

/// Collects a command's output and writes it at its end, so that a failing command prints none.
#[derive(Debug)]
pub(crate) struct Terminal {
    pub(crate) json: bool,
    color: bool,
    text: String,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Style {
    Bold,
    Dim,
    Green,
    Red,
}

impl Terminal {
    pub(crate) fn new(json: bool) -> Self {
        Self { json, color: wants_color(io::stdout().is_terminal()), text: String::new() }
    }

    pub(crate) fn line(&mut self, line: impl AsRef<str>) {
        self.text.push_str(line.as_ref());
        self.text.push('\n');
    }

    pub(crate) fn json(&mut self, value: &Json) {
        // Writing to a string does not fail, and a `Value` has only text keys.
        let _ = writeln!(self.text, "{value:#}");
    }

    pub(crate) fn style(&self, style: Style, text: impl AsRef<str>) -> String {
        paint(self.color, style, text.as_ref())
    }

    /// A table with a header; columns that no row fills are left out.
    pub(crate) fn table(&mut self, header: &[&str], rows: Vec<Vec<Cell>>) {
        let filled: Vec<usize> = (0..header.len())
            .filter(|&column| {
                rows.iter().any(|row| row.get(column).is_some_and(|cell| !cell.content().is_empty()))
            })
            .collect();
        let mut table = Table::new();
        table.load_style(presets::UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Dynamic);
        table.set_header(filled.iter().map(|&column| self.cell(header[column], Some(Style::Bold))));
        for row in rows {
            let cells = row.into_iter().enumerate().filter(|(column, _)| filled.contains(column));
            table.add_row(cells.map(|(_, cell)| cell));
        }
        let text = table.trim_fmt();
        self.line(text);
    }

    pub(crate) fn cell(&self, text: impl AsRef<str>, style: Option<Style>) -> Cell {
        // SQLite text may hold anything; a terminal should not be driven by it.
        let cell = Cell::new(printable(text.as_ref()));
        match style.filter(|_| self.color) {
            None => cell,
            Some(Style::Bold) => cell.add_attribute(Attribute::Bold),
            Some(Style::Dim) => cell.add_attribute(Attribute::Dim),
            Some(Style::Green) => cell.fg(Color::Green),
            Some(Style::Red) => cell.fg(Color::Red),
        }
    }

    /// What was collected, instead of writing it.
    pub(crate) fn take(&mut self) -> String {
        std::mem::take(&mut self.text)
    }

    /// Writes what was collected. A reader that went away, such as `head`, is not an error.
    pub(crate) fn flush(&mut self) -> Result<(), Failure> {
        let text = std::mem::take(&mut self.text);
        let mut out = io::stdout().lock();
        match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                Err(Failure::store(format!("the output can not be written: {error}")))
            }
            _ => Ok(()),
        }
    }

    /// One line on standard error; in JSON if the output is.
    pub(crate) fn error(json: bool, failure: &Failure) {
        let message = printable(&failure.message).replace('\n', " ");
        let line = if json {
            json!({ "error": message, "exit": failure.exit as u8 }).to_string()
        } else {
            let color = wants_color(io::stderr().is_terminal());
            format!("{} {message}", paint(color, Style::Red, "todo:"))
        };
        // If even standard error is gone, the exit code still tells.
        let _ = writeln!(io::stderr(), "{line}");
    }
}

/// <https://no-color.org>: set and not empty means no colours.
fn wants_color(is_terminal: bool) -> bool {
    is_terminal
        && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
        && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

fn paint(color: bool, style: Style, text: &str) -> String {
    let code = match style {
        _ if !color => return text.to_owned(),
        Style::Bold => 1,
        Style::Dim => 2,
        Style::Red => 31,
        Style::Green => 32,
    };
    format!("\u{1b}[{code}m{text}\u{1b}[0m")
}

/// The text without control characters, which could move the cursor or change colours.
pub(crate) fn printable(text: &str) -> String {
    text.chars().filter(|c| *c == '\n' || !c.is_control()).collect()
}

/// At most `max` characters, in one line.
pub(crate) fn shorten(text: &str, max: usize) -> String {
    let line = printable(text).split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= max {
        return line;
    }
    let mut short: String = line.chars().take(max.saturating_sub(1)).collect();
    short.truncate(short.trim_end().len());
    short.push('…');
    short
}

/// The end of an id: UUIDv7 begins with the time, so ends differ where beginnings do not.
pub(crate) fn short_id(id: Uuid) -> String {
    let digits = id.simple().to_string();
    digits[digits.len() - 8..].to_owned()
}

pub(crate) fn day(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d").to_string()
}

/// A due date: a day, and the time if it has one.
pub(crate) fn due(time: Timestamp) -> String {
    let text = time.strftime("%Y-%m-%d %H:%M").to_string();
    text.strip_suffix(" 00:00").map_or_else(|| text.clone(), str::to_owned)
}

pub(crate) fn moment(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M:%S").to_string()
}

pub(crate) fn plural(count: u64, one: &str) -> String {
    if count == 1 { format!("1 {one}") } else { format!("{count} {one}s") }
}
