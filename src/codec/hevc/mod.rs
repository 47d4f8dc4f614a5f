//! HEVC in its length-prefixed form (ISO/IEC 14496-15, section 8): the decoder configuration record, parameter
//! sets, and what NAL units say about a picture.

mod sps;

pub use super::SpsError;
pub use sps::{ProfileTierLevel, Sps};

use super::frame::FrameRole;
use super::in_band::NalRoles;
use super::nal::{NalTypes, nal_units, unescape};
use super::sei::messages;
use super::video::{Colour, ContentLight, FrameRate, Hdr, MasteringDisplay, Picture};
use crate::limits::{CODEC_CONFIG_BYTES_MAX, IN_BAND_SETS_MAX, PARAMETER_SETS_MAX, SEI_SEARCHED_BYTES_MAX};
use crate::wire::{Reader, Truncated};
use bytes::{BufMut, Bytes};
use smallvec::SmallVec;
use std::fmt::Write as _;

/// nal_unit_type of RASL pictures (table 7-1 of ISO/IEC 23008-2).
const NAL_RASL_N: u8 = 8;
const NAL_RASL_R: u8 = 9;
/// BLA with RASL pictures, with RADL pictures, without either.
const NAL_BLA_W_LP: u8 = 16;
const NAL_BLA_W_RADL: u8 = 17;
const NAL_BLA_N_LP: u8 = 18;
const NAL_IDR_W_RADL: u8 = 19;
const NAL_IDR_N_LP: u8 = 20;
const NAL_CRA: u8 = 21;
/// nal_unit_type of a video parameter set.
pub const NAL_VPS: u8 = 32;
/// nal_unit_type of a sequence parameter set.
pub const NAL_SPS: u8 = 33;
/// nal_unit_type of a picture parameter set.
pub const NAL_PPS: u8 = 34;
/// nal_unit_type of supplemental enhancement information before the picture.
const NAL_SEI_PREFIX: u8 = 39;
/// payloadType of the two HDR messages, and of the one that names another transfer (D.2.28, D.2.35, D.2.38).
const SEI_MASTERING_DISPLAY: u32 = 137;
const SEI_CONTENT_LIGHT: u32 = 144;
const SEI_TRANSFER: u32 = 147;
const SEI_USER_DATA_UNREGISTERED: u32 = 5;
/// uuid_iso_iec_11578 of x265's options.
const X265_UUID: [u8; 16] =
    [0x2c, 0xa2, 0xde, 0x09, 0xb5, 0x17, 0x47, 0xdb, 0xbb, 0x55, 0xa4, 0xfe, 0x7f, 0xc2, 0xfc, 0x4e];

/// nal_unit_type of a NAL unit; 0 for none, which is no parameter set.
pub fn nal_type(unit: &[u8]) -> u8 {
    unit.first().map_or(0, |header| header >> 1 & 0x3f)
}

/// Table 7-1.
pub(super) const ROLES: NalRoles = NalRoles { slices: 0..=31, sets: NAL_VPS..=NAL_PPS };

/// What a picture with these NAL units needs.
pub(super) fn role(seen: NalTypes) -> FrameRole {
    let any = |types: &[u8]| types.iter().any(|nal_type| seen.has(*nal_type));
    if any(&[NAL_IDR_W_RADL, NAL_IDR_N_LP, NAL_BLA_W_RADL, NAL_BLA_N_LP]) {
        FrameRole::Sync
    } else if any(&[NAL_CRA, NAL_BLA_W_LP]) {
        FrameRole::OpenSync
    } else if any(&[NAL_RASL_N, NAL_RASL_R]) {
        FrameRole::SkippedLeading
    } else {
        FrameRole::Dependent
    }
}

