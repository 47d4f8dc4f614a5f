//! What is found of real publishers, each byte of a recording read when it was read then.

use super::captures::Recording;
use super::harness::{Simulation, settings};
use super::support::encoder::{Encoder, Gop, Message};
use rapidrtmp::origin::home::{Departure, PublisherId};
use rapidrtmp::rtmp::{Event, HANDSHAKE_RANDOM_BYTES, ServerConfig, ServerSession};

/// A finding, how often it was made, and its value.
type Found = (&'static str, u64, Option<i64>);

fn found(simulation: &Simulation) -> Vec<Found> {
    let found = simulation.home.findings().found();
    found.map(|found| (found.finding.name(), found.count, found.value())).collect()
}

/// Plays a recording by its timeline.
fn play(recording: &Recording) -> Simulation {
    let mut simulation = Simulation::new(settings());
    let mut session =
        ServerSession::new(ServerConfig::default(), [5; HANDSHAKE_RANDOM_BYTES], simulation.now);
    let began_us = simulation.now.monotonic_us;
    let (mut id, mut read) = (None::<PublisherId>, 0);
    for (after_us, bytes) in recording.timeline() {
        simulation.advance_to(began_us + after_us);
        let mut input = &recording.bytes()[read..bytes];
        read = bytes;
        while let Some(event) = session.poll(&mut input, simulation.now).expect("a good publisher") {
            match event {
                Event::PublishRequested(_) => {
                    session.accept_publish(simulation.now);
                    id = Some(simulation.attach());
                }
                Event::Metadata(metadata) => simulation.home.metadata(id.expect("it publishes"), &metadata),
                Event::Media(media) => {
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
    assert_eq!(read, recording.bytes().len(), "the timeline has every byte");
    simulation
}

/// What is wrong with them is in the encoders' settings: groups of 250 pictures, B-frames, open groups, and GStreamer's
/// clamped timestamps. Nothing of how they came is, on one machine.
#[test]
fn of_each_recording_what_is_wrong_with_it_and_nothing_else() {
    let cases: [(&str, &[Found]); 26] = [
        ("ff5_h264_aac", &[]),
        ("ff9_audio_only", &[]),
        ("ff9_av1_opus", &[]),
        ("ff9_ext_timestamp", &[]),
        ("ff9_h264_2997", &[]),
        ("ff9_h264_60fps_44k1", &[]),
        ("ff9_h264_bframes", &[("b_frames", 97, Some(133))]),
        ("ff9_h264_eac3_51", &[]),
        ("ff9_h264_flac", &[]),
        ("ff9_hevc_aac", &[("b_frames", 111, Some(167)), ("open_gop", 2, None)]),
        ("ff9_killed", &[]),
        ("ff9_long_gop", &[("gop_too_long", 2, Some(8333))]),
        ("ff9_multitrack", &[]),
        ("ff9_resume_1", &[]),
        ("ff9_resume_2", &[]),
        ("ff9_resume_killed_1", &[]),
        ("ff9_resume_killed_2", &[]),
        ("ff9_video_only", &[]),
        ("ff9_vp9_ac3", &[]),
        ("gst_rtmp2sink", &[("timestamp_repaired", 3, None)]),
        ("gst_rtmpsink", &[("timestamp_repaired", 12, None)]),
        ("gst_rtmpsink_ext_av", &[]),
        ("gst_rtmpsink_ext_video", &[]),
        ("obs29_h264_aac", &[("gop_too_long", 3, Some(8334)), ("b_frames", 430, Some(166))]),
        ("obs30_av1_aac", &[]),
        ("obs30_h264_aac", &[("b_frames", 165, Some(166))]),
    ];
    let wrong: Vec<_> = cases
        .iter()
        .map(|&(name, expected)| (name, found(&play(&Recording::open(name))), expected))
        .filter(|(_, found, expected)| found != expected)
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// What is found of messages.
fn found_of(messages: &[Message]) -> Vec<Found> {
    let mut simulation = Simulation::new(settings());
    simulation.viewer.skip = usize::MAX;
    let id = simulation.attach();
    simulation.play(id, messages);
    found(&simulation)
}

/// Other messages, later.
fn then(first: Vec<Message>, later_ms: u64, next: Vec<Message>) -> Vec<Message> {
    let next = next.into_iter().map(|message| Message { at_us: message.at_us + later_ms * 1000, ..message });
    first.into_iter().chain(next).collect()
}

#[test]
fn what_happens_to_a_stream_is_found_and_nothing_else() {
    let clean = Encoder::default();
    // From the sixth second on.
    let late = |message: &mut Message, ms: u32| {
        message.timestamp_ms += if message.timestamp_ms >= 6000 { ms } else { 0 };
    };
    let leaps = |ms: u32, really: bool| {
        let mut messages = clean.messages(12);
        for message in &mut messages {
            message.at_us += if really && message.timestamp_ms >= 6000 { u64::from(ms) * 1000 } else { 0 };
            late(message, ms);
        }
        messages
    };
    let lacking = |at_ms: std::ops::Range<u32>| -> Vec<Message> {
        let is_there = |message: &Message| !(message.video && at_ms.contains(&message.timestamp_ms));
        clean.messages(12).into_iter().filter(is_there).collect()
    };
    let mut held_back = clean.messages(12);
    for message in held_back.iter_mut().filter(|message| (6_000_000..7_200_000).contains(&message.at_us)) {
        message.at_us = 7_200_000;
    }
    let mut uneven = Encoder { sps_timing: false, ..clean.clone() }.messages(12);
    for (index, message) in (0..).zip(uneven.iter_mut().filter(|message| message.video)) {
        message.timestamp_ms += index * 7 % 17;
    }
    let larger = Encoder { width_mbs: 40, first_ms: 6000, ..clean.clone() };
    let cases: [(&str, Vec<Message>, &[Found]); 9] = [
        ("clean", clean.messages(60), &[]),
        ("three pictures are missing", lacking(6001..6101), &[("frame_missing", 3, None)]),
        ("no rate", uneven, &[("variable_frame_rate", 1, None)]),
        ("time leaps", leaps(10_000, false), &[("discontinuity", 1, None)]),
        ("a pause", leaps(5000, true), &[("discontinuity", 1, None)]),
        (
            "another picture size",
            then(clean.messages(6), 6000, larger.messages(6)),
            &[("parameters_changed", 1, None)],
        ),
        ("all is held back", held_back, &[("uplink_burst", 1, Some(1200))]),
        (
            "sound behind its pictures",
            Encoder { sound_ahead_us: -800_000, jitter_us: 0, ..clean.clone() }.messages(12),
            &[("audio_late", 1, Some(800))],
        ),
        (
            "B-frames",
            Encoder { b_frames: 2, ..clean.clone() }.messages(12),
            // Of each group of 30: the first, then two of three, but for the last that follows none.
            &[("b_frames", 12 * 19, Some(100))],
        ),
    ];
    for (name, messages, expected) in cases {
        assert_eq!(found_of(&messages), expected, "{name}");
    }
}

#[test]
fn findings_survive_a_reconnect_and_the_session_that_follows() {
    let mut simulation = Simulation::new(settings());
    let long = Encoder { gop: Gop::Fixed(90), ..Encoder::default() };
    let id = simulation.publish(&long, 9);
    simulation.detach(id, Departure::Lost);
    simulation.advance_ms(4000);
    let id = simulation.publish(&Encoder::default(), 9);
    let expected = [("gop_too_long", 3, Some(3000)), ("publisher_returned", 1, Some(4000))];
    assert_eq!(found(&simulation), expected);
    // The session ends; the next one is of the same epoch.
    simulation.detach(id, Departure::Unpublished);
    simulation.advance_ms(11_000);
    simulation.publish(&Encoder::default(), 9);
    assert_eq!(simulation.viewer.sessions().len(), 2);
    assert_eq!(found(&simulation), expected);
    simulation.viewer.assert_faultless("reconnected");
}

/// A clock that is fast, over a way that delays frames by up to 80 ms.
#[test]
fn a_drifting_clock_is_found_within_a_few_ppm_and_a_true_one_is_not() {
    let encoder =
        Encoder { fps: Some((10, 1)), gop: Gop::Fixed(10), jitter_us: 80_000, ..Encoder::default() };
    let messages = encoder.messages(20 * 60);
    std::thread::scope(|scope| {
        for ppm in [0, 30, 100] {
            let messages = &messages;
            scope.spawn(move || {
                let fast: Vec<Message> = messages
                    .iter()
                    .map(|message| Message {
                        at_us: message.at_us * 1_000_000 / (1_000_000 + ppm),
                        ..message.clone()
                    })
                    .collect();
                let found = found_of(&fast);
                if ppm == 0 {
                    assert_eq!(found, []);
                    return;
                }
                let names: Vec<&str> = found.iter().map(|(name, ..)| *name).collect();
                assert_eq!(names, ["video_drift", "audio_drift"], "{ppm}");
                for (name, _, value) in found {
                    let off = value.map(|value| (value - ppm as i64).abs());
                    assert!(off.is_some_and(|off| off <= 3), "{ppm}: {name} of {value:?}");
                }
            });
        }
    });
}
