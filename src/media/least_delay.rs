//! The frame that waited least on its way: the least of (arrival - media time) over some seconds.

use super::Now;
use crate::limits::WALL_CLOCK_BUCKETS;

/// The least delay of the last [`WALL_CLOCK_BUCKETS`] seconds.
#[derive(Debug, Clone, Default)]
pub struct LeastDelay {
    /// Of each of these seconds, microseconds.
    buckets: [Option<i64>; WALL_CLOCK_BUCKETS],
    /// The second of the monotonic clock that `buckets` was last written in.
    second: u64,
}

impl LeastDelay {
    /// A frame came now, this many microseconds after its media time.
    pub fn note(&mut self, delay_us: i64, now: Now) {
        let second = now.monotonic_us / 1_000_000;
        for passed in (self.second + 1..=second).take(WALL_CLOCK_BUCKETS) {
            self.buckets[(passed % WALL_CLOCK_BUCKETS as u64) as usize] = None;
        }
        if second.saturating_sub(self.second) >= WALL_CLOCK_BUCKETS as u64 {
            self.buckets = [None; WALL_CLOCK_BUCKETS];
        }
        self.second = second.max(self.second);
        let bucket = &mut self.buckets[(self.second % WALL_CLOCK_BUCKETS as u64) as usize];
        *bucket = Some(bucket.map_or(delay_us, |least| least.min(delay_us)));
    }

    /// The least; `None` before the first frame.
    pub fn us(&self) -> Option<i64> {
        self.buckets.iter().flatten().min().copied()
    }

    /// The second of the monotonic clock that the newest frame came in.
    pub fn second(&self) -> u64 {
        self.second
    }

    /// What was noted counts for this many microseconds more.
    pub fn shift(&mut self, by_us: i64) {
        self.buckets = self.buckets.map(|bucket| bucket.map(|least| least.saturating_add(by_us)));
    }

    /// The frames from here on decide anew.
    pub fn forget(&mut self) {
        self.buckets = [None; WALL_CLOCK_BUCKETS];
    }
}
