//! The `server` example's routes over real HTTP, by a client that is another library.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

#[allow(dead_code)]
#[path = "../examples/server.rs"]
mod server;

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use serde_json::{Value as Json, json};
use tenantry::{OrganizationId, Role, Store, Timestamp, UserId};

const SECRET: &[u8] = b"a secret of at least thirty-two bytes";
const NOON: i64 = 1_795_521_600;
const LEEWAY: i64 = 30;

/// The server at work on a store with a clock that the test sets, until it is dropped.
struct Running {
    address: SocketAddr,
    app: server::App,
    clock: Arc<AtomicI64>,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Running {
    fn start() -> Self {
        let clock = Arc::new(AtomicI64::new(NOON));
        let read = Arc::clone(&clock);
        let builder =
            Store::builder().clock(move || Timestamp::from_second(read.load(Ordering::SeqCst)).unwrap());
        let app = server::App::new(builder, None, SECRET).unwrap();
        let club = app.store.organizations().create(&OrganizationId::new("engine club").unwrap()).unwrap();
        app.store.organizations().create(&OrganizationId::new("secret society").unwrap()).unwrap();
        for name in ["ada", "grace", "mary/ann?"] {
            let user = app.store.users().create(&UserId::new(name).unwrap()).unwrap();
            if name != "grace" {
                app.store.organizations().add_member(&club, &user, Role::Member).unwrap();
            }
        }
        let routes = server::router(app.clone());
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let thread = std::thread::spawn(move || {
            // One thread for everything that is async: work of SQLite there would hold all requests up.
            let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                let stopped = async { drop(stopped.await) };
                axum::serve(listener, routes).with_graceful_shutdown(stopped).await.unwrap();
            });
        });
        Self { address, app, clock, stop: Some(stop), thread: Some(thread) }
    }

    fn token(&self, user: &str) -> String {
        server::demo_token(SECRET, user, Timestamp::from_second(NOON + 60).unwrap()).unwrap()
    }

    fn as_user(&self, user: &str) -> Client {
        self.with(&[format!("Bearer {}", self.token(user))])
    }

    /// A client with these `Authorization` headers.
    fn with(&self, authorization: &[String]) -> Client {
        let agent = ureq::Agent::config_builder().http_status_as_error(false).build().new_agent();
        Client { agent, base: format!("http://{}", self.address), authorization: authorization.to_vec() }
    }

    /// What the log of a user has of refusals.
    fn refusals(&self, user: &str) -> Vec<String> {
        let session = self.app.store.session(&UserId::new(user).unwrap()).unwrap();
        let log = session.audit().action("session").list().unwrap();
        log.iter().map(|entry| format!("{}: {:?}", entry.outcome, entry.changes)).collect()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.stop.take());
        let joined = self.thread.take().unwrap().join();
        if !std::thread::panicking() {
            joined.unwrap();
        }
    }
}

struct Client {
    agent: ureq::Agent,
    base: String,
    authorization: Vec<String>,
}

#[derive(Debug, PartialEq)]
struct Answer {
    status: u16,
    content_type: String,
    challenge: Option<String>,
    location: Option<String>,
    body: Json,
}

impl Client {
    fn send(&self, method: &str, path: &str, body: Option<&str>) -> Answer {
        let mut request = ureq::http::Request::builder().method(method).uri(format!("{}{path}", self.base));
        for value in &self.authorization {
            request = request.header("authorization", value);
        }
        let mut response = match body {
            Some(body) => {
                let request =
                    request.header("content-type", "application/json").body(body.to_owned()).unwrap();
                self.agent.run(request).unwrap()
            }
            None => self.agent.run(request.body(()).unwrap()).unwrap(),
        };
        let header =
            |name: &str| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        let (content_type, challenge) =
            (header("content-type").unwrap_or_default(), header("www-authenticate"));
        let (status, location) = (response.status().as_u16(), header("location"));
        let text = response.body_mut().read_to_string().unwrap();
        let body = if text.is_empty() { Json::Null } else { serde_json::from_str(&text).expect("JSON") };
        Answer { status, content_type, challenge, location, body }
    }

    fn get(&self, path: &str) -> Answer {
        self.send("GET", path, None)
    }

