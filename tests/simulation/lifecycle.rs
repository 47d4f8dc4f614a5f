//! Publishers that leave, come back, change, jump and fall silent: what viewers see goes on by the rules.

use super::harness::{NAME, SAFE, START_UNIX_US, Simulation, get, get_text, settings};
use super::support::encoder::{Encoder, Gop, Message};
use super::support::playlist::{Media, parse_multivariant};
use rapidrtmp::auth::TokenDigest;
use rapidrtmp::hls::{EventBody, StreamEvent};
use rapidrtmp::media::Now;
use rapidrtmp::origin::home::{Challenge, Departure, HomeError, HomeSettings, PublisherId, StreamState};
use rapidrtmp::origin::live::SessionSettings;
use rapidrtmp::rtmp::Role;

fn encoder() -> Encoder {
    Encoder { gop: Gop::Fixed(30), ..Encoder::default() }
}

/// A stream that has been live for some time.
fn live(seconds: u32) -> (Simulation, PublisherId) {
    let mut simulation = Simulation::new(settings());
    let id = simulation.publish(&encoder(), seconds);
    assert_eq!(simulation.home.state(), StreamState::Live);
    (simulation, id)
}

fn multivariant(simulation: &mut Simulation) -> Option<String> {
    get_text(simulation.home.view_mut(), &format!("/{NAME}/index.m3u8"))
}

/// Numbers of the segments before which a discontinuity stands.
fn discontinuities(media: &Media) -> Vec<u64> {
    let before = media.all_segments().filter(|segment| segment.discontinuity);
    before.map(|segment| segment.media_sequence).collect()
}

fn is_config(message: &Message) -> bool {
    message.body[1] == 0
}

/// Init segments of a rendition so far.
fn inits(simulation: &Simulation, rendition: u8) -> usize {
    let is_init =
        |event: &&StreamEvent| matches!(&event.body, EventBody::Init(init) if init.rendition.0 == rendition);
    simulation.events.iter().filter(is_init).count()
}

#[test]
fn a_publisher_back_within_its_grace_continues_its_session_after_a_discontinuity() {
    for (departure, away_ms) in [(Departure::Lost, 14_000), (Departure::Unpublished, 9_000)] {
        let (mut simulation, id) = live(10);
        let session = multivariant(&mut simulation);
        simulation.detach(id, departure);
        assert_eq!(simulation.home.state(), StreamState::Waiting);
        let waiting = simulation.viewer.held("v").expect("a playlist").clone();
        assert!(waiting.open.as_ref().is_some_and(|open| open.discontinuity), "it is said at once");
        simulation.advance_ms(away_ms);
        assert_eq!(multivariant(&mut simulation), session);
        simulation.publish(&encoder(), 10);
        assert_eq!(multivariant(&mut simulation), session);
        simulation.viewer.assert_faultless("back in time");
        for name in ["v", "a"] {
            let media = simulation.viewer.held(name).expect("a playlist");
            assert_eq!(discontinuities(media), [waiting.last_complete().expect("one") + 1], "{name}");
            assert!(media.last_complete() > waiting.last_complete(), "{name}");
        }
        assert_eq!((inits(&simulation, 0), inits(&simulation, 1)), (1, 1), "nothing changed");
    }
}

/// The same timescale and PART-TARGET, so the session goes on; a part holds six times as many frames.
#[test]
fn a_publisher_back_with_six_times_the_frame_rate_still_costs_one_copy() {
    let mut simulation = Simulation::new(HomeSettings { wishes: SAFE, ..settings() });
    let id = simulation.publish(&Encoder { fps: Some((10, 1)), gop: Gop::Fixed(20), ..encoder() }, 15);
    simulation.detach(id, Departure::Lost);
    simulation.advance_ms(1000);
    let faster =
        Encoder { fps: Some((60, 1)), gop: Gop::Fixed(120), b_frames: 2, frame_bytes: 20, ..encoder() };
    simulation.publish(&faster, 15);
    let (_, again) = simulation.home.live().expect("a session").bytes_copied();
    assert_eq!(again, 0);
    simulation.stop();
    simulation.viewer.assert_faultless("faster");
    assert_eq!(simulation.viewer.sessions().len(), 1);
    assert_eq!(simulation.viewer.samples[0], 150 + 900);
}

