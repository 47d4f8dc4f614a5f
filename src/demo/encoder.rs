//! The demo picture as H.264: openh264 in the process, constrained baseline (no reordering, so decode and
//! presentation order are one), a fixed GOP, one access unit for each picture.

use openh264::encoder::{
    BitRate, Complexity, Encoder, EncoderConfig, FrameRate, FrameType, IntraFramePeriod, Profile, QpRange,
    RateControlMode, SpsPpsStrategy, UsageType, VuiConfig,
};
use openh264::{OpenH264API, Timestamp};

use super::picture::Picture;

const NAL_TYPE_SPS: u8 = 7;
const NAL_TYPE_PPS: u8 = 8;
/// Cells and digits stay readable however little the bit rate allows.
const QP: QpRange = QpRange::new(12, 36);

/// Why a picture did not become an access unit.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// openh264's own.
    #[error("openh264: {0}")]
    Library(#[from] openh264::Error),
    /// The encoder gave no IDR or P frame.
    #[error("openh264 gave a frame of type {0:?}")]
    FrameType(FrameType),
    /// A NAL unit without a start code, or of 4 GiB.
    #[error("openh264 gave a NAL unit of {0} bytes that cannot be framed")]
    NalUnit(usize),
}

/// How to encode; every field as in [`super::DemoOptions`].
#[derive(Debug, Clone, Copy)]
pub struct VideoSettings {
    /// Frames a second.
    pub fps: u32,
    /// Frames from one IDR to the next.
    pub gop_frames: u32,
    /// Bits a second.
    pub bitrate_bits: u32,
}

/// One encoder and the buffers it fills; it begins with an IDR.
pub struct VideoEncoder {
    encoder: Encoder,
    sps: Vec<u8>,
    pps: Vec<u8>,
    avcc: Vec<u8>,
}

/// One encoded picture.
pub struct AccessUnit<'a> {
    /// NAL units, each behind its length in four bytes; parameter sets are kept out.
    pub avcc: &'a [u8],
    /// True when decoding can begin here.
    pub idr: bool,
    /// The sequence parameter set in force, without start code.
    pub sps: &'a [u8],
    /// The picture parameter set in force, without start code.
    pub pps: &'a [u8],
}

impl VideoEncoder {
    /// An encoder that takes the picture's size from the first one.
    ///
    /// # Errors
    /// When openh264 cannot be set up.
    pub fn new(settings: VideoSettings) -> Result<Self, EncodeError> {
        let config = EncoderConfig::new()
            .profile(Profile::Baseline)
            .usage_type(UsageType::CameraVideoRealTime)
            .complexity(Complexity::Low)
            // Bitrate and quality mode hold the rate by skipping frames, which is ruled out below.
            .rate_control_mode(RateControlMode::Bufferbased)
            .bitrate(BitRate::from_bps(settings.bitrate_bits))
            .max_frame_rate(FrameRate::from_hz(settings.fps as f32))
            .intra_frame_period(IntraFramePeriod::from_num_frames(settings.gop_frames))
            .sps_pps_strategy(SpsPpsStrategy::ConstantId)
            .qp(QP)
            // Each of these would add, drop or delay frames that the GOP and the clock count on.
            .skip_frames(false)
            .scene_change_detect(false)
            .num_threads(1)
            .vui(VuiConfig::bt709());
        let encoder = Encoder::with_api_config(OpenH264API::from_source(), config)?;
        Ok(Self { encoder, sps: Vec::new(), pps: Vec::new(), avcc: Vec::new() })
    }

    /// Encodes a picture; `at_ms` is its time within the stream, for the rate control.
    ///
    /// # Errors
    /// When openh264 fails or gives something other than an IDR or P frame.
    pub fn encode(&mut self, picture: &Picture, at_ms: u64) -> Result<AccessUnit<'_>, EncodeError> {
        let stream = self.encoder.encode_at(&picture.planes(), Timestamp::from_millis(at_ms))?;
        let idr = match stream.frame_type() {
            FrameType::IDR => true,
            FrameType::P => false,
            other => return Err(EncodeError::FrameType(other)),
        };
        self.avcc.clear();
        for layer in (0..stream.num_layers()).filter_map(|index| stream.layer(index)) {
            for annex_b in (0..layer.nal_count()).filter_map(|index| layer.nal_unit(index)) {
                let unit = without_start_code(annex_b).ok_or(EncodeError::NalUnit(annex_b.len()))?;
                match unit[0] & 0x1f {
                    NAL_TYPE_SPS => unit.clone_into(&mut self.sps),
                    NAL_TYPE_PPS => unit.clone_into(&mut self.pps),
                    _ => {
                        let length =
                            u32::try_from(unit.len()).map_err(|_| EncodeError::NalUnit(unit.len()))?;
                        self.avcc.extend_from_slice(&length.to_be_bytes());
                        self.avcc.extend_from_slice(unit);
                    }
                }
            }
        }
        Ok(AccessUnit { avcc: &self.avcc, idr, sps: &self.sps, pps: &self.pps })
    }
}

