//! One rendition of a session: its segments from the oldest in retention to the open one.

use std::collections::VecDeque;

use bytes::Bytes;

use super::{Closed, CountOf, EventError, PartKey};
use crate::hls::text::{moment_units, seconds_units};
use crate::hls::{Close, InitSegment, Part, RenditionId, SegmentHead, SessionStart};
use crate::limits::{INITS_KEPT_MAX, PARTS_KEPT_MAX, SEGMENTS_KEPT_MAX};
use crate::media::{MediaRef, Timescale, buffer_bytes};

/// What one media playlist lists, and what of it can still be fetched.
#[derive(Debug, Clone)]
pub(in crate::hls) struct RenditionWindow {
    timescale: Timescale,
    /// Those that left the playlist, then the listed ones; numbers have no gaps. Only the last may be open.
    segments: VecDeque<Segment>,
    /// Index of the first listed segment.
    listed_from: usize,
    /// Ascending by number.
    inits: VecDeque<(u32, Bytes)>,
    /// Duration of the listed complete segments.
    listed_ticks: u64,
    /// Tags that left the playlist, from the session's first value on.
    discontinuity_sequence: u64,
    /// The next part's number; `None` before the first.
    part_next: Option<u64>,
    /// Numbers below belong to an earlier session of the epoch.
    part_min: u64,
    /// As `part_min`.
    init_min: u32,
    parts_count: usize,
    /// Of memory that media and init segments take.
    bytes: u64,
}

/// One segment, listed or in retention.
#[derive(Debug, Clone)]
pub(in crate::hls) struct Segment {
    pub head: SegmentHead,
    /// Where it begins on the session's timeline, discontinuities ignored.
    pub start_ticks: u64,
    /// Sum of its parts so far.
    pub duration_ticks: u64,
    /// Number of its first part; the others follow without a gap.
    pub part_first: u64,
    pub parts: Vec<SegmentPart>,
    /// EXTINF and URI are listed.
    pub complete: bool,
    /// [`Close::discontinuity_follows`].
    pub discontinuity_follows: bool,
    /// Duration of the longest playlist that held it.
    playlist_ticks_longest: u64,
    /// When its retention ends; meaningful once it left the playlist.
    expires_unix_ms: u64,
}

/// One part of a segment.
#[derive(Debug, Clone)]
pub(in crate::hls) struct SegmentPart {
    pub duration_ticks: u64,
    pub independent: bool,
    pub media: Option<MediaRef>,
}

impl Segment {
    /// End on the session's timeline.
    pub fn end_ticks(&self) -> u64 {
        self.start_ticks + self.duration_ticks
    }

    /// True when there is nothing to load: EXT-X-GAP.
    pub fn is_gap(&self) -> bool {
        self.parts.iter().all(|part| part.media.is_none())
    }

    fn last_part(&self) -> Option<PartKey> {
        let index = self.parts.len().checked_sub(1)? as u64;
        Some(PartKey { media_sequence: self.head.media_sequence, index })
    }
}

impl RenditionWindow {
    pub fn new(timescale: Timescale, start: &SessionStart, part_min: u64, init_min: u32) -> Self {
        Self {
            timescale,
            segments: VecDeque::new(),
            listed_from: 0,
            inits: VecDeque::new(),
            listed_ticks: 0,
            discontinuity_sequence: start.discontinuity_sequence_first,
            part_next: None,
            part_min,
            init_min,
            parts_count: 0,
            bytes: 0,
        }
    }

    pub fn timescale(&self) -> Timescale {
        self.timescale
    }

    /// What the playlist lists, oldest first.
    pub fn listed(&self) -> impl DoubleEndedIterator<Item = &Segment> + ExactSizeIterator + Clone {
        self.segments.range(self.listed_from..)
    }

    /// How many of the listed segments end at or before this place on the session's timeline.
    pub fn listed_count_until(&self, ticks: u64) -> usize {
        self.segments.partition_point(|segment| segment.end_ticks() <= ticks).saturating_sub(self.listed_from)
    }

    /// EXT-X-DISCONTINUITY-SEQUENCE of the playlist.
    pub fn discontinuity_sequence(&self) -> u64 {
        self.discontinuity_sequence
    }

    /// The newest complete segment.
    pub fn last_complete(&self) -> Option<&Segment> {
        self.listed().rev().find(|segment| segment.complete)
    }

    /// The newest part.
    pub fn last_part(&self) -> Option<PartKey> {
        self.segments.back()?.last_part()
    }

    /// The number of the next part; `None` before the first.
    pub fn part_next(&self) -> Option<u64> {
        self.part_next
    }

