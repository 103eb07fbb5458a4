//! One tenant's data in stores that differ in what others hold, and in a plain database that holds nothing else.

use std::path::Path;

use rusqlite::Connection;
use rusqlite::limits::Limit;
use rusqlite::types::{Value as Sql, ValueRef};
use tempfile::TempDir;
use tenantry::{
    Builder, Entity, Error, Id, Record, SqlLimits, Store, TenantSession, Timestamp, UserId, Uuid, Value,
};

use crate::grammar::{NUMBERS, TEXTS};

#[derive(Debug, Clone, PartialEq, Entity)]
#[entity(tenancy = reference)]
pub(crate) struct Label {
    code: String,
}

/// Only others have any.
#[derive(Debug, Clone, PartialEq, Entity)]
pub(crate) struct Spare {
    name: String,
}

#[derive(Debug, Clone, PartialEq, Entity)]
pub(crate) struct Project {
    name: String,
    rank: i64,
}

#[derive(Debug, Clone, PartialEq, Entity)]
#[entity(index(status, amount), index(n), index(due desc, title), unique(title, n, amount, done))]
pub(crate) struct Task {
    title: String,
    status: String,
    n: i64,
    amount: f64,
    done: bool,
    due: Option<Timestamp>,
    #[entity(nested)]
    tags: Vec<String>,
    payload: Vec<u8>,
    project: Option<Id<Project>>,
    label: Option<Id<Label>>,
}

/// What the others hold.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Others {
    None,
    Few,
    /// And statistics of it all.
    Many,
}

pub(crate) struct World {
    pub(crate) session: TenantSession,
    _store: Store,
    _folder: TempDir,
}

/// More rows than a comparison needs.
const ROWS: usize = 20_000;

/// Time stands still, so that a tenant's times do not depend on how much others do.
fn builder() -> Builder {
    let limits = SqlLimits::new()
        .run_time(std::time::Duration::from_secs(20))
        .rows(ROWS as u64)
        .result_bytes(u64::MAX)
        .memory(u64::MAX);
    crate::engine::builder()
        .entity::<Label>()
        .entity::<Project>()
        .entity::<Spare>()
        .entity::<Task>()
        .clock(|| Timestamp::from_second(1_780_000_000).expect("a time"))
        .sql_limits(limits)
}

/// Ids that are the same in every store: UUIDv7, with the kind for a time (RFC 9562, section 5.7).
fn id(kind: u64, number: usize) -> Uuid {
    Uuid::from_u128(u128::from(kind) << 80 | 0x7 << 76 | 0x2 << 62 | number as u128)
}

/// Numbers that look random and are the same each time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % end
    }
}

