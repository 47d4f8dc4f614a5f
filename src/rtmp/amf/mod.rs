//! Values of commands and metadata: AMF0, and AMF3 where an AMF0 value switches to it.
//!
//! Nesting, values, names and string lengths are bounded; nothing is reserved by a declared count, and
//! strings are borrowed from the message.

mod amf0;
mod amf3;
mod writer;

pub use writer::AmfWriter;

use std::borrow::Cow;

use crate::limits::{AMF_DEPTH_MAX, AMF_KEYS_MAX, AMF_STRING_BYTES_MAX, AMF_VALUES_MAX};
use crate::wire::{Reader, Truncated};

/// A decoded value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value<'a> {
    /// Any number; AMF3 integers too.
    Number(f64),
    /// True or false.
    Boolean(bool),
    /// Text; bytes that are no UTF-8 are replaced. XML too.
    String(Cow<'a, str>),
    /// Named properties in their order: objects, typed objects and ECMA arrays.
    Object(Vec<(Cow<'a, str>, Value<'a>)>),
    /// A strict array.
    Array(Vec<Value<'a>>),
    /// Milliseconds since the Unix epoch.
    Date(f64),
    /// Null.
    Null,
    /// Undefined, and what is read but not kept: references and AMF3 byte arrays.
    Undefined,
}

impl<'a> Value<'a> {
    /// The text, if it is a string.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// The number, if it is one.
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(*number),
            _ => None,
        }
    }

    /// The truth value, if it is one.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Boolean(truth) => Some(*truth),
            _ => None,
        }
    }

    /// The first property of this name, whatever its case: some encoders write `tcurl`.
    pub fn property(&self, name: &str) -> Option<&Value<'a>> {
        let Self::Object(properties) = self else { return None };
        properties.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

/// Why AMF bytes were refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AmfError {
    /// The message ends inside a value.
    #[error("AMF: {0}")]
    Truncated(#[from] Truncated),
    /// A marker that is reserved or of a type nobody sends.
    #[error("AMF: marker {found:#04x} at offset {offset} is not supported")]
    Marker {
        /// The marker.
        found: u8,
        /// Where it stands in the message.
        offset: usize,
    },
    /// Values within values within values.
    #[error("AMF: more than {AMF_DEPTH_MAX} levels of nesting at offset {offset}")]
    TooDeep {
        /// Where.
        offset: usize,
    },
    /// Too many values.
    #[error("AMF: more than {AMF_VALUES_MAX} values at offset {offset}")]
    TooManyValues {
        /// Where.
        offset: usize,
    },
    /// Too many properties.
    #[error("AMF: more than {AMF_KEYS_MAX} properties at offset {offset}")]
    TooManyKeys {
        /// Where.
        offset: usize,
    },
    /// A string that is too long.
    #[error("AMF: a string of {found} bytes, {AMF_STRING_BYTES_MAX} are allowed, at offset {offset}")]
    StringTooLong {
        /// Its length.
        found: usize,
        /// Where.
        offset: usize,
    },
    /// An AMF3 table has no such entry, or a name is no UTF-8, or a class writes itself.
    #[error("AMF3: a reference, name or class that cannot be read at offset {offset}")]
    Amf3 {
        /// Where.
        offset: usize,
    },
}

/// All values of a message in AMF0.
///
/// # Errors
/// [`AmfError`] when a value is cut, unknown or beyond a bound; no value is returned then.
pub fn read_values(message: &[u8]) -> Result<Vec<Value<'_>>, AmfError> {
    let mut decoder = Decoder::new(message);
    let mut values = Vec::new();
    while !decoder.reader.is_empty() {
        values.push(decoder.amf0_value(0)?);
    }
    Ok(values)
}

/// Reads one message; its budgets are for all values of it together.
struct Decoder<'a> {
    reader: Reader<'a>,
    values_left: usize,
    keys_left: usize,
}

impl<'a> Decoder<'a> {
    fn new(message: &'a [u8]) -> Self {
        Self { reader: Reader::new(message), values_left: AMF_VALUES_MAX, keys_left: AMF_KEYS_MAX }
    }

    /// Takes a value from the budgets; `depth` is how many values it is inside of.
    fn begin_value(&mut self, depth: usize) -> Result<(), AmfError> {
        let offset = self.reader.offset();
        if depth >= AMF_DEPTH_MAX {
            return Err(AmfError::TooDeep { offset });
        }
        self.values_left = self.values_left.checked_sub(1).ok_or(AmfError::TooManyValues { offset })?;
        Ok(())
    }

    fn begin_key(&mut self) -> Result<(), AmfError> {
        let offset = self.reader.offset();
        self.keys_left = self.keys_left.checked_sub(1).ok_or(AmfError::TooManyKeys { offset })?;
        Ok(())
    }

    fn text_bytes(&mut self, found: usize) -> Result<&'a [u8], AmfError> {
        if found > AMF_STRING_BYTES_MAX {
            return Err(AmfError::StringTooLong { found, offset: self.reader.offset() });
        }
        Ok(self.reader.take(found)?)
    }
}

#[cfg(test)]
mod tests;
