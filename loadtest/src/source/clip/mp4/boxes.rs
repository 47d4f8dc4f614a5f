//! The box structure of an MP4 file (ISO/IEC 14496-12, section 4.2): walked here, so that only boxes of use
//! are read; their fields are mp4-atom's to read.

use crate::source::clip::ClipError;
use mp4_atom::Atom;

/// A box that lies whole in the file.
#[derive(Debug, Clone, Copy)]
pub(super) struct MediaBox<'a> {
    pub(super) kind: [u8; 4],
    /// Where it begins in the file.
    pub(super) start: usize,
    /// Where its body begins in the file.
    pub(super) body_start: usize,
    pub(super) body: &'a [u8],
}

/// The boxes that follow each other in a slice. After an error it ends.
#[derive(Debug, Clone)]
pub(super) struct Boxes<'a> {
    rest: &'a [u8],
    /// Where `rest` begins in the file.
    offset: usize,
}

impl<'a> Boxes<'a> {
    /// Boxes of `bytes`, which begin at `offset` of the file.
    pub(super) fn new(bytes: &'a [u8], offset: usize) -> Self {
        Self { rest: bytes, offset }
    }

    fn read(&mut self) -> Result<Option<MediaBox<'a>>, ClipError> {
        // Fewer bytes than a header are padding that some writers leave at the end.
        let Some((&[a, b, c, d, kind @ ..], mut behind)) = self.rest.split_first_chunk::<8>() else {
            return Ok(None);
        };
        let mut header_bytes = 8;
        let mut size = u64::from(u32::from_be_bytes([a, b, c, d]));
        match size {
            // To the end of what it stands in; only in a file's last box.
            0 => size = self.rest.len() as u64,
            1 => {
                let (large, rest) = behind.split_first_chunk().ok_or_else(|| self.truncated(kind, 16))?;
                size = u64::from_be_bytes(*large);
                behind = rest;
                header_bytes = 16;
            }
            _ => {}
        }
        let Some(body_bytes) = size.checked_sub(header_bytes) else {
            let why = format!("a size of {size} bytes, less than its header");
            return Err(malformed(kind, self.offset, why));
        };
        let body = usize::try_from(body_bytes).ok().and_then(|bytes| behind.get(..bytes));
        let body = body.ok_or_else(|| self.truncated(kind, size))?;
        let start = self.offset;
        let body_start = start + header_bytes as usize;
        self.rest = &behind[body.len()..];
        self.offset = body_start + body.len();
        Ok(Some(MediaBox { kind, start, body_start, body }))
    }

    fn truncated(&self, kind: [u8; 4], wanted: u64) -> ClipError {
        let what = format!("box {}", kind.escape_ascii());
        ClipError::Truncated { what, offset: self.offset, wanted, left: self.rest.len() }
    }
}

impl<'a> Iterator for Boxes<'a> {
    type Item = Result<MediaBox<'a>, ClipError>;

    fn next(&mut self) -> Option<Self::Item> {
        let read = self.read();
        if read.is_err() {
            self.rest = &[];
        }
        read.transpose()
    }
}

impl<'a> MediaBox<'a> {
    /// The boxes in it.
    pub(super) fn children(&self) -> Boxes<'a> {
        Boxes::new(self.body, self.body_start)
    }

    /// The first box of a kind in it.
    pub(super) fn child(&self, kind: &[u8; 4]) -> Result<Option<MediaBox<'a>>, ClipError> {
        for child in self.children() {
            let child = child?;
            if child.kind == *kind {
                return Ok(Some(child));
            }
        }
        Ok(None)
    }

    /// The first box of a kind in it, which must be there.
    pub(super) fn must_child(&self, kind: &[u8; 4]) -> Result<MediaBox<'a>, ClipError> {
        let missing = || self.malformed(format!("no box {} in it", kind.escape_ascii()));
        self.child(kind)?.ok_or_else(missing)
    }

    /// Its fields.
    pub(super) fn decode<T: Atom>(&self) -> Result<T, ClipError> {
        T::decode_body(&mut &self.body[..]).map_err(|error| self.malformed(error.to_string()))
    }

    /// Says what is wrong with it.
    pub(super) fn malformed(&self, why: impl Into<String>) -> ClipError {
        malformed(self.kind, self.start, why.into())
    }
}

fn malformed(kind: [u8; 4], offset: usize, why: String) -> ClipError {
    ClipError::Malformed { what: format!("box {}", kind.escape_ascii()), offset, why }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walk(bytes: &[u8]) -> Vec<Result<(String, usize, usize), String>> {
        Boxes::new(bytes, 100)
            .map(|read| {
                let read = read.map_err(|error| error.to_string())?;
                Ok((read.kind.escape_ascii().to_string(), read.start, read.body.len()))
            })
            .collect()
    }

    #[test]
    fn sizes_of_32_and_64_bits_and_to_the_end() {
        let bytes =
            [&b"\0\0\0\x0afreeab"[..], b"\0\0\0\x01mdat\0\0\0\0\0\0\0\x11c", b"\0\0\0\0moovdef"].concat();
        let boxes = [("free".into(), 100, 2), ("mdat".into(), 110, 1), ("moov".into(), 127, 3)];
        assert_eq!(walk(&bytes), boxes.map(Ok));
        assert_eq!(walk(b"\0\0\0\x08free\0\0\0\0\0\0\0"), [Ok(("free".into(), 100, 0))], "padding");
    }

    #[test]
    fn a_box_that_is_cut_or_too_small_ends_the_walk() {
        for (bytes, message) in [
            (&b"\0\0\0\x09free"[..], "truncated: box free at byte 100 wants 9 bytes, 8 are left"),
            (b"\0\0\0\x01free\0\0", "truncated: box free at byte 100 wants 16 bytes, 10 are left"),
            (b"\0\0\0\x07free\0", "box free at byte 100: a size of 7 bytes, less than its header"),
            (
                b"\0\0\0\x01\x00\xffab\xff\xff\xff\xff\xff\xff\xff\xff",
                "truncated: box \\x00\\xffab at byte 100 wants 18446744073709551615 bytes, 16 are left",
            ),
        ] {
            assert_eq!(walk(bytes), [Err(message.to_string())]);
        }
    }
}
