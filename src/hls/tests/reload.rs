//! Reload decisions as tables, named by the numbered assertions of our protocol notes; sections are those
//! of draft-pantos-hls-rfc8216bis-22.
//!
//! In most tables segments 1001 to 1010 are complete with parts 0 to 3, 1011 is open with parts 0 and 1, and
//! PART-TARGET 0.5 makes an advance part limit of 6.

use super::*;
use crate::hls::reload::{Directives, Reject, Reload, Resolved, Until, decide, resolve};
use crate::hls::window::{Closed, PartKey};

const READY: Reload = Reload::Ready(Form::Full);

fn part(media_sequence: u64, index: u64) -> Reload {
    Reload::Wait(Until::Part(PartKey { media_sequence, index }))
}

fn segment(media_sequence: u64) -> Reload {
    Reload::Wait(Until::Segment { media_sequence })
}

fn open_at_1011() -> Stream {
    let mut stream = Stream::playing(10);
    stream.part(V, Some(false));
    stream.part(V, None);
    stream
}

impl Stream {
    fn reload(&self, query: &str) -> Reload {
        let resolved = resolve(&self.window, self.start.session, "v").unwrap();
        decide(&self.window, &resolved, &Directives::parse(query))
    }

    #[track_caller]
    fn assert_reloads(&self, table: &[(&str, Reload)]) {
        for &(query, expected) in table {
            assert_eq!(self.reload(query), expected, "{query:?}");
        }
    }

    #[track_caller]
    fn assert_rejects(&self, queries: &[&str]) {
        for query in queries {
            match self.reload(query) {
                Reload::Reject(reject) => assert_eq!(reject.status(), 400, "{query:?}"),
                other => panic!("{query:?}: {other:?}"),
            }
        }
    }
}

#[test]
fn t21_t22_what_is_listed_or_older_is_answered_at_once() {
    open_at_1011().assert_reloads(&[
        ("", READY),
        ("_HLS_msn=1010", READY),
        ("_HLS_msn=0", READY),
        ("_HLS_msn=0&_HLS_part=99", READY),
        ("_HLS_msn=1009&_HLS_part=99", READY),
        ("_HLS_msn=1010&_HLS_part=3", READY),
        ("_HLS_msn=1011&_HLS_part=0", READY),
        ("_HLS_msn=1011&_HLS_part=1", READY),
    ]);
}

#[test]
fn t23_t25_the_next_part_waits_for_itself_and_a_segment_for_its_end() {
    let mut stream = open_at_1011();
    stream.assert_reloads(&[
        ("_HLS_msn=1011&_HLS_part=2", part(1011, 2)),
        ("_HLS_msn=1011", segment(1011)),
        ("_HLS_msn=1012", segment(1012)),
        ("_HLS_msn=1012&_HLS_part=0", part(1012, 0)),
    ]);
    stream.part(V, None);
    stream.assert_reloads(&[("_HLS_msn=1011&_HLS_part=2", READY), ("_HLS_msn=1011", segment(1011))]);
    stream.close(V, false);
    stream.assert_reloads(&[("_HLS_msn=1011", READY), ("_HLS_msn=1012", segment(1012))]);
}

#[test]
fn t26_t27_an_index_past_a_complete_segment_means_part_0_of_the_next() {
    let mut stream = open_at_1011();
    stream.assert_reloads(&[
        ("_HLS_msn=1010&_HLS_part=4", READY),
        ("_HLS_msn=1010&_HLS_part=18446744073709551615", READY),
        ("_HLS_msn=1011&_HLS_part=5", part(1011, 5)),
    ]);
    // 1011 ends with three parts: who asked for its sixth now waits for the first of 1012.
    let last = stream.next_part(V, None, 45_000);
    let change =
        stream.push(EventBody::PartAndClose(last, Close { rendition: V, discontinuity_follows: false }));
    let Change::Updated { last_part, closed, .. } = change else { panic!("{change:?}") };
    assert_eq!(last_part, PartKey { media_sequence: 1011, index: 2 });
    assert_eq!(closed, Some(Closed { media_sequence: 1011, parts_count: 3 }));
    stream.assert_reloads(&[
        ("_HLS_msn=1011&_HLS_part=2", READY),
        ("_HLS_msn=1011&_HLS_part=3", part(1012, 0)),
        ("_HLS_msn=1011&_HLS_part=5", part(1012, 0)),
    ]);
    stream.part(V, Some(false));
    stream.assert_reloads(&[("_HLS_msn=1011&_HLS_part=5", READY)]);
}

