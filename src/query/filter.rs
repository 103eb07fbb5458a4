//! Filters: conditions on the columns of one entity.
//!
//! Logic is two-valued, as in Rust and unlike in SQL: a comparison with no value is false, `ne`
//! is exactly the opposite of `eq`, and `not` turns every filter into its complement.

use std::marker::PhantomData;

use jiff::Timestamp;
use uuid::Uuid;

use super::ColumnName;
use crate::entity::{Column, Entity, Field, Fields, Id, Value};
use crate::identity::UserId;

/// Nesting that no hand-written filter reaches; it bounds recursion.
const DEPTH_MAX: usize = 64;

/// A condition on the records of `M`. Made by the methods of [`Column`] and [`column()`].
///
/// ```
/// # use tenantry::{Entity, Timestamp};
/// # #[derive(Entity)] struct Task { title: String, done: bool, due: Option<Timestamp> }
/// let urgent = Task::DONE.eq(false).and(Task::DUE.lt(Timestamp::now()).or(Task::TITLE.starts_with("!")));
/// ```
pub struct Filter<M> {
    pub(crate) node: Node,
    marker: PhantomData<fn() -> M>,
}

impl<M> Clone for Filter<M> {
    fn clone(&self) -> Self {
        Self::new(self.node.clone())
    }
}

impl<M> std::fmt::Debug for Filter<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Values stay out: a filter may compare a secret column.
        write!(f, "Filter(depth {})", self.node.depth())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Comparison {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
}

#[derive(Debug, Clone)]
pub(crate) enum Node {
    All(Vec<Node>),
    Any(Vec<Node>),
    Not(Box<Node>),
    Compare {
        column: ColumnName,
        comparison: Comparison,
        value: Value,
    },
    Between {
        column: ColumnName,
        low: Value,
        high: Value,
    },
    In {
        column: ColumnName,
        values: Vec<Value>,
    },
    IsNone {
        column: ColumnName,
    },
    Contains {
        column: ColumnName,
        text: String,
        ignore_case: bool,
    },
    StartsWith {
        column: ColumnName,
        text: String,
    },
    /// A value that no column can hold, or nesting without end: reported when the query runs.
    Invalid {
        column: ColumnName,
        problem: String,
    },
}

impl Node {
    fn depth(&self) -> usize {
        match self {
            Node::All(nodes) | Node::Any(nodes) => 1 + nodes.iter().map(Node::depth).max().unwrap_or(0),
            Node::Not(node) => 1 + node.depth(),
            _ => 0,
        }
    }

    fn bounded(self) -> Self {
        if self.depth() > DEPTH_MAX {
            Node::Invalid {
                column: "filter".into(),
                problem: format!("conditions are nested deeper than {DEPTH_MAX}"),
            }
        } else {
            self
        }
    }

    pub(crate) fn and(self, other: Node) -> Node {
        match (self, other) {
            (Node::All(mut all), Node::All(more)) => {
                all.extend(more);
                Node::All(all)
            }
            (Node::All(mut all), other) => {
                let leaf = other.depth() == 0;
                all.push(other);
                // A condition more makes a list longer and not deeper.
                if leaf { Node::All(all) } else { Node::All(all).bounded() }
            }
            (one, other) => Node::All(vec![one]).and(other).bounded(),
        }
    }

    fn or(self, other: Node) -> Node {
        match (self, other) {
            (Node::Any(mut any), Node::Any(more)) => {
                any.extend(more);
                Node::Any(any)
            }
            (Node::Any(mut any), other) => {
                let leaf = other.depth() == 0;
                any.push(other);
                if leaf { Node::Any(any) } else { Node::Any(any).bounded() }
            }
            (one, other) => Node::Any(vec![one]).or(other).bounded(),
        }
    }

    fn compare(column: ColumnName, comparison: Comparison, value: Result<Value, String>) -> Node {
        match value {
            Ok(value) => Node::Compare { column, comparison, value },
            Err(problem) => Node::Invalid { column, problem },
        }
    }

    fn between(column: ColumnName, low: Result<Value, String>, high: Result<Value, String>) -> Node {
        match (low, high) {
            (Ok(low), Ok(high)) => Node::Between { column, low, high },
            (Err(problem), _) | (_, Err(problem)) => Node::Invalid { column, problem },
        }
    }

    fn is_in(column: ColumnName, values: Result<Vec<Value>, String>) -> Node {
        match values {
            Ok(values) => Node::In { column, values },
            Err(problem) => Node::Invalid { column, problem },
        }
    }
}

