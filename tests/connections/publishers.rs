//! RTMP connections that collide, lie, fall silent, vanish, return, and send noise.

use crate::rtmp_publisher::{Failure, RtmpPublisher, Running};
use crate::support::http::Client;
use crate::support::poll_until;
use crate::support::server::{ADMIN_KEY, Options, Server};
use crate::{NOISE, Stage, get, media, memory_kib, newest_segment, playable, watch_undisturbed};
use rapidrtmp::rtmp::ClientError;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

pub const DENIED: &str = "NetStream.Publish.Denied";
const BAD_NAME: &str = "NetStream.Publish.BadName";

pub fn refusal(address: SocketAddr, key: &str, token: Option<&str>) -> (String, String) {
    match RtmpPublisher::connect(address, key, token) {
        Err(Failure::Rtmp(ClientError::Refused { code, description })) => (code, description),
        Err(other) => panic!("live/{key}: {other:?}"),
        Ok(_) => panic!("live/{key} is accepted"),
    }
}

#[test]
fn a_second_publisher_waits_for_the_first_to_speak_or_to_be_silent() {
    for shards in [1, 2] {
        let server = Server::start(&Options { shards, ..Options::default() });
        let first = Running::start(server.rtmp(), "taken");
        assert_eq!(refusal(server.rtmp(), "taken", None).0, BAD_NAME);
        assert!(!first.has_ended());
        // Silent, its connection open: the second one's wait ends with the key.
        let mut silent = first.stop().expect("it published until it was stopped");
        let began = Instant::now();
        let second = Running::start(server.rtmp(), "taken");
        assert!(began.elapsed() > Duration::from_secs(1), "taken over after {:?}", began.elapsed());
        match silent.end(NOISE) {
            Some(Failure::Stopped(_)) => {}
            other => panic!("the first one is told: {other:?}"),
        }
        assert_eq!(server.metric("rapidrtmp_active_publishers", ""), Some(1.0));
        playable(server.http(), "taken");
        assert!(!second.has_ended());
    }
}