/// An HEVCDecoderConfigurationRecord (hvcC, section 8.3.3.1), parsed and checked.
#[derive(Debug, Clone)]
pub struct DecoderConfig {
    record: Bytes,
    nal_length_bytes: u8,
    min_spatial_segmentation: u16,
    parallelism: u8,
    /// VPS, SPS and PPS, at least one of each, in this order.
    sets: SmallVec<[Bytes; 3]>,
    /// The first one.
    sps: Sps,
    /// By the SPS, else by the VPS.
    frame_rate: Option<FrameRate>,
    /// By the SEI beside the parameter sets.
    said: Said,
    /// What the publisher says beside the record.
    signalled: Hdr,
}

/// Why an HEVCDecoderConfigurationRecord was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The record ends too early.
    #[error("hvcC: {0}")]
    Truncated(#[from] Truncated),
    /// More bytes than a record may have.
    #[error("hvcC of {found} bytes exceeds {CODEC_CONFIG_BYTES_MAX}")]
    TooLarge {
        /// Bytes found.
        found: usize,
    },
    /// configurationVersion is not 1.
    #[error("hvcC: version {found}, only 1 is known")]
    Version {
        /// Version found.
        found: u8,
    },
    /// A kind of parameter set is missing.
    #[error("hvcC: no {missing}")]
    ParameterSet {
        /// `VPS`, `SPS` or `PPS`.
        missing: &'static str,
    },
    /// A NAL unit is of another type than its array.
    #[error("hvcC: a NAL unit of type {found} in the array of type {array}")]
    NalType {
        /// nal_unit_type found.
        found: u8,
        /// NAL_unit_type of the array.
        array: u8,
    },
    /// More parameter sets than there may be.
    #[error("hvcC: more than {PARAMETER_SETS_MAX} parameter sets")]
    TooMany,
    /// The first SPS cannot be used.
    #[error("hvcC: {0}")]
    Sps(#[from] SpsError),
}

impl DecoderConfig {
    /// Parses a whole record and its first SPS.
    ///
    /// # Errors
    /// [`ConfigError`] for a record that is truncated, too large, of another version, without a VPS, SPS or PPS,
    /// or whose first SPS is refused.
    pub fn parse(record: Bytes) -> Result<Self, ConfigError> {
        if record.len() > CODEC_CONFIG_BYTES_MAX {
            return Err(ConfigError::TooLarge { found: record.len() });
        }
        let mut reader = Reader::new(&record);
        let version = reader.u8()?;
        // Draft versions wrote 0.
        if version > 1 {
            return Err(ConfigError::Version { found: version });
        }
        reader.take(12)?; // profile, tier, level: as the SPS has them
        let min_spatial_segmentation = reader.u16()? & 0x0fff;
        let parallelism = reader.u8()? & 3;
        reader.take(1 + 1 + 1 + 2)?; // chroma format, bit depths: as the SPS; avgFrameRate
        let nal_length_bytes = (reader.u8()? & 3) + 1;
        let mut sets = Sets::default();
        let mut said = Said::default();
        // Each array takes 3 bytes of the record, each NAL unit 3.
        for _ in 0..reader.u8()? {
            let array = reader.u8()? & 0x3f;
            for _ in 0..reader.u16()? {
                let length = usize::from(reader.u16()?);
                let start = reader.offset();
                let unit = reader.take(length)?;
                let found = nal_type(unit);
                if unit.is_empty() || found != array {
                    return Err(ConfigError::NalType { found, array });
                }
                if found == NAL_SEI_PREFIX {
                    said = said.or(read_sei(unit));
                }
                sets.push(record.slice(start..start + length))?;
            }
        }
        Self { min_spatial_segmentation, parallelism, nal_length_bytes, ..Self::of_sets(record, sets, said)? }
            .checked()
    }

    /// Builds the record from the parameter sets in an access unit with 4-byte lengths, for publishers that send
    /// none; an access unit with a wrong length is searched up to there.
    ///
    /// # Errors
    /// [`ConfigError`] when a kind of parameter set is missing or the first SPS is refused.
    pub fn from_access_unit(access_unit: &[u8]) -> Result<Self, ConfigError> {
        let mut sets = Sets::default();
        let mut said = Said::default();
        for unit in nal_units(access_unit).map_while(Result::ok) {
            match nal_type(unit) {
                NAL_SEI_PREFIX => said = said.or(read_sei(unit)),
                NAL_VPS | NAL_SPS | NAL_PPS => sets.push(Bytes::copy_from_slice(unit))?,
                _ => {}
            }
        }
        Self::built(sets, said)
    }

    /// The configuration of an access unit with these parameter sets: each stands in the place of the one with its id,
    /// or beside the others. `None` when none of them is new, or what is new cannot be used.
    pub(super) fn in_band(&self, found: &[&[u8]]) -> Option<Self> {
        let is_known = |set: &&[u8]| self.sets.iter().any(|known| known == set);
        if self.sets.len() > IN_BAND_SETS_MAX || found.iter().all(is_known) {
            return None;
        }
        let mut sets = Sets { units: self.sets.clone() };
        for set in found {
            set_id(set)?;
            sets.replace(Bytes::copy_from_slice(set)).ok()?;
        }
        let config = Self::built(sets, self.said).ok()?;
        if config.sets == self.sets {
            return None;
        }
        Some(Self {
            nal_length_bytes: self.nal_length_bytes,
            min_spatial_segmentation: self.min_spatial_segmentation,
            parallelism: self.parallelism,
            signalled: self.signalled,
            ..config
        })
    }

    /// A configuration without a record of its own.
    fn built(sets: Sets, said: Said) -> Result<Self, ConfigError> {
        let mut config = Self::of_sets(Bytes::new(), sets, said)?;
        config.record = config.sample_entry_record();
        config.checked()
    }

    fn of_sets(record: Bytes, mut sets: Sets, said: Said) -> Result<Self, ConfigError> {
        // A stable order, whatever the publisher's was.
        sets.units.sort_by_key(|unit| nal_type(unit));
        let first = |wanted: u8, missing: &'static str| {
            let found = sets.units.iter().find(|unit| nal_type(unit) == wanted);
            found.ok_or(ConfigError::ParameterSet { missing })
        };
        let vps = first(NAL_VPS, "VPS")?;
        first(NAL_PPS, "PPS")?;
        let sps = Sps::parse(first(NAL_SPS, "SPS")?)?;
        Ok(Self {
            record,
            nal_length_bytes: 4,
            min_spatial_segmentation: 0,
            parallelism: 0,
            sps,
            frame_rate: sps.frame_rate.or_else(|| sps::vps_frame_rate(vps)),
            said,
            signalled: Hdr::default(),
            sets: sets.units,
        })
    }

    /// What is written must be a record as well.
    fn checked(self) -> Result<Self, ConfigError> {
        let found = self.sample_entry_record().len();
        if found > CODEC_CONFIG_BYTES_MAX { Err(ConfigError::TooLarge { found }) } else { Ok(self) }
    }

    /// The record as it was received, or as it was built of parameter sets in band.
    pub fn record(&self) -> &Bytes {
        &self.record
    }

    /// The record for `hvc1` samples whose NAL lengths have 4 bytes: profile, tier and level as the SPS has them,
    /// the parameter sets, each array complete, and nothing else. x265 puts SEI of 2 kB there.
    pub fn sample_entry_record(&self) -> Bytes {
        let (sps, ptl) = (&self.sps, &self.sps.ptl);
        let mut out = Vec::with_capacity(256);
        out.put_u8(1);
        out.put_u8(ptl.profile_space << 6 | u8::from(ptl.high_tier) << 5 | ptl.profile);
        out.put_u32(ptl.compatibility);
        out.put_slice(&ptl.constraints);
        out.put_u8(ptl.level);
        out.put_u16(0xf000 | self.min_spatial_segmentation);
        out.put_u8(0xfc | self.parallelism);
        out.put_u8(0xfc | sps.chroma_format);
        // 3 bits each: depths of more than 15 bits cannot be said here.
        out.put_u8(0xf8 | (sps.bit_depth_luma - 8).min(7));
        out.put_u8(0xf8 | (sps.bit_depth_chroma - 8).min(7));
        out.put_u16(0); // avgFrameRate: unspecified
        // constantFrameRate unknown, numTemporalLayers, temporalIdNested, lengthSizeMinusOne
        out.put_u8(sps.temporal_layers << 3 | u8::from(sps.temporal_id_nested) << 2 | 3);
        out.put_u8(3);
        for array in [NAL_VPS, NAL_SPS, NAL_PPS] {
            out.put_u8(0x80 | array); // array_completeness
            // PARAMETER_SETS_MAX bounds the count, the record's own 16-bit lengths each unit.
            out.put_u16(self.units(array).count() as u16);
            for unit in self.units(array) {
                out.put_u16(unit.len() as u16);
                out.put_slice(unit);
            }
        }
        out.into()
    }

    /// Bytes of a NAL unit's length on the wire, 1 to 4.
    pub fn nal_length_bytes(&self) -> u8 {
        self.nal_length_bytes
    }

    /// The first SPS.
    pub fn sps(&self) -> &Sps {
        &self.sps
    }

    /// The parameter sets of a type, header included.
    pub fn units(&self, wanted: u8) -> impl Iterator<Item = &[u8]> {
        self.sets.iter().map(|unit| &unit[..]).filter(move |unit| nal_type(unit) == wanted)
    }

    /// What its pictures are.
    pub fn picture(&self) -> Picture {
        Picture {
            width: self.sps.width,
            height: self.sps.height,
            sample_aspect: self.sps.sample_aspect,
            frame_rate: self.frame_rate,
            bit_depth: self.sps.bit_depth_luma,
        }
    }

    /// Colour and light: as SPS and SEI say, else as the publisher.
    pub fn hdr(&self) -> Hdr {
        let colour = match (self.sps.colour, self.said.hdr.colour) {
            // SEI names the transfer that is meant; the SPS one that older decoders understand.
            (Some(of_sps), Some(of_sei)) => Some(Colour { transfer: of_sei.transfer, ..of_sps }),
            (of_sps, of_sei) => of_sps.or(of_sei),
        };
        Hdr { colour, ..self.said.hdr }.or(self.signalled)
    }

    /// The same record, and what the publisher says beside it.
    pub fn with_hdr(self, signalled: Hdr) -> Self {
        Self { signalled, ..self }
    }

    /// Most frames from one key frame to the next, as x265 says it in the record or in an access unit with 4-byte
    /// lengths.
    pub fn keyint(&self, access_unit: &[u8]) -> Option<u32> {
        let of_sei = |unit| read_sei(unit).keyint;
        let mut sei =
            nal_units(access_unit).map_while(Result::ok).filter(|unit| nal_type(unit) == NAL_SEI_PREFIX);
        self.said.keyint.or_else(|| sei.find_map(of_sei))
    }

    /// `hvc1.1.6.L93.B0` (ISO/IEC 14496-15, section E.3).
    pub fn rfc6381(&self) -> String {
        let ptl = &self.sps.ptl;
        let space = ["", "A", "B", "C"][usize::from(ptl.profile_space & 3)];
        let tier = if ptl.high_tier { 'H' } else { 'L' };
        let compatibility = ptl.compatibility.reverse_bits();
        let mut name = format!("hvc1.{space}{}.{compatibility:X}.{tier}{}", ptl.profile, ptl.level);
        // E.3: trailing bytes that are zero may be left out.
        let said = ptl.constraints.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        for byte in &ptl.constraints[..said] {
            // A String takes whatever is written.
            let _ = write!(name, ".{byte:X}");
        }
        name
    }
}

