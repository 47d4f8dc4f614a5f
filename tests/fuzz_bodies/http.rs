//! What must hold for any bytes that arrive where a request head is expected.

use rapidrtmp::http::{
    Body, Cache, ETag, HttpDate, Method, Parsed, Request, Response, content_type, decode_path, parse,
    write_head,
};
use rapidrtmp::limits::{HTTP_BODY_BYTES_MAX, HTTP_HEAD_BYTES_MAX, HTTP_TARGET_BYTES_MAX};

/// Parses `bytes` whole and at a split that they choose, and answers what is served.
pub fn run(bytes: &[u8]) {
    let whole = parse(bytes);
    let split = bytes.first().map_or(0, |&byte| usize::from(byte) * bytes.len() / 256);
    match (parse(&bytes[..split]), &whole) {
        // Fewer bytes may leave it open, but decide nothing else than all of them do.
        (Parsed::Partial, _) => {}
        (early, whole) => assert_eq!(&early, whole, "decided otherwise at {split} of {bytes:?}"),
    }
    match whole {
        Parsed::Partial => assert!(bytes.len() < HTTP_HEAD_BYTES_MAX),
        Parsed::Refused(refusal) => {
            assert!(refusal.status().code() >= 400);
            answer(&Response::refused(refusal), Method::Get);
        }
        Parsed::Complete(request, head_bytes) => {
            let head = &bytes[..head_bytes];
            assert!(head_bytes <= HTTP_HEAD_BYTES_MAX);
            assert!(head.ends_with(b"\r\n\r\n"));
            assert!(!head.windows(2).any(|pair| pair[1] == b'\n' && pair[0] != b'\r'));
            served(&request);
        }
    }
}

fn served(request: &Request<'_>) {
    assert!(request.path.starts_with('/') || request.path == "*" && request.method == Method::Options);
    assert!(request.path.len() + request.query.len() <= HTTP_TARGET_BYTES_MAX);
    assert!(request.path.bytes().chain(request.query.bytes()).all(|byte| byte.is_ascii_graphic()));
    assert!(request.content_length <= HTTP_BODY_BYTES_MAX);
    if let Ok(path) = decode_path(request.path) {
        assert_eq!(path.split('/').count(), request.path.split('/').count());
        assert!(!path.split('/').any(|segment| segment == ".."));
    }
    let body = Body::Chain([&b"0123"[..], b"", b"456789"].map(bytes::Bytes::from_static).into());
    let part =
        Response { etag: Some(ETag(7)), ..Response::ok(content_type::VIDEO_MP4, Cache::Immutable(60), body) };
    let response = part.unless_matched(request).ranged(request);
    let sent = answer(&response, request.method);
    let whole_bytes = 10;
    assert!(sent <= whole_bytes || response.status.code() == 416);
}

/// Writes the head and returns the bytes of the payload, which the head must have announced.
fn answer(response: &Response, method: Method) -> u64 {
    let mut head = Vec::new();
    let date = HttpDate::from_unix_s(0);
    write_head(&mut head, response, rapidrtmp::http::Version::Http11, &date, false);
    let head = String::from_utf8(head).expect("our heads are ASCII");
    let payload: u64 = response.payload(method).iter().map(|slice| slice.len() as u64).sum();
    let announced = format!("\r\nContent-Length: {payload}\r\n");
    assert!(method == Method::Head || response.status.code() == 304 || head.contains(&announced), "{head}");
    payload
}
