//! Opus: the identification header (RFC 7845, section 5.1), how it stands in ISO files (Encapsulation of Opus in ISO
//! Base Media File Format, section 4.3.2), and how long a packet lasts (RFC 6716, section 3.1).

use crate::limits::CODEC_CONFIG_BYTES_MAX;
use crate::wire::{Reader, Truncated};
use bytes::{BufMut, Bytes};

/// Hz of every decoder's output, whatever went in.
pub const SAMPLE_RATE: u32 = 48_000;
const MAGIC: &[u8] = b"OpusHead";
/// What a publisher means that sends no header: two channels, no pre-skip.
const STEREO: &[u8] = b"OpusHead\x01\x02\0\0\x80\xbb\0\0\0\0\0";
/// Samples of the longest packet, 120 ms.
const PACKET_SAMPLES_MAX: u32 = 5760;
/// 20 ms of silence: CELT at full bandwidth whose only frame says "silence", mono and stereo.
const SILENT_MONO: [u8; 3] = [0xf8, 0xff, 0xfe];
const SILENT_STEREO: [u8; 3] = [0xfc, 0xff, 0xfe];
/// Samples of that frame.
pub const SILENT_SAMPLES: u32 = 960;

/// An identification header, parsed and checked.
#[derive(Debug, Clone)]
pub struct AudioConfig {
    record: Bytes,
    channels: u8,
    pre_skip: u16,
    input_rate: u32,
    gain: i16,
    family: u8,
    /// Streams, coupled streams, and the mapping; empty in family 0.
    mapping: Bytes,
}

/// Why an identification header was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// It ends too early.
    #[error("OpusHead: {0}")]
    Truncated(#[from] Truncated),
    /// More bytes than a record may have.
    #[error("OpusHead of {found} bytes exceeds {CODEC_CONFIG_BYTES_MAX}")]
    TooLarge {
        /// Bytes found.
        found: usize,
    },
    /// It does not begin with `OpusHead`.
    #[error("OpusHead: no signature")]
    Magic,
    /// A version that changes the layout.
    #[error("OpusHead: version {found}")]
    Version {
        /// Version found.
        found: u8,
    },
    /// Channels that the family does not have.
    #[error("OpusHead: {channels} channels in mapping family {family}")]
    Channels {
        /// Channels found.
        channels: u8,
        /// Mapping family found.
        family: u8,
    },
    /// A mapping to a stream that does not exist.
    #[error("OpusHead: the channel mapping is not possible")]
    Mapping,
}

impl AudioConfig {
    /// Parses a header; an empty one means stereo.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn parse(record: Bytes) -> Result<Self, ConfigError> {
        if record.len() > CODEC_CONFIG_BYTES_MAX {
            return Err(ConfigError::TooLarge { found: record.len() });
        }
        let record = if record.is_empty() { Bytes::from_static(STEREO) } else { record };
        let mut reader = Reader::new(record.strip_prefix(MAGIC).ok_or(ConfigError::Magic)?);
        let version = reader.u8()?;
        // 5.1: the upper four bits are those that matter.
        if version >> 4 != 0 {
            return Err(ConfigError::Version { found: version });
        }
        let channels = reader.u8()?;
        let pre_skip = reader.u16()?.swap_bytes();
        let input_rate = reader.u32()?.swap_bytes();
        let gain = reader.u16()?.swap_bytes() as i16;
        let family = reader.u8()?;
        let channels_max = match family {
            0 => 2,
            1 => 8,
            _ => 255,
        };
        if channels == 0 || channels > channels_max {
            return Err(ConfigError::Channels { channels, family });
        }
        let mapping = if family == 0 { &[] } else { reader.take(2 + usize::from(channels))? };
        if let [streams, coupled, mapping @ ..] = mapping {
            let decoded = u16::from(*streams) + u16::from(*coupled);
            let possible = |index: &u8| *index == 255 || u16::from(*index) < decoded;
            if *streams == 0 || coupled > streams || decoded > 255 || !mapping.iter().all(possible) {
                return Err(ConfigError::Mapping);
            }
        }
        let mapping = Bytes::copy_from_slice(mapping);
        Ok(Self { channels, pre_skip, input_rate, gain, family, mapping, record })
    }

    /// The header as it was received.
    pub fn record(&self) -> &Bytes {
        &self.record
    }

    /// The content of the dOps box: big-endian, without a signature, version 0.
    pub fn sample_entry_record(&self) -> Bytes {
        let mut out = Vec::with_capacity(11 + self.mapping.len());
        out.put_u8(0);
        out.put_u8(self.channels);
        out.put_u16(self.pre_skip);
        out.put_u32(self.input_rate);
        out.put_i16(self.gain);
        out.put_u8(self.family);
        out.put_slice(&self.mapping);
        out.into()
    }

    /// Channels that are put out, 1 to 255.
    pub fn channels(&self) -> u8 {
        self.channels
    }

    /// `opus`.
    pub fn rfc6381(&self) -> String {
        "opus".to_owned()
    }

    /// [`SILENT_SAMPLES`] of silence; `None` when there are more streams than one.
    pub fn silent_frame(&self) -> Option<&'static [u8]> {
        match (self.family, self.channels) {
            (0, 1) => Some(&SILENT_MONO),
            (0, _) => Some(&SILENT_STEREO),
            _ => None,
        }
    }
}

