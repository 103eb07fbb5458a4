//! Points 1 to 8, and 17 to 22: who sees which rows, whatever the statement.

use std::time::{Duration, Instant};

use tenantry::{Error, Role, UserId};

use crate::engine::shown;
use crate::world::{
    CANARY, Note, Task, Ticket, World, builder, count, member, problem, task, texts, told, unmoved, user,
};

fn world() -> World {
    World::new(builder().temporary().unwrap())
}

/// Each fails on values of others', and gives something on Ada's.
const FAILING: [&str; 6] = [
    "abs(amount)",
    "json(detail)",
    "(detail ->> '$.a')",
    "(SELECT count(*) FROM json_each(detail))",
    "(title LIKE 'd%' ESCAPE mark)",
    "length(printf('%.*c', size, 'x'))",
];

/// The places in which an expression can stand, `{}`.
const PLACES: [&str; 20] = [
    "SELECT {} FROM task",
    "SELECT title FROM task WHERE {} IS NOT NULL ORDER BY title",
    "SELECT title FROM task ORDER BY {}, title",
    "SELECT title FROM task WHERE status = 'open' AND {} IS NOT NULL ORDER BY amount",
    "SELECT title FROM task WHERE {} IS NOT NULL OR title = 'dig'",
    "SELECT title FROM task WHERE title > 'a' AND amount < 100 AND {} IS NOT NULL",
    "SELECT CASE WHEN {} IS NULL THEN 0 ELSE 1 END FROM task",
    "SELECT count(*), max({}), count(*) FILTER (WHERE {} IS NOT NULL) FROM task",
    "SELECT status, min({}) FROM task GROUP BY status HAVING max({}) IS NOT NULL",
    "SELECT count(*) FROM task GROUP BY {}",
    "SELECT DISTINCT {} FROM task",
    "SELECT title, row_number() OVER (PARTITION BY status ORDER BY {}) FROM task ORDER BY title",
    "SELECT p.name, title FROM project p JOIN task ON project = p.id AND {} IS NOT NULL ORDER BY title",
    "SELECT title, code FROM task LEFT JOIN currency c ON c.id = currency AND {} IS NOT NULL ORDER BY title",
    "SELECT code, title FROM currency c CROSS JOIN task ON c.id = currency WHERE {} IS NOT NULL ORDER BY code",
    "SELECT (SELECT max({}) FROM task)",
    "SELECT 1 WHERE EXISTS (SELECT 1 FROM task WHERE {} = -12345)",
    "SELECT title FROM task WHERE id IN (SELECT id FROM task WHERE {} IS NOT NULL) ORDER BY title",
    "WITH t AS MATERIALIZED (SELECT {} AS e FROM task) SELECT count(*), max(e) FROM t",
    "SELECT title FROM task ORDER BY title LIMIT (SELECT count(*) - 1 FROM task WHERE {} IS NOT NULL)",
];

/// Point 1: what can tell of its argument, by failing on it, is given none of another tenant's values, wherever it stands.
#[test]
fn point_01_no_expression_meets_another_tenants_value() {
    let world = world();
    let statements: Vec<String> = PLACES
        .iter()
        .flat_map(|place| FAILING.map(|expression| place.replace("{}", expression)))
        .chain(
            ["SELECT sum(amount) FROM task", "SELECT json_group_array(json(detail)) FROM task"]
                .map(str::to_owned),
        )
        .collect();
    for sql in &statements {
        world.ada.sql(sql).rows().unwrap_or_else(|error| panic!("{sql}: {error}"));
    }
    unmoved(&world.ada, &statements, || world.crowd());
    // The same statements do fail where there are such values; but what `printf` can't hold is no value before SQLite 3.53.
    let fails = |sql: &&String| rusqlite::version_number() >= 3_053_000 || !sql.contains("printf");
    for sql in statements.iter().filter(fails) {
        let error = world.grace.sql(sql).rows().err().unwrap_or_else(|| panic!("{sql} does not fail"));
        assert!(
            matches!(error, Error::Sql { .. } | Error::LimitExceeded { limit: "value size", .. }),
            "{error}"
        );
    }
}

