//! Fuzz bodies for what a viewer sends: playlist queries and request paths. They are run by an ordinary
//! test and by the fuzzer alike.

use bytes::Bytes;
use rapidrtmp::hls::path::{self, Resource};
use rapidrtmp::hls::reload::{Directives, Reload, Until, decide, resolve};
use rapidrtmp::hls::window::Window;
use rapidrtmp::hls::{
    Close, Epoch, EventBody, InitSegment, Part, Rendition, RenditionId, SegmentHead, SessionId, SessionStart,
    StreamEvent,
};
use rapidrtmp::media::{MediaRef, StreamName, Timescale, TrackKind};

const SESSION: SessionId =
    SessionId { started_unix_ms: 1_795_000_000_000, target_duration_s: 1, part_target_ms: 500 };
const MEDIA_SEQUENCE_COMPLETE: u64 = 100;

/// Any query gets a decision that follows from it, twice the same.
pub fn playlist_query(input: &[u8]) {
    let Ok(query) = std::str::from_utf8(input) else { return };
    let window = live_window();
    let directives = Directives::parse(query);
    assert_eq!(directives, Directives::parse(query));
    let resolved = resolve(&window, SESSION, "v").expect("the session is playable");
    match decide(&window, &resolved, &directives) {
        Reload::Ready(_) => {}
        Reload::Wait(Until::Part(key)) => {
            assert!(
                (MEDIA_SEQUENCE_COMPLETE + 1..=MEDIA_SEQUENCE_COMPLETE + 2).contains(&key.media_sequence)
            );
            assert!(key.index <= 7, "the advance part limit is 6, after part 0");
        }
        Reload::Wait(Until::Segment { media_sequence }) => {
            let near = MEDIA_SEQUENCE_COMPLETE + 1..=MEDIA_SEQUENCE_COMPLETE + 2;
            assert!(near.contains(&media_sequence));
        }
        Reload::Reject(reject) => assert_eq!(reject.status(), 400),
    }
    if directives.is_empty() {
        assert!(matches!(decide(&window, &resolved, &directives), Reload::Ready(_)));
    }
}

/// A path that names something has one spelling: what it names, written out, is the path.
pub fn media_path(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let Some(parsed) = path::parse(text) else { return };
    let stream = parsed.stream;
    let written = match parsed.resource {
        Resource::Multivariant => format!("/{stream}/index.m3u8"),
        Resource::MediaPlaylist { session, rendition } => format!("/{stream}/{session}/{rendition}.m3u8"),
        Resource::Init { epoch, rendition, number } => format!("/{stream}/{epoch}/{rendition}-i{number}.mp4"),
        Resource::Part { epoch, rendition, number } => format!("/{stream}/{epoch}/{rendition}-{number}.m4s"),
        Resource::Segment { epoch, rendition, media_sequence } => {
            format!("/{stream}/{epoch}/{rendition}-s{media_sequence}.m4s")
        }
    };
    assert_eq!(written, text);
    // Only reserved applications are a matter of names and not of paths.
    if let Err(error) = StreamName::parse(stream) {
        assert_eq!(error, rapidrtmp::media::NameError::Reserved);
    }
}

/// One complete segment, the next one open with one part.
fn live_window() -> Window {
    let start = SessionStart {
        session: SESSION,
        epoch: Epoch { started_unix_ms: SESSION.started_unix_ms, random: 1 },
        renditions: vec![Rendition {
            id: RenditionId(0),
            name: "v".into(),
            kind: TrackKind::Video,
            timescale: Timescale::VIDEO,
            codecs: "avc1.64001f".into(),
            resolution: None,
            frame_rate_milli: None,
            video_range: None,
            channels: None,
        }],
        part_hold_back_ms: 1500,
        can_skip_until_s: 6,
        gop_ms: 2000,
        media_sequence_first: MEDIA_SEQUENCE_COMPLETE,
        discontinuity_sequence_first: 0,
        window_segments_min: 6,
        window_ms_min: 7_000,
        prefill_gap_segments: 0,
        retained_bytes_max: 1 << 20,
    };
    let part = |number| Part {
        rendition: RenditionId(0),
        number,
        opens: Some(SegmentHead {
            media_sequence: MEDIA_SEQUENCE_COMPLETE + number,
            program_date_time_unix_ms: SESSION.started_unix_ms,
            discontinuity: false,
            init: 0,
        }),
        duration_ticks: 45_000,
        independent: true,
        media: Some(MediaRef::Memory(Bytes::from_static(b"part"))),
    };
    let close = Close { rendition: RenditionId(0), discontinuity_follows: false };
    let init = InitSegment { rendition: RenditionId(0), number: 0, bytes: Bytes::from_static(b"init") };
    let mut window = Window::new();
    for body in [
        EventBody::Start(Box::new(start)),
        EventBody::Init(init),
        EventBody::PartAndClose(part(0), close),
        EventBody::Part(part(1)),
        EventBody::Playable { bandwidth_bits: 1000, average_bandwidth_bits: 1000 },
    ] {
        let event = StreamEvent { at_unix_ms: SESSION.started_unix_ms, body };
        window.apply(&event).expect("the events follow from one another");
    }
    window
}
