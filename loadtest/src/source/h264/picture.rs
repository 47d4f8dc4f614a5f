//! Pictures of colour bars over a strip in which a white square wanders (ITU-T H.264, 7.3.3 to 7.3.5).
//!
//! An IDR picture holds raw samples (I_PCM) only where a colour begins: at each bar's first macroblock in
//! the top row, at the strip's first, at the square and behind it. All else is Intra_16x16 without
//! residual, one byte a macroblock: predicted from the left along the top row and the strip, from above
//! below the top row.
//!
//! A P picture skips all macroblocks but two: the square is copied from where it was, one macroblock to the
//! left, by a motion vector, and its old place is predicted from the black to the left of it. From the
//! strip's end the square goes back to the start as raw samples. A B picture skips all: it is the mean of
//! its two neighbours.
//!
//! Nothing has a residual, so what is decoded is exact at any size, and an error, once in, stays to be seen.

use super::{FRAME_NUM_BITS, ORDER_BITS, nal_unit, with_length};
use crate::source::bits::BitWriter;

/// How a picture is coded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::source) enum PictureKind {
    /// Instantaneous decoding refresh: stands alone.
    Idr,
    /// Predicted from the reference picture before it in decode order.
    P,
    /// Predicted from the reference pictures before and after it; no picture refers to it.
    B,
}

/// One picture of a stream.
#[derive(Debug, Clone, Copy)]
pub(in crate::source) struct Picture {
    pub(in crate::source) kind: PictureKind,
    /// Pixels of the whole picture.
    pub(in crate::source) width: u32,
    pub(in crate::source) height: u32,
    /// Reference pictures since the IDR picture: what frame_num counts.
    pub(in crate::source) references_count: u32,
    /// Place in presentation order behind the IDR picture.
    pub(in crate::source) display_index: u32,
    /// Differs between an IDR picture and the next.
    pub(in crate::source) idr_pic_id: u32,
    /// How far the square has wandered: reference pictures before this one since the stream began.
    pub(in crate::source) steps_count: u32,
}

/// Macroblocks that so many pixels need.
pub(in crate::source) fn macroblocks_across(pixels: u32) -> u32 {
    pixels.div_ceil(16)
}

/// Y, Cb, Cr.
type Colour = [u8; 3];

/// Bars of 75% in BT.709, limited range: white, yellow, cyan, green, magenta, red, blue, black.
const BARS: [Colour; 8] = [
    [180, 128, 128],
    [168, 44, 136],
    [145, 147, 44],
    [134, 63, 52],
    [63, 193, 204],
    [51, 109, 212],
    [28, 212, 120],
    [16, 128, 128],
];
const WHITE: Colour = [235, 128, 128];
const BLACK: Colour = [16, 128, 128];

const HEADER_IDR: u8 = 0x65;
const HEADER_P: u8 = 0x41;
const HEADER_B: u8 = 0x01;
/// slice_type of a picture whose slices are all alike (table 7-6).
const SLICE_P: u32 = 5;
const SLICE_B: u32 = 6;
const SLICE_I: u32 = 7;

/// mb_type in an I slice (table 7-11); in a P slice they come after the five of their own.
const MB_I_16X16_VERTICAL: u32 = 1;
const MB_I_16X16_HORIZONTAL: u32 = 2;
const MB_I_PCM: u32 = 25;
const MB_P_L0_16X16: u32 = 0;
const MB_P_COUNT: u32 = 5;
/// intra_chroma_pred_mode (table 7-16).
const CHROMA_HORIZONTAL: u32 = 1;
const CHROMA_VERTICAL: u32 = 2;

/// How one macroblock is coded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Macroblock {
    /// Raw samples of one colour.
    Raw(Colour),
    /// As the macroblock to the left ends.
    FromLeft,
    /// As the macroblock above ends.
    FromAbove,
    /// As the macroblock to the left was in the reference picture.
    Moved,
}

impl Picture {
    /// Its slice as a NAL unit behind a 4-byte length.
    pub(in crate::source) fn slice(&self) -> Vec<u8> {
        let mut bits = BitWriter::new();
        self.write_header(&mut bits);
        match self.kind {
            PictureKind::Idr => self.write_bars(&mut bits),
            PictureKind::P => self.write_step(&mut bits),
            PictureKind::B => bits.ue(self.width_macroblocks() * self.height_macroblocks()), // mb_skip_run
        }
        let header = match self.kind {
            PictureKind::Idr => HEADER_IDR,
            PictureKind::P => HEADER_P,
            PictureKind::B => HEADER_B,
        };
        with_length(&nal_unit(header, &bits.into_rbsp()))
    }

