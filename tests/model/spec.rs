//! The entities of the model test: what the model must know of each, apart from the library.

use std::collections::BTreeMap;

use tenantry::{
    Choice, ColumnDefinition, ColumnKind, Definition, Entity, Fields, Id, OnDelete, Quota, Result, Tenancy,
    Timestamp, UserId, Uuid, Value, Verbs, tenancy,
};

pub type Values = BTreeMap<&'static str, Value>;

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    Text,
    Integer,
    Time,
    Choice,
    Reference { to: &'static str, on_delete: OnDelete, soft: bool },
    Member,
}

#[derive(Debug, Clone, Copy)]
pub struct Column {
    pub name: &'static str,
    pub kind: Kind,
    pub secret: bool,
}

const fn column(name: &'static str, kind: Kind) -> Column {
    Column { name, kind, secret: false }
}

const fn reference(name: &'static str, to: &'static str, on_delete: OnDelete) -> Column {
    column(name, Kind::Reference { to, on_delete, soft: false })
}

#[derive(Debug)]
pub struct Spec {
    pub name: &'static str,
    pub tenancy: Tenancy,
    pub author: bool,
    pub unique: Option<&'static str>,
    /// What a tenant may have, unless it has a quota of its own.
    pub limits: Limits,
    pub columns: &'static [Column],
}

/// Entities that ask for their reads to be recorded: a user's and a member's.
pub const READ: [&str; 2] = ["project", "note"];

/// The most rows and the most bytes.
pub type Limits = (Option<u64>, Option<u64>);

pub const CHOICES: [&str; 2] = ["open", "done"];

pub static SPECS: [Spec; 6] = [
    Spec {
        name: "project",
        tenancy: Tenancy::User,
        author: false,
        unique: None,
        limits: (None, None),
        columns: &[column("name", Kind::Text)],
    },
    Spec {
        name: "task",
        tenancy: Tenancy::User,
        author: false,
        unique: Some("title"),
        limits: (None, None),
        columns: &[
            column("title", Kind::Text),
            column("status", Kind::Choice),
            column("points", Kind::Integer),
            column("due", Kind::Time),
            reference("project", "project", OnDelete::Cascade),
            reference("fallback", "project", OnDelete::SetNull),
            reference("blocker", "task", OnDelete::Restrict),
            Column { name: "pin", kind: Kind::Text, secret: true },
        ],
    },
    Spec {
        name: "run-time item",
        tenancy: Tenancy::User,
        author: false,
        unique: None,
        limits: (Some(4), None),
        columns: &[
            column("order", Kind::Text),
            column("points", Kind::Integer),
            column("rowid", Kind::Time),
            reference("tenant", "run-time item", OnDelete::SetNull),
        ],
    },
    Spec {
        name: "ticket",
        tenancy: Tenancy::Organization,
        author: true,
        unique: Some("title"),
        limits: (None, None),
        columns: &[
            column("title", Kind::Text),
            column("points", Kind::Integer),
            column("assignee", Kind::Member),
            reference("parent", "ticket", OnDelete::Cascade),
        ],
    },
    Spec {
        name: "doc",
        tenancy: Tenancy::Organization,
        author: false,
        unique: None,
        limits: (None, Some(300)),
        columns: &[
            column("title", Kind::Text),
            column("points", Kind::Integer),
            reference("ticket", "ticket", OnDelete::Restrict),
        ],
    },
    Spec {
        name: "note",
        tenancy: Tenancy::Member,
        author: false,
        unique: None,
        limits: (Some(4), Some(310)),
        columns: &[
            column("text", Kind::Text),
            column("points", Kind::Integer),
            column("ticket", Kind::Reference { to: "ticket", on_delete: OnDelete::Restrict, soft: true }),
        ],
    },
];

impl Spec {
    pub fn of(name: &str) -> &'static Spec {
        SPECS.iter().find(|spec| spec.name == name).unwrap()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Choice)]
pub enum Status {
    Open,
    Done,
}

