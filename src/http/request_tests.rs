//! Request heads: whole, in pieces, malformed, and in two meanings.

use super::*;

const BROWSER: &str = "GET /live/demo/0f3k9q2c-2-334/v.m3u8?_HLS_msn=7&_HLS_part=1 HTTP/1.1\r\n\
    Host: media.example:8080\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\n\
    Accept: */*\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\n\
    Origin: https://example.org\r\n\
    If-None-Match: \"00000000000000ff\"\r\n\
    Range: bytes=0-1023\r\n\
    Authorization: Bearer abc\r\n\
    Connection: keep-alive\r\n\r\n";

fn complete(head: &str) -> Request<'_> {
    match parse(head.as_bytes()) {
        Parsed::Complete(request, head_bytes) if head_bytes == head.len() => request,
        other => panic!("{head:?}: {other:?}"),
    }
}

/// A head with these lines after a plain request line and Host.
fn with(lines: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: h\r\n{lines}\r\n")
}

#[test]
fn reads_what_a_browser_sends() {
    let request = complete(BROWSER);
    assert_eq!(
        request,
        Request {
            method: Method::Get,
            version: Version::Http11,
            path: "/live/demo/0f3k9q2c-2-334/v.m3u8",
            query: "_HLS_msn=7&_HLS_part=1",
            host: Some("media.example:8080"),
            keep_alive: true,
            expects_continue: false,
            content_length: 0,
            accepts_gzip: true,
            range: Some(RangeSpec::FromTo { first: 0, last: 1023 }),
            if_none_match: Some("\"00000000000000ff\""),
            if_range: None,
            bearer: Some("abc"),
            origin: Some("https://example.org"),
            accept: Some("*/*"),
        }
    );
}

#[test]
fn a_head_is_partial_at_every_split_and_complete_with_whatever_follows() {
    let head = BROWSER.as_bytes();
    for split in 0..head.len() {
        assert_eq!(parse(&head[..split]), Parsed::Partial, "{split}");
    }
    for followed_by in [&b""[..], b"\0", b"GET / HTTP/1.1\r\n", &[b'x'; HTTP_HEAD_BYTES_MAX * 2]] {
        let received = [head, followed_by].concat();
        assert_eq!(parse(&received), Parsed::Complete(complete(BROWSER), head.len()));
    }
}

