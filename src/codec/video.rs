//! What every video codec says about its pictures: size, frame rate, colour and dynamic range (code points of
//! ITU-T H.273, mastering metadata of SMPTE ST 2086 and CTA-861.3).

/// transfer_characteristics of SMPTE ST 2084 and of ARIB STD-B67.
const TRANSFER_PQ: u8 = 16;
const TRANSFER_HLG: u8 = 18;
/// The code point that says nothing.
const UNSPECIFIED: u8 = 2;

/// A picture as a configuration describes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Picture {
    /// Pixels after cropping.
    pub width: u32,
    /// Pixels after cropping.
    pub height: u32,
    /// Width and height of a sample, when it is specified.
    pub sample_aspect: Option<(u16, u16)>,
    /// As the bitstream claims it.
    pub frame_rate: Option<FrameRate>,
    /// Bits of a luma sample.
    pub bit_depth: u8,
}

/// Code points of ITU-T H.273; 2 is "unspecified".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Colour {
    /// colour_primaries.
    pub primaries: u8,
    /// transfer_characteristics: 16 is PQ, 18 HLG.
    pub transfer: u8,
    /// matrix_coefficients.
    pub matrix: u8,
    /// video_full_range_flag.
    pub full_range: bool,
}

impl Colour {
    /// VIDEO-RANGE of pictures with these code points.
    pub fn video_range(&self) -> VideoRange {
        match self.transfer {
            TRANSFER_PQ => VideoRange::Pq,
            TRANSFER_HLG => VideoRange::Hlg,
            _ => VideoRange::Sdr,
        }
    }

    /// These code points, and those of `other` where these are unspecified. The range stays.
    pub fn or(self, other: Self) -> Self {
        let either = |own: u8, other: u8| if own == UNSPECIFIED { other } else { own };
        Self {
            primaries: either(self.primaries, other.primaries),
            transfer: either(self.transfer, other.transfer),
            matrix: either(self.matrix, other.matrix),
            full_range: self.full_range,
        }
    }
}

/// VIDEO-RANGE (draft-pantos-hls-rfc8216bis, section 4.4.6.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VideoRange {
    /// Standard dynamic range.
    Sdr,
    /// Hybrid log-gamma, ITU-T H.273 transfer 18.
    Hlg,
    /// SMPTE ST 2084, transfer 16.
    Pq,
}

/// What a container says about colour besides the bitstream: colr, mdcv, clli.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Hdr {
    /// How samples become light.
    pub colour: Option<Colour>,
    /// The display on which it was graded.
    pub mastering: Option<MasteringDisplay>,
    /// How bright it gets.
    pub light: Option<ContentLight>,
}

impl Hdr {
    /// What this says, and `other` where this says nothing.
    pub fn or(self, other: Self) -> Self {
        let colour = match (self.colour, other.colour) {
            (Some(own), Some(other)) => Some(own.or(other)),
            (own, other) => own.or(other),
        };
        Self { colour, mastering: self.mastering.or(other.mastering), light: self.light.or(other.light) }
    }
}

/// Mastering display colour volume (SMPTE ST 2086), in the units of the mdcv box (ISO/IEC 14496-12,
/// section 12.1.5) and of HEVC's SEI.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MasteringDisplay {
    /// x and y of green, blue and red, in 0.00002.
    pub primaries: [(u16, u16); 3],
    /// x and y of the white point, in 0.00002.
    pub white_point: (u16, u16),
    /// 0.0001 candela per square metre.
    pub luminance_max: u32,
    /// 0.0001 candela per square metre.
    pub luminance_min: u32,
}

impl MasteringDisplay {
    /// From CIE 1931 coordinates, in the order red x, red y, green, blue, white point, and from
    /// candelas per square metre. `None` when a value is no coordinate or no luminance.
    pub fn from_cie(coordinates: [f64; 8], luminance_max: f64, luminance_min: f64) -> Option<Self> {
        // No coordinate exceeds 1, so that each fits 16 bits.
        let coordinate = |at: usize| scaled(coordinates[at], 50_000, 50_000).map(|value| value as u16);
        let point = |at: usize| Some((coordinate(at)?, coordinate(at + 1)?));
        Some(Self {
            primaries: [point(2)?, point(4)?, point(0)?],
            white_point: point(6)?,
            luminance_max: scaled(luminance_max, 10_000, u32::MAX)?,
            luminance_min: scaled(luminance_min, 10_000, u32::MAX)?,
        })
    }
}

/// Content light level (CTA-861.3), as in the clli box.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContentLight {
    /// MaxCLL, candelas per square metre.
    pub content_max: u16,
    /// MaxFALL, candelas per square metre.
    pub frame_average_max: u16,
}

impl ContentLight {
    /// From candelas per square metre; `None` when a value is none.
    pub fn from_nits(content_max: f64, frame_average_max: f64) -> Option<Self> {
        let nits = |value: f64| scaled(value, 1, u16::MAX.into()).map(|value| value as u16);
        Some(Self { content_max: nits(content_max)?, frame_average_max: nits(frame_average_max)? })
    }
}

