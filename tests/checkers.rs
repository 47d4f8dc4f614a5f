//! The tests' own checkers find what they are for: each check is shown at least one playlist that breaks
//! it, so that none passes for want of looking.
mod support;

use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::{Read, Write};
use std::time::Duration;
use support::http::{Client, resolve};
use support::playlist::*;
use support::publisher::Source;
use support::replay::{AUDIO, VIDEO, record};

/// A window of `count` segments of 2 s from `first` on, of four parts each, and two parts of the open one.
/// The form of the specification's own examples.
fn playlist(first: u64, count: u64) -> String {
    let mut text = format!(
        "#EXTM3U\n#EXT-X-VERSION:9\n#EXT-X-TARGETDURATION:2\n\
         #EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=1.5,CAN-SKIP-UNTIL=12.0\n\
         #EXT-X-PART-INF:PART-TARGET=0.5\n#EXT-X-MEDIA-SEQUENCE:{first}\n\
         #EXT-X-DISCONTINUITY-SEQUENCE:4\n#EXT-X-MAP:URI=\"i0.mp4\"\n"
    );
    let last = first + count;
    for number in first..=last {
        let second = (number % 30) * 2;
        text += &format!("#EXT-X-PROGRAM-DATE-TIME:2026-11-22T10:{:02}:{second:02}.000Z\n", number / 30 % 60);
        let parts = if number == last { 2 } else { 4 };
        if number + 3 >= last {
            for part in 0..parts {
                let independent = if part == 0 { ",INDEPENDENT=YES" } else { "" };
                text +=
                    &format!("#EXT-X-PART:DURATION=0.50000,URI=\"{}.m4s\"{independent}\n", number * 4 + part);
            }
        }
        if number < last {
            text += &format!("#EXTINF:2.00000,\ns{number}.m4s\n");
        }
    }
    text += &format!("#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"{}.m4s\"\n", last * 4 + 2);
    text + &format!("#EXT-X-RENDITION-REPORT:URI=\"a.m3u8\",LAST-MSN={last},LAST-PART=1\n")
}

fn parsed(text: &str) -> Media {
    parse_media(text).unwrap_or_else(|violations| panic!("{violations:?}\n{text}"))
}

/// Numbers of the assertions that `text` breaks.
fn broken(text: &str) -> Vec<u8> {
    let violations = match parse_media(text) {
        Ok(media) => check_media(&media, Stage::Steady),
        Err(violations) => violations,
    };
    violations.into_iter().map(|violation| violation.assertion).collect()
}

/// The sample with the `nth` occurrence of `from` replaced.
fn with(from: &str, to: &str, nth: usize) -> String {
    let text = playlist(1000, 8);
    let (at, _) = text.match_indices(from).nth(nth).unwrap_or_else(|| panic!("the sample has no {from:?}"));
    format!("{}{to}{}", &text[..at], &text[at + from.len()..])
}

#[test]
fn a_sound_playlist_breaks_nothing() {
    let text = playlist(1000, 8);
    assert_eq!(check_media(&parsed(&text), Stage::Steady), []);
    let media = parsed(&text);
    assert_eq!((media.last_complete(), media.last_part()), (Some(1007), Some((1008, 1))));
    assert_eq!(media.hinted_part(), Some("4034.m4s"));
    assert_eq!(media.segments[5].parts.len(), 4);
    assert_eq!(media.complete_duration(), Duration::from_secs(16));
    assert_eq!(advance_part_limit(Duration::from_millis(334)), 8);
    assert_eq!(advance_part_limit(Duration::from_secs(1)), 3);
    let ended = text.split("#EXT-X-PROGRAM-DATE-TIME:2026-11-22T10:33:36").next().expect("the complete part");
    assert_eq!(broken(&format!("{ended}#EXT-X-ENDLIST\n")), []);
}

