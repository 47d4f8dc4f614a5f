//! AMF3 values, as far as a command can hold them (Action Message Format AMF 3, section 3).
//!
//! RTMP never sends AMF3 alone: a marker of AMF0 switches for a single value, and the reference tables begin
//! anew with it. Vectors, dictionaries and classes that write themselves are refused; references to earlier
//! objects become undefined, since nothing that we read needs them.

use std::borrow::Cow;

use super::{AmfError, Decoder, Value};

/// Markers of section 3.1.
mod marker {
    pub const UNDEFINED: u8 = 0x00;
    pub const NULL: u8 = 0x01;
    pub const FALSE: u8 = 0x02;
    pub const TRUE: u8 = 0x03;
    pub const INTEGER: u8 = 0x04;
    pub const DOUBLE: u8 = 0x05;
    pub const STRING: u8 = 0x06;
    pub const XML_DOCUMENT: u8 = 0x07;
    pub const DATE: u8 = 0x08;
    pub const ARRAY: u8 = 0x09;
    pub const OBJECT: u8 = 0x0a;
    pub const XML: u8 = 0x0b;
    pub const BYTE_ARRAY: u8 = 0x0c;
}

/// What later values of the same switch may refer to. Both grow by one entry a name or object received.
#[derive(Default)]
struct Tables<'a> {
    strings: Vec<&'a str>,
    traits: Vec<Traits<'a>>,
}

/// The shape of an object.
#[derive(Clone)]
struct Traits<'a> {
    names: Vec<&'a str>,
    /// Named values follow the sealed ones.
    dynamic: bool,
}

/// An integer whose lowest bit says whether it is an index into a table or a value's own length.
enum Header {
    Reference(usize),
    Inline(usize),
}

impl<'a> Decoder<'a> {
    /// One value behind a switch, inside of `depth` others.
    pub(super) fn amf3_value(&mut self, depth: usize) -> Result<Value<'a>, AmfError> {
        self.amf3_nested(depth + 1, &mut Tables::default())
    }

    fn amf3_nested(&mut self, depth: usize, tables: &mut Tables<'a>) -> Result<Value<'a>, AmfError> {
        self.begin_value(depth)?;
        let offset = self.reader.offset();
        Ok(match self.reader.u8()? {
            marker::UNDEFINED => Value::Undefined,
            marker::NULL => Value::Null,
            marker::FALSE => Value::Boolean(false),
            marker::TRUE => Value::Boolean(true),
            // 3.6: 29 bits, two's complement.
            marker::INTEGER => Value::Number(f64::from((self.u29()? << 3) as i32 >> 3)),
            marker::DOUBLE => Value::Number(self.reader.f64()?),
            marker::STRING => Value::String(Cow::Borrowed(self.amf3_string(tables)?)),
            marker::XML_DOCUMENT | marker::XML | marker::BYTE_ARRAY => {
                if let Header::Inline(bytes) = self.amf3_header()? {
                    self.text_bytes(bytes)?;
                }
                Value::Undefined
            }
            marker::DATE => match self.amf3_header()? {
                Header::Reference(_) => Value::Undefined,
                Header::Inline(_) => Value::Date(self.reader.f64()?),
            },
            marker::ARRAY => self.amf3_array(depth, tables)?,
            marker::OBJECT => self.amf3_object(depth, tables)?,
            found => return Err(AmfError::Marker { found, offset }),
        })
    }

    /// 1.3.1: up to four bytes, seven bits each, and eight in the fourth.
    fn u29(&mut self) -> Result<u32, AmfError> {
        let mut value = 0;
        for _ in 0..3 {
            let byte = self.reader.u8()?;
            value = value << 7 | u32::from(byte & 0x7f);
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Ok(value << 8 | u32::from(self.reader.u8()?))
    }

    fn amf3_header(&mut self) -> Result<Header, AmfError> {
        let header = self.u29()?;
        let value = (header >> 1) as usize;
        Ok(if header & 1 == 0 { Header::Reference(value) } else { Header::Inline(value) })
    }

    fn amf3_string(&mut self, tables: &mut Tables<'a>) -> Result<&'a str, AmfError> {
        let offset = self.reader.offset();
        let unreadable = AmfError::Amf3 { offset };
        match self.amf3_header()? {
            Header::Reference(index) => tables.strings.get(index).copied().ok_or(unreadable),
            Header::Inline(bytes) => {
                let text = std::str::from_utf8(self.text_bytes(bytes)?).map_err(|_| unreadable)?;
                // 1.3.2: the empty string is never sent by reference.
                if !text.is_empty() {
                    tables.strings.push(text);
                }
                Ok(text)
            }
        }
    }

    /// 3.11: named values up to an empty name, then the dense ones. With names it is an object here, and the
    /// dense values are dropped.
    fn amf3_array(&mut self, depth: usize, tables: &mut Tables<'a>) -> Result<Value<'a>, AmfError> {
        let Header::Inline(count) = self.amf3_header()? else { return Ok(Value::Undefined) };
        let mut properties = Vec::new();
        self.amf3_named_values(depth, tables, &mut properties)?;
        let mut values = Vec::new();
        for _ in 0..count {
            values.push(self.amf3_nested(depth + 1, tables)?);
        }
        Ok(if properties.is_empty() { Value::Array(values) } else { Value::Object(properties) })
    }

    /// 3.12: traits by reference or in place, sealed values, named values.
    fn amf3_object(&mut self, depth: usize, tables: &mut Tables<'a>) -> Result<Value<'a>, AmfError> {
        let Header::Inline(header) = self.amf3_header()? else { return Ok(Value::Undefined) };
        let traits = self.amf3_traits(header, tables)?;
        let mut properties = Vec::new();
        for name in traits.names {
            properties.push((Cow::Borrowed(name), self.amf3_nested(depth + 1, tables)?));
        }
        if traits.dynamic {
            self.amf3_named_values(depth, tables, &mut properties)?;
        }
        Ok(Value::Object(properties))
    }

    fn amf3_traits(&mut self, header: usize, tables: &mut Tables<'a>) -> Result<Traits<'a>, AmfError> {
        let unreadable = AmfError::Amf3 { offset: self.reader.offset() };
        let (inline, writes_itself, dynamic) = (header & 1 != 0, header & 2 != 0, header & 4 != 0);
        if !inline {
            return tables.traits.get(header >> 1).cloned().ok_or(unreadable);
        }
        if writes_itself {
            return Err(unreadable);
        }
        self.amf3_string(tables)?;
        let mut names = Vec::new();
        for _ in 0..header >> 3 {
            self.begin_key()?;
            names.push(self.amf3_string(tables)?);
        }
        let traits = Traits { names, dynamic };
        tables.traits.push(traits.clone());
        Ok(traits)
    }

    fn amf3_named_values(
        &mut self,
        depth: usize,
        tables: &mut Tables<'a>,
        properties: &mut Vec<(Cow<'a, str>, Value<'a>)>,
    ) -> Result<(), AmfError> {
        loop {
            let name = self.amf3_string(tables)?;
            if name.is_empty() {
                return Ok(());
            }
            self.begin_key()?;
            properties.push((Cow::Borrowed(name), self.amf3_nested(depth + 1, tables)?));
        }
    }
}
