//! Queries: which records, in what order, and what to do with them.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use sha2::Digest;
use uuid::Uuid;

use super::{Core, Reading, Records, verbs};
use crate::audit::ReadKind;
use crate::commit::Changes;
use crate::entity::{Column, Entity, Field, Fields, Id, Model, Raw, Record, StoredUuid, Value};
use crate::error::{Error, Result};
use crate::monitor::Operation;
use crate::query::{Comparison, Cursor, DynamicColumn, Filter, Node, Number, Order, Ordered, Patch, Spec};
use crate::statement::{self, Aggregate, Reach, Select, Table};
use crate::tenancy::{self, ReadIn, WrittenIn};

/// Which of a tenant's records, in what order. Made by [`Verbs::query`](crate::Verbs::query) and
/// ended by one of its verbs; without an order, the oldest record comes first.
///
/// ```
/// # use tenantry::{Entity, Record, Store, UserId};
/// # #[derive(Entity)] struct Task { title: String, done: bool }
/// # fn main() -> tenantry::Result<()> {
/// # let store = Store::builder().entity::<Task>().temporary()?;
/// # let session = store.session(&store.users().create(&UserId::new("ada")?)?)?;
/// # for n in 0..120 { session.insert(&Task { title: format!("Task {n}"), done: n % 2 == 0 })?; }
/// let open = session.query::<Task>().filter(Task::DONE.eq(false)).order_by(Record::<Task>::CREATED.desc());
/// let mut page = open.page(50)?;
/// assert_eq!(page.records[0].title, "Task 119");
/// while let Some(next) = page.next {
///     page = open.clone().after(&next).page(50)?;
/// }
/// assert_eq!(page.records.last().unwrap().title, "Task 1");
/// # Ok(()) }
/// ```
#[must_use]
pub struct Query<'s, S, M> {
    core: &'s Core<'s>,
    /// An entity that is not registered is reported by the verb that ends the query.
    table: Result<&'s Arc<Table>, String>,
    spec: Spec,
    after: Option<Cursor>,
    marker: PhantomData<fn() -> (S, M)>,
}

impl<S, M> Clone for Query<'_, S, M> {
    fn clone(&self) -> Self {
        Self {
            core: self.core,
            table: self.table.clone(),
            spec: self.spec.clone(),
            after: self.after.clone(),
            marker: PhantomData,
        }
    }
}

impl<S, M> fmt::Debug for Query<'_, S, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Query")
            .field("order", &self.spec.order)
            .field("limit", &self.spec.limit)
            .finish_non_exhaustive()
    }
}

/// A page of records.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub struct Page<M> {
    /// The records.
    pub records: Vec<Record<M>>,
    /// Give it to [`Query::after`] for the next page; `None` after the last one.
    pub next: Option<Cursor>,
}

impl<M: Model> fmt::Debug for Page<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Page").field("records", &self.records).field("next", &self.next).finish()
    }
}

impl<'s, S: tenancy::Scope, M: Model> Query<'s, S, M> {
    pub(crate) fn new(core: &'s Core<'s>, table: Result<&'s Arc<Table>>) -> Self {
        let table = table.map_err(|error| match error {
            Error::Schema { problem } => problem,
            other => other.to_string(),
        });
        Self { core, table, spec: Spec::default(), after: None, marker: PhantomData }
    }