#[test]
fn every_check_of_one_playlist_finds_what_it_is_for() {
    let last_part = "#EXT-X-PART:DURATION=0.50000,URI=\"4033.m4s\"\n";
    let report = "#EXT-X-RENDITION-REPORT";
    #[rustfmt::skip]
    let cases: &[(u8, &str, &str, usize)] = &[
        (1, "#EXTM3U\n", "", 0),
        (1, "#EXTM3U", "\u{feff}#EXTM3U", 0),
        (1, "s1000", "s\u{7}1000", 0),
        (1, "#EXT-X-MAP", "#EXT-X-MAPPED", 0),
        (1, "s1000.m4s\n", "s1000.m4s\n#EXT-X-MEDIA-SEQUENCE:7\n", 0),
        (2, "#EXT-X-VERSION:9\n", "#EXT-X-VERSION:9\n#EXT-X-VERSION:9\n", 0),
        (2, "#EXT-X-PART-INF", "#EXT-X-PART-INF:PART-TARGET=0.5\n#EXT-X-PART-INF", 0),
        (2, "#EXTINF", "#EXTINF:2.0,\n#EXTINF", 0),
        (3, "VERSION:9", "VERSION:5", 0),
        (3, "#EXT-X-VERSION:9\n", "", 0),
        (4, "#EXTINF:2.00000", "#EXTINF:2.50000", 0),
        (4, "#EXT-X-TARGETDURATION:2\n", "", 0),
        (4, "#EXTINF:2.00000,\n", "", 0),
        (6, "PART-HOLD-BACK=1.5,", "", 0),
        (6, "PART-HOLD-BACK=1.5", "PART-HOLD-BACK=1.499", 0),
        (6, "#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=1.5,CAN-SKIP-UNTIL=12.0\n", "", 0),
        (7, "CAN-SKIP-UNTIL=12.0", "CAN-SKIP-UNTIL=11.9", 0),
        (7, "CAN-SKIP-UNTIL=12.0", "HOLD-BACK=5.9", 0),
        (7, "CAN-SKIP-UNTIL=12.0", "CAN-SKIP-DATERANGES=YES", 0),
        (8, "#EXT-X-PART-INF:PART-TARGET=0.5\n", "", 0),
        (9, "DURATION=0.50000", "DURATION=0.50001", 6),
        (10, "DURATION=0.50000", "DURATION=0.42499", 6),
        (11, "#EXTINF", "#EXT-X-MAP:URI=\"i1.mp4\"\n#EXTINF", 7),
        (11, "#EXTINF", "#EXT-X-DISCONTINUITY\n#EXTINF", 7),
        (11, "#EXTINF", "#EXT-X-KEY:METHOD=NONE\n#EXTINF", 7),
        (11, "#EXTINF", "#EXT-X-PROGRAM-DATE-TIME:2026-11-22T10:00:00.000Z\n#EXTINF", 7),
        (12, "#EXTINF:2.00000", "#EXTINF:2.00200", 7),
        (13, "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"4034.m4s\"\n", "", 0),
        (13, "URI=\"4034.m4s\"", "URI=\"4033.m4s\"", 0),
        (13, report, "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"5.m4s\"\n#EXT-X-RENDITION-REPORT", 0),
        (13, report, "#EXT-X-ENDLIST\n#EXT-X-RENDITION-REPORT", 0),
        (13, report, "#EXT-X-PART:DURATION=0.50000,URI=\"4035.m4s\"\n#EXT-X-RENDITION-REPORT", 0),
        (15, "10:33:22.000Z", "10:33:22.011Z", 0),
        (15, "10:33:22.000Z", "10:33:22.000", 0),
        (15, "10:33:22.000Z", "10:33:22Z", 0),
        (15, "#EXT-X-PROGRAM-DATE-TIME:2026-11-22T10:33:24", "#EXT-X-DISCONTINUITY\n#EXT-X-PROGRAM-DATE-TIME:2026-11-22T10:33:22", 0),
        (16, "#EXT-X-PART-INF", "#EXT-X-PLAYLIST-TYPE:EVENT\n#EXT-X-PART-INF", 0),
        (16, "#EXT-X-DISCONTINUITY-SEQUENCE:4\n", "", 0),
        (17, "#EXTINF:2.00000,\ns1001.m4s", "#EXT-X-PART:DURATION=0.50000,URI=\"p.m4s\"\n#EXTINF:2.00000,\ns1001.m4s", 0),
        (19, "s1001.m4s", "s1002.m4s", 0),
        (20, "PART-TARGET=0.5", "PART-TARGET= 0.5", 0),
        (20, "PART-TARGET=0.5", "PART-TARGET=5e-1", 0),
        (20, "PART-TARGET=0.5", "PART-TARGET=+0.5", 0),
        (20, "PART-TARGET=0.5", "PART-TARGET=.5", 0),
        (20, "PART-TARGET=0.5", "PART-TARGET=0.5,PART-TARGET=0.5", 0),
        (20, "MEDIA-SEQUENCE:1000", "MEDIA-SEQUENCE:-1", 0),
        (20, "#EXTINF:2.00000,", "#EXTINF:2.00000", 0),
        (20, "#EXTINF:2.00000,", "#EXTINF:2.0e0,", 0),
        (20, "INDEPENDENT=YES", "INDEPENDENT=\"YES\"", 0),
        (20, "URI=\"4033.m4s\"", "URI=4033.m4s", 0),
        (20, "#EXT-X-VERSION:9", "#EXT-X-VERSION:9 ", 0),
        (41, "#EXT-X-MAP", "#EXT-X-SKIP:SKIPPED-SEGMENTS=0\n#EXT-X-MAP", 0),
        (41, "#EXT-X-MAP", "#EXT-X-SKIP:SKIPPED-SEGMENTS=1\n#EXT-X-SKIP:SKIPPED-SEGMENTS=1\n#EXT-X-MAP", 0),
    ];
    for &(assertion, from, to, nth) in cases {
        let found = broken(&with(from, to, nth));
        assert!(found.contains(&assertion), "{assertion}: {from:?} -> {to:?} found only {found:?}");
    }
    assert!(broken(&playlist(1000, 8).replace("#EXT-X-PROGRAM-DATE-TIME", "#EXT-X-BITRATE")).contains(&15));
    let last_two = with("s1006", "x", 0).replace(last_part, "");
    let without =
        last_two.lines().filter(|line| !line.starts_with("#EXT-X-PART:")).collect::<Vec<_>>().join("\n");
    assert!(broken(&without).contains(&17), "the last two segments list no parts");
    assert!(broken(&playlist(1000, 5)).contains(&18), "a window of five segments");
    let short = playlist(1000, 8).replace("TARGETDURATION:2", "TARGETDURATION:6");
    assert!(broken(&short).contains(&18), "a window under three targets");
    assert!(broken(&short).contains(&7), "CAN-SKIP-UNTIL under six targets");
    let skip = with("#EXT-X-MAP", "#EXT-X-SKIP:SKIPPED-SEGMENTS=1\n#EXT-X-MAP", 0);
    assert!(broken(&skip.replace("VERSION:9", "VERSION:8")).contains(&3), "SKIP needs version 9");
    let dateranges = skip.replace("SEGMENTS=1", "SEGMENTS=1,RECENTLY-REMOVED-DATERANGES=\"\"");
    assert!(broken(&dateranges).contains(&3), "removed date ranges need version 10");
}

