//! Every bound of the server in one place, each with its reason, and assertions between neighbours.
//!
//! A queue, map, loop or recursion over what a peer sends points at a line of this file.

// Names ---------------------------------------------------------------------------------------

/// Characters of one path segment of a stream's name (`app`, `key`).
pub const NAME_SEGMENT_CHARS_MAX: usize = 128;
/// Path segments of an application name: ffmpeg takes up to two of a URL's.
pub const APP_SEGMENTS_MAX: usize = 2;
/// Characters of a stream's name in a log line.
pub const NAME_LOGGED_CHARS_MAX: usize = 64;
/// First path segments that the HTTP side keeps for itself, so that no application has them.
pub const APPS_RESERVED: [&str; 7] = ["api", "watch", "status", "metrics", "health", "ready", "assets"];

// Demo encoder --------------------------------------------------------------------------------

/// Pixels of the demo picture, across: five for each of the clock's 64 cells, so that they survive compression,
pub const DEMO_WIDTH_MIN: u16 = 320;
/// to what one core encodes in real time.
pub const DEMO_WIDTH_MAX: u16 = 1920;
const _: () = assert!(DEMO_WIDTH_MIN < DEMO_WIDTH_MAX);
/// Lines of the demo picture: twelve for the clock's row,
pub const DEMO_HEIGHT_MIN: u16 = 180;
/// to what goes with the greatest width.
pub const DEMO_HEIGHT_MAX: u16 = 1080;
const _: () = assert!(DEMO_HEIGHT_MIN < DEMO_HEIGHT_MAX);
/// Frames a second: below this a frame no longer fits the shortest part,
pub const DEMO_FPS_MIN: u32 = 10;
/// above it one core no longer encodes in real time.
pub const DEMO_FPS_MAX: u32 = 60;
const _: () = assert!(DEMO_FPS_MIN < DEMO_FPS_MAX);
/// Frames from one IDR to the next: ten seconds at the highest rate.
pub const DEMO_GOP_FRAMES_MAX: u32 = 10 * DEMO_FPS_MAX;
/// Bits a second below which the clock's cells would no longer be readable (tested at this rate),
pub const DEMO_BITRATE_BITS_MIN: u32 = 100_000;
/// and beyond which the picture gains nothing.
pub const DEMO_BITRATE_BITS_MAX: u32 = 20_000_000;
const _: () = assert!(DEMO_BITRATE_BITS_MIN < DEMO_BITRATE_BITS_MAX);
/// Milliseconds from connecting to the accepted publish. Longer than the server makes a second
/// publisher wait for the first one's silence.
pub const DEMO_CONNECT_MS_MAX: u64 = 10_000;
/// Milliseconds that the server may refuse to take our bytes.
pub const DEMO_WRITE_MS_MAX: u64 = 5_000;
/// Milliseconds a blocking read waits before the encoder looks whether it is to stop.
pub const DEMO_READ_MS_MAX: u64 = 100;
const _: () = assert!(DEMO_READ_MS_MAX < DEMO_CONNECT_MS_MAX);
/// Milliseconds that the encoder waits, when stopped, for the server to close the connection.
pub const DEMO_CLOSE_MS_MAX: u64 = 1_000;
const _: () = assert!(DEMO_READ_MS_MAX < DEMO_CLOSE_MS_MAX);
/// Milliseconds before the first reconnection; doubled at each that fails,
pub const DEMO_BACKOFF_MS_MIN: u64 = 100;
/// up to this: a restarted server is on air again about two seconds later.
pub const DEMO_BACKOFF_MS_MAX: u64 = 2_000;
const _: () = assert!(DEMO_BACKOFF_MS_MIN < DEMO_BACKOFF_MS_MAX);
/// Milliseconds that the encoder may fall behind before it skips frames instead of hurrying after them.
pub const DEMO_LATE_MS_MAX: u64 = 500;
// RTMP ----------------------------------------------------------------------------------------