/// Point 1, in a file in which another tool has made an index that does not lead with the tenant: its entries are looked at
/// before anybody's tenant is, so a plan that reads it is refused.
#[test]
fn point_01_no_plan_reads_an_index_of_all_tenants() {
    let world = world();
    let overflows =
        "SELECT title FROM task WHERE size = 1 AND mark = 'x' AND status = 'open' AND abs(amount) > 5";
    let ordered =
        "SELECT count(*) FROM task WHERE (size, mark, status) = (1, 'x', 'open') GROUP BY abs(amount)";
    assert_eq!(texts(&world.ada, overflows), ["plant"]);
    world.grace.insert(&task("hers", i64::MIN)).unwrap();
    crate::engine::look(world.store.path())
        .execute_batch("CREATE INDEX quick ON _rows_task (size, mark, status, amount)")
        .unwrap();
    for sql in [overflows, ordered] {
        for session in [&world.ada, &user(&world.store, "nobody")] {
            let outcome = session.sql(sql).rows();
            assert!(matches!(outcome, Err(Error::AccessDenied { .. })), "{sql}: {outcome:?}");
        }
    }
}

/// Point 2: in every place in which a table can be named, it holds the tenant's rows only.
#[test]
fn point_02_a_table_is_the_tenants_own_in_every_place() {
    let world = world();
    let own = [
        "SELECT count(*) FROM task NATURAL JOIN (SELECT id, title FROM task)",
        "SELECT count(*) FROM task a FULL JOIN task b USING (title)",
        "SELECT count(*) FROM task a RIGHT JOIN task b ON a.id = b.id",
        "SELECT count(*) FROM (SELECT * FROM task)",
        "SELECT (SELECT count(*) FROM task)",
        "SELECT count(*) FROM task WHERE EXISTS (SELECT 1 FROM task t WHERE t.amount = task.amount)",
        "SELECT count(*) FROM task WHERE title IN (SELECT title FROM task)",
        "SELECT count(*) FROM task WHERE (title, amount) IN (SELECT title, amount FROM task)",
        "SELECT count(*) FROM (SELECT id FROM task UNION ALL SELECT id FROM task WHERE 0)",
        "SELECT count(*) FROM (SELECT title FROM task UNION SELECT title FROM task)",
        "SELECT count(*) FROM (SELECT title FROM task INTERSECT SELECT title FROM task)",
        "SELECT 3 + count(*) FROM (SELECT title FROM task EXCEPT SELECT title FROM task)",
        "WITH t AS MATERIALIZED (SELECT * FROM task) SELECT count(*) FROM t",
        "WITH t AS NOT MATERIALIZED (SELECT * FROM task) SELECT count(*) FROM t",
        "WITH RECURSIVE t(n, title) AS (SELECT 0, NULL UNION ALL SELECT n + 1, task.title FROM t, task WHERE n = 0) \
         SELECT count(*) - 1 FROM t",
        "SELECT count(*) FROM (SELECT * FROM task LIMIT 100 OFFSET 0)",
        "SELECT max(n) FROM (SELECT row_number() OVER (ORDER BY amount) AS n FROM task)",
        "SELECT count(status) FROM task WHERE status >= ''",
        "SELECT count(title) FROM task WHERE title >= ''",
        "SELECT sum(status = 'open') + sum(status <> 'open') FROM task",
        "SELECT json_array_length(json_group_array(title)) FROM task",
        "SELECT count(*) FROM task a, task b WHERE a.id = b.id",
    ];
    for sql in own {
        assert_eq!(count(&world.ada, sql), 3, "{sql}");
    }
    let by_id = format!("SELECT title FROM task WHERE id = '{}'", world.tasks[0]);
    let more = [
        by_id.as_str(),
        "SELECT * FROM task",
        "SELECT * FROM audit",
        "SELECT min(title), max(title), min(amount), max(amount), total(amount) FROM task",
        "SELECT rowid FROM task",
        "SELECT task.rowid, oid, _rowid_ FROM task",
        "SELECT title FROM task ORDER BY amount LIMIT 1",
        "SELECT title FROM task ORDER BY amount DESC LIMIT 1",
    ];
    unmoved(&world.ada, &[&own[..], &more].concat(), || world.crowd());
    assert_eq!(texts(&world.ada, &by_id), ["dig"]);
    let inside = world;
    let world = World::new(builder().temporary().unwrap());
    let of_organization = [
        "SELECT * FROM ticket",
        "SELECT text, ticket FROM note",
        "SELECT n.text, t.title FROM note n JOIN ticket t ON t.id = n.ticket",
        "SELECT count(*) FROM note WHERE ticket IN (SELECT id FROM ticket)",
        "SELECT count(*) FROM private_audit",
        "SELECT max(number) FROM audit WHERE entity = 'ticket'",
    ];
    unmoved(&world.acme, &of_organization, || world.crowd());
    assert_eq!(texts(&inside.acme, "SELECT text FROM note"), ["mine"]);
}

