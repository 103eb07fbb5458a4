//! Where a page ended: opaque to the caller, bound to tenant, entity and order.

use std::fmt;

use crate::audit::payload::{read_value, write_value};
use crate::entity::Value;
use crate::error::{Error, Result};

/// Where a page ended. Keep it as text between calls if you like; give it to
/// [`Query::after`](crate::Query::after) of the same session, entity and order.
///
/// It holds the values by which the last record is sorted, so treat it like the record. No page is sorted by a secret
/// column.
#[derive(Clone, PartialEq, Eq)]
pub struct Cursor(Vec<u8>);

/// What a cursor is bound to: the first bytes of a hash of scope, entity and order.
pub(crate) type Binding = [u8; 8];

impl Cursor {
    pub(crate) fn new(binding: Binding, values: &[Value]) -> Self {
        let mut bytes = binding.to_vec();
        for value in values {
            write_value(&mut bytes, value);
        }
        Self(bytes)
    }

    /// The values of the sort columns and of what breaks ties, if the cursor belongs here.
    pub(crate) fn open(&self, binding: Binding, count: usize) -> Result<Vec<Value>> {
        let foreign = || {
            Error::invalid(
                "cursor",
                "it belongs to another session, entity or order; start from the first page",
            )
        };
        let mut rest = self.0.strip_prefix(&binding[..]).ok_or_else(foreign)?;
        let values = (0..count)
            .map(|_| read_value(&mut rest))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|_| foreign())?;
        if rest.is_empty() { Ok(values) } else { Err(foreign()) }
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cursor(..)")
    }
}

impl std::str::FromStr for Cursor {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        let digits = text.as_bytes();
        let nibble = |digit: u8| (digit as char).to_digit(16).and_then(|d| u8::try_from(d).ok());
        let bytes: Option<Vec<u8>> = if digits.len().is_multiple_of(2) {
            digits.chunks(2).map(|pair| Some(nibble(pair[0])? << 4 | nibble(pair[1])?)).collect()
        } else {
            None
        };
        bytes.map(Self).ok_or_else(|| Error::invalid("cursor", "it is not the text of a cursor"))
    }
}
