//! The table at the end of a run, for a terminal or a log: at most 100 columns, no colours.
//!
//! What a run did not measure is not mentioned; a 0 is a measured 0.

use super::{
    figure,
    latency::{self, Stat},
    model::{FaultCount, Report},
    text::{self, Align},
    verdict::Verdict,
    viewers,
};
use crate::fault::FaultKind;

/// Widest line.
const WIDTH: usize = 100;
/// Where text begins that has a label in front of it.
const LABEL_WIDTH: usize = 16;
const SETTING_NAME_CHARACTERS_MAX: usize = 40;
const EXAMPLES_MAX: usize = 2;
const EXAMPLE_CHARACTERS_MAX: usize = 240;
/// Settings that say where reports go and what is shown, not what is run.
const SETTINGS_LEFT_OUT: [&str; 5] = ["json", "html", "out", "quiet", "live"];

/// Figures that share a line, each with its words around a `#`.
pub(super) struct Line {
    pub(super) label: &'static str,
    figures: &'static [(&'static str, &'static str)],
    /// The figure that must be more than 0 for a line of nothing but 0 to be worth reading.
    zeros_with: Option<&'static str>,
}

/// What was asked for and what came.
pub(super) const TRAFFIC: &[Line] = &[
    Line::new("crowd", &[("viewers", "# viewers"), ("publishers", "# publishers")]),
    Line::new(
        "joins",
        &[("joins", "#"), ("joins_failed", "# failed"), ("leaves", "# left"), ("vanished", "# vanished")],
    ),
    Line::new("requests", &[("requests", "#"), ("requests_per_s", "# a second")]),
    Line::new("received", &[("received_bytes", "#"), ("received_mbit_s", "# Mbit/s")]),
    Line::new("media", &[("parts", "# parts"), ("segments", "# segments"), ("reloads", "# reloads")]),
    Line::new(
        "checked",
        &[
            ("verified", "# parts and segments"),
            ("parts_verified", "# parts"),
            ("parts_skipped", "# parts skipped"),
            ("parts_unstamped", "# without stamps"),
            ("hints_wrong", "# wrong hints"),
        ],
    ),
    Line {
        zeros_with: Some("viewers"),
        ..Line::new(
            "stalls",
            &[("stalls", "#"), ("stalled_s", "# s in all"), ("stalled_share", "# of viewing time")],
        )
    },
    Line::new(
        "published",
        &[
            ("frames_sent", "# frames"),
            ("sent_bytes", "#"),
            ("sent_mbit_s", "# Mbit/s"),
            ("publishes", "# accepted"),
            ("publishers_lost", "# lost"),
            ("late_sends_percent", "# % sent late"),
            ("blocked_sends", "# blocked"),
        ],
    ),
];

/// What it cost the server and us.
pub(super) const COST: &[Line] = &[
    Line::new(
        "server",
        &[
            ("server_cpu_ms_per_viewer_minute", "# ms CPU per viewer-minute"),
            ("server_rss_kib_per_viewer", "# KiB per viewer"),
            ("server_cpu_us_per_request", "# us CPU per request"),
            ("server_cores", "# cores"),
            ("server_rss_mib", "# MiB in all"),
        ],
    ),
    Line::new(
        "load generator",
        &[
            ("own_cores", "# cores"),
            ("own_us_per_request", "# us CPU per request"),
            ("own_cores_per_10k_requests_s", "# cores per 10,000 requests/s"),
            ("own_core_percent", "busiest worker # %"),
            ("machine_percent", "machine # %"),
        ],
    ),
];

impl Line {
    const fn new(label: &'static str, figures: &'static [(&'static str, &'static str)]) -> Self {
        Self { label, figures, zeros_with: None }
    }

    /// The figures that the run has, in words; `None` when it has none of them, or none that tells anything.
    pub(super) fn words(&self, report: &Report) -> Option<String> {
        let value = |name: &str| report.figures.get(name).copied();
        let found = self.figures.iter().filter_map(|(name, form)| Some((*name, *form, value(name)?)));
        let is_told = |(_, _, value): (&str, &str, f64)| value != 0.0;
        let zeros_told = self.zeros_with.and_then(value).is_some_and(|value| value > 0.0);
        if !found.clone().any(is_told) && !zeros_told {
            return None;
        }
        let words: Vec<String> = found.map(|(name, form, value)| in_words(name, form, value)).collect();
        (!words.is_empty()).then(|| words.join(", "))
    }
}

fn in_words(name: &str, form: &str, value: f64) -> String {
    let number = match name {
        "stalled_share" => format!("{} %", text::number(value * 100.0)),
        _ => figure::value(name, value),
    };
    let singular = if value == 1.0 && PLURALS.contains(&name) { form.strip_suffix('s') } else { None };
    singular.unwrap_or(form).replace('#', &number)
}

/// Figures whose words end in a plural.
const PLURALS: [&str; 7] =
    ["viewers", "publishers", "parts", "segments", "reloads", "parts_verified", "hints_wrong"];

