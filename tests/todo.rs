//! The `todo` example, run as its users run it: the built program, on real and on sample data.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use serde_json::Value as Json;
use tempfile::TempDir;

/// Beside this test's own program; `cargo test` builds it, `cargo test --test todo` alone does not.
fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let this = std::env::current_exe().unwrap();
        let profile = this.parent().unwrap().parent().unwrap();
        let program = profile.join("examples").join(format!("todo{}", std::env::consts::EXE_SUFFIX));
        if !program.exists() {
            let mut cargo = Command::new(env!("CARGO"));
            cargo
                .args(["build", "--quiet", "--example", "todo", "--target-dir"])
                .arg(profile.parent().unwrap());
            if profile.ends_with("release") {
                cargo.arg("--release");
            }
            assert!(cargo.current_dir(env!("CARGO_MANIFEST_DIR")).status().unwrap().success());
        }
        program
    })
}

struct App {
    folder: TempDir,
}

impl App {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn store(&self) -> PathBuf {
        self.folder.path().join("todo.db")
    }

    fn command(&self, arguments: &str) -> Command {
        let mut command = Command::new(program());
        command.env_clear().env("TODO_STORE", self.store()).current_dir(self.folder.path());
        // No argument of these tests has a space in it.
        command.args(arguments.split_whitespace());
        command
    }

    fn run(&self, arguments: &str) -> Output {
        self.command(arguments).output().unwrap()
    }

    fn json(&self, arguments: &str) -> Json {
        let output = self.run(&format!("--json {arguments}"));
        assert!(output.status.success(), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{arguments}: {error}"))
    }

    /// Runs what should fail: its one line on standard error, after checking the exit code.
    fn fails(&self, exit: i32, arguments: &str) -> String {
        let output = self.run(arguments);
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(exit), "{arguments}: {error}");
        assert!(output.stdout.is_empty(), "{arguments} printed something");
        if exit != 2 {
            assert_eq!(error.lines().count(), 1, "one line: {error}");
        }
        for leak in ["panicked", "Builder::", "store.users()", "_rows_", "RUST_BACKTRACE"] {
            assert!(!error.contains(leak), "{arguments}: {error}");
        }
        error
    }

    fn file(&self, name: &str, content: &str) -> String {
        std::fs::write(self.folder.path().join(name), content).unwrap();
        name.to_owned()
    }
}

fn shared(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data").join(name);
    if path.exists() {
        return Some(path);
    }
    println!("skipped: {} is not there", path.display());
    None
}

fn sample() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/data/sample.json")
}

fn array(json: &Json) -> &Vec<Json> {
    json.as_array().unwrap()
}

/// All pages of a list.
fn pages(app: &App, arguments: &str, key: &str) -> Vec<Json> {
    let mut all: Vec<Json> = Vec::new();
    let mut page = app.json(arguments);
    loop {
        all.extend(array(&page[key]).iter().cloned());
        let Some(next) = page["next"].as_str().map(str::to_owned) else { break };
        page = app.json(&format!("{arguments} --page {next}"));
    }
    assert_eq!(all.len() as u64, page["total"].as_u64().unwrap(), "{arguments}");
    all
}

