//! The first moments of a publisher: which tracks there are, how their frames follow one another, how
//! long a GOP is. Frames are kept whole until that is known, and then go the way of all others.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use super::tracks::{LearntStream, StreamTrack};
use crate::codec::{CodecConfig, avc};
use crate::flv::{Demuxer, FrameBegin};
use crate::hls::{GopLearner, TrackLearner};
use crate::limits::{LEARNING_AUDIO_LEAD_MS, LEARNING_BYTES_MAX, LEARNING_CADENCE_US_MAX};
use crate::media::{Cadence, FrameRate};
use crate::media::{Now, Timescale, TrackKind};

/// Video frames from which an exact grid can be told.
const GRID_FRAMES_MIN: usize = 9;

/// A whole frame that waits for the end of learning.
#[derive(Debug)]
pub struct KeptFrame {
    /// Its tag header.
    pub begin: FrameBegin,
    /// Its timestamp, unwrapped, milliseconds.
    pub timestamp_ms: i64,
    /// Its coded bytes.
    pub bytes: Bytes,
    /// Video: it holds an IDR picture.
    pub idr: bool,
    /// When it was complete.
    pub arrived: Now,
}

/// Learns one publisher.
#[derive(Debug)]
pub struct Learning {
    tracks: TrackLearner,
    /// `None` when the session's values are given, so that the GOP changes nothing.
    gop: Option<GopLearner>,
    segment_target_ms: u32,
    frames: VecDeque<KeptFrame>,
    frames_bytes: usize,
    partial: [Option<(FrameBegin, i64, BytesMut)>; 2],
    frame_rate_hint: Option<FrameRate>,
    video_since_us: Option<u64>,
    /// keyint of x264, once its SEI was looked for.
    keyint_frames: Option<u32>,
    keyint_sought: bool,
    /// Video is configured, so its first IDR is worth waiting for.
    video_expected: bool,
}

/// What learning found.
#[derive(Debug)]
pub struct Learnt {
    /// The tracks.
    pub stream: LearntStream,
    /// Expected GOP, milliseconds; 0 without video.
    pub gop_ms: u32,
    /// The frames kept meanwhile, from the first usable one on.
    pub frames: VecDeque<KeptFrame>,
    /// Timestamp of the first frame that is used, milliseconds: zero of all tracks.
    pub anchor_ms: i64,
}

impl Learning {
    /// For a new session. `gop_ms` is the configured GOP, if any.
    pub fn new(gop_ms: Option<u32>, segment_target_ms: u32) -> Self {
        Self { gop: Some(GopLearner::new(gop_ms)), ..Self::for_session(segment_target_ms) }
    }

    /// For a publisher that may go on with a session whose values are frozen.
    pub fn for_session(segment_target_ms: u32) -> Self {
        Self {
            tracks: TrackLearner::default(),
            gop: None,
            segment_target_ms,
            frames: VecDeque::new(),
            frames_bytes: 0,
            partial: [None, None],
            frame_rate_hint: None,
            video_since_us: None,
            keyint_frames: None,
            keyint_sought: false,
            video_expected: false,
        }
    }

    /// Starts over with frames that were learnt under values that they do not fit.
    pub fn again(learnt: Learnt, gop_ms: Option<u32>, segment_target_ms: u32) -> Self {
        let mut learning = Self::new(gop_ms, segment_target_ms);
        for frame in learnt.frames {
            learning.keep(frame);
        }
        learning
    }

    /// onMetaData: which kinds to expect, and the frame rate.
    pub fn expect(&mut self, kinds: &[TrackKind], frames_per_second: Option<f64>) {
        if !kinds.is_empty() {
            self.tracks.expect(kinds);
        }
        self.frame_rate_hint = frames_per_second.and_then(FrameRate::from_f64).or(self.frame_rate_hint);
    }

    /// A kind is configured anew: frames kept under another configuration cannot be decoded with this one.
    pub fn config_changed(&mut self, kind: TrackKind) {
        self.frames.retain(|frame| frame.begin.kind != kind);
        self.frames_bytes = self.frames.iter().map(|frame| frame.bytes.len()).sum();
        if kind == TrackKind::Video {
            self.video_expected = true;
            self.video_since_us = None;
            self.keyint_sought = false;
        }
    }

    /// A frame's first bytes are here.
    pub fn frame_begins(&mut self, begin: &FrameBegin, timestamp_ms: i64) {
        self.partial[slot(begin.kind)] = Some((*begin, timestamp_ms, BytesMut::new()));
    }

    /// Bytes of that frame.
    pub fn frame_bytes(&mut self, kind: TrackKind, bytes: &[u8]) {
        if let Some((_, _, collected)) = &mut self.partial[slot(kind)] {
            collected.extend_from_slice(bytes);
        }
    }

    /// That frame is complete, or must be dropped when not `valid`.
    pub fn frame_ends(&mut self, kind: TrackKind, idr: bool, valid: bool, now: Now) {
        let Some((begin, timestamp_ms, bytes)) = self.partial[slot(kind)].take() else { return };
        if valid {
            self.keep(KeptFrame { begin, timestamp_ms, bytes: bytes.freeze(), idr, arrived: now });
        }
    }

