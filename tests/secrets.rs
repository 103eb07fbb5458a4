//! Columns that are marked `secret`: canaries are put into one of each kind, every way out of the library but the values of
//! reads is walked, and all that came out is searched for them: errors, `Debug`, the log, traces, slow operations, SQL.
//!
//! A process of its own: `tracing` has one subscriber for all threads.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod engine;

use std::error::Error as _;
use std::fmt::Debug;
use std::io::Write;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use serde::{Serialize, Serializer};
use tenantry::{
    Choice, ColumnDefinition, ColumnKind, Cursor, Definition, Entity, Error, Fields, Id, Monitoring, Nested,
    OnDelete, OrganizationId, Record, Role, Store, Tenancy, TenantSession, Timestamp, UserId, Uuid, Value,
    column,
};

/// Its values are part of the definition, which everybody may see.
#[derive(Debug, Clone, Copy, PartialEq, Choice)]
enum Colour {
    Mauve,
    Teal,
}

#[derive(Debug, Clone, PartialEq, Entity)]
struct Drawer {
    name: String,
}

/// Of each kind of column a secret one. Its own `Debug` shows them all, and is not the library's.
#[derive(Debug, Clone, PartialEq, Entity)]
#[entity(unique(pin), unique(label), index(number), audit_reads)]
struct Vault {
    label: String,
    #[entity(secret)]
    pin: String,
    #[entity(secret)]
    number: i64,
    #[entity(secret)]
    small: u8,
    #[entity(secret)]
    ratio: f64,
    #[entity(secret)]
    bytes: Vec<u8>,
    #[entity(secret)]
    uuid: Uuid,
    #[entity(secret)]
    time: Option<Timestamp>,
    #[entity(secret)]
    words: Vec<String>,
    #[entity(secret)]
    colour: Colour,
    #[entity(secret)]
    drawer: Option<Id<Drawer>>,
}

/// The same of an organization, with a secret reference to a person.
#[derive(Debug, Clone, PartialEq, Entity)]
#[entity(tenancy = organization, author, unique(pin))]
struct Shared {
    #[entity(secret)]
    pin: String,
    #[entity(secret)]
    number: i64,
    #[entity(secret)]
    person: Option<UserId>,
}

#[derive(Debug, Clone, PartialEq, Entity)]
#[entity(tenancy = reference, unique(pin))]
struct Known {
    #[entity(secret)]
    pin: String,
}

const PIN: &str = "canary-pin";
const NUMBER: i64 = 7_318_264_505_913;
const RATIO: f64 = 6_203.118_471_5;
const UUID: Uuid = Uuid::from_u128(0x5ca1_ab1e_0000_4000_8000_ca4a_51e5_0001);

fn time() -> Timestamp {
    "2037-07-13T05:06:07.089012Z".parse().unwrap()
}

/// All forms in which a canary could be written.
fn canaries() -> Vec<String> {
    let hex = |bytes: &[u8]| -> String { bytes.iter().map(|byte| format!("{byte:02x}")).collect() };
    let list = |bytes: &[u8]| format!("{bytes:?}").trim_matches(['[', ']']).to_owned();
    let mut forms = vec!["canary".to_owned(), hex(b"canary"), list(b"canary")];
    forms.extend([NUMBER.to_string(), format!("{NUMBER:x}"), hex(&NUMBER.to_be_bytes()[2..])]);
    forms.extend([list(&NUMBER.to_be_bytes()[2..]), "6203.118".to_owned(), hex(&RATIO.to_be_bytes())]);
    forms.extend([UUID.to_string(), UUID.simple().to_string(), list(UUID.as_bytes())]);
    forms.extend(["2037-07-13".to_owned(), time().as_microsecond().to_string()]);
    forms.iter().map(|form| form.to_lowercase()).collect()
}

