//! HEVC's sequence parameter set (ISO/IEC 23008-2, sections 7.3.2.2, 7.3.3 and E.2.1), as far as an HLS server
//! needs it, and the timing of a video parameter set. Everything up to the last wanted field is read, since it
//! is a bit stream.

use super::{NAL_SPS, NAL_VPS, nal_type};
use crate::codec::SpsError;
use crate::codec::bits::{BitReader, OutOfBits};
use crate::codec::nal::unescape;
use crate::codec::video::{Colour, FrameRate, SAMPLE_ASPECT_EXTENDED, sample_aspect};
use crate::limits::{CODEC_CONFIG_BYTES_MAX, PICTURE_SIDE_PIXELS_MAX};

/// Bytes of a NAL unit's header (section 7.3.1.2).
const HEADER_BYTES: usize = 2;
/// Short-term reference picture sets of an SPS, long-term reference pictures of an SPS, and pictures on one side
/// of a set (sections 7.4.3.2.1 and 7.4.8).
const SHORT_TERM_SETS_MAX: u32 = 64;
const LONG_TERM_PICTURES_MAX: u32 = 32;
const SET_PICTURES_MAX: u32 = 16;

/// profile_tier_level, its general part (section 7.3.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ProfileTierLevel {
    /// general_profile_space, 0 to 3.
    pub profile_space: u8,
    /// general_tier_flag: true for the high tier.
    pub high_tier: bool,
    /// general_profile_idc: 1 is Main, 2 Main 10.
    pub profile: u8,
    /// general_profile_compatibility_flag\[0\] to \[31\], the first in the highest bit.
    pub compatibility: u32,
    /// The 48 bits behind them, from general_progressive_source_flag on.
    pub constraints: [u8; 6],
    /// general_level_idc: thirty times the level.
    pub level: u8,
}

/// What a sequence parameter set says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sps {
    /// sps_seq_parameter_set_id, 0 to 15.
    pub id: u8,
    /// The general profile, tier and level.
    pub ptl: ProfileTierLevel,
    /// sps_max_sub_layers_minus1 + 1, 1 to 7.
    pub temporal_layers: u8,
    /// sps_temporal_id_nesting_flag.
    pub temporal_id_nested: bool,
    /// chroma_format_idc: 0 monochrome, 1 4:2:0, 2 4:2:2, 3 4:4:4.
    pub chroma_format: u8,
    /// Pixels inside the conformance window.
    pub width: u32,
    /// Pixels inside the conformance window.
    pub height: u32,
    /// Bits of a luma sample, 8 to 16.
    pub bit_depth_luma: u8,
    /// Bits of a chroma sample, 8 to 16.
    pub bit_depth_chroma: u8,
    /// Width and height of a sample, when it is specified.
    pub sample_aspect: Option<(u16, u16)>,
    /// How samples become light, when video_signal_type is present.
    pub colour: Option<Colour>,
    /// Of pictures, by vui_timing_info.
    pub frame_rate: Option<FrameRate>,
}

impl Sps {
    /// Parses an SPS NAL unit, its header included. A VUI that ends early loses what it would have said last, as
    /// decoders do.
    ///
    /// # Errors
    /// [`SpsError`] when it is not an SPS, ends before the VUI, or has a field out of range.
    pub fn parse(unit: &[u8]) -> Result<Self, SpsError> {
        let found = nal_type(unit);
        if found != NAL_SPS || unit.len() < HEADER_BYTES {
            return Err(SpsError::NalType { found });
        }
        let plain = unescape(&unit[HEADER_BYTES..], CODEC_CONFIG_BYTES_MAX);
        let bits = &mut BitReader::new(&plain);
        bits.skip(4)?; // sps_video_parameter_set_id
        let sub_layers = bits.small(3)?;
        if sub_layers > 6 {
            return Err(out_of_range("sps_max_sub_layers_minus1", sub_layers.into(), 6));
        }
        let temporal_id_nested = bits.flag()?;
        let ptl = read_profile_tier_level(bits, sub_layers)?;
        let id = bounded(bits, "sps_seq_parameter_set_id", 15)? as u8;
        let chroma_format = bounded(bits, "chroma_format_idc", 3)? as u8;
        let separate_planes = chroma_format == 3 && bits.flag()?;
        let (width, height) = read_picture_size(bits, if separate_planes { 0 } else { chroma_format })?;
        let mut sps = Self {
            id,
            ptl,
            temporal_layers: sub_layers + 1,
            temporal_id_nested,
            chroma_format,
            width,
            height,
            bit_depth_luma: 8 + bounded(bits, "bit_depth_luma_minus8", 8)? as u8,
            bit_depth_chroma: 8 + bounded(bits, "bit_depth_chroma_minus8", 8)? as u8,
            sample_aspect: None,
            colour: None,
            frame_rate: None,
        };
        let poc_bits = 4 + bounded(bits, "log2_max_pic_order_cnt_lsb_minus4", 12)?;
        skip_sub_layer_ordering(bits, sub_layers)?;
        skip_coding_tools(bits)?;
        skip_reference_pictures(bits, poc_bits)?;
        bits.skip(2)?; // sps_temporal_mvp_enabled_flag, strong_intra_smoothing_enabled_flag
        // 7.3.2.2.1: vui_parameters_present_flag
        if bits.flag()? {
            // See above: what was read before the end counts.
            let _ = sps.read_vui(bits);
        }
        Ok(sps)
    }

