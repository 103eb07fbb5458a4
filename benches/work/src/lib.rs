//! The work that every side of the benchmark does, and how it is timed. It knows no database, so
//! that sides which cannot be linked into one program still do the same, from the same seed.
//!
//! - [`task`]: the row, and random rows that are the same in every run
//! - [`side`]: what a side has to offer
//! - [`ledger`]: the audit entry, hash chain and kept numbers of the audited sides
//! - [`sql`]: the tables and statements of the sides that write SQL
//! - [`operation`]: what is done to a side in one round
//! - [`window`]: several threads for a fixed time
//! - [`contender`]: one side with its data, which does the above and measures it
//! - [`process`]: a contender in a process of its own

pub mod contender;
pub mod latency;
pub mod ledger;
pub mod operation;
pub mod process;
pub mod side;
pub mod sql;
pub mod task;
pub mod window;

pub use contender::{Contender, Run};
pub use ledger::{Entry, Head, Heads, Ledger, Stored};
pub use operation::Operation;
pub use side::{AuditTotals, Durability, Setup, Side, Worker};
pub use task::{Record, Status, Task};
