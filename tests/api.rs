//! The JSON interface, the pages and `/metrics` of the real server, with 1 and 2 shards.

mod support;

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use rapidrtmp::rtmp::{ClientConfig, ClientError, ClientEvent, ClientSession, HANDSHAKE_RANDOM_BYTES};
use support::http::Response;
use support::poll_until;
use support::publisher::{Source, wait_until_playable};
use support::server::{ADMIN_KEY, Options, Server};

const SOON: Duration = Duration::from_secs(20);
const PLAYABLE_WITHIN: Duration = Duration::from_secs(30);

/// A server that asks for tokens.
fn guarded(shards: usize) -> Server {
    Server::start(&Options { shards, open: false, ..Options::default() })
}

fn call(server: &Server, method: &str, path: &str, key: Option<&str>, body: &str) -> Response {
    let bearer = key.map(|key| format!("Bearer {key}")).unwrap_or_default();
    let authorization = [("Authorization", bearer.as_str())];
    let headers = if key.is_some() { &authorization[..] } else { &[] };
    server.client().request(method, path, headers, body.as_bytes()).expect("an answer")
}

fn json(response: &Response) -> serde_json::Value {
    assert_eq!(response.header("content-type"), Some("application/json"), "{response:?}");
    serde_json::from_slice(&response.content()).unwrap_or_else(|error| panic!("{error}: {response:?}"))
}

