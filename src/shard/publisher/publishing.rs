//! A publisher's connection at its stream's home.

use std::cell::Cell;
use std::net::IpAddr;
use std::rc::Rc;

use super::end::End;
use super::{Arriving, farewell, flush, is_deadline, trace_messages, until_published};
use crate::auth::Permit;
use crate::limits::{CHALLENGE_POLL_US, RTMP_SILENCE_US, RTMP_UNACKNOWLEDGED_MS_MAX};
use crate::metrics::{EndedBecause, RefusedBecause};
use crate::origin::home::{Challenge, Departure, PublisherId};
use crate::rtmp::{Event, PublishRequest, Refusal, ServerSession};
use crate::shard::Transport;
use crate::shard::admission::Place;
use crate::shard::fault::FaultAt;
use crate::shard::handover::Arrived;
use crate::shard::service::{HomeFailure, Service};
use crate::shard::streams::{EndedBy, PublisherHere, Stream};

/// A connection at its stream's home.
pub struct Publishing {
    service: Rc<Service>,
    transport: Rc<Transport>,
    place: Place,
    session: ServerSession,
    request: PublishRequest,
    permit: Permit,
    unread: Vec<u8>,
    /// When the newest byte came, monotonic microseconds.
    heard_us: u64,
    /// It has been silent since, for so long that its host has to show that it is there.
    is_doubted: bool,
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
            here.forget_publisher(id);
            here.home.detach(id, departure, now, pool);
            Ok(())
        });
    }
}