    fn table(&self) -> Result<&'s Arc<Table>> {
        self.table.clone().map_err(Error::schema)
    }

    fn reach(&self) -> Result<Reach> {
        self.core.scope.reads(self.table()?.definition.tenancy())
    }

    /// Keeps the records that match this too.
    pub fn filter(mut self, filter: Filter<M>) -> Self {
        self.add(filter.node);
        self
    }

    fn add(&mut self, node: Node) {
        self.spec.filter = Some(match self.spec.filter.take() {
            Some(filter) => filter.and(node),
            None => node,
        });
    }

    /// Sorts. Records that are equal in all columns come in the order in which they were
    /// inserted, or its reverse if the last column is descending.
    pub fn order_by(mut self, order: Order<M>) -> Self {
        self.spec.order = order.columns;
        self
    }

    /// At most this many records. Pages have a size of their own, and [`count`](Self::count) and
    /// aggregates are of all that match: they ignore it.
    pub fn limit(mut self, records: u64) -> Self {
        self.spec.limit = Some(records);
        self
    }

    /// Records that come after a page. Others may be inserted or deleted meanwhile: a page
    /// repeats none and leaves none out that was there all the time.
    pub fn after(mut self, cursor: &Cursor) -> Self {
        self.after = Some(cursor.clone());
        self
    }

    /// Only the records that this session's user inserted, of an entity that declares `author`.
    pub fn mine(mut self) -> Self {
        let user = self.core.scope.user().map_or(String::new(), ToString::to_string);
        self.add(Node::Compare {
            column: "_author".into(),
            comparison: Comparison::Eq,
            value: Value::Text(user),
        });
        self
    }

    /// The records.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidInput`] if the filter or the order do not fit the entity or the cursor is
    /// another query's; what every verb can meet.
    pub fn list(&self) -> Result<Vec<Record<M>>> {
        let after = self.position()?;
        let table = self.table()?;
        let listing = self.core.select(table, self.reach()?, &self.spec, after.as_deref()).records(None)?;
        self.core.observe_read(Operation::List, ReadKind::List, table, |reading| {
            self.core.read(reading, |connection, reading| {
                listing.all(connection, |row| reading.decode(table, row, 0))
            })
        })
    }

    /// At most `size` records, and where the next page begins.
    ///
    /// # Errors
    ///
    /// As [`list`](Self::list); [`Error::InvalidInput`] if it is sorted by a secret column.
    pub fn page(&self, size: u32) -> Result<Page<M>> {
        let (records, next) =
            self.page_of(size, None, |reading, table, _, row| reading.decode(table, row, 0))?;
        Ok(Page { records, next })
    }

    /// Reads one more row than asked for, which tells whether there is a next page.
    fn page_of<T>(
        &self,
        size: u32,
        joined: Option<statement::Joined<'_>>,
        mut read: impl FnMut(&mut Reading, &Table, &Select<'_>, &rusqlite::Row<'_>) -> Result<T>,
    ) -> Result<(Vec<T>, Option<Cursor>)> {
        if size == 0 {
            return Err(Error::invalid("size", "a page has at least one record"));
        }
        self.check_order()?;
        let after = self.position()?;
        let table = self.table()?;
        let wanted = u64::from(size);
        let spec = Spec { limit: Some(wanted + 1), ..self.spec.clone() };
        let select = self.core.select(table, self.reach()?, &spec, after.as_deref());
        let listing = select.page(joined)?;
        let mut count = 0;
        let mut position = None;
        let mut rows = Vec::new();
        self.core.observe_read(Operation::List, ReadKind::List, table, |reading| {
            self.core.read(reading, |connection, reading| {
                listing.all(connection, |row| {
                    count += 1;
                    if count == wanted {
                        position = Some(select.position(row)?);
                    }
                    // The one after the page is not shown.
                    if count <= wanted {
                        rows.push(read(reading, table, &select, row)?);
                    }
                    Ok(())
                })
            })
        })?;
        let more = count > wanted;
        let next = position.filter(|_| more).map(|position| Cursor::new(self.binding(table), &position));
        Ok((rows, next))
    }

    /// A cursor holds the values of the columns by which a page is sorted, and goes wherever its caller sends it.
    fn check_order(&self) -> Result<()> {
        let columns = self.table()?.definition.columns();
        let is_secret = |name: &str| columns.iter().any(|column| column.name() == name && column.is_secret());
        match self.spec.order.iter().find(|(name, _)| is_secret(name)) {
            Some((name, _)) => Err(Error::invalid(
                &**name,
                "is secret, and a page sorted by it would end with a cursor that holds its value; use `list` or `iter`, or sort by another column",
            )),
            None => Ok(()),
        }
    }

    /// What cursors of this query are bound to.
    fn binding(&self, table: &Table) -> [u8; 8] {
        let mut hash = self.core.scope.fingerprint();
        hash.update(table.entity());
        for (column, direction) in &self.spec.order {
            hash.update([0]);
            hash.update(column.as_bytes());
            hash.update([1, u8::from(*direction == crate::Direction::Desc)]);
        }
        let hash: [u8; 32] = hash.finalize().into();
        let mut binding = [0; 8];
        binding.copy_from_slice(&hash[..8]);
        binding
    }

    fn position(&self) -> Result<Option<Vec<Value>>> {
        let Some(cursor) = &self.after else { return Ok(None) };
        self.check_order()?;
        let table = self.table()?;
        let count = self.core.select(table, self.reach()?, &self.spec, None).position_len();
        cursor.open(self.binding(table), count).map(Some)
    }

    /// The first record, if there is one.
    ///
    /// # Errors
    ///
    /// As [`list`](Self::list).
    pub fn first(&self) -> Result<Option<Record<M>>> {
        Ok(self.clone().limit(1).list()?.pop())
    }

    /// The only record.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] if there is none, [`Error::NotUnique`] if there are more; and as
    /// [`list`](Self::list).
    pub fn one(&self) -> Result<Record<M>> {
        let entity = || self.table().map_or(String::new(), |table| table.entity().to_owned());
        let mut records = self.clone().limit(2).list()?;
        match (records.pop(), records.pop()) {
            (Some(record), None) => Ok(record),
            (None, _) => Err(Error::NotFound { entity: entity() }),
            (Some(_), Some(_)) => Err(Error::NotUnique { entity: entity() }),
        }
    }

    /// The records one after the other, without loading all of them: on a session, all of one
    /// moment; in a transaction, as it goes on.
    ///
    /// # Errors
    ///
    /// As [`list`](Self::list); each record can also meet what a read can.
    pub fn iter(&self) -> Result<Records<'s, M>> {
        let position = self.position()?;
        Records::new(self.core, self.table()?, self.reach()?, self.spec.clone(), position)
    }

    /// How many records match. Without a filter this is one lookup, at any size.
    ///
    /// # Errors
    ///
    /// As [`list`](Self::list).
    pub fn count(&self) -> Result<u64> {
        verbs::count(self.core, self.table()?, &self.spec)
    }

    /// Whether any record matches.
    ///
    /// # Errors
    ///
    /// As [`list`](Self::list).
    pub fn exists(&self) -> Result<bool> {
        let statement = self.select()?.any()?;
        self.core.observe_read(Operation::Count, ReadKind::Count, self.table()?, |reading| {
            let found = self.core.read(reading, |connection, _| statement.first(connection, |_| Ok(())))?;
            Ok(found.is_some())
        })
    }

    /// The query without its page.
    fn select(&self) -> Result<Select<'_>> {
        Ok(self.core.select(self.table()?, self.reach()?, &self.spec, None))
    }

    fn aggregate<F: Field>(&self, aggregate: Aggregate, column: &str) -> Result<Option<F>> {
        let statement = self.select()?.aggregate(aggregate, column)?;
        let value = self.core.observe_read(Operation::Count, ReadKind::Aggregate, self.table()?, |reading| {
            self.core.read(reading, |connection, _| {
                statement.first(connection, |row| {
                    let raw = Raw::new(row.get_ref(0)?);
                    if raw.is_none() {
                        return Ok(None);
                    }
                    F::from_raw(raw)
                        .map(Some)
                        .map_err(|problem| Error::schema(format!("column {column:?} {problem}")))
                })
            })
        });
        match value {
            // SQLite adds integers exactly or not at all (https://sqlite.org/lang_aggfunc.html#sumunc).
            Err(Error::Io { source, .. }) if aggregate == Aggregate::Sum && is_plain(&source) => {
                Err(Error::LimitExceeded {
                    limit: "sum",
                    problem: format!("the sum of {column:?} is larger than a 64-bit signed integer"),
                })
            }
            other => Ok(other?.flatten()),
        }
    }

    /// The sum of a column; 0 where no record has a value.
    ///
    /// # Errors
    ///
    /// As [`list`](Self::list); [`Error::LimitExceeded`] if the sum of integers does not fit `i64`.
    pub fn sum<F>(&self, column: Column<M, F>) -> Result<<F::Inner as Number>::Sum>
    where
        F: Field,
        F::Inner: Number,
        <F::Inner as Number>::Sum: Default,
    {
        Ok(self.aggregate(Aggregate::Sum, column.name())?.unwrap_or_default())
    }

    /// The average of a column over the records that have a value.
    ///
    /// # Errors
    ///
    /// As [`list`](Self::list).
    pub fn average<F>(&self, column: Column<M, F>) -> Result<Option<f64>>
    where
        F: Field,
        F::Inner: Number,
    {
        self.aggregate(Aggregate::Average, column.name())
    }

    /// The smallest value of a column.
    ///
    /// # Errors
    ///
    /// As [`list`](Self::list).
    pub fn min<F>(&self, column: Column<M, F>) -> Result<Option<F::Inner>>
    where
        F: Field,
        F::Inner: Ordered,
    {
        self.aggregate(Aggregate::Min, column.name())
    }

    /// The largest value of a column.
    ///
    /// # Errors
    ///
    /// As [`list`](Self::list).
    pub fn max<F>(&self, column: Column<M, F>) -> Result<Option<F::Inner>>
    where
        F: Field,
        F::Inner: Ordered,
    {
        self.aggregate(Aggregate::Max, column.name())
    }

    /// Each value of a column and how many records have it, in the column's order.
    ///
    /// # Errors
    ///
    /// As [`list`](Self::list).
    pub fn group_count<F>(&self, column: Column<M, F>) -> Result<Vec<(F, u64)>>
    where
        F: Field,
        F::Inner: Ordered,
    {
        self.groups(column.name(), F::from_raw)
    }

    fn groups<T>(&self, column: &str, value: impl Fn(Raw<'_>) -> Result<T, String>) -> Result<Vec<(T, u64)>> {
        let statement = self.select()?.group_count(column)?;
        self.core.observe_read(Operation::Count, ReadKind::Aggregate, self.table()?, |reading| {
            self.core.read(reading, |connection, _| {
                statement.all(connection, |row| {
                    let value = value(Raw::new(row.get_ref(0)?))
                        .map_err(|problem| Error::schema(format!("column {column:?} {problem}")))?;
                    Ok((value, crate::commit::unsigned_count(Some(row.get(1)?))?))
                })
            })
        })
    }

    /// Changes the matching records, in the query's order; how many there were.
    fn change_all(
        &self,
        operation: Operation,
        change: impl FnOnce(&mut Changes<'_>, &Table, Vec<Uuid>) -> Result<u64> + Send + 'static,
    ) -> Result<u64> {
        if self.after.is_some() {
            return Err(Error::invalid("after", "a bulk change has no pages; use `limit`"));
        }
        let (table, spec) = (Arc::clone(self.table()?), self.spec.clone());
        let reach = self.core.scope.writes(table.definition.tenancy())?;
        let write = move |changes: &mut Changes<'_>| {
            let statement = statement::matching_ids(&table, reach, &spec)?;
            let ids = statement.all(changes.unit.connection()?, |row| Ok(row.get::<_, StoredUuid>(0)?.0))?;
            change(changes, &table, ids)
        };
        let table = self.table()?;
        let tenancy = table.definition.tenancy();
        self.core.account(operation.as_str(), Some(tenancy), Some((table.entity(), table.version)))?;
        self.core.observe(operation, table, || self.core.write(write))
    }
}

