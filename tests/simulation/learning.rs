//! The first moments of a publisher: how soon it can be watched, and what of it is used.

use super::harness::{Simulation, settings};
use super::support::encoder::{Encoder, Gop, Message};
use rapidrtmp::hls::EventBody;
use rapidrtmp::limits::PARAMETER_CHANGES_PER_MIN_MAX;
use rapidrtmp::origin::home::{HomeError, HomeSettings, StreamState};

fn is_config(message: &Message) -> bool {
    message.body[1] == 0
}

#[test]
fn a_publisher_that_begins_in_mid_gop_is_used_from_its_first_idr_on() {
    let messages = Encoder { gop: Gop::Fixed(60), ..Encoder::default() }.messages(12);
    let late: Vec<Message> =
        messages.into_iter().filter(|message| is_config(message) || message.timestamp_ms >= 900).collect();
    let mut simulation = Simulation::new(settings());
    let id = simulation.attach();
    simulation.play(id, &late);
    simulation.stop();
    simulation.viewer.assert_faultless("mid GOP");
    assert_eq!(simulation.viewer.samples[0], 300, "10 of 12 seconds");
    assert!(simulation.viewer.samples[1] >= 467, "{:?}", simulation.viewer.samples);
}

/// Encoders flush sound first: it belongs behind the picture of its time.
#[test]
fn sound_that_is_sent_ahead_of_the_first_picture_is_not_lost() {
    let mut messages = Encoder::default().messages(12);
    messages.sort_by_key(|message| {
        (!is_config(message), message.timestamp_ms + if message.video { 600 } else { 0 }, message.video)
    });
    for message in &mut messages {
        let late_us = if message.video && !is_config(message) { 600_000 } else { 0 };
        message.at_us = u64::from(message.timestamp_ms) * 1000 + late_us;
    }
    let mut simulation = Simulation::new(settings());
    let id = simulation.attach();
    simulation.play(id, &messages);
    simulation.stop();
    simulation.viewer.assert_faultless("sound first");
    assert_eq!(simulation.viewer.samples, [360, 562]);
}

#[test]
fn a_publisher_that_stops_while_its_gop_is_learnt_is_decided_by_the_clock() {
    let mut simulation = Simulation::new(settings());
    simulation.publish(&Encoder { gop: Gop::Fixed(250), ..Encoder::default() }, 2);
    assert_eq!(simulation.home.state(), StreamState::Starting);
    simulation.advance_ms(9_900);
    assert_eq!(simulation.home.state(), StreamState::Starting);
    simulation.advance_ms(200);
    assert_eq!(simulation.home.state(), StreamState::Live);
    // No timer is left that fires for ever.
    simulation.advance_ms(60_000);
    simulation.viewer.assert_faultless("stopped early");
}

#[test]
fn a_configured_gop_is_not_learnt() {
    let mut simulation = Simulation::new(HomeSettings { gop_ms: Some(2000), ..settings() });
    let began_us = simulation.now.monotonic_us;
    simulation.publish(&Encoder { gop: Gop::Fixed(60), ..Encoder::default() }, 4);
    let playable_ms = (simulation.playable_at_us[0] - began_us) / 1000;
    assert!(playable_ms <= 2500, "{playable_ms}");
    simulation.viewer.assert_faultless("configured");
}

/// A leap while learning is not taken for a frame rate.
#[test]
fn a_leap_in_the_first_second_starts_the_learning_over() {
    let mut messages = Encoder { first_ms: 10_000_000, ..Encoder::default() }.messages(10);
    for message in messages.iter_mut().filter(|message| message.timestamp_ms < 10_000_500) {
        message.timestamp_ms -= 9_000_000;
    }
    let mut simulation = Simulation::new(settings());
    let id = simulation.attach();
    simulation.play(id, &messages);
    simulation.stop();
    simulation.viewer.assert_faultless("leapt");
    assert_eq!(simulation.viewer.durations("v").len(), 1, "on its grid");
    assert_eq!(simulation.viewer.samples[0], 270, "from the first IDR after the leap");
}

