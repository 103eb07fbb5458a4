//! What frames hold, as MessagePack: `docs/bundle-format.md` has the form. Whatever is read is written
//! again and compared, so that what one bundle says, no other bytes say.

use rmp::{Marker, decode, encode};
use rusqlite::types::Value as SqlValue;
use uuid::Uuid;

use super::frame::Sum;
use crate::audit::payload::{Malformed, read_value, write_value};
use crate::entity::{Nested, Value};
use crate::identity::{Mark, Role};

/// What begins each kind of frame.
pub(super) mod kind {
    pub(in crate::leave) const BUNDLE: &str = "bundle";
    pub(in crate::leave) const ENTITY: &str = "entity";
    pub(in crate::leave) const MEMBER: &str = "member";
    pub(in crate::leave) const TENANT: &str = "tenant";
    pub(in crate::leave) const ROWS: &str = "rows";
    pub(in crate::leave) const ACTORS: &str = "actors";
    pub(in crate::leave) const LOG: &str = "log";
    pub(in crate::leave) const REFERENCE: &str = "reference";
    pub(in crate::leave) const END: &str = "end";
}

// Writing to a `Vec` never fails, so the results of the encoder hold nothing.
fn array(out: &mut Vec<u8>, length: usize) {
    drop(encode::write_array_len(out, u32::try_from(length).unwrap_or(u32::MAX)));
}

fn text(out: &mut Vec<u8>, text: &str) {
    drop(encode::write_str(out, text));
}

fn bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    drop(encode::write_bin(out, bytes));
}

fn integer(out: &mut Vec<u8>, integer: i64) {
    drop(encode::write_sint(out, integer));
}

fn nil(out: &mut Vec<u8>) {
    drop(encode::write_nil(out));
}

fn optional<T>(out: &mut Vec<u8>, value: Option<T>, write: impl FnOnce(&mut Vec<u8>, T)) {
    match value {
        Some(value) => write(out, value),
        None => nil(out),
    }
}

/// Reads values one after the other.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reading<'b> {
    rest: &'b [u8],
}

impl<'b> Reading<'b> {
    pub(super) fn new(body: &'b [u8]) -> Self {
        Self { rest: body }
    }

    pub(super) fn rest(&self) -> &'b [u8] {
        self.rest
    }

    fn take(&mut self, length: u32) -> Result<&'b [u8], Malformed> {
        let length = usize::try_from(length).map_err(|_| Malformed)?;
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(Malformed)?;
        self.rest = rest;
        Ok(taken)
    }

    pub(super) fn array(&mut self) -> Result<u32, Malformed> {
        decode::read_array_len(&mut self.rest).map_err(|_| Malformed)
    }

    /// An array of so many.
    fn array_of(&mut self, length: u32) -> Result<(), Malformed> {
        if self.array()? == length { Ok(()) } else { Err(Malformed) }
    }

    pub(super) fn text(&mut self) -> Result<&'b str, Malformed> {
        let length = decode::read_str_len(&mut self.rest).map_err(|_| Malformed)?;
        std::str::from_utf8(self.take(length)?).map_err(|_| Malformed)
    }

    fn bytes(&mut self) -> Result<&'b [u8], Malformed> {
        let length = decode::read_bin_len(&mut self.rest).map_err(|_| Malformed)?;
        self.take(length)
    }

    fn bytes_of<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        self.bytes()?.try_into().map_err(|_| Malformed)
    }

    fn integer(&mut self) -> Result<i64, Malformed> {
        decode::read_int(&mut self.rest).map_err(|_| Malformed)
    }

    fn boolean(&mut self) -> Result<bool, Malformed> {
        decode::read_bool(&mut self.rest).map_err(|_| Malformed)
    }

    fn value(&mut self) -> Result<Value, Malformed> {
        match read_value(&mut self.rest)? {
            Value::Nested(nested) if !Nested::is_well_formed(nested.as_bytes()) => Err(Malformed),
            value => Ok(value),
        }
    }

    fn optional<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, Malformed>,
    ) -> Result<Option<T>, Malformed> {
        if self.rest.first() == Some(&Marker::Null.to_u8()) {
            self.rest = &self.rest[1..];
            return Ok(None);
        }
        read(self).map(Some)
    }

    fn uuid(&mut self) -> Result<Uuid, Malformed> {
        match self.value()? {
            Value::Uuid(uuid) => Ok(uuid),
            _ => Err(Malformed),
        }
    }
}

