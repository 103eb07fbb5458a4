//! All entities of a store, and how they refer to each other.

use std::collections::HashMap;
use std::sync::Arc;

use super::StoredDefinition;
use crate::entity::{ColumnKind, Definition, OnDelete, Tenancy};
use crate::error::{Error, Result};
use crate::quota::Quota;
use crate::statement::{Inbound, Table};

/// The entities that a store holds.
#[derive(Debug)]
pub(crate) struct Catalog {
    tables: Vec<Arc<Table>>,
    by_name: HashMap<String, usize>,
    /// By the entity's key.
    quotas: HashMap<i64, Quota>,
}

impl Catalog {
    /// Checks what one definition can't know by itself: names and references.
    pub(crate) fn new(stored: Vec<StoredDefinition>) -> Result<Self> {
        let mut by_name = HashMap::new();
        let mut folded = HashMap::new();
        for (position, stored) in stored.iter().enumerate() {
            let name = stored.definition.name();
            by_name.insert(name.to_owned(), position);
            if let Some(other) = folded.insert(name.to_ascii_lowercase(), name) {
                return Err(Error::schema(format!(
                    "entities {other:?} and {name:?} differ only in case, which SQLite ignores"
                )));
            }
        }
        let tenancies: HashMap<String, Tenancy> =
            stored.iter().map(|s| (s.definition.name().to_owned(), s.definition.tenancy())).collect();
        let mut inbound: Vec<Vec<Inbound>> = stored.iter().map(|_| Vec::new()).collect();
        for (table, stored) in stored.iter().enumerate() {
            for (column, on_delete, target) in references(&stored.definition) {
                let Some(&position) = by_name.get(target) else {
                    let name = stored.definition.columns()[column].name();
                    return Err(Error::schema(format!(
                        "entity {:?}: column {name:?} refers to the entity {target:?}, which is not registered; add it to the builder",
                        stored.definition.name()
                    )));
                };
                check_reference(&stored.definition, column, on_delete, tenancies[target])?;
                if tenancies[target] == stored.definition.tenancy() {
                    inbound[position].push(Inbound { table, column, on_delete });
                }
            }
        }
        let tables = stored
            .into_iter()
            .zip(inbound)
            .map(|(stored, inbound)| {
                let resolve = |entity: &str| tenancies.get(entity).copied().unwrap_or(Tenancy::User);
                let mut table = Table::new(stored.key, stored.version, stored.definition, resolve);
                table.inbound = inbound;
                Arc::new(table)
            })
            .collect();
        Ok(Self { tables, by_name, quotas: HashMap::new() })
    }

    /// What each tenant may have of an entity, unless it has a quota of its own.
    pub(crate) fn set_quotas(&mut self, quotas: &[(String, Quota)]) -> Result<()> {
        for (entity, quota) in quotas {
            let key = self.get(entity)?.key;
            self.quotas.insert(key, *quota);
        }
        Ok(())
    }

    pub(crate) fn quota(&self, table: &Table) -> Quota {
        self.quotas.get(&table.key).copied().unwrap_or_default()
    }

    pub(crate) fn tables(&self) -> &[Arc<Table>] {
        &self.tables
    }

    pub(crate) fn get(&self, name: &str) -> Result<&Arc<Table>> {
        match self.by_name.get(name) {
            Some(&position) => Ok(&self.tables[position]),
            None => {
                Err(Error::schema(format!("the store has no entity {name:?}; register it with the builder")))
            }
        }
    }
}

fn references(definition: &Definition) -> impl Iterator<Item = (usize, OnDelete, &str)> {
    definition.columns().iter().enumerate().filter_map(|(position, column)| match column.kind() {
        ColumnKind::Reference { entity, on_delete } => Some((position, *on_delete, entity.as_str())),
        _ => None,
    })
}

fn check_reference(
    definition: &Definition,
    column: usize,
    on_delete: OnDelete,
    target: Tenancy,
) -> Result<()> {
    let own = definition.tenancy();
    let column = &definition.columns()[column];
    let fail = |problem: String| {
        Err(Error::schema(format!("entity {:?}: column {:?} {problem}", definition.name(), column.name())))
    };
    if own == target && own != Tenancy::Reference || own == Tenancy::Reference && target == Tenancy::Reference
    {
        return Ok(());
    }
    match (own, target) {
        (Tenancy::Member, Tenancy::Organization) if !column.is_optional() => {
            fail("refers from a member's record to the organization's, which may go without asking: make it optional".to_owned())
        }
        (Tenancy::Member, Tenancy::Organization) | (_, Tenancy::Reference) if on_delete != OnDelete::Restrict => {
            fail(format!("refers to an entity of tenancy `{target}`; `on_delete` is for references within one tenancy"))
        }
        (Tenancy::Member, Tenancy::Organization) | (_, Tenancy::Reference) => Ok(()),
        _ => fail(format!("refers from tenancy `{own}` to tenancy `{target}`, which would cross tenants")),
    }
}
