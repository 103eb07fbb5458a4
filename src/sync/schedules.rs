//! Schedules: the orders in which the threads of a test take their steps, tried one after another.
//! A step ends at every lock, wake-up and atomic; what SQLite does within one is real.
//!
//! `RUSTFLAGS="--cfg shuttle" cargo test --lib --target-dir target/shuttle schedules` runs the
//! tests that use this, and no others, which would miss shuttle's threads. `TENANTRY_SCHEDULES`
//! sets how many schedules each of them tries. A failure prints its seed; `SHUTTLE_RANDOM_SEED`
//! begins with it.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use shuttle::rand::{Rng, thread_rng};
use shuttle::scheduler::{DfsScheduler, PctScheduler, RandomScheduler};
use shuttle::{Config, Runner};

#[cfg(feature = "sqlcipher")]
pub(crate) use shuttle::sync::RwLockWriteGuard;
pub(crate) use shuttle::sync::{Condvar, Mutex, MutexGuard, RwLock, atomic};
pub(crate) use shuttle::thread;

fn config() -> Config {
    let mut config = Config::new();
    config.stack_size = 1 << 20; // SQLite needs more than shuttle gives
    config.silence_warnings = true; // of orderings, which are all the strongest here
    config
}

/// Runs a test in many schedules: half of them at random, half with random priorities that change at
/// three random steps (PCT), which finds what needs few switches, but exact ones.
pub(crate) fn explore(schedules: usize, test: impl Fn() + Send + Sync + 'static) {
    let wanted = std::env::var("TENANTRY_SCHEDULES").ok().and_then(|schedules| schedules.parse().ok());
    let each = wanted.unwrap_or(schedules).div_ceil(2);
    let test = Arc::new(test);
    let again = Arc::clone(&test);
    Runner::new(RandomScheduler::new(each), config()).run(move || test());
    Runner::new(PctScheduler::new(3, each), config()).run(move || again());
}

/// Runs a small test in every schedule that there is.
pub(crate) fn exhaust(test: impl Fn() + Send + Sync + 'static) {
    let schedules = Runner::new(DfsScheduler::new(None, false), config()).run(test);
    println!("{schedules} schedules");
}

/// One of them, by chance, which is part of the schedule.
pub(crate) fn any<T: Copy>(of: &[T]) -> T {
    of[thread_rng().gen_range(0..of.len())]
}

/// There is no time here. Up to a second may be over after any step; more never is, so that a wake-up
/// that got lost is a deadlock, which fails the test.
pub(crate) fn wait_timeout_while<'m, T>(
    changed: &Condvar,
    mutex: &'m Mutex<T>,
    time: Duration,
    mut unwanted: impl FnMut(&mut T) -> bool,
) -> MutexGuard<'m, T> {
    let lock = || mutex.lock().unwrap_or_else(PoisonError::into_inner);
    let mut value = lock();
    if time > Duration::from_secs(1) {
        return changed.wait_while(value, unwanted).unwrap_or_else(PoisonError::into_inner);
    }
    while unwanted(&mut value) && !thread_rng().gen_ratio(1, 8) {
        drop(value);
        thread::yield_now();
        value = lock();
    }
    value
}
