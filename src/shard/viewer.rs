//! One HTTP connection: a task that reads a request, answers it or waits for the answer, and keeps no
//! buffer while it does neither.

use std::io::{self, IoSlice};
use std::rc::Rc;

use bytes::Bytes;
use smallvec::SmallVec;

use super::asking::{Asker, Head, Step, Waited, Waiting};
use super::calls::{self, CallHere};
use super::connected::{Connected, End};
use super::http2;
use super::patience::Patience;
use super::service::Service;
use super::{Budget, Transport, Woken};
use crate::api;
use crate::http::{self, Method, Parsed, Response, Version};
use crate::limits::{
    HTTP_HEAD_US_MAX, HTTP_PIPELINED_BYTES_MAX, HTTP_SEND_LOOK_US, HTTP_SLICES_INLINE, TURN_BYTES_MAX,
};
use crate::metrics::EndedBecause;

/// A connection.
pub struct Viewer {
    asker: Asker,
    transport: Transport,
    connected: Connected,
    /// Received behind the request that is being answered, or the beginning of one; nothing otherwise.
    received: Vec<u8>,
    /// Nothing has been answered yet, so that it may turn out to be HTTP/2.
    is_new: bool,
}

/// What comes after the last response of HTTP/1.1.
enum Next {
    Nothing,
    Http2,
}

impl Viewer {
    /// An accepted connection.
    pub fn new(transport: Transport, connected: Connected) -> Self {
        let asker = Asker::new(Rc::clone(connected.service()));
        Self { asker, transport, connected, received: Vec::new(), is_new: true }
    }

    fn service(&self) -> &Rc<Service> {
        &self.asker.service
    }

    /// Serves it to its end.
    pub async fn run(mut self) {
        match self.serve().await {
            // Boxed: it is the larger of the two, and this is the task of every connection.
            Ok(Next::Http2) => Box::pin(http2::serve(self.transport, self.received, self.connected)).await,
            Ok(Next::Nothing) => self.connected.end(Ok(())),
            Err(end) => self.connected.end(Err(end)),
        }
    }

    async fn serve(&mut self) -> Result<Next, End> {
        let mut budget = self.service().shard.budget();
        loop {
            let (head, response, waited) = match self.next_request().await? {
                Step::Http2 => return Ok(Next::Http2),
                Step::Respond(head, response) => (head, response, None),
                Step::Wait(head, mut waiting) => {
                    let (response, waited) = self.wait(&mut waiting, &mut budget).await?;
                    (head, waiting.finish(head, response), Some(waited))
                }
                Step::Call(head, call) => {
                    let body = self.body(&call).await?;
                    let response = calls::perform(self.service(), call, &body);
                    // It may have written out every figure of the server: one call a turn.
                    budget.spend_bytes(TURN_BYTES_MAX).await;
                    (head, response, None)
                }
                Step::Refuse(response) => {
                    let head = Head {
                        method: Method::Get,
                        version: Version::Http11,
                        keep_alive: false,
                        range: None,
                    };
                    self.service().metrics.http_errors.of(EndedBecause::Protocol).inc();
                    (head, response, None)
                }
            };
            let keep_alive = head.keep_alive && !self.service().is_draining();
            self.send(head, &response, waited, keep_alive, &mut budget).await?;
            if !keep_alive {
                self.transport.close().await;
                return Ok(Next::Nothing);
            }
            self.is_new = false;
            budget.spend_request().await;
        }
    }

