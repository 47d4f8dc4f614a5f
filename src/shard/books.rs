//! Keeps the metrics of a shard: what its streams' cores have counted is added up once a second, what
//! happens to a part or segment at once.

use std::cell::RefCell;

use super::{Stats, process};
use crate::hls::{EventBody, Part, RenditionId, StreamEvent};
use crate::limits::RENDITIONS_MAX;
use crate::media::{Now, Repairs, StreamName};
use crate::metrics::{Finding, FrameType, Label, RepairKind, ShardMetrics};
use crate::origin::home::Home;
use crate::origin::resource::RenditionName;
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
    process_cpu_us: u64,
}

impl ShardBooks {
    /// Adds what was counted since the last call.
    pub fn shard(&self, metrics: &ShardMetrics, stats: &Stats) {
        let before = &mut *self.before.borrow_mut();
        add(&mut before.stalls, stats.stalls.get(), &metrics.shard_stalls);
        add(&mut before.panics, stats.panics.get(), &metrics.panics);
    }

    /// What is the process's: the lines that its log has dropped, and what it costs. One shard keeps this book.
    pub fn process(&self, metrics: &ShardMetrics, lines_dropped: u64) {
        let before = &mut *self.before.borrow_mut();
        add(&mut before.log_lines_dropped, lines_dropped, &metrics.log_lines_dropped);
        let cpu_us = process::cpu_us();
        let passed_us = cpu_us.saturating_sub(std::mem::replace(&mut before.process_cpu_us, cpu_us));
        metrics.process_cpu_seconds.inc_by(passed_us as f64 / 1e6);
        if let Some(bytes) = process::resident_bytes() {
            metrics.process_resident_memory_bytes.set(bytes as i64);
        }
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
    findings: [u64; Finding::ALL.len()],
    /// By rendition.
    open_segments: [OpenSegment; RENDITIONS_MAX],
}

/// A segment that is not complete.
#[derive(Debug, Clone, Copy, Default)]
struct OpenSegment {
    /// Of its rendition, per second; 0 where there is none.
    timescale: u32,
    /// Of its rendition.
    name: Option<RenditionName>,
    media_sequence: u64,
    duration_ticks: u64,
    parts_count: u64,
    bytes: u64,
}

impl StreamBooks {
    /// A stream's home made this event.
    pub fn event(&mut self, metrics: &ShardMetrics, stream: &StreamName, event: &StreamEvent) {
        match &event.body {
            EventBody::Start(start) => {
                self.open_segments = Default::default();
                for (open, rendition) in self.open_segments.iter_mut().zip(&start.renditions) {
                    open.timescale = rendition.timescale.get();
                    open.name = RenditionName::new(&rendition.name);
                }
                metrics.streams_started.inc();
            }
            EventBody::Part(part) => self.part(metrics, part),
            EventBody::PartAndClose(part, close) => {
                self.part(metrics, part);
                self.segment(metrics, stream, close.rendition);
            }
            EventBody::Close(close) => self.segment(metrics, stream, close.rendition),
            EventBody::End => {
                metrics.streams_stopped.inc();
            }
            EventBody::Announce
            | EventBody::Formats(_)
            | EventBody::Init(_)
            | EventBody::Playable { .. }
            | EventBody::Retire(_) => {}
        }
    }

    fn part(&mut self, metrics: &ShardMetrics, part: &Part) {
        let bytes = part.media.as_ref().map_or(0, |media| media.len() as u64);
        metrics.parts_created.inc();
        metrics.part_size_bytes.observe(bytes as f64);
        if let Some(open) = self.open_segments.get_mut(usize::from(part.rendition.0)) {
            if let Some(head) = &part.opens {
                open.media_sequence = head.media_sequence;
            }
            open.duration_ticks += part.duration_ticks;
            open.parts_count += 1;
            open.bytes += bytes;
        }
    }

    fn segment(&mut self, metrics: &ShardMetrics, stream: &StreamName, rendition: RenditionId) {
        metrics.segments_created.inc();
        let Some(open) = self.open_segments.get_mut(usize::from(rendition.0)) else { return };
        if open.timescale > 0 {
            tracing::debug!(
                %stream,
                rendition = open.name.as_ref().map_or("", RenditionName::as_str),
                media_sequence = open.media_sequence,
                duration_ms = open.duration_ticks * 1000 / u64::from(open.timescale),
                parts = open.parts_count,
                bytes = open.bytes,
                "segment"
            );
            metrics.segment_duration_seconds.observe(open.duration_ticks as f64 / f64::from(open.timescale));
            metrics.segment_size_bytes.observe(open.bytes as f64);
        }
        (open.duration_ticks, open.parts_count, open.bytes) = (0, 0, 0);
    }

    /// Adds what was counted since the last call, and logs what is found of a publisher for the first time. A new
    /// session counts from zero again.
    pub fn stream(&mut self, metrics: &ShardMetrics, stream: &StreamName, home: &mut Home, now: Now) {
        for found in home.findings().found() {
            let counter = metrics.stream_findings.of(found.finding);
            add(&mut self.findings[found.finding.index()], found.count, counter);
        }
        for found in home.findings_mut().take_news(now) {
            tracing::warn!(%stream, finding = found.finding.name(), "{}", found.advice());
        }
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
        add(&mut self.gaps, findings.gaps, of(RepairKind::Silence));
    }
}

fn add(before: &mut u64, now: u64, counter: &Counter) {
    // A counter that is lower than before belongs to a new session.
    counter.inc_by(if now >= *before { now - *before } else { now });
    *before = now;
}
