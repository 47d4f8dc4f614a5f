//! The first moments of a publisher: which tracks there are, how their frames follow one another, how
//! long a GOP is. Frames are kept whole until that is known, and then go the way of all others.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use super::tracks::{LearntStream, StreamTrack};
use crate::codec::{Codec, CodecConfig, Frame, FrameRole};
use crate::flv::{Demuxer, FrameBegin};
use crate::hls::{GopLearner, TrackLearner};
use crate::limits::{
    CADENCE_FRAMES_MIN, CADENCE_PICTURES_MIN, GOP_LEARNING_MS_MAX, GOP_SAID_MS_MAX, LEARNING_AUDIO_LEAD_MS,
    LEARNING_BYTES_MAX, LEARNING_CADENCE_US_MAX, PART_TARGET_MS_MAX, TIMESTAMP_BACK_MS_MAX,
};
use crate::media::{Cadence, FrameRate};
use crate::media::{Now, Timescale, TrackKind};

/// What a kept frame costs besides its bytes.
const KEPT_FRAME_BYTES: usize = size_of::<KeptFrame>();
/// The longest wait for a GOP, whatever timestamps say.
const GOP_LEARNING_US_MAX: u64 = GOP_LEARNING_MS_MAX as u64 * 1000;

/// What is learnt, and for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LearningSettings {
    /// The encoder's GOP, when the operator has said it, milliseconds.
    pub gop_ms: Option<u32>,
    /// From here on a segment is cut at a key frame, milliseconds.
    pub segment_target_ms: u32,
}

/// A whole frame that waits for the end of learning.
#[derive(Debug)]
pub struct KeptFrame {
    /// Its tag header.
    pub begin: FrameBegin,
    /// Its timestamp, unwrapped, milliseconds.
    pub timestamp_ms: i64,
    /// Its coded bytes.
    pub bytes: Bytes,
    /// What it turned out to be.
    pub frame: Frame,
    /// When it was complete.
    pub arrived: Now,
}

/// Learns one publisher.
#[derive(Debug)]
pub struct Learning {
    settings: LearningSettings,
    tracks: TrackLearner,
    /// `None` when the session's values are given, so that the GOP changes nothing.
    gop: Option<GopLearner>,
    /// From the first IDR on, and sound of about that time.
    frames: VecDeque<KeptFrame>,
    /// What `frames` costs.
    frames_bytes: usize,
    /// Frames of which bytes are arriving, by kind.
    partial: [Option<(FrameBegin, i64, BytesMut)>; 2],
    /// Newest timestamp, by kind.
    newest_ms: [Option<i64>; 2],
    frame_rate_hint: Option<FrameRate>,
    /// A coded picture came, so the first IDR is worth waiting for.
    video_seen: bool,
    /// When the first IDR came, monotonic microseconds.
    video_since_us: Option<u64>,
    /// Pictures in `frames`.
    video_frames: usize,
    /// What x264 or x265 says in its first key frame or beside it.
    keyint_frames: Option<u32>,
    /// It was looked for.
    keyint_sought: bool,
}

/// What learning found.
#[derive(Debug)]
pub struct Learnt {
    /// The tracks.
    pub stream: LearntStream,
    /// Expected GOP, milliseconds; 0 without video.
    pub gop_ms: u32,
    /// The frames kept meanwhile. The first one is of the track that cuts are made on.
    pub frames: VecDeque<KeptFrame>,
    /// Timestamp of the first frame, milliseconds: zero of all tracks.
    pub anchor_ms: i64,
}

impl Learning {
    /// For a new session.
    pub fn new(settings: LearningSettings) -> Self {
        Self { gop: Some(GopLearner::new(settings.gop_ms)), ..Self::for_session(settings) }
    }

    /// For a publisher that may go on with a session whose values are frozen.
    pub fn for_session(settings: LearningSettings) -> Self {
        Self {
            settings,
            tracks: TrackLearner::default(),
            gop: None,
            frames: VecDeque::new(),
            frames_bytes: 0,
            partial: [None, None],
            newest_ms: [None, None],
            frame_rate_hint: None,
            video_seen: false,
            video_since_us: None,
            video_frames: 0,
            keyint_frames: None,
            keyint_sought: false,
        }
    }

    /// For a new session, with frames that were learnt under values that they do not fit.
    pub fn again(learnt: Learnt, settings: LearningSettings) -> Self {
        let mut learning = Self::new(settings);
        for frame in learnt.frames {
            learning.keep(frame);
        }
        learning
    }

