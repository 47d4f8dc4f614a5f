//! How often a publisher turns into another one: by its parameters, or by its time. Each turn costs every viewer a new
//! beginning, and the stream an init segment, a segment or a session.

use crate::limits::{PARAMETER_CHANGES_PER_MIN_MAX, TIMESTAMP_LEAPS_PER_MIN_MAX};
use crate::media::Now;

const MINUTE_US: u64 = 60_000_000;

/// Turns of one publisher in this minute.
#[derive(Debug, Default)]
pub(super) struct Turns {
    changes: u32,
    leaps: u64,
    /// When the first of them was, monotonic microseconds.
    since_us: u64,
}

/// A publisher turns too often.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TurnsError {
    /// By its parameters or tracks.
    #[error("more than {PARAMETER_CHANGES_PER_MIN_MAX} changes of parameters or tracks in a minute")]
    Changes,
    /// By its time.
    #[error("more than {TIMESTAMP_LEAPS_PER_MIN_MAX} leaps of timestamps in a minute")]
    Leaps,
}

impl Turns {
    /// Its parameters or tracks have changed.
    ///
    /// # Errors
    /// [`TurnsError::Changes`].
    pub fn change(&mut self, now: Now) -> Result<(), TurnsError> {
        self.begin_minute(now);
        self.changes += 1;
        if self.changes > PARAMETER_CHANGES_PER_MIN_MAX { Err(TurnsError::Changes) } else { Ok(()) }
    }

    /// Its time has leapt so many times.
    ///
    /// # Errors
    /// [`TurnsError::Leaps`].
    pub fn leaps(&mut self, count: u64, now: Now) -> Result<(), TurnsError> {
        if count == 0 {
            return Ok(());
        }
        self.begin_minute(now);
        self.leaps += count;
        if self.leaps > TIMESTAMP_LEAPS_PER_MIN_MAX { Err(TurnsError::Leaps) } else { Ok(()) }
    }

    fn begin_minute(&mut self, now: Now) {
        if now.monotonic_us.saturating_sub(self.since_us) >= MINUTE_US {
            *self = Self { changes: 0, leaps: 0, since_us: now.monotonic_us };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(s: u64) -> Now {
        Now { monotonic_us: s * 1_000_000, unix_us: 0 }
    }

    #[test]
    fn turns_are_counted_by_the_minute() {
        let mut turns = Turns::default();
        for minute in 1..4 {
            for second in 0..u64::from(PARAMETER_CHANGES_PER_MIN_MAX) {
                assert_eq!(turns.change(at(minute * 60 + second)), Ok(()));
                assert_eq!(turns.leaps(3, at(minute * 60 + second)), Ok(()));
            }
        }
        assert_eq!(turns.change(at(239)), Err(TurnsError::Changes));
        assert_eq!(turns.leaps(0, at(239)), Ok(()));
        assert_eq!(turns.leaps(1, at(239)), Err(TurnsError::Leaps));
    }
}