    /// The lowest number that a part of a later session may have.
    pub fn part_floor(&self) -> u64 {
        self.part_next.unwrap_or(self.part_min)
    }

    /// As [`Self::part_floor`], for init segments.
    pub fn init_floor(&self) -> u32 {
        self.init_newest().map_or(self.init_min, |number| number.saturating_add(1))
    }

    /// The newest init segment's number.
    pub fn init_newest(&self) -> Option<u32> {
        self.inits.back().map(|&(number, _)| number)
    }

    pub fn init(&self, number: u32) -> Option<&Bytes> {
        let index = self.inits.binary_search_by_key(&number, |&(number, _)| number).ok()?;
        Some(&self.inits[index].1)
    }

    pub fn part(&self, number: u64) -> Option<&SegmentPart> {
        // Prefilled segments have no parts and begin with their successor's number: the last one counts.
        let after = self.segments.partition_point(|segment| segment.part_first <= number);
        let segment = self.segments.get(after.checked_sub(1)?)?;
        segment.parts.get(usize::try_from(number - segment.part_first).ok()?)
    }

    pub fn segment(&self, media_sequence: u64) -> Option<&Segment> {
        let oldest = self.segments.front()?.head.media_sequence;
        self.segments.get(usize::try_from(media_sequence.checked_sub(oldest)?).ok()?)
    }

    /// Where the playlist ends on the session's timeline, the open segment included.
    pub fn end_ticks(&self) -> u64 {
        self.segments.back().map_or(0, Segment::end_ticks)
    }

    /// True once a segment of the publisher is complete, prefilled ones aside.
    pub fn has_segment(&self) -> bool {
        self.last_complete().is_some_and(|segment| !segment.parts.is_empty())
    }

    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// True when a count of `limits` leaves no room for another part, segment or init segment.
    pub fn is_full(&self) -> bool {
        self.parts_count >= PARTS_KEPT_MAX
            || self.segments.len() >= SEGMENTS_KEPT_MAX
            || self.inits.len() >= INITS_KEPT_MAX
    }

    pub fn for_each_bytes_mut(&mut self, apply: &mut impl FnMut(&mut Bytes)) {
        self.inits.iter_mut().for_each(|(_, bytes)| apply(bytes));
        let parts = self.segments.iter_mut().flat_map(|segment| &mut segment.parts);
        for MediaRef::Memory(bytes) in parts.filter_map(|part| part.media.as_mut()) {
            apply(bytes);
        }
    }

    /// The segment that still receives parts.
    fn open(&self) -> Option<&Segment> {
        self.segments.back().filter(|segment| !segment.complete)
    }

    pub fn add_init(&mut self, init: &InitSegment) -> Result<(), EventError> {
        let rendition = init.rendition;
        if init.number < self.init_floor() {
            let (found, allowed) = (u64::from(init.number), u64::from(self.init_floor()));
            return Err(EventError::Number { rendition, what: CountOf::Inits, found, allowed });
        }
        check_room(init.rendition, CountOf::Inits, self.inits.len(), INITS_KEPT_MAX)?;
        self.bytes += buffer_bytes(init.bytes.len()) as u64;
        self.inits.push_back((init.number, init.bytes.clone()));
        Ok(())
    }

    /// Checks everything about a part; after it, [`Self::add_part`] may be called.
    pub fn check_part(&self, part: &Part, start: &SessionStart) -> Result<(), EventError> {
        let rendition = part.rendition;
        match self.part_next {
            Some(next) if part.number == next => {}
            None if (self.part_min..u64::MAX / 2).contains(&part.number) => {}
            next => {
                let (found, allowed) = (part.number, next.unwrap_or(self.part_min));
                return Err(EventError::Number { rendition, what: CountOf::Parts, found, allowed });
            }
        }
        // 4.4.4.9: a part longer than PART-TARGET by a millisecond ends playback in AVPlayer.
        let target_ms = start.session.part_target_ms;
        let scaled = u128::from(part.duration_ticks) * 1000;
        if scaled == 0 || scaled > u128::from(target_ms) * u128::from(self.timescale.get()) {
            return Err(EventError::PartDuration { rendition, found_ticks: part.duration_ticks, target_ms });
        }
        check_room(rendition, CountOf::Parts, self.parts_count, PARTS_KEPT_MAX)?;
        let open_ticks = match (&part.opens, self.open()) {
            (Some(head), None) => {
                self.check_head(part, head, start)?;
                0
            }
            (None, Some(open)) => open.duration_ticks,
            _ => return Err(EventError::Order { rendition }),
        };
        // 4.4.3.1: EXTINF rounded to the nearest second is at most TARGETDURATION. One unit is left for
        // the place on the timeline, which may print a duration by so much longer.
        let allowed_s = start.session.target_duration_s;
        let units = moment_units(open_ticks + part.duration_ticks, self.timescale) + 1;
        if units >= seconds_units(allowed_s) + seconds_units(1) / 2 {
            return Err(EventError::SegmentDuration { rendition, allowed_s });
        }
        if self.end_ticks().checked_add(part.duration_ticks).is_none() {
            return Err(EventError::Order { rendition });
        }
        Ok(())
    }

