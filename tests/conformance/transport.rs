//! TLS and HTTP/2 (assertions 58, 59, 62).

use crate::NOISE;
use crate::report::Report;
use crate::support::http::resolve;
use crate::support::http2::{Client, Pending};
use crate::support::playlist::parse_media;
use crate::support::server::Server;
use crate::support::tls::{Identity, client_config, connect};
use rustls::version::{TLS12, TLS13};
use std::time::Duration;

/// B.1 wants more than 100 streams at once.
const STREAMS_COUNT: usize = 120;
const BLOCKED_COUNT: usize = 50;
const PONG_WITHIN: Duration = Duration::from_millis(100);

pub fn run(server: &Server, identity: &Identity, report: &Report, paths: &[String]) {
    let handshake = |version| {
        let config = client_config(&[identity], &["h2", "http/1.1"], &[version]);
        connect(server.https(), "localhost", &config)
    };
    for version in [&TLS13, &TLS12] {
        let protocol = handshake(version).map(|socket| {
            (socket.conn.alpn_protocol().map(<[u8]>::to_vec), socket.conn.negotiated_cipher_suite())
        });
        let agreed = matches!(&protocol, Ok((Some(protocol), Some(_))) if protocol == b"h2");
        report.expect(58, agreed, format!("ALPN with {:?}: {protocol:?}", version.version));
        report.expect(62, protocol.is_ok(), format!("{:?} with forward secrecy", version.version));
    }
    let Ok(socket) = handshake(&TLS13) else { return };
    let mut client = Client::over_tls(socket);
    streams(&mut client, report, &paths[0]);
    priorities(&mut client, report, paths);
}

/// 58: many at once, and PING while they wait.
fn streams(client: &mut Client, report: &Report, path: &str) {
    let media = parse_media(&client.get(path).text()).expect("a sound playlist");
    let last = media.segments.last().map_or(0, |segment| segment.media_sequence);
    let blocked = format!("{path}?_HLS_msn={}", last + 2);
    let waiting: Vec<Pending> = (0..BLOCKED_COUNT).map(|_| client.send("GET", &blocked, &[], &[])).collect();
    let pong = (0..5).map(|_| client.ping()).max().unwrap_or_default();
    let evidence = format!("a PONG after {pong:?} while {BLOCKED_COUNT} requests wait");
    report.expect(58, pong <= PONG_WITHIN + NOISE, evidence);
    let more: Vec<Pending> =
        (BLOCKED_COUNT..STREAMS_COUNT).map(|_| client.send("GET", &blocked, &[], &[])).collect();
    let answered = waiting.into_iter().chain(more).map(|pending| client.receive(pending).status);
    let answered = answered.filter(|&status| status == 200).count();
    report.expect(58, answered == STREAMS_COUNT, format!("{answered} of {STREAMS_COUNT} streams answered"));
}

/// 59: urgency 1 on playlists, 2 to 6 on media, none of it redirected (62).
fn priorities(client: &mut Client, report: &Report, paths: &[String]) {
    let mut targets = vec![("/live/main/index.m3u8".to_owned(), 1..=1)];
    for path in paths {
        let media = parse_media(&client.get(path).text()).expect("a sound playlist");
        let parts = media.parts().last().map(|(_, _, part)| part.uri.clone());
        let segments = media.segments.last().and_then(|segment| segment.uri.clone());
        let maps = media.all_segments().find_map(|segment| segment.map.clone()).map(|map| map.uri);
        targets.push((path.clone(), 1..=1));
        targets.extend([parts, segments, maps].into_iter().flatten().map(|uri| (resolve(path, &uri), 2..=6)));
    }
    for (target, allowed) in targets {
        let response = client.get(&target);
        let priority = response.header("priority").unwrap_or("none").to_owned();
        let urgency = priority.strip_prefix("u=").and_then(|urgency| urgency.parse::<u8>().ok());
        let holds = urgency.is_some_and(|urgency| allowed.contains(&urgency));
        report.expect(59, holds, format!("{target}: priority {priority}"));
        report.expect(62, response.status == 200, format!("{target}: {}", response.status));
    }
}
