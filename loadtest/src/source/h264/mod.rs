//! A hand-written H.264 stream (ITU-T H.264): parameter sets, NAL units, filler; and what is read of other
//! streams'.
//!
//! All pictures of a stream share one SPS and one PPS: CAVLC, frames only, POC type 0, deblocking off, one
//! reference frame per list. Without B pictures it is Constrained Baseline, with them Main.

mod level;
mod picture;
mod sps;

pub(super) use picture::{Picture, PictureKind, macroblocks_across};
pub(super) use sps::AvcConfig;
pub use sps::AvcConfigError;

use super::bits::BitWriter;

/// Bytes of a NAL unit's length in the access units written here.
pub(super) const NAL_LENGTH_SIZE: u8 = 4;
/// Bytes of the least filler, its length included.
pub(super) const FILLER_BYTES_MIN: usize = 4 + 2 + 1 + FILLER_UUID.len() + 1;

const PROFILE_BASELINE: u8 = 66;
const PROFILE_MAIN: u8 = 77;
/// constraint_set0_flag and constraint_set1_flag: Constrained Baseline. constraint_set1_flag alone: Main.
const CONSTRAINED_BASELINE: u8 = 0b1100_0000;
const CONSTRAINED_MAIN: u8 = 0b0100_0000;

/// nal_ref_idc and nal_unit_type.
const HEADER_SPS: u8 = 0x67;
const HEADER_PPS: u8 = 0x68;
const HEADER_SEI: u8 = 0x06;
const SEI_USER_DATA_UNREGISTERED: u8 = 5;

/// Bits of frame_num and of pic_order_cnt_lsb. The latter rises by two a frame and by eight between reference
/// pictures at most, far below the 128 at which it would be ambiguous.
const FRAME_NUM_BITS: u32 = 8;
const ORDER_BITS: u32 = 8;

/// Names the filler to whoever looks at a stream. No byte of it is 0, as none of the filler is: nothing to
/// escape.
const FILLER_UUID: [u8; 16] = *b"RapidRTMP-filler";
const FILLER_BYTE: u8 = 0xff;

/// What all pictures of a stream have in common.
#[derive(Debug, Clone, Copy)]
pub(super) struct Format {
    /// Pixels; even.
    pub(super) width: u32,
    /// Pixels; even.
    pub(super) height: u32,
    /// Frames a second, as a fraction.
    pub(super) frame_rate: (u32, u32),
    pub(super) bits_per_s: u64,
    /// Whether there are B pictures.
    pub(super) reorders: bool,
}

impl Format {
    fn macroblocks(&self) -> (u32, u32) {
        (macroblocks_across(self.width), macroblocks_across(self.height))
    }

    /// A B picture refers to one picture before and one after it; a P picture to the one before.
    fn reference_frames(&self) -> u32 {
        if self.reorders { 2 } else { 1 }
    }

    fn profile(&self) -> (u8, u8) {
        if self.reorders {
            (PROFILE_MAIN, CONSTRAINED_MAIN)
        } else {
            (PROFILE_BASELINE, CONSTRAINED_BASELINE)
        }
    }

    /// level_idc; `None` when no level allows the size, the frame rate and the bit rate.
    pub(super) fn level_idc(&self) -> Option<u8> {
        let (width_macroblocks, height_macroblocks) = self.macroblocks();
        level::least_level_idc(level::Demand {
            width_macroblocks,
            height_macroblocks,
            frame_rate: self.frame_rate,
            bits_per_s: self.bits_per_s,
            decoded_frames: self.reference_frames(),
        })
    }

    /// The AVCDecoderConfigurationRecord (ISO/IEC 14496-15, 5.3.3.1); `None` when no level allows the format.
    pub(super) fn config_record(&self) -> Option<Vec<u8>> {
        let level_idc = self.level_idc()?;
        let (profile_idc, constraints) = self.profile();
        // Version 1; reserved ones and lengthSizeMinusOne 3; reserved ones and one SPS.
        let mut record = vec![1, profile_idc, constraints, level_idc, 0xff, 0xe1];
        for (index, unit) in [self.sps(level_idc), pps()].into_iter().enumerate() {
            if index == 1 {
                record.push(1);
            }
            // Parameter sets as short as these fit any length.
            record.extend((unit.len() as u16).to_be_bytes());
            record.extend(unit);
        }
        Some(record)
    }

