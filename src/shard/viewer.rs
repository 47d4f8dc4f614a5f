//! One HTTP connection: a task that reads a request, answers it or waits for the answer, and keeps no
//! buffer while it does neither.

use std::cell::Cell;
use std::io::{self, IoSlice};
use std::rc::Rc;

use bytes::Bytes;
use smallvec::SmallVec;

use super::admission::Place;
use super::audience::Counted;
use super::calls::{self, CallHere};
use super::fault::FaultAt;
use super::service::Service;
use super::streams::Stream;
use super::{Budget, Socket, Woken};
use crate::api;
use crate::hls::{RenditionId, path, reload};
use crate::http::{self, Method, Parsed, RangeSpec, Request, Response, Status, Version};
use crate::limits::{
    FOLLOW_WAIT_MS_MAX, HTTP_CLOSE_US, HTTP_HEAD_US_MAX, HTTP_PIPELINED_BYTES_MAX, HTTP_SEND_BYTES_PER_S_MIN,
    HTTP_SEND_STALL_US_MAX, HTTP_SLICES_INLINE,
};
use crate::metrics::{EndedBecause, Resource as Asked, StatusClass};
use crate::origin::resource::Resource;
use crate::origin::view::{Answer, Expired, Updates, Wait, not_found};

/// A connection.
pub struct Viewer {
    service: Rc<Service>,
    socket: Socket,
    _place: Place,
    /// Received behind the request that is being answered, or the beginning of one; nothing otherwise.
    received: Vec<u8>,
    /// What this connection has added to the count of viewers.
    counted: Cell<Counted>,
    /// Its task came to its end, and was not cut off by a panic.
    has_ended: bool,
}

/// What of a request's head is needed to send its response.
#[derive(Debug, Clone, Copy)]
struct Head {
    method: Method,
    version: Version,
    keep_alive: bool,
    /// The range, for a response that is not there yet. A condition on it makes it none.
    range: Option<RangeSpec>,
}

/// What a request leads to.
enum Step {
    Respond(Head, Response),
    Wait(Head, Waiting),
    Call(Head, CallHere),
    /// Answer, then close: what follows cannot be told apart.
    Refuse(Response),
}

/// A request that waits for its stream.
struct Waiting {
    stream: Rc<Stream>,
    resource: Resource,
    gzip: bool,
    wait: Wait,
    /// Generation of the list, taken before the stream was asked.
    seen: u64,
}

/// Why a connection ended, when its peer did not simply close it.
enum End {
    Closed,
    Because(EndedBecause),
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::TimedOut => Self::Because(EndedBecause::Timeout),
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => Self::Closed,
            _ => Self::Because(EndedBecause::Socket),
        }
    }
}

impl Viewer {
    /// An accepted connection.
    pub fn new(service: Rc<Service>, socket: Socket, place: Place) -> Self {
        Self {
            service,
            socket,
            _place: place,
            received: Vec::new(),
            counted: Cell::default(),
            has_ended: false,
        }
    }

    /// Serves it to its end.
    pub async fn run(mut self) {
        let end = self.serve().await;
        if let Err(End::Because(because)) = end {
            self.service.metrics.http_errors.of(because).inc();
        }
        self.has_ended = true;
    }

