//! Several threads for a fixed time: what each of them does, and what came of it.

use std::hint::black_box;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::latency::Latencies;
use crate::side::Worker;
use crate::task::{Dice, Task};

/// How long the light tenant rests between two rounds of its work.
const REST: Duration = Duration::from_millis(5);
/// Tasks that a thread inserts in turn, made before the time begins.
const READY: usize = 256;

/// What the threads do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Traffic {
    /// Every thread inserts, for tenants of its own.
    Insert,
    /// Of ten operations of a thread six are gets, two list the newest 50, one inserts and one
    /// updates a row that the thread has inserted. Tenants of its own.
    Mixed,
    /// The first thread is a light tenant that inserts and gets one row every 5 ms. All others
    /// insert for one other tenant as fast as they can.
    Neighbours,
}

impl Traffic {
    /// The kinds of operations whose latencies are kept apart.
    #[must_use]
    pub fn kinds(self) -> &'static [&'static str] {
        match self {
            Traffic::Insert => &["insert"],
            Traffic::Mixed => &["read", "write"],
            Traffic::Neighbours => &["insert", "get"],
        }
    }
}

/// A window to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// What the threads do.
    pub traffic: Traffic,
    /// How many there are.
    pub threads: usize,
    /// For how long.
    pub time: Duration,
}

impl Plan {
    /// How many tenants there must be.
    #[must_use]
    pub fn tenants(&self) -> usize {
        match self.traffic {
            Traffic::Insert | Traffic::Mixed => self.threads,
            Traffic::Neighbours => self.threads.min(2),
        }
    }
}

/// What came of a window.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Window {
    /// Operations that each thread completed in time.
    pub completed: Vec<u64>,
    /// How long the window was.
    pub seconds: f64,
    /// Latencies of the traffic's kinds of operations, of all threads but a flood.
    pub latencies: Vec<Latencies>,
}

impl Window {
    /// Operations per second.
    #[must_use]
    pub fn throughput(&self) -> f64 {
        self.completed.iter().sum::<u64>() as f64 / self.seconds
    }

    /// Operations of the slowest thread by those of the fastest.
    #[must_use]
    pub fn fairness(&self) -> f64 {
        let (least, most) = (self.completed.iter().min(), self.completed.iter().max());
        match (least, most) {
            (Some(least), Some(most)) if *most > 0 => *least as f64 / *most as f64,
            _ => 0.0,
        }
    }
}

/// What one thread has done.
pub(crate) struct Done {
    /// The rows that it has inserted.
    pub(crate) made: Vec<(usize, Uuid)>,
    /// Answered writes.
    pub(crate) writes: i64,
    completed: u64,
    latencies: Vec<Latencies>,
}

/// One thread at work.
struct Thread<'w, W> {
    worker: &'w mut W,
    tenants: Vec<usize>,
    ids: &'w [Vec<Uuid>],
    dice: Dice,
    ready: Vec<Task>,
    deadline: Instant,
    done: Done,
}

/// Runs a window with one worker for each thread.
pub(crate) fn run<W: Worker>(
    plan: &Plan,
    workers: &mut [W],
    ids: &[Vec<Uuid>],
    seed: u64,
) -> Result<(Window, Vec<Done>)> {
    let barrier = Barrier::new(workers.len());
    let threads = workers.len();
    let done: Vec<Done> = thread::scope(|scope| {
        let running: Vec<_> = workers
            .iter_mut()
            .enumerate()
            .map(|(number, worker)| {
                let barrier = &barrier;
                scope.spawn(move || drive(plan, number, threads, worker, ids, seed, barrier))
            })
            .collect();
        running
            .into_iter()
            .map(|thread| thread.join().map_err(|_| anyhow::anyhow!("a thread panicked"))?)
            .collect::<Result<_>>()
    })?;
    let mut latencies: Vec<Latencies> =
        plan.traffic.kinds().iter().map(|_| Latencies::new()).collect::<Result<_>>()?;
    let heard = if plan.traffic == Traffic::Neighbours { 1 } else { done.len() };
    for thread in &done[..heard] {
        for (all, one) in latencies.iter_mut().zip(&thread.latencies) {
            all.merge(one)?;
        }
    }
    let completed = done.iter().map(|thread| thread.completed).collect();
    Ok((Window { completed, seconds: plan.time.as_secs_f64(), latencies }, done))
}

fn drive<W: Worker>(
    plan: &Plan,
    number: usize,
    threads: usize,
    worker: &mut W,
    ids: &[Vec<Uuid>],
    seed: u64,
    barrier: &Barrier,
) -> Result<Done> {
    let mut dice = Dice::new(&[seed, number as u64]);
    let tenants = match plan.traffic {
        Traffic::Neighbours => vec![number.min(1)],
        Traffic::Insert | Traffic::Mixed => (number..ids.len()).step_by(threads).collect(),
    };
    let ready = dice.tasks(READY);
    let latencies = plan.traffic.kinds().iter().map(|_| Latencies::new()).collect::<Result<_>>()?;
    barrier.wait();
    let mut thread = Thread {
        worker,
        tenants,
        ids,
        dice,
        ready,
        deadline: Instant::now() + plan.time,
        done: Done { made: Vec::new(), writes: 0, completed: 0, latencies },
    };
    while Instant::now() < thread.deadline {
        match plan.traffic {
            Traffic::Neighbours if number == 0 => thread.light()?,
            Traffic::Mixed => thread.mixed()?,
            Traffic::Insert | Traffic::Neighbours => thread.insert(0)?,
        }
    }
    Ok(thread.done)
}

impl<W: Worker> Thread<'_, W> {
    fn insert(&mut self, kind: usize) -> Result<()> {
        let tenant = self.tenants[self.dice.roll(self.tenants.len())];
        let place = self.dice.roll(self.ready.len());
        let began = Instant::now();
        let id = self.worker.insert(tenant, &self.ready[place])?;
        self.note(kind, began);
        self.done.made.push((tenant, id));
        self.done.writes += 1;
        Ok(())
    }

    fn mixed(&mut self) -> Result<()> {
        let tenant = self.tenants[self.dice.roll(self.tenants.len())];
        let ids = &self.ids[tenant];
        match self.dice.roll(10) {
            0..6 => {
                let id = ids[self.dice.roll(ids.len())];
                let began = Instant::now();
                black_box(self.worker.get(tenant, id)?);
                self.note(0, began);
            }
            6 | 7 => {
                let began = Instant::now();
                black_box(self.worker.newest(tenant)?);
                self.note(0, began);
            }
            8 if !self.done.made.is_empty() => {
                let (tenant, id) = self.done.made[self.dice.roll(self.done.made.len())];
                let place = self.dice.roll(self.ready.len());
                let began = Instant::now();
                self.worker.update(tenant, id, &self.ready[place])?;
                self.note(1, began);
                self.done.writes += 1;
            }
            _ => self.insert(1)?,
        }
        Ok(())
    }

    fn light(&mut self) -> Result<()> {
        let next = Instant::now() + REST;
        self.insert(0)?;
        let (tenant, id) = *self.done.made.last().context("nothing was inserted")?;
        let began = Instant::now();
        black_box(self.worker.get(tenant, id)?);
        self.note(1, began);
        thread::sleep(next.saturating_duration_since(Instant::now()));
        Ok(())
    }

    fn note(&mut self, kind: usize, began: Instant) {
        let now = Instant::now();
        self.done.latencies[kind].add(now - began);
        if now <= self.deadline {
            self.done.completed += 1;
        }
    }
}
