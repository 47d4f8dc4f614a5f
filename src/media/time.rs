//! Clocks as the cores are told them, and media ticks.

use std::num::NonZeroU32;

/// The time of an input, told by the shard. Cores read no clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Now {
    /// Microseconds of a clock that never steps, from an arbitrary zero of the process.
    pub monotonic_us: u64,
    /// Microseconds since the Unix epoch; may step.
    pub unix_us: u64,
}

/// Ticks a second of a track's media time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Timescale(NonZeroU32);

impl Timescale {
    /// 90 kHz, exact for whole frame rates.
    pub const VIDEO: Self = Self(NonZeroU32::new(90_000).unwrap());
    /// 120 kHz, exact for the 1001 family of frame rates (23.976, 29.97, 59.94, 119.88).
    pub const VIDEO_1001: Self = Self(NonZeroU32::new(120_000).unwrap());

    /// A timescale; `None` for zero.
    pub fn new(ticks_per_second: u32) -> Option<Self> {
        NonZeroU32::new(ticks_per_second).map(Self)
    }

    /// Ticks a second.
    pub fn get(self) -> u32 {
        self.0.get()
    }

    /// Ticks to microseconds, towards negative infinity.
    pub fn to_us_floor(self, ticks: i64) -> i64 {
        floor_scaled(ticks, 1_000_000, self.get())
    }

    /// Milliseconds to ticks, to the nearest.
    pub fn from_ms_round(self, ms: i64) -> i64 {
        (i128::from(ms) * i128::from(self.get()) + 500).div_euclid(1000) as i64
    }

    /// Ticks of this timescale as ticks of `other`, towards negative infinity.
    pub fn rescale_floor(self, ticks: i64, other: Self) -> i64 {
        floor_scaled(ticks, other.get(), self.get())
    }
}

/// Year, month (1 to 12) and day (1 to 31) of a count of days since 1970-01-01, Gregorian.
pub fn civil_date(days: u64) -> (u64, u64, u64) {
    // Years are counted from March, so that the leap day is the last of its year; 719,468 days lie
    // between 0000-03-01 and 1970-01-01, and 146,097 make the calendar's cycle of 400 years.
    let days = days + 719_468;
    let (cycle, of_cycle) = (days / 146_097, days % 146_097);
    let year_of_cycle = (of_cycle - of_cycle / 1460 + of_cycle / 36_524 - of_cycle / 146_096) / 365;
    let of_year = of_cycle - (365 * year_of_cycle + year_of_cycle / 4 - year_of_cycle / 100);
    let march_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    (cycle * 400 + year_of_cycle + u64::from(month <= 2), month, day)
}

/// `value * numerator / denominator` towards negative infinity, without overflow on the way.
fn floor_scaled(value: i64, numerator: u32, denominator: u32) -> i64 {
    (i128::from(value) * i128::from(numerator)).div_euclid(i128::from(denominator)) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conversions_name_their_rounding() {
        assert_eq!(Timescale::VIDEO.to_us_floor(-1), -12);
        assert_eq!(Timescale::VIDEO.from_ms_round(33), 2970);
        assert_eq!(Timescale::new(44_100).unwrap().from_ms_round(1), 44);
        assert_eq!(Timescale::VIDEO_1001.rescale_floor(4004, Timescale::VIDEO), 3003);
        assert_eq!(Timescale::new(0), None);
    }
}
