//! Taking a bundle in. It can come from anybody, so nothing in it is believed: each value is accepted as
//! an insert's would be, what can be counted is counted, each hash is computed again, and at the end the
//! tenant is checked as `Store::check` does. All of it is in, or nothing.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::Read;
use std::sync::Arc;

use rusqlite::types::Value as SqlValue;
use uuid::Uuid;

use super::accept::{
    Entries, NUMBER_MAX, Newest, Rows, accept, believed, bring_along, check_targets, has_reference,
    name_actors, put_log, record_of, unreadable,
};
use super::form::{
    self, ActorItem, EndFrame, EntityFrame, LogPart, Manifest, MemberFrame, ReferenceItem, RowItem,
    TenantFrame, kind,
};
use super::frame::{FrameLimits, Sum};
use super::problem::{BundleProblem, LISTED_MAX};
use super::source::{Kind, References, definition_of, entities, reference_columns};
use super::stream::{Section, Stream};
use super::{ImportOptions, Imported};
use crate::audit::log::{ENTRY_ACTORS, ENTRY_COLUMNS, StoredEntry};
use crate::audit::payload::PayloadWriter;
use crate::check;
use crate::commit::{Event, RowHead, put_rows};
use crate::entity::{Definition, Tenancy, Value, time_from_micros};
use crate::error::{Error, Result};
use crate::identity::{Mark, OrganizationId, TenantKey, UserId, validate_name};
use crate::quota::Quota;
use crate::schema::{self, Catalog, identities};
use crate::statement::Table;
use crate::store::{ARRIVED, Arrival, By, Inner, NewMember, Newcomer, Profile};

/// A clock beyond this is none that any store has come to.
const CLOCK_MAX: i64 = 1 << 62;
/// What a frame may have beside two states of a record: names, definitions.
const FRAME_SPARE: u64 = 1 << 20;

pub(super) fn run(
    store: &Arc<Inner>,
    by: &By,
    wanted: Kind,
    input: &mut dyn Read,
    options: &ImportOptions,
) -> Result<Imported> {
    // An administrator who is told what is missing here, or there already, has asked for it.
    by.check()?;
    store.look_at_all(by, "import")?;
    let record_bytes_max = store.main().committer()?.record_bytes_max() as u64;
    let frame_bytes = options.frame_bytes_max.unwrap_or(2 * record_bytes_max + FRAME_SPARE);
    let limits = FrameLimits { frame_bytes, bytes: options.bytes_max };
    let mut stream = Stream::begin(input, limits)?;
    let opening = read_opening(&mut stream, store, wanted, options)?;
    let arrival = Arrival::begin(store, by, opening.profile.clone())?;
    let mut import = Import {
        store,
        catalog: store.catalog(),
        options,
        stream,
        arrival,
        record_bytes_max: usize::try_from(record_bytes_max).unwrap_or(usize::MAX),
        opening,
        tenants: Vec::new(),
        actors: BTreeMap::new(),
        marks: BTreeMap::new(),
        direct: References::default(),
        listed: Listed::default(),
        rows: 0,
        entries: 0,
    };
    import.tenants()?;
    import.references()?;
    let digest = import.end()?;
    import.check()?;
    import.note(digest)?;
    import.settle(digest)
}

/// What comes before anybody's rows.
struct Opening<'c> {
    /// As the bundle has it.
    id: String,
    profile: Profile,
    kind: Kind,
    /// By name.
    entities: Vec<&'c Table>,
}

