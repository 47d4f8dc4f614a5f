//! Two publishers of one stream: when the one on air leaves or falls behind, the other goes on from its next key
//! frame, and nothing in any playlist or part tells of it.

use super::harness::{NAME, Simulation, get_text, settings};
use super::support::encoder::{Encoder, Gop, Message, Random};
use super::support::playlist::{Media, Segment};
use rapidrtmp::hls::{EventBody, SegmentHead, StreamEvent};
use rapidrtmp::media::TrackKind;
use rapidrtmp::origin::home::{
    Because, Challenge, Departure, HomeSettings, Note, Present, PublisherId, StreamState,
};
use rapidrtmp::origin::live::{Difference, Fit};
use rapidrtmp::rtmp::Role::{Backup, Primary};
use rapidrtmp::rtmp::{MediaFragment, Role};
use std::collections::VecDeque;

fn primary() -> Encoder {
    Encoder { gop: Gop::Fixed(60), ..Encoder::default() }
}

/// The same settings on another machine: other timestamps, other pictures, other delays.
fn backup() -> Encoder {
    Encoder { first_ms: 4_294_900_000, seed: 77, jitter_us: 25_000, ..primary() }
}

/// A home, and encoders that send to it at the same time.
struct Stage {
    simulation: Simulation,
    /// Each one's messages, by the time of their arrival; `None` while it does not get through.
    feeds: Vec<(PublisherId, VecDeque<Message>, bool)>,
    began_us: u64,
}

impl Stage {
    fn new(settings: HomeSettings) -> Self {
        let simulation = Simulation::new(settings);
        Self { began_us: simulation.now.monotonic_us, simulation, feeds: Vec::new() }
    }

    /// With a primary that has been live for 10 s, and a backup that came after 3.7 s: their key frames are
    /// apart.
    fn with_pair(settings: HomeSettings, backup: &Encoder) -> (Self, PublisherId, PublisherId) {
        let mut stage = Self::new(settings);
        let first = stage.join(Primary, &primary());
        stage.run_ms(3700);
        let second = stage.join(Backup, backup);
        stage.run_ms(6300);
        assert_eq!(stage.on_air(), Some(Primary));
        (stage, first, second)
    }

    fn join(&mut self, role: Role, encoder: &Encoder) -> PublisherId {
        self.join_with(role, encoder.messages(120))
    }

    fn join_with(&mut self, role: Role, messages: Vec<Message>) -> PublisherId {
        let now_us = self.simulation.now.monotonic_us;
        let id = self.simulation.attach_as(role);
        let messages = messages.into_iter();
        let messages = messages.map(|message| Message { at_us: now_us + message.at_us, ..message });
        self.feeds.push((id, messages.collect(), true));
        id
    }

    fn leave(&mut self, id: PublisherId, departure: Departure) {
        self.feeds.retain(|(feed, ..)| *feed != id);
        self.simulation.detach(id, departure);
    }

    /// Its network holds its messages up, or lets them through again, all at once.
    fn hold(&mut self, id: PublisherId, holds: bool) {
        for (feed, _, gets_through) in &mut self.feeds {
            *gets_through = if *feed == id { !holds } else { *gets_through };
        }
    }

    fn next(&mut self) -> Option<(PublisherId, Message)> {
        let open = self.feeds.iter_mut().filter(|(.., gets_through)| *gets_through);
        let earliest =
            open.min_by_key(|(_, messages, _)| messages.front().map_or(u64::MAX, |first| first.at_us));
        earliest.and_then(|(id, messages, _)| Some((*id, messages.pop_front()?)))
    }

    fn run_ms(&mut self, ms: u64) {
        let until_us = self.simulation.now.monotonic_us + ms * 1000;
        while let Some((id, message)) = self.next() {
            if message.at_us > until_us {
                let feed = self.feeds.iter_mut().find(|(feed, ..)| *feed == id).expect("it was there");
                feed.1.push_front(message);
                break;
            }
            self.simulation.advance_to(message.at_us.max(self.simulation.now.monotonic_us));
            self.simulation.send(id, &message).expect("takes it");
        }
        self.simulation.advance_to(until_us);
    }

    fn on_air(&self) -> Option<Role> {
        self.simulation.home.present().find(|present| present.is_on_air).map(|present| present.role)
    }

