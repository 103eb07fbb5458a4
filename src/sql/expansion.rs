//! How large a statement becomes while SQLite prepares it, when hardly anything asks the clock, and nothing bounds memory.
//!
//! It copies a common table expression as often as it is named, and those that a copy names with it: twenty that name the
//! one before twice are a million. And it puts the expressions of a subquery's columns where the columns are named: five
//! hundred characters of `SELECT x+x+… FROM (SELECT x+x+… AS x FROM …)` take gigabytes. Both are counted here from the
//! text alone, rather too high than too low.

use std::collections::HashMap;
use std::ops::Range;
use std::rc::Rc;

/// Words and signs that a statement may have in the end.
const TOKENS_MAX: u64 = 200_000;
/// Common table expressions that a statement may have, and how deep subqueries may nest.
const TABLES_MAX: usize = 200;
const DEPTH_MAX: usize = 50; // of what a thread of 2 MiB has room for, in a build without optimisation
/// Tables that a name may be looked for in; SQLite joins 64 at most.
const SOURCES_MAX: usize = 500;

#[derive(Debug, PartialEq, Eq)]
enum Token {
    /// Of a name or a keyword, and what stands in any quotes: single ones stand for names too.
    Word(String),
    Sign(u8),
}

/// Whether SQLite would make too much of a statement.
pub(super) fn is_too_large(text: &str) -> bool {
    let tokens = tokens(text);
    let Some(pairs) = pairs(&tokens) else { return false }; // no statement
    let tables = tables(&tokens, &pairs);
    copied(&tokens, &pairs, &tables) > TOKENS_MAX || substituted(&tokens, &pairs, &tables) > TOKENS_MAX
}

/// With each common table expression in its places.
fn copied(tokens: &[Token], pairs: &[usize], tables: &Tables<'_>) -> u64 {
    let count = tables.values().map(Vec::len).sum::<usize>();
    let mut sizes = Sizes { tokens, pairs, tables, known: HashMap::new(), within: Vec::new() };
    // Bodies count where they are named.
    let mut bodies: Vec<Range<usize>> = tables.values().flatten().cloned().collect();
    bodies.sort_by_key(|body| body.start);
    let (mut size, mut from) = (0_u64, 0);
    for body in bodies {
        if body.start >= from {
            size =
                size.saturating_add(if count > TABLES_MAX { u64::MAX } else { sizes.of(from..body.start) });
            from = body.end;
        }
    }
    size.saturating_add(sizes.of(from..tokens.len()))
}

/// With each column's expression in its places.
fn substituted(tokens: &[Token], pairs: &[usize], tables: &Tables<'_>) -> u64 {
    let mut queries = Queries { tokens, pairs, tables, known: HashMap::new(), depth: 0, largest: 0 };
    queries.query(0..tokens.len(), &[]);
    queries.largest
}

/// Where bodies stand, by the names of their tables.
type Tables<'t> = HashMap<&'t str, Vec<Range<usize>>>;

struct Sizes<'t> {
    tokens: &'t [Token],
    pairs: &'t [usize],
    tables: &'t Tables<'t>,
    known: HashMap<&'t str, u64>,
    /// Those whose sizes are being found.
    within: Vec<&'t str>,
}

impl<'t> Sizes<'t> {
    fn of(&mut self, range: Range<usize>) -> u64 {
        let mut size = range.len() as u64;
        for at in range {
            if let Some(name) = self.named(at) {
                size = size.saturating_add(self.of_table(name));
            }
        }
        size
    }

