//! Unix time and stream time: a clock, and dates as playlists and HTTP write them.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
/// The first of January 1970 was the first of these.
const WEEKDAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];

/// Stream time; it keeps the Unix time of its start and does not follow later steps of the wall clock.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    created: Instant,
    created_us: u64,
    /// Unix time of stream time 0, in whole milliseconds.
    pub start_unix_us: u64,
}

impl Clock {
    /// A clock of a stream that started this many seconds ago.
    pub fn started_before(history_s: u64) -> Self {
        let (created, now_us) = (Instant::now(), unix_us());
        let start_unix_us = now_us / 1000 * 1000 - history_s * 1_000_000;
        Self { created, created_us: now_us - start_unix_us, start_unix_us }
    }

    /// Stream time now.
    pub fn now_us(&self) -> u64 {
        self.created_us + u64::try_from(self.created.elapsed().as_micros()).expect("a short run")
    }
}

/// Unix time in microseconds.
pub fn unix_us() -> u64 {
    let unix = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
    u64::try_from(unix.as_micros()).expect("a clock before 586000 AD")
}

/// ISO 8601 in UTC with milliseconds.
pub fn date_time(unix_ms: u64) -> String {
    let (year, month, day) = civil(unix_ms / 86_400_000);
    let (hour, minute, second) = time_of_day(unix_ms / 1000);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", unix_ms % 1000)
}

/// A date as HTTP writes it (RFC 9110, section 5.6.7).
pub fn http_date(unix_s: u64) -> String {
    let days = unix_s / 86_400;
    let (year, month, day) = civil(days);
    let (hour, minute, second) = time_of_day(unix_s);
    let (weekday, month) = (WEEKDAYS[(days % 7) as usize], MONTHS[month - 1]);
    format!("{weekday}, {day:02} {month} {year:04} {hour:02}:{minute:02}:{second:02} GMT")
}

fn time_of_day(unix_s: u64) -> (u64, u64, u64) {
    (unix_s / 3600 % 24, unix_s / 60 % 60, unix_s % 60)
}

/// Year, month and day of a day since 1970, by counting.
fn civil(mut days: u64) -> (u64, usize, u64) {
    let is_leap =
        |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let mut year = 1970;
    while days >= 365 + u64::from(is_leap(year)) {
        days -= 365 + u64::from(is_leap(year));
        year += 1;
    }
    let february = 28 + u64::from(is_leap(year));
    let mut month = 1;
    for month_days in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if days < month_days {
            break;
        }
        days -= month_days;
        month += 1;
    }
    (year, month, days + 1)
}

#[test]
fn writes_dates() {
    for (unix_ms, iso, http) in [
        (0, "1970-01-01T00:00:00.000Z", "Thu, 01 Jan 1970 00:00:00 GMT"),
        (951_782_400_007, "2000-02-29T00:00:00.007Z", "Tue, 29 Feb 2000 00:00:00 GMT"),
        (1_798_761_599_999, "2026-12-31T23:59:59.999Z", "Thu, 31 Dec 2026 23:59:59 GMT"),
    ] {
        assert_eq!((date_time(unix_ms).as_str(), http_date(unix_ms / 1000).as_str()), (iso, http));
    }
}
