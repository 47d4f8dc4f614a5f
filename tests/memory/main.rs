//! Peers who have the real server hold as much as they can: its memory stays below what `MemoryBounds` has computed
//! from `limits` and its settings, and comes near enough that the bound means something.

#[path = "../support/rtmp_publisher.rs"]
mod rtmp_publisher;
#[path = "../support/mod.rs"]
mod support;

mod connections;
mod slow_readers;
mod streams;

use rapidrtmp::config::{Config, MemoryBounds};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use support::server::{Options, Server};

/// Generous: an unoptimized server on a shared machine.
const PLAYABLE_WITHIN: Duration = Duration::from_secs(60);
/// What such a machine may add to any answer.
const NOISE: Duration = Duration::from_secs(3);
const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
/// What one stream keeps here.
const RETAINED_BYTES_MAX: u64 = 16 * MIB;
const CONFIG: &str = "[rtmp]\nconnections_per_address_max = 1000\n[ingest]\nhandshake_timeout_s = 60\n\
    publish_timeout_s = 120\nstreams_max = 40\n[hls]\nretained_bytes_max = 16777216\nexpected_gop_ms = 1000\n";

/// They fill memory and use the machine: one at a time.
static MACHINE: Mutex<()> = Mutex::new(());

fn machine() -> MutexGuard<'static, ()> {
    MACHINE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A server on one shard, and its bounds.
fn start(further: &str, files: Vec<(String, String)>) -> (Server, MemoryBounds) {
    let options = Options {
        latency: Some("ultra"),
        config: Some(format!("{CONFIG}{further}")),
        files,
        ..Options::default()
    };
    let mut config = Config::default();
    config.hls.retained_bytes_max = RETAINED_BYTES_MAX;
    config.https.self_signed = !further.is_empty();
    (Server::start(&options), config.memory_bounds(1))
}

/// Bytes of `VmRSS` or `VmHWM`.
fn memory(server: &Server, name: &str) -> u64 {
    let status =
        std::fs::read_to_string(format!("/proc/{}/status", server.process_id())).expect("its status");
    let line = status.lines().find(|line| line.starts_with(name)).expect("the value is there");
    let kib: u64 = line.split_whitespace().nth(1).and_then(|value| value.parse().ok()).expect("a number");
    kib * KIB
}

fn metric(server: &Server, name: &str, label: &str) -> f64 {
    server.metric(&format!("rapidrtmp_{name}"), label).unwrap_or_else(|| panic!("{name} is there"))
}

/// What `count` of something have had the server hold at the most since `before`: no more than that many times the
/// bound, and as much at least as was sent to stay.
fn is_pressed(server: &Server, what: &str, count: u64, before: u64, bound: u64, sent: u64) {
    let held = memory(server, "VmHWM").saturating_sub(before);
    eprintln!(
        "{count} {what}: {} KiB each, {} KiB were sent to stay, {} KiB are allowed",
        held / count / KIB,
        sent / KIB,
        bound / KIB
    );
    assert!(held <= count * bound, "{what}: {held} bytes of {count} times {bound}");
    assert!(
        held >= count * sent,
        "{what}: {held} bytes of {count} times {sent}: nothing was pressed against"
    );
    assert!(!server.log().contains("panicked"), "{}", server.log());
}
