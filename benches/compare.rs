//! Tenantry against hand-written rusqlite that does the same work: the same rows, and in the same
//! transaction the same audit entry with its hash chain and payload, and the same heads.
//!
//! `cargo bench --bench compare` (`-- --quick` for a run of seconds, `-- --help` for sizes).
//!
//! Both sides take turns within one process, in small slices, so that what else the machine does
//! meets both. A round's ratio is Tenantry's time by the other's; the table has the median of
//! the rounds' ratios with the smallest and the largest. One thread, files in a temporary folder.
//! Writes wait for the disk (`synchronous=FULL`), which hides what they cost the processor; with
//! `--dir` on a memory file system (`/dev/shm`) that is all that is left.
//!
//! At the end both files must hold the same rows, the same bytes, and as many audit entries with
//! payloads of the same length; otherwise there is no result.

mod hand;

use std::hint::black_box;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use hand::Hand;
use tenantry::{Choice, Entity, Id, Record, Store, TenantSession, Timestamp, UserId, Uuid};

/// About 200 bytes.
#[derive(Debug, Clone, PartialEq, Entity)]
#[entity(index(status, due desc))]
struct Task {
    title: String,
    status: Status,
    due: Option<Timestamp>,
    points: i64,
    tags: Vec<String>,
    body: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Choice)]
enum Status {
    Open,
    Done,
}

/// Compares Tenantry with hand-written rusqlite on one thread.
#[derive(Debug, Parser)]
struct Options {
    /// Small sizes and few rounds: a smoke run of seconds, whose numbers mean little
    #[arg(long)]
    quick: bool,
    /// Tenants
    #[arg(long, env = "TENANTRY_BENCH_TENANTS", default_value_t = 50)]
    tenants: usize,
    /// Rows of each tenant
    #[arg(long, env = "TENANTRY_BENCH_ROWS", default_value_t = 1_000)]
    rows: usize,
    /// Rounds; in each of them every operation is measured once on both sides
    #[arg(long, env = "TENANTRY_BENCH_ROUNDS", default_value_t = 11)]
    rounds: usize,
    /// Operations in a round: this many writes, and in proportion reads
    #[arg(long, env = "TENANTRY_BENCH_OPS", default_value_t = 400)]
    ops: usize,
    /// Folder for the files [default: the system's temporary folder]
    #[arg(long, env = "TENANTRY_BENCH_DIR")]
    dir: Option<PathBuf>,
    /// Only the operation of this name
    #[arg(long)]
    only: Option<String>,
    /// Measure one side alone, for a profiler
    #[arg(long, value_enum)]
    side: Option<SideName>,
    /// What cargo passes
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, clap::ValueEnum)]
enum SideName {
    Hand,
    Tenantry,
}

/// One way to do the work. Tenants are numbered from 0.
trait Side {
    fn insert(&mut self, tenant: usize, task: &Task) -> Result<Uuid>;
    /// In one transaction.
    fn insert_many(&mut self, tenant: usize, tasks: &[Task]) -> Result<Vec<Uuid>>;
    fn update(&mut self, tenant: usize, id: Uuid, task: &Task) -> Result<()>;
    fn delete(&mut self, tenant: usize, id: Uuid) -> Result<()>;
    /// In one transaction.
    fn delete_many(&mut self, tenant: usize, ids: &[Uuid]) -> Result<()>;
    fn get(&mut self, tenant: usize, id: Uuid) -> Result<()>;
    fn newest(&mut self, tenant: usize) -> Result<()>;
    fn page(&mut self, tenant: usize) -> Result<()>;
    fn scan(&mut self, tenant: usize) -> Result<()>;
    fn count(&mut self, tenant: usize) -> Result<u64>;
    /// What [`scan`](Self::scan) and [`newest`](Self::newest) read, to compare.
    fn tasks(&mut self, tenant: usize) -> Result<(Vec<Task>, Vec<Task>)>;
    /// Closes the file and counts what is in it.
    fn totals(self: Box<Self>) -> Result<Totals>;
}

/// What both files must have in common at the end.
#[derive(Debug, PartialEq)]
struct Totals {
    rows: i64,
    bytes: i64,
    entries: i64,
    payloads: i64,
    payload_bytes: i64,
}

struct Library {
    store: Store,
    sessions: Vec<TenantSession>,
}

