//! What the store knows of an entity: columns, tenancy, indexes, references.

use std::collections::HashSet;
use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::value::Value;
use crate::error::{Error, Result};

/// Who owns an entity's rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tenancy {
    /// One user.
    User,
    /// One organization; its members share the rows.
    Organization,
    /// One user within one organization.
    Member,
    /// Nobody; every session reads the rows.
    Reference,
}

impl Tenancy {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Tenancy::User => "user",
            Tenancy::Organization => "organization",
            Tenancy::Member => "member",
            Tenancy::Reference => "reference",
        }
    }
}

impl fmt::Display for Tenancy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What the deletion of a record does to the records that refer to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnDelete {
    /// It is refused while there are any.
    #[default]
    Restrict,
    /// They are deleted too.
    Cascade,
    /// Their reference becomes none.
    SetNull,
}

/// What a column holds.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ColumnKind {
    /// `INTEGER`, 0 or 1.
    Boolean,
    /// `INTEGER`.
    Integer,
    /// `REAL`.
    Real,
    /// `TEXT`.
    Text,
    /// `BLOB`.
    Bytes,
    /// `TEXT` of 36 characters, as RFC 9562 writes it.
    Uuid,
    /// `INTEGER`: microseconds since the Unix epoch, UTC.
    Time,
    /// `TEXT`: one of these.
    Choice(Vec<String>),
    /// `BLOB`: MessagePack.
    Nested,
    /// `TEXT` of 36 characters: the id of a record of the entity.
    ///
    /// Within a tenancy, or to a reference entity, the database enforces it. From a member's
    /// record to one of the organization it is soft: checked when written, and read as none once
    /// its target is gone.
    Reference {
        /// The entity that is referred to.
        entity: String,
        /// What the deletion of the target does.
        on_delete: OnDelete,
    },
    /// `TEXT`: the id of a user who is a member of the organization when it is written.
    Member,
}

impl ColumnKind {
    /// How SQLite stores it.
    pub(crate) fn sql_type(&self) -> &'static str {
        match self {
            ColumnKind::Boolean | ColumnKind::Integer | ColumnKind::Time => "INTEGER",
            ColumnKind::Real => "REAL",
            ColumnKind::Text
            | ColumnKind::Choice(_)
            | ColumnKind::Member
            | ColumnKind::Uuid
            | ColumnKind::Reference { .. } => "TEXT",
            ColumnKind::Bytes | ColumnKind::Nested => "BLOB",
        }
    }

    /// Whether values of the kind have an order that filters, indexes and sorting can use.
    pub(crate) fn is_ordered(&self) -> bool {
        !matches!(self, ColumnKind::Nested)
    }

    pub(crate) fn is_text(&self) -> bool {
        matches!(self, ColumnKind::Text | ColumnKind::Choice(_) | ColumnKind::Member)
    }

    fn describe(&self) -> &'static str {
        match self {
            ColumnKind::Boolean => "a boolean",
            ColumnKind::Integer => "an integer",
            ColumnKind::Real => "a float",
            ColumnKind::Text => "text",
            ColumnKind::Bytes => "bytes",
            ColumnKind::Uuid => "a UUID",
            ColumnKind::Time => "a time",
            ColumnKind::Choice(_) => "one of its choices, as text",
            ColumnKind::Nested => "a nested value",
            ColumnKind::Reference { .. } => "an id",
            ColumnKind::Member => "a user's id",
        }
    }
}

/// One column of an entity.
///
/// ```
/// use tenantry::{ColumnDefinition, ColumnKind};
/// let due = ColumnDefinition::new("due", ColumnKind::Time).optional();
/// assert_eq!(due.name(), "due");
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ColumnDefinition {
    pub(crate) name: String,
    pub(crate) kind: ColumnKind,
    #[serde(default, skip_serializing_if = "is_false")]
    pub(crate) optional: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    pub(crate) secret: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) default: Option<DefaultValue>,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde calls it with a reference
fn is_false(flag: &bool) -> bool {
    !flag
}

