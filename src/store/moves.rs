//! Who lives in which partition, and moving there: copy, compare, change the one row that says where
//! the home is, then clear what was left behind. What has to go, should the process end in between, is
//! in the catalog before it is there.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::Snapshot;
use super::change::Mirror;
use super::inner::Inner;
use super::part::Part;
use super::spread::{Holding, Seat, Spread, try_lock};
use super::transfer;
use crate::commit::Actor;
use crate::entity::Tenancy;
use crate::error::{Error, Result};
use crate::identity::{OrganizationId, TenantKey, UserId};
use crate::schema::identities::{self, Owner};
use crate::schema::partitions::{self, IntentKind, StoredPartition};
use crate::schema::{Catalog, Partitioning};

/// While a copy is behind by more entries of the log than this, it catches up without the writer.
const BEHIND_MAX: u64 = 200;
/// Rounds of catching up with a tenant that goes on writing.
const ROUNDS: usize = 8;
/// How often it is looked whether those who read at the former home are done.
const POLL: Duration = Duration::from_millis(1);
/// Homes that are listed at a time.
const PAGE: u32 = 1_000;

/// One of the files that tenants live in.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Partition {
    /// The name of the file, by which other calls know it. It tells nothing of who lives in it.
    pub name: String,
    /// The file.
    pub path: PathBuf,
    /// Users and organizations that live in it.
    pub tenants: u64,
}

/// How far a move is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct MoveProgress {
    /// Records and entries of logs that were copied.
    pub copied: u64,
    /// How many there were when the move began.
    pub total: u64,
}

/// How far a store is with spreading its tenants otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct RepartitionProgress {
    /// Users and organizations that were looked at, and moved if they had to.
    pub done: u64,
    /// How many there are.
    pub total: u64,
}

/// The files of a store that is spread over several. Made by
/// [`Store::partitions`](crate::Store::partitions).
///
/// ```
/// # use tenantry::{Entity, Partitioning, Store, UserId};
/// # #[derive(Entity)] struct Task { title: String }
/// # fn main() -> tenantry::Result<()> {
/// let store = Store::builder().entity::<Task>().partitions(2).temporary()?;
/// let ada = store.users().create(&UserId::new("ada")?)?;
/// store.session(&ada)?.insert(&Task { title: "Dig".into() })?;
///
/// let former = store.partitions().of_user(&ada)?;
/// store.partitions().repartition(Partitioning::PerTenant, |_| {})?;
/// assert_ne!(store.partitions().of_user(&ada)?, former);
/// assert_eq!(store.session(&ada)?.count::<Task>()?, 1);
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Partitions<'s> {
    store: &'s Arc<Inner>,
}

impl<'s> Partitions<'s> {
    pub(super) fn new(store: &'s Arc<Inner>) -> Self {
        Self { store }
    }

    /// How new tenants are spread.
    ///
    /// # Errors
    ///
    /// What every read can meet.
    pub fn partitioning(&self) -> Result<Partitioning> {
        match self.store.spread() {
            None => Ok(Partitioning::Single),
            Some(_) => Ok(self.store.read(partitions::layout)?.partitioning),
        }
    }

    /// The partitions; none of a store that is one file.
    ///
    /// # Errors
    ///
    /// What every read can meet.
    pub fn list(&self) -> Result<Vec<Partition>> {
        let Some(spread) = self.store.spread() else { return Ok(Vec::new()) };
        let all = self.store.read(partitions::all)?;
        Ok(all.into_iter().map(|stored| described(spread, stored)).collect())
    }

    /// Where a user's own records are; none in a store that is one file.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownUser`].
    pub fn of_user(&self, id: &impl AsRef<UserId>) -> Result<Option<Partition>> {
        let key = self.store.read(|connection| Ok(identities::find_user(connection, id.as_ref())?.key))?;
        self.of(key)
    }

    /// Where the records of an organization and of its members in it are; none in a store that is one
    /// file.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownOrganization`].
    pub fn of_organization(&self, id: &impl AsRef<OrganizationId>) -> Result<Option<Partition>> {
        let find = |connection: &Connection| Ok(identities::find_organization(connection, id.as_ref())?.key);
        let key = self.store.read(find)?;
        self.of(key)
    }

    fn of(&self, home: TenantKey) -> Result<Option<Partition>> {
        let Some(spread) = self.store.spread() else { return Ok(None) };
        self.store.read(|connection| {
            let Some(key) = partitions::home(connection, home)? else { return Ok(None) };
            Ok(Some(described(spread, partitions::find(connection, key)?)))
        })
    }

