//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use tenantry::{OrganizationId, Timestamp, UserId};

use crate::model::{Priority, Status};

const EXAMPLES: &str = "\
Examples:
  todo demo                                      see everything at work, in a temporary store
  todo import examples/data/sample.json
  export TODO_USER=maya
  todo add 'Call the plumber' --due tomorrow --tag home
  todo list --tag home --sort due
  todo done 3f9c21ab                             the last 8 digits of an id are enough
  todo --org harbour list --mine
  todo history 3f9c21ab

Exit codes: 0 done, 1 refused or not found, 2 wrong usage, 3 a problem with the store.";

/// A to-do list for several people in one file. Each sees only their own records, and those of the
/// organizations that they are members of.
#[derive(Debug, Parser)]
#[command(name = "todo", version, after_help = EXAMPLES, max_term_width = 100)]
pub(crate) struct Cli {
    /// The store's file
    #[arg(
        long,
        global = true,
        env = "TODO_STORE",
        default_value = "todo.db",
        value_name = "PATH",
        help_heading = "Options of every command"
    )]
    pub(crate) store: PathBuf,
    /// Who you are
    #[arg(
        long = "as",
        global = true,
        env = "TODO_USER",
        value_name = "USER",
        help_heading = "Options of every command"
    )]
    pub(crate) user: Option<UserId>,
    /// Work on what this organization shares, instead of your own records
    #[arg(
        long,
        global = true,
        env = "TODO_ORG",
        value_name = "ORG",
        help_heading = "Options of every command"
    )]
    pub(crate) org: Option<OrganizationId>,
    /// Print JSON
    #[arg(long, global = true, help_heading = "Options of every command")]
    pub(crate) json: bool,
    /// Open the store for reading only, also beside a program that writes it
    #[arg(long, global = true, help_heading = "Options of every command")]
    pub(crate) read_only: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Import JSON in JSONPlaceholder's form, or a Stack Exchange Posts.xml
    ///
    /// Each of the file's users becomes a user of the store and owns what is theirs. The file is
    /// read to its end before anything is imported: a malformed one changes nothing. Then each
    /// owner's records are imported in transactions of their own; if one fails, those before it
    /// stay, and importing the file again continues there. What was imported once is not
    /// imported again.
    Import(Import),
    /// List the users, or add one
    Users {
        #[command(subcommand)]
        action: Option<UsersAction>,
    },
    /// List the organizations and their members, or change them
    Orgs {
        #[command(subcommand)]
        action: Option<OrgsAction>,
    },
    /// Add a to-do
    Add(Add),
    /// List to-dos, a page at a time
    List(List),
    /// Show a to-do or a note
    Show {
        /// A whole id, or at least 4 digits of its beginning or end
        id: String,
    },
    /// Change a to-do
    Edit(Edit),
    /// Mark to-dos as done
    Done {
        /// Whole ids, or at least 4 digits of their beginning or end
        #[arg(required = true)]
        ids: Vec<String>,
    },
    /// Delete to-dos
    Rm {
        /// Whole ids, or at least 4 digits of their beginning or end
        #[arg(required = true)]
        ids: Vec<String>,
    },
    /// Count what there is
    Count,
    /// Your notes; with --org, your private notes in the organization
    Note {
        #[command(subcommand)]
        action: NoteAction,
    },
    /// Who changed what, and how: the newest change first
    History(History),
    /// Verify the whole store: its file, its counts, its audit log
    Check,
    /// Run everything on the sample data, in a temporary store
    Demo,
}

