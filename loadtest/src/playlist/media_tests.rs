//! That media playlists are read as they stand, those of other servers too.

use std::time::Duration;

use super::samples::{HEALTHY, edited, read};
use super::{
    ByteRange, HintKind, MediaPlaylist, PLAYLIST_BYTES_MAX, PLAYLIST_LINES_MAX, PLAYLIST_PARTS_MAX,
    PlaylistError, PlaylistKind, Position, PreloadHint, RenditionReport, ServerControl,
};

const MS: fn(u64) -> Duration = Duration::from_millis;

#[test]
fn reads_every_tag_of_a_healthy_playlist() {
    let found = read(HEALTHY);
    assert_eq!(found.breaches, []);
    assert_eq!((found.version, found.target_duration_s, found.part_target), (9, 2, Some(MS(500))));
    let control = ServerControl {
        can_block_reload: true,
        part_hold_back: Some(MS(1_500)),
        hold_back: None,
        can_skip_until: Some(MS(12_000)),
        can_skip_dateranges: false,
    };
    assert_eq!(found.server_control, Some(control));
    assert_eq!(
        (found.media_sequence, found.discontinuity_sequence, found.skipped_segments_count),
        (10, 4, 0)
    );
    assert!(!found.ended && !found.independent_segments && !found.encrypted && found.kind.is_none());
    let segments: Vec<_> = found
        .segments
        .iter()
        .map(|it| (it.media_sequence, &*it.uri, it.parts.len(), it.discontinuity, it.discontinuity_number))
        .collect();
    assert_eq!(
        segments,
        [
            (10, "s10.m4s", 0, false, 4),
            (11, "s11.m4s", 0, false, 4),
            (12, "s12.m4s", 0, true, 5),
            (13, "s13.m4s", 4, false, 5),
        ]
    );
    let dates: Vec<_> = found.segments.iter().filter_map(|it| it.program_date_time_unix_us).collect();
    assert_eq!(dates, [0, 2, 4, 6].map(|s| (1_795_341_600 + s) * 1_000_000));
    assert_eq!(
        (found.open.media_sequence, found.open.parts.len(), found.open.discontinuity_number),
        (14, 3, 5)
    );
    assert_eq!(found.open.map.as_deref().map(|map| &*map.uri), Some("i1.mp4"));
    let hint = PreloadHint {
        kind: HintKind::Part,
        uri: "p7.m4s".into(),
        byte_range_start: 0,
        byte_range_length: None,
    };
    assert_eq!(found.preload_hints, [hint]);
    let report =
        RenditionReport { uri: "audio.m3u8".into(), last_media_sequence: Some(14), last_part_index: Some(2) };
    assert_eq!(found.rendition_reports, [report]);
}

#[test]
fn line_ends_comments_and_unknown_tags_make_no_difference() {
    let plain = read(HEALTHY);
    assert_eq!(read(&HEALTHY.replace('\n', "\r\n")), plain);
    assert_eq!(
        read(&HEALTHY.replace('\n', "\n# a comment\n\n#EXT-X-SOMETHING:A=1\n#EXT-X-BITRATE:900\n")),
        plain
    );
    assert_eq!(read(&HEALTHY.replace(",URI=", ",X-NEW=0x1F,URI=")), plain);
    assert_eq!(read(HEALTHY.trim_end()), plain);
}

