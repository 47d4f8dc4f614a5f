//! Defects of the program that this one succeeds, by their numbers.

use super::*;
use crate::hls::numbering::Numbering;
use crate::hls::window::Lookup;
use crate::hls::{multivariant, path};

/// A playlist of version 7 with transport streams, without dates, discontinuities, end or multivariant
/// playlist.
#[test]
fn defect_5_playlists_have_version_dates_discontinuities_an_end_and_a_multivariant_playlist() {
    let mut stream = Stream::playing(2);
    for rendition in [V, A] {
        stream.segment(rendition, true, false);
    }
    stream.push(EventBody::End);
    let playlist = stream.playlist(V, Form::Full);
    assert!(playlist.starts_with("#EXTM3U\n#EXT-X-VERSION:9\n"));
    assert_eq!(playlist.matches("#EXT-X-PROGRAM-DATE-TIME:").count(), 3);
    assert_eq!(playlist.matches("#EXT-X-DISCONTINUITY\n").count(), 1);
    assert_eq!(playlist.matches("#EXT-X-ENDLIST\n").count(), 1);
    assert_eq!(playlist.matches("#EXT-X-MAP:").count(), 1);
    assert!(!playlist.contains(".ts"));
    let multivariant = multivariant::render(&stream.window, stream.start.session).unwrap();
    assert!(multivariant.contains(",CODECS=\"avc1.64001f,mp4a.40.2\","));
}

/// Numbers began at 0 again with each publisher, under the same names: caches mixed two streams; and the end
/// of a stream was 404 at once.
#[test]
fn defect_6_a_second_session_shares_no_number_with_the_first_which_still_answers() {
    let mut numbering = Numbering::new(EPOCH.started_unix_ms, EPOCH.random, None);
    let mut window = Window::new();
    let mut lives = Vec::new();
    for life in 0..2u64 {
        let numbers = numbering.start_session(EPOCH.started_unix_ms, 2, 500, 0);
        let start = SessionStart {
            session: numbers.session,
            epoch: numbers.epoch,
            media_sequence_first: numbers.media_sequence_first,
            discontinuity_sequence_first: numbers.discontinuity_sequence_first,
            ..session_start(vec![video()])
        };
        let mut stream = Stream::new(start);
        // The helper numbers from 0; the home numbers on.
        let first_part = numbering.next_part("v");
        let first_init = numbering.next_init("v");
        stream.segments(2);
        stream.playable();
        stream.push(EventBody::End);
        for mut event in stream.events {
            match &mut event.body {
                EventBody::Init(init) => init.number += first_init,
                EventBody::Part(part) | EventBody::PartAndClose(part, _) => {
                    part.number += first_part;
                    part.opens.iter_mut().for_each(|head| head.init += first_init);
                }
                _ => {}
            }
            event.at_unix_ms += life * 10_000;
            window.apply(&event).unwrap();
            numbering.observe(&event);
        }
        lives.push(numbers.session);
    }
    assert!(lives[0] < lives[1]);
    let listed = |session| {
        let playlist = media_playlist::render(&window, session, V, Form::Full).unwrap();
        let uris = playlist.lines().filter(|line| line.ends_with(".m4s")).map(String::from);
        uris.collect::<Vec<_>>()
    };
    let (first, second) = (listed(lives[0]), listed(lives[1]));
    assert!(!first.is_empty() && first.iter().all(|uri| !second.contains(uri)));
    for number in 0..16 {
        assert!(matches!(window.part(EPOCH, "v", number), Lookup::Found(_)), "{number}");
    }
}

/// Playlists were never written where the documents said that they were, and named media by other paths
/// than those that were served.
#[test]
fn defect_15_every_uri_of_a_playlist_leads_to_its_resource() {
    let stream = Stream::playing(20);
    let master = multivariant::render(&stream.window, stream.start.session).unwrap();
    assert!(matches!(path::parse("/live/demo/index.m3u8").unwrap().resource, path::Resource::Multivariant));
    let playlists = uris(&master);
    assert_eq!(playlists.len(), 2);
    for uri in playlists {
        let location = format!("/live/demo/{uri}");
        let path::Resource::MediaPlaylist { session, rendition } = path::parse(&location).unwrap().resource
        else {
            panic!("{location}")
        };
        let id = stream.window.rendition_id(session, rendition).unwrap();
        let playlist = media_playlist::render(&stream.window, session, id, Form::Full).unwrap();
        for uri in uris(&playlist) {
            let location = match uri.strip_prefix("../") {
                Some(media) => format!("/live/demo/{media}"),
                None => format!("/live/demo/{session}/{uri}"),
            };
            let found = match path::parse(&location).unwrap().resource {
                path::Resource::Init { epoch, rendition, number } => {
                    matches!(stream.window.init(epoch, rendition, number), Lookup::Found(_))
                }
                path::Resource::Part { epoch, rendition, number } => {
                    let hinted = playlist.contains(&format!("TYPE=PART,URI=\"{uri}\""));
                    match stream.window.part(epoch, rendition, number) {
                        Lookup::Found(_) => !hinted,
                        Lookup::Hinted => hinted,
                        _ => false,
                    }
                }
                path::Resource::Segment { epoch, rendition, media_sequence } => {
                    matches!(stream.window.segment(epoch, rendition, media_sequence), Lookup::Found(_))
                }
                path::Resource::MediaPlaylist { session, rendition } => {
                    stream.window.rendition_id(session, rendition).is_some()
                }
                path::Resource::Multivariant => false,
            };
            assert!(found, "{location}");
        }
    }
}

/// Quoted URIs and URI lines.
fn uris(playlist: &str) -> Vec<&str> {
    let quoted = playlist.split("URI=\"").skip(1).filter_map(|rest| rest.split('"').next());
    quoted.chain(playlist.lines().filter(|line| !line.starts_with('#'))).collect()
}
