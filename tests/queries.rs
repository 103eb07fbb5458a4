//! Filters mean what the same predicate means in Rust, with two-valued logic; orders are total;
//! pages together are the list.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod engine;

use std::cmp::Ordering;
use std::collections::BTreeSet;

use proptest::collection::vec;
use proptest::prelude::*;
use tenantry::{
    Cursor, Entity, Error, Filter, Id, Order, OrganizationId, Record, Role, Store, TenantSession, UserId,
    column,
};

#[derive(Debug, Clone, PartialEq, Entity)]
#[entity(index(number, label desc), index(label), index(rank))]
struct Item {
    number: i64,
    rank: Option<i64>,
    label: Option<String>,
    name: String,
    weight: Option<f64>,
}

#[derive(Debug, Clone, PartialEq, Entity)]
struct Other {
    number: i64,
}

#[derive(Debug, Clone, PartialEq, Entity)]
#[entity(tenancy = organization)]
struct Shared {
    number: i64,
}

fn store() -> Store {
    engine::builder().entity::<Item>().entity::<Other>().entity::<Shared>().temporary().unwrap()
}

fn user(store: &Store, id: &str) -> TenantSession {
    store.session(&store.users().create(&UserId::new(id).unwrap()).unwrap()).unwrap()
}

/// Few characters, so that texts meet: wildcards of SQL, both cases, four bytes, the last of all.
fn text() -> impl Strategy<Value = String> {
    vec(
        prop::sample::select(vec![
            'a',
            'A',
            'b',
            '%',
            '_',
            '\\',
            '\'',
            'é',
            'É',
            '🦀',
            '\u{d7ff}',
            '\u{10ffff}',
        ]),
        0..4,
    )
    .prop_map(|characters| characters.into_iter().collect())
}

fn item() -> impl Strategy<Value = Item> {
    let weight = prop::sample::select(vec![-1.5, 0.0, 0.5, f64::INFINITY]);
    (-2_i64..3, prop::option::of(-2_i64..3), prop::option::of(text()), text(), prop::option::of(weight))
        .prop_map(|(number, rank, label, name, weight)| Item { number, rank, label, name, weight })
}

/// A condition, spelled for the library and for Rust.
#[derive(Debug, Clone)]
enum Condition {
    Number(usize, i64),
    Rank(usize, i64),
    Label(usize, String),
    Weight(usize, f64),
    RankBetween(i64, i64),
    RankIn(BTreeSet<i64>),
    LabelIn(Vec<String>),
    LabelNone,
    Contains(String),
    ContainsAnyCase(String),
    Starts(String),
    NameStarts(String),
    NameContains(String),
    Not(Box<Condition>),
    And(Box<Condition>, Box<Condition>),
    Or(Box<Condition>, Box<Condition>),
}

/// The comparisons in the order of `Condition`'s first field.
macro_rules! filter_of {
    ($column:expr, $which:expr, $value:expr) => {
        match $which {
            0 => $column.eq($value),
            1 => $column.ne($value),
            2 => $column.lt($value),
            3 => $column.le($value),
            4 => $column.gt($value),
            _ => $column.ge($value),
        }
    };
}

/// A comparison with no value is false, and `ne` is the opposite of `eq`.
fn holds<T: PartialOrd>(which: usize, value: Option<T>, other: &T) -> bool {
    let Some(value) = value else { return which == 1 };
    match which {
        0 => value == *other,
        1 => value != *other,
        2 => value < *other,
        3 => value <= *other,
        4 => value > *other,
        _ => value >= *other,
    }
}

impl Condition {
    fn filter(&self) -> Filter<Item> {
        match self {
            Condition::Number(which, value) => filter_of!(Item::NUMBER, which, *value),
            Condition::Rank(which, value) => filter_of!(Item::RANK, which, *value),
            Condition::Label(which, value) => filter_of!(Item::LABEL, which, value.clone()),
            Condition::Weight(which, value) => filter_of!(Item::WEIGHT, which, *value),
            Condition::RankBetween(low, high) => Item::RANK.between(*low, *high),
            Condition::RankIn(values) => Item::RANK.is_in(values.iter().copied()),
            Condition::LabelIn(values) => Item::LABEL.is_in(values.iter().cloned()),
            Condition::LabelNone => Item::LABEL.is_none(),
            Condition::Contains(text) => Item::LABEL.contains(text),
            Condition::ContainsAnyCase(text) => Item::LABEL.contains_ignore_ascii_case(text),
            Condition::Starts(text) => Item::LABEL.starts_with(text),
            Condition::NameStarts(text) => Item::NAME.starts_with(text),
            Condition::NameContains(text) => Item::NAME.contains(text),
            Condition::Not(condition) => !condition.filter(),
            Condition::And(one, other) => one.filter().and(other.filter()),
            Condition::Or(one, other) => one.filter().or(other.filter()),
        }
    }

