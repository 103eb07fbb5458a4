//! Commits that several callers share, from within: batches that are exactly known, and the writer's
//! own connection made to fail.

mod batches;
mod failures;
#[cfg(shuttle)]
mod schedules;

use std::sync::Arc;

use super::{Actor, Committer};
use crate::identity::TenantKey;
use crate::{
    ColumnDefinition, ColumnKind, Definition, Fields, Id, Result, Store, Tenancy, TenantSession, UserId,
    column,
};

pub(super) fn note_definition() -> Definition {
    Definition::new("note", Tenancy::User)
        .column(ColumnDefinition::new("text", ColumnKind::Text))
        .unique(["text"])
}

pub(super) fn store() -> Store {
    Store::builder().definition(note_definition()).temporary().unwrap()
}

pub(super) fn user(store: &Store, id: &str) -> TenantSession {
    store.session(&store.users().get_or_create(&UserId::new(id).unwrap()).unwrap()).unwrap()
}

pub(super) fn insert(session: &TenantSession, text: impl ToString) -> Result<Id<Fields>> {
    session.dynamic("note")?.insert(Fields::new().with("text", text.to_string()))
}

pub(super) fn count(session: &TenantSession, text: &str) -> u64 {
    session.dynamic("note").unwrap().query().filter(column("text").eq(text)).count().unwrap()
}

pub(super) fn committer(session: &TenantSession) -> &Arc<Committer> {
    session.core().store.main().committer().unwrap()
}

/// Does something with the writer's connection, in a transaction that commits.
pub(super) fn with_writer(session: &TenantSession, act: impl FnOnce(&rusqlite::Connection)) {
    session
        .core()
        .store
        .write(TenantKey::REFERENCE, Actor::default(), |unit| {
            act(unit.connection()?);
            Ok(())
        })
        .unwrap();
}

pub(super) fn assert_clean(store: &Store) {
    let report = store.check().unwrap();
    assert!(report.is_clean(), "{report}");
}
