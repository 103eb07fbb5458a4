//! The JSON form of JSONPlaceholder: `users`, their `todos` and `posts`, and the posts'
//! `comments`. To it this app adds, all optional: `source` of the file; `due`, `tags`, `priority`,
//! `project` and `created` of to-dos; `tags`, `score` and `created` of posts; `organizations`.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use indicatif::ProgressBar;
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};
use tenantry::{Id, OrganizationId, Role, Store, Timestamp, UserId};

use super::{Kept, Run, Tally};
use crate::failure::{Failure, Outcome};
use crate::model::{
    self, Comment, Draft, Note, PersonalProject, Priority, PrivateNote, Project, SharedTask, Status, Task,
    Todo,
};
use crate::people::ensure_user;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Document {
    /// Tells records of different files apart that have the same number.
    #[serde(default = "jsonplaceholder")]
    source: String,
    users: Vec<JsonUser>,
    #[serde(default)]
    todos: Vec<JsonTodo>,
    #[serde(default)]
    posts: Vec<JsonPost>,
    #[serde(default)]
    comments: Vec<JsonComment>,
    #[serde(default)]
    albums: Vec<IgnoredAny>,
    #[serde(default)]
    photos: Vec<IgnoredAny>,
    #[serde(default)]
    organizations: Vec<JsonOrganization>,
}

fn jsonplaceholder() -> String {
    "jsonplaceholder".to_owned()
}

