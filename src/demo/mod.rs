//! The demo encoder: a picture with a running clock and sound, published over loopback RTMP.
//!
//! It is an ordinary publisher on a thread of its own: whatever an encoder's frames go through, its go
//! through. The clock in the picture is the wall time at which the frame was painted; timestamps are those
//! of the frame's number, truncated to milliseconds as OBS does.

mod clock;
mod encoder;
mod font;
mod picture;
mod publisher;
mod schedule;
mod sound;
mod tags;

use std::io;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::limits::{
    DEMO_BACKOFF_MS_MAX, DEMO_BACKOFF_MS_MIN, DEMO_BITRATE_BITS_MAX, DEMO_BITRATE_BITS_MIN, DEMO_FPS_MAX,
    DEMO_FPS_MIN, DEMO_GOP_FRAMES_MAX, DEMO_HEIGHT_MAX, DEMO_HEIGHT_MIN, DEMO_WIDTH_MAX, DEMO_WIDTH_MIN,
};
use crate::media::StreamName;
use crate::rtmp::ClientError;
use encoder::EncodeError;
use publisher::Publisher;

/// What the demo encoder shows, and where it publishes it.
#[derive(Clone)]
pub struct DemoOptions {
    /// The RTMP listener.
    pub rtmp: SocketAddr,
    /// What to publish as.
    pub name: StreamName,
    /// The token that allows it; `None` where none is asked for.
    pub token: Option<String>,
    /// Pixels across; even.
    pub width: u16,
    /// Lines; even.
    pub height: u16,
    /// Frames a second.
    pub fps: u32,
    /// Frames from one IDR to the next.
    pub gop_frames: u32,
    /// Bits a second of the picture; the sound adds 64,000.
    pub bitrate_bits: u32,
}

impl DemoOptions {
    /// 640x360 at 30 frames and at most 1 Mbit a second, an IDR each second.
    pub fn new(rtmp: SocketAddr, name: StreamName, token: Option<String>) -> Self {
        let (width, height, fps) = (640, 360, 30);
        Self { rtmp, name, token, width, height, fps, gop_frames: fps, bitrate_bits: 1_000_000 }
    }

    fn check(&self) -> Result<(), DemoError> {
        check("width", self.width, DEMO_WIDTH_MIN..=DEMO_WIDTH_MAX)?;
        check("height", self.height, DEMO_HEIGHT_MIN..=DEMO_HEIGHT_MAX)?;
        check("fps", self.fps, DEMO_FPS_MIN..=DEMO_FPS_MAX)?;
        check("gop_frames", self.gop_frames, 1..=DEMO_GOP_FRAMES_MAX)?;
        check("bitrate_bits", self.bitrate_bits, DEMO_BITRATE_BITS_MIN..=DEMO_BITRATE_BITS_MAX)?;
        if self.width % 2 == 1 || self.height % 2 == 1 {
            return Err(DemoError::OddSize { width: self.width, height: self.height });
        }
        Ok(())
    }
}

fn check<N: Copy + PartialOrd + Into<u32>>(
    option: &'static str,
    found: N,
    allowed: RangeInclusive<N>,
) -> Result<(), DemoError> {
    if allowed.contains(&found) {
        return Ok(());
    }
    let (min, max) = ((*allowed.start()).into(), (*allowed.end()).into());
    Err(DemoError::Option { option, found: found.into(), min, max })
}

