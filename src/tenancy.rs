//! Marker types: whose rows an entity holds, and what a session reaches.
//!
//! | tenancy | owner of a row | who reaches it |
//! |---|---|---|
//! | [`User`] | one user | that user's [`TenantSession`](crate::TenantSession) |
//! | [`Organization`] | one organization | its members' [`OrganizationSession`](crate::OrganizationSession)s |
//! | [`Member`] | one user within one organization | that user's session in that organization |
//! | [`Reference`] | nobody | every session reads; [`Store::reference`](crate::Store::reference) writes |

use crate::entity::Tenancy;

/// The tenancy of an entity, as a type.
pub trait Marker: sealed::Sealed + 'static {
    #[doc(hidden)]
    const TENANCY: Tenancy;
}

/// What a session reaches, as a type.
pub trait Scope: sealed::Sealed + Send + Sync + 'static {}

/// A session of this scope can read entities of the tenancy `T`.
#[diagnostic::on_unimplemented(
    message = "this session does not reach entities of tenancy `{T}`",
    note = "`store.session(&user)` reaches `user` entities; `session.in_organization(&organization)` gives a session for `organization` and `member` entities; all of them read `reference` entities"
)]
pub trait Reads<T>: Scope {}

/// A session of this scope can write entities of the tenancy `T`.
#[diagnostic::on_unimplemented(
    message = "this session can not write entities of tenancy `{T}`",
    note = "`store.session(&user)` writes `user` entities; `session.in_organization(&organization)` gives a session for `organization` and `member` entities; `store.reference()` writes `reference` entities"
)]
pub trait Writes<T>: Reads<T> {}

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

impl Scope for User {}
impl Scope for Organization {}
impl Scope for Reference {}

macro_rules! reaches {
    ($($scope:ident writes $($tenancy:ident),*;)*) => {$($(
        impl Reads<$tenancy> for $scope {}
        impl Writes<$tenancy> for $scope {}
    )*)*};
}
reaches! {
    User writes User;
    Organization writes Organization, Member;
    Reference writes Reference;
}
impl Reads<Reference> for User {}
impl Reads<Reference> for Organization {}

mod sealed {
    pub trait Sealed {}
}
