//! What a statement did wrong, in the tenant's own terms. SQLite's texts name hidden tables, so only what
//! the tenant wrote, and words that SQLite's own messages are made of, pass.

use std::collections::HashSet;
use std::sync::LazyLock;

use super::authorizer::{Refused, Rules};
use crate::error::Error;

/// What a refused statement is told.
pub(super) fn of_refused(refused: &Refused, rules: &Rules, text: &str) -> Error {
    match refused {
        Refused::Table(table) => no_such_table(table, rules, text),
        Refused::Function(function) => not_allowed(&format!("the function {function}")),
        Refused::Statement => of_statement(text),
    }
}

/// A table that is there, but not for this tenant, is not there. What it was reached by can be a view of the file, of
/// all tenants' rows; then that is what is told, as it was typed.
fn no_such_table(table: &str, rules: &Rules, text: &str) -> Error {
    // SQLite knows the table of the schema by its older name.
    let newer = table.replace("_master", "_schema");
    let unseen = rules.names.iter().filter(|name| !rules.seen.contains(*name)).map(String::as_str);
    let typed = [table, &newer].into_iter().chain(unseen).filter_map(|name| typed(text, name));
    match typed.max_by_key(|name| name.len()) {
        Some(name) => of_forbidden(name),
        None => Error::Sql {
            problem: "no such table; tables are called as the entities are, without a schema's name"
                .to_owned(),
        },
    }
}

/// A name as a text holds it.
fn typed<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    let at = text.to_ascii_lowercase().find(&name.to_ascii_lowercase())?;
    text.get(at..at + name.len())
}

pub(super) fn not_allowed(what: &str) -> Error {
    Error::AccessDenied { reason: format!("not allowed: {what}") }
}

/// What a statement is told that names a table which is not the tenant's.
pub(super) fn of_forbidden(name: &str) -> Error {
    Error::Sql { problem: format!("no such table: {name}") }
}

/// What a statement without a result is told: that it is none, or that it is no `SELECT`.
pub(super) fn of_nothing(text: &str) -> Result<Error, Error> {
    match statement_word(text) {
        NO_WORD => Err(Error::Sql { problem: "the text holds no statement; write a SELECT".to_owned() }),
        _ => Ok(of_statement(text)),
    }
}

/// What a statement that is no `SELECT` is told.
pub(super) fn of_statement(text: &str) -> Error {
    let word = statement_word(text);
    let instead = match word {
        "INSERT" => "; insert records with `session.insert(..)` or `session.insert_many(..)`",
        "REPLACE" => "; insert or replace records with `session.upsert(..)`",
        "UPDATE" => {
            "; change records with `session.update(..)`, `session.patch(..)` or `session.query().patch(..)`"
        }
        "DELETE" => "; delete records with `session.delete(..)` or `session.query().delete()`",
        _ => ": SQL of a session only reads",
    };
    not_allowed(&format!("{word}{instead}"))
}

/// Words that say what a statement does.
const STATEMENTS: [&str; 20] = [
    "INSERT",
    "REPLACE",
    "UPDATE",
    "DELETE",
    "CREATE",
    "DROP",
    "ALTER",
    "PRAGMA",
    "ATTACH",
    "DETACH",
    "VACUUM",
    "ANALYZE",
    "REINDEX",
    "BEGIN",
    "COMMIT",
    "END",
    "ROLLBACK",
    "SAVEPOINT",
    "RELEASE",
    "EXPLAIN",
];

/// Of a statement that does something else.
const NO_WORD: &str = "this statement";

/// The word that says what a statement does, which may stand behind `WITH`.
fn statement_word(text: &str) -> &'static str {
    let known = |word: &str| STATEMENTS.into_iter().find(|known| known.eq_ignore_ascii_case(word));
    let mut words = words(text);
    let first = words.next().unwrap_or("");
    let found = known(first).or_else(|| words.find_map(known));
    found.unwrap_or(NO_WORD)
}

/// The words of a statement outside of quotes and comments.
fn words(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        loop {
            let first = rest.chars().next()?;
            let end = match first {
                '\'' | '"' | '`' => rest[1..].find(first).map(|at| at + 2),
                '[' => rest.find(']').map(|at| at + 1),
                '-' if rest.starts_with("--") => rest.find('\n').map(|at| at + 1),
                '/' if rest.starts_with("/*") => rest.find("*/").map(|at| at + 2),
                _ if is_word(first) => {
                    let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
                    let (word, after) = rest.split_at(end);
                    rest = after;
                    return Some(word);
                }
                _ => Some(first.len_utf8()),
            };
            rest = end.and_then(|end| rest.get(end..)).unwrap_or("");
        }
    })
}