/// Something that is a frame by itself, or a part of one that has one form.
pub(super) trait Form: Sized {
    fn write(&self, out: &mut Vec<u8>);
    fn read(reading: &mut Reading<'_>) -> Result<Self, Malformed>;

    /// The body of its frame.
    fn body(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(&mut out);
        out
    }

    /// The one thing that is left to read, if its bytes are those that it would be written as.
    fn read_all(reading: Reading<'_>) -> Result<Self, Malformed> {
        let mut rest = reading;
        let read = Self::read(&mut rest)?;
        if rest.rest.is_empty() && read.body() == reading.rest { Ok(read) } else { Err(Malformed) }
    }
}

fn write_kind(out: &mut Vec<u8>, length: usize, kind: &str) {
    array(out, length);
    text(out, kind);
}

fn read_kind(reading: &mut Reading<'_>, length: u32, kind: &str) -> Result<(), Malformed> {
    reading.array_of(length)?;
    if reading.text()? == kind { Ok(()) } else { Err(Malformed) }
}

/// Which kind of frame a body is.
pub(super) fn kind_of(body: &[u8]) -> Result<&str, Malformed> {
    let mut reading = Reading::new(body);
    reading.array()?;
    reading.text()
}

/// Who leaves.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Manifest {
    pub(super) kind: String,
    pub(super) id: String,
    pub(super) name: String,
    pub(super) created: i64,
    pub(super) entities: u32,
    pub(super) members: u32,
}

impl Form for Manifest {
    fn write(&self, out: &mut Vec<u8>) {
        write_kind(out, 7, kind::BUNDLE);
        text(out, &self.kind);
        text(out, &self.id);
        text(out, &self.name);
        integer(out, self.created);
        integer(out, self.entities.into());
        integer(out, self.members.into());
    }

    fn read(reading: &mut Reading<'_>) -> Result<Self, Malformed> {
        read_kind(reading, 7, kind::BUNDLE)?;
        let count = |reading: &mut Reading<'_>| u32::try_from(reading.integer()?).map_err(|_| Malformed);
        Ok(Self {
            kind: reading.text()?.to_owned(),
            id: reading.text()?.to_owned(),
            name: reading.text()?.to_owned(),
            created: reading.integer()?,
            entities: count(reading)?,
            members: count(reading)?,
        })
    }
}

/// An entity, as it is defined.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct EntityFrame {
    pub(super) name: String,
    pub(super) version: i64,
    pub(super) definition: String,
}

impl Form for EntityFrame {
    fn write(&self, out: &mut Vec<u8>) {
        write_kind(out, 4, kind::ENTITY);
        text(out, &self.name);
        integer(out, self.version);
        text(out, &self.definition);
    }

    fn read(reading: &mut Reading<'_>) -> Result<Self, Malformed> {
        read_kind(reading, 4, kind::ENTITY)?;
        Ok(Self {
            name: reading.text()?.to_owned(),
            version: reading.integer()?,
            definition: reading.text()?.to_owned(),
        })
    }
}

/// A member of an organization, also one who has left.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct MemberFrame {
    pub(super) user: String,
    pub(super) role: Role,
    pub(super) active: bool,
    pub(super) created: i64,
}

impl Form for MemberFrame {
    fn write(&self, out: &mut Vec<u8>) {
        write_kind(out, 5, kind::MEMBER);
        text(out, &self.user);
        text(out, self.role.as_str());
        drop(encode::write_bool(out, self.active));
        integer(out, self.created);
    }

