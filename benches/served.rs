//! What the server's one shard spends on connections as they really are, over loopback: a TLS handshake, a
//! playlist, and a hundred blocked reloads of one HTTP/2 connection that a part answers at once.
//!
//! The figure is processor time of the shard's thread, so that clients, which share the machine with it, are
//! not in it; system calls and the passes of the runtime are. The stream is published as the bench goes, one
//! part at a time, so that nothing else happens meanwhile.
//!
//! `cargo bench --bench served`

#[path = "../tests/support/in_process.rs"]
mod in_process;
#[path = "../tests/support/rtmp_publisher.rs"]
mod rtmp_publisher;
#[path = "../tests/support/mod.rs"]
mod support;

use std::{cell::RefCell, fs, path::PathBuf, sync::Arc, thread, time::Duration};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use in_process::InProcess;
use rapidrtmp::config::{Config, Latency};
use rtmp_publisher::RtmpPublisher;
use rustls::{ClientConfig, HandshakeKind, client::Resumption, version::TLS13};
use support::{
    http2,
    playlist::{Media, parse_media},
    publisher::wait_until_playable,
    tls::{client_config, connect},
};

/// Reloads that are open at once on one connection.
const RELOADS_COUNT: usize = 100;
/// Bytes of a picture at 2 Mbit/s.
const PICTURE_BYTES: usize = 8_300;
/// A part at `ultra`: six pictures.
const PART: Duration = Duration::from_millis(200);
/// After a part: the shard is done with it then, and a publisher stays below the messages a second that it may
/// send (`RTMP_MESSAGES_PER_S_MAX`; a part has 16).
const REST: Duration = Duration::from_millis(10);
/// Published before anything is measured: the playlist then has its full length.
const BEFORE: Duration = Duration::from_secs(20);

/// A server of one shard with a stream that goes on when it is told to.
struct Stage {
    server: InProcess,
    shard: ShardTime,
    publisher: RefCell<(RtmpPublisher, Duration)>,
    /// Of the video's playlist.
    path: String,
}

impl Stage {
    fn start() -> Self {
        let mut config = Config::default();
        config.hls.latency = Latency::Ultra;
        let server = InProcess::start(1, config, None);
        let mut publisher = RtmpPublisher::connect(server.rtmp, "bench", None).expect("it may publish");
        publisher.picture_bytes = PICTURE_BYTES;
        publisher.send_until(BEFORE).expect("it publishes");
        let path = "/live/bench/index.m3u8";
        let playable = wait_until_playable(&server.http.to_string(), path, Duration::from_secs(30));
        let path = playable.media_paths.into_iter().next().expect("a video playlist");
        Self { server, shard: ShardTime::find(), publisher: RefCell::new((publisher, BEFORE)), path }
    }

    /// The next part's pictures and sounds.
    fn publish_part(&self) {
        let (publisher, elapsed) = &mut *self.publisher.borrow_mut();
        *elapsed += PART;
        publisher.send_until(*elapsed).expect("it publishes");
    }

    /// What the shard spends on some work; a part goes before it, since a publisher that is silent is given up.
    fn spent(&self, work: impl FnOnce()) -> Duration {
        self.publish_part();
        thread::sleep(REST);
        self.shard.of(work)
    }

    fn media(&self) -> Media {
        let response = self.server.client().get(&self.path).expect("a playlist");
        parse_media(&response.text()).expect("a sound playlist")
    }

    /// A reload that the next part answers.
    fn reload(&self, held: &Media) -> String {
        let (msn, part) = match &held.open {
            Some(open) => (open.media_sequence, open.parts.len()),
            None => (held.segments.last().map_or(0, |segment| segment.media_sequence + 1), 0),
        };
        format!("{}?_HLS_msn={msn}&_HLS_part={part}", self.path)
    }
}

/// Processor time of the shard's thread.
struct ShardTime(PathBuf);

impl ShardTime {
    fn find() -> Self {
        let threads = fs::read_dir("/proc/self/task").expect("this process's threads");
        let mut threads = threads.filter_map(|thread| Some(thread.ok()?.path()));
        let is_shard = |thread: &PathBuf| {
            fs::read_to_string(thread.join("comm")).is_ok_and(|name| name.starts_with("shard-0"))
        };
        Self(threads.find(is_shard).expect("the shard's thread").join("schedstat"))
    }

