//! The whole app at work on the sample data, command by command.

use std::io::Write;
use std::path::Path;

use clap::Parser;
use tenantry::UserId;

use crate::cli::Cli;
use crate::failure::{Exit, Failure, Outcome};
use crate::model::{self, SharedTask, Status, Task};
use crate::output::{Style, Terminal, short_id};

const SAMPLE: &str = include_str!("../data/sample.json");

pub(crate) fn run(out: &mut Terminal) -> Outcome {
    let io = |error: std::io::Error| Failure::store(format!("the demo's folder can not be made: {error}"));
    let folder = tempfile::tempdir().map_err(io)?;
    let path = folder.path().join("todo.db");
    let sample = folder.path().join("sample.json");
    std::fs::File::create(&sample).and_then(|mut file| file.write_all(SAMPLE.as_bytes())).map_err(io)?;
    let mut demo = Demo { store: &path, sample: &sample, out, commands: Vec::new() };
    demo.play()?;
    let commands = std::mem::take(&mut demo.commands);
    if out.json {
        out.json(&serde_json::json!({ "commands": commands }));
    }
    Ok(())
}

struct Demo<'d> {
    store: &'d Path,
    sample: &'d Path,
    out: &'d mut Terminal,
    commands: Vec<serde_json::Value>,
}

