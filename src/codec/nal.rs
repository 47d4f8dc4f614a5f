//! NAL units of H.264 and HEVC behind their lengths (ISO/IEC 14496-15, sections 5.3.2 and 8.3.2): at once
//! over a whole access unit, and step by step over one that arrives in fragments.

use crate::limits::ACCESS_UNIT_NALS_MAX;

/// What is wrong with an access unit's lengths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NalError {
    /// A NAL unit reaches past the end of its access unit.
    #[error("a NAL unit of {found} bytes where {left} are left in the access unit")]
    TooLong {
        /// Bytes that the length names.
        found: u32,
        /// Bytes left in the access unit.
        left: u32,
    },
    /// A NAL unit without a byte: decoders refuse it.
    #[error("a NAL unit of 0 bytes")]
    Empty,
    /// The access unit ends within a length.
    #[error("the access unit ends within a NAL unit's length")]
    LengthCut,
    /// Too many NAL units.
    #[error("more than {ACCESS_UNIT_NALS_MAX} NAL units in an access unit")]
    TooMany,
}

/// The NAL units of a whole access unit with 4-byte lengths. After an error it ends.
pub fn nal_units(access_unit: &[u8]) -> NalUnits<'_> {
    let walker = NalWalker::new(4, u32::try_from(access_unit.len()).unwrap_or(u32::MAX));
    NalUnits { rest: access_unit, walker, failed: false }
}

/// See [`nal_units`].
#[derive(Debug, Clone)]
pub struct NalUnits<'a> {
    rest: &'a [u8],
    walker: NalWalker,
    failed: bool,
}

impl<'a> Iterator for NalUnits<'a> {
    type Item = Result<&'a [u8], NalError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        loop {
            match self.walker.step(&mut self.rest) {
                Ok(Some(NalStep::Payload(unit))) => return Some(Ok(unit)),
                Ok(Some(NalStep::Length(_))) => {}
                Ok(None) if self.walker.is_whole() => return None,
                Ok(None) => {
                    self.failed = true;
                    return Some(Err(NalError::LengthCut));
                }
                Err(error) => {
                    self.failed = true;
                    return Some(Err(error));
                }
            }
        }
    }
}

/// One step of [`NalWalker::step`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NalStep<'a> {
    /// A NAL unit of so many bytes begins.
    Length(u32),
    /// The next bytes of the NAL unit that has begun, never none.
    Payload(&'a [u8]),
}

/// Walks the lengths of an access unit that arrives in fragments, cut anywhere.
#[derive(Debug, Clone)]
pub struct NalWalker {
    length_bytes: u8,
    /// Bytes of the current length already read; fewer than `length_bytes`.
    length_bytes_read: u8,
    length: u32,
    /// Bytes of the current NAL unit to come; never more than `access_unit_left`.
    nal_left: u32,
    /// Bytes of the access unit to come, lengths included.
    access_unit_left: u32,
    nals_count: u16,
    at_header: bool,
    header: NalHeader,
    seen: NalTypes,
}

/// Where a NAL unit's first byte has its type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum NalHeader {
    /// The lower 5 bits (ISO/IEC 14496-10, section 7.3.1).
    Avc,
    /// 6 bits behind the first one (ISO/IEC 23008-2, section 7.3.1.2).
    Hevc,
}

impl NalHeader {
    fn nal_type(self, first: u8) -> u8 {
        match self {
            Self::Avc => first & 0x1f,
            Self::Hevc => first >> 1 & 0x3f,
        }
    }
}

/// A set of NAL unit types.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NalTypes(u64);

impl NalTypes {
    /// True when the type, at most 63, is among them.
    pub fn has(self, nal_type: u8) -> bool {
        self.0 >> nal_type & 1 == 1
    }
}

impl NalWalker {
    /// A walker at the start of an access unit of `access_unit_bytes`, lengths included, each of
    /// `length_bytes` (1 to 4).
    pub fn new(length_bytes: u8, access_unit_bytes: u32) -> Self {
        debug_assert!((1..=4).contains(&length_bytes));
        Self {
            length_bytes,
            length_bytes_read: 0,
            length: 0,
            nal_left: 0,
            access_unit_left: access_unit_bytes,
            nals_count: 0,
            at_header: false,
            header: NalHeader::Avc,
            seen: NalTypes::default(),
        }
    }

    /// The same for HEVC.
    pub fn new_hevc(length_bytes: u8, access_unit_bytes: u32) -> Self {
        Self { header: NalHeader::Hevc, ..Self::new(length_bytes, access_unit_bytes) }
    }