#[derive(Debug, Entity)]
#[entity(audit_reads)]
pub struct Project {
    name: String,
}

#[derive(Debug, Entity)]
#[entity(unique(title), index(status, due desc))]
pub struct Task {
    title: String,
    status: Status,
    points: i64,
    due: Option<Timestamp>,
    #[entity(on_delete = cascade)]
    project: Option<Id<Project>>,
    #[entity(on_delete = set_null)]
    fallback: Option<Id<Project>>,
    blocker: Option<Id<Task>>,
    #[entity(secret)]
    pin: Option<String>,
}

#[derive(Debug, Entity)]
#[entity(tenancy = organization, author, unique(title), index(points desc))]
pub struct Ticket {
    title: String,
    points: i64,
    assignee: Option<UserId>,
    #[entity(on_delete = cascade)]
    parent: Option<Id<Ticket>>,
}

#[derive(Debug, Entity)]
#[entity(tenancy = member, audit_reads)]
pub struct Note {
    text: String,
    points: i64,
    ticket: Option<Id<Ticket>>,
}

/// Two entities are defined at run time.
pub fn builder() -> tenantry::Builder {
    let target = |entity: &str, on_delete| ColumnKind::Reference { entity: entity.into(), on_delete };
    let item = Definition::new("run-time item", Tenancy::User)
        .column(ColumnDefinition::new("order", ColumnKind::Text))
        .column(ColumnDefinition::new("points", ColumnKind::Integer))
        .column(ColumnDefinition::new("rowid", ColumnKind::Time).optional())
        .column(ColumnDefinition::new("tenant", target("run-time item", OnDelete::SetNull)).optional());
    let doc = Definition::new("doc", Tenancy::Organization)
        .column(ColumnDefinition::new("title", ColumnKind::Text))
        .column(ColumnDefinition::new("points", ColumnKind::Integer))
        .column(ColumnDefinition::new("ticket", target("ticket", OnDelete::Restrict)).optional());
    let builder = crate::engine::builder()
        .entity::<Project>()
        .entity::<Task>()
        .entity::<Ticket>()
        .entity::<Note>()
        .definition(item)
        .definition(doc);
    SPECS.iter().fold(builder, |builder, spec| builder.quota(spec.name, quota(spec.limits)))
}

pub fn quota((rows, bytes): Limits) -> Quota {
    let quota = rows.map_or(Quota::none(), |max| Quota::none().rows(max));
    bytes.map_or(quota, |max| quota.bytes(max))
}

