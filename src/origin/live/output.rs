//! What the segmenter decided, done: parts sealed and listed, segments closed, holes filled, init segments
//! written.

use bytes::Bytes;

use super::{Hole, Live, LiveError, OpenFrame};
use crate::codec::CodecConfig;
use crate::fmp4::{BufferPool, InitTrack, init_segment};
use crate::hls::{Action, Listing, Verdict};
use crate::hls::{Close, EventBody, InitSegment, Part, RenditionId, SegmentHead};
use crate::media::{FrameTime, MediaRef, Now};

impl Live {
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
