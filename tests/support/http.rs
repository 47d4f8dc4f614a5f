//! A small blocking HTTP/1.1 client of the tests' own: keep-alive, requests that are held open, and
//! when each byte came.

use super::tls::TlsSocket;
use flate2::read::GzDecoder;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

/// How long [`Client::get`] waits: longer than any request may be held at the targets used in tests.
const REPLY_WITHIN: Duration = Duration::from_secs(30);

/// One connection, one request in flight.
pub struct Client {
    stream: Stream,
    host: String,
    /// Received and not yet part of a response.
    received: Vec<u8>,
    sent_at: Instant,
    first_byte_at: Option<Instant>,
    method: String,
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsSocket>),
}

impl Stream {
    fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(socket) => socket,
            Self::Tls(stream) => &stream.sock,
        }
    }
}

/// A response and when it came.
#[derive(Debug, Clone)]
pub struct Response {
    pub status: u16,
    /// In order, names in lower case.
    pub headers: Vec<(String, String)>,
    /// As it came over the wire.
    pub body: Vec<u8>,
    pub sent_at: Instant,
    pub first_byte_at: Instant,
    pub complete_at: Instant,
}

impl Client {
    /// Connects to `host:port`.
    pub fn connect(address: impl ToSocketAddrs + ToString) -> io::Result<Self> {
        let host = address.to_string();
        let addresses: Vec<SocketAddr> = address.to_socket_addrs()?.collect();
        let stream = TcpStream::connect(&addresses[..])?;
        stream.set_nodelay(true)?;
        Ok(Self::on(Stream::Plain(stream), host))
    }

    /// On a connection under TLS.
    pub fn over_tls(stream: TlsSocket) -> Self {
        Self::on(Stream::Tls(Box::new(stream)), "localhost".to_owned())
    }

    fn on(stream: Stream, host: String) -> Self {
        Self {
            stream,
            host,
            received: Vec::new(),
            sent_at: Instant::now(),
            first_byte_at: None,
            method: String::new(),
        }
    }

    pub fn get(&mut self, target: &str) -> io::Result<Response> {
        self.request("GET", target, &[], &[])
    }

    pub fn request(
        &mut self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<Response> {
        self.send(method, target, headers, body)?;
        self.receive(REPLY_WITHIN)
    }

    /// Sends a request and leaves it open.
    pub fn send(
        &mut self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<()> {
        let mut head = format!("{method} {target} HTTP/1.1\r\nHost: {}\r\n", self.host);
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        if !body.is_empty() || method == "POST" {
            head += &format!("Content-Length: {}\r\n", body.len());
        }
        let mut bytes = (head + "\r\n").into_bytes();
        bytes.extend_from_slice(body);
        method.clone_into(&mut self.method);
        self.send_raw(&bytes)
    }

    /// Sends bytes as they are.
    pub fn send_raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.sent_at = Instant::now();
        self.first_byte_at = None;
        match &mut self.stream {
            Stream::Plain(socket) => socket.write_all(bytes),
            Stream::Tls(stream) => stream.write_all(bytes),
        }
    }

    /// The response to what was sent last. [`io::ErrorKind::TimedOut`] leaves the request open.
    pub fn receive(&mut self, within: Duration) -> io::Result<Response> {
        let end = Instant::now() + within;
        let head_bytes = loop {
            if let Some(at) = find(&self.received, b"\r\n\r\n") {
                break at + 4;
            }
            self.read_more(end)?;
        };
        let head = String::from_utf8_lossy(&self.received[..head_bytes]).into_owned();
        let mut lines = head.split("\r\n");
        let status_line = lines.next().unwrap_or_default();
        let status = status_line
            .strip_prefix("HTTP/1.1 ")
            .and_then(|rest| rest.get(..3)?.parse::<u16>().ok())
            .ok_or_else(|| malformed(format!("status line {status_line:?}")))?;
        let mut headers = Vec::new();
        for line in lines.filter(|line| !line.is_empty()) {
            let (name, value) = line.split_once(':').ok_or_else(|| malformed(format!("header {line:?}")))?;
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let header =
            |name: &str| headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
        let bodyless = self.method == "HEAD" || status == 204 || status == 304;
        let body = if bodyless {
            self.received.drain(..head_bytes);
            Vec::new()
        } else if header("transfer-encoding") == Some("chunked") {
            self.received.drain(..head_bytes);
            self.chunked(end)?
        } else {
            let length = header("content-length").ok_or_else(|| malformed(format!("no length: {head}")))?;
            let length: usize = length.parse().map_err(|_| malformed(format!("length {length:?}")))?;
            while self.received.len() < head_bytes + length {
                self.read_more(end)?;
            }
            let body = self.received[head_bytes..head_bytes + length].to_vec();
            self.received.drain(..head_bytes + length);
            body
        };
        let first_byte_at = self.first_byte_at.take().unwrap_or_else(Instant::now);
        Ok(Response {
            status,
            headers,
            body,
            sent_at: self.sent_at,
            first_byte_at,
            complete_at: Instant::now(),
        })
    }

    /// The sum of a metric over its label sets, or those that have a label such as `kind="forced_cut"`;
    /// `None` when `/metrics` has none of them.
    pub fn metric(&mut self, name: &str, label: &str) -> Option<f64> {
        let text = self.get("/metrics").ok()?.text();
        let values = text.lines().filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            let known = series.split('{').next()? == name && series.contains(label);
            known.then(|| value.parse::<f64>().ok()).flatten()
        });
        values.fold(None, |sum, value| Some(sum.unwrap_or(0.0) + value))
    }

