//! Importing: what the two formats have in common.
//!
//! A file is read and checked to its end before anything is imported. Then each owner's records
//! come in transactions of their own, one for each batch, so that a failure leaves whole batches
//! behind; the error says how many. Each record remembers where it came from in its unique
//! `source`, so importing a file again adds only what is missing.

mod json;
mod stackexchange;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{IsTerminal, Read};
use std::path::Path;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;
use tenantry::tenancy::{Scope, WrittenIn};
use tenantry::{Column, Entity, Id, Timestamp, Transaction, Upserted, UserId};

use crate::cli::{Cli, Import};
use crate::failure::{Exit, Failure, Outcome};
use crate::output::{Style, Terminal, plural};
use crate::place::{Access, open};

/// How many owners the table shows; JSON has them all.
const OWNERS_SHOWN: usize = 12;

pub(crate) fn run(cli: &Cli, import: &Import, out: &mut Terminal) -> Outcome {
    let unowned = match import.unowned.as_str() {
        "skip" => None,
        user => Some(UserId::new(user)?),
    };
    let file = &import.file;
    let within = |failure: Failure| failure.within(file.display());
    let mut run = Run {
        refresh: import.refresh,
        show_progress: !cli.json && std::io::stderr().is_terminal(),
        ..Run::default()
    };
    match format(file).map_err(within)? {
        Format::Json => {
            let document = json::read(file).map_err(within)?;
            json::import(&open(cli, Access::Create)?, &document, &mut run)
        }
        Format::Xml => {
            let posts = stackexchange::check(file).map_err(within)?;
            stackexchange::import(&open(cli, Access::Create)?, file, posts, unowned.as_ref(), &mut run)
        }
    }
    .map_err(|failure| within(run.stopped(failure)))?;
    run.print(out);
    Ok(())
}

enum Format {
    Json,
    Xml,
}

/// By the first character: JSONPlaceholder's document is an object, and XML is markup.
fn format(path: &Path) -> Outcome<Format> {
    let unreadable = |error| Failure::refused(format!("the file can not be read: {error}"));
    let mut start = Vec::new();
    File::open(path).and_then(|file| file.take(4096).read_to_end(&mut start)).map_err(unreadable)?;
    let text = start.strip_prefix("\u{feff}".as_bytes()).unwrap_or(&start);
    match text.iter().find(|byte| !byte.is_ascii_whitespace()) {
        Some(b'{') => Ok(Format::Json),
        Some(b'<') => Ok(Format::Xml),
        None => Err(Failure::refused("the file is empty")),
        Some(_) => Err(Failure::refused(
            "neither a JSON object with users, todos and posts nor a Stack Exchange Posts.xml: it begins with neither { nor <",
        )),
    }
}

/// What one owner got.
#[derive(Debug, Default, Clone)]
struct Tally {
    tasks: u64,
    notes: u64,
    comments: u64,
    projects: u64,
    new: u64,
    refreshed: u64,
    present: u64,
}

impl Tally {
    fn add(&mut self, other: &Tally) {
        let Tally { tasks, notes, comments, projects, new, refreshed, present } = other;
        self.tasks += tasks;
        self.notes += notes;
        self.comments += comments;
        self.projects += projects;
        self.new += new;
        self.refreshed += refreshed;
        self.present += present;
    }

    fn count(&mut self, kept: Kept) {
        match kept {
            Kept::New => self.new += 1,
            Kept::Refreshed => self.refreshed += 1,
            Kept::Present => self.present += 1,
        }
    }

    fn json(&self) -> serde_json::Value {
        json!({
            "tasks": self.tasks, "notes": self.notes, "comments": self.comments, "projects": self.projects,
            "new": self.new, "refreshed": self.refreshed, "present": self.present,
        })
    }
}

/// One import: how it is done, and what came of it so far.
#[derive(Debug, Default)]
struct Run {
    refresh: bool,
    show_progress: bool,
    users_made: u64,
    owners: BTreeMap<String, Tally>,
    organizations: BTreeMap<String, Tally>,
    /// What the file holds and the import left out.
    left_out: Vec<(String, u64)>,
}

/// What became of one of the file's records.
#[derive(Debug, Clone, Copy)]
enum Kept {
    New,
    Refreshed,
    Present,
}

impl Run {
    fn progress(&self, total: u64) -> ProgressBar {
        let bar = ProgressBar::with_draw_target(
            Some(total),
            if self.show_progress { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() },
        );
        let style = ProgressStyle::with_template("{bar:40} {human_pos} of {human_len} records, {eta} left");
        bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
    }

