//! Viewers who take a segment so slowly that it has long left retention, each of them another one.

use crate::rtmp_publisher::{RtmpPublisher, Running};
use crate::support::http::{Client, resolve};
use crate::support::playlist::parse_media;
use crate::support::publisher::wait_until_playable;
use crate::{NOISE, PLAYABLE_WITHIN, RETAINED_BYTES_MAX, is_pressed, machine, memory, metric, start};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// A second of it is a segment, of five parts that nearly fill their buffers.
const PICTURE_BYTES: usize = 20_000;
/// Of memory, with the sound.
const BYTES_PER_S: u64 = 5 * (128 + 16) * 1024;
/// Reads a little more than the slowest line takes: 10 kB a second.
const READ_EVERY: Duration = Duration::from_millis(100);
const READ_BYTES: usize = 1024;
/// How long they have, and how soon it is noticed.
const CUT_WITHIN_S: u64 = 20 + 2 + 1;
const PRESSED_FOR: Duration = Duration::from_secs(70);

/// Asks for it through a socket that holds next to nothing, and reads no answer yet.
fn slow_reader(address: std::net::SocketAddr, path: &str) -> TcpStream {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    socket.set_recv_buffer_size(4096).expect("a small buffer");
    socket.connect(&address.into()).expect("connects");
    let mut socket: TcpStream = socket.into();
    write!(socket, "GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").expect("asks");
    socket.set_nonblocking(true).expect("a socket that does not block");
    socket
}

#[test]
fn slow_viewers_hold_no_more_media_than_a_stream_may_keep_and_those_who_are_quick_notice_nothing() {
    let _machine = machine();
    let (server, bounds) = start("", Vec::new());
    let before = memory(&server, "VmRSS");
    let mut publisher = RtmpPublisher::connect(server.rtmp(), "large", None).expect("anyone may publish");
    publisher.picture_bytes = PICTURE_BYTES;
    let publisher = Running::go_on(publisher);
    let http = server.http().to_string();
    let path = wait_until_playable(&http, "/live/large/index.m3u8", PLAYABLE_WITHIN).media_paths.remove(0);
    let mut quick = Client::connect(server.http()).expect("connects");
    let (mut slow, mut newest, mut most_lent) = (Vec::new(), None, 0.0_f64);
    let end = Instant::now() + PRESSED_FOR;
    while Instant::now() < end {
        let held = parse_media(&quick.get(&path).expect("an answer").text()).expect("a playlist");
        let segment = held.segments.last().expect("a complete segment");
        if newest.replace(segment.media_sequence) != Some(segment.media_sequence) {
            let path = resolve(&path, segment.uri.as_deref().expect("it has a URI"));
            slow.push(slow_reader(server.http(), &path));
            let asked = Instant::now();
            assert_eq!(quick.get(&path).expect("an answer").status, 200);
            assert!(asked.elapsed() < NOISE, "{:?}", asked.elapsed());
        }
        slow.retain_mut(|socket: &mut TcpStream| match socket.read(&mut [0; READ_BYTES]) {
            Ok(count) => count > 0,
            Err(error) => error.kind() == std::io::ErrorKind::WouldBlock,
        });
        most_lent = most_lent.max(metric(&server, "lent_bytes", ""));
        std::thread::sleep(READ_EVERY);
    }
    let cut = metric(&server, "http_errors_total", "reason=\"slow_reader\"");
    eprintln!(
        "slow viewers held {most_lent} bytes at the most; {cut} of them were cut, {} are left",
        slow.len()
    );
    assert!(cut > 0.0 && most_lent > RETAINED_BYTES_MAX as f64, "{most_lent} bytes: nobody held too much");
    // What the stream lets go of until those are cut who hold it.
    let lent_max = RETAINED_BYTES_MAX + CUT_WITHIN_S * BYTES_PER_S;
    assert!(most_lent < lent_max as f64, "{most_lent} bytes of {lent_max}");
    assert!(!publisher.has_ended(), "{}", server.log());
    is_pressed(
        &server,
        "stream with slow viewers",
        1,
        before,
        bounds.stream + bounds.shard,
        RETAINED_BYTES_MAX,
    );
    drop(slow);
    let let_go = || (metric(&server, "lent_bytes", "") == 0.0).then_some(());
    assert!(crate::support::poll_until(NOISE * 2, let_go).is_some(), "{}", metric(&server, "lent_bytes", ""));
}
