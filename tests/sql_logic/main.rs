//! SQLite's own tests of its logic, asked by one tenant among others.
//!
//! Each script of `../shared/sqllogictest` (skipped, with a word, where it is absent) runs on a plain
//! database, which stands for what the tenant would see alone; and in a store, by a user, an organization and a member, each
//! of whom holds as records what the plain database holds as rows, in the same entities as tenants that hold other
//! values. Every query must give what the script expects, and exactly the values that the plain database gives. What
//! writes is refused, and the verbs do it instead.
//!
//! A table of a tenant has the record's own columns beside those of the script's table: `SELECT *` and `IN table` see
//! them. Such a query must pass behind common table expressions that leave them out. What does not pass otherwise is
//! in [`KNOWN`], with the reason.

#![allow(clippy::unwrap_used, clippy::panic, unreachable_pub, missing_docs)]

#[path = "../engine/mod.rs"]
mod engine;
mod script;
mod tables;
mod tenant;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use rusqlite::Connection;
use tenantry::tenancy::Scope;
use tenantry::{
    Definition, Error, OrganizationId, Role, Session, Store, Tenancy, TenantSession, UserId, Value,
};

use script::{Query, Record};
use tenant::Tenants;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Known {
    /// The plain database does not give what the script expects either; the tenant gets what that gives.
    PlainDiffers,
    /// It depends on the order in which an aggregate takes rows, which SQLite leaves open: that of parts in
    /// `group_concat`, or whether a sum overflows on its way to one that fits. Scripts fix it with `NOT INDEXED`, which
    /// means nothing to a view, or by dropping an index, which an entity keeps.
    Order,
    /// It reads a view that the script makes, which tenants can't.
    View,
}

/// The queries that do not pass, by script and line.
const KNOWN: &[(&str, usize, Known)] = &[
    ("evidence_slt_lang_aggfunc.test", 58, Known::Order),
    ("evidence_slt_lang_aggfunc.test", 125, Known::Order),
    ("evidence_slt_lang_aggfunc.test", 162, Known::Order),
    ("evidence_slt_lang_aggfunc.test", 239, Known::Order),
    ("evidence_slt_lang_aggfunc.test", 244, Known::Order),
    ("evidence_slt_lang_aggfunc.test", 253, Known::Order),
    ("evidence_slt_lang_aggfunc.test", 266, Known::Order),
    ("evidence_slt_lang_aggfunc.test", 271, Known::Order),
    ("evidence_slt_lang_aggfunc.test", 480, Known::PlainDiffers),
    ("evidence_slt_lang_aggfunc.test", 484, Known::Order),
    ("evidence_slt_lang_aggfunc.test", 491, Known::PlainDiffers),
    ("evidence_slt_lang_aggfunc.test", 496, Known::PlainDiffers),
    ("evidence_slt_lang_createview.test", 34, Known::View),
];

#[derive(Debug, Clone, Copy, PartialEq)]
enum Outcome {
    Passed,
    /// Behind common table expressions without the record's own columns.
    PassedWithoutOwn,
    Not(Known),
}

#[test]
fn a_user_gets_what_a_plain_database_gives() {
    each_script(Tenancy::User, |store| {
        let session = |id: &str| -> TenantSession {
            store.session(&store.users().create(&UserId::new(id).unwrap()).unwrap()).unwrap()
        };
        let first = session("first");
        (session("ada"), vec![first, session("grace"), session("zoe")])
    });
}

#[test]
fn an_organization_gets_what_a_plain_database_gives() {
    each_script(Tenancy::Organization, |store| {
        let ada = store.users().create(&UserId::new("ada").unwrap()).unwrap();
        // Whose member is the same: it is the organization that tells them apart.
        let session = |id: &str| {
            let organization = OrganizationId::new(id).unwrap();
            store.organizations().create(&organization).unwrap();
            store.organizations().add_member(&organization, &ada, Role::Member).unwrap();
            store.session(&ada).unwrap().in_organization(&organization).unwrap()
        };
        let first = session("first");
        (session("acme"), vec![first, session("umbrella")])
    });
}

