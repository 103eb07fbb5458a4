//! Payloads of audit entries: what changed, as MessagePack. `docs/audit-format.md` has the form.

use rmp::Marker;
use rmp::decode;
use rmp::encode;
use uuid::Uuid;

use super::Change;
use crate::entity::{ColumnDefinition, Nested, Value, time_from_micros};

/// MessagePack extension types of the values that it has no type for.
const EXT_UUID: i8 = 1;
const EXT_TIME: i8 = 2;
const EXT_NESTED: i8 = 3;

/// A payload or cursor that does not decode.
#[derive(Debug)]
pub(crate) struct Malformed;

// Writing to a `Vec` never fails, so the results of the encoder hold nothing.
pub(crate) fn write_value(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::None => drop(encode::write_nil(out)),
        Value::Boolean(boolean) => drop(encode::write_bool(out, *boolean)),
        Value::Integer(integer) => drop(encode::write_sint(out, *integer)),
        Value::Real(real) => drop(encode::write_f64(out, *real)),
        Value::Text(text) => drop(encode::write_str(out, text)),
        Value::Bytes(bytes) => drop(encode::write_bin(out, bytes)),
        Value::Uuid(uuid) => write_ext(out, EXT_UUID, uuid.as_bytes()),
        Value::Time(time) => write_ext(out, EXT_TIME, &time.as_microsecond().to_be_bytes()),
        Value::Nested(nested) => write_ext(out, EXT_NESTED, nested.as_bytes()),
    }
}

fn write_ext(out: &mut Vec<u8>, kind: i8, bytes: &[u8]) {
    // No value reaches 4 GiB: SQLite stores at most 2^31 - 1 bytes.
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    drop(encode::write_ext_meta(out, length, kind));
    out.extend_from_slice(bytes);
}

pub(crate) fn read_value(bytes: &mut &[u8]) -> Result<Value, Malformed> {
    let marker = Marker::from_u8(*bytes.first().ok_or(Malformed)?);
    Ok(match marker {
        Marker::Null => {
            decode::read_nil(bytes).map_err(|_| Malformed)?;
            Value::None
        }
        Marker::True | Marker::False => Value::Boolean(decode::read_bool(bytes).map_err(|_| Malformed)?),
        Marker::F64 => Value::Real(decode::read_f64(bytes).map_err(|_| Malformed)?),
        Marker::FixStr(_) | Marker::Str8 | Marker::Str16 | Marker::Str32 => Value::Text(read_text(bytes)?),
        Marker::Bin8 | Marker::Bin16 | Marker::Bin32 => {
            let length = decode::read_bin_len(bytes).map_err(|_| Malformed)?;
            Value::Bytes(take(bytes, length)?.to_vec())
        }
        Marker::FixExt1
        | Marker::FixExt2
        | Marker::FixExt4
        | Marker::FixExt8
        | Marker::FixExt16
        | Marker::Ext8
        | Marker::Ext16
        | Marker::Ext32 => {
            let meta = decode::read_ext_meta(bytes).map_err(|_| Malformed)?;
            let content = take(bytes, meta.size)?;
            match meta.typeid {
                EXT_UUID => Value::Uuid(Uuid::from_slice(content).map_err(|_| Malformed)?),
                EXT_TIME => {
                    let microseconds = i64::from_be_bytes(content.try_into().map_err(|_| Malformed)?);
                    Value::Time(time_from_micros(microseconds).ok_or(Malformed)?)
                }
                EXT_NESTED => Value::Nested(Nested::from_stored(content.to_vec())),
                _ => return Err(Malformed),
            }
        }
        _ => Value::Integer(decode::read_int(bytes).map_err(|_| Malformed)?),
    })
}

fn read_text(bytes: &mut &[u8]) -> Result<String, Malformed> {
    let length = decode::read_str_len(bytes).map_err(|_| Malformed)?;
    let text = take(bytes, length)?;
    std::str::from_utf8(text).map(str::to_owned).map_err(|_| Malformed)
}

