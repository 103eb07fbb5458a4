//! A reader of bundles by `docs/bundle-format.md` alone, and a writer of whatever frames.

use sha2::{Digest, Sha256};

/// A MessagePack value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Pack {
    Nil,
    Boolean(bool),
    Integer(i128),
    Real(u64),
    Text(String),
    Bytes(Vec<u8>),
    Extension(i8, Vec<u8>),
    List(Vec<Pack>),
}

impl Pack {
    pub(crate) fn read(bytes: &mut &[u8]) -> Option<Self> {
        let first = take(bytes, 1)?[0];
        let signed = |bytes: &[u8]| {
            let mut value: i128 = if bytes[0] >= 0x80 { -1 } else { 0 };
            bytes.iter().for_each(|byte| value = value << 8 | i128::from(*byte));
            Pack::Integer(value)
        };
        let sizes = [1, 2, 4, 8];
        Some(match first {
            0x00..=0x7f => Pack::Integer(first.into()),
            0xe0..=0xff => signed(&[first]),
            0x90..=0x9f => list(bytes, u64::from(first & 15))?,
            0xdc => list_of(bytes, 2)?,
            0xdd => list_of(bytes, 4)?,
            0xa0..=0xbf => text(bytes, u64::from(first & 31))?,
            0xd9..=0xdb => {
                let length = unsigned(bytes, sizes[usize::from(first - 0xd9)])?;
                text(bytes, length)?
            }
            0xc0 => Pack::Nil,
            0xc2 => Pack::Boolean(false),
            0xc3 => Pack::Boolean(true),
            0xc4..=0xc6 => {
                let length = unsigned(bytes, sizes[usize::from(first - 0xc4)])?;
                Pack::Bytes(take(bytes, length)?.to_vec())
            }
            0xc7..=0xc9 => {
                let length = unsigned(bytes, sizes[usize::from(first - 0xc7)])?;
                extension(bytes, length)?
            }
            0xd4..=0xd8 => extension(bytes, 1 << (first - 0xd4))?,
            0xcb => Pack::Real(unsigned(bytes, 8)?),
            0xcc..=0xcf => Pack::Integer(unsigned(bytes, sizes[usize::from(first - 0xcc)])?.into()),
            0xd0..=0xd3 => signed(take(bytes, sizes[usize::from(first - 0xd0)])?),
            _ => return None,
        })
    }

    pub(crate) fn list(&self) -> &[Pack] {
        match self {
            Pack::List(items) => items,
            other => panic!("{other:?} is no list"),
        }
    }

    pub(crate) fn text(&self) -> &str {
        match self {
            Pack::Text(text) => text,
            other => panic!("{other:?} is no text"),
        }
    }

    pub(crate) fn integer(&self) -> i128 {
        match self {
            Pack::Integer(integer) => *integer,
            other => panic!("{other:?} is no integer"),
        }
    }
}

fn take<'b>(bytes: &mut &'b [u8], length: u64) -> Option<&'b [u8]> {
    let (taken, rest) = bytes.split_at_checked(usize::try_from(length).ok()?)?;
    *bytes = rest;
    Some(taken)
}

fn unsigned(bytes: &mut &[u8], size: u64) -> Option<u64> {
    Some(take(bytes, size)?.iter().fold(0, |value, byte| value << 8 | u64::from(*byte)))
}

fn text(bytes: &mut &[u8], length: u64) -> Option<Pack> {
    String::from_utf8(take(bytes, length)?.to_vec()).ok().map(Pack::Text)
}

fn extension(bytes: &mut &[u8], length: u64) -> Option<Pack> {
    let kind = take(bytes, 1)?[0].cast_signed();
    Some(Pack::Extension(kind, take(bytes, length)?.to_vec()))
}

fn list_of(bytes: &mut &[u8], size: u64) -> Option<Pack> {
    let length = unsigned(bytes, size)?;
    list(bytes, length)
}

fn list(bytes: &mut &[u8], length: u64) -> Option<Pack> {
    (0..length).map(|_| Pack::read(bytes)).collect::<Option<_>>().map(Pack::List)
}

const OPENING: &[u8] = b"\xaftenantry-bundle\x01";

