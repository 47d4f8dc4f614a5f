//! Peers that flood, do not read, or vanish; and what an idle one costs.

use crate::random::Random;
use crate::support::http2::{
    CONTINUATION, Client, Crude, DATA, HEADERS, PING, RST_STREAM, SETTINGS, frame, get, post,
};
use crate::support::poll_until;
use crate::support::server::{Options, Server};
use crate::{LARGE, LARGE_BYTES, NOISE, Stage};
use std::time::{Duration, Instant};

const IDLE_COUNT: usize = 500;
/// What an idle HTTP/2 connection over TLS may cost: h2's own buffers are 24 KiB of it.
const IDLE_KIB_MAX: f64 = 40.0;

fn resident_kib(server: &Server) -> u64 {
    let status =
        std::fs::read_to_string(format!("/proc/{}/status", server.process_id())).expect("its status");
    let line = status.lines().find(|line| line.starts_with("VmRSS")).expect("its memory");
    line.split_whitespace().nth(1).and_then(|value| value.parse().ok()).expect("a number")
}

#[test]
fn floods_are_ended_and_disturb_nobody() {
    let stage = Stage::start(1);
    let mut other = stage.plain();
    let before = resident_kib(&stage.server);
    type Flood = fn(u32) -> Vec<u8>;
    let floods: [(&str, Flood, bool); 9] = [
        (
            "rapid reset",
            |n| [get(2 * n + 1, "/health"), frame(RST_STREAM, 0, 2 * n + 1, &[0, 0, 0, 8])].concat(),
            true,
        ),
        ("PING", |n| frame(PING, 0, 0, &u64::from(n).to_be_bytes()), true),
        (
            "PING behind requests",
            |n| match n % 100 {
                0 => get(2 * (n / 100) + 1, "/health"),
                _ => frame(PING, 0, 0, &u64::from(n).to_be_bytes()),
            },
            true,
        ),
        ("SETTINGS", |_| frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0xff, 0xff]), true),
        ("empty SETTINGS", |_| frame(SETTINGS, 0, 0, &[]), true),
        ("unknown frames", |_| frame(0x42, 0, 0, &[0; 32]), true),
        ("empty DATA", |n| if n == 0 { post(1, "/api/v1/publish") } else { frame(DATA, 0, 1, &[]) }, false),
        (
            "CONTINUATION",
            |n| match n {
                0 => frame(HEADERS, 0, 1, &get(1, "/")[9..]),
                _ => frame(CONTINUATION, 0, 1, &[0x40, 1, b'a', 1, b'b']),
            },
            false,
        ),
        (
            "streams without end",
            |n| get(2 * n + 1, "/live/stage/nothing.m3u8?_HLS_msn=99999999999999"),
            false,
        ),
    ];
    for (name, flood, is_calmed) in floods {
        let mut crude = Crude::connect(stage.server.http());
        let began = Instant::now();
        let mut is_ended = false;
        for n in 0..200_000 {
            if crude.write(&flood(n)).is_err() {
                is_ended = true;
                break;
            }
        }
        let farewell = crude.farewell(NOISE);
        eprintln!("{name}: ended {is_ended}, {farewell:?}, after {:?}", began.elapsed());
        assert!(is_ended || !is_calmed || farewell.is_calming(), "{name}: {farewell:?}");
        let asked = Instant::now();
        assert_eq!(other.get("/health").status, 200, "{name}");
        assert!(asked.elapsed() < NOISE, "{name}: {:?}", asked.elapsed());
    }
    assert_eq!(stage.server.metric("rapidrtmp_panics_total", ""), Some(0.0));
    let grown = resident_kib(&stage.server).saturating_sub(before);
    assert!(grown < 32 * 1024, "{grown} KiB");
}

/// Too few PINGs to be a flood, and no request: the connection is idle all the same.
#[test]
fn whoever_only_pings_is_idle() {
    let config = "[http]\nidle_timeout_s = 5\n";
    let server = Server::start(&Options { config: Some(config.into()), ..Options::default() });
    let mut crude = Crude::connect(server.http());
    std::thread::sleep(Duration::from_secs(1));
    crude.write(&get(1, "/health")).unwrap();
    let asked = Instant::now();
    while crude.write(&frame(PING, 0, 0, &[7; 8])).is_ok() {
        // The idle time, and what it is given to leave by itself.
        assert!(asked.elapsed() < Duration::from_secs(5 + 2) + NOISE, "it is still there");
        std::thread::sleep(Duration::from_millis(200));
    }
    assert!(asked.elapsed() >= Duration::from_secs(5), "its request counts: {:?}", asked.elapsed());
}

#[test]
fn frames_of_any_kind_panic_nothing() {
    let stage = Stage::start(1);
    let mut random = Random(0x5eed);
    for _ in 0..400 {
        let mut crude = Crude::connect(stage.server.http());
        for _ in 0..random.below(20) {
            let mut bytes = match random.below(4) {
                0 => get(random.below(8) as u32, "/live/stage/index.m3u8"),
                1 => post(random.below(8) as u32, "/api/v1/publish"),
                _ => {
                    let payload: Vec<u8> = (0..random.below(40)).map(|_| random.below(256) as u8).collect();
                    frame(random.below(12) as u8, random.below(64) as u8, random.below(8) as u32, &payload)
                }
            };
            if random.below(3) == 0 {
                let at = random.below(bytes.len());
                bytes[at] = random.below(256) as u8;
            }
            if crude.write(&bytes).is_err() {
                break;
            }
        }
        if random.below(8) == 0 {
            crude.farewell(Duration::from_millis(20));
        }
    }
    assert_eq!(stage.plain().get("/health").status, 200);
    assert_eq!(stage.server.metric("rapidrtmp_panics_total", ""), Some(0.0));
    let left = || (stage.blocked_count() == 0.0).then_some(());
    assert!(poll_until(NOISE, left).is_some());
}

