//! The comparison for a terminal: at most 100 columns, as many runs beside each other as fit.

use super::{
    compare::{Comparison, Figure, REMARK, Run, Setting},
    figure, table,
    text::{self, Align},
    verdict::Verdict,
};

/// Widest line.
const WIDTH: usize = 100;
/// Runs in one block beside the first: name, its value, and value, ratio and judgement of two more fill a line.
const BESIDE_MAX: usize = 2;
/// Of a setting.
const VALUE_CHARACTERS_MAX: usize = 80;

/// All figures of all runs; ends with a line break.
pub fn comparison_table(comparison: &Comparison) -> String {
    let mut lines: Vec<String> = comparison.runs().iter().flat_map(heading).collect();
    lines.extend(settings_that_differ(comparison));
    let others: Vec<usize> = (1..comparison.runs().len()).collect();
    for beside in others.chunks(BESIDE_MAX) {
        lines.push(String::new());
        lines.extend(block(comparison, beside));
    }
    lines.push(String::new());
    lines.extend(text::folded(REMARK, WIDTH));
    lines.join("\n") + "\n"
}

fn heading(run: &Run) -> Vec<String> {
    let Run { letter, label, report } = run;
    let verdict = Verdict::of(report);
    let mut words = format!("{label}: {}, {}", report.title, table::measured(report));
    if verdict != Verdict::Measured {
        words += &format!(", {}", verdict.name());
    }
    let folded = text::folded(&text::clean(&words), WIDTH - 3);
    let mark = |line| if line == 0 { *letter } else { ' ' };
    folded.iter().enumerate().map(|(line, words)| format!("{}  {words}", mark(line))).collect()
}

/// A line each, with the runs' values behind each other: they may be long.
fn settings_that_differ(comparison: &Comparison) -> Vec<String> {
    let line = |setting: &Setting<'_>| {
        let short = |words: &str| text::shortened(&text::clean(words), VALUE_CHARACTERS_MAX);
        let value = |(run, value): (&Run, &Option<&str>)| {
            format!("{} {}", run.letter, value.map_or("-".into(), short))
        };
        let values: Vec<String> = comparison.runs().iter().zip(&setting.values).map(value).collect();
        let folded = text::folded(&format!("{}: {}", short(setting.name), values.join(", ")), WIDTH - 2);
        folded.into_iter().map(|words| format!("  {words}"))
    };
    let settings = comparison.settings();
    let lines: Vec<String> = settings.iter().filter(|setting| setting.differs()).flat_map(line).collect();
    if lines.is_empty() {
        lines
    } else {
        [vec![String::new(), "Settings that differ".into()], lines].concat()
    }
}

/// The first run and a few others.
fn block(comparison: &Comparison, beside: &[usize]) -> Vec<String> {
    let letter = |run: usize| comparison.runs()[run].letter;
    let mut rows = vec![vec![String::new(), letter(0).to_string()]];
    let mut aligns = vec![Align::Left, Align::Right];
    for &run in beside {
        rows[0].extend([letter(run).to_string(), format!("{}/{}", letter(run), letter(0)), String::new()]);
        aligns.extend([Align::Right, Align::Right, Align::Left]);
    }
    let mut group = "";
    for figure in comparison.figures() {
        if figure::group(figure.name) != group {
            group = figure::group(figure.name);
            rows.push(vec![group.into()]);
        }
        rows.push(figure_row(&figure, beside));
    }
    text::aligned(&rows, &aligns)
}

fn figure_row(figure: &Figure<'_>, beside: &[usize]) -> Vec<String> {
    let value =
        |run: usize| figure.values[run].map_or(String::new(), |value| figure::value(figure.name, value));
    let mut row = vec![format!("  {}", text::shortened(&text::clean(figure.name), 32)), value(0)];
    for &run in beside {
        let ratio = figure.ratio(run).map_or(String::new(), |ratio| text::fixed(ratio, 2));
        let judgement = figure.judgement(run).map_or("", |judgement| judgement.name());
        row.extend([value(run), ratio, judgement.into()]);
    }
    row
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Report, sample};

    fn small(viewers: &str, figures: &[(&str, f64)]) -> Report {
        Report {
            title: "watch http://[::1]/live/a".into(),
            measured_s: 60.0,
            settings: [("ramp", "20s"), ("viewers", viewers)]
                .map(|(name, value)| (name.into(), value.into()))
                .into(),
            figures: figures.iter().map(|&(name, value)| (name.to_owned(), value)).collect(),
            ..Report::default()
        }
    }

    #[test]
    fn two_runs_stand_beside_each_other() {
        let before =
            small("500", &[("p99_ms", 51.9), ("stalls", 0.0), ("server_cores", 0.44), ("join_p50_ms", 40.0)]);
        let after = small("1000", &[("p99_ms", 41.52), ("stalls", 3.0), ("server_cores", 0.88)]);
        let comparison = Comparison::new(vec![("before.json".into(), before), ("after.json".into(), after)]);
        let table = comparison_table(&comparison.unwrap());
        assert!(table == GOLDEN, "{table}");
    }

    #[test]
    fn eight_runs_fit_in_blocks_of_a_hundred_columns() {
        let run = |number: usize| (format!("run{number}.json"), sample::shaped(1.0 + number as f64));
        let mut runs: Vec<_> = (0..7).map(run).collect();
        runs.push((sample::hostile().title, sample::hostile()));
        let comparison = Comparison::new(runs).unwrap();
        let table = comparison_table(&comparison);
        assert_eq!(table.matches("\n  p99_ms ").count(), 4);
        assert!(table.lines().all(|line| line.chars().count() <= WIDTH), "{table}");
        assert!(!table.lines().any(|line| line.contains(char::is_control)), "{table}");
    }

    const GOLDEN: &str =
        "A  before.json: watch http://[::1]/live/a, measured 60 s from 1970-01-01 00:00:00 UTC
B  after.json: watch http://[::1]/live/a, measured 60 s from 1970-01-01 00:00:00 UTC

Settings that differ
  viewers: A 500, B 1000

                   A      B   B/A
Latency
  p99_ms        51.9  41.52  0.80  better
  join_p50_ms     40
Playback
  stalls           0      3        worse
Server
  server_cores  0.44   0.88  2.00

better, same (within 5 %) and worse stand where lower is known to be better; other figures are only
compared. One run each: what differs little may be chance.
";
}
