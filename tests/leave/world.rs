//! Random tenants: every kind of column, references of every kind, circles, secrets, several members,
//! rows out of the order of their ids, quotas, refusals.

use tenantry::{
    Builder, ColumnDefinition, ColumnKind, Definition, Error, Fields, Id, IndexDefinition, LogRetention,
    Nested, OnDelete, OrganizationId, Quota, Role, Session, Store, Tenancy, Timestamp, UserId, Uuid, Value,
    tenancy,
};

/// In each secret value.
pub(crate) const SECRET: &str = "s3cret-canary";

fn column(name: &str, kind: ColumnKind) -> ColumnDefinition {
    ColumnDefinition::new(name, kind)
}

fn reference(entity: &str, on_delete: OnDelete) -> ColumnKind {
    ColumnKind::Reference { entity: entity.to_owned(), on_delete }
}

/// The columns of every kind.
fn all_kinds(definition: Definition) -> Definition {
    definition
        .column(column("flag", ColumnKind::Boolean))
        .column(column("number", ColumnKind::Integer).optional())
        .column(column("real", ColumnKind::Real).optional())
        .column(column("text", ColumnKind::Text))
        .column(column("blob", ColumnKind::Bytes).optional())
        .column(column("uuid", ColumnKind::Uuid).optional())
        .column(column("time", ColumnKind::Time).optional())
        .column(column("choice", ColumnKind::Choice(vec!["red".into(), "green".into()])).optional())
        .column(column("nested", ColumnKind::Nested).optional())
        .column(column("secret", ColumnKind::Text).optional().secret())
        .unique(["text"])
        .index(IndexDefinition::new(["choice"]).desc("number"))
}

pub(crate) fn definitions() -> Vec<Definition> {
    let restrict = OnDelete::Restrict;
    vec![
        Definition::new("planet", Tenancy::Reference)
            .column(column("name", ColumnKind::Text))
            .unique(["name"]),
        Definition::new("country", Tenancy::Reference)
            .column(column("code", ColumnKind::Text))
            .column(column("planet", reference("planet", restrict)).optional())
            .column(column("neighbour", reference("country", restrict)).optional())
            .unique(["code"]),
        Definition::new("unrelated", Tenancy::Reference).column(column("name", ColumnKind::Text)),
        all_kinds(Definition::new("task", Tenancy::User))
            .column(column("parent", reference("task", OnDelete::Cascade)).optional())
            .column(column("country", reference("country", restrict)).optional()),
        Definition::new("left one", Tenancy::User)
            .column(column("to", reference("Right; DROP", OnDelete::SetNull)).optional()),
        Definition::new("Right; DROP", Tenancy::User)
            .column(column("select", reference("left one", OnDelete::SetNull)).optional())
            .column(column("id", ColumnKind::Integer)),
        all_kinds(Definition::new("ticket", Tenancy::Organization))
            .author()
            .column(column("assignee", ColumnKind::Member).optional())
            .column(column("country", reference("country", restrict)).optional()),
        all_kinds(Definition::new("note", Tenancy::Member))
            .column(column("ticket", reference("ticket", restrict)).optional())
            .column(column("parent", reference("note", OnDelete::SetNull)).optional())
            .column(column("country", reference("country", restrict)).optional()),
    ]
}

/// A store's settings, with the entities in another order each time: it means nothing to bundles.
pub(crate) fn builder(order: usize) -> Builder {
    let mut definitions = definitions();
    let length = definitions.len();
    definitions.rotate_left(order % length);
    definitions.into_iter().fold(super::engine::builder(), Builder::definition)
}

/// Numbers that look random, the same for a seed.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed ^ 0x9e37_79b9_7f4a_7c15)
    }

    pub(crate) fn next(&mut self) -> u64 {
        // xorshift64*, https://doi.org/10.18637/jss.v008.i14
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() >> 33) as usize % bound.max(1)
    }

    pub(crate) fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    pub(crate) fn pick<'a, T>(&mut self, of: &'a [T]) -> Option<&'a T> {
        if of.is_empty() { None } else { of.get(self.below(of.len())) }
    }
}

