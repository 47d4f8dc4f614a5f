//! Lines, numbers and dates of a playlist (8216bis, 4 and 4.2).
//!
//! Durations are read as exact decimal fractions, never by way of a float: whether a part exceeds PART-TARGET is
//! judged by what is printed.

use std::fmt;
use std::time::Duration;

use super::{
    PLAYLIST_BREACHES_MAX, PLAYLIST_BYTES_MAX, PLAYLIST_ENTRIES_MAX, PLAYLIST_LINES_MAX, PlaylistError,
};
use crate::fault::{Fault, FaultKind};

/// Seconds one duration may have: 31 years. All durations of a playlist together are then far from overflow.
const DURATION_S_MAX: u64 = 1_000_000_000;
/// Characters of a text that a message shows.
const SHOWN_CHARS_MAX: usize = 96;

/// Where the reader stands, and which breaches it has met.
#[derive(Debug, Default)]
pub(super) struct Reading {
    /// Number of the line being read, from 1.
    pub line: u32,
    /// Breaches of the grammar that leave the meaning clear; never more than [`PLAYLIST_BREACHES_MAX`].
    pub breaches: Vec<Fault>,
}

impl Reading {
    /// Notes a breach that does not keep the playlist from being read.
    pub fn breach(&mut self, found: &str, allowed: &str) {
        if self.breaches.len() < PLAYLIST_BREACHES_MAX {
            let detail = format!("line {}: found `{}`; allowed is {allowed}", self.line, Shown(found));
            self.breaches.push(Fault::new(FaultKind::PlaylistSyntax, detail));
        }
    }

    /// The error for a text that cannot be understood.
    pub fn syntax(&self, found: &str, allowed: &'static str) -> PlaylistError {
        PlaylistError::Syntax { line: self.line, found: Shown(found).to_string(), allowed }
    }

    /// The error for an attribute that a tag must have.
    pub fn missing(&self, tag: &'static str, attribute: &'static str) -> PlaylistError {
        PlaylistError::AttributeMissing { line: self.line, tag, attribute }
    }

    /// Adds to a list that a peer fills, within [`PLAYLIST_ENTRIES_MAX`].
    pub fn push<T>(&self, list: &mut Vec<T>, entry: T, what: &'static str) -> Result<(), PlaylistError> {
        self.room(list.len(), PLAYLIST_ENTRIES_MAX, what)?;
        list.push(entry);
        Ok(())
    }

    /// Whether one more may be added to `count`.
    pub fn room(&self, count: usize, allowed: usize, what: &'static str) -> Result<(), PlaylistError> {
        if count < allowed { Ok(()) } else { Err(PlaylistError::TooMany { line: self.line, what, allowed }) }
    }

    /// A whole number, for what is counted.
    pub fn integer(&self, text: &str) -> Result<u64, PlaylistError> {
        integer(text).ok_or_else(|| self.syntax(text, "a decimal integer below 2^64"))
    }

    /// A whole number that fits 32 bits.
    pub fn integer_u32(&self, text: &str) -> Result<u32, PlaylistError> {
        integer(text)
            .and_then(|value| u32::try_from(value).ok())
            .ok_or_else(|| self.syntax(text, "a decimal integer below 2^32"))
    }

    /// A duration in seconds.
    pub fn duration(&self, text: &str) -> Result<Duration, PlaylistError> {
        decimal(text).ok_or_else(|| self.syntax(text, "digits and one point, below 1000000000"))
    }

