//! AV1 (AV1 Codec ISO Media File Format Binding): the configuration record, the sequence header, and what the OBUs of
//! a temporal unit say.

mod obu;
mod sequence;

pub use obu::ObuError;
pub(super) use obu::ObuWalker;
pub use sequence::{SequenceError, SequenceHeader};

use super::video::{ContentLight, Hdr, MasteringDisplay, Picture};
use crate::limits::CODEC_CONFIG_BYTES_MAX;
use crate::wire::{Reader, Truncated};
use bytes::{BufMut, Bytes};
use obu::{OBU_METADATA, OBU_SEQUENCE_HEADER, obus};

/// metadata_type (section 6.7.1).
const METADATA_HDR_CLL: u8 = 1;
const METADATA_HDR_MDCV: u8 = 2;
/// av1C without configOBUs.
const HEAD_BYTES: usize = 4;

/// An AV1CodecConfigurationRecord (av1C, section 2.3.3), parsed and checked.
#[derive(Debug, Clone)]
pub struct DecoderConfig {
    record: Bytes,
    /// The last byte of the record's head: initial_presentation_delay.
    presentation_delay: u8,
    /// The payload of the sequence header OBU.
    sequence_payload: Bytes,
    sequence: SequenceHeader,
    /// By sequence header and metadata OBUs.
    hdr: Hdr,
    /// What the publisher says beside the record.
    signalled: Hdr,
}