#[test]
fn t28_a_segment_more_than_two_past_the_last_complete_one_is_rejected() {
    let stream = open_at_1011();
    stream.assert_reloads(&[("_HLS_msn=1012", segment(1012))]);
    for asked in [1013, u64::MAX] {
        let reject = Reload::Reject(Reject::SegmentTooFarAhead { asked, allowed: 1012 });
        stream.assert_reloads(&[(&format!("_HLS_msn={asked}"), reject)]);
        stream.assert_reloads(&[(&format!("_HLS_msn={asked}&_HLS_part=0"), reject)]);
    }
}

#[test]
fn t29_a_part_beyond_the_advance_part_limit_is_rejected() {
    let mut stream = open_at_1011();
    stream.assert_reloads(&[
        ("_HLS_msn=1011&_HLS_part=7", part(1011, 7)),
        ("_HLS_msn=1011&_HLS_part=8", Reload::Reject(Reject::PartTooFarAhead { asked: 8, allowed: 7 })),
        ("_HLS_msn=1012&_HLS_part=6", part(1012, 6)),
        ("_HLS_msn=1012&_HLS_part=7", Reload::Reject(Reject::PartTooFarAhead { asked: 7, allowed: 6 })),
    ]);
    stream.close(V, false);
    // Nothing is open: parts of the next segment count from its beginning.
    stream.assert_reloads(&[("_HLS_msn=1012&_HLS_part=6", part(1012, 6))]);
    stream.assert_rejects(&["_HLS_msn=1012&_HLS_part=7"]);
    for (part_target_ms, limit) in [(200, 15), (334, 8), (999, 3), (1000, 3), (2000, 3)] {
        let mut start = session_start(vec![video()]);
        start.session.part_target_ms = part_target_ms;
        start.part_hold_back_ms = 3 * part_target_ms;
        let mut stream = Stream::new(start);
        let ticks = u64::from(part_target_ms) * 90;
        let first = stream.next_part(V, Some(false), ticks);
        stream.push(EventBody::PartAndClose(first, Close { rendition: V, discontinuity_follows: false }));
        stream.playable();
        stream.assert_reloads(&[(&format!("_HLS_msn=1002&_HLS_part={limit}"), part(1002, limit))]);
        stream.assert_rejects(&[&format!("_HLS_msn=1002&_HLS_part={}", limit + 1)]);
    }
}

#[test]
fn t30_a_part_without_its_segment_is_rejected() {
    let stream = open_at_1011();
    let reject = Reload::Reject(Reject::PartWithoutSegment);
    stream.assert_reloads(&[("_HLS_part=0", reject), ("_HLS_part=99&_HLS_skip=YES", reject)]);
}

#[test]
fn t31_malformed_and_contradicting_values_are_rejected() {
    let values = ["abc", "", "-1", "+1", "1.5", "1e3", " 1", "0x10", "1180591620717411303424"];
    let stream = open_at_1011();
    for value in values.into_iter().chain(["18446744073709551616", "%31%", "%3", "%zz", "%c3%a9", "1%00"]) {
        stream.assert_rejects(&[
            &format!("_HLS_msn={value}"),
            &format!("_HLS_msn=1011&_HLS_part={value}"),
            &format!("_HLS_part={value}"),
        ]);
    }
    stream.assert_rejects(&[
        "_HLS_msn",
        "_HLS_msn=1010&_HLS_msn=1011",
        "_HLS_msn=1010&_HLS_msn=x",
        "_HLS_msn=x&_HLS_msn=1010",
        "_HLS_msn=1011&_HLS_part=0&_HLS_part=1",
        "_HLS_skip=YES&_HLS_skip=v2",
    ]);
    stream.assert_reloads(&[
        ("_HLS_msn=1010&_HLS_msn=1010", READY),
        ("_HLS_msn=01010", READY),
        ("_HLS_skip=YES&_HLS_skip=YES", Reload::Ready(Form::Delta)),
    ]);
}

