//! What is stored is what is read, for every kind of field, there or not.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tenantry::{Choice, Entity, Id, Result, Store, Timestamp, UserId, Uuid};

#[derive(Debug, Clone, Copy, PartialEq, Choice)]
#[choice(rename_all = "kebab-case")]
enum Status {
    InProgress,
    #[choice(rename = "it's \"done\"")]
    Done,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Place {
    street: String,
}

#[derive(Debug, Clone, PartialEq, Entity)]
struct Task {
    title: String,
    #[entity(skip)]
    cache: u8,
    done: bool,
    number: i32,
    effort: f64,
    status: Status,
    bytes: Vec<u8>,
    uuid: Uuid,
    r#type: Option<String>,
    due: Option<Timestamp>,
    other_status: Option<Status>,
    #[entity(on_delete = set_null)]
    parent: Option<Id<Task>>,
    tags: Vec<String>,
    counts: Option<BTreeMap<String, u64>>,
    #[entity(nested)]
    place: Option<Place>,
}

fn main() -> Result<()> {
    let store = Store::builder().entity::<Task>().temporary()?;
    let session = store.session(&store.users().create(&UserId::new("ada")?)?)?;

    let bare = Task {
        title: "Dig".to_owned(),
        cache: 0,
        done: true,
        number: -7,
        effort: 0.5,
        status: Status::Done,
        bytes: vec![0, 255],
        uuid: Uuid::from_u128(7),
        r#type: None,
        due: None,
        other_status: None,
        parent: None,
        tags: Vec::new(),
        counts: None,
        place: None,
    };
    let parent = session.insert(&bare)?;
    assert_eq!(session.get(parent)?.value, bare);

    let full = Task {
        status: Status::InProgress,
        r#type: Some("chore".to_owned()),
        due: Some(Timestamp::UNIX_EPOCH),
        other_status: Some(Status::Done),
        parent: Some(parent),
        tags: vec!["garden".to_owned()],
        counts: Some(BTreeMap::from([("spades".to_owned(), 2)])),
        place: Some(Place { street: "Lane".to_owned() }),
        ..bare.clone()
    };
    let id = session.insert(&Task { cache: 9, ..full.clone() })?;
    assert_eq!(session.get(id)?.value, full, "a skipped field is read as its default");

    let late = Task::DUE.le(Timestamp::UNIX_EPOCH).and(Task::STATUS.eq(Status::InProgress));
    assert_eq!(session.query::<Task>().filter(late).one()?.id, id);
    session
        .patch(id, Task::PLACE.clear().and(Task::TAGS.set(Vec::new())).and(Task::STATUS.set(Status::Done)))?;
    let patched = Task { place: None, tags: Vec::new(), status: Status::Done, ..full };
    assert_eq!(session.get(id)?.value, patched);
    Ok(())
}