fn vault(label: &str, drawer: Option<Id<Drawer>>) -> Vault {
    Vault {
        label: label.into(),
        pin: format!("{PIN} {label}"),
        number: NUMBER,
        small: 201,
        ratio: RATIO,
        bytes: b"canary-bytes".to_vec(),
        uuid: UUID,
        time: Some(time()),
        words: vec!["canary-word".into()],
        colour: Colour::Mauve,
        drawer,
    }
}

fn shared(pin: &str, person: Option<UserId>) -> Shared {
    Shared { pin: format!("{PIN} {pin}"), number: NUMBER, person }
}

/// A value whose `Serialize` fails and says why.
struct Failing;

impl Serialize for Failing {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("canary in what Serialize says"))
    }
}

/// What a subscriber writes.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Writes down what is traced from here on, on any thread.
fn listen() -> &'static Lines {
    static LINES: LazyLock<Lines> = LazyLock::new(|| {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_ansi(false)
            .with_span_events(tracing_subscriber::fmt::format::FmtSpan::FULL)
            .with_writer(move || writer.clone())
            .finish();
        tracing::subscriber::set_global_default(subscriber).unwrap();
        lines
    });
    &LINES
}

/// All that came out, and where.
#[derive(Default)]
struct Out(Vec<(String, String)>);

impl Out {
    fn text(&mut self, what: &str, text: impl Into<String>) {
        self.0.push((what.to_owned(), text.into()));
    }

    fn debug(&mut self, what: &str, value: &impl Debug) {
        self.text(what, format!("{value:?} {value:#?}"));
    }

    fn fails<T>(&mut self, what: &str, outcome: tenantry::Result<T>) {
        let error = outcome.err().unwrap_or_else(|| panic!("{what} did not fail"));
        let mut text = format!("{error} {error:?} {error:#?}");
        let mut cause = error.source();
        while let Some(next) = cause {
            text += &format!("{next} {next:?}");
            cause = next.source();
        }
        self.text(what, text);
    }

    fn assert_clean(&self) {
        let canaries = canaries();
        for (what, text) in &self.0 {
            let lower = text.to_lowercase();
            let found = canaries.iter().find(|canary| lower.contains(*canary));
            assert!(found.is_none(), "{what} tells {found:?}: {text}");
        }
    }
}

fn user_id(id: &str) -> UserId {
    UserId::new(id).unwrap()
}

fn session(store: &Store, id: &str) -> TenantSession {
    store.session(&store.users().get_or_create(&user_id(id)).unwrap()).unwrap()
}

fn builder() -> tenantry::Builder {
    engine::builder()
        .entity::<Drawer>()
        .entity::<Vault>()
        .entity::<Shared>()
        .entity::<Known>()
        .monitor(Monitoring::new().slower_than(Duration::ZERO).tenant_names())
        .cache(1 << 20)
}

/// The search finds what it is to find: each form of each canary, in what the app's own `Debug` shows.
#[test]
fn the_search_finds_every_canary() {
    let shown = vault("x", None);
    let forms = canaries();
    for text in [
        format!("{:?}", shown.pin),
        format!("{:?}", shown.number),
        format!("{:?}", shown.ratio),
        format!("{:?}", shown.bytes),
        format!("{:?}", shown.uuid),
        format!("{:?}", shown.time),
        format!("{:?}", shown.words),
        format!("{:?}", Value::from(time())),
        format!("{:?}", Nested::new(&shown.words).unwrap()),
    ] {
        let lower = text.to_lowercase();
        assert!(forms.iter().any(|form| lower.contains(form)), "{text}");
    }
}