    /// Reads until there is one whole head.
    async fn next_request(&mut self) -> Result<Step, End> {
        // By when the head that has begun must be whole, however slowly it drips.
        let mut head_until_us = None;
        loop {
            if !self.received.is_empty() {
                let received = std::mem::take(&mut self.received);
                let (step, used) = self.read(&received);
                self.received = received;
                self.received.drain(..used);
                if self.received.is_empty() {
                    // A pile of requests would leave its memory to a connection that then is idle, or waits.
                    self.received = Vec::new();
                }
                if let Some(step) = step {
                    return Ok(step);
                }
            }
            let now_us = self.service().shard.monotonic_us();
            if self.received.is_empty() {
                let idle_s = self.service().config().http.idle_timeout_s;
                self.transport.socket().set_deadline(now_us + u64::from(idle_s) * 1_000_000);
                let received = self.transport.recv(|bytes| {
                    let (step, used) = self.read(bytes);
                    (bytes.len(), step, bytes[used..].to_vec())
                });
                let (count, step, rest) = match received.await {
                    // An idle connection is closed without a word; its peer may be about to send.
                    Err(error) if error.kind() == io::ErrorKind::TimedOut => return Err(End::Closed),
                    other => other?,
                };
                if count == 0 {
                    return Err(End::Closed);
                }
                self.received = rest;
                if let Some(step) = step {
                    return Ok(step);
                }
                continue;
            }
            self.transport.socket().set_deadline(*head_until_us.get_or_insert(now_us + HTTP_HEAD_US_MAX));
            let received = &mut self.received;
            let count = self.transport.recv(|bytes| {
                received.extend_from_slice(bytes);
                bytes.len()
            });
            if count.await? == 0 {
                return Err(End::Closed);
            }
        }
    }

    /// Reads one request from received bytes, `None` when its head goes on; also returns how many bytes it
    /// took.
    fn read(&self, bytes: &[u8]) -> (Option<Step>, usize) {
        if self.is_new && self.service().config().http.http2 {
            match http::is_http2(bytes) {
                Some(true) => return (Some(Step::Http2), 0),
                Some(false) => {}
                None => return (None, 0),
            }
        }
        match http::parse(bytes) {
            Parsed::Partial => (None, 0),
            Parsed::Refused(refusal) => {
                let response = api::refused(bytes, refusal).unwrap_or_else(|| Response::refused(refusal));
                (Some(Step::Refuse(response)), bytes.len())
            }
            Parsed::Complete(request, used) => (Some(self.asker.route(&request)), used),
        }
    }

    /// Waits in the stream's list until it has an answer, the viewer leaves, or the time is over.
    async fn wait(&mut self, waiting: &mut Waiting, budget: &mut Budget) -> Result<(Response, Waited), End> {
        let began_us = self.service().shard.monotonic_us();
        loop {
            self.transport.socket().set_deadline(began_us + waiting.wait.wait_ms_max * 1000);
            let parked = waiting.parked();
            // Who has sent a pile of requests behind this one is not listened to, so that the pile is bounded.
            let woken = if self.received.len() < HTTP_PIPELINED_BYTES_MAX {
                parked.park(waiting.seen, self.transport.socket()).await
            } else {
                parked.park_deaf(waiting.seen, self.transport.socket()).await
            };
            match woken {
                Woken::Landed => {}
                Woken::Readable => {
                    let received_before = self.transport.socket().received_bytes();
                    self.read_ahead()?;
                    let received = self.transport.socket().received_bytes() - received_before;
                    // Records without content make no pile, however many come.
                    budget.spend_bytes(received as usize).await;
                    continue;
                }
                Woken::Expired => return Ok((self.asker.expire(waiting), waiting.expired(began_us))),
            }
            if let Some(response) = self.asker.ask_again(waiting) {
                return Ok((response, waiting.landed(began_us)));
            }
        }
    }

    /// A waiting peer sent its next request already, or has left.
    fn read_ahead(&mut self) -> Result<(), End> {
        let received = &mut self.received;
        let read = self.transport.try_recv(|bytes| {
            received.extend_from_slice(bytes);
            bytes.len()
        });
        match read? {
            Some(0) => Err(End::Closed),
            // Who has closed his side is gone: players do not half-close.
            _ if self.transport.socket().is_hung_up() => Err(End::Closed),
            _ => Ok(()),
        }
    }

