//! Reads a request head (RFC 9112), strictly: whatever two readers could take for two different
//! requests is refused, and a refusal ends the connection.

use std::mem::MaybeUninit;

use super::fields::{self, GzipPreference};
use super::{RangeSpec, Status};
use crate::limits::{HTTP_BODY_BYTES_MAX, HTTP_FIELDS_MAX, HTTP_HEAD_BYTES_MAX, HTTP_TARGET_BYTES_MAX};

/// What was made of the bytes received so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Parsed<'a> {
    /// The head goes on; call again from the same first byte when more has come.
    Partial,
    /// A request, and the bytes of its head: the body, or the next request, begins behind them.
    Complete(Request<'a>, usize),
    /// Answer with [`super::Response::refused`] and close.
    Refused(Refusal),
}

/// The methods that something here answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Read.
    Get,
    /// Read without the body.
    Head,
    /// Change.
    Post,
    /// Ask what is allowed; a preflight of CORS.
    Options,
}

/// The protocol version of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0: closes unless asked to stay.
    Http10,
    /// HTTP/1.1: stays unless asked to close.
    Http11,
    /// HTTP/2, whose front end makes requests by [`Request::from_fields`].
    Http2,
}

/// A request head, borrowed from the receive buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request<'a> {
    /// What is wanted.
    pub method: Method,
    /// Protocol version.
    pub version: Version,
    /// Undecoded, see [`super::decode_path`]. Begins with `/` (or is `*`, for OPTIONS); printable ASCII.
    pub path: &'a str,
    /// Undecoded, without its `?`; empty when there is none.
    pub query: &'a str,
    /// `host[:port]`; an absolute target's goes before the field's. `None` only in HTTP/1.0.
    pub host: Option<&'a str>,
    /// The connection may carry another request.
    pub keep_alive: bool,
    /// The client waits for [`super::CONTINUE`] before it sends the body.
    pub expects_continue: bool,
    /// Bytes of the body, at most `HTTP_BODY_BYTES_MAX`.
    pub content_length: u64,
    /// A gzip response may be sent.
    pub accepts_gzip: bool,
    /// The range, if one and only one was asked for.
    pub range: Option<RangeSpec>,
    /// `If-None-Match`, as sent.
    pub if_none_match: Option<&'a str>,
    /// `If-Range`, as sent.
    pub if_range: Option<&'a str>,
    /// The credentials of `Authorization: Bearer`.
    pub bearer: Option<&'a str>,
    /// `Origin`, as sent.
    pub origin: Option<&'a str>,
    /// `Accept`, as sent.
    pub accept: Option<&'a str>,
}

/// Why a head is not served. Holds nothing that the peer sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Not a request head.
    #[error("malformed request head: {0}")]
    Syntax(&'static str),
    /// A line ends with LF alone.
    #[error("malformed request head: a line ends without CR")]
    BareLineFeed,
    /// The head does not end in time.
    #[error("request head larger than {HTTP_HEAD_BYTES_MAX} bytes")]
    HeadTooLarge,
    /// Too many fields.
    #[error("request head with more than {HTTP_FIELDS_MAX} fields")]
    FieldsTooMany,
    /// The target is too long.
    #[error("request target longer than {HTTP_TARGET_BYTES_MAX} bytes")]
    TargetTooLong,
    /// The target is no path, URL or asterisk.
    #[error("malformed request target")]
    Target,
    /// A method nothing here answers.
    #[error("method not implemented: GET, HEAD, POST and OPTIONS are")]
    Method,
    /// Neither HTTP/1.0 nor HTTP/1.1.
    #[error("HTTP version not supported: 1.0 and 1.1 are")]
    Version,
    /// HTTP/1.1 without Host.
    #[error("request without Host")]
    HostMissing,
    /// More than one Host, or a malformed one.
    #[error("repeated or malformed Host")]
    Host,
    /// A value outside visible ASCII in a field that we read.
    #[error("a field value holds a byte outside visible ASCII")]
    FieldValue,
    /// Not digits.
    #[error("malformed Content-Length")]
    LengthMalformed,
    /// More than one, equal or not.
    #[error("repeated Content-Length")]
    LengthRepeated,
    /// Content-Length and Transfer-Encoding: two ends of one body.
    #[error("both Content-Length and Transfer-Encoding")]
    LengthAndEncoding,
    /// Transfer-Encoding in HTTP/1.0, where it has no meaning.
    #[error("Transfer-Encoding in HTTP/1.0")]
    EncodingInHttp10,
    /// A chunked body: nothing here takes one.
    #[error("chunked request body: Content-Length is required")]
    Chunked,
    /// Another or a repeated transfer coding.
    #[error("transfer coding not implemented")]
    TransferCoding,
    /// Too long a body was announced.
    #[error("request body larger than {HTTP_BODY_BYTES_MAX} bytes")]
    BodyTooLarge,
    /// More than one Authorization.
    #[error("repeated Authorization")]
    AuthorizationRepeated,
}

