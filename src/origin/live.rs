//! A running session: frames in, events out. The timeline says when a frame is, the segmenter where the
//! cuts are, the part writers hold the bytes.

mod dates;
mod joins;
mod output;
mod take_over;

pub use output::FrameTimes;
use output::LiveRendition;
pub use take_over::{Difference, Fit};

use std::collections::VecDeque;

use bytes::BytesMut;
use joins::Joins;
use serde::{Deserialize, Serialize};

use super::tracks::{LearntStream, RenditionLayout, rendition_of};
use crate::codec::{Codec, CodecConfig, Frame, FrameRole, VideoRange};
use crate::flv::FrameBegin;
use crate::fmp4::{BufferPool, PartWriter};
use crate::hls::numbering::{Numbering, SessionNumbers};
use crate::hls::{EventBody, Findings, Plan, RenditionId, Segmenter, SessionStart, TrackPlan, Verdict};
use crate::limits::{FILL_ROUNDS_MAX, RENDITIONS_MAX};
use crate::media::{FrameStamp, FrameTime, Placed, Repairs, Timeline, WallClock};
use crate::media::{Now, TrackId, TrackKind};

/// What a session is started with, besides its plan and its tracks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionSettings {
    /// One rendition with both tracks, instead of one each.
    pub muxed: bool,
    /// The window's least number of complete segments.
    pub window_segments_min: u32,
    /// GAP segments before the first real one.
    pub prefill_gap_segments: u32,
    /// Bytes of media that the stream may keep.
    pub retained_bytes_max: u64,
}

/// One session that is being published, or waits for its publisher to return.
#[derive(Debug)]
pub struct Live {
    plan: Plan,
    start: SessionStart,
    timeline: Timeline,
    segmenter: Segmenter,
    wall_clock: WallClock,
    /// Presentation time of a group's earliest picture less decode time of its key picture: that of the one that the
    /// session, or what follows a discontinuity, began with. `None` before it.
    key_composition_ms: Option<i32>,
    renditions: Vec<LiveRendition>,
    /// `tracks[i]` is TrackId(i).
    tracks: Vec<LiveTrack>,
    /// Holes that the segmenter asked to be filled.
    fills: VecDeque<Hole>,
    events: Vec<EventBody>,
    /// When the newest frame of each part that was listed since was received, monotonic microseconds.
    listed_frames_us: FrameTimes,
}

#[derive(Debug)]
struct LiveTrack {
    kind: TrackKind,
    rendition: RenditionId,
    /// Its place in the rendition's writer.
    lane: usize,
    frame_ticks: u32,
    config: CodecConfig,
    /// Decode time of the first sample of the open part.
    part_decode: u64,
    frame: Option<OpenFrame>,
    /// Video: where one may join.
    joins: Joins,
    /// Variable frame rate: the newest whole frame, whose duration the next one tells.
    held: Option<HeldFrame>,
}

/// A frame of which bytes are arriving.
#[derive(Debug)]
enum OpenFrame {
    /// Into the open part.
    Writing { time: FrameTime },
    /// Apart, until its duration is known.
    Holding(HeldFrame),
    /// Nowhere.
    Discarding,
}

#[derive(Debug, Default)]
struct HeldFrame {
    bytes: BytesMut,
    key: bool,
    /// Once it is whole.
    role: Option<FrameRole>,
    received_us: u64,
}

#[derive(Debug, Clone, Copy)]
struct Hole {
    track: TrackId,
    from: u64,
    until: u64,
}

/// The session cannot go on with this input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LiveError {
    /// A frame is larger than a part may be.
    #[error("a frame does not fit into the part: {0}")]
    PartFull(#[from] crate::fmp4::PartFull),
}

