//! The format of sqllogictest: <https://sqlite.org/sqllogictest/doc/trunk/about.wiki>.

use std::fmt::Write as _;

use md5::{Digest, Md5};
use tenantry::Value;

/// For which engine the conditions of a script are read.
const ENGINE: &str = "sqlite";

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Sort {
    None,
    Rows,
    Values,
}

#[derive(Debug, PartialEq)]
pub enum Expected {
    Values(Vec<String>),
    Hash { count: usize, md5: String },
}

#[derive(Debug, PartialEq)]
pub enum Record {
    Statement { line: usize, succeeds: bool, sql: String },
    Query { line: usize, query: Query },
}

#[derive(Debug, PartialEq)]
pub struct Query {
    /// A letter for each column: `I`, `R` or `T`.
    pub types: String,
    pub sort: Sort,
    /// Queries of one label have one result.
    pub label: Option<String>,
    pub sql: String,
    pub expected: Expected,
}

/// The records that are for this engine.
pub fn parse(text: &str) -> Vec<Record> {
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    let mut records = Vec::new();
    let mut at = 0;
    let mut applies = true;
    while let Some(line) = lines.get(at) {
        let number = at + 1;
        let words: Vec<&str> = line.split('#').next().unwrap().split_whitespace().collect();
        at += 1;
        match words[..] {
            [] | ["hash-threshold", ..] => {}
            ["skipif", engine] => applies &= engine != ENGINE,
            ["onlyif", engine] => applies &= engine == ENGINE,
            ["halt"] if applies => break,
            ["halt"] => applies = true,
            ["statement", outcome, ..] => {
                let sql = block(&lines, &mut at);
                if std::mem::replace(&mut applies, true) {
                    records.push(Record::Statement { line: number, succeeds: outcome == "ok", sql });
                }
            }
            ["query", types, ref rest @ ..] => {
                let sql = block(&lines, &mut at);
                let mut values = Vec::new();
                if lines.get(at) == Some(&"----") {
                    at += 1;
                    while let Some(value) = lines.get(at).filter(|line| !line.is_empty()) {
                        values.push((*value).to_owned());
                        at += 1;
                    }
                }
                let query = Query {
                    types: types.to_owned(),
                    sort: sort(rest.first().copied()),
                    label: rest.get(1).map(|&label| label.to_owned()),
                    sql,
                    expected: expected(values),
                };
                if std::mem::replace(&mut applies, true) {
                    records.push(Record::Query { line: number, query });
                }
            }
            _ => panic!("line {number} is not understood: {line}"),
        }
    }
    records
}

/// The lines up to an empty one or the line before a result.
fn block(lines: &[&str], at: &mut usize) -> String {
    let mut sql = String::new();
    while let Some(line) = lines.get(*at).filter(|line| !line.is_empty() && **line != "----") {
        sql.push_str(line);
        sql.push('\n');
        *at += 1;
    }
    sql.truncate(sql.trim_end().len());
    sql
}

fn sort(word: Option<&str>) -> Sort {
    match word {
        None | Some("nosort") => Sort::None,
        Some("rowsort") => Sort::Rows,
        Some("valuesort") => Sort::Values,
        Some(other) => panic!("unknown order: {other}"),
    }
}

fn expected(values: Vec<String>) -> Expected {
    if let [only] = &values[..]
        && let Some((count, md5)) = only.split_once(" values hashing to ")
    {
        return Expected::Hash { count: count.parse().unwrap(), md5: md5.to_owned() };
    }
    Expected::Values(values)
}

impl Query {
    /// A result as scripts write it: a line for each value.
    pub fn lines(&self, rows: &[Vec<Value>]) -> Vec<String> {
        let mut rows: Vec<Vec<String>> = rows
            .iter()
            .map(|row| {
                assert_eq!(row.len(), self.types.len(), "columns of {}", self.sql);
                row.iter().zip(self.types.chars()).map(|(value, kind)| written(value, kind)).collect()
            })
            .collect();
        if self.sort == Sort::Rows {
            rows.sort();
        }
        let mut lines: Vec<String> = rows.into_iter().flatten().collect();
        if self.sort == Sort::Values {
            lines.sort();
        }
        lines
    }

    /// Whether a result is the one that the script expects.
    pub fn accepts(&self, lines: &[String]) -> bool {
        match &self.expected {
            Expected::Values(values) => values == lines,
            Expected::Hash { count, md5 } => *count == lines.len() && *md5 == hash(lines),
        }
    }
}

