//! A connection that serves one scope's own SQL for its whole life: it sees that scope's views and nothing else.

use std::cell::RefCell;
use std::sync::Arc;

use hashlink::LruCache;
use rusqlite::hooks::AuthContext;
use rusqlite::{CachedStatement, Connection, ErrorCode};

use super::authorizer::{Gate, Noted, Rules};
use super::limits::{FixedLimits, Meter, SqlLimits};
use super::plan::{self, Paths, PlanStep};
use super::rows::SqlColumn;
use super::{expansion, functions, problem};
use crate::error::{Error, Result};
use crate::identity::{Membership, TenantKey};
use crate::schema;
use crate::statement::View;
use crate::store::{StoreFile, connection};

/// Which connections serve which callers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Key {
    /// The user; or the organization, and the member in it.
    pub(crate) tenants: (TenantKey, Option<TenantKey>),
    pub(crate) fixed: FixedLimits,
}

/// What a scope sees.
pub(crate) struct Seen {
    pub(crate) views: Vec<View>,
    /// An organization's.
    pub(crate) members: Option<Vec<Membership>>,
}

/// Why a file can't be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unfit {
    /// Another process has moved the tenant.
    NotAtHome,
    /// It holds statistics.
    Statistics,
}

/// Whether the tenant is at home in a file.
pub(crate) type IsHome<'f> = &'f dyn Fn(&Connection) -> Result<bool>;

/// What is known of a statement.
#[derive(Clone)]
pub(super) struct Known {
    pub(super) columns: Arc<[SqlColumn]>,
    /// Whose records of which entities it reads, as far as that is noted.
    pub(super) reads: Arc<[Noted]>,
}

pub(crate) struct Bound {
    connection: Connection,
    gate: Arc<Gate>,
    meter: Arc<Meter>,
    paths: Paths,
    /// What is part of every hidden name.
    secret: String,
    schema_version: i64,
    version_text: String,
    /// Of statements that are kept, by their texts.
    known: RefCell<LruCache<Box<str>, Known>>,
    /// Of what it was made; another one has to take its place once that has changed.
    pub(crate) generation: (u64, u64),
}

/// Why a statement did not run.
pub(super) enum Failed {
    Error(Error),
    /// It was refused, which is put on record.
    Refused(Error),
    /// The schema has changed: the connection is of no use any more.
    Stale,
}

/// When something failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moment {
    Preparing,
    Running,
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Failed::Error(error)
    }
}

