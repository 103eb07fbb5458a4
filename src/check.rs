//! Verifying a whole store.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt;

use rusqlite::{Connection, OptionalExtension};
use uuid::Uuid;

use crate::audit::log::StoredEntry;
use crate::audit::verify::verify;
use crate::audit::{ChainProblem, Change};
use crate::commit::{is_closed, load_rows, row_bytes};
use crate::entity::{Tenancy, Value, time_of};
use crate::error::{Error, Result};
use crate::identity::{Mark, TenantKey};
use crate::leave::erase::ERASE;
use crate::quota::Quota;
use crate::schema::partitions::{self, IntentKind, StoredPartition};
use crate::schema::{self, Catalog, Role, identities};
use crate::statement::{Table, check as statement};
use crate::store::ARRIVED;

/// What [`Store::check`](crate::Store::check) looked at, and what it found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Report {
    /// Tenants: users, organizations, members, and the reference tenant.
    pub tenants: u64,
    /// Rows of entities.
    pub rows: u64,
    /// Audit entries.
    pub entries: u64,
    /// What is wrong.
    pub findings: Vec<Finding>,
}

impl Report {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} tenants, {} rows, {} audit entries: ", self.tenants, self.rows, self.entries)?;
        if self.is_clean() {
            return f.write_str("clean");
        }
        writeln!(f, "{} findings", self.findings.len())?;
        self.findings.iter().try_for_each(|finding| writeln!(f, "- {finding}"))
    }
}

/// One thing that is wrong with a store.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Finding {
    /// SQLite's own check of the file failed.
    #[error("the file is damaged: {what}")]
    Damaged {
        /// What SQLite says.
        what: String,
    },
    /// A table, index, trigger or view is not what the definitions say.
    #[error("the {kind} {name} {problem}")]
    Object {
        /// What it is: `table`, `index`, `trigger` or `view`.
        kind: String,
        /// Its physical name.
        name: String,
        /// How it differs.
        problem: &'static str,
    },
    /// A reference names a row that is not there.
    #[error("{table} holds a reference to a row that is not there")]
    Reference {
        /// The physical table.
        table: String,
    },
    /// Rows belong to nobody, or to a tenant of the wrong kind.
    #[error("{rows} rows of {entity} have no tenant of the right kind")]
    Owner {
        /// The entity.
        entity: String,
        /// How many rows.
        rows: u64,
    },
    /// A maintained number is not what the rows say.
    #[error("{tenant}, {entity}: {what} is kept as {kept}, and the rows say {actual}")]
    Head {
        /// The tenant.
        tenant: String,
        /// The entity.
        entity: String,
        /// Which number.
        what: &'static str,
        /// As it is kept.
        kept: i64,
        /// As the rows say.
        actual: i64,
    },
    /// A user, an organization or a member is not where the catalog says, or not as it says.
    #[error("{tenant}: {problem}")]
    Home {
        /// The tenant.
        tenant: String,
        /// How they differ.
        problem: &'static str,
    },
    /// A partition could not be looked at.
    #[error("partition {name}: {problem}")]
    Partition {
        /// The name of its file.
        name: String,
        /// Why.
        problem: String,
    },
    /// A tenant's own quota is not what the audit log says.
    #[error("{tenant}, {entity}: the tenant's own quota is not the one in the log")]
    Quota {
        /// The tenant.
        tenant: String,
        /// The entity.
        entity: String,
    },
    /// A row is not what the audit log says.
    #[error("{tenant}, {entity} {record}: {problem}")]
    Row {
        /// The tenant.
        tenant: String,
        /// The entity.
        entity: String,
        /// The row's id.
        record: Uuid,
        /// How they differ.
        problem: &'static str,
    },
    /// Whom the logs name is not whom the store knows: somebody changed who is whose mark.
    #[error("{marks} marks that {problem}")]
    Marks {
        /// How many.
        marks: u64,
        /// What is wrong with them.
        problem: &'static str,
    },
    /// A log's chain does not add up.
    #[error("the log of {tenant}: {problem}")]
    Chain {
        /// The tenant.
        tenant: String,
        /// What is wrong.
        problem: ChainProblem,
    },
}

/// Checks everything in a file, a whole store or the catalog of one. The connection holds one state of
/// it meanwhile.
pub(crate) fn check(connection: &Connection, catalog: &Catalog) -> Result<Report> {
    let mut report = Report::default();
    let role = schema::role(connection)?;
    check_file(connection, catalog, role, &HashSet::new(), &mut report)?;
    if role == Role::Catalog {
        // Tenants are counted where they live, but for the one of the reference records.
        without_home(connection, &mut report)?;
    }
    Ok(report)
}

