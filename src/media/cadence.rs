//! How a track's frames follow one another: exact frame rates recovered from millisecond timestamps.
//!
//! Publishers write whole milliseconds, truncated (OBS), rounded (ffmpeg) or clamped to a clock of
//! their own (GStreamer). A rate is taken from the headers or the table of usual rates only when the
//! timestamps bear it out; otherwise the frame rate is variable.

use super::Timescale;
use crate::limits::{
    CADENCE_CLAIMED_MS_MIN, CADENCE_FRAMES_MIN, FRAMES_PER_SECOND_MAX, TIMESTAMP_JITTER_MS_MAX,
};

/// Frames a second as an exact ratio, in lowest terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FrameRate {
    frames: u32,
    seconds: u32,
}

/// How the frames of one track follow one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cadence {
    /// Video on its exact grid: every frame lasts equally long.
    Grid {
        /// Ticks a second.
        timescale: Timescale,
        /// Duration of each frame, more than 0.
        frame_ticks: u32,
        /// A timestamp that is ahead by no more than this is jitter; beyond it frames are missing.
        tolerance_ticks: u32,
    },
    /// Audio on its sample clock: every frame has as many samples, or says how many it has.
    Samples {
        /// Samples a second.
        timescale: Timescale,
        /// Samples of each frame, or of most of them, more than 0.
        frame_ticks: u32,
        /// Samples of the longest frame that was announced, at least `frame_ticks`.
        longest_ticks: u32,
    },
    /// Variable frame rate: a frame's duration is known when the next one comes.
    Variable {
        /// Ticks a second.
        timescale: Timescale,
        /// Median duration seen while learning, more than 0.
        typical_ticks: u32,
        /// Longest duration seen while learning, at least `typical_ticks`.
        longest_ticks: u32,
    },
}

/// Rates that the published ones are snapped to and that are tried without a hint, usual ones first.
const RATES: [(u32, u32); 18] = [
    (30, 1),
    (60, 1),
    (30_000, 1001),
    (60_000, 1001),
    (25, 1),
    (50, 1),
    (24, 1),
    (24_000, 1001),
    (48, 1),
    (48_000, 1001),
    (15, 1),
    (20, 1),
    (10, 1),
    (12, 1),
    (25, 2),
    (15, 2),
    (120, 1),
    (120_000, 1001),
];

/// Two spellings of one rate differ by less (23.98 for 24000/1001: 167 ppm); 29.97 and 30 by 1,000 ppm.
const RATE_SNAP_PPM: u64 = 300;

/// Timestamps of an exact rate stay within this band, microseconds: 1 ms of rounding, and 1 ms to spare.
const GRID_SPREAD_US: i64 = 2_000;

impl FrameRate {
    /// `frames` in `seconds` (an SPS's `time_scale` over twice `num_units_in_tick`), snapped to the
    /// usual rate within 300 ppm. `None` for zero, or above 300 frames a second.
    pub fn new(frames: u32, seconds: u32) -> Option<Self> {
        if frames == 0 || seconds == 0 || u64::from(frames) > FRAMES_PER_SECOND_MAX * u64::from(seconds) {
            return None;
        }
        let near = |&&(usual_frames, usual_seconds): &&(u32, u32)| {
            let found = u64::from(frames) * u64::from(usual_seconds);
            let usual = u64::from(usual_frames) * u64::from(seconds);
            u128::from(found.abs_diff(usual)) * 1_000_000 <= u128::from(usual) * u128::from(RATE_SNAP_PPM)
        };
        let (frames, seconds) = RATES.iter().find(near).copied().unwrap_or((frames, seconds));
        let divisor = gcd(frames, seconds);
        Some(Self { frames: frames / divisor, seconds: seconds / divisor })
    }

    /// A rate as onMetaData gives it (29.97, 30.0); `None` when it is no sensible number.
    pub fn from_f64(frames_per_second: f64) -> Option<Self> {
        if !(0.01..=FRAMES_PER_SECOND_MAX as f64).contains(&frames_per_second) {
            return None;
        }
        Self::new((frames_per_second * 1e6).round() as u32, 1_000_000)
    }

