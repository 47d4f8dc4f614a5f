//! Two publishers of one stream over real sockets: one is reset while a viewer reads on.

use crate::publishers::refusal;
use crate::rtmp_publisher::Running;
use crate::support::poll_until;
use crate::support::server::{ADMIN_KEY, Options, Server};
use crate::{NOISE, PLAYABLE_WITHIN, get, media, playable, watch_undisturbed};
use std::time::Duration;

const BAD_NAME: &str = "NetStream.Publish.BadName";

/// What the admin sees of the stream.
fn details(server: &Server) -> String {
    let bearer = format!("Bearer {ADMIN_KEY}");
    let fields = [("Authorization", bearer.as_str())];
    server.client().request("GET", "/api/v1/streams/pair", &fields, b"").expect("an answer").text()
}

fn wait_for(server: &Server, what: &str, is_so: impl Fn() -> bool) {
    let so = poll_until(PLAYABLE_WITHIN, || is_so().then_some(()));
    assert!(so.is_some(), "{what}\n{}\n{}", details(server), server.log());
}

#[test]
fn the_backup_goes_on_in_the_same_session_and_the_primary_comes_back_by_rule() {
    for shards in [1, 2] {
        let config = "[ingest]\nfailback_s = 2\n".to_owned();
        let server = Server::start(&Options {
            shards,
            latency: Some("ultra"),
            config: Some(config),
            ..Options::default()
        });
        let primary = Running::start(server.rtmp(), "pair");
        let path = playable(server.http(), "pair").remove(0);
        let mut client = server.client();
        let first = media(&get(&mut client, &path));

        let backup = Running::start(server.rtmp(), "pair?role=backup");
        wait_for(&server, "it is held ready", || details(&server).contains("\"takesOver\":\"hitless\""));
        assert_eq!(server.metric("rapidrtmp_standby_publishers", ""), Some(1.0));
        assert_eq!(server.metric("rapidrtmp_active_publishers", ""), Some(2.0));
        assert_eq!(refusal(server.rtmp(), "pair?role=backup", None).0, BAD_NAME, "there is one");
        assert_eq!(refusal(server.rtmp(), "pair?role=primary", None).0, BAD_NAME, "there is one");
        let (code, why) = refusal(server.rtmp(), "pair?role=spare", None);
        assert_eq!(code, BAD_NAME);
        assert!(why.contains("neither primary nor backup"), "{why}");

        primary.stop().expect("it published until it was stopped").reset();
        watch_undisturbed(server.http(), &path, Duration::from_secs(4));
        assert_eq!(server.metric("rapidrtmp_takeovers_total", "reason=\"left\""), Some(1.0));
        assert!(details(&server).contains("\"role\":\"backup\",\"onAir\":true"), "{}", details(&server));

        let primary = Running::start(server.rtmp(), "pair?role=primary");
        let returned = || server.metric("rapidrtmp_takeovers_total", "reason=\"returned\"") == Some(1.0);
        wait_for(&server, "it is on air again", returned);
        watch_undisturbed(server.http(), &path, Duration::from_secs(2));

        // Who is held ready may go.
        backup.stop().expect("it published until it was stopped").unpublish().expect("it says goodbye");
        wait_for(&server, "it has left", || {
            server.metric("rapidrtmp_active_publishers", "") == Some(1.0)
                && server.metric("rapidrtmp_standby_publishers", "") == Some(0.0)
        });
        watch_undisturbed(server.http(), &path, Duration::from_secs(2));
        let now = media(&get(&mut client, &path));
        assert!(!now.ended && now.all_segments().all(|segment| !segment.discontinuity));
        assert_eq!(now.discontinuity_sequence, first.discontinuity_sequence);
        assert!(!primary.has_ended());

        // A stop is for both.
        let backup = Running::start(server.rtmp(), "pair?role=backup");
        let bearer = format!("Bearer {ADMIN_KEY}");
        let fields = [("Authorization", bearer.as_str())];
        let stopped = client.request("POST", "/api/v1/streams/pair/stop", &fields, b"").expect("an answer");
        assert_eq!(stopped.status, 200);
        let both = poll_until(NOISE, || (primary.has_ended() && backup.has_ended()).then_some(()));
        assert!(both.is_some(), "{}", server.log());
        assert!(!server.log().contains("panicked"), "{}", server.log());
    }
}
