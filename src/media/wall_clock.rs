//! Unix time of media time 0, for PROGRAM-DATE-TIME.
//!
//! The least of (arrival - media time) over some seconds is the frame that waited least on its way.
//! The date follows that estimate slowly, so that dates and durations agree to a few milliseconds. Nor does it follow
//! a step of the host's clock: between discontinuities it runs on the one that does not step.
//!
//! Where another encoder goes on without a discontinuity ([`WallClock::splice`]), media time has lost what
//! lies between the two, up to a group of pictures, for decode times are contiguous. The dates must not step
//! there, and slewed by 500 ppm they would take an hour for a gap of 2 s, in each segment of which Shaka Player
//! starts its decoder anew. So they go on with media time and stay early by the gap, until a discontinuity lets
//! them step.

use super::{LeastDelay, Now};
use crate::limits::{
    DATE_AHEAD_US_MAX, DATE_BACK_US_MAX, DATE_SLEW_PPM_MAX, DATE_SLEW_US_MAX, DATE_TOLERANCE_US,
    WALL_CLOCK_BUCKETS,
};

/// The estimate, and the date that follows it.
#[derive(Debug, Clone, Default)]
pub struct WallClock {
    /// Of arrivals against media time, as if none of it were lost.
    least: LeastDelay,
    /// Media time lost at splices, as far as it is known, microseconds.
    lag_us: i64,
    /// A splice is younger than a window: how much it lost is not known yet.
    is_spliced: bool,
    /// Unix time of media time 0 as it is told, microseconds.
    told_us: Option<i64>,
    /// Media time of the last segment's start.
    segment_us: i64,
    /// The date is on its way back to the estimate.
    slewing: bool,
    /// The next segment may step: a discontinuity stands before it.
    may_step: bool,
    /// The first whole window's estimate and when it was made, to measure drift from.
    origin: Option<(u64, i64)>,
    /// When the first arrival was.
    since_us: Option<u64>,
    /// Unix time less monotonic time: as at the first arrival, and no less than before a discontinuity, since dates
    /// do not go back.
    unix_offset_us: Option<i64>,
}

/// Drift is told once the estimate has moved for this long.
const DRIFT_BASE_US: u64 = 30_000_000;

impl WallClock {
    /// The first byte of a frame is here. `media_us` is when it would be presented if it began a
    /// segment, so that no date told of one lies in the future.
    pub fn handle_arrival(&mut self, media_us: i64, now: Now) {
        if self.since_us.is_none() {
            self.unix_offset_us = self.unix_offset_us.max(Some(unix_offset_us(now)));
        }
        let found = self.unix_us(now).saturating_sub(media_us);
        self.least.note(found.saturating_sub(self.lag_us), now);

        let since = *self.since_us.get_or_insert(now.monotonic_us);
        let window_us = WALL_CLOCK_BUCKETS as u64 * 1_000_000;
        if self.origin.is_none() && now.monotonic_us.saturating_sub(since) >= window_us {
            if std::mem::take(&mut self.is_spliced) {
                self.settle();
            }
            self.origin = self.least.us().map(|estimate| (now.monotonic_us, estimate));
        }
    }

    /// The first whole window after a splice tells how much was lost.
    fn settle(&mut self) {
        if let (Some(told), Some(estimate)) = (self.told_us, self.least.us())
            && estimate > told
        {
            self.lag_us += estimate - told;
            self.least.shift(told - estimate);
        }
    }

