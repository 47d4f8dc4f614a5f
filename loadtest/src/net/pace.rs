//! Reading no faster than a viewer's line allows.

use std::cell::Cell;
use std::time::Duration;

use crate::clock;

/// Bytes that may be read before the first wait: what a home router buffers.
const BURST_BYTES: u64 = 16 * 1024;
/// Shortest wait worth a timer.
const WAIT_US_MIN: u64 = 2000;

/// A token bucket that all of a viewer's connections share: bytes a second, or no limit.
#[derive(Debug, Clone, Default)]
pub struct Pace {
    bytes_per_s: Option<u64>,
    /// When the bytes read so far have had their time.
    due_us: Cell<u64>,
}

impl Pace {
    /// A pace of this many bytes a second; `None` is no limit.
    pub fn new(bytes_per_s: Option<u64>) -> Self {
        Self { bytes_per_s: bytes_per_s.filter(|rate| *rate > 0), due_us: Cell::new(0) }
    }

    /// True when it slows reading down.
    pub fn is_limited(&self) -> bool {
        self.bytes_per_s.is_some()
    }

    /// Most bytes to read in one call, so that a wait can be kept.
    pub fn read_bytes_max(&self, wanted: usize) -> usize {
        match self.bytes_per_s {
            Some(_) => wanted.min(BURST_BYTES as usize / 2),
            None => wanted,
        }
    }

    /// Waits until `count` more bytes may have come.
    pub async fn spend(&self, count: u64) {
        let Some(rate) = self.bytes_per_s else { return };
        let now_us = clock::monotonic_us();
        let burst_us = BURST_BYTES * 1_000_000 / rate;
        let due_us = self.due_us.get().max(now_us.saturating_sub(burst_us)) + count * 1_000_000 / rate;
        self.due_us.set(due_us);
        let wait_us = due_us.saturating_sub(now_us);
        if wait_us >= WAIT_US_MIN {
            tokio::time::sleep(Duration::from_micros(wait_us)).await;
        }
    }
}
