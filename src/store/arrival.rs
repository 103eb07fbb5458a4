//! A tenant that arrives from another store: its keys, a place for its rows and its log, and then its
//! name, from which moment on it exists. In a store of one file all of it is one transaction.
//! Otherwise the rows come first, in many, into the partition that will be its home; that they are to go
//! again, should the process end in between, is in the catalog before them, and goes from it in the
//! commit that makes the tenant.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use rusqlite::Connection;
use serde::{Deserialize, Serialize};

use super::access::By;
use super::change::{self, Change, Mirror};
use super::inner::Inner;
use super::part::Part;
use super::spread::{Holding, Spread};
use super::{Snapshot, absent_as_none, transfer};
use crate::audit::payload::PayloadWriter;
use crate::commit::{Copies, Unit};
use crate::error::{Error, Result};
use crate::identity::{Mark, OrganizationId, Role, TenantKey, UserId};
use crate::schema::identities;
use crate::schema::partitions::{self, IntentKind};

/// What the log of a tenant says that has come from another store.
pub(crate) const ARRIVED: &str = "tenant.import";

/// Who arrives.
#[derive(Debug, Clone)]
pub(crate) enum Newcomer {
    User(UserId),
    Organization(OrganizationId),
}

impl Newcomer {
    fn kind(&self) -> &'static str {
        match self {
            Newcomer::User(_) => "user",
            Newcomer::Organization(_) => "organization",
        }
    }

    fn id(&self) -> &str {
        match self {
            Newcomer::User(id) => id.as_str(),
            Newcomer::Organization(id) => id.as_str(),
        }
    }

    fn check_free(&self, connection: &Connection) -> Result<()> {
        let taken = match self {
            Newcomer::User(id) => absent_as_none(identities::find_user(connection, id))?.is_some(),
            Newcomer::Organization(id) => {
                absent_as_none(identities::find_organization(connection, id))?.is_some()
            }
        };
        if taken { Err(Error::Exists { id: self.id().to_owned() }) } else { Ok(()) }
    }
}

/// What is known of a tenant that arrives, beside what it holds.
#[derive(Debug, Clone)]
pub(crate) struct Profile {
    pub(crate) who: Newcomer,
    pub(crate) name: String,
    pub(crate) created: i64,
    pub(crate) members: Vec<NewMember>,
}

/// A member of an organization that arrives.
#[derive(Debug, Clone)]
pub(crate) struct NewMember {
    pub(crate) user: UserId,
    pub(crate) role: Role,
    pub(crate) active: bool,
    pub(crate) created: i64,
}

/// The keys of everybody who arrives.
struct Keys {
    home: TenantKey,
    /// Of a user.
    mark: Option<Mark>,
    /// In the order of the profile.
    members: Vec<MemberKeys>,
}

struct MemberKeys {
    key: TenantKey,
    user: TenantKey,
    mark: Mark,
    /// Whether the user is made with the organization.
    is_new: bool,
}

impl Keys {
    /// Gives out keys to all who arrive; nothing says yet whose they are.
    fn give_out(unit: &mut Unit, profile: &Profile) -> Result<Self> {
        profile.who.check_free(unit.connection()?)?;
        let home = identities::create_tenant(unit.connection()?, profile.who.kind())?;
        let mark = match profile.who {
            Newcomer::User(_) => Some(unit.new_mark()?),
            Newcomer::Organization(_) => None,
        };
        let mut members = Vec::new();
        for member in &profile.members {
            let known = absent_as_none(identities::find_user(unit.connection()?, &member.user))?;
            let is_new = known.is_none();
            let (user, mark) = match known {
                Some(user) => (user.key, user.mark),
                None => (identities::create_tenant(unit.connection()?, "user")?, unit.new_mark()?),
            };
            let key = identities::create_tenant(unit.connection()?, "member")?;
            members.push(MemberKeys { key, user, mark, is_new });
        }
        Ok(Self { home, mark, members })
    }

    /// The users whom the file may learn of before they exist.
    fn unborn(&self) -> Unborn {
        let members = self.members.iter().filter(|member| member.is_new).map(|member| member.user.get());
        Unborn { users: self.mark.map(|_| self.home.get()).into_iter().chain(members).collect() }
    }

