//! When frames are due and what timestamps they carry. All of it follows the frame's number, so that no
//! error adds up.

use std::time::Duration;

use super::sound::{FRAME_SAMPLES, SAMPLE_RATE};
use crate::limits::DEMO_LATE_MS_MAX;

/// The picture's frame rate, frames a second.
#[derive(Debug, Clone, Copy)]
pub struct Schedule {
    /// More than 0.
    pub fps: u32,
}

impl Schedule {
    /// Timestamp of a picture, milliseconds truncated as OBS does: 0, 33, 66, 100.
    pub fn video_ms(self, frame: u64) -> u64 {
        frame * 1000 / u64::from(self.fps)
    }

    /// When a picture is due, from the first one.
    pub fn due(self, frame: u64) -> Duration {
        Duration::from_nanos(frame * 1_000_000_000 / u64::from(self.fps))
    }

    /// The picture after `frame`; when the encoder is too far behind, the one that is due now: those
    /// between are skipped, as an encoder without time to render does.
    pub fn next(self, frame: u64, elapsed: Duration) -> u64 {
        let late = elapsed.saturating_sub(self.due(frame + 1));
        if late <= Duration::from_millis(DEMO_LATE_MS_MAX) {
            return frame + 1;
        }
        (elapsed.as_nanos() * u128::from(self.fps) / 1_000_000_000) as u64
    }
}

/// Timestamp of a frame of sound, milliseconds, truncated: 0, 21, 42, 64.
pub fn audio_ms(frame: u64) -> u64 {
    frame * FRAME_SAMPLES * 1000 / u64::from(SAMPLE_RATE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_are_truncated_and_never_drift() {
        let schedule = Schedule { fps: 30 };
        assert_eq!([0, 1, 2, 3, 4].map(|frame| schedule.video_ms(frame)), [0, 33, 66, 100, 133]);
        assert_eq!([0, 1, 2, 3, 4].map(audio_ms), [0, 21, 42, 64, 85]);
        // A day.
        assert_eq!(schedule.video_ms(30 * 86_400), 86_400_000);
        assert_eq!(audio_ms(375 * 86_400 / 8), 86_400_000);
        assert_eq!(schedule.due(30 * 86_400), Duration::from_secs(86_400));
    }

    #[test]
    fn a_late_encoder_hurries_and_a_very_late_one_skips() {
        let schedule = Schedule { fps: 30 };
        assert_eq!(schedule.next(29, Duration::from_millis(970)), 30, "early");
        assert_eq!(schedule.next(29, Duration::from_millis(1500)), 30, "late");
        assert_eq!(schedule.next(29, Duration::from_millis(2000)), 60, "too late");
    }
}
