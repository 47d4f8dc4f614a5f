//! The sequence parameter set (ISO/IEC 14496-10, sections 7.3.2.1.1 and E.1.1), as far as an HLS
//! server needs it. Everything up to the last wanted field is read, since it is a bit stream.

use super::NAL_SPS;
use crate::codec::SpsError;
use crate::codec::bits::BitReader;
use crate::codec::nal::unescape;
use crate::codec::video::{Colour, FrameRate, SAMPLE_ASPECT_EXTENDED, sample_aspect};
use crate::limits::{CODEC_CONFIG_BYTES_MAX, PICTURE_SIDE_PIXELS_MAX};

/// What a sequence parameter set says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sps {
    /// profile_idc.
    pub profile: u8,
    /// The constraint_set flags, as one byte.
    pub compatibility: u8,
    /// level_idc: ten times the level.
    pub level: u8,
    /// Pixels after cropping.
    pub width: u32,
    /// Pixels after cropping, of the frame (both fields).
    pub height: u32,
    /// False when pictures may be interlaced.
    pub frames_only: bool,
    /// chroma_format_idc: 0 monochrome, 1 4:2:0, 2 4:2:2, 3 4:4:4.
    pub chroma_format: u8,
    /// Bits of a luma sample.
    pub bit_depth_luma: u8,
    /// Bits of a chroma sample.
    pub bit_depth_chroma: u8,
    /// Width and height of a sample, when it is specified.
    pub sample_aspect: Option<(u16, u16)>,
    /// How samples become light, when video_signal_type is present.
    pub colour: Option<Colour>,
    /// The timing information, when it is present and not zero.
    pub timing: Option<Timing>,
    /// max_num_reorder_frames: frames that may precede one in decoding order and follow it in
    /// output order.
    pub reorder_frames: Option<u32>,
}

/// timing_info of the VUI: a field lasts `num_units_in_tick / time_scale` seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// num_units_in_tick; not 0.
    pub num_units_in_tick: u32,
    /// time_scale; not 0.
    pub time_scale: u32,
    /// fixed_frame_rate_flag: the rate is a promise, not a hint.
    pub fixed: bool,
}

impl Sps {
    /// Parses an SPS NAL unit, its header byte included. A VUI that ends early loses what it would
    /// have said last, as decoders do: encoders with broken HRD parameters exist.
    ///
    /// # Errors
    /// [`SpsError`] when it is not an SPS, ends before the VUI, or has a field out of range.
    pub fn parse(unit: &[u8]) -> Result<Self, SpsError> {
        let nal_type = unit.first().map_or(0, |header| header & 0x1f);
        if nal_type != NAL_SPS {
            return Err(SpsError::NalType { found: nal_type });
        }
        let plain = unescape(&unit[1..], CODEC_CONFIG_BYTES_MAX);
        let bits = &mut BitReader::new(&plain);
        let mut sps = Self {
            profile: bits.small(8)?,
            compatibility: bits.small(8)?,
            level: bits.small(8)?,
            width: 0,
            height: 0,
            frames_only: true,
            chroma_format: 1,
            bit_depth_luma: 8,
            bit_depth_chroma: 8,
            sample_aspect: None,
            colour: None,
            timing: None,
            reorder_frames: None,
        };
        bounded(bits, "seq_parameter_set_id", 31)?;
        let mut separate_planes = false;
        if has_chroma_fields(sps.profile) {
            separate_planes = sps.read_chroma(bits)?;
        }
        skip_frame_numbering(bits)?;
        sps.read_picture_size(bits, separate_planes)?;
        // 7.3.2.1.1: vui_parameters_present_flag
        if bits.flag()? {
            // See above: what was read before the end counts.
            let _ = sps.read_vui(bits);
        }
        Ok(sps)
    }

    /// The frame rate that the timing information names: two fields a frame.
    pub fn frame_rate(&self) -> Option<FrameRate> {
        let timing = self.timing?;
        FrameRate::reduced(u64::from(timing.time_scale), 2 * u64::from(timing.num_units_in_tick))
    }

