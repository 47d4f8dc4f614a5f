//! VP9: the codec configuration record (VP Codec ISO Media File Format Binding) and the uncompressed header of a frame
//! (VP9 Bitstream & Decoding Process, sections 6.2 and 7.2).

use super::bits::{BitReader, OutOfBits};
use super::video::{Colour, Hdr, Picture};
use crate::limits::{CODEC_CONFIG_BYTES_MAX, PICTURE_SIDE_PIXELS_MAX};
use crate::wire::{Reader, Truncated};
use bytes::{BufMut, Bytes};

/// Version and flags of the vpcC box, which publishers send in front of the record.
const FULL_BOX: [u8; 4] = [1, 0, 0, 0];
/// frame_sync_code.
const SYNC_CODE: u32 = 0x49_83_42;
/// color_space of RGB.
const SPACE_SRGB: u8 = 7;
/// chromaSubsampling of the record.
const CHROMA_420: u8 = 1;
const CHROMA_422: u8 = 2;
const CHROMA_444: u8 = 3;
/// Annex A: level times ten, the largest picture in luma samples, its longest side.
const LEVELS: [(u8, u32, u32); 9] = [
    (10, 36_864, 512),
    (11, 73_728, 768),
    (20, 122_880, 960),
    (21, 245_760, 1344),
    (30, 552_960, 2048),
    (31, 983_040, 2752),
    (40, 2_228_224, 4160),
    (50, 8_912_896, 8384),
    (60, 35_651_584, 16_832),
];
const LEVEL_LAST: u8 = 62;

/// A VPCodecConfigurationRecord (vpcC), parsed and checked. It does not say the size of pictures: a key frame does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record {
    /// 0 to 3.
    pub profile: u8,
    /// Ten times the level; 0 is unknown.
    pub level: u8,
    /// 8, 10 or 12.
    pub bit_depth: u8,
    /// 0 and 1 are 4:2:0 (chroma beside, at the upper left), 2 is 4:2:2, 3 4:4:4.
    pub chroma: u8,
    /// Code points; 2 is "unspecified".
    pub colour: Colour,
}

/// Why a configuration or a key frame was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The record ends too early.
    #[error("vpcC: {0}")]
    Truncated(#[from] Truncated),
    /// More bytes than a record may have.
    #[error("vpcC of {found} bytes exceeds {CODEC_CONFIG_BYTES_MAX}")]
    TooLarge {
        /// Bytes found.
        found: usize,
    },
    /// A field is outside its range.
    #[error("vpcC: {field} is {found}")]
    Range {
        /// The standard's name of the field.
        field: &'static str,
        /// Value found.
        found: u8,
    },
    /// The frame's header ends too early.
    #[error("VP9 frame: {0}")]
    Bits(#[from] OutOfBits),
    /// Not a VP9 frame, or not a key frame.
    #[error("VP9 frame: not a key frame")]
    NotKey,
    /// A side has too many pixels.
    #[error("VP9 frame: {width}x{height}, a side has at most {PICTURE_SIDE_PIXELS_MAX}")]
    Size {
        /// Width found.
        width: u32,
        /// Height found.
        height: u32,
    },
}

impl Record {
    /// Parses a record, with or without version and flags of its box in front.
    ///
    /// # Errors
    /// [`ConfigError`] when it is truncated, too large, or has a field out of range.
    pub fn parse(record: &[u8]) -> Result<Self, ConfigError> {
        if record.len() > CODEC_CONFIG_BYTES_MAX {
            return Err(ConfigError::TooLarge { found: record.len() });
        }
        // Without a box it would be profile 1, level 0 and a bit depth of 0, which does not exist.
        let mut reader = Reader::new(record.strip_prefix(&FULL_BOX).unwrap_or(record));
        let (profile, level) = (reader.u8()?, reader.u8()?);
        if profile > 3 {
            return Err(ConfigError::Range { field: "profile", found: profile });
        }
        let packed = reader.u8()?;
        let (bit_depth, chroma) = (packed >> 4, packed >> 1 & 7);
        if !matches!(bit_depth, 8 | 10 | 12) {
            return Err(ConfigError::Range { field: "bitDepth", found: bit_depth });
        }
        if chroma > CHROMA_444 {
            return Err(ConfigError::Range { field: "chromaSubsampling", found: chroma });
        }
        if level > LEVEL_LAST {
            return Err(ConfigError::Range { field: "level", found: level });
        }
        let colour = Colour {
            primaries: reader.u8()?,
            transfer: reader.u8()?,
            matrix: reader.u8()?,
            full_range: packed & 1 == 1,
        };
        Ok(Self { profile, level, bit_depth, chroma, colour })
    }

    /// The record without version and flags; codecInitializationData is empty.
    fn bytes(&self) -> [u8; 8] {
        let Colour { primaries, transfer, matrix, full_range } = self.colour;
        let packed = self.bit_depth << 4 | self.chroma << 1 | u8::from(full_range);
        [self.profile, self.level, packed, primaries, transfer, matrix, 0, 0]
    }
}

/// What the uncompressed header of a key frame says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyFrame {
    /// As a record says it; the level is unknown.
    pub record: Record,
    /// frame_width_minus_1 + 1.
    pub width: u32,
    /// frame_height_minus_1 + 1.
    pub height: u32,
}