/// A column's default: the scalars that a definition can spell.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum DefaultValue {
    Boolean(bool),
    Integer(i64),
    Real(f64),
    Text(String),
}

impl DefaultValue {
    pub(crate) fn to_value(&self) -> Value {
        match self {
            DefaultValue::Boolean(v) => Value::Boolean(*v),
            DefaultValue::Integer(v) => Value::Integer(*v),
            DefaultValue::Real(v) => Value::Real(*v),
            DefaultValue::Text(v) => Value::Text(v.clone()),
        }
    }
}

impl From<bool> for DefaultValue {
    fn from(v: bool) -> Self {
        DefaultValue::Boolean(v)
    }
}
impl From<i64> for DefaultValue {
    fn from(v: i64) -> Self {
        DefaultValue::Integer(v)
    }
}
impl From<f64> for DefaultValue {
    fn from(v: f64) -> Self {
        DefaultValue::Real(v)
    }
}
impl From<&str> for DefaultValue {
    fn from(v: &str) -> Self {
        DefaultValue::Text(v.to_owned())
    }
}

impl ColumnDefinition {
    /// A required column.
    #[must_use]
    pub fn new(name: impl Into<String>, kind: ColumnKind) -> Self {
        Self { name: name.into(), kind, optional: false, secret: false, default: None }
    }

    /// Lets the column hold no value.
    #[must_use]
    pub fn optional(mut self) -> Self {
        self.optional = true;
        self
    }

    /// Keeps the column's values out of the audit log, errors, logs, cursors and `Debug` of what the library returns. A
    /// default is no value: it is part of the definition, which is shown.
    #[must_use]
    pub fn secret(mut self) -> Self {
        self.secret = true;
        self
    }

    /// The value of the column where a dynamic insert leaves it out: a boolean, integer, float
    /// or text, as the column's kind asks.
    #[must_use]
    #[allow(private_bounds)]
    pub fn default(mut self, value: impl Into<DefaultValue>) -> Self {
        self.default = Some(value.into());
        self
    }

    /// The column's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the column holds.
    #[must_use]
    pub fn kind(&self) -> &ColumnKind {
        &self.kind
    }

    /// Whether the column may hold no value.
    #[must_use]
    pub fn is_optional(&self) -> bool {
        self.optional
    }

    /// Whether the column's values are kept out of the audit log.
    #[must_use]
    pub fn is_secret(&self) -> bool {
        self.secret
    }

    /// Checks a value against the column and brings it to the form in which it is stored, so
    /// that what is read equals what was written.
    pub(crate) fn accept(&self, value: &mut Value) -> Result<()> {
        let matches = match (&self.kind, &mut *value) {
            (_, Value::None) => {
                return if self.optional {
                    Ok(())
                } else {
                    Err(Error::invalid(&self.name, "a value is required"))
                };
            }
            (ColumnKind::Boolean, Value::Boolean(_))
            | (ColumnKind::Integer, Value::Integer(_))
            | (ColumnKind::Bytes, Value::Bytes(_))
            | (ColumnKind::Uuid | ColumnKind::Reference { .. }, Value::Uuid(_))
            | (ColumnKind::Nested, Value::Nested(_)) => true,
            (ColumnKind::Real, Value::Real(real)) => {
                if real.is_nan() {
                    // SQLite stores NaN as NULL (https://sqlite.org/floatingpoint.html).
                    return Err(Error::invalid(&self.name, "NaN can not be stored"));
                }
                if *real == 0.0 {
                    *real = 0.0; // SQLite does not keep the sign of zero.
                }
                true
            }
            (ColumnKind::Time, Value::Time(time)) => {
                *time = truncate_to_micros(*time);
                true
            }
            (ColumnKind::Text, Value::Text(text)) => {
                if text.contains('\0') {
                    // https://sqlite.org/nulinstr.html: such text behaves surprisingly.
                    return Err(Error::invalid(&self.name, "text must not hold U+0000; store it as bytes"));
                }
                true
            }
            (ColumnKind::Choice(choices), Value::Text(text)) => {
                if !choices.contains(text) {
                    return Err(Error::invalid(&self.name, format!("must be one of {}", choices.join(", "))));
                }
                true
            }
            (ColumnKind::Member, Value::Text(text)) => {
                crate::UserId::new(&*text)
                    .map_err(|_| Error::invalid(&self.name, "is not a valid user id"))?;
                true
            }
            _ => false,
        };
        if matches {
            Ok(())
        } else {
            Err(Error::invalid(
                &self.name,
                format!("must be {}, not {}", self.kind.describe(), value.type_name()),
            ))
        }
    }
}