impl<M> Filter<M> {
    pub(crate) fn new(node: Node) -> Self {
        Self { node, marker: PhantomData }
    }

    /// Both conditions hold.
    #[must_use]
    pub fn and(self, other: Filter<M>) -> Self {
        Self::new(self.node.and(other.node))
    }

    /// At least one of the conditions holds.
    #[must_use]
    pub fn or(self, other: Filter<M>) -> Self {
        Self::new(self.node.or(other.node))
    }
}

impl<M> std::ops::Not for Filter<M> {
    type Output = Self;
    fn not(self) -> Self {
        Self::new(match self.node {
            Node::Not(node) => *node,
            node => Node::Not(Box::new(node)).bounded(),
        })
    }
}

/// Column types with an order. Nested values have none.
#[diagnostic::on_unimplemented(
    message = "columns of `{Self}` can not be compared",
    note = "nested values have no order"
)]
pub trait Ordered: Field {}

/// Column types that `contains` and `starts_with` work on.
#[diagnostic::on_unimplemented(message = "`{Self}` is not text")]
pub trait Text: Ordered {}

/// Column types that can be added up.
#[diagnostic::on_unimplemented(message = "`{Self}` is not a number")]
pub trait Number: Ordered {
    /// The type of a sum: `i64` for integers, `f64` for floats.
    type Sum: Field;
}

macro_rules! ordered {
    ($($t:ty),*) => {$(impl Ordered for $t {})*};
}
ordered!(
    i8,
    i16,
    i32,
    i64,
    isize,
    u8,
    u16,
    u32,
    u64,
    usize,
    f32,
    f64,
    bool,
    String,
    Vec<u8>,
    Uuid,
    Timestamp,
    UserId
);
impl<E: Entity> Ordered for Id<E> {}
impl Text for String {}
impl Text for UserId {}

macro_rules! numbers {
    ($($t:ty => $sum:ty),*) => {$(impl Number for $t { type Sum = $sum; })*};
}
numbers!(i8 => i64, i16 => i64, i32 => i64, i64 => i64, isize => i64, u8 => i64, u16 => i64, u32 => i64, u64 => i64, usize => i64, f32 => f64, f64 => f64);

impl<M, F: Field> Column<M, F> {
    fn column(self) -> ColumnName {
        ColumnName::Borrowed(self.name())
    }

    /// The column has no value.
    #[must_use]
    pub fn is_none(self) -> Filter<M> {
        Filter::new(Node::IsNone { column: self.column() })
    }

    /// The column has a value.
    #[must_use]
    pub fn is_some(self) -> Filter<M> {
        !self.is_none()
    }
}

impl<M, F: Field> Column<M, F> {
    fn compare(self, comparison: Comparison, value: impl Into<F::Inner>) -> Filter<M>
    where
        F::Inner: Ordered,
    {
        Filter::new(Node::compare(self.column(), comparison, value.into().to_value()))
    }

    /// The column equals the value.
    #[must_use]
    pub fn eq(self, value: impl Into<F::Inner>) -> Filter<M>
    where
        F::Inner: Ordered,
    {
        self.compare(Comparison::Eq, value)
    }

    /// The column does not equal the value; true where the column has none.
    #[must_use]
    pub fn ne(self, value: impl Into<F::Inner>) -> Filter<M>
    where
        F::Inner: Ordered,
    {
        self.compare(Comparison::Ne, value)
    }

    /// The column is less than the value.
    #[must_use]
    pub fn lt(self, value: impl Into<F::Inner>) -> Filter<M>
    where
        F::Inner: Ordered,
    {
        self.compare(Comparison::Lt, value)
    }

    /// The column is at most the value.
    #[must_use]
    pub fn le(self, value: impl Into<F::Inner>) -> Filter<M>
    where
        F::Inner: Ordered,
    {
        self.compare(Comparison::Le, value)
    }

    /// The column is greater than the value.
    #[must_use]
    pub fn gt(self, value: impl Into<F::Inner>) -> Filter<M>
    where
        F::Inner: Ordered,
    {
        self.compare(Comparison::Gt, value)
    }

    /// The column is at least the value.
    #[must_use]
    pub fn ge(self, value: impl Into<F::Inner>) -> Filter<M>
    where
        F::Inner: Ordered,
    {
        self.compare(Comparison::Ge, value)
    }

    /// The column lies between the values, both included.
    #[must_use]
    pub fn between(self, low: impl Into<F::Inner>, high: impl Into<F::Inner>) -> Filter<M>
    where
        F::Inner: Ordered,
    {
        Filter::new(Node::between(self.column(), low.into().to_value(), high.into().to_value()))
    }