    fn take_overs(&self) -> Vec<(Role, Because, bool)> {
        let of = |note: &Note| match *note {
            Note::TookOver { role, because, is_hitless } => Some((role, because, is_hitless)),
            Note::Standby(..) => None,
        };
        self.simulation.notes.iter().filter_map(of).collect()
    }

    fn heads(&self, rendition: u8) -> Vec<SegmentHead> {
        let of = |event: &StreamEvent| match &event.body {
            EventBody::Part(part) | EventBody::PartAndClose(part, _) if part.rendition.0 == rendition => {
                part.opens
            }
            _ => None,
        };
        self.simulation.events.iter().filter_map(of).collect()
    }

    fn inits(&self) -> [usize; 2] {
        [0, 1].map(|rendition| {
            let is_init = |event: &&StreamEvent| matches!(&event.body, EventBody::Init(init) if init.rendition.0 == rendition);
            self.simulation.events.iter().filter(is_init).count()
        })
    }

    fn held(&self, name: &str) -> &Media {
        self.simulation.viewer.held(name).expect("a playlist")
    }

    fn discontinuities(&self) -> [usize; 2] {
        ["v", "a"].map(|name| self.held(name).all_segments().filter(|segment| segment.discontinuity).count())
    }

    fn gaps(&self) -> usize {
        let is_gap = |event: &&StreamEvent| match &event.body {
            EventBody::Part(part) | EventBody::PartAndClose(part, _) => part.media.is_none(),
            _ => false,
        };
        self.simulation.events.iter().filter(is_gap).count()
    }

    /// Nothing tells that anybody took over.
    fn assert_unnoticed(&self, case: &str) {
        self.simulation.viewer.assert_faultless(case);
        assert_eq!(self.simulation.viewer.sessions().len(), 1, "{case}");
        assert_eq!((self.discontinuities(), self.inits(), self.gaps()), ([0, 0], [1, 1], 0), "{case}");
        for rendition in [0, 1] {
            let heads = self.heads(rendition);
            for pair in heads.windows(2) {
                assert_eq!(pair[1].media_sequence, pair[0].media_sequence + 1, "{case}");
                assert!(!pair[1].discontinuity, "{case}");
            }
        }
    }
}

/// Longest time between two parts of the pictures, milliseconds, since `from_us`.
fn longest_pause_ms(stage: &Stage, from_ms: u64) -> u64 {
    let of_pictures = |event: &&StreamEvent| match &event.body {
        EventBody::Part(part) | EventBody::PartAndClose(part, _) => part.rendition.0 == 0,
        _ => false,
    };
    let times: Vec<u64> =
        stage.simulation.events.iter().filter(of_pictures).map(|event| event.at_unix_ms).collect();
    let late = times.windows(2).filter(|pair| pair[1] > from_ms);
    late.map(|pair| pair[1] - pair[0]).max().unwrap_or(0)
}

#[test]
fn the_backup_goes_on_where_the_primary_left_and_nothing_tells_of_it() {
    let muxed = rapidrtmp::origin::live::SessionSettings { muxed: true, ..settings().session };
    for departure in [Departure::Lost, Departure::Unpublished] {
        // At any place of the primary's and the backup's groups of pictures.
        for at_ms in (0..2000).step_by(190) {
            let case = format!("{departure:?} after {at_ms} ms");
            let (mut stage, first, _) = Stage::with_pair(settings(), &backup());
            stage.run_ms(at_ms);
            let left_unix_ms = stage.simulation.now.unix_us / 1000;
            stage.leave(first, departure);
            assert_eq!(stage.simulation.home.state(), StreamState::Live, "{case}");
            assert_eq!(stage.on_air(), Some(Backup), "{case}");
            stage.run_ms(20_000);
            stage.assert_unnoticed(&case);
            assert_eq!(stage.take_overs(), [(Backup, Because::Left, true)], "{case}");
            let pause_ms = longest_pause_ms(&stage, left_unix_ms);
            assert!(pause_ms <= 2000 + 2 * 334 + 60, "{case}: {pause_ms} ms without a part");
            assert_eq!(stage.simulation.home.live().expect("a session").repairs().discontinuities, 0);
        }
    }
    let (mut stage, first, _) = Stage::with_pair(HomeSettings { session: muxed, ..settings() }, &backup());
    stage.leave(first, Departure::Lost);
    stage.run_ms(10_000);
    stage.simulation.viewer.assert_faultless("muxed");
    assert_eq!(stage.take_overs(), [(Backup, Because::Left, true)]);
    let breaks = stage.held("av").all_segments().filter(|segment| segment.discontinuity).count();
    assert_eq!(breaks, 0);
}