impl Refusal {
    /// The status that says it.
    pub fn status(self) -> Status {
        match self {
            Self::HeadTooLarge | Self::FieldsTooMany => Status::HeadTooLarge,
            Self::TargetTooLong => Status::UriTooLong,
            Self::Method | Self::TransferCoding => Status::NotImplemented,
            Self::Version => Status::VersionNotSupported,
            Self::Chunked => Status::LengthRequired,
            Self::BodyTooLarge => Status::PayloadTooLarge,
            _ => Status::BadRequest,
        }
    }
}

/// Reads one head from the start of `bytes`, which may go on with a body or further requests. The verdict
/// depends on the bytes alone, not on how they arrived.
pub fn parse(bytes: &[u8]) -> Parsed<'_> {
    let window = &bytes[..bytes.len().min(HTTP_HEAD_BYTES_MAX)];
    let mut fields = [const { MaybeUninit::uninit() }; HTTP_FIELDS_MAX];
    let mut head = httparse::Request::new(&mut []);
    match head.parse_with_uninit_headers(window, &mut fields) {
        Ok(httparse::Status::Complete(head_bytes)) => match interpret(&head, &window[..head_bytes]) {
            Ok(request) => Parsed::Complete(request, head_bytes),
            Err(refusal) => Parsed::Refused(refusal),
        },
        Ok(httparse::Status::Partial) if window.len() < HTTP_HEAD_BYTES_MAX => Parsed::Partial,
        Ok(httparse::Status::Partial) => Parsed::Refused(match head.version {
            // The request line itself did not end.
            None => Refusal::TargetTooLong,
            Some(_) => Refusal::HeadTooLarge,
        }),
        Err(error) => Parsed::Refused(match error {
            httparse::Error::TooManyHeaders => Refusal::FieldsTooMany,
            httparse::Error::Version => Refusal::Version,
            // Space before the colon, an obsolete fold (RFC 9112, section 5.2) and a bare CR end up here.
            httparse::Error::HeaderName => Refusal::Syntax("field name"),
            httparse::Error::HeaderValue => Refusal::Syntax("field value"),
            httparse::Error::NewLine => Refusal::Syntax("line end"),
            _ => Refusal::Syntax("request line"),
        }),
    }
}

fn interpret<'a>(head: &httparse::Request<'_, 'a>, bytes: &[u8]) -> Result<Request<'a>, Refusal> {
    // RFC 9112, 2.2 allows a reader to take LF for a line end; one that does and one that does not see
    // two different requests.
    let mut before = 0;
    for &byte in bytes {
        if byte == b'\n' && before != b'\r' {
            return Err(Refusal::BareLineFeed);
        }
        before = byte;
    }
    let method = match head.method {
        Some("GET") => Method::Get,
        Some("HEAD") => Method::Head,
        Some("POST") => Method::Post,
        Some("OPTIONS") => Method::Options,
        _ => return Err(Refusal::Method),
    };
    let version = if head.version == Some(0) { Version::Http10 } else { Version::Http11 };
    let fields = head.headers.iter().map(|field| (field.name, field.value));
    Request::from_fields(method, version, head.path.ok_or(Refusal::Target)?, fields)
}

impl<'a> Request<'a> {
    /// Makes a request of a method, a target and its fields. [`parse`] ends here, and an HTTP/2 front end
    /// begins here (`:authority` as a field named `host`), so that both mean the same.
    ///
    /// # Errors
    /// [`Refusal`] for a target or field that cannot be served.
    pub fn from_fields(
        method: Method,
        version: Version,
        target: &'a str,
        fields: impl Iterator<Item = (&'a str, &'a [u8])>,
    ) -> Result<Self, Refusal> {
        let target = Target::parse(target, method)?;
        let mut request = Self {
            method,
            version,
            path: target.path,
            query: target.query,
            host: None,
            keep_alive: false,
            expects_continue: false,
            content_length: 0,
            accepts_gzip: false,
            range: None,
            if_none_match: None,
            if_range: None,
            bearer: None,
            origin: None,
            accept: None,
        };
        let mut seen = Seen::default();
        for (name, value) in fields {
            request.read_field(&mut seen, name, value)?;
        }
        seen.finish(&mut request)?;
        if target.host.is_some() {
            // RFC 9112, 3.2.2: with an absolute target the Host field is ignored.
            request.host = target.host;
        }
        Ok(request)
    }

