//! The JSON file of a run: everything that was measured, for other programs and for `compare`.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use serde_json::Value;

use super::{
    file,
    model::{REPORT_FORMAT, Report, Second},
    text,
};

/// Bytes of a file that is read. A second takes about 300 bytes and a run's histograms some ten thousand, so that a
/// week of seconds fits.
const REPORT_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// Why a report could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum ReportFileError {
    /// It cannot be written.
    #[error("{}: cannot be written: {source}", .file.display())]
    Write {
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It cannot be read.
    #[error("{}: cannot be read: {source}", .file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Too large for any report.
    #[error("{}: more than {allowed} bytes, the most that is read of a report", .file.display())]
    TooLarge {
        /// The file.
        file: PathBuf,
        /// The most that is read.
        allowed: u64,
    },
    /// Not JSON.
    #[error("{}: not JSON: {reason}; a file that `--json` wrote is wanted", .file.display())]
    NotJson {
        /// The file.
        file: PathBuf,
        /// What is wrong, with line and column.
        reason: String,
    },
    /// JSON of something else.
    #[error("{}: JSON, but not a report of loadtest: {found}; a file that `--json` wrote is wanted", .file.display())]
    NotReport {
        /// The file.
        file: PathBuf,
        /// What it is, or what it lacks.
        found: String,
    },
    /// A report of a later version.
    #[error("{}: report format {found}; this version reads up to {allowed}", .file.display())]
    Newer {
        /// The file.
        file: PathBuf,
        /// Its format.
        found: u64,
        /// The newest that is read.
        allowed: u32,
    },
}

/// Writes the file whole or not at all. Figures that are no numbers are left out: JSON has no word for them.
pub fn write(path: &Path, report: &Report) -> Result<(), ReportFileError> {
    let failed = |source| ReportFileError::Write { file: path.to_owned(), source };
    let mut bytes =
        serde_json::to_vec_pretty(&with_numbers_only(report)).map_err(|error| failed(error.into()))?;
    bytes.push(b'\n');
    file::replace(path, &bytes).map_err(failed)
}

/// Reads what [`write`] wrote.
pub fn read(path: &Path) -> Result<Report, ReportFileError> {
    let file = || path.to_owned();
    let failed = |source| ReportFileError::Read { file: file(), source };
    let mut bytes = Vec::new();
    let opened = File::open(path).map_err(failed)?;
    opened.take(REPORT_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > REPORT_BYTES_MAX {
        return Err(ReportFileError::TooLarge { file: file(), allowed: REPORT_BYTES_MAX });
    }
    let value: Value = serde_json::from_slice(&bytes)
        .map_err(|error| ReportFileError::NotJson { file: file(), reason: error.to_string() })?;
    match value.get("format").and_then(Value::as_u64) {
        None => Err(ReportFileError::NotReport { file: file(), found: described(&value) }),
        Some(found) if found > u64::from(REPORT_FORMAT) => {
            Err(ReportFileError::Newer { file: file(), found, allowed: REPORT_FORMAT })
        }
        Some(_) => serde_json::from_value(value).map_err(|error| {
            // The words of serde_json quote the file.
            ReportFileError::NotReport { file: file(), found: text::clean(&error.to_string()) }
        }),
    }
}

fn with_numbers_only(report: &Report) -> Report {
    let whole = |second: &Second| {
        second.at_s.is_finite() && (second.own_lateness_p99_ms + second.own_cores).is_finite()
    };
    let mut report = report.clone();
    report.figures.retain(|_, value| value.is_finite());
    report.timeline.retain(whole);
    report
}

/// What a JSON value is, in a few words.
fn described(value: &Value) -> String {
    const NAMES_MAX: usize = 4;
    const NAME_CHARACTERS_MAX: usize = 24;
    match value {
        Value::Object(fields) if fields.is_empty() => "an empty object".into(),
        Value::Object(fields) => {
            let name = |name: &String| text::shortened(&text::clean(name), NAME_CHARACTERS_MAX);
            let mut names: Vec<String> = fields.keys().take(NAMES_MAX).map(name).collect();
            if fields.len() > NAMES_MAX {
                names.push("...".into());
            }
            format!("an object with {}, and no format that is a number", names.join(", "))
        }
        Value::Array(_) => "an array".into(),
        _ => "a single value".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    fn path(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("loadtest-{}-{name}.json", std::process::id()))
    }

    fn error_of(name: &str, content: &str) -> String {
        let path = path(name);
        std::fs::write(&path, content).unwrap();
        let error = read(&path).unwrap_err();
        std::fs::remove_file(&path).unwrap();
        let text = error.to_string();
        text.strip_prefix(&format!("{}: ", path.display())).expect("the file stands first").to_owned()
    }

    #[test]
    fn what_was_written_is_read() {
        let path = path("roundtrip");
        for report in [sample::run(), sample::hostile(), Report { format: 1, ..Report::default() }] {
            write(&path, &report).unwrap();
            assert!(read(&path).unwrap() == report, "{}", report.title);
        }
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn figures_that_are_no_numbers_are_left_out() {
        let path = path("numbers");
        let mut report = Report { format: 1, ..Report::default() };
        report.figures.insert("server_cpu_us_per_request".into(), f64::NAN);
        report.timeline = vec![Second { own_cores: f64::INFINITY, ..Second::default() }];
        write(&path, &report).unwrap();
        assert_eq!(read(&path).unwrap(), Report { format: 1, ..Report::default() });
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn errors_say_what_was_found_and_what_is_wanted() {
        let wanted = "; a file that `--json` wrote is wanted";
        let cases = [
            ("empty", "", format!("not JSON: EOF while parsing a value at line 1 column 0{wanted}")),
            ("array", "[1]", format!("JSON, but not a report of loadtest: an array{wanted}")),
            (
                "other",
                r#"{"streams": [], "format": {}}"#,
                format!(
                    "JSON, but not a report of loadtest: an object with format, streams, and no format that is a number{wanted}"
                ),
            ),
            (
                "fields",
                r#"{"format": 1}"#,
                format!("JSON, but not a report of loadtest: missing field `tool`{wanted}"),
            ),
            ("newer", r#"{"format": 2, "unheard": 1}"#, "report format 2; this version reads up to 1".into()),
        ];
        for (name, content, message) in cases {
            assert_eq!(error_of(name, content), message);
        }
        assert!(matches!(read(&path("missing")), Err(ReportFileError::Read { .. })));
    }
}
