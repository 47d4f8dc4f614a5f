//! One publisher's media: RTMP fragments through the FLV demuxer, to the learning or to the session.

use super::colour::color_info;
use super::findings::StreamFindings;
use super::learning::{Learning, LearningSettings, Learnt};
use super::live::{Live, LiveError};
use crate::codec::{CodecConfig, Hdr};
use crate::flv::{Demuxer, Event, ExtraTrack, Findings, Fragment, FrameBegin};
use crate::fmp4::BufferPool;
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
    /// `None` once its frames go to the session.
    learning: Option<Learning>,
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
            unsupported: None,
            frames: FramesReceived::default(),
            configured: SmallVec::new(),
            changes: 0,
        }
    }

    /// True when frames go to the session.
    pub fn is_live(&self) -> bool {
        self.learning.is_none()
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

    /// Frames go to the session from here on.
    pub fn go_live(&mut self) {
        self.learning = None;
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

    /// One fragment. `live` is the stream's session, if there is one; `found` is told of each frame. After
    /// [`Step::Relearn`] and [`Step::NewSession`] what follows is being learnt already.
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
                    found.frame_begins(&begin, timestamp_ms, now);
                    if let (None, Some(live)) = (&self.learning, &mut live) {
                        let is_known = live.config(begin.kind).is_some();
                        if is_known {
                            live.frame_begins(&begin, timestamp_ms, now, pool)?;
                        } else if begin.key || begin.kind == TrackKind::Audio {
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
                    (None, Some(live)) => live.frame_bytes(kind, &bytes)?,
                    (None, None) => {}
                },
                Event::FrameEnd { kind, frame, fault } => {
                    found.frame_ends(kind, frame.role);
                    match (&mut self.learning, &mut live) {
                        (Some(learning), _) => learning.frame_ends(kind, frame, fault.is_none(), now),
                        (None, Some(live)) => live.frame_ends(kind, frame, fault.is_none(), now, pool)?,
                        (None, None) => {}
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
        if self.learning.is_none() && live.as_ref().is_some_and(|live| live.has_lost_a_rate()) {
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
                (None, Some(live)) => live.frame_ends(kind, frame, false, now, pool)?,
                (None, None) => {}
            }
        }
        Ok(())
    }
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