/// Its parameter sets do not tell, as those of most encoders do.
#[test]
fn pictures_that_are_reordered_differently_follow_a_discontinuity() {
    for (mine, others, is_hitless) in [(0, 2, false), (2, 0, false), (2, 2, true)] {
        let mut stage = Stage::new(settings());
        let first = stage.join(Primary, &Encoder { b_frames: mine, ..primary() });
        stage.run_ms(3_700);
        stage.join(Backup, &Encoder { b_frames: others, ..backup() });
        stage.run_ms(6_600);
        stage.leave(first, Departure::Lost);
        stage.run_ms(10_000);
        stage.simulation.viewer.assert_faultless("reordered");
        assert_eq!(stage.take_overs(), [(Backup, Because::Left, is_hitless)]);
        assert_eq!(stage.discontinuities(), [usize::from(!is_hitless); 2]);
    }
}

#[test]
fn dates_go_on_with_media_time_and_are_early_by_what_was_lost() {
    let (mut stage, first, _) = Stage::with_pair(settings(), &backup());
    let date = |segment: &Segment| segment.program_date_time_unix_ms.expect("a date");
    stage.run_ms(700);
    stage.leave(first, Departure::Lost);
    stage.run_ms(40_000);
    stage.assert_unnoticed("dates");
    let media = stage.held("v");
    let mut segments = media.segments.iter();
    let mut previous = segments.next().expect("a segment");
    for segment in segments {
        let dated = date(segment) - date(previous);
        let lasted = previous.duration.expect("a duration").as_millis() as u64;
        assert!(dated.abs_diff(lasted) <= 1, "{dated} ms by date, {lasted} by duration");
        previous = segment;
    }
    // The backup's key frames come 3.7 s after the primary's: 700 ms into a group the next is 1 s away.
    let now_ms = stage.simulation.now.unix_us / 1000;
    let newest = media.open.as_ref().map(date).expect("an open segment");
    assert!((800..4000).contains(&(now_ms - newest)), "{} ms behind", now_ms - newest);
}

#[test]
fn a_primary_whose_media_falls_behind_for_a_second_is_replaced_and_comes_back_when_it_is_steady() {
    for held_up_ms in [3_900, 25_000] {
        let case = format!("held up for {held_up_ms} ms");
        let settings = HomeSettings { failback_us: 5_000_000, ..settings() };
        let (mut stage, first, second) = Stage::with_pair(settings, &backup());
        stage.hold(first, true);
        stage.run_ms(1_600);
        assert_eq!(stage.on_air(), Some(Primary), "{case}: it has been behind for less than a second");
        stage.run_ms(held_up_ms - 1_600);
        assert_eq!(stage.on_air(), Some(Backup), "{case}");
        // Its old frames come in a burst, and are not played.
        stage.hold(first, false);
        stage.run_ms(4_500);
        assert_eq!(stage.on_air(), Some(Backup), "{case}: it has not been steady for long enough");
        stage.run_ms(10_000);
        assert_eq!(stage.on_air(), Some(Primary), "{case}");
        let both = [(Backup, Because::Behind, true), (Primary, Because::Returned, true)];
        assert_eq!(stage.take_overs(), both, "{case}");
        stage.assert_unnoticed(&case);
        // And the other way round.
        stage.hold(first, true);
        stage.run_ms(10_000);
        stage.assert_unnoticed(&case);
        assert_eq!(stage.take_overs().last(), Some(&(Backup, Because::Behind, true)), "{case}");
        let present: Vec<Present> = stage.simulation.home.present().collect();
        assert_eq!(present.iter().map(|present| present.id).collect::<Vec<_>>(), [second, first], "{case}");
    }
}

