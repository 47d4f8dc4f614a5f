//! Hostile peers against the real server: requests that two readers could take for two different ones, heads
//! and bodies without end, and storms of noise on every port, each beside viewers who must not notice.
//!
//! `HOSTILE_CONNECTIONS` is the size of the storms, of each kind; `tests/run --long` has 10,000.

#[path = "../support/random.rs"]
mod random;
#[path = "../support/rtmp_publisher.rs"]
mod rtmp_publisher;
#[path = "../support/mod.rs"]
mod support;

mod handshakes;
mod noise;
mod requests;
mod storm;
mod watching;

use std::time::{Duration, Instant};
use support::poll_until;
use support::server::Server;

/// Generous: an unoptimized server on a shared machine.
const PLAYABLE_WITHIN: Duration = Duration::from_secs(60);
/// What such a machine may add to any answer.
const NOISE: Duration = Duration::from_secs(3);

/// A value of `/proc/PID/status`, in KiB.
fn memory_kib(server: &Server, name: &str) -> u64 {
    let status =
        std::fs::read_to_string(format!("/proc/{}/status", server.process_id())).expect("its status");
    let line = status.lines().find(|line| line.starts_with(name)).expect("the value is there");
    line.split_whitespace().nth(1).and_then(|value| value.parse().ok()).expect("a number")
}

/// Resident memory beside the media that is kept, what slow viewers hold of it, and the buffers that wait to be used
/// again, in KiB: what a peer that published has left for a while is no leak.
fn own_memory_kib(server: &Server) -> u64 {
    let of_media = ["bytes_stored", "lent_bytes", "pool_idle_bytes"];
    let media: f64 = of_media.iter().map(|name| metric(server, &format!("rapidrtmp_{name}"))).sum();
    memory_kib(server, "VmRSS").saturating_sub((media / 1024.0) as u64)
}

fn descriptors(server: &Server) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", server.process_id())).expect("its descriptors").count()
}

fn metric(server: &Server, name: &str) -> f64 {
    server.metric(name, "").unwrap_or_else(|| panic!("{name} is there"))
}

/// Waits until no peer is left but `streams` publishers and `viewers` connections.
fn wait_until_left(server: &Server, streams: usize, viewers: usize, within: Duration) {
    let mut counts = Vec::new();
    let left = poll_until(within, || {
        let open = |what: &str| {
            metric(server, &format!("rapidrtmp_{what}_connections_total"))
                - metric(server, &format!("rapidrtmp_{what}_disconnects_total"))
        };
        counts = vec![open("rtmp"), metric(server, "rapidrtmp_active_publishers"), open("http")];
        // The connection that asks is one more, and the one that asked before may not be gone yet.
        let is_left = counts[0] == streams as f64 && counts[1] == streams as f64;
        (is_left && counts[2] <= viewers as f64 + 2.0).then_some(())
    });
    assert!(left.is_some(), "RTMP connections, publishers and HTTP connections left: {counts:?}");
}

/// Buffers of parts that wait to be used again, in KiB.
fn idle_kib(server: &Server) -> u64 {
    (metric(server, "rapidrtmp_pool_idle_bytes") / 1024.0) as u64
}

/// Waits until as much media leaves memory as comes: until there is no more of it than there was seconds ago.
fn wait_until_media_is_steady(server: &Server) {
    const STEADY_FOR: Duration = Duration::from_secs(4);
    let (mut most, mut most_at) = (0.0, Instant::now());
    let steady = poll_until(PLAYABLE_WITHIN, || {
        let now = metric(server, "rapidrtmp_bytes_stored");
        if now > most * 1.01 {
            (most, most_at) = (now, Instant::now());
        }
        (most_at.elapsed() > STEADY_FOR).then_some(())
    });
    assert!(steady.is_some(), "the streams still grow: {most} bytes");
}
