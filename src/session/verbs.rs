//! The verbs on typed entities.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use jiff::Timestamp;
use uuid::Uuid;

use super::{Core, Dynamic, Query};
use crate::audit::ReadKind;
use crate::cache::{self, Lookup};
use crate::commit::{self, Content, Upsert, unique_set};
use crate::entity::{Cells, Encoder, Entity, Id, Record, Target, Value};
use crate::error::{Error, Result};
use crate::monitor::{Operation, noted};
use crate::query::{Filter, Patch, Spec};
use crate::statement::{self, Table};
use crate::tenancy::{self, ReadIn, WrittenIn};

/// Everything that sessions and transactions can do with records: [`Session`](crate::Session) and
/// [`Transaction`](crate::Transaction) dereference to it.
///
/// Verbs on one record take its [`Id`], or the id and the version that it must have:
/// `id.at(version)`, or `&record`. Verbs on many end a [`query`](Self::query).
///
/// # Errors
///
/// Every verb can meet these, and the ones that it names itself:
///
/// - [`Error::Disabled`] or [`Error::NotMember`] once the session has ended; [`Error::Expired`] once its token has;
/// - [`Error::Busy`] when no connection comes free in time;
/// - [`Error::ReadOnly`], [`Error::Full`], [`Error::Io`], [`Error::Corrupt`], [`Error::Closed`];
/// - [`Error::Schema`] if the entity is not registered with the store.
pub struct Verbs<'x, S> {
    pub(super) core: Core<'x>,
    scope: PhantomData<fn() -> S>,
}

impl<S> fmt::Debug for Verbs<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Verbs").field(&self.core.scope).finish()
    }
}

/// What [`upsert`](Verbs::upsert) did.
pub enum Upserted<M> {
    /// There was no such record; this is the new one.
    Inserted(Id<M>),
    /// The record of this id was updated.
    Updated(Id<M>),
}

// Written out, since a derive would ask the same of `M`.
impl<M> Clone for Upserted<M> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<M> Copy for Upserted<M> {}
impl<M> PartialEq for Upserted<M> {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Upserted::Inserted(a), Upserted::Inserted(b)) | (Upserted::Updated(a), Upserted::Updated(b)) => {
                a == b
            }
            _ => false,
        }
    }
}
impl<M> Eq for Upserted<M> {}
impl<M> fmt::Debug for Upserted<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Upserted::Inserted(id) => f.debug_tuple("Inserted").field(id).finish(),
            Upserted::Updated(id) => f.debug_tuple("Updated").field(id).finish(),
        }
    }
}

impl<M> Upserted<M> {
    pub(super) fn new(upsert: Upsert) -> Self {
        match upsert {
            Upsert::Inserted(id) => Upserted::Inserted(Id::from_uuid(id)),
            Upsert::Updated(id) => Upserted::Updated(Id::from_uuid(id)),
        }
    }

    /// The record's id.
    #[must_use]
    pub fn id(self) -> Id<M> {
        match self {
            Upserted::Inserted(id) | Upserted::Updated(id) => id,
        }
    }
}

impl<'x, S: tenancy::Scope> Verbs<'x, S> {
    pub(super) fn new(core: Core<'x>) -> Self {
        Self { core, scope: PhantomData }
    }

