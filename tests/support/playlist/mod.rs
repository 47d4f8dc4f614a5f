//! A strict HLS playlist parser and checker of the tests' own (draft-pantos-hls-rfc8216bis-22): it
//! shares nothing with `src/`, so that it cannot share the server's bugs.
//!
//! Pure over text. Each violation carries the number of the conformance assertion that it breaks
//! (`tests/conformance/assertions.rs` has the list).

mod check;
mod edit;
mod lexical;
mod multivariant;
mod parse;

use std::fmt;
use std::time::Duration;

pub use check::{Stage, check_clock, check_media, check_renditions};
pub use edit::{Watcher, check_delta, check_edit, merge};
pub use multivariant::{Multivariant, Variant, parse_multivariant};
pub use parse::parse_media;

/// A broken assertion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Its number in the conformance list; 1 for syntax that has no number of its own.
    pub assertion: u8,
    /// What was found, and what was allowed.
    pub text: String,
}

impl Violation {
    fn new(assertion: u8, text: impl Into<String>) -> Self {
        Self { assertion, text: text.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}] {}", self.assertion, self.text)
    }
}

/// Violations as they are found.
#[derive(Default)]
struct Findings(Vec<Violation>);

impl Findings {
    fn unless(&mut self, holds: bool, assertion: u8, text: impl FnOnce() -> String) {
        if !holds {
            self.0.push(Violation::new(assertion, text()));
        }
    }
}

/// A media playlist, full or delta.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Media {
    pub version: Option<u64>,
    pub target_duration_s: u64,
    pub part_target: Option<Duration>,
    pub server_control: Option<ServerControl>,
    pub independent_segments: bool,
    pub media_sequence: u64,
    pub discontinuity_sequence: Option<u64>,
    /// Set in a delta update.
    pub skip: Option<Skip>,
    /// Complete segments, oldest first. In a delta the first one follows the skipped ones.
    pub segments: Vec<Segment>,
    /// What is listed of the segment that has no EXTINF yet. A lone EXT-X-DISCONTINUITY counts.
    pub open: Option<Segment>,
    pub hints: Vec<Hint>,
    pub reports: Vec<Report>,
    pub ended: bool,
    /// Lines before the first segment, as printed, without EXTM3U, VERSION, MEDIA-SEQUENCE,
    /// DISCONTINUITY-SEQUENCE, ENDLIST and SKIP: they must never change.
    pub header: Vec<String>,
    /// Violations of form whose meaning is clear all the same.
    pub form: Vec<Violation>,
}

/// EXT-X-SERVER-CONTROL (4.4.3.8).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerControl {
    /// The attribute list as printed.
    pub line: String,
    pub can_block_reload: bool,
    pub part_hold_back: Option<Duration>,
    pub hold_back: Option<Duration>,
    pub can_skip_until: Option<Duration>,
    pub can_skip_dateranges: bool,
}

/// EXT-X-SKIP (4.4.5.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skip {
    pub segments_count: u64,
    pub recently_removed_dateranges: Option<String>,
}

/// A segment with what stands before it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Segment {
    pub media_sequence: u64,
    pub discontinuity: bool,
    pub program_date_time_unix_ms: Option<u64>,
    /// EXT-X-MAP as printed, when it stands before this segment.
    pub map: Option<Map>,
    pub gap: bool,
    pub parts: Vec<Part>,
    /// EXTINF; `None` while the segment is open.
    pub duration: Option<Duration>,
    pub uri: Option<String>,
    /// Its lines as printed, parts included, EXT-X-MAP left out.
    pub lines: Vec<String>,
}

/// EXT-X-MAP (4.4.4.5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Map {
    pub uri: String,
    pub byte_range: Option<String>,
}

/// EXT-X-PART (4.4.4.9).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    pub duration: Duration,
    pub uri: String,
    pub byte_range: Option<String>,
    pub independent: bool,
    pub gap: bool,
}

/// EXT-X-PRELOAD-HINT (4.4.5.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hint {
    /// `PART` or `MAP`.
    pub kind: String,
    pub uri: String,
    pub byte_range_start: Option<u64>,
}

/// EXT-X-RENDITION-REPORT (4.4.5.4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    pub uri: String,
    pub last_msn: Option<u64>,
    pub last_part: Option<u64>,
}

impl Media {
    /// Number of the last complete segment; `None` when there is none.
    pub fn last_complete(&self) -> Option<u64> {
        self.segments.last().map(|segment| segment.media_sequence)
    }

    /// Segment and index of the last part that is listed.
    pub fn last_part(&self) -> Option<(u64, u64)> {
        self.all_segments().rev().find_map(|segment| {
            let index = u64::try_from(segment.parts.len()).ok()?.checked_sub(1)?;
            Some((segment.media_sequence, index))
        })
    }

    /// The complete segments and the open one.
    pub fn all_segments(&self) -> impl DoubleEndedIterator<Item = &Segment> {
        self.segments.iter().chain(&self.open)
    }

    /// All listed parts, oldest first, with the number of their segment and their index in what is listed of it.
    pub fn parts(&self) -> impl Iterator<Item = (u64, usize, &Part)> {
        self.all_segments().flat_map(|segment| {
            segment.parts.iter().enumerate().map(|(index, part)| (segment.media_sequence, index, part))
        })
    }

    /// The URI of the hinted part.
    pub fn hinted_part(&self) -> Option<&str> {
        self.hints.iter().find(|hint| hint.kind == "PART").map(|hint| hint.uri.as_str())
    }

    /// Sum of the EXTINFs.
    pub fn complete_duration(&self) -> Duration {
        self.segments.iter().filter_map(|segment| segment.duration).sum()
    }

    /// Number of the first segment that is listed itself, not skipped.
    fn first_listed(&self) -> u64 {
        self.media_sequence + self.skip.as_ref().map_or(0, |skip| skip.segments_count)
    }

    /// For each segment its number, its discontinuity number and the MAP in force. Of a full playlist.
    fn resolved(&self) -> Vec<(&Segment, u64, Option<&Map>)> {
        let mut discontinuity = self.discontinuity_sequence.unwrap_or(0);
        let mut map = None;
        self.all_segments()
            .map(|segment| {
                discontinuity += u64::from(segment.discontinuity);
                map = segment.map.as_ref().or(map);
                (segment, discontinuity, map)
            })
            .collect()
    }
}

/// The bound of the advance of `_HLS_part` beyond the last part: three parts, or three seconds of
/// them when they are shorter than a second (6.2.5.2).
pub fn advance_part_limit(part_target: Duration) -> u64 {
    if part_target >= Duration::from_secs(1) {
        return 3;
    }
    // Compared with whole numbers, so the fraction makes no difference.
    u64::try_from(3_000_000 / part_target.as_micros().max(1)).unwrap_or(u64::MAX)
}