    /// Frames per 1,000 seconds, rounded: 29,970 for 30000/1001.
    pub fn milli(self) -> u32 {
        let seconds = u64::from(self.seconds);
        u32::try_from((u64::from(self.frames) * 1000 + seconds / 2) / seconds).unwrap_or(u32::MAX)
    }

    /// The timescale in which a frame is a whole number of ticks, and that number.
    fn grid(self) -> Option<(Timescale, u32)> {
        let mut timescales = [Timescale::VIDEO, Timescale::VIDEO_1001];
        if self.seconds.is_multiple_of(1001) {
            timescales.reverse();
        }
        timescales.into_iter().find_map(|timescale| {
            let ticks = u64::from(timescale.get()) * u64::from(self.seconds);
            let frames = u64::from(self.frames);
            let exact = ticks % frames == 0;
            exact.then(|| u32::try_from(ticks / frames).ok()).flatten().map(|ticks| (timescale, ticks))
        })
    }

    /// When frame `index` begins, microseconds.
    fn begins_us(self, index: i64) -> i64 {
        (i128::from(index) * 1_000_000 * i128::from(self.seconds) / i128::from(self.frames)) as i64
    }
}

impl Cadence {
    /// Learns a video track from its decode timestamps (unwrapped milliseconds, in decode order) and
    /// the rates that headers claim, best first. Fewer than 9 timestamps give a variable rate, unless
    /// they are those of a slow rate that is claimed.
    pub fn learn_video(dts_ms: &[i64], hints: &[FrameRate]) -> Self {
        // A second of 5 frames a second is never 9 of them.
        if let [first, _, .., last] = dts_ms
            && dts_ms.len() < CADENCE_FRAMES_MIN
            && last - first >= CADENCE_CLAIMED_MS_MIN
        {
            let borne_out = hints.iter().copied().find(|&rate| fits_exactly(dts_ms, rate).is_some());
            return borne_out
                .and_then(|rate| Self::video_grid(rate, 0))
                .unwrap_or_else(|| Self::variable(dts_ms));
        }
        if dts_ms.len() >= CADENCE_FRAMES_MIN {
            let usual = || RATES.iter().filter_map(|&(frames, seconds)| FrameRate::new(frames, seconds));
            let borne_out = hints.iter().copied().find(|&rate| fits_exactly(dts_ms, rate).is_some());
            let nearest = || {
                let spread = |rate: &FrameRate| fits_exactly(dts_ms, *rate).unwrap_or(i64::MAX);
                usual().min_by_key(spread).filter(|rate| spread(rate) < i64::MAX)
            };
            if let Some(grid) = borne_out.or_else(nearest).and_then(|rate| Self::video_grid(rate, 0)) {
                return grid;
            }
            let jittery = hints.iter().find_map(|&rate| Some((rate, fits_on_average(dts_ms, rate)?)));
            if let Some(grid) = jittery.and_then(|(rate, spread_us)| Self::video_grid(rate, spread_us)) {
                return grid;
            }
        }
        Self::variable(dts_ms)
    }

    /// An audio track whose frames say themselves how many samples they have: the commonest number of them.
    pub fn of_samples(samples: &[u32], sample_rate: Timescale) -> Option<Self> {
        let mut sorted = samples.to_vec();
        sorted.sort_unstable();
        let runs = sorted.chunk_by(|a, b| a == b).filter(|run| run[0] > 0);
        // Of equally common ones the longest: parts must have room for it.
        let commonest = runs.max_by_key(|run| (run.len(), run[0]))?;
        Some(Self::samples(sample_rate, commonest[0]))
    }

    fn samples(timescale: Timescale, frame_ticks: u32) -> Self {
        Self::Samples { timescale, frame_ticks, longest_ticks: frame_ticks }
    }

    /// The same, where a configuration announces frames of up to so many samples. Means nothing for pictures.
    pub fn with_longest_samples(self, samples: u32) -> Self {
        match self {
            Self::Samples { timescale, frame_ticks, .. } => {
                Self::Samples { timescale, frame_ticks, longest_ticks: samples.max(frame_ticks) }
            }
            pictures => pictures,
        }
    }

