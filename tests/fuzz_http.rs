//! The fuzz body for request heads, run over mutated seeds in every test run.

#[path = "fuzz_bodies/http.rs"]
mod http;
#[path = "support/random.rs"]
mod random;

use random::Random;

const SEEDS: &[&str] = &[
    "GET /live/demo/0f3k9q2c-2-334/v.m3u8?_HLS_msn=7&_HLS_part=1 HTTP/1.1\r\nHost: media.example:8080\r\n\
     Accept-Encoding: gzip;q=0.5, *;q=0\r\nConnection: keep-alive\r\n\r\n",
    "GET /live/demo/x/v-17.m4s HTTP/1.1\r\nHost: h\r\nRange: bytes=2-5\r\nIf-Range: \"0000000000000007\"\r\n\r\n",
    "HEAD http://h:80/a%20b?c HTTP/1.1\r\nHost: h\r\nIf-None-Match: W/\"x\", \"0000000000000007\"\r\n\r\n",
    "POST /api/v1/publish HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer x\r\nContent-Length: 12\r\n\
     Expect: 100-continue\r\n\r\n{\"a\":\"bcde\"}",
    "OPTIONS * HTTP/1.0\r\nConnection: keep-alive, close\r\nOrigin: https://e\r\nRange: bytes=-3\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
];

/// Pieces that change what a head means.
const PIECES: &[&str] = &[
    "\r\n",
    "\n",
    "\r",
    "\r\n\r\n",
    " ",
    "\t",
    ":",
    "\0",
    "%2f",
    "%",
    "..",
    "\\",
    "?",
    "#",
    ",",
    "\u{e9}",
    "Content-Length: 1\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Host: x\r\n",
    "Range: bytes=0-\r\n",
    "HTTP/1.0",
    "HTTP/2.0",
    "99999999999999999999",
];

#[test]
fn mutated_heads_keep_every_promise() {
    let mut random = Random(0x5eed);
    for seed in SEEDS {
        http::run(seed.as_bytes());
    }
    for _ in 0..30_000 {
        let mut bytes = SEEDS[random.below(SEEDS.len())].as_bytes().to_vec();
        for _ in 0..=random.below(4) {
            let at = random.below(bytes.len() + 1);
            match random.below(4) {
                0 if at < bytes.len() => bytes[at] = random.below(256) as u8,
                1 => bytes.truncate(at),
                2 => drop(bytes.drain(at..(at + random.below(9)).min(bytes.len()))),
                _ => {
                    let piece = PIECES[random.below(PIECES.len())];
                    bytes.splice(at..at, piece.bytes());
                }
            }
        }
        http::run(&bytes);
    }
}

#[test]
fn long_heads_keep_every_promise() {
    for length in [4095, 4096, 4097, 8191, 8192, 8193, 20_000] {
        for filler in ["a", "a b", "a:b\r\n", "\r\n", "\n", ",", "%61"] {
            for start in [
                "GET /",
                "GET / HTTP/1.1\r\nHost: h\r\n",
                "GET / HTTP/1.1\r\nHost: h\r\nAccept-Encoding: ",
                "",
            ] {
                let mut head = start.to_owned() + &filler.repeat(length / filler.len());
                head.truncate(length);
                http::run(head.as_bytes());
            }
        }
    }
}