#[test]
fn with_no_time_given_the_primary_comes_back_only_when_it_must() {
    let settings = HomeSettings { failback_us: 0, ..settings() };
    let (mut stage, first, second) = Stage::with_pair(settings, &backup());
    stage.leave(first, Departure::Lost);
    stage.run_ms(5_000);
    let again = stage.join(Primary, &Encoder { seed: 5, first_ms: 90_000, ..primary() });
    stage.run_ms(60_000);
    assert_eq!(stage.on_air(), Some(Backup));
    assert_eq!(stage.simulation.home.standby_fit(), Some(Fit::Hitless));
    stage.leave(second, Departure::Unpublished);
    stage.run_ms(5_000);
    assert_eq!(stage.on_air(), Some(Primary));
    stage.assert_unnoticed("there and back");
    assert_eq!(stage.take_overs(), [(Backup, Because::Left, true), (Primary, Because::Left, true)]);
    assert_eq!(stage.simulation.home.present().next().map(|present| present.id), Some(again));
}

#[test]
fn another_configuration_takes_over_with_a_discontinuity_and_a_map_where_it_differs() {
    let other = Encoder { width_mbs: 40, ..backup() };
    let (mut stage, first, _) = Stage::with_pair(settings(), &other);
    let difference = Difference::Configuration(TrackKind::Video);
    assert_eq!(stage.simulation.notes, [Note::Standby(Backup, Fit::Discontinuity(difference))]);
    stage.run_ms(700);
    stage.leave(first, Departure::Lost);
    stage.run_ms(8_000);
    stage.simulation.viewer.assert_faultless("another configuration");
    assert_eq!(stage.simulation.viewer.sessions().len(), 1);
    assert_eq!((stage.discontinuities(), stage.inits()), ([1, 1], [2, 1]));
    assert_eq!(stage.take_overs(), [(Backup, Because::Left, false)]);
    for (v, a) in stage.heads(0).iter().zip(stage.heads(1)) {
        assert_eq!((v.media_sequence, v.discontinuity), (a.media_sequence, a.discontinuity));
    }
    let numbers: Vec<u64> = stage.heads(0).iter().map(|head| head.media_sequence).collect();
    assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "{numbers:?}");
}

/// Its first frames are held up with the key frame that it takes over with: no date lies ahead because of that.
#[test]
fn a_late_key_frame_after_a_discontinuity_is_dated_as_if_it_had_come_in_time() {
    for at_ms in (0..2000).step_by(100) {
        let other = Encoder { width_mbs: 40, ..backup() };
        let (mut stage, first, second) = Stage::with_pair(settings(), &other);
        stage.run_ms(at_ms);
        stage.leave(first, Departure::Lost);
        stage.run_ms(300);
        stage.hold(second, true);
        stage.run_ms(600);
        stage.hold(second, false);
        stage.run_ms(20_000);
        stage.simulation.viewer.assert_faultless(&format!("after {at_ms} ms"));
        assert_eq!(stage.take_overs(), [(Backup, Because::Left, false)], "after {at_ms} ms");
    }
}

/// A frame is held until the next one tells how long it lasts: the key frame goes on behind it.
#[test]
fn encoders_without_a_frame_rate_go_on_with_the_key_frame() {
    let uneven = |encoder: Encoder| {
        let mut messages = Encoder { sps_timing: false, ..encoder }.messages(60);
        for (index, message) in (0..).zip(messages.iter_mut().filter(|message| message.video)) {
            message.timestamp_ms = message.timestamp_ms.wrapping_add(index * 7 % 17);
        }
        messages
    };
    let mut stage = Stage::new(settings());
    let first = stage.join_with(Primary, uneven(primary()));
    stage.run_ms(3_700);
    stage.join_with(Backup, uneven(backup()));
    stage.run_ms(6_900);
    assert_eq!(stage.simulation.notes, [Note::Standby(Backup, Fit::Hitless)]);
    let discarded = |stage: &Stage| stage.simulation.home.live().expect("a session").repairs().discarded;
    let before = discarded(&stage);
    stage.leave(first, Departure::Lost);
    stage.run_ms(10_000);
    assert_eq!(stage.take_overs(), [(Backup, Because::Left, true)]);
    assert_eq!(discarded(&stage), before, "the key frame and what follows it are taken");
    // Of a rate that varies the multivariant playlist says nothing.
    let faults = stage.simulation.viewer.faults.iter();
    let others: Vec<_> = faults.filter(|fault| !fault.contains("without a FRAME-RATE")).collect();
    assert!(others.is_empty(), "{others:?}");
    assert!(stage.heads(0).iter().chain(&stage.heads(1)).all(|head| !head.discontinuity));
}

