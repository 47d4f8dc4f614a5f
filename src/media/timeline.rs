//! From a publisher's milliseconds to exact decode times: all tracks of a stream on one timeline.
//!
//! Anchored once, for all tracks, on the first coded frame; it goes on over discontinuities and
//! reconnects, so decode times only rise. On a grid, a frame is final when its first byte is here.
//! Where frames are missing, the next one's decode time leaves a hole of whole frames: what becomes
//! of the hole depends on the open part, so the segmenter closes it.
//!
//! Decode times are never negative (output begins at a lead of a second) and composition offsets
//! never below 0, which every player takes, whatever version of the `trun` box they stand in.

use super::{Cadence, Timescale, TrackId};
use crate::limits::{
    COMPOSITION_OFFSET_MS_MAX, FRAMES_TOO_MANY_MIN, STRAY_FRAMES_MAX, TIMELINE_LEAD_MS,
    TIMESTAMP_BACK_MS_MAX, TIMESTAMP_JITTER_MS_MAX, TIMESTAMP_LEAP_MS_MAX,
};

/// Extends the 32-bit milliseconds of one connection, all its tracks, to 64 bits.
///
/// Chunk timestamps wrap at 2^32, those of FLV-based senders at 2^31: a step of nearly 2^31 is that.
#[derive(Debug, Clone, Default)]
pub struct Unwrap {
    /// The last timestamp, extended.
    last_ms: Option<i64>,
    /// Forward passes over 2^31 or 2^32.
    wraps: u64,
}

/// A step this close to 2^31 milliseconds (24.8 days) is a wrap there, not a step.
const WRAP_MARGIN_MS: i64 = 60_000;

impl Unwrap {
    /// The timestamp extended: nearest to the last one, modulo 2^32 or, near its end, 2^31.
    pub fn unwrap_ms(&mut self, timestamp_ms: u32) -> i64 {
        let Some(last) = self.last_ms else {
            self.last_ms = Some(i64::from(timestamp_ms));
            return i64::from(timestamp_ms);
        };
        let half: i64 = 1 << 31;
        let step = i64::from(timestamp_ms.wrapping_sub(last as u32) as i32);
        let step = if step < WRAP_MARGIN_MS - half {
            step + half
        } else if step > half - WRAP_MARGIN_MS {
            step - half
        } else {
            step
        };
        let extended = last + step;
        if step > 0 && i64::from(timestamp_ms) < step {
            self.wraps += 1;
        }
        self.last_ms = Some(extended);
        extended
    }

    /// Times the 32-bit clock started over.
    pub fn wraps(&self) -> u64 {
        self.wraps
    }
}

/// Where a frame stands on the output timeline, in its track's ticks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameTime {
    /// Decode time.
    pub decode: u64,
    /// Duration, more than 0.
    pub duration: u32,
    /// Presentation time less decode time.
    pub composition_offset: u32,
}

impl FrameTime {
    /// Presentation time.
    pub fn presentation(&self) -> u64 {
        self.decode + u64::from(self.composition_offset)
    }

    /// Decode time of what follows.
    pub fn end(&self) -> u64 {
        self.decode + u64::from(self.duration)
    }
}

/// A frame's time as its publisher says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FrameStamp {
    /// Decode time, unwrapped milliseconds.
    pub timestamp_ms: i64,
    /// Presentation time less decode time, milliseconds.
    pub composition_ms: i32,
    /// To be added to the presentation time, nanoseconds; less than a millisecond. On a grid it says nothing
    /// that the grid does not.
    pub offset_ns: u32,
    /// Sound: samples of this frame, where frames differ.
    pub samples: Option<u32>,
}