#[test]
fn the_waivers_of_the_short_part_are_granted() {
    for short in [
        with("DURATION=0.50000,URI=\"4032.m4s\"", "DURATION=0.10000,URI=\"4032.m4s\"", 0),
        with("DURATION=0.50000,URI=\"4033.m4s\"", "DURATION=0.10000,URI=\"4033.m4s\"", 0),
        with("DURATION=0.50000,URI=\"4030.m4s\"", "DURATION=0.10000,GAP=YES,URI=\"4030.m4s\"", 0),
        with("URI=\"4030.m4s\"", "GAP=YES,URI=\"4030.m4s\"", 0)
            .replace("DURATION=0.50000,URI=\"4029.m4s\"", "DURATION=0.10000,URI=\"4029.m4s\""),
    ] {
        assert!(!broken(&short).contains(&10), "{short}");
    }
}

#[test]
fn a_date_in_the_future_is_found() {
    let media = parsed(&playlist(1000, 8));
    let newest = media.open.as_ref().and_then(|open| open.program_date_time_unix_ms).expect("a date");
    assert_eq!(newest, 1_795_343_616_000, "2026-11-22T10:33:36Z, by `date`");
    assert_eq!(check_clock(&media, newest - 100), []);
    assert_eq!(check_clock(&media, newest - 101)[0].assertion, 15);
}

