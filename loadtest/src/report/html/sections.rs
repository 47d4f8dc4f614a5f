//! The words and tables of the pages; every function returns HTML.

use super::escaped;
use crate::report::{
    compare::{Comparison, Figure, Judgement, REMARK},
    figure,
    latency::{self, Stat},
    model::{Report, ViewerRow},
    table::{self, COST, TRAFFIC},
    text,
    verdict::Verdict,
    viewers,
};

/// The figures that stand large at the top: name, what it is, its unit.
const KEY_FIGURES: [(&str, &str, &str); 12] = [
    ("p50_ms", "latency, median", "ms"),
    ("p99_ms", "latency, 99 %", "ms"),
    ("max_ms", "latency, worst", "ms"),
    // Where frames bear no stamp of the publisher's.
    ("latency_date_p50_ms", "latency by date, median", "ms"),
    ("latency_date_p99_ms", "latency by date, 99 %", "ms"),
    ("stalls", "stalls", ""),
    ("faults", "faults", ""),
    ("viewers", "viewers", ""),
    ("requests_per_s", "requests", "1/s"),
    ("received_mbit_s", "received", "Mbit/s"),
    ("server_cpu_ms_per_viewer_minute", "server, per viewer-minute", "ms CPU"),
    ("server_rss_kib_per_viewer", "server, per viewer", "KiB"),
];
/// Figures of the first table of a comparison.
const COMPARED_FIRST: [&str; 11] = [
    "p50_ms",
    "p99_ms",
    "p999_ms",
    "max_ms",
    "latency_oldest_p99_ms",
    "spread_p99_ms",
    "join_p99_ms",
    "stalls",
    "faults",
    "server_cpu_ms_per_viewer_minute",
    "server_rss_kib_per_viewer",
];

/// What stands where the script puts the charts.
const CHARTS: &str = "<section id=\"charts\" aria-label=\"Charts\">\
    <noscript><p>The charts are drawn by a script, which is off. All figures are in the tables.</p></noscript></section>\n";

/// The body of the page of one run.
pub(super) fn of_run(report: &Report) -> String {
    [
        header(&report.title, &format!("{}, {}", report.tool, table::measured(report))),
        verdict(report, ""),
        key_figures(report),
        CHARTS.into(),
        latencies(report, ""),
        lines(report),
        viewers_in_trouble(report),
        faults(report, ""),
        settings(report),
        all_figures(report),
    ]
    .concat()
}

/// The body of the page of several runs.
pub(super) fn of_comparison(comparison: &Comparison) -> String {
    let runs = comparison.runs();
    let labels: Vec<&str> = runs.iter().map(|run| run.label.as_str()).collect();
    let last = runs[runs.len() - 1].letter;
    let others = if runs.len() == 2 { last.to_string() } else { format!("{} to {last}", runs[1].letter) };
    let mut body = header(&labels.join(" / "), &format!("{others} compared to {}", runs[0].letter));
    body += "<div class=\"runs\">\n";
    for run in runs {
        body += &verdict(&run.report, &format!("{}  {}", run.letter, run.label));
    }
    body += "</div>\n";
    let figures = comparison.figures();
    let first: Vec<&Figure<'_>> =
        COMPARED_FIRST.iter().filter_map(|name| figures.iter().find(|figure| figure.name == *name)).collect();
    if !first.is_empty() {
        body += &section("At a glance", &compared(comparison, &first, false));
    }
    body += &settings_compared(comparison);
    body += CHARTS;
    let all: Vec<&Figure<'_>> = figures.iter().collect();
    if !all.is_empty() {
        body += &section("Figure by figure", &compared(comparison, &all, true));
    }
    for run in runs {
        body += &latencies(&run.report, &format!("{}: ", run.letter));
        body += &faults(&run.report, &format!("{}: ", run.letter));
    }
    body
}

fn header(title: &str, subtitle: &str) -> String {
    format!("<header><h1>{}</h1>\n<p class=\"quiet\">{}</p></header>\n", escaped(title), escaped(subtitle))
}

fn section(title: &str, content: &str) -> String {
    format!("<section>\n<h2>{}</h2>\n{content}</section>\n", escaped(title))
}