    /// slice_header (7.3.3).
    fn write_header(&self, bits: &mut BitWriter) {
        bits.ue(0); // first_mb_in_slice
        bits.ue(match self.kind {
            PictureKind::Idr => SLICE_I,
            PictureKind::P => SLICE_P,
            PictureKind::B => SLICE_B,
        });
        bits.ue(0); // pic_parameter_set_id
        bits.bits(self.references_count % (1 << FRAME_NUM_BITS), FRAME_NUM_BITS);
        if self.kind == PictureKind::Idr {
            bits.ue(self.idr_pic_id);
        }
        // 8.2.1: two a frame, one for each of its fields.
        bits.bits(self.display_index * 2 % (1 << ORDER_BITS), ORDER_BITS);
        match self.kind {
            PictureKind::Idr => {
                bits.flag(false); // no_output_of_prior_pics_flag
                bits.flag(false); // long_term_reference_flag
            }
            PictureKind::P => {
                bits.flag(false); // num_ref_idx_active_override_flag
                bits.flag(false); // ref_pic_list_modification_flag_l0
                bits.flag(false); // adaptive_ref_pic_marking_mode_flag: the oldest goes
            }
            PictureKind::B => {
                bits.flag(true); // direct_spatial_mv_pred_flag
                bits.flag(false); // num_ref_idx_active_override_flag
                bits.flag(false); // ref_pic_list_modification_flag_l0
                bits.flag(false); // ref_pic_list_modification_flag_l1
            }
        }
        bits.se(0); // slice_qp_delta
        bits.ue(1); // disable_deblocking_filter_idc: the bars stay crisp
    }

    fn write_bars(&self, bits: &mut BitWriter) {
        for row in 0..self.height_macroblocks() {
            for column in 0..self.width_macroblocks() {
                let raw = |row, column| matches!(self.bars_macroblock(row, column), Macroblock::Raw(_));
                let beside_raw = column > 0 && raw(row, column - 1) || row > 0 && raw(row - 1, column);
                write_macroblock(bits, self.bars_macroblock(row, column), 0, beside_raw);
            }
        }
    }

    fn bars_macroblock(&self, row: u32, column: u32) -> Macroblock {
        let width = self.width_macroblocks();
        let bar = |column: u32| (column * BARS.len() as u32 / width) as usize;
        let square = self.square_column(self.steps_count);
        if row == self.strip_row() {
            return match column {
                0 => Macroblock::Raw(BLACK),
                _ if column == square => Macroblock::Raw(WHITE),
                _ if column == square + 1 => Macroblock::Raw(BLACK),
                _ => Macroblock::FromLeft,
            };
        }
        // Below the strip there is what cropping leaves of a last row: black like the strip's start.
        if row > self.strip_row() {
            return if column == 0 { Macroblock::FromAbove } else { Macroblock::FromLeft };
        }
        if row > 0 {
            return Macroblock::FromAbove;
        }
        if column == 0 || bar(column) != bar(column - 1) {
            return Macroblock::Raw(BARS[bar(column)]);
        }
        Macroblock::FromLeft
    }

    fn write_step(&self, bits: &mut BitWriter) {
        debug_assert!(self.steps_count > 0);
        let strip = self.strip_row() * self.width_macroblocks();
        let old = self.square_column(self.steps_count.saturating_sub(1));
        let new = self.square_column(self.steps_count);
        // In the order of their addresses. Left of the old place it is black, for the square is never at 0,
        // and the end of the least width is two macroblocks away from the start.
        let coded = if new > old {
            [(old, Macroblock::FromLeft), (new, Macroblock::Moved)]
        } else {
            [(new, Macroblock::Raw(WHITE)), (old, Macroblock::FromLeft)]
        };
        let mut next = 0;
        for (column, macroblock) in coded {
            bits.ue(strip + column - next); // mb_skip_run
            write_macroblock(bits, macroblock, MB_P_COUNT, false);
            next = strip + column + 1;
        }
        let left = self.width_macroblocks() * self.height_macroblocks() - next;
        if left > 0 {
            bits.ue(left);
        }
    }

