//! Selects: a filter, an order and a page beside the tenant predicate.

use rusqlite::Row;

use super::path::Path;
use super::sql::{Builder, Param, Statement};
use super::table::Table;
use super::write::soft_target;
use super::{Reach, condition};
use crate::entity::{ColumnKind, Direction, Raw, Tenancy, Value};
use crate::error::{Error, Result};
use crate::query::Spec;

/// Columns that an order names. A page nests as deep, and SQLite's expressions are at most 1,000 deep.
const ORDER_MAX: usize = 100;

/// A query of one tenant's rows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Select<'t> {
    pub(crate) table: &'t Table,
    pub(crate) reach: Reach,
    pub(crate) spec: &'t Spec,
    /// Where the last page ended: the values of the sort columns, then what breaks ties.
    pub(crate) after: Option<&'t [Value]>,
}

/// The other side of a join.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Joined<'t> {
    pub(crate) table: &'t Table,
    /// Position of the reference in the table that is selected from.
    pub(crate) column: usize,
}

/// A column's aggregate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Aggregate {
    Sum,
    Min,
    Max,
    Average,
}

/// What breaks ties, so that every order is total.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tie {
    /// The order is by id, which is unique.
    Id,
    /// Every index ends with the row's number.
    Number,
}

impl<'t> Select<'t> {
    /// Whole records, and what a cursor needs behind them: the sort columns and the tie.
    pub(crate) fn records(&self) -> Result<Statement<'t>> {
        self.compile_records(None)
    }

    /// Records with the ones that a reference names: the other side's columns come last.
    pub(crate) fn joined(&self, joined: Joined<'t>) -> Result<Statement<'t>> {
        self.compile_records(Some(joined))
    }

    /// How many values a position has.
    pub(crate) fn position_len(&self) -> usize {
        self.sort_columns().len() + 1
    }

    /// The position of a row that [`records`](Self::records) returned.
    pub(crate) fn position(&self, row: &Row<'_>) -> Result<Vec<Value>> {
        let mut kinds = self
            .sort_columns()
            .iter()
            .map(|(column, _)| Ok(self.table.term(column)?.kind))
            .collect::<Result<Vec<_>>>()?;
        kinds.push(match self.tie() {
            Tie::Id => ColumnKind::Uuid,
            Tie::Number => ColumnKind::Integer,
        });
        let first = self.position_column();
        kinds
            .iter()
            .enumerate()
            .map(|(offset, kind)| {
                Raw::new(row.get_ref(first + offset)?)
                    .to_value(kind)
                    .map_err(|problem| Error::schema(format!("a sort column {problem}")))
            })
            .collect()
    }

    fn position_column(&self) -> usize {
        super::table::HEAD_COLUMNS + self.table.columns.len()
    }

    /// Where the columns of the other side of a join begin.
    pub(crate) fn joined_column(&self) -> usize {
        self.position_column() + self.position_len()
    }

    fn compile_records(&self, joined: Option<Joined<'t>>) -> Result<Statement<'t>> {
        let mut sql = self.begin(joined.is_some_and(|joined| joined.table.has_soft()))?;
        sql.push("SELECT ").push(&self.table.select_list);
        for (column, _) in &self.sort_columns() {
            sql.push(", ").push(&self.table.term(column)?.text);
        }
        sql.push(match self.tie() {
            Tie::Id => ", t._id",
            Tie::Number => ", t._rid & 1099511627775",
        });
        if let Some(joined) = joined {
            sql.push(", ").push(&joined.table.select_list_as("j"));
        }
        let path = self.path(true);
        self.from(&mut sql, &path);
        if let Some(joined) = joined {
            let other = joined.table;
            sql.push(" LEFT JOIN ").push(&other.name).push(" AS j INDEXED BY ").push(&other.id_index);
            sql.push(" ON j._tenant = ");
            match (other.definition.tenancy(), self.table.definition.tenancy()) {
                (Tenancy::Reference, _) => {
                    sql.bind(Param::Integer(crate::identity::TenantKey::REFERENCE.get()))
                }
                (Tenancy::Organization, Tenancy::Member) => {
                    sql.bind(Param::Integer(soft_target(self.reach)?.get()))
                }
                _ => sql.push("?1"),
            };
            sql.push(" AND j._id = t.").push(&self.table.columns[joined.column].name);
        }
        self.filter(&mut sql, &path)?;
        self.order_and_limit(&mut sql)?;
        Ok(sql.finish())
    }

    /// The ids of the records, in the query's order.
    pub(crate) fn ids(&self) -> Result<Statement<'t>> {
        let mut sql = self.begin(false)?;
        sql.push("SELECT t._id");
        let path = self.path(true);
        self.from(&mut sql, &path);
        self.filter(&mut sql, &path)?;
        self.order_and_limit(&mut sql)?;
        Ok(sql.finish())
    }

    /// How many records match, without a limit.
    pub(crate) fn count(&self) -> Result<Statement<'t>> {
        self.unordered("SELECT count(*)")
    }

    /// A row if any record matches.
    pub(crate) fn any(&self) -> Result<Statement<'t>> {
        let path = self.path(false);
        let mut sql = self.begin(false)?;
        sql.push("SELECT 1");
        self.from(&mut sql, &path);
        self.filter(&mut sql, &path)?;
        sql.push(" LIMIT 1");
        Ok(sql.finish())
    }

    pub(crate) fn aggregate(&self, aggregate: Aggregate, column: &str) -> Result<Statement<'t>> {
        let term = self.table.term(column)?;
        let function = match aggregate {
            Aggregate::Sum => "sum",
            Aggregate::Min => "min",
            Aggregate::Max => "max",
            Aggregate::Average => "avg",
        };
        // The unary plus keeps SQLite from walking an index for min and max without the filter.
        self.unordered(&format!("SELECT {function}(+{})", term.text))
    }

    /// Each value of a column and how many records have it, in the column's order.
    pub(crate) fn group_count(&self, column: &str) -> Result<Statement<'t>> {
        let term = self.table.term(column)?.text;
        let path = self.path(false);
        let mut sql = self.begin(false)?;
        sql.push(&format!("SELECT {term}, count(*)"));
        self.from(&mut sql, &path);
        self.filter(&mut sql, &path)?;
        sql.push(&format!(" GROUP BY {term} ORDER BY {term}"));
        Ok(sql.finish())
    }

    fn unordered(&self, select: &str) -> Result<Statement<'t>> {
        let path = self.path(false);
        let mut sql = self.begin(false)?;
        sql.push(select);
        self.from(&mut sql, &path);
        self.filter(&mut sql, &path)?;
        Ok(sql.finish())
    }

    /// The parameters that every statement has: the tenant is ?1, the target of soft references ?2.
    fn begin(&self, soft: bool) -> Result<Builder<'t>> {
        let mut sql = Builder::default();
        sql.param(Param::Integer(self.reach.tenant.get()));
        if soft || self.table.has_soft() {
            sql.param(Param::Integer(soft_target(self.reach)?.get()));
        }
        Ok(sql)
    }

    fn from(&self, sql: &mut Builder<'t>, path: &Path<'_>) {
        sql.push(" FROM ").push(&self.table.name).push(" AS t ");
        match path {
            Path::Index(index) => sql.push("INDEXED BY ").push(index),
            Path::Range => sql.push("NOT INDEXED"),
        };
    }

    /// The tenant predicate, then the caller's filter and the page in parentheses of their own.
    fn filter(&self, sql: &mut Builder<'t>, path: &Path<'_>) -> Result<()> {
        sql.push(" WHERE t._tenant = ?1");
        if *path == Path::Range {
            sql.push(" AND t._rid BETWEEN ").bind(Param::Integer(self.reach.tenant.first()));
            sql.push(" AND ").bind(Param::Integer(self.reach.tenant.last()));
        }
        if let Some(node) = &self.spec.filter {
            condition::check_size(node)?;
            sql.push(" AND (");
            self.table.condition(sql, node, true)?;
            sql.push(")");
        }
        if let Some(position) = self.after {
            sql.push(" AND (");
            self.page(sql, position)?;
            sql.push(")");
        }
        Ok(())
    }

    fn path(&self, ordered: bool) -> Path<'t> {
        let paged = self.spec.limit.is_some() || self.after.is_some();
        // Rows lie nearly in the order of their ids: looking all of them up beats sorting them.
        let whole_by_id = self.spec.filter.is_none() && self.sort_columns().is_empty();
        let order = (ordered && (paged || whole_by_id)).then(|| self.sort_columns());
        Path::choose(self.table, self.spec.filter.as_ref(), order.as_deref())
    }

    /// The columns that the order names, up to one that is unique by itself.
    fn sort_columns(&self) -> Vec<(&'t str, Direction)> {
        self.spec
            .order
            .iter()
            .map(|(name, direction)| (&**name, *direction))
            .take_while(|(name, _)| !is_id(name))
            .collect()
    }

    fn tie(&self) -> Tie {
        if self.spec.order.is_empty() || self.spec.order.iter().any(|(name, _)| is_id(name)) {
            Tie::Id
        } else {
            Tie::Number
        }
    }

    /// The tie's column and direction. A row's number runs with the last column, as it does in an
    /// index that is walked forwards or backwards, also when a filter fixes the columns before.
    fn tie_column(&self) -> (&'static str, Direction) {
        match self.tie() {
            Tie::Id => {
                let direction =
                    self.spec.order.iter().find(|(name, _)| is_id(name)).map_or(Direction::Asc, |(_, d)| *d);
                ("t._id", direction)
            }
            Tie::Number => {
                ("t._rid", self.spec.order.last().map_or(Direction::Asc, |(_, direction)| *direction))
            }
        }
    }

    fn order_and_limit(&self, sql: &mut Builder<'t>) -> Result<()> {
        if self.spec.order.len() > ORDER_MAX {
            return Err(Error::LimitExceeded {
                limit: "order",
                problem: format!("records are sorted by at most {ORDER_MAX} columns"),
            });
        }
        sql.push(" ORDER BY ");
        for (column, direction) in self.sort_columns() {
            sql.push(&self.table.term(column)?.text).push(spelled(direction)).push(", ");
        }
        let (tie, direction) = self.tie_column();
        sql.push(tie).push(spelled(direction));
        if let Some(limit) = self.spec.limit {
            // A number in the text: SQLite prepares a statement again for each value bound to LIMIT.
            sql.push(" LIMIT ").push(&i64::try_from(limit).unwrap_or(i64::MAX).to_string());
        }
        Ok(())
    }

    /// `(a, b, tie)` comes after the position: `a > ? OR (a = ? AND (b > ? OR (b = ? AND tie > ?)))`,
    /// with no value before every value. The first comparison stands once more in front, where
    /// an index can use it.
    fn page(&self, sql: &mut Builder<'t>, position: &'t [Value]) -> Result<()> {
        let columns = self.sort_columns();
        let wrong = || Error::invalid("cursor", "it belongs to another order; start from the first page");
        let (last, values) = position.split_last().ok_or_else(wrong)?;
        if let (Some((column, direction)), Some(value)) = (columns.first(), values.first()) {
            let term = self.table.term(column)?;
            match (value, direction) {
                (Value::None, Direction::Asc) => {}
                (Value::None, Direction::Desc) => {
                    sql.push(&term.text).push(" IS NULL AND ");
                }
                (value, Direction::Asc) => {
                    sql.push(&term.text).push(" >= ").bind(Param::Borrowed(value)).push(" AND ");
                }
                (value, Direction::Desc) if !term.optional => {
                    sql.push(&term.text).push(" <= ").bind(Param::Borrowed(value)).push(" AND ");
                }
                _ => {}
            }
        }
        for ((column, direction), value) in columns.iter().zip(values) {
            let term = self.table.term(column)?;
            sql.push("(").push(&term.text);
            match (value, direction) {
                (Value::None, Direction::Asc) => sql.push(" IS NOT NULL"),
                (Value::None, Direction::Desc) => sql.push(" IS NULL AND ?1 IS NULL"),
                (value, Direction::Asc) => sql.push(" > ").bind(Param::Borrowed(value)),
                (value, Direction::Desc) if term.optional => sql
                    .push(" < ")
                    .bind(Param::Borrowed(value))
                    .push(" OR ")
                    .push(&term.text)
                    .push(" IS NULL"),
                (value, Direction::Desc) => sql.push(" < ").bind(Param::Borrowed(value)),
            };
            sql.push(" OR (").push(&term.text).push(" IS ").bind(Param::Borrowed(value)).push(" AND ");
        }
        let (tie, direction) = self.tie_column();
        sql.push(tie).push(if direction == Direction::Asc { " > " } else { " < " });
        match (last, self.tie()) {
            (Value::Uuid(id), Tie::Id) => sql.bind(Param::Uuid(*id)),
            (Value::Integer(number), Tie::Number) => sql.bind(Param::Integer(self.reach.tenant.at(*number)?)),
            _ => return Err(wrong()),
        };
        for _ in &columns {
            sql.push("))");
        }
        Ok(())
    }
}

pub(super) fn is_id(name: &str) -> bool {
    name == "_id" || name == "_created"
}

fn spelled(direction: Direction) -> &'static str {
    match direction {
        Direction::Asc => "",
        Direction::Desc => " DESC",
    }
}