    /// The date (Unix milliseconds) of a segment that starts at this media time. Asked once for each
    /// segment of the first rendition, in order: once it is off by more than [`DATE_TOLERANCE_US`] the date
    /// moves towards the estimate by at most 500 ppm and 5 ms a segment, or steps forward to it after a
    /// discontinuity. It is not in the future by the time that the segment's first part is listed; where frames
    /// suddenly come so much sooner that it would be, it moves back by at most [`DATE_BACK_US_MAX`] a segment.
    pub fn segment_date(&mut self, media_us: i64, now: Now) -> u64 {
        let latest = self.unix_us(now).saturating_sub(media_us);
        let estimate = self.least.us().unwrap_or(latest);
        let latest = latest.saturating_add(DATE_AHEAD_US_MAX);
        let told = match self.told_us {
            None => estimate.min(latest),
            // Output media time goes on over a discontinuity, so not going back is not lowering this.
            Some(told) if self.may_step => estimate.min(latest).max(told),
            Some(told) if self.is_spliced => told,
            // Shaka Player starts its decoder anew where a date and the durations before it differ by a
            // millisecond, and then shows nothing until the next key frame: an error that nobody sees is
            // better kept than mended.
            Some(told) if !self.slewing && told <= latest && (estimate - told).abs() <= DATE_TOLERANCE_US => {
                told
            }
            Some(told) => {
                let elapsed = media_us.saturating_sub(self.segment_us).max(0);
                let slew = (elapsed / 1_000_000 * DATE_SLEW_PPM_MAX
                    + elapsed % 1_000_000 * DATE_SLEW_PPM_MAX / 1_000_000)
                    .min(DATE_SLEW_US_MAX);
                self.slewing = (estimate - told).abs() > slew;
                let slewed = told + (estimate - told).clamp(-slew, slew);
                slewed.min(latest).max(told - DATE_BACK_US_MAX)
            }
        };
        self.told_us = Some(told);
        self.segment_us = media_us;
        self.may_step = false;
        date(told, media_us)
    }

    /// The date of a segment of another rendition that starts at this media time. `told_us` is that rendition's, and
    /// follows the first one's: its segments may be few while those are many.
    pub fn date_beside(&self, media_us: i64, told_us: &mut Option<i64>, may_step: bool) -> u64 {
        let first_us = self.told_us.unwrap_or(0);
        let told = match *told_us {
            Some(told) if !may_step => first_us.clamp(told - DATE_BACK_US_MAX, told + DATE_BACK_US_MAX),
            _ => first_us,
        };
        *told_us = Some(told);
        date(told, media_us)
    }

    /// A discontinuity: the arrivals from here on decide anew.
    pub fn step(&mut self) {
        self.begin_anew();
        self.may_step = true;
        self.is_spliced = false;
        self.lag_us = 0;
    }

    /// Another encoder's frames follow without a discontinuity: dates go on with media time.
    pub fn splice(&mut self) {
        self.begin_anew();
        self.is_spliced = true;
    }

    /// How far the date of this media time lies ahead of the clock, microseconds; negative when it is past, as it is
    /// by what was lost. 0 before the first date.
    pub fn ahead_us(&self, media_us: i64, now: Now) -> i64 {
        let now_us = self.unix_us(now);
        self.told_us.map_or(0, |told| told.saturating_add(media_us).saturating_sub(now_us))
    }

    fn begin_anew(&mut self) {
        self.least.forget();
        self.origin = None;
        self.since_us = None;
    }

    /// How much faster (positive) than ours the publisher's clock runs, parts per million. `None`
    /// until the estimate was watched for half a minute.
    pub fn drift_ppm(&self) -> Option<i32> {
        let (origin_us, origin_estimate) = self.origin?;
        let elapsed_us =
            (self.least.second() * 1_000_000).checked_sub(origin_us).filter(|&us| us >= DRIFT_BASE_US)?;
        let moved = i128::from(origin_estimate - self.least.us()?);
        i32::try_from(moved * 1_000_000 / i128::from(elapsed_us)).ok()
    }

    /// Unix time by the clock that does not step.
    fn unix_us(&self, now: Now) -> i64 {
        let offset_us = self.unix_offset_us.unwrap_or_else(|| unix_offset_us(now));
        i64::try_from(now.monotonic_us).unwrap_or(i64::MAX).saturating_add(offset_us)
    }
}

/// Unix milliseconds.
fn date(told_us: i64, media_us: i64) -> u64 {
    u64::try_from(told_us.saturating_add(media_us).div_euclid(1000)).unwrap_or(0)
}

