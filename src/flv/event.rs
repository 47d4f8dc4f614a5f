//! What goes into the demuxer and what comes out.

use super::tag::Unsupported;
use crate::codec::{self, CodecConfig, Frame, FrameError};
use crate::limits::{CODEC_CONFIG_BYTES_MAX, FLV_MESSAGE_TRACKS_MAX, FLV_TAG_HEADER_BYTES_MAX};
use crate::media::TrackKind;
use bytes::Bytes;
use std::ops::Deref;

/// A piece of an RTMP audio or video message.
#[derive(Debug, Clone, Copy)]
pub struct Fragment<'a> {
    /// By the message's type.
    pub kind: TrackKind,
    /// The message's timestamp as on the wire: it wraps.
    pub timestamp_ms: u32,
    /// Bytes of the whole message, as its header declares.
    pub message_bytes: u32,
    /// The message begins here.
    pub first: bool,
    /// The message ends here.
    pub last: bool,
    /// Empty only where the message is.
    pub bytes: &'a [u8],
}

/// One thing found in a publisher's media.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event<'a> {
    /// A configuration, new or changed; never for an identical repetition.
    Config {
        /// Whose it is.
        kind: TrackKind,
        /// What follows is decoded with it.
        config: CodecConfig,
    },
    /// A coded frame begins.
    FrameBegin(FrameBegin),
    /// The next bytes of the frame, as they stand in a sample: NAL units have 4-byte lengths, AV1 has no
    /// temporal delimiters.
    FrameBytes {
        /// Whose they are.
        kind: TrackKind,
        /// Never empty.
        bytes: Piece<'a>,
    },
    /// The frame has ended. With a fault its bytes are not to be used.
    FrameEnd {
        /// Whose it is.
        kind: TrackKind,
        /// What it turned out to be: what decoding needs before it.
        frame: Frame,
        /// Why the frame cannot be used.
        fault: Option<FrameFault>,
    },
    /// The publisher says that the track ends here.
    EndOfSequence {
        /// Whose end.
        kind: TrackKind,
    },
    /// Metadata of the pictures (Enhanced RTMP: `colorInfo`), in AMF0. It is of those that follow.
    VideoMetadata {
        /// At most [`VIDEO_METADATA_BYTES_MAX`](crate::limits::VIDEO_METADATA_BYTES_MAX).
        amf: Bytes,
    },
    /// Something that is not carried; once for each change. The other track is not touched by it.
    Unsupported {
        /// In messages of this kind.
        kind: TrackKind,
        /// What it is, ready to be shown to people.
        what: Unsupported,
    },
    /// A message was dropped whole.
    Refused {
        /// Its kind.
        kind: TrackKind,
        /// Why.
        fault: Fault,
    },
}

/// What is known of a frame before its first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameBegin {
    /// Whose it is.
    pub kind: TrackKind,
    /// Decoding time as on the wire.
    pub timestamp_ms: u32,
    /// Presentation time less decoding time; may be negative.
    pub composition_ms: i32,
    /// To be added to the presentation time, nanoseconds: less than a millisecond.
    pub offset_ns: u32,
    /// The FLV flag; always true for audio. [`Event::FrameEnd`] tells whether it was true.
    pub key: bool,
    /// Sound whose frames differ in length: samples of this one.
    pub samples: Option<u32>,
    /// Bytes of the frame on the wire; more than 0. NAL lengths of fewer than 4 bytes grow.
    pub coded_bytes: u32,
}

/// Bytes of a frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece<'a> {
    /// A slice of the fragment, or a few bytes that were made.
    Received(codec::Piece<'a>),
    /// From earlier fragments: the beginning of a frame of which something had to be known first.
    Kept(Bytes),
}

impl Deref for Piece<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Received(piece) => piece,
            Self::Kept(bytes) => bytes,
        }
    }
}

/// Why a frame that had begun cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameFault {
    /// The message was aborted or replaced.
    #[error("the message ended with {left} bytes of the frame to come")]
    Cut {
        /// Bytes that never came.
        left: u32,
    },
    /// Its bytes cannot be true.
    #[error("{0}")]
    Codec(#[from] FrameError),
    /// Nothing of it belongs in a sample.
    #[error("a frame without a byte of media")]
    Empty,
}

/// Why a message was dropped whole.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The header does not end within the message, or is longer than any known one.
    #[error("FLV tag header: does not end within the message or {FLV_TAG_HEADER_BYTES_MAX} bytes")]
    Header,
    /// A configuration record is too large.
    #[error("configuration record of {found} bytes exceeds {CODEC_CONFIG_BYTES_MAX}")]
    ConfigTooLarge {
        /// Bytes declared.
        found: u32,
    },
    /// The configuration cannot be used.
    #[error(transparent)]
    Codec(#[from] codec::ConfigError),
    /// A track of a message is larger than what is left of it, or smaller than its own header.
    #[error("a track of {found} bytes where {left} are left in the message")]
    TrackSize {
        /// Bytes that it names.
        found: u32,
        /// Bytes left in the message.
        left: u32,
    },
    /// Too many tracks in a message.
    #[error("more than {FLV_MESSAGE_TRACKS_MAX} tracks in a message")]
    TooManyTracks,
    /// A frame came before any configuration of its codec, or after one that was refused.
    #[error("a frame without a configuration")]
    NoConfig,
}

/// Counters of what is no event or no ordinary one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Findings {
    /// Configurations identical to the one in force.
    pub configs_repeated: u64,
    /// Messages, records or frames without a byte.
    pub messages_empty: u64,
    /// Metadata packets of Enhanced RTMP.
    pub metadata: u64,
    /// Channel layouts of Enhanced RTMP.
    pub channel_layouts: u64,
    /// Command frames.
    pub commands: u64,
    /// Messages of codecs and packet types that are not carried.
    pub unsupported: u64,
    /// Frames of tracks beside those that are played.
    pub extra_frames: u64,
    /// Messages dropped whole, each an [`Event::Refused`].
    pub messages_refused: u64,
    /// Messages whose rest never came.
    pub messages_cut: u64,
    /// Frames that ended with a fault, cut ones included.
    pub frames_faulty: u64,
}