fn verbs(out: &mut Out, ada: &TenantSession) {
    let drawer = ada.insert(&Drawer { name: "top".into() }).unwrap();
    let id = ada.insert(&vault("one", Some(drawer))).unwrap();
    let other = ada.insert_at(&vault("two", None), Timestamp::now()).unwrap();
    ada.insert_many(&[vault("three", None), vault("four", None)]).unwrap();
    for record in [ada.get(id).unwrap(), ada.find(id).unwrap().unwrap()] {
        assert_eq!(record.pin, format!("{PIN} one"), "reads do give the values");
        out.debug("Record", &record);
        out.debug("Target", &tenantry::Target::from(&record));
    }
    out.debug("get_many", &ada.get_many(&[id, other]).unwrap());
    out.debug("list", &ada.list::<Vault>().unwrap());
    ada.update(id, &Vault { number: NUMBER + 1, ..vault("one", None) }).unwrap();
    ada.update(id, &vault("one", Some(drawer))).unwrap();
    ada.patch(other, Vault::PIN.set(format!("{PIN} patched")).and(Vault::RATIO.set(RATIO / 2.0))).unwrap();
    out.debug("Upserted", &ada.upsert(id, &vault("one", Some(drawer))).unwrap());
    out.debug("Upserted", &ada.upsert_on(&["pin"], &vault("one", Some(drawer))).unwrap());
    out.debug("Upserted", &ada.upsert_on(&["pin"], &vault("five", None)).unwrap());
    ada.update_where(Vault::NUMBER.eq(NUMBER), Vault::WORDS.set(vec!["canary-all".to_owned()])).unwrap();
    ada.delete_where(Vault::LABEL.eq("five").and(Vault::UUID.eq(UUID))).unwrap();

    let query = ada
        .query::<Vault>()
        .filter(Vault::PIN.contains(PIN).and(Vault::NUMBER.between(NUMBER, NUMBER)))
        .filter(Vault::COLOUR.is_in([Colour::Mauve, Colour::Teal]))
        .order_by(Vault::PIN.desc().then(Vault::TIME.asc()));
    assert!(!query.list().unwrap().is_empty());
    out.debug("Query", &query);
    out.debug("Records", &query.iter().unwrap());
    out.debug("Filter", &Vault::PIN.eq(PIN).or(!Vault::NUMBER.gt(NUMBER)));
    out.debug("Patch", &Vault::PIN.set(PIN).and(Vault::NUMBER.set(NUMBER)));
    out.debug("Order", &Vault::PIN.desc());
    out.debug("Column", &Vault::PIN);
    out.debug("Joined", &query.clone().with(Vault::DRAWER));
    out.debug("Pairs", &query.clone().with(Vault::DRAWER).list().unwrap());

    // A cursor leaves the process; one by other columns holds nothing secret.
    let paged = ada.query::<Vault>().order_by(Vault::LABEL.asc());
    let page = paged.page(1).unwrap();
    let joined = paged.clone().with(Vault::DRAWER).page(1).unwrap();
    for cursor in [page.next.clone().unwrap(), joined.next.clone().unwrap()] {
        out.text("Cursor", cursor.to_string());
        assert!(!paged.clone().after(&cursor).list().unwrap().is_empty());
    }
    out.debug("Page", &page);
    out.debug("JoinedPage", &joined);
    out.fails("a page by a secret column", ada.query::<Vault>().order_by(Vault::PIN.asc()).page(1));
    let second = Vault::LABEL.asc().then(Vault::NUMBER.asc());
    out.fails("a page by a secret second column", ada.query::<Vault>().order_by(second).page(1));
    let forged: Cursor = page.next.unwrap().to_string().parse().unwrap();
    out.fails(
        "a cursor for a secret column",
        ada.query::<Vault>().order_by(Vault::PIN.asc()).after(&forged).list(),
    );
    let by_secret = query.clone().with(Vault::DRAWER);
    out.fails("a page of pairs by a secret column", by_secret.page(1));

    out.fails("unique", ada.insert(&vault("one", None)));
    out.fails("unique secret", ada.insert(&Vault { label: "six".into(), ..vault("one", None) }));
    out.fails("unique of many", ada.insert_many(&[vault("seven", None), vault("seven", None)]));
    out.fails("unique of all", ada.query::<Vault>().patch(Vault::PIN.set(PIN)));
    out.fails("U+0000", ada.patch(id, Vault::PIN.set(format!("{PIN}\0"))));
    out.fails("NaN", ada.patch(id, Vault::RATIO.set(f64::NAN)));
    out.fails("a filter with U+0000", ada.query::<Vault>().filter(Vault::PIN.eq(format!("{PIN}\0"))).list());
    out.fails("a record that is absent", ada.patch(id, Vault::DRAWER.set(Some(Id::from_uuid(UUID)))));
    out.fails(
        "an overflow",
        ada.query::<Vault>().sum(Vault::NUMBER).and_then(|_| {
            ada.insert(&Vault { number: i64::MAX, ..vault("most", None) })?;
            ada.query::<Vault>().sum(Vault::NUMBER)
        }),
    );
    out.fails("another version", ada.update(id.at(1), &vault("one", None)));
    out.fails("too large", ada.patch(id, Vault::BYTES.set(b"canary".repeat(100_000))));
    out.fails(
        "a transaction",
        ada.transaction(|tx| {
            out_of(&mut Out::default(), tx);
            tx.patch(id, Vault::NUMBER.set(NUMBER + 2))?;
            tx.insert(&vault("one", None))
        }),
    );
    ada.transaction(|tx| {
        out.debug("Transaction", tx);
        out.debug("Record", &tx.get(id)?);
        out.fails("in a transaction", tx.insert(&vault("one", None)));
        tx.patch(id, Vault::NUMBER.set(NUMBER))
    })
    .unwrap();
    out.fails("Serialize", Nested::new(&Failing));
}

