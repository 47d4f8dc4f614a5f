//! HTTP/1.1 with persistent connections: one thread each, one request at a time (RFC 9112).

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;

use super::time::{http_date, unix_us};

/// A longer head ends the connection.
const HEAD_BYTES_MAX: usize = 16 * 1024;
const CRC_POLYNOMIAL: u32 = 0xedb8_8320;
/// A stored block of deflate holds no more (RFC 1951, section 3.2.4).
const STORED_BYTES_MAX: usize = 65_535;

/// A request, as much of it as matters.
#[derive(Debug)]
pub struct Request {
    /// `GET`, `HEAD`, `OPTIONS` or another.
    pub method: String,
    /// Without its query.
    pub path: String,
    /// Empty when there is none.
    pub query: String,
    accepts_gzip: bool,
    closes: bool,
}

/// How an answer is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// As HTTP wants it.
    Whole,
    /// The connection closes after half of the body.
    Cut,
    /// Not at all.
    Hang,
    /// By something that is no HTTP.
    Rubbish,
}

/// A body, and its gzip form where it has one.
#[derive(Debug, Clone)]
pub struct Body {
    plain: Arc<[u8]>,
    gzip: Option<Arc<[u8]>>,
}

impl Body {
    /// A body that is sent as it is.
    pub fn plain(bytes: impl Into<Arc<[u8]>>) -> Self {
        Self { plain: bytes.into(), gzip: None }
    }

    /// A text, which is sent as gzip to those who accept that.
    pub fn text(text: String) -> Self {
        let gzip = Some(gzip(text.as_bytes()).into());
        Self { plain: text.into_bytes().into(), gzip }
    }
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its content type; empty for none.
    pub content_type: &'static str,
    /// Its Cache-Control.
    pub cache: &'static str,
    /// Its body.
    pub body: Body,
    /// How it is given.
    pub manner: Manner,
}

/// Answers a connection's requests until one side has enough. `answer` may take its time; `hang` returns when the
/// origin stops.
pub fn serve(mut stream: &TcpStream, answer: impl Fn(&Request) -> Answer, hang: impl Fn()) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut received = Vec::new();
    while let Some(head) = read_head(&mut stream, &mut received)? {
        let Some(request) = Request::parse(&head) else { break };
        let answer = answer(&request);
        let (bytes, head_bytes) = render(&request, &answer);
        match answer.manner {
            Manner::Whole => stream.write_all(&bytes)?,
            Manner::Cut => stream.write_all(&bytes[..head_bytes.midpoint(bytes.len())])?,
            Manner::Hang => hang(),
            Manner::Rubbish => stream.write_all(b"This is no HTTP.\r\n\r\n")?,
        }
        if request.closes || answer.manner != Manner::Whole {
            break;
        }
    }
    stream.shutdown(Shutdown::Write)
}

/// The next head without its empty line; `None` when the peer has closed or sends too much.
fn read_head(stream: &mut &TcpStream, received: &mut Vec<u8>) -> io::Result<Option<String>> {
    loop {
        if let Some(end) = received.windows(4).position(|window| window == b"\r\n\r\n") {
            let rest = received.split_off(end + 4);
            let head = std::mem::replace(received, rest);
            return Ok(String::from_utf8(head).ok());
        }
        let mut bytes = [0; 4096];
        let count = stream.read(&mut bytes)?;
        if count == 0 || received.len() + count > HEAD_BYTES_MAX {
            return Ok(None);
        }
        received.extend(&bytes[..count]);
    }
}

impl Request {
    fn parse(head: &str) -> Option<Self> {
        let mut lines = head.lines();
        let mut words = lines.next()?.split(' ');
        let (method, target) = (words.next()?.to_owned(), words.next()?);
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let mut request = Self {
            method,
            path: path.to_owned(),
            query: query.to_owned(),
            accepts_gzip: false,
            closes: false,
        };
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            match name.to_ascii_lowercase().as_str() {
                "accept-encoding" => request.accepts_gzip |= value.contains("gzip"),
                "connection" => request.closes |= value.to_ascii_lowercase().contains("close"),
                _ => {}
            }
        }
        Some(request)
    }
}

/// The answer, and how much of it is the head.
fn render(request: &Request, answer: &Answer) -> (Vec<u8>, usize) {
    let reason = match answer.status {
        200 => "OK",
        204 => "No Content",
        400 => "Bad Request",
        404 => "Not Found",
        405 => "Method Not Allowed",
        _ => "Service Unavailable",
    };
    let (body, gzip) = match &answer.body.gzip {
        Some(gzip) if request.accepts_gzip => (gzip, true),
        _ => (&answer.body.plain, false),
    };
    let mut head = format!(
        "HTTP/1.1 {} {reason}\r\nDate: {}\r\nCache-Control: {}\r\n\
         Access-Control-Allow-Origin: *\r\nAccess-Control-Expose-Headers: Date, Content-Length\r\n",
        answer.status,
        http_date(unix_us() / 1_000_000),
        answer.cache,
    );
    if answer.status == 204 {
        head += "Access-Control-Allow-Methods: GET, HEAD, OPTIONS\r\nAccess-Control-Allow-Headers: *\r\n";
    } else {
        head += &format!("Content-Length: {}\r\n", body.len());
    }
    if !answer.content_type.is_empty() {
        head += &format!("Content-Type: {}\r\n", answer.content_type);
    }
    if answer.body.gzip.is_some() {
        head += "Vary: Accept-Encoding\r\n";
    }
    if gzip {
        head += "Content-Encoding: gzip\r\n";
    }
    if request.closes {
        head += "Connection: close\r\n";
    }
    head += "\r\n";
    let mut bytes = head.into_bytes();
    let head_bytes = bytes.len();
    if request.method != "HEAD" {
        bytes.extend(&body[..]);
    }
    (bytes, head_bytes)
}

/// RFC 1952 around stored blocks: valid, though no smaller.
fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    let last_index = bytes.len().div_ceil(STORED_BYTES_MAX).max(1) - 1;
    for index in 0..=last_index {
        let start = index * STORED_BYTES_MAX;
        let block = &bytes[start..bytes.len().min(start + STORED_BYTES_MAX)];
        let length = u16::try_from(block.len()).expect("at most STORED_BYTES_MAX");
        out.push(u8::from(index == last_index));
        out.extend(length.to_le_bytes());
        out.extend((!length).to_le_bytes());
        out.extend(block);
    }
    out.extend(crc32(bytes).to_le_bytes());
    out.extend(u32::try_from(bytes.len()).expect("small texts").to_le_bytes());
    out
}

fn crc32(bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = {
        let mut table = [0; 256];
        let mut index = 0;
        while index < 256 {
            let mut value = index as u32;
            let mut bit = 0;
            while bit < 8 {
                value = (value >> 1) ^ (CRC_POLYNOMIAL * (value & 1));
                bit += 1;
            }
            table[index] = value;
            index += 1;
        }
        table
    };
    !bytes.iter().fold(!0, |crc, byte| (crc >> 8) ^ TABLE[usize::from(crc as u8 ^ byte)])
}

#[test]
fn checks_sums_as_gzip_does() {
    assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
}
