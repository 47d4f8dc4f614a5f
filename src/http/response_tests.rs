//! Response heads as golden bytes, and what conditions and ranges make of a response.

use super::*;
use crate::http::{Parsed, parse};

const DATE: u64 = 784_111_777;
const CORS: &str = "Access-Control-Allow-Origin: *\r\n\
    Access-Control-Expose-Headers: Age, Date, Content-Length, Content-Range, ETag\r\n\
    Cross-Origin-Resource-Policy: cross-origin\r\n\
    Timing-Allow-Origin: *\r\n";

fn head(response: &Response, version: Version, keep_alive: bool) -> String {
    let mut out = Vec::new();
    write_head(&mut out, response, version, &HttpDate::from_unix_s(DATE), keep_alive);
    String::from_utf8(out).unwrap()
}

fn request(head: &str) -> Request<'_> {
    match parse(head.as_bytes()) {
        Parsed::Complete(request, _) => request,
        other => panic!("{head:?}: {other:?}"),
    }
}

/// What `lines` of a request make of `response`, by range and condition as a media resource is served.
fn served(response: &Response, method: &str, lines: &str) -> Response {
    let head = format!("{method} /x HTTP/1.1\r\nHost: h\r\n{lines}\r\n");
    let request = request(&head);
    response.clone().unless_matched(&request).ranged(&request)
}

fn playlist() -> Response {
    Response {
        etag: Some(ETag(0xab)),
        encoding: Encoding::Gzip,
        varies: true,
        urgency: Some(1),
        ..Response::ok(content_type::PLAYLIST, Cache::MaxAge(12), Body::from("#EXTM3U\n"))
    }
}

fn part() -> Response {
    let halves = [Bytes::from_static(b"01234"), Bytes::from_static(b"56789")];
    Response {
        etag: Some(ETag(7)),
        urgency: Some(3),
        ..Response::ok(content_type::VIDEO_MP4, Cache::Immutable(3600), Body::Chain(halves.into()))
    }
}

const ALL: [Status; 24] = {
    use Status::*;
    [
        Ok,
        Created,
        NoContent,
        PartialContent,
        NotModified,
        BadRequest,
        Unauthorized,
        Forbidden,
        NotFound,
        MethodNotAllowed,
        RequestTimeout,
        Conflict,
        LengthRequired,
        PayloadTooLarge,
        UriTooLong,
        UnsupportedMediaType,
        RangeNotSatisfiable,
        Unprocessable,
        TooManyRequests,
        HeadTooLarge,
        InternalError,
        NotImplemented,
        Unavailable,
        VersionNotSupported,
    ]
};

#[test]
fn heads_are_written_byte_for_byte() {
    let date = "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n";
    assert_eq!(
        head(&playlist(), Version::Http11, true),
        format!(
            "HTTP/1.1 200 OK\r\n{date}Content-Type: application/vnd.apple.mpegurl\r\nContent-Length: 8\r\n\
             Content-Encoding: gzip\r\nCache-Control: public, max-age=12\r\nETag: \"00000000000000ab-g\"\r\n\
             Vary: Accept-Encoding\r\nPriority: u=1\r\n{CORS}\r\n"
        )
    );
    assert_eq!(
        head(&served(&part(), "GET", "Range: bytes=3-6\r\n"), Version::Http11, false),
        format!(
            "HTTP/1.1 206 Partial Content\r\n{date}Content-Type: video/mp4\r\nContent-Length: 4\r\n\
             Cache-Control: public, max-age=3600, immutable\r\nETag: \"0000000000000007\"\r\n\
             Priority: u=3\r\n{CORS}Content-Range: bytes 3-6/10\r\nConnection: close\r\n\r\n"
        )
    );
    assert_eq!(
        head(&Response::unavailable(1, "not yet\n"), Version::Http10, true),
        format!(
            "HTTP/1.1 503 Service Unavailable\r\n{date}Content-Type: text/plain; charset=utf-8\r\n\
             Content-Length: 8\r\nCache-Control: no-store\r\n{CORS}Retry-After: 1\r\n\
             Connection: keep-alive\r\n\r\n"
        )
    );
}

/// Predecessor's defect 16: CORS fields only on some GETs, no OPTIONS, all segments `no-store`.
#[test]
fn defect_16_every_status_has_cors_and_media_is_cacheable() {
    for status in ALL {
        let text = head(&Response::error(status, "x\n"), Version::Http11, true);
        assert!(text.starts_with(&format!("HTTP/1.1 {} ", status.code())), "{text}");
        assert!(text.contains(CORS), "{text}");
        assert!(!text.contains("\r\nAge:"), "{text}");
        assert_eq!(text.contains("\r\nContent-Length: 2\r\n"), status.has_body(), "{text}");
        assert!(text.contains("\r\nCache-Control: no-store\r\n"), "{text}");
    }
    assert!(head(&part(), Version::Http11, true).contains("Cache-Control: public, max-age=3600, immutable"));

    let preflight = head(&Response::preflight(), Version::Http11, true);
    assert!(preflight.starts_with("HTTP/1.1 204 No Content\r\n"), "{preflight}");
    for field in
        ["Allow-Methods: GET, HEAD, POST, OPTIONS", "Allow-Headers: Range, Authorization", "Max-Age: 86400"]
    {
        assert!(preflight.contains(&format!("\r\nAccess-Control-{field}")), "{preflight}");
    }
    assert!(!preflight.contains("\r\nContent-Length"), "{preflight}");
}

