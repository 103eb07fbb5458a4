//! Random `SELECT`s over the schema of [`world`](crate::world).
//!
//! Every choice is a byte of a tape, and zero, which is also what comes after its end, is the simplest choice: so a
//! shorter tape with smaller bytes is a simpler statement, which is what proptest looks for when one fails.

use std::fmt::Write as _;

/// Choices that were made beforehand.
pub(crate) struct Tape<'b> {
    bytes: &'b [u8],
}

impl Tape<'_> {
    fn pick(&mut self, of: usize) -> usize {
        let Some((first, rest)) = self.bytes.split_first() else { return 0 };
        self.bytes = rest;
        usize::from(*first) % of
    }

    /// One time in so many.
    fn rarely(&mut self, of: usize) -> bool {
        self.pick(of) == of - 1
    }

    fn one<'o>(&mut self, of: &[&'o str]) -> &'o str {
        of[self.pick(of.len())]
    }
}

/// What can stand in `FROM`, and its columns.
#[derive(Clone)]
struct Source {
    alias: String,
    columns: Vec<String>,
    /// Whether it has one row for each value of this column.
    key: Option<&'static str>,
}

pub(crate) struct Grammar<'b> {
    tape: Tape<'b>,
    /// Leaves out what depends on the order in which rows are met.
    strict: bool,
    aliases: usize,
    ctes: Vec<Source>,
}

const TASK: [&str; 14] = [
    "id", "title", "status", "n", "amount", "done", "due", "tags", "payload", "project", "label", "version",
    "created", "updated",
];
const PROJECT: [&str; 3] = ["id", "name", "rank"];
const LABEL: [&str; 2] = ["id", "code"];
const AUDIT: [&str; 5] = ["number", "action", "entity", "record", "outcome"];

/// Texts and numbers that rows of the tenant have, that rows of others have, and that nobody has.
pub(crate) const TEXTS: [&str; 8] = ["a", "b", "A", "", "x_y", "POISON", "c%", "nobody's"];
pub(crate) const NUMBERS: [i64; 8] = [0, 1, -1, 7, i64::MAX, i64::MIN, 666, 42];

/// Expressions that fail, each in another way.
const ERRORS: [&str; 6] = [
    "abs(-9223372036854775807 - 1)",
    "json('{')",
    "json_extract('{}', '$[')",
    "(SELECT sum(v) FROM (SELECT 9223372036854775807 AS v UNION ALL SELECT 1))",
    "('x' LIKE 'y' ESCAPE 'ab')",
    "length(printf('%.*c', 900000000, 'x'))",
];

const DEPTH: usize = 3;

impl<'b> Grammar<'b> {
    pub(crate) fn statement(bytes: &'b [u8], strict: bool) -> String {
        let mut grammar = Grammar { tape: Tape { bytes }, strict, aliases: 0, ctes: Vec::new() };
        let with = grammar.with();
        let (mut sql, columns) = grammar.compound(DEPTH);
        if !strict && grammar.tape.rarely(3) {
            let places: Vec<String> = (1..=columns).map(|place| place.to_string()).collect();
            let _ = write!(sql, " ORDER BY {}", places.join(", "));
            if grammar.tape.rarely(2) {
                let _ = write!(sql, " LIMIT {} OFFSET {}", grammar.tape.pick(9), grammar.tape.pick(4));
            }
        }
        format!("{with}{sql}")
    }

    fn alias(&mut self) -> String {
        self.aliases += 1;
        // Now and then one that hides a table, here or in what is around it.
        match self.tape.pick(12) {
            11 => format!("task{}", ["", "_", "2"][self.tape.pick(3)]) + &self.aliases.to_string(),
            _ => format!("s{}", self.aliases),
        }
    }

    fn with(&mut self) -> String {
        let mut sql = String::new();
        for _ in 0..self.tape.pick(3) {
            let (body, columns) = if self.tape.rarely(4) {
                let end = 2 + self.tape.pick(9);
                (format!("SELECT 1 UNION ALL SELECT c1 + 1 FROM NAME WHERE c1 < {end}"), 1)
            } else {
                self.compound(DEPTH - 1)
            };
            self.aliases += 1;
            let name = match self.tape.pick(6) {
                // In place of a table from here on.
                5 if !self.ctes.iter().any(|cte| cte.alias == "project") => "project".to_owned(),
                _ => format!("w{}", self.aliases),
            };
            let names: Vec<String> = (1..=columns).map(|column| format!("c{column}")).collect();
            let how = self.tape.one(&["", "", "MATERIALIZED ", "NOT MATERIALIZED "]);
            let head = if sql.is_empty() { "WITH RECURSIVE " } else { ", " };
            let _ =
                write!(sql, "{head}{name}({}) AS {how}({})", names.join(", "), body.replace("NAME", &name));
            self.ctes.push(Source { alias: name, columns: names, key: None });
        }
        if sql.is_empty() { sql } else { sql + " " }
    }

