//! The line that is rewritten while a run goes on, or one line a second where there is no terminal.

use std::io::{self, Write};

use super::{model::Second, text};

/// To the end of the line.
const CLEAR: &str = "\x1b[K";

/// Shows each second as it ends. Stalls and faults are shown as totals so far, everything else as of that second.
#[derive(Debug)]
pub struct Live {
    terminal: bool,
    stalls: u64,
    faults: u64,
    /// What stands on the terminal's last line; empty when nothing of ours does.
    line: String,
}

impl Live {
    /// `terminal` says whether what is written to can rewrite a line.
    pub fn new(terminal: bool) -> Self {
        Self { terminal, stalls: 0, faults: 0, line: String::new() }
    }

    /// One more second. `width` is the terminal's in columns, asked anew each time since windows change; elsewhere
    /// lines are not cut.
    pub fn second(&mut self, second: &Second, width: usize, out: &mut dyn Write) -> io::Result<()> {
        self.stalls += second.stalls;
        self.faults += second.faults;
        let line = self.line_of(second);
        if self.terminal {
            // A line as wide as the terminal would leave the cursor between two lines.
            self.line = line.chars().take(width.saturating_sub(1)).collect();
            write!(out, "\r{}{CLEAR}", self.line)?;
        } else {
            writeln!(out, "{line}")?;
        }
        out.flush()
    }

    /// Something to say in between: above the line that is rewritten, which stays.
    pub fn note(&mut self, note: &str, out: &mut dyn Write) -> io::Result<()> {
        if self.line.is_empty() {
            writeln!(out, "{}", text::clean(note))?;
        } else {
            write!(out, "\r{CLEAR}{}\r\n{}{CLEAR}", text::clean(note), self.line)?;
        }
        out.flush()
    }

    /// Leaves the last line standing, so that what is printed next begins on a new one.
    pub fn end(&mut self, out: &mut dyn Write) -> io::Result<()> {
        if !self.line.is_empty() {
            self.line.clear();
            writeln!(out)?;
        }
        out.flush()
    }

    /// Fields keep their places as numbers grow, so that the eye can rest on one of them. What matters most stands
    /// first: stalls and faults end at column 79, where most terminals do.
    fn line_of(&self, second: &Second) -> String {
        let megabits = second.received_bytes as f64 * 8.0 / 1e6;
        let decimals = usize::from(megabits < 100.0);
        let [p50, p99] = [second.latency_p50_ms, second.latency_p99_ms].map(|ms| match ms {
            Some(ms) => format!("{ms:.0}"),
            None => "-".into(),
        });
        let mut line = format!(
            "{:>5} {:>3} pub {:>5} view {megabits:>6.decimals$} Mbit/s  p50 {p50:>4} p99 {p99:>4} ms  \
             {} stalls {} faults  late {:.1} ms",
            clock(second.at_s),
            second.publishers,
            second.viewers,
            self.stalls,
            self.faults,
            second.own_lateness_p99_ms,
        );
        if let Some(cores) = second.server_cores {
            line.push_str(&format!("  server {cores:.2} cores"));
        }
        if !second.measured {
            line.push_str("  not measured");
        }
        line
    }
}

/// `1:02:03`, or `2:03` within the first hour.
fn clock(seconds: f64) -> String {
    // Whole seconds, rounded: the timer that ends a second is never exact.
    let seconds = seconds.round() as u64;
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:02}") } else { format!("{minutes}:{seconds:02}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds() -> [Second; 3] {
        let ramp =
            Second { at_s: 1.0, viewers: 50, publishers: 1, own_lateness_p99_ms: 0.04, ..Second::default() };
        let full = Second {
            at_s: 62.98,
            measured: true,
            viewers: 1000,
            publishers: 1,
            requests: 6200,
            received_bytes: 210_000_000,
            latency_p50_ms: Some(34.2),
            latency_p99_ms: Some(51.9),
            stalls: 2,
            faults: 1,
            own_lateness_p99_ms: 0.42,
            server_cores: Some(0.519),
            own_cores: 0.7,
            ..Second::default()
        };
        let last = Second { at_s: 3723.0, stalls: 1, server_cores: None, ..full.clone() };
        [ramp, full, last]
    }

    fn shown(live: &mut Live, width: usize) -> String {
        let mut out = Vec::new();
        for second in seconds() {
            live.second(&second, width, &mut out).unwrap();
        }
        live.end(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn plain_lines_where_there_is_no_terminal() {
        assert_eq!(
            shown(&mut Live::new(false), 10),
            " 0:01   1 pub    50 view    0.0 Mbit/s  p50    - p99    - ms  0 stalls 0 faults  late 0.0 ms  not measured
 1:03   1 pub  1000 view   1680 Mbit/s  p50   34 p99   52 ms  2 stalls 1 faults  late 0.4 ms  server 0.52 cores
1:02:03   1 pub  1000 view   1680 Mbit/s  p50   34 p99   52 ms  3 stalls 2 faults  late 0.4 ms
"
        );
    }

    #[test]
    fn a_terminal_gets_one_line_cut_to_its_width() {
        assert_eq!(
            shown(&mut Live::new(true), 34),
            "\r 0:01   1 pub    50 view    0.0 M\x1b[K\r 1:03   1 pub  1000 view   1680 M\x1b[K\
             \r1:02:03   1 pub  1000 view   1680\x1b[K\n"
        );
        assert_eq!(shown(&mut Live::new(true), 0), "\r\x1b[K\r\x1b[K\r\x1b[K");
    }

    #[test]
    fn a_note_stands_above_the_line() {
        let (mut live, mut out) = (Live::new(true), Vec::new());
        live.note("before", &mut out).unwrap();
        live.second(&seconds()[0], 8, &mut out).unwrap();
        live.note("a \x1b[2J", &mut out).unwrap();
        live.end(&mut out).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "before\n\r 0:01  \x1b[K\r\x1b[Ka \u{fffd}[2J\r\n 0:01  \x1b[K\n"
        );
    }
}