fn optional<T: Into<Value>>(dice: &mut Dice, value: impl FnOnce(&mut Dice) -> T) -> Value {
    if dice.chance(30) { Value::None } else { value(dice).into() }
}

fn text(dice: &mut Dice) -> String {
    let pieces = ["tea", "ä", "\u{1f33f}", "'", "\"", "%_", "\n", "--", " ", "\u{202e}"];
    let length = if dice.chance(3) { 4_000 } else { dice.below(6) };
    let words: String = (0..length).filter_map(|_| dice.pick(&pieces).copied()).collect();
    format!("{words}{:x}", dice.next())
}

pub(crate) fn fields(dice: &mut Dice) -> Fields {
    let reals = [0.0, -0.0, 1.5, f64::MAX, f64::MIN_POSITIVE, f64::INFINITY, f64::NEG_INFINITY, 0.1];
    let integers = [0, 1, -1, i64::MAX, i64::MIN, 127, 128, 255, 256, 65_535, 65_536, 1 << 53];
    let times = [0, -1, 1_700_000_000_123_456, -62_135_596_800_000_000];
    let flag = dice.chance(50);
    Fields::new()
        .with("flag", flag)
        .with("number", optional(dice, |d| *d.pick(&integers).unwrap()))
        .with("real", optional(dice, |d| *d.pick(&reals).unwrap()))
        .with("text", text(dice))
        .with("blob", optional(dice, |d| (0..d.below(40)).map(|_| d.next() as u8).collect::<Vec<_>>()))
        .with("uuid", optional(dice, |d| Uuid::from_u128(u128::from(d.next()) << 64 | u128::from(d.next()))))
        .with("time", optional(dice, |d| Timestamp::from_microsecond(*d.pick(&times).unwrap()).unwrap()))
        .with("choice", optional(dice, |d| if d.chance(50) { "red" } else { "green" }))
        .with("nested", optional(dice, |d| Nested::new(&(d.next(), ["a", "b"], Some(-1.5), ())).unwrap()))
        .with("secret", optional(dice, |d| format!("{SECRET} {:x}", d.next())))
}

/// Some writes of a session to one of its entities. What is refused, is.
fn write<S: tenancy::Scope>(
    session: &Session<S>,
    entity: &str,
    dice: &mut Dice,
    links: impl Fn(&mut Dice, &[Id<Fields>], Fields) -> Fields,
) {
    let rows = session.dynamic(entity).unwrap();
    let ids: Vec<Id<Fields>> = rows.list().unwrap().iter().map(|record| record.id).collect();
    let whole = |dice: &mut Dice| {
        let content =
            if entity == "Right; DROP" || entity == "left one" { Fields::new() } else { fields(dice) };
        links(dice, &ids, content)
    };
    let outcome = match (dice.below(10), dice.pick(&ids).copied()) {
        (0..=4, _) | (_, None) => rows.insert(whole(dice)).map(drop),
        (5, _) => {
            // An id of another time, so that rows do not lie in the order of their ids.
            let milliseconds = u128::from(dice.next() % 4_000_000_000_000);
            let id = milliseconds << 80 | 7 << 76 | 0b10 << 62 | u128::from(dice.next() >> 2);
            rows.upsert(Id::from_uuid(Uuid::from_u128(id)), whole(dice)).map(drop)
        }
        (6 | 7, Some(id)) => rows.update(id, whole(dice)).map(drop),
        (_, Some(id)) => rows.delete(id),
    };
    match outcome {
        Ok(()) | Err(Error::Unique { .. } | Error::Reference { .. } | Error::QuotaExceeded { .. }) => {}
        Err(error) => panic!("{entity}: {error}"),
    }
}

pub(crate) fn user(id: &str) -> UserId {
    UserId::new(id).unwrap()
}

pub(crate) fn acme() -> OrganizationId {
    OrganizationId::new("acme").unwrap()
}