/// The frames' bodies, once every hash was computed again.
pub(crate) fn open(mut bundle: &[u8]) -> Vec<Vec<u8>> {
    let bytes = &mut bundle;
    assert_eq!(take(bytes, OPENING.len() as u64).unwrap(), OPENING);
    let mut sum: [u8; 32] = Sha256::digest(OPENING).into();
    let mut bodies = Vec::new();
    while !bytes.is_empty() {
        let frame = Pack::read(bytes).unwrap();
        let [Pack::Bytes(body), Pack::Bytes(claimed)] = frame.list() else { panic!("{frame:?}") };
        sum = next_sum(&sum, body);
        assert_eq!(claimed[..], sum);
        bodies.push(body.clone());
    }
    bodies
}

/// A bundle of any bodies, whose checksums hold.
pub(crate) fn seal(bodies: &[Vec<u8>]) -> Vec<u8> {
    let mut bundle = OPENING.to_vec();
    let mut sum: [u8; 32] = Sha256::digest(OPENING).into();
    for (number, body) in bodies.iter().enumerate() {
        let body = if number + 1 == bodies.len() { with_sum(body, &sum) } else { body.clone() };
        sum = next_sum(&sum, &body);
        bundle.extend([0x92, 0xc6]);
        bundle.extend(u32::try_from(body.len()).unwrap().to_be_bytes());
        bundle.extend(&body);
        bundle.extend([0xc4, 32]);
        bundle.extend(sum);
    }
    bundle
}

fn next_sum(sum: &[u8; 32], body: &[u8]) -> [u8; 32] {
    let length = u32::try_from(body.len()).unwrap().to_be_bytes();
    Sha256::new().chain_update(sum).chain_update(length).chain_update(body).finalize().into()
}

/// The last frame ends with the sum over those before it.
fn with_sum(body: &[u8], sum: &[u8; 32]) -> Vec<u8> {
    let end = [&[0xc4, 32][..], sum].concat();
    match body.len().checked_sub(end.len()) {
        Some(at) if body[at..at + 2] == [0xc4, 32] => [&body[..at], &end].concat(),
        _ => body.to_vec(),
    }
}

/// What a bundle says, whatever frames it says it in.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Said {
    pub(crate) manifest: Vec<Pack>,
    pub(crate) entities: Vec<Pack>,
    pub(crate) members: Vec<Pack>,
    pub(crate) tenants: Vec<SaidOfTenant>,
    pub(crate) references: Vec<(String, Pack)>,
    pub(crate) totals: Vec<i128>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct SaidOfTenant {
    pub(crate) log: Vec<Pack>,
    pub(crate) holdings: Vec<Pack>,
    pub(crate) rows: Vec<(String, Pack)>,
    pub(crate) actors: Vec<Pack>,
    pub(crate) entries: Vec<Vec<Pack>>,
}

/// Where an entry has its action, and the hash of the one before it.
const ACTION: usize = 7;
const PREVIOUS: usize = 15;
const CLOCK: usize = 5;

impl Said {
    pub(crate) fn of(bundle: &[u8]) -> Self {
        let mut said = Self {
            manifest: vec![],
            entities: vec![],
            members: vec![],
            tenants: vec![],
            references: vec![],
            totals: vec![],
        };
        for body in open(bundle) {
            let mut rest = &body[..];
            let frame = Pack::read(&mut rest).unwrap();
            assert!(rest.is_empty());
            let frame = frame.list();
            match frame[0].text() {
                "bundle" => said.manifest = frame[1..].to_vec(),
                "entity" => said.entities.push(Pack::List(frame[1..].to_vec())),
                "member" => said.members.push(Pack::List(frame[1..].to_vec())),
                "tenant" => {
                    assert_eq!(frame[1].integer(), said.tenants.len() as i128);
                    said.tenants.push(SaidOfTenant {
                        log: frame[2].list().to_vec(),
                        holdings: frame[3].list().to_vec(),
                        rows: vec![],
                        actors: vec![],
                        entries: vec![],
                    });
                }
                "reference" => {
                    let items = frame[2].list().iter().cloned();
                    said.references.extend(items.map(|item| (frame[1].text().to_owned(), item)));
                }
                "end" => said.totals = frame[1..4].iter().map(Pack::integer).collect(),
                kind => {
                    let tenant = said.tenants.last_mut().unwrap();
                    match kind {
                        "rows" => tenant.rows.extend(
                            frame[2].list().iter().map(|row| (frame[1].text().to_owned(), row.clone())),
                        ),
                        "actors" => tenant.actors.extend(frame[1].list().iter().cloned()),
                        "log" => tenant.entries.extend(frame[1].list().iter().map(|e| e.list().to_vec())),
                        other => panic!("{other}"),
                    }
                }
            }
        }
        said
    }

