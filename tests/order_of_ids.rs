//! Lists by id walk the tenant's own range of the primary key while its rows lie in the order of
//! their ids. Rows with ids of another time lie elsewhere: the answers must not change with that,
//! whatever the order of insertion, within transactions and beside them.

#![allow(clippy::unwrap_used, missing_docs)]

mod engine;

use proptest::collection::vec;
use proptest::prelude::*;
use tenantry::{Entity, Id, Record, Timestamp, UserId};
use uuid::Uuid;

#[derive(Debug, Clone, PartialEq, Entity)]
struct Note {
    text: String,
    number: i64,
}

fn note(number: i64) -> Note {
    Note { text: "note".to_owned(), number }
}

/// How a row comes in.
#[derive(Debug, Clone)]
enum Step {
    Insert,
    /// With a time of so many seconds after 2000.
    InsertAt(i64),
    /// In a transaction that looks at what it has done.
    InTransaction(i64),
    /// The same, rolled back.
    RolledBack(i64),
    Upsert(i64),
    /// Of the row in this place.
    Delete(usize),
}

fn step() -> impl Strategy<Value = Step> {
    // Twice as far as now, so that some times are yet to come.
    let seconds = 0..1_600_000_000_i64;
    prop_oneof![
        4 => Just(Step::Insert),
        1 => seconds.clone().prop_map(Step::InsertAt),
        1 => seconds.clone().prop_map(Step::InTransaction),
        1 => seconds.clone().prop_map(Step::RolledBack),
        1 => seconds.prop_map(Step::Upsert),
        2 => (0..20_usize).prop_map(Step::Delete),
    ]
}

fn time(seconds: i64) -> Timestamp {
    Timestamp::from_second(946_684_800 + seconds).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn lists_are_in_the_order_of_the_ids(steps in vec(step(), 0..25), size in 1_u32..6) {
        let store = engine::builder().entity::<Note>().temporary().unwrap();
        let session = store.session(&store.users().create(&UserId::new("ada").unwrap()).unwrap()).unwrap();
        let mut ids: Vec<Id<Note>> = Vec::new();
        for (number, step) in (0..).zip(steps) {
            match step {
                Step::Insert => ids.push(session.insert(&note(number)).unwrap()),
                Step::InsertAt(seconds) => ids.push(session.insert_at(&note(number), time(seconds)).unwrap()),
                Step::InTransaction(seconds) | Step::RolledBack(seconds) => {
                    let mut inside = ids.clone();
                    let outcome = session.transaction(|tx| {
                        inside.push(tx.insert_at(&note(number), time(seconds))?);
                        inside.sort_unstable();
                        let listed: Vec<_> = tx.list::<Note>()?.iter().map(|note| note.id).collect();
                        assert_eq!(listed, inside);
                        match step {
                            Step::RolledBack(_) => Err(tenantry::Error::aborted(std::fmt::Error)),
                            _ => Ok(()),
                        }
                    });
                    if outcome.is_ok() {
                        ids = inside;
                    }
                }
                Step::Upsert(seconds) => {
                    let bits = u128::from(time(seconds).as_millisecond().unsigned_abs()) << 80;
                    let id = Uuid::from_u128(bits | 7 << 76 | 2 << 62 | u128::from(number.unsigned_abs()));
                    ids.push(session.upsert(Id::from_uuid(id), &note(number)).unwrap().id());
                }
                Step::Delete(place) => {
                    if !ids.is_empty() {
                        session.delete(ids.swap_remove(place % ids.len())).unwrap();
                    }
                }
            }
            ids.sort_unstable();
            let backwards: Vec<_> = ids.iter().rev().copied().collect();
            let of = |records: &[Record<Note>]| records.iter().map(|record| record.id).collect::<Vec<_>>();
            prop_assert_eq!(&of(&session.list::<Note>().unwrap()), &ids);
            let newest = || session.query::<Note>().order_by(Record::<Note>::CREATED.desc());
            prop_assert_eq!(&of(&newest().limit(7).list().unwrap()), &backwards[..backwards.len().min(7)]);
            let filtered = newest().filter(Note::TEXT.eq("note".to_owned()));
            prop_assert_eq!(&of(&filtered.list().unwrap()), &backwards);
            prop_assert!(newest().filter(Note::NUMBER.lt(0)).list().unwrap().is_empty());
            let iterated: tenantry::Result<Vec<_>> = session.query::<Note>().iter().unwrap().collect();
            prop_assert_eq!(&of(&iterated.unwrap()), &ids);
            let mut paged = Vec::new();
            let mut page = newest().page(size).unwrap();
            loop {
                paged.extend(of(&page.records));
                let Some(next) = page.next else { break };
                page = newest().after(&next).page(size).unwrap();
            }
            prop_assert_eq!(&paged, &backwards);
        }
        let report = store.check().unwrap();
        prop_assert!(report.is_clean(), "{}", report);
    }
}
