//! Decides where parts and segments of all renditions of a session end; touches no bytes
//! (draft-pantos-hls-rfc8216bis-22, 4.4.3.1, 4.4.4.9, 6.2.1).
//!
//! It is asked at a frame's first byte, told at its last, and told the time. Cuts are made on one
//! track and numbered; every other rendition makes the same cuts, in order, at its first frame at
//! or past the cut's presentation time. So segment n holds the same time in every rendition.
//! One that runs ahead of the cutting track, as sound often does, makes the next cut where it will
//! stand at the latest; should a key frame then call for it sooner, the cut is as much off as the
//! tracks are apart, and nothing is missing.
//!
//! It also closes what publishers leave open: a hole after missing frames goes into the frames
//! around it, as far as the open part and the next have room; a longer one must be filled, as must
//! a track that falls silent while others go on. Decode times within a rendition are contiguous
//! from one discontinuity to the next.

mod action;
mod cuts;
mod track;

pub use action::{Action, Findings, Listing, Verdict};

use std::collections::VecDeque;

use super::RenditionId;
use super::plan::{FramesMs, PART_FILL_PERCENT_MIN, Plan, ROUNDING_MS};
use crate::media::{FrameTime, Now, TrackId, TrackKind};
use track::Track;

/// The decisions of one session.
#[derive(Debug, Clone)]
pub struct Segmenter {
    part_target_ms: u32,
    /// Longest EXTINF that still rounds to TARGETDURATION, milliseconds.
    segment_ms_max: u32,
    /// The same for the track that cuts are made on: the others end up to a frame later.
    cutting_ms_max: u32,
    /// Two frames of the track with the longest ones, milliseconds.
    segment_ms_min: u32,
    segment_target_ms: u32,
    gop_ms: u32,
    /// By [`TrackId`].
    tracks: Vec<Track>,
    /// By [`RenditionId`].
    renditions: Vec<Rendition>,
    /// Index of the track that cuts are made on.
    cutting: usize,
    /// Cuts are being made: a key frame has come since the start or the last discontinuity.
    running: bool,
    /// Number of the next cut.
    next_cut: u64,
    /// Presentation time of the newest cut, microseconds.
    cut_us: i64,
    /// See [`Segmenter::closed_us`].
    closed_us: i64,
    /// Decode time of the cutting track's newest key frame.
    key: u64,
    /// How much later than its key frame's decode time what it begins is shown: composition offset of the one that the
    /// track began with. Where groups of pictures are open, a later one has more: pictures that are decoded after it
    /// are shown before it, from this offset on.
    first_offset: u32,
    /// That is less by leading pictures, which are expected: at the next start.
    expected_offset_ms: Option<u32>,
    /// The newest complete group of pictures, in the cutting track's ticks.
    gop_ticks: Option<u64>,
    /// The next key frame is another encoder's: it ends no group of pictures.
    is_spliced: bool,
    actions: VecDeque<Action>,
    findings: Findings,
}

#[derive(Debug, Clone)]
struct Rendition {
    id: RenditionId,
    /// Index of the track that its durations are measured on: video when it has any.
    measure: usize,
    /// Decode time at which the open segment began.
    open: Option<u64>,
    part: OpenPart,
    /// Something of the open segment was sealed.
    has_parts: bool,
    /// A sealed part waits to be listed; with the monotonic time at which it is listed alone.
    held: Option<u64>,
    /// Cuts that other renditions have made and this one has not.
    cuts: VecDeque<Cut>,
    /// Cuts that this rendition has made and the cutting track has not. There are some only while
    /// `cuts` is empty.
    cuts_ahead: u32,
}

#[derive(Debug, Clone, Copy, Default)]
struct OpenPart {
    /// Sum of its frames, in ticks of the measuring track.
    duration: u64,
    independent: bool,
}

#[derive(Debug, Clone, Copy)]
struct Cut {
    number: u64,
    presentation_us: i64,
    forced: bool,
    discontinuity: bool,
}

/// A key frame is waited for only if it is expected at most this much past TARGETDURATION, milliseconds; no
/// segment is longer than [`ROUNDING_MS`] past it.
const WAIT_MS: u32 = 490;