impl Demo<'_> {
    fn play(&mut self) -> Outcome {
        self.say("Five people and a small organization, from one file.")?;
        if !self.out.json {
            let line = format!("\n$ export TODO_STORE={}", self.store.display());
            let line = self.out.style(Style::Green, line);
            self.out.line(line);
        }
        self.ok(&["import", "sample.json"])?;
        self.ok(&["users"])?;

        self.say("Maya and Jonas each see their own to-dos, and nothing of the other's.")?;
        self.ok(&["--as", "maya", "list", "--limit", "6"])?;
        self.ok(&["--as", "jonas", "list", "--limit", "6"])?;
        self.ok(&["--as", "maya", "count"])?;
        self.ok(&["--as", "jonas", "list", "--search", "book", "--status", "all", "--limit", "5"])?;
        self.ok(&["--as", "jonas", "note", "list", "--limit", "4"])?;

        self.say("Maya adds, edits and finishes a to-do; the history has each change.")?;
        self.ok(&[
            "--as",
            "maya",
            "add",
            "Order the birthday cake",
            "--due",
            "+3d",
            "--tag",
            "family",
            "--project",
            "Birthday",
        ])?;
        let cake = self.id_of_cake()?;
        self.ok(&[
            "--as",
            "maya",
            "edit",
            &cake,
            "--title",
            "Order Nora's birthday cake",
            "--priority",
            "high",
            "--due",
            "+2d",
        ])?;
        self.ok(&["--as", "maya", "done", &cake])?;
        self.ok(&["--as", "maya", "history", &cake])?;

        self.say("Jonas has the id, whole, and it gets him nothing: not even that it exists.")?;
        let whole = self.whole_id(&cake)?;
        self.refused(&["--as", "jonas", "show", &whole])?;
        self.refused(&["--as", "jonas", "rm", &whole])?;

        self.say("The organization's to-dos are shared by its members, and only by them.")?;
        self.ok(&["--as", "maya", "--org", "harbour", "list", "--limit", "6"])?;
        self.ok(&["--as", "priya", "--org", "harbour", "list", "--mine", "--limit", "5"])?;
        let shared = self.shared_task()?;
        self.ok(&[
            "--as",
            "priya",
            "--org",
            "harbour",
            "note",
            "add",
            "Ask Tomasz before I promise a date",
            "--on",
            &shared,
        ])?;
        self.ok(&["--as", "priya", "--org", "harbour", "show", &shared])?;
        self.say("Her note is hers alone: Maya sees the task without it. Elena is no member.")?;
        self.ok(&["--as", "maya", "--org", "harbour", "note", "list", "--on", &shared])?;
        self.refused(&["--as", "elena", "--org", "harbour", "list"])?;
        self.say("What was refused is in Elena's own history.")?;
        self.ok(&["--as", "elena", "history", "--limit", "1"])?;

        self.say("Importing again adds nothing, and all that was done can be verified.")?;
        self.ok(&["import", "sample.json"])?;
        self.ok(&["check"])
    }

    fn say(&mut self, text: &str) -> Outcome {
        if !self.out.json {
            let text = self.out.style(Style::Bold, format!("\n# {text}"));
            self.out.line(text);
            self.out.flush()?;
        }
        Ok(())
    }

    fn ok(&mut self, words: &[&str]) -> Outcome {
        self.command(words)
    }

    fn refused(&mut self, words: &[&str]) -> Outcome {
        match self.command(words) {
            Err(failure) if failure.exit == Exit::Refused => {
                if !self.out.json {
                    self.out.line(format!("todo: {failure}"));
                    let exit = self.out.style(Style::Dim, "(exit code 1)");
                    self.out.line(exit);
                    self.out.flush()?;
                }
                Ok(())
            }
            Err(failure) => Err(failure),
            Ok(()) => Err(Failure::store(format!("todo {} should have been refused", words.join(" ")))),
        }
    }

    /// Parses and runs a command as the shell would, on the demo's store.
    fn command(&mut self, words: &[&str]) -> Outcome {
        let shown: Vec<String> = words.iter().map(|word| quoted(word)).collect();
        let shown = format!("todo {}", shown.join(" "));
        if !self.out.json {
            let line = self.out.style(Style::Green, format!("\n$ {shown}"));
            self.out.line(line);
            self.out.flush()?;
        }
        let sample = self.sample.display().to_string();
        let words = words.iter().map(|word| if *word == "sample.json" { sample.as_str() } else { word });
        let store = self.store.display().to_string();
        let cli = Cli::try_parse_from(["todo", "--store", &store].into_iter().chain(words))
            .map_err(|error| Failure::usage(error.to_string()))?;
        let done = if self.out.json {
            let mut inner = Terminal::new(true);
            let done = crate::run(Cli { json: true, ..cli }, &mut inner);
            let (exit, output) = match &done {
                Ok(()) => (0, serde_json::from_str(&inner.take()).unwrap_or_default()),
                Err(failure) => (failure.exit as u8, serde_json::json!({ "error": failure.message })),
            };
            self.commands.push(serde_json::json!({ "command": shown, "exit": exit, "output": output }));
            done
        } else {
            crate::run(cli, self.out)
        };
        self.out.flush()?;
        done
    }

    fn id_of_cake(&self) -> Outcome<String> {
        let store = model::builder().read_only().open(self.store)?;
        let session = store.session(&UserId::new("maya")?)?;
        let cake = session.query::<Task>().filter(Task::TITLE.eq("Order the birthday cake")).one()?;
        Ok(short_id(cake.id.uuid()))
    }

    fn whole_id(&self, end: &str) -> Outcome<String> {
        let store = model::builder().read_only().open(self.store)?;
        let session = store.session(&UserId::new("maya")?)?;
        let found = session.list::<Task>()?.into_iter().find(|task| short_id(task.id.uuid()) == end);
        found.map(|task| task.id.to_string()).ok_or_else(|| Failure::store("the demo lost its to-do"))
    }

    fn shared_task(&self) -> Outcome<String> {
        let store = model::builder().read_only().open(self.store)?;
        let priya = UserId::new("priya")?;
        let session = store.session(&priya)?.in_organization(&tenantry::OrganizationId::new("harbour")?)?;
        let mine = SharedTask::ASSIGNEE.eq(priya).and(SharedTask::STATUS.eq(Status::Open));
        let first = session
            .query::<SharedTask>()
            .filter(mine.and(SharedTask::DUE.is_some()))
            .order_by(SharedTask::DUE.asc())
            .first()?;
        first
            .map(|task| short_id(task.id.uuid()))
            .ok_or_else(|| Failure::store("the sample has no task for priya"))
    }
}

/// A word as a shell needs it typed.
fn quoted(word: &str) -> String {
    if word.chars().all(|c| c.is_ascii_alphanumeric() || "-_./+=@:".contains(c)) {
        word.to_owned()
    } else if word.contains('\'') {
        format!("\"{word}\"")
    } else {
        format!("'{word}'")
    }
}