/// Whether SQLite says no more than that a statement failed, as for a sum that overflows.
fn is_plain(source: &crate::error::Cause) -> bool {
    source
        .downcast_ref::<rusqlite::ffi::Error>()
        .is_some_and(|error| error.extended_code == rusqlite::ffi::SQLITE_ERROR)
}

impl<S: tenancy::Scope, E: Entity> Query<'_, S, E> {
    /// Gives some columns of every matching record new values; how many there were. All or none.
    ///
    /// # Errors
    ///
    /// As [`Verbs::patch`](crate::Verbs::patch).
    pub fn patch(&self, patch: Patch<E>) -> Result<u64>
    where
        E::Tenancy: WrittenIn<S>,
    {
        let changes = patch.into_changes(&self.table()?.definition)?;
        self.change_all(Operation::Update, move |all, table, ids| all.update_all(table, ids, &changes))
    }

    /// Deletes every matching record; how many there were. All or none.
    ///
    /// # Errors
    ///
    /// As [`Verbs::delete`](crate::Verbs::delete).
    pub fn delete(&self) -> Result<u64>
    where
        E::Tenancy: WrittenIn<S>,
    {
        self.change_all(Operation::Delete, |all, table, ids| all.delete_all(table, ids))
    }
}

impl<'s, S: tenancy::Scope, E: Entity> Query<'s, S, E> {
    /// Each record with the one that a reference names: [`Joined::list`] and
    /// [`Joined::page`] end it. The other record is this tenant's too, or a reference record.
    ///
    /// ```
    /// # use tenantry::{Entity, Id, Store, UserId};
    /// # #[derive(Entity)] struct Project { name: String }
    /// # #[derive(Entity)] struct Task { title: String, project: Option<Id<Project>> }
    /// # fn main() -> tenantry::Result<()> {
    /// # let store = Store::builder().entity::<Project>().entity::<Task>().temporary()?;
    /// # let session = store.session(&store.users().create(&UserId::new("ada")?)?)?;
    /// let garden = session.insert(&Project { name: "Garden".into() })?;
    /// session.insert(&Task { title: "Dig".into(), project: Some(garden) })?;
    /// let (task, project) = session.query::<Task>().with(Task::PROJECT).list()?.remove(0);
    /// assert_eq!(task.title, "Dig");
    /// assert_eq!(project.unwrap().name, "Garden");
    /// # Ok(()) }
    /// ```
    pub fn with<F, P>(self, reference: Column<E, F>) -> Joined<'s, S, E, P>
    where
        F: Field<Inner = Id<P>>,
        P: Entity,
        P::Tenancy: ReadIn<S>,
    {
        Joined { query: self, column: reference.name(), marker: PhantomData }
    }
}