/// Why an AV1CodecConfigurationRecord was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The record ends too early.
    #[error("av1C: {0}")]
    Truncated(#[from] Truncated),
    /// More bytes than a record may have.
    #[error("av1C of {found} bytes exceeds {CODEC_CONFIG_BYTES_MAX}")]
    TooLarge {
        /// Bytes found.
        found: usize,
    },
    /// Marker and version are not 1.
    #[error("av1C: marker and version {found:#04x}, only 0x81 is known")]
    Version {
        /// First byte.
        found: u8,
    },
    /// OBUs that cannot be walked.
    #[error("av1C: {0}")]
    Obu(#[from] ObuError),
    /// There is no sequence header.
    #[error("av1C: no sequence header")]
    NoSequence,
    /// The sequence header cannot be used.
    #[error("av1C: {0}")]
    Sequence(#[from] SequenceError),
}

impl DecoderConfig {
    /// Parses a whole record.
    ///
    /// # Errors
    /// [`ConfigError`]; [`ConfigError::NoSequence`] for a record whose configOBUs are empty: then the first key frame
    /// has it.
    pub fn parse(record: Bytes) -> Result<Self, ConfigError> {
        if record.len() > CODEC_CONFIG_BYTES_MAX {
            return Err(ConfigError::TooLarge { found: record.len() });
        }
        let bytes = record.clone();
        let mut reader = Reader::new(&bytes);
        let head = reader.take(HEAD_BYTES)?;
        if head[0] != 0x81 {
            return Err(ConfigError::Version { found: head[0] });
        }
        let presentation_delay = head[3] & 0x1f;
        let found = Found::search(reader.rest())?;
        Ok(Self { presentation_delay, ..found.config(record)? })
    }

    /// Builds the record from the sequence header in a temporal unit, for publishers that send none.
    ///
    /// # Errors
    /// [`ConfigError`] when there is none, or none that can be used.
    pub fn from_temporal_unit(unit: &[u8]) -> Result<Self, ConfigError> {
        let mut config = Found::search(unit)?.config(Bytes::new())?;
        config.record = config.sample_entry_record();
        if config.record.len() > CODEC_CONFIG_BYTES_MAX {
            return Err(ConfigError::TooLarge { found: config.record.len() });
        }
        Ok(config)
    }

    /// The configuration in force after a temporal unit: `None` when it has no sequence header that says something
    /// else than the one here, nor one that can be used. Bytes do not count: SVT-AV1 chooses other coding tools in band
    /// than it writes into the record.
    pub(super) fn in_band(&self, unit: &[u8]) -> Option<Self> {
        let found = Self::from_temporal_unit(unit).ok()?;
        if found.sequence == self.sequence {
            return None;
        }
        let kept = Hdr { colour: None, ..self.hdr };
        Some(Self { signalled: self.signalled, hdr: found.hdr.or(kept), ..found })
    }

    /// The record as it was received, or as it was built of a sequence header in band.
    pub fn record(&self) -> &Bytes {
        &self.record
    }

    /// The record for the sample entry: its head as the sequence header says, and that one with its size.
    pub fn sample_entry_record(&self) -> Bytes {
        let sequence = &self.sequence;
        let mut out = Vec::with_capacity(HEAD_BYTES + 10 + self.sequence_payload.len());
        out.put_u8(0x81);
        out.put_u8(sequence.profile << 5 | sequence.level);
        let flags = [
            sequence.high_tier,
            sequence.bit_depth > 8,
            sequence.bit_depth == 12,
            sequence.monochrome,
            sequence.subsampling_x,
            sequence.subsampling_y,
        ];
        out.put_u8(
            flags.iter().fold(0, |byte, flag| byte << 1 | u8::from(*flag)) << 2 | sequence.chroma_position,
        );
        out.put_u8(self.presentation_delay);
        out.put_u8(OBU_SEQUENCE_HEADER << 3 | 2); // obu_has_size_field
        let mut size = self.sequence_payload.len();
        while size >= 0x80 {
            out.put_u8(size as u8 & 0x7f | 0x80);
            size >>= 7;
        }
        out.put_u8(size as u8);
        out.put_slice(&self.sequence_payload);
        out.into()
    }

    /// The sequence header.
    pub fn sequence(&self) -> &SequenceHeader {
        &self.sequence
    }

    /// What its pictures are.
    pub fn picture(&self) -> Picture {
        Picture {
            width: self.sequence.width,
            height: self.sequence.height,
            sample_aspect: None,
            frame_rate: self.sequence.frame_rate,
            bit_depth: self.sequence.bit_depth,
        }
    }

    /// Colour and light: as sequence header and metadata say, else as the publisher.
    pub fn hdr(&self) -> Hdr {
        self.hdr.or(self.signalled)
    }

    /// The same record, and what the publisher says beside it.
    pub fn with_hdr(self, signalled: Hdr) -> Self {
        Self { signalled, ..self }
    }

    /// `av01.0.04M.08`, and all that follows when something of it is no default (section 5).
    pub fn rfc6381(&self) -> String {
        let sequence = &self.sequence;
        let tier = if sequence.high_tier { 'H' } else { 'M' };
        let short =
            format!("av01.{}.{:02}{tier}.{:02}", sequence.profile, sequence.level, sequence.bit_depth);
        let colour = self.hdr().colour.unwrap_or(sequence.colour);
        let is_default = |code_point: u8| matches!(code_point, 1 | 2);
        if is_default(colour.primaries)
            && is_default(colour.transfer)
            && is_default(colour.matrix)
            && !colour.full_range
            && !sequence.monochrome
            && sequence.subsampling_x
            && sequence.subsampling_y
        {
            return short;
        }
        format!(
            "{short}.{}.{}{}{}.{:02}.{:02}.{:02}.{}",
            u8::from(sequence.monochrome),
            u8::from(sequence.subsampling_x),
            u8::from(sequence.subsampling_y),
            if sequence.subsampling_x && sequence.subsampling_y { sequence.chroma_position } else { 0 },
            colour.primaries,
            colour.transfer,
            colour.matrix,
            u8::from(colour.full_range)
        )
    }
}

/// By the record's bytes and what was said beside them: the rest follows.
impl PartialEq for DecoderConfig {
    fn eq(&self, other: &Self) -> bool {
        self.record == other.record && self.hdr() == other.hdr()
    }
}

impl Eq for DecoderConfig {}

/// What a row of OBUs holds that belongs in a configuration.
#[derive(Debug, Default)]
struct Found<'a> {
    sequence_payload: Option<&'a [u8]>,
    light: Hdr,
}

impl<'a> Found<'a> {
    /// Up to the first OBU that cannot be walked, as long as there is a sequence header.
    fn search(row: &'a [u8]) -> Result<Self, ConfigError> {
        let mut found = Self::default();
        for obu in obus(row) {
            match obu {
                Ok(obu) if obu.obu_type == OBU_SEQUENCE_HEADER => {
                    found.sequence_payload.get_or_insert(obu.payload);
                }
                Ok(obu) if obu.obu_type == OBU_METADATA => {
                    found.light = found.light.or(read_metadata(obu.payload))
                }
                Ok(_) => {}
                Err(error) if found.sequence_payload.is_none() => return Err(error.into()),
                Err(_) => break,
            }
        }
        Ok(found)
    }

    fn config(self, record: Bytes) -> Result<DecoderConfig, ConfigError> {
        let sequence_payload = self.sequence_payload.ok_or(ConfigError::NoSequence)?;
        let sequence = SequenceHeader::parse(sequence_payload)?;
        Ok(DecoderConfig {
            record,
            presentation_delay: 0,
            sequence_payload: Bytes::copy_from_slice(sequence_payload),
            sequence,
            hdr: Hdr { colour: Some(sequence.colour), ..self.light },
            signalled: Hdr::default(),
        })
    }
}

/// metadata_obu (section 5.8): what it says about light.
fn read_metadata(payload: &[u8]) -> Hdr {
    let mut reader = Reader::new(payload);
    let mut said = Hdr::default();
    // Types from 128 on are none of these.
    match reader.u8() {
        Ok(METADATA_HDR_CLL) => said.light = read_light(&mut reader).ok(),
        Ok(METADATA_HDR_MDCV) => said.mastering = read_mastering(&mut reader).ok().flatten(),
        _ => {}
    }
    said
}

fn read_light(reader: &mut Reader<'_>) -> Result<ContentLight, Truncated> {
    Ok(ContentLight { content_max: reader.u16()?, frame_average_max: reader.u16()? })
}

/// 6.7.4: red, green, blue and the white point as 0.16, luminances as 24.8 and 18.14 fixed point.
fn read_mastering(reader: &mut Reader<'_>) -> Result<Option<MasteringDisplay>, Truncated> {
    let mut coordinates = [0.0; 8];
    for coordinate in &mut coordinates {
        *coordinate = f64::from(reader.u16()?) / f64::from(1 << 16);
    }
    let luminance_max = f64::from(reader.u32()?) / f64::from(1 << 8);
    let luminance_min = f64::from(reader.u32()?) / f64::from(1 << 14);
    Ok(MasteringDisplay::from_cie(coordinates, luminance_max, luminance_min))
}

#[cfg(test)]
mod tests;
