//! Recordings of real publishers through the session and the home: every frame comes out, once, at its
//! grid's duration, however the bytes were cut.

use super::harness::{Simulation, settings};
use super::support::decode::{Hashed, Of, flv_file, hashes, missing_around, newer_ffmpeg_or_say};
use super::support::encoder::Random;
use super::support::playlist::parse_multivariant;
use super::support::replay::{AUDIO, Tag, VIDEO};
use rapidrtmp::hls::EventBody;
use rapidrtmp::media::TrackKind;
use rapidrtmp::origin::home::{Departure, PublisherId};
use rapidrtmp::rtmp::{Event, HANDSHAKE_RANDOM_BYTES, ServerConfig, ServerSession};
use serde_json::Value;
use std::path::Path;

pub struct Recording {
    bytes: Vec<u8>,
    facts: Value,
}

impl Recording {
    pub fn open(name: &'static str) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/rtmp-captures");
        let read =
            |ending: &str| std::fs::read(folder.join(format!("{name}.{ending}"))).expect("a recording");
        let facts = serde_json::from_slice(&read("json")).expect("its facts");
        Self { bytes: read("c2s.bin"), facts }
    }

    /// From the client's first byte to the end of the connection.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// After each read: microseconds since the connection was accepted, and how many bytes had come.
    pub fn timeline(&self) -> impl Iterator<Item = (u64, usize)> {
        self.facts["timeline"].as_array().expect("its reads").iter().map(|read| {
            let ms = read[0].as_f64().expect("milliseconds");
            let bytes = read[1].as_u64().expect("a count of bytes");
            ((ms * 1000.0) as u64, bytes as usize)
        })
    }

    /// Coded frames of a track that are not empty: `video 0`, `audio 0`.
    fn frames(&self, track: &str) -> u64 {
        let count = |name: &str| self.facts["tracks"][track][name].as_u64().unwrap_or(0);
        count("frames") - count("empty_frames")
    }
}

/// A recording that was played, with what it held.
pub struct Played {
    pub simulation: Simulation,
    pub tags: Vec<Tag>,
}

/// Plays a recording, cut into pieces of up to this many bytes, each message at the time that it says.
pub fn play(recording: &Recording, piece_bytes: u64) -> Played {
    let mut simulation = Simulation::new(settings());
    simulation.viewer.keep_media = true;
    let mut tags: Vec<Tag> = Vec::new();
    let mut open: [Option<Tag>; 2] = [None, None];
    let mut session =
        ServerSession::new(ServerConfig::default(), [5; HANDSHAKE_RANDOM_BYTES], simulation.now);
    let mut random = Random::new(piece_bytes);
    let (mut id, mut first_ms) = (None::<PublisherId>, None);
    let began_us = simulation.now.monotonic_us;
    let mut rest = recording.bytes.as_slice();
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(rest.len().min(1 + random.below(piece_bytes) as usize));
        rest = after;
        let mut input = piece;
        while let Some(event) = session.poll(&mut input, simulation.now).expect("a good publisher") {
            match event {
                Event::PublishRequested(_) => {
                    session.accept_publish(simulation.now);
                    id = Some(simulation.attach());
                }
                Event::Metadata(metadata) => simulation.home.metadata(id.expect("it publishes"), &metadata),
                Event::Media(media) => {
                    // ffmpeg stamps configurations with 0, whatever its frames begin with.
                    if first_ms.is_none() && media.first && media.payload.get(1) != Some(&0) {
                        first_ms = Some(media.timestamp_ms);
                    }
                    if let Some(first) = first_ms.filter(|_| media.first) {
                        let at_us = began_us + u64::from(media.timestamp_ms.wrapping_sub(first)) * 1000;
                        // Sound and pictures are interleaved, so some are a little earlier than the last.
                        simulation.advance_to(at_us.max(simulation.now.monotonic_us));
                    }
                    let kind = if media.kind == TrackKind::Video { VIDEO } else { AUDIO };
                    let tag = open[usize::from(kind == VIDEO)].get_or_insert(Tag {
                        kind,
                        timestamp_ms: media.timestamp_ms,
                        body: Vec::new(),
                    });
                    tag.body.extend(media.payload);
                    if media.last {
                        tags.extend(open[usize::from(kind == VIDEO)].take());
                    }
                    simulation.fragment(id.expect("it publishes"), &media).expect("takes it");
                }
                Event::Unpublished(_) => {
                    simulation.detach(id.expect("it publishes"), Departure::Unpublished);
                }
                _ => {}
            }
        }
        let said = session.output().len();
        session.output_written(said);
    }
    if let Some(id) = id {
        simulation.detach(id, Departure::Lost);
    }
    simulation.stop();
    Played { simulation, tags }
}

