//! What a request costs: the server as it is, and its sockets, against a bare epoll loop that sends the same
//! bytes at the same pace.
//!
//! Viewers have two connections each, video and audio, and on each a blocking reload and then the part that it
//! brought, five times a second: 20 requests a second, plain HTTP/1.1 with keep-alive. The real server carries
//! a published stream of 2 Mbit/s and pays for its ingest; the others send filler of the size that the real
//! responses of the same round had. A server runs in a process of its own on the first processor, viewers and
//! publisher on the last; servers take turns, so that the machine's moods meet all of them. What counts is the
//! ratio to the bare loop of the same round. A run in which any connection got less media than the time that
//! passed does not count: it is said and run again.
//!
//! `cargo bench --bench floor -- [--viewers 500] [--seconds 3] [--rounds 5] [--served] [--svg FILE]`; `--served`
//! runs the server and the bare loop alone.
#![allow(clippy::print_stdout)]

mod course;
mod epoll;
mod listed;
mod load;
mod publisher;
mod responder;
mod servers;
mod table;

use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    process::{Child, Command, Stdio},
    thread,
};

use course::Course;
use load::{Load, Measured};
use responder::ResponseBytes;
use servers::Kind;

/// Runs that do not count, one after the other, until the machine is called too busy.
const STARVED_RUNS_MAX: usize = 5;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, kind, bytes @ ..] = &arguments[..]
        && flag == "--serve"
    {
        let bytes: Vec<usize> = bytes.iter().map(|bytes| bytes.parse().expect("a number")).collect();
        let bytes = [[bytes[0], bytes[1]], [bytes[2], bytes[3]]];
        servers::serve(Kind::from_name(kind).expect("a kind that the bench itself names"), bytes);
        return;
    }
    let place = |flag: &str| arguments.iter().position(|argument| argument == flag);
    let number = |flag: &str, default: usize| {
        place(flag).map_or(default, |place| arguments[place + 1].parse().expect("a number"))
    };
    let load = Load { viewers_count: number("--viewers", 500), seconds: number("--seconds", 3) as u64 };
    let rounds_count = number("--rounds", 5);
    let kinds = if place("--served").is_some() { &Kind::ALL[..2] } else { &Kind::ALL };

    let mut rounds: Vec<Vec<Measured>> = Vec::new();
    for round in 0..rounds_count {
        eprintln!("round {} of {rounds_count}", round + 1);
        let mut bytes = ResponseBytes::default();
        let runs = kinds.iter().map(|&kind| {
            let measured = measure(kind, bytes, &load);
            bytes = measured.response_bytes;
            measured
        });
        rounds.push(runs.collect());
    }
    let rows = table::rows(kinds, &rounds);
    table::print(&load, &rounds, &rows);
    if let Some(place) = place("--svg") {
        std::fs::write(&arguments[place + 1], table::svg(&load, &rows)).expect("a file that can be written");
    }
}

/// A run that counts.
fn measure(kind: Kind, bytes: ResponseBytes, load: &Load) -> Measured {
    for _ in 0..STARVED_RUNS_MAX {
        let server = Server::start(kind, bytes);
        let measured = thread::scope(|scope| scope.spawn(|| server.run(load)).join().expect("the viewers"));
        if measured.starved_count == 0 {
            return measured;
        }
        eprintln!("{}: {} connections starved, does not count", kind.name(), measured.starved_count);
    }
    panic!("{}: this machine is too busy for {} viewers", kind.name(), load.viewers_count);
}

/// A server as a child process, killed when dropped: nothing in it is worth a farewell.
struct Server {
    child: Child,
    http: SocketAddr,
    /// Of the real server.
    rtmp: Option<SocketAddr>,
}

impl Server {
    fn start(kind: Kind, bytes: ResponseBytes) -> Self {
        let mut command = match kind {
            Kind::Served => {
                let mut command = Command::new(env!("CARGO_BIN_EXE_rapidrtmp"));
                command.args(["--open", "--shards", "1", "--latency", "ultra"]);
                command.args(["--rtmp", "127.0.0.1:0", "--http", "127.0.0.1:0"]);
                command.stderr(Stdio::null());
                command
            }
            _ => {
                let mut command = Command::new(std::env::current_exe().expect("our own path"));
                command.args(["--serve", kind.name()]);
                command.args(bytes.iter().flatten().map(ToString::to_string));
                command
            }
        };
        let mut child = command.stdout(Stdio::piped()).spawn().expect("the server starts");
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines().map_while(Result::ok);
        let address = |text: &str| text.parse::<SocketAddr>().ok();
        let found = lines.into_iter().find_map(|line| match line.strip_prefix("ready rtmp=") {
            Some(ready) => {
                let (rtmp, http) = ready.split_once(" http=")?;
                Some((address(rtmp), address(http)?))
            }
            None => Some((None, address(&line)?)),
        });
        let (rtmp, http) = found.expect("the server prints its addresses");
        Self { child, http, rtmp }
    }

    /// To be called on a thread of its own, which it pins.
    fn run(&self, load: &Load) -> Measured {
        let processors = rapidrtmp::shard::placement::allowed_processors();
        epoll::pin_to(*processors.last().expect("a processor"));
        let courses = match self.rtmp {
            Some(rtmp) => {
                publisher::start(rtmp);
                Course::streams(self.http)
            }
            None => Course::fixed(),
        };
        load::run(load, self.http, self.child.id(), &courses)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().and_then(|()| self.child.wait()).expect("our own child");
    }
}