/// Checks everything in a partition, and that it agrees with the catalog, of which the other connection
/// holds one state.
pub(crate) fn check_partition(
    connection: &Connection,
    main: &Connection,
    catalog: &Catalog,
    stored: &StoredPartition,
    report: &mut Report,
) -> Result<()> {
    let mut own = Report::default();
    let intents = partitions::intents(main, stored.key)?;
    // What is to be cleared is of somebody who does not live there any more, and is still read, or not yet.
    let mut moving = HashSet::new();
    for intent in intents.iter().filter(|intent| intent.kind == IntentKind::Clear) {
        moving.insert(intent.tenant);
        // Of an organization that has not arrived yet only the partition knows the members.
        for file in [main, connection] {
            moving.extend(identities::member_keys(file, intent.tenant)?);
        }
    }
    check_file(connection, catalog, Role::Partition, &moving, &mut own)?;
    // What is not carried out yet will be before anybody looks.
    let applied = partitions::applied(connection)?;
    moving.extend(intents.iter().filter(|intent| intent.number > applied).map(|intent| intent.tenant));
    residents(connection, main, stored, &moving, &mut own)?;
    report.tenants += own.tenants;
    report.rows += own.rows;
    report.entries += own.entries;
    let name = &stored.name;
    report.findings.extend(own.findings.into_iter().map(|finding| match finding {
        Finding::Damaged { what } => Finding::Damaged { what: format!("partition {name}: {what}") },
        other => other,
    }));
    Ok(())
}

fn check_file(
    connection: &Connection,
    catalog: &Catalog,
    role: Role,
    moving: &HashSet<TenantKey>,
    report: &mut Report,
) -> Result<()> {
    damage(connection, report)?;
    objects(connection, catalog, report)?;
    if !report.is_clean() {
        // What a damaged or altered file says of its rows means nothing.
        return Ok(());
    }
    references(connection, moving, report)?;
    owners(connection, catalog, role, moving, report)?;
    marks(connection, report)?;
    for tenant in tenants(connection, role)?.into_iter().filter(|tenant| !moving.contains(&tenant.key)) {
        match check_tenant(connection, catalog, &tenant, report) {
            Err(Error::Corrupt { what, .. } | Error::Schema { problem: what }) => {
                report.findings.push(Finding::Damaged { what: format!("{}: {what}", tenant.name) });
            }
            outcome => outcome?,
        }
    }
    Ok(())
}

/// Users and organizations of which the catalog does not say where they live.
fn without_home(connection: &Connection, report: &mut Report) -> Result<()> {
    let sql = "SELECT 'user ' || ifnull(u.id, u.key) FROM _user AS u WHERE NOT EXISTS (SELECT 1 FROM _home WHERE tenant = u.key) \
               UNION ALL SELECT 'organization ' || ifnull(o.id, o.key) FROM _organization AS o WHERE NOT EXISTS (SELECT 1 FROM _home WHERE tenant = o.key)";
    let mut statement = connection.prepare(sql)?;
    let names = statement.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<Vec<String>>>()?;
    let problem = "the catalog does not say where it lives";
    report.findings.extend(names.into_iter().map(|tenant| Finding::Home { tenant, problem }));
    Ok(())
}

/// Who lives in a partition, and its memberships, as the catalog has them and as the partition does.
fn residents(
    connection: &Connection,
    main: &Connection,
    stored: &StoredPartition,
    moving: &HashSet<TenantKey>,
    report: &mut Report,
) -> Result<()> {
    let sql = "SELECT h.tenant, NULL, NULL FROM _home AS h WHERE h.partition = ?1 UNION ALL \
               SELECT m.key, m.role, m.active FROM _home AS h JOIN _member AS m ON m.organization = h.tenant WHERE h.partition = ?1";
    let wanted = people(main, sql, [stored.key])?;
    let sql =
        "SELECT l.tenant, m.role, m.active FROM _log_head AS l LEFT JOIN _member AS m ON m.key = l.tenant";
    let found = people(connection, sql, [])?;
    let mut differ = |key: &TenantKey, problem| -> Result<()> {
        if !moving.contains(key) && !moving.contains(&identities::home_of(main, *key)?) {
            report.findings.push(Finding::Home { tenant: name_of(main, *key)?, problem });
        }
        Ok(())
    };
    for (key, membership) in &wanted {
        match found.get(key) {
            None => differ(key, "it is not in the partition that the catalog names")?,
            Some(other) if other != membership => differ(key, "its partition knows another membership")?,
            Some(_) => {}
        }
    }
    found
        .keys()
        .filter(|key| !wanted.contains_key(key))
        .try_for_each(|key| differ(key, "it is in a partition that the catalog does not name"))
}