#[test]
fn a_sliding_window_is_a_permitted_edit() {
    let snapshots: Vec<Media> = (1000..1010).map(|first| parsed(&playlist(first, 8))).collect();
    for pair in snapshots.windows(2) {
        assert_eq!(check_edit(&pair[0], &pair[1]), []);
    }
    assert_eq!(check_edit(&snapshots[0], &snapshots[0]), []);
}

#[test]
fn every_other_edit_is_found() {
    let before = parsed(&playlist(1000, 8));
    let next = playlist(1001, 8);
    #[rustfmt::skip]
    let cases: &[(u8, &str, &str)] = &[
        (5, "TARGETDURATION:2", "TARGETDURATION:3"),
        (5, "PART-TARGET=0.5", "PART-TARGET=0.501"),
        (5, "PART-HOLD-BACK=1.5", "PART-HOLD-BACK=1.6"),
        (5, "CAN-SKIP-UNTIL=12.0", "CAN-SKIP-UNTIL=13.0"),
        (19, "VERSION:9", "VERSION:10"),
        (19, "s1003.m4s", "t1003.m4s"),
        (19, "#EXTINF:2.00000,\ns1003", "#EXTINF:2.00001,\ns1003"),
        (19, "#EXTINF:2.00000,\ns1003", "#EXT-X-DISCONTINUITY\n#EXTINF:2.00000,\ns1003"),
        (19, "#EXTINF:2.00000,\ns1003", "#EXT-X-GAP\n#EXTINF:2.00000,\ns1003"),
        (19, "10:33:26.000Z", "10:33:26.001Z"),
        (19, "DISCONTINUITY-SEQUENCE:4", "DISCONTINUITY-SEQUENCE:5"),
        (19, "i0.mp4", "i1.mp4"),
        (19, "\"4032.m4s\",INDEPENDENT=YES", "\"4032.m4s\""),
        (19, "#EXT-X-PART:DURATION=0.50000,URI=\"4033.m4s\"\n", ""),
        (19, "#EXT-X-PART:DURATION=0.50000,URI=\"4029.m4s\"\n", ""),
        (74, "MEDIA-SEQUENCE:1001", "MEDIA-SEQUENCE:999"),
        (74, "DISCONTINUITY-SEQUENCE:4", "DISCONTINUITY-SEQUENCE:3"),
    ];
    for (assertion, from, to) in cases {
        assert!(next.contains(from), "the sample has no {from:?}");
        let found = check_edit(&before, &parsed(&next.replacen(from, to, 1)));
        assert!(
            found.iter().any(|violation| violation.assertion == *assertion),
            "{from:?} -> {to:?}: {found:?}"
        );
    }
    let found = |after: &str| check_edit(&before, &parsed(after));
    assert!(!found(&playlist(1000, 7)).is_empty(), "segments vanished from the end");
    let one_part_less = with("#EXT-X-PART:DURATION=0.50000,URI=\"4033.m4s\"\n", "", 0);
    assert!(!found(&one_part_less).is_empty(), "a part vanished from the end");
    let other_part = next.replace("4034.m4s", "5034.m4s");
    assert!(found(&other_part).iter().any(|violation| violation.assertion == 13), "another part than hinted");
    let without_older: String =
        next.lines().filter(|line| !line.contains("\"402")).map(|line| format!("{line}\n")).collect();
    assert_eq!(check_edit(&before, &parsed(&without_older)), [], "old parts may go");
    let without_newer: String =
        next.lines().filter(|line| !line.contains("\"403")).map(|line| format!("{line}\n")).collect();
    assert!(found(&without_newer).iter().any(|violation| violation.assertion == 19), "newer parts first");
    let text = playlist(1000, 8);
    let ended = text.split("#EXT-X-PROGRAM-DATE-TIME:2026-11-22T10:33:36").next().expect("the complete part");
    let ended = parsed(&format!("{ended}#EXT-X-ENDLIST\n"));
    assert!(!check_edit(&ended, &parsed(&next)).is_empty(), "life after ENDLIST");
}

