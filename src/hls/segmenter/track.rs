//! Where a frame goes on its track: small holes and overlaps are closed, long ones and silent tracks
//! must be filled.

use super::super::plan::TrackPlan;
use super::{Action, Segmenter, Verdict};
use crate::limits::{FRAME_LATE_MS_MAX, SILENCE_LAG_MS_MIN};
use crate::media::{Cadence, FrameTime, Timescale, TrackId, TrackKind};

#[derive(Debug, Clone)]
pub(super) struct Track {
    pub(super) id: TrackId,
    pub(super) kind: TrackKind,
    pub(super) rendition: usize,
    pub(super) timescale: Timescale,
    /// Duration of the frame that is expected next.
    pub(super) frame_ticks: u32,
    /// True when every frame has that duration.
    pub(super) grid: bool,
    /// PART-TARGET in whole ticks: nothing longer is printed as longer.
    pub(super) part_ticks: u64,
    /// Where its last whole frame ended; `None` until the session runs.
    pub(super) end: Option<u64>,
    /// Something was placed on it since the session runs.
    pub(super) begun: bool,
    /// The frame that is being received.
    pub(super) pending: Option<(FrameTime, bool)>,
    /// How far it usually lags behind the others when it is not silent, microseconds; not known before
    /// its second frame.
    pub(super) usual_lag_us: Option<i64>,
    /// Its end when a fill was last asked for.
    pub(super) fill_asked: Option<u64>,
}

/// No track is taken to lag by more than this when it is not silent.
const USUAL_LAG_US_MAX: i64 = SILENCE_LAG_MS_MIN as i64 * 1000;

impl Segmenter {
    /// Joins a frame to the end of its track: closes a small hole or overlap.
    pub(super) fn join(&mut self, index: usize, end: u64, time: FrameTime) -> Result<FrameTime, Verdict> {
        if time.decode < end {
            return self.join_late(index, end, time);
        }
        let track = &self.tracks[index];
        let rendition = &self.renditions[track.rendition];
        let hole = time.decode - end;
        // A track may begin up to a part after the cut: then that is when its first segment begins.
        let first = !track.begun && hole <= track.part_ticks;
        if hole == 0 || first {
            return Ok(time);
        }
        let measures = rendition.measure == index;
        let frame = u64::from(track.frame_ticks);
        let room = if measures && rendition.part.duration > 0 {
            let room =
                track.part_ticks.saturating_sub(rendition.part.duration).min(self.segment_room(index, end));
            if track.grid { room / frame * frame } else { room }
        } else {
            0
        };
        let stretch = hole.min(room);
        let rest = hole - stretch;
        let fits_part = rest + u64::from(time.duration) <= track.part_ticks;
        let fits_segment =
            rest == 0 || self.segment_room(index, end + stretch) >= rest + u64::from(time.duration);
        if !fits_part || (index != self.cutting && !fits_segment) {
            if track.kind == TrackKind::Audio && hole < frame {
                // No silent frame is as short: the hole is left to a later frame.
                return Ok(FrameTime { decode: end, ..time });
            }
            return Err(Verdict::Fill { from: end, until: time.decode });
        }
        self.findings.stretched += 1;
        let mut end = end;
        if stretch > 0 {
            self.stretch(index, stretch as u32);
            end += stretch;
        }
        let rest = rest as u32;
        // A picture is shown when it is due; sound has no times of its own.
        let shown_later = if self.tracks[index].kind == TrackKind::Video { rest } else { 0 };
        Ok(FrameTime {
            decode: end,
            duration: time.duration + rest,
            composition_offset: time.composition_offset + shown_later,
        })
    }

