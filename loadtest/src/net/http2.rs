//! HTTP/2 as a client (RFC 9113): one connection a viewer, shared by all of its requests.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use h2::client::SendRequest;

use super::{
    Answer, BODY_BYTES_MAX, Body, Client, ConnectError, Pace, Request, RequestError, USER_AGENT, range_field,
};
use crate::address::Peer;

/// What a player's browser grants a response, and a connection.
const STREAM_WINDOW_BYTES: u32 = 2 * 1024 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 8 * 1024 * 1024;

/// A viewer's connection, opened at its first request and again when it ended.
#[derive(Default)]
pub struct Connection {
    open: RefCell<Option<Open>>,
    /// Taken while one of the viewer's requests opens the connection, so that the others wait for it.
    opening: tokio::sync::Mutex<()>,
}

struct Open {
    peer: Rc<Peer>,
    sender: SendRequest<Bytes>,
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
        let sender = self.sender(client, peer).await?;
        let got = get(sender, client, request, pace).await;
        if matches!(got, Err(RequestError::Cut(_))) {
            self.forget(peer);
        }
        got
    }

    async fn sender(
        &self,
        client: &Arc<Client>,
        peer: &Rc<Peer>,
    ) -> Result<SendRequest<Bytes>, RequestError> {
        if let Some(sender) = self.known(peer) {
            return Ok(sender);
        }
        let _opening = self.opening.lock().await;
        if let Some(sender) = self.known(peer) {
            return Ok(sender);
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
        *self.open.borrow_mut() = Some(Open { peer: Rc::clone(peer), sender: sender.clone() });
        Ok(sender)
    }

    fn known(&self, peer: &Rc<Peer>) -> Option<SendRequest<Bytes>> {
        let open = self.open.borrow();
        open.as_ref().filter(|open| open.peer == *peer).map(|open| open.sender.clone())
    }

    fn forget(&self, peer: &Rc<Peer>) {
        self.open.borrow_mut().take_if(|open| open.peer == *peer);
    }
}

async fn get(
    sender: SendRequest<Bytes>,
    client: &Client,
    request: Request<'_>,
    pace: &Pace,
) -> Result<Answer, RequestError> {
    let cut = |error: h2::Error| RequestError::Cut(error.to_string());
    let mut builder = http::Request::get(request.resource.url.as_str()).header("user-agent", USER_AGENT);
    if let Some(range) = request.range {
        builder = builder.header("range", range_field(range));
    } else if client.gzip {
        builder = builder.header("accept-encoding", "gzip");
    }
    let head = builder.body(()).map_err(|error| RequestError::Http(error.to_string()))?;
    let mut sender = sender.ready().await.map_err(cut)?;
    let (response, _) = sender.send_request(head, true).map_err(cut)?;
    let (head, mut stream) = response.await.map_err(cut)?.into_parts();

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
        if answer.body_bytes > BODY_BYTES_MAX {
            return Err(RequestError::Http(format!("a body of more than {BODY_BYTES_MAX} bytes")));
        }
        if request.body == Body::Keep {
            kept.extend_from_slice(&data);
        }
        pace.spend(data.len() as u64).await;
        stream.flow_control().release_capacity(data.len()).map_err(cut)?;
    }
    if let Some(announced) = announced.filter(|announced| *announced != answer.body_bytes) {
        return Err(RequestError::Cut(format!("{} of {announced} bytes came", answer.body_bytes)));
    }
    // Its head came compressed; what matters is the body.
    answer.received_bytes = answer.body_bytes;
    answer.body = kept.freeze();
    Ok(answer)
}