fn unix_offset_us(now: Now) -> i64 {
    i64::try_from(now.unix_us).unwrap_or(i64::MAX).saturating_sub_unsigned(now.monotonic_us)
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNIX_US: u64 = 1_795_000_000_000_000;

    fn at(us: i64) -> Now {
        Now { monotonic_us: us as u64 + 5_000_000, unix_us: UNIX_US + us as u64 }
    }

    /// Feeds 30 frames a second; each arrives `delay(n)` microseconds late; media runs `ppm` fast.
    fn run(
        clock: &mut WallClock,
        seconds: i64,
        ppm: i64,
        delay: impl Fn(i64) -> i64,
    ) -> Vec<(i64, u64, u64)> {
        let mut dates = Vec::new();
        for n in 0..seconds * 30 {
            let wall_us = n * 1_000_000 / 30;
            let media_us = wall_us + wall_us / 1_000_000 * ppm + 1_000_000;
            let now = at(wall_us + delay(n));
            clock.handle_arrival(media_us, now);
            if n % 60 == 0 {
                dates.push((media_us, clock.segment_date(media_us, now), now.unix_us / 1000));
            }
        }
        dates
    }

    #[test]
    fn dates_and_media_time_agree_within_5_ms_a_segment_and_are_past_when_listed() {
        for (ppm, jitter_us) in [(0, 0), (0, 80_000), (200, 30_000), (-200, 30_000), (-3000, 0), (3000, 0)] {
            let mut clock = WallClock::default();
            let dates = run(&mut clock, 600, ppm, |n| n * 7919 % (jitter_us + 1));
            for pair in dates.windows(2) {
                let media_ms = (pair[1].0 - pair[0].0) / 1000;
                let date_ms = (pair[1].1 - pair[0].1) as i64;
                let fast = ppm > 500; // Then only not lying ahead of the clock holds.
                assert!(fast || (date_ms - media_ms).abs() <= 6, "{ppm} {jitter_us} {pair:?}");
                assert!(pair[1].1 <= pair[1].2 + 100);
            }
        }
    }

    #[test]
    fn the_least_delayed_frame_decides() {
        let mut clock = WallClock::default();
        for (n, delay_us) in [(0, 90_000), (1, 20_000), (2, 70_000)] {
            clock.handle_arrival(n * 33_000, at(n * 33_000 + delay_us));
        }
        assert_eq!(clock.segment_date(0, at(200_000)), UNIX_US / 1000 + 20);
        let mut beside = None;
        assert_eq!(clock.date_beside(1_000_000, &mut beside, false), UNIX_US / 1000 + 1020);
        // It follows by no more at once than is no step, however many segments of the first have passed.
        clock.told_us = clock.told_us.map(|told| told - 30_000);
        for off_ms in [12, 4, -4, -10, -10] {
            let date = clock.date_beside(2_000_000, &mut beside, false) as i64;
            assert_eq!(date - (UNIX_US / 1000) as i64 - 2000, off_ms);
        }
        assert_eq!(clock.date_beside(2_000_000, &mut beside, true), UNIX_US / 1000 + 1990);
    }

    #[test]
    fn an_arrival_that_is_a_little_less_late_slews_the_date_and_does_not_step_it() {
        let mut clock = WallClock::default();
        clock.handle_arrival(0, at(60_000));
        assert_eq!(clock.segment_date(0, at(60_000)), UNIX_US / 1000 + 60);
        clock.handle_arrival(2_000_000, at(2_000_000));
        assert_eq!(clock.segment_date(2_000_000, at(2_000_000)), UNIX_US / 1000 + 2_059);
    }

    #[test]
    fn a_date_that_is_a_little_off_stays_so_that_dates_and_durations_agree_to_the_millisecond() {
        let mut clock = WallClock::default();
        clock.handle_arrival(0, at(45_000));
        let first = clock.segment_date(0, at(45_000));
        for segment in 1..100 {
            let media_us = segment * 2_000_000;
            clock.handle_arrival(media_us, at(media_us));
            assert_eq!(clock.segment_date(media_us, at(media_us)), first + media_us as u64 / 1000);
        }
    }

    /// An hour either way, and frames that suddenly come a second sooner.
    #[test]
    fn no_step_of_the_host_and_none_of_the_way_is_a_step_of_the_date() {
        let hour_us = 3_600_000_000_i64;
        for (host_us, sooner_us) in [(hour_us, 0), (-hour_us, 0), (0, 1_000_000)] {
            let mut clock = WallClock::default();
            let mut before = None;
            for segment in 0..200 {
                let (media_us, is_later) = (segment * 2_000_000, segment >= 5);
                let mut now = at(media_us + if is_later { 0 } else { sooner_us });
                now.unix_us = now.unix_us.saturating_add_signed(if is_later { host_us } else { 0 });
                clock.handle_arrival(media_us, now);
                let off_ms = clock.segment_date(media_us, now) as i64 - media_us / 1000;
                let moved_ms = off_ms - *before.get_or_insert(off_ms);
                assert!((-9..=0).contains(&moved_ms), "{host_us} {sooner_us}: {moved_ms} ms at {segment}");
                assert!(sooner_us > 0 || moved_ms == 0, "{host_us}: {moved_ms} ms at {segment}");
                before = Some(off_ms);
            }
            let in_the_end_ms = before.unwrap() - (UNIX_US / 1000) as i64;
            assert!((0..=75).contains(&in_the_end_ms), "{in_the_end_ms}");
        }
    }

    #[test]
    fn steps_at_a_discontinuity_only_and_never_back() {
        let mut clock = WallClock::default();
        clock.handle_arrival(0, at(0));
        assert_eq!(clock.segment_date(0, at(0)), UNIX_US / 1000);
        clock.handle_arrival(2_000_000, at(7_000_000));
        clock.least.forget();
        clock.handle_arrival(2_000_000, at(7_000_000));
        assert_eq!(clock.segment_date(2_000_000, at(7_000_000)), UNIX_US / 1000 + 2001);
        clock.step();
        clock.handle_arrival(4_000_000, at(12_000_000));
        assert_eq!(clock.segment_date(4_000_000, at(12_000_000)), UNIX_US / 1000 + 12_000);
        clock.step();
        clock.handle_arrival(6_000_000, at(12_100_000));
        assert_eq!(clock.segment_date(6_000_000, at(15_000_000)), UNIX_US / 1000 + 14_000);
    }

    /// Two encoders whose frames come with other delays; 1.4 s are lost between them.
    #[test]
    fn after_a_splice_dates_go_on_with_media_time_until_a_discontinuity() {
        let mut clock = WallClock::default();
        let jitter = |n: i64| n * 7919 % 40_000;
        let mut dates = run(&mut clock, 60, 0, jitter);
        let (last_us, last_date, _) = *dates.last().unwrap();
        let told = last_date as i64 - last_us / 1000;
        clock.splice();
        for n in 0..120 * 30 {
            let media_us = last_us + 2_000_000 + n * 1_000_000 / 30;
            let now = at(media_us - 1_000_000 + 1_400_000 + 30_000 + jitter(n));
            clock.handle_arrival(media_us, now);
            if n % 60 == 0 {
                dates.push((media_us, clock.segment_date(media_us, now), now.unix_us / 1000));
            }
        }
        for (media_us, date, _) in &dates {
            assert_eq!(*date as i64 - media_us / 1000, told, "at {media_us}");
        }
        let (end_us, ..) = *dates.last().unwrap();
        let now = at(end_us + 2_000_000 + 430_000);
        assert_eq!(
            clock.ahead_us(end_us + 2_000_000, now),
            told * 1000 + end_us + 2_000_000 - now.unix_us as i64
        );
        clock.step();
        clock.handle_arrival(end_us + 2_000_000, now);
        assert_eq!(clock.segment_date(end_us + 2_000_000, now), now.unix_us / 1000);
    }

    #[test]
    fn tells_the_drift_of_the_publishers_clock() {
        for ppm in [0, 150, -150] {
            let mut clock = WallClock::default();
            assert_eq!(clock.drift_ppm(), None);
            run(&mut clock, 300, ppm, |n| n * 7919 % 20_000);
            let found = clock.drift_ppm().unwrap();
            assert!((i64::from(found) - ppm).abs() <= 20, "{ppm} {found}");
        }
    }
}