    /// The SPS's NAL unit (7.3.2.1.1).
    fn sps(&self, level_idc: u8) -> Vec<u8> {
        let (width_macroblocks, height_macroblocks) = self.macroblocks();
        let (profile_idc, constraints) = self.profile();
        let mut bits = BitWriter::new();
        bits.bits(profile_idc.into(), 8);
        bits.bits(constraints.into(), 8);
        bits.bits(level_idc.into(), 8);
        bits.ue(0); // seq_parameter_set_id
        bits.ue(FRAME_NUM_BITS - 4);
        bits.ue(0); // pic_order_cnt_type
        bits.ue(ORDER_BITS - 4);
        bits.ue(self.reference_frames());
        bits.flag(false); // gaps_in_frame_num_value_allowed_flag
        bits.ue(width_macroblocks - 1);
        bits.ue(height_macroblocks - 1);
        bits.flag(true); // frame_mbs_only_flag
        bits.flag(true); // direct_8x8_inference_flag
        let crop_right = width_macroblocks * 16 - self.width;
        let crop_bottom = height_macroblocks * 16 - self.height;
        bits.flag(crop_right + crop_bottom > 0);
        if crop_right + crop_bottom > 0 {
            // Units of two luma samples: 4:2:0.
            for crop in [0, crop_right / 2, 0, crop_bottom / 2] {
                bits.ue(crop);
            }
        }
        bits.flag(true); // vui_parameters_present_flag
        self.write_vui(&mut bits);
        nal_unit(HEADER_SPS, &bits.into_rbsp())
    }

    /// vui_parameters (E.1.1).
    fn write_vui(&self, bits: &mut BitWriter) {
        let (frames, seconds) = self.frame_rate;
        bits.flag(true); // aspect_ratio_info_present_flag
        bits.bits(1, 8); // square samples
        bits.flag(false); // overscan_info_present_flag
        bits.flag(true); // video_signal_type_present_flag
        bits.bits(5, 3); // video_format: unspecified
        bits.flag(false); // video_full_range_flag
        bits.flag(true); // colour_description_present_flag
        for _ in 0..3 {
            bits.bits(1, 8); // BT.709: primaries, transfer, matrix
        }
        bits.flag(false); // chroma_loc_info_present_flag
        bits.flag(true); // timing_info_present_flag
        bits.bits(seconds, 32); // num_units_in_tick
        bits.bits(frames * 2, 32); // time_scale: a tick is a field
        bits.flag(true); // fixed_frame_rate_flag
        bits.flag(false); // nal_hrd_parameters_present_flag
        bits.flag(false); // vcl_hrd_parameters_present_flag
        bits.flag(false); // pic_struct_present_flag
        bits.flag(true); // bitstream_restriction_flag
        bits.flag(true); // motion_vectors_over_pic_boundaries_flag
        bits.ue(0); // max_bytes_per_pic_denom: no limit
        bits.ue(0); // max_bits_per_mb_denom: no limit
        bits.ue(8); // log2_max_mv_length_horizontal: the marker moves by 64 quarter samples
        bits.ue(8); // log2_max_mv_length_vertical
        bits.ue(u32::from(self.reorders)); // max_num_reorder_frames
        bits.ue(self.reference_frames()); // max_dec_frame_buffering
    }
}

/// The PPS's NAL unit (7.3.2.2).
fn pps() -> Vec<u8> {
    let mut bits = BitWriter::new();
    bits.ue(0); // pic_parameter_set_id
    bits.ue(0); // seq_parameter_set_id
    bits.flag(false); // entropy_coding_mode_flag: CAVLC
    bits.flag(false); // bottom_field_pic_order_in_frame_present_flag
    bits.ue(0); // num_slice_groups_minus1
    bits.ue(0); // num_ref_idx_l0_default_active_minus1
    bits.ue(0); // num_ref_idx_l1_default_active_minus1
    bits.flag(false); // weighted_pred_flag
    bits.bits(0, 2); // weighted_bipred_idc
    bits.se(0); // pic_init_qp_minus26
    bits.se(0); // pic_init_qs_minus26
    bits.se(0); // chroma_qp_index_offset
    bits.flag(true); // deblocking_filter_control_present_flag
    bits.flag(false); // constrained_intra_pred_flag
    bits.flag(false); // redundant_pic_cnt_present_flag
    nal_unit(HEADER_PPS, &bits.into_rbsp())
}

/// A NAL unit of this header and payload, with emulation prevention (7.4.1.1).
fn nal_unit(header: u8, rbsp: &[u8]) -> Vec<u8> {
    let mut unit = Vec::with_capacity(rbsp.len() + 16);
    unit.push(header);
    let mut zeros = 0;
    for &byte in rbsp {
        if zeros == 2 && byte <= 3 {
            unit.push(3);
            zeros = 0;
        }
        unit.push(byte);
        zeros = if byte == 0 { zeros + 1 } else { 0 };
    }
    unit
}

