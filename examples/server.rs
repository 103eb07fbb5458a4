//! The to-do API for several people over HTTP: each reaches their own tasks with a token, and nobody else's.
//!
//! `cargo run --example server --features axum -- --demo` prints what to type next.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, anyhow};
use axum::extract::rejection::JsonRejection;
use axum::extract::{FromRef, Path, RawQuery};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use clap::Parser;
use serde::{Deserialize, Serialize};
use tenantry::tenancy::{ReadIn, Scope, WrittenIn};
use tenantry::web::{Bearer, BearerIn, Problem, blocking};
use tenantry::{
    Entity, Error, Id, OrganizationId, Record, Role, Session, Store, Target, Timestamp, TokenVerifier, UserId,
};

/// A person's own task.
#[derive(Debug, Clone, Serialize, Deserialize, Entity)]
#[serde(deny_unknown_fields)]
struct Task {
    title: String,
    #[serde(default)]
    done: bool,
    due: Option<Timestamp>,
}

/// A task that all members of an organization see.
#[derive(Debug, Clone, Serialize, Deserialize, Entity)]
#[serde(deny_unknown_fields)]
#[entity(tenancy = organization, author)]
struct SharedTask {
    title: String,
    #[serde(default)]
    done: bool,
}

/// What handlers need. `Bearer` takes both out of it.
#[derive(Clone)]
pub(crate) struct App {
    pub(crate) store: Store,
    verifier: TokenVerifier,
}

impl FromRef<App> for Store {
    fn from_ref(app: &App) -> Self {
        app.store.clone()
    }
}

impl FromRef<App> for TokenVerifier {
    fn from_ref(app: &App) -> Self {
        app.verifier.clone()
    }
}

impl App {
    pub(crate) fn new(
        builder: tenantry::Builder,
        path: Option<&std::path::Path>,
        secret: &[u8],
    ) -> tenantry::Result<Self> {
        let builder = builder.entity::<Task>().entity::<SharedTask>();
        let store = match path {
            Some(path) => builder.open(path)?,
            None => builder.temporary()?,
        };
        let verifier = TokenVerifier::hs256(secret)?
            .audience(AUDIENCE)
            .issuer(ISSUER)
            .organization_claim("organization");
        Ok(Self { store, verifier })
    }
}

pub(crate) fn router(app: App) -> Router {
    Router::new()
        .route("/users/{user}/tasks", get(list).post(add))
        .route("/users/{user}/tasks/{id}", get(show).patch(change).delete(remove))
        .route("/organizations/{organization}/tasks", get(list_shared).post(add_shared))
        .fallback(async || Problem::new(StatusCode::NOT_FOUND, "there is nothing here"))
        .method_not_allowed_fallback(async || {
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "this can not be done with it")
        })
        .with_state(app)
}

/// A record, as the API shows it.
#[derive(Serialize)]
struct Shown<T> {
    id: Id<T>,
    version: u64,
    created: Timestamp,
    updated: Timestamp,
    author: Option<UserId>,
    #[serde(flatten)]
    value: T,
}

impl<T> From<Record<T>> for Shown<T> {
    fn from(record: Record<T>) -> Self {
        let Record { id, version, created, updated, author, value, .. } = record;
        Self { id, version, created, updated, author, value }
    }
}

/// A page of records, oldest first; `?after=` what `next` says gives the one after it.
#[derive(Serialize)]
struct Listed<T> {
    tasks: Vec<Shown<T>>,
    next: Option<String>,
}

/// What is left out stays as it is. With a version, the change is refused if the task has another one by now.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Changes {
    version: Option<u64>,
    title: Option<String>,
    done: Option<bool>,
    #[serde(default, deserialize_with = "given")]
    due: Option<Option<Timestamp>>,
}

/// Tells `null` from what is not there.
fn given<'de, D: serde::Deserializer<'de>>(value: D) -> Result<Option<Option<Timestamp>>, D::Error> {
    Deserialize::deserialize(value).map(Some)
}

async fn list(Bearer(session): Bearer, RawQuery(query): RawQuery) -> Result<Json<Listed<Task>>, Problem> {
    blocking(move || page(&session, query)).await
}

async fn list_shared(
    BearerIn(session): BearerIn,
    RawQuery(query): RawQuery,
) -> Result<Json<Listed<SharedTask>>, Problem> {
    blocking(move || page(&session, query)).await
}

