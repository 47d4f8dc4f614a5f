//! Who counts as a viewer, over real connections that the kernel spreads over the shards.

use crate::rtmp_publisher::Running;
use crate::support::http::Client;
use crate::support::playlist::Media;
use crate::support::server::{ADMIN_KEY, Options, Server};
use crate::{NOISE, get, media, next_part, playable};
use std::time::{Duration, Instant};

/// Three periods of two target durations.
const WATCHED: Duration = Duration::from_secs(6);
/// Time by which the first period is over, and the count of a second ago.
const SETTLED: Duration = Duration::from_secs(4);

fn viewers(server: &Server) -> u64 {
    let bearer = format!("Bearer {ADMIN_KEY}");
    let target = "/api/v1/streams/watched";
    let response = server.client().request("GET", target, &[("Authorization", &bearer)], &[]).unwrap();
    let stream: serde_json::Value = serde_json::from_slice(&response.content()).unwrap();
    stream["details"]["viewers"].as_u64().unwrap()
}

#[test]
fn a_browser_on_four_connections_is_one_viewer_and_fifty_players_of_one_address_are_fifty() {
    let _machine = crate::machine();
    for shards in [1, 2] {
        let config = Some("[http]\nviewers_per_stream_max = 2\n".to_owned());
        let server = Server::start(&Options { shards, latency: Some("ultra"), config, ..Options::default() });
        let publisher = Running::start(server.rtmp(), "watched");
        let path = playable(server.http(), "watched").remove(0);
        std::thread::sleep(SETTLED);

        let mut four: Vec<Client> = (0..4).map(|_| server.client()).collect();
        let mut held = media(&get(&mut four[0], &path));
        let began = Instant::now();
        for turn in 0_usize.. {
            held = media(&get(&mut four[turn * 7 % 11 % 4], &next_part(&path, &held)));
            let counted = viewers(&server);
            let passed = began.elapsed();
            assert!(counted == 1 || counted == 0 && passed < NOISE, "{shards} shards, {passed:?}: {counted}");
            if passed > WATCHED {
                break;
            }
        }
        assert_eq!(
            get(&mut server.client(), "/live/watched/index.m3u8").status,
            200,
            "there is room for one"
        );

        // Each goes on from what it was given: who was asked for late may be a part ahead of the first.
        let mut fifty: Vec<(Client, Media)> = (0..50).map(|_| (server.client(), held.clone())).collect();
        let began = Instant::now();
        while began.elapsed() < WATCHED {
            for (client, held) in &mut fifty {
                client.send("GET", &next_part(&path, held), &[], &[]).unwrap();
            }
            for (client, held) in &mut fifty {
                *held = media(&client.receive(NOISE).unwrap());
            }
        }
        let counted = viewers(&server);
        assert!((48..=52).contains(&counted), "{shards} shards: {counted}");
        let metric = server.metric("rapidrtmp_active_viewers", "").unwrap();
        assert!((48.0..=52.0).contains(&metric), "{shards} shards: {metric}");
        assert_eq!(get(&mut server.client(), "/live/watched/index.m3u8").status, 503, "the house is full");
        assert!(!publisher.has_ended());
    }
}