fn out_of(out: &mut Out, tx: &impl Debug) {
    out.debug("Transaction", tx);
}

fn dynamic(out: &mut Out, ada: &TenantSession) {
    let vaults = ada.dynamic("vault").unwrap();
    let known = vaults.query().filter(column("label").eq("one")).one().unwrap();
    out.debug("Record<Fields>", &known);
    out.debug("Fields", &known.value);
    out.debug("Fields", &Fields::new().with("pin", PIN).with("number", NUMBER));
    out.debug("Page<Fields>", &vaults.query().page(1).unwrap());
    out.debug("Dynamic", &vaults);
    let again = || known.value.clone();
    out.fails("unique", vaults.insert(again()));
    for (name, value) in [
        ("pin", Value::Integer(NUMBER)),
        ("pin", Value::None),
        ("number", PIN.into()),
        ("small", Value::Uuid(UUID)),
        ("ratio", PIN.into()),
        ("bytes", PIN.into()),
        ("uuid", PIN.into()),
        ("time", Value::Integer(NUMBER)),
        ("words", PIN.into()),
        ("colour", PIN.into()),
        ("drawer", PIN.into()),
        ("drawer", Value::Uuid(UUID)),
    ] {
        out.fails(name, vaults.patch(known.id, Fields::new().with(name, value.clone())));
        out.fails(name, vaults.insert(again().with("label", "new").with(name, value.clone())));
        if !value.is_none() && name != "drawer" {
            let filter = column(name).lt(value);
            let outcome = vaults.query().filter(filter.clone()).list();
            out.debug("Filter", &filter);
            if let Err(error) = outcome {
                out.fails("a filter that does not fit", Err::<(), _>(error));
            }
        }
    }
    out.fails("a page by a secret column", vaults.query().order_by(column("number").asc()).page(1));
    vaults.patch(known.id, Fields::new().with("pin", format!("{PIN} dynamic"))).unwrap();
    vaults.patch(known.id, Fields::new().with("pin", format!("{PIN} one"))).unwrap();
}

