//! AV1's sequence header (AV1 Bitstream & Decoding Process, sections 5.5 and 6.4), as far as an HLS server needs it.

use crate::codec::bits::{BitReader, OutOfBits};
use crate::codec::video::{Colour, FrameRate};
use crate::limits::PICTURE_SIDE_PIXELS_MAX;

/// What a sequence header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SequenceHeader {
    /// seq_profile: 0 is Main.
    pub profile: u8,
    /// seq_level_idx of the first operating point: 4 is level 3.0.
    pub level: u8,
    /// seq_tier of the first operating point: true for the high tier.
    pub high_tier: bool,
    /// reduced_still_picture_header: frames are key frames without saying so.
    pub still: bool,
    /// max_frame_width_minus_1 + 1.
    pub width: u32,
    /// max_frame_height_minus_1 + 1.
    pub height: u32,
    /// BitDepth: 8, 10 or 12.
    pub bit_depth: u8,
    /// mono_chrome.
    pub monochrome: bool,
    /// subsampling_x: chroma has half the width.
    pub subsampling_x: bool,
    /// subsampling_y: chroma has half the height.
    pub subsampling_y: bool,
    /// chroma_sample_position: 0 is unknown.
    pub chroma_position: u8,
    /// Code points; 2 is "unspecified".
    pub colour: Colour,
    /// By timing_info, when pictures come at equal intervals.
    pub frame_rate: Option<FrameRate>,
}

/// Why a sequence header was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SequenceError {
    /// It ends too early, or holds a number of more than 32 bits.
    #[error("sequence header: {0}")]
    Bits(#[from] OutOfBits),
    /// A reserved profile.
    #[error("sequence header: profile {found}, at most 2 is known")]
    Profile {
        /// seq_profile found.
        found: u8,
    },
    /// A side has too many pixels.
    #[error("sequence header: {width}x{height}, a side has at most {PICTURE_SIDE_PIXELS_MAX}")]
    Size {
        /// Width found.
        width: u32,
        /// Height found.
        height: u32,
    },
}

impl SequenceHeader {
    /// Parses the payload of an OBU.
    ///
    /// # Errors
    /// [`SequenceError`] when it ends too early or has a field out of range.
    pub fn parse(payload: &[u8]) -> Result<Self, SequenceError> {
        let bits = &mut BitReader::new(payload);
        let profile = bits.small(3)?;
        if profile > 2 {
            return Err(SequenceError::Profile { found: profile });
        }
        bits.skip(1)?; // still_picture
        let still = bits.flag()?;
        let (level, high_tier, frame_rate) =
            if still { (bits.small(5)?, false, None) } else { read_operating_points(bits)? };
        let (width_bits, height_bits) = (u32::from(bits.small(4)?) + 1, u32::from(bits.small(4)?) + 1);
        let (width, height) = (bits.bits(width_bits)? + 1, bits.bits(height_bits)? + 1);
        if width.max(height) > PICTURE_SIDE_PIXELS_MAX {
            return Err(SequenceError::Size { width, height });
        }
        if !still && bits.flag()? {
            bits.skip(4 + 3)?; // delta_frame_id_length_minus_2, additional_frame_id_length_minus_1
        }
        bits.skip(3)?; // use_128x128_superblock, enable_filter_intra, enable_intra_edge_filter
        if !still {
            skip_tools(bits)?;
        }
        bits.skip(3)?; // enable_superres, enable_cdef, enable_restoration
        let mut header = Self {
            profile,
            level,
            high_tier,
            still,
            width,
            height,
            bit_depth: 8,
            monochrome: false,
            subsampling_x: true,
            subsampling_y: true,
            chroma_position: 0,
            colour: Colour { primaries: 2, transfer: 2, matrix: 2, full_range: false },
            frame_rate,
        };
        header.read_colour(bits)?;
        Ok(header)
    }

