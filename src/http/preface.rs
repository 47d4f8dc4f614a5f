//! Tells HTTP/2 by prior knowledge from HTTP/1.1, by the first bytes (RFC 9113, section 3.4).

/// As far as it looks like a request; the rest is the HTTP/2 side's to judge.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\n";

/// `None` when there are too few bytes to tell.
pub fn is_http2(bytes: &[u8]) -> Option<bool> {
    let compared = bytes.len().min(PREFACE.len());
    match bytes[..compared] == PREFACE[..compared] {
        true if compared < PREFACE.len() => None,
        is_preface => Some(is_preface),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_preface_is_told_at_its_last_byte_and_anything_else_at_the_first_that_differs() {
        for cut in 0..PREFACE.len() {
            assert_eq!(is_http2(&PREFACE[..cut]), None);
        }
        assert_eq!(is_http2(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), Some(true));
        for other in ["G", "POST / HTTP/1.1\r\n", "PRI * HTTP/2.1\r\n\r\n", "PRI / HTTP/2.0"] {
            assert_eq!(is_http2(other.as_bytes()), Some(false), "{other}");
        }
    }
}