/// The delta that a server should send for the sample with 12 s to skip: two of eight segments.
fn delta(first: u64) -> String {
    let text = playlist(first, 8);
    let kept = text.find(&format!("s{}.m4s\n", first + 1)).expect("the second segment") + "s1001.m4s\n".len();
    let head = text.find("#EXT-X-MAP").expect("a map");
    format!("{}#EXT-X-SKIP:SKIPPED-SEGMENTS=2\n#EXT-X-MAP:URI=\"i0.mp4\"\n{}", &text[..head], &text[kept..])
}

#[test]
fn a_sound_delta_passes_and_every_other_is_found() {
    let full = parsed(&playlist(1000, 8));
    let sound = delta(1000);
    assert_eq!(check_media(&parsed(&sound), Stage::Steady), []);
    assert_eq!(check_delta(&parsed(&sound), &full), []);
    #[rustfmt::skip]
    let cases: &[(u8, &str, &str)] = &[
        (41, "SKIPPED-SEGMENTS=2", "SKIPPED-SEGMENTS=1"),
        (41, "MEDIA-SEQUENCE:1000", "MEDIA-SEQUENCE:1002"),
        (41, "DISCONTINUITY-SEQUENCE:4", "DISCONTINUITY-SEQUENCE:5"),
        (42, "SKIPPED-SEGMENTS=2", "SKIPPED-SEGMENTS=3"),
        (43, "#EXTINF:2.00000,\ns1004", "#EXTINF:2.00001,\ns1004"),
        (43, "4034.m4s", "4035.m4s"),
        (43, "LAST-PART=1", "LAST-PART=0"),
        (43, "PART-HOLD-BACK=1.5", "PART-HOLD-BACK=1.6"),
    ];
    for (assertion, from, to) in cases {
        let found = check_delta(&parsed(&sound.replacen(from, to, 1)), &full);
        assert!(
            found.iter().any(|violation| violation.assertion == *assertion),
            "{from:?} -> {to:?}: {found:?}"
        );
    }
    assert_eq!(check_delta(&full, &full)[0].assertion, 41, "a full playlist instead of a delta");
    let too_far = sound.replace("CAN-SKIP-UNTIL=12.0", "CAN-SKIP-UNTIL=14.0");
    let found =
        check_delta(&parsed(&too_far), &parsed(&playlist(1000, 8).replace("UNTIL=12.0", "UNTIL=14.0")));
    assert_eq!(found[0].assertion, 42, "one segment too many skipped");
}

#[test]
fn a_reference_client_rebuilds_the_full_playlist_from_deltas() {
    let mut held = parsed(&playlist(1000, 8));
    for first in 1001..1020 {
        held = merge(&held, &parsed(&delta(first))).expect("a client that holds all that is skipped");
        let full = parsed(&playlist(first, 8));
        assert_eq!(held.segments.len(), full.segments.len());
        assert_eq!(check_edit(&held, &full), []);
        assert_eq!(check_edit(&full, &held), []);
    }
    let late = merge(&parsed(&playlist(1000, 8)), &parsed(&delta(1008)));
    assert_eq!(late.expect_err("skips what the client never saw")[0].assertion, 48);
}

#[test]
fn a_watcher_takes_full_playlists_and_deltas_and_refuses_a_first_delta() {
    let mut watcher = Watcher::new();
    assert_eq!(watcher.see(&delta(1000))[0].assertion, 47);
    assert_eq!(watcher.see(&playlist(1000, 8)), []);
    assert_eq!(watcher.see(&delta(1001)), []);
    assert_eq!(watcher.see(&playlist(1002, 8)), []);
    assert_eq!(watcher.see(&playlist(1001, 8))[0].assertion, 74);
    assert_eq!(watcher.snapshots_count(), 5);
}

