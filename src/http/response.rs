//! Responses as values, and their heads as bytes (RFC 9110, RFC 9112; what players need besides:
//! draft-pantos-hls-rfc8216bis-22, appendix B.1).
//!
//! Every response, whatever its status, carries the CORS fields: a page that cannot read a 404 or 503
//! reports a network error instead and retries wrongly. None carries `Age`: that is a cache's to say,
//! and players take it for how stale a playlist is.

use std::io::Write;

use bytes::Bytes;

use super::range::RangeSpec;
use super::{Body, HttpDate, Method, Refusal, Request, Version, fields};
use crate::limits::HTTP_FIELD_PRINTED_BYTES_MAX;

/// What the client waits for when it sent `Expect: 100-continue`.
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// Media types of what is served.
pub mod content_type {
    /// Playlists.
    pub const PLAYLIST: &str = "application/vnd.apple.mpegurl";
    /// Init segments, parts and segments with video.
    pub const VIDEO_MP4: &str = "video/mp4";
    /// The same without video.
    pub const AUDIO_MP4: &str = "audio/mp4";
    /// The JSON interface.
    pub const JSON: &str = "application/json";
    /// Pages.
    pub const HTML: &str = "text/html; charset=utf-8";
    /// Errors.
    pub const TEXT: &str = "text/plain; charset=utf-8";
    /// Scripts.
    pub const JAVASCRIPT: &str = "text/javascript; charset=utf-8";
    /// Style sheets.
    pub const CSS: &str = "text/css; charset=utf-8";
    /// Drawings.
    pub const SVG: &str = "image/svg+xml";
    /// The metrics' text.
    pub const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
}

macro_rules! statuses {
    ($($(#[$doc:meta])+ $name:ident = $code:literal $reason:literal;)+) => {
        /// The statuses that are answered.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Status { $($(#[$doc])+ $name,)+ }

        impl Status {
            /// Three digits.
            pub fn code(self) -> u16 {
                match self { $(Self::$name => $code,)+ }
            }

            fn line_end(self) -> &'static str {
                match self { $(Self::$name => concat!(" ", $code, " ", $reason, "\r\n"),)+ }
            }
        }
    };
}

statuses! {
    /// Served.
    Ok = 200 "OK";
    /// Made.
    Created = 201 "Created";
    /// Done, nothing to send.
    NoContent = 204 "No Content";
    /// A range of it.
    PartialContent = 206 "Partial Content";
    /// The client has it.
    NotModified = 304 "Not Modified";
    /// Not understood, or too far ahead.
    BadRequest = 400 "Bad Request";
    /// No or wrong credentials.
    Unauthorized = 401 "Unauthorized";
    /// Not allowed, whoever asks.
    Forbidden = 403 "Forbidden";
    /// Nothing there.
    NotFound = 404 "Not Found";
    /// Another method would do.
    MethodNotAllowed = 405 "Method Not Allowed";
    /// The head or body did not come in time.
    RequestTimeout = 408 "Request Timeout";
    /// Not in this state.
    Conflict = 409 "Conflict";
    /// A body of unknown length.
    LengthRequired = 411 "Length Required";
    /// Too long a body.
    PayloadTooLarge = 413 "Content Too Large";
    /// Too long a target.
    UriTooLong = 414 "URI Too Long";
    /// Not JSON.
    UnsupportedMediaType = 415 "Unsupported Media Type";
    /// Nothing in this range.
    RangeNotSatisfiable = 416 "Range Not Satisfiable";
    /// Well-formed, and not acceptable.
    Unprocessable = 422 "Unprocessable Content";
    /// Slow down.
    TooManyRequests = 429 "Too Many Requests";
    /// Too large a head.
    HeadTooLarge = 431 "Request Header Fields Too Large";
    /// Our fault.
    InternalError = 500 "Internal Server Error";
    /// No such method or coding here.
    NotImplemented = 501 "Not Implemented";
    /// Not now.
    Unavailable = 503 "Service Unavailable";
    /// No such version here.
    VersionNotSupported = 505 "HTTP Version Not Supported";
}

impl Status {
    /// 204 and 304 have no body, and a 204 may not even say how long it is (RFC 9110, section 8.6).
    fn has_body(self) -> bool {
        !matches!(self, Self::NoContent | Self::NotModified)
    }
}

/// What caches may do with a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cache {
    /// Not keep it: it is about now.
    NoStore,
    /// Keep it, ask each time.
    NoCache,
    /// Keep it for so many seconds.
    MaxAge(u32),
    /// Keep it for so many seconds; it never changes under its URL.
    Immutable(u32),
}

