//! That no text, however broken, makes the reader or a check panic.

use proptest::prelude::*;

use super::samples::{HEALTHY, with_next_segment};
use super::{MediaPlaylist, Playlist, Position, check_form, check_succession, merge_delta};

/// Everything that can be done with a text.
fn exercise(text: &str, other: &str) {
    let _ = Playlist::parse(text);
    let (Ok(playlist), Ok(other)) = (MediaPlaylist::parse(text), MediaPlaylist::parse(other)) else { return };
    let _ = check_form(&playlist);
    let _ = (check_succession(&other, &playlist), check_succession(&playlist, &other));
    let pieces_count = playlist.pieces_after(None).count();
    for after in [Position { media_sequence: 11, part_index: 1 }, Position::whole(u64::MAX)] {
        assert!(playlist.pieces_after(Some(after)).count() <= pieces_count);
    }
    let _ = (playlist.start_piece(playlist.hold_back()), playlist.edge_unix_us(), playlist.newest());
    let (media_sequence, part_index) = playlist.next_reload();
    assert!(playlist.ended || !playlist.answers(media_sequence, part_index));
    let _ = (merge_delta(&other, playlist.clone()), merge_delta(&playlist, other));
}

#[test]
fn every_truncation_is_read_or_refused() {
    for end in 0..HEALTHY.len() {
        exercise(HEALTHY.get(..end).unwrap(), HEALTHY);
    }
}

#[test]
fn every_line_may_be_missing_or_doubled() {
    let lines: Vec<_> = HEALTHY.lines().collect();
    for position in 0..lines.len() {
        let mut without = lines.clone();
        let line = without.remove(position);
        exercise(&without.join("\n"), HEALTHY);
        without.splice(position..position, [line, line]);
        exercise(&without.join("\n"), HEALTHY);
    }
}

fn any_line() -> impl Strategy<Value = String> {
    let tag = prop_oneof![
        Just("#EXTINF"),
        Just("#EXT-X-PART"),
        Just("#EXT-X-MAP"),
        Just("#EXT-X-SKIP"),
        Just("#EXT-X-PRELOAD-HINT"),
        Just("#EXT-X-RENDITION-REPORT"),
        Just("#EXT-X-SERVER-CONTROL"),
        Just("#EXT-X-PART-INF"),
        Just("#EXT-X-MEDIA-SEQUENCE"),
        Just("#EXT-X-DISCONTINUITY-SEQUENCE"),
        Just("#EXT-X-PROGRAM-DATE-TIME"),
        Just("#EXT-X-BYTERANGE"),
        Just("#EXT-X-KEY"),
        Just("#EXT-X-TARGETDURATION"),
        Just("#EXT-X-STREAM-INF"),
        Just("#EXT-X-MEDIA"),
    ];
    let value = prop_oneof![
        any::<String>(),
        "[0-9]{1,21}(\\.[0-9]{0,12})?,?".prop_map(String::from),
        "[0-9]{1,20}@[0-9]{1,20}".prop_map(String::from),
        "((DURATION|URI|TYPE|BYTERANGE|BYTERANGE-START|SKIPPED-SEGMENTS|PART-TARGET|METHOD|BANDWIDTH|GROUP-ID)=(\"[0-9a-z@]{0,21}\"|PART|MAP|[0-9.]{1,21}),?){0,4}".prop_map(String::from),
    ];
    prop_oneof![
        Just("#EXT-X-DISCONTINUITY".to_owned()),
        Just("#EXT-X-GAP".to_owned()),
        Just("#EXT-X-ENDLIST".to_owned()),
        Just("s.m4s".to_owned()),
        any::<String>(),
        (tag, value).prop_map(|(tag, value)| format!("{tag}:{value}")),
    ]
}

proptest! {
    #[test]
    fn no_lines_panic(lines in prop::collection::vec(any_line(), 0..40)) {
        exercise(&format!("#EXTM3U\n#EXT-X-TARGETDURATION:2\n{}", lines.join("\n")), HEALTHY);
    }

    #[test]
    fn no_inserted_line_panics(line in any_line(), position in 0..32_usize) {
        let mut lines: Vec<_> = HEALTHY.lines().collect();
        lines.insert(position, &line);
        exercise(&lines.join("\n"), &with_next_segment());
    }

    #[test]
    fn no_changed_bytes_panic(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8)) {
        let mut bytes = HEALTHY.as_bytes().to_vec();
        for (position, byte) in changes {
            let position = position.index(bytes.len());
            if let Some(place) = bytes.get_mut(position) {
                *place = byte;
            }
        }
        exercise(&String::from_utf8_lossy(&bytes), &with_next_segment());
    }

    #[test]
    fn no_text_panics(text in any::<String>()) {
        exercise(&text, HEALTHY);
    }
}
