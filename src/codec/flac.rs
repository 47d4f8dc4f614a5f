//! FLAC (RFC 9639): STREAMINFO, as Enhanced RTMP and the dfLa box carry it, and how many samples a frame has.

use crate::limits::CODEC_CONFIG_BYTES_MAX;
use crate::wire::{Reader, Truncated};
use bytes::{BufMut, Bytes};

const MAGIC: &[u8] = b"fLaC";
const STREAMINFO_BYTES: usize = 34;
/// Bytes of a metadata block's header: its type, 0 for STREAMINFO with a flag for the last block, and its size.
const BLOCK_HEADER_BYTES: usize = 4;
/// Samples of the shortest block but the last (section 8.2).
const BLOCK_SAMPLES_MIN: u16 = 16;
/// Hz, by a frame's code from 1 on (section 9.1.2).
const RATES: [u32; 11] =
    [88_200, 176_400, 192_000, 8_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 96_000];
/// Bytes of a frame's header that its block size may need: sync to channels, a coded number of 7 bytes, the size.
pub(super) const FRAME_HEAD_BYTES: usize = 4 + 7 + 2;

/// A STREAMINFO block, parsed and checked.
#[derive(Debug, Clone)]
pub struct AudioConfig {
    record: Bytes,
    /// The block itself, [`STREAMINFO_BYTES`].
    streaminfo: Bytes,
    block_min: u16,
    block_max: u16,
    sample_rate: u32,
    channels: u8,
    bits_per_sample: u8,
}

/// Why a configuration was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// It ends too early.
    #[error("STREAMINFO: {0}")]
    Truncated(#[from] Truncated),
    /// More bytes than a record may have.
    #[error("STREAMINFO: {found} bytes exceed {CODEC_CONFIG_BYTES_MAX}")]
    TooLarge {
        /// Bytes found.
        found: usize,
    },
    /// A field is outside its range.
    #[error("STREAMINFO: {field} is {found}")]
    Range {
        /// The standard's name of the field.
        field: &'static str,
        /// Value found.
        found: u32,
    },
}

