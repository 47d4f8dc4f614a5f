//! What hostile peers send: random bytes, recordings of real publishers that are cut and mutated, requests that
//! are, and frames of HTTP/2 that should not be.

use crate::random::Random;
use crate::support::http2::{frame, get, post};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

/// How long a peer listens to what it is told before it leaves.
const LISTENS_FOR: Duration = Duration::from_millis(10);
/// Bytes of a recording that are sent at most: its opening and the first seconds of its media.
const RECORDING_BYTES_MAX: usize = 48 * 1024;

/// Pieces that change what a request means.
const PIECES: &[&str] = &[
    "\r\n",
    "\n",
    "\r\n\r\n",
    " ",
    ":",
    "\0",
    "%2f",
    "%",
    "..",
    "?",
    ",",
    "\u{e9}",
    "Content-Length: 1\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Host: x\r\n",
    "HTTP/1.0",
    "HTTP/2.0",
    "99999999999999999999",
    "_HLS_msn=1&",
];

/// Everything that noise is made of.
pub struct Noise {
    recordings: Vec<Vec<u8>>,
    requests: Vec<String>,
    client_hello: Vec<u8>,
}

impl Noise {
    /// Requests are for the stream of this media playlist.
    pub fn new(playlist: &str) -> Self {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/rtmp-captures");
        let mut paths: Vec<_> = std::fs::read_dir(directory)
            .expect("the recordings")
            .map(|entry| entry.expect("a file").path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "bin"))
            .collect();
        paths.sort();
        let recordings: Vec<_> = paths.iter().map(|path| std::fs::read(path).expect("a recording")).collect();
        assert!(recordings.len() > 20);
        let host = "Host: media.example:8080\r\n";
        let requests = vec![
            format!("GET {playlist}?_HLS_msn=7&_HLS_part=1 HTTP/1.1\r\n{host}Accept-Encoding: gzip\r\n\r\n"),
            format!(
                "GET {playlist} HTTP/1.1\r\n{host}\r\nGET {playlist}?_HLS_skip=YES HTTP/1.1\r\n{host}\r\n"
            ),
            format!("GET /live/other/0f3k9q2c0000/v-17.m4s HTTP/1.1\r\n{host}Range: bytes=2-5\r\n\r\n"),
            format!("HEAD http://h:80/a%20b?c HTTP/1.1\r\n{host}If-None-Match: W/\"x\"\r\n\r\n"),
            format!(
                "POST /api/v1/publish HTTP/1.1\r\n{host}Content-Length: 12\r\nExpect: 100-continue\r\n\r\n{{\"a\":\"bcde\"}}"
            ),
            format!("OPTIONS * HTTP/1.0\r\n{host}Connection: keep-alive, close\r\n\r\n"),
            format!(
                "POST / HTTP/1.1\r\n{host}Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n"
            ),
            format!("GET /metrics HTTP/1.1\r\n{host}\r\n"),
        ];
        Self { recordings, requests, client_hello: client_hello() }
    }

    /// One session on the RTMP port.
    pub fn rtmp(&self, random: &mut Random) -> Vec<u8> {
        let recording = &self.recordings[random.below(self.recordings.len())];
        let recording = &recording[..recording.len().min(RECORDING_BYTES_MAX)];
        match random.below(5) {
            0 => bytes(random, 6000),
            // Behind a handshake that is none of theirs.
            1 => {
                let mut opening = vec![3];
                opening.extend((0..2 * 1536).map(|_| random.below(256) as u8));
                opening.extend(bytes(random, 3000));
                opening
            }
            // Cut anywhere, and nothing else the matter with it.
            2 => recording[..random.below(recording.len())].to_vec(),
            // In the handshake.
            3 => {
                let end = 3073 + random.below(600);
                mutated(random, &recording[..end], 3073)
            }
            _ => {
                let end = 3073 + random.below(recording.len() - 3073);
                mutated(random, &recording[..end], end)
            }
        }
    }

    /// One connection on the HTTP port.
    pub fn http(&self, random: &mut Random) -> Vec<u8> {
        match random.below(5) {
            0 => bytes(random, 3000),
            1 => frames(random),
            _ => {
                let mut request = self.requests[random.below(self.requests.len())].as_bytes().to_vec();
                for _ in 0..random.below(4) {
                    let at = random.below(request.len());
                    let piece = PIECES[random.below(PIECES.len())];
                    request.splice(at..at, piece.bytes());
                }
                let end = request.len();
                mutated(random, &request, end)
            }
        }
    }

    /// One connection on the HTTPS port that gets no further than its handshake.
    pub fn tls(&self, random: &mut Random) -> Vec<u8> {
        match random.below(3) {
            0 => bytes(random, 3000),
            1 => [self.client_hello.clone(), bytes(random, 500)].concat(),
            _ => mutated(random, &self.client_hello, self.client_hello.len()),
        }
    }
}

