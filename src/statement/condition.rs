//! Conditions: a filter as SQL, with two truth values.

use uuid::Uuid;

use super::sql::{Builder, Param};
use super::table::{Table, TableColumn, read_expression};
use crate::entity::{ColumnDefinition, ColumnKind, Value, unknown_column};
use crate::error::{Error, Result};
use crate::query::{Comparison, Node};

/// Conditions in one filter; SQLite's expressions are at most 1,000 deep.
const CONDITIONS_MAX: usize = 400;
/// Values in one filter; SQLite takes at most 32,766 parameters.
const VALUES_MAX: usize = 20_000;
/// SQLite takes LIKE patterns of up to 50,000 bytes; escaping can double one.
const PATTERN_MAX: usize = 20_000;

impl Table {
    /// How a column stands in SQL.
    pub(super) fn term<'t>(&'t self, name: &str) -> Result<Term<'t>> {
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
                "takes comparisons, `between` and orders; for the smallest or largest sort by it and take the first",
            )),
            "_updated" => Ok(plain("t._updated", ColumnKind::Time, false)),
            "_version" => Ok(plain("t._version", ColumnKind::Integer, false)),
            "_author" if self.definition.has_author() => Ok(plain("t._author", ColumnKind::Text, true)),
            "_author" => {
                Err(Error::invalid("author", format!("{} does not declare `author`", self.entity())))
            }
            name => {
                let position =
                    self.definition.position(name).ok_or_else(|| unknown_column(&self.definition, name))?;
                let definition = &self.definition.columns()[position];
                let physical = &self.columns[position];
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
    pub(super) fn condition<'t>(
        &'t self,
        sql: &mut Builder<'t>,
        node: &'t Node,
        positive: bool,
    ) -> Result<()> {
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
                    self.condition(sql, node, positive)?;
                    sql.push(")");
                }
                Ok(())
            }
            Node::Not(node) => self.condition(sql, node, !positive),
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
                term.compare(sql, comparison, value, positive);
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
                let text = match self.definition.position(column) {
                    Some(position) => read_expression(&self.columns[position], "t"),
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

    fn text_term<'t>(&'t self, column: &str) -> Result<Term<'t>> {
        let term = self.term(column)?;
        if term.kind.is_text() { Ok(term) } else { Err(Error::invalid(column, "is not text")) }
    }
}

/// A column in SQL.
pub(super) struct Term<'t> {
    pub(super) text: String,
    pub(super) optional: bool,
    pub(super) kind: ColumnKind,
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

    fn compare(&self, sql: &mut Builder<'t>, comparison: Comparison, value: Param<'t>, positive: bool) {
        match comparison {
            Comparison::Eq => {
                if let Some(column) = self.soft {
                    // The column itself, which an index may serve, beside the check of the target.
                    sql.push("t.").push(&column.name).push(" = ").bind(value.clone()).push(" AND ");
                }
                sql.push(&self.text).push(" = ").bind(value);
            }
            Comparison::Ne if self.optional => {
                sql.push(&self.text).push(" IS NOT ").bind(value);
            }
            Comparison::Ne => {
                sql.push(&self.text).push(" <> ").bind(value);
            }
            Comparison::Lt | Comparison::Le | Comparison::Gt | Comparison::Ge => {
                let operator = match comparison {
                    Comparison::Lt => " < ",
                    Comparison::Le => " <= ",
                    Comparison::Gt => " > ",
                    _ => " >= ",
                };
                sql.push(&self.text).push(operator).bind(value);
                // The complement of `lt` is true without a value, `ge` itself is not.
                self.or_none(sql, !positive);
            }
        }
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
    let at_or_after = Param::id(first_id(if whole { floor } else { floor + 1 }));
    let after = Param::id(first_id(floor + 1));
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

/// Refuses filters that SQLite could not take.
pub(super) fn check_size(filter: &Node) -> Result<()> {
    let (mut conditions, mut values) = (0, 0);
    measure(filter, &mut conditions, &mut values);
    if conditions <= CONDITIONS_MAX && values <= VALUES_MAX {
        return Ok(());
    }
    Err(Error::LimitExceeded {
        limit: "filter size",
        problem: format!(
            "a filter has at most {CONDITIONS_MAX} conditions and {VALUES_MAX} values; use `is_in` or several queries"
        ),
    })
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
