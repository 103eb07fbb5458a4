//! Selects: a filter, an order and a page beside the tenant predicate, and the access path.

use rusqlite::Row;
use uuid::Uuid;

use super::Reach;
use super::sql::{Builder, Param, Statement};
use super::table::{Table, TableColumn, read_expression, reverse};
use super::write::soft_target;
use crate::entity::{ColumnDefinition, ColumnKind, Direction, Raw, Tenancy, Value, unknown_column};
use crate::error::{Error, Result};
use crate::query::{Comparison, Node, Spec};

/// Conditions in one filter; SQLite's expressions are at most 1,000 deep.
const CONDITIONS_MAX: usize = 400;
/// Values in one filter; SQLite takes at most 32,766 parameters.
const VALUES_MAX: usize = 20_000;
/// SQLite takes LIKE patterns of up to 50,000 bytes; escaping can double one.
const PATTERN_MAX: usize = 20_000;

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

/// How SQLite is told to reach the tenant's rows.
#[derive(Debug, PartialEq, Eq)]
enum Path<'t> {
    /// Through an index, whose first column is the tenant.
    Index(&'t str),
    /// Through the tenant's own range of the primary key.
    Range,
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
            .map(|(column, _)| Ok(self.term(column)?.kind))
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
            sql.push(", ").push(&self.term(column)?.text);
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
        let term = self.term(column)?;
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
        let term = self.term(column)?.text;
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
            let (mut conditions, mut values) = (0, 0);
            measure(node, &mut conditions, &mut values);
            if conditions > CONDITIONS_MAX || values > VALUES_MAX {
                return Err(Error::LimitExceeded {
                    limit: "filter size",
                    problem: format!(
                        "a filter has at most {CONDITIONS_MAX} conditions and {VALUES_MAX} values; use `is_in` or several queries"
                    ),
                });
            }
            sql.push(" AND (");
            self.node(sql, node, true)?;
            sql.push(")");
        }
        if let Some(position) = self.after {
            sql.push(" AND (");
            self.page(sql, position)?;
            sql.push(")");
        }
        Ok(())
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

    /// The tie's column and direction. A row's number runs with the first column, as it does in
    /// an index that is walked forwards or backwards.
    fn tie_column(&self) -> (&'static str, Direction) {
        match self.tie() {
            Tie::Id => {
                let direction =
                    self.spec.order.iter().find(|(name, _)| is_id(name)).map_or(Direction::Asc, |(_, d)| *d);
                ("t._id", direction)
            }
            Tie::Number => {
                ("t._rid", self.spec.order.first().map_or(Direction::Asc, |(_, direction)| *direction))
            }
        }
    }

    fn order_and_limit(&self, sql: &mut Builder<'t>) -> Result<()> {
        sql.push(" ORDER BY ");
        for (column, direction) in self.sort_columns() {
            sql.push(&self.term(column)?.text).push(spelled(direction)).push(", ");
        }
        let (tie, direction) = self.tie_column();
        sql.push(tie).push(spelled(direction));
        if let Some(limit) = self.spec.limit {
            sql.push(" LIMIT ").bind(Param::Integer(i64::try_from(limit).unwrap_or(i64::MAX)));
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
            let term = self.term(column)?;
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
            let term = self.term(column)?;
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

    /// How to reach the rows: the index that the filter narrows most, or the one in whose order
    /// a page lies, or the tenant's range. Never left to the planner, which knows no statistics
    /// and prefers any tenant-led index to the range.
    fn path(&self, ordered: bool) -> Path<'t> {
        let table = self.table;
        let mut best: (usize, Option<&'t str>) = (0, None);
        if let Some(filter) = &self.spec.filter {
            let conjuncts: &[Node] =
                if let Node::All(nodes) = filter { nodes } else { std::slice::from_ref(filter) };
            let id_score = conjuncts.iter().map(id_use).max().unwrap_or(0);
            if id_score > 0 {
                best = (id_score, Some(&table.id_index));
            }
            for index in &table.indexes {
                let score = index_use(conjuncts, index.columns.iter().map(|(name, _)| name.as_str()));
                if score > best.0 {
                    best = (score, Some(&index.name));
                }
            }
        }
        if let Some(index) = best.1 {
            return Path::Index(index);
        }
        if ordered && (self.spec.limit.is_some() || self.after.is_some()) {
            let sort = self.sort_columns();
            if sort.is_empty() {
                return Path::Index(&table.id_index);
            }
            if let Some(index) = table.indexes.iter().find(|index| in_order(&index.columns, &sort)) {
                return Path::Index(&index.name);
            }
        }
        Path::Range
    }

    /// How a column stands in SQL.
    fn term(&self, name: &str) -> Result<Term<'t>> {
        let plain = |text: &str, kind: ColumnKind, optional: bool| Term {
            text: text.to_owned(),
            optional,
            kind,
            soft: None,
        };
        match name {
            "_id" => Ok(plain("t._id", ColumnKind::Uuid, false)),
            // Sorting by creation is sorting by id; filters on it never come here.
            "_created" => Err(Error::invalid(
                "created",
                "can be filtered and sorted by, but not aggregated; sort by it and take the first",
            )),
            "_updated" => Ok(plain("t._updated", ColumnKind::Time, false)),
            "_version" => Ok(plain("t._version", ColumnKind::Integer, false)),
            "_author" if self.table.definition.has_author() => Ok(plain("t._author", ColumnKind::Text, true)),
            "_author" => {
                Err(Error::invalid("author", format!("{} does not declare `author`", self.table.entity())))
            }
            name => {
                let position = self
                    .table
                    .definition
                    .position(name)
                    .ok_or_else(|| unknown_column(&self.table.definition, name))?;
                let definition = &self.table.definition.columns()[position];
                let physical = &self.table.columns[position];
                if !definition.kind().is_ordered() {
                    return Err(Error::invalid(name, "is a nested value, which has no order"));
                }
                Ok(Term {
                    text: read_expression(physical, "t"),
                    optional: definition.is_optional(),
                    kind: definition.kind().clone(),
                    soft: physical.is_soft().then_some(physical),
                })
            }
        }
    }

    /// A condition (`positive`) or its complement. Negation is pushed down to the comparisons,
    /// where SQL's third truth value is turned into false.
    fn node(&self, sql: &mut Builder<'t>, node: &'t Node, positive: bool) -> Result<()> {
        match node {
            Node::All(nodes) | Node::Any(nodes) => {
                let all = matches!(node, Node::All(_)) == positive;
                if nodes.is_empty() {
                    sql.push(truth(all));
                    return Ok(());
                }
                for (number, node) in nodes.iter().enumerate() {
                    if number > 0 {
                        sql.push(if all { " AND " } else { " OR " });
                    }
                    sql.push("(");
                    self.node(sql, node, positive)?;
                    sql.push(")");
                }
                Ok(())
            }
            Node::Not(node) => self.node(sql, node, !positive),
            Node::Compare { column, comparison, value } if column == "_created" => {
                created(sql, *comparison, value, positive)
            }
            Node::Between { column, low, high } if column == "_created" => {
                // Not between: less than the one or greater than the other.
                let (first, second) = if positive {
                    (Comparison::Ge, Comparison::Le)
                } else {
                    (Comparison::Lt, Comparison::Gt)
                };
                sql.push("(");
                created(sql, first, low, true)?;
                sql.push(if positive { ") AND (" } else { ") OR (" });
                created(sql, second, high, true)?;
                sql.push(")");
                Ok(())
            }
            Node::Compare { column, comparison, value } => {
                let term = self.term(column)?;
                let comparison = if positive { *comparison } else { comparison.complement() };
                let value = term.accept(column, value)?;
                self.compare(sql, &term, comparison, value, positive);
                Ok(())
            }
            Node::Between { column, low, high } => {
                let term = self.term(column)?;
                let (low, high) = (term.accept(column, low)?, term.accept(column, high)?);
                sql.push(&term.text).push(if positive { " BETWEEN " } else { " NOT BETWEEN " });
                sql.bind(low).push(" AND ").bind(high);
                term.or_none(sql, !positive);
                Ok(())
            }
            Node::In { values, .. } if values.is_empty() => {
                sql.push(truth(!positive));
                Ok(())
            }
            Node::In { column, values } => {
                let term = self.term(column)?;
                sql.push(&term.text).push(if positive { " IN (" } else { " NOT IN (" });
                for (number, value) in values.iter().enumerate() {
                    if number > 0 {
                        sql.push(", ");
                    }
                    sql.bind(term.accept(column, value)?);
                }
                sql.push(")");
                term.or_none(sql, !positive);
                Ok(())
            }
            Node::IsNone { column } if column == "_created" => {
                sql.push(truth(!positive));
                Ok(())
            }
            Node::IsNone { column } => {
                // Nested columns may be asked for presence, though they have no order.
                let text = match self.table.definition.position(column) {
                    Some(position) => read_expression(&self.table.columns[position], "t"),
                    None => self.term(column)?.text,
                };
                sql.push(&text).push(if positive { " IS NULL" } else { " IS NOT NULL" });
                Ok(())
            }
            Node::Contains { column, text, ignore_case } => {
                let term = self.text_term(column)?;
                if text.contains('\0') {
                    // Stored text never holds U+0000.
                    sql.push(truth(!positive));
                    return Ok(());
                }
                if *ignore_case {
                    sql.push(&term.text).push(if positive { " LIKE " } else { " NOT LIKE " });
                    sql.bind(Param::Owned(Value::Text(like_pattern(column, text)?))).push(" ESCAPE '\\'");
                } else {
                    sql.push("instr(")
                        .push(&term.text)
                        .push(", ")
                        .bind(Param::Owned(Value::Text(text.clone())));
                    sql.push(if positive { ") > 0" } else { ") = 0" });
                }
                term.or_none(sql, !positive);
                Ok(())
            }
            Node::StartsWith { column, text } => {
                let term = self.text_term(column)?;
                let low = Param::Owned(Value::Text(text.clone()));
                match (successor(text), positive) {
                    (Some(high), true) => {
                        sql.push(&term.text)
                            .push(" >= ")
                            .bind(low)
                            .push(" AND ")
                            .push(&term.text)
                            .push(" < ");
                        sql.bind(Param::Owned(Value::Text(high)));
                    }
                    (None, true) => {
                        sql.push(&term.text).push(" >= ").bind(low);
                    }
                    (high, false) => {
                        sql.push(&term.text).push(" < ").bind(low);
                        if let Some(high) = high {
                            sql.push(" OR ")
                                .push(&term.text)
                                .push(" >= ")
                                .bind(Param::Owned(Value::Text(high)));
                        }
                        term.or_none(sql, true);
                    }
                }
                Ok(())
            }
            Node::Invalid { column, problem } => Err(Error::invalid(&**column, problem)),
        }
    }

    fn text_term(&self, column: &str) -> Result<Term<'t>> {
        let term = self.term(column)?;
        if term.kind.is_text() { Ok(term) } else { Err(Error::invalid(column, "is not text")) }
    }

    fn compare(
        &self,
        sql: &mut Builder<'t>,
        term: &Term<'t>,
        comparison: Comparison,
        value: Param<'t>,
        positive: bool,
    ) {
        match comparison {
            Comparison::Eq => {
                if let Some(column) = term.soft {
                    // The column itself, which an index may serve, beside the check of the target.
                    sql.push("t.").push(&column.name).push(" = ").bind(value.clone()).push(" AND ");
                }
                sql.push(&term.text).push(" = ").bind(value);
            }
            Comparison::Ne if term.optional => {
                sql.push(&term.text).push(" IS NOT ").bind(value);
            }
            Comparison::Ne => {
                sql.push(&term.text).push(" <> ").bind(value);
            }
            Comparison::Lt | Comparison::Le | Comparison::Gt | Comparison::Ge => {
                let operator = match comparison {
                    Comparison::Lt => " < ",
                    Comparison::Le => " <= ",
                    Comparison::Gt => " > ",
                    _ => " >= ",
                };
                sql.push(&term.text).push(operator).bind(value);
                // The complement of `lt` is true without a value, `ge` itself is not.
                term.or_none(sql, !positive);
            }
        }
    }
}