/// A member's role, and whether it is one now; none of users and organizations.
type Membership = Option<(String, bool)>;

fn people(
    connection: &Connection,
    sql: &str,
    params: impl rusqlite::Params,
) -> Result<HashMap<TenantKey, Membership>> {
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query(params)?;
    let mut found = HashMap::new();
    while let Some(row) = rows.next()? {
        let role: Option<String> = row.get(1)?;
        let active: Option<bool> = row.get(2)?;
        found.insert(TenantKey::from_stored(row.get(0)?)?, role.zip(active));
    }
    Ok(found)
}

fn name_of(connection: &Connection, key: TenantKey) -> Result<String> {
    let name = connection
        .query_row(&format!("{NAMES} WHERE t.key = ?1"), [key.get()], |row| row.get(2))
        .optional()?;
    Ok(name.unwrap_or_else(|| format!("tenant {}", key.get())))
}

/// Every row, and every entry of a log, belongs to a tenant of the right kind.
fn owners(
    connection: &Connection,
    catalog: &Catalog,
    role: Role,
    moving: &HashSet<TenantKey>,
    report: &mut Report,
) -> Result<()> {
    let moving = moving.iter().map(|key| key.get().to_string()).collect::<Vec<_>>().join(", ");
    let mut without_owner = Vec::new();
    for table in catalog.tables() {
        let rows: i64 = statement::without_owner(table, role, &moving)
            .first(connection, |row| Ok(row.get(0)?))?
            .unwrap_or(0);
        without_owner.push((table.entity(), rows));
        if statement::of_nobody(table).first(connection, |row| Ok(row.get(0)?))? != Some(1_i64) {
            let name = format!("of nobody in {}", table.entity());
            report.findings.push(Finding::Object { kind: "row".to_owned(), name, problem: "is missing" });
        }
    }
    for (what, table) in [("the audit log", "_audit"), ("the access log", "_audit_read")] {
        let entries = &format!(
            "SELECT count(*) FROM {table} AS a WHERE NOT EXISTS (SELECT 1 FROM _log_head WHERE tenant = a.key >> 40) AND a.key >> 40 NOT IN ({moving})"
        );
        without_owner.push((what, connection.query_row(entries, [], |row| row.get(0))?));
    }
    let found = without_owner.into_iter().filter(|(_, rows)| *rows > 0);
    report.findings.extend(
        found.map(|(entity, rows)| Finding::Owner { entity: entity.to_owned(), rows: rows.unsigned_abs() }),
    );
    Ok(())
}

/// Chains bind entries to marks, and no chain says whose a mark is: that the file says in two places.
fn marks(connection: &Connection, report: &mut Report) -> Result<()> {
    for (sql, problem) in [
        (
            // Who is on the way to a partition is not named there yet.
            "SELECT count(*) FROM _user AS u LEFT JOIN _actor AS a ON a.mark = u.mark \
             WHERE (a.mark IS NULL OR a.id IS NOT u.id) AND ifnull(u.id, '') NOT LIKE char(1) || '%'",
            "are a user's, and the logs would name somebody else",
        ),
        (
            "SELECT count(*) FROM (SELECT actor AS mark FROM _audit UNION SELECT admin FROM _audit) AS m \
             WHERE mark IS NOT NULL AND NOT EXISTS (SELECT 1 FROM _actor WHERE mark = m.mark)",
            "a log names, and the store does not know",
        ),
    ] {
        let marks: i64 = connection.query_row(sql, [], |row| row.get(0))?;
        if marks > 0 {
            report.findings.push(Finding::Marks { marks: marks.unsigned_abs(), problem });
        }
    }
    Ok(())
}