async fn add(Bearer(session): Bearer, body: Body<Task>) -> Result<Response, Problem> {
    let task = read(body)?;
    let place = format!("/users/{}/tasks", encode(session.user().as_str()));
    blocking(move || insert(&session, &place, &task)).await
}

async fn add_shared(BearerIn(session): BearerIn, body: Body<SharedTask>) -> Result<Response, Problem> {
    let task = read(body)?;
    let place = format!("/organizations/{}/tasks", encode(session.organization().as_str()));
    blocking(move || insert(&session, &place, &task)).await
}

async fn show(
    Bearer(session): Bearer,
    Path((_, id)): Path<(String, String)>,
) -> Result<Json<Shown<Task>>, Problem> {
    blocking(move || Ok(Json(session.get(task(&id)?)?.into()))).await
}

async fn change(
    Bearer(session): Bearer,
    Path((_, id)): Path<(String, String)>,
    body: Body<Changes>,
) -> Result<Json<Shown<Task>>, Problem> {
    let Changes { version, title, done, due } = read(body)?;
    let patches = [
        title.map(|title| Task::TITLE.set(title)),
        done.map(|done| Task::DONE.set(done)),
        due.map(|due| Task::DUE.set(due)),
    ];
    let patch = patches.into_iter().flatten().reduce(|all, one| all.and(one));
    let patch =
        patch.ok_or_else(|| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "there is nothing to change"))?;
    blocking(move || {
        let id = task(&id)?;
        let target: Target<Task> = version.map_or(id.into(), |version| id.at(version));
        // One transaction, so that the answer shows this change and no later one.
        session.transaction(|tx| {
            tx.patch(target, patch)?;
            Ok(Json(tx.get(id)?.into()))
        })
    })
    .await
}

async fn remove(
    Bearer(session): Bearer,
    Path((_, id)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    blocking(move || session.delete(task(&id)?).map(|()| StatusCode::NO_CONTENT)).await
}

/// What is no id is nobody's.
fn task(id: &str) -> tenantry::Result<Id<Task>> {
    id.parse().map_err(|_| Error::NotFound { entity: Task::ENTITY_NAME.to_owned() })
}

const PAGE: u32 = 50;
const PAGE_MAX: u32 = 500;

fn page<S: Scope, T: Entity>(session: &Session<S>, query: Option<String>) -> tenantry::Result<Json<Listed<T>>>
where
    T::Tenancy: ReadIn<S>,
{
    let mut tasks = session.query::<T>();
    let mut size = PAGE;
    // Numbers and cursors need no percent-encoding.
    for (name, value) in
        query.iter().flat_map(|query| query.split('&')).filter_map(|pair| pair.split_once('='))
    {
        match name {
            "limit" => {
                size = value.parse().ok().filter(|size| (1..=PAGE_MAX).contains(size)).ok_or_else(limit)?
            }
            "after" => tasks = tasks.after(&value.parse()?),
            _ => {}
        }
    }
    let page = tasks.page(size)?;
    let next = page.next.map(|cursor| cursor.to_string());
    Ok(Json(Listed { tasks: page.records.into_iter().map(Shown::from).collect(), next }))
}

fn limit() -> Error {
    Error::InvalidInput { field: "limit".to_owned(), problem: format!("a page has 1 to {PAGE_MAX} tasks") }
}

fn insert<S: Scope, T: Entity + Serialize>(
    session: &Session<S>,
    place: &str,
    task: &T,
) -> tenantry::Result<Response>
where
    T::Tenancy: ReadIn<S> + WrittenIn<S>,
{
    let added = session.transaction(|tx| tx.get(tx.insert(task)?))?;
    let location = [(header::LOCATION, format!("{place}/{}", added.id))];
    Ok((StatusCode::CREATED, location, Json(Shown::from(added))).into_response())
}

/// A body as axum read it, or why it could not.
type Body<T> = Result<Json<T>, JsonRejection>;

fn read<T>(body: Body<T>) -> Result<T, Problem> {
    body.map(|Json(value)| value).map_err(|refused| Problem::new(refused.status(), refused.body_text()))
}

/// A segment of a path: everything but RFC 3986's unreserved characters percent-encoded.
fn encode(segment: &str) -> String {
    let encoded = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    segment.bytes().map(encoded).collect()
}

const AUDIENCE: &str = "todo-server";
const ISSUER: &str = "todo-server-demo";

/// A token for trying it out. An app gets its tokens from whoever signs its people in, and has only the key to verify them.
pub(crate) fn demo_token(secret: &[u8], user: &str, expires: Timestamp) -> anyhow::Result<String> {
    let claims =
        serde_json::json!({ "sub": user, "aud": AUDIENCE, "iss": ISSUER, "exp": expires.as_second() });
    let key = jsonwebtoken::EncodingKey::from_secret(secret);
    Ok(jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &key)?)
}