impl AudioConfig {
    /// Parses STREAMINFO: alone, as ffmpeg sends it; behind its block header; or behind `fLaC` as well, as Enhanced
    /// RTMP wants it.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn parse(record: Bytes) -> Result<Self, ConfigError> {
        if record.len() > CODEC_CONFIG_BYTES_MAX {
            return Err(ConfigError::TooLarge { found: record.len() });
        }
        let signature = if record.starts_with(MAGIC) { MAGIC.len() } else { 0 };
        // STREAMINFO alone begins with a block size of at least 16, a block header with its type and three bytes that
        // say 34.
        let has_header = matches!(record[signature..], [0 | 0x80, 0, 0, 34, ..]);
        let start = signature + if has_header { BLOCK_HEADER_BYTES } else { 0 };
        let mut reader = Reader::new(&record[start..]);
        let (block_min, block_max) = (reader.u16()?, reader.u16()?);
        reader.take(6)?; // frame sizes
        let packed = reader.u64()?;
        reader.take(16)?; // MD5
        let sample_rate = (packed >> 44) as u32;
        let channels = (packed >> 41) as u8 & 7;
        let bits_per_sample = (packed >> 36) as u8 & 0x1f;
        for (field, found, usable) in [
            // 8.2: at least 16, which also tells empty blocks.
            ("minimum block size", u32::from(block_min), block_min >= BLOCK_SAMPLES_MIN),
            ("maximum block size", u32::from(block_max), block_max >= block_min),
            ("sample rate", sample_rate, (1_000..=655_350).contains(&sample_rate)),
            ("bits per sample - 1", bits_per_sample.into(), bits_per_sample >= 3),
        ] {
            if !usable {
                return Err(ConfigError::Range { field, found });
            }
        }
        Ok(Self {
            streaminfo: record.slice(start..start + STREAMINFO_BYTES),
            block_min,
            block_max,
            sample_rate,
            channels: channels + 1,
            bits_per_sample: bits_per_sample + 1,
            record,
        })
    }

    /// The configuration of a frame: `None` when its header says nothing else than this one, or cannot be read
    /// (RFC 9639, section 9.1).
    pub(super) fn in_band(&self, frame: &[u8]) -> Option<Self> {
        let samples = frame_samples(frame)?;
        let &[_, _, codes, layout, ..] = frame else { return None };
        // Rates that are written out behind the header are no usual ones, and not looked for.
        let sample_rate = match codes & 0xf {
            code @ 1..=11 => RATES[usize::from(code) - 1],
            _ => self.sample_rate,
        };
        let channels = match layout >> 4 {
            independent @ 0..=7 => independent + 1,
            8..=10 => 2,
            _ => return None,
        };
        let bits_per_sample = match layout >> 1 & 7 {
            0 => self.bits_per_sample,
            3 => return None,
            code => [8, 12, 0, 16, 20, 24, 32][usize::from(code) - 1],
        };
        if (sample_rate, channels, bits_per_sample) == (self.sample_rate, self.channels, self.bits_per_sample)
        {
            return None;
        }
        let block_max = self.block_max.max(u16::try_from(samples).unwrap_or(u16::MAX));
        let block_min = if self.frame_samples() == Some(samples) { block_max } else { BLOCK_SAMPLES_MIN };
        let packed = u64::from(sample_rate) << 44
            | u64::from(channels - 1) << 41
            | u64::from(bits_per_sample - 1) << 36;
        let mut record = Vec::with_capacity(STREAMINFO_BYTES);
        record.put_u16(block_min);
        record.put_u16(block_max);
        record.put_slice(&[0; 6]); // frame sizes: unknown
        record.put_u64(packed);
        record.put_slice(&[0; 16]); // MD5: unknown
        Self::parse(record.into()).ok()
    }

    /// The configuration as it was received, or as it was built by a frame.
    pub fn record(&self) -> &Bytes {
        &self.record
    }

    /// The content of the dfLa box behind version and flags: STREAMINFO as the last and only block.
    pub fn sample_entry_record(&self) -> Bytes {
        let mut out = Vec::with_capacity(BLOCK_HEADER_BYTES + STREAMINFO_BYTES);
        out.put_slice(&[0x80, 0, 0, STREAMINFO_BYTES as u8]);
        out.put_slice(&self.streaminfo);
        out.into()
    }

    /// Hz.
    pub fn sample_rate(&self) -> u32 {
        self.sample_rate
    }

    /// 1 to 8.
    pub fn channels(&self) -> u8 {
        self.channels
    }

    /// 4 to 32.
    pub fn bits_per_sample(&self) -> u8 {
        self.bits_per_sample
    }

    /// Samples of every frame but the last; `None` when they differ.
    pub fn frame_samples(&self) -> Option<u32> {
        (self.block_min == self.block_max).then_some(self.block_max.into())
    }

    /// Samples of the longest frame.
    pub fn frame_samples_max(&self) -> u32 {
        self.block_max.into()
    }

    /// `fLaC`.
    pub fn rfc6381(&self) -> String {
        "fLaC".to_owned()
    }
}

/// By what decoding needs: ffmpeg sends STREAMINFO again at the end, with frame sizes, a count of samples and a
/// checksum that it did not know before.
impl PartialEq for AudioConfig {
    fn eq(&self, other: &Self) -> bool {
        let needed = |config: &Self| {
            let Self { block_min, block_max, sample_rate, channels, bits_per_sample, .. } = *config;
            (block_min, block_max, sample_rate, channels, bits_per_sample)
        };
        needed(self) == needed(other)
    }
}

impl Eq for AudioConfig {}