    /// Learns an audio track: its sample clock, with `samples_per_frame` samples a frame (1,024 for
    /// AAC-LC). The timestamps (unwrapped milliseconds) only tell a frame of twice as many samples,
    /// where a decoder doubles the rate without the configuration saying so.
    pub fn learn_audio(dts_ms: &[i64], sample_rate: Timescale, samples_per_frame: u32) -> Self {
        let mut frame_ticks = samples_per_frame.max(1);
        if let (Some(first), Some(last), true) = (dts_ms.first(), dts_ms.last(), dts_ms.len() >= 32) {
            let elapsed = i128::from(last - first) * i128::from(sample_rate.get());
            let claimed = i128::from(frame_ticks) * (dts_ms.len() as i128 - 1) * 1000;
            if elapsed * 10 > claimed * 17 && elapsed * 10 < claimed * 23 {
                frame_ticks = frame_ticks.saturating_mul(2);
            }
        }
        Self::samples(sample_rate, frame_ticks)
    }

    /// Ticks a second.
    pub fn timescale(self) -> Timescale {
        match self {
            Self::Grid { timescale, .. }
            | Self::Samples { timescale, .. }
            | Self::Variable { timescale, .. } => timescale,
        }
    }

    /// Duration of a frame: the grid's, or the typical one.
    pub fn frame_ticks(self) -> u32 {
        match self {
            Self::Grid { frame_ticks, .. } | Self::Samples { frame_ticks, .. } => frame_ticks,
            Self::Variable { typical_ticks, .. } => typical_ticks,
        }
    }

    /// The longest duration of a frame that is expected.
    pub fn longest_ticks(self) -> u32 {
        match self {
            Self::Grid { frame_ticks, .. } => frame_ticks,
            Self::Samples { longest_ticks, .. } | Self::Variable { longest_ticks, .. } => longest_ticks,
        }
    }

    /// Video frames a second, `None` when variable.
    pub fn frame_rate(self) -> Option<FrameRate> {
        match self {
            Self::Grid { timescale, frame_ticks, .. } => FrameRate::new(timescale.get(), frame_ticks),
            Self::Samples { .. } | Self::Variable { .. } => None,
        }
    }

    fn video_grid(rate: FrameRate, spread_us: i64) -> Option<Self> {
        let (timescale, frame_ticks) = rate.grid()?;
        // Six tenths of a frame tell a missing frame from rounding and from drift alike; a publisher
        // that was seen to jitter more is given half as much again.
        let jitter = timescale.from_ms_round(spread_us * 3 / 2000) as u32;
        Some(Self::Grid { timescale, frame_ticks, tolerance_ticks: jitter.max(frame_ticks / 10 * 6) })
    }

    fn variable(dts_ms: &[i64]) -> Self {
        let mut deltas: Vec<i64> =
            dts_ms.windows(2).map(|pair| (pair[1] - pair[0]).clamp(1, 60_000)).collect();
        deltas.sort_unstable();
        // Nothing to learn from: 30 frames a second is the commonest rate.
        let typical = deltas.get(deltas.len() / 2).copied().unwrap_or(33);
        let longest = deltas.last().copied().unwrap_or(typical);
        let ticks = |ms: i64| Timescale::VIDEO.from_ms_round(ms) as u32;
        Self::Variable {
            timescale: Timescale::VIDEO,
            typical_ticks: ticks(typical),
            longest_ticks: ticks(longest),
        }
    }
}

