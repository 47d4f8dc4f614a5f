//! AAC-LC silence written by hand, and what is read of other streams' AudioSpecificConfig
//! (ISO/IEC 14496-3, sections 1.6.2.1 and 4.4.2).
//!
//! A frame is one channel element without spectrum, then fill_elements up to its size, then the end. The
//! stamp's data_stream_element goes in front of all that: it fills whole bytes, so the rest stays as it is.

use super::bits::{BitReader, BitWriter, OutOfBits};

/// Samples of a frame.
pub(super) const FRAME_SAMPLES: u32 = 1024;
/// 4.5.3.1: bits that a frame may have for each channel of its elements: 6144.
pub(super) const CHANNEL_FRAME_BYTES_MAX: u32 = 6144 / 8;

const OBJECT_LC: u8 = 2;
const OBJECT_SBR: u8 = 5;
const OBJECT_PS: u8 = 29;
/// audioObjectType that says: 6 more bits follow, 32 is added.
const OBJECT_ESCAPE: u8 = 31;
/// samplingFrequencyIndex that says: the rate follows in 24 bits.
const RATE_EXPLICIT: u8 = 15;
/// Table 1.18: samplingFrequencyIndex to Hz.
pub(super) const RATES: [u32; 13] =
    [96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000, 7_350];

/// id_syn_ele (table 4.85).
const SINGLE_CHANNEL_ELEMENT: u32 = 0;
const CHANNEL_PAIR_ELEMENT: u32 = 1;
const FILL_ELEMENT: u32 = 6;
const END: u32 = 7;
/// extension_type EXT_FILL_DATA and its fill_nibble; then fill_byte (table 4.121).
const FILL_DATA: u32 = 0x10;
const FILL_BYTE: u32 = 0xa5;
/// Bytes of a fill_element whose count has no escape, and of one whose count has.
const FILL_BYTES_SHORT_MAX: usize = 14;
const FILL_BYTES_MAX: usize = 269;

/// AudioSpecificConfig of AAC-LC with 1 or 2 channels; `None` for a rate that has no index.
pub(super) fn low_complexity_config(sample_rate: u32, channels: u8) -> Option<[u8; 2]> {
    let rate_index = RATES.iter().position(|&rate| rate == sample_rate)? as u16;
    // GASpecificConfig: 1024 samples, no core coder, no extension: three zero bits.
    Some((u16::from(OBJECT_LC) << 11 | rate_index << 7 | u16::from(channels) << 3).to_be_bytes())
}

/// Bytes of the smallest frame of silence.
pub(super) fn silence_bytes_min(channels: u8) -> usize {
    (silent_element(channels).bits_count() + 3).div_ceil(8)
}

/// A frame of silence of exactly so many bytes, at least [`silence_bytes_min`].
pub(super) fn silence(channels: u8, bytes: usize) -> Vec<u8> {
    debug_assert!(bytes >= silence_bytes_min(channels));
    let mut bits = silent_element(channels);
    loop {
        // What the end and up to seven bits of alignment do not take is filled.
        let left = (bytes * 8).saturating_sub(bits.bits_count() + 3);
        if left < 8 {
            break;
        }
        bits.bits(FILL_ELEMENT, 3);
        let count = if left - 7 < 8 * (FILL_BYTES_SHORT_MAX + 1) {
            let count = (left - 7) / 8;
            bits.bits(count as u32, 4);
            count
        } else {
            // 4.4.2.7: a count of 15 and esc_count mean 14 + esc_count.
            let count = ((left - 15) / 8).min(FILL_BYTES_MAX);
            bits.bits(15, 4);
            bits.bits((count - FILL_BYTES_SHORT_MAX) as u32, 8);
            count
        };
        for index in 0..count {
            bits.bits(if index == 0 { FILL_DATA } else { FILL_BYTE }, 8);
        }
    }
    bits.bits(END, 3);
    bits.into_bytes()
}

/// single_channel_element or channel_pair_element without spectrum.
fn silent_element(channels: u8) -> BitWriter {
    let mut bits = BitWriter::new();
    if channels == 1 {
        bits.bits(SINGLE_CHANNEL_ELEMENT, 3);
        bits.bits(0, 4); // element_instance_tag
        bits.bits(0, 8); // global_gain
        write_ics_info(&mut bits);
        bits.bits(0, 3); // pulse_data_present, tns_data_present, gain_control_data_present
        return bits;
    }
    bits.bits(CHANNEL_PAIR_ELEMENT, 3);
    bits.bits(0, 4); // element_instance_tag
    bits.flag(true); // common_window
    write_ics_info(&mut bits);
    bits.bits(0, 2); // ms_mask_present
    for _ in 0..2 {
        bits.bits(0, 8); // global_gain
        bits.bits(0, 3); // pulse_data_present, tns_data_present, gain_control_data_present
    }
    bits
}

fn write_ics_info(bits: &mut BitWriter) {
    bits.flag(false); // ics_reserved_bit
    bits.bits(0, 2); // window_sequence: ONLY_LONG_SEQUENCE
    bits.flag(false); // window_shape
    bits.bits(0, 6); // max_sfb: no band
    bits.flag(false); // predictor_data_present
}

/// An AudioSpecificConfig, read as far as a publisher needs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct AudioConfig {
    /// Hz of the core, without SBR.
    pub(super) sample_rate: u32,
    /// Channels of the core; 0 where only a program_config_element says.
    pub(super) channels: u8,
    /// Samples of a frame at `sample_rate`.
    pub(super) frame_samples: u32,
}

