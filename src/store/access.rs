//! Which sessions are still good. A session holds a grant for each right that it rests on; disabling
//! or erasing a user, ending a membership or taking a role away takes the grants away, and the session
//! stops at its next call.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::commit::Actor;
use crate::error::{Error, Result};
use crate::identity::{TenantKey, UserId};
use crate::schema::identities::Ending;
use crate::session::Limits;

/// What a session may do by a grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Right {
    /// Reach a tenant.
    Reach,
    /// Administer: as a user of the store, or as a member of an organization.
    Administer,
}

/// A session's right, until it is revoked.
#[derive(Debug)]
pub(crate) struct Grant {
    pub(crate) tenant: TenantKey,
    pub(crate) right: Right,
    ending: AtomicU8,
}

const GOOD: u8 = 0;
const REVOKED: u8 = 1;
const ERASED: u8 = 2;

impl Grant {
    /// Why it holds no more, if it does not.
    pub(crate) fn ending(&self) -> Option<Ending> {
        match self.ending.load(Ordering::Acquire) {
            GOOD => None,
            ERASED => Some(Ending::Erased),
            _ => Some(Ending::Revoked),
        }
    }
}

/// The grants of all sessions of this process.
#[derive(Debug, Default)]
pub(crate) struct Grants(Mutex<HashMap<(TenantKey, Right), Weak<Grant>>>);

impl Grants {
    /// Takes a grant. Look up whether the right is there *after* this, so that a revocation in
    /// between is either seen there or takes this grant away.
    pub(crate) fn take(&self, tenant: TenantKey, right: Right) -> Arc<Grant> {
        let mut grants = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(grant) = grants.get(&(tenant, right)).and_then(Weak::upgrade) {
            return grant;
        }
        if grants.len() >= 1024 && grants.len().is_power_of_two() {
            grants.retain(|_, grant| grant.strong_count() > 0);
        }
        let grant = Arc::new(Grant { tenant, right, ending: AtomicU8::new(GOOD) });
        grants.insert((tenant, right), Arc::downgrade(&grant));
        grant
    }

    /// Ends every session that rests on a right; whoever can't reach a tenant can't administer as it
    /// either. Later sessions take new grants.
    pub(crate) fn revoke(&self, tenant: TenantKey, right: Right) {
        self.end(tenant, right, REVOKED);
    }

    /// Ends every session that reaches a tenant, which is not there any more.
    pub(crate) fn erase(&self, tenant: TenantKey) {
        self.end(tenant, Right::Reach, ERASED);
    }

    fn end(&self, tenant: TenantKey, right: Right, ending: u8) {
        let mut grants = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let ended = match right {
            Right::Reach => &[Right::Reach, Right::Administer][..],
            Right::Administer => &[Right::Administer],
        };
        for right in ended {
            if let Some(grant) = grants.remove(&(tenant, *right)).and_then(|grant| grant.upgrade()) {
                grant.ending.store(ending, Ordering::Release);
            }
        }
    }
}

/// Who changes users, organizations and memberships, and by what grants; the application itself by
/// none.
#[derive(Debug, Clone, Default)]
pub(crate) struct By {
    pub(crate) actor: Actor,
    /// The id behind the actor's mark, which the log's file may not know.
    pub(crate) name: Option<UserId>,
    pub(crate) grants: Arc<[Arc<Grant>]>,
    /// Of the token that it was made from.
    pub(crate) limits: Option<Arc<Limits>>,
}

impl By {
    /// Whether a refusal tells an administrator something of a tenant: that the store is busy does not.
    pub(super) fn is_told<R>(&self, outcome: &Result<R>) -> bool {
        self.actor.admin.is_some() && outcome.as_ref().is_err_and(|error| !error.is_retryable())
    }

    /// Whether the token and the grants are still good: ask again once nobody else writes.
    pub(crate) fn check(&self) -> Result<()> {
        if let Some(limits) = &self.limits {
            limits.check()?;
        }
        if self.grants.iter().any(|grant| grant.ending().is_some()) {
            return Err(Error::AccessDenied {
                reason: "the right to administer has ended, or the user was disabled".to_owned(),
            });
        }
        Ok(())
    }
}