/// Point 3: a table that is the tenant's own and one that is everybody's are joined in both orders.
#[test]
fn point_03_rows_that_all_share_bring_no_others_along() {
    let world = world();
    let joins = [
        "SELECT title, code FROM task t JOIN currency c ON c.id = t.currency ORDER BY title",
        "SELECT title, code FROM currency c JOIN task t ON c.id = t.currency ORDER BY title",
        "SELECT title, code FROM currency c CROSS JOIN task t WHERE c.id = t.currency ORDER BY title",
        "SELECT code, count(t.id) FROM currency c LEFT JOIN task t ON t.currency = c.id GROUP BY code",
        "SELECT code, count(*) FROM task t RIGHT JOIN currency c ON t.currency = c.id GROUP BY code",
        "SELECT code FROM currency WHERE id IN (SELECT currency FROM task) ORDER BY code",
        "SELECT code FROM currency c WHERE NOT EXISTS (SELECT 1 FROM task t WHERE t.currency = c.id)",
    ];
    unmoved(&world.ada, &joins, || world.crowd());
    let pairs: Vec<(String, String)> = world.ada.sql(joins[1]).all().unwrap();
    assert_eq!(pairs, [("dig", "EUR"), ("rest", "USD")].map(|(a, b)| (a.to_owned(), b.to_owned())));
    assert_eq!(texts(&world.ada, "SELECT code FROM currency ORDER BY code"), ["EUR", "USD"]);
}

