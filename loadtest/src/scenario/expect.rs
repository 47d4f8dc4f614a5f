//! Expectations: a figure, a comparison, a number.

use std::collections::BTreeMap;
use std::str::FromStr;

use serde::Deserialize;

use crate::report::Expectation;

/// Comparisons; the longer signs come first, so that `<=` is not read as `<`.
const COMPARISONS: [(&str, Holds); 6] = [
    ("<=", |found, wanted| found <= wanted),
    (">=", |found, wanted| found >= wanted),
    ("==", |found, wanted| found == wanted),
    ("!=", |found, wanted| found != wanted),
    ("<", |found, wanted| found < wanted),
    (">", |found, wanted| found > wanted),
];

/// Whether what was found is as wanted.
type Holds = fn(f64, f64) -> bool;

/// `p99_ms < 50`.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "String")]
pub struct Expect {
    text: String,
    figure: String,
    holds: Holds,
    wanted: f64,
}

/// What is no expectation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} expects nothing: FIGURE < NUMBER is wanted, with one of < <= > >= == !=")]
pub struct ExpectError(String);

impl FromStr for Expect {
    type Err = ExpectError;

    fn from_str(text: &str) -> Result<Self, ExpectError> {
        let error = || ExpectError(text.to_owned());
        let parts = COMPARISONS.iter().find_map(|(sign, holds)| {
            let (figure, wanted) = text.split_once(sign)?;
            Some((figure.trim(), *holds, wanted.trim()))
        });
        let (figure, holds, wanted) = parts.ok_or_else(error)?;
        let is_name = !figure.is_empty()
            && figure.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
        let wanted: f64 = wanted.parse().map_err(|_| error())?;
        if !is_name || !wanted.is_finite() {
            return Err(error());
        }
        Ok(Self { text: text.trim().to_owned(), figure: figure.to_owned(), holds, wanted })
    }
}

impl TryFrom<String> for Expect {
    type Error = ExpectError;

    fn try_from(text: String) -> Result<Self, ExpectError> {
        text.parse()
    }
}

impl Expect {
    /// Whether it holds; a figure that the run does not have does not.
    pub fn judge(&self, figures: &BTreeMap<String, f64>) -> Expectation {
        let found = figures.get(&self.figure).copied();
        let held = found.is_some_and(|found| (self.holds)(found, self.wanted));
        Expectation { text: self.text.clone(), found, held }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_comparison_judges_and_a_missing_figure_does_not_hold() {
        let figures = BTreeMap::from([("p99_ms".to_owned(), 50.0)]);
        for (text, held) in [
            ("p99_ms < 50", false),
            ("p99_ms<=50", true),
            ("p99_ms > 49.5", true),
            ("p99_ms >= 51", false),
            ("p99_ms == 50", true),
            ("p99_ms != 50", false),
            ("p50_ms < 1", false),
        ] {
            assert_eq!(text.parse::<Expect>().unwrap().judge(&figures).held, held, "{text}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["", "p99_ms", "< 5", "p99 ms < 5", "p99_ms < five", "p99_ms = 5", "p99_ms < NaN"] {
            assert_eq!(text.parse::<Expect>().unwrap_err(), ExpectError(text.to_owned()), "{text}");
        }
    }
}
