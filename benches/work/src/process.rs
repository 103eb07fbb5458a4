//! A contender in a process of its own, for sides that cannot be linked into the runner: two
//! versions of SQLite's bindings exclude each other in one program.
//!
//! The runner writes a line of JSON for each request and reads one for the answer. All timing is
//! done within the process that does the work, by the same code as everywhere.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use serde::{Deserialize, Serialize};

use crate::contender::{Run, Slice, Totals};
use crate::side::Setup;
use crate::window::{Plan, Window};

/// Names and versions of what a side is made of.
pub type Versions = Vec<(String, String)>;

/// A request.
#[derive(Debug, Serialize, Deserialize)]
enum Request {
    /// The first.
    Create(Setup),
    Load(usize, usize),
    Slice(Slice),
    Window(Plan),
    Totals,
}

/// An answer.
#[derive(Debug, Serialize, Deserialize)]
enum Answer {
    /// Whether the side offers the durability, and the versions of what it is made of.
    Created(bool, Versions),
    Loaded,
    Slice(Duration, usize),
    Window(Window),
    Totals(Totals),
    Failed(String),
}

/// A contender at the other end of a pipe. Closing the pipe ends it.
pub struct Remote {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Remote {
    /// Starts the program and has it make the side; `None` if that does not offer the durability.
    /// Also the versions of what the side is made of.
    ///
    /// # Errors
    ///
    /// If the program does not start, or cannot make the side.
    pub fn start(command: &mut Command, setup: &Setup) -> Result<(Option<Self>, Versions)> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("the program of the other sides does not start")?;
        let output = BufReader::new(child.stdout.take().context("no output")?);
        let input = child.stdin.take();
        let mut remote = Self { child, input, output };
        match remote.ask(&Request::Create(setup.clone()))? {
            Answer::Created(offered, versions) => Ok((offered.then_some(remote), versions)),
            other => bail!("an answer to another question: {other:?}"),
        }
    }

    fn ask(&mut self, request: &Request) -> Result<Answer> {
        let mut line = serde_json::to_vec(request)?;
        line.push(b'\n');
        self.input.as_mut().context("closed")?.write_all(&line)?;
        let mut answer = String::new();
        self.output.read_line(&mut answer)?;
        match serde_json::from_str(&answer).context("the other process has ended")? {
            Answer::Failed(error) => Err(anyhow!(error)),
            answer => Ok(answer),
        }
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        self.input = None;
        // It has nothing left to say.
        let _ = self.child.wait();
    }
}

impl Run for Remote {
    fn load(&mut self, rows: usize, few: usize) -> Result<()> {
        match self.ask(&Request::Load(rows, few))? {
            Answer::Loaded => Ok(()),
            other => bail!("an answer to another question: {other:?}"),
        }
    }

    fn slice(&mut self, slice: Slice) -> Result<(Duration, usize)> {
        match self.ask(&Request::Slice(slice))? {
            Answer::Slice(taken, steps) => Ok((taken, steps)),
            other => bail!("an answer to another question: {other:?}"),
        }
    }

    fn window(&mut self, plan: Plan) -> Result<Window> {
        match self.ask(&Request::Window(plan))? {
            Answer::Window(window) => Ok(window),
            other => bail!("an answer to another question: {other:?}"),
        }
    }

    fn totals(&mut self) -> Result<Totals> {
        match self.ask(&Request::Totals)? {
            Answer::Totals(totals) => Ok(totals),
            other => bail!("an answer to another question: {other:?}"),
        }
    }
}

/// Answers requests from standard input until it ends. `create` makes the side that is named.
///
/// # Errors
///
/// If standard input or output fail, or a line is no request. What fails within a side goes to
/// the other end.
pub fn serve(versions: &Versions, create: impl Fn(&Setup) -> Result<Option<Box<dyn Run>>>) -> Result<()> {
    let mut contender = None;
    let mut output = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let answer = match (serde_json::from_str(&line?)?, &mut contender) {
            (Request::Create(setup), _) => create(&setup).map(|made| {
                contender = made;
                Answer::Created(contender.is_some(), versions.clone())
            }),
            (Request::Load(rows, few), Some(contender)) => contender.load(rows, few).map(|()| Answer::Loaded),
            (Request::Slice(slice), Some(contender)) => {
                contender.slice(slice).map(|(taken, steps)| Answer::Slice(taken, steps))
            }
            (Request::Window(plan), Some(contender)) => contender.window(plan).map(Answer::Window),
            (Request::Totals, Some(contender)) => contender.totals().map(Answer::Totals),
            (request, None) => Err(anyhow!("{request:?} before there is a side")),
        };
        let answer = answer.unwrap_or_else(|error| Answer::Failed(format!("{error:#}")));
        serde_json::to_writer(&mut output, &answer)?;
        output.write_all(b"\n")?;
        output.flush()?;
    }
    Ok(())
}

/// The versions of some crates in a lockfile; of each the newest.
#[must_use]
pub fn locked_versions(lock: &str, crates: &[&str]) -> Versions {
    let value = |line: &str, key: &str| {
        line.strip_prefix(key)
            .and_then(|rest| rest.strip_prefix(" = "))
            .map(|value| value.trim_matches('"').to_owned())
    };
    let lines: Vec<&str> = lock.lines().collect();
    let mut versions: Versions = lines
        .windows(2)
        .filter_map(|pair| Some((value(pair[0], "name")?, value(pair[1], "version")?)))
        .filter(|(name, _)| crates.contains(&name.as_str()))
        .collect();
    // A lockfile is sorted by name and then by version.
    versions.reverse();
    versions.dedup_by(|one, other| one.0 == other.0);
    versions.reverse();
    versions
}
