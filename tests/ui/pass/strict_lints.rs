//! The expansions add no warning to a crate that denies them all, and need no docs.

#![deny(warnings, missing_docs, unreachable_pub, unused_qualifications)]

use tenantry::{Choice, Entity, Id};

/// A project.
#[derive(Debug, Entity)]
#[entity(tenancy = organization)]
pub struct Project {
    name: String,
}

/// A private type in a private field of a public struct.
#[derive(Debug, Default, Choice)]
enum Status {
    #[default]
    Open,
    #[deprecated]
    Parked,
}

/// A ticket.
#[derive(Debug, Default, Entity)]
#[entity(tenancy = organization, author, unique(number), index(status, points desc))]
#[deprecated]
pub struct Ticket {
    #[deprecated]
    number: u32,
    status: Status,
    points: Option<f64>,
    tags: Vec<String>,
    #[entity(nested)]
    place: Option<(f64, f64)>,
    project: Option<Id<Project>>,
    #[entity(on_delete = set_null)]
    parent: Option<Id<Self>>,
    #[entity(skip)]
    cache: u8,
}

/// Nothing is stored.
#[derive(Debug, Default, Entity)]
pub struct Empty {
    #[entity(skip)]
    cache: u8,
}

mod inner {
    use tenantry::Entity;

    #[derive(Debug, Entity)]
    pub(crate) struct Note {
        pub(crate) text: String,
    }
}

#[allow(deprecated)]
fn main() {
    assert_eq!(Ticket::default().cache, Empty::default().cache);
    let note = inner::Note { text: String::new() };
    assert_eq!(inner::Note::TEXT.name(), "text");
    assert!(note.text.is_empty());
    assert!(Empty::definition().columns().is_empty());
}