/// What [`Timeline::place`] says of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placed {
    /// Its time is final.
    Now(FrameTime),
    /// Variable frame rate: the frame's duration is known when the next one of its track comes; its
    /// bytes wait until then. `earlier` is the one that waited until now.
    Held {
        /// Time of the frame that was held before this one.
        earlier: Option<FrameTime>,
    },
    /// Not placed: the publisher's time leapt, for all its tracks. [`Timeline::flush`] each, close
    /// what is open, [`Timeline::rebase`] to this frame's timestamp, and place it again.
    Discontinuity,
    /// To be thrown away: from before the last discontinuity, or one too many, since its track is far ahead of its
    /// own timestamps.
    Discard,
}

/// How often a publisher's time was repaired.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Repairs {
    /// Frames that their grid expected and that did not come.
    pub missing_frames: u64,
    /// Timestamps more than 2 ms off their track's clock, taken for jitter.
    pub absorbed: u64,
    /// Frames made longer or shorter to follow a drifting clock.
    pub slewed: u64,
    /// Composition offsets that were negative or absurd.
    pub composition_clamped: u64,
    /// Leaps of the publisher's time.
    pub discontinuities: u64,
    /// Frames thrown away.
    pub discarded: u64,
}

impl std::ops::AddAssign for Repairs {
    fn add_assign(&mut self, other: Self) {
        self.missing_frames += other.missing_frames;
        self.absorbed += other.absorbed;
        self.slewed += other.slewed;
        self.composition_clamped += other.composition_clamped;
        self.discontinuities += other.discontinuities;
        self.discarded += other.discarded;
    }
}

/// All tracks of one stream on one output timeline.
#[derive(Debug, Clone)]
pub struct Timeline {
    /// By [`TrackId`].
    tracks: Vec<Track>,
    /// The publisher's timestamp, unwrapped milliseconds,
    anchor_ms: i64,
    /// that stands at this output time, microseconds.
    base_us: i64,
    /// See [`Timeline::continue_after_us`].
    continue_after_us: i64,
    /// Newest timestamp of any track since the anchor.
    newest_ms: i64,
    /// A step of more than this is a discontinuity: a second, or twice the longest frame.
    leap_ms: i64,
    repairs: Repairs,
}

#[derive(Debug, Clone)]
struct Track {
    cadence: Cadence,
    /// Decode time of a frame that follows without a hole; 0 before the first.
    next: u64,
    /// Timestamp of the last frame since the anchor.
    last_ms: Option<i64>,
    /// Running mean of (timestamp - clock), in 1/32 ticks.
    error_mean: i64,
    /// Running mean of how far errors are from that mean, in 1/32 ticks.
    error_spread: i64,
    /// Decode time from which the clock may be slewed again.
    slew_from: u64,
    /// Frames in a row that were far from the anchor.
    strays: u32,
    /// Frames that were too many, and the timestamp of the first of them.
    too_many: u32,
    too_many_from_ms: i64,
    /// See [`Timeline::has_lost_a_rate`].
    has_lost_its_rate: bool,
    /// Before its first frame since a splice: what would overlap is discarded.
    trims: bool,
    /// The frame of a variable rate whose duration is not known: decode time and composition offset.
    held: Option<(u64, u32)>,
}

/// The running mean takes in each error by one part in this many.
const ERROR_MEAN_FRAMES: i64 = 32;
/// An error that is not worth counting: twice the publisher's rounding.
const ERROR_ROUNDING_MS: i64 = 2;
/// Audio may stand this far from the publisher's clock on average, and two more spreads of its timestamps: with what
/// video may be off, both are within a frame of one another at up to 60 frames a second.
const AUDIO_ERROR_MS: i64 = 5;
/// and no further than this, however its timestamps jitter: lip sync is not seen below.
const AUDIO_ERROR_MS_MAX: i64 = 40;
/// A clock is slewed by at most a millisecond in each 250: 4,000 ppm.
const SLEW_MS: i64 = 1;
const SLEW_INTERVAL_MS: i64 = 250;

