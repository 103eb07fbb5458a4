//! Opening: what makes a store, what is refused, and that a refused file keeps every byte.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tenantry::{
    Builder, ColumnDefinition, ColumnKind, Definition, Entity, Error, Fields, IndexDefinition, OnDelete,
    Store, Tenancy, TenantSession, UserId, column,
};

#[derive(Debug, Clone, PartialEq, Entity)]
#[entity(unique(title))]
struct Task {
    title: String,
    done: bool,
}

fn builder() -> Builder {
    Store::builder().entity::<Task>().open_timeout(Duration::from_millis(50))
}

fn user(store: &Store, id: &str) -> TenantSession {
    store.session(&store.users().get_or_create(&UserId::new(id).unwrap()).unwrap()).unwrap()
}

fn task(title: &str) -> Task {
    Task { title: title.to_owned(), done: false }
}

/// A closed store with one record, and the folder that it lies in.
fn closed() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    let store = builder().open(&path).unwrap();
    user(&store, "ada").insert(&task("kept")).unwrap();
    store.close().unwrap();
    (folder, path)
}

fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<(String, Vec<u8>)> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.path().is_file())
        .map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap()))
        .filter(|(name, _)| !name.ends_with(".lock"))
        .collect();
    files.sort();
    files
}

/// Opening fails in both modes and leaves every file as it was.
fn refused(path: &Path, expected: impl Fn(&Error) -> bool) -> Error {
    let folder = path.parent().unwrap();
    let before = files(folder);
    let error = builder().open(path).unwrap_err();
    assert!(expected(&error), "{error:?}");
    assert!(files(folder) == before, "opening changed a file that it refused");
    let reading = builder().read_only().open(path).unwrap_err();
    assert!(expected(&reading), "reading: {reading:?}");
    assert!(files(folder) == before, "reading changed a file that it refused");
    error
}

fn is_corrupt(error: &Error) -> bool {
    matches!(error, Error::Corrupt { .. })
}

#[test]
fn a_store_is_made_closed_and_opened_again() {
    let (_folder, path) = closed();
    let store = builder().open(&path).unwrap();
    assert_eq!(store.path(), path.canonicalize().unwrap());
    assert_eq!(user(&store, "ada").query::<Task>().one().unwrap().title, "kept");
    assert!(store.check().unwrap().is_clean());
    let plain = rusqlite::Connection::open(&path).unwrap();
    let shown: String =
        plain.query_row("SELECT _user || ' ' || title FROM task", [], |row| row.get(0)).unwrap();
    assert_eq!(shown, "ada kept", "any SQLite tool can read it");
}

#[test]
fn entities_are_reached_by_name_without_their_types() {
    let (_folder, path) = closed();
    let store = Store::open(&path).unwrap();
    assert_eq!(store.definitions(), [&Task::definition()]);
    let session = user(&store, "ada");
    let tasks = session.dynamic("task").unwrap();
    assert_eq!(
        tasks.query().filter(column("done").eq(false)).one().unwrap().get("title"),
        Some(&"kept".into())
    );
    tasks.insert(Fields::new().with("title", "by name").with("done", true)).unwrap();
    let untyped = session.insert(&task("no type")).unwrap_err();
    assert!(matches!(&untyped, Error::Schema { problem } if problem.contains("not registered")), "{untyped}");
    assert!(matches!(session.list::<Task>(), Err(Error::Schema { .. })));
    store.close().unwrap();
    assert_eq!(user(&builder().open(&path).unwrap(), "ada").count::<Task>().unwrap(), 2);
}

#[test]
fn a_new_entity_joins_an_old_file() {
    let (_folder, path) = closed();
    let note = Definition::new("note", Tenancy::User).column(ColumnDefinition::new("text", ColumnKind::Text));
    let store = builder().definition(note.clone()).open(&path).unwrap();
    user(&store, "ada").dynamic("note").unwrap().insert(Fields::new().with("text", "n")).unwrap();
    store.close().unwrap();
    let store = Store::open(&path).unwrap();
    assert_eq!(store.definitions(), [&Task::definition(), &note]);
    assert_eq!(user(&store, "ada").dynamic("note").unwrap().count().unwrap(), 1);
}

