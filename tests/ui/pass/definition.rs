//! The derive and the builder make the same definition.

use std::collections::{BTreeMap, HashSet};

use serde::{Deserialize, Serialize};
use tenantry::{
    Choice, ColumnDefinition, ColumnKind, Definition, Entity, Id, IndexDefinition, OnDelete, Tenancy,
    Timestamp, UserId, Uuid,
};

#[derive(Entity)]
#[entity(name = "project", unique(name))]
#[entity(tenancy = organization)]
pub struct WorkProject {
    pub name: String,
}

#[derive(Choice)]
#[choice(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Status {
    InProgress,
    #[choice(rename = "done!")]
    Done,
}

#[derive(Serialize, Deserialize)]
pub struct Place {
    pub street: String,
}

#[derive(Entity)]
#[entity(tenancy = organization, author)]
#[entity(index(status, due desc), unique(r#type, title), index(number asc))]
pub struct WorkTask {
    pub title: String,
    #[entity(default = false)]
    pub done: bool,
    #[entity(default = -1)]
    pub number: i32,
    #[entity(default = 0.5)]
    pub effort: f64,
    #[entity(default = "IN_PROGRESS")]
    pub status: Status,
    pub r#type: Option<String>,
    #[entity(secret)]
    pub password: Vec<u8>,
    #[entity(column = "due date")]
    pub due: Option<Timestamp>,
    pub external: Uuid,
    pub assignee: Option<UserId>,
    pub project: Id<WorkProject>,
    #[entity(on_delete = cascade)]
    pub parent: Option<Id<WorkTask>>,
    pub tags: Vec<String>,
    pub counts: Option<BTreeMap<String, u64>>,
    pub seen: HashSet<u8>,
    pub corners: [(f64, f64); 2],
    #[entity(nested, secret)]
    pub place: Option<Place>,
    #[entity(skip)]
    pub cache: Option<Place>,
}

/// Types as `macro_rules` hands them on.
macro_rules! entity {
    ($name:ident, $first:ty, $second:ty) => {
        #[derive(Entity)]
        #[entity(tenancy = reference)]
        pub struct $name {
            pub first: $first,
            pub second: Option<$second>,
        }
    };
}
entity!(FromMacro, Vec<String>, Vec<u8>);

fn main() {
    let project = Definition::new("project", Tenancy::Organization)
        .column(ColumnDefinition::new("name", ColumnKind::Text))
        .unique(["name"]);
    assert_eq!(WorkProject::definition(), project);

    let status = ColumnKind::Choice(vec!["IN_PROGRESS".to_owned(), "done!".to_owned()]);
    let reference = |entity: &str, on_delete| ColumnKind::Reference { entity: entity.to_owned(), on_delete };
    let task = Definition::new("work_task", Tenancy::Organization)
        .author()
        .column(ColumnDefinition::new("title", ColumnKind::Text))
        .column(ColumnDefinition::new("done", ColumnKind::Boolean).default(false))
        .column(ColumnDefinition::new("number", ColumnKind::Integer).default(-1))
        .column(ColumnDefinition::new("effort", ColumnKind::Real).default(0.5))
        .column(ColumnDefinition::new("status", status).default("IN_PROGRESS"))
        .column(ColumnDefinition::new("type", ColumnKind::Text).optional())
        .column(ColumnDefinition::new("password", ColumnKind::Bytes).secret())
        .column(ColumnDefinition::new("due date", ColumnKind::Time).optional())
        .column(ColumnDefinition::new("external", ColumnKind::Uuid))
        .column(ColumnDefinition::new("assignee", ColumnKind::Member).optional())
        .column(ColumnDefinition::new("project", reference("project", OnDelete::Restrict)))
        .column(ColumnDefinition::new("parent", reference("work_task", OnDelete::Cascade)).optional())
        .column(ColumnDefinition::new("tags", ColumnKind::Nested))
        .column(ColumnDefinition::new("counts", ColumnKind::Nested).optional())
        .column(ColumnDefinition::new("seen", ColumnKind::Nested))
        .column(ColumnDefinition::new("corners", ColumnKind::Nested))
        .column(ColumnDefinition::new("place", ColumnKind::Nested).optional().secret())
        .index(IndexDefinition::new(["status"]).desc("due date"))
        .unique(["type", "title"])
        .index(IndexDefinition::new(["number"]));
    assert_eq!(WorkTask::definition(), task);

    let from_macro = Definition::new("from_macro", Tenancy::Reference)
        .column(ColumnDefinition::new("first", ColumnKind::Nested))
        .column(ColumnDefinition::new("second", ColumnKind::Bytes).optional());
    assert_eq!(FromMacro::definition(), from_macro);

    const DONE: &str = Status::Done.as_str();
    assert_eq!(DONE, "done!");
    assert_eq!(WorkTask::TYPE.name(), "type");
    assert_eq!(WorkTask::DUE.name(), "due date");
}
