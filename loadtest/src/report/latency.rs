//! The rows of percentiles that table, page and comparison show, and the figures that go with them.

use std::{borrow::Cow, collections::BTreeSet};

use hdrhistogram::Histogram;

use super::{
    distribution::{mean_ms, ms},
    model::{Distribution, Report},
};

/// One figure of a distribution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stat {
    P50,
    P90,
    P99,
    P999,
    Max,
    Mean,
    Count,
}

impl Stat {
    pub(super) const ALL: [Self; 7] =
        [Self::P50, Self::P90, Self::P99, Self::P999, Self::Max, Self::Mean, Self::Count];

    /// The end of its figure's name.
    pub(super) fn figure(self) -> &'static str {
        match self {
            Self::P50 => "p50_ms",
            Self::P90 => "p90_ms",
            Self::P99 => "p99_ms",
            Self::P999 => "p999_ms",
            Self::Max => "max_ms",
            Self::Mean => "mean_ms",
            Self::Count => "count",
        }
    }

    /// What stands above its column.
    pub(super) fn head(self) -> &'static str {
        match self {
            Self::P50 => "p50",
            Self::P90 => "p90",
            Self::P99 => "p99",
            Self::P999 => "p99.9",
            Self::Max => "max",
            Self::Mean => "mean",
            Self::Count => "count",
        }
    }

    fn of(self, distribution: &Distribution) -> Option<f64> {
        match self {
            Self::P50 => distribution.at(50.0),
            Self::P90 => distribution.at(90.0),
            Self::P99 => distribution.at(99.0),
            Self::P999 => distribution.at(99.9),
            Self::Max => Some(distribution.max),
            Self::Mean => Some(distribution.mean),
            Self::Count => Some(distribution.count as f64),
        }
    }
}

/// `NAME_p50_ms`, `_p90_ms`, `_p99_ms`, `_p999_ms`, `_max_ms`, `_mean_ms` and `_count` of a histogram of microseconds;
/// without `NAME_` when the name is empty, and only the count when nothing was recorded.
pub fn figures_of(name: &str, histogram: &Histogram<u64>) -> Vec<(String, f64)> {
    let at = |percentile| ms(histogram.value_at_percentile(percentile));
    let value = |stat| match stat {
        Stat::Count => Some(histogram.len() as f64),
        _ if histogram.is_empty() => None,
        Stat::P50 => Some(at(50.0)),
        Stat::P90 => Some(at(90.0)),
        Stat::P99 => Some(at(99.0)),
        Stat::P999 => Some(at(99.9)),
        Stat::Max => Some(ms(histogram.max())),
        Stat::Mean => Some(mean_ms(histogram)),
    };
    Stat::ALL.into_iter().filter_map(|stat| Some((figure_name(name, stat), value(stat)?))).collect()
}

fn figure_name(name: &str, stat: Stat) -> String {
    if name.is_empty() { stat.figure().into() } else { format!("{name}_{}", stat.figure()) }
}

/// The distribution whose figures may stand without a name in front.
const NEWEST: &str = "latency_newest";

/// Name of the histogram, with which its figures begin as well, and what it is called.
const KNOWN: [(&str, &str); 12] = [
    (NEWEST, "newest frame"),
    ("latency_oldest", "oldest frame"),
    ("latency_segment", "segment's newest"),
    ("latency_date", "by date"),
    ("spread", "spread"),
    ("join", "join"),
    ("reload", "reload"),
    ("part", "part"),
    ("stall", "stall"),
    ("publisher_late", "publishers late"),
    ("own_lateness", "own lateness"),
    ("read_lateness", "reads late"),
];

/// What was measured in milliseconds, as one row of a table.
#[derive(Debug)]
pub(super) struct Row<'a> {
    /// For people: `newest frame`.
    pub(super) label: Cow<'a, str>,
    report: &'a Report,
    distribution: Option<&'a Distribution>,
    name: &'a str,
}

impl Row<'_> {
    /// From the distribution, or from the figures where a report has no distribution; `None` where it has neither.
    pub(super) fn stat(&self, stat: Stat) -> Option<f64> {
        match self.distribution {
            Some(distribution) => stat.of(distribution),
            None => self.figure_names(stat).find_map(|name| self.report.figures.get(&name).copied()),
        }
    }

    fn figure_names(&self, stat: Stat) -> impl Iterator<Item = String> {
        let short = (self.name == NEWEST).then(|| figure_name("", stat));
        short.into_iter().chain([figure_name(self.name, stat)])
    }
}

/// Every row that has values: those that are known by name first, in their order.
pub(super) fn rows(report: &Report) -> Vec<Row<'_>> {
    let row = |name, label| Row { label, report, distribution: report.histograms.get(name), name };
    let known = KNOWN.into_iter().map(|(name, label)| row(name, label.into()));
    let is_other = |name: &&String| KNOWN.iter().all(|(known, _)| known != name);
    let other =
        report.histograms.keys().filter(is_other).map(|name| row(name, name.replace('_', " ").into()));
    known
        .chain(other)
        .filter(|row| row.stat(Stat::Count).or(row.stat(Stat::P50)).is_some_and(|value| value > 0.0))
        .collect()
}

/// The figures' names that these rows already show.
pub(super) fn figures_shown(report: &Report) -> BTreeSet<String> {
    let rows = rows(report);
    rows.iter().flat_map(|row| Stat::ALL.into_iter().flat_map(|stat| row.figure_names(stat))).collect()
}

/// The shorter name of the same figure, if it has one.
pub(super) fn short_name(figure: &str) -> Option<&str> {
    figure.strip_prefix(NEWEST)?.strip_prefix('_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_bear_the_name_in_front_and_the_unit_at_the_end() {
        let mut histogram = Histogram::new(3).unwrap();
        for us in 1..=1000 {
            histogram.record(us).unwrap();
        }
        let figures = figures_of("join", &histogram);
        let names: Vec<&str> = figures.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(
            names,
            [
                "join_p50_ms",
                "join_p90_ms",
                "join_p99_ms",
                "join_p999_ms",
                "join_max_ms",
                "join_mean_ms",
                "join_count"
            ]
        );
        assert_eq!((figures[0].1, figures[2].1, figures[4].1, figures[6].1), (0.5, 0.99, 1.0, 1000.0));
        assert_eq!(figures_of("", &histogram)[0].0, "p50_ms");
        assert_eq!(figures_of("part", &Histogram::<u64>::new(3).unwrap()), [("part_count".to_owned(), 0.0)]);
    }

    #[test]
    fn a_row_reads_figures_where_there_is_no_distribution() {
        let mut report = Report::default();
        report.figures.insert("p50_ms".into(), 34.2);
        report.figures.insert("join_count".into(), 0.0);
        let rows = rows(&report);
        assert_eq!(rows.len(), 1);
        assert_eq!((rows[0].label.as_ref(), rows[0].stat(Stat::P50)), ("newest frame", Some(34.2)));
        assert_eq!(rows[0].stat(Stat::P99), None);
    }
}
