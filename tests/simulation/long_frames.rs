//! Frames that last longer than the preset's parts, or half of its segments.

use super::harness::{LOW, SAFE, Simulation, ULTRA, settings};
use super::support::encoder::{Encoder, Gop, Message};
use rapidrtmp::hls::Wishes;
use rapidrtmp::origin::home::HomeSettings;

/// Samples of the longest block that STREAMINFO can name.
const BLOCK_SAMPLES: u64 = 65_535;
const HZ: u64 = 48_000;

/// FLAC, 48 kHz mono of 16 bits, in Enhanced RTMP: the configuration, and blocks with a header and no more. A block
/// in so many is as long as they may be.
fn flac(seconds: u64, shortest: u16, long_in: usize) -> Vec<Message> {
    let message = |at_ms: u64, body: Vec<u8>| Message {
        at_us: at_ms * 1000,
        video: false,
        timestamp_ms: at_ms as u32,
        body,
    };
    let streaminfo = [&shortest.to_be_bytes()[..], b"\xff\xff\0\0\0\0\0\0\x0b\xb8\0\xf0", &[0; 20]].concat();
    let mut messages = vec![message(0, [&b"\x90fLaC"[..], &streaminfo].concat())];
    let mut begins = 0;
    while begins < seconds * HZ {
        let index = messages.len() - 1;
        let samples = if index.is_multiple_of(long_in) { BLOCK_SAMPLES } else { shortest.into() };
        let [high, low] = (samples as u16 - 1).to_be_bytes();
        // Its number is coded as UTF-8 codes a character below 128.
        let head = [0xff, 0xf8, 0x7a, 0x08, (index % 128) as u8, high, low];
        messages.push(message(begins * 1000 / HZ, [&b"\x91fLaC"[..], &head, &[0; 16]].concat()));
        begins += samples;
    }
    messages
}

fn publish(name: &str, wishes: Wishes, messages: &[Message]) -> Simulation {
    let mut simulation = Simulation::new(HomeSettings { wishes, ..settings() });
    let id = simulation.attach();
    simulation.play(id, messages);
    simulation.stop();
    // Of a rate that is not known none can be said.
    simulation.viewer.faults.retain(|fault| !fault.contains("without a FRAME-RATE"));
    simulation.viewer.assert_faultless(name);
    simulation
}

#[test]
fn flac_in_blocks_longer_than_half_a_segment_plays() {
    for (name, wishes) in [("ultra", ULTRA), ("low", LOW), ("safe", SAFE)] {
        for late_ms in [0, BLOCK_SAMPLES * 1000 / HZ] {
            let pictures = Encoder { audio_hz: None, gop: Gop::Fixed(60), ..Encoder::default() }.messages(40);
            // A block is sent when its last sample is there, or its pictures wait as long.
            let sound = flac(40, u16::MAX, 1).into_iter().enumerate().map(|(index, message)| Message {
                at_us: message.at_us + if index > 0 { late_ms * 1000 } else { 0 },
                ..message
            });
            let mut messages: Vec<Message> = pictures.into_iter().chain(sound).collect();
            messages.sort_by_key(|message| message.at_us);
            let simulation = publish(name, wishes, &messages);
            let [pictures, blocks] = simulation.viewer.samples;
            assert_eq!(pictures, 1200, "{name} {late_ms}");
            assert!(blocks >= 27, "{name} {late_ms}: {blocks} of 29 blocks");
        }
    }
}

/// STREAMINFO announces them; the first second may have none.
#[test]
fn flac_of_short_blocks_and_some_long_ones_is_planned_for_the_long_ones() {
    let pictures = Encoder { audio_hz: None, gop: Gop::Fixed(60), ..Encoder::default() }.messages(40);
    let mut messages: Vec<Message> = pictures.into_iter().chain(flac(40, 4096, 40)).collect();
    messages.sort_by_key(|message| message.at_us);
    let simulation = publish("some long blocks", LOW, &messages);
    let sent = messages.iter().filter(|message| message.body.starts_with(b"\x91fLaC")).count() as u64;
    assert_eq!(simulation.viewer.samples[0], 1200);
    assert!(simulation.viewer.samples[1] + 2 >= sent, "{:?} of {sent}", simulation.viewer.samples);
    let longest = simulation.viewer.durations("a").into_keys().map(|(_, duration)| duration).max();
    assert_eq!(longest, Some(BLOCK_SAMPLES as u32), "none is clipped");
}

/// x264 says that every picture is a key picture, or nothing: a group of pictures is known before the rate is.
#[test]
fn a_picture_in_two_seconds_plays() {
    for (name, wishes) in [("ultra", ULTRA), ("low", LOW), ("safe", SAFE)] {
        for sei_keyint in [None, Some(1)] {
            for seconds_per_picture in [2, 4] {
                let fps = Some((1, seconds_per_picture));
                let encoder = Encoder { fps, gop: Gop::Fixed(1), sei_keyint, ..Encoder::default() };
                let simulation = publish(name, wishes, &encoder.messages(60));
                let case = format!("{name}, {sei_keyint:?}, {seconds_per_picture} s");
                let [pictures, _] = simulation.viewer.samples;
                assert!(pictures >= u64::from(60 / seconds_per_picture) - 5, "{case}: {pictures} pictures");
            }
        }
    }
}
