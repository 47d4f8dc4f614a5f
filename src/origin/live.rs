//! A running session: frames in, events out. The timeline says when a frame is, the segmenter where the
//! cuts are, the part writers hold the bytes.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use super::tracks::{LearntStream, RenditionLayout, rendition_of};
use crate::codec::CodecConfig;
use crate::flv::FrameBegin;
use crate::fmp4::{BufferPool, InitTrack, PartWriter, init_segment};
use crate::hls::numbering::{Numbering, SessionNumbers};
use crate::hls::{Action, Findings, Listing, Plan, Segmenter, TrackPlan, Verdict};
use crate::hls::{Close, EventBody, InitSegment, Part, RenditionId, SegmentHead, SessionStart};
use crate::limits::FILL_ROUNDS_MAX;
use crate::media::{FrameTime, Placed, Repairs, Timeline, WallClock};
use crate::media::{MediaRef, Now, TrackId, TrackKind};

/// What a session is started with, besides its plan and its tracks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
    renditions: Vec<LiveRendition>,
    /// `tracks[i]` is TrackId(i).
    tracks: Vec<LiveTrack>,
    /// Holes that the segmenter asked to be filled.
    fills: VecDeque<Hole>,
    events: Vec<EventBody>,
}

#[derive(Debug)]
struct LiveRendition {
    name: Box<str>,
    writer: PartWriter,
    part_next: u64,
    init_next: u32,
    /// Head of the segment that the coming part opens.
    head: Option<SegmentHead>,
    /// A part that is complete and not listed yet.
    held: Option<Part>,
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
    idr: bool,
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
            let samples = tracks.iter().map(|track| track.frames_per_part as usize).sum();
            LiveRendition {
                name: rendition.name.clone(),
                writer: PartWriter::new(&track_ids, samples),
                part_next: numbering.next_part(&rendition.name),
                init_next: numbering.next_init(&rendition.name),
                head: None,
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
            held: None,
        });
        let mut live = Self {
            timeline: Timeline::new(&stream.cadences(), anchor_ms),
            segmenter: Segmenter::new(&plan),
            wall_clock: WallClock::default(),
            renditions,
            tracks: tracks.collect(),
            fills: VecDeque::new(),
            events: vec![EventBody::Start(Box::new(start.clone()))],
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
        for (planned, learnt) in self.plan.tracks.iter_mut().zip(&stream.tracks) {
            planned.cadence = learnt.cadence;
        }
        self.timeline.resume(&stream.cadences(), anchor_ms);
        self.segmenter.resume(&self.plan);
        self.wall_clock.step();
        let mut changed = [false; crate::limits::RENDITIONS_MAX];
        for (track, learnt) in self.tracks.iter_mut().zip(&stream.tracks) {
            track.frame_ticks = learnt.cadence.frame_ticks();
            if track.config != learnt.config {
                track.config = learnt.config.clone();
                changed[usize::from(track.rendition.0)] = true;
            }
        }
        for (rendition, changed) in (0..self.renditions.len()).zip(changed) {
            if changed {
                self.write_init(rendition_of(rendition));
            }
        }
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

    /// Repairs of time so far.
    pub fn repairs(&self) -> Repairs {
        self.timeline.repairs()
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

    /// A frame of this timestamp came then: what the dates of segments are decided by.
    pub fn handle_arrival(&mut self, timestamp_ms: i64, now: Now) {
        self.wall_clock.handle_arrival(self.timeline.media_us(timestamp_ms), now);
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
        self.handle_arrival(timestamp_ms, now);
        let mut placed = self.timeline.place(id, timestamp_ms, begin.composition_ms);
        if placed == Placed::Discontinuity {
            self.flush_held(now, pool)?;
            self.close(true, now, pool)?;
            self.timeline.rebase(timestamp_ms);
            self.wall_clock.step();
            self.handle_arrival(timestamp_ms, now);
            placed = self.timeline.place(id, timestamp_ms, begin.composition_ms);
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

    /// The frame is complete; or, when not `valid`, must be dropped. `idr`: video, an IDR picture was in it.
    ///
    /// # Errors
    /// [`LiveError`].
    pub fn frame_ends(
        &mut self,
        kind: TrackKind,
        idr: bool,
        valid: bool,
        now: Now,
        pool: &mut BufferPool,
    ) -> Result<(), LiveError> {
        let Some(id) = self.track_of(kind) else { return Ok(()) };
        match self.track(id).frame.take() {
            Some(OpenFrame::Writing { time }) if valid => self.end_written(id, time, idr, now, pool),
            Some(OpenFrame::Writing { .. }) => {
                let (writer, lane) = self.writer(id);
                writer.abort_sample(lane);
                Ok(())
            }
            Some(OpenFrame::Holding(held)) if valid => {
                self.track(id).held = Some(HeldFrame { idr, ..held });
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
        for index in 0..self.tracks.len() {
            if let Some(OpenFrame::Writing { .. }) = self.tracks[index].frame.take() {
                let (writer, lane) = self.writer(TrackId(index as u8));
                writer.abort_sample(lane);
            }
        }
        self.flush_held(now, pool)?;
        self.segmenter.close_all(discontinuity_follows);
        self.perform(now, pool)?;
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
            self.end_written(id, time, held.idr, now, pool)?;
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
                    self.begin_sample(id, time, pool)?;
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

    fn begin_sample(&mut self, id: TrackId, time: FrameTime, pool: &mut BufferPool) -> Result<(), LiveError> {
        let (writer, lane) = self.writer(id);
        let is_first = writer.samples_count(lane) == 0;
        writer.begin_sample(lane, pool)?;
        if is_first {
            self.track(id).part_decode = time.decode;
        }
        Ok(())
    }

    fn end_written(
        &mut self,
        id: TrackId,
        time: FrameTime,
        idr: bool,
        now: Now,
        pool: &mut BufferPool,
    ) -> Result<(), LiveError> {
        let sync = idr || self.track(id).kind == TrackKind::Audio;
        let (writer, lane) = self.writer(id);
        // Composition offsets are at most a few seconds of ticks.
        let offset = i32::try_from(time.composition_offset).unwrap_or(i32::MAX);
        writer.end_sample(lane, time.duration, offset, sync);
        self.segmenter.frame_ends(id, now);
        self.perform(now, pool)
    }

    /// Performs what the segmenter decided, then fills the holes that it found.
    fn perform(&mut self, now: Now, pool: &mut BufferPool) -> Result<(), LiveError> {
        loop {
            while let Some(action) = self.segmenter.poll_action() {
                self.perform_one(action, now, pool);
            }
            let Some(hole) = self.fills.pop_front() else { return Ok(()) };
            self.fill(hole, now, pool)?;
        }
    }

    fn perform_one(&mut self, action: Action, now: Now, pool: &mut BufferPool) {
        match action {
            Action::OpenSegment { rendition, cut, presentation_us, discontinuity, .. } => {
                let date = if rendition == RenditionId(0) {
                    self.wall_clock.segment_date(presentation_us, now)
                } else {
                    self.wall_clock.date_of(presentation_us)
                };
                let open = &mut self.renditions[usize::from(rendition.0)];
                open.head = Some(SegmentHead {
                    media_sequence: self.start.media_sequence_first + cut,
                    program_date_time_unix_ms: date,
                    discontinuity,
                    init: open.init_next.saturating_sub(1),
                });
            }
            Action::Stretch { track, by_ticks } => {
                let (writer, lane) = self.writer(track);
                writer.stretch_last_sample(lane, by_ticks);
            }
            Action::SealPart { rendition, duration_ticks, independent, listing } => {
                let part = self.seal_part(rendition, duration_ticks, independent, pool);
                match listing {
                    Listing::Now => self.events.push(EventBody::Part(part)),
                    Listing::Held => self.renditions[usize::from(rendition.0)].held = Some(part),
                }
            }
            Action::ListPart { rendition } => {
                if let Some(part) = self.renditions[usize::from(rendition.0)].held.take() {
                    self.events.push(EventBody::Part(part));
                }
            }
            Action::CloseSegment { rendition, with_held_part, discontinuity_follows } => {
                let close = Close { rendition, discontinuity_follows };
                let held = self.renditions[usize::from(rendition.0)].held.take();
                debug_assert_eq!(held.is_some(), with_held_part);
                self.events.push(match held {
                    Some(part) => EventBody::PartAndClose(part, close),
                    None => EventBody::Close(close),
                });
            }
            Action::Fill { track, from, until } => self.fills.push_back(Hole { track, from, until }),
        }
    }

    fn seal_part(
        &mut self,
        rendition: RenditionId,
        duration_ticks: u64,
        independent: bool,
        pool: &mut BufferPool,
    ) -> Part {
        let lanes = self.tracks.iter().filter(|track| track.rendition == rendition);
        let decode_times: smallvec::SmallVec<[u64; 2]> = lanes.map(|track| track.part_decode).collect();
        let open = &mut self.renditions[usize::from(rendition.0)];
        let number = open.part_next;
        open.part_next += 1;
        // mfhd: strictly increasing over the epoch, and a 32-bit number.
        let sealed = open.writer.seal((number as u32).wrapping_add(1), &decode_times, pool);
        for track in self.tracks.iter_mut().filter(|track| track.rendition == rendition) {
            // A frame that is half received went on into the next part.
            if let Some(OpenFrame::Writing { time }) = &track.frame {
                track.part_decode = time.decode;
            }
        }
        Part {
            rendition,
            number,
            opens: open.head.take(),
            duration_ticks,
            // The encoder may have called a frame key that holds no IDR picture.
            independent: independent && sealed.as_ref().is_some_and(|sealed| sealed.independent()),
            media: sealed.map(|sealed| MediaRef::Memory(sealed.bytes)),
        }
    }

    /// Continues a silent track: with silence of its own configuration, or with GAP parts.
    fn fill(&mut self, hole: Hole, now: Now, pool: &mut BufferPool) -> Result<(), LiveError> {
        let track = &self.tracks[usize::from(hole.track.0)];
        let silence = match &track.config {
            CodecConfig::Aac(config) => config.silent_frame(),
            CodecConfig::Avc(_) => None,
        };
        let Some(silence) = silence else {
            self.segmenter.fill_gap(hole.track, hole.until);
            return Ok(());
        };
        let duration = track.frame_ticks;
        let mut decode = hole.from;
        while decode + u64::from(duration) <= hole.until {
            let time = FrameTime { decode, duration, composition_offset: 0 };
            let verdict = self.segmenter.frame_begins(hole.track, time, true);
            while let Some(action) = self.segmenter.poll_action() {
                self.perform_one(action, now, pool);
            }
            let Verdict::Append(time) = verdict else { return Ok(()) };
            self.begin_sample(hole.track, time, pool)?;
            let (writer, lane) = self.writer(hole.track);
            writer.append(lane, silence)?;
            writer.end_sample(lane, time.duration, 0, true);
            self.segmenter.frame_ends(hole.track, now);
            while let Some(action) = self.segmenter.poll_action() {
                self.perform_one(action, now, pool);
            }
            decode = time.end();
        }
        Ok(())
    }

    fn write_init(&mut self, rendition: RenditionId) {
        let tracks = self.tracks.iter().filter(|track| track.rendition == rendition);
        let plans = self.plan.tracks.iter().filter(|plan| plan.rendition == rendition);
        let tracks: Vec<InitTrack<'_>> = (1..)
            .zip(tracks.zip(plans))
            .map(|(track_id, (track, plan))| InitTrack {
                track_id,
                timescale: plan.cadence.timescale(),
                config: &track.config,
            })
            .collect();
        let bytes: Bytes = init_segment(&tracks);
        let open = &mut self.renditions[usize::from(rendition.0)];
        let number = open.init_next;
        open.init_next += 1;
        self.events.push(EventBody::Init(InitSegment { rendition, number, bytes }));
    }

    /// The renditions' names, by id.
    pub fn rendition_names(&self) -> impl Iterator<Item = &str> {
        self.renditions.iter().map(|rendition| &*rendition.name)
    }
}
