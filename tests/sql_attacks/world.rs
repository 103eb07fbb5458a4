//! The two stores: a full one and its twin, in which the attacker is alone.

use std::collections::BTreeSet;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use rusqlite::Connection;
use rusqlite::types::ValueRef;
use tempfile::TempDir;
use tenantry::{
    Durability, Entity, Id, Monitoring, OrganizationId, OrganizationSession, Role, Sql, SqlLimits, Store,
    TenantSession, Timestamp, UserId, Uuid,
};

use crate::corpus::Scope;

/// What every text of other tenants begins and ends with. Statements may name the beginning; the end is named nowhere.
pub const HEAD: &str = "Qz7x";
pub const TAIL: &str = "Wk3j";
/// Other tenants' numbers are from here on, and their times in this year.
pub const AMOUNT: f64 = 770_000.0;
pub const YEAR: &str = "2071-";

/// A user's entities, and the same for an organization.
macro_rules! entities {
    ($task:ident, $project:ident, $project_id:ident, [$($attribute:tt)*]) => {
        #[derive(Debug, Clone, PartialEq, Entity)]
        #[entity(unique(code), index(status, due), index(title), index(amount), index($project_id) $($attribute)*)]
        struct $task {
            title: String,
            status: String,
            due: Option<Timestamp>,
            amount: f64,
            $project_id: Option<Id<$project>>,
            category_id: Option<Id<Category>>,
            tags: Vec<String>,
            payload: Vec<u8>,
            #[entity(secret)]
            secret: String,
            code: String,
        }

        #[derive(Debug, Clone, PartialEq, Entity)]
        #[entity(unique(name) $($attribute)*)]
        struct $project {
            name: String,
            #[entity(secret)]
            secret: String,
        }

        impl $task {
            fn marked(mark: &str, number: usize, project: Id<$project>, category: Id<Category>) -> Self {
                let text = |what: &str| format!("{HEAD} {what} {number} of {mark} {TAIL}");
                Self {
                    title: text("title"),
                    status: text("status"),
                    due: Some(format!("{YEAR}05-01T00:00:{:02}Z", number % 60).parse().unwrap()),
                    amount: AMOUNT + number as f64,
                    $project_id: Some(project),
                    category_id: Some(category),
                    tags: vec![text("tag"), text("another tag")],
                    payload: text("payload").into_bytes(),
                    secret: text("secret"),
                    code: text("code"),
                }
            }

            fn own(number: usize, project: Id<$project>, category: Id<Category>) -> Self {
                let titles = ["buy milk", "Call Zoë", "paint", "dig", "call Zoë"];
                Self {
                    title: titles[number].to_owned(),
                    status: ["open", "done"][number % 2].to_owned(),
                    due: (number != 2).then(|| format!("2026-0{}-01T10:00:00Z", number + 1).parse().unwrap()),
                    amount: 1.5 * number as f64,
                    $project_id: (number % 2 == 0).then_some(project),
                    category_id: Some(category),
                    tags: (0..number).map(|tag| format!("tag {tag}")).collect(),
                    payload: vec![number as u8; number],
                    secret: format!("my own {number}"),
                    code: format!("c{number}"),
                }
            }
        }

        impl $project {
            fn marked(mark: &str, number: usize) -> Self {
                let text = |what: &str| format!("{HEAD} {what} {number} of {mark} {TAIL}");
                Self { name: text("project"), secret: text("secret") }
            }
        }
    };
}

entities!(Task, Project, project_id, []);
entities!(Ticket, Board, board_id, [, tenancy = organization, author]);

#[derive(Debug, Clone, PartialEq, Entity)]
#[entity(tenancy = reference, unique(label))]
struct Category {
    label: String,
}

#[derive(Debug, Clone, PartialEq, Entity)]
struct Diary {
    text: String,
}

#[derive(Debug, Clone, PartialEq, Entity)]
#[entity(tenancy = member)]
struct Note {
    text: String,
    ticket_id: Option<Id<Ticket>>,
}

/// Where a store takes its time and its randomness from: the same in each turn of both stores, whatever came before.
#[derive(Default)]
struct Source {
    turn: AtomicU64,
    state: Mutex<u64>,
}

impl Source {
    fn begin(&self, turn: u64) {
        self.turn.store(turn, Ordering::Relaxed);
        *self.state.lock().unwrap() = turn;
    }

