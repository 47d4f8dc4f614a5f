//! Boxes and their fields (ISO/IEC 14496-12, 4.2).
//!
//! Nothing here recurses: each level of boxes is walked by the function that knows its meaning, so the depth is
//! that of the code.

use std::fmt;

use crate::fault::{Fault, FaultKind};

/// The type of a box, a handler or a sample entry.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FourCc(pub [u8; 4]);

impl fmt::Display for FourCc {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.0.escape_ascii())
    }
}

impl fmt::Debug for FourCc {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "FourCc({self})")
    }
}

/// Which box an error is about: its type and its offset in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BoxPath {
    /// Its type.
    pub kind: FourCc,
    /// Offset of its first byte.
    pub offset: usize,
}

impl fmt::Display for BoxPath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "box `{}` at byte {}", self.kind, self.offset)
    }
}

/// Why boxes could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BoxError {
    /// Bytes that are no whole box header.
    #[error("at byte {offset}: {found} bytes; a box header has at least 8")]
    Header {
        /// Where they are.
        offset: usize,
        /// How many there are.
        found: usize,
    },
    /// A size that is smaller than the header or larger than what there is.
    #[error("{at}: size {found}; from {allowed_min} to {allowed_max} bytes can be")]
    Size {
        /// The box.
        at: BoxPath,
        /// What it says.
        found: u64,
        /// Size of its header.
        allowed_min: usize,
        /// Bytes from its start to the end of its parent.
        allowed_max: usize,
    },
    /// A box that ends inside a field.
    #[error("{at}: ends inside a field of {needed} bytes, {found} are left")]
    Cut {
        /// The box.
        at: BoxPath,
        /// Bytes that are left.
        found: usize,
        /// Bytes of the field.
        needed: usize,
    },
    /// A box without one that it must have.
    #[error("{at}: has no `{missing}`; needs one")]
    Missing {
        /// The parent.
        at: BoxPath,
        /// The child.
        missing: FourCc,
    },
    /// A box that may be there once.
    #[error("{at}: stands there a second time; once is allowed")]
    Repeated {
        /// The second one.
        at: BoxPath,
    },
    /// A field with a value that cannot be.
    #[error("{at}: {field} is {found}; allowed is {allowed}")]
    Field {
        /// The box.
        at: BoxPath,
        /// The field.
        field: &'static str,
        /// Its value.
        found: u64,
        /// What it may be.
        allowed: &'static str,
    },
    /// A file without a box that it must have.
    #[error("no `{missing}` among {found_count} boxes; needs one")]
    FileMissing {
        /// The box.
        missing: FourCc,
        /// How many boxes there are.
        found_count: usize,
    },
}

impl From<BoxError> for Fault {
    fn from(error: BoxError) -> Self {
        Self::new(FaultKind::BoxStructure, error.to_string())
    }
}

/// A box in a file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mp4Box<'a> {
    /// Its type and place.
    pub at: BoxPath,
    /// Its content, without the header.
    pub payload: &'a [u8],
    /// Offset of the content in the file.
    pub payload_offset: usize,
}

impl<'a> Mp4Box<'a> {
    /// The boxes it contains, if that is what its content is.
    pub fn children(&self) -> Boxes<'a> {
        self.children_after(0)
    }

    /// The boxes that follow some bytes of fields.
    pub fn children_after(&self, fields_bytes: usize) -> Boxes<'a> {
        let rest = self.payload.get(fields_bytes..).unwrap_or(&[]);
        Boxes { rest, offset: self.payload_offset + fields_bytes.min(self.payload.len()), is_file: false }
    }

    /// Its content as fields, one after the other.
    pub fn fields(&self) -> Fields<'a> {
        Fields { at: self.at, rest: self.payload }
    }

    /// The only child of a type.
    pub fn child(&self, kind: &[u8; 4]) -> Result<Self, BoxError> {
        self.optional_child(kind)?.ok_or(BoxError::Missing { at: self.at, missing: FourCc(*kind) })
    }

    /// The only child of a type, or `None`.
    pub fn optional_child(&self, kind: &[u8; 4]) -> Result<Option<Self>, BoxError> {
        self.children().only(kind)
    }

    /// Whether it is of this type.
    pub fn is(&self, kind: &[u8; 4]) -> bool {
        self.at.kind.0 == *kind
    }

    /// The error for a field of it.
    pub fn field_error(&self, field: &'static str, found: u64, allowed: &'static str) -> BoxError {
        BoxError::Field { at: self.at, field, found, allowed }
    }
}