    /// E.2.1, in its order, up to the timing.
    fn read_vui(&mut self, bits: &mut BitReader<'_>) -> Result<(), OutOfBits> {
        if bits.flag()? {
            self.sample_aspect = match bits.small(8)? {
                // E.3.1: 0 in either place is "unspecified".
                SAMPLE_ASPECT_EXTENDED => Some((bits.bits(16)? as u16, bits.bits(16)? as u16))
                    .filter(|&(width, height)| width > 0 && height > 0),
                index => sample_aspect(index),
            };
        }
        if bits.flag()? {
            bits.skip(1)?; // overscan_appropriate_flag
        }
        if bits.flag()? {
            bits.skip(3)?; // video_format
            let full_range = bits.flag()?;
            let described = bits.flag()?;
            let mut code_point = || if described { bits.small(8) } else { Ok(2) };
            let (primaries, transfer, matrix) = (code_point()?, code_point()?, code_point()?);
            self.colour = Some(Colour { primaries, transfer, matrix, full_range });
        }
        if bits.flag()? {
            bits.ue()?; // chroma_sample_loc_type_top_field
            bits.ue()?; // chroma_sample_loc_type_bottom_field
        }
        bits.skip(1)?; // neutral_chroma_indication_flag
        let fields = bits.flag()?; // field_seq_flag
        bits.skip(1)?; // frame_field_info_present_flag
        if bits.flag()? {
            for _ in 0..4 {
                bits.ue()?; // default display window
            }
        }
        if bits.flag()? {
            let rate = read_timing(bits)?;
            // E.3.1: with field_seq_flag each picture is a field.
            self.frame_rate = rate.filter(|_| !fields);
        }
        Ok(())
    }
}

/// The frame rate of a video parameter set (section 7.3.2.1), header included; `None` when it has none or cannot
/// be read.
pub(super) fn vps_frame_rate(unit: &[u8]) -> Option<FrameRate> {
    if nal_type(unit) != NAL_VPS {
        return None;
    }
    let plain = unescape(unit.get(HEADER_BYTES..)?, CODEC_CONFIG_BYTES_MAX);
    let bits = &mut BitReader::new(&plain);
    bits.skip(4 + 2 + 6).ok()?; // vps_video_parameter_set_id, base layer flags, vps_max_layers_minus1
    let sub_layers = bits.small(3).ok()?;
    bits.skip(1 + 16).ok()?; // vps_temporal_id_nesting_flag, vps_reserved_0xffff_16bits
    read_profile_tier_level(bits, sub_layers).ok()?;
    skip_sub_layer_ordering(bits, sub_layers).ok()?;
    let layer_ids = u32::from(bits.small(6).ok()?) + 1;
    let layer_sets = bits.ue().ok().filter(|sets| *sets <= 1023)?;
    bits.skip(layer_sets * layer_ids).ok()?;
    if bits.flag().ok()? { read_timing(bits).ok()? } else { None }
}

fn read_timing(bits: &mut BitReader<'_>) -> Result<Option<FrameRate>, OutOfBits> {
    let (num_units_in_tick, time_scale) = (bits.bits(32)?, bits.bits(32)?);
    Ok(FrameRate::new(time_scale, num_units_in_tick))
}

fn out_of_range(field: &'static str, found: u32, allowed: u32) -> SpsError {
    SpsError::Range { field, found, allowed }
}

fn bounded(bits: &mut BitReader<'_>, field: &'static str, allowed: u32) -> Result<u32, SpsError> {
    let found = bits.ue()?;
    if found > allowed { Err(out_of_range(field, found, allowed)) } else { Ok(found) }
}

/// 7.3.3 with profilePresentFlag; what sub-layers say is skipped.
fn read_profile_tier_level(bits: &mut BitReader<'_>, sub_layers: u8) -> Result<ProfileTierLevel, OutOfBits> {
    let mut ptl = ProfileTierLevel {
        profile_space: bits.small(2)?,
        high_tier: bits.flag()?,
        profile: bits.small(5)?,
        compatibility: bits.bits(32)?,
        ..ProfileTierLevel::default()
    };
    for byte in &mut ptl.constraints {
        *byte = bits.small(8)?;
    }
    ptl.level = bits.small(8)?;
    let mut skipped = 0;
    for _ in 0..sub_layers {
        skipped += if bits.flag()? { 88 } else { 0 }; // sub_layer_profile_present_flag
        skipped += if bits.flag()? { 8 } else { 0 }; // sub_layer_level_present_flag
    }
    if sub_layers > 0 {
        bits.skip(2 * (8 - u32::from(sub_layers)))?; // reserved_zero_2bits
    }
    bits.skip(skipped)?;
    Ok(ptl)
}

