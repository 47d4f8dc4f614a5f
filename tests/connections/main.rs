//! The connection layer over real sockets, with one shard and with two: viewers and publishers that do
//! what they should not, replicas that fall behind, and faults on purpose.

#[path = "../support/in_process.rs"]
mod in_process;
#[path = "../support/rtmp_publisher.rs"]
mod rtmp_publisher;
#[path = "../support/mod.rs"]
mod support;

mod audience;
mod faults;
mod latency;
mod pairs;
mod placement;
mod publishers;
mod replicas;
mod tokens;
mod viewers;

use rtmp_publisher::Running;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use support::http::{Client, Response, resolve};
use support::playlist::{Media, parse_media};
use support::publisher::wait_until_playable;
use support::server::{Options, Server};

/// Generous: an unoptimized server on a shared machine.
const PLAYABLE_WITHIN: Duration = Duration::from_secs(30);
/// What such a machine may add to any answer.
const NOISE: Duration = Duration::from_secs(3);

/// Tests that load the machine, or count what others do to it, take turns: beside one another each would see
/// the other's load.
static MACHINE: Mutex<()> = Mutex::new(());

fn machine() -> MutexGuard<'static, ()> {
    MACHINE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A server with a stream that plays.
struct Stage {
    server: Server,
    publisher: Running,
    /// Of the video's and the audio's playlist.
    paths: Vec<String>,
}

impl Stage {
    fn start(shards: usize) -> Self {
        let server = Server::start(&Options { shards, latency: Some("ultra"), ..Options::default() });
        let publisher = Running::start(server.rtmp(), "stage");
        let paths = playable(server.http(), "stage");
        Self { server, publisher, paths }
    }

    fn video(&self) -> &str {
        &self.paths[0]
    }
}

/// Waits until `live/KEY` plays; the paths of its media playlists.
fn playable(http: SocketAddr, key: &str) -> Vec<String> {
    let path = format!("/live/{key}/index.m3u8");
    wait_until_playable(&http.to_string(), &path, PLAYABLE_WITHIN).media_paths
}

fn get(client: &mut Client, target: &str) -> Response {
    client.get(target).unwrap_or_else(|error| panic!("{target}: {error}"))
}

fn media(response: &Response) -> Media {
    let text = response.text();
    parse_media(&text).unwrap_or_else(|error| panic!("{} {error:?}\n{text}", response.status))
}

/// The target that blocks until the next part is listed.
fn next_part(path: &str, media: &Media) -> String {
    let (msn, part) = match &media.open {
        Some(open) => (open.media_sequence, open.parts.len()),
        None => (media.segments.last().map_or(0, |segment| segment.media_sequence + 1), 0),
    };
    format!("{path}?_HLS_msn={msn}&_HLS_part={part}")
}

/// The target that blocks until the segment after the open one is complete: two segments away.
fn next_segment(path: &str, media: &Media) -> String {
    let last = media.segments.last().map_or(0, |segment| segment.media_sequence);
    format!("{path}?_HLS_msn={}", last + 2)
}

/// The path of the newest complete segment.
fn newest_segment(path: &str, media: &Media) -> String {
    let segment = media.segments.last().expect("a complete segment");
    resolve(path, segment.uri.as_deref().expect("a complete segment has a URI"))
}

/// Reads reloads of one playlist for a time and fails unless its parts come without a gap in their
/// numbers, none later than `NOISE` after it was due.
fn watch_undisturbed(http: SocketAddr, path: &str, for_time: Duration) {
    let mut client = Client::connect(http).expect("the server accepts a connection");
    let mut held = media(&get(&mut client, path));
    let mut numbers: Vec<u64> = Vec::new();
    let end = std::time::Instant::now() + for_time;
    while std::time::Instant::now() < end {
        let response = get(&mut client, &next_part(path, &held));
        assert_eq!(response.status, 200, "{path}: {}", response.text());
        let waited = response.complete_at - response.sent_at;
        assert!(waited < NOISE, "{path}: a part came after {waited:?}");
        held = media(&response);
        let listed = held.segments.iter().chain(&held.open).flat_map(|segment| &segment.parts);
        for part in listed {
            assert!(!part.gap, "{path}: a gap");
            let number: Option<u64> =
                part.uri.rsplit_once('-').and_then(|(_, name)| name.strip_suffix(".m4s")?.parse().ok());
            numbers.extend(number);
        }
    }
    numbers.sort_unstable();
    numbers.dedup();
    assert!(numbers.len() > 5, "{path}: {} parts", numbers.len());
    let gaps = numbers.windows(2).filter(|pair| pair[1] != pair[0] + 1).count();
    assert_eq!(gaps, 0, "{path}: {numbers:?}");
}

/// A value of `/proc/PID/status`, in KiB.
fn memory_kib(process_id: u32, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process_id}/status")).expect("its status");
    let line = status.lines().find(|line| line.starts_with(name)).expect("the value is there");
    line.split_whitespace().nth(1).and_then(|value| value.parse().ok()).expect("a number")
}
