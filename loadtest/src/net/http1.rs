//! HTTP/1.1 as a client: one request after the other on one connection (RFC 9112).
//!
//! Reads go into one scratch buffer a thread. A body that is only counted is dropped inside the kernel
//! where that can be had (plain TCP): copying is most of what a load generator would otherwise do.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, ready};

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead as _, AsyncWriteExt as _, ReadBuf};

use super::receive::{self, DROP_BYTES_MAX, Received};
use super::{
    Answer, BODY_BYTES_MAX, Body, Client, HEAD_BYTES_MAX, Pace, Request, RequestError, Stream, USER_AGENT,
    range_field,
};
use crate::address::Peer;
use crate::clock;

/// Of one read.
const READ_BYTES_MAX: usize = 64 * 1024;
/// Of the first read of a response whose body is only counted: its head, and all of a part of sound.
const HEAD_READ_BYTES: usize = 4096;
/// Fields of a head.
const FIELDS_MAX: usize = 64;
/// Longest line of a chunk's size, extensions included.
const CHUNK_LINE_BYTES_MAX: usize = 1024;

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_BYTES_MAX]);
}

/// Why a request failed here.
#[derive(Debug)]
pub(super) enum Failure {
    /// Before the first byte of its answer: on a reused connection, worth another try.
    Unanswered(String),
    /// In any other way.
    Error(RequestError),
}

impl Failure {
    pub(super) fn into_error(self) -> RequestError {
        match self {
            Self::Unanswered(reason) => RequestError::Cut(reason),
            Self::Error(error) => error,
        }
    }
}

impl From<RequestError> for Failure {
    fn from(error: RequestError) -> Self {
        Self::Error(error)
    }
}

/// One connection.
pub struct Connection {
    stream: Stream,
    peer: Rc<Peer>,
    /// Kept for its memory.
    request_head: Vec<u8>,
    /// Between a request's target and what else it has: the same for all.
    after_target: Vec<u8>,
    /// When the bytes of the latest read were here, if the kernel says so.
    received_unix_us: Option<u64>,
    /// False once the server closes it, or its bytes cannot be told apart any more.
    is_reusable: bool,
}

/// How a body ends (RFC 9112, 6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Length {
    Known(u64),
    Chunked,
    UntilClose,
}

#[derive(Debug)]
struct Head {
    answer: Answer,
    length: Length,
    head_bytes: usize,
    keep_alive: bool,
}

impl Connection {
    pub(super) async fn open(client: &Client, peer: &Rc<Peer>) -> Result<Self, RequestError> {
        let stream = client.connect.open(peer).await?;
        let host = peer.authority(if peer.tls { 443 } else { 80 });
        let after_target = format!(" HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {USER_AGENT}\r\n").into_bytes();
        let peer = Rc::clone(peer);
        Ok(Self {
            stream,
            peer,
            request_head: Vec::new(),
            after_target,
            received_unix_us: None,
            is_reusable: true,
        })
    }

    /// True when it leads to this peer.
    pub(super) fn serves(&self, peer: &Rc<Peer>) -> bool {
        Rc::ptr_eq(&self.peer, peer) || self.peer == *peer
    }

    pub(super) fn is_reusable(&self) -> bool {
        self.is_reusable
    }

    pub(super) async fn get(
        &mut self,
        client: &Arc<Client>,
        request: Request<'_>,
        pace: &Pace,
    ) -> Result<Answer, Failure> {
        let body = request.body;
        self.write_head(client, request);
        let sent = async {
            self.stream.write_all(&self.request_head).await?;
            self.stream.flush().await
        };
        sent.await.map_err(|error| Failure::Unanswered(error.to_string()))?;
        let sent_us = clock::monotonic_us();

        let first_read = if body == Body::Count { HEAD_READ_BYTES } else { READ_BYTES_MAX };
        let (head, rest) = self.read_head(first_read).await?;
        let Head { mut answer, length, head_bytes, keep_alive } = head;
        self.is_reusable = keep_alive && length != Length::UntilClose;
        answer.received_bytes = head_bytes as u64;
        match length {
            Length::Known(bytes) => self.read_known(&mut answer, bytes, rest, request, pace).await?,
            Length::Chunked => self.read_chunked(&mut answer, rest, request, pace).await?,
            Length::UntilClose => self.read_until_close(&mut answer, rest, request, pace).await?,
        }
        // Whoever reads at a pace is late on purpose.
        answer.read_late_us = self.received_unix_us.filter(|_| !pace.is_limited()).map(|received_unix_us| {
            // The clock may have been set meanwhile.
            let took_us = clock::monotonic_us() - sent_us;
            clock::unix_us().saturating_sub(received_unix_us).min(took_us)
        });
        Ok(answer)
    }