    fn check_head(&self, part: &Part, head: &SegmentHead, start: &SessionStart) -> Result<(), EventError> {
        let rendition = part.rendition;
        let room = SEGMENTS_KEPT_MAX - start.prefill_gap_segments as usize;
        check_room(rendition, CountOf::Segments, self.segments.len(), room)?;
        let previous = self.segments.back();
        let allowed = previous.map_or(start.media_sequence_first, |last| last.head.media_sequence + 1);
        if head.media_sequence != allowed {
            let found = head.media_sequence;
            return Err(EventError::Number { rendition, what: CountOf::Segments, found, allowed });
        }
        if self.init(head.init).is_none() || previous.is_some_and(|last| last.head.init > head.init) {
            return Err(EventError::InitUnknown { rendition, number: head.init });
        }
        // The tag that was listed with the predecessor cannot be taken back.
        if previous.is_some_and(|last| last.discontinuity_follows) && !head.discontinuity {
            return Err(EventError::Order { rendition });
        }
        Ok(())
    }

    pub fn add_part(&mut self, part: &Part, start: &SessionStart) {
        if let Some(head) = part.opens {
            if self.segments.is_empty() {
                self.prefill(head, part.number, start);
            }
            let parts_expected = self.segments.back().map_or(0, |last| last.parts.len() + 1);
            let start_ticks = self.end_ticks();
            self.segments.push_back(Segment {
                head,
                start_ticks,
                duration_ticks: 0,
                part_first: part.number,
                parts: Vec::with_capacity(parts_expected),
                complete: false,
                discontinuity_follows: false,
                playlist_ticks_longest: 0,
                expires_unix_ms: 0,
            });
        }
        let Some(open) = self.segments.back_mut() else { return };
        debug_assert!(!open.complete);
        open.duration_ticks += part.duration_ticks;
        open.parts.push(SegmentPart {
            duration_ticks: part.duration_ticks,
            independent: part.independent,
            media: part.media.clone(),
        });
        self.parts_count += 1;
        self.bytes += part.media.as_ref().map_or(0, MediaRef::memory_bytes) as u64;
        self.part_next = Some(part.number + 1);
    }

    /// GAP segments of a target duration each, so that the first playlist is as long as players want it.
    fn prefill(&mut self, first: SegmentHead, part_first: u64, start: &SessionStart) {
        let target_duration_s = u64::from(start.session.target_duration_s);
        let duration_ticks = target_duration_s * u64::from(self.timescale.get());
        let count = u64::from(start.prefill_gap_segments);
        for index in 0..count {
            let before = count - index;
            let head = SegmentHead {
                media_sequence: first.media_sequence - before,
                program_date_time_unix_ms: first
                    .program_date_time_unix_ms
                    .saturating_sub(before * target_duration_s * 1000),
                discontinuity: false,
                init: first.init,
            };
            self.segments.push_back(Segment {
                head,
                start_ticks: index * duration_ticks,
                duration_ticks,
                part_first,
                parts: Vec::new(),
                complete: true,
                discontinuity_follows: false,
                playlist_ticks_longest: 0,
                expires_unix_ms: 0,
            });
            self.listed_ticks += duration_ticks;
        }
    }

    /// Checks a close that stands alone; with a part before it there is nothing to check.
    pub fn check_close(&self, close: &Close) -> Result<(), EventError> {
        self.open().map(|_| ()).ok_or(EventError::Order { rendition: close.rendition })
    }

    /// Completes the open segment, and lets those leave the playlist that it no longer needs. With
    /// `shrink`, it needs three target durations only.
    pub fn close(&mut self, close: &Close, start: &SessionStart, shrink: bool, at_unix_ms: u64) -> Closed {
        let mut closed = Closed { media_sequence: 0, parts_count: 0 };
        if let Some(open) = self.segments.back_mut() {
            debug_assert!(!open.complete);
            open.complete = true;
            open.discontinuity_follows = close.discontinuity_follows;
            self.listed_ticks += open.duration_ticks;
            closed =
                Closed { media_sequence: open.head.media_sequence, parts_count: open.parts.len() as u64 };
        }
        let playlist_ticks = self.listed_ticks;
        for segment in self.segments.range_mut(self.listed_from..) {
            segment.playlist_ticks_longest = segment.playlist_ticks_longest.max(playlist_ticks);
        }
        while self.oldest_may_leave(start, shrink) {
            self.remove_oldest(start, at_unix_ms);
        }
        closed
    }

