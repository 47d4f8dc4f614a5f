//! Black-box conformance of an LL-HLS origin over real sockets, each assertion by its number
//! (`assertions.rs`). With `CONFORMANCE_URL=http://HOST:PORT/PATH.m3u8` against any server that plays;
//! otherwise against our own with one shard and with two, fed by ffmpeg.
//!
//! `CONFORMANCE_SECONDS` observes the steady stream for longer; `CONFORMANCE_STRICT=1` takes the time bounds as they are written, for a machine that does nothing else.

#[path = "../support/mod.rs"]
mod support;

mod assertions;
mod delivery;
mod irregular;
mod lifecycle;
mod media;
mod observer;
mod reload;
mod report;
mod transport;

use report::Report;
use std::io::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use support::http::Client;
use support::publisher::{Playable, Source, wait_until_playable};
use support::server::{Options, Server};
use support::tls::Identity;

/// What a shared machine of two cores and an unoptimized server may add to any answer.
const NOISE: Duration =
    if option_env!("CONFORMANCE_STRICT").is_some() { Duration::ZERO } else { Duration::from_millis(150) };
const PLAYABLE_WITHIN: Duration = Duration::from_secs(20);
/// One run at a time: they measure.
static MACHINE: Mutex<()> = Mutex::new(());

/// Assertions that need what this suite does not have.
const ELSEWHERE: [(u8, &str); 1] = [(80, "tests/players, in a real browser")];
/// Assertions that need to know whom to trust over TLS.
const OF_TLS: [u8; 3] = [58, 59, 62];
/// Assertions that need control over the publisher.
const OF_PUBLISHERS: [u8; 15] = [32, 33, 35, 44, 51, 70, 71, 72, 73, 74, 75, 76, 77, 78, 79];

/// A multivariant playlist and where it is.
struct Target {
    /// `HOST:PORT`.
    http: String,
    path: String,
    server: Option<Server>,
}

impl Target {
    fn at(http: String, path: String) -> Self {
        Self { http, path, server: None }
    }

    fn client(&self) -> Client {
        Client::connect(self.http.as_str()).unwrap_or_else(|error| panic!("{}: {error}", self.http))
    }

    fn log(&self) -> String {
        self.server.as_ref().map_or_else(String::new, Server::log)
    }
}

#[test]
fn one_shard_conforms() {
    own_server(1, "low", "");
}

#[test]
fn two_shards_conform() {
    own_server(2, "ultra", "[server]\nstate_dir = \"DIR/state\"\n");
}

#[test]
fn the_server_at_a_given_address_conforms() {
    let Ok(url) = std::env::var("CONFORMANCE_URL") else { return };
    let rest = url.strip_prefix("http://").expect("CONFORMANCE_URL begins with http://");
    let (http, path) = rest.split_once('/').expect("CONFORMANCE_URL has a path");
    let http = if http.contains(':') { http.to_owned() } else { format!("{http}:80") };
    let target = Target::at(http, format!("/{path}"));
    let report = Report::default();
    let playable = wait_until_playable(&target.http, &target.path, PLAYABLE_WITHIN);
    steady_stream(&target, &report, &playable, observed());
    for assertion in OF_PUBLISHERS {
        report.skip(assertion, "needs control over the publisher");
    }
    for assertion in OF_TLS {
        report.skip(assertion, "only against our own server");
    }
    conclude(&report, &url);
}

fn own_server(shards: usize, preset: &'static str, config: &str) {
    if std::env::var_os("CONFORMANCE_URL").is_some() {
        return;
    }
    let _alone = MACHINE.lock();
    let report = Report::default();
    let identity = Identity::new(&["localhost"]);
    let tls = "[https]\naddr = \"127.0.0.1:0\"\ncert_file = \"DIR/own.pem\"\nkey_file = \"DIR/own.key\"\n";
    let options = Options {
        shards,
        latency: Some(preset),
        config: Some(format!("{config}{tls}")),
        files: vec![("own.pem".into(), identity.chain.clone()), ("own.key".into(), identity.key.clone())],
        ..Options::default()
    };
    let server = Server::start(&options);
    let http = server.http().to_string();
    let url = server.publish_url("main");
    let mut target = Target { http, path: "/live/main/index.m3u8".to_owned(), server: Some(server) };
    let mut publisher = None;
    let playable = lifecycle::begin(&target, &report, || publisher = Some(Source::default().publish(&url)));
    std::thread::scope(|scope| {
        let server = target.server.as_ref().expect("our own server");
        scope.spawn(|| lifecycle::killed_and_back(server, &report));
        scope.spawn(|| lifecycle::stopped(server, &report));
        steady_stream(&target, &report, &playable, observed());
        transport::run(server, &identity, &report, &playable.media_paths);
    });
    std::thread::scope(|scope| {
        let server = target.server.as_ref().expect("our own server");
        scope.spawn(|| lifecycle::long_gop(server, &report));
        scope.spawn(|| irregular::run(server, &report));
        lifecycle::one_track(server, &report);
    });
    drop(publisher);
    if let Some(server) = &mut target.server {
        lifecycle::restarted(server, &report);
    }
    conclude(&report, &format!("{shards} shards, preset {preset}"));
}

/// How long a steady stream is observed at least.
fn observed() -> Duration {
    let seconds = std::env::var("CONFORMANCE_SECONDS").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(seconds.unwrap_or(30))
}

/// All that can be seen of a stream that just runs: at least for this long.
fn steady_stream(target: &Target, report: &Report, playable: &Playable, at_least: Duration) {
    let began = Instant::now();
    let stop = AtomicBool::new(false);
    let paths = &playable.media_paths;
    let seen: Vec<observer::Seen> = std::thread::scope(|scope| {
        let observers: Vec<_> =
            paths.iter().map(|path| scope.spawn(|| observer::observe(target, path, &stop))).collect();
        // The observers stop even if an experiment panics.
        let experiments = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            delivery::run(target, report, paths);
            reload::run(target, report, &paths[0]);
            std::thread::sleep(at_least.saturating_sub(began.elapsed()));
            delivery::steady(target, report, paths);
        }));
        stop.store(true, Ordering::Relaxed);
        let seen =
            observers.into_iter().map(|observer| observer.join().expect("an observer's thread")).collect();
        if let Err(panic) = experiments {
            std::panic::resume_unwind(panic);
        }
        seen
    });
    for rendition in &seen {
        rendition.report(report);
        rendition.report_cadence(report, NOISE);
        rendition.report_retention(report);
        media::check(rendition, report);
    }
    media::drift(&seen, report);
    media::codecs(&playable.multivariant, &target.path, &seen, report);
}

/// Writes the report, and fails if an assertion did.
fn conclude(report: &Report, title: &str) {
    for (assertion, reason) in ELSEWHERE {
        report.skip(assertion, reason);
    }
    let (text, failed) = report.finish(title);
    // Past the test harness, which keeps the output of a test that passes to itself.
    let mut stderr = std::io::stderr().lock();
    stderr.write_all(text.as_bytes()).expect("writes the report");
    assert!(failed == 0, "{failed} assertions failed");
}
