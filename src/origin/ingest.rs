//! One publisher's media: RTMP fragments through the FLV demuxer, to the learning or to the session; of one that is
//! held ready, to nowhere.

use super::colour::color_info;
use super::findings::StreamFindings;
use super::learning::{Learning, LearningSettings, Learnt};
use super::live::{Live, LiveError};
use super::pace::Pace;
use super::tracks::LearntStream;
use crate::codec::{CodecConfig, Hdr};
use crate::flv::{Demuxer, Event, ExtraTrack, Findings, Fragment, FrameBegin};
use crate::fmp4::BufferPool;
use crate::limits::TIMESTAMP_LEAP_MS_MAX;
use crate::media::{FrameRate, Now, TrackKind, Unwrap};
use crate::rtmp::{MediaFragment, StreamMetadata};
use smallvec::SmallVec;

/// videocodecid and audiocodecid of FLV that say "none".
const CODEC_NONE: f64 = 0.0;

/// What the publisher's input asks of the stream.
#[derive(Debug)]
pub enum Step {
    /// Nothing.
    Continue,
    /// Its parameters changed: close what is open.
    Relearn,
    /// It has a track that the session has not: end the session.
    NewSession,
    /// It was learnt.
    Learnt(Box<Learnt>),
    /// It was held ready, and its frames go to the session from this one on.
    OnAir {
        /// No player notices.
        is_hitless: bool,
    },
}

/// What ends a publisher.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    /// The session cannot take its frames.
    #[error(transparent)]
    Live(#[from] LiveError),
}

/// One publisher's way in.
#[derive(Debug)]
pub struct Ingest {
    demuxer: Demuxer,
    unwrap: Unwrap,
    settings: LearningSettings,
    hints: Hints,
    /// `None` once it is learnt.
    learning: Option<Learning>,
    /// What was learnt last.
    stream: LearntStream,
    /// It is held ready: once it is learnt, its frames are thrown away.
    is_off_air: bool,
    /// Timestamp of the frame with which it went on air; sound of before it is not played.
    on_air_ms: Option<i64>,
    /// Newest timestamp, unwrapped milliseconds, of pictures and of sound.
    newest_ms: [Option<i64>; 2],
    pace: Pace,
    unsupported: Option<String>,
    frames: FramesReceived,
    /// Kinds that were configured.
    configured: SmallVec<[TrackKind; 2]>,
    /// Times that one was configured anew since [`Ingest::take_changes`].
    changes: u32,
}

/// What onMetaData announced; kept, since it is not said again when a track changes.
#[derive(Debug, Default)]
struct Hints {
    kinds: SmallVec<[TrackKind; 2]>,
    frame_rate: Option<FrameRate>,
}

impl Hints {
    fn told(&self, mut learning: Learning) -> Learning {
        learning.expect(&self.kinds, self.frame_rate);
        learning
    }
}

/// Frames by kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FramesReceived {
    /// Pictures.
    pub video: u64,
    /// Sound.
    pub audio: u64,
    /// Pictures that the encoder calls key.
    pub key: u64,
}

impl std::ops::Add for FramesReceived {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { video: self.video + other.video, audio: self.audio + other.audio, key: self.key + other.key }
    }
}

impl FramesReceived {
    fn count(&mut self, begin: &FrameBegin) {
        match begin.kind {
            TrackKind::Video => self.video += 1,
            TrackKind::Audio => self.audio += 1,
        }
        self.key += u64::from(begin.kind == TrackKind::Video && begin.key);
    }
}

impl Ingest {
    /// A publisher that has to be learnt first: for the values of a session, or for a new one.
    pub fn new(settings: LearningSettings, for_session: bool) -> Self {
        let learning = if for_session { Learning::for_session(settings) } else { Learning::new(settings) };
        Self {
            demuxer: Demuxer::new(),
            unwrap: Unwrap::default(),
            settings,
            hints: Hints::default(),
            learning: Some(learning),
            stream: LearntStream::default(),
            is_off_air: false,
            on_air_ms: None,
            newest_ms: [None, None],
            pace: Pace::default(),
            unsupported: None,
            frames: FramesReceived::default(),
            configured: SmallVec::new(),
            changes: 0,
        }
    }

    /// True when frames go to the session, or are ready to.
    pub fn is_live(&self) -> bool {
        self.learning.is_none()
    }

    /// True while it is held ready, learnt or not.
    pub fn is_off_air(&self) -> bool {
        self.is_off_air
    }

    /// What was learnt last of its tracks; nothing of one that never was.
    pub fn stream(&self) -> &LearntStream {
        &self.stream
    }

    /// Whether it keeps up.
    pub(super) fn pace(&self) -> &Pace {
        &self.pace
    }

    /// Looks whether it keeps up, by its newest picture, or by its newest sound if it has no pictures. More than
    /// `tolerance_us` late is behind.
    pub(super) fn note_pace(&mut self, tolerance_us: i64, now: Now) {
        self.pace.note(self.newest_ms[0].or(self.newest_ms[1]), tolerance_us, now);
    }

