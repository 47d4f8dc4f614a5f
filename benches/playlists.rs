//! What one rendering of a media playlist costs. A shard renders each form once a part, on first use.

use std::hint::black_box;

use bytes::Bytes;
use criterion::{Criterion, criterion_group, criterion_main};
use rapidrtmp::hls::media_playlist::{self, Form};
use rapidrtmp::hls::window::Window;
use rapidrtmp::hls::{
    Close, Epoch, EventBody, InitSegment, Part, Rendition, RenditionId, SegmentHead, SessionId, SessionStart,
    StreamEvent,
};
use rapidrtmp::media::{MediaRef, Timescale, TrackKind};

const V: RenditionId = RenditionId(0);
const STARTED_UNIX_MS: u64 = 1_795_000_000_000;
const SESSION: SessionId =
    SessionId { started_unix_ms: STARTED_UNIX_MS, target_duration_s: 2, part_target_ms: 334 };
/// Segments of 2 s in six parts of ten frames at 30 frames a second.
const PARTS_PER_SEGMENT: u64 = 6;

/// A window that is full and has slid, with half a segment open.
fn window(segments: u32) -> Window {
    let rendition = Rendition {
        id: V,
        name: "v".into(),
        kind: TrackKind::Video,
        timescale: Timescale::VIDEO,
        codecs: "avc1.64001f".into(),
        resolution: Some((1920, 1080)),
        frame_rate_milli: Some(30_000),
        video_range: None,
        channels: None,
    };
    let start = SessionStart {
        session: SESSION,
        epoch: Epoch { started_unix_ms: STARTED_UNIX_MS, random: 1 },
        renditions: vec![rendition],
        part_hold_back_ms: 1002,
        can_skip_until_s: 12,
        gop_ms: 2000,
        media_sequence_first: 120_000_000,
        discontinuity_sequence_first: 16_000,
        window_segments_min: segments,
        window_ms_min: 14_000,
        prefill_gap_segments: 0,
        retained_bytes_max: u64::MAX,
    };
    let mut window = Window::new();
    let mut at_unix_ms = STARTED_UNIX_MS;
    let mut apply = |body| {
        at_unix_ms += 333;
        window.apply(&StreamEvent { at_unix_ms, body }).expect("the events follow from one another");
    };
    let init = InitSegment { rendition: V, number: 0, bytes: Bytes::from_static(b"init") };
    apply(EventBody::Start(Box::new(start)));
    apply(EventBody::Init(init));
    let parts = u64::from(segments + 10) * PARTS_PER_SEGMENT + PARTS_PER_SEGMENT / 2;
    for number in 0..parts {
        let (segment, index) = (number / PARTS_PER_SEGMENT, number % PARTS_PER_SEGMENT);
        let head = SegmentHead {
            media_sequence: 120_000_000 + segment,
            program_date_time_unix_ms: STARTED_UNIX_MS + 2000 * segment,
            discontinuity: false,
            init: 0,
        };
        let part = Part {
            rendition: V,
            number,
            opens: (index == 0).then_some(head),
            duration_ticks: 30_000,
            independent: index == 0,
            media: Some(MediaRef::Memory(Bytes::from_static(b"part"))),
        };
        apply(if index + 1 == PARTS_PER_SEGMENT {
            EventBody::PartAndClose(part, Close { rendition: V, discontinuity_follows: false })
        } else {
            EventBody::Part(part)
        });
    }
    apply(EventBody::Playable { bandwidth_bits: 3_000_000, average_bandwidth_bits: 2_500_000 });
    window
}

fn playlists(criterion: &mut Criterion) {
    for segments in [20, 2_000] {
        let window = window(segments);
        let mut group = criterion.benchmark_group(format!("playlist of {segments} segments"));
        for (name, form) in [("full", Form::Full), ("delta", Form::Delta)] {
            let bytes = media_playlist::render(&window, SESSION, V, form).map_or(0, |text| text.len() as u64);
            group.throughput(criterion::Throughput::Bytes(bytes));
            group.bench_function(name, |bencher| {
                bencher.iter(|| media_playlist::render(black_box(&window), SESSION, V, form));
            });
        }
        group.finish();
    }
}

criterion_group!(benches, playlists);
criterion_main!(benches);
