//! Every verb once, on every tenancy, as a user would type it.

#![allow(clippy::unwrap_used, clippy::panic)]

mod engine;

use tenantry::{
    Choice, Entity, Error, Id, OrganizationId, Record, Role, Store, Timestamp, Upserted, UserId, tenancy,
};

#[derive(Debug, Clone, Copy, PartialEq, Choice)]
enum Status {
    Open,
    Done,
}

#[derive(Debug, Clone, PartialEq, Entity)]
struct Project {
    name: String,
}

#[derive(Debug, Clone, PartialEq, Entity)]
#[entity(index(status, due desc), unique(title))]
struct Task {
    title: String,
    status: Status,
    due: Option<Timestamp>,
    tags: Vec<String>,
    points: i64,
    weight: f64,
    raw: Vec<u8>,
    #[entity(on_delete = cascade)]
    project: Option<Id<Project>>,
    currency: Option<Id<Currency>>,
    #[entity(secret)]
    pin: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Entity)]
#[entity(tenancy = reference, unique(code))]
struct Currency {
    code: String,
}

#[derive(Debug, Clone, PartialEq, Entity)]
#[entity(tenancy = organization, author)]
struct Ticket {
    title: String,
    assignee: Option<UserId>,
}

#[derive(Debug, Clone, PartialEq, Entity)]
#[entity(tenancy = member)]
struct Note {
    text: String,
    ticket: Option<Id<Ticket>>,
}

fn store() -> Store {
    engine::builder()
        .entity::<Project>()
        .entity::<Task>()
        .entity::<Currency>()
        .entity::<Ticket>()
        .entity::<Note>()
        .temporary()
        .unwrap()
}

fn task(title: &str) -> Task {
    Task {
        title: title.to_owned(),
        status: Status::Open,
        due: None,
        tags: vec!["a".to_owned()],
        points: 3,
        weight: 0.5,
        raw: vec![1, 2],
        project: None,
        currency: None,
        pin: Some("1234".to_owned()),
    }
}

#[test]
fn verbs_of_a_user() -> tenantry::Result<()> {
    let store = store();
    let ada = store.users().create(&UserId::new("ada")?)?;
    let grace = store.users().create(&UserId::new("grace")?)?;
    let session = store.session(&ada)?;
    let other = store.session(&grace)?;

    let id = session.insert(&task("one"))?;
    let record = session.get(id)?;
    assert_eq!(record.value, task("one"));
    assert_eq!((record.version, record.author.clone()), (1, None));
    assert!(matches!(other.get(id), Err(Error::NotFound { .. })));
    assert!(matches!(other.delete(id), Err(Error::NotFound { .. })));
    assert!(matches!(other.update(id, &task("x")), Err(Error::NotFound { .. })));

    assert_eq!(session.patch(id, Task::STATUS.set(Status::Done).and(Task::POINTS.set(5)))?, 2);
    assert!(matches!(
        session.patch(id.at(1), Task::POINTS.set(6)),
        Err(Error::Conflict { expected: 1, actual: 2, .. })
    ));
    assert!(matches!(session.patch(&record, Task::POINTS.set(6)), Err(Error::Conflict { .. })));
    assert_eq!(session.update(id.at(2), &task("uno"))?, 3);

    let ids = session.insert_many(&[task("two"), task("three")])?;
    assert_eq!(session.count::<Task>()?, 3);
    assert_eq!(other.count::<Task>()?, 0);
    assert!(
        matches!(session.insert(&task("two")), Err(Error::Unique { columns, .. }) if columns == ["title"])
    );
    other.insert(&task("two"))?;

    let all = session.list::<Task>()?;
    assert_eq!(all.iter().map(|r| r.title.as_str()).collect::<Vec<_>>(), ["uno", "two", "three"]);
    assert_eq!(session.get_many(&[ids[1], id])?.iter().flatten().count(), 2);
    assert!(session.exists(ids[0])?);

    let query = session
        .query::<Task>()
        .filter(Task::TITLE.contains("o").and(!Task::TITLE.eq("uno")))
        .order_by(Task::TITLE.desc());
    assert_eq!(query.one()?.title, "two");
    assert_eq!(session.query::<Task>().sum(Task::POINTS)?, 9);
    assert_eq!(session.query::<Task>().average(Task::WEIGHT)?, Some(0.5));
    assert_eq!(session.query::<Task>().max(Task::TITLE)?.as_deref(), Some("uno"));
    assert_eq!(session.query::<Task>().group_count(Task::STATUS)?, [(Status::Open, 3)]);
    assert_eq!(session.query::<Task>().iter()?.count(), 3);

    let upserted = session.upsert_on(&["title"], &Task { points: 9, ..task("two") })?;
    assert_eq!(upserted, Upserted::Updated(ids[0]));
    assert!(matches!(session.upsert_on(&["points"], &task("x")), Err(Error::InvalidInput { .. })));

    let mine = session.query::<Task>().mine().count();
    assert!(matches!(mine, Err(Error::InvalidInput { field, .. }) if field == "author"), "it has no author");

    assert_eq!(session.update_where(Task::POINTS.ge(9), Task::DUE.set(Timestamp::UNIX_EPOCH))?, 1);
    assert_eq!(session.delete_where(Task::DUE.is_some())?, 1);
    session.delete(ids[1])?;
    assert_eq!(session.count::<Task>()?, 1);

    let entries = session.audit().of(id).list()?;
    assert_eq!(entries.iter().map(|e| e.action.as_str()).collect::<Vec<_>>(), ["insert", "update", "update"]);
    assert_eq!(entries[0].actor.as_ref(), Some(&ada.id));
    let pin = entries[0].changes.iter().flatten().find(|c| c.column == "pin").unwrap();
    assert!(pin.redacted && pin.after.is_none());
    assert!(session.audit().verify()?.is_intact());
    let report = store.check()?;
    assert!(report.is_clean(), "{report}");
    Ok(())
}