    /// It has to show anew that it keeps up.
    pub(super) fn unsettle(&mut self) {
        self.pace.unsettle();
    }

    /// It is to be held ready; a frame that is half here is lost.
    pub fn stand_by(&mut self) {
        self.is_off_air = true;
        self.on_air_ms = None;
    }

    /// Held ready or not, what it is learnt for is a session of its own, and its frames are kept for that.
    pub fn learn_anew(&mut self) {
        self.is_off_air = false;
        self.learning = Some(self.hints.told(Learning::new(self.settings)));
    }

    /// One that is still being learnt is not to be held ready any more.
    pub fn leave_stand_by(&mut self) {
        self.is_off_air = false;
    }

    /// The first codec that it sent and we do not take.
    pub fn unsupported(&self) -> Option<&str> {
        self.unsupported.as_deref()
    }

    /// What the demuxer noticed.
    pub fn findings(&self) -> Findings {
        self.demuxer.findings()
    }

    /// Tracks that it sends beside those that are played.
    pub fn extra_tracks(&self) -> &[ExtraTrack] {
        self.demuxer.extra_tracks()
    }

    /// What a kind's frames are decoded with that come now.
    pub fn config(&self, kind: TrackKind) -> Option<&CodecConfig> {
        self.demuxer.config(kind)
    }

    /// Frames begun.
    pub fn frames(&self) -> FramesReceived {
        self.frames
    }

    /// How often a kind that had been configured was configured anew since the last call, learning or not: each
    /// time what was kept of it is lost.
    pub fn take_changes(&mut self) -> u32 {
        std::mem::take(&mut self.changes)
    }

    /// What was learnt does not fit the values that were given: learns it for a new session.
    pub fn learn_again(&mut self, learnt: Learnt) {
        self.learning = Some(self.hints.told(Learning::again(learnt, self.settings)));
    }

    /// It was learnt: its frames go to the session from here on, or are ready to.
    pub fn finish_learning(&mut self, stream: LearntStream) {
        self.learning = None;
        self.stream = stream;
    }

    /// onMetaData says which kinds to expect. Hints only.
    pub fn metadata(&mut self, metadata: &StreamMetadata) {
        let named = |codec: Option<f64>, kind| codec.filter(|id| *id != CODEC_NONE).map(|_| kind);
        let kinds =
            [named(metadata.video_codec, TrackKind::Video), named(metadata.audio_codec, TrackKind::Audio)];
        self.hints = Hints {
            kinds: kinds.into_iter().flatten().collect(),
            frame_rate: metadata.framerate.and_then(FrameRate::from_f64),
        };
        if let Some(learning) = &mut self.learning {
            learning.expect(&self.hints.kinds, self.hints.frame_rate);
        }
    }

    /// When [`Ingest::handle_time`] wants to be called, monotonic microseconds.
    pub fn deadline_us(&self, now: Now) -> Option<u64> {
        self.learning.as_ref().and_then(|learning| learning.deadline_us(now))
    }

    /// Ends a learning that has waited long enough.
    pub fn handle_time(&mut self, now: Now) -> Option<Step> {
        let learnt = self.learning.as_mut()?.finish(&self.demuxer, now)?;
        Some(Step::Learnt(Box::new(learnt)))
    }

