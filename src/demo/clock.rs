//! The machine-readable clock of the demo picture: Unix milliseconds as a row of black and white cells.
//!
//! The row is the band of the topmost 1/15 of the picture, over its whole width, in 64 cells of equal
//! width; a white cell is a 1. From the left:
//!
//! | cells | what they hold |
//! |---|---|
//! | 4 | guard: white, black, white, black |
//! | 48 | Unix time in milliseconds, most significant bit first |
//! | 8 | CRC-8 of those six bytes: polynomial 0x07, initial value 0xff, most significant bit first |
//! | 4 | guard: black, white, black, white |
//!
//! A reader takes the mean of the middle of each cell, calls the guards' white and black its levels, and
//! decides halfway between: so neither scaling, nor colour range, nor compression needs to be known.
//! `tests/players/clock.mjs` reads it in a browser.

/// Cells of the row.
pub const CELLS_COUNT: u32 = u64::BITS;
/// The row is 1/15 of the picture high: 24 lines of 360, 48 of 720, 72 of 1080.
pub const ROW_HEIGHT_DIVISOR: usize = 15;

const GUARD_LEFT: u64 = 0b1010;
const GUARD_RIGHT: u64 = 0b0101;
const TIME_MASK: u64 = (1 << 48) - 1;

/// The row that says `unix_ms`: its leftmost cell is the most significant bit, 1 is white.
/// Only the low 48 bits of the time are shown (enough until the year 10,889).
pub fn cells(unix_ms: u64) -> u64 {
    let time = unix_ms & TIME_MASK;
    GUARD_LEFT << 60 | time << 12 | u64::from(crc8(time)) << 4 | GUARD_RIGHT
}

fn crc8(time: u64) -> u8 {
    time.to_be_bytes()[2..].iter().fold(0xff, |crc, byte| {
        (0..8).fold(crc ^ byte, |crc, _| if crc & 0x80 == 0 { crc << 1 } else { crc << 1 ^ 0x07 })
    })
}

/// Reads the row back from a picture's luma, as `tests/players/clock.mjs` does from its pixels.
#[cfg(test)]
pub fn read(luma: &[u8], stride: usize, width: usize, height: usize) -> Option<u64> {
    let row_height = height / ROW_HEIGHT_DIVISOR;
    let level = |cell: usize| {
        let (left, right) = (cell * width / 64, (cell + 1) * width / 64);
        let quarter = (right - left) / 4;
        let (top, bottom) = (row_height / 4, row_height - row_height / 4);
        let pixels =
            (top..bottom).flat_map(|y| &luma[y * stride + left + quarter..y * stride + right - quarter]);
        let (sum, count) =
            pixels.fold((0u32, 0u32), |(sum, count), &pixel| (sum + u32::from(pixel), count + 1));
        sum / count
    };
    let threshold = (level(0) + level(1) + level(62) + level(63)) / 4;
    let row = (0..64).fold(0u64, |row, cell| row << 1 | u64::from(level(cell) > threshold));
    let unix_ms = row >> 12 & TIME_MASK;
    (row == cells(unix_ms)).then_some(unix_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_row_is_guards_time_and_checksum() {
        let unix_ms = 0x01a1_ee56_917b;
        let row = cells(unix_ms);
        assert_eq!(row >> 60, 0b1010);
        assert_eq!(row >> 12 & TIME_MASK, unix_ms);
        assert_eq!(row & 0xf, 0b0101);
        assert_eq!(row >> 4 & 0xff, 0x7c, "computed apart from this code");
        assert_ne!(crc8(0), 0, "an all-black row is not a valid time");
    }

    /// The row of a decoded frame, 640x24, that `tests/players/clock.test.mjs` reads too.
    #[test]
    fn this_reader_and_the_browsers_agree() {
        let mut luma = include_bytes!("../../tests/data/clock-640x24.luma").to_vec();
        luma.resize(640 * 360, 0);
        assert_eq!(read(&luma, 640, 640, 360), Some(1_795_000_013_979));
    }

    #[test]
    fn any_one_wrong_cell_is_noticed() {
        let unix_ms = 1_795_000_013_179;
        for cell in 0..64 {
            let wrong = cells(unix_ms) ^ 1 << cell;
            assert_ne!(wrong, cells(wrong >> 12 & TIME_MASK), "cell {cell}");
        }
    }
}