/// Why the demo encoder cannot start, or why one of its connections ended.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// A number out of its range.
    #[error("the demo's {option} is {found}; {min} to {max} are allowed")]
    Option {
        /// Which one.
        option: &'static str,
        /// What it was set to.
        found: u32,
        /// Least allowed.
        min: u32,
        /// Most allowed.
        max: u32,
    },
    /// 4:2:0 needs even sizes.
    #[error("the demo's picture is {width}x{height}; both must be even")]
    OddSize {
        /// Pixels across.
        width: u16,
        /// Lines.
        height: u16,
    },
    /// The built-in sound is not whole frames of ADTS.
    #[error("the demo's built-in sound cannot be read")]
    Sound,
    /// The picture cannot be encoded.
    #[error("the demo's picture cannot be encoded: {0}")]
    Encode(#[from] EncodeError),
    /// The encoder gave no usable parameter sets with its first frame.
    #[error("the demo's encoder gave no SPS or PPS with its first frame")]
    ParameterSets,
    /// No thread, or a socket failed.
    #[error("the demo cannot {0}: {1}")]
    Io(&'static str, #[source] io::Error),
    /// The server closed the connection.
    #[error("the server closed the demo's connection")]
    Closed,
    /// The server took too long to accept the publish.
    #[error("the server did not accept the demo's publish within {0} ms")]
    NotAccepted(u64),
    /// The server ended the publication.
    #[error("the server stopped the demo: {code} {description}")]
    Stopped {
        /// The status code, `NetStream.*`.
        code: String,
        /// The server's words.
        description: String,
    },
    /// The session failed or was refused.
    #[error("the demo's RTMP session: {0}")]
    Rtmp(#[from] ClientError),
}

/// What the encoder's thread and its handle share.
#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    frames_sent: AtomicU64,
    publications: AtomicU64,
}

impl Shared {
    fn is_stopping(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    /// Returns at the deadline, or as soon as the encoder is to stop.
    fn sleep_until(&self, deadline: Instant) {
        while !self.is_stopping() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            // Stopping unparks; an early return of the park comes round again.
            thread::park_timeout(left);
        }
    }
}

/// A running demo encoder; it stops when this is dropped.
pub struct DemoHandle {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl DemoHandle {
    /// Frames sent so far, over all connections.
    pub fn frames_sent(&self) -> u64 {
        self.shared.frames_sent.load(Ordering::Relaxed)
    }

    /// Publications that the server accepted so far.
    pub fn publications(&self) -> u64 {
        self.shared.publications.load(Ordering::Relaxed)
    }

    /// Unpublishes and waits until the thread has ended: a fraction of a second, at most the time that a
    /// write to a server which takes no bytes may hang.
    pub fn stop(self) {
        drop(self);
    }
}

impl Drop for DemoHandle {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            if thread.join().is_err() {
                tracing::error!("the demo encoder's thread panicked");
            }
        }
    }
}

/// Starts the encoder on a thread of its own. It connects, publishes, and when the connection ends connects
/// again with back-off, until it is stopped.
///
/// # Errors
/// [`DemoError`] when an option is out of its range or the thread cannot be made.
pub fn spawn(options: DemoOptions) -> Result<DemoHandle, DemoError> {
    options.check()?;
    let shared = Arc::new(Shared::default());
    let thread = thread::Builder::new()
        .name("demo".into())
        .spawn({
            let shared = Arc::clone(&shared);
            move || publish_until_stopped(&options, &shared)
        })
        .map_err(|error| DemoError::Io("start its thread", error))?;
    Ok(DemoHandle { shared, thread: Some(thread) })
}

fn publish_until_stopped(options: &DemoOptions, shared: &Shared) {
    let mut backoff_ms = DEMO_BACKOFF_MS_MIN;
    while !shared.is_stopping() {
        let published_before = shared.publications.load(Ordering::Relaxed);
        match Publisher::connect(options, shared).and_then(|publisher| publisher.run(options, shared)) {
            Ok(()) => debug_assert!(shared.is_stopping()),
            Err(error) => tracing::warn!(name = %options.name, "{error}; trying again in {backoff_ms} ms"),
        }
        if shared.publications.load(Ordering::Relaxed) > published_before {
            backoff_ms = DEMO_BACKOFF_MS_MIN;
        }
        shared.sleep_until(Instant::now() + Duration::from_millis(backoff_ms));
        backoff_ms = (backoff_ms * 2).min(DEMO_BACKOFF_MS_MAX);
    }
}
