//! HTTP/2 on a viewer's connection (RFC 9113): h2 does the frames, and one task drives it and the requests,
//! which ask the shard's streams as HTTP/1.1 does.

mod fields;
mod flood;
mod frames;
mod held_up;
mod request;
mod requests;
mod turns;
mod wire;

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use h2::Reason;
use h2::server::Connection;

use super::asking::{Asker, Waited};
use super::connected::{Connected, End};
use super::{Transport, Woken};
use crate::limits::{
    HTTP_CLOSE_US, HTTP_HEAD_US_MAX, HTTP_SEND_LOOK_US, HTTP2_FIELDS_BYTES_MAX, HTTP2_RESETS_PENDING_MAX,
    HTTP2_STREAM_SEND_BYTES_MAX, HTTP2_STREAMS_MAX, TURN_REQUESTS_MAX,
};
use crate::metrics::EndedBecause;
pub use fields::RecentFields;
use flood::Flood;
use requests::{Bell, Flag, Requests};
use turns::Turns;
use wire::Wire;

/// What a connection and its requests share.
struct Shared {
    asker: Asker,
    wire: Wire,
    turns: Turns,
    /// Of media that responses have not handed to h2.
    owed_bytes: Cell<u64>,
    flood: RefCell<Flood>,
    /// Requests that are being answered.
    requests_count: Cell<usize>,
    /// When the last of them ended, or the connection began: from then on it is idle, whatever frames come.
    idle_since_us: Cell<u64>,
    /// Requests that may come before the shard's ring is to have its turn.
    turn_requests_left: Cell<usize>,
    /// Their responses are with h2, and go to the socket with what it writes next.
    waited: RefCell<Vec<Waited>>,
}

/// What the connection's task drives.
struct Driven {
    connection: Connection<Wire, Bytes>,
    requests: Requests,
    bell: Arc<Bell>,
    /// Set when h2, the socket, its deadline or the server's end wants to be looked at.
    own: Arc<Flag>,
}

/// What makes the connection's task go on.
enum Event {
    /// The shard's ring is to have its turn.
    Turn,
    /// The deadline has passed.
    Expired,
    /// The server begins to end.
    Drain,
    /// The peer floods us.
    Flooded,
    /// h2 has come to its end.
    Ended(Result<(), h2::Error>),
}

/// We have said that we go away.
#[derive(Clone, Copy)]
enum Closing {
    /// Whatever is still to be answered, until then.
    Until(u64),
    /// It was idle. A request may have been on its way, and is answered.
    Idle { since_us: u64 },
}

/// Serves a connection to its end. `received` is what was read of it already.
pub(super) async fn serve(transport: Transport, received: Vec<u8>, connected: Connected) {
    let service = Rc::clone(connected.service());
    service.metrics.http2_connections.inc();
    let now_us = service.shard.monotonic_us();
    let shared = Rc::new(Shared {
        asker: Asker::new(Rc::clone(&service)),
        wire: Wire::new(transport, received, Rc::clone(&service.http2_spare)),
        turns: Turns::default(),
        owed_bytes: Cell::new(0),
        flood: RefCell::new(Flood::new(now_us)),
        requests_count: Cell::new(0),
        idle_since_us: Cell::new(now_us),
        turn_requests_left: Cell::new(TURN_REQUESTS_MAX),
        waited: RefCell::default(),
    });
    let end = shared.serve().await;
    connected.end(end);
}