impl Segmenter {
    /// A session that has cut nothing yet.
    pub fn new(plan: &Plan) -> Self {
        let renditions_count = plan.tracks.iter().map(|track| usize::from(track.rendition.0) + 1).max();
        let mut segmenter = Self {
            part_target_ms: plan.part_target_ms,
            segment_ms_max: plan.segment_ms_max(),
            cutting_ms_max: 0,
            segment_ms_min: 0,
            segment_target_ms: plan.segment_target_ms,
            gop_ms: plan.gop_ms,
            tracks: Vec::new(),
            renditions: (0..renditions_count.unwrap_or(0)).map(Rendition::new).collect(),
            cutting: usize::from(plan.cutting_track().track.0),
            running: false,
            next_cut: 0,
            cut_us: 0,
            closed_us: 0,
            key: 0,
            first_offset: 0,
            expected_offset_ms: None,
            gop_ticks: None,
            is_spliced: false,
            actions: VecDeque::new(),
            findings: Findings::default(),
        };
        segmenter.resume(plan);
        segmenter
    }

    /// After [`close_all`](Self::close_all): a returning publisher's cadences
    /// ([`Plan::with_cadences`]) under the same frozen values.
    pub fn resume(&mut self, plan: &Plan) {
        debug_assert_eq!(plan.part_target_ms, self.part_target_ms);
        self.tracks = plan.tracks.iter().map(|track| Track::new(track, plan.part_target_ms)).collect();
        for (index, rendition) in self.renditions.iter_mut().enumerate() {
            let mut own = (0..).zip(&self.tracks).filter(|(_, track)| track.rendition == index);
            let video = own.clone().find(|(_, track)| track.kind == TrackKind::Video);
            rendition.measure = video.or_else(|| own.next()).map_or(0, |(track, _)| track);
        }
        let tracks = plan.tracks.iter().map(|track| (track.track, track.cadence));
        let frames = FramesMs::new(plan.cutting_track().track, tracks);
        self.cutting_ms_max = self.segment_ms_max.saturating_sub(frames.longest_other);
        self.segment_ms_min = frames.segment_min();
        debug_assert!(self.segment_ms_min <= self.cutting_ms_max, "{plan:?}");
        self.gop_ticks = None;
    }

    /// The key frame that comes next begins a group of which something is shown before it, so long after its own decode
    /// time.
    pub fn expect_key_offset_ms(&mut self, offset_ms: u32) {
        self.expected_offset_ms = Some(offset_ms);
    }

    /// Another encoder's frames follow, of the same cadences, with a key frame and without a discontinuity. Frames
    /// that began and did not end are forgotten.
    pub fn splice(&mut self) {
        for track in &mut self.tracks {
            track.pending = None;
        }
        self.is_spliced = true;
    }

    /// True between a first key frame and [`close_all`](Self::close_all).
    pub fn is_running(&self) -> bool {
        self.running
    }

    /// A frame's first byte is here; its time comes from the timeline. Audio counts as key always.
    /// A frame that began before on the same track and did not end is forgotten.
    pub fn frame_begins(&mut self, track: TrackId, time: FrameTime, key: bool) -> Verdict {
        let index = usize::from(track.0);
        let Some(known) = self.tracks.get_mut(index) else { return Verdict::Discard };
        known.pending = None;
        let key = key || known.kind == TrackKind::Audio;
        let measures = self.renditions[known.rendition].measure == index;
        let starts = !self.running;
        if starts {
            if index != self.cutting || !key {
                return self.discard();
            }
            self.start(time);
        }
        let Some(end) = self.tracks[index].end else {
            return self.discard();
        };
        let time = self.clip(index, time);
        let mut time = match self.join(index, end, time) {
            Ok(time) => time,
            Err(verdict) => return verdict,
        };
        if !starts && self.tracks[index].begun {
            self.note_lag(index, time);
        }
        if measures {
            self.make_cuts(index, &time, key);
            self.fit_part(index, &mut time, key);
        }
        self.tracks[index].begun = true;
        self.tracks[index].pending = Some((time, key));
        Verdict::Append(time)
    }

    /// The last byte of the frame that began is here. Nothing happens when none began.
    pub fn frame_ends(&mut self, track: TrackId, now: Now) {
        let index = usize::from(track.0);
        let Some((time, key)) = self.tracks.get_mut(index).and_then(|track| track.pending.take()) else {
            return;
        };
        self.tracks[index].end = Some(time.end());
        let rendition = self.tracks[index].rendition;
        if self.renditions[rendition].measure == index {
            let part = &mut self.renditions[rendition].part;
            part.duration += u64::from(time.duration);
            part.independent |= key;
            self.seal_if_full(index, now);
        }
        self.fill_silent(index);
    }

