//! A log's entries one after the other, a batch at a time.

use std::collections::VecDeque;
use std::fmt;
use std::ops::ControlFlow;

use super::Core;
use crate::audit::AuditEntry;
use crate::audit::log::{self, LogQuery};
use crate::audit::span::Span;
use crate::error::Result;
use crate::identity::TenantKey;

/// The first batch is small, so that the first entry comes soon; then they double.
const BATCH_MIN: usize = 64;
const BATCH_MAX: usize = 1_024;
/// Bytes of values after which a batch is enough, so that large records are not held by the thousand.
const BATCH_BYTES: usize = 1 << 20;

/// An iterator over entries of a log that holds one batch at a time. Made by [`Audit::iter`](crate::Audit::iter).
///
/// Entries are never changed and only added at the end, so each batch is read by itself, and no connection is kept.
pub struct AuditEntries<'s> {
    core: &'s Core<'s>,
    tenant: TenantKey,
    query: LogQuery,
    /// What is not read yet; none once there is nothing.
    rest: Option<Span>,
    batch: usize,
    buffer: VecDeque<AuditEntry>,
}

impl<'s> AuditEntries<'s> {
    pub(super) fn new(core: &'s Core<'s>, tenant: TenantKey, span: Option<Span>, query: LogQuery) -> Self {
        Self { core, tenant, query, rest: span, batch: BATCH_MIN, buffer: VecDeque::new() }
    }

    fn advance(&mut self) -> Result<Option<AuditEntry>> {
        // Also for what was read before: a batch may be looked at for long.
        self.core.check()?;
        if self.buffer.is_empty()
            && let Some(span) = self.rest.take()
        {
            self.fill(span)?;
        }
        Ok(self.buffer.pop_front())
    }

    fn fill(&mut self, span: Span) -> Result<()> {
        let wanted = self.batch;
        self.batch = (self.batch * 2).min(BATCH_MAX);
        let mut entries = VecDeque::new();
        let mut bytes = 0;
        let mut is_full = false;
        self.core.read_entries(self.tenant, None, |connection, told| {
            log::each((connection, told), span, &self.query, |entry| {
                bytes += entry.changes.iter().flatten().map(|change| change.size()).sum::<usize>();
                entries.push_back(entry);
                is_full = entries.len() >= wanted || bytes >= BATCH_BYTES;
                Ok(if is_full { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
            })
        })?;
        let last = entries.back().filter(|_| is_full);
        self.rest = last.map(|last| span.after(last.number, self.query.newest_first));
        self.buffer = entries;
        Ok(())
    }
}

impl Iterator for AuditEntries<'_> {
    type Item = Result<AuditEntry>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.buffer.is_empty() && self.rest.is_none() {
            return None;
        }
        let next = self.advance();
        if next.is_err() {
            self.buffer.clear();
            self.rest = None;
        }
        next.transpose()
    }
}

impl fmt::Debug for AuditEntries<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuditEntries").field("query", &self.query).finish_non_exhaustive()
    }
}
