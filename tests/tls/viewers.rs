//! What viewers get over TLS, and how many of them a slow one disturbs: none.

use crate::support::http::resolve;
use crate::support::playlist::parse_media;
use crate::support::poll_until;
use crate::support::tls::{client_config, connect};
use crate::{BOTH, LARGE, LARGE_BYTES, NOISE, Stage, client, large};
use rustls::version::{TLS12, TLS13};
use std::io::{Read, Write};
use std::process::Command;
use std::time::{Duration, Instant};

#[test]
fn viewers_are_answered_over_tls_as_without() {
    for shards in [1, 2] {
        let stage = Stage::start(shards);
        answers_are_those_of_the_plain_port(&stage);
        pipelined_requests_are_answered_in_order(&stage);
        a_blocked_reload_is_answered_and_one_behind_it(&stage);
        a_waiter_that_hangs_up_is_freed(&stage);
        curl_reads_it_with_either_version(&stage);
        sessions_are_resumed_on_whichever_shard(&stage);
    }
}

fn answers_are_those_of_the_plain_port(stage: &Stage) {
    let (mut plain, mut tls) = (stage.server.client(), stage.client());
    let large_body = tls.get(LARGE).unwrap();
    assert!(large_body.body == large().as_bytes(), "{} bytes", large_body.body.len());
    let playlist = parse_media(&tls.get(&stage.paths[0]).unwrap().text()).unwrap();
    let part = playlist.parts().last().map(|(_, _, part)| resolve(&stage.paths[0], &part.uri)).unwrap();
    let (by_tls, by_plain) = (tls.get(&part).unwrap(), plain.get(&part).unwrap());
    assert!(by_tls.status == 200 && by_tls.body == by_plain.body, "{part}");
    let mut names = [by_tls, by_plain]
        .map(|response| response.headers.into_iter().filter(|(name, _)| name != "date").collect::<Vec<_>>());
    names.iter_mut().for_each(|names| names.sort());
    assert_eq!(names[0], names[1]);
}

fn pipelined_requests_are_answered_in_order(stage: &Stage) {
    let one = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
    let many = one("/health") + &one("/nothing/here") + &one(&stage.paths[0]);
    let mut client = stage.client();
    client.send_raw(many.repeat(300).as_bytes()).unwrap();
    for _ in 0..300 {
        for expected in [200, 404, 200] {
            assert_eq!(client.receive(NOISE * 4).unwrap().status, expected);
        }
    }
}

fn blocked(stage: &Stage, path: &str) -> String {
    let playlist = parse_media(&stage.server.client().get(path).unwrap().text()).unwrap();
    let last = playlist.segments.last().map_or(0, |segment| segment.media_sequence);
    format!("{path}?_HLS_msn={}", last + 2)
}