    fn compound(&mut self, depth: usize) -> (String, usize) {
        let (mut sql, columns) = self.select(depth, None);
        for _ in 0..self.tape.pick(4).saturating_sub(2) {
            let operator = self.tape.one(&["UNION ALL", "UNION", "EXCEPT", "INTERSECT"]);
            let (other, _) = self.select(depth.saturating_sub(1), Some(columns));
            let _ = write!(sql, " {operator} {other}");
        }
        (sql, columns)
    }

    fn select(&mut self, depth: usize, columns: Option<usize>) -> (String, usize) {
        let columns = columns.unwrap_or_else(|| 1 + self.tape.pick(3));
        let (from, sources) = self.from(depth);
        let filter = if self.tape.rarely(3) {
            String::new()
        } else {
            format!(" WHERE {}", self.condition(&sources, depth))
        };
        if self.tape.rarely(4) {
            return (self.grouped(&from, &filter, &sources, columns, depth), columns);
        }
        let list: Vec<String> = (0..columns)
            .map(|_| if self.tape.rarely(6) { self.window(&sources) } else { self.value(&sources, depth) })
            .collect();
        let distinct = if self.tape.rarely(6) { "DISTINCT " } else { "" };
        (format!("SELECT {distinct}{} FROM {from}{filter}", list.join(", ")), columns)
    }

    fn grouped(
        &mut self,
        from: &str,
        filter: &str,
        sources: &[Source],
        columns: usize,
        depth: usize,
    ) -> String {
        let keys: Vec<String> =
            (0..self.tape.pick(columns.min(2) + 1)).map(|_| self.value(sources, 1)).collect();
        let mut list = keys.clone();
        while list.len() < columns {
            list.push(self.aggregate(sources));
        }
        let mut sql = format!("SELECT {} FROM {from}{filter}", list.join(", "));
        if !keys.is_empty() {
            let places: Vec<String> = (1..=keys.len()).map(|place| place.to_string()).collect();
            let _ = write!(sql, " GROUP BY {}", places.join(", "));
            if self.tape.rarely(2) {
                let _ = write!(sql, " HAVING {} > {}", self.aggregate(sources), self.tape.pick(3));
            }
        }
        let _ = depth;
        sql
    }

    fn aggregate(&mut self, sources: &[Source]) -> String {
        let column = self.column(sources);
        let distinct = self.tape.one(&["", "", "DISTINCT "]);
        let call = match self.tape.pick(9) {
            0 => "count(*)".to_owned(),
            1 => format!("count({distinct}{column})"),
            2 => format!("max({column})"),
            3 => format!("min({column})"),
            // Of small exact numbers, whose sum is the same in any order.
            4 => format!("sum({distinct}length({column}) / 4.0)"),
            5 => format!("total({distinct}{column} IS NULL)"),
            6 => format!("avg(length({column}))"),
            7 if !self.strict => format!("group_concat({column}, '-')"),
            8 if !self.strict => format!("sum({column})"),
            _ => format!("json_array_length(json_group_array(hex({column})))"),
        };
        if self.tape.rarely(4) { format!("{call} FILTER (WHERE {})", self.comparison(sources)) } else { call }
    }

    /// Over rows in an order that has no ties, if there is one.
    fn window(&mut self, sources: &[Source]) -> String {
        let keys: Vec<String> = sources
            .iter()
            .filter_map(|source| source.key.map(|key| format!("{}.{key}", source.alias)))
            .collect();
        if keys.len() != sources.len() && self.strict {
            return "1".to_owned();
        }
        let order = if keys.is_empty() { "1".to_owned() } else { keys.join(", ") };
        let partition = match self.tape.pick(3) {
            0 => String::new(),
            _ => format!("PARTITION BY {} ", self.column(sources)),
        };
        let frame = self.tape.one(&[
            "",
            " ROWS BETWEEN 1 PRECEDING AND CURRENT ROW",
            " ROWS BETWEEN UNBOUNDED PRECEDING AND 1 FOLLOWING EXCLUDE CURRENT ROW",
            " GROUPS 2 PRECEDING",
        ]);
        let column = self.column(sources);
        let call = match self.tape.pick(6) {
            0 => "row_number()".to_owned(),
            1 => format!("lag({column}, 1, 'none')"),
            2 => format!("first_value({column})"),
            3 => format!("count({column})"),
            4 => format!("max({column})"),
            _ => "ntile(3)".to_owned(),
        };
        format!("{call} OVER ({partition}ORDER BY {order}{frame})")
    }

