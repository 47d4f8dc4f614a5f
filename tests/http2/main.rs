//! HTTP/2 over real sockets, by ALPN and by prior knowledge, with one shard and with two: the same answers
//! as over HTTP/1.1, many at once, in the order of their urgency; and peers that flood, stall or vanish.

#[path = "../support/random.rs"]
mod random;
#[path = "../support/rtmp_publisher.rs"]
mod rtmp_publisher;
#[path = "../support/mod.rs"]
mod support;

mod answers;
mod peers;

use rtmp_publisher::Running;
use rustls::version::TLS13;
use std::time::Duration;
use support::http2::Client;
use support::playlist::{Media, parse_media};
use support::publisher::wait_until_playable;
use support::server::{Options, Server};
use support::tls::{Identity, client_config, connect};

/// Generous: an unoptimized server on a shared machine.
const PLAYABLE_WITHIN: Duration = Duration::from_secs(30);
/// What such a machine may add to any answer.
const NOISE: Duration = Duration::from_secs(3);
/// Bytes of the one large body: more than a socket holds.
const LARGE_BYTES: usize = 12 * 1024 * 1024;
const LARGE: &str = "/assets/hls.js";
const BLOCKED: &str = "rapidrtmp_blocked_requests";

/// A server with a certificate for `localhost`, a stream that plays, and a large file.
struct Stage {
    server: Server,
    identity: Identity,
    _publisher: Running,
    /// Of the video's and the audio's playlist.
    paths: Vec<String>,
}

impl Stage {
    fn start(shards: usize) -> Self {
        let identity = Identity::new(&["localhost"]);
        let config = "[pages]\nhls_js_file = \"DIR/large\"\n[https]\naddr = \"127.0.0.1:0\"\ncert_file = \"DIR/own.pem\"\nkey_file = \"DIR/own.key\"\n";
        let server = Server::start(&Options {
            shards,
            latency: Some("ultra"),
            config: Some(config.into()),
            files: vec![
                ("own.pem".into(), identity.chain.clone()),
                ("own.key".into(), identity.key.clone()),
                ("large".into(), large()),
            ],
            ..Options::default()
        });
        let publisher = Running::start(server.rtmp(), "stage");
        let path = "/live/stage/index.m3u8";
        let paths = wait_until_playable(&server.http().to_string(), path, PLAYABLE_WITHIN).media_paths;
        Self { server, identity, _publisher: publisher, paths }
    }

    fn plain(&self) -> Client {
        Client::plain(self.server.http())
    }

    fn over_tls(&self) -> Client {
        let config = client_config(&[&self.identity], &["h2", "http/1.1"], &[&TLS13]);
        Client::over_tls(connect(self.server.https(), "localhost", &config).expect("a handshake"))
    }

    fn media(&self, path: &str) -> Media {
        parse_media(&self.server.client().get(path).expect("a playlist").text()).expect("a sound playlist")
    }

    /// A target that blocks for a segment or two.
    fn blocked(&self) -> String {
        let last = self.media(&self.paths[0]).segments.last().map_or(0, |segment| segment.media_sequence);
        format!("{}?_HLS_msn={}", self.paths[0], last + 2)
    }

    fn blocked_count(&self) -> f64 {
        self.server.metric(BLOCKED, "").unwrap_or_default()
    }
}

/// Text in which a lost or doubled piece shows.
fn large() -> String {
    (0..LARGE_BYTES / 16).map(|line| format!("{line:015}\n")).collect()
}
