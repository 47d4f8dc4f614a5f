//! Whole playlists and whole lives of streams; what concerns one file is tested in that file.

mod defects;
mod golden;
mod reload;
mod simulation;
mod window;

use bytes::Bytes;

use super::media_playlist::{self, Form};
use super::window::{Change, EventError, Window};
use super::*;
use crate::media::{MediaRef, Timescale, TrackKind};

const EPOCH: Epoch = Epoch { started_unix_ms: 1_795_000_000_000, random: 0xbeef };
const V: RenditionId = RenditionId(0);
const A: RenditionId = RenditionId(1);

/// A stream that a test drives: TARGETDURATION 2, PART-TARGET 0.5, segments of four parts.
struct Stream {
    window: Window,
    events: Vec<StreamEvent>,
    start: SessionStart,
    at_unix_ms: u64,
    /// By rendition.
    part_next: Vec<u64>,
    media_sequence_next: Vec<u64>,
    presentation_ms: Vec<u64>,
    init: u32,
}

fn video() -> Rendition {
    Rendition {
        id: V,
        name: "v".into(),
        kind: TrackKind::Video,
        timescale: Timescale::VIDEO,
        codecs: "avc1.64001f".into(),
        resolution: Some((1280, 720)),
        frame_rate_milli: Some(29_970),
        video_range: Some(VideoRange::Sdr),
        channels: None,
    }
}

fn audio(id: RenditionId) -> Rendition {
    Rendition {
        id,
        name: "a".into(),
        kind: TrackKind::Audio,
        timescale: Timescale::new(48_000).unwrap(),
        codecs: "mp4a.40.2".into(),
        resolution: None,
        frame_rate_milli: None,
        video_range: None,
        channels: Some(2),
    }
}

fn muxed() -> Rendition {
    Rendition { name: "av".into(), codecs: "avc1.64001f,mp4a.40.2".into(), channels: Some(2), ..video() }
}

fn session_start(renditions: Vec<Rendition>) -> SessionStart {
    SessionStart {
        session: SessionId {
            started_unix_ms: EPOCH.started_unix_ms,
            target_duration_s: 2,
            part_target_ms: 500,
        },
        epoch: EPOCH,
        renditions,
        part_hold_back_ms: 1500,
        can_skip_until_s: 12,
        gop_ms: 2000,
        media_sequence_first: 1001,
        discontinuity_sequence_first: 4,
        window_segments_min: 6,
        window_ms_min: 14_000,
        prefill_gap_segments: 0,
        retained_bytes_max: 1 << 28,
    }
}

impl Stream {
    /// A stream whose session has just begun, with its init segments.
    fn new(start: SessionStart) -> Self {
        let count = start.renditions.len();
        let mut stream = Self {
            window: Window::new(),
            events: Vec::new(),
            at_unix_ms: start.session.started_unix_ms,
            part_next: vec![0; count],
            media_sequence_next: vec![start.media_sequence_first; count],
            presentation_ms: vec![start.session.started_unix_ms; count],
            start: start.clone(),
            init: 0,
        };
        stream.push(EventBody::Start(Box::new(start)));
        stream.announce_inits(0);
        stream
    }

    fn av() -> Self {
        Self::new(session_start(vec![video(), audio(A)]))
    }

    /// Video and audio, `segments` complete in each, playable.
    fn playing(segments: usize) -> Self {
        let mut stream = Self::av();
        stream.segments(segments);
        stream.playable();
        stream
    }

    fn try_push(&mut self, body: EventBody) -> Result<Change, EventError> {
        let event = StreamEvent { at_unix_ms: self.at_unix_ms, body };
        let change = self.window.apply(&event)?;
        self.events.push(event);
        Ok(change)
    }

    fn push(&mut self, body: EventBody) -> Change {
        self.try_push(body).unwrap()
    }

    fn renditions(&self) -> Vec<RenditionId> {
        self.start.renditions.iter().map(|rendition| rendition.id).collect()
    }