    fn write_head(&mut self, client: &Client, request: Request<'_>) {
        let head = &mut self.request_head;
        head.clear();
        head.extend_from_slice(b"GET ");
        head.extend_from_slice(request.resource.target().as_bytes());
        head.extend_from_slice(&self.after_target);
        if let Some(range) = request.range {
            head.extend_from_slice(b"Range: ");
            head.extend_from_slice(range_field(range).as_bytes());
            head.extend_from_slice(b"\r\n");
        } else if client.gzip {
            head.extend_from_slice(b"Accept-Encoding: gzip\r\n");
        }
        head.extend_from_slice(b"\r\n");
    }

    /// The head, and what came of the body with it.
    async fn read_head(&mut self, first_read: usize) -> Result<(Head, BytesMut), Failure> {
        let mut received = BytesMut::new();
        loop {
            let before = received.len();
            match self.read_into(&mut received, first_read).await {
                Ok(0) if before == 0 => return Err(Failure::Unanswered("closed".to_owned())),
                Ok(0) => return Err(RequestError::Cut("closed inside a head".to_owned()).into()),
                Ok(_) => {}
                Err(error) if before == 0 => return Err(Failure::Unanswered(error.to_string())),
                Err(error) => return Err(RequestError::Cut(error.to_string()).into()),
            }
            // Interim responses (1xx) are passed over.
            while let Some(head) = parse_head(&received)? {
                let rest = received.split_off(head.head_bytes);
                if !(100..200).contains(&head.answer.status) {
                    return Ok((head, rest));
                }
                received = rest;
            }
            if received.len() > HEAD_BYTES_MAX {
                let reason = format!("a head of more than {HEAD_BYTES_MAX} bytes");
                return Err(RequestError::Http(reason).into());
            }
        }
    }

    async fn read_known(
        &mut self,
        answer: &mut Answer,
        length: u64,
        rest: BytesMut,
        request: Request<'_>,
        pace: &Pace,
    ) -> Result<(), RequestError> {
        let Request { body, body_bytes_max, .. } = request;
        if length > body_bytes_max {
            return Err(RequestError::Http(format!(
                "a body of {length} bytes, {body_bytes_max} are allowed"
            )));
        }
        if rest.len() as u64 > length {
            // Nothing was asked for that these bytes could answer.
            return Err(RequestError::Http("more bytes than the head announced".to_owned()));
        }
        let mut left = length - rest.len() as u64;
        pace.spend(rest.len() as u64).await;
        let mut kept = rest;
        if body == Body::Keep {
            kept.reserve(left as usize);
        }
        while left > 0 {
            let wanted = pace.read_bytes_max(left.min(DROP_BYTES_MAX as u64) as usize);
            let count = match body {
                Body::Keep => self.read_into(&mut kept, wanted.min(READ_BYTES_MAX)).await,
                Body::Count => self.drop_bytes(wanted).await,
            };
            match count {
                Ok(0) => return Err(RequestError::Cut(format!("{left} of {length} bytes are missing"))),
                Ok(count) => {
                    left -= count as u64;
                    pace.spend(count as u64).await;
                }
                Err(error) => {
                    return Err(RequestError::Cut(format!("{left} of {length} bytes are missing: {error}")));
                }
            }
        }
        if let Stream::Plain(stream) = &self.stream {
            receive::forget_readiness(stream);
        }
        finish(answer, kept, body, length, length);
        Ok(())
    }

    async fn read_chunked(
        &mut self,
        answer: &mut Answer,
        mut received: BytesMut,
        request: Request<'_>,
        pace: &Pace,
    ) -> Result<(), RequestError> {
        let Request { body, body_bytes_max, .. } = request;
        let (mut kept, mut body_bytes, mut wire_bytes) = (BytesMut::new(), 0, 0);
        let mut state = Chunk::Size;
        loop {
            let before = received.len();
            while let Some(piece) = state.take(&mut received)? {
                body_bytes += piece.len() as u64;
                if body == Body::Keep {
                    kept.extend_from_slice(&piece);
                }
            }
            wire_bytes += (before - received.len()) as u64;
            if state == Chunk::End {
                break;
            }
            if body_bytes > body_bytes_max || received.len() > HEAD_BYTES_MAX {
                return Err(RequestError::Http(format!("a chunked body of {body_bytes} bytes and more")));
            }
            let wanted = pace.read_bytes_max(READ_BYTES_MAX);
            match self.read_into(&mut received, wanted).await {
                Ok(0) => return Err(RequestError::Cut("closed inside a chunked body".to_owned())),
                Ok(count) => pace.spend(count as u64).await,
                Err(error) => return Err(RequestError::Cut(error.to_string())),
            }
        }
        if !received.is_empty() {
            return Err(RequestError::Http("more bytes than the last chunk announced".to_owned()));
        }
        finish(answer, kept, body, body_bytes, wire_bytes);
        Ok(())
    }

