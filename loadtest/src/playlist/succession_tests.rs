//! That what changes between two playlists is judged, and that delta updates are completed.

use super::samples::{HEALTHY, HINT, edited, read, with_next_part, with_next_segment};
use super::{MediaPlaylist, check_form, check_succession, merge_delta};
use crate::fault::FaultKind::{self, *};

fn kinds(previous: &str, next: &str) -> Vec<FaultKind> {
    check_succession(&read(previous), &read(next)).into_iter().map(|fault| fault.kind).collect()
}

/// A list that grows by one part at a time, four parts a segment, and lists the last `segments_max` segments. A
/// discontinuity stands before every fifth segment.
fn grown(parts_count: u64, segments_max: u64, is_delta: bool) -> String {
    let open = parts_count / 4;
    let first = open.saturating_sub(segments_max);
    let skipped = if is_delta { open.saturating_sub(6).saturating_sub(first) } else { 0 };
    let discontinuities_gone = if first == 0 { 0 } else { (first - 1) / 5 };
    let mut text = format!(
        "#EXTM3U\n#EXT-X-VERSION:9\n#EXT-X-TARGETDURATION:2\n#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=1.5,CAN-SKIP-UNTIL=12\n\
         #EXT-X-PART-INF:PART-TARGET=0.5\n#EXT-X-MEDIA-SEQUENCE:{first}\n#EXT-X-DISCONTINUITY-SEQUENCE:{discontinuities_gone}\n"
    );
    if skipped > 0 {
        text += &format!("#EXT-X-SKIP:SKIPPED-SEGMENTS={skipped}\n");
    } else {
        text += &format!("#EXT-X-MAP:URI=\"i{}.mp4\"\n", first / 5);
    }
    for segment in first + skipped..=open {
        if segment % 5 == 0 && segment > 0 {
            text += &format!("#EXT-X-DISCONTINUITY\n#EXT-X-MAP:URI=\"i{}.mp4\"\n", segment / 5);
        }
        text +=
            &format!("#EXT-X-PROGRAM-DATE-TIME:2026-11-22T10:{:02}:{:02}Z\n", segment / 30, segment % 30 * 2);
        if segment + 3 >= open {
            for part in segment * 4..parts_count.min(segment * 4 + 4) {
                text += &format!(
                    "#EXT-X-PART:DURATION=0.5,URI=\"p{part}.m4s\"{}\n",
                    if part % 4 == 0 { ",INDEPENDENT=YES" } else { "" }
                );
            }
        }
        if segment < open {
            text += &format!("#EXTINF:2,\ns{segment}.m4s\n");
        }
    }
    text + &format!("#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"p{parts_count}.m4s\"\n")
}

#[test]
fn a_playlist_that_only_grows_has_no_fault() {
    assert_eq!(check_succession(&read(HEALTHY), &read(HEALTHY)), []);
    assert_eq!(check_succession(&read(HEALTHY), &read(&with_next_part())), []);
    assert_eq!(check_succession(&read(HEALTHY), &read(&with_next_segment())), []);
    assert_eq!(check_succession(&read(&with_next_part()), &read(&with_next_segment())), []);
    let ended = with_next_part()
        .replace("#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"p8.m4s\"", "#EXTINF:2,\ns14.m4s\n#EXT-X-ENDLIST");
    assert_eq!(check_succession(&read(HEALTHY), &read(&ended)), []);
    for step in 1..80 {
        let playlists: Vec<_> = (4..200).map(|count| read(&grown(count, 12, false))).collect();
        for (previous, next) in playlists.iter().zip(playlists.iter().skip(step)) {
            assert_eq!(
                check_succession(previous, next),
                [],
                "{} after {}",
                next.duration().as_millis(),
                step
            );
        }
    }
}