fn hash(lines: &[String]) -> String {
    let mut md5 = Md5::new();
    for line in lines {
        md5.update(line);
        md5.update("\n");
    }
    md5.finalize().iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// A value as its column's letter asks. SQLite's own conversions are meant: a text that is no number is 0.
#[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
fn written(value: &Value, kind: char) -> String {
    match (kind, value) {
        (_, Value::None) => "NULL".to_owned(),
        ('I', Value::Integer(integer)) => (*integer as i32).to_string(),
        ('I', Value::Real(real)) => (*real as i64 as i32).to_string(),
        ('I', Value::Text(text)) => leading_integer(text).to_string(),
        ('R', Value::Integer(integer)) => format!("{:.3}", *integer as f64),
        ('R', Value::Real(real)) => format!("{real:.3}"),
        ('R', Value::Text(text)) => format!("{:.3}", leading_integer(text) as f64),
        ('T', Value::Integer(integer)) => integer.to_string(),
        ('T', Value::Text(text)) if text.is_empty() => "(empty)".to_owned(),
        ('T', Value::Text(text)) => {
            text.chars().map(|c| if matches!(c, ' '..='~') { c } else { '@' }).collect()
        }
        _ => panic!("no {kind} is made of {value:?}"),
    }
}

fn leading_integer(text: &str) -> i64 {
    let text = text.trim_start();
    let digits = text.char_indices().take_while(|(at, c)| c.is_ascii_digit() || (*at == 0 && *c == '-'));
    text[..digits.count()].parse().unwrap_or(0)
}

#[test]
fn scripts_are_read_for_this_engine() {
    let text = "# of ours\n\
        onlyif mysql\nhalt\n\
        statement ok\nCREATE TABLE a(b)\n\n\
        skipif sqlite # not here\nquery I nosort\nSELECT 2\n----\n2\n\n\
        onlyif sqlite\nquery IT rowsort label-1\nSELECT 1,\n  'x'\n----\n1\nx\n\n\
        query I valuesort\nSELECT b FROM a\n----\n30 values hashing to 0cc175b9\n\n\
        statement error\nDROP TABLE nothing\n\n\
        query I\nSELECT 3 WHERE 0\n----\n\n\
        halt\nquery I\nSELECT 4\n----\n4\n";
    let query = |types: &str, sort, label: Option<&str>, sql: &str, expected| Query {
        types: types.to_owned(),
        sort,
        label: label.map(str::to_owned),
        sql: sql.to_owned(),
        expected,
    };
    let both = Expected::Values(vec!["1".to_owned(), "x".to_owned()]);
    let hashed = Expected::Hash { count: 30, md5: "0cc175b9".to_owned() };
    assert_eq!(
        parse(text),
        [
            Record::Statement { line: 4, succeeds: true, sql: "CREATE TABLE a(b)".to_owned() },
            Record::Query {
                line: 14,
                query: query("IT", Sort::Rows, Some("label-1"), "SELECT 1,\n  'x'", both)
            },
            Record::Query { line: 21, query: query("I", Sort::Values, None, "SELECT b FROM a", hashed) },
            Record::Statement { line: 26, succeeds: false, sql: "DROP TABLE nothing".to_owned() },
            Record::Query {
                line: 29,
                query: query("I", Sort::None, None, "SELECT 3 WHERE 0", Expected::Values(vec![]))
            },
        ]
    );
}

#[test]
fn results_are_written_sorted_and_hashed_as_the_format_says() {
    let text = |text: &str| Value::Text(text.to_owned());
    let query = Query {
        types: "TI".to_owned(),
        sort: Sort::Rows,
        label: None,
        sql: String::new(),
        expected: Expected::Hash { count: 4, md5: "7fd17be39e2b28be3ec5b1e8d3e9c2a1".to_owned() },
    };
    let rows = [vec![text("b\u{7f}"), text("12x")], vec![text(""), Value::None]];
    assert_eq!(query.lines(&rows), ["(empty)", "NULL", "b@", "12"]);
    assert!(!query.accepts(&query.lines(&rows)));
    assert_eq!(written(&Value::Real(2.0), 'R'), "2.000");
    assert_eq!(written(&Value::Real(2.9), 'I'), "2");
    assert_eq!(written(&text("true"), 'I'), "0");
    // RFC 1321, appendix A.5, but for the line's end: printf 'a\n' | md5sum.
    assert_eq!(hash(&["a".to_owned()]), "60b725f10c9c85c70d97880dfe8191b3");
}
