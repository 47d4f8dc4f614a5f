//! Ten minutes of each kind of encoder under each preset: no rule is broken, no frame lost, every frame
//! lasts as long as its grid says, and every byte is copied once.

use super::harness::{LOW, SAFE, Simulation, ULTRA, settings};
use super::support::encoder::{Encoder, Gop, Message, Rounding};
use rapidrtmp::hls::Wishes;
use rapidrtmp::origin::home::HomeSettings;
use rapidrtmp::origin::live::SessionSettings;
use std::collections::BTreeMap;

const SECONDS: u32 = 600;

/// What is published, what is wished for, and what must come out.
struct Case {
    name: &'static str,
    encoder: Encoder,
    wishes: Wishes,
    muxed: bool,
    /// A picture's duration in its timescale.
    frame_ticks: u32,
    /// From the publisher's first frame to the first playlist, at most.
    playable_within_ms: u64,
}

/// A publisher of 48 kHz that says a key frame every two seconds, to be watched for three.
fn case(name: &'static str, fps: (u32, u32), frame_ticks: u32, wishes: Wishes) -> Case {
    let gop = Gop::Fixed(2 * fps.0 / fps.1);
    let encoder = Encoder { fps: Some(fps), gop, ..Encoder::default() };
    Case { name, encoder, wishes, muxed: false, frame_ticks, playable_within_ms: 4500 }
}

fn assert_case(case: &Case) {
    let base = settings();
    let session = SessionSettings { muxed: case.muxed, ..base.session };
    let mut simulation = Simulation::new(HomeSettings { wishes: case.wishes, session, ..base });
    // Every part is read all the same: they are listed for three target durations.
    simulation.viewer.skip = 9;
    let began_us = simulation.now.monotonic_us;
    let messages = case.encoder.messages(SECONDS);
    let id = simulation.attach();
    simulation.play(id, &messages);
    simulation.stop();

    let (name, viewer) = (case.name, &simulation.viewer);
    viewer.assert_faultless(name);
    assert_eq!(viewer.sessions().len(), 1, "{name}");
    let playable_ms = (simulation.playable_at_us[0] - began_us) / 1000;
    assert!(playable_ms <= case.playable_within_ms, "{name}: playable after {playable_ms} ms");
    let frames = |video| messages.iter().filter(|message| message.video == video).count() as u64;
    // A configuration each; sound of before the first picture is shown is not used.
    assert_eq!(viewer.samples[0], frames(true).saturating_sub(1), "{name}: pictures");
    let lost = frames(false).saturating_sub(1) - viewer.samples[1];
    assert!(lost <= if case.encoder.b_frames > 0 { 4 } else { 1 }, "{name}: {lost} frames of sound are lost");
    assert_durations(case, viewer.durations(if case.muxed { "av" } else { "v" }), 1);
}

/// Every picture lasts as long as the others, and every frame of sound has its 1,024 samples.
fn assert_durations(case: &Case, found: BTreeMap<(u32, u32), u64>, video_track: u32) {
    for ((track, ticks), count) in found {
        let expected = if track == video_track { case.frame_ticks } else { 1024 };
        assert_eq!(ticks, expected, "{}: {count} frames of track {track}", case.name);
    }
}

fn assert_all(cases: impl IntoIterator<Item = Case>) {
    std::thread::scope(|scope| {
        for case in cases {
            scope.spawn(move || assert_case(&case));
        }
    });
}

#[test]
fn whole_rates_at_the_low_preset() {
    assert_all([
        case("24 fps", (24, 1), 3750, LOW),
        case("25 fps", (25, 1), 3600, LOW),
        Case {
            encoder: Encoder { audio_hz: Some(44_100), ..case("", (30, 1), 0, LOW).encoder },
            ..case("30 fps, 44.1 kHz", (30, 1), 3000, LOW)
        },
        case("50 fps", (50, 1), 1800, LOW),
    ]);
}