impl KeyFrame {
    /// Parses the beginning of a frame; ten bytes are enough.
    ///
    /// # Errors
    /// [`ConfigError`] when it is no key frame, ends too early, or has a side with too many pixels.
    pub fn parse(frame: &[u8]) -> Result<Self, ConfigError> {
        let bits = &mut BitReader::new(frame);
        let marker = bits.small(2)?;
        let profile = bits.small(1)? | bits.small(1)? << 1;
        if profile == 3 {
            bits.skip(1)?; // reserved_zero
        }
        let (existing, inter) = (bits.flag()?, bits.flag()?);
        bits.skip(2)?; // show_frame, error_resilient_mode
        if marker != 2 || existing || inter || bits.bits(24)? != SYNC_CODE {
            return Err(ConfigError::NotKey);
        }
        let mut record = Record {
            profile,
            level: 0,
            bit_depth: 8,
            chroma: CHROMA_420,
            colour: Colour { primaries: 2, transfer: 2, matrix: 2, full_range: false },
        };
        record.read_colour(bits)?;
        let (width, height) = (bits.bits(16)? + 1, bits.bits(16)? + 1);
        if width.max(height) > PICTURE_SIDE_PIXELS_MAX {
            return Err(ConfigError::Size { width, height });
        }
        Ok(Self { record, width, height })
    }
}

impl Record {
    /// color_config (section 6.2.2).
    fn read_colour(&mut self, bits: &mut BitReader<'_>) -> Result<(), OutOfBits> {
        if self.profile >= 2 {
            self.bit_depth = if bits.flag()? { 12 } else { 10 };
        }
        let space = bits.small(3)?;
        // 7.2.2, in the code points of H.273.
        let (primaries, transfer, matrix) = match space {
            1 => (5, 6, 5),
            2 => (1, 1, 1),
            3 => (6, 6, 6),
            4 => (7, 7, 7),
            5 => (9, 14, 9),
            SPACE_SRGB => (1, 13, 0),
            _ => (2, 2, 2),
        };
        let full_range = if space == SPACE_SRGB { true } else { bits.flag()? };
        self.colour = Colour { primaries, transfer, matrix, full_range };
        let chosen = self.profile & 1 == 1;
        self.chroma = match (space, chosen) {
            (SPACE_SRGB, _) => CHROMA_444,
            (_, false) => CHROMA_420,
            (_, true) => match (bits.flag()?, bits.flag()?) {
                (true, true) => CHROMA_420,
                (true, false) => CHROMA_422,
                // Half the height alone (4:4:0) has no number in the record.
                (false, _) => CHROMA_444,
            },
        };
        if chosen {
            bits.skip(1)?; // reserved_zero
        }
        Ok(())
    }
}

