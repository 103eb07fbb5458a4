//! Attacks by tenants' own SQL: statements that try to see, learn of or change what is another tenant's.
//!
//! Each statement of `corpus/` (whose README says how to write one), and of a foreign corpus that lies beside the checkout,
//! runs from a user's session and from one in an organization, in two stores: a full one, in which every value of every other
//! tenant holds a mark (`world.rs`), and a twin in which the attacker is alone. The clock and the randomness of both
//! are the same, so every answer, plan, error and log entry has to be the same too, and none may hold a mark, an internal
//! name or a number of everybody's rows (`checks.rs`). Afterwards the files hold what they held.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, unreachable_pub, missing_docs)]

mod checks;
mod corpus;
#[path = "../engine/mod.rs"]
mod engine;
mod world;

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tenantry::{Error, Sql, SqlLimits, Value};

use checks::{Allowed, Marks};
use corpus::{Attack, Bind, Expected, Scope};
use world::{Attacker, World};

/// One of the two at a time: the limit of memory counts the whole process.
static ALONE: Mutex<()> = Mutex::new(());

/// For statements that are there to reach a limit; others have time, so that a busy machine does not stop them.
const SHORT: Duration = Duration::from_millis(100);
const LONG: Duration = Duration::from_secs(3);

fn limits(time: Duration) -> SqlLimits {
    SqlLimits::new().run_time(time).rows(2_000).result_bytes(4 << 20).memory(48 << 20)
}

/// What a subscriber writes.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    fn take(&self) -> String {
        let bytes = std::mem::take(&mut *self.0.lock().unwrap());
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What a call answered.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    Rows { columns: Vec<(String, Option<String>)>, rows: Vec<Vec<Value>> },
    Plan(Vec<(i64, i64, String)>),
    Error { kind: Kind, texts: Vec<String> },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Refused,
    Error,
    Own,
    Limit,
    /// What no statement should meet.
    Other,
}

impl Outcome {
    fn kind(&self) -> Kind {
        match self {
            Outcome::Rows { .. } | Outcome::Plan(_) => Kind::Own,
            Outcome::Error { kind, .. } => *kind,
        }
    }
}

fn failed(error: &Error) -> Outcome {
    let kind = match error {
        Error::AccessDenied { .. } => Kind::Refused,
        Error::Sql { .. } | Error::InvalidInput { .. } => Kind::Error,
        Error::LimitExceeded { .. } => Kind::Limit,
        _ => Kind::Other,
    };
    let mut texts = vec![error.to_string(), format!("{error:?}"), format!("{error:#?}")];
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        texts.push(format!("{cause} {cause:?}"));
        source = cause.source();
    }
    Outcome::Error { kind, texts }
}

fn bound<'s>(sql: Sql<'s>, bind: &Bind) -> Sql<'s> {
    match bind {
        Bind::None => sql,
        Bind::Positional(values) => values.iter().cloned().fold(sql, Sql::bind),
        Bind::Named(values) => {
            values.iter().cloned().fold(sql, |sql, (name, value)| sql.bind_named(name, value))
        }
    }
}

fn rows_of(sql: Sql<'_>) -> Outcome {
    sql.rows().map_or_else(
        |error| failed(&error),
        |rows| Outcome::Rows {
            columns: rows
                .columns()
                .iter()
                .map(|column| (column.name().to_owned(), column.declared_type().map(str::to_owned)))
                .collect(),
            rows: rows.rows().iter().map(|row| row.values().to_vec()).collect(),
        },
    )
}

fn plan_of(sql: Sql<'_>) -> Outcome {
    sql.explain().map_or_else(
        |error| failed(&error),
        |steps| Outcome::Plan(steps.into_iter().map(|step| (step.id, step.parent, step.detail)).collect()),
    )
}

/// What one statement made of one store.
struct Seen {
    rows: Outcome,
    plan: Outcome,
    /// Entries that the attacker's own logs got.
    log: Vec<String>,
    /// What `tracing` was told.
    traced: String,
    /// A plain query, and the same by verbs.
    plain: String,
    /// How long its rows took.
    time: Duration,
}

fn attack(world: &World, attacker: &dyn Attacker, attack: &Attack, turn: u64, lines: &Lines) -> Seen {
    world.turn(turn);
    let time = if attack.is_endless() { SHORT } else { LONG };
    drop(lines.take());
    let began = Instant::now();
    let rows = attacker.sql(limits(time), &attack.text, &mut |sql| rows_of(bound(sql, &attack.bind)));
    let took = began.elapsed();
    let plan = attacker.sql(limits(time), &attack.text, &mut |sql| plan_of(bound(sql, &attack.bind)));
    let (traced, plain) = (lines.take(), attacker.plain());
    Seen { rows, plan, log: attacker.new_entries(), traced, plain, time: took }
}