#[test]
fn cascades_restrictions_and_references() -> tenantry::Result<()> {
    let store = store();
    let ada = store.users().create(&UserId::new("ada")?)?;
    let grace = store.users().create(&UserId::new("grace")?)?;
    let session = store.session(&ada)?;
    let garden = session.insert(&Project { name: "Garden".into() })?;
    session.insert(&Task { project: Some(garden), ..task("dig") })?;
    session.insert(&Task { project: Some(garden), ..task("plant") })?;
    session.insert(&task("rest"))?;
    // Another tenant's project is no project.
    let foreign = store.session(&grace)?.insert(&Project { name: "Secret".into() })?;
    let refused = session.insert(&Task { project: Some(foreign), ..task("spy") });
    assert!(matches!(refused, Err(Error::Reference { column, .. }) if column == "project"));

    let eur = store.reference().insert(&Currency { code: "EUR".into() })?;
    let paid = session.insert(&Task { currency: Some(eur), ..task("pay") })?;
    assert_eq!(session.get(eur)?.code, "EUR");
    assert!(matches!(store.reference().delete(eur), Err(Error::Reference { .. })));
    let joined = session.query::<Task>().filter(Record::<Task>::ID.eq(paid)).with(Task::CURRENCY).list()?;
    assert_eq!(joined[0].1.as_ref().unwrap().code, "EUR");

    assert_eq!(session.query::<Task>().with(Task::PROJECT).page(2)?.records.len(), 2);
    session.delete(garden)?;
    assert_eq!(session.count::<Task>()?, 2);
    assert_eq!(session.audit().action("delete").list()?.len(), 3);
    assert!(store.check()?.is_clean(), "{}", store.check()?);
    Ok(())
}