/// How far the timestamps spread around the rate's grid, microseconds, when it is no more than
/// rounding explains. Missing frames are steps of several frames; most steps must be of one.
fn fits_exactly(dts_ms: &[i64], rate: FrameRate) -> Option<i64> {
    let frame_us = rate.begins_us(1).max(1);
    let (mut index, mut single_steps) = (0i64, 0usize);
    let (mut least, mut most) = (0i64, 0i64);
    for pair in dts_ms.windows(2) {
        let step = ((pair[1] - pair[0]) * 1000 + frame_us / 2).div_euclid(frame_us);
        if step < 1 {
            return None;
        }
        single_steps += usize::from(step == 1);
        index += step;
        let error = (pair[1] - dts_ms[0]) * 1000 - rate.begins_us(index);
        (least, most) = (least.min(error), most.max(error));
    }
    let spread = most - least;
    // A crystal may be off by 500 ppm besides.
    let drift_us = (dts_ms[dts_ms.len() - 1] - dts_ms[0]) / 2;
    (spread <= GRID_SPREAD_US + drift_us && single_steps * 2 >= dts_ms.len() - 1).then_some(spread)
}

/// The same for a publisher whose timestamps are clamped to another clock: no frame is missing, and
/// over all of them the rate is right to 5% and a frame.
fn fits_on_average(dts_ms: &[i64], rate: FrameRate) -> Option<i64> {
    let errors = || (0i64..).zip(dts_ms).map(|(index, dts)| (dts - dts_ms[0]) * 1000 - rate.begins_us(index));
    let spread = errors().max()? - errors().min()?;
    let expected = rate.begins_us(dts_ms.len() as i64 - 1);
    let off = errors().last()?.abs();
    let allowed = expected / 20 + rate.begins_us(1);
    (spread <= TIMESTAMP_JITTER_MS_MAX * 1000 && off <= allowed).then_some(spread)
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(frames: u32, seconds: u32) -> FrameRate {
        FrameRate::new(frames, seconds).unwrap()
    }

    #[derive(Clone, Copy)]
    enum Rounding {
        Truncated,
        Nearest,
    }

    fn timestamps(rate: FrameRate, frames: i64, rounding: Rounding) -> Vec<i64> {
        let half = match rounding {
            Rounding::Truncated => 0,
            Rounding::Nearest => 500,
        };
        (0..frames).map(|index| (rate.begins_us(index) + half) / 1000).collect()
    }

    #[test]
    fn rates_have_one_spelling() {
        for (published, frames, seconds, milli) in [
            (29.97, 30_000, 1001, 29_970),
            (29.97002997, 30_000, 1001, 29_970),
            (23.98, 24_000, 1001, 23_976),
            (23.976, 24_000, 1001, 23_976),
            (59.94, 60_000, 1001, 59_940),
            (30.0, 30, 1, 30_000),
            (12.5, 25, 2, 12_500),
            (24.0, 24, 1, 24_000),
        ] {
            let found = FrameRate::from_f64(published).unwrap();
            assert_eq!((found.frames, found.seconds, found.milli()), (frames, seconds, milli), "{published}");
        }
        assert_eq!(rate(60_000, 2002), rate(30_000, 1001));
        for nonsense in [0.0, -1.0, f64::NAN, f64::INFINITY, 1000.0, 1e300] {
            assert_eq!(FrameRate::from_f64(nonsense), None);
        }
        assert_eq!((FrameRate::new(0, 1), FrameRate::new(1, 0)), (None, None));
    }

    #[test]
    fn recovers_the_exact_grid_from_every_rounding_of_milliseconds() {
        for (frames, seconds, timescale, ticks) in [
            (15, 1, 90_000, 6000),
            (24_000, 1001, 120_000, 5005),
            (24, 1, 90_000, 3750),
            (25, 1, 90_000, 3600),
            (30_000, 1001, 120_000, 4004),
            (30, 1, 90_000, 3000),
            (48, 1, 90_000, 1875),
            (50, 1, 90_000, 1800),
            (60_000, 1001, 120_000, 2002),
            (60, 1, 90_000, 1500),
            (120, 1, 90_000, 750),
        ] {
            for rounding in [Rounding::Truncated, Rounding::Nearest] {
                let rate = rate(frames, seconds);
                let short = timestamps(rate, 9, rounding);
                let long = timestamps(rate, 10 * i64::from(frames / seconds), rounding);
                for learnt in [Cadence::learn_video(&short, &[rate]), Cadence::learn_video(&long, &[])] {
                    assert_eq!((learnt.timescale().get(), learnt.frame_ticks()), (timescale, ticks));
                    assert_eq!(learnt.frame_rate(), Some(rate));
                }
            }
        }
    }

    #[test]
    fn missing_frames_do_not_hide_the_grid_and_a_wrong_hint_does_not_win() {
        let mut dts = timestamps(rate(30, 1), 90, Rounding::Truncated);
        dts.retain(|dts| dts % 7 != 0);
        assert_eq!(Cadence::learn_video(&dts, &[]).frame_ticks(), 3000);
        let dts = timestamps(rate(30, 1), 90, Rounding::Truncated);
        for wrong in [rate(25, 1), rate(60, 1)] {
            assert_eq!(Cadence::learn_video(&dts, &[wrong]).frame_ticks(), 3000);
        }
    }

    #[test]
    fn clamped_timestamps_keep_the_claimed_rate_with_a_wider_tolerance() {
        let mut dts = timestamps(rate(30, 1), 60, Rounding::Nearest);
        for index in (3..57).step_by(6) {
            dts[index] = dts[index + 2];
            dts[index + 1] = dts[index + 2];
        }
        let Cadence::Grid { frame_ticks, tolerance_ticks, .. } = Cadence::learn_video(&dts, &[rate(30, 1)])
        else {
            panic!("not a grid")
        };
        assert_eq!(frame_ticks, 3000);
        assert!(tolerance_ticks >= 6000, "{tolerance_ticks}");
    }

    #[test]
    fn a_variable_rate_is_not_forced_onto_a_grid() {
        let dts: Vec<i64> = [0, 40, 71, 160, 171, 260, 265, 360, 480, 501, 590].to_vec();
        for hints in [&[][..], &[rate(30, 1)]] {
            let learnt = Cadence::learn_video(&dts, hints);
            assert!(matches!(learnt, Cadence::Variable { .. }), "{learnt:?}");
            assert_eq!(learnt.longest_ticks(), 120 * 90);
        }
        for few in [&[][..], &[5], &[0, 33, 66]] {
            assert!(matches!(Cadence::learn_video(few, &[rate(30, 1)]), Cadence::Variable { .. }));
        }
    }

    #[test]
    fn a_slow_rate_that_is_claimed_needs_fewer_frames() {
        for (frames, seconds) in [(2, 1), (5, 1), (15, 2), (8, 1)] {
            let claimed = rate(frames, seconds);
            let dts = timestamps(claimed, i64::from(frames / seconds) + 1, Rounding::Truncated);
            assert_eq!(Cadence::learn_video(&dts, &[claimed]).frame_rate(), Some(claimed));
            for hints in [&[][..], &[rate(30, 1)]] {
                assert_eq!(
                    Cadence::learn_video(&dts, hints).frame_rate(),
                    None,
                    "{frames}/{seconds} {hints:?}"
                );
            }
        }
    }

    #[test]
    fn frames_that_differ_have_the_commonest_length() {
        let rate = Timescale::new(48_000).unwrap();
        let learnt = |samples: &[u32]| Cadence::of_samples(samples, rate).map(Cadence::frame_ticks);
        assert_eq!(learnt(&[960, 960, 480, 960, 2880]), Some(960));
        assert_eq!(learnt(&[480, 960]), Some(960));
        assert_eq!(learnt(&[0, 0, 480]), Some(480));
        assert_eq!(learnt(&[0]), None);
        assert_eq!(learnt(&[]), None);
    }

    #[test]
    fn audio_runs_on_its_sample_clock_and_notices_doubled_frames() {
        let rate = Timescale::new(22_050).unwrap();
        let dts = |samples: i64| (0..100).map(|i| i * samples * 1000 / 22_050).collect::<Vec<i64>>();
        assert_eq!(Cadence::learn_audio(&dts(1024), rate, 1024).frame_ticks(), 1024);
        assert_eq!(Cadence::learn_audio(&dts(2048), rate, 1024).frame_ticks(), 2048);
        assert_eq!(Cadence::learn_audio(&[], rate, 1024).frame_ticks(), 1024);
    }
}
