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

/// Gives a token; asked anew for each connection, since the server may run for longer than one is valid.
pub type TokenSource = Arc<dyn Fn() -> String + Send + Sync>;

/// What the demo encoder shows, and where it publishes it.
#[derive(Clone)]
pub struct DemoOptions {
    /// The RTMP listener.
    pub rtmp: SocketAddr,
    /// What to publish as.
    pub name: StreamName,
    /// Gives the token that allows it; `None` where none is asked for.
    pub token: Option<TokenSource>,
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
    pub fn new(rtmp: SocketAddr, name: StreamName, token: Option<TokenSource>) -> Self {
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

    /// Unpublishes and waits until the thread has ended: until the server has closed the connection, at most
    /// `DEMO_CLOSE_MS_MAX`; `DEMO_WRITE_MS_MAX` more when the server takes no bytes, and `DEMO_CONNECT_MS_MAX`
    /// when a connection attempt gets no answer at all, which loopback does not do.
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

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use super::*;
    use crate::media::{Now, TrackKind};
    use crate::rtmp::{Event, HANDSHAKE_RANDOM_BYTES, ServerConfig, ServerSession};

    /// What a server sees of one connection.
    #[derive(Default)]
    struct Received {
        name: Option<StreamName>,
        token: Option<String>,
        framerate: Option<f64>,
        unpublished: bool,
        /// Complete messages: kind, timestamp in milliseconds, body.
        messages: Vec<(TrackKind, u32, Vec<u8>)>,
    }

    impl Received {
        fn of(&self, kind: TrackKind) -> impl Iterator<Item = (u32, &[u8])> {
            self.messages
                .iter()
                .filter(move |message| message.0 == kind)
                .map(|(_, at, body)| (*at, &body[..]))
        }

        fn videos_count(&self) -> usize {
            self.of(TrackKind::Video).count()
        }

        fn handle(&mut self, event: Event<'_>) {
            match event {
                Event::PublishRequested(request) => {
                    self.token = request.token.map(|token| token.expose().to_owned());
                    self.name = Some(request.name);
                }
                Event::Media(fragment) => {
                    if fragment.first {
                        self.messages.push((fragment.kind, fragment.timestamp_ms, Vec::new()));
                    }
                    self.messages.last_mut().unwrap().2.extend(fragment.payload);
                }
                Event::Metadata(metadata) => self.framerate = metadata.framerate,
                Event::Unpublished(_) => self.unpublished = true,
                Event::PublishRefused(_) | Event::MediaAborted(_) => {
                    panic!("the demo sent something unusable")
                }
            }
        }
    }

    /// Serves one connection until it ends or `enough` was received; then it is closed.
    fn serve(listener: &TcpListener, mut enough: impl FnMut(&Received) -> bool) -> Received {
        let (mut socket, _) = listener.accept().unwrap();
        let now = Now::default();
        let mut session = ServerSession::new(ServerConfig::default(), [7; HANDSHAKE_RANDOM_BYTES], now);
        let mut received = Received::default();
        let mut buffer = [0; 4096];
        while !enough(&received) {
            let Ok(count @ 1..) = socket.read(&mut buffer) else { break };
            let mut input = &buffer[..count];
            while let Some(event) = session.poll(&mut input, now).unwrap() {
                let asked = matches!(event, Event::PublishRequested(_));
                received.handle(event);
                if asked {
                    session.accept_publish(now);
                }
            }
            let output = session.output();
            let count = output.len();
            if socket.write_all(output).is_err() {
                break;
            }
            session.output_written(count);
        }
        received
    }

    fn start(listener: &TcpListener, token: Option<TokenSource>) -> DemoHandle {
        let name = StreamName::new("live", "demo").unwrap();
        let address = listener.local_addr().unwrap();
        spawn(DemoOptions::new(address, name, token)).unwrap()
    }

    #[test]
    fn publishes_configs_then_frames_with_the_timestamps_of_their_numbers() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let demo = start(&listener, Some(Arc::new(|| "secret".to_owned())));
        let received = serve(&listener, |received| received.videos_count() > 12);
        drop(demo);
        assert_eq!(received.name, StreamName::new("live", "demo").ok());
        assert_eq!(received.token.as_deref(), Some("secret"));
        assert_eq!(received.framerate, Some(30.0));

        let mut video = received.of(TrackKind::Video);
        let (at, config) = video.next().unwrap();
        assert_eq!((at, &config[..6]), (0, &[0x17, 0, 0, 0, 0, 1][..]));
        let (at, first) = video.next().unwrap();
        assert_eq!((at, &first[..5]), (0, &[0x17, 1, 0, 0, 0][..]));
        // A machine under load may make the demo skip frames; those that come are on the grid all the same.
        let on_grid =
            |at: u32| (0..).map(|frame| frame * 1000 / 30).take_while(|&due| due <= at).last() == Some(at);
        let times: Vec<u32> = video.map(|(at, _)| at).collect();
        assert!(times.is_sorted_by(|a, b| a < b) && times.into_iter().all(on_grid));

        let mut audio = received.of(TrackKind::Audio);
        assert_eq!(audio.next(), Some((0, &[0xaf, 0, 0x11, 0x90][..])));
        for ((at, body), frame) in audio.zip(0u32..) {
            assert_eq!((at, &body[..2]), (frame * 64 / 3, &[0xaf, 1][..]));
        }
        let times: Vec<u32> = received.messages.iter().map(|message| message.1).collect();
        assert!(times.is_sorted(), "both tracks rise together: {times:?}");
    }

    #[test]
    fn comes_back_after_the_server_went_away_and_unpublishes_when_stopped() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let asked = AtomicU64::new(0);
        // A day may lie between the two connections.
        let token = move || format!("token {}", asked.fetch_add(1, Ordering::Relaxed));
        let demo = start(&listener, Some(Arc::new(token)));
        let first = serve(&listener, |received| received.videos_count() > 2);
        assert_eq!((first.token.as_deref(), first.unpublished), (Some("token 0"), false));
        let mut demo = Some(demo);
        let mut stopping = None;
        let second = serve(&listener, |received| {
            if received.videos_count() > 2 && stopping.is_none() {
                let demo = demo.take().unwrap();
                assert_eq!(demo.publications(), 2);
                stopping = Some(thread::spawn(|| demo.stop()));
            }
            false
        });
        stopping.unwrap().join().unwrap();
        assert!(second.unpublished);
        assert_eq!(second.token.as_deref(), Some("token 1"));
        assert_eq!(second.of(TrackKind::Video).next().unwrap().0, 0, "a new connection begins anew");
    }

    #[test]
    fn stops_while_there_is_no_server() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let demo = spawn(DemoOptions::new(address, StreamName::new("live", "demo").unwrap(), None)).unwrap();
        assert_eq!((demo.publications(), demo.frames_sent()), (0, 0));
        demo.stop();
    }

    #[test]
    fn options_out_of_range_are_refused() {
        let address = SocketAddr::from(([127, 0, 0, 1], 1));
        let good = DemoOptions::new(address, StreamName::new("live", "demo").unwrap(), None);
        assert!(good.check().is_ok());
        for bad in [
            DemoOptions { width: 0, ..good.clone() },
            DemoOptions { width: 641, ..good.clone() },
            DemoOptions { height: 4320, ..good.clone() },
            DemoOptions { fps: 0, ..good.clone() },
            DemoOptions { gop_frames: 0, ..good.clone() },
            DemoOptions { bitrate_bits: u32::MAX, ..good.clone() },
        ] {
            assert!(spawn(bad).is_err());
        }
    }
}