impl Library {
    fn create(path: &std::path::Path, tenants: usize) -> Result<Self> {
        let store = Store::builder().entity::<Task>().open(path)?;
        let sessions = (0..tenants)
            .map(|tenant| {
                let user = store.users().create(&UserId::new(format!("user-{tenant}"))?)?;
                store.session(&user)
            })
            .collect::<tenantry::Result<_>>()?;
        Ok(Self { store, sessions })
    }
}

impl Side for Library {
    fn insert(&mut self, tenant: usize, task: &Task) -> Result<Uuid> {
        Ok(self.sessions[tenant].insert(task)?.uuid())
    }

    fn insert_many(&mut self, tenant: usize, tasks: &[Task]) -> Result<Vec<Uuid>> {
        Ok(self.sessions[tenant].insert_many(tasks)?.into_iter().map(Id::uuid).collect())
    }

    fn update(&mut self, tenant: usize, id: Uuid, task: &Task) -> Result<()> {
        self.sessions[tenant].update(Id::from_uuid(id), task)?;
        Ok(())
    }

    fn delete(&mut self, tenant: usize, id: Uuid) -> Result<()> {
        Ok(self.sessions[tenant].delete(Id::<Task>::from_uuid(id))?)
    }

    fn delete_many(&mut self, tenant: usize, ids: &[Uuid]) -> Result<()> {
        Ok(self.sessions[tenant]
            .transaction(|tx| ids.iter().try_for_each(|id| tx.delete(Id::<Task>::from_uuid(*id))))?)
    }

    fn get(&mut self, tenant: usize, id: Uuid) -> Result<()> {
        black_box(self.sessions[tenant].get(Id::<Task>::from_uuid(id))?);
        Ok(())
    }

    fn newest(&mut self, tenant: usize) -> Result<()> {
        let order = Record::<Task>::CREATED.desc();
        black_box(self.sessions[tenant].query::<Task>().order_by(order).limit(50).list()?);
        Ok(())
    }

    fn page(&mut self, tenant: usize) -> Result<()> {
        let order = Record::<Task>::CREATED.desc();
        black_box(self.sessions[tenant].query::<Task>().order_by(order).page(50)?);
        Ok(())
    }

    fn scan(&mut self, tenant: usize) -> Result<()> {
        black_box(self.sessions[tenant].list::<Task>()?);
        Ok(())
    }

    fn count(&mut self, tenant: usize) -> Result<u64> {
        Ok(self.sessions[tenant].count::<Task>()?)
    }

    fn tasks(&mut self, tenant: usize) -> Result<(Vec<Task>, Vec<Task>)> {
        let tasks = |records: Vec<Record<Task>>| records.into_iter().map(|record| record.value).collect();
        let session = &self.sessions[tenant];
        let newest = session.query::<Task>().order_by(Record::<Task>::CREATED.desc()).limit(50).list()?;
        Ok((tasks(session.list()?), tasks(newest)))
    }

    fn totals(self: Box<Self>) -> Result<Totals> {
        let report = self.store.check()?;
        ensure!(report.is_clean(), "the store is not what it should be: {report}");
        self.store.close()?;
        let file = rusqlite::Connection::open(self.store.path())?;
        let one = |sql: &str| file.query_row(sql, [], |row| row.get::<_, i64>(0));
        Ok(Totals {
            rows: one("SELECT count(*) FROM _rows_task")?,
            bytes: one("SELECT sum(bytes) FROM _row_head")?,
            // Users have entries of their own.
            entries: one("SELECT count(*) FROM _audit WHERE entity = 'task'")?,
            payloads: one("SELECT count(body) FROM _audit WHERE entity = 'task'")?,
            payload_bytes: one("SELECT sum(length(body)) FROM _audit WHERE entity = 'task'")?,
        })
    }
}

/// Numbers that are the same in every run: xorshift64*.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % sides
    }

    fn task(&mut self) -> Task {
        const WORDS: [&str; 16] = [
            "water", "plants", "write", "letter", "garden", "paint", "fence", "winter", "order", "seeds",
            "before", "friday", "call", "kitchen", "window", "repair",
        ];
        let mut words = |count: usize| {
            let words: Vec<&str> = (0..count).map(|_| WORDS[self.roll(WORDS.len())]).collect();
            words.join(" ")
        };
        let (title, body) = (words(5), words(20));
        let tags = (0..2).map(|_| words(1)).collect();
        Task {
            title,
            status: if self.roll(4) == 0 { Status::Done } else { Status::Open },
            due: (self.roll(2) == 0).then_some(Timestamp::UNIX_EPOCH),
            points: self.roll(1_000) as i64,
            tags,
            body,
        }
    }
}

