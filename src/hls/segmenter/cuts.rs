//! Where segments end: decided on the cutting track, followed by every other rendition.

use super::{Cut, ROUNDING_MS, Segmenter, WAIT_MS};
use crate::limits::CUTS_PENDING_MAX;
use crate::media::{FrameTime, TrackKind};

impl Segmenter {
    /// Cuts before this frame, if it is to begin a segment.
    pub(super) fn make_cuts(&mut self, index: usize, time: &FrameTime, key: bool) {
        let rendition = self.tracks[index].rendition;
        if index == self.cutting {
            self.decide_cut(time, key);
        }
        // Where frames are missing, the time of a frame of sound is theirs as well.
        let track = &self.tracks[index];
        let begins = if track.kind == TrackKind::Audio { time.decode } else { time.presentation() };
        let presentation_us = track.us(begins);
        if let Some(cut) = self.due_cut(index, time, presentation_us) {
            self.close(rendition, false);
            self.open(rendition, cut, time.decode, presentation_us, key);
        }
        debug_assert!(self.renditions[rendition].open.is_some());
    }

    /// The cut that the rendition makes before this frame, if any.
    fn due_cut(&mut self, index: usize, time: &FrameTime, presentation_us: i64) -> Option<Cut> {
        let rendition = self.tracks[index].rendition;
        if index == self.cutting {
            return self.renditions[rendition].cuts.pop_front();
        }
        let followed = &self.renditions[rendition];
        let closed = followed.open.is_none();
        if !closed && !followed.has_parts && followed.part.duration == 0 {
            return None;
        }
        let full = u64::from(time.duration) > self.segment_room(index, time.decode);
        if let Some(cut) = followed.cuts.front() {
            let due = closed || full || presentation_us >= cut.presentation_us;
            return due.then(|| self.renditions[rendition].cuts.pop_front()).flatten();
        }
        let ahead = followed.cuts_ahead;
        let past_latest = ahead == 0 && presentation_us >= self.latest_cut_us();
        if !full && !past_latest {
            return None;
        }
        self.renditions[rendition].cuts_ahead += 1;
        let number = self.next_cut + u64::from(ahead);
        Some(Cut { number, presentation_us, forced: false, discontinuity: false })
    }

    /// Presentation time at which the cutting track will have made the next cut, key frame or not.
    fn latest_cut_us(&self) -> i64 {
        let cutting = &self.tracks[self.cutting];
        let Some(started) = self.renditions[cutting.rendition].open else { return i64::MAX };
        let frame = u64::from(cutting.frame_ticks);
        let whole_frames = cutting.ticks_of_ms(self.cutting_ms_max) / frame * frame;
        self.cut_presentation_us(started + whole_frames)
    }

    /// Presentation time of a cut at this decode time, for other renditions, whose segments stay within bounds.
    fn cut_presentation_us(&self, decode: u64) -> i64 {
        let shortest_us = i64::from(self.segment_ms_min) * 1000;
        let longest_us = i64::from(self.cutting_ms_max) * 1000;
        let presentation_us = self.tracks[self.cutting].us(decode + u64::from(self.first_offset));
        presentation_us.max(self.cut_us + shortest_us).min(self.cut_us + longest_us)
    }

    /// At the end, the cutting track makes the cuts that others have made ahead of it.
    pub(super) fn announce_cuts_ahead(&mut self) {
        let cutting = &self.tracks[self.cutting];
        let end_us = cutting.end.map_or(self.cut_us, |end| cutting.us(end + u64::from(self.first_offset)));
        while self.renditions.iter().any(|rendition| rendition.cuts_ahead > 0) {
            let earliest_us = self.cut_us + i64::from(self.segment_ms_min) * 1000;
            self.announce_cut(end_us.max(earliest_us), true, false);
        }
    }

    /// Decides whether the cutting track's segment ends before this frame.
    fn decide_cut(&mut self, time: &FrameTime, key: bool) {
        let rendition = &self.renditions[self.tracks[self.cutting].rendition];
        let Some(started) = rendition.open else { return };
        let elapsed = time.decode - started;
        if key && time.decode > self.key {
            let is_spliced = std::mem::take(&mut self.is_spliced);
            self.gop_ticks = (!is_spliced).then(|| time.decode - self.key);
            self.key = time.decode;
        }
        // A rendition that is too many cuts behind is let catch up, unless the segment must end.
        let behind = self.renditions.iter().map(|rendition| rendition.cuts.len()).max();
        let wanted = key && behind < Some(CUTS_PENDING_MAX) && self.would_cut(elapsed);
        let forced = !wanted && u64::from(time.duration) > self.segment_room(self.cutting, time.decode);
        if !wanted && !forced {
            return;
        }
        let presentation_us = self.cut_presentation_us(time.decode);
        self.announce_cut(presentation_us, forced && !key, false);
    }

    /// A key frame this far into the segment begins the next: the target is reached, or another
    /// group of pictures would be too long. Never within two frames of the last cut, so that every
    /// rendition has one in between.
    pub(super) fn would_cut(&self, elapsed: u64) -> bool {
        let track = &self.tracks[self.cutting];
        let gop = self.gop_ticks.unwrap_or(0).max(track.ticks_of_ms(self.gop_ms));
        let gop = gop.max(u64::from(track.frame_ticks));
        let wait_max = track.ticks_of_ms(self.cutting_ms_max.saturating_sub(ROUNDING_MS - WAIT_MS));
        elapsed >= track.ticks_of_ms(self.segment_ms_min)
            && (elapsed >= track.ticks_of_ms(self.segment_target_ms) || elapsed + gop > wait_max)
    }

    pub(super) fn announce_cut(&mut self, presentation_us: i64, forced: bool, discontinuity: bool) {
        self.cut_us = presentation_us;
        let cut = Cut { number: self.next_cut, presentation_us, forced, discontinuity };
        self.next_cut += 1;
        self.findings.forced_cuts += u64::from(forced);
        for rendition in &mut self.renditions {
            match rendition.cuts_ahead.checked_sub(1) {
                Some(left) => rendition.cuts_ahead = left,
                None => rendition.cuts.push_back(cut),
            }
        }
    }
}
