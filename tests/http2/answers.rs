//! What is answered, when, and in which order.

use crate::support::http::resolve;
use crate::support::http2::{Client, Crude, DATA, PING, Pending, SETTINGS, WINDOW_UPDATE, frame, get};
use crate::support::poll_until;
use crate::support::server::{ADMIN_KEY, Options, Server};
use crate::{BLOCKED, LARGE, LARGE_BYTES, NOISE, Stage, large};
use std::process::Command;
use std::time::Duration;

#[test]
fn requests_are_answered_as_over_http_1_1_and_side_by_side() {
    for shards in [1, 2] {
        let stage = Stage::start(shards);
        for client in [Stage::plain, Stage::over_tls] {
            answers_are_those_of_http_1_1(&stage, client(&stage));
            calls_have_bodies(client(&stage));
            what_is_not_served_is_refused_and_the_connection_lives(client(&stage));
            blocked_requests_wait_side_by_side_and_pings_are_answered(&stage, client(&stage));
            a_request_that_is_taken_back_is_freed(&stage, client(&stage));
        }
        playlists_pass_media(&stage);
        a_small_window_is_respected(&stage);
        curl_and_nghttp_read_it(&stage);
    }
}

fn answers_are_those_of_http_1_1(stage: &Stage, mut client: Client) {
    let mut plain = stage.server.client();
    let path = &stage.paths[0];
    let media = stage.media(path);
    let part = media.parts().last().map(|(_, _, part)| resolve(path, &part.uri)).unwrap();
    let audio = stage.media(&stage.paths[1]);
    let audio = audio.parts().last().map(|(_, _, part)| resolve(&stage.paths[1], &part.uri)).unwrap();
    for (target, priority) in [
        ("/live/stage/index.m3u8", "u=1"),
        (&part, "u=3"),
        (&audio, "u=2"),
        ("/health", ""),
        ("/nothing", ""),
    ] {
        let by_1 = plain.get(target).unwrap();
        let by_2 = client.get(target);
        assert!((by_2.status, &by_2.body) == (by_1.status, &by_1.body), "{target}");
        let mut fields: Vec<_> = by_2
            .headers
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
            .collect();
        let mut expected = by_1.headers.clone();
        for fields in [&mut fields, &mut expected] {
            fields.retain(|(name, _)| name != "date");
            fields.sort();
        }
        assert_eq!(fields, expected, "{target}");
        assert_eq!(by_2.header("priority").unwrap_or_default(), priority, "{target}");
        let pending = client.send("HEAD", target, &[("cookie", "a=b"), ("cookie", "c=d")], &[]);
        let head = client.receive(pending);
        assert!(head.body.is_empty() && head.header("content-length") == by_2.header("content-length"));
    }
    let pending = client.send("GET", &part, &[("range", "bytes=100-199")], &[]);
    let range = client.receive(pending);
    assert_eq!((range.status, range.body.len()), (206, 100));
    assert!(client.get(LARGE).body == large().as_bytes());
}

