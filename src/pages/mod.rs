//! The HTML pages: `/` lists what is live, `/watch/APP/KEY` plays it.
//!
//! Plain HTML with a few static files beside it, all compiled in. Nothing is inline, so that the
//! Content-Security-Policy needs neither nonce nor hash; what a script must know stands in `data-`
//! attributes. Every text that is put into a page is escaped, allow-listed or not.

mod assets;
mod script;

pub use assets::{Asset, asset, asset_paths};
pub use script::{HLS_JS_INTEGRITY, HLS_JS_PATH, HLS_JS_URL, PlayerScript, ScriptError};

use crate::media::StreamName;
use assets::{FINDINGS_SCRIPT, INDEX_SCRIPT, SERVER_SCRIPT, STYLE, WATCH_SCRIPT};

/// What the index page says about publishing.
#[derive(Debug, Clone, Copy)]
pub struct Publishing {
    /// Port of the RTMP listener.
    pub rtmp_port: u16,
    /// True when no token is asked for (`--open`).
    pub open: bool,
}

/// The page at `/`, UTF-8: what is live, and how to publish. Its script polls `GET /api/v1/streams`.
pub fn index_html(publishing: Publishing) -> String {
    let port = publishing.rtmp_port;
    let (query, token_line) = if publishing.open {
        ("", "This server lets anyone publish: no token is asked for.")
    } else {
        (
            "?token=TOKEN",
            "TOKEN is made by <code>rapidrtmp token</code> or <code>POST /api/v1/publish</code>.",
        )
    };
    let body = format!(
        r#"<main data-rtmp-port="{port}" data-query="{query}">
<h1>RapidRTMP</h1>
<section aria-labelledby="live"><h2 id="live">Live</h2>
<p id="message" role="status">Asking the server …</p>
<ul id="streams"></ul></section>
<section aria-labelledby="publish"><h2 id="publish">Publish</h2>
<p>KEY is the stream's public name: it stands in its address. {token_line}</p>
<h3>OBS</h3>
<p>Settings, Stream: service “Custom…”. Settings, Output: rate control CBR, keyframe interval 1 or 2 s, tune “zerolatency”.</p>
<dl><dt>Server</dt><dd><code id="obs-server">rtmp://HOST/live</code></dd>
<dt>Stream key</dt><dd><code>KEY{query}</code></dd></dl>
<h3>ffmpeg</h3>
<pre id="ffmpeg">ffmpeg -re -i FILE -c:v libx264 -preset veryfast -tune zerolatency -g 60 -c:a aac -f flv "rtmp://HOST/live/KEY{query}"</pre>
</section>
</main>
<noscript>This page needs JavaScript to list what is live; /watch/live/KEY plays a stream.</noscript>
"#
    );
    page("RapidRTMP", &body, &format!("<script src=\"{}\" defer></script>", INDEX_SCRIPT.path()))
}

/// The page at `/watch/APP/KEY`, UTF-8: plays `/APP/KEY/index.m3u8`. Tests find `window.player` (the video
/// element), `window.hls` (while hls.js plays) and `window.stats` there.
pub fn watch_html(name: &StreamName, script: &PlayerScript) -> String {
    let name = escape(name.as_str());
    let body = format!(
        r#"<main class="watch" data-name="{name}" data-src="/{name}/index.m3u8">
<header><a href="/">RapidRTMP</a><h1>{name}</h1><span id="state" class="state">waiting</span></header>
<div class="stage">
<video id="player" muted autoplay playsinline controls></video>
<p id="message" role="status">Starting …</p>
<div class="buttons"><button id="unmute" type="button" hidden>Turn sound on</button>
<button id="live" type="button" hidden>Go to live</button></div>
</div>
<canvas id="graph" role="img" aria-label="Latency over the last two minutes"></canvas>
<dl class="stats">
<div><dt>Latency</dt><dd id="latency">–</dd></div>
<div><dt>Target</dt><dd id="target">–</dd></div>
<div><dt>Behind the clock</dt><dd id="behind">–</dd></div>
<div><dt>Buffer</dt><dd id="buffer">–</dd></div>
<div><dt>Stalls</dt><dd id="stalls">–</dd></div>
<div><dt>Dropped frames</dt><dd id="dropped">–</dd></div>
<div><dt>Parts loaded</dt><dd id="parts">–</dd></div>
<div><dt>Restarts</dt><dd id="restarts">–</dd></div>
</dl>
<details id="encoder"><summary>Encoder</summary>
<form id="admin" hidden><label for="admin-key">Admin key</label> <input id="admin-key" type="password" autocomplete="off" required>
<button type="submit">Show findings</button></form>
<p id="findings-message" role="status" hidden></p>
<ul id="findings"></ul></details>
<details id="server"><summary>Server</summary>
<dl class="stats">
<div><dt>Frame to part, p50 / p99</dt><dd id="frame-to-part">–</dd></div>
<div><dt>Part to last viewer</dt><dd id="part-to-viewer">–</dd></div>
<div><dt>Between shards</dt><dd id="between-shards">–</dd></div>
</dl></details>
</main>
<noscript>This page needs JavaScript; <a href="/{name}/index.m3u8">the playlist</a> plays in Safari without.</noscript>
"#
    );
    let own = [&WATCH_SCRIPT, &FINDINGS_SCRIPT, &SERVER_SCRIPT];
    let own = own.map(|asset| format!("\n<script src=\"{}\" defer></script>", asset.path())).concat();
    let scripts = format!("{}{own}", script.element());
    page(&format!("{name} · RapidRTMP"), &body, &scripts)
}

