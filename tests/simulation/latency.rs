//! How long a part's newest frame is here before the part is listed: on a clock that stands still while the
//! server works, what is left is what the design itself waits for.

use super::harness::{Simulation, ULTRA, settings};
use super::support::encoder::{Encoder, Gop};
use rapidrtmp::hls::EventBody;
use rapidrtmp::origin::home::HomeSettings;

#[test]
fn a_part_is_listed_with_its_last_frame_but_for_one_a_segment() {
    let mut simulation = Simulation::new(HomeSettings { wishes: ULTRA, ..settings() });
    let encoder = Encoder { audio_hz: None, gop: Gop::Fixed(30), jitter_us: 0, ..Encoder::default() };
    simulation.publish(&encoder, 20);
    let waits_us = &simulation.frame_to_part_us;

    let is_playable = |body: &EventBody| matches!(body, EventBody::Playable { .. });
    let playable = simulation.events.iter().find(|event| is_playable(&event.body)).expect("it plays");
    // The update that made it playable replays what was learnt from.
    let later = simulation.events.iter().filter(|event| event.at_unix_ms > playable.at_unix_ms);
    let parts = later.filter(|event| matches!(event.body, EventBody::Part(_) | EventBody::PartAndClose(..)));
    assert_eq!(waits_us.len(), parts.count());

    // The last part of a segment waits for the keyframe after it, one frame later; the others for nothing.
    let (at_once, held): (Vec<u64>, Vec<u64>) = waits_us.iter().partition(|&&wait_us| wait_us == 0);
    let segments_count = at_once.len() / 4;
    assert!(held.len().abs_diff(segments_count) <= 2, "{} held, {} not", held.len(), at_once.len());
    assert!(held.iter().all(|wait_us| (33_000..=34_000).contains(wait_us)), "{held:?}");
}

#[test]
fn what_was_learnt_from_counts_for_nothing_before_there_is_a_playlist() {
    let mut simulation = Simulation::new(settings());
    let encoder = Encoder { jitter_us: 0, ..Encoder::default() };
    simulation.publish(&encoder, 1);
    assert!(simulation.playable_at_us.is_empty() && simulation.frame_to_part_us.is_empty());
}
