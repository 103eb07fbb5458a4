//! Values that describe a query: filters, orders, changes, pages. None of them holds SQL text.

mod cursor;
mod filter;
mod order;
mod patch;

pub use cursor::Cursor;
pub(crate) use filter::{Comparison, Node};
pub use filter::{DynamicColumn, Filter, Number, Ordered, Text, column};
pub use order::Order;
pub use patch::Patch;

use std::borrow::Cow;

use crate::entity::{Column, Direction, Id, Record};
use crate::identity::UserId;
use jiff::Timestamp;

/// A column by name. Names with a leading underscore are the library's own columns.
pub(crate) type ColumnName = Cow<'static, str>;

/// The columns that every record has, for filters and orders.
///
/// ```
/// # use tenantry::{Entity, Record};
/// # #[derive(Entity)] struct Task { title: String }
/// let newest_first = Record::<Task>::CREATED.desc();
/// ```
impl<M> Record<M> {
    /// The id.
    pub const ID: Column<M, Id<M>> = Column::new("_id");
    /// When the record was inserted. Sorting by it sorts by id.
    pub const CREATED: Column<M, Timestamp> = Column::new("_created");
    /// When the record was last changed.
    pub const UPDATED: Column<M, Timestamp> = Column::new("_updated");
    /// The version.
    pub const VERSION: Column<M, u64> = Column::new("_version");
    /// Who inserted the record, where the entity declares `author`.
    pub const AUTHOR: Column<M, Option<UserId>> = Column::new("_author");
}

/// What a select asks for, without its types.
#[derive(Debug, Clone, Default)]
pub(crate) struct Spec {
    pub(crate) filter: Option<Node>,
    pub(crate) order: Vec<(ColumnName, Direction)>,
    pub(crate) limit: Option<u64>,
}