/// One side, and the ids of the rows that it made, in the same places on both sides.
struct Runner {
    side: Box<dyn Side>,
    ids: Vec<Vec<Uuid>>,
}

/// One operation on both sides; its plan holds places, not ids, which differ.
#[derive(Clone)]
enum Step {
    Insert(usize, Task),
    InsertMany(usize, Vec<Task>),
    Get(usize, usize),
    Newest(usize),
    Page(usize),
    Scan(usize),
    Count(usize),
    Update(usize, usize, Task),
    /// Takes the id out: the last one moves to its place.
    Delete(usize, usize),
}

impl Runner {
    /// How long the steps take.
    fn run(&mut self, steps: &[Step]) -> Result<Duration> {
        let mut taken = Duration::ZERO;
        for step in steps {
            match step {
                Step::Insert(tenant, task) => {
                    let start = Instant::now();
                    let id = self.side.insert(*tenant, task)?;
                    taken += start.elapsed();
                    self.ids[*tenant].push(id);
                }
                Step::InsertMany(tenant, tasks) => {
                    let start = Instant::now();
                    let ids = self.side.insert_many(*tenant, tasks)?;
                    taken += start.elapsed();
                    // They go again at once, so that the tables keep their size.
                    self.side.delete_many(*tenant, &ids)?;
                }
                Step::Get(tenant, place) => {
                    let id = self.ids[*tenant][*place];
                    let start = Instant::now();
                    self.side.get(*tenant, id)?;
                    taken += start.elapsed();
                }
                Step::Update(tenant, place, task) => {
                    let id = self.ids[*tenant][*place];
                    let start = Instant::now();
                    self.side.update(*tenant, id, task)?;
                    taken += start.elapsed();
                }
                Step::Delete(tenant, place) => {
                    let id = self.ids[*tenant].swap_remove(*place);
                    let start = Instant::now();
                    self.side.delete(*tenant, id)?;
                    taken += start.elapsed();
                }
                Step::Newest(tenant) => {
                    let start = Instant::now();
                    self.side.newest(*tenant)?;
                    taken += start.elapsed();
                }
                Step::Page(tenant) => {
                    let start = Instant::now();
                    self.side.page(*tenant)?;
                    taken += start.elapsed();
                }
                Step::Scan(tenant) => {
                    let start = Instant::now();
                    self.side.scan(*tenant)?;
                    taken += start.elapsed();
                }
                Step::Count(tenant) => {
                    let start = Instant::now();
                    black_box(self.side.count(*tenant)?);
                    taken += start.elapsed();
                }
            }
        }
        Ok(taken)
    }
}

/// Operations in the order of the table. Inserts and deletions of a round are as many.
const OPERATIONS: [&str; 9] = [
    "insert",
    "insert 100 at once",
    "get",
    "list 50 newest",
    "page of 50 newest",
    "count",
    "scan a tenant",
    "update",
    "delete",
];

/// What an operation does in one round. `sizes` are the tenants' rows when it begins.
fn plan(operation: usize, options: &Options, sizes: &[usize], dice: &mut Dice) -> Vec<Step> {
    let mut sizes = sizes.to_vec();
    let count = match operation {
        1 | 6 => options.ops / 20,
        2 | 5 => options.ops * 5,
        3 | 4 => options.ops / 2,
        _ => options.ops,
    };
    (0..count.max(2))
        .map(|_| {
            let tenant = dice.roll(options.tenants);
            match operation {
                0 => Step::Insert(tenant, dice.task()),
                1 => Step::InsertMany(tenant, (0..100).map(|_| dice.task()).collect()),
                2 => Step::Get(tenant, dice.roll(sizes[tenant])),
                3 => Step::Newest(tenant),
                4 => Step::Page(tenant),
                5 => Step::Count(tenant),
                6 => Step::Scan(tenant),
                7 => Step::Update(tenant, dice.roll(sizes[tenant]), dice.task()),
                _ => {
                    let place = dice.roll(sizes[tenant]);
                    sizes[tenant] -= 1;
                    Step::Delete(tenant, place)
                }
            }
        })
        .collect()
}

/// Time per operation of each side in one round, in microseconds.
struct Measured([f64; 2]);

