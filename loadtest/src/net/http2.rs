//! HTTP/2 as a client (RFC 9113): one connection a viewer and peer, shared by all of its requests.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use h2::Reason;
use h2::client::SendRequest;

use super::{Answer, Body, Client, ConnectError, Pace, Request, RequestError, USER_AGENT, range_field};
use crate::address::Peer;

/// What a player's browser grants a response, and a connection.
const STREAM_WINDOW_BYTES: u32 = 2 * 1024 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 8 * 1024 * 1024;
/// Peers that one viewer talks to: playlists and media may be on different hosts.
const PEERS_MAX: usize = 8;
/// A request is made once more when its connection was going away under it.
const ATTEMPTS_MAX: u32 = 2;

/// A viewer's connections, one for each peer; opened when they are first needed and again when they ended.
#[derive(Default)]
pub struct Connection {
    open: RefCell<Vec<Open>>,
    /// Taken while one of the viewer's requests opens a connection, so that the others wait for it.
    opening: tokio::sync::Mutex<()>,
}

struct Open {
    peer: Rc<Peer>,
    sender: SendRequest<Bytes>,
}

/// Why a request failed.
enum Failure {
    /// The peer has said, or shown, that it did not process it (RFC 9113, 6.8 and 8.7).
    Unprocessed(String),
    /// In any other way.
    Error(RequestError),
}

impl Connection {
    /// Gets a resource.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn get(
        &self,
        client: &Arc<Client>,
        request: Request<'_>,
        pace: &Pace,
    ) -> Result<Answer, RequestError> {
        let peer = &request.resource.peer;
        let mut attempt = 1;
        loop {
            let (sender, is_new) = self.sender(client, peer).await?;
            let failure = match get(sender, client, request, pace).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            match failure {
                Failure::Unprocessed(reason) => {
                    self.forget(peer);
                    if is_new || attempt == ATTEMPTS_MAX {
                        return Err(RequestError::Cut(reason));
                    }
                    attempt += 1;
                }
                Failure::Error(error) => {
                    if matches!(error, RequestError::Cut(_)) {
                        self.forget(peer);
                    }
                    return Err(error);
                }
            }
        }
    }

    /// The connection to a peer, and whether it was opened for this.
    async fn sender(
        &self,
        client: &Arc<Client>,
        peer: &Rc<Peer>,
    ) -> Result<(SendRequest<Bytes>, bool), RequestError> {
        if let Some(sender) = self.known(peer) {
            return Ok((sender, false));
        }
        let _opening = self.opening.lock().await;
        if let Some(sender) = self.known(peer) {
            return Ok((sender, false));
        }
        let stream = client.connect.open(peer).await?;
        let refused = |reason: String| ConnectError::Http2 { peer: peer.to_string(), reason };
        if peer.tls && stream.protocol() != Some(b"h2") {
            return Err(refused("ALPN did not choose h2".to_owned()).into());
        }
        let (sender, connection) = h2::client::Builder::new()
            .initial_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .enable_push(false)
            .handshake(stream)
            .await
            .map_err(|error| refused(error.to_string()))?;
        // Its error is told to every request on it.
        tokio::task::spawn_local(async move { drop(connection.await) });
        let mut open = self.open.borrow_mut();
        if open.len() == PEERS_MAX {
            open.remove(0);
        }
        open.push(Open { peer: Rc::clone(peer), sender: sender.clone() });
        Ok((sender, true))
    }

    fn known(&self, peer: &Rc<Peer>) -> Option<SendRequest<Bytes>> {
        self.open.borrow().iter().find(|open| open.peer == *peer).map(|open| open.sender.clone())
    }

    /// The next request opens a new connection.
    pub(super) fn forget(&self, peer: &Rc<Peer>) {
        self.open.borrow_mut().retain(|open| open.peer != *peer);
    }
}

async fn get(
    sender: SendRequest<Bytes>,
    client: &Client,
    request: Request<'_>,
    pace: &Pace,
) -> Result<Answer, Failure> {
    let http = |reason: String| Failure::Error(RequestError::Http(reason));
    let cut = |error: h2::Error| Failure::Error(RequestError::Cut(error.to_string()));
    let unprocessed = |error: h2::Error| Failure::Unprocessed(error.to_string());
    // A stream that the peer reset is lost; one that it will not look at is not.
    let before_answer = |error: h2::Error| match error.reason() {
        Some(Reason::NO_ERROR | Reason::REFUSED_STREAM) => unprocessed(error),
        None if error.is_io() => unprocessed(error),
        _ => cut(error),
    };
    let mut builder = http::Request::get(request.resource.url.as_str()).header("user-agent", USER_AGENT);
    if let Some(range) = request.range {
        builder = builder.header("range", range_field(range));
    } else if client.gzip {
        builder = builder.header("accept-encoding", "gzip");
    }
    let head = builder.body(()).map_err(|error| http(error.to_string()))?;
    let mut sender = sender.ready().await.map_err(unprocessed)?;
    let (response, _) = sender.send_request(head, true).map_err(unprocessed)?;
    let (head, mut stream) = response.await.map_err(before_answer)?.into_parts();

    let field = |name: http::HeaderName| head.headers.get(name).and_then(|value| value.to_str().ok());
    let announced: Option<u64> = field(http::header::CONTENT_LENGTH).and_then(|text| text.parse().ok());
    let mut answer = Answer {
        status: head.status.as_u16(),
        gzip: field(http::header::CONTENT_ENCODING).is_some_and(|value| value.eq_ignore_ascii_case("gzip")),
        ..Answer::default()
    };
    let mut kept = BytesMut::new();
    while let Some(data) = stream.data().await {
        let data = data.map_err(cut)?;
        answer.body_bytes += data.len() as u64;
        if answer.body_bytes > request.body_bytes_max {
            return Err(http(format!("a body of more than {} bytes", request.body_bytes_max)));
        }
        if request.body == Body::Keep {
            kept.extend_from_slice(&data);
        }
        pace.spend(data.len() as u64).await;
        stream.flow_control().release_capacity(data.len()).map_err(cut)?;
    }
    if let Some(announced) = announced.filter(|announced| *announced != answer.body_bytes) {
        return Err(Failure::Error(RequestError::Cut(format!(
            "{} of {announced} bytes came",
            answer.body_bytes
        ))));
    }
    // Its head came compressed; what matters is the body.
    answer.received_bytes = answer.body_bytes;
    answer.body = kept.freeze();
    Ok(answer)
}