/// `value * units`, rounded; `None` below 0, above `allowed` and for what is no number.
fn scaled(value: f64, units: u32, allowed: u32) -> Option<u32> {
    let scaled = (value * f64::from(units)).round();
    (0.0..=f64::from(allowed)).contains(&scaled).then_some(scaled as u32)
}

/// Frames per so many seconds, reduced: 30000 per 1001, 25 per 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameRate {
    /// Not 0.
    pub frames: u32,
    /// Not 0.
    pub seconds: u32,
}

impl FrameRate {
    /// So many frames in so many seconds, reduced; `None` when one of them is 0.
    pub fn new(frames: u32, seconds: u32) -> Option<Self> {
        Self::reduced(u64::from(frames), u64::from(seconds))
    }

    /// `None` when one is 0 or the reduced fraction needs more than 32 bits.
    pub(super) fn reduced(frames: u64, seconds: u64) -> Option<Self> {
        let (mut divisor, mut rest) = (frames, seconds);
        while rest != 0 {
            (divisor, rest) = (rest, divisor % rest);
        }
        if frames == 0 || seconds == 0 {
            return None;
        }
        Some(Self {
            frames: u32::try_from(frames / divisor).ok()?,
            seconds: u32::try_from(seconds / divisor).ok()?,
        })
    }
}

/// Table E-1 of H.264 and of HEVC: sample aspect ratios by aspect_ratio_idc from 1.
const SAMPLE_ASPECTS: [(u16, u16); 16] = [
    (1, 1),
    (12, 11),
    (10, 11),
    (16, 11),
    (40, 33),
    (24, 11),
    (20, 11),
    (32, 11),
    (80, 33),
    (18, 11),
    (15, 11),
    (64, 33),
    (160, 99),
    (4, 3),
    (3, 2),
    (2, 1),
];

/// aspect_ratio_idc that says: both sides follow in 16 bits each.
pub(super) const SAMPLE_ASPECT_EXTENDED: u8 = 255;

/// The sample aspect ratio of this aspect_ratio_idc, unless it is unspecified.
pub(super) fn sample_aspect(index: u8) -> Option<(u16, u16)> {
    SAMPLE_ASPECTS.get(usize::from(index).checked_sub(1)?).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn colour(primaries: u8, transfer: u8, matrix: u8) -> Colour {
        Colour { primaries, transfer, matrix, full_range: false }
    }

    #[test]
    fn the_transfer_alone_decides_the_range() {
        for (transfer, range) in
            [(1, VideoRange::Sdr), (2, VideoRange::Sdr), (16, VideoRange::Pq), (18, VideoRange::Hlg)]
        {
            assert_eq!(colour(9, transfer, 9).video_range(), range);
        }
    }

    #[test]
    fn what_one_leaves_open_the_other_says() {
        let light = ContentLight::from_nits(1000.0, 400.0);
        let bitstream = Hdr { colour: Some(colour(9, 2, 9)), mastering: None, light };
        let said =
            Hdr { colour: Some(colour(1, 16, 1)), mastering: None, light: ContentLight::from_nits(1.0, 1.0) };
        assert_eq!(bitstream.or(said), Hdr { colour: Some(colour(9, 16, 9)), mastering: None, light });
        assert_eq!(Hdr::default().or(said), said);
    }

    #[test]
    fn displays_and_light_are_scaled_and_nonsense_is_refused() {
        // DCI-P3 with D65, 1000 cd/m2, as in every example of ST 2086.
        let p3 = [0.68, 0.32, 0.265, 0.69, 0.15, 0.06, 0.3127, 0.329];
        let display = MasteringDisplay::from_cie(p3, 1000.0, 0.0001).unwrap();
        assert_eq!(display.primaries, [(13_250, 34_500), (7_500, 3_000), (34_000, 16_000)]);
        assert_eq!(display.white_point, (15_635, 16_450));
        assert_eq!((display.luminance_max, display.luminance_min), (10_000_000, 1));
        for wrong in [f64::NAN, -0.1, 1.1, f64::INFINITY] {
            let mut coordinates = p3;
            coordinates[5] = wrong;
            assert_eq!(MasteringDisplay::from_cie(coordinates, 1000.0, 0.0), None, "{wrong}");
        }
        assert_eq!(MasteringDisplay::from_cie(p3, 1e9, 0.0), None);
        assert_eq!(ContentLight::from_nits(1000.4, 65_536.0), None);
        assert_eq!(ContentLight::from_nits(1000.4, 0.0).unwrap().content_max, 1000);
    }

    #[test]
    fn rates_are_reduced() {
        assert_eq!(FrameRate::new(60_000, 2_002), Some(FrameRate { frames: 30_000, seconds: 1_001 }));
        assert_eq!((FrameRate::new(0, 1), FrameRate::new(1, 0)), (None, None));
        assert_eq!(FrameRate::reduced(u64::MAX, 2), None);
    }
}