/// A NAL unit behind its length.
fn with_length(unit: &[u8]) -> Vec<u8> {
    // A picture has at most PICTURE_SIDE_PIXELS_MAX² pixels in fewer bits: far below 4 GiB.
    [&(unit.len() as u32).to_be_bytes()[..], unit].concat()
}

/// A NAL unit without the escapes that [`nal_unit`] put in.
fn unescape(unit: &[u8]) -> Vec<u8> {
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

/// Appends an SEI NAL unit of meaningless user data: `bytes` with its length or, where a second byte of
/// payloadSize stands in the way, one less. At least [`FILLER_BYTES_MIN`].
pub(super) fn push_filler(bytes: usize, access_unit: &mut Vec<u8>) {
    debug_assert!(bytes >= FILLER_BYTES_MIN);
    let around = FILLER_BYTES_MIN - FILLER_UUID.len();
    let mut payload = bytes.saturating_sub(around).max(FILLER_UUID.len());
    // payloadSize takes a byte more for each 255 bytes of payload.
    payload -= payload / 256;
    while payload + payload / 255 + around > bytes {
        payload -= 1;
    }
    while payload + 1 + (payload + 1) / 255 + around <= bytes {
        payload += 1;
    }
    let unit_bytes = payload + payload / 255 + around - 4;
    access_unit.extend((unit_bytes as u32).to_be_bytes());
    access_unit.extend([HEADER_SEI, SEI_USER_DATA_UNREGISTERED]);
    access_unit.resize(access_unit.len() + payload / 255, 0xff);
    access_unit.push((payload % 255) as u8);
    access_unit.extend(FILLER_UUID);
    access_unit.resize(access_unit.len() + payload - FILLER_UUID.len(), FILLER_BYTE);
    access_unit.push(0x80);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn format(width: u32, height: u32, reorders: bool) -> Format {
        Format { width, height, frame_rate: (30, 1), bits_per_s: 2_000_000, reorders }
    }

    #[test]
    fn the_record_says_what_the_sets_say() {
        let record = format(1920, 1080, true).config_record().unwrap();
        assert_eq!(record[..6], [1, 77, 0x40, 40, 0xff, 0xe1]);
        let sps_bytes = usize::from(u16::from_be_bytes([record[6], record[7]]));
        let (sps, rest) = record[8..].split_at(sps_bytes);
        assert_eq!(sps[..4], [HEADER_SPS, 77, 0x40, 40]);
        // The PPS is the same for every format.
        assert_eq!(rest, [1, 0, 4, 0x68, 0xce, 0x3c, 0x80]);
        assert_eq!(format(640, 360, false).config_record().unwrap()[1..4], [66, 0xc0, 30]);
        assert!(Format { bits_per_s: 900_000_000, ..format(640, 360, false) }.config_record().is_none());
    }

    #[test]
    fn the_size_written_is_the_size_read() {
        for (width, height) in
            [(64, 32), (66, 34), (416, 234), (640, 360), (1920, 1080), (3840, 2160), (8190, 4098)]
        {
            for reorders in [false, true] {
                let record = format(width, height, reorders).config_record().unwrap();
                let config = AvcConfig::parse(&record).unwrap();
                assert_eq!((config.width, config.height, config.nal_length_size), (width, height, 4));
            }
        }
    }

    #[test]
    fn filler_has_the_bytes_asked_for_or_one_less() {
        for bytes in FILLER_BYTES_MIN..3000 {
            let mut access_unit = Vec::new();
            push_filler(bytes, &mut access_unit);
            assert!((bytes - 1..=bytes).contains(&access_unit.len()), "{bytes}: {}", access_unit.len());
            let (length, unit) = access_unit.split_first_chunk::<4>().unwrap();
            assert_eq!(u32::from_be_bytes(*length) as usize, unit.len());
            assert!(!unit[4..].windows(2).any(|two| two == [0, 0]), "nothing to escape");
            let size_bytes = unit[2..].iter().take_while(|&&byte| byte == 0xff).count() + 1;
            let payload = (size_bytes - 1) * 255 + usize::from(unit[1 + size_bytes]);
            assert_eq!(unit.len(), 2 + size_bytes + payload + 1, "{bytes}");
            assert!(unit[2 + size_bytes..].starts_with(b"RapidRTMP-filler"));
        }
    }

    #[test]
    fn emulation_prevention_is_undone() {
        for rbsp in [&[0, 0, 0, 0, 0, 1, 2, 3][..], &[0, 0, 3, 0, 0, 2], &[1, 0, 0, 4, 0, 0]] {
            let unit = nal_unit(0x65, rbsp);
            assert!(!unit.windows(3).any(|three| three[..2] == [0, 0] && three[2] < 3), "{unit:x?}");
            assert_eq!(unescape(&unit)[1..], *rbsp);
        }
    }
}
