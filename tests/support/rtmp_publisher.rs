//! A publisher of synthetic frames in real time: 30 pictures a second of H.264 and AAC at 48 kHz, made of
//! nothing but headers and a counter, so that a hundred of them cost a test no encoder.

// Each test uses a part of this.
#![allow(dead_code)]

use crate::support::tls::{TlsSocket, connect};
use rapidrtmp::media::TrackKind;
use rapidrtmp::rtmp::{ClientConfig, ClientError, ClientEvent, ClientSession, HANDSHAKE_RANDOM_BYTES};
use rustls::ClientConfig as TlsConfig;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const FPS: u64 = 30;
/// Pictures from one IDR to the next.
const GOP_FRAMES: u64 = 30;
const AAC_FRAME_SAMPLES: u64 = 1024;
const AAC_RATE_HZ: u64 = 48_000;
/// AVCDecoderConfigurationRecord of x264 in OBS 30: High, 320x180.
const AVC_CONFIG: &[u8] = &[
    0x01, 0x64, 0x00, 0x0d, 0xff, 0xe1, 0x00, 0x1c, 0x67, 0x64, 0x00, 0x0d, 0xac, 0xd9, 0x41, 0x41, 0x9f,
    0x9f, 0x01, 0x6a, 0x02, 0x02, 0x02, 0x80, 0x00, 0x00, 0x03, 0x00, 0x80, 0x00, 0x00, 0x1e, 0x47, 0x8a,
    0x14, 0xcb, 0x01, 0x00, 0x04, 0x68, 0xef, 0xbc, 0xb0, 0xfd, 0xf8, 0xf8, 0x00,
];
const AUDIO_SPECIFIC_CONFIG: [u8; 2] = [0x11, 0x90];
const READ_EVERY: Duration = Duration::from_millis(20);

/// Why a connection cannot publish.
#[derive(Debug)]
pub enum Failure {
    Io(io::Error),
    Rtmp(ClientError),
    /// The server ended the publish, with this code.
    Stopped(String),
}

impl Failure {
    /// `NetStream.Publish.BadName` and the like; empty when the server gave none.
    pub fn code(&self) -> &str {
        match self {
            Self::Rtmp(ClientError::Refused { code, .. }) | Self::Stopped(code) => code,
            _ => "",
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        Self::Rtmp(error)
    }
}

/// Bytes both ways.
enum Wire {
    Plain(TcpStream),
    Tls(Box<TlsSocket>),
}

impl Wire {
    fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(socket) => socket,
            Self::Tls(tls) => &tls.sock,
        }
    }
}

impl Read for Wire {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.read(into),
            Self::Tls(tls) => tls.read(into),
        }
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.write(bytes),
            Self::Tls(tls) => tls.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(socket) => socket.flush(),
            Self::Tls(tls) => tls.flush(),
        }
    }
}

/// A connection on which the server has accepted the publish.
pub struct RtmpPublisher {
    wire: Wire,
    session: ClientSession,
    /// Bytes of each coded picture.
    pub picture_bytes: usize,
    pictures: u64,
    sounds: u64,
}

impl RtmpPublisher {
    /// Publishes `live/KEY`; waits for the server's word as long as it takes, up to 15 s.
    pub fn connect(address: SocketAddr, key: &str, token: Option<&str>) -> Result<Self, Failure> {
        Self::ask(address, key, token)?.until_accepted()
    }

    /// The same over TLS, to `localhost`.
    pub fn connect_tls(address: SocketAddr, key: &str, tls: &Arc<TlsConfig>) -> Result<Self, Failure> {
        let wire = Wire::Tls(Box::new(connect(address, "localhost", tls)?));
        Self::over(wire, address, key, None)?.until_accepted()
    }

    /// The same over a TLS connection that is there.
    pub fn over_tls(tls: TlsSocket, key: &str) -> Result<Self, Failure> {
        let address = tls.sock.peer_addr()?;
        Self::over(Wire::Tls(Box::new(tls)), address, key, None)?.until_accepted()
    }

    fn until_accepted(self) -> Result<Self, Failure> {
        let mut publisher = self;
        let end = Instant::now() + Duration::from_secs(15);
        while !publisher.session.is_publishing() {
            publisher.exchange()?;
            if Instant::now() > end {
                return Err(io::Error::from(io::ErrorKind::TimedOut).into());
            }
        }
        Ok(publisher)
    }

    /// The same over a TCP connection that is there.
    pub fn over_tcp(socket: TcpStream, key: &str) -> Result<Self, Failure> {
        let address = socket.peer_addr()?;
        Self::over(Wire::Plain(socket), address, key, None)?.until_accepted()
    }

    /// A connection that has sent nothing yet.
    pub fn ask(address: SocketAddr, key: &str, token: Option<&str>) -> Result<Self, Failure> {
        Self::over(Wire::Plain(TcpStream::connect(address)?), address, key, token)
    }