    fn post(&self, path: &str, body: &Json) -> Answer {
        self.send("POST", path, Some(&body.to_string()))
    }

    fn patch(&self, path: &str, body: &Json) -> Answer {
        self.send("PATCH", path, Some(&body.to_string()))
    }
}

impl Answer {
    /// Checks that it is a problem of this status (RFC 9457), and gives its code.
    #[track_caller]
    fn problem(&self, status: u16) -> String {
        assert_eq!(
            (self.status, self.content_type.as_str()),
            (status, "application/problem+json"),
            "{self:?}"
        );
        assert_eq!((&self.body["type"], &self.body["status"]), (&json!("about:blank"), &json!(status)));
        assert!(self.body["title"].is_string() && self.body["detail"].is_string(), "{self:?}");
        self.body["code"].as_str().unwrap_or_default().to_owned()
    }
}

#[test]
fn a_task_is_made_read_changed_and_deleted() {
    let server = Running::start();
    let ada = server.as_user("ada");
    let made = ada.post("/users/ada/tasks", &json!({ "title": "Dig", "due": "2026-11-25T09:00:00Z" }));
    assert_eq!(
        (made.status, &made.body["title"], &made.body["done"]),
        (201, &json!("Dig"), &json!(false)),
        "{made:?}"
    );
    let place = made.location.clone().unwrap();
    let read = ada.get(&place);
    assert_eq!((read.status, &read.body), (200, &made.body));
    assert_eq!(read.body["created"], json!("2026-11-24T12:00:00Z"));
    let changed = ada.patch(&place, &json!({ "done": true, "due": null, "version": 1 }));
    assert_eq!((changed.status, &changed.body["version"]), (200, &json!(2)), "{changed:?}");
    assert_eq!((&changed.body["done"], &changed.body["due"]), (&json!(true), &json!(null)));
    let late = ada.patch(&place, &json!({ "title": "Plant", "version": 1 }));
    assert_eq!(late.problem(409), "conflict");
    assert!(late.body["detail"].as_str().unwrap().contains("version 2, not 1"), "{late:?}");
    assert_eq!(ada.send("DELETE", &place, None).status, 204);
    for again in
        [ada.get(&place), ada.send("DELETE", &place, None), ada.patch(&place, &json!({ "done": true }))]
    {
        assert_eq!(again.problem(404), "not_found");
    }
}

#[test]
fn lists_come_in_pages() {
    let server = Running::start();
    let ada = server.as_user("ada");
    for number in 0..7 {
        assert_eq!(ada.post("/users/ada/tasks", &json!({ "title": number.to_string() })).status, 201);
    }
    let (mut titles, mut sizes, mut path) = (Vec::new(), Vec::new(), "/users/ada/tasks?limit=3".to_owned());
    loop {
        let page = ada.get(&path);
        let tasks = page.body["tasks"].as_array().unwrap().clone();
        sizes.push(tasks.len());
        titles.extend(tasks.iter().map(|task| task["title"].as_str().unwrap().to_owned()));
        let Some(next) = page.body["next"].as_str() else { break };
        path = format!("/users/ada/tasks?limit=3&after={next}");
    }
    assert_eq!((titles.concat().as_str(), sizes), ("0123456", vec![3, 3, 1]));
    // The place of a page is bound to whose it is.
    let next = path.split_once("after=").unwrap().1;
    let foreign = server.as_user("grace").get(&format!("/users/grace/tasks?after={next}"));
    assert_eq!(foreign.problem(422), "invalid");
    for bad in ["limit=0", "limit=501", "limit=x", "limit=-1", "after=zz", "after="] {
        assert_eq!(ada.get(&format!("/users/ada/tasks?{bad}")).problem(422), "invalid", "{bad}");
    }
}