pub(crate) fn truncate_to_micros(time: jiff::Timestamp) -> jiff::Timestamp {
    time_from_micros(time.as_microsecond()).unwrap_or(time)
}

/// The time of stored microseconds. `Timestamp::from_microsecond` refuses the last second of
/// jiff's own range, which `Timestamp::MAX` lies in, and what was stored must be read.
#[inline]
pub(crate) fn time_from_micros(microseconds: i64) -> Option<jiff::Timestamp> {
    let nanoseconds = i32::try_from(microseconds.rem_euclid(1_000_000) * 1_000).ok()?;
    jiff::Timestamp::new(microseconds.div_euclid(1_000_000), nanoseconds).ok()
}

/// Ascending or descending.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// Smallest first; no value comes before every value.
    #[default]
    Asc,
    /// Largest first; no value comes last.
    Desc,
}

/// An index, or a set of columns that must be unique together within a tenant. The tenant column
/// is put in front of it.
///
/// ```
/// use tenantry::IndexDefinition;
/// let index = IndexDefinition::new(["status"]).desc("due");
/// assert_eq!(index.columns().count(), 2);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct IndexDefinition {
    pub(crate) columns: Vec<(String, Direction)>,
    #[serde(default, skip_serializing_if = "is_false")]
    pub(crate) unique: bool,
}

impl IndexDefinition {
    /// An index over ascending columns.
    #[must_use]
    pub fn new<I>(columns: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        Self { columns: columns.into_iter().map(|c| (c.into(), Direction::Asc)).collect(), unique: false }
    }

    /// Adds an ascending column.
    #[must_use]
    pub fn asc(mut self, column: impl Into<String>) -> Self {
        self.columns.push((column.into(), Direction::Asc));
        self
    }

    /// Adds a descending column.
    #[must_use]
    pub fn desc(mut self, column: impl Into<String>) -> Self {
        self.columns.push((column.into(), Direction::Desc));
        self
    }

    /// The columns and their directions, without the tenant.
    pub fn columns(&self) -> impl Iterator<Item = (&str, Direction)> {
        self.columns.iter().map(|(name, direction)| (name.as_str(), *direction))
    }

    /// Whether the columns must be unique together within a tenant.
    #[must_use]
    pub fn is_unique(&self) -> bool {
        self.unique
    }
}

/// Everything the store knows of an entity; `#[derive(Entity)]` and this builder make the same.
///
/// ```
/// use tenantry::{ColumnDefinition, ColumnKind, Definition, IndexDefinition, Store, Tenancy};
/// # fn main() -> tenantry::Result<()> {
/// let bookmark = Definition::new("bookmark", Tenancy::User)
///     .column(ColumnDefinition::new("url", ColumnKind::Text))
///     .column(ColumnDefinition::new("read", ColumnKind::Boolean).default(false))
///     .unique(["url"])
///     .index(IndexDefinition::new(["read"]));
/// let store = Store::builder().definition(bookmark).temporary()?;
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Definition {
    pub(crate) name: String,
    pub(crate) tenancy: Tenancy,
    #[serde(default, skip_serializing_if = "is_false")]
    pub(crate) author: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    pub(crate) audit_reads: bool,
    pub(crate) columns: Vec<ColumnDefinition>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) indexes: Vec<IndexDefinition>,
}

/// Names that the views of the store itself take.
const RESERVED_ENTITIES: [&str; 5] = ["audit", "private_audit", "members", "main", "temp"];

