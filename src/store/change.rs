//! Changes of identities: users, organizations, memberships. What exists is the catalog's to say; the
//! log's entry of a change, and what a partition has to know of it, belong to the tenant's home. In a
//! store of one file all of it is one transaction. Otherwise the catalog commits the change and an
//! intent, and the home follows: at once, or when it is opened next.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::absent_as_none;
use super::access::{By, Right};
use super::inner::Inner;
use super::spread::Holding;
use crate::audit::payload::PayloadWriter;
use crate::commit::{Actor, Authority, Event, Unit};
use crate::entity::{Value, time_from_micros};
use crate::error::{Error, Result};
use crate::identity::{Mark, OrganizationId, Role, TenantKey, UserId};
use crate::schema::identities;
use crate::schema::partitions::{self, IntentKind};

/// What changes for a tenant, and what its log says of it.
pub(super) struct Change {
    /// The user or organization that it is about.
    pub(super) home: TenantKey,
    pub(super) mirror: Mirror,
    action: &'static str,
    payload: PayloadWriter,
    /// Which sessions end.
    revokes: Option<(TenantKey, Right)>,
    /// Whether it is what others see of a user.
    is_name: bool,
}

impl Change {
    pub(super) fn new(home: TenantKey, action: &'static str) -> Self {
        Self {
            home,
            mirror: Mirror::Nothing,
            action,
            payload: PayloadWriter::new(),
            revokes: None,
            is_name: false,
        }
    }

    /// Of which the log says this.
    pub(super) fn said(home: TenantKey, action: &'static str, payload: PayloadWriter) -> Self {
        Self { payload, ..Self::new(home, action) }
    }

    /// What the log says of a column-like name.
    pub(super) fn field(mut self, name: &str, before: impl Into<Value>, after: impl Into<Value>) -> Self {
        self.payload.change(name, &before.into(), &after.into());
        self
    }

    pub(super) fn mirror(mut self, mirror: Mirror) -> Self {
        self.mirror = mirror;
        self
    }

    pub(super) fn name(mut self) -> Self {
        self.is_name = true;
        self
    }

    pub(super) fn revoke(mut self, tenant: TenantKey, right: Right) -> Self {
        self.revokes = Some((tenant, right));
        self
    }

    /// As the catalog keeps it until the home has followed.
    pub(super) fn into_intent(self, by: &By, now: Timestamp) -> Intent {
        Intent {
            home: self.home.get(),
            mirror: self.mirror,
            action: self.action.to_owned(),
            payload: self.payload.finish(),
            actor: by.actor.user,
            name: by.name.clone(),
            authority: by.actor.admin.as_deref().cloned(),
            time: now.as_microsecond(),
        }
    }
}

/// A user was created.
pub(super) fn created_user(key: TenantKey, mark: Mark, id: &UserId) -> Change {
    Change::new(key, "user.create").field("id", Value::None, id.clone()).mirror(Mirror::User {
        key: key.get(),
        mark,
        id: Some(id.clone()),
    })
}

/// What a partition knows of the tenants that something in it speaks of; of erased ones no id. Not their
/// display names, and not who is disabled.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum Mirror {
    Nothing,
    User {
        key: i64,
        mark: Mark,
        id: Option<UserId>,
    },
    Organization {
        key: i64,
        id: Option<OrganizationId>,
    },
    Member {
        key: i64,
        organization: i64,
        user: i64,
        mark: Mark,
        user_id: Option<UserId>,
        role: Role,
        active: bool,
    },
    /// Of several, all of which have their logs.
    Several(Vec<Mirror>),
}

impl Mirror {
    pub(super) fn member(
        member: TenantKey,
        organization: TenantKey,
        user: (TenantKey, Mark, Option<&UserId>),
        role: Role,
        active: bool,
    ) -> Self {
        Mirror::Member {
            key: member.get(),
            organization: organization.get(),
            user: user.0.get(),
            mark: user.1,
            user_id: user.2.cloned(),
            role,
            active,
        }
    }

    /// The tenant that it describes, where that has a log of its own.
    fn tenant(&self) -> Option<i64> {
        match self {
            Mirror::Nothing | Mirror::Several(_) => None,
            Mirror::User { key, .. } | Mirror::Organization { key, .. } | Mirror::Member { key, .. } => {
                Some(*key)
            }
        }
    }

    /// Writes it into a partition, whatever that knew before.
    pub(super) fn write(&self, connection: &rusqlite::Connection) -> Result<()> {
        let key = |key: i64| TenantKey::from_stored(key);
        match self {
            Mirror::Nothing => Ok(()),
            Mirror::Several(mirrors) => mirrors.iter().try_for_each(|mirror| mirror.write(connection)),
            Mirror::User { key: user, mark, id } => {
                identities::mirror_user(connection, key(*user)?, *mark, id.as_ref())
            }
            Mirror::Organization { key: organization, id } => {
                identities::mirror_organization(connection, key(*organization)?, id.as_ref())
            }
            Mirror::Member { key: member, organization, user, mark, user_id, role, active } => {
                identities::mirror_user(connection, key(*user)?, *mark, user_id.as_ref())?;
                let (member, organization, user) = (key(*member)?, key(*organization)?, key(*user)?);
                identities::mirror_member(connection, member, organization, user, *role, *active)
            }
        }
    }
}

/// A change as the catalog keeps it until the home has followed.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Intent {
    home: i64,
    mirror: Mirror,
    action: String,
    payload: Vec<u8>,
    actor: Option<Mark>,
    name: Option<UserId>,
    authority: Option<Authority>,
    /// When it was decided, in microseconds.
    time: i64,
}

