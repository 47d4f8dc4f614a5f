//! Two shards: the publisher moves home, and whoever asks on the other shard sees the same stream.

use crate::in_process::InProcess;
use crate::rtmp_publisher::Running;
use crate::support::http::{Client, Response, resolve};
use crate::support::poll_until;
use crate::support::server::{Options, Server};
use crate::{NOISE, Stage, get, media, next_part, next_segment, playable};
use rapidrtmp::config::Config;
use rapidrtmp::shard::fault::{Fault, FaultAt};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

/// The kernel spreads connections over the shards: all of these land on one with a chance of 2 in 2^16.
const CONNECTIONS_COUNT: usize = 16;

fn connections(connect: impl Fn() -> Client) -> Vec<Client> {
    (0..CONNECTIONS_COUNT).map(|_| connect()).collect()
}

#[test]
fn every_shard_answers_reloads_hints_and_media_with_the_same_bytes() {
    let stage = Stage::start(2);
    let mut clients = connections(|| stage.server.client());
    for path in &stage.paths {
        for _ in 0..4 {
            let held = media(&get(&mut clients[0], path));
            let hint = resolve(path, held.hinted_part().expect("a hint"));
            // Half wait for the playlist, half for the hinted part itself.
            let targets = [next_part(path, &held), hint];
            for (number, client) in clients.iter_mut().enumerate() {
                client.send("GET", &targets[number % 2], &[], &[]).unwrap();
            }
            let responses: Vec<_> =
                clients.iter_mut().map(|client| client.receive(Duration::from_secs(10)).unwrap()).collect();
            for (number, response) in responses.iter().enumerate() {
                assert_eq!(response.status, 200, "{}", targets[number % 2]);
                assert!(response.body == responses[number % 2].body, "{}", targets[number % 2]);
                assert_eq!(response.header("etag"), responses[number % 2].header("etag"));
            }
        }
    }
    // Both shards served: each had a home or a replica with connections of its own.
    for shard in ["shard=\"0\"", "shard=\"1\""] {
        assert!(stage.server.metric("rapidrtmp_http_requests_total", shard) > Some(10.0), "{shard}");
    }
}

/// What the home has listed may be asked for on the other shard before its event is there.
#[test]
fn a_part_that_the_home_has_listed_is_never_404_on_the_other_shard() {
    let stage = Stage::start(2);
    let path = stage.video();
    let mut clients = connections(|| stage.server.client());
    let (first, others) = clients.split_first_mut().unwrap();
    // Each of them follows before it is raced.
    others.iter_mut().for_each(|client| assert_eq!(get(client, path).status, 200));
    let mut held = media(&get(first, path));
    for _ in 0..15 {
        held = media(&get(first, &next_part(path, &held)));
        let newest = held.open.iter().chain(held.segments.last()).find_map(|segment| segment.parts.last());
        let newest = resolve(path, &newest.expect("a part").uri);
        others.iter_mut().for_each(|client| client.send("GET", &newest, &[], &[]).unwrap());
        for client in &mut *others {
            assert_eq!(client.receive(NOISE).unwrap().status, 200, "{newest}");
        }
    }
}

#[test]
fn a_shard_without_viewers_stops_following_and_follows_again() {
    let stage = Stage::start(2);
    let mut clients = connections(|| stage.server.client());
    clients.iter_mut().for_each(|client| assert_eq!(get(client, stage.video()).status, 200));
    let events = || stage.server.metric("rapidrtmp_shard_messages_total", "").unwrap();
    // `FOLLOW_IDLE_US`, and then a second without a message but for those that say it is over.
    let quiet = poll_until(Duration::from_secs(40), || {
        let before = events();
        std::thread::sleep(Duration::from_secs(1));
        (events() == before).then_some(())
    });
    assert!(quiet.is_some(), "events go on to a shard without viewers");
    clients.iter_mut().for_each(|client| {
        let held = media(&get(client, stage.video()));
        assert_eq!(get(client, &next_part(stage.video(), &held)).status, 200);
    });
    let before = events();
    std::thread::sleep(Duration::from_secs(1));
    assert!(events() > before, "followed anew");
}

#[test]
fn a_stream_that_ends_and_begins_again_does_so_on_every_shard() {
    let config = "[ingest]\nunpublish_grace_s = 0\n".to_owned();
    let server = Server::start(&Options {
        shards: 2,
        latency: Some("ultra"),
        config: Some(config),
        ..Options::default()
    });
    let mut clients = connections(|| server.client());
    let mut sessions = Vec::new();
    for _ in 0..2 {
        let publisher = Running::start(server.rtmp(), "again");
        let path = playable(server.http(), "again").remove(0);
        assert!(!sessions.contains(&path), "{path} is a new session");
        let held = media(&get(&mut clients[0], &path));
        let target = next_segment(&path, &held);
        clients.iter_mut().for_each(|client| client.send("GET", &target, &[], &[]).unwrap());
        publisher.stop().expect("it published until it was stopped").unpublish().unwrap();
        for client in &mut clients {
            let response = client.receive(Duration::from_secs(10)).unwrap();
            assert_eq!(response.status, 200, "{target}");
        }
        let ended = poll_until(NOISE, || {
            clients.iter_mut().all(|client| media(&get(client, &path)).ended).then_some(())
        });
        assert!(ended.is_some(), "{path} ends everywhere");
        sessions.push(path);
    }
    for client in &mut clients {
        assert_eq!(get(client, &sessions[1]).status, 200);
    }
}