/// One that came back first, and sends nothing that plays.
#[test]
fn a_publisher_without_media_does_not_keep_the_other_one_off_air() {
    let (mut stage, first, second) = Stage::with_pair(settings(), &backup());
    stage.leave(first, Departure::Lost);
    stage.leave(second, Departure::Lost);
    stage.run_ms(1_000);
    assert_eq!(stage.simulation.home.state(), StreamState::Waiting);
    stage.join_with(Primary, Vec::new());
    stage.run_ms(1_000);
    stage.join(Backup, &backup());
    stage.run_ms(9_000);
    assert_eq!(stage.on_air(), Some(Backup));
    assert_eq!(stage.simulation.home.state(), StreamState::Live);
    assert_eq!(stage.simulation.viewer.sessions().len(), 1);
    stage.simulation.viewer.assert_faultless("a publisher without media");
}

#[test]
fn what_does_not_fit_begins_a_new_session_once_it_is_alone_and_never_before() {
    let silent = Encoder { audio_hz: None, ..backup() };
    let settings = HomeSettings { failback_us: 1_000_000, ..settings() };
    let (mut stage, first, _) = Stage::with_pair(settings, &silent);
    assert_eq!(stage.simulation.notes, [Note::Standby(Backup, Fit::NewSession(Difference::Tracks))]);
    stage.hold(first, true);
    stage.run_ms(5_000);
    stage.hold(first, false);
    stage.run_ms(3_000);
    assert_eq!((stage.on_air(), stage.simulation.viewer.sessions().len()), (Some(Primary), 1));
    stage.leave(first, Departure::Lost);
    assert_eq!(get_text(stage.simulation.home.view_mut(), &format!("/{NAME}/index.m3u8")), None);
    stage.run_ms(12_000);
    assert_eq!(stage.simulation.viewer.sessions().len(), 2);
    assert_eq!(stage.take_overs(), [(Backup, Because::Left, false)]);
    assert_eq!(stage.simulation.home.state(), StreamState::Live);
}

#[test]
fn a_standby_that_comes_and_goes_disturbs_nothing() {
    let alone = {
        let mut stage = Stage::new(settings());
        stage.join(Primary, &primary());
        stage.run_ms(20_000);
        stage.simulation.events
    };
    let (mut stage, _, second) = Stage::with_pair(settings(), &Encoder { jitter_us: 0, ..backup() });
    stage.run_ms(3_000);
    stage.leave(second, Departure::Lost);
    stage.run_ms(2_000);
    stage.join(Backup, &Encoder { width_mbs: 40, jitter_us: 0, ..backup() });
    stage.run_ms(5_000);
    assert_eq!(stage.take_overs(), []);
    let bodies = |events: &[StreamEvent]| events.iter().map(|event| event.body.clone()).collect::<Vec<_>>();
    assert_eq!(bodies(&stage.simulation.events), bodies(&alone));
}

#[test]
fn when_both_are_gone_the_stream_waits_and_ends_as_without_a_pair() {
    // The backup leaves before its key frame, and after it.
    for between_ms in [50, 4_000] {
        let (mut stage, first, second) = Stage::with_pair(settings(), &backup());
        stage.run_ms(1_800);
        stage.leave(first, Departure::Lost);
        stage.run_ms(between_ms);
        stage.leave(second, Departure::Lost);
        assert_eq!(stage.simulation.home.state(), StreamState::Waiting);
        stage.run_ms(10_000);
        let third = stage.join(Primary, &primary());
        stage.run_ms(6_000);
        assert_eq!(stage.simulation.viewer.sessions().len(), 1);
        assert_eq!(stage.discontinuities(), [1, 1]);
        stage.leave(third, Departure::Lost);
        stage.run_ms(15_100);
        assert_eq!(stage.simulation.home.state(), StreamState::Ended);
        assert!(stage.held("v").ended && stage.held("a").ended);
        stage.simulation.viewer.assert_faultless("both gone");
    }
}