#[test]
fn organizations_members_and_soft_references() -> tenantry::Result<()> {
    let store = store();
    let ada = store.users().create(&UserId::new("ada")?)?;
    let grace = store.users().create(&UserId::new("grace")?)?;
    let acme = store.organizations().create(&OrganizationId::new("acme")?)?;
    store.organizations().add_member(&acme, &ada, Role::Admin)?;
    let outsider = store.session(&grace)?.in_organization(&acme);
    assert!(matches!(outsider, Err(Error::NotMember { .. })));
    store.organizations().add_member(&acme, &grace, Role::Member)?;

    let ada_in = store.session(&ada)?.in_organization(&acme)?;
    let grace_in = store.session(&grace)?.in_organization(&acme)?;
    let ticket = ada_in.insert(&Ticket { title: "Fix".into(), assignee: Some(grace.id.clone()) })?;
    assert_eq!(grace_in.get(ticket)?.author.as_ref(), Some(&ada.id));
    assert_eq!(grace_in.query::<Ticket>().mine().count()?, 0);
    assert_eq!(ada_in.query::<Ticket>().mine().count()?, 1);
    let nobody = Ticket { title: "x".into(), assignee: Some(UserId::new("nobody")?) };
    assert!(matches!(ada_in.insert(&nobody), Err(Error::Reference { .. })));

    let note = grace_in.insert(&Note { text: "hm".into(), ticket: Some(ticket) })?;
    assert!(ada_in.find(note)?.is_none());
    assert_eq!(grace_in.query::<Note>().filter(Note::TICKET.eq(ticket)).count()?, 1);
    let joined = grace_in.query::<Note>().with(Note::TICKET).list()?;
    assert_eq!(joined[0].1.as_ref().unwrap().title, "Fix");
    ada_in.delete(ticket)?;
    assert_eq!(grace_in.get(note)?.ticket, None);
    assert_eq!(grace_in.query::<Note>().filter(Note::TICKET.is_none()).count()?, 1);
    assert_eq!(grace_in.query::<Note>().filter(Note::TICKET.eq(ticket)).count()?, 0);

    store.organizations().remove_member(&acme, &grace)?;
    assert!(matches!(grace_in.get(note), Err(Error::NotMember { .. })));
    assert!(matches!(
        grace_in.insert(&Note { text: "x".into(), ticket: None }),
        Err(Error::NotMember { .. })
    ));
    store.organizations().add_member(&acme, &grace, Role::Member)?;
    assert_eq!(store.session(&grace)?.in_organization(&acme)?.get(note)?.text, "hm");
    let log = store.session(&ada)?.in_organization(&acme)?.audit().list()?;
    assert!(log.iter().any(|e| e.action == "member.remove"));
    let refused = store.session(&grace)?.audit().action("session").list()?;
    assert_eq!(refused.len(), 1);
    assert!(store.check()?.is_clean(), "{}", store.check()?);
    Ok(())
}

#[test]
fn transactions_commit_roll_back_and_nest() -> tenantry::Result<()> {
    let store = store();
    let ada = store.users().create(&UserId::new("ada")?)?;
    let session = store.session(&ada)?;
    session.transaction(|tx| {
        let id = tx.insert(&task("a"))?;
        assert_eq!(tx.count::<Task>()?, 1);
        assert!(
            matches!(tx.insert(&task("a")), Err(Error::Unique { .. })),
            "a failed verb leaves the transaction usable"
        );
        assert!(
            matches!(session.insert(&task("b")), Err(Error::Busy { .. })),
            "a write beside it answers, and does not hang"
        );
        let inner = tx.transaction(|inner| {
            inner.delete(id)?;
            assert_eq!(inner.count::<Task>()?, 0);
            Err::<(), _>(Error::aborted("back"))
        });
        assert!(inner.is_err());
        assert_eq!(tx.count::<Task>()?, 1);
        Ok(())
    })?;
    let outcome = session.transaction(|tx| {
        tx.insert(&task("c"))?;
        Err::<(), _>(Error::aborted("no"))
    });
    assert!(matches!(outcome, Err(Error::Aborted { .. })));
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        session.transaction(|tx| -> tenantry::Result<()> {
            tx.insert(&task("d"))?;
            panic!("in the closure")
        })
    }));
    assert!(panicked.is_err());
    assert_eq!(session.count::<Task>()?, 1);
    session.insert(&task("e"))?;
    assert_eq!(session.audit().entity("task").list()?.len(), 2);
    assert!(store.check()?.is_clean(), "{}", store.check()?);
    Ok(())
}

#[test]
fn a_disabled_user_stops_at_the_next_call() -> tenantry::Result<()> {
    let store = store();
    let ada = store.users().create(&UserId::new("ada")?)?;
    let session = store.session(&ada)?;
    let id = session.insert(&task("a"))?;
    store.users().disable(&ada)?;
    assert!(matches!(session.get(id), Err(Error::Disabled { .. })));
    assert!(matches!(session.insert(&task("b")), Err(Error::Disabled { .. })));
    assert!(matches!(store.session(&ada), Err(Error::Disabled { .. })));
    store.users().enable(&ada)?;
    assert!(matches!(session.get(id), Err(Error::Disabled { .. })), "a stale handle stays ended");
    assert_eq!(store.session(&ada)?.count::<Task>()?, 1);
    Ok(())
}

#[test]
fn dynamic_handles_reach_what_types_reach() -> tenantry::Result<()> {
    let store = store();
    let ada = store.users().create(&UserId::new("ada")?)?;
    let session = store.session(&ada)?;
    assert!(matches!(session.dynamic("ticket"), Err(Error::AccessDenied { .. })));
    assert!(matches!(session.dynamic("nothing"), Err(Error::Schema { .. })));
    let currency = session.dynamic("currency")?;
    let refused = currency.insert(tenantry::Fields::new().with("code", "EUR"));
    assert!(matches!(refused, Err(Error::AccessDenied { .. })));
    fn reaches<S: tenancy::Scope>(_: &tenantry::Session<S>) {}
    reaches(&session);
    Ok(())
}

