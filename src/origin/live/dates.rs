//! When frames came, and from what dates of segments are told.

use super::Live;
use crate::flv::FrameBegin;
use crate::media::{Now, TrackKind};

/// A leading picture is shown sooner than the key picture by a frame: more than rounding makes of it.
const LEADING_MS_MIN: i64 = 3;

impl Live {
    /// What follows begins with these frames. Leading pictures (HEVC) are shown before the key picture that they follow,
    /// and those of the first one are thrown away if they lean on what never came; later groups begin with them all the
    /// same. So segments are dated as if the first one did.
    pub fn expect<'a>(&mut self, frames: impl Iterator<Item = (&'a FrameBegin, i64)>) {
        let mut pictures = frames.filter(|(begin, _)| begin.kind == TrackKind::Video);
        let Some((first, first_ms)) = pictures.next() else { return };
        let group = pictures.take_while(|(begin, _)| !begin.key);
        let shown_ms = |(begin, timestamp_ms): (&FrameBegin, i64)| {
            timestamp_ms.saturating_sub(first_ms).saturating_add(begin.composition_ms.into())
        };
        let earliest_ms = group.map(shown_ms).min().unwrap_or(i64::MAX).max(0);
        if earliest_ms.saturating_add(LEADING_MS_MIN) <= i64::from(first.composition_ms) {
            // It is less than another number of this size.
            self.key_composition_ms = Some(earliest_ms as i32);
            self.segmenter.expect_key_offset_ms(earliest_ms as u32);
        }
    }

    /// A frame of this timestamp came then: what the dates of segments are decided by.
    ///
    /// Each picture counts as a key picture, for those are what segments are dated by: then segments
    /// begin, and playlists end, at a time at which that was here. Its own offset would date others back.
    pub fn handle_arrival(&mut self, begin: &FrameBegin, timestamp_ms: i64, now: Now) {
        self.handle_late_arrival(begin, timestamp_ms, 0, now);
    }

    /// As [`Live::handle_arrival`], of a frame that is known to have come so late.
    pub(super) fn handle_late_arrival(
        &mut self,
        begin: &FrameBegin,
        timestamp_ms: i64,
        late_us: i64,
        now: Now,
    ) {
        let is_video = begin.kind == TrackKind::Video;
        if is_video && begin.key {
            self.key_composition_ms.get_or_insert(begin.composition_ms);
        }
        let composition_ms = self.key_composition_ms.filter(|_| is_video).unwrap_or(0);
        let presentation_us = self.timeline.presentation_us(timestamp_ms, composition_ms);
        self.wall_clock.handle_arrival(presentation_us.saturating_add(late_us), now);
    }
}