/// Returns width and height inside the conformance window.
fn read_picture_size(bits: &mut BitReader<'_>, chroma_array_type: u8) -> Result<(u32, u32), SpsError> {
    let width = bounded(bits, "pic_width_in_luma_samples", PICTURE_SIDE_PIXELS_MAX)?;
    let height = bounded(bits, "pic_height_in_luma_samples", PICTURE_SIDE_PIXELS_MAX)?;
    let empty = SpsError::Cropping { width, height };
    if width == 0 || height == 0 {
        return Err(empty);
    }
    // 7.3.2.2.1: conformance_window_flag
    if !bits.flag()? {
        return Ok((width, height));
    }
    // Table 6-1: SubWidthC, SubHeightC.
    let (unit_x, unit_y) = match chroma_array_type {
        1 => (2, 2),
        2 => (2, 1),
        _ => (1, 1),
    };
    let mut inside = |side: u32, unit: u64| -> Result<u32, SpsError> {
        let outside = (u64::from(bits.ue()?) + u64::from(bits.ue()?)) * unit;
        if outside >= u64::from(side) { Err(empty) } else { Ok(side - outside as u32) }
    };
    Ok((inside(width, unit_x)?, inside(height, unit_y)?))
}

/// sps_sub_layer_ordering_info_present_flag and what it announces.
fn skip_sub_layer_ordering(bits: &mut BitReader<'_>, sub_layers: u8) -> Result<(), OutOfBits> {
    let first = if bits.flag()? { 0 } else { sub_layers };
    for _ in first..=sub_layers {
        for _ in 0..3 {
            bits.ue()?; // max_dec_pic_buffering_minus1, max_num_reorder_pics, max_latency_increase_plus1
        }
    }
    Ok(())
}

/// From log2_min_luma_coding_block_size_minus3 to pcm_loop_filter_disabled_flag.
fn skip_coding_tools(bits: &mut BitReader<'_>) -> Result<(), OutOfBits> {
    for _ in 0..6 {
        bits.ue()?;
    }
    // scaling_list_enabled_flag, sps_scaling_list_data_present_flag
    if bits.flag()? && bits.flag()? {
        skip_scaling_lists(bits)?;
    }
    bits.skip(2)?; // amp_enabled_flag, sample_adaptive_offset_enabled_flag
    if bits.flag()? {
        bits.skip(8)?; // pcm sample bit depths
        bits.ue()?;
        bits.ue()?;
        bits.skip(1)?;
    }
    Ok(())
}

/// scaling_list_data (section 7.3.4).
fn skip_scaling_lists(bits: &mut BitReader<'_>) -> Result<(), OutOfBits> {
    for size in 0..4 {
        for _ in (0..6).step_by(if size == 3 { 3 } else { 1 }) {
            if !bits.flag()? {
                bits.ue()?; // scaling_list_pred_matrix_id_delta
                continue;
            }
            let coefficients = 64.min(1 << (4 + 2 * size));
            for _ in 0..coefficients + i32::from(size > 1) {
                bits.se()?;
            }
        }
    }
    Ok(())
}

/// The sets of short-term reference pictures (section 7.3.7) and the long-term ones.
fn skip_reference_pictures(bits: &mut BitReader<'_>, poc_bits: u32) -> Result<(), SpsError> {
    let sets = bounded(bits, "num_short_term_ref_pic_sets", SHORT_TERM_SETS_MAX)?;
    // Pictures of the set before, from which the next one may be predicted.
    let mut pictures = 0;
    for index in 0..sets {
        pictures = if index > 0 && bits.flag()? {
            skip_predicted_set(bits, pictures)?
        } else {
            skip_explicit_set(bits)?
        };
    }
    if bits.flag()? {
        let count = bounded(bits, "num_long_term_ref_pics_sps", LONG_TERM_PICTURES_MAX)?;
        bits.skip(count * (poc_bits + 1))?;
    }
    Ok(())
}

fn skip_predicted_set(bits: &mut BitReader<'_>, reference_pictures: u32) -> Result<u32, SpsError> {
    bits.skip(1)?; // delta_rps_sign
    bits.ue()?; // abs_delta_rps_minus1
    let mut pictures = 0;
    for _ in 0..=reference_pictures {
        // used_by_curr_pic_flag, else use_delta_flag
        pictures += u32::from(bits.flag()? || bits.flag()?);
    }
    let allowed = 2 * SET_PICTURES_MAX;
    if pictures > allowed { Err(out_of_range("NumDeltaPocs", pictures, allowed)) } else { Ok(pictures) }
}

fn skip_explicit_set(bits: &mut BitReader<'_>) -> Result<u32, SpsError> {
    let negative = bounded(bits, "num_negative_pics", SET_PICTURES_MAX)?;
    let positive = bounded(bits, "num_positive_pics", SET_PICTURES_MAX)?;
    for _ in 0..negative + positive {
        bits.ue()?; // delta_poc_s0_minus1 or delta_poc_s1_minus1
        bits.skip(1)?; // used_by_curr_pic_flag
    }
    Ok(negative + positive)
}
