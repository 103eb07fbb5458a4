//! What a record is: its definition, its columns, its values.

mod definition;
mod field;
mod json;
mod record;
mod value;

pub use definition::{
    ColumnDefinition, ColumnKind, Definition, Direction, IndexDefinition, OnDelete, Tenancy,
};
pub(crate) use definition::{time_from_micros, truncate_to_micros};
pub(crate) use field::Cells;
pub use field::{AsNested, Column, Field, Refers};
pub use field::{Decoder, Encoder, Raw, column_of, reference_of};
pub(crate) use json::{hex, json_of};
pub use record::{Fields, Id, Record, Target};
pub(crate) use record::{time_of, unknown_column};
pub use value::{Nested, Value};
pub(crate) use value::{StoredUuid, UuidText};

use std::fmt;

use crate::error::Result;

/// A Rust struct whose values are records of the store. Derive it.
///
/// ```
/// use tenantry::{Entity, Id, Timestamp};
///
/// #[derive(Debug, Clone, PartialEq, Entity)]
/// struct Project {
///     name: String,
/// }
///
/// #[derive(Debug, Clone, PartialEq, Entity)]
/// #[entity(index(done, due desc))]
/// struct Task {
///     title: String,
///     done: bool,
///     due: Option<Timestamp>,
///     tags: Vec<String>,
///     #[entity(on_delete = cascade)]
///     project: Option<Id<Project>>,
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an entity",
    note = "derive `tenantry::Entity` for a struct with named fields"
)]
pub trait Entity: Sized + 'static {
    /// Who owns the rows: one of the markers in [`tenancy`](crate::tenancy).
    type Tenancy: crate::tenancy::Marker;
    /// The entity's name.
    const ENTITY_NAME: &'static str;
    /// What the store knows of the entity.
    fn definition() -> Definition;
    #[doc(hidden)]
    fn encode(&self, encoder: &mut Encoder) -> Result<()>;
    #[doc(hidden)]
    fn decode(decoder: &mut Decoder<'_, '_>) -> Result<Self>;
}

/// What a query can return: an [`Entity`], or [`Fields`] of a dynamic one.
pub trait Model: sealed::Sealed + Sized {
    /// The entity's name; that of a dynamic one no type says.
    #[doc(hidden)]
    const MODEL_NAME: Option<&'static str>;
    #[doc(hidden)]
    fn decode_row(definition: &Definition, decoder: Decoder<'_, '_>) -> Result<Self>;
    /// Writes what may be shown to anybody who reads a log.
    #[doc(hidden)]
    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result;
}

mod sealed {
    pub trait Sealed {}
    impl<E: super::Entity> Sealed for E {}
    impl Sealed for super::Fields {}
}

impl<E: Entity> Model for E {
    const MODEL_NAME: Option<&'static str> = Some(E::ENTITY_NAME);
    fn decode_row(_: &Definition, mut decoder: Decoder<'_, '_>) -> Result<Self> {
        E::decode(&mut decoder)
    }

    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let definition = E::definition();
        let values = Encoder::encode(self, definition.columns().len());
        let mut shown = f.debug_struct(E::ENTITY_NAME);
        for (column, value) in definition.columns().iter().zip(values.iter().flatten()) {
            match value {
                _ if column.is_secret() => shown.field(column.name(), &format_args!("(secret)")),
                value => shown.field(column.name(), value),
            };
        }
        shown.finish()
    }
}

impl Model for Fields {
    const MODEL_NAME: Option<&'static str> = None;
    fn decode_row(definition: &Definition, decoder: Decoder<'_, '_>) -> Result<Self> {
        Ok(Fields::from_values(definition, decoder.values(definition)?))
    }

    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}