impl Shared {
    async fn serve(self: &Rc<Self>) -> Result<(), End> {
        let shard = &self.asker.service.shard;
        let socket = self.wire.transport().socket();
        socket.set_deadline(shard.monotonic_us() + HTTP_HEAD_US_MAX);
        let connection = self.shake_hands().await?;
        let task = poll_fn(|context| Poll::Ready(context.waker().clone())).await;
        let (mut driven, own_waker) = Driven::new(connection, task);
        let drains = self.asker.service.drains.clone();
        let never = shard.deadline();
        let mut drain = drains.park_until(0, &never);
        let mut closing = None;
        loop {
            socket.set_deadline(self.deadline_us(closing));
            let is_closing = closing.is_some();
            let event = poll_fn(|_| {
                let context = &mut Context::from_waker(&own_waker);
                if !is_closing && matches!(Pin::new(&mut drain).poll(context), Poll::Ready(Woken::Landed)) {
                    return Poll::Ready(Event::Drain);
                }
                let polled = self.poll(&mut driven, context);
                if polled.is_pending() {
                    // As it is now: the socket may have become full, or the last request ended.
                    socket.set_deadline(self.deadline_us(closing));
                }
                polled
            });
            match event.await {
                Event::Turn => {
                    shard.ring_turn().await;
                    self.wire.turn_taken();
                    self.turn_requests_left.set(TURN_REQUESTS_MAX);
                }
                Event::Drain => {
                    closing = Some(Closing::Until(shard.monotonic_us() + HTTP_CLOSE_US));
                    driven.connection.graceful_shutdown();
                }
                Event::Expired => {
                    if self.wire.is_owing() {
                        // If it was the shard that stood still, the socket takes more now; an error comes again.
                        let _ = self.wire.poll_send(&Context::from_waker(&own_waker));
                    }
                    let now_us = shard.monotonic_us();
                    if self.deadline_us(closing) > now_us {
                        continue;
                    }
                    if self.stalled_us().is_some_and(|stalled_us| stalled_us <= now_us) {
                        return Err(End::Because(EndedBecause::SlowReader));
                    }
                    if is_closing {
                        return Ok(());
                    }
                    closing = Some(Closing::Idle { since_us: now_us });
                    driven.connection.graceful_shutdown();
                }
                Event::Flooded => {
                    closing = Some(Closing::Until(shard.monotonic_us() + HTTP_CLOSE_US));
                    self.flood.borrow_mut().forget();
                    self.asker.service.metrics.http_errors.of(EndedBecause::Bound).inc();
                    driven.connection.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
                }
                Event::Ended(ended) => {
                    // Nobody is left to answer.
                    drop(driven);
                    socket.set_deadline(shard.monotonic_us() + HTTP_CLOSE_US);
                    let sent = poll_fn(|context| self.wire.poll_send(context)).await;
                    if sent.is_ok() {
                        self.wire.transport().close().await;
                    }
                    return ended.map_err(|error| end_of(&error));
                }
            }
        }
    }

    async fn shake_hands(&self) -> Result<Connection<Wire, Bytes>, End> {
        let mut builder = h2::server::Builder::new();
        builder
            .max_concurrent_streams(HTTP2_STREAMS_MAX)
            .max_header_list_size(HTTP2_FIELDS_BYTES_MAX)
            .max_pending_accept_reset_streams(HTTP2_RESETS_PENDING_MAX)
            .max_send_buffer_size(HTTP2_STREAM_SEND_BYTES_MAX);
        let mut handshake = builder.handshake(self.wire.clone());
        loop {
            let shaken = poll_fn(|context| {
                let shaken = Pin::new(&mut handshake).poll(context);
                // Its own SETTINGS need not wait for the peer's.
                match self.wire.poll_send(context) {
                    Poll::Ready(Err(error)) => return Poll::Ready(Some(Err(End::from(error)))),
                    Poll::Ready(Ok(())) | Poll::Pending => {}
                }
                match shaken {
                    Poll::Ready(shaken) => Poll::Ready(Some(shaken.map_err(|error| end_of(&error)))),
                    Poll::Pending if self.wire.is_turn_spent() => Poll::Ready(None),
                    Poll::Pending => Poll::Pending,
                }
            });
            match shaken.await {
                Some(shaken) => return shaken,
                None => {
                    self.asker.service.shard.ring_turn().await;
                    self.wire.turn_taken();
                }
            }
        }
    }

    fn poll(self: &Rc<Self>, driven: &mut Driven, context: &mut Context<'_>) -> Poll<Event> {
        loop {
            driven.bell.hush();
            let progress = self.poll_once(driven, context);
            driven.bell.unhush();
            match progress {
                Poll::Ready(Event::Turn) => break,
                Poll::Ready(_) => return progress,
                Poll::Pending if self.wire.is_turn_spent() || !driven.is_woken() => break,
                Poll::Pending => {}
            }
        }
        let (socket, received) = (self.wire.transport().socket(), self.wire.received_bytes());
        let now_us = socket.shard().monotonic_us();
        self.waited.borrow_mut().drain(..).for_each(|waited| self.asker.count_waited(waited, now_us));
        let asking_count = self.wire.asking_count();
        if self.flood.borrow_mut().is_flooded(received, socket.sent_bytes(), asking_count, now_us) {
            return Poll::Ready(Event::Flooded);
        }
        if self.wire.is_turn_spent() || self.turn_requests_left.get() == 0 {
            return Poll::Ready(Event::Turn);
        }
        Poll::Pending
    }

