//! An open transaction.

use std::fmt;
use std::ops::Deref;

use super::{Executor, NESTED, Verbs};
use crate::error::Result;
use crate::tenancy;

/// An open transaction, handed to the closure of [`Session::transaction`](crate::Session::transaction).
/// Its verbs are those of [`Verbs`]; a verb that fails changes nothing, and the transaction goes on.
pub struct Transaction<'t, S: tenancy::Scope> {
    verbs: Verbs<'t, S>,
}

impl<'t, S: tenancy::Scope> Transaction<'t, S> {
    pub(super) fn new(verbs: Verbs<'t, S>) -> Self {
        Self { verbs }
    }

    /// A transaction within this one, as a savepoint: if the closure returns `Err`, its changes
    /// are undone and this transaction goes on.
    ///
    /// # Errors
    ///
    /// What the closure returns.
    ///
    /// ```
    /// # use tenantry::{Entity, Store, UserId, Error};
    /// # #[derive(Entity)] struct Task { title: String }
    /// # fn main() -> tenantry::Result<()> {
    /// # let store = Store::builder().entity::<Task>().temporary()?;
    /// # let session = store.session(&store.users().create(&UserId::new("ada")?)?)?;
    /// session.transaction(|tx| {
    ///     tx.insert(&Task { title: "Dig".into() })?;
    ///     let second = tx.transaction(|inner| {
    ///         inner.insert(&Task { title: "Rest".into() })?;
    ///         Err::<(), _>(Error::aborted("no rest"))
    ///     });
    ///     assert!(second.is_err());
    ///     Ok(())
    /// })?;
    /// assert_eq!(session.count::<Task>()?, 1);
    /// # Ok(()) }
    /// ```
    pub fn transaction<R>(&self, run: impl FnOnce(&Transaction<'_, S>) -> Result<R>) -> Result<R> {
        let Executor::Unit(unit) = self.verbs.core.executor else { return Err(NESTED) };
        let savepoint = unit.try_borrow_mut().map_err(|_| NESTED)?.savepoint()?;
        // If the closure panics, the whole transaction rolls back.
        match run(&Transaction::new(Verbs::new(self.verbs.core.clone()))) {
            Ok(result) => {
                unit.try_borrow_mut().map_err(|_| NESTED)?.release(savepoint)?;
                Ok(result)
            }
            Err(error) => {
                unit.try_borrow_mut().map_err(|_| NESTED)?.roll_back_to(savepoint)?;
                Err(error)
            }
        }
    }
}

impl<'t, S: tenancy::Scope> Deref for Transaction<'t, S> {
    type Target = Verbs<'t, S>;
    fn deref(&self) -> &Self::Target {
        &self.verbs
    }
}

impl<S: tenancy::Scope> fmt::Debug for Transaction<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Transaction").field(&self.verbs.core.scope).finish()
    }
}
