//! Erasing a user or an organization. Who it was is gone with one commit, as sessions see it; what is left to do in
//! other files of the store is an intent in the catalog from that commit on. Then the files are scrubbed.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use rusqlite::Connection;

use super::access::By;
use super::inner::Inner;
use super::part::Part;
use super::readers::PoolClass;
use super::spread::{Holding, Spread, homeless};
use crate::commit::{Actor, Unit};
use crate::error::{Error, Result};
use crate::identity::{OrganizationId, TenantKey, UserId};
use crate::leave::Erasure;
use crate::leave::erase::{Counts, Ended, Errand, Whose};
use crate::schema::identities::{self, StoredUser};
use crate::schema::partitions::{self, IntentKind};
use crate::schema::{self, Catalog, Rest};

/// What there is to do for one user or organization, where it lives or has lived.
struct Task {
    home: TenantKey,
    errand: Errand,
}

/// A home in which something goes: the tenants, and the membership that ends with one of them.
type Concerned = (TenantKey, Vec<TenantKey>, Option<Ended>);

impl Inner {
    /// Erases a user: the own records, the private ones in organizations, and whatever names it but for the words of
    /// others.
    pub(super) fn erase_user(self: &Arc<Self>, by: &By, id: &UserId) -> Result<Erasure> {
        self.erase(by, |connection| {
            let StoredUser { key, mark, .. } = identities::find_user(connection, id)?;
            let whose = Whose::User { key: key.get(), mark };
            let mut tasks = vec![(key, vec![key], None)];
            for membership in identities::all_memberships(connection, key)? {
                let ended = membership.member.active.then(|| Ended {
                    organization: membership.organization.get(),
                    user: id.clone(),
                    role: membership.member.role,
                });
                tasks.push((membership.organization, vec![membership.member.key], ended));
            }
            Ok((whose, tasks))
        })
    }

    /// Erases an organization, with its members' private records.
    pub(super) fn erase_organization(self: &Arc<Self>, by: &By, id: &OrganizationId) -> Result<Erasure> {
        self.erase(by, |connection| {
            let key = identities::find_organization(connection, id)?.key;
            let members = identities::all_members(connection, key)?;
            let tenants = std::iter::once(key).chain(members.into_iter().map(|(member, ..)| member.key));
            Ok((Whose::Organization { key: key.get() }, vec![(key, tenants.collect(), None)]))
        })
    }

    /// `find` tells who it is, and the homes that are concerned.
    fn erase(
        self: &Arc<Self>,
        by: &By,
        find: impl FnOnce(&Connection) -> Result<(Whose, Vec<Concerned>)>,
    ) -> Result<Erasure> {
        by.check()?;
        let mut unit = self.begin_main(by.actor.clone())?;
        // Again, now that nobody else writes: a revocation comes before or after, not during.
        by.check()?;
        unit.alone();
        let (whose, homes) = find(unit.connection()?)?;
        let key = whose.key()?;
        let marks = whose.other_marks(unit.connection()?)?;
        let time = unit.now().as_microsecond();
        let tasks: Vec<Task> = homes
            .into_iter()
            .map(|(home, tenants, ended)| {
                let errand = Errand::new(whose, tenants, ended, time, &by.actor, by.name.as_ref());
                Task { home, errand: errand.naming(marks.clone()) }
            })
            .collect();
        let store = Arc::clone(self);
        unit.after_commit(move || store.grants.erase(key));
        let counts = match self.spread() {
            None => self.carry_out(unit, &tasks)?,
            Some(spread) => self.decide_and_follow(spread, unit, &tasks, whose)?,
        };
        // Names are gone from what organizations' connections show.
        self.generations.advance_all();
        self.set_pool(key, PoolClass::Shared);
        for task in &tasks {
            self.forget_rows(task.errand.tenants());
        }
        let scrubbed = self.scrub().map(|scrub| scrub.is_done()).unwrap_or_else(|error| {
            tracing::warn!(%error, "files hold bytes of what was erased for now");
            false
        });
        Ok(Erasure { rows: counts.rows, payloads: counts.payloads, scrubbed })
    }

    /// In a store of one file.
    fn carry_out(&self, mut unit: Unit, tasks: &[Task]) -> Result<Counts> {
        let mut counts = Counts::default();
        for task in tasks {
            counts += task.errand.carry_out(&mut unit, self.catalog())?;
        }
        unit.commit()?;
        Ok(counts)
    }