#[test]
fn t33_after_endlist_directives_count_for_nothing_even_malformed_ones() {
    let mut stream = open_at_1011();
    stream.close(V, false);
    assert!(matches!(stream.push(EventBody::End), Change::Ended(_)));
    for query in ["_HLS_msn=1013", "_HLS_msn=99999", "_HLS_part=1", "_HLS_msn=x", "_HLS_skip=YES"] {
        stream.assert_reloads(&[(query, READY)]);
    }
}

#[test]
fn t36_t37_order_and_foreign_parameters_do_not_matter() {
    let stream = open_at_1011();
    for query in [
        "_HLS_msn=1011&_HLS_part=2&_HLS_skip=YES",
        "_HLS_skip=YES&_HLS_part=2&_HLS_msn=1011",
        "token=a=b&_HLS_part=2&x&_HLS_msn=1011&CMCD=bl%3D1",
        "_HLS_foo=1&_HLS_msn=1011&_HLS_part=2&_HLS_=x",
        "&&_HLS_msn=1011&&_HLS_part=2&",
        "%5FHLS_msn=%31011&_HLS_%70art=%32",
    ] {
        stream.assert_reloads(&[(query, part(1011, 2))]);
    }
    // Another name, not ours in another case.
    stream.assert_reloads(&[("_hls_msn=9999", READY), ("x_HLS_msn=9999", READY), ("_HLS_skip=NO", READY)]);
    assert!(Directives::parse("token=1&_HLS_skip=NO").is_empty());
    assert!(!Directives::parse("_HLS_msn=x").is_empty());
}

#[test]
fn t41_t44_t45_a_delta_needs_something_to_skip_and_waits_like_any_reload() {
    let mut start = session_start(vec![video(), audio(A)]);
    start.window_segments_min = 10;
    let mut stream = Stream::new(start);
    stream.segments(6);
    stream.playable();
    // Six segments are twelve seconds: none ends before the skip boundary.
    stream.assert_reloads(&[("_HLS_skip=YES", READY), ("_HLS_skip=v2", READY)]);
    assert_eq!(stream.playlist(V, Form::Delta), stream.playlist(V, Form::Full));
    stream.segments(1);
    stream.assert_reloads(&[
        ("_HLS_skip=YES", Reload::Ready(Form::Delta)),
        ("_HLS_skip=v2", Reload::Ready(Form::DeltaV2)),
        ("_HLS_skip=%59ES&_HLS_msn=1007", Reload::Ready(Form::Delta)),
        ("_HLS_skip=YES&_HLS_msn=1008&_HLS_part=0", part(1008, 0)),
        ("_HLS_skip=yes", READY),
    ]);
}

#[test]
fn an_open_page_survives_a_crash_if_the_targets_are_the_same() {
    let stream = Stream::playing(12);
    let live = stream.start.session;
    let before = SessionId { started_unix_ms: EPOCH.started_unix_ms - 1, ..live };
    let found = resolve(&stream.window, before, "v").unwrap();
    assert_eq!(found, Resolved { session: live, rendition: V, full_only: true });
    // Its older playlists are of another session, so it gets no delta.
    assert_eq!(decide(&stream.window, &found, &Directives::parse("_HLS_skip=YES")), READY);
    for unknown in [
        SessionId { started_unix_ms: EPOCH.started_unix_ms + 1, ..live },
        SessionId { target_duration_s: 3, ..before },
        SessionId { part_target_ms: 501, ..before },
    ] {
        assert_eq!(resolve(&stream.window, unknown, "v"), None, "{unknown}");
    }
    assert_eq!(resolve(&stream.window, live, "x"), None);
    assert_eq!(resolve(&stream.window, before, "x"), None);
}

#[test]
fn t71_t72_a_session_answers_from_playable_until_it_is_retired() {
    let mut stream = Stream::av();
    let first = stream.start.session;
    let before = SessionId { started_unix_ms: 1, ..first };
    stream.segments(1);
    assert_eq!(resolve(&stream.window, first, "v"), None);
    assert_eq!(resolve(&stream.window, before, "v"), None);
    stream.playable();
    assert!(resolve(&stream.window, first, "v").is_some());
    stream.push(EventBody::End);
    assert!(resolve(&stream.window, first, "v").is_some());
    assert_eq!(resolve(&stream.window, before, "v"), None, "nobody is live");
    assert_eq!(stream.push(EventBody::Retire(first)), Change::Retired(first));
    assert_eq!(resolve(&stream.window, first, "v"), None);
    assert_eq!(stream.window.retained_bytes(), 0);
}
