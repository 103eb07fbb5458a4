//! Bundles that are not what a store wrote: cut off at each byte, and changed in ten thousand ways, also such
//! that the checksums hold. They are refused with nothing changed; or, if the checksums hold, they say
//! something else that is as consistent, and then that is what is there.

use rusqlite::Connection;
use tenantry::{BundleProblem, Error, Fields, Imported, Store};

use super::pack::{Said, open, seal};
use super::world::{Dice, acme, builder, furnish, user};
use super::{COUNTED, all_along, bundle_of_acme, bundle_of_user, dump};

/// Mutants that are tried: `TENANTRY_MUTANTS=100000` for more.
fn mutants() -> usize {
    std::env::var("TENANTRY_MUTANTS").ok().and_then(|number| number.parse().ok()).unwrap_or(10_000)
}

#[derive(Clone, Copy)]
enum Who {
    Ada,
    Acme,
}

impl Who {
    fn import(self, store: &Store, bundle: &[u8]) -> Result<Imported, Error> {
        let mut bundle = bundle;
        match self {
            Who::Ada => store.users().import(&mut bundle, &all_along()),
            Who::Acme => store.organizations().import(&mut bundle, &all_along()),
        }
    }

    fn export(self, store: &Store, imported: &Imported) -> Vec<u8> {
        let mut bundle = Vec::new();
        match self {
            Who::Ada => store.users().export(&user(&imported.id), &mut bundle).unwrap(),
            Who::Acme => {
                let id = tenantry::OrganizationId::new(&imported.id).unwrap();
                store.organizations().export(&id, &mut bundle).unwrap()
            }
        };
        bundle
    }
}

/// What everybody else has, and the bundles of a small user and a small organization.
fn bundles() -> [(Who, Vec<u8>); 2] {
    let here = builder(0).temporary().unwrap();
    furnish(&here, 11, 60);
    let (ada, acme) = (bundle_of_user(&here, "ada"), bundle_of_acme(&here));
    assert!(ada.len() > 5_000 && acme.len() > 10_000, "{} and {}", ada.len(), acme.len());
    [(Who::Ada, ada), (Who::Acme, acme)]
}

/// A store with others in it.
struct Target {
    store: Store,
    /// Tells of each commit to the file.
    witness: Connection,
    version: i64,
}

impl Target {
    fn new(partitions: u32) -> Self {
        let builder = builder(2);
        let builder = if partitions > 0 { builder.partitions(partitions) } else { builder };
        let store = builder.temporary().unwrap();
        store.users().create(&user("somebody")).unwrap();
        let session = store.session(&user("somebody")).unwrap();
        session.dynamic("left one").unwrap().insert(Fields::new()).unwrap();
        let file = if partitions > 0 { store.path().join("catalog.db") } else { store.path().to_owned() };
        let witness = super::engine::look(file);
        let mut target = Self { store, witness, version: 0 };
        target.version = target.version_now();
        target
    }

    /// Another one once somebody else has committed (<https://sqlite.org/pragma.html#pragma_data_version>).
    fn version_now(&self) -> i64 {
        self.witness.query_row("PRAGMA data_version", [], |row| row.get(0)).unwrap()
    }

    fn assert_nothing_committed(&self, what: &str) {
        assert_eq!(self.version_now(), self.version, "{what}: something was committed");
    }
}

#[test]
fn a_bundle_that_is_cut_off_anywhere_is_refused() {
    let target = Target::new(0);
    let before = dump(&target.store, &[]);
    for (who, bundle) in bundles() {
        // Every byte of the smaller one, and of the other every seventh.
        let step = if bundle.len() < 12_000 { 1 } else { 7 };
        for length in (0..bundle.len()).step_by(step) {
            match who.import(&target.store, &bundle[..length]) {
                Err(Error::Bundle { problem: BundleProblem::Truncated }) => {}
                other => panic!("{length} of {} bytes: {other:?}", bundle.len()),
            }
            target.assert_nothing_committed("cut off");
        }
    }
    assert_eq!(dump(&target.store, &[]), before);
}

