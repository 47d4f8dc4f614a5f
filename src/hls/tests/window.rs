use super::*;
use crate::hls::bandwidth;
use crate::hls::numbering::Numbering;
use crate::hls::window::{CountOf, DeclaredBandwidth, Lookup, PartKey};
use crate::limits::{PART_BUFFER_BYTES_MIN, SESSIONS_KEPT_MAX};

fn header(playlist: &str, tag: &str) -> u64 {
    playlist.lines().find_map(|line| line.strip_prefix(tag)).unwrap().parse().unwrap()
}

fn listed_segments(playlist: &str) -> usize {
    playlist.matches("#EXTINF:").count()
}

#[test]
fn the_window_keeps_the_longer_of_its_two_rules_and_never_less_than_three_targets() {
    // Segments of 2 s: wished segments and milliseconds, and what stays listed.
    for (segments, ms, expected) in
        [(6, 14_000, 7), (10, 14_000, 10), (0, 0, 3), (1, 5_000, 3), (0, 6_001, 4), (0, 21_000, 11)]
    {
        let mut start = session_start(vec![video()]);
        start.window_segments_min = segments;
        start.window_ms_min = ms;
        let mut stream = Stream::new(start);
        stream.segments(30);
        stream.playable();
        let playlist = stream.playlist(V, Form::Full);
        assert_eq!(listed_segments(&playlist), expected, "{segments} segments, {ms} ms");
        assert_eq!(header(&playlist, "#EXT-X-MEDIA-SEQUENCE:"), 1031 - expected as u64);
    }
}

#[test]
fn t16_the_discontinuity_sequence_grows_when_the_tag_leaves_not_before() {
    let mut stream = Stream::playing(1);
    let sequence =
        |stream: &Stream| header(&stream.playlist(V, Form::Full), "#EXT-X-DISCONTINUITY-SEQUENCE:");
    stream.segment(V, true, false);
    stream.segment(V, true, false);
    let mut seen = Vec::new();
    for _ in 0..8 {
        stream.segment(V, false, false);
        seen.push(sequence(&stream));
    }
    // Seven are listed: 1002 leaves with the seventh after it, 1003 with the next.
    assert_eq!(seen, [4, 4, 4, 4, 4, 5, 6, 6]);
}

#[test]
fn t54_what_has_left_stays_for_its_duration_the_longest_playlist_and_three_targets() {
    let mut stream = Stream::playing(7);
    assert!(matches!(stream.window.segment(EPOCH, "v", 1001), Lookup::Found(_)));
    let left_unix_ms = stream.at_unix_ms + 2000;
    stream.segments(1);
    assert!(!stream.playlist(V, Form::Full).contains("v-s1001.m4s"));
    // 16 s of the longest playlist, 2 s of its own, 6 s for three targets, and a millisecond of rounding.
    stream.at_unix_ms = left_unix_ms + 24_000;
    stream.part(V, Some(false));
    let Lookup::Found(segment) = stream.window.segment(EPOCH, "v", 1001) else { panic!() };
    let bytes: Vec<u8> = segment.parts().flat_map(|media| media.bytes().to_vec()).collect();
    assert_eq!(bytes, b"part 0 0part 0 1part 0 2part 0 3");
    assert_eq!(segment.bytes_len(), bytes.len() as u64);
    assert!(stream.window.take_retired().is_empty());
    stream.at_unix_ms += 1;
    stream.part(V, None);
    assert!(matches!(stream.window.segment(EPOCH, "v", 1001), Lookup::Gone));
    assert!(matches!(stream.window.part(EPOCH, "v", 0), Lookup::Gone));
    assert!(matches!(stream.window.part(EPOCH, "v", 4), Lookup::Found(_)));
    let retired = stream.window.take_retired();
    assert_eq!(retired.len(), 4, "its parts; audio segments are shorter, so the first left later");
    assert!(matches!(stream.window.init(EPOCH, "v", 0), Lookup::Found(_)));
}

#[test]
fn an_init_segment_stays_as_long_as_a_segment_needs_it() {
    let mut stream = Stream::playing(2);
    stream.announce_inits(1);
    for rendition in [V, A] {
        stream.segment(rendition, true, false);
    }
    stream.segments(12);
    assert!(matches!(stream.window.init(EPOCH, "v", 0), Lookup::Found(_)));
    stream.segments(12);
    assert!(matches!(stream.window.init(EPOCH, "v", 0), Lookup::Gone));
    assert!(matches!(stream.window.init(EPOCH, "v", 1), Lookup::Found(_)));
    assert!(matches!(stream.window.init(EPOCH, "v", 2), Lookup::NotYet));
}