/// By the header's bytes: the rest follows from them.
impl PartialEq for AudioConfig {
    fn eq(&self, other: &Self) -> bool {
        self.record == other.record
    }
}

impl Eq for AudioConfig {}

/// Samples of a packet at 48 kHz, by its first two bytes; `None` when there is no such packet.
pub fn packet_samples(packet: &[u8]) -> Option<u32> {
    let &toc = packet.first()?;
    // Table 2: the configuration is a mode and a frame size.
    let frame = match (toc >> 3, toc >> 3 & 3) {
        (0..=11, size) => [480, 960, 1920, 2880][usize::from(size)],
        (12..=15, size) => [480, 960][usize::from(size & 1)],
        (_, size) => [120, 240, 480, 960][usize::from(size)],
    };
    let frames = match toc & 3 {
        0 => 1,
        3 => u32::from(packet.get(1)? & 0x3f),
        _ => 2,
    };
    let samples = frame * frames;
    // 3.2.5: at least one frame, at most 120 ms.
    (1..=PACKET_SAMPLES_MAX).contains(&samples).then_some(samples)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// ffmpeg 9, libopus, stereo (capture ff9_av1_opus).
    const HEAD: &[u8] = b"OpusHead\x01\x02\x38\x01\x80\xbb\0\0\0\0\0";
    /// ffmpeg 9, libopus, 7.1 (made on 2026-11-27): five streams, three of them coupled.
    const SURROUND: &[u8] =
        b"OpusHead\x01\x08\x38\x01\x80\xbb\0\0\0\0\x01\x05\x03\0\x06\x01\x02\x03\x04\x05\x07";

    fn parse(record: &[u8]) -> Result<AudioConfig, ConfigError> {
        AudioConfig::parse(Bytes::copy_from_slice(record))
    }

    #[test]
    fn the_header_turns_into_a_box_in_network_order() {
        let config = parse(HEAD).unwrap();
        assert_eq!((config.channels(), config.rfc6381().as_str()), (2, "opus"));
        assert_eq!(&config.sample_entry_record()[..], b"\0\x02\x01\x38\0\0\xbb\x80\0\0\0");
        let config = parse(SURROUND).unwrap();
        assert_eq!(config.channels(), 8);
        let dops = b"\0\x08\x01\x38\0\0\xbb\x80\0\0\x01\x05\x03\0\x06\x01\x02\x03\x04\x05\x07";
        assert_eq!(&config.sample_entry_record()[..], dops);
        assert_eq!((parse(b"").unwrap().channels(), config.silent_frame()), (2, None));
    }

    #[test]
    fn every_truncation_and_every_impossible_header_is_an_error() {
        for (whole, from) in [(HEAD, 1), (SURROUND, 1)] {
            for length in from..whole.len() {
                assert!(parse(&whole[..length]).is_err(), "{length} bytes");
            }
        }
        let changed = |at: usize, value: u8| {
            let mut record = SURROUND.to_vec();
            record[at] = value;
            parse(&record)
        };
        assert_eq!(changed(0, b'o'), Err(ConfigError::Magic));
        assert_eq!(changed(8, 0x10), Err(ConfigError::Version { found: 0x10 }));
        assert_eq!(changed(9, 9), Err(ConfigError::Channels { channels: 9, family: 1 }));
        assert_eq!(changed(9, 0), Err(ConfigError::Channels { channels: 0, family: 1 }));
        for (at, value) in [(19, 0), (20, 6), (21, 8), (19, 255)] {
            assert_eq!(changed(at, value), Err(ConfigError::Mapping));
        }
        assert!(changed(21, 255).is_ok(), "a silent channel");
    }

    #[test]
    fn packets_last_as_their_first_byte_says() {
        for (packet, samples) in [
            (&[0xfc, 0x7e][..], Some(960)), // as captured: CELT, 20 ms, one frame
            (&[0x00], Some(480)),
            (&[0x18], Some(2880)),
            (&[0x19], Some(5760)),
            (&[0x60], Some(480)),
            (&[0x68], Some(960)),
            (&[0x80], Some(120)),
            (&[0x82], Some(240)),
            (&[0x83, 48], Some(5760)),
            (&[0x83, 0xc0 | 2], Some(240)),
            (&[0x83, 49], None), // more than 120 ms
            (&[0x83, 0], None),
            (&[0x83], None),
            (&[], None),
        ] {
            assert_eq!(packet_samples(packet), samples, "{packet:x?}");
        }
        assert_eq!(packet_samples(&SILENT_MONO), Some(SILENT_SAMPLES));
        assert_eq!(packet_samples(&SILENT_STEREO), Some(SILENT_SAMPLES));
    }
}
