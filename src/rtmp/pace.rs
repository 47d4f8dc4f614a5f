//! How fast a publisher is read. What it sends too fast waits in its own socket, and costs nothing here.
//!
//! Two things are too fast: more messages than any encoder sends, of which whoever keeps it up is no encoder; and
//! media long before its time, from a file that is not sent in real time, whose window would be over before
//! anybody had seen it.

use super::rate::Rate;
use crate::limits::{
    PART_TARGET_MS_MAX, RTMP_AHEAD_MS_MAX, RTMP_AHEAD_READ_PERCENT, RTMP_BEHIND_MS_MAX, RTMP_FLOOD_US_MAX,
    RTMP_MESSAGES_BURST_MAX, RTMP_MESSAGES_PER_S_MAX, RTMP_REST_US, TIMESTAMP_BACK_MS_MAX,
};
use crate::media::{Now, TrackKind};

/// Told of each message as it begins; tells when reading is to rest.
#[derive(Debug)]
pub(super) struct Pace {
    messages: Rate,
    audio: Lead,
    video: Lead,
    rest: Option<Rest>,
    /// Rests for too many messages, half of the time that has passed taken off.
    flood_us: u64,
    flood_at_us: u64,
}

#[derive(Debug)]
struct Rest {
    from_us: u64,
    until_us: u64,
    /// It is for too many messages.
    is_flood: bool,
}

impl Pace {
    pub fn new(now: Now) -> Self {
        let lead = || Lead { newest_ms: None, lead_us: 0, at_us: now.monotonic_us };
        Self {
            messages: Rate::new(RTMP_MESSAGES_PER_S_MAX, RTMP_MESSAGES_BURST_MAX, now),
            audio: lead(),
            video: lead(),
            rest: None,
            flood_us: 0,
            flood_at_us: now.monotonic_us,
        }
    }

    /// A message begins.
    pub fn message(&mut self, now: Now) {
        self.messages.take(now);
        if self.messages.is_empty() {
            self.rest(RTMP_REST_US, true, now);
        }
    }

    /// A message of audio or video begins.
    pub fn media(&mut self, kind: TrackKind, timestamp_ms: u32, now: Now) {
        let lead = match kind {
            TrackKind::Audio => &mut self.audio,
            TrackKind::Video => &mut self.video,
        };
        let early_us = lead.advance(timestamp_ms, now) - i64::from(RTMP_AHEAD_MS_MAX) * 1000;
        if let Ok(early_us @ 1..) = u64::try_from(early_us) {
            // One step at most: the frame itself.
            self.rest(early_us.clamp(RTMP_REST_US, STEP_MS_MAX as u64 * 1000), false, now);
        }
    }

    /// Monotonic microseconds until which nothing more is to be read.
    pub fn rest_until_us(&self) -> Option<u64> {
        self.rest.as_ref().map(|rest| rest.until_us)
    }

    /// True when reading may go on; false until the rest is over. `None` when there were too many.
    pub fn resume(&mut self, now: Now) -> Option<bool> {
        let Some(rest) = self.rest.take_if(|rest| now.monotonic_us >= rest.until_us) else {
            return Some(self.rest.is_none());
        };
        if rest.is_flood {
            let passed_us = now.monotonic_us.saturating_sub(self.flood_at_us);
            let rested_us = now.monotonic_us.saturating_sub(rest.from_us);
            self.flood_us = self.flood_us.saturating_sub(passed_us / 2) + rested_us;
            self.flood_at_us = now.monotonic_us;
        }
        (self.flood_us <= RTMP_FLOOD_US_MAX).then_some(true)
    }

    fn rest(&mut self, for_us: u64, is_flood: bool, now: Now) {
        let from_us = now.monotonic_us;
        let rest = Rest { from_us, until_us: from_us.saturating_add(for_us), is_flood };
        // Of two the longer one.
        if self.rest_until_us().is_none_or(|until_us| until_us < rest.until_us) {
            self.rest = Some(rest);
        }
    }
}

/// Milliseconds that one frame may last. A longer step in either direction is another time, which the media has not
/// lasted.
const STEP_MS_MAX: i64 = PART_TARGET_MS_MAX as i64;

/// How far the media of one kind is before its time.
#[derive(Debug)]
struct Lead {
    newest_ms: Option<u32>,
    /// Negative for media that is late.
    lead_us: i64,
    at_us: u64,
}