    /// Opens a text: the lines after `#EXTM3U`.
    pub fn open<'a>(&mut self, text: &'a str) -> Result<std::str::Lines<'a>, PlaylistError> {
        self.line = 1;
        if text.len() > PLAYLIST_BYTES_MAX {
            return Err(PlaylistError::TooMany { line: 1, what: "bytes", allowed: PLAYLIST_BYTES_MAX });
        }
        let without_mark = text.strip_prefix('\u{feff}');
        // 4: a playlist MUST NOT contain a byte order mark, nor control characters other than CR and LF.
        if without_mark.is_some() {
            self.breach("a byte order mark", "none");
        }
        let text = without_mark.unwrap_or(text);
        if holds_control_characters(text) {
            self.breach("control characters", "only CR and LF");
        }
        let mut lines = text.lines();
        let first = lines.next().unwrap_or("");
        match first.strip_prefix("#EXTM3U") {
            Some("") => {}
            Some(_) => self.breach(first, "#EXTM3U alone"),
            None => return Err(PlaylistError::NotAPlaylist { found: Shown(first).to_string() }),
        }
        Ok(lines)
    }

    /// Steps to the next line that may mean something: not blank, and no comment.
    pub fn next_line<'a>(
        &mut self,
        lines: &mut std::str::Lines<'a>,
    ) -> Result<Option<&'a str>, PlaylistError> {
        for line in lines {
            self.line += 1;
            self.room(self.line as usize - 1, PLAYLIST_LINES_MAX as usize, "lines")?;
            let is_comment = line.starts_with('#') && !line.starts_with("#EXT");
            if !is_comment && !line.is_empty() {
                return Ok(Some(line));
            }
        }
        Ok(None)
    }
}

/// Folds instead of searching, so that the compiler can take many bytes at once.
fn holds_control_characters(text: &str) -> bool {
    let is_control = |byte: u8| (byte < 0x20 && byte != b'\n' && byte != b'\r') || byte == 0x7f;
    text.bytes().fold(false, |found, byte| found | is_control(byte))
}

/// What stands before and behind the first of an ASCII byte. Like `split_once`, but made for the short texts of a
/// playlist: setting up a search of words takes longer than looking at each byte.
pub(super) fn split_at_byte(text: &str, byte: u8) -> Option<(&str, &str)> {
    debug_assert!(byte.is_ascii());
    let at = text.bytes().position(|found| found == byte)?;
    Some((text.get(..at)?, text.get(at + 1..)?))
}

/// decimal-integer (4.2): digits only, 0 to 2^64-1.
pub(super) fn integer(text: &str) -> Option<u64> {
    let mut value: Option<u64> = None;
    for byte in text.bytes() {
        let digit = digit(byte)?;
        value = Some(value.unwrap_or(0).checked_mul(10)?.checked_add(u64::from(digit))?);
    }
    value
}

fn digit(byte: u8) -> Option<u32> {
    byte.is_ascii_digit().then(|| u32::from(byte - b'0'))
}