/// A column in SQL.
struct Term<'t> {
    text: String,
    optional: bool,
    kind: ColumnKind,
    soft: Option<&'t TableColumn>,
}

impl<'t> Term<'t> {
    /// Checks that a value can stand beside the column.
    fn accept(&self, column: &str, value: &'t Value) -> Result<Param<'t>> {
        if value.is_none() {
            return Err(Error::invalid(column, "is compared with no value; use `is_none`"));
        }
        let mut accepted = value.clone();
        ColumnDefinition::new(column, self.kind.clone()).accept(&mut accepted)?;
        Ok(if accepted == *value { Param::Borrowed(value) } else { Param::Owned(accepted) })
    }

    fn or_none(&self, sql: &mut Builder<'t>, complement: bool) {
        if complement && self.optional {
            sql.push(" OR ").push(&self.text).push(" IS NULL");
        }
    }
}

impl Comparison {
    fn complement(self) -> Self {
        match self {
            Comparison::Eq => Comparison::Ne,
            Comparison::Ne => Comparison::Eq,
            Comparison::Lt => Comparison::Ge,
            Comparison::Le => Comparison::Gt,
            Comparison::Gt => Comparison::Le,
            Comparison::Ge => Comparison::Lt,
        }
    }
}

/// `_created` is the time in the id, to the millisecond, so a comparison with it is one of ids.
fn created<'t>(sql: &mut Builder<'t>, comparison: Comparison, value: &Value, positive: bool) -> Result<()> {
    let Value::Time(time) = value else {
        return Err(Error::invalid("created", format!("must be a time, not {}", value.type_name())));
    };
    let comparison = if positive { comparison } else { comparison.complement() };
    let microseconds = time.as_microsecond();
    let floor = microseconds.div_euclid(1000);
    let whole = microseconds.rem_euclid(1000) == 0;
    // The first millisecond at or after the time, and the first one after it.
    let at_or_after = Param::Uuid(first_id(if whole { floor } else { floor + 1 }));
    let after = Param::Uuid(first_id(floor + 1));
    match comparison {
        Comparison::Lt => sql.push("t._id < ").bind(at_or_after),
        Comparison::Ge => sql.push("t._id >= ").bind(at_or_after),
        Comparison::Le => sql.push("t._id < ").bind(after),
        Comparison::Gt => sql.push("t._id >= ").bind(after),
        Comparison::Eq => sql.push("t._id >= ").bind(at_or_after).push(" AND t._id < ").bind(after),
        Comparison::Ne => sql.push("t._id < ").bind(at_or_after).push(" OR t._id >= ").bind(after),
    };
    Ok(())
}