#[test]
fn a_publisher_back_too_late_begins_a_new_session_that_nobody_is_sent_to_too_early() {
    let (mut simulation, id) = live(10);
    let first = multivariant(&mut simulation).expect("a session");
    let last = simulation.viewer.held("v").and_then(Media::last_part).expect("parts");
    simulation.detach(id, Departure::Lost);
    simulation.advance_ms(15_001);
    assert_eq!(simulation.home.state(), StreamState::Ended);
    assert_eq!(multivariant(&mut simulation).as_ref(), Some(&first), "it can be played out");
    assert!(simulation.viewer.held("v").expect("a playlist").ended);

    let id = simulation.attach();
    assert_eq!(multivariant(&mut simulation), None);
    let messages = encoder().messages(10);
    let (before, after): (Vec<Message>, Vec<Message>) =
        messages.into_iter().partition(|message| message.at_us < 2_500_000);
    simulation.play(id, &before);
    assert_eq!(multivariant(&mut simulation), None, "not playable yet");
    let began_us = simulation.now.monotonic_us - before.last().map_or(0, |message| message.at_us);
    for message in after {
        simulation.advance_to(began_us + message.at_us);
        simulation.send(id, &message).expect("takes it");
    }
    let second = multivariant(&mut simulation).expect("the new session");
    assert_ne!(first, second);
    simulation.viewer.assert_faultless("two sessions");
    assert_eq!(simulation.viewer.sessions().len(), 2);
    let media = simulation.viewer.held("v").expect("the new playlist");
    assert!(media.media_sequence > last.0, "numbers go on");
    assert!(media.discontinuity_sequence > Some(0));
}

#[test]
fn a_stop_ends_the_session_at_once_and_all_of_it_is_forgotten_in_time() {
    let (mut simulation, _) = live(10);
    simulation.stop();
    assert_eq!(simulation.home.state(), StreamState::Ended);
    for name in ["v", "a"] {
        assert!(simulation.viewer.held(name).expect("a playlist").ended, "{name}");
    }
    simulation.viewer.assert_faultless("stopped");
    assert!(!simulation.home.is_over());
    simulation.advance_ms(120_000);
    assert!(simulation.home.is_over());
    assert_eq!(multivariant(&mut simulation), None);
    assert_eq!(simulation.home.view().window().retained_bytes(), 0);
}

#[test]
fn without_grace_a_goodbye_ends_the_session_at_once() {
    let mut simulation = Simulation::new(HomeSettings { unpublish_grace_us: 0, ..settings() });
    let id = simulation.publish(&encoder(), 6);
    simulation.detach(id, Departure::Unpublished);
    assert_eq!(simulation.home.state(), StreamState::Ended);
    let media = simulation.viewer.held("v").expect("a playlist");
    assert!(media.ended);
    assert_eq!(discontinuities(media), [] as [u64; 0], "nothing follows");
    simulation.viewer.assert_faultless("no grace");
}