    fn now(&self) -> Timestamp {
        let second = i64::try_from(self.turn.load(Ordering::Relaxed)).unwrap();
        Timestamp::from_second(1_790_000_000 + second).unwrap()
    }

    /// SplitMix64.
    fn fill(&self, bytes: &mut [u8]) {
        let mut state = self.state.lock().unwrap();
        for byte in bytes {
            *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            *byte = (mixed >> 56) as u8;
        }
    }
}

/// Turns of what comes before the statements.
const STORE: u64 = 1;
const OTHERS: u64 = 2;
const OWN: u64 = 3;
const LATER: u64 = 4;
const STATEMENTS: u64 = 10;

/// How many rows each of the others has: so many that a count of everybody's is none of what statements count.
const ROWS: [usize; 2] = [131, 137];

/// Whoever runs the statements.
pub trait Attacker {
    fn sql(
        &self,
        limits: SqlLimits,
        text: &str,
        run: &mut dyn FnMut(Sql<'_>) -> crate::Outcome,
    ) -> crate::Outcome;
    /// What a plain query says, and the verbs.
    fn plain(&self) -> String;
    /// What it said at first.
    fn expected(&self) -> &str;
    /// What the logs have got since they were asked last.
    fn new_entries(&self) -> Vec<String>;
}

struct User {
    session: TenantSession,
    seen: AtomicU64,
    expected: String,
    own: Uuid,
}

struct Member {
    session: OrganizationSession,
    /// A refusal goes to the user's own log.
    user: TenantSession,
    seen: [AtomicU64; 3],
    expected: String,
    own: Uuid,
}

/// The entries that came since, of a log that is read whole: they are few.
///
/// Without their hashes, which nothing of SQL shows: they cover the actor's key, and that is another one in each store.
fn since(seen: &AtomicU64, mut entries: Vec<tenantry::AuditEntry>) -> Vec<String> {
    entries.iter_mut().for_each(|entry| entry.hash = [0; 32]);
    let before = seen.load(Ordering::Relaxed);
    if let Some(last) = entries.last() {
        seen.store(last.number, Ordering::Relaxed);
    }
    entries.iter().filter(|entry| entry.number > before).map(|entry| format!("{entry:?}")).collect()
}

impl Attacker for User {
    fn sql(
        &self,
        limits: SqlLimits,
        text: &str,
        run: &mut dyn FnMut(Sql<'_>) -> crate::Outcome,
    ) -> crate::Outcome {
        run(self.session.with_sql_limits(limits).sql(text))
    }

    fn plain(&self) -> String {
        let sql = "SELECT count(*), min(title), max(code), total(amount), group_concat(id) FROM task";
        format!("{} {:?}", crate::engine::shown(&self.session.sql(sql).rows()), self.session.list::<Task>())
    }

    fn expected(&self) -> &str {
        &self.expected
    }

    fn new_entries(&self) -> Vec<String> {
        let before = self.seen.load(Ordering::Relaxed);
        since(&self.seen, self.session.audit().after(before).list().unwrap())
    }
}

impl Attacker for Member {
    fn sql(
        &self,
        limits: SqlLimits,
        text: &str,
        run: &mut dyn FnMut(Sql<'_>) -> crate::Outcome,
    ) -> crate::Outcome {
        run(self.session.with_sql_limits(limits).sql(text))
    }

    fn plain(&self) -> String {
        let sql = "SELECT count(*), min(title), max(code), total(amount), group_concat(id) FROM ticket";
        format!("{} {:?}", crate::engine::shown(&self.session.sql(sql).rows()), self.session.list::<Ticket>())
    }

    fn expected(&self) -> &str {
        &self.expected
    }

    fn new_entries(&self) -> Vec<String> {
        let [own, shared, private] = &self.seen;
        let after = |seen: &AtomicU64| seen.load(Ordering::Relaxed);
        [
            since(own, self.user.audit().after(after(own)).list().unwrap()),
            since(shared, self.session.audit().after(after(shared)).list().unwrap()),
            since(private, self.session.private_audit().after(after(private)).list().unwrap()),
        ]
        .concat()
    }
}

/// What others have, for statements that name it and for the search of it.
#[derive(Default)]
pub struct Foreign {
    /// Of all records, and of some that statements name.
    pub ids: BTreeSet<Uuid>,
    /// A task, a project, a ticket and a board.
    named: [Uuid; 4],
}

pub struct World {
    source: Arc<Source>,
    folder: TempDir,
    pub store: Store,
    user: User,
    member: Member,
    pub foreign: Foreign,
    /// Beside the store, of which it holds nothing.
    beside: Connection,
    path: PathBuf,
    /// The key of the attacking user, whose log may grow.
    key: i64,
    /// A hash of everything else, which stays.
    others: u64,
}

/// What the files hold.
pub struct State {
    files: BTreeSet<String>,
    bytes: [Vec<u8>; 2],
}

fn name(what: &str) -> String {
    format!("{HEAD}-{what}-{TAIL}")
}

fn user(store: &Store, id: &str) -> TenantSession {
    store.session(&store.users().get_or_create(&UserId::new(id).unwrap()).unwrap()).unwrap()
}

fn others_user(store: &Store, what: &str) -> TenantSession {
    let session = user(store, &name(what));
    store.users().rename(session.user(), &name(&format!("{what} by name"))).unwrap();
    session
}

/// Fills what another user has.
fn fill_user(
    session: &TenantSession,
    mark: &str,
    rows: usize,
    category: Id<Category>,
    foreign: &mut Foreign,
) {
    let projects: Vec<_> =
        (0..rows).map(|number| session.insert(&Project::marked(mark, number)).unwrap()).collect();
    let tasks: Vec<_> =
        (0..rows).map(|number| Task::marked(mark, number, projects[number], category)).collect();
    let tasks = session.insert_many(&tasks).unwrap();
    let diary = session.insert(&Diary { text: name("diary") }).unwrap();
    session.delete(session.insert(&Project::marked("a deleted one", 0)).unwrap()).unwrap();
    (foreign.named[0], foreign.named[1]) = (tasks[rows / 2].uuid(), projects[0].uuid());
    foreign.ids.extend(tasks.iter().map(|id| id.uuid()));
    foreign.ids.extend(projects.iter().map(|id| id.uuid()).chain([diary.uuid()]));
}

/// Fills what another organization has.
fn fill_organization(
    session: &OrganizationSession,
    mark: &str,
    rows: usize,
    category: Id<Category>,
    foreign: &mut Foreign,
) {
    let boards: Vec<_> =
        (0..rows).map(|number| session.insert(&Board::marked(mark, number)).unwrap()).collect();
    let tickets: Vec<_> =
        (0..rows).map(|number| Ticket::marked(mark, number, boards[number], category)).collect();
    let tickets = session.insert_many(&tickets).unwrap();
    fill_notes(session, tickets[0], foreign);
    (foreign.named[2], foreign.named[3]) = (tickets[rows / 2].uuid(), boards[0].uuid());
    foreign.ids.extend(tickets.iter().map(|id| id.uuid()));
    foreign.ids.extend(boards.iter().map(|id| id.uuid()));
}

fn fill_notes(session: &OrganizationSession, ticket: Id<Ticket>, foreign: &mut Foreign) {
    for number in 0..70 {
        let note = Note { text: name(&format!("note {number}")), ticket_id: Some(ticket) };
        foreign.ids.insert(session.insert(&note).unwrap().uuid());
    }
}

fn organization(store: &Store, id: &str, members: &[&UserId]) -> OrganizationId {
    let id = store.organizations().create(&OrganizationId::new(id).unwrap()).unwrap().id;
    for (number, member) in members.iter().enumerate() {
        let role = if number == 0 { Role::Member } else { Role::Admin };
        store.organizations().add_member(&id, *member, role).unwrap();
    }
    id
}

fn others_organization(store: &Store, what: &str, members: &[&UserId]) -> OrganizationId {
    let id = organization(store, &name(what), members);
    store.organizations().rename(&id, &name(&format!("{what} by name"))).unwrap();
    id
}

impl World {
    /// With others, who have much.
    pub fn full() -> Self {
        Self::new(true)
    }