#[test]
fn the_log_is_read_by_filters_and_pages() -> tenantry::Result<()> {
    let store = store();
    let ada = store.users().create(&UserId::new("ada")?)?;
    let session = store.session(&ada)?;
    let ids = session.insert_many(&["a", "b", "c", "d", "e"].map(task))?;
    session.insert(&Project { name: "p".into() })?;
    session.delete(ids[4])?;
    let all = session.audit().list()?;
    assert_eq!(all.len(), 8);
    for size in 1..10 {
        for newest_first in [false, true] {
            let log = || if newest_first { session.audit().newest_first() } else { session.audit() };
            let mut entries = Vec::new();
            let mut page = log().page(size)?;
            loop {
                assert!(page.entries.len() <= size as usize);
                entries.extend(page.entries);
                let Some(next) = page.next else { break };
                page = log().after(next).page(size)?;
                assert!(!page.entries.is_empty(), "a next page holds something");
            }
            if newest_first {
                entries.reverse();
            }
            assert_eq!(entries, all, "pages of {size}");
        }
    }
    let count = |log: tenantry::Audit<'_>| log.list().map(|entries| entries.len());
    assert_eq!(count(session.audit().entity("task"))?, 6);
    assert_eq!(count(session.audit().of(ids[4]))?, 2);
    assert_eq!(count(session.audit().record(ids[0].uuid()).action("delete"))?, 0);
    let middle = all[3].time;
    assert_eq!(count(session.audit().since(middle))? + count(session.audit().until(middle))?, 8);
    assert_eq!(count(session.audit().until(all[0].time))?, 0);
    Ok(())
}

/// People who open the file with another tool see owners by name, ids and times as text.
#[test]
fn a_plain_view_shows_the_rows_to_people() -> tenantry::Result<()> {
    let store = store();
    let ada = store.users().create(&UserId::new("ada")?)?;
    let session = store.session(&ada)?;
    let project = session.insert(&Project { name: "Garden".into() })?;
    let due: Timestamp = "2026-02-03T04:05:06.789Z".parse().unwrap();
    session.insert(&Task { due: Some(due), project: Some(project), ..task("dig") })?;
    session.insert(&task("rest"))?;
    let file = engine::look(store.path());
    let mut rows = file.prepare("SELECT _user, title, due, project FROM task ORDER BY _id").unwrap();
    let rows = rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))).unwrap();
    type Row = (String, String, Option<String>, Option<String>);
    let rows: Vec<Row> = rows.collect::<Result<_, _>>().unwrap();
    let text = |text: &str| Some(text.to_owned());
    let first =
        ("ada".to_owned(), "dig".to_owned(), text("2026-02-03T04:05:06.789Z"), text(&project.to_string()));
    assert_eq!(rows, [first, ("ada".to_owned(), "rest".to_owned(), None, None)]);
    Ok(())
}

#[test]
fn filters_have_a_size() -> tenantry::Result<()> {
    let store = store();
    let session = store.session(&store.users().create(&UserId::new("ada")?)?)?;
    session.insert(&task("a"))?;
    let any_of =
        |conditions: i64| (1..conditions).fold(Task::POINTS.eq(0), |filter, n| filter.or(Task::POINTS.eq(n)));
    let count = |filter| session.query::<Task>().filter(filter).count();
    assert_eq!(count(any_of(400))?, 1);
    assert_eq!(count(!any_of(400))?, 0);
    assert!(matches!(count(any_of(401)), Err(Error::LimitExceeded { limit: "filter size", .. })));
    assert!(matches!(count(!any_of(401)), Err(Error::LimitExceeded { .. })));
    assert_eq!(count(Task::POINTS.is_in(0..20_000))?, 1);
    assert!(matches!(count(Task::POINTS.is_in(0..20_001)), Err(Error::LimitExceeded { .. })));
    let halves = Task::POINTS.is_in(0..10_000).or(Task::POINTS.is_in(0..10_001));
    assert!(matches!(count(halves), Err(Error::LimitExceeded { .. })));
    let deep = (0..70).fold(Task::POINTS.eq(3), |filter, n| {
        if n % 2 == 0 { !filter.and(Task::POINTS.eq(n)) } else { filter.or(Task::POINTS.eq(n)) }
    });
    assert!(matches!(count(deep), Err(Error::InvalidInput { .. })));
    Ok(())
}
