//! The fuzz body for HTTP/2, run over mutated frames in every test run.

#[path = "fuzz_bodies/http2.rs"]
mod bodies;
#[path = "support/random.rs"]
mod random;
#[path = "support/mod.rs"]
mod support;

use random::Random;
use support::http2::{
    CONTINUATION, DATA, HEADERS, PING, RST_STREAM, SETTINGS, WINDOW_UPDATE, frame, get, post,
};

/// Requests and what goes with them, each whole.
fn seeds() -> Vec<Vec<u8>> {
    let settings = |identifier: u16, value: u32| {
        frame(SETTINGS, 0, 0, &[&identifier.to_be_bytes()[..], &value.to_be_bytes()].concat())
    };
    // RFC 7541, appendix A: GET, http, /, and fields as literals with names of our own.
    let literal = |name: &str, value: &str| {
        [&[0, name.len() as u8], name.as_bytes(), &[value.len() as u8], value.as_bytes()].concat()
    };
    let prioritized =
        [&[0x82, 0x86, 0x84][..], &literal("priority", "u=1, i"), &literal("range", "bytes=0-9")];
    let block = prioritized.concat();
    let (begun, rest) = block.split_at(5);
    vec![
        get(1, "/health"),
        [get(1, "/live/a/index.m3u8"), get(3, "/"), frame(RST_STREAM, 0, 3, &8u32.to_be_bytes())].concat(),
        [post(1, "/api/v1/publish"), frame(DATA, 1, 1, br#"{"streamKey":"a"}"#)].concat(),
        [post(1, "/api/v1/publish"), frame(DATA, 0, 1, b"{"), frame(RST_STREAM, 0, 1, &[0; 4])].concat(),
        frame(HEADERS, 0x5, 1, &block),
        [frame(HEADERS, 0x1, 1, begun), frame(CONTINUATION, 0x4, 1, rest)].concat(),
        [settings(4, 10), get(1, "/metrics"), frame(WINDOW_UPDATE, 0, 1, &1000u32.to_be_bytes())].concat(),
        [settings(5, 1 << 20), settings(1, 0), frame(PING, 0, 0, b"12345678"), get(1, "/watch/live/a")]
            .concat(),
        b"/live/a?_HLS_msn=1\nhost:h\npriority:u=7\nrange:bytes=1-\ncontent-length:5\naccept-encoding:gzip\n"
            .into(),
        b"GET /health HTTP/1.1\r\nHost: h\r\n\r\n".into(),
    ]
}

#[test]
fn mutated_frames_keep_every_promise() {
    let (seeds, mut random) = (seeds(), Random(0x5eed));
    for seed in &seeds {
        for how in [0, 1, 129] {
            bodies::run(&[&[how], &seed[..]].concat());
        }
    }
    for _ in 0..3_000 {
        // Most say hello, since little else reaches a frame.
        let mut bytes = vec![random.below(256) as u8 | u8::from(random.below(8) > 0)];
        for _ in 0..=random.below(3) {
            bytes.extend_from_slice(&seeds[random.below(seeds.len())]);
        }
        for _ in 0..random.below(5) {
            let at = 1 + random.below(bytes.len());
            match random.below(4) {
                0 if at < bytes.len() => bytes[at] = random.below(256) as u8,
                1 => bytes.truncate(at),
                2 if at < bytes.len() => drop(bytes.drain(at..(at + random.below(9)).min(bytes.len()))),
                _ => {
                    let piece = &seeds[random.below(seeds.len())];
                    bytes.splice(
                        at.min(bytes.len())..at.min(bytes.len()),
                        piece[..random.below(piece.len())].iter().copied(),
                    );
                }
            }
        }
        bodies::run(&bytes);
    }
}
