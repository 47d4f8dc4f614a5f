//! The live stream as arithmetic: which frames, parts and segments there are at a time. No clock, no socket.
//!
//! Stream time is in microseconds since frame 0 of both tracks was sent. Frames are sent at their own times, and a part
//! is due a fixed delay after its newest frame was sent; a segment becomes complete with its last part.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use super::misbehaviour::Misbehaviour;
use super::{frames, mp4};

/// TARGETDURATION in seconds; segments last one second, video's exactly.
pub const TARGET_S: u64 = 1;
/// CAN-SKIP-UNTIL in seconds: six target durations, the least allowed.
pub const SKIP_UNTIL_S: u64 = 6 * TARGET_S;
/// A frame that starts a group of pictures, and a segment, comes once in as many.
pub const GOP_FRAMES: u64 = 30;
/// How far decode times jump when they are told to: a second divided by this.
const JUMP_PER_S: u64 = 10;
/// How much shorter a part is listed when that is told: a second divided by this.
const LISTED_SHORT_PER_S: u64 = 20;

/// One of the two tracks, each with a media playlist of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Track {
    /// H.264, 320x180, 30 frames a second, an IDR each second, no B-frames.
    Video,
    /// AAC-LC, 48 kHz, mono, silent.
    Audio,
}

impl Track {
    /// Ticks a second.
    pub fn timescale(self) -> u64 {
        match self {
            Self::Video => 90_000,
            Self::Audio => 48_000,
        }
    }

    /// Ticks that a frame lasts.
    pub fn frame_ticks(self) -> u64 {
        match self {
            Self::Video => 3_000,
            Self::Audio => 1_024,
        }
    }

    /// Stream time at which a frame was sent, rounded down.
    pub fn sent_us(self, frame: u64) -> u64 {
        frame * self.frame_ticks() * 1_000_000 / self.timescale()
    }

    /// The first frame that is sent at or after this second: where segments start.
    fn first_frame_of(self, second: u64) -> u64 {
        (second * self.timescale()).div_ceil(self.frame_ticks())
    }

    /// What its files' names begin with.
    pub fn letter(self) -> char {
        match self {
            Self::Video => 'v',
            Self::Audio => 'a',
        }
    }

    /// The name of its media playlist.
    pub fn playlist_name(self) -> &'static str {
        match self {
            Self::Video => "video.m3u8",
            Self::Audio => "audio.m3u8",
        }
    }
}

/// What is fixed for the life of a stream.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// Unix time of stream time 0; whole milliseconds, so that PROGRAM-DATE-TIME is exact.
    pub start_unix_us: u64,
    /// From the time at which a part's newest frame was sent to when the part is due.
    pub delay_us: u64,
    /// Frames in a video part; PART-TARGET is what they last.
    pub part_frames: u64,
    /// Complete segments in a playlist.
    pub window_segments: u64,
}

impl Shape {
    /// Frames in a part of this track: as many as PART-TARGET has room for.
    fn part_frames_of(&self, track: Track) -> u64 {
        let target_video_ticks = self.part_frames * Track::Video.frame_ticks();
        target_video_ticks * track.timescale() / (Track::Video.timescale() * track.frame_ticks())
    }
}

/// A part that was published, or whose turn is next.
#[derive(Debug)]
pub struct Part {
    /// Frames in it.
    pub frames: Range<u64>,
    /// What the playlist says it lasts.
    pub listed_ticks: u64,
    /// What the playlist says about INDEPENDENT.
    pub independent: bool,
    /// `moof` and `mdat`.
    pub bytes: Arc<[u8]>,
    /// What is wrong with it, with the answers to requests for it, or with the playlist that lists it first.
    pub flaw: Option<Misbehaviour>,
    /// Requests for it so far.
    pub requests_count: u32,
}

impl Part {
    fn is_listed(&self) -> bool {
        self.flaw != Some(Misbehaviour::PartMissing)
    }
}

/// A segment, complete or open.
#[derive(Debug)]
pub struct Segment {
    /// Its media sequence number.
    pub msn: u64,
    /// Its first frame.
    pub first_frame: u64,
    /// All its parts so far, those among them that are never listed.
    pub parts: Vec<Part>,
}

impl Segment {
    /// The parts that the playlist has, by their indexes.
    pub fn listed_parts(&self) -> impl Iterator<Item = &Part> {
        self.parts.iter().filter(|part| part.is_listed())
    }

    /// How many parts the playlist has.
    pub fn listed_count(&self) -> u64 {
        self.listed_parts().count() as u64
    }

    /// The part with this index.
    pub fn listed_part_mut(&mut self, index: u64) -> Option<&mut Part> {
        self.parts.iter_mut().filter(|part| part.is_listed()).nth(usize::try_from(index).ok()?)
    }

    /// The frame after its last one so far.
    pub fn end_frame(&self) -> u64 {
        self.parts.last().map_or(self.first_frame, |part| part.frames.end)
    }