fn members(out: &mut Out, store: &Store, ada: &TenantSession) {
    let acme = OrganizationId::new("acme").unwrap();
    store.organizations().create(&acme).unwrap();
    store.organizations().add_member(&acme, &user_id("ada"), Role::Member).unwrap();
    // The id is secret in the column, and known where it stands by itself.
    session(store, "outsider");
    let inside = ada.in_organization(&acme).unwrap();
    let id = inside.insert(&shared("a", Some(user_id("ada")))).unwrap();
    out.debug("Record", &inside.get(id).unwrap());
    out.fails("unique", inside.insert(&shared("a", None)));
    let outsider = Some(user_id("outsider"));
    out.fails("a person who is no member", inside.insert(&shared("b", outsider.clone())));
    out.fails("a person who is no member", inside.patch(id, Shared::PERSON.set(outsider)));
    assert!(out.0.iter().all(|(_, text)| !text.contains("outsider")));
    out.fails("a person who is not there", inside.patch(id, Shared::PERSON.set(Some(user_id("canary-x")))));
    inside.delete(id).unwrap();
    out.debug("audit", &inside.audit().list().unwrap());
    out.debug("OrganizationSession", &inside);
    for sql in
        ["SELECT abs(pin || number), * FROM shared", "SELECT * FROM audit", "SELECT json(pin) FROM shared"]
    {
        if let Err(error) = inside.sql(sql).rows() {
            out.fails(sql, Err::<(), _>(error));
        }
    }

    let reference = store.reference();
    let known = reference.insert(&Known { pin: PIN.into() }).unwrap();
    out.fails("unique", reference.insert(&Known { pin: PIN.into() }));
    out.debug("Record", &reference.get(known).unwrap());
    reference.patch(known, Known::PIN.set(format!("{PIN} 2"))).unwrap();
    out.debug("audit", &reference.audit().list().unwrap());
    out.debug("ReferenceSession", &reference);
}

fn sql(out: &mut Out, ada: &TenantSession) {
    let rows = ada.sql("SELECT * FROM vault").rows().unwrap();
    assert!(
        rows.rows()[0]
            .get_named("pin")
            .is_some_and(|pin| matches!(pin, Value::Text(text) if text.contains(PIN)))
    );
    out.debug("SqlRows", &rows);
    out.debug("SqlRow", &rows.rows()[0]);
    out.debug("SqlColumn", &rows.columns());
    for sql in [
        "SELECT json(pin) FROM vault",
        "SELECT json(pin || number) FROM vault",
        "SELECT abs(-9223372036854775807 - number / number) FROM vault",
        "SELECT json_extract('{}', pin) FROM vault",
        "SELECT '{}' -> ('$[' || pin) FROM vault",
        "SELECT label LIKE pin ESCAPE pin FROM vault",
        "SELECT json_set('{}', pin, number) FROM vault",
        "SELECT json_object(pin, bytes) FROM vault",
        "SELECT * FROM json_each((SELECT pin FROM vault LIMIT 1))",
        "SELECT * FROM json_tree('{}', (SELECT pin FROM vault LIMIT 1))",
        "SELECT ntile(0) OVER (ORDER BY pin) FROM vault",
        "SELECT sum(number * 1000000) FROM vault",
        "SELECT zeroblob(number) FROM vault",
        "SELECT load_extension(pin) FROM vault",
        "SELECT pin.number FROM vault",
    ] {
        match ada.sql(sql).rows() {
            Err(error) => out.fails(sql, Err::<(), _>(error)),
            Ok(rows) => out.debug(sql, &rows),
        }
    }
    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code)]
    struct Other {
        label: u8,
    }
    #[derive(Debug, serde::Deserialize)]
    enum Known {
        One,
    }
    out.fails("as a number", ada.sql("SELECT pin FROM vault").all::<u64>());
    out.fails("as a small number", ada.sql("SELECT number FROM vault").all::<u8>());
    out.fails("as a choice", ada.sql("SELECT pin FROM vault").all::<Known>());
    out.fails("as a struct", ada.sql("SELECT pin AS label FROM vault").all::<Other>());
    out.fails("as a struct", ada.sql("SELECT pin AS label, number FROM vault").all::<Other>());
    out.fails("as a time", ada.sql("SELECT pin FROM vault").all::<Timestamp>());
    out.fails("as a UUID", ada.sql("SELECT pin FROM vault").all::<Uuid>());
    out.fails("as JSON", ada.sql("SELECT pin FROM vault").all::<(Vec<String>,)>());
    let _ = Known::One;

    // Parameters, and what a tenant wrote: neither is in a plan, nor in what is traced.
    let bound = || ada.sql("SELECT label FROM vault WHERE pin = ?1 OR number = ?2").bind(PIN).bind(NUMBER);
    out.debug("Sql", &bound());
    out.debug("PlanStep", &bound().explain().unwrap());
    let literal = format!("SELECT label FROM vault WHERE pin = '{PIN}' AND number = {NUMBER}");
    out.debug("PlanStep", &ada.sql(&literal).explain().unwrap());
    ada.sql(&literal).rows().unwrap();
    let text = "SELECT pin FROM vault WHERE pin = :pin";
    out.fails("a parameter too many", ada.sql(text).bind_named(":pin", PIN).bind_named(":x", PIN).rows());
    out.fails("too few parameters", ada.sql(text).rows());
    ada.sql("SELECT * FROM vault")
        .stream(|rows| {
            out.debug("SqlStream", rows);
            while let Some(row) = rows.next()? {
                out.debug("SqlRow", &row);
            }
            out.debug("SqlStream", rows);
            Ok(())
        })
        .unwrap();
    // The log, as SQL shows it.
    let log = ada.sql("SELECT * FROM audit").rows();
    assert!(log.as_ref().is_ok_and(|log| log.len() > 10));
    out.text("audit by SQL", engine::shown(&log));
}