impl<S: tenancy::Scope> Query<'_, S, Fields> {
    /// Gives the columns that are set new values in every matching record; how many there were.
    ///
    /// # Errors
    ///
    /// As [`Verbs::patch`](crate::Verbs::patch).
    pub fn patch(&self, fields: Fields) -> Result<u64> {
        let changes = fields.into_changes(&self.table()?.definition)?;
        self.change_all(Operation::Update, move |all, table, ids| all.update_all(table, ids, &changes))
    }

    /// Deletes every matching record; how many there were.
    ///
    /// # Errors
    ///
    /// As [`Verbs::delete`](crate::Verbs::delete).
    pub fn delete(&self) -> Result<u64> {
        self.change_all(Operation::Delete, |all, table, ids| all.delete_all(table, ids))
    }

    /// Each value of a column and how many records have it, in the column's order.
    ///
    /// # Errors
    ///
    /// As [`list`](Self::list).
    pub fn group_count_by(&self, column: &DynamicColumn) -> Result<Vec<(Value, u64)>> {
        let name = column.name();
        let definition = &self.table()?.definition;
        let position =
            definition.position(name).ok_or_else(|| crate::entity::unknown_column(definition, name))?;
        let kind = definition.columns()[position].kind();
        self.groups(name, |raw| raw.to_value(kind))
    }
}