#[test]
fn renditions_agree_and_report_one_another() {
    let video = playlist(1000, 8);
    let audio = video.replace("a.m3u8", "v.m3u8");
    let found = |video: &str, audio: &str| -> Vec<u8> {
        let violations = check_renditions(&[("v.m3u8", &parsed(video)), ("a.m3u8", &parsed(audio))]);
        violations.into_iter().map(|violation| violation.assertion).collect()
    };
    assert_eq!(found(&video, &audio), []);
    assert_eq!(found(&video.replace("LAST-PART=1", "LAST-PART=2"), &audio), [], "one part ahead");
    assert_eq!(found(&video.replace("LAST-PART=1", "LAST-PART=0"), &audio), [], "one part behind");
    assert_eq!(found(&video, &audio.replace("TARGETDURATION:2", "TARGETDURATION:3")), [5]);
    assert_eq!(found(&video, &audio.replace("PART-HOLD-BACK=1.5", "PART-HOLD-BACK=1.6")), [5]);
    assert_eq!(found(&video.replace("LAST-PART=1", "LAST-PART=3"), &audio), [14]);
    assert_eq!(found(&video.replace("LAST-MSN=1008", "LAST-MSN=1006"), &audio), [14]);
    assert_eq!(found(&video.replace(",LAST-PART=1", ""), &audio), [14]);
    assert_eq!(found(&video.replace("URI=\"a.m3u8\"", "URI=\"/x/a.m3u8\""), &audio), [14, 14]);
    let silent: String =
        video.lines().filter(|line| !line.contains("REPORT")).map(|line| format!("{line}\n")).collect();
    assert_eq!(found(&silent, &audio), [14, 14]);
}

#[test]
fn a_multivariant_playlist_says_all_that_apple_demands() {
    let sound = "#EXTM3U\n#EXT-X-VERSION:9\n#EXT-X-INDEPENDENT-SEGMENTS\n\
        #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"a\",LANGUAGE=\"und\",DEFAULT=YES,CHANNELS=\"2\",URI=\"x/a.m3u8\"\n\
        #EXT-X-STREAM-INF:BANDWIDTH=600000,AVERAGE-BANDWIDTH=500000,CODECS=\"avc1.64001f,mp4a.40.2\",\
        RESOLUTION=320x180,FRAME-RATE=30.000,AUDIO=\"a\",CLOSED-CAPTIONS=NONE\nx/v.m3u8\n";
    let parsed = parse_multivariant(sound).expect("a sound playlist");
    assert_eq!(parsed.media_uris(), ["x/v.m3u8", "x/a.m3u8"]);
    assert_eq!(parsed.variants[0].codecs, ["avc1.64001f", "mp4a.40.2"]);
    #[rustfmt::skip]
    let cases: &[(u8, &str, &str)] = &[
        (69, "AVERAGE-BANDWIDTH=500000,", ""),
        (69, "AVERAGE-BANDWIDTH=500000", "AVERAGE-BANDWIDTH=700000"),
        (69, "BANDWIDTH=600000,", ""),
        (69, "RESOLUTION=320x180,", ""),
        (69, "RESOLUTION=320x180", "RESOLUTION=320"),
        (69, "FRAME-RATE=30.000", "FRAME-RATE=30"),
        (69, "CODECS=\"avc1.64001f,mp4a.40.2\",", ""),
        (69, "AUDIO=\"a\"", "AUDIO=\"b\""),
        (1, "x/v.m3u8\n", ""),
        (20, "BANDWIDTH=600000", "BANDWIDTH= 600000"),
        (2, "#EXT-X-INDEPENDENT-SEGMENTS", "#EXT-X-INDEPENDENT-SEGMENTS\n#EXT-X-INDEPENDENT-SEGMENTS"),
    ];
    for (assertion, from, to) in cases {
        assert!(sound.contains(from), "the sample has no {from:?}");
        let found = parse_multivariant(&sound.replacen(from, to, 1)).expect_err(from);
        assert!(
            found.iter().any(|violation| violation.assertion == *assertion),
            "{from:?} -> {to:?}: {found:?}"
        );
    }
}