fn main() -> Result<()> {
    let mut options = Options::parse();
    if options.quick {
        (options.tenants, options.rows, options.rounds, options.ops) = (5, 100, 3, 40);
    }
    ensure!(options.tenants > 0 && options.rows > options.ops, "more rows than operations are needed");
    let folder = match &options.dir {
        Some(dir) => tempfile::tempdir_in(dir),
        None => tempfile::tempdir(),
    }
    .context("no folder for the files")?;
    let ids = || vec![Vec::new(); options.tenants];
    let mut runners = [
        Runner { side: Box::new(Hand::create(&folder.path().join("hand.db"), options.tenants)?), ids: ids() },
        Runner {
            side: Box::new(Library::create(&folder.path().join("tenantry.db"), options.tenants)?),
            ids: ids(),
        },
    ];
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    load(&options, &mut runners, &mut dice)?;
    let results = measure(&options, &mut runners, &mut dice)?;
    // One side alone has done more than the other.
    let alone = options.side.is_some();
    for tenant in 0..if alone { 0 } else { options.tenants } {
        let [hand, library] = &mut runners;
        ensure!(
            hand.side.tasks(tenant)? == library.side.tasks(tenant)?,
            "the sides hold different rows of tenant {tenant}"
        );
        ensure!(
            hand.side.count(tenant)? == library.side.count(tenant)?,
            "the sides count different rows of tenant {tenant}"
        );
    }
    let [hand, library] = runners;
    let (hand, library) = (hand.side.totals()?, library.side.totals()?);
    ensure!(alone || hand == library, "the work differs: {hand:?} and {library:?}");
    report(&options, &results, &library);
    Ok(())
}

/// Fills both sides, tenants mixed as in real life: a few rows of each in turn.
fn load(options: &Options, runners: &mut [Runner; 2], dice: &mut Dice) -> Result<()> {
    const BATCH: usize = 4;
    for start in (0..options.rows).step_by(BATCH) {
        for tenant in 0..options.tenants {
            let tasks: Vec<Task> = (start..options.rows.min(start + BATCH)).map(|_| dice.task()).collect();
            for runner in runners.iter_mut() {
                let ids = runner.side.insert_many(tenant, &tasks)?;
                runner.ids[tenant].extend(ids);
            }
        }
    }
    Ok(())
}

fn measure(
    options: &Options,
    runners: &mut [Runner; 2],
    dice: &mut Dice,
) -> Result<Vec<(&'static str, Vec<Measured>)>> {
    // Turns of a side within a round.
    const SLICES: usize = 40;
    let mut results: Vec<(&str, Vec<Measured>)> = OPERATIONS.iter().map(|name| (*name, Vec::new())).collect();
    // The first round only warms up.
    for round in 0..=options.rounds {
        for (operation, (name, measured)) in results.iter_mut().enumerate() {
            if options.only.as_ref().is_some_and(|only| *name != only.as_str()) {
                continue;
            }
            let sizes: Vec<usize> = runners[0].ids.iter().map(Vec::len).collect();
            let steps = plan(operation, options, &sizes, dice);
            let mut taken = [Duration::ZERO; 2];
            for (slice, steps) in steps.chunks(steps.len().div_ceil(SLICES)).enumerate() {
                let first = (round + slice) % 2;
                for side in [first, 1 - first] {
                    match options.side {
                        Some(SideName::Hand) if side == 1 => {}
                        Some(SideName::Tenantry) if side == 0 => {}
                        _ => taken[side] += runners[side].run(steps)?,
                    }
                }
            }
            if round > 0 {
                let count = steps.len() as f64;
                measured.push(Measured(taken.map(|taken| taken.as_secs_f64() * 1e6 / count)));
            }
        }
    }
    results.retain(|(_, measured)| !measured.is_empty());
    Ok(results)
}

fn median(numbers: impl Iterator<Item = f64>) -> (f64, f64, f64) {
    let mut numbers: Vec<f64> = numbers.collect();
    numbers.sort_by(f64::total_cmp);
    (numbers[numbers.len() / 2], numbers[0], numbers[numbers.len() - 1])
}

fn report(options: &Options, results: &[(&str, Vec<Measured>)], totals: &Totals) {
    println!(
        "{} tenants x {} rows, {} rounds, {} writes per round; {} rows and {} audit entries at the end",
        options.tenants, options.rows, options.rounds, options.ops, totals.rows, totals.entries
    );
    println!("{:<20} {:>10} {:>12} {:>7}   rounds", "", "hand, us", "tenantry, us", "ratio");
    for (name, measured) in results {
        let side = |side: usize| median(measured.iter().map(move |measured| measured.0[side])).0;
        let (ratio, least, most) = median(measured.iter().map(|m| m.0[1] / m.0[0]));
        println!("{name:<20} {:>10.1} {:>12.1} {ratio:>7.2}   {least:.2} to {most:.2}", side(0), side(1));
    }
}
