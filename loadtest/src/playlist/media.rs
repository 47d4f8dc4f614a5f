//! A media playlist as it was listed (8216bis, 4.4.2 to 4.4.5).
//!
//! Addresses are kept as they stand, relative or not; whoever fetches them resolves them.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::fault::Fault;

/// One media playlist; after [`merge_delta`](super::merge_delta) also one that came as a delta update.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediaPlaylist {
    /// EXT-X-VERSION; 1 when there is none.
    pub version: u32,
    /// EXT-X-TARGETDURATION.
    pub target_duration_s: u32,
    /// PART-TARGET of EXT-X-PART-INF.
    pub part_target: Option<Duration>,
    /// EXT-X-SERVER-CONTROL.
    pub server_control: Option<ServerControl>,
    /// Media sequence number of the first segment, listed or skipped.
    pub media_sequence: u64,
    /// EXT-X-DISCONTINUITY-SEQUENCE; 0 when there is none.
    pub discontinuity_sequence: u64,
    /// SKIPPED-SEGMENTS of EXT-X-SKIP; 0 for a playlist that is whole.
    pub skipped_segments_count: u32,
    /// The complete segments, their media sequence numbers running on by one.
    pub segments: Vec<Segment>,
    /// What is listed of the segment after them.
    pub open: OpenSegment,
    /// EXT-X-PRELOAD-HINT.
    pub preload_hints: Vec<PreloadHint>,
    /// EXT-X-RENDITION-REPORT.
    pub rendition_reports: Vec<RenditionReport>,
    /// EXT-X-ENDLIST: nothing will be added.
    pub ended: bool,
    /// EXT-X-PLAYLIST-TYPE.
    pub kind: Option<PlaylistKind>,
    /// EXT-X-INDEPENDENT-SEGMENTS.
    pub independent_segments: bool,
    /// An EXT-X-KEY with a method is in force somewhere: the media cannot be judged.
    pub encrypted: bool,
    /// Breaches of the grammar that left the meaning clear; [`check_form`](super::check_form) reports them.
    pub breaches: Vec<Fault>,
}

/// EXT-X-SERVER-CONTROL (4.4.3.8).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ServerControl {
    /// CAN-BLOCK-RELOAD=YES.
    pub can_block_reload: bool,
    /// PART-HOLD-BACK.
    pub part_hold_back: Option<Duration>,
    /// HOLD-BACK.
    pub hold_back: Option<Duration>,
    /// CAN-SKIP-UNTIL: delta updates are to be had.
    pub can_skip_until: Option<Duration>,
    /// CAN-SKIP-DATERANGES=YES.
    pub can_skip_dateranges: bool,
}

/// EXT-X-PLAYLIST-TYPE (4.4.3.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlaylistKind {
    /// Segments are only ever added.
    Event,
    /// Nothing ever changes.
    Vod,
}

/// A complete segment: one with EXTINF and an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// Its media sequence number.
    pub media_sequence: u64,
    /// EXTINF.
    pub duration: Duration,
    /// Its address, as it stands.
    pub uri: Arc<str>,
    /// The bytes of that address, when it is not all of them.
    pub byte_range: Option<ByteRange>,
    /// Its parts that are still listed. Index 0 is the first of these: of the oldest segment that has any, the
    /// first ones may have been removed.
    pub parts: Vec<Part>,
    /// EXT-X-DISCONTINUITY stands before it.
    pub discontinuity: bool,
    /// Its discontinuity sequence number: that of the playlist, and one for each tag up to and with its own.
    pub discontinuity_number: u64,
    /// EXT-X-GAP: it cannot be loaded, and that is no fault.
    pub gap: bool,
    /// The EXT-X-MAP in force.
    pub map: Option<Arc<Map>>,
    /// Its own EXT-X-PROGRAM-DATE-TIME, as Unix microseconds.
    pub program_date_time_unix_us: Option<i64>,
}