/// It is learnt, and then its key frames do not come any more.
#[test]
fn a_backup_that_brings_no_key_frame_is_waited_for_and_then_the_session_ends() {
    for unpublish_grace_us in [0, 14_000_000] {
        let mut stage = Stage::new(HomeSettings { unpublish_grace_us, ..settings() });
        let first = stage.join(Primary, &primary());
        stage.run_ms(3_000);
        stage.join(Backup, &Encoder { gop: Gop::Fixed(3600), ..backup() });
        stage.run_ms(5_000);
        stage.leave(first, Departure::Unpublished);
        let wait_ms = (unpublish_grace_us / 1000).max(12_000);
        stage.run_ms(wait_ms - 100);
        assert_eq!(stage.simulation.home.state(), StreamState::Live);
        assert!(!stage.held("v").ended);
        let session = stage.simulation.viewer.sessions().remove(0);
        stage.run_ms(200);
        for name in ["v", "a"] {
            let path = format!("/{NAME}/{session}/{name}.m3u8");
            let text = get_text(stage.simulation.home.view_mut(), &path).expect("its last playlist");
            assert!(text.contains("\n#EXT-X-ENDLIST\n"), "{text}");
        }
        assert_eq!((stage.discontinuities(), stage.take_overs()), ([0, 0], vec![]));
        stage.simulation.viewer.assert_faultless("no key frame");
        assert_eq!(stage.simulation.home.state(), StreamState::Starting, "it may still begin one");
    }
}

#[test]
fn a_primary_that_is_back_before_the_backup_took_over_is_held_ready() {
    let (mut stage, first, _) = Stage::with_pair(settings(), &backup());
    stage.run_ms(1_900);
    stage.leave(first, Departure::Lost);
    let again = stage.join(Primary, &primary());
    let present: Vec<(Role, bool)> =
        stage.simulation.home.present().map(|present| (present.role, present.is_on_air)).collect();
    assert_eq!(present, [(Backup, true), (Primary, false)]);
    stage.run_ms(6_000);
    assert_eq!(stage.on_air(), Some(Backup));
    // The backup's turn to leave.
    let backup = stage.simulation.home.present().next().expect("one").id;
    assert_ne!(backup, again);
    stage.leave(backup, Departure::Lost);
    stage.run_ms(6_000);
    assert_eq!(stage.on_air(), Some(Primary));
    stage.assert_unnoticed("back at once");
}

#[test]
fn each_role_is_taken_over_by_the_rules_of_one_publisher() {
    let (mut stage, first, second) = Stage::with_pair(settings(), &backup());
    let now = stage.simulation.now;
    for role in [Primary, Backup] {
        assert_eq!(stage.simulation.home.challenge(role, now.monotonic_us - 200_000, now), Challenge::Busy);
    }
    stage.hold(second, true);
    stage.run_ms(2_100);
    let (asked_us, now) = (now.monotonic_us + 50_000, stage.simulation.now);
    assert_eq!(stage.simulation.home.challenge(Primary, asked_us, now), Challenge::Busy);
    assert_eq!(stage.simulation.home.challenge(Backup, asked_us, now), Challenge::TakeOver);
    stage.leave(second, Departure::Lost);
    assert_eq!(stage.simulation.home.challenge(Backup, asked_us, now), Challenge::Free);
    // The backup alone is on air.
    let third = stage.join(Backup, &backup());
    stage.run_ms(1_000);
    stage.leave(first, Departure::Lost);
    stage.run_ms(4_000);
    assert_eq!(stage.simulation.home.present().map(|present| present.id).collect::<Vec<_>>(), [third]);
    assert_eq!(stage.simulation.home.challenge(Primary, asked_us, stage.simulation.now), Challenge::Free);
    stage.simulation.viewer.assert_faultless("challenged");
}

#[test]
fn sound_alone_switches_at_any_frame() {
    let sound = |encoder: Encoder| Encoder { fps: None, ..encoder };
    let mut stage = Stage::new(settings());
    let first = stage.join(Primary, &sound(primary()));
    stage.run_ms(3_000);
    stage.join(Backup, &sound(backup()));
    stage.run_ms(6_000);
    let left_unix_ms = stage.simulation.now.unix_us / 1000;
    stage.leave(first, Departure::Lost);
    stage.run_ms(6_000);
    stage.simulation.viewer.assert_faultless("sound");
    assert_eq!(stage.take_overs(), [(Backup, Because::Left, true)]);
    assert_eq!(stage.gaps(), 0);
    assert!(longest_pause_ms(&stage, left_unix_ms) < 500);
}