    /// What the home has to know of them before they are anybody: all but the ids of those who do not exist
    /// yet, since somebody else may come to have them.
    fn expect(&self, connection: &Connection, profile: &Profile) -> Result<()> {
        match (&profile.who, self.mark) {
            (Newcomer::User(id), Some(mark)) => identities::expect_user(connection, self.home, mark, id)?,
            (Newcomer::Organization(_), _) => identities::expect_organization(connection, self.home)?,
            (Newcomer::User(_), None) => {}
        }
        for (keys, member) in self.members.iter().zip(&profile.members) {
            if keys.is_new {
                identities::expect_user(connection, keys.user, keys.mark, &member.user)?;
            } else {
                identities::mirror_user(connection, keys.user, keys.mark, Some(&member.user))?;
            }
            let (role, active) = (member.role, member.active);
            identities::mirror_member(connection, keys.key, self.home, keys.user, role, active)?;
        }
        Ok(())
    }

    /// Who they are, for the home.
    fn mirror(&self, profile: &Profile) -> Mirror {
        let key = self.home.get();
        let home = match (&profile.who, self.mark) {
            (Newcomer::User(id), Some(mark)) => Mirror::User { key, mark, id: Some(id.clone()) },
            (Newcomer::Organization(id), _) => Mirror::Organization { key, id: Some(id.clone()) },
            (Newcomer::User(_), None) => Mirror::Nothing,
        };
        let new = self.members.iter().zip(&profile.members).filter(|(keys, _)| keys.is_new);
        let new = new.map(|(keys, member)| Mirror::User {
            key: keys.user.get(),
            mark: keys.mark,
            id: Some(member.user.clone()),
        });
        Mirror::Several(std::iter::once(home).chain(new).collect())
    }

    /// Makes them who they are. Those users of theirs that were not there, with what has to follow.
    fn name(&self, unit: &mut Unit, profile: &Profile) -> Result<Vec<Change>> {
        let connection = unit.connection()?;
        match (&profile.who, self.mark) {
            (Newcomer::User(id), Some(mark)) => {
                identities::create_user(connection, self.home, mark, id, profile.created)?;
                identities::rename_user(connection, self.home, &profile.name)?;
            }
            (Newcomer::Organization(id), _) => {
                identities::create_organization(connection, self.home, id, profile.created)?;
                identities::rename_organization(connection, self.home, &profile.name)?;
            }
            (Newcomer::User(_), None) => {}
        }
        let mut created = Vec::new();
        let now = unit.now().as_microsecond();
        for (keys, member) in self.members.iter().zip(&profile.members) {
            if keys.is_new {
                identities::create_user(connection, keys.user, keys.mark, &member.user, now)?;
                created.push(change::created_user(keys.user, keys.mark, &member.user));
            } else if identities::find_user(connection, &member.user)?.key != keys.user {
                return Err(Error::Busy { reason: "a member of the organization was erased in this moment" });
            }
            let organization = self.home;
            let (role, created) = (member.role, member.created);
            identities::create_member(connection, keys.key, organization, keys.user, role, created)?;
            identities::update_member(connection, keys.key, role, member.active)?;
        }
        Ok(created)
    }
}

/// What an intent to clear says of a tenant that has not arrived: users whom the partition knows and the
/// catalog does not.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Unborn {
    pub(super) users: Vec<i64>,
}

impl Unborn {
    fn to_bytes(&self) -> Result<Vec<u8>> {
        rmp_serde::to_vec(self).map_err(|error| Error::io("an intent", error))
    }

    /// None of an intent that clears what a move has left.
    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Option<Self>> {
        if bytes.is_empty() {
            return Ok(None);
        }
        let unborn =
            rmp_serde::from_slice(bytes).map_err(|_| Error::corrupt("the catalog holds a damaged intent"));
        unborn.map(Some)
    }
}

/// A transaction in the file that says who exists, while whoever asks for it still may.
fn begin(store: &Inner, by: &By) -> Result<Unit> {
    by.check()?;
    let unit = store.begin_main(by.actor.clone())?;
    // Again, now that nobody else writes: a revocation comes before or after, not during.
    by.check()?;
    Ok(unit)
}

/// A tenant on its way into the store. Dropped before it has [settled](Self::settle), nothing of it stays.
pub(crate) struct Arrival<'s> {
    store: &'s Arc<Inner>,
    by: By,
    profile: Profile,
    keys: Keys,
    way: Way<'s>,
}

