//! The viewers of a run who had trouble: who, with what, how they played.

use super::model::{Report, ViewerRow};
use super::text;

/// Shown on a terminal.
const TERMINAL_ROWS_MAX: usize = 5;
/// Shown in a page.
const PAGE_ROWS_MAX: usize = 25;
/// Of a stream's path.
const STREAM_CHARACTERS_MAX: usize = 36;

pub(super) const HEADS: [&str; 9] =
    ["viewer", "mode", "first picture", "there for", "stalls", "stood still", "parts", "lost", "worst part"];

/// One viewer's cells, in the order of [`HEADS`], and the stream's path.
pub(super) fn cells(row: &ViewerRow) -> (Vec<String>, String) {
    let cells = vec![
        row.number.to_string(),
        text::clean(&row.mode),
        row.join_ms.map_or("never".to_owned(), |join_ms| format!("{} ms", text::number(join_ms.round()))),
        format!("{:.1} s", row.stayed_s),
        row.stalls.to_string(),
        format!("{:.2} s", row.stalled_s),
        row.parts.to_string(),
        row.parts_skipped.to_string(),
        format!("{} ms", text::number(row.latency_max_ms.round())),
    ];
    (cells, text::shortened(&text::clean(&row.stream), STREAM_CHARACTERS_MAX))
}

fn had_trouble(row: &&ViewerRow) -> bool {
    row.join_ms.is_none() || row.stalls > 0 || row.faults > 0 || row.parts_skipped > 0
}

/// Those who had trouble, the worst first, and how many there are in all.
pub(super) fn in_trouble(report: &Report) -> (Vec<&ViewerRow>, usize) {
    let count = report.viewers.iter().filter(had_trouble).count();
    (report.viewers.iter().filter(had_trouble).take(PAGE_ROWS_MAX).collect(), count)
}

/// For the table on a terminal; empty when nobody had trouble.
pub(super) fn lines(report: &Report) -> Vec<String> {
    let (rows, count) = in_trouble(report);
    if count == 0 {
        return Vec::new();
    }
    let mut lines = vec![format!("{count} of {} viewers had trouble, the worst first", report.viewers.len())];
    for row in rows.into_iter().take(TERMINAL_ROWS_MAX) {
        let (cells, stream) = cells(row);
        lines.push(format!(
            "  {:>6} {:<8} picture {}, {} stalls of {}, {} parts lost, {} faults  {stream}",
            cells[0], cells[1], cells[2], cells[4], cells[5], cells[7], row.faults
        ));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_those_who_had_trouble_are_shown_with_what_it_was() {
        let fine = ViewerRow { number: 1, join_ms: Some(300.0), ..ViewerRow::default() };
        let stalled = ViewerRow {
            number: 2,
            stream: "/live/a/index.m3u8".into(),
            mode: "hint".into(),
            join_ms: Some(301.4),
            stalls: 2,
            stalled_s: 1.5,
            ..ViewerRow::default()
        };
        let never = ViewerRow { number: 3, mode: "parts".into(), ..ViewerRow::default() };
        let report = Report { viewers: vec![never, stalled, fine], ..Report::default() };
        assert_eq!(
            lines(&report),
            [
                "2 of 3 viewers had trouble, the worst first",
                "       3 parts    picture never, 0 stalls of 0.00 s, 0 parts lost, 0 faults  ",
                "       2 hint     picture 301 ms, 2 stalls of 1.50 s, 0 parts lost, 0 faults  /live/a/index.m3u8",
            ]
        );
        assert_eq!(lines(&Report::default()), Vec::<String>::new());
    }
}