    /// The table that is named here, if one is.
    fn named(&self, at: usize) -> Option<&'t str> {
        let Token::Word(word) = &self.tokens[at] else { return None };
        let (name, _) = self.tables.get_key_value(word.as_str())?;
        let is_first = match at.checked_sub(1).map(|before| &self.tokens[before]) {
            Some(Token::Word(word)) => ["from", "join", "in"].contains(&word.as_str()),
            Some(Token::Sign(sign)) => matches!(sign, b',' | b'('),
            None => false,
        };
        let is_column = self.tokens.get(at + 1) == Some(&Token::Sign(b'.'));
        (is_first && !is_column && !self.is_made(at)).then_some(*name)
    }

    /// Whether it is the name that a table is given where it is made.
    fn is_made(&self, at: usize) -> bool {
        let word = |at: usize, words: &[&str]| matches!(self.tokens.get(at), Some(Token::Word(word)) if words.contains(&word.as_str()));
        let opens = |at: usize| self.tokens.get(at) == Some(&Token::Sign(b'('));
        let mut next = if opens(at + 1) { self.pairs[at + 1] + 1 } else { at + 1 };
        if !word(next, &["as"]) {
            return false;
        }
        next += 1;
        while word(next, &["not", "materialized"]) {
            next += 1;
        }
        opens(next)
    }

    fn of_table(&mut self, name: &'t str) -> u64 {
        if let Some(size) = self.known.get(name) {
            return *size;
        }
        let tables = self.tables;
        let Some(bodies) = tables.get(name) else { return 0 };
        if self.within.contains(&name) {
            // Recursion is not copied. Where names mean different tables in different places, nobody looks which is meant.
            let is_recursive = bodies.len() == 1 && self.within.last() == Some(&name);
            return if is_recursive { 1 } else { u64::MAX };
        }
        self.within.push(name);
        let size = bodies.iter().map(|body| self.of(body.clone())).max().unwrap_or(0);
        self.within.pop();
        self.known.insert(name, size);
        size
    }
}

/// How large the expressions of a query's columns are.
#[derive(Debug, Default)]
struct Columns {
    named: HashMap<String, u64>,
    /// The largest that has no name, or one that is not known.
    other: u64,
}

impl Columns {
    /// Of all that may be meant by a name; all of them at once, as `USING` takes one of each.
    fn of(&self, name: &str) -> u64 {
        self.named.get(name).copied().unwrap_or(self.other)
    }

    fn add(&mut self, name: Option<&str>, size: u64) {
        match name {
            Some(name) => {
                let known = self.named.entry(name.to_owned()).or_default();
                *known = size.max(*known);
            }
            None => self.other = self.other.max(size),
        }
    }

    fn largest(&self) -> u64 {
        self.named.values().copied().fold(self.other, u64::max)
    }
}

/// The tables that an expression's names can mean, of its own query and of those around it.
type Sources = Vec<Rc<Columns>>;

struct Queries<'t> {
    tokens: &'t [Token],
    pairs: &'t [usize],
    tables: &'t Tables<'t>,
    /// By where they begin; none while they are looked at, which recursion comes back to.
    known: HashMap<usize, Option<Rc<Columns>>>,
    depth: usize,
    /// The largest expression, or clause, of all.
    largest: u64,
}

