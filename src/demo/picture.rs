//! The demo picture in planar 4:2:0, BT.709, limited range: the row of clock cells, the wall clock to be
//! read by people, a bouncing ball that shows stutter, and colour bars.

use openh264::formats::YUVSlices;

use super::clock::{self, CELLS_COUNT, ROW_HEIGHT_DIVISOR};
use super::font::{GLYPH_ADVANCE, GLYPH_HEIGHT, GLYPH_WIDTH, glyph};

const BLACK: u8 = 16;
const WHITE: u8 = 235;
const GREY: u8 = 128;
const NO_COLOUR: u8 = 128;
const BACKGROUND: u8 = 32;

/// 75% bars as (luma, blue difference, red difference) of ITU-R BT.709: white, yellow, cyan, green,
/// magenta, red, blue.
const BARS: [(u8, u8, u8); 7] = [
    (180, 128, 128),
    (168, 44, 136),
    (145, 147, 44),
    (133, 63, 52),
    (63, 193, 204),
    (51, 109, 212),
    (28, 212, 120),
];

/// One frame's pixels, painted anew for each frame.
pub struct Picture {
    width: usize,
    height: usize,
    /// What does not move.
    background: Vec<u8>,
    luma: Vec<u8>,
    blue: Vec<u8>,
    red: Vec<u8>,
}

impl Picture {
    /// A picture of this size in pixels; both even, and at least 64 wide, one for each clock cell.
    pub fn new(width: u16, height: u16) -> Self {
        let (width, height) = (usize::from(width), usize::from(height));
        debug_assert!(width % 2 == 0 && height % 2 == 0 && width >= CELLS_COUNT as usize);
        let mut background = vec![BACKGROUND; width * height];
        let mut blue = vec![NO_COLOUR; width * height / 4];
        let mut red = blue.clone();
        for y in height * 5 / 6..height {
            for x in 0..width {
                let (luma, b, r) = BARS[x * BARS.len() / width];
                background[y * width + x] = luma;
                blue[y / 2 * (width / 2) + x / 2] = b;
                red[y / 2 * (width / 2) + x / 2] = r;
            }
        }
        Self { width, height, luma: background.clone(), background, blue, red }
    }

    /// Paints the frame that was captured at `unix_ms`.
    pub fn paint(&mut self, unix_ms: u64, frame: u64) {
        self.luma.copy_from_slice(&self.background);
        self.paint_cells(clock::cells(unix_ms));
        // 12 characters of 6 dots, and a margin of as much as one of them on either side.
        let dot = (self.width / (14 * GLYPH_ADVANCE)).max(1);
        let small = (dot / 3).max(1);
        self.paint_text(&clock_text(unix_ms), self.height * 5 / 24, dot, WHITE);
        self.paint_text(&format!("UTC  FRAME {frame:07}"), self.height * 11 / 24, small, GREY);
        self.paint_text("RAPIDRTMP", self.height / 8, small, GREY);
        self.paint_ball(unix_ms);
    }

