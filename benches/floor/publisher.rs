//! The stream that the real server's viewers watch: 720p30 at a constant 2 Mbit/s, a keyframe a second, no
//! B-frames, and AAC of 128 kbit/s. All frames of a track have the same size, so that parts have too.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    thread,
    time::{Duration, Instant},
};

use rapidrtmp::{
    media::TrackKind,
    rtmp::{ClientConfig, ClientSession, HANDSHAKE_RANDOM_BYTES},
};

pub const KEY: &str = "bench";
const FPS: u64 = 30;
const VIDEO_FRAME_BYTES: usize = 2_000_000 / 8 / FPS as usize;
const AUDIO_HZ: u64 = 48_000;
const AUDIO_FRAME_SAMPLES: u64 = 1024;
const AUDIO_FRAME_BYTES: usize = (128_000 / 8 * AUDIO_FRAME_SAMPLES / AUDIO_HZ) as usize;
/// High profile, level 3.1, 1280x720, 30 frames a second.
const SPS: [u8; 28] = [
    0x67, 0x64, 0x00, 0x1f, 0xac, 0xd9, 0x40, 0x50, 0x05, 0xbb, 0x01, 0x6a, 0x02, 0x02, 0x02, 0x80, 0x00,
    0x00, 0x03, 0x00, 0x80, 0x00, 0x00, 0x1e, 0x07, 0x8c, 0x18, 0xcb,
];
const PPS: [u8; 6] = [0x68, 0xeb, 0xe3, 0xcb, 0x22, 0xc0];

/// Publishes in real time, on a thread of its own, until the server is gone.
pub fn start(rtmp: SocketAddr) {
    thread::spawn(move || match publish(rtmp) {
        Err(error) if is_end(error.kind()) => {}
        ended => eprintln!("the publisher ended: {ended:?}"),
    });
}

fn is_end(kind: io::ErrorKind) -> bool {
    matches!(kind, io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe)
}

fn publish(rtmp: SocketAddr) -> io::Result<()> {
    let config = ClientConfig::new(&rtmp.to_string(), "live", KEY, None);
    let mut publisher = Publisher {
        socket: TcpStream::connect(rtmp)?,
        session: ClientSession::new(config, [7; HANDSHAKE_RANDOM_BYTES]),
    };
    publisher.socket.set_nodelay(true)?;
    publisher.flush()?;
    while !publisher.session.is_publishing() {
        publisher.receive()?;
        publisher.flush()?;
    }
    publisher.socket.set_nonblocking(true)?;
    publisher.send(TrackKind::Video, 0, &[&[0x17, 0, 0, 0, 0], &avc_config()])?;
    publisher.send(TrackKind::Audio, 0, &[&[0xaf, 0, 0x11, 0x90]])?;
    let (picture, sound) = ([0xa5; VIDEO_FRAME_BYTES], [0x5a; AUDIO_FRAME_BYTES]);
    let unit_bytes = (picture.len() as u32 + 1).to_be_bytes();
    let start = Instant::now();
    let mut sound_frame = 0;
    for frame in 0.. {
        let at_ms = frame * 1000 / FPS;
        thread::sleep((start + Duration::from_millis(at_ms)).saturating_duration_since(Instant::now()));
        let sound_ms = |frame: u64| frame * AUDIO_FRAME_SAMPLES * 1000 / AUDIO_HZ;
        while sound_ms(sound_frame) <= at_ms {
            publisher.send(TrackKind::Audio, sound_ms(sound_frame), &[&[0xaf, 1], &sound])?;
            sound_frame += 1;
        }
        let (tag, unit) = if frame % FPS == 0 { (0x17, 0x65) } else { (0x27, 0x41) };
        let pieces: [&[u8]; 4] = [&[tag, 1, 0, 0, 0], &unit_bytes, &[unit], &picture];
        publisher.send(TrackKind::Video, at_ms, &pieces)?;
        match publisher.receive() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            other => other?,
        }
    }
    unreachable!("it publishes for ever")
}

struct Publisher {
    socket: TcpStream,
    session: ClientSession,
}

impl Publisher {
    fn send(&mut self, kind: TrackKind, at_ms: u64, pieces: &[&[u8]]) -> io::Result<()> {
        self.session.write_media(kind, at_ms as u32, pieces).expect("it publishes");
        self.flush()
    }

    fn flush(&mut self) -> io::Result<()> {
        while !self.session.output().is_empty() {
            match self.socket.write(self.session.output()) {
                Ok(written) => self.session.output_written(written),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    thread::sleep(Duration::from_millis(1));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn receive(&mut self) -> io::Result<()> {
        let mut buffer = [0; 4096];
        let received = self.socket.read(&mut buffer)?;
        if received == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut input = &buffer[..received];
        while self.session.poll(&mut input).expect("the server speaks RTMP").is_some() {}
        Ok(())
    }
}

fn avc_config() -> Vec<u8> {
    let mut record = vec![1, SPS[1], SPS[2], SPS[3], 0xff, 0xe1, 0, SPS.len() as u8];
    record.extend(SPS);
    record.extend([1, 0, PPS.len() as u8]);
    record.extend(PPS);
    record
}
