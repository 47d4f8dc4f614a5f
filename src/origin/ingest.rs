//! One publisher's media: RTMP fragments through the FLV demuxer, to the learning or to the session.

use super::learning::{Learning, Learnt};
use super::live::{Live, LiveError};
use crate::flv::{Demuxer, Event, Findings, Fragment, FrameBegin};
use crate::fmp4::BufferPool;
use crate::media::Unwrap;
use crate::media::{Now, TrackKind};
use crate::rtmp::{MediaFragment, StreamMetadata};

/// videocodecid and audiocodecid of FLV that say "none".
const CODEC_NONE: f64 = 0.0;

/// What the publisher's input asks of the stream.
#[derive(Debug)]
pub enum Step {
    /// Nothing.
    Continue,
    /// Its parameters changed: close what is open, learn it anew for the same session.
    Relearn,
    /// It has a track that the session has not: end the session, learn it for a new one.
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
    /// `None` once its frames go to the session.
    learning: Option<Learning>,
    unsupported: Option<String>,
    frames: FramesReceived,
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
        Self {
            video: self.video + other.video,
            audio: self.audio + other.audio,
            key: self.key + other.key,
        }
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
    /// A publisher that has to be learnt first.
    pub fn new(learning: Learning) -> Self {
        Self {
            demuxer: Demuxer::new(),
            unwrap: Unwrap::default(),
            learning: Some(learning),
            unsupported: None,
            frames: FramesReceived::default(),
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

    /// Frames begun.
    pub fn frames(&self) -> FramesReceived {
        self.frames
    }

    /// Learns from here on.
    pub fn learn(&mut self, learning: Learning) {
        self.learning = Some(learning);
    }

    /// Frames go to the session from here on.
    pub fn go_live(&mut self) {
        self.learning = None;
    }

    /// onMetaData says which kinds to expect. Hints only.
    pub fn metadata(&mut self, metadata: &StreamMetadata) {
        let Some(learning) = &mut self.learning else { return };
        let named = |codec: Option<f64>, kind| codec.filter(|id| *id != CODEC_NONE).map(|_| kind);
        let kinds = [
            named(metadata.video_codec, TrackKind::Video),
            named(metadata.audio_codec, TrackKind::Audio),
        ];
        let kinds: smallvec::SmallVec<[TrackKind; 2]> = kinds.into_iter().flatten().collect();
        learning.expect(&kinds, metadata.framerate);
    }

    /// When [`Ingest::handle_time`] wants to be called, monotonic microseconds.
    pub fn deadline_us(&self) -> Option<u64> {
        self.learning.as_ref().and_then(Learning::deadline_us)
    }

    /// Ends a learning that has waited long enough.
    pub fn handle_time(&mut self, now: Now) -> Option<Step> {
        let learnt = self.learning.as_mut()?.finish(&self.demuxer, now)?;
        Some(Step::Learnt(Box::new(learnt)))
    }

    /// One fragment. `live` is the stream's session, if there is one.
    ///
    /// # Errors
    /// [`IngestError`].
    pub fn media(
        &mut self,
        fragment: &MediaFragment<'_>,
        live: Option<&mut Live>,
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
        match (&mut self.learning, live) {
            (None, Some(live)) => {
                for event in self.demuxer.feed(fragment) {
                    match event {
                        Event::Config { .. } => return Ok(Step::Relearn),
                        Event::FrameBegin(begin) => {
                            if live.config(begin.kind).is_none() {
                                return Ok(Step::NewSession);
                            }
                            self.frames.count(&begin);
                            let timestamp_ms = self.unwrap.unwrap_ms(begin.timestamp_ms);
                            live.frame_begins(&begin, timestamp_ms, now, pool)?;
                        }
                        Event::FrameBytes { kind, bytes } => live.frame_bytes(kind, &bytes)?,
                        Event::FrameEnd { kind, idr, fault } => {
                            live.frame_ends(kind, idr, fault.is_none(), now, pool)?;
                        }
                        Event::Unsupported { what, .. } => {
                            self.unsupported.get_or_insert_with(|| what.to_string());
                        }
                        Event::EndOfSequence { .. } | Event::Refused { .. } => {}
                    }
                }
                Ok(Step::Continue)
            }
            (Some(learning), _) => {
                let mut frame_ended = false;
                for event in self.demuxer.feed(fragment) {
                    match event {
                        // Frames that were kept under another configuration cannot be decoded with this one.
                        Event::Config { kind, .. } => learning.config_changed(kind),
                        Event::FrameBegin(begin) => {
                            self.frames.count(&begin);
                            learning.frame_begins(&begin, self.unwrap.unwrap_ms(begin.timestamp_ms));
                        }
                        Event::FrameBytes { kind, bytes } => learning.frame_bytes(kind, &bytes),
                        Event::FrameEnd { kind, idr, fault } => {
                            learning.frame_ends(kind, idr, fault.is_none(), now);
                            frame_ended = true;
                        }
                        Event::Unsupported { what, .. } => {
                            self.unsupported.get_or_insert_with(|| what.to_string());
                        }
                        Event::EndOfSequence { .. } | Event::Refused { .. } => {}
                    }
                }
                let learnt = if frame_ended { learning.finish(&self.demuxer, now) } else { None };
                Ok(learnt.map_or(Step::Continue, |learnt| Step::Learnt(Box::new(learnt))))
            }
            // A session ends only through `Home`, which sets a learning.
            (None, None) => Ok(Step::NewSession),
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
        if let Some(Event::FrameEnd { kind, .. }) = self.demuxer.abort(kind) {
            match (&mut self.learning, live) {
                (Some(learning), _) => learning.frame_ends(kind, false, false, now),
                (None, Some(live)) => live.frame_ends(kind, false, false, now, pool)?,
                (None, None) => {}
            }
        }
        Ok(())
    }
}