fn read_opening<'c>(
    stream: &mut Stream<'_>,
    store: &'c Arc<Inner>,
    wanted: Kind,
    options: &ImportOptions,
) -> Result<Opening<'c>> {
    let manifest: Manifest = stream.one()?;
    if manifest.kind != wanted.as_str() {
        return Err(BundleProblem::Kind { found: manifest.kind, wanted: wanted.as_str() }.into());
    }
    let readable = time_from_micros(manifest.created).is_some() && validate_name(&manifest.name).is_ok();
    let named = |id: &str| match wanted {
        Kind::User => UserId::new(id).map(Newcomer::User),
        Kind::Organization => OrganizationId::new(id).map(Newcomer::Organization),
    };
    let Ok(own) = named(&manifest.id) else { return Err(stream.malformed("the tenant's id is not valid")) };
    if !readable {
        return Err(stream.malformed("the tenant's name or time of creation is not valid"));
    }
    let who = options.id.as_deref().map_or(Ok(own), named)?;
    let entities = read_entities(stream, store.catalog(), wanted, manifest.entities)?;
    let members = read_members(stream, store, wanted, manifest.members, options)?;
    let profile = Profile { who, name: manifest.name, created: manifest.created, members };
    Ok(Opening { id: manifest.id, profile, kind: wanted, entities })
}

fn read_entities<'c>(
    stream: &mut Stream<'_>,
    catalog: &'c Catalog,
    wanted: Kind,
    count: u32,
) -> Result<Vec<&'c Table>> {
    let possible = entities(catalog, wanted);
    let mut found: Vec<&Table> = Vec::new();
    for _ in 0..count {
        let entity: EntityFrame = stream.one()?;
        if found.last().is_some_and(|last| last.entity() >= entity.name.as_str()) {
            return Err(stream.malformed("its entities are not in order"));
        }
        let Some(table) = possible.iter().find(|table| table.entity() == entity.name) else {
            let difference = "the store has no such entity for it; add it to the builder".to_owned();
            return Err(BundleProblem::Definition { entity: entity.name, difference }.into());
        };
        if let Some(difference) = difference(table, &entity) {
            return Err(BundleProblem::Definition { entity: entity.name, difference }.into());
        }
        found.push(table);
    }
    Ok(found)
}

/// In what an entity of the bundle is another one than the store's.
fn difference(table: &Table, entity: &EntityFrame) -> Option<String> {
    let here = definition_of(table);
    if here.to_json() != entity.definition {
        let Ok(there) = Definition::from_json(&entity.definition) else {
            return Some("its definition can not be read".to_owned());
        };
        return Some(schema::difference(&there, &here));
    }
    (table.version != entity.version).then(|| {
        format!("its definition has version {} there, and version {} here", entity.version, table.version)
    })
}

fn read_members(
    stream: &mut Stream<'_>,
    store: &Arc<Inner>,
    wanted: Kind,
    count: u32,
    options: &ImportOptions,
) -> Result<Vec<NewMember>> {
    let mut members: Vec<NewMember> = Vec::new();
    let mut missing = Vec::new();
    if count > options.members_max {
        let max = options.members_max.into();
        return Err(BundleProblem::TooLarge { limit: "members", max }.into());
    }
    for _ in 0..count {
        let member: MemberFrame = stream.one()?;
        let Ok(user) = UserId::new(&member.user) else {
            return Err(stream.malformed("a member's id is not valid"));
        };
        if wanted == Kind::User
            || members.last().is_some_and(|last| last.user >= user)
            || time_from_micros(member.created).is_none()
        {
            return Err(stream.malformed("a member is not in order"));
        }
        if !options.create_users && missing.len() < LISTED_MAX {
            match store.read(|connection| identities::find_user(connection, &user)) {
                Ok(_) => {}
                Err(Error::UnknownUser { .. }) => missing.push(user.clone()),
                Err(error) => return Err(error),
            }
        }
        let (role, active, created) = (member.role, member.active, member.created);
        members.push(NewMember { user, role, active, created });
    }
    if missing.is_empty() { Ok(members) } else { Err(BundleProblem::MissingUsers { users: missing }.into()) }
}

/// A tenant whose rows and log are in.
struct Landed {
    key: TenantKey,
    tenancy: Tenancy,
    /// What messages call it.
    name: String,
    /// The entities of which it had a quota of its own.
    quotas: Vec<i64>,
}

/// The reference records in the bundle.
#[derive(Default)]
struct Listed {
    ids: References,
    last: Option<(String, Uuid)>,
    /// What each refers to in turn, where it refers to anything.
    edges: HashMap<(String, Uuid), Vec<(String, Uuid)>>,
    /// Those that the store does not have.
    missing: Vec<(String, ReferenceItem)>,
}