    /// Takes the next step off the front of `input`; `None` when it is used up or the access unit
    /// has ended.
    ///
    /// # Errors
    /// [`NalError`] when a length cannot be true; nothing sensible follows then.
    pub fn step<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<NalStep<'a>>, NalError> {
        if self.nal_left > 0 {
            let count = input.len().min(self.nal_left as usize);
            let (payload, rest) = input.split_at(count);
            let Some(first) = payload.first() else { return Ok(None) };
            if self.at_header {
                self.seen.0 |= 1 << self.header.nal_type(*first);
                self.at_header = false;
            }
            *input = rest;
            self.nal_left -= count as u32;
            self.access_unit_left -= count as u32;
            return Ok(Some(NalStep::Payload(payload)));
        }
        while let Some((&byte, rest)) = input.split_first() {
            if self.access_unit_left == 0 {
                return if self.length_bytes_read == 0 { Ok(None) } else { Err(NalError::LengthCut) };
            }
            *input = rest;
            self.access_unit_left -= 1;
            self.length = self.length << 8 | u32::from(byte);
            self.length_bytes_read += 1;
            if self.length_bytes_read == self.length_bytes {
                return self.begin().map(Some);
            }
        }
        Ok(None)
    }

    fn begin<'a>(&mut self) -> Result<NalStep<'a>, NalError> {
        let length = std::mem::take(&mut self.length);
        self.length_bytes_read = 0;
        if length == 0 {
            return Err(NalError::Empty);
        }
        if length > self.access_unit_left {
            return Err(NalError::TooLong { found: length, left: self.access_unit_left });
        }
        if self.nals_count == ACCESS_UNIT_NALS_MAX {
            return Err(NalError::TooMany);
        }
        self.nals_count += 1;
        self.nal_left = length;
        self.at_header = true;
        Ok(NalStep::Length(length))
    }

    /// True when the access unit was walked to its end and ends with a whole NAL unit.
    pub fn is_whole(&self) -> bool {
        self.access_unit_left == 0 && self.length_bytes_read == 0
    }

    /// True when lengths have fewer than 4 bytes, so that a sample is not what the wire holds.
    pub fn rewrites(&self) -> bool {
        self.length_bytes < 4
    }

    /// The types of the NAL units so far.
    pub fn seen(&self) -> NalTypes {
        self.seen
    }

    /// True when a slice of an IDR picture of H.264 was among the NAL units so far.
    pub fn has_idr(&self) -> bool {
        self.seen.has(super::avc::NAL_IDR)
    }
}

/// A NAL unit's bytes without emulation prevention (ISO/IEC 14496-10, section 7.4.1.1): the 03 of
/// 00 00 03 is left out. At most `bytes_max` of the unit are looked at.
pub(super) fn unescape(unit: &[u8], bytes_max: usize) -> Vec<u8> {
    let unit = &unit[..unit.len().min(bytes_max)];
    let mut plain = Vec::with_capacity(unit.len());
    let mut zeros = 0;
    for &byte in unit {
        if zeros >= 2 && byte == 3 {
            zeros = 0;
            continue;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        plain.push(byte);
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn units(access_unit: &[u8]) -> Result<Vec<&[u8]>, NalError> {
        nal_units(access_unit).collect()
    }

    #[test]
    fn yields_each_unit_and_ends_at_the_first_lie() {
        assert_eq!(units(&[0, 0, 0, 2, 0x65, 1, 0, 0, 0, 1, 9]), Ok(vec![&[0x65, 1][..], &[9]]));
        assert_eq!(units(&[]), Ok(vec![]));
        for (access_unit, error) in [
            (&[0, 0, 0, 3, 1, 2][..], NalError::TooLong { found: 3, left: 2 }),
            (&[0xff, 0xff, 0xff, 0xff, 1], NalError::TooLong { found: u32::MAX, left: 1 }),
            (&[0, 0, 0, 0], NalError::Empty),
            (&[0, 0, 0, 1, 9, 0, 0], NalError::LengthCut),
        ] {
            assert_eq!(units(access_unit), Err(error), "{access_unit:?}");
            assert!(nal_units(access_unit).count() <= 2, "it ends after the error");
        }
        let crowd = [0, 0, 0, 1, 9].repeat(usize::from(ACCESS_UNIT_NALS_MAX) + 1);
        assert_eq!(units(&crowd), Err(NalError::TooMany));
        assert!(units(&crowd[5..]).is_ok());
    }

    #[test]
    fn fragments_cut_anywhere_walk_as_the_whole_does() {
        let access_unit = [0, 3, 6, 7, 8, 0, 2, 0x65, 2, 0, 1, 0x61];
        for cut in 0..=access_unit.len() {
            let mut walker = NalWalker::new(2, access_unit.len() as u32);
            let (mut lengths, mut payload) = (vec![], vec![]);
            for mut piece in [&access_unit[..cut], &access_unit[cut..]] {
                while let Some(step) = walker.step(&mut piece).unwrap() {
                    match step {
                        NalStep::Length(length) => lengths.push(length),
                        NalStep::Payload(bytes) => payload.extend_from_slice(bytes),
                    }
                }
            }
            assert_eq!((lengths, payload), (vec![3, 2, 1], vec![6, 7, 8, 0x65, 2, 0x61]), "cut at {cut}");
            assert!(walker.is_whole() && walker.has_idr());
        }
    }

    #[test]
    fn emulation_prevention_is_removed_once_per_escape() {
        assert_eq!(unescape(&[0, 0, 3, 0, 0, 3, 1, 3, 0, 0, 0, 3], 99), [0, 0, 0, 0, 1, 3, 0, 0, 0]);
        assert_eq!(unescape(&[1, 2, 3], 2), [1, 2]);
    }
}