#[test]
fn a_replica_whose_inbox_is_full_says_503_when_it_is_stale_and_comes_back_by_a_snapshot() {
    let is_full = Arc::new(AtomicBool::new(false));
    let full = Arc::clone(&is_full);
    let mut config = Config::default();
    config.hls.part_wish_ms = 200;
    config.hls.segment_target_ms = 1000;
    let server = InProcess::start(
        2,
        config,
        Some(Arc::new(move |at, _| {
            (at == FaultAt::Inbox && full.load(Ordering::Relaxed)).then_some(Fault::Full)
        })),
    );
    let publisher = Running::start(server.rtmp, "lost");
    let path = playable(server.http, "lost").remove(0);
    let mut clients = connections(|| server.client());
    clients.iter_mut().for_each(|client| assert_eq!(get(client, &path).status, 200));
    is_full.store(true, Ordering::Relaxed);
    // Those at the home go on; those at the replica are refused, and nothing of it is cached.
    let told = poll_until(Duration::from_secs(20), || {
        let answers: Vec<_> = clients.iter_mut().map(|client| get(client, &path)).collect();
        assert!(answers.iter().all(|answer| answer.status == 200 || answer.is_no_store()));
        let refused = answers.iter().filter(|answer| answer.status == 503).count();
        (0 < refused && refused < CONNECTIONS_COUNT).then_some(refused)
    });
    assert!(told.is_some(), "a stale replica says so");
    is_full.store(false, Ordering::Relaxed);
    let back = poll_until(Duration::from_secs(10), || {
        let sequences: Vec<_> = clients
            .iter_mut()
            .map(|client| get(client, &path))
            .map(|response| (response.status == 200).then(|| media(&response).media_sequence))
            .collect();
        let newest = sequences.iter().flatten().max()?;
        sequences.iter().all(|sequence| sequence.is_some_and(|found| found + 1 >= *newest)).then_some(())
    });
    assert!(back.is_some(), "a snapshot brings it back");
    assert!(server.client().metric("rapidrtmp_replicas_stale_total", "") >= Some(1.0));
    let held = media(&get(&mut clients[0], &path));
    clients.iter_mut().for_each(|client| client.send("GET", &next_part(&path, &held), &[], &[]).unwrap());
    for client in &mut clients {
        assert_eq!(client.receive(NOISE).unwrap().status, 200);
    }
    assert!(!publisher.has_ended());
}

/// Bursts of work on the shard of the replica: some events hold it up for longer than parts are apart.
#[test]
fn a_shard_made_slow_on_purpose_answers_no_listed_part_with_404_and_recovers() {
    const BURST: Duration = Duration::from_millis(400);
    let (bursts_left, replica_answers) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let (left, answers) = (Arc::clone(&bursts_left), Arc::clone(&replica_answers));
    let take_one =
        move || left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok();
    let mut config = Config::default();
    config.hls.part_wish_ms = 200;
    config.hls.segment_target_ms = 1000;
    let server = InProcess::start(
        2,
        config,
        Some(Arc::new(move |at, _| {
            match at {
                FaultAt::Event if take_one() => std::thread::sleep(BURST),
                FaultAt::ReplicaAnswer => _ = answers.fetch_add(1, Ordering::Relaxed),
                _ => {}
            }
            None
        })),
    );
    let publisher = Running::start(server.rtmp, "laboured");
    let path = playable(server.http, "laboured").remove(0);
    let (mut away, mut at_home) = (Vec::new(), Vec::new());
    for mut client in connections(|| server.client()) {
        let before = replica_answers.load(Ordering::Relaxed);
        assert_eq!(get(&mut client, &path).status, 200);
        let is_away = replica_answers.load(Ordering::Relaxed) > before;
        if is_away { &mut away } else { &mut at_home }.push(client);
    }
    let home = at_home.first_mut().expect("one of 16 at the home");
    assert!(!away.is_empty(), "one of 16 at the replica");

    bursts_left.store(10, Ordering::Relaxed);
    let (mut held, mut late_count) = (media(&get(home, &path)), 0);
    while bursts_left.load(Ordering::Relaxed) > 0 {
        held = media(&get(home, &next_part(&path, &held)));
        let newest = held.open.iter().chain(held.segments.last()).find_map(|segment| segment.parts.last());
        let newest = resolve(&path, &newest.expect("a part").uri);
        away.iter_mut().for_each(|client| client.send("GET", &newest, &[], &[]).unwrap());
        for client in &mut away {
            let answer = client.receive(Duration::from_secs(10)).unwrap();
            let is_right = answer.status == 200 || answer.status == 503 && answer.is_no_store();
            assert!(is_right, "{newest}: {}", answer.status);
            late_count += usize::from(answer.complete_at - answer.sent_at > BURST / 2);
        }
    }
    assert!(late_count > 0, "the shard was slow");

    let recovered = poll_until(Duration::from_secs(10), || {
        held = media(&get(home, &next_part(&path, &held)));
        let newest = held.media_sequence;
        let is_fresh = |answer: Response| answer.status == 200 && media(&answer).media_sequence >= newest;
        away.iter_mut().all(|client| is_fresh(get(client, &path))).then_some(())
    });
    assert!(recovered.is_some(), "the replica catches up");
    assert!(!publisher.has_ended());
}