/// `label` says of which run, with when and how long it was measured.
fn verdict(report: &Report, label: &str) -> String {
    let verdict = Verdict::of(report);
    let mut html = format!("<section class=\"verdict {}\">\n", verdict.name().to_ascii_lowercase());
    if !label.is_empty() {
        let run = format!("{}; {}, {}", report.title, report.tool, table::measured(report));
        html += &format!("<h2>{}</h2>\n<p class=\"quiet\">{}</p>\n", escaped(label), escaped(run));
    }
    let sentence = escaped(verdict.sentence(report));
    html += &format!("<p><strong>{}</strong> {sentence}</p>\n", verdict.name());
    if !report.void.is_empty() {
        let reasons = report.void.iter().map(|reason| format!("<li>{}</li>", escaped(reason)));
        html += &format!("<ul>{}</ul>\n", reasons.collect::<String>());
    }
    if !report.expectations.is_empty() {
        let item = |expectation: &super::super::Expectation| {
            let (class, word) = if expectation.held { ("held", "held") } else { ("failed", "failed") };
            let found = escaped(table::found(expectation.found));
            format!(
                "<li class=\"{class}\"><b>{word}</b> <code>{}</code> <span class=\"quiet\">{found}</span></li>",
                escaped(&expectation.text)
            )
        };
        html += &format!(
            "<ul class=\"expectations\">{}</ul>\n",
            report.expectations.iter().map(item).collect::<String>()
        );
    }
    html + "</section>\n"
}

fn key_figures(report: &Report) -> String {
    let is_stamped = report.figures.contains_key("p50_ms");
    let tile = |&(name, label, unit): &(&str, &str, &str)| {
        if is_stamped && name.starts_with("latency_date_") {
            return None;
        }
        let value = report.figures.get(name)?;
        let unit = if unit.is_empty() { String::new() } else { format!(" <small>{unit}</small>") };
        Some(format!("<div><dt>{label}</dt><dd>{}{unit}</dd></div>\n", text::number(*value)))
    };
    let tiles: String = KEY_FIGURES.iter().filter_map(tile).collect();
    if tiles.is_empty() { tiles } else { format!("<dl class=\"key\">\n{tiles}</dl>\n") }
}

fn latencies(report: &Report, prefix: &str) -> String {
    let rows = latency::rows(report);
    if rows.is_empty() {
        return String::new();
    }
    let mut html = String::from("<div class=\"wide\"><table>\n<thead><tr><th scope=\"col\">ms</th>");
    for stat in Stat::ALL {
        html += &format!("<th scope=\"col\">{}</th>", stat.head());
    }
    html += "</tr></thead>\n<tbody>\n";
    for row in rows {
        let decimals = table::decimals(row.stat(Stat::P50));
        html += &format!("<tr><th scope=\"row\">{}</th>", escaped(&row.label));
        for stat in Stat::ALL {
            let decimals = if stat == Stat::Count { 0 } else { decimals };
            html += &format!(
                "<td>{}</td>",
                row.stat(stat).map_or(String::new(), |value| text::fixed(value, decimals))
            );
        }
        html += "</tr>\n";
    }
    section(&format!("{prefix}Distributions"), &(html + "</tbody></table></div>\n"))
}

/// Traffic and cost in words.
fn lines(report: &Report) -> String {
    let block = |(title, lines): (&str, &[table::Line])| {
        let item = |line: &table::Line| {
            Some(format!("<dt>{}</dt><dd>{}</dd>\n", line.label, escaped(line.words(report)?)))
        };
        let items: String = lines.iter().filter_map(item).collect();
        if items.is_empty() {
            items
        } else {
            section(title, &format!("<dl class=\"lines\">\n{items}</dl>\n"))
        }
    };
    [("Traffic", TRAFFIC), ("Cost", COST)].into_iter().map(block).collect()
}

fn faults(report: &Report, prefix: &str) -> String {
    if report.faults.is_empty() {
        return String::new();
    }
    let mut html = String::new();
    for (name, fault) in table::in_order(report) {
        let count = text::number(fault.count as f64);
        html += &format!("<h3><code>{}</code> <span class=\"quiet\">{count}</span></h3>\n", escaped(name));
        let examples: String =
            fault.examples.iter().map(|example| format!("<li>{}</li>", escaped(example))).collect();
        if !examples.is_empty() {
            html += &format!("<ul class=\"examples\">{examples}</ul>\n");
        }
    }
    section(&format!("{prefix}Faults"), &html)
}

/// Viewers who had trouble.
fn viewers_in_trouble(report: &Report) -> String {
    let (rows, count) = viewers::in_trouble(report);
    if count == 0 {
        return String::new();
    }
    let heads: String = viewers::HEADS.iter().map(|head| format!("<th scope=\"col\">{head}</th>")).collect();
    let row = |row: &ViewerRow| {
        let (cells, stream) = viewers::cells(row);
        let cells: String = cells.iter().map(|cell| format!("<td>{}</td>", escaped(cell))).collect();
        format!("<tr>{cells}<td><code>{}</code></td></tr>\n", escaped(stream))
    };
    let rows: String = rows.into_iter().map(row).collect();
    let all = report.viewers.len();
    let html = format!(
        "<p class=\"quiet\">{count} of {all}, the worst first; over the whole run.</p>\n<div class=\"wide\"><table>\n\
         <thead><tr>{heads}<th scope=\"col\">stream</th></tr></thead>\n<tbody>\n{rows}</tbody></table></div>\n"
    );
    section("Viewers who had trouble", &html)
}