/// A strong validator, printed as 16 hex digits. The gzip form of the same thing gets a suffix: its bytes
/// are others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ETag(pub u64);

impl ETag {
    fn print(self, encoding: Encoding) -> Printed {
        match encoding {
            Encoding::Identity => Printed::new(format_args!("\"{:016x}\"", self.0)),
            Encoding::Gzip => Printed::new(format_args!("\"{:016x}-g\"", self.0)),
        }
    }
}

/// How the body's bytes are coded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Encoding {
    /// As they are.
    #[default]
    Identity,
    /// gzip.
    Gzip,
}

/// The field that only some statuses have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Extra {
    /// None.
    #[default]
    None,
    /// `Allow`: the methods that would do.
    Allow(&'static str),
    /// `Retry-After`, seconds.
    RetryAfter(u32),
    /// `Content-Security-Policy` of a page.
    ContentSecurityPolicy(&'static str),
    /// `WWW-Authenticate: Bearer`.
    Challenge,
    /// `Accept-Ranges: bytes`: a whole that ranges could be had of.
    AcceptRanges,
    /// `Content-Range` of a 206: offsets of the first and last byte, and the bytes of the whole.
    ContentRange {
        /// Offset of the first byte.
        first: u64,
        /// Offset of the last byte.
        last: u64,
        /// Bytes of the whole.
        complete: u64,
    },
    /// `Content-Range` of a 416: the bytes of the whole.
    Unsatisfied {
        /// Bytes of the whole.
        complete: u64,
    },
    /// What a CORS preflight asks.
    Preflight,
}

/// A response, of no protocol version. Cloning shares the body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// Status.
    pub status: Status,
    /// Media type of the body.
    pub content_type: &'static str,
    /// What caches may do.
    pub cache: Cache,
    /// Validator of the thing, whatever its encoding.
    pub etag: Option<ETag>,
    /// How the body is coded.
    pub encoding: Encoding,
    /// Another encoding exists under the same URL: `Vary: Accept-Encoding`.
    pub varies: bool,
    /// Urgency of RFC 9218, 0 (first) to 7: B.1 wants 1 on playlists and 2 to 6 on media.
    pub urgency: Option<u8>,
    /// The field that only some statuses have.
    pub extra: Extra,
    /// What follows.
    pub body: Body,
}

impl Response {
    /// 200 with a body; set further fields on it.
    pub fn ok(content_type: &'static str, cache: Cache, body: Body) -> Self {
        Self {
            status: Status::Ok,
            content_type,
            cache,
            etag: None,
            encoding: Encoding::Identity,
            varies: false,
            urgency: None,
            extra: Extra::None,
            body,
        }
    }

    /// An error that caches do not keep, with a line of text for whoever looks at it.
    pub fn error(status: Status, text: impl Into<Body>) -> Self {
        Self { status, ..Self::ok(content_type::TEXT, Cache::NoStore, text.into()) }
    }

    /// The answer to a head that is not served; close the connection after it.
    pub fn refused(refusal: Refusal) -> Self {
        Self::error(refusal.status(), format!("{refusal}\n"))
    }

    /// 405; `allowed` is a list such as `GET, HEAD`.
    pub fn method_not_allowed(allowed: &'static str) -> Self {
        let error = Self::error(Status::MethodNotAllowed, "method not allowed\n");
        Self { extra: Extra::Allow(allowed), ..error }
    }