impl Publishing {
    /// A connection whose token is ours and for its stream; its reply is still owed.
    pub fn new(service: Rc<Service>, transport: Transport, arrived: Arrived) -> Self {
        let Arrived { place, session, request, permit, unread, address } = arrived;
        let id = PublisherId(service.next_publisher());
        if let Err(error) = transport.socket().look_first() {
            tracing::warn!(stream = %request.name, peer = %address, "its media comes behind the requests of viewers: {error}");
        }
        let (transport, ended) = (Rc::new(transport), Rc::default());
        let heard_us = service.shard.monotonic_us();
        Self {
            service,
            transport,
            place,
            session: *session,
            request: *request,
            permit,
            unread,
            heard_us,
            is_doubted: false,
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
                tracing::info!(stream = %name, peer = %self.address, encoder = %self.request.encoder, role = self.request.role.as_str(), tls = self.transport.is_tls(), "publishing");
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
        farewell(&self.service, &self.transport, &mut self.session).await;
        end.count(&self.service);
    }

    /// The connection stays: its client may create and publish another stream.
    fn arrive_again(self) {
        let Self { service, transport, session, address, place, unread, .. } = self;
        // The home has let go of it when the publisher left.
        let Ok(transport) = Rc::try_unwrap(transport) else { return End::Closed.count(&service) };
        let arriving = Arriving::new(Rc::clone(&service), transport, session, address, place, unread).again();
        let again = until_published(Rc::clone(&service), address, arriving.run());
        service.shard.spawn("rtmp", again);
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
            let (id, role) = (self.id, self.request.role);
            let here = PublisherHere {
                id,
                transport: Rc::clone(&self.transport),
                ended: Rc::clone(&self.ended),
                address: self.address.to_string(),
                encoder: self.request.encoder.clone(),
                bytes_before: self.transport.socket().received_bytes(),
            };
            let answer = self.service.at_home(&stream, |home, pool| {
                let challenge = home.home.challenge(role, since_us, now);
                let before = home.home.present().find(|present| present.role == role);
                if challenge == Challenge::TakeOver
                    && let Some(before) = before
                {
                    home.end_publisher(before.id, EndedBy::TakeOver);
                    home.forget_publisher(before.id);
                    home.home.detach(before.id, Departure::Lost, now, pool);
                    if matches!(permit, Permit::Expired { .. }) {
                        // Without grace that has ended the session: the next round tells.
                        return Ok(Ok(Challenge::Wait));
                    }
                }
                if matches!(challenge, Challenge::Free | Challenge::TakeOver) {
                    if let Err(error) = home.home.attach(id, role, permit.token(), now) {
                        return Ok(Err(error));
                    }
                    home.publishers.push(here);
                }
                Ok(Ok(challenge))
            });
            let challenge = match answer {
                Ok(Ok(challenge)) => challenge,
                Ok(Err(error)) => {
                    let text = error.to_string();
                    return self.refuse(Refusal::Denied, RefusedBecause::RetainedBytes, &text);
                }
                Err(failure) => return Err(End::Session(failure.because(), failure.to_string())),
            };
            match challenge {
                Challenge::Free | Challenge::TakeOver => {
                    let attached = Attached::new(&self.service, stream, id);
                    self.session.accept_publish(now);
                    return Ok(attached);
                }
                Challenge::Busy => {
                    let text = "somebody else is publishing this stream";
                    return self.refuse(Refusal::BadName, RefusedBecause::KeyTaken, text);
                }
                Challenge::Wait => {
                    if self.transport.socket().is_hung_up() {
                        return Err(End::Closed);
                    }
                    self.service.shard.sleep_until(now.monotonic_us + CHALLENGE_POLL_US).await;
                }
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
            if let Err(error) = flush(&self.transport, &mut self.session) {
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
        if let Some(rest_until_us) = self.session.rest_until_us() {
            self.service.shard.sleep_until(rest_until_us).await;
            self.session.handle_time(self.service.shard.now())?;
            if self.ended.get().is_some() {
                return Ok(0);
            }
        }
        if !self.unread.is_empty() {
            self.heard_us = self.service.shard.monotonic_us();
            let unread = std::mem::take(&mut self.unread);
            return self.digest(&unread, attached).map(|()| unread.len());
        }
        let silence_us = if self.is_doubted { u64::MAX } else { self.heard_us + RTMP_SILENCE_US };
        let deadline_us = self.session.deadline_us().unwrap_or(u64::MAX);
        self.transport.socket().set_deadline(deadline_us.min(silence_us));
        let transport = Rc::clone(&self.transport);
        let received = transport
            .recv(|bytes| {
                let digested = self.digest(bytes, attached);
                (bytes.len(), digested)
            })
            .await;
        match received {
            Err(error) if is_deadline(&error) => {
                let now = self.service.shard.now();
                self.session.handle_time(now)?;
                self.doubt(true);
                Ok(0)
            }
            Err(error) => Err(error.into()),
            Ok((0, _)) => Err(End::Closed),
            Ok((count, digested)) => {
                self.heard_us = self.service.shard.monotonic_us();
                self.doubt(false);
                digested?;
                // Bytes that are always there let no wait run out.
                self.session.handle_time(self.service.shard.now())?;
                Ok(count)
            }
        }
    }

    /// While it is silent its host is not waited for without an answer. While it speaks it is: there are encoders
    /// that never read, and TCP would end those for what they leave unread.
    fn doubt(&mut self, is_silent: bool) {
        if std::mem::replace(&mut self.is_doubted, is_silent) != is_silent {
            let unacknowledged_ms_max = is_silent.then_some(RTMP_UNACKNOWLEDGED_MS_MAX);
            // One that has failed by now tells so when it is read.
            let _ = self.transport.socket().set_unacknowledged_max(unacknowledged_ms_max);
        }
    }

    /// Feeds received bytes through the session into the stream.
    fn digest(&mut self, bytes: &[u8], attached: &mut Attached) -> Result<(), End> {
        let (id, session) = (self.id, &mut self.session);
        let now = self.service.shard.now();
        let mut input = bytes;
        let Attached { stream, departure, .. } = attached;
        self.service.fault(FaultAt::Publisher, stream.shared.name.as_str());
        let service = &self.service;
        let failure = |error| HomeFailure::Publisher(id, error);
        let digested = service.at_home(stream, |here, pool| {
            service.fault(FaultAt::Media, stream.shared.name.as_str());
            loop {
                match session.poll(&mut input, now) {
                    Ok(Some(Event::Media(fragment))) => {
                        here.home.media(id, &fragment, now, pool).map_err(failure)?;
                    }
                    Ok(Some(Event::Metadata(metadata))) => here.home.metadata(id, &metadata),
                    Ok(Some(Event::MediaAborted(kind))) => {
                        here.home.media_aborted(id, kind, now, pool).map_err(failure)?;
                    }
                    Ok(Some(Event::Unpublished(_))) => {
                        *departure = Departure::Unpublished;
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
        // Behind its goodbye, or while the session rests.
        self.unread = input.to_vec();
        self.service.metrics.rtmp_bytes_received.inc_by((bytes.len() - input.len()) as u64);
        trace_messages(&mut self.session, self.address, Some(&self.request.name));
        match digested {
            Ok(digested) => digested,
            // It was counted there.
            Err(_) => Err(End::By(EndedBy::Failure)),
        }
    }
}
