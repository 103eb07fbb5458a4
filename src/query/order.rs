//! Orders: by several columns, each ascending or descending. The id breaks ties.

use std::marker::PhantomData;

use super::ColumnName;
use super::filter::{DynamicColumn, Ordered};
use crate::entity::{Column, Direction, Field, Fields};

/// How the records of `M` are sorted. Made by [`Column::asc`] and [`Column::desc`].
///
/// ```
/// # use tenantry::{Entity, Timestamp};
/// # #[derive(Entity)] struct Task { done: bool, due: Option<Timestamp> }
/// let open_first = Task::DONE.asc().then(Task::DUE.desc());
/// ```
pub struct Order<M> {
    pub(crate) columns: Vec<(ColumnName, Direction)>,
    marker: PhantomData<fn() -> M>,
}

impl<M> Order<M> {
    fn new(column: ColumnName, direction: Direction) -> Self {
        Self { columns: vec![(column, direction)], marker: PhantomData }
    }

    /// Sorts records that are equal so far by another order.
    #[must_use]
    pub fn then(mut self, other: Order<M>) -> Self {
        self.columns.extend(other.columns);
        self
    }
}

impl<M> Clone for Order<M> {
    fn clone(&self) -> Self {
        Self { columns: self.columns.clone(), marker: PhantomData }
    }
}

impl<M> std::fmt::Debug for Order<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(&self.columns).finish()
    }
}

impl<M, F: Field> Column<M, F> {
    /// Smallest first; records without a value come before all others.
    #[must_use]
    pub fn asc(self) -> Order<M>
    where
        F::Inner: Ordered,
    {
        Order::new(ColumnName::Borrowed(self.name()), Direction::Asc)
    }

    /// Largest first; records without a value come last.
    #[must_use]
    pub fn desc(self) -> Order<M>
    where
        F::Inner: Ordered,
    {
        Order::new(ColumnName::Borrowed(self.name()), Direction::Desc)
    }
}

impl DynamicColumn {
    /// Smallest first; records without a value come before all others.
    #[must_use]
    pub fn asc(self) -> Order<Fields> {
        Order::new(self.name, Direction::Asc)
    }

    /// Largest first; records without a value come last.
    #[must_use]
    pub fn desc(self) -> Order<Fields> {
        Order::new(self.name, Direction::Desc)
    }
}