#[test]
fn a_second_publisher_waits_until_the_first_speaks_or_has_been_silent_for_2_s() {
    let (mut simulation, id) = live(6);
    let asked_us = simulation.now.monotonic_us;
    let after = |ms: u64| Now { monotonic_us: asked_us + ms * 1000, unix_us: START_UNIX_US };
    assert_eq!(simulation.home.challenge(Role::Primary, asked_us, after(1900)), Challenge::Wait);
    assert_eq!(simulation.home.challenge(Role::Primary, asked_us, after(2000)), Challenge::TakeOver);
    simulation.advance_ms(500);
    let message = Message { timestamp_ms: 6500, ..encoder().messages(1).pop().expect("a frame") };
    simulation.send(id, &message).expect("takes it");
    assert_eq!(simulation.home.challenge(Role::Primary, asked_us, after(501)), Challenge::Busy);

    // Taken over: what the first still sends is not heard.
    simulation.detach(id, Departure::Lost);
    assert_eq!(simulation.home.challenge(Role::Primary, asked_us, after(501)), Challenge::Free);
    let second = simulation.attach();
    let events = simulation.events.len();
    simulation.send(id, &message).expect("ignored");
    simulation.detach(id, Departure::Lost);
    assert_eq!(simulation.events.len(), events);
    simulation.play(second, &encoder().messages(6));
    simulation.viewer.assert_faultless("taken over");
    assert_eq!(simulation.viewer.sessions().len(), 1);
}

#[test]
fn another_configuration_in_mid_publish_is_a_discontinuity_with_a_new_map_where_it_changed() {
    let (mut simulation, id) = live(10);
    let changed = Encoder { width_mbs: 40, first_ms: 10_000, seed: 3, ..encoder() };
    // The audio configuration is the same.
    simulation.play(id, &changed.messages(10));
    simulation.viewer.assert_faultless("changed");
    assert_eq!(simulation.viewer.sessions().len(), 1);
    let breaks = ["v", "a"].map(|name| discontinuities(simulation.viewer.held(name).expect("a playlist")));
    assert_eq!(breaks[0].len(), 1);
    assert_eq!(breaks[0], breaks[1], "at the same number in every rendition");
    assert_eq!((inits(&simulation, 0), inits(&simulation, 1)), (2, 1));
    let media = simulation.viewer.held("v").expect("a playlist");
    let maps = media.all_segments().filter(|segment| segment.map.is_some());
    let after_break = maps.map(|segment| segment.media_sequence).filter(|number| *number == breaks[0][0]);
    assert_eq!(after_break.count(), 1);
}

/// The same without a record: some hardware encoders change SPS and PPS in their key frames.
#[test]
fn parameter_sets_that_change_in_the_stream_are_another_configuration() {
    let (mut simulation, id) = live(10);
    let changed = Encoder { width_mbs: 40, first_ms: 10_000, seed: 3, ..encoder() };
    let mut messages = changed.messages(10);
    messages.retain(|message| !is_config(message));
    for key in messages.iter_mut().filter(|message| message.video && message.body[0] == 0x17) {
        key.body.splice(5..5, changed.parameter_sets());
    }
    simulation.play(id, &messages);
    simulation.viewer.assert_faultless("changed in band");
    assert_eq!(simulation.viewer.sessions().len(), 1);
    let breaks = ["v", "a"].map(|name| discontinuities(simulation.viewer.held(name).expect("a playlist")));
    assert_eq!(breaks[0].len(), 1);
    assert_eq!(breaks[0], breaks[1], "at the same number in every rendition");
    assert_eq!((inits(&simulation, 0), inits(&simulation, 1)), (2, 1));
    simulation.stop();
    assert_eq!(simulation.viewer.samples[0], 600, "no picture is lost");
    assert_eq!(simulation.viewer.durations("v").len(), 1);
}

