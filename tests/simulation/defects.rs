//! Defects of the server that this one succeeds, each over the whole way from messages to playlists.

use super::harness::{NAME, Simulation, get_text, settings};
use super::support::encoder::{Encoder, Gop};
use super::support::playlist::Media;
use rapidrtmp::hls::EventBody;
use rapidrtmp::origin::home::Departure;
use std::time::Duration;

#[test]
fn defect_2_sound_reaches_the_playlists() {
    let mut simulation = Simulation::new(settings());
    simulation.publish(&Encoder::default(), 10);
    simulation.stop();
    simulation.viewer.assert_faultless("sound");
    assert!(simulation.viewer.samples[1] >= 10 * 48_000 / 1024 - 1, "{:?}", simulation.viewer.samples);
    let multivariant = get_text(simulation.home.view_mut(), &format!("/{NAME}/index.m3u8")).expect("it");
    assert!(multivariant.contains("mp4a.40.2"), "{multivariant}");
}

/// Composition times were dropped and a rate of 30 invented.
#[test]
fn defect_3_pictures_keep_their_order_and_their_rate() {
    let mut simulation = Simulation::new(settings());
    simulation.viewer.keep_presentations = true;
    let encoder = Encoder { fps: Some((25, 1)), gop: Gop::Fixed(50), b_frames: 2, ..Encoder::default() };
    simulation.publish(&encoder, 10);
    simulation.stop();
    simulation.viewer.assert_faultless("B-frames");
    let mut shown = simulation.viewer.presentations.clone();
    assert!(!shown.is_sorted(), "decoded out of order");
    shown.sort_unstable();
    assert_eq!(shown.len(), 250);
    // One picture every 40 ms, none twice.
    assert!(shown.windows(2).all(|pair| pair[1] - pair[0] == 3600), "{shown:?}");
}

/// Segments were cut by a wall clock, and all said to last a second.
#[test]
fn defect_4_segments_are_cut_at_key_frames_and_say_how_long_they_are() {
    let mut simulation = Simulation::new(settings());
    simulation.publish(&Encoder { gop: Gop::SceneCuts(20, 80), seed: 11, ..Encoder::default() }, 60);
    simulation.viewer.assert_faultless("scene cuts");
    let media = simulation.viewer.held("v").expect("a playlist");
    let durations: Vec<Duration> = media.segments.iter().filter_map(|segment| segment.duration).collect();
    assert!(durations.windows(2).any(|pair| pair[0] != pair[1]), "{durations:?}");
    for segment in media.segments.iter().filter(|segment| !segment.parts.is_empty()) {
        assert!(segment.parts[0].independent, "segment {}", segment.media_sequence);
    }
}

/// Numbers restarted at 0 under the same names, and the end was 404 at once.
#[test]
fn defect_6_numbers_and_names_go_on_over_a_republish_and_an_end_is_played_out() {
    let mut simulation = Simulation::new(settings());
    let mut uris: Vec<String> = Vec::new();
    let mut numbers: Vec<u64> = Vec::new();
    for _ in 0..3 {
        let id = simulation.publish(&Encoder::default(), 6);
        simulation.detach(id, Departure::Lost);
        simulation.advance_ms(16_000);
        let session = simulation.viewer.sessions().pop().expect("a session");
        let text = get_text(simulation.home.view_mut(), &format!("/{NAME}/{session}/v.m3u8"));
        assert!(text.expect("it can be played out").contains("#EXT-X-ENDLIST"));
        let media: &Media = simulation.viewer.held("v").expect("a playlist");
        numbers.extend(media.segments.iter().map(|segment| segment.media_sequence));
        uris.extend(media.segments.iter().filter_map(|segment| segment.uri.clone()));
    }
    simulation.viewer.assert_faultless("republished");
    assert!(numbers.is_sorted_by(|before, after| before < after), "{numbers:?}");
    uris.sort_unstable();
    uris.dedup();
    assert_eq!(uris.len(), numbers.len());
}

/// A frame that came while the stream was stopped could be sent on a closed channel.
#[test]
fn defect_13_frames_that_come_after_a_stop_are_not_heard() {
    let encoder = Encoder::default();
    for pieces in [0, 1, 2] {
        let mut simulation = Simulation::new(settings());
        simulation.piece_bytes = 20;
        let id = simulation.publish(&encoder, 6);
        let messages = encoder.messages(8);
        let late = messages.iter().filter(|message| message.timestamp_ms >= 6000);
        let late: Vec<_> = late.cloned().collect();
        // The stop may fall into the middle of a message.
        let (first, rest) = late.split_first().expect("frames");
        simulation.send_pieces(id, first, pieces);
        simulation.stop();
        let events = simulation.events.len();
        assert!(matches!(simulation.events[events - 1].body, EventBody::End));
        for message in rest {
            simulation.send(id, message).expect("nobody hears it");
        }
        simulation.detach(id, Departure::Unpublished);
        assert_eq!(simulation.events.len(), events);
        simulation.viewer.assert_faultless("stopped");
    }
}
