//! Points 14, 21 and 23 to 28: nobody changes the rules, nobody is above them, and copies keep them.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use tenantry::{Error, Role, Tenancy};

use crate::world::{CANARY, Note, World, builder, count, member, problem, texts, told, user};

/// What a session sees of everything.
const LOOK: [&str; 3] = [
    "SELECT * FROM task",
    "SELECT count(*) FROM project",
    "SELECT title, code FROM task t JOIN currency c ON c.id = t.currency",
];

/// Statements are refused, change nothing that anybody sees, and leave no file behind.
fn refused(world: &World, folder: &Path, statements: &[&str]) {
    let look = || {
        let tenants = [&world.ada, &world.grace].map(|session| LOOK.map(|sql| told(session, sql)));
        let files: BTreeSet<_> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        (tenants, told(&world.acme, "SELECT * FROM ticket"), files)
    };
    let before = look();
    for sql in statements {
        let sql = sql.replace("{dir}", folder.to_str().unwrap());
        for outcome in [
            world.ada.sql(&sql).rows(),
            world.acme.sql(&sql).rows(),
            world.store.reference().sql(&sql).rows(),
        ] {
            assert!(
                matches!(outcome, Err(Error::AccessDenied { .. } | Error::Sql { .. })),
                "{sql}: {outcome:?}"
            );
        }
        assert_eq!(look(), before, "{sql}");
    }
    assert!(world.store.check().unwrap().is_clean());
}

fn on_disk() -> (tempfile::TempDir, World) {
    let folder = tempfile::tempdir().unwrap();
    let world = World::new(builder().open(folder.path().join("app.db")).unwrap());
    world.crowd();
    (folder, world)
}

/// Point 14: nothing reads into a write: no statement writes, also within another one. (The verbs take values only.)
#[test]
fn point_14_no_statement_writes_what_it_reads() {
    let (folder, world) = on_disk();
    let statements = [
        "INSERT INTO task SELECT * FROM task",
        "INSERT INTO project (name) SELECT title FROM task RETURNING *",
        "INSERT INTO project (name) VALUES ('x') ON CONFLICT DO NOTHING RETURNING id",
        "INSERT OR IGNORE INTO _rows_project SELECT * FROM _rows_project",
        "REPLACE INTO main._rows_task SELECT * FROM main._rows_task",
        "UPDATE task SET title = p.name FROM project p WHERE p.id = task.project RETURNING *",
        "UPDATE main._rows_task SET _tenant = _tenant",
        "DELETE FROM task WHERE id IN (SELECT id FROM task) RETURNING title",
        "DELETE FROM temp.task",
        "DELETE FROM members",
        "INSERT INTO members SELECT * FROM members",
        "UPDATE members SET role = 'admin'",
        "WITH t AS (SELECT * FROM task) DELETE FROM task WHERE id IN (SELECT id FROM t)",
        "WITH t AS (DELETE FROM task RETURNING *) SELECT * FROM t",
        "SELECT * FROM (UPDATE task SET title = 'x' RETURNING *)",
        "CREATE TABLE copy AS SELECT * FROM task",
        "CREATE TEMP TABLE copy AS SELECT * FROM task",
        "SELECT title INTO copy FROM task",
    ];
    refused(&world, folder.path(), &statements);
}

/// Points 21 and 23: nobody makes, changes or drops what keeps tenants apart, nor brings in a trigger that would run with
/// others' rights, nor switches a guard off.
#[test]
fn point_21_and_23_nobody_changes_the_rules() {
    let (folder, world) = on_disk();
    let statements = [
        "DROP VIEW task",
        "DROP VIEW temp.task",
        "DROP VIEW IF EXISTS main.task",
        "DROP TABLE _rows_task",
        "DROP TABLE temp.members",
        "DROP INDEX _id_task",
        "DROP TRIGGER _fixed_task",
        "CREATE TEMP VIEW task AS SELECT * FROM main.task",
        "CREATE TEMP VIEW more AS SELECT * FROM _rows_task",
        "CREATE VIEW more AS SELECT * FROM task",
        "CREATE TEMP TRIGGER more AFTER INSERT ON main._rows_task BEGIN SELECT 1; END",
        "CREATE TEMP TRIGGER more INSTEAD OF INSERT ON task BEGIN SELECT 1; END",
        "CREATE TRIGGER more AFTER INSERT ON _rows_task BEGIN SELECT 1; END",
        "CREATE INDEX more ON _rows_task (amount)",
        "CREATE VIRTUAL TABLE temp.more USING fts5(x)",
        "ALTER TABLE _rows_task RENAME TO task2",
        "ALTER TABLE task RENAME COLUMN title TO name",
        "ALTER TABLE _rows_task DROP COLUMN _tenant",
        "PRAGMA writable_schema = ON",
        "PRAGMA query_only = OFF",
        "PRAGMA trusted_schema = ON",
        "PRAGMA temp_store_directory = '{dir}'",
        "PRAGMA table_info(task)",
        "ANALYZE",
        "REINDEX",
        "BEGIN IMMEDIATE",
        "COMMIT",
        "ROLLBACK",
        "SAVEPOINT x",
        "SELECT load_extension('x')",
        "SELECT fts3_tokenizer('x')",
        "SELECT sqlite_rename_table(1, 2, 3, 4, 5, 6, 7)",
    ];
    refused(&world, folder.path(), &statements);
}