    /// Moves a user's records and log to another partition, while the store is in use: the user reads
    /// all the time, and writes but for the moment of the change. If the process ends in between, the
    /// user is whole where it was, or where it goes, and nowhere else.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownUser`]; [`Error::InvalidInput`] if the store has no partition of this name;
    /// [`Error::Busy`] if the user is being moved already, or is still read where it was moved away
    /// from; [`Error::Corrupt`] if the copy is not the same as the original, which then stays in use.
    pub fn move_user(
        &self,
        id: &impl AsRef<UserId>,
        to: &str,
        progress: impl FnMut(MoveProgress),
    ) -> Result<()> {
        let key = self.store.read(|connection| Ok(identities::find_user(connection, id.as_ref())?.key))?;
        self.relocate(key, to, progress)
    }

    /// Moves an organization with its members' private records, as [`move_user`](Self::move_user) does.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownOrganization`], and as [`move_user`](Self::move_user).
    pub fn move_organization(
        &self,
        id: &impl AsRef<OrganizationId>,
        to: &str,
        progress: impl FnMut(MoveProgress),
    ) -> Result<()> {
        let find = |connection: &Connection| Ok(identities::find_organization(connection, id.as_ref())?.key);
        let key = self.store.read(find)?;
        self.relocate(key, to, progress)
    }

    fn relocate(&self, home: TenantKey, to: &str, mut progress: impl FnMut(MoveProgress)) -> Result<()> {
        let spread = self.spread()?;
        let unknown =
            || Error::invalid("to", format!("the store has no partition {to:?}; see `Partitions::list`"));
        let to = self.store.read(|connection| partitions::find_named(connection, to))?.ok_or_else(unknown)?;
        Move::start(self.store, spread, home, to)?.run(&mut progress)
    }

    fn spread(&self) -> Result<&'s Spread> {
        self.store.check_alone()?;
        self.store.spread().ok_or_else(|| {
            Error::invalid(
                "partitions",
                "the store is one file; a store with partitions is made by `Builder::partitions`",
            )
        })
    }

    /// Spreads the tenants otherwise, while the store is in use: moves each that has to, one after the
    /// other, then removes the files that nobody lives in. New users and organizations are placed so
    /// from the beginning. If it ends in between, call it again: what was moved stays moved.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidInput`] for [`Partitioning::Single`] or 0 partitions; and as
    /// [`move_user`](Self::move_user).
    pub fn repartition(
        &self,
        partitioning: Partitioning,
        mut progress: impl FnMut(RepartitionProgress),
    ) -> Result<()> {
        let spread = self.spread()?;
        if matches!(partitioning, Partitioning::Single | Partitioning::Fixed(0)) {
            return Err(Error::invalid(
                "partitioning",
                "must be at least one partition, or one for each tenant",
            ));
        }
        let Some(_spreading) = try_lock(&spread.spreading) else {
            return Err(Error::Busy { reason: "the store is being spread otherwise already" });
        };
        let layout = {
            let unit = self.store.begin_main(Actor::default())?;
            partitions::set_partitioning(unit.connection()?, partitioning)?;
            let layout = partitions::layout(unit.connection()?)?;
            unit.commit()?;
            layout
        };
        let all = self.store.read(partitions::all)?;
        let mut total: u64 = all.iter().map(|partition| partition.homes).sum();
        let (mut done, mut after) = (0, 0);
        loop {
            let homes = self.store.read(|connection| partitions::homes(connection, after, PAGE))?;
            let Some((last, _)) = homes.last() else { break };
            after = last.get();
            for (home, from) in homes {
                let name = match self.store.read(|connection| identities::owner(connection, home))? {
                    Owner::User(_, id) => layout.place("user", id.as_str()),
                    Owner::Organization(id) => layout.place("organization", id.as_str()),
                };
                let to = self.partition_named(&name)?;
                if to != from {
                    Move::start(self.store, spread, home, to)?.run(&mut |_| {})?;
                }
                done += 1;
                total = total.max(done);
                progress(RepartitionProgress { done, total });
            }
        }
        all.iter().try_for_each(|partition| self.remove_empty(spread, partition.key))
    }

    fn partition_named(&self, name: &str) -> Result<i64> {
        if let Some(key) = self.store.read(|connection| partitions::find_named(connection, name))? {
            return Ok(key);
        }
        let unit = self.store.begin_main(Actor::default())?;
        let key = partitions::find_or_create(unit.connection()?, name)?;
        unit.commit()?;
        Ok(key)
    }

    /// Removes the file of a partition that nobody lives in, unless somebody still reads there.
    fn remove_empty(&self, spread: &Spread, key: i64) -> Result<()> {
        if self.store.read(|connection| partitions::find(connection, key))?.homes > 0 {
            return Ok(());
        }
        // Another process may keep the file open, and must find that nobody lives in it.
        spread.finish_clearing(&*spread.part(key)?)?;
        // Nobody comes to live there meanwhile.
        let mut unit = self.store.begin_main(Actor::default())?;
        unit.alone();
        let connection = unit.connection()?;
        spread.forget_done(connection)?;
        let stored = partitions::find(connection, key)?;
        let intents = partitions::intents(connection, key)?;
        let needed = intents.iter().any(|intent| !spread.may_clear(intent.tenant));
        if stored.homes == 0 && !needed && spread.remove(&stored)? {
            // What was to follow in it has nowhere to go.
            intents.iter().try_for_each(|intent| partitions::done(connection, intent.number))?;
            partitions::forget(connection, key)?;
        }
        unit.commit()
    }
}

