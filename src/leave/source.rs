//! Who leaves, and what of theirs is in the store: read from one state of it, in one order, whoever
//! writes it down.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension};
use uuid::Uuid;

use super::form::{ActorItem, CheckpointPart, Holding, LogPart, MemberFrame};
use crate::audit::reads::{Found, Read, ReadKind};
use crate::commit::{Actor, load_rows, unsigned_count};
use crate::entity::{ColumnKind, Definition, Tenancy, Value};
use crate::error::{Error, Result};
use crate::identity::TenantKey;
use crate::quota::Quota;
use crate::schema::Catalog;
use crate::schema::identities::{self, Owner};
use crate::statement::check::{self as statement, CheckedRow};
use crate::statement::{self as door, Table};
use crate::store::{Inner, Snapshot};

/// Who leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    User,
    Organization,
}

impl Kind {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Kind::User => "user",
            Kind::Organization => "organization",
        }
    }

    /// The tenancies whose records leave.
    pub(super) fn has(self, tenancy: Tenancy) -> bool {
        match self {
            Kind::User => tenancy == Tenancy::User,
            Kind::Organization => matches!(tenancy, Tenancy::Organization | Tenancy::Member),
        }
    }
}

/// One of the tenants that leave together: the user; or the organization, then its members.
pub(super) struct Leaving {
    pub(super) key: TenantKey,
    pub(super) tenancy: Tenancy,
    pub(super) member: Option<MemberFrame>,
}

/// One state of everything that leaves.
pub(super) struct Source {
    store: Arc<Inner>,
    main: Snapshot,
    /// The file that they live in, if it is another one.
    there: Option<Snapshot>,
    pub(super) kind: Kind,
    pub(super) id: String,
    pub(super) name: String,
    /// In microseconds.
    pub(super) created: i64,
    pub(super) tenants: Vec<Leaving>,
}

impl Source {
    /// A user or an organization by its key, for somebody who will have read all of it.
    pub(super) fn of(store: &Arc<Inner>, actor: &Actor, home: TenantKey) -> Result<Self> {
        let source = Self::unread(store, home)?;
        source.note(actor)?;
        Ok(source)
    }

    /// Notes the export of records of entities that ask for it, whether or not it comes to its end.
    fn note(&self, actor: &Actor) -> Result<()> {
        for tenant in &self.tenants {
            for table in self.entities_of(tenant.tenancy).filter(|table| table.definition.audits_reads()) {
                let head = load_rows(self.connection()?, tenant.key, table.key)?;
                let read = Read {
                    tenant: tenant.key,
                    actor: actor.clone(),
                    entity: table.entity().to_owned(),
                    kind: ReadKind::Export,
                    found: Found::so_many(unsigned_count(Some(head.count))?),
                    time: self.store.now(),
                };
                self.store.note_read(self.home(), read);
            }
        }
        Ok(())
    }

    fn unread(store: &Arc<Inner>, home: TenantKey) -> Result<Self> {
        let (main, there) = store.whole_snapshot(home)?;
        let connection = main.connection()?;
        let mut tenants = Vec::new();
        let mut leaving = |key, tenancy, member| tenants.push(Leaving { key, tenancy, member });
        let (kind, id, name, created) = match identities::owner(connection, home)? {
            Owner::User(_, None) | Owner::Organization(None) => {
                return Err(Error::Busy { reason: "whoever was to leave was erased meanwhile" });
            }
            Owner::User(_, Some(id)) => {
                leaving(home, Tenancy::User, None);
                let user = identities::find_user(connection, &id)?.value;
                (Kind::User, id.to_string(), user.name, user.created)
            }
            Owner::Organization(Some(id)) => {
                leaving(home, Tenancy::Organization, None);
                for member in identities::whole_members(connection, home)? {
                    let part = MemberFrame {
                        user: member.user.to_string(),
                        role: member.role,
                        active: member.active,
                        created: member.created,
                    };
                    leaving(member.key, Tenancy::Member, Some(part));
                }
                let organization = identities::find_organization(connection, &id)?.value;
                (Kind::Organization, id.to_string(), organization.name, organization.created)
            }
        };
        let created = created.as_microsecond();
        Ok(Self { store: Arc::clone(store), main, there, kind, id, name, created, tenants })
    }

    /// The file that they live in.
    pub(super) fn connection(&self) -> Result<&Connection> {
        self.there.as_ref().unwrap_or(&self.main).connection()
    }