    fn from(&mut self, depth: usize) -> (String, Vec<Source>) {
        let (mut sql, first) = self.source(depth);
        let mut sources = vec![first];
        for _ in 0..self.tape.pick(5).saturating_sub(2) {
            if self.tape.rarely(6)
                && let Some(tagged) = sources.iter().find(|source| source.columns.iter().any(|c| c == "tags"))
            {
                let alias = format!("j{}", self.aliases);
                self.aliases += 1;
                let function = self.tape.one(&["json_each", "json_tree"]);
                let _ = write!(sql, ", {function}({}.tags) AS {alias}", tagged.alias);
                let columns = ["value", "key", "type"].map(str::to_owned).to_vec();
                sources.push(Source { alias, columns, key: None });
                continue;
            }
            let (next, source) = self.source(depth.saturating_sub(1));
            let join = self.tape.one(&[
                "JOIN",
                "LEFT JOIN",
                "CROSS JOIN",
                "RIGHT JOIN",
                "FULL JOIN",
                "NATURAL JOIN",
                ",",
            ]);
            let _ = write!(sql, " {join} {next}").and_then(|()| {
                sources.push(source);
                if matches!(join, "JOIN" | "LEFT JOIN" | "RIGHT JOIN" | "FULL JOIN") {
                    let on = self.join_condition(&sources);
                    return write!(sql, " ON {on}");
                }
                Ok(())
            });
        }
        (sql, sources)
    }

    fn source(&mut self, depth: usize) -> (String, Source) {
        let kind = self.tape.pick(if depth == 0 { 8 } else { 11 });
        let named = |name: &str, columns: &[&str], key, alias: String| {
            let columns = columns.iter().map(|&column| column.to_owned()).collect();
            (format!("{name} AS {alias}"), Source { alias, columns, key })
        };
        let alias = self.alias();
        let hidden = self.ctes.iter().any(|cte| cte.alias == "project");
        match kind {
            4 | 5 if !hidden => named("project", &PROJECT, Some("id"), alias),
            6 if self.tape.rarely(3) => named("spare", &["id", "name"], Some("id"), alias),
            6 => named("label", &LABEL, Some("id"), alias),
            7 => named("audit", &AUDIT, Some("number"), alias),
            8 if !self.ctes.is_empty() => {
                let cte = self.ctes[self.tape.pick(self.ctes.len())].clone();
                (format!("{} AS {alias}", cte.alias), Source { alias, ..cte })
            }
            9 => {
                let (body, columns) = self.compound(depth - 1);
                // A subquery has no names for its columns but those that it is given.
                let names: Vec<String> = (1..=columns).map(|column| format!("c{column}")).collect();
                let list = names.iter().map(|name| format!("{alias}_.{name}")).collect::<Vec<_>>().join(", ");
                let inner =
                    format!("WITH {alias}_({}) AS ({body}) SELECT {list} FROM {alias}_", names.join(", "));
                (format!("({inner}) AS {alias}"), Source { alias, columns: names, key: None })
            }
            10 => {
                let rows: Vec<String> = (0..1 + self.tape.pick(3))
                    .map(|_| format!("({}, {})", self.literal(), self.literal()))
                    .collect();
                let columns = vec!["column1".to_owned(), "column2".to_owned()];
                (format!("(VALUES {}) AS {alias}", rows.join(", ")), Source { alias, columns, key: None })
            }
            _ => named(self.tape.one(&["task", "TASK", "\"task\""]), &TASK, Some("id"), alias),
        }
    }

    fn join_condition(&mut self, sources: &[Source]) -> String {
        let (last, before) = sources.split_last().expect("a source");
        let other = &before[self.tape.pick(before.len())];
        let has = |source: &Source, column: &str| source.columns.iter().any(|other| other == column);
        for (one, two) in [
            ("project", "id"),
            ("id", "project"),
            ("label", "id"),
            ("id", "label"),
            ("id", "id"),
            ("id", "record"),
        ] {
            if has(other, one) && has(last, two) && !self.tape.rarely(3) {
                return format!("{}.{one} = {}.{two}", other.alias, last.alias);
            }
        }
        let (one, two) = (self.column_of(other), self.column_of(last));
        format!("{one} {} {two}", self.tape.one(&["=", "=", "IS", "<"]))
    }

    fn column_of(&mut self, source: &Source) -> String {
        let column = &source.columns[self.tape.pick(source.columns.len())];
        format!("{}.{column}", source.alias)
    }

    fn column(&mut self, sources: &[Source]) -> String {
        let source = self.tape.pick(sources.len());
        self.column_of(&sources[source])
    }

