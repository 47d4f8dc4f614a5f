//! The viewers: every 200 ms, on each of their two connections, a playlist and then a part.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use crate::{
    epoll::Epoll,
    responder::{CPU_PATH, Responder},
};

const PERIOD: Duration = Duration::from_millis(200);
/// Over which the viewers' requests of one period are spread, as the spread of a landing part would.
const SPREAD: Duration = Duration::from_millis(50);
/// Until buffers and slabs have their size.
const WARM_UP_PERIODS: u64 = 5;
const REQUESTS: [[&str; 2]; 2] = [["/playlist", "/video"], ["/playlist", "/audio"]];

/// How many viewers, for how long.
pub struct Load {
    pub viewers_count: usize,
    pub seconds: u64,
}

/// What one run has found.
pub struct Measured {
    pub request_us: f64,
    pub viewer_minute_ms: f64,
    pub viewer_kib: f64,
    /// From the time that a connection's turn comes to its part's last byte, the longest.
    pub latest_ms: f64,
}

struct Connection {
    stream: TcpStream,
    requests: [(Vec<u8>, usize); 2],
    /// The request under way; 2 when it is nobody's turn.
    step: usize,
    missing_bytes: usize,
    due: Instant,
}

/// Runs the load against the server of process `server_id`.
pub fn run(load: &Load, address: SocketAddr, server_id: u32) -> Measured {
    let mut control = TcpStream::connect(address).expect("the server listens");
    server_cpu_ns(&mut control);
    let empty_kib = resident_kib(server_id);

    let (epoll, responder) = (Epoll::new(), Responder::new());
    let mut connections: Vec<_> = (0..2 * load.viewers_count)
        .map(|number| Connection::new(number, address, &epoll, &responder))
        .collect();
    let mut buffer = vec![0; 256 * 1024];
    let mut latest = Duration::ZERO;
    let mut requests_count = 0_u64;
    let (mut start_cpu_ns, mut measure_start) = (0, Instant::now());
    let periods_count = WARM_UP_PERIODS + load.seconds * 5;
    let start = Instant::now();
    for period in 0..periods_count {
        if period == WARM_UP_PERIODS {
            start_cpu_ns = server_cpu_ns(&mut control);
            measure_start = Instant::now();
            (requests_count, latest) = (0, Duration::ZERO);
        }
        let period_start = start + PERIOD * period as u32;
        let due_of = |place: usize| period_start + SPREAD * place as u32 / (2 * load.viewers_count) as u32;
        let mut next = 0;
        loop {
            let now = Instant::now();
            while next < connections.len() && due_of(next) <= now {
                connections[next].begin(due_of(next));
                next += 1;
            }
            let until = if next < connections.len() { due_of(next) } else { period_start + PERIOD };
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() && next == connections.len() {
                break;
            }
            epoll.wait(left.as_micros().div_ceil(1000) as i32, |event| {
                if let Some((answered, late)) = connections[event.number].receive(&mut buffer) {
                    requests_count += answered;
                    latest = latest.max(late);
                }
            });
        }
        assert!(
            connections.iter().all(|connection| connection.step == 2),
            "a viewer got less than real time"
        );
    }
    let cpu_us = (server_cpu_ns(&mut control) - start_cpu_ns) as f64 / 1e3;
    let minutes = measure_start.elapsed().as_secs_f64() / 60.0;
    Measured {
        request_us: cpu_us / requests_count as f64,
        viewer_minute_ms: cpu_us / 1e3 / load.viewers_count as f64 / minutes,
        viewer_kib: (resident_kib(server_id) - empty_kib) / load.viewers_count as f64,
        latest_ms: latest.as_secs_f64() * 1e3,
    }
}

impl Connection {
    fn new(number: usize, address: SocketAddr, epoll: &Epoll, responder: &Responder) -> Self {
        let stream = TcpStream::connect(address).expect("the server listens");
        stream.set_nonblocking(true).and_then(|()| stream.set_nodelay(true)).expect("a TCP socket");
        epoll.add(&stream, number);
        let requests = REQUESTS[number % 2].map(|path| {
            let request =
                format!("GET {path} HTTP/1.1\r\nHost: bench\r\nUser-Agent: viewer\r\n\r\n").into_bytes();
            let (_, reply) = responder.respond(&request).expect("complete");
            (request, reply.len())
        });
        Self { stream, requests, step: 2, missing_bytes: 0, due: Instant::now() }
    }

    fn begin(&mut self, due: Instant) {
        (self.step, self.due) = (0, due);
        self.ask();
    }

    fn ask(&mut self) {
        let (request, reply_bytes) = &self.requests[self.step];
        self.missing_bytes = *reply_bytes;
        self.stream.write_all(request).expect("a request fits the socket's buffer");
    }

    /// Reads until nothing is there; the requests answered, and how late the part is when it is whole.
    fn receive(&mut self, buffer: &mut [u8]) -> Option<(u64, Duration)> {
        let mut answered = 0;
        while self.step < 2 {
            let Ok(received) = self.stream.read(buffer) else { break };
            assert!((1..=self.missing_bytes).contains(&received), "{received} of {}", self.missing_bytes);
            self.missing_bytes -= received;
            if self.missing_bytes == 0 {
                answered += 1;
                self.step += 1;
                if self.step == 2 {
                    return Some((answered, self.due.elapsed()));
                }
                self.ask();
            }
        }
        Some((answered, Duration::ZERO))
    }
}

fn server_cpu_ns(control: &mut TcpStream) -> u64 {
    write!(control, "GET {CPU_PATH} HTTP/1.1\r\n\r\n").expect("the server lives");
    let mut reply = [0; 59];
    control.read_exact(&mut reply).expect("the server answers");
    let digits = std::str::from_utf8(&reply[39..]).expect("digits");
    digits.parse().expect("20 digits")
}

fn resident_kib(process: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("our own child");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a running process");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}
