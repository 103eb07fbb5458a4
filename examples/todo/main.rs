//! `todo`: a to-do list for several people and their organizations in one store.
//!
//! | file | what is in it |
//! |---|---|
//! | `model.rs` | the entities, and what a personal and a shared to-do have in common |
//! | `cli.rs` | the command line |
//! | `place.rs` | opening the store, sessions, finding records by a part of their id |
//! | `tasks.rs`, `notes.rs`, `people.rs`, `history.rs` | the commands |
//! | `import/` | JSONPlaceholder's JSON and Stack Exchange's XML |
//! | `demo.rs` | everything at work on the sample data |
//! | `output.rs`, `failure.rs` | tables, JSON, errors and exit codes |

mod cli;
mod demo;
mod failure;
mod history;
mod import;
mod model;
mod notes;
mod output;
mod people;
mod place;
mod tasks;

use std::process::ExitCode;

use clap::Parser;

use cli::{Cli, Command};
use failure::{Failure, Outcome};
use output::{Style, Terminal};
use place::{Access, Place};
use serde_json::json;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let json = cli.json;
    let mut terminal = Terminal::new(json);
    match run(cli, &mut terminal).and_then(|()| terminal.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            Terminal::error(json, &failure);
            ExitCode::from(failure.exit as u8)
        }
    }
}

/// Runs one command; its output waits in the terminal.
fn run(cli: Cli, out: &mut Terminal) -> Outcome {
    match &cli.command {
        Command::Import(import) => import::run(&cli, import, out),
        Command::Users { action } => people::users(&cli, action.as_ref(), out),
        Command::Orgs { action } => people::organizations(&cli, action.as_ref(), out),
        Command::Add(add) => match Place::enter(&cli, Access::Write)? {
            Place::Own(session) => tasks::add::<_, model::Task>(&session, add, out),
            Place::Shared(session) => tasks::add::<_, model::SharedTask>(&session, add, out),
        },
        Command::List(list) => match Place::enter(&cli, Access::Read)? {
            Place::Own(session) => tasks::list::<_, model::Task>(&session, session.user(), list, out),
            Place::Shared(session) => {
                tasks::list::<_, model::SharedTask>(&session, session.user(), list, out)
            }
        },
        Command::Show { id } => show(&cli, id, out),
        Command::Edit(edit) => match Place::enter(&cli, Access::Write)? {
            Place::Own(session) => tasks::edit::<_, model::Task>(&session, edit, out),
            Place::Shared(session) => tasks::edit::<_, model::SharedTask>(&session, edit, out),
        },
        Command::Done { ids } => match Place::enter(&cli, Access::Write)? {
            Place::Own(session) => tasks::done::<_, model::Task>(&session, ids, out),
            Place::Shared(session) => tasks::done::<_, model::SharedTask>(&session, ids, out),
        },
        Command::Rm { ids } => match Place::enter(&cli, Access::Write)? {
            Place::Own(session) => tasks::remove::<_, model::Task>(&session, ids, out),
            Place::Shared(session) => tasks::remove::<_, model::SharedTask>(&session, ids, out),
        },
        Command::Count => match Place::enter(&cli, Access::Read)? {
            Place::Own(session) => tasks::count_own(&session, out),
            Place::Shared(session) => tasks::count_shared(&session, out),
        },
        Command::Note { action } => notes::run(&cli, action, out),
        Command::History(history) => history::run(&cli, history, out),
        Command::Check => check(&cli, out),
        Command::Demo => demo::run(out),
    }
}

/// An id may be a to-do's or a note's.
fn show(cli: &Cli, id: &str, out: &mut Terminal) -> Outcome {
    let part = place::IdPart::parse(id)?;
    let shown = match Place::enter(cli, Access::Read)? {
        Place::Own(session) => {
            tasks::show::<_, model::Task>(&session, &part, out)?.is_some()
                || notes::show(&session, &part, out)?.is_some()
        }
        Place::Shared(session) => match tasks::show::<_, model::SharedTask>(&session, &part, out)? {
            Some(task) => {
                notes::show_on(&session, task, out)?;
                true
            }
            None => notes::show_private(&session, &part, out)?.is_some(),
        },
    };
    if shown { Ok(()) } else { Err(part.not_found("to-do or note")) }
}

fn check(cli: &Cli, out: &mut Terminal) -> Outcome {
    let report = place::open(cli, Access::Read)?.check()?;
    if !report.is_clean() {
        return Err(Failure::store(report.to_string()));
    }
    if out.json {
        out.json(&json!({
            "clean": true, "tenants": report.tenants, "rows": report.rows, "entries": report.entries,
        }));
    } else {
        let clean = out.style(Style::Green, "The store is sound");
        out.line(format!(
            "{clean}: {} tenants, {} records and {} audit entries verified.",
            report.tenants, report.rows, report.entries
        ));
    }
    Ok(())
}