struct Import<'i, 'r> {
    store: &'i Arc<Inner>,
    catalog: &'i Catalog,
    options: &'i ImportOptions,
    stream: Stream<'r>,
    arrival: Arrival<'i>,
    record_bytes_max: usize,
    opening: Opening<'i>,
    tenants: Vec<Landed>,
    /// Whom the logs name.
    actors: BTreeMap<Mark, Option<String>>,
    /// The same, as the store believes it.
    marks: BTreeMap<Mark, Option<String>>,
    /// The reference records that rows refer to.
    direct: References,
    listed: Listed,
    rows: u64,
    entries: u64,
}

impl<'i> Import<'i, '_> {
    fn tenants(&mut self) -> Result<()> {
        let home = match self.opening.kind {
            Kind::User => Tenancy::User,
            Kind::Organization => Tenancy::Organization,
        };
        let name = format!("{} {}", self.opening.kind.as_str(), self.opening.id);
        self.tenant(0, self.arrival.home(), home, name)?;
        for place in 0..self.opening.profile.members.len() {
            let key = self.arrival.member(place).ok_or(Error::Closed)?;
            let name = format!("member {}", self.opening.profile.members[place].user);
            self.tenant(place + 1, key, Tenancy::Member, name)?;
        }
        Ok(())
    }

    fn tenant(&mut self, place: usize, key: TenantKey, tenancy: Tenancy, name: String) -> Result<()> {
        let head: TenantFrame = self.stream.one()?;
        if usize::try_from(head.place) != Ok(place) {
            return Err(self.stream.malformed("a tenant is not in its place"));
        }
        let tables: Vec<&Table> = self
            .opening
            .entities
            .iter()
            .copied()
            .filter(|table| table.definition.tenancy() == tenancy)
            .collect();
        let same = tables.len() == head.holdings.len()
            && tables.iter().zip(&head.holdings).all(|(table, holding)| table.entity() == holding.entity);
        if !same {
            return Err(self.stream.malformed("a tenant's entities are not those of the bundle"));
        }
        let mut landed = Landed { key, tenancy, name, quotas: Vec::new() };
        let mut newest = Newest::of(&head.log);
        for (table, holding) in tables.into_iter().zip(&head.holdings) {
            let quota = match holding.quota {
                None => None,
                Some((rows, bytes)) => match Quota::from_stored(rows, bytes) {
                    Ok(quota) => Some(quota),
                    Err(_) => return Err(self.stream.malformed("a quota is not valid")),
                },
            };
            landed.quotas.extend(quota.map(|_| table.key));
            self.rows_of(table, key, holding.rows, quota, &mut newest)?;
        }
        let named = self.actors_of()?;
        self.log_of(key, head.log, named, newest)?;
        self.tenants.push(landed);
        Ok(())
    }

    fn rows_of(
        &mut self,
        table: &Table,
        tenant: TenantKey,
        count: u64,
        own: Option<Quota>,
        newest: &mut Newest,
    ) -> Result<()> {
        let mut rows = Rows {
            table,
            tenant,
            head: RowHead::empty(),
            // A quota of its own holds here only if it comes along, and what is there already may be above it.
            quota: if own.is_some() && self.options.quotas {
                Quota::none()
            } else {
                self.catalog.quota(table)
            },
            record_bytes_max: self.record_bytes_max,
            in_order: true,
        };
        let columns = table.definition.columns().len();
        let mut section = Section::new(kind::ROWS);
        let mut found = 0;
        while found < count {
            // What is slow to come is waited for without the writer.
            self.stream.comes(kind::ROWS)?;
            let Self { stream, arrival, catalog, direct, .. } = self;
            found += arrival.write(|connection| {
                stream.items(
                    &mut section,
                    Some(table.entity()),
                    |reading| RowItem::read(reading, columns),
                    RowItem::write,
                    |mut row, frame| {
                        rows.accept(&mut row, frame)?;
                        newest.note(row.id);
                        direct.note(catalog, table, &row.values);
                        rows.insert(connection, &row, frame)
                    },
                )
            })?;
        }
        if found != count {
            return Err(self.stream.malformed("there are more records than the tenant says"));
        }
        self.rows += found;
        rows.head.last_id = rows.head.last_id.filter(|_| rows.in_order);
        rows.head.quota = own;
        if found == 0 && own.is_none() {
            return Ok(());
        }
        self.arrival.write(|connection| put_rows(connection, tenant, table.key, &rows.head))
    }

    /// Whom the log that follows names.
    fn actors_of(&mut self) -> Result<BTreeSet<Mark>> {
        let mut section = Section::new(kind::ACTORS);
        let mut named = BTreeSet::new();
        while self.stream.comes(kind::ACTORS)? {
            let Self { stream, actors, .. } = self;
            let refuse = |frame, what| Err(BundleProblem::Malformed { frame, what }.into());
            stream.items(&mut section, None, ActorItem::read, ActorItem::write, |actor, frame| {
                if named.last().is_some_and(|last| *last >= actor.mark) {
                    return refuse(frame, "the people of a log are not in order");
                }
                if actor.id.as_deref().is_some_and(|id| UserId::new(id).is_err()) {
                    return refuse(frame, "an id in a log is not valid");
                }
                named.insert(actor.mark);
                match actors.insert(actor.mark, actor.id.clone()) {
                    Some(before) if before != actor.id => refuse(frame, "a mark is two people's"),
                    _ => Ok(()),
                }
            })?;
        }
        // No log names anybody whom its file does not know, at no moment.
        let said: BTreeMap<Mark, Option<String>> =
            named.iter().filter_map(|mark| Some((*mark, self.actors.get(mark)?.clone()))).collect();
        // What the store says of a mark is believed, also where the file of the records has not met it yet.
        let known = self.store.read(|connection| believed(connection, &said))?;
        self.arrival.write(|connection| name_actors(connection, &known))?;
        self.marks.extend(known);
        Ok(named)
    }

    fn log_of(
        &mut self,
        tenant: TenantKey,
        log: LogPart,
        mut named: BTreeSet<Mark>,
        mut newest: Newest,
    ) -> Result<()> {
        let known = named.clone();
        if !(0..CLOCK_MAX).contains(&log.clock) || !(1..NUMBER_MAX).contains(&log.next) {
            return Err(self.stream.malformed("where a log ends is not valid"));
        }
        if let Some(checkpoint) = &log.checkpoint {
            let valid = 0 <= checkpoint.entries
                && checkpoint.entries <= checkpoint.payloads
                && checkpoint.payloads < log.next;
            if !valid {
                return Err(self.stream.malformed("what of a log is gone is not valid"));
            }
        }
        let mut section = Section::new(kind::LOG);
        let columns = ENTRY_COLUMNS.split(',').count();
        let mut written = Entries { tenant, number: 0, transaction: 0, clock: 0 };
        while self.stream.comes(kind::LOG)? {
            let Self { stream, arrival, entries, .. } = self;
            *entries += arrival.write(|connection| {
                stream.items(
                    &mut section,
                    None,
                    |reading| form::read_entry(reading, columns),
                    |entry: &Vec<SqlValue>, out| form::write_entry(out, entry),
                    |entry, frame| {
                        let refuse = |what| Err(BundleProblem::Malformed { frame, what }.into());
                        for mark in entry[ENTRY_ACTORS].iter() {
                            match mark {
                                SqlValue::Null => {}
                                SqlValue::Blob(bytes) => match bytes[..].try_into().map(Mark) {
                                    Ok(mark) if known.contains(&mark) => drop(named.remove(&mark)),
                                    _ => return refuse("an entry names somebody whom the bundle does not"),
                                },
                                _ => return refuse("an entry names nobody"),
                            }
                        }
                        if let Some(id) = record_of(&entry) {
                            newest.note(id);
                        }
                        written.insert(connection, entry, frame)
                    },
                )
            })?;
        }
        if !named.is_empty() {
            return Err(self.stream.malformed("the bundle names people whom a log does not"));
        }
        self.arrival.write(|connection| put_log(connection, tenant, &log, newest.id))
    }

    fn references(&mut self) -> Result<()> {
        while self.stream.comes(kind::REFERENCE)? {
            let entity = self.stream.items_of(kind::REFERENCE)?;
            let table =
                self.opening.entities.iter().copied().find(|table| {
                    table.entity() == entity && table.definition.tenancy() == Tenancy::Reference
                });
            let Some(table) = table else {
                return Err(self.stream.malformed("its reference records are of no entity of it"));
            };
            let mut section = Section::new(kind::REFERENCE);
            // A frame of this entity, and those that follow it as it was full.
            loop {
                self.reference_frame(table, &mut section)?;
                let more = self.stream.comes(kind::REFERENCE)?
                    && self.stream.items_of(kind::REFERENCE)? == table.entity();
                if !more {
                    break;
                }
            }
        }
        self.check_references()
    }

    fn reference_frame(&mut self, table: &Table, section: &mut Section) -> Result<()> {
        let columns = table.definition.columns().len();
        let (catalog, record_bytes_max, store) = (self.catalog, self.record_bytes_max, self.store);
        let Self { stream, listed, .. } = self;
        stream.items(
            section,
            Some(table.entity()),
            |reading| ReferenceItem::read(reading, columns),
            ReferenceItem::write,
            |mut item, frame| {
                let key = (table.entity().to_owned(), item.id);
                if listed.last.as_ref().is_some_and(|last| *last >= key) {
                    let what = "its reference records are not in order";
                    return Err(BundleProblem::Malformed { frame, what }.into());
                }
                accept(table, item.id, &mut item.values, record_bytes_max, frame)?;
                let edges: Vec<(String, Uuid)> = reference_columns(catalog, table)
                    .filter_map(|(position, target)| match item.values[position] {
                        Value::Uuid(id) => Some((target.entity().to_owned(), id)),
                        _ => None,
                    })
                    .collect();
                if !edges.is_empty() {
                    listed.edges.insert(key.clone(), edges);
                }
                listed.ids.insert(table.entity(), item.id);
                listed.last = Some(key);
                if !store.read(|connection| has_reference(connection, table, item.id))? {
                    listed.missing.push((table.entity().to_owned(), item));
                }
                Ok(())
            },
        )?;
        Ok(())
    }

    /// The bundle has the reference records that its rows refer to, and those that these do, and no others.
    fn check_references(&mut self) -> Result<()> {
        let mut reached = References::default();
        let mut open: Vec<(String, Uuid)> =
            self.direct.iter().map(|(entity, id)| (entity.to_owned(), id)).collect();
        while let Some(key) = open.pop() {
            if reached.insert(&key.0, key.1)
                && let Some(edges) = self.listed.edges.get(&key)
            {
                open.extend(edges.iter().cloned());
            }
        }
        if reached != self.listed.ids {
            return Err(self
                .stream
                .malformed("its reference records are not those that its records refer to"));
        }
        if self.options.reference_records {
            return Ok(());
        }
        let missing: Vec<(String, Uuid)> = self
            .listed
            .missing
            .iter()
            .map(|(entity, item)| (entity.clone(), item.id))
            .filter(|(entity, id)| self.direct.contains(entity, *id))
            .take(LISTED_MAX)
            .collect();
        if missing.is_empty() { Ok(()) } else { Err(BundleProblem::MissingReferences { missing }.into()) }
    }

    /// The bundle's last frame; its digest.
    fn end(&mut self) -> Result<Sum> {
        if !self.stream.comes(kind::END)? {
            return Err(self.stream.malformed("something comes where its end should"));
        }
        let (frames, sum) = (self.stream.frames() - 1, self.stream.sum_before());
        let end: EndFrame = self.stream.one()?;
        let counted =
            (end.rows, end.entries, end.references) == (self.rows, self.entries, self.listed.ids.len());
        if !counted || end.frames != frames || end.sum != sum {
            return Err(self.stream.malformed("its totals are not those of the bundle"));
        }
        self.stream.end()?;
        Ok(self.stream.sum())
    }

    /// Everything that can be known only now: references, and whether rows, heads and logs agree.
    fn check(&mut self) -> Result<()> {
        let catalog = self.catalog;
        for tenant in &self.tenants {
            self.arrival.look(|connection| {
                for table in self.opening.entities.iter().copied() {
                    if table.definition.tenancy() == tenant.tenancy {
                        check_targets(connection, table, tenant.key)?;
                    }
                }
                let name = tenant.name.clone();
                let findings = check::check_one(connection, catalog, tenant.key, tenant.tenancy, name)
                    .map_err(unreadable)?;
                if let Some(finding) = findings.into_iter().next() {
                    return Err(BundleProblem::Contradiction { finding }.into());
                }
                // What its sessions would not be able to read does not come in.
                StoredEntry::each_readable(connection, tenant.key, |_| Ok(())).map_err(unreadable)
            })?;
        }
        Ok(())
    }

    /// Quotas that do not come along go, and the log of each member says that it came from another store.
    fn note(&mut self, digest: Sum) -> Result<()> {
        let Self { arrival, tenants, options, .. } = self;
        arrival.at_home(|unit| {
            for (place, tenant) in tenants.iter().enumerate() {
                for entity in tenant.quotas.iter().filter(|_| !options.quotas) {
                    unit.set_quota(tenant.key, *entity, None)?;
                }
                if place > 0 {
                    let payload = said(options, tenant, digest).finish();
                    let event = Event { action: ARRIVED, outcome: "ok", entity: None, record: None, payload };
                    unit.audit(tenant.key, &event)?;
                }
            }
            Ok(())
        })
    }

    fn settle(self, digest: Sum) -> Result<Imported> {
        let Self {
            store,
            catalog,
            arrival,
            opening,
            tenants,
            listed,
            direct,
            marks,
            options,
            rows,
            entries,
            ..
        } = self;
        let Some(home) = tenants.first() else { return Err(Error::Closed) };
        let mut payload = said(options, home, digest);
        if let Some(id) = options.id.as_deref().filter(|id| *id != opening.id) {
            payload.change("id", &opening.id.as_str().into(), &id.into());
        }
        let id = options.id.clone().unwrap_or(opening.id);
        let users: Vec<UserId> = arrival.new_users().cloned().collect();
        let reference_records = arrival.settle(payload, |unit, copies| {
            if believed(unit.connection()?, &marks)? != marks {
                return Err(Error::Busy {
                    reason: "somebody whom the bundle names was erased or made in this moment",
                });
            }
            name_actors(unit.connection()?, &marks)?;
            if store.is_spread() {
                identities::are_named_anywhere(unit.connection()?, marks.keys())?;
            }
            let mut brought = 0;
            if options.reference_records {
                brought = bring_along(unit, catalog, copies, listed.missing)?;
            }
            // Somebody may have deleted one meanwhile; from here on nobody does.
            let mut missing = Vec::new();
            for (entity, record) in direct.iter() {
                if !has_reference(unit.connection()?, catalog.get(entity)?, record)? {
                    missing.push((entity.to_owned(), record));
                }
            }
            if !missing.is_empty() {
                missing.truncate(LISTED_MAX);
                return Err(BundleProblem::MissingReferences { missing }.into());
            }
            Ok(brought)
        })?;
        let members = opening.profile.members.len() as u64;
        Ok(Imported { id, rows, entries, members, users, reference_records, digest })
    }
}

/// What a log says of the import.
fn said(options: &ImportOptions, tenant: &Landed, digest: Sum) -> PayloadWriter {
    let mut payload = PayloadWriter::new();
    payload.change("bundle", &Value::None, &Value::Bytes(digest.to_vec()));
    if !tenant.quotas.is_empty() {
        payload.change("quotas", &Value::None, &options.quotas.into());
    }
    payload
}