#[test]
fn relative_references_resolve_against_a_path() {
    for (base, reference, path) in [
        ("/live/k/index.m3u8", "s/v.m3u8", "/live/k/s/v.m3u8"),
        ("/live/k/s/v.m3u8?_HLS_msn=4", "../e/v-1.m4s", "/live/k/e/v-1.m4s"),
        ("/live/k/s/v.m3u8", "/live/k/e/v-1.m4s", "/live/k/e/v-1.m4s"),
        ("/live/k/s/v.m3u8", "./a.m3u8", "/live/k/s/a.m3u8"),
    ] {
        assert_eq!(resolve(base, reference), path);
    }
}

/// Answers each request on one connection with the next of `replies`, in two writes.
fn serve(replies: Vec<Vec<u8>>) -> std::net::SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address");
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        let mut request = [0; 4096];
        for reply in replies {
            let _ = stream.read(&mut request).expect("a request");
            let (first, second) = reply.split_at(reply.len() / 2);
            stream.write_all(first).expect("writes");
            std::thread::sleep(Duration::from_millis(60));
            stream.write_all(second).expect("writes");
        }
    });
    address
}

#[test]
fn the_http_client_reads_every_kind_of_body_on_one_connection_and_holds_requests() {
    let mut zipped = GzEncoder::new(Vec::new(), Compression::fast());
    zipped.write_all(b"#EXTM3U\n").expect("zips");
    let zipped = zipped.finish().expect("zips");
    let head =
        format!("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n", zipped.len());
    let mut client = Client::connect(serve(vec![
        b"HTTP/1.1 200 OK\r\nCache-Control: public, max-age=12\r\nContent-Length: 4\r\n\r\nbody".to_vec(),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x\r\nde\r\n0\r\n\r\n".to_vec(),
        [head.as_bytes(), &zipped].concat(),
        b"HTTP/1.1 404 Not Found\r\nCache-Control: no-store\r\nContent-Length: 9\r\n\r\n".to_vec(),
        b"garbage\r\n\r\n".to_vec(),
    ]))
    .expect("connects");
    let whole = client.get("/").expect("a response");
    assert_eq!((whole.status, whole.body.as_slice(), whole.max_age_s()), (200, &b"body"[..], Some(12)));
    assert!(whole.complete_at - whole.first_byte_at >= Duration::from_millis(50), "the body came later");
    assert_eq!(client.get("/").expect("a response").body, b"abcde");
    assert_eq!(client.get("/").expect("a response").text(), "#EXTM3U\n");
    client.send("HEAD", "/", &[], &[]).expect("sends");
    let early = client.receive(Duration::from_millis(1)).expect_err("not there yet");
    assert_eq!(early.kind(), std::io::ErrorKind::TimedOut);
    let head = client.receive(Duration::from_secs(5)).expect("a response");
    assert!(head.status == 404 && head.is_no_store() && head.body.is_empty());
    assert_eq!(client.get("/").expect_err("no HTTP").kind(), std::io::ErrorKind::InvalidData);
}

#[test]
fn a_recording_holds_what_ffmpeg_publishes() {
    let source = Source { seconds: Some(2.0), ..Source::default() };
    let tags = record(&source);
    let of = |kind| tags.iter().filter(move |tag| tag.kind == kind);
    // A sequence header before the 60 frames, and one after them that ends the sequence.
    assert_eq!(of(VIDEO).count(), 62);
    assert!(of(AUDIO).count() > 90);
    let keyframes: Vec<u32> =
        of(VIDEO).filter(|tag| tag.body.starts_with(&[0x17, 1])).map(|tag| tag.timestamp_ms).collect();
    assert_eq!(keyframes.len(), 2);
    assert_eq!(keyframes[1] - keyframes[0], 1000);
}