    fn holds(&self, item: &Item) -> bool {
        let label = item.label.as_deref();
        match self {
            Condition::Number(which, value) => holds(*which, Some(item.number), value),
            Condition::Rank(which, value) => holds(*which, item.rank, value),
            Condition::Label(which, value) => holds(*which, label, &value.as_str()),
            Condition::Weight(which, value) => holds(*which, item.weight, value),
            Condition::RankBetween(low, high) => item.rank.is_some_and(|rank| *low <= rank && rank <= *high),
            Condition::RankIn(values) => item.rank.is_some_and(|rank| values.contains(&rank)),
            Condition::LabelIn(values) => {
                label.is_some_and(|label| values.iter().any(|value| value == label))
            }
            Condition::LabelNone => label.is_none(),
            Condition::Contains(text) => label.is_some_and(|label| label.contains(text)),
            Condition::ContainsAnyCase(text) => {
                label.is_some_and(|label| label.to_ascii_lowercase().contains(&text.to_ascii_lowercase()))
            }
            Condition::Starts(text) => label.is_some_and(|label| label.starts_with(text)),
            Condition::NameStarts(text) => item.name.starts_with(text),
            Condition::NameContains(text) => item.name.contains(text),
            Condition::Not(condition) => !condition.holds(item),
            Condition::And(one, other) => one.holds(item) && other.holds(item),
            Condition::Or(one, other) => one.holds(item) || other.holds(item),
        }
    }
}

fn condition() -> impl Strategy<Value = Condition> {
    let number = -2_i64..3;
    let leaf = prop_oneof![
        (0_usize..6, number.clone()).prop_map(|(which, value)| Condition::Number(which, value)),
        (0_usize..6, number.clone()).prop_map(|(which, value)| Condition::Rank(which, value)),
        (0_usize..6, text()).prop_map(|(which, value)| Condition::Label(which, value)),
        (0_usize..6, prop::sample::select(vec![-1.5, -0.0, 0.5]))
            .prop_map(|(which, value)| Condition::Weight(which, value)),
        (number.clone(), number.clone()).prop_map(|(low, high)| Condition::RankBetween(low, high)),
        prop::collection::btree_set(number, 0..3).prop_map(Condition::RankIn),
        vec(text(), 0..3).prop_map(Condition::LabelIn),
        Just(Condition::LabelNone),
        text().prop_map(Condition::Contains),
        text().prop_map(Condition::ContainsAnyCase),
        text().prop_map(Condition::Starts),
        text().prop_map(Condition::NameStarts),
        text().prop_map(Condition::NameContains),
    ];
    leaf.prop_recursive(4, 12, 2, |inner| {
        prop_oneof![
            inner.clone().prop_map(|condition| Condition::Not(Box::new(condition))),
            (inner.clone(), inner.clone())
                .prop_map(|(one, other)| Condition::And(Box::new(one), Box::new(other))),
            (inner.clone(), inner).prop_map(|(one, other)| Condition::Or(Box::new(one), Box::new(other))),
        ]
    })
}

/// Sort columns by number, each descending or not; `None` comes before every value.
fn order_of(columns: &[(usize, bool)]) -> Option<Order<Item>> {
    macro_rules! directed {
        ($column:expr, $descending:expr) => {
            if $descending { $column.desc() } else { $column.asc() }
        };
    }
    let orders = columns.iter().map(|(column, descending)| match column {
        0 => directed!(Item::NUMBER, *descending),
        1 => directed!(Item::RANK, *descending),
        2 => directed!(Item::LABEL, *descending),
        3 => directed!(Item::NAME, *descending),
        4 => directed!(Item::WEIGHT, *descending),
        5 => directed!(Record::<Item>::VERSION, *descending),
        _ => directed!(Record::<Item>::CREATED, *descending),
    });
    orders.reduce(Order::then)
}

