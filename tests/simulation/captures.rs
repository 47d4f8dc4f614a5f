//! Recordings of real publishers through the session and the home: every frame comes out, once, at its
//! grid's duration, however the bytes were cut.

use super::harness::{Simulation, settings};
use super::support::encoder::Random;
use rapidrtmp::origin::home::{Departure, PublisherId};
use rapidrtmp::rtmp::{Event, HANDSHAKE_RANDOM_BYTES, ServerConfig, ServerSession};
use serde_json::Value;
use std::path::Path;

struct Recording {
    bytes: Vec<u8>,
    facts: Value,
}

impl Recording {
    fn open(name: &'static str) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/rtmp-captures");
        let read =
            |ending: &str| std::fs::read(folder.join(format!("{name}.{ending}"))).expect("a recording");
        let facts = serde_json::from_slice(&read("json")).expect("its facts");
        Self { bytes: read("c2s.bin"), facts }
    }

    /// Coded frames of a track: `video 0`, `audio 0`.
    fn frames(&self, track: &str) -> u64 {
        self.facts["tracks"][track]["frames"].as_u64().unwrap_or(0)
    }
}

/// Plays a recording, cut into pieces of up to this many bytes, each message at the time that it says.
fn play(recording: &Recording, piece_bytes: u64) -> Simulation {
    let mut simulation = Simulation::new(settings());
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
    simulation.stop();
    simulation
}

/// H.264 with AAC, or one of them alone.
const RECORDINGS: [&str; 12] = [
    "ff5_h264_aac",
    "ff9_audio_only",
    "ff9_ext_timestamp",
    "ff9_h264_2997",
    "ff9_h264_60fps_44k1",
    "ff9_h264_bframes",
    "ff9_long_gop",
    "ff9_video_only",
    "gst_rtmp2sink",
    "gst_rtmpsink",
    "obs29_h264_aac",
    "obs30_h264_aac",
];

fn assert_recording(name: &'static str, piece_bytes: u64) {
    let recording = Recording::open(name);
    let simulation = play(&recording, piece_bytes);
    let viewer = &simulation.viewer;
    viewer.assert_faultless(name);
    assert_eq!(viewer.sessions().len(), 1, "{name}");
    assert_eq!(viewer.samples[0], recording.frames("video 0"), "{name}: pictures");
    let lost = recording.frames("audio 0") - viewer.samples[1];
    assert!(lost <= 6, "{name}: {lost} frames of sound are lost");
    for rendition in ["v", "a"] {
        let durations = viewer.durations(rendition);
        assert!(durations.len() <= 1, "{name}, {rendition}: {durations:?}");
    }
    let kinds = simulation.home.frames_received();
    assert_eq!(
        (kinds.video, kinds.audio),
        (recording.frames("video 0"), recording.frames("audio 0")),
        "{name}"
    );
}

#[test]
fn every_frame_of_real_publishers_comes_out_at_its_grids_duration() {
    for name in RECORDINGS {
        assert_recording(name, 65_536);
    }
}

#[test]
fn nothing_depends_on_how_the_bytes_were_cut() {
    for name in ["obs29_h264_aac", "ff9_h264_bframes", "gst_rtmpsink"] {
        assert_recording(name, 7);
        assert_recording(name, 1500);
    }
}
