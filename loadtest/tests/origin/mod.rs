//! An LL-HLS origin for tests: it makes its own live stream, is strictly conforming, and misbehaves as it is told.
//!
//! loadtest's viewers are judged by it, so it shares no code with the server or with loadtest. What it knows for
//! certain: **each part is published exactly [`Options::delay`] after its newest frame was sent** (the time in the
//! frame's stamp), so a viewer has to measure that for the newest frame of a part, and [`Options::oldest_latency`] for
//! the oldest, plus what the loopback and the scheduler add. [`Origin::lateness_max`] tells how exact "exactly" was.
//!
//! The stream: H.264 320x180 at 30 frames a second with an IDR each second, and silent AAC at 48 kHz; segments of one
//! second (audio: to the frame), parts of 0.2 s, a window of 12 s. What it does not do: HTTP/2, TLS, byte ranges.

#![allow(dead_code, reason = "each test crate that includes this uses its own part of it")]

#[cfg(test)]
mod check;
mod frames;
mod http;
mod live;
mod misbehaviour;
mod mp4;
mod playlist;
mod reload;
mod stream;
#[cfg(test)]
mod tests;
mod time;

use std::io;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use live::Live;
pub use misbehaviour::Misbehaviour;
pub use stream::Track;

/// Connection threads hold little: their stacks need not be the usual 2 MB.
const STACK_BYTES: usize = 256 * 1024;
/// Misbehaves from now on until told otherwise.
pub const ALWAYS: u32 = u32::MAX;

/// What an origin is like.
#[derive(Debug, Clone)]
pub struct Options {
    /// From when a part's newest frame was sent to when the part is published.
    pub delay: Duration,
    /// Frames in a video part, 5, 6 or 10; PART-TARGET is what they last.
    pub part_frames: u32,
    /// Complete segments in a playlist, at least 8; a delta update skips all but the newest 6.
    pub window_segments: u32,
    /// Whether there is an audio rendition.
    pub with_audio: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { delay: Duration::ZERO, part_frames: 6, window_segments: 12, with_audio: true }
    }
}

impl Options {
    /// What a video part's oldest frame has behind it when the part is published.
    pub fn oldest_latency(&self) -> Duration {
        self.delay + Duration::from_secs(1) * (self.part_frames - 1) / 30
    }
}

/// A running origin. It stops, with all its connections and threads, when it is dropped.
#[derive(Debug)]
pub struct Origin {
    live: Arc<Live>,
    address: SocketAddr,
    threads: Vec<JoinHandle<()>>,
    connections: Arc<Mutex<Vec<Connection>>>,
}

#[derive(Debug)]
struct Connection {
    stream: TcpStream,
    thread: JoinHandle<()>,
}

impl Origin {
    /// Starts an origin whose stream has been running for some seconds, long enough for a full window.
    pub fn start(options: Options) -> Self {
        assert!(matches!(options.part_frames, 5 | 6 | 10), "parts of {} frames", options.part_frames);
        assert!(options.window_segments >= 8, "a window of {} segments", options.window_segments);
        let window_segments = u64::from(options.window_segments);
        let delay_us = u64::try_from(options.delay.as_micros()).expect("a short delay");
        let history_s = window_segments + 4 + options.delay.as_secs();
        let clock = time::Clock::started_before(history_s);
        let shape = stream::Shape {
            start_unix_us: clock.start_unix_us,
            delay_us,
            part_frames: u64::from(options.part_frames),
            window_segments,
        };
        let live = Arc::new(Live::new(shape, clock, options.with_audio));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("a bound address");
        let connections = Arc::default();
        let publisher = thread::spawn({
            let live = live.clone();
            move || live.publish()
        });
        let acceptor = thread::spawn({
            let (live, connections) = (live.clone(), Arc::clone(&connections));
            move || accept(&listener, &live, &connections)
        });
        Self { live, address, threads: vec![publisher, acceptor], connections }
    }

    /// The multivariant playlist.
    pub fn url(&self) -> String {
        format!("http://{}{}index.m3u8", self.address, live::FOLDER)
    }

    /// Misbehaves once, in the video rendition, from the next part on that is not made yet and suits.
    pub fn misbehave(&self, misbehaviour: Misbehaviour) {
        self.misbehave_in(Track::Video, misbehaviour, 1);
    }

    /// Misbehaves in a rendition so many times ([`ALWAYS`] without end), one suitable part after the other; takes the
    /// place of what that rendition was told before.
    pub fn misbehave_in(&self, track: Track, misbehaviour: Misbehaviour, times: u32) {
        assert!(
            track == Track::Video || misbehaviour.is_for_audio(),
            "{misbehaviour:?} is no fault in audio"
        );
        self.live.misbehave(track, (times > 0).then_some((misbehaviour, times)));
    }

    /// How often it has misbehaved so far: parts made that way, or reloads answered that way.
    pub fn misbehaved_count(&self) -> u64 {
        self.live.misbehaved_count.load(Ordering::Relaxed)
    }

    /// Requests received so far.
    pub fn requests_count(&self) -> u64 {
        self.live.requests_count.load(Ordering::Relaxed)
    }

    /// How late a part was published at most, against when it was due (not counting what was told to be late).
    pub fn lateness_max(&self) -> Duration {
        Duration::from_micros(self.live.lateness_max_us.load(Ordering::Relaxed))
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.live.stop();
        // Wakes the acceptor, which then sees that the origin has stopped.
        let _ = TcpStream::connect(self.address);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
        let mut connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        for Connection { stream, .. } in connections.iter() {
            let _ = stream.shutdown(Shutdown::Both);
        }
        for Connection { thread, .. } in connections.drain(..) {
            let _ = thread.join();
        }
    }
}

fn accept(listener: &TcpListener, live: &Arc<Live>, connections: &Mutex<Vec<Connection>>) {
    for stream in listener.incoming() {
        if live.is_stopped() {
            return;
        }
        // A peer that has gone already is none of ours.
        let Ok(connection) = stream.and_then(|stream| Connection::start(stream, live.clone())) else {
            continue;
        };
        let mut connections = connections.lock().unwrap_or_else(PoisonError::into_inner);
        connections.retain(|connection| !connection.thread.is_finished());
        connections.push(connection);
    }
}

impl Connection {
    fn start(stream: TcpStream, live: Arc<Live>) -> io::Result<Self> {
        let serving = stream.try_clone()?;
        let thread = thread::Builder::new().stack_size(STACK_BYTES).spawn(move || {
            let served = http::serve(&serving, |request| live.answer(request), || live.wait_until_stopped());
            // Viewers may leave whenever they like.
            drop(served);
        })?;
        Ok(Self { stream, thread })
    }
}