/// The Content-Security-Policy of both pages: what they load, and nothing else. hls.js transmuxes in a worker
/// made from a blob and plays a blob through MSE.
pub fn content_security_policy(script: &PlayerScript) -> String {
    let script_sources = script.csp_source().map_or_else(|| "'self'".into(), |url| format!("'self' {url}"));
    format!(
        "default-src 'none'; script-src {script_sources}; style-src 'self'; img-src data:; connect-src 'self'; \
         media-src 'self' blob:; worker-src blob:; base-uri 'none'; form-action 'none'"
    )
}

/// `title` is HTML already, as are the others. The icon is empty so that browsers do not ask for one.
fn page(title: &str, body: &str, scripts: &str) -> String {
    let style = STYLE.path();
    format!(
        r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="{style}">
{scripts}
</head>
<body>
{body}</body>
</html>
"#
    )
}

/// Text for an element or a quoted attribute.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values of an attribute in a page.
    fn attributes<'a>(html: &'a str, name: &str) -> Vec<&'a str> {
        let start = format!(" {name}=\"");
        html.split(start.as_str()).skip(1).map(|rest| rest.split('"').next().unwrap()).collect()
    }

    fn pages() -> [String; 3] {
        let name = StreamName::new("live/two", "a.b_c-9").unwrap();
        [
            index_html(Publishing { rtmp_port: 1935, open: false }),
            watch_html(&name, &PlayerScript::default()),
            watch_html(&name, &PlayerScript::local(b"the player")),
        ]
    }

    #[test]
    fn every_file_a_page_names_exists() {
        for html in pages() {
            let sources = attributes(&html, "src");
            assert!(!sources.is_empty());
            for path in sources.into_iter().chain(attributes(&html, "href")) {
                let known = asset(path).is_some()
                    || path == "/"
                    || path == "data:,"
                    || path == "/live/two/a.b_c-9/index.m3u8"
                    || path == HLS_JS_URL
                    || path.starts_with("/assets/hls.js?");
                assert!(known, "{path}");
            }
        }
    }

    /// An inline script, style or handler would not run under our policy.
    #[test]
    fn nothing_is_inline() {
        for html in pages() {
            assert_eq!(html.matches("<script").count(), html.matches("<script src=\"").count());
            for inline in ["<style", " style=\"", " onclick", " onload", "javascript:"] {
                assert!(!html.contains(inline), "{inline}");
            }
        }
    }

    #[test]
    fn the_watch_page_names_its_stream_and_its_player() {
        let html = &pages()[1];
        assert_eq!(attributes(html, "data-src"), ["/live/two/a.b_c-9/index.m3u8"]);
        assert_eq!(attributes(html, "data-name"), ["live/two/a.b_c-9"]);
        assert_eq!(attributes(html, "integrity"), [HLS_JS_INTEGRITY]);
        assert!(html.contains("<video id=\"player\" muted autoplay playsinline controls>"));
    }

    #[test]
    fn what_could_end_an_element_or_attribute_is_escaped() {
        assert_eq!(escape("<b a='1' b=\"2\">&"), "&lt;b a=&#39;1&#39; b=&quot;2&quot;&gt;&amp;");
        assert_eq!(escape("live/demo"), "live/demo");
    }

    #[test]
    fn a_token_is_asked_for_unless_the_server_is_open() {
        let page = |open| index_html(Publishing { rtmp_port: 1936, open });
        assert!(page(false).contains("KEY?token=TOKEN\""));
        assert!(!page(true).contains("token="));
        assert_eq!(attributes(&page(false), "data-rtmp-port"), ["1936"]);
    }

    #[test]
    fn the_policy_allows_the_player_and_no_other_host() {
        let remote = content_security_policy(&PlayerScript::default());
        assert!(remote.contains(&format!("script-src 'self' {HLS_JS_URL};")));
        let local = content_security_policy(&PlayerScript::local(b""));
        assert!(local.contains("script-src 'self';"));
        assert!(!remote.contains("unsafe"));
    }
}