    fn announce_inits(&mut self, number: u32) {
        for rendition in self.renditions() {
            let bytes = Bytes::from(format!("init {rendition:?} {number}"));
            self.push(EventBody::Init(InitSegment { rendition, number, bytes }));
        }
        self.init = number;
    }

    fn playable(&mut self) {
        self.push(EventBody::Playable { bandwidth_bits: 3_000_000, average_bandwidth_bits: 2_500_000 });
    }

    /// Half a second of video, or the whole AAC frames that fit into it.
    fn part_ticks(&self, rendition: RenditionId) -> u64 {
        match self.start.renditions[usize::from(rendition.0)].kind {
            TrackKind::Video => 45_000,
            TrackKind::Audio => 23 * 1024,
        }
    }

    /// The next part, of `ticks`; `opens` says whether it begins a segment, and if a discontinuous one.
    fn next_part(&mut self, rendition: RenditionId, opens: Option<bool>, ticks: u64) -> Part {
        let index = usize::from(rendition.0);
        let number = self.part_next[index];
        self.part_next[index] += 1;
        let opens = opens.map(|discontinuity| {
            let media_sequence = self.media_sequence_next[index];
            self.media_sequence_next[index] += 1;
            let program_date_time_unix_ms = self.presentation_ms[index];
            SegmentHead { media_sequence, program_date_time_unix_ms, discontinuity, init: self.init }
        });
        let scale = u64::from(self.start.renditions[index].timescale.get());
        self.presentation_ms[index] += ticks * 1000 / scale;
        let independent = opens.is_some() || index == 1;
        let media = Some(MediaRef::Memory(Bytes::from(format!("part {index} {number}"))));
        Part { rendition, number, opens, duration_ticks: ticks, independent, media }
    }

    fn part(&mut self, rendition: RenditionId, opens: Option<bool>) -> Change {
        let part = self.next_part(rendition, opens, self.part_ticks(rendition));
        self.push(EventBody::Part(part))
    }

    fn close(&mut self, rendition: RenditionId, discontinuity_follows: bool) -> Change {
        self.push(EventBody::Close(Close { rendition, discontinuity_follows }))
    }

    /// One complete segment of a rendition: three parts, then the last with the close.
    fn segment(&mut self, rendition: RenditionId, discontinuity: bool, discontinuity_follows: bool) {
        self.part(rendition, Some(discontinuity));
        self.part(rendition, None);
        self.part(rendition, None);
        let last = self.next_part(rendition, None, self.part_ticks(rendition));
        self.push(EventBody::PartAndClose(last, Close { rendition, discontinuity_follows }));
    }

    /// `count` segments of every rendition, two seconds each on the home's clock.
    fn segments(&mut self, count: usize) {
        for _ in 0..count {
            self.at_unix_ms += 2000;
            for rendition in self.renditions() {
                self.segment(rendition, false, false);
            }
        }
    }

    fn playlist(&self, rendition: RenditionId, form: Form) -> String {
        media_playlist::render(&self.window, self.start.session, rendition, form).unwrap()
    }
}

/// What an independent parser makes of a playlist; it must know every line.
fn parsed(playlist: &str) -> Vec<quick_m3u8::HlsLine<'_>> {
    use quick_m3u8::{HlsLine, Reader, config::ParsingOptionsBuilder};
    let options = ParsingOptionsBuilder::new().with_parsing_for_all_tags().build();
    let mut reader = Reader::from_str(playlist, options);
    let mut lines = Vec::new();
    while let Some(line) = reader.read_line().unwrap_or_else(|error| panic!("{error:?}\n{playlist}")) {
        assert!(
            !matches!(line, HlsLine::UnknownTag(_) | HlsLine::Comment(_) | HlsLine::Blank),
            "{line:?}\n{playlist}"
        );
        lines.push(line);
    }
    lines
}
