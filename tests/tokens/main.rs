//! Sessions from tokens: which tokens are refused, and what a session from one may do, and for how long.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod claims;
mod expiry;
mod forged;
mod keys;
mod support;
mod vectors;