/// 6.2.6: the init segment of the part that is hinted is hinted at as well, and is there.
#[test]
fn the_next_init_segment_is_hinted_at_while_the_new_parameters_are_learnt() {
    let (mut simulation, id) = live(10);
    let changed = Encoder { width_mbs: 40, first_ms: 10_000, ..encoder() };
    let messages = changed.messages(10);
    let (before, after): (Vec<Message>, Vec<Message>) =
        messages.into_iter().partition(|message| message.at_us < 200_000);
    let began_us = simulation.now.monotonic_us;
    simulation.play(id, &before);
    let hints = |simulation: &Simulation, name: &str| -> Vec<(String, String)> {
        let hints = &simulation.viewer.held(name).expect("a playlist").hints;
        hints.iter().map(|hint| (hint.kind.clone(), hint.uri.clone())).collect()
    };
    let [(part, _), (map, uri)] = &hints(&simulation, "v")[..] else { panic!("a part and its map") };
    assert_eq!((part.as_str(), map.as_str()), ("PART", "MAP"));
    assert_eq!(hints(&simulation, "a").len(), 1, "sound keeps its own");
    let path = format!("/{NAME}/{}", uri.strip_prefix("../").expect("beside the session"));
    assert!(get(simulation.home.view_mut(), &path).is_some(), "`{path}` can be fetched");
    for message in after {
        simulation.advance_to(began_us + message.at_us);
        simulation.send(id, &message).expect("takes it");
    }
    simulation.viewer.assert_faultless("hinted");
    let media = simulation.viewer.held("v").expect("a playlist");
    let mut used = media.all_segments().filter_map(|segment| segment.map.as_ref());
    assert_eq!(used.next_back().map(|map| &map.uri), Some(uri));
    assert_eq!((inits(&simulation, 0), inits(&simulation, 1)), (2, 1));
}

/// The profile of the codec, the size and the rate of pictures may change within a session: who comes later is told so.
#[test]
fn the_multivariant_playlist_says_what_is_published_now() {
    let (mut simulation, id) = live(10);
    let of = |simulation: &mut Simulation| {
        let text = multivariant(simulation).expect("a session");
        parse_multivariant(&text).expect("a playlist").variants.remove(0)
    };
    let before = of(&mut simulation);
    assert_eq!(before.resolution, Some((320, 180)));
    assert_eq!(before.codecs, ["avc1.4D401F", "mp4a.40.2"]);
    let changed =
        Encoder { width_mbs: 40, fps: Some((15, 1)), gop: Gop::Fixed(15), first_ms: 10_000, ..encoder() };
    let mut messages = changed.messages(10);
    // Level 4, in the record and in its SPS.
    for config in messages.iter_mut().filter(|message| message.video && is_config(message)) {
        let level = [5 + 3, 5 + 8 + 3];
        level.iter().for_each(|&at| config.body[at] = 40);
    }
    simulation.play(id, &messages);
    simulation.viewer.assert_faultless("changed");
    assert_eq!(simulation.viewer.sessions().len(), 1);
    let after = of(&mut simulation);
    assert_eq!(after.resolution, Some((640, 180)));
    assert_eq!(after.codecs, ["avc1.4D4028", "mp4a.40.2"]);
    assert_eq!((before.frame_rate.as_deref(), after.frame_rate.as_deref()), (Some("30.000"), Some("15.000")));
}

/// An encoder that no record tells of: its parameters are the same, its pictures six times as many.
#[test]
fn another_frame_rate_under_the_same_configuration_is_learnt_anew() {
    let base = Encoder { fps: Some((10, 1)), gop: Gop::Fixed(10), sps_timing: false, ..encoder() };
    let mut simulation = Simulation::new(settings());
    let id = simulation.publish(&base, 10);
    let faster = Encoder { fps: Some((60, 1)), gop: Gop::Fixed(60), first_ms: 10_000, ..base };
    let mut messages = faster.messages(20);
    messages.retain(|message| !is_config(message));
    simulation.play(id, &messages);
    simulation.viewer.faults.retain(|fault| !fault.contains("begins in the future"));
    simulation.viewer.assert_faultless("faster");
    assert_eq!(simulation.viewer.sessions().len(), 1);
    let text = multivariant(&mut simulation).expect("a session");
    assert!(text.contains("FRAME-RATE=60.000"), "{text}");
    simulation.stop();
    // Two seconds of them were too many until that was noticed.
    assert!(simulation.viewer.samples[0] >= 100 + 18 * 60, "{:?}", simulation.viewer.samples);
}