    fn oldest_may_leave(&self, start: &SessionStart, shrink: bool) -> bool {
        let mut listed = self.listed();
        let Some(oldest) = listed.next() else { return false };
        let rest_count = listed.len() as u64;
        let rest_ms = self.ms_floor(self.listed_ticks - oldest.duration_ticks);
        // 6.2.2: what remains is never shorter than three target durations.
        if rest_ms < three_target_durations_ms(start) {
            return false;
        }
        let wished =
            rest_count >= u64::from(start.window_segments_min) && rest_ms >= u64::from(start.window_ms_min);
        rest_count > 0 && (shrink || wished)
    }

    fn remove_oldest(&mut self, start: &SessionStart, at_unix_ms: u64) {
        let promised_ms = self.promised_ms(&self.segments[self.listed_from], start);
        let oldest = &mut self.segments[self.listed_from];
        oldest.expires_unix_ms = at_unix_ms.saturating_add(promised_ms);
        self.listed_ticks -= oldest.duration_ticks;
        self.discontinuity_sequence += u64::from(oldest.head.discontinuity);
        self.listed_from += 1;
    }

    /// How long a segment stays once it is not listed any more. 6.2.2: it is retrievable for its duration and
    /// that of the longest playlist that held it, and its parts for three target durations after their
    /// tags, which may leave with it.
    fn promised_ms(&self, segment: &Segment, start: &SessionStart) -> u64 {
        let ticks = segment.playlist_ticks_longest.saturating_add(segment.duration_ticks);
        self.ms_floor(ticks) + 1 + three_target_durations_ms(start)
    }

    /// When every promise of a playlist is over that ended at `ended_unix_ms`.
    pub fn promised_until_unix_ms(&self, start: &SessionStart, ended_unix_ms: u64) -> u64 {
        let left = self.segments.range(..self.listed_from).map(|segment| segment.expires_unix_ms);
        let listed = self.listed().map(|segment| ended_unix_ms + self.promised_ms(segment, start));
        left.chain(listed).max().unwrap_or(ended_unix_ms)
    }

    /// Lets go of what was promised long enough.
    pub fn expire(&mut self, at_unix_ms: u64, retired: &mut Vec<MediaRef>) {
        while self.listed_from > 0 && self.segments[0].expires_unix_ms <= at_unix_ms {
            let Some(segment) = self.segments.pop_front() else { return };
            self.listed_from -= 1;
            self.parts_count -= segment.parts.len();
            for media in segment.parts.into_iter().filter_map(|part| part.media) {
                self.bytes -= media.memory_bytes() as u64;
                retired.push(media);
            }
            // An init segment stays as long as any segment that needs it.
            let needed = self.segments.front().map_or(0, |oldest| oldest.head.init);
            while self.inits.front().is_some_and(|&(number, _)| number < needed) {
                if let Some((_, bytes)) = self.inits.pop_front() {
                    self.bytes -= buffer_bytes(bytes.len()) as u64;
                    retired.push(MediaRef::Memory(bytes));
                }
            }
        }
    }

    /// Bytes of the segments that the playlist lists, the open one among them.
    pub fn listed_bytes(&self) -> u64 {
        let parts = self.segments.range(self.listed_from..).flat_map(|segment| &segment.parts);
        parts.filter_map(|part| part.media.as_ref()).map(|media| media.memory_bytes() as u64).sum()
    }

    /// Everything in memory, oldest first, when the session is retired.
    pub fn into_media(self) -> impl Iterator<Item = MediaRef> {
        let parts = self.segments.into_iter().flat_map(|segment| segment.parts);
        let inits = self.inits.into_iter().map(|(_, bytes)| MediaRef::Memory(bytes));
        parts.filter_map(|part| part.media).chain(inits)
    }

    /// Ticks as milliseconds, towards zero.
    pub fn ms_floor(&self, ticks: u64) -> u64 {
        moment_units(ticks, self.timescale) / 100
    }
}

fn three_target_durations_ms(start: &SessionStart) -> u64 {
    3 * 1000 * u64::from(start.session.target_duration_s)
}

fn check_room(rendition: RenditionId, what: CountOf, count: usize, allowed: usize) -> Result<(), EventError> {
    if count < allowed { Ok(()) } else { Err(EventError::Full { rendition, what, allowed }) }
}
