//! The derive macros of [`tenantry`](https://docs.rs/tenantry), which re-exports them.
//!
//! - [`Entity`](derive@Entity): a struct whose values are records of the store.
//! - [`Choice`](derive@Choice): an enum that stands in one column, as text.
//!
//! Inside: `parse` makes a model of the syntax and collects everything that is wrong with it;
//! `expand` turns a model into code.

mod expand;
mod parse;
#[cfg(test)]
mod tests;

use proc_macro::TokenStream;
use syn::DeriveInput;

/// Makes a struct with named fields an entity, and adds a constant for each of its columns:
/// `Task::TITLE` for the field `title`, as visible as the struct.
///
/// ```
/// use tenantry::{Choice, Entity, Id, Tenancy, Timestamp};
///
/// #[derive(Debug, Clone, PartialEq, Entity)]
/// #[entity(tenancy = organization, author, unique(number), index(status, due desc))]
/// struct Ticket {
///     number: i64,
///     #[entity(default = "open")]
///     status: Status,
///     due: Option<Timestamp>,
///     tags: Vec<String>,
///     #[entity(on_delete = cascade)]
///     parent: Option<Id<Ticket>>,
/// }
///
/// #[derive(Debug, Clone, PartialEq, Choice)]
/// enum Status {
///     Open,
///     Done,
/// }
///
/// assert_eq!(Ticket::definition().name(), "ticket");
/// assert_eq!(Ticket::definition().tenancy(), Tenancy::Organization);
/// let late = Ticket::STATUS.eq(Status::Open).and(Ticket::DUE.lt(Timestamp::now()));
/// ```
///
/// # Attributes of the struct
///
/// | `#[entity(…)]` | |
/// | --- | --- |
/// | `name = "task"` | The entity's name; otherwise the struct's, in snake case. |
/// | `tenancy = user` | Who owns the rows: `user` (if left out), `organization`, `member` or `reference`. |
/// | `author` | Records who inserts each record; with `tenancy = organization`. |
/// | `audit_reads` | Records who reads the records: `session.audit().reads()`. |
/// | `unique(slug)` | Fields that are unique together within a tenant. |
/// | `index(status, due desc)` | An index over these fields, in this order, behind the tenant. |
/// | `crate = "path"` | Where to find `tenantry`, if not at `::tenantry`. |
///
/// # Attributes of a field
///
/// | `#[entity(…)]` | |
/// | --- | --- |
/// | `column = "name"` | The column's name; otherwise the field's. |
/// | `default = false` | What a dynamic insert that leaves the column out stores: a boolean, number or string. |
/// | `secret` | Keeps the values out of the audit log, errors, traces, cursors and the `Debug` of records. The struct's own `Debug`, if it has one, is yours. |
/// | `nested` | Stores any serde type as MessagePack. |
/// | `on_delete = cascade` | For `Id<Other>`: what the other record's deletion does to this one. `restrict` (if left out), `cascade` or `set_null`. |
/// | `skip` | Never stores the field; reading it makes its `Default`. |
///
/// A field is `nested` by itself if its type is written as a tuple, an array, `Box<[T]>`,
/// `Vec<T>` (but not `Vec<u8>`, which is bytes), `VecDeque`, `HashMap`, `BTreeMap`, `HashSet` or
/// `BTreeSet`, in an `Option` or not. Every other type is a `Field`.
#[proc_macro_derive(Entity, attributes(entity))]
pub fn entity(input: TokenStream) -> TokenStream {
    let input = syn::parse_macro_input!(input as DeriveInput);
    expanded(parse::Entity::parse(input).map(|entity| expand::entity(&entity)))
}

/// Makes an enum of plain variants a type of column, stored as text, and adds
/// `const fn as_str(&self) -> &'static str`, as visible as the enum, which gives that text.
///
/// ```
/// use tenantry::Choice;
///
/// #[derive(Choice)]
/// #[choice(rename_all = "kebab-case")]
/// enum Status {
///     InProgress,
///     #[choice(rename = "finished")]
///     Done,
/// }
///
/// assert_eq!(Status::InProgress.as_str(), "in-progress");
/// assert_eq!(Status::Done.as_str(), "finished");
/// ```
///
/// # Attributes
///
/// | `#[choice(…)]` | |
/// | --- | --- |
/// | `rename_all = "kebab-case"` | On the enum: how variants become text: `snake_case` (if left out), `lowercase`, `kebab-case`, `PascalCase` or `SCREAMING_SNAKE_CASE`. |
/// | `crate = "path"` | On the enum: where to find `tenantry`, if not at `::tenantry`. |
/// | `rename = "text"` | On a variant: its text. |
#[proc_macro_derive(Choice, attributes(choice))]
pub fn choice(input: TokenStream) -> TokenStream {
    let input = syn::parse_macro_input!(input as DeriveInput);
    expanded(parse::Choice::parse(input).map(|choice| expand::choice(&choice)))
}

fn expanded(result: syn::Result<proc_macro2::TokenStream>) -> TokenStream {
    result.unwrap_or_else(syn::Error::into_compile_error).into()
}