impl Live {
    /// A session for what was learnt. Its first events are Start and the init segments.
    pub fn new(
        plan: Plan,
        stream: &LearntStream,
        numbers: SessionNumbers,
        numbering: &Numbering,
        settings: &SessionSettings,
        anchor_ms: i64,
    ) -> Self {
        let layout = RenditionLayout::new(settings.muxed, stream);
        let start = SessionStart {
            session: numbers.session,
            epoch: numbers.epoch,
            renditions: layout.renditions(stream),
            part_hold_back_ms: plan.part_hold_back_ms,
            can_skip_until_s: plan.can_skip_until_s,
            media_sequence_first: numbers.media_sequence_first,
            discontinuity_sequence_first: numbers.discontinuity_sequence_first,
            gop_ms: plan.gop_ms,
            window_segments_min: settings.window_segments_min,
            window_ms_min: 7 * 1000 * plan.target_duration_s,
            prefill_gap_segments: settings.prefill_gap_segments,
            retained_bytes_max: settings.retained_bytes_max,
        };
        let renditions = start.renditions.iter().map(|rendition| {
            let tracks: Vec<&TrackPlan> =
                plan.tracks.iter().filter(|track| track.rendition == rendition.id).collect();
            let track_ids: Vec<u32> = (1..).take(tracks.len()).collect();
            let samples = samples_per_part(&plan, rendition.id);
            LiveRendition {
                writer: PartWriter::new(&track_ids, samples),
                part_next: numbering.next_part(&rendition.name),
                init_next: numbering.next_init(&rendition.name),
                head: None,
                told_us: None,
                newest_frame_us: None,
                held: None,
            }
        });
        let renditions: Vec<_> = renditions.collect();
        let tracks = plan.tracks.iter().zip(&stream.tracks).enumerate();
        let tracks = tracks.map(|(index, (planned, learnt))| LiveTrack {
            kind: planned.kind,
            rendition: planned.rendition,
            lane: plan.tracks[..index].iter().filter(|other| other.rendition == planned.rendition).count(),
            frame_ticks: planned.cadence.frame_ticks(),
            config: learnt.config.clone(),
            part_decode: 0,
            frame: None,
            joins: Joins::new(),
            held: None,
        });
        let mut live = Self {
            timeline: Timeline::new(&stream.cadences(), anchor_ms),
            segmenter: Segmenter::new(&plan),
            wall_clock: WallClock::default(),
            key_composition_ms: None,
            renditions,
            tracks: tracks.collect(),
            fills: VecDeque::new(),
            events: vec![EventBody::Start(Box::new(start.clone()))],
            listed_frames_us: FrameTimes::new(),
            plan,
            start,
        };
        for rendition in 0..live.renditions.len() {
            live.write_init(rendition_of(rendition));
        }
        live
    }

    /// A publisher came back, or goes on with other parameters, whose tracks [`Plan::fits`]: the same
    /// session goes on with a discontinuity. [`Live::close`] was called before.
    pub fn resume(&mut self, stream: &LearntStream, anchor_ms: i64) {
        let muxed = self.is_muxed();
        self.plan = self.plan.with_cadences(&stream.planned(muxed));
        self.timeline.resume(&stream.cadences(), anchor_ms);
        self.segmenter.resume(&self.plan);
        self.wall_clock.step();
        self.key_composition_ms = None;
        let renditions = RenditionLayout::new(muxed, stream).renditions(stream);
        if self.start.renditions != renditions {
            self.start.renditions.clone_from(&renditions);
            self.events.push(EventBody::Formats(renditions));
        }
        for (index, rendition) in self.renditions.iter_mut().enumerate() {
            rendition.writer.plan_samples(samples_per_part(&self.plan, rendition_of(index)));
        }
        let mut changed = [false; RENDITIONS_MAX];
        for (track, learnt) in self.tracks.iter_mut().zip(&stream.tracks) {
            track.frame_ticks = learnt.cadence.frame_ticks();
            if track.config != learnt.config {
                track.config = learnt.config.clone();
                changed[usize::from(track.rendition.0)] = true;
            }
        }
        self.write_inits(changed);
    }

