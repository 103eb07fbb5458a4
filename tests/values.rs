//! What is accepted comes back equal, through typed and dynamic verbs, and in the log; what can't
//! be kept exactly is refused.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod engine;

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use tenantry::{
    Choice, ColumnKind, Entity, Error, Fields, Id, Nested, Store, TenantSession, Timestamp, UserId, Uuid,
    Value,
};

#[derive(Debug, Clone, Copy, PartialEq, Choice)]
enum Level {
    Low,
    VeryHigh,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Shape {
    Point,
    Circle(f64),
    Named { name: String, corners: Vec<(i32, i32)> },
}

#[derive(Debug, Clone, PartialEq, Entity)]
struct Everything {
    a: i8,
    b: i16,
    c: i32,
    d: i64,
    e: u8,
    f: u16,
    g: u32,
    h: u64,
    i: f32,
    j: f64,
    k: bool,
    l: String,
    m: Vec<u8>,
    n: Uuid,
    o: Timestamp,
    p: Level,
    q: Option<i64>,
    r: Option<String>,
    s: Option<Vec<u8>>,
    t: Option<Timestamp>,
    u: Option<f64>,
    v: Vec<String>,
    w: BTreeMap<String, Vec<Option<i64>>>,
    #[entity(nested)]
    x: Shape,
    #[entity(nested)]
    y: Option<Shape>,
    z: Option<Id<Everything>>,
}

fn session() -> (Store, TenantSession) {
    let store = engine::builder().entity::<Everything>().temporary().unwrap();
    let user = store.users().create(&UserId::new("ada").unwrap()).unwrap();
    let session = store.session(&user).unwrap();
    (store, session)
}

fn plain() -> Everything {
    Everything {
        a: 0,
        b: 0,
        c: 0,
        d: 0,
        e: 0,
        f: 0,
        g: 0,
        h: 0,
        i: 0.0,
        j: 0.0,
        k: false,
        l: String::new(),
        m: Vec::new(),
        n: Uuid::nil(),
        o: Timestamp::UNIX_EPOCH,
        p: Level::Low,
        q: None,
        r: None,
        s: None,
        t: None,
        u: None,
        v: Vec::new(),
        w: BTreeMap::new(),
        x: Shape::Point,
        y: None,
        z: None,
    }
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::new()),
        vec(any::<char>().prop_filter("U+0000 is refused", |c| *c != '\0'), 0..20)
            .prop_map(|characters| characters.into_iter().collect()),
        "[🦀-🦿𐍈\u{10ffff}é' \"\\\\%_]{0,12}",
    ]
}

fn real() -> impl Strategy<Value = f64> {
    prop_oneof![
        any::<f64>().prop_filter("NaN is refused", |real| !real.is_nan()),
        prop::sample::select(vec![
            0.0,
            -0.0,
            f64::INFINITY,
            f64::NEG_INFINITY,
            f64::MAX,
            f64::MIN_POSITIVE,
            5e-324,
            1.0,
            9_007_199_254_740_993.0
        ]),
    ]
}

fn at(microseconds: i64) -> Timestamp {
    // `Timestamp::from_microsecond` does not reach `Timestamp::MAX`.
    let nanoseconds = i32::try_from(microseconds.rem_euclid(1_000_000) * 1_000).unwrap();
    Timestamp::new(microseconds.div_euclid(1_000_000), nanoseconds).unwrap()
}

/// Whole microseconds, up to both ends of what jiff holds.
fn time() -> impl Strategy<Value = Timestamp> {
    let (min, max) = (Timestamp::MIN.as_microsecond(), Timestamp::MAX.as_microsecond());
    prop_oneof![min..=max, Just(min), Just(max), -3_i64..3].prop_map(at)
}

fn shape() -> impl Strategy<Value = Shape> {
    prop_oneof![
        Just(Shape::Point),
        real().prop_map(Shape::Circle),
        (".{0,9}", vec(any::<(i32, i32)>(), 0..4)).prop_map(|(name, corners)| Shape::Named { name, corners }),
    ]
}

fn integer() -> impl Strategy<Value = i64> {
    prop_oneof![any::<i64>(), Just(i64::MIN), Just(i64::MAX), -2_i64..3]
}