    /// The attacker alone.
    pub fn alone() -> Self {
        Self::new(false)
    }

    fn new(is_full: bool) -> Self {
        let source = Arc::new(Source::default());
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.db");
        // A store draws randomness ahead: each turn has one that was opened for it.
        let begin = |turn| {
            source.begin(turn);
            open(&path, &source)
        };
        let category = categories(&begin(STORE));
        let mut foreign = Foreign::default();
        if is_full {
            others(&begin(OTHERS), category, &mut foreign);
        }
        let own = own(&begin(OWN), category);
        if is_full {
            later(&begin(LATER), category, own.1, &mut foreign);
        }
        let store = begin(STATEMENTS);
        let (user, member) = attackers(&store, own);
        let beside = crate::engine::look(&path);
        beside.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
        let key = beside.query_row("SELECT key FROM _user WHERE id = 'ada'", [], |row| row.get(0)).unwrap();
        let mut world = Self { source, folder, store, user, member, foreign, beside, path, key, others: 0 };
        world.others = world.others();
        world
    }

    pub fn turn(&self, turn: u64) {
        self.source.begin(STATEMENTS + turn);
    }

    pub fn attacker(&self, scope: Scope) -> &dyn Attacker {
        match scope {
            Scope::User => &self.user,
            Scope::Organization => &self.member,
        }
    }

