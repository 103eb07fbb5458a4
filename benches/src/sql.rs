//! Tenants' own SQL by the same SQL written by hand: with `_tenant = ?` in each table, on a bare connection to the same
//! file, where nothing keeps anybody from other tenants' rows.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use rusqlite::{Connection, OpenFlags, params_from_iter};
use tenantry::{Durability, Entity, Id, Store, TenantSession, UserId};

use crate::measure::{Spread, median};
use crate::report::{Table, number, ratio};
use crate::targets::{Wanted, of_ratio};

#[derive(Entity)]
struct Project {
    name: String,
}

#[derive(Entity)]
#[entity(index(status, points))]
struct Item {
    title: String,
    status: String,
    points: i64,
    amount: f64,
    body: String,
    project: Option<Id<Project>>,
}

const PROJECTS: usize = 50;
/// A title that nobody has, so that a text of this is another one each time and means the same.
const OTHER: &str = "/*other*/";

struct Case {
    name: &'static str,
    sql: &'static str,
    /// The same by hand: the tenant's key is the first parameter.
    by_hand: &'static str,
    /// Which tenant: by how many rows it has.
    large: bool,
    by_id: bool,
    prepared: bool,
    /// How often in a slice.
    times: usize,
    target: Option<f64>,
}

const GET: &str = "SELECT id, title, status, points, amount, body, version FROM item WHERE id = ?1";
const GET_BY_HAND: &str = "SELECT _id, title, status, points, amount, body, _version FROM _rows_item WHERE _tenant = ?1 AND _id = ?2";
const LIST: &str = "SELECT id, title, status, points, amount, body, version FROM item WHERE status = 'open' ORDER BY points LIMIT 50";
const LIST_BY_HAND: &str = "SELECT _id, title, status, points, amount, body, _version FROM _rows_item WHERE _tenant = ?1 AND status = 'open' ORDER BY points LIMIT 50";
const JOIN: &str =
    "SELECT i.title, p.name FROM project p JOIN item i ON i.project = p.id WHERE p.name < 'project 02'";
const JOIN_BY_HAND: &str = "SELECT i.title, p.name FROM _rows_project p JOIN _rows_item i ON i.project = p._id AND i._tenant = ?1 WHERE p._tenant = ?1 AND p.name < 'project 02'";
const COUNT: &str = "SELECT count(*) FROM item";
const COUNT_BY_HAND: &str = "SELECT count(*) FROM _rows_item WHERE _tenant = ?1";
const AGGREGATE: &str =
    "SELECT status, count(*), sum(points), avg(amount), max(title) FROM item GROUP BY status";
const AGGREGATE_BY_HAND: &str = "SELECT status, count(*), sum(points), avg(amount), max(title) FROM _rows_item WHERE _tenant = ?1 GROUP BY status";

const fn case(name: &'static str, sql: &'static str, by_hand: &'static str, times: usize) -> Case {
    Case { name, sql, by_hand, large: false, by_id: false, prepared: false, times, target: Some(1.1) }
}

const CASES: [Case; 7] = [
    Case { by_id: true, ..case("get by id", GET, GET_BY_HAND, 2_000) },
    case("list 50 by an index", LIST, LIST_BY_HAND, 400),
    case("join of 10,000 rows with 50, 400 found", JOIN, JOIN_BY_HAND, 100),
    case("count of 10,000 rows", COUNT, COUNT_BY_HAND, 40),
    Case { large: true, ..case("aggregate of 100,000 rows", AGGREGATE, AGGREGATE_BY_HAND, 2) },
    Case {
        by_id: true,
        prepared: true,
        target: Some(2.0),
        ..case("get by id, prepared each time", GET, GET_BY_HAND, 500)
    },
    Case {
        prepared: true,
        target: None,
        ..case("list 50 by an index, prepared each time", LIST, LIST_BY_HAND, 200)
    },
];

struct Tenant {
    session: TenantSession,
    key: i64,
    ids: Vec<Id<Item>>,
}