#[test]
fn a_track_that_appears_late_begins_a_new_session() {
    let late = |video: bool| -> Vec<Message> {
        let is_late = |message: &Message| message.video == video && !is_config(message);
        let messages = encoder().messages(20).into_iter();
        messages.filter(|message| !is_late(message) || message.at_us > 7_970_000).collect()
    };
    let mut simulation = Simulation::new(settings());
    let id = simulation.attach();
    simulation.play(id, &late(false));
    simulation.viewer.assert_faultless("late sound");
    assert_eq!(simulation.viewer.sessions().len(), 2);
    assert!(simulation.viewer.held("a").is_some());

    let mut simulation = Simulation::new(settings());
    let id = simulation.attach();
    simulation.play(id, &late(true));
    simulation.viewer.assert_faultless("late pictures");
    assert_eq!(simulation.viewer.sessions().len(), 2);
    simulation.stop();
    let first_frames = simulation.viewer.samples[0];
    assert_eq!(first_frames, 360, "from the first IDR on");
}

#[test]
fn leaps_of_an_hour_are_a_discontinuity_and_nothing_is_lost() {
    let hour: i64 = 3_600_000;
    for leap in [hour, -hour] {
        let base = Encoder { first_ms: 5_000_000, ..encoder() };
        let mut simulation = Simulation::new(settings());
        let id = simulation.publish(&base, 10);
        let leapt = Encoder { first_ms: (5_010_000 + leap) as u32, ..base };
        // A leap comes without new configurations.
        let messages: Vec<Message> =
            leapt.messages(10).into_iter().filter(|message| !is_config(message)).collect();
        simulation.play(id, &messages);
        simulation.viewer.assert_faultless("leapt");
        assert_eq!(simulation.viewer.sessions().len(), 1, "{leap}");
        for name in ["v", "a"] {
            assert_eq!(discontinuities(simulation.viewer.held(name).expect("a playlist")).len(), 1, "{leap}");
        }
        let repairs = simulation.home.live().expect("a session").repairs();
        assert_eq!(repairs.discontinuities, 1, "{leap}: {repairs:?}");
        simulation.stop();
        assert_eq!(simulation.viewer.samples[0], 600, "{leap}");
    }
}

#[test]
fn the_clock_wraps_without_a_trace() {
    for wraps_at in [1u64 << 31, 1 << 32] {
        let first_ms = (wraps_at - 8_000) as u32;
        let mut simulation = Simulation::new(settings());
        let id = simulation.attach();
        let mut messages = Encoder { first_ms, ..encoder() }.messages(20);
        for message in &mut messages {
            message.timestamp_ms &= (wraps_at - 1) as u32;
        }
        simulation.play(id, &messages);
        simulation.stop();
        simulation.viewer.assert_faultless("wrapped");
        assert_eq!(simulation.viewer.samples[0], 600, "{wraps_at}");
        assert_eq!(simulation.viewer.durations("v").len(), 1, "{wraps_at}");
        assert_eq!(discontinuities(simulation.viewer.held("v").expect("a playlist")), [] as [u64; 0]);
    }
}

#[test]
fn beyond_its_bytes_the_window_shrinks_and_then_the_publisher_is_refused() {
    let window = |bytes: u64| {
        let base = settings();
        let session = SessionSettings { retained_bytes_max: bytes, ..base.session };
        let mut simulation = Simulation::new(HomeSettings { session, ..base });
        let id = simulation.attach();
        let messages = Encoder { frame_bytes: 2000, ..encoder() }.messages(60);
        let began_us = simulation.now.monotonic_us;
        let refused = messages.iter().find_map(|message| {
            simulation.advance_to(began_us + message.at_us);
            simulation.send(id, message).err()
        });
        if refused.is_some() {
            simulation.detach(id, Departure::Lost);
        }
        simulation.viewer.assert_faultless("bounded");
        let kept = simulation.home.view().window().retained_bytes();
        (simulation.viewer.held("v").map_or(0, |media| media.segments.len()), kept, refused, simulation)
    };
    let (whole, kept, refused, _) = window(256 << 20);
    assert!(refused.is_none() && whole >= 7, "{whole} {refused:?}");
    let (shrunk, bytes, refused, _) = window(kept / 10 * 9);
    assert!(refused.is_none() && shrunk < whole && bytes <= kept / 10 * 9, "{shrunk} {whole} {refused:?}");
    let (_, _, refused, simulation) = window(kept / 2);
    assert!(
        matches!(refused, Some(HomeError::RetainedBytes { found, allowed }) if found > allowed),
        "{refused:?}"
    );
    assert_eq!(simulation.home.state(), StreamState::Ended);
}