    /// The pixels, as the encoder takes them.
    pub fn planes(&self) -> YUVSlices<'_> {
        let planes = (self.luma.as_slice(), self.blue.as_slice(), self.red.as_slice());
        YUVSlices::new(planes, (self.width, self.height), (self.width, self.width / 2, self.width / 2))
    }

    fn paint_cells(&mut self, row: u64) {
        for cell in 0..CELLS_COUNT {
            let white = row >> (CELLS_COUNT - 1 - cell) & 1 == 1;
            let (left, right) = (self.cell_edge(cell), self.cell_edge(cell + 1));
            self.fill(left, right, 0, self.height / ROW_HEIGHT_DIVISOR, if white { WHITE } else { BLACK });
        }
    }

    fn cell_edge(&self, cell: u32) -> usize {
        cell as usize * self.width / CELLS_COUNT as usize
    }

    /// Centred across; `dot` pixels a side.
    fn paint_text(&mut self, text: &str, top: usize, dot: usize, level: u8) {
        let text_width = text.len() * GLYPH_ADVANCE * dot;
        let start = self.width.saturating_sub(text_width) / 2;
        for (place, character) in text.chars().enumerate() {
            let left = start + place * GLYPH_ADVANCE * dot;
            for (row, dots) in glyph(character).into_iter().enumerate() {
                for column in (0..GLYPH_WIDTH).filter(|column| dots >> (GLYPH_WIDTH - 1 - column) & 1 == 1) {
                    let (x, y) = (left + column * dot, top + row * dot);
                    self.fill(x, x + dot, y, y + dot, level);
                }
            }
        }
    }

    /// Across and back in four seconds, one bounce a second; it lies on the ground as the second begins.
    fn paint_ball(&mut self, unix_ms: u64) {
        let radius = self.height / 30;
        let across = unix_ms % 4000;
        let across = if across < 2000 { across } else { 4000 - across } as usize;
        let second = (unix_ms % 1000) as usize;
        let x = radius + across * (self.width - 2 * radius) / 2000;
        let jump = self.height / 5 * 4 * second * (1000 - second) / 1_000_000;
        let y = self.height * 5 / 6 - radius - jump;
        for dy in 0..2 * radius {
            let off = dy.abs_diff(radius);
            let half = (radius * radius - off * off).isqrt();
            self.fill(x - half, x + half, y + dy - radius, y + dy - radius + 1, WHITE);
        }
    }

    /// Fills what of the rectangle lies in the picture.
    fn fill(&mut self, left: usize, right: usize, top: usize, bottom: usize, level: u8) {
        let (left, right) = (left.min(self.width), right.min(self.width));
        for y in top..bottom.min(self.height) {
            self.luma[y * self.width + left..y * self.width + right].fill(level);
        }
    }
}

/// HH:MM:SS.mmm of the day in UTC.
fn clock_text(unix_ms: u64) -> String {
    let (seconds, ms) = (unix_ms / 1000, unix_ms % 1000);
    format!("{:02}:{:02}:{:02}.{ms:03}", seconds / 3600 % 24, seconds / 60 % 60, seconds % 60)
}

// The lettering stands above the ball's strip, whatever the size.
const _: () = assert!(GLYPH_HEIGHT * 640 / (14 * GLYPH_ADVANCE) < 360 / 4);

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(picture: &Picture, from: usize, to: usize) -> &[u8] {
        &picture.luma[from * picture.width..to * picture.width]
    }

    #[test]
    fn the_cells_say_the_time_at_every_size() {
        for (width, height) in [(320, 180), (640, 360), (642, 362), (1280, 720), (1920, 1080)] {
            let mut picture = Picture::new(width, height);
            for unix_ms in [0, 999, 1_795_000_013_179, (1 << 48) - 1] {
                picture.paint(unix_ms, 0);
                let (width, height) = (picture.width, picture.height);
                assert_eq!(
                    clock::read(&picture.luma, width, width, height),
                    Some(unix_ms),
                    "{width}x{height}"
                );
            }
        }
    }

    #[test]
    fn the_digits_change_with_the_time_and_nothing_else_moves_them() {
        let mut picture = Picture::new(640, 360);
        let digits = |picture: &mut Picture, unix_ms, frame| {
            picture.paint(unix_ms, frame);
            lines(picture, 75, 75 + 7 * 7).to_vec()
        };
        let at_noon = digits(&mut picture, 43_200_000, 0);
        assert_ne!(at_noon, digits(&mut picture, 43_200_001, 0), "one millisecond later");
        assert_ne!(at_noon, digits(&mut picture, 43_260_000, 0), "one minute later");
        assert_eq!(at_noon, digits(&mut picture, 43_200_000 + 86_400_000, 9), "next day, same time");
        assert_eq!(clock_text(1_795_000_013_179), "11:06:53.179");
    }

    #[test]
    fn the_ball_moves_from_frame_to_frame() {
        let mut picture = Picture::new(640, 360);
        let strip = |picture: &mut Picture, unix_ms| {
            picture.paint(unix_ms, 0);
            lines(picture, 200, 300).to_vec()
        };
        assert_ne!(strip(&mut picture, 1000), strip(&mut picture, 1033));
    }
}
