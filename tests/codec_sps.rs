//! Our SPS parser against h264-reader's: the same picture and timing, from real encoders and from
//! those with bits turned over.

use h264_reader::nal::sps::{FrameMbsFlags, SeqParameterSet};
use h264_reader::nal::{Nal, RefNal};
use rapidrtmp::codec::avc::{FrameRate, Sps};

/// Encoder, SPS with its header byte, width and height.
const REAL: [(&str, &str, u32, u32); 9] = [
    ("OBS 30", "6764000dacd941419f9f016a02020280000003008000001e478a14cb", 320, 180),
    ("GStreamer", "6764000bacb4146fc980b5060606a50000030001000003003c8f142aa0", 160, 90),
    ("ffmpeg 9, B-frames", "6764000bacd9428df930110000030001000003003c0f142996", 160, 90),
    ("ffmpeg 9, 29.97 fps", "6764000bacb4146fc9808800001f480007530078a155", 160, 90),
    (
        "x264, interlaced, 16:11, BT.470",
        "6764001eacd940b424dff80200016b50505054000003000400000300c87c50a658",
        720,
        576,
    ),
    (
        "x264, High 4:2:2, 10 bits, PQ",
        "677a000db6cd941519e222f016a12201280000030008000003019078a14cb0",
        322,
        182,
    ),
    ("x264, High 4:4:4, 23.976 fps", "67f4000c919b282833f1b808800001f480005dc0078a14cb", 320, 180),
    ("x264, Baseline, cropped 1080p", "6742c028d900780227e5c05b20000003002000000641e30649", 1920, 1080),
    (
        "x264, HRD parameters",
        "6764001eacd940a02ff9701100000300010000030032e02001e840007a13930c01e2c5b2c0",
        640,
        360,
    ),
];

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

/// Panics where both parsers accept an SPS and read it differently. Returns ours.
fn compare(unit: &[u8]) -> Option<Sps> {
    let theirs = SeqParameterSet::from_bits(RefNal::new(unit, &[], true).rbsp_bits());
    let (Ok(ours), Ok(theirs)) = (Sps::parse(unit), theirs) else { return None };
    let (width, height) = theirs.pixel_dimensions().ok()?;
    assert_eq!((ours.width, ours.height), (width, height));
    assert_eq!((ours.profile, ours.level), (u8::from(theirs.profile_idc), theirs.level_idc));
    assert_eq!(u32::from(ours.chroma_format), theirs.chroma_info.chroma_format.to_u32());
    assert_eq!(ours.bit_depth_luma, 8 + theirs.chroma_info.bit_depth_luma_minus8);
    assert_eq!(ours.frames_only, matches!(theirs.frame_mbs_flags, FrameMbsFlags::Frames));
    let Some(vui) = &theirs.vui_parameters else { return Some(ours) };
    let timing = vui.timing_info.as_ref().map(|timing| (timing.num_units_in_tick, timing.time_scale));
    let timing = timing.filter(|&(units, scale)| units > 0 && scale > 0);
    assert_eq!(ours.timing.map(|timing| (timing.num_units_in_tick, timing.time_scale)), timing);
    let colour = vui.video_signal_type.as_ref().and_then(|signal| signal.colour_description.as_ref());
    if let Some(theirs) = colour {
        let ours = ours.colour.unwrap();
        assert_eq!(
            (ours.primaries, ours.transfer, ours.matrix),
            (theirs.colour_primaries, theirs.transfer_characteristics, theirs.matrix_coefficients)
        );
    }
    let aspect = vui.aspect_ratio_info.as_ref().and_then(|aspect| aspect.get());
    assert_eq!(ours.sample_aspect, aspect.filter(|&(width, height)| width > 0 && height > 0));
    let reorder = vui.bitstream_restrictions.as_ref().map(|restrictions| restrictions.max_num_reorder_frames);
    assert_eq!(ours.reorder_frames, reorder.filter(|frames| *frames <= 16));
    Some(ours)
}

#[test]
fn real_encoders_are_read_as_an_independent_parser_reads_them() {
    for (encoder, unit, width, height) in REAL {
        let sps = compare(&unhex(unit)).expect(encoder);
        assert_eq!((sps.width, sps.height), (width, height), "{encoder}");
        assert!(sps.timing.is_some() && sps.reorder_frames.is_some(), "{encoder}");
    }
    let sps = |index: usize| Sps::parse(&unhex(REAL[index].1)).unwrap();
    assert!(!sps(4).frames_only);
    assert!(sps(0).timing.unwrap().fixed && !sps(2).timing.unwrap().fixed);
    assert_eq!(sps(5).colour.map(|colour| colour.transfer), Some(16));
    assert_eq!(sps(3).frame_rate(), FrameRate::new(30_000, 1001));
    assert_eq!(sps(6).frame_rate(), FrameRate::new(24_000, 1001));
    assert_eq!(sps(7).frame_rate(), FrameRate::new(25, 1));
    assert_eq!(sps(2).reorder_frames, Some(2));
}

#[test]
fn damaged_ones_are_refused_or_read_alike() {
    let mut compared = 0;
    for (_, unit, ..) in REAL {
        let unit = unhex(unit);
        for bit in 8..unit.len() * 8 {
            let mut damaged = unit.clone();
            damaged[bit / 8] ^= 0x80 >> (bit % 8);
            compared += usize::from(compare(&damaged).is_some());
        }
        for length in 1..unit.len() {
            compare(&unit[..length]);
        }
    }
    assert!(compared > 500, "{compared} were read by both");
}
