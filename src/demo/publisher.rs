//! One connection of the demo encoder: an RTMP session over a blocking socket, and the frames that are
//! sent on it, each at its deadline.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::encoder::{VideoEncoder, VideoSettings};
use super::picture::Picture;
use super::schedule::{Schedule, audio_ms};
use super::sound::{AUDIO_SPECIFIC_CONFIG, CHANNELS, SAMPLE_RATE, Sound};
use super::tags::{AAC_FRAME_HEADER, aac_config, avc_config, avc_frame_header};
use super::{DemoError, DemoOptions, Shared};
use crate::limits::{DEMO_CLOSE_MS_MAX, DEMO_CONNECT_MS_MAX, DEMO_READ_MS_MAX, DEMO_WRITE_MS_MAX};
use crate::media::TrackKind;
use crate::rtmp::{ClientConfig, ClientEvent, ClientSession, HANDSHAKE_RANDOM_BYTES, StreamMetadata};

/// FLV's numbers of the codecs, as onMetaData names them (annex E.4.2.1, E.4.3.1).
const FLV_AVC: f64 = 7.0;
const FLV_AAC: f64 = 10.0;

/// A connection on which the server has accepted the publish.
pub struct Publisher {
    socket: TcpStream,
    session: ClientSession,
    received: [u8; 4096],
}

impl Publisher {
    /// Connects and publishes.
    ///
    /// # Errors
    /// When the server cannot be reached, refuses, or takes longer than `DEMO_CONNECT_MS_MAX`.
    pub fn connect(options: &DemoOptions, shared: &Shared) -> Result<Self, DemoError> {
        let mut random = [0; HANDSHAKE_RANDOM_BYTES];
        getrandom::fill(&mut random).map_err(|error| DemoError::Io("get random bytes", error.into()))?;
        let host = options.rtmp.to_string();
        let name = &options.name;
        let token = options.token.as_ref().map(|give| give());
        let config = ClientConfig::new(&host, name.app(), name.key(), token.as_deref());
        let give_up = Duration::from_millis(DEMO_CONNECT_MS_MAX);
        let mut publisher = Self {
            socket: connect(options, give_up).map_err(|error| DemoError::Io("connect", error))?,
            session: ClientSession::new(config, random),
            received: [0; 4096],
        };
        let deadline = Instant::now() + give_up;
        while !publisher.session.is_publishing() && !shared.is_stopping() {
            publisher.flush()?;
            publisher.receive()?;
            if Instant::now() >= deadline {
                return Err(DemoError::NotAccepted(DEMO_CONNECT_MS_MAX));
            }
        }
        Ok(publisher)
    }

    /// Sends picture and sound until the encoder is to stop; then unpublishes.
    ///
    /// # Errors
    /// When the connection ends, or a picture cannot be encoded.
    pub fn run(mut self, options: &DemoOptions, shared: &Shared) -> Result<(), DemoError> {
        if shared.is_stopping() {
            return Ok(());
        }
        shared.publications.fetch_add(1, Ordering::Relaxed);
        tracing::info!(name = %options.name, "the demo is on air");
        self.send_frames(options, shared)?;
        self.unpublish()
    }

