//! Keeps the metrics of a shard: what its streams' cores have counted is added up once a second, what
//! happens to a part or segment at once.

use std::cell::RefCell;

use super::Stats;
use crate::hls::{EventBody, Part, RenditionId, SessionId, StreamEvent};
use crate::limits::RENDITIONS_MAX;
use crate::media::Repairs;
use crate::metrics::{FrameType, RepairKind, ShardMetrics};
use crate::origin::home::Home;
use prometheus_client::metrics::counter::Counter;

/// What of a shard's own counters the metrics have already.
#[derive(Debug, Default)]
pub struct ShardBooks {
    before: RefCell<Counted>,
}

#[derive(Debug, Default)]
struct Counted {
    stalls: u64,
    panics: u64,
    log_lines_dropped: u64,
}

impl ShardBooks {
    /// Adds what was counted since the last call.
    pub fn shard(&self, metrics: &ShardMetrics, stats: &Stats) {
        let before = &mut *self.before.borrow_mut();
        add(&mut before.stalls, stats.stalls.get(), &metrics.shard_stalls);
        add(&mut before.panics, stats.panics.get(), &metrics.panics);
    }

    /// Adds the lines that the log, which is the process's, has dropped. One shard keeps this book.
    pub fn log(&self, metrics: &ShardMetrics, lines_dropped: u64) {
        add(&mut self.before.borrow_mut().log_lines_dropped, lines_dropped, &metrics.log_lines_dropped);
    }
}

/// What of a stream's counters the metrics have already.
#[derive(Debug, Default)]
pub struct StreamBooks {
    repairs: Repairs,
    forced_cuts: u64,
    gaps: u64,
    frames: [u64; 2],
    keyframes: u64,
    /// The session of which the log says that its key frames are too far apart.
    warned_of: Option<SessionId>,
    /// By rendition.
    open_segments: [OpenSegment; RENDITIONS_MAX],
}

/// A segment that is not complete.
#[derive(Debug, Clone, Copy, Default)]
struct OpenSegment {
    /// Of its rendition, per second; 0 where there is none.
    timescale: u32,
    duration_ticks: u64,
    bytes: u64,
}

impl StreamBooks {
    /// A stream's home made this event.
    pub fn event(&mut self, metrics: &ShardMetrics, event: &StreamEvent) {
        match &event.body {
            EventBody::Start(start) => {
                self.open_segments = Default::default();
                for (open, rendition) in self.open_segments.iter_mut().zip(&start.renditions) {
                    open.timescale = rendition.timescale.get();
                }
                metrics.streams_started.inc();
            }
            EventBody::Part(part) => self.part(metrics, part),
            EventBody::PartAndClose(part, close) => {
                self.part(metrics, part);
                self.segment(metrics, close.rendition);
            }
            EventBody::Close(close) => self.segment(metrics, close.rendition),
            EventBody::End => {
                metrics.streams_stopped.inc();
            }
            EventBody::Announce | EventBody::Init(_) | EventBody::Playable { .. } | EventBody::Retire(_) => {}
        }
    }

    fn part(&mut self, metrics: &ShardMetrics, part: &Part) {
        let bytes = part.media.as_ref().map_or(0, |media| media.len() as u64);
        metrics.parts_created.inc();
        metrics.part_size_bytes.observe(bytes as f64);
        if let Some(open) = self.open_segments.get_mut(usize::from(part.rendition.0)) {
            open.duration_ticks += part.duration_ticks;
            open.bytes += bytes;
        }
    }

    fn segment(&mut self, metrics: &ShardMetrics, rendition: RenditionId) {
        metrics.segments_created.inc();
        let Some(open) = self.open_segments.get_mut(usize::from(rendition.0)) else { return };
        if open.timescale > 0 {
            metrics.segment_duration_seconds.observe(open.duration_ticks as f64 / f64::from(open.timescale));
            metrics.segment_size_bytes.observe(open.bytes as f64);
        }
        (open.duration_ticks, open.bytes) = (0, 0);
    }

    /// Adds what was counted since the last call. A new session counts from zero again.
    pub fn stream(&mut self, metrics: &ShardMetrics, home: &Home) {
        let received = home.frames_received();
        add(&mut self.frames[0], received.video, metrics.frames_received.of(FrameType::Video));
        add(&mut self.frames[1], received.audio, metrics.frames_received.of(FrameType::Audio));
        add(&mut self.keyframes, received.key, &metrics.keyframes);
        let Some(live) = home.live() else { return };
        let (repairs, findings) = (live.repairs(), live.findings());
        let of = |kind| metrics.repairs.of(kind);
        let before = &mut self.repairs;
        add(&mut before.missing_frames, repairs.missing_frames, of(RepairKind::MissingFrame));
        add(&mut before.absorbed, repairs.absorbed, of(RepairKind::Absorbed));
        add(&mut before.slewed, repairs.slewed, of(RepairKind::Slewed));
        add(&mut before.composition_clamped, repairs.composition_clamped, of(RepairKind::CompositionClamped));
        add(&mut before.discontinuities, repairs.discontinuities, of(RepairKind::Discontinuity));
        add(&mut before.discarded, repairs.discarded, of(RepairKind::Discarded));
        add(&mut self.forced_cuts, findings.forced_cuts, of(RepairKind::ForcedCut));
        let session = live.start().session;
        if findings.forced_cuts > 0 && self.warned_of.replace(session) != Some(session) {
            tracing::warn!(stream = %home.name(), "keyframes are further apart than the {} s that a segment may last: segments are cut without one, and players that join wait for the next. Set the encoder's keyframe interval to 1 or 2 s (OBS: Settings, Output; ffmpeg: -g with one or two times the frame rate)", session.target_duration_s);
        }
        add(&mut self.gaps, findings.gaps, of(RepairKind::Silence));
    }
}

fn add(before: &mut u64, now: u64, counter: &Counter) {
    // A counter that is lower than before belongs to a new session.
    counter.inc_by(if now >= *before { now - *before } else { now });
    *before = now;
}
