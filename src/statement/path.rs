//! Access paths: how SQLite is told to reach a tenant's rows.

use super::table::{Table, reverse};
use crate::entity::Direction;
use crate::query::{Comparison, Node};

/// How SQLite is told to reach the tenant's rows.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Path<'t> {
    /// Through an index, whose first column is the tenant.
    Index(&'t str),
    /// Through the index of ids, for their order alone.
    Ids,
    /// Through the tenant's own range of the primary key.
    Range,
    /// The same in its own order, if the tenant's head says that it is the order of the ids.
    Walk,
}

impl<'t> Path<'t> {
    /// The index that the filter narrows most, or the one in whose order a page lies, or the
    /// tenant's range. Never left to the planner, which knows no statistics and prefers any
    /// tenant-led index to the range.
    pub(super) fn choose(
        table: &'t Table,
        filter: Option<&Node>,
        page_order: Option<&[(&str, Direction)]>,
    ) -> Self {
        let mut best: (usize, Option<&'t str>) = (0, None);
        if let Some(filter) = filter {
            let conjuncts: &[Node] =
                if let Node::All(nodes) = filter { nodes } else { std::slice::from_ref(filter) };
            let id_score = conjuncts.iter().map(id_use).max().unwrap_or(0);
            if id_score > 0 {
                best = (id_score, Some(&table.id_index));
            }
            for index in &table.indexes {
                let score = index_use(conjuncts, index.columns.iter().map(|(name, _)| name.as_str()));
                if score > best.0 {
                    best = (score, Some(&index.name));
                }
            }
        }
        if let Some(index) = best.1 {
            return Path::Index(index);
        }
        if let Some(sort) = page_order {
            if sort.is_empty() {
                return Path::Ids;
            }
            if let Some(index) = table.indexes.iter().find(|index| in_order(&index.columns, sort)) {
                return Path::Index(&index.name);
            }
        }
        Path::Range
    }
}

/// How a condition narrows one column: 2 for equality, 1 for a range.
fn use_of(node: &Node, column: &str) -> usize {
    match node {
        Node::Compare { column: c, comparison: Comparison::Eq, .. }
        | Node::In { column: c, .. }
        | Node::IsNone { column: c }
            if c == column =>
        {
            2
        }
        Node::Compare { column: c, comparison, .. } if c == column && *comparison != Comparison::Ne => 1,
        Node::Between { column: c, .. } | Node::StartsWith { column: c, .. } if c == column => 1,
        _ => 0,
    }
}

fn id_use(node: &Node) -> usize {
    match (use_of(node, "_id"), use_of(node, "_created")) {
        (2, _) => usize::MAX,
        (id, created) => usize::from(id + created > 0),
    }
}

/// How well the conditions narrow an index: equalities on its first columns, then a range.
fn index_use<'c>(conjuncts: &[Node], columns: impl Iterator<Item = &'c str>) -> usize {
    let mut score = 0;
    for column in columns {
        match conjuncts.iter().map(|node| use_of(node, column)).max() {
            Some(2) => score += 2,
            Some(1) => return score + 1,
            _ => break,
        }
    }
    score
}

/// Whether an index, walked forwards or backwards, gives the order.
fn in_order(index: &[(String, Direction)], sort: &[(&str, Direction)]) -> bool {
    let Some(flipped) = index.first().zip(sort.first()).map(|(i, s)| i.1 != s.1) else { return false };
    // A longer index would give ties another order than the row's number.
    index.len() == sort.len()
        && index.iter().zip(sort).all(|((name, direction), (wanted, wanted_direction))| {
            name == wanted && *wanted_direction == if flipped { reverse(*direction) } else { *direction }
        })
}
