//! Connections whose every buffer is full.

use crate::rtmp_publisher::{RtmpPublisher, Running};
use crate::support::http2::{self, Crude, DATA, HEADERS, SETTINGS, frame};
use crate::support::publisher::wait_until_playable;
use crate::support::server::Server;
use crate::support::tls::{Identity, TlsSocket, client_config, connect};
use crate::support::{allow_open_files, poll_until};
use crate::{KIB, NOISE, PLAYABLE_WITHIN, is_pressed, machine, memory, metric, start};
use rustls::version::TLS13;
use std::io::Write;
use std::net::TcpStream;

/// A connection opens as many messages at once.
const PARTIAL_MESSAGES: u8 = 8;
const COMMAND_AMF0: u8 = 20;
const DATA_AMF0: u8 = 18;

/// The first bytes of a message of each of eight chunk streams, behind a chunk size that holds them.
fn half_messages(type_id: u8, declared: u32, sent: usize) -> Vec<u8> {
    let chunk_size = [&[2, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0, 0][..], &(sent as u32).to_be_bytes()].concat();
    let half = |chunk_stream: u8| {
        let length = &declared.to_be_bytes()[1..];
        let header = [&[chunk_stream, 0, 0, 0][..], length, &[type_id, 0, 0, 0, 0]].concat();
        [header, vec![0; sent]].concat()
    };
    [chunk_size, (10..10 + PARTIAL_MESSAGES).flat_map(half).collect()].concat()
}

/// Waits until the server has read all that was sent: nothing waits in its sockets' queues.
fn wait_until_read(server: &Server) {
    let own = |port: u16| format!(":{port:04X} ");
    let (rtmp, http) = (own(server.rtmp().port()), own(server.http().port()));
    let read = poll_until(NOISE * 4, || {
        let table = std::fs::read_to_string("/proc/net/tcp").expect("the kernel's sockets");
        let waits = |line: &str| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let local = words.get(1).map(|local| format!("{} ", &local[8..]));
            let is_ours = local.is_some_and(|local| local == rtmp || local == http);
            is_ours && words.get(4).is_some_and(|queues| !queues.ends_with(":00000000"))
        };
        (!table.lines().skip(1).any(waits)).then_some(())
    });
    assert!(read.is_some(), "the server reads what is sent");
}

#[test]
fn those_that_never_publish_hold_no_more_than_half_of_their_commands() {
    const COUNT: u64 = 200;
    const SENT: usize = 16_000;
    let _machine = machine();
    let (server, bounds) = start("", Vec::new());
    let opening = [&[3][..], &[7; 2 * 1536], &half_messages(COMMAND_AMF0, 16 * 1024, SENT)].concat();
    let before = memory(&server, "VmRSS");
    let held: Vec<TcpStream> = (0..COUNT)
        .map(|_| {
            let mut socket = TcpStream::connect(server.rtmp()).expect("connects");
            socket.write_all(&opening).expect("the server reads it");
            socket
        })
        .collect();
    wait_until_read(&server);
    let sent = u64::from(PARTIAL_MESSAGES) * SENT as u64;
    is_pressed(&server, "connections that do not publish", COUNT, before, bounds.arriving, sent);
    drop(held);
}

#[test]
fn publishers_hold_no_more_than_half_of_their_data_messages_beside_their_streams() {
    const COUNT: u64 = 20;
    const SENT: usize = 64_000;
    let _machine = machine();
    let (server, bounds) = start("", Vec::new());
    let before = memory(&server, "VmRSS");
    let held: Vec<RtmpPublisher> = (0..COUNT)
        .map(|number| {
            let publisher = RtmpPublisher::connect(server.rtmp(), &format!("half{number}"), None);
            let mut publisher = publisher.expect("anyone may publish");
            publisher.send_raw(&half_messages(DATA_AMF0, 64 * 1024, SENT)).expect("the server reads it");
            publisher
        })
        .collect();
    wait_until_read(&server);
    let sent = u64::from(PARTIAL_MESSAGES) * SENT as u64;
    is_pressed(&server, "publishers", COUNT, before, bounds.publishing, sent);
    drop(held);
}

/// A stream, and the path of a reload that waits for a segment to come.
fn stage(server: &Server) -> (Running, String) {
    let publisher = Running::start(server.rtmp(), "stage");
    let http = server.http().to_string();
    let playable = wait_until_playable(&http, "/live/stage/index.m3u8", PLAYABLE_WITHIN);
    let playlist = server.client().get(&playable.media_paths[0]).expect("a playlist").text();
    let held = crate::support::playlist::parse_media(&playlist).expect("a valid one");
    let next = held.last_complete().map_or(0, |number| number + 2);
    (publisher, format!("{}?_HLS_msn={next}", playable.media_paths[0]))
}