/// The typed verbs of derived entities, beside the dynamic ones that every entity has. `None`
/// where the entity is not a derived one of this scope.
pub trait TypedVerbs: tenancy::Scope + Sized {
    fn insert(verbs: &Verbs<'_, Self>, entity: &str, values: &Values) -> Option<Result<Uuid>>;
    fn get(verbs: &Verbs<'_, Self>, entity: &str, id: Uuid) -> Option<Result<(u64, Values)>>;
    fn update(
        verbs: &Verbs<'_, Self>,
        entity: &str,
        id: Uuid,
        expected: Option<u64>,
        values: &Values,
    ) -> Option<Result<u64>>;
    fn delete(verbs: &Verbs<'_, Self>, entity: &str, id: Uuid) -> Option<Result<()>>;
    fn count(verbs: &Verbs<'_, Self>, entity: &str) -> Option<Result<u64>>;
}

/// To and from the model's values.
trait Mirror: Entity {
    fn from_values(values: &Values) -> Self;
    fn to_values(&self) -> Values;
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::Text(text) => Some(text.clone()),
        _ => None,
    }
}

fn integer(value: &Value) -> i64 {
    match value {
        Value::Integer(integer) => *integer,
        other => panic!("{other:?}"),
    }
}

fn id<E>(value: &Value) -> Option<Id<E>> {
    match value {
        Value::Uuid(uuid) => Some(Id::from_uuid(*uuid)),
        _ => None,
    }
}

impl Mirror for Task {
    fn from_values(v: &Values) -> Self {
        Task {
            title: text(&v["title"]).unwrap(),
            status: if v["status"] == Value::from("open") { Status::Open } else { Status::Done },
            points: integer(&v["points"]),
            due: match v["due"] {
                Value::Time(time) => Some(time),
                _ => None,
            },
            project: id(&v["project"]),
            fallback: id(&v["fallback"]),
            blocker: id(&v["blocker"]),
            pin: text(&v["pin"]),
        }
    }
    fn to_values(&self) -> Values {
        Values::from([
            ("title", self.title.clone().into()),
            ("status", self.status.as_str().into()),
            ("points", self.points.into()),
            ("due", self.due.into()),
            ("project", self.project.into()),
            ("fallback", self.fallback.into()),
            ("blocker", self.blocker.into()),
            ("pin", self.pin.clone().into()),
        ])
    }
}

impl Mirror for Project {
    fn from_values(v: &Values) -> Self {
        Project { name: text(&v["name"]).unwrap() }
    }
    fn to_values(&self) -> Values {
        Values::from([("name", self.name.clone().into())])
    }
}

impl Mirror for Ticket {
    fn from_values(v: &Values) -> Self {
        Ticket {
            title: text(&v["title"]).unwrap(),
            points: integer(&v["points"]),
            assignee: text(&v["assignee"]).map(|user| UserId::new(user).unwrap()),
            parent: id(&v["parent"]),
        }
    }
    fn to_values(&self) -> Values {
        Values::from([
            ("title", self.title.clone().into()),
            ("points", self.points.into()),
            ("assignee", self.assignee.clone().into()),
            ("parent", self.parent.into()),
        ])
    }
}

impl Mirror for Note {
    fn from_values(v: &Values) -> Self {
        Note { text: text(&v["text"]).unwrap(), points: integer(&v["points"]), ticket: id(&v["ticket"]) }
    }
    fn to_values(&self) -> Values {
        Values::from([
            ("text", self.text.clone().into()),
            ("points", self.points.into()),
            ("ticket", self.ticket.into()),
        ])
    }
}

macro_rules! typed_verbs {
    ($scope:ident: $($name:literal => $entity:ident),*) => {
        impl TypedVerbs for tenancy::$scope {
            fn insert(verbs: &Verbs<'_, Self>, entity: &str, values: &Values) -> Option<Result<Uuid>> {
                match entity {
                    $($name => Some(verbs.insert(&$entity::from_values(values)).map(Id::uuid)),)*
                    _ => None,
                }
            }
            fn get(verbs: &Verbs<'_, Self>, entity: &str, id: Uuid) -> Option<Result<(u64, Values)>> {
                match entity {
                    $($name => Some(verbs.get(Id::<$entity>::from_uuid(id)).map(|record| (record.version, record.to_values()))),)*
                    _ => None,
                }
            }
            fn update(verbs: &Verbs<'_, Self>, entity: &str, id: Uuid, expected: Option<u64>, values: &Values) -> Option<Result<u64>> {
                match entity {
                    $($name => {
                        let id = Id::<$entity>::from_uuid(id);
                        let value = $entity::from_values(values);
                        Some(match expected {
                            Some(version) => verbs.update(id.at(version), &value),
                            None => verbs.update(id, &value),
                        })
                    })*
                    _ => None,
                }
            }
            fn delete(verbs: &Verbs<'_, Self>, entity: &str, id: Uuid) -> Option<Result<()>> {
                match entity {
                    $($name => Some(verbs.delete(Id::<$entity>::from_uuid(id))),)*
                    _ => None,
                }
            }
            fn count(verbs: &Verbs<'_, Self>, entity: &str) -> Option<Result<u64>> {
                match entity {
                    $($name => Some(verbs.count::<$entity>()),)*
                    _ => None,
                }
            }
        }
    };
}
typed_verbs!(User: "project" => Project, "task" => Task);
typed_verbs!(Organization: "ticket" => Ticket, "note" => Note);

pub fn fields(values: &Values) -> Fields {
    values.iter().map(|(name, value)| (*name, value.clone())).collect()
}