/// By the record's bytes and what was said beside them: the rest follows.
impl PartialEq for DecoderConfig {
    fn eq(&self, other: &Self) -> bool {
        self.record == other.record && self.hdr() == other.hdr()
    }
}

impl Eq for DecoderConfig {}

/// Parameter sets, never more than [`PARAMETER_SETS_MAX`], none twice.
#[derive(Debug, Default)]
struct Sets {
    units: SmallVec<[Bytes; 3]>,
}

impl Sets {
    /// Takes parameter sets, leaves out all else.
    fn push(&mut self, unit: Bytes) -> Result<(), ConfigError> {
        if !matches!(nal_type(&unit), NAL_VPS | NAL_SPS | NAL_PPS) || self.units.contains(&unit) {
            return Ok(());
        }
        if self.units.len() == PARAMETER_SETS_MAX || unit.len() > usize::from(u16::MAX) {
            return Err(ConfigError::TooMany);
        }
        self.units.push(unit);
        Ok(())
    }

    /// In the place of the one with the same type and id, if there is one.
    fn replace(&mut self, unit: Bytes) -> Result<(), ConfigError> {
        self.units.retain(|old| nal_type(old) != nal_type(&unit) || set_id(old) != set_id(&unit));
        self.push(unit)
    }
}

/// The id of a parameter set among those of its type.
fn set_id(unit: &[u8]) -> Option<u32> {
    match nal_type(unit) {
        NAL_VPS => unit.get(2).map(|first| u32::from(first >> 4)),
        NAL_SPS => Sps::parse(unit).ok().map(|sps| sps.id.into()),
        // 7.3.2.3.1: pps_pic_parameter_set_id comes first.
        _ => super::bits::BitReader::new(unit.get(2..)?).ue().ok(),
    }
}