    /// Returns separate_colour_plane_flag.
    fn read_chroma(&mut self, bits: &mut BitReader<'_>) -> Result<bool, SpsError> {
        self.chroma_format = bounded(bits, "chroma_format_idc", 3)? as u8;
        let separate_planes = self.chroma_format == 3 && bits.flag()?;
        self.bit_depth_luma = 8 + bounded(bits, "bit_depth_luma_minus8", 6)? as u8;
        self.bit_depth_chroma = 8 + bounded(bits, "bit_depth_chroma_minus8", 6)? as u8;
        bits.skip(1)?; // qpprime_y_zero_transform_bypass_flag
        if bits.flag()? {
            for list in 0..if self.chroma_format == 3 { 12 } else { 8 } {
                if bits.flag()? {
                    skip_scaling_list(bits, if list < 6 { 16 } else { 64 })?;
                }
            }
        }
        Ok(separate_planes)
    }

    fn read_picture_size(&mut self, bits: &mut BitReader<'_>, separate_planes: bool) -> Result<(), SpsError> {
        const MACROBLOCKS_MAX: u32 = PICTURE_SIDE_PIXELS_MAX / 16;
        let width_mbs = bounded(bits, "pic_width_in_mbs_minus1", MACROBLOCKS_MAX - 1)? + 1;
        let height_units = bounded(bits, "pic_height_in_map_units_minus1", MACROBLOCKS_MAX - 1)? + 1;
        self.frames_only = bits.flag()?;
        if !self.frames_only {
            bits.skip(1)?; // mb_adaptive_frame_field_flag
        }
        bits.skip(1)?; // direct_8x8_inference_flag
        // 7.4.2.1.1: without frame_mbs_only_flag, map units are those of a field.
        let fields = if self.frames_only { 1 } else { 2 };
        (self.width, self.height) = (width_mbs * 16, height_units * 16 * fields);
        if self.height > PICTURE_SIDE_PIXELS_MAX {
            let (field, found) = ("height in pixels", self.height);
            return Err(SpsError::Range { field, found, allowed: PICTURE_SIDE_PIXELS_MAX });
        }
        if bits.flag()? {
            // Table 6-1: chroma samples to luma samples; without subsampling units are luma samples.
            let (unit_x, unit_y) = match self.chroma_format {
                1 if !separate_planes => (2, 2 * fields),
                2 if !separate_planes => (2, fields),
                _ => (1, fields),
            };
            let (coded_width, coded_height) = (self.width, self.height);
            let too_much = SpsError::Cropping { width: coded_width, height: coded_height };
            let mut crop = |side: u32, unit: u32| -> Result<u32, SpsError> {
                let units = u64::from(bits.ue()?) + u64::from(bits.ue()?);
                let cropped = units * u64::from(unit);
                if cropped >= u64::from(side) { Err(too_much) } else { Ok(side - cropped as u32) }
            };
            self.width = crop(coded_width, unit_x)?;
            self.height = crop(coded_height, unit_y)?;
        }
        Ok(())
    }

    /// E.1.1, in its order.
    fn read_vui(&mut self, bits: &mut BitReader<'_>) -> Result<(), SpsError> {
        if bits.flag()? {
            self.sample_aspect = read_sample_aspect(bits)?;
        }
        if bits.flag()? {
            bits.skip(1)?; // overscan_appropriate_flag
        }
        if bits.flag()? {
            self.colour = Some(read_colour(bits)?);
        }
        if bits.flag()? {
            bits.ue()?; // chroma_sample_loc_type_top_field
            bits.ue()?; // chroma_sample_loc_type_bottom_field
        }
        if bits.flag()? {
            let timing =
                Timing { num_units_in_tick: bits.bits(32)?, time_scale: bits.bits(32)?, fixed: bits.flag()? };
            self.timing = Some(timing).filter(|timing| timing.num_units_in_tick > 0 && timing.time_scale > 0);
        }
        let nal_hrd = bits.flag()?;
        if nal_hrd {
            skip_hrd(bits)?;
        }
        let vcl_hrd = bits.flag()?;
        if vcl_hrd {
            skip_hrd(bits)?;
        }
        if nal_hrd || vcl_hrd {
            bits.skip(1)?; // low_delay_hrd_flag
        }
        bits.skip(1)?; // pic_struct_present_flag
        if bits.flag()? {
            bits.skip(1)?; // motion_vectors_over_pic_boundaries_flag
            for _ in 0..4 {
                bits.ue()?; // max_bytes_per_pic_denom to log2_max_mv_length_vertical
            }
            self.reorder_frames = Some(bounded(bits, "max_num_reorder_frames", 16)?);
        }
        Ok(())
    }
}

