//! A tenant's right to leave.

pub(crate) mod erase;

pub use erase::{Erasure, Scrub};