#[test]
fn a_publisher_without_a_token_is_denied_and_one_that_guesses_has_to_wait() {
    for shards in [1, 2] {
        let server = Server::start(&Options { shards, open: false, ..Options::default() });
        let bearer = format!("Bearer {ADMIN_KEY}");
        let body = br#"{"streamKey":"mine"}"#;
        let fields = [("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
        let granted = server.client().request("POST", "/api/v1/publish", &fields, body).unwrap().text();
        let token = granted.split("\"token\":\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
        assert_eq!(refusal(server.rtmp(), "mine", None).0, DENIED);
        assert_eq!(refusal(server.rtmp(), "other", Some(token)).0, DENIED);
        // Four are listened to whichever shards accept them, the two above among them; on a slow machine a wait
        // of 1 s may be over meanwhile, and one of 2 s.
        (0..20).for_each(|_| drop(refusal(server.rtmp(), "mine", Some("x.y.z"))));
        let refused =
            |reason| server.metric("rapidrtmp_refused_total", &format!("reason=\"{reason}\"")).unwrap();
        let (listened, held_off) = (refused("credentials"), refused("backoff"));
        assert!((4.0..=6.0).contains(&listened), "{shards} shards listened to {listened}");
        assert_eq!(listened + held_off, 22.0);
        assert_eq!(server.metric("rapidrtmp_active_streams", ""), Some(0.0));
        let accepted = poll_until(Duration::from_secs(40), || {
            RtmpPublisher::connect(server.rtmp(), "mine", Some(token)).ok()
        });
        assert!(accepted.is_some(), "a valid token after the wait");
    }
}

#[test]
fn connections_that_do_not_publish_are_bounded_by_address_and_by_time() {
    for shards in [1, 2] {
        let config = "[rtmp]\nconnections_per_address_max = 4\n".to_owned();
        let server = Server::start(&Options { shards, config: Some(config), ..Options::default() });
        let idle: Vec<TcpStream> = (0..20).map(|_| TcpStream::connect(server.rtmp()).unwrap()).collect();
        // An address has one on each shard, whatever it has on others.
        let left_max = (4 + shards - 1) as f64;
        let is_bounded = poll_until(NOISE, || {
            let made_room = server.metric("rapidrtmp_refused_total", "reason=\"made_room\"")?;
            (made_room >= 20.0 - left_max).then_some(())
        });
        assert!(is_bounded.is_some(), "{:?}", server.metric("rapidrtmp_refused_total", ""));
        // The handshake's time is over for the others, too.
        for mut socket in idle {
            socket.set_read_timeout(Some(Duration::from_secs(5) + NOISE)).unwrap();
            let closed = socket.read(&mut [0; 16]);
            assert!(
                matches!(closed, Ok(0))
                    || closed.is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionReset)
            );
        }
        assert!(RtmpPublisher::connect(server.rtmp(), "after", None).is_ok());
    }
}

#[test]
fn a_publisher_that_sends_no_media_is_ended() {
    let config = "[ingest]\nfirst_media_timeout_s = 1\nmedia_timeout_s = 2\n".to_owned();
    for shards in [1, 2] {
        let server = Server::start(&Options { shards, config: Some(config.clone()), ..Options::default() });
        let mut none = RtmpPublisher::connect(server.rtmp(), "none", None).unwrap();
        let mut some = RtmpPublisher::connect(server.rtmp(), "some", None).unwrap();
        some.run(Duration::from_millis(1500)).unwrap();
        assert!(none.end(NOISE).is_some(), "no first media");
        assert!(some.end(Duration::from_secs(2) + NOISE).is_some(), "no further media");
        let left = poll_until(NOISE, || {
            (server.metric("rapidrtmp_active_publishers", "") == Some(0.0)).then_some(())
        });
        assert!(left.is_some());
    }
}

/// A host that is gone acknowledges nothing and sends no end. The peer's kernel is made to be so: it drops all that comes.
#[test]
fn a_publisher_whose_host_is_gone_is_told_from_one_that_pauses() {
    let config = "[ingest]\nmedia_timeout_s = 60\n".to_owned();
    for shards in [1, 2] {
        let server = Server::start(&Options { shards, config: Some(config.clone()), ..Options::default() });
        let mut pauses = RtmpPublisher::connect(server.rtmp(), "pauses", None).unwrap();
        pauses.run(Duration::from_secs(1)).unwrap();
        let mut gone = RtmpPublisher::connect(server.rtmp(), "gone", None).unwrap();
        gone.run(Duration::from_secs(1)).unwrap();
        // And one that owes an acknowledgement when it goes: of an answer to each 4,096 bytes (5.4.4).
        let mut owes = RtmpPublisher::connect(server.rtmp(), "owes", None).unwrap();
        owes.send_raw(&[2, 0, 0, 0, 0, 0, 4, 5, 0, 0, 0, 0, 0, 0, 16, 0]).unwrap();
        owes.run(Duration::from_secs(1)).unwrap();
        for publisher in [&gone, &owes] {
            let drop_all = socket2::SockFilter::new((libc::BPF_RET | libc::BPF_K) as u16, 0, 0, 0);
            socket2::SockRef::from(publisher.socket()).attach_filter(&[drop_all]).unwrap();
        }
        let began = Instant::now();
        owes.send_until(Duration::from_secs(2)).unwrap();
        let ended = poll_until(Duration::from_secs(12) + NOISE, || {
            let told = "publisher ended: its host acknowledges nothing any more";
            (server.log().matches(told).count() == 2).then_some(())
        });
        assert!(ended.is_some(), "{}", server.log());
        assert!(began.elapsed() > Duration::from_secs(5), "{:?}", began.elapsed());
        assert_eq!(server.metric("rapidrtmp_rtmp_errors_total", "reason=\"timeout\""), Some(2.0));
        assert_eq!(server.metric("rapidrtmp_active_publishers", ""), Some(1.0));
        pauses.run(Duration::from_secs(1)).unwrap();
    }
}

/// A command message on chunk stream 3, in one chunk of at most 128 bytes.
fn command(name: &str, transaction: f64, stream: u32, text: Option<&str>) -> Vec<u8> {
    let string = |text: &str| [&[2, 0, text.len() as u8], text.as_bytes()].concat();
    let mut body = [&string(name)[..], &[0], &transaction.to_be_bytes(), &[5]].concat();
    if let Some(text) = text {
        body.extend([string(text), string("live")].concat());
    }
    assert!(body.len() <= 128);
    let header = [&[3, 0, 0, 0, 0, 0, body.len() as u8, 20][..], &stream.to_le_bytes()].concat();
    [header, body].concat()
}

fn reads(socket: &mut TcpStream, wanted: &str) -> bool {
    let mut received = Vec::new();
    let found = poll_until(NOISE, || {
        let mut bytes = [0; 4096];
        // Nothing yet is as good as nothing more: the wait is bounded.
        let count = socket.read(&mut bytes).unwrap_or(0);
        received.extend_from_slice(&bytes[..count]);
        received.windows(wanted.len()).any(|window| window == wanted.as_bytes()).then_some(())
    });
    found.is_some()
}

/// The socket of a peer that has left knows no address any more.
#[test]
fn a_publisher_that_left_before_its_turn_is_logged_with_its_address() {
    for shards in [1, 2] {
        let server = Server::start(&Options { shards, ..Options::default() });
        let body = [&[2, 0, 7][..], b"connect", &[0], &1_f64.to_be_bytes()].concat();
        let object = [&[3, 0, 3][..], b"app", &[2, 0, 4], b"live", &[0, 0, 9]].concat();
        let header = [3, 0, 0, 0, 0, 0, (body.len() + object.len()) as u8, 20, 0, 0, 0, 0];
        for number in 0..8 {
            let publish = command("publish", 3.0, 1, Some(&format!("gone{number}")));
            let opening = [&[3][..], &[0; 2 * 1536], &header, &body, &object].concat();
            let all = [opening, command("createStream", 2.0, 0, None), publish].concat();
            // Our answers to it are refused by a socket that is no more.
            TcpStream::connect(server.rtmp()).unwrap().write_all(&all).unwrap();
        }
        let ended = || (server.log().matches("publisher ended: ").count() == 8).then_some(());
        assert!(poll_until(NOISE, ended).is_some(), "{}", server.log());
        assert_eq!(server.log().matches("publisher ended: ").count(), 8);
        for line in server.log().lines().filter(|line| line.contains("stream=live/gone")) {
            assert!(line.contains("peer=127.0.0.1"), "{line}");
        }
    }
}

#[test]
fn a_connection_that_has_unpublished_may_publish_another_stream() {
    for shards in [1, 2] {
        let server = Server::start(&Options { shards, ..Options::default() });
        let mut publisher = RtmpPublisher::connect(server.rtmp(), "first", None).unwrap();
        publisher.run(Duration::from_millis(500)).unwrap();
        let mut socket = publisher.socket().try_clone().unwrap();
        // All at once: what stands behind a goodbye is not lost.
        let delete = command("closeStream", 0.0, 1, None);
        socket.write_all(&[delete, command("createStream", 7.0, 0, None)].concat()).unwrap();
        assert!(reads(&mut socket, "_result"));
        socket.write_all(&command("publish", 8.0, 2, Some("second"))).unwrap();
        assert!(reads(&mut socket, "NetStream.Publish.Start"));
        let live = poll_until(NOISE, || {
            let list = get(&mut server.client(), "/api/v1/streams").text();
            (list.contains("live/second") && server.metric("rapidrtmp_active_publishers", "") == Some(1.0))
                .then_some(())
        });
        assert!(live.is_some(), "{}", server.log());
    }
}

#[test]
fn a_publisher_that_returns_within_the_grace_goes_on_in_the_same_session() {
    for shards in [1, 2] {
        let stage = Stage::start(shards);
        let path = stage.video().to_owned();
        let mut client = stage.server.client();
        // Reset, as by a crash; then FCUnpublish, as by a user who changes a setting.
        let mut publisher = stage.publisher;
        for how in ["reset", "unpublish"] {
            let gone = publisher.stop().expect("it published until it was stopped");
            match how {
                "reset" => gone.reset(),
                _ => gone.unpublish().unwrap(),
            }
            let left = poll_until(NOISE, || {
                (stage.server.metric("rapidrtmp_active_publishers", "") == Some(0.0)).then_some(())
            });
            assert!(left.is_some(), "{how}");
            let before = media(&get(&mut client, &path));
            assert!(!before.ended, "{how}: the session waits");
            publisher = Running::start(stage.server.rtmp(), "stage");
            let went_on = poll_until(crate::PLAYABLE_WITHIN, || {
                let now = media(&get(&mut client, &path));
                let next = before.media_sequence + before.segments.len() as u64;
                let resumed = now
                    .segments
                    .iter()
                    .any(|segment| segment.media_sequence >= next && segment.discontinuity);
                (resumed && !now.ended).then_some(())
            });
            assert!(went_on.is_some(), "{how}: {}", get(&mut client, &path).text());
        }
        assert_eq!(stage.server.metric("rapidrtmp_streams_started_total", ""), Some(1.0));
    }
}

/// A connection from one of the loopback's many addresses, of which each has its own bound.
fn connect_from(from: [u8; 4], to: SocketAddr) -> TcpStream {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((from, 0)).into()).unwrap();
    socket.connect(&to.into()).unwrap();
    socket.into()
}

#[test]
fn a_thousand_connections_that_say_nothing_keep_no_encoder_from_publishing() {
    const SILENT_COUNT: u16 = 1000;
    crate::support::allow_open_files(8192);
    // Their deadlines do not help: only those who come later do.
    let config = "[ingest]\nhandshake_timeout_s = 60\npublish_timeout_s = 120\n".to_owned();
    for shards in [1, 2] {
        let server = Server::start(&Options { shards, config: Some(config.clone()), ..Options::default() });
        let silent = |number: u16| {
            let [high, low] = (number / 15).to_be_bytes();
            let mut socket = connect_from([127, 1, high, low], server.rtmp());
            // Nothing, a version, half a handshake.
            socket.write_all(&[3; 900][..[0, 1, 900][usize::from(number) % 3]]).unwrap();
            socket
        };
        let _held: Vec<TcpStream> = (0..SILENT_COUNT).map(silent).collect();
        let accepted = |count: u16| {
            poll_until(NOISE * 2, || {
                let accepted = server.metric("rapidrtmp_rtmp_connections_total", "")?;
                (accepted >= f64::from(count)).then_some(())
            })
        };
        assert!(accepted(SILENT_COUNT).is_some(), "all of them are let in");
        let began = Instant::now();
        let publishers: Vec<Running> =
            (0..5).map(|number| Running::start(server.rtmp(), &format!("through{number}"))).collect();
        eprintln!("{shards} shards: 5 encoders publish after {:?}", began.elapsed());
        let made_room = || server.metric("rapidrtmp_refused_total", "reason=\"made_room\"").unwrap_or(0.0);
        assert_eq!(made_room(), 5.0, "each took the place of one");
        // More of them, in place of one another: who publishes has its place for good.
        let _more: Vec<TcpStream> = (SILENT_COUNT..SILENT_COUNT + 300).map(silent).collect();
        assert!(accepted(SILENT_COUNT + 305).is_some());
        assert_eq!(made_room(), 305.0);
        assert_eq!(server.metric("rapidrtmp_refused_total", "reason=\"connections_max\""), Some(0.0));
        assert_eq!(server.metric("rapidrtmp_active_publishers", ""), Some(5.0));
        assert!(!publishers.iter().any(Running::has_ended));
    }
}

/// Predecessor's defect 7: one lock had all streams muxed one after the other.
#[test]
fn defect_7_a_hundred_publishers_are_all_live_at_once_and_all_leave() {
    let _machine = crate::machine();
    for shards in [1, 2] {
        let server = Server::start(&Options { shards, ..Options::default() });
        let keys: Vec<String> = (0..100).map(|number| format!("crowd{number}")).collect();
        let publishers: Vec<Running> = keys.iter().map(|key| Running::start(server.rtmp(), key)).collect();
        assert_eq!(server.metric("rapidrtmp_active_streams", ""), Some(100.0));
        let one_more = refusal(server.rtmp(), "one-more", None);
        assert_eq!((one_more.0.as_str(), one_more.1.contains("too many streams")), (DENIED, true));
        for key in &keys {
            playable(server.http(), key);
        }
        assert_eq!(server.metric("rapidrtmp_active_publishers", ""), Some(100.0));
        assert!(!publishers.iter().any(Running::has_ended));
        drop(publishers);
        let left = poll_until(Duration::from_secs(20), || {
            (server.metric("rapidrtmp_active_publishers", "") == Some(0.0)).then_some(())
        });
        assert!(left.is_some(), "{:?} are left", server.metric("rapidrtmp_active_publishers", ""));
    }
}

/// A file that is not sent in real time: it is held back, and not cut.
#[test]
fn a_publisher_far_ahead_of_its_time_is_read_in_real_time_and_one_that_floods_is_slowed() {
    for shards in [1, 2] {
        let server = Server::start(&Options { shards, latency: Some("ultra"), ..Options::default() });
        let mut publisher = RtmpPublisher::connect(server.rtmp(), "file", None).unwrap();
        // More messages than are read at once, of no content (the burst is 4,000).
        let pings: Vec<u8> = [2, 0, 0, 0, 0, 0, 6, 4, 0, 0, 0, 0, 0, 3, 0, 0, 0, 1]
            .into_iter()
            .cycle()
            .take(18 * 6000)
            .collect();
        publisher.send_raw(&pings).unwrap();
        let began = Instant::now();
        publisher.send_until(Duration::from_secs(36)).unwrap();
        let frames = || server.metric("rapidrtmp_frames_received_total", "type=\"video\"").unwrap_or(0.0);
        let at_once = poll_until(NOISE * 2, || (frames() >= 890.0).then_some(()));
        assert!(at_once.is_some(), "{} frames", frames());
        assert!(began.elapsed() > Duration::from_millis(900), "the messages took {:?}", began.elapsed());
        let early = frames();
        assert!(
            early < 1070.0 || began.elapsed() > Duration::from_secs(5),
            "{early} frames are not held back"
        );
        let all = poll_until(NOISE * 4, || (frames() >= 1080.0).then_some(()));
        assert!(all.is_some(), "{} frames", frames());
        assert!(began.elapsed() > Duration::from_secs(5), "36 s of media in {:?}", began.elapsed());
        playable(server.http(), "file");
        publisher.exchange().unwrap();
        assert_eq!(server.metric("rapidrtmp_active_publishers", ""), Some(1.0));
    }
}

#[test]
fn a_publisher_that_never_reads_publishes_all_the_same() {
    for shards in [1, 2] {
        let server = Server::start(&Options { shards, latency: Some("ultra"), ..Options::default() });
        let mut publisher = RtmpPublisher::connect(server.rtmp(), "deaf", None).unwrap();
        publisher.picture_bytes = 50_000;
        socket2::SockRef::from(publisher.socket()).set_recv_buffer_size(1).unwrap();
        // An acknowledgement of every 4,096 bytes is asked for (5.4.4), and none is read.
        publisher.send_raw(&[2, 0, 0, 0, 0, 0, 4, 5, 0, 0, 0, 0, 0, 0, 16, 0]).unwrap();
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let began = Instant::now();
                while !stop.load(Ordering::Relaxed) {
                    publisher.send_until(began.elapsed()).expect("the server takes its media");
                    std::thread::sleep(Duration::from_millis(10));
                }
            });
            let path = playable(server.http(), "deaf").remove(0);
            watch_undisturbed(server.http(), &path, Duration::from_secs(6));
            stop.store(true, Ordering::Relaxed);
        });
    }
}

