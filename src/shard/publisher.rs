//! One RTMP connection: on the shard that accepted it until it says what it publishes, from then on at
//! its stream's home.

use std::cell::Cell;
use std::io::{self, IoSlice};
use std::net::IpAddr;
use std::rc::Rc;

use super::Socket;
use super::admission::Place;
use super::fault::FaultAt;
use super::handover::{Arrived, Handover};
use super::service::{Service, wait_text};
use super::streams::{EndedBy, PublisherHere, Stream, home_of};
use crate::auth::Permit;
use crate::limits::{CHALLENGE_POLL_US, RTMP_FAREWELL_US};
use crate::media::{Now, StreamName};
use crate::metrics::{EndedBecause, RefusedBecause};
use crate::origin::home::{Challenge, Departure, PublisherId};
use crate::rtmp::{
    Event, HANDSHAKE_RANDOM_BYTES, PublishRequest, Refusal, ServerConfig, ServerSession, SessionError,
    message_type,
};

/// A connection that has not said yet what it publishes.
pub struct Arriving {
    service: Rc<Service>,
    socket: Socket,
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

/// Why a connection ended, for its one log line.
#[derive(Debug)]
enum End {
    /// By its own will, or the network's.
    Closed,
    /// It has said goodbye to its stream, and may publish another one.
    Unpublished,
    Io(io::Error),
    Session(EndedBecause, String),
    Refused(String),
    By(EndedBy),
}

impl std::fmt::Display for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Closed => f.write_str("closed by the publisher"),
            Self::Unpublished => f.write_str("unpublished"),
            Self::Io(error) => write!(f, "{error}"),
            Self::Session(_, text) => f.write_str(text),
            Self::Refused(text) => write!(f, "refused: {text}"),
            Self::By(by) => f.write_str(by.as_str()),
        }
    }
}

impl End {
    /// As the metrics have it; `None` for an end that is no error, or is counted where it was decided.
    fn because(&self) -> Option<EndedBecause> {
        match self {
            Self::Io(error) => match error.kind() {
                io::ErrorKind::TimedOut => Some(EndedBecause::Timeout),
                io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => None,
                _ => Some(EndedBecause::Socket),
            },
            Self::Session(because, _) => Some(*because),
            Self::Closed | Self::Unpublished | Self::Refused(_) | Self::By(_) => None,
        }
    }

    fn count(&self, service: &Service) {
        service.metrics.rtmp_disconnects.inc();
        if let Some(because) = self.because() {
            service.metrics.rtmp_errors.of(because).inc();
        }
    }
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<SessionError> for End {
    fn from(error: SessionError) -> Self {
        let because = match &error {
            SessionError::TimedOut { .. } => EndedBecause::Timeout,
            SessionError::OutputFull { .. } => EndedBecause::SlowReader,
            _ => EndedBecause::Protocol,
        };
        Self::Session(because, error.to_string())
    }
}

impl Arriving {
    /// An accepted connection.
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
        Ok(Self { service, socket, session, address, place, unread: Vec::new(), has_published: false })
    }