#[test]
fn each_change_shows_as_its_fault() {
    let cases: &[(&str, &str, &[FaultKind])] = &[
        ("TARGETDURATION:2", "TARGETDURATION:3", &[PlaylistChanged]),
        ("PART-TARGET=0.5", "PART-TARGET=0.50001", &[PlaylistChanged]),
        ("PART-HOLD-BACK=1.5", "PART-HOLD-BACK=1.6", &[PlaylistChanged]),
        ("CAN-SKIP-UNTIL=12.0", "CAN-SKIP-UNTIL=24", &[PlaylistChanged]),
        ("CAN-SKIP-UNTIL=12.0", "CAN-SKIP-UNTIL=12.0,HOLD-BACK=6", &[PlaylistChanged]),
        ("CAN-BLOCK-RELOAD=YES,", "", &[PlaylistChanged]),
        ("MEDIA-SEQUENCE:10", "MEDIA-SEQUENCE:9", &[SequenceBack]),
        ("DISCONTINUITY-SEQUENCE:4", "DISCONTINUITY-SEQUENCE:3", &[SequenceBack]),
        // All five segments get another discontinuity number.
        ("DISCONTINUITY-SEQUENCE:4", "DISCONTINUITY-SEQUENCE:5", &[PlaylistChanged; 5]),
        ("s11.m4s", "s11b.m4s", &[PlaylistChanged]),
        ("2.00000,\ns11", "2.00001,\ns11", &[PlaylistChanged]),
        ("2.00000,\ns11", "2.00000,\n#EXT-X-BYTERANGE:5@0\ns11", &[PlaylistChanged]),
        ("#EXTINF:2.00000,\ns11", "#EXT-X-GAP\n#EXTINF:2.00000,\ns11", &[PlaylistChanged]),
        ("10:00:02.000Z", "10:00:02.001Z", &[PlaylistChanged]),
        ("#EXT-X-PROGRAM-DATE-TIME:2026-11-22T10:00:02.000Z\n", "", &[]),
        ("i0.mp4", "i9.mp4", &[PlaylistChanged; 2]),
        // Parts of a complete and of the open segment.
        ("\"p2.m4s\"", "\"p2b.m4s\"", &[PlaylistChanged]),
        ("\"p0.m4s\"", "\"p0b.m4s\"", &[PlaylistChanged]),
        ("\"p2.m4s\"", "\"p2.m4s\",GAP=YES", &[PlaylistChanged]),
        ("\"p5.m4s\"", "\"p5b.m4s\"", &[PlaylistChanged]),
        ("0.50000,URI=\"p5", "0.49999,URI=\"p5", &[PlaylistChanged]),
        ("\"p5.m4s\"", "\"p5.m4s\",INDEPENDENT=YES", &[PlaylistChanged]),
        ("10:00:08.000Z", "10:00:08.001Z", &[PlaylistChanged]),
        ("\n#EXT-X-PART:DURATION=0.50000,URI=\"p6.m4s\"", "", &[PlaylistChanged]),
        ("\n#EXT-X-PART:DURATION=0.50000,URI=\"p5.m4s\"", "", &[PlaylistChanged, PlaylistChanged]),
        (
            "#EXTINF:2.00000,\ns13",
            "#EXT-X-PART:DURATION=0,URI=\"x\"\n#EXTINF:2.00000,\ns13",
            &[PlaylistChanged],
        ),
        ("#EXT-X-PART:DURATION=0.50000,URI=\"p3.m4s\"\n", "", &[PlaylistChanged]),
        // The hint is what comes next, unless it became a gap.
        (HINT, "#EXT-X-PART:DURATION=0.5,URI=\"p7b.m4s\"\n", &[PlaylistChanged]),
        (HINT, "#EXT-X-PART:DURATION=0.5,URI=\"p7.m4s\",BYTERANGE=\"9@9\"\n", &[PlaylistChanged]),
        (HINT, "#EXT-X-PART:DURATION=0.5,URI=\"p7b.m4s\",GAP=YES\n", &[]),
        (HINT, "#EXTINF:1.5,\ns14\n#EXT-X-PART:DURATION=0.5,URI=\"p7b.m4s\"\n", &[PlaylistChanged]),
        (HINT, "#EXTINF:1.5,\ns14\n#EXT-X-PART:DURATION=0.5,URI=\"p7.m4s\"\n", &[]),
        (HINT, "#EXTINF:1.5,\ns14\n#EXT-X-DISCONTINUITY\n#EXT-X-PART:DURATION=0.5,URI=\"p7b.m4s\"\n", &[]),
        (HINT, "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"p7b.m4s\"\n", &[]),
    ];
    for (from, to, expected) in cases {
        assert_eq!(kinds(HEALTHY, &edited(&[(from, to)])), *expected, "{from} -> {to}");
    }
}

