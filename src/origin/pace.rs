//! Whether a publisher's media keeps up with its own clock: by when its frames came and what they say of their time.

use crate::limits::TIMESTAMP_BACK_MS_MAX;
use crate::media::{LeastDelay, Now};

/// A longer pause is a silence.
const SILENCE_US: u64 = 1_000_000;

/// The pace of one publisher.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// Of arrivals against timestamps, both in microseconds, over the last seconds in which frames came: what comes
    /// in a burst after a long silence is not to count as in time.
    least: LeastDelay,
    newest_ms: Option<i64>,
    /// When that came, monotonic microseconds.
    newest_us: u64,
    /// Silence so far, microseconds.
    silent_us: u64,
    /// Since when it has been behind at each frame.
    behind_since_us: Option<u64>,
    /// Since when it has not been at any.
    steady_since_us: Option<u64>,
}

impl Pace {
    /// Its newest frame has this timestamp; nothing new when it is the same as before. More than `tolerance_us` late
    /// is behind.
    pub(super) fn note(&mut self, newest_ms: Option<i64>, tolerance_us: i64, now: Now) {
        let Some(newest) = newest_ms.filter(|_| newest_ms != self.newest_ms) else { return };
        let due_us = self.due_us(tolerance_us);
        if self.newest_ms.is_some_and(|before| newest < before.saturating_sub(TIMESTAMP_BACK_MS_MAX)) {
            // Its clock was set back. One that was set forward is early at once, and then that is the least.
            self.least.forget();
        }
        if self.newest_ms.replace(newest).is_some() {
            let pause_us = now.monotonic_us.saturating_sub(self.newest_us);
            self.silent_us += pause_us.saturating_sub(SILENCE_US);
        }
        self.newest_us = now.monotonic_us;
        let heard = Now { monotonic_us: now.monotonic_us.saturating_sub(self.silent_us), ..now };
        self.least.note(us(now).saturating_sub(newest.saturating_mul(1000)), heard);
        if self.due_us(tolerance_us).is_some_and(|due_us| due_us < now.monotonic_us) {
            let since_us = due_us.unwrap_or(now.monotonic_us).min(now.monotonic_us);
            self.behind_since_us.get_or_insert(since_us);
            self.steady_since_us = None;
        } else {
            self.behind_since_us = None;
            self.steady_since_us.get_or_insert(now.monotonic_us);
        }
    }

    /// When it began to be behind, if it is; monotonic microseconds.
    pub(super) fn behind_since_us(&self, tolerance_us: i64, now: Now) -> Option<u64> {
        let silent_since = || self.due_us(tolerance_us).filter(|&due_us| due_us < now.monotonic_us);
        self.behind_since_us.or_else(silent_since)
    }

    /// How late a frame of this timestamp is that came now, against those that waited least; microseconds.
    pub(super) fn late_us(&self, timestamp_ms: i64, now: Now) -> i64 {
        let delay_us = us(now).saturating_sub(timestamp_ms.saturating_mul(1000));
        self.least.us().map_or(0, |least| delay_us.saturating_sub(least))
    }

    /// Since when it has kept up; monotonic microseconds.
    pub(super) fn steady_since_us(&self) -> Option<u64> {
        self.steady_since_us
    }

    /// It has to show anew that it keeps up.
    pub(super) fn unsettle(&mut self) {
        self.steady_since_us = None;
    }

    /// When its next frame would be late.
    fn due_us(&self, tolerance_us: i64) -> Option<u64> {
        let expected_us = self.newest_ms?.saturating_mul(1000).saturating_add(self.least.us()?);
        Some(u64::try_from(expected_us.saturating_add(tolerance_us)).unwrap_or(0))
    }
}

fn us(now: Now) -> i64 {
    i64::try_from(now.monotonic_us).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOLERANCE_US: i64 = 668_000;

    fn at(ms: i64) -> Now {
        Now { monotonic_us: 7_000_000 + ms as u64 * 1000, unix_us: 0 }
    }

    fn since(pace: &Pace, ms: i64) -> Option<i64> {
        pace.behind_since_us(TOLERANCE_US, at(ms)).map(|us| (us as i64 - 7_000_000) / 1000)
    }

    #[test]
    fn silence_is_late_from_when_the_next_frame_would_have_been() {
        let mut pace = Pace::default();
        assert_eq!(since(&pace, 0), None);
        for ms in (0..2000).step_by(40) {
            // Jitter is not late, and does not move what is expected.
            pace.note(Some(ms), TOLERANCE_US, at(ms + ms / 40 % 7 * 10));
            assert_eq!(since(&pace, ms + 60), None);
        }
        assert_eq!(since(&pace, 1960 + 668), None);
        assert_eq!(since(&pace, 1960 + 700), Some(1960 + 668));
        assert_eq!(since(&pace, 9000), Some(1960 + 668));
        // A frame that came through late does not make up for it; those that are in time do.
        pace.note(Some(2000), TOLERANCE_US, at(3000));
        assert_eq!(since(&pace, 3000), Some(1960 + 668));
        assert_eq!(pace.steady_since_us(), None);
        pace.note(Some(3040), TOLERANCE_US, at(3050));
        assert_eq!(since(&pace, 3060), None);
        assert_eq!(pace.steady_since_us(), Some(at(3050).monotonic_us));
    }

    #[test]
    fn a_burst_after_a_long_silence_is_late_until_it_is_over() {
        let mut pace = Pace::default();
        for ms in (0..12_000).step_by(40) {
            pace.note(Some(ms), TOLERANCE_US, at(ms));
        }
        for ms in (12_000..42_000).step_by(40) {
            assert_eq!(pace.late_us(ms, at(42_000)), (42_000 - ms) * 1000);
            pace.note(Some(ms), TOLERANCE_US, at(42_000));
        }
        assert_eq!(since(&pace, 42_001), None);
        assert_eq!(pace.late_us(42_040, at(42_050)), 10_000);
    }

    #[test]
    fn a_trickle_is_behind_and_a_leap_of_timestamps_is_not() {
        let mut pace = Pace::default();
        for ms in (0..4000).step_by(40) {
            // From 1 s on at half its speed.
            pace.note(Some(ms), TOLERANCE_US, at(ms + (ms - 1000).max(0)));
        }
        let began = since(&pace, 7000).unwrap();
        assert!((1668 + 600..1668 + 800).contains(&began), "{began}");

        for step in [-900_000, 900_000] {
            let mut pace = Pace::default();
            for ms in (0..4000).step_by(40) {
                pace.note(
                    Some(ms + if ms < 2000 { 1_000_000 } else { 1_000_000 + step }),
                    TOLERANCE_US,
                    at(ms),
                );
                assert_eq!(since(&pace, ms), None, "{step}");
            }
        }
    }
}
