//! How numbers, moments and foreign text are written in every report.

/// For people: up to four significant digits, whole numbers as they are, thousands apart.
pub(super) fn number(value: f64) -> String {
    let size = value.abs();
    let decimals = match size {
        _ if !value.is_finite() => return "-".into(),
        _ if size >= 1e12 => return format!("{value:.3e}"),
        _ if size >= 1000.0 || value.fract() == 0.0 => 0,
        _ if size >= 100.0 => 1,
        _ if size >= 10.0 => 2,
        _ if size >= 1.0 => 3,
        _ if size >= 0.1 => 4,
        _ if size >= 0.01 => 5,
        _ if size >= 0.001 => 6,
        _ => return format!("{value:.1e}"),
    };
    let digits = fixed(value, decimals);
    if decimals == 0 { digits } else { digits.trim_end_matches('0').trim_end_matches('.').to_owned() }
}

/// With as many decimals as are asked for, thousands apart.
pub(super) fn fixed(value: f64, decimals: usize) -> String {
    let plain = format!("{value:.decimals$}");
    let whole_end = plain.find('.').unwrap_or(plain.len());
    let whole_begin = usize::from(plain.starts_with('-'));
    let mut apart = String::with_capacity(plain.len() + plain.len() / 3);
    for (place, character) in plain.char_indices() {
        if place > whole_begin && place < whole_end && (whole_end - place).is_multiple_of(3) {
            apart.push(',');
        }
        apart.push(character);
    }
    apart
}

/// Bytes in decimal units, as network rates are.
pub(super) fn bytes(value: f64) -> String {
    let mut rest = value;
    for unit in ["bytes", "kB", "MB", "GB", "TB"] {
        if rest < 1000.0 {
            return if unit == "bytes" { format!("{rest:.0} {unit}") } else { format!("{rest:.1} {unit}") };
        }
        rest /= 1000.0;
    }
    format!("{} PB", fixed(rest, 1))
}

/// A moment as `2026-11-27 15:24:01 UTC`.
pub(super) fn utc(unix_ms: u64) -> String {
    let seconds = unix_ms / 1000;
    let (year, month, day) = civil(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
}

/// Year, month and day of a day since 1970-01-01; years begin in March, so that the leap day comes last.
fn civil(day: u64) -> (u64, u64, u64) {
    // 719,468 days from 0000-03-01 to 1970-01-01; 146,097 days are 400 years.
    let day = day + 719_468;
    let (era, of_era) = (day / 146_097, day % 146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let from_march = (5 * of_year + 2) / 153;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (era * 400 + year + u64::from(month <= 2), month, of_year - (153 * from_march + 2) / 5 + 1)
}

/// Text of a server, a file or an address, fit for a terminal: control characters, which move the cursor or change
/// colours, and those that turn the direction of writing are replaced.
pub(super) fn clean(text: &str) -> String {
    let harmful = |character: char| {
        character.is_control()
            || matches!(character, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().map(|character| if harmful(character) { '\u{fffd}' } else { character }).collect()
}

/// The first characters of a text, and `...` when there are more.
pub(super) fn shortened(text: &str, characters_max: usize) -> String {
    match text.char_indices().nth(characters_max) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}...", &text[..end]),
    }
}

/// Lines of at most `width` characters, broken between words, inside those that are longer than a line.
pub(super) fn folded(text: &str, width: usize) -> Vec<String> {
    debug_assert!(width > 0);
    let mut lines: Vec<String> = Vec::new();
    let mut line = String::new();
    let mut line_width = 0;
    for word in text.split_whitespace() {
        let mut rest: Vec<char> = word.chars().collect();
        if line_width > 0 && line_width + 1 + rest.len() > width {
            lines.push(std::mem::take(&mut line));
            line_width = 0;
        }
        if line_width > 0 {
            line.push(' ');
            line_width += 1;
        }
        while rest.len() > width {
            lines.push(rest.drain(..width).collect());
        }
        line_width += rest.len();
        line.extend(rest);
    }
    if line_width > 0 {
        lines.push(line);
    }
    lines
}

/// Which way the cells of a column lean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Align {
    Left,
    Right,
}

/// Rows with their columns below each other, two spaces between them, nothing behind the last.
/// Columns without an alignment lean right.
pub(super) fn aligned(rows: &[Vec<String>], aligns: &[Align]) -> Vec<String> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let cell_width =
        |row: &Vec<String>, column: usize| row.get(column).map_or(0, |cell| cell.chars().count());
    let widths: Vec<usize> = (0..columns)
        .map(|column| rows.iter().map(|row| cell_width(row, column)).max().unwrap_or(0))
        .collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().enumerate().map(|(column, cell)| match aligns.get(column) {
            Some(Align::Left) => format!("{cell:<0$}", widths[column]),
            _ => format!("{cell:>0$}", widths[column]),
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_four_digits_and_thousands_apart() {
        let cases = [
            (0.0, "0"),
            (3.0, "3"),
            (1_234_567.0, "1,234,567"),
            (-1000.0, "-1,000"),
            (10_200.4, "10,200"),
            (123_456e9, "1.235e14"),
            (240.52, "240.5"),
            (99.999, "100"),
            (34.207, "34.21"),
            (1.5, "1.5"),
            (0.0421, "0.0421"),
            (0.00002, "2.0e-5"),
            (f64::NAN, "-"),
        ];
        for (value, text) in cases {
            assert_eq!(number(value), text);
        }
        assert_eq!(fixed(-123_456.78, 1), "-123,456.8");
        assert_eq!([bytes(0.0), bytes(1500.0), bytes(12.34e9)], ["0 bytes", "1.5 kB", "12.3 GB"]);
    }

    #[test]
    fn moments_are_written_in_utc() {
        for (unix_ms, text) in [
            (0, "1970-01-01 00:00:00 UTC"),
            (951_782_399_999, "2000-02-28 23:59:59 UTC"),
            (951_782_400_000, "2000-02-29 00:00:00 UTC"),
            (1_795_793_041_000, "2026-11-27 15:24:01 UTC"),
        ] {
            assert_eq!(utc(unix_ms), text);
        }
    }

    #[test]
    fn a_terminal_gets_no_control_characters() {
        assert_eq!(clean("a\u{1b}[31m\r\nb\u{202e}c"), "a\u{fffd}[31m\u{fffd}\u{fffd}b\u{fffd}c");
    }

    #[test]
    fn folds_between_words_and_inside_long_ones() {
        assert_eq!(folded("one two  three", 7), ["one two", "three"]);
        assert_eq!(folded("a 0123456789 b", 4), ["a", "0123", "4567", "89 b"]);
        assert_eq!(folded(" ", 4), Vec::<String>::new());
    }
}