/// A constant, as SQL that the planner does not fold: for a plain 0 it forgets the other
/// conditions and reports a scan of the table.
fn truth(value: bool) -> &'static str {
    if value { "?1 IS NOT NULL" } else { "?1 IS NULL" }
}

/// The smallest UUID of a millisecond.
fn first_id(milliseconds: i64) -> Uuid {
    let clamped = milliseconds.clamp(0, (1 << 48) - 1).to_be_bytes();
    let mut bytes = [0; 16];
    bytes[..6].copy_from_slice(&clamped[2..]);
    Uuid::from_bytes(bytes)
}

fn is_id(name: &str) -> bool {
    name == "_id" || name == "_created"
}

fn spelled(direction: Direction) -> &'static str {
    match direction {
        Direction::Asc => "",
        Direction::Desc => " DESC",
    }
}

fn measure(node: &Node, conditions: &mut usize, values: &mut usize) {
    match node {
        Node::All(nodes) | Node::Any(nodes) => {
            nodes.iter().for_each(|node| measure(node, conditions, values))
        }
        Node::Not(node) => measure(node, conditions, values),
        Node::In { values: list, .. } => {
            *conditions += 1;
            *values += list.len();
        }
        _ => {
            *conditions += 1;
            *values += 2;
        }
    }
}

