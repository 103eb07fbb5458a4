//! Stores from within: what is left of one with partitions when the process ends at any moment of a change, and reports
//! that only the administration of a store gets.

mod crashes;
mod misses;