#[test]
fn jsonplaceholder_is_imported_whole_and_each_user_sees_their_own() {
    let Some(file) = shared("jsonplaceholder_data.json") else { return };
    let source: Json = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    let app = App::new();
    let summary = app.json(&format!("import {}", file.display()));
    assert_eq!(summary["all"]["new"], 300);
    assert_eq!(summary["all"]["comments"], 500);
    let left_out: Vec<u64> =
        array(&summary["left_out"]).iter().map(|one| one["count"].as_u64().unwrap()).collect();
    assert_eq!(left_out, [100, 5000], "albums and photos");

    let users = array(&source["users"]);
    assert_eq!(array(&app.json("users")["users"]).len(), users.len());
    for user in users {
        let name = user["username"].as_str().unwrap();
        let owned = |list: &str| -> Vec<&Json> {
            array(&source[list]).iter().filter(|one| one["userId"] == user["id"]).collect()
        };
        let titles = |records: &[Json]| -> Vec<String> {
            let mut titles: Vec<String> =
                records.iter().map(|one| one["title"].as_str().unwrap().to_owned()).collect();
            titles.sort();
            titles
        };
        let (todos, posts) = (owned("todos"), owned("posts"));
        let seen = pages(&app, &format!("--as {name} list --status all --limit 7"), "tasks");
        assert_eq!(titles(&seen), titles(&todos.iter().copied().cloned().collect::<Vec<_>>()), "{name}");
        let done = seen.iter().filter(|one| one["status"] == "done").count();
        assert_eq!(done, todos.iter().filter(|one| one["completed"] == true).count(), "{name}");

        let notes = pages(&app, &format!("--as {name} note list --limit 4"), "notes");
        assert_eq!(titles(&notes), titles(&posts.iter().copied().cloned().collect::<Vec<_>>()), "{name}");
        let comments: usize = notes.iter().map(|note| array(&note["comments"]).len()).sum();
        let expected = array(&source["comments"])
            .iter()
            .filter(|comment| posts.iter().any(|post| post["id"] == comment["postId"]))
            .count();
        assert_eq!(comments, expected, "{name}");
        let count = app.json(&format!("--as {name} count"));
        assert_eq!((count["tasks"]["all"].as_u64(), count["notes"].as_u64()), (Some(20), Some(10)));
        assert_eq!(summary["owners"][name]["tasks"], 20);
    }

    let again = app.json(&format!("import {}", file.display()));
    assert_eq!((&again["all"]["new"], &again["all"]["present"]), (&0.into(), &300.into()));
    assert_eq!(app.json("check")["clean"], true);
}

/// Attributes of a dump's rows, found without an XML library: an independent reading.
fn attribute<'r>(row: &'r str, name: &str) -> Option<&'r str> {
    let start = row.find(&format!(" {name}=\""))? + name.len() + 3;
    row[start..].split('"').next()
}

#[test]
fn a_stack_exchange_dump_is_imported_whole_with_its_owners() {
    let Some(file) = shared("se_matheducators_Posts.xml") else { return };
    let text = std::fs::read_to_string(&file).unwrap();
    let rows: Vec<&str> = text.lines().map(str::trim).filter(|line| line.starts_with("<row ")).collect();
    let mut expected: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    let mut unowned = 0;
    for row in &rows {
        match attribute(row, "OwnerUserId") {
            Some(owner) => expected.entry(format!("user-{owner}")).or_default().push(row),
            None => unowned += 1,
        }
    }
    assert_eq!((rows.len(), unowned), (2061, 8), "the facts about the file");

    let app = App::new();
    let summary = app.json(&format!("import {}", file.display()));
    let owners = summary["owners"].as_object().unwrap();
    assert_eq!(owners.len(), expected.len());
    for (owner, rows) in &expected {
        assert_eq!(owners[owner]["new"].as_u64().unwrap(), rows.len() as u64, "{owner}");
    }
    assert_eq!(summary["left_out"][0]["count"], unowned);
    assert_eq!(array(&app.json("users")["users"]).len(), expected.len());

    for owner in ["user--1", "user-21", "user-13"] {
        let rows = &expected[owner];
        let notes = pages(&app, &format!("--as={owner} note list --limit 50"), "notes");
        assert_eq!(notes.len(), rows.len(), "{owner}");
        let score: i64 =
            rows.iter().map(|row| attribute(row, "Score").unwrap().parse::<i64>().unwrap()).sum();
        assert_eq!(app.json(&format!("--as={owner} count"))["score"].as_i64().unwrap(), score, "{owner}");
        for row in rows {
            let created = attribute(row, "CreationDate").unwrap();
            let source = format!("stackexchange/{}@{created}", attribute(row, "Id").unwrap());
            let note = notes.iter().find(|note| note["source"] == source.as_str()).unwrap();
            assert_eq!(
                note["created"]
                    .as_str()
                    .unwrap()
                    .trim_end_matches('Z')
                    .parse::<jiff::civil::DateTime>()
                    .unwrap(),
                created.parse().unwrap()
            );
            let tags = attribute(row, "Tags").unwrap_or("").replace("&lt;", "").replace("&gt;", " ");
            let expected: Vec<&str> = tags.split_whitespace().collect();
            let found: Vec<&str> = array(&note["tags"]).iter().map(|tag| tag.as_str().unwrap()).collect();
            assert_eq!(found, expected, "{source}");
        }
    }

    let given = app.json(&format!("import {} --unowned community", file.display()));
    assert_eq!((&given["all"]["new"], &given["all"]["present"]), (&8.into(), &2053.into()));
    assert_eq!(app.json("--as community count")["notes"], 8);
    assert_eq!(app.json("check")["clean"], true);
}

