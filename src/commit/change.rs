//! Changes of records: what the row, its audit entry and the heads become, together.

use std::collections::{HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use jiff::Timestamp;
use rusqlite::ffi;
use uuid::Uuid;

use super::unit::{Event, Unit};
use crate::audit::payload::PayloadWriter;
use crate::entity::{Definition, OnDelete, StoredUuid, Tenancy, Value, time_of};
use crate::error::{Error, Result};
use crate::identity::TenantKey;
use crate::schema::{Catalog, identities};
use crate::scope::Scope;
use crate::statement::{self, NewRow, Stored, Table};

/// What a record becomes.
#[derive(Debug)]
pub(crate) enum Content {
    /// All values.
    Whole(Vec<Value>),
    /// Some columns, by position.
    Columns(Vec<(usize, Value)>),
}

/// What an upsert did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Upsert {
    Inserted(Uuid),
    Updated(Uuid),
}

/// Copies of reference records in other files of the store.
pub(crate) trait Copies {
    /// Takes the copies of records out, before the records themselves go; an error if anybody's record
    /// refers to one of them.
    fn release(&self, records: &[(&Table, Uuid)]) -> Result<()>;
}

/// What an update made of a row: its version, and the bytes that it has more, or fewer.
struct Updated {
    version: u64,
    grown: i64,
}

/// The changes that a session makes in a transaction.
pub(crate) struct Changes<'u> {
    pub(crate) unit: &'u mut Unit,
    pub(crate) catalog: &'u Catalog,
    pub(crate) scope: &'u Scope,
    pub(crate) copies: &'u dyn Copies,
}

impl<'u> Changes<'u> {
    pub(crate) fn insert(
        &mut self,
        table: &Table,
        values: Vec<Value>,
        created: Option<Timestamp>,
    ) -> Result<Uuid> {
        let tenant = self.scope.writes(table.definition.tenancy())?.tenant;
        let id = self.unit.new_id(tenant, created)?;
        self.insert_as(table, tenant, id, values)?;
        Ok(id)
    }

    fn insert_as(
        &mut self,
        table: &Table,
        tenant: TenantKey,
        id: Uuid,
        mut values: Vec<Value>,
    ) -> Result<()> {
        for (column, value) in table.definition.columns().iter().zip(&mut values) {
            column.accept(value)?;
        }
        self.check_size(&values)?;
        for (position, value) in values.iter().enumerate() {
            self.check_soft(table, position, value)?;
        }
        let author = if table.definition.has_author() {
            self.scope.user().map(|user| user.as_str().to_owned())
        } else {
            None
        };
        let number = self.unit.rows(tenant, table.key)?.next;
        let head = NewRow {
            number,
            id,
            version: 1,
            updated: time_of(id).as_microsecond(),
            author: author.as_deref(),
        };
        let inserted = statement::insert(table, tenant, head, &values)?.execute(self.unit.connection()?);
        if let Err(error) = inserted {
            let references = values.iter().enumerate();
            return Err(self.explain(table, tenant, &error, references));
        }
        let size = row_bytes(&values);
        let quota = self.catalog.quota(table);
        let rows = self.unit.rows(tenant, table.key)?;
        rows.next += 1;
        rows.add(table.entity(), quota, 1, size)?;
        rows.last_id = rows.last_id.filter(|last| *last < id).map(|_| id);
        let changes = table.definition.columns().iter().zip(&values).filter(|(_, value)| !value.is_none());
        let mut payload = PayloadWriter::new();
        for (column, value) in changes {
            payload.column(column, &Value::None, value);
        }
        self.audit(table, tenant, "insert", id, payload)
    }

    /// Changes a record; its new version.
    pub(crate) fn update(
        &mut self,
        table: &Table,
        id: Uuid,
        expected: Option<u64>,
        content: Content,
    ) -> Result<u64> {
        let tenant = self.scope.writes(table.definition.tenancy())?.tenant;
        let before = self.stored(table, tenant, id, expected)?;
        self.update_stored(table, tenant, id, before, content)
    }