/// The NAL unit behind its three or four bytes of start code; `None` where there is none.
fn without_start_code(annex_b: &[u8]) -> Option<&[u8]> {
    let unit = annex_b.strip_prefix(&[0, 0, 0, 1]).or_else(|| annex_b.strip_prefix(&[0, 0, 1]))?;
    (!unit.is_empty()).then_some(unit)
}

#[cfg(test)]
mod tests {
    use h264_reader::nal::sps::SeqParameterSet;
    use h264_reader::rbsp::{BitReader, decode_nal};
    use openh264::decoder::Decoder;
    use openh264::formats::YUVSource;

    use super::*;
    use crate::demo::clock;
    use crate::wire::Reader;

    const SETTINGS: VideoSettings = VideoSettings { fps: 30, gop_frames: 10, bitrate_bits: 1_000_000 };

    /// The NAL units of an access unit; panics where the lengths do not add up.
    fn units(avcc: &[u8]) -> Vec<&[u8]> {
        let mut reader = Reader::new(avcc);
        let mut units = Vec::new();
        while !reader.is_empty() {
            let length = reader.u32().unwrap() as usize;
            units.push(reader.take(length).unwrap());
        }
        units
    }

    fn annex_b(unit: &AccessUnit<'_>) -> Vec<u8> {
        let units = [unit.sps, unit.pps].into_iter().chain(units(unit.avcc));
        units.flat_map(|unit| [&[0, 0, 0, 1], unit].concat()).collect()
    }

    #[test]
    fn the_cells_survive_encoding_and_decoding_at_the_lowest_bit_rate_that_is_allowed() {
        for (width, height, bitrate_bits) in [(640, 360, 1_000_000), (640, 360, 100_000), (320, 180, 100_000)]
        {
            let mut picture = Picture::new(width, height);
            let mut encoder = VideoEncoder::new(VideoSettings { bitrate_bits, ..SETTINGS }).unwrap();
            let mut decoder = Decoder::new().unwrap();
            for frame in 0..25 {
                let unix_ms = 1_795_000_013_179 + frame * 1000 / 30;
                picture.paint(unix_ms, frame);
                let unit = encoder.encode(&picture, frame * 1000 / 30).unwrap();
                let decoded =
                    decoder.decode(&annex_b(&unit)).unwrap().expect("a picture for each access unit");
                let (width, height) = decoded.dimensions();
                let stride = decoded.strides().0;
                assert_eq!(clock::read(decoded.y(), stride, width, height), Some(unix_ms), "frame {frame}");
            }
        }
    }

    #[test]
    fn access_units_are_well_formed_and_the_gop_is_exact() {
        let mut picture = Picture::new(640, 360);
        let mut encoder = VideoEncoder::new(SETTINGS).unwrap();
        for frame in 0..31 {
            picture.paint(frame * 33, frame);
            let unit = encoder.encode(&picture, frame * 33).unwrap();
            let idr = unit.idr;
            assert_eq!(idr, frame % 10 == 0, "frame {frame}");
            let types: Vec<u8> = units(unit.avcc).iter().map(|unit| unit[0] & 0x1f).collect();
            assert_eq!(types, [if idr { 5 } else { 1 }], "one slice, nothing else, in frame {frame}");
        }
    }

    #[test]
    fn the_sps_says_constrained_baseline_without_reordering() {
        let mut picture = Picture::new(640, 360);
        let mut encoder = VideoEncoder::new(SETTINGS).unwrap();
        picture.paint(0, 0);
        let AccessUnit { sps, pps, .. } = encoder.encode(&picture, 0).unwrap();
        assert_eq!((sps[1], sps[2] & 0xc0), (66, 0xc0), "baseline, constraint sets 0 and 1");
        assert_eq!(pps[0] & 0x1f, NAL_TYPE_PPS);
        let rbsp = decode_nal(sps).unwrap();
        let sps = SeqParameterSet::from_bits(BitReader::new(&*rbsp)).unwrap();
        assert_eq!(sps.pixel_dimensions().unwrap(), (640, 360));
        let restrictions = sps.vui_parameters.unwrap().bitstream_restrictions.unwrap();
        assert_eq!(restrictions.max_num_reorder_frames, 0);
    }
}