#[test]
fn both_forms_of_tags_are_read() {
    let app = App::new();
    let row = |id, tags: &str| {
        format!(
            "<row Id=\"{id}\" CreationDate=\"2020-01-0{id}T00:00:00.000\" Body=\"b\" OwnerUserId=\"7\" Tags=\"{tags}\"/>"
        )
    };
    let xml = format!("<posts>\n{}\n{}\n</posts>", row(1, "&lt;a-b&gt;&lt;c&gt;"), row(2, "|a-b|c|"));
    app.json(&format!("import {}", app.file("Posts.xml", &xml)));
    let notes = app.json("--as user-7 note list --tag a-b");
    assert_eq!(notes["total"], 2);
    for note in array(&notes["notes"]) {
        assert_eq!(note["tags"], serde_json::json!(["a-b", "c"]));
    }
}

#[test]
fn the_sample_shows_shared_and_private_records() {
    let app = App::new();
    let summary = app.json(&format!("import {}", sample().display()));
    let records = summary["all"]["new"].as_u64().unwrap();
    assert!(records >= 300, "{records}");
    assert_eq!(summary["users_made"], 5);

    // Every member sees the same shared tasks, and only their own notes on them.
    let maya = pages(&app, "--as maya --org harbour list --status all --limit 9", "tasks");
    let priya = pages(&app, "--as priya --org harbour list --status all --limit 9", "tasks");
    assert_eq!(maya, priya);
    assert_eq!(maya.len() as u64, summary["organizations"]["harbour"]["tasks"].as_u64().unwrap());
    let mine = app.json("--as priya --org harbour list --mine --status all --limit 100");
    assert!(array(&mine["tasks"]).iter().all(|task| task["assignee"] == "priya"));
    let authored = app.json("--as priya --org harbour list --authored --status all --limit 100");
    assert!(array(&authored["tasks"]).iter().all(|task| task["author"] == "priya"));
    assert!(mine["total"].as_u64() > Some(5) && authored["total"].as_u64() > Some(5));
    let notes: u64 = ["maya", "tomasz", "priya", "jonas"]
        .iter()
        .map(|user| app.json(&format!("--as {user} --org harbour count"))["private_notes"].as_u64().unwrap())
        .sum();
    assert_eq!(notes, summary["organizations"]["harbour"]["notes"].as_u64().unwrap());

    let task = maya[0]["id"].as_str().unwrap();
    let note = app.json(&format!("--as priya --org harbour note add mine-alone --on {task}"));
    let of = |user: &str| {
        app.json(&format!("--as {user} --org harbour note list --search mine-alone"))["total"].clone()
    };
    assert_eq!((of("priya"), of("maya")), (1.into(), 0.into()));
    app.fails(1, &format!("--as maya --org harbour show {}", note["id"].as_str().unwrap()));
    // The note outlives its task.
    app.json(&format!("--as maya --org harbour rm {task}"));
    assert_eq!(
        app.json("--as priya --org harbour note list --search mine-alone")["notes"][0]["on"],
        Json::Null
    );

    let refused = app.fails(1, "--as elena --org harbour list");
    assert_eq!(
        refused,
        app.fails(1, "--as elena --org no-such-club list").replace("no-such-club", "harbour")
    );
    let history = app.json("--as elena history --limit 2");
    assert!(array(&history["entries"]).iter().all(|entry| entry["outcome"] == "not_member"));
    app.fails(1, "--as maya --org harbour add x --assign elena");
    app.fails(1, "--as priya orgs join harbour elena");
    app.json("--as maya orgs join harbour elena");
    assert_eq!(app.json("--as elena --org harbour count")["tasks"]["all"], maya.len() - 1);
    assert_eq!(app.json("check")["clean"], true);
}

