//! Durations as the predecessor's environment spelt them: Go's `1h30m`, `90s`, `2.5s`, `500ms`.

/// Milliseconds of a duration; `None` if it is malformed, negative, or not whole milliseconds in 64 bits.
pub(super) fn parse_ms(text: &str) -> Option<u64> {
    let mut rest = text;
    let mut total_ms: u64 = 0;
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let (number, after) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit() && c != '.')?);
        let (unit, after) =
            after.split_at(after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len()));
        let unit_ms = match unit {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            _ => return None,
        };
        total_ms = total_ms.checked_add(scaled(number, unit_ms)?)?;
        rest = after;
    }
    Some(total_ms)
}

/// A decimal number times `unit_ms`, if that is whole.
fn scaled(number: &str, unit_ms: u64) -> Option<u64> {
    let (whole, decimals) = number.split_once('.').unwrap_or((number, "0"));
    let whole: u64 = whole.parse().ok()?;
    let power = 10u64.checked_pow(u32::try_from(decimals.len()).ok()?)?;
    let fraction = decimals.parse::<u64>().ok()?.checked_mul(unit_ms)?;
    if fraction % power != 0 {
        return None;
    }
    whole.checked_mul(unit_ms)?.checked_add(fraction / power)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_go_prints() {
        for (text, ms) in [
            ("1h", Some(3_600_000)),
            ("24h0m0s", Some(86_400_000)),
            ("1h30m", Some(5_400_000)),
            ("1.5h", Some(5_400_000)),
            ("2s", Some(2000)),
            ("500ms", Some(500)),
            ("0", Some(0)),
            ("0s", Some(0)),
            ("", None),
            ("5", None),
            ("s", None),
            ("-1s", None),
            ("1d", None),
            ("1 h", None),
            ("1.2.3s", None),
            ("0.0001s", None),
            ("99999999999999999999h", None),
            ("9999999999999999h", None),
            ("1s1", None),
            ("1\u{e9}", None),
        ] {
            assert_eq!(parse_ms(text), ms, "{text:?}");
        }
    }
}