/// Point 4: no other name, and no table of SQLite's or of a module's, leads to the rows behind.
#[test]
fn point_04_no_other_name_leads_to_the_rows_behind() {
    let world = world();
    world.crowd();
    let of_store: Vec<String> = {
        let tool = crate::engine::look(world.store.path());
        let mut names =
            tool.prepare("SELECT name FROM sqlite_schema WHERE type IN ('table', 'view')").unwrap();
        names.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
    };
    let seen = ["task", "project", "currency"];
    let others = [
        "sqlite_schema",
        "sqlite_master",
        "sqlite_temp_schema",
        "sqlite_temp_master",
        "sqlite_stat1",
        "sqlite_stat4",
        "sqlite_sequence",
        "dbstat",
        "sqlite_dbpage",
        "bytecode",
        "tables_used",
        "sqlite_stmt",
        "completion",
        "pragma_table_list",
        "pragma_table_info",
        "pragma_database_list",
        "pragma_index_list",
        "pragma_function_list",
        "pragma_module_list",
        "pragma_data_version",
        "fts5vocab",
        "fts3tokenize",
        "rtree",
        "sqlite_parameters",
    ];
    let names = of_store.iter().map(String::as_str).filter(|name| !seen.contains(name) && *name != "audit");
    for name in names.chain(others) {
        for sql in [
            format!("SELECT * FROM \"{name}\""),
            format!("SELECT count(*) FROM main.\"{}\"", name.to_uppercase()),
            format!("SELECT * FROM temp.[{name}]"),
            format!("SELECT 1 FROM task, `{name}`"),
            format!("SELECT EXISTS (SELECT 1 FROM \"{name}\")"),
            format!("SELECT 1 IN \"{name}\""),
            format!("SELECT * FROM {name}('task')"),
            format!("WITH task AS (SELECT * FROM \"{name}\") SELECT * FROM task"),
        ] {
            let outcome = world.ada.sql(&sql).rows();
            assert!(matches!(outcome, Err(Error::Sql { .. })), "{sql}: {outcome:?}");
            // What is there is told as what is not there is.
            let absent = sql.replace(name, "nosuch").replace(&name.to_uppercase(), "NOSUCH");
            let (there, absent) = (problem(outcome), problem(world.ada.sql(&absent).rows()));
            let same = there.to_lowercase().replace(name, "nosuch") == absent.to_lowercase();
            assert!(same || there.starts_with("no such table"), "{sql}: {there} against {absent}");
        }
        // SQLite asks nobody about columns that are joined by their names. That the library has such a table is no secret.
        for joined in [
            "NATURAL JOIN main.{}",
            "JOIN {} USING (title)",
            "LEFT JOIN main.{} USING (title)",
            "NATURAL FULL JOIN {}",
        ] {
            let sql = format!("SELECT count(*) FROM task {}", joined.replace("{}", &format!("\"{name}\"")));
            let outcome = world.ada.sql(&sql).rows();
            assert!(matches!(outcome, Err(Error::Sql { .. })), "{sql}: {outcome:?}");
        }
    }
    for (sql, rows) in [
        // `main` holds the file's own view of all tenants' rows, for people who open it with another tool.
        ("SELECT title FROM main.task", None),
        ("SELECT title FROM temp.task", Some(3)),
        ("SELECT title FROM \"task\"", Some(3)),
        ("SELECT title FROM [TASK]", Some(3)),
        // A statement does not even use such a name for something of its own.
        ("SELECT title FROM task AS _rows_task", None),
        ("SELECT title FROM temp.task AS main", Some(3)),
        ("WITH _rows_task AS (SELECT title FROM task) SELECT title FROM _rows_task", None),
        ("WITH task(title) AS (VALUES ('own')) SELECT title FROM task", Some(1)),
        ("WITH task AS (SELECT title FROM temp.task) SELECT title FROM task", Some(3)),
        ("WITH task AS (SELECT * FROM main.task) SELECT title FROM task", None),
    ] {
        let outcome = world.ada.sql(sql).rows();
        match rows {
            Some(rows) => {
                assert_eq!(outcome.as_ref().unwrap().len(), rows, "{sql}");
                assert!(!shown(&outcome).contains(CANARY), "{sql}: {}", shown(&outcome));
            }
            None => assert!(problem(outcome).starts_with("no such table"), "{sql}"),
        }
    }
}

/// Point 5: a scope that does not reach an entity has no such table; one that has no records sees none.
#[test]
fn point_05_without_a_right_there_is_no_table_and_without_records_there_are_no_rows() {
    let world = world();
    world.crowd();
    for (table, in_user, in_organization, in_reference) in [
        ("task", true, false, false),
        ("project", true, false, false),
        ("ticket", false, true, false),
        ("note", false, true, false),
        ("members", false, true, false),
        ("private_audit", false, true, false),
        ("currency", true, true, true),
        ("audit", true, true, true),
    ] {
        let sql = format!("SELECT count(*) FROM {table}");
        for (seen, outcome) in [
            (in_user, world.ada.sql(&sql).rows()),
            (in_organization, world.acme.sql(&sql).rows()),
            (in_reference, world.store.reference().sql(&sql).rows()),
        ] {
            match seen {
                true => assert_eq!(outcome.unwrap().len(), 1, "{table}"),
                false => assert_eq!(problem(outcome), format!("no such table: {table}")),
            }
        }
    }
    let nobody = user(&world.store, "nobody");
    assert_eq!(count(&nobody, "SELECT count(*) FROM task, project"), 0);
    assert_eq!(count(&nobody, "SELECT count(*) FROM task"), 0);
    let ended = member(&world.store, "acme", "nobody", Role::Member);
    world.store.organizations().remove_member(ended.organization(), ended.user()).unwrap();
    assert!(matches!(ended.sql("SELECT 1").rows(), Err(Error::NotMember { .. })));
    world.store.users().disable(nobody.user()).unwrap();
    assert!(matches!(nobody.sql("SELECT 1").rows(), Err(Error::Disabled { .. })));
}

