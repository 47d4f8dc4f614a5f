//! Buffers that parts are written into, kept for reuse: a copy into warm memory costs a fifth of
//! one into fresh memory, whose pages fault first.

use crate::limits::{PART_BUFFER_BYTES_MIN, PART_BYTES_MAX};
use crate::media::buffer_bytes;
use bytes::{Bytes, BytesMut};

/// Sizes are powers of two from [`PART_BUFFER_BYTES_MIN`]. The largest holds the largest part with
/// its head room, hence one class beyond [`PART_BYTES_MAX`].
const CLASSES: usize = (PART_BYTES_MAX.ilog2() - PART_BUFFER_BYTES_MIN.ilog2() + 2) as usize;

/// Idle buffers by size. One for each shard.
#[derive(Debug)]
pub struct BufferPool {
    /// Empty buffers of exactly their class's capacity; the newest is the warmest and goes first.
    idle: [Vec<BytesMut>; CLASSES],
    /// The least that each class has had idle since the last trim: those in front were not needed.
    idle_least: [usize; CLASSES],
    /// Sum of their capacities; never more than `idle_bytes_max`.
    idle_bytes: usize,
    idle_bytes_max: usize,
}

impl BufferPool {
    /// An empty pool that keeps at most `idle_bytes_max` bytes
    /// ([`PART_POOL_IDLE_BYTES_MAX`](crate::limits::PART_POOL_IDLE_BYTES_MAX) on a shard).
    pub fn new(idle_bytes_max: usize) -> Self {
        Self { idle: Default::default(), idle_least: [0; CLASSES], idle_bytes: 0, idle_bytes_max }
    }

    /// Takes the memory of a retired part back. False when others still hold the bytes, they are
    /// not of this pool's sizes, or enough is idle: they are then simply dropped.
    pub fn reclaim(&mut self, bytes: Bytes) -> bool {
        let Ok(buffer) = bytes.try_into_mut() else { return false };
        self.put_back(buffer)
    }

    /// Bytes of idle buffers.
    pub fn idle_bytes(&self) -> usize {
        self.idle_bytes
    }

    /// Frees those buffers that nobody has needed since the last call: what streams that have ended had learnt, and
    /// what a burst has left. Returns their bytes.
    pub fn trim(&mut self) -> usize {
        let before_bytes = self.idle_bytes;
        for (class, idle) in self.idle.iter_mut().enumerate() {
            let spare = idle.drain(..self.idle_least[class]).count();
            self.idle_bytes -= spare * (PART_BUFFER_BYTES_MIN << class);
            idle.shrink_to(2 * idle.len());
            self.idle_least[class] = idle.len();
        }
        before_bytes - self.idle_bytes
    }

    /// An empty buffer with room for at least `bytes`.
    pub(super) fn take(&mut self, bytes: usize) -> BytesMut {
        let capacity = buffer_bytes(bytes);
        let popped = class_index(capacity).and_then(|class| {
            let buffer = self.idle[class].pop()?;
            self.idle_least[class] = self.idle_least[class].min(self.idle[class].len());
            Some(buffer)
        });
        let Some(buffer) = popped else { return BytesMut::with_capacity(capacity) };
        self.idle_bytes -= capacity;
        debug_assert!(buffer.capacity() >= bytes);
        buffer
    }

    /// See [`reclaim`](Self::reclaim).
    pub(super) fn put_back(&mut self, mut buffer: BytesMut) -> bool {
        // A sealed part begins behind unused head room, less than half of its buffer: rounding up
        // finds the class again.
        let capacity = buffer.capacity().next_power_of_two();
        let Some(class) = class_index(capacity) else { return false };
        buffer.clear();
        if self.idle_bytes + capacity > self.idle_bytes_max || !buffer.try_reclaim(capacity) {
            return false;
        }
        self.idle_bytes += capacity;
        self.idle[class].push(buffer);
        true
    }
}

fn class_index(capacity: usize) -> Option<usize> {
    let class = capacity.ilog2().checked_sub(PART_BUFFER_BYTES_MIN.ilog2())? as usize;
    (class < CLASSES).then_some(class)
}