    fn read(reading: &mut Reading<'_>) -> Result<Self, Malformed> {
        read_kind(reading, 5, kind::MEMBER)?;
        Ok(Self {
            user: reading.text()?.to_owned(),
            role: Role::from_stored(reading.text()?).map_err(|_| Malformed)?,
            active: reading.boolean()?,
            created: reading.integer()?,
        })
    }
}

/// One tenant of those that leave together, before its rows and its log.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct TenantFrame {
    /// 0 is the user or the organization, then come the members in their order.
    pub(super) place: u32,
    pub(super) log: LogPart,
    /// By the names of the entities of its tenancy.
    pub(super) holdings: Vec<Holding>,
}

/// Where a log begins and ends.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct LogPart {
    pub(super) origin: Sum,
    pub(super) next: i64,
    pub(super) hash: Sum,
    pub(super) clock: i64,
    pub(super) checkpoint: Option<CheckpointPart>,
}

/// What of a log is gone on purpose.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct CheckpointPart {
    pub(super) payloads: i64,
    pub(super) entries: i64,
    pub(super) hash: Sum,
}

/// How many rows of an entity there are, and the quota of its own.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Holding {
    pub(super) entity: String,
    pub(super) rows: u64,
    pub(super) quota: Option<(i64, i64)>,
}

impl Form for TenantFrame {
    fn write(&self, out: &mut Vec<u8>) {
        write_kind(out, 4, kind::TENANT);
        integer(out, self.place.into());
        let log = &self.log;
        array(out, 5);
        bytes(out, &log.origin);
        integer(out, log.next);
        bytes(out, &log.hash);
        integer(out, log.clock);
        optional(out, log.checkpoint.as_ref(), |out, checkpoint| {
            array(out, 3);
            integer(out, checkpoint.payloads);
            integer(out, checkpoint.entries);
            bytes(out, &checkpoint.hash);
        });
        array(out, self.holdings.len());
        for holding in &self.holdings {
            array(out, 3);
            text(out, &holding.entity);
            integer(out, i64::try_from(holding.rows).unwrap_or(i64::MAX));
            optional(out, holding.quota, |out, (rows, bytes)| {
                array(out, 2);
                integer(out, rows);
                integer(out, bytes);
            });
        }
    }

    fn read(reading: &mut Reading<'_>) -> Result<Self, Malformed> {
        read_kind(reading, 4, kind::TENANT)?;
        let place = u32::try_from(reading.integer()?).map_err(|_| Malformed)?;
        reading.array_of(5)?;
        let log = LogPart {
            origin: reading.bytes_of()?,
            next: reading.integer()?,
            hash: reading.bytes_of()?,
            clock: reading.integer()?,
            checkpoint: reading.optional(|reading| {
                reading.array_of(3)?;
                Ok(CheckpointPart {
                    payloads: reading.integer()?,
                    entries: reading.integer()?,
                    hash: reading.bytes_of()?,
                })
            })?,
        };
        let count = reading.array()?;
        let mut holdings = Vec::new();
        for _ in 0..count {
            reading.array_of(3)?;
            holdings.push(Holding {
                entity: reading.text()?.to_owned(),
                rows: u64::try_from(reading.integer()?).map_err(|_| Malformed)?,
                quota: reading.optional(|reading| {
                    reading.array_of(2)?;
                    Ok((reading.integer()?, reading.integer()?))
                })?,
            });
        }
        Ok(Self { place, log, holdings })
    }
}

/// How much there was.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct EndFrame {
    pub(super) rows: u64,
    pub(super) entries: u64,
    pub(super) references: u64,
    pub(super) frames: u64,
    pub(super) sum: Sum,
}

impl Form for EndFrame {
    fn write(&self, out: &mut Vec<u8>) {
        write_kind(out, 6, kind::END);
        for count in [self.rows, self.entries, self.references, self.frames] {
            integer(out, i64::try_from(count).unwrap_or(i64::MAX));
        }
        bytes(out, &self.sum);
    }