impl Queries<'_> {
    fn word(&self, at: usize) -> Option<&str> {
        match self.tokens.get(at) {
            Some(Token::Word(word)) => Some(word),
            _ => None,
        }
    }

    fn is_sign(&self, at: usize, sign: u8) -> bool {
        self.tokens.get(at) == Some(&Token::Sign(sign))
    }

    /// Positions that are not within parentheses.
    fn outside(&self, range: Range<usize>) -> impl Iterator<Item = usize> {
        let mut at = range.start;
        std::iter::from_fn(move || {
            let here = (at < range.end).then_some(at)?;
            at = if self.is_sign(here, b'(') { self.pairs[here] + 1 } else { here + 1 };
            Some(here)
        })
    }

    /// The columns of what stands between parentheses, or of the whole statement.
    fn query(&mut self, range: Range<usize>, around: &[Rc<Columns>]) -> Rc<Columns> {
        if self.depth > DEPTH_MAX {
            self.largest = u64::MAX;
            return Rc::default();
        }
        self.depth += 1;
        let words: Vec<(usize, &str)> =
            self.outside(range.clone()).filter_map(|at| Some((at, self.word(at)?))).collect();
        let starts: Vec<usize> =
            words.iter().filter(|(_, word)| *word == "select").map(|(at, _)| *at).collect();
        let mut all: Option<Columns> = None;
        for (arm, start) in starts.iter().enumerate() {
            let end = starts.get(arm + 1).copied().unwrap_or(range.end);
            let columns = self.arm(*start + 1..end, around);
            match &mut all {
                None => all = Some(columns),
                // By position, which is not looked for.
                Some(all) => {
                    let largest = columns.largest().max(all.largest());
                    if all.other > 0 {
                        all.other = largest;
                    }
                    all.named.values_mut().for_each(|size| *size = largest);
                }
            }
        }
        let columns = all.unwrap_or_else(|| {
            // A parenthesis around tables or another query; `VALUES`, which has no names.
            let size = self.conditions(range.clone(), around);
            let mut columns = Columns { other: size, ..Columns::default() };
            for source in self.sources(range, around) {
                columns.other = columns.other.max(source.other);
                source.named.iter().for_each(|(name, size)| columns.add(Some(name), *size));
            }
            columns
        });
        self.depth -= 1;
        Rc::new(columns)
    }

    /// One `SELECT`, from behind this word.
    fn arm(&mut self, range: Range<usize>, around: &[Rc<Columns>]) -> Columns {
        let ends = ["where", "group", "having", "window", "order", "limit", "union", "except", "intersect"];
        let find = |from: usize, words: &[&str]| {
            self.outside(from..range.end).find(|at| self.word(*at).is_some_and(|word| words.contains(&word)))
        };
        let from = find(range.start, &["from"]);
        let list = range.start..from.unwrap_or(range.end);
        let list_end = find(range.start, &ends).map_or(list.end, |end| end.min(list.end));
        let after = find(from.map_or(list_end, |from| from + 1), &ends).unwrap_or(range.end);
        let mut sources = match from {
            Some(from) => self.sources(from + 1..after, around),
            None => Sources::new(),
        };
        let own = sources.len();
        sources.extend(around.iter().cloned());
        if sources.len() > SOURCES_MAX {
            self.largest = u64::MAX;
            return Columns::default();
        }
        let mut columns = Columns::default();
        for item in self.items(list.start..list_end) {
            let last = item.end - 1;
            if self.is_sign(last, b'*') && (item.len() == 1 || self.is_sign(last - 1, b'.')) {
                for source in &sources[..own] {
                    columns.other = columns.other.max(source.other);
                    source.named.iter().for_each(|(name, size)| columns.add(Some(name), *size));
                }
                continue;
            }
            let is_called = item.len() > 2 && self.word(last - 1) == Some("as");
            let expression = if is_called { item.start..last - 1 } else { item.clone() };
            let size = self.expression(expression, &sources);
            columns.add(self.name(&item), size);
        }
        // Conditions, groups and orders; those of joins stand among the tables.
        let rest = self.expression(after..range.end, &sources);
        let joined = from.map_or(0, |from| self.conditions(from + 1..after, &sources));
        self.largest = self.largest.max(rest).max(joined).max(columns.largest());
        columns
    }

    /// What stands between commas.
    fn items(&self, range: Range<usize>) -> Vec<Range<usize>> {
        let mut items = Vec::new();
        let mut start = range.start;
        for at in self.outside(range.clone()).filter(|at| self.is_sign(*at, b',')).chain([range.end]) {
            if start < at {
                items.push(start..at);
            }
            start = at + 1;
        }
        items
    }

    /// What a column is called for certain: behind `AS`, or as the column that it is.
    fn name(&self, item: &Range<usize>) -> Option<&str> {
        let last = item.end - 1;
        let is_column = item.len() == 1 || item.len() == 3 && self.is_sign(last - 1, b'.');
        let is_called = item.len() > 2 && self.word(last - 1) == Some("as");
        self.word(last).filter(|_| is_column || is_called)
    }

    /// The queries among a join's tables.
    fn sources(&mut self, range: Range<usize>, around: &[Rc<Columns>]) -> Sources {
        let mut sources = Sources::new();
        let mut at = range.start;
        while at < range.end {
            if self.is_source(at, &range) {
                let end = self.pairs[at];
                sources.push(self.query(at + 1..end, around));
                at = end;
            } else if self.is_sign(at, b'(') {
                at = self.pairs[at];
            } else if let Some(bodies) = self.word(at).and_then(|word| self.tables.get(word)) {
                for body in bodies {
                    sources.push(self.table(body.clone()));
                }
            }
            at += 1;
        }
        sources
    }

    /// Whether a parenthesis among tables is one of them, and not of a condition.
    fn is_source(&self, at: usize, range: &Range<usize>) -> bool {
        self.is_sign(at, b'(')
            && (at == range.start
                || self.is_sign(at - 1, b',')
                || matches!(self.word(at - 1), Some("from" | "join")))
    }

    /// The conditions of a join.
    fn conditions(&mut self, range: Range<usize>, sources: &[Rc<Columns>]) -> u64 {
        let (mut size, mut from) = (0_u64, range.start);
        let tables: Vec<usize> =
            self.outside(range.clone()).filter(|at| self.is_source(*at, &range)).collect();
        for at in tables {
            size = size.saturating_add(self.expression(from..at, sources));
            from = self.pairs[at] + 1;
        }
        size.saturating_add(self.expression(from..range.end, sources))
    }

    /// A common table expression, which names nothing of the queries around it.
    fn table(&mut self, body: Range<usize>) -> Rc<Columns> {
        if let Some(known) = self.known.get(&body.start) {
            return known.clone().unwrap_or_default();
        }
        self.known.insert(body.start, None);
        let columns = self.query(body.clone(), &[]);
        // `name (columns) AS`: by position, which is not looked for.
        let renamed = (0..3).find_map(|back| {
            let at = body.start.checked_sub(back + 3)?;
            (self.word(at + 1) == Some("as") && self.is_sign(at, b')')).then(|| self.pairs[at]..at)
        });
        let columns = match renamed {
            Some(names) => {
                let mut all = Columns::default();
                names.filter_map(|at| self.word(at)).for_each(|name| all.add(Some(name), columns.largest()));
                Rc::new(all)
            }
            None => columns,
        };
        self.known.insert(body.start, Some(Rc::clone(&columns)));
        columns
    }

    /// An expression, or several, with the columns that are named in them; those within subqueries too.
    fn expression(&mut self, range: Range<usize>, sources: &[Rc<Columns>]) -> u64 {
        let mut size = 0_u64;
        let mut at = range.start;
        while at < range.end {
            let of_token = match &self.tokens[at] {
                Token::Sign(b'(') if matches!(self.word(at + 1), Some("select" | "with")) => {
                    let end = self.pairs[at];
                    let columns = self.query(at + 1..end, sources);
                    at = end;
                    columns.largest()
                }
                Token::Word(_) if self.is_sign(at + 1, b'.') => 1,
                Token::Word(word) => {
                    sources.iter().fold(0_u64, |size, columns| size.saturating_add(columns.of(word))).max(1)
                }
                Token::Sign(_) => 1,
            };
            size = size.saturating_add(of_token);
            at += 1;
        }
        size
    }
}