/// Compares, and prints a table; gives it back too.
pub(crate) fn compare(rounds: usize, rows: usize, data: &Path) -> Result<String> {
    ensure!(
        rounds > 0 && rows >= PROJECTS,
        "--rounds needs a number above 0 and --rows one of {PROJECTS} or more"
    );
    let folder = tempfile::tempdir_in(data)?;
    let path = folder.path().join("sql.db");
    let store =
        Store::builder().entity::<Project>().entity::<Item>().durability(Durability::Normal).open(&path)?;
    for other in 0..10 {
        fill(&store, &path, &format!("other {other}"), rows / 20)?;
    }
    let small = fill(&store, &path, "small", rows / 10)?;
    let large = fill(&store, &path, "large", rows)?;
    let bare = Connection::open_with_flags(
        &path,
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    bare.pragma_update(None, "cache_size", -2_048)?;
    bare.set_prepared_statement_cache_capacity(32);
    let mut table = Table::new(["statement", "tenantry, µs", "by hand, µs", "ratio", "wanted", ""]);
    for case in &CASES {
        let tenant = if case.large { &large } else { &small };
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        // The first round fills caches.
        for round in 0..=rounds {
            let began = Instant::now();
            let found = (0..case.times)
                .map(|n| asked(case, tenant, round * case.times + n))
                .sum::<Result<usize>>()?;
            let our_time = began.elapsed();
            let began = Instant::now();
            let by_hand = (0..case.times)
                .map(|n| by_hand(case, tenant, &bare, round * case.times + n))
                .sum::<Result<usize>>()?;
            let their_time = began.elapsed();
            ensure!(found == by_hand && found > 0, "{}: {found} rows, {by_hand} by hand", case.name);
            if round > 0 {
                let each = |time: std::time::Duration| time.as_secs_f64() * 1e6 / case.times as f64;
                ours.push(each(our_time));
                theirs.push(each(their_time));
            }
        }
        let spread = Spread::of_ratios(&ours, &theirs);
        let wanted = case.target.map(Wanted::AtMost);
        table.row([
            case.name.to_owned(),
            number(median(ours.iter().copied())),
            number(median(theirs.iter().copied())),
            ratio(spread),
            wanted.as_ref().map_or(String::new(), Wanted::text),
            wanted
                .zip(spread)
                .map_or(String::new(), |(wanted, spread)| of_ratio(&wanted, spread.median).to_owned()),
        ]);
    }
    Ok(table.text())
}

fn fill(store: &Store, path: &Path, name: &str, rows: usize) -> Result<Tenant> {
    let session = store.session(&store.users().create(&UserId::new(name)?)?)?;
    let projects: Vec<Project> = (0..PROJECTS).map(|n| Project { name: format!("project {n:02}") }).collect();
    let projects = session.insert_many(&projects)?;
    let mut ids = Vec::new();
    for from in (0..rows).step_by(1_000) {
        let items: Vec<Item> = (from..rows.min(from + 1_000))
            .map(|n| Item {
                title: format!("item {n} of {name}"),
                status: if n % 4 == 0 { "done" } else { "open" }.to_owned(),
                points: (n * 7_919 % 1_000) as i64,
                amount: n as f64 / 4.0,
                body: "some twenty words of a text that nobody reads again ".repeat(2),
                project: Some(projects[n % PROJECTS]),
            })
            .collect();
        ids.extend(session.insert_many(&items)?);
    }
    // No public call tells the key, which is in every row.
    let key = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?.query_row(
        "SELECT key FROM _user WHERE id = ?1",
        [name],
        |row| row.get(0),
    )?;
    Ok(Tenant { session, key, ids })
}

type Got = (String, String, String, i64, f64, String, i64);

/// A text that is another one each time, if that is asked for.
fn text(case: &Case, sql: &str, number: usize) -> String {
    if case.prepared {
        format!("{sql} {}", OTHER.replace("other", &number.to_string()))
    } else {
        sql.to_owned()
    }
}

fn asked(case: &Case, tenant: &Tenant, number: usize) -> Result<usize> {
    let text = text(case, case.sql, number);
    let sql = tenant.session.sql(&text);
    if case.by_id {
        let got: Got = sql.bind(tenant.ids[number % tenant.ids.len()]).first()?.context("the row")?;
        return Ok(usize::from(!got.1.is_empty()));
    }
    match case.sql {
        LIST => Ok(sql.all::<Got>()?.len()),
        JOIN => Ok(sql.all::<(String, String)>()?.len()),
        COUNT => Ok(usize::try_from(sql.first::<i64>()?.context("a count")?)?),
        _ => Ok(sql.all::<(String, i64, i64, f64, String)>()?.len()),
    }
}

fn by_hand(case: &Case, tenant: &Tenant, bare: &Connection, number: usize) -> Result<usize> {
    let text = text(case, case.by_hand, number);
    let mut statement = bare.prepare_cached(&text)?;
    let mut params = vec![rusqlite::types::Value::Integer(tenant.key)];
    if case.by_id {
        params.push(tenant.ids[number % tenant.ids.len()].to_string().into());
    }
    let rows = statement.query(params_from_iter(params))?;
    match case.sql {
        GET | LIST => counted(rows.mapped(got)),
        JOIN => counted(rows.mapped(|row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)))),
        COUNT => {
            let counts = rows.mapped(|row| row.get::<_, i64>(0)).collect::<rusqlite::Result<Vec<_>>>()?;
            Ok(usize::try_from(counts[0])?)
        }
        _ => counted(rows.mapped(|row| {
            Ok((
                row.get::<_, String>(0)?,
                row.get::<_, i64>(1)?,
                row.get::<_, i64>(2)?,
                row.get::<_, f64>(3)?,
                row.get::<_, String>(4)?,
            ))
        })),
    }
}

fn got(row: &rusqlite::Row<'_>) -> rusqlite::Result<Got> {
    Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?, row.get(6)?))
}

/// As many as there are, all of them held as the other side does.
fn counted<T>(rows: impl Iterator<Item = rusqlite::Result<T>>) -> Result<usize> {
    Ok(rows.collect::<rusqlite::Result<Vec<T>>>()?.len())
}