/// decimal-floating-point (4.2): digits and one point; no sign, no exponent.
///
/// Digits past the ninth are cut off. As that is done to every duration alike, it never turns "not longer" into
/// "longer".
pub(super) fn decimal(text: &str) -> Option<Duration> {
    let (whole, fraction) = split_at_byte(text, b'.').unwrap_or((text, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let seconds = if whole.is_empty() { 0 } else { integer(whole)? };
    if seconds >= DURATION_S_MAX {
        return None;
    }
    Some(Duration::new(seconds, fraction_ns(fraction.as_bytes())?))
}

/// Digits behind a point, in billionths; those past the ninth are cut off.
fn fraction_ns(digits: &[u8]) -> Option<u32> {
    let mut nanos = 0;
    let mut weight = 100_000_000;
    for &byte in digits {
        nanos += digit(byte)? * weight;
        weight /= 10;
    }
    Some(nanos)
}

/// `<n>[@<o>]`: a length, and where it starts.
pub(super) fn byte_range(text: &str) -> Option<(u64, Option<u64>)> {
    match split_at_byte(text, b'@') {
        Some((length, start)) => Some((integer(length)?, Some(integer(start)?))),
        None => Some((integer(text)?, None)),
    }
}

/// ISO 8601 with a time of day, as Unix microseconds; without a zone it is taken as UTC (4.4.4.6: SHOULD have one).
pub(super) fn date_unix_us(text: &str) -> Option<i64> {
    let (date_and_clock, rest) = text.as_bytes().split_first_chunk::<19>()?;
    let [y1, y2, y3, y4, b'-', o1, o2, b'-', d1, d2, b'T' | b't' | b' ', clock @ ..] = *date_and_clock else {
        return None;
    };
    let [h1, h2, b':', m1, m2, b':', s1, s2] = clock else { return None };
    let days = days_since_1970(
        number([y1, y2, y3, y4], 0..=9999)?,
        number([o1, o2], 1..=12)?,
        number([d1, d2], 1..=31)?,
    );
    // A leap second is number 60.
    let clock_s =
        number([h1, h2], 0..=24)? * 3_600 + number([m1, m2], 0..=59)? * 60 + number([s1, s2], 0..=60)?;
    let (fraction, zone) = match rest {
        [b'.' | b',', rest @ ..] => {
            let end = rest.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(rest.len());
            rest.split_at_checked(end)?
        }
        _ => (&[][..], rest),
    };
    let seconds = days * 86_400 + clock_s - zone_s(zone)?;
    Some(seconds * 1_000_000 + i64::from(fraction_ns(fraction)? / 1_000))
}

fn number<const N: usize>(digits: [u8; N], allowed: std::ops::RangeInclusive<i64>) -> Option<i64> {
    let mut value = 0;
    for byte in digits {
        value = value * 10 + i64::from(digit(byte)?);
    }
    allowed.contains(&value).then_some(value)
}

/// `Z`, `+hh:mm`, `+hhmm`, `+hh`, or nothing.
fn zone_s(zone: &[u8]) -> Option<i64> {
    let (sign, hours, minutes) = match *zone {
        [] | [b'Z' | b'z'] => return Some(0),
        [sign, h1, h2] => (sign, [h1, h2], [b'0'; 2]),
        [sign, h1, h2, m1, m2] | [sign, h1, h2, b':', m1, m2] => (sign, [h1, h2], [m1, m2]),
        _ => return None,
    };
    let offset_s = number(hours, 0..=23)? * 3_600 + number(minutes, 0..=59)? * 60;
    match sign {
        b'+' => Some(offset_s),
        b'-' => Some(-offset_s),
        _ => None,
    }
}

/// Days of the Gregorian calendar, by counting years from March so that the leap day comes last.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year_from_march = if month <= 2 { year - 1 } else { year };
    let month_from_march = (month + 9) % 12;
    let day_of_year = (month_from_march * 153 + 2) / 5 + day - 1;
    let leap_days =
        year_from_march.div_euclid(4) - year_from_march.div_euclid(100) + year_from_march.div_euclid(400);
    // 1970-01-01 is day 719468 counted from 0000-03-01.
    year_from_march * 365 + leap_days + day_of_year - 719_468
}

/// A text of a peer's as a message shows it: shortened, and without the query, which may hold a token.
pub(super) struct Shown<'a>(pub &'a str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let without_query = self.0.split_once('?').map_or(self.0, |(before, _)| before);
        let mut chars = without_query.chars();
        for character in chars.by_ref().take(SHOWN_CHARS_MAX) {
            if character.is_control() {
                write!(formatter, "{}", character.escape_default())?;
            } else {
                write!(formatter, "{character}")?;
            }
        }
        let is_shortened = without_query.len() < self.0.len() || chars.next().is_some();
        formatter.write_str(if is_shortened { "..." } else { "" })
    }
}