/// What stands between parentheses behind `name AS`, or `name (columns) AS NOT MATERIALIZED`.
fn tables<'t>(tokens: &'t [Token], pairs: &[usize]) -> Tables<'t> {
    let is = |at: usize, word: &str| matches!(&tokens[at], Token::Word(other) if other == word);
    let mut tables = Tables::new();
    for (open, close) in pairs.iter().enumerate().filter(|(open, close)| **close > *open) {
        let mut at = open;
        for word in ["materialized", "not", "as"] {
            if at > 0 && is(at - 1, word) {
                at -= 1;
            }
        }
        if at == 0 || at == open || !is(at, "as") {
            continue;
        }
        let name =
            if tokens[at - 1] == Token::Sign(b')') { pairs[at - 1].checked_sub(1) } else { Some(at - 1) };
        if let Some(Token::Word(name)) = name.map(|at| &tokens[at]) {
            tables.entry(name.as_str()).or_default().push(open + 1..*close);
        }
    }
    tables
}

/// Of each parenthesis the other one, and of anything else 0; none if they do not fit.
fn pairs(tokens: &[Token]) -> Option<Vec<usize>> {
    let (mut pairs, mut open) = (vec![0; tokens.len()], Vec::new());
    for (at, token) in tokens.iter().enumerate() {
        match token {
            Token::Sign(b'(') => open.push(at),
            Token::Sign(b')') => {
                let other = open.pop()?;
                (pairs[other], pairs[at]) = (at, other);
            }
            _ => {}
        }
    }
    open.is_empty().then_some(pairs)
}