fn settings(report: &Report) -> String {
    if report.settings.is_empty() {
        return String::new();
    }
    let item = |(name, value): (&String, &String)| {
        format!("<dt><code>{}</code></dt><dd><code>{}</code></dd>\n", escaped(name), escaped(value))
    };
    let items: String = report.settings.iter().map(item).collect();
    section("Settings", &format!("<dl class=\"lines\">\n{items}</dl>\n"))
}

/// Those that no table above shows are there by name only, so all of them are, to be copied into an expectation.
fn all_figures(report: &Report) -> String {
    if report.figures.is_empty() {
        return String::new();
    }
    let shown = latency::figures_shown(report);
    let mut names: Vec<&String> = report.figures.keys().collect();
    names.sort_by_key(|name| (shown.contains(*name), figure::place(name)));
    let item = |name: &&String| {
        let value = text::number(report.figures[*name]);
        format!("<div><dt><code>{}</code></dt><dd>{value}</dd></div>\n", escaped(name))
    };
    let items: String = names.iter().map(item).collect();
    format!(
        "<section><details><summary>All figures by name ({})</summary>\n<dl class=\"figures\">\n{items}</dl></details></section>\n",
        names.len()
    )
}

fn compared(comparison: &Comparison, figures: &[&Figure<'_>], grouped: bool) -> String {
    let runs = comparison.runs();
    let mut html = String::from(
        "<div class=\"wide\"><table class=\"compared\">\n<thead><tr><th scope=\"col\">figure</th>",
    );
    for (place, run) in runs.iter().enumerate() {
        html += &format!("<th scope=\"col\">{}</th>", run.letter);
        if place > 0 {
            html += &format!("<th scope=\"col\">{}/{}</th><th></th>", run.letter, runs[0].letter);
        }
    }
    html += "<th scope=\"col\">better</th></tr></thead>\n<tbody>\n";
    let columns = runs.len() * 3;
    let mut group = "";
    for figure in figures {
        if grouped && figure::group(figure.name) != group {
            group = figure::group(figure.name);
            html += &format!(
                "<tr class=\"group\"><th scope=\"rowgroup\" colspan=\"{columns}\">{group}</th></tr>\n"
            );
        }
        html += &compared_row(figure);
    }
    html + &format!("</tbody></table></div>\n<p class=\"quiet\">{REMARK}</p>\n")
}

fn compared_row(figure: &Figure<'_>) -> String {
    // A name may be broken where its words end, or a phone shows nothing but names.
    let name = escaped(figure.name).replace('_', "_<wbr>");
    let mut html = format!("<tr><th scope=\"row\"><code>{name}</code></th>");
    for (run, value) in figure.values.iter().enumerate() {
        html +=
            &format!("<td>{}</td>", value.map_or(String::new(), |value| figure::value(figure.name, value)));
        if run > 0 {
            let ratio = figure.ratio(run).map_or(String::new(), |ratio| text::fixed(ratio, 2));
            let word = figure.judgement(run).map_or("", Judgement::name);
            html += &format!("<td class=\"ratio\">{ratio}</td><td class=\"word {word}\">{word}</td>");
        }
    }
    html + &format!("<td class=\"quiet\">{}</td></tr>\n", if figure.lower_is_better { "lower" } else { "" })
}

fn settings_compared(comparison: &Comparison) -> String {
    let settings = comparison.settings();
    if settings.is_empty() {
        return String::new();
    }
    let differing = settings.iter().filter(|setting| setting.differs()).count();
    let mut html = String::from(
        "<div class=\"wide\"><table class=\"settings\">\n<thead><tr><th scope=\"col\">setting</th>",
    );
    for run in comparison.runs() {
        html += &format!("<th scope=\"col\">{}</th>", run.letter);
    }
    html += "</tr></thead>\n<tbody>\n";
    for setting in settings {
        let cell = |value: &Option<&str>| escaped(value.unwrap_or("–"));
        let name = escaped(setting.name);
        if setting.differs() {
            html += &format!("<tr class=\"differs\"><th scope=\"row\"><code>{name}</code></th>");
            html.extend(setting.values.iter().map(|value| format!("<td><code>{}</code></td>", cell(value))));
        } else {
            let (columns, value) = (setting.values.len(), cell(&setting.values[0]));
            html += &format!(
                "<tr><th scope=\"row\"><code>{name}</code></th><td colspan=\"{columns}\"><code>{value}</code></td>"
            );
        }
        html += "</tr>\n";
    }
    section(&format!("Settings, {differing} differ"), &(html + "</tbody></table></div>\n"))
}