    /// True when the server has closed the connection within the time.
    pub fn is_closed_within(&mut self, within: Duration) -> bool {
        let end = Instant::now() + within;
        loop {
            match self.read_more(end) {
                Ok(()) => {}
                Err(error) => return error.kind() != io::ErrorKind::TimedOut,
            }
        }
    }

    /// The body of a chunked response. Our server sends none; others do.
    fn chunked(&mut self, end: Instant) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let Some(line_bytes) = find(&self.received, b"\r\n") else {
                self.read_more(end)?;
                continue;
            };
            let size = String::from_utf8_lossy(&self.received[..line_bytes]).into_owned();
            let size = usize::from_str_radix(size.split(';').next().unwrap_or_default().trim(), 16)
                .map_err(|_| malformed(format!("chunk size {size:?}")))?;
            while self.received.len() < line_bytes + 2 + size + 2 {
                self.read_more(end)?;
            }
            body.extend_from_slice(&self.received[line_bytes + 2..line_bytes + 2 + size]);
            self.received.drain(..line_bytes + 2 + size + 2);
            if size == 0 {
                return Ok(body);
            }
        }
    }

    fn read_more(&mut self, end: Instant) -> io::Result<()> {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.stream.socket().set_read_timeout(Some(left))?;
        let mut chunk = [0; 16 * 1024];
        let read = match &mut self.stream {
            Stream::Plain(socket) => socket.read(&mut chunk),
            Stream::Tls(stream) => stream.read(&mut chunk),
        };
        match read {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => {
                self.first_byte_at.get_or_insert_with(Instant::now);
                self.received.extend_from_slice(&chunk[..read]);
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(io::ErrorKind::TimedOut.into()),
            Err(error) => Err(error),
        }
    }
}

impl Response {
    /// The first header of that name, which is in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The body as text, unzipped if need be. Bytes that are not UTF-8 show as U+FFFD.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.content()).into_owned()
    }

    /// The body, unzipped if need be; what cannot be unzipped is empty.
    pub fn content(&self) -> Vec<u8> {
        if self.header("content-encoding") != Some("gzip") {
            return self.body.clone();
        }
        let mut content = Vec::new();
        match GzDecoder::new(&self.body[..]).read_to_end(&mut content) {
            Ok(_) => content,
            Err(_) => Vec::new(),
        }
    }

    /// From the request to the first byte.
    pub fn waited(&self) -> Duration {
        self.first_byte_at.saturating_duration_since(self.sent_at)
    }

    /// `max-age` of Cache-Control, seconds.
    pub fn max_age_s(&self) -> Option<u64> {
        let directives = self.header("cache-control")?.split(',');
        directives.filter_map(|directive| directive.trim().strip_prefix("max-age=")?.parse().ok()).next()
    }

    pub fn is_no_store(&self) -> bool {
        self.header("cache-control").is_some_and(|value| value.contains("no-store"))
    }
}

/// `reference` as seen from the absolute path `base`; both without a host.
pub fn resolve(base: &str, reference: &str) -> String {
    if reference.starts_with('/') {
        return reference.to_owned();
    }
    let base = base.split('?').next().unwrap_or(base);
    let directory = base.rfind('/').map_or("", |at| &base[..at]);
    let mut segments: Vec<&str> = directory.split('/').filter(|segment| !segment.is_empty()).collect();
    for segment in reference.split('/') {
        match segment {
            "." => {}
            ".." => {
                segments.pop();
            }
            _ => segments.push(segment),
        }
    }
    format!("/{}", segments.join("/"))
}

fn find(bytes: &[u8], pattern: &[u8]) -> Option<usize> {
    bytes.windows(pattern.len()).position(|window| window == pattern)
}

fn malformed(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}
