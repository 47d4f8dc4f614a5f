//! HTTP connections that pipeline, drip, hang up, half-ask and do not read.

use crate::rtmp_publisher::{RtmpPublisher, Running};
use crate::support::http::{Client, resolve};
use crate::support::poll_until;
use crate::support::server::{Options, Server};
use crate::{
    NOISE, Stage, get, media, memory_kib, newest_segment, next_part, next_segment, playable,
    watch_undisturbed,
};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

const BLOCKED: &str = "rapidrtmp_blocked_requests";
/// `HTTP_HEAD_US_MAX`.
const DRIP_MAX: Duration = Duration::from_secs(10);
/// `HTTP_SEND_STALL_US_MAX`, and `HTTP_SEND_FILL_EARNED_US_MAX` for what the sockets held.
const STILL_MAX: Duration = Duration::from_secs(20);

#[test]
fn viewers_are_answered_in_order_whatever_they_send_and_when() {
    for shards in [1, 2] {
        let stage = Stage::start(shards);
        pipelined_requests_are_answered_in_order(&stage);
        a_head_may_come_in_any_pieces(&stage);
        http_1_0_closes_unless_asked_to_stay(&stage);
        heads_beyond_the_bounds_are_refused_and_the_connection_closed(&stage);
        a_body_is_asked_for_and_a_request_behind_it_answered(&stage);
        a_body_that_nobody_reads_closes_the_connection(&stage);
        a_request_behind_a_blocked_reload_is_answered_after_it(&stage);
        a_pile_of_requests_behind_a_blocked_reload_is_bounded_and_answered(&stage);
        a_waiter_that_hangs_up_is_freed(&stage);
        media_has_ranges_and_validators_and_reloads_have_neither(&stage);
        blocked_reloads_are_compressed_and_cached_as_they_may(&stage);
        assert!(!stage.publisher.has_ended());
    }
}

fn raw(stage: &Stage, bytes: &[u8]) -> Client {
    let mut client = stage.server.client();
    client.send_raw(bytes).unwrap();
    client
}

fn status(client: &mut Client) -> u16 {
    client.receive(Duration::from_secs(20)).unwrap().status
}

fn pipelined_requests_are_answered_in_order(stage: &Stage) {
    let one = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
    // More than one read takes, so that heads are cut.
    let many = one("/health") + &one("/nothing/here") + &one(stage.video());
    let mut client = raw(stage, many.repeat(500).as_bytes());
    for _ in 0..500 {
        assert_eq!([status(&mut client), status(&mut client), status(&mut client)], [200, 404, 200]);
    }
}

fn a_head_may_come_in_any_pieces(stage: &Stage) {
    let mut client = stage.server.client();
    for _ in 0..2 {
        for byte in "GET /health HTTP/1.1\r\nHost: a\r\n\r\n".bytes() {
            client.send_raw(&[byte]).unwrap();
        }
        assert_eq!(status(&mut client), 200);
    }
}

