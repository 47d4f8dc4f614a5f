//! Reads and judges HLS playlists of any server (draft-pantos-hls-rfc8216bis-22).
//!
//! Reading is tolerant: what can be understood is, and a breach of the grammar that leaves the meaning clear is
//! kept in `breaches`. Judging is strict: [`check_form`] and [`check_succession`] report each such breach as a
//! fault. Nothing here is shared with the server under test, lest the checker have the server's own bug.

mod attributes;
mod delta;
mod form;
mod media;
mod media_text;
mod multivariant;
mod succession;
mod text;
mod walk;

#[cfg(test)]
mod form_tests;
#[cfg(test)]
mod media_tests;
#[cfg(test)]
mod samples;
#[cfg(test)]
mod succession_tests;
#[cfg(test)]
mod tolerance_tests;

pub use delta::merge_delta;
pub use form::{PARTS_SUM_TOLERANCE, check_form};
pub use media::{
    ByteRange, HintKind, Map, MediaPlaylist, OpenSegment, Part, PlaylistKind, Position, PreloadHint,
    RenditionReport, Segment, ServerControl,
};
pub use multivariant::{Choice, Multivariant, Rendition, RenditionKind, Resolution, Selection, Variant};
pub use succession::check_succession;
pub use walk::{Piece, PieceKind};

use crate::fault::{Fault, FaultKind};

/// Bytes of one playlist. 32 768 segments with dates and long names come to some 6 MiB.
pub const PLAYLIST_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Lines of one playlist.
pub const PLAYLIST_LINES_MAX: u32 = 256 * 1024;
/// Complete segments one playlist lists or skips: 18 h of segments of 2 s.
pub const PLAYLIST_SEGMENTS_MAX: usize = 32_768;
/// Parts one playlist lists, over all segments. Three target durations of them are a few dozen.
pub const PLAYLIST_PARTS_MAX: usize = 8_192;
/// Preload hints, rendition reports, variants or renditions one playlist lists, of each.
pub const PLAYLIST_ENTRIES_MAX: usize = 256;
/// Breaches of the grammar kept of one playlist; the next ones say nothing new.
pub const PLAYLIST_BREACHES_MAX: usize = 16;
/// Faults that one check of one playlist reports.
pub const CHECK_FAULTS_MAX: usize = 32;

const _: () = assert!(PLAYLIST_LINES_MAX as usize >= PLAYLIST_SEGMENTS_MAX + PLAYLIST_PARTS_MAX);
const _: () = assert!(PLAYLIST_BYTES_MAX >= PLAYLIST_LINES_MAX as usize);

/// A playlist of either kind: a user's address may name one or the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Playlist {
    /// One that lists variants and renditions.
    Multivariant(Multivariant),
    /// One that lists segments.
    Media(MediaPlaylist),
}

impl Playlist {
    /// Reads a playlist of whichever kind its tags say it is.
    pub fn parse(text: &str) -> Result<Self, PlaylistError> {
        match Multivariant::parse(text) {
            Ok(multivariant) => Ok(Self::Multivariant(multivariant)),
            Err(PlaylistError::OtherKind { .. }) => MediaPlaylist::parse(text).map(Self::Media),
            Err(error) => Err(error),
        }
    }
}

/// Why a text could not be read as a playlist.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlaylistError {
    /// More than a bound allows.
    #[error("line {line}: more than {allowed} {what}")]
    TooMany {
        /// Where the first one too many stands.
        line: u32,
        /// What there are too many of.
        what: &'static str,
        /// How many may be.
        allowed: usize,
    },
    /// It does not start as every playlist does.
    #[error("line 1: found `{found}`; a playlist begins with #EXTM3U")]
    NotAPlaylist {
        /// The first line, shortened.
        found: String,
    },
    /// It is a media playlist where a multivariant one was expected, or the other way round.
    #[error("line {line}: found {found}; only {allowed} has a place here")]
    OtherKind {
        /// Where the tag stands that says so.
        line: u32,
        /// That tag.
        found: &'static str,
        /// The kind of playlist that was expected.
        allowed: &'static str,
    },
    /// A line that cannot be understood.
    #[error("line {line}: found `{found}`; allowed is {allowed}")]
    Syntax {
        /// Its number, from 1.
        line: u32,
        /// The text, shortened, without a query's secrets.
        found: String,
        /// What may stand there.
        allowed: &'static str,
    },
    /// A tag without an attribute that it must have.
    #[error("line {line}: {tag} has no {attribute}")]
    AttributeMissing {
        /// Its number, from 1.
        line: u32,
        /// The tag.
        tag: &'static str,
        /// The attribute it lacks.
        attribute: &'static str,
    },
    /// A playlist without a tag that it must have.
    #[error("the playlist has no {tag}")]
    TagMissing {
        /// The tag.
        tag: &'static str,
    },
}

impl From<PlaylistError> for Fault {
    fn from(error: PlaylistError) -> Self {
        Self::new(FaultKind::PlaylistSyntax, error.to_string())
    }
}

/// Faults of one check, no more than are worth reading.
#[derive(Debug, Default)]
struct Findings {
    /// Never more than [`CHECK_FAULTS_MAX`].
    faults: Vec<Fault>,
}

impl Findings {
    fn add(&mut self, kind: FaultKind, detail: impl FnOnce() -> String) {
        if self.faults.len() < CHECK_FAULTS_MAX {
            self.faults.push(Fault::new(kind, detail()));
        }
    }
}