#[test]
fn t50_only_the_next_part_of_a_live_session_is_hinted() {
    let mut stream = Stream::playing(2);
    let other = Epoch { random: 1, ..EPOCH };
    for (epoch, name, number, expected) in [
        (EPOCH, "v", 8, Lookup::Hinted),
        (EPOCH, "v", 9, Lookup::NotYet),
        (EPOCH, "v", u64::MAX, Lookup::NotYet),
        (EPOCH, "x", 8, Lookup::Gone),
        (other, "v", 0, Lookup::Gone),
    ] {
        assert_eq!(stream.window.part(epoch, name, number), expected, "{name} {number}");
    }
    assert!(matches!(stream.window.segment(EPOCH, "v", 1003), Lookup::NotYet));
    assert!(matches!(stream.window.segment(EPOCH, "v", 1000), Lookup::Gone));
    stream.push(EventBody::End);
    assert_eq!(stream.window.part(EPOCH, "v", 8), Lookup::Gone);
    assert!(matches!(stream.window.part(EPOCH, "v", 7), Lookup::Found(_)));
    assert!(matches!(stream.window.segment(EPOCH, "v", 1003), Lookup::Gone));
}

#[test]
fn a_change_says_who_is_to_be_woken() {
    let mut stream = Stream::playing(1);
    let session = stream.start.session;
    let last_part = PartKey { media_sequence: 1002, index: 0 };
    let listed = Change::Updated { session, rendition: V, last_part, part_listed: true, closed: None };
    assert_eq!(stream.part(V, Some(false)), listed);
    let Change::Updated { part_listed, closed, .. } = stream.close(V, false) else { panic!() };
    assert!(!part_listed && closed.is_some());
    assert_eq!(stream.push(EventBody::End), Change::Ended(session));
}

#[test]
fn a_contradiction_is_refused_and_changes_nothing() {
    let mut stream = Stream::playing(1);
    stream.part(V, Some(false));
    let good = stream.next_part(V, None, 45_000);
    let head =
        SegmentHead { media_sequence: 1002, program_date_time_unix_ms: 0, discontinuity: false, init: 0 };
    let opening = |head| EventBody::Part(Part { rendition: A, number: 4, opens: Some(head), ..good.clone() });
    let number = |rendition, what, found, allowed| EventError::Number { rendition, what, found, allowed };
    let init = |number| InitSegment { rendition: V, number, bytes: Bytes::new() };
    let before = format!("{:?}", stream.window.snapshot());
    for (body, expected) in [
        (EventBody::Part(Part { number: 6, ..good.clone() }), number(V, CountOf::Parts, 6, 5)),
        (EventBody::Part(Part { number: 4, ..good.clone() }), number(V, CountOf::Parts, 4, 5)),
        (
            EventBody::Part(Part { duration_ticks: 0, ..good.clone() }),
            EventError::PartDuration { rendition: V, found_ticks: 0, target_ms: 500 },
        ),
        (
            EventBody::Part(Part { duration_ticks: 45_001, ..good.clone() }),
            EventError::PartDuration { rendition: V, found_ticks: 45_001, target_ms: 500 },
        ),
        (EventBody::Part(Part { opens: Some(head), ..good.clone() }), EventError::Order { rendition: V }),
        (
            EventBody::Part(Part { rendition: A, number: 4, ..good.clone() }),
            EventError::PartDuration { rendition: A, found_ticks: 45_000, target_ms: 500 },
        ),
        (
            EventBody::Part(Part { rendition: A, number: 4, duration_ticks: 1024, ..good.clone() }),
            EventError::Order { rendition: A },
        ),
        (
            EventBody::Part(Part { rendition: RenditionId(2), ..good.clone() }),
            EventError::Rendition(RenditionId(2)),
        ),
        (
            EventBody::Close(Close { rendition: A, discontinuity_follows: false }),
            EventError::Order { rendition: A },
        ),
        (
            EventBody::PartAndClose(good.clone(), Close { rendition: A, discontinuity_follows: false }),
            EventError::Order { rendition: V },
        ),
        (EventBody::Init(init(0)), number(V, CountOf::Inits, 0, 1)),
        (EventBody::Start(Box::new(stream.start.clone())), EventError::Session),
        (EventBody::Playable { bandwidth_bits: 1, average_bandwidth_bits: 1 }, EventError::Session),
        (EventBody::Retire(stream.start.session), EventError::Session),
    ] {
        assert_eq!(stream.try_push(body.clone()), Err(expected), "{body:?}");
    }
    let short = |head: SegmentHead| {
        let EventBody::Part(part) = opening(head) else { unreachable!() };
        EventBody::Part(Part { duration_ticks: 1024, ..part })
    };
    for (head, expected) in [
        (SegmentHead { media_sequence: 1003, ..head }, number(A, CountOf::Segments, 1003, 1002)),
        (SegmentHead { init: 1, ..head }, EventError::InitUnknown { rendition: A, number: 1 }),
    ] {
        assert_eq!(stream.try_push(short(head)), Err(expected));
    }
    assert_eq!(format!("{:?}", stream.window.snapshot()), before);
}