    /// Unpublishes and waits until the server has closed, too: a socket that is closed with bytes unread is
    /// reset, and the server would lose what it has not read yet.
    fn unpublish(mut self) -> Result<(), DemoError> {
        self.session.unpublish()?;
        self.flush()?;
        self.socket.shutdown(Shutdown::Write).map_err(|error| DemoError::Io("end its connection", error))?;
        let deadline = Instant::now() + Duration::from_millis(DEMO_CLOSE_MS_MAX);
        while Instant::now() < deadline {
            match self.socket.read(&mut self.received) {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) if is_nothing_yet(error.kind()) => {}
                // Reset: the server is gone, which is what is waited for.
                Err(_) => break,
            }
        }
        Ok(())
    }

    fn send_frames(&mut self, options: &DemoOptions, shared: &Shared) -> Result<(), DemoError> {
        let schedule = Schedule { fps: options.fps };
        let mut picture = Picture::new(options.width, options.height);
        let mut encoder = VideoEncoder::new(VideoSettings::from(options))?;
        let sound = Sound::starting_at(unix_ms())?;
        self.session.write_metadata(&metadata(options))?;
        self.send(TrackKind::Audio, 0, &[&aac_config(AUDIO_SPECIFIC_CONFIG)])?;
        let start = Instant::now();
        let (mut frame, mut sound_frame) = (0, 0);
        loop {
            shared.sleep_until(start + schedule.due(frame));
            if shared.is_stopping() {
                return Ok(());
            }
            picture.paint(unix_ms(), frame);
            let at_ms = schedule.video_ms(frame);
            let unit = encoder.encode(&picture, at_ms)?;
            if frame == 0 {
                let config = avc_config(unit.sps, unit.pps).ok_or(DemoError::ParameterSets)?;
                self.send(TrackKind::Video, 0, &[&config])?;
            }
            // Both tracks' timestamps rise together, as encoders interleave them.
            while audio_ms(sound_frame) <= at_ms {
                let pieces = [&AAC_FRAME_HEADER, sound.frame(sound_frame)];
                self.send(TrackKind::Audio, audio_ms(sound_frame), &pieces)?;
                sound_frame += 1;
            }
            self.send(TrackKind::Video, at_ms, &[&avc_frame_header(unit.idr), unit.avcc])?;
            shared.frames_sent.fetch_add(1, Ordering::Relaxed);
            self.receive_what_is_there()?;
            frame = schedule.next(frame, start.elapsed());
        }
    }

    /// One message, written to the socket at once.
    fn send(&mut self, kind: TrackKind, at_ms: u64, pieces: &[&[u8]]) -> Result<(), DemoError> {
        // RTMP's timestamps have 32 bits and wrap, after 49.7 days.
        self.session.write_media(kind, at_ms as u32, pieces)?;
        self.flush()
    }

    fn flush(&mut self) -> Result<(), DemoError> {
        let output = self.session.output();
        let count = output.len();
        self.socket.write_all(output).map_err(|error| DemoError::Io("send", error))?;
        self.session.output_written(count);
        Ok(())
    }

    /// Acknowledgements, pings and, when we are unlucky, the end: all that has arrived.
    fn receive_what_is_there(&mut self) -> Result<(), DemoError> {
        let blocking = |socket: &TcpStream, on: bool| {
            socket.set_nonblocking(!on).map_err(|error| DemoError::Io("switch its socket", error))
        };
        blocking(&self.socket, false)?;
        while self.receive()? {}
        blocking(&self.socket, true)?;
        self.flush()
    }

    /// Reads once; false when nothing came in time.
    fn receive(&mut self) -> Result<bool, DemoError> {
        let count = match self.socket.read(&mut self.received) {
            Ok(0) => return Err(DemoError::Closed),
            Ok(count) => count,
            // A timed-out read is either of the first two, by platform.
            Err(error) if is_nothing_yet(error.kind()) => return Ok(false),
            Err(error) => return Err(DemoError::Io("receive", error)),
        };
        let mut input = &self.received[..count];
        while let Some(event) = self.session.poll(&mut input)? {
            match event {
                ClientEvent::Publishing => {}
                ClientEvent::Stopped { code, description } => {
                    return Err(DemoError::Stopped { code, description });
                }
            }
        }
        Ok(true)
    }
}

fn connect(options: &DemoOptions, give_up: Duration) -> io::Result<TcpStream> {
    let socket = TcpStream::connect_timeout(&options.rtmp, give_up)?;
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(Duration::from_millis(DEMO_READ_MS_MAX)))?;
    socket.set_write_timeout(Some(Duration::from_millis(DEMO_WRITE_MS_MAX)))?;
    Ok(socket)
}

fn is_nothing_yet(kind: io::ErrorKind) -> bool {
    matches!(kind, io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted)
}

fn unix_ms() -> u64 {
    // A clock before 1970 shows 0: wrong, as it is.
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

fn metadata(options: &DemoOptions) -> StreamMetadata {
    StreamMetadata {
        width: Some(options.width.into()),
        height: Some(options.height.into()),
        framerate: Some(options.fps.into()),
        video_codec: Some(FLV_AVC),
        audio_codec: Some(FLV_AAC),
        audio_sample_rate: Some(SAMPLE_RATE.into()),
        audio_channels: Some(CHANNELS.into()),
        stereo: Some(true),
        ..StreamMetadata::default()
    }
}

impl From<&DemoOptions> for VideoSettings {
    fn from(options: &DemoOptions) -> Self {
        Self { fps: options.fps, gop_frames: options.gop_frames, bitrate_bits: options.bitrate_bits }
    }
}