fn http_1_0_closes_unless_asked_to_stay(stage: &Stage) {
    let mut client = raw(stage, b"GET /health HTTP/1.0\r\n\r\n");
    assert_eq!(status(&mut client), 200);
    assert!(client.is_closed_within(NOISE));
    let mut client = raw(stage, b"GET /health HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    let response = client.receive(NOISE).unwrap();
    assert_eq!(response.header("connection"), Some("keep-alive"));
    client.send_raw(b"GET /health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
    assert_eq!(status(&mut client), 200);
    assert!(client.is_closed_within(NOISE));
}

fn heads_beyond_the_bounds_are_refused_and_the_connection_closed(stage: &Stage) {
    let long_field = format!("GET / HTTP/1.1\r\nHost: a\r\nCookie: {}\r\n\r\n", "x".repeat(9000));
    let long_target = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(5000));
    let endless_target = "GET /".to_owned() + &"x".repeat(40_000);
    for (head, expected) in
        [(long_field, 431), (long_target, 414), (endless_target, 414), ("\0\r\n\r\n".into(), 400)]
    {
        let mut client = raw(stage, head.as_bytes());
        assert_eq!(status(&mut client), expected);
        assert!(client.is_closed_within(NOISE), "{expected}");
    }
}

fn a_body_is_asked_for_and_a_request_behind_it_answered(stage: &Stage) {
    let mut socket = TcpStream::connect(stage.server.http()).unwrap();
    socket.set_read_timeout(Some(NOISE)).unwrap();
    let body = br#"{"streamKey":"mine"}"#;
    let head = format!(
        "POST /api/v1/publish HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\nExpect: 100-continue\r\nContent-Length: {}\r\n\r\n",
        crate::support::server::ADMIN_KEY,
        body.len(),
    );
    socket.write_all(head.as_bytes()).unwrap();
    let mut asked = [0; 25];
    socket.read_exact(&mut asked).unwrap();
    assert_eq!(&asked, b"HTTP/1.1 100 Continue\r\n\r\n");
    socket.write_all(body).unwrap();
    socket.write_all(b"GET /health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    socket.read_to_string(&mut text).unwrap();
    assert!(text.starts_with("HTTP/1.1 201 ") || text.starts_with("HTTP/1.1 200 "), "{text}");
    assert!(text.contains("publishUrl") && text.matches("HTTP/1.1 ").count() == 2, "{text}");
}

fn a_body_that_nobody_reads_closes_the_connection(stage: &Stage) {
    for target in [stage.video(), "/live/stage/index.m3u8", "/nothing"] {
        let head = format!("POST {target} HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nGET /");
        let mut client = raw(stage, head.as_bytes());
        assert_eq!(status(&mut client), 405, "{target}");
        assert!(client.is_closed_within(NOISE), "{target}");
    }
}

/// The partial head behind the reload gets its own time: the reload's is over when the rest comes.
fn a_request_behind_a_blocked_reload_is_answered_after_it(stage: &Stage) {
    let mut client = stage.server.client();
    let held = media(&get(&mut client, stage.video()));
    let target = next_segment(stage.video(), &held);
    let pair = format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\nGET /health HT");
    client.send_raw(pair.as_bytes()).unwrap();
    let reload = client.receive(Duration::from_secs(20)).unwrap();
    assert_eq!(reload.status, 200);
    assert!(
        media(&reload).segments.last().map(|segment| segment.media_sequence)
            > held.segments.last().map(|segment| segment.media_sequence)
    );
    std::thread::sleep(Duration::from_secs(3 * held.target_duration_s + 1));
    client.send_raw(b"TP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert_eq!(status(&mut client), 200);
    // A whole one, sent while the reload waits.
    let held = media(&get(&mut client, stage.video()));
    client.send("GET", &next_segment(stage.video(), &held), &[], &[]).unwrap();
    std::thread::sleep(Duration::from_millis(100));
    client.send_raw(b"GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert_eq!([status(&mut client), status(&mut client)], [200, 404]);
}

fn a_pile_of_requests_behind_a_blocked_reload_is_bounded_and_answered(stage: &Stage) {
    let media = media(&get(&mut stage.server.client(), stage.video()));
    let blocked = crate::next_part(stage.video(), &media);
    // Several reads of 64 KiB, of which the first goes beyond what is held behind a waiting request.
    let pile = "GET /health HTTP/1.1\r\nHost: a\r\n\r\n".repeat(5000);
    let mut client = raw(stage, format!("GET {blocked} HTTP/1.1\r\nHost: a\r\n\r\n{pile}").as_bytes());
    for _ in 0..=5000 {
        assert_eq!(status(&mut client), 200);
    }
}

fn a_waiter_that_hangs_up_is_freed(stage: &Stage) {
    let blocked = || stage.server.metric(BLOCKED, "");
    let held = media(&get(&mut stage.server.client(), stage.video()));
    let mut waiters: Vec<Client> = (0..20).map(|_| stage.server.client()).collect();
    let disconnects = stage.server.metric("rapidrtmp_http_disconnects_total", "").unwrap();
    let target = next_segment(stage.video(), &held);
    for waiter in &mut waiters {
        waiter.send("GET", &target, &[], &[]).unwrap();
    }
    drop(waiters);
    // Long before the segment would have come to all of them: nobody waits, and all tasks are gone.
    let freed = poll_until(NOISE, || {
        let gone = stage.server.metric("rapidrtmp_http_disconnects_total", "")? - disconnects;
        (gone >= 20.0 && blocked() == Some(0.0)).then_some(())
    });
    assert!(freed.is_some(), "{:?} wait", blocked());
}

fn media_has_ranges_and_validators_and_reloads_have_neither(stage: &Stage) {
    let mut client = stage.server.client();
    let held = media(&get(&mut client, stage.video()));
    let segment = newest_segment(stage.video(), &held);
    let whole = get(&mut client, &segment);
    assert_eq!((whole.status, whole.header("accept-ranges")), (200, Some("bytes")));
    let etag = whole.header("etag").unwrap().to_owned();
    let mut ask =
        |method: &str, fields: &[(&str, &str)]| client.request(method, &segment, fields, &[]).unwrap();
    let ranged = ask("GET", &[("Range", "bytes=10-19")]);
    assert_eq!((ranged.status, &ranged.body[..]), (206, &whole.body[10..20]));
    assert_eq!(ranged.header("content-range"), Some(&*format!("bytes 10-19/{}", whole.body.len())));
    assert_eq!(ask("GET", &[("Range", "bytes=-5")]).body, whole.body[whole.body.len() - 5..]);
    assert_eq!(ask("GET", &[("Range", "bytes=999999999-")]).status, 416);
    assert_eq!(ask("GET", &[("Range", "bytes=0-1"), ("If-Range", "\"other\"")]).status, 200);
    assert_eq!(ask("GET", &[("Range", "bytes=0-1"), ("If-Range", &etag)]).status, 206);
    let head = ask("HEAD", &[]);
    let length = whole.body.len().to_string();
    assert_eq!((head.status, head.header("content-length"), head.body.len()), (200, Some(&*length), 0));
    assert_eq!(ask("GET", &[("If-None-Match", &etag)]).status, 304);
    // A hinted part that is waited for: its range is honoured, too.
    let hint = resolve(stage.video(), held.hinted_part().unwrap());
    let hinted = client.request("GET", &hint, &[("Range", "bytes=0-7")], &[]).unwrap();
    assert_eq!((hinted.status, hinted.body.len()), (206, 8));
    // Playlists: no ranges; 304 for the plain one only.
    let held =
        get(&mut client, &next_part(stage.video(), &media(&get(&mut client_of(stage), stage.video()))));
    let etag = held.header("etag").unwrap().to_owned();
    let listed = media(&held);
    let part = listed.open.as_ref().map_or(0, |open| open.parts.len());
    if let (Some(open), 1..) = (&listed.open, part) {
        let same = format!("{}?_HLS_msn={}&_HLS_part={}", stage.video(), open.media_sequence, part - 1);
        let again = client.request("GET", &same, &[("If-None-Match", &etag), ("Range", "bytes=0-3")], &[]);
        assert_eq!(again.unwrap().status, 200, "a reload is news");
    }
    let multivariant = get(&mut client, "/live/stage/index.m3u8");
    let etag = multivariant.header("etag").unwrap().to_owned();
    let again = client.request("GET", "/live/stage/index.m3u8", &[("If-None-Match", &etag)], &[]).unwrap();
    assert_eq!(again.status, 304);
    let again = client.request("GET", "/live/stage/index.m3u8", &[("Range", "bytes=0-3")], &[]).unwrap();
    assert_eq!(again.status, 200);
}

fn client_of(stage: &Stage) -> Client {
    stage.server.client()
}

fn blocked_reloads_are_compressed_and_cached_as_they_may(stage: &Stage) {
    let mut client = stage.server.client();
    let plain = get(&mut client, stage.video());
    let held = media(&plain);
    let target = next_part(stage.video(), &held);
    let mut other = stage.server.client();
    client.send("GET", &target, &[("Accept-Encoding", "gzip")], &[]).unwrap();
    other.send("GET", &target, &[], &[]).unwrap();
    let (zipped, unzipped) = (client.receive(NOISE).unwrap(), other.receive(NOISE).unwrap());
    assert_eq!(zipped.header("content-encoding"), Some("gzip"));
    assert_eq!(zipped.header("vary"), Some("Accept-Encoding"));
    assert_eq!(unzipped.header("content-encoding"), None);
    assert_ne!(zipped.header("etag"), unzipped.header("etag"));
    assert_eq!(media(&zipped).media_sequence, media(&unzipped).media_sequence);
    assert_eq!(zipped.max_age_s(), Some(6 * held.target_duration_s));
    let short = if held.target_duration_s >= 2 { Some(held.target_duration_s / 2) } else { None };
    assert_eq!(plain.max_age_s(), short, "{:?}", plain.header("cache-control"));
    assert!(get(&mut client, "/live/other/index.m3u8").is_no_store());
    let far = format!("{}?_HLS_msn={}", stage.video(), held.media_sequence + 500);
    let refused = get(&mut client, &far);
    assert!(refused.status == 400 && refused.is_no_store());
    let init =
        resolve(stage.video(), &held.segments.iter().find_map(|segment| segment.map.as_ref()).unwrap().uri);
    let response = get(&mut client, &init);
    assert!(response.header("cache-control").is_some_and(|value| value.contains("immutable")));
    assert!(response.max_age_s() >= Some(6 * held.target_duration_s));
}

#[test]
fn a_dripping_head_and_a_reader_that_stands_still_are_cut_off_and_disturb_nobody() {
    for shards in [1, 2] {
        let server = Server::start(&Options { shards, ..Options::default() });
        let mut publisher = RtmpPublisher::connect(server.rtmp(), "large", None).unwrap();
        // 12 Mbit/s: a segment of two seconds is 3 MB.
        publisher.picture_bytes = 50_000;
        let publisher = Running::go_on(publisher);
        let path = playable(server.http(), "large").remove(0);
        let segment = newest_segment(&path, &media(&get(&mut server.client(), &path)));
        std::thread::scope(|scope| {
            scope.spawn(|| watch_undisturbed(server.http(), &path, STILL_MAX + NOISE));
            scope.spawn(|| a_dripping_head_is_cut_off(&server));
            // Far more than both sockets hold.
            let mut reader = server.client();
            let request = format!("GET {segment} HTTP/1.1\r\nHost: a\r\n\r\n");
            reader.send_raw(request.repeat(12).as_bytes()).unwrap();
            let dropped = poll_until(STILL_MAX + NOISE, || {
                (server.metric("rapidrtmp_http_errors_total", "reason=\"slow_reader\"")? >= 1.0).then_some(())
            });
            assert!(dropped.is_some(), "a reader that stands still is dropped");
        });
        assert!(!publisher.has_ended());
    }
}

fn a_dripping_head_is_cut_off(server: &Server) {
    let mut client = server.client();
    let began = Instant::now();
    client.send_raw(b"GET /health HTTP/1.1\r\nHost: a\r\nX: ").unwrap();
    while !client.is_closed_within(Duration::from_millis(700)) && client.send_raw(b"x").is_ok() {
        assert!(began.elapsed() < DRIP_MAX + NOISE, "a byte now and then buys no time");
    }
    assert!(began.elapsed() + Duration::from_secs(1) > DRIP_MAX, "cut off after {:?}", began.elapsed());
}

#[test]
fn unknown_names_keep_no_memory() {
    for shards in [1, 2] {
        let server = Server::start(&Options { shards, ..Options::default() });
        let ask = |from: u32, count: u32| {
            let mut client = server.client();
            for number in from..from + count {
                let target = match number % 3 {
                    0 => format!("/live/unknown{number}/index.m3u8"),
                    1 => format!("/app{number}/key/0f3k9q2c-2-334/v.m3u8?_HLS_msn=3"),
                    _ => format!("/live/unknown{number}/0f3k9q2c0000/v-1.m4s"),
                };
                assert_eq!(get(&mut client, &target).status, 404, "{target}");
            }
        };
        ask(0, 3_000);
        let before_kib = memory_kib(server.process_id(), "VmRSS");
        ask(10_000, 9_000);
        let after_kib = memory_kib(server.process_id(), "VmRSS");
        // A hundred bytes a name would be 900 KB.
        assert!(after_kib < before_kib + 512, "{before_kib} KiB, then {after_kib} KiB");
        assert_eq!(server.metric("rapidrtmp_active_streams", ""), Some(0.0));
    }
}
