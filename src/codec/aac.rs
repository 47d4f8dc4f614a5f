//! AAC's AudioSpecificConfig (ISO/IEC 14496-3, section 1.6.2.1) and a frame of silence.

use super::bits::{BitReader, OutOfBits};
use crate::limits::CODEC_CONFIG_BYTES_MAX;
use bytes::Bytes;

const OBJECT_LC: u8 = 2;
const OBJECT_SBR: u8 = 5;
const OBJECT_PS: u8 = 29;
/// audioObjectType that says: 6 more bits follow, 32 is added.
const OBJECT_ESCAPE: u8 = 31;
/// samplingFrequencyIndex that says: the rate follows in 24 bits.
const RATE_EXPLICIT: u8 = 15;
/// Table 1.18: samplingFrequencyIndex to Hz.
const RATES: [u32; 13] =
    [96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000, 7_350];
/// syncExtensionType of SBR, and of PS behind it, at the end of a backward compatible record.
const SYNC_SBR: u32 = 0x2b7;
const SYNC_PS: u32 = 0x548;
/// A frame of AAC-LC without any spectrum: one channel element, max_sfb 0, then the end element.
const SILENT_MONO: [u8; 4] = [0x00, 0x00, 0x00, 0x07];
/// The same for a channel pair, as OBS sends it (captured 2026-11-22).
const SILENT_STEREO: [u8; 6] = [0x21, 0x10, 0x04, 0x60, 0x8c, 0x1c];

/// An AudioSpecificConfig, parsed and checked.
#[derive(Debug, Clone)]
pub struct AudioConfig {
    record: Bytes,
    object_type: u8,
    sample_rate: u32,
    channels: Option<u8>,
    frame_samples: u32,
    extension_rate: Option<u32>,
    parametric_stereo: bool,
}

/// Why an AudioSpecificConfig was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AscError {
    /// The record ends too early.
    #[error("AudioSpecificConfig: {0}")]
    Bits(#[from] OutOfBits),
    /// More bytes than a record may have.
    #[error("AudioSpecificConfig of {found} bytes exceeds {CODEC_CONFIG_BYTES_MAX}")]
    TooLarge {
        /// Bytes found.
        found: usize,
    },
    /// A sampling rate that is reserved, or outside 1,000 to 192,000 Hz.
    #[error("AudioSpecificConfig: sampling rate (index or Hz) {found} is not usable")]
    SampleRate {
        /// samplingFrequencyIndex, or Hz when it was explicit.
        found: u32,
    },
    /// An audio object type whose frames have no known length here.
    #[error("AudioSpecificConfig: audio object type {found} is not supported")]
    ObjectType {
        /// audioObjectType found.
        found: u8,
    },
}

impl AudioConfig {
    /// Parses a whole record.
    ///
    /// # Errors
    /// [`AscError`] when it is truncated, too large, or names a rate or object type not known here.
    pub fn parse(record: Bytes) -> Result<Self, AscError> {
        if record.len() > CODEC_CONFIG_BYTES_MAX {
            return Err(AscError::TooLarge { found: record.len() });
        }
        let bits = &mut BitReader::new(&record);
        let mut object_type = read_object_type(bits)?;
        let sample_rate = read_rate(bits)?;
        let channel_configuration = bits.small(4)?;
        let mut parametric_stereo = object_type == OBJECT_PS;
        let mut extension_rate = None;
        if object_type == OBJECT_SBR || object_type == OBJECT_PS {
            extension_rate = Some(read_rate(bits)?);
            object_type = read_object_type(bits)?;
        }
        let specific = read_general_audio(bits, object_type, channel_configuration)?;
        if extension_rate.is_none() {
            // Encoders pad with zeros or stop: no sync word, no extension.
            (extension_rate, parametric_stereo) = read_sync_extension(bits).unwrap_or((None, false));
        }
        Ok(Self {
            object_type,
            sample_rate,
            channels: specific.channels,
            frame_samples: specific.frame_samples,
            extension_rate,
            parametric_stereo,
            record,
        })
    }

    /// The record as it was received.
    pub fn record(&self) -> &Bytes {
        &self.record
    }