#[test]
fn a_player_learns_where_it_stands() {
    let found = read(HEALTHY);
    let part = |media_sequence, part_index| Position { media_sequence, part_index };
    assert_eq!(found.newest(), Some(part(14, 2)));
    assert_eq!(found.next_reload(), (14, Some(3)));
    assert_eq!((found.segments_duration(), found.duration()), (MS(8_000), MS(9_500)));
    assert_eq!(found.edge_unix_us(), Some(1_795_341_609_500_000));
    assert_eq!(found.hold_back(), MS(1_500));
    assert_eq!(found.part_hint().map(|hint| &*hint.uri), Some("p7.m4s"));
    assert_eq!((found.parts(13).len(), found.parts(14).len(), found.parts(9).len()), (4, 3, 0));

    let (head, _) = HEALTHY.split_once("#EXT-X-PROGRAM-DATE-TIME:2026-11-22T10:00:08.000Z").unwrap();
    let between_segments = read(head);
    assert_eq!(between_segments.newest(), Some(part(13, 3)));
    assert_eq!(between_segments.next_reload(), (14, Some(0)));
    assert_eq!(between_segments.edge_unix_us(), Some(1_795_341_608_000_000));

    let without_parts = read("#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\na\n#EXTINF:3.5,\nb\n");
    assert_eq!(without_parts.newest(), Some(Position::whole(1)));
    assert_eq!(without_parts.next_reload(), (2, None));
    assert_eq!((without_parts.hold_back(), without_parts.edge_unix_us()), (MS(12_000), None));
    assert_eq!(read("#EXTM3U\n#EXT-X-TARGETDURATION:4\n").newest(), None);
}

#[test]
fn knows_which_reloads_it_answers() {
    let playlist = read(HEALTHY);
    for (media_sequence, part_index, expected) in [
        (0, None, true),
        (0, Some(99), true),
        (13, None, true),
        (14, None, false),
        (15, None, false),
        (13, Some(3), true),
        // Past the end of 13: part 0 of 14.
        (13, Some(4), true),
        (13, Some(99), true),
        (14, Some(2), true),
        (14, Some(3), false),
        (15, Some(0), false),
        (u64::MAX, Some(u32::MAX), false),
    ] {
        assert_eq!(playlist.answers(media_sequence, part_index), expected, "{media_sequence} {part_index:?}");
    }
    let closed = read("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-PART:DURATION=1,URI=\"a\"\n#EXTINF:1,\ns\n");
    assert!(closed.answers(0, Some(0)) && closed.answers(0, None));
    assert!(!closed.answers(0, Some(1)) && !closed.answers(1, Some(0)));
    let ended = read("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:1,\ns\n#EXT-X-ENDLIST\n");
    assert!(ended.answers(5, Some(1)));
}

#[test]
fn reads_byte_ranges_and_continues_them() {
    let text = r#"#EXTM3U
#EXT-X-TARGETDURATION:2
#EXT-X-MAP:URI="m.mp4",BYTERANGE="700@0"
#EXTINF:2,
#EXT-X-BYTERANGE:1000@700
m.mp4
#EXTINF:2,
#EXT-X-BYTERANGE:500
m.mp4
#EXT-X-PART:DURATION=1,URI="m2.mp4",BYTERANGE="100@50"
#EXT-X-PART:DURATION=1,URI="m2.mp4",BYTERANGE="60"
#EXT-X-PRELOAD-HINT:TYPE=PART,URI="m2.mp4",BYTERANGE-START=210
#EXT-X-PRELOAD-HINT:TYPE=MAP,URI="m.mp4",BYTERANGE-START=0,BYTERANGE-LENGTH=700
#EXT-X-PRELOAD-HINT:TYPE=FUTURE
"#;
    let found = read(text);
    let range = |start, length| Some(ByteRange { start, length });
    let segments: Vec<_> = found.segments.iter().map(|it| it.byte_range).collect();
    assert_eq!(segments, [range(700, 1000), range(1700, 500)]);
    let parts: Vec<_> = found.open.parts.iter().map(|it| it.byte_range).collect();
    assert_eq!(parts, [range(50, 100), range(150, 60)]);
    assert_eq!(found.open.map.as_deref().map(|map| map.byte_range), Some(range(0, 700)));
    let hints: Vec<_> =
        found.preload_hints.iter().map(|it| (it.byte_range_start, it.byte_range_length)).collect();
    assert_eq!(hints, [(210, None), (0, Some(700))]);
    assert_eq!(found.breaches, []);
    assert_eq!(read(&text.replace("60\"", "60@\"").replace("60@", "60")).breaches.len(), 0);
    assert_eq!(read(&text.replace("100@50", "100")).breaches.len(), 1);
}