/// What a recording must play as.
struct Case {
    name: &'static str,
    /// RFC 6381 strings of pictures and sound.
    video: Option<&'static str>,
    audio: Option<&'static str>,
    /// RESOLUTION and FRAME-RATE.
    picture: Option<((u64, u64), &'static str)>,
    channels: Option<&'static str>,
}

const fn case(
    name: &'static str,
    video: &'static str,
    picture: ((u64, u64), &'static str),
    audio: &'static str,
    channels: &'static str,
) -> Case {
    Case { name, video: Some(video), audio: Some(audio), picture: Some(picture), channels: Some(channels) }
}

const SMALL_30: ((u64, u64), &str) = ((160, 90), "30.000");
const LARGE_30: ((u64, u64), &str) = ((320, 180), "30.000");

#[rustfmt::skip]
const CASES: [Case; 26] = [
    case("ff5_h264_aac", "avc1.64000B", SMALL_30, "mp4a.40.2", "1"),
    Case { video: None, picture: None, ..case("ff9_audio_only", "", SMALL_30, "mp4a.40.2", "2") },
    case("ff9_av1_opus", "av01.0.00M.08", SMALL_30, "opus", "2"),
    case("ff9_ext_timestamp", "avc1.64000D", ((384, 216), "30.000"), "mp4a.40.2", "1"),
    case("ff9_h264_2997", "avc1.64000B", ((160, 90), "29.970"), "mp4a.40.2", "1"),
    case("ff9_h264_60fps_44k1", "avc1.64000C", ((160, 90), "60.000"), "mp4a.40.2", "1"),
    case("ff9_h264_bframes", "avc1.64000B", SMALL_30, "mp4a.40.2", "2"),
    case("ff9_h264_eac3_51", "avc1.64000B", SMALL_30, "ec-3", "6"),
    case("ff9_h264_flac", "avc1.64000B", SMALL_30, "fLaC", "1"),
    case("ff9_hevc_aac", "hvc1.1.6.L60.90", SMALL_30, "mp4a.40.2", "1"),
    case("ff9_killed", "avc1.64000D", LARGE_30, "mp4a.40.2", "1"),
    case("ff9_long_gop", "avc1.64000B", SMALL_30, "mp4a.40.2", "1"),
    case("ff9_multitrack", "avc1.64000B", SMALL_30, "mp4a.40.2", "1"),
    case("ff9_resume_1", "avc1.64000B", SMALL_30, "mp4a.40.2", "1"),
    case("ff9_resume_2", "avc1.64000B", SMALL_30, "mp4a.40.2", "1"),
    case("ff9_resume_killed_1", "avc1.64000B", SMALL_30, "mp4a.40.2", "1"),
    case("ff9_resume_killed_2", "avc1.64000B", SMALL_30, "mp4a.40.2", "1"),
    Case { audio: None, channels: None, ..case("ff9_video_only", "avc1.64000B", SMALL_30, "", "") },
    case("ff9_vp9_ac3", "vp09.00.10.08", SMALL_30, "ac-3", "2"),
    case("gst_rtmp2sink", "avc1.64000B", SMALL_30, "mp4a.40.2", "2"),
    case("gst_rtmpsink", "avc1.64000B", SMALL_30, "mp4a.40.2", "2"),
    case("gst_rtmpsink_ext_av", "avc1.64000B", SMALL_30, "mp4a.40.2", "1"),
    Case { audio: None, channels: None, ..case("gst_rtmpsink_ext_video", "avc1.64000B", SMALL_30, "", "") },
    case("obs29_h264_aac", "avc1.64000D", LARGE_30, "mp4a.40.2", "2"),
    case("obs30_av1_aac", "av01.0.00M.08", LARGE_30, "mp4a.40.2", "2"),
    case("obs30_h264_aac", "avc1.64000D", LARGE_30, "mp4a.40.2", "2"),
];

/// Sound of before the first picture is shown is not used: so many frames of it at most.
const SOUND_LOST_MAX: u64 = 6;

fn assert_recording(case: &Case, piece_bytes: u64) -> Played {
    let name = case.name;
    let recording = Recording::open(name);
    let played = play(&recording, piece_bytes);
    let simulation = &played.simulation;
    let viewer = &simulation.viewer;
    viewer.assert_faultless(name);
    assert_eq!(viewer.sessions().len(), 1, "{name}");
    assert_eq!(viewer.samples[0], recording.frames("video 0"), "{name}: pictures");
    let lost = recording.frames("audio 0") - viewer.samples[1];
    assert!(lost <= SOUND_LOST_MAX, "{name}: {lost} frames of sound are lost");
    for rendition in ["v", "a"] {
        let durations = viewer.durations(rendition);
        assert!(durations.len() <= 1, "{name}, {rendition}: {durations:?}");
    }
    let kinds = simulation.home.frames_received();
    // One was cut off, of which more than its header came.
    let cut = recording.facts["partial_at_end"].as_array().map_or(0, Vec::len) as u64;
    assert_eq!(
        (kinds.video, kinds.audio),
        (recording.frames("video 0") + cut, recording.frames("audio 0")),
        "{name}"
    );
    // One configuration each, and nothing interrupts: not the one that ffmpeg sends of FLAC at the end, nor an end of
    // the sequence at timestamp 0.
    let count = |of: fn(&EventBody) -> bool| simulation.events.iter().filter(|event| of(&event.body)).count();
    let tracks = usize::from(case.video.is_some()) + usize::from(case.audio.is_some());
    assert_eq!(count(|body| matches!(body, EventBody::Init(_))), tracks, "{name}: init segments");
    let breaks = |body: &EventBody| matches!(body, EventBody::Part(part) if part.opens.is_some_and(|head| head.discontinuity));
    assert_eq!(count(breaks), 0, "{name}: discontinuities");
    assert_formats(case, &played);
    played
}

/// What the multivariant playlist says, by the recording and by the bytes of the init segments.
fn assert_formats(case: &Case, played: &Played) {
    let (name, viewer) = (case.name, &played.simulation.viewer);
    let multivariant = parse_multivariant(&viewer.multivariant).expect("a multivariant playlist");
    let variant = &multivariant.variants[0];
    let codecs: Vec<&str> = case.video.into_iter().chain(case.audio).collect();
    assert_eq!(variant.codecs, codecs, "{name}: CODECS");
    let of_bytes = [viewer.codecs("v"), viewer.codecs("a")].concat();
    // Sample entries are spelt `Opus`, codec strings are not.
    let same = of_bytes.iter().zip(&codecs).all(|(of_bytes, codec)| of_bytes.eq_ignore_ascii_case(codec));
    assert!(same && of_bytes.len() == codecs.len(), "{name}: init segments {of_bytes:?}");
    let picture = variant.resolution.zip(variant.frame_rate.as_deref());
    assert_eq!(picture, case.picture, "{name}: RESOLUTION and FRAME-RATE");
    assert_eq!(variant.video_range.as_deref(), case.video.map(|_| "SDR"), "{name}: VIDEO-RANGE");
    let channels = multivariant.audio.first().and_then(|audio| audio.channels.as_deref());
    let expected = case.channels.filter(|_| case.video.is_some());
    assert_eq!(channels, expected, "{name}: CHANNELS");
}

#[test]
fn every_recording_plays_frame_by_frame_as_what_it_is() {
    for case in &CASES {
        assert_recording(case, 65_536);
    }
}

#[test]
fn nothing_depends_on_how_the_bytes_were_cut() {
    let cut = [
        "obs29_h264_aac",
        "ff9_h264_bframes",
        "gst_rtmpsink",
        "ff9_hevc_aac",
        "ff9_av1_opus",
        "ff9_vp9_ac3",
        "ff9_h264_eac3_51",
        "ff9_h264_flac",
        "ff9_multitrack",
    ];
    for case in CASES.iter().filter(|case| cut.contains(&case.name)) {
        for piece_bytes in [7, 1500] {
            let played = assert_recording(case, piece_bytes);
            if piece_bytes == 7 {
                let whole = play(&Recording::open(case.name), 65_536);
                for rendition in ["v", "a"] {
                    let media = [&played, &whole].map(|played| played.simulation.viewer.media(rendition));
                    assert!(media[0] == media[1], "{}, {rendition}: other bytes", case.name);
                }
            }
        }
    }
}

/// ffmpeg decodes the same pictures from the recording and from what came out, and finds the same packets of sound.
#[test]
fn every_recording_decodes_to_the_pictures_and_sound_that_were_sent() {
    let Some(program) = newer_ffmpeg_or_say() else { return };
    let directory = tempfile::tempdir().expect("a directory");
    std::thread::scope(|scope| {
        for cases in CASES.chunks(CASES.len() / 2) {
            let (directory, program) = (directory.path(), &program);
            scope.spawn(move || {
                for case in cases {
                    assert_decodes(case, program, directory);
                }
            });
        }
    });
}

fn assert_decodes(case: &Case, program: &str, directory: &Path) {
    let name = case.name;
    let played = play(&Recording::open(name), 65_536);
    let file = |ending: &str, bytes: &[u8]| {
        let path = directory.join(format!("{name}.{ending}"));
        std::fs::write(&path, bytes).expect("writes a file");
        path.to_string_lossy().into_owned()
    };
    let sent = file("flv", &flv_file(&played.tags));
    let hashed =
        |input: &str, of| hashes(program, input, of).unwrap_or_else(|fault| panic!("{name}: {fault}"));
    let viewer = &played.simulation.viewer;
    if case.video.is_some() {
        let (before, after) =
            (hashed(&sent, Of::Pictures), hashed(&file("v.mp4", &viewer.media("v")), Of::Pictures));
        assert_eq!(missing_around(&before, &after), Some((0, 0)), "{name}: pictures");
        assert_even(name, &after);
    }
    if case.audio.is_some() {
        let after = hashed(&file("a.mp4", &viewer.media("a")), Of::SoundPackets);
        let missing = missing_around(&hashed(&sent, Of::SoundPackets), &after);
        let lost = missing.map(|(before, after)| (before as u64) + (after as u64));
        assert!(
            lost.is_some_and(|lost| lost <= SOUND_LOST_MAX),
            "{name}: packets of sound missing {missing:?}"
        );
        assert_even(name, &after);
    }
}

/// Each is shown as long after the last as the others.
fn assert_even(name: &str, frames: &[Hashed]) {
    let steps: Vec<i64> = frames.windows(2).map(|pair| pair[1].presentation - pair[0].presentation).collect();
    assert!(steps.iter().all(|step| *step == steps[0] && *step > 0), "{name}: {steps:?}");
}

/// ffmpeg sends its second picture and sound as tracks: they are listed, and the first ones are played.
#[test]
fn further_tracks_are_counted_and_listed() {
    let recording = Recording::open("ff9_multitrack");
    let mut simulation = Simulation::new(settings());
    let id = simulation.attach();
    for tag in play(&recording, 65_536).tags {
        let video = tag.kind == VIDEO;
        let message = super::support::encoder::Message {
            at_us: 0,
            video,
            timestamp_ms: tag.timestamp_ms,
            body: tag.body,
        };
        simulation.send(id, &message).expect("takes it");
    }
    let listed: Vec<_> = simulation
        .home
        .extra_tracks()
        .iter()
        .map(|track| (track.kind, track.id, track.codec.as_deref(), track.resolution, track.frames))
        .collect();
    let expected = [
        (TrackKind::Video, 1, Some("avc1.640009"), Some((96, 54)), recording.frames("video 1")),
        (TrackKind::Audio, 1, Some("mp4a.40.2"), None, recording.frames("audio 1")),
    ];
    assert_eq!(listed, expected);
    assert_eq!(simulation.home.unsupported(), None);
}

/// x265 opens its groups: every segment but the first begins at a CRA picture with RASL pictures behind it. One can
/// join there, but not cleanly, so that only the first part is called independent.
#[test]
fn open_groups_are_cut_and_never_called_clean() {
    let Played { simulation, .. } = play(&Recording::open("ff9_hevc_aac"), 65_536);
    let parts = simulation.events.iter().filter_map(|event| match &event.body {
        EventBody::Part(part) | EventBody::PartAndClose(part, _) if part.rendition.0 == 0 => Some(part),
        _ => None,
    });
    let heads: Vec<(bool, bool)> = parts.map(|part| (part.opens.is_some(), part.independent)).collect();
    let opened = heads.iter().filter(|(opens, _)| *opens).count();
    let independent = heads.iter().filter(|(_, independent)| *independent).count();
    assert_eq!((opened, independent, heads[0]), (3, 1, (true, true)), "{heads:?}");
}
