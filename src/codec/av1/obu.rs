//! Open bitstream units (AV1 Bitstream & Decoding Process, section 5.3): at once over a whole temporal unit, and step
//! by step over one that arrives in fragments.

use crate::codec::piece::Piece;
use crate::limits::TEMPORAL_UNIT_OBUS_MAX;

/// obu_type.
pub(super) const OBU_SEQUENCE_HEADER: u8 = 1;
const OBU_TEMPORAL_DELIMITER: u8 = 2;
const OBU_FRAME_HEADER: u8 = 3;
pub(super) const OBU_METADATA: u8 = 5;
const OBU_FRAME: u8 = 6;
/// A header of 2 bytes and a size of 8.
const HEADER_BYTES_MAX: usize = 10;

/// What is wrong with a temporal unit's OBUs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ObuError {
    /// obu_forbidden_bit is set.
    #[error("an OBU header with its forbidden bit set")]
    Forbidden,
    /// An OBU reaches past the end of its temporal unit.
    #[error("an OBU of {found} bytes where {left} are left in the temporal unit")]
    TooLong {
        /// Bytes that the size names.
        found: u64,
        /// Bytes left in the temporal unit.
        left: u32,
    },
    /// The temporal unit ends within an OBU's header, or a size has more than 8 bytes.
    #[error("the temporal unit ends within an OBU's header")]
    HeaderCut,
    /// Too many OBUs.
    #[error("more than {TEMPORAL_UNIT_OBUS_MAX} OBUs in a temporal unit")]
    TooMany,
}

/// An OBU of a whole temporal unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Obu<'a> {
    pub(super) obu_type: u8,
    pub(super) payload: &'a [u8],
}

/// The OBUs of a whole temporal unit, or of configOBUs. After an error it ends.
pub(super) fn obus(unit: &[u8]) -> impl Iterator<Item = Result<Obu<'_>, ObuError>> {
    let mut rest = unit;
    let mut count = 0;
    std::iter::from_fn(move || {
        let obu = next_obu(&mut rest, &mut count).transpose()?;
        if obu.is_err() {
            rest = &[];
        }
        Some(obu)
    })
}

fn next_obu<'a>(rest: &mut &'a [u8], count: &mut u16) -> Result<Option<Obu<'a>>, ObuError> {
    let mut header = Header::default();
    loop {
        let Some((&byte, after)) = rest.split_first() else {
            return if header.count == 0 { Ok(None) } else { Err(ObuError::HeaderCut) };
        };
        *rest = after;
        let left = u32::try_from(rest.len()).unwrap_or(u32::MAX);
        if let Some(size) = header.push(byte, left)? {
            take_count(count)?;
            let (payload, after) = rest.split_at(size as usize);
            *rest = after;
            return Ok(Some(Obu { obu_type: header.obu_type(), payload }));
        }
    }
}

fn take_count(count: &mut u16) -> Result<(), ObuError> {
    if *count == TEMPORAL_UNIT_OBUS_MAX {
        return Err(ObuError::TooMany);
    }
    *count += 1;
    Ok(())
}

/// The bytes of an OBU's header so far.
#[derive(Debug, Clone, Copy, Default)]
struct Header {
    bytes: [u8; HEADER_BYTES_MAX],
    /// Never more than [`HEADER_BYTES_MAX`].
    count: usize,
}

impl Header {
    fn obu_type(&self) -> u8 {
        self.bytes[0] >> 3 & 0x0f
    }

    /// One more byte; `left` are left in the temporal unit behind it. Returns the payload's size once it is known;
    /// it is never more than `left`.
    fn push(&mut self, byte: u8, left: u32) -> Result<Option<u32>, ObuError> {
        // 4.10.5: a leb128 has at most 8 bytes.
        let Some(slot) = self.bytes.get_mut(self.count) else { return Err(ObuError::HeaderCut) };
        *slot = byte;
        self.count += 1;
        let first = self.bytes[0];
        if first & 0x80 != 0 {
            return Err(ObuError::Forbidden);
        }
        let head = if first & 4 == 0 { 1 } else { 2 };
        if first & 2 == 0 {
            // Without a size it takes the rest.
            return Ok((self.count == head).then_some(left));
        }
        if self.count <= head || byte & 0x80 != 0 {
            return Ok(None);
        }
        let groups = self.bytes[head..self.count].iter().take(8).enumerate();
        let size = groups.fold(0, |size, (index, byte)| size | u64::from(byte & 0x7f) << (7 * index));
        match u32::try_from(size) {
            Ok(size) if size <= left => Ok(Some(size)),
            _ => Err(ObuError::TooLong { found: size, left }),
        }
    }
}

/// What the first frame of a temporal unit is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FirstFrame {
    /// None came yet.
    Unseen,
    /// A key frame that is shown.
    Key,
    Other,
}

/// Walks a temporal unit that arrives in fragments, cut anywhere, and leaves out its temporal delimiters: samples
/// have none (AV1 Codec ISO Media File Format Binding, section 2.4).
#[derive(Debug, Clone)]
pub(crate) struct ObuWalker {
    header: Header,
    /// Bytes of the current OBU's payload to come.
    payload_left: u32,
    /// Bytes of the temporal unit to come; never fewer than `payload_left`.
    unit_left: u32,
    count: u16,
    /// The current OBU is a temporal delimiter.
    dropped: bool,
    /// The next byte is the first one of a frame header.
    at_frame: bool,
    first_frame: FirstFrame,
    /// reduced_still_picture_header: frame headers do not say what they are.
    still: bool,
}