#[test]
fn what_was_listed_last_does_not_go() {
    assert_eq!(
        kinds(&with_next_segment(), &with_next_segment().replace("#EXT-X-MAP:", "#EXT-X-MAP-GONE:")),
        []
    );
    let (head, _) = HEALTHY.split_once("#EXT-X-PROGRAM-DATE-TIME:2026-11-22T10:00:06").unwrap();
    assert_eq!(kinds(HEALTHY, head), [PlaylistChanged]);
    let ended = HEALTHY.replace(HINT, "#EXT-X-ENDLIST\n");
    assert_eq!(kinds(&ended, &with_next_part()), [PlaylistChanged]);
    let event = HEALTHY.replace("#EXT-X-MEDIA", "#EXT-X-PLAYLIST-TYPE:EVENT\n#EXT-X-MEDIA");
    assert_eq!(kinds(&event, &with_next_segment()), [PlaylistChanged]);
    // A discontinuity that left the list has to be counted.
    let full = read(&grown(100, 12, false));
    let next = grown(112, 12, false);
    assert_eq!(check_succession(&full, &read(&next)), []);
    let uncounted = read(&next.replace("DISCONTINUITY-SEQUENCE:3", "DISCONTINUITY-SEQUENCE:2"));
    assert!(check_succession(&full, &uncounted).iter().all(|fault| fault.kind == PlaylistChanged));
    assert!(!check_succession(&full, &uncounted).is_empty());
}

#[test]
fn delta_updates_complete_to_the_full_playlist() {
    let mut merged = read(&grown(60, 12, false));
    for count in 61..400 {
        let full = read(&grown(count, 12, false));
        let update = read(&grown(count, 12, true));
        assert!(update.skipped_segments_count >= 5);
        assert_eq!(check_form(&update), []);
        // Also from a playlist that is some updates old.
        merged = merge_delta(&merged, update.clone()).unwrap();
        let forgets_old_parts = |playlist: &MediaPlaylist| {
            let mut playlist = playlist.clone();
            let open = playlist.open.media_sequence;
            playlist
                .segments
                .iter_mut()
                .filter(|it| it.media_sequence + 3 < open)
                .for_each(|it| it.parts.clear());
            playlist
        };
        assert_eq!(forgets_old_parts(&merged), full, "at {count} parts");
        if count % 7 == 0 {
            let old = read(&grown(count - 6, 12, false));
            assert_eq!(forgets_old_parts(&merge_delta(&old, update).unwrap()), full, "at {count} parts");
        }
    }
    assert_eq!(merge_delta(&merged, read(HEALTHY)).unwrap(), read(HEALTHY));
}

#[test]
fn delta_updates_that_do_not_fit_are_refused() {
    let previous = read(&grown(100, 12, false));
    let update = |from: &str, to: &str| {
        let text = grown(101, 12, true);
        assert!(text.contains(from), "{text}");
        merge_delta(&previous, read(&text.replace(from, to))).map_err(|fault| fault.kind).err()
    };
    // Segments 13 to 24 are listed, of which 13 to 18 are skipped.
    for (from, to) in [
        ("SKIPPED-SEGMENTS=6", "SKIPPED-SEGMENTS=5"),
        ("SKIPPED-SEGMENTS=6", "SKIPPED-SEGMENTS=7"),
        ("SKIPPED-SEGMENTS=6", "SKIPPED-SEGMENTS=13"),
        ("SKIPPED-SEGMENTS=6", "SKIPPED-SEGMENTS=9999"),
        ("-MEDIA-SEQUENCE:13", "-MEDIA-SEQUENCE:12"),
        ("-MEDIA-SEQUENCE:13", "-MEDIA-SEQUENCE:14"),
        ("-MEDIA-SEQUENCE:13", "-MEDIA-SEQUENCE:99"),
        ("DISCONTINUITY-SEQUENCE:2", "DISCONTINUITY-SEQUENCE:3"),
        ("s20.m4s", "s20b.m4s"),
        ("#EXTINF:2,\ns20", "#EXTINF:1.9,\ns20"),
    ] {
        assert_eq!(update(from, to), Some(DeltaWrong), "{to}");
    }
    assert_eq!(update("SKIP", "SKIP"), None);
    let unmerged = read(&grown(100, 12, true));
    assert!(merge_delta(&unmerged, read(&grown(101, 12, true))).is_err());
}

#[test]
fn a_recorded_server_has_no_fault_and_its_delta_completes() {
    let [previous, full, delta] = [
        include_str!("testdata/previous.m3u8"),
        include_str!("testdata/full.m3u8"),
        include_str!("testdata/delta.m3u8"),
    ]
    .map(read);
    for playlist in [&previous, &full, &delta] {
        assert_eq!(check_form(playlist), []);
    }
    assert_eq!(check_succession(&previous, &full), []);
    assert_eq!(delta.skipped_segments_count, 1);
    let merged = merge_delta(&previous, delta).unwrap();
    assert_eq!(check_succession(&previous, &merged), []);
    assert_eq!(merged, full);
}