    /// Continues a track up to `until` without media: GAP parts, cut as frames would be. In a muxed
    /// rendition the parts hold what its other tracks have.
    pub fn fill_gap(&mut self, track: TrackId, until: u64) {
        let index = usize::from(track.0);
        let Some(mut end) = self.tracks.get(index).and_then(|track| track.end) else { return };
        let rendition = self.tracks[index].rendition;
        if self.renditions[rendition].measure != index {
            self.tracks[index].end = Some(end.max(until));
            return;
        }
        self.tracks[index].pending = None;
        self.tracks[index].begun = true;
        if until > end && self.renditions[rendition].part.duration > 0 {
            self.seal(rendition, Listing::Now);
        }
        while end < until {
            let mut duration = (until - end).min(self.tracks[index].part_ticks);
            if let Some(cut) = self.renditions[rendition].cuts.front() {
                let at = self.tracks[index].ticks_ceil(cut.presentation_us);
                duration = duration.min(at.saturating_sub(end)).max(u64::from(at <= end) * duration).max(1);
            }
            let room = self.segment_room(index, end);
            if room > 0 {
                duration = duration.min(room);
            }
            let duration_ticks = u32::try_from(duration).unwrap_or(u32::MAX);
            let time = FrameTime { decode: end, duration: duration_ticks, composition_offset: 0 };
            self.make_cuts(index, &time, false);
            self.list_held(rendition);
            self.renditions[rendition].part.duration = duration;
            self.seal(rendition, Listing::Now);
            self.findings.gaps += 1;
            end = time.end();
            self.tracks[index].end = Some(end);
        }
    }

    /// Lists held parts whose time is up.
    pub fn handle_time(&mut self, now: Now) {
        for rendition in 0..self.renditions.len() {
            if self.renditions[rendition].held.is_some_and(|deadline| deadline <= now.monotonic_us) {
                self.list_held(rendition);
            }
        }
    }

    /// When [`handle_time`](Self::handle_time) has something to do, monotonic microseconds.
    pub fn deadline_us(&self) -> Option<u64> {
        self.renditions.iter().filter_map(|rendition| rendition.held).min()
    }

    /// Closes everything: the publisher left, its time leapt, or it was stopped. Every rendition ends
    /// with the same cut. The next key frame opens a segment after a discontinuity.
    pub fn close_all(&mut self, discontinuity_follows: bool) {
        if !self.running {
            return;
        }
        for track in &mut self.tracks {
            track.pending = None;
        }
        let end_us = (0..self.tracks.len()).map(|index| self.end_us(index)).max().unwrap_or(self.cut_us);
        self.announce_cuts_ahead();
        for rendition in 0..self.renditions.len() {
            self.catch_up(rendition, end_us);
            self.close(rendition, discontinuity_follows);
            self.renditions[rendition].open = None;
        }
        let ends_us = (0..self.tracks.len()).map(|index| self.end_us(index));
        self.closed_us = ends_us.max().unwrap_or(end_us);
        for track in &mut self.tracks {
            track.end = None;
            track.fill_asked = None;
        }
        self.running = false;
        self.gop_ticks = None;
        self.is_spliced = false;
    }

    /// Output time, microseconds, at which the longest rendition was closed; what comes next begins no earlier.
    pub fn closed_us(&self) -> i64 {
        self.closed_us
    }

    /// The next action, in order.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// What was found so far.
    pub fn findings(&self) -> Findings {
        self.findings
    }

    /// The first key frame: every track begins at its presentation time.
    fn start(&mut self, time: FrameTime) {
        self.running = true;
        let cutting = &self.tracks[self.cutting];
        let frame = cutting.frame_ticks;
        let expected = self.expected_offset_ms.take().map_or(u64::MAX, |ms| cutting.ticks_of_ms(ms));
        let leading = u64::from(time.composition_offset).saturating_sub(expected) as u32;
        self.first_offset = time.composition_offset.saturating_sub((leading + frame / 2) / frame * frame);
        self.cut_us = cutting.us(time.decode + u64::from(self.first_offset));
        self.key = time.decode;
        for index in 0..self.tracks.len() {
            let track = &mut self.tracks[index];
            let begins = if index == self.cutting { time.decode } else { track.ticks_ceil(self.cut_us) };
            track.end = Some(begins);
            track.begun = index == self.cutting;
            track.usual_lag_us = None;
        }
        let discontinuity = self.next_cut > 0;
        self.announce_cut(self.cut_us, false, discontinuity);
    }