const EXAMPLES: &str = "\
Examples:
  server --demo                                      see how it works, with a temporary store
  export TODO_SECRET=$(openssl rand -hex 32)
  server --user ada --user grace                     serve server.db
  curl -H \"Authorization: Bearer $(server --token ada)\" http://127.0.0.1:3000/users/ada/tasks";

/// Serves the to-do API until Enter is pressed or standard input ends; then it answers what it has begun, and closes
/// the store.
#[derive(Debug, Parser)]
#[command(name = "server", after_help = EXAMPLES, max_term_width = 100)]
struct Options {
    /// The store's file
    #[arg(long, default_value = "server.db", value_name = "PATH")]
    store: PathBuf,
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:3000", value_name = "ADDRESS")]
    listen: SocketAddr,
    /// The secret that tokens are signed with, at least 32 bytes
    #[arg(long, env = "TODO_SECRET", hide_env_values = true, required_unless_present = "demo")]
    secret: Option<String>,
    /// Print a token for this user and stop
    #[arg(long, value_name = "USER", conflicts_with = "demo")]
    token: Option<String>,
    /// Make this user, if there is none
    #[arg(long, value_name = "USER")]
    user: Vec<UserId>,
    /// A temporary store with two users who share an organization, a secret of its own, and tokens to try
    #[arg(long)]
    demo: bool,
}

fn main() -> ExitCode {
    tracing_subscriber::fmt().with_max_level(tracing::Level::WARN).with_writer(std::io::stderr).init();
    match run(Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("server: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: Options) -> anyhow::Result<()> {
    let secret = match &options.secret {
        Some(secret) if !options.demo => secret.clone().into_bytes(),
        _ => {
            let mut random = vec![0; 32];
            getrandom::fill(&mut random).map_err(|error| anyhow!("no random bytes: {error}"))?;
            random
        }
    };
    let expires = Timestamp::now() + std::time::Duration::from_secs(3_600);
    if let Some(user) = &options.token {
        TokenVerifier::hs256(&secret)?;
        println!("{}", demo_token(&secret, user, expires)?);
        return Ok(());
    }
    let path = (!options.demo).then_some(options.store.as_path());
    let app = App::new(Store::builder(), path, &secret)?;
    for user in &options.user {
        app.store.users().get_or_create(user)?;
    }
    let store = app.store.clone();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_io().build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind(options.listen).await;
        let listener = listener.with_context(|| format!("can not listen on {}", options.listen))?;
        let address = listener.local_addr()?;
        if options.demo {
            demo(&app.store, &secret, expires, address)?;
        }
        println!("listening on http://{address}; press Enter to stop");
        axum::serve(listener, router(app)).with_graceful_shutdown(stop()).await.context("serving failed")
    })?;
    store.close()?;
    Ok(())
}

/// Comes when standard input has a line, or ends.
async fn stop() {
    let _ = tokio::task::spawn_blocking(|| std::io::stdin().read_line(&mut String::new())).await;
}

fn demo(store: &Store, secret: &[u8], expires: Timestamp, address: SocketAddr) -> anyhow::Result<()> {
    let club = store.organizations().create(&OrganizationId::new("engine-club")?)?;
    for name in ["ada", "grace"] {
        let user = store.users().create(&UserId::new(name)?)?;
        store.organizations().add_member(&club, &user, Role::Member)?;
        println!("{}='{}'", name.to_uppercase(), demo_token(secret, name, expires)?);
    }
    println!(
        "
# Ada's own tasks, and what Grace is told who asks for them:
curl -H \"Authorization: Bearer $ADA\" --json '{{\"title\": \"Dig\"}}' http://{address}/users/ada/tasks
curl -H \"Authorization: Bearer $ADA\" http://{address}/users/ada/tasks
curl -i -H \"Authorization: Bearer $GRACE\" http://{address}/users/ada/tasks
# What they share:
curl -H \"Authorization: Bearer $ADA\" --json '{{\"title\": \"Oil the engine\"}}' http://{address}/organizations/engine-club/tasks
curl -H \"Authorization: Bearer $GRACE\" http://{address}/organizations/engine-club/tasks
"
    );
    Ok(())
}