/// True when the first byte of a frame, or of a superframe, begins a key frame.
pub(super) fn is_key(first: u8) -> bool {
    // 6.2: frame_marker, the profile's two bits, for profile 3 one more, show_existing_frame, frame_type.
    let shift = if first & 0x30 == 0x30 { 1 } else { 2 };
    first >> 6 == 2 && first >> shift & 3 == 0
}

/// A record and the size of pictures.
#[derive(Debug, Clone)]
pub struct DecoderConfig {
    /// As it was received, or as it was built.
    bytes: Bytes,
    record: Record,
    width: u32,
    height: u32,
    /// What the publisher says beside the record.
    signalled: Hdr,
}

impl DecoderConfig {
    /// Completes a record by a key frame: its size, and a level by that size if the record has none.
    ///
    /// # Errors
    /// [`ConfigError`] when either of them is refused.
    pub fn new(record: Bytes, key_frame: &[u8]) -> Result<Self, ConfigError> {
        let parsed = Record::parse(&record)?;
        Ok(Self::of(record, parsed, KeyFrame::parse(key_frame)?))
    }

    /// Builds a record by a key frame alone, for publishers that send none.
    ///
    /// # Errors
    /// [`ConfigError`] when it is no key frame or has no picture that is taken.
    pub fn from_key_frame(key_frame: &[u8]) -> Result<Self, ConfigError> {
        let key_frame = KeyFrame::parse(key_frame)?;
        let mut config = Self::of(Bytes::new(), key_frame.record, key_frame);
        config.bytes = config.sample_entry_record();
        Ok(config)
    }

    /// The configuration of a key frame: `None` when it has the size and the form of pictures of this one, or cannot be
    /// read. The colours that a record says count for it, since few bitstreams say them.
    pub(super) fn in_band(&self, key_frame: &[u8]) -> Option<Self> {
        let found = KeyFrame::parse(key_frame).ok()?;
        // Where chroma samples of 4:2:0 stand, only the record says.
        let form = |record: &Record| (record.profile, record.bit_depth, record.chroma.max(CHROMA_420));
        let is_same_form = form(&found.record) == form(&self.record);
        if is_same_form && (found.width, found.height) == (self.width, self.height) {
            return None;
        }
        let kept = if is_same_form { Record { level: 0, ..self.record } } else { found.record };
        let mut config = Self::of(Bytes::new(), kept, found);
        config.bytes = config.sample_entry_record();
        Some(config.with_hdr(self.signalled))
    }

    fn of(bytes: Bytes, mut record: Record, key_frame: KeyFrame) -> Self {
        let KeyFrame { width, height, .. } = key_frame;
        if record.level == 0 {
            let (samples, side) = (width * height, width.max(height));
            let fitting = LEVELS.iter().find(|level| samples <= level.1 && side <= level.2);
            record.level = fitting.map_or(LEVEL_LAST, |level| level.0);
        }
        Self { bytes, record, width, height, signalled: Hdr::default() }
    }

    /// The record as it was received, or as it was built by a key frame.
    pub fn record(&self) -> &Bytes {
        &self.bytes
    }

    /// The vpcC box: version, flags, record.
    pub fn sample_entry_record(&self) -> Bytes {
        let mut out = Vec::with_capacity(FULL_BOX.len() + 8);
        out.put_slice(&FULL_BOX);
        out.put_slice(&self.record.bytes());
        out.into()
    }

    /// What its pictures are.
    pub fn picture(&self) -> Picture {
        Picture {
            width: self.width,
            height: self.height,
            sample_aspect: None,
            frame_rate: None,
            bit_depth: self.record.bit_depth,
        }
    }

    /// Colour and light: as the record says, else as the publisher.
    pub fn hdr(&self) -> Hdr {
        Hdr { colour: Some(self.record.colour), ..Hdr::default() }.or(self.signalled)
    }

