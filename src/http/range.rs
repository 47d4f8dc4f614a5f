//! Byte ranges (RFC 9110, section 14): one range is served, several are ignored, which is allowed.

/// One range as it was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RangeSpec {
    /// `first-last`, both included; `first <= last`.
    FromTo {
        /// Offset of the first byte.
        first: u64,
        /// Offset of the last byte.
        last: u64,
    },
    /// `first-`: all from an offset on.
    From {
        /// Offset of the first byte.
        first: u64,
    },
    /// `-bytes`: the last so many.
    Suffix {
        /// How many.
        bytes: u64,
    },
}

impl RangeSpec {
    /// Reads a `Range` field. `None`, so that the field is ignored, for several ranges, another unit, or
    /// anything malformed. Numbers past 2^64 saturate: they lie past every end all the same.
    pub fn parse(value: &str) -> Option<Self> {
        let (unit, range) = value.split_once('=')?;
        if !unit.eq_ignore_ascii_case("bytes") {
            return None;
        }
        // 14.1.1: optional white space surrounds list elements; a comma would make a second one.
        match range.trim_matches([' ', '\t']).split_once('-')? {
            ("", suffix) => Some(Self::Suffix { bytes: decimal(suffix)? }),
            (first, "") => Some(Self::From { first: decimal(first)? }),
            (first, last) => {
                let (first, last) = (decimal(first)?, decimal(last)?);
                (first <= last).then_some(Self::FromTo { first, last })
            }
        }
    }

    /// The first and last offset of what it selects out of `complete` bytes; `None` when that is nothing.
    pub fn within(self, complete: u64) -> Option<(u64, u64)> {
        let end = complete.checked_sub(1)?;
        let (first, last) = match self {
            Self::FromTo { first, last } => (first, last.min(end)),
            Self::From { first } => (first, end),
            Self::Suffix { bytes: 0 } => return None,
            Self::Suffix { bytes } => (complete.saturating_sub(bytes), end),
        };
        (first <= end).then_some((first, last))
    }
}

/// Digits only: no sign, no space.
fn decimal(digits: &str) -> Option<u64> {
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(digits.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::RangeSpec::*;
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_one_range_and_ignores_the_rest() {
        for (value, range) in [
            ("bytes=0-99", Some(FromTo { first: 0, last: 99 })),
            ("Bytes= 5-5 ", Some(FromTo { first: 5, last: 5 })),
            ("bytes=7-", Some(From { first: 7 })),
            ("bytes=-500", Some(Suffix { bytes: 500 })),
            ("bytes=99999999999999999999-", Some(From { first: u64::MAX })),
            ("bytes=0-0,5-6", None),
            ("bytes=9-5", None),
            ("bytes=-", None),
            ("bytes=", None),
            ("bytes", None),
            ("bytes=+1-2", None),
            ("bytes=1-2-3", None),
            ("bytes=a-b", None),
            ("seconds=1-2", None),
        ] {
            assert_eq!(RangeSpec::parse(value), range, "{value}");
        }
    }

    proptest! {
        /// Against the definition: filter the offsets one by one.
        #[test]
        fn selects_the_offsets_that_the_definition_selects(
            complete in 0u64..40, a in 0u64..50, b in 0u64..50, form in 0..3,
        ) {
            let (range, wanted): (_, Vec<u64>) = match form {
                0 => (FromTo { first: a.min(b), last: a.max(b) },
                      (0..complete).filter(|&at| at >= a.min(b) && at <= a.max(b)).collect()),
                1 => (From { first: a }, (0..complete).filter(|&at| at >= a).collect()),
                _ => (Suffix { bytes: a }, (0..complete).filter(|&at| at + a >= complete).collect()),
            };
            let selected: Vec<u64> = range.within(complete).map_or(vec![], |(first, last)| (first..=last).collect());
            prop_assert_eq!(selected, wanted);
        }
    }
}
