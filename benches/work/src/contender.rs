//! One side with its data: it carries out rounds and windows, and knows what must be in the file.

use std::hint::black_box;
use std::iter::repeat_n;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::operation::{Operation, Step};
use crate::side::{AuditTotals, Setup, Side, Worker};
use crate::task::{DUE_BEFORE, Dice};
use crate::window::{self, Plan, Window};

/// Rows that are loaded at once.
const LOAD: usize = 1_000;
/// Rows that a transaction of the clean-up deletes at most.
const CLEAN: usize = 500;

/// What is asked of a contender, wherever it runs. Contenders that were asked the same hold the
/// same rows.
pub trait Run: Send {
    /// Fills the tables with as many rows of each tenant, mixed as they arrive in life: a few of each
    /// in turn. Comes first.
    ///
    /// # Errors
    ///
    /// If a write fails.
    fn load(&mut self, rows: usize, few: usize) -> Result<()>;

    /// Carries out one of the slices of a round; how long its steps took, and how many they were.
    ///
    /// # Errors
    ///
    /// If a step fails.
    fn slice(&mut self, slice: Slice) -> Result<(Duration, usize)>;

    /// Carries out a window, checks that every answered insert is counted, and deletes what it
    /// has inserted.
    ///
    /// # Errors
    ///
    /// If a thread fails, or a count is not what was answered.
    fn window(&mut self, plan: Plan) -> Result<Window>;

    /// Reads everything.
    ///
    /// # Errors
    ///
    /// If what is kept beside the rows is not what was written.
    fn totals(&mut self) -> Result<Totals>;
}

/// A part of a round, so that sides can take turns within it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slice {
    /// What is done.
    pub operation: Operation,
    /// How many inserts a round has; other operations in proportion.
    pub inserts: usize,
    /// Which slice this is, from 0; they come in order.
    pub number: usize,
    /// Of how many.
    pub of: usize,
}

/// What a file holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Rows of all tenants.
    pub rows: u64,
    /// A hash over what every tenant's scan, lists and count give.
    pub digest: String,
    /// What is kept beside them, of an audited side.
    pub audit: Option<AuditTotals>,
}

/// A side in this process.
pub struct Contender<S: Side> {
    side: S,
    workers: Vec<S::Worker>,
    /// The ids of each tenant's rows, in the same places on every side.
    ids: Vec<Vec<Uuid>>,
    dice: Dice,
    steps: Vec<Step>,
    windows: u64,
    /// Answered writes of rows.
    writes: i64,
}

impl<S: Side> Contender<S> {
    /// Makes the side; `None` if it does not offer the durability.
    ///
    /// # Errors
    ///
    /// If it cannot be made.
    pub fn create(setup: &Setup) -> Result<Option<Self>> {
        Ok(S::create(setup)?.map(|side| Self {
            side,
            workers: Vec::new(),
            ids: vec![Vec::new(); setup.tenants],
            dice: Dice::new(&[1]),
            steps: Vec::new(),
            windows: 0,
            writes: 0,
        }))
    }

    /// Deletes the rows of a tenant in transactions of a good size.
    fn clean(&mut self, tenant: usize, ids: &[Uuid]) -> Result<()> {
        for ids in ids.chunks(CLEAN) {
            self.workers[0].delete_many(tenant, ids)?;
            self.writes += i64::try_from(ids.len())?;
        }
        Ok(())
    }

    fn step(&mut self, step: &Step) -> Result<Duration> {
        let Self { workers, ids, writes, .. } = self;
        let worker = &mut workers[0];
        let began = Instant::now();
        Ok(match step {
            Step::Insert(tenant, task) => {
                let id = worker.insert(*tenant, task)?;
                let taken = began.elapsed();
                ids[*tenant].push(id);
                *writes += 1;
                taken
            }
            Step::InsertMany(tenant, tasks) => {
                let made = worker.insert_many(*tenant, tasks)?;
                let taken = began.elapsed();
                *writes += i64::try_from(made.len())?;
                self.clean(*tenant, &made)?;
                taken
            }
            Step::Get(tenant, place) => {
                let id = ids[*tenant][*place];
                let began = Instant::now();
                black_box(worker.get(*tenant, id)?);
                began.elapsed()
            }
            Step::Gets(tenant, places) => {
                let ids: Vec<Uuid> = places.iter().map(|place| ids[*tenant][*place]).collect();
                let began = Instant::now();
                black_box(worker.gets(*tenant, &ids)?);
                began.elapsed()
            }
            Step::Update(tenant, place, task) => {
                let id = ids[*tenant][*place];
                let began = Instant::now();
                worker.update(*tenant, id, task)?;
                *writes += 1;
                began.elapsed()
            }
            Step::Delete(tenant, place) => {
                let id = ids[*tenant].swap_remove(*place);
                let began = Instant::now();
                worker.delete(*tenant, id)?;
                *writes += 1;
                began.elapsed()
            }
            Step::Newest(tenant) => {
                black_box(worker.newest(*tenant)?);
                began.elapsed()
            }
            Step::Due(tenant) => {
                black_box(worker.due(*tenant, DUE_BEFORE)?);
                began.elapsed()
            }
            Step::Scan(tenant) => {
                black_box(worker.scan(*tenant)?);
                began.elapsed()
            }
            Step::Count(tenant) => {
                black_box(worker.count(*tenant)?);
                began.elapsed()
            }
        })
    }
}

