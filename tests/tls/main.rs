//! HTTPS and RTMPS over real sockets, with one shard and with two: the same answers as without TLS, certificates by
//! name and renewed, resumption, and peers that do what they should not.

#[path = "../support/rtmp_publisher.rs"]
mod rtmp_publisher;
#[path = "../support/mod.rs"]
mod support;

mod certificates;
mod peers;
mod publishers;
mod viewers;

use rtmp_publisher::Running;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, SupportedProtocolVersion};
use std::sync::Arc;
use std::time::Duration;
use support::http::Client;
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
const BOTH: &[&SupportedProtocolVersion] = &[&TLS13, &TLS12];

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
        let server = Server::start(&options(shards, &identity, ""));
        let publisher = Running::start(server.rtmp(), "stage");
        let path = "/live/stage/index.m3u8";
        let paths = wait_until_playable(&server.http().to_string(), path, PLAYABLE_WITHIN).media_paths;
        Self { server, identity, _publisher: publisher, paths }
    }

    fn config(&self) -> Arc<ClientConfig> {
        client_config(&[&self.identity], &["http/1.1"], BOTH)
    }

    fn client(&self) -> Client {
        client(&self.server, &self.config())
    }
}

fn options(shards: usize, identity: &Identity, further: &str) -> Options {
    let config = format!(
        "[pages]\nhls_js_file = \"DIR/large\"\n[https]\ncert_file = \"DIR/own.pem\"\nkey_file = \"DIR/own.key\"\n{further}\n"
    );
    Options {
        shards,
        latency: Some("ultra"),
        config: Some(config),
        arguments: vec!["--https".into(), "127.0.0.1:0".into()],
        files: vec![
            ("own.pem".into(), identity.chain.clone()),
            ("own.key".into(), identity.key.clone()),
            ("large".into(), large()),
        ],
        ..Options::default()
    }
}

fn client(server: &Server, config: &Arc<ClientConfig>) -> Client {
    Client::over_tls(connect(server.https(), "localhost", config).expect("a handshake"))
}

/// Text in which a lost or doubled piece shows.
fn large() -> String {
    (0..LARGE_BYTES / 16).map(|line| format!("{line:015}\n")).collect()
}
