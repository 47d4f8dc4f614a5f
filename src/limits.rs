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
