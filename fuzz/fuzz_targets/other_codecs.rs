#![no_main]
//! Fuzzes `codec::others`; its body also runs as an ordinary test.

#[path = "../../tests/fuzz_bodies/codec.rs"]
#[allow(dead_code)]
mod bodies;

libfuzzer_sys::fuzz_target!(|data: &[u8]| bodies::others(data));
