//! A tenant's own SQL, asked through its session.

use super::{Core, Session};
use crate::error::{Error, Result};
use crate::monitor::Operation;
use crate::sql::{FixedLimits, Sql, SqlLimits};
use crate::store::SqlReader;
use crate::tenancy;

/// Characters of a refusal that the log keeps.
const TOLD_MAX: usize = 200;

impl<S: tenancy::Scope> Session<S> {
    /// A statement of the tenant's own SQL: any `SELECT`, with joins, subqueries, common table expressions, windows,
    /// aggregates and SQLite's JSON functions. It sees a private database, of what this session reads and nothing else.
    ///
    /// Each entity is a table under its own name, whose columns are
    ///
    /// - `id`: text, a UUID as RFC 9562 writes it;
    /// - the entity's own columns, in their order: booleans are 0 and 1, ids of other records text as `id` is, times text
    ///   (`2026-11-24 09:30:00.000000Z`, UTC, in the order of time, as SQLite's date functions take and give them), nested
    ///   values JSON (a struct is the list of its fields), bytes `BLOB`;
    /// - `version`, `created` and `updated`, and `author` where the entity has one.
    ///
    /// Where an entity has a column of its own of such a name, the record's is `_version`, and so on.
    ///
    /// `audit` is the log of what the session is for: `number`, `txn`, `actor`, `admin`, `device`, `clock`, `time`, `action`,
    /// `entity`, `record`, `outcome`, `definition`, `undoes`, `reason`, and `changes`, a JSON object of columns. In an organization
    /// `private_audit` is the member's own log, and `members` are the organization's: `user` (the id), `name`, `role`, `since`.
    ///
    /// Comparisons of ids, references, texts, numbers and booleans use the entity's indexes; those of times, nested values and
    /// expressions look at all of the tenant's rows.
    ///
    /// A text must not hold the names of the file's own tables, of SQLite's, and of its modules (`_user`, `sqlite_schema`,
    /// `dbstat`, anything with `_rows_`), not even within a literal: give such a value as a parameter.
    ///
    /// A statement sees what is committed. It runs on a connection of its own, so it is not there in a
    /// [`transaction`](Self::transaction) or [`read`](Self::read), whose state it could not see:
    ///
    /// ```compile_fail,E0599
    /// # use tenantry::TenantSession;
    /// fn titles(session: &TenantSession) -> tenantry::Result<Vec<String>> {
    ///     session.transaction(|tx| tx.sql("SELECT title FROM task").all())
    /// }
    /// ```
    ///
    /// Writing is not allowed; the session's verbs do it, with their checks and the log.
    ///
    /// ```
    /// # use tenantry::{Entity, Store, UserId};
    /// #[derive(Entity)]
    /// struct Task { title: String, done: bool }
    ///
    /// #[derive(serde::Deserialize)]
    /// struct Share { done: bool, tasks: u32 }
    ///
    /// # fn main() -> tenantry::Result<()> {
    /// # let store = Store::builder().entity::<Task>().temporary()?;
    /// # let session = store.session(&store.users().create(&UserId::new("ada")?)?)?;
    /// session.insert(&Task { title: "Dig".into(), done: true })?;
    /// let shares: Vec<Share> =
    ///     session.sql("SELECT done, count(*) AS tasks FROM task WHERE title LIKE ?1 GROUP BY done").bind("D%").all()?;
    /// assert_eq!((shares[0].done, shares[0].tasks), (true, 1));
    /// # Ok(()) }
    /// ```
    pub fn sql<'s>(&'s self, text: &'s str) -> Sql<'s> {
        Sql::new(self.core(), &self.sql_limits, text)
    }

    /// The same session with other limits for its own SQL.
    #[must_use]
    pub fn with_sql_limits(&self, limits: SqlLimits) -> Self {
        Self { sql_limits: limits, ..self.clone() }
    }
}

impl Core<'static> {
    pub(crate) fn sql_connection(&self, fixed: FixedLimits) -> Result<SqlReader> {
        self.check_for_reading()?;
        self.store.sql(&self.scope, fixed)
    }

    /// Runs a statement, watched if the store is monitored.
    pub(crate) fn observe_sql<R>(&self, run: impl FnOnce() -> Result<R>) -> Result<R> {
        self.account("sql", None, None)?;
        self.store.monitor.observe(Operation::Sql, "", &self.scope, run)
    }

    /// Puts a refusal on record, and gives the error back.
    pub(crate) fn refused_sql(&self, error: Error) -> Error {
        // It may repeat a name of any length.
        let told = error.to_string().chars().take(TOLD_MAX).collect();
        self.refused(("sql", told), error)
    }
}
