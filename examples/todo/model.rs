//! What the app stores: a person's own records, and an organization's shared ones.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use tenantry::{Choice, Column, Entity, Id, Store, Timestamp, UserId};

#[derive(Debug, Clone, Copy, Default, PartialEq, Choice, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Status {
    #[default]
    Open,
    Done,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Choice, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Priority {
    Low,
    #[default]
    Normal,
    High,
}

/// A person's own project.
#[derive(Debug, Clone, PartialEq, Entity)]
#[entity(unique(name))]
pub(crate) struct PersonalProject {
    pub(crate) name: String,
}

/// A person's own to-do.
#[derive(Debug, Clone, PartialEq, Entity)]
#[entity(unique(source), index(status, due))]
pub(crate) struct Task {
    pub(crate) title: String,
    pub(crate) status: Status,
    pub(crate) due: Option<Timestamp>,
    pub(crate) tags: String,
    pub(crate) priority: Priority,
    #[entity(on_delete = set_null)]
    pub(crate) project: Option<Id<PersonalProject>>,
    /// Where an import found it: importing the same file again finds it here.
    pub(crate) source: Option<String>,
}

/// A person's own note.
#[derive(Debug, Clone, PartialEq, Entity)]
#[entity(unique(source))]
pub(crate) struct Note {
    pub(crate) title: String,
    pub(crate) body: String,
    pub(crate) tags: String,
    pub(crate) score: i64,
    pub(crate) comments: Vec<Comment>,
    pub(crate) source: Option<String>,
}

/// Read with its note and never by itself, so it is nested in it and no entity.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Comment {
    pub(crate) by: String,
    pub(crate) title: String,
    pub(crate) text: String,
}

/// An organization's project.
#[derive(Debug, Clone, PartialEq, Entity)]
#[entity(tenancy = organization, unique(name))]
pub(crate) struct Project {
    pub(crate) name: String,
    pub(crate) goal: Option<String>,
}

/// A to-do that all members of an organization see and change; the store keeps its author.
#[derive(Debug, Clone, PartialEq, Entity)]
#[entity(tenancy = organization, author, unique(source), index(status, due), index(assignee))]
pub(crate) struct SharedTask {
    pub(crate) title: String,
    pub(crate) status: Status,
    pub(crate) due: Option<Timestamp>,
    pub(crate) tags: String,
    pub(crate) priority: Priority,
    #[entity(on_delete = set_null)]
    pub(crate) project: Option<Id<Project>>,
    pub(crate) assignee: Option<UserId>,
    pub(crate) source: Option<String>,
}

/// What a member notes for themself within an organization, perhaps about a shared task. If that
/// task is deleted, the note stays and refers to nothing.
#[derive(Debug, Clone, PartialEq, Entity)]
#[entity(tenancy = member, unique(source))]
pub(crate) struct PrivateNote {
    pub(crate) text: String,
    pub(crate) task: Option<Id<SharedTask>>,
    pub(crate) source: Option<String>,
}

pub(crate) fn builder() -> tenantry::Builder {
    Store::builder()
        .entity::<PersonalProject>()
        .entity::<Task>()
        .entity::<Note>()
        .entity::<Project>()
        .entity::<SharedTask>()
        .entity::<PrivateNote>()
}

/// What the user says of a to-do, whichever entity it becomes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Draft {
    pub(crate) title: String,
    pub(crate) status: Status,
    pub(crate) due: Option<Timestamp>,
    pub(crate) tags: Vec<String>,
    pub(crate) priority: Priority,
    pub(crate) assignee: Option<UserId>,
    pub(crate) source: Option<String>,
}

/// A project, a person's or an organization's.
pub(crate) trait Named: Entity {
    const NAME_COLUMN: Column<Self, String>;
    fn named(name: &str) -> Self;
    fn name(&self) -> &str;
}

/// A to-do, a person's or an organization's, so that the commands are written once for both.
pub(crate) trait Todo: Entity + Clone + PartialEq {
    type Project: Named + Entity<Tenancy = <Self as Entity>::Tenancy>;
    const TITLE: Column<Self, String>;
    const STATUS: Column<Self, Status>;
    const DUE: Column<Self, Option<Timestamp>>;
    const TAGS: Column<Self, String>;
    const PRIORITY: Column<Self, Priority>;
    const PROJECT: Column<Self, Option<Id<Self::Project>>>;
    /// Only shared to-dos can be given to somebody.
    const ASSIGNEE: Option<Column<Self, Option<UserId>>>;
    const SHARED: bool;