#[test]
fn rates_of_the_1001_family() {
    assert_all([
        case("23.976 fps", (24_000, 1001), 5005, LOW),
        case("29.97 fps, ultra", (30_000, 1001), 4004, ULTRA),
        Case {
            encoder: Encoder {
                audio_hz: Some(44_100),
                rounding: Rounding::Down,
                ..case("", (30_000, 1001), 0, LOW).encoder
            },
            ..case("29.97 fps, 44.1 kHz", (30_000, 1001), 4004, LOW)
        },
    ]);
}

#[test]
fn the_other_presets() {
    let ultra = case("60 fps, ultra", (60, 1), 1500, ULTRA);
    let ultra =
        Case { encoder: Encoder { gop: Gop::Fixed(60), audio_hz: Some(44_100), ..ultra.encoder }, ..ultra };
    let safe = case("25 fps, safe", (25, 1), 3600, SAFE);
    assert_all([ultra, Case { playable_within_ms: 6500, ..safe }]);
}

/// keyint 250 with scene cuts: groups of 0.8 s to 8.3 s.
/// A screen share: the second that is waited for tells five frames.
#[test]
fn slow_rates() {
    let slowest = Case { playable_within_ms: 6500, ..case("2 fps, safe", (2, 1), 45_000, SAFE) };
    assert_all([case("5 fps", (5, 1), 18_000, LOW), slowest]);
}

#[test]
fn ffmpegs_default_gop_with_scene_cuts() {
    let long = |name, encoder: Encoder| Case {
        encoder: Encoder { gop: Gop::SceneCuts(25, 250), sei_keyint: Some(250), b_frames: 3, ..encoder },
        playable_within_ms: 8333 + 500,
        ..case(name, (30, 1), 3000, LOW)
    };
    assert_all([
        long("scene cuts", Encoder::default()),
        long("scene cuts, other seed", Encoder { seed: 5, audio_hz: Some(44_100), ..Encoder::default() }),
    ]);
}

#[test]
fn obss_default_gop() {
    let encoder =
        Encoder { gop: Gop::Fixed(250), b_frames: 2, rounding: Rounding::Down, ..Encoder::default() };
    let said = Encoder { sei_keyint: Some(250), ..encoder.clone() };
    let within = 8333 + 500;
    assert_all([
        Case { encoder: said, playable_within_ms: within, ..case("OBS", (30, 1), 3000, LOW) },
        Case { encoder, playable_within_ms: within, ..case("OBS without SEI", (30, 1), 3000, LOW) },
    ]);
}

#[test]
fn one_track_alone_or_both_in_one_rendition() {
    let muxed = Case { muxed: true, ..case("muxed", (30, 1), 3000, LOW) };
    let video = case("video only", (30, 1), 3000, LOW);
    let video = Case { encoder: Encoder { audio_hz: None, ..video.encoder }, ..video };
    let audio = case("audio only", (30, 1), 0, LOW);
    let audio = Case { encoder: Encoder { fps: None, ..audio.encoder }, ..audio };
    assert_all([muxed, video, audio]);
}

/// Once a session runs, the bytes of a frame on a grid are copied once, into their part.
#[test]
fn every_byte_of_a_running_stream_is_copied_once() {
    let encoder = Encoder { frame_bytes: 1500, jitter_us: 0, ..Encoder::default() };
    let messages = encoder.messages(30);
    let (learning, running): (Vec<Message>, Vec<Message>) =
        messages.into_iter().partition(|message| message.at_us < 5_000_000);
    let mut simulation = Simulation::new(settings());
    let id = simulation.attach();
    simulation.play(id, &learning);
    let (once_before, again_before) = simulation.home.live().expect("a session").bytes_copied();
    let began_us = simulation.now.monotonic_us - learning.last().map_or(0, |message| message.at_us);
    for message in &running {
        simulation.advance_to(began_us + message.at_us);
        simulation.send(id, message).expect("takes it");
    }
    let (once, again) = simulation.home.live().expect("a session").bytes_copied();
    // Without the FLV header of each message.
    let coded = running.iter().map(|message| message.body.len() - if message.video { 5 } else { 2 });
    assert_eq!(once - once_before, coded.sum::<usize>() as u64);
    assert_eq!(again - again_before, 0);
    simulation.viewer.assert_faultless("one copy");
}