    /// Keeps one record: inserts it unless it was imported before, and then leaves it as it is now
    /// unless it is to be refreshed.
    fn keep<S, E>(
        &self,
        tx: &Transaction<'_, S>,
        column: Column<E, Option<String>>,
        source: &str,
        value: &E,
        created: Option<Timestamp>,
    ) -> tenantry::Result<(Id<E>, Kept)>
    where
        S: Scope,
        E::Tenancy: WrittenIn<S>,
        E: Entity + PartialEq,
    {
        let found = tx.query::<E>().filter(column.eq(source)).first()?;
        Ok(match (found, created) {
            (Some(record), _) if !self.refresh || record.value == *value => (record.id, Kept::Present),
            // `upsert_on` makes its ids now, so only `insert_at` keeps a time in the past.
            (None, Some(created)) => (tx.insert_at(value, created)?, Kept::New),
            _ => match tx.upsert_on(&["source"], value)? {
                Upserted::Inserted(id) => (id, Kept::New),
                Upserted::Updated(id) => (id, Kept::Refreshed),
            },
        })
    }

    fn all(&self) -> Tally {
        self.owners.values().chain(self.organizations.values()).fold(Tally::default(), |mut all, one| {
            all.add(one);
            all
        })
    }

    /// Adds to a failure what was imported before it.
    fn stopped(&self, failure: Failure) -> Failure {
        // A value that the store refuses is the file's fault, not the command line's.
        let exit = if failure.exit == Exit::Usage { Exit::Refused } else { failure.exit };
        let failure = Failure { exit, ..failure };
        let all = self.all();
        if all.new + all.refreshed == 0 {
            return failure;
        }
        let message = format!(
            "{} (imported before that: {}; put it right and import the file again, nothing comes twice)",
            failure.message,
            plural(all.new + all.refreshed, "record")
        );
        Failure { message, ..failure }
    }

    fn print(&self, out: &mut Terminal) {
        let all = self.all();
        if out.json {
            let tallies = |map: &BTreeMap<String, Tally>| {
                map.iter().map(|(id, tally)| (id.clone(), tally.json())).collect::<serde_json::Map<_, _>>()
            };
            let left_out: Vec<_> =
                self.left_out.iter().map(|(what, count)| json!({ "what": what, "count": count })).collect();
            out.json(&json!({
                "users_made": self.users_made, "owners": tallies(&self.owners),
                "organizations": tallies(&self.organizations), "left_out": left_out, "all": all.json(),
            }));
            return;
        }
        let number = |count: u64| if count == 0 { String::new() } else { count.to_string() };
        let row = |name: &str, tally: &Tally, style, out: &Terminal| {
            let mut row = vec![out.cell(name, style)];
            for count in [
                tally.tasks,
                tally.notes,
                tally.comments,
                tally.projects,
                tally.new,
                tally.refreshed,
                tally.present,
            ] {
                let cell = out.cell(number(count), style);
                row.push(cell.set_alignment(comfy_table::CellAlignment::Right));
            }
            row
        };
        let mut owners: Vec<_> = self.owners.iter().collect();
        owners.sort_by_key(|(_, tally)| std::cmp::Reverse(tally.tasks + tally.notes));
        let mut rows: Vec<_> =
            owners.iter().take(OWNERS_SHOWN).map(|(owner, tally)| row(owner, tally, None, out)).collect();
        if owners.len() > OWNERS_SHOWN {
            let mut others = Tally::default();
            owners.iter().skip(OWNERS_SHOWN).for_each(|(_, tally)| others.add(tally));
            let name = format!("… and {} others", owners.len() - OWNERS_SHOWN);
            rows.push(row(&name, &others, Some(Style::Dim), out));
        }
        rows.extend(
            self.organizations
                .iter()
                .map(|(id, tally)| row(&format!("{id} (organization)"), tally, None, out)),
        );
        rows.push(row("All", &all, Some(Style::Bold), out));
        out.table(
            &["Owner", "To-dos", "Notes", "Comments", "Projects", "New", "Refreshed", "There before"],
            rows,
        );
        if all.new + all.refreshed == 0 {
            out.line("Nothing new: everything was there before (--refresh gives it the file's values).");
        } else {
            let done = out.style(Style::Green, "Imported");
            out.line(format!(
                "{done} {} of {}; {} made.",
                plural(all.new + all.refreshed, "record"),
                plural(self.owners.len() as u64, "owner"),
                plural(self.users_made, "user"),
            ));
        }
        for (what, count) in &self.left_out {
            out.line(format!("Left out: {count} {what}."));
        }
    }
}
