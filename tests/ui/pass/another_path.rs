//! `crate = ".."` finds the library where another crate re-exports it.

mod facade {
    pub use tenantry as database;
}

use facade::database::{Choice, Entity};

#[derive(Choice)]
#[choice(crate = "facade::database")]
enum Kind {
    Idea,
}

#[derive(Entity)]
#[entity(crate = "facade::database")]
#[allow(dead_code)]
struct Note {
    kind: Kind,
}

fn main() {
    assert_eq!(Note::definition().name(), "note");
    assert_eq!(Kind::Idea.as_str(), "idea");
}