#[test]
fn a_changed_definition_is_refused_by_name_of_the_difference() {
    let (_folder, path) = closed();
    let before = fs::read(&path).unwrap();
    let task = |tenancy| Definition::new("task", tenancy);
    let title = || ColumnDefinition::new("title", ColumnKind::Text);
    let done = || ColumnDefinition::new("done", ColumnKind::Boolean);
    let user = Tenancy::User;
    let cases = [
        (task(Tenancy::Reference).column(title()).column(done()).unique(["title"]), "tenancy"),
        (task(Tenancy::Organization).author().column(title()).column(done()).unique(["title"]), "tenancy"),
        (task(user).column(title()).unique(["title"]), "\"done\" is missing"),
        (
            task(user).column(title()).column(done().optional()).unique(["title"]),
            "\"done\" is declared differently",
        ),
        (
            task(user).column(title().secret()).column(done()).unique(["title"]),
            "\"title\" is declared differently",
        ),
        (task(user).column(title()).column(done().default(true)).unique(["title"]), "\"done\""),
        (
            task(user)
                .column(title())
                .column(done())
                .column(ColumnDefinition::new("due", ColumnKind::Time))
                .unique(["title"]),
            "\"due\" is new",
        ),
        (task(user).column(done()).column(title()).unique(["title"]), "order"),
        (task(user).column(title()).column(done()), "indexes"),
        (task(user).column(title()).column(done()).index(IndexDefinition::new(["title"])), "indexes"),
    ];
    for (definition, expected) in cases {
        for read_only in [false, true] {
            let builder = Store::builder().definition(definition.clone());
            let builder = if read_only { builder.read_only() } else { builder };
            let error = builder.open(&path).unwrap_err();
            assert!(
                matches!(&error, Error::Schema { problem } if problem.contains("task") && problem.contains(expected)),
                "{expected}: {error}"
            );
        }
    }
    // Reading leaves an empty WAL and its index beside the file, which the next writer removes.
    assert!(fs::read(&path).unwrap() == before, "the file was changed");
    let unknown = Definition::new("unknown", Tenancy::User);
    let error = Store::builder().definition(unknown).read_only().open(&path).unwrap_err();
    assert!(matches!(error, Error::Schema { .. }), "reading adds nothing");
}

#[test]
fn what_is_no_store_is_refused_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("other.db");
    let foreign = rusqlite::Connection::open(&path).unwrap();
    foreign.execute_batch("CREATE TABLE t (a); INSERT INTO t VALUES (1)").unwrap();
    drop(foreign);
    assert!(refused(&path, is_corrupt).to_string().contains("another application"));
    let text = folder.path().join("notes.txt");
    for content in [&b"not a database"[..], &[b'x'; 5000], b"SQLite format 3\0", b""] {
        fs::write(&text, content).unwrap();
        refused(&text, is_corrupt);
    }
}

#[test]
fn a_truncated_store_is_refused_and_kept() {
    let (folder, path) = closed();
    let whole = fs::read(&path).unwrap();
    for length in [1, 15, 16, 99, 100, 4095, 4096, whole.len() / 2, whole.len() - 4096, whole.len() - 1] {
        let cut = folder.path().join("cut.db");
        fs::write(&cut, &whole[..length]).unwrap();
        refused(&cut, is_corrupt);
    }
}

/// Every bit of the header that SQLite or the store reads: refused, or of no consequence.
#[test]
fn a_store_with_a_flipped_bit_in_its_header_is_refused_or_whole() {
    let (_folder, path) = closed();
    let whole = fs::read(&path).unwrap();
    let mut refusals = 0;
    for bit in 0..800 {
        let folder = tempfile::tempdir().unwrap();
        let flipped = folder.path().join("flipped.db");
        let mut bytes = whole.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        fs::write(&flipped, &bytes).unwrap();
        match builder().read_only().open(&flipped) {
            Ok(store) => {
                let report = store.check();
                if let Ok(report) = &report {
                    let session = store.session(&UserId::new("ada").unwrap());
                    let seen = session.and_then(|session| session.list::<Task>());
                    assert!(!report.is_clean() || seen.is_ok_and(|seen| seen.len() == 1), "bit {bit}");
                }
            }
            Err(error) => {
                refusals += 1;
                let typed = matches!(
                    error,
                    Error::Corrupt { .. } | Error::Schema { .. } | Error::Io { .. } | Error::ReadOnly { .. }
                );
                assert!(typed, "bit {bit}: {error:?}");
                assert!(fs::read(&flipped).unwrap() == bytes, "bit {bit}: the file was changed");
            }
        }
    }
    assert!(refusals >= 8 * (16 + 4 + 4), "the magic, the application and the format at least: {refusals}");
}

