//! IMF-fixdate, the one date format that HTTP generates (RFC 9110, section 5.6.7).

/// A date as HTTP prints it, in 29 bytes: made once a second and copied into each head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HttpDate([u8; 29]);

const DAYS: [&[u8; 3]; 7] = [b"Thu", b"Fri", b"Sat", b"Sun", b"Mon", b"Tue", b"Wed"];
const MONTHS: [&[u8; 3]; 12] =
    [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];
/// 31 December 9999, 23:59:59: the format has four digits for a year.
const UNIX_S_MAX: u64 = 253_402_300_799;

impl HttpDate {
    /// The date of a Unix time in seconds; later ones than the year 9999 are printed as its last second.
    pub fn from_unix_s(unix_s: u64) -> Self {
        let unix_s = unix_s.min(UNIX_S_MAX);
        let (days, second) = (unix_s / 86_400, unix_s % 86_400);
        let (year, month, day) = crate::media::civil_date(days);
        let mut text = *b"Thu, 01 Jan 1970 00:00:00 GMT";
        text[..3].copy_from_slice(DAYS[(days % 7) as usize]);
        put_digits(&mut text[5..7], day);
        text[8..11].copy_from_slice(MONTHS[(month - 1) as usize]);
        put_digits(&mut text[12..16], year);
        put_digits(&mut text[17..19], second / 3600);
        put_digits(&mut text[20..22], second / 60 % 60);
        put_digits(&mut text[23..25], second % 60);
        Self(text)
    }

    /// The 29 bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Writes `value` right-aligned with leading zeros.
fn put_digits(place: &mut [u8], mut value: u64) {
    for digit in place.iter_mut().rev() {
        *digit = b'0' + (value % 10) as u8;
        value /= 10;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_known_dates() {
        for (unix_s, text) in [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
            (1_709_251_199, "Thu, 29 Feb 2024 23:59:59 GMT"),
            (1_709_251_200, "Fri, 01 Mar 2024 00:00:00 GMT"),
            (1_798_761_600, "Fri, 01 Jan 2027 00:00:00 GMT"),
            (4_107_542_400, "Mon, 01 Mar 2100 00:00:00 GMT"),
            (u64::MAX, "Fri, 31 Dec 9999 23:59:59 GMT"),
        ] {
            assert_eq!(HttpDate::from_unix_s(unix_s).as_bytes(), text.as_bytes(), "{unix_s}");
        }
    }

    /// A calendar walked day by day, which knows nothing of the closed form.
    #[test]
    fn agrees_with_a_calendar_walked_day_by_day_through_five_centuries() {
        let (mut year, mut month, mut day) = (1970, 1, 1);
        for days in 0..366 * 500 {
            assert_eq!(crate::media::civil_date(days), (year, month, day));
            let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let length = match month {
                2 => 28 + u64::from(leap),
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            day += 1;
            if day > length {
                (day, month) = (1, month + 1);
            }
            if month > 12 {
                (month, year) = (1, year + 1);
            }
        }
    }
}