impl Timeline {
    /// A timeline for tracks of these cadences (`cadences[i]` is `TrackId(i)`), anchored at the
    /// unwrapped timestamp of the first coded frame.
    pub fn new(cadences: &[Cadence], anchor_ms: i64) -> Self {
        let tracks = cadences.iter().map(|&cadence| Track::new(cadence, 0)).collect();
        let base_us = TIMELINE_LEAD_MS * 1000;
        let mut timeline = Self {
            tracks,
            anchor_ms,
            base_us,
            continue_after_us: 0,
            newest_ms: anchor_ms,
            leap_ms: 0,
            repairs: Repairs::default(),
        };
        timeline.leap_ms = timeline.longest_leap_ms();
        timeline
    }

    /// Places a frame by its unwrapped timestamp and composition time, in milliseconds. A frame of
    /// an unknown track is discarded.
    pub fn place(&mut self, track: TrackId, timestamp_ms: i64, composition_ms: i32) -> Placed {
        self.place_frame(track, &FrameStamp { timestamp_ms, composition_ms, ..FrameStamp::default() })
    }

    /// As [`Timeline::place`], with all that a publisher may say of a frame's time.
    pub fn place_frame(&mut self, track: TrackId, stamp: &FrameStamp) -> Placed {
        let &FrameStamp { timestamp_ms, composition_ms, offset_ns, samples } = stamp;
        let Some(index) = self.tracks.get(usize::from(track.0)).map(|_| usize::from(track.0)) else {
            return self.discard();
        };
        match self.judge(index, timestamp_ms) {
            Judgement::Leap => return Placed::Discontinuity,
            Judgement::Stray => return self.discard(),
            Judgement::Plausible => {}
        }
        let ideal = self.ideal_ticks(index, timestamp_ms);
        let first = self.tracks[index].last_ms.is_none();
        let known = &self.tracks[index];
        if first && known.trims && ideal + u64::from(known.cadence.frame_ticks() / 2) < known.next {
            return self.discard();
        }
        self.newest_ms = self.newest_ms.max(timestamp_ms);
        let track = &mut self.tracks[index];
        track.last_ms = Some(timestamp_ms);
        if first {
            track.next = track.next.max(ideal);
        }
        // Frames of which each lasts and none moves the publisher's time on: their track must not run away.
        let ahead = track.newest_decode().saturating_sub(ideal);
        if ahead > track.cadence.timescale().from_ms_round(self.leap_ms) as u64 {
            track.note_one_too_many(timestamp_ms);
            return self.discard();
        }
        match track.cadence {
            Cadence::Variable { timescale, .. } => {
                let offset = composition_ticks(timescale, None, composition_ms, &mut self.repairs);
                let finer = u64::from(offset_ns) * u64::from(timescale.get()) / 1_000_000_000;
                let offset = offset.saturating_add(u32::try_from(finer).unwrap_or(0));
                Placed::Held { earlier: track.hold(ideal, offset) }
            }
            Cadence::Grid { timescale, frame_ticks, tolerance_ticks } => {
                let composition_offset =
                    composition_ticks(timescale, Some(frame_ticks), composition_ms, &mut self.repairs);
                let (decode, duration) =
                    track.place_video(ideal, frame_ticks, tolerance_ticks, &mut self.repairs);
                Placed::Now(FrameTime { decode, duration, composition_offset })
            }
            Cadence::Samples { frame_ticks, .. } => {
                let frame_ticks = samples.filter(|samples| *samples > 0).unwrap_or(frame_ticks);
                match track.place_audio(ideal, frame_ticks, &mut self.repairs) {
                    Some((decode, duration)) => {
                        Placed::Now(FrameTime { decode, duration, composition_offset: 0 })
                    }
                    None => self.discard(),
                }
            }
        }
    }

    /// The frame that a track of variable rate still holds, with its typical duration: at the end,
    /// and before a discontinuity.
    pub fn flush(&mut self, track: TrackId) -> Option<FrameTime> {
        let track = self.tracks.get_mut(usize::from(track.0))?;
        let (decode, composition_offset) = track.held.take()?;
        let duration = track.cadence.frame_ticks();
        track.next = decode + u64::from(duration);
        Some(FrameTime { decode, duration, composition_offset })
    }