    /// An entity that was defined at run time, or any other, by name and with dynamic values.
    ///
    /// # Errors
    ///
    /// [`Error::Schema`] if the store has no such entity; [`Error::AccessDenied`] if the session
    /// does not reach it.
    pub fn dynamic(&self, entity: &str) -> Result<Dynamic<'_, S>> {
        let table = self.core.store.catalog().get(entity)?;
        self.core.scope.reads(table.definition.tenancy())?;
        Ok(Dynamic::new(&self.core, table))
    }

    fn table<E: Entity>(&self) -> Result<&Arc<Table>> {
        self.core.store.table_of::<E>()
    }

    /// Inserts a record; its id.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidInput`], [`Error::Unique`], [`Error::Reference`],
    /// [`Error::LimitExceeded`] if the record is too large, [`Error::QuotaExceeded`].
    pub fn insert<E: Entity>(&self, value: &E) -> Result<Id<E>>
    where
        E::Tenancy: WrittenIn<S>,
    {
        self.insert_created(value, None)
    }

    /// Inserts a record that was made at another time, as an import does: its id holds that time.
    ///
    /// # Errors
    ///
    /// As [`insert`](Self::insert).
    pub fn insert_at<E: Entity>(&self, value: &E, created: Timestamp) -> Result<Id<E>>
    where
        E::Tenancy: WrittenIn<S>,
    {
        self.insert_created(value, Some(created))
    }

    fn insert_created<E: Entity>(&self, value: &E, created: Option<Timestamp>) -> Result<Id<E>> {
        let table = self.table::<E>()?;
        let values = encode(table, value)?;
        insert(&self.core, table, values, created)
    }

    /// Inserts records in one transaction; their ids, in order. All or none.
    ///
    /// # Errors
    ///
    /// As [`insert`](Self::insert).
    pub fn insert_many<'e, E: Entity>(&self, values: impl IntoIterator<Item = &'e E>) -> Result<Vec<Id<E>>>
    where
        E::Tenancy: WrittenIn<S>,
    {
        let table = self.table::<E>()?;
        let rows = values.into_iter().map(|value| encode(table, value)).collect::<Result<Vec<_>>>()?;
        insert_many(&self.core, table, rows)
    }

    /// The record of an id.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] if this tenant has no such record.
    pub fn get<E: Entity>(&self, id: Id<E>) -> Result<Record<E>>
    where
        E::Tenancy: ReadIn<S>,
    {
        self.find(id)?.ok_or_else(|| Error::NotFound { entity: E::ENTITY_NAME.to_owned() })
    }

    /// The record of an id, or `None` if this tenant has no such record.
    ///
    /// # Errors
    ///
    /// What every verb can meet.
    pub fn find<E: Entity>(&self, id: Id<E>) -> Result<Option<Record<E>>>
    where
        E::Tenancy: ReadIn<S>,
    {
        let table = self.table::<E>()?;
        find(&self.core, table, id)
    }

    /// The records of several ids, in the order asked for; `None` where this tenant has none.
    ///
    /// # Errors
    ///
    /// What every verb can meet.
    pub fn get_many<E: Entity>(&self, ids: &[Id<E>]) -> Result<Vec<Option<Record<E>>>>
    where
        E::Tenancy: ReadIn<S>,
    {
        let table = self.table::<E>()?;
        get_many(&self.core, table, ids)
    }

    /// Gives a record a new value; its new version.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`]; [`Error::Conflict`] if it does not have the version that the target
    /// names; and what [`insert`](Self::insert) can meet.
    pub fn update<E: Entity>(&self, target: impl Into<Target<E>>, value: &E) -> Result<u64>
    where
        E::Tenancy: WrittenIn<S>,
    {
        let table = self.table::<E>()?;
        let content = Content::Whole(encode(table, value)?);
        change(&self.core, table, target.into(), content)
    }

    /// Gives some columns of a record new values; its new version.
    ///
    /// # Errors
    ///
    /// As [`update`](Self::update).
    pub fn patch<E: Entity>(&self, target: impl Into<Target<E>>, patch: Patch<E>) -> Result<u64>
    where
        E::Tenancy: WrittenIn<S>,
    {
        let table = self.table::<E>()?;
        let content = Content::Columns(patch.into_changes(&table.definition)?);
        change(&self.core, table, target.into(), content)
    }

    /// Updates the record of this id, or inserts it under the id, which must be a UUIDv7.
    ///
    /// # Errors
    ///
    /// As [`insert`](Self::insert).
    pub fn upsert<E: Entity>(&self, id: Id<E>, value: &E) -> Result<Upserted<E>>
    where
        E::Tenancy: WrittenIn<S>,
    {
        let table = self.table::<E>()?;
        let values = encode(table, value)?;
        upsert(&self.core, table, id, values)
    }

    /// Updates the record with the same values in these columns, or inserts one. The columns are
    /// those of a declared `unique(..)`.
    ///
    /// # Errors
    ///
    /// As [`insert`](Self::insert); [`Error::InvalidInput`] if the columns are not declared unique.
    ///
    /// ```
    /// # use tenantry::{Entity, Store, UserId, Upserted};
    /// # #[derive(Entity)] #[entity(unique(url))] struct Bookmark { url: String, read: bool }
    /// # fn main() -> tenantry::Result<()> {
    /// # let store = Store::builder().entity::<Bookmark>().temporary()?;
    /// # let session = store.session(&store.users().create(&UserId::new("ada")?)?)?;
    /// let first = session.upsert_on(&["url"], &Bookmark { url: "a.example".into(), read: false })?;
    /// let again = session.upsert_on(&["url"], &Bookmark { url: "a.example".into(), read: true })?;
    /// assert_eq!(again, Upserted::Updated(first.id()));
    /// # Ok(()) }
    /// ```
    pub fn upsert_on<E: Entity>(&self, columns: &[&str], value: &E) -> Result<Upserted<E>>
    where
        E::Tenancy: WrittenIn<S>,
    {
        let table = self.table::<E>()?;
        let values = encode(table, value)?;
        upsert_on(&self.core, table, columns, values)
    }

    /// Deletes a record, and what references with `on_delete` say of the records that refer to it.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`]; [`Error::Conflict`] if it does not have the version that the target
    /// names; [`Error::Reference`] if a record with a restricting reference still refers to it.
    pub fn delete<E: Entity>(&self, target: impl Into<Target<E>>) -> Result<()>
    where
        E::Tenancy: WrittenIn<S>,
    {
        let table = self.table::<E>()?;
        delete(&self.core, table, target.into())
    }

    /// Whether this tenant has a record of this id.
    ///
    /// # Errors
    ///
    /// What every verb can meet.
    pub fn exists<E: Entity>(&self, id: Id<E>) -> Result<bool>
    where
        E::Tenancy: ReadIn<S>,
    {
        let table = self.table::<E>()?;
        exists(&self.core, table, id.uuid())
    }

    /// How many records of an entity this tenant has: one lookup, at any size.
    ///
    /// # Errors
    ///
    /// What every verb can meet.
    pub fn count<E: Entity>(&self) -> Result<u64>
    where
        E::Tenancy: ReadIn<S>,
    {
        self.query::<E>().count()
    }

    /// All records of an entity that this tenant has, oldest first.
    ///
    /// # Errors
    ///
    /// What every verb can meet.
    pub fn list<E: Entity>(&self) -> Result<Vec<Record<E>>>
    where
        E::Tenancy: ReadIn<S>,
    {
        self.query::<E>().list()
    }

    /// A query of this tenant's records of an entity.
    pub fn query<E: Entity>(&self) -> Query<'_, S, E>
    where
        E::Tenancy: ReadIn<S>,
    {
        Query::new(&self.core, self.table::<E>())
    }

    /// Gives some columns of every matching record new values; how many there were.
    ///
    /// # Errors
    ///
    /// As [`patch`](Self::patch).
    pub fn update_where<E: Entity>(&self, filter: Filter<E>, patch: Patch<E>) -> Result<u64>
    where
        E::Tenancy: WrittenIn<S>,
    {
        self.query::<E>().filter(filter).patch(patch)
    }

    /// Deletes every matching record; how many there were.
    ///
    /// # Errors
    ///
    /// As [`delete`](Self::delete).
    pub fn delete_where<E: Entity>(&self, filter: Filter<E>) -> Result<u64>
    where
        E::Tenancy: WrittenIn<S>,
    {
        self.query::<E>().filter(filter).delete()
    }
}

