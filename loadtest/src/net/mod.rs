//! Sockets: TCP and TLS, HTTP/1.1 and HTTP/2 as a client, one connection at a time.

mod connect;
mod deadline;
pub mod http1;
pub mod http2;
mod pace;
mod receive;

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use deadline::Deadline;

pub use connect::{Connect, ConnectError, Stream, Trust};
pub use pace::Pace;

use crate::address::Resource;
use crate::fault::{Fault, FaultKind};
use crate::playlist::PLAYLIST_BYTES_MAX;

/// Bytes of a response's head.
pub const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Bytes of a body that is kept: a segment of 60 s at 20 Mbit/s would fit.
pub const BODY_BYTES_MAX: u64 = 160 * 1024 * 1024;

/// Which HTTP is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
pub enum HttpVersion {
    /// HTTP/1.1, a connection for each request that is open at once.
    #[default]
    #[serde(rename = "1.1")]
    Http1,
    /// HTTP/2, one connection a viewer: by ALPN over TLS, by prior knowledge otherwise.
    #[serde(rename = "2")]
    Http2,
}

/// What to do with a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    /// Give it to the caller.
    Keep,
    /// Count it. Over plain TCP its bytes are not even copied out of the kernel.
    Count,
}

/// A request.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Of what.
    pub resource: &'a Resource,
    /// First byte and number of bytes, when not all of it is wanted.
    pub range: Option<(u64, u64)>,
    /// What to do with its body.
    pub body: Body,
    /// Most bytes of a body.
    pub body_bytes_max: u64,
}

impl<'a> Request<'a> {
    /// For a playlist, which is kept.
    pub fn playlist(resource: &'a Resource) -> Self {
        Self { body_bytes_max: PLAYLIST_BYTES_MAX as u64, ..Self::whole(resource, Body::Keep) }
    }

    /// For all of a resource.
    pub fn whole(resource: &'a Resource, body: Body) -> Self {
        Self { resource, range: None, body, body_bytes_max: BODY_BYTES_MAX }
    }
}

/// A response that was received whole.
#[derive(Debug, Clone, Default)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// Bytes of head and body as they were received, before any decompression.
    pub received_bytes: u64,
    /// Bytes of the body as they were received.
    pub body_bytes: u64,
    /// The body, if it was to be kept; else empty.
    pub body: Bytes,
    /// True when the body is gzip.
    pub gzip: bool,
    /// How long its last byte had been here when it was read; `None` where nobody asks the kernel: under TLS,
    /// in HTTP/2, and of who reads slowly on purpose.
    pub read_late_us: Option<u64>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// No connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// Nothing within the time.
    #[error("no answer within {} ms", .0.as_millis())]
    Timeout(Duration),
    /// It ended too early.
    #[error("the connection ended inside an answer, or instead of one: {0}")]
    Cut(String),
    /// Not what HTTP allows, or more of it than this tool does.
    #[error("{0}")]
    Http(String),
}

impl RequestError {
    /// True when this host is at fault: it has no descriptor or port left.
    pub fn is_own(&self) -> bool {
        matches!(self, Self::Connect(ConnectError::Own { .. }))
    }

    /// The fault that it is, of a request for `path`.
    pub fn fault(&self, path: &str) -> Fault {
        let kind = match self {
            Self::Connect(_) => FaultKind::Connect,
            Self::Timeout(_) => FaultKind::Timeout,
            Self::Cut(_) => FaultKind::Cut,
            Self::Http(_) => FaultKind::Http,
        };
        Fault::new(kind, format!("{path}: {self}"))
    }
}

/// What all connections of a group of viewers have in common.
#[derive(Debug)]
pub struct Client {
    /// How to reach a peer.
    pub connect: Connect,
    /// Which HTTP.
    pub version: HttpVersion,
    /// Whether compressed playlists are asked for, as players do.
    pub gzip: bool,
}

/// A connection of one viewer, opened when it is first needed and again when it ended.
pub struct Connection {
    transport: Transport,
    deadline: Deadline,
}

enum Transport {
    /// One request at a time.
    Http1(Option<http1::Connection>),
    /// A share of the viewer's one connection.
    Http2(Rc<http2::Connection>),
}

impl Connection {
    /// Over HTTP/1.1, or as a share of the viewer's connection over HTTP/2.
    pub fn new(http2: Option<&Rc<http2::Connection>>) -> Self {
        let transport = http2.map_or(Transport::Http1(None), |shared| Transport::Http2(Rc::clone(shared)));
        Self { transport, deadline: Deadline::default() }
    }

    /// Gets a resource. `pace` slows the reading down.
    ///
    /// # Errors
    /// [`RequestError`]; the next request opens a new connection.
    pub async fn get(
        &mut self,
        client: &Arc<Client>,
        request: Request<'_>,
        within: Duration,
        pace: &Pace,
    ) -> Result<Answer, RequestError> {
        match self.deadline.within(within, self.transport.get(client, request, pace)).await {
            Some(Ok(answer)) => Ok(answer),
            Some(Err(error)) => {
                self.transport.forget();
                Err(error)
            }
            None => {
                self.transport.forget();
                if let Transport::Http2(connection) = &self.transport {
                    // What is open on it may yet be answered; whoever comes next does not rely on it.
                    connection.forget(&request.resource.peer);
                }
                Err(RequestError::Timeout(within))
            }
        }
    }
}

impl Transport {
    async fn get(
        &mut self,
        client: &Arc<Client>,
        request: Request<'_>,
        pace: &Pace,
    ) -> Result<Answer, RequestError> {
        match self {
            Self::Http1(slot) => {
                let reusable = slot.take().filter(|connection| connection.serves(&request.resource.peer));
                let is_reused = reusable.is_some();
                let mut connection = match reusable {
                    Some(connection) => connection,
                    None => http1::Connection::open(client, &request.resource.peer).await?,
                };
                let mut got = connection.get(client, request, pace).await;
                // RFC 9112, 9.3.1: an idle connection may be closed under a request; a new one takes it.
                if is_reused && matches!(got, Err(http1::Failure::Unanswered(_))) {
                    connection = http1::Connection::open(client, &request.resource.peer).await?;
                    got = connection.get(client, request, pace).await;
                }
                let answer = got.map_err(http1::Failure::into_error)?;
                if connection.is_reusable() {
                    *slot = Some(connection);
                }
                Ok(answer)
            }
            Self::Http2(connection) => connection.get(client, request, pace).await,
        }
    }

    /// Closes what is open.
    fn forget(&mut self) {
        if let Self::Http1(slot) = self {
            *slot = None;
        }
    }
}

/// RFC 9110, 14.1.2: the last byte is named, not the one after it.
fn range_field((start, length): (u64, u64)) -> String {
    format!("bytes={start}-{}", start.saturating_add(length.max(1) - 1))
}

/// How this tool names itself.
pub const USER_AGENT: &str = concat!("loadtest/", env!("CARGO_PKG_VERSION"));
