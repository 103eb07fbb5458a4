//! Tenants' own SQL: what a session sees, what ends a statement, and what ends a connection.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod engine;

use std::collections::BTreeMap;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tenantry::{
    Builder, ColumnDefinition, ColumnKind, Definition, Entity, Error, Fields, Id, OrganizationId,
    OrganizationSession, Role, SqlCancel, SqlLimits, Store, Tenancy, TenantSession, Timestamp, UserId, Uuid,
    Value,
};

#[derive(Debug, Clone, PartialEq, Entity)]
#[entity(tenancy = reference, unique(code))]
struct Currency {
    code: String,
}

#[derive(Debug, Clone, PartialEq, Entity)]
struct Project {
    name: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Place {
    street: String,
    number: u32,
}

#[derive(Debug, Clone, PartialEq, Entity)]
#[entity(index(status, amount), unique(title))]
struct Task {
    title: String,
    status: String,
    done: bool,
    amount: f64,
    due: Option<Timestamp>,
    #[entity(nested)]
    tags: Vec<String>,
    #[entity(nested)]
    place: Option<Place>,
    payload: Vec<u8>,
    token: Uuid,
    project: Option<Id<Project>>,
    currency: Option<Id<Currency>>,
    /// Beside the record's own.
    version: i64,
}

#[derive(Debug, Clone, PartialEq, Entity)]
#[entity(tenancy = organization, author)]
struct Ticket {
    title: String,
    assignee: Option<UserId>,
}

#[derive(Debug, Clone, PartialEq, Entity)]
#[entity(tenancy = member)]
struct Note {
    text: String,
    ticket: Option<Id<Ticket>>,
}

fn builder() -> Builder {
    engine::builder()
        .entity::<Currency>()
        .entity::<Project>()
        .entity::<Task>()
        .entity::<Ticket>()
        .entity::<Note>()
        .wait_timeout(Duration::from_secs(1))
}

fn task(title: &str) -> Task {
    Task {
        title: title.to_owned(),
        status: "open".to_owned(),
        done: true,
        amount: 2.5,
        due: Some("2026-11-24T09:30:00.000001Z".parse().unwrap()),
        tags: vec!["a".to_owned(), "b".to_owned()],
        place: Some(Place { street: "Hill".to_owned(), number: 7 }),
        payload: vec![0, 255],
        token: Uuid::from_u128(7),
        project: None,
        currency: None,
        version: 99,
    }
}

fn user(store: &Store, id: &str) -> TenantSession {
    store.session(&store.users().create(&UserId::new(id).unwrap()).unwrap()).unwrap()
}

fn acme() -> OrganizationId {
    OrganizationId::new("acme").unwrap()
}

/// A session of a member of acme, which is made if it is not there.
fn member(store: &Store, id: &str) -> OrganizationSession {
    let session = user(store, id);
    let _ = store.organizations().create(&acme());
    store.organizations().add_member(&acme(), session.user(), Role::Member).unwrap();
    session.in_organization(&acme()).unwrap()
}

fn sql_error(outcome: tenantry::Result<impl std::fmt::Debug>) -> String {
    match outcome {
        Err(Error::Sql { problem }) => problem,
        other => panic!("{other:?}"),
    }
}

fn names(session: &TenantSession, sql: &str) -> Vec<String> {
    let rows = session.sql(sql).rows().unwrap();
    rows.columns().iter().map(|column| column.name().to_owned()).collect()
}

#[test]
fn an_entity_is_a_table_of_readable_columns_without_the_tenant() {
    let store = builder().temporary().unwrap();
    let (ada, grace) = (user(&store, "ada"), user(&store, "grace"));
    let currency = store.reference().insert(&Currency { code: "EUR".into() }).unwrap();
    grace.insert(&task("hers")).unwrap();
    let project = ada.insert(&Project { name: "garden".into() }).unwrap();
    let id = ada.insert(&Task { project: Some(project), currency: Some(currency), ..task("dig") }).unwrap();
    let record = ada.get(id).unwrap();
    assert_eq!(
        names(&ada, "SELECT * FROM task"),
        [
            "id", "title", "status", "done", "amount", "due", "tags", "place", "payload", "token", "project",
            "currency", "version", "_version", "created", "updated"
        ]
    );
    let rows = ada.sql("SELECT * FROM task").rows().unwrap();
    assert_eq!(rows.len(), 1);
    let row = &rows.rows()[0];
    let text = |text: &str| Value::Text(text.to_owned());
    for (column, expected) in [
        ("id", text(&id.to_string())),
        ("title", text("dig")),
        ("done", Value::Integer(1)),
        ("amount", Value::Real(2.5)),
        ("due", text("2026-11-24 09:30:00.000001Z")),
        ("tags", text(r#"["a","b"]"#)),
        ("place", text(r#"["Hill",7]"#)),
        ("payload", Value::Bytes(vec![0, 255])),
        ("token", text("00000000-0000-0000-0000-000000000007")),
        ("project", text(&project.to_string())),
        ("currency", text(&currency.to_string())),
        ("version", Value::Integer(99)),
        ("_version", Value::Integer(1)),
        ("updated", text(&record.updated.strftime("%Y-%m-%d %H:%M:%S.%6fZ").to_string())),
    ] {
        assert_eq!(row.get_named(column), Some(&expected), "{column}");
    }
    let types: Vec<_> = rows.columns().iter().map(|column| column.declared_type()).collect();
    assert_eq!(types[..4], [Some("TEXT"), Some("TEXT"), Some("TEXT"), Some("INTEGER")]);
    assert_eq!(names(&ada, "SELECT * FROM currency"), ["id", "code", "version", "created", "updated"]);
    // A result without rows has columns too.
    assert_eq!(names(&ada, "SELECT title AS t FROM task WHERE 0"), ["t"]);
}

#[derive(Debug, PartialEq, Deserialize)]
struct Seen {
    id: Id<Task>,
    title: String,
    done: bool,
    due: Option<Timestamp>,
    tags: Vec<String>,
    place: Option<Place>,
    token: Uuid,
}

#[test]
fn rows_become_rust_types() {
    let store = builder().temporary().unwrap();
    let ada = user(&store, "ada");
    let id = ada.insert(&task("dig")).unwrap();
    let seen: Vec<Seen> = ada.sql("SELECT * FROM task").all().unwrap();
    let Task { title, done, due, tags, place, token, .. } = task("dig");
    assert_eq!(seen, [Seen { id, title, done, due, tags, place, token }]);
    let pairs: Vec<(String, i64)> =
        ada.sql("SELECT status, count(*) FROM task GROUP BY status").all().unwrap();
    assert_eq!(pairs, [("open".to_owned(), 1)]);
    assert_eq!(ada.sql("SELECT count(*) FROM task").first::<u64>().unwrap(), Some(1));
    assert_eq!(ada.sql("SELECT title FROM task WHERE 0").first::<String>().unwrap(), None);
    let error = ada.sql("SELECT title FROM task").all::<u8>().unwrap_err();
    assert!(matches!(error, Error::InvalidInput { .. }), "{error}");
    let map: BTreeMap<String, serde_json::Value> =
        ada.sql("SELECT title, amount FROM task").first().unwrap().unwrap();
    assert_eq!(map["amount"], 2.5);
}

#[test]
fn parameters_are_positional_or_named_and_all_are_given() {
    let store = builder().temporary().unwrap();
    let ada = user(&store, "ada");
    let id = ada.insert(&task("dig")).unwrap();
    let count = |sql: tenantry::Sql<'_>| sql.first::<i64>();
    let by_id = "SELECT count(*) FROM task WHERE id = ?1 AND done = ?2 AND due = ?3 AND payload = ?4";
    let due = task("").due;
    let all = ada.sql(by_id).bind(id).bind(true).bind(due).bind(vec![0_u8, 255]);
    assert_eq!(count(all).unwrap(), Some(1));
    let named = "SELECT count(*) FROM task WHERE title = :title AND status = @status AND amount > $least";
    let bound = || ada.sql(named).bind_named(":title", "dig").bind_named("@status", "open");
    assert_eq!(count(bound().bind_named("$least", 2_i64)).unwrap(), Some(1));
    for (wrong, told) in [
        (bound(), "$least was given no value"),
        (bound().bind_named("least", 2_i64), "the statement has no \"least\""),
        (ada.sql("SELECT 1").bind(1_i64), "takes 0 and was given 1"),
        (ada.sql("SELECT ?, ?").bind(1_i64), "?2 was given no value"),
    ] {
        let error = count(wrong).unwrap_err();
        assert!(matches!(error, Error::InvalidInput { .. }), "{error}");
        assert!(error.to_string().contains(told), "{error}");
    }
    // What one statement was given, the next one of the same text does not have.
    assert_eq!(ada.sql("SELECT ?1").bind("secret").first::<String>().unwrap().unwrap(), "secret");
    assert!(ada.sql("SELECT ?1").rows().is_err());
}

#[test]
fn a_run_time_entity_and_quoted_names_are_tables_too() {
    let pen = Definition::new("pen name", Tenancy::User)
        .column(ColumnDefinition::new("select", ColumnKind::Text))
        .column(ColumnDefinition::new("größe", ColumnKind::Integer));
    let store = engine::builder().definition(pen).temporary().unwrap();
    let ada = user(&store, "ada");
    let fields = Fields::new().with("select", "x").with("größe", 3_i64);
    ada.dynamic("pen name").unwrap().insert(fields).unwrap();
    let sql = r#"SELECT "select", "größe" FROM "pen name" WHERE "größe" > 1"#;
    assert_eq!(ada.sql(sql).all::<(String, i64)>().unwrap(), [("x".to_owned(), 3)]);
    let plan = ada.sql(sql).explain().unwrap();
    assert!(plan[0].detail.starts_with("SCAN pen name"), "{plan:?}");
}

#[test]
fn an_organization_has_its_tables_its_members_and_two_logs() {
    let store = builder().temporary().unwrap();
    let (ada, grace) = (member(&store, "ada"), member(&store, "grace"));
    store.users().rename(&UserId::new("grace").unwrap(), "Grace Hopper").unwrap();
    let ticket = ada.insert(&Ticket { title: "bug".into(), assignee: Some(grace.user().clone()) }).unwrap();
    ada.insert(&Note { text: "private".into(), ticket: Some(ticket) }).unwrap();
    let joined =
        "SELECT t.title, t.author, m.name, m.role FROM ticket t JOIN members m ON m.user = t.assignee";
    let rows: Vec<(String, String, String, String)> = grace.sql(joined).all().unwrap();
    let expected = ["bug", "ada", "Grace Hopper", "member"].map(str::to_owned);
    assert_eq!(rows, [(expected[0].clone(), expected[1].clone(), expected[2].clone(), expected[3].clone())]);
    // Grace does not see Ada's notes, nor her own private log Ada's.
    assert_eq!(grace.sql("SELECT count(*) FROM note").first::<i64>().unwrap(), Some(0));
    let noted = "SELECT n.text, t.title FROM note n LEFT JOIN ticket t ON t.id = n.ticket";
    assert_eq!(ada.sql(noted).all::<(String, Option<String>)>().unwrap()[0].1.as_deref(), Some("bug"));
    let inserts = |session: &OrganizationSession, log: &str| {
        let sql = format!("SELECT count(*) FROM {log} WHERE action = 'insert'");
        session.sql(&sql).first::<i64>().unwrap().unwrap()
    };
    assert_eq!((inserts(&ada, "audit"), inserts(&grace, "audit")), (1, 1));
    assert_eq!((inserts(&ada, "private_audit"), inserts(&grace, "private_audit")), (1, 0));
    // A soft reference reads as none once its target is gone.
    ada.delete(ticket).unwrap();
    assert_eq!(ada.sql("SELECT ticket FROM note").first::<Option<String>>().unwrap(), Some(None));
    // Entities of users are not there.
    assert_eq!(sql_error(ada.sql("SELECT * FROM task").rows()), "no such table: task");
    assert_eq!(sql_error(user(&store, "eve").sql("SELECT * FROM ticket").rows()), "no such table: ticket");
    assert_eq!(
        sql_error(user(&store, "mallory").sql("SELECT * FROM members").rows()),
        "no such table: members"
    );
}

#[test]
fn the_log_tells_what_changed() {
    let store = builder().temporary().unwrap();
    let ada = user(&store, "ada");
    let id = ada.insert(&task("dig")).unwrap();
    ada.patch(id, Task::TITLE.set("plant")).unwrap();
    let sql = "SELECT number, actor, entity, record, outcome, json_extract(changes, '$.title.before'), \
               json_extract(changes, '$.title.after') FROM audit WHERE action = 'update'";
    type Told = (u64, String, String, Id<Task>, String, String, String);
    let told: Vec<Told> = ada.sql(sql).all().unwrap();
    let entry = ada.audit().of(id).newest_first().list().unwrap().remove(0);
    let text = |text: &str| text.to_owned();
    let expected = (entry.number, text("ada"), text("task"), id, text("ok"), text("dig"), text("plant"));
    assert_eq!(told, [expected]);
    assert_eq!(store.reference().sql("SELECT count(*) FROM audit").first::<i64>().unwrap(), Some(0));
}

#[test]
fn ids_and_references_are_searched_by_index() {
    let store = builder().temporary().unwrap();
    let ada = user(&store, "ada");
    for (sql, plan) in [
        ("SELECT title FROM task WHERE id = ?1", "SEARCH task USING INDEX id_task (id=?)"),
        (
            "SELECT id FROM task WHERE status = 'open' AND amount > 1",
            "SEARCH task USING INDEX index1_task (status=? AND amount>?)",
        ),
        (
            "SELECT p.name FROM task t JOIN project p ON p.id = t.project WHERE t.title = 'x'",
            "SEARCH project USING INDEX id_project (id=?)",
        ),
        ("SELECT t.title FROM project p JOIN task t ON t.project = p.id WHERE p.id = 'x'", "(project=?)"),
        ("SELECT * FROM audit", "SCAN audit"),
    ] {
        let steps = ada.sql(sql).explain().unwrap();
        assert!(steps.iter().any(|step| step.detail.contains(plan)), "{sql}: {steps:?}");
        for step in steps {
            for hidden in ["_rows_", "_tenant", "_id_", "main.", "_index"] {
                assert!(!step.detail.contains(hidden), "{sql}: {}", step.detail);
            }
        }
    }
}

#[test]
fn membership_in_what_a_subquery_gives_is_answered_in_every_place() {
    let store = builder().temporary().unwrap();
    let (ada, grace) = (user(&store, "ada"), user(&store, "grace"));
    let garden = ada.insert(&Project { name: "garden".into() }).unwrap();
    ada.insert(&Task { project: Some(garden), ..task("dig") }).unwrap();
    ada.insert(&task("rest")).unwrap();
    grace.insert(&Project { name: "rest".into() }).unwrap();
    grace.insert(&task("garden")).unwrap();
    for (sql, expected) in [
        ("SELECT title FROM task WHERE project IN (SELECT id FROM project WHERE name LIKE 'g%')", "dig"),
        ("SELECT title FROM task WHERE id IN (SELECT id FROM task WHERE title = 'dig')", "dig"),
        ("SELECT title FROM task WHERE title NOT IN (SELECT title FROM task WHERE project IS NULL)", "dig"),
        ("SELECT name FROM project WHERE id IN (SELECT project FROM task)", "garden"),
        ("SELECT title FROM task WHERE title || '' IN (SELECT 'dig' UNION SELECT name FROM project)", "dig"),
        ("SELECT CASE WHEN 'rest' IN (SELECT name FROM project) THEN 'seen' ELSE 'unseen' END", "unseen"),
        ("SELECT iif('garden' NOT IN (SELECT title FROM task), 'unseen', 'seen')", "unseen"),
        (
            "WITH t AS (SELECT title FROM task) SELECT 'none' WHERE ('rest', 1) IN (SELECT title, 1 FROM t)",
            "none",
        ),
    ] {
        let told = ada.sql(sql).all::<String>();
        assert_eq!(told.unwrap_or_else(|error| panic!("{sql}: {error}")), [expected], "{sql}");
    }
}

#[test]
fn writing_names_the_verb_and_every_refusal_is_on_record() {
    let store = builder().temporary().unwrap();
    let ada = user(&store, "ada");
    for (sql, told) in [
        ("INSERT INTO task (title) VALUES ('x')", "session.insert(..)"),
        ("WITH x AS (SELECT 1) INSERT INTO task (title) SELECT 1 FROM x", "session.insert(..)"),
        ("REPLACE INTO task (title) VALUES ('x')", "session.upsert(..)"),
        ("UPDATE task SET title = 'x'", "session.update(..)"),
        ("DELETE FROM task", "session.delete(..)"),
        ("PRAGMA table_list", "not allowed: PRAGMA"),
        ("ATTACH ':memory:' AS x", "not allowed: ATTACH"),
        ("VACUUM INTO 'x.db'", "not allowed: VACUUM"),
        ("CREATE TEMP TABLE x (y)", "not allowed: CREATE"),
        ("DROP VIEW temp.task", "not allowed: DROP"),
        ("BEGIN", "not allowed: BEGIN"),
        ("ANALYZE", "not allowed: ANALYZE"),
        ("SELECT load_extension('x')", "the function load_extension"),
        ("SELECT randomblob(8)", "the function randomblob"),
    ] {
        let before = ada.audit().list().unwrap().len();
        let error = ada.sql(sql).rows().unwrap_err();
        assert!(matches!(error, Error::AccessDenied { .. }), "{sql}: {error:?}");
        assert!(error.to_string().contains(told), "{sql}: {error}");
        let entries = ada.audit().list().unwrap();
        assert_eq!(entries.len(), before + 1, "{sql}");
        assert_eq!(entries.last().unwrap().outcome, "not_allowed");
    }
    // What is there and not for tenants is told like what is not there, and is on record.
    let before = ada.audit().list().unwrap().len();
    for (sql, told) in [
        ("SELECT * FROM _rows_task", "no such table: _rows_task"),
        ("SELECT count(*) FROM main.[_ROWS_task]", "no such table: _ROWS_task"),
        ("SELECT * FROM sqlite_schema", "no such table: sqlite_schema"),
    ] {
        assert_eq!(sql_error(ada.sql(sql).rows()), told);
    }
    assert_eq!(ada.audit().list().unwrap().len(), before + 3);
    // Also where it is called like a function, which SQLite tells of by itself.
    for name in ["_rows_task", "_store", "ticket", "nosuch"] {
        let sql = format!("SELECT * FROM {name}('x')");
        assert_eq!(sql_error(ada.sql(&sql).rows()), format!("no such table: {name}"));
    }
    assert_eq!(sql_error(ada.sql("SELECT * FROM task('x')").rows()), "'task' is not a function");
    // A slip is no refusal.
    for (sql, told) in [
        ("SELECT * FROM taks", "no such table: taks"),
        ("SELECT titel FROM task", "no such column: titel"),
        ("SELECT _tenant FROM task", "no such column: _tenant"),
        ("SELEC 1", "near \"SELEC\": syntax error"),
        ("SELECT nosuch(1)", "no such function: nosuch"),
        ("SELECT abs(-9223372036854775807 - 1)", "integer overflow"),
        ("SELECT json('{')", "malformed JSON"),
        ("SELECT 1; SELECT 2", "one statement at a time"),
        ("EXPLAIN SELECT 1", "EXPLAIN is a call of its own: `session.sql(..).explain()`"),
        ("-- nothing", "the text holds no statement; write a SELECT"),
        ("SELECT 1\0", "the text holds U+0000, where SQLite would stop to read"),
    ] {
        assert_eq!(sql_error(ada.sql(sql).rows()), told, "{sql}");
    }
    assert_eq!(ada.audit().list().unwrap().len(), before + 3);
    assert!(ada.audit().verify().unwrap().is_intact());
}

const ENDLESS: &str = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n";

#[test]
fn each_limit_ends_a_statement_by_name_and_the_connection_goes_on() {
    let store = builder().temporary().unwrap();
    let ada = user(&store, "ada");
    ada.insert(&task("dig")).unwrap();
    let short = SqlLimits::new().run_time(Duration::from_millis(100));
    let deep = format!("SELECT {}1{}", "(1+".repeat(60), ")".repeat(60));
    let sorted = format!("SELECT printf('%.1000c', 'x') AS t, i FROM ({ENDLESS}) ORDER BY t, -i");
    for (limits, sql, limit) in [
        (
            short,
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n",
            "run time",
        ),
        (SqlLimits::new().rows(10), ENDLESS, "rows"),
        (SqlLimits::new().result_bytes(100), ENDLESS, "result bytes"),
        (SqlLimits::new().memory(8 << 20), &sorted, "memory"),
        (SqlLimits::new().statement_bytes(8), "SELECT 1000", "statement length"),
        (SqlLimits::new().expression_depth(20), &deep, "expression depth"),
        // Not `printf`, which gives no value instead before SQLite 3.53.
        (
            SqlLimits::new().value_bytes(2_000),
            "SELECT length(replace(printf('%.1000c', 'x'), 'x', 'xxx'))",
            "value size",
        ),
    ] {
        let session = ada.with_sql_limits(limits);
        let began = Instant::now();
        match session.sql(sql).rows() {
            Err(Error::LimitExceeded { limit: named, .. }) => assert_eq!(named, limit),
            other => panic!("{limit}: {other:?}"),
        }
        assert!(began.elapsed() < Duration::from_secs(5), "{limit}");
        // Also on a session that has the limit, the connection answers what is within it.
        let small = session.with_sql_limits(SqlLimits::new());
        assert_eq!(small.sql("SELECT title FROM task").first::<String>().unwrap().unwrap(), "dig");
        // And the limit itself was in the way: without it the statement runs on.
        if !matches!(limit, "run time" | "memory") {
            let free = ada.sql(sql).stream(|rows| {
                for _ in 0..11 {
                    rows.next()?;
                }
                Ok(())
            });
            free.unwrap_or_else(|error| panic!("{limit}: {error}"));
        }
    }
    // Rows that were read before the limit came are not lost in a stream.
    let few = ada.with_sql_limits(SqlLimits::new().rows(3));
    let mut seen = 0;
    let outcome = few.sql(ENDLESS).stream(|rows| {
        while rows.next()?.is_some() {
            seen += 1;
        }
        Ok(())
    });
    assert!(matches!(outcome, Err(Error::LimitExceeded { limit: "rows", .. })));
    assert_eq!(seen, 3);
}

#[test]
fn another_thread_cancels_a_statement() {
    let store = builder()
        .sql_limits(SqlLimits::new().run_time(Duration::from_secs(60)).rows(u64::MAX))
        .temporary()
        .unwrap();
    let ada = user(&store, "ada");
    let cancel = SqlCancel::new();
    let began = Instant::now();
    thread::scope(|scope| {
        scope.spawn(|| {
            thread::sleep(Duration::from_millis(50));
            cancel.cancel();
        });
        let counted = format!("SELECT count(*) FROM ({ENDLESS})");
        let outcome = ada.sql(&counted).cancel_with(&cancel).rows();
        assert!(matches!(outcome, Err(Error::Cancelled)), "{outcome:?}");
    });
    assert!(began.elapsed() < Duration::from_secs(10));
    assert_eq!(ada.sql("SELECT 1").first::<i64>().unwrap(), Some(1));
}

#[test]
fn members_that_come_leave_or_are_renamed_are_seen_at_once() {
    let store = builder().temporary().unwrap();
    let ada = member(&store, "ada");
    let members = || ada.sql("SELECT name FROM members ORDER BY user").all::<String>().unwrap();
    assert_eq!(members(), [""]);
    let grace = member(&store, "grace");
    assert_eq!(members(), ["", ""]);
    store.users().rename(&UserId::new("ada").unwrap(), "Ada").unwrap();
    assert_eq!(members(), ["Ada", ""]);
    store.organizations().remove_member(&acme(), grace.user()).unwrap();
    assert_eq!(members(), ["Ada"]);
    let error = grace.sql("SELECT * FROM members").rows().unwrap_err();
    assert!(matches!(error, Error::NotMember { .. }), "{error}");
}

#[test]
fn a_session_that_ends_while_a_stream_is_read_ends_the_stream() {
    let store = builder().temporary().unwrap();
    let ada = user(&store, "ada");
    let outcome = ada.sql(ENDLESS).stream(|rows| {
        rows.next()?;
        store.users().disable(&UserId::new("ada").unwrap())?;
        rows.next()
    });
    assert!(matches!(outcome, Err(Error::Disabled { .. })), "{outcome:?}");
    // Before the first row, too.
    assert!(matches!(ada.sql("SELECT 1").first::<i64>(), Err(Error::Disabled { .. })));
    assert!(matches!(ada.sql("SELECT 1").explain(), Err(Error::Disabled { .. })));
}

#[test]
fn a_transaction_is_not_seen_before_it_commits() {
    let store = builder().temporary().unwrap();
    let ada = user(&store, "ada");
    let count = || ada.sql("SELECT count(*) FROM task").first::<i64>().unwrap();
    ada.transaction(|tx| {
        tx.insert(&task("dig"))?;
        assert_eq!(count(), Some(0));
        Ok(())
    })
    .unwrap();
    assert_eq!(count(), Some(1));
}

#[test]
fn a_tenant_that_holds_its_share_of_connections_leaves_others_theirs() {
    let store = builder().sql_connections(4).temporary().unwrap();
    let (ada, grace) = (user(&store, "ada"), user(&store, "grace"));
    let nested = |depth: usize| -> tenantry::Result<()> {
        fn hold(
            session: &TenantSession,
            depth: usize,
            inside: &dyn Fn() -> tenantry::Result<()>,
        ) -> tenantry::Result<()> {
            if depth == 0 {
                return inside();
            }
            session.sql("SELECT 1").stream(|_| hold(session, depth - 1, inside))
        }
        hold(&ada, depth, &|| {
            assert_eq!(grace.sql("SELECT 1").first::<i64>().unwrap(), Some(1));
            Ok(())
        })
    };
    nested(3).unwrap();
    let error = nested(4).unwrap_err();
    assert!(matches!(error, Error::Busy { .. }) && error.to_string().contains("share"), "{error}");
    // More scopes than connections: the least recently used one goes.
    for number in 0..10 {
        let session = user(&store, &format!("user {number}"));
        session.insert(&task(&number.to_string())).unwrap();
        assert_eq!(session.sql("SELECT title FROM task").all::<String>().unwrap(), [number.to_string()]);
    }
    assert_eq!(ada.sql("SELECT count(*) FROM task").first::<i64>().unwrap(), Some(0));
}

/// Of the third table of a join on, SQLite looks first whether it is empty, and skips the rest if it is.
#[test]
fn a_table_in_which_only_others_have_rows_is_not_told_from_an_empty_one() {
    let store = builder().temporary().unwrap();
    let (ada, grace) = (user(&store, "ada"), user(&store, "grace"));
    ada.insert(&Project { name: "garden".into() }).unwrap();
    let sql = "SELECT 1 FROM project a CROSS JOIN project b CROSS JOIN task c \
               WHERE abs(-9223372036854775807 - (length(a.id) - 35)) > 0 AND c.title = 'x'";
    let told = || engine::shown(&ada.sql(sql).rows());
    let alone = told();
    grace.insert(&task("hers")).unwrap();
    assert_eq!(told(), alone);
    assert!(store.check().unwrap().is_clean());
}

/// Rows of many tenants, whose statistics would mislead the planner.
fn crowded(path: &Path) {
    let store = builder().open(path).unwrap();
    store.reference().insert(&Currency { code: "EUR".into() }).unwrap();
    for number in 0..30 {
        let session = user(&store, &format!("user {number}"));
        for row in 0..20 {
            let status = if number == 0 { "open" } else { "done" };
            session.insert(&Task { status: status.into(), ..task(&format!("{number}.{row}")) }).unwrap();
        }
    }
    store.close().unwrap();
}

const PLANNED: [&str; 7] = [
    "SELECT title FROM task WHERE id IS NULL",
    "SELECT t.title FROM task t LEFT JOIN currency c ON c.id = t.project WHERE c.id IS NULL ORDER BY 1",
    "SELECT t.title, c.code FROM task t LEFT JOIN currency c ON c.id = t.currency ORDER BY t.title",
    "SELECT count(*) FROM task WHERE status = 'done' AND amount > 1",
    "SELECT a.title FROM task a JOIN task b ON a.status = b.status WHERE b.title = '0.1' ORDER BY 1",
    "SELECT status, sum(amount) FROM task GROUP BY status",
    "SELECT title FROM task WHERE title > '0.3' OR status = 'x' ORDER BY title",
];

#[test]
fn statistics_of_the_file_change_no_plan_and_no_result() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    crowded(&path);
    let first = UserId::new("user 0").unwrap();
    let told = |store: &Store| -> Vec<_> {
        let session = store.session(&first).unwrap();
        PLANNED.map(|sql| (session.sql(sql).rows().unwrap(), session.sql(sql).explain().unwrap())).into()
    };
    let store = builder().open(&path).unwrap();
    let before = told(&store);
    // While it is open, by another tool. What that has left in the file is removed with the next statement.
    let analyze = || engine::look(&path).execute_batch("ANALYZE").unwrap();
    analyze();
    assert!(!store.check().unwrap().is_clean());
    assert_eq!(told(&store), before);
    assert!(store.check().unwrap().is_clean());
    // Where the writer's own thread has a transaction open, it can't be.
    analyze();
    let session = store.session(&first).unwrap();
    session
        .transaction(|tx| {
            tx.insert(&Project { name: "garden".into() })?;
            let outcome = session.sql(PLANNED[0]).rows();
            assert!(matches!(outcome, Err(Error::Busy { .. })), "{outcome:?}");
            Ok(())
        })
        .unwrap();
    assert_eq!(told(&store), before);
    drop((session, store));
    analyze();
    let read = builder().read_only().open(&path).unwrap();
    let outcome = read.session(&first).unwrap().sql(PLANNED[0]).rows();
    assert!(matches!(&outcome, Err(Error::ReadOnly { reason }) if reason.contains("ANALYZE")), "{outcome:?}");
    assert_eq!(told(&builder().sql_connections(1).open(&path).unwrap()), before);
    assert_eq!(told(&read), before);
}

#[test]
fn a_schema_that_another_tool_changes_ends_the_connection_and_not_the_promise() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    crowded(&path);
    let store = builder().open(&path).unwrap();
    let session = store.session(&UserId::new("user 0").unwrap()).unwrap();
    let count = "SELECT count(*) FROM task WHERE status = 'open'";
    assert_eq!(session.sql(count).first::<i64>().unwrap(), Some(20));
    let tool = engine::look(&path);
    // An index without the tenant, which would be the quickest; a table that was not there.
    tool.execute_batch(
        "CREATE INDEX other ON _rows_task (status, title); CREATE TABLE later AS SELECT * FROM _rows_task",
    )
    .unwrap();
    // By the connection that was made before: SQLite loads the schema anew for a name that it does not know.
    for sql in ["SELECT count(*) FROM later", "SELECT * FROM later"] {
        assert_eq!(sql_error(session.sql(sql).rows()), "no such table: later");
    }
    assert_eq!(session.sql(count).first::<i64>().unwrap(), Some(20));
    tool.execute_batch("CREATE INDEX another ON _rows_task (status, amount)").unwrap();
    // A statement that was prepared before, whose plan nobody would look at again.
    assert_eq!(session.sql(count).first::<i64>().unwrap(), Some(20));
    // What the planner would answer by the index of all tenants is refused and not run.
    let ordered = "SELECT title FROM task WHERE status = 'open' ORDER BY title";
    match session.sql(ordered).all::<String>() {
        Ok(titles) => assert_eq!(titles.len(), 20),
        Err(error) => assert!(matches!(error, Error::AccessDenied { .. }), "{error}"),
    }
}

#[test]
fn a_store_of_several_files_answers_from_the_tenants_home() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let store = builder().partitions(3).open(&path).unwrap();
    let eur = store.reference().insert(&Currency { code: "EUR".into() }).unwrap();
    let sessions: Vec<_> = (0..6).map(|number| user(&store, &format!("user {number}"))).collect();
    for (number, session) in sessions.iter().enumerate() {
        session.insert(&Task { currency: Some(eur), ..task(&format!("of {number}")) }).unwrap();
    }
    let joined = "SELECT t.title, c.code FROM task t JOIN currency c ON c.id = t.currency";
    let told = |session: &TenantSession| session.sql(joined).all::<(String, String)>().unwrap();
    let ada = member(&store, "ada");
    store.users().rename(&UserId::new("ada").unwrap(), "Ada").unwrap();
    let read = builder().read_only().open(&path).unwrap();
    for (number, session) in sessions.iter().enumerate() {
        let expected = [(format!("of {number}"), "EUR".to_owned())];
        assert_eq!(told(session), expected);
        assert_eq!(told(&read.session(session.user()).unwrap()), expected);
    }
    // Names of members are in the catalog only.
    assert_eq!(ada.sql("SELECT name FROM members").all::<String>().unwrap(), ["Ada"]);
    let reading = read.session(ada.user()).unwrap().in_organization(&acme()).unwrap();
    assert_eq!(reading.sql("SELECT name FROM members").all::<String>().unwrap(), ["Ada"]);
    store.users().rename(&UserId::new("ada").unwrap(), "Countess").unwrap();
    assert_eq!(reading.sql("SELECT name FROM members").all::<String>().unwrap(), ["Countess"]);
    // Wherever it lives now.
    let homes = store.partitions().list().unwrap();
    let mover = &sessions[0];
    for partition in &homes {
        store.partitions().move_user(mover.user(), &partition.name, |_| {}).unwrap();
        assert_eq!(told(mover), [("of 0".to_owned(), "EUR".to_owned())]);
    }
    store.close().unwrap();
    assert!(matches!(mover.sql("SELECT 1").rows(), Err(Error::Closed)));
}

#[test]
fn a_store_that_is_only_read_sees_what_its_writer_commits() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    let store = builder().open(&path).unwrap();
    let ada = user(&store, "ada");
    let read = builder().read_only().open(&path).unwrap();
    let reading = read.session(ada.user()).unwrap();
    let count = |session: &TenantSession| session.sql("SELECT count(*) FROM task").first::<i64>().unwrap();
    assert_eq!(count(&reading), Some(0));
    ada.insert(&task("dig")).unwrap();
    assert_eq!(count(&reading), Some(1));
    store.users().disable(ada.user()).unwrap();
    assert!(matches!(reading.sql("SELECT 1").rows(), Err(Error::Disabled { .. })));
}

#[test]
fn a_fresh_connection_prepares_what_sqlite_asks_about_meanwhile() {
    let store = builder().temporary().unwrap();
    let session = user(&store, "ada");
    // Columns of one name, for each of which SQLite asks whether to go on.
    let columns = vec!["1 a"; 480].join(",");
    let text = format!("SELECT x.a FROM (SELECT {columns}) x, (SELECT {columns}) y, (SELECT {columns}) z");
    assert_eq!(session.sql(&text).rows().unwrap().len(), 1);
    // One that is later than the end of the statement before.
    let short = session.with_sql_limits(SqlLimits::new().run_time(Duration::from_millis(50)));
    let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";
    assert!(matches!(short.sql(endless).rows(), Err(Error::LimitExceeded { limit: "run time", .. })));
    let other = text.replace("x.a", "y.a");
    assert_eq!(session.sql(&other).rows().unwrap().len(), 1);
}

#[test]
fn an_error_holds_no_value() {
    let store = builder().temporary().unwrap();
    let session = user(&store, "ada");
    session.insert(&Task { title: "1204".into(), status: "number".into(), ..task("x") }).unwrap();
    // The words of SQLite's messages stand in the text, so that they could be told.
    for text in [
        "SELECT json_extract('{}', title) /* bad JSON path */ FROM task",
        "SELECT json_extract('{}', status) /* bad JSON path */ FROM task",
    ] {
        let problem = sql_error(session.sql(text).rows());
        assert!(!problem.contains("1204") && !problem.contains("number"), "{problem}");
    }
}
