//! The figures of all rounds as a table, and as a picture.

use std::fmt::Write;

use crate::{load::Load, load::Measured, servers::Kind};

/// Medians over the rounds.
pub struct Row {
    kind: Kind,
    request_us: f64,
    /// To the bare loop of the same round.
    ratio: f64,
    viewer_minute_ms: f64,
    viewer_kib: f64,
    viewer_requests_per_s: f64,
    longest_gap_ms: f64,
}

/// One row a server, in the order of `kinds`.
pub fn rows(kinds: &[Kind], rounds: &[Vec<Measured>]) -> Vec<Row> {
    let bare = kinds.iter().position(|&kind| kind == Kind::Bare).expect("the yardstick is measured");
    let row = |(place, &kind): (usize, &Kind)| {
        let all =
            |figure: &dyn Fn(&[Measured]) -> f64| median(rounds.iter().map(|round| figure(round)).collect());
        Row {
            kind,
            request_us: all(&|round| round[place].request_us),
            ratio: all(&|round| round[place].request_us / round[bare].request_us),
            viewer_minute_ms: all(&|round| round[place].viewer_minute_ms),
            viewer_kib: all(&|round| round[place].viewer_kib),
            viewer_requests_per_s: all(&|round| round[place].viewer_requests_per_s),
            longest_gap_ms: all(&|round| round[place].longest_gap_ms),
        }
    };
    kinds.iter().enumerate().map(row).collect()
}

pub fn print(load: &Load, rounds: &[Vec<Measured>], rows: &[Row]) {
    let [[video_playlist, video], [audio_playlist, audio]] = rounds[0][0].response_bytes;
    println!(
        "{}, {} rounds of {} s; medians. Responses: playlists {video_playlist} and {audio_playlist} bytes, parts \
         {video} and {audio}",
        crowd(load),
        rounds.len(),
        load.seconds,
    );
    println!(
        "| server | us a request | ratio | ms a viewer-minute | KiB a viewer | requests/s a viewer | longest gap ms |"
    );
    println!("|---|---|---|---|---|---|---|");
    for row in rows {
        println!(
            "| {} | {:.1} | {:.2} | {:.1} | {:.1} | {:.1} | {:.0} |",
            row.kind.name(),
            row.request_us,
            row.ratio,
            row.viewer_minute_ms,
            row.viewer_kib,
            row.viewer_requests_per_s,
            row.longest_gap_ms,
        );
    }
}

/// Bars of the microseconds a request.
pub fn svg(load: &Load, rows: &[Row]) -> String {
    const ROW: usize = 34;
    let longest = rows.iter().map(|row| row.request_us).fold(0.0, f64::max);
    let height = 64 + ROW * rows.len();
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 760 {height}\" font-family=\"sans-serif\" \
         font-size=\"14\">\n<rect width=\"760\" height=\"{height}\" fill=\"#fff\"/>\n<text x=\"16\" y=\"28\" \
         font-size=\"16\">Processor time a request, {}</text>\n",
        crowd(load)
    );
    for (place, row) in rows.iter().enumerate() {
        let (y, width) = (48 + ROW * place, 320.0 * row.request_us / longest);
        let colour = match row.kind {
            Kind::Served => "#c2410c",
            Kind::Bare => "#334155",
            _ => "#94a3b8",
        };
        // Writing to a String does not fail.
        let _ = writeln!(
            svg,
            "<text x=\"16\" y=\"{text_y}\">{name}</text><rect x=\"270\" y=\"{y}\" width=\"{width:.0}\" \
             height=\"22\" fill=\"{colour}\"/><text x=\"{end:.0}\" y=\"{text_y}\">{request_us:.1} us, x{ratio:.2}\
             </text>",
            text_y = y + 16,
            name = row.kind.name(),
            end = 278.0 + width,
            request_us = row.request_us,
            ratio = row.ratio,
        );
    }
    svg + "</svg>\n"
}

fn crowd(load: &Load) -> String {
    format!("{} viewers on {} connections", load.viewers_count, 2 * load.viewers_count)
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}