/// What SEI says.
#[derive(Debug, Clone, Copy, Default)]
struct Said {
    /// Of colour the transfer only.
    hdr: Hdr,
    /// Most frames from one key frame to the next, by x265.
    keyint: Option<u32>,
}

impl Said {
    fn or(self, other: Self) -> Self {
        Self { hdr: self.hdr.or(other.hdr), keyint: self.keyint.or(other.keyint) }
    }
}

fn read_sei(unit: &[u8]) -> Said {
    let plain = unescape(unit.get(2..).unwrap_or_default(), SEI_SEARCHED_BYTES_MAX);
    let mut said = Said::default();
    for (payload_type, payload) in messages(&plain) {
        let mut reader = Reader::new(payload);
        match payload_type {
            SEI_MASTERING_DISPLAY => said.hdr.mastering = read_mastering(&mut reader).ok(),
            SEI_CONTENT_LIGHT => said.hdr.light = read_light(&mut reader).ok(),
            SEI_TRANSFER => {
                let colour = |transfer| Colour { primaries: 2, transfer, matrix: 2, full_range: false };
                said.hdr.colour = reader.u8().ok().map(colour);
            }
            SEI_USER_DATA_UNREGISTERED => {
                let text = payload.strip_prefix(&X265_UUID).unwrap_or_default();
                let options = super::avc::parse_options(&String::from_utf8_lossy(text));
                said.keyint = said.keyint.or(options.keyint);
            }
            _ => {}
        }
    }
    said
}

/// D.2.28: green, blue and red as they come, the white point, the two luminances.
fn read_mastering(reader: &mut Reader<'_>) -> Result<MasteringDisplay, Truncated> {
    let mut point = || Ok((reader.u16()?, reader.u16()?));
    Ok(MasteringDisplay {
        primaries: [point()?, point()?, point()?],
        white_point: point()?,
        luminance_max: reader.u32()?,
        luminance_min: reader.u32()?,
    })
}

fn read_light(reader: &mut Reader<'_>) -> Result<ContentLight, Truncated> {
    Ok(ContentLight { content_max: reader.u16()?, frame_average_max: reader.u16()? })
}

#[cfg(test)]
mod tests;
