//! Selects: a filter, an order and a page beside the tenant predicate.

use rusqlite::{Connection, Row};

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
    /// Whether the file's heads are those of the rows: not so within a transaction.
    pub(crate) heads: bool,
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

/// Whole records in order. Most tenants' rows lie in the order of their ids, as their head tells:
/// then the range of the primary key is walked, and no index is asked where each row is.
#[derive(Debug)]
pub(crate) struct Listing<'t> {
    select: Select<'t>,
    joined: Option<Joined<'t>>,
    position: bool,
    /// Gives no rows if they do not lie so.
    walk: Option<Statement<'t>>,
    /// Gives them in any case.
    sure: Option<Statement<'t>>,
}

impl Listing<'_> {
    /// Decodes every record.
    pub(crate) fn all<T>(
        &self,
        connection: &Connection,
        mut decode: impl FnMut(&Row<'_>) -> Result<T>,
    ) -> Result<Vec<T>> {
        if let Some(walk) = &self.walk {
            let rows = walk.all(connection, &mut decode)?;
            // The head is asked later than the rows: once they are out of order they stay so.
            if !rows.is_empty() || self.select.in_order().first(connection, |_| Ok(()))?.is_some() {
                return Ok(rows);
            }
        }
        match &self.sure {
            Some(sure) => sure.all(connection, decode),
            None => {
                let path = self.select.path(true);
                self.select.compile(self.joined, self.position, &path)?.all(connection, decode)
            }
        }
    }
}

impl<'t> Select<'t> {
    /// Whole records, with the ones that a reference names behind them.
    pub(crate) fn records(&self, joined: Option<Joined<'t>>) -> Result<Listing<'t>> {
        self.listing(joined, false)
    }

    /// The same, and last of all what a cursor needs: the sort columns and the tie.
    pub(crate) fn page(&self, joined: Option<Joined<'t>>) -> Result<Listing<'t>> {
        self.listing(joined, true)
    }

    fn listing(&self, joined: Option<Joined<'t>>, position: bool) -> Result<Listing<'t>> {
        let compile = |path: &Path<'t>| self.compile(joined, position, path).map(Some);
        let (walk, sure) =
            if self.walks() { (compile(&Path::Walk)?, None) } else { (None, compile(&self.path(true))?) };
        Ok(Listing { select: *self, joined, position, walk, sure })
    }

    /// How many values a position has.
    pub(crate) fn position_len(&self) -> usize {
        let ties = match self.tie() {
            Tie::Id => 2,
            Tie::Number => 1,
        };
        self.sort_columns().len() + ties
    }

    /// The position of a row that [`page`](Self::page) returned.
    pub(crate) fn position(&self, row: &Row<'_>) -> Result<Vec<Value>> {
        let mut kinds = self
            .sort_columns()
            .iter()
            .map(|(column, _)| Ok(self.table.term(column)?.kind))
            .collect::<Result<Vec<_>>>()?;
        if self.tie() == Tie::Id {
            kinds.push(ColumnKind::Uuid);
        }
        kinds.push(ColumnKind::Integer);
        let first = row.as_ref().column_count() - kinds.len();
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

    /// Where the columns of the other side of a join begin.
    pub(crate) fn joined_column(&self) -> usize {
        self.table.head_columns() + self.table.columns.len()
    }

    fn compile(&self, joined: Option<Joined<'t>>, position: bool, path: &Path<'t>) -> Result<Statement<'t>> {
        let mut sql = self.begin(joined.is_some_and(|joined| joined.table.has_soft()))?;
        sql.push("SELECT ").push(&self.table.select_list);
        if let Some(joined) = joined {
            sql.push(", ").push(&joined.table.select_list_as("j"));
        }
        if position {
            for (column, _) in &self.sort_columns() {
                sql.push(", ").push(&self.table.term(column)?.text);
            }
            sql.push(match self.tie() {
                Tie::Id => ", t._id, t._rid & 1099511627775",
                Tie::Number => ", t._rid & 1099511627775",
            });
        }
        self.from(&mut sql, path);
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
        self.filter(&mut sql, path)?;
        self.order_and_limit(&mut sql, path)?;
        Ok(sql.finish())
    }

    /// A row if the tenant's rows lie in the order of their ids.
    fn in_order(&self) -> Statement<'static> {
        let sql = "SELECT 1 FROM _row_head WHERE tenant = ?1 AND entity = ?2 AND last_id IS NOT NULL";
        let params = vec![Param::Integer(self.reach.tenant.get()), Param::Integer(self.table.key)];
        Statement::new(sql, params)
    }

    /// The ids of the records, in the query's order.
    pub(crate) fn ids(&self) -> Result<Statement<'t>> {
        let mut sql = self.begin(false)?;
        sql.push("SELECT t._id");
        let path = self.path(true);
        self.from(&mut sql, &path);
        self.filter(&mut sql, &path)?;
        self.order_and_limit(&mut sql, &path)?;
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
            Path::Ids => sql.push("INDEXED BY ").push(&self.table.id_index),
            Path::Range | Path::Walk => sql.push("NOT INDEXED"),
        };
    }

