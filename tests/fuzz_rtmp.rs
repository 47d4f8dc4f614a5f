//! The fuzz bodies of RTMP on seeded bytes and on changed recordings, as ordinary tests.

#[path = "fuzz_bodies/rtmp.rs"]
mod bodies;

use std::fs;
use std::path::Path;

struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }

    /// Bytes that like small values, as headers do.
    fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| if self.below(2) == 0 { self.below(24) } else { self.below(256) } as u8).collect()
    }

    /// Changes, removes or doubles a few bytes.
    fn mutate(&mut self, bytes: &mut Vec<u8>) {
        for _ in 0..=self.below(6) {
            let at = self.below(bytes.len());
            match self.below(4) {
                0 => bytes[at] = self.below(256) as u8,
                1 => bytes[at] ^= 1 << self.below(8),
                2 => drop(bytes.drain(at..bytes.len().min(at + 1 + self.below(20)))),
                _ => {
                    let end = bytes.len().min(at + 1 + self.below(40));
                    let copy = bytes[at..end].to_vec();
                    let to = self.below(bytes.len());
                    bytes.splice(to..to, copy);
                }
            }
            if bytes.is_empty() {
                bytes.push(0);
            }
        }
    }
}

/// The beginning of a recording of each family of clients, behind the handshake if `skip` says so.
fn recordings(skip: usize) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/rtmp-captures");
    ["ff9_ext_timestamp", "gst_rtmp2sink", "gst_rtmpsink_ext_video", "obs30_h264_aac"]
        .map(|name| fs::read(folder.join(format!("{name}.c2s.bin"))).unwrap()[skip..skip + 12_000].to_vec())
        .into()
}

const HANDSHAKE_BYTES: usize = 1 + 2 * 1536;

/// `rounds` of random bytes and as many changed recordings.
fn run(body: fn(&[u8]), skip: usize, rounds: u64) {
    let recordings = recordings(skip);
    for seed in 1..=rounds {
        let mut random = Random::new(seed);
        let count = random.below(4000);
        body(&random.bytes(count));
        let mut bytes = recordings[random.below(recordings.len())].clone();
        bytes.truncate(1 + random.below(12_000));
        random.mutate(&mut bytes);
        body(&bytes);
    }
}

#[test]
fn handshakes() {
    run(bodies::handshake, 0, 300);
}

#[test]
fn chunks() {
    run(bodies::chunks, HANDSHAKE_BYTES, 300);
}

#[test]
fn sessions() {
    // The first byte is the answer to a publish.
    run(bodies::session, HANDSHAKE_BYTES - 1, 600);
}

#[test]
fn clients() {
    run(bodies::client, HANDSHAKE_BYTES, 300);
}

#[test]
fn amf0() {
    run(bodies::amf0, HANDSHAKE_BYTES + 12, 3000);
    // Every marker, nested in every other.
    for outer in 0..=0x12 {
        for inner in 0..=0x12 {
            bodies::amf0(&[outer, 0, 0, 0, 1, inner].repeat(50));
            bodies::amf0(&[outer, 0, 1, b'a', inner].repeat(3000));
        }
    }
}