/// SQLite's own limit is 2,000; the tenants' SQL allows fewer.
const COLUMNS_MAX: usize = 90;

impl Definition {
    /// An entity without columns.
    #[must_use]
    pub fn new(name: impl Into<String>, tenancy: Tenancy) -> Self {
        Self {
            name: name.into(),
            tenancy,
            author: false,
            audit_reads: false,
            columns: Vec::new(),
            indexes: Vec::new(),
        }
    }

    /// Adds a column.
    #[must_use]
    pub fn column(mut self, column: ColumnDefinition) -> Self {
        self.columns.push(column);
        self
    }

    /// Adds an index.
    #[must_use]
    pub fn index(mut self, index: IndexDefinition) -> Self {
        self.indexes.push(index);
        self
    }

    /// Makes columns unique together within a tenant.
    #[must_use]
    pub fn unique<I>(mut self, columns: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        let mut index = IndexDefinition::new(columns);
        index.unique = true;
        self.indexes.push(index);
        self
    }

    /// Records which user made each record of an organization's entity.
    #[must_use]
    pub fn author(mut self) -> Self {
        self.author = true;
        self
    }

    /// Whether it is recorded who reads the entity's records, for
    /// [`Audit::reads`](crate::Audit::reads).
    ///
    /// This alone of a definition can change under a store that holds the entity already: it is as the
    /// program says that opened the store for writing last.
    ///
    /// ```
    /// use tenantry::{ColumnDefinition, ColumnKind, Definition, Store, Tenancy};
    /// # fn main() -> tenantry::Result<()> {
    /// let diagnosis = Definition::new("diagnosis", Tenancy::User)
    ///     .column(ColumnDefinition::new("text", ColumnKind::Text))
    ///     .audit_reads(true);
    /// let store = Store::builder().definition(diagnosis).temporary()?;
    /// assert!(store.definitions()[0].audits_reads());
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn audit_reads(mut self, audited: bool) -> Self {
        self.audit_reads = audited;
        self
    }

    /// The entity's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Who owns the entity's rows.
    #[must_use]
    pub fn tenancy(&self) -> Tenancy {
        self.tenancy
    }

    /// Whether the user who made a record is recorded.
    #[must_use]
    pub fn has_author(&self) -> bool {
        self.author
    }

    /// Whether it is recorded who reads the entity's records.
    #[must_use]
    pub fn audits_reads(&self) -> bool {
        self.audit_reads
    }