enum Way<'s> {
    /// Into the only file, in one transaction.
    File(Unit),
    Partition(Landing<'s>),
}

impl<'s> Arrival<'s> {
    /// Waits for the writer. Members who are no users are made users.
    pub(crate) fn begin(store: &'s Arc<Inner>, by: &By, profile: Profile) -> Result<Self> {
        let mut unit = begin(store, by)?;
        // It puts off foreign keys, or is one of two.
        unit.alone();
        let keys = Keys::give_out(&mut unit, &profile)?;
        let way = match store.spread() {
            None => {
                // https://sqlite.org/pragma.html#pragma_defer_foreign_keys: until the commit.
                unit.connection()?.execute_batch("PRAGMA defer_foreign_keys = ON")?;
                for change in keys.name(&mut unit, &profile)? {
                    change::carry_out_here(&mut unit, by, change)?;
                }
                Way::File(unit)
            }
            Some(spread) => Way::Partition(Landing::begin(spread, unit, &keys, &profile)?),
        };
        Ok(Self { store, by: by.clone(), profile, keys, way })
    }

    /// The user or the organization.
    pub(crate) fn home(&self) -> TenantKey {
        self.keys.home
    }

    /// A member, by its place in the profile.
    pub(crate) fn member(&self, place: usize) -> Option<TenantKey> {
        self.keys.members.get(place).map(|keys| keys.key)
    }

    /// The users that are made with the organization.
    pub(crate) fn new_users(&self) -> impl Iterator<Item = &UserId> {
        let members = self.keys.members.iter().zip(&self.profile.members);
        members.filter(|(keys, _)| keys.is_new).map(|(_, member)| &member.user)
    }

    /// Writes some of what it holds. Between two of these others may write, in a store of several files.
    pub(crate) fn write<R>(&mut self, write: impl FnOnce(&Connection) -> Result<R>) -> Result<R> {
        match &mut self.way {
            Way::File(unit) => write(unit.connection()?),
            Way::Partition(landing) => landing
                .part
                .committer()?
                .exclusive(self.keys.home, |writer| transfer::in_transaction(writer, write)),
        }
    }

    /// Reads what was written so far.
    pub(crate) fn look<R>(&self, look: impl FnOnce(&Connection) -> Result<R>) -> Result<R> {
        match &self.way {
            Way::File(unit) => look(unit.connection()?),
            Way::Partition(landing) => {
                look(Snapshot::begin(landing.part.readers.get(self.keys.home)?)?.connection()?)
            }
        }
    }

    /// Runs a transaction in its home, or a part of the one that there is.
    pub(crate) fn at_home<R>(&mut self, run: impl FnOnce(&mut Unit) -> Result<R>) -> Result<R> {
        match &mut self.way {
            Way::File(unit) => run(unit),
            Way::Partition(landing) => {
                let mut unit = landing.part.committer()?.begin(self.keys.home, self.by.actor.clone())?;
                unit.alone();
                if let Some((mark, id)) = self.by.actor.user.zip(self.by.name.as_ref()) {
                    identities::name_actor(unit.connection()?, mark, id)?;
                }
                let result = run(&mut unit)?;
                unit.commit()?;
                Ok(result)
            }
        }
    }

    /// Does the rest in the file that says who exists, and lets the tenant exist, with an entry that says so.
    pub(crate) fn settle<R>(
        self,
        payload: PayloadWriter,
        decide: impl FnOnce(&mut Unit, &dyn Copies) -> Result<R>,
    ) -> Result<R> {
        let Self { store, by, profile, keys, way } = self;
        let arrived = Change::said(keys.home, ARRIVED, payload);
        match way {
            Way::File(mut unit) => {
                let result = decide(&mut unit, &**store)?;
                change::carry_out_here(&mut unit, &by, arrived)?;
                unit.commit()?;
                Ok(result)
            }
            Way::Partition(landing) => {
                let arrived = arrived.mirror(keys.mirror(&profile));
                landing.settle(store, &by, (&keys, &profile), arrived, decide)
            }
        }
    }
}

/// On the way into a partition.
struct Landing<'s> {
    spread: &'s Spread,
    home: TenantKey,
    partition: i64,
    part: Arc<Part>,
    /// What the catalog knows has to go if the tenant does not arrive.
    intent: Option<i64>,
    unborn: Unborn,
}