fn described(spread: &Spread, stored: StoredPartition) -> Partition {
    Partition { path: spread.path_of(&stored.name), name: stored.name, tenants: stored.homes }
}

/// A user, or an organization with its members, on the way to another partition.
struct Move<'s> {
    store: &'s Inner,
    spread: &'s Spread,
    catalog: &'s Catalog,
    home: TenantKey,
    from: i64,
    to: i64,
    source: Arc<Part>,
    target: Arc<Part>,
    /// What the catalog knows has to go from the target if the move does not come to its end.
    intent: Option<i64>,
    /// The last entry of each tenant's log that was copied.
    copied: HashMap<TenantKey, i64>,
    /// Those who were at work at the former home when it was moved away.
    former: Option<Arc<Seat>>,
}

impl<'s> Move<'s> {
    fn start(store: &'s Inner, spread: &'s Spread, home: TenantKey, to: i64) -> Result<Self> {
        let (main, catalog) = (store.main(), store.catalog());
        store.check_open()?;
        main.committer()?;
        let from = spread.home(home)?;
        let source = spread.part(from)?;
        let target = spread.part(to)?;
        // What it has left behind there goes first, if nobody reads it any more.
        spread.finish_clearing(&target)?;
        spread.follow(&source, Holding::Nothing)?;
        spread.follow(&target, Holding::Nothing)?;
        spread.begin_move(home)?;
        let copied = HashMap::new();
        // From here on dropping it ends the move.
        let begun = Self {
            store,
            spread,
            catalog,
            home,
            from,
            to,
            source,
            target,
            intent: None,
            copied,
            former: None,
        };
        if spread.home(home)? != from {
            return Err(Error::Busy { reason: "the tenant was moved in this moment; try again" });
        }
        Ok(begun)
    }

    fn run(mut self, progress: &mut dyn FnMut(MoveProgress)) -> Result<()> {
        if self.from == self.to {
            return Ok(());
        }
        let left: Vec<i64> = self.store.read(|connection| {
            let intents = partitions::intents(connection, self.to)?;
            Ok(intents
                .iter()
                .filter(|i| i.tenant == self.home && i.kind == IntentKind::Clear)
                .map(|i| i.number)
                .collect())
        })?;
        if !self.spread.are_done(&left) {
            return Err(Error::Busy {
                reason: "what the tenant left in that partition is still being read; try again",
            });
        }
        let unit = self.store.begin_main(Actor::default())?;
        self.spread.forget_done(unit.connection()?)?;
        let intent = partitions::intend(unit.connection()?, self.to, self.home, IntentKind::Clear, &[])?;
        unit.commit()?;
        self.intent = Some(intent);
        self.copy(progress)?;
        let clear = self.change_home(intent)?;
        self.intent = None;
        self.clear_source(clear)
    }

    /// The tenants that move together, and what the target has to know of them.
    fn tenants(&self, catalog: &Connection) -> Result<Vec<(Tenancy, TenantKey, Mirror)>> {
        let key = self.home.get();
        let organization = match identities::owner(catalog, self.home)? {
            Owner::User(mark, id) => {
                return Ok(vec![(Tenancy::User, self.home, Mirror::User { key, mark, id })]);
            }
            Owner::Organization(id) => Mirror::Organization { key, id },
        };
        let mut tenants = vec![(Tenancy::Organization, self.home, organization)];
        for (member, user, mark, id) in identities::all_members(catalog, self.home)? {
            let mirror = Mirror::member(member.key, self.home, (user, mark, &id), member.role, member.active);
            tenants.push((Tenancy::Member, member.key, mirror));
        }
        Ok(tenants)
    }

    fn introduce(&self, tenants: &[(Tenancy, TenantKey, Mirror)]) -> Result<()> {
        self.target.committer()?.exclusive(self.home, |writer| {
            tenants.iter().try_for_each(|(_, _, mirror)| mirror.write(writer.connection()))
        })
    }

