//! Bytes of a sample: mostly those that were received, sometimes a few that were made.

use std::ops::Deref;

/// Most bytes that are made at once: an OBU header of 2 bytes and a size of 8.
const INLINE_BYTES_MAX: usize = 10;

/// The next bytes of a sample, never none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece<'a> {
    /// A slice of the input.
    Borrowed(&'a [u8]),
    /// Bytes that the input does not hold in one piece: a NAL length that had fewer than 4 bytes, an OBU header.
    Inline(Inline),
}

/// A few bytes by value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inline {
    bytes: [u8; INLINE_BYTES_MAX],
    /// 1 to [`INLINE_BYTES_MAX`].
    count: u8,
}

impl Piece<'_> {
    /// The first [`INLINE_BYTES_MAX`] of `bytes` by value.
    pub(super) fn inline(bytes: &[u8]) -> Self {
        debug_assert!((1..=INLINE_BYTES_MAX).contains(&bytes.len()));
        let count = bytes.len().min(INLINE_BYTES_MAX);
        let mut inline = Inline { bytes: [0; INLINE_BYTES_MAX], count: count as u8 };
        inline.bytes[..count].copy_from_slice(&bytes[..count]);
        Self::Inline(inline)
    }
}

impl Deref for Piece<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Borrowed(bytes) => bytes,
            Self::Inline(inline) => &inline.bytes[..usize::from(inline.count)],
        }
    }
}