impl<S: Side> Run for Contender<S> {
    fn load(&mut self, rows: usize, few: usize) -> Result<()> {
        let tenants = self.ids.len();
        let turn = |first| (0..tenants).flat_map(move |tenant| repeat_n(tenant, few.min(rows - first)));
        let order: Vec<usize> = (0..rows).step_by(few).flat_map(turn).collect();
        for tenants in order.chunks(LOAD) {
            let rows: Vec<_> = tenants.iter().map(|tenant| (*tenant, self.dice.task())).collect();
            for (tenant, id) in tenants.iter().zip(self.side.load(&rows)?) {
                self.ids[*tenant].push(id);
            }
        }
        self.writes += i64::try_from(order.len())?;
        self.side.loaded()?;
        self.workers.push(self.side.worker()?);
        Ok(())
    }

    fn slice(&mut self, slice: Slice) -> Result<(Duration, usize)> {
        if slice.number == 0 {
            let sizes: Vec<usize> = self.ids.iter().map(Vec::len).collect();
            self.steps = slice.operation.plan(slice.inserts, &sizes, &mut self.dice);
        }
        let steps = std::mem::take(&mut self.steps);
        if slice.number == 0 && slice.operation == Operation::GetAgain {
            // What it reads is to be in the caches by then.
            steps.iter().try_for_each(|step| self.step(step).map(drop))?;
        }
        let place = |number| steps.len() * number / slice.of;
        let range = place(slice.number)..place(slice.number + 1);
        let mut taken = Duration::ZERO;
        for step in &steps[range.clone()] {
            taken += self.step(step)?;
        }
        self.steps = steps;
        Ok((taken, range.len()))
    }

    fn window(&mut self, plan: Plan) -> Result<Window> {
        ensure!(plan.tenants() <= self.ids.len(), "{plan:?} needs {} tenants", plan.tenants());
        while self.workers.len() < plan.threads {
            self.workers.push(self.side.worker()?);
        }
        self.windows += 1;
        let (window, done) = window::run(&plan, &mut self.workers[..plan.threads], &self.ids, self.windows)?;
        let mut made = vec![Vec::new(); self.ids.len()];
        for thread in done {
            self.writes += thread.writes;
            for (tenant, id) in thread.made {
                made[tenant].push(id);
            }
        }
        for (tenant, made) in made.iter().enumerate() {
            let (count, answered) = (self.workers[0].count(tenant)?, self.ids[tenant].len() + made.len());
            ensure!(
                count == answered as u64,
                "tenant {tenant} has {count} rows, not the {answered} answered"
            );
            self.clean(tenant, made)?;
        }
        Ok(window)
    }

    fn totals(&mut self) -> Result<Totals> {
        let mut rows = 0;
        let mut digest = Sha256::new();
        for tenant in 0..self.ids.len() {
            let worker = &mut self.workers[0];
            let count = worker.count(tenant)?;
            let scan = worker.scan(tenant)?;
            ensure!(
                count == scan.len() as u64 && count == self.ids[tenant].len() as u64,
                "tenant {tenant}: {count} rows counted, {} read, {} written",
                scan.len(),
                self.ids[tenant].len()
            );
            rows += count;
            let lists = [scan, worker.newest(tenant)?, worker.due(tenant, DUE_BEFORE)?];
            for list in lists {
                digest.update((list.len() as u64).to_be_bytes());
                for row in list {
                    digest.update(serde_json::to_vec(&S::Worker::task(row))?);
                }
            }
        }
        let audit = self.side.audit_totals().context("the log")?;
        if let Some(audit) = audit {
            ensure!(audit.entries == self.writes, "{audit:?}, but {} writes were answered", self.writes);
        }
        let digest = digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Totals { rows, digest, audit })
    }
}
