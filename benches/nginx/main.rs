//! What a response costs beside nginx: the same bytes from either server, over keep-alive connections.
//!
//! The server carries a published stream of 2 Mbit/s; a playlist, a part and a segment that it lists are asked
//! for again and again, as fast as the answers come. nginx has the same bodies as static files. Each runs on the
//! first processor, in a process of its own, the clients on the last; they take turns, and what counts is the
//! ratio of the processor time a response within one round.
//!
//! `cargo bench --bench nginx -- [--connections 50] [--seconds 1] [--rounds 7]`; nginx must be installed.
#![allow(clippy::print_stdout)]

#[path = "../floor/epoll.rs"]
#[expect(dead_code, reason = "the floor bench uses the rest")]
mod epoll;
#[path = "../floor/listed.rs"]
mod listed;
#[path = "../floor/publisher.rs"]
mod publisher;
mod servers;

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use epoll::{Epoll, cpu_ns_of, pin_to};
use servers::{Nginx, Served, get};

/// Until buffers and caches are what they will be.
const WARM_UP: Duration = Duration::from_millis(200);

/// What is asked for.
const NAMES: [&str; 3] = ["playlist", "part", "segment"];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |flag: &str, default: u64| {
        let place = arguments.iter().position(|argument| argument == flag);
        place.map_or(default, |place| arguments[place + 1].parse().expect("a number"))
    };
    let connections_count = number("--connections", 50) as usize;
    let time = Duration::from_secs(number("--seconds", 1));
    let rounds_count = number("--rounds", 7);

    let processors = rapidrtmp::shard::placement::allowed_processors();
    let served = Served::start();
    publisher::start(served.rtmp);
    pin_to(*processors.last().expect("a processor"));

    // By resource: microseconds of ours and nginx's, and their ratio, of each round.
    let mut found = NAMES.map(|_| Vec::new());
    let mut body_bytes = [0; NAMES.len()];
    for round in 1..=rounds_count {
        eprintln!("round {round} of {rounds_count}");
        // What is listed now: older media leaves the window.
        let paths = served.paths();
        let bodies = paths.each_ref().map(|path| get(served.http, path));
        let nginx = Nginx::start(processors[0], &bodies);
        for (resource, path) in paths.iter().enumerate() {
            let ours = response_us(served.http, path, served.child.id(), connections_count, time);
            let theirs =
                response_us(nginx.http, &format!("/{resource}"), nginx.worker, connections_count, time);
            found[resource].push([ours, theirs, ours / theirs]);
            body_bytes[resource] = bodies[resource].len();
        }
    }
    println!("| response | bytes | this server, µs | nginx, µs | ratio |\n|---|---|---|---|---|");
    for (resource, rounds) in found.into_iter().enumerate() {
        let [ours, theirs, ratio] = [0, 1, 2].map(|place| median(rounds.iter().map(|round| round[place])));
        let (name, bytes) = (NAMES[resource], body_bytes[resource]);
        println!("| {name} | {bytes} | {ours:.1} | {theirs:.1} | {ratio:.2} |");
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Processor time that the server's process spends on one response, in microseconds.
fn response_us(
    http: SocketAddr,
    path: &str,
    process_id: u32,
    connections_count: usize,
    time: Duration,
) -> f64 {
    let request = format!("GET {path} HTTP/1.1\r\nHost: bench\r\nUser-Agent: viewer\r\n\r\n");
    let epoll = Epoll::new();
    let mut connections: Vec<Connection> = (0..connections_count)
        .map(|number| Connection::open(http, &epoll, number, request.as_bytes()))
        .collect();
    let mut buffer = vec![0; 256 * 1024];
    let mut serve_for = |time: Duration| {
        let (start, mut responses_count) = (Instant::now(), 0_u64);
        while let Some(left) = time.checked_sub(start.elapsed()) {
            epoll.wait(left.as_millis() as i32 + 1, |event| {
                responses_count += connections[event.number].receive(&mut buffer, request.as_bytes());
            });
        }
        responses_count
    };
    serve_for(WARM_UP);
    let cpu_ns = cpu_ns_of(process_id);
    let responses_count = serve_for(time);
    assert!(responses_count > 0, "{path} is not answered");
    (cpu_ns_of(process_id) - cpu_ns) as f64 / 1e3 / responses_count as f64
}

/// One client, which asks again as soon as it is answered.
struct Connection {
    stream: TcpStream,
    head: Vec<u8>,
    /// Bytes of the response that are still to come; `None` inside its head.
    left: Option<usize>,
}

impl Connection {
    fn open(http: SocketAddr, epoll: &Epoll, number: usize, request: &[u8]) -> Self {
        let mut stream = TcpStream::connect(http).expect("the server listens");
        stream.set_nonblocking(true).and_then(|()| stream.set_nodelay(true)).expect("a TCP socket");
        epoll.add(&stream, number);
        stream.write_all(request).expect("a request fits the socket's buffer");
        Self { stream, head: Vec::new(), left: None }
    }

    /// Reads until nothing is there; returns how many responses became whole.
    fn receive(&mut self, buffer: &mut [u8], request: &[u8]) -> u64 {
        let mut responses_count = 0;
        loop {
            let received = match self.stream.read(buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => return responses_count,
                received => received.expect("the server keeps the connection"),
            };
            assert!(received > 0, "the server closed a connection");
            let left = match self.left {
                Some(left) => left - received,
                None => {
                    self.head.extend_from_slice(&buffer[..received]);
                    let Some((head_bytes, body_bytes)) = lengths_of(&self.head) else { continue };
                    head_bytes + body_bytes - self.head.len()
                }
            };
            self.left = Some(left);
            if left == 0 {
                (self.left, responses_count) = (None, responses_count + 1);
                self.head.clear();
                self.stream.write_all(request).expect("a request fits the socket's buffer");
            }
        }
    }
}

/// Of a response's head and body; `None` while the head is incomplete.
fn lengths_of(received: &[u8]) -> Option<(usize, usize)> {
    let mut fields = [httparse::EMPTY_HEADER; 32];
    let mut response = httparse::Response::new(&mut fields);
    let httparse::Status::Complete(head_bytes) = response.parse(received).expect("HTTP") else {
        return None;
    };
    assert_eq!(response.code, Some(200));
    let length = response.headers.iter().find(|field| field.name.eq_ignore_ascii_case("content-length"));
    let length = std::str::from_utf8(length.expect("a length").value).expect("digits");
    Some((head_bytes, length.parse().expect("a number")))
}