/// Why an AudioSpecificConfig was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AudioConfigError {
    /// It ends too early.
    #[error("it ends too early")]
    Cut,
    /// A reserved samplingFrequencyIndex, or a rate outside 1,000 to 192,000 Hz.
    #[error("sampling rate (index or Hz) {found}, allowed are 1,000 to 192,000 Hz")]
    SampleRate {
        /// samplingFrequencyIndex, or Hz where it was explicit.
        found: u32,
    },
    /// A codec that is no AAC.
    #[error("audio object type {found} is no AAC that RTMP carries; allowed are 1 to 4, 5 and 29")]
    ObjectType {
        /// audioObjectType.
        found: u8,
    },
    /// A reserved channelConfiguration.
    #[error("channel configuration {found} is not defined")]
    Channels {
        /// channelConfiguration.
        found: u8,
    },
}

impl From<OutOfBits> for AudioConfigError {
    fn from(_: OutOfBits) -> Self {
        Self::Cut
    }
}

impl AudioConfig {
    /// Reads a record.
    ///
    /// # Errors
    /// [`AudioConfigError`] says what is wrong with it.
    pub(super) fn parse(record: &[u8]) -> Result<Self, AudioConfigError> {
        let bits = &mut BitReader::new(record);
        let mut object_type = read_object_type(bits)?;
        let sample_rate = read_rate(bits)?;
        // Table 1.19.
        let channels = match bits.small(4)? {
            count @ 0..=6 => count,
            7 | 12 | 14 => 8,
            11 => 7,
            found => return Err(AudioConfigError::Channels { found }),
        };
        if object_type == OBJECT_SBR || object_type == OBJECT_PS {
            read_rate(bits)?;
            object_type = read_object_type(bits)?;
        }
        if !(1..=4).contains(&object_type) {
            return Err(AudioConfigError::ObjectType { found: object_type });
        }
        let frame_samples = if bits.flag()? { 960 } else { FRAME_SAMPLES };
        Ok(Self { sample_rate, channels, frame_samples })
    }
}

fn read_object_type(bits: &mut BitReader<'_>) -> Result<u8, OutOfBits> {
    Ok(match bits.small(5)? {
        OBJECT_ESCAPE => 32 + bits.small(6)?,
        object_type => object_type,
    })
}

fn read_rate(bits: &mut BitReader<'_>) -> Result<u32, AudioConfigError> {
    let index = bits.small(4)?;
    let (found, rate) = if index == RATE_EXPLICIT {
        let rate = bits.bits(24)?;
        (rate, Some(rate))
    } else {
        (u32::from(index), RATES.get(usize::from(index)).copied())
    };
    rate.filter(|rate| (1_000..=192_000).contains(rate)).ok_or(AudioConfigError::SampleRate { found })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn golden_silence() {
        // As decoders and encoders know it: SCE and end; CPE as ISO/IEC 14496-3 has it, common window, no
        // M/S.
        assert_eq!(silence(1, 4), [0, 0, 0, 0x07]);
        assert_eq!(silence(2, 6), [0x21, 0, 0, 0, 0, 0x1c]);
        assert_eq!((silence_bytes_min(1), silence_bytes_min(2)), (4, 6));
        // A fill_element of no byte, then one of one byte.
        assert_eq!(silence(1, 5), [0, 0, 0, 0b110, 0b0000_1110]);
        assert_eq!(silence(1, 6), [0, 0, 0, 0b110, 0b0001_0001, 0b0000_1110]);
    }

    #[test]
    fn silence_has_the_bytes_asked_for() {
        for channels in 1..=2 {
            for bytes in
                silence_bytes_min(channels)..=CHANNEL_FRAME_BYTES_MAX as usize * usize::from(channels)
            {
                assert_eq!(silence(channels, bytes).len(), bytes);
            }
        }
    }

    #[test]
    fn configs_of_every_rate_are_read_as_written() {
        assert_eq!(low_complexity_config(48_000, 2), Some([0x11, 0x90]));
        assert_eq!(low_complexity_config(44_100, 1), Some([0x12, 0x08]));
        assert_eq!(low_complexity_config(44_000, 1), None);
        for sample_rate in RATES {
            for channels in 1..=2 {
                let record = low_complexity_config(sample_rate, channels).unwrap();
                let config = AudioConfig { sample_rate, channels, frame_samples: 1024 };
                assert_eq!(AudioConfig::parse(&record), Ok(config));
            }
        }
    }

    #[test]
    fn configs_of_others() {
        let config =
            |sample_rate, channels, frame_samples| AudioConfig { sample_rate, channels, frame_samples };
        for (record, result) in [
            // ffmpeg's AAC-LC with an empty SBR extension; HE-AAC of 24 kHz; 960 samples; an explicit rate.
            (&[0x12, 0x10, 0x56, 0xe5, 0x00][..], Ok(config(44_100, 2, 1024))),
            (&[0x2b, 0x11, 0x88, 0x00], Ok(config(24_000, 2, 1024))),
            (&[0x11, 0x94], Ok(config(48_000, 2, 960))),
            (&[0x17, 0x80, 0x5d, 0xc0, 0x08], Ok(config(48_000, 1, 1024))),
            (&[0x11], Err(AudioConfigError::Cut)),
            (&[0x16, 0x90], Err(AudioConfigError::SampleRate { found: 13 })),
            (&[0xf8, 0x46, 0x40], Err(AudioConfigError::ObjectType { found: 34 })),
            (&[0x11, 0xc0], Err(AudioConfigError::Channels { found: 8 })),
        ] {
            assert_eq!(AudioConfig::parse(record), result, "{record:x?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes: Vec<u8>) {
            let _ = AudioConfig::parse(&bytes);
        }
    }
}