/// The boxes of a file or a parent, one after the other. After an error there are no more.
#[derive(Debug, Clone)]
pub(super) struct Boxes<'a> {
    rest: &'a [u8],
    /// Of `rest` in the file.
    offset: usize,
    is_file: bool,
}

impl<'a> Boxes<'a> {
    /// The boxes of a whole file.
    pub fn of_file(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, offset: 0, is_file: true }
    }

    /// The only box of a type among them, or `None`.
    pub fn only(self, kind: &[u8; 4]) -> Result<Option<Mp4Box<'a>>, BoxError> {
        let mut found = None;
        for child in self {
            let child = child?;
            if child.is(kind) && found.replace(child).is_some() {
                return Err(BoxError::Repeated { at: child.at });
            }
        }
        Ok(found)
    }

    fn read(&mut self) -> Result<Mp4Box<'a>, BoxError> {
        let too_short = BoxError::Header { offset: self.offset, found: self.rest.len() };
        let Some((size, after_size)) = self.rest.split_first_chunk::<4>() else { return Err(too_short) };
        let Some((kind, after_kind)) = after_size.split_first_chunk::<4>() else { return Err(too_short) };
        let at = BoxPath { kind: FourCc(*kind), offset: self.offset };
        let (size, header_bytes) = match (u32::from_be_bytes(*size), after_kind.first_chunk::<8>()) {
            // Size 1: the size follows the type, in 64 bits.
            (1, Some(large)) => (u64::from_be_bytes(*large), 16),
            (1, None) => return Err(BoxError::Cut { at, found: after_kind.len(), needed: 8 }),
            // Size 0: to the end of the file.
            (0, _) if self.is_file => (self.rest.len() as u64, 8),
            (size, _) => (u64::from(size), 8),
        };
        let payload = usize::try_from(size).ok().and_then(|size| self.rest.get(header_bytes..size));
        let Some(payload) = payload else {
            let allowed_max = self.rest.len();
            return Err(BoxError::Size { at, found: size, allowed_min: header_bytes, allowed_max });
        };
        let payload_offset = self.offset + header_bytes;
        self.rest = self.rest.get(header_bytes + payload.len()..).unwrap_or(&[]);
        self.offset = payload_offset + payload.len();
        Ok(Mp4Box { at, payload, payload_offset })
    }
}

impl<'a> Iterator for Boxes<'a> {
    type Item = Result<Mp4Box<'a>, BoxError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let read = self.read();
        if read.is_err() {
            self.rest = &[];
        }
        Some(read)
    }
}