/// Point 6: statistics of all tenants' values are not to be read, and change no plan.
#[test]
fn point_06_statistics_are_neither_read_nor_felt() {
    let world = world();
    world.crowd();
    let places: Vec<String> = PLACES.iter().map(|place| place.replace("{}", "amount")).collect();
    unmoved(&world.ada, &places, || {
        crate::engine::look(world.store.path()).execute_batch("ANALYZE").unwrap();
    });
    // A connection that is made afterwards plans as if there were none either.
    let fresh = user(&world.store, "fresh");
    let [ada, fresh_plans] = [&world.ada, &fresh].map(|session| {
        places.iter().map(|sql| format!("{:?}", session.sql(sql).explain().unwrap())).collect::<Vec<_>>()
    });
    assert_eq!(ada, fresh_plans);
    for table in ["sqlite_stat1", "main.sqlite_stat1", "sqlite_stat4", "SQLITE_STAT1"] {
        let told = problem(fresh.sql(&format!("SELECT count(*) FROM {table}")).rows());
        assert_eq!(told, format!("no such table: {}", table.trim_start_matches("main.")));
    }
}

/// Point 7: a plan is told without running the statement, and holds no value.
#[test]
fn point_07_a_plan_runs_nothing_and_tells_no_value() {
    let world = world();
    world.crowd();
    let endless =
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n, task";
    let began = Instant::now();
    assert!(!world.ada.sql(endless).explain().unwrap().is_empty());
    assert!(began.elapsed() < Duration::from_secs(5));
    // It fails when it runs.
    assert!(world.grace.sql("SELECT abs(amount) FROM task").explain().is_ok());
    assert!(world.grace.sql("SELECT abs(amount) FROM task").rows().is_err());
    let bound = "SELECT title FROM task WHERE status = ?1 AND amount > ?2";
    let plan =
        |status: &str| format!("{:?}", world.grace.sql(bound).bind(status).bind(1_i64).explain().unwrap());
    assert_eq!(plan(CANARY), plan("open"));
    for sql in ["EXPLAIN SELECT * FROM task", "EXPLAIN QUERY PLAN SELECT * FROM task", "explain select 1"] {
        let told = problem(world.ada.sql(sql).rows());
        assert!(told.starts_with("EXPLAIN is a call of its own"), "{sql}: {told}");
    }
}

/// Point 8: tenants are told apart byte for byte, whatever a statement compares how. (For the verbs:
/// `ids_that_look_alike_are_different_tenants` in `tests/scenarios.rs`.)
#[test]
fn point_08_owners_that_look_alike_stay_apart() {
    let store = builder().temporary().unwrap();
    let alike =
        ["a", "A", "a ", " a", "1", "01", "1.0", "á", "a\u{301}", "a\u{200b}", "%", "_", "NULL", "' OR 1 --"];
    for id in alike {
        user(&store, id).insert(&task(id, 1)).unwrap();
    }
    for id in alike {
        let session = user(&store, id);
        for sql in [
            "SELECT title FROM task",
            "SELECT title FROM task WHERE title = title COLLATE NOCASE",
            "SELECT title FROM task WHERE title = title COLLATE RTRIM",
            "SELECT title FROM task WHERE title LIKE '%'",
            "SELECT title FROM task WHERE CAST(title AS INTEGER) = CAST(title AS REAL) OR 1",
            "SELECT DISTINCT title FROM task GROUP BY title COLLATE NOCASE",
        ] {
            assert_eq!(texts(&session, sql), [id], "{sql}");
        }
        let actors: Vec<String> =
            texts(&session, "SELECT DISTINCT actor FROM audit WHERE actor IS NOT NULL AND entity = 'task'");
        assert_eq!(actors, [id]);
    }
}