/// A row that another tool has made unreadable, or has changed.
fn damaged(out: &mut Out, store: &Store, ada: &TenantSession) {
    let id = ada.query::<Vault>().filter(Vault::LABEL.eq("two")).one().unwrap().id;
    let tool = engine::look(store.path());
    tool.pragma_update(None, "ignore_check_constraints", true).unwrap();
    for change in [
        "colour = 'canary-mauve'",
        "uuid = 'canary-uuid'",
        "small = 7318264505913",
        "words = CAST('canary-words' AS BLOB)",
        "number = 731826450591377",
    ] {
        tool.execute_batch(&format!(
            "SAVEPOINT s; UPDATE _rows_Vault SET {change} WHERE label = 'two'; RELEASE s"
        ))
        .unwrap();
        let reopened = builder().read_only().open(store.path()).unwrap();
        let outcome = reopened.session(&user_id("ada")).unwrap().get(id);
        match outcome {
            Err(error) => out.fails(change, Err::<(), _>(error)),
            Ok(record) => out.debug(change, &record),
        }
        match reopened.check() {
            Ok(report) => {
                out.debug("Report", &report);
                out.text("Report", report.to_string());
            }
            Err(error) => out.fails("check", Err::<(), _>(error)),
        }
    }
}

#[test]
fn no_way_out_tells_a_secret() {
    let lines = listen();
    let mut out = Out::default();
    let folder = tempfile::tempdir().unwrap();
    let open = builder();
    out.debug("Builder", &open);
    let store = open.open(folder.path().join("app.db")).unwrap();
    let ada = session(&store, "ada");
    verbs(&mut out, &ada);
    dynamic(&mut out, &ada);
    members(&mut out, &store, &ada);
    sql(&mut out, &ada);
    let log = ada.audit().list().unwrap();
    let secret = |name: &str| {
        log.iter().flat_map(|entry| entry.changes.iter().flatten()).any(|c| c.column == name && c.redacted)
    };
    assert!(
        ["pin", "number", "words", "drawer"].iter().all(|name| secret(name)),
        "that they changed is told"
    );
    out.debug("AuditEntry", &log);
    out.debug("AuditPage", &ada.audit().newest_first().page(5).unwrap());
    out.debug(
        "TypedChange",
        &log.iter()
            .filter(|entry| entry.entity.as_deref() == Some("vault"))
            .map(|entry| entry.change(Vault::PIN))
            .collect::<Vec<_>>(),
    );
    let id = ada.query::<Vault>().filter(Vault::LABEL.eq("one")).one().unwrap().id;
    let history = ada.audit().history(id).unwrap();
    assert!(history.len() > 3);
    out.debug("Version", &history);
    out.debug("StateAt", &ada.audit().state_at(id, Timestamp::now()).unwrap());
    out.debug("StateAt", &ada.audit().state_at(Id::<Fields>::from_uuid(id.uuid()), Timestamp::now()));
    out.debug("ChangedRecord", &ada.audit().records().unwrap());
    let refusals = ada.audit().refusals().unwrap();
    assert!(!refusals.is_empty());
    out.debug("Refusals", &refusals);
    for (what, export) in [("JSON Lines", true), ("CloudEvents", false)] {
        let mut bytes = Vec::new();
        let audit = ada.audit();
        let count =
            if export { audit.export_json_lines(&mut bytes) } else { audit.export_cloud_events(&mut bytes) };
        assert!(count.unwrap() > 20);
        out.text(what, String::from_utf8(bytes).unwrap());
    }
    let reads = ada.audit().reads();
    let read = reads.list().unwrap();
    assert!(read.len() > 10);
    out.debug("ReadEntry", &read);
    out.debug("ReadPage", &reads.page(5).unwrap());
    out.debug("Reads", &reads);
    out.debug("AuditEntries", &ada.audit().iter().unwrap());
    out.debug("Audit", &ada.audit());
    out.debug("Verification", &ada.audit().verify().unwrap());
    let slow = store.slow_operations();
    assert!(slow.len() > 20);
    out.debug("SlowOperation", &slow);
    out.debug("Stats", &store.stats().unwrap());
    out.debug("Definition", &store.definitions());
    out.debug("Store", &store);
    out.debug("Session", &ada);
    damaged(&mut out, &store, &ada);
    // What lies in the log's table, with the canaries' bytes.
    let file = engine::look(store.path());
    let mut bodies = file.prepare("SELECT hex(body), body FROM _audit WHERE body IS NOT NULL").unwrap();
    let bodies = bodies.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    let bodies: Vec<(String, Vec<u8>)> = bodies.collect::<Result<_, _>>().unwrap();
    assert!(bodies.len() > 20);
    for (digits, body) in bodies {
        out.text("_audit", digits + &String::from_utf8_lossy(&body));
    }
    store.close().unwrap();
    let traced = String::from_utf8_lossy(&lines.0.lock().unwrap()).into_owned();
    assert!(traced.contains("operation=\"insert\"") && traced.contains("a slow operation"), "{traced}");
    out.text("traces", traced);
    println!("{} texts searched", out.0.len());
    assert!(out.0.len() > 150);
    out.assert_clean();
}

