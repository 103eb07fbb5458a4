//! The operations that are timed one at a time, and what a round of them does. A plan holds
//! places of rows and not ids, which differ from side to side.

use serde::{Deserialize, Serialize};

use crate::task::{Dice, Task};

/// Rows of one bulk insert.
const BULK: usize = 100;
/// Gets in one snapshot.
pub const SCOPE: usize = 20;
/// Tenants, and rows of each, that are read again and again.
const AGAIN: (usize, usize) = (10, 20);
/// Rows of a list; the statements in [`sql`](crate::sql) have it written out.
pub const LIST: usize = 50;

/// An operation of one thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)] // `name` says it.
pub enum Operation {
    Insert,
    InsertMany,
    Update,
    Delete,
    Get,
    GetAgain,
    Gets,
    Newest,
    Due,
    Count,
    Scan,
}

impl Operation {
    /// In the order of the tables. Inserts and deletions of a round are as many.
    pub const ALL: [Operation; 11] = [
        Operation::Insert,
        Operation::InsertMany,
        Operation::Update,
        Operation::Delete,
        Operation::Get,
        Operation::GetAgain,
        Operation::Gets,
        Operation::Newest,
        Operation::Due,
        Operation::Count,
        Operation::Scan,
    ];

    /// As it is called in options and tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Operation::Insert => "insert",
            Operation::InsertMany => "insert 100 at once",
            Operation::Get => "get",
            Operation::GetAgain => "get one of 200",
            Operation::Gets => "20 gets in one read",
            Operation::Newest => "list newest 50",
            Operation::Due => "list 50 open by due",
            Operation::Count => "count",
            Operation::Scan => "scan a tenant",
            Operation::Update => "update",
            Operation::Delete => "delete",
        }
    }

    /// Whether it commits.
    #[must_use]
    pub fn writes(self) -> bool {
        matches!(self, Operation::Insert | Operation::InsertMany | Operation::Update | Operation::Delete)
    }

    /// How many there are in a round with this many inserts. Reads are quick, and each slice of
    /// them begins with what the other sides have left in the processor's caches.
    fn count(self, inserts: usize) -> usize {
        let count = match self {
            Operation::InsertMany => inserts / 20,
            Operation::Scan => inserts / 10,
            Operation::Get | Operation::GetAgain | Operation::Count => inserts * 25,
            Operation::Newest | Operation::Due | Operation::Gets => inserts * 2,
            Operation::Insert | Operation::Update | Operation::Delete => inserts,
        };
        count.max(2)
    }

    /// What it does in a round. `sizes` are the tenants' rows when it begins.
    #[must_use]
    pub fn plan(self, inserts: usize, sizes: &[usize], dice: &mut Dice) -> Vec<Step> {
        let mut sizes = sizes.to_vec();
        (0..self.count(inserts))
            .map(|_| {
                let tenant = match self {
                    Operation::GetAgain => dice.roll(sizes.len().min(AGAIN.0)),
                    _ => with_rows(&sizes, dice),
                };
                match self {
                    Operation::Insert => Step::Insert(tenant, dice.task()),
                    Operation::InsertMany => Step::InsertMany(tenant, dice.tasks(BULK)),
                    Operation::Get => Step::Get(tenant, dice.roll(sizes[tenant])),
                    Operation::GetAgain => Step::Get(tenant, dice.roll(sizes[tenant].min(AGAIN.1))),
                    Operation::Gets => {
                        Step::Gets(tenant, (0..SCOPE).map(|_| dice.roll(sizes[tenant])).collect())
                    }
                    Operation::Newest => Step::Newest(tenant),
                    Operation::Due => Step::Due(tenant),
                    Operation::Count => Step::Count(tenant),
                    Operation::Scan => Step::Scan(tenant),
                    Operation::Update => Step::Update(tenant, dice.roll(sizes[tenant]), dice.task()),
                    Operation::Delete => {
                        let place = dice.roll(sizes[tenant]);
                        sizes[tenant] -= 1;
                        Step::Delete(tenant, place)
                    }
                }
            })
            .collect()
    }
}

/// A random tenant that has rows.
fn with_rows(sizes: &[usize], dice: &mut Dice) -> usize {
    let first = dice.roll(sizes.len());
    (0..sizes.len()).map(|n| (first + n) % sizes.len()).find(|tenant| sizes[*tenant] > 0).unwrap_or(first)
}

/// One call.
#[derive(Debug)]
pub enum Step {
    /// Of a new task.
    Insert(usize, Task),
    /// They go again at once, untimed, so that the tables keep their size.
    InsertMany(usize, Vec<Task>),
    /// Of the row in this place.
    Get(usize, usize),
    /// Of the rows in these places.
    Gets(usize, Vec<usize>),
    /// Of a tenant.
    Newest(usize),
    /// Of a tenant.
    Due(usize),
    /// Of a tenant.
    Scan(usize),
    /// Of a tenant.
    Count(usize),
    /// Of the row in this place.
    Update(usize, usize, Task),
    /// Takes the id out: the last one moves to its place.
    Delete(usize, usize),
}
