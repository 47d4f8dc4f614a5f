//! One request over HTTP/2, from its fields to the last byte of its response.

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::StatusCode;

use super::Shared;
use super::held_up::HeldUp;
use crate::api;
use crate::http::{Method, Refusal, Request, Response, Version, urgency_of};
use crate::limits::{
    HTTP_BODY_BYTES_MAX, HTTP_HEAD_US_MAX, HTTP_SEND_BYTES_PER_S_MIN, HTTP_SEND_STALL_US_MAX,
    HTTP2_TURN_BYTES_MAX, HTTP2_WINDOW_LOOK_US,
};
use crate::metrics::EndedBecause;
use crate::shard::asking::{Head, Step, Waited, Waiting};
use crate::shard::calls::{self, CallHere};
use crate::shard::{Deadline, Woken};

/// Urgency of who says nothing (RFC 9218, section 4.1).
const URGENCY_DEFAULT: u8 = 3;

/// Why a request ends before its response.
enum Cut {
    /// The peer has taken it back, or is gone.
    Reset,
    /// The connection or stream no longer works.
    Gone,
    /// The peer is too slow with its body, or with ours.
    Slow(EndedBecause),
}

/// A request in progress.
struct Answering {
    shared: Rc<Shared>,
    respond: SendResponse<Bytes>,
    deadline: Deadline,
}

/// Answers a request.
pub(super) async fn serve(
    shared: Rc<Shared>,
    request: http::Request<RecvStream>,
    respond: SendResponse<Bytes>,
) {
    let deadline = shared.asker.service.shard.deadline();
    let mut answering = Answering { shared, respond, deadline };
    let service = Rc::clone(&answering.shared.asker.service);
    let answered = {
        let mut answer = pin!(answering.answer(request));
        // A panic is this request's own: those beside it on the connection are answered.
        poll_fn(|context| match service.caught("http2 request", || answer.as_mut().poll(context)) {
            Some(polled) => polled.map(Some),
            None => Poll::Ready(None),
        })
        .await
    };
    match answered {
        None => answering.respond.send_reset(Reason::INTERNAL_ERROR),
        Some(Ok(()) | Err(Cut::Gone)) => {}
        Some(Err(Cut::Reset)) => answering.shared.flood.borrow_mut().reset(),
        Some(Err(Cut::Slow(because))) => {
            answering.shared.asker.service.metrics.http_errors.of(because).inc();
            answering.respond.send_reset(Reason::CANCEL);
        }
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        let left_count = self.shared.requests_count.get() - 1;
        self.shared.requests_count.set(left_count);
        if left_count == 0 {
            self.shared.idle_since_us.set(self.shared.asker.service.shard.monotonic_us());
        }
    }
}

impl Answering {
    async fn answer(&mut self, request: http::Request<RecvStream>) -> Result<(), Cut> {
        let (parts, body) = request.into_parts();
        let urgency = parts.headers.get("priority").and_then(|value| urgency_of(value.as_bytes()));
        let step = self.route(&parts);
        let refused = Head { method: refused_method(&parts.method), ..REFUSED };
        drop(parts);
        let (head, response, waited) = match step {
            Step::Respond(head, response) => (head, response, None),
            Step::Wait(head, mut waiting) => {
                let (response, waited) = self.wait(&mut waiting).await?;
                (head, waiting.finish(head, response), Some(waited))
            }
            Step::Call(head, call) => {
                let body = self.body(&call, body).await?;
                // It may write out every figure of the server: one call a turn.
                self.shared.turn_requests_left.set(0);
                let service = &self.shared.asker.service;
                (
                    head,
                    match body {
                        Ok(body) => calls::perform(service, call, &body),
                        // Only calls have bodies.
                        Err(refusal) => api::failure(refusal.status(), &refusal.to_string()),
                    },
                    None,
                )
            }
            Step::Refuse(response) => (refused, response, None),
            Step::Http2 => return Err(Cut::Gone),
        };
        self.send(head, &response, waited, urgency.unwrap_or(URGENCY_DEFAULT)).await
    }

