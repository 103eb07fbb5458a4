//! What a tenant's statement may touch: the rules that SQLite asks while it prepares one
//! (<https://sqlite.org/c3ref/set_authorizer.html>). Whatever is not allowed here by name is refused.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use hashlink::DefaultHashBuilder;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};

use super::functions::FUNCTIONS;
use super::limits::Meter;
use super::problem;
use crate::identity::TenantKey;

/// SQLite's own functions that tell nothing but of their arguments, the clock, and rows that the statement reads.
/// `LIKE`, `GLOB`, `->` and the words like `CURRENT_DATE` are functions too.
///
/// Left out, among others: what loads code or names files (`load_extension`), what tells of the connection, the file or
/// the library (`changes`, `total_changes`, `last_insert_rowid`, `sqlite_*`), what other modules bring (`fts*`, `rtree*`,
/// `match`, `snippet`…), what takes time by the square of a value's length (`unhex`), and what makes large values of nothing (`randomblob`, `zeroblob`, and `json_pretty`, whose indentation
/// multiplies to gigabytes before SQLite looks at its length).
const ALLOWED: &[&str] = &[
    "->",
    "->>",
    "abs",
    "avg",
    "ceil",
    "ceiling",
    "char",
    "coalesce",
    "concat",
    "concat_ws",
    "count",
    "cume_dist",
    "current_date",
    "current_time",
    "current_timestamp",
    "date",
    "datetime",
    "dense_rank",
    "first_value",
    "floor",
    "format",
    "glob",
    "group_concat",
    "hex",
    "if",
    "ifnull",
    "iif",
    "instr",
    "json",
    "json_array",
    "json_array_insert",
    "json_array_length",
    "json_error_position",
    "json_extract",
    "json_group_array",
    "json_group_object",
    "json_insert",
    "json_object",
    "json_patch",
    "json_quote",
    "json_remove",
    "json_replace",
    "json_set",
    "json_type",
    "json_valid",
    "jsonb",
    "jsonb_array",
    "jsonb_array_insert",
    "jsonb_extract",
    "jsonb_group_array",
    "jsonb_group_object",
    "jsonb_insert",
    "jsonb_object",
    "jsonb_patch",
    "jsonb_remove",
    "jsonb_replace",
    "jsonb_set",
    "julianday",
    "lag",
    "last_value",
    "lead",
    "length",
    "like",
    "likelihood",
    "likely",
    "lower",
    "ltrim",
    "max",
    "min",
    "nth_value",
    "ntile",
    "nullif",
    "octet_length",
    "percent_rank",
    "printf",
    "quote",
    "random",
    "rank",
    "replace",
    "round",
    "row_number",
    "rtrim",
    "sign",
    "soundex",
    "strftime",
    "string_agg",
    "substr",
    "substring",
    "sum",
    "time",
    "timediff",
    "total",
    "trim",
    "typeof",
    "unicode",
    "unistr",
    "unistr_quote",
    "unixepoch",
    "unlikely",
    "upper",
];

/// Table-valued functions that read their arguments only.
const TABLE_FUNCTIONS: &[&str] = &["json_each", "json_tree", "jsonb_each", "jsonb_tree"];

/// Why a statement was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refused {
    /// A table that is not one of the tenant's.
    Table(String),
    Function(String),
    /// Anything but a `SELECT`.
    Statement,
}

/// Whose records of which entity.
pub(super) type Noted = (TenantKey, String);

/// What the connection of one scope may read.
#[derive(Debug, Default)]
pub(super) struct Rules {
    /// Of the connection's own TEMP schema: what the tenant sees, and the hidden views behind it.
    pub(super) seen: HashSet<String, DefaultHashBuilder>,
    /// Hidden views, whose names nobody can guess, and the physical tables that each reads. The accessor that SQLite
    /// names can be set by a statement, with a common table expression of that name.
    pub(super) hidden: HashMap<String, Vec<String>, DefaultHashBuilder>,
    /// Those of the hidden views that it is noted of when a statement reads them.
    pub(super) noted: HashMap<String, Vec<Noted>, DefaultHashBuilder>,
    /// What else has a name in the file, and modules, in lower case.
    pub(super) names: HashSet<String>,
    /// Of these, what could be read if it were named: tables, and modules that are tables by themselves.
    pub(super) tables: HashSet<String>,
}