    fn new(draft: Draft, project: Option<Id<Self::Project>>) -> Self;
    fn draft(&self) -> Draft;
    fn project(&self) -> Option<Id<Self::Project>>;
}

impl Named for PersonalProject {
    const NAME_COLUMN: Column<Self, String> = PersonalProject::NAME;
    fn named(name: &str) -> Self {
        Self { name: name.to_owned() }
    }
    fn name(&self) -> &str {
        &self.name
    }
}

impl Named for Project {
    const NAME_COLUMN: Column<Self, String> = Project::NAME;
    fn named(name: &str) -> Self {
        Self { name: name.to_owned(), goal: None }
    }
    fn name(&self) -> &str {
        &self.name
    }
}

impl Todo for Task {
    type Project = PersonalProject;
    const TITLE: Column<Self, String> = Task::TITLE;
    const STATUS: Column<Self, Status> = Task::STATUS;
    const DUE: Column<Self, Option<Timestamp>> = Task::DUE;
    const TAGS: Column<Self, String> = Task::TAGS;
    const PRIORITY: Column<Self, Priority> = Task::PRIORITY;
    const PROJECT: Column<Self, Option<Id<PersonalProject>>> = Task::PROJECT;
    const ASSIGNEE: Option<Column<Self, Option<UserId>>> = None;
    const SHARED: bool = false;

    fn new(draft: Draft, project: Option<Id<PersonalProject>>) -> Self {
        let Draft { title, status, due, tags, priority, assignee: _, source } = draft;
        Self { title, status, due, tags: join_tags(&tags), priority, project, source }
    }
    fn draft(&self) -> Draft {
        Draft {
            title: self.title.clone(),
            status: self.status,
            due: self.due,
            tags: split_tags(&self.tags),
            priority: self.priority,
            assignee: None,
            source: self.source.clone(),
        }
    }
    fn project(&self) -> Option<Id<PersonalProject>> {
        self.project
    }
}

impl Todo for SharedTask {
    type Project = Project;
    const TITLE: Column<Self, String> = SharedTask::TITLE;
    const STATUS: Column<Self, Status> = SharedTask::STATUS;
    const DUE: Column<Self, Option<Timestamp>> = SharedTask::DUE;
    const TAGS: Column<Self, String> = SharedTask::TAGS;
    const PRIORITY: Column<Self, Priority> = SharedTask::PRIORITY;
    const PROJECT: Column<Self, Option<Id<Project>>> = SharedTask::PROJECT;
    const ASSIGNEE: Option<Column<Self, Option<UserId>>> = Some(SharedTask::ASSIGNEE);
    const SHARED: bool = true;

    fn new(draft: Draft, project: Option<Id<Project>>) -> Self {
        let Draft { title, status, due, tags, priority, assignee, source } = draft;
        Self { title, status, due, tags: join_tags(&tags), priority, project, assignee, source }
    }
    fn draft(&self) -> Draft {
        Draft {
            title: self.title.clone(),
            status: self.status,
            due: self.due,
            tags: split_tags(&self.tags),
            priority: self.priority,
            assignee: self.assignee.clone(),
            source: self.source.clone(),
        }
    }
    fn project(&self) -> Option<Id<Project>> {
        self.project
    }
}

/// Tags stand in one text column as `|garden|weekend|`, which a filter can search; a nested list
/// it could not.
pub(crate) fn join_tags<T: AsRef<str>>(tags: &[T]) -> String {
    if tags.is_empty() {
        return String::new();
    }
    let tags: Vec<&str> = tags.iter().map(AsRef::as_ref).collect();
    format!("|{}|", tags.join("|"))
}

pub(crate) fn split_tags(text: &str) -> Vec<String> {
    text.split('|').filter(|tag| !tag.is_empty()).map(str::to_owned).collect()
}

/// What a filter looks for in a tags column.
pub(crate) fn tag_pattern(tag: &str) -> String {
    format!("|{tag}|")
}
