//! What the regression test of PostgreSQL's row security checks (`rowsecurity.sql`), asked of tenants' own SQL. Each
//! point is a test, named by its number. Most ask the same statements before and after other tenants come to hold what
//! would show; nothing that is told, results, errors and plans, may differ.
//!
//! Points about writes are the verbs', which other tests hold:
//!
//! - 9, a row for another owner, and what a clash of unique values tells: `row_22_no_field_sets_the_owner`,
//!   `row_13_constraints_tell_nothing_of_another_tenant` (`tests/failure_modes.rs`), and
//!   `row_40_unique_per_tenant_and_unique_for_all` (`tests/failure_modes_log.rs`);
//! - 10, a change that moves a row, or has no condition: `row_01_a_column_update_stays_inside_the_tenant`,
//!   `row_03_a_query_without_conditions_is_scoped`, `row_15_a_record_of_one_tenant_is_not_saved_in_another`
//!   (`tests/failure_modes.rs`), and `triggers_refuse_changes_of_the_log_and_of_a_rows_tenant` (`tests/tamper.rs`);
//! - 11, deletions, and what they give back: `row_05_bulk_changes_with_order_and_limit_stay_inside`,
//!   `row_19_what_is_foreign_and_what_is_absent_answer_the_same` (`tests/failure_modes.rs`). Verbs give back ids and counts,
//!   never rows;
//! - 12 and 13, what inserts or changes: `row_06_an_upsert_meets_only_the_tenants_own_records`,
//!   `row_07_no_write_replaces_the_holder_of_a_unique_value` (`tests/failure_modes.rs`). There is no merge and no replace;
//! - 16, parents and children of different owners: `row_13_…` and `row_14_no_verb_makes_a_child_of_another_tenants_parent`
//!   (`tests/failure_modes.rs`), `a_deletion_takes_along_nothing_of_another_tenant` (`tests/scenarios.rs`).
//!
//! Points that can't arise, as a whole or in part:
//!
//! - 1, functions and operators of a user's own: there are none; what fails on a value takes their place;
//! - 15, generated columns that forge the owner: definitions have none;
//! - 19, a role that changes on an open connection, and cursors that are updated through: a connection serves one scope
//!   for its whole life, and statements only read;
//! - 21, rules, and triggers that a tenant makes: no statement makes one, which is tested with 23, and reading sets none off;
//! - 23, policies that are renamed, replaced or lose a column: there are no statements for it; definitions are the
//!   program's, and a store that holds another one is refused (`tests/store_open.rs`);
//! - 24, a switch that turns row security off: there is none, nor a role that is exempt.

#![allow(clippy::unwrap_used, clippy::panic, unreachable_pub, missing_docs)]

mod administration;
#[path = "../engine/mod.rs"]
mod engine;
mod reads;
mod world;
