//! Peers that do not shake hands, break off, or speak something else; and what an idle one costs.

use crate::support::poll_until;
use crate::support::server::Server;
use crate::support::tls::connect;
use crate::{NOISE, Stage, client};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// `TLS_HANDSHAKE_US_MAX`.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
const IDLE_COUNT: usize = 1000;
/// What an idle connection over TLS may cost, in and out of the heap; the kernel's socket is beside it.
const IDLE_KIB_MAX: f64 = 10.0;

/// Resident memory of the server.
pub fn resident_kib(server: &Server) -> u64 {
    let status =
        std::fs::read_to_string(format!("/proc/{}/status", server.process_id())).expect("its status");
    let line = status.lines().find(|line| line.starts_with("VmRSS")).expect("its memory");
    line.split_whitespace().nth(1).and_then(|value| value.parse().ok()).expect("a number")
}

fn is_ended(socket: &mut TcpStream, within: Duration) -> bool {
    socket.set_read_timeout(Some(within)).unwrap();
    match socket.read_to_end(&mut Vec::new()) {
        Ok(_) => true,
        Err(error) => !matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut),
    }
}

#[test]
fn whoever_does_not_shake_hands_is_cut_off() {
    let stage = Stage::start(2);
    let hello = client_hello(&stage);
    let mut silent = TcpStream::connect(stage.server.https()).unwrap();
    let mut half = TcpStream::connect(stage.server.https()).unwrap();
    half.write_all(&hello[..hello.len() / 2]).unwrap();
    let began = Instant::now();
    for garbage in
        [&b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..], &[0; 64], &[0x16, 3, 1, 0xff, 0xff, 1, 0xff, 0xff, 0xff]]
    {
        let mut socket = TcpStream::connect(stage.server.https()).unwrap();
        socket.write_all(garbage).unwrap();
        assert!(is_ended(&mut socket, NOISE), "{garbage:?}");
    }
    // The hello, then what is none.
    let mut socket = TcpStream::connect(stage.server.https()).unwrap();
    socket.write_all(&hello).unwrap();
    socket.write_all(&[0x17, 3, 3, 0, 40]).unwrap();
    socket.write_all(&[9; 40]).unwrap();
    assert!(is_ended(&mut socket, NOISE));
    // A byte of the hello at a time shakes hands all the same.
    let mut dripping = TcpStream::connect(stage.server.https()).unwrap();
    dripping.set_nodelay(true).unwrap();
    hello.iter().for_each(|byte| dripping.write_all(&[*byte]).unwrap());
    let mut answer = [0; 5];
    dripping.set_read_timeout(Some(NOISE)).unwrap();
    dripping.read_exact(&mut answer).unwrap();
    assert_eq!(answer[0], 0x16, "a handshake record");
    for socket in [&mut silent, &mut half] {
        assert!(is_ended(socket, HANDSHAKE_MAX + NOISE));
    }
    assert!(began.elapsed() > HANDSHAKE_MAX - NOISE);
    assert!(stage.server.metric("rapidrtmp_tls_failures_total", "").unwrap() >= 6.0);
    assert_eq!(stage.client().get("/health").unwrap().status, 200);
}

#[test]
fn hellos_and_records_of_any_kind_panic_nothing() {
    let stage = Stage::start(1);
    let hello = client_hello(&stage);
    let mut state = 0x5eed_u64;
    let mut below = |end: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % end
    };
    for round in 0..600 {
        let mut bytes = hello.clone();
        for _ in 0..1 + below(4) {
            let at = below(bytes.len());
            bytes[at] = below(256) as u8;
        }
        if round % 3 == 0 {
            bytes.truncate(1 + below(hello.len()));
        }
        let mut socket = TcpStream::connect(stage.server.https()).unwrap();
        // The server may have had enough of it.
        let _ = socket.write_all(&bytes);
        // A record that is none, after the handshake.
        if round % 20 == 0 {
            let mut socket = connect(stage.server.https(), "localhost", &stage.config()).unwrap();
            let kind = 0x14 + below(6) as u8;
            let _ = socket.sock.write_all(&[&[kind, 3, 3, 0, 30][..], &[7; 30]].concat());
            assert!(is_ended(&mut socket.sock, NOISE));
        }
    }
    assert_eq!(stage.client().get("/health").unwrap().status, 200);
    assert_eq!(stage.server.metric("rapidrtmp_panics_total", ""), Some(0.0));
}

/// The first flight of a client.
fn client_hello(stage: &Stage) -> Vec<u8> {
    let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
    let mut connection = rustls::ClientConnection::new(stage.config(), name).unwrap();
    let mut hello = Vec::new();
    connection.write_tls(&mut hello).unwrap();
    hello
}

#[test]
fn the_end_is_told_in_order() {
    let stage = Stage::start(1);
    let mut socket = connect(stage.server.https(), "localhost", &stage.config()).unwrap();
    socket.write_all(b"GET /health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    // Without close_notify this is an error.
    socket.read_to_string(&mut text).unwrap();
    assert!(text.starts_with("HTTP/1.1 200 "), "{text}");
    // A client that ends its side with its request is answered.
    let mut socket = connect(stage.server.https(), "localhost", &stage.config()).unwrap();
    socket.write_all(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    socket.conn.send_close_notify();
    socket.flush().unwrap();
    let mut text = String::new();
    socket.read_to_string(&mut text).unwrap();
    assert!(text.starts_with("HTTP/1.1 200 "), "{text}");
}

#[test]
fn an_idle_connection_keeps_the_session_and_no_buffers() {
    crate::support::allow_open_files(4096);
    let stage = Stage::start(1);
    let config = stage.config();
    // What grows once.
    let mut first: Vec<_> = (0..50).map(|_| client(&stage.server, &config)).collect();
    first.iter_mut().for_each(|client| assert_eq!(client.get("/health").unwrap().status, 200));
    let before = resident_kib(&stage.server);
    let mut idle: Vec<_> = (0..IDLE_COUNT).map(|_| client(&stage.server, &config)).collect();
    idle.iter_mut().for_each(|client| assert_eq!(client.get(&stage.paths[0]).unwrap().status, 200));
    let each = (resident_kib(&stage.server) - before) as f64 / IDLE_COUNT as f64;
    eprintln!("{each:.1} KiB resident for each of {IDLE_COUNT} idle connections");
    assert!(each < IDLE_KIB_MAX, "{each:.1} KiB");
    drop((first, idle));
    let left = || {
        stage.server.metric("rapidrtmp_http_disconnects_total", "").filter(|&count| count > IDLE_COUNT as f64)
    };
    assert!(poll_until(NOISE * 2, left).is_some());
}