    async fn read_until_close(
        &mut self,
        answer: &mut Answer,
        mut kept: BytesMut,
        request: Request<'_>,
        pace: &Pace,
    ) -> Result<(), RequestError> {
        let Request { body, body_bytes_max, .. } = request;
        let mut body_bytes = kept.len() as u64;
        loop {
            if body == Body::Count {
                kept.clear();
            }
            let wanted = pace.read_bytes_max(READ_BYTES_MAX);
            match self.read_into(&mut kept, wanted).await {
                Ok(0) => break,
                Ok(count) => {
                    body_bytes += count as u64;
                    pace.spend(count as u64).await;
                }
                Err(error) => return Err(RequestError::Cut(error.to_string())),
            }
            if body_bytes > body_bytes_max {
                return Err(RequestError::Http(format!("a body of more than {body_bytes_max} bytes")));
            }
        }
        finish(answer, kept, body, body_bytes, body_bytes);
        Ok(())
    }

    /// Reads once, at most `wanted` bytes, and appends them; 0 is the end.
    async fn read_into(&mut self, kept: &mut BytesMut, wanted: usize) -> io::Result<usize> {
        self.read_once(wanted, Body::Keep, |bytes| kept.extend_from_slice(bytes)).await
    }

    /// Reads once, at most `wanted` bytes, and keeps nothing; 0 is the end.
    async fn drop_bytes(&mut self, wanted: usize) -> io::Result<usize> {
        self.read_once(wanted, Body::Count, |_| {}).await
    }

    async fn read_once(
        &mut self,
        wanted: usize,
        body: Body,
        mut take: impl FnMut(&[u8]),
    ) -> io::Result<usize> {
        let stream = &mut self.stream;
        let received = poll_fn(|context| match stream {
            Stream::Plain(stream) if body == Body::Count => receive::poll_drop(stream, context, wanted),
            _ => SCRATCH.with_borrow_mut(|scratch| {
                let scratch = &mut scratch[..wanted.min(READ_BYTES_MAX)];
                let received = match stream {
                    Stream::Plain(stream) => ready!(receive::poll_read(stream, context, scratch))?,
                    Stream::Tls(stream) => {
                        let mut buffer = ReadBuf::new(scratch);
                        ready!(Pin::new(stream).poll_read(context, &mut buffer))?;
                        Received { bytes: buffer.filled().len(), unix_us: None }
                    }
                };
                take(&scratch[..received.bytes]);
                Poll::Ready(Ok(received))
            }),
        })
        .await?;
        self.received_unix_us = received.unix_us;
        Ok(received.bytes)
    }
}

fn finish(answer: &mut Answer, kept: BytesMut, body: Body, body_bytes: u64, wire_bytes: u64) {
    answer.body_bytes = body_bytes;
    answer.received_bytes += wire_bytes;
    answer.body = if body == Body::Keep { kept.freeze() } else { Bytes::new() };
}

fn parse_head(received: &[u8]) -> Result<Option<Head>, RequestError> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut response = httparse::Response::new(&mut fields);
    let head_bytes = match response.parse(received) {
        Ok(httparse::Status::Complete(head_bytes)) => head_bytes,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(error) => return Err(RequestError::Http(format!("no HTTP response: {error}"))),
    };
    let status = response.code.unwrap_or_default();
    let mut length = None;
    let mut is_chunked = false;
    let mut keep_alive = response.version == Some(1);
    let mut gzip = false;
    for field in response.headers.iter() {
        let value = std::str::from_utf8(field.value).unwrap_or_default().trim();
        let is = |name: &str| field.name.eq_ignore_ascii_case(name);
        if is("content-length") {
            let parsed: u64 =
                value.parse().map_err(|_| RequestError::Http(format!("a Content-Length of {value:?}")))?;
            if length.is_some_and(|length| length != parsed) {
                return Err(RequestError::Http("two lengths in one head".to_owned()));
            }
            length = Some(parsed);
        } else if is("transfer-encoding") {
            is_chunked = value.eq_ignore_ascii_case("chunked");
            if !is_chunked {
                return Err(RequestError::Http(format!("a Transfer-Encoding of {value:?}")));
            }
        } else if is("connection") {
            let has = |word: &str| value.split(',').any(|part| part.trim().eq_ignore_ascii_case(word));
            keep_alive = has("keep-alive") || (keep_alive && !has("close"));
        } else if is("content-encoding") {
            gzip = value.eq_ignore_ascii_case("gzip");
        }
    }
    let is_bodiless = (100..200).contains(&status) || status == 204 || status == 304;
    let length = match length {
        _ if is_bodiless => Length::Known(0),
        _ if is_chunked => Length::Chunked,
        Some(length) => Length::Known(length),
        None => Length::UntilClose,
    };
    let answer = Answer { status, gzip, ..Answer::default() };
    Ok(Some(Head { answer, length, head_bytes, keep_alive }))
}

