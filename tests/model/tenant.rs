//! The model: each tenant is a private map in memory. It knows nothing of SQL, of other tenants,
//! or of how the library works.

use std::collections::{BTreeMap, BTreeSet};

use tenantry::{OnDelete, Uuid, Value};

use crate::spec::{Kind, Limits, SPECS, Spec, Values};

/// What a verb answers when it fails, as far as a caller acts on it.
#[derive(Debug, Clone, PartialEq)]
pub enum Failure {
    NotFound,
    Conflict { expected: u64, actual: u64 },
    Unique(Vec<String>),
    Reference(&'static str),
    NotUnique,
    Ended,
    Quota { entity: String, bytes: bool, max: u64, total: u64 },
}

#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    pub id: Uuid,
    /// The order of insertion, which breaks ties.
    pub number: u64,
    pub version: u64,
    pub author: Option<String>,
    pub values: Values,
}

/// What the log must say of one change.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    pub actor: Option<String>,
    pub admin: Option<String>,
    pub action: String,
    pub entity: Option<String>,
    pub record: Option<Uuid>,
    /// Before and after of what changed; `None` for secret columns.
    pub changes: BTreeMap<String, Option<(Value, Value)>>,
}

#[derive(Debug, Clone, Default)]
pub struct Tenant {
    rows: BTreeMap<&'static str, BTreeMap<Uuid, Row>>,
    pub log: Vec<Entry>,
    /// The store admin who acts in its name at the moment.
    pub admin: Option<&'static str>,
    /// How often its log says that an admin looked.
    pub looks: usize,
    /// The tenant's own quotas.
    pub quotas: BTreeMap<&'static str, Limits>,
    next_number: u64,
    /// Every id that was ever there.
    pub ids: Vec<(&'static str, Uuid)>,
}

/// What a tenant's rows can refer to outside of it: the organization's rows and its members.
#[derive(Debug, Clone, Default)]
pub struct Surroundings {
    pub soft_targets: BTreeSet<Uuid>,
    pub members: BTreeSet<String>,
}

impl Tenant {
    /// What it was before, but for the ids that it had meanwhile: a record may have been read under one of
    /// them, of its own, also if others have one of the same id.
    pub fn restore(&mut self, before: Self) {
        *self = Self { ids: std::mem::take(&mut self.ids), ..before };
    }

    /// Whoever has the id next has nothing of it; what is tried in vain are its records' ids too.
    pub fn erased(&mut self) {
        *self = Self { admin: self.admin, ids: std::mem::take(&mut self.ids), ..Self::default() };
    }

    pub fn rows(&self, spec: &Spec) -> impl Iterator<Item = &Row> {
        self.rows.get(spec.name).into_iter().flat_map(BTreeMap::values)
    }

    pub fn row(&self, spec: &Spec, id: Uuid) -> Option<&Row> {
        self.rows.get(spec.name)?.get(&id)
    }

    pub fn ids_of(&self, spec: &Spec) -> BTreeSet<Uuid> {
        self.rows(spec).map(|row| row.id).collect()
    }

    /// How many rows there are, and their bytes.
    pub fn size(&self, spec: &Spec) -> (u64, u64) {
        self.rows(spec).fold((0, 0), |(rows, bytes), row| (rows + 1, bytes + size_of(&row.values)))
    }

    pub fn limits(&self, spec: &Spec) -> Limits {
        self.quotas.get(spec.name).copied().unwrap_or(spec.limits)
    }

    /// Growth that ends above what the tenant may have is refused, and nothing else.
    fn check_growth(&self, spec: &Spec, before: (u64, u64), after: (u64, u64)) -> Result<(), Failure> {
        let (rows, bytes) = self.limits(spec);
        let refused = |max: Option<u64>, before, after| max.filter(|max| after > before && after > *max);
        let failure =
            |bytes, max, total| Err(Failure::Quota { entity: spec.name.to_owned(), bytes, max, total });
        if let Some(max) = refused(rows, before.0, after.0) {
            return failure(false, max, after.0);
        }
        match refused(bytes, before.1, after.1) {
            Some(max) => failure(true, max, after.1),
            None => Ok(()),
        }
    }