impl<'s> Landing<'s> {
    fn begin(spread: &'s Spread, unit: Unit, keys: &Keys, profile: &Profile) -> Result<Self> {
        let connection = unit.connection()?;
        let name = partitions::layout(connection)?.place(profile.who.kind(), profile.who.id());
        let partition = partitions::find_or_create(connection, &name)?;
        let part = spread.known_part(&partitions::find(connection, partition)?)?;
        spread.follow(&part, Holding::Catalog)?;
        spread.forget_done(connection)?;
        let unborn = keys.unborn();
        let body = unborn.to_bytes()?;
        let intent = partitions::intend(connection, partition, keys.home, IntentKind::Clear, &body)?;
        // The file learns of them, also if nobody arrives.
        for known in keys.members.iter().filter(|member| !member.is_new) {
            partitions::note_former(connection, known.user, partition)?;
        }
        // Nobody clears it meanwhile. From here on dropping it ends that.
        spread.begin_move(keys.home)?;
        let mut landing = Self { spread, home: keys.home, partition, part, intent: None, unborn };
        unit.commit()?;
        landing.intent = Some(intent);
        landing.part.committer()?.exclusive(keys.home, |writer| {
            transfer::in_transaction(writer, |connection| keys.expect(connection, profile))
        })?;
        Ok(landing)
    }

    fn settle<R>(
        mut self,
        store: &Arc<Inner>,
        by: &By,
        (keys, profile): (&Keys, &Profile),
        arrived: Change,
        decide: impl FnOnce(&mut Unit, &dyn Copies) -> Result<R>,
    ) -> Result<R> {
        self.spread.sync(&self.part)?;
        let mut decision = begin(store, by)?;
        decision.alone();
        decision.connection()?.execute_batch("PRAGMA defer_foreign_keys = ON")?;
        self.spread.follow(&self.part, Holding::Catalog)?;
        let created = keys.name(&mut decision, profile)?;
        let result = decide(&mut decision, &**store)?;
        let intent = arrived.into_intent(by, decision.now());
        let connection = decision.connection()?;
        let (home, body) = (self.home, intent.to_bytes()?);
        // Before those of users who may come to live in the same partition: it carries them out in order.
        let number = partitions::intend(connection, self.partition, home, IntentKind::Change, &body)?;
        partitions::set_home(connection, self.home, self.partition)?;
        if let Some(clear) = self.intent {
            partitions::done(connection, clear)?;
        }
        let mut following = Vec::new();
        for change in created {
            let intent = change.into_intent(by, decision.now());
            let partition = store.partition_for(&decision, intent.home()?, intent.mirror())?;
            // Made if it is new: once it has a home it has to be there.
            self.spread.known_part(&partition)?;
            let connection = decision.connection()?;
            let (home, body) = (intent.home()?, intent.to_bytes()?);
            let number = partitions::intend(connection, partition.key, home, IntentKind::Change, &body)?;
            following.push((partition.key, number));
        }
        let mut there = self.part.committer()?.begin(self.home, by.actor.clone())?;
        there.alone();
        change::apply(&mut there, &intent, number)?;
        // From here on the decision stands or falls with the catalog's commit.
        self.part.decided.fetch_max(number, Ordering::AcqRel);
        decision.commit()?;
        self.intent = None;
        match there.commit() {
            Ok(()) => {
                self.part.applied.fetch_max(number, Ordering::AcqRel);
                self.spread.note_done(&self.part, [number]);
            }
            // It is decided: whoever opens the home next carries it out first.
            Err(error) => tracing::warn!(%error, "a tenant has arrived, which its home will know later"),
        }
        for (partition, number) in following {
            // Whoever opens it next carries out what was decided; who has it open is told.
            let told = self.spread.part(partition).and_then(|part| self.spread.tell(&part, number));
            if let Err(error) = told {
                tracing::warn!(%error, "a user was created and will have a log once its partition can be opened");
            }
        }
        Ok(result)
    }
}

impl Drop for Landing<'_> {
    fn drop(&mut self) {
        if let Some(intent) = self.intent {
            let cleared = self.spread.clear(&self.part, self.home, intent, Some(&self.unborn));
            if let Err(error) = cleared {
                tracing::warn!(%error, "a tenant that has not arrived is cleared when its partition is opened next");
            }
        }
        self.spread.end_move(self.home, None);
    }
}
