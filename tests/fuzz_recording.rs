//! The fuzz body of recordings on seeded bytes and on changed recordings, as an ordinary test.

#[path = "fuzz_bodies/recording.rs"]
mod bodies;

use rapidrtmp::origin::recording::{Entry, MAGIC};
use std::path::Path;

const SEEDS: u64 = 400;

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

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| if self.below(2) == 0 { self.below(12) } else { self.below(256) } as u8).collect()
    }
}

/// The entries of a real recording, each with its bytes.
fn entries() -> Vec<Vec<u8>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/recordings/reconnect.ingest");
    let recorded = std::fs::read(path).expect("a recording");
    let mut rest = &recorded[MAGIC.len()..];
    let mut entries = Vec::new();
    while let Some(count) = Entry::measure(rest).expect("an entry") {
        entries.push(rest[..count].to_vec());
        rest = &rest[count..];
    }
    entries
}

#[test]
fn any_bytes() {
    for seed in 1..=2000 {
        let mut random = Random::new(seed);
        let count = random.below(300);
        bodies::recording(&random.bytes(count));
    }
}

/// Bytes of entries changed, entries left out, doubled and put elsewhere: all the calls that a home can be told.
#[test]
fn changed_recordings() {
    let original = entries();
    assert!(original.len() > 300);
    let mut calls = 0;
    for seed in 1..=SEEDS {
        let mut random = Random::new(seed);
        let mut entries = original.clone();
        for _ in 0..=random.below(12) {
            // The first two are what every replay begins with.
            let (at, to) = (2 + random.below(entries.len() - 2), 2 + random.below(entries.len() - 2));
            match random.below(5) {
                0 => {
                    // Mostly not the head, which would end it there.
                    let length = entries[at].len();
                    let byte = if length > 5 { 5 + random.below(length - 5) } else { random.below(length) };
                    entries[at][byte] = random.below(256) as u8;
                }
                1 => drop(entries.remove(at)),
                2 => entries.insert(to, entries[at].clone()),
                3 => entries.swap(at, to),
                _ => drop(entries.drain(at.min(to)..at.max(to).min(at.min(to) + 200))),
            }
        }
        if random.below(4) == 0 {
            // Its settings, or the record of before.
            let (length, byte) = (entries[1].len(), random.below(256) as u8);
            entries[1][5 + random.below(length - 5)] = byte;
        }
        calls += bodies::recording(&entries.concat());
    }
    // Most go far.
    assert!(calls > SEEDS as usize * original.len() / 4, "{calls} calls");
}