/// Predecessor's defect 7: one lock around all streams' segments.
#[test]
fn defect_7_a_stream_that_stands_still_in_mid_frame_holds_up_no_other() {
    let stage = Stage::start(1);
    let still = Running::start(stage.server.rtmp(), "still");
    let path = playable(stage.server.http(), "still").remove(0);
    let mut still = still.stop().expect("it published until it was stopped");
    // A picture of 60,000 bytes on chunk stream 6, of which 105 come: its part is open, its frame too.
    still.send_raw(&[6, 0, 12, 0, 0, 0xea, 0x60, 9, 1, 0, 0, 0, 0x27, 1, 0, 0, 0]).unwrap();
    still.send_raw(&[7; 100]).unwrap();
    watch_undisturbed(stage.server.http(), stage.video(), Duration::from_secs(4));
    assert!(!stage.publisher.has_ended());
    // Nor itself: what it had listed can be had.
    let mut client = Client::connect(stage.server.http()).unwrap();
    let listed = media(&get(&mut client, &path));
    assert_eq!(get(&mut client, &newest_segment(&path, &listed)).status, 200);
}

#[test]
fn noise_on_both_ports_costs_no_memory_and_disturbs_no_stream() {
    let _machine = crate::machine();
    const NOISE_FOR: Duration = Duration::from_secs(8);
    for shards in [1, 2] {
        let stage = Stage::start(shards);
        let (rtmp, http) = (stage.server.rtmp(), stage.server.http());
        let before_kib = memory_kib(stage.server.process_id(), "VmRSS");
        std::thread::scope(|scope| {
            scope.spawn(|| watch_undisturbed(http, stage.video(), NOISE_FOR));
            for (seed, address) in [(1, rtmp), (2, rtmp), (3, http), (4, http)] {
                scope.spawn(move || noise(seed, address, NOISE_FOR));
            }
            for seed in [5, 6] {
                scope.spawn(move || noise_after_a_publish(seed, rtmp, NOISE_FOR));
            }
        });
        let peak_kib = memory_kib(stage.server.process_id(), "VmHWM");
        // Two keys that noise was published to may each hold a message of 8 MiB; the stream itself grows, too.
        assert!(peak_kib < before_kib + 64 * 1024, "{before_kib} KiB, then {peak_kib} KiB");
        assert_eq!(stage.server.metric("rapidrtmp_panics_total", ""), Some(0.0));
        assert!(!stage.publisher.has_ended());
    }
}