fn calls_have_bodies(mut client: Client) {
    let bearer = format!("Bearer {ADMIN_KEY}");
    let fields = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    let pending = client.send("POST", "/api/v1/publish", &fields, br#"{"streamKey":"mine"}"#);
    let response = client.receive(pending);
    assert!(response.status < 300 && response.text().contains("publishUrl"), "{}", response.text());
    let long = vec![b' '; 20_000];
    let pending = client.send("POST", "/api/v1/publish", &fields, &long);
    assert_eq!(client.receive(pending).status, 413);
}

fn what_is_not_served_is_refused_and_the_connection_lives(mut client: Client) {
    let long = "x".repeat(9_000);
    for (method, target, field, expected) in [
        ("PUT", "/x", ("a", "b"), 501),
        ("POST", "/live/stage/index.m3u8", ("a", "b"), 405),
        ("GET", "/x", ("content-length", "many"), 400),
        ("GET", "/%00", ("a", "b"), 400),
        ("OPTIONS", "/x", ("a", "b"), 204),
        ("GET", "/x", ("cookie", long.as_str()), 404),
    ] {
        let pending = client.send(method, target, &[field], &[]);
        match client.head(pending) {
            Ok(response) => assert_eq!(response.status, expected, "{method} {target}"),
            // h2 refuses a length that is none by itself.
            Err(error) => assert!(field.0 == "content-length" && error.is_reset(), "{target}: {error}"),
        }
    }
    let pending = client.send("GET", "/x", &[("cookie", &"x".repeat(12_000))], &[]);
    assert_eq!(client.receive(pending).status, 431);
    assert_eq!(client.get("/health").status, 200);
}

fn blocked_requests_wait_side_by_side_and_pings_are_answered(stage: &Stage, mut client: Client) {
    let target = stage.blocked();
    let hint = resolve(&stage.paths[0], stage.media(&stage.paths[0]).hinted_part().expect("a hint"));
    let hinted = client.send("GET", &hint, &[], &[]);
    let waiting: Vec<Pending> = (0..250).map(|_| client.send("GET", &target, &[], &[])).collect();
    let longest = (0..5).map(|_| client.ping()).max().unwrap();
    assert!(longest < NOISE / 10, "a PING took {longest:?}");
    assert_eq!(client.get("/health").status, 200);
    let part = client.receive(hinted);
    assert!(part.status == 200 && !part.body.is_empty());
    for pending in waiting {
        let response = client.receive(pending);
        assert!(response.status == 200 && response.text().starts_with("#EXTM3U"), "{}", response.text());
    }
}

fn a_request_that_is_taken_back_is_freed(stage: &Stage, mut client: Client) {
    let target = stage.blocked();
    let waiting: Vec<Pending> = (0..20).map(|_| client.send("GET", &target, &[], &[])).collect();
    // A gauge that is set once a second may pass the moment by.
    poll_until(NOISE, || Some(stage.blocked_count()).filter(|&count| count >= 20.0));
    waiting.into_iter().for_each(|pending| client.reset(pending));
    let freed = poll_until(NOISE, || stage.server.metric(BLOCKED, "").filter(|&count| count == 0.0));
    assert!(freed.is_some(), "{}", stage.blocked_count());
    assert_eq!(client.get("/health").status, 200);
}

fn playlists_pass_media(stage: &Stage) {
    let mut crude = Crude::connect(stage.server.http());
    // Windows larger than all that comes, so that only the socket holds it up.
    let window = (64_u32 << 20).to_be_bytes();
    crude.write(&frame(SETTINGS, 0, 0, &[&[0, 4][..], &window].concat())).unwrap();
    crude.write(&frame(WINDOW_UPDATE, 0, 0, &window)).unwrap();
    crude.write(&[get(1, LARGE), get(3, LARGE)].concat()).unwrap();
    std::thread::sleep(Duration::from_millis(300));
    crude.write(&get(5, &stage.paths[0])).unwrap();
    let mut come = [0; 3];
    while let Some((kind, flags, stream, bytes)) = crude.read_frame(NOISE * 3) {
        if kind != DATA {
            continue;
        }
        come[stream as usize / 2] += bytes;
        if flags & 1 != 0 && stream == 5 {
            break;
        }
    }
    // No more of the others than was in the sockets' buffers, and of the first one only.
    assert!(come[2] > 0 && come[0] < LARGE_BYTES && come[1] == 0, "{come:?}");
}

fn a_small_window_is_respected(stage: &Stage) {
    let mut client = Client::with_window(stage.server.http(), 20_000);
    let pending = client.send("GET", LARGE, &[], &[]);
    let mut held_up = client.head(pending).unwrap();
    // Another response goes on while that one has no window.
    assert_eq!(client.get(&stage.paths[0]).status, 200);
    client.body(&mut held_up, usize::MAX).unwrap();
    assert!(held_up.body == large().as_bytes());
}

fn curl_and_nghttp_read_it(stage: &Stage) {
    let (http, https) = (stage.server.http(), stage.server.https().port());
    let trusted = stage.server.directory().join("own.pem");
    let curl = |arguments: &[&str], url: String| {
        let output = Command::new("curl")
            .args(["--silent", "--show-error", "--fail", "--max-time", "60", "--cacert"])
            .arg(&trusted)
            .args(arguments)
            .args(["--write-out", "%{stderr}%{http_version}", &url])
            .output()
            .expect("runs curl");
        (String::from_utf8_lossy(&output.stderr).into_owned(), output.stdout)
    };
    let (version, body) = curl(&["--http2"], format!("https://localhost:{https}{LARGE}"));
    assert!(version == "2" && body == large().as_bytes(), "{version}");
    let (version, body) = curl(&["--http2-prior-knowledge"], format!("http://{http}{}", stage.paths[0]));
    assert!(version == "2" && body.starts_with(b"#EXTM3U"), "{version}");
    // Asked to change over from HTTP/1.1, it stays there.
    let (version, body) = curl(&["--http2"], format!("http://{http}{}", stage.paths[0]));
    assert!(version == "1.1" && body.starts_with(b"#EXTM3U"), "{version}");
    for url in
        [format!("http://{http}{}", stage.paths[0]), format!("https://localhost:{https}{}", stage.paths[0])]
    {
        let output = Command::new("h2load").args(["-n", "5000", "-c", "4", "-m", "250", &url]).output();
        let output = output.expect("runs h2load, of Debian's nghttp2-client");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains("5000 succeeded, 0 failed, 0 errored, 0 timeout"), "{text}");
    }
    let output = Command::new("nghttp").args(["-nv", &format!("http://{http}{}", stage.paths[0])]).output();
    let text = String::from_utf8_lossy(&output.expect("runs nghttp").stdout).into_owned();
    assert!(text.contains("priority: u=1") && text.contains(":status: 200"), "{text}");
    assert!(stage.server.metric("rapidrtmp_http2_connections_total", "").unwrap() >= 10.0);
}

