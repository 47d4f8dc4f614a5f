//! What the segmenter says: verdicts on frames, actions in order, findings in numbers.

use super::super::RenditionId;
#[cfg(doc)]
use super::Segmenter;
use crate::media::{FrameTime, TrackId};

/// What to do with a frame whose first byte is here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Perform the polled actions, then append it with exactly this time: it may differ from the
    /// one asked about, where a hole or an overlap was closed.
    Append(FrameTime),
    /// Its track has a hole longer than parts can take up: fill it first (audio with silent frames
    /// through [`Segmenter::frame_begins`], anything with [`Segmenter::fill_gap`]), then ask again.
    Fill {
        /// Decode time at which the track ended.
        from: u64,
        /// Decode time of the frame.
        until: u64,
    },
    /// Throw it away: before the first key frame, or of a time that was filled already.
    Discard,
}

/// Whether a sealed part is listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listing {
    /// At once.
    Now,
    /// When [`Action::ListPart`] or [`Action::CloseSegment`] says so.
    Held,
}

/// What to do, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// The rendition's next segment begins with its coming part.
    OpenSegment {
        /// Whose.
        rendition: RenditionId,
        /// Number of the cut, from 0 and without holes in each rendition; the same number is the
        /// same time in all of them, so it is the media sequence number less the session's first.
        cut: u64,
        /// Its earliest presentation time on the output timeline, microseconds.
        presentation_us: i64,
        /// It begins with an independent frame.
        independent: bool,
        /// No key frame came in time: a violation that the encoder's settings can cure.
        forced: bool,
        /// EXT-X-DISCONTINUITY stands before it.
        discontinuity: bool,
    },
    /// Make the newest sample of this track in the open part longer.
    Stretch {
        /// Whose sample.
        track: TrackId,
        /// By how much, in its ticks.
        by_ticks: u32,
    },
    /// The open part is complete. One without samples is a GAP part. In a muxed rendition, a frame
    /// of another track that is half here belongs to the part after.
    SealPart {
        /// Whose.
        rendition: RenditionId,
        /// Its duration in ticks of the rendition's measuring track (video when it has any); more than 0.
        duration_ticks: u64,
        /// An independent frame is in it.
        independent: bool,
        /// Whether it is listed at once.
        listing: Listing,
    },
    /// The held part is listed now, alone.
    ListPart {
        /// Whose.
        rendition: RenditionId,
    },
    /// The open segment is complete.
    CloseSegment {
        /// Whose.
        rendition: RenditionId,
        /// Its last part was held until now: one update lists both.
        with_held_part: bool,
        /// What comes next, if anything, is known to be discontinuous.
        discontinuity_follows: bool,
    },
    /// A track is silent while others go on: continue it over this time, as for [`Verdict::Fill`].
    Fill {
        /// The silent track.
        track: TrackId,
        /// Decode time at which it ended.
        from: u64,
        /// Decode time up to which to fill.
        until: u64,
    },
}

/// What happened to a session's cuts, in numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Findings {
    /// Segments that begin without a key frame.
    pub forced_cuts: u64,
    /// Parts under 85% of PART-TARGET without a waiver.
    pub parts_short: u64,
    /// Frames thrown away.
    pub frames_discarded: u64,
    /// Frames moved because their time had been filled.
    pub frames_late: u64,
    /// Samples made longer over missing frames.
    pub stretched: u64,
    /// GAP parts and their like.
    pub gaps: u64,
    /// Parts held for a predicted cut,
    pub held: u64,
    /// and listed alone after all, since the cut did not come.
    pub held_in_vain: u64,
}

impl std::ops::AddAssign for Findings {
    fn add_assign(&mut self, other: Self) {
        self.forced_cuts += other.forced_cuts;
        self.parts_short += other.parts_short;
        self.frames_discarded += other.frames_discarded;
        self.frames_late += other.frames_late;
        self.stretched += other.stretched;
        self.gaps += other.gaps;
        self.held += other.held;
        self.held_in_vain += other.held_in_vain;
    }
}