#[test]
fn reads_what_holds_for_the_whole_playlist() {
    let found = read(
        "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-PLAYLIST-TYPE:EVENT\n#EXT-X-INDEPENDENT-SEGMENTS\n\
         #EXT-X-KEY:METHOD=AES-128,URI=\"k\"\n#EXT-X-GAP\n#EXTINF:2,with a title, and a comma\ns\n#EXT-X-KEY:METHOD=NONE\n#EXT-X-ENDLIST\n",
    );
    assert_eq!(found.breaches, []);
    assert_eq!(found.kind, Some(PlaylistKind::Event));
    assert!(found.independent_segments && found.encrypted && found.ended);
    assert!(found.segments.iter().all(|segment| segment.gap));
    assert_eq!(found.version, 1);
}

#[test]
fn reads_playlists_in_the_style_of_other_servers() {
    // gohlslib: gap segments at the start, dates and parts only near the end, version 10, hold-back of 2.5 parts.
    let gohlslib = r#"#EXTM3U
#EXT-X-VERSION:10
#EXT-X-TARGETDURATION:2
#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=0.50250,CAN-SKIP-UNTIL=12.00000
#EXT-X-PART-INF:PART-TARGET=0.20100
#EXT-X-MEDIA-SEQUENCE:3
#EXT-X-MAP:URI="b1f_init.mp4"
#EXT-X-GAP
#EXTINF:2.00000,
gap.mp4
#EXT-X-PROGRAM-DATE-TIME:2026-11-22T11:00:00.123+01:00
#EXT-X-PART:DURATION=0.20000,URI="b1f_part0.mp4",INDEPENDENT=YES
#EXT-X-PART:DURATION=0.20000,URI="b1f_part1.mp4"
#EXTINF:0.40000,
b1f_seg7.mp4
#EXT-X-PRELOAD-HINT:TYPE=PART,URI="b1f_part2.mp4"
"#;
    // OvenMediaEngine: version 6, rendition reports with names that hold a key, a segment whose EXTINF is withheld.
    let ome = r#"#EXTM3U
#EXT-X-VERSION:6
#EXT-X-TARGETDURATION:6
#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=1.500000
#EXT-X-PART-INF:PART-TARGET=0.500000
#EXT-X-MEDIA-SEQUENCE:0
#EXT-X-MAP:URI="init_0_video_abc_llhls.m4s"
#EXT-X-PROGRAM-DATE-TIME:2026-11-22T10:00:00.000+00:00
#EXT-X-PART:DURATION=0.500000,URI="part_0_0_video_abc_llhls.m4s",INDEPENDENT=YES
#EXT-X-PART:DURATION=0.500000,URI="part_0_1_video_abc_llhls.m4s"
#EXT-X-PRELOAD-HINT:TYPE=PART,URI="part_0_2_video_abc_llhls.m4s"
#EXT-X-RENDITION-REPORT:URI="chunklist_1_audio_abc_llhls.m3u8",LAST-MSN=0,LAST-PART=1
"#;
    for (name, text, pieces_count) in [("gohlslib", gohlslib, 3), ("ome", ome, 2)] {
        let found = MediaPlaylist::parse(text).unwrap();
        assert_eq!(found.pieces_after(None).count(), pieces_count, "{name}");
        assert_eq!(super::check_form(&found), [], "{name}");
    }
}

