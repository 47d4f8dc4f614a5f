//! 200 viewers of one stream, each with a reload of video and audio and fetches of the hinted parts in
//! flight as hls.js has them: what is allocated while their tasks are polled does not grow with them.
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

static OF_VIEWERS: AtomicU64 = AtomicU64::new(0);

struct Counting;

fn count() {
    if current_task() == Some("http") {
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
    fn new(server: &InProcess, path: String, viewers_count: usize) -> Self {
        let held = playlist(&mut server.client(), &path);
        let connect = || (0..viewers_count).map(|_| server.client()).collect();
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

    fn receive(&mut self) {
        let within = Duration::from_secs(20);
        for client in &mut self.fetches {
            assert_eq!(client.receive(within).unwrap().status, 200, "{}", self.path);
        }
        for client in &mut self.reloads {
            let response = client.receive(within).unwrap();
            assert_eq!(response.status, 200, "{}", self.path);
            self.held = parse_media(&response.text()).unwrap();
        }
    }
}

fn playlist(client: &mut Client, path: &str) -> Media {
    parse_media(&client.get(path).unwrap().text()).unwrap()
}

#[test]
fn a_viewer_costs_no_allocation_for_a_part() {
    support::allow_open_files(4096);
    let server = InProcess::start(1, Config::default(), None);
    let publisher = Running::start(server.rtmp, "counted");
    let path = "/live/counted/index.m3u8";
    let paths = wait_until_playable(&server.http.to_string(), path, Duration::from_secs(30)).media_paths;
    assert_eq!(paths.len(), 2, "picture and sound");
    // Two connections for each of two renditions.
    let viewers_count = VIEWERS_COUNT / 2;
    let mut followed: Vec<_> =
        paths.into_iter().map(|path| Followed::new(&server, path, viewers_count)).collect();
    for round in 0..WARM_UP_ROUNDS + ROUNDS {
        if round == WARM_UP_ROUNDS {
            OF_VIEWERS.store(0, Ordering::Relaxed);
        }
        followed.iter_mut().for_each(Followed::ask);
        followed.iter_mut().for_each(Followed::receive);
    }
    let allocations = OF_VIEWERS.load(Ordering::Relaxed);
    let requests = (ROUNDS * 2 * 2 * viewers_count) as u64;
    // Two playlists a round; a round may meet more than one part.
    let rendered = ROUNDS as u64 * 2 * 2;
    eprintln!("{requests} requests: {allocations} allocations in the viewers' tasks");
    // A connection takes a ring turn of 4 allocations after every 64 requests.
    assert!(allocations <= rendered * RENDERING + requests / 64 * 4, "{allocations} for {requests} requests");
    assert!(!publisher.has_ended());
}