#[test]
fn requests_that_are_taken_back_one_by_one_are_bounded() {
    let stage = Stage::start(1);
    let target = stage.blocked();
    let mut crude = Crude::connect(stage.server.http());
    let is_ended = (0..2_000).any(|n| {
        let asked = crude.write(&get(2 * n + 1, &target));
        // It is asked for in the meantime.
        std::thread::sleep(Duration::from_millis(1));
        asked.and_then(|()| crude.write(&frame(RST_STREAM, 0, 2 * n + 1, &[0, 0, 0, 8]))).is_err()
    });
    assert!(is_ended || crude.farewell(NOISE).is_calming());
    assert!(poll_until(NOISE, || (stage.blocked_count() == 0.0).then_some(())).is_some());
}

#[test]
fn whoever_does_not_read_is_cut_off_and_disturbs_nobody() {
    let stage = Stage::start(1);
    let before = resident_kib(&stage.server);
    // The socket is full.
    let mut still: Vec<Client> =
        (0..10).map(|n| if n % 2 == 0 { stage.plain() } else { stage.over_tls() }).collect();
    let owed: Vec<_> = still
        .iter_mut()
        .flat_map(|client| (0..3).map(|_| client.send("GET", LARGE, &[], &[])).collect::<Vec<_>>())
        .collect();
    // The stream's window is never opened, while the connection lives.
    let mut shut = Client::with_window(stage.server.http(), 1000);
    let pending = shut.send("GET", LARGE, &[], &[]);
    let held_up = shut.head(pending).unwrap();
    let mut other = stage.over_tls();
    let began = Instant::now();
    let cut = poll_until(Duration::from_secs(25), || {
        let asked = Instant::now();
        assert_eq!(other.get(&stage.paths[0]).status, 200);
        assert!(asked.elapsed() < NOISE);
        shut.turn();
        stage.server.metric("rapidrtmp_http_errors_total", "slow_reader").filter(|&count| count >= 11.0)
    });
    assert!(cut.is_some() && began.elapsed() > Duration::from_secs(8), "{:?}", began.elapsed());
    let grown = resident_kib(&stage.server).saturating_sub(before);
    assert!(grown < 10 * 1024 + 24 * 1024, "{grown} KiB for {LARGE_BYTES} bytes, thrice, ten times");
    // Its connection is none the worse.
    drop((held_up, owed));
    assert_eq!(shut.get("/health").status, 200);
}

/// Three responses whose streams get no window, one after another on one connection: they are given up at the same
/// time and not each after the one before, or whoever asks for hundreds would have the server keep them for an hour.
#[test]
fn responses_that_are_held_up_on_one_connection_are_given_up_together() {
    let stage = Stage::start(1);
    let mut shut = Client::with_window(stage.server.http(), 1000);
    let asked: Vec<_> = (0..3).map(|_| shut.send("GET", LARGE, &[], &[])).collect();
    let held_up: Vec<_> = asked.into_iter().map(|pending| shut.head(pending).expect("a response")).collect();
    let began = Instant::now();
    let mut cut = |count: f64| {
        let cut = poll_until(Duration::from_secs(40), || {
            shut.turn();
            let cut = stage.server.metric("rapidrtmp_http_errors_total", "slow_reader");
            (cut >= Some(count)).then(|| began.elapsed())
        });
        cut.expect("it is given up")
    };
    let (first, last) = (cut(1.0), cut(3.0));
    assert!(first > Duration::from_secs(8) && last - first < NOISE, "after {first:?} and {last:?}");
    drop(held_up);
    assert_eq!(shut.get("/health").status, 200, "the connection lives");
}

#[test]
fn whoever_vanishes_leaves_nothing() {
    let stage = Stage::start(2);
    let target = stage.blocked();
    for client in [Stage::plain, Stage::over_tls] {
        let mut client = client(&stage);
        let waiting: Vec<_> = (0..50).map(|_| client.send("GET", &target, &[], &[])).collect();
        client.turn();
        drop(client);
        drop(waiting);
    }
    assert!(poll_until(NOISE, || (stage.blocked_count() == 0.0).then_some(())).is_some());
    let connected = || {
        let count = |name: &str| stage.server.metric(name, "").unwrap_or_default();
        count("rapidrtmp_http_connections_total") - count("rapidrtmp_http_disconnects_total")
    };
    // The one that asks.
    assert!(poll_until(NOISE, || (connected() <= 2.0).then_some(())).is_some(), "{}", connected());
}

#[test]
fn an_idle_connection_costs_what_h2_keeps() {
    crate::support::allow_open_files(4096);
    let stage = Stage::start(1);
    let mut first: Vec<Client> = (0..20).map(|_| stage.over_tls()).collect();
    first.iter_mut().for_each(|client| assert_eq!(client.get("/health").status, 200));
    let before = resident_kib(&stage.server);
    let mut idle: Vec<Client> = (0..IDLE_COUNT).map(|_| stage.over_tls()).collect();
    idle.iter_mut().for_each(|client| assert_eq!(client.get(&stage.paths[0]).status, 200));
    let each = (resident_kib(&stage.server) - before) as f64 / IDLE_COUNT as f64;
    eprintln!("{each:.1} KiB resident for each of {IDLE_COUNT} idle connections");
    assert!(each < IDLE_KIB_MAX, "{each:.1} KiB");
}
