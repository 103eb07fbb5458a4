//! Any text as a tenant's own SQL.

#![no_main]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use libfuzzer_sys::fuzz_target;
use tenantry::{
    Entity, Error, Id, OrganizationId, OrganizationSession, PlanStep, Role, SqlLimits, SqlRows, Store,
    TenantSession, Timestamp, UserId,
};

/// In every value of every other tenant.
const CANARY: &str = "CANARYq7";

#[derive(Entity)]
#[entity(index(status, due), unique(title))]
struct Task {
    title: String,
    status: String,
    due: Option<Timestamp>,
    amount: f64,
    done: bool,
    #[entity(nested)]
    tags: Vec<String>,
    payload: Vec<u8>,
    project: Option<Id<Project>>,
}

#[derive(Entity)]
struct Project {
    name: String,
}

#[derive(Entity)]
#[entity(tenancy = reference)]
struct Category {
    code: String,
}

#[derive(Entity)]
#[entity(tenancy = organization, author)]
struct Ticket {
    title: String,
    assignee: Option<UserId>,
}

#[derive(Entity)]
#[entity(tenancy = member)]
struct Note {
    text: String,
    ticket: Option<Id<Ticket>>,
}

struct World {
    user: TenantSession,
    member: OrganizationSession,
    /// The files as they are and stay.
    files: Vec<Seen>,
    runs: AtomicU32,
    folder: tempfile::TempDir,
    _store: Store,
}

fn builder() -> tenantry::Builder {
    Store::builder()
        .entity::<Task>()
        .entity::<Project>()
        .entity::<Category>()
        .entity::<Ticket>()
        .entity::<Note>()
}

fn fill(store: &Store, id: &str, organization: &str, mark: &str) -> tenantry::Result<()> {
    let user = store.users().create(&UserId::new(id)?)?;
    store.users().rename(&user, &format!("{mark} name"))?;
    let organization = OrganizationId::new(organization)?;
    let _ = store.organizations().create(&organization);
    store.organizations().add_member(&organization, &user, Role::Member)?;
    let session = store.session(&user)?;
    let project = session.insert(&Project { name: format!("{mark} project") })?;
    for number in 0..12 {
        session.insert(&Task {
            title: format!("{mark} task {number}"),
            status: if number % 2 == 0 { format!("{mark} open") } else { "done".to_owned() },
            due: (number % 3 > 0).then_some(Timestamp::UNIX_EPOCH),
            amount: f64::from(number),
            done: number % 2 == 1,
            tags: vec![format!("{mark} tag"), "x".to_owned()],
            payload: format!("{mark} payload").into_bytes(),
            project: (number % 4 > 0).then_some(project),
        })?;
    }
    let inside = session.in_organization(&organization)?;
    let ticket =
        inside.insert(&Ticket { title: format!("{mark} ticket"), assignee: Some(user.id.clone()) })?;
    inside.insert(&Note { text: format!("{mark} note"), ticket: Some(ticket) })?;
    Ok(())
}

fn world() -> tenantry::Result<World> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("app.db");
    let store = builder().open(&path)?;
    store.reference().insert(&Category { code: "everybody's".to_owned() })?;
    fill(&store, &format!("{CANARY}-one"), &format!("{CANARY}-org"), CANARY)?;
    fill(&store, "ada", "acme", "own")?;
    fill(&store, &format!("{CANARY}-two"), &format!("{CANARY}-org"), CANARY)?;
    store.close()?;
    // Only reading: nothing may be written, not even a refusal to the log.
    let limits = SqlLimits::new().run_time(Duration::from_millis(200)).memory(64 << 20).rows(10_000);
    let store = builder().read_only().sql_limits(limits).open(&path)?;
    let user = store.session(&UserId::new("ada")?)?;
    let member = user.in_organization(&OrganizationId::new("acme")?)?;
    let files = files(folder.path());
    Ok(World { user, member, files, runs: AtomicU32::new(0), folder, _store: store })
}

/// A file, how long it is, and when it was written.
type Seen = (PathBuf, u64, SystemTime);

/// Every file but the shared memory of the log, which holds locks of readers. Not what is in them: to close such a
/// file would drop the locks that SQLite has on it in this process.
fn files(folder: &Path) -> Vec<Seen> {
    let mut files: Vec<_> = fs::read_dir(folder)
        .expect("the folder")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| !path.to_string_lossy().ends_with("-shm"))
        .map(|path| {
            let metadata = fs::metadata(&path).expect("the file's metadata");
            (path, metadata.len(), metadata.modified().expect("the file's time"))
        })
        .collect();
    files.sort();
    files
}

static WORLD: LazyLock<World> = LazyLock::new(|| world().expect("a store"));

/// Whether something of another tenant, or of the mechanism, is in a text that the statement does not hold itself.
fn assert_clean(statement: &str, told: &str) {
    let (statement, told) = (statement.to_ascii_lowercase(), told.to_ascii_lowercase());
    for hidden in [CANARY, "_rows_", "_tenant"] {
        let hidden = hidden.to_ascii_lowercase();
        // A statement can spell it out of pieces; in that case it holds some of them.
        assert!(!told.contains(&hidden) || statement.contains(&hidden[..4]), "{hidden} in {told}");
    }
}

fn assert_result(statement: &str, outcome: &Result<SqlRows, Error>) {
    match outcome {
        Ok(rows) => {
            for column in rows.columns() {
                assert_clean(statement, column.name());
            }
            for row in rows {
                for value in row.values() {
                    match value {
                        tenantry::Value::Text(text) => assert_clean(statement, text),
                        tenantry::Value::Bytes(bytes) => {
                            assert_clean(statement, &String::from_utf8_lossy(bytes))
                        }
                        _ => {}
                    }
                }
            }
        }
        Err(error) => assert_clean(statement, &format!("{error} {error:?}")),
    }
}

fuzz_target!(|text: &str| {
    let world = &*WORLD;
    let run = world.runs.fetch_add(1, Ordering::Relaxed);
    assert_result(text, &world.user.sql(text).rows());
    assert_plan(text, world.user.sql(text).explain());
    // Of an organization that another process may change, a store that only reads keeps no connection: that is slow.
    if run.is_multiple_of(8) {
        assert_result(text, &world.member.sql(text).rows());
        assert_plan(text, world.member.sql(text).explain());
    }
    if run.is_multiple_of(256) {
        assert!(files(world.folder.path()) == world.files, "the files have changed");
        let own = world.user.sql("SELECT count(*) FROM task").first::<i64>();
        assert!(matches!(own, Ok(Some(12))), "{own:?}");
    }
});

fn assert_plan(statement: &str, outcome: Result<Vec<PlanStep>, Error>) {
    match outcome {
        Ok(steps) => steps.iter().for_each(|step| assert_clean(statement, &step.detail)),
        Err(error) => assert_clean(statement, &format!("{error} {error:?}")),
    }
}