    /// What was made of the tracks reaches up to this output time, microseconds, where gaps were filled at their end: a
    /// discontinuity goes on no earlier.
    pub fn continue_after_us(&mut self, us: i64) {
        self.continue_after_us = self.continue_after_us.max(us + 1);
    }

    /// After a discontinuity: this timestamp stands where the longest track ended.
    pub fn rebase(&mut self, anchor_ms: i64) {
        self.base_us = self.longest_us().max(self.continue_after_us);
        self.anchor_ms = anchor_ms;
        self.newest_ms = anchor_ms;
        for track in &mut self.tracks {
            *track = Track::new(track.cadence, track.next);
        }
        self.repairs.discontinuities += 1;
    }

    /// A publisher came back, with newly learnt cadences of the same timescales: goes on where the
    /// longest track ended.
    pub fn resume(&mut self, cadences: &[Cadence], anchor_ms: i64) {
        self.rebase(anchor_ms);
        for (track, &cadence) in self.tracks.iter_mut().zip(cadences) {
            debug_assert!(track.cadence.timescale() == cadence.timescale());
            track.cadence = cadence;
        }
        self.leap_ms = self.longest_leap_ms();
    }

    /// True when a track has so many frames too many, while its timestamps go on, that it must have another frame rate
    /// than was learnt.
    pub fn has_lost_a_rate(&self) -> bool {
        self.tracks.iter().any(|track| track.has_lost_its_rate)
    }

    /// As [`Timeline::resume`], for another publisher whose frames follow without a discontinuity: its timestamp
    /// stands at this output time. Of a track that ended later, what is there already is discarded.
    pub fn splice(&mut self, cadences: &[Cadence], anchor_ms: i64, at_us: i64) {
        self.resume(cadences, anchor_ms);
        self.repairs.discontinuities -= 1;
        self.base_us = at_us;
        for track in &mut self.tracks {
            track.trims = true;
        }
    }

    /// Output time, microseconds, at which a track ends.
    pub fn end_us(&self, track: TrackId) -> i64 {
        let end_us = self.tracks.get(usize::from(track.0)).map_or(0, Track::end_us);
        end_us.max(TIMELINE_LEAD_MS * 1000)
    }

    /// Output time, microseconds, at which the longest track ends.
    pub fn longest_us(&self) -> i64 {
        let end_us = self.tracks.iter().map(Track::end_us).max().unwrap_or(0);
        end_us.max(TIMELINE_LEAD_MS * 1000)
    }

    /// Output time, microseconds, at which a frame of this unwrapped timestamp is presented.
    pub fn presentation_us(&self, timestamp_ms: i64, composition_ms: i32) -> i64 {
        self.media_us(timestamp_ms.saturating_add(composition_ms_believed(composition_ms)))
    }

    /// Output time, microseconds, of a publisher's unwrapped timestamp.
    fn media_us(&self, timestamp_ms: i64) -> i64 {
        self.base_us.saturating_add(timestamp_ms.saturating_sub(self.anchor_ms).saturating_mul(1000))
    }

    /// What was repaired so far.
    pub fn repairs(&self) -> Repairs {
        self.repairs
    }

    /// Decided once for all tracks: forward against the newest timestamp of any (a track that comes
    /// back after silence has not leapt), back against the track's own.
    fn judge(&mut self, index: usize, timestamp_ms: i64) -> Judgement {
        let forward = timestamp_ms.saturating_sub(self.newest_ms);
        let track = &mut self.tracks[index];
        let Some(last_ms) = track.last_ms else {
            // First of its track since the anchor: a straggler from before it is no second leap,
            // unless that is all the track has.
            if forward.abs() <= self.leap_ms {
                return Judgement::Plausible;
            }
            track.strays += 1;
            return if track.strays > STRAY_FRAMES_MAX { Judgement::Leap } else { Judgement::Stray };
        };
        let back_ms = TIMESTAMP_BACK_MS_MAX;
        if forward > self.leap_ms || timestamp_ms < last_ms.saturating_sub(back_ms) {
            return Judgement::Leap;
        }
        Judgement::Plausible
    }

