//! Several runs beside each other, figure by figure; the first is what the others are compared to.
//!
//! One run of each says little about small differences, so only larger ones are called better or worse.

use std::collections::BTreeSet;

use super::{figure, latency, model::Report};

/// Runs that are compared at most: as many as lines in a chart can be told apart.
pub const RUNS_MAX: usize = 8;
/// A figure counts as the same while it stays within this part of the first run's.
const SAME_WITHIN: f64 = 0.05;

/// From two to [`RUNS_MAX`] runs.
#[derive(Debug)]
pub struct Comparison {
    runs: Vec<Run>,
}

/// One of them.
#[derive(Debug)]
pub struct Run {
    /// `A` for the first.
    pub letter: char,
    /// For people: the file's name.
    pub label: String,
    /// What was measured.
    pub report: Report,
}

/// Too few runs, or too many.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{found} runs to compare; allowed are 2 to {RUNS_MAX}")]
pub struct ComparisonError {
    /// Runs that were given.
    pub found: usize,
}

/// One figure of all runs.
#[derive(Debug)]
pub(super) struct Figure<'a> {
    pub(super) name: &'a str,
    /// One a run, in their order; `None` where a run has no such figure.
    pub(super) values: Vec<Option<f64>>,
    pub(super) lower_is_better: bool,
}

/// One setting of all runs.
#[derive(Debug)]
pub(super) struct Setting<'a> {
    pub(super) name: &'a str,
    /// One a run, in their order.
    pub(super) values: Vec<Option<&'a str>>,
}

/// How a run does beside the first one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Judgement {
    Better,
    Same,
    Worse,
}

impl Comparison {
    /// Runs with what each is called; the first is what the others are compared to.
    pub fn new(runs: Vec<(String, Report)>) -> Result<Self, ComparisonError> {
        if !(2..=RUNS_MAX).contains(&runs.len()) {
            return Err(ComparisonError { found: runs.len() });
        }
        let run = |(letter, (label, report)): (char, (String, Report))| Run { letter, label, report };
        Ok(Self { runs: ('A'..).zip(runs).map(run).collect() })
    }

    /// The runs in their order, lettered.
    pub fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// Every figure that any run has, by subject; not a second time under its longer name.
    pub(super) fn figures(&self) -> Vec<Figure<'_>> {
        let names: BTreeSet<&str> =
            self.runs.iter().flat_map(|run| run.report.figures.keys()).map(String::as_str).collect();
        let is_repeated = |name: &&str| latency::short_name(name).is_some_and(|short| names.contains(short));
        let mut figures: Vec<Figure<'_>> = names
            .iter()
            .copied()
            .filter(|name| !is_repeated(name))
            .map(|name| Figure {
                name,
                values: self.runs.iter().map(|run| run.report.figures.get(name).copied()).collect(),
                lower_is_better: figure::lower_is_better(name),
            })
            .collect();
        figures.sort_by_key(|figure| figure::place(figure.name));
        figures
    }

    /// Every setting that any run has, those that differ first.
    pub(super) fn settings(&self) -> Vec<Setting<'_>> {
        let names: BTreeSet<&str> =
            self.runs.iter().flat_map(|run| run.report.settings.keys()).map(String::as_str).collect();
        let mut settings: Vec<Setting<'_>> = names
            .into_iter()
            .map(|name| Setting {
                name,
                values: self
                    .runs
                    .iter()
                    .map(|run| run.report.settings.get(name).map(String::as_str))
                    .collect(),
            })
            .collect();
        settings.sort_by_key(|setting| !setting.differs());
        settings
    }
}

impl Figure<'_> {
    /// Of a run's value to the first one's; `None` where there is none, or nothing to divide by.
    pub(super) fn ratio(&self, run: usize) -> Option<f64> {
        let (first, other) = (self.values[0]?, self.values[run]?);
        (first != 0.0).then(|| other / first)
    }

    /// `None` where it is not known that lower is better.
    pub(super) fn judgement(&self, run: usize) -> Option<Judgement> {
        let (first, other) = (self.values[0]?, self.values[run]?);
        let margin = first.abs() * SAME_WITHIN;
        self.lower_is_better.then_some(match other - first {
            less if less < -margin => Judgement::Better,
            more if more > margin => Judgement::Worse,
            _ => Judgement::Same,
        })
    }
}

impl Setting<'_> {
    pub(super) fn differs(&self) -> bool {
        self.values.iter().any(|value| *value != self.values[0])
    }
}

impl Judgement {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Better => "better",
            Self::Same => "same",
            Self::Worse => "worse",
        }
    }
}

/// What a reader of the judgements must know.
pub(super) const REMARK: &str = "better, same (within 5 %) and worse stand where lower is known to be better; other \
                                 figures are only compared. One run each: what differs little may be chance.";

#[cfg(test)]
mod tests {
    use super::*;

    fn comparison(first: &[(&str, f64)], second: &[(&str, f64)]) -> Comparison {
        let report = |figures: &[(&str, f64)]| Report {
            figures: figures.iter().map(|&(name, value)| (name.to_owned(), value)).collect(),
            ..Report::default()
        };
        Comparison::new(vec![("first".into(), report(first)), ("second".into(), report(second))]).unwrap()
    }

    #[test]
    fn takes_from_two_to_eight_runs() {
        for found in [0, 1, RUNS_MAX + 1] {
            let runs = vec![(String::new(), Report::default()); found];
            assert_eq!(Comparison::new(runs).unwrap_err(), ComparisonError { found });
        }
        let runs = Comparison::new(vec![(String::new(), Report::default()); RUNS_MAX]).unwrap();
        assert_eq!(runs.runs().iter().map(|run| run.letter).collect::<String>(), "ABCDEFGH");
    }

    #[test]
    fn judges_only_what_is_known_and_differs() {
        let cases = [
            ("p99_ms", 50.0, 40.0, Some(0.8), Some(Judgement::Better)),
            ("p99_ms", 50.0, 52.0, Some(1.04), Some(Judgement::Same)),
            ("p99_ms", 50.0, 60.0, Some(1.2), Some(Judgement::Worse)),
            ("stalls", 0.0, 0.0, None, Some(Judgement::Same)),
            ("stalls", 0.0, 3.0, None, Some(Judgement::Worse)),
            ("viewers", 100.0, 200.0, Some(2.0), None),
        ];
        for (name, first, second, ratio, judgement) in cases {
            let comparison = comparison(&[(name, first)], &[(name, second)]);
            let figure = &comparison.figures()[0];
            assert_eq!((figure.ratio(1), figure.judgement(1)), (ratio, judgement), "{name} {first} {second}");
        }
    }

    #[test]
    fn the_newest_frames_figures_are_listed_once() {
        let figures = [("latency_newest_p99_ms", 5.0), ("p99_ms", 5.0), ("latency_newest_count", 7.0)];
        let comparison = comparison(&figures, &figures);
        let names: Vec<&str> = comparison.figures().iter().map(|figure| figure.name).collect();
        assert_eq!(names, ["p99_ms", "latency_newest_count"]);
    }

    #[test]
    fn a_figure_of_one_run_only_is_listed_without_ratio() {
        let comparison = comparison(&[("p50_ms", 1.0)], &[("stalls", 2.0)]);
        let figures = comparison.figures();
        assert_eq!((figures[0].name, figures[1].name), ("p50_ms", "stalls"));
        assert_eq!((figures[0].values.as_slice(), figures[0].ratio(1)), ([Some(1.0), None].as_slice(), None));
        assert_eq!(figures[1].judgement(1), None);
    }
}