fn bytes(random: &mut Random, end: usize) -> Vec<u8> {
    (0..random.below(end)).map(|_| random.below(256) as u8).collect()
}

/// A few bytes changed, taken out or put in before `end`; sometimes cut.
fn mutated(random: &mut Random, of: &[u8], end: usize) -> Vec<u8> {
    let mut bytes = of.to_vec();
    for _ in 0..=random.below(6) {
        let at = random.below(end.min(bytes.len()).max(1));
        match random.below(5) {
            0..3 if at < bytes.len() => bytes[at] = random.below(256) as u8,
            3 => drop(bytes.drain(at..(at + random.below(9)).min(bytes.len()))),
            _ => bytes.insert(at, random.below(256) as u8),
        }
    }
    if random.below(4) == 0 {
        bytes.truncate(random.below(bytes.len() + 1));
    }
    bytes
}

/// The preface of HTTP/2, and frames of any kind.
fn frames(random: &mut Random) -> Vec<u8> {
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    for _ in 0..random.below(12) {
        let stream = random.below(8) as u32;
        bytes.extend(match random.below(4) {
            0 => get(stream, "/live/s0/index.m3u8"),
            1 => post(stream, "/api/v1/publish"),
            _ => {
                let payload: Vec<u8> = (0..random.below(40)).map(|_| random.below(256) as u8).collect();
                frame(random.below(12) as u8, random.below(64) as u8, stream, &payload)
            }
        });
    }
    bytes
}

/// The first flight of a real TLS client.
pub fn client_hello() -> Vec<u8> {
    let config = crate::support::tls::client_config(&[], &["h2", "http/1.1"], &[&rustls::version::TLS13]);
    let name = rustls::pki_types::ServerName::try_from("localhost").expect("a name");
    let mut client = rustls::ClientConnection::new(config, name).expect("a client");
    let mut hello = Vec::new();
    client.write_tls(&mut hello).expect("a vector takes it all");
    hello
}

/// Sends it in one or two pieces, listens a little, and leaves in one of three ways. A server that closes early
/// is right to.
pub fn send(random: &mut Random, address: SocketAddr, bytes: &[u8]) {
    let mut socket = TcpStream::connect(address).expect("the server accepts connections all the while");
    socket.set_write_timeout(Some(Duration::from_secs(5))).expect("a timeout");
    socket.set_read_timeout(Some(LISTENS_FOR)).expect("a timeout");
    let (first, second) = bytes.split_at(random.below(bytes.len() + 1));
    let _ = socket.write_all(first).and_then(|()| socket.write_all(second));
    match random.below(3) {
        // A reset, if something is unread.
        0 => return,
        1 => drop(socket.shutdown(Shutdown::Write)),
        _ => {}
    }
    for _ in 0..3 {
        if !matches!(socket.read(&mut [0; 8192]), Ok(1..)) {
            break;
        }
    }
}
