//! Another publisher goes on with a running session, or might.
//!
//! Decode times are contiguous over the change, so the media that nobody sent in between, up to a group of
//! pictures, is left out of the timeline: players show it as a pause as far as their buffers do not cover it, and
//! are that much nearer to the live edge afterwards. [`WallClock`](crate::media::WallClock) says what it means for
//! the dates. A hole of that length in the timeline instead would need GAP parts, which players take for errors.

use std::fmt;

use super::{Live, LiveError, format};
use crate::flv::FrameBegin;
use crate::fmp4::BufferPool;
use crate::limits::{DATE_LAG_US_MAX, DATE_TOLERANCE_US, SILENCE_LAG_MS_MIN};
use crate::media::{Cadence, Now, TrackKind};
use crate::origin::tracks::{LearntStream, StreamTrack};

/// How a publisher could go on with a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fit {
    /// No player notices: everything is the same.
    Hitless,
    /// After a discontinuity.
    Discontinuity(Difference),
    /// Not at all.
    NewSession(Difference),
}

/// What a publisher does not have in common with the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Difference {
    /// The number or the kinds of its tracks.
    Tracks,
    /// Codec, or range of colours.
    Format(TrackKind),
    /// Timescale, or frames that do not fill its parts.
    PartTarget,
    /// What this track is decoded with.
    Configuration(TrackKind),
    /// Frames a second.
    Rate(TrackKind),
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = |kind: &TrackKind| if *kind == TrackKind::Video { "video" } else { "audio" };
        match self {
            Self::Tracks => f.write_str("its tracks are not those of the session"),
            Self::Format(kind) => write!(f, "its {} has another codec or range of colours", of(kind)),
            Self::PartTarget => f.write_str("its frame or sample rate does not fit the session's parts"),
            Self::Configuration(kind) => {
                write!(f, "its {} is configured differently (size, profile, encoder settings)", of(kind))
            }
            Self::Rate(kind) => write!(f, "its {} has another frame rate", of(kind)),
        }
    }
}

impl Live {
    /// How a publisher of these tracks could go on with the session.
    pub fn fit(&self, stream: &LearntStream) -> Fit {
        let kinds = stream.tracks.iter().map(|track| track.kind);
        if !self.tracks.iter().map(|track| track.kind).eq(kinds) {
            return Fit::NewSession(Difference::Tracks);
        }
        let first = |differs: &dyn Fn(usize, &StreamTrack) -> bool| {
            let found = stream.tracks.iter().enumerate().find(|(index, track)| differs(*index, track));
            found.map(|(_, track)| track.kind)
        };
        let other_format = first(&|index, track| format(&self.tracks[index].config) != format(&track.config));
        if let Some(kind) = other_format {
            return Fit::NewSession(Difference::Format(kind));
        }
        if !self.plan.fits(&stream.planned(self.is_muxed())) {
            return Fit::NewSession(Difference::PartTarget);
        }
        if let Some(kind) = first(&|index, track| self.tracks[index].config != track.config) {
            return Fit::Discontinuity(Difference::Configuration(kind));
        }
        match first(&|index, track| !is_same_rate(self.plan.tracks[index].cadence, track.cadence)) {
            Some(kind) => Fit::Discontinuity(Difference::Rate(kind)),
            None => Fit::Hitless,
        }
    }

    /// False for a key frame that is late by so much that what follows it, in time, would be dated to come: it is
    /// of a burst, and nothing is played into the past.
    pub fn is_in_time(&self, late_us: i64, now: Now) -> bool {
        self.wall_clock.ahead_us(self.splice_us(), now).saturating_add(late_us) <= DATE_TOLERANCE_US
    }

    /// Another publisher, of tracks that [fit](Live::fit), goes on from a frame, which is to come next and begins a
    /// group of pictures: `first`, with its timestamp, and how late it is in microseconds. True if nothing tells of it:
    /// the open segment goes on. Otherwise that is closed, and a discontinuity follows, with new init segments where
    /// they differ.
    ///
    /// # Errors
    /// [`LiveError`].
    pub fn take_over(
        &mut self,
        stream: &LearntStream,
        first: (&FrameBegin, i64, i64),
        now: Now,
        pool: &mut BufferPool,
    ) -> Result<bool, LiveError> {
        let (begin, timestamp_ms, late_us) = first;
        let is_hitless = self.fit(stream) == Fit::Hitless
            && self.segmenter.is_running()
            && self.is_shown_alike(begin)
            && self.wall_clock.ahead_us(self.splice_us(), now) >= -DATE_LAG_US_MAX;
        if !is_hitless {
            self.close(true, now, pool)?;
            self.resume(stream, timestamp_ms);
            // Dated as if it had come in time, as those that follow do.
            self.handle_late_arrival(begin, timestamp_ms, late_us, now);
            return Ok(false);
        }
        self.drop_open_frames();
        self.flush_held(now, pool)?;
        // Behind the frame that was held until now, where the rate varies.
        let at_us = self.splice_us();
        self.timeline.splice(&stream.cadences(), timestamp_ms, at_us);
        self.segmenter.splice();
        self.wall_clock.splice();
        self.tracks.iter_mut().for_each(|track| track.joins.splice());
        Ok(true)
    }

    /// Where another publisher's frames would go on: where the cutting track ends, so that media time neither gains
    /// nor loses what another one is sent ahead; unless that has fallen silent.
    fn splice_us(&self) -> i64 {
        let (cutting_us, longest_us) =
            (self.timeline.end_us(self.plan.cutting_track().track), self.timeline.longest_us());
        if longest_us - cutting_us <= i64::from(SILENCE_LAG_MS_MIN) * 1000 { cutting_us } else { longest_us }
    }

    /// Its pictures are shown as long after their decoding as those so far, so that their presentation is as
    /// contiguous as their decoding. Encoders that reorder differently mostly have other parameter sets.
    fn is_shown_alike(&self, key: &FrameBegin) -> bool {
        key.kind == TrackKind::Audio
            || self.key_composition_ms.is_none_or(|known| known.abs_diff(key.composition_ms) <= 1)
    }
}

/// A change of the frame rate has to be told (HLS Authoring Specification, 8.14). How far timestamps may stray,
/// and how long frames of a variable rate may be, differs from one learning to the next.
fn is_same_rate(known: Cadence, other: Cadence) -> bool {
    let is_variable = |cadence| matches!(cadence, Cadence::Variable { .. });
    match is_variable(known) {
        true => is_variable(other),
        false => !is_variable(other) && known.frame_ticks() == other.frame_ticks(),
    }
}
