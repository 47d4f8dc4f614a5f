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

// Time, cuts ----------------------------------------------------------------------------------

/// Tracks of one publisher: video and audio, and room for a ladder of renditions.
pub const TRACKS_MAX: usize = 8;
/// Timestamps that an exact frame rate must be borne out by: eight differences.
pub const CADENCE_FRAMES_MIN: usize = 9;
/// Frames a second beyond which a claimed rate is nonsense.
pub const FRAMES_PER_SECOND_MAX: u64 = 300;
/// Milliseconds that a timestamp may stray from its track's clock and still be jitter: GStreamer was
/// measured to clamp by up to 138 ms; twice that.
pub const TIMESTAMP_JITTER_MS_MAX: i64 = 300;
/// Milliseconds that a publisher's time may leap forward, for all its tracks, before it is a discontinuity.
pub const TIMESTAMP_LEAP_MS_MAX: i64 = 1000;
const _: () = assert!(TIMESTAMP_LEAP_MS_MAX > TIMESTAMP_JITTER_MS_MAX);
/// Milliseconds that a track's timestamps may go back before it is a discontinuity.
pub const TIMESTAMP_BACK_MS_MAX: i64 = 100;
/// Frames in a row of one track that are thrown away as stray before its time is believed again.
pub const STRAY_FRAMES_MAX: u32 = 64;
/// Media time at which output begins, so that a track which starts a little before the anchor
/// needs no negative time.
pub const TIMELINE_LEAD_MS: i64 = 1000;
const _: () = assert!(TIMELINE_LEAD_MS >= TIMESTAMP_LEAP_MS_MAX);
/// Largest composition offset that is believed, milliseconds: 16 frames of reordering at 8 a second.
pub const COMPOSITION_OFFSET_MS_MAX: i64 = 2000;
/// Seconds over which the least delayed arrival is sought: longer than a congested moment.
pub const WALL_CLOCK_BUCKETS: usize = 10;
/// How fast dates may drift from media time, parts per million.
pub const DATE_SLEW_PPM_MAX: i64 = 500;
/// and by how much at once, microseconds: players align renditions by dates to about 10 ms.
pub const DATE_SLEW_US_MAX: i64 = 5000;
/// Milliseconds of a part above which a stream is refused: a publisher of less than one frame in
/// five seconds is no live video.
pub const PART_TARGET_MS_MAX: u32 = 5000;
/// Milliseconds of a segment target above which a configuration is refused.
pub const SEGMENT_TARGET_MS_MAX: u32 = 60_000;
const _: () = assert!(PART_TARGET_MS_MAX < SEGMENT_TARGET_MS_MAX);
/// Milliseconds for which a publisher's group of pictures is waited for.
pub const GOP_LEARNING_MS_MAX: u32 = 12_000;
const _: () = assert!(GOP_LEARNING_MS_MAX < SEGMENT_TARGET_MS_MAX);
/// Milliseconds for which the second kind of track is waited for.
pub const TRACK_LEARNING_MS_MAX: u64 = 1000;
/// Cuts that a rendition may be behind the one they are made on; then that one makes no further
/// until this one has followed.
pub const CUTS_PENDING_MAX: usize = 16;
/// Milliseconds that a track may lag behind the others beyond two parts and its usual lag, before
/// it is taken for silent: what fits in the hold-back of three parts.
pub const SILENCE_LAG_MS_MIN: u32 = 500;
/// Milliseconds by which frames of a track that was taken for silent may come late and still be used.
pub const FRAME_LATE_MS_MAX: i64 = 1000;