    /// Runs a verb, which leaves nothing behind if it fails, or if it grows beyond a quota.
    pub fn all_or_none<T>(
        &mut self,
        verb: impl FnOnce(&mut Self) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let before = self.clone();
        let outcome = verb(self).and_then(|result| {
            let grown = SPECS.iter().map(|spec| self.check_growth(spec, before.size(spec), self.size(spec)));
            grown.collect::<Result<(), Failure>>().map(|()| result)
        });
        if outcome.is_err() {
            *self = before;
        }
        outcome
    }

    fn check_soft(
        spec: &Spec,
        values: &Values,
        changed: impl Fn(&str) -> bool,
        around: &Surroundings,
    ) -> Result<(), Failure> {
        for column in spec.columns.iter().filter(|column| changed(column.name)) {
            let fine = match (&column.kind, &values[column.name]) {
                (Kind::Reference { soft: true, .. }, Value::Uuid(id)) => around.soft_targets.contains(id),
                (Kind::Member, Value::Text(user)) => around.members.contains(user),
                _ => true,
            };
            if !fine {
                return Err(Failure::Reference(column.name));
            }
        }
        Ok(())
    }

    fn check_hard(
        &self,
        spec: &Spec,
        own: Uuid,
        values: &Values,
        changed: impl Fn(&str) -> bool,
    ) -> Result<(), Failure> {
        if let Some(unique) = spec.unique.filter(|unique| changed(unique))
            && self.rows(spec).any(|row| row.id != own && row.values[unique] == values[unique])
        {
            return Err(Failure::Unique(vec![unique.to_owned()]));
        }
        for column in spec.columns.iter().filter(|column| changed(column.name)) {
            if let (Kind::Reference { to, soft: false, .. }, Value::Uuid(id)) =
                (&column.kind, &values[column.name])
            {
                let itself = *to == spec.name && *id == own;
                if !itself && self.row(Spec::of(to), *id).is_none() {
                    return Err(Failure::Reference(column.name));
                }
            }
        }
        Ok(())
    }

    /// Whether the row could be inserted; `id` is known only if the caller chose it.
    pub fn check_insert(
        &self,
        spec: &Spec,
        id: Option<Uuid>,
        values: &Values,
        around: &Surroundings,
    ) -> Result<(), Failure> {
        Self::check_soft(spec, values, |_| true, around)?;
        self.check_hard(spec, id.unwrap_or(Uuid::nil()), values, |_| true)?;
        let (rows, bytes) = self.size(spec);
        self.check_growth(spec, (rows, bytes), (rows + 1, bytes + size_of(values)))
    }

    pub fn insert(&mut self, spec: &'static Spec, id: Uuid, values: Values, actor: &str) {
        self.next_number += 1;
        let author = spec.author.then(|| actor.to_owned());
        let changes = changes(spec, |column| (Value::None, values[column].clone()));
        self.log(actor, "insert", spec, id, changes);
        self.ids.push((spec.name, id));
        let row = Row { id, number: self.next_number, version: 1, author, values };
        self.rows.entry(spec.name).or_default().insert(id, row);
    }

    pub fn update(
        &mut self,
        spec: &'static Spec,
        id: Uuid,
        expected: Option<u64>,
        change: impl FnOnce(&mut Values),
        actor: &str,
        around: &Surroundings,
    ) -> Result<u64, Failure> {
        let before = self.row(spec, id).ok_or(Failure::NotFound)?.clone();
        if let Some(expected) = expected.filter(|expected| *expected != before.version) {
            return Err(Failure::Conflict { expected, actual: before.version });
        }
        let mut values = before.values.clone();
        change(&mut values);
        let changed = |name: &str| values[name] != before.values[name];
        Self::check_soft(spec, &values, changed, around)?;
        self.check_hard(spec, id, &values, changed)?;
        let changes = changes(spec, |column| (before.values[column].clone(), values[column].clone()));
        self.log(actor, "update", spec, id, changes);
        let row = self.rows.get_mut(spec.name).and_then(|rows| rows.get_mut(&id)).unwrap();
        row.values = values;
        row.version += 1;
        Ok(row.version)
    }

