//! What a request costs on the shard's sockets, against a bare epoll loop that sends the same bytes.
//!
//! The shape is one part period of many viewers: two connections each (video and audio), and on each a
//! playlist and then a part, five times a second. A server runs in a process of its own, pinned to the
//! first processor, the viewers on the second; servers take turns, so that the machine's moods meet all of them.
//! What counts is the ratio to the bare loop of the same round.
//!
//! `cargo bench --bench floor -- [--viewers 500] [--seconds 3] [--rounds 5]`
#![allow(clippy::print_stdout)]

mod epoll;
mod load;
mod responder;
mod servers;

use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    process::{Child, Command, Stdio},
};

use load::{Load, Measured};
use servers::Kind;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, kind] = &arguments[..]
        && flag == "--serve"
    {
        servers::serve(Kind::from_name(kind).expect("a kind that the bench itself names"));
        return;
    }
    let number = |flag: &str, default: usize| {
        let place = arguments.iter().position(|argument| argument == flag);
        place.map_or(default, |place| arguments[place + 1].parse().expect("a number"))
    };
    let load = Load { viewers_count: number("--viewers", 500), seconds: number("--seconds", 3) as u64 };
    let rounds_count = number("--rounds", 5);
    let processors = rapidrtmp::shard::runtime::allowed_processors();
    epoll::pin_to(*processors.last().expect("a processor"));

    let mut rounds: Vec<Vec<Measured>> = Vec::new();
    for round in 0..rounds_count {
        eprintln!("round {} of {rounds_count}", round + 1);
        rounds.push(Kind::ALL.map(|kind| measure(kind, &load)).into());
    }
    print_table(&load, &rounds);
}

fn measure(kind: Kind, load: &Load) -> Measured {
    let mut server = Server::start(kind);
    let measured = load::run(load, server.address, server.child.id());
    // Nothing in it is worth a farewell.
    server.child.kill().and_then(|()| server.child.wait()).expect("our own child");
    measured
}

struct Server {
    child: Child,
    address: SocketAddr,
}

impl Server {
    fn start(kind: Kind) -> Self {
        let program = std::env::current_exe().expect("our own path");
        let mut child = Command::new(program)
            .args(["--serve", kind.name()])
            .stdout(Stdio::piped())
            .spawn()
            .expect("our own program starts");
        let mut line = String::new();
        let output = child.stdout.take().expect("piped");
        BufReader::new(output).read_line(&mut line).expect("the server prints its address");
        let address = line.trim().parse().expect("an address");
        Self { child, address }
    }
}

fn print_table(load: &Load, rounds: &[Vec<Measured>]) {
    println!(
        "{} viewers, {} connections, {} rounds of {} s; medians",
        load.viewers_count,
        2 * load.viewers_count,
        rounds.len(),
        load.seconds
    );
    println!(
        "{:<34} {:>12} {:>8} {:>18} {:>14} {:>10}",
        "server", "us a request", "ratio", "ms a viewer-minute", "KiB a viewer", "late ms"
    );
    for (place, kind) in Kind::ALL.iter().enumerate() {
        let all =
            |figure: &dyn Fn(&[Measured]) -> f64| median(rounds.iter().map(|round| figure(round)).collect());
        println!(
            "{:<34} {:>12.2} {:>8.2} {:>18.1} {:>14.1} {:>10.1}",
            kind.name(),
            all(&|round| round[place].request_us),
            all(&|round| round[place].request_us / round[0].request_us),
            all(&|round| round[place].viewer_minute_ms),
            all(&|round| round[place].viewer_kib),
            all(&|round| round[place].latest_ms),
        );
    }
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}
