//! A tenant that holds what a plain database holds, among tenants that hold other things.

use std::collections::BTreeMap;

use rusqlite::Connection;
use tenantry::tenancy::Scope;
use tenantry::{ColumnKind, Definition, Error, Fields, Id, Session, Value};

use crate::tables;

pub struct Tenants<S: Scope> {
    pub session: Session<S>,
    others: Vec<Session<S>>,
    definitions: Vec<Definition>,
    /// The tenant's records by table and row, with their values.
    kept: BTreeMap<(String, i64), (Id<Fields>, Vec<Value>)>,
    /// The others' records.
    noise: Vec<(usize, String, Id<Fields>)>,
    random: u64,
}

impl<S: Scope> Tenants<S> {
    pub fn new(session: Session<S>, others: Vec<Session<S>>, definitions: Vec<Definition>) -> Self {
        let mut tenants =
            Self { session, others, definitions, kept: BTreeMap::new(), noise: Vec::new(), random: 7 };
        tenants.make_noise(5);
        tenants
    }

    /// Brings the tenant's records to what the plain database holds, and lets the others do something too.
    pub fn follow(&mut self, plain: &Connection) {
        let mut found = BTreeMap::new();
        for table in tables::names(plain) {
            let columns = self.columns(&table);
            let names: Vec<String> = columns.iter().map(|(name, _)| format!("\"{name}\"")).collect();
            let all = format!("SELECT rowid, {} FROM \"{table}\" ORDER BY rowid", names.join(", "));
            for mut row in tables::rows(plain, &all).unwrap() {
                let Value::Integer(number) = row.remove(0) else { unreachable!("a rowid is an integer") };
                let values = row.into_iter().zip(&columns).map(|(value, (_, kind))| fitted(value, kind));
                found.insert((table.clone(), number), values.collect::<Vec<_>>());
            }
        }
        if found.len() == self.kept.len()
            && found.iter().zip(&self.kept).all(|((a, new), (b, (_, old)))| a == b && new == old)
        {
            return;
        }
        let gone: Vec<_> = self.kept.keys().filter(|key| !found.contains_key(key)).cloned().collect();
        for key in gone {
            let (id, _) = self.kept.remove(&key).unwrap();
            self.session.dynamic(&key.0).unwrap().delete(id).unwrap();
        }
        for ((table, number), values) in found {
            self.keep(table, number, values);
        }
        self.make_noise(2);
        self.change_noise();
    }

    fn keep(&mut self, table: String, number: i64, values: Vec<Value>) {
        let fields = self.fields(&table, &values);
        let verbs = self.session.dynamic(&table).unwrap();
        match self.kept.get_mut(&(table.clone(), number)) {
            Some((_, old)) if *old == values => {}
            Some((id, old)) => {
                verbs.update(*id, fields).unwrap();
                *old = values;
            }
            None => {
                let id = verbs.insert(fields).unwrap();
                self.kept.insert((table, number), (id, values));
            }
        }
    }

    fn columns(&self, table: &str) -> Vec<(String, ColumnKind)> {
        let definition = self.definitions.iter().find(|definition| definition.name() == table).unwrap();
        let columns = definition.columns().iter();
        columns.map(|column| (column.name().to_owned(), column.kind().clone())).collect()
    }

    fn fields(&self, table: &str, values: &[Value]) -> Fields {
        let columns = self.columns(table);
        columns
            .into_iter()
            .zip(values)
            .fold(Fields::new(), |fields, ((name, _), value)| fields.with(name, value.clone()))
    }

    /// Records of the other tenants that would change what is counted, summed, compared and sorted.
    fn make_noise(&mut self, records: usize) {
        let tables: Vec<String> = self.definitions.iter().map(|table| table.name().to_owned()).collect();
        for (other, table) in (0..self.others.len()).flat_map(|other| tables.iter().map(move |t| (other, t)))
        {
            for _ in 0..records {
                let values = self.random_values(table);
                let fields = self.fields(table, &values);
                match self.others[other].dynamic(table).unwrap().insert(fields) {
                    Ok(id) => self.noise.push((other, table.clone(), id)),
                    Err(Error::Unique { .. }) => {}
                    Err(error) => panic!("{error}"),
                }
            }
        }
    }

    fn change_noise(&mut self) {
        let at = self.below(self.noise.len());
        let (other, table, id) = self.noise.swap_remove(at);
        self.others[other].dynamic(&table).unwrap().delete(id).unwrap();
        let at = self.below(self.noise.len());
        let (other, table, id) = self.noise[at].clone();
        let values = self.random_values(&table);
        match self.others[other].dynamic(&table).unwrap().update(id, self.fields(&table, &values)) {
            Ok(_) | Err(Error::Unique { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }

    /// Every third value is one that the tenant has, and others are extreme.
    fn random_values(&mut self, table: &str) -> Vec<Value> {
        let own: Vec<Vec<Value>> = self
            .kept
            .iter()
            .filter(|((of, _), _)| of == table)
            .map(|(_, (_, values))| values.clone())
            .collect();
        let mut values = Vec::new();
        for (position, (_, kind)) in self.columns(table).into_iter().enumerate() {
            let choice = self.below(9);
            let own = match own.len() {
                0 => None,
                count => Some(own[self.below(count)][position].clone()),
            };
            values.push(match (choice, own) {
                (0..3, Some(own)) => own,
                (3, _) => Value::None,
                (4, _) => extreme(&kind),
                _ => self.random_value(&kind),
            });
        }
        values
    }

    #[allow(clippy::cast_possible_wrap, clippy::cast_precision_loss)]
    fn random_value(&mut self, kind: &ColumnKind) -> Value {
        let number = self.below(300) as i64 - 20;
        match kind {
            ColumnKind::Integer => Value::Integer(number),
            ColumnKind::Real => Value::Real(number as f64 / 4.0),
            ColumnKind::Text => {
                Value::Text(["a", "b", "true", "unknown", "zz", ""][self.below(6)].to_owned())
            }
            _ => Value::Bytes(number.to_be_bytes().to_vec()),
        }
    }

    /// SplitMix64, so that each run is the same.
    #[allow(clippy::cast_possible_truncation)]
    fn below(&mut self, bound: usize) -> usize {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % bound as u64) as usize
    }
}

fn extreme(kind: &ColumnKind) -> Value {
    match kind {
        ColumnKind::Integer => Value::Integer(i64::MIN),
        ColumnKind::Real => Value::Real(f64::MAX),
        ColumnKind::Text => Value::Text("\u{10ffff}".to_owned()),
        _ => Value::Bytes(vec![255; 9]),
    }
}

#[allow(clippy::cast_precision_loss)]
fn fitted(value: Value, kind: &ColumnKind) -> Value {
    match (value, kind) {
        (Value::Integer(integer), ColumnKind::Real) => Value::Real(integer as f64),
        (value, _) => value,
    }
}
