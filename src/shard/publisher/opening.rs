//! A connection until its first byte has said what it speaks, and until TLS has shaken hands if that is it.

use std::io;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

use super::end::End;
use super::{Arriving, is_deadline, until_published};
use crate::limits::RTMP_KEEPALIVE_S;
use crate::metrics::EndedBecause;
use crate::rtmp::{HANDSHAKE_RANDOM_BYTES, Opening, ServerConfig, ServerSession};
use crate::shard::admission::Place;
use crate::shard::service::Service;
use crate::shard::tls::TlsSocket;
use crate::shard::{Socket, Transport};

/// A connection that was let in and has not said anything.
pub struct Accepted {
    service: Rc<Service>,
    socket: Socket,
    session: ServerSession,
    address: IpAddr,
    place: Place,
}

impl Accepted {
    /// An accepted connection; its deadlines count from now.
    ///
    /// # Errors
    /// The host gives no random bytes.
    pub fn new(service: Rc<Service>, socket: Socket, address: IpAddr, place: Place) -> io::Result<Self> {
        let mut random = [0; HANDSHAKE_RANDOM_BYTES];
        getrandom::fill(&mut random)?;
        let ingest = &service.config().ingest;
        let config = ServerConfig {
            handshake_timeout_ms: ingest.handshake_timeout_s.saturating_mul(1000),
            publish_timeout_ms: ingest.publish_timeout_s.saturating_mul(1000),
            first_media_timeout_ms: ingest.first_media_timeout_s.saturating_mul(1000),
            media_timeout_ms: ingest.media_timeout_s.saturating_mul(1000),
            note_messages: tracing::enabled!(tracing::Level::TRACE),
        };
        let session = ServerSession::new(config, random, service.shard.now());
        // One that has failed by now tells so when it is read.
        let _ = socket.keep_alive(RTMP_KEEPALIVE_S);
        Ok(Self { service, socket, session, address, place })
    }

    /// Serves it to its end, or to its stream's home.
    pub async fn run(self) {
        until_published(Rc::clone(&self.service), self.address, self.serve()).await;
    }

    async fn serve(self) {
        let Self { service, socket, session, address, place } = self;
        // Absolute, and one for TLS and RTMP together.
        socket.set_deadline(session.deadline_us().unwrap_or(u64::MAX));
        match open(&service, socket).await {
            Ok((transport, unread)) => {
                Arriving::new(service, transport, session, address, place, unread).run().await;
            }
            Err(end) => {
                end.count(&service);
                tracing::info!(peer = %address, "rtmp connection ended before publish: {end}");
            }
        }
    }
}

/// The connection as RTMP is to be read from it, and what was read of that already.
async fn open(service: &Service, socket: Socket) -> Result<(Transport, Vec<u8>), End> {
    let mut received = match socket.recv(<[u8]>::to_vec).await {
        Err(error) if is_deadline(&error) => return Err(too_late("the first byte")),
        received => received?,
    };
    let Some(&first) = received.first() else { return Err(End::Closed) };
    if Opening::of(first) != Opening::Tls {
        return Ok((Transport::Plain(socket), received));
    }
    let Some(tls) = &service.setup.tls else {
        let text = "TLS, but there is no certificate: set https.cert_file and https.key_file";
        return Err(End::Session(EndedBecause::OtherProtocol, text.into()));
    };
    let (config, buffers) = (Arc::clone(&tls.rtmps), Rc::clone(&service.tls_buffers));
    match TlsSocket::accept_after(socket, config, buffers, &mut received).await {
        Ok(tls) => {
            service.metrics.rtmps_connections.inc();
            service.count_tls(&tls);
            Ok((Transport::Tls(Box::new(tls)), Vec::new()))
        }
        Err(error) => {
            service.metrics.tls_failures.inc();
            Err(match error.kind() {
                _ if is_deadline(&error) => too_late("the TLS handshake"),
                io::ErrorKind::UnexpectedEof => End::Closed,
                io::ErrorKind::InvalidData => End::Session(EndedBecause::Protocol, format!("TLS: {error}")),
                _ => error.into(),
            })
        }
    }
}

fn too_late(waited_for: &str) -> End {
    End::Session(EndedBecause::Timeout, format!("timed out waiting for {waited_for}"))
}