impl Intent {
    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Self> {
        rmp_serde::from_slice(bytes).map_err(|_| Error::corrupt("the catalog holds a damaged intent"))
    }

    pub(super) fn to_bytes(&self) -> Result<Vec<u8>> {
        rmp_serde::to_vec(self).map_err(|error| Error::io("an intent", error))
    }

    pub(super) fn home(&self) -> Result<TenantKey> {
        TenantKey::from_stored(self.home)
    }

    pub(super) fn mirror(&self) -> &Mirror {
        &self.mirror
    }
}

/// Carries a change out in the file that is the tenant's home: what it has to know, and the entry.
fn carry_out(unit: &mut Unit, intent: &Intent) -> Result<()> {
    if let Some(tenant) = intent.mirror.tenant() {
        let tenant = TenantKey::from_stored(tenant)?;
        if !crate::commit::has_log(unit.connection()?, tenant)? {
            unit.create_log(tenant)?;
        }
    }
    if let Some((mark, id)) = intent.actor.zip(intent.name.as_ref()) {
        identities::name_actor(unit.connection()?, mark, id)?;
    }
    unit.act_as(Actor { user: intent.actor, admin: intent.authority.clone().map(Arc::new) });
    let event = Event {
        action: &intent.action,
        outcome: "ok",
        entity: None,
        record: None,
        payload: intent.payload.clone(),
    };
    unit.audit(TenantKey::from_stored(intent.home)?, &event)
}

/// The same in a store of one file, as a part of a transaction.
pub(super) fn carry_out_here(unit: &mut Unit, by: &By, change: Change) -> Result<()> {
    let intent = change.into_intent(by, unit.now());
    carry_out(unit, &intent)
}

/// The same, in a partition.
pub(super) fn apply(unit: &mut Unit, intent: &Intent, number: i64) -> Result<()> {
    unit.at(time_from_micros(intent.time).unwrap_or(Timestamp::UNIX_EPOCH));
    intent.mirror.write(unit.connection()?)?;
    carry_out(unit, intent)?;
    partitions::set_applied(unit.connection()?, number)
}

impl Inner {
    /// Changes identities in one step. Sessions that it ends have ended
    /// before anybody else can write, so no entry of theirs follows the one of their end.
    pub(super) fn change<R>(
        self: &Arc<Self>,
        by: &By,
        decide: impl FnOnce(&mut Unit) -> Result<(Change, R)>,
    ) -> Result<R> {
        let mut decided = None;
        let outcome = self.decide_and_commit(by, |unit| {
            let (change, result) = decide(unit)?;
            decided = Some((change.home, change.is_name));
            Ok((change, result))
        });
        // Connections of organizations show their members. One that was made before the commit is too old now.
        match decided {
            Some((_, true)) => self.generations.advance_all(),
            Some((home, false)) => self.generations.advance(home),
            None => {}
        }
        outcome
    }

    fn decide_and_commit<R>(
        self: &Arc<Self>,
        by: &By,
        decide: impl FnOnce(&mut Unit) -> Result<(Change, R)>,
    ) -> Result<R> {
        by.check()?;
        let mut unit = self.begin_main(by.actor.clone())?;
        // Again, now that nobody else writes: a revocation comes before or after, not during.
        by.check()?;
        let (change, result) = decide(&mut unit)?;
        let revokes = change.revokes.is_some();
        if let Some((tenant, right)) = change.revokes {
            let store = Arc::clone(self);
            unit.after_commit(move || store.grants.revoke(tenant, right));
        }
        let home = change.home;
        let intent = change.into_intent(by, unit.now());
        let Some(spread) = self.spread() else {
            carry_out(&mut unit, &intent)?;
            unit.commit()?;
            return Ok(result);
        };
        let partition = self.partition_for(&unit, home, &intent.mirror)?;
        spread.forget_done(unit.connection()?)?;
        if let Some(id) = &by.name
            && let Some(actor) = absent_as_none(identities::find_user(unit.connection()?, id))?
        {
            // The file learns of whoever acts, who may be no member.
            partitions::note_former(unit.connection()?, actor.key, partition.key)?;
        }
        let number = partitions::intend(
            unit.connection()?,
            partition.key,
            home,
            IntentKind::Change,
            &intent.to_bytes()?,
        )?;
        let opened = spread.known_part(&partition).and_then(|part| {
            spread.follow(&part, Holding::Catalog)?;
            Ok(part)
        });
        let part = match opened {
            // Access ends now, and not when a file is restored; the log's entry follows then.
            Err(error @ (Error::Corrupt { .. } | Error::Io { .. })) if revokes => {
                tracing::warn!(%error, "access was ended, and is not in the log of a home that can not be opened");
                return unit.commit().map(|()| result);
            }
            opened => opened?,
        };
        let mut there = part.committer()?.begin(home, Actor::default())?;
        there.alone();
        apply(&mut there, &intent, number)?;
        // From here on the decision stands or falls with the catalog's commit.
        part.decided.fetch_max(number, Ordering::AcqRel);
        unit.commit()?;
        match there.commit() {
            Ok(()) => {
                part.applied.fetch_max(number, Ordering::AcqRel);
                spread.note_done(&part, [number]);
            }
            // It is decided: whoever opens the home next carries it out first.
            Err(error) => tracing::warn!(%error, "a change was decided and will be carried out later"),
        }
        Ok(result)
    }
}
