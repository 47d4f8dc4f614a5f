//! Writes AMF0 values.

use super::amf0::marker;

/// Appends values to a buffer of the caller. Text longer than 65,535 bytes does not occur: all that we send is
/// ours or bounded.
#[derive(Debug)]
pub struct AmfWriter<'b> {
    output: &'b mut Vec<u8>,
}

impl<'b> AmfWriter<'b> {
    /// A writer at the end of `output`.
    pub fn new(output: &'b mut Vec<u8>) -> Self {
        Self { output }
    }

    /// A number.
    pub fn number(&mut self, number: f64) -> &mut Self {
        self.output.push(marker::NUMBER);
        self.output.extend_from_slice(&number.to_be_bytes());
        self
    }

    /// True or false.
    pub fn boolean(&mut self, truth: bool) -> &mut Self {
        self.output.extend_from_slice(&[marker::BOOLEAN, u8::from(truth)]);
        self
    }

    /// A string.
    pub fn string(&mut self, text: &str) -> &mut Self {
        self.output.push(marker::STRING);
        self.key(text)
    }

    /// Null.
    pub fn null(&mut self) -> &mut Self {
        self.output.push(marker::NULL);
        self
    }

    /// An object: `properties` writes keys, each with a value behind it.
    pub fn object(&mut self, properties: impl FnOnce(&mut AmfWriter)) -> &mut Self {
        self.output.push(marker::OBJECT);
        self.properties(properties)
    }

    /// An ECMA array with its count: `properties` writes keys, each with a value behind it.
    pub fn ecma_array(&mut self, count: u32, properties: impl FnOnce(&mut AmfWriter)) -> &mut Self {
        self.output.push(marker::ECMA_ARRAY);
        self.output.extend_from_slice(&count.to_be_bytes());
        self.properties(properties)
    }

    /// A strict array: `values` writes as many values as `count` says.
    pub fn strict_array(&mut self, count: u32, values: impl FnOnce(&mut AmfWriter)) -> &mut Self {
        self.output.push(marker::STRICT_ARRAY);
        self.output.extend_from_slice(&count.to_be_bytes());
        values(self);
        self
    }

    /// A property's name; its value follows.
    pub fn key(&mut self, name: &str) -> &mut Self {
        debug_assert!(name.len() <= usize::from(u16::MAX));
        // Cut rather than let a length lie, should the assertion ever be wrong.
        let name = &name.as_bytes()[..name.len().min(usize::from(u16::MAX))];
        self.output.extend_from_slice(&(name.len() as u16).to_be_bytes());
        self.output.extend_from_slice(name);
        self
    }

    fn properties(&mut self, properties: impl FnOnce(&mut AmfWriter)) -> &mut Self {
        properties(self);
        self.output.extend_from_slice(&[0, 0, marker::OBJECT_END]);
        self
    }
}