    /// onMetaData: which kinds to expect, and the frame rate.
    pub fn expect(&mut self, kinds: &[TrackKind], frame_rate: Option<FrameRate>) {
        if !kinds.is_empty() {
            self.tracks.expect(kinds);
        }
        self.frame_rate_hint = frame_rate.or(self.frame_rate_hint);
    }

    /// A kind is configured anew: frames kept under another configuration cannot be decoded with this one.
    pub fn config_changed(&mut self, kind: TrackKind) {
        self.forget(kind);
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
    pub fn frame_ends(&mut self, kind: TrackKind, frame: Frame, valid: bool, now: Now) {
        let Some((begin, timestamp_ms, bytes)) = self.partial[slot(kind)].take() else { return };
        if valid {
            self.keep(KeptFrame { begin, timestamp_ms, bytes: bytes.freeze(), frame, arrived: now });
        }
    }

    fn keep(&mut self, frame: KeptFrame) {
        let (kind, now) = (frame.begin.kind, frame.arrived);
        let newest_ms = self.newest_ms[slot(kind)].replace(frame.timestamp_ms);
        if newest_ms.is_some_and(|newest| is_leap(newest, frame.timestamp_ms)) {
            // No rate can be told across a leap, and no session begins with one.
            self.forget(TrackKind::Video);
            self.forget(TrackKind::Audio);
        }
        self.tracks.handle_frame(kind, now);
        if kind == TrackKind::Video {
            self.video_seen = true;
            // Nothing can be decoded before the first key picture, nor cut.
            if self.video_since_us.is_none() {
                let begins = matches!(frame.frame.role, FrameRole::Sync | FrameRole::OpenSync);
                if !(frame.begin.key && begins) {
                    return;
                }
                self.video_since_us = Some(now.monotonic_us);
            }
            self.video_frames += 1;
            if let Some(gop) = &mut self.gop {
                gop.handle_frame(frame.timestamp_ms, frame.begin.key);
            }
        }
        let lead_ms = frame.timestamp_ms.saturating_sub(LEARNING_AUDIO_LEAD_MS);
        self.frames_bytes += cost(&frame);
        self.frames.push_back(frame);
        if self.video_seen && self.video_since_us.is_none() {
            // Sound from long before the first picture will not be used.
            while self.frames.front().is_some_and(|first| first.timestamp_ms < lead_ms)
                || self.frames_bytes > LEARNING_BYTES_MAX
            {
                self.frames_bytes -= self.frames.pop_front().map_or(0, |first| cost(&first));
            }
        }
    }

    /// Drops what is kept of a kind; pictures begin again with an IDR.
    fn forget(&mut self, kind: TrackKind) {
        let kept_bytes = &mut self.frames_bytes;
        self.frames.retain(|frame| {
            let is_kept = frame.begin.kind != kind;
            *kept_bytes -= if is_kept { 0 } else { cost(frame) };
            is_kept
        });
        if kind == TrackKind::Video {
            self.video_since_us = None;
            self.video_frames = 0;
            self.keyint_frames = None;
            self.keyint_sought = false;
            self.gop = self.gop.as_ref().map(|_| GopLearner::new(self.settings.gop_ms));
        }
    }

    /// When [`Learning::finish`] may next change its mind by time alone, monotonic microseconds.
    pub fn deadline_us(&self, now: Now) -> Option<u64> {
        let after_idr = |us: u64| self.video_since_us.map(|since| since + us);
        let deadlines =
            [self.tracks.deadline_us(), after_idr(LEARNING_CADENCE_US_MAX), after_idr(GOP_LEARNING_US_MAX)];
        deadlines.into_iter().flatten().filter(|&at| at > now.monotonic_us).min()
    }

    /// What was learnt, once it is enough. Takes the frames with it.
    pub fn finish(&mut self, demuxer: &Demuxer, now: Now) -> Option<Learnt> {
        self.seek_keyint(demuxer);
        if !self.is_ready(now) {
            return None;
        }
        let dts = |kind| -> Vec<i64> {
            let of_kind = self.frames.iter().filter(|frame| frame.begin.kind == kind);
            of_kind.map(|frame| frame.timestamp_ms).collect()
        };
        let tracks = [TrackKind::Video, TrackKind::Audio].into_iter().filter_map(|kind| {
            let config = demuxer.config(kind)?;
            let cadence = self.cadence(config, &dts(kind), kind)?;
            let layout = demuxer.channel_layout().map(|layout| layout.channels);
            let channels = config.sound().and_then(|sound| sound.channels.or(layout));
            Some(StreamTrack { kind, cadence, config: config.clone(), channels })
        });
        let stream = LearntStream { tracks: tracks.collect() };
        let leading = stream.tracks.first()?;
        let gop_ms = if leading.kind == TrackKind::Audio { 0 } else { self.gop_ms(leading.cadence, now)? };
        let kind = leading.kind;
        let mut frames = std::mem::take(&mut self.frames);
        self.frames_bytes = 0;
        // Sound that was sent ahead of the first picture belongs behind it; sound of before it, nowhere.
        let first = frames.iter().position(|frame| frame.begin.kind == kind)?;
        let first = frames.remove(first)?;
        let anchor_ms = first.timestamp_ms;
        frames.retain(|frame| frame.timestamp_ms >= anchor_ms);
        frames.push_front(first);
        Some(Learnt { stream, gop_ms, frames, anchor_ms })
    }

    /// Once there is a key frame: what its encoder says of the frames that follow it.
    fn seek_keyint(&mut self, demuxer: &Demuxer) {
        let is_video = |frame: &&KeptFrame| frame.begin.kind == TrackKind::Video;
        if !self.keyint_sought
            && self.video_since_us.is_some()
            && let Some(first) = self.frames.iter().find(is_video)
        {
            let config = demuxer.config(TrackKind::Video);
            self.keyint_frames = config.and_then(|config| config.keyint_frames(&first.bytes));
            self.keyint_sought = true;
        }
    }

    /// How a track's frames follow one another; `None` when it has none.
    fn cadence(&self, config: &CodecConfig, dts_ms: &[i64], kind: TrackKind) -> Option<Cadence> {
        if dts_ms.is_empty() {
            return None;
        }
        let Some(sound) = config.sound() else {
            let of_picture = config.picture().and_then(|picture| picture.frame_rate);
            let of_picture = of_picture.and_then(|rate| FrameRate::new(rate.frames, rate.seconds));
            let hints: Vec<FrameRate> = [of_picture, self.frame_rate_hint].into_iter().flatten().collect();
            return Some(Cadence::learn_video(dts_ms, &hints));
        };
        let sample_rate = Timescale::new(sound.sample_rate)?;
        match sound.frame_samples {
            // Only AAC has decoders that double the rate without its configuration saying so.
            Some(samples) if config.codec() == Codec::Aac => {
                Some(Cadence::learn_audio(dts_ms, sample_rate, samples))
            }
            Some(samples) => Cadence::of_samples(&[samples], sample_rate),
            None => {
                let of_kind = self.frames.iter().filter(|frame| frame.begin.kind == kind);
                let samples: Vec<u32> = of_kind.filter_map(|frame| frame.begin.samples).collect();
                let cadence = Cadence::of_samples(&samples, sample_rate)?;
                let CodecConfig::Flac(flac) = config else { return Some(cadence) };
                Some(cadence.with_longest_samples(flac.frame_samples_max()))
            }
        }
    }

    /// Says cheaply that nothing can be told yet.
    fn is_ready(&self, now: Now) -> bool {
        if self.video_seen && self.video_since_us.is_none() {
            return false;
        }
        if self.is_full() {
            return true;
        }
        let waited = |us: u64| self.video_since_us.is_none_or(|since| now.monotonic_us >= since + us);
        let gop_is_told = self.keyint_frames.is_some() || self.expected_gop_ms(0).is_some();
        let rate_is_told = match self.video_frames {
            CADENCE_FRAMES_MIN.. => true,
            CADENCE_PICTURES_MIN.. => waited(LEARNING_CADENCE_US_MAX),
            _ => waited(GOP_LEARNING_US_MAX),
        };
        self.tracks.is_done(now) && rate_is_told && (gop_is_told || waited(GOP_LEARNING_US_MAX))
    }

    /// Too much to keep: what is known must do.
    fn is_full(&self) -> bool {
        self.frames_bytes >= LEARNING_BYTES_MAX
    }

    /// `None` while a GOP is still being learnt.
    fn gop_ms(&self, cadence: Cadence, now: Now) -> Option<u32> {
        let frame_us = cadence.timescale().to_us_floor(i64::from(cadence.frame_ticks()));
        let said_ms = self.keyint_frames.filter(|keyint| *keyint > 0).map(|keyint| {
            let ms = (i64::from(keyint) * frame_us + 999) / 1000;
            u32::try_from(ms).unwrap_or(u32::MAX)
        });
        match said_ms {
            Some(ms) if ms <= GOP_LEARNING_MS_MAX => return Some(ms),
            // No segment holds it: the longest ones have the fewest cuts without a key frame.
            Some(ms) if ms <= GOP_SAID_MS_MAX && self.settings.gop_ms.is_none() => {
                return Some(GOP_LEARNING_MS_MAX);
            }
            _ => {}
        }
        // Said to be longer than we watch, and nothing seen that is shorter.
        let unseen_ms = said_ms.map_or(self.settings.segment_target_ms, |_| GOP_LEARNING_MS_MAX);
        let is_over = self.is_full()
            || self.video_since_us.is_some_and(|since| now.monotonic_us >= since + GOP_LEARNING_US_MAX);
        let longest_ms = || self.gop.as_ref().and_then(GopLearner::longest_ms);
        let at_last = || is_over.then(|| longest_ms().unwrap_or(unseen_ms));
        self.expected_gop_ms(unseen_ms).or_else(at_last)
    }

    /// By timestamps, or as the operator said.
    fn expected_gop_ms(&self, unseen_ms: u32) -> Option<u32> {
        let given_ms = self.settings.segment_target_ms;
        self.gop.as_ref().map_or(Some(given_ms), |gop| gop.expected_ms(unseen_ms))
    }
}

/// No frames of one track are this far apart.
fn is_leap(newest_ms: i64, timestamp_ms: i64) -> bool {
    timestamp_ms < newest_ms.saturating_sub(TIMESTAMP_BACK_MS_MAX)
        || timestamp_ms > newest_ms.saturating_add(i64::from(PART_TARGET_MS_MAX))
}

fn cost(frame: &KeptFrame) -> usize {
    KEPT_FRAME_BYTES + frame.bytes.len()
}

fn slot(kind: TrackKind) -> usize {
    match kind {
        TrackKind::Video => 0,
        TrackKind::Audio => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: LearningSettings = LearningSettings { gop_ms: None, segment_target_ms: 2000 };

    fn feed(learning: &mut Learning, kind: TrackKind, timestamp_ms: i64, idr: bool, bytes: &[u8]) {
        let begin = FrameBegin {
            kind,
            timestamp_ms: timestamp_ms as u32,
            composition_ms: 0,
            offset_ns: 0,
            key: idr,
            samples: None,
            coded_bytes: bytes.len() as u32,
        };
        learning.frame_begins(&begin, timestamp_ms);
        learning.frame_bytes(kind, bytes);
        let role = if idr { FrameRole::Sync } else { FrameRole::Dependent };
        let frame = Frame { role, samples: None };
        learning.frame_ends(kind, frame, true, Now::default());
    }

    /// No IDR ever comes, and timestamps stand still.
    #[test]
    fn what_waits_for_an_idr_is_bounded_in_bytes() {
        let mut learning = Learning::new(SETTINGS);
        let frame = vec![0; 256 * 1024];
        for _ in 0..300 {
            feed(&mut learning, TrackKind::Video, 0, false, &frame);
            feed(&mut learning, TrackKind::Audio, 0, false, &frame);
            assert!(learning.frames_bytes <= LEARNING_BYTES_MAX);
        }
        assert!(learning.frames_bytes > LEARNING_BYTES_MAX / 2, "sound is kept for the IDR");
        assert!(learning.finish(&Demuxer::new(), Now::default()).is_none());
    }

    #[test]
    fn what_is_forgotten_costs_nothing_any_more() {
        let mut learning = Learning::new(SETTINGS);
        for index in 0..20 {
            feed(&mut learning, TrackKind::Video, index, index == 0, &vec![0; 100 + index as usize]);
            feed(&mut learning, TrackKind::Audio, index, false, &[0; 7]);
        }
        for kind in [TrackKind::Audio, TrackKind::Audio, TrackKind::Video] {
            learning.config_changed(kind);
            assert!(learning.frames.iter().all(|frame| frame.begin.kind != kind));
            assert_eq!(learning.frames_bytes, learning.frames.iter().map(cost).sum::<usize>());
        }
        assert_eq!(learning.frames_bytes, 0);
    }

    #[test]
    fn the_smallest_frames_are_counted_with_what_they_cost() {
        let mut learning = Learning::new(SETTINGS);
        feed(&mut learning, TrackKind::Video, 0, true, &[1]);
        assert_eq!(learning.frames_bytes, KEPT_FRAME_BYTES + 1);
        assert!(!learning.is_ready(Now::default()));
        feed(&mut learning, TrackKind::Video, 0, false, &vec![0; LEARNING_BYTES_MAX]);
        assert!(learning.is_ready(Now::default()), "what is known must do");
    }
}
