//! What happened to a stream, as plain owned data: the home shard says it, every shard's window
//! applies it. Two windows fed the same events render the same bytes, so whatever depends on a
//! clock or a place is decided at the home and stands in the event.

use super::{Epoch, RenditionId, SessionId};
use crate::codec::VideoRange;
use crate::media::{MediaRef, Timescale, TrackKind};
use bytes::Bytes;

/// One change of a stream, in the order the home made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamEvent {
    /// The home's clock, Unix milliseconds, which never steps within an epoch. Retention runs on it.
    pub at_unix_ms: u64,
    /// What changed.
    pub body: EventBody,
}

/// The kinds of change. Each is one atomic update of the playlists it touches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventBody {
    /// A new session begins; nothing of it is listed yet. An earlier one has ended.
    Start(Box<SessionStart>),
    /// A publisher is there and a new session will follow: the multivariant playlist no longer names the
    /// one that has ended.
    Announce,
    /// The renditions as the multivariant playlist describes them from here on, for who comes later: another profile,
    /// size or frame rate. Ids, names, kinds and timescales are those of the session's start.
    Formats(Vec<Rendition>),
    /// An init segment that a later [`SegmentHead`] names.
    Init(InitSegment),
    /// A part is listed.
    Part(Part),
    /// The open segment of a rendition is closed: EXTINF and URI are listed.
    Close(Close),
    /// A segment's last part and its EXTINF and URI, in one update.
    PartAndClose(Part, Close),
    /// Every rendition has a complete segment: playlists are answered from here on, and the
    /// multivariant playlist declares these figures, bits a second. Once a session.
    Playable {
        /// BANDWIDTH: peak over segments, all renditions that play together.
        bandwidth_bits: u64,
        /// AVERAGE-BANDWIDTH.
        average_bandwidth_bits: u64,
    },
    /// The session ends: ENDLIST in every rendition. Open segments were closed before.
    End,
    /// The ended session's retention is over: everything of it answers 404.
    Retire(SessionId),
}

/// What is frozen from the first playlist of a session to its last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionStart {
    /// Names the session; carries TARGETDURATION and PART-TARGET.
    pub session: SessionId,
    /// The lifetime of the stream's state that names its parts.
    pub epoch: Epoch,
    /// By id; `renditions[i].id == RenditionId(i)`. What they are is not frozen: [`EventBody::Formats`]. The first one is the one whose reloads count viewers.
    pub renditions: Vec<Rendition>,
    /// PART-HOLD-BACK, milliseconds: at least three PART-TARGETs.
    pub part_hold_back_ms: u32,
    /// CAN-SKIP-UNTIL, seconds: at least six TARGETDURATIONs.
    pub can_skip_until_s: u32,
    /// Media sequence number of the session's first segment.
    pub media_sequence_first: u64,
    /// EXT-X-DISCONTINUITY-SEQUENCE of the session's first playlist.
    pub discontinuity_sequence_first: u64,
    /// The window holds at least this many complete segments,
    pub window_segments_min: u32,
    /// and at least this much time, milliseconds.
    pub window_ms_min: u32,
    /// Expected group of pictures, milliseconds; 0 without video. For the next session, not for playlists.
    pub gop_ms: u32,
    /// GAP segments listed before the first real one.
    pub prefill_gap_segments: u32,
    /// Bytes of media that the stream may keep, retention included; beyond it the window shrinks to
    /// three target durations.
    pub retained_bytes_max: u64,
}

/// One media playlist of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendition {
    /// Its place in [`SessionStart::renditions`].
    pub id: RenditionId,
    /// Its name in URLs: `v`, `a`, or `av` when muxed.
    pub name: Box<str>,
    /// The track that cuts are made on: Video for a muxed rendition.
    pub kind: TrackKind,
    /// Ticks of [`Part::duration_ticks`].
    pub timescale: Timescale,
    /// RFC 6381 strings of all its tracks, comma-separated.
    pub codecs: Box<str>,
    /// Width and height in pixels after cropping, when it has video.
    pub resolution: Option<(u32, u32)>,
    /// Frames per 1,000 seconds, when it has video with a known rate (29,970 for 30000/1001).
    pub frame_rate_milli: Option<u32>,
    /// VIDEO-RANGE, when it has video.
    pub video_range: Option<VideoRange>,
    /// CHANNELS, when it has audio.
    pub channels: Option<u8>,
}

/// An init segment, immutable under its number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InitSegment {
    /// Whose it is.
    pub rendition: RenditionId,
    /// Its number within the rendition and epoch, from 0.
    pub number: u32,
    /// ftyp and moov.
    pub bytes: Bytes,
}

/// A part, as it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Whose it is.
    pub rendition: RenditionId,
    /// Its number within the rendition and epoch: +1 for each part, across segments and sessions.
    pub number: u64,
    /// Set when it is the first of its segment.
    pub opens: Option<SegmentHead>,
    /// Sum of its samples' durations in the rendition's timescale; more than 0.
    pub duration_ticks: u64,
    /// True when an independent frame is in it: INDEPENDENT=YES.
    pub independent: bool,
    /// moof and mdat; `None` for GAP=YES.
    pub media: Option<MediaRef>,
}

/// What stands before a segment's first part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentHead {
    /// Media sequence number: that of the segment before, plus 1.
    pub media_sequence: u64,
    /// EXT-X-PROGRAM-DATE-TIME, Unix milliseconds.
    pub program_date_time_unix_ms: u64,
    /// EXT-X-DISCONTINUITY stands before it.
    pub discontinuity: bool,
    /// Number of its init segment.
    pub init: u32,
}

/// The open segment of a rendition is complete. Its duration is the sum of its parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Close {
    /// Whose segment.
    pub rendition: RenditionId,
    /// The successor is known to be discontinuous: EXT-X-DISCONTINUITY is listed in this same update
    /// (hls.js up to 1.6.16 stops for good otherwise); the successor's head says it again.
    pub discontinuity_follows: bool,
}