    /// The same as for HTTP/1.1, from the same fields.
    fn route(&self, parts: &http::request::Parts) -> Step {
        let target = parts.uri.path_and_query().map_or("", |target| target.as_str());
        let refused = |refusal: Refusal| {
            Step::Refuse(match api::owns(target) {
                true => api::failure(refusal.status(), &refusal.to_string()),
                false => Response::refused(refusal),
            })
        };
        let method = match parts.method.as_str() {
            "GET" => Method::Get,
            "HEAD" => Method::Head,
            "POST" => Method::Post,
            "OPTIONS" => Method::Options,
            _ => return refused(Refusal::Method),
        };
        // RFC 9113, 8.3.1: :authority goes before Host.
        let authority = parts.uri.authority().map(|authority| ("host", authority.as_str().as_bytes()));
        let fields = parts.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
        let fields = fields.filter(|(name, _)| authority.is_none() || *name != "host").chain(authority);
        match Request::from_fields(method, Version::Http2, target, fields) {
            Ok(request) => self.shared.asker.route(&request),
            Err(refusal) => refused(refusal),
        }
    }

    /// Waits in the stream's list until it has an answer, the request is taken back, or the time is over.
    async fn wait(&mut self, waiting: &mut Waiting) -> Result<(Response, Waited), Cut> {
        let Self { shared, respond, deadline } = self;
        let began_us = shared.asker.service.shard.monotonic_us();
        loop {
            deadline.set(began_us + waiting.wait.wait_ms_max * 1000);
            let parked = waiting.parked();
            let mut park = parked.park_until(waiting.seen, deadline);
            let woken = poll_fn(|context| match respond.poll_reset(context) {
                Poll::Ready(_) => Poll::Ready(Err(Cut::Reset)),
                Poll::Pending => Pin::new(&mut park).poll(context).map(Ok),
            });
            if woken.await? == Woken::Expired {
                return Ok((shared.asker.expire(waiting), waiting.expired(began_us)));
            }
            if let Some(response) = shared.asker.ask_again(waiting) {
                return Ok((response, waiting.landed(began_us)));
            }
        }
    }

    /// The body of a call, however long it says that it is.
    async fn body(&mut self, call: &CallHere, mut body: RecvStream) -> Result<Result<Vec<u8>, Refusal>, Cut> {
        if call.expects_continue {
            let leave =
                http::Response::builder().status(StatusCode::CONTINUE).body(()).map_err(|_| Cut::Gone)?;
            self.respond.send_informational(leave).map_err(|_| Cut::Gone)?;
        }
        self.deadline.set(self.shared.asker.service.shard.monotonic_us() + HTTP_HEAD_US_MAX);
        let mut received = Vec::new();
        loop {
            let piece = poll_fn(|context| match self.deadline.poll_expired(context) {
                Poll::Ready(()) => Poll::Ready(Err(Cut::Slow(EndedBecause::Timeout))),
                Poll::Pending => body.poll_data(context).map(Ok),
            });
            match piece.await? {
                None => return Ok(Ok(received)),
                Some(Err(_)) => return Err(Cut::Reset),
                Some(Ok(piece)) => {
                    if (received.len() + piece.len()) as u64 > HTTP_BODY_BYTES_MAX {
                        return Ok(Err(Refusal::BodyTooLarge));
                    }
                    received.extend_from_slice(&piece);
                    // A peer that is gone needs no window.
                    let _ = body.flow_control().release_capacity(piece.len());
                }
            }
        }
    }

    async fn send(
        &mut self,
        head: Head,
        response: &Response,
        mut waited: Option<Waited>,
        urgency: u8,
    ) -> Result<(), Cut> {
        let payload = response.payload(head.method);
        let payload_bytes: usize = payload.iter().map(Bytes::len).sum();
        self.shared.asker.count_response(response, payload_bytes);
        let fields = self.fields(response)?;
        let sent = self.respond.send_response(fields, payload_bytes == 0).map_err(|_| Cut::Reset)?;
        if payload_bytes > 0 {
            let rank = (response.urgency.unwrap_or(URGENCY_DEFAULT), urgency, sent.stream_id().as_u32());
            self.send_payload(sent, payload, payload_bytes, rank, &mut waited).await?;
        }
        self.handed_over(&mut waited);
        Ok(())
    }

    /// The response is with h2, as far as the peer's window lets it: the connection's task sends it with what
    /// h2 writes next, and notes when.
    fn handed_over(&self, waited: &mut Option<Waited>) {
        self.shared.waited.borrow_mut().extend(waited.take());
    }