/// 7.3.2.1.1: the profiles whose SPS has chroma_format_idc and scaling lists.
fn has_chroma_fields(profile: u8) -> bool {
    matches!(profile, 100 | 110 | 122 | 244 | 44 | 83 | 86 | 118 | 128 | 138 | 139 | 134 | 135)
}

fn bounded(bits: &mut BitReader<'_>, field: &'static str, allowed: u32) -> Result<u32, SpsError> {
    let found = bits.ue()?;
    if found > allowed { Err(SpsError::Range { field, found, allowed }) } else { Ok(found) }
}

/// 7.3.2.1.1.1: the list ends where its next scale becomes 0.
fn skip_scaling_list(bits: &mut BitReader<'_>, size: usize) -> Result<(), SpsError> {
    let mut last = 8i64;
    for _ in 0..size {
        let next = (last + bits.se()?).rem_euclid(256);
        if next == 0 {
            break;
        }
        last = next;
    }
    Ok(())
}

/// From log2_max_frame_num_minus4 to gaps_in_frame_num_value_allowed_flag.
fn skip_frame_numbering(bits: &mut BitReader<'_>) -> Result<(), SpsError> {
    bounded(bits, "log2_max_frame_num_minus4", 12)?;
    match bounded(bits, "pic_order_cnt_type", 2)? {
        0 => {
            bounded(bits, "log2_max_pic_order_cnt_lsb_minus4", 12)?;
        }
        1 => {
            bits.skip(1)?; // delta_pic_order_always_zero_flag
            bits.se()?; // offset_for_non_ref_pic
            bits.se()?; // offset_for_top_to_bottom_field
            for _ in 0..bounded(bits, "num_ref_frames_in_pic_order_cnt_cycle", 255)? {
                bits.se()?; // offset_for_ref_frame
            }
        }
        _ => {}
    }
    bounded(bits, "max_num_ref_frames", 16)?;
    bits.skip(1)?; // gaps_in_frame_num_value_allowed_flag
    Ok(())
}

fn read_sample_aspect(bits: &mut BitReader<'_>) -> Result<Option<(u16, u16)>, SpsError> {
    let aspect = match bits.small(8)? {
        SAMPLE_ASPECT_EXTENDED => (bits.bits(16)? as u16, bits.bits(16)? as u16),
        index => sample_aspect(index).unwrap_or((0, 0)),
    };
    // E.2.1: 0 in either place is "unspecified".
    Ok(Some(aspect).filter(|&(width, height)| width > 0 && height > 0))
}

fn read_colour(bits: &mut BitReader<'_>) -> Result<Colour, SpsError> {
    bits.skip(3)?; // video_format
    let full_range = bits.flag()?;
    let described = bits.flag()?;
    let mut code_point = || if described { bits.small(8) } else { Ok(2) };
    Ok(Colour { primaries: code_point()?, transfer: code_point()?, matrix: code_point()?, full_range })
}

/// E.1.2.
fn skip_hrd(bits: &mut BitReader<'_>) -> Result<(), SpsError> {
    let specs = bounded(bits, "cpb_cnt_minus1", 31)? + 1;
    bits.skip(8)?; // bit_rate_scale, cpb_size_scale
    for _ in 0..specs {
        bits.ue()?; // bit_rate_value_minus1
        bits.ue()?; // cpb_size_value_minus1
        bits.skip(1)?; // cbr_flag
    }
    bits.skip(20)?; // four lengths of 5 bits
    Ok(())
}