    /// Changes each of these records in the same way; how many there are. The quota is asked at the
    /// end, since some may shrink while others grow.
    pub(crate) fn update_all(
        &mut self,
        table: &Table,
        ids: Vec<Uuid>,
        columns: &[(usize, Value)],
    ) -> Result<u64> {
        let tenant = self.scope.writes(table.definition.tenancy())?.tenant;
        let count = ids.len() as u64;
        let mut grown = 0;
        for id in ids {
            let before = self.stored(table, tenant, id, None)?;
            let content = Content::Columns(columns.to_vec());
            grown += self.update_uncounted(table, tenant, id, before, content)?.grown;
        }
        self.add(table, tenant, 0, grown)?;
        Ok(count)
    }

    fn update_stored(
        &mut self,
        table: &Table,
        tenant: TenantKey,
        id: Uuid,
        before: Stored,
        content: Content,
    ) -> Result<u64> {
        let Updated { version, grown } = self.update_uncounted(table, tenant, id, before, content)?;
        self.add(table, tenant, 0, grown)?;
        Ok(version)
    }

    /// Changes the row and writes the entry; the caller counts.
    fn update_uncounted(
        &mut self,
        table: &Table,
        tenant: TenantKey,
        id: Uuid,
        before: Stored,
        content: Content,
    ) -> Result<Updated> {
        let mut after = before.values.clone();
        match content {
            Content::Whole(values) => after = values,
            Content::Columns(changes) => {
                for (position, value) in changes {
                    after[position] = value;
                }
            }
        }
        for (column, value) in table.definition.columns().iter().zip(&mut after) {
            column.accept(value)?;
        }
        self.check_size(&after)?;
        let changed: Vec<(usize, &Value)> = after
            .iter()
            .enumerate()
            .filter(|(position, value)| **value != before.values[*position])
            .collect();
        for (position, value) in &changed {
            self.check_soft(table, *position, value)?;
        }
        let version = before.version + 1;
        let updated = self.unit.now().as_microsecond().max(before.updated);
        let outcome =
            statement::update(table, tenant, id, version, updated, &changed).execute(self.unit.connection()?);
        if let Err(error) = outcome {
            return Err(self.explain(table, tenant, &error, changed.iter().copied()));
        }
        let grown = row_bytes(&after) - row_bytes(&before.values);
        self.unit.changes(tenant, table.key, id)?;
        let mut payload = PayloadWriter::new();
        for (position, value) in changed {
            let column = &table.definition.columns()[position];
            payload.column(column, &before.values[position], value);
        }
        self.audit(table, tenant, "update", id, payload)?;
        Ok(Updated { version: version_of(version)?, grown })
    }

    /// Updates the record of this id, or inserts it under the id.
    pub(crate) fn upsert(&mut self, table: &Table, id: Uuid, values: Vec<Value>) -> Result<Upsert> {
        if id.get_version_num() != 7 {
            return Err(Error::invalid("id", "must be a UUIDv7, whose time is the record's creation"));
        }
        let tenant = self.scope.writes(table.definition.tenancy())?.tenant;
        match self.find(table, tenant, id)? {
            Some(before) => {
                self.update_stored(table, tenant, id, before, Content::Whole(values))?;
                Ok(Upsert::Updated(id))
            }
            None => {
                self.insert_as(table, tenant, id, values)?;
                Ok(Upsert::Inserted(id))
            }
        }
    }

