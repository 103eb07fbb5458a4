//! Marker types: whose rows an entity holds, and what a session reaches.
//!
//! | tenancy | owner of a row | who reaches it |
//! |---|---|---|
//! | [`User`] | one user | that user's [`TenantSession`](crate::TenantSession) |
//! | [`Organization`] | one organization | its members' [`OrganizationSession`](crate::OrganizationSession)s |
//! | [`Member`] | one user within one organization | that user's session in that organization |
//! | [`Reference`] | nobody | every session reads; [`Store::reference`](crate::Store::reference) writes |
//!
//! # What does not compile
//!
//! An organization's entity, reached from a user's own session:
//!
//! ```compile_fail,E0277
//! # use tenantry::{Entity, TenantSession};
//! #[derive(Entity)]
//! #[entity(tenancy = organization)]
//! struct Ticket { title: String }
//! fn count(session: &TenantSession) -> tenantry::Result<u64> {
//!     session.count::<Ticket>()
//! }
//! ```
//!
//! A user's entity, reached from within an organization:
//!
//! ```compile_fail,E0277
//! # use tenantry::{Entity, OrganizationSession};
//! #[derive(Entity)]
//! struct Diary { text: String }
//! fn count(session: &OrganizationSession) -> tenantry::Result<u64> {
//!     session.count::<Diary>()
//! }
//! ```
//!
//! A reference entity, written by anybody's session:
//!
//! ```compile_fail,E0277
//! # use tenantry::{Entity, TenantSession};
//! #[derive(Entity)]
//! #[entity(tenancy = reference)]
//! struct Currency { code: String }
//! fn add(session: &TenantSession) -> tenantry::Result<tenantry::Id<Currency>> {
//!     session.insert(&Currency { code: "EUR".into() })
//! }
//! ```
//!
//! A session from a bare string, SQL text as a filter, a filter on another entity's column:
//!
//! ```compile_fail,E0277
//! fn open(store: &tenantry::Store) -> tenantry::Result<tenantry::TenantSession> {
//!     store.session(&String::from("ada"))
//! }
//! ```
//!
//! ```compile_fail,E0308
//! # use tenantry::{Entity, TenantSession};
//! # #[derive(Entity)] struct Task { title: String }
//! fn count(session: &TenantSession) -> tenantry::Result<u64> {
//!     session.query::<Task>().filter("1 = 1 OR title = 'x'").count()
//! }
//! ```
//!
//! ```compile_fail,E0308
//! # use tenantry::{Entity, TenantSession};
//! # #[derive(Entity)] struct Task { title: String }
//! # #[derive(Entity)] struct Project { name: String }
//! fn count(session: &TenantSession) -> tenantry::Result<u64> {
//!     session.query::<Task>().filter(Project::NAME.eq("garden")).count()
//! }
//! ```
//!
//! A member's private record, written by an organization's admin who may read it:
//!
//! ```compile_fail,E0277
//! # use tenantry::{Entity, MemberRecords};
//! #[derive(Entity)]
//! #[entity(tenancy = member)]
//! struct Note { text: String }
//! fn add(records: &MemberRecords) -> tenantry::Result<tenantry::Id<Note>> {
//!     records.insert(&Note { text: "not mine".into() })
//! }
//! ```
//!
//! A session of a store admin that nobody granted:
//!
//! ```compile_fail
//! fn admin(store: &tenantry::Store) -> tenantry::AdminSession {
//!     tenantry::AdminSession::new(store)
//! }
//! ```
//!
//! ```compile_fail,E0451
//! fn admin(granted: tenantry::AdminSession) -> tenantry::AdminSession {
//!     tenantry::AdminSession { admin: tenantry::UserId::new("ada").unwrap(), ..granted }
//! }
//! ```
//!
//! A transaction's handle that outlives its closure:
//!
//! ```compile_fail
//! # use tenantry::{Entity, TenantSession};
//! fn keep(session: &TenantSession) -> tenantry::Result<()> {
//!     let kept = session.transaction(|tx| Ok(tx))?;
//!     drop(kept);
//!     Ok(())
//! }
//! ```

use crate::entity::Tenancy;

/// The tenancy of an entity, as a type.
pub trait Marker: sealed::Sealed + 'static {
    #[doc(hidden)]
    const TENANCY: Tenancy;
}

/// What a session reaches, as a type.
pub trait Scope: sealed::Sealed + Send + Sync + 'static {}

/// Entities of this tenancy can be read in a session of the scope `S`.
#[diagnostic::on_unimplemented(
    message = "this session does not reach entities of tenancy `{Self}`",
    label = "a session of scope `{S}` does not reach tenancy `{Self}`",
    note = "`store.session(&user)` reaches `user` entities; `session.in_organization(&organization)` gives a session for `organization` and `member` entities; all of them read `reference` entities"
)]
pub trait ReadIn<S>: Marker {}

/// Entities of this tenancy can be written in a session of the scope `S`.
#[diagnostic::on_unimplemented(
    message = "this session can not write entities of tenancy `{Self}`",
    label = "a session of scope `{S}` does not write tenancy `{Self}`",
    note = "`store.session(&user)` writes `user` entities; `session.in_organization(&organization)` gives a session for `organization` and `member` entities; `store.reference()` writes `reference` entities"
)]
pub trait WrittenIn<S>: ReadIn<S> {}

macro_rules! markers {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub struct $name;
        impl sealed::Sealed for $name {}
        impl Marker for $name {
            const TENANCY: Tenancy = Tenancy::$name;
        }
    )*};
}

markers! {
    /// Rows of one user; as a scope, a user's own session.
    User,
    /// Rows that an organization's members share; as a scope, a session within an organization.
    Organization,
    /// Rows of one user within one organization.
    Member,
    /// Rows of nobody, which every session reads; as a scope, the application itself writing them.
    Reference,
}

/// One member's private rows, as the scope of an organization's admin who reads them:
/// [`OrganizationAdmin::member_records`](crate::OrganizationAdmin::member_records). Nothing can be
/// written in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inspection;

impl sealed::Sealed for Inspection {}
impl Scope for Inspection {}
impl ReadIn<Inspection> for Member {}
impl ReadIn<Inspection> for Reference {}

impl Scope for User {}
impl Scope for Organization {}
impl Scope for Reference {}
impl<S: Scope> Scope for View<S> {}

/// What a session of the scope `S` reads, and nothing that it writes: the scope of
/// [`Session::read`](crate::Session::read).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct View<S>(std::marker::PhantomData<fn() -> S>);

impl<S> sealed::Sealed for View<S> {}
impl<S, T: ReadIn<S>> ReadIn<View<S>> for T {}

impl ReadIn<User> for User {}
impl ReadIn<User> for Reference {}
impl ReadIn<Organization> for Organization {}
impl ReadIn<Organization> for Member {}
impl ReadIn<Organization> for Reference {}
impl ReadIn<Reference> for Reference {}

impl WrittenIn<User> for User {}
impl WrittenIn<Organization> for Organization {}
impl WrittenIn<Organization> for Member {}
impl WrittenIn<Reference> for Reference {}

mod sealed {
    pub trait Sealed {}
}
