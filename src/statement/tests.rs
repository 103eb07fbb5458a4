//! The door: every shape of statement through SQLite's own planner.
//!
//! A recorder stands where statements meet connections. The tests drive every verb, filter, order
//! and tenancy through the public API, then ask `EXPLAIN QUERY PLAN` how each recorded statement
//! reaches a table that tenants own. Two ways are allowed: a search whose first term is the
//! tenant, or the tenant's own range of the primary key. Statements must also bind the tenant of
//! the session and no other.

use std::cell::RefCell;
use std::collections::BTreeSet;

use rusqlite::types::{ToSqlOutput, Value as SqlValue, ValueRef};
use rusqlite::{Connection, ToSql};
use uuid::Uuid;

use super::sql::Param;
use crate::{
    ColumnDefinition, ColumnKind, Definition, Fields, Filter, Id, IndexDefinition, OnDelete, Order,
    OrganizationId, Query, Record, Role, Store, Tenancy, Timestamp, UserId, Value, column, tenancy,
};

thread_local! {
    static RECORDED: RefCell<Option<Vec<Recorded>>> = const { RefCell::new(None) };
}

#[derive(Debug)]
struct Recorded {
    sql: String,
    params: Vec<SqlValue>,
}

/// Called by every statement before it runs.
pub(super) fn record(sql: &str, params: &[Param<'_>]) {
    RECORDED.with_borrow_mut(|recorded| {
        let Some(recorded) = recorded else { return };
        let params = params.iter().map(|param| match param.to_sql().unwrap() {
            ToSqlOutput::Borrowed(value) => owned(value),
            ToSqlOutput::Owned(value) => value,
            _ => unreachable!("parameters are values"),
        });
        recorded.push(Recorded { sql: sql.to_owned(), params: params.collect() });
    });
}

fn owned(value: ValueRef<'_>) -> SqlValue {
    match value {
        ValueRef::Null => SqlValue::Null,
        ValueRef::Integer(integer) => SqlValue::Integer(integer),
        ValueRef::Real(real) => SqlValue::Real(real),
        ValueRef::Text(text) => SqlValue::Text(String::from_utf8_lossy(text).into_owned()),
        ValueRef::Blob(bytes) => SqlValue::Blob(bytes.to_vec()),
    }
}

/// Runs `work` and returns every statement that it made.
fn recording(work: impl FnOnce() -> crate::Result<()>) -> Vec<Recorded> {
    RECORDED.set(Some(Vec::new()));
    let outcome = work();
    let recorded = RECORDED.take().unwrap();
    outcome.unwrap();
    recorded
}

/// How the planner reaches tables; one line for each.
fn plan(connection: &Connection, statement: &Recorded) -> Vec<String> {
    let mut explain = connection.prepare(&format!("EXPLAIN QUERY PLAN {}", statement.sql)).unwrap();
    let named = explain.parameter_count();
    let lines = explain
        .query_map(rusqlite::params_from_iter(statement.params.iter().take(named)), |row| {
            row.get::<_, String>(3)
        })
        .unwrap();
    lines.collect::<rusqlite::Result<_>>().unwrap()
}

/// Whether a line of a plan that reaches an owned table stays inside the tenant.
fn is_allowed(line: &str) -> bool {
    let Some((head, terms)) = line.split_once(" (") else { return false };
    let by_index = head.starts_with("SEARCH ")
        && (head.contains(" USING INDEX _") || head.contains(" USING COVERING INDEX _"))
        && (terms.starts_with("_tenant=? ") || terms.starts_with("_tenant=?)"));
    let by_range = head.starts_with("SEARCH ")
        && head.ends_with(" USING INTEGER PRIMARY KEY")
        && terms.starts_with("rowid>? AND rowid<?)");
    // The tenant's own head tells whether its range lies in the order of its ids.
    let head = head.ends_with(" USING PRIMARY KEY") && terms == "tenant=? AND entity=?)";
    by_index || by_range || head
}

/// Fails on the first statement that reaches another tenant's rows. `tenants` are the keys that
/// the session may bind.
fn assert_contained(connection: &Connection, recorded: &[Recorded], tenants: &[i64]) {
    assert!(!recorded.is_empty(), "nothing was recorded");
    for statement in recorded {
        let sql = &statement.sql;
        if sql.starts_with("INSERT") {
            assert_eq!(
                statement.params[0],
                SqlValue::Integer(
                    integer(&statement.params[1]) << 40 | integer(&statement.params[0]) & ((1 << 40) - 1)
                )
            );
            assert!(tenants.contains(&integer(&statement.params[1])), "{sql}: inserts for another tenant");
            continue;
        }
        let lines = plan(connection, statement);
        // Aliases: t is the table itself, s a soft target, j the other side of a join. UPDATE and
        // DELETE name the table.
        let reaching: Vec<&String> = lines
            .iter()
            .filter(|line| ["SEARCH ", "SCAN "].iter().any(|verb| line.starts_with(verb)))
            .collect();
        assert!(!reaching.is_empty(), "{sql}: no table is reached: {lines:?}");
        for line in &reaching {
            // Deleting a reference row, an act of the application itself, makes the database
            // look for rows of any tenant that still refer to it.
            if tenants == [0]
                && sql.starts_with("DELETE")
                && line.starts_with("SCAN _rows_")
                && line.ends_with("_child")
            {
                continue;
            }
            assert!(is_allowed(line), "{sql}\nreaches rows by: {line}\nwhole plan: {lines:#?}");
        }
        assert!(
            !lines.iter().any(|line| line.contains("BLOOM")
                || line.contains("AUTOMATIC")
                || line.contains("MULTI-INDEX")),
            "{sql}: {lines:?}"
        );
        for tenant in bound_tenants(statement) {
            assert!(tenants.contains(&tenant), "{sql}: binds tenant {tenant}");
        }
    }
}

fn integer(value: &SqlValue) -> i64 {
    match value {
        SqlValue::Integer(integer) => *integer,
        other => panic!("{other:?} is not an integer"),
    }
}

/// The values bound where a statement compares a tenant or a range of the primary key.
fn bound_tenants(statement: &Recorded) -> Vec<i64> {
    let mut tenants = Vec::new();
    for (pattern, shift) in [
        ("_tenant = ?", 0),
        (" tenant = ?", 0),
        ("h.tenant = ?", 0),
        ("_rid BETWEEN ?", 40),
        ("_rid > ?", 40),
        ("_rid < ?", 40),
    ] {
        for (at, _) in statement.sql.match_indices(pattern) {
            let digits: String =
                statement.sql[at + pattern.len()..].chars().take_while(char::is_ascii_digit).collect();
            let number: usize = digits.parse().unwrap();
            tenants.push(integer(&statement.params[number - 1]) >> shift);
        }
    }
    assert!(!tenants.is_empty(), "{}: names no tenant", statement.sql);
    tenants
}

/// One entity of each tenancy, with every kind of column, references in all directions that are
/// allowed, and indexes of several shapes.
fn definitions() -> Vec<Definition> {
    let columns = |definition: Definition| {
        definition
            .column(ColumnDefinition::new("flag", ColumnKind::Boolean))
            .column(ColumnDefinition::new("number", ColumnKind::Integer).optional())
            .column(ColumnDefinition::new("real", ColumnKind::Real).optional())
            .column(ColumnDefinition::new("text", ColumnKind::Text))
            .column(ColumnDefinition::new("bytes", ColumnKind::Bytes).optional())
            .column(ColumnDefinition::new("uuid", ColumnKind::Uuid).optional())
            .column(ColumnDefinition::new("time", ColumnKind::Time).optional())
            .column(
                ColumnDefinition::new("choice", ColumnKind::Choice(vec!["a".into(), "b".into()])).optional(),
            )
            .column(ColumnDefinition::new("nested", ColumnKind::Nested).optional())
            .index(IndexDefinition::new(["choice"]).desc("time"))
            .index(IndexDefinition::new(Vec::<String>::new()).desc("number"))
            .index(IndexDefinition::new(["real", "number"]))
            .unique(["text"])
    };
    let reference = |name: &str, entity: &str, on_delete| {
        ColumnDefinition::new(name, ColumnKind::Reference { entity: entity.into(), on_delete }).optional()
    };
    let mut all = vec![columns(Definition::new("country", Tenancy::Reference))];
    for (name, tenancy) in
        [("own", Tenancy::User), ("shared", Tenancy::Organization), ("private", Tenancy::Member)]
    {
        let parent = columns(Definition::new(name, tenancy));
        let mut child = columns(Definition::new(format!("{name}_child"), tenancy))
            .column(reference("cascade", name, OnDelete::Cascade))
            .column(reference("clear", name, OnDelete::SetNull))
            .column(reference("hold", name, OnDelete::Restrict))
            .column(reference("country", "country", OnDelete::Restrict));
        if tenancy != Tenancy::User {
            child = child.column(ColumnDefinition::new("person", ColumnKind::Member).optional());
        }
        if tenancy == Tenancy::Organization {
            child = child.author();
        }
        if tenancy == Tenancy::Member {
            child = child.column(reference("soft", "shared", OnDelete::Restrict));
        }
        all.extend([parent, child]);
    }
    all
}

/// Every kind of condition on every column of an entity.
fn filters(definition: &Definition) -> Vec<Filter<Fields>> {
    let mut filters = Vec::new();
    for known in definition.columns() {
        let name = known.name();
        let c = || column(name);
        filters.extend([c().is_none(), c().is_some()]);
        let (low, high): (Value, Value) = match known.kind() {
            ColumnKind::Boolean => (false.into(), true.into()),
            ColumnKind::Integer => (1.into(), 9.into()),
            ColumnKind::Real => (0.5.into(), 1.5.into()),
            ColumnKind::Text | ColumnKind::Member => ("a".into(), "m".into()),
            ColumnKind::Bytes => (vec![1_u8].into(), vec![2_u8].into()),
            ColumnKind::Uuid | ColumnKind::Reference { .. } => (Uuid::nil().into(), Uuid::max().into()),
            ColumnKind::Time => (Timestamp::UNIX_EPOCH.into(), Timestamp::MAX.into()),
            ColumnKind::Choice(_) => ("a".into(), "b".into()),
            ColumnKind::Nested => continue,
        };
        filters.extend([
            c().eq(low.clone()),
            c().ne(low.clone()),
            c().lt(low.clone()),
            c().le(low.clone()),
            c().gt(low.clone()),
            c().ge(low.clone()),
            c().between(low.clone(), high.clone()),
            c().is_in([low.clone(), high.clone()]),
            c().is_in(Vec::<Value>::new()),
        ]);
        if known.kind().is_text() {
            filters.extend([
                c().contains("a%"),
                c().contains_ignore_ascii_case("A_"),
                c().starts_with("a"),
                c().starts_with(""),
            ]);
        }
    }
    for name in ["_updated", "_created"] {
        filters.extend([
            column(name).ge(Timestamp::UNIX_EPOCH),
            column(name).lt(Timestamp::MAX),
            column(name).ne(Timestamp::UNIX_EPOCH),
        ]);
    }
    filters.push(column("_version").eq(1));
    filters.push(column("_id").eq(Uuid::nil()));
    filters.push(column("_id").is_in([Uuid::nil(), Uuid::max()]));
    let combined: Vec<_> = filters
        .windows(2)
        .flat_map(|pair| {
            let (a, b) = (pair[0].clone(), pair[1].clone());
            [
                a.clone().and(b.clone()),
                a.clone().or(b.clone()),
                !a.clone(),
                !(a.clone().or(b.clone())),
                a.clone().or(!b.and(a)),
            ]
        })
        .collect();
    filters.extend(combined);
    filters
}

fn orders(definition: &Definition) -> Vec<Option<Order<Fields>>> {
    let mut orders = vec![None];
    let names: Vec<&str> =
        definition.columns().iter().filter(|c| c.kind().is_ordered()).map(ColumnDefinition::name).collect();
    for name in names.iter().copied().chain(["_id", "_created", "_updated", "_version"]) {
        orders.extend([Some(column(name).asc()), Some(column(name).desc())]);
    }
    orders.push(Some(column("choice").asc().then(column("time").desc())));
    orders.push(Some(column("choice").desc().then(column("time").asc())));
    orders.push(Some(column("real").asc().then(column("number").desc()).then(column("_created").desc())));
    orders
}

fn read<S: tenancy::Scope>(query: &Query<'_, S, Fields>, definition: &Definition) -> crate::Result<()> {
    query.list()?;
    query.first()?;
    let mut page = query.page(1)?;
    for _ in 0..2 {
        let Some(next) = page.next else { break };
        page = query.clone().after(&next).page(1)?;
    }
    query.count()?;
    query.exists()?;
    query.iter()?.try_for_each(|record| record.map(drop))?;
    for known in definition.columns().iter().filter(|c| c.kind().is_ordered()) {
        query.group_count_by(&column(known.name()))?;
    }
    let number = crate::Column::<Fields, Option<i64>>::new("number");
    query.sum(number)?;
    query.average(number)?;
    query.min(number)?;
    query.max(number)?;
    Ok(())
}

/// Drives every verb on one entity of a session.
fn drive<S: tenancy::Scope>(session: &crate::Session<S>, entity: &str, writable: bool) -> crate::Result<()> {
    let dynamic = session.dynamic(entity)?;
    let definition = dynamic.definition();
    let user = session.core().scope.user().map(|user| user.as_str().to_owned());
    let fields = |n: i64| {
        let mut fields = Fields::new()
            .with("flag", true)
            .with("number", n)
            .with("text", format!("text {n}"))
            .with("choice", "a");
        if definition.position("person").is_some() {
            fields.set("person", user.clone());
        }
        fields
    };
    if writable {
        let ids = dynamic.insert_many((0..4).map(fields))?;
        dynamic.insert_at(fields(4), Timestamp::UNIX_EPOCH)?;
        dynamic.update(ids[0], fields(10))?;
        dynamic.patch(ids[0].at(2), Fields::new().with("number", 11))?;
        dynamic.upsert(ids[1], fields(12))?;
        dynamic.upsert_on(&["text"], fields(12))?;
        dynamic.upsert_on(&["text"], fields(13))?;
        dynamic
            .query()
            .filter(column("number").ge(12))
            .order_by(column("number").desc())
            .limit(1)
            .patch(Fields::new().with("flag", false))?;
        dynamic.query().filter(column("text").starts_with("text 3")).delete()?;
        dynamic.get_many(&ids)?;
        dynamic.exists(ids[2])?;
    }
    for filter in filters(definition) {
        read(&dynamic.query().filter(filter.clone()), definition)?;
        // Conditions and orders choose the path together.
        for order in [
            column("number").desc(),
            column("choice").asc().then(column("time").desc()),
            column("_created").desc(),
        ] {
            dynamic.query().filter(filter.clone()).order_by(order).page(1)?;
        }
    }
    for order in orders(definition) {
        let query = match order {
            Some(order) => dynamic.query().order_by(order),
            None => dynamic.query(),
        };
        read(&query, definition)?;
    }
    if definition.has_author() {
        read(&dynamic.query().mine(), definition)?;
    }
    Ok(())
}

/// A parent with children that go, are cleared, and hold it.
fn drive_references<S: tenancy::Scope>(
    session: &crate::Session<S>,
    entity: &str,
    country: Id<Fields>,
) -> crate::Result<()> {
    let parents = session.dynamic(entity)?;
    let children = session.dynamic(&format!("{entity}_child"))?;
    let parent = parents.insert(Fields::new().with("flag", true).with("text", "parent"))?;
    let child = |text: &str, column: &str| {
        Fields::new().with("flag", true).with("text", text).with(column, parent).with("country", country)
    };
    children.insert(child("goes", "cascade"))?;
    let cleared = children.insert(child("is cleared", "clear"))?;
    let holding = children.insert(child("holds", "hold"))?;
    assert!(matches!(parents.delete(parent), Err(crate::Error::Reference { .. })));
    children.delete(holding)?;
    parents.delete(parent)?;
    assert_eq!(children.get(cleared)?.get("clear"), Some(&Value::None));
    Ok(())
}

#[test]
fn every_statement_stays_inside_the_tenant() {
    let mut builder = Store::builder();
    for definition in definitions() {
        builder = builder.definition(definition);
    }
    let store = builder.temporary().unwrap();
    let user = store.users().create(&UserId::new("ada").unwrap()).unwrap();
    let organization = store.organizations().create(&OrganizationId::new("acme").unwrap()).unwrap();
    store.organizations().add_member(&organization, &user, Role::Member).unwrap();
    // Statements are planned without rows of others; statistics must not exist at all.
    let connection = store.look(None);
    let session = store.session(&user).unwrap();
    let inside = session.in_organization(&organization).unwrap();
    let country = store
        .reference()
        .dynamic("country")
        .unwrap()
        .insert(Fields::new().with("flag", true).with("text", "Norway"))
        .unwrap();

    let mut shapes = BTreeSet::new();
    let mut check = |tenants: &[i64], work: &dyn Fn() -> crate::Result<()>| {
        let recorded = recording(work);
        assert_contained(&connection, &recorded, tenants);
        shapes.extend(recorded.into_iter().map(|statement| statement.sql));
    };
    let keys =
        |session: &crate::session::Core<'_>, tenancy| session.scope.reads(tenancy).unwrap().tenant.get();
    let own = keys(session.core(), Tenancy::User);
    let shared = keys(inside.core(), Tenancy::Organization);
    let private = keys(inside.core(), Tenancy::Member);
    check(&[0], &|| drive(&store.reference(), "country", true));
    check(&[0], &|| drive(&session, "country", false));
    check(&[own], &|| drive(&session, "own", true));
    check(&[own, 0], &|| drive(&session, "own_child", true));
    check(&[own, 0], &|| drive_references(&session, "own", country));
    check(&[shared], &|| drive(&inside, "shared", true));
    check(&[shared, 0], &|| drive(&inside, "shared_child", true));
    check(&[shared, 0], &|| drive_references(&inside, "shared", country));
    check(&[private], &|| drive(&inside, "private", true));
    check(&[private, shared, 0], &|| drive(&inside, "private_child", true));
    check(&[private, shared, 0], &|| drive_references(&inside, "private", country));
    // In a transaction the same statements run on the writer.
    check(&[own], &|| {
        session.transaction(|tx| {
            tx.dynamic("own")?.insert(Fields::new().with("flag", true).with("text", "tx")).map(drop)
        })
    });
    println!("{} shapes of statements", shapes.len());
    assert!(shapes.len() > 1_000, "only {} shapes were driven", shapes.len());
    let statistics: i64 = connection
        .query_row("SELECT count(*) FROM sqlite_schema WHERE name LIKE 'sqlite_stat%'", [], |row| row.get(0))
        .unwrap();
    assert_eq!(statistics, 0);
}

#[test]
fn joins_stay_inside_the_tenant_on_both_sides() {
    use crate::Entity;

    #[derive(Debug, Entity)]
    #[entity(tenancy = reference)]
    struct Country {
        #[allow(dead_code)]
        name: String,
    }
    #[derive(Debug, Entity)]
    #[entity(tenancy = organization)]
    struct Shared {
        #[allow(dead_code)]
        name: String,
    }
    #[derive(Debug, Entity)]
    #[entity(tenancy = member)]
    struct Folder {
        soft: Option<Id<Shared>>,
    }
    #[derive(Debug, Entity)]
    #[entity(tenancy = member)]
    struct Private {
        soft: Option<Id<Shared>>,
        folder: Option<Id<Folder>>,
        country: Option<Id<Country>>,
    }
    let store = Store::builder()
        .entity::<Country>()
        .entity::<Shared>()
        .entity::<Folder>()
        .entity::<Private>()
        .temporary()
        .unwrap();
    let user = store.users().create(&UserId::new("ada").unwrap()).unwrap();
    let organization = store.organizations().create(&OrganizationId::new("acme").unwrap()).unwrap();
    store.organizations().add_member(&organization, &user, Role::Member).unwrap();
    let inside = store.session(&user).unwrap().in_organization(&organization).unwrap();
    let country = store.reference().insert(&Country { name: "Norway".into() }).unwrap();
    let shared = inside.insert(&Shared { name: "Plan".into() }).unwrap();
    let folder = inside.insert(&Folder { soft: Some(shared) }).unwrap();
    inside.insert(&Private { soft: Some(shared), folder: Some(folder), country: Some(country) }).unwrap();
    let connection = store.look(None);
    let key = |tenancy| inside.core().scope.reads(tenancy).unwrap().tenant.get();
    let tenants = [key(Tenancy::Organization), key(Tenancy::Member), 0];
    let recorded = recording(|| {
        let query = inside.query::<Private>().order_by(Record::<Private>::UPDATED.desc());
        assert!(query.clone().with(Private::SOFT).list()?[0].1.is_some());
        assert_eq!(
            query.clone().with(Private::FOLDER).page(1)?.records[0].1.as_ref().unwrap().soft,
            Some(shared)
        );
        assert!(query.with(Private::COUNTRY).list()?[0].1.is_some());
        Ok(())
    });
    assert_contained(&connection, &recorded, &tenants);
}

#[test]
fn what_lies_in_the_order_of_an_index_is_not_sorted() {
    let mut builder = Store::builder();
    for definition in definitions() {
        builder = builder.definition(definition);
    }
    let store = builder.temporary().unwrap();
    let session = store.session(&store.users().create(&UserId::new("ada").unwrap()).unwrap()).unwrap();
    let connection = store.look(None);
    let row = Fields::new().with("flag", true).with("text", "a").with("choice", "a");
    session.dynamic("own").unwrap().insert(row).unwrap();
    let recorded = recording(|| {
        let query = session.dynamic("own")?.query();
        let chosen = || query.clone().filter(column("choice").eq("a"));
        chosen().order_by(column("time").desc()).page(1)?;
        chosen().order_by(column("choice").asc().then(column("time").desc())).page(1)?;
        query.clone().order_by(column("choice").asc().then(column("time").desc())).page(1)?;
        query.clone().order_by(column("choice").desc().then(column("time").asc())).page(1)?;
        query.clone().order_by(column("number").desc()).page(1)?;
        query.clone().order_by(column("_created").desc()).page(1)?;
        query.clone().filter(column("flag").eq(true)).list()?;
        query.list().map(drop)
    });
    for statement in &recorded {
        let lines = plan(&connection, statement);
        assert!(!lines.iter().any(|line| line.contains("TEMP B-TREE")), "{}: {lines:?}", statement.sql);
    }
}

#[test]
fn what_moves_takes_only_its_own_along() {
    let mut builder = Store::builder().partitions(2);
    for definition in definitions() {
        builder = builder.definition(definition);
    }
    let store = builder.temporary().unwrap();
    let user = store.users().create(&UserId::new("ada").unwrap()).unwrap();
    let organization = store.organizations().create(&OrganizationId::new("acme").unwrap()).unwrap();
    store.organizations().add_member(&organization, &user, Role::Member).unwrap();
    let mut neighbours = 0;
    while store.partitions().list().unwrap().len() < 2 {
        store.users().create(&UserId::new(format!("neighbour {neighbours}")).unwrap()).unwrap();
        neighbours += 1;
    }
    let session = store.session(&user).unwrap();
    let inside = session.in_organization(&organization).unwrap();
    let row = || Fields::new().with("flag", true).with("text", "one");
    session.dynamic("own").unwrap().insert(row()).unwrap();
    inside.dynamic("shared").unwrap().insert(row()).unwrap();
    inside.dynamic("private").unwrap().insert(row()).unwrap();
    let key =
        |session: &crate::session::Core<'_>, tenancy| session.scope.reads(tenancy).unwrap().tenant.get();
    let own = key(session.core(), Tenancy::User);
    let members = [key(inside.core(), Tenancy::Organization), key(inside.core(), Tenancy::Member)];
    let partitions = store.partitions();
    let all = partitions.list().unwrap();
    let other =
        |name: &str| all.iter().map(|partition| &partition.name).find(|other| *other != name).unwrap();
    let connection = store.look(Some(&all[0].name));
    let to = other(&partitions.of_user(&user).unwrap().unwrap().name);
    let recorded = recording(|| partitions.move_user(&user, to, |_| {}));
    assert!(recorded.iter().any(|statement| statement.sql.starts_with("INSERT")));
    assert!(recorded.iter().any(|statement| statement.sql.starts_with("DELETE")));
    assert_contained(&connection, &recorded, &[own]);
    let to = other(&partitions.of_organization(&organization).unwrap().unwrap().name);
    let recorded = recording(|| partitions.move_organization(&organization, to, |_| {}));
    assert_contained(&connection, &recorded, &members);
}

#[test]
fn what_leaves_and_arrives_takes_only_its_own_along() {
    let builder = || definitions().into_iter().fold(Store::builder(), crate::Builder::definition);
    let (here, there) = (builder().temporary().unwrap(), builder().temporary().unwrap());
    let user = here.users().create(&UserId::new("ada").unwrap()).unwrap();
    there.users().create(&UserId::new("grace").unwrap()).unwrap();
    let organization = here.organizations().create(&OrganizationId::new("acme").unwrap()).unwrap();
    here.organizations().add_member(&organization, &user, Role::Member).unwrap();
    let session = here.session(&user).unwrap();
    let inside = session.in_organization(&organization).unwrap();
    let row = || Fields::new().with("flag", true).with("text", "one");
    session.dynamic("own").unwrap().insert(row()).unwrap();
    inside.dynamic("shared").unwrap().insert(row()).unwrap();
    inside.dynamic("private").unwrap().insert(row()).unwrap();
    let key =
        |session: &crate::session::Core<'_>, tenancy| session.scope.reads(tenancy).unwrap().tenant.get();
    let connection = |store: &Store| store.look(None);
    let own = [key(session.core(), Tenancy::User)];
    let members = [key(inside.core(), Tenancy::Organization), key(inside.core(), Tenancy::Member)];
    let (mut ada, mut acme) = (Vec::new(), Vec::new());
    let recorded = recording(|| here.users().export(&user, &mut ada).map(drop));
    assert_contained(&connection(&here), &recorded, &own);
    let recorded = recording(|| here.organizations().export(&organization, &mut acme).map(drop));
    assert_contained(&connection(&here), &recorded, &members);
    let recorded =
        recording(|| here.organizations().export_json_lines(&organization, &mut Vec::new()).map(drop));
    assert_contained(&connection(&here), &recorded, &members);

    let options = crate::ImportOptions::new();
    let recorded_user = recording(|| there.users().import(&mut &ada[..], &options).map(drop));
    let recorded_others = recording(|| there.organizations().import(&mut &acme[..], &options).map(drop));
    let session = there.session(&user).unwrap();
    let inside = session.in_organization(&organization).unwrap();
    assert!(recorded_user.iter().any(|statement| statement.sql.starts_with("INSERT")));
    assert_contained(&connection(&there), &recorded_user, &[key(session.core(), Tenancy::User)]);
    let members = [key(inside.core(), Tenancy::Organization), key(inside.core(), Tenancy::Member)];
    assert_contained(&connection(&there), &recorded_others, &members);
}

#[test]
fn whose_ids_are_is_one_pass_over_the_index_of_ids() {
    let mut builder = Store::builder();
    for definition in definitions() {
        builder = builder.definition(definition);
    }
    let store = builder.temporary().unwrap();
    let user = store.users().create(&UserId::new("ada").unwrap()).unwrap();
    let row = Fields::new().with("flag", true).with("text", "one");
    let id = store.session(&user).unwrap().dynamic("own").unwrap().insert(row).unwrap();
    let table = store.inner.catalog().get("own").unwrap();
    let connection = store.look(None);
    let ids = (0..1_000).map(Uuid::from_u128).chain([id.uuid()]);
    let (statement, decode) = super::owners(table, ids);
    let mut found = Vec::new();
    let recorded = recording(|| {
        found = statement.all(&connection, decode)?;
        Ok(())
    });
    assert_eq!(found.iter().map(|(found, _)| *found).collect::<Vec<_>>(), [id.uuid()]);
    let lines = plan(&connection, &recorded[0]);
    let rows: Vec<&String> = lines.iter().filter(|line| line.contains(" t ")).collect();
    assert_eq!(rows, ["SEARCH t USING COVERING INDEX _id_own (_tenant>?)"], "{lines:?}");
}

#[test]
fn the_guard_itself_refuses_what_it_should() {
    for line in [
        "SCAN t",
        "SCAN t USING INDEX _index1_task",
        "SEARCH t USING INDEX _index1_task (status=?)",
        "SEARCH t USING INDEX _index1_task (_tenant>?)",
        "SEARCH t USING INTEGER PRIMARY KEY (rowid>?)",
        "SEARCH t USING INTEGER PRIMARY KEY (rowid=?)",
        "SEARCH t USING AUTOMATIC COVERING INDEX (_tenant=?)",
        "SEARCH t USING INDEX _index1_task (ANY(_tenant) AND status=?)",
        "SEARCH t",
    ] {
        assert!(!is_allowed(line), "{line}");
    }
    assert!(is_allowed("SEARCH t USING INDEX _id_task (_tenant=? AND _id=?)"));
    assert!(is_allowed("SEARCH s USING COVERING INDEX _id_task (_tenant=?)"));
    assert!(is_allowed("SEARCH t USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)"));
}