#[test]
fn a_bundle_that_is_cut_off_leaves_nothing_in_several_files() {
    let target = Target::new(2);
    let without = [&COUNTED[..], &["_tenant"]].concat();
    let before = dump(&target.store, &without);
    for (who, bundle) in bundles() {
        for length in (0..bundle.len()).step_by(bundle.len() / 40) {
            who.import(&target.store, &bundle[..length]).unwrap_err();
        }
    }
    let mut dice = Dice::new(3);
    let mut scratch = Target::new(0);
    for (who, bundle) in bundles() {
        let bodies = open(&bundle);
        for _ in 0..60 {
            let mutant = seal(&mutate_bodies(&bodies, &mut dice));
            if who.import(&scratch.store, &mutant).is_ok() {
                // It says something else, which is as good; another test looks at those.
                scratch = Target::new(0);
            } else {
                who.import(&target.store, &mutant).unwrap_err();
            }
        }
    }
    let mut after = dump(&target.store, &without);
    // A partition that was made for the newcomer may stay, with nobody in it.
    after.retain(|place, _| before.contains_key(place));
    for (place, rows) in &before {
        assert_eq!(&after[place], rows, "{place:?}");
    }
    assert!(target.store.check().unwrap().is_clean());
    assert!(target.store.users().get(&user("ada")).is_err());
}

/// Some bytes become others.
fn mutate_bytes(bytes: &[u8], dice: &mut Dice) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    if bytes.is_empty() {
        return vec![dice.next() as u8];
    }
    let at = dice.below(bytes.len());
    match dice.below(7) {
        0 | 1 => bytes[at] ^= 1 << dice.below(8),
        2 => bytes[at] = dice.next() as u8,
        3 => drop(bytes.remove(at)),
        4 => bytes.insert(at, dice.next() as u8),
        5 => {
            // A piece of it comes again elsewhere.
            let length = dice.below(40).min(bytes.len() - at);
            let piece = bytes[at..at + length].to_vec();
            let to = dice.below(bytes.len());
            bytes.splice(to..to, piece);
        }
        _ => {
            // A length, or a number, becomes huge, or none.
            let width = (1 << dice.below(3)).min(bytes.len() - at);
            let byte = if dice.chance(50) { 0xff } else { 0 };
            bytes[at..at + width].fill(byte);
        }
    }
    bytes
}

/// Frames whose checksums are made to hold afterwards.
fn mutate_bodies(bodies: &[Vec<u8>], dice: &mut Dice) -> Vec<Vec<u8>> {
    let mut bodies = bodies.to_vec();
    let (one, other) = (dice.below(bodies.len()), dice.below(bodies.len()));
    match dice.below(10) {
        0 => bodies.swap(one, other),
        1 => drop(bodies.remove(one)),
        2 => bodies.insert(other, bodies[one].clone()),
        3 => bodies[one] = bodies[other].clone(),
        _ => {
            for _ in 0..=dice.below(2) {
                bodies[one] = mutate_bytes(&bodies[one], dice);
            }
        }
    }
    bodies
}

#[test]
fn mutants_are_refused_with_nothing_changed_or_are_what_they_say() {
    let mut dice = Dice::new(17);
    let bundles = bundles();
    let mut target = Target::new(0);
    let mut before = dump(&target.store, &[]);
    let mut accepted = 0;
    let mut reasons = std::collections::BTreeMap::<String, usize>::new();
    for number in 0..mutants() {
        let (who, bundle) = &bundles[number % 2];
        let is_sealed = dice.chance(60);
        let mutant = if is_sealed {
            seal(&mutate_bodies(&open(bundle), &mut dice))
        } else {
            mutate_bytes(bundle, &mut dice)
        };
        if mutant == *bundle {
            continue;
        }
        match who.import(&target.store, &mutant) {
            Err(error) => {
                *reasons.entry(reason(&error)).or_default() += 1;
                target.assert_nothing_committed(&format!("mutant {number}"));
            }
            Ok(imported) => {
                assert!(is_sealed, "mutant {number} is taken in though a checksum fails");
                let report = target.store.check().unwrap();
                assert!(report.is_clean(), "mutant {number}: {report}");
                let again = Said::of(&who.export(&target.store, &imported)).before_import();
                let wanted = Said::of(&mutant);
                for (again, wanted) in again.tenants.iter().zip(&wanted.tenants) {
                    assert_eq!(again, wanted, "mutant {number}");
                }
                assert_eq!(again, wanted, "mutant {number}");
                accepted += 1;
                target = Target::new(0);
                before = dump(&target.store, &[]);
            }
        }
        if number % 500 == 499 {
            assert_eq!(dump(&target.store, &[]), before, "before mutant {number}");
        }
    }
    assert_eq!(dump(&target.store, &[]), before);
    assert!(target.store.organizations().get(&acme()).is_err());
    println!("{accepted} of {} were taken in as what they say; refused: {reasons:#?}", mutants());
}

/// An error's kind, without what is in it.
fn reason(error: &Error) -> String {
    let text = match error {
        Error::Bundle { problem } => format!("{problem:?}"),
        other => format!("{other:?}"),
    };
    text.split([' ', '{', '(']).next().unwrap_or_default().to_owned()
}
