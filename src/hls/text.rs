//! Numbers and dates as playlists print them (sections 4.2 and 4.4.4.6), straight into a `String`.

use crate::media::Timescale;

/// Units of a printed duration in a second: five decimals.
const UNITS_PER_SECOND: u64 = 100_000;

/// A moment on a rendition's timeline in units of 10 µs, towards zero. Printed durations are differences
/// of such moments: so parts add up to their segment exactly, no error grows along a playlist, and a
/// duration of at most PART-TARGET, a multiple of the unit, is never printed above it.
pub(super) fn moment_units(ticks: u64, timescale: Timescale) -> u64 {
    let scale = u64::from(timescale.get());
    let fraction = ticks % scale * UNITS_PER_SECOND / scale;
    (ticks / scale).saturating_mul(UNITS_PER_SECOND).saturating_add(fraction)
}

/// Units of 10 µs in `seconds`.
pub(super) fn seconds_units(seconds: u32) -> u64 {
    u64::from(seconds) * UNITS_PER_SECOND
}

/// A decimal-integer.
pub(super) fn push_integer(out: &mut String, value: u64) {
    let mut digits = [0u8; 20];
    let mut start = digits.len();
    let mut rest = value;
    loop {
        start -= 1;
        digits[start] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    // Digits are ASCII, so nothing is ever left out.
    out.push_str(std::str::from_utf8(&digits[start..]).unwrap_or_default());
}

/// A duration in units of 10 µs as seconds with five decimals.
pub(super) fn push_units(out: &mut String, units: u64) {
    push_integer(out, units / UNITS_PER_SECOND);
    out.push('.');
    push_padded(out, units % UNITS_PER_SECOND, 5);
}

/// Milliseconds as seconds with three decimals.
pub(super) fn push_ms(out: &mut String, ms: u64) {
    push_integer(out, ms / 1000);
    out.push('.');
    push_padded(out, ms % 1000, 3);
}

/// Unix milliseconds as `YYYY-MM-DDThh:mm:ss.mmmZ`.
pub(super) fn push_date_time(out: &mut String, unix_ms: u64) {
    let (seconds, ms) = (unix_ms / 1000, unix_ms % 1000);
    let (days, of_day) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = crate::media::civil_date(days);
    let fields =
        [(year, 4, '-'), (month, 2, '-'), (day, 2, 'T'), (of_day / 3600, 2, ':'), (of_day / 60 % 60, 2, ':')];
    for (value, digits, separator) in fields {
        push_padded(out, value, digits);
        out.push(separator);
    }
    push_padded(out, of_day % 60, 2);
    out.push('.');
    push_padded(out, ms, 3);
    out.push('Z');
}

/// `value` with at least `digits` digits, zeros in front.
fn push_padded(out: &mut String, value: u64, digits: u32) {
    let mut place = 10u64.pow(digits - 1);
    while place > 1 && value < place {
        out.push('0');
        place /= 10;
    }
    push_integer(out, value);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(push: impl FnOnce(&mut String)) -> String {
        let mut out = String::new();
        push(&mut out);
        out
    }

    #[test]
    fn prints_integers_and_decimals_without_sign_or_exponent() {
        assert_eq!(text(|out| push_integer(out, 0)), "0");
        assert_eq!(text(|out| push_integer(out, u64::MAX)), u64::MAX.to_string());
        assert_eq!(text(|out| push_units(out, 0)), "0.00000");
        assert_eq!(text(|out| push_units(out, 200_001)), "2.00001");
        assert_eq!(text(|out| push_ms(out, 334)), "0.334");
        assert_eq!(text(|out| push_ms(out, 1_002)), "1.002");
    }

    #[test]
    fn prints_dates_over_leap_days_and_centuries() {
        for (unix_ms, expected) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (951_868_800_000, "2000-03-01T00:00:00.000Z"),
            (1_735_689_600_000, "2025-01-01T00:00:00.000Z"),
            (4_107_542_400_007, "2100-03-01T00:00:00.007Z"),
        ] {
            assert_eq!(text(|out| push_date_time(out, unix_ms)), expected);
        }
        text(|out| push_date_time(out, u64::MAX));
    }

    proptest! {
        #[test]
        fn a_part_of_at_most_the_target_is_never_printed_above_it(
            scale in 1u32..200_000, start in 0u64..1 << 50, target_ms in 1u64..10_000, share in 0u64..=1000,
        ) {
            let timescale = Timescale::new(scale).unwrap();
            let duration = target_ms * u64::from(scale) / 1000 * share / 1000;
            let units = moment_units(start + duration, timescale) - moment_units(start, timescale);
            prop_assert!(units <= target_ms * 100);
        }
    }
}