    /// One fragment. `live` is the stream's session, if there is one, and of one that is held ready only if it may
    /// go on air now; `found` is told of each frame on air. After [`Step::Relearn`] and [`Step::NewSession`] what
    /// follows is being learnt already.
    ///
    /// # Errors
    /// [`IngestError`].
    pub fn media(
        &mut self,
        fragment: &MediaFragment<'_>,
        mut live: Option<&mut Live>,
        found: &mut StreamFindings,
        now: Now,
        pool: &mut BufferPool,
    ) -> Result<Step, IngestError> {
        let fragment = Fragment {
            kind: fragment.kind,
            timestamp_ms: fragment.timestamp_ms,
            message_bytes: fragment.message_bytes,
            first: fragment.first,
            last: fragment.last,
            bytes: fragment.payload,
        };
        let mut step = Step::Continue;
        let mut said: Option<Hdr> = None;
        for event in self.demuxer.feed(fragment) {
            match event {
                Event::Config { kind, .. } => {
                    if self.configured.contains(&kind) {
                        self.changes += 1;
                    } else {
                        self.configured.push(kind);
                    }
                    step = reconfigure(&mut self.learning, &self.hints, self.settings, kind).unwrap_or(step);
                }
                Event::VideoMetadata { amf } => said = color_info(&amf).or(said),
                Event::FrameBegin(begin) => {
                    self.frames.count(&begin);
                    let timestamp_ms = self.unwrap.unwrap_ms(begin.timestamp_ms);
                    self.newest_ms[usize::from(begin.kind == TrackKind::Audio)] = Some(timestamp_ms);
                    let begins_track = begin.key || begin.kind == TrackKind::Audio;
                    if self.is_off_air && self.learning.is_none() {
                        let late_us = self.pace.late_us(timestamp_ms, now);
                        if begins_track && !self.stream.has(begin.kind) {
                            let learning = Learning::for_session(self.settings);
                            self.learning = Some(self.hints.told(learning));
                            step = Step::Relearn;
                        } else if let Some(live) = &mut live
                            && self.stream.begins_with(&begin)
                            && live.is_in_time(late_us, now)
                        {
                            let first = (&begin, timestamp_ms, late_us);
                            let is_hitless = live.take_over(&self.stream, first, now, pool)?;
                            self.is_off_air = false;
                            self.on_air_ms = Some(timestamp_ms);
                            step = Step::OnAir { is_hitless };
                        }
                    }
                    // The one that takes over is watched anew from the next frame on.
                    if !self.is_off_air && !matches!(step, Step::OnAir { .. }) {
                        found.frame_begins(&begin, timestamp_ms, now);
                    }
                    if let (None, false, Some(live)) = (&self.learning, self.is_off_air, &mut live) {
                        let is_known = live.config(begin.kind).is_some();
                        if is_known && !is_from_before(&mut self.on_air_ms, begin.kind, timestamp_ms) {
                            live.frame_begins(&begin, timestamp_ms, now, pool)?;
                        } else if !is_known && begins_track {
                            self.learning = Some(self.hints.told(Learning::new(self.settings)));
                            step = Step::NewSession;
                        }
                    }
                    if let Some(learning) = &mut self.learning {
                        learning.frame_begins(&begin, timestamp_ms);
                    }
                }
                Event::FrameBytes { kind, bytes } => match (&mut self.learning, &mut live) {
                    (Some(learning), _) => learning.frame_bytes(kind, &bytes),
                    (None, Some(live)) if !self.is_off_air => live.frame_bytes(kind, &bytes)?,
                    (None, _) => {}
                },
                Event::FrameEnd { kind, frame, fault } => {
                    if !self.is_off_air {
                        found.frame_ends(kind, frame.role);
                    }
                    match (&mut self.learning, &mut live) {
                        (Some(learning), _) => learning.frame_ends(kind, frame, fault.is_none(), now),
                        (None, Some(live)) if !self.is_off_air => {
                            live.frame_ends(kind, frame, fault.is_none(), now, pool)?;
                        }
                        (None, _) => {}
                    }
                }
                Event::Unsupported { what, .. } => {
                    self.unsupported.get_or_insert_with(|| what.to_string());
                }
                Event::EndOfSequence { .. } | Event::Refused { .. } => {}
            }
        }
        // Of the pictures that follow; a frame is never in the same message.
        if said.is_some_and(|hdr| self.demuxer.set_hdr(hdr).is_some()) {
            let kind = TrackKind::Video;
            self.changes += 1;
            step = reconfigure(&mut self.learning, &self.hints, self.settings, kind).unwrap_or(step);
        }
        // Frames come faster than a clock can be slewed, under the same configuration.
        if !self.is_off_air
            && self.learning.is_none()
            && live.as_ref().is_some_and(|live| live.has_lost_a_rate())
        {
            let kind = TrackKind::Video;
            step = reconfigure(&mut self.learning, &self.hints, self.settings, kind).unwrap_or(step);
        }
        match step {
            Step::Continue => Ok(self.handle_time(now).unwrap_or(step)),
            // The session is to be closed or ended before what was learnt can begin another.
            step => Ok(step),
        }
    }

    /// A message that fragments came of is not completed.
    ///
    /// # Errors
    /// [`IngestError`].
    pub fn media_aborted(
        &mut self,
        kind: TrackKind,
        live: Option<&mut Live>,
        now: Now,
        pool: &mut BufferPool,
    ) -> Result<(), IngestError> {
        if let Some(Event::FrameEnd { kind, frame, .. }) = self.demuxer.abort(kind) {
            match (&mut self.learning, live) {
                (Some(learning), _) => learning.frame_ends(kind, frame, false, now),
                (None, Some(live)) if !self.is_off_air => live.frame_ends(kind, frame, false, now, pool)?,
                (None, _) => {}
            }
        }
        Ok(())
    }
}

/// Sound of before the picture with which its publisher went on air would push all that follows it back.
fn is_from_before(on_air_ms: &mut Option<i64>, kind: TrackKind, timestamp_ms: i64) -> bool {
    let Some(from_ms) = on_air_ms.filter(|_| kind == TrackKind::Audio) else { return false };
    let is_before = (1..=TIMESTAMP_LEAP_MS_MAX).contains(&(from_ms - timestamp_ms));
    if !is_before {
        *on_air_ms = None;
    }
    is_before
}

/// A kind of track is configured anew: it is learnt again, if it is not being learnt anyway.
fn reconfigure(
    learning: &mut Option<Learning>,
    hints: &Hints,
    settings: LearningSettings,
    kind: TrackKind,
) -> Option<Step> {
    let step = learning.is_none().then_some(Step::Relearn);
    learning.get_or_insert_with(|| hints.told(Learning::for_session(settings))).config_changed(kind);
    step
}