    /// audioObjectType of the core: 2 is LC. SBR and PS are told apart below.
    pub fn object_type(&self) -> u8 {
        self.object_type
    }

    /// Hz of the core, without SBR: the timescale of a track.
    pub fn sample_rate(&self) -> u32 {
        self.sample_rate
    }

    /// Channels of the core; `None` when the record does not say.
    pub fn channels(&self) -> Option<u8> {
        self.channels
    }

    /// Samples of a frame at [`sample_rate`](Self::sample_rate): 1024 or 960, or half of it for
    /// the low delay types.
    pub fn frame_samples(&self) -> u32 {
        self.frame_samples
    }

    /// Hz with SBR, when the record says explicitly that there is SBR.
    pub fn extension_rate(&self) -> Option<u32> {
        self.extension_rate
    }

    /// True when the record says explicitly that there is parametric stereo.
    pub fn parametric_stereo(&self) -> bool {
        self.parametric_stereo
    }

    /// `mp4a.40.N` (RFC 6381, section 3.3): 5 with SBR, 29 with parametric stereo as well.
    pub fn rfc6381(&self) -> String {
        let object_type = match (self.extension_rate, self.parametric_stereo) {
            (Some(_), true) => OBJECT_PS,
            (Some(_), false) => OBJECT_SBR,
            (None, _) => self.object_type,
        };
        format!("mp4a.40.{object_type}")
    }

    /// A frame of silence, to continue a track that fell silent; `None` where none is known.
    pub fn silent_frame(&self) -> Option<&'static [u8]> {
        if self.object_type != OBJECT_LC || self.extension_rate.is_some() {
            return None;
        }
        match self.channels {
            Some(1) => Some(&SILENT_MONO),
            Some(2) => Some(&SILENT_STEREO),
            _ => None,
        }
    }
}

/// By the record's bytes: the rest follows from them.
impl PartialEq for AudioConfig {
    fn eq(&self, other: &Self) -> bool {
        self.record == other.record
    }
}

impl Eq for AudioConfig {}

struct GeneralAudio {
    frame_samples: u32,
    channels: Option<u8>,
}

fn read_object_type(bits: &mut BitReader<'_>) -> Result<u8, AscError> {
    match bits.small(5)? {
        OBJECT_ESCAPE => Ok(32 + bits.small(6)?),
        object_type => Ok(object_type),
    }
}

fn read_rate(bits: &mut BitReader<'_>) -> Result<u32, AscError> {
    let index = bits.small(4)?;
    let (found, rate) = if index == RATE_EXPLICIT {
        let rate = bits.bits(24)?;
        (rate, Some(rate))
    } else {
        (u32::from(index), RATES.get(usize::from(index)).copied())
    };
    rate.filter(|rate| (1_000..=192_000).contains(rate)).ok_or(AscError::SampleRate { found })
}

/// GASpecificConfig (section 4.4.1).
fn read_general_audio(
    bits: &mut BitReader<'_>,
    object_type: u8,
    channel_configuration: u8,
) -> Result<GeneralAudio, AscError> {
    // 23 and 39 (low delay) have half the samples; 39 has a config of its own and 42 (USAC) too.
    if !matches!(object_type, 1..=4 | 6 | 7 | 17 | 19..=23) {
        return Err(AscError::ObjectType { found: object_type });
    }
    let short = bits.flag()?; // frameLengthFlag
    if bits.flag()? {
        bits.skip(14)?; // coreCoderDelay
    }
    let extension = bits.flag()?;
    let channels = match channel_configuration {
        0 => Some(read_program_channels(bits)?).filter(|channels| *channels > 0),
        1..=6 => Some(channel_configuration),
        // Table 1.19: 7 and 12 and 14 have eight channels, 11 has seven, 13 is 22.2.
        7 | 12 | 14 => Some(8),
        11 => Some(7),
        13 => Some(24),
        _ => None,
    };
    if matches!(object_type, 6 | 20) {
        bits.skip(3)?; // layerNr
    }
    if extension {
        match object_type {
            22 => bits.skip(16)?,               // numOfSubFrame, layer_length
            17 | 19 | 20 | 23 => bits.skip(3)?, // resilience flags
            _ => {}
        }
        bits.skip(1)?; // extensionFlag3
    }
    let frame_samples = match (object_type, short) {
        (23, false) => 512,
        (23, true) => 480,
        (_, false) => 1024,
        (_, true) => 960,
    };
    Ok(GeneralAudio { frame_samples, channels })
}