/// Assertion 77.
#[test]
fn sound_that_stops_for_5_s_is_continued_with_silence() {
    let mut simulation = Simulation::new(settings());
    let id = simulation.attach();
    let silent = 8_000_000..13_000_000;
    let messages: Vec<Message> = encoder()
        .messages(24)
        .into_iter()
        .filter(|message| message.video || !silent.contains(&message.at_us))
        .collect();
    simulation.play(id, &messages);
    simulation.stop();
    simulation.viewer.assert_faultless("silent sound");
    assert_eq!(simulation.viewer.samples[0], 720);
    let sound_s = simulation.viewer.samples[1] * 1024 / 48_000;
    assert!(sound_s >= 23, "{sound_s} s of sound");
    assert_eq!(discontinuities(simulation.viewer.held("a").expect("a playlist")), [] as [u64; 0]);
}

#[test]
fn pictures_that_stop_while_sound_goes_on_leave_gaps_and_come_back() {
    let mut simulation = Simulation::new(settings());
    let id = simulation.attach();
    let silent = 8_000_000..13_000_000;
    let messages: Vec<Message> = encoder()
        .messages(24)
        .into_iter()
        .filter(|message| !message.video || !silent.contains(&message.at_us))
        .collect();
    simulation.play(id, &messages);
    simulation.stop();
    simulation.viewer.assert_faultless("no pictures");
    assert_eq!(simulation.viewer.sessions().len(), 1);
    let findings = simulation.events.iter().filter(
        |event| matches!(&event.body, EventBody::Part(part) | EventBody::PartAndClose(part, _) if part.media.is_none()),
    );
    assert!(findings.count() >= 10, "gap parts for 5 s");
    assert!(simulation.viewer.samples[0] >= 720 - 5 * 30 - 30, "{:?}", simulation.viewer.samples);
    assert!(simulation.viewer.samples[1] >= 1120, "{:?}", simulation.viewer.samples);
}

/// A new process: with what was written of the old one, or without.
#[test]
fn numbers_never_go_back_over_a_restart_and_an_open_page_survives_it() {
    for recorded in [true, false] {
        let (mut before, _) = live(20);
        let media = before.viewer.held("v").expect("a playlist").clone();
        let session = before.viewer.sessions().remove(0);
        let crashed = before.now;
        let now = Now { monotonic_us: 1_000_000, unix_us: crashed.unix_us + 3_000_000 };
        let record = before.record.take();
        let mut after = Simulation::with_record(settings(), record.as_ref().filter(|_| recorded), now);
        after.publish(&encoder(), 20);
        after.viewer.assert_faultless("restarted");
        let later = after.viewer.held("v").expect("a playlist").clone();
        assert!(later.media_sequence > media.last_part().expect("parts").0, "recorded {recorded}");
        assert!(later.discontinuity_sequence >= media.discontinuity_sequence, "recorded {recorded}");
        let new_session = after.viewer.sessions().remove(0);
        assert_ne!(session, new_session);
        let values = |session: &str| session.split_once('-').map(|(_, values)| values.to_owned());
        assert_eq!(values(&session), values(&new_session), "the frozen values are kept");
        // The old page asks for its session, also for a delta, and gets the live one in full.
        let path = format!("/{NAME}/{session}/v.m3u8");
        let full = get_text(after.home.view_mut(), &format!("/{NAME}/{new_session}/v.m3u8"));
        assert!(full.is_some());
        assert_eq!(get_text(after.home.view_mut(), &path), full);
        assert_eq!(get_text(after.home.view_mut(), &format!("{path}?_HLS_skip=YES")), full);
        // Of other values, it is none of ours.
        let other = session.replace("-2-", "-3-");
        assert_eq!(get_text(after.home.view_mut(), &format!("/{NAME}/{other}/v.m3u8")), None);
    }
}

