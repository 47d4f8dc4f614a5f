//! AMF0 values (Action Message Format AMF 0, section 2).
//!
//! ECMA arrays end at their end marker: the count in front of them is wrong in every second encoder.

use std::borrow::Cow;

use super::{AmfError, Decoder, Value};

/// Markers of section 2.1.
pub(super) mod marker {
    pub const NUMBER: u8 = 0x00;
    pub const BOOLEAN: u8 = 0x01;
    pub const STRING: u8 = 0x02;
    pub const OBJECT: u8 = 0x03;
    pub const NULL: u8 = 0x05;
    pub const UNDEFINED: u8 = 0x06;
    pub const REFERENCE: u8 = 0x07;
    pub const ECMA_ARRAY: u8 = 0x08;
    pub const OBJECT_END: u8 = 0x09;
    pub const STRICT_ARRAY: u8 = 0x0a;
    pub const DATE: u8 = 0x0b;
    pub const LONG_STRING: u8 = 0x0c;
    pub const UNSUPPORTED: u8 = 0x0d;
    pub const XML_DOCUMENT: u8 = 0x0f;
    pub const TYPED_OBJECT: u8 = 0x10;
    pub const SWITCH_TO_AMF3: u8 = 0x11;
}

impl<'a> Decoder<'a> {
    /// One value that is inside of `depth` others. It calls itself at most `AMF_DEPTH_MAX` times.
    pub(super) fn amf0_value(&mut self, depth: usize) -> Result<Value<'a>, AmfError> {
        self.begin_value(depth)?;
        let offset = self.reader.offset();
        Ok(match self.reader.u8()? {
            marker::NUMBER => Value::Number(self.reader.f64()?),
            marker::BOOLEAN => Value::Boolean(self.reader.u8()? != 0),
            marker::STRING => Value::String(self.amf0_short_string()?),
            marker::LONG_STRING | marker::XML_DOCUMENT => {
                let bytes = self.reader.u32()? as usize;
                Value::String(String::from_utf8_lossy(self.text_bytes(bytes)?))
            }
            marker::OBJECT => self.amf0_properties(depth)?,
            marker::TYPED_OBJECT => {
                self.amf0_short_string()?;
                self.amf0_properties(depth)?
            }
            marker::ECMA_ARRAY => {
                self.reader.u32()?;
                self.amf0_properties(depth)?
            }
            marker::STRICT_ARRAY => {
                let count = self.reader.u32()?;
                // Grows with the values that are really there.
                let mut values = Vec::new();
                for _ in 0..count {
                    values.push(self.amf0_value(depth + 1)?);
                }
                Value::Array(values)
            }
            marker::DATE => {
                let unix_ms = self.reader.f64()?;
                // 2.13: the time zone is reserved and should be zero.
                self.reader.u16()?;
                Value::Date(unix_ms)
            }
            marker::NULL => Value::Null,
            marker::UNDEFINED | marker::UNSUPPORTED => Value::Undefined,
            marker::REFERENCE => {
                self.reader.u16()?;
                Value::Undefined
            }
            marker::SWITCH_TO_AMF3 => self.amf3_value(depth)?,
            found => return Err(AmfError::Marker { found, offset }),
        })
    }

    fn amf0_short_string(&mut self) -> Result<Cow<'a, str>, AmfError> {
        let bytes = usize::from(self.reader.u16()?);
        Ok(String::from_utf8_lossy(self.text_bytes(bytes)?))
    }

    /// Names and values up to an empty name with an end marker.
    fn amf0_properties(&mut self, depth: usize) -> Result<Value<'a>, AmfError> {
        let mut properties = Vec::new();
        while !self.reader.rest().starts_with(&[0, 0, marker::OBJECT_END]) {
            self.begin_key()?;
            let name = self.amf0_short_string()?;
            properties.push((name, self.amf0_value(depth + 1)?));
        }
        self.reader.take(3)?;
        Ok(Value::Object(properties))
    }
}