impl ObuWalker {
    pub(crate) fn new(still: bool, unit_bytes: u32) -> Self {
        Self {
            header: Header::default(),
            payload_left: 0,
            unit_left: unit_bytes,
            count: 0,
            dropped: false,
            at_frame: false,
            first_frame: FirstFrame::Unseen,
            still,
        }
    }

    /// The next bytes of the sample; `None` when `input` is used up or the temporal unit has ended.
    pub(crate) fn step<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<Piece<'a>>, ObuError> {
        while self.unit_left > 0 {
            if self.payload_left == 0 {
                let Some((&byte, rest)) = input.split_first() else { return Ok(None) };
                *input = rest;
                self.unit_left -= 1;
                if let Some(size) = self.header.push(byte, self.unit_left)?
                    && let Some(header) = self.begin(size)?
                {
                    return Ok(Some(header));
                }
                continue;
            }
            let (payload, rest) = input.split_at(input.len().min(self.payload_left as usize));
            let Some(&first) = payload.first() else { return Ok(None) };
            *input = rest;
            self.payload_left -= payload.len() as u32;
            self.unit_left -= payload.len() as u32;
            if std::mem::take(&mut self.at_frame) && self.first_frame == FirstFrame::Unseen {
                // 5.9.2: show_existing_frame, frame_type (0 is KEY_FRAME), show_frame.
                let key = self.still || first & 0xf0 == 0x10;
                self.first_frame = if key { FirstFrame::Key } else { FirstFrame::Other };
            }
            if !self.dropped {
                return Ok(Some(Piece::Borrowed(payload)));
            }
        }
        Ok(None)
    }

    /// A header is whole: returns it if its OBU belongs in the sample.
    fn begin<'a>(&mut self, size: u32) -> Result<Option<Piece<'a>>, ObuError> {
        take_count(&mut self.count)?;
        let header = std::mem::take(&mut self.header);
        let obu_type = header.obu_type();
        self.payload_left = size;
        self.dropped = obu_type == OBU_TEMPORAL_DELIMITER;
        self.at_frame = matches!(obu_type, OBU_FRAME | OBU_FRAME_HEADER);
        Ok((!self.dropped).then(|| Piece::inline(&header.bytes[..header.count])))
    }

    /// True when the temporal unit ended with a whole OBU.
    pub(crate) fn is_whole(&self) -> bool {
        self.unit_left == 0 && self.header.count == 0
    }

    /// True when its first frame is a key frame that is shown.
    pub(crate) fn is_key(&self) -> bool {
        self.first_frame == FirstFrame::Key
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn types(unit: &[u8]) -> Result<Vec<(u8, usize)>, ObuError> {
        obus(unit).map(|obu| obu.map(|obu| (obu.obu_type, obu.payload.len()))).collect()
    }

    #[test]
    fn sizes_have_one_to_eight_bytes_or_are_absent() {
        // Temporal delimiter; with extension and a size of two bytes; without a size.
        assert_eq!(
            types(&[0x12, 0, 0x36, 0, 0x82, 0x00, 1, 2, 0x30, 9, 9, 9]),
            Ok(vec![(2, 0), (6, 2), (6, 3)])
        );
        assert_eq!(types(&[0x0a, 0x81, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00, 7]), Ok(vec![(1, 1)]));
        assert_eq!(types(&[]), Ok(vec![]));
    }

    #[test]
    fn a_unit_that_lies_ends_with_an_error() {
        for (unit, error) in [
            (&[0x80, 0][..], ObuError::Forbidden),
            (&[0x0a, 3, 1, 2], ObuError::TooLong { found: 3, left: 2 }),
            (
                &[0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f],
                ObuError::TooLong { found: (1 << 56) - 1, left: 0 },
            ),
            (&[0x0a, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00], ObuError::HeaderCut),
            (&[0x0a], ObuError::HeaderCut),
            (&[0x0e, 1], ObuError::HeaderCut),
        ] {
            assert_eq!(types(unit), Err(error), "{unit:x?}");
            assert_eq!(obus(unit).count(), 1, "it ends after the error");
        }
        let crowd = [0x12, 0].repeat(usize::from(TEMPORAL_UNIT_OBUS_MAX) + 1);
        assert_eq!(types(&crowd), Err(ObuError::TooMany));
        let mut walker = ObuWalker::new(false, crowd.len() as u32);
        assert_eq!(walker.step(&mut &crowd[..]), Err(ObuError::TooMany));
    }

    /// A key frame counts by the first frame alone, when it is shown now.
    #[test]
    fn the_first_frame_decides() {
        for (first, still, key) in [
            (0x10, false, true),  // KEY_FRAME, shown
            (0x00, false, false), // KEY_FRAME, not shown
            (0x30, false, false), // INTER_FRAME
            (0x90, false, false), // show_existing_frame
            (0x30, true, true),
        ] {
            let unit = [0x32, 1, first, 0x32, 1, 0x10];
            let mut walker = ObuWalker::new(still, 6);
            let mut input = &unit[..];
            while walker.step(&mut input).unwrap().is_some() {}
            assert_eq!((walker.is_key(), walker.is_whole()), (key, true), "{first:x}");
        }
    }
}