/// Another process, or the same one after it has forgotten the stream: what is left is the record.
#[test]
fn the_next_session_has_the_values_of_its_own_gop_and_an_open_page_survives_only_what_fits() {
    let gop = |frames: u32, said: bool| Encoder {
        gop: Gop::Fixed(frames),
        sei_keyint: said.then_some(frames),
        ..Encoder::default()
    };
    for ended in [true, false] {
        for said in [true, false] {
            for (first, second, target_s) in
                [(30, 150, 5), (300, 30, 2), (60, 30, 2), (30, 60, 2), (30, 72, 2)]
            {
                let case = format!("ended {ended}, said {said}, {first} then {second} frames");
                let mut before = Simulation::new(settings());
                before.publish(&gop(first, said), 24);
                let held = before.viewer.held("v").expect("a playlist").clone();
                if ended {
                    before.stop();
                }
                let session = before.viewer.sessions().remove(0);
                let now = Now { monotonic_us: 1_000_000, unix_us: before.now.unix_us + 60_000_000 };
                let mut after = Simulation::with_record(settings(), before.record.as_ref(), now);
                after.publish(&gop(second, said), 24);
                after.viewer.assert_faultless(&case);
                let later = after.viewer.held("v").expect("a playlist").clone();
                assert_eq!(later.target_duration_s, target_s, "{case}");
                let findings = after.home.live().expect("a session").findings();
                assert_eq!(findings.forced_cuts, 0, "{case}");
                assert!(later.media_sequence > held.last_part().expect("parts").0, "{case}: numbers go on");
                let survives =
                    get_text(after.home.view_mut(), &format!("/{NAME}/{session}/v.m3u8")).is_some();
                assert_eq!(survives, held.target_duration_s == target_s, "{case}: an open page");
            }
        }
    }
}

#[test]
fn the_token_that_started_a_session_resumes_it_until_its_end_and_no_other_does() {
    let (mine, others) = (TokenDigest::of("mine"), TokenDigest::of("others"));
    let mut simulation = Simulation::new(settings());
    let resumes = |simulation: &Simulation| [mine, others].map(|token| simulation.home.is_resumed_by(token));
    let id = simulation.attach_by(Some(mine));
    assert_eq!(resumes(&simulation), [false, false], "no session yet");
    simulation.play(id, &encoder().messages(6));
    assert_eq!(resumes(&simulation), [true, false], "live");
    simulation.detach(id, Departure::Lost);
    assert_eq!(resumes(&simulation), [true, false], "waiting");
    assert_eq!(simulation.record.as_ref().and_then(|record| record.token), Some(mine));

    // Another valid token goes on with it; the session is still that of the first.
    let id = simulation.attach_by(Some(others));
    simulation.play(id, &encoder().messages(6));
    assert_eq!(resumes(&simulation), [true, false], "gone on with");
    // Its tracks change, and it starts a session of its own.
    let video_only = Encoder { audio_hz: None, ..encoder() };
    simulation.detach(id, Departure::Lost);
    let id = simulation.attach_by(Some(others));
    simulation.play(id, &video_only.messages(6));
    assert_eq!(simulation.viewer.sessions().len(), 2);
    assert_eq!(resumes(&simulation), [false, true], "a new session");

    simulation.detach(id, Departure::Lost);
    simulation.advance_ms(15_001);
    assert_eq!(resumes(&simulation), [false, false], "ended");
    assert_eq!(simulation.record.as_ref().and_then(|record| record.token), None);
    // Where nobody is asked for a token, none is kept.
    simulation.publish(&encoder(), 6);
    assert_eq!(resumes(&simulation), [false, false], "open");
}

