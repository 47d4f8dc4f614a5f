//! Bodies of the codec and FLV fuzz targets: any bytes may go in, nothing may panic, and what is
//! accepted must keep its promises.

use bytes::Bytes;
use rapidrtmp::codec::aac::AudioConfig;
use rapidrtmp::codec::avc::{DecoderConfig, Sps, nal_units, x264_options};
use rapidrtmp::codec::{Codec, CodecConfig, FrameWalker, InBand, Parsed, ac3, av1, flac, hevc, opus, vp9};
use rapidrtmp::flv::{Demuxer, Event, Fragment};
use rapidrtmp::fmp4::{InitTrack, init_segment};
use rapidrtmp::limits::{
    ACCESS_UNIT_NALS_MAX, CODEC_CONFIG_BYTES_MAX, PICTURE_SIDE_PIXELS_MAX, VIDEO_METADATA_BYTES_MAX,
};
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
        Event::VideoMetadata { amf } => assert!(amf.len() <= VIDEO_METADATA_BYTES_MAX),
        Event::EndOfSequence { .. } | Event::Refused { .. } => {}
    }
}

/// Whatever was accepted must make an init segment.
fn init(config: &CodecConfig) {
    let track = InitTrack { track_id: 1, timescale: Timescale::VIDEO, config };
    let init = init_segment(&[track]);
    // HEVC leaves out what is no parameter set, AV1 what is no sequence header, Opus what is behind its header.
    let trimmed = matches!(config.codec(), Codec::Hevc | Codec::Av1 | Codec::Flac | Codec::Opus);
    assert!(trimmed || init.len() > config.record().len());
    assert!(init.len() < 2 * CODEC_CONFIG_BYTES_MAX);
    assert!(config.rfc6381().is_ascii());
    assert_eq!(
        (config.picture().is_some(), config.sound().is_some()),
        (config.is_video(), !config.is_video())
    );
    if let Some(picture) = config.picture() {
        assert!((1..=PICTURE_SIDE_PIXELS_MAX).contains(&picture.width));
        assert!((1..=PICTURE_SIDE_PIXELS_MAX).contains(&picture.height));
        assert!(picture.frame_rate.is_none_or(|rate| rate.frames > 0 && rate.seconds > 0));
    }
    if let Some(sound) = config.sound() {
        assert!(sound.sample_rate > 0 && sound.channels != Some(0) && sound.frame_samples != Some(0));
    }
}

/// Walks a frame whole and in two fragments; both must agree. Returns the sample, if it was one.
fn walk(config: &CodecConfig, frame: &[u8]) -> Option<Vec<u8>> {
    let walked = |mut walker: FrameWalker, pieces: &[&[u8]]| {
        let mut sample = vec![];
        for mut piece in pieces.iter().copied() {
            while let Some(bytes) = walker.step(&mut piece).map_err(|error| error.to_string())? {
                assert!(!bytes.is_empty());
                sample.extend_from_slice(&bytes);
            }
        }
        let frame = walker.finish().map_err(|error| error.to_string())?;
        assert!(frame.samples.is_none_or(|samples| samples > 0));
        Ok::<_, String>((sample, frame))
    };
    let walker = config.walker(frame.len() as u32);
    let whole = walked(walker.clone(), &[frame]);
    let (front, back) = frame.split_at(frame.len() / 2);
    assert_eq!(walked(walker, &[front, back]).is_ok(), whole.is_ok());
    let (sample, frame_was) = whole.ok()?;
    assert_eq!(walked(config.walker(frame.len() as u32), &[front, back]), Ok((sample.clone(), frame_was)));
    if let InBand::Other(other) = config.in_band(frame, true) {
        assert!(!matches!(other.in_band(frame, true), InBand::Other(_)), "what it says is said once");
    }
    Some(sample)
}

/// A record and a frame behind it: the first byte says how long the record is, in 16 bytes.
fn record_and_frame(codec: Codec, data: &[u8]) -> Option<CodecConfig> {
    let (length, rest) = data.split_first()?;
    let (record, frame) = rest.split_at(rest.len().min(16 * usize::from(*length)));
    let config = match CodecConfig::parse(codec, Bytes::copy_from_slice(record)) {
        Ok(Parsed::Whole(config)) => Ok(config),
        Ok(Parsed::Unfinished(unfinished)) => unfinished.finish(frame),
        Err(_) => CodecConfig::from_frame(codec, frame),
    };
    let config = config.ok()?;
    init(&config);
    let sample = walk(&config, frame);
    for sample in sample.iter() {
        // Nothing is left out twice.
        if codec == Codec::Av1 {
            assert_eq!(walk(&config, sample).as_ref(), Some(sample));
        }
    }
    if let Ok(found) = CodecConfig::from_frame(codec, frame) {
        init(&found);
    }
    Some(config)
}

/// HEVCDecoderConfigurationRecord, parameter sets, access units.
pub fn hevc(data: &[u8]) {
    if let Some(CodecConfig::Hevc(config)) = record_and_frame(Codec::Hevc, data) {
        let written =
            hevc::DecoderConfig::parse(config.sample_entry_record()).expect("what we write, we read");
        assert_eq!((written.sps(), written.nal_length_bytes()), (config.sps(), 4));
        assert_eq!(written.sample_entry_record(), config.sample_entry_record());
    }
    if let Ok(sps) = hevc::Sps::parse(data) {
        assert!((1..=7).contains(&sps.temporal_layers) && sps.width > 0 && sps.height > 0);
    }
}

/// AV1CodecConfigurationRecord, sequence headers, temporal units.
pub fn av1(data: &[u8]) {
    if let Some(CodecConfig::Av1(config)) = record_and_frame(Codec::Av1, data) {
        let written =
            av1::DecoderConfig::parse(config.sample_entry_record()).expect("what we write, we read");
        assert_eq!(written.sequence(), config.sequence());
    }
    if let Ok(header) = av1::SequenceHeader::parse(data) {
        assert!(matches!(header.bit_depth, 8 | 10 | 12) && header.profile <= 2 && header.level < 32);
    }
}

/// VP9, Opus, AC-3, E-AC-3 and FLAC: records and frames; the first byte chooses.
pub fn others(data: &[u8]) {
    let Some((chosen, data)) = data.split_first() else { return };
    let codecs = [Codec::Vp9, Codec::Opus, Codec::Ac3, Codec::Eac3, Codec::Flac];
    record_and_frame(codecs[usize::from(*chosen) % codecs.len()], data);
    if let Ok(key) = vp9::KeyFrame::parse(data) {
        assert!(key.width > 0 && key.height > 0 && key.record.level == 0);
    }
    assert!(opus::packet_samples(data).is_none_or(|samples| (120..=5760).contains(&samples)));
    assert!(flac::frame_samples(data).is_none_or(|samples| (1..=65_536).contains(&samples)));
    if let Ok(frame) = ac3::SyncFrame::parse(data) {
        assert!(
            frame.bytes >= 2 && frame.bytes <= 4096 && frame.samples >= 256 && frame.sample_rate >= 8_000
        );
    }
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