/// What is refused with all its bytes is refused the same, or not yet, with fewer, and never served.
#[test]
fn refuses_what_two_readers_could_understand_differently() {
    use Refusal::*;
    for (head, refusal) in [
        (with("Content-Length : 5\r\n"), Syntax("field name")),
        (with("Transfer-Encoding : chunked\r\n"), Syntax("field name")),
        (with(" folded: x\r\n"), Syntax("field name")),
        (with("A: b\r\n folded\r\n"), Syntax("field name")),
        (with("A: b\r\n\tfolded\r\n"), Syntax("field name")),
        (with("A: b\rC: d\r\n"), Syntax("field value")),
        (with("A: b\0\r\n"), Syntax("field value")),
        (with(": empty\r\n"), Syntax("field name")),
        (with("no colon\r\n"), Syntax("field name")),
        (with("A: b\n"), BareLineFeed),
        ("GET / HTTP/1.1\nHost: h\r\n\r\n".into(), BareLineFeed),
        ("GET / HTTP/1.1\r\nHost: h\r\n\n".into(), BareLineFeed),
        ("\nGET / HTTP/1.1\r\nHost: h\r\n\r\n".into(), BareLineFeed),
        (with("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"), LengthAndEncoding),
        (with("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"), LengthAndEncoding),
        (with("Transfer-Encoding: xchunked\r\nContent-Length: 5\r\n"), LengthAndEncoding),
        (with("Transfer-Encoding: chunked\r\n"), Chunked),
        (with("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"), TransferCoding),
        (with("Transfer-Encoding: gzip, chunked\r\n"), TransferCoding),
        (with("Transfer-Encoding: identity\r\n"), TransferCoding),
        (with("Transfer-Encoding:\r\n"), TransferCoding),
        ("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n".into(), EncodingInHttp10),
        (with("Content-Length: 5\r\nContent-Length: 5\r\n"), LengthRepeated),
        (with("Content-Length: 5\r\ncontent-length: 6\r\n"), LengthRepeated),
        (with("Content-Length: 5, 5\r\n"), LengthMalformed),
        (with("Content-Length: +5\r\n"), LengthMalformed),
        (with("Content-Length: -1\r\n"), LengthMalformed),
        (with("Content-Length: 0x5\r\n"), LengthMalformed),
        (with("Content-Length: 5 5\r\n"), LengthMalformed),
        (with("Content-Length:\r\n"), LengthMalformed),
        (with("Content-Length: 16385\r\n"), BodyTooLarge),
        (with("Content-Length: 99999999999999999999999\r\n"), BodyTooLarge),
        (with("Host: h\r\n"), Host),
        (with("Authorization: Bearer a\r\nAuthorization: Bearer b\r\n"), AuthorizationRepeated),
        (with("Authorization: Bearer \u{e9}\r\n"), FieldValue),
        ("GET / HTTP/1.1\r\n\r\n".into(), HostMissing),
        ("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n".into(), Host),
        ("GET / HTTP/1.1\r\nHost: user@h\r\n\r\n".into(), Host),
        ("GET / HTTP/1.1\r\nHost: a, b\r\n\r\n".into(), Host),
        ("GET  / HTTP/1.1\r\nHost: h\r\n\r\n".into(), Syntax("request line")),
        ("GET /a b HTTP/1.1\r\nHost: h\r\n\r\n".into(), Version),
        ("GET / HTTP/1.2\r\nHost: h\r\n\r\n".into(), Version),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".into(), Version),
        ("GET /\r\n\r\n".into(), Syntax("request line")),
        ("get / HTTP/1.1\r\nHost: h\r\n\r\n".into(), Method),
        ("TRACE / HTTP/1.1\r\nHost: h\r\n\r\n".into(), Method),
        ("CONNECT h:80 HTTP/1.1\r\nHost: h\r\n\r\n".into(), Method),
        ("GET * HTTP/1.1\r\nHost: h\r\n\r\n".into(), Target),
        ("GET live/x HTTP/1.1\r\nHost: h\r\n\r\n".into(), Target),
        ("GET ftp://h/x HTTP/1.1\r\nHost: h\r\n\r\n".into(), Target),
        ("GET http:///x HTTP/1.1\r\nHost: h\r\n\r\n".into(), Target),
        ("GET http://u@h/x HTTP/1.1\r\nHost: h\r\n\r\n".into(), Target),
        ("GET /a#b HTTP/1.1\r\nHost: h\r\n\r\n".into(), Target),
        ("GET /a\\b HTTP/1.1\r\nHost: h\r\n\r\n".into(), Target),
        ("GET /\u{e9} HTTP/1.1\r\nHost: h\r\n\r\n".into(), Target),
        ("\u{16}\u{3}\u{1}\u{2}".into(), Syntax("request line")),
    ] {
        assert_eq!(parse(head.as_bytes()), Parsed::Refused(refusal), "{head:?}");
        for split in 0..head.len() {
            let early = parse(&head.as_bytes()[..split]);
            assert!(!matches!(early, Parsed::Complete(..)), "{head:?} served after {split} bytes");
        }
    }
}

#[test]
fn a_refusal_says_its_status() {
    for (refusal, code) in [
        (Refusal::BareLineFeed, 400),
        (Refusal::Chunked, 411),
        (Refusal::BodyTooLarge, 413),
        (Refusal::TargetTooLong, 414),
        (Refusal::HeadTooLarge, 431),
        (Refusal::FieldsTooMany, 431),
        (Refusal::Method, 501),
        (Refusal::TransferCoding, 501),
        (Refusal::Version, 505),
    ] {
        assert_eq!(refusal.status().code(), code, "{refusal}");
    }
}