/// The fields of a box, taken from the front.
#[derive(Debug, Clone)]
pub(super) struct Fields<'a> {
    at: BoxPath,
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    /// The next bytes, as many as the array has.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], BoxError> {
        let Some((found, rest)) = self.rest.split_first_chunk::<N>() else {
            return Err(BoxError::Cut { at: self.at, found: self.rest.len(), needed: N });
        };
        self.rest = rest;
        Ok(*found)
    }

    /// Passes over bytes.
    pub fn skip(&mut self, bytes: usize) -> Result<(), BoxError> {
        let Some(rest) = self.rest.get(bytes..) else {
            return Err(BoxError::Cut { at: self.at, found: self.rest.len(), needed: bytes });
        };
        self.rest = rest;
        Ok(())
    }

    /// An unsigned number of 8 bits.
    pub fn u8(&mut self) -> Result<u8, BoxError> {
        self.array().map(u8::from_be_bytes)
    }

    /// An unsigned number of 16 bits.
    pub fn u16(&mut self) -> Result<u16, BoxError> {
        self.array().map(u16::from_be_bytes)
    }

    /// An unsigned number of 32 bits.
    pub fn u32(&mut self) -> Result<u32, BoxError> {
        self.array().map(u32::from_be_bytes)
    }

    /// A signed number of 32 bits.
    pub fn i32(&mut self) -> Result<i32, BoxError> {
        self.array().map(i32::from_be_bytes)
    }

    /// An unsigned number of 64 bits.
    pub fn u64(&mut self) -> Result<u64, BoxError> {
        self.array().map(u64::from_be_bytes)
    }

    /// An unsigned number of 64 bits in version 1 of a box, of 32 bits in version 0.
    pub fn by_version(&mut self, version: u8) -> Result<u64, BoxError> {
        if version == 0 { self.u32().map(u64::from) } else { self.u64() }
    }

    /// Version and flags of a full box.
    pub fn version_and_flags(&mut self) -> Result<(u8, u32), BoxError> {
        let word = self.u32()?;
        Ok(((word >> 24) as u8, word & 0x00ff_ffff))
    }

    /// A type.
    pub fn four_cc(&mut self) -> Result<FourCc, BoxError> {
        self.array().map(FourCc)
    }

    /// How many bytes are left.
    pub fn rest_bytes(&self) -> usize {
        self.rest.len()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn first(bytes: &[u8]) -> Option<Result<(FourCc, usize, usize), BoxError>> {
        let read = Boxes::of_file(bytes).next()?;
        Some(read.map(|found| (found.at.kind, found.payload_offset, found.payload.len())))
    }

    #[test]
    fn reads_sizes_of_every_kind() {
        let abcd = FourCc(*b"abcd");
        assert_eq!(first(b""), None);
        assert_eq!(first(b"\0\0\0\x08abcd"), Some(Ok((abcd, 8, 0))));
        assert_eq!(first(b"\0\0\0\x0aabcdxyz"), Some(Ok((abcd, 8, 2))));
        assert_eq!(first(b"\0\0\0\x01abcd\0\0\0\0\0\0\0\x12xyz"), Some(Ok((abcd, 16, 2))));
        assert_eq!(first(b"\0\0\0\0abcdxyz"), Some(Ok((abcd, 8, 3))));
    }

    #[test]
    fn refuses_sizes_that_cannot_be() {
        let at = BoxPath { kind: FourCc(*b"abcd"), offset: 0 };
        let size = |found, allowed_min, allowed_max| BoxError::Size { at, found, allowed_min, allowed_max };
        for (bytes, expected) in [
            (&b"\0\0\0\x08abc"[..], BoxError::Header { offset: 0, found: 7 }),
            (b"\0", BoxError::Header { offset: 0, found: 1 }),
            (b"\0\0\0\x07abcd", size(7, 8, 8)),
            (b"\0\0\0\x09abcd", size(9, 8, 8)),
            (b"\xff\xff\xff\xffabcd", size(0xffff_ffff, 8, 8)),
            (b"\0\0\0\x01abcd\0\0\0", BoxError::Cut { at, found: 3, needed: 8 }),
            (b"\0\0\0\x01abcd\0\0\0\0\0\0\0\x0f", size(15, 16, 16)),
            (b"\0\0\0\x01abcd\xff\xff\xff\xff\xff\xff\xff\xff", size(u64::MAX, 16, 16)),
        ] {
            assert_eq!(first(bytes), Some(Err(expected)), "{bytes:?}");
        }
        // A box inside another has to say its size.
        let outer = Mp4Box { at, payload: b"\0\0\0\0efgh", payload_offset: 8 };
        assert!(matches!(outer.children().next(), Some(Err(BoxError::Size { found: 0, .. }))));
    }

    #[test]
    fn finds_the_only_child_or_says_why_not() {
        let one = Boxes::of_file(b"\0\0\0\x08aaaa\0\0\0\x08bbbb\0\0\0\x08aaaa");
        assert_eq!(one.clone().only(b"bbbb").unwrap().map(|found| found.at.offset), Some(8));
        assert_eq!(one.clone().only(b"cccc").unwrap().map(|found| found.at.offset), None);
        let at = BoxPath { kind: FourCc(*b"aaaa"), offset: 16 };
        assert_eq!(one.only(b"aaaa").map(|_| ()), Err(BoxError::Repeated { at }));
    }

    proptest! {
        #[test]
        fn no_bytes_panic_and_boxes_never_overlap(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut end = 0;
            for found in Boxes::of_file(&bytes).flatten() {
                prop_assert_eq!(found.at.offset, end);
                end = found.payload_offset + found.payload.len();
                prop_assert!(end <= bytes.len());
                for child in found.children_after(4).flatten() {
                    prop_assert!(child.payload_offset + child.payload.len() <= end);
                }
            }
        }
    }
}