impl Rules {
    /// A table of the file or of SQLite that a text names, or could. SQLite asks nobody about a table of which a join
    /// reads only the columns of `USING`, or those that `NATURAL` finds. A name has to stand in the text as it is, in
    /// whatever quotes, and single ones stand for names too; there are no escapes but doubled quotes
    /// (<https://sqlite.org/lang_keywords.html>), and the beginning of an entity's table has none.
    pub(super) fn forbidden<'t>(&self, text: &'t str) -> Option<&'t str> {
        problem::names(text).find(|name| {
            let name = name.to_ascii_lowercase();
            self.tables.contains(&name)
                || name.contains("_rows_")
                || name.starts_with("sqlite_")
                || name.starts_with("pragma_")
        })
    }

    fn read(&self, table: &str, column: &str, database: Option<&str>, accessor: Option<&str>) -> bool {
        let folded = || table.to_ascii_lowercase();
        match database {
            // Most are called as they are typed.
            Some("temp") => self.seen.contains(table) || self.seen.contains(&folded()),
            Some("main") => {
                let hidden = accessor.and_then(|accessor| self.hidden.get(accessor));
                hidden.is_some_and(|tables| tables.iter().any(|other| other == table))
                    || TABLE_FUNCTIONS.contains(&folded().as_str())
            }
            Some(_) => false,
            // A table of which no column is read, named as it was typed; or a subquery, a common table expression.
            None if column.is_empty() => {
                let folded = folded();
                self.seen.contains(&folded)
                    || TABLE_FUNCTIONS.contains(&folded.as_str())
                    || !(self.names.contains(&folded)
                        || folded.starts_with("sqlite_")
                        || folded.starts_with("pragma_"))
            }
            None => false,
        }
    }

    pub(super) fn decide(&self, context: &AuthContext<'_>) -> Result<(), Refused> {
        match context.action {
            AuthAction::Select | AuthAction::Recursive => Ok(()),
            AuthAction::Read { table_name, column_name } => {
                if self.read(table_name, column_name, context.database_name, context.accessor) {
                    Ok(())
                } else {
                    Err(Refused::Table(table_name.to_owned()))
                }
            }
            AuthAction::Function { function_name } => {
                // SQLite gives the name by which a function was made, which of its own is in lower case.
                let own = FUNCTIONS.iter().any(|(name, _)| *name == function_name);
                if own || ALLOWED.binary_search(&function_name).is_ok() {
                    Ok(())
                } else {
                    Err(Refused::Function(function_name.to_owned()))
                }
            }
            _ => Err(Refused::Statement),
        }
    }
}

/// Where the authorizer and its connection meet.
pub(super) struct Gate {
    rules: Rules,
    meter: Arc<Meter>,
    /// What is being prepared, by us. At any other moment everything is refused: SQLite prepares a statement anew by
    /// itself when the schema has changed, and nobody would look at that plan.
    mode: AtomicU8,
    /// How often it was asked: more often, if a statement was not kept from an earlier time.
    asked: AtomicU64,
    /// What it is noted of that a statement reads it, since it was asked for last.
    reads: Mutex<BTreeSet<Noted>>,
    refused: Mutex<Option<Refused>>,
}

const CLOSED: u8 = 0;
/// A tenant's statement.
const STATEMENT: u8 = 1;
/// Our own look at the version of the schema.
const VERSION: u8 = 2;

impl Gate {
    pub(super) fn new(rules: Rules, meter: Arc<Meter>) -> Self {
        Self {
            rules,
            meter,
            mode: AtomicU8::new(CLOSED),
            asked: AtomicU64::new(0),
            reads: Mutex::default(),
            refused: Mutex::default(),
        }
    }

    pub(super) fn decide(&self, context: &AuthContext<'_>) -> Authorization {
        self.asked.fetch_add(1, Ordering::Relaxed);
        // SQLite asks once for each `SELECT`, also while it puts one into another, and asks nobody else meanwhile.
        if matches!(context.action, AuthAction::Select) && self.meter.must_stop() {
            return Authorization::Deny;
        }
        let decided = match self.mode.load(Ordering::Relaxed) {
            STATEMENT => {
                self.note(context);
                self.rules.decide(context)
            }
            VERSION => match context.action {
                AuthAction::Pragma { pragma_name: "schema_version", pragma_value: None } => Ok(()),
                _ => Err(Refused::Statement),
            },
            _ => return Authorization::Deny,
        };
        match decided {
            Ok(()) => Authorization::Allow,
            Err(refused) => {
                self.refused.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(refused);
                Authorization::Deny
            }
        }
    }

    /// A statement reads what it is noted of. Each hidden view that a statement reaches is expanded, and the columns
    /// behind it are asked about then in the view's name, whichever of them the statement uses; nobody can say that name.
    fn note(&self, context: &AuthContext<'_>) {
        if let AuthAction::Read { .. } = context.action
            && let Some(noted) = context.accessor.and_then(|accessor| self.rules.noted.get(accessor))
        {
            self.reads.lock().unwrap_or_else(PoisonError::into_inner).extend(noted.iter().cloned());
        }
    }

    /// What it is noted of that it was read, since this was asked for last.
    pub(super) fn take_reads(&self) -> BTreeSet<Noted> {
        std::mem::take(&mut *self.reads.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Lets a tenant's statement be prepared.
    pub(super) fn statement<R>(&self, prepare: impl FnOnce() -> R) -> R {
        self.refused();
        self.within(STATEMENT, prepare)
    }

    /// Lets the version of the schema be asked for.
    pub(super) fn version<R>(&self, ask: impl FnOnce() -> R) -> R {
        self.within(VERSION, ask)
    }

    fn within<R>(&self, mode: u8, run: impl FnOnce() -> R) -> R {
        // None of what runs here panics; if it did, the connection would be dropped with the gate.
        self.mode.store(mode, Ordering::Relaxed);
        let result = run();
        self.mode.store(CLOSED, Ordering::Relaxed);
        result
    }

    pub(super) fn rules(&self) -> &Rules {
        &self.rules
    }

    /// How often it was asked.
    pub(super) fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }

    /// What was refused first, since it was asked for last.
    pub(super) fn refused(&self) -> Option<Refused> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_functions_is_sorted() {
        assert!(ALLOWED.is_sorted());
    }
}