#[test]
fn a_member_gets_what_a_plain_database_gives() {
    each_script(Tenancy::Member, |store| {
        let session = |user: &str, organization: &str| {
            let user = store.users().get_or_create(&UserId::new(user).unwrap()).unwrap();
            let organization = OrganizationId::new(organization).unwrap();
            let _ = store.organizations().create(&organization);
            store.organizations().add_member(&organization, &user, Role::Member).unwrap();
            store.session(&user).unwrap().in_organization(&organization).unwrap()
        };
        // A colleague, and the same person elsewhere.
        let first = session("first", "acme");
        (session("ada", "acme"), vec![first, session("ada", "umbrella"), session("zoe", "acme")])
    });
}

fn each_script<S: Scope>(tenancy: Tenancy, sessions: impl Fn(&Store) -> (Session<S>, Vec<Session<S>>)) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/sqllogictest");
    let Ok(entries) = fs::read_dir(&folder) else {
        println!("skipped: there is no ../shared/sqllogictest beside the checkout");
        return;
    };
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let mut known = Vec::new();
    for path in &paths {
        let name = path.file_name().unwrap().to_str().unwrap();
        let records = script::parse(&fs::read_to_string(path).unwrap());
        let definitions = tables::survey(&records, tenancy);
        let builder = engine::builder().durability(tenantry::Durability::Normal);
        let builder = definitions.iter().cloned().fold(builder, tenantry::Builder::definition);
        let store = builder.temporary().unwrap();
        let (session, others) = sessions(&store);
        let outcomes =
            Run::new(Tenants::new(session, others, definitions.clone()), definitions).all(&records);
        let count = |outcome| outcomes.values().filter(|other| **other == outcome).count();
        let not: Vec<_> = outcomes
            .iter()
            .filter_map(|(line, outcome)| match outcome {
                Outcome::Not(why) => Some((name, *line, *why)),
                _ => None,
            })
            .collect();
        println!(
            "{name}, {tenancy}: {} queries; {} passed, {} passed without the record's own columns, {} did not{}",
            outcomes.len(),
            count(Outcome::Passed),
            count(Outcome::PassedWithoutOwn),
            not.len(),
            not.iter().map(|(_, line, why)| format!("\n  line {line}: {why:?}")).collect::<String>(),
        );
        known.extend(not);
        assert!(store.check().unwrap().is_clean());
    }
    assert_eq!(known, KNOWN);
}

struct Run<S: Scope> {
    plain: Connection,
    tenants: Tenants<S>,
    definitions: Vec<Definition>,
    outcomes: BTreeMap<usize, Outcome>,
    /// The result of the first query of each label.
    labels: BTreeMap<String, Vec<String>>,
}

impl<S: Scope> Run<S> {
    fn new(tenants: Tenants<S>, definitions: Vec<Definition>) -> Self {
        let plain = Connection::open_in_memory().unwrap();
        Self { plain, tenants, definitions, outcomes: BTreeMap::new(), labels: BTreeMap::new() }
    }

    fn all(mut self, records: &[Record]) -> BTreeMap<usize, Outcome> {
        for record in records {
            match record {
                Record::Statement { line, sql, .. } => self.statement(*line, sql),
                Record::Query { line, query } => {
                    let outcome = self.query(*line, query);
                    self.outcomes.insert(*line, outcome);
                }
            }
        }
        self.outcomes
    }

    /// The survey has seen that the outcome is the script's.
    fn statement(&mut self, line: usize, sql: &str) {
        let outcome = self.plain.execute_batch(sql);
        let told = self.tenants.session.sql(sql).rows();
        // What reads and fails, fails here too; what writes is for the verbs.
        match told {
            Err(Error::AccessDenied { .. }) => assert!(!is_select(sql), "line {line}"),
            Err(Error::Sql { .. }) => assert!(outcome.is_err() || !is_select(sql), "line {line}"),
            other => panic!("line {line}: {sql}: {other:?}"),
        }
        self.tenants.follow(&self.plain);
    }