    fn read(reading: &mut Reading<'_>) -> Result<Self, Malformed> {
        read_kind(reading, 6, kind::END)?;
        let count = |reading: &mut Reading<'_>| u64::try_from(reading.integer()?).map_err(|_| Malformed);
        Ok(Self {
            rows: count(reading)?,
            entries: count(reading)?,
            references: count(reading)?,
            frames: count(reading)?,
            sum: reading.bytes_of()?,
        })
    }
}

/// A tenant's row.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct RowItem {
    pub(super) number: i64,
    pub(super) id: Uuid,
    pub(super) version: i64,
    pub(super) updated: i64,
    pub(super) author: Option<String>,
    pub(super) values: Vec<Value>,
}

impl RowItem {
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        array(out, 5 + self.values.len());
        integer(out, self.number);
        write_value(out, &Value::Uuid(self.id));
        integer(out, self.version);
        integer(out, self.updated);
        optional(out, self.author.as_deref(), text);
        self.values.iter().for_each(|value| write_value(out, value));
    }

    pub(super) fn read(reading: &mut Reading<'_>, columns: usize) -> Result<Self, Malformed> {
        reading.array_of(u32::try_from(5 + columns).map_err(|_| Malformed)?)?;
        Ok(Self {
            number: reading.integer()?,
            id: reading.uuid()?,
            version: reading.integer()?,
            updated: reading.integer()?,
            author: reading.optional(|reading| reading.text().map(str::to_owned))?,
            values: (0..columns).map(|_| reading.value()).collect::<Result<_, _>>()?,
        })
    }
}

/// A reference record that rows refer to.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ReferenceItem {
    pub(super) id: Uuid,
    pub(super) values: Vec<Value>,
}

impl ReferenceItem {
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        array(out, 1 + self.values.len());
        write_value(out, &Value::Uuid(self.id));
        self.values.iter().for_each(|value| write_value(out, value));
    }

    pub(super) fn read(reading: &mut Reading<'_>, columns: usize) -> Result<Self, Malformed> {
        reading.array_of(u32::try_from(1 + columns).map_err(|_| Malformed)?)?;
        Ok(Self {
            id: reading.uuid()?,
            values: (0..columns).map(|_| reading.value()).collect::<Result<_, _>>()?,
        })
    }
}

/// Whose a mark is; nobody's any more if there is no id.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ActorItem {
    pub(super) mark: Mark,
    pub(super) id: Option<String>,
}

impl ActorItem {
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        array(out, 2);
        bytes(out, &self.mark.0);
        optional(out, self.id.as_deref(), text);
    }

    pub(super) fn read(reading: &mut Reading<'_>) -> Result<Self, Malformed> {
        reading.array_of(2)?;
        Ok(Self {
            mark: Mark(reading.bytes_of()?),
            id: reading.optional(|reading| reading.text().map(str::to_owned))?,
        })
    }
}

/// A log's entry: the columns of `_audit` in the order in which they are carried, the number first.
pub(super) fn write_entry(out: &mut Vec<u8>, entry: &[SqlValue]) {
    array(out, entry.len());
    for value in entry {
        match value {
            SqlValue::Null => nil(out),
            SqlValue::Integer(value) => integer(out, *value),
            // The log has no such column.
            SqlValue::Real(value) => drop(encode::write_f64(out, *value)),
            SqlValue::Text(value) => text(out, value),
            SqlValue::Blob(value) => bytes(out, value),
        }
    }
}

pub(super) fn read_entry(reading: &mut Reading<'_>, columns: usize) -> Result<Vec<SqlValue>, Malformed> {
    reading.array_of(u32::try_from(columns).map_err(|_| Malformed)?)?;
    (0..columns)
        .map(|_| {
            Ok(match read_value(&mut reading.rest)? {
                Value::None => SqlValue::Null,
                Value::Integer(value) => SqlValue::Integer(value),
                Value::Text(value) => SqlValue::Text(value),
                Value::Bytes(value) => SqlValue::Blob(value),
                _ => return Err(Malformed),
            })
        })
        .collect()
}

/// Where a frame's items are full: the one that reaches it is the last.
pub(super) const ITEMS_BYTES: usize = 64 * 1024;