    async fn send_payload(
        &mut self,
        mut stream: SendStream<Bytes>,
        payload: &[Bytes],
        payload_bytes: usize,
        rank: super::turns::Rank,
        waited: &mut Option<Waited>,
    ) -> Result<(), Cut> {
        let shared = Rc::clone(&self.shared);
        let shard = &shared.asker.service.shard;
        let turn = shared.turns.enter(rank);
        let mut owed = Owed::new(&shared.owed_bytes, payload_bytes as u64);
        // From then on its media is not kept for longer than the slowest line takes for all that is owed.
        let mut held_up = HeldUp::default();
        for piece in payload.iter().filter(|piece| !piece.is_empty()) {
            let mut piece = piece.clone();
            while !piece.is_empty() {
                poll_fn(|context| {
                    if stream.poll_reset(context).is_ready() {
                        return Poll::Ready(Err(Cut::Reset));
                    }
                    if turn.poll(context).is_ready() {
                        return Poll::Ready(Ok(()));
                    }
                    self.deadline.set(held_up.end_us(shard.monotonic_us(), owed.patience_us()));
                    self.deadline.poll_expired(context).map(|()| Err(Cut::Slow(EndedBecause::SlowReader)))
                })
                .await?;
                stream.reserve_capacity(piece.len().min(HTTP2_TURN_BYTES_MAX));
                if stream.capacity() == 0 {
                    self.handed_over(waited);
                    // All the while: who took the place back at each look would hold up those behind.
                    turn.wait(true);
                    let mut is_open = false;
                    while !is_open {
                        let (from_us, is_full) = (shard.monotonic_us(), shared.wire.is_owing());
                        self.deadline.set(from_us + HTTP2_WINDOW_LOOK_US);
                        is_open = self.has_capacity(&mut stream).await?;
                        let now_us = shard.monotonic_us();
                        held_up.waited(from_us, now_us, is_full);
                        held_up.end_us(from_us, owed.patience_us());
                        let is_lending_too_much = shared.asker.service.is_lending_too_much();
                        if !is_open && held_up.is_late(owed.left_bytes, now_us, is_lending_too_much) {
                            return Err(Cut::Slow(EndedBecause::SlowReader));
                        }
                    }
                    turn.wait(false);
                    continue;
                }
                let now = piece.split_to(piece.len().min(stream.capacity()).min(HTTP2_TURN_BYTES_MAX));
                owed.took(now.len() as u64);
                held_up.took(now.len() as u64);
                stream.send_data(now, owed.left_bytes == 0).map_err(|_| Cut::Reset)?;
            }
        }
        Ok(())
    }

    /// Waits until the peer, or the socket, takes more; false when the deadline passed before.
    async fn has_capacity(&mut self, stream: &mut SendStream<Bytes>) -> Result<bool, Cut> {
        poll_fn(|context| {
            if stream.poll_reset(context).is_ready() {
                return Poll::Ready(Err(Cut::Reset));
            }
            match stream.poll_capacity(context) {
                Poll::Ready(Some(Ok(_))) => return Poll::Ready(Ok(true)),
                Poll::Ready(None | Some(Err(_))) => return Poll::Ready(Err(Cut::Gone)),
                Poll::Pending => {}
            }
            self.deadline.poll_expired(context).map(|()| Ok(false))
        })
        .await
    }

    fn fields(&self, response: &Response) -> Result<http::Response<()>, Cut> {
        let service = &self.shared.asker.service;
        let mut fields = http::Response::new(());
        *fields.status_mut() = StatusCode::from_u16(response.status.code()).map_err(|_| Cut::Gone)?;
        *fields.headers_mut() = service.http2_fields.of(response, &service.date());
        Ok(fields)
    }
}

/// What one response still owes its peer, counted among what all of the connection do.
struct Owed<'a> {
    all_bytes: &'a Cell<u64>,
    left_bytes: u64,
}

impl<'a> Owed<'a> {
    fn new(all_bytes: &'a Cell<u64>, bytes: u64) -> Self {
        all_bytes.set(all_bytes.get() + bytes);
        Self { all_bytes, left_bytes: bytes }
    }

    /// How long the slowest line takes for all that the connection owes, with what else may hold it up.
    fn patience_us(&self) -> u64 {
        2 * HTTP_SEND_STALL_US_MAX
            + self.all_bytes.get().saturating_mul(1_000_000) / HTTP_SEND_BYTES_PER_S_MIN
    }

    fn took(&mut self, bytes: u64) {
        self.left_bytes -= bytes;
        self.all_bytes.set(self.all_bytes.get() - bytes);
    }
}

impl Drop for Owed<'_> {
    fn drop(&mut self) {
        self.took(self.left_bytes);
    }
}

/// Of a request that is answered before it was understood, but for its method.
const REFUSED: Head = Head { method: Method::Get, version: Version::Http2, keep_alive: true, range: None };

/// All that matters of it: the answer to a HEAD has no body, whatever it says (RFC 9110, section 9.3.2).
fn refused_method(method: &http::Method) -> Method {
    if *method == http::Method::HEAD { Method::Head } else { Method::Get }
}