    /// The tenant predicate, then the caller's filter and the page in parentheses of their own.
    fn filter(&self, sql: &mut Builder<'t>, path: &Path<'_>) -> Result<()> {
        sql.push(" WHERE t._tenant = ?1");
        if *path == Path::Range {
            sql.push(" AND t._rid BETWEEN ").bind(Param::Integer(self.reach.tenant.first()));
            sql.push(" AND ").bind(Param::Integer(self.reach.tenant.last()));
        }
        if *path == Path::Walk {
            let (first, last) = self.walk_bounds()?;
            sql.push(" AND t._rid BETWEEN ").bind(Param::Integer(first)).push(" AND (SELECT ");
            sql.bind(Param::Integer(last)).push(" FROM _row_head AS h WHERE h.tenant = ?1 AND h.entity = ");
            sql.bind(Param::Integer(self.table.key)).push(" AND h.last_id IS NOT NULL)");
        }
        if let Some(node) = &self.spec.filter {
            condition::check_size(node)?;
            sql.push(" AND (");
            self.table.condition(sql, node, true)?;
            sql.push(")");
        }
        if let Some(position) = self.after.filter(|_| *path != Path::Walk) {
            sql.push(" AND (");
            self.comes_after(sql, position)?;
            sql.push(")");
        }
        Ok(())
    }

    /// The part of the tenant's range that comes after the last page.
    fn walk_bounds(&self) -> Result<(i64, i64)> {
        let (first, last) = (self.reach.tenant.first(), self.reach.tenant.last());
        let Some(position) = self.after else { return Ok((first, last)) };
        let Some(Value::Integer(number)) = position.last() else { return Err(foreign_cursor()) };
        let at = self.reach.tenant.at(*number)?;
        Ok(match self.tie_column() {
            (_, Direction::Asc) => (at.saturating_add(1), last),
            (_, Direction::Desc) => (first, at.saturating_sub(1)),
        })
    }

    /// Whether the order is that of the ids alone, and no index of the filter's serves better.
    fn walks(&self) -> bool {
        self.heads
            && self.sort_columns().is_empty()
            && Path::choose(self.table, self.spec.filter.as_ref(), Some(&[])) == Path::Ids
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

    fn order_and_limit(&self, sql: &mut Builder<'t>, path: &Path<'t>) -> Result<()> {
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
        sql.push(if *path == Path::Walk { "t._rid" } else { tie }).push(spelled(direction));
        if let Some(limit) = self.spec.limit {
            // A number in the text: SQLite prepares a statement again for each value bound to LIMIT.
            sql.push(" LIMIT ").push(&i64::try_from(limit).unwrap_or(i64::MAX).to_string());
        }
        Ok(())
    }

    /// `(a, b, tie)` comes after the position: `a > ? OR (a = ? AND (b > ? OR (b = ? AND tie > ?)))`,
    /// with no value before every value. The first comparison stands once more in front, where
    /// an index can use it.
    fn comes_after(&self, sql: &mut Builder<'t>, position: &'t [Value]) -> Result<()> {
        let columns = self.sort_columns();
        let (values, ties) = position.split_at_checked(columns.len()).ok_or_else(foreign_cursor)?;
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
        match (ties, self.tie()) {
            ([Value::Uuid(id), _], Tie::Id) => sql.bind(Param::id(*id)),
            ([Value::Integer(number)], Tie::Number) => {
                sql.bind(Param::Integer(self.reach.tenant.at(*number)?))
            }
            _ => return Err(foreign_cursor()),
        };
        for _ in &columns {
            sql.push("))");
        }
        Ok(())
    }
}

fn foreign_cursor() -> Error {
    Error::invalid("cursor", "it belongs to another order; start from the first page")
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
