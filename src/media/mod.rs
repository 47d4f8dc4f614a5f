//! What every protocol of the server speaks about: names, time, tracks, shared bytes.

mod cadence;
mod least_delay;
mod name;
mod time;
mod timeline;
mod wall_clock;

pub use cadence::{Cadence, FrameRate};
pub use least_delay::LeastDelay;
pub use name::{NameError, StreamName};
pub use time::{Now, Timescale, civil_date};
pub use timeline::{FrameStamp, FrameTime, Placed, Repairs, Timeline, Unwrap};
pub use wall_clock::WallClock;

use crate::limits::PART_BUFFER_BYTES_MIN;
use bytes::Bytes;

/// What a track carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TrackKind {
    /// Pictures.
    Video,
    /// Sound.
    Audio,
}

/// A track's place among those of one publisher; stable while it publishes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TrackId(pub u8);

/// Where the bytes of a part or init segment are. Today always in memory; recordings add stored
/// media later, in window and response alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MediaRef {
    /// Contiguous bytes, shared by all who send them.
    Memory(Bytes),
}

impl MediaRef {
    /// Size in bytes.
    pub fn len(&self) -> usize {
        match self {
            Self::Memory(bytes) => bytes.len(),
        }
    }

    /// What it counts for in memory: the buffer of its class, which is its own or half of its own.
    pub fn memory_bytes(&self) -> usize {
        buffer_bytes(self.len())
    }

    /// True when there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes in memory.
    pub fn bytes(&self) -> &Bytes {
        match self {
            Self::Memory(bytes) => bytes,
        }
    }
}

/// Capacity of the buffer that holds a part of so many bytes: the next power of two from [`PART_BUFFER_BYTES_MIN`] on.
pub fn buffer_bytes(bytes: usize) -> usize {
    bytes.max(PART_BUFFER_BYTES_MIN).next_power_of_two()
}
