//! That each fault of one playlist is found, and none where there is none.

use super::samples::{HEALTHY, HINT, edited, read, with_next_part, with_next_segment};
use super::{CHECK_FAULTS_MAX, check_form};
use crate::fault::FaultKind::{self, *};

fn kinds(text: &str) -> Vec<FaultKind> {
    check_form(&read(text)).into_iter().map(|fault| fault.kind).collect()
}

#[test]
fn a_healthy_playlist_has_no_fault() {
    for text in [HEALTHY, &with_next_part(), &with_next_segment()] {
        assert_eq!(check_form(&read(text)), []);
    }
}

#[test]
fn each_mutation_shows_as_its_fault() {
    let p2 = "DURATION=0.50000,URI=\"p2.m4s\"";
    let p3 = "DURATION=0.50000,URI=\"p3.m4s\"";
    let p5 = "DURATION=0.50000,URI=\"p5.m4s\"";
    let hold_back = "PART-HOLD-BACK=1.5";
    let cases: &[(&str, &str, &[FaultKind])] = &[
        // Parts against PART-TARGET, as printed.
        (p5, "DURATION=0.50001,URI=\"p5.m4s\"", &[PartLong]),
        (p5, "DURATION=0.500000001,URI=\"p5.m4s\"", &[PartLong]),
        (p5, "DURATION=0.42500,URI=\"p5.m4s\"", &[]),
        (p5, "DURATION=0.42499,URI=\"p5.m4s\"", &[PartShort]),
        (p5, "DURATION=0.1,URI=\"p5.m4s\",INDEPENDENT=YES", &[]),
        (p5, "DURATION=0.1,URI=\"p5.m4s\",GAP=YES", &[]),
        // The last one listed of the open segment may be its last.
        ("DURATION=0.50000,URI=\"p6.m4s\"", "DURATION=0.1,URI=\"p6.m4s\"", &[]),
        ("DURATION=0.50000,URI=\"p6.m4s\"", "DURATION=0.6,URI=\"p6.m4s\"", &[PartLong]),
        (
            &format!("{p5}\n#EXT-X-PART:DURATION=0.50000"),
            "DURATION=0.1,URI=\"p5.m4s\"\n#EXT-X-PART:GAP=YES,DURATION=0.50000",
            &[],
        ),
        // Parts against their segment.
        ("2.00000,\ns13", "2.00100,\ns13", &[]),
        ("2.00000,\ns13", "2.00101,\ns13", &[PartMissing]),
        ("2.00000,\ns13", "1.99900,\ns13", &[]),
        ("2.00000,\ns13", "1.99899,\ns13", &[PartMissing]),
        (&format!("#EXT-X-PART:{p2}\n"), "", &[PartMissing]),
        (&format!("#EXT-X-PART:{p3}\n"), "", &[PartMissing]),
        (p2, "DURATION=0.4,URI=\"p2.m4s\"", &[PartMissing, PartShort]),
        (p3, "DURATION=0.3,URI=\"p3.m4s\"", &[PartMissing]),
        // Segments against TARGETDURATION: rounded to the nearest second.
        ("2.00000,\ns10", "2.49999,\ns10", &[]),
        ("2.00000,\ns10", "2.5,\ns10", &[SegmentLong]),
        // Values of the playlist.
        (hold_back, "PART-HOLD-BACK=1.0", &[]),
        (hold_back, "PART-HOLD-BACK=0.999", &[PlaylistSyntax]),
        (&format!("{hold_back},"), "", &[PlaylistSyntax]),
        ("CAN-SKIP-UNTIL=12.0", "CAN-SKIP-UNTIL=11.9", &[PlaylistSyntax]),
        ("CAN-SKIP-UNTIL=12.0", "CAN-SKIP-DATERANGES=YES", &[PlaylistSyntax]),
        ("CAN-SKIP-UNTIL=12.0", "HOLD-BACK=5.9", &[PlaylistSyntax]),
        ("CAN-SKIP-UNTIL=12.0", "HOLD-BACK=6", &[]),
        ("#EXT-X-PART-INF:PART-TARGET=0.5\n", "", &[PlaylistSyntax]),
        ("VERSION:9", "VERSION:6", &[]),
        ("VERSION:9", "VERSION:5", &[PlaylistSyntax]),
        ("#EXT-X-PROGRAM-DATE-TIME:", "#EXT-X-NO-DATE:", &[PlaylistSyntax]),
        ("#EXTINF:2.00000,\ns13", "#EXT-X-GAP\n#EXTINF:2.00000,\ns13", &[PlaylistSyntax]),
        // Hints.
        (HINT, "", &[PlaylistSyntax]),
        (HINT, "#EXT-X-ENDLIST\n", &[]),
        (HINT, &format!("{HINT}#EXT-X-ENDLIST\n"), &[PlaylistSyntax]),
        (HINT, &HINT.repeat(2), &[PlaylistSyntax]),
        (HINT, &format!("{HINT}#EXT-X-PRELOAD-HINT:TYPE=MAP,URI=\"i2.mp4\"\n"), &[]),
        ("URI=\"p7.m4s\"", "URI=\"p6.m4s\"", &[PlaylistSyntax]),
        ("URI=\"p7.m4s\"", "URI=\"p3.m4s\"", &[PlaylistSyntax]),
        // The grammar: readable, but wrong.
        ("#EXTM3U\n", "\u{feff}#EXTM3U\n", &[PlaylistSyntax]),
        ("#EXTM3U\n", "#EXTM3U \n", &[PlaylistSyntax]),
        ("#EXTM3U\n", "#EXTM3U\n#EXTM3U\n", &[PlaylistSyntax]),
        ("s10.m4s", "s10\t.m4s", &[PlaylistSyntax]),
        ("#EXT-X-VERSION:9\n", "#EXT-X-VERSION:9\n#EXT-X-VERSION:9\n", &[PlaylistSyntax]),
        (
            "#EXT-X-TARGETDURATION:2\n",
            "#EXT-X-TARGETDURATION:2\n#EXT-X-TARGETDURATION:3\n",
            &[PlaylistSyntax],
        ),
        (p5, "DURATION=0.50000, URI=\"p5.m4s\"", &[PlaylistSyntax]),
        (p5, "DURATION=0.50000,URI=p5.m4s", &[PlaylistSyntax]),
        (p5, "DURATION=0.50000,URI=\"p5.m4s\",DURATION=9", &[PlaylistSyntax]),
        (p5, "DURATION=0.50000,URI=\"p5.m4s\",INDEPENDENT=TRUE", &[PlaylistSyntax]),
        ("#EXTINF:2.00000,\ns10", "#EXTINF:2.00000\ns10", &[PlaylistSyntax]),
        ("#EXTINF:2.00000,\ns10", "#EXTINF:2.00000,\n#EXTINF:2.00000,\ns10", &[PlaylistSyntax]),
        (HINT, &format!("{HINT}#EXTINF:1,\n"), &[PlaylistSyntax]),
        // Tags of a segment stand before its first part.
        ("#EXTINF:2.00000,\ns13", "#EXT-X-DISCONTINUITY\n#EXTINF:2.00000,\ns13", &[PlaylistSyntax]),
        ("#EXTINF:2.00000,\ns13", "#EXT-X-MAP:URI=\"i1.mp4\"\n#EXTINF:2.00000,\ns13", &[PlaylistSyntax]),
        ("#EXTINF:2.00000,\ns13", "#EXT-X-KEY:METHOD=NONE\n#EXTINF:2.00000,\ns13", &[PlaylistSyntax]),
        (
            "#EXTINF:2.00000,\ns13",
            "#EXT-X-PROGRAM-DATE-TIME:2026-11-22T10:00:06Z\n#EXTINF:2.00000,\ns13",
            &[PlaylistSyntax],
        ),
        ("#EXT-X-MAP:URI=\"i1.mp4\"\n", "#EXT-X-MEDIA-SEQUENCE:10\n", &[PlaylistSyntax]),
        // Skipping: only what lies further back than CAN-SKIP-UNTIL; version 9.
        ("#EXT-X-MAP:URI=\"i0.mp4\"\n", "#EXT-X-SKIP:SKIPPED-SEGMENTS=3\n", &[DeltaWrong]),
        ("TARGETDURATION:2\n", "TARGETDURATION:2\n#EXT-X-PLAYLIST-TYPE:LIVE\n", &[PlaylistSyntax]),
    ];
    for (from, to, expected) in cases {
        assert_eq!(kinds(&edited(&[(from, to)])), *expected, "{from} -> {to}");
    }
}