#[test]
fn t4_no_segment_can_round_above_the_target_duration() {
    let mut stream = Stream::playing(1);
    stream.part(V, Some(false));
    for _ in 0..3 {
        stream.part(V, None);
    }
    let long = stream.next_part(V, None, 45_000);
    let refused = EventError::SegmentDuration { rendition: V, allowed_s: 2 };
    assert_eq!(stream.try_push(EventBody::Part(long.clone())), Err(refused));
    stream.push(EventBody::Part(Part { duration_ticks: 44_999, ..long }));
    stream.close(V, false);
    assert!(stream.playlist(V, Form::Full).contains("#EXTINF:2.49998,"));
}

#[test]
fn a_discontinuity_that_was_listed_must_come() {
    let mut stream = Stream::playing(1);
    stream.segment(V, false, true);
    let part = stream.next_part(V, Some(false), 45_000);
    assert_eq!(stream.try_push(EventBody::Part(part)), Err(EventError::Order { rendition: V }));
}

#[test]
fn a_session_start_that_breaks_a_rule_is_refused() {
    type Break = fn(&mut SessionStart);
    let breaks: [Break; 12] = [
        |start| start.renditions.clear(),
        |start| start.renditions.swap(0, 1),
        |start| start.renditions[1].name = "v".into(),
        |start| start.renditions[1].name = "A/".into(),
        |start| start.renditions[1].codecs = "a\"b".into(),
        |start| start.session.target_duration_s = 0,
        |start| start.session.part_target_ms = 2001,
        |start| start.part_hold_back_ms = 1499,
        |start| start.can_skip_until_s = 11,
        |start| start.window_segments_min = u32::MAX,
        |start| start.prefill_gap_segments = u32::MAX,
        |start| (start.media_sequence_first, start.prefill_gap_segments) = (1, 2),
    ];
    for (index, break_rule) in breaks.into_iter().enumerate() {
        let mut start = session_start(vec![video(), audio(A)]);
        break_rule(&mut start);
        let event = StreamEvent { at_unix_ms: 0, body: EventBody::Start(Box::new(start)) };
        let refused = Window::new().apply(&event);
        assert!(matches!(refused, Err(EventError::Start(_))), "{index}: {refused:?}");
    }
}

#[test]
fn many_bytes_shrink_the_window_first_and_then_refuse_the_publisher() {
    let mut start = session_start(vec![video()]);
    // Of a hundred parts, each in the smallest buffer.
    start.retained_bytes_max = 100 * PART_BUFFER_BYTES_MIN as u64;
    let mut stream = Stream::new(start);
    let big = |stream: &mut Stream, bytes: usize| {
        stream.at_unix_ms += 2000;
        for index in 0..4 {
            let part = stream.next_part(V, (index == 0).then_some(false), 45_000);
            let media = Some(MediaRef::Memory(vec![0; bytes / 4].into()));
            stream.push(EventBody::Part(Part { media, ..part }));
        }
        stream.close(V, false);
    };
    for _ in 0..7 {
        big(&mut stream, 4_000);
    }
    stream.playable();
    assert_eq!(listed_segments(&stream.playlist(V, Form::Full)), 7);
    // 75 of them are crossed by the twelfth segment after; the playlist then lists three targets only.
    for _ in 0..12 {
        big(&mut stream, 4_000);
    }
    assert_eq!(listed_segments(&stream.playlist(V, Form::Full)), 3);
    assert!(!stream.window.over_bound());
    for _ in 0..40 {
        big(&mut stream, 4_000);
        assert!(!stream.window.over_bound(), "a shorter window is enough");
    }
    for _ in 0..3 {
        big(&mut stream, 20 * PART_BUFFER_BYTES_MIN);
    }
    assert!(stream.window.over_bound());
}

