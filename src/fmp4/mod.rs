//! Fragmented MP4 (ISO/IEC 14496-12, in the form of CMAF): init segments and parts.
//!
//! A part is one moof and one mdat in one contiguous buffer. Its samples are appended as they
//! arrive, behind head room for the moof, which is written when the part is sealed: each media byte
//! is copied once.

mod boxes;
mod init;
mod moof;
mod part;
mod pool;
mod sample_entry;

pub use init::{InitTrack, init_segment};
pub use moof::{Sample, SealedTrack};
pub use part::{Counters, PartFull, PartWriter, SealedPart};
pub use pool::BufferPool;

/// Content-Type of init segments and parts that hold video.
pub const CONTENT_TYPE_VIDEO: &str = "video/mp4";
/// Content-Type of init segments and parts that hold audio only.
pub const CONTENT_TYPE_AUDIO: &str = "audio/mp4";

#[cfg(test)]
mod tests;
