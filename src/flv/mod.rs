//! FLV tag bodies as RTMP carries them (FLV 10.1, annex E.4; Enhanced RTMP v2): codec headers and
//! frames, out of the fragments of messages as they arrive.
//!
//! Nothing is assembled but configuration records, metadata, and the beginning of a frame of which something
//! must be known before it can be placed: AC-3 and VP9 are configured by their first frame, key frames and some
//! sound say in band that their configuration is another one, and packets of Opus say themselves how long they last.
//! All other bytes of a frame are handed on as slices of the input,
//! and its structure is walked on the way.
//!
//! Whether a frame is a key frame is said twice. [`FrameBegin::key`] is the FLV flag, known before
//! the first byte: a cut is decided on it. [`Event::FrameEnd`] says what the frame really was: only a picture
//! that needs nothing before it makes a sync sample, and makes a part independent. A segment that
//! was cut at a flagged frame without one is then a forced cut, and counted as one.
//!
//! A publisher may send several tracks of a kind. Track 0 is the one that is played, whether a message
//! names it or not; the others are counted and listed.

mod channels;
mod event;
mod events;
mod extra;
mod tag;

pub use channels::ChannelLayout;
pub use event::{Event, Fault, Findings, Fragment, FrameBegin, FrameFault, Piece};
pub use events::Events;
pub use extra::ExtraTrack;
pub use tag::Unsupported;

use crate::codec::{Codec, CodecConfig, FrameWalker, Hdr, Unfinished};
use crate::limits::FLV_TAG_HEADER_BYTES_MAX;
use crate::media::TrackKind;
use bytes::Bytes;
use extra::ExtraTracks;
use smallvec::SmallVec;
use tag::Media;

/// Turns one publisher's media messages into events. One state for each kind of track, so audio
/// fragments may stand between video fragments.
#[derive(Debug, Default)]
pub struct Demuxer {
    video: Track,
    audio: Track,
    extra: ExtraTracks,
    findings: Findings,
}

impl Demuxer {
    /// A demuxer that has seen no configuration.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes one fragment. The events borrow from its bytes; those that the caller leaves in the
    /// iterator are worked off when it is dropped.
    pub fn feed<'d, 'a>(&'d mut self, fragment: Fragment<'a>) -> Events<'d, 'a> {
        let track = match fragment.kind {
            TrackKind::Video => &mut self.video,
            TrackKind::Audio => &mut self.audio,
        };
        Events::new(track, &mut self.extra, &mut self.findings, fragment)
    }

    /// The rest of a message never comes (RTMP Abort, or the end of the connection). A frame that
    /// had begun ends with a fault.
    pub fn abort(&mut self, kind: TrackKind) -> Option<Event<'static>> {
        match kind {
            TrackKind::Video => self.video.cut(kind, &mut self.findings),
            TrackKind::Audio => self.audio.cut(kind, &mut self.findings),
        }
    }

    /// The configuration in force; `None` before the first and after one that was refused.
    pub fn config(&self, kind: TrackKind) -> Option<&CodecConfig> {
        match kind {
            TrackKind::Video => self.video.config.as_ref(),
            TrackKind::Audio => self.audio.config.as_ref(),
        }
    }

    /// The newest layout of the sound's channels, when the publisher has said one.
    pub fn channel_layout(&self) -> Option<ChannelLayout> {
        self.audio.channels
    }

    /// What [`Event::VideoMetadata`] said, for this configuration of the pictures and those that follow. The
    /// configuration, if that changes the one in force.
    pub fn set_hdr(&mut self, hdr: Hdr) -> Option<CodecConfig> {
        self.video.hdr = hdr;
        let config = self.video.config.as_mut()?;
        // What the bitstream says holds, whatever is said beside it.
        let said = config.clone().with_hdr(hdr);
        let is_change = config.hdr() != said.hdr();
        *config = said;
        is_change.then(|| config.clone())
    }

    /// Tracks beside the two that are played, in the order in which they came.
    pub fn extra_tracks(&self) -> &[ExtraTrack] {
        self.extra.listed()
    }

    /// What was met so far that is no event or no ordinary one.
    pub fn findings(&self) -> Findings {
        self.findings
    }
}

/// What is known of the track that is played, and of the message of its kind that is being received.
#[derive(Debug, Default)]
struct Track {
    config: Option<CodecConfig>,
    /// A configuration that only a frame completes. The one in force stays until then.
    unfinished: Option<Unfinished>,
    /// The record in force came again: what it does not hold may have changed, which the next frame says
    /// that can.
    again: Option<Unfinished>,
    /// The last record, parsed or not, so that repetitions are known.
    record: Option<(Codec, Bytes)>,
    hdr: Hdr,
    channels: Option<ChannelLayout>,
    /// Reported last, so that each is reported once.
    unsupported: Option<Unsupported>,
    message: Message,
    state: State,
}

/// The message that is being received.
#[derive(Debug, Default)]
struct Message {
    /// Its header, once it is read.
    media: Option<Media>,
    /// Tracks begun.
    tracks: u8,
    /// Bytes of it behind the header or body that is being received, and behind what was taken of a header.
    left: u32,
}

/// Where in a message the track stands.
#[derive(Debug, Default)]
enum State {
    /// Between messages, or in one whose rest is of no use.
    #[default]
    Idle,
    /// In the header of the message or of a track; `bytes` holds what earlier fragments had of it.
    Header { bytes: SmallVec<[u8; FLV_TAG_HEADER_BYTES_MAX]> },
    /// In a record of which all bytes are needed; bounded by its kind.
    Record { what: Record, bytes: Vec<u8>, left: u32 },
    /// In a body of no use.
    Skip { left: u32 },
    /// In a frame of which the first `wanted` bytes must be known before it begins.
    Head { begin: FrameBegin, codec: Codec, bytes: Vec<u8>, wanted: u32 },
    /// In a frame. `kept`: bytes of it from earlier fragments that are to be walked first.
    Frame { walker: FrameWalker, kept: Bytes, is_empty: bool },
}

/// What is assembled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Record {
    /// A configuration of this track.
    Config { track: u8, codec: Codec },
    /// Metadata of the pictures.
    VideoMetadata,
    /// A layout of channels.
    Channels,
}

impl Track {
    fn cut(&mut self, kind: TrackKind, findings: &mut Findings) -> Option<Event<'static>> {
        let state = std::mem::take(&mut self.state);
        if !matches!(state, State::Idle) {
            findings.messages_cut += 1;
        }
        let State::Frame { walker, .. } = state else { return None };
        findings.frames_faulty += 1;
        let fault = Some(FrameFault::Cut { left: walker.left() });
        Some(Event::FrameEnd { kind, frame: walker.so_far(), fault })
    }
}

#[cfg(test)]
mod tests;