/// A publisher whose pictures change their size every few seconds, or whose time leaps every second.
#[test]
fn a_publisher_that_turns_again_and_again_is_ended_and_its_stream_is_in_order() {
    for (name, round_s, leap_ms, expected) in [
        ("changes", 4, 0, "more than 10 changes of parameters or tracks in a minute"),
        ("leaps", 1, 500_000, "more than 30 leaps of timestamps in a minute"),
    ] {
        let mut simulation = Simulation::new(HomeSettings { gop_ms: Some(1000), ..settings() });
        let id = simulation.attach();
        let began_us = simulation.now.monotonic_us;
        let rounds = (0..40_u32).flat_map(|round| {
            let changes = leap_ms == 0;
            let encoder = Encoder {
                first_ms: round * (round_s * 1000 + leap_ms),
                width_mbs: if changes { 20 + round % 2 } else { 20 },
                ..Encoder::default()
            };
            let mut messages = encoder.messages(round_s);
            messages.retain(|message| round == 0 || changes || message.body[1] != 0);
            messages.into_iter().map(move |message| (round * round_s, message))
        });
        let mut ended = None;
        for (second, message) in rounds {
            simulation.advance_to(began_us + u64::from(second) * 1_000_000 + message.at_us);
            if let Err(error) = simulation.send(id, &message) {
                ended = Some((second, error.to_string()));
                break;
            }
        }
        let (second, error) = ended.unwrap_or_else(|| panic!("{name}: it goes on"));
        assert_eq!(error, expected, "{name}: after {second} s");
        assert!((30..70).contains(&second), "{name}: after {second} s");
        simulation.detach(id, Departure::Lost);
        // Who comes next, and is steady, is played.
        let next = simulation.publish(&Encoder::default(), 10);
        simulation.detach(next, Departure::Unpublished);
        simulation.viewer.assert_faultless(name);
    }
}

/// While media comes in time nothing else calls the home, for hours.
#[test]
fn memory_of_retired_media_comes_back_while_a_stream_goes_on_and_when_it_has_ended() {
    let (mut simulation, id) = live(20);
    let mut most_count = 0;
    let messages = encoder().messages(120);
    let began_us = simulation.now.monotonic_us;
    for message in &messages {
        simulation.advance_to(began_us + message.at_us);
        simulation.send(id, message).unwrap();
        most_count = most_count.max(simulation.home.retired_count());
    }
    // What two segments of either rendition consist of.
    assert!((1..60).contains(&most_count), "{most_count} pieces wait to be given back");
    simulation.detach(id, Departure::Lost);
    simulation.advance_ms(3_600_000);
    assert_eq!(simulation.home.retired_count(), 0);
}

/// An hour either way: nothing leaves too early, nothing stays for an hour, and no date steps.
#[test]
fn a_host_whose_clock_is_set_keeps_its_promises_and_no_more() {
    let kept = |by_us: i64| {
        let (mut simulation, id) = live(30);
        simulation.now.unix_us = simulation.now.unix_us.saturating_add_signed(by_us);
        simulation.play(id, &Encoder { first_ms: 30_000, ..encoder() }.messages(60));
        if by_us < 0 {
            // The clock of those who look is wrong as well.
            simulation.viewer.faults.retain(|fault| !fault.contains("begins in the future"));
        }
        simulation.viewer.assert_faultless("set");
        assert!(simulation.home.retired_count() < 60, "{} pieces wait", simulation.home.retired_count());
        let kept = simulation.home.view().window().retained_bytes();
        simulation.stop();
        simulation.advance_ms(120_000);
        assert!(simulation.home.is_over() && simulation.home.retired_count() == 0, "{by_us}");
        kept
    };
    let expected = kept(0);
    assert_eq!([3_600_000_000, -3_600_000_000].map(kept), [expected; 2]);
}