/// The whole table; ends with a line break.
pub fn table(report: &Report) -> String {
    let blocks = [
        heading(report),
        verdict(report),
        settings(report),
        latencies(report),
        lines("traffic", TRAFFIC, report),
        lines("cost", COST, report),
        viewers::lines(report),
        faults(report),
    ];
    let blocks: Vec<String> =
        blocks.into_iter().filter(|block| !block.is_empty()).map(|block| block.join("\n")).collect();
    blocks.join("\n\n") + "\n"
}

fn heading(report: &Report) -> Vec<String> {
    let mut lines = text::folded(&text::clean(&report.title), WIDTH);
    lines.extend(text::folded(&format!("{}, {}", text::clean(&report.tool), measured(report)), WIDTH));
    lines
}

/// When and for how long.
pub(super) fn measured(report: &Report) -> String {
    let interrupted = if report.interrupted { ", interrupted before its end" } else { "" };
    format!(
        "measured {} s from {}{interrupted}",
        text::number(report.measured_s),
        text::utc(report.began_unix_ms)
    )
}

fn verdict(report: &Report) -> Vec<String> {
    let verdict = Verdict::of(report);
    let mut lines = vec![format!("{}: {}", verdict.name(), verdict.sentence(report))];
    for reason in &report.void {
        lines.extend(labelled("  -", 4, &text::clean(reason)));
    }
    let rows: Vec<Vec<String>> = report
        .expectations
        .iter()
        .map(|expectation| {
            let held = if expectation.held { "  held" } else { "  FAILED" };
            vec![held.into(), text::shortened(&text::clean(&expectation.text), 60), found(expectation.found)]
        })
        .collect();
    lines.extend(text::aligned(&rows, &[Align::Left, Align::Left, Align::Left]));
    lines
}

/// What an expectation met.
pub(super) fn found(found: Option<f64>) -> String {
    found.map_or("no such figure".into(), |value| format!("found {}", text::number(value)))
}

fn settings(report: &Report) -> Vec<String> {
    let settings: Vec<(String, String)> = settings_that_matter(report)
        .map(|(name, value)| (short(name, SETTING_NAME_CHARACTERS_MAX), short(value, EXAMPLE_CHARACTERS_MAX)))
        .collect();
    let longest = settings.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    let begin = LABEL_WIDTH.max(longest + 2) + 2;
    let mut lines: Vec<String> =
        settings.iter().flat_map(|(name, value)| labelled(&format!("  {name}"), begin, value)).collect();
    if !lines.is_empty() {
        lines.insert(0, "settings".into());
    }
    lines
}

/// Those that change what is run, as far as their names tell; switches that are off are left out.
fn settings_that_matter(report: &Report) -> impl Iterator<Item = (&String, &String)> {
    let off = |value: &str| matches!(value, "" | "false" | "off" | "none");
    report
        .settings
        .iter()
        .filter(move |(name, value)| !SETTINGS_LEFT_OUT.contains(&name.as_str()) && !off(value))
}

fn latencies(report: &Report) -> Vec<String> {
    const STATS: [Stat; 6] = [Stat::Count, Stat::P50, Stat::P90, Stat::P99, Stat::P999, Stat::Max];
    let rows = latency::rows(report);
    if rows.is_empty() {
        return Vec::new();
    }
    let mut cells = vec![vec!["latency, ms".to_owned()]];
    cells[0].extend(STATS.iter().map(|stat| stat.head().to_owned()));
    for row in rows {
        let decimals = decimals(row.stat(Stat::P50));
        let cell = |stat: &Stat| match row.stat(*stat) {
            None => String::new(),
            Some(count) if *stat == Stat::Count => text::fixed(count, 0),
            Some(ms) => text::fixed(ms, decimals),
        };
        let label = format!("  {}", text::shortened(&text::clean(&row.label), 30));
        cells.push([label].into_iter().chain(STATS.iter().map(cell)).collect());
    }
    text::aligned(&cells, &[Align::Left])
}

/// One for a whole row, so that its figures compare at a glance: two where the median is below 10 ms.
pub(super) fn decimals(median_ms: Option<f64>) -> usize {
    if median_ms.is_some_and(|ms| ms < 10.0) { 2 } else { 1 }
}

fn lines(head: &str, lines: &[Line], report: &Report) -> Vec<String> {
    let words = lines.iter().filter_map(|line| Some((line.label, line.words(report)?)));
    let mut shown: Vec<String> =
        words.flat_map(|(label, words)| labelled(&format!("  {label}"), LABEL_WIDTH + 2, &words)).collect();
    if !shown.is_empty() {
        shown.insert(0, head.into());
    }
    shown
}