#[derive(Debug, Deserialize)]
struct JsonUser {
    id: i64,
    #[serde(default)]
    name: String,
    username: UserId,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct JsonTodo {
    user_id: i64,
    id: i64,
    title: String,
    completed: bool,
    #[serde(default, deserialize_with = "optional_due")]
    due: Option<Timestamp>,
    #[serde(default, deserialize_with = "tags")]
    tags: Vec<String>,
    #[serde(default)]
    priority: Priority,
    project: Option<String>,
    created: Option<Timestamp>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct JsonPost {
    user_id: i64,
    id: i64,
    title: String,
    body: String,
    #[serde(default, deserialize_with = "tags")]
    tags: Vec<String>,
    #[serde(default)]
    score: i64,
    created: Option<Timestamp>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct JsonComment {
    post_id: i64,
    id: i64,
    #[serde(default)]
    name: String,
    email: String,
    body: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct JsonOrganization {
    id: OrganizationId,
    #[serde(default)]
    name: String,
    members: Vec<JsonMember>,
    #[serde(default)]
    projects: Vec<JsonProject>,
    #[serde(default)]
    tasks: Vec<JsonTask>,
    #[serde(default)]
    private_notes: Vec<JsonPrivateNote>,
}

#[derive(Debug, Deserialize)]
struct JsonMember {
    user: UserId,
    role: Role,
}

#[derive(Debug, Deserialize)]
struct JsonProject {
    name: String,
    goal: Option<String>,
}

#[derive(Debug, Deserialize)]
struct JsonTask {
    id: i64,
    title: String,
    completed: bool,
    author: UserId,
    assignee: Option<UserId>,
    #[serde(default, deserialize_with = "optional_due")]
    due: Option<Timestamp>,
    #[serde(default, deserialize_with = "tags")]
    tags: Vec<String>,
    #[serde(default)]
    priority: Priority,
    project: Option<String>,
    created: Option<Timestamp>,
}

#[derive(Debug, Deserialize)]
struct JsonPrivateNote {
    id: i64,
    user: UserId,
    text: String,
    /// The number of a task of the same organization.
    task: Option<i64>,
}

fn optional_due<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    text.map(|text| crate::cli::due(&text)).transpose().map_err(serde::de::Error::custom)
}

fn tags<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let tags = Vec::<String>::deserialize(deserializer)?;
    tags.iter()
        .map(|tag| crate::cli::tag(tag).map_err(|problem| format!("tag {tag:?} {problem}")))
        .collect::<Result<_, _>>()
        .map_err(serde::de::Error::custom)
}

/// Reads the whole document, and refuses it if something in it names what is not there.
pub(super) fn read(path: &Path) -> Outcome<Document> {
    let bytes = std::fs::read(path)
        .map_err(|error| Failure::refused(format!("the file can not be read: {error}")))?;
    let text = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(&bytes);
    let document: Document = serde_json::from_slice(text).map_err(|error| {
        let what = match error.classify() {
            serde_json::error::Category::Eof => "the file is cut off",
            serde_json::error::Category::Data => "not in JSONPlaceholder's form",
            _ => "not valid JSON",
        };
        Failure::refused(format!("{what}: {error}; nothing was imported"))
    })?;
    check(&document).map_err(|problem| Failure::refused(format!("{problem}; nothing was imported")))?;
    Ok(document)
}

fn unique<T: std::hash::Hash + Eq + std::fmt::Debug>(
    list: &str,
    ids: impl Iterator<Item = T>,
) -> Result<HashSet<T>, String> {
    let mut known = HashSet::new();
    for (position, id) in ids.enumerate() {
        if known.contains(&id) {
            return Err(format!("{list}[{position}]: the id {id:?} is there twice"));
        }
        known.insert(id);
    }
    Ok(known)
}

fn check(document: &Document) -> Result<(), String> {
    let users = unique("users", document.users.iter().map(|user| user.id))?;
    let names = unique("users", document.users.iter().map(|user| user.username.clone()))?;
    unique("todos", document.todos.iter().map(|todo| todo.id))?;
    let posts = unique("posts", document.posts.iter().map(|post| post.id))?;
    unique("comments", document.comments.iter().map(|comment| comment.id))?;
    for (position, todo) in document.todos.iter().enumerate() {
        if !users.contains(&todo.user_id) {
            return Err(format!("todos[{position}].userId: there is no user {}", todo.user_id));
        }
    }
    for (position, post) in document.posts.iter().enumerate() {
        if !users.contains(&post.user_id) {
            return Err(format!("posts[{position}].userId: there is no user {}", post.user_id));
        }
    }
    for (position, comment) in document.comments.iter().enumerate() {
        if !posts.contains(&comment.post_id) {
            return Err(format!("comments[{position}].postId: there is no post {}", comment.post_id));
        }
    }
    for organization in &document.organizations {
        let place = format!("organizations.{}", organization.id);
        let members =
            unique(&format!("{place}.members"), organization.members.iter().map(|member| &member.user))?;
        if let Some(stranger) = members.iter().find(|user| !names.contains(**user)) {
            return Err(format!("{place}.members: there is no user {:?}", stranger.as_str()));
        }
        let is_member = |list: &str, position: usize, user: &UserId| {
            if members.contains(user) {
                return Ok(());
            }
            Err(format!("{place}.{list}[{position}]: {:?} is not a member", user.as_str()))
        };
        let tasks = unique(&format!("{place}.tasks"), organization.tasks.iter().map(|task| task.id))?;
        for (position, task) in organization.tasks.iter().enumerate() {
            is_member("tasks", position, &task.author)?;
            task.assignee.as_ref().map_or(Ok(()), |user| is_member("tasks", position, user))?;
        }
        unique(&format!("{place}.privateNotes"), organization.private_notes.iter().map(|note| note.id))?;
        for (position, note) in organization.private_notes.iter().enumerate() {
            is_member("privateNotes", position, &note.user)?;
            if let Some(task) = note.task.filter(|task| !tasks.contains(task)) {
                return Err(format!("{place}.privateNotes[{position}].task: there is no task {task}"));
            }
        }
    }
    Ok(())
}

/// The document's records by who or what they belong to.
struct Owned<'d> {
    todos: HashMap<i64, Vec<&'d JsonTodo>>,
    posts: HashMap<i64, Vec<&'d JsonPost>>,
    comments: HashMap<i64, Vec<&'d JsonComment>>,
}

impl<'d> Owned<'d> {
    fn of(document: &'d Document) -> Self {
        fn by<T>(records: &[T], owner: impl Fn(&T) -> i64) -> HashMap<i64, Vec<&T>> {
            let mut map: HashMap<i64, Vec<&T>> = HashMap::new();
            for record in records {
                map.entry(owner(record)).or_default().push(record);
            }
            map
        }
        Self {
            todos: by(&document.todos, |todo| todo.user_id),
            posts: by(&document.posts, |post| post.user_id),
            comments: by(&document.comments, |comment| comment.post_id),
        }
    }
}

fn comment(json: &&JsonComment) -> Comment {
    Comment { by: json.email.clone(), title: json.name.clone(), text: json.body.clone() }
}

pub(super) fn import(store: &Store, document: &Document, run: &mut Run) -> Outcome {
    let shared: usize = document
        .organizations
        .iter()
        .map(|one| one.projects.len() + one.tasks.len() + one.private_notes.len())
        .sum();
    let bar = run.progress((document.todos.len() + document.posts.len() + shared) as u64);
    let owned = Owned::of(document);
    for user in &document.users {
        if ensure_user(store, &user.username, &user.name)? {
            run.users_made += 1;
        }
        let mut at = String::new();
        let tally = import_user(store, document, &owned, user, run, &mut at, &bar)
            .map_err(|error| Failure::from(error).within(at))?;
        run.owners.entry(user.username.to_string()).or_default().add(&tally);
    }
    for organization in &document.organizations {
        import_organization(store, document, organization, run, &bar)?;
    }
    bar.finish_and_clear();
    for (what, count) in [("albums", document.albums.len()), ("photos", document.photos.len())] {
        if count > 0 {
            run.left_out.push((format!("{what}, which this app has no place for"), count as u64));
        }
    }
    Ok(())
}

/// One user's records, in one transaction. `at` tells where a failure happened.
fn import_user(
    store: &Store,
    document: &Document,
    owned: &Owned<'_>,
    user: &JsonUser,
    run: &Run,
    at: &mut String,
    bar: &ProgressBar,
) -> tenantry::Result<Tally> {
    let source = &document.source;
    store.session(&user.username)?.transaction(|tx| {
        let mut tally = Tally::default();
        let mut projects: HashMap<&str, Id<PersonalProject>> = HashMap::new();
        for todo in owned.todos.get(&user.id).into_iter().flatten() {
            *at = format!("todo {}", todo.id);
            let project = match todo.project.as_deref() {
                None => None,
                Some(name) => Some(match projects.get(name) {
                    Some(id) => *id,
                    None => {
                        let id = tx.upsert_on(&["name"], &PersonalProject { name: name.to_owned() })?.id();
                        tally.projects += 1;
                        projects.insert(name, id);
                        id
                    }
                }),
            };
            let source = format!("{source}/todos/{}", todo.id);
            let draft = Draft {
                title: todo.title.clone(),
                status: if todo.completed { Status::Done } else { Status::Open },
                due: todo.due,
                tags: todo.tags.clone(),
                priority: todo.priority,
                assignee: None,
                source: Some(source.clone()),
            };
            let task = <Task as Todo>::new(draft, project);
            let (_, kept) = run.keep(tx, Task::SOURCE, &source, &task, todo.created)?;
            tally.tasks += 1;
            tally.count(kept);
            bar.inc(1);
        }
        for post in owned.posts.get(&user.id).into_iter().flatten() {
            *at = format!("post {}", post.id);
            let source = format!("{source}/posts/{}", post.id);
            let comments: Vec<Comment> =
                owned.comments.get(&post.id).into_iter().flatten().map(comment).collect();
            tally.comments += comments.len() as u64;
            let note = Note {
                title: post.title.clone(),
                body: post.body.clone(),
                tags: model::join_tags(&post.tags),
                score: post.score,
                comments,
                source: Some(source.clone()),
            };
            let (_, kept) = run.keep(tx, Note::SOURCE, &source, &note, post.created)?;
            tally.notes += 1;
            tally.count(kept);
            bar.inc(1);
        }
        Ok(tally)
    })
}

fn import_organization(
    store: &Store,
    document: &Document,
    json: &JsonOrganization,
    run: &mut Run,
    bar: &ProgressBar,
) -> Outcome {
    let organizations = store.organizations();
    match organizations.create(&json.id) {
        Ok(_) => organizations.rename(&json.id, &json.name)?,
        Err(tenantry::Error::Exists { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    for member in &json.members {
        match organizations.add_member(&json.id, &member.user, member.role) {
            Ok(_) | Err(tenantry::Error::Exists { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let enter = |user: &UserId| store.session(user)?.in_organization(&json.id);
    let source = format!("{}/{}", document.source, json.id);
    let mut tally = Tally::default();
    let mut projects: HashMap<String, Id<Project>> = HashMap::new();
    // Any member can make the projects; the file says nothing of who did.
    if let Some(first) = json.members.first() {
        let mut wanted: BTreeMap<&str, Option<&str>> = BTreeMap::new();
        wanted.extend(json.tasks.iter().filter_map(|task| task.project.as_deref()).map(|name| (name, None)));
        wanted.extend(json.projects.iter().map(|project| (project.name.as_str(), project.goal.as_deref())));
        projects = enter(&first.user)?.transaction(|tx| {
            wanted
                .iter()
                .map(|(name, goal)| {
                    let project = Project { name: (*name).to_owned(), goal: goal.map(str::to_owned) };
                    Ok(((*name).to_owned(), tx.upsert_on(&["name"], &project)?.id()))
                })
                .collect()
        })?;
        tally.projects += projects.len() as u64;
        bar.inc(json.projects.len() as u64);
    }
    // The store records a shared task's author, so each member's own session inserts theirs.
    let mut tasks: HashMap<i64, Id<SharedTask>> = HashMap::new();
    for member in &json.members {
        let session = enter(&member.user)?;
        session.transaction(|tx| {
            for task in json.tasks.iter().filter(|task| task.author == member.user) {
                let source = format!("{source}/tasks/{}", task.id);
                let draft = Draft {
                    title: task.title.clone(),
                    status: if task.completed { Status::Done } else { Status::Open },
                    due: task.due,
                    tags: task.tags.clone(),
                    priority: task.priority,
                    assignee: task.assignee.clone(),
                    source: Some(source.clone()),
                };
                let project = task.project.as_ref().and_then(|name| projects.get(name)).copied();
                let shared = <SharedTask as Todo>::new(draft, project);
                let (id, kept) = run.keep(tx, SharedTask::SOURCE, &source, &shared, task.created)?;
                tasks.insert(task.id, id);
                tally.tasks += 1;
                tally.count(kept);
                bar.inc(1);
            }
            Ok(())
        })?;
    }
    // Afterwards, since a note may be on a task that a later member wrote.
    for member in &json.members {
        enter(&member.user)?.transaction(|tx| {
            for note in json.private_notes.iter().filter(|note| note.user == member.user) {
                let source = format!("{source}/notes/{}", note.id);
                let private = PrivateNote {
                    text: note.text.clone(),
                    task: note.task.and_then(|task| tasks.get(&task)).copied(),
                    source: Some(source.clone()),
                };
                let (_, kept): (_, Kept) = run.keep(tx, PrivateNote::SOURCE, &source, &private, None)?;
                tally.notes += 1;
                tally.count(kept);
                bar.inc(1);
            }
            Ok(())
        })?;
    }
    run.organizations.entry(json.id.to_string()).or_default().add(&tally);
    Ok(())
}
