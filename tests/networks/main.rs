//! Publishers behind networks that are no good, with one shard and with two: what viewers are listed stays valid
//! throughout, and the log says in one line what became of the publisher.

#[path = "../support/proxy.rs"]
mod proxy;
#[path = "../support/random.rs"]
mod random;
#[path = "../support/rtmp_publisher.rs"]
mod rtmp_publisher;
#[path = "../support/mod.rs"]
mod support;

mod audience;
mod cuts;
mod lines;

use audience::Audience;
use proxy::{Line, Proxy};
use std::time::Duration;
use support::publisher::wait_until_playable;
use support::server::{Options, Server};

/// Generous: an unoptimized server on a shared machine.
const PLAYABLE_WITHIN: Duration = Duration::from_secs(30);
/// What such a machine may add to any answer.
const NOISE: Duration = Duration::from_secs(3);
/// A phone's line: 80 to 160 ms there and back.
const FAR: Line = Line {
    delay: Duration::from_millis(40),
    jitter: Duration::from_millis(40),
    bytes_per_s: None,
    is_stalled: false,
    cut: None,
};

/// A server, and a way to it.
struct Stage {
    server: Server,
    proxy: Proxy,
}

impl Stage {
    fn start(shards: usize, line: Line, config: &str) -> Self {
        let config = (!config.is_empty()).then(|| config.to_owned());
        let server = Server::start(&Options { shards, latency: Some("ultra"), config, ..Options::default() });
        let proxy = Proxy::start(server.rtmp(), line, shards as u64);
        Self { server, proxy }
    }

    /// Waits until `live/KEY` plays, and watches it from then on.
    fn watch(&self, key: &str) -> Audience {
        let path = format!("/live/{key}/index.m3u8");
        let playable = wait_until_playable(&self.server.http().to_string(), &path, PLAYABLE_WITHIN);
        Audience::start(self.server.http(), playable.media_paths)
    }

    /// Lines of the log that have this in them.
    fn lines(&self, text: &str) -> Vec<String> {
        self.server.log().lines().filter(|line| line.contains(text)).map(str::to_owned).collect()
    }

    fn waits_for_line(&self, text: &str) {
        let told = support::poll_until(NOISE * 4, || (!self.lines(text).is_empty()).then_some(()));
        assert!(told.is_some(), "{text}: {}", self.server.log());
    }

    /// Nothing was worth a warning but what the network did, and nothing panicked.
    fn is_unharmed(&self) {
        for bad in [" WARN ", " ERROR "] {
            let mut lines = self.lines(bad);
            lines.retain(|line| !line.contains("finding="));
            assert_eq!(lines, Vec::<String>::new());
        }
        assert_eq!(self.server.metric("rapidrtmp_panics_total", ""), Some(0.0));
    }
}
