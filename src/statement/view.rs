//! One tenant's rows as a view with readable columns: what the tenant's own SQL reads.
//!
//! Unlike the statements beside it, what runs over such a view is written by the tenant, and SQLite's planner
//! chooses the path. What that asks of the view: the tenant is a literal, so that the planner can use the indexes,
//! which all lead with it; the columns that are searched by are plain; nothing has an alias, so that a plan names
//! the physical table.

use std::fmt::Write as _;

use super::Reach;
use super::table::{Table, quote};
use crate::entity::{ColumnKind, Tenancy};
use crate::identity::TenantKey;

/// A `SELECT` for a view, and what it reads.
#[derive(Debug)]
pub(crate) struct View {
    /// The name under which it is seen.
    pub(crate) name: String,
    pub(crate) select: String,
    /// Physical tables, unquoted: the one whose rows are seen first.
    pub(crate) tables: Vec<String>,
    pub(crate) reached: Reached,
    /// Whose records of which entities a statement over it reads, where the entity asks for a note of that.
    pub(crate) noted: Vec<(TenantKey, String)>,
}

/// How a plan reaches the rows of a view's table, and no other tenant's.
#[derive(Debug)]
pub(crate) enum Reached {
    /// By one of these indexes, in which the tenant is first. Unquoted.
    ByTenant(Vec<String>),
    /// In any way: all rows are everybody's.
    Freely(Vec<String>),
    /// As the log is: by its key's range.
    ByRange,
}

/// The columns that every record has beside its entity's own, and how they are shown.
const RECORD: [(&str, &str); 3] = [
    ("version", "_version"),
    ("created", "CAST(uuid_time(_id) AS TEXT)"),
    ("updated", "CAST(utc_text(_updated) AS TEXT)"),
];

impl Table {
    /// The rows that a session reaches, as it sees them.
    pub(crate) fn view(&self, reach: Reach) -> View {
        let definition = &self.definition;
        let mut columns = vec![format!("_id AS {}", self.shown("id"))];
        let mut tables = vec![physical(self.entity())];
        for (column, physical_column) in definition.columns().iter().zip(&self.columns) {
            let name = &physical_column.name;
            let shown = match (column.kind(), &physical_column.target) {
                (ColumnKind::Time, _) => format!("{} AS {name}", text(&format!("utc_text({name})"))),
                (ColumnKind::Nested, _) => {
                    format!("{} AS {name}", text(&format!("messagepack_json({name})")))
                }
                (ColumnKind::Reference { entity, .. }, Some(target)) if target.soft => {
                    tables.push(physical(entity));
                    let (table, own) = (&target.table, &self.name);
                    // None in a scope without the organization, which no session of members is.
                    let organization = reach.organization.map_or(-1, TenantKey::get);
                    format!(
                        "CAST((SELECT {table}._id FROM main.{table} WHERE {table}._tenant = {organization} AND {table}._id = {own}.{name}) AS TEXT) AS {name}"
                    )
                }
                _ => name.clone(),
            };
            columns.push(shown);
        }
        for (name, value) in RECORD {
            columns.push(format!("{value} AS {}", self.shown(name)));
        }
        if definition.has_author() {
            columns.push(format!("_author AS {}", self.shown("author")));
        }
        let select = format!(
            "SELECT {} FROM main.{} WHERE _tenant = {}",
            columns.join(", "),
            self.name,
            reach.tenant.get()
        );
        let name = self.entity().to_owned();
        let noted = if definition.audits_reads() { vec![(reach.tenant, name.clone())] } else { Vec::new() };
        View { name, select, tables, reached: self.reached(), noted }
    }

    fn reached(&self) -> Reached {
        let declared = self.indexes.iter().map(|index| &index.name);
        let mut indexes: Vec<String> =
            [&self.id_index].into_iter().chain(declared).map(|name| unquote(name)).collect();
        if self.definition.tenancy() == Tenancy::Reference {
            indexes.push(format!("_key_{}", self.entity()));
            return Reached::Freely(indexes);
        }
        Reached::ByTenant(indexes)
    }

    /// What a column of every record is called beside the entity's own.
    fn shown(&self, name: &str) -> String {
        let taken = self.definition.columns().iter().any(|column| column.name().eq_ignore_ascii_case(name));
        quote(&if taken { format!("_{name}") } else { name.to_owned() })
    }
}

/// What an expression gives, as a column of text: comparisons treat a column otherwise than an expression
/// (<https://sqlite.org/datatype3.html#type_affinity>).
fn text(expression: &str) -> String {
    format!("CAST({expression} AS TEXT)")
}

fn physical(entity: &str) -> String {
    unquote(&super::table::physical(entity))
}

fn unquote(name: &str) -> String {
    name.trim_matches('"').to_owned()
}

/// A tenant's log, which tells of the records of these entities. Users are looked up in subqueries, which the planner can't turn round: in a join it could begin
/// with users of whom the log says nothing.
pub(crate) fn log_view<'t>(name: &str, tenant: TenantKey, entities: impl Iterator<Item = &'t Table>) -> View {
    let mask = (1_i64 << TenantKey::NUMBER_BITS) - 1;
    let user = |column: &str| {
        format!(
            "CAST((SELECT _actor.id FROM main._actor WHERE _actor.mark = _audit.{column}) AS TEXT) AS {column}"
        )
    };
    let mut select =
        format!("SELECT CAST(key & {mask} AS INTEGER) AS number, txn, {}, {}", user("actor"), user("admin"));
    let _ = write!(
        select,
        ", {} AS device, clock, {} AS time, action, entity, {} AS record, outcome, definition, undoes, reason, {} AS changes \
         FROM main._audit INDEXED BY sqlite_autoindex__audit_1 WHERE key BETWEEN {} AND {}",
        text("uuid_text(device)"),
        text("utc_text(time)"),
        text("uuid_text(record)"),
        text("audit_json(body)"),
        tenant.first(),
        tenant.last()
    );
    let tables = vec!["_audit".to_owned(), "_actor".to_owned()];
    let noted = entities
        .filter(|table| table.definition.audits_reads())
        .map(|table| (tenant, table.entity().to_owned()))
        .collect();
    View { name: name.to_owned(), select, tables, reached: Reached::ByRange, noted }
}
