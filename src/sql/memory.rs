//! How much memory SQLite uses in this process: the one thing that its safe interface does not tell.

#![allow(unsafe_code)]

/// Bytes that SQLite has now, in all connections of the process.
/// <https://sqlite.org/c3ref/memory_highwater.html>
pub(super) fn used() -> u64 {
    // SAFETY: `sqlite3_memory_used` takes nothing and keeps nothing; it reads a counter under SQLite's own mutex, so any
    // thread may call it at any time once SQLite is initialised (<https://sqlite.org/threadsafe.html>; the library is
    // compiled with SQLITE_THREADSAFE=1). It is, since everybody who asks holds an open connection.
    let used = unsafe { rusqlite::ffi::sqlite3_memory_used() };
    u64::try_from(used).unwrap_or(0)
}