#[test]
fn defect_10_a_refused_caller_is_challenged() {
    let text = head(&Response::unauthorized(), Version::Http11, true);
    assert!(text.starts_with("HTTP/1.1 401 Unauthorized\r\n"), "{text}");
    assert!(text.contains("\r\nWWW-Authenticate: Bearer\r\n") && text.contains("no-store"), "{text}");
}

#[test]
fn ranges_are_cut_out_of_the_whole_or_refused() {
    for (lines, status, body) in [
        ("", Status::Ok, "0123456789"),
        ("Range: bytes=0-0\r\n", Status::PartialContent, "0"),
        ("Range: bytes=4-5\r\n", Status::PartialContent, "45"),
        ("Range: bytes=5-\r\n", Status::PartialContent, "56789"),
        ("Range: bytes=-3\r\n", Status::PartialContent, "789"),
        ("Range: bytes=0-999\r\n", Status::PartialContent, "0123456789"),
        ("Range: bytes=0-1,3-4\r\n", Status::Ok, "0123456789"),
        ("Range: bytes=10-\r\n", Status::RangeNotSatisfiable, "range not satisfiable\n"),
        ("Range: bytes=-0\r\n", Status::RangeNotSatisfiable, "range not satisfiable\n"),
        ("Range: bytes=0-0\r\nIf-Range: \"0000000000000007\"\r\n", Status::PartialContent, "0"),
        ("Range: bytes=0-0\r\nIf-Range: W/\"0000000000000007\"\r\n", Status::Ok, "0123456789"),
        ("Range: bytes=0-0\r\nIf-Range: Sun, 06 Nov 1994 08:49:37 GMT\r\n", Status::Ok, "0123456789"),
    ] {
        let response = served(&part(), "GET", lines);
        assert_eq!(response.status, status, "{lines}");
        assert_eq!(response.payload(Method::Get).concat(), body.as_bytes(), "{lines}");
    }
    let text = head(&served(&part(), "GET", "Range: bytes=10-\r\n"), Version::Http11, true);
    assert!(text.contains("\r\nContent-Range: bytes */10\r\n") && text.contains("no-store"), "{text}");
}

#[test]
fn head_has_the_fields_of_get_and_no_body() {
    let (get, only_head) = (served(&part(), "GET", ""), served(&part(), "HEAD", "Range: bytes=0-0\r\n"));
    assert_eq!(head(&get, Version::Http11, true), head(&only_head, Version::Http11, true));
    assert!(head(&get, Version::Http11, true).contains("\r\nContent-Length: 10\r\n"));
    assert!(only_head.payload(Method::Head).is_empty());
}

#[test]
fn an_entity_tag_names_one_encoding() {
    for (lines, matched) in [
        ("If-None-Match: \"00000000000000ab-g\"\r\n", true),
        ("If-None-Match: \"x\", W/\"00000000000000ab-g\"\r\n", true),
        ("If-None-Match: *\r\n", true),
        ("If-None-Match: \"00000000000000ab\"\r\n", false),
        ("If-None-Match: 00000000000000ab-g\r\n", false),
        ("", false),
    ] {
        let response = served(&playlist(), "GET", lines);
        assert_eq!(response.status == Status::NotModified, matched, "{lines}");
        assert_eq!(response.payload(Method::Get).is_empty(), matched, "{lines}");
    }
    let not_modified = served(&playlist(), "GET", "If-None-Match: *\r\n");
    let text = head(&not_modified, Version::Http11, true);
    for field in
        ["ETag: \"00000000000000ab-g\"", "Cache-Control: public, max-age=12", "Vary: Accept-Encoding"]
    {
        assert!(text.contains(field), "{text}");
    }
    assert!(!text.contains("\r\nContent-Length") && !text.contains("Content-Encoding"), "{text}");
    // A condition before a range: 304 stays 304.
    let both = served(&part(), "GET", "Range: bytes=0-0\r\nIf-None-Match: \"0000000000000007\"\r\n");
    assert_eq!((both.status, both.extra), (Status::NotModified, Extra::None));
}

#[test]
fn the_longest_values_are_printed_whole() {
    let extra = Extra::ContentRange { first: u64::MAX, last: u64::MAX, complete: u64::MAX };
    let response = Response { extra, cache: Cache::Immutable(u32::MAX), ..part() };
    let text = head(&response, Version::Http11, true);
    assert!(
        text.contains("bytes 18446744073709551615-18446744073709551615/18446744073709551615\r\n"),
        "{text}"
    );
}

#[test]
fn a_page_keeps_its_policy_whatever_range_is_asked_for() {
    let policy = Extra::ContentSecurityPolicy("default-src 'none'");
    let page = Response::ok(content_type::HTML, Cache::NoCache, Body::One(Bytes::from_static(b"<html>")));
    let page = Response { extra: policy, ..page }.in_range(Some(RangeSpec::From { first: 2 }));
    assert_eq!((page.status, page.extra, page.body.len()), (Status::Ok, policy, 6));
}