    /// Copies while others write, until little is missing, and compares.
    fn copy(&mut self, progress: &mut dyn FnMut(MoveProgress)) -> Result<()> {
        let mut known = MoveProgress { copied: 0, total: 0 };
        for round in 0..ROUNDS {
            let snapshot = Snapshot::begin(self.source.readers.get(self.home)?)?;
            let connection = snapshot.connection()?;
            let tenants = self.store.read(|catalog| self.tenants(catalog))?;
            if round == 0 {
                for (_, tenant, _) in &tenants {
                    known.total += transfer::size(connection, *tenant)?;
                }
            }
            self.introduce(&tenants)?;
            let mut behind = 0;
            for (tenancy, tenant, _) in &tenants {
                behind += self.copy_tenant(connection, *tenancy, *tenant, &mut |rows| {
                    known.copied += rows;
                    progress(known);
                })?;
            }
            if round > 0 && (behind <= BEHIND_MAX || round + 1 == ROUNDS) {
                return self.compare(
                    &tenants,
                    |tenancy, tenant| transfer::digest(connection, self.catalog, tenancy, tenant),
                    transfer::digest,
                );
            }
        }
        Ok(())
    }

    /// How many entries of the log it was behind.
    fn copy_tenant(
        &mut self,
        source: &Connection,
        tenancy: Tenancy,
        tenant: TenantKey,
        progress: &mut dyn FnMut(u64),
    ) -> Result<u64> {
        let target = self.target.committer()?;
        transfer::copy_reads(source, target, tenant)?;
        match self.copied.get_mut(&tenant) {
            Some(copied) => transfer::catch_up(source, target, self.catalog, tenant, copied),
            None => {
                let copied = transfer::copy(source, target, self.catalog, tenancy, tenant, progress)?;
                self.copied.insert(tenant, copied);
                Ok(0)
            }
        }
    }

    /// Whether the target has the same of each tenant.
    fn compare<T: PartialEq>(
        &self,
        tenants: &[(Tenancy, TenantKey, Mirror)],
        original: impl Fn(Tenancy, TenantKey) -> Result<T>,
        copy: impl Fn(&Connection, &Catalog, Tenancy, TenantKey) -> Result<T>,
    ) -> Result<()> {
        let snapshot = Snapshot::begin(self.target.readers.get(self.home)?)?;
        for (tenancy, tenant, _) in tenants {
            if original(*tenancy, *tenant)? != copy(snapshot.connection()?, self.catalog, *tenancy, *tenant)?
            {
                return Err(Error::corrupt(
                    "what was copied to the other partition is not the same as the original, which stays in use; run `Store::check`",
                ));
            }
        }
        Ok(())
    }

    /// The last of the copy, and the one row that says where the home is. Nobody writes meanwhile to
    /// the source, and no identity changes. The intent to clear the former home.
    fn change_home(&mut self, intent: i64) -> Result<i64> {
        let mut decision = self.store.begin_main(Actor::default())?;
        decision.alone();
        // What was decided and could not be carried out yet is of the former home, and moves too.
        self.spread.follow(&self.source, Holding::Catalog)?;
        let mut standing = self.source.committer()?.begin(self.home, Actor::default())?;
        standing.alone();
        let (catalog, source) = (decision.connection()?, standing.connection()?);
        let tenants = self.tenants(catalog)?;
        self.introduce(&tenants)?;
        // The home's own log comes last: where that is, everything is.
        for (tenancy, tenant, _) in tenants.iter().rev() {
            self.copy_tenant(source, *tenancy, *tenant, &mut |_| {})?;
            transfer::copy_heads(source, self.target.committer()?, *tenant)?;
        }
        self.compare(
            &tenants,
            |tenancy, tenant| transfer::outline(source, self.catalog, tenancy, tenant),
            transfer::outline,
        )?;
        self.spread.sync(&self.target)?;
        partitions::set_home(catalog, self.home, self.to)?;
        partitions::done(catalog, intent)?;
        let clear = partitions::intend(catalog, self.from, self.home, IntentKind::Clear, &[])?;
        decision.commit()?;
        self.former = self.spread.moved(self.home);
        Ok(clear)
    }

    /// Clears the former home once nobody reads there; if that takes long, whoever opens it next does.
    fn clear_source(&mut self, clear: i64) -> Result<()> {
        let until = Instant::now() + self.spread.settings.wait_timeout;
        while self.former.as_ref().is_some_and(|seat| Arc::strong_count(seat) > 1) {
            if Instant::now() >= until {
                tracing::warn!(
                    "a tenant has moved and is still read at its former home, which is cleared later"
                );
                return Ok(());
            }
            thread::sleep(POLL);
        }
        self.former = None;
        self.spread.clear(&self.source, self.home, clear)
    }
}

impl Drop for Move<'_> {
    fn drop(&mut self) {
        if let Some(intent) = self.intent {
            let cleared = self.spread.clear(&self.target, self.home, intent);
            if let Err(error) = cleared {
                tracing::warn!(%error, "a copy that was not finished is cleared when its partition is opened next");
            }
        }
        self.spread.end_move(self.home, self.former.take());
    }
}
