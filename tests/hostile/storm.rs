//! Thousands of connections of noise on every port, beside streams and viewers who must not notice.

use crate::noise::{Noise, send};
use crate::random::Random;
use crate::rtmp_publisher::Running;
use crate::support::publisher::wait_until_playable;
use crate::support::server::{Options, Server};
use crate::support::tls::{Identity, client_config, connect};
use crate::support::{allow_open_files, poll_until};
use crate::watching::Viewers;
use crate::{
    NOISE, PLAYABLE_WITHIN, descriptors, idle_kib, memory_kib, metric, wait_until_left,
    wait_until_media_is_steady,
};
use rustls::version::TLS13;
use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// What a test run has; `HOSTILE_CONNECTIONS` says otherwise.
const CONNECTIONS: usize = 500;
const STREAMS: usize = 20;
const VIEWERS: usize = 200;
/// Threads that make noise, half of them on RTMP.
const PEERS: usize = 8;
/// How much more the server may hold after a storm than before, beside buffers that wait to be used again: a KiB for each
/// connection of a long one, after which all but a few of those are given back.
const KEPT_KIB_MAX: u64 = 20 * 1024;
/// In which they are: at the second look, 20 s apart, after what has ended is forgotten.
const GIVEN_BACK_WITHIN: Duration = Duration::from_secs(100);
/// Those of the streams that go on: a second of each.
const IDLE_KIB_FEW: u64 = 8 * 1024;

/// A key's stream that noise has begun ends with its connection.
const CONFIG: &str = "[rtmp]\nconnections_per_address_max = 1000\n[ingest]\nunpublish_grace_s = 0\n\
    reconnect_grace_s = 0\n[https]\naddr = \"127.0.0.1:0\"\ncert_file = \"DIR/own.pem\"\n\
    key_file = \"DIR/own.key\"\n";