    /// The same record, and what the publisher says beside it.
    pub fn with_hdr(self, signalled: Hdr) -> Self {
        Self { signalled, ..self }
    }

    /// `vp09.00.10.08`, and all that follows when something of it is no default (section "Codecs Parameter String").
    pub fn rfc6381(&self) -> String {
        let Record { profile, level, bit_depth, chroma, colour } = self.record;
        let short = format!("vp09.{profile:02}.{level:02}.{bit_depth:02}");
        let colour = self.hdr().colour.unwrap_or(colour);
        let is_default = |code_point: u8| matches!(code_point, 1 | 2);
        if is_default(colour.primaries)
            && is_default(colour.transfer)
            && is_default(colour.matrix)
            && !colour.full_range
            && chroma <= CHROMA_420
        {
            return short;
        }
        let Colour { primaries, transfer, matrix, full_range } = colour;
        let range = u8::from(full_range);
        format!("{short}.{chroma:02}.{primaries:02}.{transfer:02}.{matrix:02}.{range:02}")
    }
}

/// By the record's bytes, the size and what was said beside them.
impl PartialEq for DecoderConfig {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
            && (self.width, self.height) == (other.width, other.height)
            && self.hdr() == other.hdr()
    }
}

impl Eq for DecoderConfig {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::VideoRange;

    /// ffmpeg 9, libvpx-vp9, 160x90 (capture ff9_vp9_ac3): the record with its box's version, a key frame.
    const RECORD: &[u8] = &[1, 0, 0, 0, 0, 10, 0x82, 2, 2, 2, 0, 0];
    const KEY: &[u8] = &[0x82, 0x49, 0x83, 0x42, 0x00, 0x09, 0xf0, 0x05, 0x96, 0x05];

    fn config(record: &[u8]) -> DecoderConfig {
        DecoderConfig::new(Bytes::copy_from_slice(record), KEY).unwrap()
    }

    #[test]
    fn reads_the_record_and_the_key_frame_of_a_real_encoder() {
        let config = config(RECORD);
        assert_eq!((config.picture().width, config.picture().height), (160, 90));
        assert_eq!(config.rfc6381(), "vp09.00.10.08");
        assert_eq!(&config.sample_entry_record()[..], RECORD);
        assert_eq!(&config.record()[..], RECORD);
        assert_eq!(Record::parse(&RECORD[4..]), Record::parse(RECORD), "without version and flags");
        // The same stream without a record: all of it is in the key frame.
        let found = DecoderConfig::from_key_frame(KEY).unwrap();
        assert_eq!(&found.sample_entry_record()[..], RECORD);
    }

    #[test]
    fn a_missing_level_follows_from_the_size() {
        for (width, height, level) in [
            (160u32, 90u32, 10),
            (1280, 720, 31),
            (1920, 1080, 40),
            (3840, 2160, 50),
            (1080, 1920, 40),
            (16_384, 16_384, 62),
        ] {
            let record = Record { level: 0, ..Record::parse(RECORD).unwrap() };
            let config = DecoderConfig::of(Bytes::new(), record, KeyFrame { record, width, height });
            assert_eq!(config.record.level, level, "{width}x{height}");
        }
    }

    #[test]
    fn hdr_has_the_long_name() {
        // Profile 2, 10 bits, BT.2020 and PQ.
        let config = config(&[2, 31, 0xa2, 9, 16, 9, 0, 0]);
        assert_eq!(config.rfc6381(), "vp09.02.31.10.01.09.16.09.00");
        assert_eq!(config.hdr().colour.unwrap().video_range(), VideoRange::Pq);
        let said = Colour { primaries: 9, transfer: 18, matrix: 9, full_range: true };
        let config = self::config(RECORD).with_hdr(Hdr { colour: Some(said), ..Hdr::default() });
        assert_eq!(config.rfc6381(), "vp09.00.10.08.01.09.18.09.00");
    }