/// What is listed of the segment that still receives parts; all empty when nothing is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OpenSegment {
    /// The media sequence number it has or will have.
    pub media_sequence: u64,
    /// Its parts so far.
    pub parts: Vec<Part>,
    /// EXT-X-DISCONTINUITY stands before it.
    pub discontinuity: bool,
    /// Its discontinuity sequence number.
    pub discontinuity_number: u64,
    /// EXT-X-GAP stands before it.
    pub gap: bool,
    /// The EXT-X-MAP in force.
    pub map: Option<Arc<Map>>,
    /// Its own EXT-X-PROGRAM-DATE-TIME, as Unix microseconds.
    pub program_date_time_unix_us: Option<i64>,
}

/// EXT-X-PART (4.4.4.9).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Its index in its segment, counted from the first that is listed.
    pub index: u32,
    /// DURATION.
    pub duration: Duration,
    /// Its address, as it stands.
    pub uri: Arc<str>,
    /// The bytes of that address, when it is not all of them.
    pub byte_range: Option<ByteRange>,
    /// INDEPENDENT=YES.
    pub independent: bool,
    /// GAP=YES: it cannot be loaded, and that is no fault.
    pub gap: bool,
}

/// Some bytes of a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByteRange {
    /// Offset of the first.
    pub start: u64,
    /// How many.
    pub length: u64,
}

/// EXT-X-MAP (4.4.4.5): where the init segment is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Map {
    /// Its address, as it stands.
    pub uri: Arc<str>,
    /// The bytes of that address, when it is not all of them.
    pub byte_range: Option<ByteRange>,
}

/// EXT-X-PRELOAD-HINT (4.4.5.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreloadHint {
    /// TYPE.
    pub kind: HintKind,
    /// Its address, as it stands.
    pub uri: Arc<str>,
    /// BYTERANGE-START; 0 when there is none.
    pub byte_range_start: u64,
    /// BYTERANGE-LENGTH; `None` runs to the end of the resource.
    pub byte_range_length: Option<u64>,
}

/// What a preload hint points at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HintKind {
    /// The next part.
    Part,
    /// The init segment it will need.
    Map,
}

/// EXT-X-RENDITION-REPORT (4.4.5.4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenditionReport {
    /// Address of the other media playlist, as it stands.
    pub uri: Arc<str>,
    /// LAST-MSN.
    pub last_media_sequence: Option<u64>,
    /// LAST-PART.
    pub last_part_index: Option<u64>,
}

/// A place in a rendition: a part of a segment. Later places are greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The segment.
    pub media_sequence: u64,
    /// The part of it, or [`Position::WHOLE`].
    pub part_index: u32,
}

impl Position {
    /// Stands for the end of a segment that was loaded whole; greater than any part's index.
    pub const WHOLE: u32 = u32::MAX;

    /// The place where this whole segment ends.
    pub fn whole(media_sequence: u64) -> Self {
        Self { media_sequence, part_index: Self::WHOLE }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.part_index {
            Self::WHOLE => write!(formatter, "segment {}", self.media_sequence),
            index => write!(formatter, "part {}.{index}", self.media_sequence),
        }
    }
}

impl MediaPlaylist {
    /// The last complete segment.
    pub fn last_segment(&self) -> Option<&Segment> {
        self.segments.last()
    }

    /// The segment of this number, when it is listed and complete.
    pub fn segment(&self, media_sequence: u64) -> Option<&Segment> {
        let first = self.segments.first()?.media_sequence;
        let index = usize::try_from(media_sequence.checked_sub(first)?).ok()?;
        self.segments.get(index)
    }

    /// The parts listed of this segment, complete or open; empty when there are none.
    pub fn parts(&self, media_sequence: u64) -> &[Part] {
        if media_sequence == self.open.media_sequence {
            return &self.open.parts;
        }
        self.segment(media_sequence).map_or(&[], |segment| &segment.parts)
    }

    /// Whether any part is listed.
    pub fn has_parts(&self) -> bool {
        !self.open.parts.is_empty() || self.segments.iter().rev().any(|segment| !segment.parts.is_empty())
    }