/// How a condition narrows one column: 2 for equality, 1 for a range.
fn use_of(node: &Node, column: &str) -> usize {
    match node {
        Node::Compare { column: c, comparison: Comparison::Eq, .. }
        | Node::In { column: c, .. }
        | Node::IsNone { column: c }
            if c == column =>
        {
            2
        }
        Node::Compare { column: c, comparison, .. } if c == column && *comparison != Comparison::Ne => 1,
        Node::Between { column: c, .. } | Node::StartsWith { column: c, .. } if c == column => 1,
        _ => 0,
    }
}

fn id_use(node: &Node) -> usize {
    match (use_of(node, "_id"), use_of(node, "_created")) {
        (2, _) => usize::MAX,
        (id, created) => usize::from(id + created > 0),
    }
}

/// How well the conditions narrow an index: equalities on its first columns, then a range.
fn index_use<'c>(conjuncts: &[Node], columns: impl Iterator<Item = &'c str>) -> usize {
    let mut score = 0;
    for column in columns {
        match conjuncts.iter().map(|node| use_of(node, column)).max() {
            Some(2) => score += 2,
            Some(1) => return score + 1,
            _ => break,
        }
    }
    score
}

/// Whether an index, walked forwards or backwards, gives the order.
fn in_order(index: &[(String, Direction)], sort: &[(&str, Direction)]) -> bool {
    let Some(flipped) = index.first().zip(sort.first()).map(|(i, s)| i.1 != s.1) else { return false };
    // A longer index would give ties another order than the row's number.
    index.len() == sort.len()
        && index.iter().zip(sort).all(|((name, direction), (wanted, wanted_direction))| {
            name == wanted && *wanted_direction == if flipped { reverse(*direction) } else { *direction }
        })
}

fn like_pattern(column: &str, text: &str) -> Result<String> {
    if text.len() > PATTERN_MAX {
        return Err(Error::invalid(
            column,
            format!("can be searched for at most {PATTERN_MAX} bytes of text"),
        ));
    }
    let mut pattern = String::with_capacity(text.len() + 2);
    pattern.push('%');
    for character in text.chars() {
        if matches!(character, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern.push('%');
    Ok(pattern)
}

/// The first text after all that start with this one, if there is one. SQLite compares text byte
/// by byte, and UTF-8 sorts by code point.
fn successor(prefix: &str) -> Option<String> {
    let mut characters: Vec<char> = prefix.chars().collect();
    while let Some(last) = characters.pop() {
        let next = match last {
            char::MAX => continue,
            '\u{d7ff}' => '\u{e000}', // surrogates are no characters
            last => char::from_u32(u32::from(last) + 1)?,
        };
        characters.push(next);
        return Some(characters.into_iter().collect());
    }
    None
}
