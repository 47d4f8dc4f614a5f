//! What the segmenter decided, done: parts sealed and listed, segments closed, holes filled, init segments
//! written.

use bytes::Bytes;
use smallvec::SmallVec;

use super::{Hole, Live, LiveError, OpenFrame};
use crate::fmp4::{BufferPool, InitTrack, PartWriter, init_segment};
use crate::hls::{Action, Listing, Verdict};
use crate::hls::{Close, EventBody, InitSegment, Part, RenditionId, SegmentHead};
use crate::limits::RENDITIONS_MAX;
use crate::media::{FrameTime, MediaRef, Now, TrackId, TrackKind};
use crate::origin::tracks::rendition_of;

/// When frames were received, monotonic microseconds; one update rarely lists more than a part a rendition.
pub type FrameTimes = SmallVec<[u64; 4]>;

#[derive(Debug)]
pub(super) struct LiveRendition {
    pub(super) writer: PartWriter,
    pub(super) part_next: u64,
    pub(super) init_next: u32,
    /// Head of the segment that the coming part opens.
    pub(super) head: Option<SegmentHead>,
    /// When the newest frame of the open part was received; what fills a hole is none.
    pub(super) newest_frame_us: Option<u64>,
    /// What dates of segments follow, in any but the first.
    pub(super) told_us: Option<i64>,
    /// A part that is complete and not listed yet.
    pub(super) held: Option<Sealed>,
}

/// A part, and when the newest of its frames was received.
#[derive(Debug)]
pub(super) struct Sealed {
    part: Part,
    newest_frame_us: Option<u64>,
}

impl Live {
    /// When the newest frame of each part that was listed since the last call was received.
    pub fn take_listed_frames_us(&mut self) -> FrameTimes {
        std::mem::take(&mut self.listed_frames_us)
    }

    /// A frame of the open part was received then.
    pub(super) fn received(&mut self, track: TrackId, at_us: u64) {
        let rendition = self.tracks[usize::from(track.0)].rendition;
        let newest = &mut self.renditions[usize::from(rendition.0)].newest_frame_us;
        // One that was held back is older than the other track's.
        *newest = (*newest).max(Some(at_us));
    }

    /// The part, which is listed from here on.
    fn list(&mut self, sealed: Sealed) -> Part {
        self.listed_frames_us.extend(sealed.newest_frame_us);
        sealed.part
    }

    /// Performs what the segmenter decided, then fills the holes that it found.
    pub(super) fn perform(&mut self, now: Now, pool: &mut BufferPool) -> Result<(), LiveError> {
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
                let open = &mut self.renditions[usize::from(rendition.0)];
                let date = if rendition == RenditionId(0) {
                    self.wall_clock.segment_date(presentation_us, now)
                } else {
                    self.wall_clock.date_beside(presentation_us, &mut open.told_us, discontinuity)
                };
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
                let sealed = self.seal_part(rendition, duration_ticks, independent, pool);
                match listing {
                    Listing::Now => {
                        let part = self.list(sealed);
                        self.events.push(EventBody::Part(part));
                    }
                    Listing::Held => self.renditions[usize::from(rendition.0)].held = Some(sealed),
                }
            }
            Action::ListPart { rendition } => {
                if let Some(sealed) = self.renditions[usize::from(rendition.0)].held.take() {
                    let part = self.list(sealed);
                    self.events.push(EventBody::Part(part));
                }
            }
            Action::CloseSegment { rendition, with_held_part, discontinuity_follows } => {
                let close = Close { rendition, discontinuity_follows };
                let held = self.renditions[usize::from(rendition.0)].held.take();
                let held = held.map(|sealed| self.list(sealed));
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
    ) -> Sealed {
        let lanes = self.tracks.iter().filter(|track| track.rendition == rendition);
        let decode_times: SmallVec<[u64; 2]> = lanes.map(|track| track.part_decode).collect();
        let video = self
            .tracks
            .iter_mut()
            .find(|track| track.rendition == rendition && track.kind == TrackKind::Video);
        let is_clean = video.is_none_or(|track| track.joins.seal());
        let open = &mut self.renditions[usize::from(rendition.0)];
        let number = open.part_next;
        open.part_next += 1;
        let newest_frame_us = open.newest_frame_us.take();
        // mfhd: strictly increasing over the epoch, and a 32-bit number.
        let sealed = open.writer.seal((number as u32).wrapping_add(1), &decode_times, pool);
        for track in self.tracks.iter_mut().filter(|track| track.rendition == rendition) {
            // A frame that is half received went on into the next part.
            if let Some(OpenFrame::Writing { time }) = &track.frame {
                track.part_decode = time.decode;
            }
        }
        let part = Part {
            rendition,
            number,
            opens: open.head.take(),
            duration_ticks,
            // The encoder may have called a frame key at which nobody can join.
            independent: independent
                && is_clean
                && sealed.as_ref().is_some_and(|sealed| sealed.independent()),
            media: sealed.map(|sealed| MediaRef::Memory(sealed.bytes)),
        };
        Sealed { part, newest_frame_us }
    }

    /// Continues a silent track: with silence of its own configuration, or with GAP parts.
    fn fill(&mut self, hole: Hole, now: Now, pool: &mut BufferPool) -> Result<(), LiveError> {
        let track = &self.tracks[usize::from(hole.track.0)];
        let Some(silence) = track.config.silent_frame(track.frame_ticks) else {
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
            self.begin_sample(hole.track, time, true, pool)?;
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

    /// By rendition: whether a track of it is configured anew.
    pub(super) fn write_inits(&mut self, changed: [bool; RENDITIONS_MAX]) {
        for (rendition, changed) in (0..self.renditions.len()).zip(changed) {
            if changed {
                self.write_init(rendition_of(rendition));
            }
        }
    }

    pub(super) fn write_init(&mut self, rendition: RenditionId) {
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
}
