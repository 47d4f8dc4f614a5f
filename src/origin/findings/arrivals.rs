//! When the frames of one kind came, against when they say they are: what their clock drifts by, and whether they
//! stood still and then came at once.
//!
//! A frame's lateness is its arrival less its timestamp. It grows by a delay on the way and by a clock that is
//! slow. The least of ten seconds is the frame that waited least, so that jitter and bursts do not count; the
//! line of least squares through those minima is the drift.

use crate::limits::{
    FINDING_BURST_OVER_US, FINDING_BURST_US, FINDING_DRIFT_STEP_US, FINDING_DRIFT_WINDOWS_MAX,
    FINDING_DRIFT_WINDOWS_MIN, FINDING_WINDOW_US, TIMESTAMP_BACK_MS_MAX, TIMESTAMP_LEAP_MS_MAX,
};

/// Points that a line is drawn through before one that is far from it says anything.
const COURSE_WINDOWS_MIN: usize = 3;
/// What a minimum may be off by for the rounding of timestamps, microseconds.
const ROUNDING_US: f64 = 1000.0;
const WINDOW_S: f64 = (FINDING_WINDOW_US / 1_000_000) as f64;

/// How fast a clock runs against ours, parts per million.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drift {
    /// Positive for one that is fast.
    pub ppm: i64,
    /// What that may be off by: two standard errors of the line, and a millisecond of rounding over its length.
    pub error_ppm: i64,
}

/// What a frame's arrival told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Arrived {
    /// It has caught up after the frames before it were held back by up to so many microseconds.
    pub burst_us: Option<i64>,
    /// A window is over: the drift by now.
    pub drift: Option<Drift>,
}

/// Arrivals of one kind of frame.
#[derive(Debug)]
pub struct Arrivals {
    newest_ms: Option<i64>,
    /// When the open window began, monotonic microseconds, and its least lateness.
    window: Option<(u64, i64)>,
    /// The least of the window before it.
    before_us: Option<i64>,
    /// The least of each window, consecutive ones.
    minima: [i64; FINDING_DRIFT_WINDOWS_MAX],
    /// How many of them there are; the oldest first.
    minima_count: usize,
    /// Frames are being held back.
    held: Option<Held>,
}

#[derive(Debug, Clone, Copy)]
struct Held {
    since_us: u64,
    /// Lateness before it began, and the most by which that was exceeded.
    usual_us: i64,
    worst_us: i64,
}

impl Arrivals {
    /// Before the first frame.
    pub fn new() -> Self {
        Self {
            newest_ms: None,
            window: None,
            before_us: None,
            minima: [0; FINDING_DRIFT_WINDOWS_MAX],
            minima_count: 0,
            held: None,
        }
    }

    /// A frame of this unwrapped timestamp begins to arrive.
    pub fn arrived(&mut self, timestamp_ms: i64, now_us: u64) -> Arrived {
        let arrival_us = i64::try_from(now_us).unwrap_or(i64::MAX);
        let late_us = arrival_us.saturating_sub(timestamp_ms.saturating_mul(1000));
        if self.is_another_time(timestamp_ms, late_us) {
            *self = Self::new();
        }
        self.newest_ms = self.newest_ms.max(Some(timestamp_ms));
        let drift = self.close_window(now_us).then(|| self.drift()).flatten();
        let (_, least_us) = self.window.get_or_insert((now_us, i64::MAX));
        *least_us = late_us.min(*least_us);
        Arrived { burst_us: self.caught_up(late_us, now_us), drift }
    }

    /// A timestamp that goes back, or one that is far earlier here than any before, is of another time.
    fn is_another_time(&self, timestamp_ms: i64, late_us: i64) -> bool {
        let went_back = |newest: i64| timestamp_ms < newest.saturating_sub(TIMESTAMP_BACK_MS_MAX);
        let leapt = |usual_us: i64| late_us < usual_us.saturating_sub(TIMESTAMP_LEAP_MS_MAX * 1000);
        self.newest_ms.is_some_and(went_back) || self.usual_us().is_some_and(leapt)
    }

    /// The lateness of the frame that waited least of late.
    fn usual_us(&self) -> Option<i64> {
        let recent = [self.window.map(|(_, least)| least), self.before_us];
        self.held.map(|held| held.usual_us).or(recent.into_iter().flatten().min())
    }