/// Samples of a frame by its header (section 9.1), of which [`FRAME_HEAD_BYTES`] are enough; `None` when it is no frame.
pub fn frame_samples(frame: &[u8]) -> Option<u32> {
    let mut reader = Reader::new(frame);
    // Sync code of 15 bits, then the blocking strategy.
    if reader.u16().ok()? >> 1 != 0xfff8 >> 1 {
        return None;
    }
    let code = reader.u8().ok()? >> 4;
    reader.u8().ok()?; // channels, bit depth
    // 9.1.5: the number of the frame or sample is coded as UTF-8 codes characters, with up to 7 bytes.
    let more = match reader.u8().ok()?.leading_ones() {
        0 => 0,
        ones @ 2..=7 => ones - 1,
        _ => return None,
    };
    reader.take(more as usize).ok()?;
    match code {
        1 => Some(192),
        2..=5 => Some(144 << code),
        6 => Some(u32::from(reader.u8().ok()?) + 1),
        7 => Some(u32::from(reader.u16().ok()?) + 1),
        8..=15 => Some(1 << code),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// ffmpeg 9, 48 kHz mono (capture ff9_h264_flac).
    const STREAMINFO: &[u8; 34] =
        b"\x04\0\x04\0\0\0\0\0\x08\x15\x0b\xb8\0\xf0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";

    fn parse(record: &[u8]) -> Result<AudioConfig, ConfigError> {
        AudioConfig::parse(Bytes::copy_from_slice(record))
    }

    #[test]
    fn streaminfo_is_read_in_all_its_wrappings() {
        let header = [0, 0, 0, 34];
        for record in [
            STREAMINFO.to_vec(),
            [&header, &STREAMINFO[..]].concat(),
            [MAGIC, &header, STREAMINFO].concat(),
            [MAGIC, &[0x80, 0, 0, 34], STREAMINFO, &[0x84]].concat(),
            [MAGIC, &STREAMINFO[..]].concat(),
        ] {
            let config = parse(&record).unwrap();
            assert_eq!((config.sample_rate(), config.channels(), config.bits_per_sample()), (48_000, 1, 16));
            assert_eq!((config.frame_samples(), config.rfc6381().as_str()), (Some(1024), "fLaC"));
            assert_eq!(config.sample_entry_record()[..4], [0x80, 0, 0, 34]);
            assert_eq!(config.sample_entry_record()[4..], STREAMINFO[..]);
            assert_eq!(config.record()[..], record);
        }
    }

    #[test]
    fn what_is_only_known_at_the_end_is_no_change() {
        let mut last = *STREAMINFO;
        last[4..10].copy_from_slice(&[0, 0, 0x10, 0, 8, 0x20]);
        last[14..].fill(0x55);
        assert_eq!(parse(&last), parse(STREAMINFO));
        last[12] = 0x12; // two channels
        assert_ne!(parse(&last), parse(STREAMINFO));
    }

    #[test]
    fn every_truncation_and_every_impossible_field_is_an_error() {
        let whole = [MAGIC, &[0, 0, 0, 34], STREAMINFO].concat();
        for length in 0..whole.len() {
            assert!(parse(&whole[..length]).is_err(), "{length} bytes");
        }
        for (at, value, name) in [
            (0, 0, "minimum block size"),
            (2, 3, "maximum block size"),
            (10, 0, "sample rate"),
            (13, 0x10, "bits per sample - 1"),
        ] {
            let mut record = *STREAMINFO;
            record[at] = value;
            if at == 10 {
                record[11] = 0;
            }
            assert!(
                matches!(parse(&record), Err(ConfigError::Range { field, .. }) if field == name),
                "{name}"
            );
        }
    }

    #[test]
    fn frames_say_how_many_samples_they_have() {
        for (frame, samples) in [
            (&b"\xff\xf8\xaa\x08\x00\xed"[..], Some(1024)), // as captured
            (b"\xff\xf9\xaa\x08\xf0\x90\x80\x80", Some(1024)),
            (b"\xff\xf8\x1a\x08\x00", Some(192)),
            (b"\xff\xf8\x2a\x08\x00", Some(576)),
            (b"\xff\xf8\x5a\x08\x00", Some(4608)),
            (b"\xff\xf8\x6a\x08\x00\x0f", Some(16)),
            (b"\xff\xf8\x7a\x08\xc2\x80\x02\xff", Some(768)),
            (b"\xff\xf8\xfa\x08\xfe\x80\x80\x80\x80\x80\x80", Some(32_768)),
            (b"\xff\xf8\x0a\x08\x00", None), // reserved
            (b"\xff\xf8\x7a\x08\x80\x00\x00", None),
            (b"\xff\xf8\x7a\x08\xff\x00\x00", None),
            (b"\xff\xf4\xaa\x08\x00", None),
        ] {
            assert_eq!(frame_samples(frame), samples, "{frame:x?}");
        }
        let longest = b"\xff\xf8\x7a\x08\xfe\x80\x80\x80\x80\x80\x80\x02\xff";
        assert_eq!((longest.len(), frame_samples(longest)), (FRAME_HEAD_BYTES, Some(768)));
        for length in 0..longest.len() {
            assert_eq!(frame_samples(&longest[..length]), None, "{length} bytes");
        }
    }
}