/// Reference records, users, an organization; all that happens is by the seed.
pub(crate) fn furnish(store: &Store, seed: u64, writes: usize) {
    let dice = &mut Dice::new(seed);
    let reference = store.reference();
    let planet = reference.dynamic("planet").unwrap().insert(Fields::new().with("name", "Earth")).unwrap();
    let countries = reference.dynamic("country").unwrap();
    let mut known: Vec<Id<Fields>> = Vec::new();
    for code in ["NO", "SE", "DK", "FI"] {
        let neighbour = dice.pick(&known).copied();
        let country = Fields::new().with("code", code).with("planet", planet).with("neighbour", neighbour);
        known.push(countries.insert(country).unwrap());
    }
    // Two that refer to each other.
    let first = Fields::new().with("code", "NO").with("neighbour", known[1]);
    countries.update(known[0], first).unwrap();
    countries.update(known[1], Fields::new().with("code", "SE").with("neighbour", known[0])).unwrap();
    let names = ["ada", "grace", "linus", "neighbour"];
    for id in names {
        store.users().create(&user(id)).unwrap();
    }
    store.users().rename(&user("ada"), "Ada Łovelace").unwrap();
    store.organizations().create(&acme()).unwrap();
    store.organizations().rename(&acme(), "Acme & Söhne").unwrap();
    for id in &names[..3] {
        let role = if dice.chance(50) { Role::Admin } else { Role::Member };
        store.organizations().add_member(&acme(), &user(id), role).unwrap();
    }
    let country = |dice: &mut Dice| dice.pick(&known).copied();
    let mut expired = [None, None];
    for number in 0..writes {
        if number == writes / 3 || number == writes / 2 {
            let which = usize::from(number == writes / 3);
            expired[which] = if dice.chance(40) { Some(Timestamp::now()) } else { None };
        }
        let id = names[dice.below(names.len())];
        let session = store.session(&user(id)).unwrap();
        match dice.below(10) {
            0..=2 => write(&session, "task", dice, |dice, ids, fields| {
                fields.with("parent", dice.pick(ids).copied()).with("country", country(dice))
            }),
            3 => {
                let rights = session.dynamic("Right; DROP").unwrap().list().unwrap();
                write(&session, "left one", dice, |dice, _, fields| {
                    fields.with("to", dice.pick(&rights).map(|record| record.id))
                })
            }
            4 => {
                let lefts = session.dynamic("left one").unwrap().list().unwrap();
                write(&session, "Right; DROP", dice, |dice, _, fields| {
                    fields.with("select", dice.pick(&lefts).map(|record| record.id)).with("id", 7)
                })
            }
            5 | 6 => {
                let Ok(inside) = session.in_organization(&acme()) else { continue };
                write(&inside, "ticket", dice, |dice, _, fields| {
                    let assignee = if dice.chance(50) { Some(user("ada")) } else { None };
                    fields.with("assignee", assignee).with("country", country(dice))
                })
            }
            7 | 8 => {
                let Ok(inside) = session.in_organization(&acme()) else { continue };
                let tickets = inside.dynamic("ticket").unwrap().list().unwrap();
                write(&inside, "note", dice, |dice, ids, fields| {
                    fields
                        .with("ticket", dice.pick(&tickets).map(|record| record.id))
                        .with("parent", dice.pick(ids).copied())
                        .with("country", country(dice))
                })
            }
            _ => {
                let quota = if dice.chance(70) { Some(Quota::none().rows(40).bytes(1 << 20)) } else { None };
                match dice.below(4) {
                    0 => store.users().set_quota(&user(id), "task", quota).unwrap(),
                    1 => store.organizations().set_quota(&acme(), "ticket", quota).unwrap(),
                    2 => drop(store.organizations().set_member_quota(&acme(), &user(id), "note", quota)),
                    _ => drop(
                        store
                            .session(&user(id))
                            .unwrap()
                            .in_organization(&OrganizationId::new("none").unwrap()),
                    ),
                }
            }
        }
    }
    let [payloads_before, entries_before] = expired;
    let retention = LogRetention { payloads_before, entries_before };
    store.users().expire_log(&user("ada"), retention).unwrap();
    store.organizations().expire_log(&acme(), retention).unwrap();
    if dice.chance(50) {
        store.organizations().remove_member(&acme(), &user("linus")).unwrap();
    }
}