/// A definition made at run time does the same.
#[test]
fn a_secret_column_of_a_dynamic_entity_stays_secret() {
    listen();
    let mut out = Out::default();
    let drawer = ColumnKind::Reference { entity: "drawer".into(), on_delete: OnDelete::Restrict };
    let definition = Definition::new("safe", Tenancy::User)
        .column(ColumnDefinition::new("pin", ColumnKind::Text).secret())
        .column(ColumnDefinition::new("number", ColumnKind::Integer).secret().optional())
        .column(ColumnDefinition::new("drawer", drawer).secret().optional())
        .unique(["pin"]);
    let store = builder().definition(definition).temporary().unwrap();
    let ada = session(&store, "ada");
    let safes = ada.dynamic("safe").unwrap();
    let id = safes.insert(Fields::new().with("pin", PIN).with("number", NUMBER)).unwrap();
    let record: Record<Fields> = safes.get(id).unwrap();
    out.debug("Record<Fields>", &record);
    out.fails("unique", safes.insert(Fields::new().with("pin", PIN)));
    out.fails("reference", safes.patch(id, Fields::new().with("drawer", Value::Uuid(UUID))));
    out.fails("page", safes.query().order_by(column("pin").desc()).page(1));
    safes.patch(id, Fields::new().with("number", NUMBER + 1)).unwrap();
    safes.delete(id).unwrap();
    out.debug("audit", &ada.audit().list().unwrap());
    assert!(matches!(safes.get(id), Err(Error::NotFound { .. })));
    out.assert_clean();
}