    /// Where the square is after so many steps: 1 to the last column, then back to 1.
    fn square_column(&self, steps_count: u32) -> u32 {
        1 + steps_count % (self.width_macroblocks() - 1)
    }

    /// The last row that cropping leaves whole.
    fn strip_row(&self) -> u32 {
        self.height / 16 - 1
    }

    fn width_macroblocks(&self) -> u32 {
        macroblocks_across(self.width)
    }

    fn height_macroblocks(&self) -> u32 {
        macroblocks_across(self.height)
    }
}

/// macroblock_layer (7.3.5). `mb_type_offset` is that of intra types in the slice; `beside_raw` says
/// whether the macroblock to the left or the one above is raw.
fn write_macroblock(bits: &mut BitWriter, macroblock: Macroblock, mb_type_offset: u32, beside_raw: bool) {
    let (mb_type, chroma_mode) = match macroblock {
        Macroblock::Raw(colour) => {
            bits.ue(mb_type_offset + MB_I_PCM);
            bits.align();
            for (samples, component) in [256, 64, 64].into_iter().zip(colour) {
                bits.aligned_bytes(samples, component);
            }
            return;
        }
        Macroblock::Moved => {
            bits.ue(MB_P_L0_16X16);
            // mvd_l0: the prediction is 0, all macroblocks around are skipped or intra. Quarter samples.
            bits.se(-16 * 4);
            bits.se(0);
            bits.ue(0); // coded_block_pattern 0
            return;
        }
        Macroblock::FromLeft => (MB_I_16X16_HORIZONTAL, CHROMA_HORIZONTAL),
        Macroblock::FromAbove => (MB_I_16X16_VERTICAL, CHROMA_VERTICAL),
    };
    bits.ue(mb_type_offset + mb_type);
    bits.ue(chroma_mode);
    bits.se(0); // mb_qp_delta
    // 9.2.1: coeff_token of no coefficient in Intra16x16DCLevel. A raw neighbour counts as 16 coefficients,
    // so that nC is at least 8; all others have none.
    if beside_raw {
        bits.bits(0b00_0011, 6);
    } else {
        bits.bits(1, 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(kind: PictureKind, width: u32, height: u32, steps_count: u32) -> Picture {
        Picture { kind, width, height, references_count: 1, display_index: 1, idr_pic_id: 0, steps_count }
    }

    #[test]
    fn golden_b_and_p_slices() {
        // 1 | 00111 | 1 | 00000001 | 00000010 | 1 0 0 0 | 1 | 010 | mb_skip_run 80 | stop
        let b = picture(PictureKind::B, 160, 128, 0).slice();
        assert_eq!(b[..4], [0, 0, 0, 7]);
        assert_eq!(
            b[4..],
            [0x01, 0b1001_1110, 0b0000_0010, 0b0000_0101, 0b0001_0100, 0b0000_0101, 0b0001_1000][..]
        );
    }

    #[test]
    fn a_p_picture_takes_a_few_bytes_but_where_the_square_goes_back() {
        for (width, height) in [(64, 32), (1920, 1080), (3840, 2160)] {
            let last = macroblocks_across(width) - 1;
            assert!(picture(PictureKind::P, width, height, 1).slice().len() < 24);
            assert!(picture(PictureKind::P, width, height, last - 1).slice().len() < 24);
            assert!((390..420).contains(&picture(PictureKind::P, width, height, last).slice().len()));
        }
    }

    #[test]
    fn an_idr_picture_takes_a_byte_a_macroblock_and_a_few_raw_ones() {
        for (width, height, raw_count) in [(64, 32, 7), (640, 360, 11), (1920, 1080, 11), (3840, 2160, 11)] {
            let macroblocks = (macroblocks_across(width) * macroblocks_across(height)) as usize;
            let bytes = picture(PictureKind::Idr, width, height, 0).slice().len();
            // A raw one: mb_type and alignment in 2 bytes, 384 samples.
            let least = raw_count * 386 + macroblocks - raw_count;
            assert!((least..least + 64).contains(&bytes), "{width}x{height}: {bytes} bytes, least {least}");
        }
    }

    #[test]
    fn the_square_never_stands_where_the_strip_begins() {
        let four_wide = picture(PictureKind::P, 64, 32, 0);
        assert_eq!(
            (0..7).map(|steps| four_wide.square_column(steps)).collect::<Vec<_>>(),
            [1, 2, 3, 1, 2, 3, 1]
        );
    }
}