    /// Updates the record that has the same values in a unique set of columns, or inserts one.
    pub(crate) fn upsert_on(
        &mut self,
        table: &Table,
        positions: &[usize],
        mut values: Vec<Value>,
    ) -> Result<Upsert> {
        let reach = self.scope.writes(table.definition.tenancy())?;
        for &position in positions {
            table.definition.columns()[position].accept(&mut values[position])?;
        }
        let spec = statement::same_values(table, positions, &values);
        let found = match &spec {
            // Without a value a row is never the same as another (https://sqlite.org/nulls.html).
            None => None,
            Some(spec) => statement::matching_ids(table, reach, spec)?
                .first(self.unit.connection()?, |row| Ok(row.get::<_, StoredUuid>(0)?.0))?,
        };
        match found {
            Some(id) => {
                self.update(table, id, None, Content::Whole(values))?;
                Ok(Upsert::Updated(id))
            }
            None => Ok(Upsert::Inserted(self.insert(table, values, None)?)),
        }
    }

    /// Deletes each of these records; how many there are. Some go with others before them.
    pub(crate) fn delete_all(&mut self, table: &Table, ids: Vec<Uuid>) -> Result<u64> {
        let count = ids.len() as u64;
        for id in ids {
            match self.delete(table, id, None) {
                Err(Error::NotFound { .. }) => {}
                outcome => outcome?,
            }
        }
        Ok(count)
    }

    /// Deletes a record, and what its entity's references say of those that refer to it.
    pub(crate) fn delete(&mut self, table: &Table, id: Uuid, expected: Option<u64>) -> Result<()> {
        let tenant = self.scope.writes(table.definition.tenancy())?.tenant;
        let before = self.stored(table, tenant, id, expected)?;
        if table.inbound.is_empty() {
            // Nothing can refer to it, so nothing goes with it.
            self.release(&[(table, id)])?;
            return self.delete_stored(table, tenant, id, &before);
        }
        let plan = self.plan_deletion(table.entity(), tenant, id)?;
        if let Some((referring, column, _)) =
            plan.restricting.iter().find(|(referring, _, record)| !plan.goes(referring, *record))
        {
            return Err(Error::Reference {
                entity: referring.entity().to_owned(),
                column: referring.definition.columns()[*column].name().to_owned(),
                problem: "a record still refers to the one that would be deleted; delete or change it first",
            });
        }
        for (referring, record, columns) in &plan.clearing {
            if !plan.goes(referring, *record) {
                let cleared = columns.iter().map(|column| (*column, Value::None)).collect();
                self.update(referring, *record, None, Content::Columns(cleared))?;
            }
        }
        self.release(&plan.order)?;
        if plan.is_tangled() {
            // Records that refer to each other can only go together: the database looks again
            // when all of them are gone (https://sqlite.org/pragma.html#pragma_defer_foreign_keys).
            self.unit.connection()?.execute_batch("PRAGMA defer_foreign_keys = ON")?;
            let outcome = catch_unwind(AssertUnwindSafe(|| {
                self.delete_rows(&plan, tenant).and_then(|()| self.check_held(table))
            }));
            // This also forgets what is still violated, so the check comes before it.
            self.unit.connection()?.execute_batch("PRAGMA defer_foreign_keys = OFF")?;
            // Others' work may follow in this transaction after a panic.
            outcome.unwrap_or_else(|panic| resume_unwind(panic))
        } else {
            self.delete_rows(&plan, tenant)
        }
    }

    /// Reference records go in every file of the store.
    fn release(&self, records: &[(&Table, Uuid)]) -> Result<()> {
        match records.first() {
            Some((table, _)) if table.definition.tenancy() == Tenancy::Reference => {
                self.copies.release(records)
            }
            _ => Ok(()),
        }
    }

    /// Tenants' rows hold reference records, and only the database knows of them.
    fn check_held(&self, table: &Table) -> Result<()> {
        if table.definition.tenancy() != Tenancy::Reference {
            return Ok(());
        }
        for referring in self.catalog.tables() {
            if statement::dangling(referring).first(self.unit.connection()?, |_| Ok(()))?.is_some() {
                return Err(still_referred(table));
            }
        }
        Ok(())
    }

