//! 200 viewers of one stream, each with a reload of video and audio and fetches of the hinted parts in
//! flight as hls.js has them: what is allocated while their tasks are polled does not grow with them. Over TLS
//! it is what rustls allocates for a record.
//!
//! A counting allocator tells by [`rapidrtmp::shard::current_task`] whose an allocation is. The
//! viewers are a thread of this process, which is not counted; so are the waits for the ring, which cost a
//! few allocations each whatever the number of viewers (`tests/parked_allocations.rs` counts the wake-ups).

#[path = "support/in_process.rs"]
mod in_process;
#[path = "support/rtmp_publisher.rs"]
mod rtmp_publisher;
#[path = "support/mod.rs"]
mod support;

use in_process::InProcess;
use rapidrtmp::config::Config;
use rapidrtmp::limits::TLS_RECORD_BYTES_MAX;
use rapidrtmp::shard::current_task;
use rtmp_publisher::Running;
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use support::http::{Client, resolve};
use support::playlist::{Media, parse_media};
use support::publisher::wait_until_playable;

const VIEWERS_COUNT: usize = 200;
/// Rounds before lists, slab and wheel have their size, and rounds that are counted.
const WARM_UP_ROUNDS: usize = 8;
const ROUNDS: usize = 12;
/// Allocations for each playlist of each part, whoever asks for it first: text, list, report.
const RENDERING: u64 = 60;
/// Bytes of a response's head, generously.
const HEAD_BYTES_MAX: usize = 1024;

static OF_VIEWERS: AtomicU64 = AtomicU64::new(0);

struct Counting;

fn count() {
    if matches!(current_task(), Some("http" | "https")) {
        OF_VIEWERS.fetch_add(1, Ordering::Relaxed);
    }
}

// SAFETY: everything is passed on to the system's allocator as it came; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promises are the system allocator's.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(memory, layout) }
    }
    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        count();
        // SAFETY: as above.
        unsafe { System.realloc(memory, layout, bytes) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// One rendition as its viewers follow it: half of the connections reload, half fetch the hinted part.
struct Followed {
    path: String,
    held: Media,
    reloads: Vec<Client>,
    fetches: Vec<Client>,
}

impl Followed {
    fn new(server: &InProcess, client: fn(&InProcess) -> Client, path: String, viewers_count: usize) -> Self {
        let held = playlist(&mut server.client(), &path);
        let connect = || (0..viewers_count).map(|_| client(server)).collect();
        Self { path, held, reloads: connect(), fetches: connect() }
    }

    fn ask(&mut self) {
        let (msn, part) = match &self.held.open {
            Some(open) => (open.media_sequence, open.parts.len()),
            None => (self.held.segments.last().map_or(0, |segment| segment.media_sequence + 1), 0),
        };
        let reload = format!("{}?_HLS_msn={msn}&_HLS_part={part}", self.path);
        let hint = resolve(&self.path, self.held.hinted_part().expect("a hint"));
        self.reloads.iter_mut().for_each(|client| client.send("GET", &reload, &[], &[]).unwrap());
        self.fetches.iter_mut().for_each(|client| client.send("GET", &hint, &[], &[]).unwrap());
    }

    /// Returns how many records the responses are over TLS, at most.
    fn receive(&mut self) -> u64 {
        let within = Duration::from_secs(20);
        let mut records_count = self.reloads.len();
        for client in &mut self.fetches {
            let response = client.receive(within).unwrap();
            assert_eq!(response.status, 200, "{}", self.path);
            records_count += (response.body.len() + HEAD_BYTES_MAX).div_ceil(TLS_RECORD_BYTES_MAX);
        }
        for client in &mut self.reloads {
            let response = client.receive(within).unwrap();
            assert_eq!(response.status, 200, "{}", self.path);
            assert!(response.body.len() + HEAD_BYTES_MAX < TLS_RECORD_BYTES_MAX);
            self.held = parse_media(&response.text()).unwrap();
        }
        records_count as u64
    }
}

fn playlist(client: &mut Client, path: &str) -> Media {
    parse_media(&client.get(path).unwrap().text()).unwrap()
}

#[test]
fn a_viewer_costs_no_allocation_for_a_part() {
    support::allow_open_files(4096);
    let (requests, _, allocations) = allocations(InProcess::client);
    assert!(allocations <= others(requests), "{allocations} for {requests} requests");
    // One after the other: allocations are counted for the process.
    let (requests, records, allocations) = self::allocations(InProcess::tls_client);
    // rustls's own: one for a record that it encrypts, one for a request that it decrypts.
    assert!(allocations <= others(requests) + requests + records, "{allocations} for {records} records");
}

/// What does not come from a single request: playlists that are rendered, and ring turns.
fn others(requests: u64) -> u64 {
    // Two playlists a round; a round may meet more than one part.
    let rendered = ROUNDS as u64 * 2 * 2;
    // A connection takes a ring turn of 4 allocations after every 64 requests.
    rendered * RENDERING + requests / 64 * 4
}

/// Requests, records that their responses are over TLS, and allocations in the viewers' tasks.
fn allocations(client: fn(&InProcess) -> Client) -> (u64, u64, u64) {
    let server = InProcess::start(1, Config::default(), None);
    let publisher = Running::start(server.rtmp, "counted");
    let path = "/live/counted/index.m3u8";
    let paths = wait_until_playable(&server.http.to_string(), path, Duration::from_secs(30)).media_paths;
    assert_eq!(paths.len(), 2, "picture and sound");
    // Two connections for each of two renditions.
    let viewers_count = VIEWERS_COUNT / 2;
    let mut followed: Vec<_> =
        paths.into_iter().map(|path| Followed::new(&server, client, path, viewers_count)).collect();
    let mut records = 0;
    for round in 0..WARM_UP_ROUNDS + ROUNDS {
        if round == WARM_UP_ROUNDS {
            OF_VIEWERS.store(0, Ordering::Relaxed);
            records = 0;
        }
        followed.iter_mut().for_each(Followed::ask);
        records += followed.iter_mut().map(Followed::receive).sum::<u64>();
    }
    let allocations = OF_VIEWERS.load(Ordering::Relaxed);
    let requests = (ROUNDS * 2 * 2 * viewers_count) as u64;
    eprintln!("{requests} requests, {records} records: {allocations} allocations in the viewers' tasks");
    assert!(!publisher.has_ended());
    (requests, records, allocations)
}
