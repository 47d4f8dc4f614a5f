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

// Playlists and retention ---------------------------------------------------------------------

/// Renditions of one session: a ladder of a few pictures, languages of sound.
pub const RENDITIONS_MAX: usize = 16;
/// Characters of a rendition's name in URLs.
pub const RENDITION_NAME_CHARS_MAX: usize = 16;
/// Different rendition names whose numbers a stream remembers; the server makes them up, not the publisher.
pub const RENDITION_NAMES_KEPT_MAX: usize = 64;
const _: () = assert!(RENDITION_NAMES_KEPT_MAX >= RENDITIONS_MAX);
/// Sessions of one stream kept at once, ended ones included. A publisher that changes its tracks again
/// and again makes a session each time; the oldest ended one goes when there is no room.
pub const SESSIONS_KEPT_MAX: usize = 16;
const _: () = assert!(SESSIONS_KEPT_MAX >= 2);
/// Complete segments that a window may be asked to hold: over an hour of the shortest, 2 s.
pub const WINDOW_SEGMENTS_MAX: u32 = 2_000;
/// GAP segments before a session's first; Apple's rule asks for 6 segments in a live playlist.
pub const PREFILL_GAP_SEGMENTS_MAX: u32 = 16;
const _: () = assert!(PREFILL_GAP_SEGMENTS_MAX < WINDOW_SEGMENTS_MAX);
/// Segments of one rendition in memory, listed or in retention. Retention lasts about as long again
/// as the window.
pub const SEGMENTS_KEPT_MAX: usize = 8_192;
const _: () = assert!(SEGMENTS_KEPT_MAX >= 4 * WINDOW_SEGMENTS_MAX as usize);
/// Parts of one rendition in memory; about 100 bytes each beside their media.
pub const PARTS_KEPT_MAX: usize = 131_072;
const _: () = assert!(PARTS_KEPT_MAX >= 16 * SEGMENTS_KEPT_MAX);
/// Init segments of one rendition in memory: one for each change of parameters within retention.
pub const INITS_KEPT_MAX: usize = 1_024;
const _: () = assert!(INITS_KEPT_MAX <= SEGMENTS_KEPT_MAX);
/// Share of a stream's retained bytes above which its window shrinks to three target durations. What
/// has left the window stays for its promised time, so shrinking must begin before the bound.
pub const RETAINED_SHRINK_PERCENT: u64 = 75;
const _: () = assert!(RETAINED_SHRINK_PERCENT < 100);