/// program_config_element (section 4.4.1.1): the sum of its elements' channels.
fn read_program_channels(bits: &mut BitReader<'_>) -> Result<u8, AscError> {
    bits.skip(4 + 2 + 4)?; // element_instance_tag, object_type, sampling_frequency_index
    let (front, side, back) = (bits.small(4)?, bits.small(4)?, bits.small(4)?);
    let (lfe, assoc, coupling) = (bits.small(2)?, bits.small(3)?, bits.small(4)?);
    for mixdown_bits in [4, 4, 3] {
        if bits.flag()? {
            bits.skip(mixdown_bits)?;
        }
    }
    let mut channels = lfe;
    for _ in 0..front + side + back {
        channels += if bits.flag()? { 2 } else { 1 };
        bits.skip(4)?; // element_tag_select
    }
    bits.skip(4 * (u32::from(lfe) + u32::from(assoc)) + 5 * u32::from(coupling))?;
    bits.skip((bits.remaining() % 8) as u32)?; // byte_alignment
    let comment_bytes = bits.bits(8)?;
    bits.skip(8 * comment_bytes)?;
    Ok(channels)
}

/// The backward compatible extension behind the core's config; `None` when there is none.
fn read_sync_extension(bits: &mut BitReader<'_>) -> Option<(Option<u32>, bool)> {
    let found =
        bits.bits(11).ok()? == SYNC_SBR && read_object_type(bits).ok()? == OBJECT_SBR && bits.flag().ok()?; // sbrPresentFlag
    if !found {
        return None;
    }
    let rate = read_rate(bits).ok()?;
    let parametric_stereo = bits.bits(11) == Ok(SYNC_PS) && bits.flag() == Ok(true);
    Some((Some(rate), parametric_stereo))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(record: &[u8]) -> Result<AudioConfig, AscError> {
        AudioConfig::parse(Bytes::copy_from_slice(record))
    }

    #[test]
    fn reads_the_records_of_real_encoders() {
        // record, Hz, channels, extension, string
        for (record, rate, channels, extension, codec) in [
            (&[0x11, 0x90, 0x56, 0xe5, 0x00][..], 48_000, 2, None, "mp4a.40.2"), // OBS, GStreamer
            (&[0x11, 0x88, 0x56, 0xe5, 0x00], 48_000, 1, None, "mp4a.40.2"),     // ffmpeg
            (&[0x12, 0x08, 0x56, 0xe5, 0x00], 44_100, 1, None, "mp4a.40.2"),     // ffmpeg
            (&[0x12, 0x10], 44_100, 2, None, "mp4a.40.2"),
            (&[0x11, 0xb0], 48_000, 6, None, "mp4a.40.2"),
            (&[0x2b, 0x92, 0x08, 0x00], 22_050, 2, Some(44_100), "mp4a.40.5"), // HE-AAC
            (&[0xeb, 0x8a, 0x08, 0x00], 22_050, 1, Some(44_100), "mp4a.40.29"), // HE-AAC v2
            (&[0x13, 0x90, 0x56, 0xe5, 0xa0], 22_050, 2, Some(44_100), "mp4a.40.5"), // compatible
            (&[0x13, 0x88, 0x56, 0xe5, 0xa5, 0x48, 0x80], 22_050, 1, Some(44_100), "mp4a.40.29"),
        ] {
            let config = parse(record).unwrap();
            assert_eq!(config.sample_rate(), rate, "{record:x?}");
            assert_eq!(config.channels(), Some(channels), "{record:x?}");
            assert_eq!(config.extension_rate(), extension, "{record:x?}");
            assert_eq!(config.rfc6381(), codec, "{record:x?}");
            assert_eq!((config.object_type(), config.frame_samples()), (2, 1024), "{record:x?}");
        }
    }

    /// ffmpeg 9 writes a program config, with its name as a comment, for layouts that have no number.
    #[test]
    fn counts_the_channels_of_layouts_with_and_without_a_number() {
        for (record, channels) in [
            (&b"\x11\xb0\x56\xe5\x00"[..], 6), // 5.1
            (b"\x11\xe0\x56\xe5\x00", 8),      // 7.1, number 12
            (b"\x11\xe8\x00\x00", 24),         // 22.2, number 13
            (b"\x11\x80\x04\xcc\x05\x00\x01\x08\xc8\x00\x0cLavc63.1.102V\xe5\x00", 8), // 7.1 (wide)
            (b"\x11\x80\x04\xc8\x09\x00\x01\x08\x84\x00\x0cLavc63.1.102V\xe5\x00", 7), // 6.1
            (b"\x11\x80\x04\xc4\x04\x00\x21\x10\x0cLavc63.1.102V\xe5\x00", 4), // quad
            (b"\x11\x80\x04\xc4\x01\x00\x20\x00\x0cLavc63.1.102V\xe5\x00", 3), // 2.1
            (b"\x11\x80\x04\xc8\x0c\x00\x01\x08\xc8\x20\x0cLavc63.1.102V\xe5\x00", 8), // octagonal
        ] {
            let config = parse(record).unwrap();
            assert_eq!((config.channels(), config.extension_rate()), (Some(channels), None), "{record:x?}");
        }
    }

    #[test]
    fn reads_escapes_explicit_rates_short_frames_and_program_configs() {
        // LC, explicit 37,800 Hz, stereo, frameLengthFlag.
        let config = parse(&[0x17, 0x80, 0x49, 0xd4, 0x14]).unwrap();
        assert_eq!((config.sample_rate(), config.channels(), config.frame_samples()), (37_800, Some(2), 960));
        // Escape: object type 32 + 0 (layer-1) is not AAC.
        assert_eq!(parse(&[0xf8, 0x06, 0x40, 0x00]), Err(AscError::ObjectType { found: 32 }));
        // channel configuration 0, program config: front pair, back single, one LFE.
        // 00010 0011 0000 | 0 0 0 | tag 0000 type 01 rate 0011 | front 0001 side 0000 back 0001
        // lfe 01 assoc 000 cc 0000 | 0 0 0 | 1 0000 | 0 0001 | 0000 | align | comment 00000000
        let text = "00010 0011 0000 000 0000 01 0011 0001 0000 0001 01 000 0000 000 10000 00001 0000";
        let mut bits: Vec<u8> = text.bytes().filter(|b| *b != b' ').map(|b| b - b'0').collect();
        bits.resize(bits.len().next_multiple_of(8) + 8, 0);
        let record: Vec<u8> = bits.chunks(8).map(|byte| byte.iter().fold(0, |v, b| v << 1 | b)).collect();
        assert_eq!(parse(&record).unwrap().channels(), Some(4));
    }

    #[test]
    fn every_truncation_and_reserved_value_is_an_error() {
        for length in 0..2 {
            assert!(matches!(parse(&[0x11, 0x90][..length]), Err(AscError::Bits(_))));
        }
        assert_eq!(parse(&[0x16, 0x90]), Err(AscError::SampleRate { found: 13 }));
        assert_eq!(parse(&[0x17, 0x80, 0x00, 0x00, 0x10]), Err(AscError::SampleRate { found: 0 }));
        assert!(matches!(parse(&vec![0x11; CODEC_CONFIG_BYTES_MAX + 1]), Err(AscError::TooLarge { .. })));
    }

    #[test]
    fn silence_is_known_for_lc_in_mono_and_stereo_only() {
        let silence = |record: &[u8]| parse(record).unwrap().silent_frame().map(<[u8]>::len);
        assert_eq!(silence(&[0x11, 0x88]), Some(4));
        assert_eq!(silence(&[0x11, 0x90]), Some(6));
        assert_eq!(silence(&[0x11, 0xb0]), None);
        assert_eq!(silence(&[0x2b, 0x92, 0x08, 0x00]), None);
    }
}