    fn caught_up(&mut self, late_us: i64, now_us: u64) -> Option<i64> {
        let usual_us = self.usual_us()?;
        let excess_us = late_us - usual_us;
        match &mut self.held {
            None if excess_us > FINDING_BURST_US => {
                self.held = Some(Held { since_us: now_us, usual_us, worst_us: excess_us });
                None
            }
            None => None,
            Some(held) => {
                held.worst_us = held.worst_us.max(excess_us);
                let Held { since_us, worst_us, .. } = *held;
                let has_caught_up = excess_us <= FINDING_BURST_US.min(worst_us / 2);
                // Late for good: the encoder's clock has stood still, or is slow.
                if has_caught_up || now_us.saturating_sub(since_us) > FINDING_BURST_OVER_US {
                    self.held = None;
                }
                has_caught_up.then_some(worst_us)
            }
        }
    }

    /// True when a window is over, which its minimum is kept of.
    fn close_window(&mut self, now_us: u64) -> bool {
        let Some((since_us, least_us)) = self.window else { return false };
        let windows = now_us.saturating_sub(since_us) / FINDING_WINDOW_US;
        if windows == 0 {
            return false;
        }
        if !self.is_on_course(least_us) {
            self.minima_count = 0;
        }
        if self.minima_count == FINDING_DRIFT_WINDOWS_MAX {
            self.minima.copy_within(1.., 0);
            self.minima_count -= 1;
        }
        self.minima[self.minima_count] = least_us;
        self.minima_count += 1;
        self.before_us = Some(least_us);
        // Its end and not this frame's arrival, so that all windows are of one length.
        self.window = Some((since_us + windows * FINDING_WINDOW_US, i64::MAX));
        if windows > 1 {
            // One without a frame lies between: what follows is not the next.
            self.minima_count = 0;
        }
        true
    }

    /// False for a minimum that lies off the course of those before it.
    fn is_on_course(&self, least_us: i64) -> bool {
        let Some((course_us, _)) = self.line() else { return true };
        let step_us = (least_us - self.minima[self.minima_count - 1]) as f64;
        (step_us - course_us).abs() <= FINDING_DRIFT_STEP_US + course_us.abs() / 2.0
    }

    fn drift(&self) -> Option<Drift> {
        if self.minima_count < FINDING_DRIFT_WINDOWS_MIN {
            return None;
        }
        let (slope_us, error_us) = self.line()?;
        let rounding_us = ROUNDING_US / self.minima_count as f64;
        Some(Drift {
            // A slow clock is later and later.
            ppm: (-slope_us / WINDOW_S).round() as i64,
            error_ppm: ((2.0 * error_us + rounding_us) / WINDOW_S).ceil() as i64,
        })
    }

