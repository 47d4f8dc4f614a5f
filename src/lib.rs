//! RapidRTMP: RTMP in, Low-Latency HLS out, thread-per-core, in one binary.
//!
//! The modules stand in levels; one imports only levels below its own, never a sibling
//! (`tests/architecture.rs` keeps it). Everything below `control` is sans-IO: told the bytes and
//! the time, it returns bytes, events and counters.

// Level 0: bounds, byte order, counters, secrets.
pub mod limits;
pub mod metrics;
pub mod secret;
pub mod wire;
// Level 1: codec headers, typed configuration, tokens.
pub mod auth;
pub mod codec;
pub mod config;
// Level 2: ticks, tracks, frames, shared bytes, the smoothed timeline.
pub mod media;
// Level 3: one protocol each, blind to one another.
pub mod flv;
pub mod fmp4;
pub mod hls;
pub mod http;
pub mod rtmp;
// Level 4: one publisher's ingest; one stream as one shard sees it; requests to responses.
pub mod origin;
// Level 5: JSON and HTML over what origin knows.
pub mod api;
pub mod pages;
// Level 6: one ordinary thread for what may block.
pub mod control;
// Level 7: executors, sockets, parked viewers, shard-to-shard events.
pub mod shard;
// Level 8: the demo encoder.
#[cfg(feature = "demo")]
pub mod demo;
