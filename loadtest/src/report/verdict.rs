//! What a run proves, in one word.

use super::model::Report;

/// The word at the top of every report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The load generator or the machine was the bottleneck: no figure counts, whatever was expected.
    Void,
    /// An expectation did not hold.
    Fail,
    /// Every expectation held.
    Pass,
    /// Nothing was expected.
    Measured,
}

impl Verdict {
    /// The verdict on a run.
    pub fn of(report: &Report) -> Self {
        if !report.void.is_empty() {
            Self::Void
        } else if report.expectations.is_empty() {
            Self::Measured
        } else if report.expectations.iter().all(|expectation| expectation.held) {
            Self::Pass
        } else {
            Self::Fail
        }
    }

    /// `VOID`, `FAIL`, `PASS` or `measured`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Void => "VOID",
            Self::Fail => "FAIL",
            Self::Pass => "PASS",
            Self::Measured => "measured",
        }
    }

    /// The verdict in a sentence.
    pub(super) fn sentence(self, report: &Report) -> String {
        let all = report.expectations.len();
        let failed = report.expectations.iter().filter(|expectation| !expectation.held).count();
        match self {
            Self::Void => "nothing below counts".into(),
            Self::Fail => format!("{failed} of {all} expectations did not hold"),
            Self::Pass if all == 1 => "the expectation held".into(),
            Self::Pass => format!("all {all} expectations held"),
            Self::Measured => "nothing was expected".into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Expectation;

    #[test]
    fn void_outweighs_every_expectation() {
        let expected = |held| Expectation { text: "stalls == 0".into(), found: Some(0.0), held };
        let mut report = Report::default();
        assert_eq!(Verdict::of(&report), Verdict::Measured);
        report.expectations = vec![expected(true)];
        assert_eq!(Verdict::of(&report), Verdict::Pass);
        report.expectations.push(expected(false));
        assert_eq!(Verdict::of(&report), Verdict::Fail);
        report.void = vec!["own lateness".into()];
        assert_eq!(Verdict::of(&report), Verdict::Void);
    }
}
