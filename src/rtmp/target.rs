//! What a publisher asks for: application, key, token and role, out of the application name, the stream name and
//! tcUrl, wherever its encoder put them.
//!
//! Encoders split one URL in different ways: ffmpeg takes up to two path segments as the application, OBS puts
//! server and key where the user typed them, others leave the stream name empty. So the path is put together
//! again and split from the right.

use std::fmt;

use crate::limits::RTMP_TOKEN_CHARS_MAX;
use crate::media::{NameError, StreamName};

/// The application of a publisher that names only a key.
const APP_DEFAULT: &str = "live";
/// What Flash Media Live Encoder adds to the application.
const DEFAULT_INSTANCE: &str = "_definst_";

/// A publisher's secret. It is never printed: `Debug` hides it and there is no `Display`.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(Box<str>);

impl Token {
    /// The secret, for whoever verifies it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

/// Which of the two publishers of one key this is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Role {
    /// The one that is on air when both are well; what a publisher is that says nothing.
    #[default]
    Primary,
    /// The one that is held ready.
    Backup,
}

impl Role {
    /// As publishers say it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Primary => "primary",
            Self::Backup => "backup",
        }
    }
}

/// What a publisher asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) name: StreamName,
    pub(super) token: Option<Token>,
    pub(super) role: Role,
}

/// Why what a publisher asked for cannot be a stream. Nothing of the input is repeated in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// There is an application, but no key.
    #[error("no stream key: publish to rtmp://HOST/live/KEY")]
    MissingKey,
    /// A percent escape that is no byte, or bytes that are no UTF-8.
    #[error("the name or token holds a broken percent escape")]
    Escape,
    /// A name that is not allowed.
    #[error("{0}")]
    Name(#[from] NameError),
    /// A token longer than any that is given out.
    #[error("the token has {found} characters; {RTMP_TOKEN_CHARS_MAX} are allowed")]
    TokenTooLong {
        /// Characters found.
        found: usize,
    },
    /// A role that there is not.
    #[error("the role is neither primary nor backup: publish to rtmp://HOST/live/KEY?role=backup")]
    Role,
}

/// What `app`, `stream_name` (as in connect and publish) and `tc_url` ask for. The first token counts, and the first
/// role, in the order stream name, application, tcUrl.
///
/// # Errors
/// [`TargetError`] when there is no key, or name, token or role break a rule.
pub(super) fn find_target(app: &str, stream_name: &str, tc_url: &str) -> Result<Target, TargetError> {
    let (app_path, app_query) = split_query(app);
    let (name_path, name_query) = split_query(stream_name);
    let (_, url_query) = split_query(tc_url);

    // Split before decoding: an escaped slash is never a separator, and StreamName refuses it.
    let segments = app_path.split('/').chain(name_path.split('/'));
    let mut segments: Vec<&str> =
        segments.filter(|segment| !segment.is_empty() && *segment != DEFAULT_INSTANCE).collect();
    let key = segments.pop().ok_or(TargetError::MissingKey)?;
    if segments.is_empty() {
        // `rtmp://host/live` is a forgotten key, `rtmp://host/` with a key is not.
        if name_path.trim_matches('/').is_empty() {
            return Err(TargetError::MissingKey);
        }
        segments.push(APP_DEFAULT);
    }
    let app = decode(&segments.join("/"))?;
    if app.split('/').count() > segments.len() {
        return Err(NameError::Character.into());
    }
    let name = StreamName::new(&app, &decode(key)?)?;

    let queries = [name_query, app_query, url_query];
    let parameter = |wanted| queries.iter().find_map(|query| find_parameter(query, wanted));
    let role = match parameter("role") {
        None => Role::default(),
        Some("primary") => Role::Primary,
        Some("backup") => Role::Backup,
        Some(_) => return Err(TargetError::Role),
    };
    let token = parameter("token").map(decode).transpose()?;
    match token {
        Some(token) if token.len() > RTMP_TOKEN_CHARS_MAX => {
            Err(TargetError::TokenTooLong { found: token.len() })
        }
        token => Ok(Target { name, token: token.map(|token| Token(token.into())), role }),
    }
}

/// Path and query; some senders write the query behind a `#`, or the whole in quotes.
fn split_query(text: &str) -> (&str, &str) {
    let text = text.trim_matches(['\'', '"', ' ']);
    text.split_once(['?', '#']).unwrap_or((text, ""))
}

/// A parameter wherever it stands in the query: some clients repeat the `?` for a second parameter.
fn find_parameter<'a>(query: &'a str, wanted: &str) -> Option<&'a str> {
    let mut parameters = query.split(['&', '?', '#']).filter_map(|parameter| parameter.split_once('='));
    parameters.find(|(name, value)| *name == wanted && !value.is_empty()).map(|(_, value)| value)
}