    /// ffmpeg 9, libvpx-vp9, 10 bits, BT.2020 and HLG (made on 2026-11-27).
    #[test]
    fn ten_bits_of_a_real_encoder() {
        let key = [0x92, 0x49, 0x83, 0x42, 0x50, 0x09, 0xf8, 0x05, 0x9b, 0x03];
        let record =
            Bytes::from_static(&[0x01, 0x00, 0x00, 0x00, 0x02, 0x0b, 0xa2, 0x09, 0x12, 0x09, 0x00, 0x00]);
        let config = DecoderConfig::new(record, &key).unwrap();
        assert_eq!(
            (config.picture().width, config.picture().height, config.picture().bit_depth),
            (320, 180, 10)
        );
        assert_eq!(config.rfc6381(), "vp09.02.11.10.01.09.18.09.00");
        assert_eq!(config.hdr().colour.unwrap().video_range(), VideoRange::Hlg);
        let alone = DecoderConfig::from_key_frame(&key).unwrap();
        assert_eq!(alone.rfc6381(), "vp09.02.11.10.01.09.14.09.00", "a frame does not say the transfer");
    }

    #[test]
    fn key_frames_are_told_by_their_first_byte_in_every_profile() {
        for (first, key) in [
            (0x82, true),  // profile 0, shown
            (0x80, true),  // hidden
            (0x86, false), // inter
            (0x8a, false), // show_existing_frame
            (0x92, true),  // profile 2
            (0xb1, true),  // profile 3
            (0xb3, false),
            (0xb4, false),
            (0x42, false), // no frame_marker
        ] {
            assert_eq!(is_key(first), key, "{first:#x}");
        }
    }

    #[test]
    fn profiles_with_other_chroma_and_depth_are_read() {
        let of_bits = |text: &str| {
            let mut bits: Vec<u8> = text.bytes().filter(|b| *b != b' ').map(|b| b - b'0').collect();
            bits.resize(bits.len().next_multiple_of(8), 0);
            let bytes: Vec<u8> = bits.chunks(8).map(|byte| byte.iter().fold(0, |v, b| v << 1 | b)).collect();
            KeyFrame::parse(&bytes)
                .map(|key| (key.record.profile, key.record.bit_depth, key.record.chroma, key.width))
        };
        let (sync, size) = ("010010011000001101000010", "0000000000001111 0000000000000111");
        // marker, profile, existing, type, show, resilient, sync code, colour, size
        assert_eq!(of_bits(&format!("10 01 0 0 10 {sync} 1 101 0 {size}")), Ok((2, 12, 1, 16)));
        assert_eq!(of_bits(&format!("10 10 0 0 10 {sync} 010 1 10 0 {size}")), Ok((1, 8, 2, 16)));
        assert_eq!(of_bits(&format!("10 11 0 0 0 10 {sync} 0 111 0 {size}")), Ok((3, 10, 3, 16)));
        assert_eq!(of_bits(&format!("10 00 0 1 10 {sync} 010 1 {size}")), Err(ConfigError::NotKey));
    }

    #[test]
    fn every_truncation_and_reserved_value_is_an_error() {
        for length in 0..10 {
            assert!(Record::parse(&RECORD[..length]).is_err(), "{length} bytes");
        }
        for length in 0..9 {
            assert!(KeyFrame::parse(&KEY[..length]).is_err(), "{length} bytes");
        }
        for (record, field) in [
            ([4, 10, 0x82, 2, 2, 2], "profile"),
            ([0, 70, 0x82, 2, 2, 2], "level"),
            ([0, 10, 0x92, 2, 2, 2], "bitDepth"),
            ([0, 10, 0x88, 2, 2, 2], "chromaSubsampling"),
        ] {
            assert!(
                matches!(Record::parse(&record), Err(ConfigError::Range { field: found, .. }) if found == field)
            );
        }
        let mut large = KEY.to_vec();
        large[4..8].copy_from_slice(&[0x0f, 0xff, 0xf0, 0x05]);
        assert!(matches!(KeyFrame::parse(&large), Err(ConfigError::Size { width: 65_536, .. })));
    }
}