/// A record, and the one that it refers to.
pub type Pair<E, P> = (Record<E>, Option<Record<P>>);

/// A query whose records come with the ones that a reference names. Made by [`Query::with`].
#[must_use]
pub struct Joined<'s, S, E, P> {
    query: Query<'s, S, E>,
    column: &'static str,
    marker: PhantomData<fn() -> P>,
}

/// A page of records and the ones that they refer to.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub struct JoinedPage<E, P> {
    /// Each record, and the one that it refers to.
    pub records: Vec<Pair<E, P>>,
    /// Give it to [`Query::after`] for the next page; `None` after the last one.
    pub next: Option<Cursor>,
}

impl<E: Entity, P: Entity> fmt::Debug for JoinedPage<E, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinedPage").field("records", &self.records).field("next", &self.next).finish()
    }
}

impl<S: tenancy::Scope, E: Entity, P: Entity> Joined<'_, S, E, P> {
    /// All records, each with the one that it refers to, or `None`.
    ///
    /// # Errors
    ///
    /// As [`Query::list`].
    pub fn list(&self) -> Result<Vec<Pair<E, P>>> {
        let after = self.query.position()?;
        let table = self.query.table()?;
        let joined = self.joined(table)?;
        let Query { core, spec, .. } = &self.query;
        let select = core.select(table, self.query.reach()?, spec, after.as_deref());
        let listing = select.records(Some(joined))?;
        core.observe_read(Operation::List, ReadKind::List, table, |reading| {
            core.noting(ReadKind::Join, joined.table, |others| {
                core.read(reading, |connection, reading| {
                    listing
                        .all(connection, |row| pair((reading, table), (others, joined.table), &select, row))
                })
            })
        })
    }

    /// At most `size` records, and where the next page begins.
    ///
    /// # Errors
    ///
    /// As [`Query::page`].
    pub fn page(&self, size: u32) -> Result<JoinedPage<E, P>> {
        let joined = self.joined(self.query.table()?)?;
        let (records, next) = self.query.core.noting(ReadKind::Join, joined.table, |others| {
            self.query.page_of(size, Some(joined), |reading, table, select, row| {
                pair((reading, table), (others, joined.table), select, row)
            })
        })?;
        Ok(JoinedPage { records, next })
    }

    /// The other records. They can be another tenant's that this session reads: a member's record refers to
    /// the organization's, whose log tells then what an administrator looks at, too.
    fn joined(&self, table: &Table) -> Result<statement::Joined<'_>> {
        let column = table
            .definition
            .position(self.column)
            .ok_or_else(|| crate::entity::unknown_column(&table.definition, self.column))?;
        let core = self.query.core;
        let other = core.store.table_of::<P>()?;
        let tenancy = other.definition.tenancy();
        if tenancy != table.definition.tenancy() {
            core.account(Operation::List.as_str(), Some(tenancy), Some((other.entity(), other.version)))?;
        }
        Ok(statement::Joined { table: other, column })
    }
}

fn pair<E: Entity, P: Entity>(
    (reading, table): (&mut Reading, &Table),
    (others, other): (&mut Reading, &Table),
    select: &Select<'_>,
    row: &rusqlite::Row<'_>,
) -> Result<Pair<E, P>> {
    let first = select.joined_column();
    let missing = Raw::new(row.get_ref(first)?).is_none();
    let other = if missing { None } else { Some(others.decode(other, row, first)?) };
    Ok((reading.decode(table, row, 0)?, other))
}

impl<S, E, P> fmt::Debug for Joined<'_, S, E, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Joined")
            .field("query", &self.query)
            .field("column", &self.column)
            .finish_non_exhaustive()
    }
}
