//! What must hold for any bytes of a peer that speaks HTTP/2, or that only seems to: for what we read of it
//! ourselves, and for a connection of the server as it is.

use rapidrtmp::auth::{AdminKey, Backoff, Tokens};
use rapidrtmp::config::Config;
use rapidrtmp::control::ControlThread;
use rapidrtmp::http::{Method, Request, Version, is_http2, urgency_of};
use rapidrtmp::limits::{HTTP_BODY_BYTES_MAX, HTTP_TARGET_BYTES_MAX};
use rapidrtmp::metrics::Registry;
use rapidrtmp::pages::PlayerScript;
use rapidrtmp::secret::Secret;
use rapidrtmp::shard::admission::Connections;
use rapidrtmp::shard::serve::{Running, ServeOptions, start};
use rapidrtmp::shard::service::Setup;
use rapidrtmp::shard::{Plan, bind_all};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// What a client says first (RFC 9113, section 3.4), and SETTINGS that set nothing.
pub const HELLO: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
/// For a connection whose peer has ended its side; an unoptimized server on a shared machine.
const ENDS_WITHIN: Duration = Duration::from_secs(20);
const FRAME_HEADER_BYTES: usize = 9;
const SETTINGS: u8 = 4;
const PUSH_PROMISE: u8 = 5;
const CONTINUATION: u8 = 9;

/// The first byte says how the rest is sent: with the hello before it or not, and where it is cut in two.
pub fn run(bytes: &[u8]) {
    let Some((&how, rest)) = bytes.split_first() else { return };
    preface(rest);
    fields(rest);
    connection(how & 1 == 1, rest, usize::from(how >> 1) * rest.len() / 128);
}

/// More bytes never change what fewer have told.
fn preface(bytes: &[u8]) {
    let whole = is_http2(bytes);
    for cut in 0..bytes.len().min(HELLO.len()) {
        let early = is_http2(&bytes[..cut]);
        assert!(early.is_none() || early == whole, "decided otherwise at {cut}");
    }
}

/// Lines of `name: value` after one with the target, as h2 would hand them over.
fn fields(bytes: &[u8]) {
    let mut lines = bytes.split(|&byte| byte == b'\n');
    let target = lines.next().and_then(|target| std::str::from_utf8(target).ok()).unwrap_or_default();
    let fields = lines.filter_map(|line| {
        let colon = line.iter().position(|&byte| byte == b':')?;
        Some((std::str::from_utf8(&line[..colon]).ok()?, &line[colon + 1..]))
    });
    for (_, value) in fields.clone() {
        assert!(urgency_of(value).is_none_or(|urgency| urgency <= 7));
    }
    for method in [Method::Get, Method::Head, Method::Post, Method::Options] {
        let Ok(request) = Request::from_fields(method, Version::Http2, target, fields.clone()) else {
            continue;
        };
        assert!(request.path.starts_with('/') || request.path == "*" && method == Method::Options);
        assert!(request.path.len() + request.query.len() <= HTTP_TARGET_BYTES_MAX);
        assert!(request.content_length <= HTTP_BODY_BYTES_MAX);
        // RFC 9113, 8.2.2: a Connection field has no say.
        assert!(request.keep_alive);
    }
}

/// The server must answer in frames, or in HTTP/1.1 where nobody said hello; and end when its peer does.
fn connection(says_hello: bool, bytes: &[u8], cut: usize) {
    let mut socket = TcpStream::connect(server()).expect("the server accepts a connection");
    socket.set_nodelay(true).expect("sends at once");
    socket.set_read_timeout(Some(ENDS_WITHIN)).expect("a timeout");
    socket.set_write_timeout(Some(ENDS_WITHIN)).expect("a timeout");
    let (before, behind) = bytes.split_at(cut);
    let hello: &[u8] = if says_hello { HELLO } else { &[] };
    let mut received = Vec::new();
    let ended = socket
        .write_all(hello)
        .and_then(|()| socket.write_all(before))
        .and_then(|()| socket.write_all(behind))
        .and_then(|()| socket.shutdown(Shutdown::Write))
        .and_then(|()| socket.read_to_end(&mut received));
    let is_whole = match ended {
        Ok(_) => true,
        // It has ended before, with what we sent unread.
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::NotConnected
            ) =>
        {
            false
        }
        Err(error) => panic!("the connection does not end: {error}"),
    };
    assert!(!HAS_PANICKED.load(Ordering::Relaxed), "the server has panicked");
    if says_hello {
        frames(&received, is_whole);
    } else if is_http2(bytes) == Some(false) {
        assert!(received.is_empty() || received.starts_with(b"HTTP/1.1 "), "{received:?}");
    }
}

/// SETTINGS first, no frame of a kind that a server does not send, and none that is cut off.
fn frames(mut bytes: &[u8], is_whole: bool) {
    let mut is_first = true;
    while let Some((header, rest)) = bytes.split_at_checked(FRAME_HEADER_BYTES) {
        let kind = header[3];
        assert!(kind == SETTINGS || !is_first, "{kind} comes first");
        assert!(kind <= CONTINUATION && kind != PUSH_PROMISE, "a frame of kind {kind}");
        let payload_bytes = u32::from_be_bytes([0, header[0], header[1], header[2]]) as usize;
        let Some(behind) = rest.get(payload_bytes..) else { break };
        (bytes, is_first) = (behind, false);
    }
    assert!(bytes.is_empty() || !is_whole, "a frame is cut off");
}

/// A panic on a shard ends one connection there, which a peer cannot tell from any other end.
static HAS_PANICKED: AtomicBool = AtomicBool::new(false);

/// One server for all inputs, as long as the process lives.
fn server() -> SocketAddr {
    static SERVER: OnceLock<(SocketAddr, Running)> = OnceLock::new();
    let (address, running) = SERVER.get_or_init(|| {
        let earlier = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if std::thread::current().name().is_some_and(|name| name.starts_with("shard")) {
                HAS_PANICKED.store(true, Ordering::Relaxed);
            }
            earlier(panic);
        }));
        start_server()
    });
    assert!(!running.has_ended(), "the shard has ended");
    *address
}

fn start_server() -> (SocketAddr, Running) {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let [rtmp, http] = [(); 2].map(|()| bind_all(any, 1).expect("a free port"));
    let address = http[0].local_addr().expect("it is bound");
    let control = ControlThread::start(None).expect("a thread");
    let (registry, metrics) = Registry::new(1);
    let setup = Setup {
        tokens: Tokens::new(&Secret::new("a secret for tests")),
        admin_key: AdminKey::new(&Secret::new("an admin key for tests")),
        control: control.handle(),
        registry,
        player: PlayerScript::remote("https://player.example/hls.js", "").expect("a player"),
        page_policy: "default-src 'self'",
        player_file: None,
        rtmp_port: 0,
        public_url: "rtmp://localhost".to_owned(),
        draining: AtomicBool::new(false),
        log_lines_dropped: Arc::default(),
        tls: None,
        connections: Connections::default(),
        backoff: Backoff::default(),
        lent_bytes: AtomicI64::default(),
        answer_bytes: Arc::default(),
        streams_count: AtomicUsize::new(0),
        faults: None,
    };
    let running = start(ServeOptions {
        plan: Plan { shards_count: 1, processors: Vec::new() },
        config: Arc::new(Config::default()),
        setup: Arc::new(setup),
        metrics,
        rtmp,
        http,
        https: Vec::new(),
        records: Vec::new(),
    });
    (address, running.expect("the shard starts"))
}