#[test]
fn sizes_are_bounded_one_byte_past_the_bound() {
    let target = |bytes: usize| format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", "a".repeat(bytes - 1));
    complete(&target(HTTP_TARGET_BYTES_MAX));
    let long = target(HTTP_TARGET_BYTES_MAX + 1);
    assert_eq!(parse(long.as_bytes()), Parsed::Refused(Refusal::TargetTooLong));
    assert_eq!(parse(target(HTTP_HEAD_BYTES_MAX).as_bytes()), Parsed::Refused(Refusal::TargetTooLong));

    let fields = |count: usize| with(&"a: b\r\n".repeat(count - 1));
    complete(&fields(HTTP_FIELDS_MAX));
    let many = fields(HTTP_FIELDS_MAX + 1);
    assert_eq!(parse(many.as_bytes()), Parsed::Refused(Refusal::FieldsTooMany));

    let frame = with("x: \r\n").len();
    let head = |bytes: usize| with(&format!("x: {}\r\n", "y".repeat(bytes - frame)));
    complete(&head(HTTP_HEAD_BYTES_MAX));
    let large = head(HTTP_HEAD_BYTES_MAX + 1);
    assert_eq!(parse(&large.as_bytes()[..HTTP_HEAD_BYTES_MAX - 1]), Parsed::Partial);
    assert_eq!(parse(large.as_bytes()), Parsed::Refused(Refusal::HeadTooLarge));
}

#[test]
fn connections_stay_or_close_as_the_version_says() {
    for (version, connection, keep_alive) in [
        ("1.1", "", true),
        ("1.1", "Connection: close\r\n", false),
        ("1.1", "Connection: Keep-Alive, Close\r\n", false),
        ("1.1", "Connection: upgrade\r\n", true),
        ("1.1", "Connection: closed\r\n", true),
        ("1.1", "Connection: a\r\nConnection: close\r\n", false),
        ("1.0", "", false),
        ("1.0", "Connection: keep-alive\r\n", true),
        ("1.0", "Connection: keep-alive, close\r\n", false),
    ] {
        let head = format!("GET / HTTP/{version}\r\nHost: h\r\n{connection}\r\n");
        assert_eq!(complete(&head).keep_alive, keep_alive, "{head:?}");
    }
    assert_eq!(complete("GET / HTTP/1.0\r\n\r\n").host, None);
}

#[test]
fn targets_are_cut_into_host_path_and_query() {
    for (method, target, host, path, query) in [
        ("GET", "/", "field", "/", ""),
        ("GET", "/a/b?c=d?e/f", "field", "/a/b", "c=d?e/f"),
        ("GET", "/a?", "field", "/a", ""),
        ("GET", "//a", "field", "//a", ""),
        ("GET", "http://url:81/a?b", "url:81", "/a", "b"),
        ("GET", "HTTPS://[::1]:81", "[::1]:81", "/", ""),
        ("GET", "http://url?b", "url", "/", "b"),
        ("OPTIONS", "*", "field", "*", ""),
    ] {
        let head = format!("{method} {target} HTTP/1.1\r\nHost: field\r\n\r\n");
        let request = complete(&head);
        assert_eq!((request.host, request.path, request.query), (Some(host), path, query), "{target}");
    }
}

#[test]
fn bodies_are_announced_and_awaited() {
    let post = |lines: &str| format!("POST / HTTP/1.1\r\nHost: h\r\n{lines}\r\n");
    let head = post("Content-Length: 16384\r\nExpect: 100-Continue\r\n");
    let request = complete(&head);
    assert_eq!((request.content_length, request.expects_continue), (HTTP_BODY_BYTES_MAX, true));
    // Nothing to wait for, and nobody in HTTP/1.0 to wait.
    assert!(!complete(&post("Content-Length: 0\r\nExpect: 100-continue\r\n")).expects_continue);
    let old = "POST / HTTP/1.0\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n";
    assert!(!complete(old).expects_continue);
}

#[test]
fn a_repeated_range_is_several_ranges() {
    let head = with("Range: bytes=0-1\r\nRange: bytes=0-1\r\nRange: bytes=0-1\r\n");
    assert_eq!(complete(&head).range, None);
}

#[test]
fn http_2_fields_mean_the_same() {
    let fields: [(&str, &[u8]); 2] = [("host", b"h"), ("accept-encoding", b"gzip")];
    let request = Request::from_fields(Method::Get, Version::Http2, "/a?b", fields.into_iter()).unwrap();
    assert!(request.accepts_gzip && request.keep_alive);
    assert_eq!((request.host, request.path, request.query), (Some("h"), "/a", "b"));
}