    /// What stands for what in statements.
    pub fn placeholders(&self, scope: Scope) -> [(&'static str, String); 9] {
        let [task, project, ticket, board] = self.foreign.named.map(|id| id.to_string());
        let (rows, foreign, foreign_project, own) = match scope {
            Scope::User => ("_rows_task", task, project, self.user.own),
            Scope::Organization => ("_rows_ticket", ticket, board, self.member.own),
        };
        [
            ("{rows}", rows.to_owned()),
            ("{db}", self.path.display().to_string()),
            ("{dir}", self.folder.path().display().to_string()),
            ("{foreign}", foreign),
            ("{foreign_project}", foreign_project),
            ("{own}", own.to_string()),
            ("{canary}", HEAD.to_owned()),
            ("{foreign_user}", name("linus").replace(TAIL, "")),
            ("{foreign_organization}", name("initech").replace(TAIL, "")),
        ]
    }

    /// How many rows each table holds, and each tenant in it, where that is many.
    pub fn counts(&self) -> BTreeSet<i64> {
        let mut counts = BTreeSet::new();
        for table in self.tables() {
            let all = format!("SELECT count(*) FROM \"{table}\"");
            let count: i64 = self.beside.query_row(&all, [], |row| row.get(0)).unwrap();
            // With the row of nobody, and without.
            counts.extend([count, count - 1]);
            if table.starts_with("_rows_") {
                let each = format!("SELECT count(*) FROM \"{table}\" GROUP BY _tenant");
                let mut statement = self.beside.prepare(&each).unwrap();
                let each = statement.query_map([], |row| row.get::<_, i64>(0)).unwrap();
                counts.extend(each.map(Result::unwrap));
            }
        }
        counts.retain(|count| *count > 100);
        counts
    }

    fn tables(&self) -> Vec<String> {
        let mut statement = self
            .beside
            .prepare(
                "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%' ORDER BY 1",
            )
            .unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    }

    pub fn state(&self) -> State {
        State { files: self.files(), bytes: self.bytes() }
    }

    fn files(&self) -> BTreeSet<String> {
        std::fs::read_dir(self.folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect()
    }

    fn bytes(&self) -> [Vec<u8>; 2] {
        let wal = self.path.with_extension("db-wal");
        [std::fs::read(&self.path).unwrap(), std::fs::read(wal).unwrap_or_default()]
    }

    /// What is wrong with the files now. A refusal is put on record, in the attacker's log alone.
    pub fn changes(&self, before: &State, refused: bool) -> Vec<String> {
        let mut problems = Vec::new();
        let files = self.files();
        if files != before.files {
            problems.push(format!("the folder held {:?} and holds {files:?}", before.files));
        }
        if !refused && self.bytes() != before.bytes {
            problems.push("the store's file has changed".to_owned());
        }
        if refused && self.others() != self.others {
            problems.push("what is not the attacker's log has changed".to_owned());
        }
        problems
    }

    fn others(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        for table in self.tables() {
            let but = match table.as_str() {
                "_audit" => format!("key >> 40 <> {}", self.key),
                "_log_head" => format!("tenant <> {}", self.key),
                _ => "1".to_owned(),
            };
            self.hash(&format!("SELECT * FROM \"{table}\" WHERE {but}"), &mut hasher);
        }
        self.hash("SELECT type, name, sql FROM sqlite_schema ORDER BY name", &mut hasher);
        hasher.finish()
    }

    fn hash(&self, sql: &str, hasher: &mut DefaultHasher) {
        let mut statement = self.beside.prepare_cached(sql).unwrap();
        let columns = statement.column_count();
        let mut rows = statement.raw_query();
        while let Some(row) = rows.next().unwrap() {
            for column in 0..columns {
                match row.get_ref(column).unwrap() {
                    ValueRef::Null => hasher.write_u8(0),
                    ValueRef::Integer(integer) => hasher.write_i64(integer),
                    ValueRef::Real(real) => hasher.write_u64(real.to_bits()),
                    ValueRef::Text(bytes) | ValueRef::Blob(bytes) => bytes.hash(hasher),
                }
            }
        }
    }
}

fn open(path: &Path, source: &Arc<Source>) -> Store {
    let (clock, randomness) = (Arc::clone(source), Arc::clone(source));
    crate::engine::builder()
        .entity::<Category>()
        .entity::<Project>()
        .entity::<Task>()
        .entity::<Board>()
        .entity::<Ticket>()
        .entity::<Diary>()
        .entity::<Note>()
        .clock(move || clock.now())
        .randomness(move |bytes| randomness.fill(bytes))
        .durability(Durability::Normal)
        .monitor(Monitoring::new().slower_than(std::time::Duration::ZERO))
        .open(path)
        .unwrap()
}

fn categories(store: &Store) -> Id<Category> {
    store.reference().insert(&Category { label: "work".to_owned() }).unwrap();
    store.reference().insert(&Category { label: "home".to_owned() }).unwrap()
}

fn others(store: &Store, category: Id<Category>, foreign: &mut Foreign) {
    let grace = others_user(store, "grace");
    fill_user(&grace, "grace", ROWS[0], category, foreign);
    let linus = others_user(store, "linus");
    let id = others_organization(store, "initech", &[linus.user(), grace.user()]);
    let session = grace.in_organization(&id).unwrap();
    fill_organization(&session, "initech", ROWS[0], category, foreign);
}

/// What others do after the attacker; `ticket` is the attacker's organization's.
fn later(store: &Store, category: Id<Category>, ticket: Uuid, foreign: &mut Foreign) {
    let [ada, bob] = ["ada", "bob"].map(|id| user(store, id));
    let linus = user(store, &name("linus"));
    fill_user(&linus, "linus", ROWS[1], category, foreign);
    fill_user(&bob, "bob", ROWS[1], category, foreign);
    // The attacker is a member of another organization too, whose rows the sessions must not see.
    let id = others_organization(store, "second", &[ada.user(), linus.user()]);
    fill_organization(&ada.in_organization(&id).unwrap(), "second", ROWS[1], category, foreign);
    // The other member's private notes, in the same organization.
    let acme = OrganizationId::new("acme").unwrap();
    fill_notes(&bob.in_organization(&acme).unwrap(), Id::from_uuid(ticket), foreign);
}

/// What the attacker has, alone and in an organization that has another member; and one task and ticket of it.
fn own(store: &Store, category: Id<Category>) -> (Uuid, Uuid) {
    let [ada, bob] = ["ada", "bob"].map(|id| user(store, id));
    let project = ada.insert(&Project { name: "house".into(), secret: "my own".into() }).unwrap();
    let tasks = (0..5).map(|number| Task::own(number, project, category)).collect::<Vec<_>>();
    let tasks = ada.insert_many(&tasks).unwrap();
    ada.insert(&Diary { text: "dear diary".into() }).unwrap();

    let acme = organization(store, "acme", &[ada.user(), bob.user()]);
    let inside = ada.in_organization(&acme).unwrap();
    let board = inside.insert(&Board { name: "house".into(), secret: "my own".into() }).unwrap();
    let tickets = (0..5).map(|number| Ticket::own(number, board, category)).collect::<Vec<_>>();
    let tickets = inside.insert_many(&tickets).unwrap();
    inside.insert(&Note { text: "note to self".into(), ticket_id: Some(tickets[1]) }).unwrap();
    (tasks[0].uuid(), tickets[0].uuid())
}

fn attackers(store: &Store, own: (Uuid, Uuid)) -> (User, Member) {
    let ada = user(store, "ada");
    let acme = OrganizationId::new("acme").unwrap();
    let mut user =
        User { session: ada.clone(), seen: AtomicU64::new(0), expected: String::new(), own: own.0 };
    let mut member = Member {
        session: ada.in_organization(&acme).unwrap(),
        user: ada,
        seen: Default::default(),
        expected: String::new(),
        own: own.1,
    };
    user.expected = user.plain();
    member.expected = member.plain();
    user.new_entries();
    member.new_entries();
    (user, member)
}