    /// Whether records are the same under both: all but who is told of reads.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        // Taken apart, so that what is added to a definition is decided upon here.
        let Self { name, tenancy, author, audit_reads: _, columns, indexes } = self;
        (name, tenancy, author, columns, indexes)
            == (&other.name, &other.tenancy, &other.author, &other.columns, &other.indexes)
    }

    /// The columns, in order.
    #[must_use]
    pub fn columns(&self) -> &[ColumnDefinition] {
        &self.columns
    }

    /// The declared indexes and unique sets.
    #[must_use]
    pub fn indexes(&self) -> &[IndexDefinition] {
        &self.indexes
    }

    pub(crate) fn position(&self, column: &str) -> Option<usize> {
        self.columns.iter().position(|c| c.name == column)
    }

    /// SHA-256 of the definition's JSON, which has one form since its fields have one order.
    pub(crate) fn hash(&self) -> [u8; 32] {
        Sha256::digest(self.to_json()).into()
    }

    pub(crate) fn to_json(&self) -> String {
        // A definition holds strings, flags and finite numbers, which always serialise.
        serde_json::to_string(self).unwrap_or_default()
    }

    pub(crate) fn from_json(json: &str) -> Result<Self> {
        serde_json::from_str(json).map_err(|error| Error::Corrupt {
            what: "the store holds a definition that can not be read".to_owned(),
            source: Some(error.into()),
        })
    }

    /// Everything that can be wrong with one definition by itself.
    pub(crate) fn validate(&self) -> Result<()> {
        let entity = &self.name;
        let fail = |problem: String| Err(Error::schema(format!("entity {entity:?}: {problem}")));
        if let Err(problem) = check_name(entity) {
            return fail(problem);
        }
        if RESERVED_ENTITIES.iter().any(|r| r.eq_ignore_ascii_case(entity)) {
            return fail("this name is reserved; choose another".to_owned());
        }
        if self.author && self.tenancy != Tenancy::Organization {
            return fail("only an entity of tenancy `organization` can have an author".to_owned());
        }
        if self.columns.len() > COLUMNS_MAX {
            return fail(format!("has {} columns; {COLUMNS_MAX} is the most", self.columns.len()));
        }
        let mut seen = HashSet::new();
        for column in &self.columns {
            let name = &column.name;
            if let Err(problem) = check_name(name) {
                return fail(format!("column {name:?}: {problem}"));
            }
            if !seen.insert(name.to_ascii_lowercase()) {
                return fail(format!("column {name:?} is there twice (SQLite ignores ASCII case)"));
            }
            if let Err(problem) = self.check_column(column) {
                return fail(format!("column {name:?}: {problem}"));
            }
        }
        let mut shapes = HashSet::new();
        for index in &self.indexes {
            if index.columns.is_empty() {
                return fail("an index needs at least one column".to_owned());
            }
            let mut names = HashSet::new();
            for (name, _) in &index.columns {
                let Some(position) = self.position(name) else {
                    return fail(format!("an index names the column {name:?}, which does not exist"));
                };
                if !self.columns[position].kind.is_ordered() {
                    return fail(format!("column {name:?} is nested and can not be indexed"));
                }
                if !names.insert(name) {
                    return fail(format!("an index names the column {name:?} twice"));
                }
            }
            if !shapes.insert(index) {
                return fail(format!("two indexes over ({}) are the same", column_list(index)));
            }
        }
        Ok(())
    }

    fn check_column(&self, column: &ColumnDefinition) -> Result<(), String> {
        match &column.kind {
            ColumnKind::Choice(choices) => {
                if choices.is_empty() {
                    return Err("needs at least one choice".to_owned());
                }
                let mut seen = HashSet::new();
                for choice in choices {
                    if choice.contains('\0') || !seen.insert(choice) {
                        return Err(format!("the choice {choice:?} is there twice or holds U+0000"));
                    }
                }
            }
            ColumnKind::Member if !matches!(self.tenancy, Tenancy::Organization | Tenancy::Member) => {
                return Err(format!(
                    "refers to a member of an organization, which an entity of tenancy `{}` does not have; store the id as text",
                    self.tenancy
                ));
            }
            ColumnKind::Reference { on_delete: OnDelete::SetNull, .. } if !column.optional => {
                return Err("`set null` needs an optional column".to_owned());
            }
            _ => {}
        }
        if let Some(default) = &column.default {
            let mut value = default.to_value();
            if matches!((&column.kind, &value), (ColumnKind::Real, Value::Integer(_))) {
                return Err("the default of a float column is written with a point: `1.0`".to_owned());
            }
            if matches!(value, Value::Real(real) if !real.is_finite()) {
                return Err("the default must be a finite number".to_owned());
            }
            column.accept(&mut value).map_err(|error| format!("the default does not fit: {error}"))?;
        }
        Ok(())
    }
}

fn column_list(index: &IndexDefinition) -> String {
    index.columns.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ")
}

/// An entity's or column's name: it stands in SQL between double quotes, in error texts and in
/// the tenants' own SQL.
fn check_name(name: &str) -> Result<(), String> {
    if name.is_empty() || name.len() > 60 {
        return Err("a name has 1 to 60 bytes".to_owned());
    }
    if name.starts_with('_') {
        return Err("names that begin with an underscore are reserved".to_owned());
    }
    if name.to_ascii_lowercase().starts_with("sqlite_") || name.to_ascii_lowercase().starts_with("pragma_") {
        return Err("names that begin with sqlite_ or pragma_ are SQLite's".to_owned());
    }
    if name.chars().any(|c| c.is_control() || c == '"') {
        return Err("a name must not hold control characters or double quotes".to_owned());
    }
    Ok(())
}