/// A token for a key, as `POST /api/v1/publish` gives it.
fn grant(server: &Server, key: &str, expires_in_s: u64) -> serde_json::Value {
    let body = format!(r#"{{"streamKey":"{key}","expiresIn":{expires_in_s}}}"#);
    let response = call(server, "POST", "/api/v1/publish", Some(ADMIN_KEY), &body);
    assert_eq!(response.status, 200, "{response:?}");
    json(&response)
}

/// Asks to publish and says how that ended: `Ok`, or the code of the refusal.
fn try_publish(server: &Server, key: &str, token: Option<&str>) -> Result<TcpStream, String> {
    let mut socket = TcpStream::connect(server.rtmp()).expect("connects");
    socket.set_read_timeout(Some(SOON)).expect("sets a time-out");
    let config = ClientConfig::new(&server.rtmp().to_string(), "live", key, token);
    let mut session = ClientSession::new(config, [9; HANDSHAKE_RANDOM_BYTES]);
    let mut received = [0; 4096];
    loop {
        let output = session.output().to_vec();
        socket.write_all(&output).map_err(|error| error.to_string())?;
        session.output_written(output.len());
        let count = socket.read(&mut received).map_err(|error| error.to_string())?;
        if count == 0 {
            return Err("closed".into());
        }
        let mut input = &received[..count];
        match session.poll(&mut input) {
            Ok(Some(ClientEvent::Publishing)) => return Ok(socket),
            Ok(Some(stopped)) => return Err(format!("{stopped:?}")),
            Ok(None) => {}
            Err(ClientError::Refused { code, .. }) => return Err(code),
            Err(error) => return Err(error.to_string()),
        }
    }
}

#[test]
fn a_publish_call_is_checked_and_never_answers_with_what_it_was_sent() {
    let server = guarded(1);
    let long = format!(r#"{{"streamKey":"{}"}}"#, "a".repeat(500));
    for (body, expected) in [
        (r#"{"streamKey":"demo"}"#, 200),
        (r#"{"streamKey":"events/demo","expiresIn":1}"#, 200),
        (r#"{"streamKey":"demo","expiresIn":86400}"#, 200),
        (r#"{"streamKey":"demo","expiresIn":86401}"#, 400),
        (r#"{"streamKey":"demo","expiresIn":0}"#, 400),
        (r#"{"streamKey":"demo","expiresIn":-1}"#, 400),
        (r#"{"streamKey":"../../hunter2"}"#, 400),
        (r#"{"streamKey":"demo","hunter2":1}"#, 400),
        (r#"{"streamKey":5}"#, 400),
        ("hunter2", 400),
        ("", 400),
        (&long, 400),
    ] {
        let response = call(&server, "POST", "/api/v1/publish", Some(ADMIN_KEY), body);
        assert_eq!(response.status, expected, "{body}: {response:?}");
        let answer = json(&response);
        assert_eq!(answer.get("error").is_some(), expected != 200, "{answer}");
        assert!(!response.text().contains("hunter2"), "{answer}");
        assert!(response.is_no_store(), "{response:?}");
    }
    let granted = grant(&server, "events/demo", 60);
    let (url, token) = (granted["publishUrl"].as_str(), granted["token"].as_str());
    let (url, token) = (url.expect("a URL"), token.expect("a token"));
    assert_eq!(url, format!("rtmp://localhost:{}/events/demo?token={token}", server.rtmp().port()));
    assert_eq!(granted["streamKey"], "events/demo");
    assert!(granted["expiresAt"].as_str().is_some_and(|at| at.ends_with('Z')), "{granted}");
}

#[test]
fn every_error_of_the_interface_is_json() {
    let server = guarded(1);
    for (method, path, length, expected) in [
        ("GET", "/api/v1/publish", 0, 405),
        ("POST", "/metrics", 0, 405),
        ("GET", "/api/v1/streams/a%20b", 0, 404),
        ("GET", "/api/v1/streams/none", 0, 404),
        ("POST", "/api/v1/streams/live%2Fcrash/stop", 0, 400),
        ("GET", "/api/v2/streams", 0, 404),
        ("POST", "/api/v2/streams", 0, 404),
        ("POST", "/api/v1/publish", 20_000, 413),
        ("PATCH", "/api/v1/publish", 0, 501),
    ] {
        let mut client = server.client();
        let head = format!("{method} {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n");
        client.send_raw(head.as_bytes()).expect("asks");
        let response = client.receive(SOON).expect("an answer");
        assert_eq!(response.status, expected, "{method} {path}: {response:?}");
        assert!(json(&response)["error"].is_string(), "{method} {path}: {response:?}");
    }
}

/// Predecessor's defect 10: anyone could mint tokens and stop streams.
#[test]
fn defect_10_changing_calls_need_the_admin_key() {
    let server = guarded(1);
    let body = r#"{"streamKey":"demo"}"#;
    for path in ["/api/v1/publish", "/api/v1/streams/demo/stop"] {
        for key in [None, Some(""), Some("wrong"), Some("an admin key for test")] {
            let response = call(&server, "POST", path, key, body);
            assert_eq!(response.status, 401, "{path} {key:?}");
            assert!(response.header("www-authenticate").is_some_and(|value| value.starts_with("Bearer")));
        }
    }
    let nothing = call(&server, "POST", "/api/v1/streams/demo/stop", Some(ADMIN_KEY), "");
    assert_eq!(nothing.status, 404, "{nothing:?}");
}

/// Predecessor's defect 9: publishing without a token was allowed, and so was one that stood second.
#[test]
fn defect_9_only_a_token_for_this_key_lets_publish_and_none_is_ever_logged() {
    for shards in [1, 2] {
        let server = guarded(shards);
        let granted = grant(&server, "mine", 60);
        let token = granted["token"].as_str().expect("a token");
        // Every failure of an address adds to its wait, so the good ones come first.
        for key in ["mine", "mine?a=1"] {
            let published = match key.split_once('?') {
                None => try_publish(&server, key, Some(token)),
                Some(_) => try_publish(&server, &format!("{key}&token={token}"), None),
            };
            drop(published.unwrap_or_else(|code| panic!("{key}: {code}")));
            let gone = || (server.metric("rapidrtmp_active_publishers", "") == Some(0.0)).then_some(());
            poll_until(SOON, gone).expect("the publisher leaves");
        }
        for (key, presented) in [("other", Some(token)), ("mine", None), ("mine?a=1", None)] {
            let refused = try_publish(&server, key, presented).map(drop);
            assert_eq!(refused, Err("NetStream.Publish.Denied".into()), "{key} {presented:?}");
        }
        let forged = format!("{}forged-signature", &token[..token.len() - 16]);
        assert!(try_publish(&server, "mine", Some(&forged)).is_err());
        let refused = |reason: &str| server.metric("rapidrtmp_refused_total", reason).unwrap_or(0.0);
        assert_eq!(refused("credentials") + refused("backoff"), 4.0);

        let said = || server.log().contains("refused").then_some(());
        poll_until(SOON, said).expect("refusals are logged");
        let log = server.log();
        for secret in [token, &forged, ADMIN_KEY, "token=", "a=1"] {
            assert!(!log.contains(secret), "{secret:?} in\n{log}");
        }
    }
}

/// Predecessor's defects 12 (stop left the publisher connected and the playlist frozen) and 14 (codec, size,
/// bit rate and viewers were never set).
#[test]
fn defect_12_14_a_stream_is_shown_truly_and_stop_ends_it_for_publisher_and_viewers() {
    for shards in [1, 2] {
        let server = guarded(shards);
        let url = grant(&server, "show", 60)["publishUrl"].as_str().expect("a URL").to_owned();
        let mut publisher = Source::default().publish(&url.replace("localhost", "127.0.0.1"));
        let playable =
            wait_until_playable(&server.http().to_string(), "/live/show/index.m3u8", PLAYABLE_WITHIN);
        let media = &playable.media_paths[0];
        // One viewer, which reloads while the status is waited for.
        let mut viewer = server.client();
        let details = poll_until(SOON, || {
            viewer.get(media).expect("answers");
            let one = json(&call(&server, "GET", "/api/v1/streams/show", Some(ADMIN_KEY), ""));
            let details = one["details"].clone();
            let full = details["viewers"] == 1 && details["bitrateBits"].as_u64() > Some(0);
            (one["state"] == "live" && full).then_some(details)
        });
        let details = details.unwrap_or_else(|| panic!("details; {}", server.log()));
        for (field, expected) in
            [("publisherAddress", "127.0.0.1"), ("resolution", "320x180"), ("audioCodec", "mp4a.40.2")]
        {
            assert_eq!(details[field], expected, "{details}");
        }
        assert_eq!(details["frameRateMilli"], 30_000, "{details}");
        assert_eq!((&details["targetDurationS"], &details["partTargetMs"]), (&2.into(), &334.into()));
        assert!(details["encoder"].as_str().is_some_and(|name| name.contains("Lavf")), "{details}");
        assert!(details["videoCodec"].as_str().is_some_and(|codec| codec.starts_with("avc1.")), "{details}");
        let bits = details["bitrateBits"].as_u64().unwrap_or(0);
        assert!((50_000..5_000_000).contains(&bits), "{details}");
        let started = details["startedAtUnixMs"].as_u64().unwrap_or(0);
        assert!(support::now_unix_ms().abs_diff(started) < 60_000, "{details}");
        for zero in ["discontinuities", "forcedCuts"] {
            assert_eq!(details[zero], 0, "{details}");
        }

        // The public sees names and states, and nothing else.
        let list = json(&call(&server, "GET", "/api/v1/streams", None, ""));
        assert_eq!(list["count"], 1);
        let one = json(&call(&server, "GET", "/api/v1/streams/live/show", Some("wrong"), ""));
        assert_eq!(list["streams"][0], one);
        let fields: BTreeSet<&str> = one.as_object().expect("an object").keys().map(String::as_str).collect();
        assert_eq!(fields, BTreeSet::from(["active", "name", "state", "streamKey"]));
        assert_eq!((&one["name"], &one["active"]), (&"live/show".into(), &true.into()));

        let mut blocked: Vec<_> = (0..4).map(|_| server.client()).collect();
        let text = viewer.get(media).expect("answers").text();
        let listed = support::playlist::parse_media(&text).expect("a playlist");
        let next = listed.media_sequence + listed.segments.len() as u64 + 1;
        for client in &mut blocked {
            client.send("GET", &format!("{media}?_HLS_msn={next}"), &[], &[]).expect("asks");
        }
        let stopped = call(&server, "POST", "/api/v1/streams/show/stop", Some(ADMIN_KEY), "");
        assert_eq!((stopped.status, &json(&stopped)["streamKey"]), (200, &"show".into()));
        for client in &mut blocked {
            let response = client.receive(SOON).expect("a last playlist");
            assert!(response.status == 200 && response.text().contains("#EXT-X-ENDLIST"), "{response:?}");
        }
        assert!(publisher.wait(SOON).is_some(), "the publisher's connection is closed");
        assert!(viewer.get(media).expect("answers").text().contains("#EXT-X-ENDLIST"));
        let ended = poll_until(SOON, || {
            let one = json(&call(&server, "GET", "/api/v1/streams/show", None, ""));
            (one["state"] == "ended" && one["active"] == false).then_some(())
        });
        assert!(ended.is_some(), "the list says that it has ended");

        // What has ended is not stopped again, on whatever shard the call arrives.
        for _ in 0..8 {
            let again = call(&server, "POST", "/api/v1/streams/show/stop", Some(ADMIN_KEY), "");
            assert!(again.status == 404 && json(&again)["error"].is_string(), "{again:?}");
        }
        assert_eq!(server.log().matches("stopped by the API").count(), 2, "{}", server.log());
    }
}

/// Groups of 10 s with B-frames, and a fraction of the bit rate that is declared.
#[test]
fn what_is_wrong_with_an_encoder_is_told_to_the_admin_the_metrics_and_the_log() {
    let server = Server::start(&Options { shards: 2, ..Options::default() });
    let extra = ["-b:v", "4000k", "-qmin", "30"].map(str::to_owned).to_vec();
    let source = Source { gop_frames: 300, b_frames: 3, extra, ..Source::default() };
    let mut publisher = source.publish(&server.publish_url("bad"));
    let status = || json(&call(&server, "GET", "/api/v1/streams/bad", Some(ADMIN_KEY), ""));
    let expected = ["gop_too_long", "b_frames", "bit_rate_low"];
    let findings = poll_until(PLAYABLE_WITHIN, || {
        let findings = status()["details"]["findings"].as_array()?.clone();
        let is_there = |name: &&str| findings.iter().any(|finding| finding["name"] == *name);
        expected.iter().all(is_there).then_some(findings)
    });
    let findings = findings.unwrap_or_else(|| panic!("{}", status()));
    for (name, severity, unit, setting) in [
        ("gop_too_long", "warning", "ms", "-g 60"),
        ("b_frames", "info", "ms", "-bf 0"),
        ("bit_rate_low", "info", "kbit/s", "CBR"),
    ] {
        let finding = findings.iter().find(|finding| finding["name"] == name).expect("it was there");
        assert_eq!((&finding["severity"], &finding["unit"]), (&severity.into(), &unit.into()), "{finding}");
        let number = |field: &str| finding[field].as_u64().unwrap_or_else(|| panic!("{field}: {finding}"));
        assert!(number("count") > 0 && number("value") > 0, "{finding}");
        let (first, last) = (number("firstSeenAtUnixMs"), number("lastSeenAtUnixMs"));
        assert!(first <= last && support::now_unix_ms().abs_diff(first) < 60_000, "{finding}");
        let advice = finding["advice"].as_str().unwrap_or_default();
        assert!(advice.contains(setting) && advice.contains(&number("value").to_string()), "{finding}");
    }

    // The books are kept a moment after the status.
    let metric =
        |name: &str| server.metric("rapidrtmp_stream_findings_total", &format!("finding=\"{name}\""));
    for name in expected {
        poll_until(SOON, || (metric(name) >= Some(1.0)).then_some(())).expect("it is counted");
        let said = || server.log().contains(&format!("finding=\"{name}\"")).then_some(());
        poll_until(SOON, said).expect("it is logged");
    }
    assert_eq!(metric("discontinuity"), Some(0.0));
    let text = call(&server, "GET", "/metrics", None, "").text();
    assert!(text.contains("# HELP rapidrtmp_stream_findings "), "{text}");
    let public = json(&call(&server, "GET", "/api/v1/streams/bad", None, ""));
    assert!(public.get("details").is_none() && !public.to_string().contains("gop"), "{public}");

    // They stay while what was published can be seen, and have been logged once each by then.
    publisher.stop();
    let gone = || (status()["active"] == false).then(status);
    let waiting = poll_until(SOON, gone).expect("the publisher has left");
    assert!(
        waiting["details"]["findings"].as_array().is_some_and(|findings| findings.len() >= 3),
        "{waiting}"
    );
    for name in expected {
        assert_eq!(server.log().matches(&format!("finding=\"{name}\"")).count(), 1, "{}", server.log());
    }
}

/// Predecessor's defect 8: without ffmpeg on the PATH nothing that it wrote was playable.
#[test]
#[cfg(feature = "demo")]
fn defect_8_the_server_needs_no_program_beside_itself() {
    let options = Options {
        arguments: vec!["--demo".into()],
        environment: vec![("PATH".into(), "/nowhere".into())],
        ..Options::default()
    };
    let server = Server::start(&options);
    let playable = wait_until_playable(&server.http().to_string(), "/live/demo/index.m3u8", PLAYABLE_WITHIN);
    assert_eq!(playable.media_paths.len(), 2);
    assert!(server.stdout().contains("/watch/live/demo"), "{}", server.stdout());
}

#[test]
fn what_watches_the_server_is_answered() {
    for shards in [1, 2] {
        let mut server = guarded(shards);
        assert_eq!(json(&call(&server, "GET", "/api/ping", None, ""))["message"], "pong");
        assert_eq!(json(&call(&server, "GET", "/health", None, ""))["status"], "ok");
        assert_eq!(json(&call(&server, "GET", "/ready", None, ""))["status"], "ready");

        let before = server.metric("rapidrtmp_http_requests_total", "2xx").expect("a counter");
        let response = call(&server, "GET", "/metrics", None, "");
        let kind = response.header("content-type").unwrap_or_default().to_owned();
        assert!(kind.starts_with("application/openmetrics-text"), "{kind}");
        let text = response.text();
        assert!(text.ends_with("# EOF\n"), "the exposition is whole");
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let (series, value) = line.rsplit_once(' ').expect("a series and its value");
            assert!(series.starts_with("rapidrtmp_") && value.parse::<f64>().is_ok(), "{line}");
        }
        let after = server.metric("rapidrtmp_http_requests_total", "2xx").expect("a counter");
        assert!(after > before, "{before} {after}");

        // While it drains it lives, and is not ready. Nothing marks the moment but the answer itself.
        let address = server.http();
        let asking = std::thread::spawn(move || {
            poll_until(SOON, || {
                let answer =
                    support::http::Client::connect(address).and_then(|mut client| client.get("/ready"));
                answer.ok().filter(|response| response.status == 503)
            })
        });
        let status = server.terminate(SOON);
        assert_eq!(status.and_then(|status| status.code()), Some(0));
        let draining = asking.join().expect("the thread that asks").expect("503 while it drains");
        assert_eq!(json(&draining)["status"], "draining");
    }
}

/// Predecessor's defect 16: CORS fields on some answers only, and no OPTIONS.
#[test]
fn defect_16_every_path_and_status_can_be_read_across_origins() {
    let server = guarded(1);
    for (method, path, expected, allow) in [
        ("OPTIONS", "/live/none/index.m3u8", 204, Some("GET, HEAD, POST, OPTIONS")),
        ("OPTIONS", "/api/v1/publish", 204, Some("GET, HEAD, POST, OPTIONS")),
        ("OPTIONS", "/nothing/here", 204, Some("GET, HEAD, POST, OPTIONS")),
        ("GET", "/api/v1/streams", 200, None),
        ("HEAD", "/api/v1/streams", 200, None),
        ("HEAD", "/", 200, None),
        ("GET", "/nothing/here", 404, None),
        ("GET", "/live/none/index.m3u8", 404, None),
        ("GET", "/api/v1/publish", 405, Some("POST, OPTIONS")),
        ("GET", "/api/v1/streams/a/stop", 405, Some("POST, OPTIONS")),
        ("POST", "/api/v1/streams", 405, Some("GET, HEAD, OPTIONS")),
        ("POST", "/live/none/index.m3u8", 405, Some("GET, HEAD, OPTIONS")),
        ("POST", "/", 405, Some("GET, HEAD, OPTIONS")),
        ("POST", "/api/v1/publish", 401, None),
    ] {
        let response = call(&server, method, path, None, "");
        assert_eq!(response.status, expected, "{method} {path}");
        assert_eq!(response.header("access-control-allow-origin"), Some("*"), "{method} {path}");
        assert_eq!(response.header("allow"), allow, "{method} {path}");
        if method == "HEAD" {
            let length = response.header("content-length").and_then(|length| length.parse::<usize>().ok());
            assert!(length > Some(0) && response.body.is_empty(), "{response:?}");
        }
        if method == "OPTIONS" {
            let methods = response.header("access-control-allow-methods").unwrap_or_default();
            assert!(methods.contains("GET") && methods.contains("POST"), "{response:?}");
            let headers = response.header("access-control-allow-headers").unwrap_or_default();
            assert!(headers.to_ascii_lowercase().contains("authorization"), "{response:?}");
        }
    }
}

/// Predecessor's defect 17: no bound on bodies and no time-outs.
#[test]
fn defect_17_bodies_and_idle_connections_are_bounded() {
    let config = "[http]\nidle_timeout_s = 5\nconnections_per_address_max = 20\n\
                  [ingest]\nhandshake_timeout_s = 1\npublish_timeout_s = 2\n";
    let server = Server::start(&Options { open: false, config: Some(config.into()), ..Options::default() });
    let mut client = server.client();
    let head = "POST /api/v1/publish HTTP/1.1\r\nHost: a\r\nContent-Length: 999999\r\n\r\n";
    client.send_raw(head.as_bytes()).expect("sends");
    let response = client.receive(SOON).expect("answers before the body");
    assert_eq!(response.status, 413, "{response:?}");

    let mut idle = server.client();
    assert_eq!(idle.get("/api/ping").expect("answers").status, 200);
    assert!(idle.is_closed_within(Duration::from_secs(15)), "an idle connection is closed");
    // Slower than the handshake may be: one byte, and nothing more.
    let mut silent = TcpStream::connect(server.rtmp()).expect("connects");
    silent.set_read_timeout(Some(Duration::from_secs(4))).expect("sets a time-out");
    silent.write_all(&[3]).expect("writes");
    let mut rest = Vec::new();
    silent.read_to_end(&mut rest).expect("closed before the default of 5 s");
    let late = || (server.metric("rapidrtmp_rtmp_errors_total", "timeout") >= Some(1.0)).then_some(());
    assert!(poll_until(SOON, late).is_some(), "counted as a time-out");

    let crowd: Vec<_> = (0..24).filter_map(|_| TcpStream::connect(server.http()).ok()).collect();
    let closed = crowd.into_iter().filter(|socket| {
        socket.set_read_timeout(Some(Duration::from_millis(300))).expect("sets a time-out");
        matches!((&*socket).read(&mut [0; 1]), Ok(0))
            || matches!((&*socket).read(&mut [0; 1]), Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset)
    });
    assert!(closed.count() >= 4, "no more than 20 connections of one address");
}

#[test]
fn bounds_of_streams_viewers_and_connections_hold_for_the_whole_process() {
    for shards in [1, 2] {
        let config = "[rtmp]\nconnections_max = 3\n[ingest]\nstreams_max = 2\n";
        let server = Server::start(&Options { shards, config: Some(config.into()), ..Options::default() });
        let one = try_publish(&server, "one", None);
        let two = try_publish(&server, "two", None);
        assert!(one.is_ok() && two.is_ok(), "{one:?} {two:?}");
        assert_eq!(try_publish(&server, "three", None).map(drop), Err("NetStream.Publish.Denied".into()));
        assert_eq!(server.metric("rapidrtmp_refused_total", "streams_max"), Some(1.0));
        // Who does not publish makes room for the next, where that is on the same shard.
        let _third = TcpStream::connect(server.rtmp()).expect("connects");
        let _fourth = TcpStream::connect(server.rtmp()).expect("is accepted by the kernel");
        let refused = |reason| server.metric("rapidrtmp_refused_total", reason).expect("a count");
        let full = || (refused("made_room") + refused("connections_max") == 1.0).then_some(());
        assert!(poll_until(SOON, full).is_some(), "{}", server.log());
        assert!(shards > 1 || refused("made_room") == 1.0);

        // Publishers keep their place among the connections.
        let config = "[rtmp]\nconnections_max = 2\n".to_owned();
        let server = Server::start(&Options { shards, config: Some(config), ..Options::default() });
        let publish = |key| try_publish(&server, key, None).expect("publishes");
        let _both = [publish("one"), publish("two")];
        let _third = TcpStream::connect(server.rtmp()).expect("is accepted by the kernel");
        let full =
            || (server.metric("rapidrtmp_refused_total", "connections_max") == Some(1.0)).then_some(());
        assert!(poll_until(SOON, full).is_some(), "{}", server.log());
    }
}

#[test]
fn a_silent_publisher_is_taken_over_after_the_configured_silence() {
    let config = "[ingest]\ntakeover_silence_s = 1\n";
    let server = Server::start(&Options { shards: 2, config: Some(config.into()), ..Options::default() });
    let mut first = try_publish(&server, "taken", None).expect("publishes");
    let _second = try_publish(&server, "taken", None).expect("takes over");
    // Farewell, then the end.
    let mut rest = Vec::new();
    first.read_to_end(&mut rest).expect("is closed");
}

#[test]
fn pages_and_assets_are_served_with_their_policy() {
    let hls_js = "/* a player */";
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("hls.js");
    std::fs::write(&path, hls_js).expect("writes");
    for local in [false, true] {
        let config =
            format!("[pages]\nhls_js_file = \"{}\"\n", if local { path.to_str().unwrap_or("") } else { "" });
        let server = Server::start(&Options { config: Some(config), ..Options::default() });
        let mut client = server.client();
        for page in ["/", "/watch/live/demo", "/watch/demo", "/watch/live/demo/", "/watch/a/b/c"] {
            let response = client.get(page).expect("answers");
            assert_eq!(response.status, 200, "{page}");
            assert_eq!(response.header("content-type"), Some("text/html; charset=utf-8"));
            let policy = response.header("content-security-policy").unwrap_or_default();
            assert!(policy.starts_with("default-src 'none'"), "{policy}");
            assert_eq!(policy.contains("https://cdn.jsdelivr.net"), !local, "{policy}");
            let text = response.text();
            let linked: Vec<&str> = text.split('"').filter(|word| word.starts_with("/assets/")).collect();
            assert!(linked.len() >= 2, "{text}");
            for asset in linked {
                let response = client.get(asset).expect("answers");
                assert!(response.status == 200 && response.max_age_s() > Some(0), "{asset}: {response:?}");
            }
        }
        let player = client.get("/assets/hls.js").expect("answers");
        assert_eq!(player.status, if local { 200 } else { 404 });
        assert!(!local || player.text() == hls_js);
        for bad in
            ["/watch/..%2f..%2fetc", "/watch/", "/watch/live/-x", "/assets/none.js", "/watch/api/x", "/%00"]
        {
            let response = client.get(bad).expect("answers");
            assert!(matches!(response.status, 400 | 404), "{bad}: {}", response.status);
        }
    }
}