fn encode<E: Entity>(table: &Table, value: &E) -> Result<Vec<Value>> {
    Encoder::encode(value, table.definition.columns().len())
}

pub(super) fn insert<M>(
    core: &Core<'_>,
    table: &Arc<Table>,
    values: Vec<Value>,
    created: Option<Timestamp>,
) -> Result<Id<M>> {
    let entity = Arc::clone(table);
    core.observe(Operation::Insert, table, || {
        core.write(move |changes| changes.insert(&entity, values, created)).map(Id::from_uuid)
    })
}

pub(super) fn insert_many<M: 'static>(
    core: &Core<'_>,
    table: &Arc<Table>,
    rows: Vec<Vec<Value>>,
) -> Result<Vec<Id<M>>> {
    let entity = Arc::clone(table);
    core.observe(Operation::Insert, table, || {
        core.write(move |changes| {
            rows.into_iter().map(|values| changes.insert(&entity, values, None).map(Id::from_uuid)).collect()
        })
    })
}

pub(super) fn find<M: crate::Model>(core: &Core<'_>, table: &Table, id: Id<M>) -> Result<Option<Record<M>>> {
    core.observe_read(Operation::Get, ReadKind::Get, table, |reading| {
        let reach = core.scope.reads(table.definition.tenancy())?;
        let mut ticket = None;
        if let Some(cache) = core.cache(table) {
            core.check()?;
            match cache.look(reach.tenant, table.key, id.uuid()) {
                Lookup::Hit(row) => {
                    noted::cached(true);
                    return reading.decode_cells(table, Cells::Kept(&row), 0).map(Some);
                }
                Lookup::Miss(given) => {
                    noted::cached(false);
                    ticket = Some((cache, given));
                }
                Lookup::Unknown => {}
            }
        }
        let statement = statement::get(table, reach, id.uuid())?;
        let mut read = None;
        let found = core.read(reading, |connection, reading| {
            statement.first(connection, |row| {
                if ticket.is_some() {
                    read = Some(cache::keep(row)?);
                }
                reading.decode(table, row, 0)
            })
        })?;
        if let (Some((cache, ticket)), Some(row)) = (ticket, read) {
            cache.fill(ticket, row);
        }
        if found.is_none() {
            core.missed(table, id.uuid());
        }
        Ok(found)
    })
}