fn a_blocked_reload_is_answered_and_one_behind_it(stage: &Stage) {
    let mut client = stage.client();
    let target = blocked(stage, &stage.paths[0]);
    client.send("GET", &target, &[], &[]).unwrap();
    std::thread::sleep(Duration::from_millis(100));
    client.send_raw(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let response = client.receive(NOISE * 3).unwrap();
    assert!(response.status == 200 && response.text().starts_with("#EXTM3U"), "{}", response.text());
    assert_eq!(client.receive(NOISE).unwrap().status, 200);
}

fn a_waiter_that_hangs_up_is_freed(stage: &Stage) {
    const BLOCKED: &str = "rapidrtmp_blocked_requests";
    let mut client = stage.client();
    client.send("GET", &blocked(stage, &stage.paths[0]), &[], &[]).unwrap();
    // A gauge that is set once a second may pass the moment by.
    poll_until(NOISE, || stage.server.metric(BLOCKED, "").filter(|&count| count >= 1.0));
    drop(client);
    let freed = poll_until(NOISE, || stage.server.metric(BLOCKED, "").filter(|&count| count == 0.0));
    assert!(freed.is_some(), "{:?}", stage.server.metric(BLOCKED, ""));
}

fn curl_reads_it_with_either_version(stage: &Stage) {
    let url = |path: &str| format!("https://localhost:{}{path}", stage.server.https().port());
    let trusted = stage.server.directory().join("own.pem");
    for version in [&["--tls-max", "1.2"][..], &["--tlsv1.3"]] {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--fail", "--http1.1", "--max-time", "60", "--cacert"]);
        curl.arg(&trusted).args(version).args([url(LARGE), url(&stage.paths[0]), url("/health")]);
        curl.args(["--output", "-", "--write-out", "%{stderr}%{http_version} %{num_connects};"]);
        let output = curl.output().expect("runs curl");
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(told, "1.1 1;1.1 0;1.1 0;", "{version:?}");
        assert!(output.stdout.len() > LARGE_BYTES && output.stdout.starts_with(large().as_bytes()));
    }
}

fn sessions_are_resumed_on_whichever_shard(stage: &Stage) {
    let resumed = |shard: &str| stage.server.metric("rapidrtmp_tls_resumed_total", shard).unwrap();
    let before = [resumed(""), resumed("shard=\"0\"")];
    for version in [&TLS12, &TLS13] {
        let config = client_config(&[&stage.identity], &["http/1.1"], &[version]);
        for round in 0..20 {
            let mut client = client(&stage.server, &config);
            assert_eq!(client.get("/health").unwrap().status, 200, "{version:?}, {round}");
        }
    }
    let (all, here) = (resumed("") - before[0], resumed("shard=\"0\"") - before[1]);
    // All but the first of each version; and the kernel spreads connections over the shards.
    assert_eq!(all, 38.0);
    assert!(
        stage.server.metric("rapidrtmp_tls_resumed_total", "shard=\"1\"").is_none()
            || (1.0..38.0).contains(&here)
    );
}

#[test]
fn a_viewer_that_does_not_read_is_cut_off_and_disturbs_nobody() {
    let stage = Stage::start(1);
    let config = client_config(&[&stage.identity], &["http/1.1"], BOTH);
    let memory = || crate::peers::resident_kib(&stage.server);
    let before = memory();
    let mut still: Vec<_> = (0..20)
        .map(|_| {
            let mut socket = connect(stage.server.https(), "localhost", &config).unwrap();
            write!(socket, "GET {LARGE} HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
            socket.flush().unwrap();
            socket
        })
        .collect();
    let began = Instant::now();
    let mut other = stage.client();
    let ended = poll_until(Duration::from_secs(30), || {
        let asked = Instant::now();
        assert_eq!(other.get("/health").unwrap().status, 200);
        assert!(asked.elapsed() < NOISE);
        stage.server.metric("rapidrtmp_http_errors_total", "slow_reader").filter(|&count| count == 20.0)
    });
    assert!(ended.is_some() && began.elapsed() > Duration::from_secs(8), "{:?}", began.elapsed());
    // Of each no more than a send's worth was encrypted.
    assert!(memory() - before < 20 * 512 + 16 * 1024, "{before} to {} KiB", memory());
    let mut rest = Vec::new();
    // What the sockets held is the beginning of it, and then the connection is gone.
    let _ = still.pop().unwrap().read_to_end(&mut rest);
    assert!(rest.len() < LARGE_BYTES);
}

#[test]
fn a_viewer_that_reads_slowly_gets_all_of_it() {
    let stage = Stage::start(1);
    let mut socket = connect(stage.server.https(), "localhost", &stage.config()).unwrap();
    write!(socket, "GET {LARGE} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
    let (mut received, mut piece) = (Vec::new(), vec![0; 256 * 1024]);
    loop {
        match socket.read(&mut piece).unwrap() {
            0 => break,
            count => received.extend_from_slice(&piece[..count]),
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(received.ends_with(large().as_bytes()), "{} bytes", received.len());
}