    /// What follows has these configurations, if it goes on with the session: their init segments can be hinted at,
    /// and fetched, while the rest is learnt (6.2.6).
    pub fn announce_configs<'a>(&mut self, config: impl Fn(TrackKind) -> Option<&'a CodecConfig>) {
        let mut changed = [false; RENDITIONS_MAX];
        for (track, plan) in self.tracks.iter_mut().zip(&self.plan.tracks) {
            let Some(config) = config(track.kind).filter(|config| **config != track.config) else { continue };
            let timescale = plan.cadence.timescale().get();
            let is_in_time = config.sound().is_none_or(|sound| sound.sample_rate == timescale);
            if is_in_time && format(config) == format(&track.config) {
                track.config = config.clone();
                changed[usize::from(track.rendition.0)] = true;
            }
        }
        self.write_inits(changed);
    }

    /// What is frozen.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// What the session was started with.
    pub fn start(&self) -> &SessionStart {
        &self.start
    }

    /// The configuration that a kind's frames are decoded with; `None` when the session has no such track.
    pub fn config(&self, kind: TrackKind) -> Option<&CodecConfig> {
        self.tracks.iter().find(|track| track.kind == kind).map(|track| &track.config)
    }

    /// The publisher has another frame rate than was learnt: it is to be learnt anew.
    pub fn has_lost_a_rate(&self) -> bool {
        self.timeline.has_lost_a_rate()
    }

    /// Its tracks share a rendition.
    pub fn is_muxed(&self) -> bool {
        self.renditions.len() < self.tracks.len()
    }

    /// Repairs of time so far.
    pub fn repairs(&self) -> Repairs {
        self.timeline.repairs()
    }

    /// Groups of pictures that no viewer can join cleanly at (HEVC with RASL pictures).
    pub fn open_gops(&self) -> u64 {
        self.tracks.iter().map(|track| track.joins.open_gops()).sum()
    }

    /// What the segmenter had to do against the rules of a good encoder.
    pub fn findings(&self) -> Findings {
        self.segmenter.findings()
    }

    /// The encoder's clock against ours.
    pub fn drift_ppm(&self) -> Option<i32> {
        self.wall_clock.drift_ppm()
    }

    /// User-space copies of media bytes: once each, and again where a frame had to be held or moved.
    pub fn bytes_copied(&self) -> (u64, u64) {
        self.renditions.iter().fold((0, 0), |(once, again), rendition| {
            let counters = rendition.writer.counters();
            (once + counters.bytes_copied, again + counters.bytes_copied_again)
        })
    }

    /// The events since the last call, in order.
    pub fn take_events(&mut self) -> Vec<EventBody> {
        std::mem::take(&mut self.events)
    }

    /// A frame's first bytes are here. `timestamp_ms` is unwrapped.
    ///
    /// # Errors
    /// [`LiveError`]: end the publisher.
    pub fn frame_begins(
        &mut self,
        begin: &FrameBegin,
        timestamp_ms: i64,
        now: Now,
        pool: &mut BufferPool,
    ) -> Result<(), LiveError> {
        let Some(id) = self.track_of(begin.kind) else { return Ok(()) };
        self.track(id).frame = None;
        self.handle_arrival(begin, timestamp_ms, now);
        let &FrameBegin { composition_ms, offset_ns, samples, .. } = begin;
        let stamp = FrameStamp { timestamp_ms, composition_ms, offset_ns, samples };
        let mut placed = self.timeline.place_frame(id, &stamp);
        if placed == Placed::Discontinuity {
            self.flush_held(now, pool)?;
            self.close(true, now, pool)?;
            self.timeline.rebase(timestamp_ms);
            self.wall_clock.step();
            self.key_composition_ms = None;
            self.handle_arrival(begin, timestamp_ms, now);
            placed = self.timeline.place_frame(id, &stamp);
        }
        match placed {
            Placed::Now(time) => self.open_frame(id, time, begin.key, now, pool),
            Placed::Held { earlier } => {
                let held = self.track(id).held.take();
                if let (Some(time), Some(held)) = (earlier, held) {
                    self.whole_frame(id, time, &held, now, pool)?;
                }
                self.track(id).frame =
                    Some(OpenFrame::Holding(HeldFrame { key: begin.key, ..HeldFrame::default() }));
                Ok(())
            }
            // A second jump in one frame would be our own mistake: the timeline was just set to it.
            Placed::Discard | Placed::Discontinuity => {
                self.track(id).frame = Some(OpenFrame::Discarding);
                Ok(())
            }
        }
    }

    /// Bytes of the frame that began.
    ///
    /// # Errors
    /// [`LiveError::PartFull`].
    pub fn frame_bytes(&mut self, kind: TrackKind, bytes: &[u8]) -> Result<(), LiveError> {
        let Some(id) = self.track_of(kind) else { return Ok(()) };
        let track = &mut self.tracks[usize::from(id.0)];
        match &mut track.frame {
            Some(OpenFrame::Writing { .. }) => {
                self.renditions[usize::from(track.rendition.0)].writer.append(track.lane, bytes)?;
            }
            Some(OpenFrame::Holding(held)) => held.bytes.extend_from_slice(bytes),
            Some(OpenFrame::Discarding) | None => {}
        }
        Ok(())
    }

    /// The frame is complete; or, when not `valid`, must be dropped.
    ///
    /// # Errors
    /// [`LiveError`].
    pub fn frame_ends(
        &mut self,
        kind: TrackKind,
        frame: Frame,
        valid: bool,
        now: Now,
        pool: &mut BufferPool,
    ) -> Result<(), LiveError> {
        let Some(id) = self.track_of(kind) else { return Ok(()) };
        let track = self.track(id);
        let role = frame.role;
        let taken = track.frame.take();
        let is_placed = !matches!(taken, Some(OpenFrame::Discarding) | None);
        let valid = valid && is_placed && (kind == TrackKind::Audio || track.joins.takes(role));
        match taken {
            Some(OpenFrame::Writing { time }) if valid => {
                self.received(id, now.monotonic_us);
                self.end_written(id, time, role, now, pool)
            }
            Some(OpenFrame::Writing { .. }) => {
                let (writer, lane) = self.writer(id);
                writer.abort_sample(lane);
                Ok(())
            }
            Some(OpenFrame::Holding(held)) if valid => {
                let received_us = now.monotonic_us;
                self.track(id).held = Some(HeldFrame { role: Some(role), received_us, ..held });
                Ok(())
            }
            Some(OpenFrame::Holding(_) | OpenFrame::Discarding) | None => Ok(()),
        }
    }

    /// When [`Live::handle_time`] wants to be called, monotonic microseconds.
    pub fn deadline_us(&self) -> Option<u64> {
        self.segmenter.deadline_us()
    }

    /// Lists a part whose successor is late.
    ///
    /// # Errors
    /// [`LiveError`].
    pub fn handle_time(&mut self, now: Now, pool: &mut BufferPool) -> Result<(), LiveError> {
        self.segmenter.handle_time(now);
        self.perform(now, pool)
    }

    /// Seals and closes everything that is open: the publisher left, or its time jumped.
    ///
    /// # Errors
    /// [`LiveError`].
    pub fn close(
        &mut self,
        discontinuity_follows: bool,
        now: Now,
        pool: &mut BufferPool,
    ) -> Result<(), LiveError> {
        self.drop_open_frames();
        self.flush_held(now, pool)?;
        self.segmenter.close_all(discontinuity_follows);
        self.timeline.continue_after_us(self.segmenter.closed_us());
        self.perform(now, pool)?;
        self.tracks.iter_mut().for_each(|track| track.joins.interrupt());
        for rendition in &mut self.renditions {
            rendition.writer.clear(pool);
        }
        Ok(())
    }

    /// Gives the memory of open parts back.
    pub fn release(&mut self, pool: &mut BufferPool) {
        for rendition in &mut self.renditions {
            rendition.writer.clear(pool);
        }
    }

    fn track_of(&self, kind: TrackKind) -> Option<TrackId> {
        self.tracks.iter().position(|track| track.kind == kind).map(|index| TrackId(index as u8))
    }

    fn track(&mut self, id: TrackId) -> &mut LiveTrack {
        &mut self.tracks[usize::from(id.0)]
    }

    fn writer(&mut self, id: TrackId) -> (&mut PartWriter, usize) {
        let track = &self.tracks[usize::from(id.0)];
        (&mut self.renditions[usize::from(track.rendition.0)].writer, track.lane)
    }

    /// Frames of which bytes are missing.
    fn drop_open_frames(&mut self) {
        for index in 0..self.tracks.len() {
            if let Some(OpenFrame::Writing { .. }) = self.tracks[index].frame.take() {
                let (writer, lane) = self.writer(TrackId(index as u8));
                writer.abort_sample(lane);
            }
        }
    }

    /// The frames that variable tracks still hold, with their typical durations.
    fn flush_held(&mut self, now: Now, pool: &mut BufferPool) -> Result<(), LiveError> {
        for index in 0..self.tracks.len() {
            let id = TrackId(index as u8);
            let time = self.timeline.flush(id);
            let held = self.track(id).held.take();
            if let (Some(time), Some(held)) = (time, held) {
                self.whole_frame(id, time, &held, now, pool)?;
            }
        }
        Ok(())
    }

    fn whole_frame(
        &mut self,
        id: TrackId,
        time: FrameTime,
        held: &HeldFrame,
        now: Now,
        pool: &mut BufferPool,
    ) -> Result<(), LiveError> {
        self.open_frame(id, time, held.key, now, pool)?;
        if let Some(OpenFrame::Writing { time }) = self.track(id).frame.take() {
            let (writer, lane) = self.writer(id);
            writer.append(lane, &held.bytes)?;
            self.received(id, held.received_us);
            let role = held.role.unwrap_or(FrameRole::Dependent);
            self.end_written(id, time, role, now, pool)?;
        }
        Ok(())
    }

    /// Asks the segmenter where the frame goes, and opens a sample there.
    fn open_frame(
        &mut self,
        id: TrackId,
        time: FrameTime,
        key: bool,
        now: Now,
        pool: &mut BufferPool,
    ) -> Result<(), LiveError> {
        let mut frame = OpenFrame::Discarding;
        for _ in 0..FILL_ROUNDS_MAX {
            let verdict = self.segmenter.frame_begins(id, time, key);
            self.perform(now, pool)?;
            match verdict {
                Verdict::Append(time) => {
                    self.begin_sample(id, time, key, pool)?;
                    frame = OpenFrame::Writing { time };
                    break;
                }
                Verdict::Fill { from, until } => {
                    self.fills.push_back(Hole { track: id, from, until });
                    self.perform(now, pool)?;
                }
                Verdict::Discard => break,
            }
        }
        self.track(id).frame = Some(frame);
        Ok(())
    }

    fn begin_sample(
        &mut self,
        id: TrackId,
        time: FrameTime,
        key: bool,
        pool: &mut BufferPool,
    ) -> Result<(), LiveError> {
        let (writer, lane) = self.writer(id);
        let is_first = writer.samples_count(lane) == 0;
        writer.begin_sample(lane, key, pool)?;
        if is_first {
            self.track(id).part_decode = time.decode;
        }
        Ok(())
    }

    fn end_written(
        &mut self,
        id: TrackId,
        time: FrameTime,
        role: FrameRole,
        now: Now,
        pool: &mut BufferPool,
    ) -> Result<(), LiveError> {
        // ISO/IEC 14496-15, section 8.3: a CRA picture makes a sync sample, as an IDR picture does.
        let sync = matches!(role, FrameRole::Sync | FrameRole::OpenSync);
        self.track(id).joins.note(role, time.presentation());
        let (writer, lane) = self.writer(id);
        // Composition offsets are at most a few seconds of ticks.
        let offset = i32::try_from(time.composition_offset).unwrap_or(i32::MAX);
        writer.end_sample(lane, time.duration, offset, sync);
        self.segmenter.frame_ends(id, now);
        self.perform(now, pool)
    }
}

/// What a player chooses its decoders by, once: a publisher of anything else cannot go on with the session. Another
/// profile, level or size of the same codec is a matter of the init segment that follows the discontinuity, and the
/// multivariant playlist says it to who comes later.
fn format(config: &CodecConfig) -> (Codec, Option<VideoRange>) {
    (config.codec(), config.video_range())
}

/// Frames of a full part, all its tracks together.
fn samples_per_part(plan: &Plan, rendition: RenditionId) -> usize {
    let tracks = plan.tracks.iter().filter(|track| track.rendition == rendition);
    tracks.map(|track| track.frames_per_part as usize).sum()
}
