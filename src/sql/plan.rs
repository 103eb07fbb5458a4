//! Plans: the guard that looks at each before it runs, and what a tenant sees of them.
//!
//! The views alone do not keep a tenant's expressions from other tenants' rows: a plan may evaluate them before it
//! compares the tenant, and an expression that fails on a chosen value tells of it. So each access to a physical
//! table has to be a search by an index whose first column is the tenant. The text of a plan is no stable interface
//! (<https://sqlite.org/eqp.html>): the version of SQLite is pinned, and tests hold these forms.

use rusqlite::Connection;

use crate::statement::{Reached, View};

/// One step of a plan, as SQLite's `EXPLAIN QUERY PLAN` gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PlanStep {
    /// The step's number.
    pub id: i64,
    /// The number of the step that it is a part of; 0 for none.
    pub parent: i64,
    /// What it does, in the tenant's own names.
    pub detail: String,
}

/// How steps begin that reach no physical table; whatever else there may be is refused.
const STEPS: [&str; 27] = [
    "BLOOM FILTER ON ",
    "CO-ROUTINE ",
    "COMPOUND QUERY",
    "CORRELATED LIST SUBQUERY ",
    "CORRELATED SCALAR SUBQUERY ",
    "CREATE BLOOM FILTER",
    "EXCEPT USING TEMP B-TREE",
    "INDEX ",
    "INTERSECT USING TEMP B-TREE",
    "LEFT",
    "LEFT-MOST SUBQUERY",
    "LIST SUBQUERY ",
    "MATERIALIZE ",
    "MERGE (",
    "MULTI-INDEX OR",
    "RECURSIVE STEP",
    "REUSE LIST SUBQUERY ",
    "REUSE SUBQUERY ",
    "RIGHT",
    "RIGHT-JOIN ",
    "SCALAR SUBQUERY ",
    "SCAN ",
    "SEARCH ",
    "SETUP",
    "UNION ALL",
    "UNION USING TEMP B-TREE",
    "USE TEMP B-TREE FOR ",
];

/// Physical tables that a scope's views read, with how each may be reached, and how the tenant knows it.
#[derive(Debug, Default)]
pub(super) struct Paths {
    /// Beginnings of steps that reach one tenant's rows only.
    accepted: Vec<String>,
    /// Whole steps that do.
    whole: Vec<String>,
    /// Names of physical tables and indexes.
    physical: Vec<String>,
    /// What stands for them in a tenant's plan: longest first, so that none is part of another one.
    shown: Vec<(String, String)>,
}

impl Paths {
    /// What a view reads.
    pub(super) fn view(&mut self, view: &View) {
        let table = &view.tables[0];
        self.name(table, &view.name);
        match &view.reached {
            Reached::ByTenant(indexes) => {
                for index in indexes {
                    for rest in [")", " AND "] {
                        self.accept(table, &format!("{index} (_tenant=?{rest}"));
                    }
                    self.name(index, index.trim_start_matches('_'));
                }
            }
            Reached::Freely(indexes) => {
                for rest in [" USING ", " LEFT-JOIN"] {
                    self.accepted.extend(["SCAN", "SEARCH"].map(|how| format!("{how} main.{table}{rest}")));
                }
                self.whole.push(format!("SCAN main.{table}"));
                indexes.iter().for_each(|index| self.name(index, index.trim_start_matches('_')));
            }
            Reached::ByRange => {
                self.accept(table, "sqlite_autoindex__audit_1 (key>? AND key<?)");
                // Each by itself, for an entry.
                self.accepted.push("SEARCH main._actor USING PRIMARY KEY (mark=?)".to_owned());
                self.name("_actor", "actor");
                self.name("_user", "user");
            }
        }
    }

    fn accept(&mut self, table: &str, index: &str) {
        for using in ["INDEX", "COVERING INDEX"] {
            self.accepted.push(format!("SEARCH main.{table} USING {using} {index}"));
        }
    }

    fn name(&mut self, physical: &str, shown: &str) {
        self.physical.push(physical.to_owned());
        self.shown.push((physical.to_owned(), shown.to_owned()));
    }

    /// A hidden view, behind the one of this name.
    pub(super) fn hidden(&mut self, hidden: &str, shown: &str) {
        self.shown.push((hidden.to_owned(), shown.to_owned()));
    }

    pub(super) fn finish(&mut self) {
        self.shown.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
    }

    /// Whether every step reaches this tenant's rows only.
    pub(super) fn accepts(&self, plan: &[PlanStep]) -> bool {
        plan.iter().all(|step| {
            let detail = &step.detail;
            if self.physical.iter().any(|name| detail.contains(name)) {
                self.whole.contains(detail)
                    || self.accepted.iter().any(|accepted| detail.starts_with(accepted))
            } else {
                // Over results that are there already.
                STEPS.iter().any(|step| detail.starts_with(step))
            }
        })
    }

    /// The plan as if the tenant's tables were its own.
    pub(super) fn show(&self, plan: Vec<PlanStep>) -> Vec<PlanStep> {
        plan.into_iter().map(|step| PlanStep { detail: self.show_detail(&step.detail), ..step }).collect()
    }

    fn show_detail(&self, detail: &str) -> String {
        let mut shown = detail
            .replace("(_tenant=? AND ", "(")
            .replace(" (_tenant=?)", "")
            .replace(" USING INDEX sqlite_autoindex__audit_1 (key>? AND key<?)", "");
        if shown.len() != detail.len() && !shown.contains('(') {
            // All of the tenant's rows are all rows of its own table.
            shown = shown.replacen("SEARCH", "SCAN", 1);
        }
        for (name, seen) in &self.shown {
            shown = shown.replace(name, seen);
        }
        shown
            .replace("main.", "")
            .replace("(_id=?", "(id=?")
            .replace("(_id>", "(id>")
            .replace("(_id<", "(id<")
    }
}

/// What SQLite would do.
pub(super) fn read(connection: &Connection, text: &str) -> rusqlite::Result<Vec<PlanStep>> {
    let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {text}"))?;
    let mut rows = statement.raw_query();
    let mut plan = Vec::new();
    while let Some(row) = rows.next()? {
        plan.push(PlanStep { id: row.get(0)?, parent: row.get(1)?, detail: row.get(3)? });
    }
    Ok(plan)
}
