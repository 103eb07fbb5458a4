//! What is left of a store with partitions when the process ends at any moment of a change.

mod crashes;