    fn ideal_ticks(&self, index: usize, timestamp_ms: i64) -> u64 {
        let rate = i128::from(self.tracks[index].cadence.timescale().get());
        let ticks = (i128::from(self.media_us(timestamp_ms)) * rate + 500_000).div_euclid(1_000_000);
        u64::try_from(ticks).unwrap_or(0)
    }

    fn longest_leap_ms(&self) -> i64 {
        let longest = |track: &Track| {
            let ticks = i64::from(track.cadence.longest_ticks());
            track.cadence.timescale().to_us_floor(ticks) / 1000
        };
        let longest_ms = self.tracks.iter().map(longest).max().unwrap_or(0);
        TIMESTAMP_LEAP_MS_MAX.max(2 * longest_ms)
    }

    fn discard(&mut self) -> Placed {
        self.repairs.discarded += 1;
        Placed::Discard
    }
}

enum Judgement {
    Plausible,
    Leap,
    Stray,
}

impl Track {
    fn new(cadence: Cadence, next: u64) -> Self {
        Self {
            cadence,
            next,
            last_ms: None,
            error_mean: 0,
            error_spread: 0,
            slew_from: 0,
            strays: 0,
            too_many: 0,
            too_many_from_ms: 0,
            has_lost_its_rate: false,
            trims: false,
            held: None,
        }
    }

    fn note_one_too_many(&mut self, timestamp_ms: i64) {
        if self.too_many == 0 {
            self.too_many_from_ms = timestamp_ms;
        }
        self.too_many = self.too_many.saturating_add(1);
        self.has_lost_its_rate |= self.too_many >= FRAMES_TOO_MANY_MIN
            && timestamp_ms.saturating_sub(self.too_many_from_ms) >= TIMESTAMP_LEAP_MS_MAX;
    }

    /// Decode time that the next frame has at least.
    fn newest_decode(&self) -> u64 {
        self.held.map_or(self.next, |(decode, _)| decode)
    }

    /// Output time at which a frame that follows without a hole is decoded, microseconds.
    fn end_us(&self) -> i64 {
        let end = i64::try_from(self.newest_decode());
        end.map_or(i64::MAX, |ticks| self.cadence.timescale().to_us_floor(ticks) + 1)
    }

    /// On the grid: where the timestamp is ahead of the next frame's place, frames are missing;
    /// otherwise the publisher's clock is not quite the grid's. A slow one gains a missing frame now
    /// and then; a fast one has frames shortened, by half when it is frames ahead.
    fn place_video(
        &mut self,
        ideal: u64,
        frame_ticks: u32,
        tolerance_ticks: u32,
        repairs: &mut Repairs,
    ) -> (u64, u32) {
        let frame = i64::from(frame_ticks);
        let error = self.leave_hole(ideal, frame, i64::from(tolerance_ticks), repairs);
        self.note_error(error, repairs);
        let ahead = -self.error_mean / ERROR_MEAN_FRAMES;
        let shorten = if error < -2 * frame && ahead > frame {
            frame / 2
        } else if ahead > frame / 4 {
            self.slew_ticks().min(frame / 2)
        } else {
            0
        };
        self.advance(frame - shorten, shorten, repairs)
    }

