//! Any frames as a bundle, whose checksums are made to hold so that what is inside is looked at.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use sha2::{Digest, Sha256};
use tenantry::{Entity, Id, ImportOptions, OrganizationId, Role, Store, Timestamp, UserId, Uuid};

#[derive(Entity)]
#[entity(unique(title))]
struct Task {
    title: String,
    done: bool,
    amount: Option<f64>,
    due: Option<Timestamp>,
    #[entity(nested)]
    tags: Vec<String>,
    payload: Option<Vec<u8>>,
    key: Option<Uuid>,
    #[entity(secret)]
    secret: Option<String>,
    parent: Option<Id<Task>>,
    category: Option<Id<Category>>,
}

#[derive(Entity)]
#[entity(tenancy = reference)]
struct Category {
    code: String,
}

#[derive(Entity)]
#[entity(tenancy = organization, author)]
struct Ticket {
    title: String,
}

#[derive(Entity)]
#[entity(tenancy = member)]
struct Note {
    text: String,
    ticket: Option<Id<Ticket>>,
}

fn store() -> Store {
    Store::builder()
        .entity::<Task>()
        .entity::<Category>()
        .entity::<Ticket>()
        .entity::<Note>()
        .temporary()
        .unwrap()
}

struct World {
    /// Takes bundles in, as long as they are refused.
    target: Store,
    before: u64,
    /// What stores write, for mutations to begin with.
    bundles: [Vec<u8>; 2],
}

fn world() -> World {
    let store = store();
    let category = store.reference().insert(&Category { code: "garden".into() }).unwrap();
    let ada = store.users().create(&UserId::new("ada").unwrap()).unwrap();
    let session = store.session(&ada).unwrap();
    let mut parent = None;
    for number in 0..3 {
        let task = Task {
            title: format!("task {number}"),
            done: number == 1,
            amount: Some(1.5),
            due: Some(Timestamp::UNIX_EPOCH),
            tags: vec!["a".into()],
            payload: Some(vec![1, 2]),
            key: Some(Uuid::nil()),
            secret: Some("secret".into()),
            parent,
            category: Some(category),
        };
        parent = Some(session.insert(&task).unwrap());
    }
    session.patch(parent.unwrap(), Task::DONE.set(true)).unwrap();
    let acme = store.organizations().create(&OrganizationId::new("acme").unwrap()).unwrap();
    store.organizations().add_member(&acme, &ada, Role::Admin).unwrap();
    let inside = session.in_organization(&acme).unwrap();
    let ticket = inside.insert(&Ticket { title: "ticket".into() }).unwrap();
    inside.insert(&Note { text: "note".into(), ticket: Some(ticket) }).unwrap();
    let mut bundles = [Vec::new(), Vec::new()];
    store.users().export(&ada, &mut bundles[0]).unwrap();
    store.organizations().export(&acme, &mut bundles[1]).unwrap();
    let target = self::store();
    let before = entries(&target);
    World { target, before, bundles }
}

/// How many entries all logs have, and users, organizations and rows there are.
fn entries(store: &Store) -> u64 {
    let report = store.check().unwrap();
    assert!(report.is_clean(), "{report}");
    report.entries + report.rows + report.tenants
}

static WORLD: LazyLock<World> = LazyLock::new(world);

const OPENING: &[u8] = b"\xaftenantry-bundle\x01";

/// The bodies of a bundle's frames.
fn bodies(bundle: &[u8]) -> Vec<Vec<u8>> {
    let mut rest = &bundle[OPENING.len()..];
    let mut bodies = Vec::new();
    while rest.len() > 6 {
        let length = u32::from_be_bytes([rest[2], rest[3], rest[4], rest[5]]) as usize;
        bodies.push(rest[6..6 + length].to_vec());
        rest = &rest[6 + length + 34..];
    }
    bodies
}

fn seal(bodies: &[Vec<u8>]) -> Vec<u8> {
    let mut bundle = OPENING.to_vec();
    let mut sum: [u8; 32] = Sha256::digest(OPENING).into();
    for (number, body) in bodies.iter().enumerate() {
        let mut body = body.clone();
        // The last frame ends with the sum of those before it.
        if number + 1 == bodies.len() && body.len() > 34 {
            let at = body.len() - 32;
            body[at..].copy_from_slice(&sum);
        }
        let length = u32::try_from(body.len()).unwrap().to_be_bytes();
        sum = Sha256::new().chain_update(sum).chain_update(length).chain_update(&body).finalize().into();
        bundle.extend([0x92, 0xc6]);
        bundle.extend(length);
        bundle.extend(body);
        bundle.extend([0xc4, 32]);
        bundle.extend(sum);
    }
    bundle
}

/// The input tells which bundle, and what becomes of its frames: each instruction is a frame's number, a
/// position, how many bytes go, and the bytes that come instead.
fn mutate(mut input: &[u8]) -> Option<(usize, Vec<u8>)> {
    let (&which, rest) = input.split_first()?;
    input = rest;
    let which = usize::from(which & 1);
    let mut frames = bodies(&WORLD.bundles[which]);
    while let [frame, high, low, go, come, rest @ ..] = input {
        let count = frames.len();
        let frame = usize::from(*frame);
        if frame >= 0xf0 {
            let other = usize::from(*low) % count;
            match frame & 3 {
                0 => frames.swap(other, usize::from(*high) % count),
                1 if count > 1 => drop(frames.remove(other)),
                _ => frames.insert(other, frames[usize::from(*high) % count].clone()),
            }
            input = rest;
            continue;
        }
        let body = &mut frames[frame % count];
        let at = (usize::from(*high) << 8 | usize::from(*low)) % (body.len() + 1);
        let end = (at + usize::from(*go)).min(body.len());
        let (bytes, after) = rest.split_at(usize::from(*come).min(rest.len()));
        body.splice(at..end, bytes.iter().copied());
        input = after;
    }
    Some((which, seal(&frames)))
}

fuzz_target!(|input: &[u8]| {
    let options = ImportOptions::new().with_reference_records().creating_users().with_quotas();
    // As it is, it is hardly ever a bundle.
    assert!(WORLD.target.users().import(&mut &input[..], &options).is_err());
    let Some((which, bundle)) = mutate(input) else { return };
    let import = |store: &Store| match which {
        0 => store.users().import(&mut &bundle[..], &options),
        _ => store.organizations().import(&mut &bundle[..], &options),
    };
    // In a store that is nobody's, since it may be as good as another.
    let scratch = store();
    match import(&scratch) {
        Err(_) => {
            assert_eq!(entries(&scratch), WORLD.before, "something of it was kept");
            assert!(import(&WORLD.target).is_err());
            assert_eq!(entries(&WORLD.target), WORLD.before);
        }
        Ok(imported) => {
            let report = scratch.check().unwrap();
            assert!(report.is_clean(), "{report}");
            let mut again = Vec::new();
            match which {
                0 => scratch.users().export(&UserId::new(&imported.id).unwrap(), &mut again).unwrap(),
                _ => {
                    let id = OrganizationId::new(&imported.id).unwrap();
                    scratch.organizations().export(&id, &mut again).unwrap()
                }
            };
            let next = store();
            match which {
                0 => next.users().import(&mut &again[..], &options).unwrap(),
                _ => next.organizations().import(&mut &again[..], &options).unwrap(),
            };
        }
    }
});
