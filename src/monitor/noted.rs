//! What parts far below an operation have to say of it, left where the operation finds it at its end:
//! on its own thread.

use std::cell::Cell;
use std::time::Duration;

/// What was noted of one operation.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Noted {
    /// How long it waited for the writer, if it did.
    pub(super) wait: Option<Duration>,
    /// How many callers shared its commit.
    pub(super) batch: Option<u64>,
    /// Whether the record that it read was in memory.
    pub(super) cached: Option<bool>,
}

thread_local! {
    static NOTED: Cell<Noted> = const { Cell::new(Noted { wait: None, batch: None, cached: None }) };
}

/// What was noted; what follows adds to `next`.
pub(super) fn replace(next: Noted) -> Noted {
    NOTED.replace(next)
}

fn note(change: impl FnOnce(&mut Noted)) {
    let mut noted = NOTED.get();
    change(&mut noted);
    NOTED.set(noted);
}

/// This thread has waited for the writer.
pub(crate) fn wait(time: Duration) {
    note(|noted| noted.wait = Some(time));
}

/// What this thread wrote is committed, together with others' work.
pub(crate) fn batch(callers: usize) {
    note(|noted| noted.batch = Some(callers as u64));
}

/// The record that this thread reads is in memory, or is not.
pub(crate) fn cached(hit: bool) {
    note(|noted| noted.cached = Some(hit));
}
