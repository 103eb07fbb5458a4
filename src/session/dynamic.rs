//! The same verbs with dynamic values.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use jiff::Timestamp;

use super::verbs::{self, Upserted};
use super::{Core, Query};
use crate::commit::Content;
use crate::entity::{Definition, Fields, Id, Record, Target};
use crate::error::{Error, Result};
use crate::statement::Table;
use crate::tenancy;

/// One entity by name, with values as [`Fields`]. Made by [`Verbs::dynamic`](crate::Verbs::dynamic).
///
/// The verbs are those of [`Verbs`](crate::Verbs), with the same errors; what the types check
/// there is checked here when a verb runs.
///
/// ```
/// use tenantry::{ColumnDefinition, ColumnKind, Definition, Fields, Store, Tenancy, UserId, column};
/// # fn main() -> tenantry::Result<()> {
/// let note = Definition::new("note", Tenancy::User)
///     .column(ColumnDefinition::new("text", ColumnKind::Text))
///     .column(ColumnDefinition::new("stars", ColumnKind::Integer).default(0_i64));
/// let store = Store::builder().definition(note).temporary()?;
/// let session = store.session(&store.users().create(&UserId::new("ada")?)?)?;
///
/// let notes = session.dynamic("note")?;
/// let id = notes.insert(Fields::new().with("text", "Buy seeds"))?;
/// notes.patch(id, Fields::new().with("stars", 5_i64))?;
/// assert_eq!(notes.query().filter(column("stars").ge(3_i64)).count()?, 1);
/// # Ok(()) }
/// ```
pub struct Dynamic<'s, S> {
    core: &'s Core<'s>,
    table: &'s Arc<Table>,
    scope: PhantomData<fn() -> S>,
}

impl<S> Clone for Dynamic<'_, S> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<S> Copy for Dynamic<'_, S> {}

impl<S> fmt::Debug for Dynamic<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Dynamic").field(&self.table.entity()).finish()
    }
}

#[allow(clippy::missing_errors_doc)] // the type's own documentation says where they stand
impl<'s, S: tenancy::Scope> Dynamic<'s, S> {
    pub(super) fn new(core: &'s Core<'s>, table: &'s Arc<Table>) -> Self {
        Self { core, table, scope: PhantomData }
    }

    /// The entity's definition.
    #[must_use]
    pub fn definition(&self) -> &'s Definition {
        &self.table.definition
    }

    /// Inserts a record; columns that are not set get their default or no value.
    pub fn insert(&self, fields: Fields) -> Result<Id<Fields>> {
        self.insert_created(fields, None)
    }

    /// Inserts a record that was made at another time.
    pub fn insert_at(&self, fields: Fields, created: Timestamp) -> Result<Id<Fields>> {
        self.insert_created(fields, Some(created))
    }

    fn insert_created(&self, fields: Fields, created: Option<Timestamp>) -> Result<Id<Fields>> {
        let values = fields.into_values(&self.table.definition)?;
        verbs::insert(self.core, self.table, values, created)
    }

    /// Inserts records in one transaction; their ids, in order. All or none.
    pub fn insert_many(&self, records: impl IntoIterator<Item = Fields>) -> Result<Vec<Id<Fields>>> {
        let rows = records
            .into_iter()
            .map(|fields| fields.into_values(&self.table.definition))
            .collect::<Result<Vec<_>>>()?;
        verbs::insert_many(self.core, self.table, rows)
    }

    /// The record of an id, or [`Error::NotFound`].
    pub fn get(&self, id: Id<Fields>) -> Result<Record<Fields>> {
        self.find(id)?.ok_or_else(|| Error::NotFound { entity: self.table.entity().to_owned() })
    }

    /// The record of an id, or `None`.
    pub fn find(&self, id: Id<Fields>) -> Result<Option<Record<Fields>>> {
        verbs::find(self.core, self.table, id)
    }

    /// The records of several ids, in the order asked for.
    pub fn get_many(&self, ids: &[Id<Fields>]) -> Result<Vec<Option<Record<Fields>>>> {
        verbs::get_many(self.core, self.table, ids)
    }

    /// Gives a record a new value; columns that are not set get their default or no value.
    pub fn update(&self, target: impl Into<Target<Fields>>, fields: Fields) -> Result<u64> {
        let content = Content::Whole(fields.into_values(&self.table.definition)?);
        verbs::change(self.core, self.table, target.into(), content)
    }

    /// Gives the columns that are set new values.
    pub fn patch(&self, target: impl Into<Target<Fields>>, fields: Fields) -> Result<u64> {
        let content = Content::Columns(fields.into_changes(&self.table.definition)?);
        verbs::change(self.core, self.table, target.into(), content)
    }

    /// Updates the record of this id, or inserts it under the id, which must be a UUIDv7.
    pub fn upsert(&self, id: Id<Fields>, fields: Fields) -> Result<Upserted<Fields>> {
        let values = fields.into_values(&self.table.definition)?;
        verbs::upsert(self.core, self.table, id, values)
    }

    /// Updates the record with the same values in columns declared unique, or inserts one.
    pub fn upsert_on(&self, columns: &[&str], fields: Fields) -> Result<Upserted<Fields>> {
        let values = fields.into_values(&self.table.definition)?;
        verbs::upsert_on(self.core, self.table, columns, values)
    }

    /// Deletes a record.
    pub fn delete(&self, target: impl Into<Target<Fields>>) -> Result<()> {
        verbs::delete(self.core, self.table, target.into())
    }

    /// Whether this tenant has a record of this id.
    pub fn exists(&self, id: Id<Fields>) -> Result<bool> {
        verbs::exists(self.core, self.table, id.uuid())
    }

    /// How many records this tenant has: one lookup, at any size.
    pub fn count(&self) -> Result<u64> {
        self.query().count()
    }

    /// All records that this tenant has, oldest first.
    pub fn list(&self) -> Result<Vec<Record<Fields>>> {
        self.query().list()
    }

    /// A query of this tenant's records.
    pub fn query(&self) -> Query<'s, S, Fields> {
        Query::new(self.core, Ok(self.table))
    }
}