#[test]
fn a_to_do_is_added_found_edited_finished_and_deleted() {
    let app = App::new();
    app.json("users add ada --name Ada");
    app.json("users add grace");
    let task = app.json("--as ada add Tea --due 2030-02-01 --tag shop --project Kitchen --priority high");
    let id = task["id"].as_str().unwrap();
    let end = &id[id.len() - 8..];
    app.json("--as ada add Coffee --tag shop");
    app.json("--as ada add Soap --due 2030-01-01");

    let titles = |arguments: &str| -> Vec<String> {
        pages(&app, &format!("--as ada list {arguments}"), "tasks")
            .iter()
            .map(|task| task["title"].as_str().unwrap().to_owned())
            .collect()
    };
    for size in 1..=4 {
        assert_eq!(titles(&format!("--limit {size}")), ["Soap", "Tea", "Coffee"], "undated ones come last");
    }
    assert_eq!(titles("--sort title --limit 2"), ["Coffee", "Soap", "Tea"]);
    assert_eq!(titles("--sort created --limit 1"), ["Soap", "Coffee", "Tea"]);
    assert_eq!(titles("--tag shop"), ["Tea", "Coffee"]);
    assert_eq!(titles("--tag sho"), [""; 0], "a part of a tag is another tag");
    assert_eq!(titles("--search TEA"), ["Tea"]);
    assert_eq!(titles("--project Kitchen"), ["Tea"]);

    app.json(&format!("--as ada edit {end} --title Mate --no-due --untag shop --tag hot --project Bar"));
    let edited = app.json(&format!("--as ada show {}", end.to_uppercase()));
    assert_eq!(
        (&edited["title"], &edited["due"], &edited["project"]),
        (&"Mate".into(), &Json::Null, &"Bar".into())
    );
    assert_eq!(edited["tags"], serde_json::json!(["hot"]));
    app.json(&format!("--as ada done {end}"));
    assert_eq!(titles(""), ["Soap", "Coffee"]);
    assert_eq!(titles("--status done"), ["Mate"]);
    assert_eq!(
        app.json("--as ada count")["tasks"],
        serde_json::json!({"all": 3, "open": 2, "done": 1, "overdue": 0})
    );

    // Another user's id, whole or in part, is an id that does not exist.
    for verb in ["show", "done", "rm", "history", "edit --title x"] {
        for foreign in [id, end] {
            let refused = app.fails(1, &format!("--as grace {verb} {foreign}"));
            let unknown = app.fails(1, &format!("--as grace {verb} {}", "0".repeat(8)));
            assert_eq!(refused.replace(foreign, "ID"), unknown.replace("00000000", "ID"), "{verb}");
        }
    }

    app.json(&format!("--as ada rm {end}"));
    app.fails(1, &format!("--as ada show {end}"));
    let history = app.json(&format!("--as ada history {end}"));
    let actions: Vec<&str> =
        array(&history["entries"]).iter().map(|entry| entry["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["delete", "update", "update", "insert"]);
    let finished = &history["entries"][1]["changes"][0];
    assert_eq!((&finished["before"], &finished["after"]), (&"open".into(), &"done".into()));
    assert!(String::from_utf8(app.run("--as ada history").stdout).unwrap().contains("open → done"));
}

#[test]
fn an_import_is_refreshed_only_when_asked() {
    let app = App::new();
    let file = |completed: bool, title: &str| {
        format!(
            r#"{{"users":[{{"id":1,"username":"ada"}}],"todos":[{{"userId":1,"id":1,"title":"{title}","completed":{completed}}}]}}"#
        )
    };
    app.json(&format!("import {}", app.file("a.json", &file(false, "Tea"))));
    let id = app.json("--as ada list")["tasks"][0]["id"].as_str().unwrap().to_owned();
    app.json(&format!("--as ada done {id}"));
    assert_eq!(app.json("import a.json")["all"]["present"], 1);
    assert_eq!(app.json(&format!("--as ada show {id}"))["status"], "done", "what the user did stays");
    app.file("a.json", &file(false, "Mate"));
    assert_eq!(app.json("import a.json --refresh")["all"]["refreshed"], 1);
    let task = app.json(&format!("--as ada show {id}"));
    assert_eq!((&task["status"], &task["title"]), (&"open".into(), &"Mate".into()));
}

#[test]
fn bad_files_change_nothing_and_say_where() {
    let app = App::new();
    let cases = [
        ("missing.json", None, "can not be read"),
        ("empty.json", Some(""), "empty"),
        ("text.txt", Some("hello"), "neither"),
        ("list.json", Some("{\"users\": 3}"), "line 1"),
        ("cut.json", Some("{\"users\": [\n{\"id\": 1,"), "cut off"),
        ("other.json", Some("{\"name\": \"x\"}"), "missing field `users`"),
        (
            "field.json",
            Some(
                "{\"users\":[{\"id\":1,\"username\":\"a\"}],\n\"todos\":[{\"userId\":1,\"id\":1,\"completed\":true}]}",
            ),
            "missing field `title` at line 2",
        ),
        (
            "stranger.json",
            Some(
                "{\"users\":[{\"id\":1,\"username\":\"a\"}],\"todos\":[{\"userId\":9,\"id\":1,\"title\":\"x\",\"completed\":true}]}",
            ),
            "todos[0].userId: there is no user 9",
        ),
        ("control.json", Some("{\"users\":[{\"id\":1,\"username\":\"a\\u0007\"}]}"), "control characters"),
        ("users.xml", Some("<users>\n</users>"), "<users> is not"),
        ("cut.xml", Some("<posts>\n<row Id=\"1\" Cre"), "line 2"),
        (
            "open.xml",
            Some(
                "<posts>\n<row Id=\"1\" CreationDate=\"2020-01-01T00:00:00\" Body=\"x\" OwnerUserId=\"1\"/>\n",
            ),
            "cut off",
        ),
        (
            "date.xml",
            Some("<posts>\n\n<row Id=\"1\" CreationDate=\"soon\" Body=\"x\"/>\n</posts>"),
            "CreationDate \"soon\"",
        ),
        (
            "body.xml",
            Some("<posts>\n<row Id=\"5\" CreationDate=\"2020-01-01T00:00:00\"/>\n</posts>"),
            "post 5: a row has no Body",
        ),
    ];
    for (name, content, expected) in cases {
        if let Some(content) = content {
            app.file(name, content);
        }
        let error = app.fails(1, &format!("import {name}"));
        assert!(error.contains(expected) && error.contains(name), "{name}: {error}");
        assert!(!app.store().exists(), "{name} made a store");
    }
}

#[test]
fn an_import_that_stops_keeps_whole_owners_and_can_go_on() {
    let app = App::new();
    let row = |id: u32, owner: u32, body: &str| {
        format!(
            "<row Id=\"{id}\" CreationDate=\"2020-01-01T00:00:00.000\" Body=\"{body}\" OwnerUserId=\"{owner}\"/>\n"
        )
    };
    let xml =
        |large: &str| format!("<posts>\n{}{}{}</posts>", row(1, 1, "a"), row(2, 2, "b"), row(3, 2, large));
    let error = app.fails(1, &format!("import {}", app.file("Posts.xml", &xml(&"x".repeat(300_000)))));
    assert!(error.contains("stackexchange/3@") && error.contains("before that: 1 record"), "{error}");
    assert_eq!(app.json("--as user-1 count")["notes"], 1);
    assert_eq!(app.json("--as user-2 count")["notes"], 0, "nothing of the owner whose batch failed");
    app.file("Posts.xml", &xml("c"));
    let all = &app.json("import Posts.xml")["all"];
    assert_eq!((&all["new"], &all["present"]), (&2.into(), &1.into()));

    let nul = r#"{"users":[{"id":1,"username":"ada"}],"todos":[{"userId":1,"id":7,"title":"a\u0000b","completed":true}]}"#;
    assert!(app.fails(1, &format!("import {}", app.file("nul.json", nul))).contains("todo 7"));
}

#[test]
fn wrong_usage_and_unknown_people() {
    let app = App::new();
    app.fails(3, "--as ada list");
    assert!(!app.store().exists(), "looking makes no store");
    app.json("users add ada");
    assert!(app.fails(1, "--as nobody list").contains("todo users add nobody"));
    assert!(app.fails(1, "users add ada").contains("exists already"));
    app.fails(2, "list");
    app.fails(2, "--as ada show xyz");
    app.fails(2, "--as ada add Tea --due someday");
    app.fails(2, "--as ada add Tea --assign ada");
    app.fails(2, "--as ada list --limit 0");
    app.fails(2, "--as ada list --page zz");
    app.fails(2, "--as ada frobnicate");
    let output = app.run("--json --as nobody list");
    let error: Json = serde_json::from_slice(&output.stderr).unwrap();
    assert_eq!(error["exit"], 1);
}

#[test]
fn a_locked_a_damaged_and_a_read_only_store() {
    let app = App::new();
    app.json("users add ada");
    app.json("--as ada add Tea");
    {
        let _held = tenantry::Store::open(app.store()).unwrap();
        assert!(app.fails(3, "--as ada add Coffee").contains("another program"));
        assert_eq!(app.json("--as ada list")["total"], 1, "reading goes on beside a writer");
    }
    assert!(app.fails(3, "--read-only --as ada add Coffee").contains("only be read"));
    assert_eq!(app.json("--read-only --as ada list")["total"], 1);
    let other = app.file("other.db", "this is a letter and no database at all");
    assert!(app.fails(3, &format!("--store {other} --as ada list")).contains("not a SQLite database"));
    app.fails(3, "--store no/such/folder/x.db users add ada");
    // Cut in the middle: whatever it says, it is a problem of the store, in one line.
    let bytes = std::fs::read(app.store()).unwrap();
    std::fs::write(app.folder.path().join("cut.db"), &bytes[..bytes.len() / 2]).unwrap();
    assert!(app.fails(3, "--store cut.db --as ada list").contains("cut off"));
}

#[cfg(unix)]
#[test]
fn a_folder_without_write_permission() {
    use std::os::unix::fs::PermissionsExt;
    let app = App::new();
    app.json("users add ada");
    let set = |mode| std::fs::set_permissions(app.folder.path(), PermissionsExt::from_mode(mode)).unwrap();
    set(0o555);
    let writable = std::fs::write(app.folder.path().join("probe"), "").is_ok();
    if writable {
        println!("skipped: this user may write anywhere");
    } else {
        std::fs::remove_file(app.folder.path().join("todo.db.lock")).unwrap_err();
        app.fails(3, "users add grace --store new.db");
    }
    set(0o755);
}

#[test]
fn output_is_plain_in_a_pipe_and_a_closed_pipe_is_no_error() {
    let app = App::new();
    app.json(&format!("import {}", sample().display()));
    let text = String::from_utf8(app.run("--as maya list --limit 1000").stdout).unwrap();
    assert!(!text.contains('\u{1b}'), "colours are for terminals");
    let mut child = app
        .command("--as maya list --limit 1000")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    // What a title holds does not drive the terminal.
    let mut command = app.command("--as maya add");
    let output = command.arg("red \u{1b}[31mtitle").output().unwrap();
    assert!(output.status.success());
    assert!(!String::from_utf8(output.stdout).unwrap().contains('\u{1b}'));
    std::io::stdout().flush().unwrap();
}

#[test]
fn the_demo_runs_to_its_end() {
    let app = App::new();
    let output = app.run("demo");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for shown in [
        "$ todo import sample.json",
        "open → done",
        "you have no to-do",
        "is not a member",
        "The store is sound",
    ] {
        assert!(text.contains(shown), "{shown} is missing from:\n{text}");
    }
    assert!(!app.store().exists(), "the demo has a store of its own");
    let commands = app.json("demo");
    assert!(array(&commands["commands"]).len() > 15);
}