fn take<'b>(bytes: &mut &'b [u8], length: u32) -> Result<&'b [u8], Malformed> {
    let length = usize::try_from(length).map_err(|_| Malformed)?;
    let (taken, rest) = bytes.split_at_checked(length).ok_or(Malformed)?;
    *bytes = rest;
    Ok(taken)
}

/// A map from column to `[before, after]`; `[]` where the column is secret.
pub(crate) struct PayloadWriter {
    body: Vec<u8>,
    count: u32,
}

impl PayloadWriter {
    pub(crate) fn new() -> Self {
        // Most payloads fit; growing from nothing costs several allocations each.
        Self { body: Vec::with_capacity(512), count: 0 }
    }

    /// How a record's column changed. Here alone it is decided that secrets stay out of the log.
    pub(crate) fn column(&mut self, column: &ColumnDefinition, before: &Value, after: &Value) {
        if column.is_secret() {
            self.redacted(column.name());
        } else {
            self.change(column.name(), before, after);
        }
    }

    /// How something changed that is no record's column.
    pub(crate) fn change(&mut self, column: &str, before: &Value, after: &Value) {
        self.name(column);
        drop(encode::write_array_len(&mut self.body, 2));
        write_value(&mut self.body, before);
        write_value(&mut self.body, after);
    }

    /// Names a secret column that changed, without its values.
    fn redacted(&mut self, column: &str) {
        self.name(column);
        drop(encode::write_array_len(&mut self.body, 0));
    }

    fn name(&mut self, column: &str) {
        self.count += 1;
        drop(encode::write_str(&mut self.body, column));
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        let mut payload = Vec::with_capacity(self.body.len() + 5);
        drop(encode::write_map_len(&mut payload, self.count));
        payload.extend_from_slice(&self.body);
        payload
    }
}

pub(crate) fn read_payload(mut bytes: &[u8]) -> Result<Vec<Change>, Malformed> {
    let bytes = &mut bytes;
    let count = decode::read_map_len(bytes).map_err(|_| Malformed)?;
    let mut changes = Vec::new();
    for _ in 0..count {
        let column = read_text(bytes)?;
        changes.push(match decode::read_array_len(bytes).map_err(|_| Malformed)? {
            0 => Change { column, before: Value::None, after: Value::None, redacted: true },
            2 => {
                let before = read_value(bytes)?;
                Change { column, before, after: read_value(bytes)?, redacted: false }
            }
            _ => return Err(Malformed),
        });
    }
    if bytes.is_empty() { Ok(changes) } else { Err(Malformed) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;
    use proptest::prelude::*;

    fn value() -> impl Strategy<Value = Value> {
        prop_oneof![
            Just(Value::None),
            any::<bool>().prop_map(Value::Boolean),
            any::<i64>().prop_map(Value::Integer),
            any::<f64>().prop_filter("NaN is never stored", |f| !f.is_nan()).prop_map(Value::Real),
            ".{0,300}".prop_map(Value::Text),
            proptest::collection::vec(any::<u8>(), 0..300).prop_map(Value::Bytes),
            any::<[u8; 16]>().prop_map(|b| Value::Uuid(Uuid::from_bytes(b))),
            (-1_000_000_000_000_000i64..1_000_000_000_000_000)
                .prop_map(|us| Value::Time(Timestamp::from_microsecond(us).unwrap())),
            proptest::collection::vec(any::<u8>(), 0..20)
                .prop_map(|v| Value::Nested(Nested::new(&v).unwrap())),
        ]
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(changes in proptest::collection::vec((".{1,20}", value(), value()), 0..6)) {
            let mut writer = PayloadWriter::new();
            for (column, before, after) in &changes {
                writer.change(column, before, after);
            }
            writer.redacted("password");
            let read = read_payload(&writer.finish()).unwrap();
            prop_assert_eq!(read.len(), changes.len() + 1);
            for (read, (column, before, after)) in read.iter().zip(&changes) {
                prop_assert_eq!((&read.column, &read.before, &read.after), (column, before, after));
            }
            prop_assert!(read[changes.len()].redacted);
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = read_payload(&bytes);
            let _ = read_value(&mut &bytes[..]);
        }
    }
}