    /// The body of a call; its length was bounded with the head.
    async fn body(&mut self, call: &CallHere) -> Result<Vec<u8>, End> {
        let wanted = call.body_bytes;
        if call.expects_continue && self.received.len() < wanted {
            self.transport.send_all(http::CONTINUE).await?;
        }
        self.transport.socket().set_deadline(self.service().shard.monotonic_us() + HTTP_HEAD_US_MAX);
        while self.received.len() < wanted {
            let received = &mut self.received;
            let count = self.transport.recv(|bytes| {
                received.extend_from_slice(bytes);
                bytes.len()
            });
            if count.await? == 0 {
                return Err(End::Closed);
            }
        }
        let rest = self.received.split_off(wanted);
        Ok(std::mem::replace(&mut self.received, rest))
    }

    /// Sends head and body in one gathering call where the socket takes it.
    async fn send(
        &mut self,
        head: Head,
        response: &Response,
        waited: Option<Waited>,
        keep_alive: bool,
        budget: &mut Budget,
    ) -> Result<(), End> {
        let payload = response.payload(head.method);
        let payload_bytes: usize = payload.iter().map(Bytes::len).sum();
        self.asker.count_response(response, payload_bytes);

        let date = self.service().date();
        let (unsent_head, mut sent) = {
            let mut scratch = self.asker.service.head_scratch();
            scratch.clear();
            http::write_head(&mut scratch, response, head.version, &date, keep_alive);
            let sent = self.transport.try_send(&slices(&scratch, payload, 0))?.unwrap_or(0);
            let unsent = if sent < scratch.len() { scratch[sent..].to_vec() } else { Vec::new() };
            (unsent, sent.saturating_sub(scratch.len()))
        };
        // What a full socket still has to take is the peer's time, not ours.
        if let Some(waited) = waited {
            self.asker.count_waited(waited, self.service().shard.monotonic_us());
        }
        if unsent_head.is_empty() && sent == payload_bytes && self.transport.unsent_bytes() == 0 {
            budget.spend_bytes(sent).await;
            return Ok(());
        }
        let mut head_sent = 0;
        let now_us = self.service().shard.monotonic_us();
        let mut patience = Patience::new(now_us);
        patience.took(sent as u64, now_us);
        let sent_before = self.transport.socket().sent_bytes();
        let mut taken = 0;
        loop {
            let left = unsent_head.len() - head_sent + payload_bytes - sent + self.transport.unsent_bytes();
            if left == 0 {
                return Ok(());
            }
            let now_us = self.service().shard.monotonic_us();
            let until_us = patience.until_us(left as u64, self.service().is_lending_too_much());
            if until_us <= now_us {
                return Err(End::Because(EndedBecause::SlowReader));
            }
            self.transport.socket().set_deadline(until_us.min(now_us + HTTP_SEND_LOOK_US));
            let count = self.transport.send(&slices(&unsent_head[head_sent..], payload, sent)).await;
            let count = match count {
                Err(error) if error.kind() == io::ErrorKind::TimedOut => match error.raw_os_error() {
                    None => continue,
                    // TCP itself has given the peer up.
                    Some(_) => return Err(End::Because(EndedBecause::SlowReader)),
                },
                other => other?,
            };
            let of_head = count.min(unsent_head.len() - head_sent);
            head_sent += of_head;
            sent += count - of_head;
            let taken_before = taken;
            taken = self.transport.socket().sent_bytes() - sent_before;
            patience.took(taken - taken_before, self.service().shard.monotonic_us());
            budget.spend_bytes(count).await;
        }
    }
}

/// Head and body from `skip` bytes of the body on, for one gathering call.
fn slices<'a>(
    head: &'a [u8],
    payload: &'a [Bytes],
    mut skip: usize,
) -> SmallVec<[IoSlice<'a>; HTTP_SLICES_INLINE]> {
    let mut slices = SmallVec::new();
    if !head.is_empty() {
        slices.push(IoSlice::new(head));
    }
    for piece in payload {
        if skip >= piece.len() {
            skip -= piece.len();
            continue;
        }
        slices.push(IoSlice::new(&piece[skip..]));
        skip = 0;
    }
    slices
}