    pub(super) fn catalog(&self) -> &Catalog {
        self.store.catalog()
    }

    /// The entities of which records may leave, and those that they may refer to, by name.
    pub(super) fn entities(&self) -> Vec<&Table> {
        entities(self.catalog(), self.kind)
    }

    /// The entities of a tenant, by name.
    pub(super) fn entities_of(&self, tenancy: Tenancy) -> impl Iterator<Item = &Table> {
        self.entities().into_iter().filter(move |table| table.definition.tenancy() == tenancy)
    }

    /// An organization's members.
    pub(super) fn members(&self) -> impl Iterator<Item = &MemberFrame> {
        self.tenants.iter().filter_map(|tenant| tenant.member.as_ref())
    }

    /// The organization of the members.
    pub(super) fn home(&self) -> TenantKey {
        self.tenants.first().map_or(TenantKey::REFERENCE, |tenant| tenant.key)
    }

    /// How many rows a tenant has of each of its entities, and its own quotas.
    pub(super) fn holdings(&self, tenant: &Leaving) -> Result<Vec<Holding>> {
        self.entities_of(tenant.tenancy)
            .map(|table| {
                let head = load_rows(self.connection()?, tenant.key, table.key)?;
                let rows = unsigned_count(Some(head.count))?;
                Ok(Holding { entity: table.entity().to_owned(), rows, quota: head.quota.map(Quota::stored) })
            })
            .collect()
    }

    /// A tenant's rows of an entity, in the order of their numbers.
    pub(super) fn rows(
        &self,
        table: &Table,
        tenant: &Leaving,
        mut visit: impl FnMut(CheckedRow) -> Result<()>,
    ) -> Result<()> {
        let (rows, decode) = statement::rows(table, tenant.key);
        rows.all(self.connection()?, |row| visit(decode(row)?)).map(drop)
    }

    /// A row as its session reads it: a reference to the organization's records that are gone is none.
    pub(super) fn as_read(&self, table: &Table, mut row: CheckedRow) -> Result<CheckedRow> {
        if table.has_soft() {
            for position in (0..row.values.len()).filter(|position| table.is_soft_reference(*position)) {
                let (ColumnKind::Reference { entity, .. }, Value::Uuid(id)) =
                    (table.definition.columns()[position].kind(), &row.values[position])
                else {
                    continue;
                };
                let target = self.catalog().get(entity)?;
                let found = door::exists(target, self.home(), *id).first(self.connection()?, |_| Ok(()))?;
                if found.is_none() {
                    row.values[position] = Value::None;
                }
            }
        }
        Ok(row)
    }

    /// Where a tenant's log begins and ends.
    pub(super) fn log(&self, tenant: &Leaving) -> Result<LogPart> {
        let connection = self.connection()?;
        let sql = "SELECT origin, next, hash, clock FROM _log_head WHERE tenant = ?1";
        let head = connection
            .prepare_cached(sql)?
            .query_row([tenant.key.get()], |row| {
                Ok(LogPart {
                    origin: row.get(0)?,
                    next: row.get(1)?,
                    hash: row.get(2)?,
                    clock: row.get(3)?,
                    checkpoint: None,
                })
            })
            .optional()?;
        let head = head.ok_or_else(|| Error::corrupt("a tenant has no log"))?;
        let sql = "SELECT payloads, entries, hash FROM _audit_checkpoint WHERE tenant = ?1";
        let checkpoint = connection
            .prepare_cached(sql)?
            .query_row([tenant.key.get()], |row| {
                Ok(CheckpointPart { payloads: row.get(0)?, entries: row.get(1)?, hash: row.get(2)? })
            })
            .optional()?;
        Ok(LogPart { checkpoint, ..head })
    }

    /// Whom a tenant's log names, in the order of their marks.
    pub(super) fn actors(
        &self,
        tenant: &Leaving,
        mut visit: impl FnMut(ActorItem) -> Result<()>,
    ) -> Result<()> {
        let sql = "SELECT n.mark, a.id FROM (SELECT actor AS mark FROM _audit WHERE key BETWEEN ?1 AND ?2 \
                   UNION SELECT admin FROM _audit WHERE key BETWEEN ?1 AND ?2) AS n \
                   LEFT JOIN _actor AS a ON a.mark = n.mark WHERE n.mark IS NOT NULL ORDER BY n.mark";
        let mut statement = self.connection()?.prepare_cached(sql)?;
        let mut rows = statement.query([tenant.key.first(), tenant.key.last()])?;
        while let Some(row) = rows.next()? {
            visit(ActorItem { mark: row.get(0)?, id: row.get(1)? })?;
        }
        Ok(())
    }
}

