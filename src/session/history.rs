//! A tenant's log, read through its session.

use std::collections::HashMap;
use std::io::Write;
use std::ops::ControlFlow;
use std::time::Duration;

use jiff::Timestamp;
use uuid::Uuid;

use super::{AuditEntries, Core, Reads};
use crate::audit::export::{self, Form};
use crate::audit::log::{self, LogQuery};
use crate::audit::reads::Told;
use crate::audit::refusals::{Grouping, Refusals};
use crate::audit::span::Span;
use crate::audit::state::{Rebuild, StateAt, Step, Version};
use crate::audit::{Anchor, AuditEntry, LogName, Verification, verify};
use crate::entity::{Entity, Id, Model, Tenancy, truncate_to_micros};
use crate::error::{Error, Result};
use crate::identity::{TenantKey, TenantName, UserId};
use crate::scope::Scope;
use crate::statement::Table;

/// A tenant's log, narrowed by filters. Made by `audit()` of a session.
///
/// ```
/// # use tenantry::{Entity, Store, UserId};
/// # #[derive(Entity)] struct Task { title: String }
/// # fn main() -> tenantry::Result<()> {
/// # let store = Store::builder().entity::<Task>().temporary()?;
/// # let session = store.session(&store.users().create(&UserId::new("ada")?)?)?;
/// let id = session.insert(&Task { title: "Tea".into() })?;
/// let history = session.audit().of(id).list()?;
/// assert_eq!(history[0].action, "insert");
/// assert!(session.audit().verify()?.is_intact());
/// # Ok(()) }
/// ```
#[derive(Clone)]
#[must_use]
pub struct Audit<'s> {
    core: &'s Core<'s>,
    /// Each tenant has a log of its own; the tenancy of its records says which tenant.
    tenancy: Tenancy,
    query: LogQuery,
}

/// A page of a log.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct AuditPage {
    /// The entries.
    pub entries: Vec<AuditEntry>,
    /// Give it to [`Audit::after`] for the next page; `None` after the last one.
    pub next: Option<u64>,
}

/// A record that entries of a log changed. Made by [`Audit::records`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChangedRecord {
    /// The entity of the record.
    pub entity: String,
    /// The id of the record.
    pub record: Uuid,
    /// How many changes there were.
    pub changes: u64,
    /// The number of the first entry that changed it.
    pub first: u64,
    /// The number of the last entry that changed it.
    pub last: u64,
}

impl<'s> Audit<'s> {
    pub(super) fn new(core: &'s Core<'s>, tenancy: Tenancy) -> Self {
        Self { core, tenancy, query: LogQuery::default() }
    }

    /// Entries about one record.
    pub fn of<E: Entity>(self, id: Id<E>) -> Self {
        self.entity(E::ENTITY_NAME).record(id.uuid())
    }

    /// Entries about records of one entity.
    pub fn entity(mut self, name: impl Into<String>) -> Self {
        self.query.entity = Some(name.into());
        self
    }

    /// Entries about the record of this id, of whichever entity.
    pub fn record(mut self, id: Uuid) -> Self {
        self.query.record = Some(id);
        self
    }

    /// Entries of one action, such as `delete`.
    pub fn action(mut self, action: impl Into<String>) -> Self {
        self.query.action = Some(action.into());
        self
    }

    /// Entries of what was done in a user's name.
    pub fn actor(mut self, user: &impl AsRef<UserId>) -> Self {
        self.query.actor = Some(user.as_ref().clone());
        self
    }

    /// Entries of what a store admin did.
    pub fn admin(mut self, user: &impl AsRef<UserId>) -> Self {
        self.query.admin = Some(user.as_ref().clone());
        self
    }

    /// Entries of one outcome, such as `ok` or `not_member`.
    pub fn outcome(mut self, outcome: impl Into<String>) -> Self {
        self.query.outcome = Some(outcome.into());
        self
    }

    /// Entries of the transaction whose first entry has this number.
    pub fn transaction(mut self, number: u64) -> Self {
        self.query.transaction = Some(number);
        self
    }

    /// Entries from the first one on that happened at a time or later.
    ///
    /// The log is in the order in which things happened. If the computer's clock was set back, a later entry can have an
    /// earlier time; it belongs to the range all the same, so that `since` and [`until`](Self::until) of one time divide the
    /// log in two. And if the clock was ahead once, everything after that belongs to that time until it is reached.
    pub fn since(mut self, time: Timestamp) -> Self {
        self.query.since = Some(time);
        self
    }

    /// Entries that come before the first one that happened at a time or later.
    pub fn until(mut self, time: Timestamp) -> Self {
        self.query.until = Some(time);
        self
    }

