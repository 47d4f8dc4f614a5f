//! H.264 in its length-prefixed form (ISO/IEC 14496-15, section 5): the decoder configuration
//! record, the sequence parameter set, NAL units, and what x264 says about itself.

mod sps;
mod x264;

pub use super::SpsError;
pub use super::nal::{NalError, NalStep, NalUnits, NalWalker, nal_units};
pub use super::video::{Colour, FrameRate};
pub use sps::{Sps, Timing};
pub(super) use x264::parse_options;
pub use x264::{X264Options, x264_options};

use super::bits::BitReader;
use super::in_band::NalRoles;
use super::nal::unescape;
use super::video::{Hdr, Picture};
use crate::limits::{CODEC_CONFIG_BYTES_MAX, IN_BAND_SETS_MAX};
use crate::wire::{Reader, Truncated};
use bytes::{BufMut, Bytes};
use smallvec::SmallVec;
use std::ops::Range;

/// nal_unit_type of a slice of an IDR picture.
pub const NAL_IDR: u8 = 5;
/// nal_unit_type of supplemental enhancement information.
pub const NAL_SEI: u8 = 6;
/// nal_unit_type of a sequence parameter set.
pub const NAL_SPS: u8 = 7;
/// nal_unit_type of a picture parameter set.
pub const NAL_PPS: u8 = 8;

/// nal_unit_type of a NAL unit; 0 for none.
pub(super) fn nal_type(unit: &[u8]) -> u8 {
    unit.first().map_or(0, |header| header & 0x1f)
}

/// Table 7-1.
pub(super) const ROLES: NalRoles = NalRoles { slices: 1..=NAL_IDR, sets: NAL_SPS..=NAL_PPS };

/// An AVCDecoderConfigurationRecord (avcC, section 5.3.3.1), parsed and checked.
#[derive(Debug, Clone)]
pub struct DecoderConfig {
    record: Bytes,
    nal_length_bytes: u8,
    /// Where each SPS stands in `record`; at least one.
    sps_ranges: SmallVec<[Range<usize>; 1]>,
    /// Where each PPS stands in `record`; at least one.
    pps_ranges: SmallVec<[Range<usize>; 1]>,
    sps: Sps,
    /// What the publisher says beside the record.
    signalled: Hdr,
}