/// Undoes percent escapes, once.
fn decode(text: &str) -> Result<String, TargetError> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => {
                let mut digit = || bytes.next().and_then(|digit| char::from(digit).to_digit(16));
                let (high, low) = digit().zip(digit()).ok_or(TargetError::Escape)?;
                (high << 4 | low) as u8
            }
            byte => byte,
        });
    }
    String::from_utf8(decoded).map_err(|_| TargetError::Escape)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_application_key_and_token_wherever_encoders_put_them() {
        for (app, name, tc_url, expected, token) in [
            ("live", "key", "rtmp://h/live", "live/key", None),
            ("live", "key?token=a", "", "live/key", Some("a")),
            ("live/app2", "key1?token=a&x=1", "rtmp://h/live/app2", "live/app2/key1", Some("a")),
            ("live?token=a", "k", "rtmp://h/live?token=a", "live/k", Some("a")),
            ("live", "k", "rtmp://h/live?token=url", "live/k", Some("url")),
            ("live?token=app", "k?token=name", "rtmp://h/live?token=url", "live/k", Some("name")),
            ("live?token=app", "k?token=", "rtmp://h/live?token=url", "live/k", Some("app")),
            ("live/key", "", "", "live/key", None),
            ("live/key?token=a", "", "", "live/key", Some("a")),
            ("", "key", "", "live/key", None),
            ("/", "key", "", "live/key", None),
            ("", "other/key", "", "other/key", None),
            ("live/", "/key/", "", "live/key", None),
            ("live/_definst_", "key", "", "live/key", None),
            ("'live'", "\"key?token=a\"", "'rtmp://h/live?token=b'", "live/key", Some("a")),
            ("live", "app2/key", "", "live/app2/key", None),
            ("live", "k%2Dey?token=a%2Bb%3D+", "", "live/k-ey", Some("a+b=+")),
            ("live", "k#token=a", "", "live/k", Some("a")),
            ("live", "k?x=1?token=a", "", "live/k", Some("a")),
        ] {
            let found = find_target(app, name, tc_url).unwrap();
            let secret = found.token.as_ref().map(Token::expose);
            assert_eq!((found.name.as_str(), secret), (expected, token), "{app} {name}");
            assert_eq!(found.role, Role::Primary, "who says nothing, {app} {name}");
        }
    }

    /// Predecessor's defect 9: a token that was not the first parameter was taken for none.
    #[test]
    fn defect_9_the_token_may_stand_anywhere_in_the_query() {
        for name in ["k?a=1&token=x", "k?token=x&a=1", "k?a=1&b&token=x&c=", "k?mytoken=y&token=x"] {
            let token = find_target("live", name, "").unwrap().token;
            assert_eq!(token.unwrap().expose(), "x", "{name}");
        }
        for name in ["k?mytoken=x", "k?token", "k?token=", "token=x"] {
            assert_eq!(find_target("live", name, "").ok().and_then(|target| target.token), None, "{name}");
        }
    }

    #[test]
    fn the_role_may_stand_wherever_the_token_may_and_has_two_values() {
        for (app, name, tc_url, role) in [
            ("live", "k?role=backup", "", Role::Backup),
            ("live", "k?token=a&role=backup", "", Role::Backup),
            ("live", "k?role=backup?token=a", "", Role::Backup),
            ("live?role=backup", "k?token=a", "", Role::Backup),
            ("live", "k", "rtmp://h/live?role=backup", Role::Backup),
            ("live?role=backup", "k?role=primary", "", Role::Primary),
            ("live?role=backup", "k?role=", "", Role::Backup),
            ("live", "k?parole=backup", "", Role::Primary),
        ] {
            assert_eq!(find_target(app, name, tc_url).unwrap().role, role, "{app} {name} {tc_url}");
        }
        for role in ["main", "Backup", "backup1", "%62ackup"] {
            let refused = find_target("live", &format!("k?token=secret&role={role}"), "").err();
            assert_eq!(refused, Some(TargetError::Role), "{role}");
        }
        assert!(TargetError::Role.to_string().contains("neither primary nor backup"));
    }

    #[test]
    fn refuses_what_cannot_be_a_stream() {
        let long = format!("k?token={}", "a".repeat(RTMP_TOKEN_CHARS_MAX + 1));
        for (app, name, error) in [
            ("live", "", TargetError::MissingKey),
            ("live?token=a", "", TargetError::MissingKey),
            ("", "", TargetError::MissingKey),
            ("live", "?token=a", TargetError::MissingKey),
            ("live", "k%", TargetError::Escape),
            ("live", "k%2", TargetError::Escape),
            ("live", "k%zz", TargetError::Escape),
            ("live", "%ff", TargetError::Escape),
            ("live", "a%2Fb", TargetError::Name(NameError::Character)),
            ("a%2Fb", "k", TargetError::Name(NameError::Character)),
            ("live", "..", TargetError::Name(NameError::Character)),
            ("live", "%2e%2e", TargetError::Name(NameError::Character)),
            ("live", "a%00", TargetError::Name(NameError::Character)),
            ("live", "a%5Cb", TargetError::Name(NameError::Character)),
            // Once: what an escape yields is not decoded again.
            ("live", "a%252Fb", TargetError::Name(NameError::Character)),
            ("a/b", "c/k", TargetError::Name(NameError::Segments { found: 3 })),
            ("api", "k", TargetError::Name(NameError::Reserved)),
            ("live", &long, TargetError::TokenTooLong { found: RTMP_TOKEN_CHARS_MAX + 1 }),
        ] {
            assert_eq!(find_target(app, name, "").err(), Some(error), "{app} {name}");
        }
    }

    #[test]
    fn a_token_is_never_printed() {
        let target = find_target("live", "k?token=secret", "").unwrap();
        assert!(!format!("{target:?}").contains("secret"));
    }
}