#[test]
fn a_file_of_a_newer_format_is_refused_and_kept() {
    let (_folder, path) = closed();
    let mut bytes = fs::read(&path).unwrap();
    assert_eq!(bytes[60..64], [0, 0, 0, 1], "user_version, <https://sqlite.org/fileformat2.html>");
    bytes[63] = 2;
    fs::write(&path, &bytes).unwrap();
    let error = refused(&path, |error| matches!(error, Error::Schema { .. }));
    assert!(error.to_string().contains("newer version"), "{error}");
    bytes[63] = 0;
    fs::write(&path, &bytes).unwrap();
    refused(&path, is_corrupt);
}

#[test]
fn paths_that_name_no_file_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    for path in [
        folder.path().to_owned(),
        folder.path().join("missing/app.db"),
        folder.path().join(".."),
        PathBuf::new(),
    ] {
        for read_only in [false, true] {
            let builder = if read_only { builder().read_only() } else { builder() };
            let error = builder.open(&path).unwrap_err();
            assert!(matches!(error, Error::InvalidInput { .. }), "{}: {error:?}", path.display());
        }
    }
    let absent = builder().read_only().open(folder.path().join("app.db")).unwrap_err();
    assert!(matches!(absent, Error::InvalidInput { .. }), "reading makes no store");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[cfg(unix)]
#[test]
fn a_link_to_a_store_is_the_same_store() {
    let (folder, path) = closed();
    let (link, dangling) = (folder.path().join("link.db"), folder.path().join("linked-folder"));
    std::os::unix::fs::symlink(&path, &link).unwrap();
    std::os::unix::fs::symlink(folder.path(), &dangling).unwrap();
    let store = builder().open(&path).unwrap();
    for other in [&link, &dangling.join("app.db"), &folder.path().join("./app.db")] {
        assert!(matches!(builder().open(other), Err(Error::Locked { .. })), "{}", other.display());
    }
    store.close().unwrap();
    let store = builder().open(&link).unwrap();
    assert_eq!(store.path(), path.canonicalize().unwrap());
    assert!(matches!(builder().open(&path), Err(Error::Locked { .. })));
    assert_eq!(user(&store, "ada").count::<Task>().unwrap(), 1);
}

#[cfg(unix)]
#[test]
fn a_folder_that_can_not_be_written_is_refused_for_writing() {
    use std::os::unix::fs::PermissionsExt;
    let (folder, path) = closed();
    drop(fs::remove_file(folder.path().join("app.db.lock")));
    let mode = |mode| fs::set_permissions(folder.path(), fs::Permissions::from_mode(mode)).unwrap();
    mode(0o500);
    if fs::write(folder.path().join("probe"), b"").is_ok() {
        println!("skipped: this user may write to a read-only folder");
    } else {
        let old = builder().open(&path).unwrap_err();
        assert!(matches!(old, Error::ReadOnly { .. }), "{old:?}");
        let new = builder().open(folder.path().join("new.db")).unwrap_err();
        assert!(matches!(new, Error::ReadOnly { .. }), "{new:?}");
    }
    mode(0o700);
}