/// Why an AVCDecoderConfigurationRecord was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The record ends too early.
    #[error("avcC: {0}")]
    Truncated(#[from] Truncated),
    /// More bytes than a record may have.
    #[error("avcC of {found} bytes exceeds {CODEC_CONFIG_BYTES_MAX}")]
    TooLarge {
        /// Bytes found.
        found: usize,
    },
    /// configurationVersion is not 1.
    #[error("avcC: version {found}, only 1 is known")]
    Version {
        /// Version found.
        found: u8,
    },
    /// A list of parameter sets is empty, or one of them is of another NAL unit type.
    #[error("avcC: no usable {missing}")]
    ParameterSet {
        /// `SPS` or `PPS`.
        missing: &'static str,
    },
    /// The first SPS cannot be used.
    #[error("avcC: {0}")]
    Sps(#[from] SpsError),
}

impl DecoderConfig {
    /// Parses a whole record and its first SPS.
    ///
    /// # Errors
    /// [`ConfigError`] for a record that is truncated, too large, of another version, without
    /// parameter sets, or whose first SPS is refused.
    pub fn parse(record: Bytes) -> Result<Self, ConfigError> {
        if record.len() > CODEC_CONFIG_BYTES_MAX {
            return Err(ConfigError::TooLarge { found: record.len() });
        }
        let mut reader = Reader::new(&record);
        let version = reader.u8()?;
        if version != 1 {
            return Err(ConfigError::Version { found: version });
        }
        reader.take(3)?;
        let nal_length_bytes = (reader.u8()? & 3) + 1;
        let sps_count = reader.u8()? & 0x1f;
        let sps_ranges = parameter_sets(&mut reader, sps_count, NAL_SPS, "SPS")?;
        let pps_count = reader.u8()?;
        let pps_ranges = parameter_sets(&mut reader, pps_count, NAL_PPS, "PPS")?;
        // What follows (chroma format, bit depths, SPS extensions) stays in the record untouched:
        // encoders disagree about it, and the SPS says the same.
        let sps = Sps::parse(&record[sps_ranges[0].clone()])?;
        Ok(Self { nal_length_bytes, sps_ranges, pps_ranges, sps, signalled: Hdr::default(), record })
    }

    /// The configuration of an access unit with these parameter sets: each stands in the place of the one with its id,
    /// or behind the others. `None` when none of them is new, or what is new cannot be used.
    pub(super) fn in_band(&self, found: &[&[u8]]) -> Option<Self> {
        let mut sets: SmallVec<[&[u8]; 4]> = self.sps_units().chain(self.pps_units()).collect();
        if sets.len() > IN_BAND_SETS_MAX || found.iter().all(|set| sets.contains(set)) {
            return None;
        }
        for set in found {
            let id = Some(set_id(set)?);
            match sets.iter().position(|old| nal_type(old) == nal_type(set) && set_id(old) == id) {
                Some(place) => sets[place] = set,
                None => sets.push(set),
            }
        }
        let config = Self::parse(record_of(&sets, self.nal_length_bytes)?).ok()?;
        (config.record != self.record).then(|| config.with_hdr(self.signalled))
    }

    /// The record as it was received, or as it was built of parameter sets in band.
    pub fn record(&self) -> &Bytes {
        &self.record
    }

    /// The record for samples whose NAL lengths have 4 bytes: profile, compatibility and level as
    /// the SPS has them (section 5.3.3.1.2 wants them equal), all else as received.
    pub fn sample_entry_record(&self) -> Bytes {
        let mut record = self.record.to_vec();
        record[1..4].copy_from_slice(&[self.sps.profile, self.sps.compatibility, self.sps.level]);
        record[4] |= 3;
        record.into()
    }

    /// Bytes of a NAL unit's length on the wire, 1 to 4.
    pub fn nal_length_bytes(&self) -> u8 {
        self.nal_length_bytes
    }

    /// Colour and light: as the SPS says, else as the publisher.
    pub fn hdr(&self) -> Hdr {
        Hdr { colour: self.sps.colour, ..Hdr::default() }.or(self.signalled)
    }

    /// The same record, and what the publisher says beside it.
    pub fn with_hdr(self, signalled: Hdr) -> Self {
        Self { signalled, ..self }
    }

    /// What its pictures are.
    pub fn picture(&self) -> Picture {
        Picture {
            width: self.sps.width,
            height: self.sps.height,
            sample_aspect: self.sps.sample_aspect,
            frame_rate: self.sps.frame_rate(),
            bit_depth: self.sps.bit_depth_luma,
        }
    }

    /// The first SPS.
    pub fn sps(&self) -> &Sps {
        &self.sps
    }

    /// All SPS NAL units, header byte included.
    pub fn sps_units(&self) -> impl Iterator<Item = &[u8]> {
        self.sps_ranges.iter().map(|range| &self.record[range.clone()])
    }

    /// All PPS NAL units, header byte included.
    pub fn pps_units(&self) -> impl Iterator<Item = &[u8]> {
        self.pps_ranges.iter().map(|range| &self.record[range.clone()])
    }

    /// `avc1.PPCCLL` (RFC 6381, section 3.3).
    pub fn rfc6381(&self) -> String {
        format!("avc1.{:02X}{:02X}{:02X}", self.sps.profile, self.sps.compatibility, self.sps.level)
    }
}

/// By the record's bytes and what was said beside them: the rest follows.
impl PartialEq for DecoderConfig {
    fn eq(&self, other: &Self) -> bool {
        self.record == other.record && self.hdr() == other.hdr()
    }
}

impl Eq for DecoderConfig {}

/// The id of a parameter set among those of its type (sections 7.3.2.1.1 and 7.3.2.2).
fn set_id(unit: &[u8]) -> Option<u32> {
    // Behind the header; of an SPS behind profile, constraints and level as well.
    let before = if nal_type(unit) == NAL_SPS { 4 } else { 1 };
    let plain = unescape(unit, before + 16);
    BitReader::new(plain.get(before..)?).ue().ok()
}

/// A record of these parameter sets.
fn record_of(sets: &[&[u8]], nal_length_bytes: u8) -> Option<Bytes> {
    let of_type = |wanted: u8| sets.iter().filter(move |set| nal_type(set) == wanted);
    let sps = Sps::parse(of_type(NAL_SPS).next()?).ok()?;
    let mut record = vec![1, sps.profile, sps.compatibility, sps.level, 0xfc | (nal_length_bytes - 1)];
    for (array, flags) in [(NAL_SPS, 0xe0), (NAL_PPS, 0)] {
        // IN_BAND_SETS_MAX, twice, fits the 5 bits of either count.
        record.put_u8(flags | of_type(array).count() as u8);
        for set in of_type(array) {
            record.put_u16(u16::try_from(set.len()).ok()?);
            record.put_slice(set);
        }
    }
    // 5.3.3.1.2: these profiles have the chroma format and the depths here as well, and no extensions of an SPS.
    if matches!(sps.profile, 100 | 110 | 122 | 144) {
        let depths = [sps.bit_depth_luma, sps.bit_depth_chroma].map(|depth| 0xf8 | (depth - 8).min(7));
        record.extend([0xfc | sps.chroma_format, depths[0], depths[1], 0]);
    }
    Some(record.into())
}

/// `count` parameter sets, each after its 16-bit length; the counts have 5 and 8 bits.
fn parameter_sets(
    reader: &mut Reader<'_>,
    count: u8,
    nal_type: u8,
    name: &'static str,
) -> Result<SmallVec<[Range<usize>; 1]>, ConfigError> {
    let mut ranges = SmallVec::new();
    for _ in 0..count {
        let length = usize::from(reader.u16()?);
        let start = reader.offset();
        let unit = reader.take(length)?;
        if unit.first().is_none_or(|header| header & 0x1f != nal_type) {
            return Err(ConfigError::ParameterSet { missing: name });
        }
        ranges.push(start..start + length);
    }
    if ranges.is_empty() { Err(ConfigError::ParameterSet { missing: name }) } else { Ok(ranges) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// OBS 30, x264, High, 320x180.
    const OBS: &[u8] = &[
        0x01, 0x64, 0x00, 0x0d, 0xff, 0xe1, 0x00, 0x1c, 0x67, 0x64, 0x00, 0x0d, 0xac, 0xd9, 0x41, 0x41, 0x9f,
        0x9f, 0x01, 0x6a, 0x02, 0x02, 0x02, 0x80, 0x00, 0x00, 0x03, 0x00, 0x80, 0x00, 0x00, 0x1e, 0x47, 0x8a,
        0x14, 0xcb, 0x01, 0x00, 0x04, 0x68, 0xef, 0xbc, 0xb0, 0xfd, 0xf8, 0xf8, 0x00,
    ];

    fn parse(record: &[u8]) -> Result<DecoderConfig, ConfigError> {
        DecoderConfig::parse(Bytes::copy_from_slice(record))
    }

    #[test]
    fn reads_the_record_of_a_real_encoder_and_keeps_its_extension_bytes() {
        let config = parse(OBS).unwrap();
        assert_eq!(config.rfc6381(), "avc1.64000D");
        assert_eq!((config.sps().width, config.sps().height), (320, 180));
        assert_eq!(config.nal_length_bytes(), 4);
        assert_eq!(config.sps_units().collect::<Vec<_>>(), [&OBS[8..36]]);
        assert_eq!(config.pps_units().collect::<Vec<_>>(), [&OBS[39..43]]);
        assert_eq!(&config.sample_entry_record()[..], OBS);
    }

    #[test]
    fn the_sample_entry_says_what_the_sps_says_and_4_byte_lengths() {
        let mut record = OBS.to_vec();
        record[1..5].copy_from_slice(&[66, 0xc0, 30, 0xfd]);
        let config = parse(&record).unwrap();
        assert_eq!(config.nal_length_bytes(), 2);
        assert_eq!(config.rfc6381(), "avc1.64000D");
        assert_eq!(&config.sample_entry_record()[..], OBS);
    }

    #[test]
    fn every_truncation_and_every_missing_set_is_an_error() {
        for length in 0..43 {
            assert!(parse(&OBS[..length]).is_err(), "{length} bytes");
        }
        assert!(parse(&OBS[..43]).is_ok(), "without extension bytes, as OBS 29 writes it");
        assert_eq!(parse(&[2, 0, 0, 0, 0]), Err(ConfigError::Version { found: 2 }));
        let missing = |record: &[u8]| matches!(parse(record), Err(ConfigError::ParameterSet { .. }));
        assert!(missing(&[1, 100, 0, 13, 0xff, 0xe0, 0]));
        let mut record = OBS.to_vec();
        record[36] = 0;
        assert!(missing(&record));
        record = OBS.to_vec();
        record[8] = 0x68;
        assert!(missing(&record));
        assert!(matches!(parse(&vec![1; CODEC_CONFIG_BYTES_MAX + 1]), Err(ConfigError::TooLarge { .. })));
    }
}