    /// The same before it came from another store: without the entry of that.
    pub(crate) fn before_import(mut self) -> Self {
        for tenant in &mut self.tenants {
            let import = tenant.entries.pop().unwrap();
            assert_eq!(import[ACTION].text(), "tenant.import");
            let Pack::Integer(next) = tenant.log[1] else { panic!() };
            tenant.log[1] = Pack::Integer(next - 1);
            tenant.log[2] = import[PREVIOUS].clone();
            tenant.log[3] = tenant.entries.last().map_or(Pack::Integer(0), |last| last[CLOCK].clone());
            self.totals[1] -= 1;
        }
        self
    }
}

impl Pack {
    /// In the shortest form, as a store writes it.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        use rmp::encode as e;
        let length = |length: usize| u32::try_from(length).unwrap();
        match self {
            Pack::Nil => e::write_nil(out).unwrap(),
            Pack::Boolean(boolean) => e::write_bool(out, *boolean).unwrap(),
            Pack::Integer(integer) => drop(e::write_sint(out, i64::try_from(*integer).unwrap()).unwrap()),
            Pack::Real(bits) => e::write_f64(out, f64::from_bits(*bits)).unwrap(),
            Pack::Text(text) => e::write_str(out, text).unwrap(),
            Pack::Bytes(bytes) => e::write_bin(out, bytes).unwrap(),
            Pack::Extension(kind, bytes) => {
                e::write_ext_meta(out, length(bytes.len()), *kind).unwrap();
                out.extend(bytes);
            }
            Pack::List(items) => {
                e::write_array_len(out, length(items.len())).unwrap();
                items.iter().for_each(|item| item.write(out));
            }
        }
    }

    pub(crate) fn items(&mut self) -> &mut Vec<Pack> {
        match self {
            Pack::List(items) => items,
            other => panic!("{other:?} is no list"),
        }
    }
}

/// The bundle with its frames changed, and checksums that hold.
pub(crate) fn edit(bundle: &[u8], mut change: impl FnMut(&mut Vec<Pack>)) -> Vec<u8> {
    let bodies = open(bundle).into_iter().map(|body| {
        let mut frame = Pack::read(&mut &body[..]).unwrap();
        change(frame.items());
        let mut body = Vec::new();
        frame.write(&mut body);
        body
    });
    seal(&bodies.collect::<Vec<_>>())
}

/// The same with logs whose chains hold again, by `docs/audit-format.md`, whatever was changed in them.
pub(crate) fn edit_logs(bundle: &[u8], mut change: impl FnMut(&mut Vec<Pack>)) -> Vec<u8> {
    let mut heads = Vec::new();
    let mut previous = Pack::Nil;
    let chained = edit(bundle, |frame| match frame[0].text() {
        "tenant" => {
            previous = frame[2].list()[0].clone();
            heads.push((previous.clone(), Pack::Integer(0)));
        }
        "log" => {
            for entry in frame[1].items() {
                let entry = entry.items();
                change(entry);
                if let (Pack::Bytes(salt), Pack::Bytes(body)) = (&entry[17], &entry[18]) {
                    let whole = [&b"tenantry-payload-1"[..], salt, body].concat();
                    entry[14] = Pack::Bytes(Sha256::digest(whole).to_vec());
                }
                entry[15] = previous.clone();
                entry[16] = Pack::Bytes(Sha256::digest(encoding(entry)).to_vec());
                previous = entry[16].clone();
                *heads.last_mut().unwrap() = (previous.clone(), entry[5].clone());
            }
        }
        _ => {}
    });
    let mut heads = heads.into_iter();
    edit(&chained, |frame| {
        if frame[0].text() == "tenant" {
            let log = frame[2].items();
            (log[2], log[3]) = heads.next().unwrap();
        }
    })
}

/// What an entry's hash is over.
fn encoding(entry: &[Pack]) -> Vec<u8> {
    let mut bytes = b"tenantry-audit-1".to_vec();
    // Of each column: whether it may be missing.
    let optional = [2, 3, 8, 9, 11, 12, 13];
    for (column, value) in entry[..16].iter().enumerate() {
        if optional.contains(&column) {
            bytes.push(u8::from(*value != Pack::Nil));
        }
        match value {
            Pack::Nil => {}
            Pack::Integer(integer) => bytes.extend(i64::try_from(*integer).unwrap().to_be_bytes()),
            Pack::Text(text) => {
                bytes.extend((text.len() as u64).to_be_bytes());
                bytes.extend(text.as_bytes());
            }
            Pack::Bytes(raw) => bytes.extend(raw),
            other => panic!("{other:?}"),
        }
    }
    bytes
}