    fn delete_rows(&mut self, plan: &Deletion<'_>, tenant: TenantKey) -> Result<()> {
        plan.order.iter().try_for_each(|(table, record)| self.delete_row(table, tenant, *record))
    }

    /// Everything that goes with a record, children first. No recursion: chains can be long.
    fn plan_deletion(&self, entity: &str, tenant: TenantKey, id: Uuid) -> Result<Deletion<'u>> {
        enum Step<'t> {
            Enter(&'t Table, Uuid),
            Leave(&'t Table, Uuid),
        }
        let catalog = self.catalog;
        let mut plan = Deletion::default();
        let mut ancestors = HashSet::new();
        let mut steps = vec![Step::Enter(catalog.get(entity)?, id)];
        while let Some(step) = steps.pop() {
            match step {
                Step::Enter(table, id) if plan.goes(table, id) => {
                    plan.cyclic |= ancestors.contains(&(table.key, id))
                }
                Step::Enter(table, id) => {
                    plan.seen.insert((table.key, id));
                    ancestors.insert((table.key, id));
                    steps.push(Step::Leave(table, id));
                    for inbound in &table.inbound {
                        let referring = &*catalog.tables()[inbound.table];
                        let records = statement::referring(referring, inbound.column, tenant, id)
                            .all(self.unit.connection()?, |row| Ok(row.get::<_, StoredUuid>(0)?.0))?;
                        for record in records {
                            match inbound.on_delete {
                                OnDelete::Cascade => steps.push(Step::Enter(referring, record)),
                                OnDelete::SetNull => plan.clear(referring, record, inbound.column),
                                OnDelete::Restrict => {
                                    plan.restricting.push((referring, inbound.column, record))
                                }
                            }
                        }
                    }
                }
                Step::Leave(table, id) => {
                    ancestors.remove(&(table.key, id));
                    plan.order.push((table, id));
                }
            }
        }
        Ok(plan)
    }

    fn delete_row(&mut self, table: &Table, tenant: TenantKey, id: Uuid) -> Result<()> {
        let before = self
            .find(table, tenant, id)?
            .ok_or_else(|| Error::NotFound { entity: table.entity().to_owned() })?;
        self.delete_stored(table, tenant, id, &before)
    }

    fn delete_stored(&mut self, table: &Table, tenant: TenantKey, id: Uuid, before: &Stored) -> Result<()> {
        let outcome = statement::delete(table, tenant, id).execute(self.unit.connection()?);
        if let Err(error) = outcome {
            return Err(self.explain(table, tenant, &error, std::iter::empty()));
        }
        self.add(table, tenant, -1, -row_bytes(&before.values))?;
        self.unit.changes(tenant, table.key, id)?;
        let mut payload = PayloadWriter::new();
        for (column, value) in
            table.definition.columns().iter().zip(&before.values).filter(|(_, value)| !value.is_none())
        {
            payload.column(column, value, &Value::None);
        }
        self.audit(table, tenant, "delete", id, payload)
    }

    /// Adds to the numbers that are kept of a tenant's rows, within the quota.
    fn add(&mut self, table: &Table, tenant: TenantKey, rows: i64, bytes: i64) -> Result<()> {
        let quota = self.catalog.quota(table);
        self.unit.rows(tenant, table.key)?.add(table.entity(), quota, rows, bytes)
    }

    fn audit(
        &mut self,
        table: &Table,
        tenant: TenantKey,
        action: &str,
        record: Uuid,
        payload: PayloadWriter,
    ) -> Result<()> {
        if tenant == TenantKey::REFERENCE {
            self.unit.change_reference();
        }
        let event = Event {
            action,
            outcome: "ok",
            entity: Some((table.entity(), table.version)),
            record: Some(record),
            payload: payload.finish(),
        };
        self.unit.audit(tenant, &event)
    }

    fn find(&self, table: &Table, tenant: TenantKey, id: Uuid) -> Result<Option<Stored>> {
        let (statement, decode) = statement::raw(table, tenant, id);
        statement.first(self.unit.connection()?, decode)
    }

