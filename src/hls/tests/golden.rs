//! Playlists as people read them, in `tests/data/playlists`. To write them anew after a deliberate change:
//! `UPDATE_PLAYLISTS=1 cargo test --lib hls::tests::golden`, then read the difference.

use std::path::Path;

use super::*;
use crate::hls::multivariant;

fn compare(name: &str, playlist: &str) {
    parsed(playlist);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/playlists").join(name);
    if std::env::var_os("UPDATE_PLAYLISTS").is_some() {
        std::fs::write(&path, playlist).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap();
    assert_eq!(playlist, expected, "{name}");
}

#[test]
fn the_first_playlist_of_a_session() {
    let stream = Stream::playing(1);
    compare("start-video.m3u8", &stream.playlist(V, Form::Full));
    compare("start-audio.m3u8", &stream.playlist(A, Form::Full));
    compare("multivariant.m3u8", &multivariant::render(&stream.window, stream.start.session).unwrap());
}

#[test]
fn the_middle_of_a_segment_names_the_next_part_and_the_other_rendition() {
    let mut stream = Stream::playing(5);
    stream.part(V, Some(false));
    stream.part(V, None);
    compare("middle-of-segment.m3u8", &stream.playlist(V, Form::Full));
}

#[test]
fn the_window_slides() {
    compare("window-slid.m3u8", &Stream::playing(20).playlist(V, Form::Full));
}

#[test]
fn a_discontinuity_known_at_the_close_is_listed_with_it_and_not_again() {
    let mut stream = Stream::playing(2);
    for rendition in [V, A] {
        stream.segment(rendition, false, true);
    }
    compare("discontinuity-known.m3u8", &stream.playlist(V, Form::Full));
    stream.announce_inits(1);
    compare("discontinuity-init-hinted.m3u8", &stream.playlist(V, Form::Full));
    stream.part(V, Some(true));
    compare("discontinuity-opened.m3u8", &stream.playlist(V, Form::Full));
}

#[test]
fn delta_updates_of_both_kinds() {
    let mut start = session_start(vec![video(), audio(A)]);
    start.window_segments_min = 10;
    let mut stream = Stream::new(start);
    stream.segments(12);
    stream.playable();
    stream.part(V, Some(false));
    compare("delta-base.m3u8", &stream.playlist(V, Form::Full));
    compare("delta.m3u8", &stream.playlist(V, Form::Delta));
    compare("delta-v2.m3u8", &stream.playlist(V, Form::DeltaV2));
}

#[test]
fn a_delta_behind_a_skipped_discontinuity_still_says_it() {
    let mut start = session_start(vec![video()]);
    start.window_segments_min = 10;
    let mut stream = Stream::new(start);
    stream.segments(3);
    stream.segment(V, false, true);
    stream.announce_inits(1);
    stream.segment(V, true, false);
    stream.segments(5);
    stream.playable();
    let delta = stream.playlist(V, Form::Delta);
    compare("delta-discontinuity.m3u8", &delta);
    assert_eq!(delta.matches("#EXT-X-DISCONTINUITY\n").count(), 1);
}

#[test]
fn an_ended_session() {
    let mut stream = Stream::playing(3);
    stream.push(EventBody::End);
    compare("ended.m3u8", &stream.playlist(V, Form::Full));
    assert_eq!(stream.playlist(V, Form::Delta), stream.playlist(V, Form::Full));
}

#[test]
fn gap_segments_before_the_first() {
    let mut start = session_start(vec![video(), audio(A)]);
    start.prefill_gap_segments = 3;
    let mut stream = Stream::new(start);
    stream.segments(1);
    stream.playable();
    compare("gap-prefill.m3u8", &stream.playlist(V, Form::Full));
}

#[test]
fn gap_parts_of_a_silent_track() {
    let mut stream = Stream::playing(1);
    let ticks = stream.part_ticks(A);
    for opens in [Some(false), None] {
        let part = Part { media: None, ..stream.next_part(A, opens, ticks) };
        stream.push(EventBody::Part(part));
    }
    stream.close(A, false);
    stream.part(A, Some(false));
    let part = Part { media: None, ..stream.next_part(A, None, ticks) };
    stream.push(EventBody::PartAndClose(part, Close { rendition: A, discontinuity_follows: false }));
    compare("gap-parts.m3u8", &stream.playlist(A, Form::Full));
}

#[test]
fn sound_alone() {
    let mut stream = Stream::new(session_start(vec![audio(V)]));
    stream.segments(2);
    stream.playable();
    compare("audio-only.m3u8", &stream.playlist(V, Form::Full));
    let playlist = multivariant::render(&stream.window, stream.start.session).unwrap();
    compare("multivariant-audio-only.m3u8", &playlist);
}

#[test]
fn pictures_alone() {
    let mut stream = Stream::new(session_start(vec![video()]));
    stream.segments(1);
    stream.playable();
    let playlist = multivariant::render(&stream.window, stream.start.session).unwrap();
    compare("multivariant-video-only.m3u8", &playlist);
}

#[test]
fn pictures_and_sound_in_one_rendition() {
    let mut stream = Stream::new(session_start(vec![muxed()]));
    stream.segments(2);
    stream.playable();
    compare("muxed.m3u8", &stream.playlist(V, Form::Full));
    let playlist = multivariant::render(&stream.window, stream.start.session).unwrap();
    compare("multivariant-muxed.m3u8", &playlist);
}

#[test]
fn nothing_is_rendered_before_every_rendition_has_a_segment() {
    let mut stream = Stream::av();
    stream.segment(V, false, false);
    let early = EventBody::Playable { bandwidth_bits: 1, average_bandwidth_bits: 1 };
    assert_eq!(stream.try_push(early), Err(EventError::Session));
    let session = stream.start.session;
    assert_eq!(media_playlist::render(&stream.window, session, V, Form::Full), None);
    assert_eq!(multivariant::render(&stream.window, session), None);
    stream.segment(A, false, false);
    stream.playable();
    assert!(media_playlist::render(&stream.window, session, V, Form::Full).is_some());
    assert_eq!(media_playlist::render(&stream.window, session, RenditionId(2), Form::Full), None);
}
