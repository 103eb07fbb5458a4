//! The row that every side stores, and random ones.

use anyhow::Result;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// About 200 bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "tenantry", derive(tenantry::Entity), entity(index(status, due desc)))]
pub struct Task {
    /// Five words.
    pub title: String,
    /// Three of four are open.
    pub status: Status,
    /// Every other one has a time.
    pub due: Option<Timestamp>,
    /// 0 to 999.
    pub points: i64,
    /// Two words.
    pub tags: Vec<String>,
    /// Twenty words.
    pub body: String,
}

/// Whether a task is done.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "tenantry", derive(tenantry::Choice))]
pub enum Status {
    /// Not yet.
    Open,
    /// Yes.
    Done,
}

impl Status {
    /// As it is stored.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Status::Open => "open",
            Status::Done => "done",
        }
    }

    /// From how it is stored.
    #[must_use]
    pub fn of(text: &str) -> Self {
        if text == "open" { Status::Open } else { Status::Done }
    }
}

/// A stored task with what Tenantry's record has too: every side reads as much.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// A UUIDv7.
    pub id: Uuid,
    /// 1 for a new record, and one more with every update.
    pub version: i64,
    /// The time within the id.
    pub created: Timestamp,
    /// When the version was made.
    pub updated: Timestamp,
    /// The values.
    pub task: Task,
}

impl Record {
    /// From what the table holds.
    ///
    /// # Errors
    ///
    /// If a time is out of range.
    pub fn new(id: Uuid, version: i64, updated: i64, task: Task) -> Result<Self> {
        let created = Timestamp::from_millisecond(i64::try_from(id.as_u128() >> 80)?)?;
        Ok(Self { id, version, created, updated: Timestamp::from_microsecond(updated)?, task })
    }
}

/// Times of tasks lie within this many seconds after 1970; those before [`DUE_BEFORE`] are listed.
const DUE_SECONDS: usize = 10_000_000;
/// What the filtered list asks for: nine of ten of the tasks with a time.
pub const DUE_BEFORE: Timestamp = Timestamp::constant(9_000_000, 0);

/// Numbers that are the same in every run: xorshift64*.
#[derive(Debug)]
pub struct Dice(u64);

impl Dice {
    /// Dice of a purpose: other parts give other numbers.
    #[must_use]
    pub fn new(parts: &[u64]) -> Self {
        let seed = parts.iter().fold(0x9e37_79b9_7f4a_7c15_u64, |seed, part| {
            (seed ^ part).wrapping_mul(0xff51_afd7_ed55_8ccd).rotate_left(29).wrapping_add(1)
        });
        Self(seed | 1)
    }

    /// From 0, less than `sides`.
    pub fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % sides
    }

    /// A random task.
    pub fn task(&mut self) -> Task {
        let (title, body) = (self.words(5), self.words(20));
        let tags = (0..2).map(|_| self.words(1)).collect();
        Task {
            title,
            status: if self.roll(4) == 0 { Status::Done } else { Status::Open },
            due: (self.roll(2) == 0).then(|| self.time()),
            points: self.roll(1_000) as i64,
            tags,
            body,
        }
    }

    /// Several random tasks.
    pub fn tasks(&mut self, count: usize) -> Vec<Task> {
        (0..count).map(|_| self.task()).collect()
    }

    fn time(&mut self) -> Timestamp {
        Timestamp::from_second(self.roll(DUE_SECONDS) as i64).unwrap_or(Timestamp::UNIX_EPOCH)
    }

    fn words(&mut self, count: usize) -> String {
        const WORDS: [&str; 16] = [
            "water", "plants", "write", "letter", "garden", "paint", "fence", "winter", "order", "seeds",
            "before", "friday", "call", "kitchen", "window", "repair",
        ];
        let mut text = String::with_capacity(count * 8);
        for _ in 0..count {
            if !text.is_empty() {
                text.push(' ');
            }
            text.push_str(WORDS[self.roll(WORDS.len())]);
        }
        text
    }
}