    /// Answers what can be answered, takes what came, and sends what that brought about.
    fn poll_once(self: &Rc<Self>, driven: &mut Driven, context: &mut Context<'_>) -> Poll<Event> {
        driven.own.clear();
        if self.wire.transport().socket().poll_deadline(context).is_ready() {
            return Poll::Ready(Event::Expired);
        }
        driven.requests.poll_woken();
        let accepted = self.poll_accept(driven, context);
        // All frames that this and the requests before it have brought about, in one send.
        match self.wire.poll_send(context) {
            Poll::Ready(Err(_)) => return Poll::Ready(Event::Ended(Ok(()))),
            Poll::Ready(Ok(())) if accepted.is_pending() && !self.wire.is_turn_spent() => self.turns.settle(),
            Poll::Ready(Ok(())) | Poll::Pending => {}
        }
        accepted
    }

    /// Has h2 read and write what there is, and begins the requests that came.
    fn poll_accept(self: &Rc<Self>, driven: &mut Driven, context: &mut Context<'_>) -> Poll<Event> {
        while self.turn_requests_left.get() > 0 && !self.wire.is_turn_spent() {
            // It is looked at now, with all that the requests have handed over so far.
            driven.own.clear();
            let (request, respond) = match ready!(driven.connection.poll_accept(context)) {
                Some(Ok(accepted)) => accepted,
                Some(Err(error)) => return Poll::Ready(Event::Ended(Err(error))),
                None => return Poll::Ready(Event::Ended(Ok(()))),
            };
            self.flood.borrow_mut().request(self.wire.received_bytes());
            self.requests_count.set(self.requests_count.get() + 1);
            self.turn_requests_left.set(self.turn_requests_left.get() - 1);
            driven.requests.begin(request::serve(Rc::clone(self), request, respond));
        }
        Poll::Ready(Event::Turn)
    }

    /// When this connection is given up as it is now. A request that waits for media is not idle.
    fn deadline_us(&self, closing: Option<Closing>) -> u64 {
        let is_answering = self.requests_count.get() > 0;
        let closing_us = match closing {
            None | Some(Closing::Idle { .. }) if is_answering => u64::MAX,
            None => {
                let idle_us_max = u64::from(self.asker.service.config().http.idle_timeout_s) * 1_000_000;
                self.idle_since_us.get() + idle_us_max
            }
            Some(Closing::Idle { since_us }) => since_us.max(self.idle_since_us.get()) + HTTP_CLOSE_US,
            Some(Closing::Until(until_us)) => until_us,
        };
        match self.stalled_us() {
            // How long it has is looked at again: others may hold more by then.
            Some(stalled_us) => {
                let look_us = self.asker.service.shard.monotonic_us() + HTTP_SEND_LOOK_US;
                let stalled_us = stalled_us.min(look_us);
                if closing.is_none() { stalled_us } else { stalled_us.min(closing_us) }
            }
            None => closing_us,
        }
    }

    /// When a peer that does not take what it is sent is given up.
    fn stalled_us(&self) -> Option<u64> {
        self.wire.stalled_us(self.asker.service.is_lending_too_much())
    }
}

impl Driven {
    /// Also returns the waker that sets its own flag.
    fn new(connection: Connection<Wire, Bytes>, task: Waker) -> (Self, Waker) {
        let bell = Bell::new(task);
        let own = Flag::new(&bell);
        let own_waker = Waker::from(Arc::clone(&own));
        (Self { connection, requests: Requests::new(Arc::clone(&bell)), bell, own }, own_waker)
    }

    fn is_woken(&self) -> bool {
        self.own.is_set() || self.requests.is_woken()
    }
}

fn end_of(error: &h2::Error) -> End {
    if let Some(error) = error.get_io() {
        return End::from(std::io::Error::from(error.kind()));
    }
    match error.reason() {
        Some(Reason::NO_ERROR | Reason::CANCEL) => End::Closed,
        // It was counted when it was sent.
        Some(Reason::ENHANCE_YOUR_CALM) if error.is_go_away() && !error.is_remote() => {
            End::Because(EndedBecause::Bound)
        }
        _ => End::Because(EndedBecause::Protocol),
    }
}
