//! The greatest memory that a server with these settings can be made to hold, whatever its peers send or do not read.
//!
//! For whoever sizes a host, and for `tests/memory`, which presses against it. What the kernel keeps of each socket is
//! not in it (`net.ipv4.tcp_rmem`, `tcp_wmem`), nor the program itself.

use super::Config;
use crate::limits::{
    CALL_ANSWERS_BYTES_MAX, CONTROL_QUEUE_MAX, HTTP_CONNECTION_BYTES_MAX, HTTP2_CONNECTION_BYTES_MAX,
    HTTP2_STREAMS_MAX, LEARNING_BUFFERS_BYTES_MAX, LOG_LINES_QUEUED_MAX, OPEN_PART_BYTES_MAX,
    PART_POOL_IDLE_BYTES_MAX, PART_RECORD_BYTES_MAX, PARTS_KEPT_MAX, PLAYLIST_FORMS_MAX,
    PLAYLIST_LINE_BYTES_MAX, RECORDINGS_QUEUED_BYTES_MAX, RTMP_ARRIVING_BYTES_MAX, RTMP_PUBLISHING_BYTES_MAX,
    SEGMENTS_KEPT_MAX, SHARD_BYTES_MAX, STATE_RECORDS_MAX, TLS_CONNECTION_BYTES_MAX, TLS_SESSIONS_KEPT_MAX,
};

/// A session has a video and an audio rendition, or one with both.
const RENDITIONS: u64 = 2;
/// Buffers may be twice as large as what counts against `hls.retained_bytes_max`.
const BUFFERS_PER_RETAINED: u64 = 2;
/// Shortest part, milliseconds, and segments whose parts are listed.
const PART_MS_MIN: u64 = 100;
const SEGMENTS_WITH_PARTS: u64 = 5;
/// Longest segment, milliseconds.
const SEGMENT_MS_MAX: u64 = 12_500;

/// Bytes, each the most of its kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryBounds {
    /// An RTMP connection that does not publish.
    pub arriving: u64,
    /// One that publishes, beside its stream.
    pub publishing: u64,
    /// A connection of HTTP/1.1.
    pub http: u64,
    /// A connection of HTTP/2.
    pub http2: u64,
    /// One full playlist.
    pub playlist: u64,
    /// A stream at its home, and what of its media slow viewers hold until they are cut.
    pub stream: u64,
    /// A stream on a shard: its playlists as they are sent.
    pub stream_on_shard: u64,
    /// A shard beside its connections and streams.
    pub shard: u64,
    /// All of it at once.
    pub process: u64,
}

impl Config {
    /// The bounds of a server on so many shards.
    pub fn memory_bounds(&self, shards_count: usize) -> MemoryBounds {
        let tls = if self.https.has_certificate() { TLS_CONNECTION_BYTES_MAX as u64 } else { 0 };
        let parts_listed = SEGMENTS_WITH_PARTS * SEGMENT_MS_MAX / PART_MS_MIN;
        let playlist = (u64::from(self.hls.window_segments) + parts_listed) * PLAYLIST_LINE_BYTES_MAX as u64;
        // A slow viewer may hold a playlist that has been replaced since.
        let arriving = RTMP_ARRIVING_BYTES_MAX as u64 + tls;
        let publishing = RTMP_PUBLISHING_BYTES_MAX as u64 + tls;
        let http = HTTP_CONNECTION_BYTES_MAX as u64 + playlist + tls;
        let http2 = HTTP2_CONNECTION_BYTES_MAX as u64 + u64::from(HTTP2_STREAMS_MAX) * playlist + tls;
        // Retained, and as much again that is being let go of while slow viewers still have their time.
        let retained = self.hls.retained_bytes_max * BUFFERS_PER_RETAINED;
        let records = RENDITIONS * ((PARTS_KEPT_MAX + SEGMENTS_KEPT_MAX) * PART_RECORD_BYTES_MAX) as u64;
        let stream = 2 * retained
            + records
            + RENDITIONS * OPEN_PART_BYTES_MAX as u64
            // Of the one on air and the one held ready.
            + 2 * LEARNING_BUFFERS_BYTES_MAX as u64;
        let stream_on_shard = RENDITIONS * PLAYLIST_FORMS_MAX as u64 * playlist + records;
        let shard = (SHARD_BYTES_MAX + PART_POOL_IDLE_BYTES_MAX) as u64;
        let streams = u64::from(self.ingest.streams_max);
        let shards = shards_count as u64;
        let process = shards * (shard + streams * stream_on_shard)
            + streams * stream
            // Of all streams, until slow viewers are cut.
            + retained
            + u64::from(self.rtmp.connections_max) * arriving.max(publishing)
            + u64::from(self.http.connections_max) * if self.http.http2 { http2.max(http) } else { http }
            + CALL_ANSWERS_BYTES_MAX as u64
            + if self.ingest.record_dir.is_empty() { 0 } else { RECORDINGS_QUEUED_BYTES_MAX as u64 }
            + ((CONTROL_QUEUE_MAX + LOG_LINES_QUEUED_MAX + STATE_RECORDS_MAX + TLS_SESSIONS_KEPT_MAX) * 1024) as u64;
        MemoryBounds { arriving, publishing, http, http2, playlist, stream, stream_on_shard, shard, process }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_holds_more_has_the_greater_bound() {
        let plain = Config::default();
        let mut tls = plain.clone();
        tls.https.self_signed = true;
        let (without, with) = (plain.memory_bounds(1), tls.memory_bounds(1));
        assert!(without.arriving < without.publishing && without.http < without.http2);
        assert!(without.arriving < with.arriving && without.http < with.http && without.http2 < with.http2);
        let mut large = plain.clone();
        large.hls.retained_bytes_max *= 2;
        assert_eq!(large.memory_bounds(1).stream - without.stream, 4 * plain.hls.retained_bytes_max);
        assert!(plain.memory_bounds(2).process > without.process + without.shard);
        let mut dvr = plain.clone();
        dvr.hls.window_segments = 1000;
        assert!(dvr.memory_bounds(1).playlist > without.playlist);
    }
}
