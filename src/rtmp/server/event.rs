//! What a publisher's session says, and why it ends.

use std::fmt;

use crate::limits::{
    RTMP_COMMANDS_PER_S_MAX, RTMP_FIRST_MEDIA_TIMEOUT_MS, RTMP_HANDSHAKE_TIMEOUT_MS, RTMP_MEDIA_TIMEOUT_MS,
    RTMP_MESSAGE_STREAMS_MAX, RTMP_MESSAGES_PER_S_MAX, RTMP_OUTPUT_BYTES_MAX, RTMP_PUBLISH_TIMEOUT_MS,
};
use crate::media::{StreamName, TrackKind};
use crate::rtmp::amf::AmfError;
use crate::rtmp::chunk::ChunkError;
use crate::rtmp::{AggregateError, HandshakeError, Role, TargetError, Token};
use crate::wire::Truncated;

/// What may be set for a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerConfig {
    /// Milliseconds from the acceptance of the connection to the end of its handshake.
    pub handshake_timeout_ms: u32,
    /// Milliseconds from the acceptance of the connection to publish, and from an unpublish to the next one.
    pub publish_timeout_ms: u32,
    /// Milliseconds from the acceptance of a publish to the first media message.
    pub first_media_timeout_ms: u32,
    /// Milliseconds between two media messages.
    pub media_timeout_ms: u32,
    /// Note every message for [`crate::rtmp::ServerSession::take_messages`].
    pub note_messages: bool,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            handshake_timeout_ms: RTMP_HANDSHAKE_TIMEOUT_MS,
            publish_timeout_ms: RTMP_PUBLISH_TIMEOUT_MS,
            first_media_timeout_ms: RTMP_FIRST_MEDIA_TIMEOUT_MS,
            media_timeout_ms: RTMP_MEDIA_TIMEOUT_MS,
            note_messages: false,
        }
    }
}

/// What happened on a publisher's connection.
#[derive(Debug)]
pub enum Event<'a> {
    /// The client asks to publish and waits. To be answered with `accept_publish` or `reject_publish`; the
    /// rest of the input may wait until then.
    PublishRequested(Box<PublishRequest>),
    /// It asked for what cannot be a stream and was refused. It may ask again until the deadline.
    PublishRefused(TargetError),
    /// A piece of an audio or video message.
    Media(MediaFragment<'a>),
    /// The message of this kind that was begun is never completed: what was given of it is to be dropped.
    MediaAborted(TrackKind),
    /// The encoder describes its stream.
    Metadata(Box<crate::rtmp::StreamMetadata>),
    /// The client ended its publish, or withdrew it before it was answered: once for each publish that was
    /// not rejected. A message that was begun is to be dropped; media that follows is ignored.
    Unpublished(UnpublishCause),
}

/// A client asks to publish.
#[derive(Debug, Clone)]
pub struct PublishRequest {
    /// The stream, checked.
    pub name: StreamName,
    /// The secret that came with it.
    pub token: Option<Token>,
    /// Which of the two publishers of the stream it is.
    pub role: Role,
    /// What the encoder calls itself in connect (flashVer); may be empty, at most 128 characters.
    pub encoder: String,
}

/// A piece of an audio or video message: the body of an FLV tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MediaFragment<'a> {
    /// Audio or video.
    pub kind: TrackKind,
    /// The message's time as it was sent, milliseconds modulo 2^32.
    pub timestamp_ms: u32,
    /// Bytes of the whole message.
    pub message_bytes: u32,
    /// The piece; empty only in a message without payload.
    pub payload: &'a [u8],
    /// The message begins with it.
    pub first: bool,
    /// The message is complete with it.
    pub last: bool,
}

/// How a publish is refused. Encoders know only these two: to any other code OBS waits for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The name is in use or not allowed.
    BadName,
    /// The client may not.
    Denied,
}

/// The command with which a client ended its publish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnpublishCause {
    /// FCUnpublish.
    FcUnpublish,
    /// deleteStream.
    DeleteStream,
    /// closeStream.
    CloseStream,
}

/// What a session waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// C0, C1 and C2.
    Handshake,
    /// connect.
    Connect,
    /// publish, the first one or another after an unpublish or a refusal.
    Publish,
    /// Our own answer to a publish.
    Decision,
    /// The first media message.
    FirstMedia,
    /// The next media message.
    Media,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Handshake => "the handshake",
            Self::Connect => "connect",
            Self::Publish => "publish",
            Self::Decision => "a decision",
            Self::FirstMedia => "the first audio or video",
            Self::Media => "more audio or video",
        })
    }
}

/// Why a session ends. No message repeats what a peer wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// The connection is no RTMP.
    #[error("handshake: {0}")]
    Handshake(#[from] HandshakeError),
    /// Chunks that cannot be read.
    #[error(transparent)]
    Chunk(#[from] ChunkError),
    /// A command or metadata that cannot be read.
    #[error(transparent)]
    Amf(#[from] AmfError),
    /// An aggregate that cannot be read.
    #[error(transparent)]
    Aggregate(#[from] AggregateError),
    /// A control message that is too short.
    #[error("control message: {0}")]
    Control(Truncated),
    /// An AMF3 envelope of a format that is not defined.
    #[error("AMF3 envelope of format {found:?}; 0 is defined")]
    Envelope {
        /// The format, `None` in an empty message.
        found: Option<u8>,
    },
    /// A command without a name.
    #[error("a command without a name")]
    NamelessCommand,
    /// A command in the wrong place.
    #[error("{command} while waiting for {phase}")]
    CommandOrder {
        /// The kind of command.
        command: &'static str,
        /// What was waited for.
        phase: Phase,
    },
    /// A publish on a message stream that was not created.
    #[error("publish on message stream {found}, which was not created")]
    UnknownMessageStream {
        /// The message stream.
        found: u32,
    },
    /// Media that nobody asked for.
    #[error("{kind:?} before a publish was accepted")]
    MediaBeforePublish {
        /// Its kind.
        kind: TrackKind,
    },
    /// Two unfinished messages of one kind.
    #[error("{kind:?} begins on chunk stream {chunk_stream} while a message is unfinished on {open}")]
    ParallelMedia {
        /// Their kind.
        kind: TrackKind,
        /// Where the first one is.
        open: u32,
        /// Where the second one begins.
        chunk_stream: u32,
    },
    /// Two unfinished aggregates.
    #[error("an aggregate begins on chunk stream {chunk_stream} while another is unfinished on {open}")]
    ParallelAggregates {
        /// Where the first one is.
        open: u32,
        /// Where the second one begins.
        chunk_stream: u32,
    },
    /// Too many messages, for too long.
    #[error("more than {RTMP_MESSAGES_PER_S_MAX} messages a second, however slowly they were read")]
    TooManyMessages,
    /// Too many commands.
    #[error("more than {RTMP_COMMANDS_PER_S_MAX} commands a second")]
    TooManyCommands,
    /// Too many message streams.
    #[error("more than {RTMP_MESSAGE_STREAMS_MAX} message streams")]
    TooManyMessageStreams,
    /// The client does not read our answers.
    #[error("{found} bytes wait for a client that does not read; {RTMP_OUTPUT_BYTES_MAX} are allowed")]
    OutputFull {
        /// Bytes that wait.
        found: usize,
    },
    /// The peer took too long.
    #[error("timed out waiting for {waiting_for}")]
    TimedOut {
        /// What for.
        waiting_for: Phase,
    },
}