    /// 401, the same for missing and wrong credentials.
    pub fn unauthorized() -> Self {
        let error = Self::error(Status::Unauthorized, "missing or wrong credentials\n");
        Self { extra: Extra::Challenge, ..error }
    }

    /// 503 with the seconds after which to come back.
    pub fn unavailable(retry_after_s: u32, text: &'static str) -> Self {
        Self { extra: Extra::RetryAfter(retry_after_s), ..Self::error(Status::Unavailable, text) }
    }

    /// The answer to OPTIONS on any path: 204 with all that a CORS preflight asks.
    pub fn preflight() -> Self {
        let empty = Self::ok(content_type::TEXT, Cache::MaxAge(86_400), Body::Empty);
        Self { status: Status::NoContent, extra: Extra::Preflight, ..empty }
    }

    /// 304 where `If-None-Match` names this response's entity tag, else unchanged. Only for what is never
    /// blocked on: a 304 to a blocked reload would say that nothing happened.
    pub fn unless_matched(self, request: &Request<'_>) -> Self {
        let (Status::Ok, Some(etag), Some(wanted)) = (self.status, self.etag, request.if_none_match) else {
            return self;
        };
        if !matches!(request.method, Method::Get | Method::Head) {
            return self;
        }
        let ours = etag.print(self.encoding);
        // RFC 9110, 13.1.2: `*` is any, and the comparison is the weak one.
        let matched = fields::list(wanted)
            .any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag).as_bytes() == ours.as_bytes());
        if !matched {
            return self;
        }
        Self { status: Status::NotModified, body: Body::Empty, extra: Extra::None, ..self }
    }

    /// 206 or 416 where one range was asked for, else unchanged but for `Accept-Ranges`. For 200s of
    /// uncoded bytes; any other response is returned as it is.
    pub fn ranged(self, request: &Request<'_>) -> Self {
        // RFC 9110, 14.2: Range has a meaning for GET only; 13.1.5: after If-Range only for our very bytes.
        let same = request.if_range.is_none_or(|wanted| {
            self.etag.is_some_and(|etag| etag.print(Encoding::Identity).as_bytes() == wanted.as_bytes())
        });
        let range = request.range.filter(|_| request.method == Method::Get && same);
        self.in_range(range)
    }

    /// As [`Response::ranged`], for a request whose head is gone.
    pub fn in_range(mut self, range: Option<RangeSpec>) -> Self {
        if self.status != Status::Ok || self.encoding != Encoding::Identity {
            return self;
        }
        // A page is whole, and keeps its policy.
        if !matches!(self.extra, Extra::None | Extra::AcceptRanges) {
            return self;
        }
        self.extra = Extra::AcceptRanges;
        let Some(range) = range else { return self };
        let complete = self.body.len();
        let Some((first, last)) = range.within(complete) else {
            let error = Self::error(Status::RangeNotSatisfiable, "range not satisfiable\n");
            return Self { extra: Extra::Unsatisfied { complete }, ..error };
        };
        let body = self.body.range(first, last);
        let extra = Extra::ContentRange { first, last, complete };
        Self { status: Status::PartialContent, body, extra, ..self }
    }

    /// The slices that follow the head: none for HEAD, 204 and 304.
    pub fn payload(&self, method: Method) -> &[Bytes] {
        if method == Method::Head || !self.status.has_body() { &[] } else { self.body.slices() }
    }

    /// Names and values of all fields but `Connection`, in the order they are sent, for either version.
    pub fn each_field(&self, date: &HttpDate, mut emit: impl FnMut(&'static str, &[u8])) {
        emit("Date", date.as_bytes());
        if self.status.has_body() {
            if !self.body.is_empty() {
                emit("Content-Type", self.content_type.as_bytes());
            }
            emit("Content-Length", Printed::decimal(self.body.len()).as_bytes());
            if self.encoding == Encoding::Gzip {
                emit("Content-Encoding", b"gzip");
            }
        }
        emit("Cache-Control", self.cache_control().as_bytes());
        if let Some(etag) = self.etag {
            emit("ETag", etag.print(self.encoding).as_bytes());
        }
        if self.varies {
            emit("Vary", b"Accept-Encoding");
        }
        if let Some(urgency) = self.urgency {
            emit("Priority", &[b'u', b'=', b'0' + urgency.min(7)]);
        }
        emit("Access-Control-Allow-Origin", b"*");
        emit("Access-Control-Expose-Headers", b"Age, Date, Content-Length, Content-Range, ETag");
        emit("Cross-Origin-Resource-Policy", b"cross-origin");
        emit("Timing-Allow-Origin", b"*");
        match self.extra {
            Extra::None => {}
            Extra::Allow(methods) => emit("Allow", methods.as_bytes()),
            Extra::RetryAfter(seconds) => emit("Retry-After", Printed::decimal(seconds.into()).as_bytes()),
            Extra::ContentSecurityPolicy(policy) => emit("Content-Security-Policy", policy.as_bytes()),
            Extra::Challenge => emit("WWW-Authenticate", b"Bearer"),
            Extra::AcceptRanges => emit("Accept-Ranges", b"bytes"),
            Extra::ContentRange { first, last, complete } => {
                let range = Printed::new(format_args!("bytes {first}-{last}/{complete}"));
                emit("Content-Range", range.as_bytes());
            }
            Extra::Unsatisfied { complete } => {
                emit("Content-Range", Printed::new(format_args!("bytes */{complete}")).as_bytes());
            }
            Extra::Preflight => {
                emit("Access-Control-Allow-Methods", b"GET, HEAD, POST, OPTIONS");
                emit("Access-Control-Allow-Headers", b"Range, Authorization, Content-Type, If-None-Match");
                emit("Access-Control-Max-Age", b"86400");
                emit("Allow", b"GET, HEAD, POST, OPTIONS");
            }
        }
    }

    fn cache_control(&self) -> Printed {
        match self.cache {
            Cache::NoStore => Printed::new(format_args!("no-store")),
            Cache::NoCache => Printed::new(format_args!("no-cache")),
            Cache::MaxAge(seconds) => Printed::new(format_args!("public, max-age={seconds}")),
            Cache::Immutable(seconds) => Printed::new(format_args!("public, max-age={seconds}, immutable")),
        }
    }
}