/// The schema against what the definitions make of an empty database.
fn objects(connection: &Connection, catalog: &Catalog, report: &mut Report) -> Result<()> {
    let (found, expected) = (schema::objects(connection)?, schema::expected_objects(catalog)?);
    let named = |set: &BTreeSet<schema::Object>, name: &str| set.iter().any(|(_, other, _)| other == name);
    for (kind, name, _) in expected.difference(&found) {
        let problem = if named(&found, name) { "was changed" } else { "is missing" };
        report.findings.push(Finding::Object { kind: kind.clone(), name: name.clone(), problem });
    }
    for (kind, name, _) in found.difference(&expected).filter(|(_, name, _)| !named(&expected, name)) {
        report.findings.push(Finding::Object {
            kind: kind.clone(),
            name: name.clone(),
            problem: "is not the store's own",
        });
    }
    Ok(())
}

fn damage(connection: &Connection, report: &mut Report) -> Result<()> {
    let mut statement = connection.prepare("PRAGMA integrity_check(20)")?;
    let messages =
        statement.query_map([], |row| row.get::<_, String>(0))?.collect::<rusqlite::Result<Vec<_>>>()?;
    report
        .findings
        .extend(messages.into_iter().filter(|message| message != "ok").map(|what| Finding::Damaged { what }));
    Ok(())
}

fn references(connection: &Connection, moving: &HashSet<TenantKey>, report: &mut Report) -> Result<()> {
    let mut statement = connection.prepare("PRAGMA foreign_key_check")?;
    let mut rows = statement.query([])?;
    let mut tables = Vec::new();
    while let Some(row) = rows.next()? {
        let (table, key): (String, Option<i64>) = (row.get(0)?, row.get(1)?);
        // What is on its way in comes in no order.
        let owner = key.filter(|_| table.starts_with("_rows_")).map(|key| key >> TenantKey::NUMBER_BITS);
        if !moving.iter().any(|tenant| Some(tenant.get()) == owner) {
            tables.push(table);
        }
    }
    report.findings.extend(tables.into_iter().take(20).map(|table| Finding::Reference { table }));
    Ok(())
}

/// Checks one tenant: its log, its rows, its heads, and whether they agree.
pub(crate) fn check_one(
    connection: &Connection,
    catalog: &Catalog,
    key: TenantKey,
    tenancy: Tenancy,
    name: String,
) -> Result<Vec<Finding>> {
    let mut report = Report::default();
    check_tenant(connection, catalog, &Tenant { key, tenancy, name, erased: false }, &mut report)?;
    Ok(report.findings)
}

struct Tenant {
    key: TenantKey,
    tenancy: Tenancy,
    name: String,
    erased: bool,
}

/// A tenant's key, its kind, what it is called, and whether it was erased.
const NAMES: &str = "SELECT t.key, t.kind, coalesce('user ' || u.id, 'organization ' || o.id, 'member ' || mu.id || ' of ' || mo.id, \
       iif(t.kind = 'reference', 'reference entities', 'erased ' || t.kind || ' ' || t.key)), \
       iif(m.key IS NULL, coalesce(u.key, o.key) IS NOT NULL AND coalesce(u.id, o.id) IS NULL, mu.id IS NULL OR mo.id IS NULL) \
     FROM _tenant AS t LEFT JOIN _user AS u ON u.key = t.key LEFT JOIN _organization AS o ON o.key = t.key \
     LEFT JOIN _member AS m ON m.key = t.key LEFT JOIN _user AS mu ON mu.key = m.user LEFT JOIN _organization AS mo ON mo.key = m.organization";

/// Those who live in the file: all of a whole store.
fn tenants(connection: &Connection, role: Role) -> Result<Vec<Tenant>> {
    let here = match role {
        Role::File => " WHERE t.key >= 0",
        Role::Catalog | Role::Partition => {
            " WHERE EXISTS (SELECT 1 FROM _log_head AS l WHERE l.tenant = t.key)"
        }
    };
    let sql = &format!("{NAMES}{here} ORDER BY t.key");
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query([])?;
    let mut tenants = Vec::new();
    while let Some(row) = rows.next()? {
        let kind: String = row.get(1)?;
        let tenancy = match kind.as_str() {
            "user" => Tenancy::User,
            "organization" => Tenancy::Organization,
            "member" => Tenancy::Member,
            _ => Tenancy::Reference,
        };
        let key = TenantKey::from_stored(row.get(0)?)?;
        tenants.push(Tenant { key, tenancy, name: row.get(2)?, erased: row.get(3)? });
    }
    Ok(tenants)
}

/// What a log says that there is.
#[derive(Default)]
struct Log {
    records: HashMap<(String, Uuid), Replayed>,
    /// The tenant's own quotas, by entity.
    quotas: HashMap<String, Option<Quota>>,
    /// Whether a payload that held one is gone.
    quotas_lost: bool,
    /// Whether it says that the tenant was erased.
    erased: bool,
    /// Whether entries have expired, so that it does not know of all that happened.
    beginning_lost: bool,
}