    /// A frame of a time that was filled: audio is dropped, pictures catch up at twice their speed.
    pub(super) fn join_late(
        &mut self,
        index: usize,
        end: u64,
        time: FrameTime,
    ) -> Result<FrameTime, Verdict> {
        let track = &self.tracks[index];
        let behind = end - time.decode;
        let too_late = track.us(behind) > FRAME_LATE_MS_MAX * 1000;
        let half = time.duration / 2;
        let sound = track.kind == TrackKind::Audio && behind > u64::from(half);
        if too_late || sound || !track.begun {
            return Err(self.discard());
        }
        self.findings.frames_late += 1;
        let shift = u32::try_from(behind).unwrap_or(u32::MAX);
        Ok(FrameTime {
            decode: end,
            duration: time.duration.saturating_sub(shift).max(half).max(1),
            composition_offset: time.composition_offset.saturating_sub(shift),
        })
    }

    /// A frame longer than a part lasts one part; what is left of it becomes a hole before the next.
    pub(super) fn clip(&self, index: usize, time: FrameTime) -> FrameTime {
        let longest = u32::try_from(self.tracks[index].part_ticks).unwrap_or(u32::MAX);
        FrameTime { duration: time.duration.min(longest), ..time }
    }

    /// Learns how far a track's frames usually come behind those of the others.
    pub(super) fn note_lag(&mut self, index: usize, time: FrameTime) {
        let newest_us = (0..self.tracks.len()).map(|other| self.end_us(other)).max().unwrap_or(0);
        let track = &mut self.tracks[index];
        let lag_us = (newest_us - track.us(time.decode)).min(USUAL_LAG_US_MAX);
        track.usual_lag_us = track.usual_lag_us.max(Some(lag_us));
    }

    /// Asks for the tracks to be continued that lag behind this one by more than two parts and what
    /// is usual for them: their playlists must go on.
    pub(super) fn fill_silent(&mut self, index: usize) {
        let newest_us = self.end_us(index);
        let patience_us = i64::from(SILENCE_LAG_MS_MIN.max(2 * self.part_target_ms)) * 1000;
        for other in 0..self.tracks.len() {
            let lag_us = newest_us - self.end_us(other);
            let track = &mut self.tracks[other];
            let Some(from) = track.end else { continue };
            let asked = track.fill_asked == Some(from) || track.pending.is_some();
            if asked || lag_us <= patience_us + track.usual_lag_us.unwrap_or(USUAL_LAG_US_MAX) {
                continue;
            }
            let frame = u64::from(track.frame_ticks);
            let until = from + (track.part_ticks / frame).max(1) * frame;
            track.fill_asked = Some(from);
            self.actions.push_back(Action::Fill { track: track.id, from, until });
        }
    }
}

impl Track {
    pub(super) fn new(plan: &TrackPlan, part_target_ms: u32) -> Self {
        let timescale = plan.cadence.timescale();
        let mut track = Self {
            id: plan.track,
            kind: plan.kind,
            rendition: usize::from(plan.rendition.0),
            timescale,
            frame_ticks: plan.cadence.frame_ticks().max(1),
            grid: !matches!(plan.cadence, Cadence::Variable { .. }),
            part_ticks: 0,
            end: None,
            begun: false,
            pending: None,
            usual_lag_us: None,
            fill_asked: None,
        };
        track.part_ticks = track.ticks_of_ms(part_target_ms).max(1);
        track
    }

    pub(super) fn us(&self, ticks: u64) -> i64 {
        self.timescale.to_us_floor(i64::try_from(ticks).unwrap_or(i64::MAX))
    }

    /// The first tick that is not before this time.
    pub(super) fn ticks_ceil(&self, us: i64) -> u64 {
        let ticks = (i128::from(us) * i128::from(self.timescale.get())).div_euclid(1_000_000);
        let ticks = u64::try_from(ticks).unwrap_or(0);
        ticks + u64::from(self.us(ticks) < us)
    }

    pub(super) fn ticks_of_ms(&self, ms: u32) -> u64 {
        u64::from(ms) * u64::from(self.timescale.get()) / 1000
    }
}