    /// Serves it until it publishes, and hands it to its stream's home.
    pub async fn run(mut self) {
        match self.until_publish().await {
            Ok((asked, permit)) => self.go_home(asked, permit),
            Err(end) => {
                farewell(&self.service, &self.socket, &mut self.session).await;
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
            match self.session.deadline_us() {
                Some(deadline_us) => self.socket.set_deadline(deadline_us),
                None => self.socket.clear_deadline(),
            }
            let (session, service) = (&mut self.session, &self.service);
            let unread = std::mem::take(&mut self.unread);
            let received = if unread.is_empty() {
                let digested = |bytes: &[u8]| (bytes.len(), request_in(session, bytes, service.shard.now()));
                self.socket.recv(digested).await
            } else {
                Ok((unread.len(), request_in(session, &unread, service.shard.now())))
            };
            let (count, found) = match received {
                Err(error) if error.kind() == io::ErrorKind::TimedOut => {
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
            flush(&self.socket, &mut self.session)?;
            if let Some(asked) = found? {
                let permit = self.check_token(&asked.0)?;
                return Ok((asked, permit));
            }
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
        let wait_us = service.backoff.borrow().wait_us(self.address, now.monotonic_us);
        if let Some(wait_us) = wait_us {
            return self.refuse(RefusedBecause::Backoff, &wait_text(wait_us));
        }
        let presented = request.token.as_ref().map_or("", |token| token.expose());
        match service.setup.tokens.permit(presented, request.name.as_str(), now.unix_us / 1_000_000) {
            Ok(permit) => {
                if matches!(permit, Permit::Valid(_)) {
                    service.backoff.borrow_mut().succeeded(self.address);
                }
                Ok(permit)
            }
            Err(error) => {
                service.backoff.borrow_mut().failed(self.address, now.monotonic_us);
                self.refuse(RefusedBecause::Credentials, &error.to_string())
            }
        }
    }

    fn refuse<T>(&mut self, because: RefusedBecause, text: &str) -> Result<T, End> {
        self.service.metrics.refused.of(because).inc();
        self.session.reject_publish(Refusal::Denied, text);
        Err(End::Refused(text.to_owned()))
    }

    fn go_home(self, (request, unread): Asked, permit: Permit) {
        let Self { service, socket, session, address, mut place, .. } = self;
        // It has shown a token: it no longer counts for its address.
        place.release_address();
        let home = home_of(&request.name, service.shard.shards_count());
        let arrived = Arrived { place, session: Box::new(session), request, permit, unread, address };
        if home == service.shard.index() {
            let publishing = Publishing::new(Rc::clone(&service), socket, arrived);
            service.shard.spawn("publisher", publishing.run());
            return;
        }
        let handover = Box::new(Handover { descriptor: socket.into_fd(), arrived });
        if let Err(lost) = service.hand_over(home, handover) {
            service.metrics.rtmp_disconnects.inc();
            tracing::warn!(stream = %lost.arrived.request.name, peer = %address, "publisher dropped: the inbox of its stream's home is full");
        }
    }
}

/// A connection at its stream's home.
pub struct Publishing {
    service: Rc<Service>,
    socket: Rc<Socket>,
    place: Place,
    session: ServerSession,
    request: PublishRequest,
    permit: Permit,
    unread: Vec<u8>,
    address: IpAddr,
    id: PublisherId,
    ended: Rc<Cell<Option<EndedBy>>>,
}

/// What a publisher has at its stream's home. Dropped, it leaves, however its task ended.
struct Attached {
    service: Rc<Service>,
    stream: Rc<Stream>,
    id: PublisherId,
    departure: Departure,
}

impl Attached {
    fn new(service: &Rc<Service>, stream: Rc<Stream>, id: PublisherId) -> Self {
        service.metrics.active_publishers.inc();
        Self { service: Rc::clone(service), stream, id, departure: Departure::Lost }
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        self.service.metrics.active_publishers.dec();
        if self.service.is_exiting() {
            // The shard is being taken apart; its streams were ended by the drain.
            return;
        }
        let (id, departure, now) = (self.id, self.departure, self.service.shard.now());
        // A failure was logged where it happened; the stream is left either way.
        let _ = self.service.at_home(&self.stream, |here, pool| {
            if here.publisher.as_ref().is_some_and(|publisher| publisher.id == id) {
                here.publisher = None;
            }
            here.home.detach(id, departure, now, pool);
            Ok(())
        });
    }
}

impl Publishing {
    /// A connection whose token is ours and for its stream; its reply is still owed.
    pub fn new(service: Rc<Service>, socket: Socket, arrived: Arrived) -> Self {
        let Arrived { place, session, request, permit, unread, address } = arrived;
        let id = PublisherId(service.next_publisher());
        let (socket, ended) = (Rc::new(socket), Rc::default());
        Self {
            service,
            socket,
            place,
            session: *session,
            request: *request,
            permit,
            unread,
            address,
            id,
            ended,
        }
    }

    /// Serves it to its end.
    pub async fn run(mut self) {
        let name = self.request.name.clone();
        let end = match self.claim().await {
            Ok(mut attached) => {
                tracing::info!(stream = %name, peer = %self.address, encoder = %self.request.encoder, "publishing");
                self.publish(&mut attached).await
            }
            Err(end) => end,
        };
        tracing::info!(stream = %name, peer = %self.address, received_bytes = self.session.received_bytes(), "publisher ended: {end}");
        if matches!(end, End::Unpublished) {
            self.arrive_again();
            return;
        }
        if matches!(end, End::By(_)) {
            self.session.stop(&end.to_string());
        }
        farewell(&self.service, &self.socket, &mut self.session).await;
        end.count(&self.service);
    }

    /// The connection stays: its client may create and publish another stream.
    fn arrive_again(self) {
        let Self { service, socket, session, address, place, unread, .. } = self;
        // The home has let go of it when the publisher left.
        let Ok(socket) = Rc::try_unwrap(socket) else { return End::Closed.count(&service) };
        let arriving = Arriving {
            service: Rc::clone(&service),
            socket,
            session,
            address,
            place,
            unread,
            has_published: true,
        };
        service.shard.spawn("rtmp", arriving.run());
    }

    /// Waits for the key to be free, or refuses.
    async fn claim(&mut self) -> Result<Attached, End> {
        let since_us = self.service.shard.monotonic_us();
        loop {
            let now = self.service.shard.now();
            if self.service.is_draining() {
                return self.refuse(Refusal::Denied, RefusedBecause::Draining, "the server is stopping");
            }
            // At each round: the session that it is to resume may have ended.
            let permit = self.permit;
            let allowed = self.service.check_permit(permit, &self.request.name, self.address, now);
            if let Err((because, text)) = allowed {
                return self.refuse(Refusal::Denied, because, &text);
            }
            let Some(stream) = self.service.home_stream(&self.request.name) else {
                return self.refuse(Refusal::Denied, RefusedBecause::StreamsMax, "too many streams");
            };
            let id = self.id;
            let here = PublisherHere {
                id,
                socket: Rc::clone(&self.socket),
                ended: Rc::clone(&self.ended),
                address: self.address.to_string(),
                encoder: self.request.encoder.clone(),
                bytes_before: self.socket.received_bytes(),
            };
            let answer = self.service.at_home(&stream, |home, pool| {
                let challenge = home.home.challenge(since_us, now);
                if challenge == Challenge::TakeOver
                    && let Some(before) = home.publisher.take()
                {
                    before.end(EndedBy::TakeOver);
                    home.home.detach(before.id, Departure::Lost, now, pool);
                    if matches!(permit, Permit::Expired { .. }) {
                        // Without grace that has ended the session: the next round tells.
                        return Ok(Challenge::Wait);
                    }
                }
                if matches!(challenge, Challenge::Free | Challenge::TakeOver) {
                    home.home.attach(id, permit.token(), now)?;
                    home.publisher = Some(here);
                }
                Ok(challenge)
            });
            match answer {
                Ok(Challenge::Free | Challenge::TakeOver) => {
                    let attached = Attached::new(&self.service, stream, id);
                    self.session.accept_publish(now);
                    return Ok(attached);
                }
                Ok(Challenge::Busy) => {
                    let text = "somebody else is publishing this stream";
                    return self.refuse(Refusal::BadName, RefusedBecause::KeyTaken, text);
                }
                Ok(Challenge::Wait) => {
                    if self.socket.is_hung_up() {
                        return Err(End::Closed);
                    }
                    self.service.shard.sleep_until(now.monotonic_us + CHALLENGE_POLL_US).await;
                }
                Err(failure) => return Err(End::Session(failure.because(), failure.to_string())),
            }
        }
    }

    fn refuse<T>(&mut self, refusal: Refusal, because: RefusedBecause, text: &str) -> Result<T, End> {
        self.service.metrics.refused.of(because).inc();
        self.session.reject_publish(refusal, text);
        Err(End::Refused(text.to_owned()))
    }

    async fn publish(&mut self, attached: &mut Attached) -> End {
        let mut budget = self.service.shard.budget();
        let unread = std::mem::take(&mut self.unread);
        let mut received = self.digest(&unread, attached).map(|()| unread.len());
        loop {
            if let Some(by) = self.ended.get() {
                return End::By(by);
            }
            let count = match received {
                Ok(count) => count,
                Err(end) => return end,
            };
            if let Err(error) = flush(&self.socket, &mut self.session) {
                return error.into();
            }
            if attached.departure == Departure::Unpublished {
                return End::Unpublished;
            }
            budget.spend_bytes(count).await;
            received = self.receive(attached).await;
        }
    }

    async fn receive(&mut self, attached: &mut Attached) -> Result<usize, End> {
        if self.ended.get().is_some() {
            // The deadline that told so is not to be set anew.
            return Ok(0);
        }
        match self.session.deadline_us() {
            Some(deadline_us) => self.socket.set_deadline(deadline_us),
            None => self.socket.clear_deadline(),
        }
        let socket = Rc::clone(&self.socket);
        let received = socket
            .recv(|bytes| {
                let digested = self.digest(bytes, attached);
                (bytes.len(), digested)
            })
            .await;
        match received {
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                let now = self.service.shard.now();
                self.session.handle_time(now)?;
                Ok(0)
            }
            Err(error) => Err(error.into()),
            Ok((0, _)) => Err(End::Closed),
            Ok((count, digested)) => digested.map(|()| count),
        }
    }

    /// Feeds received bytes through the session into the stream.
    fn digest(&mut self, bytes: &[u8], attached: &mut Attached) -> Result<(), End> {
        let (id, session) = (self.id, &mut self.session);
        let now = self.service.shard.now();
        self.service.metrics.rtmp_bytes_received.inc_by(bytes.len() as u64);
        let mut input = bytes;
        let unread = &mut self.unread;
        let Attached { stream, departure, .. } = attached;
        self.service.fault(FaultAt::Publisher, stream.shared.name.as_str());
        let service = &self.service;
        let digested = service.at_home(stream, |here, pool| {
            service.fault(FaultAt::Media, stream.shared.name.as_str());
            loop {
                match session.poll(&mut input, now) {
                    Ok(Some(Event::Media(fragment))) => here.home.media(id, &fragment, now, pool)?,
                    Ok(Some(Event::Metadata(metadata))) => here.home.metadata(id, &metadata),
                    Ok(Some(Event::MediaAborted(kind))) => here.home.media_aborted(id, kind, now, pool)?,
                    Ok(Some(Event::Unpublished(_))) => {
                        *departure = Departure::Unpublished;
                        *unread = input.to_vec();
                        return Ok(Ok(()));
                    }
                    Ok(Some(Event::PublishRequested(_) | Event::PublishRefused(_))) => {
                        return Ok(Err(End::Session(
                            EndedBecause::Protocol,
                            "asked to publish a second stream".into(),
                        )));
                    }
                    Ok(None) => return Ok(Ok(())),
                    Err(error) => return Ok(Err(error.into())),
                }
            }
        });
        trace_messages(&mut self.session, self.address, Some(&self.request.name));
        match digested {
            Ok(digested) => digested,
            // It was counted there.
            Err(_) => Err(End::By(EndedBy::Failure)),
        }
    }
}

/// Reads up to a publish request; with it comes what was received behind it.
fn request_in(session: &mut ServerSession, bytes: &[u8], now: Now) -> Result<Option<Asked>, End> {
    let mut input = bytes;
    loop {
        match session.poll(&mut input, now)? {
            Some(Event::PublishRequested(request)) => return Ok(Some((request, input.to_vec()))),
            Some(Event::PublishRefused(error)) => return Err(End::Refused(error.to_string())),
            Some(_) => {}
            None => return Ok(None),
        }
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

/// Sends what the session has to say, as far as the socket takes it: a client that does not read must
/// not hold up its own media. The session bounds what stays.
fn flush(socket: &Socket, session: &mut ServerSession) -> io::Result<()> {
    loop {
        let output = session.output();
        if output.is_empty() {
            return Ok(());
        }
        match socket.try_send(&[IoSlice::new(output)])? {
            Some(count) => session.output_written(count),
            None => return Ok(()),
        }
    }
}

/// Sends the last words, if there are any, and gives the peer a moment to read them: a close with unread
/// input resets the connection, and the reason would be lost.
async fn farewell(service: &Service, socket: &Socket, session: &mut ServerSession) {
    let has_words = !session.output().is_empty();
    if flush(socket, session).is_err() || !has_words {
        return;
    }
    let _ = socket.shutdown(std::net::Shutdown::Write);
    // Absolute: who goes on sending is cut off all the same.
    socket.set_deadline(service.shard.monotonic_us() + RTMP_FAREWELL_US);
    let mut budget = service.shard.budget();
    while let Ok(count @ 1..) = socket.recv(<[u8]>::len).await {
        budget.spend_bytes(count).await;
    }
}
