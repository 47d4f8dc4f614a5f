//! Where the watch page's player script comes from: a public address with its hash, or a file of ours.

use sha2::{Digest, Sha256};

use super::assets::hex;
use super::escape;

/// Default of `pages.hls_js_url`: hls.js 1.7.4 as npm has it, on a public mirror of npm.
pub const HLS_JS_URL: &str = "https://cdn.jsdelivr.net/npm/hls.js@1.7.4/dist/hls.min.js";
/// Default of `pages.hls_js_integrity`: SHA-384 of `dist/hls.min.js` (623,915 bytes) in npm's package,
/// computed 2026-11-22.
pub const HLS_JS_INTEGRITY: &str = "sha384-p9vgU/7IYJWd3I4STrtqxqR/2cAQlhIX7D/HrTnIMEjjcUox165b7se7sxmm3zDg";
/// Where the file that `pages.hls_js_file` names is served. It is the one static file that
/// [`super::asset`] does not hold.
pub const HLS_JS_PATH: &str = "/assets/hls.js";

/// Base64 characters of a SHA-256, SHA-384 and SHA-512.
const INTEGRITY_FORMS: [(&str, usize); 3] = [("sha256-", 44), ("sha384-", 64), ("sha512-", 88)];

/// The player script, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlayerScript {
    url: String,
    integrity: String,
}

/// A setting that is no script address or no integrity value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScriptError {
    /// Neither http(s) nor a path of ours, or a character that has no place in a URL or policy.
    #[error("{0:?} is not an http:// or https:// URL, nor a path beginning with one slash")]
    Url(String),
    /// Not one hash in the form that browsers know.
    #[error("{0:?} is not sha256-, sha384- or sha512- and the hash in base64")]
    Integrity(String),
}

impl PlayerScript {
    /// From `pages.hls_js_url` and `pages.hls_js_integrity`; without the latter (empty) the browser checks
    /// nothing.
    ///
    /// # Errors
    /// [`ScriptError`] when either is malformed.
    pub fn remote(url: &str, integrity: &str) -> Result<Self, ScriptError> {
        let plain = |c: u8| c.is_ascii_alphanumeric() || b"-._~:/?#[]@!$&()*+=%".contains(&c);
        let host = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
        let path = url.strip_prefix('/').filter(|path| !path.starts_with('/'));
        if !url.bytes().all(plain) || host.or(path).is_none_or(str::is_empty) {
            return Err(ScriptError::Url(url.into()));
        }
        if !integrity.is_empty() && !is_integrity(integrity) {
            return Err(ScriptError::Integrity(integrity.into()));
        }
        Ok(Self { url: url.into(), integrity: integrity.into() })
    }

    /// A file that we serve at [`HLS_JS_PATH`]. Its hash stands in the query, so that it may be cached for
    /// ever.
    pub fn local(file: &[u8]) -> Self {
        let hash = hex(&Sha256::digest(file)[..8]);
        Self { url: format!("{HLS_JS_PATH}?{hash}"), integrity: String::new() }
    }

    /// The script element.
    pub(super) fn element(&self) -> String {
        let url = escape(&self.url);
        if self.integrity.is_empty() {
            return format!("<script src=\"{url}\" defer></script>");
        }
        let integrity = escape(&self.integrity);
        format!("<script src=\"{url}\" integrity=\"{integrity}\" crossorigin=\"anonymous\" defer></script>")
    }

    /// The URL as a source of a Content-Security-Policy, which has no query; `None` for our own.
    pub(super) fn csp_source(&self) -> Option<&str> {
        let end = self.url.find(['?', '#']).unwrap_or(self.url.len());
        (!self.url.starts_with('/')).then_some(&self.url[..end])
    }
}

/// The built-in defaults.
impl Default for PlayerScript {
    fn default() -> Self {
        Self { url: HLS_JS_URL.into(), integrity: HLS_JS_INTEGRITY.into() }
    }
}

fn is_integrity(text: &str) -> bool {
    let base64 = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'+' | b'/' | b'=');
    INTEGRITY_FORMS.iter().any(|(prefix, characters)| {
        text.strip_prefix(prefix).is_some_and(|hash| hash.len() == *characters && hash.bytes().all(base64))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid() {
        assert_eq!(PlayerScript::remote(HLS_JS_URL, HLS_JS_INTEGRITY), Ok(PlayerScript::default()));
    }

    #[test]
    fn addresses_that_would_reach_beyond_their_place_are_refused() {
        for url in ["https://a.example/h.js", "http://a:8000/h.js?v=1", "/own/h.js", "https://[::1]/h.js"] {
            assert!(PlayerScript::remote(url, "").is_ok(), "{url}");
        }
        for url in [
            "",
            "/",
            "https://",
            "//a.example/h.js",
            "h.js",
            "javascript:alert(1)",
            "data:,x",
            "https://a/h.js; script-src *",
            "https://a/h.js,x",
            "https://a/\"><script>",
            "https://a/h.js 'unsafe-inline'",
        ] {
            assert_eq!(PlayerScript::remote(url, ""), Err(ScriptError::Url(url.into())), "{url}");
        }
        for integrity in ["sha384-short", "md5-AAAA", &HLS_JS_INTEGRITY[7..], &format!("{HLS_JS_INTEGRITY} ")]
        {
            assert!(PlayerScript::remote(HLS_JS_URL, integrity).is_err(), "{integrity}");
        }
    }

    #[test]
    fn a_policy_source_has_no_query() {
        let script = PlayerScript::remote("https://a.example/h.js?v=1", "").unwrap();
        assert_eq!(script.csp_source(), Some("https://a.example/h.js"));
        assert_eq!(PlayerScript::local(b"x").csp_source(), None);
    }

    #[test]
    fn another_local_file_has_another_url() {
        assert_ne!(PlayerScript::local(b"one"), PlayerScript::local(b"two"));
    }
}