#[test]
fn storms_of_noise_stall_nobody_and_leave_nothing() {
    allow_open_files(4096);
    let asked = std::env::var("HOSTILE_CONNECTIONS").ok();
    let connections =
        asked.as_ref().map_or(CONNECTIONS, |count| count.parse().expect("HOSTILE_CONNECTIONS is a number"));
    let identity = Identity::new(&["localhost"]);
    let server = Server::start(&Options {
        shards: 2,
        latency: Some("ultra"),
        config: Some(CONFIG.into()),
        files: vec![("own.pem".into(), identity.chain.clone()), ("own.key".into(), identity.key.clone())],
        ..Options::default()
    });
    let publishers: Vec<Running> =
        (0..STREAMS).map(|number| Running::start(server.rtmp(), &format!("s{number}"))).collect();
    let http = server.http().to_string();
    let paths: Vec<String> = (0..STREAMS)
        .map(|number| {
            let path = format!("/live/s{number}/index.m3u8");
            wait_until_playable(&http, &path, PLAYABLE_WITHIN).media_paths.remove(0)
        })
        .collect();
    let noise = Noise::new(&paths[0]);
    let viewers = Viewers::start(server.http(), &paths, VIEWERS);
    // From then on pools, tables and the allocator's arenas have their size.
    storm(&server, &noise, &identity, connections / 2, 1);
    wait_until_left(&server, STREAMS, VIEWERS, PLAYABLE_WITHIN);
    wait_until_media_is_steady(&server);
    if asked.is_some() {
        let are_few = poll_until(GIVEN_BACK_WITHIN, || (idle_kib(&server) < IDLE_KIB_FEW).then_some(()));
        assert!(are_few.is_some(), "{} KiB of buffers lie idle", idle_kib(&server));
    }
    let (before_kib, idle_before_kib) = (memory_kib(&server, "VmRSS"), idle_kib(&server));
    let descriptors_before = descriptors(&server);

    let began = Instant::now();
    storm(&server, &noise, &identity, connections, 2);
    let took = began.elapsed();
    wait_until_left(&server, STREAMS, VIEWERS, PLAYABLE_WITHIN);
    wait_until_media_is_steady(&server);
    let (loaded_kib, idle_loaded_kib) = (memory_kib(&server, "VmRSS"), idle_kib(&server));
    let own_before_kib = before_kib.saturating_sub(idle_before_kib);
    let (mut after_kib, mut idle_after_kib) = (0, 0);
    let came_back = poll_until(if asked.is_some() { GIVEN_BACK_WITHIN } else { NOISE }, || {
        (after_kib, idle_after_kib) = (memory_kib(&server, "VmRSS"), idle_kib(&server));
        let are_few = asked.is_none() || idle_after_kib < IDLE_KIB_FEW;
        (are_few && after_kib.saturating_sub(idle_after_kib) < own_before_kib + KEPT_KIB_MAX).then_some(())
    });
    let descriptors_after = descriptors(&server);
    let seen = viewers.stop();
    eprintln!(
        "{connections} RTMP and {connections} HTTP connections in {took:.1?}: resident {before_kib} KiB before ({idle_before_kib} of it idle buffers), {} at \
         the most, {loaded_kib} then ({idle_loaded_kib}), {after_kib} at last ({idle_after_kib}); \
         descriptors {descriptors_before}, then {descriptors_after}; panics {}; stalls of shards {}; {VIEWERS} viewers \
         had {} parts, the longest wait {:.0?}, {} past their hold-back, {} in vain",
        memory_kib(&server, "VmHWM"),
        metric(&server, "rapidrtmp_panics_total"),
        metric(&server, "rapidrtmp_shard_stalls_total"),
        seen.parts,
        seen.waited_max,
        seen.stalls,
        seen.vain,
    );
    assert_eq!(metric(&server, "rapidrtmp_panics_total"), 0.0);
    // The connection that asked for the figures comes and goes.
    assert!(descriptors_after <= descriptors_before + 2, "{descriptors_before}, then {descriptors_after}");
    assert!(came_back.is_some(), "{before_kib} KiB, then {after_kib} KiB");
    assert!(seen.waited_max < NOISE, "{seen:?}");
    assert!(publishers.iter().all(|publisher| !publisher.has_ended()));
    if asked.is_some() {
        assert_eq!((seen.stalls, seen.vain), (0, 0), "an optimized server and no other load: {seen:?}");
    }
}

/// So many connections on the RTMP port, and as many on the other two.
fn storm(server: &Server, noise: &Noise, identity: &Identity, connections: usize, seed: u64) {
    let (rtmp_left, http_left) = (AtomicUsize::new(connections), AtomicUsize::new(connections));
    let take = |left: &AtomicUsize| {
        left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
    };
    let tls = client_config(&[identity], &["h2", "http/1.1"], &[&TLS13]);
    std::thread::scope(|scope| {
        for peer in 0..PEERS {
            let (rtmp_left, http_left, tls) = (&rtmp_left, &http_left, &tls);
            let mut random = Random(seed << 32 | (peer as u64 + 1));
            scope.spawn(move || {
                if peer % 2 == 0 {
                    while take(rtmp_left) {
                        let bytes = noise.rtmp(&mut random);
                        send(&mut random, server.rtmp(), &bytes);
                    }
                    return;
                }
                while take(http_left) {
                    match random.below(16) {
                        0..3 => {
                            let bytes = noise.tls(&mut random);
                            send(&mut random, server.https(), &bytes);
                        }
                        // A handshake that succeeds, and noise inside it.
                        3 => {
                            let bytes = noise.http(&mut random);
                            let mut socket = connect(server.https(), "localhost", tls).expect("a handshake");
                            let _ = socket.write_all(&bytes).and_then(|()| socket.flush());
                        }
                        _ => {
                            let bytes = noise.http(&mut random);
                            send(&mut random, server.http(), &bytes);
                        }
                    }
                }
            });
        }
    });
    // Nobody waits for what was asked for, once all have left.
    let waits_max = Duration::from_secs(10);
    let blocked = || (metric(server, "rapidrtmp_blocked_requests") <= VIEWERS as f64).then_some(());
    assert!(poll_until(waits_max, blocked).is_some());
}
