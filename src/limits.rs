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

// Codec headers, FLV, fMP4 ---------------------------------------------------------------------

/// Bytes of a decoder configuration record: ffmpeg's largest seen is an hvcC of 2,456.
pub const CODEC_CONFIG_BYTES_MAX: usize = 16 * 1024;
/// Pixels of a picture's side: 8K with room; keeps every product of two sides within 32 bits.
pub const PICTURE_SIDE_PIXELS_MAX: u32 = 16_384;
const _: () = assert!((PICTURE_SIDE_PIXELS_MAX as u64).pow(2) <= u32::MAX as u64);
/// NAL units of one access unit: a 4K picture in single-row slices needs a few hundred.
pub const ACCESS_UNIT_NALS_MAX: u16 = 1024;
/// Bytes of an SEI unit that are searched for encoder options; x264 writes about 700.
pub const SEI_SEARCHED_BYTES_MAX: usize = 4 * 1024;
/// Bytes in front of a coded frame in an RTMP message: 5 in legacy tags, 8 in enhanced ones, and
/// room for several ModEx prefixes.
pub const FLV_TAG_HEADER_BYTES_MAX: usize = 64;
/// Bytes of one part: a second of 400 Mbit/s. Sizes and offsets inside a part fit 32 bits with it.
pub const PART_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Samples of one part and track: a second of the finest audio frames, many times over.
pub const PART_SAMPLES_MAX: usize = 4096;
/// Bytes in front of a part's first sample for each track: mfhd, tfhd, tfdt, trun and mdat headers
/// take 108 with one track and 184 with two.
pub const PART_HEAD_FIXED_BYTES: usize = 128;
/// Bytes of a sample's entry in trun: duration, size, flags, composition offset.
pub const PART_HEAD_SAMPLE_BYTES: usize = 16;
const _: () = assert!(
    PART_BYTES_MAX + 2 * (PART_HEAD_FIXED_BYTES + PART_HEAD_SAMPLE_BYTES * PART_SAMPLES_MAX)
        < i32::MAX as usize
);
/// Bytes of the smallest pooled part buffer: four pages, an audio part.
pub const PART_BUFFER_BYTES_MIN: usize = 16 * 1024;
const _: () = assert!(PART_BUFFER_BYTES_MIN.is_power_of_two() && PART_BUFFER_BYTES_MIN <= PART_BYTES_MAX);
/// Bytes of part buffers that one shard keeps for reuse: what retires within a part's time at
/// a gigabit a second, since warm memory takes a copy five times faster than fresh memory.
pub const PART_POOL_IDLE_BYTES_MAX: usize = 64 * 1024 * 1024;
