//! An HTTP/2 client for tests: h2 over a socket that does not block, polled until something is there; and a
//! crude one that writes frames as they should not be.

use super::tls::TlsSocket;
use bytes::Bytes;
use h2::client::{Builder, Connection, ResponseFuture, SendRequest};
use h2::{Ping, PingPong, RecvStream};
use std::future::Future;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// More than any response, so that only sockets hold one up.
const WINDOW_BYTES: u32 = 32 * 1024 * 1024;
/// RFC 9113, section 7.
const ENHANCE_YOUR_CALM: u32 = 11;
const REPLY_WITHIN: Duration = Duration::from_secs(30);

/// One connection, any number of requests in flight.
pub struct Client {
    connection: Connection<Socket, Bytes>,
    sender: SendRequest<Bytes>,
    pings: PingPong,
    scheme: &'static str,
    /// What ended the connection.
    pub ended: Option<Result<(), h2::Error>>,
}

/// A request in flight.
pub struct Pending {
    response: ResponseFuture,
    request: h2::SendStream<Bytes>,
}

/// A response, or as much of it as was waited for.
pub struct Response {
    pub status: u16,
    pub headers: http::HeaderMap,
    pub body: Vec<u8>,
    stream: RecvStream,
}

impl Response {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Client {
    /// By prior knowledge.
    pub fn plain(address: SocketAddr) -> Self {
        let socket = TcpStream::connect(address).expect("connects");
        Self::on(Socket::Plain(socket), "http", WINDOW_BYTES)
    }

    /// Over TLS that has agreed on it.
    pub fn over_tls(socket: TlsSocket) -> Self {
        assert_eq!(socket.conn.alpn_protocol(), Some(&b"h2"[..]));
        Self::on(Socket::Tls(Box::new(socket)), "https", WINDOW_BYTES)
    }

    /// With these windows for the connection and each stream.
    pub fn with_window(address: SocketAddr, window_bytes: u32) -> Self {
        let socket = TcpStream::connect(address).expect("connects");
        Self::on(Socket::Plain(socket), "http", window_bytes)
    }

    fn on(socket: Socket, scheme: &'static str, window_bytes: u32) -> Self {
        socket.tcp().set_nonblocking(true).expect("does not block");
        socket.tcp().set_nodelay(true).expect("sends at once");
        let mut builder = Builder::new();
        builder
            .initial_window_size(window_bytes)
            .initial_connection_window_size(4 * WINDOW_BYTES)
            .initial_max_send_streams(1000)
            .enable_push(false);
        let mut handshake = pin!(builder.handshake(socket));
        let (sender, mut connection) = poll_within(REPLY_WITHIN, |context| handshake.as_mut().poll(context))
            .expect("a handshake in time")
            .expect("a handshake");
        let pings = connection.ping_pong().expect("pings are asked for once");
        Self { connection, sender, pings, scheme, ended: None }
    }

    /// Sends a request and leaves it open.
    pub fn send(&mut self, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Pending {
        let mut request =
            http::Request::builder().method(method).uri(format!("{}://localhost{target}", self.scheme));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(()).expect("a request");
        let (response, mut stream) =
            self.sender.send_request(request, body.is_empty()).expect("a stream is free");
        if !body.is_empty() {
            stream.send_data(Bytes::copy_from_slice(body), true).expect("sends the body");
        }
        self.turn();
        Pending { response, request: stream }
    }

    pub fn get(&mut self, target: &str) -> Response {
        let pending = self.send("GET", target, &[], &[]);
        self.receive(pending)
    }

    /// The whole response.
    pub fn receive(&mut self, pending: Pending) -> Response {
        let mut response = self.head(pending).expect("a response");
        self.body(&mut response, usize::MAX).expect("its body");
        response
    }

    /// Status and fields.
    pub fn head(&mut self, mut pending: Pending) -> Result<Response, h2::Error> {
        let response = self.until(|context| Pin::new(&mut pending.response).poll(context))?;
        let (parts, stream) = response.into_parts();
        Ok(Response { status: parts.status.as_u16(), headers: parts.headers, body: Vec::new(), stream })
    }

    /// More of the body, until it has these bytes or is whole.
    pub fn body(&mut self, response: &mut Response, bytes: usize) -> Result<(), h2::Error> {
        while response.body.len() < bytes {
            match self.until(|context| response.stream.poll_data(context)) {
                None => return Ok(()),
                Some(piece) => {
                    let piece = piece?;
                    response.body.extend_from_slice(&piece);
                    response.stream.flow_control().release_capacity(piece.len())?;
                }
            }
        }
        Ok(())
    }

    /// Takes a request back.
    pub fn reset(&mut self, mut pending: Pending) {
        pending.request.send_reset(h2::Reason::CANCEL);
        self.turn();
    }

    /// How long a PING takes.
    pub fn ping(&mut self) -> Duration {
        let began = Instant::now();
        self.pings.send_ping(Ping::opaque()).expect("one ping at a time");
        // The connection and its pings are two parts of the client.
        let Self { connection, pings, .. } = self;
        let pong = poll_within(REPLY_WITHIN, |context| {
            let _ = Pin::new(&mut *connection).poll(context);
            pings.poll_pong(context)
        });
        pong.expect("a pong in time").expect("a pong");
        began.elapsed()
    }

    /// Lets the connection read and write what it can.
    pub fn turn(&mut self) {
        if self.ended.is_none() {
            let mut context = Context::from_waker(Waker::noop());
            if let Poll::Ready(ended) = Pin::new(&mut self.connection).poll(&mut context) {
                self.ended = Some(ended);
            }
        }
    }

    /// True when the connection ends within the time.
    pub fn ends_within(&mut self, within: Duration) -> bool {
        let end = Instant::now() + within;
        while self.ended.is_none() && Instant::now() < end {
            self.turn();
            std::thread::sleep(Duration::from_millis(1));
        }
        self.ended.is_some()
    }

    fn until<T>(&mut self, mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>) -> T {
        let done = poll_within(REPLY_WITHIN, |context| {
            self.turn();
            poll(context)
        });
        done.expect("an answer in time")
    }
}

fn poll_within<T>(within: Duration, mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>) -> Option<T> {
    let (end, mut context) = (Instant::now() + within, Context::from_waker(Waker::noop()));
    loop {
        if let Poll::Ready(value) = poll(&mut context) {
            return Some(value);
        }
        if Instant::now() >= end {
            return None;
        }
        std::thread::sleep(Duration::from_micros(300));
    }
}

/// Pending is what would block; whoever polls does so again.
enum Socket {
    Plain(TcpStream),
    Tls(Box<TlsSocket>),
}

impl Socket {
    fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(socket) => socket,
            Self::Tls(stream) => &stream.sock,
        }
    }
}

