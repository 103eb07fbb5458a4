//! Records one after the other, a batch at a time.

use std::collections::VecDeque;
use std::fmt;

use super::{Core, Source};
use crate::audit::ReadKind;
use crate::entity::{Model, Record, Value};
use crate::error::Result;
use crate::monitor::Operation;
use crate::query::Spec;
use crate::statement::{Reach, Table};

/// The first batch is small, so that the first record comes soon; then they double.
const BATCH_MIN: u64 = 64;
const BATCH_MAX: u64 = 4_096;

/// An iterator over records that holds one batch at a time. Made by [`Query::iter`](crate::Query::iter).
///
/// On a session it keeps a read connection and one state of the store until it is dropped.
pub struct Records<'s, M> {
    core: &'s Core<'s>,
    source: Source<'s>,
    table: &'s Table,
    reach: Reach,
    spec: Spec,
    /// How many records may still come.
    left: u64,
    batch: u64,
    /// Where the last batch ended.
    position: Option<Vec<Value>>,
    buffer: VecDeque<Record<M>>,
    done: bool,
}

impl<'s, M: Model> Records<'s, M> {
    pub(super) fn new(
        core: &'s Core<'s>,
        table: &'s Table,
        reach: Reach,
        spec: Spec,
        position: Option<Vec<Value>>,
    ) -> Result<Self> {
        let left = spec.limit.unwrap_or(u64::MAX);
        Ok(Self {
            core,
            source: core.source()?,
            table,
            reach,
            spec,
            left,
            batch: BATCH_MIN,
            position,
            buffer: VecDeque::new(),
            done: false,
        })
    }

    fn advance(&mut self) -> Result<Option<Record<M>>> {
        // Also for what was read before: a batch may be looked at for long.
        self.core.check()?;
        if self.buffer.is_empty() && !self.done {
            self.fill()?;
        }
        Ok(self.buffer.pop_front())
    }

    fn fill(&mut self) -> Result<()> {
        self.core.check()?;
        let wanted = self.batch.min(self.left);
        self.batch = (self.batch * 2).min(BATCH_MAX);
        self.spec.limit = Some(wanted);
        let select = self.core.select(self.table, self.reach, &self.spec, self.position.as_deref());
        let listing = select.page(None)?;
        let mut count = 0;
        let mut last = None;
        let records = self.core.observe_read(Operation::List, ReadKind::List, self.table, |reading| {
            self.source.read(reading, |connection, reading| {
                listing.all(connection, |row| {
                    count += 1;
                    if count == wanted {
                        last = Some(select.position(row)?);
                    }
                    reading.decode(self.table, row, 0)
                })
            })
        })?;
        self.left -= count;
        self.done = count < wanted || self.left == 0;
        self.position = last.or_else(|| self.position.take());
        self.buffer = records.into();
        Ok(())
    }
}

impl<M: Model> Iterator for Records<'_, M> {
    type Item = Result<Record<M>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done && self.buffer.is_empty() {
            return None;
        }
        let next = self.advance();
        if next.is_err() {
            self.done = true;
            self.buffer.clear();
        }
        next.transpose()
    }
}

impl<M> fmt::Debug for Records<'_, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Records")
            .field("entity", &self.table.entity())
            .field("done", &self.done)
            .finish_non_exhaustive()
    }
}