#[test]
fn viewers_hold_no_more_than_half_a_head_or_what_they_send_while_they_wait() {
    const COUNT: u64 = 300;
    let _machine = machine();
    allow_open_files(4096);
    let identity = Identity::new(&["localhost"]);
    let https = "[https]\naddr = \"127.0.0.1:0\"\ncert_file = \"DIR/own.pem\"\nkey_file = \"DIR/own.key\"\n";
    let files = vec![("own.pem".into(), identity.chain.clone()), ("own.key".into(), identity.key.clone())];
    let (server, bounds) = start(https, files);
    let tls = client_config(&[&identity], &["http/1.1"], &[&TLS13]);
    let (publisher, reload) = stage(&server);
    let before = memory(&server, "VmRSS");
    let half_a_head = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}", "x".repeat(8000));
    // Requests behind one that waits: from 16 KiB on no more of them are read.
    let waiting = format!(
        "GET {reload} HTTP/1.1\r\nHost: a\r\n\r\n{}",
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(500)
    );
    let mut plain: Vec<TcpStream> = Vec::new();
    let mut over_tls: Vec<TlsSocket> = Vec::new();
    for number in 0..COUNT {
        let text = if number % 4 < 2 { &half_a_head } else { &waiting };
        if number % 2 == 0 {
            let mut socket = TcpStream::connect(server.http()).expect("connects");
            socket.write_all(text.as_bytes()).expect("the server, or its socket, takes it");
            plain.push(socket);
        } else {
            let mut socket = connect(server.https(), "localhost", &tls).expect("a handshake");
            socket.write_all(text.as_bytes()).and_then(|()| socket.flush()).expect("it takes it");
            // And half of the largest record there is.
            socket.sock.write_all(&[&[23, 3, 3, 0x41, 0][..], &[0; 16_000]].concat()).expect("it takes it");
            over_tls.push(socket);
        }
    }
    let within =
        poll_until(NOISE, || (metric(&server, "http_connections_total", "") > COUNT as f64).then_some(()));
    assert!(within.is_some());
    is_pressed(&server, "connections of HTTP/1.1", COUNT, before, bounds.http, 8000);
    drop((plain, over_tls, publisher));
}

/// A request whose fields are as large as they may be, none of them in a table.
fn fat(stream: u32, flags: u8, method: u8, path: &str) -> Vec<u8> {
    let number = |prefix: u8, value: usize| -> Vec<u8> {
        let most = usize::from(prefix);
        if value < most {
            return vec![value as u8];
        }
        let (mut bytes, mut left) = (vec![prefix], value - most);
        while left >= 128 {
            bytes.push(left as u8 | 0x80);
            left >>= 7;
        }
        bytes.push(left as u8);
        bytes
    };
    let mut block = vec![method, 0x86, 0x04];
    block.extend(number(127, path.len()));
    block.extend_from_slice(path.as_bytes());
    block.extend_from_slice(b"\x01\x01a");
    for name in ["x", "y"] {
        block.extend([0, 1]);
        block.extend_from_slice(name.as_bytes());
        block.extend(number(127, 3900));
        block.extend(vec![b'x'; 3900]);
    }
    frame(HEADERS, flags, stream, &block)
}

#[test]
fn connections_of_http2_hold_no_more_than_all_their_requests() {
    const COUNT: u64 = 8;
    const REQUESTS: u32 = 250;
    /// As much of a body as fits the window of a connection.
    const BODY: usize = 15_000;
    let _machine = machine();
    let (server, bounds) = start("", Vec::new());
    let (publisher, reload) = stage(&server);
    let before = memory(&server, "VmRSS");
    let held: Vec<Crude> = (0..COUNT)
        .map(|_| {
            let mut crude = Crude::connect(server.http());
            for request in 0..REQUESTS {
                let stream = 2 * request + 1;
                // Most wait for a segment, some for the rest of their bodies.
                if request % 8 != 0 {
                    crude.write(&fat(stream, 5, 0x82, &reload)).expect("the server reads it");
                    continue;
                }
                crude.write(&fat(stream, 4, 0x83, "/api/v1/publish")).expect("the server reads it");
                if request < 32 {
                    crude.write(&frame(DATA, 0, stream, &[b' '; BODY])).expect("the server reads it");
                }
            }
            crude
        })
        .collect();
    wait_until_read(&server);
    is_pressed(&server, "connections of HTTP/2", COUNT, before, bounds.http2, 4 * BODY as u64);
    drop((held, publisher));
}

/// Each asks for all figures of the server, again and again, and takes none of them.
#[test]
fn answers_that_nobody_reads_are_bounded_for_all_together() {
    const REQUESTS: u32 = 250;
    let _machine = machine();
    let (server, bounds) = start("", Vec::new());
    let text_bytes = server.client().get("/metrics").expect("an answer").body.len() as u64;
    let answers_bytes_max = rapidrtmp::limits::CALL_ANSWERS_BYTES_MAX as u64;
    // As many as would hold twice the bound.
    let count = 2 * answers_bytes_max / text_bytes / u64::from(REQUESTS) + 1;
    let before = memory(&server, "VmRSS");
    let held: Vec<Crude> = (0..count)
        .map(|_| {
            let mut crude = Crude::connect(server.http());
            // SETTINGS_INITIAL_WINDOW_SIZE of 0.
            crude.write(&frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0])).expect("the server reads it");
            for request in 0..REQUESTS {
                crude.write(&http2::get(2 * request + 1, "/metrics")).expect("the server reads it");
            }
            crude
        })
        .collect();
    let mut client = server.client();
    let is_full = || (client.get("/metrics").expect("an answer").status == 503).then_some(());
    assert!(poll_until(NOISE * 4, is_full).is_some(), "{count} connections");
    assert_eq!(client.get("/health").expect("an answer").status, 200);
    wait_until_read(&server);
    let each = bounds.http2 + answers_bytes_max / count;
    let sent = answers_bytes_max / count / 2;
    is_pressed(&server, "connections that read no answer", count, before, each, sent);
    let held_kib = memory(&server, "VmRSS").saturating_sub(before) / KIB;
    // Beside the answers they hold little.
    assert!(held_kib < answers_bytes_max * 2 / KIB, "{held_kib} KiB");
    drop(held);
    let is_free = || (client.get("/metrics").expect("an answer").status == 200).then_some(());
    assert!(poll_until(NOISE, is_free).is_some());
}