/// What the log says a record is.
#[derive(Default)]
struct Replayed {
    /// Whether earlier entries have expired: then it is at least that.
    partial: bool,
    version: i64,
    updated: i64,
    /// The key of the user who inserted it.
    author: Option<Mark>,
    deleted: bool,
    /// By column; not all are known once a payload is gone.
    values: HashMap<String, Value>,
    complete: bool,
    /// Columns whose values were left out.
    redacted: Vec<String>,
}

fn check_tenant(
    connection: &Connection,
    catalog: &Catalog,
    tenant: &Tenant,
    report: &mut Report,
) -> Result<()> {
    report.tenants += 1;
    let mut verification = verify(connection, tenant.key)?;
    report.entries += verification.entries;
    report.findings.extend(
        std::mem::take(&mut verification.problems)
            .into_iter()
            .map(|problem| Finding::Chain { tenant: tenant.name.clone(), problem }),
    );
    let mut log = replay(connection, tenant.key, verification.expired_entries > 0)?;
    if tenant.erased != log.erased || tenant.erased != is_closed(connection, tenant.key)? {
        let problem = "its log, the log's head and its id do not agree on whether it was erased";
        report.findings.push(Finding::Home { tenant: tenant.name.clone(), problem });
    }
    for table in catalog.tables().iter().filter(|table| table.definition.tenancy() == tenant.tenancy) {
        check_rows(connection, table, tenant, &mut log, report)?;
    }
    let vanished = log.records.into_iter().filter(|(_, state)| !state.deleted);
    report.findings.extend(vanished.map(|((entity, record), _)| Finding::Row {
        tenant: tenant.name.clone(),
        entity,
        record,
        problem: "the log says it exists, and there is no row",
    }));
    Ok(())
}

/// The last state of each record and quota that the log speaks of.
fn replay(connection: &Connection, tenant: TenantKey, beginning_lost: bool) -> Result<Log> {
    let mut log = Log { beginning_lost, ..Log::default() };
    StoredEntry::each(connection, tenant, |entry| {
        // It is the last one, or means nothing.
        log.erased = entry.action == ERASE;
        if entry.action == ARRIVED {
            match entry.changes() {
                Ok(Some(changes)) => log.note_import(&changes),
                Ok(None) | Err(_) => log.quotas_lost = true,
            }
            return Ok(());
        }
        if entry.action == "quota.set" {
            match entry.changes() {
                Ok(Some(changes)) => log.note_quota(changes)?,
                Ok(None) | Err(_) => log.quotas_lost = true,
            }
            return Ok(());
        }
        let (Some(entity), Some(record), "ok") = (&entry.entity, entry.record, entry.outcome.as_str()) else {
            return Ok(());
        };
        let state = log
            .records
            .entry((entity.clone(), record))
            .or_insert_with(|| Replayed { partial: beginning_lost, ..Replayed::default() });
        match entry.action.as_str() {
            "insert" => {
                let updated = time_of(record).as_microsecond();
                *state = Replayed {
                    version: 1,
                    updated,
                    author: entry.actor,
                    complete: true,
                    ..Replayed::default()
                }
            }
            "update" => {
                state.version += 1;
                state.updated = state.updated.max(entry.time);
            }
            "delete" => state.deleted = true,
            _ => return Ok(()),
        }
        match entry.changes() {
            Ok(Some(changes)) => {
                for change in changes {
                    if change.redacted {
                        state.redacted.push(change.column);
                    } else {
                        state.values.insert(change.column, change.after);
                    }
                }
            }
            // Deleted on purpose, or damaged, which the chain has told already. What was known may be another now.
            Ok(None) | Err(_) => {
                state.complete = false;
                state.values.clear();
            }
        }
        Ok(())
    })?;
    if log.erased {
        log = Log { erased: true, ..Log::default() };
    }
    Ok(log)
}

impl Replayed {
    /// Whether a number that only grows can be the row's, as far as the log goes.
    fn counts_to(&self, logged: i64, stored: i64) -> bool {
        if self.partial { logged <= stored } else { logged == stored }
    }
}

impl Log {
    /// A tenant that came from another store may have left its quotas there.
    fn note_import(&mut self, changes: &[Change]) {
        let left = |change: &Change| change.column == "quotas" && change.after == Value::Boolean(false);
        if changes.iter().any(left) {
            self.quotas.clear();
            self.quotas_lost = false;
        }
    }

