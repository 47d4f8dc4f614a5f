//! Chunk streams: messages cut into chunks and interleaved (Adobe RTMP 1.0, 5.3).
//!
//! The reader parses in place and yields pieces of payload that borrow what was received; between two
//! reads it keeps the few bytes of a cut header and a small state per chunk stream, never payload.

mod reader;
mod writer;

#[cfg(test)]
mod tests;

pub use reader::{ChunkError, ChunkEvent, ChunkReader, Fragment};
pub use writer::ChunkWriter;

/// A 24-bit timestamp field that says: the real one follows in four bytes.
const EXTENDED: u32 = 0xff_ffff;
