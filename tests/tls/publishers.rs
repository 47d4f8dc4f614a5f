//! Publishers over TLS on the RTMP port, beside those without and those who speak something else.

use crate::rtmp_publisher::{RtmpPublisher, Running};
use crate::support::http::Client;
use crate::support::poll_until;
use crate::support::publisher::wait_until_playable;
use crate::support::server::{Options, Server};
use crate::support::tls::{Identity, TlsSocket, client_config};
use crate::{BOTH, NOISE, PLAYABLE_WITHIN, options};
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A server with a certificate and no HTTPS, and how its publishers shake hands.
fn start(shards: usize, further: &str) -> (Server, Arc<ClientConfig>) {
    let identity = Identity::new(&["localhost"]);
    let https = options(shards, &identity, further);
    let server = Server::start(&Options { arguments: Vec::new(), ..https });
    (server, client_config(&[&identity], &[], BOTH))
}

/// The first flight of a client, its first record, in two pieces; then the rest of the handshake.
fn connect_split(address: SocketAddr, config: &Arc<ClientConfig>, split: usize) -> TlsSocket {
    let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
    let mut connection = ClientConnection::new(Arc::clone(config), name).unwrap();
    let mut hello = Vec::new();
    connection.write_tls(&mut hello).unwrap();
    let (before, after) = hello.split_at(split.min(hello.len() - 1));
    let mut socket = TcpStream::connect(address).unwrap();
    socket.set_nodelay(true).unwrap();
    socket.set_read_timeout(Some(PLAYABLE_WITHIN)).unwrap();
    socket.write_all(before).unwrap();
    // Some segments are read together all the same; that each of them is right is the unit test's.
    std::thread::yield_now();
    socket.write_all(after).unwrap();
    let mut tls = StreamOwned::new(connection, socket);
    while tls.conn.is_handshaking() {
        tls.conn.complete_io(&mut tls.sock).unwrap();
    }
    tls
}

fn hello_bytes(config: &Arc<ClientConfig>) -> usize {
    let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
    let mut connection = ClientConnection::new(Arc::clone(config), name).unwrap();
    connection.write_tls(&mut Vec::new()).unwrap()
}

/// What the server says to bytes until it closes.
fn answer_to(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut socket = TcpStream::connect(address).unwrap();
    socket.write_all(bytes).unwrap();
    socket.set_read_timeout(Some(NOISE)).unwrap();
    let mut answer = Vec::new();
    // A reset is an end as well.
    let _ = socket.read_to_end(&mut answer);
    answer
}

#[test]
fn one_port_takes_rtmp_and_rtmps_and_a_publisher_goes_home_with_its_tls() {
    for shards in [1, 2] {
        let (server, config) = start(shards, "");
        assert!(server.stdout().contains("rtmps://localhost:"), "{}", server.stdout());
        // With two shards some of these are accepted away from home.
        let keys: Vec<String> = (0..8).map(|number| format!("secret{number}")).collect();
        let over_tls: Vec<Running> = keys
            .iter()
            .map(|key| {
                let publisher = RtmpPublisher::connect_tls(server.rtmp(), key, &config);
                Running::go_on(publisher.unwrap_or_else(|failure| panic!("{failure:?}\n{}", server.log())))
            })
            .collect();
        let plain = Running::start(server.rtmp(), "plain");
        for key in keys.iter().map(String::as_str).chain(["plain"]) {
            let path = format!("/live/{key}/index.m3u8");
            let playable = wait_until_playable(&server.http().to_string(), &path, PLAYABLE_WITHIN);
            assert_eq!(playable.media_paths.len(), 2);
        }
        assert!(!over_tls.iter().chain([&plain]).any(Running::has_ended));
        assert_eq!(server.metric("rapidrtmp_rtmps_connections_total", ""), Some(8.0));
        assert_eq!(server.metric("rapidrtmp_rtmp_connections_total", ""), Some(9.0));
        assert_eq!(server.log().matches("tls=true").count(), 8, "{}", server.log());
        for running in over_tls {
            running.stop().expect("it published until it was stopped").unpublish().unwrap();
        }
        let left = || (server.metric("rapidrtmp_active_publishers", "") == Some(1.0)).then_some(());
        assert!(poll_until(NOISE, left).is_some(), "{}", server.log());
    }
}

