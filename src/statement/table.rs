//! An entity's physical table: its names, the statements that never change, who refers to it.

use crate::entity::{ColumnKind, Definition, Direction, IndexDefinition, OnDelete, Tenancy};

/// An entity as it lies in the file. The physical table never has the entity's own name.
#[derive(Debug)]
pub(crate) struct Table {
    /// The key in `_entity`.
    pub(crate) key: i64,
    /// The version of the definition.
    pub(crate) version: i64,
    pub(crate) definition: Definition,
    /// References to this table's rows which the engine must look after, found by the catalog.
    pub(crate) inbound: Vec<Inbound>,
    /// Physical names, quoted.
    pub(super) name: String,
    pub(super) id_index: String,
    pub(super) columns: Vec<TableColumn>,
    /// Whether any column is a soft reference.
    soft: bool,
    pub(super) indexes: Vec<PhysicalIndex>,
    /// What a read selects, in the order in which a reader decodes it.
    pub(super) select_list: String,
    pub(super) get_sql: String,
    pub(super) raw_sql: String,
    pub(super) insert_sql: String,
}

/// A hard reference from another table's column.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Inbound {
    /// Position of the referring table in the catalog.
    pub(crate) table: usize,
    /// Position of the referring column.
    pub(crate) column: usize,
    pub(crate) on_delete: OnDelete,
}

#[derive(Debug)]
pub(super) struct TableColumn {
    /// The quoted name.
    pub(super) name: String,
    /// Where a reference points, and how.
    pub(super) target: Option<ReferenceTarget>,
}

#[derive(Debug, Clone)]
pub(super) struct ReferenceTarget {
    /// The quoted name of the table that is referred to.
    pub(super) table: String,
    pub(super) tenancy: Tenancy,
    /// From a member's row to its organization's: no foreign key, none once the target is gone.
    pub(super) soft: bool,
    pub(super) id_index: String,
}

/// An index as it lies in the file: the tenant first, the last declared column ascending, as the
/// row's number behind it is (a descending one is the same index read backwards).
#[derive(Debug)]
pub(super) struct PhysicalIndex {
    pub(super) name: String,
    pub(super) columns: Vec<(String, Direction)>,
    pub(super) unique: bool,
}

impl Table {
    /// `resolve` tells the tenancy of the entity that a reference names.
    pub(crate) fn new(
        key: i64,
        version: i64,
        definition: Definition,
        resolve: impl Fn(&str) -> Tenancy,
    ) -> Self {
        let name = physical(definition.name());
        let columns: Vec<TableColumn> = definition
            .columns()
            .iter()
            .map(|column| TableColumn {
                name: quote(column.name()),
                target: match column.kind() {
                    ColumnKind::Reference { entity, .. } => {
                        let tenancy = resolve(entity);
                        Some(ReferenceTarget {
                            table: physical(entity),
                            id_index: id_index(entity),
                            tenancy,
                            soft: is_soft(definition.tenancy(), tenancy),
                        })
                    }
                    _ => None,
                },
            })
            .collect();
        let indexes = indexes(&definition, &columns);
        let select_list = select_list("t", definition.has_author(), &columns);
        let mut raw_list = String::from("t._version, t._updated");
        for column in &columns {
            raw_list.push_str(", t.");
            raw_list.push_str(&column.name);
        }
        let id_index = id_index(definition.name());
        let by_id = format!("FROM {name} AS t INDEXED BY {id_index} WHERE t._tenant = ?1 AND t._id = ");
        // Soft references read their target through the organization's key, always ?2.
        let soft = columns.iter().any(TableColumn::is_soft);
        let id_param = if soft { "?3" } else { "?2" };
        let get_sql = format!("SELECT {select_list} {by_id}{id_param}");
        let raw_sql = format!("SELECT {raw_list} {by_id}?2");
        let insert_sql = insert_sql(&name, definition.has_author(), &columns);
        Table {
            key,
            version,
            inbound: Vec::new(),
            name,
            id_index,
            columns,
            soft,
            indexes,
            select_list,
            get_sql,
            raw_sql,
            insert_sql,
            definition,
        }
    }

    pub(crate) fn entity(&self) -> &str {
        self.definition.name()
    }

    /// Columns that a read selects before the entity's own: id, version, updated, author if declared.
    pub(crate) fn head_columns(&self) -> usize {
        3 + usize::from(self.definition.has_author())
    }

    /// What a read selects under another alias.
    pub(super) fn select_list_as(&self, alias: &str) -> String {
        select_list(alias, self.definition.has_author(), &self.columns)
    }