/// Where a chunked body stands (RFC 9112, 7.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Chunk {
    Size,
    Data { left: u64 },
    DataEnd,
    Trailer,
    End,
}

impl Chunk {
    /// The next piece of the body in `received`; `None` when more bytes are needed, or at the end.
    fn take(&mut self, received: &mut BytesMut) -> Result<Option<BytesMut>, RequestError> {
        loop {
            match *self {
                Self::Data { left: 0 } => *self = Self::DataEnd,
                Self::Data { left } => {
                    let count = left.min(received.len() as u64);
                    if count == 0 {
                        return Ok(None);
                    }
                    *self = Self::Data { left: left - count };
                    return Ok(Some(received.split_to(count as usize)));
                }
                Self::End => return Ok(None),
                Self::Size | Self::DataEnd | Self::Trailer => {
                    let Some(line) = take_line(received)? else { return Ok(None) };
                    *self = self.after_line(&line)?;
                }
            }
        }
    }

    fn after_line(self, line: &[u8]) -> Result<Self, RequestError> {
        match self {
            Self::Size => {
                let text = std::str::from_utf8(line).unwrap_or_default();
                let digits = text.split(';').next().unwrap_or_default().trim();
                match u64::from_str_radix(digits, 16) {
                    Ok(0) => Ok(Self::Trailer),
                    Ok(left) if left <= BODY_BYTES_MAX => Ok(Self::Data { left }),
                    _ => Err(RequestError::Http(format!("a chunk of size {digits:?}"))),
                }
            }
            Self::DataEnd if line.is_empty() => Ok(Self::Size),
            Self::DataEnd => Err(RequestError::Http("a chunk longer than its size".to_owned())),
            Self::Trailer if line.is_empty() => Ok(Self::End),
            state => Ok(state),
        }
    }
}

/// A line and its end off the front; without the end.
fn take_line(received: &mut BytesMut) -> Result<Option<BytesMut>, RequestError> {
    let Some(end) = received.iter().position(|byte| *byte == b'\n') else {
        if received.len() > CHUNK_LINE_BYTES_MAX {
            return Err(RequestError::Http("a line without end in a chunked body".to_owned()));
        }
        return Ok(None);
    };
    let mut line = received.split_to(end + 1);
    line.truncate(end);
    if line.last() == Some(&b'\r') {
        line.truncate(end - 1);
    }
    Ok(Some(line))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(text: &str) -> Head {
        parse_head(text.as_bytes()).unwrap().unwrap()
    }

    #[test]
    fn a_head_says_how_its_body_ends() {
        for (text, length, keep_alive) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", Length::Known(5), true),
            ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\n", Length::Known(5), false),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", Length::Chunked, true),
            ("HTTP/1.1 200 OK\r\n\r\n", Length::UntilClose, true),
            ("HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\n", Length::Known(1), false),
            ("HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", Length::Known(0), true),
        ] {
            let head = head(text);
            assert_eq!((head.length, head.keep_alive), (length, keep_alive), "{text}");
        }
        assert!(head("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n").answer.gzip);
        for text in [
            "RTMP\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        ] {
            assert!(parse_head(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn a_chunked_body_is_the_same_at_every_split() {
        let text =
            b"4;name=value\r\nWiki\r\n6\r\npedia \r\nE\r\nin \r\n\r\nchunks.\r\n0\r\nTrailer: x\r\n\r\n";
        for split in 0..text.len() {
            let (mut state, mut received, mut body) = (Chunk::Size, BytesMut::new(), Vec::new());
            for part in [&text[..split], &text[split..]] {
                received.extend_from_slice(part);
                while let Some(piece) = state.take(&mut received).unwrap() {
                    body.extend_from_slice(&piece);
                }
            }
            assert_eq!((state, received.len()), (Chunk::End, 0), "at {split}");
            assert_eq!(body, b"Wikipedia in \r\n\r\nchunks.");
        }
    }

    #[test]
    fn broken_chunks_are_errors() {
        for text in ["x\r\n", "3\r\nabcd\r\n", "ffffffffffffffffff\r\n", &"1".repeat(2000)] {
            let (mut state, mut received) = (Chunk::Size, BytesMut::from(text));
            let found = loop {
                match state.take(&mut received) {
                    Ok(Some(_)) => {}
                    other => break other,
                }
            };
            assert!(found.is_err(), "{text}");
        }
    }
}
