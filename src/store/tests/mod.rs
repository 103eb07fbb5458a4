//! What is left of a store when the process ends at any moment of a change.

mod crashes;
mod erasures;