#[test]
fn a_hello_in_two_pieces_shakes_hands_wherever_it_is_cut() {
    let (server, config) = start(2, "");
    let length = hello_bytes(&config);
    assert!(length > 100, "{length}");
    for split in 1..length {
        let tls = connect_split(server.rtmp(), &config, split);
        let publisher = RtmpPublisher::over_tls(tls, &format!("cut{split}"));
        let publisher = publisher.unwrap_or_else(|failure| panic!("{split}: {failure:?}\n{}", server.log()));
        publisher.unpublish().unwrap();
        // There are no more than a hundred streams at once.
        let left = || (server.metric("rapidrtmp_active_streams", "") < Some(50.0)).then_some(());
        assert!(poll_until(NOISE, left).is_some(), "{split}");
    }
    assert_eq!(server.metric("rapidrtmp_tls_handshakes_total", ""), Some(length as f64 - 1.0));
}

#[test]
fn what_is_no_rtmp_is_closed_with_a_count_and_a_line() {
    let (server, _) = start(1, "");
    let cases: [(&[u8], &str); 5] = [
        (&[6; 1537], "the first byte is 0x06, RTMPE, in whose place there is rtmps://"),
        (&[8; 1537], "the first byte is 0x08, RTMPE"),
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "the first byte is 0x47, text, such as HTTP"),
        (&[2; 10], "the first byte is 0x02, an unknown version of RTMP"),
        (&[0xff; 10], "the first byte is 0xff, of no known protocol"),
    ];
    for (number, (bytes, line)) in cases.into_iter().enumerate() {
        assert!(answer_to(server.rtmp(), bytes).is_empty(), "{line}");
        let told = poll_until(NOISE, || server.log().contains(line).then_some(()));
        assert!(told.is_some(), "{line}: {}", server.log());
        let counted = server.metric("rapidrtmp_rtmp_errors_total", "reason=\"other_protocol\"");
        assert_eq!(counted, Some(number as f64 + 1.0), "{line}");
    }
    assert_eq!(server.log().matches("ended before publish").count(), cases.len(), "{}", server.log());
    // A record of TLS that is none: it is told so by an alert.
    assert_eq!(answer_to(server.rtmp(), &[0x16, 3, 1, 0, 4, 1, 0, 0, 0]).first(), Some(&0x15));
    let counted = || {
        let errors = server.metric("rapidrtmp_rtmp_errors_total", "reason=\"protocol\"");
        (errors == Some(1.0)).then_some(())
    };
    assert!(poll_until(NOISE, counted).is_some(), "{}", server.log());
    assert_eq!(server.metric("rapidrtmp_tls_failures_total", ""), Some(1.0));
}

#[test]
fn tls_without_a_certificate_is_told_why_it_is_closed() {
    let server = Server::start(&Options::default());
    assert!(!server.stdout().contains("rtmps://"), "{}", server.stdout());
    assert!(answer_to(server.rtmp(), &[0x16, 3, 1, 0, 4, 9, 9, 9, 9]).is_empty());
    let told = poll_until(NOISE, || {
        server.log().contains("TLS, but there is no certificate: set https.cert_file").then_some(())
    });
    assert!(told.is_some(), "{}", server.log());
    let counted = server.metric("rapidrtmp_rtmp_errors_total", "reason=\"other_protocol\"");
    assert_eq!(counted, Some(1.0));
}

