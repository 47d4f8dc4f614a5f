//! Names that stand in URLs: sessions, epochs, renditions. Fixed-width lower-case base32 for times,
//! so that they sort and hold nothing of a viewer.

use std::fmt;
use std::str::FromStr;

/// Crockford's alphabet, lower case: no `i`, `l`, `o`, `u`.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// Digits of a Unix time in milliseconds: 50 bits, enough until the year 37,000.
const TIME_DIGITS: usize = 10;
/// Digits of 16 random bits.
const RANDOM_DIGITS: usize = 4;

/// A rendition's place in its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RenditionId(pub u8);

/// One session: from the first playlist to ENDLIST. Displayed as `TIME-TD-PT`, its path segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId {
    /// When it started, Unix milliseconds.
    pub started_unix_ms: u64,
    /// TARGETDURATION, seconds.
    pub target_duration_s: u32,
    /// PART-TARGET, milliseconds.
    pub part_target_ms: u32,
}

/// One lifetime of a stream's state; only a crash or restart makes a new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Epoch {
    /// When it started, Unix milliseconds.
    pub started_unix_ms: u64,
    /// So that two servers started in one millisecond do not share URLs.
    pub random: u16,
}

/// A path segment that names no session or epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an identifier of this server")]
pub struct IdError;

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_base32(f, self.started_unix_ms, TIME_DIGITS)?;
        write!(f, "-{}-{}", self.target_duration_s, self.part_target_ms)
    }
}

impl FromStr for SessionId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let mut fields = text.split('-');
        let mut field = || fields.next().ok_or(IdError);
        let id = Self {
            started_unix_ms: parse_base32(field()?, TIME_DIGITS)?,
            target_duration_s: parse_decimal(field()?)?,
            part_target_ms: parse_decimal(field()?)?,
        };
        if fields.next().is_some() { Err(IdError) } else { Ok(id) }
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_base32(f, self.started_unix_ms, TIME_DIGITS)?;
        write_base32(f, u64::from(self.random), RANDOM_DIGITS)
    }
}

impl FromStr for Epoch {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let (time, random) = text.split_at_checked(TIME_DIGITS).ok_or(IdError)?;
        let random = parse_base32(random, RANDOM_DIGITS)?;
        Ok(Self {
            started_unix_ms: parse_base32(time, TIME_DIGITS)?,
            random: u16::try_from(random).map_err(|_| IdError)?,
        })
    }
}

fn write_base32(f: &mut fmt::Formatter<'_>, value: u64, digits: usize) -> fmt::Result {
    for place in (0..digits).rev() {
        let digit = (value >> (5 * place)) & 31;
        fmt::Write::write_char(f, char::from(ALPHABET[digit as usize]))?;
    }
    Ok(())
}

fn parse_base32(text: &str, digits: usize) -> Result<u64, IdError> {
    if text.len() != digits {
        return Err(IdError);
    }
    text.bytes().try_fold(0u64, |value, byte| {
        let digit = ALPHABET.iter().position(|&letter| letter == byte).ok_or(IdError)?;
        Ok(value << 5 | digit as u64)
    })
}

/// Digits only, no sign, no leading zero: one spelling for each identifier.
fn parse_decimal(text: &str) -> Result<u32, IdError> {
    if text.starts_with('0') || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(IdError);
    }
    text.parse().map_err(|_| IdError)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_survive_the_way_through_a_url_and_have_one_spelling() {
        let session =
            SessionId { started_unix_ms: 1_795_000_000_123, target_duration_s: 2, part_target_ms: 334 };
        let epoch = Epoch { started_unix_ms: 1_795_000_000_123, random: 0xbeef };
        assert_eq!(session.to_string().parse(), Ok(session));
        assert_eq!(epoch.to_string().parse(), Ok(epoch));
        let time = &session.to_string()[..TIME_DIGITS];
        for text in [
            "",
            "-",
            "x-2-334",
            &format!("{time}-02-334"),
            &format!("{time}-2-334-"),
            &format!("{time}-+2-334"),
            &format!("{time}-2-"),
            &time.to_uppercase(),
        ] {
            assert_eq!(text.parse::<SessionId>(), Err(IdError), "{text}");
        }
        for text in ["", time, &format!("{time}zzzz"), &format!("{time}\u{e9}"), &format!("{epoch}0")] {
            assert_eq!(text.parse::<Epoch>(), Err(IdError), "{text}");
        }
    }
}