/// A definition as it leaves: who is told of reads is a store's own affair.
pub(super) fn definition_of(table: &Table) -> Definition {
    table.definition.clone().audit_reads(false)
}

/// The entities of which records of a tenant of this kind may leave, and those that they may refer to,
/// by name: every store has the same order.
pub(super) fn entities(catalog: &Catalog, kind: Kind) -> Vec<&Table> {
    let referred = referred(catalog, kind);
    let mut tables: Vec<&Table> = catalog
        .tables()
        .iter()
        .map(|table| &**table)
        .filter(|table| kind.has(table.definition.tenancy()) || referred.contains(table.entity()))
        .collect();
    tables.sort_by(|a, b| a.entity().cmp(b.entity()));
    tables
}

/// The reference entities that such records can refer to, also by way of others.
fn referred(catalog: &Catalog, kind: Kind) -> BTreeSet<&str> {
    let mut referred = BTreeSet::new();
    loop {
        let known = referred.len();
        for table in catalog.tables() {
            let leaves = kind.has(table.definition.tenancy()) || referred.contains(table.entity());
            if leaves {
                referred.extend(reference_columns(catalog, table).map(|(_, target)| target.entity()));
            }
        }
        if referred.len() == known {
            return referred;
        }
    }
}

/// The columns that refer to reference records, and their entities.
pub(super) fn reference_columns<'c>(
    catalog: &'c Catalog,
    table: &'c Table,
) -> impl Iterator<Item = (usize, &'c Table)> {
    table.definition.columns().iter().enumerate().filter_map(|(position, column)| {
        let ColumnKind::Reference { entity, .. } = column.kind() else { return None };
        let target = &**catalog.get(entity).ok()?;
        (target.definition.tenancy() == Tenancy::Reference).then_some((position, target))
    })
}

/// The reference records that rows refer to, by entity.
#[derive(Debug, Default, PartialEq)]
pub(super) struct References(BTreeMap<String, BTreeSet<Uuid>>);

impl References {
    /// Notes what a row refers to; what was not noted before.
    pub(super) fn note(&mut self, catalog: &Catalog, table: &Table, values: &[Value]) -> Vec<(String, Uuid)> {
        let mut new = Vec::new();
        for (position, target) in reference_columns(catalog, table) {
            if let Some(Value::Uuid(id)) = values.get(position)
                && self.insert(target.entity(), *id)
            {
                new.push((target.entity().to_owned(), *id));
            }
        }
        new
    }

    /// Whether it is new.
    pub(super) fn insert(&mut self, entity: &str, id: Uuid) -> bool {
        match self.0.get_mut(entity) {
            Some(ids) => ids.insert(id),
            None => {
                self.0.insert(entity.to_owned(), BTreeSet::from([id]));
                true
            }
        }
    }

    pub(super) fn contains(&self, entity: &str, id: Uuid) -> bool {
        self.0.get(entity).is_some_and(|ids| ids.contains(&id))
    }

    /// Adds those that they refer to in turn.
    pub(super) fn close(&mut self, connection: &Connection, catalog: &Catalog) -> Result<()> {
        let mut open: Vec<(String, Uuid)> = self.iter().map(|(entity, id)| (entity.to_owned(), id)).collect();
        while let Some((entity, id)) = open.pop() {
            let table = catalog.get(&entity)?;
            if reference_columns(catalog, table).next().is_some() {
                open.append(&mut self.note(catalog, table, &reference_values(connection, table, id)?));
            }
        }
        Ok(())
    }

    /// In the order of their entities and ids.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, Uuid)> {
        self.0.iter().flat_map(|(entity, ids)| ids.iter().map(move |id| (entity.as_str(), *id)))
    }

    pub(super) fn len(&self) -> u64 {
        self.0.values().map(|ids| ids.len() as u64).sum()
    }
}

/// The values of a reference record.
pub(super) fn reference_values(connection: &Connection, table: &Table, id: Uuid) -> Result<Vec<Value>> {
    let (statement, decode) = door::raw(table, TenantKey::REFERENCE, id);
    let stored = statement.first(connection, decode)?;
    stored
        .map(|stored| stored.values)
        .ok_or_else(|| Error::corrupt("a record refers to a reference record that is not there"))
}