    /// What EXTINF says.
    pub fn listed_ticks(&self) -> u64 {
        self.parts.iter().map(|part| part.listed_ticks).sum()
    }

    /// Its media: that of its parts.
    pub fn bytes(&self) -> Arc<[u8]> {
        self.parts.iter().map(|part| &part.bytes[..]).collect::<Vec<_>>().concat().into()
    }

    /// How many these are.
    fn bytes_count(&self) -> u64 {
        self.parts.iter().map(|part| part.bytes.len() as u64).sum()
    }
}

/// The next part: made, and waiting for its time.
#[derive(Debug)]
pub struct NextPart {
    part: Part,
    ends_segment: bool,
    /// Stream time at which it has to be published.
    pub due_us: u64,
}

impl NextPart {
    /// What is wrong with it.
    pub fn flaw(&self) -> Option<Misbehaviour> {
        self.part.flaw
    }
}

/// One track's parts and segments.
#[derive(Debug)]
pub struct Rendition {
    /// Its track.
    pub track: Track,
    /// What is fixed.
    pub shape: Shape,
    /// Segments that can be had, oldest first; the last one is open and may have no parts yet.
    segments: VecDeque<Segment>,
    /// Number of the oldest segment in the playlist; never falls.
    first_listed_msn: u64,
    /// The frame behind the open segment's last.
    segment_end_frame: u64,
    /// The second at which the segment after the open one starts.
    next_second: u64,
    /// Added to decode times.
    jumped_ticks: i64,
    /// Parts made so far.
    parts_count: u32,
    /// Whether PART-TARGET is the higher one.
    pub target_raised: bool,
}

impl Rendition {
    /// A stream of which nothing is published.
    pub fn new(track: Track, shape: Shape) -> Self {
        Self {
            track,
            shape,
            segments: VecDeque::from([Segment { msn: 0, first_frame: 0, parts: Vec::new() }]),
            first_listed_msn: 0,
            segment_end_frame: track.first_frame_of(1),
            next_second: 1,
            jumped_ticks: 0,
            parts_count: 0,
            target_raised: false,
        }
    }

    /// The open segment.
    pub fn open(&self) -> &Segment {
        self.segments.back().expect("the open segment is always there")
    }

    /// Complete segments that can be had, oldest first, those among them that have left the playlist.
    pub fn complete(&self) -> impl DoubleEndedIterator<Item = &Segment> {
        self.segments.range(..self.segments.len() - 1)
    }

    /// The segment with this number, as long as it can be had.
    pub fn segment(&self, msn: u64) -> Option<&Segment> {
        self.segments.iter().find(|segment| segment.msn == msn)
    }

    /// The same, for counting requests.
    pub fn segment_mut(&mut self, msn: u64) -> Option<&mut Segment> {
        self.segments.iter_mut().find(|segment| segment.msn == msn)
    }

    /// Number of the oldest segment in the playlist.
    pub fn first_listed_msn(&self) -> u64 {
        self.first_listed_msn
    }

    /// Complete segments in the playlist.
    pub fn listed_count(&self) -> usize {
        self.complete().filter(|segment| segment.msn >= self.first_listed_msn).count()
    }

    /// Bytes of the largest segment.
    pub fn segment_bytes_max(&self) -> u64 {
        self.complete().map(Segment::bytes_count).max().unwrap_or(0)
    }

    /// Takes the oldest segment from the playlist before its time.
    pub fn remove_oldest(&mut self) {
        self.first_listed_msn += 1;
    }

    /// Number and part index that come next: what the playlist hints at.
    pub fn hint(&self) -> (u64, u64) {
        (self.open().msn, self.open().listed_count())
    }

    /// Number and part index of the newest part in the playlist.
    pub fn newest(&self) -> (u64, u64) {
        match self.hint() {
            (msn, 0) => (msn - 1, self.complete().next_back().map_or(0, Segment::listed_count) - 1),
            (msn, index) => (msn, index - 1),
        }
    }

    /// Unix time of a frame.
    pub fn sent_unix_us(&self, frame: u64) -> u64 {
        self.shape.start_unix_us + self.track.sent_us(frame)
    }

