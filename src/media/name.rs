//! A stream's public name: application and key, checked once and then trusted.

use std::fmt;

use crate::limits::{APP_SEGMENTS_MAX, APPS_RESERVED, NAME_LOGGED_CHARS_MAX, NAME_SEGMENT_CHARS_MAX};

/// `APP/KEY`: what stands in URLs, lists and logs. Each path segment matches
/// `[A-Za-z0-9][A-Za-z0-9._-]{0,127}`, so a name is safe in a path, a URL and a log line.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamName {
    /// The whole name, `app/key`.
    path: Box<str>,
    /// Where the key begins in `path`.
    key_offset: usize,
}

/// Why a name was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// A segment is empty or longer than allowed.
    #[error("a part of the name has {found} characters; 1 to {NAME_SEGMENT_CHARS_MAX} are allowed")]
    Length {
        /// Characters found.
        found: usize,
    },
    /// A character outside the allow-list.
    #[error("a part of the name holds a character other than A-Z a-z 0-9 . _ - or begins with . _ -")]
    Character,
    /// The application has too many path segments, or none.
    #[error("the application has {found} path segments; 1 to {APP_SEGMENTS_MAX} are allowed")]
    Segments {
        /// Segments found.
        found: usize,
    },
    /// The application's first segment is one the HTTP side keeps.
    #[error("this application name is reserved")]
    Reserved,
}

impl StreamName {
    /// Checks an application (one or two path segments) and a key, both already percent-decoded.
    ///
    /// # Errors
    /// [`NameError`] says which rule was broken; nothing of the input is repeated in it.
    pub fn new(app: &str, key: &str) -> Result<Self, NameError> {
        let segments = app.split('/').count();
        if segments > APP_SEGMENTS_MAX {
            return Err(NameError::Segments { found: segments });
        }
        for segment in app.split('/').chain([key]) {
            check_segment(segment)?;
        }
        if app.split('/').next().is_some_and(|first| APPS_RESERVED.contains(&first)) {
            return Err(NameError::Reserved);
        }
        Ok(Self { path: format!("{app}/{key}").into(), key_offset: app.len() + 1 })
    }

    /// Checks a whole `APP/KEY`, read from the right since an application may have two segments.
    ///
    /// # Errors
    /// As [`StreamName::new`]; without a slash there is no application.
    pub fn parse(path: &str) -> Result<Self, NameError> {
        let (app, key) = path.rsplit_once('/').ok_or(NameError::Segments { found: 0 })?;
        Self::new(app, key)
    }

    /// `app/key`.
    pub fn as_str(&self) -> &str {
        &self.path
    }

    /// The application, one or two path segments.
    pub fn app(&self) -> &str {
        &self.path[..self.key_offset - 1]
    }

    /// The key.
    pub fn key(&self) -> &str {
        &self.path[self.key_offset..]
    }
}

/// For log lines: cut to 64 characters. Nothing needs escaping, by construction.
impl fmt::Display for StreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path[..self.path.len().min(NAME_LOGGED_CHARS_MAX)])
    }
}

fn check_segment(segment: &str) -> Result<(), NameError> {
    if segment.is_empty() || segment.len() > NAME_SEGMENT_CHARS_MAX {
        return Err(NameError::Length { found: segment.len() });
    }
    let plain = |c: u8| c.is_ascii_alphanumeric();
    let allowed = |c: u8| plain(c) || matches!(c, b'.' | b'_' | b'-');
    if !plain(segment.as_bytes()[0]) || !segment.bytes().all(allowed) {
        return Err(NameError::Character);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_what_encoders_send() {
        for (app, key) in [("live", "demo"), ("live/app2", "key1"), ("l", "a.b_c-9")] {
            let name = StreamName::new(app, key).unwrap();
            assert_eq!((name.app(), name.key()), (app, key));
            assert_eq!(StreamName::parse(name.as_str()), Ok(name));
        }
    }

    #[test]
    fn a_log_line_has_the_beginning_of_a_long_name() {
        let name = StreamName::new("live", &"k".repeat(NAME_SEGMENT_CHARS_MAX)).unwrap();
        assert_eq!(name.to_string(), name.as_str()[..NAME_LOGGED_CHARS_MAX]);
    }

    /// Predecessor's defect 11: the key went straight into a file path.
    #[test]
    fn defect_11_refuses_path_tricks_and_reserved_names() {
        let long = "k".repeat(129);
        for (app, key) in [
            ("live", ".."),
            ("live", "../x"),
            ("live", "a/b"),
            ("live", ""),
            ("", "k"),
            ("live", "a b"),
            ("live", "a\0"),
            ("live", ".hidden"),
            ("a/b/c", "k"),
            ("live/", "k"),
            ("api", "k"),
            ("metrics/x", "k"),
            ("live", "k\u{e9}"),
            ("live", long.as_str()),
        ] {
            assert!(StreamName::new(app, key).is_err(), "{app:?} {key:?}");
        }
    }
}
