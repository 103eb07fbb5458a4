//! For tests: ends the process, as a kill does, at a chosen one of the moments between two commits.

use std::sync::atomic::{AtomicUsize, Ordering};

/// How many moments are left; 0 while nothing is to happen.
static LEFT: AtomicUsize = AtomicUsize::new(0);

/// The process ends at the moment of this number, from 1.
pub(crate) fn arm(moment: usize) {
    LEFT.store(moment, Ordering::Relaxed);
}

/// One of the moments.
pub(crate) fn moment() {
    let left = LEFT.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
    if left == Ok(1) {
        std::process::abort();
    }
}