fn tokens(text: &str) -> Vec<Token> {
    let (mut tokens, mut rest) = (Vec::new(), text);
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '\'' | '"' | '`' | '[' => {
                let last = if first == '[' { ']' } else { first };
                let (word, length) = quoted(rest, last);
                tokens.push(Token::Word(word));
                length
            }
            '-' if rest.starts_with("--") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => rest[2..].find("*/").map_or(rest.len(), |at| at + 4),
            _ if super::problem::is_word(first) => {
                let length = rest.find(|c| !super::problem::is_word(c)).unwrap_or(rest.len());
                tokens.push(Token::Word(rest[..length].to_ascii_lowercase()));
                length
            }
            _ => {
                if !first.is_whitespace() {
                    tokens.push(Token::Sign(u8::try_from(first).unwrap_or(b'?')));
                }
                first.len_utf8()
            }
        };
        rest = &rest[length..];
    }
    tokens
}

/// What stands in quotes, and how long it is with them.
fn quoted(text: &str, last: char) -> (String, usize) {
    let (mut word, mut from) = (String::new(), 1);
    while let Some(at) = text[from..].find(last) {
        word.push_str(&text[from..from + at]);
        from += at + 1;
        if last == ']' || !text[from..].starts_with(last) {
            return (word.to_ascii_lowercase(), from);
        }
        word.push(last);
        from += 1;
    }
    (word, text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(levels: usize, body: &str) -> String {
        let tables = (1..=levels)
            .map(|level| format!(", c{level}(x) AS ({})", body.replace('@', &format!("c{}", level - 1))));
        format!("WITH c0(x) AS (SELECT 1){} SELECT * FROM c{levels}", tables.collect::<String>())
    }

    #[test]
    fn tables_that_multiply_are_counted() {
        assert!(!is_too_large("SELECT * FROM task"));
        assert!(!is_too_large(&chain(40, "SELECT x FROM @")));
        assert!(is_too_large(&chain(201, "SELECT x FROM @")));
        for body in [
            "SELECT a.x FROM @ a, @ b",
            "SELECT a.x FROM \"@\" a JOIN [@] b",
            "SELECT 1 WHERE 1 IN @ OR 2 IN (SELECT x FROM `@`)",
            "SELECT x FROM/**/'@' UNION ALL SELECT x FROM -- it's\n (@)",
        ] {
            assert!(!is_too_large(&chain(8, body)), "{body}");
            assert!(is_too_large(&chain(20, body)), "{body}");
            let hinted = chain(20, body).replace("AS (", "AS NOT MATERIALIZED (");
            assert!(is_too_large(&hinted), "{body}");
        }
        // Of those that nobody names nothing is made, not even of a circle.
        assert!(!is_too_large("WITH a(x) AS (SELECT 1 FROM b, b), b(x) AS (SELECT 1 FROM a, a) SELECT 1"));
        assert!(is_too_large(
            "WITH a(x) AS (SELECT 1 FROM b, b), b(x) AS (SELECT 1 FROM a, a) SELECT 1 FROM a"
        ));
        // Columns are no tables.
        assert!(!is_too_large(&chain(20, "SELECT x, @.x, @.x FROM @")));
    }

    #[test]
    fn recursion_is_no_copy_and_names_of_several_tables_are_not_told_apart() {
        assert!(!is_too_large(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 9) SELECT i FROM n"
        ));
        assert!(!is_too_large(
            "SELECT (WITH a AS (SELECT 1) SELECT * FROM a), (WITH a AS (SELECT 2) SELECT * FROM a)"
        ));
        assert!(is_too_large("WITH a AS (WITH a AS (SELECT 1) SELECT * FROM a, a) SELECT * FROM a, a"));
        let circle = "WITH a AS (SELECT 1), b AS (SELECT * FROM a, a) SELECT (WITH a AS (SELECT * FROM b, b) SELECT * FROM a)";
        assert!(is_too_large(circle));
    }

    #[test]
    fn columns_that_multiply_are_counted() {
        let sum = |count: usize| vec!["x"; count].join("+");
        let nested = |levels: usize, item: &str| {
            (0..levels).fold("SELECT n AS x FROM task".to_owned(), |inner, _| {
                format!("SELECT {item} FROM ({inner})")
            })
        };
        let large = format!("{} AS x", sum(90));
        assert!(!is_too_large(&nested(2, &large)));
        assert!(is_too_large(&nested(4, &large)));
        for item in [
            "x + x AS x",
            "max(x, x) AS \"x\"",
            "x + x AS y, x + y AS x",
            "(SELECT x + x) AS x",
            "(x + x) AS x, 1",
            "DISTINCT x + x AS x",
        ] {
            assert!(is_too_large(&nested(30, item)), "{item}");
        }
        // By other names, or none, or by position.
        assert!(is_too_large(&nested(30, "x + x x")));
        assert!(is_too_large(&nested(30, "\"x + x\" + \"x + x\", x + x")));
        assert!(is_too_large(&nested(30, "*, x + x AS x")));
        assert!(is_too_large(&nested(30, "1 AS x UNION ALL SELECT x + x")));
        assert!(is_too_large(&chain(30, "SELECT x + x FROM @")));
        assert!(is_too_large(&chain(30, "SELECT x + x AS y FROM @")));
        assert!(is_too_large(&chain(30, "SELECT y.x FROM (SELECT x + x AS x FROM @) y")));
        // What is named once, however often, or many times in one place.
        assert!(!is_too_large(&nested(40, "x AS x, x + 1 AS y")));
        assert!(!is_too_large(&nested(40, "x")));
        assert!(!is_too_large(&chain(40, "SELECT x FROM @ WHERE x > 1 AND x < 9 ORDER BY x")));
        assert!(!is_too_large(&format!("SELECT {} FROM (SELECT a + b AS x FROM task)", sum(5_000))));
        assert!(is_too_large(&nested(52, "x")));
    }

    #[test]
    fn no_text_takes_long_to_look_at() {
        let began = std::time::Instant::now();
        let tables = vec!["c"; 10_000].join(",");
        assert!(is_too_large(&format!(
            "WITH c AS (SELECT 1 AS x) SELECT {} FROM {tables}",
            vec!["x"; 10_000].join("+")
        )));
        for text in [
            format!("SELECT {}", "(SELECT ".repeat(8_000)),
            "(".repeat(60_000),
            "SELECT 1 FROM (".repeat(4_000),
        ] {
            let closed = format!("{text}1{}", ")".repeat(text.matches('(').count()));
            is_too_large(&closed);
        }
        assert!(began.elapsed() < std::time::Duration::from_secs(5), "{:?}", began.elapsed());
    }

    #[test]
    fn what_is_no_statement_is_left_to_sqlite() {
        for text in
            ["WITH a AS (SELECT 1", ")", "'", "/*", "[", "--", "WITH AS ()", "AS ()", "é AS (", "\"\"\""]
        {
            assert!(!is_too_large(text), "{text}");
        }
    }

    const PIECES: [&str; 30] = [
        "SELECT",
        "FROM",
        "(",
        ")",
        ",",
        "AS",
        "WITH",
        "RECURSIVE",
        "NOT MATERIALIZED",
        "x",
        "a",
        "b",
        "*",
        ".",
        "JOIN",
        "ON",
        "USING",
        "UNION ALL",
        "IN",
        "VALUES",
        "WHERE",
        "ORDER BY",
        "'",
        "\"",
        "[",
        "]",
        "é",
        "--",
        "/*",
        ";",
    ];

    proptest::proptest! {
        /// Whatever it is, it is looked at without a panic.
        #[test]
        fn any_words_are_looked_at(pieces in proptest::collection::vec(0..PIECES.len(), 0..90), spaced: bool) {
            let pieces: Vec<&str> = pieces.into_iter().map(|piece| PIECES[piece]).collect();
            let text = pieces.join(if spaced { " " } else { "" });
            let again = is_too_large(&text);
            proptest::prop_assert_eq!(is_too_large(&text), again);
        }
    }
}
