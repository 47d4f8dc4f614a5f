//! Media by the parts of its URL: `EPOCH/RENDITION-NUMBER`.

use bytes::Bytes;

use super::{Segment, Window};
use crate::hls::Epoch;
use crate::media::MediaRef;

/// What there is under a URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lookup<T> {
    /// It can be fetched.
    Found(T),
    /// The part that the live playlist hints at: hold the request until it is there (6.2.6).
    Hinted,
    /// Above everything this window has of a live session. A replica may be behind, so the numbers that the
    /// home has published decide between waiting and 404.
    NotYet,
    /// Retention is over, or it never was, or will never be.
    Gone,
}

impl<T> Lookup<T> {
    /// The same with what was found turned into something else.
    pub fn map<U>(self, turn: impl FnOnce(T) -> U) -> Lookup<U> {
        match self {
            Self::Found(found) => Lookup::Found(turn(found)),
            Self::Hinted => Lookup::Hinted,
            Self::NotYet => Lookup::NotYet,
            Self::Gone => Lookup::Gone,
        }
    }
}

/// A complete segment's media: that of its parts, one after the other.
#[derive(Debug, Clone, Copy)]
pub struct SegmentMedia<'a>(&'a Segment);

impl<'a> SegmentMedia<'a> {
    /// Media of its parts in order; a GAP part has none.
    pub fn parts(&self) -> impl Iterator<Item = &'a MediaRef> + use<'a> {
        self.0.parts.iter().filter_map(|part| part.media.as_ref())
    }

    /// Size of the whole segment.
    pub fn bytes_len(&self) -> u64 {
        self.parts().map(|media| media.len() as u64).sum()
    }
}

impl Window {
    /// An init segment.
    pub fn init(&self, epoch: Epoch, rendition: &str, number: u32) -> Lookup<&Bytes> {
        let mut lookup = Lookup::Gone;
        for (live, window) in self.state.renditions_named(epoch, rendition) {
            if let Some(bytes) = window.init(number) {
                return Lookup::Found(bytes);
            }
            if live && number >= window.init_floor() {
                lookup = Lookup::NotYet;
            }
        }
        lookup
    }

    /// A part.
    pub fn part(&self, epoch: Epoch, rendition: &str, number: u64) -> Lookup<&MediaRef> {
        let mut lookup = Lookup::Gone;
        for (live, window) in self.state.renditions_named(epoch, rendition) {
            if let Some(part) = window.part(number) {
                return part.media.as_ref().map_or(Lookup::Gone, Lookup::Found);
            }
            match window.part_next() {
                Some(next) if live && number == next => return Lookup::Hinted,
                _ if live && number >= window.part_floor() => lookup = Lookup::NotYet,
                _ => {}
            }
        }
        lookup
    }

    /// A whole segment; `NotYet` while it is open, since its URI is not listed.
    pub fn segment(&self, epoch: Epoch, rendition: &str, media_sequence: u64) -> Lookup<SegmentMedia<'_>> {
        let mut lookup = Lookup::Gone;
        for (live, window) in self.state.renditions_named(epoch, rendition) {
            match window.segment(media_sequence) {
                Some(segment) if segment.complete && segment.is_gap() => return Lookup::Gone,
                Some(segment) if segment.complete => return Lookup::Found(SegmentMedia(segment)),
                _ => {}
            }
            let newest = window.last_complete().map(|segment| segment.head.media_sequence);
            if live && newest.is_none_or(|newest| media_sequence > newest) {
                lookup = Lookup::NotYet;
            }
        }
        lookup
    }
}