    fn read_field(&mut self, seen: &mut Seen, name: &str, value: &'a [u8]) -> Result<(), Refusal> {
        let named = |wanted: &str| name.eq_ignore_ascii_case(wanted);
        // Lengths first: most fields of a browser are told apart by them alone.
        match name.len() {
            4 if named("host") => {
                let host = ascii(value)?;
                if self.host.replace(host).is_some() || !fields::host_is_valid(host) {
                    return Err(Refusal::Host);
                }
            }
            5 if named("range") => {
                // Repeated, it is several ranges, which are ignored.
                self.range = if seen.range { None } else { RangeSpec::parse(ascii(value)?) };
                seen.range = true;
            }
            6 if named("origin") => self.origin = Some(ascii(value)?),
            6 if named("accept") => self.accept = Some(ascii(value)?),
            6 if named("expect") => seen.expects_continue |= value.eq_ignore_ascii_case(b"100-continue"),
            8 if named("if-range") => self.if_range = Some(ascii(value)?),
            10 if named("connection") => {
                for option in fields::list(ascii(value)?) {
                    seen.close |= option.eq_ignore_ascii_case("close");
                    seen.keep_alive |= option.eq_ignore_ascii_case("keep-alive");
                }
            }
            13 if named("if-none-match") => self.if_none_match = Some(ascii(value)?),
            13 if named("authorization") => {
                if std::mem::replace(&mut seen.authorization, true) {
                    return Err(Refusal::AuthorizationRepeated);
                }
                self.bearer = fields::bearer(ascii(value)?);
            }
            14 if named("content-length") => {
                let length = fields::content_length(ascii(value)?)?;
                if seen.content_length.replace(length).is_some() {
                    return Err(Refusal::LengthRepeated);
                }
            }
            15 if named("accept-encoding") => seen.gzip.add(ascii(value)?),
            17 if named("transfer-encoding") => {
                let chunked = seen.transfer_encoding.is_none() && value.eq_ignore_ascii_case(b"chunked");
                seen.transfer_encoding =
                    Some(if chunked { Refusal::Chunked } else { Refusal::TransferCoding });
            }
            _ => {}
        }
        Ok(())
    }
}

/// What several fields decide together.
#[derive(Default)]
struct Seen {
    close: bool,
    keep_alive: bool,
    expects_continue: bool,
    range: bool,
    authorization: bool,
    content_length: Option<u64>,
    /// What a Transfer-Encoding would be refused for, were it the only thing wrong.
    transfer_encoding: Option<Refusal>,
    gzip: GzipPreference,
}

impl Seen {
    fn finish(self, request: &mut Request<'_>) -> Result<(), Refusal> {
        if let Some(refusal) = self.transfer_encoding {
            // RFC 9112, 6.1: both together ought to be handled as an error, and so ought the HTTP/1.0 form.
            return Err(match (self.content_length, request.version) {
                (Some(_), _) => Refusal::LengthAndEncoding,
                (None, Version::Http10) => Refusal::EncodingInHttp10,
                (None, _) => refusal,
            });
        }
        if request.version == Version::Http11 && request.host.is_none() {
            return Err(Refusal::HostMissing);
        }
        request.keep_alive = match request.version {
            Version::Http10 => self.keep_alive && !self.close,
            Version::Http11 => !self.close,
            Version::Http2 => true,
        };
        request.content_length = self.content_length.unwrap_or(0);
        // RFC 9110, 10.1.1: ignored in HTTP/1.0, and there is nothing to wait for without a body.
        request.expects_continue =
            self.expects_continue && request.version != Version::Http10 && request.content_length > 0;
        request.accepts_gzip = self.gzip.accepts();
        Ok(())
    }
}

/// The pieces of a request target (RFC 9112, section 3.2).
struct Target<'a> {
    host: Option<&'a str>,
    path: &'a str,
    query: &'a str,
}

impl<'a> Target<'a> {
    fn parse(target: &'a str, method: Method) -> Result<Self, Refusal> {
        if target.len() > HTTP_TARGET_BYTES_MAX {
            return Err(Refusal::TargetTooLong);
        }
        // A fragment is never sent; a backslash some readers take for a slash.
        if !target.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'#' | b'\\')) {
            return Err(Refusal::Target);
        }
        if target == "*" && method == Method::Options {
            return Ok(Self { host: None, path: target, query: "" });
        }
        let (host, origin_form) = match target.starts_with('/') {
            true => (None, target),
            false => {
                let (scheme, rest) = target.split_once("://").ok_or(Refusal::Target)?;
                if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
                    return Err(Refusal::Target);
                }
                let (host, origin_form) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
                if host.is_empty() || !fields::host_is_valid(host) {
                    return Err(Refusal::Target);
                }
                (Some(host), origin_form)
            }
        };
        let (path, query) = origin_form.split_once('?').unwrap_or((origin_form, ""));
        Ok(Self { host, path: if path.is_empty() { "/" } else { path }, query })
    }
}

/// A field value as text. Obsolete text (RFC 9110, section 5.5) is refused where we would act on it.
fn ascii(value: &[u8]) -> Result<&str, Refusal> {
    let text = std::str::from_utf8(value).map_err(|_| Refusal::FieldValue)?;
    if text.is_ascii() { Ok(text) } else { Err(Refusal::FieldValue) }
}

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;
