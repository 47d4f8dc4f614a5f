//! Tokens that expire while their session runs, waits, or is cut short.

use crate::publishers::{DENIED, refusal};
use crate::rtmp_publisher::RtmpPublisher;
use crate::support::poll_until;
use crate::support::server::{ADMIN_KEY, Options, Server};
use crate::{NOISE, get, playable};
use rapidrtmp::auth::{Claims, Tokens};
use rapidrtmp::secret::Secret;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const SECRET: &str = "a signing secret for tests, of some length";
/// The session begins within it, also on a machine under load.
const LIFETIME: Duration = Duration::from_secs(6);

fn start(shards: usize) -> Server {
    let config = format!(
        "[server]\nstate_dir = \"DIR/state\"\n[auth]\ntoken_secret = \"{SECRET}\"\n[hls]\nexpected_gop_ms = 1000\n"
    );
    Server::start(&Options { shards, open: false, config: Some(config), ..Options::default() })
}

/// A token for `live/kept` that expires so long after now; of two with the same times, `issued` tells.
fn token(expires_in: Duration, issued_unix_s: u64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Tokens::new(&Secret::new(SECRET)).mint(&Claims {
        stream: "live/kept".into(),
        issued_unix_s,
        expires_unix_s: (now + expires_in).as_secs(),
    })
}

fn connect(server: &Server, token: &str) -> RtmpPublisher {
    let publisher = RtmpPublisher::connect(server.rtmp(), "kept", Some(token));
    publisher.unwrap_or_else(|failure| panic!("{failure:?}\n{}", server.log()))
}

fn assert_expired(server: &Server, token: &str) {
    let (code, description) = refusal(server.rtmp(), "kept", Some(token));
    assert_eq!((code.as_str(), description.contains("expired")), (DENIED, true), "{description}");
}

#[test]
fn an_expired_token_resumes_the_session_that_it_started_until_its_end_and_nothing_else() {
    for shards in [1, 2] {
        let mut server = start(shards);
        let mine = token(LIFETIME, 1);
        let mut publisher = connect(&server, &mine);
        publisher.run(LIFETIME + Duration::from_secs(1)).unwrap();
        playable(server.http(), "kept");
        let others = token(Duration::ZERO, 2);
        assert_expired(&server, &others);
        // The first connection is silent, then it is reset: a take-over, and a session that waits.
        let mut again = connect(&server, &mine);
        again.run(Duration::from_secs(1)).unwrap();
        again.reset();
        assert_expired(&server, &others);
        let mut again = connect(&server, &mine);
        again.run(Duration::from_secs(3)).unwrap();
        assert_eq!(server.metric("rapidrtmp_streams_started_total", ""), Some(1.0), "one session");
        assert_eq!(server.metric("rapidrtmp_refused_total", "reason=\"credentials\""), Some(2.0));

        // A crash sends no ENDLIST.
        server.restart();
        assert_expired(&server, &others);
        let mut again = connect(&server, &mine);
        again.run(Duration::from_secs(4)).unwrap();
        playable(server.http(), "kept");

        let bearer = format!("Bearer {ADMIN_KEY}");
        let fields = [("Authorization", bearer.as_str())];
        let stopped = server.client().request("POST", "/api/v1/streams/kept/stop", &fields, b"").unwrap();
        assert_eq!(stopped.status, 200);
        assert!(again.end(NOISE).is_some(), "the publisher is told");
        assert_expired(&server, &mine);
        server.restart();
        assert_expired(&server, &mine);
        let log = server.log();
        assert!(!log.contains(&mine) && !log.contains("TokenDigest"), "{log}");
    }
}

/// Nobody comes back to the session of an old crash.
#[test]
fn a_session_that_a_crash_cut_short_is_waited_for_no_longer_than_a_lost_connection() {
    let mut server = start(1);
    let mine = token(LIFETIME, 1);
    connect(&server, &mine).run(LIFETIME).unwrap();
    let kept = poll_until(NOISE, || {
        let record = std::fs::read_to_string(server.directory().join("state/streams/live~kept.json")).ok()?;
        record.contains("\"token\"").then_some(record)
    });
    assert!(kept.is_some_and(|record| !record.contains(&mine)), "its digest is kept, and not itself");
    server.restart();
    std::thread::sleep(Duration::from_secs(16));
    assert_expired(&server, &mine);
    assert_eq!(server.metric("rapidrtmp_active_streams", ""), Some(0.0), "nothing is made for it");
    assert!(get(&mut server.client(), "/api/v1/streams").text().contains("\"count\":0"));
}

#[test]
fn an_address_that_tries_an_expired_token_again_and_again_has_to_wait() {
    for shards in [1, 2] {
        let server = start(shards);
        let others = token(Duration::ZERO, 2);
        let held_off = (0..8).any(|_| refusal(server.rtmp(), "kept", Some(&others)).1.contains("wait"));
        assert!(held_off, "eight are too many, whichever shards accept them");
        // An encoder beside whoever does that is not kept out.
        drop(connect(&server, &token(LIFETIME, 1)));
    }
}
