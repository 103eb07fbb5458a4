//! An open transaction.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;
use std::sync::Mutex;

use super::{Executor, NESTED, Verbs, borrow};
use crate::commit::{Savepoint, Unit};
use crate::error::Result;
use crate::tenancy;

/// An open transaction, handed to the closure of [`Session::transaction`](crate::Session::transaction).
/// Its verbs are those of [`Verbs`]; a verb that fails changes nothing, and the transaction goes on.
///
/// It stays on its thread: transactions within it are savepoints, which can only end in the
/// reverse of the order in which they began.
///
/// ```compile_fail,E0277
/// # use tenantry::{Store, UserId};
/// # fn main() -> tenantry::Result<()> {
/// # let store = Store::temporary()?;
/// # let session = store.session(&store.users().create(&UserId::new("ada")?)?)?;
/// session.transaction(|tx| {
///     std::thread::scope(|scope| scope.spawn(|| tx.transaction(|_| Ok(()))).join().unwrap())
/// })
/// # }
/// ```
pub struct Transaction<'t, S: tenancy::Scope> {
    verbs: Verbs<'t, S>,
    stays: PhantomData<*const ()>,
}

impl<'t, S: tenancy::Scope> Transaction<'t, S> {
    pub(super) fn new(verbs: Verbs<'t, S>) -> Self {
        Self { verbs, stays: PhantomData }
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
        let mut guard = Guard { unit, savepoint: Some(borrow(unit)?.savepoint()?) };
        let result = run(&Transaction::new(Verbs::new(self.verbs.core.clone())))?;
        if let Some(savepoint) = guard.savepoint.take() {
            borrow(unit)?.release(savepoint)?;
        }
        Ok(result)
    }
}

/// Takes a savepoint back unless it was released: also when a closure panics and somebody
/// catches the panic within the outer transaction.
struct Guard<'t> {
    unit: &'t Mutex<Unit>,
    savepoint: Option<Savepoint>,
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        let Some(savepoint) = self.savepoint.take() else { return };
        let undone = borrow(self.unit).and_then(|mut unit| unit.roll_back_to(savepoint));
        if let Err(error) = undone {
            // The whole transaction was rolled back, and refuses every further step.
            tracing::warn!(%error, "a savepoint could not be rolled back");
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