    pub fn delete(
        &mut self,
        spec: &'static Spec,
        id: Uuid,
        expected: Option<u64>,
        actor: &str,
    ) -> Result<(), Failure> {
        let row = self.row(spec, id).ok_or(Failure::NotFound)?;
        if let Some(expected) = expected.filter(|expected| *expected != row.version) {
            return Err(Failure::Conflict { expected, actual: row.version });
        }
        // What goes along, until nothing is added any more.
        let mut gone = BTreeSet::from([(spec.name, id)]);
        loop {
            let more: Vec<_> = self
                .references(&gone)
                .filter(|r| r.on_delete == OnDelete::Cascade && !gone.contains(&(r.entity, r.from)))
                .map(|r| (r.entity, r.from))
                .collect();
            if more.is_empty() {
                break;
            }
            gone.extend(more);
        }
        let staying: Vec<Reference> =
            self.references(&gone).filter(|r| !gone.contains(&(r.entity, r.from))).collect();
        if let Some(holding) = staying.iter().find(|r| r.on_delete == OnDelete::Restrict) {
            return Err(Failure::Reference(holding.column));
        }
        let mut cleared: BTreeMap<(&'static str, Uuid), Vec<&'static str>> = BTreeMap::new();
        for reference in staying {
            cleared.entry((reference.entity, reference.from)).or_default().push(reference.column);
        }
        for ((entity, from), columns) in cleared {
            let clear = |values: &mut Values| {
                columns.iter().for_each(|column| drop(values.insert(column, Value::None)))
            };
            self.update(Spec::of(entity), from, None, clear, actor, &Surroundings::default()).unwrap();
        }
        for (entity, id) in gone {
            let row = self.rows.get_mut(entity).and_then(|rows| rows.remove(&id)).unwrap();
            let changes = changes(Spec::of(entity), |column| (row.values[column].clone(), Value::None));
            self.log(actor, "delete", Spec::of(entity), id, changes);
        }
        Ok(())
    }

    /// References to any of these rows.
    fn references<'a>(
        &'a self,
        to: &'a BTreeSet<(&'static str, Uuid)>,
    ) -> impl Iterator<Item = Reference> + 'a {
        SPECS.iter().flat_map(move |spec| {
            self.rows(spec).flat_map(move |row| {
                spec.columns.iter().filter_map(move |column| match (column.kind, &row.values[column.name]) {
                    (Kind::Reference { to: entity, on_delete, soft: false }, Value::Uuid(id))
                        if to.contains(&(entity, *id)) =>
                    {
                        Some(Reference { entity: spec.name, from: row.id, column: column.name, on_delete })
                    }
                    _ => None,
                })
            })
        })
    }

    fn log(
        &mut self,
        actor: &str,
        action: &str,
        spec: &Spec,
        record: Uuid,
        changes: BTreeMap<String, Option<(Value, Value)>>,
    ) {
        self.log.push(Entry {
            actor: Some(actor.to_owned()),
            admin: self.admin.map(str::to_owned),
            action: action.to_owned(),
            entity: Some(spec.name.to_owned()),
            record: Some(record),
            changes,
        });
    }
}

/// What a row counts: 64 bytes and its values.
fn size_of(values: &Values) -> u64 {
    let sizes = values.values().map(|value| match value {
        Value::None => 0,
        Value::Text(text) => text.len() as u64,
        Value::Uuid(_) => 16,
        Value::Integer(_) | Value::Time(_) => 8,
        other => panic!("{other:?} is not in the model"),
    });
    64 + sizes.sum::<u64>()
}

struct Reference {
    entity: &'static str,
    from: Uuid,
    column: &'static str,
    on_delete: OnDelete,
}

fn changes(spec: &Spec, of: impl Fn(&str) -> (Value, Value)) -> BTreeMap<String, Option<(Value, Value)>> {
    let changed = spec.columns.iter().filter_map(|column| {
        let (before, after) = of(column.name);
        (before != after).then(|| (column.name.to_owned(), (!column.secret).then_some((before, after))))
    });
    changed.collect()
}
