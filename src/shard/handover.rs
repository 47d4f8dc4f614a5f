//! A publisher's connection on its way to its stream's home shard.

use std::net::IpAddr;
use std::rc::Rc;

use super::admission::Place;
use super::publisher::Publishing;
use super::service::Service;
use super::transport::Moving;
use crate::auth::Permit;
use crate::rtmp::{PublishRequest, ServerSession};

/// What the home needs to go on where the accepting shard stopped: before the reply to `publish`.
pub struct Handover {
    /// The connection, with the state of its TLS.
    pub connection: Moving,
    /// All else of it.
    pub arrived: Arrived,
}

/// A connection that has said what it publishes, and may.
pub struct Arrived {
    /// Its place among the connections.
    pub place: Place,
    /// Its protocol state.
    pub session: Box<ServerSession>,
    /// What it asked for.
    pub request: Box<PublishRequest>,
    /// What its token allows.
    pub permit: Permit,
    /// Received and not yet read by the session.
    pub unread: Vec<u8>,
    /// The peer's, as it was accepted: a socket whose peer has left knows none.
    pub address: IpAddr,
}

impl Handover {
    /// Goes on with the connection on this shard.
    pub fn resume(self, service: &Rc<Service>) {
        let Self { connection, arrived } = self;
        let transport = match connection.settle(&service.shard, &service.tls_buffers) {
            Ok(transport) => transport,
            Err(error) => {
                let name = &arrived.request.name;
                tracing::warn!(stream = %name, peer = %arrived.address, "a publisher was lost on its way home: {error}");
                return;
            }
        };
        let publishing = Publishing::new(Rc::clone(service), transport, arrived);
        service.shard.spawn("publisher", publishing.run());
    }
}
