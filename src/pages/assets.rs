//! The pages' static files, compiled in. The hash of the content stands in the path, so that a browser
//! may keep a file for ever and still never runs an old one.

use std::sync::LazyLock;

use sha2::{Digest, Sha256};

/// A static file.
#[derive(Debug)]
pub struct Asset {
    path: String,
    /// Value of Content-Type.
    pub content_type: &'static str,
    /// Its content.
    pub bytes: &'static [u8],
    /// Value of ETag, with its quotes.
    pub etag: String,
}

/// The style of both pages.
pub(super) static STYLE: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("page", "css", "text/css; charset=utf-8", include_str!("assets/page.css")));
/// The index page's script.
pub(super) static INDEX_SCRIPT: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("index", "js", JAVASCRIPT, include_str!("assets/index.js")));
/// The watch page's script.
pub(super) static WATCH_SCRIPT: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("watch", "js", JAVASCRIPT, include_str!("assets/watch.js")));
/// The server's own figures on the watch page.
pub(super) static SERVER_SCRIPT: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("server", "js", JAVASCRIPT, include_str!("assets/server.js")));
/// What was found of the encoder, on the watch page.
pub(super) static FINDINGS_SCRIPT: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("findings", "js", JAVASCRIPT, include_str!("assets/findings.js")));

const JAVASCRIPT: &str = "text/javascript; charset=utf-8";

impl Asset {
    fn new(name: &str, extension: &str, content_type: &'static str, content: &'static str) -> Self {
        let hash = hex(&Sha256::digest(content)[..8]);
        let path = format!("/assets/{name}.{hash}.{extension}");
        Self { path, content_type, bytes: content.as_bytes(), etag: format!("\"{hash}\"") }
    }

    /// Its path on the server: immutable, cacheable for a year.
    pub fn path(&self) -> &str {
        &self.path
    }
}

fn all() -> [&'static Asset; 5] {
    [&STYLE, &INDEX_SCRIPT, &WATCH_SCRIPT, &SERVER_SCRIPT, &FINDINGS_SCRIPT]
}

/// The file at a path as the pages name it (`/assets/watch.0011223344556677.js`, no query); `None` for all
/// others, and for one of another version.
pub fn asset(path: &str) -> Option<&'static Asset> {
    all().into_iter().find(|asset| asset.path == path)
}

/// Every path that [`asset`] answers.
pub fn asset_paths() -> impl Iterator<Item = &'static str> {
    all().into_iter().map(Asset::path)
}

/// Lower-case hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_its_content() {
        for path in asset_paths() {
            let asset = asset(path).unwrap();
            let hash = hex(&Sha256::digest(asset.bytes)[..8]);
            assert!(path.contains(&hash), "{path}");
            assert_eq!(asset.etag, format!("\"{hash}\""));
        }
        assert_eq!(asset_paths().count(), 5);
    }

    #[test]
    fn no_other_path_is_answered() {
        for path in ["", "/assets/", "/assets/watch.js", "/assets/../watch.js", "/assets/hls.js"] {
            assert!(asset(path).is_none(), "{path}");
        }
    }
}