    /// The column equals one of the values.
    #[must_use]
    pub fn is_in<I>(self, values: I) -> Filter<M>
    where
        I: IntoIterator,
        I::Item: Into<F::Inner>,
        F::Inner: Ordered,
    {
        let values = values.into_iter().map(|value| value.into().to_value()).collect();
        Filter::new(Node::is_in(self.column(), values))
    }
}

impl<M, F: Field> Column<M, F> {
    /// The text contains this one. Every character stands for itself; case counts.
    #[must_use]
    pub fn contains(self, text: impl Into<String>) -> Filter<M>
    where
        F::Inner: Text,
    {
        Filter::new(Node::Contains { column: self.column(), text: text.into(), ignore_case: false })
    }

    /// The text contains this one, whatever the case of the letters A to Z.
    #[must_use]
    pub fn contains_ignore_ascii_case(self, text: impl Into<String>) -> Filter<M>
    where
        F::Inner: Text,
    {
        Filter::new(Node::Contains { column: self.column(), text: text.into(), ignore_case: true })
    }

    /// The text starts with this one. Every character stands for itself; case counts.
    #[must_use]
    pub fn starts_with(self, text: impl Into<String>) -> Filter<M>
    where
        F::Inner: Text,
    {
        Filter::new(Node::StartsWith { column: self.column(), text: text.into() })
    }
}

/// A column of a dynamic entity, by name; checked when the query runs.
///
/// ```
/// let filter = tenantry::column("status").eq("open").and(tenantry::column("due").is_none());
/// ```
#[must_use]
pub fn column(name: impl Into<String>) -> DynamicColumn {
    DynamicColumn { name: name.into().into() }
}

/// A column of a dynamic entity, made by [`column()`]. The methods mean what those of [`Column`] do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DynamicColumn {
    pub(super) name: ColumnName,
}

macro_rules! dynamic_comparisons {
    ($($(#[$doc:meta])* $method:ident => $comparison:ident),* $(,)?) => {$(
        $(#[$doc])*
        #[must_use]
        pub fn $method(self, value: impl Into<Value>) -> Filter<Fields> {
            Filter::new(Node::compare(self.name, Comparison::$comparison, Ok(value.into())))
        }
    )*};
}

#[allow(clippy::should_implement_trait)] // these are conditions, not orders of `DynamicColumn`
impl DynamicColumn {
    /// The column's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    dynamic_comparisons! {
        /// The column equals the value.
        eq => Eq,
        /// The column does not equal the value; true where the column has none.
        ne => Ne,
        /// The column is less than the value.
        lt => Lt,
        /// The column is at most the value.
        le => Le,
        /// The column is greater than the value.
        gt => Gt,
        /// The column is at least the value.
        ge => Ge,
    }

    /// The column lies between the values, both included.
    #[must_use]
    pub fn between(self, low: impl Into<Value>, high: impl Into<Value>) -> Filter<Fields> {
        Filter::new(Node::between(self.name, Ok(low.into()), Ok(high.into())))
    }

    /// The column equals one of the values.
    #[must_use]
    pub fn is_in<I>(self, values: I) -> Filter<Fields>
    where
        I: IntoIterator,
        I::Item: Into<Value>,
    {
        Filter::new(Node::is_in(self.name, Ok(values.into_iter().map(Into::into).collect())))
    }

    /// The column has no value.
    #[must_use]
    pub fn is_none(self) -> Filter<Fields> {
        Filter::new(Node::IsNone { column: self.name })
    }

    /// The column has a value.
    #[must_use]
    pub fn is_some(self) -> Filter<Fields> {
        !self.is_none()
    }

    /// The text contains this one; case counts.
    #[must_use]
    pub fn contains(self, text: impl Into<String>) -> Filter<Fields> {
        Filter::new(Node::Contains { column: self.name, text: text.into(), ignore_case: false })
    }

    /// The text contains this one, whatever the case of the letters A to Z.
    #[must_use]
    pub fn contains_ignore_ascii_case(self, text: impl Into<String>) -> Filter<Fields> {
        Filter::new(Node::Contains { column: self.name, text: text.into(), ignore_case: true })
    }

    /// The text starts with this one; case counts.
    #[must_use]
    pub fn starts_with(self, text: impl Into<String>) -> Filter<Fields> {
        Filter::new(Node::StartsWith { column: self.name, text: text.into() })
    }
}
