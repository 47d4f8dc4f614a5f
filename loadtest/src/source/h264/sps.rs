//! What a publisher must know of a clip's H.264: the NAL length size of its AVCDecoderConfigurationRecord
//! (ISO/IEC 14496-15, 5.3.3.1) and the picture size in its SPS (ITU-T H.264, 7.3.2.1.1).

use super::unescape;
use crate::source::bits::{BitReader, OutOfBits};

/// An AVCDecoderConfigurationRecord, read as far as a publisher needs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::source) struct AvcConfig {
    /// Bytes of the length in front of each NAL unit: 1, 2 or 4.
    pub(in crate::source) nal_length_size: u8,
    /// Pixels after cropping.
    pub(in crate::source) width: u32,
    /// Pixels after cropping.
    pub(in crate::source) height: u32,
}

/// Why a record was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AvcConfigError {
    /// It ends too early.
    #[error("it ends too early, after {found} bytes")]
    Cut {
        /// Bytes of the record.
        found: usize,
    },
    /// Another version than 1.
    #[error("version {found}, only 1 is known")]
    Version {
        /// configurationVersion.
        found: u8,
    },
    /// NAL unit lengths of three bytes.
    #[error("NAL unit lengths of {found} bytes, allowed are 1, 2 and 4")]
    NalLengthSize {
        /// lengthSizeMinusOne and 1.
        found: u8,
    },
    /// No SPS.
    #[error("no sequence parameter set")]
    NoSps,
    /// An SPS that cannot be read, or names a picture without a pixel.
    #[error("a sequence parameter set that cannot be read")]
    Sps,
}

impl From<OutOfBits> for AvcConfigError {
    fn from(_: OutOfBits) -> Self {
        Self::Sps
    }
}

/// profile_idc of those whose SPS names chroma format and bit depths (7.3.2.1.1).
const PROFILES_HIGH: [u8; 13] = [44, 83, 86, 100, 110, 118, 122, 128, 134, 135, 138, 139, 244];
/// A side of the largest picture of level 6.2: the square root of 8 · MaxFS, in macroblocks.
const SIDE_MACROBLOCKS_MAX: u32 = 1055;

impl AvcConfig {
    /// Reads a record.
    ///
    /// # Errors
    /// [`AvcConfigError`] says what is wrong with it.
    pub(in crate::source) fn parse(record: &[u8]) -> Result<Self, AvcConfigError> {
        let cut = AvcConfigError::Cut { found: record.len() };
        let (&[version, _, _, _, length_size, sps_count], sets) = record.split_first_chunk().ok_or(cut)?;
        if version != 1 {
            return Err(AvcConfigError::Version { found: version });
        }
        let nal_length_size = (length_size & 3) + 1;
        if nal_length_size == 3 {
            return Err(AvcConfigError::NalLengthSize { found: nal_length_size });
        }
        if sps_count & 0x1f == 0 {
            return Err(AvcConfigError::NoSps);
        }
        let (length, sets) = sets.split_first_chunk().ok_or(cut)?;
        let sps = sets.get(..usize::from(u16::from_be_bytes(*length))).ok_or(cut)?;
        let (width, height) = read_size(sps)?;
        Ok(Self { nal_length_size, width, height })
    }
}

/// Width and height after cropping, of an SPS's NAL unit.
fn read_size(unit: &[u8]) -> Result<(u32, u32), AvcConfigError> {
    let plain = unescape(unit);
    let bits = &mut BitReader::new(&plain);
    bits.bits(8)?; // NAL header
    let profile_idc = bits.small(8)?;
    bits.bits(16)?; // constraint flags, level_idc
    bits.ue()?; // seq_parameter_set_id
    let chroma_format_idc = if PROFILES_HIGH.contains(&profile_idc) { skip_high_profile(bits)? } else { 1 };
    bits.ue()?; // log2_max_frame_num_minus4
    skip_picture_order(bits)?;
    bits.ue()?; // max_num_ref_frames
    bits.flag()?; // gaps_in_frame_num_value_allowed_flag
    let width_macroblocks = bits.ue()?;
    let height_map_units = bits.ue()?;
    if width_macroblocks >= SIDE_MACROBLOCKS_MAX || height_map_units >= SIDE_MACROBLOCKS_MAX {
        return Err(AvcConfigError::Sps);
    }
    // 7.4.2.1.1: a map unit is two macroblocks high where fields may occur, and so is the cropping unit.
    let frame_mbs_only = bits.flag()?;
    let fields = if frame_mbs_only { 1 } else { 2 };
    if !frame_mbs_only {
        bits.flag()?; // mb_adaptive_frame_field_flag
    }
    bits.flag()?; // direct_8x8_inference_flag
    let mut crop = [0u32; 4];
    if bits.flag()? {
        for side in &mut crop {
            *side = bits.ue()?;
        }
    }
    // Table 6-1: SubWidthC and SubHeightC; 1 for monochrome and separate planes.
    let (unit_x, unit_y) = match chroma_format_idc {
        1 => (2, 2),
        2 => (2, 1),
        _ => (1, 1),
    };
    let [left, right, top, bottom] = crop.map(u64::from);
    let width = u64::from(width_macroblocks + 1) * 16;
    let height = u64::from(height_map_units + 1) * 16 * fields;
    let width = width.checked_sub((left + right) * unit_x).filter(|&width| width > 0);
    let height = height.checked_sub((top + bottom) * unit_y * fields).filter(|&height| height > 0);
    width.zip(height).map(|(width, height)| (width as u32, height as u32)).ok_or(AvcConfigError::Sps)
}

