//! Writing a bundle. It says nothing of when and where it was written, so a tenant that has not changed
//! gives the same bytes again.

use std::io::Write;

use rusqlite::Connection;
use rusqlite::types::Value as SqlValue;

use super::Exported;
use super::form::{
    self, ActorItem, EndFrame, EntityFrame, Form as _, ITEMS_BYTES, Manifest, ReferenceItem, RowItem,
    TenantFrame, kind,
};
use super::frame::FrameWriter;
use super::source::{Leaving, References, Source, definition_of, reference_values};
use crate::audit::log::ENTRY_COLUMNS;
use crate::error::{Error, Result};
use crate::identity::TenantKey;

pub(super) fn write(source: &Source, out: &mut dyn Write) -> Result<Exported> {
    let mut bundle =
        Bundle { frames: FrameWriter::begin(out)?, rows: 0, entries: 0, references: References::default() };
    let entities = source.entities();
    let count = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
    let manifest = Manifest {
        kind: source.kind.as_str().to_owned(),
        id: source.id.clone(),
        name: source.name.clone(),
        created: source.created,
        entities: count(entities.len()),
        members: count(source.members().count()),
    };
    bundle.frames.write(&manifest.body())?;
    for table in entities {
        let entity = EntityFrame {
            name: table.entity().to_owned(),
            version: table.version,
            definition: definition_of(table).to_json(),
        };
        bundle.frames.write(&entity.body())?;
    }
    for member in source.members() {
        bundle.frames.write(&member.body())?;
    }
    for (place, tenant) in source.tenants.iter().enumerate() {
        bundle.tenant(source, count(place), tenant)?;
    }
    bundle.references(source)?;
    bundle.end()
}

struct Bundle<'w> {
    frames: FrameWriter<'w>,
    rows: u64,
    entries: u64,
    references: References,
}

impl Bundle<'_> {
    fn tenant(&mut self, source: &Source, place: u32, tenant: &Leaving) -> Result<()> {
        let head = TenantFrame { place, log: source.log(tenant)?, holdings: source.holdings(tenant)? };
        self.frames.write(&head.body())?;
        for (table, holding) in source.entities_of(tenant.tenancy).zip(&head.holdings) {
            let mut items = Items::new(kind::ROWS, Some(table.entity()));
            let mut rows = 0;
            source.rows(table, tenant, |row| {
                rows += 1;
                self.references.note(source.catalog(), table, &row.values);
                let row = RowItem {
                    number: row.number,
                    id: row.id,
                    version: row.version,
                    updated: row.updated,
                    author: row.author,
                    values: row.values,
                };
                items.add(&mut self.frames, |out| row.write(out))
            })?;
            items.flush(&mut self.frames)?;
            if rows != holding.rows {
                return Err(Error::corrupt(
                    "the number that is kept of a tenant's records is not theirs; run `Store::check`",
                ));
            }
            self.rows += rows;
        }
        let mut items = Items::new(kind::ACTORS, None);
        source.actors(tenant, |actor: ActorItem| items.add(&mut self.frames, |out| actor.write(out)))?;
        items.flush(&mut self.frames)?;
        self.log(source.connection()?, tenant.key)
    }

    fn log(&mut self, connection: &Connection, tenant: TenantKey) -> Result<()> {
        let sql = format!("SELECT {ENTRY_COLUMNS} FROM _audit WHERE key BETWEEN ?1 AND ?2 ORDER BY key");
        let mut statement = connection.prepare_cached(&sql)?;
        let columns = statement.column_count();
        let mut rows = statement.query([tenant.first(), tenant.last()])?;
        let mut items = Items::new(kind::LOG, None);
        while let Some(row) = rows.next()? {
            let mut entry: Vec<SqlValue> =
                (0..columns).map(|column| row.get(column)).collect::<Result<_, _>>()?;
            if let Some(SqlValue::Integer(key)) = entry.first_mut() {
                *key -= tenant.first();
            }
            self.entries += 1;
            items.add(&mut self.frames, |out| form::write_entry(out, &entry))?;
        }
        items.flush(&mut self.frames)
    }

    fn references(&mut self, source: &Source) -> Result<()> {
        let connection = source.connection()?;
        self.references.close(connection, source.catalog())?;
        let mut items: Option<Items<'_>> = None;
        for (entity, id) in self.references.iter() {
            let of = match items.take() {
                Some(items) if items.of == Some(entity) => items,
                other => {
                    if let Some(mut items) = other {
                        items.flush(&mut self.frames)?;
                    }
                    Items::new(kind::REFERENCE, Some(entity))
                }
            };
            let items = items.insert(of);
            let values = reference_values(connection, source.catalog().get(entity)?, id)?;
            items.add(&mut self.frames, |out| ReferenceItem { id, values }.write(out))?;
        }
        items.map_or(Ok(()), |mut items| items.flush(&mut self.frames))
    }

    fn end(mut self) -> Result<Exported> {
        let end = EndFrame {
            rows: self.rows,
            entries: self.entries,
            references: self.references.len(),
            frames: self.frames.frames(),
            sum: self.frames.sum(),
        };
        self.frames.write(&end.body())?;
        let digest = self.frames.sum();
        let bytes = self.frames.finish()?;
        Ok(Exported { rows: self.rows, entries: self.entries, bytes, digest: Some(digest) })
    }
}

/// Items on their way into frames.
struct Items<'o> {
    kind: &'static str,
    of: Option<&'o str>,
    count: u32,
    items: Vec<u8>,
}

impl<'o> Items<'o> {
    fn new(kind: &'static str, of: Option<&'o str>) -> Self {
        Self { kind, of, count: 0, items: Vec::new() }
    }

    fn add(&mut self, frames: &mut FrameWriter<'_>, write: impl FnOnce(&mut Vec<u8>)) -> Result<()> {
        write(&mut self.items);
        self.count += 1;
        if self.items.len() < ITEMS_BYTES { Ok(()) } else { self.flush(frames) }
    }

    fn flush(&mut self, frames: &mut FrameWriter<'_>) -> Result<()> {
        if self.count == 0 {
            return Ok(());
        }
        frames.write(&form::items_body(self.kind, self.of, self.count, &self.items))?;
        self.count = 0;
        self.items.clear();
        Ok(())
    }
}
