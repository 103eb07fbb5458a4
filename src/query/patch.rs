//! Changes of named columns.

use std::marker::PhantomData;

use super::ColumnName;
use crate::entity::{Column, Definition, Field, Value, unknown_column};
use crate::error::{Error, Result};

/// New values for some columns of `M`. Made by [`Column::set`].
///
/// ```
/// # use tenantry::Entity;
/// # #[derive(Entity)] struct Task { title: String, done: bool, due: Option<tenantry::Timestamp> }
/// let change = Task::DONE.set(true).and(Task::DUE.clear());
/// ```
#[must_use]
pub struct Patch<M> {
    changes: Vec<(ColumnName, Result<Value, String>)>,
    marker: PhantomData<fn() -> M>,
}

impl<M> Patch<M> {
    fn new(column: &'static str, value: Result<Value, String>) -> Self {
        Self { changes: vec![(column.into(), value)], marker: PhantomData }
    }

    /// Changes other columns too; where both change the same one, the later change counts.
    pub fn and(mut self, other: Patch<M>) -> Self {
        self.changes.extend(other.changes);
        self
    }

    /// By position in the definition.
    pub(crate) fn into_changes(self, definition: &Definition) -> Result<Vec<(usize, Value)>> {
        self.changes
            .into_iter()
            .map(|(name, value)| {
                let position = definition.position(&name).ok_or_else(|| unknown_column(definition, &name))?;
                Ok((position, value.map_err(|problem| Error::invalid(&*name, problem))?))
            })
            .collect()
    }
}

impl<M> std::fmt::Debug for Patch<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Names only: a patch may hold the value of a secret column.
        f.debug_list().entries(self.changes.iter().map(|(name, _)| name)).finish()
    }
}

impl<M, F: Field> Column<M, F> {
    /// Gives the column this value.
    pub fn set(self, value: impl Into<F>) -> Patch<M> {
        Patch::new(self.name(), value.into().to_value())
    }
}

impl<M, T> Column<M, Option<T>>
where
    Option<T>: Field,
{
    /// Takes the column's value away.
    pub fn clear(self) -> Patch<M> {
        Patch::new(self.name(), Ok(Value::None))
    }
}