fn compare(columns: &[(usize, bool)], a: &Record<Item>, b: &Record<Item>) -> Ordering {
    for (column, descending) in columns {
        let ordering = match column {
            0 => a.number.cmp(&b.number),
            1 => a.rank.cmp(&b.rank),
            2 => a.label.cmp(&b.label),
            3 => a.name.cmp(&b.name),
            4 => a.weight.partial_cmp(&b.weight).unwrap(),
            5 => a.version.cmp(&b.version),
            _ => a.id.cmp(&b.id),
        };
        match ordering {
            Ordering::Equal => {}
            ordering if *descending => return ordering.reverse(),
            ordering => return ordering,
        }
    }
    // Ties come as they were inserted, or the other way if the last column is descending.
    let inserted = a.id.cmp(&b.id);
    if columns.last().is_some_and(|(_, descending)| *descending) { inserted.reverse() } else { inserted }
}

fn ids(records: &[Record<Item>]) -> Vec<Id<Item>> {
    records.iter().map(|record| record.id).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn filters_agree_with_rust(items in vec(item(), 0..25), conditions in vec(condition(), 30)) {
        let store = store();
        let (ada, grace) = (user(&store, "ada"), user(&store, "grace"));
        ada.insert_many(&items).unwrap();
        grace.insert_many(&items).unwrap();
        let all = ada.list::<Item>().unwrap();
        for condition in conditions {
            let query = ada.query::<Item>().filter(condition.filter());
            let expected: Vec<_> = all.iter().filter(|record| condition.holds(record)).cloned().collect();
            prop_assert_eq!(query.list().unwrap(), expected.clone(), "{:?}", condition);
            prop_assert_eq!(query.count().unwrap(), expected.len() as u64);
            prop_assert_eq!(query.exists().unwrap(), !expected.is_empty());
            prop_assert_eq!(query.sum(Item::NUMBER).unwrap(), expected.iter().map(|r| r.number).sum::<i64>());
            prop_assert_eq!(query.max(Item::RANK).unwrap(), expected.iter().filter_map(|r| r.rank).max());
            prop_assert_eq!(query.min(Item::NAME).unwrap(), expected.iter().map(|r| r.name.clone()).min());
        }
    }

    #[test]
    fn pages_together_are_the_list(
        items in vec(item(), 0..40),
        columns in vec((0_usize..7, any::<bool>()), 0..4),
        condition in prop::option::of(condition()),
        size in 1_u32..9,
        late in vec(item(), 8),
    ) {
        let store = store();
        let (ada, grace) = (user(&store, "ada"), user(&store, "grace"));
        let old: BTreeSet<Id<Item>> = ada.insert_many(&items).unwrap().into_iter().collect();
        grace.insert_many(&items).unwrap();
        let mut query = ada.query::<Item>();
        if let Some(order) = order_of(&columns) {
            query = query.order_by(order);
        }
        if let Some(condition) = &condition {
            query = query.filter(condition.filter());
        }
        let list = query.list().unwrap();
        let mut expected: Vec<_> = ada.list::<Item>().unwrap();
        expected.retain(|record| condition.as_ref().is_none_or(|condition| condition.holds(record)));
        expected.sort_by(|a, b| compare(&columns, a, b));
        prop_assert_eq!(ids(&list), ids(&expected));
        let pages = |mut between: Box<dyn FnMut() + '_>| {
            let (mut all, mut next) = (Vec::new(), None::<Cursor>);
            loop {
                let page = match &next {
                    Some(cursor) => query.clone().after(cursor).page(size).unwrap(),
                    None => query.page(size).unwrap(),
                };
                assert!(page.records.len() <= size as usize);
                all.extend(page.records);
                // Kept as text between two calls.
                next = page.next.map(|cursor| cursor.to_string().parse().unwrap());
                if next.is_none() {
                    return all;
                }
                between();
            }
        };
        prop_assert_eq!(&pages(Box::new(|| {})), &list);
        prop_assert_eq!(&query.iter().unwrap().map(Result::unwrap).collect::<Vec<_>>(), &list);
        let mut late = late.iter();
        let seen = pages(Box::new(|| {
            if let Some(item) = late.next() {
                ada.insert(item).unwrap();
                grace.insert(item).unwrap();
            }
        }));
        let distinct: BTreeSet<_> = seen.iter().map(|record| record.id).collect();
        prop_assert_eq!(distinct.len(), seen.len(), "no record twice");
        let seen: Vec<_> = seen.into_iter().filter(|record| old.contains(&record.id)).collect();
        prop_assert_eq!(ids(&seen), ids(&list), "no old record left out");
    }

    #[test]
    fn text_that_is_no_cursor_is_refused(garbage in "[0-9a-f]{0,80}|.{0,40}") {
        let store = store();
        let ada = user(&store, "ada");
        ada.insert_many(&[Other { number: 1 }, Other { number: 2 }]).unwrap();
        if let Ok(cursor) = garbage.parse::<Cursor>() {
            let refused = ada.query::<Other>().after(&cursor).list();
            prop_assert!(matches!(refused, Err(Error::InvalidInput { .. })), "{:?}", refused);
        }
    }
}

