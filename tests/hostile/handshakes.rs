//! A thousand connections that never finish a handshake, from one host or from many, and encoders behind them.

use crate::rtmp_publisher::{RtmpPublisher, Running};
use crate::support::server::{Options, Server};
use crate::support::tls::{Identity, client_config, connect_over};
use crate::support::{allow_open_files, poll_until};
use crate::{NOISE, PLAYABLE_WITHIN, metric};
use rustls::ClientConfig;
use rustls::version::TLS13;
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

const SILENT: usize = 1000;
/// In which an encoder is to publish; `tests/run --long` takes it as it is.
const WITHIN: Duration = Duration::from_secs(1);
/// Deadlines do not help, and neither do certificates: the port takes RTMP and RTMPS.
const CONFIG: &str = "[ingest]\nhandshake_timeout_s = 60\npublish_timeout_s = 120\n[https]\n\
    cert_file = \"DIR/own.pem\"\nkey_file = \"DIR/own.key\"\n";

/// From one of the loopback's addresses.
fn connect_from(from: [u8; 4], to: SocketAddr) -> TcpStream {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    socket.bind(&SocketAddr::from((from, 0)).into()).expect("the loopback has many addresses");
    socket.connect(&to.into()).expect("the server accepts connections all the while");
    socket.into()
}

/// One that stops somewhere before its publish, each in another place.
fn silent(number: usize, from: [u8; 4], server: &Server, tls: &Arc<ClientConfig>) -> Box<dyn Send> {
    let mut socket = connect_from(from, server.rtmp());
    let hello = crate::noise::client_hello();
    let begun: &[u8] = match number % 6 {
        0 => &[],
        1 => &[3],
        2 => &[3; 900],
        // A record of TLS, and half of a first flight.
        3 => &hello[..5],
        4 => &hello[..hello.len() / 2],
        // TLS is done, and nothing is said under it.
        _ => match connect_over(socket, "localhost", tls) {
            Ok(socket) => return Box::new(socket),
            // It had to make room meanwhile.
            Err(_) => return Box::new(()),
        },
    };
    // The same.
    let _ = socket.write_all(begun);
    Box::new(socket)
}

#[test]
fn a_thousand_handshakes_without_end_keep_no_encoder_waiting_for_a_second() {
    allow_open_files(8192);
    let identity = Identity::new(&["localhost"]);
    let tls = client_config(&[&identity], &[], &[&TLS13]);
    // Of an optimized server on a machine with nothing else to do.
    let is_strict = std::env::var_os("HOSTILE_CONNECTIONS").is_some();
    let within = if is_strict { WITHIN } else { WITHIN + NOISE };
    for shards in [1, 2] {
        for is_one_host in [true, false] {
            let server = Server::start(&Options {
                shards,
                config: Some(CONFIG.into()),
                files: vec![
                    ("own.pem".into(), identity.chain.clone()),
                    ("own.key".into(), identity.key.clone()),
                ],
                ..Options::default()
            });
            let host = |number: usize| match is_one_host {
                true => [127, 0, 0, 1],
                false => [127, 2, (number / 250) as u8, (number % 250) as u8 + 1],
            };
            let _held: Vec<_> =
                (0..SILENT).map(|number| silent(number, host(number), &server, &tls)).collect();
            let accepted = poll_until(PLAYABLE_WITHIN, || {
                (metric(&server, "rapidrtmp_rtmp_connections_total") >= SILENT as f64).then_some(())
            });
            assert!(accepted.is_some(), "none was turned away: {}", server.log());

            let mut longest = Duration::ZERO;
            let mut publishers = Vec::new();
            // From the very host of all the others, and from one that nobody has seen, each of them twice.
            for from in [[127, 0, 0, 1], [127, 9, 9, 9]].repeat(2) {
                for over_tls in [false, true] {
                    let key = format!("through{}", publishers.len());
                    let began = Instant::now();
                    let socket = connect_from(from, server.rtmp());
                    let publisher = if over_tls {
                        let socket = connect_over(socket, "localhost", &tls).expect("a handshake");
                        RtmpPublisher::over_tls(socket, &key)
                    } else {
                        RtmpPublisher::over_tcp(socket, &key)
                    };
                    let publisher = publisher.unwrap_or_else(|failure| panic!("{from:?}: {failure:?}"));
                    longest = longest.max(began.elapsed());
                    publishers.push(Running::go_on(publisher));
                }
            }
            let hosts = if is_one_host { "one host" } else { "a thousand hosts" };
            eprintln!(
                "{shards} shards, {SILENT} handshakes of {hosts}: encoders publish within {longest:.1?}"
            );
            assert!(longest < within, "{longest:?}");
            assert_eq!(metric(&server, "rapidrtmp_active_publishers"), publishers.len() as f64);
            assert!(!publishers.iter().any(Running::has_ended));
            assert_eq!(metric(&server, "rapidrtmp_panics_total"), 0.0);
        }
    }
}