    fn keep(&mut self, frame: KeptFrame) {
        let now = frame.arrived;
        self.tracks.handle_frame(frame.begin.kind, now);
        if frame.begin.kind == TrackKind::Video {
            // Nothing can be decoded before the first IDR, nor cut.
            if self.video_since_us.is_none() && !(frame.begin.key && frame.idr) {
                return;
            }
            self.video_since_us.get_or_insert(now.monotonic_us);
            if !self.keyint_sought {
                self.keyint_sought = true;
                self.keyint_frames = avc::x264_options(&frame.bytes).and_then(|options| options.keyint);
            }
            if let Some(gop) = &mut self.gop {
                gop.handle_frame(frame.timestamp_ms, frame.begin.key);
            }
        }
        self.frames_bytes += frame.bytes.len();
        let newest_ms = frame.timestamp_ms;
        self.frames.push_back(frame);
        if self.video_expected && self.video_since_us.is_none() {
            // Sound from long before the first picture will not be used.
            while self
                .frames
                .front()
                .is_some_and(|first| first.timestamp_ms < newest_ms - LEARNING_AUDIO_LEAD_MS)
            {
                self.frames_bytes -= self.frames.pop_front().map_or(0, |first| first.bytes.len());
            }
        }
    }

    /// When [`Learning::finish`] may have changed its mind by time alone, monotonic microseconds.
    pub fn deadline_us(&self) -> Option<u64> {
        let video = self.video_since_us.map(|since| since + LEARNING_CADENCE_US_MAX);
        [self.tracks.deadline_us(), video].into_iter().flatten().max()
    }

    /// What was learnt, once it is enough. Takes the frames with it.
    pub fn finish(&mut self, demuxer: &Demuxer, now: Now) -> Option<Learnt> {
        // Too much to keep: what is known must do.
        let is_full = self.frames_bytes >= LEARNING_BYTES_MAX;
        if !is_full && !self.tracks.is_done(now) {
            return None;
        }
        let dts = |kind| -> Vec<i64> {
            let of_kind = self.frames.iter().filter(|frame| frame.begin.kind == kind);
            of_kind.map(|frame| frame.timestamp_ms).collect()
        };
        let (video_dts, audio_dts) = (dts(TrackKind::Video), dts(TrackKind::Audio));
        if self.video_expected && video_dts.is_empty() {
            return None;
        }
        let cadence_waited =
            self.video_since_us.is_some_and(|since| now.monotonic_us >= since + LEARNING_CADENCE_US_MAX);
        if !video_dts.is_empty() && video_dts.len() < GRID_FRAMES_MIN && !cadence_waited && !is_full {
            return None;
        }

        let mut stream = LearntStream::default();
        if let (Some(CodecConfig::Avc(config)), false) =
            (demuxer.config(TrackKind::Video), video_dts.is_empty())
        {
            let of_sps = config.sps().frame_rate().and_then(|rate| FrameRate::new(rate.frames, rate.seconds));
            let hints: Vec<FrameRate> = [of_sps, self.frame_rate_hint].into_iter().flatten().collect();
            stream.tracks.push(StreamTrack {
                kind: TrackKind::Video,
                cadence: Cadence::learn_video(&video_dts, &hints),
                config: CodecConfig::Avc(config.clone()),
            });
        }
        if let (Some(CodecConfig::Aac(config)), false) =
            (demuxer.config(TrackKind::Audio), audio_dts.is_empty())
            && let Some(sample_rate) = Timescale::new(config.sample_rate())
        {
            stream.tracks.push(StreamTrack {
                kind: TrackKind::Audio,
                cadence: Cadence::learn_audio(&audio_dts, sample_rate, config.frame_samples()),
                config: CodecConfig::Aac(config.clone()),
            });
        }
        let leading = stream.tracks.first()?;
        let gop_ms =
            if leading.kind == TrackKind::Audio { 0 } else { self.gop_ms(leading.cadence, is_full)? };

        let anchor_ms = self.anchor_ms(leading);
        let mut frames = std::mem::take(&mut self.frames);
        self.frames_bytes = 0;
        // Sound of before the first picture, by more than one of its frames, is not part of the stream.
        frames.retain(|frame| frame.timestamp_ms >= anchor_ms);
        Some(Learnt { stream, gop_ms, frames, anchor_ms })
    }

    /// `None` while a GOP is still being learnt.
    fn gop_ms(&self, cadence: Cadence, is_full: bool) -> Option<u32> {
        let frame_us = cadence.timescale().to_us_floor(i64::from(cadence.frame_ticks()));
        if let Some(keyint) = self.keyint_frames {
            let ms = (i64::from(keyint) * frame_us + 999) / 1000;
            // An infinite keyint is written as a huge one: it tells nothing.
            if let Ok(ms @ 1..=12_000) = u32::try_from(ms) {
                return Some(ms);
            }
        }
        let Some(gop) = &self.gop else { return Some(self.segment_target_ms) };
        gop.expected_ms(self.segment_target_ms).or(is_full.then_some(self.segment_target_ms))
    }

    /// The first IDR's time, or up to one audio frame before it, so that sound begins with the picture.
    fn anchor_ms(&self, leading: &StreamTrack) -> i64 {
        let first_of = |kind| self.frames.iter().find(|frame| frame.begin.kind == kind);
        let Some(first) = first_of(leading.kind) else { return 0 };
        let first_ms = first.timestamp_ms;
        let audio_frame_ms = 25;
        let audio = self.frames.iter().filter(|frame| frame.begin.kind == TrackKind::Audio);
        let earliest = audio.map(|frame| frame.timestamp_ms).find(|ms| *ms >= first_ms - audio_frame_ms);
        earliest.map_or(first_ms, |ms| ms.min(first_ms))
    }
}

fn slot(kind: TrackKind) -> usize {
    match kind {
        TrackKind::Video => 0,
        TrackKind::Audio => 1,
    }
}