/// A message that is half here when its publisher is gone, and one that is half here when it goes off the air.
#[test]
fn frames_of_which_half_is_here_are_left_out() {
    let (mut stage, first, second) = Stage::with_pair(settings(), &backup());
    let half = |kind| MediaFragment {
        kind,
        timestamp_ms: 10_000,
        message_bytes: 500,
        payload: &[0x27, 1, 0, 0, 0, 0, 0, 1, 0xe7, 0x41, 9, 9],
        first: true,
        last: false,
    };
    stage.simulation.fragment(first, &half(TrackKind::Video)).expect("takes it");
    stage.simulation.fragment(second, &half(TrackKind::Video)).expect("takes it");
    let now = stage.simulation.now;
    stage
        .simulation
        .home
        .media_aborted(second, TrackKind::Video, now, &mut stage.simulation.pool)
        .expect("drops it");
    stage.leave(first, Departure::Lost);
    stage.run_ms(6_000);
    stage.assert_unnoticed("half a frame");
}

/// One loss after the other: dates are early by what was lost, up to a bound, and then a discontinuity sets them
/// right.
#[test]
fn dates_that_are_too_early_are_set_right_by_a_discontinuity() {
    let mut stage = Stage::new(settings());
    let mut on_air = stage.join(Primary, &primary());
    stage.run_ms(5_000);
    for round in 0..12 {
        let role = [Backup, Primary][round % 2];
        let other = stage.join(role, &Encoder { seed: 100 + round as u64, ..backup() });
        // Two groups of pictures, and a little of the third: most of it is lost.
        stage.run_ms(4_100);
        stage.leave(on_air, Departure::Lost);
        stage.run_ms(2_500);
        on_air = other;
    }
    stage.simulation.viewer.assert_faultless("losses");
    assert_eq!(stage.simulation.viewer.sessions().len(), 1);
    let with_break = stage.take_overs().iter().filter(|(.., is_hitless)| !is_hitless).count();
    assert!((1..=2).contains(&with_break), "{:?}", stage.take_overs());
    let dates: Vec<u64> = stage.heads(0).iter().map(|head| head.program_date_time_unix_ms).collect();
    let jumps = dates.windows(2).filter(|pair| pair[1] - pair[0] > 8_000).count();
    assert_eq!(jumps, with_break, "each sets the dates right");
}

/// Encoders come, go, hang and return at random.
#[test]
fn whatever_two_encoders_do_viewers_see_a_valid_stream() {
    for seed in 1..=12 {
        let mut random = Random::new(seed);
        let mut stage = Stage::new(HomeSettings { failback_us: 3_000_000, ..settings() });
        let mut ids: [Option<PublisherId>; 2] = [None, None];
        for round in 0..25 {
            let which = random.below(2) as usize;
            let role = [Primary, Backup][which];
            match (ids[which], random.below(4)) {
                (None, _) => {
                    let width_mbs = if random.below(6) == 0 { 40 } else { 20 };
                    let encoder = Encoder {
                        width_mbs,
                        seed: seed * 100 + round,
                        first_ms: random.below(1 << 32) as u32,
                        gop: Gop::Fixed(30 + 10 * random.below(4) as u32),
                        b_frames: random.below(3) as u32,
                        sound_ahead_us: random.below(400_000) as i64 - 200_000,
                        ..primary()
                    };
                    ids[which] = Some(stage.join(role, &encoder));
                }
                (Some(id), 0) => {
                    let departure =
                        if random.below(2) == 0 { Departure::Lost } else { Departure::Unpublished };
                    stage.leave(id, departure);
                    ids[which] = None;
                }
                (Some(id), 1) => stage.hold(id, true),
                (Some(id), _) => stage.hold(id, false),
            }
            stage.run_ms(random.below(5_000));
        }
        let case = format!("seed {seed}, after {:?}", stage.simulation.now.monotonic_us - stage.began_us);
        stage.simulation.viewer.assert_faultless(&case);
    }
}
