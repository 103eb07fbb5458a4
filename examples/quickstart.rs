//! The README's first program: two users and an organization in one store.
//!
//! `cargo run --example quickstart`

use tenantry::{Entity, Error, OrganizationId, Role, Store, Timestamp, UserId};

#[derive(Debug, Clone, PartialEq, Entity)]
#[entity(index(done, due))]
struct Task {
    title: String,
    done: bool,
    due: Option<Timestamp>,
    tags: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Entity)]
#[entity(tenancy = organization, author)]
struct Announcement {
    text: String,
}

fn task(title: &str, tags: &[&str]) -> Task {
    let tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
    Task { title: title.to_owned(), done: false, due: None, tags }
}

fn main() -> tenantry::Result<()> {
    // In an app: `.open("app.db")`.
    let store = Store::builder().entity::<Task>().entity::<Announcement>().temporary()?;
    let ada = store.users().create(&UserId::new("ada")?)?;
    let grace = store.users().create(&UserId::new("grace")?)?;

    // A session is one user's private database.
    let session = store.session(&ada)?;
    let tea = session.insert(&task("Buy tea", &["shop"]))?;
    session.patch(tea, Task::TITLE.set("Buy green tea").and(Task::DUE.set(Timestamp::now())))?;
    println!("{} (version {})", session.get(tea)?.title, session.get(tea)?.version);

    // To anybody else, the record does not exist.
    assert!(matches!(store.session(&grace)?.get(tea), Err(Error::NotFound { .. })));
    println!("grace has {} tasks", store.session(&grace)?.count::<Task>()?);

    // All or nothing.
    session.transaction(|tx| {
        for title in ["Water the plants", "Call Charles", "Oil the engine"] {
            tx.insert(&task(title, &[]))?;
        }
        tx.patch(tea, Task::DONE.set(true))
    })?;

    // Queries are typed; pages stay right while others write.
    let open = session.query::<Task>().filter(Task::DONE.eq(false)).order_by(Task::TITLE.asc());
    let mut page = open.page(2)?;
    loop {
        let titles: Vec<&str> = page.records.iter().map(|record| record.title.as_str()).collect();
        println!("page: {}", titles.join(", "));
        let Some(next) = page.next else { break };
        page = open.clone().after(&next).page(2)?;
    }

    // What an organization shares, its members see.
    let engine = store.organizations().create(&OrganizationId::new("engine-club")?)?;
    store.organizations().add_member(&engine, &ada, Role::Admin)?;
    store.organizations().add_member(&engine, &grace, Role::Member)?;
    let text = "We meet on Friday".to_owned();
    let id = session.in_organization(&engine)?.insert(&Announcement { text })?;
    let read = store.session(&grace)?.in_organization(&engine)?.get(id)?;
    println!("{} wrote: {}", read.author.as_ref().unwrap_or(&ada.id), read.text);

    // Every change is on record, with who made it and what was before.
    for entry in session.audit().of(tea).list()? {
        if let Some(title) = entry.change(Task::TITLE)? {
            println!("{} {}: {:?} → {:?}", entry.number, entry.action, title.before, title.after);
        }
    }
    println!("{}", store.check()?);
    Ok(())
}