#[test]
fn the_oldest_ended_session_goes_when_there_are_too_many() {
    let mut stream = Stream::av();
    for index in 1..=SESSIONS_KEPT_MAX as u64 {
        stream.push(EventBody::End);
        let mut start = stream.start.clone();
        start.session.started_unix_ms += index;
        stream.push(EventBody::Start(Box::new(start)));
    }
    assert_eq!(stream.window.sessions().count(), SESSIONS_KEPT_MAX);
    assert!(stream.window.start(stream.start.session).is_none());
    assert_eq!(stream.window.take_retired().len(), 2, "its init segments");
}

#[test]
fn t74_the_numbers_follow_the_newest_segment_of_any_rendition() {
    let mut stream = Stream::playing(2);
    stream.segment(V, true, false);
    stream.announce_inits(1);
    stream.part(V, Some(true));
    let mut numbering = Numbering::new(0, EPOCH.random, None);
    stream.events.iter().for_each(|event| numbering.observe(event));
    let record = numbering.record();
    // 1001 to 1004 were opened, the last two of them discontinuous, after sequence 4.
    assert_eq!((record.media_sequence_last, record.discontinuity_sequence_last), (1004, 6));
    assert_eq!((numbering.next_part("v"), numbering.next_part("a"), numbering.next_part("x")), (13, 8, 0));
    assert_eq!((numbering.next_init("v"), numbering.next_init("x")), (2, 0));
    let frozen = record.session.unwrap();
    assert_eq!((frozen.id, frozen.bandwidth_bits), (stream.start.session, Some(3_000_000)));
    let next = numbering.start_session(0, 2, 500, 3);
    assert_eq!((next.media_sequence_first, next.discontinuity_sequence_first), (1008, 7));
    assert!(next.session > stream.start.session);
}

#[test]
fn gap_segments_alone_do_not_make_a_session_playable() {
    let mut start = session_start(vec![video()]);
    start.prefill_gap_segments = 2;
    let mut stream = Stream::new(start);
    stream.part(V, Some(false));
    let playable = EventBody::Playable { bandwidth_bits: 1, average_bandwidth_bits: 1 };
    assert_eq!(stream.try_push(playable.clone()), Err(EventError::Session));
    stream.close(V, false);
    assert!(stream.try_push(playable).is_ok());
}

#[test]
fn bandwidth_is_the_sum_of_peaks_and_averages_with_room_to_spare() {
    let mut stream = Stream::av();
    assert_eq!(bandwidth::declare(&stream.window, stream.start.session), None);
    let segment = |stream: &mut Stream, rendition, bytes: usize, ms: u64| {
        let scale = u64::from(stream.start.renditions[usize::from(rendition as u8)].timescale.get());
        let rendition = RenditionId(rendition as u8);
        let part = stream.next_part(rendition, Some(false), ms * scale / 1000);
        let media = Some(MediaRef::Memory(vec![0; bytes].into()));
        let close = Close { rendition, discontinuity_follows: false };
        stream.push(EventBody::PartAndClose(Part { media, ..part }, close));
    };
    // Three of half a second, 8, 16 and 24 kilobytes: runs of 1 to 3 s count, the best is the last two.
    for bytes in [8_000, 16_000, 24_000] {
        segment(&mut stream, 0, bytes, 500);
    }
    segment(&mut stream, 1, 1_000, 500);
    let declared = bandwidth::declare(&stream.window, stream.start.session).unwrap();
    // Video: 40,000 bytes in 1 s and 48,000 in 1.5 s. Audio: 1,000 bytes in 0.5 s.
    let peak_bits = (320_000 + 16_000) * 125 / 100;
    let average_bits: u64 = (256_000 + 16_000) * 110 / 100;
    let average_bits = average_bits.next_multiple_of(1000);
    assert_eq!(declared, DeclaredBandwidth { peak_bits, average_bits });
}