    fn over(wire: Wire, address: SocketAddr, key: &str, token: Option<&str>) -> Result<Self, Failure> {
        let socket = wire.socket();
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(READ_EVERY))?;
        socket.set_write_timeout(Some(Duration::from_secs(10)))?;
        let config = ClientConfig::new(&address.to_string(), "live", key, token);
        let session = ClientSession::new(config, [7; HANDSHAKE_RANDOM_BYTES]);
        Ok(Self { wire, session, picture_bytes: 1200, pictures: 0, sounds: 0 })
    }

    /// Goes on with the opening for as long as the server has something to say.
    pub fn exchange(&mut self) -> Result<(), Failure> {
        self.flush()?;
        let mut received = [0; 4096];
        let count = match self.wire.read(&mut received) {
            Ok(0) => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
            Ok(count) => count,
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        let mut input = &received[..count];
        while let Some(event) = self.session.poll(&mut input)? {
            if let ClientEvent::Stopped { code, .. } = event {
                return Err(Failure::Stopped(code));
            }
        }
        self.flush()
    }

    /// Sends all that is due `elapsed` after the first picture.
    pub fn send_until(&mut self, elapsed: Duration) -> Result<(), Failure> {
        if self.pictures == 0 {
            self.write(TrackKind::Video, 0, &[&[0x17, 0, 0, 0, 0], AVC_CONFIG])?;
            self.write(TrackKind::Audio, 0, &[&[0xaf, 0], &AUDIO_SPECIFIC_CONFIG])?;
        }
        let elapsed_ms = elapsed.as_millis() as u64;
        while self.pictures * 1000 / FPS <= elapsed_ms {
            let at_ms = self.pictures * 1000 / FPS;
            while self.sounds * AAC_FRAME_SAMPLES * 1000 / AAC_RATE_HZ <= at_ms {
                let sound_ms = self.sounds * AAC_FRAME_SAMPLES * 1000 / AAC_RATE_HZ;
                self.write(TrackKind::Audio, sound_ms, &[&[0xaf, 1], &[0x21; 180]])?;
                self.sounds += 1;
            }
            let is_idr = self.pictures.is_multiple_of(GOP_FRAMES);
            let mut unit = vec![self.pictures as u8; self.picture_bytes];
            unit[0] = if is_idr { 0x65 } else { 0x41 };
            let length = (unit.len() as u32).to_be_bytes();
            let header = [if is_idr { 0x17 } else { 0x27 }, 1, 0, 0, 0];
            self.write(TrackKind::Video, at_ms, &[&header, &length, &unit])?;
            self.pictures += 1;
        }
        Ok(())
    }

    /// Publishes in real time for so long; the server's end is an error.
    pub fn run(&mut self, for_time: Duration) -> Result<(), Failure> {
        self.run_while(|elapsed| elapsed < for_time)
    }

    fn run_while(&mut self, goes_on: impl Fn(Duration) -> bool) -> Result<(), Failure> {
        let began = Instant::now();
        let before_ms = self.pictures * 1000 / FPS;
        while goes_on(began.elapsed()) {
            self.send_until(Duration::from_millis(before_ms) + began.elapsed())?;
            // Returns after 20 ms when there is nothing.
            self.exchange()?;
        }
        Ok(())
    }

    /// Sends bytes that are no RTMP.
    pub fn send_raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.wire.write_all(bytes)
    }

    /// FCUnpublish and deleteStream, as OBS does when its user stops.
    pub fn unpublish(mut self) -> Result<(), Failure> {
        self.session.unpublish()?;
        self.flush()
    }

    /// Ends the connection by a reset: a host that crashed, a cable that was pulled.
    pub fn reset(self) {
        let linger = socket2::SockRef::from(self.wire.socket()).set_linger(Some(Duration::ZERO));
        linger.expect("a reset at close");
    }

    /// Waits until the server says something that ends the connection.
    pub fn end(&mut self, within: Duration) -> Option<Failure> {
        let end = Instant::now() + within;
        while Instant::now() < end {
            if let Err(failure) = self.exchange() {
                return Some(failure);
            }
        }
        None
    }

    /// The connection itself, for a test that does not read or write as it should.
    pub fn socket(&self) -> &TcpStream {
        self.wire.socket()
    }

    fn write(&mut self, kind: TrackKind, at_ms: u64, pieces: &[&[u8]]) -> Result<(), Failure> {
        self.session.write_media(kind, at_ms as u32, pieces)?;
        self.flush()
    }

    fn flush(&mut self) -> Result<(), Failure> {
        let output = self.session.output();
        let count = output.len();
        self.wire.write_all(output)?;
        self.session.output_written(count);
        Ok(())
    }
}

/// A publisher on a thread of its own, until it is dropped.
pub struct Running {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<RtmpPublisher, Failure>>>,
}

impl Running {
    /// Publishes `live/KEY` where anyone may.
    ///
    /// # Panics
    /// When the server refuses.
    pub fn start(address: SocketAddr, key: &str) -> Self {
        let publisher = RtmpPublisher::connect(address, key, None);
        Self::go_on(publisher.unwrap_or_else(|failure| panic!("live/{key} is published: {failure:?}")))
    }

    /// Goes on publishing on a connection.
    pub fn go_on(mut publisher: RtmpPublisher) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopping = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            publisher.run_while(|_| !stopping.load(Ordering::Relaxed))?;
            Ok(publisher)
        });
        Self { stop, thread: Some(thread) }
    }

    /// The server has ended it.
    pub fn has_ended(&self) -> bool {
        self.thread.as_ref().is_some_and(JoinHandle::is_finished)
    }

    /// Stops publishing; the connection, or why it ended before.
    pub fn stop(mut self) -> Result<RtmpPublisher, Failure> {
        self.stop.store(true, Ordering::Relaxed);
        let thread = self.thread.take().expect("a publisher is stopped once");
        thread.join().expect("the publisher's thread does not panic")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}