impl Bound {
    /// Opens one. `is_home` is asked before the rules hold, in a read transaction in which the connection then stays.
    pub(crate) fn open(
        file: &StoreFile,
        seen: &Seen,
        fixed: FixedLimits,
        generation: (u64, u64),
        is_home: Option<IsHome<'_>>,
    ) -> Result<Result<Self, Unfit>> {
        let connection = connection::sql(file)?;
        functions::register(&connection)?;
        if let Some(is_home) = is_home {
            connection.execute_batch("BEGIN")?;
            if !is_home(&connection)? {
                return Ok(Err(Unfit::NotAtHome));
            }
        }
        // First: what changes from here on is seen when a statement is prepared.
        let schema_version = version(&connection)?;
        if schema::has_statistics(&connection)? {
            return Ok(Err(Unfit::Statistics));
        }
        let secret = secret()?;
        let (rules, paths) = make_views(&connection, seen, &secret)?;
        connection.pragma_update(None, "query_only", true)?;
        fixed.apply(&connection)?;
        connection.flush_prepared_statement_cache();
        let meter = Meter::install(&connection)?;
        let gate = Arc::new(Gate::new(rules, Arc::clone(&meter)));
        let asked = Arc::clone(&gate);
        connection.authorizer(Some(move |context: AuthContext<'_>| asked.decide(&context)))?;
        Ok(Ok(Self {
            connection,
            gate,
            meter,
            paths,
            version_text: format!("PRAGMA schema_version -- {secret}"),
            secret,
            schema_version,
            known: RefCell::new(LruCache::new(connection::SQL_STATEMENTS)),
            generation,
        }))
    }

    #[cfg(test)]
    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }

    pub(super) fn meter(&self) -> &Meter {
        &self.meter
    }

    /// A tenant's statement, ready to run, and what is known of it.
    pub(super) fn prepare(
        &self,
        text: &str,
        limits: &SqlLimits,
    ) -> Result<(CachedStatement<'_>, Known), Failed> {
        let known = self.known.borrow_mut().get(text).cloned();
        if known.is_none() {
            self.check_text(text, limits)?;
        }
        let asked = self.gate.asked();
        let prepared = self.gate.statement(|| self.connection.prepare_cached(text));
        let statement = prepared.map_err(|error| self.refusal(&error, text, limits))?;
        if self.gate.asked() == asked
            && let Some(known) = known
        {
            return Ok((statement, known));
        }
        match self.check(&statement, text, limits) {
            Ok(known) => {
                self.known.borrow_mut().insert(text.into(), known.clone());
                Ok((statement, known))
            }
            Err(failed) => {
                statement.discard();
                Err(failed)
            }
        }
    }

    /// What the authorizer can't see of a new statement.
    fn check(
        &self,
        statement: &CachedStatement<'_>,
        text: &str,
        limits: &SqlLimits,
    ) -> Result<Known, Failed> {
        if statement.is_explain() != 0 {
            return Err(sql("EXPLAIN is a call of its own: `session.sql(..).explain()`").into());
        }
        if !statement.readonly() {
            return Err(Failed::Refused(problem::of_statement(text)));
        }
        if statement.column_count() == 0 {
            return Err(problem::of_nothing(text).map_or_else(Failed::Error, Failed::Refused));
        }
        if let Some(name) = self.gate.rules().forbidden(text) {
            return Err(Failed::Refused(problem::of_forbidden(name)));
        }
        // It is prepared again for that, and with it everything that it reads is asked about.
        self.gate.take_reads();
        let plan = self.plan_of(text, limits)?;
        let reads = self.gate.take_reads();
        if !self.paths.accepts(&plan) {
            return Err(Failed::Refused(problem::not_allowed(
                "a query that SQLite would answer by looking at more than this tenant's rows; write it in another way",
            )));
        }
        if self.gate.version(|| self.version()).map_err(Error::from)? != self.schema_version {
            return Err(Failed::Stale);
        }
        Ok(Known {
            columns: statement.columns().iter().map(SqlColumn::new).collect(),
            reads: reads.into_iter().collect(),
        })
    }

    /// Kept prepared, under a text that no tenant can write.
    fn version(&self) -> rusqlite::Result<i64> {
        self.connection.prepare_cached(&self.version_text)?.query_row([], |row| row.get(0))
    }

    fn plan_of(&self, text: &str, limits: &SqlLimits) -> Result<Vec<PlanStep>, Failed> {
        self.gate
            .statement(|| plan::read(&self.connection, text))
            .map_err(|error| self.refusal(&error, text, limits))
    }

    /// What SQLite would do, in the tenant's names.
    pub(super) fn explain(&self, text: &str, limits: &SqlLimits) -> Result<Vec<PlanStep>, Failed> {
        drop(self.prepare(text, limits)?);
        Ok(self.paths.show(self.plan_of(text, limits)?))
    }

    fn check_text(&self, text: &str, limits: &SqlLimits) -> Result<(), Failed> {
        if text.contains('\0') {
            return Err(sql("the text holds U+0000, where SQLite would stop to read").into());
        }
        // Nobody can know it; if somebody does, something is wrong.
        if contains_folded(text, &self.secret) {
            return Err(Failed::Refused(problem::not_allowed("this name")));
        }
        if expansion::is_too_large(text) {
            return Err(limits.describe_size().into());
        }
        Ok(())
    }

    /// Why a statement could not be prepared.
    fn refusal(&self, error: &rusqlite::Error, text: &str, limits: &SqlLimits) -> Failed {
        if let Some(refused) = self.gate.refused() {
            return Failed::Refused(problem::of_refused(&refused, self.gate.rules(), text));
        }
        self.failure(error, text, limits, Moment::Preparing)
    }

    /// The table that SQLite says to be no function, if it is there and not for this tenant.
    fn unseen<'m>(&self, message: &'m str) -> Option<&'m str> {
        let name = message.strip_prefix('\'')?.strip_suffix("' is not a function")?;
        (!self.gate.rules().seen.contains(&name.to_ascii_lowercase())).then_some(name)
    }

    /// Why a statement could not be prepared, or could not go on.
    pub(super) fn failure(
        &self,
        error: &rusqlite::Error,
        text: &str,
        limits: &SqlLimits,
        moment: Moment,
    ) -> Failed {
        const OTHERWISE: &str = "the statement is not valid, or a value in it is not";
        if let Some(error) = self.meter.why(limits) {
            return error.into();
        }
        let (code, message) = match error {
            rusqlite::Error::SqliteFailure(code, message) => (*code, message.as_deref().unwrap_or("")),
            rusqlite::Error::SqlInputError { error, msg, .. } => (*error, msg.as_str()),
            rusqlite::Error::MultipleStatement => return sql("one statement at a time").into(),
            _ => return sql(OTHERWISE).into(),
        };
        if let Some(table) = self.unseen(message) {
            return problem::of_forbidden(table).into();
        }
        match code.code {
            // Nobody else prepares: SQLite did it by itself.
            ErrorCode::AuthorizationForStatementDenied | ErrorCode::SchemaChanged => Failed::Stale,
            // What has more steps than may be is answered as if there were no memory.
            ErrorCode::OutOfMemory if moment == Moment::Preparing => limits.describe_size().into(),
            ErrorCode::TooBig => limits.describe_value().into(),
            ErrorCode::Unknown if message.starts_with("Expression tree is too large") => {
                limits.describe_depth().into()
            }
            ErrorCode::Unknown
                if message.starts_with("cannot modify ") || message.ends_with(" may not be modified") =>
            {
                Failed::Refused(problem::of_statement(text))
            }
            ErrorCode::Unknown | ErrorCode::TypeMismatch | ErrorCode::ParameterOutOfRange => match moment {
                Moment::Preparing => problem::of_message(message, text, OTHERWISE).into(),
                Moment::Running => problem::of_value(message, OTHERWISE).into(),
            },
            _ => Error::from(rusqlite::Error::SqliteFailure(code, None)).into(),
        }
    }
}