    // Segments -------------------------------------------------------------------------------

    fn open(&mut self, rendition: usize, cut: Cut, decode: u64, presentation_us: i64, key: bool) {
        let opened = &mut self.renditions[rendition];
        opened.open = Some(decode);
        opened.has_parts = false;
        opened.part = OpenPart::default();
        // Its date follows durations, which are decode times, even where the encoder begins to reorder otherwise.
        let presentation_us = if opened.measure == self.cutting {
            self.tracks[self.cutting].us(decode + u64::from(self.first_offset))
        } else {
            presentation_us
        };
        self.actions.push_back(Action::OpenSegment {
            rendition: opened.id,
            cut: cut.number,
            presentation_us,
            independent: key,
            forced: cut.forced,
            discontinuity: cut.discontinuity,
        });
    }

    /// Seals what is in the open part and closes the open segment; nothing when none is open.
    fn close(&mut self, rendition: usize, discontinuity_follows: bool) {
        if self.renditions[rendition].open.is_none() {
            return;
        }
        if self.renditions[rendition].part.duration > 0 {
            self.seal(rendition, Listing::Held);
            self.renditions[rendition].held = Some(0);
        }
        let closed = &mut self.renditions[rendition];
        let with_held_part = closed.held.take().is_some();
        self.actions.push_back(Action::CloseSegment {
            rendition: closed.id,
            with_held_part,
            discontinuity_follows,
        });
        closed.open = None;
    }

    /// Fills a rendition with gaps until it has made every cut and has something in each segment.
    fn catch_up(&mut self, rendition: usize, end_us: i64) {
        let index = self.renditions[rendition].measure;
        let frame = u64::from(self.tracks[index].frame_ticks);
        while let Some(cut) = self.renditions[rendition].cuts.front().copied() {
            let until_us = self.renditions[rendition].cuts.get(1).map_or(end_us, |next| next.presentation_us);
            let end = self.tracks[index].end.unwrap_or(0);
            let cut_us = if index == self.cutting { 0 } else { cut.presentation_us };
            let at = self.tracks[index].ticks_ceil(cut_us).max(end);
            self.fill_gap(self.tracks[index].id, self.tracks[index].ticks_ceil(until_us).max(at + frame));
        }
        let opened = &self.renditions[rendition];
        if opened.open.is_some() && !opened.has_parts && opened.part.duration == 0 {
            let end = self.tracks[index].end.unwrap_or(0);
            self.fill_gap(self.tracks[index].id, end + frame);
        }
    }

    // Parts ----------------------------------------------------------------------------------

    /// Before a frame that begins no segment: lists what was held for one, and seals the open part
    /// if the frame does not fit.
    fn fit_part(&mut self, index: usize, time: &mut FrameTime, key: bool) {
        let rendition = self.tracks[index].rendition;
        self.list_held(rendition);
        let duration = self.renditions[rendition].part.duration;
        if duration == 0 || duration + u64::from(time.duration) <= self.tracks[index].part_ticks {
            return;
        }
        // The part would be too short: its last frame takes a little of this one's time.
        let least = self.part_ticks_min(index);
        let lacking = u32::try_from(least.saturating_sub(duration)).unwrap_or(u32::MAX);
        if lacking > 0 && lacking < time.duration && !self.renditions[rendition].part.independent {
            self.stretch(index, lacking);
            time.decode += u64::from(lacking);
            time.duration -= lacking;
            time.composition_offset = time.composition_offset.saturating_sub(lacking);
            if key && index == self.cutting {
                self.key = time.decode;
            }
        }
        self.count_short(rendition);
        self.seal(rendition, Listing::Now);
    }

    /// After a frame: seals the open part if another would not fit, or if a cut that is known comes
    /// next; holds its listing if a cut is expected next.
    fn seal_if_full(&mut self, index: usize, now: Now) {
        let track = &self.tracks[index];
        let rendition = track.rendition;
        let end_us = self.end_us(index);
        if self.renditions[rendition].cuts.front().is_some_and(|cut| end_us >= cut.presentation_us) {
            self.close(rendition, false);
            return;
        }
        let duration = self.renditions[rendition].part.duration;
        // One that is too short as yet is left to the next frame, which may be shorter than expected.
        if duration + u64::from(track.frame_ticks) <= track.part_ticks
            || duration < self.part_ticks_min(index)
        {
            return;
        }
        if !self.cut_is_expected(index, end_us) {
            self.count_short(rendition);
            self.seal(rendition, Listing::Now);
            return;
        }
        self.seal(rendition, Listing::Held);
        let longest_us = self.tracks.iter().map(|track| track.us(u64::from(track.frame_ticks))).max();
        let patience_us = longest_us.and_then(|us| u64::try_from(us * 3 / 2).ok()).unwrap_or(0);
        self.renditions[rendition].held = Some(now.monotonic_us.saturating_add(patience_us));
        self.findings.held += 1;
    }

