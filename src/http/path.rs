//! Percent-decoding of request paths (RFC 3986, section 2.1), strict where a decoded path could mean
//! something else than its raw form.

use std::borrow::Cow;

/// Why a path was refused; nothing of the path is repeated in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// `%` without two hex digits.
    #[error("a percent sign without two hex digits at byte {offset} of the path")]
    Escape {
        /// Where the percent sign stands.
        offset: usize,
    },
    /// A slash or backslash came out of an escape, or a raw backslash stands in the path.
    #[error("an encoded slash or a backslash in the path")]
    Separator,
    /// NUL or another control character.
    #[error("a control character in the path")]
    Control,
    /// A `.` or `..` segment.
    #[error("a dot segment in the path")]
    DotSegment,
    /// The decoded bytes are not UTF-8.
    #[error("the decoded path is not UTF-8")]
    Utf8,
}

/// Decodes a path once; borrows it when there is nothing to decode.
///
/// # Errors
/// [`PathError`], so that a decoded path has the segments of the raw one, and none of them climbs.
pub fn decode_path(path: &str) -> Result<Cow<'_, str>, PathError> {
    let decoded = if path.contains('%') { Cow::Owned(unescape(path)?) } else { Cow::Borrowed(path) };
    if decoded.contains('\\') {
        return Err(PathError::Separator);
    }
    if decoded.chars().any(char::is_control) {
        return Err(PathError::Control);
    }
    if decoded.split('/').any(|segment| matches!(segment, "." | "..")) {
        return Err(PathError::DotSegment);
    }
    Ok(decoded)
}

fn unescape(path: &str) -> Result<String, PathError> {
    let bytes = path.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut offset = 0;
    while let Some(&byte) = bytes.get(offset) {
        if byte != b'%' {
            decoded.push(byte);
            offset += 1;
            continue;
        }
        let digit = |place: usize| {
            let digit = bytes.get(place).and_then(|&byte| char::from(byte).to_digit(16));
            digit.ok_or(PathError::Escape { offset })
        };
        let value = (digit(offset + 1)? << 4 | digit(offset + 2)?) as u8;
        if value == b'/' {
            return Err(PathError::Separator);
        }
        decoded.push(value);
        offset += 3;
    }
    String::from_utf8(decoded).map_err(|_| PathError::Utf8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_once_and_borrows_what_needs_no_decoding() {
        assert!(matches!(decode_path("/live/demo/index.m3u8"), Ok(Cow::Borrowed(_))));
        for (raw, decoded) in
            [("/a%20b", "/a b"), ("/%6c%6Cx", "/llx"), ("/%252e", "/%2e"), ("/%C3%A9", "/é")]
        {
            assert_eq!(decode_path(raw).as_deref(), Ok(decoded));
        }
    }

    #[test]
    fn defect_11_refuses_what_could_climb_or_hide() {
        use PathError::*;
        for (raw, error) in [
            ("/%", Escape { offset: 1 }),
            ("/a%4", Escape { offset: 2 }),
            ("/%zz", Escape { offset: 1 }),
            ("/%+1", Escape { offset: 1 }),
            ("/a%2fb", Separator),
            ("/a%2Fb", Separator),
            ("/a%5Cb", Separator),
            ("/a\\b", Separator),
            ("/a%00", Control),
            ("/a%0d%0ab", Control),
            ("/a%7f", Control),
            ("/a%C2%85", Control),
            ("/../etc", DotSegment),
            ("/a/%2e%2E/b", DotSegment),
            ("/a/.", DotSegment),
            ("/%ff", Utf8),
            ("/%C3", Utf8),
        ] {
            assert_eq!(decode_path(raw), Err(error), "{raw}");
        }
    }
}