#[derive(Debug, Args)]
pub(crate) struct Import {
    /// The file; its content tells which of the formats it has
    pub(crate) file: PathBuf,
    /// What to do with posts that have no owner: leave them out, or give them to a user
    #[arg(long, default_value = "skip", value_name = "skip|USER")]
    pub(crate) unowned: String,
    /// Give records that were imported before the values that the file has now
    #[arg(long)]
    pub(crate) refresh: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum UsersAction {
    /// Add a user
    Add {
        id: UserId,
        /// The name to show
        #[arg(long)]
        name: Option<String>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum OrgsAction {
    /// Add an organization; you become its first admin
    Add {
        id: OrganizationId,
        /// The name to show
        #[arg(long)]
        name: Option<String>,
    },
    /// Make a user a member
    Join {
        id: OrganizationId,
        // Not `user`: clap would take it for the global `--as`.
        #[arg(value_name = "USER")]
        member: UserId,
        #[arg(long)]
        admin: bool,
    },
    /// End a membership; the user's private notes wait for their return
    Leave {
        id: OrganizationId,
        #[arg(value_name = "USER")]
        member: UserId,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Add {
    /// What is to be done
    #[arg(value_parser = text)]
    pub(crate) title: String,
    /// A date such as 2026-12-24, a time, today, tomorrow, or +3d
    #[arg(long, value_parser = due)]
    pub(crate) due: Option<Timestamp>,
    /// A word to find it by; repeat it for several
    #[arg(long = "tag", value_name = "TAG", value_parser = tag)]
    pub(crate) tags: Vec<String>,
    #[arg(long, value_enum, default_value_t)]
    pub(crate) priority: Priority,
    /// Made if there is none of this name
    #[arg(long, value_name = "NAME", value_parser = text)]
    pub(crate) project: Option<String>,
    /// A member of the organization; needs --org
    #[arg(long, value_name = "USER")]
    pub(crate) assign: Option<UserId>,
}

#[derive(Debug, Clone, Copy, PartialEq, ValueEnum)]
pub(crate) enum StatusFilter {
    Open,
    Done,
    All,
}

#[derive(Debug, Clone, Copy, PartialEq, ValueEnum)]
pub(crate) enum Sort {
    /// The next one due first, those without a date last
    Due,
    /// The newest first
    Created,
    Title,
}

#[derive(Debug, Args)]
pub(crate) struct List {
    #[arg(long, value_enum, default_value = "open")]
    pub(crate) status: StatusFilter,
    /// Only those with this tag; repeat it for those with all of several
    #[arg(long = "tag", value_name = "TAG", value_parser = tag)]
    pub(crate) tags: Vec<String>,
    /// Only those whose title holds this text, in upper or lower case
    #[arg(long, value_name = "TEXT")]
    pub(crate) search: Option<String>,
    /// Only those of this project
    #[arg(long, value_name = "NAME")]
    pub(crate) project: Option<String>,
    /// With --org: only those that are assigned to you
    #[arg(long)]
    pub(crate) mine: bool,
    /// With --org: only those that you wrote
    #[arg(long)]
    pub(crate) authored: bool,
    #[arg(long, value_enum, default_value = "due")]
    pub(crate) sort: Sort,
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) limit: u32,
    /// Where to go on: what the page before said
    #[arg(long, value_name = "CURSOR")]
    pub(crate) page: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Edit {
    /// A whole id, or at least 4 digits of its beginning or end
    pub(crate) id: String,
    #[arg(long, value_parser = text)]
    pub(crate) title: Option<String>,
    #[arg(long, value_enum)]
    pub(crate) status: Option<Status>,
    /// A date such as 2026-12-24, a time, today, tomorrow, or +3d
    #[arg(long, value_parser = due)]
    pub(crate) due: Option<Timestamp>,
    #[arg(long, conflicts_with = "due")]
    pub(crate) no_due: bool,
    /// Add a tag
    #[arg(long = "tag", value_name = "TAG", value_parser = tag)]
    pub(crate) tags: Vec<String>,
    /// Take a tag away
    #[arg(long = "untag", value_parser = tag, value_name = "TAG")]
    pub(crate) untags: Vec<String>,
    #[arg(long, value_enum)]
    pub(crate) priority: Option<Priority>,
    /// Made if there is none of this name
    #[arg(long, value_name = "NAME", value_parser = text)]
    pub(crate) project: Option<String>,
    #[arg(long, conflicts_with = "project")]
    pub(crate) no_project: bool,
    /// A member of the organization; needs --org
    #[arg(long, value_name = "USER")]
    pub(crate) assign: Option<UserId>,
    #[arg(long, conflicts_with = "assign")]
    pub(crate) no_assign: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum NoteAction {
    /// Add a note
    Add {
        #[arg(value_parser = text)]
        text: String,
        /// A title; without it the text's first line
        #[arg(long, value_parser = text)]
        title: Option<String>,
        #[arg(long = "tag", value_name = "TAG", value_parser = tag)]
        tags: Vec<String>,
        /// The shared task that it is about; needs --org
        #[arg(long, value_name = "ID")]
        on: Option<String>,
    },
    /// List notes, the newest first
    List {
        /// Only notes on this shared task; needs --org
        #[arg(long, value_name = "ID")]
        on: Option<String>,
        #[arg(long = "tag", value_name = "TAG", value_parser = tag)]
        tags: Vec<String>,
        /// Only those whose title or text holds this
        #[arg(long, value_name = "TEXT")]
        search: Option<String>,
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        limit: u32,
        /// Where to go on: what the page before said
        #[arg(long, value_name = "CURSOR")]
        page: Option<String>,
    },
    /// Delete a note
    Rm { id: String },
}

#[derive(Debug, Args)]
pub(crate) struct History {
    /// Only of this record, also a deleted one
    pub(crate) id: Option<String>,
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) limit: u32,
    /// With --org: of your private notes instead of the shared records
    #[arg(long)]
    pub(crate) private: bool,
}

fn text(text: &str) -> Result<String, String> {
    let text = text.trim();
    if text.is_empty() { Err("must not be empty".to_owned()) } else { Ok(text.to_owned()) }
}

pub(crate) fn tag(tag: &str) -> Result<String, String> {
    let tag = tag.trim().trim_start_matches('#');
    match tag {
        "" => Err("must not be empty".to_owned()),
        _ if tag.contains('|') => Err("must not hold a |".to_owned()),
        _ => Ok(tag.to_owned()),
    }
}

/// Due dates are whole days, kept as midnight UTC of the day, unless the user gives a time.
pub(crate) fn due(text: &str) -> Result<Timestamp, String> {
    let bad =
        || format!("{text:?} is no date; write 2026-12-24, 2026-12-24T18:00:00Z, today, tomorrow or +3d");
    let today = jiff::ZonedDateTime::now().date();
    let in_days = |days: i64| {
        jiff::Span::new().try_days(days).and_then(|span| today.checked_add(span)).map_err(|_| bad())
    };
    let date = match text {
        "today" => today,
        "tomorrow" => in_days(1)?,
        _ => match text.strip_prefix('+').and_then(|rest| rest.strip_suffix('d')) {
            Some(days) => in_days(days.parse().map_err(|_| bad())?)?,
            // A whole time also parses as a date, which would lose the time.
            None => match text.parse::<Timestamp>() {
                Ok(time) => return Ok(time),
                Err(_) => text.parse::<jiff::civil::Date>().map_err(|_| bad())?,
            },
        },
    };
    date.to_zoned_datetime(jiff::tz::TimeZone::UTC).map(|midnight| midnight.timestamp()).map_err(|_| bad())
}