/// `poison` is how far into the list of values rows go: others hold some that the tenant does not.
fn fill(session: &TenantSession, seed: u64, rows: usize, values: usize, labels: &[Id<Label>]) {
    let mut dice = Dice(seed);
    let projects: Vec<Id<Project>> = (0..4)
        .map(|number| {
            let project = Project { name: TEXTS[dice.below(values)].to_owned(), rank: number as i64 };
            let id = Id::from_uuid(id(seed * 2, number));
            session.upsert(id, &project).expect("a project");
            id
        })
        .collect();
    if values == TEXTS.len() {
        session.insert(&Spare { name: "a".to_owned() }).expect("a spare one");
    }
    for number in 0..rows {
        let task = Task {
            title: TEXTS[dice.below(values)].to_owned(),
            status: TEXTS[dice.below(3)].to_owned(),
            n: NUMBERS[dice.below(values)],
            amount: (dice.below(40) as f64 - 20.0) / 4.0,
            done: dice.below(2) == 0,
            due: (dice.below(3) > 0)
                .then(|| Timestamp::from_second(dice.below(5) as i64 * 86_400).expect("a time")),
            tags: (0..dice.below(3)).map(|tag| TEXTS[tag].to_owned()).collect(),
            payload: vec![dice.below(3) as u8; dice.below(3)],
            project: (dice.below(4) > 0).then(|| projects[dice.below(4)]),
            label: (dice.below(2) > 0).then(|| labels[dice.below(labels.len())]),
        };
        match session.upsert(Id::from_uuid(id(seed * 2 + 1, number)), &task) {
            Ok(_) | Err(Error::Unique { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

pub(crate) fn world(seed: u64, others: Others) -> World {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("app.db");
    let store = builder().open(&path).expect("a store");
    let labels: Vec<Id<Label>> = ["a", "b"]
        .iter()
        .enumerate()
        .map(|(number, code)| {
            let id = Id::from_uuid(id(1, number));
            store.reference().upsert(id, &Label { code: (*code).to_owned() }).expect("a label");
            id
        })
        .collect();
    let user = |name: &str| {
        let user = store.users().create(&UserId::new(name).expect("an id")).expect("a user");
        store.session(&user).expect("a session")
    };
    let (tenants, rows) = match others {
        Others::None => (0, 0),
        Others::Few => (3, 10),
        Others::Many => (24, 60),
    };
    // Before and after the tenant, so that its rows lie between those of others.
    for number in 0..tenants / 2 {
        fill(&user(&format!("before {number}")), 100 + number, rows, TEXTS.len(), &labels);
    }
    fill(&user("ada"), seed, 24, 5, &labels);
    for number in tenants / 2..tenants {
        fill(&user(&format!("after {number}")), 100 + number, rows, TEXTS.len(), &labels);
    }
    store.close().expect("closed");
    if others == Others::Many {
        analyze(&path);
    }
    let store = builder().open(&path).expect("the store");
    let session = store.session(&UserId::new("ada").expect("an id")).expect("a session");
    World { session, _store: store, _folder: folder }
}

fn analyze(path: &Path) {
    crate::engine::look(path).execute_batch("ANALYZE").expect("statistics");
}

fn time(time: Timestamp) -> Sql {
    Sql::Text(time.strftime("%Y-%m-%d %H:%M:%S.%6fZ").to_string())
}

fn head<M>(record: &Record<M>) -> [Sql; 3] {
    let version = i64::try_from(record.version).expect("a version");
    [Sql::Integer(version), time(record.created), time(record.updated)]
}

/// The same data, read by the typed verbs, in tables of a database of their own.
pub(crate) fn plain(session: &TenantSession) -> Connection {
    let connection = Connection::open_in_memory().expect("a database");
    // As `SqlLimits` has it: beyond it `printf` gives no value before SQLite 3.53.
    connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, 256 << 10).expect("a limit");
    connection
        .execute_batch(
            "CREATE TABLE label (id TEXT PRIMARY KEY, code TEXT, version INTEGER, created TEXT, updated TEXT);
             CREATE TABLE project (id TEXT PRIMARY KEY, name TEXT, rank INTEGER, version INTEGER, created TEXT, updated TEXT);
             CREATE TABLE spare (id TEXT PRIMARY KEY, name TEXT, version INTEGER, created TEXT, updated TEXT);
             CREATE TABLE task (id TEXT PRIMARY KEY, title TEXT, status TEXT, n INTEGER, amount REAL, done INTEGER, due TEXT,
                 tags TEXT, payload BLOB, project TEXT, label TEXT, version INTEGER, created TEXT, updated TEXT);
             CREATE TABLE audit (number INTEGER PRIMARY KEY, action TEXT, entity TEXT, record TEXT, outcome TEXT,
                 admin TEXT); -- without a value, which alone matters where NATURAL compares all columns
             CREATE INDEX task_status ON task (status, amount);",
        )
        .expect("tables");
    let insert = |table: &str, values: Vec<Sql>| {
        let places = vec!["?"; values.len()].join(", ");
        connection
            .execute(&format!("INSERT INTO {table} VALUES ({places})"), rusqlite::params_from_iter(values))
            .expect("a row");
    };
    let text = |text: String| Sql::Text(text);
    let maybe = |id: Option<Uuid>| id.map_or(Sql::Null, |id| Sql::Text(id.to_string()));
    for label in session.list::<Label>().expect("labels") {
        let values = [text(label.id.to_string()), text(label.value.code.clone())];
        insert("label", values.into_iter().chain(head(&label)).collect());
    }
    for project in session.list::<Project>().expect("projects") {
        let Project { name, rank } = project.value.clone();
        let values = [text(project.id.to_string()), text(name), Sql::Integer(rank)];
        insert("project", values.into_iter().chain(head(&project)).collect());
    }
    for record in session.list::<Task>().expect("tasks") {
        let task = record.value.clone();
        let values = [
            text(record.id.to_string()),
            text(task.title),
            text(task.status),
            Sql::Integer(task.n),
            Sql::Real(task.amount),
            Sql::Integer(i64::from(task.done)),
            task.due.map_or(Sql::Null, time),
            text(serde_json::to_string(&task.tags).expect("JSON")),
            Sql::Blob(task.payload),
            maybe(task.project.map(Id::uuid)),
            maybe(task.label.map(Id::uuid)),
        ];
        insert("task", values.into_iter().chain(head(&record)).collect());
    }
    for entry in session.audit().list().expect("the log") {
        let number = i64::try_from(entry.number).expect("a number");
        let entity = entry.entity.map_or(Sql::Null, Sql::Text);
        insert(
            "audit",
            vec![
                Sql::Integer(number),
                text(entry.action),
                entity,
                maybe(entry.record),
                text(entry.outcome),
                Sql::Null,
            ],
        );
    }
    connection
}

/// What the plain database answers.
pub(crate) fn ask(connection: &Connection, sql: &str) -> rusqlite::Result<Vec<Vec<Value>>> {
    let mut statement = connection.prepare(sql)?;
    let columns = statement.column_count();
    let mut rows = statement.raw_query();
    let mut answer = Vec::new();
    while let Some(row) = rows.next()? {
        if answer.len() > ROWS {
            break; // The session has given up too.
        }
        answer.push(
            (0..columns).map(|column| row.get_ref(column).map(value)).collect::<rusqlite::Result<_>>()?,
        );
    }
    Ok(answer)
}

fn value(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Null => Value::None,
        ValueRef::Integer(integer) => Value::Integer(integer),
        ValueRef::Real(real) => Value::Real(real),
        ValueRef::Text(text) => match std::str::from_utf8(text) {
            Ok(text) => Value::Text(text.to_owned()),
            Err(_) => Value::Bytes(text.to_vec()),
        },
        ValueRef::Blob(bytes) => Value::Bytes(bytes.to_vec()),
    }
}