fn faults(report: &Report) -> Vec<String> {
    let all: u64 = report.faults.values().map(|fault| fault.count).sum();
    // That there were none is worth a line where faults were counted.
    if all == 0 {
        return if report.figures.contains_key("faults") { vec!["no faults".into()] } else { Vec::new() };
    }
    let mut lines =
        vec![format!("{} {}", text::number(all as f64), if all == 1 { "fault" } else { "faults" })];
    for (name, fault) in in_order(report) {
        lines.push(format!(
            "  {} {}",
            text::shortened(&text::clean(name), 60),
            text::number(fault.count as f64)
        ));
        for example in fault.examples.iter().take(EXAMPLES_MAX) {
            let example = text::shortened(&text::clean(example), EXAMPLE_CHARACTERS_MAX);
            lines.extend(labelled("    -", 6, &example));
        }
    }
    lines
}

/// Faults in the order in which kinds are reported; names of other versions come last.
pub(super) fn in_order(report: &Report) -> Vec<(&String, &FaultCount)> {
    let place = |name: &str| FaultKind::ALL.iter().position(|kind| kind.name() == name).unwrap_or(usize::MAX);
    let mut faults: Vec<_> = report.faults.iter().collect();
    faults.sort_by_key(|(name, _)| place(name));
    faults
}

fn short(words: &str, characters_max: usize) -> String {
    text::shortened(&text::clean(words), characters_max)
}

/// Text beside its label, folded, with nothing but text from `begin` on.
fn labelled(label: &str, begin: usize, content: &str) -> Vec<String> {
    let folded = text::folded(content, WIDTH - begin);
    let head = |line| if line == 0 { label } else { "" };
    folded.iter().enumerate().map(|(line, content)| format!("{:<begin$}{content}", head(line))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Expectation, sample};

    #[test]
    fn a_run_reads_from_verdict_to_faults() {
        let table = table(&sample::run());
        assert!(table == GOLDEN, "{table}");
    }

    #[test]
    fn a_void_run_says_so_first_and_still_shows_what_was_expected() {
        let report = Report {
            tool: "loadtest 0.1.0".into(),
            title: "publish rtmp://[::1]/live/a".into(),
            void: vec![
                "own lateness p99 of 12.4 ms exceeds 5 ms".into(),
                "the machine had no idle core".into(),
            ],
            expectations: vec![Expectation { text: "p99_ms < 50".into(), found: None, held: false }],
            ..Report::default()
        };
        assert_eq!(
            table(&report),
            "publish rtmp://[::1]/live/a
loadtest 0.1.0, measured 0 s from 1970-01-01 00:00:00 UTC

VOID: nothing below counts
  - own lateness p99 of 12.4 ms exceeds 5 ms
  - the machine had no idle core
  FAILED  p99_ms < 50  no such figure
"
        );
    }

    #[test]
    fn no_line_is_wider_than_a_terminal_or_moves_its_cursor() {
        for report in [sample::run(), sample::hostile()] {
            let table = table(&report);
            for line in table.lines() {
                assert!(line.chars().count() <= WIDTH, "{line}");
                assert!(!line.contains(char::is_control), "{line:?}");
            }
        }
    }

    const GOLDEN: &str = "watch http://127.0.0.1:8080/live/a/index.m3u8
loadtest 0.1.0, measured 120 s from 2026-11-27 15:24:01 UTC

FAIL: 1 of 2 expectations did not hold
  held    p99_ms < 250  found 100.2
  FAILED  stalls == 0   found 5

settings
  duration        2m
  http            1.1
  ramp            20s
  server_pid      4711
  url             http://127.0.0.1:8080/live/a/index.m3u8
  verify          0.1
  viewers         1000

latency, ms      count    p50    p90    p99  p99.9    max
  newest frame  48,000   34.4   48.3  100.2  172.9  286.2
  oldest frame  48,000  369.9  387.6  438.5  515.1  633.9
  spread           120   4.50   7.65  12.56  13.08  13.08
  join           1,000   38.9   57.9   91.5  122.8  122.8
  reload        48,000  318.2  331.8  335.1  337.7  341.2
  part          48,000   0.88   1.53   2.44   3.35   5.49
  own lateness  48,000   0.04   0.08   0.12   0.17   0.27

traffic
  crowd           1,000 viewers, 1 publisher
  requests        714,000, 5,950 a second
  received        21.8 GB, 1,455 Mbit/s
  media           354,000 parts, 0 segments, 360,000 reloads
  checked         35,400 parts, 0 parts skipped
  stalls          5, 1.92 s in all, 0.0016 % of viewing time

cost
  server          26.4 ms CPU per viewer-minute, 41.7 KiB per viewer, 73.9 us CPU per request, 0.44
                  cores
  load generator  0.668 cores, 112.3 us CPU per request, 1.123 cores per 10,000 requests/s

7 faults
  timeout 1
    - viewer 812: no whole answer to GET /live/a/video.m3u8 within 6 s
  part_late 6
    - /live/a/video.m3u8: part 41.2 was listed 812 ms after part 41.1; PART-TARGET is 334 ms, 668 ms
      are allowed
    - /live/a/video.m3u8: part 41.3 was listed 701 ms after part 41.2; PART-TARGET is 334 ms, 668 ms
      are allowed
";
}