/// The body of a frame of items: its kind, what they are of, and the items.
pub(super) fn items_body(kind: &str, of: Option<&str>, count: u32, items: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(items.len() + 80);
    write_kind(&mut out, if of.is_some() { 3 } else { 2 }, kind);
    if let Some(of) = of {
        text(&mut out, of);
    }
    array(&mut out, count as usize);
    out.extend_from_slice(items);
    out
}

/// What the items of a frame are of, and how many; the reading stands before the first. The opening has
/// one form.
pub(super) fn read_items<'b>(
    body: &'b [u8],
    kind: &str,
    named: bool,
) -> Result<(Option<&'b str>, u32, Reading<'b>), Malformed> {
    let mut reading = Reading::new(body);
    read_kind(&mut reading, if named { 3 } else { 2 }, kind)?;
    let of = if named { Some(reading.text()?) } else { None };
    let count = reading.array()?;
    let opening = &body[..body.len() - reading.rest.len()];
    if items_body(kind, of, count, &[]) != opening {
        return Err(Malformed);
    }
    Ok((of, count, reading))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tenant() -> TenantFrame {
        TenantFrame {
            place: 7,
            log: LogPart {
                origin: [1; 32],
                next: 300,
                hash: [2; 32],
                clock: i64::MAX,
                checkpoint: Some(CheckpointPart { payloads: 9, entries: 8, hash: [3; 32] }),
            },
            holdings: vec![
                Holding { entity: "note".to_owned(), rows: 70_000, quota: Some((5, i64::MAX)) },
                Holding { entity: "tag".to_owned(), rows: 0, quota: None },
            ],
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let manifest = Manifest {
            kind: "user".to_owned(),
            id: "ada".to_owned(),
            name: "Ada".to_owned(),
            created: 1_700_000_000_000_000,
            entities: 2,
            members: 1,
        };
        assert_eq!(Manifest::read_all(Reading::new(&manifest.body())).unwrap(), manifest);
        let member = MemberFrame { user: "ada".to_owned(), role: Role::Admin, active: true, created: -5 };
        assert_eq!(MemberFrame::read_all(Reading::new(&member.body())).unwrap(), member);
        assert_eq!(TenantFrame::read_all(Reading::new(&tenant().body())).unwrap(), tenant());
        let end = EndFrame { rows: 1, entries: 200, references: 0, frames: 7, sum: [9; 32] };
        assert_eq!(EndFrame::read_all(Reading::new(&end.body())).unwrap(), end);
        let actor = ActorItem { mark: Mark([7; 16]), id: None };
        let mut out = Vec::new();
        actor.write(&mut out);
        assert_eq!(ActorItem::read(&mut Reading::new(&out)).unwrap(), actor);
    }

    #[test]
    fn another_form_of_the_same_is_refused() {
        let body = tenant().body();
        // 300 as a 32-bit integer.
        let at = body.windows(3).position(|window| window == [0xcd, 1, 44]).unwrap();
        let longer = [&body[..at], &[0xce, 0, 0, 1, 44], &body[at + 3..]].concat();
        assert!(TenantFrame::read(&mut Reading::new(&longer)).is_ok());
        assert!(TenantFrame::read_all(Reading::new(&longer)).is_err());
        assert!(TenantFrame::read_all(Reading::new(&[&body[..], &[0xc0]].concat())).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Manifest::read_all(Reading::new(&bytes));
            let _ = TenantFrame::read_all(Reading::new(&bytes));
            let _ = RowItem::read(&mut Reading::new(&bytes), 3);
            let _ = read_entry(&mut Reading::new(&bytes), 19);
            let _ = read_items(&bytes, kind::ROWS, true);
        }

        #[test]
        fn a_changed_byte_is_refused_or_says_something_else(position in 0usize..300, byte in any::<u8>()) {
            let mut body = tenant().body();
            let position = position % body.len();
            prop_assume!(body[position] != byte);
            body[position] = byte;
            if let Ok(read) = TenantFrame::read_all(Reading::new(&body)) {
                prop_assert_ne!(read, tenant());
            }
        }
    }
}
