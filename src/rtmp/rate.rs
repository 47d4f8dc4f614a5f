//! How often a peer may do something.

use crate::media::Now;

/// A bucket that fills with time and empties with use.
#[derive(Debug)]
pub(super) struct Rate {
    per_s: u32,
    /// Millionths; never more than what was full at first.
    level: u64,
    level_max: u64,
    filled_us: u64,
}

impl Rate {
    /// A full bucket: `burst` at once, `per_s` a second.
    pub fn new(per_s: u32, burst: u32, now: Now) -> Self {
        let level_max = u64::from(burst) * 1_000_000;
        Self { per_s, level: level_max, level_max, filled_us: now.monotonic_us }
    }

    /// Takes one; false when there is none.
    pub fn take(&mut self, now: Now) -> bool {
        let elapsed_us = now.monotonic_us.saturating_sub(self.filled_us);
        let filled = elapsed_us.saturating_mul(u64::from(self.per_s));
        self.level = self.level.saturating_add(filled).min(self.level_max);
        self.filled_us = self.filled_us.max(now.monotonic_us);
        let left = self.level.checked_sub(1_000_000);
        self.level = left.unwrap_or(self.level);
        left.is_some()
    }

    /// True when there is not one left; only time helps.
    pub fn is_empty(&self) -> bool {
        self.level < 1_000_000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_the_burst_and_then_the_rate() {
        let at = |ms: u64| Now { monotonic_us: ms * 1000, unix_us: 0 };
        let mut rate = Rate::new(10, 3, at(0));
        let taken: Vec<bool> =
            [0, 0, 0, 0, 99, 100, 100, 200, 9000, 9000, 9000, 9000, 8000].map(|ms| rate.take(at(ms))).into();
        let expected = [1, 1, 1, 0, 0, 1, 0, 1, 1, 1, 1, 0, 0].map(|taken| taken == 1);
        assert_eq!(taken, expected);
    }
}
