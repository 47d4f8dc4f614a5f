//! Keeps the metrics of a shard: what its streams' cores have counted is added up once a second, what
//! happens to a part or segment at once.

use std::cell::RefCell;

use super::Stats;
use crate::hls::{EventBody, Part, StreamEvent};
use crate::media::Repairs;
use crate::metrics::{FrameType, RepairKind, ShardMetrics};
use crate::origin::home::Home;
use prometheus_client::metrics::counter::Counter;

/// What of a shard's own counters the metrics have already.
#[derive(Debug, Default)]
pub struct ShardBooks {
    before: RefCell<(u64, u64)>,
}

impl ShardBooks {
    /// Adds what was counted since the last call.
    pub fn shard(&self, metrics: &ShardMetrics, stats: &Stats) {
        let mut before = self.before.borrow_mut();
        let (stalls, panics) = (stats.stalls.get(), stats.panics.get());
        metrics.shard_stalls.inc_by(stalls - before.0);
        metrics.panics.inc_by(panics - before.1);
        *before = (stalls, panics);
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
}

impl StreamBooks {
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
        add(
            &mut before.composition_clamped,
            repairs.composition_clamped,
            of(RepairKind::CompositionClamped),
        );
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

/// A stream's home made this event.
pub fn event(metrics: &ShardMetrics, event: &StreamEvent) {
    let part = |part: &Part| {
        metrics.parts_created.inc();
        if let Some(media) = &part.media {
            metrics.part_size_bytes.observe(media.len() as f64);
        }
    };
    match &event.body {
        EventBody::Start(_) => {
            metrics.streams_started.inc();
        }
        EventBody::Part(listed) => part(listed),
        EventBody::PartAndClose(listed, _) => {
            part(listed);
            metrics.segments_created.inc();
        }
        EventBody::Close(_) => {
            metrics.segments_created.inc();
        }
        EventBody::End => {
            metrics.streams_stopped.inc();
        }
        EventBody::Announce | EventBody::Init(_) | EventBody::Playable { .. } | EventBody::Retire(_) => {}
    }
}