    /// The newest part, or the last segment where that has no parts; `None` when nothing is listed.
    pub fn newest(&self) -> Option<Position> {
        if let Some(part) = self.open.parts.last() {
            return Some(Position { media_sequence: self.open.media_sequence, part_index: part.index });
        }
        let segment = self.last_segment()?;
        let part_index = segment.parts.last().map_or(Position::WHOLE, |part| part.index);
        Some(Position { media_sequence: segment.media_sequence, part_index })
    }

    /// What the next blocking reload has to ask for, `_HLS_msn` and `_HLS_part`: the part, or the segment where no
    /// parts are listed, that follows the newest.
    pub fn next_reload(&self) -> (u64, Option<u32>) {
        let open = &self.open;
        if !self.has_parts() {
            return (open.media_sequence, None);
        }
        (open.media_sequence, Some(open.parts.last().map_or(0, |part| part.index + 1)))
    }

    /// Whether this playlist may answer a blocking reload for that segment, or that part of it (6.2.5.2).
    pub fn answers(&self, media_sequence: u64, part_index: Option<u32>) -> bool {
        // 6.2.5.1: directives are ignored once there is ENDLIST.
        if self.ended || media_sequence < self.open.media_sequence && part_index.is_none() {
            return true;
        }
        let Some(part_index) = part_index else { return false };
        let listed_count = |media_sequence| self.parts(media_sequence).len();
        if media_sequence < self.open.media_sequence {
            let parts_count = listed_count(media_sequence);
            // 6.2.5.2: a part index past the segment's last part means part 0 of the next segment. How many parts
            // a segment had can no longer be told when none is listed; it is old enough for any answer to do.
            let is_past_the_end = parts_count > 0 && part_index as usize >= parts_count;
            return !is_past_the_end || self.answers(media_sequence + 1, Some(0));
        }
        media_sequence == self.open.media_sequence && (part_index as usize) < listed_count(media_sequence)
    }

    /// The hint for the next part.
    pub fn part_hint(&self) -> Option<&PreloadHint> {
        self.preload_hints.iter().find(|hint| hint.kind == HintKind::Part)
    }

    /// How long all complete segments last together.
    pub fn segments_duration(&self) -> Duration {
        self.segments.iter().map(|segment| segment.duration).sum()
    }

    /// How long all that is listed lasts: the live edge, counted from the start of the first segment.
    pub fn duration(&self) -> Duration {
        self.segments_duration() + self.open.duration()
    }

    /// The live edge as a date, from the last EXT-X-PROGRAM-DATE-TIME and what is listed since.
    pub fn edge_unix_us(&self) -> Option<i64> {
        let mut since = self.open.duration();
        let mut date = self.open.program_date_time_unix_us;
        for segment in self.segments.iter().rev() {
            if date.is_some() {
                break;
            }
            since += segment.duration;
            date = segment.program_date_time_unix_us;
        }
        date?.checked_add(i64::try_from(since.as_micros()).ok()?)
    }

    /// How far from the live edge a player has to stay (4.4.3.8).
    pub fn hold_back(&self) -> Duration {
        let control = self.server_control.unwrap_or_default();
        let part_hold_back = if self.part_target.is_some() { control.part_hold_back } else { None };
        part_hold_back
            .or(control.hold_back)
            .unwrap_or_else(|| Duration::from_secs(3 * u64::from(self.target_duration_s)))
    }
}

impl OpenSegment {
    /// How long its parts last together.
    pub fn duration(&self) -> Duration {
        self.parts.iter().map(|part| part.duration).sum()
    }
}

impl Part {
    /// Whether both are the same part but for their place in the list.
    pub(super) fn is_same_as(&self, other: &Self) -> bool {
        let Self { index: _, duration, uri, byte_range, independent, gap } = self;
        *duration == other.duration
            && *uri == other.uri
            && *byte_range == other.byte_range
            && *independent == other.independent
            && *gap == other.gap
    }
}
