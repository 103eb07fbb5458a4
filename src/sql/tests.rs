//! The walls one by one: each of them is tried where nothing else stands behind it.

use rusqlite::config::DbConfig;
use rusqlite::hooks::{AuthAction, AuthContext};
use rusqlite::limits::Limit;

use super::authorizer::{Refused, Rules};
use super::bound::Failed;
use super::limits::SqlLimits;
use super::plan::{Paths, PlanStep};
use crate::statement::{Reached, View};
use crate::{Definition, Error, Store, Tenancy, TenantSession, UserId};

fn session() -> (Store, TenantSession) {
    let store = Store::builder().definition(Definition::new("task", Tenancy::User)).temporary().unwrap();
    let session = store.session(&store.users().create(&UserId::new("ada").unwrap()).unwrap()).unwrap();
    (store, session)
}

/// Plans, and what the authorizer is asked, are those of this version: with another one, look at both again.
#[test]
fn sqlite_is_the_version_that_was_looked_at() {
    // SQLCipher 4.14.0 brings one of its own.
    let looked_at = if cfg!(feature = "sqlcipher") { "3.51.3" } else { "3.53.2" };
    assert_eq!(rusqlite::version(), looked_at);
}

#[test]
fn a_connection_has_every_setting_and_prepares_nothing_by_itself() {
    let (_store, session) = session();
    let lent = session.core().sql_connection(SqlLimits::new().fixed()).unwrap();
    let connection = lent.bound().unwrap().connection();
    for (setting, on) in [
        (DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true),
        (DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false),
        (DbConfig::SQLITE_DBCONFIG_DQS_DML, false),
        (DbConfig::SQLITE_DBCONFIG_DQS_DDL, false),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_FTS3_TOKENIZER, false),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_ATTACH_CREATE, false),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_ATTACH_WRITE, false),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true),
    ] {
        assert_eq!(connection.db_config(setting).unwrap(), on, "{setting:?}");
    }
    for (limit, most) in [
        (Limit::SQLITE_LIMIT_LENGTH, 256 << 10),
        (Limit::SQLITE_LIMIT_EXPR_DEPTH, 100),
        (Limit::SQLITE_LIMIT_COLUMN, 500),
        (Limit::SQLITE_LIMIT_COMPOUND_SELECT, 100),
        (Limit::SQLITE_LIMIT_VDBE_OP, 100_000),
        (Limit::SQLITE_LIMIT_FUNCTION_ARG, 100),
        (Limit::SQLITE_LIMIT_ATTACHED, 0),
        (Limit::SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 100),
        (Limit::SQLITE_LIMIT_VARIABLE_NUMBER, 1_000),
        (Limit::SQLITE_LIMIT_TRIGGER_DEPTH, 1),
        (Limit::SQLITE_LIMIT_WORKER_THREADS, 0),
    ] {
        assert_eq!(connection.limit(limit).unwrap(), most, "{limit:?}");
    }
    // Not even we, at another moment than that of a tenant's statement.
    for text in ["SELECT 1", "PRAGMA query_only", "PRAGMA schema_version", "SELECT * FROM task"] {
        assert!(connection.prepare(text).is_err(), "{text}");
    }
    let asked = |pragma: &str| -> i64 {
        let text = format!("PRAGMA {pragma}");
        // Without the authorizer, since it is the last that is looked at.
        connection.query_row(&text, [], |row| row.get(0)).unwrap()
    };
    connection.authorizer(None::<fn(AuthContext<'_>) -> rusqlite::hooks::Authorization>).unwrap();
    for (pragma, value) in [
        ("query_only", 1),
        ("automatic_index", 0),
        ("cell_size_check", 1),
        ("mmap_size", 0),
        ("temp_store", 2),
        ("cache_spill", 0),
        ("cache_size", -2_048),
    ] {
        assert_eq!(asked(pragma), value, "{pragma}");
    }
    // Not writable either way: what is read is opened read-only.
    connection.pragma_update(None, "query_only", false).unwrap();
    assert!(connection.execute("DELETE FROM _rows_task", []).is_err());
    // Nor, where nothing else says so, is a statement run that writes.
    connection.execute_batch("CREATE TEMP TABLE w (y)").unwrap();
    let writes = lent.bound().unwrap().prepare("INSERT INTO w VALUES (1) RETURNING y", &SqlLimits::new());
    assert!(matches!(writes, Err(Failed::Refused(Error::AccessDenied { .. }))));
    drop(writes);
    lent.discard();
}

fn rules() -> Rules {
    Rules {
        seen: ["task", "_secret_task", "members"].map(str::to_owned).into_iter().collect(),
        hidden: [("_secret_task".to_owned(), vec!["_rows_task".to_owned()])].into_iter().collect(),
        names: ["_rows_task", "_rows_note", "_user", "task", "dbstat"]
            .map(str::to_owned)
            .into_iter()
            .collect(),
        tables: ["_rows_task", "_rows_note", "_user", "dbstat"].map(str::to_owned).into_iter().collect(),
        ..Rules::default()
    }
}

#[test]
fn the_authorizer_allows_by_name_and_nothing_else() {
    let rules = rules();
    let read = |table, column, database, accessor| {
        let action = AuthAction::Read { table_name: table, column_name: column };
        rules.decide(&AuthContext { action, database_name: database, accessor }).is_ok()
    };
    // What a statement reads of the tenant's own.
    assert!(read("task", "title", Some("temp"), None));
    assert!(read("TASK", "title", Some("temp"), Some("w")));
    assert!(read("_secret_task", "title", Some("temp"), Some("task")));
    assert!(read("_rows_task", "title", Some("main"), Some("_secret_task")));
    assert!(read("json_each", "value", Some("main"), None));
    assert!(read("members", "user", Some("temp"), None));
    // The same, by whom it is not for: what is called as a table that is seen, a view of the file, another table.
    assert!(!read("_rows_task", "title", Some("main"), None));
    assert!(!read("_rows_task", "title", Some("main"), Some("task")));
    assert!(!read("_rows_note", "text", Some("main"), Some("_secret_task")));
    assert!(!read("_rows_task", "title", Some("temp"), Some("_secret_task")));
    assert!(!read("_rows_task", "title", None, Some("_secret_task")));
    assert!(!read("task", "title", Some("main"), None));
    assert!(!read("task", "title", Some("other"), None));
    assert!(!read("sqlite_master", "sql", Some("temp"), None));
    // A table of which nothing is read has no schema.
    assert!(read("task", "", None, None) && read("w", "", None, None) && read("json_tree", "", None, None));
    for table in ["_ROWS_task", "_user", "dbstat", "sqlite_schema", "SQLITE_stat1", "pragma_table_list"] {
        assert!(!read(table, "", None, None), "{table}");
    }
    assert!(!read("w", "", Some("main"), None), "whatever it is, it was named with its schema");
    let function = |name| {
        let action = AuthAction::Function { function_name: name };
        rules.decide(&AuthContext { action, database_name: None, accessor: None })
    };
    for name in ["count", "json_extract", "->>", "like", "utc_text", "nothing_like_it"] {
        assert_eq!(function(name).is_ok(), name != "nothing_like_it", "{name}");
    }
    for name in [
        "load_extension",
        "randomblob",
        "zeroblob",
        "changes",
        "total_changes",
        "last_insert_rowid",
        "sqlite_version",
        "sqlite_source_id",
        "sqlite_compileoption_get",
        "sqlite_offset",
        "fts5",
        "match",
        "rtreenode",
        "readfile",
        "edit",
    ] {
        assert_eq!(function(name), Err(Refused::Function(name.to_owned())));
    }
    for action in [
        AuthAction::Insert { table_name: "task" },
        AuthAction::Update { table_name: "task", column_name: "title" },
        AuthAction::Delete { table_name: "task" },
        AuthAction::Pragma { pragma_name: "schema_version", pragma_value: None },
        AuthAction::Attach { filename: "x" },
        AuthAction::Detach { database_name: "temp" },
        AuthAction::CreateTempTable { table_name: "x" },
        AuthAction::CreateTempView { view_name: "x" },
        AuthAction::DropTempView { view_name: "task" },
        AuthAction::CreateVtable { table_name: "x", module_name: "fts5" },
        AuthAction::Analyze { table_name: "x" },
        AuthAction::Reindex { index_name: "x" },
        AuthAction::Unknown { code: 99, arg1: None, arg2: None },
    ] {
        let context = AuthContext { action, database_name: Some("temp"), accessor: None };
        assert_eq!(rules.decide(&context), Err(Refused::Statement), "{context:?}");
    }
    assert!(
        rules
            .decide(&AuthContext { action: AuthAction::Select, database_name: None, accessor: None })
            .is_ok()
    );
}

#[test]
fn a_text_names_no_table_of_the_file_in_any_quotes() {
    let rules = rules();
    for text in [
        "SELECT * FROM _rows_task",
        "SELECT * FROM main.\"_ROWS_NOTE\"",
        "x JOIN [_user] USING (id)",
        "x JOIN `dbstat` USING (name)",
        "x JOIN '_rows_task' USING (id)",
        "x JOIN \"_rows_it\"\"s\"",
        "FROM/**/_user/**/",
        "FROM sqlite_Schema",
        "FROM pragma_table_list('x')",
        "SELECT 'a _user b'",
    ] {
        assert!(rules.forbidden(text).is_some(), "{text}");
    }
    for text in [
        "SELECT * FROM task, members",
        "SELECT username, _users, user FROM task",
        "SELECT a_rows, rows_ FROM w",
    ] {
        assert_eq!(rules.forbidden(text), None, "{text}");
    }
}

fn paths() -> Paths {
    let view = |name: &str, table: &str, reached| View {
        name: name.to_owned(),
        select: String::new(),
        tables: vec![table.to_owned()],
        reached,
        noted: Vec::new(),
    };
    let mut paths = Paths::default();
    paths.view(&view(
        "task",
        "_rows_task",
        Reached::ByTenant(vec!["_id_task".to_owned(), "_index1_task".to_owned()]),
    ));
    paths.view(&view("label", "_rows_label", Reached::Freely(vec!["_id_label".to_owned()])));
    paths.view(&view("audit", "_audit", Reached::ByRange));
    paths.hidden("_secret_task", "task");
    paths.finish();
    paths
}

fn steps(details: &[&str]) -> Vec<PlanStep> {
    let step =
        |(id, detail): (usize, &&str)| PlanStep { id: id as i64, parent: 0, detail: (*detail).to_owned() };
    details.iter().enumerate().map(step).collect()
}

#[test]
fn a_plan_reaches_a_table_by_the_tenant_or_not_at_all() {
    let paths = paths();
    for detail in [
        "SEARCH main._rows_task USING INDEX _index1_task (_tenant=?)",
        "SEARCH main._rows_task USING COVERING INDEX _id_task (_tenant=? AND _id=?)",
        "SEARCH main._rows_task USING INDEX _id_task (_tenant=? AND _id=?) LEFT-JOIN",
        "SEARCH main._audit USING INDEX sqlite_autoindex__audit_1 (key>? AND key<?)",
        "SEARCH main._actor USING PRIMARY KEY (mark=?)",
        "SCAN main._rows_label",
        "BLOOM FILTER ON w1 (c1=?)",
        "SCAN json_each VIRTUAL TABLE INDEX 1:",
        "CREATE BLOOM FILTER",
        "USE TEMP B-TREE FOR ORDER BY",
    ] {
        assert!(paths.accepts(&steps(&[detail])), "{detail}");
    }
    for detail in [
        "SCAN main._rows_task",
        "SCAN main._rows_task USING COVERING INDEX _index1_task",
        "SEARCH main._rows_task",
        "SEARCH main._rows_task USING INTEGER PRIMARY KEY (rowid=?)",
        "SEARCH main._rows_task USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)",
        "SEARCH main._rows_task USING INDEX _index1_task (ANY(_tenant) AND status=?)",
        "SEARCH main._rows_task USING INDEX _index1_task (status=? AND _tenant=?)",
        "SEARCH main._rows_task USING INDEX other (_tenant=?)",
        "SEARCH main._rows_task USING AUTOMATIC COVERING INDEX (title=?)",
        "SEARCH main._rows_task USING AUTOMATIC PARTIAL COVERING INDEX (_tenant=?)",
        "BLOOM FILTER ON main._rows_task (_tenant=?)",
        "USING INDEX _id_task FOR IN-OPERATOR",
        "USING ROWID SEARCH ON TABLE _rows_task FOR IN-OPERATOR",
        "SCAN main._audit",
        "SEARCH main._audit USING INDEX sqlite_autoindex__audit_1 (key>?)",
        "SEARCH main._user USING INTEGER PRIMARY KEY (rowid=?)",
        "SCAN main._actor",
        "SOMETHING NEW",
    ] {
        assert!(!paths.accepts(&steps(&["SCAN CONSTANT ROW", detail])), "{detail}");
    }
}

#[test]
fn a_plan_is_shown_in_the_tenants_names() {
    let shown = paths().show(steps(&[
        "SEARCH main._rows_task USING INDEX _index1_task (_tenant=?)",
        "SEARCH main._rows_task USING COVERING INDEX _id_task (_tenant=? AND _id=?)",
        "MATERIALIZE _secret_task",
        "SEARCH main._audit USING INDEX sqlite_autoindex__audit_1 (key>? AND key<?)",
    ]));
    let details: Vec<&str> = shown.iter().map(|step| step.detail.as_str()).collect();
    assert_eq!(
        details,
        [
            "SCAN task USING INDEX index1_task",
            "SEARCH task USING COVERING INDEX id_task (id=?)",
            "MATERIALIZE task",
            "SCAN audit",
        ]
    );
}