    /// The last entry first; without it, the first one.
    pub fn newest_first(mut self) -> Self {
        self.query.newest_first = true;
        self
    }

    /// Entries that come after the one of this number, in the direction of reading.
    pub fn after(mut self, number: u64) -> Self {
        self.query.after = Some(number);
        self
    }

    /// Who read the records, of entities that ask for it. The filters are its own.
    pub fn reads(&self) -> Reads<'s> {
        Reads::new(self.core, self.tenancy)
    }

    /// All entries.
    ///
    /// # Errors
    ///
    /// What every read can meet: the session has ended, the store is closed, busy or damaged.
    pub fn list(&self) -> Result<Vec<AuditEntry>> {
        self.read(&self.query, None)
    }

    /// At most `size` entries, and where the next page begins.
    ///
    /// # Errors
    ///
    /// As [`list`](Self::list).
    pub fn page(&self, size: u32) -> Result<AuditPage> {
        if size == 0 {
            return Err(Error::invalid("size", "a page has at least one entry"));
        }
        let query = LogQuery { limit: Some(u64::from(size) + 1), ..self.query.clone() };
        let mut entries = self.read(&query, Some(size))?;
        let more = entries.len() > size as usize;
        entries.truncate(size as usize);
        let next = if more { entries.last().map(|entry| entry.number) } else { None };
        Ok(AuditPage { entries, next })
    }

    /// The entries one after the other, without loading all of them: those that are there now. It holds no connection
    /// between one entry and the next.
    ///
    /// # Errors
    ///
    /// As [`list`](Self::list); each entry can also meet what a read can.
    ///
    /// ```
    /// # use tenantry::{Entity, Store, UserId};
    /// # #[derive(Entity)] struct Task { title: String }
    /// # fn main() -> tenantry::Result<()> {
    /// # let store = Store::builder().entity::<Task>().temporary()?;
    /// # let session = store.session(&store.users().create(&UserId::new("ada")?)?)?;
    /// # session.insert(&Task { title: "Tea".into() })?;
    /// for entry in session.audit().entity("task").iter()? {
    ///     let entry = entry?;
    ///     println!("{} {}", entry.time, entry.action);
    /// }
    /// # Ok(()) }
    /// ```
    pub fn iter(&self) -> Result<AuditEntries<'s>> {
        self.entries(self.tenant()?)
    }

    fn entries(&self, tenant: TenantKey) -> Result<AuditEntries<'s>> {
        let span = self.core.read_log(|connection| Span::of(connection, tenant, &self.query))?;
        Ok(AuditEntries::new(self.core, tenant, span, self.query.clone()))
    }

    /// Every version that a record had, the oldest first, and that it was deleted; whatever the filters. Of a dynamic
    /// record, name the entity: `audit().entity("note").history(id)`.
    ///
    /// It reads the whole log of the tenant, since no index leads to a record's entries.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidInput`] if records of the entity are not in this log, or if it is not named; and as
    /// [`list`](Self::list).
    ///
    /// ```
    /// # use tenantry::{Entity, Store, UserId};
    /// # #[derive(Entity)] struct Task { title: String }
    /// # fn main() -> tenantry::Result<()> {
    /// # let store = Store::builder().entity::<Task>().temporary()?;
    /// # let session = store.session(&store.users().create(&UserId::new("ada")?)?)?;
    /// let id = session.insert(&Task { title: "Tea".into() })?;
    /// session.patch(id, Task::TITLE.set("Coffee"))?;
    /// let history = session.audit().history(id)?;
    /// let titles: Vec<&str> = history.iter().filter_map(|v| Some(v.state.value()?.title.as_str())).collect();
    /// assert_eq!(titles, ["Tea", "Coffee"]);
    /// assert_eq!(history[1].version, Some(2));
    /// # Ok(()) }
    /// ```
    pub fn history<M: Model>(&self, id: Id<M>) -> Result<Vec<Version<M>>> {
        let table = self.table::<M>()?;
        let tenant = self.tenant()?;
        let (whole, entries) = self.core.read_entries(tenant, None, |connection, told| {
            let entries = changes((connection, told), Span::whole(tenant), table, id.uuid(), false)?;
            Ok((is_whole(connection, tenant)?, entries))
        })?;
        let mut rebuild = Rebuild::new(table, whole);
        Ok(entries
            .into_iter()
            .map(|(step, entry)| {
                rebuild.apply(step, &entry);
                Version { version: rebuild.version(), entry, state: rebuild.state() }
            })
            .collect())
    }

    /// What a record was at a time: with everything that had happened by then, whatever the filters. Of a dynamic record,
    /// name the entity: `audit().entity("note").state_at(id, time)`.
    ///
    /// By then is what comes before the first entry of a later time, as for [`until`](Self::until): never half a transaction.
    ///
    /// It is rebuilt from the log, which does not hold the values of secret columns, and may have lost others to retention
    /// or erasure: then the answer says which. A reference to an organization's record is what was written, also if that
    /// record was gone by then.
    ///
    /// # Errors
    ///
    /// As [`history`](Self::history).
    ///
    /// ```
    /// # use tenantry::{Entity, StateAt, Store, Timestamp, UserId};
    /// # #[derive(Entity)] struct Task { title: String, done: bool }
    /// # fn main() -> tenantry::Result<()> {
    /// # let store = Store::builder().entity::<Task>().temporary()?;
    /// # let session = store.session(&store.users().create(&UserId::new("ada")?)?)?;
    /// let id = session.insert(&Task { title: "Tea".into(), done: false })?;
    /// session.patch(id, Task::DONE.set(true))?;
    /// let now = session.audit().state_at(id, Timestamp::now())?;
    /// assert!(now.value().unwrap().done);
    /// let before = session.audit().state_at(id, Timestamp::UNIX_EPOCH)?;
    /// assert!(matches!(before, StateAt::Absent));
    /// # Ok(()) }
    /// ```
    pub fn state_at<M: Model>(&self, id: Id<M>, time: Timestamp) -> Result<StateAt<M>> {
        let table = self.table::<M>()?;
        let tenant = self.tenant()?;
        let (whole, entries) = self.core.read_entries(tenant, None, |connection, told| {
            let span = Span::by(connection, tenant, time)?;
            let entries = changes((connection, told), span, table, id.uuid(), true)?;
            Ok((is_whole(connection, tenant)?, entries))
        })?;
        let mut rebuild = Rebuild::new(table, whole);
        // The newest one came first.
        for (step, entry) in entries.iter().rev() {
            rebuild.apply(*step, entry);
        }
        Ok(rebuild.state())
    }

    /// Which records the filters' entries changed, in the order of their first change: between two times, say. What each was
    /// before and after, [`state_at`](Self::state_at) tells.
    ///
    /// # Errors
    ///
    /// As [`list`](Self::list).
    ///
    /// ```
    /// # use tenantry::{Entity, Store, Timestamp, UserId};
    /// # #[derive(Entity)] struct Task { title: String }
    /// # fn main() -> tenantry::Result<()> {
    /// # let store = Store::builder().entity::<Task>().temporary()?;
    /// # let session = store.session(&store.users().create(&UserId::new("ada")?)?)?;
    /// let id = session.insert(&Task { title: "Tea".into() })?;
    /// session.patch(id, Task::TITLE.set("Coffee"))?;
    /// let changed = session.audit().since(Timestamp::UNIX_EPOCH).records()?;
    /// assert_eq!((changed[0].record, changed[0].changes), (id.uuid(), 2));
    /// # Ok(()) }
    /// ```
    pub fn records(&self) -> Result<Vec<ChangedRecord>> {
        let mut records: Vec<ChangedRecord> = Vec::new();
        let mut places = HashMap::new();
        let query = LogQuery { newest_first: false, ..self.query.clone() };
        self.each(&query, |entry| {
            let (Some(_), Some(entity), Some(record)) = (Step::of(&entry), entry.entity, entry.record) else {
                return;
            };
            let place = *places.entry((entity.clone(), record)).or_insert(records.len());
            match records.get_mut(place) {
                Some(known) => {
                    known.last = entry.number;
                    known.changes += 1;
                }
                None => {
                    let number = entry.number;
                    records.push(ChangedRecord { entity, record, changes: 1, first: number, last: number });
                }
            }
        })?;
        Ok(records)
    }

    /// What was refused, of all that the filters leave, by reason and by what was asked for: the most frequent first.
    /// Refusals are in the log of the user who was refused.
    ///
    /// # Errors
    ///
    /// As [`list`](Self::list).
    ///
    /// ```
    /// # use tenantry::{OrganizationId, Store, UserId};
    /// # fn main() -> tenantry::Result<()> {
    /// # let store = Store::temporary()?;
    /// # let session = store.session(&store.users().create(&UserId::new("eve")?)?)?;
    /// for guess in ["acme", "bell", "cyan"] {
    ///     assert!(session.in_organization(&OrganizationId::new(guess)?).is_err());
    /// }
    /// let refusals = &session.audit().refusals()?[0];
    /// assert_eq!((refusals.outcome.as_str(), refusals.count), ("not_member", 3));
    /// assert_eq!((refusals.what.as_deref(), refusals.targets.len()), (Some("organization"), 3));
    /// # Ok(()) }
    /// ```
    pub fn refusals(&self) -> Result<Vec<Refusals>> {
        self.group(Grouping::default())
    }

    /// The same for each window of time of this length, counted from the Unix epoch, in which something was refused.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidInput`] if the window is shorter than a microsecond; and as [`list`](Self::list).
    pub fn refusals_every(&self, window: Duration) -> Result<Vec<Refusals>> {
        self.group(Grouping::by_window(window)?)
    }

    fn group(&self, mut grouping: Grouping) -> Result<Vec<Refusals>> {
        self.each(&LogQuery { refused: true, ..self.query.clone() }, |entry| grouping.add(entry))?;
        Ok(grouping.finish())
    }

    fn each(&self, query: &LogQuery, mut visit: impl FnMut(AuditEntry)) -> Result<()> {
        let tenant = self.tenant()?;
        self.core.read_entries(tenant, None, |connection, told| {
            let Some(span) = Span::of(connection, tenant, query)? else { return Ok(()) };
            log::each((connection, told), span, query, |entry| {
                visit(entry);
                Ok(ControlFlow::Continue(()))
            })
        })
    }

    /// Writes the entries that the filters leave as JSON Lines (`docs/audit-export.md`), one object each, without loading
    /// all of them; how many there were. Values of secret columns are not in the log.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the writer fails; and as [`list`](Self::list).
    ///
    /// ```
    /// # use tenantry::{Store, UserId};
    /// # fn main() -> tenantry::Result<()> {
    /// # let store = Store::temporary()?;
    /// # let session = store.session(&store.users().create(&UserId::new("ada")?)?)?;
    /// let mut lines = Vec::new();
    /// assert_eq!(session.audit().export_json_lines(&mut lines)?, 1);
    /// assert!(String::from_utf8(lines).unwrap().contains(r#""action":"user.create""#));
    /// # Ok(()) }
    /// ```
    pub fn export_json_lines(&self, writer: &mut impl Write) -> Result<u64> {
        let tenant = self.tenant()?;
        self.export(writer, tenant, &Form::JsonLines)
    }

    /// Writes the entries that the filters leave as events of [CloudEvents](https://cloudevents.io) 1.0 in its JSON format
    /// (`docs/audit-export.md`), one a line; how many there were.
    ///
    /// # Errors
    ///
    /// As [`export_json_lines`](Self::export_json_lines).
    ///
    /// ```
    /// # use tenantry::{Store, UserId};
    /// # fn main() -> tenantry::Result<()> {
    /// # let store = Store::temporary()?;
    /// # let session = store.session(&store.users().create(&UserId::new("ada")?)?)?;
    /// let mut events = Vec::new();
    /// session.audit().export_cloud_events(&mut events)?;
    /// assert!(String::from_utf8(events).unwrap().contains(r#""specversion":"1.0""#));
    /// # Ok(()) }
    /// ```
    pub fn export_cloud_events(&self, writer: &mut impl Write) -> Result<u64> {
        let tenant = self.tenant()?;
        let source = self.core.read_log(|connection| export::source(connection, tenant))?;
        self.export(writer, tenant, &Form::CloudEvents { source })
    }

    fn export(&self, writer: &mut impl Write, tenant: TenantKey, form: &Form) -> Result<u64> {
        let mut count = 0;
        for entry in self.entries(tenant)? {
            form.write(writer, &entry?)?;
            count += 1;
        }
        writer.flush().map_err(|error| Error::io("the audit log's export", error))?;
        Ok(count)
    }

    /// Recomputes the whole log, whatever the filters: every commitment, hash and link.
    ///
    /// # Errors
    ///
    /// As [`list`](Self::list); a log that does not verify is an `Ok` that says where.
    pub fn verify(&self) -> Result<Verification> {
        let tenant = self.tenant()?;
        self.core.source()?.read_log(|connection| verify::verify(connection, tenant))
    }

    /// Recomputes the whole log as [`verify`](Self::verify) does, and compares it with an [`Anchor`] that
    /// was kept elsewhere. With it a log is found whose end was cut off, or which was written anew with
    /// right hashes.
    ///
    /// An anchor of an entry that retention has deleted proves nothing any more, which is a
    /// [`ChainProblem::AnchorExpired`](crate::ChainProblem::AnchorExpired): make a new one after each
    /// deletion.
    ///
    /// # Errors
    ///
    /// As [`verify`](Self::verify); also an anchor of another log is an `Ok` that says so.
    ///
    /// ```
    /// # use tenantry::{Entity, Store, UserId};
    /// # #[derive(Entity)] struct Task { title: String }
    /// # fn main() -> tenantry::Result<()> {
    /// # let store = Store::builder().entity::<Task>().temporary()?;
    /// # let session = store.session(&store.users().create(&UserId::new("ada")?)?)?;
    /// let anchor = session.audit().head()?;
    /// session.insert(&Task { title: "Tea".into() })?;
    /// assert!(session.audit().verify_against(&anchor)?.is_intact());
    /// # Ok(()) }
    /// ```
    pub fn verify_against(&self, anchor: &Anchor) -> Result<Verification> {
        let (tenant, log) = self.name()?;
        self.core.source()?.read_log(|connection| verify::verify_against(connection, tenant, &log, anchor))
    }

    /// Where the log stands, whatever the filters, to be kept elsewhere: see [`Anchor`].
    ///
    /// # Errors
    ///
    /// As [`list`](Self::list).
    pub fn head(&self) -> Result<Anchor> {
        let (tenant, log) = self.name()?;
        let time = truncate_to_micros(self.core.store.now());
        self.core.read_log(|connection| verify::head(connection, tenant, log, time))
    }

    /// Whose log it is; an administrator's look is on record.
    fn name(&self) -> Result<(TenantKey, LogName)> {
        let tenant = self.tenant()?;
        let name = match (&*self.core.scope, self.tenancy) {
            (_, Tenancy::Reference) | (Scope::Reference, _) => return Ok((tenant, LogName::Reference)),
            (Scope::User { user, .. }, _) => TenantName::User(user.clone()),
            (Scope::Organization { organization, user, .. }, Tenancy::Member) => {
                TenantName::Member { organization: organization.clone(), user: user.clone() }
            }
            (Scope::Organization { organization, .. }, _) => TenantName::Organization(organization.clone()),
            (Scope::Administered { name, .. }, _) => name.clone(),
        };
        Ok((tenant, LogName::Tenant(name)))
    }

    /// Of the entries that are read so many are shown.
    fn read(&self, query: &LogQuery, shown: Option<u32>) -> Result<Vec<AuditEntry>> {
        let tenant = self.tenant()?;
        self.core.read_entries(tenant, shown, |connection, told| log::read((connection, told), tenant, query))
    }

    /// Whose log it is. Every method asks once, since an administrator's look is itself an entry.
    fn tenant(&self) -> Result<TenantKey> {
        self.core.account("audit", Some(self.tenancy), None)?;
        Ok(self.core.scope.reads(self.tenancy)?.tenant)
    }

    /// The entity whose records are of a type, if they are in this log.
    fn table<M: Model>(&self) -> Result<&'s Table> {
        let name = M::MODEL_NAME.or(self.query.entity.as_deref());
        let name = name.ok_or_else(|| {
            Error::invalid("entity", "is not known of a dynamic record: name it with `audit().entity(..)`")
        })?;
        let table = self.core.store.catalog().get(name)?;
        let tenancy = table.definition.tenancy();
        if tenancy != self.tenancy {
            return Err(Error::invalid(
                "entity",
                format!(
                    "{name} is of tenancy `{tenancy}`, and this is the log of `{}` records",
                    self.tenancy
                ),
            ));
        }
        Ok(table)
    }
}

/// The changes of one record in a part of a log. Backwards, as far as they matter for what it was at the end of it: an
/// insert or a deletion leaves nothing of what was before.
fn changes(
    (connection, told): (&rusqlite::Connection, &mut Told),
    span: Span,
    table: &Table,
    record: Uuid,
    backwards: bool,
) -> Result<Vec<(Step, AuditEntry)>> {
    let query = LogQuery {
        entity: Some(table.entity().to_owned()),
        record: Some(record),
        newest_first: backwards,
        ..LogQuery::default()
    };
    let mut changes = Vec::new();
    log::each((connection, told), span, &query, |entry| {
        let Some(step) = Step::of(&entry) else { return Ok(ControlFlow::Continue(())) };
        changes.push((step, entry));
        let ends = backwards && step != Step::Update;
        Ok(if ends { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })?;
    Ok(changes)
}

/// Whether a log still has its first entry.
fn is_whole(connection: &rusqlite::Connection, tenant: TenantKey) -> Result<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM _audit WHERE key = ?1)";
    Ok(connection.prepare_cached(sql)?.query_row([tenant.first() | 1], |row| row.get(0))?)
}

impl std::fmt::Debug for Audit<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Audit").field(&self.query).finish()
    }
}