impl Lead {
    /// Media of this time has come; returns microseconds of the lead.
    fn advance(&mut self, timestamp_ms: u32, now: Now) -> i64 {
        let passed_us = now.monotonic_us.saturating_sub(self.at_us);
        self.at_us = self.at_us.max(now.monotonic_us);
        let passed_us = i64::try_from(passed_us.saturating_mul(RTMP_AHEAD_READ_PERCENT) / 100);
        let lead_us = self.lead_us.saturating_sub(passed_us.unwrap_or(i64::MAX));
        self.lead_us = lead_us.max(-i64::from(RTMP_BEHIND_MS_MAX) * 1000);

        let newest_ms = *self.newest_ms.get_or_insert(timestamp_ms);
        // Of 32 bits that wrap (Adobe RTMP 1.0, 5.3.1.2.1).
        let step_ms = i64::from(timestamp_ms.wrapping_sub(newest_ms) as i32);
        // A step back is taken off, so that coming forward again counts once: several tracks of a kind, or frames of
        // one that are sent in bunches.
        if (1..=STEP_MS_MAX).contains(&step_ms) || (-STEP_MS_MAX..-TIMESTAMP_BACK_MS_MAX).contains(&step_ms) {
            self.lead_us += step_ms * 1000;
        }
        if !(-TIMESTAMP_BACK_MS_MAX..=0).contains(&step_ms) {
            self.newest_ms = Some(timestamp_ms);
        }
        self.lead_us
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 25 frames a second.
    const STEP_MS: u64 = 40;

    fn at(us: u64) -> Now {
        Now { monotonic_us: us, unix_us: 0 }
    }

    /// Milliseconds until which the media of so many frames at 25 fps has been read that is all there.
    fn read_ms(pace: &mut Pace, began_us: u64, first_ms: u32, frames: u64) -> u64 {
        read_steps_ms(pace, began_us, first_ms, frames, STEP_MS)
    }

    fn read_steps_ms(pace: &mut Pace, began_us: u64, first_ms: u32, frames: u64, step_ms: u64) -> u64 {
        let mut now_us = began_us;
        for frame in 0..frames {
            if let Some(until_us) = pace.rest_until_us() {
                let longest_us = step_ms.max(RTMP_REST_US / 1000) * 1000;
                assert!(until_us <= now_us + longest_us, "no rest is longer than a frame");
                now_us = now_us.max(until_us);
                assert_eq!(pace.resume(at(now_us)), Some(true));
            }
            pace.message(at(now_us));
            pace.media(TrackKind::Video, first_ms.wrapping_add((frame * step_ms) as u32), at(now_us));
        }
        (now_us - began_us) / 1000
    }

    /// A picture in two seconds, or in five.
    #[test]
    fn frames_that_last_for_seconds_are_held_back_as_well() {
        for step_ms in [2000, 5000] {
            let ms = read_steps_ms(&mut Pace::new(at(7)), 7, 0, 130_000 / step_ms, step_ms);
            assert!((88_000..100_000).contains(&ms), "{step_ms}: {ms}");
        }
    }

    #[test]
    fn media_is_read_at_once_up_to_the_lead_and_then_in_real_time() {
        for first_ms in [0, 16_777_000, u32::MAX - 20_000] {
            assert_eq!(read_ms(&mut Pace::new(at(7)), 7, first_ms, 30_000 / STEP_MS), 0);
            let ms = read_ms(&mut Pace::new(at(7)), 7, first_ms, 130_000 / STEP_MS);
            assert!((98_000..100_000).contains(&ms), "{ms}");
        }
    }

    #[test]
    fn what_was_late_may_catch_up_beyond_the_lead() {
        let mut pace = Pace::new(at(0));
        pace.media(TrackKind::Video, 0, at(0));
        // Nothing for nine seconds, then all of it and the lead.
        assert_eq!(read_ms(&mut pace, 9_000_000, 0, 39_000 / STEP_MS), 0);
        assert!(read_ms(&mut pace, 9_000_000, 39_000, 10_000 / STEP_MS) > 9_000);
    }

    /// An hour of an encoder whose clock is 1 in 500 fast, its sound a second ahead of its pictures, and of leaps.
    #[test]
    fn who_sends_in_real_time_is_never_held_back() {
        let mut pace = Pace::new(at(0));
        for frame in 0..3600 * 25 {
            let now = at(frame * STEP_MS * 998);
            let leaps_ms = frame / 1000 * 7_200_000;
            pace.message(now);
            pace.media(TrackKind::Video, (frame * STEP_MS + leaps_ms) as u32, now);
            pace.media(TrackKind::Audio, (frame * STEP_MS + leaps_ms + 1000) as u32, now);
            assert_eq!(pace.rest_until_us(), None, "frame {frame}");
        }
    }

    /// Two tracks of sound whose frames alternate, the second 150 ms behind.
    #[test]
    fn a_second_track_that_lags_is_no_lead() {
        let mut pace = Pace::new(at(0));
        for frame in 0..3600 * 25 {
            let now = at(frame * STEP_MS * 1000);
            for lag_ms in [0, 150] {
                pace.media(TrackKind::Audio, (1000 + frame * STEP_MS - lag_ms) as u32, now);
            }
            assert_eq!(pace.rest_until_us(), None, "frame {frame}");
        }
    }

    #[test]
    fn a_burst_of_messages_is_slowed_and_a_flood_ends() {
        for (messages, survives) in [(30_000, true), (200_000, false)] {
            let (mut pace, mut now_us, mut ended_us) = (Pace::new(at(0)), 0, None);
            for message in 0..messages {
                if let Some(until_us) = pace.rest_until_us() {
                    assert_eq!(pace.resume(at(until_us - 1)), Some(false));
                    // The shard's ticks are a little late.
                    now_us = until_us + 3_000;
                    if pace.resume(at(now_us)).is_none() {
                        ended_us = Some(now_us);
                        break;
                    }
                }
                pace.message(at(now_us));
                let allowed = u64::from(RTMP_MESSAGES_BURST_MAX) + now_us * 2 / 1000;
                assert!(message < allowed, "{message} by {now_us}");
            }
            assert_eq!(ended_us.is_none(), survives);
            if let Some(ended_us) = ended_us {
                assert!((25_000_000..45_000_000).contains(&ended_us), "{ended_us}");
            }
        }
    }
}