    /// Since it began; exact while it sleeps, and a few milliseconds old while it runs.
    fn read(&self) -> Duration {
        let text = fs::read_to_string(&self.0).expect("the scheduler's figures");
        let spent_ns = text.split(' ').next().and_then(|spent| spent.parse().ok());
        Duration::from_nanos(spent_ns.expect("a number first"))
    }

    fn of(&self, work: impl FnOnce()) -> Duration {
        let before = self.read();
        work();
        self.read() - before
    }
}

fn served(criterion: &mut Criterion) {
    let stage = Stage::start();
    handshakes(criterion, &stage);
    playlists(criterion, &stage);
    reloads(criterion, &stage);
}

fn handshakes(criterion: &mut Criterion, stage: &Stage) {
    let resuming = client_config(&[&stage.server.identity], &["h2"], &[&TLS13]);
    let mut forgetful = ClientConfig::clone(&resuming);
    forgetful.resumption = Resumption::disabled();
    // The first one brings the ticket for the next.
    shake_hands(stage, &resuming);
    let mut group = criterion.benchmark_group("TLS 1.3 handshake");
    for (name, config, kind) in
        [("full", Arc::new(forgetful), HandshakeKind::Full), ("resumed", resuming, HandshakeKind::Resumed)]
    {
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|count| {
                stage.spent(|| (0..count).for_each(|_| assert_eq!(shake_hands(stage, &config), kind)))
            });
        });
    }
    group.finish();
}

/// A connection from its beginning to its end, and the tickets for the next one.
fn shake_hands(stage: &Stage, config: &Arc<ClientConfig>) -> HandshakeKind {
    let mut socket = connect(stage.server.https, "localhost", config).expect("a handshake");
    socket.conn.complete_io(&mut socket.sock).expect("tickets");
    socket.conn.handshake_kind().expect("it is complete")
}

/// As it is, without waiting: a head, a lookup, the memoised text, one send.
fn playlists(criterion: &mut Criterion, stage: &Stage) {
    let mut group = criterion.benchmark_group("playlist response");
    group.throughput(Throughput::Elements(1));
    for (name, mut client) in
        [("HTTP/1.1", stage.server.client()), ("HTTP/1.1 over TLS", stage.server.tls_client())]
    {
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|count| {
                stage.spent(|| {
                    for _ in 0..count {
                        assert_eq!(client.get(&stage.path).expect("a playlist").status, 200);
                    }
                })
            });
        });
    }
    group.finish();
}

fn reloads(criterion: &mut Criterion, stage: &Stage) {
    let mut group = criterion.benchmark_group(format!("{RELOADS_COUNT} blocked reloads of a connection"));
    group.throughput(Throughput::Elements(RELOADS_COUNT as u64));
    let plain = || http2::Client::plain(stage.server.http);
    let over_tls = || {
        let config = client_config(&[&stage.server.identity], &["h2"], &[&TLS13]);
        http2::Client::over_tls(connect(stage.server.https, "localhost", &config).expect("a handshake"))
    };
    let clients: [(&str, &dyn Fn() -> http2::Client); 2] =
        [("HTTP/2", &plain), ("HTTP/2 over TLS", &over_tls)];
    for (name, connect) in clients {
        let mut client = connect();
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|count| (0..count).map(|_| land(stage, &mut client)).sum());
        });
    }
    group.finish();
}

/// Asks, lands the part, and receives; returns what the shard spent on all of it, the part's ingest included.
fn land(stage: &Stage, client: &mut http2::Client) -> Duration {
    let target = stage.reload(&stage.media());
    thread::sleep(REST);
    stage.shard.of(|| {
        let waiting: Vec<_> = (0..RELOADS_COUNT).map(|_| client.send("GET", &target, &[], &[])).collect();
        // Once it is answered the requests before it have been read, and wait.
        client.ping();
        stage.publish_part();
        for reload in waiting {
            assert_eq!(client.receive(reload).status, 200, "{target}");
        }
    })
}

criterion_group!(benches, served);
criterion_main!(benches);