#[test]
fn the_server_says_goodbye_when_it_ends() {
    let mut stage = Stage::start(2);
    let mut idle: Vec<Client> = (0..4).map(|_| stage.plain()).collect();
    let mut waiting = stage.over_tls();
    let target = stage.blocked();
    let pending = waiting.send("GET", &target, &[], &[]);
    idle.iter_mut().for_each(|client| assert_eq!(client.get("/health").status, 200));
    crate::support::signal(stage.server.process_id(), "TERM");
    // The end of the stream is the answer to who waits.
    let response = waiting.receive(pending);
    assert!(response.status == 200 && response.text().contains("#EXT-X-ENDLIST"), "{}", response.text());
    for client in idle.iter_mut().chain([&mut waiting]) {
        assert!(client.ends_within(NOISE));
        assert!(matches!(client.ended, Some(Ok(()))), "{:?}", client.ended);
    }
    assert!(stage.server.terminate(NOISE).is_some_and(|status| status.success()));
}

#[test]
fn it_can_be_switched_off() {
    let config = "[http]\nhttp2 = false\n[https]\naddr = \"127.0.0.1:0\"\nself_signed = true\n";
    let server = Server::start(&Options { config: Some(config.into()), ..Options::default() });
    let mut client = server.client();
    client.send_raw(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").unwrap();
    assert_eq!(client.receive(NOISE).unwrap().status, 505);
    let output = Command::new("curl")
        .args([
            "--silent",
            "--insecure",
            "--http2",
            "--write-out",
            "%{http_version}",
            "--output",
            "/dev/null",
        ])
        .arg(format!("https://{}/health", server.https()))
        .output()
        .expect("runs curl");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "1.1");
}

#[test]
fn what_the_log_tells_of_frames_is_no_secret_and_no_flood() {
    for level in ["info", "debug", "trace"] {
        let config = format!("[server]\nlog_level = \"{level}\"\n");
        let server = Server::start(&Options { config: Some(config), ..Options::default() });
        let mut crude = Crude::connect(server.http());
        for n in 0..100_u64 {
            // An answer to a PING that nobody sent.
            crude.write(&frame(PING, 1, 0, &n.to_be_bytes())).unwrap();
        }
        crude.write(&get(1, "/live/stage/index.m3u8?token=open-sesame")).unwrap();
        crude.write(&get(3, "/live/ stage/index.m3u8?token=open-sesame")).unwrap();
        crude.farewell(Duration::from_millis(300));
        let log = server.log();
        assert!(!log.contains("sesame") && log.lines().count() < 100, "{level}: {log}");
    }
}