    /// The record that a change is for, with the version that the caller expects.
    fn stored(&self, table: &Table, tenant: TenantKey, id: Uuid, expected: Option<u64>) -> Result<Stored> {
        let stored = self
            .find(table, tenant, id)?
            .ok_or_else(|| Error::NotFound { entity: table.entity().to_owned() })?;
        let actual = version_of(stored.version)?;
        match expected {
            Some(expected) if expected != actual => {
                Err(Error::Conflict { entity: table.entity().to_owned(), expected, actual })
            }
            _ => Ok(stored),
        }
    }

    /// References that no foreign key holds: to the organization's records and to its members.
    fn check_soft(&self, table: &Table, position: usize, value: &Value) -> Result<()> {
        let column = &table.definition.columns()[position];
        let problem = match (column.kind(), value) {
            (crate::entity::ColumnKind::Reference { entity, .. }, Value::Uuid(id))
                if table.is_soft_reference(position) =>
            {
                let target = self.catalog.get(entity)?;
                let reach = self.scope.reads(target.definition.tenancy())?;
                let found = statement::exists(target, reach.tenant, *id)
                    .first(self.unit.connection()?, |_| Ok(()))?;
                found.is_none().then_some(NO_TARGET)
            }
            (crate::entity::ColumnKind::Member, Value::Text(user)) => {
                let Some(organization) = self.scope.organization_key() else {
                    return Err(Error::AccessDenied {
                        reason: "the session is not within an organization".to_owned(),
                    });
                };
                (!identities::is_member(self.unit.connection()?, organization, user)?)
                    .then_some("names a user who is not a member of the organization")
            }
            _ => None,
        };
        match problem {
            Some(problem) => Err(Error::Reference {
                entity: table.entity().to_owned(),
                column: column.name().to_owned(),
                problem,
            }),
            None => Ok(()),
        }
    }

    fn check_size(&self, values: &[Value]) -> Result<()> {
        check_size(values, self.unit.record_bytes_max())
    }

    /// What a refused row change means in the tenant's own terms. SQLite's text stays here.
    fn explain<'v>(
        &self,
        table: &Table,
        tenant: TenantKey,
        error: &rusqlite::Error,
        values: impl Iterator<Item = (usize, &'v Value)>,
    ) -> Error {
        match error.sqlite_extended_error_code() {
            Some(ffi::SQLITE_CONSTRAINT_UNIQUE | ffi::SQLITE_CONSTRAINT_PRIMARYKEY) => {
                match table.unique_violation(error) {
                    Some(columns) => Error::Unique { entity: table.entity().to_owned(), columns },
                    None => Error::Constraint { entity: table.entity().to_owned() },
                }
            }
            Some(ffi::SQLITE_CONSTRAINT_FOREIGNKEY) => {
                for (position, value) in values {
                    match self.reference_exists(table, tenant, position, value) {
                        Ok(true) => {}
                        Ok(false) => {
                            return Error::Reference {
                                entity: table.entity().to_owned(),
                                column: table.definition.columns()[position].name().to_owned(),
                                problem: NO_TARGET,
                            };
                        }
                        Err(error) => return error,
                    }
                }
                // Only a reference record can be held by rows that the engine does not look at.
                still_referred(table)
            }
            Some(code) if code & 0xff == ffi::SQLITE_CONSTRAINT => {
                Error::Constraint { entity: table.entity().to_owned() }
            }
            _ => match error {
                rusqlite::Error::SqliteFailure(code, _) => rusqlite::Error::SqliteFailure(*code, None).into(),
                _ => Error::Constraint { entity: table.entity().to_owned() },
            },
        }
    }