/// Points 24 and 26: nobody is above the rules: an organization's administrator and the application's own session see by SQL
/// what their verbs read. (For the verbs: `row_11_an_organizations_admin_does_not_see_members_private_records` in
/// `tests/failure_modes.rs`.)
#[test]
fn point_24_and_26_no_role_is_above_the_rules() {
    let (_folder, world) = on_disk();
    let joan = member(&world.store, "acme", "joan", Role::Admin);
    for (session, notes) in [(&world.acme, ["mine"]), (&joan, [CANARY])] {
        assert_eq!(texts(session, "SELECT text FROM note"), notes);
        assert_eq!(count(session, "SELECT count(*) FROM note WHERE text <> ''"), 1);
        let own = session.private_audit().list().unwrap().len();
        assert_eq!(count(session, "SELECT count(*) FROM private_audit"), i64::try_from(own).unwrap());
        assert_eq!(count(session, "SELECT count(*) FROM audit WHERE entity = 'note'"), 0);
    }
    let reference = world.store.reference();
    assert_eq!(count(&reference, "SELECT count(*) FROM currency"), 2);
    for table in ["task", "ticket", "note", "members", "_user", "_audit", "_tenant"] {
        let told = problem(reference.sql(&format!("SELECT * FROM {table}")).rows());
        assert_eq!(told, format!("no such table: {table}"));
    }
    assert!(!told(&reference, "SELECT * FROM audit").contains(CANARY));
}

/// Point 25: a statement brings nothing in from a file and nothing out to one.
#[test]
fn point_25_no_statement_reads_or_writes_a_file() {
    let (folder, world) = on_disk();
    let statements = [
        "VACUUM INTO '{dir}/copy.db'",
        "VACUUM",
        "ATTACH '{dir}/other.db' AS other",
        "ATTACH 'file:{dir}/app.db?mode=rw' AS other",
        "DETACH main",
        "SELECT writefile('{dir}/out', 'x')",
        "SELECT readfile('{dir}/app.db')",
        "SELECT * FROM fsdir('{dir}')",
        "SELECT * FROM sqlite_dbpage",
        "SELECT edit('x')",
        "CREATE VIRTUAL TABLE temp.x USING csv(filename = '{dir}/app.db')",
        ".dump",
        "COPY task TO '{dir}/out'",
    ];
    refused(&world, folder.path(), &statements);
}

/// Point 27: a copy of the file, made by another tool, keeps tenants apart as the file does.
#[test]
fn point_27_a_copy_of_the_file_keeps_the_rules() {
    let (folder, world) = on_disk();
    let looked =
        |store: &tenantry::Store| ["ada", "grace"].map(|id| LOOK.map(|sql| told(&user(store, id), sql)));
    let before = looked(&world.store);
    let copy = folder.path().join("copy.db");
    crate::engine::look(world.store.path()).execute("VACUUM INTO ?1", [copy.to_str().unwrap()]).unwrap();
    world.store.close().unwrap();
    // Renumbers what has no declared number.
    crate::engine::look(world.store.path()).execute_batch("VACUUM").unwrap();
    for path in [copy.as_path(), &folder.path().join("app.db")] {
        let store = builder().open(path).unwrap();
        assert_eq!(looked(&store), before);
        assert!(store.check().unwrap().is_clean());
        let ada = member(&store, "acme", "ada", Role::Admin);
        assert_eq!(texts(&ada, "SELECT text FROM note"), ["mine"]);
        ada.insert(&Note { text: "more".into(), ticket: None }).unwrap();
        assert_eq!(count(&member(&store, "acme", "joan", Role::Member), "SELECT count(*) FROM note"), 1);
    }
}

/// Point 28: who owns the rows of what can be asked, and is what statements see.
#[test]
fn point_28_the_rules_can_be_listed() {
    let (_folder, world) = on_disk();
    let definitions = world.store.definitions();
    assert_eq!(definitions.len(), 5);
    for definition in definitions {
        let tenancy = definition.tenancy();
        let sql = format!("SELECT * FROM \"{}\" LIMIT 0", definition.name());
        let in_user = world.ada.sql(&sql).rows();
        let in_organization = world.acme.sql(&sql).rows();
        assert_eq!(in_user.is_ok(), matches!(tenancy, Tenancy::User | Tenancy::Reference), "{sql}");
        assert_eq!(in_organization.is_ok(), tenancy != Tenancy::User, "{sql}");
        let rows = in_user.or(in_organization).unwrap();
        let columns: Vec<&str> = rows.columns().iter().map(tenantry::SqlColumn::name).collect();
        let own: Vec<&str> = definition.columns().iter().map(tenantry::ColumnDefinition::name).collect();
        let record =
            ["version", "created", "updated"].into_iter().chain(definition.has_author().then_some("author"));
        let expected: Vec<&str> = ["id"].into_iter().chain(own).chain(record).collect();
        assert_eq!(columns, expected);
    }
}