fn everything() -> impl Strategy<Value = Everything> {
    let integers = (any::<(i8, i16, i32, u8, u16, u32)>(), integer(), 0..=i64::MAX.cast_unsigned());
    let scalars = (
        any::<f32>().prop_filter("NaN is refused", |real| !real.is_nan()),
        real(),
        any::<bool>(),
        text(),
        vec(any::<u8>(), 0..40),
        any::<[u8; 16]>(),
        time(),
        any::<bool>(),
    );
    let options = (
        prop::option::of(integer()),
        prop::option::of(text()),
        prop::option::of(vec(any::<u8>(), 0..9)),
        prop::option::of(time()),
        prop::option::of(real()),
    );
    let nested = (
        vec(".{0,9}", 0..5),
        prop::collection::btree_map(".{0,5}", vec(any::<Option<i64>>(), 0..3), 0..4),
        shape(),
        prop::option::of(shape()),
    );
    (integers, scalars, options, nested).prop_map(|(integers, scalars, options, nested)| {
        let ((a, b, c, e, f, g), d, h) = integers;
        let (i, j, k, l, m, n, o, low) = scalars;
        let (n, p) = (Uuid::from_bytes(n), if low { Level::Low } else { Level::VeryHigh });
        let (q, r, s, t, u) = options;
        let (v, w, x, y) = nested;
        Everything { a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t, u, v, w, x, y, z: None }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_read(mut values in vec(everything(), 1..12), change in everything()) {
        let (store, session) = session();
        let first = session.insert(&values[0]).unwrap();
        for value in &mut values[1..] {
            value.z = Some(first);
        }
        let mut ids = vec![first];
        ids.extend(session.insert_many(&values[1..]).unwrap());
        let dynamic = session.dynamic("everything").unwrap();
        for (id, value) in ids.iter().zip(&values) {
            prop_assert_eq!(&session.get(*id).unwrap().value, value);
            // The same through dynamic values, and back into a record of its own.
            let fields = dynamic.get(Id::from_uuid(id.uuid())).unwrap().value;
            let copy = dynamic.insert(fields.clone()).unwrap();
            prop_assert_eq!(&dynamic.get(copy).unwrap().value, &fields);
            prop_assert_eq!(&session.get(Id::<Everything>::from_uuid(copy.uuid())).unwrap().value, value);
            // And in the log.
            let entry = session.audit().of(*id).list().unwrap().remove(0);
            for logged in entry.changes.unwrap() {
                prop_assert_eq!(Some(&logged.after), fields.get(&logged.column));
            }
        }
        session.update(first, &change).unwrap();
        prop_assert_eq!(&session.get(first).unwrap().value, &change);
        prop_assert!(store.check().unwrap().is_clean());
    }
}

/// SQLite keeps no sign of zero, so the store gives it up before it compares and logs.
#[test]
fn negative_zero_is_stored_as_zero() {
    let (store, session) = session();
    let id = session.insert(&Everything { i: -0.0, j: -0.0, u: Some(-0.0), ..plain() }).unwrap();
    let value = session.get(id).unwrap().value;
    assert!(value.i.is_sign_positive() && value.j.is_sign_positive() && value.u.unwrap().is_sign_positive());
    assert_eq!(session.query::<Everything>().filter(Everything::J.eq(-0.0)).count().unwrap(), 1);
    assert!(store.check().unwrap().is_clean());
}

#[test]
fn times_are_cut_to_the_microsecond() {
    let (_store, session) = session();
    let near = [1_999_i128, 999, 1_000, -1, -1_999].map(|near| Timestamp::from_nanosecond(near).unwrap());
    for given in near.into_iter().chain([Timestamp::MIN, Timestamp::MAX]) {
        let kept = at(given.as_microsecond());
        let id = session.insert(&Everything { o: given, t: Some(given), ..plain() }).unwrap();
        let value = session.get(id).unwrap().value;
        assert_eq!((value.o, value.t), (kept, Some(kept)));
        let query = session.query::<Everything>().filter(Everything::O.eq(given));
        assert!(query.list().unwrap().iter().any(|record| record.id == id), "and so are times in filters");
    }
}

#[test]
fn what_can_not_be_kept_is_refused() {
    let (_store, session) = session();
    let cases = [
        ("j", Everything { j: f64::NAN, ..plain() }),
        ("i", Everything { i: f32::NAN, ..plain() }),
        ("u", Everything { u: Some(f64::NAN), ..plain() }),
        ("l", Everything { l: "a\0b".into(), ..plain() }),
        ("r", Everything { r: Some("\0".into()), ..plain() }),
        ("h", Everything { h: i64::MAX.cast_unsigned() + 1, ..plain() }),
        ("h", Everything { h: u64::MAX, ..plain() }),
    ];
    for (column, value) in cases {
        let refused = session.insert(&value);
        assert!(
            matches!(&refused, Err(Error::InvalidInput { field, .. }) if field == column),
            "{column}: {refused:?}"
        );
    }
    let bytes = session.insert(&Everything { m: vec![0], v: vec!["\0".into()], ..plain() }).unwrap();
    assert_eq!(session.get(bytes).unwrap().v, ["\0"], "bytes and nested values may hold U+0000");
    assert_eq!(session.count::<Everything>().unwrap(), 1);
}

/// Every kind of value in every kind of column: only the one that fits is accepted.
#[test]
fn dynamic_values_must_be_of_the_columns_kind() {
    let (_store, session) = session();
    let id = Id::<Fields>::from_uuid(session.insert(&plain()).unwrap().uuid());
    let everything = session.dynamic("everything").unwrap();
    let values = [
        Value::Boolean(true),
        Value::Integer(1),
        Value::Real(1.0),
        Value::from("low"),
        Value::from("neither"),
        Value::Bytes(vec![1]),
        Value::Uuid(id.uuid()),
        Value::Time(Timestamp::UNIX_EPOCH),
        Value::Nested(Nested::new(&1).unwrap()),
        Value::None,
    ];
    for column in everything.definition().columns() {
        for value in &values {
            let fits = match (column.kind(), value) {
                (_, Value::None) => column.is_optional(),
                (ColumnKind::Choice(choices), Value::Text(text)) => choices.contains(text),
                (ColumnKind::Boolean, Value::Boolean(_))
                | (ColumnKind::Integer, Value::Integer(_))
                | (ColumnKind::Real, Value::Real(_))
                | (ColumnKind::Text, Value::Text(_))
                | (ColumnKind::Bytes, Value::Bytes(_))
                | (ColumnKind::Uuid | ColumnKind::Reference { .. }, Value::Uuid(_))
                | (ColumnKind::Time, Value::Time(_))
                | (ColumnKind::Nested, Value::Nested(_)) => true,
                _ => false,
            };
            let outcome = everything.patch(id, Fields::new().with(column.name(), value.clone()));
            if fits {
                outcome.unwrap();
                assert_eq!(everything.get(id).unwrap().get(column.name()), Some(value));
            } else {
                let refused =
                    matches!(&outcome, Err(Error::InvalidInput { field, .. }) if field == column.name());
                assert!(refused, "{value:?} in {}: {outcome:?}", column.name());
            }
        }
    }
}