    /// color_config (section 5.5.2).
    fn read_colour(&mut self, bits: &mut BitReader<'_>) -> Result<(), OutOfBits> {
        let high = bits.flag()?;
        let twelve = self.profile == 2 && high && bits.flag()?;
        self.bit_depth = match (high, twelve) {
            (false, _) => 8,
            (true, false) => 10,
            (true, true) => 12,
        };
        self.monochrome = self.profile != 1 && bits.flag()?;
        if bits.flag()? {
            self.colour.primaries = bits.small(8)?;
            self.colour.transfer = bits.small(8)?;
            self.colour.matrix = bits.small(8)?;
        }
        let srgb = (self.colour.primaries, self.colour.transfer, self.colour.matrix) == (1, 13, 0);
        if !self.monochrome && srgb {
            self.colour.full_range = true;
            (self.subsampling_x, self.subsampling_y) = (false, false);
            return Ok(());
        }
        self.colour.full_range = bits.flag()?;
        if self.monochrome {
            return Ok(());
        }
        (self.subsampling_x, self.subsampling_y) = match self.profile {
            0 => (true, true),
            1 => (false, false),
            _ if self.bit_depth == 12 => {
                let x = bits.flag()?;
                (x, x && bits.flag()?)
            }
            _ => (true, false),
        };
        if self.subsampling_x && self.subsampling_y {
            self.chroma_position = bits.small(2)?;
        }
        Ok(())
    }
}

/// From timing_info_present_flag to the last operating point; returns level and tier of the first one.
fn read_operating_points(bits: &mut BitReader<'_>) -> Result<(u8, bool, Option<FrameRate>), OutOfBits> {
    let mut frame_rate = None;
    let mut delay_bits = None;
    if bits.flag()? {
        frame_rate = read_timing(bits)?;
        // decoder_model_info_present_flag
        if bits.flag()? {
            delay_bits = Some(u32::from(bits.small(5)?) + 1);
            bits.skip(32 + 5 + 5)?;
        }
    }
    let display_delay = bits.flag()?;
    let mut first = None;
    for _ in 0..=bits.small(5)? {
        bits.skip(12)?; // operating_point_idc
        let level = bits.small(5)?;
        // 5.5.1: levels up to 7 have the main tier only.
        let high_tier = level > 7 && bits.flag()?;
        first.get_or_insert((level, high_tier));
        if let Some(delay_bits) = delay_bits
            && bits.flag()?
        {
            bits.skip(2 * delay_bits + 1)?; // decoder_buffer_delay, encoder_buffer_delay, low_delay_mode_flag
        }
        if display_delay && bits.flag()? {
            bits.skip(4)?; // initial_display_delay_minus_1
        }
    }
    let (level, high_tier) = first.unwrap_or_default();
    Ok((level, high_tier, frame_rate))
}

/// timing_info (section 5.5.3).
fn read_timing(bits: &mut BitReader<'_>) -> Result<Option<FrameRate>, OutOfBits> {
    let (num_units_in_tick, time_scale) = (bits.bits(32)?, bits.bits(32)?);
    // equal_picture_interval
    if !bits.flag()? {
        return Ok(None);
    }
    let ticks = u64::from(bits.ue()?) + 1; // num_ticks_per_picture_minus_1
    // Factors of 32 and 33 bits: one that overflows is no frame rate.
    Ok(u64::from(num_units_in_tick)
        .checked_mul(ticks)
        .and_then(|units| FrameRate::reduced(time_scale.into(), units)))
}

/// From enable_interintra_compound to order_hint_bits_minus_1.
fn skip_tools(bits: &mut BitReader<'_>) -> Result<(), OutOfBits> {
    bits.skip(4)?;
    let order_hint = bits.flag()?;
    if order_hint {
        bits.skip(2)?; // enable_jnt_comp, enable_ref_frame_mvs
    }
    // 5.5.1: seq_choose_screen_content_tools means SELECT_SCREEN_CONTENT_TOOLS, which is more than 0.
    let screen_content = bits.flag()? || bits.flag()?;
    // seq_choose_integer_mv, else seq_force_integer_mv
    if screen_content && !bits.flag()? {
        bits.skip(1)?;
    }
    if order_hint {
        bits.skip(3)?;
    }
    Ok(())
}
