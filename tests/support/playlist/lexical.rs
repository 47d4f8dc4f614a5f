//! Attribute lists, numbers and dates of sections 4.2 and 4.4.4.6, strictly.

use super::Violation;
use std::time::Duration;

/// The attributes of one tag, in order.
pub struct Attributes<'a> {
    tag: &'a str,
    list: Vec<(&'a str, &'a str)>,
}

impl<'a> Attributes<'a> {
    /// Splits `NAME=value,NAME="value"`.
    pub fn parse(tag: &'a str, text: &'a str) -> Result<Self, Violation> {
        let bad = |what: &str| Violation::new(20, format!("{tag}: {what} in `{text}`"));
        let mut list: Vec<(&str, &str)> = Vec::new();
        let mut rest = text;
        loop {
            let (name, after) = rest.split_once('=').ok_or_else(|| bad("attribute without `=`"))?;
            let is_name = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '-';
            if name.is_empty() || !name.chars().all(is_name) {
                return Err(bad("attribute name that is not of A-Z, 0-9 and `-`"));
            }
            let length = if let Some(quoted) = after.strip_prefix('"') {
                quoted.find('"').ok_or_else(|| bad("unclosed quote"))? + 2
            } else {
                after.find(',').unwrap_or(after.len())
            };
            let (value, after) = after.split_at(length);
            if value.is_empty() {
                return Err(bad("empty value"));
            }
            if !value.starts_with('"') && value.contains([' ', '\t', '"']) {
                return Err(bad("white space or quote in a bare value"));
            }
            if list.iter().any(|(known, _)| *known == name) {
                return Err(bad("attribute that stands twice"));
            }
            list.push((name, value));
            match after.strip_prefix(',') {
                Some(more) => rest = more,
                None if after.is_empty() => return Ok(Self { tag, list }),
                None => return Err(bad("something after a closing quote")),
            }
        }
    }

    fn raw(&self, name: &str) -> Option<&'a str> {
        self.list.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
    }

    fn bad(&self, name: &str, expected: &str) -> Violation {
        Violation::new(20, format!("{}: {name} is not {expected}: {:?}", self.tag, self.raw(name)))
    }

    /// A quoted string, unquoted.
    pub fn quoted(&self, name: &str) -> Result<Option<String>, Violation> {
        let unquote = |value: &str| Some(value.strip_prefix('"')?.strip_suffix('"')?.to_owned());
        self.raw(name).map(|value| unquote(value).ok_or_else(|| self.bad(name, "quoted"))).transpose()
    }

    /// A quoted string that must be there and not be empty.
    pub fn quoted_required(&self, name: &str) -> Result<String, Violation> {
        let value = self.quoted(name)?.filter(|value| !value.is_empty());
        value.ok_or_else(|| self.bad(name, "a non-empty quoted string"))
    }

    /// An enumerated string, unquoted.
    pub fn enumerated(&self, name: &str) -> Result<Option<&'a str>, Violation> {
        let value = self.raw(name);
        if value.is_some_and(|value| value.starts_with('"')) {
            return Err(self.bad(name, "unquoted"));
        }
        Ok(value)
    }

    /// `YES`; absence is no. Anything else is an error.
    pub fn flag(&self, name: &str) -> Result<bool, Violation> {
        match self.raw(name) {
            None => Ok(false),
            Some("YES") => Ok(true),
            Some(_) => Err(self.bad(name, "YES")),
        }
    }

    pub fn integer(&self, name: &str) -> Result<Option<u64>, Violation> {
        self.raw(name)
            .map(|value| integer(value).ok_or_else(|| self.bad(name, "a decimal integer")))
            .transpose()
    }

    pub fn seconds(&self, name: &str) -> Result<Option<Duration>, Violation> {
        self.raw(name)
            .map(|value| seconds(value).ok_or_else(|| self.bad(name, "a decimal floating-point number")))
            .transpose()
    }
}

/// A decimal integer: digits, at most 2^64-1.
pub fn integer(text: &str) -> Option<u64> {
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

/// A decimal floating-point number of seconds: digits, and a dot with digits on both sides. Exact to
/// the nanosecond.
pub fn seconds(text: &str) -> Option<Duration> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(fraction) {
        return None;
    }
    let nanoseconds = format!("{fraction:0<9}").get(..9)?.parse().ok()?;
    Some(Duration::new(whole.parse().ok()?, nanoseconds))
}

/// An ISO 8601 date with a zone and at least milliseconds, as Unix milliseconds.
pub fn date_unix_ms(text: &str) -> Option<u64> {
    let (date, time) = text.split_once('T')?;
    let numbers = |text: &str, separator, widths: [usize; 3]| -> Option<[i64; 3]> {
        let mut fields = text.split(separator);
        let mut read = |width: usize| {
            let field = fields.next().filter(|field| field.len() == width)?;
            field.bytes().all(|byte| byte.is_ascii_digit()).then(|| field.parse().ok())?
        };
        let values = [read(widths[0])?, read(widths[1])?, read(widths[2])?];
        fields.next().is_none().then_some(values)
    };
    let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
    let (time, zone_minutes) = match time.strip_suffix('Z') {
        Some(time) => (time, 0),
        None => {
            let (time, zone) = time.split_at_checked(time.len().checked_sub(6)?)?;
            let sign = if zone.starts_with('+') { 1 } else { -1 };
            let [hours, minutes, _] = numbers(&format!("{}:00", zone.get(1..)?), ':', [2, 2, 2])?;
            (time, sign * (hours * 60 + minutes))
        }
    };
    let (clock, fraction) = time.split_once('.')?;
    if fraction.len() < 3 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let [hour, minute, second] = numbers(clock, ':', [2, 2, 2])?;
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    // Days since 1970 of the proleptic Gregorian calendar, years counted from March.
    let march_year = if month <= 2 { year - 1 } else { year };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days =
        march_year * 365 + march_year / 4 - march_year / 100 + march_year / 400 + day_of_year - 719_468;
    let minutes = (days * 24 + hour) * 60 + minute - zone_minutes;
    let milliseconds = fraction.get(..3)?.parse::<i64>().ok()?;
    u64::try_from((minutes * 60 + second) * 1000 + milliseconds).ok()
}