    fn reference_exists(
        &self,
        table: &Table,
        tenant: TenantKey,
        position: usize,
        value: &Value,
    ) -> Result<bool> {
        let (crate::entity::ColumnKind::Reference { entity, .. }, Value::Uuid(id)) =
            (table.definition.columns()[position].kind(), value)
        else {
            return Ok(true);
        };
        let target = self.catalog.get(entity)?;
        let tenant = if target.definition.tenancy() == table.definition.tenancy() {
            tenant
        } else {
            self.scope.reads(target.definition.tenancy())?.tenant
        };
        Ok(statement::exists(target, tenant, *id).first(self.unit.connection()?, |_| Ok(()))?.is_some())
    }
}

pub(crate) const NO_TARGET: &str = "names a record that does not exist";

/// Whether a record's values are no larger than a store allows.
pub(crate) fn check_size(values: &[Value], max: usize) -> Result<()> {
    let size: usize = values.iter().map(Value::size).sum();
    if size > max {
        return Err(Error::LimitExceeded {
            limit: "record size",
            problem: format!(
                "the record has {size} bytes and {max} are allowed; raise it with `Builder::record_bytes_max`"
            ),
        });
    }
    Ok(())
}

pub(crate) fn still_referred(table: &Table) -> Error {
    Error::Reference {
        entity: table.entity().to_owned(),
        column: "id".to_owned(),
        problem: "records still refer to it",
    }
}

/// What a deletion takes along.
#[derive(Default)]
struct Deletion<'t> {
    /// Rows that go, children first.
    order: Vec<(&'t Table, Uuid)>,
    seen: HashSet<(i64, Uuid)>,
    /// Rows whose references become none, unless they go too.
    clearing: Vec<(&'t Table, Uuid, Vec<usize>)>,
    /// Where each of them stands.
    cleared: HashMap<(i64, Uuid), usize>,
    /// Rows that forbid it, unless they go too.
    restricting: Vec<(&'t Table, usize, Uuid)>,
    /// Whether rows that go refer to each other in a circle.
    cyclic: bool,
}

impl<'t> Deletion<'t> {
    fn goes(&self, table: &Table, record: Uuid) -> bool {
        self.seen.contains(&(table.key, record))
    }

    fn clear(&mut self, table: &'t Table, record: Uuid, column: usize) {
        let position = *self.cleared.entry((table.key, record)).or_insert(self.clearing.len());
        match self.clearing.get_mut(position) {
            Some((_, _, columns)) => columns.push(column),
            None => self.clearing.push((table, record, vec![column])),
        }
    }

    /// Whether no order of deletions satisfies the database at every step.
    fn is_tangled(&self) -> bool {
        self.cyclic
            || self.restricting.iter().any(|(table, _, record)| self.goes(table, *record))
            || self.clearing.iter().any(|(table, record, _)| self.goes(table, *record))
    }
}

/// The columns of a declared unique set, by position.
pub(crate) fn unique_set(definition: &Definition, columns: &[&str]) -> Result<Vec<usize>> {
    let mut wanted = columns.to_vec();
    wanted.sort_unstable();
    let declared = definition.indexes().iter().filter(|index| index.is_unique()).any(|index| {
        let mut names: Vec<&str> = index.columns().map(|(name, _)| name).collect();
        names.sort_unstable();
        names == wanted
    });
    if !declared {
        return Err(Error::invalid(
            columns.join(", "),
            format!("{} declares no `unique` over exactly these columns", definition.name()),
        ));
    }
    Ok(columns.iter().filter_map(|name| definition.position(name)).collect())
}

/// What a row counts towards its tenant's size: its values and a fixed share for the rest.
pub(crate) fn row_bytes(values: &[Value]) -> i64 {
    const ROW: usize = 64;
    let size: usize = values.iter().map(Value::size).sum();
    i64::try_from(size + ROW).unwrap_or(i64::MAX)
}

fn version_of(stored: i64) -> Result<u64> {
    u64::try_from(stored).map_err(|_| Error::corrupt("the store holds a negative version"))
}