    async fn serve(&mut self) -> Result<(), End> {
        let mut budget = self.service.shard.budget();
        loop {
            let (head, response) = match self.next_request().await? {
                Step::Respond(head, response) => (head, response),
                Step::Wait(head, waiting) => {
                    let is_media = matches!(waiting.resource, Resource::Media { .. });
                    let response = self.wait(waiting).await?;
                    (head, if is_media { response.in_range(head.range) } else { response })
                }
                Step::Call(head, call) => {
                    let body = self.body(&call).await?;
                    (head, calls::perform(&self.service, call, &body))
                }
                Step::Refuse(response) => {
                    let head = Head {
                        method: Method::Get,
                        version: Version::Http11,
                        keep_alive: false,
                        range: None,
                    };
                    self.service.metrics.http_errors.of(EndedBecause::Protocol).inc();
                    (head, response)
                }
            };
            let keep_alive = head.keep_alive && !self.service.is_draining();
            self.send(head, &response, keep_alive, &mut budget).await?;
            if !keep_alive {
                self.linger().await;
                return Ok(());
            }
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
                if let Some(step) = step {
                    return Ok(step);
                }
            }
            let now_us = self.service.shard.monotonic_us();
            if self.received.is_empty() {
                let idle_s = self.service.config().http.idle_timeout_s;
                self.socket.set_deadline(now_us + u64::from(idle_s) * 1_000_000);
                let received = self.socket.recv(|bytes| {
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
            self.socket.set_deadline(*head_until_us.get_or_insert(now_us + HTTP_HEAD_US_MAX));
            let received = &mut self.received;
            let count = self.socket.recv(|bytes| {
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
        match http::parse(bytes) {
            Parsed::Partial => (None, 0),
            Parsed::Refused(refusal) => {
                let response = api::refused(bytes, refusal).unwrap_or_else(|| Response::refused(refusal));
                (Some(Step::Refuse(response)), bytes.len())
            }
            Parsed::Complete(request, used) => (Some(self.route(&request)), used),
        }
    }

    fn route(&self, request: &Request<'_>) -> Step {
        let waits_for_range = request.method == Method::Get && request.if_range.is_none();
        let head = Head {
            method: request.method,
            version: request.version,
            keep_alive: request.keep_alive,
            range: if waits_for_range { request.range } else { None },
        };
        if request.method == Method::Options {
            return without_body(head, request, Response::preflight());
        }
        if let Some(path) = crate::hls::path::parse(request.path) {
            self.service.metrics.http_resources.of(asked(&path.resource)).inc();
            if request.method == Method::Post {
                return without_body(head, request, Response::method_not_allowed("GET, HEAD, OPTIONS"));
            }
            let Some(resource) = Resource::new(&path.resource, request.query) else {
                return without_body(head, request, not_found());
            };
            let Some(stream) = self.service.watched(path.stream) else {
                return without_body(head, request, not_found());
            };
            self.service.fault(FaultAt::Viewer, stream.shared.name.as_str());
            return self.ask(head, request, stream, resource);
        }
        self.service.metrics.http_resources.of(Asked::Other).inc();
        match calls::route(&self.service, request) {
            calls::Routed::Respond(response) => {
                let response = response.unless_matched(request).ranged(request);
                without_body(head, request, response)
            }
            calls::Routed::Call(call) => Step::Call(head, call),
        }
    }

    fn ask(&self, head: Head, request: &Request<'_>, stream: Rc<Stream>, resource: Resource) -> Step {
        if request.content_length > 0 {
            return Step::Refuse(Response::error(Status::BadRequest, "a request for media has no body\n"));
        }
        if matches!(resource, Resource::Multivariant)
            && let Some(response) = self.too_many_viewers(&stream)
        {
            return Step::Respond(head, response);
        }
        self.count(&stream, &resource);
        match self.answer(&stream, &resource, request.accepts_gzip) {
            (Answer::Now(response), _) => {
                // What was waited for, or could have been, has no 304: a cache would take it for news.
                let is_reload =
                    matches!(&resource, Resource::Playlist { directives, .. } if !directives.is_empty());
                let response = if is_reload { response } else { response.unless_matched(request) };
                let is_media = matches!(resource, Resource::Media { .. });
                Step::Respond(head, if is_media { response.ranged(request) } else { response })
            }
            (Answer::Wait(wait), seen) => {
                Step::Wait(head, Waiting { stream, resource, gzip: request.accepts_gzip, wait, seen })
            }
        }
    }

    fn too_many_viewers(&self, stream: &Stream) -> Option<Response> {
        let viewers_max = self.service.config().http.viewers_per_stream_max;
        if viewers_max == 0 || stream.shared.viewers() < u64::from(viewers_max) {
            return None;
        }
        self.service.metrics.refused.of(crate::metrics::RefusedBecause::ViewersMax).inc();
        Some(Response::unavailable(5, "this stream has as many viewers as it may have\n"))
    }

    /// Viewers are told by the reloads of the live session's first rendition.
    fn count(&self, stream: &Stream, resource: &Resource) {
        let Resource::Playlist { session, rendition, directives } = resource else { return };
        let progress = stream.with_view(|view, _| {
            let window = view.window();
            let resolved = reload::resolve(window, *session, rendition.as_str())?;
            let is_first = resolved.rendition == RenditionId(0) && window.live() == Some(resolved.session);
            if is_first { reload::progress(window, &resolved, directives) } else { None }
        });
        if let Some(progress) = progress.flatten() {
            let now_us = self.service.shard.monotonic_us();
            self.counted.set(stream.audience.note(self.counted.get(), progress, *session, now_us));
        }
    }

    /// Asks the stream, and takes the generation of the list to wait in before any await: no update is
    /// missed. A replica without its snapshot is waited for as for a part.
    fn answer(&self, stream: &Rc<Stream>, resource: &Resource, gzip: bool) -> (Answer, u64) {
        if stream.is_stale.get() && matches!(resource, Resource::Playlist { .. }) {
            let text = "this shard has lost touch with the stream\n";
            return (Answer::Now(Response::error(Status::Unavailable, text)), 0);
        }
        let asked = self.service.guarded(stream, || {
            let at = if stream.home().is_some() { FaultAt::Answer } else { FaultAt::ReplicaAnswer };
            self.service.fault(at, stream.shared.name.as_str());
            stream.with_view(|view, published| view.answer(resource, gzip, published))
        });
        let answer = match asked {
            Some(Some(answer)) => answer,
            Some(None) => Answer::Wait(Wait::FOR_SNAPSHOT),
            // Its core panicked, and it is no more.
            None => Answer::Now(not_found()),
        };
        let seen = match &answer {
            Answer::Wait(wait) => stream.parked(wait).generation(),
            Answer::Now(_) => 0,
        };
        (answer, seen)
    }

    /// Waits in the stream's list until it has an answer, the viewer leaves, or the time is over.
    async fn wait(&mut self, mut waiting: Waiting) -> Result<Response, End> {
        let began_us = self.service.shard.monotonic_us();
        self.socket.set_deadline(began_us + waiting.wait.wait_ms_max * 1000);
        let response = loop {
            let parked = waiting.stream.parked(&waiting.wait).clone();
            // Who has sent a pile of requests behind this one is not listened to, so that the pile is bounded.
            let woken = if self.received.len() < HTTP_PIPELINED_BYTES_MAX {
                parked.park(waiting.seen, &self.socket).await
            } else {
                parked.park_deaf(waiting.seen, &self.socket).await
            };
            match woken {
                Woken::Landed => {}
                Woken::Readable => {
                    self.read_ahead()?;
                    continue;
                }
                Woken::Expired => {
                    if waiting.wait.expired == Expired::Unavailable {
                        self.service.metrics.blocked_timeouts.inc();
                    }
                    break waiting.wait.expired.response();
                }
            }
            self.service.metrics.wakeups.inc();
            // The stream may have ended, or be followed anew, since.
            let name = waiting.stream.shared.name.as_str();
            match self.service.watched(name) {
                Some(stream) => waiting.stream = stream,
                None => break not_found(),
            }
            match self.answer(&waiting.stream, &waiting.resource, waiting.gzip) {
                (Answer::Now(response), _) => break response,
                (Answer::Wait(wait), seen) => {
                    // What it waits for may be known only now, as when a replica's snapshot came.
                    self.socket.set_deadline(began_us + wait.wait_ms_max * 1000);
                    waiting.wait = wait;
                    waiting.seen = seen;
                }
            }
        };
        let waited_us = self.service.shard.monotonic_us() - began_us;
        self.service.metrics.reload_wait_seconds.observe(waited_us as f64 / 1e6);
        Ok(response)
    }

    /// A waiting peer sent its next request already, or has left.
    fn read_ahead(&mut self) -> Result<(), End> {
        let received = &mut self.received;
        let read = self.socket.try_recv(|bytes| {
            received.extend_from_slice(bytes);
            bytes.len()
        });
        match read? {
            Some(0) => Err(End::Closed),
            // Who has closed his side is gone: players do not half-close.
            _ if self.socket.is_hung_up() => Err(End::Closed),
            _ => Ok(()),
        }
    }

    /// The body of a call; its length was bounded with the head.
    async fn body(&mut self, call: &CallHere) -> Result<Vec<u8>, End> {
        let wanted = call.body_bytes;
        if call.expects_continue && self.received.len() < wanted {
            self.socket.send_all(&[http::CONTINUE]).await?;
        }
        self.socket.set_deadline(self.service.shard.monotonic_us() + HTTP_HEAD_US_MAX);
        while self.received.len() < wanted {
            let received = &mut self.received;
            let count = self.socket.recv(|bytes| {
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
        keep_alive: bool,
        budget: &mut Budget,
    ) -> Result<(), End> {
        let payload = response.payload(head.method);
        let payload_bytes: usize = payload.iter().map(Bytes::len).sum();
        let metrics = &self.service.metrics;
        metrics.http_requests.of(StatusClass::of(response.status.code())).inc();
        metrics.http_bytes_sent.inc_by(payload_bytes as u64);

        let date = self.service.date();
        let (unsent_head, mut sent) = {
            let mut scratch = self.service.head_scratch();
            scratch.clear();
            http::write_head(&mut scratch, response, head.version, &date, keep_alive);
            let sent = self.socket.try_send(&slices(&scratch, payload, 0))?.unwrap_or(0);
            let unsent = if sent < scratch.len() { scratch[sent..].to_vec() } else { Vec::new() };
            (unsent, sent.saturating_sub(scratch.len()))
        };
        if unsent_head.is_empty() && sent == payload_bytes {
            return Ok(());
        }
        // A slow reader: each step forward earns it more time, up to that of the slowest line there may be.
        let mut head_sent = 0;
        let left = unsent_head.len() + payload_bytes - sent;
        let end_us = self.service.shard.monotonic_us()
            + HTTP_SEND_STALL_US_MAX
            + left as u64 * 1_000_000 / HTTP_SEND_BYTES_PER_S_MIN;
        while head_sent < unsent_head.len() || sent < payload_bytes {
            let stalled_us = self.service.shard.monotonic_us() + HTTP_SEND_STALL_US_MAX;
            self.socket.set_deadline(stalled_us.min(end_us));
            let count = self.socket.send(&slices(&unsent_head[head_sent..], payload, sent)).await;
            let count = match count {
                Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                    return Err(End::Because(EndedBecause::SlowReader));
                }
                other => other?,
            };
            let of_head = count.min(unsent_head.len() - head_sent);
            head_sent += of_head;
            sent += count - of_head;
            budget.spend_bytes(count).await;
        }
        Ok(())
    }

    /// Closes so that the peer can read the last response: with unread input a close is a reset.
    async fn linger(&self) {
        let _ = self.socket.shutdown(std::net::Shutdown::Write);
        self.socket.set_deadline(self.service.shard.monotonic_us() + HTTP_CLOSE_US);
        let mut left = HTTP_PIPELINED_BYTES_MAX;
        while let Ok(count @ 1..) = self.socket.recv(<[u8]>::len).await {
            left = left.saturating_sub(count);
            if left == 0 {
                return;
            }
        }
    }
}

impl Drop for Viewer {
    fn drop(&mut self) {
        let metrics = &self.service.metrics;
        metrics.http_disconnects.inc();
        if !self.has_ended && !self.service.is_exiting() {
            metrics.http_errors.of(EndedBecause::Panic).inc();
        }
    }
}

/// As the metrics have it.
fn asked(resource: &path::Resource<'_>) -> Asked {
    match resource {
        path::Resource::Multivariant => Asked::Multivariant,
        path::Resource::MediaPlaylist { .. } => Asked::Playlist,
        path::Resource::Part { .. } => Asked::Part,
        path::Resource::Segment { .. } => Asked::Segment,
        path::Resource::Init { .. } => Asked::Init,
    }
}

/// A response that needs no body read: a request that has one all the same cannot be skipped safely.
fn without_body(head: Head, request: &Request<'_>, response: Response) -> Step {
    let head = Head { keep_alive: head.keep_alive && request.content_length == 0, ..head };
    Step::Respond(head, response)
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

impl Wait {
    /// For a replica whose snapshot is on its way: it comes with the next turn of the home's shard.
    const FOR_SNAPSHOT: Self = Self {
        rendition: RenditionId(0),
        updates: Updates::Parts,
        wait_ms_max: FOLLOW_WAIT_MS_MAX,
        expired: Expired::Unavailable,
    };
}