/// All words of a text, also in quotes and comments.
pub(super) fn names(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !is_word(c)).filter(|word| !word.is_empty())
}

pub(super) fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '$' || !c.is_ascii()
}

/// What SQLite says of a statement that it can't prepare or finish, as far as it may be told.
pub(super) fn of_message(message: &str, text: &str, otherwise: &str) -> Error {
    // Nothing of a tenant's is in a schema that has another name.
    let message = message
        .replace("no such table: main.", "no such table: ")
        .replace("no such table: temp.", "no such table: ");
    let told = names(&message).all(|word| {
        let known = VOCABULARY.contains(word.to_ascii_lowercase().as_str());
        known || word.bytes().all(|b| b.is_ascii_digit()) || typed(text, word).is_some()
    });
    Error::Sql { problem: if told { message } else { otherwise.to_owned() } }
}

/// What SQLite says of a statement that it can't finish. Such a message can hold a value, which may be secret; then it
/// stands in quotes.
pub(super) fn of_value(message: &str, otherwise: &str) -> Error {
    let told = !message.contains(['\'', '"'])
        && names(message).all(|word| VOCABULARY.contains(word.to_ascii_lowercase().as_str()));
    Error::Sql { problem: if told { message } else { otherwise }.to_owned() }
}

/// The words of SQLite's messages about statements and about values
/// (<https://sqlite.org/src/file?name=src/resolve.c> and the files beside it).
static VOCABULARY: LazyLock<HashSet<&'static str>> = LazyLock::new(|| {
    "a aggregate all allowed ambiguous an and any applied apply argument arguments as at be because between big blob both by \
     cannot character circular clause clauses collation columns column common compound constant contain correlated could \
     data default depth distinct divide does duplicate each elements ends error escape exactly exceeds expected expression \
     expressions external filter first followed following for found frame from full function functions group have having \
     hex identifier illegal in incomplete index input integer into invalid is it its join json large left length like limit literal \
     long malformed many match maximum may missing misuse misused more most multiple must name natural near nested no non non-aggregate \
     not null number numbers object of offset ok on one only operand option or order out outer over overflow overflows parameter parser partition path \
     pattern positive preceding precision present provided query quoted range rank recursive reference references references \
     requires required result results returns right row rows same select selects should side size solution specified \
     specification st nd rd th stack starting string sub such supported syntax table tables term terms than that the \
     there to together token too total tree type unable unbounded under union unknown unrecognized unsupported use used \
     using value values variable variables view was when where window windows with within without wrong zero before after \
     come should except intersect order maximum glob complex single ntile nth_value buffer label values key contains labels \
     precede negative non-negative unbounded named override overridden base"
        .split_whitespace()
        .collect()
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_of_a_statement_is_found_behind_comments_and_with() {
        for (text, word) in [
            ("INSERT INTO task VALUES (1)", "INSERT"),
            (" /* SELECT */ -- x\n drop table task", "DROP"),
            ("WITH x AS (SELECT 'DELETE', \"DROP\", [ALTER]) UPDATE task SET a = 1", "UPDATE"),
            ("VACUUM main INTO 'x'", "VACUUM"),
            ("", "this statement"),
            ("'unfinished", "this statement"),
            ("/* unfinished", "this statement"),
        ] {
            assert_eq!(statement_word(text), word, "{text}");
        }
    }

    #[test]
    fn texts_tell_what_the_tenant_wrote_and_nothing_else() {
        let told = |message: &str, text: &str| match of_message(message, text, "hidden") {
            Error::Sql { problem } => problem,
            other => panic!("{other}"),
        };
        assert_eq!(told("no such column: nope", "SELECT nope"), "no such column: nope");
        assert_eq!(told("no such table: main.nope", "SELECT * FROM main.nope"), "no such table: nope");
        assert_eq!(told("near \"FORM\": syntax error", "SELECT * FORM task"), "near \"FORM\": syntax error");
        assert_eq!(told("no such column: _rows_task.x", "SELECT x"), "hidden");
        assert_eq!(told("integer overflow", "SELECT abs(x)"), "integer overflow");
    }
}