#[test]
fn contradictory_definitions_leave_no_file_behind() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    let entity = |name: &str| Definition::new(name, Tenancy::User);
    let text = |name: &str| ColumnDefinition::new(name, ColumnKind::Text);
    let reference = |name: &str, entity: &str, on_delete| {
        ColumnDefinition::new(name, ColumnKind::Reference { entity: entity.to_owned(), on_delete })
    };
    let restrict = OnDelete::Restrict;
    let shared = Definition::new("shared", Tenancy::Organization).column(text("a"));
    let cases: Vec<Vec<Definition>> = vec![
        vec![entity("")],
        vec![entity("_task")],
        vec![entity("sqlite_task")],
        vec![entity("PRAGMA_x")],
        vec![entity("a\"b")],
        vec![entity("a\nb")],
        vec![entity("a\0b")],
        vec![entity(&"x".repeat(61))],
        vec![entity("audit")],
        vec![entity("Members")],
        vec![entity("main")],
        vec![entity("temp")],
        vec![entity("task"), entity("TASK")],
        vec![entity("t").column(text("a")).column(text("A"))],
        vec![entity("t").column(text("_tenant"))],
        vec![entity("t").column(text("a\"b"))],
        vec![entity("t").column(text(""))],
        vec![entity("t").index(IndexDefinition::new(["missing"]))],
        vec![entity("t").unique(Vec::<String>::new())],
        vec![entity("t").column(text("a")).unique(["a", "a"])],
        vec![entity("t").column(text("a")).unique(["a"]).unique(["a"])],
        vec![
            entity("t")
                .column(ColumnDefinition::new("n", ColumnKind::Nested))
                .index(IndexDefinition::new(["n"])),
        ],
        vec![entity("t").column(reference("r", "missing", restrict))],
        vec![entity("t").column(reference("r", "t", OnDelete::SetNull))],
        vec![entity("t").column(reference("r", "shared", restrict)), shared.clone()],
        vec![shared.clone().column(reference("r", "t", restrict)), entity("t")],
        vec![entity("t").author()],
        vec![entity("t").column(ColumnDefinition::new("m", ColumnKind::Member))],
        vec![entity("t").column(text("a").default(1_i64))],
        vec![entity("t").column(ColumnDefinition::new("c", ColumnKind::Choice(vec![])))],
        vec![
            entity("t").column(ColumnDefinition::new("c", ColumnKind::Choice(vec!["x".into(), "x".into()]))),
        ],
        vec![(0..91).fold(entity("t"), |entity, n| entity.column(text(&format!("c{n}"))))],
        vec![entity("t").column(text("a")), entity("t").column(text("b"))],
    ];
    for (number, case) in cases.into_iter().enumerate() {
        let builder = case.iter().cloned().fold(Store::builder(), Builder::definition);
        let error = builder.open(&path).unwrap_err();
        assert!(matches!(error, Error::Schema { .. }), "case {number}: {error:?}");
        let left: Vec<String> = files(folder.path()).into_iter().map(|(name, _)| name).collect();
        assert!(left.is_empty(), "case {number}: {left:?}");
    }
}

/// Names that SQL, SQLite and the library itself use.
#[test]
fn hostile_names_of_entities_and_columns_round_trip() {
    let names = [
        "tenant",
        "id",
        "rowid",
        "oid",
        "version",
        "select",
        "order",
        "group by",
        "table",
        "t",
        "j",
        "s",
        "x' OR '1'='1",
        "a;b",
        "--",
        "/*",
        "[a]",
        "`a`",
        "a.b",
        "ünï cödé",
        "表",
        "🦀",
        "%s",
        "?1",
        ":a",
        "$a",
        "@a",
        "null",
        "index",
        " leading",
        "user",
    ];
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    let define = || {
        names.iter().fold(Store::builder(), |builder, entity| {
            let definition =
                names.iter().fold(Definition::new(*entity, Tenancy::User), |definition, name| {
                    definition.column(ColumnDefinition::new(*name, ColumnKind::Text).optional())
                });
            let definition = names.iter().step_by(7).fold(definition, |definition, name| {
                definition.index(IndexDefinition::new([*name]).desc("表 2"))
            });
            builder.definition(
                definition
                    .column(ColumnDefinition::new("表 2", ColumnKind::Integer))
                    .unique(["select", "表 2"]),
            )
        })
    };
    let store = define().open(&path).unwrap();
    let (ada, grace) = (user(&store, "ada"), user(&store, "grace"));
    for entity in names {
        let handle = ada.dynamic(entity).unwrap();
        let row = names
            .iter()
            .fold(Fields::new().with("表 2", 5_i64), |fields, name| fields.with(*name, format!("{name}!")));
        let id = handle.insert(row.clone()).unwrap();
        assert_eq!(handle.get(id).unwrap().value, row);
        let again = handle.insert(row.clone()).unwrap_err();
        assert!(
            matches!(&again, Error::Unique { columns, .. } if columns == &["select", "表 2"]),
            "{entity}: {again:?}"
        );
        for name in names {
            let found =
                handle.query().filter(column(name).eq(format!("{name}!"))).order_by(column(name).desc());
            assert_eq!(found.page(5).unwrap().records.len(), 1, "{entity}.{name}");
            assert_eq!(handle.query().group_count_by(&column(name)).unwrap().len(), 1);
        }
        assert_eq!(
            handle.patch(id, Fields::new().with("rowid", "new").with("id", None::<String>)).unwrap(),
            2
        );
        assert!(grace.dynamic(entity).unwrap().find(id).unwrap().is_none());
    }
    assert!(store.check().unwrap().is_clean());
    store.close().unwrap();
    let store = define().open(&path).unwrap();
    assert_eq!(user(&store, "ada").dynamic("🦀").unwrap().count().unwrap(), 1);
}
