//! An RTMP publisher of the tests' own, which sends recorded tags with any timestamps: what encoders do
//! only once in a while.

use super::publisher::Source;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

const CHUNK_BYTES: usize = 60_000;
const REPLY_WITHIN: Duration = Duration::from_secs(10);

/// One FLV tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tag {
    /// RTMP message type: 8 audio, 9 video, 18 metadata.
    pub kind: u8,
    pub timestamp_ms: u32,
    pub body: Vec<u8>,
}

pub const AUDIO: u8 = 8;
pub const VIDEO: u8 = 9;

/// What ffmpeg would publish of a source that ends by itself.
pub fn record(source: &Source) -> Vec<Tag> {
    let directory = tempfile::tempdir().expect("a directory for a recording");
    let path = directory.path().join("recording.flv");
    let mut publisher = source.publish(&path.to_string_lossy());
    let ended = publisher.wait(Duration::from_secs(60));
    assert!(ended.is_some_and(|status| status.success()), "ffmpeg records: {}", publisher.log());
    parse_flv(&std::fs::read(&path).expect("reads the recording"))
}

/// The tags of an FLV file.
pub fn parse_flv(bytes: &[u8]) -> Vec<Tag> {
    let mut tags = Vec::new();
    // File header and the size of no tag before the first.
    let mut rest = bytes.get(13..).unwrap_or_default();
    while let Some((header, after)) = rest.split_at_checked(11) {
        let u24 = |at: usize| u32::from_be_bytes([0, header[at], header[at + 1], header[at + 2]]);
        let length = u24(1) as usize;
        let Some(body) = after.get(..length) else { break };
        tags.push(Tag {
            kind: header[0],
            timestamp_ms: u24(4) | u32::from(header[7]) << 24,
            body: body.to_vec(),
        });
        rest = after.get(length + 4..).unwrap_or_default();
    }
    tags
}

/// A publishing connection.
pub struct Replay {
    stream: TcpStream,
}

impl Replay {
    /// Publishes to `live/KEY`.
    pub fn publish(address: SocketAddr, key: &str) -> io::Result<Self> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(REPLY_WITHIN))?;
        let mut hello = vec![0; 1537];
        hello[0] = 3;
        stream.write_all(&hello)?;
        let mut reply = vec![0; 1 + 2 * 1536];
        stream.read_exact(&mut reply)?;
        stream.write_all(&reply[1..1537])?;
        let mut replay = Self { stream };
        replay.message(2, 1, 0, 0, &(CHUNK_BYTES as u32).to_be_bytes())?;
        let url = format!("rtmp://{address}/live");
        let properties = [("app", "live"), ("type", "nonprivate"), ("flashVer", "FMLE/3.0"), ("tcUrl", &url)];
        let mut connect = [string("connect"), number(1.0), vec![3]].concat();
        for (name, value) in properties {
            connect.extend(u16::try_from(name.len()).expect("a short name").to_be_bytes());
            connect.extend(name.as_bytes());
            connect.extend(string(value));
        }
        connect.extend([0, 0, 9]);
        replay.message(3, 20, 0, 0, &connect)?;
        replay.wait_for(b"NetConnection.Connect.Success")?;
        replay.message(3, 20, 0, 0, &[string("createStream"), number(2.0), vec![5]].concat())?;
        replay.wait_for(b"_result")?;
        let publish = [string("publish"), number(3.0), vec![5], string(key), string("live")].concat();
        replay.message(3, 20, 1, 0, &publish)?;
        replay.wait_for(b"NetStream.Publish.Start")?;
        // What the server says from here on is of no interest, but has to be read.
        let mut drain = replay.stream.try_clone()?;
        drain.set_read_timeout(None)?;
        std::thread::spawn(move || while matches!(drain.read(&mut [0; 4096]), Ok(1..)) {});
        Ok(replay)
    }

    /// Sends tags in real time by their own timestamps; `stamp` says which ones the server sees, or
    /// `None` to leave the tag out.
    pub fn play(&mut self, tags: &[Tag], mut stamp: impl FnMut(&Tag) -> Option<u32>) -> io::Result<()> {
        let began = Instant::now();
        for tag in tags {
            let due = began + Duration::from_millis(u64::from(tag.timestamp_ms));
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            if let Some(timestamp_ms) = stamp(tag) {
                let chunk_stream = if tag.kind == VIDEO { 6 } else { 4 };
                self.message(chunk_stream, tag.kind, 1, timestamp_ms, &tag.body)?;
            }
        }
        Ok(())
    }

    /// One message, its first chunk with a whole header (5.3.1.2.1).
    fn message(
        &mut self,
        chunk_stream: u8,
        kind: u8,
        stream: u32,
        timestamp_ms: u32,
        body: &[u8],
    ) -> io::Result<()> {
        let extended = timestamp_ms >= 0xff_ffff;
        let mut bytes = vec![chunk_stream];
        bytes.extend(&timestamp_ms.min(0xff_ffff).to_be_bytes()[1..]);
        bytes.extend(&u32::try_from(body.len()).map_err(io::Error::other)?.to_be_bytes()[1..]);
        bytes.push(kind);
        bytes.extend(stream.to_le_bytes());
        // The first message announces the chunk size; it is shorter than any.
        for (index, chunk) in body.chunks(CHUNK_BYTES).enumerate() {
            if index > 0 {
                bytes.push(0xc0 | chunk_stream);
            }
            if extended {
                bytes.extend(timestamp_ms.to_be_bytes());
            }
            bytes.extend(chunk);
        }
        self.stream.write_all(&bytes)
    }

    /// Reads until the server has said that word.
    fn wait_for(&mut self, word: &[u8]) -> io::Result<()> {
        let mut said = Vec::new();
        let mut chunk = [0; 4096];
        loop {
            match self.stream.read(&mut chunk)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => said.extend_from_slice(&chunk[..read]),
            }
            if said.windows(word.len()).any(|window| window == word) {
                return Ok(());
            }
        }
    }
}

impl Drop for Replay {
    fn drop(&mut self) {
        // It may be closed already.
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}

/// AMF0 string.
fn string(text: &str) -> Vec<u8> {
    let length = u16::try_from(text.len()).expect("a short string");
    [&[2][..], &length.to_be_bytes(), text.as_bytes()].concat()
}

/// AMF0 number.
fn number(value: f64) -> Vec<u8> {
    [&[0][..], &value.to_be_bytes()].concat()
}