/// Point 17: a reference holds though who deletes its target sees nothing of who refers to it.
#[test]
fn point_17_a_target_goes_without_telling_of_private_records_that_refer_to_it() {
    let world = world();
    world.crowd();
    let joan = member(&world.store, "acme", "joan", Role::Member);
    let noted = "SELECT count(*) FROM note WHERE ticket = ?1";
    let of = |id: tenantry::Id<Ticket>| joan.sql(noted).bind(id).first::<i64>().unwrap().unwrap();
    assert_eq!(of(world.tickets[0]), 1);
    let before = told(&world.acme, "SELECT * FROM private_audit");
    world.acme.delete(world.tickets[0]).unwrap();
    assert_eq!(of(world.tickets[0]), 0);
    assert_eq!(
        joan.sql("SELECT text, ticket FROM note").all::<(String, Option<String>)>().unwrap(),
        [(CANARY.to_owned(), None)]
    );
    assert_eq!(told(&world.acme, "SELECT * FROM private_audit"), before);
    assert_eq!(
        count(&world.acme, "SELECT count(*) FROM audit WHERE entity = 'note' OR changes LIKE '%xyzzy%'"),
        0
    );
    // A private record can only refer to what its organization has.
    let foreign = Note { text: "n".into(), ticket: Some(world.tickets[0]) };
    assert!(matches!(joan.insert(&foreign), Err(Error::Reference { .. })));
}

/// Point 18: a view that somebody made in the file, with the rights of whoever opens it, is no table of a tenant's.
#[test]
fn point_18_views_of_the_file_are_not_there() {
    let world = world();
    world.crowd();
    let tool = crate::engine::look(world.store.path());
    tool.execute_batch(
        "CREATE VIEW everyone AS SELECT * FROM _rows_task; CREATE VIEW behind AS SELECT * FROM task; \
         CREATE TRIGGER telling INSTEAD OF INSERT ON everyone BEGIN SELECT 1; END",
    )
    .unwrap();
    // With the connection that there was, and with one that is made afterwards.
    for session in [&world.ada, &user(&world.store, "later")] {
        for view in ["everyone", "behind"] {
            for sql in
                ["SELECT * FROM {}", "SELECT count(*) FROM main.{}", "SELECT 1 WHERE 1 IN (SELECT 1 FROM {})"]
            {
                let told = problem(session.sql(&sql.replace("{}", view)).rows());
                assert_eq!(told, format!("no such table: {view}"));
            }
        }
    }
    assert_eq!(count(&world.ada, "SELECT count(*) FROM task"), 3);
}

/// Point 19: a statement that is kept for the next time, or that is still read, is its own session's.
#[test]
fn point_19_a_kept_statement_serves_no_other_session() {
    let world = World::new(builder().sql_connections(2).temporary().unwrap());
    world.crowd();
    let sql = "SELECT title FROM task WHERE amount >= ?1 ORDER BY amount";
    let of = |session: &tenantry::TenantSession| session.sql(sql).bind(0_i64).all::<String>().unwrap();
    for _ in 0..5 {
        assert_eq!(of(&world.ada), ["dig", "plant"]);
        assert_eq!(of(&world.grace).len(), 20);
        assert_eq!(of(&user(&world.store, "nobody")).len(), 0);
    }
    world
        .ada
        .sql(sql)
        .bind(0_i64)
        .stream(|rows| {
            let first = rows.next()?.unwrap().to::<String>()?;
            assert_eq!(of(&world.grace).len(), 20);
            let second = rows.next()?.unwrap().to::<String>()?;
            assert_eq!([first.as_str(), &second], ["dig", "plant"]);
            assert!(rows.next()?.is_none());
            Ok(())
        })
        .unwrap();
    // Values that were given to one session's statement are not there in another's.
    let kept = "SELECT count(*) FROM task WHERE title = ?1";
    assert_eq!(world.grace.sql(kept).bind(CANARY).first::<i64>().unwrap(), Some(0));
    assert!(matches!(world.ada.sql(kept).rows(), Err(Error::InvalidInput { .. })));
}

