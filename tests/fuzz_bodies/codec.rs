//! Bodies of the codec and FLV fuzz targets: any bytes may go in, nothing may panic, and what is
//! accepted must keep its promises.

use bytes::Bytes;
use rapidrtmp::codec::CodecConfig;
use rapidrtmp::codec::aac::AudioConfig;
use rapidrtmp::codec::avc::{DecoderConfig, Sps, nal_units, x264_options};
use rapidrtmp::flv::{Demuxer, Event, Fragment};
use rapidrtmp::fmp4::{InitTrack, init_segment};
use rapidrtmp::limits::{ACCESS_UNIT_NALS_MAX, PICTURE_SIDE_PIXELS_MAX};
use rapidrtmp::media::{Timescale, TrackKind};

/// Messages cut by the input itself: a control byte, a length byte, then so many bytes of a message
/// or of a fragment of it. A frame must be begun before it has bytes, and must end.
pub fn flv(data: &[u8]) {
    let mut demuxer = Demuxer::new();
    let mut open = [false; 2];
    let mut rest = data;
    while let [control, length, after @ ..] = rest {
        let (bytes, after) = after.split_at(after.len().min(usize::from(*length)));
        rest = after;
        let kind = if control & 1 == 0 { TrackKind::Video } else { TrackKind::Audio };
        if control & 0xf0 == 0xf0 {
            if let Some(event) = demuxer.abort(kind) {
                check(&mut open, &event);
            }
            continue;
        }
        // Mostly true declarations, sometimes false ones.
        let message_bytes = bytes.len() as u32 + u32::from(control >> 3 & 7) * 50;
        let (first, last) = (control & 2 == 0, control & 4 == 0);
        for event in demuxer.feed(Fragment { kind, timestamp_ms: 0, message_bytes, first, last, bytes }) {
            check(&mut open, &event);
        }
    }
}

fn check(open: &mut [bool; 2], event: &Event<'_>) {
    match event {
        Event::FrameBegin(begin) => {
            assert!(begin.coded_bytes > 0);
            assert!(!std::mem::replace(&mut open[begin.kind as usize], true), "a frame within a frame");
        }
        Event::FrameBytes { kind, bytes } => assert!(open[*kind as usize] && !bytes.is_empty()),
        Event::FrameEnd { kind, .. } => {
            assert!(std::mem::replace(&mut open[*kind as usize], false), "an end without a beginning");
        }
        Event::Config { config, .. } => init(config),
        Event::Unsupported { what, .. } => assert!(!what.to_string().contains('\n')),
        Event::EndOfSequence { .. } | Event::Refused { .. } => {}
    }
}

/// Whatever was accepted must make an init segment.
fn init(config: &CodecConfig) {
    let track = InitTrack { track_id: 1, timescale: Timescale::VIDEO, config };
    assert!(init_segment(&[track]).len() > config.record().len());
    assert!(config.rfc6381().is_ascii());
}

/// AVCDecoderConfigurationRecord.
pub fn avcc(data: &[u8]) {
    if let Ok(config) = DecoderConfig::parse(Bytes::copy_from_slice(data)) {
        assert!(config.sps_units().count() > 0 && config.pps_units().count() > 0);
        let written = DecoderConfig::parse(config.sample_entry_record()).expect("what we write, we read");
        assert_eq!((written.sps(), written.nal_length_bytes()), (config.sps(), 4));
        init(&CodecConfig::Avc(config));
    }
}

/// Sequence parameter set.
pub fn sps(data: &[u8]) {
    if let Ok(sps) = Sps::parse(data) {
        assert!(sps.width > 0 && sps.height > 0);
        assert!(sps.width <= PICTURE_SIDE_PIXELS_MAX && sps.height <= PICTURE_SIDE_PIXELS_MAX);
        assert!(sps.frame_rate().is_none_or(|rate| rate.frames > 0 && rate.seconds > 0));
    }
}

/// AudioSpecificConfig.
pub fn asc(data: &[u8]) {
    if let Ok(config) = AudioConfig::parse(Bytes::copy_from_slice(data)) {
        assert!((1_000..=192_000).contains(&config.sample_rate()) && config.frame_samples() >= 480);
        init(&CodecConfig::Aac(config));
    }
}

/// A whole access unit.
pub fn access_unit(data: &[u8]) {
    let units: Vec<&[u8]> = nal_units(data).map_while(Result::ok).collect();
    assert!(units.len() <= usize::from(ACCESS_UNIT_NALS_MAX));
    assert!(units.iter().map(|unit| unit.len() + 4).sum::<usize>() <= data.len());
    x264_options(data);
}
