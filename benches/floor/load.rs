//! The viewers: on each of their two connections a blocking reload, then the part that landed, and again.

use std::{
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use crate::{
    course::Course,
    epoll::{Epoll, cpu_ns_of},
    responder::ResponseBytes,
    servers::PERIOD,
};

/// Until buffers and slabs have their size.
const WARM_UP: Duration = Duration::from_secs(1);
/// Of a response to a part, enough for its head.
const HEAD_BYTES_KEPT: usize = 2048;

/// How many viewers, for how long.
pub struct Load {
    pub viewers_count: usize,
    pub seconds: u64,
}

/// What one run has found.
pub struct Measured {
    pub request_us: f64,
    pub viewer_minute_ms: f64,
    /// Growth of the server's resident memory from before the first viewer to the end.
    pub viewer_kib: f64,
    pub viewer_requests_per_s: f64,
    /// The longest time between two parts on one connection.
    pub longest_gap_ms: f64,
    /// Mean of the responses.
    pub response_bytes: ResponseBytes,
    /// Connections that got less media than the time that has passed. Such a run does not count.
    pub starved_count: usize,
}

struct Connection {
    stream: TcpStream,
    rendition: usize,
    course: Course,
    request: Request,
    /// Of the response: its head, and its body if it is a playlist.
    kept: Vec<u8>,
    received_bytes: usize,
    /// Of the whole response; `None` until its head is complete.
    response_bytes: Option<usize>,
    part_at: Instant,
    media: Duration,
}

#[derive(Clone, Copy, PartialEq)]
enum Request {
    Reload,
    Part(Duration),
}

/// Sums over the measured time.
#[derive(Default)]
struct Sums {
    /// By rendition, reloads and parts.
    responses: [[(usize, usize); 2]; 2],
    longest_gap: Duration,
}

/// Runs the load against the server of process `server_id`.
pub fn run(load: &Load, http: SocketAddr, server_id: u32, courses: &[Course; 2]) -> Measured {
    let empty_kib = resident_kib(server_id);
    let epoll = Epoll::new();
    let mut connections: Vec<_> = (0..2 * load.viewers_count)
        .map(|number| Connection::new(number, http, &epoll, courses[number % 2].clone()))
        .collect();
    let mut buffer = vec![0; 256 * 1024];
    let mut serve_for = |time: Duration| {
        let (mut sums, start) = (Sums::default(), Instant::now());
        connections.iter_mut().for_each(|connection| connection.media = Duration::ZERO);
        let cpu_ns = cpu_ns_of(server_id);
        while let Some(left) = time.checked_sub(start.elapsed()) {
            epoll.wait(left.as_micros().div_ceil(1000) as i32, |event| {
                connections[event.number].receive(&mut buffer, &mut sums);
            });
        }
        let (cpu_ns, time) = (cpu_ns_of(server_id) - cpu_ns, start.elapsed());
        // The part at either end may fall out of the time.
        let is_starved = |connection: &&Connection| connection.media + PERIOD + PERIOD / 4 < time;
        (sums, cpu_ns as f64 / 1e3, time, connections.iter().filter(is_starved).count())
    };
    serve_for(WARM_UP);
    let (sums, cpu_us, time, starved_count) = serve_for(Duration::from_secs(load.seconds));
    let viewers = load.viewers_count as f64;
    let requests: usize = sums.responses.iter().flatten().map(|(count, _)| count).sum();
    Measured {
        request_us: cpu_us / requests as f64,
        viewer_minute_ms: cpu_us / 1e3 / viewers / (time.as_secs_f64() / 60.0),
        viewer_kib: (resident_kib(server_id) - empty_kib) / viewers,
        viewer_requests_per_s: requests as f64 / viewers / time.as_secs_f64(),
        longest_gap_ms: sums.longest_gap.as_secs_f64() * 1e3,
        response_bytes: sums.responses.map(|rendition| rendition.map(|(count, bytes)| bytes / count.max(1))),
        starved_count,
    }
}

impl Connection {
    fn new(number: usize, http: SocketAddr, epoll: &Epoll, course: Course) -> Self {
        let stream = TcpStream::connect(http).expect("the server listens");
        stream.set_nonblocking(true).and_then(|()| stream.set_nodelay(true)).expect("a TCP socket");
        epoll.add(&stream, number);
        let mut connection = Self {
            stream,
            rendition: number % 2,
            course,
            request: Request::Reload,
            kept: Vec::new(),
            received_bytes: 0,
            response_bytes: None,
            part_at: Instant::now(),
            media: Duration::ZERO,
        };
        connection.ask(false);
        connection
    }

    /// Asks for the next part known, else for the next playlist.
    fn ask(&mut self, after_reload: bool) {
        let (request, path) = match self.course.next_part(after_reload) {
            Some((path, duration)) => (Request::Part(duration), path),
            None => (Request::Reload, self.course.reload()),
        };
        self.request = request;
        self.kept.clear();
        (self.received_bytes, self.response_bytes) = (0, None);
        let head = format!("GET {path} HTTP/1.1\r\nHost: bench\r\nUser-Agent: viewer\r\n\r\n");
        self.stream.write_all(head.as_bytes()).expect("a request fits the socket's buffer");
    }

    /// Reads until nothing is there, and asks on whenever a response is whole.
    fn receive(&mut self, buffer: &mut [u8], sums: &mut Sums) {
        loop {
            let received = match self.stream.read(buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                received => received.expect("the server keeps the connection"),
            };
            assert!(received > 0, "the server closed a connection");
            self.take(&buffer[..received]);
            if self.response_bytes == Some(self.received_bytes) {
                self.finish(sums);
            }
        }
    }

    fn take(&mut self, bytes: &[u8]) {
        let room = if self.request == Request::Reload {
            usize::MAX
        } else {
            HEAD_BYTES_KEPT.saturating_sub(self.kept.len())
        };
        self.kept.extend_from_slice(&bytes[..bytes.len().min(room)]);
        self.received_bytes += bytes.len();
        if self.response_bytes.is_none() {
            let mut headers = [httparse::EMPTY_HEADER; 32];
            let mut response = httparse::Response::new(&mut headers);
            let httparse::Status::Complete(head_bytes) = response.parse(&self.kept).expect("HTTP") else {
                return;
            };
            assert_eq!(response.code, Some(200), "{}", String::from_utf8_lossy(&self.kept));
            let length =
                response.headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-length"));
            let length = length.and_then(|header| std::str::from_utf8(header.value).ok()?.parse().ok());
            let body_bytes: usize = length.expect("a length");
            self.response_bytes = Some(head_bytes + body_bytes);
        }
    }

    fn finish(&mut self, sums: &mut Sums) {
        let which = usize::from(self.request != Request::Reload);
        let (count, bytes) = &mut sums.responses[self.rendition][which];
        (*count, *bytes) = (*count + 1, *bytes + self.received_bytes);
        match self.request {
            Request::Reload => self.course.reloaded(&self.kept),
            Request::Part(duration) => {
                let before = std::mem::replace(&mut self.part_at, Instant::now());
                sums.longest_gap = sums.longest_gap.max(self.part_at - before);
                self.media += duration;
            }
        }
        self.ask(self.request == Request::Reload);
    }
}

fn resident_kib(process: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("our own child");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a running process");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}
