//! The statements that make an entity's table, its indexes, its guards and its view.

use std::fmt::Write as _;

use super::table::{Table, quote};
use crate::entity::{ColumnKind, Direction, Tenancy};

impl Table {
    /// Everything that an entity adds to the file.
    pub(crate) fn create_sql(&self) -> String {
        let mut sql = self.create_table();
        let name = &self.name;
        let id_index = &self.id_index;
        let _ = writeln!(sql, "CREATE UNIQUE INDEX {id_index} ON {name} (_tenant, _id);");
        if self.definition.tenancy() == Tenancy::Reference {
            // Other tenants' rows refer to reference rows by id alone.
            let _ = writeln!(
                sql,
                "CREATE UNIQUE INDEX {} ON {name} (_id);",
                quote(&format!("_key_{}", self.entity()))
            );
        }
        for index in &self.indexes {
            let unique = if index.unique { "UNIQUE " } else { "" };
            let _ = write!(sql, "CREATE {unique}INDEX {} ON {name} (_tenant", index.name);
            for (column, direction) in &index.columns {
                let direction = if *direction == Direction::Desc { " DESC" } else { "" };
                let _ = write!(sql, ", {}{direction}", quote(column));
            }
            sql.push_str(");\n");
        }
        let _ = writeln!(
            sql,
            "CREATE TRIGGER {} BEFORE UPDATE OF _rid, _tenant, _id ON {name}\n\
             BEGIN SELECT RAISE(ABORT, 'a row never changes its tenant or its id'); END;",
            quote(&format!("_fixed_{}", self.entity()))
        );
        sql.push_str(&self.create_view());
        sql
    }

    fn create_table(&self) -> String {
        let name = &self.name;
        let mut sql = format!(
            "CREATE TABLE {name} (\n    _rid INTEGER PRIMARY KEY CHECK (_rid >> 40 = _tenant),\n    \
             _tenant INTEGER NOT NULL,\n    _id TEXT NOT NULL CHECK (length(_id) = 36),\n    \
             _version INTEGER NOT NULL,\n    _updated INTEGER NOT NULL"
        );
        if self.definition.has_author() {
            sql.push_str(",\n    _author TEXT");
        }
        for (column, physical) in self.definition.columns().iter().zip(&self.columns) {
            let quoted = &physical.name;
            let _ = write!(sql, ",\n    {quoted} {}", column.kind().sql_type());
            if !column.is_optional() {
                sql.push_str(" NOT NULL");
            }
            match column.kind() {
                ColumnKind::Boolean => {
                    let _ = write!(sql, " CHECK ({quoted} IN (0, 1))");
                }
                ColumnKind::Uuid | ColumnKind::Reference { .. } => {
                    let _ = write!(sql, " CHECK (length({quoted}) = 36)");
                }
                _ => {}
            }
        }
        sql.push_str(",\n    FOREIGN KEY (_tenant) REFERENCES _tenant (key)");
        for physical in &self.columns {
            let Some(target) = physical.target.as_ref().filter(|target| !target.soft) else { continue };
            let (column, table) = (&physical.name, &target.table);
            if target.tenancy == self.definition.tenancy() {
                let _ =
                    write!(sql, ",\n    FOREIGN KEY (_tenant, {column}) REFERENCES {table} (_tenant, _id)");
            } else {
                let _ = write!(sql, ",\n    FOREIGN KEY ({column}) REFERENCES {table} (_id)");
            }
        }
        sql.push_str("\n) STRICT;\n");
        sql
    }

    /// The row of nobody, so that the table is never empty (`schema.sql` says why).
    pub(crate) fn nobody_sql(&self) -> String {
        let nil = format!("'{}'", uuid::Uuid::nil());
        let mut names = String::from("_rid, _tenant, _id, _version, _updated");
        let mut values = format!("-1, -1, {nil}, 0, 0");
        for (column, physical) in self.definition.columns().iter().zip(&self.columns) {
            if column.is_optional() {
                continue;
            }
            let value = match column.kind() {
                ColumnKind::Uuid | ColumnKind::Reference { .. } => nil.as_str(),
                ColumnKind::Boolean | ColumnKind::Integer | ColumnKind::Time => "0",
                ColumnKind::Real => "0.0",
                ColumnKind::Text | ColumnKind::Choice(_) | ColumnKind::Member => "''",
                ColumnKind::Bytes | ColumnKind::Nested => "x''",
            };
            let _ = write!(names, ", {}", physical.name);
            let _ = write!(values, ", {value}");
        }
        format!("INSERT INTO {} ({names}) VALUES ({values});\n", self.name)
    }

    /// For people who open the file with another tool: owners by name, ids and times as text.
    fn create_view(&self) -> String {
        let view = quote(self.entity());
        let (owner, join) = match self.definition.tenancy() {
            Tenancy::User => ("u.id AS _user", "LEFT JOIN _user AS u ON u.key = t._tenant"),
            Tenancy::Organization => {
                ("o.id AS _organization", "LEFT JOIN _organization AS o ON o.key = t._tenant")
            }
            Tenancy::Member => (
                "o.id AS _organization, u.id AS _user",
                "LEFT JOIN _member AS m ON m.key = t._tenant LEFT JOIN _organization AS o ON o.key = m.organization LEFT JOIN _user AS u ON u.key = m.user",
            ),
            Tenancy::Reference => ("NULL AS _user", ""),
        };
        let mut sql = format!(
            "CREATE VIEW {view} AS SELECT {owner}, t._id, t._version, datetime(t._updated / 1000000, 'unixepoch') AS _updated"
        );
        if self.definition.has_author() {
            sql.push_str(", t._author");
        }
        for (column, physical) in self.definition.columns().iter().zip(&self.columns) {
            let name = format!("t.{}", physical.name);
            let shown = match column.kind() {
                ColumnKind::Time => {
                    format!("strftime('%Y-%m-%dT%H:%M:%fZ', {name} / 1000000.0, 'unixepoch')")
                }
                _ => name,
            };
            let _ = write!(sql, ", {shown} AS {}", physical.name);
        }
        let _ = writeln!(sql, " FROM {} AS t {join} WHERE t._tenant >= 0;", self.name);
        sql
    }
}