    fn literal(&mut self) -> String {
        match self.tape.pick(5) {
            0 | 1 => format!("'{}'", TEXTS[self.tape.pick(TEXTS.len())]),
            2 => match NUMBERS[self.tape.pick(NUMBERS.len())] {
                i64::MIN => "(-9223372036854775807 - 1)".to_owned(),
                number => number.to_string(),
            },
            3 => self.tape.one(&["NULL", "0.25", "x'00ff'", "1e300", "'[1,2]'"]).to_owned(),
            _ => self.tape.pick(4).to_string(),
        }
    }

    fn comparison(&mut self, sources: &[Source]) -> String {
        let column = self.column(sources);
        match self.tape.pick(11) {
            0 | 1 => format!("{column} = {}", self.literal()),
            2 => format!("{column} < {}", self.literal()),
            // A set of such values keeps the one that it met first.
            3 if !self.strict => format!("{column} >= {} COLLATE NOCASE", self.literal()),
            4 => format!("{column} IS {}NULL", self.tape.one(&["", "NOT "])),
            5 => format!("{column} IN ({}, {})", self.literal(), self.literal()),
            6 => format!("{column} BETWEEN {} AND {}", self.literal(), self.literal()),
            7 => format!("{column} LIKE '{}'", self.tape.one(&["%a%", "P%", "_", "x\\_%' ESCAPE '\\"])),
            8 => format!("{column} GLOB '{}'", self.tape.one(&["*a*", "[A-Z]*", "?"])),
            9 => format!("{column} IS NOT DISTINCT FROM {}", self.column(sources)),
            _ => format!("({column}, {}) > ({}, {})", self.column(sources), self.literal(), self.literal()),
        }
    }

    fn condition(&mut self, sources: &[Source], depth: usize) -> String {
        if depth == 0 {
            return self.comparison(sources);
        }
        match self.tape.pick(12) {
            6 => {
                format!("({} AND {})", self.condition(sources, depth - 1), self.condition(sources, depth - 1))
            }
            7 => {
                format!("({} OR {})", self.condition(sources, depth - 1), self.condition(sources, depth - 1))
            }
            8 => format!("NOT ({})", self.condition(sources, depth - 1)),
            9 => {
                let (inner, own) = self.from(depth - 1);
                let all: Vec<Source> = own.iter().chain(sources).cloned().collect();
                format!(
                    "{}EXISTS (SELECT 1 FROM {inner} WHERE {})",
                    self.tape.one(&["", "NOT "]),
                    self.condition(&all, depth - 1)
                )
            }
            10 => {
                let column = self.column(sources);
                let (inner, _) = self.select(depth - 1, Some(1));
                format!("{column} {}IN ({inner})", self.tape.one(&["", "NOT "]))
            }
            11 => {
                let (one, two) = (self.column(sources), self.column(sources));
                let (inner, _) = self.select(depth - 1, Some(2));
                format!("({one}, {two}) IN ({inner})")
            }
            _ => self.comparison(sources),
        }
    }

    fn value(&mut self, sources: &[Source], depth: usize) -> String {
        let column = self.column(sources);
        if depth == 0 {
            return column;
        }
        match self.tape.pick(22) {
            3 => self.literal(),
            4 => format!("length({column})"),
            5 => format!("coalesce({column}, {})", self.value(sources, depth - 1)),
            6 => format!("upper(substr({column}, {}, 3))", self.tape.pick(3)),
            7 => format!("typeof({column})"),
            8 => format!("quote({column})"),
            9 => format!("abs({column})"),
            10 => format!("{column} || {}", self.literal()),
            11 => format!(
                "({column} {} {})",
                self.tape.one(&["+", "-", "*", "/", "%", "&", "<<"]),
                self.literal()
            ),
            12 => format!(
                "CAST({column} AS {})",
                self.tape.one(&["INTEGER", "REAL", "TEXT", "BLOB", "NUMERIC"])
            ),
            13 => format!("json_array({column} IS NULL, {})", self.literal().replace("x'00ff'", "1")),
            14 => format!("json_extract(CASE WHEN json_valid({column}) THEN {column} ELSE '[]' END, '$[0]')"),
            15 => format!("(SELECT count(*) FROM task WHERE task.title = {column})"),
            16 => {
                let (inner, own) = self.from(depth - 1);
                let maximum = self.column(&own);
                let all: Vec<Source> = own.iter().chain(sources).cloned().collect();
                format!("(SELECT max({maximum}) FROM {inner} WHERE {})", self.condition(&all, depth - 1))
            }
            17 => format!("iif({}, {column}, {})", self.condition(sources, depth - 1), self.literal()),
            18 => format!("min({column}, {})", self.literal()),
            // Fails if there is such a row.
            19 | 20 => format!("CASE WHEN {} THEN {} END", self.comparison(sources), self.tape.one(&ERRORS)),
            21 => format!("replace(printf('%s:%d', {column}, {}), 'a', 'bb')", self.column(sources)),
            _ => column,
        }
    }
}