pub(super) fn exists(core: &Core<'_>, table: &Table, id: Uuid) -> Result<bool> {
    core.observe_read(Operation::Get, ReadKind::Get, table, |reading| {
        let reach = core.scope.reads(table.definition.tenancy())?;
        let statement = statement::exists(table, reach.tenant, id);
        let found = core.read(reading, |connection, _| statement.first(connection, |_| Ok(())))?;
        if found.is_none() {
            core.missed(table, id);
        } else {
            reading.found(id);
        }
        Ok(found.is_some())
    })
}

pub(super) fn get_many<M: crate::Model>(
    core: &Core<'_>,
    table: &Table,
    ids: &[Id<M>],
) -> Result<Vec<Option<Record<M>>>> {
    core.observe_read(Operation::Get, ReadKind::Get, table, |reading| {
        let reach = core.scope.reads(table.definition.tenancy())?;
        // One snapshot, so that all records are of one moment.
        let source = core.source()?;
        let found: Vec<Option<Record<M>>> = ids
            .iter()
            .map(|id| {
                source.read(reading, |connection, reading| {
                    statement::get(table, reach, id.uuid())?
                        .first(connection, |row| reading.decode(table, row, 0))
                })
            })
            .collect::<Result<_>>()?;
        drop(source);
        for (id, record) in ids.iter().zip(&found) {
            if record.is_none() {
                core.missed(table, id.uuid());
            }
        }
        Ok(found)
    })
}

pub(super) fn change<M>(
    core: &Core<'_>,
    table: &Arc<Table>,
    target: Target<M>,
    content: Content,
) -> Result<u64> {
    let (id, expected, entity) = (target.id.uuid(), target.expected, Arc::clone(table));
    core.observe(Operation::Update, table, || {
        core.write(move |changes| changes.update(&entity, id, expected, content))
            .map_err(|error| note(core, table, id, error))
    })
}

pub(super) fn delete<M>(core: &Core<'_>, table: &Arc<Table>, target: Target<M>) -> Result<()> {
    let (id, expected, entity) = (target.id.uuid(), target.expected, Arc::clone(table));
    core.observe(Operation::Delete, table, || {
        core.write(move |changes| changes.delete(&entity, id, expected))
            .map_err(|error| note(core, table, id, error))
    })
}

pub(super) fn upsert<M>(
    core: &Core<'_>,
    table: &Arc<Table>,
    id: Id<M>,
    values: Vec<Value>,
) -> Result<Upserted<M>> {
    let (id, entity) = (id.uuid(), Arc::clone(table));
    core.observe(Operation::Upsert, table, || {
        core.write(move |changes| changes.upsert(&entity, id, values)).map(Upserted::new)
    })
}

pub(super) fn upsert_on<M>(
    core: &Core<'_>,
    table: &Arc<Table>,
    columns: &[&str],
    values: Vec<Value>,
) -> Result<Upserted<M>> {
    let entity = Arc::clone(table);
    core.observe(Operation::Upsert, table, || {
        let columns = unique_set(&entity.definition, columns)?;
        core.write(move |changes| changes.upsert_on(&entity, &columns, values)).map(Upserted::new)
    })
}

fn note(core: &Core<'_>, table: &Table, id: Uuid, error: Error) -> Error {
    match error {
        Error::NotFound { .. } => core.missed(table, id),
        other => other,
    }
}

/// Unfiltered counts are kept with every change: in memory within a transaction, else in the file.
pub(super) fn count(core: &Core<'_>, table: &Table, spec: &Spec) -> Result<u64> {
    core.observe_read(Operation::Count, ReadKind::Count, table, |reading| {
        let reach = core.scope.reads(table.definition.tenancy())?;
        if spec.filter.is_none() {
            return core.count(reading, reach.tenant, table.key);
        }
        let statement = core.select(table, reach, spec, None).count()?;
        let count: Option<i64> =
            core.read(reading, |connection, _| statement.first(connection, |row| Ok(row.get(0)?)))?;
        commit::unsigned_count(count)
    })
}