    /// The columns that refer to records of an entity, by position.
    pub(crate) fn references_to<'t>(&'t self, entity: &'t str) -> impl Iterator<Item = usize> + 't {
        self.definition.columns().iter().enumerate().filter_map(move |(position, column)| {
            match column.kind() {
                ColumnKind::Reference { entity: target, .. } if target == entity => Some(position),
                _ => None,
            }
        })
    }

    pub(crate) fn has_soft(&self) -> bool {
        self.soft
    }

    /// Whether no foreign key holds the reference: it is checked when it is written.
    pub(crate) fn is_soft_reference(&self, position: usize) -> bool {
        self.columns[position].is_soft()
    }
}

impl TableColumn {
    pub(super) fn is_soft(&self) -> bool {
        self.target.as_ref().is_some_and(|target| target.soft)
    }
}

fn select_list(alias: &str, author: bool, columns: &[TableColumn]) -> String {
    let mut list = format!("{alias}._id, {alias}._version, {alias}._updated");
    if author {
        list.push_str(", ");
        list.push_str(alias);
        list.push_str("._author");
    }
    for column in columns {
        list.push_str(", ");
        list.push_str(&read_expression(column, alias));
    }
    list
}

/// How a column is read: a soft reference is none once its target is gone.
pub(super) fn read_expression(column: &TableColumn, alias: &str) -> String {
    match &column.target {
        Some(target) if target.soft => format!(
            "(SELECT s._id FROM {} AS s INDEXED BY {} WHERE s._tenant = ?2 AND s._id = {alias}.{})",
            target.table, target.id_index, column.name
        ),
        _ => format!("{alias}.{}", column.name),
    }
}

pub(crate) fn is_soft(from: Tenancy, to: Tenancy) -> bool {
    from == Tenancy::Member && to == Tenancy::Organization
}

fn insert_sql(name: &str, author: bool, columns: &[TableColumn]) -> String {
    let mut names = String::from("_rid, _tenant, _id, _version, _updated");
    let mut count = 5;
    if author {
        names.push_str(", _author");
        count += 1;
    }
    for column in columns {
        names.push_str(", ");
        names.push_str(&column.name);
        count += 1;
    }
    let places = (1..=count).map(|n| format!("?{n}")).collect::<Vec<_>>().join(", ");
    format!("INSERT INTO {name} ({names}) VALUES ({places})")
}

/// Declared indexes, then one for each hard reference and the author, unless a declared one
/// already begins with it: deletions and `.mine()` search by them.
fn indexes(definition: &Definition, columns: &[TableColumn]) -> Vec<PhysicalIndex> {
    let mut wanted: Vec<(bool, Vec<(String, Direction)>)> =
        definition.indexes().iter().map(|index| (index.is_unique(), normalise(index))).collect();
    let hard = definition.columns().iter().zip(columns).filter(|(_, physical)| {
        physical.target.as_ref().is_some_and(|target| !target.soft && target.tenancy == definition.tenancy())
    });
    let mut own: Vec<&str> = hard.map(|(column, _)| column.name()).collect();
    if definition.has_author() {
        own.push("_author");
    }
    for name in own {
        if !wanted.iter().any(|(_, columns)| columns[0].0 == name) {
            wanted.push((false, vec![(name.to_owned(), Direction::Asc)]));
        }
    }
    wanted
        .into_iter()
        .enumerate()
        .map(|(number, (unique, columns))| PhysicalIndex {
            name: quote(&format!("_index{}_{}", number + 1, definition.name())),
            columns,
            unique,
        })
        .collect()
}

fn normalise(index: &IndexDefinition) -> Vec<(String, Direction)> {
    let flip = index.columns().last().is_some_and(|(_, direction)| direction == Direction::Desc);
    index
        .columns()
        .map(|(name, direction)| (name.to_owned(), if flip { reverse(direction) } else { direction }))
        .collect()
}

pub(super) fn reverse(direction: Direction) -> Direction {
    match direction {
        Direction::Asc => Direction::Desc,
        Direction::Desc => Direction::Asc,
    }
}

pub(super) fn physical(entity: &str) -> String {
    quote(&format!("_rows_{entity}"))
}

fn id_index(entity: &str) -> String {
    quote(&format!("_id_{entity}"))
}

/// A name between double quotes (<https://sqlite.org/lang_keywords.html>). Definitions hold no
/// double quotes; doubling them all the same keeps this right by itself.
pub(super) fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