/// The deadline is one for TLS and RTMP together, and a byte now and then moves it nowhere.
#[test]
fn a_handshake_that_drips_ends_with_the_deadline_of_rtmp() {
    for shards in [1, 2] {
        let (server, config) = start(shards, "[ingest]\nhandshake_timeout_s = 2\n");
        let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
        let mut connection = ClientConnection::new(Arc::clone(&config), name).unwrap();
        let mut hello = Vec::new();
        connection.write_tls(&mut hello).unwrap();
        let began = Instant::now();
        let mut dripping = TcpStream::connect(server.rtmp()).unwrap();
        dripping.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        // TLS is done at once, RTMP never begins.
        let mut silent = connect_split(server.rtmp(), &config, 1);
        let mut bytes = hello.iter();
        let ended = poll_until(Duration::from_secs(2) + NOISE, || {
            let written = bytes.next().is_none_or(|byte| dripping.write_all(&[*byte]).is_ok());
            let waits = std::io::ErrorKind::WouldBlock;
            let is_open = dripping.read(&mut [0; 16]).is_err_and(|error| error.kind() == waits);
            (!written || !is_open).then_some(())
        });
        assert!(ended.is_some(), "it drips for {:?}", began.elapsed());
        assert!(began.elapsed() > Duration::from_millis(1900), "after {:?}", began.elapsed());
        silent.sock.set_read_timeout(Some(NOISE)).unwrap();
        // With close_notify, so that this is no error.
        assert_eq!(silent.read(&mut [0; 16]).unwrap(), 0);
        for line in ["timed out waiting for the TLS handshake", "timed out waiting for the handshake"] {
            let told = poll_until(NOISE, || server.log().contains(line).then_some(()));
            assert!(told.is_some(), "{line}: {}", server.log());
        }
        let counted = server.metric("rapidrtmp_rtmp_errors_total", "reason=\"timeout\"");
        assert_eq!(counted, Some(2.0), "{}", server.log());
    }
}

#[test]
fn an_address_has_as_many_connections_with_tls_as_without() {
    let (server, config) = start(1, "[rtmp]\nconnections_per_address_max = 3\n");
    let mut held: Vec<TlsSocket> = (0..3).map(|_| connect_split(server.rtmp(), &config, 5)).collect();
    let _fourth = TcpStream::connect(server.rtmp()).unwrap();
    // The first one has made room.
    held[0].sock.set_read_timeout(Some(NOISE)).unwrap();
    assert_eq!(held[0].read(&mut [0; 16]).unwrap(), 0);
    let made_room = || server.metric("rapidrtmp_refused_total", "reason=\"made_room\"");
    assert_eq!(made_room(), Some(1.0));
    let publisher = RtmpPublisher::connect_tls(server.rtmp(), "again", &config);
    assert!(publisher.is_ok(), "{}", server.log());
    assert_eq!(made_room(), Some(2.0));
}

/// What is behind a goodbye on the same connection, and who is stopped, over TLS as without.
#[test]
fn a_publisher_that_is_stopped_is_told_over_tls() {
    for shards in [1, 2] {
        let (server, config) = start(shards, "");
        let publisher = RtmpPublisher::connect_tls(server.rtmp(), "told", &config).unwrap();
        let running = Running::go_on(publisher);
        let path = "/live/told/index.m3u8";
        wait_until_playable(&server.http().to_string(), path, PLAYABLE_WITHIN);
        let bearer = format!("Bearer {}", crate::support::server::ADMIN_KEY);
        let mut client = Client::connect(server.http()).unwrap();
        let fields = [("Authorization", bearer.as_str())];
        let stopped = client.request("POST", "/api/v1/streams/told/stop", &fields, b"").unwrap();
        assert_eq!(stopped.status, 200);
        let ended = poll_until(NOISE, || running.has_ended().then_some(()));
        assert!(ended.is_some(), "{}", server.log());
        match running.stop() {
            Err(crate::rtmp_publisher::Failure::Stopped(_)) => {}
            other => panic!("it is told: {:?}", other.err()),
        }
    }
}