impl std::fmt::Debug for Bound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bound").finish_non_exhaustive()
    }
}

fn sql(problem: &str) -> Error {
    Error::Sql { problem: problem.to_owned() }
}

fn secret() -> Result<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| Error::io("the system's randomness", error))?;
    Ok(u128::from_be_bytes(bytes)).map(|number| format!("{number:032x}"))
}

fn contains_folded(text: &str, word: &str) -> bool {
    text.len() >= word.len() && text.to_ascii_lowercase().contains(word)
}

fn version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("PRAGMA schema_version", [], |row| row.get(0))
}

/// Makes what the scope sees: behind each view one that has a hidden name, since the name that SQLite gives as the
/// reader of a table is one that a statement can set.
fn make_views(connection: &Connection, seen: &Seen, secret: &str) -> Result<(Rules, Paths)> {
    let (mut rules, mut paths) = (Rules::default(), Paths::default());
    for view in &seen.views {
        let name = &view.name;
        let hidden = format!("_{secret}_{name}");
        connection.execute_batch(&format!(
            "CREATE TEMP VIEW \"{hidden}\" AS {};\nCREATE TEMP VIEW \"{name}\" AS SELECT * FROM temp.\"{hidden}\";",
            view.select
        ))?;
        paths.view(view);
        paths.hidden(&hidden, name);
        rules.seen.extend([name.to_ascii_lowercase(), hidden.to_ascii_lowercase()]);
        if !view.noted.is_empty() {
            rules.noted.insert(hidden.clone(), view.noted.clone());
        }
        rules.hidden.insert(hidden, view.tables.clone());
    }
    if let Some(members) = &seen.members {
        make_members(connection, members)?;
        rules.seen.insert("members".to_owned());
    }
    paths.finish();
    let names = "SELECT lower(name) FROM main.sqlite_schema UNION SELECT lower(name) FROM pragma_module_list";
    let mut statement = connection.prepare(names)?;
    rules.names = statement.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    let tables = "SELECT lower(name) FROM main.sqlite_schema WHERE type = 'table' \
                  UNION SELECT lower(name) FROM pragma_module_list WHERE name NOT LIKE 'json%'";
    let mut statement = connection.prepare(tables)?;
    rules.tables = statement.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    Ok((rules, paths))
}

/// A copy: so that other organizations' members, and in a store of several files the names that are in the catalog
/// only, are not on this connection at all.
fn make_members(connection: &Connection, members: &[Membership]) -> Result<()> {
    connection.execute_batch(
        "CREATE TEMP TABLE members (user TEXT PRIMARY KEY, name TEXT, role TEXT, since TEXT) STRICT, WITHOUT ROWID",
    )?;
    let mut insert = connection.prepare("INSERT INTO temp.members VALUES (?1, ?2, ?3, utc_text(?4))")?;
    for member in members {
        let since = member.created.as_microsecond();
        insert.execute(rusqlite::params![member.user.as_str(), member.name, member.role.as_str(), since])?;
    }
    Ok(())
}