/// Appends the head: status line, fields, blank line. Allocates only if `out` must grow.
///
/// `version` is the request's. The status line says HTTP/1.1 to either (RFC 9110, section 6.2); what
/// differs is that HTTP/1.0 must be told when a connection stays, and HTTP/1.1 when it closes.
pub fn write_head(
    out: &mut Vec<u8>,
    response: &Response,
    version: Version,
    date: &HttpDate,
    keep_alive: bool,
) {
    out.extend_from_slice(b"HTTP/1.1");
    out.extend_from_slice(response.status.line_end().as_bytes());
    response.each_field(date, |name, value| {
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value);
        out.extend_from_slice(b"\r\n");
    });
    match (version, keep_alive) {
        (Version::Http10, true) => out.extend_from_slice(b"Connection: keep-alive\r\n"),
        (_, false) => out.extend_from_slice(b"Connection: close\r\n"),
        (_, true) => {}
    }
    out.extend_from_slice(b"\r\n");
}

/// A field value printed on the stack.
struct Printed {
    bytes: [u8; HTTP_FIELD_PRINTED_BYTES_MAX],
    length: usize,
}

impl Printed {
    /// `HTTP_FIELD_PRINTED_BYTES_MAX` has room for the longest of our formats; what would not fit is cut.
    fn new(text: std::fmt::Arguments<'_>) -> Self {
        let mut bytes = [0; HTTP_FIELD_PRINTED_BYTES_MAX];
        let mut rest = &mut bytes[..];
        let fits = rest.write_fmt(text).is_ok();
        debug_assert!(fits);
        let length = HTTP_FIELD_PRINTED_BYTES_MAX - rest.len();
        Self { bytes, length }
    }

    fn decimal(number: u64) -> Self {
        Self::new(format_args!("{number}"))
    }

    fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

#[cfg(test)]
#[path = "response_tests.rs"]
mod tests;