    fn note_quota(&mut self, changes: Vec<Change>) -> Result<()> {
        let (mut entity, mut rows, mut bytes) = (None, None, None);
        for change in changes {
            match (change.column.as_str(), change.after) {
                ("entity", Value::Text(name)) => entity = Some(name),
                ("rows", Value::Integer(max)) => rows = Some(max),
                ("bytes", Value::Integer(max)) => bytes = Some(max),
                _ => {}
            }
        }
        let quota = rows.zip(bytes).map(|(rows, bytes)| Quota::from_stored(rows, bytes)).transpose()?;
        self.quotas.extend(entity.map(|entity| (entity, quota)));
        Ok(())
    }
}

fn check_rows(
    connection: &Connection,
    table: &Table,
    tenant: &Tenant,
    log: &mut Log,
    report: &mut Report,
) -> Result<()> {
    let (mut count, mut bytes, mut last) = (0_i64, 0_i64, 0_i64);
    let (mut last_id, mut in_order) = (Uuid::nil(), true);
    let (statement, decode) = statement::rows(table, tenant.key);
    let mut findings = Vec::new();
    statement.all(connection, |row| {
        let row = decode(row)?;
        count += 1;
        bytes += row_bytes(&row.values);
        last = last.max(row.number);
        in_order &= last_id < row.id;
        last_id = row.id;
        let problem = match log.records.remove(&(table.entity().to_owned(), row.id)) {
            None => (!log.beginning_lost).then_some("there is a row, and the log knows nothing of it"),
            Some(state) if state.deleted => Some("there is a row, and the log says it was deleted"),
            Some(state) if !state.counts_to(state.version, row.version) => {
                Some("its version is not the number of its changes in the log")
            }
            Some(state) if !state.counts_to(state.updated, row.updated) => {
                Some("its time of change is not the one in the log")
            }
            Some(state)
                if !state.partial
                    && table.definition.has_author()
                    && !may_be(connection, state.author, row.author.as_deref())? =>
            {
                Some("its author is not the one in the log")
            }
            Some(state) => {
                (!agrees(table, &row.values, &state)).then_some("its values are not the ones in the log")
            }
        };
        findings.extend(problem.map(|problem| Finding::Row {
            tenant: tenant.name.clone(),
            entity: table.entity().to_owned(),
            record: row.id,
            problem,
        }));
        Ok(())
    })?;
    report.rows += count.unsigned_abs();
    report.findings.append(&mut findings);
    let kept = load_rows(connection, tenant.key, table.key)?;
    let mut compare = |what, kept: i64, actual: i64, wrong: bool| {
        if wrong {
            report.findings.push(Finding::Head {
                tenant: tenant.name.clone(),
                entity: table.entity().to_owned(),
                what,
                kept,
                actual,
            });
        }
    };
    compare("count", kept.count, count, kept.count != count);
    compare("bytes", kept.bytes, bytes, kept.bytes != bytes);
    compare("next number", kept.next, last + 1, kept.next <= last);
    let wrong = kept.last_id.is_some_and(|kept| !in_order || kept < last_id);
    compare("order of ids", 1, 0, wrong);
    let logged = log.quotas.get(table.entity()).copied().flatten();
    if kept.quota != logged && !log.quotas_lost && !log.beginning_lost {
        report
            .findings
            .push(Finding::Quota { tenant: tenant.name.clone(), entity: table.entity().to_owned() });
    }
    Ok(())
}

/// Whether a record's author can be whom its log names: nobody knows whose a mark was once the id was erased.
fn may_be(connection: &Connection, actor: Option<Mark>, author: Option<&str>) -> Result<bool> {
    let Some(mark) = actor else { return Ok(author.is_none()) };
    let mut statement = connection.prepare_cached("SELECT id FROM _actor WHERE mark = ?1")?;
    let named: Option<Option<String>> = statement.query_row([mark], |row| row.get(0)).optional()?;
    Ok(match named {
        Some(Some(id)) => author == Some(&id),
        Some(None) => author.is_some(),
        None => false,
    })
}

fn agrees(table: &Table, values: &[Value], state: &Replayed) -> bool {
    table.definition.columns().iter().zip(values).all(|(column, value)| {
        if column.is_secret() || state.redacted.iter().any(|name| name == column.name()) {
            return true;
        }
        match state.values.get(column.name()) {
            Some(logged) => logged == value,
            None => value.is_none() || !state.complete,
        }
    })
}
