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

// Control thread ------------------------------------------------------------------------------

/// Commands and log lines that wait for the control thread; more are dropped and counted. A line is
/// about 200 bytes, so this is about 1 MiB.
pub const CONTROL_QUEUE_MAX: usize = 4096;
/// Stream records read at start: the newest ones. About 200 bytes each in memory.
pub const STATE_RECORDS_MAX: usize = 10_000;
/// Bytes of one record; a larger file is not ours.
pub const STATE_RECORD_BYTES_MAX: u64 = 4096;