    /// The next frame begins a segment if the group of pictures keeps its length.
    fn cut_is_expected(&self, index: usize, end_us: i64) -> bool {
        let cutting = &self.tracks[self.cutting];
        let Some(started) = self.renditions[cutting.rendition].open else { return false };
        let cutting_end = cutting.end.unwrap_or(started);
        let frame = u64::from(cutting.frame_ticks);
        let must = index == self.cutting && self.segment_room(index, cutting_end) < frame;
        let gop = self.gop_ticks.unwrap_or_else(|| cutting.ticks_of_ms(self.gop_ms).max(frame));
        let key_next = self.key + gop;
        if !self.would_cut(key_next.saturating_sub(started)) {
            return must;
        }
        if index == self.cutting {
            return must || cutting_end.abs_diff(key_next) < frame.div_ceil(2);
        }
        end_us >= cutting.us(key_next + u64::from(self.first_offset)) && cutting_end <= key_next + frame / 2
    }

    fn seal(&mut self, rendition: usize, listing: Listing) {
        let sealed = &mut self.renditions[rendition];
        let part = std::mem::take(&mut sealed.part);
        sealed.has_parts = true;
        debug_assert!(part.duration > 0);
        debug_assert!(part.duration <= self.tracks[sealed.measure].part_ticks);
        self.actions.push_back(Action::SealPart {
            rendition: sealed.id,
            duration_ticks: part.duration,
            independent: part.independent,
            listing,
        });
    }

    fn list_held(&mut self, rendition: usize) {
        let listed = &mut self.renditions[rendition];
        if listed.held.take().is_some() {
            self.actions.push_back(Action::ListPart { rendition: listed.id });
            self.findings.held_in_vain += 1;
        }
    }

    fn count_short(&mut self, rendition: usize) {
        let Rendition { part, measure, .. } = &self.renditions[rendition];
        let short = part.duration < self.part_ticks_min(*measure) && !part.independent;
        self.findings.parts_short += u64::from(short);
    }

    /// 4.4.4.9: a part is at least 85% of PART-TARGET.
    fn part_ticks_min(&self, index: usize) -> u64 {
        let rate = u64::from(self.tracks[index].timescale.get());
        (PART_FILL_PERCENT_MIN * u64::from(self.part_target_ms) * rate).div_ceil(100 * 1000)
    }

    // What all of it leans on ----------------------------------------------------------------

    /// Ticks from `end` to where the open segment of its rendition must end at the latest.
    fn segment_room(&self, index: usize, end: u64) -> u64 {
        let track = &self.tracks[index];
        let ms_max = if index == self.cutting { self.cutting_ms_max } else { self.segment_ms_max };
        let started = self.renditions[track.rendition].open.unwrap_or(end);
        (started + track.ticks_of_ms(ms_max)).saturating_sub(end)
    }

    fn stretch(&mut self, index: usize, by_ticks: u32) {
        let track = &mut self.tracks[index];
        track.end = track.end.map(|end| end + u64::from(by_ticks));
        self.renditions[track.rendition].part.duration += u64::from(by_ticks);
        self.actions.push_back(Action::Stretch { track: track.id, by_ticks });
    }

    fn discard(&mut self) -> Verdict {
        self.findings.frames_discarded += 1;
        Verdict::Discard
    }

    /// Output time at which a track ends, microseconds.
    fn end_us(&self, index: usize) -> i64 {
        let track = &self.tracks[index];
        track.end.map_or(self.cut_us, |end| track.us(end))
    }
}

impl Rendition {
    fn new(index: usize) -> Self {
        Self {
            id: RenditionId(u8::try_from(index).unwrap_or(u8::MAX)),
            measure: 0,
            open: None,
            part: OpenPart::default(),
            has_parts: false,
            held: None,
            cuts: VecDeque::new(),
            cuts_ahead: 0,
        }
    }
}

#[cfg(test)]
mod tests;
