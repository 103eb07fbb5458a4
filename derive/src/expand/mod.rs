//! From models to code. Every path leads through `tenantry::codegen_support`, so nothing that the
//! user's crate calls `Result` or `Option` gets in between.

mod choice;
mod entity;

pub(crate) use choice::choice;
pub(crate) use entity::entity;