/// Point 20: what is remembered of a text is remembered for one scope: a person, in each organization, and the store's own.
#[test]
fn point_20_one_text_in_many_scopes_is_many_statements() {
    let world = world();
    world.crowd();
    let second = member(&world.store, "umbrella", "ada", Role::Member);
    let joan = member(&world.store, "acme", "joan", Role::Member);
    let log = "SELECT count(*) FROM audit";
    let length =
        |entries: tenantry::Result<Vec<tenantry::AuditEntry>>| i64::try_from(entries.unwrap().len()).unwrap();
    for _ in 0..3 {
        assert_eq!(count(&world.ada, log), length(world.ada.audit().list()));
        assert_eq!(count(&world.acme, log), length(world.acme.audit().list()));
        assert_eq!(count(&second, log), length(second.audit().list()));
        assert_eq!(count(&world.grace, log), length(world.grace.audit().list()));
        assert_eq!(count(&world.store.reference(), log), length(world.store.reference().audit().list()));
        assert_eq!(texts(&world.acme, "SELECT title FROM ticket ORDER BY id"), ["roof", "door"]);
        assert_eq!(texts(&second, "SELECT title FROM ticket ORDER BY id"), [CANARY, CANARY]);
        assert_eq!(texts(&world.acme, "SELECT user FROM members ORDER BY user"), ["ada", "joan"]);
        assert_eq!(texts(&second, "SELECT user FROM members ORDER BY user"), ["ada", "grace"]);
        // Within one organization what is common is one, and what is private is each member's.
        assert_eq!(texts(&joan, "SELECT title FROM ticket ORDER BY id"), ["roof", "door"]);
        assert_eq!(texts(&joan, "SELECT text FROM note"), [CANARY]);
        assert_eq!(texts(&world.acme, "SELECT text FROM note"), ["mine"]);
    }
}

/// Point 22: the views behind tables hold subqueries, and tables refer to themselves: statements nest and repeat them.
#[test]
fn point_22_tables_that_look_into_others_nest_as_any() {
    let world = world();
    let nested = (0..20).fold("SELECT text, ticket FROM note".to_owned(), |inner, _| {
        format!("SELECT text, ticket FROM ({inner}) WHERE ticket IN (SELECT ticket FROM note)")
    });
    let crossed = "SELECT count(*) FROM note a, note b, note c, note d, note e, ticket, members \
                   WHERE (a.id, a.text, a.ticket) = (b.id, b.text, b.ticket) AND c.ticket = d.ticket AND ticket.id = e.ticket";
    let path = "WITH RECURSIVE up(id, path) AS (SELECT id, name FROM project WHERE parent IS NULL \
                UNION ALL SELECT p.id, up.path || '/' || p.name FROM up JOIN project p ON p.parent = up.id) SELECT path FROM up";
    unmoved(&world.ada, &[path], || world.crowd());
    assert_eq!(texts(&world.ada, path), ["house", "house/garden"]);
    let rows: Vec<(String, Option<String>)> = world.acme.sql(&nested).all().unwrap();
    assert_eq!(rows, [("mine".to_owned(), Some(world.tickets[0].to_string()))]);
    assert_eq!(count(&world.acme, crossed), 2, "once for each member");
}

#[test]
fn the_tenants_of_these_tests_do_hold_what_would_show() {
    let world = world();
    world.crowd();
    let grace = texts(&world.grace, "SELECT detail FROM task");
    assert!(grace.len() == 23 && grace.iter().all(|detail| detail.contains(CANARY)));
    assert_eq!(world.grace.get(world.tasks[0]).unwrap().title, "dig");
    assert_eq!(world.ada.get::<Task>(world.tasks[0]).unwrap().amount, 5);
    assert_eq!(world.grace.user(), &UserId::new("grace").unwrap());
}
