//! Requests that are not what they seem: each is refused as it should be, once, and nothing of it is kept.

use crate::rtmp_publisher::Running;
use crate::support::http::Client;
use crate::support::http2;
use crate::support::publisher::wait_until_playable;
use crate::support::server::{ADMIN_KEY, Options, Server};
use crate::watching::Viewers;
use crate::{NOISE, PLAYABLE_WITHIN, descriptors, metric, own_memory_kib, wait_until_left};
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// `HTTP_HEAD_US_MAX`.
const HEAD_WITHIN: Duration = Duration::from_secs(10);
const VIEWERS: usize = 4;
/// In every request that has a secret; never in the log.
const SECRET: &str = "s3cr3t-of-a-peer";
/// Behind every request: whoever answers it has taken the request before for a shorter one.
const SMUGGLED: &str = "GET /health HTTP/1.1\r\nHost: a\r\n\r\n";

/// Request heads that are refused and end their connection.
const REFUSED: &[(&str, u16)] = &[
    // Two lengths of one body.
    (
        "POST /api/v1/publish HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n",
        400,
    ),
    (
        "POST /api/v1/publish HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n",
        400,
    ),
    ("GET /health HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nTransfer-Encoding: x\r\n\r\n", 400),
    ("POST /api/v1/publish HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nContent-Length: 4\r\n\r\n", 400),
    ("POST /api/v1/publish HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\ncontent-length: 40\r\n\r\n", 400),
    ("POST /api/v1/publish HTTP/1.1\r\nHost: a\r\nContent-Length: 4, 4\r\n\r\n", 400),
    ("POST /api/v1/publish HTTP/1.1\r\nHost: a\r\nContent-Length: +4\r\n\r\n", 400),
    ("POST /api/v1/publish HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", 400),
    ("POST /api/v1/publish HTTP/1.1\r\nHost: a\r\nContent-Length: 0x4\r\n\r\n", 400),
    ("POST /api/v1/publish HTTP/1.1\r\nHost: a\r\nContent-Length: 4 4\r\n\r\n", 400),
    ("POST /api/v1/publish HTTP/1.1\r\nHost: a\r\nContent-Length: 4;\r\n\r\n", 400),
    ("POST /api/v1/publish HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n", 400),
    ("POST /api/v1/publish HTTP/1.1\r\nHost: a\r\nContent-Length: \u{664}\r\n\r\n", 400),
    // Lengths beyond ours, and beyond a number's.
    ("POST /api/v1/publish HTTP/1.1\r\nHost: a\r\nContent-Length: 16385\r\n\r\n", 413),
    ("POST /api/v1/publish HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551616\r\n\r\n", 413),
    ("GET /health HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999999999\r\n\r\n", 413),
    // Transfer codings in every disguise.
    ("POST /api/v1/publish HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 411),
    ("POST /api/v1/publish HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: CHUNKED\r\n\r\n0\r\n\r\n", 411),
    ("POST /api/v1/publish HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\tchunked\r\n\r\n0\r\n\r\n", 411),
    ("POST /api/v1/publish HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501),
    ("POST /api/v1/publish HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n", 501),
    ("POST /api/v1/publish HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n", 501),
    ("POST /api/v1/publish HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \"chunked\"\r\n\r\n", 501),
    ("POST /api/v1/publish HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n", 501),
    ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 501),
    ("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n", 400),
    ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding\t: chunked\r\n\r\n", 400),
    ("POST / HTTP/1.1\r\nHost: a\r\n Transfer-Encoding: chunked\r\n\r\n", 400),
    ("POST / HTTP/1.1\r\nHost: a\r\nX: a\r\n\tTransfer-Encoding: chunked\r\n\r\n", 400),
    ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n chunked\r\n\r\n", 400),
    ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-\u{130}ncoding: chunked\r\n\r\n", 400),
    ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding\0: chunked\r\n\r\n", 400),
    ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length : 4\r\n\r\n", 400),
    ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n 0\r\n\r\n", 400),
    // Line ends.
    ("GET /health HTTP/1.1\nHost: a\n\n", 400),
    ("GET /health HTTP/1.1\r\nHost: a\n\r\n", 400),
    ("GET /health HTTP/1.1\r\nHost: a\r\n\n", 400),
    ("\nGET /health HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("GET /health HTTP/1.1\r\nHost: a\r\nX: a\rContent-Length: 5\r\n\r\n", 400),
    ("GET /health HTTP/1.1\rHost: a\r\r\r\n\r\n", 400),
    ("GET /health HTTP/1.1\r\nHost: a\r\r\n\r\n", 400),
    // NUL and its like.
    ("GET /health\0 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("GET /health HTTP/1.1\r\nHost: a\0b\r\n\r\n", 400),
    ("GET /health HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n", 400),
    ("GET /health HTTP/1.1\r\nHost: a\r\nX\0: b\r\n\r\n", 400),
    ("\0GET /health HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("GET /health HTTP/1.1\r\nHost: a\r\nX: \x7f\r\n\r\n", 400),
    ("GET /health HTTP/1.1\r\nHost: a\r\nnothing\r\n\r\n", 400),
    ("GET /health HTTP/1.1\r\nHost: a\r\n: nothing\r\n\r\n", 400),
    // Request lines.
    ("GET  /health HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("GET /health  HTTP/1.1\r\nHost: a\r\n\r\n", 505),
    ("GET\t/health HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (" GET /health HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("GET /health HTTP/1.1 \r\nHost: a\r\n\r\n", 400),
    ("GET /health\r\n\r\n", 400),
    ("get /health HTTP/1.1\r\nHost: a\r\n\r\n", 501),
    ("PUT /health HTTP/1.1\r\nHost: a\r\n\r\n", 501),
    ("TRACE /health HTTP/1.1\r\nHost: a\r\n\r\n", 501),
    ("GET /health HTTP/2.0\r\nHost: a\r\n\r\n", 505),
    ("GET /health HTTP/1.2\r\nHost: a\r\n\r\n", 505),
    // Targets.
    ("CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n", 501),
    ("GET a:80 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("GET health HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("GET http:///health HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("GET http://u@a/health HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("GET ftp://a/health HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("GET file:///etc/passwd HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("GET http://a\\b/health HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("GET /..\\health HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("GET /health#x HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("GET /h\u{e9}alth HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    // Hosts.
    ("GET /health HTTP/1.1\r\n\r\n", 400),
    ("GET /health HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
    ("GET http://a/health HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
    ("GET /health HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
    ("GET /health HTTP/1.1\r\nHost: a/b\r\n\r\n", 400),
    ("GET /health HTTP/1.1\r\nHost: a@b\r\n\r\n", 400),
    ("GET /health HTTP/1.1\r\nHost: a, b\r\n\r\n", 400),
    (
        "POST /api/v1/publish HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer x\r\nAuthorization: Bearer y\r\n\r\n",
        400,
    ),
];

/// Targets of requests that are in order, and what they lead to; the connection goes on.
const TARGETS: &[(&str, u16)] = &[
    ("http://other:1/health", 200),
    ("HTTPS://[::1]:443/health?x", 200),
    ("/live/../health", 400),
    ("/%2e%2e/etc/passwd", 400),
    ("/.%2E/health", 400),
    ("/live/%2e/health", 400),
    ("/..%2f..%2fetc/passwd", 400),
    ("/live%2fs%2findex.m3u8", 400),
    ("/live%5cs", 400),
    ("/assets/../../etc/passwd", 400),
    ("/watch/..%2f..%2fetc", 400),
    ("/watch/live/../../x", 400),
    ("/api/v1/streams/..%2fx", 400),
    ("/api/v1/streams/%ff", 400),
    ("/api/v1/streams/../publish", 400),
    ("/api/v1/streams/a//stop", 404),
    ("/..;/health", 404),
    ("/%252e%252e/health", 404),
    ("//live/s/index.m3u8", 404),
    ("/live//s/index.m3u8", 404),
    ("/live/s//index.m3u8", 404),
    ("/live/s/index.m3u8/", 404),
    ("/live/%73/index.m3u8", 404),
    ("/LIVE/s/index.m3u8", 404),
    ("//health", 404),
    // Overlong forms of `.` and `/`, a surrogate, what is beyond Unicode, what is cut.
    ("/%c0%ae%c0%ae/health", 400),
    ("/%c0%af", 400),
    ("/%e0%80%af", 400),
    ("/%f0%80%80%af", 400),
    ("/%ed%a0%80", 400),
    ("/%f4%90%80%80", 400),
    ("/%e2%82", 400),
    ("/%", 400),
    ("/%0", 400),
    ("/%zz", 400),
    ("/%u002e", 400),
    ("/%00", 400),
    ("/live/s%00/index.m3u8", 400),
    ("/live/s/index.m3u8%00.png", 400),
    ("/live/s/index.m3u8%0d%0aSet-Cookie:x", 400),
    // Nothing of a query matters there.
    ("/health?%00%zz=%&&&=", 200),
    ("/live/s/index.m3u8?_HLS_msn=x&_HLS_msn=y", 200),
];

/// Queries of a media playlist.
fn queries() -> Vec<(String, u16)> {
    let bomb = |parameter: &str| parameter.repeat(3900 / parameter.len());
    let mut queries = vec![
        (bomb("a&"), 200),
        (bomb("&"), 200),
        (bomb("="), 200),
        (bomb("%"), 200),
        (bomb("_HLS_msn=0&") + "x", 200),
        (bomb("_HLS_skip=NO&") + "x", 200),
        ((0..300).map(|number| format!("_HLS_msn={number}&")).collect(), 400),
        (bomb("_HLS_msn=&"), 400),
        (format!("_HLS_msn=0{}", "0".repeat(3000)), 200),
        (format!("_HLS_msn={}", "9".repeat(3000)), 400),
    ];
    for (query, status) in [
        ("_HLS_msn=1&_HLS_msn=2", 400),
        ("_HLS_msn=18446744073709551615", 400),
        ("_HLS_msn=18446744073709551616", 400),
        ("_HLS_msn=0&_HLS_part=18446744073709551616", 400),
        ("_HLS_msn=18446744073709551615&_HLS_part=18446744073709551615", 400),
        ("_HLS_msn=-1", 400),
        ("_HLS_msn=+1", 400),
        ("_HLS_msn=1e9", 400),
        ("_HLS_msn=%31%", 400),
        ("_HLS_msn=1%00", 400),
        ("%5fHLS_msn=x", 400),
        ("_HLS_part=0", 400),
        ("_HLS_skip=YES&_HLS_skip=v2", 400),
        ("_HLS_skip=/../../etc", 200),
    ] {
        queries.push((query.to_owned(), status));
    }
    queries
}

/// A server with one stream, and its media playlist's path.
struct Stage {
    server: Server,
    publisher: Running,
    path: String,
}

impl Stage {
    fn start() -> Self {
        let server = Server::start(&Options { shards: 2, ..Options::default() });
        let publisher = Running::start(server.rtmp(), "s");
        let path = wait_until_playable(&server.http().to_string(), "/live/s/index.m3u8", PLAYABLE_WITHIN)
            .media_paths
            .remove(0);
        Self { server, publisher, path }
    }
}

#[test]
fn hostile_requests_are_refused_once_and_disturb_nobody() {
    let stage = Stage::start();
    let server = &stage.server;
    let viewers = Viewers::start(server.http(), std::slice::from_ref(&stage.path), VIEWERS);
    // What all cases leave behind the first time is what the server and its allocator need once.
    every_case(&stage);
    let (before_kib, descriptors_before) = (own_memory_kib(server), descriptors(server));
    let log_before = server.log();
    std::thread::scope(|scope| {
        scope.spawn(|| heads_and_bodies_without_end_are_cut(server));
        for _ in 0..5 {
            every_case(&stage);
            unknown_names(server);
        }
    });
    wait_until_left(server, 1, VIEWERS, NOISE);
    assert!(metric(server, "rapidrtmp_blocked_requests") <= VIEWERS as f64);
    assert_eq!(metric(server, "rapidrtmp_active_streams"), 1.0);
    assert_eq!(metric(server, "rapidrtmp_panics_total"), 0.0);
    let (after_kib, descriptors_after) = (own_memory_kib(server), descriptors(server));
    assert!(after_kib < before_kib + 4 * 1024, "{before_kib} KiB, then {after_kib} KiB");
    assert!(descriptors_after <= descriptors_before + 2, "{descriptors_before}, then {descriptors_after}");
    let log = server.log();
    assert_eq!(log, log_before, "what any scanner can cause is counted, and no line of the log");
    assert!(!log.contains(SECRET) && !log.contains(ADMIN_KEY), "{log}");
    let seen = viewers.stop();
    assert!(seen.waited_max < NOISE && seen.vain == 0, "{seen:?}");
    assert!(!stage.publisher.has_ended());
}

fn every_case(stage: &Stage) {
    let server = &stage.server;
    for (head, status) in REFUSED {
        let secret = head.replacen(" HTTP/1.1\r\n", &format!(" HTTP/1.1\r\nX: {SECRET}\r\n"), 1);
        for head in [*head, &secret] {
            assert_eq!(ends_with(server, head.as_bytes()), (vec![*status], true), "{head:?}");
        }
    }
    let mut client = server.client();
    for (target, status) in TARGETS {
        let fields = [("Authorization", &*format!("Bearer {SECRET}"))];
        let response =
            client.request("GET", target, &fields, &[]).unwrap_or_else(|error| panic!("{target}: {error}"));
        assert_eq!(response.status, *status, "{target}: {}", response.text());
        assert!(!response.text().contains(SECRET));
    }
    for (query, status) in queries() {
        let target = format!("{}?token={SECRET}&{query}", stage.path);
        let response = client.get(&target).unwrap_or_else(|error| panic!("{target}: {error}"));
        assert_eq!(response.status, status, "{target}: {}", response.text());
    }
    let long = format!("GET {}?{} HTTP/1.1\r\nHost: a\r\n\r\n", stage.path, "a&".repeat(2048));
    assert_eq!(ends_with(server, long.as_bytes()), (vec![414], true));
    let fields = format!("GET /health HTTP/1.1\r\nHost: a\r\n{}\r\n", "A: b\r\n".repeat(64));
    assert_eq!(ends_with(server, fields.as_bytes()), (vec![431], true));
    over_http2(server);
}

/// Sends a request, and one behind it that must not be answered. The statuses of all responses, and true when
/// the server closes the connection in time.
fn ends_with(server: &Server, head: &[u8]) -> (Vec<u16>, bool) {
    let mut socket = TcpStream::connect(server.http()).expect("connects");
    socket.set_read_timeout(Some(NOISE)).expect("a timeout");
    let sent = socket.write_all(&[head, SMUGGLED.as_bytes()].concat());
    assert!(sent.is_ok(), "{sent:?}");
    let mut text = Vec::new();
    let is_closed = socket.read_to_end(&mut text).is_ok();
    let text = String::from_utf8_lossy(&text);
    let statuses = text
        .match_indices("HTTP/1.1 ")
        .filter_map(|(at, name)| text.get(at + name.len()..at + name.len() + 3)?.parse().ok());
    (statuses.collect(), is_closed)
}

/// Names that no stream has, each another one: the answer is the same, and nothing is kept of them.
fn unknown_names(server: &Server) {
    use std::sync::atomic::{AtomicUsize, Ordering};
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let mut client = server.client();
    for _ in 0..600 {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let (method, target, status) = match number % 6 {
            0 => ("GET", format!("/live/unknown{number}/index.m3u8"), 404),
            1 => ("HEAD", format!("/app{number}/key/0f3k9q2c-2-334/v.m3u8?_HLS_msn=3"), 404),
            2 => ("GET", format!("/live/unknown{number}/0f3k9q2c0000/v-1.m4s"), 404),
            3 => ("GET", format!("/api/v1/streams/unknown{number}"), 404),
            4 => ("POST", format!("/api/v1/streams/unknown{number}/stop"), 401),
            _ => ("GET", format!("/unknown{number}/{number}"), 404),
        };
        let response =
            client.request(method, &target, &[], &[]).unwrap_or_else(|error| panic!("{target}: {error}"));
        assert_eq!(response.status, status, "{target}");
    }
}

/// The same by frames: targets, queries, and fields that mean something else in HTTP/1.1.
fn over_http2(server: &Server) {
    let mut client = http2::Client::plain(server.http());
    for (target, status) in
        TARGETS.iter().filter(|(target, _)| target.starts_with('/') && !target.starts_with("//"))
    {
        assert_eq!(client.get(target).status, *status, "{target}");
    }
    for (fields, status) in [
        (&[("content-length", "0"), ("content-length", "0")][..], 400),
        (&[("authorization", "Bearer x"), ("authorization", "Bearer y")], 400),
    ] {
        let pending = client.send("GET", "/health", fields, &[]);
        match client.head(pending) {
            Ok(response) => assert_eq!(response.status, status, "{fields:?}"),
            Err(error) => assert_eq!(error.reason(), Some(h2::Reason::PROTOCOL_ERROR), "{fields:?}"),
        }
    }
}

fn heads_and_bodies_without_end_are_cut(server: &Server) {
    let began = Instant::now();
    let still: Vec<TcpStream> = [
        "G",
        "PRI * HTTP/2.0\r\n\r\nSM",
        "GET /health HTTP/1.1\r\nHost: a\r\nX: ",
        "\r\n\r\n\r\n",
        "POST /api/v1/publish HTTP/1.1\r\nHost: a\r\nContent-Length: 16384\r\n\r\n",
        "POST /api/v1/publish HTTP/1.1\r\nHost: a\r\nContent-Length: 16384\r\nExpect: 100-continue\r\n\r\n{",
    ]
    .iter()
    .cycle()
    .take(60)
    .map(|begun| {
        let mut socket = TcpStream::connect(server.http()).expect("connects");
        socket.write_all(begun.as_bytes()).expect("sends");
        socket
    })
    .collect();
    for endless in ["A: b\r\n", "Transfer-Encoding: x\r\n", "X", "\r\n", "X: \u{e9}\r\n"] {
        let mut socket = TcpStream::connect(server.http()).expect("connects");
        socket.set_write_timeout(Some(NOISE)).expect("a timeout");
        let head = if endless == "\r\n" { "" } else { "GET /health HTTP/1.1\r\nHost: a\r\n" };
        let piece = endless.repeat(16 * 1024 / endless.len());
        let sent = socket.write_all(head.as_bytes());
        // Long before a hundred megabytes.
        let end = (0..6400).find_map(|_| socket.write_all(piece.as_bytes()).err());
        let end = sent.err().or(end).map(|error| error.kind());
        assert!(
            matches!(end, Some(io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe)),
            "{endless:?}: {end:?}"
        );
    }
    for mut socket in still {
        let left = (HEAD_WITHIN + NOISE).saturating_sub(began.elapsed()).max(Duration::from_millis(1));
        socket.set_read_timeout(Some(left)).expect("a timeout");
        let end = io::copy(&mut socket, &mut io::sink());
        assert!(!end.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock), "{end:?}");
    }
    assert!(began.elapsed() + Duration::from_secs(1) > HEAD_WITHIN, "{:?}", began.elapsed());
}

#[test]
fn a_pile_of_requests_leaves_no_memory_with_an_idle_connection() {
    const IDLE: usize = 300;
    const PER_CONNECTION_KIB_MAX: u64 = 32;
    crate::support::allow_open_files(4096);
    let server = Server::start(&Options::default());
    // Not a call, whose body is taken out of the pile.
    let head = format!("GET /nothing HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(7900));
    let pile = head.repeat(8);
    let open = || {
        let mut client: Client = server.client();
        client.send_raw(pile.as_bytes()).expect("sends");
        for _ in 0..8 {
            assert_eq!(client.receive(NOISE).expect("an answer").status, 404);
        }
        client
    };
    let first: Vec<Client> = (0..20).map(|_| open()).collect();
    let before_kib = own_memory_kib(&server);
    let idle: Vec<Client> = (0..IDLE).map(|_| open()).collect();
    let each_kib = own_memory_kib(&server).saturating_sub(before_kib) / IDLE as u64;
    eprintln!("{each_kib} KiB resident for each of {IDLE} idle connections");
    assert!(each_kib < PER_CONNECTION_KIB_MAX, "{each_kib} KiB");
    drop((first, idle));
}

/// Forty bytes that made the server hash the whole of a file again.
#[test]
fn a_pile_of_requests_for_a_large_file_keeps_no_shard_from_its_sockets() {
    const PILE: usize = 200;
    let config = "[pages]\nhls_js_file = \"DIR/large\"\n";
    let server = Server::start(&Options {
        config: Some(config.into()),
        files: vec![("large".into(), "0123456789abcde\n".repeat(768 * 1024))],
        ..Options::default()
    });
    let mut etag = None;
    let mut piled = server.client();
    let mut other = server.client();
    // The client takes them for answers to HEAD.
    piled.send("HEAD", "/assets/hls.js", &[], &[]).expect("sends");
    piled.send_raw("HEAD /assets/hls.js HTTP/1.1\r\nHost: a\r\n\r\n".repeat(PILE).as_bytes()).expect("sends");
    let asked = Instant::now();
    assert_eq!(other.get("/health").expect("an answer").status, 200);
    assert!(asked.elapsed() < NOISE, "{:?}", asked.elapsed());
    for _ in 0..=PILE {
        let response = piled.receive(NOISE).expect("an answer");
        assert_eq!((response.status, response.header("content-length")), (200, Some("12582912")));
        let told = response.header("etag").expect("an ETag").to_owned();
        assert_eq!(*etag.get_or_insert_with(|| told.clone()), told);
    }
}
