//! One RTMP connection: on the shard that accepted it until it says what it publishes, from then on at
//! its stream's home.

mod arriving;
mod end;
mod opening;
mod publishing;

use std::io::{self, IoSlice};
use std::net::IpAddr;
use std::rc::Rc;

use arriving::Arriving;
pub use opening::Accepted;
pub use publishing::Publishing;

use super::Transport;
use super::service::Service;
use crate::limits::RTMP_FAREWELL_US;
use crate::media::StreamName;
use crate::metrics::RefusedBecause;
use crate::rtmp::{ServerSession, message_type};

/// Runs a connection that does not publish, unless it has to make room for another.
async fn until_published(service: Rc<Service>, peer: IpAddr, connection: impl Future<Output = ()>) {
    if !service.pending.run(peer, connection).await {
        service.metrics.rtmp_disconnects.inc();
        service.metrics.refused.of(RefusedBecause::MadeRoom).inc();
        // There may be thousands of these a second: they are no line in the log.
        tracing::debug!(%peer, "an rtmp connection that did not publish made room for another");
    }
}

/// A line for each message that was noted, of its header alone: commands hold tokens.
fn trace_messages(session: &mut ServerSession, peer: IpAddr, stream: Option<&StreamName>) {
    for header in session.take_messages() {
        tracing::trace!(
            %peer,
            stream = stream.map(tracing::field::display),
            r#type = message_type::name(header.type_id),
            timestamp_ms = header.timestamp_ms,
            bytes = header.message_bytes,
            "rtmp message"
        );
    }
}

/// True when it was our deadline that passed, and not TCP's patience with the peer's host.
fn is_deadline(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::TimedOut && error.raw_os_error().is_none()
}

/// Sends what the session has to say, as far as the socket takes it: a client that does not read must
/// not hold up its own media. The session bounds what stays, and TLS what it has encrypted.
fn flush(transport: &Transport, session: &mut ServerSession) -> io::Result<()> {
    if transport.unsent_bytes() > 0 && transport.try_send(&[])?.is_none() {
        return Ok(());
    }
    loop {
        let output = session.output();
        if output.is_empty() {
            return Ok(());
        }
        match transport.try_send(&[IoSlice::new(output)])? {
            Some(count) => session.output_written(count),
            None => return Ok(()),
        }
    }
}

/// Sends the last words, if there are any, and gives the peer a moment to read them: a close with unread
/// input resets the connection, and the reason would be lost.
async fn farewell(service: &Service, transport: &Transport, session: &mut ServerSession) {
    let has_words = !session.output().is_empty();
    if flush(transport, session).is_err() || !has_words {
        return;
    }
    transport.close_write();
    // Absolute: who goes on sending is cut off all the same.
    transport.socket().set_deadline(service.shard.monotonic_us() + RTMP_FAREWELL_US);
    let mut budget = service.shard.budget();
    while let Ok(count @ 1..) = transport.recv(<[u8]>::len).await {
        budget.spend_bytes(count).await;
    }
}
