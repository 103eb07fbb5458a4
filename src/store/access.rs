//! Which sessions are still good. A session holds a grant for each tenant it reaches; disabling
//! a user or ending a membership takes the grants away, and the session stops at its next call.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::identity::TenantKey;

/// A session's right to a tenant, until it is revoked.
#[derive(Debug)]
pub(crate) struct Grant {
    pub(crate) tenant: TenantKey,
    revoked: AtomicBool,
}

impl Grant {
    pub(crate) fn is_revoked(&self) -> bool {
        self.revoked.load(Ordering::Acquire)
    }
}

/// The grants of all sessions of this process.
#[derive(Debug, Default)]
pub(crate) struct Grants(Mutex<HashMap<TenantKey, Weak<Grant>>>);

impl Grants {
    /// Takes a grant. Look up whether the tenant may be reached *after* this, so that a
    /// revocation in between is either seen there or takes this grant away.
    pub(crate) fn take(&self, tenant: TenantKey) -> Arc<Grant> {
        let mut grants = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(grant) = grants.get(&tenant).and_then(Weak::upgrade) {
            return grant;
        }
        if grants.len() >= 1024 && grants.len().is_power_of_two() {
            grants.retain(|_, grant| grant.strong_count() > 0);
        }
        let grant = Arc::new(Grant { tenant, revoked: AtomicBool::new(false) });
        grants.insert(tenant, Arc::downgrade(&grant));
        grant
    }

    /// Ends every session that reaches a tenant. Later sessions take new grants.
    pub(crate) fn revoke(&self, tenant: TenantKey) {
        let mut grants = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(grant) = grants.remove(&tenant).and_then(|grant| grant.upgrade()) {
            grant.revoked.store(true, Ordering::Release);
        }
    }
}