fn ready<T>(result: io::Result<T>) -> Poll<io::Result<T>> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
        result => Poll::Ready(result),
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let room = buffer.initialize_unfilled();
        let read = match self.get_mut() {
            Self::Plain(socket) => socket.read(room),
            Self::Tls(stream) => stream.read(room),
        };
        ready(read.map(|count| buffer.advance(count)))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready(match self.get_mut() {
            Self::Plain(socket) => socket.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        })
    }
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready(match self.get_mut() {
            Self::Plain(socket) => socket.flush(),
            Self::Tls(stream) => stream.flush(),
        })
    }
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Frames as one likes, by prior knowledge.
pub struct Crude {
    pub socket: TcpStream,
}

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

impl Crude {
    /// Connects, and says what every client says first.
    pub fn connect(address: SocketAddr) -> Self {
        let mut socket = TcpStream::connect(address).expect("connects");
        socket.set_nodelay(true).expect("sends at once");
        socket.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").expect("says hello");
        let mut crude = Self { socket };
        crude.write(&frame(SETTINGS, 0, 0, &[])).expect("says its settings");
        crude
    }

    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.socket.write_all(bytes)
    }

    /// Kind, flags, stream and length of the next frame; `None` when none comes within the time.
    pub fn read_frame(&mut self, within: Duration) -> Option<(u8, u8, u32, usize)> {
        self.socket.set_read_timeout(Some(within)).expect("a timeout");
        let mut header = [0; 9];
        self.socket.read_exact(&mut header).ok()?;
        let length = u32::from_be_bytes([0, header[0], header[1], header[2]]) as usize;
        self.socket.read_exact(&mut vec![0; length]).ok()?;
        let stream = u32::from_be_bytes([header[5], header[6], header[7], header[8]]);
        Some((header[3], header[4], stream, length))
    }

    /// How the server ends the connection within the time.
    pub fn farewell(&mut self, within: Duration) -> Farewell {
        let (end, mut received, mut piece) = (Instant::now() + within, Vec::new(), [0; 16 * 1024]);
        let mut is_reset = false;
        loop {
            let left = end.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
            self.socket.set_read_timeout(Some(left)).expect("a timeout");
            match self.socket.read(&mut piece) {
                Ok(count @ 1..) => received.extend_from_slice(&piece[..count]),
                Ok(0) => break,
                Err(error) => {
                    is_reset = error.kind() == io::ErrorKind::ConnectionReset;
                    break;
                }
            }
        }
        let (mut at, mut code) = (0, None);
        while let Some(header) = received.get(at..at + 9) {
            let length = u32::from_be_bytes([0, header[0], header[1], header[2]]) as usize;
            if header[3] == GOAWAY {
                code = received
                    .get(at + 13..at + 17)
                    .and_then(|code| code.try_into().ok())
                    .map(u32::from_be_bytes);
            }
            at += 9 + length;
        }
        match code {
            Some(code) => Farewell::Said(code),
            None if is_reset => Farewell::Reset,
            None => Farewell::None,
        }
    }
}

/// The end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Farewell {
    /// A GOAWAY with this error code.
    Said(u32),
    /// It was reset: the server closed it over bytes of ours that it had not read, which takes what it had said
    /// along.
    Reset,
    /// It ended without, or did not.
    None,
}

impl Farewell {
    /// True when the server would have no more of a flood.
    pub fn is_calming(self) -> bool {
        matches!(self, Self::Said(ENHANCE_YOUR_CALM) | Self::Reset)
    }
}

/// One frame.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    frame.extend_from_slice(&[kind, flags]);
    frame.extend_from_slice(&stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

/// A GET that is whole: END_STREAM and END_HEADERS.
pub fn get(stream: u32, path: &str) -> Vec<u8> {
    frame(HEADERS, 0x5, stream, &block(0x82, path))
}

/// A POST whose body is to come.
pub fn post(stream: u32, path: &str) -> Vec<u8> {
    frame(HEADERS, 0x4, stream, &block(0x83, path))
}

/// RFC 7541, appendix A: the method, :scheme http, then :path and :authority as literals.
fn block(method: u8, path: &str) -> Vec<u8> {
    let mut block = vec![method, 0x86, 0x04, path.len() as u8];
    block.extend_from_slice(path.as_bytes());
    block.extend_from_slice(b"\x01\x01a");
    block
}
