//! What threads share and wait on: the standard library's. In unit tests with `--cfg shuttle` it is
//! shuttle's instead, which decides at each step of a test's threads which of them goes on.

#[cfg(all(test, shuttle))]
pub(crate) mod schedules;

#[cfg(all(test, shuttle, feature = "sqlcipher"))]
pub(crate) use schedules::RwLockWriteGuard;
#[cfg(all(test, shuttle))]
pub(crate) use schedules::{Condvar, Mutex, MutexGuard, RwLock, atomic, thread, wait_timeout_while};
#[cfg(all(not(all(test, shuttle)), feature = "sqlcipher"))]
pub(crate) use std::sync::RwLockWriteGuard;
#[cfg(not(all(test, shuttle)))]
pub(crate) use std::{
    sync::{Condvar, Mutex, MutexGuard, RwLock, atomic},
    thread,
};

/// Waits while the value is unwanted, and so long at most.
#[cfg(not(all(test, shuttle)))]
pub(crate) fn wait_timeout_while<'m, T>(
    changed: &Condvar,
    mutex: &'m Mutex<T>,
    time: std::time::Duration,
    unwanted: impl FnMut(&mut T) -> bool,
) -> MutexGuard<'m, T> {
    use std::sync::PoisonError;
    let value = mutex.lock().unwrap_or_else(PoisonError::into_inner);
    changed.wait_timeout_while(value, time, unwanted).unwrap_or_else(PoisonError::into_inner).0
}
