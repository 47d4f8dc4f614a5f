//! What a request leads to, whatever version of HTTP it came by: the answer, a wait for it, or a call.

use std::cell::Cell;
use std::rc::Rc;

use super::Parked;
use super::audience::Counted;
use super::calls::{self, CallHere};
use super::fault::FaultAt;
use super::service::{Service, Unwatched};
use super::streams::Stream;
use crate::hls::{RenditionId, path, reload};
use crate::http::{Method, RangeSpec, Request, Response, Status, Version};
use crate::limits::FOLLOW_WAIT_MS_MAX;
use crate::metrics::{Resource as Asked, StatusClass};
use crate::origin::resource::Resource;
use crate::origin::view::{Answer, Expired, Updates, Wait, not_found};

/// Asks the shard's streams on behalf of one connection.
pub struct Asker {
    /// The shard's part in the service.
    pub service: Rc<Service>,
    /// What this connection has added to the count of viewers.
    counted: Cell<Counted>,
}

/// What of a request's head is needed to send its response.
#[derive(Debug, Clone, Copy)]
pub struct Head {
    /// Method.
    pub method: Method,
    /// Version of HTTP.
    pub version: Version,
    /// Another request may follow.
    pub keep_alive: bool,
    /// The range, for a response that is not there yet. A condition on it makes it none.
    pub range: Option<RangeSpec>,
}

/// What a request leads to.
pub enum Step {
    Respond(Head, Response),
    Wait(Head, Waiting),
    Call(Head, CallHere),
    /// Not HTTP/1.1 at all.
    Http2,
    /// Answer, then close: what follows cannot be told apart.
    Refuse(Response),
}

/// A request that waits for its stream.
pub struct Waiting {
    stream: Rc<Stream>,
    resource: Resource,
    gzip: bool,
    /// For what, and how long.
    pub wait: Wait,
    /// Generation of the list, taken before the stream was asked.
    pub seen: u64,
}

/// A request that has waited, until its response is handed to the socket.
pub struct Waited {
    began_us: u64,
    /// The list it waited in and the generation it had seen, when an update of the stream ended the wait.
    landed: Option<(Rc<Stream>, Wait, u64)>,
}

impl Asker {
    /// For a new connection.
    pub fn new(service: Rc<Service>) -> Self {
        Self { service, counted: Cell::default() }
    }

    /// Finds what a request leads to, and counts it.
    pub fn route(&self, request: &Request<'_>) -> Step {
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
            let stream = match self.service.watched(path.stream) {
                Ok(stream) => stream,
                Err(unwatched) => return without_body(head, request, unwatched_response(unwatched)),
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

    /// The answer after an update of the stream, if this was what the request waits for.
    pub fn ask_again(&self, waiting: &mut Waiting) -> Option<Response> {
        self.service.metrics.wakeups.inc();
        // The stream may have ended, or be followed anew, since.
        let stream = match self.service.watched(waiting.stream.shared.name.as_str()) {
            Ok(stream) => stream,
            Err(unwatched) => return Some(unwatched_response(unwatched)),
        };
        if !Rc::ptr_eq(&waiting.stream, &stream) {
            waiting.stream = stream;
            // The lists are others, and what is there already was listed before any of them landed.
            waiting.seen = u64::MAX;
        }
        match self.answer(&waiting.stream, &waiting.resource, waiting.gzip) {
            (Answer::Now(response), _) => Some(response),
            (Answer::Wait(wait), seen) => {
                // What it waits for may be known only now, as when a replica's snapshot came.
                (waiting.wait, waiting.seen) = (wait, seen);
                None
            }
        }
    }

    /// The answer to a request whose time is over.
    pub fn expire(&self, waiting: &Waiting) -> Response {
        if waiting.wait.expired == Expired::Unavailable {
            self.service.metrics.blocked_timeouts.inc();
        }
        waiting.wait.expired.response()
    }

    /// Counts a wait whose response was handed to the socket at `now_us`.
    pub fn count_waited(&self, waited: Waited, now_us: u64) {
        let waited_us = now_us.saturating_sub(waited.began_us);
        self.service.metrics.reload_wait_seconds.observe(waited_us as f64 / 1e6);
        if let Some((stream, wait, seen)) = waited.landed
            && let Some(took_us) = stream.sent(&wait, seen, now_us)
        {
            self.service.note_first_viewer(took_us);
        }
    }

    /// Counts a response whose body has these bytes.
    pub fn count_response(&self, response: &Response, payload_bytes: usize) {
        let metrics = &self.service.metrics;
        metrics.http_requests.of(StatusClass::of(response.status.code())).inc();
        metrics.http_bytes_sent.inc_by(payload_bytes as u64);
    }
}

impl Waiting {
    /// Where it waits.
    pub fn parked(&self) -> Parked {
        self.stream.parked(&self.wait).clone()
    }

    /// The response as the request wants it.
    pub fn finish(&self, head: Head, response: Response) -> Response {
        let is_media = matches!(self.resource, Resource::Media { .. });
        if is_media { response.in_range(head.range) } else { response }
    }

    /// A wait that began then and that an update of the stream has ended.
    pub fn landed(&self, began_us: u64) -> Waited {
        Waited { began_us, landed: Some((Rc::clone(&self.stream), self.wait, self.seen)) }
    }

    /// A wait that began then and was in vain.
    pub fn expired(&self, began_us: u64) -> Waited {
        Waited { began_us, landed: None }
    }
}

/// A stream that is up is never 404, or players give it up.
fn unwatched_response(unwatched: Unwatched) -> Response {
    match unwatched {
        Unwatched::Unknown => not_found(),
        Unwatched::Busy => Response::unavailable(1, "this shard cannot follow the stream yet\n"),
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

impl Wait {
    /// For a replica whose snapshot is on its way: it comes with the next turn of the home's shard.
    const FOR_SNAPSHOT: Self = Self {
        rendition: RenditionId(0),
        updates: Updates::Parts,
        wait_ms_max: FOLLOW_WAIT_MS_MAX,
        expired: Expired::Unavailable,
    };
}
