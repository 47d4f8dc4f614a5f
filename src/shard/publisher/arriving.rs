//! A publisher's connection until it says what it publishes, on the shard that accepted it.

use std::net::IpAddr;
use std::rc::Rc;

use super::end::End;
use super::{Publishing, farewell, flush, is_deadline, trace_messages};
use crate::auth::Permit;
use crate::media::Now;
use crate::metrics::RefusedBecause;
use crate::rtmp::{Event, PublishRequest, Refusal, ServerSession};
use crate::shard::Transport;
use crate::shard::admission::Place;
use crate::shard::handover::{Arrived, Handover};
use crate::shard::service::{Service, wait_text};
use crate::shard::streams::home_of;

/// A connection that has not said yet what it publishes.
pub(super) struct Arriving {
    service: Rc<Service>,
    transport: Transport,
    session: ServerSession,
    address: IpAddr,
    place: Place,
    /// Received and not yet read by the session.
    unread: Vec<u8>,
    /// It has published before, and its end was logged.
    has_published: bool,
}

/// A publish request, and what was received behind it.
type Asked = (Box<PublishRequest>, Vec<u8>);
/// The same, and what its token allows.
type Allowed = (Asked, Permit);

impl Arriving {
    /// A connection that has said by `unread`, its first bytes, that it is RTMP, or that is so under TLS.
    pub(super) fn new(
        service: Rc<Service>,
        transport: Transport,
        session: ServerSession,
        address: IpAddr,
        place: Place,
        unread: Vec<u8>,
    ) -> Self {
        Self { service, transport, session, address, place, unread, has_published: false }
    }

    /// One that has published, said goodbye to its stream, and may publish another.
    pub(super) fn again(self) -> Self {
        Self { has_published: true, ..self }
    }

    /// Serves it until it publishes, and hands it to its stream's home.
    pub(super) async fn run(mut self) {
        match self.until_publish().await {
            Ok((asked, permit)) => self.go_home(asked, permit),
            Err(end) => {
                farewell(&self.service, &self.transport, &mut self.session).await;
                end.count(&self.service);
                if !self.has_published {
                    tracing::info!(peer = %self.address, "rtmp connection ended before publish: {end}");
                }
            }
        }
    }

    async fn until_publish(&mut self) -> Result<Allowed, End> {
        let mut budget = self.service.shard.budget();
        loop {
            if let Some(rest_until_us) = self.session.rest_until_us() {
                self.service.shard.sleep_until(rest_until_us).await;
                self.session.handle_time(self.service.shard.now())?;
            }
            match self.session.deadline_us() {
                Some(deadline_us) => self.transport.socket().set_deadline(deadline_us),
                None => self.transport.socket().clear_deadline(),
            }
            let (session, service) = (&mut self.session, &self.service);
            let unread = std::mem::take(&mut self.unread);
            let received = if unread.is_empty() {
                let digested = |bytes: &[u8]| (bytes.len(), request_in(session, bytes, service.shard.now()));
                self.transport.recv(digested).await
            } else {
                Ok((unread.len(), request_in(session, &unread, service.shard.now())))
            };
            let (count, found) = match received {
                Err(error) if is_deadline(&error) => {
                    let now = self.service.shard.now();
                    self.session.handle_time(now)?;
                    continue;
                }
                other => other?,
            };
            trace_messages(&mut self.session, self.address, None);
            if count == 0 {
                return Err(End::Closed);
            }
            flush(&self.transport, &mut self.session)?;
            let (request, unread) = found?;
            if let Some(request) = request {
                let permit = self.check_token(&request)?;
                return Ok(((request, unread), permit));
            }
            // Bytes that are always there let no wait run out.
            self.session.handle_time(self.service.shard.now())?;
            self.unread = unread;
            budget.spend_bytes(count).await;
        }
    }

    /// The token must name this stream; a failure costs its address a wait. Whether one that has expired will
    /// do is for the stream's home to say.
    fn check_token(&mut self, request: &PublishRequest) -> Result<Permit, End> {
        let service = Rc::clone(&self.service);
        if service.is_draining() {
            return self.refuse(RefusedBecause::Draining, "the server is stopping");
        }
        if service.config().auth.open {
            return Ok(Permit::Open);
        }
        let now = service.shard.now();
        let presented = request.token.as_ref().map_or("", |token| token.expose());
        let permit = service.setup.tokens.permit(presented, request.name.as_str(), now.unix_us / 1_000_000);
        let backoff = &service.setup.backoff;
        let waits = match &permit {
            // Whoever has a good one need not wait for what others of his address have tried.
            Ok(Permit::Valid(_)) => {
                backoff.succeeded(self.address);
                None
            }
            Ok(_) => backoff.wait_us(self.address, now.monotonic_us),
            Err(_) => backoff.failed(self.address, now.monotonic_us).err(),
        };
        match waits {
            Some(wait_us) => self.refuse(RefusedBecause::Backoff, &wait_text(wait_us)),
            None => permit.or_else(|error| self.refuse(RefusedBecause::Credentials, &error.to_string())),
        }
    }

    fn refuse<T>(&mut self, because: RefusedBecause, text: &str) -> Result<T, End> {
        self.service.metrics.refused.of(because).inc();
        self.session.reject_publish(Refusal::Denied, text);
        Err(End::Refused(text.to_owned()))
    }

    fn go_home(self, (request, unread): Asked, permit: Permit) {
        let Self { service, transport, session, address, mut place, .. } = self;
        // It has shown a token: it no longer counts for its address.
        place.release_address();
        let home = home_of(&request.name, service.shard.shards_count());
        let arrived = Arrived { place, session: Box::new(session), request, permit, unread, address };
        if home == service.shard.index() {
            let publishing = Publishing::new(Rc::clone(&service), transport, arrived);
            service.shard.spawn("publisher", publishing.run());
            return;
        }
        let handover = Box::new(Handover { connection: transport.into_moving(), arrived });
        if let Err(lost) = service.hand_over(home, handover) {
            service.metrics.rtmp_disconnects.inc();
            tracing::warn!(stream = %lost.arrived.request.name, peer = %address, "publisher dropped: the inbox of its stream's home is full");
        }
    }
}

/// Reads up to a publish request, or until the session rests; with it comes what was received behind that.
fn request_in(
    session: &mut ServerSession,
    bytes: &[u8],
    now: Now,
) -> Result<(Option<Box<PublishRequest>>, Vec<u8>), End> {
    let mut input = bytes;
    loop {
        match session.poll(&mut input, now)? {
            Some(Event::PublishRequested(request)) => return Ok((Some(request), input.to_vec())),
            Some(Event::PublishRefused(error)) => return Err(End::Refused(error.to_string())),
            Some(_) => {}
            None => return Ok((None, input.to_vec())),
        }
    }
}