#[test]
fn a_cursor_of_another_tenant_entity_or_order_is_refused() {
    let store = store();
    let (ada, grace) = (user(&store, "ada"), user(&store, "grace"));
    for session in [&ada, &grace] {
        session.insert_many(&[Other { number: 1 }, Other { number: 2 }]).unwrap();
        session
            .insert_many(&[1, 2].map(|number| Item {
                number,
                rank: None,
                label: None,
                name: String::new(),
                weight: None,
            }))
            .unwrap();
    }
    let inside: Vec<_> = ["acme", "other"]
        .map(|id| {
            let organization = store.organizations().create(&OrganizationId::new(id).unwrap()).unwrap();
            store.organizations().add_member(&organization, ada.user(), Role::Member).unwrap();
            let session = ada.in_organization(&organization).unwrap();
            session.insert_many(&[Shared { number: 1 }, Shared { number: 2 }]).unwrap();
            session
        })
        .into();
    let cursor = ada.query::<Other>().page(1).unwrap().next.unwrap();
    let sorted = ada.query::<Other>().order_by(Other::NUMBER.asc()).page(1).unwrap().next.unwrap();
    let shared = inside[0].query::<Shared>().page(1).unwrap().next.unwrap();
    let refused = [
        grace.query::<Other>().after(&cursor).list().err(),
        grace.query::<Other>().after(&cursor).page(5).err(),
        grace.query::<Other>().after(&cursor).iter().err(),
        ada.query::<Item>().after(&cursor).list().err(),
        ada.query::<Other>().after(&sorted).list().err(),
        ada.query::<Other>().order_by(Other::NUMBER.asc()).after(&cursor).list().err(),
        ada.query::<Other>().order_by(Other::NUMBER.desc()).after(&sorted).list().err(),
        inside[1].query::<Shared>().after(&shared).list().err(),
        inside[0].query::<Shared>().after(&cursor).list().err(),
        ada.query::<Other>().after(&cursor).delete().err(),
    ];
    for (number, error) in refused.into_iter().enumerate() {
        assert!(matches!(error, Some(Error::InvalidInput { .. })), "{number}: {error:?}");
    }
    assert_eq!(ada.query::<Other>().after(&cursor).list().unwrap().len(), 1);
    let by_name = ada.dynamic("other").unwrap().query().after(&cursor).list().unwrap();
    assert_eq!(by_name.len(), 1, "the same entity by name");
    // A cursor with the right binding and another's bytes behind it.
    let mut forged = cursor.to_string();
    forged.push_str("c0");
    let forged: Cursor = forged.parse().unwrap();
    assert!(matches!(ada.query::<Other>().after(&forged).list(), Err(Error::InvalidInput { .. })));
    let short: Cursor = cursor.to_string()[..16].parse().unwrap();
    assert!(matches!(ada.query::<Other>().after(&short).list(), Err(Error::InvalidInput { .. })));
}

#[test]
fn dynamic_filters_of_the_wrong_kind_are_refused() {
    let store = store();
    let ada = user(&store, "ada");
    let items = ada.dynamic("item").unwrap();
    let wrong = [
        column("number").eq("text"),
        column("number").eq(1.0),
        column("label").lt(1_i64),
        column("number").contains("1"),
        column("missing").is_none(),
        column("rank").eq(None::<i64>),
        column("weight").eq(f64::NAN),
        column("number").is_in(["1"]),
        column("number").between(1_i64, "2"),
    ];
    for (number, filter) in wrong.into_iter().enumerate() {
        for filter in [filter.clone(), !filter] {
            let refused = items.query().filter(filter).list();
            assert!(matches!(refused, Err(Error::InvalidInput { .. })), "{number}: {refused:?}");
        }
    }
}