/// Chunk streams of one connection. Clients use six; the table is searched linearly.
pub const RTMP_CHUNK_STREAMS_MAX: usize = 64;
/// Messages of one connection that may be half received at once: one per track kind, and room for
/// commands between them.
pub const RTMP_PARTIAL_MESSAGES_MAX: usize = 8;
const _: () = assert!(RTMP_PARTIAL_MESSAGES_MAX <= RTMP_CHUNK_STREAMS_MAX);
/// Chunk size before anybody sets one (Adobe RTMP 1.0, 5.4.1).
pub const RTMP_CHUNK_BYTES_DEFAULT: u32 = 128;
/// Largest chunk: a message is no longer than this.
pub const RTMP_CHUNK_BYTES_MAX: u32 = 0xff_ffff;
/// The chunk size of our replies: each of them is one chunk.
pub const RTMP_CHUNK_BYTES_SENT: u32 = 4096;
const _: () = assert!(RTMP_CHUNK_BYTES_SENT <= RTMP_CHUNK_BYTES_MAX);
/// A protocol control or user control message: the largest defined one has 10 bytes.
pub const RTMP_CONTROL_BYTES_MAX: u32 = 64;
/// A command or data message before a publish is accepted: a connect with all its capabilities
/// is under 2 KiB.
pub const RTMP_COMMAND_BYTES_MAX_BEFORE_PUBLISH: u32 = 16 * 1024;
/// A command or data message afterwards: metadata may carry cue points and captions.
pub const RTMP_COMMAND_BYTES_MAX: u32 = 64 * 1024;
const _: () = assert!(RTMP_CONTROL_BYTES_MAX < RTMP_COMMAND_BYTES_MAX_BEFORE_PUBLISH);
const _: () = assert!(RTMP_COMMAND_BYTES_MAX_BEFORE_PUBLISH <= RTMP_COMMAND_BYTES_MAX);
/// An audio message: one second of 8-channel FLAC is under it.
pub const RTMP_AUDIO_BYTES_MAX: u32 = 256 * 1024;
/// A video or aggregate message: a key frame at 60 Mbit/s that takes a whole second.
pub const RTMP_VIDEO_BYTES_MAX: u32 = 8 * 1024 * 1024;
const _: () = assert!(RTMP_COMMAND_BYTES_MAX <= RTMP_AUDIO_BYTES_MAX);
const _: () = assert!(RTMP_AUDIO_BYTES_MAX <= RTMP_VIDEO_BYTES_MAX);
const _: () = assert!(RTMP_VIDEO_BYTES_MAX <= RTMP_CHUNK_BYTES_MAX);
/// Bytes that one connection may have in half-received messages. It follows from the others, since
/// one message per track kind may be open: stated for whoever sizes a host.
pub const RTMP_PENDING_BYTES_MAX: u32 = 12 * 1024 * 1024;
const _: () = assert!(
    RTMP_VIDEO_BYTES_MAX + RTMP_AUDIO_BYTES_MAX + RTMP_PARTIAL_MESSAGES_MAX as u32 * RTMP_COMMAND_BYTES_MAX
        <= RTMP_PENDING_BYTES_MAX
);
/// Payload bytes that must come with each continuation chunk header on average, so that a chunk
/// size of 1 cannot buy two parser steps a byte. Message starts are bounded by rate instead: silent
/// AAC is honest at ten bytes a message.
pub const RTMP_PAYLOAD_BYTES_PER_HEADER_MIN: u32 = 64;
/// Bytes over which that average is taken.
pub const RTMP_HEADER_CREDIT_BYTES: u32 = 1024 * 1024;
const _: () = assert!(RTMP_PAYLOAD_BYTES_PER_HEADER_MIN < RTMP_CHUNK_BYTES_DEFAULT);
const _: () = assert!(RTMP_PAYLOAD_BYTES_PER_HEADER_MIN < RTMP_HEADER_CREDIT_BYTES);
/// Messages a second of one connection: 240 fps with eight audio tracks is under 700.
pub const RTMP_MESSAGES_PER_S_MAX: u32 = 2000;
/// Messages at once after a network stall: 20 s of a usual stream (60 fps and 47 audio frames a second).
pub const RTMP_MESSAGES_BURST_MAX: u32 = 4000;
/// Commands a second of one connection: a publisher opens with five.
pub const RTMP_COMMANDS_PER_S_MAX: u32 = 32;
const _: () = assert!(RTMP_COMMANDS_PER_S_MAX < RTMP_MESSAGES_PER_S_MAX);
const _: () = assert!(RTMP_MESSAGES_PER_S_MAX <= RTMP_MESSAGES_BURST_MAX);
/// Message streams of one connection; a publisher needs one.
pub const RTMP_MESSAGE_STREAMS_MAX: u32 = 8;
/// Reply bytes that wait for a client which does not read; beyond it the connection ends.
pub const RTMP_OUTPUT_BYTES_MAX: usize = 64 * 1024;
/// Characters of a description that we send to a client.
pub const RTMP_DESCRIPTION_CHARS_MAX: usize = 512;
const _: () = assert!(RTMP_DESCRIPTION_CHARS_MAX * 4 < RTMP_OUTPUT_BYTES_MAX);
/// Characters of an encoder's name that are kept.
pub const RTMP_ENCODER_CHARS_MAX: usize = 128;
/// Characters of a token; a signed one is under 400.
pub const RTMP_TOKEN_CHARS_MAX: usize = 2048;
/// Window of acknowledgements that we announce; real clients announce the same.
pub const RTMP_ACK_WINDOW_BYTES: u32 = 2_500_000;
/// Smallest acknowledgement window of a peer that we follow: each one costs 16 bytes.
pub const RTMP_ACK_WINDOW_BYTES_MIN: u32 = 4096;
const _: () = assert!(RTMP_ACK_WINDOW_BYTES_MIN <= RTMP_ACK_WINDOW_BYTES);