    /// Makes the next part, with the flaw that is wished for if this part suits it.
    pub fn make_next(&mut self, wish: Option<Misbehaviour>) -> NextPart {
        let first_frame = self.open().end_frame();
        let usual_count = self.shape.part_frames_of(self.track);
        let left_count = self.segment_end_frame - first_frame;
        let flaw = wish.filter(|wish| suits(*wish, self.open().listed_count(), left_count, usual_count));
        let count = match flaw {
            Some(Misbehaviour::PartLong) => usual_count + 1,
            Some(Misbehaviour::PartShort) => usual_count * 2 / 3,
            Some(Misbehaviour::SegmentLong) => {
                self.next_second += 1;
                self.segment_end_frame = self.track.first_frame_of(self.next_second);
                usual_count
            }
            _ => usual_count.min(left_count),
        };
        let second_ticks = self.track.timescale();
        match flaw {
            Some(Misbehaviour::TfdtGap) => self.jumped_ticks += (second_ticks / JUMP_PER_S).cast_signed(),
            Some(Misbehaviour::TfdtRepeat) => self.jumped_ticks -= (second_ticks / JUMP_PER_S).cast_signed(),
            _ => {}
        }
        let frames = first_frame..first_frame + count;
        let late_us = match flaw {
            Some(Misbehaviour::PartLate(late)) => u64::try_from(late.as_micros()).expect("a short time"),
            _ => 0,
        };
        let mut listed_ticks = count * self.track.frame_ticks();
        if flaw == Some(Misbehaviour::DurationWrong) {
            listed_ticks -= second_ticks / LISTED_SHORT_PER_S;
        }
        self.parts_count += 1;
        let part = Part {
            listed_ticks,
            independent: frames.clone().any(|frame| self.is_sync(frame))
                || flaw == Some(Misbehaviour::IndependentUntrue),
            bytes: self.media(frames.clone(), flaw).into(),
            flaw,
            requests_count: 0,
            frames,
        };
        let due_us = self.track.sent_us(part.frames.end - 1) + self.shape.delay_us + late_us;
        NextPart { ends_segment: part.frames.end == self.segment_end_frame, part, due_us }
    }

    /// Publishes a part.
    pub fn publish(&mut self, next: NextPart) {
        if next.flaw() == Some(Misbehaviour::TargetChanges) {
            self.target_raised = !self.target_raised;
        }
        let open = self.segments.back_mut().expect("the open segment is always there");
        debug_assert!(next.part.frames.start == open.end_frame());
        open.parts.push(next.part);
        if next.ends_segment {
            let (msn, first_frame) = (open.msn + 1, open.end_frame());
            self.segments.push_back(Segment { msn, first_frame, parts: Vec::new() });
            self.next_second += 1;
            self.segment_end_frame = self.track.first_frame_of(self.next_second);
            self.first_listed_msn = self.first_listed_msn.max(msn.saturating_sub(self.shape.window_segments));
            // 6.2.2: a segment stays for its duration and that of the longest playlist after it was removed, and a
            // part for three target durations after its tag was removed.
            while self.segments.len() as u64 > 2 * self.shape.window_segments + 4 {
                self.segments.pop_front();
            }
        }
    }

    fn is_sync(&self, frame: u64) -> bool {
        self.track == Track::Audio || frame.is_multiple_of(GOP_FRAMES)
    }

    fn media(&self, frames: Range<u64>, flaw: Option<Misbehaviour>) -> Vec<u8> {
        let start_ticks = (frames.start * self.track.frame_ticks()).checked_add_signed(self.jumped_ticks);
        let mut samples: Vec<_> = frames.map(|frame| self.sample(frame)).collect();
        let middle = samples.len() / 2;
        match flaw {
            Some(Misbehaviour::FrameMissing) => samples[middle - 1].ticks += samples.remove(middle).ticks,
            Some(Misbehaviour::FrameRepeated) => {
                samples[middle].ticks /= 2;
                samples.insert(middle, samples[middle].clone());
            }
            Some(Misbehaviour::SyncFlag) => samples[0].sync = false,
            _ => {}
        }
        mp4::fragment(
            self.parts_count,
            start_ticks.expect("decode times stay positive"),
            &samples,
            flaw == Some(Misbehaviour::BoxStructure),
        )
    }

    fn sample(&self, frame: u64) -> mp4::Sample {
        let stamp = frames::stamp(self.sent_unix_us(frame), u32::try_from(frame).expect("a short stream"));
        let bytes = match self.track {
            Track::Video => frames::video(&stamp, frame % GOP_FRAMES),
            Track::Audio => frames::audio(&stamp),
        };
        let ticks = u32::try_from(self.track.frame_ticks()).expect("a short frame");
        mp4::Sample { bytes, ticks, sync: self.is_sync(frame) }
    }
}

/// Whether the part with this index suits a misbehaviour, when so many frames are left of its segment.
fn suits(wish: Misbehaviour, index: u64, left_count: u64, usual_count: u64) -> bool {
    let first = index == 0;
    let last = left_count <= usual_count;
    match wish {
        Misbehaviour::DurationWrong
        | Misbehaviour::TfdtGap
        | Misbehaviour::TfdtRepeat
        | Misbehaviour::SyncFlag => first,
        Misbehaviour::PartMissing
        | Misbehaviour::PartShort
        | Misbehaviour::IndependentUntrue
        | Misbehaviour::FrameMissing
        | Misbehaviour::FrameRepeated => !first && !last,
        Misbehaviour::PartLong => !first && !last && left_count <= 2 * usual_count,
        Misbehaviour::SegmentLong => last,
        // With the last part a segment leaves, which would make up for the one that comes back; and an audio segment's
        // last part is a short one, due soon after the one before it.
        Misbehaviour::SequenceBack | Misbehaviour::PartLate(_) => !last,
        Misbehaviour::ReloadUnchanged | Misbehaviour::ReloadEarly => false,
        _ => true,
    }
}
