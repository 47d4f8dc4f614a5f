//! Publishers and viewers that tell the truth about an RTMP and Low-Latency HLS server.
//!
//! It works against any such server, and shares only the RTMP writer with this one: its playlist and media
//! readers are its own, so that a checker cannot have the bug of what it checks. A module uses those that
//! stand above it here.

pub mod fault;
pub mod fmp4;
pub mod playlist;
pub mod report;
pub mod source;
pub mod stamp;