struct Xorshift(u64);

impl Xorshift {
    fn fill(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            *byte = (self.0 >> 24) as u8;
        }
    }
}

/// Connections that send random bytes until they are closed, or have sent 200,000.
fn noise(seed: u64, address: SocketAddr, for_time: Duration) {
    let mut random = Xorshift(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let end = Instant::now() + for_time;
    let mut connections = 0;
    while Instant::now() < end {
        let Ok(mut socket) = TcpStream::connect(address) else { continue };
        connections += 1;
        let mut bytes = [0; 2000];
        for _ in 0..100 {
            random.fill(&mut bytes);
            // A first byte that is RTMP's version, every other time.
            bytes[0] = if connections % 2 == 0 { 3 } else { bytes[0] };
            if socket.write_all(&bytes).is_err() {
                break;
            }
        }
        // The server may have closed it already.
        let _ = socket.shutdown(Shutdown::Write);
    }
    assert!(connections > 10, "{connections} connections");
}

/// The same behind a publish that was accepted, after a second of media or at once.
fn noise_after_a_publish(seed: u64, address: SocketAddr, for_time: Duration) {
    let mut random = Xorshift(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let end = Instant::now() + for_time;
    let mut rounds = 0;
    while Instant::now() < end {
        let Ok(mut publisher) = RtmpPublisher::connect(address, &format!("noise{seed}"), None) else {
            continue;
        };
        rounds += 1;
        if rounds % 2 == 0 && publisher.run(Duration::from_secs(1)).is_err() {
            continue;
        }
        let mut bytes = [0; 500];
        for _ in 0..100 {
            random.fill(&mut bytes);
            if publisher.send_raw(&bytes).is_err() {
                break;
            }
        }
    }
    assert!(rounds > 1, "{rounds} rounds");
}