#[test]
fn requests_without_a_good_token_are_401() {
    let server = Running::start();
    let good = server.token("ada");
    let mut forged = good.clone();
    forged.replace_range(
        good.len() - 8..good.len() - 7,
        if &good[good.len() - 8..good.len() - 7] == "A" { "B" } else { "A" },
    );
    let other = server::demo_token(&[7; 32], "ada", Timestamp::from_second(NOON + 60).unwrap()).unwrap();
    let expired = server::demo_token(SECRET, "ada", Timestamp::from_second(NOON - LEEWAY).unwrap()).unwrap();
    let mut answers = Vec::new();
    for token in [
        forged.as_str(),
        &other,
        &expired,
        "x",
        "a.b.c",
        &good[1..],
        &good[..good.len() - 1],
        &format!("{good} x"),
    ] {
        answers.push(server.with(&[format!("Bearer {token}")]).get("/users/ada/tasks"));
    }
    for answer in &answers {
        assert_eq!(answer.problem(401), "invalid_token");
        assert_eq!(answer.challenge.as_deref(), Some(r#"Bearer realm="tenantry", error="invalid_token""#));
        assert_eq!(answer, &answers[0], "a stranger is not told what was wrong");
    }
    for authorization in
        [vec![], vec!["Basic YWRhOmFkYQ==".to_owned()], vec![good.clone()], vec!["Bearer".to_owned()]]
    {
        let answer = server.with(&authorization).get("/users/ada/tasks");
        assert_eq!(
            (answer.problem(401).as_str(), answer.challenge.as_deref()),
            ("unauthenticated", Some(r#"Bearer realm="tenantry""#))
        );
    }
    let twice = [format!("Bearer {good}"), format!("Bearer {}", server.token("grace"))];
    server.with(&twice).get("/users/ada/tasks").problem(400);
    // In the query it would be in logs (RFC 6750, section 5.3).
    let answer = server.with(&[]).get(&format!("/users/ada/tasks?access_token={good}"));
    assert_eq!(answer.problem(401), "unauthenticated");
    // RFC 7235: the scheme's case does not matter.
    assert_eq!(server.with(&[format!("bEARER  {good}")]).get("/users/ada/tasks").status, 200);
    assert_eq!(server.refusals("ada").len(), 1, "the one that was real, and expired");
}

#[test]
fn a_token_expires_between_two_requests() {
    let server = Running::start();
    let ada = server.as_user("ada");
    let place = ada.post("/users/ada/tasks", &json!({ "title": "Dig" })).location.unwrap();
    server.clock.store(NOON + 60 + LEEWAY - 1, Ordering::SeqCst);
    assert_eq!(ada.get(&place).status, 200);
    server.clock.store(NOON + 60 + LEEWAY, Ordering::SeqCst);
    assert_eq!(ada.get(&place).problem(401), "invalid_token");
    assert_eq!(ada.post("/users/ada/tasks", &json!({ "title": "Plant" })).problem(401), "invalid_token");
    assert_eq!(server.app.store.stats().unwrap().rows, 1);
}

#[test]
fn a_path_that_names_another_user_is_403() {
    let server = Running::start();
    let (ada, grace) = (server.as_user("ada"), server.as_user("grace"));
    let place = ada.post("/users/ada/tasks", &json!({ "title": "Dig" })).location.unwrap();
    let foreign = place.replace("/users/ada/", "/users/grace/");
    // Grace asks for what is Ada's; whether it is there makes no difference.
    let absent = "/users/ada/tasks/0199b9a0-0000-7000-8000-000000000000";
    let answers = [
        grace.get("/users/ada/tasks"),
        grace.get(&place),
        grace.get(absent),
        grace.post("/users/ada/tasks", &json!({ "title": "Mine" })),
        grace.patch(&place, &json!({ "done": true })),
        grace.send("DELETE", &place, None),
        grace.get("/users/nobody/tasks"),
        grace.get("/users/Grace/tasks"),
        grace.get("/users/grace%20/tasks"),
        grace.get("/users/%61da/tasks"),
        grace.get("/users/grace%2F..%2Fada/tasks"),
    ];
    for answer in &answers {
        assert_eq!(answer.problem(403), "forbidden");
        assert_eq!(answer, &answers[0]);
    }
    // By her own path, Ada's task is not there.
    for answer in
        [grace.get(&foreign), grace.send("DELETE", &foreign, None), grace.get("/users/grace/tasks/7")]
    {
        assert_eq!(answer.problem(404), "not_found");
    }
    assert_eq!(ada.get(&place).body["title"], json!("Dig"));
    let noted = server.refusals("grace");
    assert_eq!(noted.len(), answers.len(), "{noted:?}");
    assert!(noted[0].contains("not_allowed") && noted[0].contains("ada"), "{noted:?}");
    assert!(server.refusals("ada").is_empty(), "what others try changes nothing that a user sees");
    // A path is one of its user in whatever form.
    assert_eq!(grace.get("/users/%67race/tasks").status, 200);
    let mary = server.as_user("mary/ann?");
    let made = mary.post("/users/mary%2Fann%3F/tasks", &json!({ "title": "Find a fossil" }));
    assert_eq!(mary.get(&made.location.unwrap()).body["title"], json!("Find a fossil"));
    server.as_user("ada").get("/users/%ff/tasks").problem(400);
}

#[test]
fn users_without_an_account_are_403() {
    let server = Running::start();
    let stranger = server.as_user("stranger").get("/users/stranger/tasks");
    assert_eq!(stranger.problem(403), "forbidden");
    server.app.store.users().disable(&UserId::new("ada").unwrap()).unwrap();
    let disabled = server.as_user("ada").get("/users/ada/tasks");
    assert_eq!(disabled, stranger);
}

#[test]
fn members_share_an_organizations_tasks() {
    let server = Running::start();
    let (ada, grace, mary) = (server.as_user("ada"), server.as_user("grace"), server.as_user("mary/ann?"));
    let path = "/organizations/engine%20club/tasks";
    let made = ada.post(path, &json!({ "title": "Oil the engine" }));
    assert_eq!((made.status, &made.body["author"]), (201, &json!("ada")), "{made:?}");
    let read = mary.get(path);
    assert_eq!(read.body["tasks"][0], made.body);
    // No member, no such organization, no id at all: the same.
    let refused =
        [grace.get(path), grace.get("/organizations/nowhere/tasks"), grace.get("/organizations/%0A/tasks")];
    for answer in &refused {
        assert_eq!(answer.problem(403), "forbidden");
        assert_eq!(answer, &refused[0]);
    }
    assert_eq!(ada.get("/organizations/secret%20society/tasks"), refused[0]);
    assert_eq!(grace.post(path, &json!({ "title": "Mine" })).problem(403), "forbidden");
    assert_eq!(server.with(&[]).get(path).problem(401), "unauthenticated");
    let club = OrganizationId::new("engine club").unwrap();
    server.app.store.organizations().remove_member(&club, &UserId::new("mary/ann?").unwrap()).unwrap();
    assert_eq!(mary.get(path).problem(403), "forbidden");
}

#[test]
fn bodies_that_are_none_are_refused_as_problems() {
    let server = Running::start();
    let ada = server.as_user("ada");
    for (body, status) in [
        ("", 400),
        ("{", 400),
        ("[]", 422),
        ("{}", 422),
        (r#"{"title":7}"#, 422),
        (r#"{"title":"Dig","owner":"grace"}"#, 422),
        (r#"{"title":"Dig","id":"x"}"#, 422),
        (r#"{"title":"Dig","due":"tomorrow"}"#, 422),
    ] {
        ada.send("POST", "/users/ada/tasks", Some(body)).problem(status);
    }
    let mut plain = ada
        .agent
        .post(format!("{}/users/ada/tasks", ada.base))
        .header("authorization", &ada.authorization[0])
        .send("x")
        .unwrap();
    assert_eq!(plain.status(), 415);
    assert!(plain.body_mut().read_to_string().unwrap().contains("Unsupported Media Type"));
    let large = json!({ "title": "x".repeat(300_000) });
    assert_eq!(ada.post("/users/ada/tasks", &large).problem(413), "limit_exceeded");
    let place = ada.post("/users/ada/tasks", &json!({ "title": "Dig" })).location.unwrap();
    ada.patch(&place, &json!({})).problem(422);
    ada.patch(&place, &json!({ "owner": "grace" })).problem(422);
    ada.get("/nothing").problem(404);
    ada.send("DELETE", "/users/ada/tasks", None).problem(405);
}

#[test]
fn what_only_the_operator_can_mend_is_not_told() {
    let server = Running::start();
    let ada = server.as_user("ada");
    server.app.store.close().unwrap();
    let answer = ada.get("/users/ada/tasks");
    assert_eq!(answer.problem(503), "unavailable");
    assert!(!answer.body.to_string().contains("closed"), "{answer:?}");
}

#[test]
fn several_people_at_the_same_time_see_their_own() {
    const EACH: usize = 30;
    let server = Running::start();
    std::thread::scope(|scope| {
        for name in ["ada", "grace", "ada", "grace"] {
            let client = server.as_user(name);
            scope.spawn(move || {
                let path = format!("/users/{name}/tasks");
                for number in 0..EACH {
                    let made = client.post(&path, &json!({ "title": format!("{name} {number}") }));
                    assert_eq!(made.status, 201, "{made:?}");
                    let place = made.location.clone().unwrap();
                    assert_eq!(client.get(&place).body["title"], made.body["title"]);
                    let other = if name == "ada" { "grace" } else { "ada" };
                    client.get(&place.replace(name, other)).problem(403);
                    for task in client.get(&path).body["tasks"].as_array().unwrap() {
                        assert!(task["title"].as_str().unwrap().starts_with(name), "{task}");
                    }
                }
            });
        }
    });
    for name in ["ada", "grace"] {
        let listed = server.as_user(name).get(&format!("/users/{name}/tasks?limit=500"));
        assert_eq!(listed.body["tasks"].as_array().unwrap().len(), 2 * EACH);
        assert_eq!(server.refusals(name).len(), 2 * EACH);
    }
    assert!(server.app.store.check().unwrap().is_clean());
}

/// Beside this test's own program; `cargo test` builds it, `cargo test --test server` alone does not.
fn program() -> PathBuf {
    let this = std::env::current_exe().unwrap();
    let profile = this.parent().unwrap().parent().unwrap();
    let program = profile.join("examples").join(format!("server{}", std::env::consts::EXE_SUFFIX));
    if !program.exists() {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--quiet", "--example", "server", "--features", "axum", "--target-dir"]);
        cargo.arg(profile.parent().unwrap());
        if profile.ends_with("release") {
            cargo.arg("--release");
        }
        assert!(cargo.current_dir(env!("CARGO_MANIFEST_DIR")).status().unwrap().success());
    }
    program
}

/// As its users run it: it prints tokens, answers with them, and stops at the end of its input.
#[test]
fn the_program_serves_and_stops() {
    let mut command = Command::new(program());
    command.args(["--demo", "--listen", "127.0.0.1:0"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut printed = BufReader::new(child.stdout.take().unwrap()).lines().map(|line| line.unwrap());
    let mut token = |name: &str| {
        let line = printed.find(|line| line.starts_with(name)).unwrap();
        line.split('\'').nth(1).unwrap().to_owned()
    };
    let (ada, grace) = (token("ADA="), token("GRACE="));
    let address = printed
        .find_map(|line| Some(line.strip_prefix("listening on ")?.split(';').next()?.to_owned()))
        .unwrap();
    let client = |token: &str| {
        let agent = ureq::Agent::config_builder().http_status_as_error(false).build().new_agent();
        Client { agent, base: address.clone(), authorization: vec![format!("Bearer {token}")] }
    };
    let made = client(&ada).post("/users/ada/tasks", &json!({ "title": "Dig" }));
    assert_eq!(client(&ada).get(&made.location.unwrap()).body["title"], json!("Dig"));
    client(&grace).get("/users/ada/tasks").problem(403);
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
    let refused =
        Command::new(program()).args(["--token", "ada"]).env("TODO_SECRET", "short").output().unwrap();
    assert!(
        !refused.status.success() && String::from_utf8_lossy(&refused.stderr).contains("at least 32 bytes")
    );
}

/// A writer that is held up keeps its own request waiting and nobody else's.
#[test]
fn work_that_waits_holds_no_other_request_up() {
    let server = Running::start();
    let (ada, grace) = (server.as_user("ada"), server.as_user("grace"));
    let session = server.app.store.session(&UserId::new("ada").unwrap()).unwrap();
    std::thread::scope(|scope| {
        session
            .transaction(|_| {
                let waiting = scope.spawn(|| ada.post("/users/ada/tasks", &json!({ "title": "Dig" })).status);
                std::thread::sleep(std::time::Duration::from_millis(100));
                assert_eq!(grace.get("/users/grace/tasks").status, 200);
                assert!(!waiting.is_finished(), "it waits for the writer");
                Ok(waiting)
            })
            .map(|waiting| assert_eq!(waiting.join().unwrap(), 201))
            .unwrap();
    });
}
