//! What the values of request fields mean (RFC 9110), each read from its bytes alone.

use super::request::Refusal;
use crate::limits::HTTP_BODY_BYTES_MAX;

/// The elements of a comma-separated list, trimmed; empty ones are skipped (RFC 9110, section 5.6.1.2).
pub(super) fn list(value: &str) -> impl Iterator<Item = &str> {
    value.split(',').map(|element| element.trim_matches([' ', '\t'])).filter(|element| !element.is_empty())
}

/// What one `Accept-Encoding` field says about gzip: by name, or else by `*`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct GzipPreference {
    named: Option<bool>,
    any: Option<bool>,
}

impl GzipPreference {
    /// Adds a field; several count as one list.
    pub(super) fn add(&mut self, value: &str) {
        for element in list(value) {
            let (coding, parameters) = element.split_once(';').unwrap_or((element, ""));
            let coding = coding.trim_end_matches([' ', '\t']);
            let wanted = Some(weight_is_positive(parameters));
            if coding.eq_ignore_ascii_case("gzip") || coding.eq_ignore_ascii_case("x-gzip") {
                self.named = wanted;
            } else if coding == "*" {
                self.any = wanted;
            }
        }
    }

    /// True when a gzip response may be sent.
    pub(super) fn accepts(self) -> bool {
        self.named.or(self.any).unwrap_or(false)
    }
}

/// `q=` of 0 to 1 with at most three decimals; none means 1, a malformed one is taken as 0: identity is
/// what every client understands.
fn weight_is_positive(parameters: &str) -> bool {
    let parameters = parameters.trim_matches([' ', '\t']);
    if parameters.is_empty() {
        return true;
    }
    let Some(weight) = parameters.strip_prefix("q=").or_else(|| parameters.strip_prefix("Q=")) else {
        return false;
    };
    let (whole, decimals) = weight.split_once('.').unwrap_or((weight, ""));
    let digits = decimals.len() <= 3 && decimals.bytes().all(|byte| byte.is_ascii_digit());
    match whole {
        "1" => digits && decimals.bytes().all(|byte| byte == b'0'),
        "0" => digits && decimals.bytes().any(|byte| byte != b'0'),
        _ => false,
    }
}

/// Reads `Content-Length`: digits only. A list, even of equal values, is what smuggling is made of.
pub(super) fn content_length(value: &str) -> Result<u64, Refusal> {
    if value.is_empty() || !value.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Refusal::LengthMalformed);
    }
    match value.parse() {
        Ok(length) if length <= HTTP_BODY_BYTES_MAX => Ok(length),
        _ => Err(Refusal::BodyTooLarge),
    }
}

/// `host[:port]` without user information, path or white space (RFC 9112, section 3.2).
pub(super) fn host_is_valid(host: &str) -> bool {
    let allowed = |byte: u8| {
        byte.is_ascii_alphanumeric()
            || matches!(byte, b'.' | b'-' | b'_' | b'~' | b'%' | b':' | b'[' | b']')
            || matches!(byte, b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b';' | b'=')
    };
    host.bytes().all(allowed)
}

/// The credentials of `Bearer credentials`; the scheme's name has no case.
pub(super) fn bearer(value: &str) -> Option<&str> {
    let (scheme, credentials) = value.split_once(' ')?;
    let credentials = credentials.trim_matches(' ');
    (scheme.eq_ignore_ascii_case("bearer") && !credentials.is_empty()).then_some(credentials)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_accepted_by_name_before_the_wildcard() {
        for (fields, accepts) in [
            (&["gzip, deflate, br"][..], true),
            (&["deflate", "GZIP"], true),
            (&["x-gzip"], true),
            (&["*"], true),
            (&["gzip;q=0"], false),
            (&["gzip;q=0.000, *"], false),
            (&["*;q=0, gzip"], true),
            (&["gzip ; q=0.001"], true),
            (&["gzip;Q=1.000"], true),
            (&["gzip;q=1.5"], false),
            (&["gzip;q=0.0001"], false),
            (&["gzip;q="], false),
            (&["gzip;level=9"], false),
            (&["identity"], false),
            (&["gzipped, ungzip"], false),
            (&[""], false),
            (&[",, ,gzip,"], true),
            (&[], false),
        ] {
            let mut preference = GzipPreference::default();
            fields.iter().for_each(|field| preference.add(field));
            assert_eq!(preference.accepts(), accepts, "{fields:?}");
        }
    }

    #[test]
    fn bearer_credentials_are_found_whatever_the_case_of_the_scheme() {
        for (value, credentials) in [
            ("Bearer abc", Some("abc")),
            ("bEARER  abc ", Some("abc")),
            ("Basic abc", None),
            ("Bearer", None),
            ("Bearer ", None),
            ("Bearerabc", None),
        ] {
            assert_eq!(bearer(value), credentials, "{value}");
        }
    }
}