/// Nesting of an AMF value. Real metadata nests three deep; one stack frame each.
pub const AMF_DEPTH_MAX: usize = 16;
/// Values in one AMF message; the largest metadata seen has 26.
pub const AMF_VALUES_MAX: usize = 512;
/// Named properties in one AMF message.
pub const AMF_KEYS_MAX: usize = 256;
const _: () = assert!(AMF_DEPTH_MAX < AMF_KEYS_MAX && AMF_KEYS_MAX <= AMF_VALUES_MAX);
/// Bytes of an AMF string or key.
pub const AMF_STRING_BYTES_MAX: usize = 8 * 1024;
const _: () = assert!(AMF_STRING_BYTES_MAX < RTMP_COMMAND_BYTES_MAX_BEFORE_PUBLISH as usize);

/// From accept to the last byte of the handshake. Deadlines are absolute: a byte a second buys nothing.
pub const RTMP_HANDSHAKE_TIMEOUT_MS: u32 = 5_000;
/// From the handshake to connect.
pub const RTMP_CONNECT_TIMEOUT_MS: u32 = 5_000;
/// From accept to publish, and from an unpublish to the next publish.
pub const RTMP_PUBLISH_TIMEOUT_MS: u32 = 10_000;
const _: () = assert!(RTMP_HANDSHAKE_TIMEOUT_MS + RTMP_CONNECT_TIMEOUT_MS <= RTMP_PUBLISH_TIMEOUT_MS);
/// From the acceptance of a publish to the first media message; OBS takes up to 2.2 s.
pub const RTMP_FIRST_MEDIA_TIMEOUT_MS: u32 = 15_000;
/// Between two media messages. Bytes that complete no message do not count.
pub const RTMP_MEDIA_TIMEOUT_MS: u32 = 10_000;
const _: () = assert!(RTMP_MEDIA_TIMEOUT_MS <= RTMP_FIRST_MEDIA_TIMEOUT_MS);
