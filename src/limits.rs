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
// HTTP ----------------------------------------------------------------------------------------

/// Bytes of a request head. Browsers send under 1 KiB; CMCD and signed queries reach 3 KiB.
pub const HTTP_HEAD_BYTES_MAX: usize = 8 * 1024;
/// Bytes of a request target. Room for a long signed query, and for fields after it.
pub const HTTP_TARGET_BYTES_MAX: usize = 4 * 1024;
const _: () = assert!(HTTP_TARGET_BYTES_MAX < HTTP_HEAD_BYTES_MAX);
/// Fields of a request head; they are kept on the stack. Browsers behind a CDN send about 30.
pub const HTTP_FIELDS_MAX: usize = 64;
/// Bytes of a request body: only the JSON interface takes any, and its requests are small.
pub const HTTP_BODY_BYTES_MAX: u64 = 16 * 1024;
/// Bytes of a field value that we print, the longest being a Content-Range of three 20-digit numbers.
pub const HTTP_FIELD_PRINTED_BYTES_MAX: usize = 80;
const _: () = assert!(HTTP_FIELD_PRINTED_BYTES_MAX >= "bytes -/".len() + 3 * 20);

// Tokens --------------------------------------------------------------------------------------

/// Bytes of a publish token: a header, three short claims and a name of at most 386 characters, in base64.
pub const TOKEN_BYTES_MAX: usize = 1024;
/// Bytes of a stream's name in a token: the longest name there is.
pub const TOKEN_SUBJECT_BYTES_MAX: usize = (APP_SEGMENTS_MAX + 1) * NAME_SEGMENT_CHARS_MAX + APP_SEGMENTS_MAX;
const _: () = assert!((TOKEN_SUBJECT_BYTES_MAX + 128) * 4 / 3 + 128 <= TOKEN_BYTES_MAX);
/// Addresses whose failed attempts are remembered; about 64 KiB. A full table forgets the oldest.
pub const BACKOFF_ADDRESSES_MAX: usize = 1024;
/// Failed attempts that cost nothing: a wrong paste or two in OBS.
pub const BACKOFF_FREE_ATTEMPTS: u32 = 3;
/// The first wait after those, microseconds; doubled by each further failure.
pub const BACKOFF_FIRST_US: u64 = 1_000_000;
/// The longest wait, microseconds; failures are forgotten after as long without one.
pub const BACKOFF_LONGEST_US: u64 = 300_000_000;
const _: () = assert!(BACKOFF_FIRST_US < BACKOFF_LONGEST_US);