/// What all statements met, by file, and how long they took.
#[derive(Default)]
struct Summary {
    kinds: BTreeMap<String, BTreeMap<Kind, u32>>,
    times: Vec<(Duration, String)>,
}

impl Summary {
    fn count(&mut self, attack: &Attack, seen: &Seen) {
        let kinds = self.kinds.entry(attack.file.clone()).or_default();
        *kinds.entry(seen.rows.kind()).or_default() += 1;
        self.times.push((seen.time, format!("{}: {}", attack.file, attack.what)));
    }

    fn print(&mut self) {
        println!(
            "{:28} {:>8} {:>8} {:>8} {:>8}",
            "statements × sessions", "refused", "error", "own", "limit"
        );
        for (file, kinds) in &self.kinds {
            let of = |kind| kinds.get(&kind).copied().unwrap_or(0);
            let [refused, error, own, limit] = [Kind::Refused, Kind::Error, Kind::Own, Kind::Limit].map(of);
            println!("{file:28} {refused:>8} {error:>8} {own:>8} {limit:>8}");
        }
        self.times.sort();
        for (time, what) in self.times.iter().rev().take(5) {
            println!("longest: {time:?}, {what}");
        }
    }
}

struct Runner {
    full: World,
    twin: World,
    marks: Marks,
    lines: Lines,
    turn: u64,
    summary: Summary,
    problems: Vec<String>,
}

impl Runner {
    fn new(lines: &Lines) -> Self {
        let (full, twin) = (World::full(), World::alone());
        let marks = Marks::of(&full);
        Self {
            full,
            twin,
            marks,
            lines: lines.clone(),
            turn: 0,
            summary: Summary::default(),
            problems: Vec::new(),
        }
    }

    fn run(&mut self, attacks: &[Attack], scope: Scope) {
        for world in [&self.full, &self.twin] {
            // Those of the other scope, which share a log.
            world.attacker(scope).new_entries();
        }
        for attack in attacks.iter().filter(|attack| attack.scope.is_none_or(|only| only == scope)) {
            let attack = attack.resolved(&self.full, scope);
            self.turn += 1;
            for problem in self.run_one(&attack, scope) {
                let told = format!("[{} / {scope:?} / {}] {problem}", attack.file, attack.what);
                let text: String = attack.text.chars().take(300).collect();
                self.problems.push(format!("{told}\n    {text}"));
            }
        }
    }

    fn run_one(&mut self, attack: &Attack, scope: Scope) -> Vec<String> {
        let before = self.full.state();
        let seen = self::attack(&self.full, self.full.attacker(scope), attack, self.turn, &self.lines);
        let alone = self::attack(&self.twin, self.twin.attacker(scope), attack, self.turn, &self.lines);
        self.summary.count(attack, &seen);
        let allowed = Allowed::by(attack);
        let mut problems = self.marks.look_at(&seen.rows, "rows", &allowed);
        problems.extend(self.marks.look_at(&seen.plan, "plan", &allowed));
        problems.extend(self.marks.look_at_text(&seen.log.concat(), "log", &allowed));
        problems.extend(self.marks.look_at_text(&seen.traced, "tracing", &allowed));
        problems.extend(expected(attack, &seen.rows));
        problems.extend(compared(attack, &seen, &alone));
        if seen.plain != self.full.attacker(scope).expected() {
            problems.push(format!("a plain query answers {}", seen.plain));
        }
        problems.extend(self.full.changes(&before, !seen.log.is_empty()));
        problems
    }

    fn finish(mut self) {
        self.summary.print();
        let slow = format!("{:?}", self.full.store.slow_operations());
        let mut problems = self.problems;
        problems.extend(self.marks.look_at_text(&slow, "slow operations", &Allowed::nothing()));
        for (name, world) in [("the full store", &self.full), ("the twin", &self.twin)] {
            let report = world.store.check().unwrap();
            assert!(report.is_clean(), "{name}: {report}");
        }
        assert!(problems.is_empty(), "{} problems:\n{}", problems.len(), problems.join("\n"));
    }
}

fn expected(attack: &Attack, outcome: &Outcome) -> Option<String> {
    let kind = outcome.kind();
    let is_right = match attack.expected {
        None => kind != Kind::Other,
        Some(Expected::Refused) => kind == Kind::Refused,
        Some(Expected::Error) => kind == Kind::Error,
        Some(Expected::Own) => kind == Kind::Own,
        Some(Expected::Limit) => kind == Kind::Limit,
    };
    (!is_right).then(|| format!("expected {:?}, met {}", attack.expected, shortened(outcome)))
}