#[test]
fn the_first_date_is_that_of_the_frame_that_waited_least() {
    let messages = Encoder { jitter_us: 0, ..Encoder::default() }.messages(10);
    // A connection that catches up: its first second arrives in one piece, 900 ms late.
    let late = messages.into_iter().map(|message| Message { at_us: message.at_us.max(900_000), ..message });
    let mut simulation = Simulation::new(settings());
    let began_ms = simulation.now.unix_us / 1000;
    let id = simulation.attach();
    simulation.play(id, &late.collect::<Vec<_>>());
    simulation.viewer.assert_faultless("late first second");
    let first = simulation.events.iter().find_map(|event| match &event.body {
        EventBody::Part(part) => part.opens,
        _ => None,
    });
    let date = first.expect("a segment").program_date_time_unix_ms;
    assert!(date.abs_diff(began_ms) <= 40, "{date} of {began_ms}");
}

/// x264's keyint is the most that a GOP may be: one beyond 12 s is no length to wait for.
#[test]
fn a_gop_that_is_said_to_be_longer_than_12_s_gets_the_longest_segments_and_is_not_waited_for() {
    struct Case {
        name: &'static str,
        keyint: u32,
        gop_frames: u32,
        configured_ms: Option<u32>,
        /// What must come out.
        target_s: u64,
        live_within_ms: u64,
        forced_cuts_max: u64,
    }
    let base = Case {
        name: "ffmpeg's default at 15 frames a second: 16.7 s",
        keyint: 250,
        gop_frames: 250,
        configured_ms: None,
        target_s: 12,
        live_within_ms: 1500,
        forced_cuts_max: 4,
    };
    for case in [
        Case {
            name: "a keyint that is out of the way of forced key frames",
            keyint: 9999,
            gop_frames: 30,
            target_s: 2,
            live_within_ms: 3500,
            forced_cuts_max: 0,
            ..base
        },
        Case {
            name: "such a keyint, and no key frames all the same",
            keyint: 9999,
            gop_frames: 9999,
            live_within_ms: 12_500,
            ..base
        },
        Case {
            name: "a keyint of 40 s where the operator knows better",
            keyint: 600,
            gop_frames: 30,
            configured_ms: Some(2000),
            target_s: 2,
            forced_cuts_max: 0,
            ..base
        },
        base,
    ] {
        let mut simulation = Simulation::new(HomeSettings { gop_ms: case.configured_ms, ..settings() });
        let encoder = Encoder {
            fps: Some((15, 1)),
            gop: Gop::Fixed(case.gop_frames),
            sei_keyint: Some(case.keyint),
            ..Encoder::default()
        };
        let began_us = simulation.now.monotonic_us;
        let id = simulation.attach();
        let messages = encoder.messages(60);
        let (before, after): (Vec<Message>, Vec<Message>) =
            messages.into_iter().partition(|message| message.at_us < case.live_within_ms * 1000);
        simulation.play(id, &before);
        assert_eq!(simulation.home.state(), StreamState::Live, "{}", case.name);
        for message in after {
            simulation.advance_to(began_us + message.at_us);
            simulation.send(id, &message).expect("takes it");
        }
        simulation.viewer.assert_faultless(case.name);
        let media = simulation.viewer.held("v").expect("a playlist");
        assert_eq!(media.target_duration_s, case.target_s, "{}", case.name);
        let cuts = simulation.home.live().expect("a session").findings().forced_cuts;
        assert!(cuts <= case.forced_cuts_max, "{}: {cuts} forced cuts", case.name);
    }
}

/// Each loses what was kept, so a publisher that is never learnt must not go on like this.
#[test]
fn changes_of_configuration_are_counted_while_learning_too() {
    let config = |width_mbs| Encoder { width_mbs, ..Encoder::default() }.messages(1).remove(0);
    let configs = [config(20), config(40)];
    assert!(is_config(&configs[0]) && configs[0].video && configs[0].body != configs[1].body);
    let mut simulation = Simulation::new(settings());
    let id = simulation.attach();
    for index in 0..=PARAMETER_CHANGES_PER_MIN_MAX as usize {
        simulation.send(id, &configs[index % 2]).expect("the first and as many changes as are allowed");
        simulation.send(id, &configs[index % 2]).expect("the same again is none");
    }
    let next = &configs[(PARAMETER_CHANGES_PER_MIN_MAX as usize + 1) % 2];
    assert!(matches!(simulation.send(id, next), Err(HomeError::Turns(_))));
}