    /// In a store of several files: the catalog decides, and each partition follows, at once or, if it can't be opened
    /// now, when it is opened next.
    fn decide_and_follow(&self, spread: &Spread, unit: Unit, tasks: &[Task], whose: Whose) -> Result<Counts> {
        let _staying = tasks.iter().map(|task| spread.stay(task.home)).collect::<Result<Vec<_>>>()?;
        let catalog = unit.connection()?;
        spread.forget_done(catalog)?;
        let mut steps = Vec::new();
        for (partition, home, errand) in places(catalog, tasks, whose)? {
            let number =
                partitions::intend(catalog, partition, home, IntentKind::Erase, &errand.to_bytes()?)?;
            partitions::set_scrub(catalog, partition, number)?;
            steps.push(Step { partition, number, errand });
        }
        if let Some(task) = tasks.first() {
            task.errand.forget(catalog)?;
        }
        schema::drop_statistics(catalog)?;
        schema::set_rest(catalog, Rest::Rebuild)?;
        steps.sort_by_key(|step| (step.partition, step.number));
        let mut counts = Counts::default();
        let mut followed = Vec::new();
        for steps in steps.chunk_by(|one, other| one.partition == other.partition) {
            match self.follow_in(spread, catalog, steps) {
                Ok((there, went)) => {
                    followed.push(there);
                    counts += went;
                }
                // Nobody reaches it from now on; what is there goes when the file is restored.
                Err(error @ (Error::Corrupt { .. } | Error::Io { .. })) => {
                    tracing::warn!(%error, "what was erased is left in a partition that can not be opened");
                }
                Err(error) => return Err(error),
            }
        }
        for there in &followed {
            // From here on the decision stands or falls with the catalog's commit.
            there.part.decided.fetch_max(there.last, Ordering::AcqRel);
        }
        unit.commit()?;
        followed.into_iter().for_each(|there| there.commit(spread));
        Ok(counts)
    }

    /// Does in one partition what was decided, and leaves the commit for after the decision's.
    fn follow_in(&self, spread: &Spread, catalog: &Connection, steps: &[Step]) -> Result<(Followed, Counts)> {
        let first = steps.first().ok_or(Error::Closed)?;
        let part = spread.known_part(&partitions::find(catalog, first.partition)?)?;
        spread.follow(&part, Holding::Catalog)?;
        let mut unit = part.committer()?.begin(TenantKey::REFERENCE, Actor::default())?;
        unit.alone();
        let mut counts = Counts::default();
        let mut last = 0;
        for step in steps {
            counts += apply(&mut unit, &step.errand, self.catalog(), step.number)?;
            last = step.number;
        }
        let numbers = steps.iter().map(|step| step.number).collect();
        Ok((Followed { part, unit, numbers, last }, counts))
    }
}

/// An errand in a partition, as the catalog has it.
struct Step {
    partition: i64,
    number: i64,
    errand: Errand,
}

/// Errands that were done in a partition and are not committed yet.
struct Followed {
    part: Arc<Part>,
    unit: Unit,
    numbers: Vec<i64>,
    last: i64,
}

impl Followed {
    fn commit(self, spread: &Spread) {
        match self.unit.commit() {
            Ok(()) => {
                self.part.applied.fetch_max(self.last, Ordering::AcqRel);
                spread.note_done(&self.part, self.numbers);
            }
            // It is decided: whoever opens the partition next carries it out first.
            Err(error) => tracing::warn!(%error, "an erasure was decided and will be carried out later"),
        }
    }
}

/// Where something of those concerned is: all of it at home, and wherever else they have lived ids, and bytes that
/// nothing uses any more.
fn places(catalog: &Connection, tasks: &[Task], whose: Whose) -> Result<Vec<(i64, TenantKey, Errand)>> {
    let mut places = Vec::new();
    for Task { home, errand } in tasks {
        let partition = partitions::home(catalog, *home)?.ok_or_else(homeless)?;
        places.push((partition, *home, errand.clone()));
        for former in partitions::former(catalog, *home)?.into_iter().filter(|former| *former != partition) {
            places.push((former, *home, errand.elsewhere()));
        }
    }
    if let (Whose::User { .. }, Some(Task { home, errand })) = (whose, tasks.first())
        && (errand.is_named_anywhere() || identities::was_admin(catalog, whose.key()?)?)
    {
        for stored in partitions::all(catalog)? {
            if places.iter().all(|(partition, ..)| *partition != stored.key) {
                places.push((stored.key, *home, errand.elsewhere()));
            }
        }
    }
    Ok(places)
}

/// Carries an errand out in a partition.
pub(super) fn apply(unit: &mut Unit, errand: &Errand, catalog: &Catalog, number: i64) -> Result<Counts> {
    unit.at(errand.time());
    let counts = errand.carry_out(unit, catalog)?;
    partitions::set_applied(unit.connection()?, number)?;
    Ok(counts)
}
