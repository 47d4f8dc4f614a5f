//! The least level a stream fits (ITU-T H.264, section A.3.1 and table A-1).

/// One line of table A-1.
struct Level {
    level_idc: u8,
    macroblocks_per_s_max: u64,
    frame_macroblocks_max: u32,
    decoded_macroblocks_max: u32,
    /// MaxBR of a video coding layer, in units of 1000 bit/s for the Baseline and Main profiles.
    kilobits_per_s_max: u64,
}

const fn level(
    level_idc: u8,
    macroblocks_per_s_max: u64,
    frame_macroblocks_max: u32,
    decoded_macroblocks_max: u32,
    kilobits_per_s_max: u64,
) -> Level {
    Level {
        level_idc,
        macroblocks_per_s_max,
        frame_macroblocks_max,
        decoded_macroblocks_max,
        kilobits_per_s_max,
    }
}

/// Table A-1 without level 1b.
const LEVELS: [Level; 19] = [
    level(10, 1_485, 99, 396, 64),
    level(11, 3_000, 396, 900, 192),
    level(12, 6_000, 396, 2_376, 384),
    level(13, 11_880, 396, 2_376, 768),
    level(20, 11_880, 396, 2_376, 2_000),
    level(21, 19_800, 792, 4_752, 4_000),
    level(22, 20_250, 1_620, 8_100, 4_000),
    level(30, 40_500, 1_620, 8_100, 10_000),
    level(31, 108_000, 3_600, 18_000, 14_000),
    level(32, 216_000, 5_120, 20_480, 20_000),
    level(40, 245_760, 8_192, 32_768, 20_000),
    level(41, 245_760, 8_192, 32_768, 50_000),
    level(42, 522_240, 8_704, 34_816, 50_000),
    level(50, 589_824, 22_080, 110_400, 135_000),
    level(51, 983_040, 36_864, 184_320, 240_000),
    level(52, 2_073_600, 36_864, 184_320, 240_000),
    level(60, 4_177_920, 139_264, 696_320, 240_000),
    level(61, 8_355_840, 139_264, 696_320, 480_000),
    level(62, 16_711_680, 139_264, 696_320, 800_000),
];

/// What a stream asks of a decoder.
#[derive(Debug, Clone, Copy)]
pub(super) struct Demand {
    pub(super) width_macroblocks: u32,
    pub(super) height_macroblocks: u32,
    /// Frames a second, as a fraction.
    pub(super) frame_rate: (u32, u32),
    /// Of everything in the access units: more than the coding layer that MaxBR is about.
    pub(super) bits_per_s: u64,
    /// Frames in the decoded picture buffer.
    pub(super) decoded_frames: u32,
}

/// level_idc of the least level that allows all of it; `None` beyond level 6.2.
pub(super) fn least_level_idc(demand: Demand) -> Option<u8> {
    let Demand { width_macroblocks, height_macroblocks, frame_rate: (frames, seconds), .. } = demand;
    let frame_macroblocks = width_macroblocks.checked_mul(height_macroblocks)?;
    LEVELS
        .iter()
        .find(|level| {
            let side_squared_max = u64::from(level.frame_macroblocks_max) * 8;
            let side = u64::from(width_macroblocks.max(height_macroblocks));
            u64::from(frame_macroblocks) * u64::from(frames)
                <= level.macroblocks_per_s_max * u64::from(seconds)
                && frame_macroblocks <= level.frame_macroblocks_max
                && side * side <= side_squared_max
                && frame_macroblocks * demand.decoded_frames <= level.decoded_macroblocks_max
                && demand.bits_per_s <= level.kilobits_per_s_max * 1000
        })
        .map(|level| level.level_idc)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_formats_get_their_known_levels() {
        for (width, height, frame_rate, bits_per_s, decoded_frames, level_idc) in [
            (176, 144, (15, 1), 64_000, 1, Some(10)),
            (352, 288, (30, 1), 768_000, 2, Some(13)),
            (640, 360, (30, 1), 800_000, 1, Some(30)),
            (1280, 720, (30, 1), 3_000_000, 2, Some(31)),
            (1280, 720, (60, 1), 3_000_000, 2, Some(32)),
            (1920, 1080, (30_000, 1001), 6_000_000, 2, Some(40)),
            (1920, 1080, (30, 1), 20_000_001, 2, Some(41)),
            (1920, 1080, (60, 1), 6_000_000, 2, Some(42)),
            (3840, 2160, (30, 1), 15_000_000, 2, Some(51)),
            (3840, 2160, (60, 1), 15_000_000, 2, Some(52)),
            // A side of table A-1's limit: 8192 pixels are 512 macroblocks, 512² > 8 · 22,080.
            (8192, 32, (30, 1), 1_000_000, 1, Some(51)),
            (1280, 720, (30, 1), 900_000_000, 1, None),
        ] {
            let demand = Demand {
                width_macroblocks: u32::div_ceil(width, 16),
                height_macroblocks: u32::div_ceil(height, 16),
                frame_rate,
                bits_per_s,
                decoded_frames,
            };
            assert_eq!(least_level_idc(demand), level_idc, "{demand:?}");
        }
    }
}