fn compared(attack: &Attack, seen: &Seen, alone: &Seen) -> Vec<String> {
    let mut problems = Vec::new();
    for (what, full, twin) in [("rows", &seen.rows, &alone.rows), ("plan", &seen.plan, &alone.plan)] {
        if !is_same(attack, full, twin) {
            problems.push(format!("{what}: {} but alone {}", shortened(full), shortened(twin)));
        }
    }
    // What was refused at which moment is the same, whatever a limit cut off.
    if seen.log != alone.log {
        problems.push(format!("log: {:?} but alone {:?}", seen.log, alone.log));
    }
    problems
}

fn is_same(attack: &Attack, full: &Outcome, twin: &Outcome) -> bool {
    if full == twin {
        return true;
    }
    match (full, twin) {
        // Which limit comes first is a matter of speed.
        (Outcome::Error { kind: Kind::Limit, .. }, Outcome::Error { kind: Kind::Limit, .. }) => {
            attack.is_endless()
        }
        (Outcome::Rows { columns, rows }, Outcome::Rows { columns: other_columns, rows: other_rows }) => {
            attack.is_of_the_moment() && columns == other_columns && rows.len() == other_rows.len()
        }
        _ => attack.expected == Some(Expected::Limit),
    }
}

fn shortened(outcome: &Outcome) -> String {
    format!("{outcome:?}").chars().take(600).collect()
}

fn run(attacks: &[Attack]) {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_span_events(tracing_subscriber::fmt::format::FmtSpan::CLOSE)
        .with_writer(move || writer.clone())
        .finish();
    tracing::subscriber::with_default(subscriber, || {
        let mut runner = Runner::new(&lines);
        for scope in [Scope::User, Scope::Organization] {
            runner.run(attacks, scope);
        }
        runner.finish();
    });
}

#[test]
fn no_statement_of_the_corpus_learns_or_changes_anything() {
    let attacks = corpus::own();
    assert!(attacks.len() >= 400, "{} statements", attacks.len());
    run(&attacks);
}

#[test]
fn no_statement_of_a_foreign_corpus_learns_or_changes_anything() {
    let Some(attacks) = corpus::foreign() else {
        println!("skipped: there is no ../shared/attacks/attacks.sql beside the checkout");
        return;
    };
    assert!(attacks.len() > 100, "{} statements", attacks.len());
    run(&attacks);
}

/// The checks see what they are for.
#[test]
fn marks_names_and_numbers_of_others_are_found() {
    let world = World::full();
    let marks = Marks::of(&world);
    let nothing = Allowed::nothing();
    let id = *world.foreign.ids.first().unwrap();
    let hidden = format!("_{:032x}_task", 0xabcdef);
    for (text, is_found) in [
        ("a title qz7X", true),
        ("hex 576B336A", true),
        (&id.to_string(), true),
        (&id.simple().to_string(), true),
        ("no such column: _rows_task.x", true),
        ("SCAN main._audit", true),
        ("private_audit", false),
        (&hidden, true),
        ("due 2071-05-01", true),
        ("no such table: taks", false),
    ] {
        let found = marks.look_at_text(text, "text", &nothing);
        assert_eq!(!found.is_empty(), is_found, "{text}: {found:?}");
        let rows =
            Outcome::Rows { columns: Vec::new(), rows: vec![vec![Value::from(text.as_bytes().to_vec())]] };
        assert_eq!(!marks.look_at(&rows, "rows", &nothing).is_empty(), is_found, "{text}");
    }
    for (value, is_found) in [
        (Value::from(137_i64), true),
        (Value::from(131_i64), true),
        (Value::from(410_i64), true),
        (Value::from(5_i64), false),
        (Value::from(world::AMOUNT + 3.0), true),
        (Value::from(1.5), false),
    ] {
        let rows = Outcome::Rows { columns: Vec::new(), rows: vec![vec![value.clone()]] };
        assert_eq!(!marks.look_at(&rows, "rows", &nothing).is_empty(), is_found, "{value:?}");
    }
}

/// What another tenant does to the file is seen, and a new file.
#[test]
fn changes_of_the_files_are_found() {
    let world = World::full();
    let before = world.state();
    assert_eq!(world.changes(&before, false), Vec::<String>::new());
    assert_eq!(world.changes(&before, true), Vec::<String>::new());
    world.store.users().rename(&tenantry::UserId::new("bob").unwrap(), "Robert").unwrap();
    assert_eq!(world.changes(&before, false).len(), 1);
    assert_eq!(world.changes(&before, true).len(), 1);
    std::fs::write(world.store.path().with_file_name("new"), "").unwrap();
    assert_eq!(world.changes(&before, true).len(), 2);
}