/// From chroma_format_idc to the scaling lists; returns chroma_format_idc, 0 for separate planes.
fn skip_high_profile(bits: &mut BitReader<'_>) -> Result<u32, OutOfBits> {
    let chroma_format_idc = bits.ue()?;
    let separate_planes = chroma_format_idc == 3 && bits.flag()?;
    bits.ue()?; // bit_depth_luma_minus8
    bits.ue()?; // bit_depth_chroma_minus8
    bits.flag()?; // qpprime_y_zero_transform_bypass_flag
    if bits.flag()? {
        let lists_count = if chroma_format_idc == 3 { 12 } else { 8 };
        for list_index in 0..lists_count {
            if bits.flag()? {
                skip_scaling_list(bits, if list_index < 6 { 16 } else { 64 })?;
            }
        }
    }
    Ok(if separate_planes { 0 } else { chroma_format_idc })
}

/// scaling_list (7.3.2.1.1.1).
fn skip_scaling_list(bits: &mut BitReader<'_>, size: u32) -> Result<(), OutOfBits> {
    let (mut last, mut next) = (8i64, 8i64);
    for _ in 0..size {
        if next != 0 {
            next = (last + bits.se()?).rem_euclid(256);
        }
        last = if next == 0 { last } else { next };
    }
    Ok(())
}

fn skip_picture_order(bits: &mut BitReader<'_>) -> Result<(), AvcConfigError> {
    match bits.ue()? {
        0 => {
            bits.ue()?; // log2_max_pic_order_cnt_lsb_minus4
        }
        1 => {
            bits.flag()?; // delta_pic_order_always_zero_flag
            bits.se()?; // offset_for_non_ref_pic
            bits.se()?; // offset_for_top_to_bottom_field
            let cycle = bits.ue()?;
            // 7.4.2.1.1: num_ref_frames_in_pic_order_cnt_cycle is 0 to 255.
            if cycle > 255 {
                return Err(AvcConfigError::Sps);
            }
            for _ in 0..cycle {
                bits.se()?;
            }
        }
        2 => {}
        _ => return Err(AvcConfigError::Sps),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn record(sps: &[u8]) -> Vec<u8> {
        [&[1, sps[1], sps[2], sps[3], 0xfd, 0xe1, 0, sps.len() as u8][..], sps, &[1, 0, 1, 0x68]].concat()
    }

    /// x264's, High profile 1920x1080 with a cropped bottom; and the SPS of mp4-atom's own test, 320x240.
    const SPS_1080: &[u8] = &[
        0x67, 0x64, 0x00, 0x28, 0xac, 0xd9, 0x40, 0x78, 0x02, 0x27, 0xe5, 0xc0, 0x44, 0x00, 0x00, 0x03, 0x00,
        0x04, 0x00, 0x00, 0x03, 0x00, 0xf0, 0x3c, 0x60, 0xc6, 0x58,
    ];
    const SPS_240: &[u8] = &[
        0x67, 0x64, 0x00, 0x0d, 0xac, 0xd9, 0x41, 0x41, 0xfa, 0x10, 0x00, 0x00, 0x03, 0x00, 0x10, 0x00, 0x00,
        0x03, 0x03, 0x20, 0xf1, 0x42, 0x99, 0x60,
    ];

    #[test]
    fn sizes_of_x264_streams() {
        for (sps, width, height) in [(SPS_1080, 1920, 1080), (SPS_240, 320, 240)] {
            let config = AvcConfig { nal_length_size: 2, width, height };
            assert_eq!(AvcConfig::parse(&record(sps)), Ok(config));
        }
    }

    #[test]
    fn broken_records_are_refused_by_name() {
        let good = record(SPS_240);
        for length in 0..8 + SPS_240.len() {
            assert_eq!(AvcConfig::parse(&good[..length]), Err(AvcConfigError::Cut { found: length }));
        }
        let with = |at: usize, byte| {
            let mut broken = good.clone();
            broken[at] = byte;
            AvcConfig::parse(&broken)
        };
        assert_eq!(with(0, 0), Err(AvcConfigError::Version { found: 0 }));
        assert_eq!(with(4, 0xfe), Err(AvcConfigError::NalLengthSize { found: 3 }));
        assert_eq!(with(5, 0xe0), Err(AvcConfigError::NoSps));
        assert_eq!(with(7, 4), Err(AvcConfigError::Sps));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes: Vec<u8>, at in 0usize..35, byte: u8) {
            let _ = AvcConfig::parse(&bytes);
            let _ = read_size(&bytes);
            let mut broken = record(SPS_1080);
            broken[at] = byte;
            let _ = AvcConfig::parse(&broken);
        }
    }
}