/// A duration in seconds with as many digits as it has.
pub(super) struct Seconds(pub Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.0.as_secs())?;
        let fraction = format!("{:09}", self.0.subsec_nanos());
        match fraction.trim_end_matches('0') {
            "" => formatter.write_str(" s"),
            digits => write!(formatter, ".{digits} s"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_decimals_exactly_and_nothing_else() {
        for (text, expected_ns) in [
            ("0", Some(0)),
            ("0.334", Some(334_000_000)),
            ("2.00000", Some(2_000_000_000)),
            ("1.", Some(1_000_000_000)),
            (".5", Some(500_000_000)),
            ("0.3333333339", Some(333_333_333)),
            ("0.33333333399999999999999999999999", Some(333_333_333)),
            ("", None),
            (".", None),
            ("-1", None),
            ("+1", None),
            ("1e3", None),
            ("1.5e3", None),
            ("NaN", None),
            ("inf", None),
            ("1.2.3", None),
            (" 1", None),
            ("1000000000", None),
            ("99999999999999999999999", None),
        ] {
            assert_eq!(decimal(text).map(|found| found.as_nanos()), expected_ns, "{text:?}");
        }
    }

    #[test]
    fn reads_integers_up_to_64_bits() {
        for (text, expected) in [
            ("0", Some(0)),
            ("007", Some(7)),
            ("18446744073709551615", Some(u64::MAX)),
            ("18446744073709551616", None),
            ("", None),
            ("+1", None),
            ("-1", None),
            ("1.0", None),
            ("\u{0661}", None),
        ] {
            assert_eq!(integer(text), expected, "{text:?}");
        }
    }

    #[test]
    fn reads_dates_of_every_zone() {
        for (text, expected) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2026-11-22T10:00:00.123Z", Some(1_795_341_600_123_000)),
            ("2026-11-22T11:00:00.123456+01:00", Some(1_795_341_600_123_456)),
            ("2026-11-22T04:30:00.1234567-0530", Some(1_795_341_600_123_456)),
            ("2026-11-22T12:00:00+02", Some(1_795_341_600_000_000)),
            ("2026-11-22T10:00:00", Some(1_795_341_600_000_000)),
            ("2000-02-29T00:00:00Z", Some(951_782_400_000_000)),
            ("2000-03-01T00:00:00Z", Some(951_868_800_000_000)),
            ("1900-03-01T00:00:00Z", Some(-2_203_891_200_000_000)),
            ("0001-01-01T00:00:00Z", Some(-62_135_596_800_000_000)),
            ("2016-12-31T23:59:60Z", Some(1_483_228_800_000_000)),
            ("", None),
            ("now", None),
            ("2026-11-22", None),
            ("2026-13-22T10:00:00Z", None),
            ("2026-00-22T10:00:00Z", None),
            ("2026-11-22T10:00Z", None),
            ("2026-11-22T10:61:00Z", None),
            ("2026-11-22T10:00:00X", None),
            ("2026-11-22T10:00:00.x1Z", None),
            ("2026-11-22T10:00:00+1", None),
            ("26-11-22T10:00:00Z", None),
        ] {
            assert_eq!(date_unix_us(text), expected, "{text:?}");
        }
    }

    #[test]
    fn messages_show_no_query_and_no_more_than_a_line() {
        assert_eq!(Shown("a.m4s?token=secret").to_string(), "a.m4s...");
        assert_eq!(Shown("a\u{1}b").to_string(), "a\\u{1}b");
        assert_eq!(Shown(&"x".repeat(500)).to_string().len(), SHOWN_CHARS_MAX + 3);
        assert_eq!(Seconds(Duration::from_micros(333_667)).to_string(), "0.333667 s");
        assert_eq!(Seconds(Duration::from_secs(2)).to_string(), "2 s");
    }

    proptest! {
        #[test]
        fn decimals_round_trip(us in 0..1_000_000_000_000_u64) {
            let text = format!("{}.{:06}", us / 1_000_000, us % 1_000_000);
            prop_assert_eq!(decimal(&text), Some(Duration::from_micros(us)));
        }

        #[test]
        fn no_text_panics(text in any::<String>()) {
            let _ = (integer(&text), decimal(&text), byte_range(&text), date_unix_us(&text));
            let _ = Shown(&text).to_string();
        }

        #[test]
        fn no_date_like_text_panics(text in "[0-9]{0,5}-?[0-9]{0,3}-?[0-9]{0,3}T?[0-9:.,+Zé-]{0,24}") {
            let _ = date_unix_us(&text);
        }
    }
}