#[test]
fn rejects_what_cannot_be_read_and_says_where() {
    for (from, to, expected) in [
        ("#EXTM3U", "EXTM3U", "line 1: found `EXTM3U`; a playlist begins with #EXTM3U"),
        ("#EXT-X-TARGETDURATION:2\n", "", "the playlist has no EXT-X-TARGETDURATION"),
        (
            "TARGETDURATION:2",
            "TARGETDURATION:two",
            "line 3: found `two`; allowed is a decimal integer below 2^32",
        ),
        ("SEQUENCE:10", "SEQUENCE:-1", "line 6: found `-1`; allowed is a decimal integer below 2^64"),
        (
            "TARGET=0.5",
            "TARGET=5e-1",
            "line 5: found `5e-1`; allowed is digits and one point, below 1000000000",
        ),
        ("PART-TARGET=0.5", "PART-GOAL=0.5", "line 5: EXT-X-PART-INF has no PART-TARGET"),
        ("URI=\"p1.m4s\"", "URL=\"p1.m4s\"", "line 22: EXT-X-PART has no URI"),
        ("DURATION=0.50000,URI=\"p1", "URI=\"p1", "line 22: EXT-X-PART has no DURATION"),
        ("\"p1.m4s\"", "\"p1.m4s", "line 22: found `\"p1.m4s`; allowed is a quoted string that ends"),
        ("\"p1.m4s\"", "\"p1.m4s?k=v\",X", "line 22: found `X`; allowed is NAME=value"),
        ("#EXTINF:2.00000,\ns13", "s13", "line 25: found `s13.m4s`; allowed is an address after EXTINF"),
        (
            "#EXTINF:2.00000,\ns13",
            "#EXTINF:,\ns13",
            "line 25: found ``; allowed is digits and one point, below 1000000000",
        ),
        ("2026-11-22T10:00:06.000Z", "today", "line 20: found `today`; allowed is an ISO 8601 date and time"),
        ("URI=\"i0.mp4\"", "", "line 8: EXT-X-MAP has no URI"),
        ("TYPE=PART,", "", "line 31: EXT-X-PRELOAD-HINT has no TYPE"),
        ("LAST-MSN=14", "LAST-MSN=x", "line 32: found `x`; allowed is a decimal integer below 2^64"),
    ] {
        let error = MediaPlaylist::parse(&edited(&[(from, to)])).unwrap_err();
        assert_eq!(error.to_string(), expected, "{to}");
    }
}

#[test]
fn numbers_and_counts_have_bounds() {
    let is_too_many = |text: &str| matches!(MediaPlaylist::parse(text), Err(PlaylistError::TooMany { .. }));
    let head = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n";
    assert!(is_too_many(&format!("{head}{}", " ".repeat(PLAYLIST_BYTES_MAX))));
    assert!(is_too_many(&format!("{head}{}", "\n".repeat(PLAYLIST_LINES_MAX as usize))));
    assert!(is_too_many(&format!("{head}{}", "#EXTINF:1,\na\n".repeat(32_769))));
    let part = "#EXT-X-PART:DURATION=1,URI=\"a\"\n";
    assert!(is_too_many(&format!("{head}{}", part.repeat(PLAYLIST_PARTS_MAX + 1))));
    assert_eq!(
        read(&format!("{head}{}", part.repeat(PLAYLIST_PARTS_MAX))).open.parts.len(),
        PLAYLIST_PARTS_MAX
    );
    assert!(is_too_many(&format!("{head}#EXT-X-SKIP:SKIPPED-SEGMENTS=32769\n")));
    assert!(is_too_many(&format!("{head}{}", "#EXT-X-RENDITION-REPORT:URI=\"a\"\n".repeat(257))));
    for tag in ["MEDIA-SEQUENCE", "DISCONTINUITY-SEQUENCE"] {
        let text = format!("{head}#EXT-X-{tag}:18446744073709551615\n#EXT-X-DISCONTINUITY\n#EXTINF:1,\na\n");
        assert!(matches!(MediaPlaylist::parse(&text), Err(PlaylistError::Syntax { .. })), "{tag}");
    }
    let all_breaches =
        HEALTHY.replace(",URI=", ", URI=").replace("#EXT-X-MAP", "#EXTM3U\n#EXT-X-MAP").repeat(3);
    assert!(read(&all_breaches).breaches.len() <= super::PLAYLIST_BREACHES_MAX);
}