#[test]
fn sequence_numbers_stand_before_the_segments() {
    let moved =
        edited(&[("#EXT-X-MEDIA-SEQUENCE:10\n", ""), (HINT, &format!("{HINT}#EXT-X-MEDIA-SEQUENCE:10\n"))]);
    assert_eq!(kinds(&moved), [PlaylistSyntax]);
    assert_eq!(read(&moved).segments, read(HEALTHY).segments);
}

#[test]
fn the_oldest_parts_may_have_been_removed() {
    // Parts of 13 and 14 are listed; once 14 is complete, 13 may lose its first ones.
    let trimmed =
        with_next_segment().replace("#EXT-X-PART:DURATION=0.50000,URI=\"p0.m4s\",INDEPENDENT=YES\n", "");
    assert_eq!(kinds(&trimmed), []);
    let middle =
        with_next_segment().replace("#EXT-X-PART:DURATION=0.50000,URI=\"p4.m4s\",INDEPENDENT=YES\n", "");
    assert_eq!(kinds(&middle), [PartMissing]);
}

#[test]
fn faults_are_said_in_full_and_not_without_end() {
    let long = edited(&[("DURATION=0.50000,URI=\"p5", "DURATION=0.501,URI=\"p5")]);
    let found = check_form(&read(&long));
    assert_eq!(
        found.first().map(|fault| &*fault.detail),
        Some("part 14.1 lasts 0.501 s; PART-TARGET is 0.5 s")
    );
    let all_long = format!("{HEALTHY}{}", "#EXT-X-PART:DURATION=0.6,URI=\"x\"\n".repeat(100));
    assert_eq!(check_form(&read(&all_long)).len(), CHECK_FAULTS_MAX);
}