    /// The line of least squares through the minima: microseconds a window, and their standard error.
    fn line(&self) -> Option<(f64, f64)> {
        if self.minima_count < COURSE_WINDOWS_MIN {
            return None;
        }
        let minima = &self.minima[..self.minima_count];
        let count = minima.len() as f64;
        // From the first of them, since the clocks' zeros are far apart.
        let late = |least: &i64| (least - minima[0]) as f64;
        let mean = minima.iter().map(late).sum::<f64>() / count;
        let (mut covariance, mut variance) = (0.0, 0.0);
        for (index, least) in minima.iter().enumerate() {
            let from_middle = index as f64 - (count - 1.0) / 2.0;
            covariance += from_middle * (late(least) - mean);
            variance += (late(least) - mean).powi(2);
        }
        let spread = count * (count * count - 1.0) / 12.0;
        let slope = covariance / spread;
        let residual = (variance - slope * covariance).max(0.0) / (count - 2.0);
        Some((slope, (residual / spread).sqrt()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Uniform from 0 up to the bound, by a generator of its own.
    struct Random(u64);

    impl Random {
        fn below(&mut self, bound: i64) -> i64 {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((self.0 >> 33) as i64) % bound.max(1)
        }
    }

    /// The newest drift and all bursts of so many seconds at 30 frames a second: the clock is so fast, frames come up to
    /// `jitter_ms` late, and `delay_ms` as well, by the seconds passed.
    fn run(
        seconds: u64,
        ppm: i64,
        jitter_ms: i64,
        delay_ms: impl Fn(u64) -> i64,
    ) -> (Option<Drift>, Vec<i64>) {
        let (mut arrivals, mut random) = (Arrivals::new(), Random(7));
        let (mut drift, mut bursts, mut newest_us) = (None, Vec::new(), 0);
        for frame in 0..seconds * 30 {
            let sent_us = frame * 1_000_000 / 30;
            let clock_us = sent_us as i64 + sent_us as i64 / 1000 * ppm / 1000;
            let late_us =
                1000 * (delay_ms(sent_us / 1_000_000) + random.below(jitter_ms + 1)) + random.below(1000);
            // TCP: no frame overtakes another.
            newest_us = newest_us.max(sent_us + 9_000_000 + late_us as u64);
            let arrived = arrivals.arrived(clock_us / 1000, newest_us);
            drift = arrived.drift.or(drift);
            bursts.extend(arrived.burst_us.map(|us| us / 1000));
        }
        (drift, bursts)
    }

    #[test]
    fn a_drift_is_told_within_a_few_ppm_through_jitter_of_40_ms_either_way() {
        for ppm in [0, 30, -30, 100, -100, 5000, -100_000] {
            let (drift, bursts) = run(20 * 60, ppm, 80, |_| 0);
            let drift = drift.expect("20 minutes are enough");
            assert!((drift.ppm - ppm).abs() <= drift.error_ppm, "{ppm}: {drift:?}");
            assert!(drift.error_ppm <= 3 || ppm.abs() > 1000, "{ppm}: {drift:?}");
            assert!(bursts.is_empty(), "{ppm}: {bursts:?}");
        }
    }

    #[test]
    fn no_drift_is_told_before_five_minutes_nor_of_a_clock_that_leaps() {
        assert_eq!(run(5 * 60, 100, 80, |_| 0).0, None);
        let (drift, _) = run(6 * 60, 100, 80, |_| 0);
        assert!(drift.is_some_and(|drift| (drift.ppm - 100).abs() <= drift.error_ppm), "{drift:?}");
        // Back to an earlier time every four minutes.
        let mut arrivals = Arrivals::new();
        for second in 0..3600 {
            let timestamp_ms = (second % 240) as i64 * 1000;
            assert_eq!(arrivals.arrived(timestamp_ms, second * 1_000_000), Arrived::default(), "{second}");
        }
    }

    #[test]
    fn another_way_to_the_server_is_no_drift() {
        // 200 ms longer from the tenth minute on; a stall of 3 s each minute.
        for delay_ms in [|s: u64| 200 * i64::from(s > 600), |s: u64| 3000 * i64::from(s % 60 == 30)] {
            let (drift, _) = run(20 * 60, 0, 80, delay_ms);
            let drift = drift.expect("ten minutes are enough");
            assert!(drift.ppm.abs() <= drift.error_ppm && drift.error_ppm <= 5, "{drift:?}");
        }
    }

    #[test]
    fn what_is_held_back_and_then_comes_at_once_is_a_burst_of_that_length() {
        // Frames of the 30th second come 1.5 s late, those of the next with them.
        let (_, bursts) = run(60, 0, 40, |second| 1500 * i64::from(second == 30));
        assert!(matches!(bursts[..], [1450..=1600]), "{bursts:?}");
        assert!(run(60, 0, 40, |second| 300 * i64::from(second == 30)).1.is_empty(), "too little");
    }

    #[test]
    fn an_encoder_whose_clock_stands_still_or_that_begins_late_makes_no_burst() {
        assert!(run(120, 0, 40, |second| 1500 * i64::from(second >= 30)).1.is_empty());
        assert!(run(120, 0, 40, |second| 2000 * i64::from(second < 2)).1.is_empty());
        // Timestamps that go on after a pause as if it had not been, and ones that count it.
        for paused_ms in [0, 5000] {
            let mut arrivals = Arrivals::new();
            for frame in 0..3000_u64 {
                let (pause, counted) = if frame >= 900 { (5000, paused_ms) } else { (0, 0) };
                let arrived = arrivals.arrived(frame as i64 * 33 + counted, (frame * 33 + pause) * 1000);
                assert_eq!(arrived, Arrived::default(), "{paused_ms}: {frame}");
            }
        }
    }
}