    fn query(&mut self, line: usize, query: &Query) -> Outcome {
        let plain = tables::rows(&self.plain, &query.sql);
        let told = self.rows(&query.sql);
        let (plain, expected) = match plain {
            Ok(rows) => {
                let lines = query.lines(&rows);
                let accepted = query.accepts(&lines);
                (Some(rows), accepted)
            }
            Err(_) => (None, false),
        };
        let same = |told: &tenantry::Result<Vec<Vec<Value>>>| match (told, &plain) {
            (Ok(told), Some(plain)) => is_same(told, plain, &query.sql),
            (Err(Error::Sql { .. }), None) => true,
            _ => false,
        };
        let outcome = if same(&told) {
            if expected { Outcome::Passed } else { Outcome::Not(Known::PlainDiffers) }
        } else if plain.as_ref().is_some_and(|plain| differs_by_order(&told, plain, &query.sql)) {
            Outcome::Not(Known::Order)
        } else if self.reads_a_view(&query.sql) {
            assert!(matches!(told, Err(Error::Sql { .. })), "line {line}: {told:?}");
            Outcome::Not(Known::View)
        } else {
            assert!(self.sees_own_columns(&query.sql), "line {line}: {}: {told:?} and {plain:?}", query.sql);
            let without = self.rows(&self.without_own(&query.sql));
            assert!(expected && same(&without), "line {line}: {}: {without:?} and {plain:?}", query.sql);
            Outcome::PassedWithoutOwn
        };
        if let (Some(label), Outcome::Passed, Ok(told)) = (&query.label, outcome, &told) {
            let lines = query.lines(told);
            let first = self.labels.entry(label.clone()).or_insert_with(|| lines.clone());
            assert_eq!(*first, lines, "line {line}, of the label {label}");
        }
        outcome
    }

    fn rows(&self, sql: &str) -> tenantry::Result<Vec<Vec<Value>>> {
        let rows = self.tenants.session.sql(sql).rows()?;
        Ok(rows.into_iter().map(|row| row.values().to_vec()).collect())
    }

    fn reads_a_view(&self, sql: &str) -> bool {
        let views = tables::rows(&self.plain, "SELECT name FROM sqlite_schema WHERE type = 'view'").unwrap();
        views.iter().any(|view| matches!(&view[0], Value::Text(name) if has_word(sql, name)))
    }

    /// Whether a query reads all columns of a table, whatever they are.
    fn sees_own_columns(&self, sql: &str) -> bool {
        let named = |before: &str| {
            self.definitions.iter().any(|table| {
                let phrase = format!("{before} {}", table.name());
                sql.match_indices(&phrase).any(|(at, _)| {
                    !sql[at + phrase.len()..].starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
                })
            })
        };
        named("SELECT * FROM") || named("IN")
    }

    fn without_own(&self, sql: &str) -> String {
        let tables: Vec<String> = self
            .definitions
            .iter()
            .filter(|table| has_word(sql, table.name()))
            .map(|table| {
                let columns: Vec<&str> = table.columns().iter().map(|column| column.name()).collect();
                format!("{0} AS (SELECT {1} FROM temp.{0})", table.name(), columns.join(", "))
            })
            .collect();
        format!("WITH {} {sql}", tables.join(", "))
    }
}

fn differs_by_order(told: &tenantry::Result<Vec<Vec<Value>>>, plain: &[Vec<Value>], sql: &str) -> bool {
    match told {
        Ok(told) => sql.contains("group_concat(") && parts(told) == parts(plain),
        Err(error) => sql.contains("sum(") && error.to_string().contains("integer overflow"),
    }
}

/// What one text is made of, which `group_concat` has put together.
fn parts(rows: &[Vec<Value>]) -> Vec<String> {
    let [row] = rows else { return Vec::new() };
    let [Value::Text(text)] = &row[..] else { return Vec::new() };
    let mut parts: Vec<String> = text.split([',', ':']).map(str::to_owned).collect();
    parts.sort();
    parts
}

fn is_select(sql: &str) -> bool {
    sql.starts_with("SELECT")
}

fn has_word(sql: &str, word: &str) -> bool {
    sql.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').any(|other| other == word)
}

/// Rows without an order can come in any.
fn is_same(told: &[Vec<Value>], plain: &[Vec<Value>], sql: &str) -> bool {
    if sql.contains("ORDER BY") {
        return told == plain;
    }
    let sorted = |rows: &[Vec<Value>]| {
        let mut rows: Vec<String> = rows.iter().map(|row| format!("{row:?}")).collect();
        rows.sort();
        rows
    };
    sorted(told) == sorted(plain)
}