    /// On the sample clock: jitter is averaged away and drift slewed. `None` when the frame is one
    /// too many, further ahead of the timestamps than jitter goes.
    fn place_audio(&mut self, ideal: u64, frame_ticks: u32, repairs: &mut Repairs) -> Option<(u64, u32)> {
        let frame = i64::from(frame_ticks);
        let timescale = self.cadence.timescale();
        let tolerance = timescale.from_ms_round(TIMESTAMP_JITTER_MS_MAX).max(frame);
        let error = self.leave_hole(ideal, frame, tolerance, repairs);
        if error < -tolerance {
            return None;
        }
        self.note_error(error, repairs);
        let mean = self.error_mean / ERROR_MEAN_FRAMES;
        let spread = self.error_spread / ERROR_MEAN_FRAMES;
        let allowed = (timescale.from_ms_round(AUDIO_ERROR_MS) + 2 * spread)
            .min(timescale.from_ms_round(AUDIO_ERROR_MS_MAX));
        let drifted = mean.abs() > allowed;
        let change = if drifted { self.slew_ticks().min(frame / 2) * mean.signum() } else { 0 };
        Some(self.advance(frame + change, change, repairs))
    }

    /// The timestamp's error against the next frame's place; one beyond the tolerance leaves a hole
    /// of whole frames first.
    fn leave_hole(&mut self, ideal: u64, frame: i64, tolerance: i64, repairs: &mut Repairs) -> i64 {
        let error = ideal as i64 - self.next as i64;
        if error <= tolerance {
            return error;
        }
        let missing = ((error + frame / 2) / frame).max(1);
        repairs.missing_frames += missing as u64;
        self.next += (missing * frame) as u64;
        let error = error - missing * frame;
        self.error_mean = error * ERROR_MEAN_FRAMES;
        error
    }

    /// Takes the next `duration` ticks; `change` of them are a repair.
    fn advance(&mut self, duration: i64, change: i64, repairs: &mut Repairs) -> (u64, u32) {
        let decode = self.next;
        self.next += duration as u64;
        if change != 0 {
            repairs.slewed += 1;
            let timescale = self.cadence.timescale();
            self.slew_from = self.next + timescale.from_ms_round(SLEW_INTERVAL_MS) as u64;
        }
        (decode, duration as u32)
    }

    /// How many ticks the clock may be slewed by at this frame.
    fn slew_ticks(&self) -> i64 {
        if self.next < self.slew_from { 0 } else { self.cadence.timescale().from_ms_round(SLEW_MS) }
    }

    fn note_error(&mut self, error: i64, repairs: &mut Repairs) {
        let mean = self.error_mean / ERROR_MEAN_FRAMES;
        self.error_mean += error - mean;
        self.error_spread += (error - mean).abs() - self.error_spread / ERROR_MEAN_FRAMES;
        let rounding = self.cadence.timescale().from_ms_round(ERROR_ROUNDING_MS);
        repairs.absorbed += u64::from(error.abs() > rounding);
    }

    /// Holds a frame of a variable rate, and gives the time of the one held before: it lasts until
    /// this one, at least a millisecond.
    fn hold(&mut self, ideal: u64, offset: u32) -> Option<FrameTime> {
        let least = self.cadence.timescale().from_ms_round(1) as u64;
        let earlier = self.held.take().map(|(decode, composition_offset)| {
            let duration = ideal.saturating_sub(decode).max(least);
            let duration = u32::try_from(duration).unwrap_or(u32::MAX);
            self.next = decode + u64::from(duration);
            FrameTime { decode, duration, composition_offset }
        });
        self.held = Some((ideal.max(self.next), offset));
        earlier
    }
}

fn composition_ms_believed(ms: i32) -> i64 {
    i64::from(ms).clamp(0, COMPOSITION_OFFSET_MS_MAX)
}

/// A composition time in ticks, on the grid if there is one (a publisher that truncates both times
/// has its difference off by 1 ms), never negative.
fn composition_ticks(timescale: Timescale, grid: Option<u32>, ms: i32, repairs: &mut Repairs) -> u32 {
    let clamped = composition_ms_believed(ms);
    repairs.composition_clamped += u64::from((clamped - i64::from(ms)).abs() > ERROR_ROUNDING_MS);
    let ticks = timescale.from_ms_round(clamped) as u32;
    match grid {
        Some(frame) => (ticks + frame / 2) / frame * frame,
        None => ticks,
    }
}

#[cfg(test)]
mod tests;
